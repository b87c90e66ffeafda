"""Measures of rate, distortion, information and accuracy. Light: torch is imported when a network is first used.

`METRICS` holds the distortion measures by the names that tables use. Wherever codeckit takes a metric's name it also
takes a function of your own, ``metric(reference, image) -> float``, higher for better, on uint8 [H,W,3] or [H,W].
Accuracies of machines that look at decoded pictures are `tasks`.

>>> sorted(METRICS)
['feature-snr', 'lpips', 'ms-ssim', 'psnr', 'psnr-yuv']
"""

from .accuracy import monotone_envelope, paired_interval, rate_at, token_efficiency
from .bjontegaard import BDResult, bd_psnr, bd_rate
from .distortion import TooSmallError, UndefinedError, ms_ssim, psnr, psnr_yuv, to_decibels
from .features import feature_snr
from .information import CodingCost, class_entropy_bits, coding_cost, conditional_entropy_bits, entropy_bits
from .lpips import lpips
from .rate import bpp

#: Distortion measures by name.
METRICS = {"psnr": psnr, "psnr-yuv": psnr_yuv, "ms-ssim": ms_ssim, "lpips": lpips, "feature-snr": feature_snr}

__all__ = [
    "METRICS",
    "BDResult",
    "CodingCost",
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
]


def resolve(metrics) -> dict:
    """The functions behind `metrics`, by name: each entry is a name in `METRICS` or a function, named by itself.

    Raises:
        ValueError: an unknown name; the message lists the known ones.

    >>> resolve(["psnr"]) == {"psnr": psnr}
    True
    >>> resolve(["vmaf"])
    Traceback (most recent call last):
    ...
    ValueError: unknown metric 'vmaf'; known: psnr, psnr-yuv, ms-ssim, lpips, feature-snr; or pass a function...
    """
    if isinstance(metrics, str) or callable(metrics):
        metrics = [metrics]
    functions = {}
    for metric in metrics:
        if callable(metric):
            functions[metric.__name__] = metric
        elif metric in METRICS:
            functions[metric] = METRICS[metric]
        else:
            known = ", ".join(METRICS)
            raise ValueError(f"unknown metric {metric!r}; known: {known}; or pass a function (reference, image)")
    return functions
