"""The `.ckt` container: one file format for every codec that has no standard format of its own.

A file names its codec, carries the parameters and the fingerprint of the weights that decoding needs, and ends in a
CRC-32 of everything before it, so that a receiver guesses nothing and damage is noticed. The byte table stands in
docs/format.md; `pack` and `unpack` are the inverse pair that implements it::

    "ckt"  version  codec  parameters  weights  payload  CRC-32

With a numbered codec, no parameters and no weights that is 11 bytes around the payload.
"""

import zlib
from dataclasses import dataclass

from .anatomy import Dissector
from .bitstream import ByteReader, ByteWriter
from .errors import StreamError

MAGIC = b"ckt"
VERSION = 1


@dataclass(frozen=True)
class Container:
    """What a `.ckt` file holds.

    Attributes:
        codec: the codec's number in the registry, or its name where it has none.
        payload: what the codec's entropy stage wrote.
        parameters: what the codec's decoder must know beside, usually nothing; the codec defines it.
        weights: fingerprint of the network weights (4 bytes), or nothing.

    >>> unpack(pack(Container(1, b"payload"))).payload
    b'payload'
    """

    codec: int | str
    payload: bytes
    parameters: bytes = b""
    weights: bytes = b""


def pack(container: Container) -> bytes:
    """The file's bytes.

    >>> pack(Container(1, b"payload")).hex(" ", 1)
    '63 6b 74 01 01 00 00 70 61 79 6c 6f 61 64 1e 7d 0d d6'
    """
    data = pack_head(container) + container.payload
    return data + zlib.crc32(data).to_bytes(4, "big")


def pack_head(container: Container) -> bytes:
    """The bytes before the payload. A writer of a long payload goes on from here, and ends with the CRC-32.

    >>> pack_head(Container(1, b"")).hex(" ", 1)
    '63 6b 74 01 01 00 00'
    """
    out = ByteWriter()
    out.raw(MAGIC)
    out.byte(VERSION)
    if isinstance(container.codec, int):
        out.varint(container.codec)
    else:
        out.varint(0)
        out.block(container.codec.encode())
    out.block(container.parameters)
    out.block(container.weights)
    return out.getvalue()


def holds_video(payload: bytes) -> bool:
    """Whether a payload is a video's: a zero, then the height. (0 × 0 is the size of tokens made of no known picture.)

    >>> holds_video(b"\\0\\x10"), holds_video(b"\\x10\\x10"), holds_video(b"\\0\\0")
    (True, False, False)
    """
    return payload[:1] == b"\0" and payload[1:2] != b"\0"


def is_whole(data: bytes) -> bool:
    """Whether a file ends in its CRC-32.

    >>> data = pack(Container(1, b"payload"))
    >>> is_whole(data), is_whole(data[:-1])
    (True, False)
    """
    return len(data) >= 11 and zlib.crc32(data[:-4]) == int.from_bytes(data[-4:], "big")


def unpack(data: bytes, partial: bool = False) -> Container:
    """The inverse of `pack`; with `partial` of a file whose end may be missing, so that nothing is checked.

    Raises:
        StreamError: not a `.ckt` file, of another version, cut, or damaged.
    """
    if data[:3] != MAGIC:
        raise StreamError("not a .ckt file: it does not begin with 'ckt'")
    if data[3:4] != bytes([VERSION]):
        version = data[3] if len(data) > 3 else "missing"
        raise StreamError(f".ckt format version {version}; this codeckit reads version {VERSION}")
    whole = is_whole(data)
    if not whole and not partial:
        raise StreamError("the .ckt file is cut or damaged: its CRC-32 does not match")
    reader = ByteReader(data[4:-4] if whole else data[4:])
    head = read_head(reader)
    return Container(head.codec, reader.rest(), head.parameters, head.weights)


def dissect(found: Dissector, payload: int) -> None:
    """The fields of a file around a payload of so many bytes, which is left out; the last part is the CRC-32."""
    found.group = "container"
    found.take(3, "magic", "ckt", "file")
    found.number(1, "version", "file")
    if found.varint("codec", "file", lambda n: f"number {n}" if n else "by name") == 0:
        length = found.varint("length of the name", "file", lambda n: f"{n} bytes")
        name = found.data[found.position : found.position + length].decode("utf-8", "replace")
        found.take(length, "name of the codec", name, "file")
    length = found.varint("length of the parameters", "file", lambda n: f"{n} bytes")
    shown = found.data[found.position : found.position + length].decode("utf-8", "replace")
    found.take(length, "parameters", shown, "file")
    length = found.varint("length of the fingerprint", "file", lambda n: f"{n} bytes")
    found.take(length, "fingerprint of the weights", found.data[found.position :][:length].hex(" "), "file")
    found.position += payload
    found.take(4, "CRC-32", found.data[found.position :].hex(" "), "file")


def read_head(reader) -> Container:
    """What stands between version and payload, read from a `ByteReader` or its like; the payload is left to read."""
    codec = reader.varint()
    if codec == 0:
        codec = reader.block().decode("utf-8", "replace")
    return Container(codec, b"", reader.block(), reader.block())
