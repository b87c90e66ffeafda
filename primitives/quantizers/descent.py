"""Rate-distortion optimised rounding where nobody can tell the distortion symbol by symbol: descent in whole steps.

A learned synthesis transform mixes its latents: what a symbol does to the picture depends on all others, so there is no
table of distortions to choose from, as for a DCT coefficient. But there is a gradient. Around the symbols s,

    D(s + d)  ≈  D(s) + Σ g_i·d_i + κ Σ w_i·d_i²

with the gradient g and the curvatures w of single symbols. For steps of ±1 the change in cost J = D + λ·bits is known
at once for all symbols; those that would gain take their step. As they are not independent, the sum of their gains
is not what comes of it: so every other symbol (a checkerboard over rows, columns and channels) moves in a round, and
where J did not fall after all, the round is taken back and κ doubled, which leaves the surest steps. *Where* is said
by regions of the picture: each has its own J and κ, so that one which resists does not hold up the others. What the
regions that gained make together is evaluated again, and must have a lower J, so J falls each time. κ falls a little
after a round that paid, and where no symbol would have moved.

Beside moving symbols to cheaper ones this mends what rounding broke, and what the analysis transform, one pass of a
network for all pictures, did not find for this one.

Sources: J. Campos, S. Meierhans, A. Djelouah, C. Schroers, "Content Adaptive Optimization for Neural Image
Compression", CVPR Workshops 2019 (the encoder optimises the latents of each picture); next of kin, whole steps chosen
by gradient and curvature for weights, M. Nagel et al., "Up or Down? Adaptive Rounding", ICML 2020.
"""

from collections.abc import Callable

import numpy as np

#: κ to begin with, and what it is multiplied by after a round that did not fail.
_CAUTION, _COURAGE = 2.0, 0.8


def descend(
    symbols: np.ndarray,
    distortion: Callable[[np.ndarray], tuple[np.ndarray, Callable[[], np.ndarray]]],
    bits: Callable[[np.ndarray], np.ndarray],
    curvature: np.ndarray,
    rate_weight: float,
    rounds: int,
    regions: np.ndarray | int = 0,
) -> np.ndarray:
    """Symbols with a lower cost than `symbols`, or these.

    Args:
        symbols: integers, any shape.
        distortion: of symbols: that of each region [R], and a function that gives the gradient of the sum (the shape of
            the symbols).
        bits: what each symbol costs (their shape).
        curvature: w, broadcasts to the symbols' shape; above 0.
        rate_weight: λ, distortion that a bit is worth.
        rounds: rounds of one or two evaluations of the distortion, beside the first one.
        regions: in which of the R regions each symbol lies, integers that broadcast to the symbols' shape.

    >>> target = np.array([0.4, 2.6, -1.4])
    >>> def distortion(s):
    ...     return ((s - target) ** 2).sum(keepdims=True), lambda: 2 * (s - target)
    >>> descend(np.array([3, 0, 0]), distortion, lambda s: np.abs(s) + 1.0, np.ones(1), 0.5, 20).tolist()
    [0, 2, -1]
    """
    parity = np.indices(symbols.shape).sum(0) % 2
    regions = np.broadcast_to(regions, symbols.shape)

    def costs(errors, rates):
        return errors + rate_weight * np.bincount(regions.ravel(), rates.ravel(), len(errors))

    errors, gradient = distortion(symbols)
    rates = bits(symbols)
    least, slopes = costs(errors, rates), gradient()
    caution = np.full(len(errors), _CAUTION)
    for turn in range(rounds):
        bend = caution[regions] * curvature
        up = slopes + bend + rate_weight * (bits(symbols + 1) - rates)
        down = -slopes + bend + rate_weight * (bits(symbols - 1) - rates)
        moves = (np.minimum(up, down) < 0) & (parity == turn % 2)
        if not moves.any():
            caution *= _COURAGE
            continue
        tried = np.bincount(regions[moves], minlength=len(caution)) > 0
        moved = symbols + np.where(moves, np.where(up < down, 1, -1), 0)
        errors, gradient = distortion(moved)
        moved_rates = bits(moved)
        better = costs(errors, moved_rates) < least
        if not better.all() and better.any():  # neighbours that moved and are taken back change what the others gain
            moved = np.where(better[regions], moved, symbols)
            errors, gradient = distortion(moved)
            moved_rates = bits(moved)
        found = costs(errors, moved_rates)
        if found.sum() < least.sum():
            symbols, rates, least, slopes = moved, moved_rates, found, gradient()
            caution *= np.where(better | ~tried, _COURAGE, 2)
        else:
            caution *= np.where(tried, 2, _COURAGE)
    return symbols
