"""Trellis quantization: the symbols that are the best buy for a run-length coder, found by dynamic programming.

A run-length coder (JPEG's) codes a block's AC coefficients in zigzag order as pairs of a *run* of zeros and a value,
and ends a block, or a run of ended blocks, with an end-of-block symbol. What a symbol costs thus depends on where the
next ones stand, and rounding each coefficient to its nearest step (which is best for distortion alone) buys isolated
small values at a bad price. The trellis minimizes what counts,

    J = Σ w · (c − q·Δ)²  +  λ · bits

over all ways of rounding a block (`quantize_ac`): every coefficient takes the nearest symbol, the one next to it
towards zero, or zero. With J* [k] the least cost of the coefficients up to k if symbol k is the last that is not zero,

    J*[k] = min over j < k, q of  J*[j] + distortion(zeros between j and k) + distortion(q at k) + λ · bits(k−j−1, q)

so each pair of positions is looked at once. Blocks are tied by end-of-block runs, as a progressive file has them:
whether block i is to be empty is a second trellis over the blocks, with two states (something, or nothing) and the
length of the run in each. DC coefficients are coded as differences to the block before; their trellis has three states
a block, the nearest symbol and those on both sides (`quantize_dc`).

Distortion is weighed: coefficient k of block b weighs Σ_s importance[b,s] · spectrum[s,k]. One term (s) with importance
1 is a squared error in the picture, as seen through whatever the decoder does behind the inverse transform; several
terms describe a metric that looks at a picture at several scales (MS-SSIM).

`refit_steps` is the other half of Lloyd's iteration: for given symbols, the steps with the least distortion. Symbols
chosen by J are biased towards zero, so steps become larger than those that the symbols were chosen with. Choosing and
refitting in turn makes J smaller each time, and so do costs that are counted anew.

Sources: K. Ramchandran and M. Vetterli, "Rate-distortion optimal fast thresholding with complete JPEG/MPEG decoder
compatibility", IEEE Trans. Image Processing 3(5), 1994; M. Crouse and K. Ramchandran, "Joint thresholding and quantizer
selection for transform image coding", IEEE Trans. Image Processing 6(2), 1997; Y. Shoham and A. Gersho, "Efficient bit
allocation for an arbitrary set of quantizers", IEEE Trans. ASSP 36(9), 1988 (λ).
"""

import numpy as np

from ..compiled import njit

#: Symbols keep to this magnitude (JPEG's AC coefficients have 10 bits).
_LARGEST = 1023

#: An end-of-block run is at most so long (ITU-T T.81 G.1.2.2).
_LONGEST_RUN = 0x7FFF


@njit(cache=True)
def bit_length(value):
    """Bits of a magnitude: 0 for 0.

    >>> [int(bit_length(v)) for v in (0, 1, 2, 3, 4)]
    [0, 1, 2, 2, 3]
    """
    size = 0
    while value:
        value >>= 1
        size += 1
    return size


@njit(cache=True)
def _weights(importance, spectrum, weights):
    for k in range(weights.size):
        total = 0.0
        for s in range(importance.size):
            total += importance[s] * spectrum[s, k]
        weights[k] = total


@njit(cache=True)
def _run_cost(run, bits, run_lengths):
    """Bits of `run` blocks that end early."""
    if run == 0:
        return 0.0
    if not run_lengths:
        return run * bits[0]
    size = bit_length(run) - 1
    return bits[size << 4] + size


