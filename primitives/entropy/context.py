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

**Contexts.** The tables are indexed by the kind of decision, by the coefficient's *slot* (its index, or in planes with
a single coefficient a position its octave in the wavelet pyramid), and each by something else: the magnitudes of the
same coefficient to the left, above and diagonally; of coefficients next to it in frequency, already coded (or the
parent in the wavelet pyramid, at half the coordinates); the sum of the block so far; the same coefficient in the
previous plane. Signs see the signs around. Magnitudes are compared on a scale of 16 levels, finer for small ones
(`LEVEL`).

**Prediction.** A slot whose values resemble their neighbours (the DC of DCT blocks) is coded as the difference from the
median of left, above and left + above - diagonal; the encoder says which slots are, one bit each.

Two mixers with differently chosen weight sets (by slot, and by the neighbourhood's activity) share in each decision;
their mean in the logistic domain counts. One function drives both directions, so that encoder and decoder cannot
disagree about a context.

Sources: M. Mahoney, "Data Compression Explained", sections 4.3 and 6.1 (context mixing, models of JPEG coefficients);
M. J. Weinberger, G. Seroussi and G. Sapiro, "The LOCO-I Lossless Image Compression Algorithm", IEEE Trans. Image
Processing 2000 (the median predictor); J. M. Shapiro, "Embedded Image Coding Using Zerotrees of Wavelet Coefficients",
IEEE Trans. Signal Processing 1993 (parents).
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from ..anatomy import Anatomy, Dissector
from ..bitstream import ByteReader
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
from .mixing import LIMIT, SQUASH, STRETCH, counter_probability, counter_update, learn, mix

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

_COUNTER_LIMIT = 255
_FIRST_WEIGHT = 10000  # about 1/6: the inputs' mean
_HALF = 1 << 15

#: Weight sets of the second mixer, beside one for `end`.
_ACTIVITIES = 256

#: Neighbours are remembered up to this magnitude.
_FAR = 1 << 20

#: Level 0 … 15 of a magnitude: exact to 3, then two levels an octave.
LEVEL = np.array([v if v < 4 else min(15, (v * v).bit_length() - 1) for v in range(256)], np.int64)


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


def decode_planes(payload: bytes, shapes, memory: dict | None = None) -> tuple[np.ndarray, ...]:
    """The inverse of `encode_planes`, for planes of the given shapes: int32 arrays.

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
        self.previous = (
            previous if previous is not None else (np.zeros((1, 1, 1), np.int32), np.zeros((1, 1), np.int32))
        )
        if learnt is None:
            slots = min(n, MAX_SLOTS) if n > 1 else _OCTAVES**2
            nodes = min(1 << n.bit_length(), _MAX_NODES)
            counters = np.zeros(INPUTS * _CONTEXTS * (slots * KINDS + nodes), np.int32)
            by_slot = np.full((slots * KINDS + nodes, INPUTS), _FIRST_WEIGHT, np.int32)
            by_activity = np.full((_ACTIVITIES * KINDS + nodes, INPUTS), _FIRST_WEIGHT, np.int32)
            learnt = (slots, nodes, counters, by_slot, by_activity)
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
        slots = self.learnt[0]
        predicted = np.zeros(slots, np.int64) if decoding else _choose_predicted(scan, slots)
        data, intact = _code_plane(
            scan, predicted, self.coded, self.ends, *self.previous, self.near, *self.learnt, self.spent, coder, data,
            decoding,
        )  # fmt: skip
        if not intact:
            raise StreamError("the context-coded data are cut or damaged")
        return data


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


@njit(cache=True)
def _octave(at, extent):
    """Octave 0 … 6 of a coordinate: 0 … 1/64, 1/64 … 1/32, … 1/2 … 1 of the extent, as in a wavelet pyramid."""
    part = 64 * at // extent
    octave = 0
    while part:
        part >>= 1
        octave += 1
    return octave


@njit(cache=True)
def _slot(row, column, k, values, slots):
    rows, columns, n = values.shape
    if n == 1:
        return _octave(row, rows) * _OCTAVES + _octave(column, columns)
    return min(k, slots - 1)


@njit(cache=True)
def _median_prediction(values, row, column, k):
    """LOCO-I: the median of left, above and left + above - diagonal."""
    if row == 0:
        return np.int64(values[row, column - 1, k]) if column else np.int64(0)
    above = np.int64(values[row - 1, column, k])
    if column == 0:
        return above
    left, diagonal = np.int64(values[row, column - 1, k]), np.int64(values[row - 1, column - 1, k])
    return max(min(left, above), min(max(left, above), left + above - diagonal))


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


@njit(cache=True)
def _level(magnitude):
    return LEVEL[magnitude] if magnitude < LEVEL.size else np.int64(15)


@njit(cache=True)
def _size(value):
    return abs(np.int64(value))


@njit(cache=True)
def _sign(value):
    """0, 1, 2 for zero, positive, negative."""
    return np.int64(1) if value > 0 else np.int64(2) if value < 0 else np.int64(0)


@njit(cache=True)
def _decide(bit, kind, at, own, activity, model, stream):
    """Code one decision, and learn from it.

    ``at[m] + kind`` is the counter of input m; ``own + kind`` and ``activity + kind`` are the two weight sets.
    """
    counters, by_slot, by_activity, inputs = model
    coder, data, decoding = stream
    weights, others = by_slot[own + kind], by_activity[activity + kind]
    for m in range(INPUTS):
        inputs[m] = STRETCH[counter_probability(counters[at[m] + kind])]
    first, second = mix(inputs, weights), mix(inputs, others)
    bit = code_bit(coder, data, SQUASH[(first + second >> 1) + LIMIT], bit, decoding)
    target = 65535 * bit
    learn(weights, inputs, target - SQUASH[first + LIMIT])
    learn(others, inputs, target - SQUASH[second + LIMIT])
    for m in range(INPUTS):
        counters[at[m] + kind] = counter_update(counters[at[m] + kind], bit, _COUNTER_LIMIT)
    return bit


@njit(cache=True)
def _code_end(end, bits, nodes, at, own, activity, model, stream):
    """Code the number `end`, top bit first, every node of the binary tree being a kind of decision."""
    node, number = np.int64(1), np.int64(0)
    for shift in range(bits - 1, -1, -1):
        bit = _decide(end >> shift & 1, min(node, nodes - 1), at, own, activity, model, stream)
        node, number = 2 * node + bit, 2 * number + bit
    return number


@njit(cache=True)
def _code_magnitude(wanted, magnitude, at, own, activity, model, stream):
    """Code a magnitude that is known to be at least `magnitude`; returns it, or -1 if it is none."""
    while magnitude < _COUNTED:
        if not _decide(np.int64(wanted > magnitude), magnitude, at, own, activity, model, stream):
            return magnitude
        magnitude += 1
    excess = wanted - _COUNTED + 1
    bits = np.int64(0)
    while _decide(np.int64(excess >> bits > 1), min(_COUNTED + bits, _NEGATIVE - 1), at, own, activity, model, stream):
        bits += 1
        if bits > 33:
            return np.int64(-1)
    coder, data, decoding = stream
    number = np.int64(1)
    for shift in range(bits - 1, -1, -1):
        number = 2 * number + code_bit(coder, data, _HALF, excess >> shift & 1, decoding)
    return number + _COUNTED - 1


@njit(cache=True)
def _code_plane(
    values, predicted, coded, ends, previous, previous_ends, near, slots, nodes, counters, by_slot, by_activity,
    spent, coder, data, decoding,
):  # fmt: skip
    """Code a plane [rows, columns, n] in either direction; returns the bytes and whether the decoder's were intact."""
    rows, columns, n = values.shape
    has_previous = previous.shape[0] > 1
    table = counters.size // INPUTS  # one table an input: first its slots, then the nodes of `end`
    model = (counters, by_slot, by_activity, np.zeros(INPUTS, np.int64))
    stream = (coder, data, decoding)
    contexts, at = np.zeros(INPUTS, np.int64), np.zeros(INPUTS, np.int64)
    sums = np.zeros(columns + 1, np.int64)  # magnitudes of the last block of every column
    end_bits = 0
    while n >> end_bits:
        end_bits += 1

    for slot in range(slots):
        data = with_room(coder, data, decoding)
        predicted[slot] = code_bit(coder, data, _HALF, predicted[slot], decoding)
    for row in range(rows):
        for column in range(columns):
            spent[row * columns + column] = bits_so_far(coder)
            here = coded[row + 2, column + 2]
            left, above = coded[row + 2, column + 1], coded[row + 1, column + 2]
            above_left, above_right = coded[row + 1, column + 1], coded[row + 1, column + 3]
            far_left, far_above = coded[row + 2, column], coded[row, column + 2]
            parent = coded[row // 2 + 2, column // 2 + 2]
            before = previous[row + 2, column + 2] if has_previous else previous[0, 0]

            end = np.int64(1)
            if n > 1:
                if not decoding:
                    end = _find_end(values, predicted, row, column, slots)
                data = with_room(coder, data, decoding)
                stream = (coder, data, decoding)
                end_left, end_above = np.int64(ends[row + 1, column]), np.int64(ends[row, column + 1])
                end_before = np.int64(previous_ends[row + 1, column + 1]) if has_previous else np.int64(0)
                mean = (2 * (end_left + end_above) + ends[row, column] + ends[row, column + 2]) // 6
                sum_left, sum_above = _level(sums[column]), _level(sums[column + 1])
                contexts[0] = (end_left + end_above + 1) // 2 * 255 // n
                contexts[1] = end_left * 15 // n * 16 + end_above * 15 // n
                contexts[2] = sum_left * 16 + sum_above
                contexts[3] = mean * 255 // n
                contexts[4] = end_before * 15 // n * 16 + mean * 15 // n
                contexts[5] = end_left * 255 // n
                for m in range(INPUTS):
                    at[m] = m * table + _CONTEXTS * slots * KINDS + contexts[m] * nodes
                end = _code_end(end, end_bits, nodes, at, slots * KINDS, _ACTIVITIES * KINDS, model, stream)
                if end > n or (decoding and is_overrun(coder, data)):
                    return data, False
                ends[row + 1, column + 1] = end

            block, nonzero = np.int64(0), np.int64(0)  # sum of the magnitudes so far, and how many are not 0
            for k in range(end - 1, -1, -1):
                slot = _slot(row, column, k, values, slots)
                west, north = _size(left[k]), _size(above[k])
                diagonal = _size(above_left[k]) + _size(above_right[k])
                far = _size(far_left[k]) + _size(far_above[k])
                around = 2 * (west + north) + diagonal
                wide = around
                if n == 1:
                    up, across, both = _size(parent[0]), far, np.int64(0)
                    if row > 2:  # above that the parent's neighbours may lie outside
                        y, x = row // 2 + 2, column // 2 + 2
                        both = _size(coded[y, x - 1, 0]) + _size(coded[y, x + 1, 0])
                        both += _size(coded[y - 1, x, 0]) + _size(coded[y + 1, x, 0])
                    block = both + 2 * up
                    wide += far
                    before_near = np.int64(0)
                    if has_previous:
                        before_near = _size(previous[row + 2, column + 1, 0]) + _size(previous[row + 2, column + 3, 0])
                else:
                    up, across, both = _size(here[near[k, 0]]), _size(here[near[k, 1]]), _size(here[near[k, 2]])
                    for j in range(6):
                        wide += _size(left[near[k, j]]) + _size(above[near[k, j]])
                    before_near = _size(before[near[k, 3]]) + _size(before[near[k, 4]]) if has_previous else np.int64(0)
                steps = 2 * (up + across) + both
                size_before = _size(before[k]) if has_previous else np.int64(0)
                contexts[0] = min(west, 7) * 32 + min(north, 7) * 4 + min(steps, 3)
                contexts[1] = _level(end - k) * 16 + _level(block)
                contexts[2] = _level(wide) * 16 + min(nonzero, 15)
                contexts[3] = min(up, 3) * 64 + min(across, 3) * 16 + min(both, 3) * 4 + min((around + 3) // 4, 3)
                contexts[4] = _level(west + north + diagonal + far) * 16 + _level(block + wide)
                contexts[5] = _level(2 * size_before + before_near) * 16 + _level(around)
                for m in range(INPUTS):
                    at[m] = m * table + (slot * _CONTEXTS + contexts[m]) * KINDS
                own = slot * KINDS
                activity = (_level(around) * 16 + _level(steps)) * KINDS

                if decoding and is_overrun(coder, data):
                    return data, False
                data = with_room(coder, data, decoding)
                stream = (coder, data, decoding)
                difference = np.int64(0) if decoding else _difference(values, predicted, row, column, k, slots)
                least = np.int64(n > 1 and k == end - 1)
                size = _code_magnitude(abs(difference), least, at, own, activity, model, stream)
                if size < 0:
                    return data, False
                if size:
                    west, north = _sign(left[k]), _sign(above[k])
                    signs = west * 3 + north
                    contexts[0] = signs
                    contexts[1] = (_sign(above_left[k]) * 3 + _sign(above_right[k])) * 9 + signs
                    contexts[2] = min(size, 5) * 9 + signs
                    contexts[3] = (_sign(here[near[k, 0]]) * 3 + _sign(here[near[k, 1]])) * 3 + _sign(here[near[k, 2]])
                    contexts[4] = _sign(parent[0]) if n == 1 else _sign(far_left[k]) * 3 + _sign(far_above[k])
                    contexts[5] = _sign(before[k]) * 3 + north if has_previous else np.int64(0)
                    for m in range(INPUTS):
                        at[m] = m * table + (slot * _CONTEXTS + contexts[m]) * KINDS
                    if _decide(np.int64(difference < 0), _NEGATIVE, at, own, activity, model, stream):
                        difference = -size
                    else:
                        difference = size
                    nonzero += 1
                    if k:
                        block += size
                here[k] = min(max(difference, -_FAR), _FAR)
                if decoding and not _restore(values, predicted, difference, row, column, k, slots):
                    return data, False
            if decoding:
                for k in range(end, n):
                    _restore(values, predicted, 0, row, column, k, slots)
            sums[column + 1] = block
    spent[-1] = bits_so_far(coder)
    return data, True


@njit(cache=True)
def _difference(values, predicted, row, column, k, slots):
    """What is coded of a value: itself, or its distance from the prediction."""
    value = np.int64(values[row, column, k])
    if predicted[_slot(row, column, k, values, slots)]:
        value -= _median_prediction(values, row, column, k)
    return value


@njit(cache=True)
def _restore(values, predicted, difference, row, column, k, slots):
    """The inverse of `_difference`; says whether the value fits 32 bits."""
    value = np.int64(difference)
    if predicted[_slot(row, column, k, values, slots)]:
        value += _median_prediction(values, row, column, k)
    values[row, column, k] = value
    return -(1 << 31) <= value < 1 << 31


@njit(cache=True)
def _find_end(values, predicted, row, column, slots):
    for k in range(values.shape[2] - 1, -1, -1):
        if _difference(values, predicted, row, column, k, slots) != 0:
            return np.int64(k + 1)
    return np.int64(0)
