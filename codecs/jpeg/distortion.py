"""What an error in a JPEG coefficient costs in the decoded picture, for squared error and for MS-SSIM.

The encoder's search needs distortion as a sum over coefficients, each with a weight, Σ w·e². This module makes the
weights from what lies between a coefficient and the metric:

**Colour.** The decoder computes RGB = Y·(1,1,1) + Cb·k_b + Cr·k_r. An error e in Y is an error e in each of three
channels, one in Cb is 1.772·e in B and 0.344·e in G; with the mean over channels Y, Cb, Cr weigh 1, 1.09 and 0.83.
The three directions are not orthogonal: luma, coded *after* chroma, can take back what part of chroma's error lies
along (1,1,1). What cannot be taken back weighs 0.86 and 0.77 (the Schur complement of the Gram matrix).

**Upsampling.** A sample of halved chroma reaches the picture through the triangle filter, whose gain falls with
frequency: coefficient (u, v) weighs g(u)·g(v) with g(0) = 1.9 and g(7) = 0.55.

**The metric.** PSNR sees squared errors everywhere alike. MS-SSIM compares at five scales, each half the size of the
one before, in windows: an error e adds e² / (σ_x² + σ_y² + C₂) to 1 − SSIM at that scale, σ² being the windows'
variances. So its weights are Σ_s importance[b,s] · spectrum[s,k]: in block b, by scale s, the mean of β_s / (2σ² + C₂)
over the windows that the block lies in; and how much of the k-th basis function's energy is left at scale s (after
averaging s times, less what is constant over a window: the windows' variance does not see it).

**Importance.** Where a picture's errors count more (`codecs.importance`), all weights of a block are multiplied by the
mean weight of its pixels.

Source of the metric: Z. Wang, E. P. Simoncelli, A. C. Bovik, "Multi-scale structural similarity for image quality
assessment", Asilomar 2003; window 11, σ 1.5, C₂ = (0.03 · 255)².
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import correlate1d

from ...primitives.color import MATRICES
from ...primitives.dct import dct_matrix
from ...primitives.level_map import pooled
from ...primitives.picture import pad_edge

_KR, _KB = MATRICES["bt601"]

#: RGB (columns) of one unit of Y, Cb and Cr (rows): ITU-T T.871 clause 7.
RGB_OF_PLANE = np.array(
    [
        [1, 1, 1],
        [0, -(2 - 2 * _KB) * _KB / (1 - _KR - _KB), 2 - 2 * _KB],
        [2 - 2 * _KR, -(2 - 2 * _KR) * _KR / (1 - _KR - _KB), 0],
    ]
)

_BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_C2 = (0.03 * 255) ** 2
_WINDOW = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
_WINDOW /= _WINDOW.sum()

#: Makes the MS-SSIM weight of a typical coefficient about 1, so that a quality means about as many bits as for PSNR.
_UNIT = 700.0


@dataclass(frozen=True)
class Weights:
    """Weights of squared errors in one plane's coefficients: ``importance @ spectrum``, [blocks,64] in natural order.

    Attributes:
        importance: float64 [blocks,S].
        spectrum: float64 [S,64].
    """

    importance: np.ndarray
    spectrum: np.ndarray


def plane_weight(plane: int) -> float:
    """Mean squared RGB error of a unit error in Y (0), Cb (1) or Cr (2) that luma does not take back.

    >>> [round(plane_weight(plane), 2) for plane in range(3)]
    [1.0, 0.86, 0.77]
    """
    gram = RGB_OF_PLANE @ RGB_OF_PLANE.T / 3
    return float(gram[plane, plane] - (gram[plane, 0] ** 2 / gram[0, 0] if plane else 0))


@lru_cache(maxsize=2)
def _responses(factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Energy, and energy of the windows' means, that the 8 basis functions leave at each scale: float64 [5,8] twice.

    In one dimension, for a block of 8 samples that each become `factor` pixels.
    """
    length = 64 * 8 * factor
    signals = np.zeros((8, 64 * 8))
    signals[:, 256:264] = dct_matrix(8)
    if factor == 2:
        signals = np.stack([_neighbour_mix(signals, 1), _neighbour_mix(signals, -1)], -1).reshape(8, length)
    energy, means = np.zeros((5, 8)), np.zeros((5, 8))
    for scale in range(5):
        phases = max(1, 2**scale // (8 * factor))  # blocks that a pixel of this scale is made of
        for phase in range(phases):
            pooled = np.roll(signals, 8 * factor * phase, 1).reshape(8, -1, 2**scale).mean(-1)
            smooth = correlate1d(pooled, _WINDOW, mode="constant")
            energy[scale] += 2**scale * (pooled**2).sum(1) / phases
            means[scale] += 2**scale * (smooth**2).sum(1) / phases
    return energy, means


def _neighbour_mix(x, step):
    return 0.75 * x + 0.25 * np.roll(x, step, -1)


def _spectrum(tune: str, v: int, h: int) -> np.ndarray:
    """float64 [S,64] of a plane whose samples are v × h pixels each."""
    (down, down_means), (across, across_means) = _responses(v), _responses(h)
    if tune == "psnr":
        return np.outer(down[0], across[0]).reshape(1, 64)
    products = [np.outer(down[s], across[s]) - np.outer(down_means[s], across_means[s]) for s in range(len(_BETAS))]
    return np.reshape(products, (len(_BETAS), 64))


def _smooth(x: np.ndarray) -> np.ndarray:
    for axis in 0, 1:
        x = correlate1d(x, _WINDOW, axis, mode="nearest")
    return x


def _halved(x: np.ndarray) -> np.ndarray:
    return (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4


class Distortion:
    """How far a decoded picture is from `image`, as the tuned metric sees it.

    Args:
        image: uint8 [H,W,3] or [H,W].
        tune: ``"psnr"`` or ``"ms-ssim"``.
        octaves: errors weigh 2^octaves [H,W] beside that, or the mean of it over a block.

    >>> image = np.zeros((16, 16, 3), np.uint8)
    >>> Distortion(image, "psnr").between(image, image + np.array([3, 0, 0], np.uint8))
    768.0
    """

    def __init__(self, image: np.ndarray, tune: str, octaves: np.ndarray | None = None):
        self.tune = tune
        self._importance = None if octaves is None else 2.0 ** octaves.astype(np.float64)
        if tune == "psnr":
            return
        planes = image if image.ndim == 3 else image[..., None]
        height, width, self._channels = planes.shape
        self._shape = height + -height % 16, width + -width % 16
        # β / (2σ² + C₂) at every window of every scale and channel, in units of _UNIT
        self._windows = [
            [_UNIT * beta / (2 * variance + _C2) for beta, variance in zip(_BETAS, self._variances(plane), strict=True)]
            for plane in np.moveaxis(planes, 2, 0)
        ]

    def _variances(self, plane):
        plane = pad_edge(plane, *self._shape).astype(np.float64)
        for scale in range(len(_BETAS)):
            if scale:
                plane = _halved(plane)
            yield np.maximum(_smooth(plane * plane) - _smooth(plane) ** 2, 0)

    def between(self, image: np.ndarray, decoded: np.ndarray) -> float:
        """Weighted sum of squared errors, mean of the channels; for PSNR the plain sum.

        For MS-SSIM it is near ``700 · pixels · (1 − MS-SSIM)`` where errors are small.
        """
        error = image.astype(np.float64) - decoded
        if self._importance is not None:
            weights = np.sqrt(self._importance)
            error *= weights if error.ndim == 2 else weights[..., None]
        if self.tune == "psnr":
            return float((error**2).sum()) / (3 if error.ndim == 3 else 1)
        error = error if error.ndim == 3 else error[..., None]
        total = 0.0
        for windows, plane in zip(self._windows, np.moveaxis(error, 2, 0), strict=True):
            for scale, variance in enumerate(self._variances(plane)):
                total += 4**scale * float((variance * windows[scale]).sum())
        return total / self._channels

    def weights(self, plane: int, v: int, h: int, grid: tuple[int, int]) -> Weights:
        """Weights of the coefficients of plane 0, 1 or 2, whose samples are v × h pixels, in a grid of blocks."""
        spectrum = plane_weight(plane) * _spectrum(self.tune, v, h)
        places = np.ones((*grid, 1))
        if self._importance is not None:
            places = pooled(self._importance, (8 * v, 8 * h), grid)[..., None]
        if self.tune == "psnr":
            return Weights(places.reshape(-1, 1), spectrum)
        share = RGB_OF_PLANE[plane] ** 2 if self._channels == 3 else np.ones(1)
        importance = np.empty((*grid, len(_BETAS)))
        for scale in range(len(_BETAS)):
            windows = sum(s * channel[scale] for s, channel in zip(share / share.sum(), self._windows, strict=True))
            blocks = _by_block(_smooth(windows), 2**scale, v, h)
            importance[..., scale] = pad_edge(blocks, *grid) if blocks.shape <= grid else blocks[: grid[0], : grid[1]]
        return Weights((places * importance).reshape(-1, len(_BETAS)), spectrum)


def _by_block(windows, pixel, v, h):
    """Means of a map, whose samples are `pixel` × `pixel` picture elements, over blocks of 8v × 8h."""
    if pixel == 16:
        windows, pixel = windows.repeat(2, 0).repeat(2, 1), 8
    down, across = 8 * v // pixel, 8 * h // pixel
    rows, columns = windows.shape[0] // down, windows.shape[1] // across
    return windows[: rows * down, : columns * across].reshape(rows, down, columns, across).mean((1, 3))
