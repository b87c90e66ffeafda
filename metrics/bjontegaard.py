"""Bjøntegaard deltas: the mean distance between two rate-distortion curves, in one number.

*BD-rate* is the mean difference in rate at equal quality, in percent: interpolate log rate as a function of quality
for the anchor and for the test codec, integrate both over the range of quality that they share, and divide the
difference by its width. −20 % says: a fifth fewer bits for the same quality. *BD-PSNR* exchanges the axes: the mean
gain in quality (dB, or the unit of whatever measure is given) at equal rate.

::

    BD-rate = 10^( 1/(b − a) · ∫_a^b (log10 R_test(Q) − log10 R_anchor(Q)) dQ ) − 1

Interpolation is by piecewise cubic Hermite polynomials (PCHIP), which stay monotone between the points; the first
proposal's single cubic overshoots. The package `bjontegaard` does the computing. Sources: G. Bjøntegaard, VCEG-M33
(2001); C. Herglotz et al., "The Bjøntegaard Bible: why your way of comparing video codecs may be wrong", 2024.

A delta says something only of the quality (or rate) that both curves reach. So every result carries its *overlap*, the
shared part of the range that the two curves span together, and there is no number (NaN) where nothing is shared.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .accuracy import monotone_envelope


@dataclass(frozen=True)
class BDResult:
    """A Bjøntegaard delta and what it rests on.

    Attributes:
        value: percent of rate (`bd_rate`) or units of quality (`bd_psnr`); NaN where the curves share no range.
        overlap: shared part of the range that both curves span together, 0 … 1.
        points: points used of the anchor and of the test curve. Below 4, read the value with care.
    """

    value: float
    overlap: float
    points: tuple[int, int]


def bd_rate(anchor_rate, anchor_quality, test_rate, test_quality) -> BDResult:
    """Mean difference in rate of the test curve from the anchor at equal quality, in percent. Negative is better.

    Args:
        anchor_rate, test_rate: positive, any unit (bpp, bytes); order and duplicates do not matter.
        anchor_quality, test_quality: as many, higher for better (PSNR in dB, MS-SSIM in dB, ...).

    Points that are not finite (lossless coding has infinite PSNR) and points that another point of their curve beats in
    both rate and quality are left out: what remains rises in both, as interpolating needs.

    Raises:
        ValueError: lengths differ, a rate is not positive, or a curve keeps fewer than 2 points.

    >>> rate, quality = np.array([0.25, 0.5, 1.0, 2.0]), np.array([28.0, 31.0, 34.0, 37.0])
    >>> result = bd_rate(rate, quality, 0.8 * rate, quality)
    >>> round(result.value, 6), result.overlap, result.points
    (-20.0, 1.0, (4, 4))
    """
    anchor, test = _curve(anchor_rate, anchor_quality, "anchor"), _curve(test_rate, test_quality, "test")
    difference, overlap = _mean_difference(anchor[1], np.log10(anchor[0]), test[1], np.log10(test[0]))
    return BDResult(100 * (10**difference - 1), overlap, (len(anchor[0]), len(test[0])))


def bd_psnr(anchor_rate, anchor_quality, test_rate, test_quality) -> BDResult:
    """Mean gain in quality of the test curve over the anchor at equal rate. Arguments and errors as for `bd_rate`.

    >>> rate, quality = np.array([0.25, 0.5, 1.0, 2.0]), np.array([28.0, 31.0, 34.0, 37.0])
    >>> round(bd_psnr(rate, quality, rate, quality + 0.5).value, 6)
    0.5
    """
    anchor, test = _curve(anchor_rate, anchor_quality, "anchor"), _curve(test_rate, test_quality, "test")
    difference, overlap = _mean_difference(np.log10(anchor[0]), anchor[1], np.log10(test[0]), test[1])
    return BDResult(difference, overlap, (len(anchor[0]), len(test[0])))


def _curve(rate, quality, name):
    """Rates and qualities, both strictly rising."""
    rate, quality = np.asarray(rate, np.float64), np.asarray(quality, np.float64)
    if rate.ndim != 1 or rate.shape != quality.shape:
        raise ValueError(f"the {name} curve needs one quality a rate, not {quality.shape} for {rate.shape}")
    finite = np.isfinite(rate) & np.isfinite(quality)
    if (rate[finite] <= 0).any():
        raise ValueError(f"the {name} curve has a rate that is not positive")
    kept = monotone_envelope(rate[finite], quality[finite])
    if len(kept) < 2:
        raise ValueError(f"the {name} curve keeps {len(kept)} points; a Bjøntegaard delta needs at least 2, better 4")
    return kept.T


def _mean_difference(anchor_x, anchor_y, test_x, test_y):
    """Mean of test − anchor over the shared range of x, and the shared part of the joint range."""
    shared = min(anchor_x[-1], test_x[-1]) - max(anchor_x[0], test_x[0])
    if shared <= 0:
        return math.nan, 0.0
    # Imported here, because it imports scipy and matplotlib.pyplot, which takes a second.
    from bjontegaard import bd_linear

    value: Any = bd_linear(
        anchor_x, anchor_y, test_x, test_y, method="pchip", require_matching_points=False, min_overlap=0
    )
    joint = max(anchor_x[-1], test_x[-1]) - min(anchor_x[0], test_x[0])
    return float(value), float(shared / joint)
