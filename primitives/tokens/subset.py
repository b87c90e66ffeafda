"""Which tokens were kept: a subset of the positions of a grid, in as few bits as it takes.

K of N positions are one of C(N,K) subsets, and no code for all of them has fewer bits than log2 C(N,K) on average: 463,
309, 190 bits for 144, 72, 36 of 576. Three codes, of which `encode_subset` takes the smallest:

- **enumerative**: the subset's number in the list of all, a plain integer of ⌈log2 C(N,K)⌉ bits. With the kept
  positions p_1 < p_2 < … < p_K it is Σ_i C(p_i, i) (the *combinatorial number system*). For grids of up to 2^14.
- **quadtree**: the grid is cut into four, again and again; a part that is empty or full is not cut. What each part is,
  is coded adaptively, a context for each depth. Small where what is kept lies together.
- **bitmap**: a bit a position, for what the others cannot do.

Stream: K (varint), then bits: 0 and the number, 10 and the quadtree's bytes, or 11 and the bitmap; the last byte is
filled with zeros. For K = 0 and K = N there are no bits.

Sources: T. M. Cover, "Enumerative Source Encoding", IEEE Trans. Information Theory 1973; E. F. Beckenbach, "Applied
Combinatorial Mathematics", 1964 (the number system); H. Samet, "The Quadtree and Related Hierarchical Data Structures",
1984.
"""

import math

import numpy as np

from ..bitstream import BitReader, BitWriter, ByteReader, ByteWriter
from ..entropy.binary_coder import POSITION, code_bit, finish, is_overrun, new_decoder, new_encoder
from ..entropy.mixing import counter_update
from ..errors import StreamError

#: The largest grid whose subsets can be coded.
MAX_POSITIONS = 1 << 20

#: The largest grid whose subsets are numbered.
MAX_NUMBERED = 1 << 14

_COUNTER_LIMIT = 30


def encode_subset(mask: np.ndarray) -> bytes:
    """The stream of a subset of a grid.

    Args:
        mask: bool [rows,columns], true where a token is kept.

    Raises:
        ValueError: no grid, or one of more than 2^14 positions.

    >>> mask = np.zeros((24, 24), bool)
    >>> mask[::4, ::4] = True
    >>> len(encode_subset(mask)), bool((decode_subset(encode_subset(mask), (24, 24)) == mask).all())
    (25, True)
    """
    mask = np.asarray(mask, bool)
    if mask.ndim != 2 or not 1 <= mask.size <= MAX_POSITIONS:
        raise ValueError(f"a subset is a mask [rows,columns] of at most {MAX_POSITIONS} positions, not {mask.shape}")
    out = ByteWriter()
    out.varint(int(mask.sum()))
    out.raw(_bits(mask).getvalue())
    return out.getvalue()


def subset_bits(mask: np.ndarray) -> int:
    """Bits of a subset's stream without K and without the last byte's filling.

    >>> subset_bits(np.eye(8, dtype=bool))
    34
    """
    return _bits(np.asarray(mask, bool)).bits


