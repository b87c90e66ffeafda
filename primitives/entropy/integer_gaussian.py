"""Discretized Gaussians and Gaussian mixtures in integers: the same frequencies on every machine.

A hyperprior or a context model predicts for each latent y a mean μ and a scale σ. The probability of an integer
symbol s is the area of the Gaussian over the unit interval around it (Ballé, Minnen, Singh, Hwang and Johnston,
"Variational image compression with a scale hyperprior", 2018, equation 8)::

    P(s) = Φ((s + 1/2 - μ)/σ) - Φ((s - 1/2 - μ)/σ)

The encoder and the decoder must find the same integer frequencies for it, or nothing behind the first difference can
be read. ``erf``, ``exp`` and a network's output differ in their last bits from one machine to the next. So here:

* **Parameters are integers** in units of 2^-8 (`FRACTION_BITS`), as an exact integer network computes them
  (`codeckit.primitives.learned.integer`).
* **Scales** become one of 64 table indices, `scale_index`: the scales σ_i are spaced evenly in the logarithm
  from 0.11 to 256, and a scale takes the one nearest in the logarithm. An error of ε in ln σ costs ε² nats, here 0.0018
  bits a symbol in the mean.
* **Φ** is one table of integers in units of 2^-30 with a step of 1/256, made by `decimal`, whose ``exp``, ``ln`` and
  ``sqrt`` are correctly rounded by definition, and interpolated linearly in integers. The error is below 5e-7.

Two ways to use it:

* *Around the mean* (a single Gaussian; Minnen, Ballé and Toderici 2018): the symbol is round(y - μ), so the mean leaves
  the distribution and `gaussian_tables` holds all there is: 64 tables. `center` and `uncenter` are the inverse pair.
* *Mixtures* (Cheng, Sun, Takeuchi and Katto, "Learned image compression with discretized Gaussian mixture likelihoods
  and attention modules", CVPR 2020, equation 9): the symbol is round(y) and P(s) is the mean of K Gaussians with
  weights. `Mixture` holds the parameters; the coder adds up the K integer values of Φ where it needs them.

**From Φ to frequencies.** The window of a mixture reaches 4.5 σ to both sides of every mean: symbols lo … hi. With W
symbols in it and F(s) the mixture's Φ at the lower edge of s, the cumulative frequency below s is::

    cumulative(s) = 2^8 + 2^6·(s - lo) + floor(F(s) · (2^24 - 2·2^8 - 2^6·W))          lo ≤ s ≤ hi + 1

So each symbol of the window has a frequency of 2^6 at least and costs 18 bits at most, and either side beyond it has
2^8, or 16 bits: latents have heavier tails than Gaussians, and what this takes from the others is next to nothing.
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context, Decimal, localcontext

import numpy as np

from ..compiled import njit
from .models import PRECISION
from .tables import FrequencyTables

#: Means, scales and logits are integers in units of 2^-FRACTION_BITS.
FRACTION_BITS = 8
_ONE = 1 << FRACTION_BITS

#: Number of scales, the smallest and the largest of them (those of CompressAI's scale table).
SCALES, SMALLEST, LARGEST = 64, Decimal("0.11"), Decimal(256)

#: Windows reach so many standard deviations to either side of a mean.
REACH = Decimal("4.5")

#: Frequency that a symbol of the window has at least, and all symbols below the window, and all above it.
FLOOR, TAIL = 1 << 6, 1 << 8

#: Means are clipped to ±2^15 (here in units of 2^-FRACTION_BITS).
MAX_MEAN = 1 << 15 + FRACTION_BITS

#: Mixture weights add up to 2^WEIGHT_BITS.
WEIGHT_BITS = 16

# Units of Φ; steps of its table in one σ; its end, in σ; fraction bits of an argument between two entries.
_CDF_BITS, _CDF_STEP_BITS, _CDF_END, _BETWEEN_BITS = 30, 8, 8, 16
_EXACT = Context(prec=40, rounding=ROUND_HALF_EVEN)


@functools.cache
def scales() -> tuple[Decimal, ...]:
    """The 64 standard deviations, to 40 digits.

    >>> [f"{s:.4f}" for s in scales()[::21]]
    ['0.1100', '1.4577', '19.3178', '256.0000']
    """
    with localcontext(_EXACT):
        step = (LARGEST / SMALLEST).ln() / (SCALES - 1)
        return tuple(SMALLEST * (step * i).exp() for i in range(SCALES))


@functools.cache
def normal_cdf() -> np.ndarray:
    """Φ(u) for u = -8, -8 + 1/256, …, 8 in units of 2^-30: int32 [4097].

    Φ(u) = 1/2 + exp(-u²/2)/√(2π) · (u + u³/3 + u⁵/(3·5) + …), a sum of positive terms (Abramowitz and Stegun 26.2.11).

    >>> normal_cdf()[[0, 2048, 2304, 4096]] / 2**30
    array([0.        , 0.5       , 0.84134475, 1.        ])
    """
    steps = 1 << _CDF_STEP_BITS
    upper = []
    with localcontext(_EXACT):
        root = 2 * Decimal("3.141592653589793238462643383279502884197")
        for n in range(_CDF_END * steps + 1):
            u = Decimal(n) / steps
            square, term, odd, total = u * u, u, 1, u
            while term * 10**14 > total:
                odd += 2
                term *= square / odd
                total += term
            area = total / (square.exp() * root).sqrt()
            upper.append(int((area * (1 << _CDF_BITS)).to_integral_value()))
    upper = np.array(upper, np.int32)
    half = 1 << _CDF_BITS - 1
    return np.concatenate([half - upper[:0:-1], half + upper]).astype(np.int32)


@functools.cache
def _scale_constants():
    """(1/σ_i in units of 2^-24, reach of the window in units of 2^-8), int64 [64] each, and the thresholds [63]."""
    with localcontext(_EXACT):
        sigma = scales()
        inverse = [int((2 ** (_CDF_STEP_BITS + _BETWEEN_BITS) / s).to_integral_value()) for s in sigma]
        reach = [int((REACH * s * _ONE).to_integral_value()) for s in sigma]
        between = [(a * b).sqrt() for a, b in itertools.pairwise(sigma)]
        thresholds = [int((b * _ONE).to_integral_value(ROUND_CEILING)) for b in between]
    return tuple(np.array(values, np.int64) for values in (inverse, reach, thresholds))


def scale_index(scale) -> np.ndarray:
    """The table of each scale: 0 … 63.

    Args:
        scale: standard deviations, integers in units of 2^-8, any shape; what is below 0.11 takes table 0.

    Returns:
        uint8 indices, the same shape.

    >>> scale_index(np.array([-5, 28, 256, 1 << 20])).tolist()
    [0, 0, 18, 63]
    """
    return np.take(_index_of_scale(), np.asarray(scale), mode="clip")


@functools.cache
def _index_of_scale():
    """The index of every scale 0, 1, … up to where it is 63 (in units of 2^-8)."""
    thresholds = _scale_constants()[2]
    return np.searchsorted(thresholds, np.arange(thresholds[-1] + 1), side="right").astype(np.uint8)


@functools.cache
def gaussian_tables() -> FrequencyTables:
    """The 64 zero-mean Gaussians as `FrequencyTables`.

    >>> tables = gaussian_tables()
    >>> len(tables), tables.window(0), tables.window(63)
    (64, (-1, 1), (-1152, 1152))
    """
    reach = _scale_constants()[1]
    frequencies, lowest = [], []
    for i in range(SCALES):
        low, high = mixture_window(0, np.array([[0]], np.int32), np.array([[i]], np.uint8), reach)
        symbols = np.arange(low - 1, high + 2)  # with one for each tail
        ones = np.ones((symbols.size, 1), np.int64)
        frequencies.append(Mixture(ones << WEIGHT_BITS, 0 * ones, i * ones).frequencies(symbols))
        lowest.append(low)
    return FrequencyTables(np.concatenate(frequencies), np.array([f.size for f in frequencies]), np.array(lowest))


def center(latents, means) -> np.ndarray:
    """Symbols: latents rounded around their means, round(y - μ), clipped to int32.

    Args:
        latents: y, floats, any shape.
        means: μ, integers in units of 2^-8, the same shape.

    >>> center(np.array([3.3, -1.5]), np.array([128, 0])).tolist()
    [3, -2]
    """
    distance = np.rint(np.asarray(latents, np.float64) - np.asarray(means) / _ONE)
    return np.clip(distance, -(2.0**31), 2.0**31 - 1).astype(np.int32)


def uncenter(symbols, means) -> np.ndarray:
    """The inverse of `center`: quantized latents s + μ, int64 in units of 2^-8 (what an integer context model reads).

    >>> uncenter(np.array([3, -2]), np.array([128, 0])) / 256
    array([ 3.5, -2. ])
    """
    return (np.asarray(symbols, np.int64) << FRACTION_BITS) + np.asarray(means, np.int64)


@functools.cache
def _exponential() -> np.ndarray:
    """exp(-n/256) in units of 2^-WEIGHT_BITS until it is zero: int64."""
    with localcontext(_EXACT):
        end = 1 + int((Decimal(2) ** (WEIGHT_BITS + 1)).ln() * _ONE)
        values = [(Decimal(-n) / _ONE).exp() * (1 << WEIGHT_BITS) for n in range(end + 1)]
        return np.array([int(value.to_integral_value()) for value in values], np.int64)


@dataclass(frozen=True, eq=False)
class Mixture:
    """Parameters of N symbols that follow mixtures of K Gaussians each.

    Args:
        weights: integers [N,K] from 0 up, each row with the sum 2^16 (`from_logits` makes them).
        means: integers [N,K] in units of 2^-8, clipped to ±2^15 when used.
        scales: table indices [N,K], 0 … 63 (`scale_index`).

    Raises:
        ValueError: the arrays do not fit each other, or hold values out of range.
    """

    weights: np.ndarray
    means: np.ndarray
    scales: np.ndarray

    def __post_init__(self):
        weights, means, indices = (np.asarray(a) for a in (self.weights, self.means, self.scales))
        if any(a.dtype.kind not in "iu" for a in (weights, means, indices)):
            raise ValueError("weights, means and scales are integers; see FRACTION_BITS for their units")
        if weights.ndim != 2 or weights.shape[1] == 0 or not weights.shape == means.shape == indices.shape:
            raise ValueError(f"weights, means and scales are arrays [N,K], not {weights.shape}, {means.shape}, …")
        if weights.size and (weights.min() < 0 or np.any(weights.sum(1) != 1 << WEIGHT_BITS)):
            raise ValueError(f"a mixture's weights are at least 0 and add up to 2^{WEIGHT_BITS}")
        if indices.size and (indices.min() < 0 or indices.max() >= SCALES):
            raise ValueError(f"scales are table indices 0 … {SCALES - 1}; scale_index makes them")
        if means.size and (means.min() < -MAX_MEAN or means.max() > MAX_MEAN):
            means = np.clip(means.astype(np.int64), -MAX_MEAN, MAX_MEAN)
        # The encoder keeps the mixtures of all latents until it has found the last symbol, so they are kept small.
        for name, value, kind in (("weights", weights, "i4"), ("means", means, "i4"), ("scales", indices, "u1")):
            object.__setattr__(self, name, np.ascontiguousarray(value, kind))

    @classmethod
    def from_logits(cls, logits, means, scales) -> "Mixture":
        """The mixture whose weights are softmax(logits), in integers.

        Args:
            logits, means, scales: integers [N,K] in units of 2^-8 (scales are standard deviations here).

        >>> Mixture.from_logits([[256, 0, 0]], [[0, 512, 0]], [[256, 256, 99]]).weights.tolist()
        [[37758, 13889, 13889]]
        """
        logits = np.asarray(logits)
        if logits.ndim != 2 or logits.dtype.kind not in "iu":
            raise ValueError(f"logits are integers [N,K], not {logits.dtype} {logits.shape}")
        weights = _softmax(np.ascontiguousarray(logits, np.int64), _exponential())
        return cls(weights, means, scale_index(scales))

    @classmethod
    def joined(cls, mixtures: Sequence["Mixture"]) -> "Mixture":
        """The distributions of several, one after the other.

        >>> len(Mixture.joined([Mixture([[65536]], [[0]], [[9]]), Mixture([[65536]], [[256]], [[0]])]))
        2
        """
        return cls(*(np.concatenate([getattr(m, name) for m in mixtures]) for name in ("weights", "means", "scales")))

    def __len__(self):
        return len(self.weights)

    def constants(self):
        """The integer tables that the coder's kernels take: 1/σ, reach and Φ."""
        return (*_scale_constants()[:2], normal_cdf())

    def frequencies(self, symbols) -> np.ndarray:
        """The frequency of each symbol [N], or of the tail that it lies in: int64 [N], 1 … 2^24 - 1."""
        symbols = np.ascontiguousarray(symbols, np.int64)
        return _frequencies(symbols, self.weights, self.means, self.scales, *self.constants())

    def bits(self, symbols) -> np.ndarray:
        """What each symbol [N] costs: -log2 of its frequency / 2^24, float64; without a tail's distance."""
        return PRECISION - np.log2(self.frequencies(symbols))

    def deviations(self) -> np.ndarray:
        """The standard deviation of each mixture, float64 [N].

        >>> Mixture([[32768, 32768]], [[-256, 256]], [[0, 0]]).deviations().round(3)
        array([1.006])
        """
        weights, means = self.weights / (1 << WEIGHT_BITS), self.means / _ONE
        sigma = np.array(scales(), np.float64)[self.scales]
        mean = (weights * means).sum(1)
        return np.sqrt((weights * (sigma**2 + means**2)).sum(1) - mean**2)


