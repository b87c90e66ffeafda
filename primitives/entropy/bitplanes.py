"""Embedded coding of wavelet coefficients: bit planes from the most significant down, so that any prefix is a picture.

A coefficient ±q is sent bit by bit, the highest bits of all coefficients first (why that nests: see
`codeckit.primitives.quantizers.deadzone`). Each bit plane of each subband is coded in three *passes*, those whose bits
buy most quality for their cost first (ITU-T T.800 Annex D)::

    propagation   coefficients that are still zero, but have a neighbour that is not: likely to become significant
    refinement    the next bit of coefficients that are significant already
    cleanup       all the others, nearly always zero

A coefficient that becomes significant sends its sign at once. Cut anywhere, the stream gives every coefficient the bits
that arrived, and the middle of the interval that they leave open.

**Order.** By quality: plane after plane, in each pass after pass, in each the subbands from coarse to fine. A prefix is
the whole picture, coarser. By resolution: all planes of the coarsest subbands first, then the next octave. A prefix is
a smaller picture, which the decoder enlarges.

**Contexts.** As in `context`, several models predict each decision and are mixed (`mixing`), by one mixer, whose
weights are chosen by the kind of decision, the plane (first, or another) and the octave. Their numbers are the fields
of two classes: `Bit` (significance, far, there, octave, pairs, before) and `Sign` (cross, beside, above, before,
corners, alone). They look at the number of significant neighbours beside, above and diagonal (EBCOT's context: for
subbands with vertical edges the roles change), at the neighbours' magnitudes and those around them, at the parent (the
coefficient at the same place in the next coarser octave), at the same place in the colour plane before, at subband and
plane. JPEG 2000 itself uses the first alone, with one adaptive probability each, starts afresh in every block of 64×64,
and spends its bits by a search over blocks (PCRD), which this does not.

Sources: D. Taubman, "High performance scalable image compression with EBCOT", IEEE Trans. Image Processing 9(7), 2000;
J. M. Shapiro, "Embedded image coding using zerotrees of wavelet coefficients", IEEE Trans. Signal Processing 41(12),
1993 (parents); M. Mahoney, "Data Compression Explained", section 4.3 (mixing).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..anatomy import Anatomy, Dissector
from ..bitstream import ByteReader, ByteWriter
from ..compiled import njit
from ..errors import StreamError
from ..picture import MAX_PIXELS, HeaderStage, Picture, dissect_header, pack_header, unpack_header
from ..wavelet import subbands
from .binary_coder import POSITION, bits_so_far, finish, is_complete, new_decoder, new_encoder, with_room
from .mixing import leaf, level, look, new_model, predictor, sign

INPUTS = 6
ORDERS = ("quality", "resolution")

_PASSES = 3
_CONTEXTS = 1 << 12  # values that one input's context takes, at most
_FIRST_WEIGHT = 14000
_MARGIN = 2

# Kinds of decisions, each with statistics of its own: significant? in two passes, the next bit, the sign.
_PROPAGATED, _REFINED, _CLEANED, _SIGN = 0, 1, 2, 3
_KINDS = 4
_OCTAVES = 8
_SETS = _KINDS * 2 * _OCTAVES  # sets of weights: kind, colour plane or not, octave

#: Bytes that one coefficient takes at most in a pass: two for each of its decisions.
_MOST_BYTES = 4


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
        model = new_model(counters, np.full((_SETS, INPUTS), _FIRST_WEIGHT, np.int32), mixers=1)
        for band, plane, number in self._passes(bands):
            depth = min(band.highest - 1 - plane, 7)
            now = _Pass(number, plane, band.kind, min(band.octave, 7), depth, int(band.component > 0), last)
            data, intact = _code_pass(now, band.arrays(), model, coder, data, decoding)
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

    def arrays(self):
        return _Arrays(self.target, self.known, self.lowest, self.parent, self.before, self.spent)

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


class _Arrays(NamedTuple):
    """A `_Band`'s arrays."""

    target: np.ndarray
    known: np.ndarray
    lowest: np.ndarray
    parent: np.ndarray
    before: np.ndarray
    spent: np.ndarray


