"""ContextCoded and the chunks of video-teaching: docs/format/context.md."""

import math

import numpy as np

from .arithmetic import NEW_COUNTER, Decoder, Made, half_sum, level, mixed_decision, sign
from .container import Reader, check, picture_header

_FAR = 1 << 20


def context_coded(payload: bytes):
    """(header, planes)."""
    reader = Reader(payload)
    header = picture_header(reader)
    return header, decode_planes(reader.rest(), header.shapes)


def video_teaching(chunks: list[bytes], size: tuple[int, int]):
    """For each frame: whether it is an I-frame, and its planes of symbols, vectors first in P-frames."""
    rows, columns = (-(-extent // 16) for extent in size)
    check(len(chunks[0]) == 2 and chunks[0][0] in (1, 3), "the first chunk is damaged")
    shapes = [(2 * rows, 2 * columns, 8, 8), *[(rows, columns, 8, 8)] * (chunks[0][0] - 1)]
    memories, frames = ({}, {}), []
    for chunk in chunks[1:]:
        intra = chunk[0]
        check(intra < 2, "no kind of frame")
        vectors = [] if intra else [(rows, columns, 3)]
        frames.append((bool(intra), decode_planes(chunk[1:], vectors + shapes, memories[intra])))
    return frames


def decode_planes(data: bytes, shapes, memory=None) -> list[np.ndarray]:
    """Planes of the given shapes; `memory` keeps the statistics of each from picture to picture."""
    decoder, memory, planes, before = Decoder(data), {} if memory is None else memory, [], None
    for index, shape in enumerate(shapes):
        same = before is not None and before.shape == shape
        statistics = memory.get(index)
        if statistics is None:
            statistics = before.statistics if index >= 2 and same else _Statistics()
        memory[index] = statistics
        before = _Plane(shape, statistics, before if same else None)
        before.decode(decoder)
        planes.append(before.values.reshape(shape))
    decoder.finish()
    return planes


class _Statistics:
    def __init__(self):
        self.counters, self.by_slot, self.by_activity = Made(NEW_COUNTER), Made([10000] * 6), Made([10000] * 6)


def _neighbours(shape):
    """For each coefficient in order of frequency its neighbours N0 … N5 (None outside), and its place in C order."""
    order = sorted(np.ndindex(*shape), key=lambda index: (sum(index), index))
    rank = {index: k for k, index in enumerate(order)}
    if not shape:
        return [[None] * 6], [0]
    last = np.eye(len(shape), dtype=int)[-1]
    other = np.eye(len(shape), dtype=int)[-2 if len(shape) > 1 else -1]
    steps = (last, other, last + other, -last, -other, -last - other)
    near = [[rank.get(tuple((np.array(index) + step).tolist())) for step in steps] for index in order]
    return near, [int(np.ravel_multi_index(index, shape)) for index in order]


def _octave(at, extent):
    return (64 * at // extent).bit_length()


class _Plane:
    def __init__(self, shape, statistics, previous):
        self.shape, self.statistics, self.previous = shape, statistics, previous
        self.n = math.prod(shape[2:])
        self.near, self.place = _neighbours(shape[2:])
        self.slots = min(self.n, 512) if self.n > 1 else 49
        self.nothing = [0] * self.n
        self.coded, self.ends, self.sums = {}, {}, {}  # by (row, column); outside there is nothing
        self.values = np.zeros((*shape[:2], self.n), np.int64)  # in C order
        self.scan = {}

    def at(self, row, column):
        """The differences of a position."""
        return self.coded.get((row, column), self.nothing)

    def decode(self, decoder):
        self.decoder = decoder
        self.predicted = [decoder.plain(1) for _ in range(self.slots)]
        for row in range(self.shape[0]):
            for column in range(self.shape[1]):
                self.position(row, column)

    def decide(self, contexts, slot, activity, kind):
        s = self.statistics
        counters = [s.counters[m, slot, context, kind] for m, context in enumerate(contexts)]
        return mixed_decision(self.decoder, counters, [s.by_slot[slot, kind], s.by_activity[activity, kind]], half_sum)

    def position(self, row, column):
        n, where = self.n, (row, column)
        end = self.end(row, column) if n > 1 else 1
        self.ends[where] = end
        here = self.coded[where] = [0] * n
        values = self.scan[where] = [0] * n
        self.block = self.nonzero = 0
        for k in range(n - 1, -1, -1):
            slot = min(k, self.slots - 1)
            if n == 1:
                slot = 7 * _octave(row, self.shape[0]) + _octave(column, self.shape[1])
            difference = self.coefficient(row, column, k, slot, end) if k < end else 0
            here[k] = min(max(difference, -_FAR), _FAR)
            values[k] = difference + (self.prediction(row, column, k) if self.predicted[slot] else 0)
            check(-(1 << 31) <= values[k] < 1 << 31, "a value has more than 32 bits")
            self.values[row, column, self.place[k]] = values[k]
        self.sums[where] = self.block

    def prediction(self, row, column, k):
        if row == 0:
            return self.scan[row, column - 1][k] if column else 0
        above = self.scan[row - 1, column][k]
        if column == 0:
            return above
        left, diagonal = self.scan[row, column - 1][k], self.scan[row - 1, column - 1][k]
        return sorted((left, above, left + above - diagonal))[1]

    def end(self, row, column):
        n, ends, sums = self.n, self.ends, self.sums
        left, above = ends.get((row, column - 1), 0), ends.get((row - 1, column), 0)
        before = self.previous.ends[row, column] if self.previous else 0
        mean = (2 * (left + above) + ends.get((row - 1, column - 1), 0) + ends.get((row - 1, column + 1), 0)) // 6
        contexts = (
            (left + above + 1) // 2 * 255 // n,
            left * 15 // n * 16 + above * 15 // n,
            level(sums.get((row, column - 1), 0)) * 16 + level(sums.get((row - 1, column), 0)),
            mean * 255 // n,
            before * 15 // n * 16 + mean * 15 // n,
            left * 255 // n,
        )
        node, bits = 1, n.bit_length()
        for _ in range(bits):
            node = 2 * node + self.decide(contexts, "end", "end", min(node, min(1 << bits, 1024) - 1))
        check(node - (1 << bits) <= n, "more coefficients than there are")
        return node - (1 << bits)

    def coefficient(self, row, column, k, slot, end):
        here, left, above = self.at(row, column), self.at(row, column - 1), self.at(row - 1, column)
        corner, right = self.at(row - 1, column - 1), self.at(row - 1, column + 1)
        two_left, two_above = self.at(row, column - 2), self.at(row - 2, column)
        p = self.previous
        before = p.at(row, column) if p else self.nothing

        def of(block, index):
            return block[index] if index is not None else 0

        west, north, diagonal = abs(left[k]), abs(above[k]), abs(corner[k]) + abs(right[k])
        far = abs(two_left[k]) + abs(two_above[k])
        around = 2 * (west + north) + diagonal
        near = self.near[k]
        if self.n == 1:
            y, x = row // 2, column // 2
            up, across, both = abs(self.at(y, x)[0]), far, 0
            if row > 2:
                both = sum(abs(self.at(*at)[0]) for at in ((y, x - 1), (y, x + 1), (y - 1, x), (y + 1, x)))
            self.block = both + 2 * up
            wide = around + far
            beside = abs(p.at(row, column - 1)[0]) + abs(p.at(row, column + 1)[0]) if p else 0
        else:
            up, across, both = (abs(of(here, near[j])) for j in range(3))
            wide = around + sum(abs(of(left, j)) + abs(of(above, j)) for j in near)
            beside = abs(of(before, near[3])) + abs(of(before, near[4]))
        steps = 2 * (up + across) + both
        contexts = (
            min(west, 7) * 32 + min(north, 7) * 4 + min(steps, 3),
            level(end - k) * 16 + level(self.block),
            level(wide) * 16 + min(self.nonzero, 15),
            min(up, 3) * 64 + min(across, 3) * 16 + min(both, 3) * 4 + min((around + 3) // 4, 3),
            level(west + north + diagonal + far) * 16 + level(self.block + wide),
            level(2 * abs(before[k]) + beside) * 16 + level(around),
        )
        activity = level(around) * 16 + level(steps)
        magnitude = self.magnitude(contexts, slot, activity, int(self.n > 1 and k == end - 1))
        if not magnitude:
            return 0
        signs = 3 * sign(left[k]) + sign(above[k])
        contexts = (
            signs,
            (3 * sign(corner[k]) + sign(right[k])) * 9 + signs,
            min(magnitude, 5) * 9 + signs,
            (3 * sign(of(here, near[0])) + sign(of(here, near[1]))) * 3 + sign(of(here, near[2])),
            sign(self.at(row // 2, column // 2)[0]) if self.n == 1 else 3 * sign(two_left[k]) + sign(two_above[k]),
            3 * sign(before[k]) + sign(above[k]) if p else 0,
        )
        self.nonzero += 1
        self.block += magnitude if k else 0
        return -magnitude if self.decide(contexts, slot, activity, 31) else magnitude

    def magnitude(self, contexts, slot, activity, magnitude):
        while magnitude < 13:
            if not self.decide(contexts, slot, activity, magnitude):
                return magnitude
            magnitude += 1
        bits = 0
        while self.decide(contexts, slot, activity, min(13 + bits, 30)):
            bits += 1
            check(bits <= 33, "an escape code is too long")
        return (1 << bits | self.decoder.plain(bits)) + 12
