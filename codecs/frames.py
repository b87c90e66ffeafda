"""Videos in: whatever a user hands over becomes frames, one at a time.

A video is an iterator of uint8 arrays [H,W,3] (RGB) or [H,W] (grey), all of one shape. Nothing here holds more than a
frame or two, so memory does not grow with a video's length, but for the time stamps of one whose rate varies.

Files are decoded by FFmpeg through PyAV, but colour is converted here: planes Y, Cb, Cr by the matrix and range that
the file states (BT.601 below 720 lines and BT.709 from there on where it states none, limited range), chroma brought up
by the triangle filter of our JPEG. Two things are found out before the first frame is handed on:

- *Time stamps.* All packets are read, without decoding them, for the times at which their frames are shown. Frames that
  come at a constant rate, up to the rounding of the file's time base, have `fps`; others have `times` besides.
- *The way up.* A file may say how frames are to be turned for display (a *display matrix*: phones lay portrait videos
  on their side). The first frame is decoded for it, and all are turned, as stills with an Exif orientation are.

Animated pictures (GIF, APNG, WebP, AVIF) are read by Pillow, with the times that they state.
"""

import itertools
import math
import operator
import os
import re
import struct
import warnings
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, SupportsIndex, overload

import numpy as np

from ..primitives.errors import DamageWarning, StreamError
from ..primitives.picture import MAX_PIXELS, check_size
from .image_io import EXTENSIONS, Reading, naming, picture_files, read_frames, read_image
from .timing import Clock, average_rate, given_times, is_regular

#: File name endings that count as videos, those of raw samples without a header, and those of pictures that may move.
VIDEO_EXTENSIONS = (".mp4", ".mkv", ".mov", ".webm", ".avi", ".y4m")
RAW_EXTENSIONS = (".yuv", ".rgb")
ANIMATED_EXTENSIONS = (".gif", ".png", ".apng", ".webp", ".avif")

#: Frames a second where nothing says how many.
DEFAULT_FPS = Fraction(25)

_PLANAR = re.compile(r"(?:yuvj?4(20|22|44)p|(gray))(?:1[02]le)?")
_FACTORS = {"20": (2, 2), "22": (1, 2), "44": (1, 1), None: (1, 1)}


