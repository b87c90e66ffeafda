"""Distortion: how far a decoded picture is from the original. PSNR and MS-SSIM, higher for better.

They follow the convention of published curves on the Kodak set: uint8 RGB pictures in and out, one value a picture,
and a set's value is the mean of its pictures' values (not the PSNR of the mean error).
"""

import math

import numpy as np

from .measure import Metric, TooSmallError

#: Smallest side MS-SSIM is defined for: four halvings must leave more than the 10 samples that its 11-tap window eats.
MS_SSIM_MIN_SIDE = 161


def psnr(reference: np.ndarray, image: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB over all samples of all components; infinite for identical pictures.

    PSNR = 10 · log10(255² / MSE), where MSE is the mean squared difference over all H·W·C samples. The sum of squares
    is exact (integers), so equal errors give equal values on every machine.

    Args:
        reference, image: uint8 [H,W,3] or [H,W], of one shape.

    Raises:
        ValueError: another dtype, or shapes that differ.

    >>> reference = np.full((2, 2, 3), 100, np.uint8)
    >>> round(psnr(reference, reference + np.uint8(1)), 4)
    48.1308
    """
    check_pair(reference, image)
    difference = reference.astype(np.int32) - image
    squares = int(np.square(difference, out=difference).sum(dtype=np.int64))
    if squares == 0:
        return math.inf
    return 10 * math.log10(255**2 * reference.size / squares)


def psnr_yuv(reference: np.ndarray, image: np.ndarray) -> float:
    """PSNR in dB as video coding reports it: (6 · PSNR_Y + PSNR_Cb + PSNR_Cr) / 8.

    Luma and chroma are those of BT.709, rounded to 8 bits, at every pixel (codecs that halve chroma are measured on
    what they show). Of grey pictures it is `psnr`.

    Source of the weights: J.-R. Ohm et al., "Comparison of the coding efficiency of video coding standards", IEEE
    Transactions on Circuits and Systems for Video Technology 22(12), 2012.

    Args:
        reference, image: uint8 [H,W,3] or [H,W], of one shape.

    Raises:
        ValueError: another dtype, or shapes that differ.

    >>> reference = np.full((2, 2, 3), 100, np.uint8)
    >>> round(psnr_yuv(reference, reference + np.uint8(1)), 4)  # chroma is the same: infinite
    inf
    """
    check_pair(reference, image)
    if reference.ndim == 2:
        return psnr(reference, image)
    from ..primitives.color import rgb_to_ycbcr

    planes = zip(rgb_to_ycbcr(reference, "bt709"), rgb_to_ycbcr(image, "bt709"), strict=True)
    y, cb, cr = (psnr(a, b) for a, b in planes)
    return (6 * y + cb + cr) / 8


def ms_ssim(reference: np.ndarray, image: np.ndarray) -> float:
    """Multi-scale structural similarity, at most 1, and 1 for identical pictures.

    At five scales, each half the size of the one before, the pictures' local means, variances and covariance under an
    11×11 Gaussian window (σ = 1.5) give a map of contrast and structure agreement; the coarsest scale adds luminance.
    The scales' means are multiplied with exponents .0448, .2856, .3001, .2363, .1333. Computed a colour component, then
    averaged over the components, by the package pytorch-msssim (data range 255, float32): what published curves use.

    Source: Z. Wang, E. P. Simoncelli, A. C. Bovik, "Multiscale structural similarity for image quality assessment",
    Asilomar Conference 2003, equation 7.

    Args:
        reference, image: uint8 [H,W,3] or [H,W], of one shape.

    Raises:
        TooSmallError: a side is shorter than 161 samples.
        ValueError: another dtype, or shapes that differ.

    >>> picture = np.zeros((161, 200), np.uint8)
    >>> ms_ssim(picture, picture)
    1.0
    """
    check_pair(reference, image)
    if min(reference.shape[:2]) < MS_SSIM_MIN_SIDE:
        height, width = reference.shape[:2]
        raise TooSmallError(f"MS-SSIM needs sides of at least {MS_SSIM_MIN_SIDE} samples, not {width}×{height}")

    import torch
    from pytorch_msssim import ms_ssim as package_ms_ssim

    def tensor(array):  # [H,W,C] or [H,W] -> [1,C,H,W]
        components = array.reshape(*array.shape[:2], -1).transpose(2, 0, 1)
        return torch.from_numpy(components[None].astype(np.float32))

    with torch.inference_mode():
        return float(package_ms_ssim(tensor(reference), tensor(image), data_range=255))


def to_decibels(similarity: float) -> float:
    """MS-SSIM on the scale of published plots: −10 · log10(1 − MS-SSIM) dB, infinite at 1, NaN for NaN.

    MS-SSIM crowds towards 1; on this scale halving what is missing is 3 dB everywhere.

    >>> round(to_decibels(0.99), 3)
    20.0
    """
    return math.inf if similarity >= 1 else -10 * math.log10(1 - similarity)


def check_pair(reference: np.ndarray, image: np.ndarray) -> None:
    """Refuse what cannot be compared: both must be uint8, of one shape, [H,W,3] or [H,W].

    >>> check_pair(np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8))
    Traceback (most recent call last):
    ...
    ValueError: the pictures differ in shape: (4, 4) and (4, 5)
    """
    for array in (reference, image):
        if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
            kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise ValueError(f"pictures are compared as uint8 arrays, not as {kind}")
    if reference.shape != image.shape:
        raise ValueError(f"the pictures differ in shape: {reference.shape} and {image.shape}")
    if reference.size == 0 or not (reference.ndim == 2 or (reference.ndim == 3 and reference.shape[2] == 3)):
        raise ValueError(f"a picture is an array [H,W,3] or [H,W] with pixels, not of shape {reference.shape}")


PSNR = Metric("psnr", psnr, title="PSNR", unit="dB", digits=2, axis="PSNR (dB, RGB)")

PSNR_YUV = Metric("psnr-yuv", psnr_yuv, title="PSNR-YUV", unit="dB", digits=2, axis="PSNR (dB, Y Cb Cr 6:1:1)")

MS_SSIM = Metric(
    "ms-ssim", ms_ssim, title="MS-SSIM", digits=4, scale=to_decibels, scale_unit="dB",
    axis="MS-SSIM (dB, −10·log₁₀(1 − MS-SSIM))",
)  # fmt: skip
