"""Other JPEG encoders: files that every decoder opens, smaller than libjpeg's at the same quality.

MozJPEG chooses coefficients by trellis quantization and searches progressions (through libvips, which is built with it
in the package pyvips-binary). jpegli sets its steps adaptively and computes in more than 8 bits (package pyjpegli).
Files are decoded by libjpeg-turbo.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from ...primitives.anatomy import Anatomy
from ...primitives.picture import MAX_PIXELS
from ...primitives.stage import Stage
from ..base import Codec
from ..file_formats import HOLDS
from .boxes import anatomy_of_file
from .sides import check_sides
from .stills import PillowCoded, check_quality


@dataclass(frozen=True)
class _JpegFile(Stage):
    """What the encoders share: their files are decoded as JPEG."""

    native: ClassVar[bool] = True
    carries: ClassVar[frozenset[str]] = frozenset({*HOLDS["JPEG"], "grey icc"})

    def inverse(self, data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
        """Decode a JPEG file into uint8 [H,W,3] or [H,W]."""
        return PillowCoded("JPEG").inverse(data, max_pixels)

    def anatomy(self, x: np.ndarray, payload: bytes) -> Anatomy:
        """Every field and cost of the file."""
        return anatomy_of_file(payload)


@dataclass(frozen=True)
class MozjpegCoded(_JpegFile):
    """MozJPEG as a stage.

    Attributes:
        quality: 1 … 100.
        subsampling: ``"4:4:4"`` or ``"4:2:0"``.
        tables: MozJPEG's quantization tables: 0 Annex K, 1 flat, 2 tuned for MS-SSIM, 3 its own default, up to 8.
        trellis: choose coefficients by rate and distortion.
    """

    unwritten: ClassVar[tuple[str, ...]] = ("quality", "subsampling", "tables", "trellis")

    quality: int = 75
    subsampling: str = "4:2:0"
    tables: int = 3
    trellis: bool = True

    def forward(self, image: np.ndarray) -> bytes:
        """Encode uint8 [H,W,3] or [H,W]."""
        check_sides("JPEG", image)
        try:
            import pyvips
        except (ImportError, OSError) as error:
            raise ValueError("MozJPEG comes with libvips: pip install 'codeckit[mozjpeg]'") from error

        picture = pyvips.Image.new_from_array(image)
        return picture.jpegsave_buffer(
            Q=self.quality,
            optimize_coding=True,
            interlace=True,
            optimize_scans=self.trellis,
            trellis_quant=self.trellis,
            quant_table=self.tables,
            subsample_mode="off" if self.subsampling == "4:4:4" else "on",
            keep="none",
        )


@dataclass(frozen=True)
class JpegliCoded(_JpegFile):
    """jpegli as a stage: progressive 4:4:4, grey coded as colour.

    Attributes:
        quality: 1 … 100.
    """

    unwritten: ClassVar[tuple[str, ...]] = ("quality",)
    carries: ClassVar[frozenset[str]] = frozenset(HOLDS["JPEG"])

    quality: int = 75

    def forward(self, image: np.ndarray) -> bytes:
        """Encode uint8 [H,W,3] or [H,W]."""
        check_sides("JPEG", image)
        try:
            import pyjpegli
        except ImportError as error:
            raise ValueError("jpegli is a package of its own: pip install 'codeckit[jpegli]'") from error

        height, width = image.shape[:2]
        rgb = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
        return pyjpegli.encode(np.ascontiguousarray(rgb).tobytes(), width, height, self.quality)


def mozjpeg(
    quality: float = 75, subsampling: Literal["4:4:4", "4:2:0"] = "4:2:0", tables: int = 3, trellis: bool = True
) -> Codec:
    """MozJPEG: progressive JPEG with trellis quantization and searched scans.

    Args:
        quality: 1 … 100.
        subsampling: ``"4:4:4"`` or ``"4:2:0"``.
        tables: quantization tables 0 … 8; 1 is flat (best for PSNR), 3 MozJPEG's default.
        trellis: off gives plain optimized progressive files.
    """
    check_quality(quality)
    if subsampling not in ("4:4:4", "4:2:0"):
        raise ValueError(f"subsampling is 4:4:4 or 4:2:0, not {subsampling!r}")
    if tables not in range(9):
        raise ValueError(f"tables is an integer from 0 to 8, not {tables!r}")
    return Codec("mozjpeg", {"library": MozjpegCoded(int(quality), subsampling, int(tables), bool(trellis))})


def jpegli(quality: float = 75) -> Codec:
    """jpegli: adaptive quantization, 4:4:4.

    Args:
        quality: 1 … 100.
    """
    check_quality(quality)
    return Codec("jpegli", {"library": JpegliCoded(int(quality))})
