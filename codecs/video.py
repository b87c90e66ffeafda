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
import functools
import io
import itertools
import math
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..primitives import container
from ..primitives.bitstream import ByteReader, ByteWriter
from ..primitives.container import Container
from ..primitives.errors import StreamError
from ..primitives.files import is_same_file, new_file
from ..primitives.picture import MAX_PIXELS, check_size
from ..primitives.stage import Stage, folded
from . import chunks, timing
from .frames import VIDEO_EXTENSIONS, Frames, open_file, read_video
from .importance import WeighedEncoder
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

    **Random access.** `heads` chunks stand at the beginning and hold no frame. Where `is_key` says so of a later chunk,
    decoding can begin there: `inverse_frames` of the heads, this chunk and those that follow gives the frame with the
    chunk's number among those behind the heads, and those that follow.
    """

    #: Chunks at the beginning that hold no frame, which decoding needs wherever it begins.
    heads: ClassVar[int] = 0

    #: Whether each chunk behind the heads is one frame, and they stand in the order in which frames are shown.
    in_order: ClassVar[bool] = False

    def is_key(self, start: bytes) -> bool:
        """Whether decoding can begin at a chunk; False where it cannot be told.

        Args:
            start: the chunk's first bytes, up to `codecs.chunks.BEGINNING`. They may be damaged.
        """
        return False

    def kind(self, start: bytes) -> str:
        """How the frame of a chunk is coded, ``"I"`` without others and ``"P"`` predicted from one; ``""`` if unknown.

        Args:
            start: as for `is_key`.
        """
        return "I" if self.is_key(start) else ""

    def forward_frames(self, frames: Iterable[np.ndarray], size: tuple[int, int], fps: Fraction) -> Iterator[bytes]:
        """Chunks of frames (uint8 [H,W,3] or [H,W], all alike) of `size` (H, W)."""
        raise TypeError(f"{type(self).__name__} defines no forward_frames(frames, size, fps)")

    def inverse_frames(self, chunks: Iterable[bytes], size: tuple[int, int]) -> Iterator[np.ndarray]:
        """Frames of chunks: the inverse of `forward_frames`."""
        raise TypeError(f"{type(self).__name__} defines no inverse_frames(chunks, size)")

    def observe(self, chunks: Iterable[bytes], size: tuple[int, int]) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
        """`inverse_frames`, and with each frame what the decoder made it of: arrays by name (`trace_video`).

        Usual names: ``"prediction"`` (uint8, of the frame's shape), ``"residual"`` (signed integers, of the frame's
        shape), ``"motion"`` ([rows,columns,2] of blocks: down and right, in pixels). Names that end in ``" bits"`` are
        the bits that something took at each position, float64 [rows,columns]; [1,1] where only their sum is known.
        """
        for frame in self.inverse_frames(chunks, size):
            yield frame, {}


@dataclass(frozen=True)
class FrameTrace:
    """A frame of a coded video, and how it was coded.

    Attributes:
        number: of the frame, from 0.
        kind: ``"I"`` for one that is coded without others, ``"P"`` for one that is predicted; ``""`` if unknown.
        bytes: size of its chunk; NaN where chunks are not frames in their order.
        psnr: in dB against the source, NaN without one.
        frame: uint8 [H,W,3] or [H,W], as it is decoded.
        maps: what the decoder made it of, by name; see `VideoStage.observe`.
    """

    number: int
    kind: str
    bytes: float
    psnr: float
    frame: np.ndarray
    maps: dict[str, np.ndarray]


def progress_bar(frames: Iterable, count: int | None, shown: bool, told: str = "") -> Iterator:
    """Frames with a bar on a terminal's stderr: how many have passed, and how many a second.

    Args:
        frames: what to pass on.
        count: how many there are, None if that is not known.
        shown: whether there is a bar at all.
        told: what stands before it.
    """
    from tqdm import tqdm

    hidden: Any = None if shown else True  # None: shown on a terminal alone
    yield from tqdm(frames, told or None, count, unit=" frames", disable=hidden)


def check_not_input(frames, out) -> None:
    """Refuse an output that is the video itself.

    Raises:
        ValueError: both are one file.
    """
    if out is not None and isinstance(frames, str | os.PathLike) and is_same_file(frames, out):
        raise ValueError(f"{os.fspath(out)!r} is the input itself; give the result another name")


def encode_video(codec, frames, out=None, *, fps=None, progress: bool | str = False) -> bytes | Path:
    """Encode a video with a configured codec.

    Args:
        codec: a `Codec`.
        frames: what `read_video` takes.
        out: the file to write; its ending says the format. None for the bytes of a `.ckt` stream.
        fps: frames a second, whatever the source says.
        progress: whether a bar is shown on a terminal, or what stands before it.

    Raises:
        ValueError: no frames, frames that differ in shape, a file format that the codec does not write, or an `out`
            that is the video itself.
    """
    check_not_input(frames, out)
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

    count = 0

    def counted():
        nonlocal count
        for frame in progress_bar(source, source.count, bool(progress), progress if isinstance(progress, str) else ""):
            yield frame
            count += 1
        if source.times is not None and count != len(source.times):
            raise ValueError(f"{source.name} has {count} frames, but {len(source.times)} time stamps")

    passing: Iterator[np.ndarray] = counted()
    if isinstance(codec.encoder, WeighedEncoder) and (start := list(itertools.islice(passing, 1))):
        stages, prepare = codec.encoder.for_video(codec.stages, start[0])
        codec = replace(codec, stages=stages)
        last = list(folded(stages).values())[-1]
        passing = map(prepare, itertools.chain(start, passing))

    if out is None:
        file = io.BytesIO()
        _write(codec, passing, lambda: count, source, file)
        return file.getvalue()
    with new_file(out) as temporary:
        if ending == ".ckt":
            with open(temporary, "wb") as file:
                _write(codec, passing, lambda: count, source, file)
        else:
            last.write_file(passing, source, temporary, FORMATS[ending])
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


def decode_video(
    stream, codec_for: Callable[[Container], Any], *, max_pixels: int = MAX_PIXELS, partial: bool = False
) -> Frames:
    """The frames of a coded video, decoded as they are asked for, one after the other or by their numbers.

    Args:
        stream: bytes or a path: a `.ckt` video, or any file that FFmpeg reads.
        codec_for: gives the `Codec` for a `.ckt` stream's container.
        max_pixels: the largest frame to accept.
        partial: the video may be cut or damaged: nothing is checked as a whole, and frames come up to the first that
            cannot be decoded. There iteration ends with a `DamageWarning`, which has the numbers of frames that were
            promised and given. Damage that nothing notices, in the samples of a codec without checks, is decoded.

    Returns:
        `Frames`, upright, with their size, number and frames a second, and with time stamps where the rate varies. With
        `partial`, the number is what the video says of itself, None where that part is missing.

    Raises:
        StreamError: no video, cut, damaged, or frames larger than `max_pixels`; the message names the file. Damage
            that shows only in a frame is raised when that frame is reached.

    >>> import codeckit, warnings
    >>> codec = codeckit.codec("jpeg")
    >>> stream = codec.encode_video(np.zeros((2, 8, 8, 3), np.uint8), fps=30)
    >>> decode_video(stream, codec.for_stream).count
    2
    >>> with warnings.catch_warnings(record=True) as told:
    ...     len(list(decode_video(stream[:-100], codec.for_stream, partial=True)))
    1
    >>> told[0].message.given
    1
    """
    opened, name = _opener(stream)
    with opened() as file:
        is_ckt = file.read(3) == container.MAGIC
    if not is_ckt:
        return replace(open_file(_for_ffmpeg(stream), name, max_pixels=max_pixels), partial=partial)
    with _named(stream):
        with opened() as file:
            if not partial:
                _check_crc(file)
            held, start, end, count = _read_head(file, partial)
        size, fps = _read_video(held)
        clock = _read_clock(held, count, partial)
        aspect = _read_aspect(held)
        check_size(size, max_pixels)
        codec = codec_for(held)
    last: Any = list(folded(codec.stages).values())[-1]

    @functools.cache
    def index() -> chunks.Index:
        with opened() as file:
            return chunks.index(file, start, end)

    def begin(file, wanted: int) -> tuple[int, Iterator[bytes]]:
        """Where decoding begins for a frame: the number of the frame that comes first, and the chunks from there on."""
        key = _key_before(file, index(), last, wanted, count) if wanted else 0
        heads = [index().read(file, number) for number in range(_heads(last) if key else 0)]
        file.seek(index().starts[len(heads) + key] if key else start)
        return key, itertools.chain(heads, chunks.chunks(chunks.FileReader(file, end)))

    def frames(first: int = 0):
        with _named(stream), opened() as file:
            number, found = begin(file, first)
            for frame in _frames(codec, found, size, max_pixels):
                if not isinstance(frame, np.ndarray) or frame.shape[:2] != size or frame.dtype != np.uint8:
                    raise StreamError(f"frame {number} of the stream has another size than the video")
                if number >= first:
                    yield frame
                number += 1
            if count is None:
                raise StreamError("the stream ends behind its last chunk, before the number of its frames")
            if number != count:
                raise StreamError(f"the stream holds {number} frames, not {count} as it says")

    video = Frames(size, fps, count, frames, codec.name, aspect=aspect, seek=frames, partial=partial)
    if clock is None:
        return video
    return replace(video, count=len(clock.times), times=clock.times, duration=clock.duration)


def _heads(last: Stage) -> int:
    return last.heads if isinstance(last, VideoStage) else 0


def _key_before(file, index: chunks.Index, last: Stage, wanted: int, count: int | None) -> int:
    """The number of the frame nearest to a wanted one, or that itself, at which decoding can begin.

    Raises:
        StreamError: the stream ends before the wanted frame.
    """
    heads = _heads(last)
    if count is not None and len(index) != heads + count:  # chunks are other things than frames
        return 0
    if wanted >= len(index) - heads:
        raise StreamError(f"the stream ends before frame {wanted}")
    if not isinstance(last, VideoStage):
        return wanted
    while wanted and not last.is_key(index.beginning(file, heads + wanted)):
        wanted -= 1
    return wanted


def read_container(stream) -> Container:
    """The container of a `.ckt` video, without its payload."""
    with _named(stream), _opener(stream)[0]() as file:
        return _read_head(file)[0]


@dataclass(frozen=True)
class Groups:
    """How a `.ckt` video can be entered.

    Attributes:
        keys: numbers of the frames at which decoding can begin, the first one always; None if that cannot be told.
        kinds: how each frame is coded, ``"I"`` or ``"P"``; None if that cannot be told.
        bytes: of each frame; None where chunks are not frames in their order.
    """

    keys: tuple[int, ...] | None
    kinds: tuple[str, ...] | None
    bytes: tuple[int, ...] | None


def groups(stream, last: Stage) -> Groups:
    """How a sound `.ckt` video can be entered, from its chunks' lengths and first bytes.

    Args:
        stream: bytes or a path.
        last: the last stage of the codec that decodes it.

    >>> import codeckit
    >>> codec = codeckit.codec("video-teaching", gop=2)
    >>> groups(codec.encode_video(np.zeros((5, 8, 8), np.uint8)), codec.stages["hybrid"]).kinds
    ('I', 'P', 'I', 'P', 'I')
    """
    with _named(stream), _opener(stream)[0]() as file:
        _, start, end, count = _read_head(file)
        index = chunks.index(file, start, end)
        heads = _heads(last)
        if len(index) != heads + count:
            return Groups(None, None, None)
        sizes = tuple(index.length(file, number) for number in range(heads, len(index)))
        if not isinstance(last, VideoStage):
            return Groups(tuple(range(count)), ("I",) * count, sizes)
        starts = [index.beginning(file, number) for number in range(heads, len(index))]
        keys = tuple(number for number, start in enumerate(starts) if not number or last.is_key(start))
        kinds = tuple(last.kind(start) for start in starts)
        return Groups(
            None if type(last).is_key is VideoStage.is_key else keys,
            kinds if last.in_order and all(kinds) else None,
            sizes if last.in_order else None,
        )


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
        reader = chunks.FileReader(file, file.seek(0, io.SEEK_END))
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


def _read_head(file, partial: bool = False) -> tuple[Container, int, int, Any]:
    """The container without its payload, where the chunks begin and end, and the number of frames.

    With `partial` the last bytes may be missing: chunks then end with the file, and the number is None.
    """
    length = file.seek(0, io.SEEK_END)
    file.seek(max(length - 8, 0))
    count = int.from_bytes(file.read(4), "big")
    file.seek(0)
    container.check_version(file.read(4))
    held = container.read_head(chunks.FileReader(file, length if partial else length - 8))
    if not held.is_video:
        raise StreamError("the stream is a picture; codeckit.decode decodes it")
    start = file.tell()
    if partial and not chunks.index(file, start, length - 8).whole:
        return held, start, length, None
    return held, start, length - 8, count


def _read_video(held: Container) -> tuple[tuple[int, int], Fraction]:
    """Size and frames a second."""
    reader = ByteReader(held.sections[container.VIDEO])
    size = reader.varint(), reader.varint()
    numerator, denominator = reader.varint(), reader.varint()
    if not 0 < numerator <= 1000 * denominator or reader.rest():
        raise StreamError(f"the stream declares {numerator}/{denominator} frames a second")
    return size, Fraction(numerator, denominator)


def _read_clock(held: Container, count: int | None, partial: bool) -> timing.Clock | None:
    """Time stamps, if there are any; with `partial` only those that are sound."""
    if container.TIMES not in held.sections:
        return None
    try:
        return timing.unpack(held.sections[container.TIMES], count)
    except StreamError:
        if not partial:
            raise
        return None


def _read_aspect(held: Container) -> Fraction:
    """Width of a pixel by its height."""
    if container.ASPECT not in held.sections:
        return Fraction(1)
    reader = ByteReader(held.sections[container.ASPECT])
    width, height = reader.varint(), reader.varint()
    if not width or not height or reader.rest():
        raise StreamError(f"the stream declares pixels of {width}×{height}")
    return Fraction(width, height)


def trace_video(stream, codec_for: Callable[[Container], Any], *, max_pixels: int = MAX_PIXELS) -> Iterator[FrameTrace]:
    """Decode a `.ckt` video frame by frame, with what each is made of.

    Args:
        stream: bytes or a path.
        codec_for: gives the `Codec` for the stream's container.
        max_pixels: the largest frame to accept.

    Yields:
        A `FrameTrace` for each frame, without `psnr`.

    Raises:
        ValueError: a video of another format.
        StreamError: cut or damaged, as in `decode_video`.

    >>> import codeckit
    >>> codec = codeckit.codec("video-teaching")
    >>> stream = codec.encode_video(np.zeros((2, 16, 16), np.uint8))
    >>> [(each.kind, "motion" in each.maps) for each in trace_video(stream, codec.for_stream)]
    [('I', False), ('P', True)]
    """
    video = decode_video(stream, codec_for, max_pixels=max_pixels)
    if video.about is not None:
        raise ValueError(f"{video.name} is a file of FFmpeg's; the frames of .ckt videos alone can be traced")
    with _named(stream), _opener(stream)[0]() as file:
        held, start, end, _ = _read_head(file)
        codec = codec_for(held)
        found = groups(stream, list(folded(codec.stages).values())[-1])
        file.seek(start)
        observed = _frames(codec, chunks.chunks(chunks.FileReader(file, end)), video.size, max_pixels, observed=True)
        for number, (frame, maps) in enumerate(observed):
            kind = found.kinds[number] if found.kinds else ""
            yield FrameTrace(number, kind, found.bytes[number] if found.bytes else math.nan, math.nan, frame, maps)


def _frames(codec, found: Iterator[bytes], size, max_pixels, observed: bool = False):
    """The frames of chunks; with `observed`, each in a pair with its maps."""
    try:
        *_, last = folded(codec.stages).values()
        if isinstance(last, VideoStage):
            yield from last.observe(found, size) if observed else last.inverse_frames(found, size)
        else:
            for chunk in found:
                frame = unfold(codec.stages, [chunk], max_pixels)[0]
                yield (frame, {}) if observed else frame
    except StreamError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise StreamError(f"the stream's stages do not fit one another or its data: {error!r}") from error
