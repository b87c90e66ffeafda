"""Metadata of JPEG XL files (ISO/IEC 18181-2): Exif and XMP in boxes of their own; and what the picture's header says.

A bare codestream begins with FF 0A. With metadata it stands in a box ``jxlc`` (or several ``jxlp``) of a container. The
colour profile is no box: the codestream holds it entropy-coded, or holds a few numbers from which decoders make one. So
the decoder reads it, and it cannot be exchanged on bytes. Boxes ``brob`` hold other boxes compressed by Brotli, as
libjxl's tools write them; without the package ``brotli`` (1.2), a warning says that they are left out.
"""

import warnings
from dataclasses import dataclass

from ...primitives.errors import StreamError
from ..metadata import Metadata
from . import boxes
from .boxes import Box

_SIGNATURE = Box(b"JXL ", b"\r\n\x87\n")
_TYPE = Box(b"ftyp", b"jxl \0\0\0\0jxl ")

#: The largest metadata that are unpacked, in bytes.
_LARGEST = 1 << 26


def is_codestream(data: bytes) -> bool:
    """Whether a file is a bare codestream."""
    return data[:2] == b"\xff\x0a"


def extract(data: bytes) -> Metadata:
    """Exif and XMP; the first one of a kind counts. The profile is the decoder's to tell.

    Raises:
        StreamError: not made of boxes.
    """
    exif = xmp = b""
    for box in [] if is_codestream(data) else boxes.read(data, cut=True):
        kind = _kind(box)
        if kind == b"Exif":
            exif = exif or _exif(_contents(box))
        elif kind == b"xml ":
            xmp = xmp or _contents(box)
    return Metadata(exif=exif, xmp=xmp)


def insert(data: bytes, metadata: Metadata) -> bytes:
    """The file with that metadata; a bare codestream without any stays bare.

    Exif in front of the codestream and XMP with it, so that readers know them before they decode.

    Raises:
        StreamError: not made of boxes.
    """
    new = []
    if metadata.exif:
        new.append(Box(b"Exif", bytes(4) + metadata.exif))  # the offset of the TIFF header: it follows at once
    if metadata.xmp:
        new.append(Box(b"xml ", metadata.xmp))
    if is_codestream(data):
        return boxes.write([_SIGNATURE, _TYPE, *new, Box(b"jxlc", data)]) if new else data
    kept = [box for box in boxes.read(data) if _kind(box) not in (b"Exif", b"xml ")]
    front = [box for box in kept if box.kind in (b"JXL ", b"ftyp", b"jxll")]  # these come first
    return boxes.write(front + new + [box for box in kept if box not in front])


def _kind(box: Box) -> bytes:
    return box.contents[:4] if box.kind == b"brob" else box.kind


def _contents(box: Box) -> bytes:
    if box.kind != b"brob":
        return box.contents
    try:
        import brotli  # pyright: ignore[reportMissingImports] - optional

        limits = hasattr(brotli.Decompressor, "can_accept_more_data")  # to the output, since 1.2
    except ImportError:
        limits = False
    if not limits:
        warnings.warn("compressed metadata of a JPEG XL file are left out: pip install 'brotli>=1.2'", stacklevel=3)
        return b""
    unpacker = brotli.Decompressor()
    try:
        found = unpacker.process(box.contents[4:], output_buffer_limit=_LARGEST)
    except brotli.error as error:
        raise StreamError("the JPEG XL file is damaged: metadata that cannot be unpacked") from error
    if not unpacker.is_finished():
        raise StreamError(f"the JPEG XL file is damaged: metadata that are cut, or of more than {_LARGEST} bytes")
    return found


def _exif(contents: bytes) -> bytes:
    """The TIFF structure in a box ``Exif``: behind the offset in front. Some writers leave that out."""
    if contents[:4] in (b"II*\0", b"MM\0*"):
        return contents
    return contents[4 + int.from_bytes(contents[:4], "big") :].removeprefix(b"Exif\0\0")


@dataclass(frozen=True)
class Header:
    """The beginning of a codestream's header (ISO/IEC 18181-1, Annex D).

    Attributes:
        size: (H, W).
        orientation: as Exif counts it, 1 … 8; decoders turn the picture.
        animated: whether there are several frames.
        bits: per sample.
        floating: whether samples are floating-point numbers.
    """

    size: tuple[int, int]
    orientation: int = 1
    animated: bool = False
    bits: int = 8
    floating: bool = False


def header(data: bytes) -> Header:
    """Size, orientation, animation and depth of a file, without decoding it.

    Raises:
        StreamError: no codestream.

    >>> header(bytes.fromhex("ff0a874150dc080800010059"))
    Header(size=(32, 40), orientation=1, animated=False, bits=8, floating=False)
    """
    if not is_codestream(data):
        found = boxes.read(data, cut=True)
        parts = [box.contents[4:] for box in found if box.kind == b"jxlp"]
        data = next((box.contents for box in found if box.kind == b"jxlc"), b"".join(parts))
    if not is_codestream(data):
        raise StreamError("the JPEG XL file is damaged: it has no codestream")
    bits = _Bits(data[2:200])
    size = bits.size()
    if bits.take(1):  # everything as usual
        return Header(size)
    orientation, animated = 1, False
    if bits.take(1):
        orientation = bits.take(3) + 1
        if bits.take(1):
            bits.size()  # of display
        if bits.take(1):
            bits.preview()
        if bits.take(1):
            animated = True
            bits.animation()
    floating = bool(bits.take(1))
    if floating:
        return Header(size, orientation, animated, bits.choice((32, 0), (16, 0), (24, 0), (1, 6)), True)
    return Header(size, orientation, animated, bits.choice((8, 0), (10, 0), (12, 0), (1, 6)))


class _Bits:
    """Reads the header's bits, each byte from its lowest bit on (Annex B)."""

    #: Widths by heights: W = H · numerator / denominator.
    RATIOS = (None, (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))

    def __init__(self, data: bytes):
        self.value, self.left = int.from_bytes(data, "little"), 8 * len(data)

    def take(self, n: int) -> int:
        if n > self.left:
            raise StreamError("the JPEG XL file is cut: it ends inside its header")
        found = self.value & (1 << n) - 1
        self.value, self.left = self.value >> n, self.left - n
        return found

    def choice(self, *distributions: tuple[int, int]) -> int:
        """One of four (offset, bits), which two bits choose."""
        offset, n = distributions[self.take(2)]
        return offset + self.take(n)

    def size(self) -> tuple[int, int]:
        if self.take(1):
            return self._sides(lambda: 8 * (self.take(5) + 1))
        return self._sides(lambda: self.choice((1, 9), (1, 13), (1, 18), (1, 30)))

    def preview(self) -> tuple[int, int]:
        if self.take(1):
            return self._sides(lambda: 8 * self.choice((16, 0), (32, 0), (1, 5), (33, 9)))
        return self._sides(lambda: self.choice((1, 6), (65, 8), (321, 10), (1345, 12)))

    def _sides(self, side) -> tuple[int, int]:
        height = side()
        ratio = self.RATIOS[self.take(3)]
        return height, side() if ratio is None else height * ratio[0] // ratio[1]

    def animation(self) -> None:
        self.choice((100, 0), (1000, 0), (1, 10), (1, 30))  # ticks a second, numerator
        self.choice((1, 0), (1001, 0), (1, 8), (1, 10))  # and denominator
        self.choice((0, 0), (0, 3), (0, 16), (0, 32))  # loops
        self.take(1)  # time codes
