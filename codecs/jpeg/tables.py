"""JPEG's Huffman tables: the typical ones of ITU-T T.81 Annex K.3, and optimal ones for the symbols at hand.

A table is a pair (counts, symbols): how many codes there are of 1…16 bits, and the symbols in order of code, as a DHT
segment holds them. The code of all ones is never used (T.81 C: it would look like fill bits); a pseudo-symbol that is
rarer than all others reserves it (K.2).
"""

import numpy as np

from ...primitives.entropy.huffman import code_lengths
from .kernels import CODES

Table = tuple[np.ndarray, np.ndarray]

_DC_SYMBOLS = bytes(range(12))
_AC_LUMA_SYMBOLS = bytes.fromhex(
    "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a3435363738393a"
    "434445464748494a535455565758595a636465666768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9"
    "aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa"
)
_AC_CHROMA_SYMBOLS = bytes.fromhex(
    "000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f11718191a262728292a35363738"
    "393a434445464748494a535455565758595a636465666768696a737475767778797a82838485868788898a92939495969798999aa2a3a4a5"
    "a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa"
)


def _table(counts: list[int], symbols: bytes) -> Table:
    return np.array(counts, np.uint8), np.frombuffer(symbols, np.uint8)


#: T.81 Tables K.3 to K.6, by class << 4 | number: DC and AC of luma (0) and chroma (1).
STANDARD = {
    0x00: _table([0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0], _DC_SYMBOLS),
    0x01: _table([0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0], _DC_SYMBOLS),
    0x10: _table([0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125], _AC_LUMA_SYMBOLS),
    0x11: _table([0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119], _AC_CHROMA_SYMBOLS),
}


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
