"""Context-mixing entropy coding: the strongest of the generic coders.

Quantized coefficients are not independent. A coefficient is likely to be zero where its neighbours are, where the
higher frequencies of its own block are, where the previous colour plane is. `ContextCoded` turns every coefficient into
a few yes/no decisions, predicts each one from several such contexts, mixes the predictions (`mixing`) and codes the
decision with the mixed probability (`binary_coder`). Nothing is sent but the decisions: the decoder learns the same
statistics from what it has decoded.

**Decisions.** Positions go row by row; a position's n coefficients (in order of frequency, see `layout`) like this::

    end         how many coefficients there are up to the last one that is not zero: a binary number, top bit first
    from coefficient end - 1 down to 0:
      zero?     not asked for coefficient end - 1 of a block, which is not zero
      > 1? …    the magnitude counted up, at most to 13
      escape    what lies above: Elias-gamma, the number of bits counted up, then the bits (with probability 1/2)
      negative?

With a single coefficient a position (samples, wavelet planes) there is no `end`.

**Contexts.** Tables are addressed by the kind of decision and by the coefficient's *slot* (its index, or in planes with
a single coefficient a position its octave in the wavelet pyramid), and each by a number that the fields of these
classes describe:

============  ==================================================================
what          contexts
============  ==================================================================
`End`         sides, left_above, sums, mean, before_mean, left
`Magnitude`   sides, block, wide, steps, activity, before
`Sign`        sides, diagonals, size, steps, far, before
============  ==================================================================

They are made of magnitudes (or signs) of the same coefficient to the left, above and diagonally; of coefficients next
to it in frequency, already coded (or the parent in the wavelet pyramid, at half the coordinates); of the sum of the
block so far; of the same coefficient in the previous plane. Magnitudes are compared on a scale of 16 levels, finer for
small ones (`mixing.LEVEL`).

**Prediction.** A slot whose values resemble their neighbours (the DC of DCT blocks) is coded as the difference from the
median of left, above and left + above - diagonal; the encoder says which slots are, one bit each.

Two mixers with differently chosen sets of weights (by slot, and by activity: 16 · level of `around` + level of 2·(up +
across) + both) share in each decision; their mean in the logistic domain counts. One function drives both directions,
so that encoder and decoder cannot disagree about a context.

Sources: M. Mahoney, "Data Compression Explained", sections 4.3 and 6.1 (context mixing, models of JPEG coefficients);
M. J. Weinberger, G. Seroussi and G. Sapiro, "The LOCO-I Lossless Image Compression Algorithm", IEEE Trans. Image
Processing 2000 (the median predictor); J. M. Shapiro, "Embedded Image Coding Using Zerotrees of Wavelet Coefficients",
IEEE Trans. Signal Processing 1993 (parents).
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..anatomy import Anatomy, Dissector
from ..bitstream import ByteReader
from ..compiled import njit
from ..errors import StreamError
from ..picture import MAX_PIXELS, HeaderStage, Picture, dissect_header, pack_header, unpack_header
from .binary_coder import (
    POSITION,
    bits_so_far,
    code_bit,
    finish,
    is_complete,
    is_overrun,
    new_decoder,
    new_encoder,
    with_room,
)
from .layout import frequency_order, from_scan, to_scan
from .mixing import (
    HALF,
    foresee,
    gamma_coder,
    leaf,
    level,
    look,
    new_model,
    predictor,
    sign,
    size,
    tree_coder,
    unary_coder,
)

#: Predictions that are mixed for each decision.
INPUTS = 6

#: Kinds of decisions: zero?, > 1? …, the escape's number of bits, negative?
KINDS = 32
_COUNTED = 13  # magnitudes from here on take an escape
_NEGATIVE = 31

#: Coefficients from here on share a slot.
MAX_SLOTS = 512
_OCTAVES = 7

#: Values that a context can take beside slot and kind.
_CONTEXTS = 256

#: Inner nodes of the binary numbers that have statistics of their own.
_MAX_NODES = 1024

_FIRST_WEIGHT = 10000  # about 1/6: the inputs' mean

#: Weight sets of the second mixer, beside one for `end`.
_ACTIVITIES = 256

#: Neighbours are remembered up to this magnitude.
_FAR = 1 << 20

#: Bytes that one coefficient takes at most: two for each of its decisions.
_MOST_BYTES = 2 * (_COUNTED + 34 + 33 + 1)


@dataclass(frozen=True)
class ContextCoded(HeaderStage):
    """Entropy coding by adaptive context mixing, of integer planes with values of 32 bits.

    `forward` takes a `Picture` with integer planes [rows, columns, …] and returns bytes; `inverse` returns the picture
    with int32 planes.

    >>> plane = np.array([[[5, 0, 0], [4, 0, 0]], [[5, 1, 0], [4, 0, 0]]])
    >>> payload = ContextCoded().forward(Picture((plane,), size=(2, 2)))
    >>> ContextCoded().inverse(payload).planes[0].tolist()
    [[[5, 0, 0], [4, 0, 0]], [[5, 1, 0], [4, 0, 0]]]
    """

    def forward(self, picture: Picture) -> bytes:
        """Return the payload, which begins with the picture's header."""
        return pack_header(picture) + encode_planes(picture.planes)

    def anatomy(self, picture: Picture, payload: bytes) -> Anatomy:
        """Header and decisions; what every position took, metered while it is coded again."""
        found = Dissector(payload)
        dissect_header(found)
        found.group = "symbols"
        found.rest("decisions of the range coder", role="quantize")
        costs = []
        encode_planes(picture.planes, costs=costs)
        return Anatomy(tuple(found.parts), tuple(costs))

    def inverse(self, payload: bytes, max_pixels: int = MAX_PIXELS) -> Picture:
        """Return the picture that `payload` holds.

        Raises:
            StreamError: the payload is cut or damaged, or holds more than `max_pixels`.
        """
        reader = ByteReader(payload)
        header, shapes = unpack_header(reader, max_pixels)
        return header.replace(planes=decode_planes(reader.rest(), shapes))


