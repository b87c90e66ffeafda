"""Metadata of WebP files: RIFF chunks (RFC 9649, clause 2.7).

A file of a picture and nothing else has a single chunk, VP8 (lossy) or VP8L. Any more makes it "extended": a chunk VP8X
in front says which kinds follow, and repeats the size of the picture. The profile stands before the pixels, Exif and
XMP after them.
"""

import struct

from ...primitives.errors import StreamError
from ..metadata import Metadata

#: Bits of VP8X.
_ICC, _ALPHA, _EXIF, _XMP = 0x20, 0x10, 0x08, 0x04


def extract(data: bytes) -> Metadata:
    """The metadata in the chunks; the first one of a kind counts."""
    found: dict[bytes, bytes] = {}
    for kind, contents in _chunks(data):
        found.setdefault(kind, contents)
    exif = found.get(b"EXIF", b"").removeprefix(b"Exif\0\0")
    return Metadata(exif, found.get(b"ICCP", b""), found.get(b"XMP ", b""))


def insert(data: bytes, metadata: Metadata) -> bytes:
    """The file with that metadata: extended where there is any, or where it was.

    Raises:
        StreamError: not made of chunks, or without a picture.
    """
    chunks = _chunks(data)
    picture = [chunk for chunk in chunks if chunk[0] not in (b"VP8X", b"ICCP", b"EXIF", b"XMP ")]
    extended = next((contents for kind, contents in chunks if kind == b"VP8X"), b"")
    if extended or metadata.icc or metadata.exif or metadata.xmp:
        flags, size = (extended[0], extended[4:10]) if len(extended) >= 10 else _plain(picture)
        flags &= ~(_ICC | _EXIF | _XMP)
        flags |= _ICC * bool(metadata.icc) | _EXIF * bool(metadata.exif) | _XMP * bool(metadata.xmp)
        front = [(b"VP8X", bytes([flags, 0, 0, 0]) + size), (b"ICCP", metadata.icc)]
        behind = [(b"EXIF", metadata.exif), (b"XMP ", metadata.xmp)]
        picture = [chunk for chunk in front if chunk[1]] + picture + [chunk for chunk in behind if chunk[1]]
    body = b"WEBP" + b"".join(_chunk(kind, contents) for kind, contents in picture)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def size(data: bytes) -> tuple[int, int]:
    """(H, W) of the picture, or of an animation's canvas.

    Raises:
        StreamError: not made of chunks, or without a picture.
    """
    chunks = _chunks(data)
    extended = next((contents for kind, contents in chunks if kind == b"VP8X"), b"")
    sides = extended[4:10] if len(extended) >= 10 else _plain(chunks)[1]
    return int.from_bytes(sides[3:], "little") + 1, int.from_bytes(sides[:3], "little") + 1


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise StreamError("not a WebP file: it does not begin with RIFF and WEBP")
    end = min(8 + int.from_bytes(data[4:8], "little"), len(data))
    found, at = [], 12
    while at + 8 <= end:
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        contents = data[at + 8 : at + 8 + length]
        if len(contents) < length:
            raise StreamError("the WebP file is cut or damaged: a chunk ends outside of it")
        found.append((data[at : at + 4], contents))
        at += 8 + length + length % 2
    return found


def _chunk(kind: bytes, contents: bytes) -> bytes:
    return kind + struct.pack("<I", len(contents)) + contents + b"\0" * (len(contents) % 2)


def _plain(picture) -> tuple[int, bytes]:
    """Flags and size, as VP8X writes them, of a file that has no VP8X: from the picture's own header."""
    kind, contents = next((chunk for chunk in picture if chunk[0] in (b"VP8 ", b"VP8L")), (b"", b""))
    if kind == b"VP8 " and len(contents) >= 10:  # RFC 6386, 9.1: 14 bits a side, the upper two scale
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", contents, 6))
        flags = 0
    elif kind == b"VP8L" and len(contents) >= 5:  # RFC 9649, 3.4: 14 bits a side less one, then a bit for alpha
        bits = int.from_bytes(contents[1:5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        flags = _ALPHA * (bits >> 28 & 1)
    else:
        raise StreamError("the WebP file is damaged: it has no picture")
    return flags, (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
