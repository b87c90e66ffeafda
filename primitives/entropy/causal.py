"""A small network that predicts each symbol of a grid from those coded before: the top rung of the ladder.

Symbols [N,D] of a scalar quantizer (FSQ, rounded components) lie on a grid of rows and columns and are coded dimension
by dimension, each row by row (`indices`). So when dimension d is coded, all dimensions before it are known of the whole
grid, and of its own what stands above and to the left. A network for each dimension turns that into a distribution::

    inputs [F] ─ linear, ReLU ─ [H] ─ linear, ReLU ─ [G] ─ linear ─ logits [L] ─ 2^x / Σ ─ frequencies

Inputs, symbols counted from their middle, 0 where there is nothing:

=========  ==========================================================================================
inputs     what
=========  ==========================================================================================
6          the same dimension to the left, above, diagonally before and behind, two to the left, two above
9          how much went on at the position and its eight neighbours: Σ |symbol| of the dimensions 1 … d − 1
16         the first four dimensions (if they stand before d) to the left, above, to the right, below
D          the dimensions before d at the same position
=========  ==========================================================================================

Unlike context mixing it has seen thousands of pictures before it codes its first symbol, but it knows these symbols
only: another tokenizer needs another network. It does not learn on the way, which context mixing does. So both are
mixed: what the network says of each decision is one more input beside the contexts of `indices`. Mixing weights begin
with the network alone and learn where it can be improved on.

**Exact everywhere.** The network is trained in floats (`codeckit.training.causal`) and stored in integers: weights and
biases in units of 2^-`WEIGHT_BITS`, activations in units of 2^-`ACTIVATION_BITS`, logits likewise, as powers of two.
Sums are 64-bit integers, which nothing here brings near their limits (inputs are clipped, a loaded network's weights
checked), powers of two come from a table made with `decimal`. A symbol's frequencies add up to 2^16, none is 0. It is
told to the binary coder by halving the alphabet again and again.

Source: the idea of small predicting networks in exact arithmetic: J. Ballé, N. Johnston, D. Minnen, "Integer Networks
for Data Compression with Latent-Variable Models", ICLR 2019.
"""

from dataclasses import dataclass, field
from decimal import Decimal, localcontext

import numpy as np
from numba import njit

from .binary_coder import code_bit, is_overrun, with_room
from .indices import COUNTER_LIMIT, INPUTS, SEEN, TRUSTED, find_contexts, new_counters, slot
from .mixing import LIMIT, SQUASH, STRETCH, counter_probability, counter_update, learn, mix

#: Fraction bits of weights and biases, and of activations and logits.
WEIGHT_BITS, ACTIVATION_BITS = 12, 8

#: Inputs beside the D of the same position.
NEIGHBOURS, ACTIVITY, FIRST = 6, 9, 4

_CLIP = 127  # largest input
_TOP = 1 << 20  # largest activation
_MOST_WEIGHT = 1 << 27
_SCALE = 16  # frequencies are units of 2^-16
_LEAST = 40 << ACTIVATION_BITS  # a logit so far below the highest is as good as −∞


def _power_table():
    with localcontext() as context:
        context.prec = 40
        step = Decimal(2) ** (Decimal(1) / (1 << ACTIVATION_BITS))
        values, value = [], Decimal(1 << 40)
        for _ in range(1 << ACTIVATION_BITS):
            values.append(int(value.to_integral_value()))
            value *= step
    return np.array(values, np.int64)


#: 2^(n / 2^ACTIVATION_BITS) in units of 2^-40.
_POWERS = _power_table()

_TENSORS = ("w1", "b1", "w2", "b2", "w3", "b3")


