"""Crops for a report: the same region of the same pictures, each codec at the setting nearest to one rate.

The rate is the middle (on a logarithmic scale) of the range that all curves share, or of all points if they share none.
For each picture every codec is encoded and decoded once more at the setting whose mean rate is nearest to it. The
region is the one where the decoded pictures differ most among themselves.
"""

import math

import numpy as np

from ..codecs.base import Codec
from ..metrics import bpp, psnr
from ..pages.report import Crop
from .curves import Curve
from .datasets import Dataset, DatasetVideo
from .records import setting_key
from .report import Report

#: Pixels a side of a crop, and pictures that crops are taken of.
SIDE, PICTURES = 176, 3


def matched_rate(curves: tuple[Curve, ...]) -> float:
    """The rate at which curves are compared: the middle of the range that they share.

    >>> from codeckit.bench import Summary
    >>> def curve(*rates):
    ...     return Curve("x", tuple(Summary("x", {}, ("a",), rate, 0.1, 0.1, {}) for rate in rates))
    >>> round(matched_rate((curve(0.25, 4.0), curve(1.0, 8.0))), 3)
    2.0
    """
    low = max(min(point.bpp for point in curve.points) for curve in curves)
    high = min(max(point.bpp for point in curve.points) for curve in curves)
    if low > high:
        low, high = high, low
    return math.sqrt(low * high)


def crops(report: Report, codecs: list[Codec], images: Dataset) -> list[Crop]:
    """Crops of up to three pictures; none of videos, of tokens, or where pictures cannot be shown.

    Args:
        report: says at which settings the curves come near to the common rate.
        codecs: the configured codecs that were measured.
        images: the pictures that were measured.
    """
    known = {(codec.name, setting_key(codec.setting)): codec for codec in codecs}
    curves = [
        curve for curve in report.curves
        if all((point.codec, setting_key(point.setting)) in known for point in curve.points)
    ]  # fmt: skip
    pictures = [image for image in images if image.name in report.images and not isinstance(image, DatasetVideo)]
    if not curves or not pictures:
        return []
    rate = matched_rate(tuple(curves))
    found = []
    for index in sorted({round(n * (len(pictures) - 1) / max(PICTURES - 1, 1)) for n in range(PICTURES)}):
        found += _of_picture(pictures[index], curves, known, rate)
    return found


def _of_picture(image, curves, known, rate):
    original = image.load()
    decoded = []
    for curve in curves:
        point = min(curve.points, key=lambda point: abs(math.log(max(point.bpp, 1e-9) / rate)))
        codec = known[point.codec, setting_key(point.setting)]
        stream = codec.encode(original)
        picture = codec.decode(stream)
        if not isinstance(picture, np.ndarray):
            continue
        picture = picture[..., 0] if picture.ndim > original.ndim else picture
        quality = f"quality {point.setting['quality']}, " if "quality" in point.setting else ""
        ratio = psnr(original, picture)
        told = "lossless" if math.isinf(ratio) else f"{ratio:.2f} dB in the whole picture"
        decoded.append((curve.label, f"{quality}{bpp(len(stream), original.shape):.3f} bpp, {told}", picture))
    if not decoded:
        return []
    region = most_different([original, *(picture for *_, picture in decoded)])
    first = Crop(image.name, "original", "", original[region])
    return [first, *(Crop(image.name, label, detail, picture[region]) for label, detail, picture in decoded)]


def most_different(pictures: list[np.ndarray], side: int = SIDE) -> tuple[slice, slice]:
    """The square of `side` pixels (or less, in small pictures) in which pictures of one size differ most.

    >>> one, other = np.zeros((40, 60)), np.zeros((40, 60))
    >>> other[30, 50] = 9
    >>> region = most_different([one, other], side=8)
    >>> bool(other[region].any()), other[region].shape
    (True, (8, 8))
    """
    stack = np.stack([picture.reshape(*picture.shape[:2], -1).astype(np.float32).mean(2) for picture in pictures])
    spread = stack.var(0)
    height, width = (min(side, extent) for extent in spread.shape)
    sums = np.pad(spread.cumsum(0, dtype=np.float64).cumsum(1), ((1, 0), (1, 0)))
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    y, x = np.unravel_index(int(inside.argmax()), inside.shape)
    return slice(int(y), int(y) + height), slice(int(x), int(x) + width)
