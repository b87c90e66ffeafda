"""Codecs of still pictures that Pillow has: JPEG, JPEG 2000, WebP, AVIF, PNG, and JPEG XL with its plug-in.

Files are genuine files of their format. Pictures go in and come out as 8-bit RGB or grey; the colour conversion is the
library's. WebP and AVIF have no grey here, so grey pictures come back as RGB.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from ...primitives.anatomy import Anatomy
from ...primitives.errors import StreamError
from ...primitives.picture import MAX_PIXELS
from ...primitives.stage import Stage
from ..base import Codec
from ..file_formats import HOLDS, extract
from ..file_formats.depth import sample_bits
from ..image_io import STRICT, Reading, image_file, metadata_in, opened, stored_pixels
from ..metadata import describe_profile, orientation_of
from .boxes import anatomy_of_file
from .sides import check_sides

#: Formats whose grey files can have a profile: WebP and AVIF code grey as colour here.
_GREY_PROFILES = ("PNG", "JPEG", "JPEG2000")


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
    unwritten: ClassVar[tuple[str, ...]] = ("options",)

    format: str
    options: tuple[tuple[str, object], ...] = ()

    @property
    def carries(self) -> frozenset[str]:  # type: ignore[override] - what depends on the format is no constant of the class
        """The metadata that files of the format can hold."""
        return frozenset({*HOLDS.get(self.format, ()), *(["grey icc"] if self.format in _GREY_PROFILES else [])})

    def forward(self, image: np.ndarray) -> bytes:
        """Encode uint8 [H,W,3] or [H,W] into a file of the format."""
        check_sides(self.format, image)
        _load_plugin(self.format)
        try:
            return image_file(image, self.format, **dict(self.options))
        except (OSError, RuntimeError, ValueError) as error:
            raise ValueError(f"{self.format} cannot code this picture of shape {list(image.shape)}: {error}") from error

    def inverse(self, data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
        """Decode a file of the format into uint8 [H,W,3] or [H,W]."""
        return self.inverse_file(data, max_pixels, STRICT)

    def inverse_file(self, data: bytes, max_pixels: int, reading: Reading) -> np.ndarray:
        """Decode a file of the format, of any encoder; see `image_io.stored_pixels`."""
        _load_plugin(self.format)
        return stored_pixels(data, reading, max_pixels, [self.format])

    def inverse_partial(self, payload: bytes, max_pixels: int):
        """Files of libraries are decoded whole.

        Raises:
            StreamError: always.
        """
        raise StreamError(f"a part of a {self.format} file is not decoded")

    def anatomy(self, x: np.ndarray, payload: bytes) -> Anatomy:
        """Every field and cost of a JPEG file; the outer structure of others."""
        return anatomy_of_file(payload)


def libjpeg(
    quality: float = 75,
    subsampling: Literal["4:4:4", "4:2:2", "4:2:0"] = "4:2:0",
    progressive: bool = False,
    optimize: bool = False,
) -> Codec:
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


def webp(quality: float = 75, lossless: bool = False, method: int = 4) -> Codec:
    """WebP, as libwebp codes it through Pillow.

    Args:
        quality: 1 … 100; with `lossless`, the effort.
        lossless: code the pixels exactly.
        method: speed against size, 0 (fast) … 6 (small).
    """
    check_quality(quality)
    options = (("quality", int(quality)), ("lossless", bool(lossless)), ("method", int(method)))
    return Codec("webp", {"library": PillowCoded("WEBP", options)})


#: What an OpenJPEG file of nothing takes, in bytes: boxes, markers, empty packets.
_JP2_HEADERS = 220


@dataclass(frozen=True)
class Jpeg2000Coded(PillowCoded):
    """OpenJPEG, told a size: 1/2^(9 − quality / 12.5) of the raw samples' and the headers'.

    Attributes:
        quality: 1 … 100.
    """

    unwritten: ClassVar[tuple[str, ...]] = ("options", "quality")

    format: str = "JPEG2000"
    quality: float = 50

    def forward(self, image: np.ndarray) -> bytes:
        """Encode uint8 [H,W,3] or [H,W]."""
        size = image.size / 2 ** (9 - self.quality / 12.5) + _JP2_HEADERS
        layers = (("quality_mode", "rates"), ("quality_layers", (max(image.size / size, 1.0),)))
        return PillowCoded(self.format, self.options + layers).forward(image)


def jpeg2000(
    quality: float = 50, ratio: float | None = None, decibels: float | None = None, lossless: bool = False
) -> Codec:
    """JPEG 2000 (`.jp2`), as OpenJPEG codes it: wavelet 9/7 and irreversible colour transform, or 5/3 without loss.

    Args:
        quality: 1 … 100: files of 1/2^(9 − quality / 12.5) of the raw samples' size, whatever the picture: OpenJPEG is
            told a size, as for published curves. 12.5 more double the file.
        ratio: instead, the size of the raw samples over that of the file (OpenJPEG's "rate"): 24 / bpp in colour.
        decibels: instead, the PSNR in dB at which OpenJPEG cuts.
        lossless: the reversible transforms, everything kept.

    >>> jpeg2000(ratio=10).setting
    {'quality': None}
    """
    check_quality(quality)
    if sum(map(bool, (ratio, decibels, lossless))) > 1:
        raise ValueError("give one of ratio, decibels and lossless")
    if ratio is not None and not ratio >= 1:
        raise ValueError(f"ratio is a number from 1 up, not {ratio!r}")
    options = (("irreversible", not lossless), ("mct", 1))
    if ratio is None and decibels is None and not lossless:
        return Codec("jpeg2000", {"library": Jpeg2000Coded(options=options, quality=quality)})
    if decibels is not None:
        options += (("quality_mode", "dB"), ("quality_layers", (float(decibels),)))
    elif ratio is not None:
        options += (("quality_mode", "rates"), ("quality_layers", (ratio,)))
    return Codec("jpeg2000", {"library": PillowCoded("JPEG2000", options)}, {"quality": None})


def avif(quality: float = 75, subsampling: Literal["4:4:4", "4:2:2", "4:2:0"] = "4:2:0", speed: int = 6) -> Codec:
    """AVIF, as libavif with libaom codes it through Pillow: the intra pictures of AV1.

    Args:
        quality: 1 … 100.
        subsampling: ``"4:4:4"``, ``"4:2:2"`` or ``"4:2:0"``.
        speed: 0 (slow, small) … 10 (fast).
    """
    check_quality(quality)
    if subsampling not in ("4:4:4", "4:2:2", "4:2:0"):
        raise ValueError(f"subsampling is 4:4:4, 4:2:2 or 4:2:0, not {subsampling!r}")
    check_effort("speed", speed, 0, 10)
    options = (("quality", int(quality)), ("subsampling", subsampling), ("speed", int(speed)), ("max_threads", 1))
    return Codec("avif", {"library": PillowCoded("AVIF", options)})


def png(quality: float = 100, effort: int = 6) -> Codec:
    """PNG: without loss, so there is a single quality.

    Args:
        quality: 100.
        effort: zlib's level, 0 … 9.
    """
    check_quality(quality, 100, 100)
    check_effort("effort", effort, 0, 9)
    return Codec("png", {"library": PillowCoded("PNG", (("compress_level", int(effort)),))})


def jpegxl(quality: float = 75, lossless: bool = False, effort: int = 7) -> Codec:
    """JPEG XL, as libjxl codes it through the package pillow-jxl-plugin.

    Args:
        quality: 1 … 100; libjxl tunes it for the eye ("Butteraugli"), not for PSNR. 100 is without loss.
        lossless: code the pixels exactly.
        effort: 1 (fast) … 10 (small).
    """
    check_quality(quality)
    check_effort("effort", effort, 1, 10)
    exact = bool(lossless) or quality == 100  # libjxl refuses a distance of 0 from its lossy modes
    options = (("quality", int(quality)), ("lossless", exact), ("effort", int(effort)), ("num_threads", 1))
    return Codec("jpegxl", {"library": PillowCoded("JXL", options)}, {"quality": None} if lossless else {})


def _load_plugin(form: str) -> None:
    """Teach Pillow the formats that it has not from itself, and what JPEG 2000 files hold besides pixels."""
    if form == "JPEG2000":
        from . import jpeg2000_files  # noqa: F401
    if form == "JXL":
        try:
            import pillow_jxl  # noqa: F401

            from . import jpegxl_files  # noqa: F401
        except ImportError as error:
            # What begins like a JPEG XL file may come from anywhere, so whoever decodes gets the error of bad streams.
            raise StreamError("JPEG XL needs a plug-in of Pillow: pip install 'codeckit[jpegxl]'") from error


def check_effort(name: str, value, low: int, high: int) -> None:
    """Refuse an effort or speed that is no integer on its scale."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
        raise ValueError(f"{name} is an integer from {low} to {high}, not {value!r}")


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
    """Size (H, W), channels and facts of an image file that Pillow reads, without decoding its pixels."""
    if is_jpegxl(data):
        _load_plugin("JXL")
    image = opened(data)
    try:
        details = {
            "format": image.format,
            "bits": sample_bits(image, data),
            "alpha": image.has_transparency_data,
            "frames": getattr(image, "n_frames", 1),
        }
    except Exception as error:  # whatever a parser raises at damaged bytes
        raise StreamError(f"the image file is damaged: {error}") from error
    extract(data)  # tells of a file whose parts are cut or damaged
    metadata = metadata_in(image, data)
    if (orientation := orientation_of(image)) != 1:
        details["orientation"] = orientation
    if metadata.icc:
        details["profile"] = describe_profile(metadata.icc)
    details |= {f"{name}_bytes": len(data) for name, data in vars(metadata).items() if data}
    return (image.height, image.width), 1 if image.mode[:1] in ("1", "L", "I", "F") else 3, details


#: What JPEG XL files begin with: a bare codestream, or a box that says so.
JPEGXL_MAGICS = (b"\xff\x0a", b"\0\0\0\x0cJXL ")


def is_jpegxl(data: bytes) -> bool:
    """Whether a file begins as JPEG XL does."""
    return data.startswith(JPEGXL_MAGICS)
