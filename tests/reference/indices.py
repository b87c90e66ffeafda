"""FixedIndices, StaticIndices, AdaptiveIndices, MixedIndices and NetworkIndices: docs/format/indices.md."""

import json
from decimal import Decimal, localcontext

import numpy as np

from .arithmetic import NEW_COUNTER, SQUASH, STRETCH, Decoder, Made, adaptive_decision, half_sum, mixed_decision
from .container import Bits, Reader, check
from .static import RangeDecoder, read_frequencies, words_of

_MASK = (1 << 64) - 1


class _Payload:
    """The fields before the layers, and the layers."""

    def __init__(self, payload, levels=None):
        reader = Reader(payload)
        self.size, self.grid = (reader.varint(), reader.varint()), (reader.varint(), reader.varint())
        self.dimensions, flags = reader.varint(), reader.byte()
        check(self.size == (0, 0) or min(self.size) > 0, "a picture without pixels")
        check(min(self.grid) > 0 and 1 <= self.dimensions <= 1 << 16 and flags <= (1 if levels else 3), "no indices")
        if levels:
            check(self.dimensions <= len(levels), "the tokenizer has fewer dimensions")
            self.sizes = list(levels[: self.dimensions])
        elif flags & 2:
            self.sizes = [reader.varint()] * self.dimensions
        else:
            self.sizes = [reader.varint() for _ in range(self.dimensions)]
        check(1 <= min(self.sizes) <= max(self.sizes) <= 1 << 20, "no vocabulary")
        lengths = [reader.varint() for _ in range(self.dimensions - 1)] if flags & 1 else []
        self.layers = [reader.raw(length) for length in lengths] + [reader.rest()]
        everything = range(self.dimensions)
        self.split = [[d] for d in everything] if flags & 1 else [list(everything)]
        self.count = self.grid[0] * self.grid[1]
        self.values = np.zeros((self.dimensions, self.count), np.int64)

    def decode(self, layer_of):
        """(size, grid, indices [N,D]), with a function that decodes a layer of some dimensions."""
        for layer, dimensions in zip(self.layers, self.split, strict=True):
            layer_of(layer, dimensions)
        return self.size, self.grid, self.values.T


def fixed_indices(payload: bytes):
    """(size, grid, indices [N,D]), as of all functions here."""
    p = _Payload(payload)

    def layer(data, dimensions):
        bits = Bits(data)
        for d in dimensions:
            width = (p.sizes[d] - 1).bit_length()
            p.values[d] = [bits.read(width) for _ in range(p.count)]
            check(p.values[d].max() < p.sizes[d], "an index outside its vocabulary")
        check(bits.left < 8, "there are bytes behind the indices")

    return p.decode(layer)


def static_indices(payload: bytes):
    p = _Payload(payload)

    def layer(data, dimensions):
        reader = Reader(data)
        for d in dimensions:
            size = p.sizes[d]
            bits = min(max(7, (p.count - 1).bit_length(), size.bit_length() if size <= p.count else 0), 20)
            frequencies = read_frequencies(Bits(reader.block()), size, bits)
            decoder = RangeDecoder(words_of(reader.block()))
            p.values[d] = decoder.symbols(frequencies, bits, p.count)
        check(not reader.rest(), "there are bytes behind the indices")

    return p.decode(layer)


def _walk(size, decide):
    """An index, bit by bit: `decide(node, bits before)`."""
    bits, node = (size - 1).bit_length(), 1
    for before in range(bits):
        prefix = node - (1 << before)
        skipped = (2 * prefix + 1) << (bits - 1 - before) >= size
        node = 2 * node + (0 if skipped else decide(node, before))
    return node - (1 << bits)


def adaptive_indices(payload: bytes):
    p = _Payload(payload)

    def layer(data, dimensions):
        decoder = Decoder(data)
        for d in dimensions:
            counters = Made(NEW_COUNTER)

            def decide(node, before, counters=counters):
                return adaptive_decision(decoder, counters[node], 255)

            p.values[d] = [_walk(p.sizes[d], decide) for _ in range(p.count)]
        decoder.finish()

    return p.decode(layer)


class _Contexts:
    """The eight contexts of an index, and the counters in their hash tables."""

    def __init__(self, payload, decisions):
        self.values, (_, self.columns), self.counters = payload.values, payload.grid, Made(NEW_COUNTER)
        self.mask = (1 << min(max((2 * decisions - 1).bit_length(), 12), 22)) - 1

    def find(self, d, n):
        def value(dimension, token, inside):
            return int(self.values[dimension, token]) + 1 if inside else 0

        column, w = n % self.columns, self.columns
        left, above = value(d, n - 1, column), value(d, n - w, n >= w)
        corner = value(d, n - w - 1, n >= w and column)
        right = value(d, n - w + 1, n >= w and column + 1 < w)
        before, earlier = value(d - 1, n, d > 0), value(d - 2, n, d > 1)
        pairs = ((0, 0), (left, 0), (above, 0), (left, above), (before, 0), (before, earlier), (before, left))
        self.hashes = [_hash(m, d, y, z) for m, (y, z) in enumerate((*pairs, (corner, right)))]
        self.agreement = 4 * (left == above) + 2 * (left == corner) + (above == corner)

    def at(self, node):
        """The counters, and the trust in them."""
        places = [((h + node) * 0xD6E8FEB86659FD93 & _MASK) >> 32 & self.mask for h in self.hashes]
        found = [self.counters[key] for key in enumerate(places)]
        counts = [found[m][1] for m in (1, 4, 6)]
        seen = [(count > 0) + (count > 2) + (count > 9) for count in counts]
        return found, 16 * seen[0] + 4 * seen[1] + seen[2]


