"""Context mixing for quantized DCT blocks: what JPEG files hold, in a fifth less.

`ContextCoded` takes any integers. `DctCoded` knows that its integers are 8×8 DCT coefficients with known steps, so it
can do what a picture's continuity allows: foresee coefficients from the pixels on the other side of a block's edge.

**Order.** Plane by plane, blocks row by row. A block's 64 coefficients are three kinds, the first ones foreseen least::

    interior  the 7×7 with both frequencies > 0: how many are not zero, then one by one until all are out
    edges     the 7 with only horizontal and the 7 with only vertical frequency: the same
    DC        last of all, when everything else about the block is known

**Edges.** Let F be a block's dequantized coefficients, G those of the block to the left. On the border between them the
last column of pixels on the left and the first column on the right are nearly the same. In the DCT along the border
that says, for each vertical frequency u, with cosines at the very border being ±1::

    Σ_v c_v (−1)^v G[u,v]  ≈  Σ_v c_v F[u,v]        c_0 = 1, c_v = √2

and as all F[u,v] with v > 0 are known by now, it gives F[u,0]; likewise F[0,v] from the block above.

**DC.** The pixels of the block are known but for a constant. Each of 8 columns and 8 rows at the borders, continued
with its slope from both sides, says what the constant would be; the mean of the middle 8 of these 16 votes is the
prediction, and how far they lie apart says how good it is.

**Decisions.** A value is coded by the number of its bits (counted up), the bits behind the leading one, and its sign;
numbers of nonzeros as binary numbers. Each decision is predicted in nine contexts, mixed twice with sets of weights
chosen differently (by coefficient and decision; by activity), and refined once more by what the mix was worth so far
(an *adaptive probability map*); see `mixing`. All in integers: every machine decodes the same.

**Contexts**, with their numbers, are the fields of these classes; the first plane, and all others together, have
statistics of their own:

===============  =============================================================================================
what is coded    contexts
===============  =============================================================================================
`InteriorCount`  mean, sides, before, edges, corners, left, above, left_before, border
`Interior`       around, sides, lower, latest, wide, before, block, activity, distant: each by coefficient
`InteriorSign`   sides, corners, before, lower, and five of `Interior`
`EdgeCount`      expected, sides, expected_above, block, sides_interior, expected_left, before, before_sides,
                 interior: each by edge
`Edge`           seen, whole, interior, sides, latest, inside, before, along, across: each by coefficient
`Dc`             apart, sizes, lean, count, before, sides, finely, size, lean_part
===============  =============================================================================================

Signs of edges and DC have the contexts of their magnitudes. The second mixer's weights are chosen by 16 · level of the
block's surroundings + what is to come (interior), 16 · level of the prediction + nonzeros to come + 8 for the vertical
edge, or 16 · `apart` + level of the two differences (DC).

**Segments.** A large picture is cut into bands of rows that know nothing of one another, so that several cores can work
at a time; how many follows from its size alone. Their lengths stand before them, but for the last one's.

Sources: D. R. Horn et al., "The Design, Implementation, and Deployment of a System to Transparently Compress Hundreds
of Petabytes of Image Files for a File-Storage Service" (Lepton), NSDI 2017, section 3 and appendix A (order of coding,
edge and DC prediction); G. Lakhani, "DCT Coefficient Prediction for JPEG Image Coding", ICIP 2007; M. Mahoney, "Data
Compression Explained", sections 4.3 (mixing, adaptive probability maps) and 6.1.6 (JPEG).
"""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..anatomy import Anatomy, Dissector
from ..bitstream import ByteReader, ByteWriter
from ..compiled import njit
from ..dct import dct_matrix
from ..errors import StreamError
from ..picture import MAX_PIXELS, HeaderStage, Picture, dissect_header, pack_header, unpack_header
from .binary_coder import POSITION, finish, is_complete, is_overrun, new_decoder, new_encoder, with_room
from .layout import ZIGZAG
from .mixing import leaf, level, look, new_model, predictor, sign, signed, size, tree_coder, unary_coder

#: Interior coefficients in zigzag order.
_INTERIOR = np.array([i for i in ZIGZAG if i >= 8 and i % 8], np.int64)

#: Predictions that are mixed for each decision.
INPUTS = 9

# Kinds of coefficients, in their order; numbers of nonzeros are kept for each.
_INNER, _HORIZONTAL, _VERTICAL = 0, 1, 2

#: Coefficients of the two edges, by kind less 1.
_EDGES = np.array([range(1, 8), range(8, 64, 8)], np.int64)

# Nodes of a value: how many bits? 0 … 6, negative? 7, bits behind the leading one 8 … 15.
_NODES, _SIGN, _MANTISSA = 16, 7, 8

