"""Information: how many bits symbols are worth, to hold against the bits that a coder really wrote.

Three bounds, each for an ideal coder that knows more than the one before (C. E. Shannon, "A mathematical theory of
communication", 1948, sections 6 and 7):

- `entropy_bits`: how often each value occurs, H(X);
- `class_entropy_bits`: how often each value occurs at each coefficient of a transform;
- `conditional_entropy_bits`: how often each value occurs in each context, H(X | C) = H(X, C) − H(C) ≤ H(X).

All leave out what it costs to tell the decoder the counts, so with many contexts and few symbols they flatter.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..primitives.information import class_entropy_bits, entropy_bits

__all__ = ["CodingCost", "class_entropy_bits", "coding_cost", "conditional_entropy_bits", "entropy_bits"]


def conditional_entropy_bits(symbols: np.ndarray, contexts: np.ndarray) -> float:
    """Empirical entropy of `symbols` given `contexts`, in bits in total.

    Args:
        symbols: integers of any shape.
        contexts: the context of each symbol, integers of a shape that broadcasts to that of `symbols`.

    Raises:
        ValueError: the shapes do not broadcast.

    >>> symbols = np.array([0, 1, 0, 1])
    >>> entropy_bits(symbols), conditional_entropy_bits(symbols, contexts=np.array([7, 9, 7, 9]))
    (4.0, 0.0)
    """
    contexts = np.broadcast_to(contexts, np.shape(symbols))
    symbol_index = np.unique(symbols, return_inverse=True)[1].ravel()
    values, context_index = np.unique(contexts, return_inverse=True)
    context_index = context_index.ravel()
    joint = symbol_index * len(values) + context_index
    # The difference of two sums may miss 0 by a rounding error.
    return max(entropy_bits(joint) - entropy_bits(context_index), 0.0)


@dataclass(frozen=True)
class CodingCost:
    """What coding some symbols should have cost, and what it did cost.

    Attributes:
        symbols: how many there are.
        entropy_bits: the bits that an ideal coder would have written.
        real_bits: the bits that the coder wrote.
    """

    symbols: int
    entropy_bits: float
    real_bits: int

    @property
    def overhead(self) -> float:
        """Real bits above the entropy, as a fraction of it; negative where the coder knew more than it."""
        if self.entropy_bits == 0:
            return math.inf if self.real_bits else 0.0
        return self.real_bits / self.entropy_bits - 1


def coding_cost(symbols: np.ndarray, stream: bytes, contexts: np.ndarray | None = None) -> CodingCost:
    """Hold the bytes that a coder made of `symbols` against their entropy, order 0 or given `contexts`.

    >>> cost = coding_cost(np.array([0, 1] * 40), stream=bytes(11))
    >>> cost.entropy_bits, cost.real_bits, round(cost.overhead, 3)
    (80.0, 88, 0.1)
    """
    ideal = entropy_bits(symbols) if contexts is None else conditional_entropy_bits(symbols, contexts)
    return CodingCost(np.size(symbols), ideal, 8 * len(stream))
