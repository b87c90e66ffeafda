"""DctCoded: docs/format/dct.md."""

import math

import numpy as np

from .arithmetic import LIMIT, NEW_COUNTER, SQUASH, Decoder, Made, level, mixed_decision
from .container import Reader, check, picture_header

_FIRST_MAP = [SQUASH[min(256 * j - LIMIT, LIMIT)] for j in range(24)]
_BASIS = [
    [1448 if u == 0 else round(2048 * math.cos(math.pi * (2 * x + 1) * u / 16)) for x in range(8)] for u in range(8)
]
_EDGES = ([k for k in range(1, 8)], [8 * k for k in range(1, 8)])
_NOTHING = [0] * 64

#: Blocks in half of the smallest code that has segments.
SEGMENT = 40000


def _zigzag():
    cells = [(u, v) for u in range(8) for v in range(8)]
    cells.sort(key=lambda cell: (sum(cell), cell[0] if sum(cell) % 2 else cell[1]))
    return [8 * u + v for u, v in cells]


_INTERIOR = [i for i in _zigzag() if i >= 8 and i % 8]


def few(x):
    return min(level(x), 7)


def sg(x, m):
    return min(max(x, -m), m) + m


def quot(a, b):
    return (2 * a + b) // (2 * b) if a >= 0 else -((-2 * a + b) // (2 * b))


def dct_coded(payload: bytes):
    """(header, planes)."""
    reader = Reader(payload)
    header = picture_header(reader)
    check(all(shape[2:] == (8, 8) for shape in header.shapes) and header.tables, "no blocks with tables")
    return header, decode_blocks(reader.rest(), [shape[:2] for shape in header.shapes], header.tables)


