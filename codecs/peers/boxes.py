"""The outer structure of the files that libraries write: RIFF chunks, PNG chunks, ISO base media boxes.

Three old ideas of a container, each a list of (type, length, contents): RIFF (WebP) writes the type, then the length in
little-endian order, padded to even; PNG the length of the contents, then type, contents and a CRC; ISO 14496-12 (AVIF,
JPEG 2000, JPEG XL, MP4) the length of the whole box, then its type, and boxes within boxes.
"""

from ...primitives.anatomy import Anatomy, Dissector, Part

_BOXES = {
    "ftyp": "what the file is compatible with",
    "meta": "description of the items",
    "mdat": "the coded picture",
    "jp2h": "size, depth and colour",
    "jp2c": "the JPEG 2000 codestream",
    "jP  ": "signature",
    "jxlc": "the JPEG XL codestream",
    "VP8 ": "lossy picture: a VP8 key frame",
    "VP8L": "lossless picture",
    "VP8X": "extended header",
    "IHDR": "size, depth and colour type",
    "IDAT": "filtered rows, deflated",
    "IEND": "end",
}

_CODED = ("mdat", "jp2c", "jxlc", "VP8 ", "VP8L", "IDAT")


def anatomy_of_file(data: bytes) -> Anatomy:
    """The anatomy of a file of any standard format: of a JPEG file every field and cost, of others the outer structure.

    Raises:
        StreamError: a damaged JPEG file.
    """
    if data[:2] == b"\xff\xd8":
        from ..jpeg.huffman import JpegHuffman

        stage = JpegHuffman()
        return stage.anatomy(stage.inverse(data), data)
    return Anatomy(dissect_file(data))


def dissect_file(data: bytes) -> tuple[Part, ...]:
    """The parts of a file of one of these structures; a file of another is one part.

    >>> import codeckit, numpy as np
    >>> data = codeckit.codec("webp").encode(np.zeros((16, 16, 3), np.uint8))
    >>> [part.name for part in dissect_file(data)]
    ['signature', 'length', 'form', 'type', 'length', 'contents']
    """
    found = Dissector(data)
    if data[:4] == b"RIFF":
        _riff(found)
    elif data[:4] == b"\x89PNG":
        _png(found)
    elif data[4:8] in (b"ftyp", b"jP  ", b"JXL "):
        _boxes(found)
    found.rest("coded data", role="quantize")
    return tuple(found.parts)


def _contents(found, length, kind):
    found.take(length, "contents", _BOXES.get(kind, ""), "quantize" if kind in _CODED else "entropy")


def _kind(found):
    kind = found.data[found.position : found.position + 4].decode("latin-1")
    return kind, kind if kind.isprintable() else repr(kind)


def _riff(found):
    found.group = "RIFF"
    found.take(4, "signature", "RIFF")
    found.number(4, "length", value=lambda n: f"{n} bytes", order="little")
    found.take(4, "form", "WEBP")
    while found.position + 8 <= len(found.data):
        kind, found.group = _kind(found)
        found.take(4, "type", kind)
        length = found.number(4, "length", value=lambda n: f"{n} bytes", order="little")
        _contents(found, length, kind)
        found.take(length & 1, "padding")


def _png(found):
    found.group = "PNG"
    found.take(8, "signature", "89 50 4e 47 0d 0a 1a 0a")
    while found.position + 12 <= len(found.data):
        found.position += 4
        kind, found.group = _kind(found)
        found.position -= 4
        length = found.number(4, "length", value=lambda n: f"{n} bytes")
        found.take(4, "type", kind)
        _contents(found, length, kind)
        found.take(4, "CRC-32")


def _boxes(found):
    while found.position + 8 <= len(found.data):
        found.position += 4
        kind, found.group = _kind(found)
        found.position -= 4
        length = found.number(4, "length", value=lambda n: f"{n} bytes" if n else "to the end")
        found.take(4, "type", kind)
        _contents(found, length - 8 if length >= 8 else len(found.data) - found.position, kind)
