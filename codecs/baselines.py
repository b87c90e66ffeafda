"""Baselines that every table of task accuracy carries: nothing done, and the simplest thing that could be done.

- `uncompressed`: the samples as they are. Its accuracy is the ceiling that all others are measured against.
- `downsample`: the picture made smaller and saved as an ordinary JPEG, and made large again by whoever reads it. A
  machine that looks at 224 × 224 pixels needs no more, so a codec has to beat this (arXiv 2510.07143 found that many
  ways of dropping tokens do not).
"""

import io
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..primitives.bitstream import ByteReader, ByteWriter
from ..primitives.errors import StreamError
from ..primitives.picture import MAX_PIXELS, check_size
from ..primitives.stage import Stage
from .base import Codec
from .entry import Entry
from .registry import codec

DOWNSAMPLE = Entry(
    name="downsample",
    family="baseline",
    media="image",
    quality=(1, 8),
    whole=True,
    summary="the picture made smaller and saved as JPEG: the baseline of task accuracy",
    factory="codeckit.codecs.baselines:downsample",
)

UNCOMPRESSED = Entry(
    name="uncompressed",
    family="baseline",
    media="image",
    quality=(1, 1),
    summary="the samples as they are: the ceiling of task accuracy",
    factory="codeckit.codecs.baselines:uncompressed",
)

#: Quality of the JPEG that a smaller picture is saved as.
_JPEG_QUALITY = 75


@dataclass(frozen=True)
class RawCoded(Stage):
    """An image as its size, number of components and samples.

    >>> image = np.arange(12, dtype=np.uint8).reshape(2, 6)
    >>> stage = RawCoded()
    >>> len(stage.forward(image)), bool((stage.inverse(stage.forward(image)) == image).all())
    (15, True)
    """

    def forward(self, image: np.ndarray) -> bytes:
        """Return the payload."""
        return _head(image) + image.tobytes()

    def inverse(self, payload: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
        """Return the image.

        Raises:
            StreamError: the samples are too few or too many.
        """
        reader = ByteReader(payload)
        size, channels = _read_head(reader, max_pixels)
        samples = np.frombuffer(reader.rest(), np.uint8)
        shape = (*size, 3) if channels == 3 else size
        if samples.size != np.prod(shape):
            raise StreamError(f"{samples.size} samples for a picture {list(shape)}")
        return samples.reshape(shape).copy()

    def describe(self, payload: bytes) -> tuple[tuple[int, int], str]:
        """Size (H, W) and colour model."""
        size, channels = _read_head(ByteReader(payload), 1 << 62)
        return size, "grey" if channels == 1 else "rgb"


@dataclass(frozen=True)
class DownsampledCoded(RawCoded):
    """An image made smaller and saved as a JPEG of quality 75, 4:2:0; the inverse makes it large again.

    Smaller by Lanczos, larger by bicubic interpolation.

    Attributes:
        eighths: side of the smaller picture in eighths of the original's, 1 … 8.
    """

    unwritten: ClassVar[tuple[str, ...]] = ("eighths",)  # the sizes travel with the picture

    eighths: int = 8

    def __post_init__(self):
        if isinstance(self.eighths, bool) or not isinstance(self.eighths, int) or not 1 <= self.eighths <= 8:
            raise ValueError(f"quality is a whole number from 1 to 8 (eighths of the sides), not {self.eighths!r}")

    def forward(self, image: np.ndarray) -> bytes:
        """Return the payload: the size, and a JPEG file."""
        from PIL import Image

        height, width = (max(1, round(extent * self.eighths / 8)) for extent in image.shape[:2])
        small = Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS)
        out = io.BytesIO()
        small.save(out, "JPEG", quality=_JPEG_QUALITY, subsampling="4:2:0", optimize=True)
        return _head(image) + out.getvalue()

    def inverse(self, payload: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
        """Return the image in its full size.

        Raises:
            StreamError: the JPEG is damaged or does not fit.
        """
        from PIL import Image, UnidentifiedImageError

        reader = ByteReader(payload)
        (height, width), channels = _read_head(reader, max_pixels)
        mode = "RGB" if channels == 3 else "L"
        try:
            with Image.open(io.BytesIO(reader.rest()), formats=["JPEG"]) as small:
                if small.mode != mode or small.width > width or small.height > height:
                    raise StreamError(
                        f"the JPEG inside is {small.mode} {small.size}, no smaller {mode} {width, height}"
                    )
                return np.array(small.resize((width, height), Image.Resampling.BICUBIC))
        except StreamError:
            raise
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise StreamError(f"the JPEG inside is damaged: {error}") from error


def _head(image):
    out = ByteWriter()
    out.varint(image.shape[0])
    out.varint(image.shape[1])
    out.byte(3 if image.ndim == 3 else 1)
    return out.getvalue()


def _read_head(reader, max_pixels):
    size, channels = (reader.varint(), reader.varint()), reader.byte()
    check_size(size, max_pixels)
    if channels not in (1, 3):
        raise StreamError(f"{channels} components; pictures have 1 or 3")
    return size, channels


def uncompressed() -> Codec:
    """The samples as they are, 24 bits a pixel (8 for grey)."""
    return Codec("uncompressed", {"entropy": RawCoded()})


def downsample(quality: int = 4) -> Codec:
    """The picture made smaller and saved as JPEG.

    Args:
        quality: side of the smaller picture in eighths of the original's, 1 … 8.
    """
    return Codec("downsample", {"entropy": DownsampledCoded(quality)})


def baselines() -> list[Codec]:
    """The codecs that `evaluate` adds where tasks are measured."""
    return [codec("uncompressed"), *(codec("downsample", quality=eighths) for eighths in (1, 2, 3, 4, 6, 8))]
