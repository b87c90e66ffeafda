"""Metadata of PNG files: chunks (PNG, third edition, clause 11.3; XMP part 3, 1.1.5).

A chunk is a length, a type of four letters, contents, and a CRC-32 of type and contents. The profile stands in front of
palette and pixels, compressed; XMP is a text under the keyword ``XML:com.adobe.xmp``.
"""

import zlib

from ...primitives.errors import StreamError
from ..metadata import Metadata

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_XMP, _COMMENT, _OLD_EXIF = b"XML:com.adobe.xmp", b"Comment", (b"Raw profile type exif", b"Raw profile type APP1")
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")

#: Other chunks that say what the numbers mean as colours. A file with a profile must not contradict it.
_COLOURS = (b"cICP", b"sRGB", b"gAMA", b"cHRM")

#: The largest profile or text that is unpacked, in bytes.
_LARGEST = 1 << 26


def extract(data: bytes) -> Metadata:
    """The metadata in the chunks. ImageMagick's older way to write Exif, as a hexadecimal text, is read as well."""
    exif = icc = xmp = comment = old = b""
    for kind, contents in _chunks(data):
        if kind == b"eXIf":
            exif = exif or contents.removeprefix(b"Exif\0\0")
        elif kind == b"iCCP":
            icc = icc or _unpacked(contents.partition(b"\0")[2][1:])
        elif kind in _TEXTS:
            keyword = contents.partition(b"\0")[0]
            if keyword == _XMP:
                xmp = xmp or _text(kind, contents)
            elif keyword == _COMMENT:
                comment = comment or _text(kind, contents)
            elif keyword in _OLD_EXIF:
                old = old or _hexadecimal(_text(kind, contents))
    return Metadata(exif or old, icc, xmp, comment)


def insert(data: bytes, metadata: Metadata) -> bytes:
    """The file with that metadata, after IHDR.

    A comment is written as UTF-8 where it is UTF-8, else as Latin-1, which any bytes are. NULs at its end are left out.

    Raises:
        StreamError: not made of chunks.
        ValueError: a comment with a NUL inside, or XMP that is no UTF-8.
    """
    (header, first), *others = _chunks(data)
    if header != b"IHDR":
        raise StreamError("the PNG file is damaged: it does not begin with IHDR")
    new = [(b"IHDR", first)]
    if metadata.icc:
        new.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc)))
    if metadata.exif:
        new.append((b"eXIf", metadata.exif))
    if metadata.xmp:
        if not _is_utf8(metadata.xmp) or b"\0" in metadata.xmp:
            raise ValueError("PNG holds XMP as UTF-8 text, which this packet is not: convert it, or leave it out")
        new.append((b"iTXt", _XMP + b"\0\0\0\0\0" + metadata.xmp))
    comment = metadata.comment.rstrip(b"\0")
    if b"\0" in comment:
        raise ValueError("PNG holds comments without NUL characters: shorten it, or leave it out")
    if comment.isascii() or not _is_utf8(comment):
        new += [(b"tEXt", _COMMENT + b"\0" + comment)] if comment else []
    else:
        new.append((b"iTXt", _COMMENT + b"\0\0\0\0\0" + comment))
    for kind, contents in others:
        replaced = kind in (b"eXIf", b"iCCP") or (kind in _COLOURS and metadata.icc)
        named = kind in _TEXTS and contents.partition(b"\0")[0] in (_XMP, _COMMENT, *_OLD_EXIF)
        if not replaced and not named:
            new.append((kind, contents))
    return _SIGNATURE + b"".join(_chunk(kind, contents) for kind, contents in new)


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """(type, contents) of all chunks up to IEND. CRCs are the decoder's business."""
    if data[:8] != _SIGNATURE:
        raise StreamError("not a PNG file: it does not begin with its signature")
    found, at = [], 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        kind, contents = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        if len(contents) < length or len(kind) < 4:
            raise StreamError("the PNG file is cut or damaged: a chunk ends outside of it")
        found.append((kind, contents))
        at += 12 + length
        if kind == b"IEND":
            break
    if not found:
        raise StreamError("the PNG file is cut: it has no chunks")
    return found


def _chunk(kind: bytes, contents: bytes) -> bytes:
    check = zlib.crc32(kind + contents)
    return len(contents).to_bytes(4, "big") + kind + contents + check.to_bytes(4, "big")


def _text(kind: bytes, contents: bytes) -> bytes:
    """What a text chunk says: UTF-8 from iTXt, Latin-1 from the others."""
    _, _, rest = contents.partition(b"\0")
    if kind == b"tEXt":
        return rest
    if kind == b"zTXt":
        return _unpacked(rest[1:])
    _language, _, after = rest[2:].partition(b"\0")
    _translated_keyword, _, text = after.partition(b"\0")
    return _unpacked(text) if rest[:1] == b"\1" else text


def _unpacked(data: bytes) -> bytes:
    try:
        unpacker = zlib.decompressobj()
        found = unpacker.decompress(data, _LARGEST)
    except zlib.error as error:
        raise StreamError(f"the PNG file is damaged: metadata that cannot be unpacked: {error}") from error
    if unpacker.unconsumed_tail:
        raise StreamError(f"the PNG file has a profile or text of more than {_LARGEST} bytes")
    return found


def _hexadecimal(text: bytes) -> bytes:
    """The block in a text that consists of a name, a length, and hexadecimal digits, each on lines of its own."""
    words = text.split()
    try:
        return bytes.fromhex(b"".join(words[2:]).decode("ascii")).removeprefix(b"Exif\0\0")
    except ValueError as error:
        raise StreamError("the PNG file is damaged: its Exif text is not hexadecimal") from error


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