@dataclass(frozen=True)
class Frames:
    """A video, not yet read: iterate over it for its frames, as often as its source allows, or index it.

    ``frames[7]`` is a frame, ``frames[100:120]`` a video of twenty; numbers below 0 count from the end. Of a `.ckt`
    video, decoding begins at the nearest frame before the wanted one that can be decoded without others (see
    `codecs.video.VideoStage.is_key`). A list, an array or a folder is read from there on. Every other source, files
    that FFmpeg reads among them, is decoded from its first frame, and what comes before is thrown away.

    Attributes:
        size: (H, W).
        fps: frames a second; the mean where `times` are given.
        count: number of frames, None if that is not known beforehand.
        start: returns an iterator over uint8 arrays [H,W,3] or [H,W].
        name: where it comes from, for messages and records.
        times: seconds at which the frames begin, the first at 0; None where they come at a constant rate.
        duration: seconds until the last frame ends; None if that is not known beforehand.
        aspect: width of a pixel by its height, 1 for square ones.
        about: what a file that FFmpeg reads says of itself.
        seek: returns an iterator over the frames from one on, by its number; None where `start` has to do.
        partial: whether a cut or damaged video just ends where it cannot be decoded any more; a `DamageWarning` then
            says how many frames were promised and given.
        once: whether it can be iterated over a single time.

    >>> video = read_video(np.arange(5, dtype=np.uint8).repeat(12).reshape(5, 3, 4))
    >>> video[1][0, 0], [frame[0, 0] for frame in video[-2:]], video[2:9].count
    (np.uint8(1), [np.uint8(3), np.uint8(4)], 3)
    """

    size: tuple[int, int]
    fps: Fraction
    count: int | None
    start: Callable[[], Iterator[np.ndarray]]
    name: str = "frames"
    times: tuple[Fraction, ...] | None = None
    duration: Fraction | None = None
    aspect: Fraction = Fraction(1)
    about: "Probe | None" = None
    seek: Callable[[int], Iterator[np.ndarray]] | None = None
    partial: bool = False
    once: bool = False

    def __post_init__(self):
        if self.duration is None and self.count is not None:
            object.__setattr__(self, "duration", self.count / self.fps)

    @property
    def clock(self) -> Clock | None:
        """`times` and `duration` in ticks, None where frames come at a constant rate."""
        return None if self.times is None or self.duration is None else Clock.of(self.times, self.duration)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Frames, each checked to be uint8 of the video's size, and as many as there are time stamps."""
        given = 0
        try:
            for frame in self._checked():
                yield frame
                given += 1
        except StreamError as error:
            if not self.partial:
                raise
            warnings.warn(DamageWarning(given, self.count, str(error)), stacklevel=2)

    @overload
    def __getitem__(self, number: SupportsIndex) -> np.ndarray: ...
    @overload
    def __getitem__(self, number: slice) -> "Frames": ...

    def __getitem__(self, number):
        """A frame, or the frames of a range, as a video that is not yet read either.

        Raises:
            IndexError: there is no such frame.
            ValueError: a slice with a step, or a number that counts from the end where it is not known.
        """
        if isinstance(number, slice):
            if number.step not in (None, 1):
                raise ValueError(f"frames are taken one after the other, not every {number.step}")
            first = 0 if number.start is None else self._place(operator.index(number.start))
            last = self.count if number.stop is None else self._place(operator.index(number.stop))
            if self.count is not None:
                first, last = min(first, self.count), min(last or 0, self.count)
            return self._part(max(first, 0), None if last is None else max(last, first, 0))
        wanted = self._place(operator.index(number))
        if wanted >= 0 and (self.count is None or wanted < self.count):
            for frame in self._part(wanted, wanted + 1):
                return frame
        end = "" if self.count is None else f"; it has {self.count}"
        raise IndexError(f"{self.name} has no frame {number}{end}")

    def _place(self, number: int) -> int:
        if number < 0 and self.count is None:
            raise ValueError(f"how many frames {self.name} has is not known, so none can be counted from its end")
        return number if self.count is None or number >= 0 else number + self.count

    def _part(self, first: int, last: int | None) -> "Frames":
        """The frames from one on and before another; both are in the video where `count` is known."""

        def since(number: int):
            frames = self._since(first + number)
            return frames if last is None else itertools.islice(frames, max(last - first - number, 0))

        count = None if last is None or self.count is None else last - first
        part = replace(self, start=lambda: since(0), seek=since, count=count, duration=None)
        if self.times is None or self.duration is None:
            return replace(part, times=None)
        begin, *ends = (*self.times, self.duration)[first : None if last is None else last + 1]
        times = tuple(time - begin for time in (begin, *ends[:-1])[: len(ends)])
        duration = ends[-1] - begin if ends else Fraction(0)
        return replace(
            part, fps=average_rate(len(times), duration) if ends else self.fps, times=times, duration=duration
        )

    def _since(self, number: int) -> Iterator[np.ndarray]:
        """The frames from one on."""
        if number and self.seek:
            return iter(self.seek(number))
        return itertools.islice(self.start(), number, None)

    def _checked(self) -> Iterator[np.ndarray]:
        shape, number = None, -1
        for number, frame in enumerate(self.start()):
            frame = read_image(frame)
            shape = shape or frame.shape
            if frame.shape != shape or frame.shape[:2] != self.size:
                raise ValueError(f"frame {number} has the shape {list(frame.shape)}, those before it {list(shape)}")
            if self.times is not None and number == len(self.times):
                raise ValueError(f"the video has more frames than its {number} time stamps")
            yield frame
        if self.times is not None and number + 1 != len(self.times):
            raise ValueError(f"the video has {number + 1} frames, but {len(self.times)} time stamps")


