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
mixed: what the network says of each decision is one more input, the first, with the contexts of `indices`. Two mixers
share, with weights chosen by the dimension, and by how often three of the contexts have been seen. They begin with the
network alone and learn where it can be improved on.

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
from typing import NamedTuple

import numpy as np

from ..compiled import njit
from .binary_coder import is_overrun, with_room
from .indices import INPUTS, TRUST_SETS, find_contexts, look_hashed, new_counters
from .mixing import leaf, new_model, predictor, tell

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
            _cost(symbols, d, self.levels[d], *grid, self._centres(), activity, self._layers(d), costs)
        return costs

    def state(self, count: int, dimensions: int):
        """What `code` keeps from one dimension to the next, for so many tokens of so many dimensions."""
        decisions = count * sum((level - 1).bit_length() for level in self.levels[:dimensions])
        # Sets of weights: the first mixer's by dimension, the second one's by trust; all begin with the network alone.
        weights = np.zeros((dimensions + TRUST_SETS, INPUTS + 1), np.int32)
        weights[:, 0] = 1 << 16
        return np.zeros(count, np.int32), new_model(new_counters(decisions), weights, mixers=2)

    def code(self, values, d, grid, state, coder, data, decoding):
        """Code dimension `d` of `values` in either direction, as the adaptive coders of `indices` do."""
        activity, model = state
        trust = len(model.weights) - TRUST_SETS
        return _code(
            values, d, self.levels[d], *grid, self._centres(), activity, self._layers(d), trust, model,
            coder, data, decoding,
        )  # fmt: skip

    def _layers(self, d):
        hidden, last, logits = (np.zeros(b.shape[1], np.int64) for b in (self.b1, self.b2, self.b3))
        x, frequencies = np.zeros(self.w1.shape[1], np.int32), np.zeros(self.levels[d], np.int64)
        tensors = (getattr(self, name)[d] for name in _TENSORS)
        return _Layers(*tensors, x, hidden, last, logits, frequencies)

    def _centres(self):
        return np.array(self.levels, np.int32) // 2


class _Layers(NamedTuple):
    """The network of a dimension, and room for what flows through it."""

    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray
    w3: np.ndarray
    b3: np.ndarray
    x: np.ndarray
    hidden: np.ndarray
    last: np.ndarray
    logits: np.ndarray
    frequencies: np.ndarray


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


@leaf
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


@leaf
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


@leaf
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


@leaf
def _rectify(y):
    for h in range(y.size):
        y[h] = min(max(y[h], 0), _TOP)


@leaf
def _find_frequencies(layers, size):
    """Frequencies [size] of the next symbol from its inputs; they add up to 2^16."""
    x, hidden, last, logits, frequencies = layers.x, layers.hidden, layers.last, layers.logits, layers.frequencies
    _layer(x, layers.w1, layers.b1, hidden, WEIGHT_BITS - ACTIVATION_BITS)  # inputs have no fraction bits
    _rectify(hidden)
    _layer(hidden, layers.w2, layers.b2, last, WEIGHT_BITS)
    _rectify(last)
    _layer(last, layers.w3, layers.b3, logits, WEIGHT_BITS)
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


_decide = predictor(contexts=INPUTS, told=1)


@njit(cache=True)
def _code(values, d, size, rows, columns, centres, activity, layers, trust, model, coder, data, decoding):
    """Code column `d` of `values` in either direction: (bytes, whether the decoder's were intact)."""
    for n in range(values.shape[0]):
        data = with_room(coder, data, decoding)
        _fill(values, d, n, rows, columns, centres, activity, layers.x)
        _find_frequencies(layers, size)
        contexts, _ = find_contexts(values, d, n, rows, columns)
        model.sets[0] = d
        stream = coder, data, decoding
        values[n, d] = _code_symbol(values[n, d], size, layers.frequencies, contexts, trust, model, stream)
        if decoding and is_overrun(coder, data):
            return data, False
    _take_note(values, d, centres, activity)
    return data, True


@leaf
def _code_symbol(value, size, frequencies, contexts, trust, model, stream):
    """Code a symbol by halving the alphabet; the second mixer's sets begin at `trust`."""
    low, high, total = np.int64(0), np.int64(size), np.int64(1 << _SCALE)
    while high - low > 1:
        middle = (low + high) >> 1
        upper = np.int64(0)
        for v in range(middle, high):
            upper += frequencies[v]
        model.sets[1] = trust + look_hashed(model, contexts, low << 8 | high)
        tell(model, min(max((upper << 16) // total, 16), 65535))
        if _decide(np.int64(value >= middle), np.int64(0), model, stream):
            low, total = middle, upper
        else:
            high, total = middle, total - upper
    return low


@njit(cache=True)
def _cost(values, d, size, rows, columns, centres, activity, layers, costs):
    for n in range(values.shape[0]):
        _fill(values, d, n, rows, columns, centres, activity, layers.x)
        _find_frequencies(layers, size)
        costs[n, d] = _SCALE - np.log2(layers.frequencies[values[n, d]])
    _take_note(values, d, centres, activity)
