"""Huffman coding: every symbol gets a whole number of bits, frequent symbols few.

A *prefix code* gives symbol s a bit string of length l(s) that no other string begins with. Such strings exist exactly
when Kraft's inequality Σ 2^-l(s) ≤ 1 holds, so a code is described well enough by its lengths. Three steps make one:

1. `code_lengths` finds the lengths that minimise Σ count(s) · l(s) among all codes whose strings are no longer than a
   limit (JPEG allows 16 bits), by *package-merge*. Think of l(s) coins of symbol s, one of each face value 2^-1, 2^-2
   … 2^-l(s), each costing count(s): a code for n symbols is a purchase of coins that are worth n - 1 together, and the
   cheapest purchase is the optimal code. Going from the smallest coins up, pairs of neighbours in order of price are
   tied into packages that are worth one coin of the next size and compete with that size's own coins.
2. `canonical_codes` numbers the strings: shorter strings first, and in order of symbol among equals. Every decoder
   that knows the lengths finds the same strings.
3. `encode` writes the strings one after the other; `decode` finds each string's length by comparing the next bits with
   the first string of every length (canonical strings of one length are consecutive numbers).

The decoder must know the lengths: `pack_lengths` and `unpack_lengths` send them ahead of the strings.

With counts that are not powers of 1/2 a Huffman code loses up to one bit a symbol against the entropy, most for a
symbol that is nearly certain: it costs 1 bit where 0.01 would do. Range coding and ANS do not have this loss.

Sources: D. A. Huffman, "A Method for the Construction of Minimum-Redundancy Codes", Proc. IRE 1952. L. L. Larmore and
D. S. Hirschberg, "A Fast Algorithm for Optimal Length-Limited Huffman Codes", J. ACM 37(3), 1990 (package-merge).
E. S. Schwartz and B. Kallick, "Generating a Canonical Prefix Encoding", Comm. ACM 7(3), 1964.
"""

import numpy as np

from ..bitstream import BitReader, BitWriter
from ..compiled import njit
from ..errors import StreamError
from .bits import pack_bits

#: The longest code that `decode` reads.
MAX_LIMIT = 32


def code_lengths(counts: np.ndarray, limit: int = 16) -> np.ndarray:
    """Lengths of the optimal prefix code whose strings have at most `limit` bits.

    Args:
        counts: how often each symbol occurs [K], integers from 0 up; or those of several codes [N,K].
        limit: the longest string allowed, in bits, 1 … 32.

    Returns:
        uint8 lengths, as the counts: 0 for a symbol that does not occur, 1 for a symbol that occurs alone. Of two
        symbols with equal counts, the later one never gets the shorter string.

    Raises:
        ValueError: the counts are no counts, or more than 2^limit symbols occur.

    >>> code_lengths(np.array([5, 1, 0, 1, 9])).tolist()
    [2, 3, 0, 3, 1]
    >>> code_lengths(np.array([5, 1, 0, 1, 9]), limit=2).tolist()
    [2, 2, 0, 2, 2]
    """
    counts = np.asarray(counts)
    if counts.ndim not in (1, 2) or counts.dtype.kind not in "iu" or (counts.size and counts.min() < 0):
        raise ValueError("counts must be an array [K] or [N,K] of integers from 0 up")
    if not 1 <= limit <= MAX_LIMIT:
        raise ValueError(f"the limit must be 1 … {MAX_LIMIT} bits, not {limit}")
    if float(counts.sum(dtype=np.float64)) * limit >= 2.0**62:
        raise ValueError("the counts are too large to be added in 64 bits; scale them down")
    if counts.ndim == 2:
        return np.stack([_code_lengths(each, limit) for each in counts])
    return _code_lengths(counts, limit)


def _code_lengths(counts, limit):
    lengths = np.zeros(counts.size, np.uint8)
    present = np.flatnonzero(counts)
    if present.size > 1 << limit:
        raise ValueError(f"{present.size} symbols do not fit codes of {limit} bits; raise the limit")
    if present.size == 1:
        lengths[present] = 1
    elif present.size > 1:
        later_first = present[::-1]
        order = later_first[np.argsort(counts[later_first], kind="stable")]
        lengths[order] = _package_merge(counts[order].astype(np.int64), limit)
    return lengths


@njit(cache=True)
def _package_merge(prices, limit):
    """Lengths of n ≥ 2 symbols whose counts are sorted, rarest first."""
    n = prices.size
    # Row by row from the smallest coins: what is on offer, by price, and whether each item is a coin or a package.
    is_coin = np.zeros((limit, 2 * n), np.bool_)
    is_coin[0, :n] = True
    offer, offered = prices, n
    for size in range(1, limit):
        packages = offered // 2
        merged = np.empty(n + packages, np.int64)
        coin, package = 0, 0
        for i in range(n + packages):
            bundle = offer[2 * package] + offer[2 * package + 1] if package < packages else 0
            if package == packages or (coin < n and prices[coin] <= bundle):
                merged[i] = prices[coin]
                is_coin[size, i] = True
                coin += 1
            else:
                merged[i] = bundle
                package += 1
        offer, offered = merged, n + packages
    # Buy the cheapest 2n - 2 items of the largest size; every package among them is two items of the size below.
    lengths = np.zeros(n, np.uint8)
    buy = 2 * n - 2
    for size in range(limit - 1, -1, -1):
        coins = 0
        for i in range(buy):
            if is_coin[size, i]:
                lengths[coins] += 1
                coins += 1
        buy = 2 * (buy - coins)
    return lengths


