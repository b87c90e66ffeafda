"""Where the chunks of a `.ckt` video lie: reading them in turn, and finding them without reading what they hold.

The payload of a video is a sequence of chunks, each behind its length, up to a length of 0 (`codecs.video`). A walk
over the lengths finds them all: the file is read at the lengths alone, a few bytes a frame. So one frame of a long
video can be decoded without those before its group.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..primitives.bitstream import ByteReader
from ..primitives.errors import StreamError

#: How many of its first bytes a chunk is judged by (`codecs.video.VideoStage.is_key`).
BEGINNING = 4096


class FileReader(ByteReader):
    """`ByteReader` over a file, up to position `end`."""

    def __init__(self, file, end):
        self._file, self.end = file, end

    @property
    def position(self):
        return self._file.tell()

    def raw(self, length):
        left = self.end - self._file.tell()
        if length > left:
            raise StreamError(f"the stream ends {length - left} bytes too early")
        return self._file.read(length)


def chunks(reader: FileReader) -> Iterator[bytes]:
    """The chunks from where a reader stands, up to the length of 0, which is the last byte before its end."""
    while length := reader.varint():
        yield reader.raw(length)
    if reader.position != reader.end:
        raise StreamError("the video has bytes behind its last chunk")


@dataclass(frozen=True)
class Index:
    """Where chunks lie.

    Attributes:
        starts: position of each chunk's length in the file, and that of what stands behind the last one.
        whole: whether the walk ended as it should: at a length of 0 before the end.
    """

    starts: array
    whole: bool

    def __len__(self) -> int:
        return len(self.starts) - 1

    def read(self, file: Any, number: int) -> bytes:
        """A chunk."""
        file.seek(self.starts[number])
        return FileReader(file, self.starts[number + 1]).block()

    def beginning(self, file: Any, number: int) -> bytes:
        """The first bytes of a chunk, at most `BEGINNING`."""
        return file.read(min(self.length(file, number), BEGINNING))

    def length(self, file: Any, number: int) -> int:
        """The length of a chunk, before whose first byte the file then stands."""
        file.seek(self.starts[number])
        return FileReader(file, self.starts[number + 1]).varint()


def index(file: Any, start: int, end: int) -> Index:
    """The index of the chunks between two positions of a file.

    >>> import io
    >>> found = index(io.BytesIO(b"\\x02ab\\x01c\\x00"), 0, 6)
    >>> len(found), found.whole, found.read(io.BytesIO(b"\\x02ab\\x01c\\x00"), 1)
    (2, True, b'c')
    >>> len(index(io.BytesIO(b"\\x02ab\\x03c"), 0, 5))
    1
    """
    starts, position, reader = array("Q", [start]), start, FileReader(file, end)
    while True:
        file.seek(position)
        try:
            length = reader.varint()
        except StreamError:
            return Index(starts, False)
        position = file.tell()
        if not length:
            return Index(starts, position == end)
        position += length
        if position > end:
            return Index(starts, False)
        starts.append(position)