@njit(cache=True)
def _choose_block(values, steps, order, weights, rate_weight, bits, costs, before, chosen):
    """The best symbols of one block's AC coefficients that are not all zero.

    `costs`, `before`, `chosen` are work space [64]; `chosen` holds the symbols afterwards where `before` leads.

    Returns:
        (last position that is not zero, or 0 for none; cost with the end of block; cost of a block of zeros).
    """
    zeros = 0.0  # distortion of zeros up to here
    last, least = 0, np.inf  # without the zeros behind
    costs[0] = 0.0
    end_of_block = rate_weight * bits[0]
    # costs[k] is J* [k] less the distortion of zeros up to and including k, so that a pair needs no sum of its own.
    n_kept = 0
    kept = np.empty(64, np.int64)
    kept[0] = 0
    for k in range(1, 64):
        at = order[k]
        value, step, weight = abs(values[at]), steps[at], weights[at]
        zero_here = weight * value * value
        zeros += zero_here
        nearest = min(int(value / step + 0.5), _LARGEST)
        if nearest == 0:
            continue
        best, best_before, best_symbol = np.inf, 0, 0
        for symbol in range(max(nearest - 1, 1), nearest + 1):
            error = value - symbol * step
            distortion = weight * error * error
            size = bit_length(symbol)
            for i in range(n_kept, -1, -1):
                j = kept[i]
                run = k - j - 1
                rate = bits[(run & 15) << 4 | size] + size + (run >> 4) * bits[0xF0]
                cost = costs[j] + distortion + rate_weight * rate
                if cost < best:
                    best, best_before, best_symbol = cost, j, symbol
        # Relative to zeros: what was spent up to here less the distortion of zeros that it replaces.
        costs[k] = best - zero_here
        before[k] = best_before
        chosen[k] = best_symbol if values[at] > 0 else -best_symbol
        n_kept += 1
        kept[n_kept] = k
        total = costs[k] + (end_of_block if k < 63 else 0.0)
        if total < least:
            last, least = k, total
    return last, least + zeros, zeros


@njit(cache=True)
def _quantize_ac(values, steps, order, importance, spectrum, rate_weight, bits, run_lengths, out):
    n = values.shape[0]
    weights = np.empty(64)
    costs, before, chosen = np.empty(64), np.zeros(64, np.int64), np.zeros(64, np.int64)
    # Two survivors: the last block holds something (0), or nothing (1); each with its cost and its run of ended blocks.
    came_from = np.zeros((n, 2), np.uint8)
    something, nothing = 0.0, np.inf
    something_run, nothing_run = 0, 0
    for b in range(n):
        _weights(importance[b], spectrum, weights)
        last, cost, empty = _choose_block(values[b], steps, order, weights, rate_weight, bits, costs, before, chosen)
        out[b, 1:] = 0
        k = last
        while k:
            out[b, order[k]] = chosen[k]
            k = before[k]
        extended = something + rate_weight * (
            _run_cost(something_run + 1, bits, run_lengths) - _run_cost(something_run, bits, run_lengths)
        )
        longer = nothing_run + 1 if nothing_run < _LONGEST_RUN else 1
        prolonged = nothing + rate_weight * (
            _run_cost(longer, bits, run_lengths)
            - (_run_cost(nothing_run, bits, run_lengths) if nothing_run < _LONGEST_RUN else 0.0)
        )
        if last == 0:
            new_something = np.inf
        else:
            came_from[b, 0] = 1 if nothing < something else 0
            new_something = min(something, nothing) + cost
        if extended <= prolonged:
            came_from[b, 1], new_nothing, nothing_run = 0, extended + empty, something_run + 1
        else:
            came_from[b, 1], new_nothing, nothing_run = 1, prolonged + empty, longer
        something, nothing = new_something, new_nothing
        something_run = 1 if last < 63 else 0
    state = 1 if nothing < something else 0
    for b in range(n - 1, -1, -1):
        if state == 1:
            out[b, 1:] = 0
        state = came_from[b, state]


