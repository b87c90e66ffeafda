"""Metadata of JPEG 2000 files (ISO/IEC 15444-1 Annex I): the profile in a box ``colr``, Exif and XMP in boxes ``uuid``.

The box ``jp2h`` describes the picture, one ``colr`` in it the colours: by a number (16 is sRGB, 17 grey) or by a
profile. A profile of method 2 is one that every reader can evaluate, a matrix or a grey curve; any other is method 3
(15444-2, M.11.7.3). A bare codestream (`.j2k`) has no boxes and so no metadata.
"""

from ...primitives.errors import StreamError
from ..metadata import Metadata
from . import boxes
from .boxes import Box

_XMP = bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC")
_EXIF = b"JpgTiffExif->JP2"
#: How Adobe's programs label Exif.
_ADOBE_EXIF = bytes.fromhex("0537CDAB9D0C4431A72AFA561F2A113E")

_ENUMERATED, _RESTRICTED, _ANY = 1, 2, 3


def is_codestream(data: bytes) -> bool:
    """Whether a file is a bare codestream: it begins with SOC and SIZ."""
    return data[:4] == b"\xff\x4f\xff\x51"


def extract(data: bytes) -> Metadata:
    """The metadata in the boxes; the first one of a kind counts."""
    exif = icc = xmp = b""
    for box in [] if is_codestream(data) else boxes.read(data, cut=True):
        label, contents = box.contents[:16], box.contents[16:]
        if box.kind == b"jp2h":
            profiles = [colr.contents[3:] for colr in boxes.read(box.contents) if _is_profile(colr)]
            icc = icc or next(iter(profiles), b"")
        elif box.kind == b"uuid" and label in (_EXIF, _ADOBE_EXIF):
            exif = exif or contents.removeprefix(b"Exif\0\0")
        elif box.kind == b"uuid" and label == _XMP:
            xmp = xmp or contents
    return Metadata(exif, icc, xmp)


def insert(data: bytes, metadata: Metadata) -> bytes:
    """The file with that metadata. Where a profile is removed, its pixels count as sRGB or grey.

    Raises:
        StreamError: not made of boxes, or without ``jp2h``.
        ValueError: metadata for a bare codestream.
    """
    if is_codestream(data):
        if metadata == Metadata():
            return data
        raise ValueError("a bare JPEG 2000 codestream holds no metadata: write a .jp2 file, or drop the metadata")
    found = boxes.read(data)
    if b"jp2h" not in [box.kind for box in found]:
        raise StreamError("the JPEG 2000 file is damaged: it has no box jp2h")
    kept = [
        Box(box.kind, _described(box.contents, metadata.icc)) if box.kind == b"jp2h" else box
        for box in found
        if box.kind != b"uuid" or box.contents[:16] not in (_EXIF, _ADOBE_EXIF, _XMP)
    ]
    labelled = ((_EXIF, metadata.exif), (_XMP, metadata.xmp))
    return boxes.write(kept + [Box(b"uuid", label + contents) for label, contents in labelled if contents])


def depths(data: bytes) -> tuple[int, ...]:
    """Bits per sample of each component, from the codestream's marker SIZ (Annex A.5.1).

    Raises:
        StreamError: no codestream, or cut.
    """
    if not is_codestream(data):
        data = next((box.contents for box in boxes.read(data, cut=True) if box.kind == b"jp2c"), b"")
    components = int.from_bytes(data[40:42], "big")
    found = data[42 : 42 + 3 * components : 3]
    if not is_codestream(data) or not components or len(found) < components:
        raise StreamError("the JPEG 2000 file is cut or damaged: it does not tell its components")
    return tuple((depth & 0x7F) + 1 for depth in found)


def _described(contents: bytes, icc: bytes) -> bytes:
    """The contents of ``jp2h`` with that profile, or with none."""
    found = boxes.read(contents)
    if not icc and not any(map(_is_profile, found)):
        return contents
    others = [box for box in found if box.kind != b"colr"]
    numbered = [box for box in found if box.kind == b"colr" and not _is_profile(box)]
    if icc:
        new = [Box(b"colr", bytes([_RESTRICTED if _is_restricted(icc) else _ANY, 0, 0]) + icc)]
    elif numbered:
        new = numbered
    else:
        header = next((box.contents for box in others if box.kind == b"ihdr"), b"")
        grey = int.from_bytes(header[8:10], "big") < 3
        new = [Box(b"colr", bytes([_ENUMERATED, 0, 0]) + (17 if grey else 16).to_bytes(4, "big"))]
    front = [box for box in others if box.kind in (b"ihdr", b"bpcc")]  # these two come first
    return boxes.write(front + new + [box for box in others if box not in front])


def _is_profile(box: Box) -> bool:
    return box.kind == b"colr" and box.contents[:1] in (b"\2", b"\3")


def _is_restricted(icc: bytes) -> bool:
    """Whether a profile is a matrix of three primaries or a grey curve (Annex I.5.3.3), to be told from its tags."""
    count = int.from_bytes(icc[128:132], "big")
    tags = {icc[132 + 12 * i : 136 + 12 * i] for i in range(min(count, 100))}
    return b"A2B0" not in tags and (b"rXYZ" in tags or b"kTRC" in tags)
