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
the same channel around, those of the two channels before, and the channel. `Distance` describes them: sides, close,
nearest, near, activity, channel_near, channel_wide, latest, own. For "above?" four of them look at signs instead
(`Direction`: sides, diagonals, latest, all_sides). Three mixers with differently chosen sets of weights (certainty;
near and nearest; channel) share in each decision. One function drives both directions, so that encoder and decoder
cannot disagree about a context.

**Frames of a video.** A frame that is coded as the difference from a prediction has latents that are large where the
prediction fails, and it often fails where it failed in the frame before. With statistics that are `temporal`, four more
contexts (`Temporal`) see the symbols of the frame before, also to the right and below, where this frame's are not known
yet, and a level that something exact foresees for each symbol's magnitude. `Statistics` go on from frame to frame.
`bench/studies/temporal_contexts.py` measures what each is worth.

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

from ..compiled import njit
from ..errors import StreamError
from .binary_coder import POSITION, bits_so_far, finish, is_complete, is_overrun, new_decoder, new_encoder, with_room
from .integer_gaussian import Mixture, mixture_edge, mixture_window
from .mixing import (
    COUNT_MASK,
    HALF,
    STRETCH,
    foresee,
    gamma_coder,
    leaf,
    level,
    look,
    new_model,
    predictor,
    sign,
    size,
    tell,
)
from .models import PRECISION
from .tables import LOOKUP_BITS, FrequencyTables

#: Predictions that are mixed for each decision: the learned distribution's, and those of the contexts.
INPUTS = 10

#: Those of temporal contexts.
TEMPORAL = 4

#: Kinds of decisions: at the centre? above? > 1? …, the escape's number of bits.
KINDS = 32
_COUNTED = 15  # distances from here on take an escape

#: Values of a context that does not depend on the channel, at most, and of one that does, for each channel.
_SHARED, _OWN = 2048, 16

#: Levels of a distribution's certainty; the last one is that of predicted centres, to which it says nothing.
_CERTAINTIES = 28
_PREDICTED = _CERTAINTIES - 1

_FIRST_WEIGHT = 32768  # half for the learned distribution, 2^-16
_TOTAL = 1 << PRECISION

#: Bytes that one symbol takes at most: two for each of its decisions.
_MOST_BYTES = 2 * (2 + _COUNTED + 34 + 33)

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
        return np.zeros(0, np.uint32), *(np.zeros(0, np.int64) for _ in range(4))
    # The bin that holds the quantile 1/2, which the median is in, or next to where it is a tail.
    middles = tables.lookup[:, 1 << LOOKUP_BITS - 1].astype(np.int64)
    medians = tables.lowest + np.clip(middles - 1, 0, tables.sizes - 3)
    return tables.cumulative, tables.first, tables.sizes, tables.lowest, medians


def _constants(weights, means, scales):
    return weights, means, scales, *Mixture(weights, means, scales).constants()


#: What an experience keeps: the decisions up to these, and so many that a counter has seen at most.
_REMEMBERED, _REMEMBERED_COUNT = 8, 30
_IS_TEMPORAL = 1 << 31

#: Sets of weights of a plane with more channels than any codec has.
_MOST_SETS = 1 << 14


