"""JPEG 2000's way of coding on one screen: component transform, wavelet, dead zone, bit planes; any prefix decodes.

Same transforms, quantizer and passes as the standard (ITU-T T.800), but one context-mixing arithmetic code over the
whole picture instead of blocks of 64×64 coded apart, tiles, layers and packets. What that gives up is random access;
what it keeps is the idea: one stream, cut where one likes (`truncate`), or decoded at half, a quarter … of the size
(`decode_resolution`).
"""

from dataclasses import replace
from typing import Literal

import numpy as np

from ..primitives import container
from ..primitives.color import ComponentTransform
from ..primitives.entropy.bitplanes import BitPlaneCoded
from ..primitives.errors import StreamError
from ..primitives.picture import MAX_PIXELS
from ..primitives.quantizers import DeadZone, Uniform
from ..primitives.wavelet import Wavelet
from .base import Codec
from .image_io import read_stream
from .peers.stills import check_quality
from .registry import codec

NAME = "jpeg2000-teaching"


def jpeg2000_teaching(
    quality: float = 50, lossless: bool = False, order: Literal["quality", "resolution"] = "quality", levels: int = 5
) -> Codec:
    """Wavelet bit planes, embedded.

    Args:
        quality: 1 … 100; the finest step is 2^((88 − quality) / 12.5): 12.5 more halve it.
        lossless: the reversible transforms and no quantization.
        order: ``"quality"`` (a prefix is the whole picture, coarser) or ``"resolution"`` (a smaller picture first).
        levels: wavelet decompositions.

    >>> codec = jpeg2000_teaching(quality=80)
    >>> list(codec.stages)
    ['color', 'transform', 'quantize', 'entropy']
    >>> image = np.full((5, 7, 3), 200, np.uint8)
    >>> bool((codec.decode(codec.encode(image)) == image).all())
    True
    """
    check_quality(quality)
    step = float(f"{2 ** ((88 - quality) / 12.5):.4g}")  # short, as streams write it out
    stages = {
        "color": ComponentTransform(reversible=bool(lossless)),
        "transform": Wavelet("5/3" if lossless else "9/7", levels, centred=True),
        "quantize": Uniform(1.0) if lossless else DeadZone(step),
        "entropy": BitPlaneCoded(levels, order),
    }
    return Codec(NAME, stages, {"quality": None} if lossless else {})


def truncate(stream, size: int) -> bytes:
    """The stream cut to at most `size` bytes: a complete `.ckt` file of a coarser picture.

    Raises:
        ValueError: no such stream, or `size` leaves less than its header.

    >>> import codeckit
    >>> picture = np.random.default_rng(1).integers(0, 256, (32, 32), np.uint8)
    >>> stream = codeckit.codec("jpeg2000-teaching").encode(picture)
    >>> len(truncate(stream, 200)), codeckit.decode(truncate(stream, 200)).shape
    (200, (32, 32))
    """
    held, made_by = _open(stream)
    around = len(container.pack(replace(held, payload=b"")))
    payload = held.payload[: max(size - around, 0)]
    try:
        made_by.stages["entropy"].inverse(payload, max_pixels=1 << 40)
    except StreamError as error:
        raise ValueError(f"{size} bytes do not hold the stream's header") from error
    return container.pack(replace(held, payload=payload))


def decode_resolution(stream, reduce: int, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The picture at 1/2^reduce of its size in each direction, from its coarser subbands alone.

    Returns:
        uint8 [⌈H/2^reduce⌉, ⌈W/2^reduce⌉, 3], or without the 3.

    >>> import codeckit
    >>> stream = codeckit.codec("jpeg2000-teaching").encode(np.full((33, 50, 3), 77, np.uint8))
    >>> decode_resolution(stream, 2).shape
    (9, 13, 3)
    """
    held, made_by = _open(stream)
    stages = made_by.stages
    transform = stages["transform"]
    if not 0 <= reduce <= transform.levels:
        raise ValueError(f"the stream has {transform.levels} octaves to leave out, not {reduce}")
    picture = stages["quantize"].inverse(stages["entropy"].inverse(held.payload, max_pixels))
    size = tuple(-(-side >> reduce) for side in picture.size)
    gain = 1.0 if transform.kernel == "5/3" else 2.0**-reduce  # of the low-pass filter, once for each octave
    corner = picture.map(lambda plane: plane[: size[0], : size[1]] * np.float32(gain)).replace(size=size)
    coarse = Wavelet(transform.kernel, transform.levels - reduce, centred=True).inverse(corner)
    return stages["color"].inverse(coarse)


def _open(stream):
    held = container.unpack(read_stream(stream))
    made_by = codec(NAME).for_stream(held)
    if not isinstance(made_by.stages["entropy"], BitPlaneCoded):
        raise ValueError("this stream has another entropy stage than bit planes; it cannot be cut")
    return held, made_by