def _hash(m, d, y, z):
    h = m * 0x9E3779B97F4A7C15 + d & _MASK
    h = (h ^ (h >> 29)) * 0xBF58476D1CE4E5B9 + y & _MASK
    h = (h ^ (h >> 32)) * 0x94D049BB133111EB + z & _MASK
    return (h ^ (h >> 31)) * 0x9E3779B97F4A7C15 & _MASK


def mixed_indices(payload: bytes):
    p = _Payload(payload)
    contexts = _Contexts(p, sum(p.count * max((size - 1).bit_length(), 1) for size in p.sizes))
    sets = Made([7000] * 8)

    def layer(data, dimensions):
        decoder = Decoder(data)
        for d in dimensions:

            def decide(node, before, d=d):
                counters, trust = contexts.at(node)
                chosen = (min(d, 15), before), ("agreement", contexts.agreement, before), trust
                return mixed_decision(
                    decoder, counters, [sets[key] for key in chosen], lambda d: SQUASH[d[0] + d[1] + 2 * d[2] >> 2]
                )

            for n in range(p.count):
                contexts.find(d, n)
                p.values[d, n] = _walk(p.sizes[d], decide)
        decoder.finish()

    return p.decode(layer)


def tokenizer(said, tensors):
    """Levels of a tokenizer's file, and the tensors w1 … b3 of its causal network."""
    causal = {name[7:]: tensor for name, tensor in tensors.items() if name.startswith("causal.")}
    return json.loads(said["levels"]), causal


def network_indices(payload: bytes, model):
    levels, tensors = model
    p = _Payload(payload, levels)
    contexts = _Contexts(p, p.count * sum((size - 1).bit_length() for size in p.sizes))
    sets, activity = Made([65536] + [0] * 8), np.zeros(p.grid, np.int64)

    def layer(data, dimensions):
        decoder = Decoder(data)
        for d in dimensions:
            own = {name: tensor[d].astype(np.int64) for name, tensor in tensors.items()}
            for n in range(p.count):
                f = _frequencies(_inputs(p, d, n, len(levels), activity), own, p.sizes[d])
                contexts.find(d, n)
                low, high, total = 0, p.sizes[d], 65536
                while high - low > 1:
                    middle = (low + high) >> 1
                    upper = sum(f[middle:high])
                    counters, trust = contexts.at(low << 8 | high)
                    opinion = STRETCH[min(max((upper << 12) // total, 1), 4095)]
                    weights = [sets["dimension", d], sets["trust", trust]]
                    bit = mixed_decision(decoder, counters, weights, half_sum, opinion=[opinion])
                    low, high, total = (middle, high, upper) if bit else (low, middle, total - upper)
                p.values[d, n] = low
            if d:
                moved = np.abs(p.values[d] - p.sizes[d] // 2).reshape(p.grid)
                np.minimum(activity + moved, 127, out=activity)
        decoder.finish()

    return p.decode(layer)


def _inputs(p, d, n, dimensions, activity):
    rows, columns = p.grid
    row, column = divmod(n, columns)

    def centre(j, dy=0, dx=0):
        y, x = row + dy, column + dx
        inside = 0 <= y < rows and 0 <= x < columns and (j < d or (dy, dx) != (0, 0))
        return int(p.values[j, y * columns + x]) - p.sizes[j] // 2 if inside else 0

    x = [centre(d, *at) for at in ((0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0))]
    x += np.pad(activity, 1)[row : row + 3, column : column + 3].ravel().tolist()
    for j in range(4):
        x += [centre(j, *at) if j < d else 0 for at in ((0, -1), (-1, 0), (0, 1), (1, 0))]
    x += [centre(j) if j < d else 0 for j in range(dimensions)]
    return np.clip(x, -127, 127)


def _powers():
    with localcontext() as context:
        context.prec = 40
        return [round(Decimal(2) ** (40 + Decimal(j) / 256)) for j in range(256)]


_POWERS = _powers()


def _frequencies(x, own, size):
    a = np.clip((own["b1"] + x @ own["w1"]) >> 4, 0, 1 << 20)
    b = np.clip((own["b2"] + a @ own["w2"]) >> 12, 0, 1 << 20)
    c = ((own["b3"] + b @ own["w3"]) >> 12)[:size].tolist()
    best, f = c.index(max(c)), []
    for value in c:
        whole, part = divmod(max(c) - value, 256)
        power = _POWERS[256 - part] >> (whole + 1) if part else _POWERS[0] >> whole
        f.append(0 if max(c) - value > 10240 else power)
    total = (sum(f) >> 16) + 1
    f = [1 + (value >> 16) * (65536 - size) // total for value in f]
    f[best] += 65536 - sum(f)
    return f
