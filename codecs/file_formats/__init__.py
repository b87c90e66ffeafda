"""Metadata of picture files, on bytes: read it from a file, write it into one, without touching the coded pixels.

Libraries that code pixels know little of what stands around them: some write no profile, some read no Exif. But a file
is a list of labelled parts in every format (JPEG segments, PNG and RIFF chunks, ISO boxes), so metadata can be put in
and taken out as parts. Each module has an inverse pair, ``extract(data)`` and ``insert(data, metadata)``:

- ``extract(insert(data, metadata)) == metadata``. `insert` replaces: a kind that `metadata` leaves empty is removed.
- Coded pixels stay as they are, to the byte.

===========  =================================  ==========================================================
format       kinds                              where
===========  =================================  ==========================================================
JPEG         exif, icc, xmp, comment            segments APP1, APP2, COM (`jpeg`)
PNG          exif, icc, xmp, comment            chunks eXIf, iCCP, iTXt, tEXt (`png`)
WebP         exif, icc, xmp                     chunks EXIF, ICCP, XMP (`webp`)
AVIF         exif, icc, xmp                     items of the box ``meta``, property ``colr`` (`avif`)
JPEG 2000    exif, icc, xmp                     boxes ``uuid``, ``colr``; none in a bare codestream (`jp2`)
JPEG XL      exif, xmp                          boxes ``Exif``, ``xml `` (`jxl`); the profile is entropy-coded
===========  =================================  ==========================================================
"""

import importlib

from ...primitives.errors import StreamError
from ..metadata import Metadata

#: Kinds of metadata that files of a format hold, by Pillow's name of the format.
HOLDS = {
    "JPEG": ("exif", "icc", "xmp", "comment"),
    "PNG": ("exif", "icc", "xmp", "comment"),
    "WEBP": ("exif", "icc", "xmp"),
    "AVIF": ("exif", "icc", "xmp"),
    "JPEG2000": ("exif", "icc", "xmp"),
    "JXL": ("exif", "xmp"),
}

_MODULES = {"JPEG": "jpeg", "PNG": "png", "WEBP": "webp", "AVIF": "avif", "JPEG2000": "jp2", "JXL": "jxl"}


def format_of(data: bytes) -> str:
    """Pillow's name of a file's format, if it is one whose metadata we know; else an empty string.

    >>> format_of(b"\\x89PNG\\r\\n\\x1a\\n"), format_of(b"GIF89a")
    ('PNG', '')
    """
    if data[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:4] == b"\xff\x4f\xff\x51" or data[4:12] == b"jP  \r\n\x87\n":
        return "JPEG2000"
    if data[:2] == b"\xff\x0a" or data[4:12] == b"JXL \r\n\x87\n":
        return "JXL"
    if set(brands(data)) & {b"avif", b"avis"}:
        return "AVIF"
    return ""


def brands(data: bytes) -> tuple[bytes, ...]:
    """The brands of an ISO base media file (ISO/IEC 14496-12, 4.3): the major one, then the compatible ones.

    >>> brands(b"\\0\\0\\0\\x18ftypmif1\\0\\0\\0\\0mif1avif")
    (b'mif1', b'mif1', b'avif')
    """
    if data[4:8] != b"ftyp":
        return ()
    end = min(int.from_bytes(data[:4], "big"), len(data))
    return tuple(data[at : at + 4] for at in (8, *range(16, end - 3, 4)))


def extract(data: bytes) -> Metadata:
    """The metadata of a file of one of the six formats; none for any other file.

    Raises:
        StreamError: the file's structure is damaged.

    >>> extract(b"GIF89a")
    Metadata(exif=b'', icc=b'', xmp=b'', comment=b'')
    """
    form = format_of(data)
    return _module(form).extract(data) if form else Metadata()


def insert(data: bytes, metadata: Metadata) -> bytes:
    """A file with that metadata instead of what it had.

    Raises:
        StreamError: not one of the six formats, or its structure is damaged.
        ValueError: the format cannot hold a kind of metadata, or not so much of it.

    >>> import codeckit, numpy as np
    >>> data = codeckit.codec("webp").encode(np.zeros((8, 8, 3), np.uint8))
    >>> extract(insert(data, Metadata(xmp=b"<x/>")))
    Metadata(exif=b'', icc=b'', xmp=b'<x/>', comment=b'')
    """
    form = format_of(data)
    if not form:
        raise StreamError(f"metadata goes into files of {', '.join(HOLDS)}; these bytes are none of them")
    for kind in ("exif", "icc", "xmp", "comment"):
        if getattr(metadata, kind) and kind not in HOLDS[form]:
            raise ValueError(f"a {form} file holds {', '.join(HOLDS[form])} here, but no {kind}: leave it out")
    return _module(form).insert(data, metadata)


def _module(form: str):
    return importlib.import_module(f".{_MODULES[form]}", __name__)