def encode_planes(planes, memory: dict | None = None, costs: list | None = None) -> bytes:
    """The code of some integer planes alone, without a header.

    Args:
        planes: integer arrays [rows, columns, …].
        memory: statistics that one picture hands on to the next of a video: an empty dictionary at first, and what it
            has become afterwards. Planes of the same index must have the same shape.
        costs: a list to which the bits that each position took are appended, float64 [rows, columns] a plane.

    >>> plane = np.array([[1, 2], [3, 4]])
    >>> decode_planes(encode_planes([plane]), [plane.shape])[0].tolist()
    [[1, 2], [3, 4]]
    """
    coder, data = new_encoder(), np.zeros(1 << 16, np.uint8)
    model = None
    for index, plane in enumerate(planes):
        scan = to_scan(plane)
        model = _PlaneModel.following(model, index, plane.shape, memory)
        data = model.code(scan, coder, data, decoding=False)
        if costs is not None:
            costs.append(np.diff(model.spent).reshape(plane.shape[:2]))
    finish(coder, data)
    return data[: coder[POSITION]].tobytes()


def decode_planes(
    payload: bytes, shapes, memory: dict | None = None, costs: list | None = None
) -> tuple[np.ndarray, ...]:
    """The inverse of `encode_planes`, for planes of the given shapes: int32 arrays. `memory` and `costs` are as there.

    Raises:
        StreamError: the payload is cut or damaged.
    """
    data = np.array(bytearray(payload), np.uint8)
    coder = new_decoder(data)
    planes, model = [], None
    for index, shape in enumerate(shapes):
        scan = np.zeros((*shape[:2], math.prod(shape[2:])), np.int32)
        model = _PlaneModel.following(model, index, shape, memory)
        model.code(scan, coder, data, decoding=True)
        planes.append(from_scan(scan, shape))
        if costs is not None:
            costs.append(np.diff(model.spent).reshape(shape[:2]))
    if not is_complete(coder, data):
        raise StreamError("the context-coded data are damaged: their length does not match their contents")
    return tuple(planes)


