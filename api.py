"""Encode with a target, decode anything, tell what a file is: the top of the public API."""

import math
from dataclasses import dataclass

import numpy as np

from .codecs import registry
from .codecs.base import Codec, composition
from .codecs.image_io import flatten, read_image, read_stream
from .primitives import container
from .primitives.errors import StreamError
from .primitives.picture import MAX_PIXELS
from .primitives.stage import spec


def encode(
    image, name: str, *, quality=None, bpp=None, psnr=None, accuracy=None, task="imagenet", background=None, **options
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
            picture with an alpha channel is refused.
        **options: other options of the codec.

    Returns:
        The stream.

    Raises:
        ValueError: unknown codec or option, several targets at once, or a target that no quality reaches.

    >>> image = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    >>> stream = encode(image, "jpeg", bpp=4)
    >>> 8 * len(stream) / image.size <= 4
    True
    """
    if sum(target is not None for target in (quality, bpp, psnr, accuracy)) > 1:
        raise ValueError("give one of quality, bpp, psnr and accuracy")
    if accuracy is not None and not 0 < accuracy <= 1:
        raise ValueError(f"accuracy is a probability, above 0 and up to 1, not {accuracy!r}")
    if background is not None:
        image = flatten(image, background)
    if bpp is None and psnr is None and accuracy is None:
        if quality is not None:
            options["quality"] = quality
        return registry.codec(name, **options).encode(image)  # the image itself: a codec may keep its metadata

    reference = read_image(image)
    pixels = reference.shape[0] * reference.shape[1]
    entry = registry.entry(name)
    steps = entry.quality_steps
    low, high = (bound * steps for bound in entry.quality)

    def stream_at(level):
        return registry.codec(name, quality=level if steps == 1 else level / steps, **options).encode(image)

    if bpp is not None:
        stream = _last(stream_at, lambda stream: 8 * len(stream) / pixels <= bpp, low, high)
        if stream is None:
            least, lowest = 8 * len(stream_at(low)) / pixels, entry.quality[0]
            raise ValueError(f"{name} needs {least:.4g} bpp for this image at its lowest quality, {lowest}; not {bpp}")
        return stream

    if accuracy is not None:
        from .metrics.tasks import agreement, resolve

        (reader,) = resolve(task)
        wanted, answer = f"an agreement of {accuracy} in the task {reader.name}", reader.predict(reference)

        def reaches(stream):
            return agreement(answer, reader.predict(decode(stream, max_pixels=pixels))) >= accuracy

    elif registry.entry(name).media == "tokens":
        raise ValueError(
            f"{name} decodes to tokens, not to pictures that have a PSNR; give quality=, bpp= or accuracy="
        )
    else:
        from .metrics import psnr as measure

        wanted = f"{psnr} dB"

        def reaches(stream):
            return measure(reference, _like(decode(stream, max_pixels=pixels), reference)) >= psnr

    # From the top down, qualities reach the target up to the lowest one that does.
    stream = _last(lambda level: stream_at(high + low - level), reaches, low, high)
    if stream is None:
        raise ValueError(
            f"{name} does not reach {wanted} on this image, even at its highest quality, {entry.quality[1]}"
        )
    return stream


def _last(stream_at, fits, low: int, high: int) -> bytes | None:
    """The stream at the last level that fits, by bisection: levels fit from `low` up to some one."""
    best = None
    while low <= high:
        middle = (low + high) // 2
        stream = stream_at(middle)
        if fits(stream):
            best, low = stream, middle + 1
        else:
            high = middle - 1
    return best


def _like(decoded: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Codecs without grey give grey images back as RGB."""
    return decoded[..., 0] if decoded.ndim > image.ndim else decoded


def decode(stream, *, max_pixels: int = MAX_PIXELS, device: str = "cpu") -> np.ndarray:
    """Decode a stream of any codec, found from the bytes alone.

    Args:
        stream: bytes or a path: a `.ckt` file, or a file of a standard format that some codec here decodes.
        max_pixels: the largest picture to accept, as a guard against streams that declare absurd sizes.
        device: where the networks of learned codecs run, "cpu" or "cuda"; other codecs have none.

    Returns:
        uint8 [H,W,3], or [H,W] for a grey picture; pixels as the file stores them (an Exif orientation is not applied).

    Raises:
        StreamError: no known format, cut, damaged, or too large.

    >>> from codeckit import codec
    >>> decode(codec("webp").encode(np.zeros((4, 6, 3), np.uint8))).shape
    (4, 6, 3)
    """
    data = read_stream(stream)
    return find_codec(data).on(device).decode(data, max_pixels=max_pixels)


def find_codec(data: bytes) -> Codec:
    """The codec that decodes a stream.

    Raises:
        StreamError: none does.

    >>> from codeckit import codec
    >>> find_codec(codec("jpeg").encode(np.zeros((8, 8), np.uint8))).name
    'jpeg'
    """
    if data[:3] == container.MAGIC:
        held = container.unpack(data)
        if container.holds_video(held.payload):
            raise StreamError("the stream is a video; codeckit.decode_video decodes it")
        return composition(registry.name_of(held.codec), held.parameters)
    return registry.codec(registry.sniff(data).name)


@dataclass(frozen=True)
class Info:
    """What a stream says of itself.

    Attributes:
        codec: name of the codec that decodes it.
        size: (H, W) in pixels.
        channels: 1 for grey, 3 for colour, 0 for tokens.
        bytes: size of the stream.
        bpp: bits a pixel; NaN where the size is not known (tokens that were encoded as such).
        details: what else its format tells (stages of a `.ckt`, process and sampling of a `.jpg`, metadata).
    """

    codec: str
    size: tuple[int, int]
    channels: int
    bytes: int
    bpp: float
    details: dict


def info(stream) -> Info:
    """What a stream holds, without decoding its pixels.

    >>> from codeckit import codec
    >>> found = info(codec("jpeg").encode(np.zeros((20, 30, 3), np.uint8)))
    >>> found.size, found.channels, found.details["process"], found.details["sampling"]
    ((20, 30), 3, 'baseline', '2x2,1x1,1x1')
    """
    data = read_stream(stream)
    codec = find_codec(data)
    if data[:3] == container.MAGIC:
        held = container.unpack(data)
        *_, entropy = codec.stages.values()
        size, color = entropy.describe(held.payload)
        stages = {role: str(spec(stage)) for role, stage in codec.stages.items()}
        details = {"format": f"ckt version {container.VERSION}", "colour": color, "stages": stages}
        channels = {"grey": 1, "tokens": 0}.get(color, 3)
        if held.weights:
            details["weights"] = held.weights.hex()
    else:
        size, channels, details = registry.sniff(data).describe(data)
    pixels = size[0] * size[1]
    return Info(codec.name, size, channels, len(data), 8 * len(data) / pixels if pixels else math.nan, details)
