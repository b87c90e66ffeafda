"""Measures of rate, distortion, information and accuracy. Light: torch is imported when a network is first used.

Each distortion measure is a function and, for tables, a declared `Metric`: the function with its heading, unit, digits
and direction. Wherever codeckit takes a metric's name it also takes a `Metric` or a function of your own,
``metric(reference, image) -> float``, higher for better, on uint8 [H,W,3] or [H,W].
Accuracies of machines that look at decoded pictures are `tasks`.

>>> list_metrics()[:5]
('feature-snr', 'lpips', 'ms-ssim', 'psnr', 'psnr-yuv')
>>> list_metrics()[5]
'weighted-psnr'
"""

from collections.abc import Iterable

from .accuracy import monotone_envelope, paired_interval, rate_at, token_efficiency
from .bjontegaard import BDResult, bd_psnr, bd_rate
from .declared import load, names
from .distortion import ms_ssim, psnr, psnr_yuv, to_decibels
from .features import feature_snr
from .information import CodingCost, class_entropy_bits, coding_cost, conditional_entropy_bits, entropy_bits
from .lpips import lpips
from .measure import Measure, Metric, TooSmallError, UndefinedError
from .rate import bpp
from .weighted import weighted_metric, weighted_psnr

__all__ = [
    "BDResult",
    "CodingCost",
    "Measure",
    "Metric",
    "TooSmallError",
    "UndefinedError",
    "bd_psnr",
    "bd_rate",
    "bpp",
    "class_entropy_bits",
    "coding_cost",
    "conditional_entropy_bits",
    "entropy_bits",
    "feature_snr",
    "list_metrics",
    "lpips",
    "monotone_envelope",
    "ms_ssim",
    "paired_interval",
    "psnr",
    "psnr_yuv",
    "rate_at",
    "resolve",
    "to_decibels",
    "token_efficiency",
    "weighted_metric",
    "weighted_psnr",
]


def list_metrics() -> tuple[str, ...]:
    """Names of all declared metrics: codeckit's own, then ids of those of other distributions."""
    return names("codeckit.metrics")


def resolve(metrics) -> tuple[Metric, ...]:
    """The metrics behind `metrics`, each once.

    Args:
        metrics: one or several of: a declared metric's short name or id, a `Metric`, a function, which is named by
            itself and higher for better.

    Raises:
        ValueError: an unknown name (the message lists the known ones), a function without a name, or two different
            metrics of one name.

    >>> [metric.title for metric in resolve(["psnr", "codeckit:lpips"])]
    ['PSNR', 'LPIPS']
    >>> resolve(["vmaf"])
    Traceback (most recent call last):
    ...
    ValueError: unknown metric 'vmaf'; known: feature-snr, lpips, ms-ssim, psnr, psnr-yuv...; or pass a Metric or ...
    >>> [metric.name for metric in resolve(lambda reference, image: 0.0)]
    ['lambda']
    """
    found: dict[str, Metric] = {}
    for each in metrics if isinstance(metrics, Iterable) and not isinstance(metrics, str) else [metrics]:
        metric = _metric(each)
        if found.setdefault(metric.name, metric) != metric:
            raise ValueError(f"two different metrics are called {metric.name!r}; give one another name")
    return tuple(found.values())


def _metric(given) -> Metric:
    if isinstance(given, Metric):
        return given
    if callable(given):
        name = getattr(given, "__name__", "")
        if not name:
            raise ValueError('a function without a name cannot head a column; wrap it: Metric("name", function)')
        return Metric(name.strip("<>"), given)  # a lambda's is "lambda"
    metric = load("codeckit.metrics", Metric, given) if isinstance(given, str) else None
    if metric is None:
        known = ", ".join(list_metrics())
        raise ValueError(f"unknown metric {given!r}; known: {known}; or pass a Metric or a function (reference, image)")
    return metric