@njit(cache=True)
def _softmax(logits, exponential):
    """Weights [N,K] for logits [N,K]: shares rounded down, and what that leaves over to the largest."""
    weights = np.empty_like(logits)
    for n in range(len(logits)):
        largest = logits[n].argmax()
        for k in range(logits.shape[1]):
            distance = logits[n, largest] - logits[n, k]
            weights[n, k] = exponential[min(distance, exponential.size - 1)]
        total, left = weights[n].sum(), np.int64(1 << WEIGHT_BITS)
        for k in range(logits.shape[1]):
            weights[n, k] = (weights[n, k] << WEIGHT_BITS) // total
            left -= weights[n, k]
        weights[n, largest] += left
    return weights


@njit(cache=True)
def mixture_window(n, means, indices, reach):
    """The lowest and the highest symbol within reach of any mean of mixture n."""
    low, high = np.int64(1) << 40, -(np.int64(1) << 40)
    for k in range(means.shape[1]):
        low = min(low, (means[n, k] - reach[indices[n, k]]) >> FRACTION_BITS)
        high = max(high, -((-means[n, k] - reach[indices[n, k]]) >> FRACTION_BITS))
    return low, high


@njit(cache=True)
def mixture_edge(symbol, low, high, n, weights, means, indices, inverse, cdf):
    """The frequency of everything below `symbol`, low ≤ symbol ≤ high + 1, in mixture n."""
    area = np.int64(0)
    edge = (symbol << FRACTION_BITS) - (1 << FRACTION_BITS - 1)
    for k in range(weights.shape[1]):
        u = (edge - means[n, k]) * inverse[indices[n, k]] >> FRACTION_BITS  # |edge - mean| < 2^26, inverse < 2^28
        u += _CDF_END << _CDF_STEP_BITS + _BETWEEN_BITS
        u = min(max(u, 0), (2 * _CDF_END << _CDF_STEP_BITS + _BETWEEN_BITS) - 1)
        entry = u >> _BETWEEN_BITS
        below = np.int64(cdf[entry])
        rise = np.int64(cdf[entry + 1]) - below
        area += weights[n, k] * (below + (rise * (u & (1 << _BETWEEN_BITS) - 1) >> _BETWEEN_BITS))
    spare = (1 << PRECISION) - 2 * TAIL - FLOOR * (high - low + 1)
    return TAIL + FLOOR * (symbol - low) + ((area >> WEIGHT_BITS) * spare >> _CDF_BITS)


