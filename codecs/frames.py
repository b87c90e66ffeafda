"""Videos in: whatever a user hands over becomes frames, one at a time.

A video is an iterator of uint8 arrays [H,W,3] (RGB) or [H,W] (grey), all of one shape. Nothing here holds more than a
frame or two, so memory does not grow with a video's length.

Files are decoded by FFmpeg through PyAV, but colour is converted here: planes Y, Cb, Cr by the matrix and range that
the file states (BT.601 below 720 lines and BT.709 from there on where it states none, limited range), chroma brought up
by the triangle filter of our JPEG.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..primitives.errors import StreamError
from .image_io import EXTENSIONS, read_image

#: File name endings that count as videos, and those of raw samples without a header.
VIDEO_EXTENSIONS = (".mp4", ".mkv", ".mov", ".webm", ".avi", ".y4m")
RAW_EXTENSIONS = (".yuv", ".rgb")

#: Frames a second where nothing says how many.
DEFAULT_FPS = Fraction(25)

_PLANAR = re.compile(r"(?:yuvj?4(20|22|44)p|(gray))(?:1[02]le)?")
_FACTORS = {"20": (2, 2), "22": (1, 2), "44": (1, 1), None: (1, 1)}


@dataclass(frozen=True)
class Frames:
    """A video, not yet read: iterate over it for its frames, as often as its source allows.

    Attributes:
        size: (H, W).
        fps: frames a second.
        count: number of frames, None if that is not known beforehand.
        start: returns an iterator over uint8 arrays [H,W,3] or [H,W].
        name: where it comes from, for messages and records.
    """

    size: tuple[int, int]
    fps: Fraction
    count: int | None
    start: Callable[[], Iterator[np.ndarray]]
    name: str = "frames"

    def __iter__(self) -> Iterator[np.ndarray]:
        """Frames, each checked to be uint8 of the video's size."""
        shape = None
        for number, frame in enumerate(self.start()):
            frame = read_image(frame)
            shape = shape or frame.shape
            if frame.shape != shape or frame.shape[:2] != self.size:
                raise ValueError(f"frame {number} has the shape {list(frame.shape)}, those before it {list(shape)}")
            yield frame


def read_video(source, *, size=None, fps=None, pixel_format: str = "yuv420p", limit: int | None = None) -> Frames:
    """The frames of a video.

    Args:
        source: a video file (any container that FFmpeg reads, `.y4m` among them), a headerless `.yuv` or `.rgb` file, a
            folder of pictures (sorted by name), an iterable of images (uint8 [H,W,3] or [H,W], PIL images or paths), or
            `Frames`.
        size: (H, W) of a headerless file, which does not say it.
        fps: frames a second; needed for nothing but time stamps where the source says none.
        pixel_format: FFmpeg's name of a headerless file's samples, such as ``"yuv420p"`` or ``"rgb24"``.
        limit: stop after so many frames.

    Returns:
        `Frames`, which can be iterated again if the source can.

    Raises:
        FileNotFoundError: no such file or folder.
        StreamError: a file that FFmpeg cannot read as video.
        ValueError: no frames, or a headerless file without `size`.

    >>> video = read_video(np.zeros((3, 4, 6, 3), np.uint8), fps=30)
    >>> video.size, video.count, len(list(video))
    ((4, 6), 3, 3)
    """
    if isinstance(source, Frames):
        video = source
    elif isinstance(source, str | os.PathLike):
        path = Path(source)
        if not path.exists():
            raise FileNotFoundError(f"no video at {path}")
        video = _folder(path) if path.is_dir() else _file(path, size, fps, pixel_format)
    else:
        video = _iterable(source)
    rate = video.fps if fps is None else Fraction(fps).limit_denominator(1001)
    if not 0 < rate <= 1000:
        raise ValueError(f"fps is a number from above 0 to 1000, not {fps!r}")
    if limit is None:
        return Frames(video.size, rate, video.count, video.start, video.name)
    count = limit if video.count is None else min(limit, video.count)
    return Frames(video.size, rate, count, lambda: _first(video, limit), video.name)


def _first(video, limit):
    for _, frame in zip(range(limit), video, strict=False):
        yield frame


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

    count = len(source) if hasattr(source, "__len__") else None
    return Frames(first.shape[:2], DEFAULT_FPS, count, start)


def _folder(path: Path) -> Frames:
    paths = sorted(file for file in path.iterdir() if file.suffix.lower() in EXTENSIONS and file.is_file())
    if not paths:
        raise ValueError(f"no pictures in {path}")
    return Frames(read_image(paths[0]).shape[:2], DEFAULT_FPS, len(paths), lambda: iter(paths), path.name)


def _file(path: Path, size, fps, pixel_format) -> Frames:
    options, form = {}, None
    if path.suffix.lower() in RAW_EXTENSIONS:
        if size is None:
            raise ValueError(
                f"{path.name} has no header: say its size=(height, width), and pixel_format unless yuv420p"
            )
        form, options = "rawvideo", {"video_size": f"{size[1]}x{size[0]}", "pixel_format": pixel_format}
        options["framerate"] = str(fps or DEFAULT_FPS)
    return open_file(lambda: str(path), path.name, form, options)


def open_file(opener: Callable[[], object], name: str, form: str | None = None, options=None) -> Frames:
    """`Frames` of a file that FFmpeg reads.

    Args:
        opener: returns a path or a binary file, afresh each time.
        name: for messages.
        form: FFmpeg's name of the format, None to find it out.
        options: FFmpeg's options for it.
    """
    with _open(opener(), name, form, options) as file:
        stream = _video_stream(file, name)
        size, fps = (stream.height, stream.width), stream.average_rate or DEFAULT_FPS
        count = stream.frames or None

    def start():
        import av

        with _open(opener(), name, form, options) as file:
            stream = _video_stream(file, name)
            stream.codec_context.thread_count = 1
            try:
                for frame in file.decode(stream):
                    yield to_rgb(frame)
            except av.error.FFmpegError as error:
                raise StreamError(f"{name} is damaged: {error}") from error

    return Frames(size, Fraction(fps), count, start, name)


def _open(file, name, form, options):
    import av

    av.logging.set_level(av.logging.FATAL)
    try:
        return av.open(file, format=form, options=options or {})
    except av.error.FFmpegError as error:
        raise StreamError(f"{name} is not a video that FFmpeg can read: {error}") from error


def _video_stream(file, name):
    if not file.streams.video:
        raise StreamError(f"{name} holds no video")
    return file.streams.video[0]


def to_rgb(frame) -> np.ndarray:
    """An FFmpeg frame as uint8 [H,W,3], or [H,W] if it is grey."""
    from .standards.encoders import from_frame

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
