"""Context mixing of latents: a learned distribution for each symbol is one opinion, its neighbourhood has others.

A learned codec predicts how each latent is distributed, from the channel alone (factorized prior) or from what a
network makes of its surroundings. `latents` codes symbols with just these distributions. But they were learned from
many pictures and stay as they are, while a picture's own statistics show as it is coded: here it is flat, this channel
never fires, left of here the prediction was far off. So this coder turns every symbol into yes/no decisions, asks the
learned distribution for the probability of each, and mixes that with what adaptive contexts say (`mixing`,
`binary_coder`). Nothing is sent beside the decisions.

**Decisions.** A symbol s is coded by its distance from a *centre*, the median of its distribution::

    at the centre?       |s - centre| = 0
    above?
    > 1? > 2? …          the distance counted up, at most to 15
    escape               what lies above: Elias-gamma, the number of bits counted up, then the bits (probability 1/2)

The distribution has a probability for each of these, a quotient of two of its integer frequencies, so that it says the
same here as in `latents`, decision by decision.

**Prediction.** In a few channels, those of the mean colours, latents resemble their neighbours in value, sign included.
There the centre is the median of left, above and left + above - diagonal, as long as that has been nearer to the
channel's symbols than their distribution's median (by running means of both distances).

**Activity.** How large latents are is alike over space and, at one position, over channels: that is what hyperpriors
send as side information. Here it is measured by what was coded before: the sum of distances over the sum that the
distributions expected, at the positions around (all channels) and at this position (the channels so far, and the
nearest of those). A symbol that is at its centre with probability p has the expected distance (1 - p²)/2p if distances
fall geometrically to both sides. Channels go in the order of their expected distances, the larger first, where a table
tells them for all positions (`order`).

**Contexts** are made of the learned distribution's certainty (the logit of p), of those activities, of the distances in
the same channel around, those of the two channels before, and the channel. Three mixers with differently chosen weight
sets (certainty, activities, channel) share in each decision. One function drives both directions, so that encoder and
decoder cannot disagree about a context.

**Experience.** Contexts and mixers begin a picture knowing nothing, unless they are given what they have learned from
others: an `Experience`, part of a weight file. Its counters forget it soon, for they are told that they have seen only
a few decisions.

Everything is integers, so streams are the same on every machine.

Sources: J. Ballé, V. Laparra, E. P. Simoncelli, "End-to-end Optimized Image Compression", ICLR 2017, section 4 (an
adaptive binary arithmetic coder for latents); M. Mahoney, "Data Compression Explained", section 4.3 (context mixing);
M. J. Weinberger, G. Seroussi and G. Sapiro, "The LOCO-I Lossless Image Compression Algorithm", 2000 (the predictor).
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
from numba import njit

from ..errors import StreamError
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
from .context import LEVEL
from .integer_gaussian import Mixture, mixture_edge, mixture_window
from .mixing import COUNT_MASK, LIMIT, SQUASH, STRETCH, counter_probability, counter_update, learn, mix
from .models import PRECISION
from .tables import FrequencyTables

#: Predictions that are mixed for each decision: the learned distribution's, and those of the contexts.
INPUTS = 10

#: Kinds of decisions: at the centre? above? > 1? …, the escape's number of bits.
KINDS = 32
_COUNTED = 15  # distances from here on take an escape

#: Values of a context that does not depend on the channel, at most, and of one that does, for each channel.
_SHARED, _OWN = 2048, 16

#: Levels of a distribution's certainty; the last one is that of predicted centres, to which it says nothing.
_CERTAINTIES = 28
_PREDICTED = _CERTAINTIES - 1

_COUNTER_LIMIT = 400
_FIRST_WEIGHT, _OTHER_WEIGHTS = 32768, 32768 // (INPUTS - 1)  # half for the learned distribution, 2^-16
_TOTAL = 1 << PRECISION
_HALF = 1 << 15

#: Sums of distances are in units of 1/256; single ones count up to 255.
_UNIT, _FAR = 256, 255

#: Level 0 … 15 of a quotient in units of 1/16: two levels an octave, from 1/8 on; equality is level 6.
_QUOTIENT_LEVEL = np.array([min(15, max(0, (v * v).bit_length() - 2)) for v in range(256)], np.int64)
_EQUAL = 6


class Distributions(NamedTuple):
    """The learned distributions of a batch of symbols [n,M], as arrays that compiled functions take.

    `of_tables` and `of_mixture` make them.
    """

    indices: np.ndarray
    tables: tuple
    mixture: tuple


_NO_MIXTURE = (np.zeros((0, 1), np.int32), np.zeros((0, 1), np.int32), np.zeros((0, 1), np.uint8))
_NO_INDICES = np.zeros((0, 0), np.int32)


def of_tables(indices, tables: FrequencyTables) -> Distributions:
    """Symbols that follow tables: `indices` [n,M] says which table each."""
    return Distributions(np.ascontiguousarray(indices, np.int32), _arrays(tables), _constants(*_NO_MIXTURE))


def of_mixture(mixture: Mixture) -> Distributions:
    """Symbols that follow a mixture each, numbered row by row."""
    parameters = _constants(mixture.weights, mixture.means, mixture.scales)
    return Distributions(_NO_INDICES, _arrays(None), parameters)


def _arrays(tables):
    if tables is None:
        return np.zeros(0, np.uint32), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64)
    return tables.cumulative, tables.first, tables.sizes, tables.lowest


def _constants(weights, means, scales):
    return weights, means, scales, *Mixture(weights, means, scales).constants()


#: What an experience keeps: the decisions up to these, and so many that a counter has seen at most.
_REMEMBERED, _REMEMBERED_COUNT = 8, 30

#: Sets of weights of a plane with more channels than any codec has.
_MOST_SETS = 1 << 14


@dataclass(frozen=True, eq=False)
class Experience:
    """What contexts and mixers have learned of a plane: another can begin with it.

    Attributes:
        counters: of each context, int32 [INPUTS - 1, contexts, KINDS].
        weights: of the mixers, the three sets behind one another, int32 [sets, KINDS, INPUTS].
    """

    counters: np.ndarray
    weights: np.ndarray

    def packed(self) -> bytes:
        """What is worth keeping, compressed: most of it, with counters that have seen a few decisions only.

        The numbers of contexts and of sets, then by zlib the counters' probabilities (less 1/2, in 16 bits), what they
        have seen (8 bits), and the weights (32 bits), little-endian.
        """
        counters, weights = self.counters[..., :_REMEMBERED], self.weights[:, :_REMEMBERED]
        counts = np.minimum(counters & COUNT_MASK, _REMEMBERED_COUNT)
        arrays = (counters >> 16).astype("<i2"), counts.astype("u1"), weights.astype("<i4")
        sizes = np.array([counters.shape[1], len(weights)], "<u4")
        return sizes.tobytes() + zlib.compress(b"".join(array.tobytes() for array in arrays), level=9)

    @classmethod
    def from_packed(cls, data: bytes) -> "Experience":
        """The inverse of `packed`, as far as it was kept.

        Raises:
            ValueError: the data are damaged, or of another context-mixing coder.

        >>> experience = MixingEncoder([(1, 1, 2)]).experience[0]
        >>> again = Experience.from_packed(experience.packed())
        >>> bool((again.counters == experience.counters).all() and (again.weights == experience.weights).all())
        True
        """
        contexts, sets = np.frombuffer(data[:8], "<u4").tolist() if len(data) > 8 else (0, 0)
        shape = (INPUTS - 1, contexts, _REMEMBERED)
        size, weights = math.prod(shape), _first_weights(sets if sets < _MOST_SETS else 0)
        unpacker = zlib.decompressobj()
        try:
            kept = unpacker.decompress(data[8:], 3 * size + 4 * weights[:, :_REMEMBERED].size + 1)
        except zlib.error as error:
            raise ValueError(f"the experience of a context-mixing coder is damaged: {error}") from error
        if len(kept) != 3 * size + 4 * weights[:, :_REMEMBERED].size or not size:
            raise ValueError("the experience is of another context-mixing coder; let it practise with this version")
        probabilities = np.frombuffer(kept, "<i2", size).reshape(shape)
        counts = np.frombuffer(kept, "u1", size, offset=2 * size).reshape(shape)
        counters = np.zeros((*shape[:2], KINDS), np.int32)
        counters[..., :_REMEMBERED] = probabilities.astype(np.int32) << 16 | counts
        weights[:, :_REMEMBERED] = np.frombuffer(kept, "<i4", offset=3 * size).reshape(sets, _REMEMBERED, INPUTS)
        return cls(counters, weights)


def _first_weights(sets):
    weights = np.full((sets, KINDS, INPUTS), _OTHER_WEIGHTS, np.int32)
    weights[..., 0] = _FIRST_WEIGHT
    return weights


class _Plane:
    """Statistics of a plane [h,w,M] and what has been coded of it."""

    def __init__(self, shape, measure, experience=None):
        height, width, channels = shape
        # Margins of zeros stand for neighbours outside, and for those that come later.
        self.values = np.zeros((height + 2, width + 4, channels), np.int16)
        self.distances = np.zeros(self.values.shape, np.int16)
        self.sums = np.zeros((2, height + 2, width + 4), np.int64)  # of distances, seen and expected
        self.errors = np.zeros((2, channels), np.int64)  # running sums: from the distribution's median, the neighbours'
        self.counters = np.zeros((INPUTS - 1, max(_SHARED, channels * _OWN), KINDS), np.int32)
        self.weights = _first_weights(_CERTAINTIES + 256 + channels)
        if experience:
            if (experience.counters.shape, experience.weights.shape) != (self.counters.shape, self.weights.shape):
                raise ValueError(f"the experience is of planes with another number of channels than {channels}")
            self.counters[:], self.weights[:] = experience.counters, experience.weights
        self.sets = tuple(np.split(self.weights, (_CERTAINTIES, _CERTAINTIES + 256)))  # views
        self.spent = np.zeros(shape if measure else (0, 0, 0))

    def state(self):
        return self.values, self.distances, self.sums, self.errors, self.counters, self.sets, self.spent


def _planes(shapes, measure, experience):
    return [_Plane(shape, measure, known) for shape, known in zip_longest(shapes, experience)]


class MixingEncoder:
    """Collect batches of symbols in one stream.

    Args:
        shapes: those of the planes, (h, w, M) each.
        measure: whether to note what every symbol takes (`spent`).
        experience: what planes begin with, the first ones; all others know nothing.

    >>> tables = FrequencyTables.from_pmfs([[0.1, 0.8, 0.1], [0.1, 0.2, 0.4, 0.2, 0.1]], lowest=[0, -1])
    >>> indices, everywhere = np.array([[0, 1], [0, 1]]), np.indices((1, 2)).reshape(2, -1)
    >>> encoder = MixingEncoder([(1, 2, 2)])
    >>> encoder.put(0, everywhere, np.array([[0, 1], [70000, -1]]), of_tables(indices, tables))
    >>> decoder = MixingDecoder(encoder.getvalue(), [(1, 2, 2)])
    >>> decoder.get(0, everywhere, of_tables(indices, tables)).tolist()
    [[0, 1], [70000, -1]]
    >>> decoder.finish()
    """

    def __init__(self, shapes, measure: bool = False, experience: Sequence[Experience] = ()):
        self._planes = _planes(shapes, measure, experience)
        self._coder, self._data = new_encoder(), np.zeros(1 << 14, np.uint8)

    def put(self, plane: int, where, symbols, distributions: Distributions, order=None) -> None:
        """Append the symbols [n,M] at some positions of a plane.

        Args:
            plane: number of the plane.
            where: (rows [n], columns [n]), integers.
            symbols: integers of 32 bits.
            distributions: of the symbols.
            order: that of the channels [M]; by default as they are numbered.
        """
        symbols = np.ascontiguousarray(symbols, np.int32)
        model = self._planes[plane].state()
        self._data, _ = _code(
            symbols, *_ways(where, symbols, order), distributions, model, self._coder, self._data, False
        )

    def getvalue(self) -> bytes:
        """The stream of all symbols; nothing can be put behind it."""
        finish(self._coder, self._data)
        return self._data[: self._coder[POSITION]].tobytes()

    @property
    def experience(self) -> list[Experience]:
        """What has been learned of each plane, for another encoder and its decoder to begin with."""
        return [Experience(plane.counters.copy(), plane.weights.copy()) for plane in self._planes]

    @property
    def spent(self) -> tuple[np.ndarray, ...]:
        """The bits that every symbol took, float64 in the shapes of the planes."""
        return tuple(plane.spent for plane in self._planes)


class MixingDecoder:
    """Read batches of symbols: the inverse of `MixingEncoder`, whose docstring shows both."""

    def __init__(self, data: bytes, shapes, experience: Sequence[Experience] = ()):
        self._planes = _planes(shapes, False, experience)
        self._data = np.array(bytearray(data), np.uint8)
        self._coder = new_decoder(self._data)

    def get(self, plane: int, where, distributions: Distributions, order=None) -> np.ndarray:
        """The next symbols, int32 [n,M]; the arguments are those that the encoder was given.

        Raises:
            StreamError: the stream is damaged (not all damage shows before `finish`).
        """
        channels = self._planes[plane].values.shape[2]
        symbols = np.zeros((len(where[0]), channels), np.int32)
        ways, model = _ways(where, symbols, order), self._planes[plane].state()
        _, intact = _code(symbols, *ways, distributions, model, self._coder, self._data, True)
        if not intact:
            raise StreamError("the latents' stream is cut, damaged, or was made with other weights")
        return symbols

    def finish(self) -> None:
        """Check that the symbols read are all that the stream holds.

        Raises:
            StreamError: they are not, so the stream is cut or damaged, or was made with other parameters.
        """
        if not is_complete(self._coder, self._data):
            raise StreamError("the latents' stream is cut, damaged, or was made with other weights")


def _ways(where, symbols, order):
    """Rows, columns and channels in coding order, as the compiled function takes them."""
    order = np.arange(symbols.shape[1]) if order is None else order
    return tuple(np.ascontiguousarray(way, np.int64) for way in (*where, order))


@njit(cache=True)
def _level(magnitude):
    return LEVEL[magnitude] if magnitude < LEVEL.size else np.int64(15)


@njit(cache=True)
def _quotient_level(seen, expected):
    """How far distances were above what was expected: 0 … 15. Both sums in 1/256, a quarter of a step added."""
    return _QUOTIENT_LEVEL[min(16 * (seen + _UNIT // 4) // (expected + _UNIT // 4), _QUOTIENT_LEVEL.size - 1)]


@njit(cache=True)
def _sign(value):
    """0, 1, 2 for negative, zero, positive."""
    return np.int64(1) + (value > 0) - (value < 0)


@njit(cache=True)
def _window(n, indices, tables, mixture):
    """The lowest and the highest symbol that have an interval of their own in distribution n."""
    if indices.size:
        table = indices[n]
        return tables[3][table], tables[3][table] + tables[2][table] - 3
    _, means, scales, _, reach, _ = mixture
    return mixture_window(n, means, scales, reach)


@njit(cache=True)
def _edge(symbol, low, high, n, indices, tables, mixture):
    """The frequency of everything below `symbol` in distribution n; a tail counts as the first symbol in it."""
    if symbol < low:
        return np.int64(0)
    if symbol > high + 1:
        return np.int64(_TOTAL)
    if indices.size:
        return np.int64(tables[0][tables[1][indices[n]] + symbol - low + 1])
    weights, means, scales, inverse, _, cdf = mixture
    return mixture_edge(symbol, low, high, n, weights, means, scales, inverse, cdf)


@njit(cache=True)
def _median(low, high, n, indices, tables, mixture):
    """The symbol in whose interval half of the total lies, within the window."""
    below, above = low, high + 1
    while above - below > 1:
        middle = (below + above) >> 1
        if _edge(middle, low, high, n, indices, tables, mixture) <= _TOTAL // 2:
            below = middle
        else:
            above = middle
    return below


@njit(cache=True)
def _share(part, whole):
    """part / whole as a probability in units of 2^-16; 1/2 where the distribution says nothing."""
    if whole <= 0:
        return np.int64(_HALF)
    return min(max((part << 16) // whole, 1), 65535)


@njit(cache=True)
def _decide(bit, kind, learned, at, sets, counters, weights, inputs, coder, data, decoding):
    """Code one decision, and learn from it.

    Args:
        learned: its probability by the learned distribution.
        at: the contexts [INPUTS - 1]; sets: the three sets of weights.
    """
    inputs[0] = STRETCH[learned >> 4]
    for m in range(INPUTS - 1):
        inputs[m + 1] = STRETCH[counter_probability(counters[m, at[m], kind])]
    first, second, third = weights[0][sets[0], kind], weights[1][sets[1], kind], weights[2][sets[2], kind]
    one, two, three = mix(inputs, first), mix(inputs, second), mix(inputs, third)
    bit = code_bit(coder, data, SQUASH[(one + two + three) // 3 + LIMIT], bit, decoding)
    target = 65535 * bit
    learn(first, inputs, target - SQUASH[one + LIMIT])
    learn(second, inputs, target - SQUASH[two + LIMIT])
    learn(third, inputs, target - SQUASH[three + LIMIT])
    for m in range(INPUTS - 1):
        counters[m, at[m], kind] = counter_update(counters[m, at[m], kind], bit, _COUNTER_LIMIT)
    return bit


@njit(cache=True)
def _code_excess(excess, at, sets, counters, weights, inputs, coder, data, decoding):
    """Code a number from 1 up in Elias-gamma; returns it, or -1 if it is none of 33 bits."""
    bits = np.int64(0)
    while True:
        kind = min(_COUNTED + 1 + bits, KINDS - 1)
        more = np.int64(excess >> bits > 1)
        if not _decide(more, kind, np.int64(_HALF), at, sets, counters, weights, inputs, coder, data, decoding):
            break
        bits += 1
        if bits > 33:
            return np.int64(-1)
    number = np.int64(1)
    for shift in range(bits - 1, -1, -1):
        number = 2 * number + code_bit(coder, data, _HALF, excess >> shift & 1, decoding)
    return number


@njit(cache=True, nogil=True)
def _code(symbols, rows, columns, order, distributions, model, coder, data, decoding):
    """Code symbols [n,M] in either direction; returns the bytes and whether the decoder's were intact."""
    indices, tables, mixture = distributions
    indices = indices.ravel()
    values, distances, sums, errors, counters, weights, spent = model
    at, usual = np.zeros(INPUTS - 1, np.int64), np.zeros(INPUTS - 1, np.int64)
    sets, inputs = np.zeros(3, np.int64), np.zeros(INPUTS, np.int64)
    channels = symbols.shape[1]
    for i in range(rows.size):
        y, x = rows[i] + 2, columns[i] + 2
        around = np.zeros(2, np.int64)
        for k in range(2):
            around[k] = 2 * (sums[k, y, x - 1] + sums[k, y - 1, x]) + sums[k, y - 1, x - 1] + sums[k, y - 1, x + 1]
        near = _quotient_level(around[0], around[1]) if around[1] else np.int64(_EQUAL)
        seen, expected, lately, lately_expected = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
        last, before_last, before = np.int64(0), np.int64(0), order[0]
        for channel in order:
            n = i * channels + channel
            data = with_room(coder, data, decoding)
            if decoding and is_overrun(coder, data):
                return data, False
            bits = bits_so_far(coder) if spent.size else 0.0

            # The centre, and what the learned distribution thinks of it.
            low, high = _window(n, indices, tables, mixture)
            median = _median(low, high, n, indices, tables, mixture)
            left, above = np.int64(values[y, x - 1, channel]), np.int64(values[y - 1, x, channel])
            corner = np.int64(values[y - 1, x - 1, channel])
            if x == 2:
                foreseen = above
            elif y == 2:
                foreseen = left
            else:
                foreseen = max(min(left, above), min(max(left, above), left + above - corner))
            predicted = 4 * errors[1, channel] < 3 * errors[0, channel]
            centre = foreseen if predicted else median
            start = _edge(centre, low, high, n, indices, tables, mixture)
            end = _edge(centre + 1, low, high, n, indices, tables, mixture)
            inside = end - start
            at_centre = _share(inside, _TOTAL)
            if predicted:
                distance_expected, certainty = np.int64(0), np.int64(_PREDICTED)
            else:
                floor = max(inside, 1 << 10)  # where p is tiny, the formula says nothing any more
                distance_expected = (_TOTAL - floor) * _UNIT // floor * (_TOTAL + floor) // (2 * _TOTAL)
                certainty = min(max(np.int64(STRETCH[at_centre >> 4]) // 160 + 13, 0), _PREDICTED - 1)

            # The contexts.
            west, north = np.int64(distances[y, x - 1, channel]), np.int64(distances[y - 1, x, channel])
            north_west, north_east = distances[y - 1, x - 1, channel], distances[y - 1, x + 1, channel]
            close = 2 * (west + north) + north_west + north_east
            wide = close + distances[y, x - 2, channel] + distances[y - 2, x, channel]
            here, nearest = _quotient_level(seen, expected), _quotient_level(lately, lately_expected)
            if distance_expected > 8:
                own = _quotient_level(close * _UNIT, 6 * distance_expected)
            else:
                own = min(close, 15)
            usual[0] = channel * 16 + min(west, 3) * 4 + min(north, 3)
            usual[1] = certainty * 16 + _level(close)
            usual[2] = certainty * 16 + nearest
            usual[3] = certainty * 16 + near
            usual[4] = (nearest * 16 + near) * 8 + certainty // 4
            usual[5] = channel * 16 + near
            usual[6] = channel * 16 + _level(wide)
            usual[7] = (min(last, 7) * 8 + min(before_last, 7)) * _CERTAINTIES + certainty
            usual[8] = (own * 16 + here) * 8 + certainty // 4
            sets[0], sets[1], sets[2] = certainty, near * 16 + nearest, channel

            # The decisions.
            wanted = np.int64(symbols[i, channel]) - centre
            at[:] = usual
            distance = np.int64(0)
            zero = np.int64(wanted == 0)
            if not _decide(zero, 0, at_centre, at, sets, counters, weights, inputs, coder, data, decoding):
                sign_left, sign_above = _sign(left), _sign(above)
                signs = sign_left * 3 + sign_above
                at[0] = channel * 16 + signs
                at[5] = channel * 16 + _sign(corner) * 3 + _sign(values[y - 1, x + 1, channel])
                at[6] = channel * 16 + _sign(values[y, x, before]) * 3 + sign_left
                at[7] = signs
                up = _share(_TOTAL - end, _TOTAL - inside)
                up = _decide(np.int64(wanted > 0), 1, up, at, sets, counters, weights, inputs, coder, data, decoding)
                at[:] = usual
                distance = np.int64(1)
                while distance < _COUNTED:
                    if up:
                        rest = _TOTAL - _edge(centre + distance, low, high, n, indices, tables, mixture)
                        beyond = _TOTAL - _edge(centre + distance + 1, low, high, n, indices, tables, mixture)
                    else:
                        rest = _edge(centre - distance + 1, low, high, n, indices, tables, mixture)
                        beyond = _edge(centre - distance, low, high, n, indices, tables, mixture)
                    more, p = np.int64(abs(wanted) > distance), _share(beyond, rest)
                    if not _decide(
                        more, 1 + distance, p, at, sets, counters, weights, inputs, coder, data, decoding
                    ):  # fmt: skip
                        break
                    distance += 1
                if distance == _COUNTED:
                    excess = abs(wanted) - _COUNTED + 1
                    excess = _code_excess(excess, at, sets, counters, weights, inputs, coder, data, decoding)
                    if excess < 0:
                        return data, False
                    distance = excess + _COUNTED - 1
                if decoding:
                    wanted = distance if up else -distance
            elif decoding:
                wanted = np.int64(0)
            if decoding:
                if not -(1 << 31) <= centre + wanted < 1 << 31:
                    return data, False
                symbols[i, channel] = centre + wanted
            if spent.size:
                spent[rows[i], columns[i], channel] = bits_so_far(coder) - bits

            # What the next symbols see of this one.
            value = centre + wanted
            errors[0, channel] += (min(abs(value - median), 4096) << 8) - (errors[0, channel] >> 5)
            errors[1, channel] += (min(abs(value - foreseen), 4096) << 8) - (errors[1, channel] >> 5)
            values[y, x, channel] = min(max(value, -32768), 32767)
            distances[y, x, channel] = min(distance, 32767)
            before = channel
            if not predicted:
                distance = min(distance, _FAR)
                seen += distance * _UNIT
                expected += distance_expected
                lately += distance * _UNIT - (lately >> 4)
                lately_expected += distance_expected - (lately_expected >> 4)
                before_last, last = last, distance
        sums[0, y, x], sums[1, y, x] = seen, expected
    return data, True