@njit(cache=True)
def mixture_interval(symbol, n, weights, means, indices, inverse, reach, cdf):
    """(start, end, distance): the part of 0 … 2^24 that the symbol has in mixture n, or that its tail has.

    The distance from the window is 0 inside, negative in the lower tail and positive in the upper one.
    """
    low, high = mixture_window(n, means, indices, reach)
    start, end = np.int64(0), np.int64(1 << PRECISION)
    if symbol >= low:
        start = mixture_edge(min(symbol, high + 1), low, high, n, weights, means, indices, inverse, cdf)
    if symbol <= high:
        end = mixture_edge(max(symbol + 1, low), low, high, n, weights, means, indices, inverse, cdf)
    return start, end, min(symbol - low, 0) + max(symbol - high, 0)


@njit(cache=True)
def mixture_symbol(quantile, n, weights, means, indices, inverse, reach, cdf):
    """The inverse of `mixture_interval`: (symbol, start, end, side), with start ≤ quantile < end.

    Side is -1 in the lower tail, 1 in the upper one, where the symbol is the window's end, else 0.
    """
    low, high = mixture_window(n, means, indices, reach)
    below, above = low - 1, high + 2  # the lower tail begins at `below`, and the upper tail ends before `above`
    start, end = np.int64(0), np.int64(1 << PRECISION)
    while above - below > 1:
        middle = (below + above) >> 1
        value = mixture_edge(middle, low, high, n, weights, means, indices, inverse, cdf)
        if quantile < value:
            above, end = middle, value
        else:
            below, start = middle, value
    return min(max(below, low), high), start, end, (below > high) - (below < low)


@njit(cache=True)
def _frequencies(symbols, weights, means, indices, inverse, reach, cdf):
    out = np.empty(symbols.size, np.int64)
    for n in range(symbols.size):
        start, end, _ = mixture_interval(symbols[n], n, weights, means, indices, inverse, reach, cdf)
        out[n] = end - start
    return out