class _Pass(NamedTuple):
    """One pass over one subband.

    Attributes:
        number: 0 propagation, 1 refinement, 2 cleanup.
        plane: the bit's.
        kind: the subband's, as in `_Band`.
        octave: 0 … 7.
        depth: bit planes of the subband above this one, to 7.
        colour: 0 for the first plane, 1 for all others.
        last: bytes that a decoder may read.
    """

    number: int
    plane: int
    kind: int
    octave: int
    depth: int
    colour: int
    last: int


class _Near(NamedTuple):
    """What is known of a coefficient's eight neighbours, with their signs."""

    west: int
    east: int
    north: int
    south: int
    nw: int
    ne: int
    sw: int
    se: int


class Bit(NamedTuple):
    """Contexts of a coefficient's next bit. Magnitudes are in quarters of the plane's bit, and their levels count.

    `near` is west + east + north + south + half of the diagonals, `far` the sum of those two steps away. `parent` and
    `there` are the same place in the next coarser octave and in the plane before.

    Attributes:
        significance: parent, in thirds of its level, to 3, × kind × how many of the neighbours beside, above and
            diagonal are not zero (3 × 3 × 5; for kind 1 those beside and above change places).
        far: near × far × kind.
        there: near / 2 + parent + far / 4 × there × depth.
        octave: octave × kind × depth × near.
        pairs: west + east × north + south × kind.
        before: 2·there and its four neighbours × near × kind.
    """

    significance: int
    far: int
    there: int
    octave: int
    pairs: int
    before: int


class Sign(NamedTuple):
    """Contexts of a coefficient's sign, of signs around it, and of the subband's kind.

    Attributes:
        cross: kind × west × east × north × south.
        beside: kind × west × east.
        above: kind × north × south.
        before: the plane before, × kind × west × north.
        corners: above left × above right × kind.
        alone: the plane before, × kind.
    """

    cross: int
    beside: int
    above: int
    before: int
    corners: int
    alone: int


_decide = predictor(contexts=INPUTS, shares=(1,))


@njit(cache=True)
def _code_pass(now, band, model, coder, data, decoding):
    """One pass in either direction; returns the bytes and whether the decoder had enough of them."""
    for y in range(band.target.shape[0]):
        data = with_room(coder, data, decoding, _MOST_BYTES * (band.target.shape[1] + 1))
        if not _code_row(y, now, band, model, (coder, data, decoding)):
            return data, False
    return data, True


@leaf
def _code_row(y, now, band, model, stream):
    """One row of a pass: what is not yet known of this plane, and whose turn it is; says whether bytes were left."""
    coder, _, decoding = stream
    known, number = band.known, now.number
    for x in range(band.target.shape[1]):
        if band.lowest[y, x] == now.plane or (number == _REFINED) != (known[y + 2, x + 2] != 0):
            continue
        near = _look_around(y, x, known)
        if number == _PROPAGATED and not _any(near):
            continue
        if decoding and coder[POSITION] > now.last:
            return False
        _code_coefficient(y, x, near, now, band, model, stream)
    return True


@leaf
def _code_coefficient(y, x, near, now, band, model, stream):
    """Code a coefficient's bit, and its sign if that is its first 1."""
    if band.spent.size:
        band.spent[y, x] -= bits_so_far(stream[0])
    value, target, one = np.int64(band.known[y + 2, x + 2]), np.int64(band.target[y, x]), np.int64(1) << now.plane
    _look(now.number, now, _bit(y, x, near, now, band), model)
    bit = _decide(abs(target) >> now.plane & 1, np.int64(0), model, stream)
    band.lowest[y, x] = now.plane
    if now.number == _REFINED:
        band.known[y + 2, x + 2] = value + (one if value > 0 else -one) * bit
    elif bit:
        _look(np.int64(_SIGN), now, _sign(y, x, near, now, band), model)
        negative = _decide(np.int64(target < 0), np.int64(0), model, stream)
        band.known[y + 2, x + 2] = -one if negative else one
    if band.spent.size:
        band.spent[y, x] += bits_so_far(stream[0])


@leaf
def _look(kind, now, contexts, model):
    """The contexts of a decision of some kind."""
    group = kind * 2 + now.colour
    look(model, group * _CONTEXTS, 1, contexts)
    model.sets[0] = group * _OCTAVES + now.octave


