"""Static tables: UniformCoded, HuffmanCoded, RangeCoded, AnsCoded: docs/format/static.md."""

import itertools
import math
from bisect import bisect_right

import numpy as np

from .container import Bits, Reader, check, picture_header, unfold

_TOKENS = 86


def _classes(shape):
    """Flat indices of the values of each class, in coding order."""
    positions, n = shape[0] * shape[1], math.prod(shape[2:])
    sums = np.indices(shape[2:]).sum(0).ravel() if shape[2:] else np.zeros(1, int)
    for total in range(int(sums.max()) + 1):
        yield (np.arange(positions)[:, None] * n + np.flatnonzero(sums == total)).ravel()


def _planes(shapes, values):
    """Planes of the values of all classes."""
    planes, values = [], iter(values)
    for shape in shapes:
        plane = np.zeros(math.prod(shape), np.int64)
        for where in _classes(shape):
            plane[where] = next(values)
        planes.append(plane.reshape(shape))
    return planes


def _sizes(shapes):
    return [where.size for shape in shapes for where in _classes(shape)]


def uniform_coded(payload: bytes):
    """(header, planes)."""
    reader = Reader(payload)
    header = picture_header(reader)
    ranges = [(size, unfold(reader.varint()), reader.byte()) for size in _sizes(header.shapes)]
    bits = Bits(reader.rest())
    return header, _planes(header.shapes, [[low + bits.read(w) for _ in range(n)] for n, low, w in ranges])


def _static(decode_tokens):
    def decode(payload: bytes):
        """(header, planes)."""
        reader = Reader(payload)
        header = picture_header(reader)
        tables, data = Bits(reader.block()), reader.block()
        classes = decode_tokens(tables, data, _sizes(header.shapes))
        extra = Bits(reader.rest())

        def value(token):
            if token < 32:
                return unfold(token)
            e = (token - 32 >> 1) + 4
            return unfold((2 + (token & 1)) << e | extra.read(e))

        return header, _planes(header.shapes, [[value(token) for token in tokens] for tokens in classes])

    return decode


def _huffman_tokens(tables, data, sizes):
    bits = Bits(data)
    for size in sizes:
        lengths = [tables.read(5) for _ in range(tables.read(7))]
        tokens, code, before = {}, 0, 0
        for length, token in sorted((length, token) for token, length in enumerate(lengths) if length):
            code <<= length - before
            tokens[length, code], before = token, length
            code += 1
        check(sum(2.0**-length for length, _ in tokens) <= 1, "the code lengths break Kraft's inequality")
        found = []
        for _ in range(size):
            code = length = 0
            while (length, code) not in tokens:
                code, length = 2 * code | bits.read(1), length + 1
            found.append(tokens[length, code])
        yield found


def read_frequencies(bits: Bits, count: int, precision: int) -> list[int]:
    """A table of frequencies up to the last that is not 0; they add up to 2^precision."""
    used = bits.read(count.bit_length())
    check(used <= count, "a table is too long")
    frequencies = [bits.gamma() - 1 for _ in range(used)]
    check(sum(frequencies) == 1 << precision, "frequencies do not add up")
    return frequencies


def _with_frequencies(coder):
    def decode_tokens(tables, data, sizes):
        decoder = coder(words_of(data))
        for size in sizes:
            precision = min(max(size.bit_length() // 2 + 4, 7), 12)
            frequencies = read_frequencies(tables, _TOKENS, precision)
            yield decoder.symbols(frequencies, precision, size)
        decoder.finish()

    return decode_tokens


def words_of(data: bytes) -> list[int]:
    check(len(data) % 4 == 0, "no whole number of words")
    return np.frombuffer(data, "<u4").tolist()


class _Coder:
    def symbols(self, frequencies, precision, count):
        """The next symbols; a symbol that is certain takes no part in the code."""
        used = [symbol for symbol, frequency in enumerate(frequencies) if frequency]
        if len(used) == 1:
            return used * count
        scale = 1 << (24 - precision)
        starts = list(itertools.accumulate((frequencies[symbol] * scale for symbol in used), initial=0))
        return [used[self.index(starts)] for _ in range(count)]


class RangeDecoder(_Coder):
    def __init__(self, words):
        self.words, self.lower, self.range = iter(words), 0, 2**64 - 1
        self.point = next(self.words, 0) << 32 | next(self.words, 0)

    def index(self, starts):
        scale = self.range >> 24
        q = (self.point - self.lower) % 2**64 // scale
        check(q < 1 << 24, "the range code is damaged")
        i = bisect_right(starts, q) - 1
        self.lower = (self.lower + scale * starts[i]) % 2**64
        self.range = scale * (starts[i + 1] - starts[i])
        if self.range < 1 << 32:
            self.lower, self.range = (self.lower << 32) % 2**64, self.range << 32
            self.point = (self.point << 32) % 2**64 | next(self.words, 0)
        return i

    def finish(self):
        check(next(self.words, None) is None, "there is more range code than symbols")


class AnsDecoder(_Coder):
    def __init__(self, words):
        check(not words or words[-1] != 0, "the rANS code ends in a zero word")
        self.words, self.state = list(words), 0
        self.refill()
        self.refill()

    def refill(self):
        if self.state < 1 << 32 and self.words:
            self.state = self.state << 32 | self.words.pop()

    def index(self, starts):
        q = self.state % (1 << 24)
        i = bisect_right(starts, q) - 1
        self.state = (self.state >> 24) * (starts[i + 1] - starts[i]) + q - starts[i]
        self.refill()
        return i

    def finish(self):
        check(self.state == 0 and not self.words, "there is more rANS code than symbols")


huffman_coded = _static(_huffman_tokens)
range_coded = _static(_with_frequencies(RangeDecoder))
ans_coded = _static(_with_frequencies(AnsDecoder))