# A table of counters holds 16 nodes for 1024 numbers that a context may have, for 64 coefficients of two groups of
# planes; then 64 nodes for 1024 numbers, for three kinds of numbers of nonzeros of two groups of planes.
_CONTEXTS, _COUNT_NODES = 1024, 64
_TABLE = 2 * 64 * _CONTEXTS * _NODES
_COUNT_TABLE = 2 * 3 * _CONTEXTS * _COUNT_NODES

# Sets of weights: the first mixer's, by coefficient or kind of number; then the second one's, by activity.
_COUNT_SETS = 2 * 64 * _NODES
_SETS = _COUNT_SETS + 2 * 3 * _COUNT_NODES
_ACTIVITY_SETS = 256 * _NODES + _COUNT_NODES
_FIRST_WEIGHT = 65536 // INPUTS + 3000

#: Values fit 16 bits; so does the difference of a DC value and its prediction, in 17.
_MOST_BITS = 17

#: Large pictures are coded in bands of about so many blocks, each with statistics of its own, at the same time.
_SEGMENT = 40000
_MOST_SEGMENTS = 64
_MOST_THREADS = 2

#: Basis functions with 12 fractional bits; no entry lies near the middle between two integers.
_BASIS = np.rint(dct_matrix(8) * 4096).astype(np.int64)
_ROOT2 = 5793  # √2 with 12 fractional bits


@dataclass(frozen=True)
class DctCoded(HeaderStage):
    """Entropy coding of quantized 8×8 DCT blocks (int16 planes [rows, columns, 8, 8] with their tables) by mixing.

    `forward` takes a `Picture` as `QuantTable` leaves it and returns bytes; `inverse` returns the picture.

    >>> from codeckit.primitives import BlockDCT, QuantTable
    >>> picture = Picture((np.arange(256, dtype=np.uint8).reshape(16, 16),), (16, 16))
    >>> picture = QuantTable(50).forward(BlockDCT().forward(picture))
    >>> restored = DctCoded().inverse(DctCoded().forward(picture))
    >>> bool((restored.planes[0] == picture.planes[0]).all())
    True
    """

    def forward(self, picture: Picture) -> bytes:
        """Return the payload, which begins with the picture's header.

        Raises:
            ValueError: the planes are no 8×8 blocks of 16-bit integers with tables.
        """
        if len(picture.tables) != len(picture.planes):
            raise ValueError("DctCoded needs a table quantizer before it: put QuantTable there, or use ContextCoded")
        return pack_header(picture) + encode_blocks(picture.planes, picture.tables)

    def anatomy(self, picture: Picture, payload: bytes) -> Anatomy:
        """Header, and the segments' decisions."""
        found = Dissector(payload)
        dissect_header(found)
        found.group = "symbols"
        found.rest("decisions of the range coder", "segment by segment", "quantize")
        return Anatomy(tuple(found.parts))

    def inverse(self, payload: bytes, max_pixels: int = MAX_PIXELS) -> Picture:
        """Return the picture that `payload` holds.

        Raises:
            StreamError: the payload is cut or damaged, or holds more than `max_pixels`.
        """
        reader = ByteReader(payload)
        header, shapes = unpack_header(reader, max_pixels)
        if any(len(shape) != 4 or shape[2:] != (8, 8) for shape in shapes) or len(header.tables) != len(shapes):
            raise StreamError("the stream's planes are no 8×8 blocks with quantization tables")
        return header.replace(planes=decode_blocks(reader.rest(), [shape[:2] for shape in shapes], header.tables))


def encode_blocks(planes, tables) -> bytes:
    """The code of planes of blocks (integers of 16 bits [rows, columns, 8, 8]) with their steps ([8,8]) alone.

    >>> plane, table = np.zeros((2, 3, 8, 8), np.int16), np.full((8, 8), 16)
    >>> plane[1, 1, 0, 1] = -3
    >>> bool((decode_blocks(encode_blocks([plane], [table]), [(2, 3)], [table])[0] == plane).all())
    True
    """
    for plane in planes:
        if plane.ndim != 4 or plane.shape[2:] != (8, 8) or plane.dtype.kind not in "iu":
            raise ValueError(f"DctCoded takes integer blocks [rows, columns, 8, 8], not {plane.dtype} {plane.shape}")
        if plane.size and not -(1 << 15) <= int(plane.min()) <= int(plane.max()) < 1 << 15:
            raise ValueError("DctCoded takes coefficients of 16 bits")
    planes = [np.ascontiguousarray(plane, np.int16).reshape(*plane.shape[:2], 64) for plane in planes]
    codes = _each_segment(lambda part: _encode_segment(part, tables), _segments(planes))
    out = ByteWriter()
    for code in codes[:-1]:
        out.varint(len(code))
    for code in codes:
        out.raw(code)
    return out.getvalue()