@leaf
def _look_around(y, x, known):
    return _Near(
        west=np.int64(known[y + 2, x + 1]),
        east=np.int64(known[y + 2, x + 3]),
        north=np.int64(known[y + 1, x + 2]),
        south=np.int64(known[y + 3, x + 2]),
        nw=np.int64(known[y + 1, x + 1]),
        ne=np.int64(known[y + 1, x + 3]),
        sw=np.int64(known[y + 3, x + 1]),
        se=np.int64(known[y + 3, x + 3]),
    )


@leaf
def _any(near):
    return near.west | near.east | near.north | near.south | near.nw | near.ne | near.sw | near.se


@leaf
def _quarters(value, plane):
    """A magnitude in quarters of the plane's bit."""
    return (abs(np.int64(value)) << 2) >> plane


@leaf
def _bit(y, x, near, now, band):
    kind, depth, plane, known = now.kind, now.depth, now.plane, band.known
    across = _quarters(near.west, plane) + _quarters(near.east, plane)
    down = _quarters(near.north, plane) + _quarters(near.south, plane)
    diagonal = _quarters(near.nw, plane) + _quarters(near.ne, plane)
    diagonal += _quarters(near.sw, plane) + _quarters(near.se, plane)
    close = across + down + diagonal // 2
    far = _quarters(known[y + 2, x], plane) + _quarters(known[y + 2, x + 4], plane)
    far += _quarters(known[y, x + 2], plane) + _quarters(known[y + 4, x + 2], plane)
    parent = _parent(y, x, plane, band.parent)
    there, around = _before(y, x, plane, band.before)
    return Bit(
        significance=(min(level(parent) // 3, 3) * 3 + kind) * 45 + _significant(near, kind),
        far=level(close) * 16 + level(far) + 256 * kind,
        there=level(close // 2 + parent + far // 4) * 16 + level(there) + 256 * depth,
        octave=(now.octave * 3 + kind) * 128 + depth * 16 + level(close),
        pairs=level(across) * 16 + level(down) + 256 * kind,
        before=level(there * 2 + around) * 16 + level(close) + 256 * kind,
    )


@leaf
def _significant(near, kind):
    """How many neighbours beside (0 … 2), above and below (0 … 2) and diagonally (0 … 4) are not zero, in a number."""
    beside = np.int64(near.west != 0) + np.int64(near.east != 0)
    above = np.int64(near.north != 0) + np.int64(near.south != 0)
    corner = np.int64(near.nw != 0) + np.int64(near.ne != 0) + np.int64(near.sw != 0) + np.int64(near.se != 0)
    if kind == 1:
        beside, above = above, beside
    return (beside * 3 + above) * 5 + corner


@leaf
def _parent(y, x, plane, parent):
    if parent.shape[0] == 0:
        return np.int64(0)
    return _quarters(parent[min(y // 2 + 2, parent.shape[0] - 3), min(x // 2 + 2, parent.shape[1] - 3)], plane)


@leaf
def _before(y, x, plane, before):
    """The same place in the plane before, and the sum of the four around it."""
    if before.shape[0] == 0:
        return np.int64(0), np.int64(0)
    around = _quarters(before[y + 2, x + 1], plane) + _quarters(before[y + 2, x + 3], plane)
    around += _quarters(before[y + 1, x + 2], plane) + _quarters(before[y + 3, x + 2], plane)
    return _quarters(before[y + 2, x + 2], plane), around


@leaf
def _sign(y, x, near, now, band):
    kind, before = now.kind, sign(band.before[y + 2, x + 2]) if band.before.shape[0] else np.int64(1)
    west, north = sign(near.west), sign(near.north)
    beside, above = west * 3 + sign(near.east), north * 3 + sign(near.south)
    return Sign(
        cross=(kind * 9 + beside) * 9 + above,
        beside=kind * 9 + beside,
        above=kind * 9 + above,
        before=((before * 3 + kind) * 3 + west) * 3 + north,
        corners=(sign(near.nw) * 3 + sign(near.ne)) * 3 + kind,
        alone=before * 3 + kind,
    )