class _PlaneModel:
    """Statistics and neighbourhood of one plane while it is coded."""

    def __init__(self, shape, learnt, previous):
        rows, columns = shape[:2]
        self.shape = shape
        n = math.prod(shape[2:])
        self.near = _near(shape[2:])
        # What was coded: differences for predicted slots, else values. Margins of zeros stand for neighbours outside.
        self.coded = np.zeros((rows + 2, columns + 3, n + 1), np.int32)
        self.ends = np.zeros((rows + 1, columns + 2), np.int32)
        self.spent = np.zeros(rows * columns + 1)  # bits of the stream before each position, and at the end
        self.has_previous = previous is not None
        self.previous = previous or (np.zeros_like(self.coded), np.zeros_like(self.ends))
        if learnt is None:
            slots = min(n, MAX_SLOTS) if n > 1 else _OCTAVES**2
            nodes = min(1 << n.bit_length(), _MAX_NODES)
            addresses = slots * KINDS + nodes  # of each number that a context may have
            counters = np.zeros((INPUTS, _CONTEXTS * addresses), np.int32)
            # The first mixer's sets are chosen by slot, the second one's by activity; each has one for `end` behind.
            sets = addresses + _ACTIVITIES * KINDS + nodes
            learnt = slots, nodes, new_model(counters, np.full((sets, INPUTS), _FIRST_WEIGHT, np.int32), mixers=2)
        self.learnt = learnt

    @classmethod
    def following(cls, before, index, shape, memory=None):
        """The model of plane `index`: it sees the previous plane if that has the same shape.

        From the third plane on it also keeps the statistics: the first plane is luma or its like, the others are alike.
        With a `memory` it keeps those of the same plane of the picture before.
        """
        kept = (memory or {}).get(index)
        seen = None
        if before is not None and before.shape == shape:
            seen = before.coded, before.ends
            if kept is None and index >= 2:
                kept = before.learnt
        model = cls(shape, kept, seen)
        if memory is not None:
            memory[index] = model.learnt
        return model

    def code(self, scan, coder, data, decoding):
        """Encode `scan` (returning the bytes so far), or fill it by decoding."""
        slots, nodes, model = self.learnt
        predicted = np.zeros(slots, np.int64) if decoding else _choose_predicted(scan, slots)
        sums = np.zeros(scan.shape[1] + 1, np.int64)
        plane = _Plane(
            scan, predicted, self.coded, self.ends, *self.previous, self.has_previous, self.near, sums, slots, nodes
        )
        data, intact = _code_plane(plane, model, self.spent, coder, data, decoding)
        if not intact:
            raise StreamError("the context-coded data are cut or damaged")
        return data


class _Plane(NamedTuple):
    """A plane while it is coded.

    Attributes:
        values: int32 [rows, columns, n].
        predicted: whether a slot's values are predicted, int64 [slots].
        coded: what was coded, with margins: int32 [rows + 2, columns + 3, n + 1]; position (0, 0) is at [2, 2], and
            index n of a position stays 0.
        ends: int32 [rows + 1, columns + 2]; position (0, 0) is at [1, 1].
        previous, previous_ends: those of the plane before; zeros without.
        has_previous: whether there is a plane before.
        near: for each coefficient six that are next to it in frequency (`_near`).
        sums: of the magnitudes of the last block of every column, int64 [columns + 1], from index 1.
        slots, nodes: numbers of slots, and of nodes of `end`.
    """

    values: np.ndarray
    predicted: np.ndarray
    coded: np.ndarray
    ends: np.ndarray
    previous: np.ndarray
    previous_ends: np.ndarray
    has_previous: bool
    near: np.ndarray
    sums: np.ndarray
    slots: int
    nodes: int