def decode_subset(data: bytes, grid: tuple[int, int]) -> np.ndarray:
    """The inverse of `encode_subset`: bool [rows,columns].

    Raises:
        StreamError: the stream is cut or damaged, or the grid too large.
    """
    rows, columns = grid
    n = rows * columns
    if rows < 1 or columns < 1 or n > MAX_POSITIONS:
        raise StreamError(f"subsets are of grids of 1 … {MAX_POSITIONS} positions, not of {rows}×{columns}")
    reader = ByteReader(data)
    k = reader.varint()
    if k > n:
        raise StreamError(f"{k} of {n} positions are kept")
    rest = reader.rest()
    bits = BitReader(rest)
    if k in (0, n):
        mask = np.full(grid, k == n)
    elif not bits.read(1):
        subsets = math.comb(n, k) if n <= MAX_NUMBERED else 0
        number = bits.read((subsets - 1).bit_length()) if subsets else 0
        if number >= subsets:
            raise StreamError("the subset's number is larger than there are subsets")
        mask = _unrank(number, n, k).reshape(grid)
    elif not bits.read(1):
        mask = _decode_quadtree(bits, grid)
    else:
        mask = _to_mask(bits.read(n), n).reshape(grid)
    if mask.sum() != k:
        raise StreamError("the subset holds another number of positions than its stream says")
    if len(rest) > -(-bits.position // 8):
        raise StreamError("there is more after the subset")
    return mask


def _bits(mask) -> BitWriter:
    """The smallest code."""
    out = BitWriter()
    n, k = mask.size, int(mask.sum())
    if k in (0, n):
        return out
    numbered = 1 + (math.comb(n, k) - 1).bit_length() if n <= MAX_NUMBERED else math.inf
    tree = _encode_quadtree(mask)
    if numbered <= min(2 + 16 + 8 * len(tree), 2 + n):
        out.write(0, 1)
        out.write(_rank(mask), numbered - 1)
    elif 16 + 8 * len(tree) <= n and len(tree) < 1 << 16:
        out.write(0b10, 2)
        out.write(len(tree), 16)
        out.write(int.from_bytes(tree, "big"), 8 * len(tree))
    else:
        out.write(0b11, 2)
        out.write(int.from_bytes(np.packbits(mask).tobytes(), "big") >> -n % 8, n)
    return out


def _to_mask(number: int, n: int) -> np.ndarray:
    """A bitmap's n bits as bool [n]."""
    data = (number << -n % 8).to_bytes(-(-n // 8), "big")
    return np.unpackbits(np.frombuffer(data, np.uint8), count=n).astype(bool)


def _rank(mask) -> int:
    """The subset's number: Σ C(p_i, i)."""
    return sum(math.comb(int(position), i) for i, position in enumerate(np.flatnonzero(mask), 1))


def _unrank(number: int, n: int, k: int) -> np.ndarray:
    """The inverse of `_rank`: bool [n]."""
    mask = np.zeros(n, bool)
    position, choose = n - 1, math.comb(n - 1, k)  # C(position, k)
    while k:
        if number >= choose:
            mask[position] = True
            number -= choose
            choose = choose * k // position if position else 0  # C(position - 1, k - 1)
            k -= 1
        else:
            choose = choose * (position - k) // position if position else 0  # C(position - 1, k)
        position -= 1
    return mask


def _encode_quadtree(mask) -> bytes:
    coder, data = new_encoder(), np.zeros(2 * mask.size + 64, np.uint8)
    _code_part(mask, 0, np.zeros((24, 2), np.int64), coder, data, False)
    finish(coder, data)
    return data[: coder[POSITION]].tobytes()


def _decode_quadtree(bits: BitReader, grid) -> np.ndarray:
    length = bits.read(16)
    data = np.frombuffer(bits.read(8 * length).to_bytes(length, "big"), np.uint8).copy()
    mask, coder = np.zeros(grid, bool), new_decoder(data)
    _code_part(mask, 0, np.zeros((24, 2), np.int64), coder, data, True)
    if is_overrun(coder, data):
        raise StreamError("the quadtree of the subset is cut")
    return mask


def _code_part(part, depth, counters, coder, data, decoding):
    """Code a part of the mask, a view, in either direction: is it empty? is it full? else its four parts."""
    if decoding and is_overrun(coder, data):
        raise StreamError("the quadtree of the subset is cut")
    for kind, (is_so, value) in enumerate(((not part.any(), False), (part.all(), True))):
        counter = int(counters[depth, kind])
        probability = min(max((counter >> 16) + 32768, 32), 65535 - 32)
        bit = code_bit(coder, data, probability, int(is_so), decoding) if part.size > 1 or kind == 0 else 1
        if part.size > 1 or kind == 0:
            counters[depth, kind] = counter_update(counter, bit, _COUNTER_LIMIT)
        if bit:
            part[...] = value
            return
    rows, columns = (-(-extent // 2) for extent in part.shape)
    for quarter in (part[:rows, :columns], part[:rows, columns:], part[rows:, :columns], part[rows:, columns:]):
        if quarter.size:
            _code_part(quarter, depth + 1, counters, coder, data, decoding)
