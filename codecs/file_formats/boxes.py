"""Boxes of the ISO base media file format (ISO/IEC 14496-12, 4.2), which JPEG 2000, JPEG XL and AVIF files consist of.

A box is its length in 32 bits, a type of four letters, and contents. A length of 1 means that 64 bits of length follow
the type; one of 0, that the box goes on to the end. `write` always writes a length, so `read` and `write` are inverse
but for that choice.
"""

import struct
from dataclasses import dataclass

from ...primitives.errors import StreamError


@dataclass(frozen=True)
class Box:
    """One box: a type of four bytes, and contents."""

    kind: bytes
    contents: bytes


def read(data: bytes, *, cut: bool = False) -> list[Box]:
    """The boxes of a file, or of the contents of a box.

    Args:
        data: their bytes.
        cut: whether the file may be cut, or end with what is no box: its last box then ends with the data.

    Raises:
        StreamError: a box ends outside of the data.

    >>> read(b"\\0\\0\\0\\x0bxml <x>" + b"\\0\\0\\0\\0jxlc\\xff\\x0a")
    [Box(kind=b'xml ', contents=b'<x>'), Box(kind=b'jxlc', contents=b'\\xff\\n')]
    """
    return [Box(kind, data[start:end]) for kind, start, end in places(data, cut=cut)]


def places(data: bytes, *, cut: bool = False) -> list[tuple[bytes, int, int]]:
    """(type, start, end) of each box's contents; arguments and errors as of `read`."""
    found, at = [], 0
    while at < len(data):
        length, kind, start = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], at + 8
        if length == 1:
            length, start = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        end = at + length if length else len(data)
        if len(kind) < 4 or end < start or end > len(data):
            if not cut:
                raise StreamError(f"the file is cut or damaged: its box {kind!r} ends outside of it")
            if end <= len(data) or start >= len(data):
                break
            end = len(data)
        found.append((kind, start, end))
        at = end
    return found


def write(boxes) -> bytes:
    """The bytes of boxes.

    >>> write([Box(b"xml ", b"<x>")])
    b'\\x00\\x00\\x00\\x0bxml <x>'
    """
    return b"".join(_header(box) + box.contents for box in boxes)


def _header(box: Box) -> bytes:
    length = len(box.contents) + 8
    return struct.pack(">I4s", length, box.kind) if length < 1 << 32 else struct.pack(">I4sQ", 1, box.kind, length + 8)
