"""Entropy coding of latents: many integers, each with its own integer frequencies, in batches.

The coder is *rANS* (range asymmetric numeral systems), one integer x that holds the whole message. To push a symbol
with the interval [start, start + f) of 0 … 2^24, and to pop it again::

    push    x = (x div f) · 2^24  +  x mod f  +  start
    pop     q = x mod 2^24        the symbol is the one whose interval holds q;     x = f · (x div 2^24) + q - start

Pushing makes x larger by the factor 2^24 / f, so log2(x) grows by the symbol's information. x is kept in 64 bits:
before a push that would overflow, its lower 32 bits are moved to a list of words, and after a pop that leaves less than
2^32 the last word is taken back. Popping needs no division, which is why decoding is fast; symbols come out in the
reverse order, so the encoder keeps the intervals of all batches and pushes them from the last to the first.

**Order.** `LatentDecoder` is asked for one batch after the other, with the same tables and parameters as
`LatentEncoder` was given. So a context model may look at what is decoded before it says how the next batch is
distributed (`wavefronts` yields such batches).

**Tails.** Every table and mixture has a window of symbols and a bin for either tail. Behind a tail's bin follows the
distance from the window, 1, 2, …, in Exp-Golomb code of order 0: n zeros, a one, and the n bits of the distance below
its leading bit. So every int32 can be coded.

**Stream.** The final x, big-endian without leading zero bytes, then the words, last written first, big-endian. x starts
at 0 and passes 2^32 before the first word is written, so the length of the stream tells the two apart: x has 5 to
8 bytes if there are more. That is all: no header, no counts, and about two bytes more than the symbols' information.

**Damage.** A decoder that has popped all symbols has used all words and its x is 0 again. `LatentDecoder.finish` says
so. Decoding with a flipped bit, a cut end or other parameters nearly always fails there if not before, but there is no
redundancy in the stream for a guarantee: about one flipped bit in a thousand makes other symbols of the same total
information. A container's checksum finds these. Decoding takes time and memory in proportion to the number of symbols
asked for, whatever the stream holds.

Source: J. Duda, "Asymmetric numeral systems: entropy coding combining speed of Huffman coding with compression rate of
arithmetic coding", 2013; starting from 0 as in R. Bamler, "Understanding Entropy Coding With Asymmetric Numeral Systems
(ANS): a Statistician's Perspective", 2022. Exp-Golomb: ITU-T H.264, 9.1. `ans` is the same coder to read.
"""

import numpy as np

from ..compiled import njit
from ..errors import StreamError
from .integer_gaussian import Mixture, mixture_interval, mixture_symbol
from .models import PRECISION
from .tables import LOOKUP_BITS, FrequencyTables

#: Bits that an Exp-Golomb code has at most behind its ones and zeros; distances are below 2^32.
_MAX_BITS = 32

#: Intervals of a symbol in a tail, at most: its bin, and a bit each of its distance's code.
_TAIL_ROOM = 2 * _MAX_BITS + 2