@dataclass(frozen=True, eq=False)
class CausalNetwork:
    """The networks of all dimensions, in integers.

    Attributes:
        levels: number of values of each dimension.
        w1, b1, w2, b2, w3, b3: int32 [D,F,H], [D,H], [D,H,G], [D,G], [D,G,L], [D,L], where F = 31 + D and L is the
            largest of the levels.

    Raises:
        ValueError: shapes that do not fit, or weights beyond all measure.
    """

    levels: tuple[int, ...]
    w1: np.ndarray = field(repr=False)
    b1: np.ndarray = field(repr=False)
    w2: np.ndarray = field(repr=False)
    b2: np.ndarray = field(repr=False)
    w3: np.ndarray = field(repr=False)
    b3: np.ndarray = field(repr=False)

    def __post_init__(self):
        count, most = len(self.levels), max(self.levels)
        hidden, last = self.b1.shape[-1], self.b2.shape[-1]
        shapes = [(count, inputs(count), hidden), (count, hidden), (count, hidden, last), (count, last)]
        shapes += [(count, last, most), (count, most)]
        for name, shape in zip(_TENSORS, shapes, strict=True):
            array = getattr(self, name)
            if array.shape != shape or array.dtype != np.int32 or np.abs(array.astype(np.int64)).max() > _MOST_WEIGHT:
                raise ValueError(f"{name} of a causal network is int32 {list(shape)}, no value above 2^27")

    @property
    def tensors(self) -> dict[str, np.ndarray]:
        """The arrays by name."""
        return {name: getattr(self, name) for name in _TENSORS}

    def bits(self, symbols: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
        """What each symbol costs by the network alone, −log2 of its probability: float64 [N,D].

        Args:
            symbols: int32 [N,d], of the first d dimensions.
            grid: (rows, columns).
        """
        costs = np.zeros(symbols.shape)
        activity = np.zeros(len(symbols), np.int32)
        for d in range(symbols.shape[1]):
            _cost(symbols, d, self.levels[d], *grid, self._centres(), activity, *self._of(d), costs)
        return costs

    def state(self, count: int, dimensions: int):
        """What `code` keeps from one dimension to the next, for so many tokens of so many dimensions."""
        decisions = count * sum((level - 1).bit_length() for level in self.levels[:dimensions])
        weights = np.zeros((dimensions + 4 ** len(TRUSTED), INPUTS + 1), np.int32)
        weights[:, INPUTS] = 1 << 16
        return np.zeros(count, np.int32), new_counters(decisions), weights[:dimensions], weights[dimensions:]

    def code(self, values, d, grid, state, coder, data, decoding):
        """Code dimension `d` of `values` in either direction, as the adaptive coders of `indices` do."""
        own = self._of(d)
        return _code(values, d, self.levels[d], *grid, self._centres(), *state, *own, coder, data, decoding)

    def _of(self, d):
        return self.w1[d], self.b1[d], self.w2[d], self.b2[d], self.w3[d], self.b3[d]

    def _centres(self):
        return np.array(self.levels, np.int32) // 2


def inputs(dimensions: int) -> int:
    """F, the number of inputs for D dimensions."""
    return NEIGHBOURS + ACTIVITY + 4 * FIRST + dimensions


def training_inputs(symbols: np.ndarray, grid: tuple[int, int], levels) -> np.ndarray:
    """The inputs of all symbols, for training: int32 [N,D,F].

    >>> training_inputs(np.array([[2, 1], [0, 1]], np.int32), (1, 2), (3, 3))[1, 0, :6].tolist()
    [1, 0, 0, 0, 0, 0]
    """
    out = np.zeros((*symbols.shape, inputs(symbols.shape[1])), np.int32)
    activity = np.zeros(len(symbols), np.int32)
    centres = np.array(levels, np.int32) // 2
    for d in range(symbols.shape[1]):
        _all_inputs(symbols, d, *grid, centres, activity, out)
    return out


@njit(cache=True)
def _fill(values, d, n, rows, columns, centres, activity, x):
    """Write the inputs of dimension `d` at position `n` to x [F]."""
    row, column = n // columns, n % columns
    left, right, up, down = column > 0, column + 1 < columns, row > 0, row + 1 < rows
    centre = centres[d]
    x[0] = values[n - 1, d] - centre if left else 0
    x[1] = values[n - columns, d] - centre if up else 0
    x[2] = values[n - columns - 1, d] - centre if up and left else 0
    x[3] = values[n - columns + 1, d] - centre if up and right else 0
    x[4] = values[n - 2, d] - centre if column > 1 else 0
    x[5] = values[n - 2 * columns, d] - centre if row > 1 else 0
    at = NEIGHBOURS
    for i in range(-1, 2):
        for j in range(-1, 2):
            inside = 0 <= row + i < rows and 0 <= column + j < columns
            x[at] = activity[n + i * columns + j] if inside else 0
            at += 1
    for e in range(FIRST):
        if e < d:
            x[at] = values[n - 1, e] - centres[e] if left else 0
            x[at + 1] = values[n - columns, e] - centres[e] if up else 0
            x[at + 2] = values[n + 1, e] - centres[e] if right else 0
            x[at + 3] = values[n + columns, e] - centres[e] if down else 0
        at += 4
    for e in range(d):
        x[at + e] = values[n, e] - centres[e]
    for m in range(x.size):
        x[m] = min(max(x[m], -_CLIP), _CLIP)


@njit(cache=True)
def _take_note(values, d, centres, activity):
    """Add dimension `d` to the activity, once it is known everywhere."""
    if d:
        for n in range(values.shape[0]):
            activity[n] = min(activity[n] + abs(values[n, d] - centres[d]), _CLIP)


@njit(cache=True)
def _all_inputs(values, d, rows, columns, centres, activity, out):
    for n in range(values.shape[0]):
        _fill(values, d, n, rows, columns, centres, activity, out[n, d])
    _take_note(values, d, centres, activity)


@njit(cache=True)
def _layer(x, w, b, y, shift):
    """y = (x w + b) >> shift; zeros, of which there are many, cost nothing."""
    for h in range(y.size):
        y[h] = b[h]
    for i in range(w.shape[0]):
        value = np.int64(x[i])
        if value:
            for h in range(y.size):
                y[h] += value * w[i, h]
    for h in range(y.size):
        y[h] >>= shift


@njit(cache=True)
def _rectify(y):
    for h in range(y.size):
        y[h] = min(max(y[h], 0), _TOP)


@njit(cache=True)
def _frequencies(x, w1, b1, w2, b2, w3, b3, hidden, last, logits, size, frequencies):
    """Frequencies [size] of the next symbol from its inputs; they add up to 2^16."""
    _layer(x, w1, b1, hidden, WEIGHT_BITS - ACTIVATION_BITS)  # inputs have no fraction bits
    _rectify(hidden)
    _layer(hidden, w2, b2, last, WEIGHT_BITS)
    _rectify(last)
    _layer(last, w3, b3, logits, WEIGHT_BITS)
    best = 0
    for v in range(1, size):
        if logits[v] > logits[best]:
            best = v
    total, top = np.int64(0), logits[best]
    for v in range(size):
        below = top - logits[v]  # 0 up
        whole, part = below >> ACTIVATION_BITS, below & ((1 << ACTIVATION_BITS) - 1)
        if below > _LEAST:
            frequencies[v] = 0
        elif part:
            frequencies[v] = _POWERS[(1 << ACTIVATION_BITS) - part] >> (whole + 1)
        else:
            frequencies[v] = _POWERS[0] >> whole
        total += frequencies[v]
    total = (total >> 16) + 1
    left = np.int64(1 << _SCALE)
    for v in range(size):
        frequencies[v] = 1 + (frequencies[v] >> 16) * ((1 << _SCALE) - size) // total
        left -= frequencies[v]
    frequencies[best] += left


@njit(cache=True)
def _code(
    values,
    d,
    size,
    rows,
    columns,
    centres,
    activity,
    counters,
    by_dimension,
    by_trust,
    w1,
    b1,
    w2,
    b2,
    w3,
    b3,
    coder,
    data,
    decoding,
):
    """Code column `d` of `values` in either direction: (bytes, whether the decoder's were intact)."""
    hashes, at, inputs = np.zeros(INPUTS, np.uint64), np.zeros(INPUTS, np.int64), np.zeros(INPUTS + 1, np.int64)
    own, mask = by_dimension[d], np.uint64(counters.shape[1] - 1)
    x = np.zeros(w1.shape[0], np.int32)
    hidden, last = np.zeros(w1.shape[1], np.int64), np.zeros(w2.shape[1], np.int64)
    logits, frequencies = np.zeros(w3.shape[1], np.int64), np.zeros(size, np.int64)
    for n in range(values.shape[0]):
        data = with_room(coder, data, decoding)
        _fill(values, d, n, rows, columns, centres, activity, x)
        _frequencies(x, w1, b1, w2, b2, w3, b3, hidden, last, logits, size, frequencies)
        find_contexts(values, d, n, rows, columns, hashes)
        low, high, total = 0, size, np.int64(1 << _SCALE)
        value = values[n, d]
        while high - low > 1:
            middle = (low + high) >> 1
            upper = np.int64(0)
            for v in range(middle, high):
                upper += frequencies[v]
            trust = np.int64(0)
            for m in range(INPUTS):
                at[m] = slot(hashes[m], low << 8 | high, mask)
                inputs[m] = STRETCH[counter_probability(counters[m, at[m]])]
            for m in TRUSTED:
                trust = 4 * trust + SEEN[counters[m, at[m]] & COUNTER_LIMIT]
            inputs[INPUTS] = STRETCH[min(max((upper << 12) // total, 1), 4095)]
            trusting = by_trust[trust]
            first, second = mix(inputs, own), mix(inputs, trusting)
            probability = SQUASH[(first + second >> 1) + LIMIT]
            bit = code_bit(coder, data, probability, np.int64(value >= middle), decoding)
            target = 65535 * bit
            learn(own, inputs, target - SQUASH[first + LIMIT])
            learn(trusting, inputs, target - SQUASH[second + LIMIT])
            for m in range(INPUTS):
                counters[m, at[m]] = counter_update(counters[m, at[m]], bit, COUNTER_LIMIT)
            if bit:
                low, total = middle, upper
            else:
                high, total = middle, total - upper
        if decoding:
            values[n, d] = low
            if is_overrun(coder, data):
                return data, False
    _take_note(values, d, centres, activity)
    return data, True


@njit(cache=True)
def _cost(values, d, size, rows, columns, centres, activity, w1, b1, w2, b2, w3, b3, costs):
    x = np.zeros(w1.shape[0], np.int32)
    hidden, last = np.zeros(w1.shape[1], np.int64), np.zeros(w2.shape[1], np.int64)
    logits, frequencies = np.zeros(w3.shape[1], np.int64), np.zeros(size, np.int64)
    for n in range(values.shape[0]):
        _fill(values, d, n, rows, columns, centres, activity, x)
        _frequencies(x, w1, b1, w2, b2, w3, b3, hidden, last, logits, size, frequencies)
        costs[n, d] = _SCALE - np.log2(frequencies[values[n, d]])
    _take_note(values, d, centres, activity)
