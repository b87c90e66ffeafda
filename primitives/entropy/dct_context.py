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

**Decisions.** A value is coded by the number of its bits (counted up), its sign, and the bits behind the leading one;
numbers of nonzeros as binary numbers. Each decision is predicted in several contexts (coefficients at the same place in
the neighbouring blocks, next to it in its own block and in the plane before, numbers of nonzeros still to come, the
predictions above), mixed twice with weight sets chosen differently, and refined once more by what the mix was worth so
far (an *adaptive probability map*); see `mixing`. All in integers: every machine decodes the same.

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

import numpy as np
from numba import njit

from ..anatomy import Anatomy, Dissector
from ..bitstream import ByteReader, ByteWriter
from ..dct import dct_matrix
from ..errors import StreamError
from ..picture import MAX_PIXELS, HeaderStage, Picture, dissect_header, pack_header, unpack_header
from .binary_coder import POSITION, code_bit, finish, is_complete, is_overrun, new_decoder, new_encoder, with_room
from .context import LEVEL
from .mixing import LEARNING_RATE, LIMIT, SQUASH, STRETCH, counter_probability, counter_update

#: Zigzag order (ITU-T T.81 Figure A.6), made from its rule: diagonals, walked in alternating directions.
ZIGZAG = np.array(
    sorted(range(64), key=lambda i: (i // 8 + i % 8, (i // 8 if (i // 8 + i % 8) % 2 else i % 8))), np.int64
)

#: Interior coefficients in zigzag order.
_INTERIOR = np.array([i for i in ZIGZAG if i >= 8 and i % 8], np.int64)

#: Predictions that are mixed for each decision.
INPUTS = 9

# A context table holds, for each of two kinds of plane, 64 positions and 1024 contexts, 16 decisions.
_CONTEXTS = 1024
_NODES = 16
_SIGN = 7
_MANTISSA = 8
_TABLE = 2 * 64 * _CONTEXTS * _NODES

# Numbers of nonzeros are trees of 64 nodes; they lie behind, with contexts of their own.
_COUNT_TABLE = 2 * 3 * _CONTEXTS * 64

_SETS = 2 * (64 * _NODES + 3 * 64)
_ACTIVITIES = 256 * _NODES + 64
_FIRST_WEIGHT = 65536 // INPUTS + 3000
_COUNTER_LIMIT = 255

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
    model = (
        np.zeros(INPUTS * (_TABLE + _COUNT_TABLE), np.int32),
        np.full((_SETS, INPUTS), _FIRST_WEIGHT, np.int32),
        np.full((_ACTIVITIES, INPUTS), _FIRST_WEIGHT, np.int32),
        np.zeros(INPUTS, np.int64),
        np.zeros(INPUTS, np.int64),
        _first_maps(),
    )
    before = np.zeros((1, 1, 64), np.int16)
    for index, (plane, table) in enumerate(zip(planes, tables, strict=True)):
        steps = np.asarray(table, np.int64).ravel()
        other = before if index and before.shape == plane.shape else np.zeros((1, 1, 64), np.int16)
        data, intact = _code_plane(plane, other, steps, min(index, 1), model, coder, data, decoding)
        if not intact:
            return data, False
        before = plane
    return data, True


def _first_maps():
    """Adaptive probability maps: for every set 24 probabilities (16 bits) along the logistic domain, the identity."""
    points = SQUASH[np.minimum(np.arange(24) * 256, 2 * LIMIT)]
    return np.tile(points.astype(np.int32), (_SETS, 1))


@njit(cache=True)
def _level(magnitude):
    return LEVEL[magnitude] if magnitude < LEVEL.size else np.int64(15)


@njit(cache=True)
def _few(magnitude):
    """Level 0 … 7."""
    return min(_level(magnitude), np.int64(7))


@njit(cache=True)
def _signed(value, most):
    """0 … 2·most for -most … most."""
    return min(max(value, -most), most) + most


@njit(cache=True)
def _quotient(value, step):
    """value / step, rounded, halves away from zero."""
    return (2 * value + step) // (2 * step) if value >= 0 else -((-2 * value + step) // (2 * step))


@njit(cache=True)
def _decide(bit, node, own, activity, model, coder, data, decoding):
    """Code one decision in the contexts ``at``, and learn from it."""
    counters, by_own, by_activity, at, inputs, maps = model
    weights, others, row = by_own[own], by_activity[activity], maps[own]
    first, second = np.int64(0), np.int64(0)
    for m in range(INPUTS):
        opinion = np.int64(STRETCH[counter_probability(counters[at[m] + node])])
        inputs[m] = opinion
        first += weights[m] * opinion
        second += others[m] * opinion
    first = min(max(first >> 16, -LIMIT), LIMIT)
    second = min(max(second >> 16, -LIMIT), LIMIT)
    mixed = (first + second) >> 1
    # The map: what came of such mixes, between two of its points.
    point, part = (mixed + LIMIT) >> 8, (mixed + LIMIT) & 255
    refined = (row[point] * (256 - part) + row[point + 1] * part) >> 8
    probability = min(max((SQUASH[mixed + LIMIT] + 3 * refined) >> 2, 1), 65535)
    bit = code_bit(coder, data, probability, bit, decoding)
    target = 65535 * bit
    row[point + (part >> 7)] += (target - row[point + (part >> 7)]) >> 6
    first_error = (target - SQUASH[first + LIMIT]) * LEARNING_RATE
    second_error = (target - SQUASH[second + LIMIT]) * LEARNING_RATE
    for m in range(INPUTS):
        weights[m] += (inputs[m] * first_error + (1 << 17)) >> 18
        others[m] += (inputs[m] * second_error + (1 << 17)) >> 18
        counters[at[m] + node] = counter_update(counters[at[m] + node], bit, _COUNTER_LIMIT)
    return bit


@njit(cache=True)
def _code_count(count, bits, kind, group, model, coder, data, decoding):
    """Code a number of nonzeros, top bit first."""
    own, activity = 2 * 64 * _NODES + (group * 3 + kind) * 64, 256 * _NODES
    node, number = np.int64(1), np.int64(0)
    for shift in range(bits - 1, -1, -1):
        bit = _decide(count >> shift & 1, node, own + node, activity + node, model, coder, data, decoding)
        node, number = 2 * node + bit, 2 * number + bit
    return number


@njit(cache=True)
def _code_value(value, own, activity, model, signs, coder, data, decoding):
    """Code a value; the contexts of its sign are set by `signs`. Returns it, or 2^20 if it is none."""
    at = model[3]
    magnitude = abs(value)
    size = np.int64(0)
    wanted = np.int64(0)
    while magnitude >> wanted:
        wanted += 1
    while True:
        node = min(size, 6)
        if not _decide(np.int64(wanted > size), node, own + node, activity + node, model, coder, data, decoding):
            break
        size += 1
        if size > _MOST_BITS:
            return np.int64(1 << 20)
    if size == 0:
        return np.int64(0)
    number = np.int64(1)
    for shift in range(size - 2, -1, -1):
        depth = size - 2 - shift
        if depth > 1:
            node = _MANTISSA + 7
        elif size == 2:
            node = _MANTISSA
        else:
            node = _MANTISSA + 1 + 3 * min(size - 3, 1) + (depth and number - 1)
        bit = _decide(magnitude >> shift & 1, node, own + node, activity + node, model, coder, data, decoding)
        number = 2 * number + bit
    for m in range(INPUTS):
        if signs[m] >= 0:
            at[m] = signs[m]
    if _decide(np.int64(value < 0), _SIGN, own + _SIGN, activity + _SIGN, model, coder, data, decoding):
        return -number
    return number


@njit(cache=True)
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


@njit(cache=True, nogil=True)
def _code_plane(plane, other, steps, group, model, coder, data, decoding):
    """Code a plane [rows, columns, 64] in either direction; returns the bytes and whether the decoder's were intact."""
    rows, columns = plane.shape[:2]
    has_other = other.shape[0] == rows and other.shape[1] == columns
    at = model[3]
    nothing = np.zeros(64, np.int16)
    inner = np.zeros((2, columns + 2), np.int64)  # nonzeros of the interior, of the last row of blocks and this one
    horizontal, vertical = np.zeros((2, columns + 2), np.int64), np.zeros((2, columns + 2), np.int64)
    rests = np.zeros((2, columns + 2), np.int64)  # of DC predictions
    lower = np.zeros((columns, 2, 8), np.int64)  # the last two rows of pixels of the blocks above
    right = np.zeros((2, 8), np.int64)
    votes = np.zeros(16, np.int64)
    signs, work, pixels = np.zeros(INPUTS, np.int64), np.zeros((8, 8), np.int64), np.zeros((8, 8), np.int64)
    table = _TABLE + _COUNT_TABLE
    for row in range(rows):
        now, last = row & 1, 1 - (row & 1)
        for column in range(columns):
            data = with_room(coder, data, decoding)
            if decoding and is_overrun(coder, data):
                return data, False
            here = plane[row, column]
            left = plane[row, column - 1] if column else nothing
            above = plane[row - 1, column] if row else nothing
            corner = plane[row - 1, column - 1] if row and column else nothing
            above_right = plane[row - 1, column + 1] if row and column + 1 < columns else nothing
            far_left = plane[row, column - 2] if column > 1 else nothing
            far_above = plane[row - 2, column] if row > 1 else nothing
            before = other[row, column] if has_other else nothing

            # How many interior coefficients are not zero.
            nl, na = inner[now, column], inner[last, column + 1]
            nc, nr = inner[last, column], inner[last, column + 2]
            nb = np.int64(0)
            if has_other:
                for i in _INTERIOR:
                    nb += before[i] != 0
            count = np.int64(0)
            if not decoding:
                for i in _INTERIOR:
                    count += here[i] != 0
            mean = (2 * (nl + na) + nc + nr + 3) // 6
            base = group * 3 * _CONTEXTS * 64 + _TABLE
            at[0] = base + mean * 64
            at[1] = base + (min(nl, 49) // 2 * 25 + min(na, 49) // 2) * 64
            at[2] = base + (nb * 16 + _level(mean)) * 64
            at[3] = base + (horizontal[last, column + 1] * 8 + vertical[now, column]) * 64
            at[4] = base + (_level(nc) * 16 + _level(nr)) * 64
            at[5] = base + nl * 64
            at[6] = base + na * 64
            at[7] = base + (_level(nl) * 16 + _level(nb)) * 64
            at[8] = base + (min(column, 1) * 2 + min(row, 1)) * 64
            for m in range(INPUTS):
                at[m] += m * table
            count = _code_count(count, 6, 0, group, model, coder, data, decoding)
            if count > 49:
                return data, False
            inner[now, column + 1] = count

            remaining, total, earlier, latest = count, np.int64(0), np.int64(0), np.int64(0)
            for n in range(49):
                if remaining == 0:
                    break
                i = _INTERIOR[n]
                west, north = abs(np.int64(left[i])), abs(np.int64(above[i]))
                diagonal = abs(np.int64(corner[i])) + abs(np.int64(above_right[i]))
                around = (13 * (west + north) + 5 * diagonal + 8) >> 4
                up, across = abs(np.int64(here[i - 8])) if i >= 16 else np.int64(0), np.int64(0)
                if i % 8 > 1:
                    across = abs(np.int64(here[i - 1]))
                both = abs(np.int64(here[i - 9])) if i >= 16 and i % 8 > 1 else np.int64(0)
                near = 2 * (up + across) + both
                # The same frequency's neighbours in the neighbouring blocks.
                wide = 2 * (west + north) + abs(np.int64(left[i - 1])) + abs(np.int64(above[i - 1]))
                wide += abs(np.int64(left[i - 8])) + abs(np.int64(above[i - 8]))
                if i % 8 < 7:
                    wide += abs(np.int64(left[i + 1])) + abs(np.int64(above[i + 1]))
                if i < 56:
                    wide += abs(np.int64(left[i + 8])) + abs(np.int64(above[i + 8]))
                far = abs(np.int64(far_left[i])) + abs(np.int64(far_above[i]))
                size_before = abs(np.int64(before[i]))
                left_over = 49 - n
                some = min(remaining, 15)
                base = (group * 64 + i) * _CONTEXTS * _NODES
                at[0] = base + (_level(around) * 16 + some) * _NODES
                at[1] = base + (_few(west) * 64 + _few(north) * 8 + min(remaining * 8 // left_over, 7)) * _NODES
                many = np.int64(remaining > left_over // 4)
                at[2] = base + (min(up, 7) * 64 + min(across, 7) * 8 + min(both, 3) * 2 + many) * _NODES
                at[3] = base + (remaining * 16 + _level(latest * 2 + earlier)) * _NODES
                at[4] = base + (_level(wide) * 16 + _level(near)) * _NODES
                at[5] = base + (_level(2 * size_before) * 16 + _level(around + far)) * _NODES
                at[6] = base + (_level(count) * 16 + _level(total)) * _NODES
                at[7] = base + (_level(wide + far + near) * 16 + min(remaining * 16 // left_over, 15)) * _NODES
                at[8] = base + (_few(diagonal) * 64 + _few(far) * 8 + _few(near)) * _NODES
                sign_left, sign_above = _signed(np.int64(left[i]), 1), _signed(np.int64(above[i]), 1)
                around_signs = sign_left * 3 + sign_above
                for m in range(INPUTS):
                    at[m] += m * table
                    signs[m] = -1
                signs[0] = base + around_signs * _NODES
                beyond = _signed(np.int64(corner[i]), 1) * 3 + _signed(np.int64(above_right[i]), 1)
                signs[1] = table + base + (around_signs * 9 + beyond) * _NODES
                signs[2] = 2 * table + base + (_signed(np.int64(before[i]), 2) * 9 + around_signs) * _NODES
                lower_signs = _signed(np.int64(here[i - 8]), 1) if i >= 16 else np.int64(1)
                lower_signs = 3 * lower_signs + (_signed(np.int64(here[i - 1]), 1) if i % 8 > 1 else 1)
                signs[3] = 3 * table + base + 3 * lower_signs * _NODES
                own = (group * 64 + i) * _NODES
                activity = (_level(around + near) * 16 + some) * _NODES
                value = _code_value(np.int64(here[i]), own, activity, model, signs, coder, data, decoding)
                if value < -32768 or value > 32767:
                    return data, False
                here[i] = value
                earlier, latest = latest, abs(value)
                total += latest
                if value:
                    remaining -= 1
            if remaining:
                return data, False

            # Edges: coefficients of one frequency only, foreseen from the block on the other side of that edge.
            for edge in range(2):
                stride = 1 if edge == 0 else 8  # horizontal frequencies (row 0), then vertical ones (column 0)
                cross = 8 if edge == 0 else 1
                beside = above if edge == 0 else left
                along = left if edge == 0 else above
                known = (row > 0) if edge == 0 else (column > 0)
                held = horizontal if edge == 0 else vertical
                expected = np.int64(0)
                count = np.int64(0)
                for k in range(1, 8):
                    i = k * stride
                    sum_there = np.int64(beside[i]) * steps[i] << 12
                    sum_here = np.int64(0)
                    for j in range(1, 8):
                        at_j = i + j * cross
                        there = np.int64(beside[at_j]) * steps[at_j]
                        sum_there += -there * _ROOT2 if j & 1 else there * _ROOT2
                        sum_here += np.int64(here[at_j]) * steps[at_j] * _ROOT2
                    votes[k] = (sum_there - sum_here) >> 8 if known else 0  # in 1/16
                    expected += abs(votes[k]) >= 8 * steps[i]
                    if not decoding:
                        count += here[i] != 0
                there, side = held[last, column + 1], held[now, column]
                base = (group * 3 + 1 + edge) * _CONTEXTS * 64 + _TABLE
                interior = inner[now, column + 1]
                other_edge = horizontal[now, column + 1] if edge else np.int64(0)
                at[0] = base + (expected * 16 + _level(interior)) * 64
                at[1] = base + (there * 8 + side) * 64
                at[2] = base + (expected * 64 + there * 8 + other_edge) * 64
                at[3] = base + (interior * 8 + other_edge) * 64
                at[4] = base + (_level(interior) * 64 + there * 8 + side) * 64
                at[5] = base + (expected * 64 + side * 8 + other_edge) * 64
                edge_before = np.int64(0)
                if has_other:
                    for k in range(1, 8):
                        edge_before += before[k * stride] != 0
                at[6] = base + (edge_before * 8 + expected) * 64
                at[7] = base + (edge_before * 64 + there * 8 + side) * 64
                at[8] = base + (interior * 8 + expected) * 64
                for m in range(INPUTS):
                    at[m] += m * table
                count = _code_count(count, 3, 1 + edge, group, model, coder, data, decoding)
                held[now, column + 1] = count
                remaining, latest, earlier = count, np.int64(0), np.int64(0)
                for k in range(1, 8):
                    if remaining == 0:
                        break
                    i = k * stride
                    seen = _quotient(votes[k], 8 * steps[i])  # prediction in halves of a step
                    whole = _quotient(votes[k], 16 * steps[i])
                    a, b = abs(np.int64(beside[i])), abs(np.int64(along[i]))
                    next_in = abs(np.int64(here[i + cross])) + abs(np.int64(here[i + 2 * cross]))
                    left_over = 8 - k
                    base = (group * 64 + i) * _CONTEXTS * _NODES
                    at[0] = base + (_signed(seen, 31) * 8 + remaining) * _NODES
                    at[1] = base + (_signed(whole, 7) * 64 + _few(a) * 8 + _few(b)) * _NODES
                    at[2] = base + (_signed(seen, 15) * 16 + _level(interior)) * _NODES
                    at[3] = base + (_few(a) * 64 + _few(b) * 8 + remaining) * _NODES
                    at[4] = base + (_few(latest) * 64 + _few(earlier) * 8 + remaining) * _NODES
                    at[5] = base + (_signed(whole, 7) * 64 + _few(next_in) * 8 + remaining) * _NODES
                    at[6] = base + (_signed(np.int64(before[i]), 7) * 32 + _signed(seen, 15)) * _NODES
                    at[7] = base + (_signed(np.int64(along[i]), 7) * 32 + _signed(seen, 15)) * _NODES
                    many = np.int64(remaining * 2 > left_over)
                    at[8] = base + (_signed(np.int64(beside[i]), 15) * 32 + many * 16 + _level(abs(seen))) * _NODES
                    for m in range(INPUTS):
                        at[m] += m * table
                        signs[m] = -1
                    own = (group * 64 + i) * _NODES
                    activity = (_level(abs(seen)) * 16 + remaining + 8 * edge) * _NODES
                    value = _code_value(np.int64(here[i]), own, activity, model, signs, coder, data, decoding)
                    if value < -32768 or value > 32767:
                        return data, False
                    here[i] = value
                    earlier, latest = latest, abs(value)
                    if value:
                        remaining -= 1
                if remaining:
                    return data, False

            # DC: foreseen from the pixels around.
            ac_count = inner[now, column + 1] + horizontal[now, column + 1] + vertical[now, column + 1]
            if ac_count:
                _pixels(here, steps, work, pixels)
            else:
                pixels[:] = 0
            n_votes = 0
            down_sum, across_sum = np.int64(0), np.int64(0)
            if row:
                for x in range(8):
                    outside = 3 * lower[column, 1, x] - lower[column, 0, x]
                    inside = 3 * pixels[0, x] - pixels[1, x]
                    votes[n_votes] = (outside - inside) >> 1
                    down_sum += votes[n_votes]
                    n_votes += 1
            if column:
                for y in range(8):
                    outside = 3 * right[1, y] - right[0, y]
                    inside = 3 * pixels[y, 0] - pixels[y, 1]
                    votes[n_votes] = (outside - inside) >> 1
                    across_sum += votes[n_votes]
                    n_votes += 1
            prediction, spread, lean = np.int64(0), np.int64(0), np.int64(0)
            if n_votes:
                for j in range(1, n_votes):
                    vote, k = votes[j], j
                    while k and votes[k - 1] > vote:
                        votes[k] = votes[k - 1]
                        k -= 1
                    votes[k] = vote
                quarter = n_votes // 4
                for j in range(quarter, n_votes - quarter):
                    prediction += votes[j]
                prediction = prediction // (n_votes - 2 * quarter)
                spread = votes[n_votes - 1 - quarter // 2] - votes[quarter // 2]
                if n_votes == 16:
                    lean = (down_sum - across_sum) >> 3
            step = 2 * steps[0]  # of DC, in 1/16 of a pixel
            guess = _quotient(prediction, step)
            part = _quotient(4 * (prediction - guess * step), step)  # -2 … 2
            rest_left, rest_above = rests[now, column], rests[last, column + 1]
            apart = _level(_quotient(spread, step))
            base = group * 64 * _CONTEXTS * _NODES
            lean_level = _signed(_quotient(2 * lean, step), 15)
            at[0] = base + (apart * 8 + part + 2) * _NODES
            at[1] = base + (_level(abs(rest_left)) * 16 + _level(abs(rest_above))) * _NODES
            at[2] = base + (lean_level * 16 + apart) * _NODES
            at[3] = base + (_level(ac_count) * 16 + apart) * _NODES
            rest_before = np.int64(0)
            if has_other:
                rest_before = np.int64(before[0]) - (np.int64(other[row, column - 1, 0]) if column else 0)
            at[4] = base + (_signed(rest_before, 15) * 16 + apart) * _NODES
            at[5] = base + (_signed(rest_left, 15) * 32 + _signed(rest_above, 15)) * _NODES
            at[6] = base + (_level(_quotient(4 * spread, step)) * 8 + part + 2) * _NODES
            at[7] = base + (_level(abs(rest_left) + abs(rest_above)) * 16 + apart) * _NODES
            at[8] = base + (lean_level * 8 + part + 2) * _NODES
            for m in range(INPUTS):
                at[m] += m * table
                signs[m] = -1
            guess = min(max(guess, -32768), 32767)
            rest = np.int64(here[0]) - guess
            activity = (apart * 16 + _level(abs(rest_left) + abs(rest_above))) * _NODES
            rest = _code_value(rest, group * 64 * _NODES, activity, model, signs, coder, data, decoding)
            if not -32768 <= guess + rest <= 32767:
                return data, False
            here[0] = guess + rest
            rests[now, column + 1] = rest
            offset = np.int64(here[0]) * step
            for j in range(8):
                lower[column, 0, j], lower[column, 1, j] = pixels[6, j] + offset, pixels[7, j] + offset
                right[0, j], right[1, j] = pixels[j, 6] + offset, pixels[j, 7] + offset
    return data, True
