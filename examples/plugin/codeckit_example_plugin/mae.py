"""Mean absolute error: a metric where lower is better."""

import numpy as np
from codeckit.metrics import Metric
from codeckit.metrics.distortion import check_pair


def mean_absolute_error(reference: np.ndarray, image: np.ndarray) -> float:
    """The mean of |reference − image| over all samples, in grey levels.

    >>> mean_absolute_error(np.zeros((2, 2), np.uint8), np.full((2, 2), 3, np.uint8))
    3.0
    """
    check_pair(reference, image)
    return float(np.abs(reference.astype(int) - image).mean())


MAE = Metric("mae", mean_absolute_error, title="MAE", digits=2, higher_is_better=False)