@dataclass(frozen=True, eq=False)
class Experience:
    """What contexts and mixers have learned of a plane: another can begin with it.

    Attributes:
        counters: of each context, int32 [inputs - 1, contexts, KINDS].
        weights: of the mixers, the three sets behind one another, int32 [sets, KINDS, inputs].

    Inputs are `INPUTS`, and `TEMPORAL` more with temporal contexts.
    """

    counters: np.ndarray
    weights: np.ndarray

    def packed(self) -> bytes:
        """What is worth keeping, compressed: most of it, with counters that have seen a few decisions only.

        The numbers of contexts (with bit 31 set if there are temporal ones) and of sets, then by zlib the counters'
        probabilities (less 1/2, in 16 bits), what they have seen (8 bits), and the weights (32 bits), little-endian.
        """
        counters, weights = self.counters[..., :_REMEMBERED], self.weights[:, :_REMEMBERED]
        counts = np.minimum(counters & COUNT_MASK, _REMEMBERED_COUNT)
        arrays = (counters >> 16).astype("<i2"), counts.astype("u1"), weights.astype("<i4")
        temporal = _IS_TEMPORAL if len(counters) > INPUTS - 1 else 0
        sizes = np.array([counters.shape[1] | temporal, len(weights)], "<u4")
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
        contexts, temporal = contexts & ~_IS_TEMPORAL, contexts & _IS_TEMPORAL
        inputs = INPUTS + (TEMPORAL if temporal else 0)
        shape = (inputs - 1, contexts, _REMEMBERED)
        size, weights = math.prod(shape), _first_weights(sets if sets < _MOST_SETS else 0, inputs)
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
        weights[:, :_REMEMBERED] = np.frombuffer(kept, "<i4", offset=3 * size).reshape(sets, _REMEMBERED, inputs)
        return cls(counters, weights)


