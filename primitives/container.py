"""The `.ckt` container: one file format for every codec that has no standard format of its own.

A file names its codec and the revision of the codec's profile, carries what decoding needs beside the payload, and ends
in a CRC-32 of everything before it, so that a receiver guesses nothing and damage is noticed. docs/format.md has the
byte table; `pack` and `unpack` are the inverse pair that implements it::

    "ckt"  version  codec  revision  sections  payload  CRC-32

A *section* is a tag and a block of bytes. Sections stand in the order of their tags. Revision and tags are written
doubled, plus 1 where a section follows, so that a file without sections spends nothing on them. A reader refuses a tag
below 64 that it does not know, and skips one from there on: what later versions add either matters to every decoder, or
to none. With a numbered codec and no sections there are 10 bytes around the payload.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from .anatomy import Dissector
from .bitstream import ByteReader, ByteWriter
from .errors import StreamError

MAGIC = b"ckt"

#: Version 1 was a draft that was never released.
VERSION = 2

#: Sections: stages that differ from the profile, fingerprint of the weights, a video's size and frame rate.
STAGES, WEIGHTS, VIDEO = 1, 2, 3

#: Sections of metadata: Exif, ICC profile, XMP.
EXIF, ICC, XMP = 64, 65, 66

#: The first tag of sections that a reader may skip.
SKIPPED = 64

#: Sections of videos that a reader may skip: time stamps, and the shape of pixels.
TIMES, ASPECT = 67, 68

_NAMES = {
    STAGES: "stages", WEIGHTS: "fingerprint of the weights", VIDEO: "video", EXIF: "Exif", ICC: "ICC profile",
    XMP: "XMP", TIMES: "time stamps", ASPECT: "pixel aspect ratio",
}  # fmt: skip


@dataclass(frozen=True)
class Container:
    """What a `.ckt` file holds.

    Attributes:
        codec: the codec's number, or its name where it has none.
        revision: of the codec's profile; 0 for a stream that lists all its stages.
        payload: what the codec's entropy stage wrote.
        sections: bytes by tag.

    >>> unpack(pack(Container(1, 1, b"payload"))).payload
    b'payload'
    """

    codec: int | str
    revision: int
    payload: bytes
    sections: Mapping[int, bytes] = field(default_factory=dict)

    @property
    def stages(self) -> bytes:
        """The section of stages, empty if there is none."""
        return self.sections.get(STAGES, b"")

    @property
    def weights(self) -> bytes:
        """The fingerprint of the weights, empty if there are none."""
        return self.sections.get(WEIGHTS, b"")

    @property
    def is_video(self) -> bool:
        """Whether the payload is a video's chunks."""
        return VIDEO in self.sections


def pack(container: Container) -> bytes:
    """The file's bytes.

    >>> pack(Container(1, 1, b"payload")).hex(" ", 1)
    '63 6b 74 02 01 02 70 61 79 6c 6f 61 64 25 9d 6f 0d'
    """
    data = pack_head(container) + container.payload
    return data + zlib.crc32(data).to_bytes(4, "big")


def pack_head(container: Container) -> bytes:
    """The bytes before the payload. A writer of a long payload goes on from here, and ends with the CRC-32.

    >>> pack_head(Container(1, 1, b"", {WEIGHTS: b"abcd"})).hex(" ", 1)
    '63 6b 74 02 01 03 04 04 61 62 63 64'
    """
    out = ByteWriter()
    out.raw(MAGIC)
    out.byte(VERSION)
    if isinstance(container.codec, int):
        out.varint(container.codec)
    else:
        out.varint(0)
        out.block(container.codec.encode())
    sections = sorted(container.sections.items())
    out.varint(2 * container.revision + bool(sections))
    for left, (tag, block) in zip(reversed(range(len(sections))), sections, strict=True):
        out.varint(2 * tag + bool(left))
        out.block(block)
    return out.getvalue()


