"""Probability models: what a coder has to know of the next symbol.

A coder of many symbols works with integer frequencies that add up to 2^24. A model gives each symbol s of an alphabet
0 … K - 1 an interval [start(s), start(s) + frequency(s)) of 0 … 2^24, in order and without gaps, with two methods that
undo each other::

    start, frequency = model.interval(symbol)       # what an encoder asks
    symbol = model.symbol_at(quantile)              # what a decoder asks: start ≤ quantile < start + frequency

The better the frequencies match the symbols, the fewer bits: coding with frequencies q what follows p costs the
entropy of p plus the Kullback-Leibler divergence D(p ‖ q).

* `StaticModel`: the same frequencies for the whole message, known to both sides. It is *order 0*: it knows how often
  symbols occur, not what stands beside them. `StaticModel.for_constriction` hands the same integers to constriction.
* A `FrequencyTables` (in `tables`) holds many such models for latents.
* Models of bits that learn while coding, and mix several contexts, are in `mixing`.

All of it is integer arithmetic, so that a decoder on another machine finds the same intervals. Quantizing frequencies
follows the largest-remainder rule; the adaptive step is the one of AV1's symbol coder (AV1 Bitstream & Decoding
Process Specification, 8.2.6), here with a precision of 24 bits.
"""

from dataclasses import dataclass

import constriction
import numpy as np

#: Frequencies add up to 2^PRECISION, as in constriction's coders.
PRECISION = 24


def quantize_counts(counts, precision: int = PRECISION) -> np.ndarray:
    """Integer frequencies in proportion to counts, that add up to 2^precision.

    Every symbol that occurs keeps a frequency of at least 1, so that it can be coded; symbols that do not occur get 0.

    Args:
        counts: how often each symbol occurs [K], integers from 0 up, not all 0.

    Returns:
        int64 frequencies [K].

    Raises:
        ValueError: the counts are all 0, or more symbols occur than there are frequencies to give.

    >>> quantize_counts([7, 0, 2, 1], precision=4).tolist()
    [10, 0, 4, 2]
    """
    counts = [int(count) for count in counts]
    present = sum(count > 0 for count in counts)
    free = (1 << precision) - present  # one each is given; the rest is shared out in proportion
    total = sum(counts)
    if min(counts, default=0) < 0 or total == 0 or free < 0:
        raise ValueError(f"counts must be from 0 up, not all 0, and at most 2^{precision} of them positive")
    frequencies = [count * free // total + (count > 0) for count in counts]
    remainders = [count * free % total for count in counts]
    left = (1 << precision) - sum(frequencies)
    for symbol in sorted(range(len(counts)), key=lambda s: (-remainders[s], s))[:left]:
        frequencies[symbol] += 1
    return np.array(frequencies, np.int64)


@dataclass(frozen=True, eq=False)
class StaticModel:
    """Fixed frequencies (int64 [K], at least 1 each, with the sum 2^24).

    >>> model = StaticModel.from_counts([2, 1, 1])
    >>> model.interval(1), model.symbol_at(9000000)
    ((8388608, 4194304), 1)
    """

    frequencies: np.ndarray

    def __post_init__(self):
        if min(self.frequencies, default=0) < 1 or sum(self.frequencies) != 1 << PRECISION:
            raise ValueError(f"frequencies must be at least 1 and add up to 2^{PRECISION}")
        starts = np.concatenate([[0], np.cumsum(self.frequencies)[:-1]])
        object.__setattr__(self, "_starts", starts)

    @classmethod
    def from_counts(cls, counts) -> "StaticModel":
        """The model for counts [K], all of them positive."""
        return cls(quantize_counts(counts))

    @classmethod
    def expanded(cls, frequencies: np.ndarray) -> "StaticModel":
        """The model of frequencies [K] that add up to a smaller power of two, such as a table in a stream holds.

        >>> StaticModel.expanded(np.array([1, 3])).interval(1)
        (4194304, 12582912)
        """
        return cls(frequencies * ((1 << PRECISION) // frequencies.sum()))

    def interval(self, symbol: int) -> tuple[int, int]:
        """(start, frequency) of a symbol."""
        return int(self._starts[symbol]), int(self.frequencies[symbol])

    def symbol_at(self, quantile: int) -> int:
        """The symbol whose interval holds `quantile`, 0 … 2^24 - 1."""
        return int(np.searchsorted(self._starts, quantile, side="right")) - 1

    def for_constriction(self):
        """The same model, integer for integer, as constriction's `Categorical`.

        constriction gives every symbol a frequency of 1 and shares the other 2^24 - K out in proportion to the
        floats that it gets. Given frequencies less 1 it scales by exactly 1, and nothing is rounded anywhere.
        """
        shares = np.asarray(self.frequencies, np.float64) - 1
        return constriction.stream.model.Categorical(shares, perfect=False)
