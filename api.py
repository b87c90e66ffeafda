"""Encode with a target, and decode anything: the top of the public API."""

import contextlib
import itertools
import math
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any, cast

import numpy as np

from .codecs import rate_control, registry, video
from .codecs.base import Codec
from .codecs.frames import Frames, read_video
from .codecs.image_io import Reading, naming, read_stream
from .primitives import container
from .primitives.files import new_file
from .primitives.picture import MAX_PIXELS


def _check_targets(quality: Any, **targets: Any) -> None:
    """Refuse what is no number, and several targets at once.

    Raises:
        ValueError: the message names it.
    """
    for target, value in targets.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, Real) or math.isnan(value)):
            raise ValueError(f"{target} is a number, not {value!r}")
    if sum(target is not None for target in (quality, *targets.values())) > 1:
        *names, last = "quality", *targets
        raise ValueError(f"give one of {', '.join(names)} and {last}")


def encode(
    image: Any,
    name: str,
    *,
    quality: float | None = None,
    bpp: float | None = None,
    psnr: float | None = None,
    accuracy: float | None = None,
    task: Any = "imagenet",
    background: Any = None,
    **options: Any,
) -> bytes:
    """Encode an image with a codec, at a quality or at a target.

    Rate control is a search over the codec's quality scale (in eighths where rates are continuous), with real streams:
    `bpp` gives the highest quality whose stream takes no more bits a pixel (headers included), `psnr` the lowest one
    that reaches so many dB, `accuracy` the lowest at which a task reads the decoded picture or tokens as it reads the
    original: their answers agree with that probability (`metrics.tasks.agreement`). It needs no label.

    Args:
        image: uint8 array [H,W,3] or [H,W], PIL image, or path.
        name: a registered codec.
        quality, bpp, psnr, accuracy: one of them, or none for the codec's default quality.
        task: who reads, for `accuracy`: the name of a task or a `Task`.
        background: colour (R, G, B), or the name of one, that transparent pixels are blended onto; without it, a
            picture with transparent pixels is refused.
        **options: other options of the codec; among those of every codec are ``depth`` and ``frame``, for files with
            more bits or several frames, ``metadata``: ``"color"``, ``"keep"`` or ``"drop"`` (`image_io.Reading`), and
            ``importance`` and ``strength``: where errors count more (`codecs.importance`).

    Returns:
        The stream.

    Raises:
        ValueError: unknown codec or option, several targets at once, or a target that no quality reaches.

    >>> image = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    >>> stream = encode(image, "jpeg", bpp=4)
    >>> 8 * len(stream) / image.size <= 4
    True
    """
    _check_targets(quality, bpp=bpp, psnr=psnr, accuracy=accuracy)
    if accuracy is not None and not 0 < accuracy <= 1:
        raise ValueError(f"accuracy is a probability, above 0 and up to 1, not {accuracy!r}")
    if background is not None:
        options["background"] = background
    if bpp is None and psnr is None and accuracy is None:
        if quality is not None:
            options["quality"] = quality
        return registry.codec(name, **options).encode(image)

    photo = registry.codec(name, **options).read(image)
    reference = photo.pixels
    pixels = reference.shape[0] * reference.shape[1]
    entry = registry.entry(name)
    steps = entry.quality_steps
    low, high = (round(bound * steps) for bound in entry.quality)

    def stream_at(level: int) -> bytes:
        return registry.codec(name, quality=level if steps == 1 else level / steps, **options).encode(photo)

    if bpp is not None:
        wanted, value = f"{bpp} bpp", _log_size
        most = math.log(bpp * pixels / 8 + 1e-6) if bpp > 0 else -math.inf
    elif accuracy is not None:
        wanted, value = _agreement(reference, task, accuracy, pixels)
        most = np.nextafter(accuracy, 0)  # what is exceeded
    elif entry.media == "tokens":
        raise ValueError(
            f"{name} decodes to tokens, not to pictures that have a PSNR; give quality=, bpp= or accuracy="
        )
    else:
        wanted, value = _likeness(reference, cast(float, psnr), pixels)
        most = np.nextafter(cast(float, psnr), 0)
    streams: dict[int, bytes] = {}

    def value_at(level: int) -> float:
        streams[level] = stream_at(level)
        return value(streams[level])

    level = rate_control.crossing(value_at, most, low, high)
    if bpp is not None:
        if level == low:
            least, lowest = 8 * len(streams[low]) / pixels, entry.quality[0]
            raise ValueError(f"{name} needs {least:.4g} bpp for this image at its lowest quality, {lowest}; not {bpp}")
        return streams[level - 1]
    if level > high:
        raise ValueError(
            f"{name} does not reach {wanted} on this image, even at its highest quality, {entry.quality[1]}"
        )
    return streams[level]