def is_whole(data: bytes) -> bool:
    """Whether a file ends in its CRC-32.

    >>> data = pack(Container(1, 1, b"payload"))
    >>> is_whole(data), is_whole(data[:-1])
    (True, False)
    """
    return len(data) >= 10 and zlib.crc32(data[:-4]) == int.from_bytes(data[-4:], "big")


def unpack(data: bytes, partial: bool = False) -> Container:
    """The inverse of `pack`; with `partial` of a file whose end may be missing, so that nothing is checked.

    Raises:
        StreamError: not a `.ckt` file, of another version, cut, or damaged.
    """
    check_version(data[:4])
    whole = is_whole(data)
    if not whole and not partial:
        raise StreamError("the .ckt file is cut or damaged: its CRC-32 does not match")
    reader = ByteReader(data[4:-4] if whole else data[4:])
    head = read_head(reader)
    return Container(head.codec, head.revision, reader.rest(), head.sections)


def check_version(start: bytes) -> None:
    """Refuse what does not begin with magic and version.

    >>> check_version(b"ckt\\x01")
    Traceback (most recent call last):
    ...
    codeckit.primitives.errors.StreamError: .ckt format version 1; this codeckit reads version 2
    """
    if start[:3] != MAGIC:
        raise StreamError("not a .ckt file: it does not begin with 'ckt'")
    if start[3:] != bytes([VERSION]):
        version = start[3] if len(start) > 3 else "missing"
        raise StreamError(f".ckt format version {version}; this codeckit reads version {VERSION}")


def read_head(reader) -> Container:
    """What stands between version and payload, read from a `ByteReader` or its like; the payload is left to read.

    Raises:
        StreamError: cut; or a section is unknown and must be known, or stands in the wrong place.
    """
    codec = reader.varint()
    if codec == 0:
        try:
            codec = reader.block().decode()
        except UnicodeDecodeError as error:
            raise StreamError("the name of the stream's codec is not UTF-8") from error
    revision, more = divmod(reader.varint(), 2)
    sections: dict[int, bytes] = {}
    last = 0
    while more:
        tag, more = divmod(reader.varint(), 2)
        if tag <= last:
            raise StreamError(f"section {tag} of the stream stands after section {last}")
        block = reader.block()
        if tag in _NAMES:
            sections[tag] = block
        elif tag < SKIPPED:
            raise StreamError(f"the stream has a section {tag}, which this version of codeckit does not know")
        last = tag
    return Container(codec, revision, b"", sections)


def check_still(container: Container) -> None:
    """Refuse a video where a picture is wanted."""
    if container.is_video:
        raise StreamError("the stream is a video; codeckit.decode_video decodes it")


def _linked(text: str, number: int) -> str:
    """A number that says whether a section follows, in words."""
    return text + (", a section follows" if number % 2 else "")


def dissect(found: Dissector, payload: int) -> None:
    """The fields of a file around a payload of so many bytes, which is left out; the last part is the CRC-32."""
    found.group = "container"
    found.take(3, "magic", "ckt", "file")
    found.number(1, "version", "file")

    def shown(length):
        return found.data[found.position : found.position + length].decode("utf-8", "replace")

    if found.varint("codec", "file", lambda n: f"number {n}" if n else "by name") == 0:
        length = found.varint("length of the name", "file", lambda n: f"{n} bytes")
        found.take(length, "name of the codec", shown(length), "file")
    number = found.varint(
        "revision", "file", lambda n: _linked(str(n // 2) if n // 2 else "none, all stages are listed", n)
    )
    while number % 2:
        number = found.varint("section", "file", lambda n: _linked(_NAMES.get(n // 2, str(n // 2)), n))
        tag = number // 2
        length = found.varint("length of the section", "file", lambda n: f"{n} bytes")
        text = tag in (STAGES, XMP)
        value = shown(length) if text else found.data[found.position :][: min(length, 64)].hex(" ")
        found.take(length, _NAMES.get(tag, "section"), value, "file")
    found.position += payload
    found.take(4, "CRC-32", found.data[found.position :].hex(" "), "file")
