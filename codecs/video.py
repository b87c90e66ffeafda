"""Videos in `.ckt` streams: any codec's, coded and decoded frame by frame in memory that does not grow.

The container around a video is that of pictures, with a section that holds the size and the frame rate::

    H  W  fps numerator  fps denominator      varints

A video whose frames do not come at a constant rate has a section with its time stamps (`timing`), and one whose pixels
are not square a section with their width and height, two varints.

The payload is *chunks*::

    length  chunk                                 as often as there are chunks, none of them empty
    00  number of frames (4 bytes, big-endian)

A codec of stills makes one chunk a frame: what it writes for a picture. A codec of videos, whose last stage is a
`VideoStage`, makes what chunks it likes. The CRC-32 that ends the container is computed as chunks are written, and
checked before the first frame is decoded.

Video standards also write the containers and bitstreams that players open (`.mp4`, `.mkv`, `.hevc` …), with colour
tags; `decode_video` reads these, and every other file that FFmpeg reads.
"""

import contextlib
import io
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..primitives import container
from ..primitives.bitstream import ByteReader, ByteWriter
from ..primitives.container import Container
from ..primitives.errors import StreamError
from ..primitives.files import is_same_file, new_file
from ..primitives.picture import MAX_PIXELS, check_size
from ..primitives.stage import Stage, folded
from . import timing
from .frames import VIDEO_EXTENSIONS, Frames, open_file, read_video
from .streams import unfold

#: FFmpeg's formats by file name ending: containers that players open, and raw bitstreams.
FORMATS = {
    ".mp4": "mp4", ".mkv": "matroska", ".mov": "mov", ".webm": "webm",
    ".h264": "h264", ".264": "h264", ".hevc": "hevc", ".265": "hevc", ".h265": "hevc",
    ".obu": "obu", ".ivf": "ivf", ".vvc": "vvc", ".266": "vvc", ".h266": "vvc",
}  # fmt: skip

#: Those that have no time stamps.
_RAW = ("h264", "hevc", "obu", "vvc")


class VideoStage(Stage):
    """A last stage that codes frames with the help of others.

    `forward_frames` turns frames into chunks of bytes, `inverse_frames` turns the chunks into the same number of
    frames; both are generators that hold a few frames at a time. `forward` and `inverse` are for a single picture.
    """

    def forward_frames(self, frames: Iterable[np.ndarray], size: tuple[int, int], fps: Fraction) -> Iterator[bytes]:
        """Chunks of frames (uint8 [H,W,3] or [H,W], all alike) of `size` (H, W)."""
        raise TypeError(f"{type(self).__name__} defines no forward_frames(frames, size, fps)")

    def inverse_frames(self, chunks: Iterable[bytes], size: tuple[int, int]) -> Iterator[np.ndarray]:
        """Frames of chunks: the inverse of `forward_frames`."""
        raise TypeError(f"{type(self).__name__} defines no inverse_frames(chunks, size)")


def encode_video(codec, frames, out=None, *, fps=None, progress: bool = False) -> bytes | Path:
    """Encode a video with a configured codec; `Codec.encode_video` says what the arguments are.

    Raises:
        ValueError: no frames, frames that differ in shape, a file format that the codec does not write, or an `out`
            that is the video itself.
    """
    if out is not None and isinstance(frames, str | os.PathLike) and is_same_file(frames, out):
        raise ValueError(f"{os.fspath(out)!r} is the input itself; give the result another name")
    source = read_video(frames, fps=fps)
    last: Any = list(folded(codec.stages).values())[-1]
    ending = ".ckt" if out is None else Path(out).suffix.lower()
    if ending != ".ckt" and (ending not in FORMATS or not hasattr(last, "write_file")):
        others = f", {', '.join(FORMATS)}" if hasattr(last, "write_file") else ""
        raise ValueError(f"{codec.name} writes videos as .ckt{others}, not as {ending or 'a file without an ending'!r}")

    if FORMATS.get(ending) in _RAW and source.times is not None:
        raise ValueError(
            f"{source.name} has a variable frame rate, and a {ending} bitstream holds no time stamps; write .mp4, .mkv "
            "or .ckt, or give a constant rate with fps="
        )

    from tqdm import tqdm

    hidden: Any = None if progress else True  # None: shown on a terminal alone
    with tqdm(total=source.count, unit="frame", disable=hidden) as bar:
        count = 0

        def counted():
            nonlocal count
            for frame in source:
                yield frame
                count += 1
                bar.update()

        if out is None:
            file = io.BytesIO()
            _write(codec, counted(), lambda: count, source, file)
            return file.getvalue()
        with new_file(out) as temporary:
            if ending == ".ckt":
                with open(temporary, "wb") as file:
                    _write(codec, counted(), lambda: count, source, file)
            else:
                last.write_file(counted(), source, temporary, FORMATS[ending])
            if not count:
                raise ValueError("the video has no frames")
    return Path(out)