class _Around(NamedTuple):
    """What was coded at a position and those around it, int32 [n + 1] each."""

    here: np.ndarray
    left: np.ndarray
    above: np.ndarray
    above_left: np.ndarray
    above_right: np.ndarray
    far_left: np.ndarray
    far_above: np.ndarray
    parent: np.ndarray  # at half the coordinates
    before: np.ndarray  # the plane before


class End(NamedTuple):
    """Contexts of `end`. Numbers of coefficients are scaled to 0 … 255, or 0 … 15 where two share a context.

    Attributes:
        sides: the mean of the ends to the left and above.
        left_above: the end to the left × that above.
        sums: level of the sum of magnitudes of the block to the left × that above.
        mean: (2·(left + above) + diagonals) / 6.
        before_mean: the end in the plane before × that mean.
        left: the end to the left.
    """

    sides: int
    left_above: int
    sums: int
    mean: int
    before_mean: int
    left: int


class Magnitude(NamedTuple):
    """Contexts of a coefficient's magnitude, from magnitudes around; `_Seen` says what they are.

    Attributes:
        sides: left, to 7, × above, to 7, × 2·(up + across) + both, to 3.
        block: level of how many coefficients are to come, with this one, × level of `block`.
        wide: level of `wide` × nonzeros of the block so far, to 15.
        steps: up, across and both, each to 3, × `around` / 4, rounded up, to 3.
        activity: level of left + above + diagonals + far × level of `block` + `wide`.
        before: level of twice the magnitude in the plane before and those next to it × level of `around`.
    """

    sides: int
    block: int
    wide: int
    steps: int
    activity: int
    before: int


class Sign(NamedTuple):
    """Contexts of a coefficient's sign.

    Attributes:
        sides: signs left × above.
        diagonals: signs above left × above right, × sides.
        size: the magnitude, to 5, × sides.
        steps: signs up × across × both (see `_Seen`).
        far: signs two to the left × two above; with one coefficient a position that of the parent.
        before: sign in the plane before × sign above; without such a plane as if both were 0.
    """

    sides: int
    diagonals: int
    size: int
    steps: int
    far: int
    before: int


class _Seen(NamedTuple):
    """Magnitudes around a coefficient.

    With one coefficient a position (a wavelet plane), `up` is the parent, `across` is `far`, `both` the sum of the
    parent's four neighbours, and `block` is both + 2·up.

    Attributes:
        left, above: the same coefficient there.
        diagonal: the sum of those above left and above right.
        far: the sum of those two to the left and two above.
        around: 2·(left + above) + diagonal.
        up, across, both: one step lower in frequency, along the last axis, the one before, and both.
        wide: `around` and the six neighbours in frequency of left and above (a wavelet plane: `around` + `far`).
        before, before_near: the plane before: the same coefficient; one step higher along either axis (a wavelet plane:
            to the left and to the right).
        block: the sum of the block's magnitudes so far.
    """

    left: int
    above: int
    diagonal: int
    far: int
    around: int
    up: int
    across: int
    both: int
    wide: int
    before: int
    before_near: int
    block: int


def _near(shape):
    """For each coefficient in scan order, six that are next to it in frequency, n where there is none: int64 [n, 6].

    Three one step up (each of the last two axes, and both), which are already coded, then three one step down.
    """
    order = frequency_order(shape)
    n = order.size
    near = np.full((n, 6), n, np.int64)
    if not shape:
        return near
    rank = np.empty(n, np.int64)
    rank[order] = np.arange(n)
    indices = np.stack(np.unravel_index(order, shape), -1)
    last, before = np.eye(len(shape), dtype=np.int64)[[-1, -2 if len(shape) > 1 else -1]]
    for column, step in enumerate((last, before, last + before, -last, -before, -last - before)):
        moved = indices + step
        inside = np.all((moved >= 0) & (moved < shape), -1)
        near[inside, column] = rank[np.ravel_multi_index(moved[inside].T, shape)]
    return near


