"""Embedded coding of wavelet coefficients: bit planes from the most significant down, so that any prefix is a picture.

A coefficient ±q is sent bit by bit, the highest bits of all coefficients first (why that nests: see
`codeckit.primitives.quantizers.embedded`). Each bit plane of each subband is coded in three *passes*, those whose bits
buy most quality for their cost first (ITU-T T.800 Annex D)::

    propagation   coefficients that are still zero, but have a neighbour that is not: likely to become significant
    refinement    the next bit of coefficients that are significant already
    cleanup       all the others, nearly always zero

A coefficient that becomes significant sends its sign at once. Cut anywhere, the stream gives every coefficient the bits
that arrived, and the middle of the interval that they leave open.

**Order.** By quality: plane after plane, in each pass after pass, in each the subbands from coarse to fine. A prefix is
the whole picture, coarser. By resolution: all planes of the coarsest subbands first, then the next octave. A prefix is
a smaller picture, which the decoder enlarges.

**Contexts.** As in `context`, several models predict each decision and are mixed (`mixing`): by the number of
significant neighbours beside, above and diagonal (EBCOT's context: for subbands with vertical edges the roles change),
by the neighbours' magnitudes and those around them, by the parent (the coefficient at the same place in the next
coarser octave), by the same place in the colour planes before, by subband and plane. JPEG 2000 itself uses the first
alone, with one adaptive probability each, starts afresh in every block of 64×64, and spends its bits by a search over
blocks (PCRD), which this does not.

Sources: D. Taubman, "High performance scalable image compression with EBCOT", IEEE Trans. Image Processing 9(7), 2000;
J. M. Shapiro, "Embedded image coding using zerotrees of wavelet coefficients", IEEE Trans. Signal Processing 41(12),
1993 (parents); M. Mahoney, "Data Compression Explained", section 4.3 (mixing).
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from ..anatomy import Anatomy, Dissector
from ..bitstream import ByteReader, ByteWriter
from ..errors import StreamError
from ..picture import MAX_PIXELS, HeaderStage, Picture, dissect_header, pack_header, unpack_header
from ..wavelet import subbands
from .binary_coder import POSITION, bits_so_far, code_bit, finish, is_complete, new_decoder, new_encoder
from .mixing import LIMIT, SQUASH, STRETCH, counter_probability, counter_update, learn, mix

INPUTS = 6
ORDERS = ("quality", "resolution")

_PASSES = 3
_CONTEXTS = 1 << 12  # values that one input's context takes, at most
_COUNTER_LIMIT = 255
_FIRST_WEIGHT = 14000
_MARGIN = 2

# Kinds of decisions, each with statistics of its own: significant? in the two passes, the next bit, the sign.
_PROPAGATED, _REFINED, _CLEANED, _SIGN = 0, 1, 2, 3
_KINDS = 4
_SETS = 64  # weight sets: kind, colour plane or not, octave

#: Level 0 … 15 of a sum of magnitudes in quarters of the plane's bit.
_LEVEL = np.array([v if v < 4 else min(15, (v * v).bit_length() - 1) for v in range(256)], np.int64)


@dataclass(frozen=True)
class BitPlaneCoded(HeaderStage):
    """Embedded entropy coding of wavelet planes: int32 symbols [h, w] in pyramid order to bytes, and back.

    `inverse` takes any prefix of at least the header and gives the symbols that it knows of.

    Attributes:
        levels: number of wavelet decompositions, as in `Wavelet`.
        order: ``"quality"`` or ``"resolution"``: what a prefix is.

    >>> symbols = np.arange(-512, 512, dtype=np.int32).reshape(32, 32)
    >>> stage = BitPlaneCoded(levels=1)
    >>> payload = stage.forward(Picture((symbols,), (32, 32)))
    >>> bool((stage.inverse(payload).planes[0] == symbols).all())
    True
    >>> half = stage.inverse(payload[: len(payload) // 2]).planes[0]  # the highest bits came first
    >>> bool(np.abs(half - symbols).mean() < 30)
    True
    """

    levels: int = 5
    order: str = "quality"

    def __post_init__(self):
        if self.order not in ORDERS:
            raise ValueError(f"order is {' or '.join(ORDERS)}, not {self.order!r}")

    def forward(self, picture: Picture) -> bytes:
        """Return the payload, which begins with the picture's header.

        Raises:
            ValueError: a plane holds no integers [h, w], or magnitudes from 2³⁰ up.
        """
        bands = _bands([plane.shape for plane in picture.planes], self.levels)
        out = ByteWriter()
        out.raw(pack_header(picture))
        for band in bands:
            plane = picture.planes[band.component]
            if plane.dtype.kind not in "iu" or plane.ndim != 2:
                raise ValueError(f"bit planes are taken of integers [h, w], not of {plane.dtype} {list(plane.shape)}")
            band.target[:] = plane[band.place]
            highest = int(np.abs(band.target.astype(np.int64)).max(initial=0)).bit_length()
            if highest > 30:
                raise ValueError("magnitudes from 2**30 up do not fit; use a larger step")
            band.start(highest)
            out.byte(highest)
        coder, data = new_encoder(), np.zeros(1 << 16, np.uint8)
        data, _ = self._code(bands, coder, data, decoding=False, last=0)
        finish(coder, data)
        coded = data[: coder[POSITION]].tobytes()
        out.varint(len(coded))
        return out.getvalue() + coded

    def anatomy(self, picture: Picture, payload: bytes) -> Anatomy:
        """Header, numbers of bit planes and passes; what every coefficient took, metered while it is coded again."""
        found = Dissector(payload)
        shapes = dissect_header(found)
        found.group = "bit planes of the subbands"
        bands = _bands(shapes, self.levels)
        for band in bands:
            rows, columns = band.place
            where = f"rows {rows.start}–{rows.stop - 1}, columns {columns.start}–{columns.stop - 1}"
            highest = found.number(1, f"plane {band.component}, {where}", value=lambda n: f"{n} bit planes")
            band.target[:] = picture.planes[band.component][band.place]
            band.start(highest)
            band.spent = np.zeros(band.target.shape)
        found.group = "symbols"
        found.varint("length in bytes")
        found.rest("passes from the highest bit planes down", role="quantize")
        self._code(bands, new_encoder(), np.zeros(1 << 16, np.uint8), decoding=False, last=0)
        costs = tuple(np.zeros(shape) for shape in shapes)
        for band in bands:
            costs[band.component][band.place] = band.spent
        return Anatomy(tuple(found.parts), costs)

    def inverse(self, payload: bytes, max_pixels: int = MAX_PIXELS) -> Picture:
        """The picture's symbols, as far as the payload (or its prefix) tells.

        Raises:
            StreamError: the header is cut or damaged, the whole payload's end does not fit its contents, or the picture
                holds more than `max_pixels`.
        """
        reader = ByteReader(payload)
        header, shapes = unpack_header(reader, max_pixels)
        most = (header.size[0] + 256) * (header.size[1] + 256)
        if any(len(shape) != 2 or shape[0] * shape[1] > most for shape in shapes) or len(shapes) > 4:
            raise StreamError(f"planes of shapes {shapes} are not those of a picture of {header.size}")
        bands = _bands(shapes, self.levels)
        for band in bands:
            highest = reader.byte()
            if highest > 30:
                raise StreamError(f"a subband claims {highest} bit planes")
            band.start(highest)
        length = reader.varint()
        coded = reader.rest()
        if len(coded) > length:
            raise StreamError("there are bytes behind the bit planes")
        data = np.array(bytearray(coded), np.uint8)
        coder = new_decoder(data)
        # Of a cut stream, what was decided with the zeros behind its end is not worth anything.
        whole = len(coded) == length
        _, intact = self._code(bands, coder, data, decoding=True, last=data.size + 3 if whole else data.size)
        if whole and not (intact and is_complete(coder, data)):
            raise StreamError("the bit planes are damaged: their length does not match their contents")
        dtype = np.float32 if any(band.lowest.any() for band in bands) else np.int32
        planes = tuple(np.empty(shape, dtype) for shape in shapes)
        for band in bands:
            planes[band.component][band.place] = band.symbols()
        return header.replace(planes=planes)

    def _code(self, bands, coder, data, decoding, last):
        """All passes in order; returns the bytes and whether the decoder got to the end."""
        counters = np.zeros((INPUTS, _KINDS * 2 * _CONTEXTS), np.int32)
        weights = np.full((_SETS, INPUTS), _FIRST_WEIGHT, np.int32)
        for band, plane, number in self._passes(bands):
            data, intact = _code_pass(
                number, plane, band.target, band.known, band.lowest, band.parent, band.before, band.kind, band.octave,
                band.highest, band.component > 0, counters, weights, band.spent, coder, data, decoding, last,
            )  # fmt: skip
            if not intact:
                return data, False
        return data, True

    def _passes(self, bands):
        top = max(band.highest for band in bands)
        groups = [bands]
        if self.order == "resolution":
            groups = [[band for band in bands if band.resolution == r] for r in range(self.levels + 1)]
        for group in groups:
            for plane in range(top - 1, -1, -1):
                for number in range(_PASSES):
                    for band in group:
                        if plane < band.highest:
                            yield band, plane, number


@dataclass(eq=False)
class _Band:
    """One subband of one plane while it is coded."""

    component: int
    place: tuple[slice, slice]
    kind: int  # 0 LL and LH, 1 HL (its neighbours above and below count as those beside), 2 HH
    octave: int
    resolution: int  # 0 for the coarsest
    target: np.ndarray  # what is to be encoded
    known: np.ndarray  # what is known of it: leading bits, with the sign; a margin of zeros around
    lowest: np.ndarray  # the plane down to which a coefficient is known
    parent: np.ndarray  # what is known of the same subband an octave coarser
    before: np.ndarray  # what is known of the same subband of the plane before
    spent: np.ndarray  # if a meter runs, the bits that each coefficient took; else empty
    highest: int = 0  # number of bit planes

    def start(self, highest):
        self.highest = highest
        self.lowest[:] = highest

    def symbols(self):
        """What is known: int32, or where bits are missing float32, the mean of the symbols that they leave open."""
        known = self.known[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
        if not self.lowest.any():
            return known
        return (known + np.sign(known) * ((1 << self.lowest.astype(np.int32)) - 1) / 2).astype(np.float32)


def _bands(shapes, levels):
    """The subbands of all planes, from the coarsest to the finest."""
    nothing, unmetered = np.zeros((0, 0), np.int32), np.zeros((0, 0))
    known, bands = {}, []
    for component, shape in enumerate(shapes):
        for name, place in subbands(shape, levels).items():
            kind, octave = name[:2], int(name[2:])
            size = tuple(part.stop - part.start for part in place)
            if 0 in size:
                continue
            mine = known[component, name] = np.zeros([side + 2 * _MARGIN for side in size], np.int32)
            before = known.get((component - 1, name), nothing)
            parent = known.get((component, f"{kind}{octave + 1}"), nothing)
            resolution = 0 if kind == "LL" else levels + 1 - octave
            target, lowest = np.zeros(size, np.int32), np.zeros(size, np.uint8)
            before = before if before.shape == mine.shape else nothing
            orientation = {"LL": 0, "LH": 0, "HL": 1, "HH": 2}[kind]
            bands.append(
                _Band(
                    component, place, orientation, octave, resolution, target, mine, lowest, parent, before, unmetered
                )
            )
    return sorted(bands, key=lambda band: band.resolution)  # stable: planes in order within an octave


@njit(cache=True)
def _level(quarters):
    return _LEVEL[quarters] if quarters < 256 else np.int64(15)


@njit(cache=True)
def _size(value, plane):
    """A magnitude in quarters of the plane's bit."""
    return (abs(np.int64(value)) << 2) >> plane


@njit(cache=True)
def _decide(bit, kind, at, weights, counters, inputs, coder, data, decoding):
    """Code one decision, and learn from it."""
    for m in range(INPUTS):
        inputs[m] = STRETCH[counter_probability(counters[m, at[m]])]
    mixed = mix(inputs, weights)
    bit = code_bit(coder, data, SQUASH[mixed + LIMIT], bit, decoding)
    learn(weights, inputs, 65535 * bit - SQUASH[mixed + LIMIT])
    for m in range(INPUTS):
        counters[m, at[m]] = counter_update(counters[m, at[m]], bit, _COUNTER_LIMIT)
    return bit


@njit(cache=True)
def _code_pass(
    number, plane, target, known, lowest, parent, before, kind, octave, highest, colour, counters, all_weights,
    spent, coder, data, decoding, last,
):  # fmt: skip
    """One pass over one subband in either direction; returns the bytes and whether the decoder had enough of them."""
    height, width = target.shape
    has_parent, has_before = parent.shape[0] > 0, before.shape[0] > 0
    colour = np.int64(colour)
    at, inputs = np.zeros(INPUTS, np.int64), np.zeros(INPUTS, np.int64)
    one = np.int64(1) << plane
    depth = min(highest - 1 - plane, 7)
    octave = min(octave, 7)
    for y in range(height):
        for x in range(width):
            if lowest[y, x] == plane:
                continue
            now = np.int64(known[y + 2, x + 2])
            if (number == 1) != (now != 0):
                continue
            west, east = np.int64(known[y + 2, x + 1]), np.int64(known[y + 2, x + 3])
            north, south = np.int64(known[y + 1, x + 2]), np.int64(known[y + 3, x + 2])
            nw, ne = np.int64(known[y + 1, x + 1]), np.int64(known[y + 1, x + 3])
            sw, se = np.int64(known[y + 3, x + 1]), np.int64(known[y + 3, x + 3])
            beside = np.int64(west != 0) + np.int64(east != 0)
            above = np.int64(north != 0) + np.int64(south != 0)
            if kind == 1:
                beside, above = above, beside
            corner = np.int64(nw != 0) + np.int64(ne != 0) + np.int64(sw != 0) + np.int64(se != 0)
            if number == 0 and beside + above + corner == 0:
                continue
            if decoding:
                if coder[POSITION] > last:
                    return data, False
            elif coder[POSITION] + 64 > data.size:
                longer = np.zeros(2 * data.size, np.uint8)
                longer[: data.size] = data
                data = longer

            pairs = _size(west, plane) + _size(east, plane), _size(north, plane) + _size(south, plane)
            corners = _size(nw, plane) + _size(ne, plane) + _size(sw, plane) + _size(se, plane)
            near = pairs[0] + pairs[1] + corners // 2
            far = _size(known[y + 2, x], plane) + _size(known[y + 2, x + 4], plane)
            far += _size(known[y, x + 2], plane) + _size(known[y + 4, x + 2], plane)
            above_it = np.int64(0)
            if has_parent:
                py, px = min(y // 2 + 2, parent.shape[0] - 3), min(x // 2 + 2, parent.shape[1] - 3)
                above_it = _size(parent[py, px], plane)
            there, around = np.int64(0), np.int64(0)
            if has_before:
                there = _size(before[y + 2, x + 2], plane)
                around = _size(before[y + 2, x + 1], plane) + _size(before[y + 2, x + 3], plane)
                around += _size(before[y + 1, x + 2], plane) + _size(before[y + 3, x + 2], plane)

            contexts = (
                (((min(_level(above_it) // 3, 3) * 3 + kind) * 3 + beside) * 3 + above) * 5 + corner,
                _level(near) * 16 + _level(far) + 256 * kind,
                _level(near // 2 + above_it + far // 4) * 16 + _level(there) + 256 * depth,
                (octave * 3 + kind) * 128 + depth * 16 + _level(near),
                _level(pairs[0]) * 16 + _level(pairs[1]) + 256 * kind,
                _level(there * 2 + around) * 16 + _level(near) + 256 * kind,
            )
            base = (number * 2 + colour) * _CONTEXTS
            for m in range(INPUTS):
                at[m] = base + contexts[m]
            weights = all_weights[(number * 2 + colour) * 8 + octave]
            value = np.int64(target[y, x])
            if spent.size:
                spent[y, x] -= bits_so_far(coder)
            bit = _decide(abs(value) >> plane & 1, number, at, weights, counters, inputs, coder, data, decoding)
            lowest[y, x] = plane
            if number == 1:
                known[y + 2, x + 2] = now + (one if now > 0 else -one) * bit
            elif bit:
                negative = _code_sign(
                    np.int64(value < 0), west, east, north, south, nw, ne, before[y + 2, x + 2] if has_before else 0,
                    kind, colour, at, all_weights[(_SIGN * 2 + colour) * 8 + octave], counters, inputs, coder, data,
                    decoding,
                )  # fmt: skip
                known[y + 2, x + 2] = -one if negative else one
            if spent.size:
                spent[y, x] += bits_so_far(coder)
    return data, True


@njit(cache=True)
def _sign(value):
    return np.int64(1) if value > 0 else np.int64(2) if value < 0 else np.int64(0)


@njit(cache=True)
def _code_sign(
    negative, west, east, north, south, nw, ne, before, kind, colour, at, weights, counters, inputs, coder, data,
    decoding,
):  # fmt: skip
    beside, above = _sign(west) * 3 + _sign(east), _sign(north) * 3 + _sign(south)
    base = (_SIGN * 2 + colour) * _CONTEXTS
    at[0] = base + (kind * 9 + beside) * 9 + above
    at[1] = base + 256 + kind * 9 + beside
    at[2] = base + 300 + kind * 9 + above
    at[3] = base + ((_sign(np.int64(before)) * 3 + kind) * 3 + _sign(west)) * 3 + _sign(north)
    at[4] = base + 512 + (_sign(nw) * 3 + _sign(ne)) * 3 + kind
    at[5] = base + 600 + _sign(np.int64(before)) * 3 + kind
    return _decide(negative, _SIGN, at, weights, counters, inputs, coder, data, decoding)
