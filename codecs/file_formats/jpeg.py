"""Metadata of JPEG files: segments in front of the first scan (T.81 Annex B; Exif 3.0; ICC.1 Annex B.4; XMP part 3).

A segment has at most 65,533 bytes of contents. A colour profile is split into up to 255 numbered segments. Exif and the
XMP packet have one segment each; larger ones are refused. (XMP knows an extension for more, which is a second packet
that readers must merge with the first as RDF; it is removed with the packet that it extends.)
"""

from ...primitives.errors import StreamError
from ..jpeg.markers import APP0, APP1, APP2, COM, EOI, SOI, SOS, metadata_segments
from ..metadata import Metadata

_EXIF, _XMP, _ICC = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0"
_MORE_XMP = b"http://ns.adobe.com/xmp/extension/\0"


def extract(data: bytes) -> Metadata:
    """The metadata in front of the first scan. Of Exif, XMP and comments, the first one counts.

    >>> extract(b"\\xff\\xd8\\xff\\xfe\\0\\x07hello\\xff\\xd9").comment
    b'hello'
    """
    exif = xmp = comment = b""
    chunks: dict[int, bytes] = {}
    for code, start, end in _segments(data):
        body = data[start + 4 : end]
        if code == APP1 and body.startswith(_EXIF):
            exif = exif or body[len(_EXIF) :]
        elif code == APP1 and body.startswith(_XMP):
            xmp = xmp or body[len(_XMP) :]
        elif code == APP2 and body.startswith(_ICC) and len(body) > 14:
            chunks[body[12]] = body[14:]
        elif code == COM:
            comment = comment or body
    return Metadata(exif, b"".join(chunks[number] for number in sorted(chunks)), xmp, comment)


def insert(data: bytes, metadata: Metadata) -> bytes:
    """The file with that metadata, after SOI and JFIF's segments.

    Raises:
        StreamError: damaged in front of the first scan.
        ValueError: Exif, XMP or comment take more than a segment.
    """
    head, rest, kept = b"\xff\xd8", b"", 2
    for code, start, end in _segments(data):
        body = data[start + 4 : end]
        replaced = (
            code == COM
            or (code == APP1 and body.startswith((_EXIF, _XMP, _MORE_XMP)))
            or (code == APP2 and body.startswith(_ICC))
        )
        if code == APP0 and not rest:
            head += data[start:end]
        elif not replaced:
            rest += data[start:end]
        kept = end
    return head + metadata_segments(metadata) + rest + data[kept:]


def _segments(data: bytes):
    """(code, start, end) of each segment in front of the first scan; `start` is where its FF xx stands."""
    if data[:2] != bytes([0xFF, SOI]):
        raise StreamError("not a JPEG file: it does not begin with the bytes FF D8")
    at = 2
    while True:
        at = data.find(b"\xff", at)  # whatever stands between segments is passed over, as decoders do
        if at < 0 or at + 4 > len(data):
            return
        code = data[at + 1]
        if code in (SOS, EOI):
            return
        if code in (0x00, 0x01, 0xFF) or 0xD0 <= code <= SOI:  # stuffing, filling, markers without contents
            at += 1 if code == 0xFF else 2
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if end < at + 4 or end > len(data):
            raise StreamError(f"the JPEG file is cut or damaged: its segment FF {code:02X} ends outside of it")
        yield code, at, end
        at = end


def precision(data: bytes) -> int:
    """Bits per sample that the frame header tells (T.81 B.2.2).

    Raises:
        StreamError: no frame header in front of the first scan.
    """
    for code, start, _ in _segments(data):
        if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):  # tables and extensions
            return data[start + 4]
    raise StreamError("the JPEG file is cut or damaged: it has no frame header")