def _write(codec, frames, count, source, file):
    """A whole `.ckt` stream; `count()` is the number of frames when all are read."""
    crc = 0

    def write(data):
        nonlocal crc
        crc = zlib.crc32(data, crc)
        file.write(data)

    head = ByteWriter()
    for number in (*source.size, source.fps.numerator, source.fps.denominator):
        head.varint(number)
    held = codec.contain(b"")
    sections = {**held.sections, container.VIDEO: head.getvalue()}
    if source.clock is not None:
        sections[container.TIMES] = timing.pack(source.clock)
    if source.aspect != 1:
        shape = ByteWriter()
        shape.varint(source.aspect.numerator)
        shape.varint(source.aspect.denominator)
        sections[container.ASPECT] = shape.getvalue()
    write(container.pack_head(replace(held, sections=sections)))
    for chunk in _chunks(codec, frames, source):
        length = ByteWriter()
        length.varint(len(chunk))
        write(length.getvalue() + chunk)
    if not count():
        raise ValueError("the video has no frames")
    write(b"\0" + count().to_bytes(4, "big"))
    file.write(crc.to_bytes(4, "big"))


def _chunks(codec, frames, source):
    *stages, last = folded(codec.stages).values()
    if isinstance(last, VideoStage):
        yield from last.forward_frames(frames, source.size, source.fps)
        return
    for frame in frames:
        value = frame
        for stage in (*stages, last):
            value = stage.forward(value)
        yield value


def decode_video(stream, codec_for: Callable[[Container], Any], *, max_pixels: int = MAX_PIXELS) -> Frames:
    """The frames of a coded video, decoded as they are asked for.

    Args:
        stream: bytes or a path: a `.ckt` video, or any file that FFmpeg reads.
        codec_for: gives the `Codec` for a `.ckt` stream's container.
        max_pixels: the largest frame to accept.

    Returns:
        `Frames`, upright, with their size, number and frames a second, and with time stamps where the rate varies.

    Raises:
        StreamError: no video, cut, damaged, or frames larger than `max_pixels`; the message names the file. Damage
            that shows only in a frame is raised when that frame is reached.

    >>> import codeckit
    >>> codec = codeckit.codec("jpeg")
    >>> stream = codec.encode_video(np.zeros((2, 8, 8, 3), np.uint8), fps=30)
    >>> decode_video(stream, codec.for_stream).count
    2
    """
    opened, name = _opener(stream)
    with opened() as file:
        is_ckt = file.read(3) == container.MAGIC
    if not is_ckt:
        return open_file(_for_ffmpeg(stream), name, max_pixels=max_pixels)
    with _named(stream):
        with opened() as file:
            _check_crc(file)
            held, start, end, count = _read_head(file)
        size, fps = _read_video(held)
        clock = timing.unpack(held.sections[container.TIMES], count) if container.TIMES in held.sections else None
        aspect = _read_aspect(held)
        check_size(size, max_pixels)
        codec = codec_for(held)

    def frames():
        with _named(stream), opened() as file:
            file.seek(start)
            number = 0
            for frame in _frames(codec, _FileReader(file, end), size, max_pixels):
                if not isinstance(frame, np.ndarray) or frame.shape[:2] != size or frame.dtype != np.uint8:
                    raise StreamError(f"frame {number} of the stream has another size than the video")
                number += 1
                yield frame
            if number != count:
                raise StreamError(f"the stream holds {number} frames, not {count} as it says")

    if clock is None:
        return Frames(size, fps, count, frames, codec.name, aspect=aspect)
    return Frames(size, fps, count, frames, codec.name, clock.times, clock.duration, aspect)


def read_container(stream) -> Container:
    """The container of a `.ckt` video, without its payload."""
    with _named(stream), _opener(stream)[0]() as file:
        return _read_head(file)[0]


def _opener(stream) -> tuple[Callable[[], Any], str]:
    """What opens a stream as a binary file, and its name for messages."""
    if isinstance(stream, str | os.PathLike):
        return lambda: open(stream, "rb"), os.fspath(stream)
    if isinstance(stream, bytes | bytearray | memoryview):
        return lambda: io.BytesIO(stream), "the stream"
    raise ValueError(f"a video is bytes or the path of a file, not {type(stream).__name__}")