def read_video(
    source,
    *,
    size=None,
    fps=None,
    times=None,
    pixel_format: str = "yuv420p",
    limit: int | None = None,
    background: Any = None,
) -> Frames:
    """The frames of a video, upright, with the times at which they are shown.

    Args:
        source: a video file (any container that FFmpeg reads, `.y4m` among them), a headerless `.yuv` or `.rgb` file, a
            picture, animated or not, a folder of pictures (sorted by name), an iterable of images (uint8 [H,W,3] or
            [H,W], PIL images or paths), or `Frames`.
        size: (H, W) of a headerless file, which does not say it.
        fps: frames a second, constant, whatever the source says of it; 25 where it says nothing.
        times: seconds at which the frames begin, ascending, instead of `fps`; one more is the end of the last frame,
            which otherwise lasts as long as the one before it.
        pixel_format: FFmpeg's name of a headerless file's samples, such as ``"yuv420p"`` or ``"rgb24"``.
        limit: stop after so many frames.
        background: colour (R, G, B), or the name of one, that transparent pixels are blended onto; without it, a video
            with transparent pixels is refused.

    Returns:
        `Frames`, which can be iterated again if the source can.

    Raises:
        FileNotFoundError: no such file or folder.
        StreamError: a file that FFmpeg cannot read as video; the message names it.
        ValueError: no frames, a headerless file without `size`, or an argument that is none of the above.

    >>> video = read_video(np.zeros((3, 4, 6, 3), np.uint8), fps=30)
    >>> video.size, video.count, len(list(video))
    ((4, 6), 3, 3)
    >>> read_video(np.zeros((3, 4, 6), np.uint8), times=[0, 0.5, 2]).duration
    Fraction(7, 2)
    """
    rate = None if fps is None else _rate(fps)
    if rate is not None and times is not None:
        raise ValueError("give fps or times, not both")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise ValueError(f"limit is a number of frames from 1 up, not {limit!r}")
    if isinstance(source, Frames):
        video = source
    elif isinstance(source, str | os.PathLike):
        path = Path(source)
        if not path.exists():
            raise FileNotFoundError(f"no video at {path}")
        video = _folder(path) if path.is_dir() else _file(path, size, rate, pixel_format, background)
    else:
        video = _iterable(source)
    if rate is not None:
        video = replace(video, fps=rate, times=None, duration=None)
    if times is not None:
        video = _timed(video, given_times(times))
    return video if limit is None or (video.count is not None and video.count <= limit) else video[:limit]


def _rate(fps) -> Fraction:
    """What a user says of frames a second."""
    try:
        rate = Fraction(float(fps) if isinstance(fps, np.number) else fps)
    except (TypeError, ValueError, ArithmeticError):
        rate = Fraction(0)
    if not Fraction(1, 1001) <= rate <= 1000:
        raise ValueError(f"fps is a number from 1/1001 to 1000, not {fps!r}")
    return rate.limit_denominator(1001)


def _timed(video: Frames, times: tuple[Fraction, ...]) -> Frames:
    """The same frames at other times, which may have the end of the last frame behind them."""
    count = video.count if video.count is not None else len(times)
    if len(times) not in (count, count + 1):
        raise ValueError(f"there are {count} frames, but {len(times)} times (one a frame, and at most one more)")
    if len(times) > count:
        *times, end = times
    else:
        end = times[-1] + (times[-1] - times[-2] if count > 1 else 1 / video.fps)
    return replace(video, fps=average_rate(count, end), count=count, times=tuple(times), duration=end)


def _iterable(source: Iterable) -> Frames:
    if not isinstance(source, Iterable):
        raise ValueError(f"a video is a path or an iterable of images, not {type(source).__name__}")
    iterator = iter(source)
    try:
        first = read_image(next(iterator))
    except StopIteration:
        raise ValueError("the video has no frames") from None
    again = iterator is not source  # a list or an array starts anew each time; an iterator is read once
    rest = [iterator]

    def start():
        if again:
            yield from source
        elif rest:
            yield first
            yield from rest.pop()
        else:
            raise ValueError("these frames came from an iterator, which can be read only once")

    count = len(source) if isinstance(source, Sized) else None
    seek = (lambda number: iter(source[number:])) if isinstance(source, list | tuple | np.ndarray) else None
    return Frames(first.shape[:2], DEFAULT_FPS, count, start, seek=seek, once=not again)


def _folder(path: Path) -> Frames:
    paths = picture_files(path)
    size = read_image(paths[0]).shape[:2]
    return Frames(
        size, DEFAULT_FPS, len(paths), lambda: iter(paths), path.name, seek=lambda number: iter(paths[number:])
    )


def _file(path: Path, size, fps, pixel_format, background) -> Frames:
    ending = path.suffix.lower()
    if ending in ANIMATED_EXTENSIONS or ending in EXTENSIONS:
        return _picture(path, background)
    with open(path, "rb") as file:
        if file.read(3) == b"ckt":
            raise ValueError(f"{path.name} is a stream of codeckit's; codeckit.decode_video gives its frames")
    import av

    options, form = {}, None
    if ending in RAW_EXTENSIONS:
        if size is None:
            raise ValueError(
                f"{path.name} has no header: say its size=(height, width), and pixel_format unless yuv420p"
            )
        try:
            av.VideoFormat(pixel_format, 2, 2)
        except ValueError as error:
            raise ValueError(f"pixel_format is FFmpeg's name of one, such as yuv420p, not {pixel_format!r}") from error
        form, options = "rawvideo", {"video_size": f"{size[1]}x{size[0]}", "pixel_format": pixel_format}
        options["framerate"] = str(fps or DEFAULT_FPS)
    return open_file(lambda: f"file:{path}", str(path), form, options, background=background)


