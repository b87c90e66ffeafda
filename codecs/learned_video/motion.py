"""Motion stages: what a frame is predicted by, and its bytes."""

import math

import numpy as np
from numba import njit

from ..learned.lambdas import LAMBDAS


def penalty_at(quality: float) -> float:
    """What a bit of a motion field costs the encoder at a quality, in sums of absolute differences of luma.

    Three tenths of the quantization step at which rate and distortion of a transform codec are balanced (`training.start`).
    """
    table = np.log(LAMBDAS["mse"])
    weight = math.exp(np.interp(quality - 1, np.arange(len(table)), table))
    return 0.3 * math.sqrt(18 / (math.log(2) * weight))


def luma(frame: np.ndarray) -> np.ndarray:
    """The luma [H,W] of RGB [H,W,3], uint8 both, for motion search."""
    return _luma(np.ascontiguousarray(frame))


@njit(cache=True)
def _luma(frame):
    out = np.empty(frame.shape[:2], np.uint8)
    for y in range(frame.shape[0]):
        for x in range(frame.shape[1]):
            out[y, x] = (77 * frame[y, x, 0] + 150 * frame[y, x, 1] + 29 * frame[y, x, 2] + 128) >> 8
    return out
