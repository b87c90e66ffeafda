"""LatentCoded and LatentMixed, up to the decoded latents: docs/format/latents.md."""

import zlib

import numpy as np

from .arithmetic import HALF, NEW_COUNTER, SQUASH, STRETCH, Decoder, Made, level, mixed_decision
from .container import Reader, check
from .levels import level_map
from .networks import Network
from .tables import Rans, edge, gaussian, last_at_most, mixture_of, scale_index, tables_of

_TOTAL = 1 << 24
_WITH_GAIN = ("balle2017", "cheng2020", "cheng2020-checkerboard")


class Model:
    """What a weight file says of probabilities."""

    def __init__(self, said, tensors):
        self.architecture = said["architecture"]
        self.channels, self.parameters, *more = tensors["probabilities.kind"].tolist()
        self.checkerboard, self.medians = bool(more), tensors["probabilities.medians"]
        prior = (tensors[f"probabilities.prior.{name}"] for name in ("frequencies", "sizes", "lowest"))
        self.prior = tables_of(*prior)
        names = {"h_s": "h_s", "context": "context_prediction", "combine": "entropy_parameters"}
        for name, floats in names.items():
            there = f"probabilities.{name}.network" in tensors
            made = Network(tensors, f"probabilities.{name}", f"network.{floats}", self.checkerboard) if there else None
            setattr(self, name, made)
        self.experiences = {
            int(name[11:]): data.tobytes() for name, data in tensors.items() if name.startswith("experience.")
        }

    @property
    def multiple(self):
        return 64 if self.h_s else 16


def latent_coded(payload: bytes, model: Model):
    """(size, colour, gain level or None, [symbols of y, then of z], latents y in units of 2^-8)."""
    return _decode(payload, model, _Tabled)


def latent_mixed(payload: bytes, model: Model):
    """As `latent_coded`."""
    return _decode(payload, model, _Mixed)


