"""Frequency tables, Gaussians and mixtures, the rANS stream, TokenCoded: docs/format/tables.md."""

import functools
import itertools
from bisect import bisect_right
from decimal import ROUND_CEILING, Decimal, localcontext

import numpy as np

from .container import Reader, check

_LIMITS = (108, 152, 215, 304, 431, 609)


class Table:
    """A distribution with a window low … high and cumulative frequencies."""

    def __init__(self, frequencies, low):
        self.low, self.high = int(low), int(low) + len(frequencies) - 3
        self.sums = [0, *np.cumsum(frequencies, dtype=np.int64).tolist()]
        check(self.sums[-1] == 1 << 24, "a table's frequencies do not add up")

    def cumulative(self, s):
        return self.sums[s - self.low + 1]


def tables_of(frequencies, sizes, lowest) -> list[Table]:
    parts = np.split(frequencies.astype(np.int64), np.cumsum(sizes)[:-1])
    return [Table(part, low) for part, low in zip(parts, lowest, strict=True)]


def _exact(function):
    @functools.cache
    def wrapped():
        with localcontext() as context:
            context.prec = 40
            return function()

    return wrapped


@_exact
def scales():
    """(inverse, reach, thresholds)."""
    first, step = Decimal("0.11"), (Decimal(256) / Decimal("0.11")).ln() / 63
    sigma = [first * (step * i).exp() for i in range(64)]
    between = [256 * (a * b).sqrt() for a, b in itertools.pairwise(sigma)]
    thresholds = [int(value.to_integral_value(ROUND_CEILING)) for value in between]
    return [round(2**24 / s) for s in sigma], [round(Decimal("4.5") * 256 * s) for s in sigma], thresholds


@_exact
def phi():
    """The normal distribution at -8 … 8, from the series of its density's integral."""
    root = (2 * Decimal("3.141592653589793238462643383279502884197")).sqrt()
    upper = []
    for n in range(2049):
        u = Decimal(n) / 256
        term, total, odd = u, u, 1
        while term > total * Decimal("1e-20"):
            odd += 2
            term *= u * u / odd
            total += term
        upper.append(round(2**30 * total * (-u * u / 2).exp() / root))
    return [2**29 - value for value in upper[:0:-1]] + [2**29 + value for value in upper]


@_exact
def expo():
    return [round(2**16 * (Decimal(-j) / 256).exp()) for j in range(3018)]


def scale_index(scale):
    return bisect_right(scales()[2], scale)


class Mixture:
    """A distribution as `Table`: weights, means and scale indices of some Gaussians."""

    def __init__(self, weights, means, indices):
        means = [min(max(mean, -(1 << 23)), 1 << 23) for mean in means]
        inverse, reach, _ = scales()
        self.parts = [(w, m, inverse[i]) for w, m, i in zip(weights, means, indices, strict=True)]
        self.low = min((m - reach[i]) >> 8 for m, i in zip(means, indices, strict=True))
        self.high = max(-((-m - reach[i]) >> 8) for m, i in zip(means, indices, strict=True))
        self.spare = (1 << 24) - 512 - 64 * (self.high - self.low + 1)

    def cumulative(self, s):
        area, table = 0, phi()
        for weight, mean, inverse in self.parts:
            u = ((256 * s - 128 - mean) * inverse >> 8) + (1 << 27)
            j, part = divmod(min(max(u, 0), (1 << 28) - 1), 1 << 16)
            area += weight * (table[j] + ((table[j + 1] - table[j]) * part >> 16))
        return 256 + 64 * (s - self.low) + ((area >> 16) * self.spare >> 30)


@functools.cache
def gaussian(index) -> Table:
    """The Gaussian table of a scale index."""
    mixture = Mixture([1 << 16], [0], [index])
    edges = [0, *map(mixture.cumulative, range(mixture.low, mixture.high + 2)), 1 << 24]
    return Table(np.diff(edges), mixture.low)