def _log_size(stream: bytes) -> float:
    return math.log(len(stream))


def _agreement(reference: np.ndarray, task: Any, accuracy: float, pixels: int) -> tuple[str, Callable[[bytes], float]]:
    """What is wanted in words, and how far a task reads a stream as it reads the reference."""
    from .metrics.tasks import agreement, describe, resolve

    (reader,) = resolve(task)
    if not describe(reader).classification:
        raise ValueError(f"accuracy= takes a classification, whose answers can agree; {reader.name} is none")
    answer = reader.predict(reference)
    return (
        f"an agreement of {accuracy} in the task {reader.name}",
        lambda stream: agreement(answer, reader.predict(decode(stream, max_pixels=pixels))),
    )


def _likeness(reference: np.ndarray, psnr: float, pixels: int) -> tuple[str, Callable[[bytes], float]]:
    """What is wanted in words, and with how many dB a stream decodes to the reference."""
    from .metrics import psnr as measured

    return f"{psnr} dB", lambda stream: measured(reference, _like(decode(stream, max_pixels=pixels), reference))


def _like(decoded: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Codecs without grey give grey images back as RGB."""
    return decoded[..., 0] if decoded.ndim > image.ndim else decoded


def decode(
    stream: Any,
    *,
    max_pixels: int = MAX_PIXELS,
    device: str = "cpu",
    partial: bool = False,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
) -> Any:
    """Decode a stream of any codec, found from the bytes alone.

    Args:
        stream: bytes or a path: a `.ckt` file, or a file of a standard format that some codec here decodes.
        max_pixels: the largest picture to accept, as a guard against streams that declare absurd sizes.
        device: where the networks of learned codecs run, "cpu" or "cuda"; other codecs have none.
        partial: the stream may be cut at its end or damaged: a `.jpg` file decodes as libjpeg decodes it, a `.ckt`
            stream of a codec with embedded streams as far as it goes. Nothing is checked then.
        background: colour (R, G, B), or the name of one, that transparent pixels are blended onto.
        depth: 8 takes the upper 8 bits of samples that have 9 to 16.
        frame: number of the one to take of several frames or pages, from 0.

    Returns:
        uint8 [H,W,3], or [H,W] for a grey picture; pixels as the file stores them (an Exif orientation is not applied,
        and colours are those of the file's profile). `Tokens` for a stream of tokens.

    Raises:
        StreamError: no known format, cut, damaged, or too large.
        ReadingError: the file has transparent pixels, more than 8 bits or several frames, and nothing says what to do
            with them.

    >>> from codeckit import codec
    >>> decode(codec("webp").encode(np.zeros((4, 6, 3), np.uint8))).shape
    (4, 6, 3)
    """
    reading = Reading(background, depth, frame)
    data = read_stream(stream)
    with naming(stream):
        if data[:3] != container.MAGIC:
            codec = replace(registry.reader(registry.sniff(data)).on(device), reading=reading)
            return codec.decode(data, max_pixels=max_pixels, partial=partial)
        held = container.unpack(data, partial)
        container.check_still(held)
        codec = registry.codec_for(held, device)
        if partial and not container.is_whole(data):
            return codec.decode_partial(held.payload, max_pixels)
        return codec.decode_payloads([held.payload], max_pixels)[0]


def find_codec(data: bytes, device: str = "cpu") -> Codec:
    """The codec that decodes a stream.

    Raises:
        StreamError: none does.

    >>> from codeckit import codec
    >>> find_codec(codec("jpeg").encode(np.zeros((8, 8), np.uint8))).name
    'jpeg'
    """
    if data[:3] != container.MAGIC:
        return registry.reader(registry.sniff(data)).on(device)
    held = container.unpack(data)
    container.check_still(held)
    return registry.codec_for(held, device)


def encode_video(
    frames: Any,
    name: str,
    out: Any = None,
    *,
    quality: float | None = None,
    bpp: float | None = None,
    psnr: float | None = None,
    fps: Any = None,
    progress: bool = False,
    **options: Any,
) -> Any:
    """Encode a video with a codec, at a quality or at a target.

    Rate control is a search over the codec's quality scale (in eighths where rates are continuous) with real streams,
    in a few passes over the video (`codecs.rate_control`): `bpp` gives the highest quality whose whole file takes no
    more bits a pixel, as a mean over all frames; `psnr` the lowest one whose frames have so many dB, as a mean over all
    frames in RGB. The next quality on the scale has been seen to miss.

    Args:
        frames: what `read_video` takes, or `Frames`. For a target, a source that can be read several times: a file, a
            list, an array; not a generator.
        name: a registered codec.
        out: the file to write, in a format of the codec's; None for the bytes of a `.ckt` stream.
        quality, bpp, psnr: one of them, or none for the codec's default quality.
        fps: frames a second, whatever the source says.
        progress: whether a bar is shown on a terminal.
        **options: other options of the codec.

    Returns:
        The stream, or the path of the file.

    Raises:
        ValueError: unknown codec or option, several targets at once, a target that no quality reaches (the message has
            what comes nearest), frames that can be read only once, and what `codecs.video.encode_video` refuses.

    >>> frames = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    >>> stream = encode_video(frames, "jpeg", bpp=4)
    >>> 8 * len(stream) / (3 * 32 * 32) <= 4
    True
    """
    _check_targets(quality, bpp=bpp, psnr=psnr)
    if bpp is None and psnr is None:
        if quality is not None:
            options["quality"] = quality
        return registry.codec(name, **options).encode_video(frames, out, fps=fps, progress=progress)
    video.check_not_input(frames, out)
    source = read_video(frames, fps=fps)
    if source.once:
        raise ValueError(
            f"{'bpp' if psnr is None else 'psnr'}= codes a video several times, and an iterator can be read only once; "
            "give a file, a list or an array"
        )
    entry, ending = registry.entry(name), ".ckt" if out is None else Path(out).suffix
    low, high = (round(bound * entry.quality_steps) for bound in entry.quality)

    def coded(part: Frames, level: int, path: Path, told: str) -> float:
        """What a part of the video comes to at a level, in a file: the logarithm of its rate, or its PSNR."""
        at = level if entry.quality_steps == 1 else level / entry.quality_steps
        codec = registry.codec(name, quality=at, **options)
        codec.encode_video(part, path, progress=progress and f"{told}, quality {at:g}")
        decoded = decode_video(path, max_pixels=part.size[0] * part.size[1])
        if psnr is None:
            count = part.count or decoded.count or sum(1 for _ in part)
            return math.log(8 * path.stat().st_size / (part.size[0] * part.size[1] * count))
        return _mean_psnr(part, video.progress_bar(decoded, part.count, progress, f"{told}, measuring"))

    with _new_file(out) as target, tempfile.TemporaryDirectory() as folder:
        values: dict[int, float] = {}
        best = Path(folder, f"best{ending}")

        def whole(level: int) -> float:
            path = Path(folder, f"pass{ending}")
            values[level] = coded(source, level, path, f"pass {len(values) + 1}")
            if (values[level] > wanted) == (bpp is None):  # of two that meet the target, the later one is nearer to it
                path.replace(best)
            return values[level]

        def excerpt(level: int) -> float:
            return coded(source[: rate_control.EXCERPT], level, Path(folder, f"excerpt{ending}"), "excerpt")

        if psnr is None:
            wanted = math.log(cast(float, bpp)) if cast(float, bpp) > 0 else -math.inf
        else:
            wanted = math.nextafter(psnr, -math.inf)
        short = source.count is not None and source.count < 4 * rate_control.EXCERPT
        rate_control.crossing(whole, wanted, low, high, None if short else excerpt)
        if not best.exists() and psnr is None:
            least, lowest = math.exp(values[low]), entry.quality[0]
            raise ValueError(f"{name} needs {least:.4g} bpp for this video at its lowest quality, {lowest}; not {bpp}")
        if not best.exists():
            highest, most = entry.quality[1], values[high]
            raise ValueError(f"{name} has {most:.2f} dB on this video at its highest quality, {highest}; not {psnr}")
        if target is None:
            return best.read_bytes()
        shutil.copyfile(best, target)
    return Path(cast(Any, out))


def _new_file(out: Any) -> Any:
    """What writes a file, or nothing for None."""
    return contextlib.nullcontext() if out is None else new_file(out)


def _mean_psnr(frames: Iterable[np.ndarray], decoded: Iterable[np.ndarray]) -> float:
    """The mean over frames, in dB."""
    from .metrics import psnr as measured

    values = [measured(frame, _like(other, frame)) for frame, other in zip(frames, decoded, strict=True)]
    return sum(values) / len(values)


def decode_video(stream: Any, *, max_pixels: int = MAX_PIXELS, device: str = "cpu", partial: bool = False) -> Frames:
    """The frames of a coded video of any codec, decoded as they are asked for: in turn, or by their numbers.

    Args:
        stream: bytes or a path: a `.ckt` video, or any file that FFmpeg reads.
        max_pixels: the largest frame to accept.
        device: where the networks of learned codecs run.
        partial: the video may be cut or damaged: frames come up to the first that cannot be decoded, and iteration
            ends there with a `DamageWarning`, which has the numbers of frames that were promised and given.

    Returns:
        `Frames`, with size, frames a second and (for a `.ckt`) their number. ``frames[7]`` is one, ``frames[100:120]``
        a video of twenty: those of a `.ckt` are decoded from the nearest I-frame before them that its codec can begin
        with. A file is checked as a whole first, which reads it once; `partial` leaves that out.

    Raises:
        StreamError: no video, cut, damaged, or frames larger than `max_pixels`. Damage that shows only in a frame is
            raised when that frame is reached.

    >>> from codeckit import codec
    >>> stream = codec("jpeg").encode_video(np.zeros((2, 8, 8, 3), np.uint8), fps=30)
    >>> decode_video(stream).count, decode_video(stream)[1].shape
    (2, (8, 8, 3))
    """
    return video.decode_video(
        stream, lambda held: registry.codec_for(held, device), max_pixels=max_pixels, partial=partial
    )


def trace_video(
    stream: Any, reference: Any = None, *, max_pixels: int = MAX_PIXELS, device: str = "cpu"
) -> Iterator[video.FrameTrace]:
    """Decode a `.ckt` video with a record of each frame: how it is coded, its bytes, its PSNR, what it is made of.

    Args:
        stream: bytes or a path of a `.ckt` video.
        reference: the video that was encoded, as `read_video` takes it, for the PSNR.
        max_pixels: the largest frame to accept.
        device: where the networks of learned codecs run.

    Yields:
        A `codecs.video.FrameTrace` for each frame, one after the other.

    Raises:
        StreamError: no video, cut or damaged.
        ValueError: not a `.ckt`, or a reference of other frames.

    >>> frames = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    >>> from codeckit import codec
    >>> first, second = trace_video(codec("video-teaching").encode_video(frames), frames)
    >>> first.kind, second.kind, second.maps["motion"].shape, second.psnr > 10
    ('I', 'P', (1, 1, 2), True)
    """
    from .metrics import psnr as measured

    traces = video.trace_video(stream, lambda held: registry.codec_for(held, device), max_pixels=max_pixels)
    if reference is None:
        yield from traces
        return
    for trace, frame in itertools.zip_longest(traces, read_video(reference)):
        if trace is None or frame is None:
            raise ValueError("the reference has another number of frames than the stream")
        yield replace(trace, psnr=measured(frame, _like(trace.frame, frame)))