def canonical_codes(lengths: np.ndarray) -> np.ndarray:
    """The code strings that belong to code lengths, as numbers.

    Args:
        lengths: bits a symbol [K], 0 for symbols without a string.

    Returns:
        uint32 strings [K]; the low ``lengths[s]`` bits of entry s count.

    Raises:
        ValueError: no prefix code has such lengths (Kraft's inequality).

    >>> canonical_codes(np.array([2, 3, 0, 3, 1])).tolist()
    [2, 6, 0, 7, 0]
    """
    lengths = np.asarray(lengths, np.int64)
    _check_kraft(lengths)
    codes = np.zeros(lengths.size, np.uint32)
    code, before = 0, 0
    for symbol in np.argsort(lengths, kind="stable"):
        length = int(lengths[symbol])
        if length:
            code <<= length - before
            codes[symbol] = code
            code, before = code + 1, length
    return codes


def _check_kraft(lengths):
    if lengths.ndim != 1 or (lengths.size and not 0 <= lengths.min() <= lengths.max() <= MAX_LIMIT):
        raise ValueError(f"code lengths must be a one-dimensional array of 0 … {MAX_LIMIT} bits")
    space = int((1 << (MAX_LIMIT - lengths[lengths > 0])).sum())
    if space > 1 << MAX_LIMIT:
        raise ValueError("no prefix code has these lengths: they break Kraft's inequality")


def encode(symbols: np.ndarray, lengths: np.ndarray) -> bytes:
    """The symbols' canonical strings, one after the other; the last byte is filled with zeros.

    Args:
        symbols: integers [N], 0 … K - 1.
        lengths: code lengths [K].

    Raises:
        ValueError: a symbol has no string.

    >>> encode(np.array([4, 0, 4, 3]), np.array([2, 3, 0, 3, 1])).hex()
    '4e'
    """
    lengths = np.asarray(lengths, np.int64)
    symbols = np.asarray(symbols)
    if symbols.size and not 0 <= symbols.min() <= symbols.max() < lengths.size:
        raise ValueError(f"symbols must lie in 0 … {lengths.size - 1}")
    widths = lengths[symbols]
    if symbols.size and widths.min() == 0:
        raise ValueError("a symbol has no code: its length is 0")
    return pack_bits(canonical_codes(lengths)[symbols], widths)


def decode(data: bytes, lengths: np.ndarray, count: int, position: int = 0) -> tuple[np.ndarray, int]:
    """The inverse of `encode`.

    Args:
        data: what `encode` returned, or several of its outputs joined bit by bit.
        lengths: the code lengths that `encode` had [K].
        count: number of symbols to read.
        position: the bit to begin at.

    Returns:
        int32 symbols [count] and the position behind the last one, in bits.

    Raises:
        StreamError: the data end early or hold a bit string that is no code.

    >>> decode(bytes.fromhex("4e"), np.array([2, 3, 0, 3, 1]), 4)
    (array([4, 0, 4, 3], dtype=int32), 7)
    """
    lengths = np.asarray(lengths, np.int64)
    _check_kraft(lengths)
    if count > 8 * len(data) - position:  # a symbol takes a bit at least
        raise StreamError("the Huffman data end too early")
    order = np.argsort(lengths, kind="stable")[np.count_nonzero(lengths == 0) :]
    per_length = np.bincount(lengths[order], minlength=MAX_LIMIT + 1)
    symbols, position = _decode(np.frombuffer(data, np.uint8), order, per_length, count, position)
    if position < 0:
        raise StreamError("the Huffman data hold a bit string that is no code")
    if position > 8 * len(data):
        raise StreamError("the Huffman data end too early")
    return symbols, position


@njit(cache=True)
def _decode(data, order, per_length, count, position):
    symbols = np.zeros(count, np.int32)
    end = 8 * data.size
    longest = per_length.size - 1
    for i in range(count):
        # `offset`: the bits so far as a number, less the first string of that length; `index`: symbols with less bits.
        offset, index, length = 0, 0, 0
        while True:
            if length == longest:
                return symbols, -1
            bit = data[position >> 3] >> (7 - (position & 7)) & 1 if position < end else 0
            position += 1
            length += 1
            offset = 2 * offset + bit
            if offset < per_length[length]:
                symbols[i] = order[index + offset]
                break
            offset -= per_length[length]
            index += per_length[length]
        if position > end:
            break
    return symbols, position


def pack_lengths(out: BitWriter, lengths: np.ndarray) -> None:
    """Write a code table: the number of symbols up to the last one that has a string, then 5 bits a symbol.

    Lengths are at most 31. `unpack_lengths` is the inverse; it takes as many symbols as the alphabet has.

    >>> out = BitWriter()
    >>> pack_lengths(out, np.array([2, 2, 0, 1, 0, 0]))
    >>> unpack_lengths(BitReader(out.getvalue()), 6)
    array([2, 2, 0, 1, 0, 0])
    """
    used = int(np.flatnonzero(lengths)[-1]) + 1 if np.any(lengths) else 0
    out.write(used, len(lengths).bit_length())
    for length in lengths[:used]:
        out.write(int(length), 5)


def unpack_lengths(reader: BitReader, alphabet: int) -> np.ndarray:
    """The inverse of `pack_lengths`: int64 lengths [alphabet].

    Raises:
        StreamError: the data end early, or the lengths belong to no prefix code.
    """
    lengths = np.zeros(alphabet, np.int64)
    used = reader.read(alphabet.bit_length())
    if used > alphabet:
        raise StreamError(f"a code table names {used} symbols, but the alphabet has {alphabet}")
    lengths[:used] = [reader.read(5) for _ in range(used)]
    try:
        _check_kraft(lengths)
    except ValueError as error:
        raise StreamError(str(error)) from error
    return lengths
