"""PSNR of errors that do not count the same everywhere: what encoding with an importance improves.

Weights are those of `codecs.importance`: 2^o(x) at the pixel x, with octaves o of mean 0. Divided by their sum they are
a distribution over the picture, and weighted PSNR is that of the mean error under it. Without an importance all weights
are alike, and it is PSNR.
"""

import functools
import math
from typing import Any

import numpy as np

from ..codecs.importance import importance as importance_of
from .distortion import check_pair
from .measure import Metric


def weighted_psnr(
    reference: np.ndarray, image: np.ndarray, importance: Any = "attention", strength: float | None = None
) -> float:
    """PSNR in dB with squared errors weighed by an importance; infinite for identical pictures.

    Args:
        reference, image: uint8 [H,W,3] or [H,W], of one shape.
        importance, strength: as codecs take them (`codecs.importance`); the map is that of the reference.

    Raises:
        ValueError: another dtype, shapes that differ, or an importance that is none.

    >>> reference = np.zeros((2, 4), np.uint8)
    >>> image = reference.copy(); image[:, 0] = 9
    >>> for region in "roi:0,0,2,2", "roi:2,0,2,2":
    ...     print(round(weighted_psnr(reference, image, region), 2))
    32.32
    44.36
    """
    check_pair(reference, image)
    known = importance_of(importance, strength)
    weights = 2.0 ** known.octaves(reference).astype(np.float64) if known else np.ones(reference.shape[:2])
    squares = ((reference.astype(np.float64) - image) ** 2).reshape(*reference.shape[:2], -1).mean(2)
    mean = float((weights * squares).sum() / weights.sum())
    return 10 * math.log10(255**2 / mean) if mean else math.inf


def weighted_metric(importance: Any, strength: float | None = None) -> Metric:
    """The metric of an importance, for `evaluate` and `compare`.

    >>> weighted_metric("roi:0,0,2,2").name
    'weighted-psnr'
    """
    known = importance_of(importance, strength)
    function = functools.partial(weighted_psnr, importance=known)
    return Metric("weighted-psnr", function, title="weighted PSNR", unit="dB", digits=2)


#: The one of attention, which needs no more than the picture.
WEIGHTED_PSNR = weighted_metric("attention")