def decode_blocks(data: bytes, grids, tables) -> list[np.ndarray]:
    """Planes of blocks, of the given numbers of rows and columns."""
    reader = Reader(data)
    count = max(min(sum(rows * columns for rows, columns in grids) // SEGMENT, 64) // 2 * 2, 1)
    lengths = [reader.varint() for _ in range(count - 1)]
    planes = [np.zeros((rows, columns, 8, 8), np.int64) for rows, columns in grids]
    for t in range(count):
        code = reader.raw(lengths[t]) if t < count - 1 else reader.rest()
        segment = _Segment(code)
        for index, (rows, columns) in enumerate(grids):
            first, last = rows * t // count, rows * (t + 1) // count
            for (row, column), block in segment.plane(index, last - first, columns, tables[index]).items():
                planes[index][first + row, column] = np.reshape(block, (8, 8))
        segment.decoder.finish()
    return planes


class _Segment:
    def __init__(self, code):
        self.decoder, self.counters = Decoder(code), Made(NEW_COUNTER)
        self.own, self.activity, self.maps = Made([10281] * 9), Made([10281] * 9), Made(_FIRST_MAP)
        self.shape = self.blocks = None

    def plane(self, index, rows, columns, steps):
        """Blocks of a plane by (row, column)."""
        self.before = self.blocks if self.shape == (rows, columns) else {}
        self.shape, self.blocks = (rows, columns), {}
        self.g, self.q = min(index, 1), steps
        self.n, self.h, self.v, self.rests, self.pixels = {}, {}, {}, {}, {}
        for row in range(rows):
            for column in range(columns):
                self.block(row, column)
        return self.blocks

    def decide(self, what, contexts, node, own, activity):
        counters = [self.counters[m, what, context, node] for m, context in enumerate(contexts)]
        entries, j, part = self.maps[own, node], 0, 0

        def combine(results):
            nonlocal j, part
            d = sum(results) >> 1
            j, part = (d + LIMIT) >> 8, (d + LIMIT) & 255
            refined = (entries[j] * (256 - part) + entries[j + 1] * part) >> 8
            return min(max((SQUASH[d] + 3 * refined) >> 2, 1), 65535)

        bit = mixed_decision(self.decoder, counters, (self.own[own, node], self.activity[activity, node]), combine)
        j += part >> 7
        entries[j] += (65535 * bit - entries[j]) >> 6
        return bit

    def number(self, kind, bits, contexts):
        what, node = (self.g, "number", kind), 1
        for _ in range(bits):
            node = 2 * node + self.decide(what, contexts, node, what, "number")
        return node - (1 << bits)

    def value(self, i, contexts, activity, signs=()):
        what, size, number = (self.g, i), 0, 1

        def decide(node, contexts=contexts):
            return self.decide(what, contexts, node, what, activity)

        while decide(min(size, 6)):
            size += 1
            check(size <= 17, "a value is too large")
        if not size:
            return 0
        for depth in range(size - 1):
            if depth > 1:
                node = 15
            else:
                node = 8 if size == 2 else 9 + 3 * min(size - 3, 1) + (number - 1 if depth else 0)
            number = 2 * number + decide(node)
        value = -number if decide(7, (*signs, *contexts[len(signs) :])) else number
        check(-32768 <= value < 32768 or i == 0, "a value is too large")
        return value

    def block(self, row, column):
        here = self.blocks[row, column] = [0] * 64

        def at(dy, dx):
            return self.blocks.get((row + dy, column + dx), _NOTHING)

        before = self.before.get((row, column), _NOTHING)
        self.interior(row, column, here, at, before)
        for e in range(2):
            self.edge(e, row, column, here, at, before)
        self.dc(row, column, here, before)

    def interior(self, row, column, here, at, before):
        left, above, corner, right = at(0, -1), at(-1, 0), at(-1, -1), at(-1, 1)
        left2, above2 = at(0, -2), at(-2, 0)
        nl, na, nc, nr = (self.n.get((row + y, column + x), 0) for y, x in ((0, -1), (-1, 0), (-1, -1), (-1, 1)))
        nb = sum(before[i] != 0 for i in _INTERIOR)
        mean = (2 * (nl + na) + nc + nr + 3) // 6
        contexts = (
            mean,
            min(nl, 49) // 2 * 25 + min(na, 49) // 2,
            nb * 16 + level(mean),
            self.h.get((row - 1, column), 0) * 8 + self.v.get((row, column - 1), 0),
            level(nc) * 16 + level(nr),
            nl,
            na,
            level(nl) * 16 + level(nb),
            2 * (column > 0) + (row > 0),
        )
        n = self.n[row, column] = self.number(0, 6, contexts)
        remaining, latest, earlier, total = n, 0, 0, 0
        for t, i in enumerate(_INTERIOR):
            if not remaining:
                break
            u, v = divmod(i, 8)
            west, north, diagonal = abs(left[i]), abs(above[i]), abs(corner[i]) + abs(right[i])
            around = (13 * (west + north) + 5 * diagonal + 8) >> 4
            up, across = abs(here[i - 8]) * (u > 1), abs(here[i - 1]) * (v > 1)
            both = abs(here[i - 9]) * (u > 1 and v > 1)
            near = 2 * (up + across) + both
            beside = [i - 1, i - 8, *([i + 1] if v < 7 else []), *([i + 8] if u < 7 else [])]
            wide = 2 * (west + north) + sum(abs(left[j]) + abs(above[j]) for j in beside)
            far = abs(left2[i]) + abs(above2[i])
            rest, some = 49 - t, min(remaining, 15)
            contexts = (
                level(around) * 16 + some,
                few(west) * 64 + few(north) * 8 + min(8 * remaining // rest, 7),
                min(up, 7) * 64 + min(across, 7) * 8 + min(both, 3) * 2 + (remaining > rest // 4),
                remaining * 16 + level(2 * latest + earlier),
                level(wide) * 16 + level(near),
                level(2 * abs(before[i])) * 16 + level(around + far),
                level(n) * 16 + level(total),
                level(wide + far + near) * 16 + min(16 * remaining // rest, 15),
                few(diagonal) * 64 + few(far) * 8 + few(near),
            )
            s = 3 * sg(left[i], 1) + sg(above[i], 1)
            a = sg(here[i - 8], 1) if u > 1 else 1
            b = sg(here[i - 1], 1) if v > 1 else 1
            signs = (s, s * 9 + 3 * sg(corner[i], 1) + sg(right[i], 1), sg(before[i], 2) * 9 + s, 3 * (3 * a + b))
            here[i] = self.value(i, contexts, level(around + near) * 16 + some, signs)
            earlier, latest = latest, abs(here[i])
            total += latest
            remaining -= latest > 0
        check(remaining == 0, "more values than there are")

    def edge(self, e, row, column, here, at, before):
        q, held, indices = self.q, (self.h, self.v)[e], _EDGES[e]
        c = 1 if e else 8
        beside, along = (at(0, -1), at(-1, 0)) if e else (at(-1, 0), at(0, -1))
        foreseen = {}
        for i in indices:
            total = 4096 * beside[i] * q[i]
            for j in range(1, 8):
                total += 5793 * ((-1) ** j * beside[i + j * c] - here[i + j * c]) * q[i + j * c]
            foreseen[i] = total >> 8 if (column if e else row) else 0
        expected = sum(abs(foreseen[i]) >= 8 * q[i] for i in indices)
        there, side = held.get((row - 1, column), 0), held.get((row, column - 1), 0)
        n, other = self.n[row, column], self.h[row, column] if e else 0
        nb = sum(before[i] != 0 for i in indices)
        contexts = (
            expected * 16 + level(n),
            there * 8 + side,
            expected * 64 + there * 8 + other,
            n * 8 + other,
            level(n) * 64 + there * 8 + side,
            expected * 64 + side * 8 + other,
            nb * 8 + expected,
            nb * 64 + there * 8 + side,
            n * 8 + expected,
        )
        remaining = held[row, column] = self.number(1 + e, 3, contexts)
        latest = earlier = 0
        for k, i in enumerate(indices, 1):
            if not remaining:
                break
            seen, whole = quot(foreseen[i], 8 * q[i]), quot(foreseen[i], 16 * q[i])
            a, b, inner = abs(beside[i]), abs(along[i]), abs(here[i + c]) + abs(here[i + 2 * c])
            contexts = (
                sg(seen, 31) * 8 + remaining,
                sg(whole, 7) * 64 + few(a) * 8 + few(b),
                sg(seen, 15) * 16 + level(n),
                few(a) * 64 + few(b) * 8 + remaining,
                few(latest) * 64 + few(earlier) * 8 + remaining,
                sg(whole, 7) * 64 + few(inner) * 8 + remaining,
                sg(before[i], 7) * 32 + sg(seen, 15),
                sg(along[i], 7) * 32 + sg(seen, 15),
                sg(beside[i], 15) * 32 + (2 * remaining > 8 - k) * 16 + level(abs(seen)),
            )
            here[i] = self.value(i, contexts, level(abs(seen)) * 16 + remaining + 8 * e)
            earlier, latest = latest, abs(here[i])
            remaining -= latest > 0
        check(remaining == 0, "more values than there are")

    def dc(self, row, column, here, before):
        pixel = self.pixels_of(here)
        above, left = self.pixels.get((row - 1, column)), self.pixels.get((row, column - 1))
        votes = []
        if above:
            votes += [(3 * above[7][x] - above[6][x] - (3 * pixel[0][x] - pixel[1][x])) >> 1 for x in range(8)]
        if left:
            votes += [(3 * left[y][7] - left[y][6] - (3 * pixel[y][0] - pixel[y][1])) >> 1 for y in range(8)]
        m, prediction, spread = len(votes), 0, 0
        lean = (sum(votes[:8]) - sum(votes[8:])) >> 3 if m == 16 else 0
        if m:
            votes.sort()
            quarter = m // 4
            prediction = sum(votes[quarter : m - quarter]) // (m - 2 * quarter)
            spread = votes[m - 1 - quarter // 2] - votes[quarter // 2]
        step = 2 * self.q[0]
        guess = quot(prediction, step)
        part = quot(4 * (prediction - guess * step), step)
        apart, lv = level(quot(spread, step)), sg(quot(2 * lean, step), 15)
        rl, ra = self.rests.get((row, column - 1), 0), self.rests.get((row - 1, column), 0)
        rb = before[0] - self.before.get((row, column - 1), _NOTHING)[0]
        count = self.n[row, column] + self.h[row, column] + self.v[row, column]
        contexts = (
            apart * 8 + part + 2,
            level(abs(rl)) * 16 + level(abs(ra)),
            lv * 16 + apart,
            level(count) * 16 + apart,
            sg(rb, 15) * 16 + apart,
            sg(rl, 15) * 32 + sg(ra, 15),
            level(quot(4 * spread, step)) * 8 + part + 2,
            level(abs(rl) + abs(ra)) * 16 + apart,
            lv * 8 + part + 2,
        )
        rest = self.rests[row, column] = self.value(0, contexts, apart * 16 + level(abs(rl) + abs(ra)))
        here[0] = min(max(guess, -32768), 32767) + rest
        check(-32768 <= here[0] < 32768, "a DC value is too large")
        self.pixels[row, column] = [[value + step * here[0] for value in line] for line in pixel]

    def pixels_of(self, block):
        """The pixels of a block without its DC, in units of 1/16."""
        values = [0, *(value * step for value, step in zip(block[1:], self.q[1:], strict=True))]
        if not any(values):
            return [[0] * 8 for _ in range(8)]
        work = [[sum(values[8 * u + v] * _BASIS[v][x] for v in range(8)) for x in range(8)] for u in range(8)]
        return [[sum(work[u][x] * _BASIS[u][y] for u in range(8)) >> 20 for x in range(8)] for y in range(8)]