# --- animated pictures ----------------------------------------------------------------------------------------------


def _picture(path: Path, background) -> Frames:
    """An animated picture with its times, or a still as a video of one frame."""

    def start():
        return (frame for frame, _ in _animation(path, background))

    size, ends = None, [Fraction(0)]
    for frame, lasts in _animation(path, background):
        size = size or frame.shape[:2]
        ends.append(ends[-1] + lasts)
    count, duration = len(ends) - 1, ends[-1]
    video = Frames(size, DEFAULT_FPS, count, start, path.name)
    if count == 1 or not duration:
        return video
    if len({late - early for early, late in pairwise(ends)}) == 1 and count <= 1000 * duration:
        return replace(video, fps=count / duration, duration=duration)
    return _timed(video, tuple(ends))


def _animation(path: Path, background) -> Iterator[tuple[np.ndarray, Fraction]]:
    """The frames of a picture and the seconds that each lasts, 0 where the file does not say."""
    for frame, milliseconds in read_frames(path, Reading(background=background)):
        lasts = Fraction(milliseconds).limit_denominator(1000) / 1000
        if path.suffix.lower() == ".gif" and lasts < Fraction(2, 100):
            lasts = Fraction(1, 10)  # as browsers do: old GIFs say 0 and mean "as fast as you can"
        yield frame, lasts


# --- files that FFmpeg reads ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Turn:
    """What a display matrix does: mirror left and right, then turn clockwise.

    Attributes:
        mirrored: whether it mirrors.
        angle: degrees, 0 or more and below 360.

    >>> Turn.of((0, 1, 0, -1, 0, 0, 0, 0, 1)), Turn.of((-1, 0, 0, 0, 1, 0, 0, 0, 1))
    (Turn(mirrored=False, angle=90.0), Turn(mirrored=True, angle=0.0))
    """

    mirrored: bool = False
    angle: float = 0.0

    @classmethod
    def of(cls, matrix: tuple[int, ...]) -> "Turn":
        """That of a matrix (a, b, u, c, d, v, x, y, w), which takes a point (x, y) to (ax + cy, bx + dy).

        ISO/IEC 14496-12, 6.2.2; y goes down. What the matrix scales by is left out, as players do.
        """
        a, b, _, c, d, *_ = matrix
        mirrored = a * d - b * c < 0
        if mirrored:
            a, b = -a, -b
        return cls(mirrored, round(math.degrees(math.atan2(b, a)), 2) % 360)

    @property
    def quarters(self) -> int | None:
        """How many times 90°, None if it is no multiple (by more than a degree)."""
        quarters = round(self.angle / 90)
        return quarters % 4 if abs(self.angle - 90 * quarters) < 1 else None

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """Turn a frame; other angles than multiples of 90° leave it as it is.

        >>> Turn(False, 90).apply(np.array([[1, 2], [3, 4]])).tolist()
        [[3, 1], [4, 2]]
        """
        if self.quarters is None:
            return pixels
        return np.rot90(pixels[:, ::-1] if self.mirrored else pixels, -self.quarters)


@dataclass(frozen=True)
class Probe:
    """What a video file says of itself, found out by reading its packets and decoding its first frame.

    Attributes:
        format, codec, pixel_format: FFmpeg's names.
        size: (H, W) of the frames, upright.
        channels: 1 for grey, 3 for colour.
        turn: what makes them upright.
        aspect: width by height of a pixel, upright.
        rate: frames a second, as the file states it or on average.
        stamps: times at which frames are shown, ascending, in units of `unit` seconds; empty if packets have none.
        unit: see `stamps`.
        last: units that the last frame lasts, 0 if nothing says so.
        count: number of frames, 0 if it is not known.
        others: kinds and codecs of the other streams in the file.
    """

    format: str
    codec: str
    pixel_format: str
    size: tuple[int, int]
    channels: int
    turn: Turn
    aspect: Fraction
    rate: Fraction
    stamps: tuple[int, ...]
    unit: Fraction
    last: int
    count: int
    others: tuple[str, ...]


