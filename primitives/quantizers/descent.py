"""Rate-distortion optimised rounding where nobody can tell the distortion symbol by symbol: descent in whole steps.

A learned synthesis transform mixes its latents: what a symbol does to the picture depends on all others, so there is no
table of distortions to choose from, as for a DCT coefficient. But there is a gradient. Around the symbols s,

    D(s + d)  ≈  D(s) + Σ g_i·d_i + κ Σ w_i·d_i²

with the gradient g and the curvatures w of single symbols. For steps of ±1 the change in cost J = D + λ·bits is known
at once for all symbols; those that would gain take their step. As they are not independent, the sum of their gains
is not what comes of it: so every other symbol (a checkerboard over rows, columns and channels) moves in a round, and
if J did not fall after all, the round is taken back and κ doubled, which leaves the surest steps. J falls each time.

Beside moving symbols to cheaper ones this mends what rounding broke, and what the analysis transform, one pass of a
network for all pictures, did not find for this one.

Sources: J. Campos, S. Meierhans, A. Djelouah, C. Schroers, "Content Adaptive Optimization for Neural Image
Compression", CVPR Workshops 2019 (the encoder optimises the latents of each picture); next of kin, whole steps chosen
by gradient and curvature for weights, M. Nagel et al., "Up or Down? Adaptive Rounding", ICML 2020.
"""

from collections.abc import Callable

import numpy as np

#: κ to begin with, and what it is multiplied by after a round that paid.
_CAUTION, _COURAGE = 2.0, 0.8


def descend(
    symbols: np.ndarray,
    distortion: Callable[[np.ndarray], tuple[float, Callable[[], np.ndarray]]],
    bits: Callable[[np.ndarray], np.ndarray],
    curvature: np.ndarray,
    rate_weight: float,
    rounds: int,
) -> np.ndarray:
    """Symbols with a lower cost than `symbols`, or these.

    Args:
        symbols: integers, any shape.
        distortion: of symbols: its value, and a function that gives its gradient (the shape of the symbols).
        bits: what each symbol costs (their shape).
        curvature: w, broadcasts to the symbols' shape; above 0.
        rate_weight: λ, distortion that a bit is worth.
        rounds: evaluations of the distortion beside the first one.

    >>> target = np.array([0.4, 2.6, -1.4])
    >>> def distortion(s):
    ...     return float(((s - target) ** 2).sum()), lambda: 2 * (s - target)
    >>> descend(np.array([3, 0, 0]), distortion, lambda s: np.abs(s) + 1.0, np.ones(1), 0.5, 20).tolist()
    [0, 2, -1]
    """
    parity = np.indices(symbols.shape).sum(0) % 2
    caution = _CAUTION
    value, gradient = distortion(symbols)
    rates = bits(symbols)
    least, slopes = value + rate_weight * rates.sum(), gradient()
    for turn in range(rounds):
        up = slopes + caution * curvature + rate_weight * (bits(symbols + 1) - rates)
        down = -slopes + caution * curvature + rate_weight * (bits(symbols - 1) - rates)
        moves = (np.minimum(up, down) < 0) & (parity == turn % 2)
        if not moves.any():
            continue
        moved = symbols + np.where(moves, np.where(up < down, 1, -1), 0)
        value, gradient = distortion(moved)
        moved_rates = bits(moved)
        cost = value + rate_weight * moved_rates.sum()
        if cost < least:
            symbols, rates, least, slopes = moved, moved_rates, cost, gradient()
            caution *= _COURAGE
        else:
            caution *= 2
    return symbols