def _for_ffmpeg(stream) -> Callable[[], Any]:
    """What PyAV opens a stream by: a file by its name, whatever signs are in it."""
    return (lambda: f"file:{os.fspath(stream)}") if isinstance(stream, str | os.PathLike) else _opener(stream)[0]


@contextlib.contextmanager
def _named(stream):
    """Put a file's name before what is wrong with it."""
    try:
        yield
    except StreamError as error:
        if not isinstance(stream, str | os.PathLike):
            raise
        raise StreamError(f"{os.fspath(stream)}: {error}") from error


def is_video(stream) -> bool:
    """Whether bytes or a file are a `.ckt` video, or another video or bitstream by the ending or the first bytes.

    >>> is_video("clip.mp4"), is_video(b"YUV4MPEG2 W64 H48"), is_video(b"ckt")
    (True, True, False)
    """
    if isinstance(stream, str | os.PathLike) and Path(stream).suffix.lower() in (*VIDEO_EXTENSIONS, *FORMATS):
        return True
    with _opener(stream)[0]() as file:
        start = file.read(16)
        if start[:3] != container.MAGIC:
            return _SIGNATURES.match(start) is not None
        reader = _FileReader(file, file.seek(0, io.SEEK_END))
        file.seek(4)
        try:
            return container.read_head(reader).is_video
        except StreamError:
            return False


#: First bytes of MP4 and MOV (but not of pictures: AVIF, HEIF), Matroska, AVI, YUV4MPEG, IVF.
_SIGNATURES = re.compile(
    rb"....(?:ftyp(?!avi[fs]|mi[fa]f|mif1|msf1|hei[cxms]|hev[cxms]|jp[2xm] )|moov|mdat|wide)"
    rb"|\x1a\x45\xdf\xa3|RIFF....AVI |YUV4MPEG2 |DKIF",
    re.DOTALL,
)


def _check_crc(file):
    length = file.seek(0, io.SEEK_END)
    file.seek(0)
    crc, left = 0, length - 4
    while left > 0:
        block = file.read(min(left, 1 << 20))
        crc, left = zlib.crc32(block, crc), left - len(block)
    if length < 20 or crc != int.from_bytes(file.read(4), "big"):
        raise StreamError("the .ckt file is cut or damaged: its CRC-32 does not match")


def _read_head(file) -> tuple[Container, int, int, int]:
    """The container without its payload, where the chunks begin and end, and the number of frames."""
    end = file.seek(0, io.SEEK_END) - 8
    file.seek(end)
    count = int.from_bytes(file.read(4), "big")
    file.seek(0)
    container.check_version(file.read(4))
    held = container.read_head(_FileReader(file, end))
    if not held.is_video:
        raise StreamError("the stream is a picture; codeckit.decode decodes it")
    return held, file.tell(), end, count


def _read_video(held: Container) -> tuple[tuple[int, int], Fraction]:
    """Size and frames a second."""
    reader = ByteReader(held.sections[container.VIDEO])
    size = reader.varint(), reader.varint()
    numerator, denominator = reader.varint(), reader.varint()
    if not 0 < numerator <= 1000 * denominator or reader.rest():
        raise StreamError(f"the stream declares {numerator}/{denominator} frames a second")
    return size, Fraction(numerator, denominator)


def _read_aspect(held: Container) -> Fraction:
    """Width of a pixel by its height."""
    if container.ASPECT not in held.sections:
        return Fraction(1)
    reader = ByteReader(held.sections[container.ASPECT])
    width, height = reader.varint(), reader.varint()
    if not width or not height or reader.rest():
        raise StreamError(f"the stream declares pixels of {width}×{height}")
    return Fraction(width, height)


def _frames(codec, reader, size, max_pixels):
    def chunks():
        while length := reader.varint():
            yield reader.raw(length)
        if reader.position != reader.end:
            raise StreamError("the video has bytes behind its last chunk")

    try:
        *_, last = folded(codec.stages).values()
        if isinstance(last, VideoStage):
            yield from last.inverse_frames(chunks(), size)
        else:
            for chunk in chunks():
                yield unfold(codec.stages, [chunk], max_pixels)[0]
    except StreamError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise StreamError(f"the stream's stages do not fit one another or its data: {error!r}") from error


class _FileReader(ByteReader):
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