def open_file(
    opener: Callable[[], object],
    name: str,
    form: str | None = None,
    options=None,
    *,
    max_pixels: int = MAX_PIXELS,
    background: Any = None,
) -> Frames:
    """`Frames` of a file that FFmpeg reads.

    Args:
        opener: returns a path or a binary file, afresh each time.
        name: for messages; of a path, its last part names the video.
        form: FFmpeg's name of the format, None to find it out.
        options: FFmpeg's options for it.
        max_pixels: the largest frame to accept.
        background: what transparent pixels are blended onto.
    """
    found = probe(opener, name, form, options, max_pixels=max_pixels)

    def frames():
        """Frames, upright, with their time stamps."""
        import av

        with _open(opener(), name, form, options) as file:
            stream = _video_stream(file, name, max_pixels)
            try:
                for number, frame in enumerate(file.decode(stream)):
                    pixels = found.turn.apply(to_rgb(frame, background, name))
                    if pixels.shape[:2] != found.size:
                        height, width = pixels.shape[:2]
                        raise StreamError(
                            f"{name}: frame {number} has {width}×{height} pixels, those before it "
                            f"{found.size[1]}×{found.size[0]}; such videos are not read"
                        )
                    yield pixels, frame.pts
            except (av.error.FFmpegError, MemoryError) as error:
                raise StreamError(f"{name} is damaged: {_said(error)}") from error

    rate = min(found.rate, Fraction(1000))
    video = Frames(found.size, rate, found.count or None, lambda: (pixels for pixels, _ in frames()), Path(name).name)
    video = replace(video, aspect=found.aspect, about=found)
    if not found.stamps or is_regular(found.stamps, found.last):
        return video
    times = [(stamp - found.stamps[0]) * found.unit for stamp in found.stamps]
    end = times[-1] + (found.last * found.unit or times[-1] - times[-2])
    return replace(
        video,
        fps=average_rate(len(times), end),
        count=len(times),
        start=lambda: _at(found.stamps, frames()),
        times=tuple(times),
        duration=end,
    )


def _at(stamps: tuple[int, ...], frames: Iterator[tuple[np.ndarray, int | None]]) -> Iterator[np.ndarray]:
    """One frame for each time stamp: where the decoder leaves one out, the one before stays, as on a screen."""
    shown, number = None, 0
    for pixels, stamp in frames:
        while shown is not None and stamp is not None and number < len(stamps) and stamps[number] < stamp:
            yield shown
            number += 1
        if number == len(stamps):
            return
        if stamp is None or stamp >= stamps[number]:
            yield pixels
            number += 1
        shown = pixels
    for _ in stamps[number:]:
        yield shown


def probe(
    opener: Callable[[], object],
    name: str,
    form: str | None = None,
    options=None,
    *,
    max_pixels: int = MAX_PIXELS,
) -> Probe:
    """What a file says of itself; the arguments are those of `open_file`.

    Raises:
        StreamError: not a video, without frames, or frames of more than `max_pixels`.
    """
    import av

    with _open(opener(), name, form, options) as file:
        stream = _video_stream(file, name, max_pixels)
        first, lasting, packets = None, {}, 0
        try:
            for packet in file.demux(stream):
                if first is None:
                    first = next(iter(packet.decode()), None)
                if packet.is_discard or not packet.size:  # before an edit list's start; what ends the stream
                    continue
                packets += 1
                if packet.pts is not None:
                    lasting[packet.pts] = packet.duration or 0
        except (av.error.FFmpegError, MemoryError) as error:
            if first is None:  # later damage is told where it is met
                raise StreamError(f"{name} is damaged: {_said(error)}") from error
        if first is None:
            raise StreamError(f"{name} holds no frames" + (" that can be decoded" if packets else ""))
        turn = _turn(first)
        size, aspect = (first.height, first.width), Fraction(stream.sample_aspect_ratio or 1)
        if (turn.quarters or 0) % 2:
            size, aspect = size[::-1], 1 / aspect
        check_size(size, max_pixels)
        stamps = _stamps(lasting, packets, first.pts)
        rate, unit = Fraction(stream.average_rate or DEFAULT_FPS), Fraction(stream.time_base)
        last = _last(file, stream, stamps, lasting)
        if len(stamps) > 1 and is_regular(stamps, last):
            # Where the file states another rate than its frames come at, these count; no frames come within a tick.
            span = (stamps[-1] - stamps[0]) * unit
            if unit * rate > 1 or abs(span * rate - (len(stamps) - 1)) > Fraction(1, 2) + unit * rate:
                rate = average_rate(len(stamps) - 1, span)
        others = [other for other in file.streams if other.index != stream.index]
        return Probe(
            file.format.name,
            stream.codec_context.codec.canonical_name,
            first.format.name,
            size,
            1 if first.format.name.startswith("gray") else 3,
            turn,
            aspect,
            rate,
            stamps,
            unit,
            last,
            len(stamps) or packets,
            tuple(f"{other.type} {_codec_name(other)}".strip() for other in others),
        )


