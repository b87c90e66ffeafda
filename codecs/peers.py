"""Codecs that a library does whole, as one opaque stage under the same protocol.

They stand in the same tables and plots as the codecs made of our own stages: real bytes out, decoded again.
"""

import io
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..primitives.errors import StreamError
from ..primitives.picture import MAX_PIXELS, check_size
from ..primitives.stage import Stage
from .base import Codec


@dataclass(frozen=True)
class PillowCoded(Stage):
    """One of Pillow's file formats as a stage: image in, file out.

    Attributes:
        format: Pillow's name of the format, such as ``"WEBP"``.
        options: keyword arguments of Pillow's ``save``, as pairs.

    >>> stage = PillowCoded("WEBP", (("quality", 50),))
    >>> stage.inverse(stage.forward(np.zeros((4, 6, 3), np.uint8))).shape
    (4, 6, 3)
    """

    native: ClassVar[bool] = True
    format: str
    options: tuple[tuple[str, object], ...] = ()

    def forward(self, image: np.ndarray) -> bytes:
        """Encode uint8 [H,W,3] or [H,W] into a file of the format."""
        from PIL import Image

        out = io.BytesIO()
        try:
            Image.fromarray(image).save(out, self.format, **dict(self.options))
        except (OSError, ValueError) as error:
            raise ValueError(f"{self.format} cannot code this picture of shape {list(image.shape)}: {error}") from error
        return out.getvalue()

    def inverse(self, data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
        """Decode a file of the format into uint8 [H,W,3] or [H,W]."""
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(io.BytesIO(data), formats=[self.format]) as image:
                check_size((image.height, image.width), max_pixels)
                return np.array(image if image.mode in ("L", "RGB") else image.convert("RGB"))
        except StreamError:
            raise
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise StreamError(f"not a {self.format} file that can be decoded: {error}") from error


def libjpeg(quality=75, subsampling="4:2:0", progressive=False, optimize=False) -> Codec:
    """libjpeg-turbo, as Pillow calls it.

    Args:
        quality: 1 … 100.
        subsampling: ``"4:4:4"``, ``"4:2:2"`` or ``"4:2:0"``.
        progressive: write progressive scans (with optimal Huffman tables, always).
        optimize: compute optimal Huffman tables.
    """
    check_quality(quality)
    if subsampling not in ("4:4:4", "4:2:2", "4:2:0"):
        raise ValueError(f"subsampling is 4:4:4, 4:2:2 or 4:2:0, not {subsampling!r}")
    options = (
        ("quality", int(quality)),
        ("subsampling", subsampling),
        ("progressive", bool(progressive)),
        ("optimize", bool(optimize)),
    )
    return Codec("libjpeg", {"library": PillowCoded("JPEG", options)})


def webp(quality=75, lossless=False, method=4) -> Codec:
    """WebP, as libwebp codes it through Pillow.

    Args:
        quality: 1 … 100; with `lossless`, the effort.
        lossless: code the pixels exactly.
        method: speed against size, 0 (fast) … 6 (small).
    """
    check_quality(quality)
    options = (("quality", int(quality)), ("lossless", bool(lossless)), ("method", int(method)))
    return Codec("webp", {"library": PillowCoded("WEBP", options)})


def check_quality(quality, low=1, high=100) -> None:
    """Refuse a quality outside the scale.

    >>> check_quality(0)
    Traceback (most recent call last):
    ...
    ValueError: quality is a number from 1 to 100, not 0
    """
    if isinstance(quality, bool) or not isinstance(quality, int | float | np.number) or not low <= quality <= high:
        raise ValueError(f"quality is a number from {low} to {high}, not {quality!r}")


def describe(data: bytes) -> tuple[tuple[int, int], int, dict]:
    """Size (H, W), channels and format of an image file that Pillow reads, without decoding its pixels."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as image:
            return (image.height, image.width), 1 if image.mode == "L" else 3, {"format": image.format}
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise StreamError(f"not an image file that can be read: {error}") from error
