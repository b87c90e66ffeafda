"""JPEG's Huffman tables for the symbols at hand: optimal ones.

A table is a pair (counts, symbols): how many codes there are of 1…16 bits, and the symbols in order of code, as a DHT
segment holds them. The code of all ones is never used (T.81 C: it would look like fill bits); a pseudo-symbol that is
rarer than all others reserves it (K.2).
"""

import numpy as np

from ...primitives.entropy.huffman import code_lengths
from .kernels import CODES
from .typical import STANDARD, Table  # noqa: F401 - the typical ones, for those who look for them here


def _lengths(counts: np.ndarray) -> np.ndarray:
    """Code lengths of eight tables' symbols [8,256] for token counts [CODES], the code of all ones left free."""
    # Real symbols weigh so much more than the pseudo-symbol that it never costs them a bit.
    weights = np.ones((8, 257), np.int64)
    weights[:, :256] = counts[: 8 * 256].reshape(8, 256) << 20
    return code_lengths(weights, limit=16)[:, :256]


def optimal(counts: np.ndarray) -> dict[int, Table]:
    """Optimal tables for token counts (int64 [CODES]), by class << 4 | number; none where nothing is counted.

    >>> counts = np.zeros(CODES, np.int64)
    >>> counts[[0, 1, 5]] = 10, 5, 1
    >>> [array.tolist() for array in optimal(counts)[0x00]]
    [[1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 1, 5]]
    """
    tables = {}
    for number, lengths in enumerate(_lengths(counts)):
        if not lengths.any():
            continue
        order = np.argsort(lengths, kind="stable")
        symbols = order[np.count_nonzero(lengths == 0) :].astype(np.uint8)
        tables[(number >> 2) << 4 | number & 3] = np.bincount(lengths, minlength=17)[1:].astype(np.uint8), symbols
    return tables


def coded_bits(counts: np.ndarray) -> int:
    """Bits that the counted symbols take with their optimal tables, those tables included."""
    lengths = _lengths(counts)
    bits = int(counts[: 8 * 256] @ lengths.ravel())
    return bits + 8 * int(17 * np.count_nonzero(lengths.any(1)) + np.count_nonzero(lengths))


def code_words(tables: dict[int, Table]) -> tuple[np.ndarray, np.ndarray]:
    """Code words (uint32) and their lengths (uint8) for every token code [CODES]; length 0 where there is no word.

    >>> words, lengths = code_words(STANDARD)
    >>> int(words[4 * 256]), int(lengths[4 * 256])  # end of block, AC luma
    (10, 4)
    """
    words, lengths = np.zeros(CODES, np.uint32), np.zeros(CODES, np.uint8)
    for number, (counts, symbols) in tables.items():
        first = 256 * ((number >> 4) * 4 + (number & 3))
        code, k = 0, 0
        for length, count in enumerate(counts.tolist(), 1):
            for symbol in symbols[k : k + count].tolist():
                words[first + symbol], lengths[first + symbol] = code, length
                code += 1
            k += count
            code <<= 1
    return words, lengths