@leaf
def _octave(at, extent):
    """Octave 0 … 6 of a coordinate: 0 … 1/64, 1/64 … 1/32, … 1/2 … 1 of the extent, as in a wavelet pyramid."""
    part = 64 * at // extent
    octave = 0
    while part:
        part >>= 1
        octave += 1
    return octave


@leaf
def _slot(row, column, k, values, slots):
    rows, columns, n = values.shape
    if n == 1:
        return _octave(row, rows) * _OCTAVES + _octave(column, columns)
    return min(k, slots - 1)


@leaf
def _median_prediction(values, row, column, k):
    """LOCO-I: the median of left, above and left + above - diagonal."""
    if row == 0:
        return np.int64(values[row, column - 1, k]) if column else np.int64(0)
    if column == 0:
        return np.int64(values[row - 1, column, k])
    return foresee(values[row, column - 1, k], values[row - 1, column, k], values[row - 1, column - 1, k])


@njit(cache=True)
def _choose_predicted(values, slots):
    """1 for every slot in which the predictions leave less than the values are."""
    rows, columns, n = values.shape
    gain = np.zeros(slots, np.float64)
    for row in range(rows):
        for column in range(columns):
            for k in range(n):
                value = np.int64(values[row, column, k])
                rest = value - _median_prediction(values, row, column, k)
                gain[_slot(row, column, k, values, slots)] += abs(value) - abs(rest)
    return (gain > 0).astype(np.int64)


@leaf
def _difference(row, column, k, plane):
    """What is coded of a value: itself, or its distance from the prediction."""
    value = np.int64(plane.values[row, column, k])
    if plane.predicted[_slot(row, column, k, plane.values, plane.slots)]:
        value -= _median_prediction(plane.values, row, column, k)
    return value


@leaf
def _restore(difference, row, column, k, plane):
    """The inverse of `_difference`; says whether the value fits 32 bits."""
    value = difference
    if plane.predicted[_slot(row, column, k, plane.values, plane.slots)]:
        value += _median_prediction(plane.values, row, column, k)
    plane.values[row, column, k] = value
    return -(1 << 31) <= value < 1 << 31


@leaf
def _find_end(row, column, plane):
    for k in range(plane.values.shape[2] - 1, -1, -1):
        if _difference(row, column, k, plane) != 0:
            return np.int64(k + 1)
    return np.int64(0)


# The decisions of a position.

_decide = predictor(contexts=INPUTS)
_code_small = unary_coder(_decide)
_code_large = gamma_coder(_decide)
_code_end = tree_coder(_decide, last=_MAX_NODES - 1)


@njit(cache=True)
def _code_plane(plane, model, spent, coder, data, decoding):
    """Code a plane in either direction; returns the bytes and whether the decoder's were intact."""
    rows, columns, n = plane.values.shape
    data = with_room(coder, data, decoding)
    for slot in range(plane.slots):
        plane.predicted[slot] = code_bit(coder, data, HALF, plane.predicted[slot], decoding)
    for row in range(rows):
        for column in range(columns):
            spent[row * columns + column] = bits_so_far(coder)
            data = with_room(coder, data, decoding, _MOST_BYTES * (n + 1))
            if not _code_position(row, column, plane, model, (coder, data, decoding)):
                return data, False
    spent[-1] = bits_so_far(coder)
    return data, True


