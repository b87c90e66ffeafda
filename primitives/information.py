"""Empirical entropy: the bits that an ideal entropy coder needs for the symbols that stand there.

For symbols with counts n_k of N in all, an ideal static code spends

    H = Σ_k n_k · log2(N / n_k)   bits

(Shannon 1948), not counting the table that a real coder must also send. Comparing H with a stream's real bits shows
what an entropy coder exploits beyond order 0 (contexts, runs) or loses (whole-bit codes, tables).
"""

import numpy as np


def entropy_bits(symbols: np.ndarray) -> float:
    """Order-0 entropy of all symbols of an integer array together, in bits in total.

    >>> entropy_bits(np.array([0, 0, 1, 1]))
    4.0
    """
    counts = np.unique(np.asarray(symbols).ravel(), return_counts=True)[1].astype(np.float64)
    return float(counts @ np.log2(counts.sum() / counts)) if counts.size else 0.0


def class_entropy_bits(symbols: np.ndarray) -> float:
    """Order-0 entropy with one table a coefficient: the sum of `entropy_bits` over all axes but the first two.

    An array [h, w] has one class; coefficients [rows, columns, 8, 8] have 64.

    >>> blocks = np.zeros((2, 2, 1, 2), int)
    >>> blocks[..., 1] = 5
    >>> class_entropy_bits(blocks), entropy_bits(blocks)
    (0.0, 8.0)
    """
    symbols = np.asarray(symbols)
    classes = symbols.reshape(symbols.shape[0] * symbols.shape[1], -1)
    return sum(entropy_bits(column) for column in classes.T)