def quantize_ac(values, steps, order, importance, spectrum, rate_weight, bits, run_lengths, out) -> None:
    """Choose the AC symbols of blocks in coding order.

    Args:
        values: float64 [N,64], coefficients of blocks in natural order.
        steps: float64 [64].
        order: int64 [64], natural index of the k-th coefficient coded; ``order[0]`` is DC and left alone.
        importance: float64 [N,S], and
        spectrum: float64 [S,64], natural order: together the weights of squared errors.
        rate_weight: λ, weighted squared error that a bit is worth.
        bits: float64 [256], cost of the symbol run << 4 | size without the value's own bits; 0xF0 is a run of 16
            zeros, and n << 4 ends 2^n blocks and more (n further bits), n = 0 a single one.
        run_lengths: whether blocks that end early share end-of-block symbols (progressive files).
        out: int16 [N,64], natural order; receives symbols everywhere but in column 0.

    >>> values = np.zeros((1, 64)); values[0, 1:4] = 30, -9, 6
    >>> out, bits = np.zeros((1, 64), np.int16), np.full(256, 4.0)
    >>> for rate_weight in 0.0, 10.0:
    ...     quantize_ac(values, np.full(64, 10.0), np.arange(64), np.ones((1, 1)), np.ones((1, 64)), rate_weight, bits,
    ...                 False, out)
    ...     print(out[0, 1:4].tolist())
    [3, -1, 1]
    [3, -1, 0]
    """
    _quantize_ac(values, steps, order, importance, spectrum, float(rate_weight), bits, bool(run_lengths), out)


@njit(cache=True)
def _quantize_dc(values, step, weights, rate_weight, bits, out):
    n = values.size
    came_from = np.zeros((n, 3), np.uint8)
    costs, new_costs = np.zeros(3), np.zeros(3)
    centre_before = 0
    for b in range(n):
        centre = int(np.floor(values[b] / step + 0.5))
        for s in range(3):
            symbol = centre + s - 1
            best, best_from = np.inf, 0
            for t in range(3 if b else 1):
                difference = abs(symbol - (centre_before + t - 1 if b else 0))
                size = bit_length(difference)
                cost = costs[t] + rate_weight * (bits[size] + size)
                if cost < best:
                    best, best_from = cost, t
            error = values[b] - symbol * step
            new_costs[s] = best + weights[b] * error * error
            came_from[b, s] = best_from
        costs[:] = new_costs
        centre_before = centre
    state = np.argmin(costs)
    for b in range(n - 1, -1, -1):
        out[b] = int(np.floor(values[b] / step + 0.5)) + state - 1
        state = came_from[b, state]


def quantize_dc(values, step, weights, rate_weight, bits) -> np.ndarray:
    """Symbols (int64 [N]) of DC coefficients that are coded as differences to the one before.

    Args:
        values: float64 [N], in coding order.
        step: their step.
        weights: float64 [N], of squared errors.
        rate_weight: λ.
        bits: float64 [≥ 13], cost of a difference of so many bits, without these bits.

    >>> quantize_dc(np.array([20.0, 26.0, 21.0]), 10.0, np.ones(3), 30.0, np.ones(13)).tolist()
    [2, 2, 2]
    """
    out = np.empty(len(values), np.int64)
    _quantize_dc(values, float(step), weights, float(rate_weight), bits, out)
    return out


@njit(cache=True)
def _moments(values, symbols, importance, spectrum, products, squares):
    weights = np.empty(64)
    for b in range(values.shape[0]):
        _weights(importance[b], spectrum, weights)
        for k in range(64):
            symbol = float(symbols[b, k])
            if symbol:
                products[k] += weights[k] * symbol * values[b, k]
                squares[k] += weights[k] * symbol * symbol


def refit_steps(planes, steps, largest: int = 255) -> np.ndarray:
    """The integer steps (float64 [64]) with the least weighted squared error for given symbols.

    Args:
        planes: of all planes that share the steps: values float64 [N,64], symbols int16 [N,64], and their weights'
            importance and spectrum, as in `quantize_ac`.
        steps: float64 [64], the steps so far; they stay where all symbols are zero.
        largest: what a step may be at most.

    >>> values, symbols = np.full((2, 64), 33.0), np.full((2, 64), 3, np.int16)
    >>> int(refit_steps([(values, symbols, np.ones((2, 1)), np.ones((1, 64)))], np.full(64, 10.0))[5])
    11
    """
    products, squares = np.zeros(64), np.zeros(64)
    for values, symbols, importance, spectrum in planes:
        _moments(values, symbols, importance, spectrum, products, squares)
    best = np.divide(products, squares, out=np.array(steps, np.float64), where=squares > 0)
    return np.clip(np.rint(best), 1, largest)