def decode_blocks(payload: bytes, grids, tables) -> tuple[np.ndarray, ...]:
    """The inverse of `encode_blocks`, for planes of the given numbers of blocks (rows, columns): int16.

    Raises:
        StreamError: the payload is cut or damaged.
    """
    # A block takes a dozen decisions, each at least some 2^-15 of a bit: what promises more is not honest.
    if sum(math.prod(grid) for grid in grids) > 50000 * (len(payload) + 16):
        raise StreamError(f"the context-coded data are cut: {len(payload)} bytes for {grids} blocks")
    planes = [np.zeros((*grid, 64), np.int16) for grid in grids]
    parts, reader = _segments(planes), ByteReader(payload)
    lengths = [reader.varint() for _ in parts[:-1]]
    codes = [reader.raw(length) for length in lengths] + [reader.rest()]
    _each_segment(lambda job: _decode_segment(*job, tables), list(zip(codes, parts, strict=True)))
    return tuple(plane.reshape(*plane.shape[:2], 8, 8) for plane in planes)


def _segments(planes) -> list[list[np.ndarray]]:
    """Views of the planes, cut into bands of rows of about `_SEGMENT` blocks, all planes in proportion."""
    count = min(sum(plane.shape[0] * plane.shape[1] for plane in planes) // _SEGMENT, _MOST_SEGMENTS)
    count = max(count // 2 * 2, 1)  # two cores end together
    return [[plane[len(plane) * n // count : len(plane) * (n + 1) // count] for plane in planes] for n in range(count)]


def _each_segment(function, segments) -> list:
    """`function` of each segment; several cores share the work."""
    if len(segments) == 1:
        return [function(segments[0])]
    with ThreadPoolExecutor(min(len(segments), os.cpu_count() or 1, _MOST_THREADS)) as pool:
        return list(pool.map(function, segments))


def _encode_segment(planes, tables) -> bytes:
    coder, data = new_encoder(), np.zeros(1 << 16, np.uint8)
    data, _ = _code_planes(planes, tables, coder, data, decoding=False)
    finish(coder, data)
    return data[: coder[POSITION]].tobytes()


def _decode_segment(code, planes, tables) -> None:
    data = np.array(bytearray(code), np.uint8)
    coder = new_decoder(data)
    _, intact = _code_planes(planes, tables, coder, data, decoding=True)
    if not intact:
        raise StreamError("the context-coded data are cut or damaged")
    if not is_complete(coder, data):
        raise StreamError("the context-coded data are damaged: their length does not match their contents")


def _code_planes(planes, tables, coder, data, decoding):
    model = new_model(
        np.zeros((INPUTS, _TABLE + _COUNT_TABLE), np.int32),
        np.full((_SETS + _ACTIVITY_SETS, INPUTS), _FIRST_WEIGHT, np.int32),
        mixers=2,
        refined=_SETS,
    )
    before = np.zeros((1, 1, 64), np.int16)
    for index, (plane, table) in enumerate(zip(planes, tables, strict=True)):
        steps = np.asarray(table, np.int64).ravel()
        other = before if before.shape == plane.shape else np.zeros_like(plane)
        data, intact = _code_plane(plane, _new_plane(plane, other, steps, index), model, coder, data, decoding)
        if not intact:
            return data, False
        before = plane
    return data, True


class _Plane(NamedTuple):
    """What the blocks of a plane see of it besides their neighbours' coefficients.

    Attributes:
        other: the plane before, int16 [rows, columns, 64]; zeros without.
        steps: int64 [64].
        group: 0 for the first plane, 1 for all others, which share statistics.
        counts: nonzeros of the interior, the horizontal and the vertical edge, of the blocks in the row above and this
            one: int64 [3, 2, columns + 2]; that of column c at c + 1, the row's at its parity.
        rests: differences of DC from its prediction, int64 [2, columns + 2] likewise.
        lower: the last two rows of pixels of the blocks above, in 1/16: int64 [columns, 2, 8].
        right: the last two columns of pixels of the block to the left, int64 [2, 8].
        votes: for the border's prediction of edges and of DC, int64 [16].
        work, pixels: int64 [8, 8].
    """

    other: np.ndarray
    steps: np.ndarray
    group: int
    counts: np.ndarray
    rests: np.ndarray
    lower: np.ndarray
    right: np.ndarray
    votes: np.ndarray
    work: np.ndarray
    pixels: np.ndarray


def _new_plane(plane, other, steps, index):
    columns = plane.shape[1]
    shapes = (3, 2, columns + 2), (2, columns + 2), (columns, 2, 8), (2, 8), (16,), (8, 8), (8, 8)
    return _Plane(other, steps, min(index, 1), *(np.zeros(shape, np.int64) for shape in shapes))


class _Block(NamedTuple):
    """A block and those around it, int16 [64] each; zeros outside of the plane."""

    here: np.ndarray
    left: np.ndarray
    above: np.ndarray
    corner: np.ndarray
    above_right: np.ndarray
    far_left: np.ndarray
    far_above: np.ndarray
    before: np.ndarray  # the same place in the plane before


class _Place(NamedTuple):
    """Where a block is: row and column, and the indices in `_Plane.counts` of this row of blocks and the one above."""

    row: int
    column: int
    now: int
    last: int


_decide = predictor(contexts=INPUTS, refined=True)
_code_size = unary_coder(_decide)
_code_bits = tree_coder(_decide)


@njit(cache=True, nogil=True)
def _code_plane(values, plane, model, coder, data, decoding):
    """Code a plane [rows, columns, 64] in either direction; returns the bytes and whether the decoder's were intact."""
    nothing = np.zeros(64, np.int16)
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            data = with_room(coder, data, decoding)
            if decoding and is_overrun(coder, data):
                return data, False
            place = _Place(row, column, row & 1, 1 - (row & 1))
            block = _block(values, plane.other, row, column, nothing)
            stream = coder, data, decoding
            intact = _code_interior(block, plane, place, model, stream)
            for kind in range(_HORIZONTAL, _VERTICAL + 1):
                intact = intact and _code_edge(kind, block, plane, place, model, stream)
            if not (intact and _code_dc(block, plane, place, model, stream)):
                return data, False
    return data, True


@njit
def _block(values, other, row, column, nothing):
    right = column + 1 < values.shape[1]
    return _Block(
        here=values[row, column],
        left=values[row, column - 1] if column else nothing,
        above=values[row - 1, column] if row else nothing,
        corner=values[row - 1, column - 1] if row and column else nothing,
        above_right=values[row - 1, column + 1] if row and right else nothing,
        far_left=values[row, column - 2] if column > 1 else nothing,
        far_above=values[row - 2, column] if row > 1 else nothing,
        before=other[row, column],
    )


# Decisions that the three kinds of coefficients share.


@leaf
def _look_at_counts(kind, group, model, contexts):
    """The contexts of a number of nonzeros; `kind` is interior, horizontal or vertical."""
    tree = group * 3 + kind
    look(model, _TABLE + tree * _CONTEXTS * _COUNT_NODES, _COUNT_NODES, contexts)
    model.sets[0] = _COUNT_SETS + tree * _COUNT_NODES
    model.sets[1] = _SETS + 256 * _NODES


@leaf
def _look_at_value(i, group, activity, model, contexts):
    """The contexts of coefficient `i`; `activity` (0 … 255) chooses the second mixer's weights."""
    look(model, (group * 64 + i) * _CONTEXTS * _NODES, _NODES, contexts)
    model.sets[0] = (group * 64 + i) * _NODES
    model.sets[1] = _SETS + activity * _NODES


@leaf
def _code_magnitude(magnitude, model, stream):
    """Code a magnitude: the number of its bits, counted up, then those behind the leading one. 2^20 if it is none."""
    wanted = np.int64(0)
    while magnitude >> wanted:
        wanted += 1
    bits = _code_size(wanted, np.int64(0), np.int64(_MOST_BITS + 1), np.int64(6), model, stream)
    if bits > _MOST_BITS:
        return np.int64(1 << 20)
    if bits == 0:
        return np.int64(0)
    number = np.int64(1)
    for shift in range(bits - 2, -1, -1):
        node = _mantissa_node(bits, bits - 2 - shift, number)
        number = 2 * number + _decide(magnitude >> shift & 1, node, model, stream)
    return number


@leaf
def _mantissa_node(bits, depth, number):
    """The node of the bit `depth` places behind the leading one, of a magnitude of so many bits that begins so."""
    if depth > 1:
        return _MANTISSA + 7
    if bits == 2:
        return _MANTISSA
    return _MANTISSA + 1 + 3 * min(bits - 3, 1) + (depth and number - 1)


@leaf
def _code_signed(value, model, stream):
    """Code a value whose sign has no contexts of its own; ±2^20 if it is none."""
    magnitude = _code_magnitude(abs(value), model, stream)
    if magnitude and _decide(np.int64(value < 0), np.int64(_SIGN), model, stream):
        return -magnitude
    return magnitude


@leaf
def _fits(value):
    return -32768 <= value <= 32767


@leaf
def _few(magnitude):
    """Level 0 … 7."""
    return min(level(magnitude), np.int64(7))


@leaf
def _quotient(value, step):
    """value / step, rounded, halves away from zero."""
    return (2 * value + step) // (2 * step) if value >= 0 else -((-2 * value + step) // (2 * step))


@leaf
def _nonzeros(block, indices):
    count = np.int64(0)
    for i in indices:
        count += block[i] != 0
    return count


# The interior.


class InteriorCount(NamedTuple):
    """Contexts of the number of nonzeros in the interior.

    Attributes:
        mean: weighted mean of the numbers around: (2·(left + above) + corner + above right + 3) // 6.
        sides: left and above, halved: 25 × 25.
        before: the plane before's, × 16 levels of the mean.
        edges: nonzeros of the horizontal edge above, × 8 of the vertical edge to the left.
        corners: level of the corner's, × 16 levels of that above right.
        left: the number to the left.
        above: the number above.
        left_before: level of left, × 16 levels of the plane before's.
        border: whether there is a column to the left, × 2 whether there is a row above.
    """

    mean: int
    sides: int
    before: int
    edges: int
    corners: int
    left: int
    above: int
    left_before: int
    border: int


class Interior(NamedTuple):
    """Contexts of the magnitude of a coefficient in the interior.

    Attributes:
        around: level of the magnitudes at the same place around, (13·(left + above) + 5·diagonals + 8) / 16, ×
            16 nonzeros to come (15: and more).
        sides: few of left × few of above × share of nonzeros among the coefficients to come, in eighths.
        lower: magnitudes one vertical, one horizontal frequency lower (8 × 8) and both (4) × whether more than
            a quarter of those to come are nonzeros.
        latest: nonzeros to come × level of twice the last magnitude and the one before.
        wide: level of `wide` × level of `near`.
        before: level of twice the magnitude in the plane before × level of `around` and `far`.
        block: level of the interior's number of nonzeros × level of the sum of its magnitudes so far.
        activity: level of `wide` + `far` + `near` × share of nonzeros among those to come, in sixteenths.
        distant: few of the diagonals × few of `far` × few of `near`.
    """

    around: int
    sides: int
    lower: int
    latest: int
    wide: int
    before: int
    block: int
    activity: int
    distant: int


class InteriorSign(NamedTuple):
    """Contexts of the sign of a coefficient in the interior; the other five stay those of its magnitude.

    Attributes:
        sides: signs left × above.
        corners: the same × signs in the corner × above right.
        before: the value in the plane before, -2 … 2, × signs left × above.
        lower: signs one vertical × one horizontal frequency lower, × 3.
    """

    sides: int
    corners: int
    before: int
    lower: int


@leaf
def _code_interior(block, plane, place, model, stream):
    """Code the 49 coefficients with both frequencies; says whether a decoder found legal ones."""
    _, _, decoding = stream
    count = np.int64(0) if decoding else _nonzeros(block.here, _INTERIOR)
    _look_at_counts(np.int64(_INNER), plane.group, model, _interior_count(block, plane, place))
    count = _code_bits(count, np.int64(6), model, stream)
    if count > 49:
        return False
    plane.counts[_INNER, place.now, place.column + 1] = count

    remaining, total, earlier, latest = count, np.int64(0), np.int64(0), np.int64(0)
    for n in range(49):
        if remaining == 0:
            break
        i = _INTERIOR[n]
        _look_at_interior(i, n, block, plane.group, (count, remaining, total, earlier, latest), model)
        value = _code_interior_value(i, block, plane.group, model, stream)
        if not _fits(value):
            return False
        block.here[i] = value
        earlier, latest = latest, abs(value)
        total += latest
        if value:
            remaining -= 1
    return remaining == 0


@leaf
def _code_interior_value(i, block, group, model, stream):
    value = np.int64(block.here[i])
    magnitude = _code_magnitude(abs(value), model, stream)
    if magnitude:
        look(model, (group * 64 + i) * _CONTEXTS * _NODES, _NODES, _interior_sign(i, block))
        if _decide(np.int64(value < 0), np.int64(_SIGN), model, stream):
            return -magnitude
    return magnitude


@leaf
def _interior_count(block, plane, place):
    inner, horizontal, vertical = plane.counts[_INNER], plane.counts[_HORIZONTAL], plane.counts[_VERTICAL]
    column, now, last = place.column, place.now, place.last
    left, above = inner[now, column], inner[last, column + 1]
    corner, above_right = inner[last, column], inner[last, column + 2]
    before = _nonzeros(block.before, _INTERIOR)
    mean = (2 * (left + above) + corner + above_right + 3) // 6
    return InteriorCount(
        mean=mean,
        sides=min(left, 49) // 2 * 25 + min(above, 49) // 2,
        before=before * 16 + level(mean),
        edges=horizontal[last, column + 1] * 8 + vertical[now, column],
        corners=level(corner) * 16 + level(above_right),
        left=left,
        above=above,
        left_before=level(left) * 16 + level(before),
        border=min(column, 1) * 2 + min(place.row, 1),
    )


@leaf
def _look_at_interior(i, n, block, group, progress, model):
    """Set the contexts of coefficient `i`, the n-th of the interior."""
    count, remaining, total, earlier, latest = progress
    here, left, above = block.here, block.left, block.above
    west, north = size(left[i]), size(above[i])
    diagonal = size(block.corner[i]) + size(block.above_right[i])
    around = (13 * (west + north) + 5 * diagonal + 8) >> 4
    # One frequency lower in the same block.
    up = size(here[i - 8]) if i >= 16 else np.int64(0)
    across = size(here[i - 1]) if i % 8 > 1 else np.int64(0)
    both = size(here[i - 9]) if i >= 16 and i % 8 > 1 else np.int64(0)
    near = 2 * (up + across) + both
    wide = 2 * (west + north) + _next_to(i, left) + _next_to(i, above)
    far = size(block.far_left[i]) + size(block.far_above[i])
    left_over = 49 - n
    some = min(remaining, 15)
    contexts = Interior(
        around=level(around) * 16 + some,
        sides=_few(west) * 64 + _few(north) * 8 + min(remaining * 8 // left_over, 7),
        lower=min(up, 7) * 64 + min(across, 7) * 8 + min(both, 3) * 2 + np.int64(remaining > left_over // 4),
        latest=remaining * 16 + level(latest * 2 + earlier),
        wide=level(wide) * 16 + level(near),
        before=level(2 * size(block.before[i])) * 16 + level(around + far),
        block=level(count) * 16 + level(total),
        activity=level(wide + far + near) * 16 + min(remaining * 16 // left_over, 15),
        distant=_few(diagonal) * 64 + _few(far) * 8 + _few(near),
    )
    _look_at_value(i, group, level(around + near) * 16 + some, model, contexts)


@leaf
def _next_to(i, block):
    """The sum of the magnitudes one frequency lower and higher than `i` in each direction."""
    total = size(block[i - 1]) + size(block[i - 8])
    if i % 8 < 7:
        total += size(block[i + 1])
    if i < 56:
        total += size(block[i + 8])
    return total


@leaf
def _interior_sign(i, block):
    here = block.here
    sides = sign(block.left[i]) * 3 + sign(block.above[i])
    up = sign(here[i - 8]) if i >= 16 else np.int64(1)
    across = sign(here[i - 1]) if i % 8 > 1 else np.int64(1)
    return InteriorSign(
        sides=sides,
        corners=sides * 9 + sign(block.corner[i]) * 3 + sign(block.above_right[i]),
        before=signed(block.before[i], 2) * 9 + sides,
        lower=3 * (3 * up + across),
    )


# The edges: coefficients of one frequency only, foreseen from the block on the other side of that edge.


class EdgeCount(NamedTuple):
    """Contexts of the number of nonzeros of an edge.

    `expected` is how many predictions reach half a step; `above` and `left` are the numbers of the same edge there.

    Attributes:
        expected: expected × level of the interior's number.
        sides: above × left.
        expected_above: expected × above × the edge coded before.
        block: the interior's number × that of the edge coded before (0 for the horizontal one).
        sides_interior: level of the interior's × above × left.
        expected_left: expected × left × the edge coded before.
        before: the number of the same edge in the plane before × expected.
        before_sides: the same × above × left.
        interior: the interior's × expected.
    """

    expected: int
    sides: int
    expected_above: int
    block: int
    sides_interior: int
    expected_left: int
    before: int
    before_sides: int
    interior: int


class Edge(NamedTuple):
    """Contexts of a coefficient of an edge.

    `seen` is the prediction in halves of a step, `whole` in steps. `across` is the coefficient in the block on the
    other side of the border, `along` that in the other neighbour.

    Attributes:
        seen: seen, -31 … 31, × nonzeros to come.
        whole: whole, -7 … 7, × few of across × few of along.
        interior: seen, -15 … 15, × level of the interior's number of nonzeros.
        sides: few of across × few of along × nonzeros to come.
        latest: few of the last magnitude × few of the one before × nonzeros to come.
        inside: whole, -7 … 7, × few of the two coefficients next to it in the interior × nonzeros to come.
        before: value in the plane before, -7 … 7, × seen, -15 … 15.
        along: along, -7 … 7, × seen, -15 … 15.
        across: across, -15 … 15, × whether more than half of those to come are nonzeros × level of seen.
    """

    seen: int
    whole: int
    interior: int
    sides: int
    latest: int
    inside: int
    before: int
    along: int
    across: int


@leaf
def _code_edge(kind, block, plane, place, model, stream):
    """Code the seven coefficients of an edge; says whether a decoder found legal ones."""
    _, _, decoding = stream
    horizontal = kind == _HORIZONTAL
    stride, inward = (1, 8) if horizontal else (8, 1)
    across, along = (block.above, block.left) if horizontal else (block.left, block.above)
    known = place.row > 0 if horizontal else place.column > 0
    expected = _foresee_edge(across, known, block.here, stride, inward, plane.steps, plane.votes)
    edge = _EDGES[kind - 1]
    contexts = _edge_count(kind, expected, _nonzeros(block.before, edge), plane, place)
    _look_at_counts(kind, plane.group, model, contexts)
    count = np.int64(0) if decoding else _nonzeros(block.here, edge)
    count = _code_bits(count, np.int64(3), model, stream)
    plane.counts[kind, place.now, place.column + 1] = count

    interior = plane.counts[_INNER, place.now, place.column + 1]
    remaining, latest, earlier = count, np.int64(0), np.int64(0)
    for k in range(1, 8):
        if remaining == 0:
            break
        i = k * stride
        inside = size(block.here[i + inward]) + size(block.here[i + 2 * inward])
        seen, contexts = _edge(
            plane.votes[k], plane.steps[i], (across[i], along[i], block.before[i]), inside, interior,
            (remaining, 8 - k, earlier, latest),
        )  # fmt: skip
        _look_at_value(i, plane.group, level(abs(seen)) * 16 + remaining + 8 * (kind - _HORIZONTAL), model, contexts)
        value = _code_signed(np.int64(block.here[i]), model, stream)
        if not _fits(value):
            return False
        block.here[i] = value
        earlier, latest = latest, abs(value)
        if value:
            remaining -= 1
    return remaining == 0


@leaf
def _foresee_edge(across, known, here, stride, inward, steps, votes):
    """Predictions in 1/16 to `votes` [1 … 7] from the block on the other side; how many reach half a step."""
    expected = np.int64(0)
    for k in range(1, 8):
        i = k * stride
        votes[k] = 0
        if known:
            there, here_so_far = np.int64(across[i]) * steps[i] << 12, np.int64(0)
            for j in range(1, 8):
                at = i + j * inward
                value = np.int64(across[at]) * steps[at]
                there += -value * _ROOT2 if j & 1 else value * _ROOT2
                here_so_far += np.int64(here[at]) * steps[at] * _ROOT2
            votes[k] = (there - here_so_far) >> 8
        expected += abs(votes[k]) >= 8 * steps[i]
    return expected


@leaf
def _edge_count(kind, expected, before, plane, place):
    column, now, last = place.column, place.now, place.last
    above, left = plane.counts[kind, last, column + 1], plane.counts[kind, now, column]
    interior = plane.counts[_INNER, now, column + 1]
    other = plane.counts[_HORIZONTAL, now, column + 1] if kind == _VERTICAL else np.int64(0)
    return EdgeCount(
        expected=expected * 16 + level(interior),
        sides=above * 8 + left,
        expected_above=expected * 64 + above * 8 + other,
        block=interior * 8 + other,
        sides_interior=level(interior) * 64 + above * 8 + left,
        expected_left=expected * 64 + left * 8 + other,
        before=before * 8 + expected,
        before_sides=before * 64 + above * 8 + left,
        interior=interior * 8 + expected,
    )


@leaf
def _edge(vote, step, values, inside, interior, progress):
    """The prediction in halves of a step, and the contexts of a coefficient."""
    across, along, before = values
    remaining, left_over, earlier, latest = progress
    seen, whole = _quotient(vote, 8 * step), _quotient(vote, 16 * step)
    a, b = size(across), size(along)
    many = np.int64(remaining * 2 > left_over)
    return seen, Edge(
        seen=signed(seen, 31) * 8 + remaining,
        whole=signed(whole, 7) * 64 + _few(a) * 8 + _few(b),
        interior=signed(seen, 15) * 16 + level(interior),
        sides=_few(a) * 64 + _few(b) * 8 + remaining,
        latest=_few(latest) * 64 + _few(earlier) * 8 + remaining,
        inside=signed(whole, 7) * 64 + _few(inside) * 8 + remaining,
        before=signed(before, 7) * 32 + signed(seen, 15),
        along=signed(along, 7) * 32 + signed(seen, 15),
        across=signed(across, 15) * 32 + many * 16 + level(abs(seen)),
    )


# DC, foreseen from the pixels around.


class Dc(NamedTuple):
    """Contexts of the difference of DC from its prediction.

    `apart` is the level of how far the votes lie apart, in steps; `part` is what rounding the prediction to steps left,
    in quarters of a step (-2 … 2, counted from 0); `lean` is the mean of the votes from above less that of those from
    the left, doubled, in steps, -15 … 15; `left` and `above` are the differences of those blocks.

    Attributes:
        apart: apart × part.
        sizes: level of left's magnitude × level of above's.
        lean: lean × apart.
        count: level of the number of nonzeros of the block × apart.
        before: DC in the plane before less that to its left, -15 … 15, × apart.
        sides: left, -15 … 15, × above, -15 … 15.
        finely: level of how far the votes lie apart in quarters of a step × part.
        size: level of the sum of the magnitudes of left and above × apart.
        lean_part: lean × part.
    """

    apart: int
    sizes: int
    lean: int
    count: int
    before: int
    sides: int
    finely: int
    size: int
    lean_part: int


@leaf
def _code_dc(block, plane, place, model, stream):
    """Code DC, and keep the pixels for the blocks to come; says whether a decoder found a legal value."""
    column, now, last = place.column, place.now, place.last
    counts, rests, step = plane.counts, plane.rests, 2 * plane.steps[0]  # a step of DC is so many 1/16 of a pixel
    count = counts[_INNER, now, column + 1] + counts[_HORIZONTAL, now, column + 1] + counts[_VERTICAL, now, column + 1]
    if count:
        _pixels(block.here, plane.steps, plane.work, plane.pixels)
    else:
        plane.pixels[:] = 0
    prediction, spread, lean = _foresee_dc(plane, place)
    guess = _quotient(prediction, step)
    part = _quotient(4 * (prediction - guess * step), step)
    left, above = rests[now, column], rests[last, column + 1]
    before = np.int64(block.before[0]) - (np.int64(plane.other[place.row, column - 1, 0]) if column else 0)
    apart, contexts = _dc(spread, lean, part, step, (left, above, before), count)
    _look_at_value(np.int64(0), plane.group, apart * 16 + level(abs(left) + abs(above)), model, contexts)
    guess = min(max(guess, -32768), 32767)
    rest = _code_signed(np.int64(block.here[0]) - guess, model, stream)
    if not _fits(guess + rest):
        return False
    block.here[0] = guess + rest
    rests[now, column + 1] = rest
    _keep_borders(plane, column, np.int64(block.here[0]) * step)
    return True


@leaf
def _foresee_dc(plane, place):
    """The prediction in 1/16 of a pixel, how far the votes lie apart, and by how much those from above are larger."""
    votes, pixels, count = plane.votes, plane.pixels, 0
    down, across = np.int64(0), np.int64(0)
    if place.row:
        lower = plane.lower[place.column]
        for x in range(8):
            votes[count] = (3 * lower[1, x] - lower[0, x] - (3 * pixels[0, x] - pixels[1, x])) >> 1
            down += votes[count]
            count += 1
    if place.column:
        right = plane.right
        for y in range(8):
            votes[count] = (3 * right[1, y] - right[0, y] - (3 * pixels[y, 0] - pixels[y, 1])) >> 1
            across += votes[count]
            count += 1
    if count == 0:
        return np.int64(0), np.int64(0), np.int64(0)
    _sort(votes, count)
    quarter, prediction = count // 4, np.int64(0)
    for j in range(quarter, count - quarter):
        prediction += votes[j]
    spread = votes[count - 1 - quarter // 2] - votes[quarter // 2]
    return prediction // (count - 2 * quarter), spread, (down - across) >> 3 if count == 16 else np.int64(0)


@leaf
def _sort(votes, count):
    for j in range(1, count):
        vote, k = votes[j], j
        while k and votes[k - 1] > vote:
            votes[k] = votes[k - 1]
            k -= 1
        votes[k] = vote


@leaf
def _dc(spread, lean, part, step, rests, count):
    """How far the votes lie apart, as a level, and the contexts of DC."""
    left, above, before = rests
    apart, part = level(_quotient(spread, step)), part + 2
    lean = signed(_quotient(2 * lean, step), 15)
    return apart, Dc(
        apart=apart * 8 + part,
        sizes=level(abs(left)) * 16 + level(abs(above)),
        lean=lean * 16 + apart,
        count=level(count) * 16 + apart,
        before=signed(before, 15) * 16 + apart,
        sides=signed(left, 15) * 32 + signed(above, 15),
        finely=level(_quotient(4 * spread, step)) * 8 + part,
        size=level(abs(left) + abs(above)) * 16 + apart,
        lean_part=lean * 8 + part,
    )


@leaf
def _pixels(block, steps, work, out):
    """Pixels of a block without its DC, in 1/16."""
    for u in range(8):
        for x in range(8):
            work[u, x] = 0
        for v in range(8):
            if block[8 * u + v] and u + v:
                value = np.int64(block[8 * u + v]) * steps[8 * u + v]
                for x in range(8):
                    work[u, x] += value * _BASIS[v, x]
    for y in range(8):
        for x in range(8):
            out[y, x] = 0
    for u in range(8):
        for y in range(8):
            basis = _BASIS[u, y]
            for x in range(8):
                out[y, x] += work[u, x] * basis
    for y in range(8):
        for x in range(8):
            out[y, x] >>= 20


@leaf
def _keep_borders(plane, column, offset):
    """Keep the last two rows and columns of pixels; `offset` is what DC adds to all."""
    pixels, lower, right = plane.pixels, plane.lower[column], plane.right
    for j in range(8):
        lower[0, j], lower[1, j] = pixels[6, j] + offset, pixels[7, j] + offset
        right[0, j], right[1, j] = pixels[j, 6] + offset, pixels[j, 7] + offset
