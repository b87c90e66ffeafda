"""Converting opened pictures to what codecs take, 8-bit grey or RGB without alpha, by the rules of `image_io`."""

from collections.abc import Iterable

import numpy as np

from ..primitives.errors import ReadingError, StreamError
from .file_formats.depth import sample_bits
from .metadata import changes_colours, lab_to_srgb, profile_space, to_srgb
from .reading import Reading

#: TIFF's tags of what numbers mean: photometric interpretation, sample format.
_PHOTOMETRIC, _SAMPLE_FORMAT = 262, 339


def flat(image, reading: Reading):
    """An image without alpha: of mode L, RGB, CMYK, LAB, YCbCr or HSV."""
    image = without_alpha(image, reading)
    if image.mode in ("L", "RGB", "CMYK", "LAB", "YCbCr", "HSV"):
        return image
    try:
        return image.convert("L" if image.mode == "1" else "RGB")
    except (OSError, ValueError) as error:
        raise StreamError(f"pictures of mode {image.mode} are not read: {error}") from error


def of_eight_bits(image, data: bytes, reading: Reading):
    """An image of 8 bits a sample at most."""
    from PIL import Image

    bits, tags = sample_bits(image, data), image.tag_v2 if image.format == "TIFF" and data else {}
    if 2 in tags.get(_SAMPLE_FORMAT, ()):
        raise ReadingError(
            f"the picture has signed samples of {bits} bits, numbers without a scale of their own; "
            "scale them to 0…255, round, and encode the array of uint8"
        )
    transparent = image.info.get("transparency")
    if bits <= 8:
        if bits in (2, 4) and image.mode == "L" and isinstance(transparent, int):  # Pillow scales the samples alone
            image.info["transparency"] = transparent * 255 // ((1 << bits) - 1)
        return image
    if bits > 16:
        raise ReadingError(
            f"the picture has {bits} bits a sample, numbers without a scale of their own; "
            "scale them to 0…255, round, and encode the array of uint8"
        )
    if reading.depth is None:
        raise ReadingError(f"the picture has {bits} bits a sample, and codecs take 8: depth=8 takes the upper 8")
    if not image.mode.startswith("I"):  # Pillow has taken the upper 8
        return _without_transparent_colour(image, transparent) if isinstance(transparent, tuple) else image
    samples = np.asarray(image).astype(np.int64)
    stored = bits if image.format == "TIFF" else 16  # Pillow's other readers bring samples to 16 bits
    if tags.get(_PHOTOMETRIC) == 0:  # 0 is white, which Pillow minds in 8 bits alone
        samples = (1 << bits) - 1 - samples
    grey = Image.fromarray((samples >> (stored - 8)).clip(0, 255).astype(np.uint8))
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray(np.where(samples == transparent, 0, 255).astype(np.uint8)))
    return grey


def _without_transparent_colour(image, colour: tuple[int, ...]):
    """An image of 8 of 16 bits, of which one colour of 16 bits is transparent, if no pixel can be of that colour."""
    image = image.copy()
    del image.info["transparency"]
    if (np.asarray(image)[..., :3] == [level >> 8 for level in colour]).all(-1).any():
        raise ReadingError(
            "the picture has one transparent colour of 16 bits, which 8 bits cannot tell from its neighbours: "
            "store the picture with an alpha channel, or with 8 bits a sample"
        )
    return image


def without_alpha(image, reading: Reading):
    """An image without its alpha channel: left out where it is opaque, else blended onto the background."""
    from PIL import Image

    if not image.has_transparency_data:
        return image
    grey = image.mode in ("1", "L", "LA", "La")
    mode = "LA" if grey else "RGBA"
    image = image if image.mode == mode else image.convert(mode)
    if image.getchannel("A").getextrema()[0] == 255:
        return image.convert("L" if grey else "RGB")
    if reading.background is None:
        raise ReadingError(
            "the picture has an alpha channel, and codecs store none: background='white' blends it onto a colour"
        )
    backdrop = Image.new("RGBA", image.size, reading.background)
    blended = Image.alpha_composite(backdrop, image.convert("RGBA")).convert("RGB")
    return blended.getchannel(0) if grey and len(set(reading.background)) == 1 else blended


def as_rgb(image):
    return lab_to_srgb(image) if image.mode == "LAB" else image.convert("RGB")


def in_colour(image, icc: bytes, reading: Reading, carries: Iterable[str]):
    """The image as L or RGB, and the profile that belongs to its numbers: none where they are sRGB."""
    if image.mode not in ("L", "RGB"):
        return (to_srgb(image, icc) if image.mode == "CMYK" else None) or as_rgb(image), b""
    space, kind = ("GRAY", "grey icc") if image.mode == "L" else ("RGB", "icc")
    if not icc or profile_space(icc) not in (space, ""):
        return image, b""  # a profile of another space says nothing of these numbers
    if kind in carries and reading.metadata == "keep":
        return image, icc
    if not changes_colours(icc):
        return image, b""
    if kind in carries and reading.metadata == "color":
        return image, icc
    return to_srgb(image, icc), b""