@leaf
def _code_position(row, column, plane, model, stream):
    """Code the coefficients of a position; says whether a decoder found legal ones."""
    coder, data, decoding = stream
    n = plane.values.shape[2]
    end = np.int64(1)
    if n > 1:
        end = _code_number_of_coefficients(row, column, plane, model, stream)
        if end > n:
            return False
    around = _around(row, column, plane)
    block, nonzero = np.int64(0), np.int64(0)  # sum of the magnitudes so far, and how many are not 0
    for k in range(end - 1, -1, -1):
        if decoding and is_overrun(coder, data):
            return False
        difference = np.int64(0) if decoding else _difference(row, column, k, plane)
        seen = _see(k, block, around, plane) if n > 1 else _see_wavelet(row, column, around, plane)
        difference = _code_value(difference, (row, column, k), end, nonzero, seen, around, plane, model, stream)
        around.here[k] = min(max(difference, -_FAR), _FAR)
        if decoding and not _restore(difference, row, column, k, plane):
            return False
        nonzero += difference != 0
        if k:
            block += abs(difference)
    if decoding:
        for k in range(end, n):
            _restore(np.int64(0), row, column, k, plane)
    plane.sums[column + 1] = block
    return True


@leaf
def _code_number_of_coefficients(row, column, plane, model, stream):
    """Code `end`, which a decoder may find to be too large."""
    _, _, decoding = stream
    n = plane.values.shape[2]
    look(model, _CONTEXTS * plane.slots * KINDS, plane.nodes, _end(row, column, plane))
    model.sets[0] = plane.slots * KINDS
    model.sets[1] = plane.slots * KINDS + plane.nodes + _ACTIVITIES * KINDS
    bits = np.int64(0)
    while n >> bits:
        bits += 1
    end = _code_end(np.int64(0) if decoding else _find_end(row, column, plane), bits, model, stream)
    plane.ends[row + 1, column + 1] = end
    return end


@leaf
def _end(row, column, plane):
    n, ends = plane.values.shape[2], plane.ends
    left, above = np.int64(ends[row + 1, column]), np.int64(ends[row, column + 1])
    before = np.int64(plane.previous_ends[row + 1, column + 1])
    mean = (2 * (left + above) + ends[row, column] + ends[row, column + 2]) // 6
    return End(
        sides=(left + above + 1) // 2 * 255 // n,
        left_above=left * 15 // n * 16 + above * 15 // n,
        sums=level(plane.sums[column]) * 16 + level(plane.sums[column + 1]),
        mean=mean * 255 // n,
        before_mean=before * 15 // n * 16 + mean * 15 // n,
        left=left * 255 // n,
    )


