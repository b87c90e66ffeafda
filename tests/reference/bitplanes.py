"""BitPlaneCoded: docs/format/bitplanes.md."""

import numpy as np

from .arithmetic import NEW_COUNTER, SQUASH, Decoder, Made, level, mixed_decision, sign
from .container import Reader, check, picture_header

_AROUND = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]


class _Band:
    def __init__(self, component, letters, octave, levels, rows, columns):
        self.component, self.letters, self.octave = component, letters, octave
        self.rows, self.columns = rows, columns
        self.size = rows.stop - rows.start, columns.stop - columns.start
        self.resolution = 0 if letters == "LL" else levels + 1 - octave
        self.kind = {"LL": 0, "LH": 0, "HL": 1, "HH": 2}[letters]
        self.known, self.lowest = {}, {}  # by (row, column), where there is something
        self.parent = self.before = None

    def value(self, y, x):
        return self.known.get((y, x), 0)


def _bands(shapes, levels):
    bands = []
    for component, (h, w) in enumerate(shapes):
        heights = [-(-h >> o) for o in range(levels + 1)]
        widths = [-(-w >> o) for o in range(levels + 1)]
        bands.append(_Band(component, "LL", levels, levels, slice(0, heights[-1]), slice(0, widths[-1])))
        for o in range(levels, 0, -1):
            top, bottom = slice(0, heights[o]), slice(heights[o], heights[o - 1])
            left, right = slice(0, widths[o]), slice(widths[o], widths[o - 1])
            for letters, rows, columns in (("HL", top, right), ("LH", bottom, left), ("HH", bottom, right)):
                bands.append(_Band(component, letters, o, levels, rows, columns))
    bands = sorted((band for band in bands if 0 not in band.size), key=lambda band: band.resolution)
    known = {(band.component, band.letters, band.octave): band for band in bands}
    for band in bands:
        band.parent = known.get((band.component, band.letters, band.octave + 1))
        before = known.get((band.component - 1, band.letters, band.octave))
        band.before = before if before and before.size == band.size else None
    return bands


def bit_plane_coded(payload: bytes, levels: int = 5, order: str = "quality"):
    """(header, planes): integers, or of a cut payload floats."""
    reader = Reader(payload)
    header = picture_header(reader)
    check(all(len(shape) == 2 for shape in header.shapes), "no planes of two axes")
    bands = _bands(header.shapes, levels)
    for band in bands:
        band.planes = reader.byte()
        check(band.planes <= 30, "too many bit planes")
    length, code = reader.varint(), reader.rest()
    check(len(code) <= length, "there are bytes behind the code")
    passes = _Passes(code, len(code) < length)
    groups = [bands]
    if order == "resolution":
        groups = [[band for band in bands if band.resolution == r] for r in range(levels + 1)]
    top = max(band.planes for band in bands)
    try:
        for group in groups:
            for b in range(top - 1, -1, -1):
                for number in range(3):
                    for band in group:
                        if b < band.planes:
                            passes.code(number, band, b)
        if not passes.cut:
            passes.decoder.finish()
    except EOFError:
        pass
    planes = [np.zeros(shape, float if passes.cut else np.int64) for shape in header.shapes]
    for band in bands:
        values = planes[band.component][band.rows, band.columns]
        for (y, x), value in band.known.items():
            missing = (1 << band.lowest[y, x]) - 1
            values[y, x] = value + (np.sign(value) * missing / 2 if missing else 0)
    return header, planes


class _Passes:
    def __init__(self, code, cut):
        self.cut, self.length = cut, len(code)
        self.decoder = Decoder(code + bytes(16) if cut else code)
        self.counters, self.sets = Made(NEW_COUNTER), Made([14000] * 6)

    def decide(self, kind, colour, octave, contexts):
        counters = [self.counters[m, kind, colour, context] for m, context in enumerate(contexts)]
        return mixed_decision(self.decoder, counters, [self.sets[kind, colour, octave]], lambda found: SQUASH[found[0]])

    def code(self, number, band, b):
        colour, octave = band.component > 0, min(band.octave, 7)
        for y in range(band.size[0]):
            for x in range(band.size[1]):
                now = band.value(y, x)
                if band.lowest.get((y, x)) == b or (number == 1) != (now != 0):
                    continue
                around = [band.value(y + i, x + j) for i, j in _AROUND]
                if number == 0 and not any(around):
                    continue
                if self.cut and self.decoder.position > self.length:
                    raise EOFError
                bit = self.decide(number, colour, octave, _bit_contexts(band, b, y, x, around))
                band.lowest[y, x] = b
                if number == 1:
                    band.known[y, x] = now + (bit << b) * (1 if now > 0 else -1)
                elif bit:
                    negative = self.decide(3, colour, octave, _sign_contexts(band, y, x, around))
                    band.known[y, x] = -(1 << b) if negative else 1 << b


def _bit_contexts(band, b, y, x, around):
    def size(value):
        return abs(value) * 4 >> b

    nw, n, ne, w, e, sw, s, se = around
    beside, above = (w != 0) + (e != 0), (n != 0) + (s != 0)
    if band.kind == 1:
        beside, above = above, beside
    corners = nw, ne, sw, se
    across, along = size(w) + size(e), size(n) + size(s)
    near = across + along + sum(map(size, corners)) // 2
    far = sum(size(band.value(*at)) for at in ((y, x - 2), (y, x + 2), (y - 2, x), (y + 2, x)))
    parent = there = beyond = 0
    if band.parent:
        rows, columns = band.parent.size
        parent = size(band.parent.value(min(y // 2, rows - 1), min(x // 2, columns - 1)))
    if band.before:
        there = size(band.before.value(y, x))
        beyond = sum(size(band.before.value(*at)) for at in ((y, x - 1), (y, x + 1), (y - 1, x), (y + 1, x)))
    depth, octave, kind = min(band.planes - 1 - b, 7), min(band.octave, 7), band.kind
    return (
        (((min(level(parent) // 3, 3) * 3 + kind) * 3 + beside) * 3 + above) * 5 + sum(c != 0 for c in corners),
        level(near) * 16 + level(far) + 256 * kind,
        level(near // 2 + parent + far // 4) * 16 + level(there) + 256 * depth,
        (octave * 3 + kind) * 128 + depth * 16 + level(near),
        level(across) * 16 + level(along) + 256 * kind,
        level(2 * there + beyond) * 16 + level(near) + 256 * kind,
    )


def _sign_contexts(band, y, x, around):
    nw, n, ne, w, e, _, s, _ = map(sign, around)
    before, kind = sign(band.before.value(y, x)) if band.before else 0, band.kind
    beside, above = 3 * w + e, 3 * n + s
    return (
        (kind * 9 + beside) * 9 + above,
        256 + kind * 9 + beside,
        300 + kind * 9 + above,
        ((before * 3 + kind) * 3 + w) * 3 + n,
        512 + (3 * nw + ne) * 3 + kind,
        600 + before * 3 + kind,
    )
