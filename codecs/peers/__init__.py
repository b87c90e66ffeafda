"""Still-picture codecs that a library does whole, as one opaque stage under the same protocol.

They stand in the same tables and plots as the codecs made of shared stages: real bytes out, decoded again. Names are
imported at first use.
"""

import lazy_loader

from ..entry import Entry, Magic


def _entry(
    name: str,
    summary: str,
    extension: str,
    magic: Magic = (),
    brands: tuple[bytes, ...] = (),
    quality: tuple[float, float] = (1, 100),
    whole: bool = True,
    module: str = "stills",
    quality_steps: int = 1,
    requires: tuple[str, ...] = (),
) -> Entry:
    """What the entries share."""
    return Entry(
        name=name,
        family="library",
        media="image",
        quality=quality,
        whole=whole,
        quality_steps=quality_steps,
        summary=summary,
        factory=f"codeckit.codecs.peers.{module}:{name}",
        extension=extension,
        magic=magic,
        brands=brands,
        describer="codeckit.codecs.peers.stills:describe",
        requires=requires,
        install=f"pip install 'codeckit[{name}]'" if requires else "",
    )


LIBJPEG = _entry("libjpeg", "libjpeg-turbo, through Pillow", ".jpg")
WEBP = _entry("webp", "WebP (libwebp), through Pillow", ".webp", (((0, b"RIFF"), (8, b"WEBP")),))
# A picture, or a sequence; the brand may stand after others (mif1: any picture of HEIF).
AVIF = _entry("avif", "AVIF (libaom), through Pillow", ".avif", brands=(b"avif", b"avis"))
PNG = _entry("png", "PNG: lossless", ".png", (((0, b"\x89PNG\r\n\x1a\n"),),), quality=(100, 100))
# A JPEG 2000 or JPEG XL file is a container of boxes, or a bare codestream.
JPEG2000 = _entry(
    "jpeg2000",
    "JPEG 2000 (OpenJPEG), through Pillow",
    ".jp2",
    (((0, b"\0\0\0\x0cjP  \r\n\x87\n"),), ((0, b"\xff\x4f\xff\x51"),)),
    whole=False,
    quality_steps=8,
)
JPEGXL = _entry(
    "jpegxl",
    "JPEG XL (libjxl)",
    ".jxl",
    (((0, b"\xff\x0a"),), ((0, b"\0\0\0\x0cJXL \r\n\x87\n"),)),
    requires=("pillow_jxl",),
)
MOZJPEG = _entry(
    "mozjpeg", "MozJPEG: JPEG with trellis quantization", ".jpg", module="jpeg_encoders", requires=("pyvips",)
)
JPEGLI = _entry(
    "jpegli", "jpegli: JPEG with adaptive quantization", ".jpg", module="jpeg_encoders", requires=("pyjpegli",)
)

__getattr__, __dir__, _lazy = lazy_loader.attach_stub(__name__, __file__)
__all__ = ["AVIF", "JPEG2000", "JPEGLI", "JPEGXL", "LIBJPEG", "MOZJPEG", "PNG", "WEBP", *_lazy]
