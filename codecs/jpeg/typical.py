"""JPEG's typical Huffman tables (ITU-T T.81 Annex K.3), which many files have, and which those without tables mean.

A table is a pair (counts, symbols): how many codes there are of 1…16 bits, and the symbols in order of code, as a DHT
segment holds them.
"""

import numpy as np

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