def mixture_of(logits, means, deviations) -> Mixture:
    """A mixture from what a network predicts."""
    best, table = logits.index(max(logits)), expo()
    powers = [table[min(logits[best] - g, 3017)] for g in logits]
    weights = [(power << 16) // sum(powers) for power in powers]
    weights[best] += (1 << 16) - sum(weights)
    return Mixture(weights, means, [scale_index(deviation) for deviation in deviations])


def edge(distribution, s):
    """The frequency of everything below a symbol; tails count as the first symbol in them."""
    if s < distribution.low:
        return 0
    return distribution.cumulative(s) if s <= distribution.high + 1 else 1 << 24


def last_at_most(distribution, frequency):
    """The last symbol of low - 1 … high + 1 whose edge is at most a frequency."""
    below, above = distribution.low - 1, distribution.high + 2
    while above - below > 1:
        middle = (below + above) >> 1
        below, above = (middle, above) if distribution.cumulative(middle) <= frequency else (below, middle)
    return below


class Rans:
    """Symbols of a rANS stream."""

    def __init__(self, data: bytes):
        head = len(data) if len(data) < 5 else 5 + (len(data) - 5) % 4
        check(data[:1] != b"\0", "the stream begins with a zero byte")
        self.state, self.words = int.from_bytes(data[:head], "big"), iter(np.frombuffer(data[head:], ">u4").tolist())

    def pop(self, start, end):
        self.state = (self.state >> 24) * (end - start) + self.state % (1 << 24) - start
        if self.state < 1 << 32 and (word := next(self.words, None)) is not None:
            self.state = self.state << 32 | word

    def bit(self):
        bit = self.state >> 23 & 1
        self.pop(bit << 23, (bit + 1) << 23)
        return bit

    def symbol(self, distribution) -> int:
        symbol = last_at_most(distribution, self.state % (1 << 24))
        low, high = distribution.low, distribution.high
        start = 0 if symbol < low else distribution.cumulative(symbol)
        self.pop(start, distribution.cumulative(symbol + 1) if symbol <= high else 1 << 24)
        if low <= symbol <= high:
            return symbol
        zeros = 0
        while not self.bit():
            zeros += 1
            check(zeros < 32, "a distance is too large")
        distance = 1
        for _ in range(zeros):
            distance = 2 * distance + self.bit()
        symbol = low - distance if symbol < low else high + distance
        check(-(1 << 31) <= symbol < 1 << 31, "a symbol has more than 32 bits")
        return symbol

    def finish(self):
        check(self.state == 0 and next(self.words, None) is None, "there is more in the stream than symbols")


def token_coded(payload: bytes, tensors):
    """(size, level, symbols [N,C]) with the tensors of a token model."""
    reader = Reader(payload)
    size, level, used = (reader.varint(), reader.varint()), reader.byte(), reader.byte()
    sigma = tensors["sigma"].astype(np.int64)
    rows, columns, channels = sigma.shape
    check(level <= 56 and used <= channels, "no such tokens")
    single = (rows, columns) == (1, 1)
    count = reader.varint() if single else rows * columns
    classes = np.clip(((sigma - 88 + level + 2) >> 2) + 20, 0, 51).reshape(-1, channels)
    tables, decoder = tables_of(*(tensors[name] for name in ("frequencies", "sizes", "lowest"))), Rans(reader.rest())
    symbols, seen, wanted = np.zeros((count, channels), np.int64), [0] * count, [0] * count
    for c in range(used):
        for token in range(count):
            s = int(classes[0 if single else token, c])
            ratio = (256 * min(seen[token], 1 << 24) + 768) * 256 // (wanted[token] + 768)
            symbol = decoder.symbol(tables[7 * s + sum(limit <= ratio for limit in _LIMITS)])
            symbols[token, c] = symbol
            seen[token] += min(abs(symbol), 1 << 16)
            wanted[token] += int(tensors["expected"][s])
    decoder.finish()
    return size, level, symbols
