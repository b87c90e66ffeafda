"""Rate against accuracy: what curves of a task's accuracy need beyond those of PSNR.

Accuracy is a mean over few pictures and does not always rise with the rate. So

- a difference to the uncompressed pictures comes with a *paired bootstrap* interval: pictures are drawn with
  replacement, again and again, and the difference is taken over the same pictures each time, which leaves out how hard
  the pictures are (B. Efron, R. J. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13);
- curves are replaced by their *monotone envelope* before they are compared at equal accuracy: points that another point
  of the same codec beats in both are left out;
- `rate_at` reads a curve at an accuracy, such as that of the uncompressed pictures less one point;
- `token_efficiency` is one number for every codec, pixels or tokens: η = I(Z;Y) / I(X;Z) (arXiv 2601.20742), measured
  as bits that the task gains per bit that was coded.
"""

import math

import numpy as np

#: Samples that a bootstrap interval draws.
RESAMPLES = 2000


def paired_interval(values, reference, level=0.95, seed=0, from_counts=None) -> tuple[float, float, float]:
    """Difference of a set's value between paired pictures, and its bootstrap interval: (difference, low, high).

    Args:
        values, reference: one value a picture [N], in the same order; with `from_counts`, counts [N,n].
        level: of the interval; its ends are percentiles over `RESAMPLES` resampled sets.
        seed: of the resampling, so that it is repeatable.
        from_counts: None where a set's value is the mean of its pictures'; else the value of summed counts [n]
            (`Measure.from_counts`). Sets for which it is NaN (nothing to find was drawn) are left out.

    Raises:
        ValueError: different numbers of values, or none.

    >>> paired_interval([1, 1, 1, 0], [1, 1, 1, 1])
    (-0.25, -0.75, 0.0)
    >>> def recall(counts):
    ...     return counts[0] / counts.sum()
    >>> paired_interval([[3, 1], [1, 3]], [[4, 0], [4, 0]], from_counts=recall)
    (-0.5, -0.75, -0.25)
    """
    values, reference = np.asarray(values, np.float64), np.asarray(reference, np.float64)
    if values.ndim != (1 if from_counts is None else 2) or values.shape != reference.shape or not values.size:
        raise ValueError(f"paired values are two lists of one length, not {values.shape} and {reference.shape}")
    drawn = np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))
    if from_counts is None:
        differences = values - reference
        difference, resampled = differences.mean(), differences[drawn].mean(1)
    else:
        difference = from_counts(values.sum(0)) - from_counts(reference.sum(0))
        resampled = [from_counts(values[rows].sum(0)) - from_counts(reference[rows].sum(0)) for rows in drawn]
    low, high = np.nanquantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return float(difference), float(low), float(high)


def monotone_envelope(rate, quality) -> np.ndarray:
    """The points that no other point beats in both rate and quality, in order of rate: float64 [n,2], both rising.

    Points that are not finite are left out.

    >>> monotone_envelope([1, 2, 3, 4], [50, 70, 65, 80]).tolist()
    [[1.0, 50.0], [2.0, 70.0], [4.0, 80.0]]
    """
    kept = []
    pairs = zip(np.asarray(rate, np.float64).tolist(), np.asarray(quality, np.float64).tolist(), strict=True)
    for r, q in sorted((pair for pair in pairs if np.isfinite(pair).all()), key=lambda pair: (pair[0], -pair[1])):
        if not kept or q > kept[-1][1]:
            kept.append((r, q))
    return np.array(kept, np.float64).reshape(-1, 2)


def rate_at(rate, quality, target: float) -> float:
    """The rate at which a curve's monotone envelope reaches a quality; NaN if it does not.

    Between two points the logarithm of the rate is interpolated; a curve whose first point reaches it has that rate.

    >>> rate_at([1, 4], [60, 80], 70), rate_at([1, 4], [60, 80], 50), rate_at([1, 4], [60, 80], 90)
    (2.0, 1.0, nan)
    """
    points = monotone_envelope(rate, quality)
    if not len(points):
        return math.nan
    reached = np.flatnonzero(points[:, 1] >= target)
    if not len(reached):
        return math.nan
    n = reached[0]
    if n == 0:
        return float(points[0, 0])
    (r0, q0), (r1, q1) = points[n - 1], points[n]
    return float(r0 * (r1 / r0) ** ((target - q0) / (q1 - q0)))


def token_efficiency(information, n_bytes) -> float:
    """η: bits of information about the label per coded bit, mean over mean.

    Args:
        information: a task's measure ``information``, in bits, one value a picture.
        n_bytes: size of each picture's stream, in bytes.

    >>> token_efficiency([8.0, 9.6], [100, 120])
    0.01
    """
    return float(np.mean(information) / (8 * np.mean(n_bytes)))