@leaf
def _around(row, column, plane):
    coded = plane.coded
    return _Around(
        here=coded[row + 2, column + 2],
        left=coded[row + 2, column + 1],
        above=coded[row + 1, column + 2],
        above_left=coded[row + 1, column + 1],
        above_right=coded[row + 1, column + 3],
        far_left=coded[row + 2, column],
        far_above=coded[row, column + 2],
        parent=coded[row // 2 + 2, column // 2 + 2],
        before=plane.previous[row + 2, column + 2],
    )


@leaf
def _see(k, block, around, plane):
    """What there is around coefficient `k` of several."""
    here, left, above, before, near = around.here, around.left, around.above, around.before, plane.near
    diagonal = size(around.above_left[k]) + size(around.above_right[k])
    around_it = 2 * (size(left[k]) + size(above[k])) + diagonal
    wide = around_it
    for j in range(6):
        wide += size(left[near[k, j]]) + size(above[near[k, j]])
    return _Seen(
        left=size(left[k]),
        above=size(above[k]),
        diagonal=diagonal,
        far=size(around.far_left[k]) + size(around.far_above[k]),
        around=around_it,
        up=size(here[near[k, 0]]),
        across=size(here[near[k, 1]]),
        both=size(here[near[k, 2]]),
        wide=wide,
        before=size(before[k]),
        before_near=size(before[near[k, 3]]) + size(before[near[k, 4]]),
        block=block,
    )


@leaf
def _see_wavelet(row, column, around, plane):
    """What there is around the one coefficient of a position."""
    diagonal = size(around.above_left[0]) + size(around.above_right[0])
    around_it = 2 * (size(around.left[0]) + size(around.above[0])) + diagonal
    far = size(around.far_left[0]) + size(around.far_above[0])
    up, both = size(around.parent[0]), np.int64(0)
    if row > 2:  # above that the parent's neighbours may lie outside
        y, x = row // 2 + 2, column // 2 + 2
        coded = plane.coded
        both = size(coded[y, x - 1, 0]) + size(coded[y, x + 1, 0]) + size(coded[y - 1, x, 0]) + size(coded[y + 1, x, 0])
    previous = plane.previous
    return _Seen(
        left=size(around.left[0]),
        above=size(around.above[0]),
        diagonal=diagonal,
        far=far,
        around=around_it,
        up=up,
        across=far,
        both=both,
        wide=around_it + far,
        before=size(around.before[0]),
        before_near=size(previous[row + 2, column + 1, 0]) + size(previous[row + 2, column + 3, 0]),
        block=both + 2 * up,
    )


@leaf
def _code_value(value, position, end, nonzero, seen, around, plane, model, stream):
    """Code what there is to code of a coefficient; a decoder's may be too large for 32 bits."""
    row, column, k = position
    slot = _slot(row, column, k, plane.values, plane.slots)
    steps = 2 * (seen.up + seen.across) + seen.both
    look(model, slot * _CONTEXTS * KINDS, KINDS, _magnitude(seen, steps, end - k, nonzero))
    model.sets[0] = slot * KINDS
    activity = level(seen.around) * 16 + level(steps)
    model.sets[1] = plane.slots * KINDS + plane.nodes + activity * KINDS
    least = np.int64(plane.values.shape[2] > 1 and k == end - 1)
    magnitude = _code_magnitude(abs(value), least, model, stream)
    if magnitude == 0:
        return np.int64(0)
    look(model, slot * _CONTEXTS * KINDS, KINDS, _sign(k, magnitude, around, plane))
    if _decide(np.int64(value < 0), np.int64(_NEGATIVE), model, stream):
        return -magnitude
    return magnitude


@leaf
def _code_magnitude(wanted, least, model, stream):
    """Code a magnitude that is known to be at least `least`."""
    counted = _code_small(wanted, least, np.int64(_COUNTED), np.int64(_COUNTED), model, stream)
    if counted < _COUNTED:
        return counted
    excess = _code_large(wanted - _COUNTED + 1, np.int64(_COUNTED), np.int64(_NEGATIVE - 1), model, stream)
    return excess + _COUNTED - 1 if excess > 0 else np.int64(1) << 40


@leaf
def _magnitude(seen, steps, left_over, nonzero):
    around = seen.around
    return Magnitude(
        sides=min(seen.left, 7) * 32 + min(seen.above, 7) * 4 + min(steps, 3),
        block=level(left_over) * 16 + level(seen.block),
        wide=level(seen.wide) * 16 + min(nonzero, 15),
        steps=min(seen.up, 3) * 64 + min(seen.across, 3) * 16 + min(seen.both, 3) * 4 + min((around + 3) // 4, 3),
        activity=level(seen.left + seen.above + seen.diagonal + seen.far) * 16 + level(seen.block + seen.wide),
        before=level(2 * seen.before + seen.before_near) * 16 + level(around),
    )


@leaf
def _sign(k, magnitude, around, plane):
    here, near, above = around.here, plane.near, sign(around.above[k])
    sides = sign(around.left[k]) * 3 + above
    far = sign(around.far_left[k]) * 3 + sign(around.far_above[k])
    return Sign(
        sides=sides,
        diagonals=(sign(around.above_left[k]) * 3 + sign(around.above_right[k])) * 9 + sides,
        size=min(magnitude, 5) * 9 + sides,
        steps=(sign(here[near[k, 0]]) * 3 + sign(here[near[k, 1]])) * 3 + sign(here[near[k, 2]]),
        far=far if plane.values.shape[2] > 1 else sign(around.parent[0]),
        before=sign(around.before[k]) * 3 + above if plane.has_previous else np.int64(4),
    )