def _first_weights(sets, inputs):
    weights = np.full((sets, KINDS, inputs), 32768 // (inputs - 1), np.int32)
    weights[..., 0] = _FIRST_WEIGHT
    return weights


class Statistics:
    """What contexts and mixers know of planes with M channels: it goes on from a plane to the next one.

    An encoder and a decoder that are given one change it as they go. Both must have been given the same, so an encoder
    that tries several ways of coding a frame works on a `copy`.

    Args:
        channels: M.
        experience: what it begins with; nothing by default.
        temporal: whether there are temporal contexts, for which `put` takes `past` and `foreseen`.

    Raises:
        ValueError: the experience is of another number of channels, or of a plane with other contexts.

    >>> tables = FrequencyTables.from_pmfs([[0.1, 0.8, 0.1]], lowest=[0])
    >>> distributions, where = of_tables(np.zeros((4, 1)), tables), np.indices((2, 2)).reshape(2, -1)
    >>> first, second = np.array([[[0], [0]], [[0], [5]]]), np.array([[[0], [0]], [[1], [6]]])
    >>> statistics, streams = Statistics(1, temporal=True), []
    >>> for past, frame in ((None, first), (first, second)):
    ...     encoder = MixingEncoder([(2, 2, 1)], statistics=[statistics])
    ...     encoder.put(0, where, frame.reshape(4, 1), distributions, past=past)
    ...     streams.append(encoder.getvalue())
    >>> statistics, past = Statistics(1, temporal=True), None
    >>> for stream in streams:
    ...     decoder = MixingDecoder(stream, [(2, 2, 1)], statistics=[statistics])
    ...     past = decoder.get(0, where, distributions, past=past).reshape(2, 2, 1)
    ...     decoder.finish()
    >>> bool((past == second).all())
    True
    """

    def __init__(self, channels: int, experience: Experience | None = None, temporal: bool = False):
        contexts = INPUTS - 1 + (TEMPORAL if temporal else 0)
        shape = contexts, max(_SHARED, channels * _OWN), KINDS
        sets = _CERTAINTIES + 256 + channels
        if experience:
            if experience.counters.shape[1:] != shape[1:] or len(experience.weights) != sets:
                raise ValueError(f"the experience is of planes with another number of channels than {channels}")
            if len(experience.counters) != contexts:
                has, needs = ("no", "some") if temporal else ("some", "none")
                raise ValueError(f"the experience has {has} temporal contexts, the statistics need {needs}")
            self.counters, self.weights = experience.counters.copy(), experience.weights.copy()
        else:
            self.counters, self.weights = np.zeros(shape, np.int32), _first_weights(sets, contexts + 1)
        self.errors = np.zeros((2, channels), np.int64)  # running sums: from the distribution's median, the neighbours'

    @property
    def temporal(self) -> bool:
        """Whether there are temporal contexts."""
        return len(self.counters) == INPUTS - 1 + TEMPORAL

    @property
    def experience(self) -> Experience:
        """What has been learned, as it may be stored."""
        return Experience(self.counters.copy(), self.weights.copy())

    def copy(self) -> "Statistics":
        """Another one that knows the same."""
        other = Statistics.__new__(Statistics)
        other.counters, other.weights, other.errors = self.counters.copy(), self.weights.copy(), self.errors.copy()
        return other


class _Plane:
    """What has been coded of a plane [h,w,M], and its statistics."""

    def __init__(self, shape, measure, statistics):
        height, width, channels = shape
        if statistics.errors.shape[1] != channels:
            raise ValueError(f"the statistics are of {statistics.errors.shape[1]} channels, the plane has {channels}")
        # Margins of zeros stand for neighbours outside, and for those that come later.
        self.values = np.zeros((height + 2, width + 4, channels), np.int16)
        self.distances = np.zeros(self.values.shape, np.int16)
        self.sums = np.zeros((2, height + 2, width + 4), np.int64)  # of distances, seen and expected
        self.spent = np.zeros(shape if measure else (0, 0, 0))
        self.shape, self.statistics = shape, statistics
        self.model = new_model(statistics.counters, statistics.weights, mixers=3)  # views

    def state(self, past, foreseen):
        errors = self.statistics.errors
        return _State(self.values, self.distances, self.sums, errors, self.spent, *self._known(past, foreseen))

    def _known(self, past, foreseen):
        """The symbols of the frame before with a margin of zeros, and the levels foreseen."""
        if not self.statistics.temporal:
            if past is not None or foreseen is not None:
                raise ValueError("the plane has no temporal contexts; give it Statistics(channels, temporal=True)")
            return np.zeros((0, 0, 0), np.int16), np.zeros((0, 0, 0), np.uint8)
        height, width, channels = self.shape
        for name, given in (("past", past), ("foreseen", foreseen)):
            if given is not None and np.shape(given) != tuple(self.shape):
                raise ValueError(f"{name} has the shape {np.shape(given)}, the plane {tuple(self.shape)}")
        padded = np.zeros((height + 2, width + 2, channels), np.int16)
        if past is not None:
            padded[1:-1, 1:-1] = np.clip(past, -255, 255)
        levels = np.zeros(self.shape, np.uint8) if foreseen is None else np.clip(foreseen, 0, 15).astype(np.uint8)
        return padded, levels


def _planes(shapes, measure, experience, statistics):
    if statistics:
        if experience or len(statistics) != len(shapes):
            raise ValueError("statistics are one for each plane, and know what experience would tell")
    else:
        statistics = [Statistics(shape[2], known) for shape, known in zip_longest(shapes, experience[: len(shapes)])]
    return [_Plane(shape, measure, known) for shape, known in zip(shapes, statistics, strict=True)]


class MixingEncoder:
    """Collect batches of symbols in one stream.

    Args:
        shapes: those of the planes, (h, w, M) each.
        measure: whether to note what every symbol takes (`spent`).
        experience: what planes begin with, the first ones; all others know nothing.
        statistics: instead of that, what each plane begins with and changes.

    >>> tables = FrequencyTables.from_pmfs([[0.1, 0.8, 0.1], [0.1, 0.2, 0.4, 0.2, 0.1]], lowest=[0, -1])
    >>> indices, everywhere = np.array([[0, 1], [0, 1]]), np.indices((1, 2)).reshape(2, -1)
    >>> encoder = MixingEncoder([(1, 2, 2)])
    >>> encoder.put(0, everywhere, np.array([[0, 1], [70000, -1]]), of_tables(indices, tables))
    >>> decoder = MixingDecoder(encoder.getvalue(), [(1, 2, 2)])
    >>> decoder.get(0, everywhere, of_tables(indices, tables)).tolist()
    [[0, 1], [70000, -1]]
    >>> decoder.finish()
    """

    def __init__(
        self,
        shapes,
        measure: bool = False,
        experience: Sequence[Experience] = (),
        statistics: Sequence[Statistics] = (),
    ):
        self._planes = _planes(shapes, measure, experience, statistics)
        self._coder, self._data = new_encoder(), np.zeros(1 << 14, np.uint8)

    def put(
        self, plane: int, where, symbols, distributions: Distributions, order=None, past=None, foreseen=None
    ) -> None:
        """Append the symbols [n,M] at some positions of a plane.

        Args:
            plane: number of the plane.
            where: (rows [n], columns [n]), integers.
            symbols: integers of 32 bits.
            distributions: of the symbols.
            order: that of the channels [M]; by default as they are numbered.
            past: the symbols of the frame before, integers [h,w,M]; zeros by default.
            foreseen: what is expected of each symbol's magnitude, levels 0 … 15 [h,w,M]; zeros by default. Both
                need statistics with temporal contexts.
        """
        symbols = np.ascontiguousarray(symbols, np.int32)
        ways, plane = _ways(where, symbols, order), self._planes[plane]
        state = plane.state(past, foreseen)
        self._data, _ = _code(symbols, *ways, distributions, state, plane.model, self._coder, self._data, False)

    def getvalue(self) -> bytes:
        """The stream of all symbols; nothing can be put behind it."""
        finish(self._coder, self._data)
        return self._data[: self._coder[POSITION]].tobytes()

    @property
    def experience(self) -> list[Experience]:
        """What has been learned of each plane, for another encoder and its decoder to begin with."""
        return [plane.statistics.experience for plane in self._planes]

    @property
    def spent(self) -> tuple[np.ndarray, ...]:
        """The bits that every symbol took, float64 in the shapes of the planes."""
        return tuple(plane.spent for plane in self._planes)


class MixingDecoder:
    """Read batches of symbols: the inverse of `MixingEncoder`, whose docstring shows both."""

    def __init__(
        self,
        data: bytes,
        shapes,
        experience: Sequence[Experience] = (),
        statistics: Sequence[Statistics] = (),
        measure: bool = False,
    ):
        self._planes = _planes(shapes, measure, experience, statistics)
        self._data = np.array(bytearray(data), np.uint8)
        self._coder = new_decoder(self._data)

    def get(self, plane: int, where, distributions: Distributions, order=None, past=None, foreseen=None) -> np.ndarray:
        """The next symbols, int32 [n,M]; the arguments are those that the encoder was given.

        Raises:
            StreamError: the stream is damaged (not all damage shows before `finish`).
        """
        known = self._planes[plane]
        symbols = np.zeros((len(where[0]), known.shape[2]), np.int32)
        ways, state = _ways(where, symbols, order), known.state(past, foreseen)
        _, intact = _code(symbols, *ways, distributions, state, known.model, self._coder, self._data, True)
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

    @property
    def spent(self) -> tuple[np.ndarray, ...]:
        """The bits that every symbol took, as the encoder's; measured if `measure` asked for it."""
        return tuple(plane.spent for plane in self._planes)

    @property
    def experience(self) -> list[Experience]:
        """What has been learned of each plane: the same as the encoder's."""
        return [plane.statistics.experience for plane in self._planes]


def _ways(where, symbols, order):
    """Rows, columns and channels in coding order, as the compiled function takes them."""
    order = np.arange(symbols.shape[1]) if order is None else order
    return tuple(np.ascontiguousarray(way, np.int64) for way in (*where, order))


class _State(NamedTuple):
    """What has been coded of a plane, in arrays with margins: position (0, 0) is at [2, 2].

    Attributes:
        values: the symbols, clipped to 16 bits: int16 [h + 2, w + 4, M].
        distances: from their centres, likewise.
        sums: of a position's distances, seen and expected: int64 [2, h + 2, w + 4].
        errors: running sums for each channel of the distances from the distribution's median, and from the neighbours':
            int64 [2, M].
        spent: the bits of every symbol, float64 [h, w, M]; empty if nobody asks.
        past: the symbols of the frame before, clipped to ±255, with a margin of one: int16 [h + 2, w + 2, M].
        foreseen: levels of their magnitudes, uint8 [h, w, M]. Both are empty without temporal contexts.
    """

    values: np.ndarray
    distances: np.ndarray
    sums: np.ndarray
    errors: np.ndarray
    spent: np.ndarray
    past: np.ndarray
    foreseen: np.ndarray


class _Centre(NamedTuple):
    """What is known of a symbol before it is coded.

    Attributes:
        low, high: the window of its distribution.
        median: of its distribution.
        foreseen: the neighbours' median.
        predicted: 1 if that is the centre.
        centre: from where distances are counted.
        start, end: cumulative frequencies of the distribution below the centre, and with it.
        expected: the expected distance in 1/256; 0 if predicted.
        certainty: level of the distribution's certainty.
    """

    low: int
    high: int
    median: int
    foreseen: int
    predicted: int
    centre: int
    start: int
    end: int
    expected: int
    certainty: int


class Distance(NamedTuple):
    """Contexts of a symbol's distance from its centre, and of whether it is there.

    Activities are levels of quotients of sums of distances, seen to expected: `near` that of the positions around,
    `here` that of this position's channels so far, `nearest` the same with the latest counting most. `close` is
    2·(left + above) and the diagonals of the distances in the same channel, `wide` that and two further.

    Attributes:
        sides: channel × distance left, to 3 × above, to 3.
        close: certainty × level of `close`.
        nearest: certainty × nearest.
        near: certainty × near.
        activity: nearest × near × certainty / 4.
        channel_near: channel × near.
        channel_wide: channel × level of `wide`.
        latest: the distances of the channel coded before, to 7, and of the one before that, to 7, × certainty.
        own: the level of `close` to the expected distance × here × certainty / 4.
    """

    sides: int
    close: int
    nearest: int
    near: int
    activity: int
    channel_near: int
    channel_wide: int
    latest: int
    own: int


class Direction(NamedTuple):
    """Contexts of whether a symbol is above its centre. Signs are those of symbols; others are as in `Distance`.

    Attributes:
        sides: channel × signs left × above.
        close, nearest, near, activity: as in `Distance`.
        diagonals: channel × signs above left × above right.
        latest: channel × signs of the channel coded before × left.
        all_sides: signs left × above, whatever the channel.
        own: as in `Distance`.
    """

    sides: int
    close: int
    nearest: int
    near: int
    activity: int
    diagonals: int
    latest: int
    all_sides: int
    own: int


class Temporal(NamedTuple):
    """Contexts after those of `Distance` or `Direction`.

    `wide` is the weighted sum of the magnitudes around and at the same position in the frame before: 4 there, 2 left,
    right, above, below, 1 at the diagonals. `beside` is that of the magnitudes left and above in this frame.

    Attributes:
        channel_past: channel × level of `wide`; for "above?" channel × sign there × sign of the sum of those around,
            twice right and below, once left and above.
        past: certainty × level of `wide` × `beside`, to 3.
        foreseen: certainty × level foreseen × magnitude at the same position in the frame before, to 3.
        channel_foreseen: channel × level foreseen.
    """

    channel_past: int
    past: int
    foreseen: int
    channel_foreseen: int


_decide_still = predictor(contexts=INPUTS - 1, told=1, shares=(1, 1, 1), limit=400)
_decide_moving = predictor(contexts=INPUTS - 1 + TEMPORAL, told=1, shares=(1, 1, 1), limit=400)


@leaf
def _decide(bit, node, model, stream):
    if model.at.size == INPUTS - 1:
        return _decide_still(bit, node, model, stream)
    return _decide_moving(bit, node, model, stream)


_code_large = gamma_coder(_decide)


@leaf
def _quotient_level(seen, expected):
    """How far distances were above what was expected: 0 … 15. Both sums in 1/256, a quarter of a step added."""
    return _QUOTIENT_LEVEL[min(16 * (seen + _UNIT // 4) // (expected + _UNIT // 4), _QUOTIENT_LEVEL.size - 1)]


@leaf
def _window(n, distributions):
    """The lowest and the highest symbol that have an interval of their own in distribution n."""
    indices, tables, mixture = distributions
    if indices.size:
        table = indices[n]
        return tables[3][table], tables[3][table] + tables[2][table] - 3
    _, means, scales, _, reach, _ = mixture
    return mixture_window(n, means, scales, reach)


@leaf
def _edge(symbol, low, high, n, distributions):
    """The frequency of everything below `symbol` in distribution n; a tail counts as the first symbol in it."""
    indices, tables, mixture = distributions
    if symbol < low:
        return np.int64(0)
    if symbol > high + 1:
        return np.int64(_TOTAL)
    if indices.size:
        return np.int64(tables[0][tables[1][indices[n]] + symbol - low + 1])
    weights, means, scales, inverse, _, cdf = mixture
    return mixture_edge(symbol, low, high, n, weights, means, scales, inverse, cdf)


@leaf
def _median(low, high, n, distributions):
    """The symbol in whose interval half of the total lies, within the window."""
    indices, tables, _ = distributions
    if indices.size:
        return tables[4][indices[n]]
    below, above = low, high + 1
    while above - below > 1:
        middle = (below + above) >> 1
        if _edge(middle, low, high, n, distributions) <= _TOTAL // 2:
            below = middle
        else:
            above = middle
    return below


@leaf
def _share(part, whole):
    """part / whole as a probability in units of 2^-16; 1/2 where the distribution says nothing."""
    if whole <= 0:
        return np.int64(HALF)
    return min(max((part << 16) // whole, 1), 65535)


@njit(cache=True, nogil=True)
def _code(symbols, rows, columns, order, distributions, state, model, coder, data, decoding):
    """Code symbols [n,M] in either direction; returns the bytes and whether the decoder's were intact."""
    indices, tables, mixture = distributions
    distributions = indices.ravel(), tables, mixture
    for i in range(rows.size):
        data = with_room(coder, data, decoding, _MOST_BYTES * symbols.shape[1])
        stream = coder, data, decoding
        if not _code_position(i, symbols, rows[i], columns[i], order, distributions, state, model, stream):
            return data, False
    return data, True


@leaf
def _code_position(i, symbols, row, column, order, distributions, state, model, stream):
    """Code all channels of a position; says whether a decoder found legal symbols."""
    coder, data, decoding = stream
    y, x, channels = row + 2, column + 2, symbols.shape[1]
    near = _activity_around(y, x, state.sums)
    # Of this position so far: the distances seen and expected, the same with the latest counting most; the distances of
    # the last two channels, and the last channel.
    seen, expected, lately, lately_expected = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    last, before_last, before = np.int64(0), np.int64(0), order[0]
    for channel in order:
        if decoding and is_overrun(coder, data):
            return False
        bits = bits_so_far(coder) if state.spent.size else 0.0
        n = i * channels + channel
        known = _centre(y, x, channel, n, distributions, state)
        here, nearest = _quotient_level(seen, expected), _quotient_level(lately, lately_expected)
        contexts = _contexts(y, x, channel, known, (near, here, nearest, last, before_last), state.distances)
        signs = np.int64(0)
        if state.past.size:
            _look_back(model, _temporal(row, column, channel, known, state))
            signs = _signs_before(row, column, channel, state.past)
        model.sets[0] = known.certainty * KINDS
        model.sets[1] = (_CERTAINTIES + near * 16 + nearest) * KINDS
        model.sets[2] = (_CERTAINTIES + 256 + channel) * KINDS
        directions = _direction(y, x, channel, before, contexts, state.values)
        wanted = np.int64(symbols[i, channel]) - known.centre
        wanted = _code_symbol(wanted, known, n, distributions, contexts, directions, signs, model, stream)
        value, distance = known.centre + wanted, abs(wanted)
        if not -(1 << 31) <= value < 1 << 31:
            return False
        if decoding:
            symbols[i, channel] = value
        if state.spent.size:
            state.spent[row, column, channel] = bits_so_far(coder) - bits

        _take_note(value, distance, y, x, channel, known, state)
        before = channel
        if not known.predicted:
            distance = min(distance, _FAR)
            seen += distance * _UNIT
            expected += known.expected
            lately += distance * _UNIT - (lately >> 4)
            lately_expected += known.expected - (lately_expected >> 4)
            before_last, last = last, distance
    state.sums[0, y, x], state.sums[1, y, x] = seen, expected
    return True


@leaf
def _activity_around(y, x, sums):
    """How far the distances around were above what was expected."""
    seen = 2 * (sums[0, y, x - 1] + sums[0, y - 1, x]) + sums[0, y - 1, x - 1] + sums[0, y - 1, x + 1]
    expected = 2 * (sums[1, y, x - 1] + sums[1, y - 1, x]) + sums[1, y - 1, x - 1] + sums[1, y - 1, x + 1]
    return _quotient_level(seen, expected) if expected else np.int64(_EQUAL)


@leaf
def _centre(y, x, channel, n, distributions, state):
    """The centre, and what the learned distribution thinks of it."""
    values, errors = state.values, state.errors
    low, high = _window(n, distributions)
    median = _median(low, high, n, distributions)
    if x == 2:
        foreseen = np.int64(values[y - 1, x, channel])
    elif y == 2:
        foreseen = np.int64(values[y, x - 1, channel])
    else:
        foreseen = foresee(values[y, x - 1, channel], values[y - 1, x, channel], values[y - 1, x - 1, channel])
    predicted = 4 * errors[1, channel] < 3 * errors[0, channel]
    centre = foreseen if predicted else median
    start, end = _edge(centre, low, high, n, distributions), _edge(centre + 1, low, high, n, distributions)
    if predicted:
        expected, certainty = np.int64(0), np.int64(_PREDICTED)
    else:
        floor = max(end - start, 1 << 10)  # where p is tiny, the formula says nothing any more
        expected = (_TOTAL - floor) * _UNIT // floor * (_TOTAL + floor) // (2 * _TOTAL)
        certainty = np.int64(STRETCH[_share(end - start, _TOTAL) >> 4]) // 160 + 13
        certainty = min(max(certainty, 0), _PREDICTED - 1)
    return _Centre(low, high, median, foreseen, np.int64(predicted), centre, start, end, expected, certainty)


@leaf
def _contexts(y, x, channel, known, activities, distances):
    near, here, nearest, last, before_last = activities
    certainty = known.certainty
    west, north = np.int64(distances[y, x - 1, channel]), np.int64(distances[y - 1, x, channel])
    close = 2 * (west + north) + distances[y - 1, x - 1, channel] + distances[y - 1, x + 1, channel]
    wide = close + distances[y, x - 2, channel] + distances[y - 2, x, channel]
    own = _quotient_level(close * _UNIT, 6 * known.expected) if known.expected > 8 else min(close, 15)
    return Distance(
        sides=channel * 16 + min(west, 3) * 4 + min(north, 3),
        close=certainty * 16 + level(close),
        nearest=certainty * 16 + nearest,
        near=certainty * 16 + near,
        activity=(nearest * 16 + near) * 8 + certainty // 4,
        channel_near=channel * 16 + near,
        channel_wide=channel * 16 + level(wide),
        latest=(min(last, 7) * 8 + min(before_last, 7)) * _CERTAINTIES + certainty,
        own=(own * 16 + here) * 8 + certainty // 4,
    )


@leaf
def _look_back(model, temporal):
    """`look` for the last contexts."""
    c = INPUTS - 1
    for number in temporal:
        model.at[c] = KINDS * number
        c += 1


@leaf
def _temporal(row, column, channel, known, state):
    """What the frame before and what was foreseen say of a symbol's magnitude."""
    past, values, (y, x) = state.past, state.values, (row + 1, column + 1)
    here = size(past[y, x, channel])
    wide = 4 * here
    for i in (-1, 1):
        wide += 2 * (size(past[y + i, x, channel]) + size(past[y, x + i, channel]))
        for j in (-1, 1):
            wide += size(past[y + i, x + j, channel])
    beside = size(values[row + 2, column + 1, channel]) + size(values[row + 1, column + 2, channel])
    foreseen = np.int64(state.foreseen[row, column, channel])
    return Temporal(
        channel_past=channel * 16 + level(wide),
        past=(known.certainty * 16 + level(wide)) * 4 + min(beside, 3),
        foreseen=(known.certainty * 16 + foreseen) * 4 + min(here, 3),
        channel_foreseen=channel * 16 + foreseen,
    )


@leaf
def _signs_before(row, column, channel, past):
    """The context of "above?" in the frame before."""
    y, x = row + 1, column + 1
    later = np.int64(past[y, x + 1, channel]) + past[y + 1, x, channel]
    around = 2 * later + past[y, x - 1, channel] + past[y - 1, x, channel]
    return channel * 16 + 3 * sign(past[y, x, channel]) + sign(around)


@leaf
def _direction(y, x, channel, before, usual, values):
    left, above = sign(values[y, x - 1, channel]), sign(values[y - 1, x, channel])
    diagonals = sign(values[y - 1, x - 1, channel]) * 3 + sign(values[y - 1, x + 1, channel])
    return Direction(
        sides=channel * 16 + left * 3 + above,
        close=usual.close,
        nearest=usual.nearest,
        near=usual.near,
        activity=usual.activity,
        diagonals=channel * 16 + diagonals,
        latest=channel * 16 + sign(values[y, x, before]) * 3 + left,
        all_sides=left * 3 + above,
        own=usual.own,
    )


@leaf
def _code_symbol(wanted, known, n, distributions, contexts, directions, signs, model, stream):
    """Code a symbol's distance from its centre, with sign; a decoder's may be too large for 32 bits."""
    inside = known.end - known.start
    look(model, 0, KINDS, contexts)
    tell(model, _share(inside, _TOTAL))
    if _decide(np.int64(wanted == 0), np.int64(0), model, stream):
        return np.int64(0)
    look(model, 0, KINDS, directions)
    usual = np.int64(0)
    if model.at.size > INPUTS - 1:
        usual, model.at[INPUTS - 1] = model.at[INPUTS - 1], signs * KINDS
    tell(model, _share(_TOTAL - known.end, _TOTAL - inside))
    up = _decide(np.int64(wanted > 0), np.int64(1), model, stream)
    look(model, 0, KINDS, contexts)
    if model.at.size > INPUTS - 1:
        model.at[INPUTS - 1] = usual
    distance = _code_distance(abs(wanted), up, known, n, distributions, model, stream)
    return distance if up else -distance


@leaf
def _code_distance(wanted, up, known, n, distributions, model, stream):
    """Code a distance from 1 up."""
    low, high, centre = known.low, known.high, known.centre
    distance = np.int64(1)
    while distance < _COUNTED:
        if up:
            rest = _TOTAL - _edge(centre + distance, low, high, n, distributions)
            beyond = _TOTAL - _edge(centre + distance + 1, low, high, n, distributions)
        else:
            rest = _edge(centre - distance + 1, low, high, n, distributions)
            beyond = _edge(centre - distance, low, high, n, distributions)
        tell(model, _share(beyond, rest))
        if not _decide(np.int64(wanted > distance), 1 + distance, model, stream):
            return distance
        distance += 1
    tell(model, np.int64(HALF))
    excess = _code_large(wanted - _COUNTED + 1, np.int64(_COUNTED + 1), np.int64(KINDS - 1), model, stream)
    return excess + _COUNTED - 1 if excess > 0 else np.int64(1) << 40


@leaf
def _take_note(value, distance, y, x, channel, known, state):
    """What the next symbols see of this one."""
    errors = state.errors
    errors[0, channel] += (min(abs(value - known.median), 4096) << 8) - (errors[0, channel] >> 5)
    errors[1, channel] += (min(abs(value - known.foreseen), 4096) << 8) - (errors[1, channel] >> 5)
    state.values[y, x, channel] = min(max(value, -32768), 32767)
    state.distances[y, x, channel] = min(distance, 32767)