def _stamps(lasting: dict[int, int], packets: int, first: int | None) -> tuple[int, ...]:
    """The time stamps of frames from the first that is decoded; none where packets lack them."""
    if len(lasting) < packets or first is None:
        return ()
    return tuple(sorted(stamp for stamp in lasting if stamp >= first))


def _last(file, stream, stamps, lasting) -> int:
    """Units that the last frame lasts, 0 if nothing says so."""
    if not stamps:
        return 0
    end = stamps[-1] + lasting[stamps[-1]]
    if "mp4" in file.format.name and not stream.start_time:
        # Packets' durations are those of decoding; the track has one of its own. That of a track that begins later
        # counts from its first decoding, so it is of no use.
        end = stream.duration or 0
    elif not lasting[stamps[-1]] and len(file.streams) == 1 and file.duration:
        end = round(Fraction(file.duration, 1_000_000) / stream.time_base)
    return max(0, end - stamps[-1])


def _codec_name(stream) -> str:
    return stream.codec_context.codec.canonical_name if getattr(stream, "codec_context", None) else ""


def _turn(frame) -> Turn:
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX" and len(bytes(data)) >= 36:
            return Turn.of(struct.unpack("=9i", bytes(data)[:36]))
    return Turn()


def _open(file, name, form, options):
    import av

    av.logging.set_level(av.logging.FATAL)
    # Playlists in a video's place are not followed to other files or hosts.
    options = {"protocol_whitelist": "file", **(options or {})}
    try:
        return av.open(file, format=form, options=options)
    except (av.error.FFmpegError, ValueError) as error:
        raise StreamError(f"{name} is not a video that FFmpeg can read: {_said(error)}") from error


def _said(error: Exception) -> str:
    from .standards.encoders import said

    return said(error)


def _video_stream(file, name, max_pixels):
    if not file.streams.video:
        kinds = sorted({stream.type for stream in file.streams}) or ["nothing"]
        raise StreamError(f"{name} holds no video (but {', '.join(kinds)})")
    stream = file.streams.video[0]
    if stream.codec_context is None:
        raise StreamError(f"{name} holds video of a kind that FFmpeg cannot decode")
    stream.codec_context.thread_count = 1
    # FFmpeg counts samples of whole coding blocks; the size itself is checked when it is known.
    stream.codec_context.options = {"max_pixels": str(2 * int(max_pixels) + (1 << 22))}
    return stream


def to_rgb(frame, background: Any = None, name: str = "the video") -> np.ndarray:
    """An FFmpeg frame as uint8 [H,W,3], or [H,W] if it is grey.

    Raises:
        ValueError: it has transparent pixels, and there is no background.
    """
    from .standards.encoders import from_frame

    if any(component.is_alpha for component in frame.format.components) or frame.format.name == "pal8":
        with naming(name):
            return read_image(frame.to_ndarray(format="rgba"), Reading(background=background))
    layout = _PLANAR.fullmatch(frame.format.name)
    matrix = {1: "bt709", 2: "bt601" if frame.height < 720 else "bt709", 5: "bt601", 6: "bt601"}.get(
        int(frame.colorspace)
    )
    if layout is None or (matrix is None and layout[2] is None):
        return frame.to_ndarray(format="rgb24")  # packed or rare: FFmpeg's own converter
    planes, bits = from_frame(frame)
    full = int(frame.color_range) == 2 or "yuvj" in frame.format.name
    v, h = _FACTORS[layout[1]]
    from ..primitives.color import planes_to_rgb  # here, for numba takes long to load
    from ..primitives.subsample import upsample

    planes = (planes[0], *(upsample(plane, v, h, planes[0].shape) for plane in planes[1:]))
    return planes_to_rgb(planes, matrix or "bt601", "full" if full else "limited", bits)
