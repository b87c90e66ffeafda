"""What a stream says of itself, without decoding its pixels."""

import math
import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..primitives import container
from ..primitives.errors import StreamError
from ..primitives.picture import MAX_PIXELS, check_size
from ..primitives.stage import Weighted, spec
from . import registry, video
from .image_io import TAGS, naming, read_stream
from .metadata import describe_profile
from .opening import check_before_opening
from .streams import find_weights, rebuild


@dataclass(frozen=True)
class Info:
    """What a stream says of itself.

    Attributes:
        codec: name of the codec that decodes it.
        size: (H, W) in pixels.
        channels: 1 for grey, 3 for colour, 0 for tokens.
        bytes: size of the stream.
        bpp: bits a pixel, of each frame of a video; NaN where the size is not known (tokens that were encoded as such).
        details: what else its format tells (stages of a `.ckt` and what their payload says, process and sampling of a
            `.jpg`, metadata; of a video frames, frames a second, seconds, whether the rate varies, how its file says
            that it is to be turned: clockwise, after mirroring; of a `.ckt` video, as far as it can be told, the number
            of I-frames, that of the frames at which decoding can begin (keys), and the longest group: frames from one
            I-frame, or key, to the next).
    """

    codec: str
    size: tuple[int, int]
    channels: int
    bytes: int
    bpp: float
    details: dict[str, Any]


def info(stream, *, max_pixels: int = MAX_PIXELS) -> Info:
    """What a stream holds, without decoding its pixels.

    Of a video, the first frame is decoded; of one in another file than a `.ckt`, all packets are read besides.

    Args:
        stream: bytes, or the path of a file: a picture, a video, tokens.
        max_pixels: the largest picture to accept, as in `decode`: what `info` tells of, `decode` takes.

    Raises:
        StreamError: no known format, damaged, or too large.

    >>> from codeckit import codec
    >>> import numpy as np
    >>> found = info(codec("jpeg").encode(np.zeros((20, 30, 3), np.uint8)))
    >>> found.size, found.channels, found.details["process"], found.details["sampling"]
    ((20, 30), 3, 'baseline', '2x2,1x1,1x1')
    """
    source = stream
    if isinstance(stream, str | os.PathLike) and Path(stream).is_fifo():
        stream = read_stream(stream)  # which can be read once
    if isinstance(stream, str | os.PathLike | bytes | bytearray | memoryview) and video.is_video(stream):
        return _of_video(stream, max_pixels)
    data = read_stream(stream)
    with naming(source):
        check_before_opening(data, max_pixels)
        if data[:3] == container.MAGIC:
            name, size, channels, details = _of_ckt(container.unpack(data))
        else:
            entry = registry.sniff(data)
            name, (size, channels, details) = entry.name, entry.describe(data)
        pixels = size[0] * size[1]
        if channels:
            check_size(size, max_pixels)
    return Info(name, size, channels, len(data), 8 * len(data) / pixels if pixels else math.nan, details)


def _of_video(stream, max_pixels: int) -> Info:
    """A video's facts, without decoding more than a first frame."""
    found = video.decode_video(stream, lambda held: registry.codec_for(held, "cpu"), max_pixels=max_pixels)
    about, name, entered = found.about, found.name, None
    if about is None:
        channels = 1 if next(iter(found)).ndim == 2 else 3
        held = video.read_container(stream)
        details: dict[str, Any] = {"format": f"ckt version {container.VERSION}", "revision": held.revision}
        stages = rebuild(held, registry.named_by(held)[1])
        details["stages"] = _shown(stages)
        entered = video.groups(stream, list(stages.values())[-1])
    else:
        name, channels = about.codec, about.channels
        details = {"format": about.format, "pixel format": about.pixel_format}
        if about.turn.angle or about.turn.mirrored:
            details |= {"rotation": about.turn.angle, "mirrored": about.turn.mirrored}
            details["turned upright"] = about.turn.quarters is not None
        if about.others:
            details["left out"] = ", ".join(about.others)
    if found.aspect != 1:
        details["pixel aspect ratio"] = f"{found.aspect.numerator}:{found.aspect.denominator}"
    size = os.path.getsize(stream) if isinstance(stream, str | os.PathLike) else len(stream)
    bpp = math.nan
    details |= {"frames": found.count, "fps": round(float(found.fps), 6)}
    details["variable frame rate"] = found.times is not None
    if found.count and found.duration:
        bpp = 8 * size / (found.size[0] * found.size[1] * found.count)
        details |= {"seconds": round(float(found.duration), 6), "kbps": round(size / 125 / float(found.duration), 2)}
    if entered and found.count:
        intra = [number for number, kind in enumerate(entered.kinds or ()) if kind == "I"]
        if intra:
            details["I-frames"] = len(intra)
        if entered.keys:
            details["keys"] = len(entered.keys)
        if begins := intra or entered.keys:
            details["longest group"] = max(later - begin for begin, later in pairwise((*begins, found.count)))
    return Info(name, found.size, channels, size, bpp, details)


def _of_ckt(held: container.Container) -> tuple[str, tuple[int, int], int, dict[str, Any]]:
    """Codec, size, channels and details of a `.ckt` picture."""
    container.check_still(held)
    name, profile = registry.named_by(held)
    stages = rebuild(held, profile)
    *_, entropy = stages.values()
    known = True
    if isinstance(entropy, Weighted):
        try:
            entropy = entropy.with_weights(find_weights(stages, held.weights, None, "cpu"))
        except StreamError:
            known = False  # the size can be told all the same
    size, color = entropy.describe(held.payload)
    details: dict[str, Any] = {"format": f"ckt version {container.VERSION}", "revision": held.revision, "colour": color}
    details["stages"] = _shown(stages)
    if known:
        details |= entropy.facts(held.payload)
    if held.weights:
        details["weights"] = held.weights.hex()
    details |= {f"{kind}_bytes": len(held.sections[tag]) for kind, tag in TAGS.items() if tag in held.sections}
    if container.ICC in held.sections:
        details["profile"] = describe_profile(held.sections[container.ICC])
    return name, size, {"grey": 1, "tokens": 0}.get(color, 3), details


def _shown(stages) -> dict[str, str]:
    """Stages with their fields, by role."""
    found = {}
    for role, stage in stages.items():
        id, fields = spec(stage)
        shown = ", ".join(f"{field}={value!r}" for field, value in fields.items())
        found[role] = f"{id}({shown})" if shown else id
    return found