def _decode(payload, model, coder):
    reader = Reader(payload)
    size, color = (reader.varint(), reader.varint()), reader.byte()
    check(min(size) > 0 and color in (0, 2), "no picture of a learned codec")
    h, w = (-(-extent // model.multiple) * model.multiple // 16 for extent in size)
    gain, offsets = None, None
    if model.architecture in _WITH_GAIN:
        mapped, gain = divmod(reader.byte(), 128)
        check(gain <= 56, "no such gain level")
        offsets = level_map(reader.block(), (h, w)) if mapped else None
    shapes = [(h, w, model.channels)] + ([(h // 4, w // 4, model.medians.shape[1])] if model.h_s else [])
    decoder = coder(reader.rest(), shapes, model, gain or 0)
    symbols = [np.zeros(shape, np.int64) for shape in shapes]

    def prior(plane, levels):
        channels = model.medians.shape[1]
        tables = {n: model.prior[n * channels : (n + 1) * channels] for n in set(levels.ravel().tolist())}
        middle = tables[sorted(levels.ravel().tolist())[levels.size // 2]]
        order = sorted(range(channels), key=lambda c: _frequency_of_zero(middle[c]))
        for where in np.ndindex(*shapes[plane][:2]):
            symbols[plane][where] = decoder.position(plane, where, tables[levels[where]], order)
        return 256 * symbols[plane] + model.medians[levels]

    if not model.h_s:
        levels = np.full((h, w), gain if gain is not None and len(model.medians) > 1 else 0)
        latents = prior(0, levels if offsets is None else np.clip(levels + 4 * offsets, 0, 56))
    else:
        hyper = prior(1, np.zeros(shapes[1][:2], int))
        features, latents = model.h_s(hyper), np.zeros(shapes[0], np.int64)
        for where, anchor in _order(h, w, model):
            parameters = features[where]
            if model.context:
                context = model.context.at(latents, *where)
                both = np.concatenate((parameters, np.zeros_like(context) if anchor else context))
                parameters = model.combine(both[None, None])[0, 0]
            distributions, means = _distributions(parameters, model)
            symbols[0][where] = decoder.position(0, where, distributions, range(model.channels))
            latents[where] = 256 * symbols[0][where] + means
    decoder.decoder.finish()
    return size, color, gain, symbols if offsets is None else [*symbols, offsets], latents


def _frequency_of_zero(table):
    s = min(max(0, table.low - 1), table.high + 1)
    return edge(table, s + 1) - edge(table, s) if s <= table.high else _TOTAL - edge(table, s)


def _order(h, w, model):
    """Positions in coding order, and whether each is an anchor of a checkerboard."""
    positions = list(np.ndindex(h, w))
    if model.context and model.checkerboard:
        positions.sort(key=lambda at: ((at[0] + at[1]) % 2, at))
        return [(at, sum(at) % 2 == 0) for at in positions]
    if model.context:
        slope = model.context.padding + 1
        positions.sort(key=lambda at: (at[1] + slope * at[0], at[0]))
    return [(at, False) for at in positions]


def _distributions(parameters, model):
    """Distributions of the symbols of a position, and means."""
    if model.parameters < 9:
        scales, *means = np.split(parameters, model.parameters)
        return [gaussian(scale_index(scale)) for scale in scales.tolist()], means[0] if means else 0
    return [mixture_of(*part) for part in parameters.reshape(3, 3, -1).transpose(2, 0, 1).tolist()], 0


class _Tabled:
    def __init__(self, data, shapes, model, gain):
        self.decoder = Rans(data)

    def position(self, plane, where, distributions, order):
        return [self.decoder.symbol(distribution) for distribution in distributions]


class _Mixed:
    def __init__(self, data, shapes, model, gain):
        self.decoder = Decoder(data)
        levels = sorted(model.experiences, key=lambda level: (abs(level - gain), level))
        known = model.experiences[levels[0]] if levels else None
        self.planes = [Plane(Statistics(shape[2], None if n else known)) for n, shape in enumerate(shapes)]

    def position(self, plane, where, distributions, order):
        return self.planes[plane].position(self.decoder, where, distributions, order)


def _share(part, whole):
    return min(max((part << 16) // whole, 1), 65535) if whole > 0 else HALF


def _q(s, t):
    v = min(16 * (s + 64) // (t + 64), 255)
    return min(15, max(0, (v * v).bit_length() - 2))


def _third(results):
    return SQUASH[sum(results) // 3]


class Statistics:
    """Counters, weights and running errors of a plane."""

    def __init__(self, channels, experience=None, temporal=False):
        self.channels, self.errors = channels, [[0, 0] for _ in range(channels)]
        inputs = 14 if temporal else 10
        counters, weights = _experience(experience, channels, inputs) if experience else (None, None)

        def first_counter(key):
            m, context, kind = key
            return counters[m - 1, context, kind].tolist() if counters is not None and kind < 8 else NEW_COUNTER

        def first_weights(key):
            (mixer, number), kind = key
            if weights is not None and kind < 8:
                return weights[(0, 28, 284)[mixer] + number, kind].tolist()
            return [32768] + [32768 // (inputs - 1)] * (inputs - 1)

        self.counters, self.sets = Made(first_counter), Made(first_weights)


class Plane:
    """A plane that is being decoded.

    Where there are temporal contexts, `past` has the symbols of the frame before, and `foreseen` levels or None.
    """

    def __init__(self, statistics, past=None, foreseen=None):
        self.statistics = statistics
        self.counters, self.sets, self.errors = statistics.counters, statistics.sets, statistics.errors
        self.values, self.distances = {}, {}  # by (row, column): a list of all channels
        self.sums, self.nothing = {}, [0] * statistics.channels
        self.past = None if past is None else np.pad(np.clip(past, -255, 255), ((1, 1), (1, 1), (0, 0)))
        self.foreseen = np.zeros(np.shape(past), int) if foreseen is None else foreseen

    def decide(self, decoder, kind, share, contexts, sets):
        counters = [self.counters[m, context, kind] for m, context in enumerate(contexts, 1)]
        weights = [self.sets[which, kind] for which in sets]
        return mixed_decision(decoder, counters, weights, _third, limit=400, opinion=[STRETCH[share >> 4]])

    def position(self, decoder, where, distributions, order):
        row, column = where
        left, above, corner, right = ((row + y, column + x) for y, x in ((0, -1), (-1, 0), (-1, -1), (-1, 1)))

        def around(n):
            sums = [self.sums.get(at, (0, 0))[n] for at in (left, above, corner, right)]
            return 2 * (sums[0] + sums[1]) + sums[2] + sums[3]

        self.near = _q(around(0), around(1)) if around(1) else 6
        self.seen = self.expected = self.lately = self.lately_expected = self.last = self.before_last = 0
        self.before = order[0]
        values = [self.values.get(at, self.nothing) for at in (left, above, corner, right)]
        two = (row, column - 2), (row - 2, column)
        distances = [self.distances.get(at, self.nothing) for at in (left, above, corner, right, *two)]
        self.here, kept = self.nothing.copy(), self.nothing.copy()
        symbols = self.nothing.copy()
        for channel in order:
            symbols[channel], distance = self.symbol(
                decoder, where, channel, distributions[channel], [v[channel] for v in values],
                [d[channel] for d in distances],
            )  # fmt: skip
            self.here[channel] = min(max(symbols[channel], -32768), 32767)
            kept[channel] = min(distance, 32767)
            self.before = channel
        self.values[where], self.distances[where] = self.here, kept
        self.sums[where] = self.seen, self.expected
        return symbols

    def symbol(self, decoder, where, channel, distribution, values, distances):
        left, above, corner, right = values
        median = min(max(last_at_most(distribution, _TOTAL // 2), distribution.low), distribution.high)
        foreseen = sorted((left, above, left + above - corner))[1]
        if where[1] == 0:
            foreseen = above
        elif where[0] == 0:
            foreseen = left
        errors = self.errors[channel]
        predicted = 4 * errors[1] < 3 * errors[0]
        centre = foreseen if predicted else median
        start, end = edge(distribution, centre), edge(distribution, centre + 1)
        at_centre, usual, certainty = _share(end - start, _TOTAL), 0, 27
        if not predicted:
            f = max(end - start, 1024)
            usual = (_TOTAL - f) * 256 // f * (_TOTAL + f) // (2 * _TOTAL)
            certainty = min(max(STRETCH[at_centre >> 4] // 160 + 13, 0), 26)

        west, north = distances[:2]
        close = 2 * (west + north) + distances[2] + distances[3]
        wide = close + distances[4] + distances[5]
        here, nearest, near = _q(self.seen, self.expected), _q(self.lately, self.lately_expected), self.near
        own = _q(256 * close, 6 * usual) if usual > 8 else min(close, 15)
        contexts = [
            channel * 16 + min(west, 3) * 4 + min(north, 3),
            certainty * 16 + level(close),
            certainty * 16 + nearest,
            certainty * 16 + near,
            (nearest * 16 + near) * 8 + certainty // 4,
            channel * 16 + near,
            channel * 16 + level(wide),
            (min(self.last, 7) * 8 + min(self.before_last, 7)) * 28 + certainty,
            (own * 16 + here) * 8 + certainty // 4,
        ]
        if self.past is not None:
            contexts += self.temporal(where, channel, certainty, left, above)
        sets = (0, certainty), (1, near * 16 + nearest), (2, channel)
        distance = 0
        up = True
        if not self.decide(decoder, 0, at_centre, contexts, sets):
            s = [int(np.sign(x)) + 1 for x in (left, above, corner, right, self.here[self.before])]
            of_sign = contexts.copy()
            of_sign[0], of_sign[7] = channel * 16 + 3 * s[0] + s[1], 3 * s[0] + s[1]
            if self.past is not None:
                past = self.past[where[0] : where[0] + 3, where[1] : where[1] + 3, channel]
                around = 2 * (past[1, 2] + past[2, 1]) + past[1, 0] + past[0, 1]
                of_sign[9] = channel * 16 + 3 * (int(np.sign(past[1, 1])) + 1) + int(np.sign(around)) + 1
            of_sign[5], of_sign[6] = channel * 16 + 3 * s[2] + s[3], channel * 16 + 3 * s[4] + s[0]
            up = self.decide(decoder, 1, _share(_TOTAL - end, _TOTAL - (end - start)), of_sign, sets)
            distance = 1
            while distance < 15:
                if up:
                    rest, beyond = (_TOTAL - edge(distribution, centre + distance + i) for i in range(2))
                else:
                    rest, beyond = (edge(distribution, centre - distance + i) for i in (1, 0))
                if not self.decide(decoder, 1 + distance, _share(beyond, rest), contexts, sets):
                    break
                distance += 1
            else:
                bits = 0
                while self.decide(decoder, min(16 + bits, 31), HALF, contexts, sets):
                    bits += 1
                    check(bits <= 33, "an escape code is too long")
                distance = (1 << bits | decoder.plain(bits)) + 14
        symbol = centre + distance if up else centre - distance
        check(-(1 << 31) <= symbol < 1 << 31, "a symbol has more than 32 bits")

        for n, guess in enumerate((median, foreseen)):
            errors[n] += (min(abs(symbol - guess), 4096) << 8) - (errors[n] >> 5)
        if not predicted:
            t = min(distance, 255)
            self.seen += 256 * t
            self.expected += usual
            self.lately += 256 * t - (self.lately >> 4)
            self.lately_expected += usual - (self.lately_expected >> 4)
            self.before_last, self.last = self.last, t
        return symbol, distance

    def temporal(self, where, channel, certainty, left, above):
        """Contexts of the symbols of the frame before, at and around a position, and of the level foreseen."""
        row, column = where
        past = np.abs(self.past[row : row + 3, column : column + 3, channel])
        wide = level(int(past.sum() + past[1].sum() + past[:, 1].sum() + past[1, 1]))
        foreseen = int(self.foreseen[row, column, channel])
        return [
            channel * 16 + wide,
            (certainty * 16 + wide) * 4 + min(abs(left) + abs(above), 3),
            (certainty * 16 + foreseen) * 4 + min(int(past[1, 1]), 3),
            channel * 16 + foreseen,
        ]


def mixed_frames(streams, shape, tables, order, foreseen, experience=None):
    """The symbols of P-frames with temporal contexts, whose levels are given: int64 [h,w,M] each."""
    statistics, frames = Statistics(shape[2], experience, temporal=True), []
    for stream, levels in zip(streams, foreseen, strict=True):
        decoder, frame = Decoder(stream), np.zeros(shape, np.int64)
        plane = Plane(statistics, frames[-1] if frames else np.zeros(shape, np.int64), levels)
        for where in np.ndindex(*shape[:2]):
            frame[where] = plane.position(decoder, where, tables, order)
        decoder.finish()
        frames.append(frame)
    return frames


def _experience(data, channels, inputs):
    """Counters [inputs-1,contexts,8,2] and weights [sets,8,inputs]."""
    contexts, sets = np.frombuffer(data[:8], "<u4").tolist()
    temporal, contexts = divmod(contexts, 1 << 31)
    check(temporal == (inputs == 14), "the experience is another coder's")
    check((contexts, sets) == (max(2048, 16 * channels), 284 + channels), "the experience is another codec's")
    kept, size = zlib.decompress(data[8:]), (inputs - 1) * contexts * 8
    values = np.frombuffer(kept, "<i2", size).astype(np.int64) << 6
    counts = np.frombuffer(kept, "u1", size, 2 * size)
    counters = np.stack((values, counts), -1).reshape(inputs - 1, contexts, 8, 2)
    return counters, np.frombuffer(kept, "<i4", offset=3 * size).reshape(sets, 8, inputs)