class LatentEncoder:
    """Collect batches of symbols, then write them as one stream.

    >>> from codeckit.primitives.entropy.integer_gaussian import gaussian_tables
    >>> encoder = LatentEncoder()
    >>> encoder.put([0, -3, 10], [5, 20, 20], gaussian_tables())
    >>> encoder.put([70000], [0], gaussian_tables())
    >>> data = encoder.getvalue()
    >>> decoder = LatentDecoder(data)
    >>> decoder.get([5, 20, 20], gaussian_tables()), decoder.get([0], gaussian_tables())
    (array([ 0, -3, 10], dtype=int32), array([70000], dtype=int32))
    >>> decoder.finish()
    >>> len(data)
    13
    """

    def __init__(self):
        self._batches = []

    def put(self, symbols, indices, tables: FrequencyTables) -> None:
        """Append symbols that follow tables.

        Args:
            symbols: integers of 32 bits, any shape; coded in C order.
            indices: the table of each, the same shape.

        Raises:
            ValueError: the shapes differ, a symbol has more than 32 bits, or there is no such table.
        """
        symbols, indices = _symbols(symbols), _indices(indices)
        if symbols.shape != indices.shape:
            raise ValueError(f"every symbol has a table index: {symbols.shape} symbols, {indices.shape} indices")
        starts, widths, count = _table_intervals(
            symbols.ravel(), indices.ravel(), tables.cumulative, tables.first, tables.sizes, tables.lowest
        )
        if count < 0:
            raise ValueError(f"table indices are 0 … {len(tables) - 1}")
        self._batches.append((starts[:count], widths[:count]))

    def put_mixture(self, symbols, mixture: Mixture) -> None:
        """Append symbols [N] (integers of 32 bits) that follow the N distributions of `mixture`.

        Raises:
            ValueError: the numbers of symbols and distributions differ, or a symbol has more than 32 bits.
        """
        symbols = _symbols(symbols)
        if symbols.shape != (len(mixture),):
            raise ValueError(f"every symbol has a mixture: symbols {symbols.shape}, {len(mixture)} mixtures")
        starts, widths, count = _mixture_intervals(
            symbols, mixture.weights, mixture.means, mixture.scales, *mixture.constants()
        )
        self._batches.append((starts[:count], widths[:count]))

    def getvalue(self) -> bytes:
        """The stream of all symbols so far; more can be put after it."""
        size = sum(starts.size for starts, _ in self._batches)
        words = np.empty(size, np.uint32)  # a push writes one word at most
        state, count = np.uint64(0), 0
        for starts, widths in reversed(self._batches):
            state, count = _push(starts, widths, np.uint64(state), words, count)
        state = int(state)
        head = state.to_bytes((state.bit_length() + 7) // 8, "big")
        return head + words[:count][::-1].astype(">u4").tobytes()


class LatentDecoder:
    """Read batches of symbols: the inverse of `LatentEncoder`, whose docstring shows both.

    Raises:
        StreamError: no encoder writes these bytes.
    """

    def __init__(self, data: bytes):
        data = bytes(data)
        head = len(data) if len(data) < 5 else 5 + (len(data) - 5) % 4
        if data[:1] == b"\0":
            raise StreamError("the latents' stream is damaged: it begins with a zero byte")
        self._state = np.uint64(int.from_bytes(data[:head], "big"))
        self._words = np.frombuffer(data[head:], ">u4").astype(np.uint32)
        self._position = 0

    def get(self, indices, tables: FrequencyTables) -> np.ndarray:
        """The next symbols: int32, in the shape of `indices`.

        Args:
            indices: the table of each symbol, as the encoder was given them.

        Raises:
            StreamError: the stream is damaged (not all damage shows before `finish`).
            ValueError: there is no such table.
        """
        indices = _indices(indices)
        symbols = np.empty(indices.size, np.int32)
        status, state, self._position = _pop_tables(
            symbols, indices.ravel(), self._state, self._words, self._position, tables.cumulative, tables.first,
            tables.sizes, tables.lowest, tables.lookup,
        )  # fmt: skip
        self._state = np.uint64(state)
        if status == _NO_TABLE:
            raise ValueError(f"table indices are 0 … {len(tables) - 1}")
        _check(status)
        return symbols.reshape(indices.shape)

    def get_mixture(self, mixture: Mixture) -> np.ndarray:
        """The next symbols, one for each of the N distributions of `mixture`: int32 [N].

        Raises:
            StreamError: the stream is damaged (not all damage shows before `finish`).
        """
        symbols = np.empty(len(mixture), np.int32)
        status, state, self._position = _pop_mixtures(
            symbols, self._state, self._words, self._position, mixture.weights, mixture.means, mixture.scales,
            *mixture.constants(),
        )  # fmt: skip
        self._state = np.uint64(state)
        _check(status)
        return symbols

    def finish(self) -> None:
        """Check that the symbols read are all that the stream holds.

        Raises:
            StreamError: they are not, so the stream is cut or damaged, or was made with other parameters.
        """
        if self._state or self._position != self._words.size:
            raise StreamError("the latents' stream is cut, damaged, or was made with other weights")


def _symbols(symbols):
    symbols = np.asarray(symbols)
    if symbols.size and (symbols.min() < -(1 << 31) or symbols.max() >= 1 << 31):
        raise ValueError("symbols are integers of 32 bits")
    if symbols.size and symbols.dtype.kind not in "iu":
        raise ValueError(f"symbols are integers, not {symbols.dtype}")
    return np.ascontiguousarray(symbols, np.int32)


def _indices(indices):
    indices = np.asarray(indices)
    if indices.size and indices.dtype.kind not in "iu":
        raise ValueError(f"table indices are integers, not {indices.dtype}")
    return np.ascontiguousarray(indices, indices.dtype if indices.dtype == np.uint8 else np.int64)


_FINE, _DAMAGED, _NO_TABLE = 0, 1, 2


def _check(status):
    if status == _DAMAGED:
        raise StreamError("the latents' stream is damaged: it holds a number of more than 32 bits")


@njit(cache=True)
def _table_intervals(symbols, indices, cumulative, first, sizes, lowest):
    """The intervals to pop, in this order: starts and widths (uint32), and their number (-1: no such table)."""
    tails = 0
    for n in range(symbols.size):
        if not 0 <= indices[n] < sizes.size:
            return np.empty(0, np.uint32), np.empty(0, np.uint32), -1
        distance = symbols[n] - lowest[indices[n]]
        tails += not 0 <= distance < sizes[indices[n]] - 2
    starts = np.empty(symbols.size + tails * _TAIL_ROOM, np.uint32)
    widths = np.empty(starts.size, np.uint32)
    at = 0
    for n in range(symbols.size):
        table = indices[n]
        bin_ = symbols[n] - lowest[table] + 1
        last = sizes[table] - 1
        inside = min(max(bin_, 0), last)
        edge = first[table] + inside
        starts[at] = cumulative[edge]
        widths[at] = cumulative[edge + 1] - cumulative[edge]
        at += 1
        if inside == 0 or inside == last:
            at = _put_distance(abs(bin_ - inside) + 1, starts, widths, at)
    return starts, widths, at


@njit(cache=True)
def _mixture_intervals(symbols, weights, means, indices, inverse, reach, cdf):
    """`_table_intervals` for mixtures."""
    starts = np.empty(symbols.size + _TAIL_ROOM, np.uint32)
    widths = np.empty(starts.size, np.uint32)
    at = 0
    for n in range(symbols.size):
        start, end, distance = mixture_interval(np.int64(symbols[n]), n, weights, means, indices, inverse, reach, cdf)
        starts[at] = start
        widths[at] = end - start
        at += 1
        if distance:
            at = _put_distance(abs(distance), starts, widths, at)
        if starts.size - at < symbols.size - 1 - n + _TAIL_ROOM:  # room for all that remain inside, and a tail
            starts = np.concatenate((starts[:at], np.empty(2 * starts.size, np.uint32)))
            widths = np.concatenate((widths[:at], np.empty(2 * widths.size, np.uint32)))
    return starts, widths, at


@njit(cache=True)
def _put_distance(distance, starts, widths, at):
    """Append an Exp-Golomb code, each bit as half of all frequencies; returns the new number of intervals."""
    bits = 0
    while distance >> bits + 1:
        bits += 1
    for i in range(2 * bits, -1, -1):
        starts[at] = (distance >> i & 1) << PRECISION - 1
        widths[at] = 1 << PRECISION - 1
        at += 1
    return at


@njit(cache=True)
def _push(starts, widths, state, words, count):
    """Push all intervals, the last first; words[:count] are those written so far."""
    for n in range(starts.size - 1, -1, -1):
        start, width = np.uint64(starts[n]), np.uint64(widths[n])
        if state >= width << np.uint64(64 - PRECISION):
            words[count] = state & np.uint64(0xFFFFFFFF)
            count += 1
            state >>= np.uint64(32)
        share = state // width
        state = (share << np.uint64(PRECISION)) + (state - share * width) + start
    return state, count


@njit(cache=True, inline="always")
def _pop(state, words, position, start, width):
    """The state without the interval that holds its quantile, and the new position in the words."""
    quantile = state & np.uint64((1 << PRECISION) - 1)
    state = np.uint64(width) * (state >> np.uint64(PRECISION)) + (quantile - np.uint64(start))
    if state < np.uint64(1 << 32) and position < words.size:
        state = state << np.uint64(32) | np.uint64(words[position])
        position += 1
    return state, position


@njit(cache=True)
def _pop_bit(state, words, position):
    half = 1 << PRECISION - 1
    bit = np.int64(state) >> PRECISION - 1 & 1
    state, position = _pop(state, words, position, bit * half, half)
    return bit, state, position


@njit(cache=True)
def _pop_distance(state, words, position):
    """The inverse of `_put_distance`; the distance is 0 where no encoder's bits are found."""
    bits = 0
    while True:
        bit, state, position = _pop_bit(state, words, position)
        if bit:
            break
        bits += 1
        if bits == _MAX_BITS:
            return 0, state, position
    distance = 1
    for _ in range(bits):
        bit, state, position = _pop_bit(state, words, position)
        distance = distance << 1 | bit
    return distance, state, position


@njit(cache=True)
def _pop_tables(symbols, indices, state, words, position, cumulative, first, sizes, lowest, lookup):
    """Fill `symbols`: (status, state, position)."""
    for n in range(symbols.size):
        table = indices[n]
        if not 0 <= table < sizes.size:
            return _NO_TABLE, state, position
        quantile = np.int64(state & np.uint64((1 << PRECISION) - 1))
        bucket = quantile >> PRECISION - LOOKUP_BITS
        offset = first[table]
        below, above = np.int64(lookup[table, bucket]), np.int64(lookup[table, bucket + 1]) + 1
        while above - below > 1:
            middle = (below + above) >> 1
            if cumulative[offset + middle] <= quantile:
                below = middle
            else:
                above = middle
        start = cumulative[offset + below]
        state, position = _pop(state, words, position, start, cumulative[offset + below + 1] - start)
        symbol = lowest[table] + below - 1
        if below == 0 or below == sizes[table] - 1:
            distance, state, position = _pop_distance(state, words, position)
            symbol += 1 - distance if below == 0 else distance - 1
            if distance == 0 or symbol != np.int32(symbol):
                return _DAMAGED, state, position
        symbols[n] = symbol
    return _FINE, state, position


@njit(cache=True)
def _pop_mixtures(symbols, state, words, position, weights, means, indices, inverse, reach, cdf):
    """Fill `symbols`: (status, state, position)."""
    for n in range(symbols.size):
        quantile = np.int64(state & np.uint64((1 << PRECISION) - 1))
        symbol, start, end, side = mixture_symbol(quantile, n, weights, means, indices, inverse, reach, cdf)
        state, position = _pop(state, words, position, start, end - start)
        if side:
            distance, state, position = _pop_distance(state, words, position)
            symbol += side * distance
            if distance == 0 or symbol != np.int32(symbol):
                return _DAMAGED, state, position
        symbols[n] = symbol
    return _FINE, state, position
