"""What a caller says of picture files that hold more than a codec takes, and what has been read of them."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .metadata import NOTHING, Metadata

#: Kinds of metadata that are kept, by what `Reading.metadata` says.
KEPT = {"drop": (), "color": ("icc",), "keep": ("exif", "icc", "xmp", "comment")}


@dataclass(frozen=True)
class Reading:
    """How to read picture files that hold more than a codec takes. Every codec has these fields as options.

    Attributes:
        background: colour that transparent pixels are blended onto: (R, G, B), or a name or "#rrggbb" that Pillow
            knows. None refuses pictures with transparent pixels.
        depth: 8 takes the upper 8 bits of samples that have 9 to 16. None refuses them.
        frame: number of the one to take of several frames or pages, from 0. None refuses pictures with several.
        metadata: ``"color"`` keeps the ICC profile, unless it says sRGB; ``"keep"`` keeps Exif, XMP and comment, too,
            as far as the codec's files can hold them; ``"drop"`` keeps nothing. Pixels whose profile is not kept are
            converted to sRGB.

    >>> import codeckit
    >>> codeckit.Reading(background="white").background
    (255, 255, 255)
    >>> Reading(depth=10)
    Traceback (most recent call last):
    ...
    ValueError: depth is 8 (or None), not 10
    """

    background: Any = None
    depth: int | None = None
    frame: int | None = None
    metadata: Literal["color", "keep", "drop"] = "color"

    def __post_init__(self):
        if self.background is not None:
            object.__setattr__(self, "background", _colour(self.background))
        if self.depth is not None and self.depth != 8:
            raise ValueError(f"depth is 8 (or None), not {self.depth!r}")
        number = self.frame
        if number is not None and (isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 0):
            raise ValueError(f"frame is a whole number from 0 on, not {number!r}")
        if self.metadata not in tuple(KEPT):
            raise ValueError(f"metadata is {', '.join(map(repr, KEPT))}, not {self.metadata!r}")


def _colour(background) -> tuple[int, ...]:
    from PIL import ImageColor

    if isinstance(background, str):
        try:
            return ImageColor.getrgb(background)[:3]
        except ValueError as error:
            raise ValueError(f"background is a colour such as 'white' or '#8090a0', not {background!r}") from error
    values = tuple(background) if isinstance(background, list | tuple | np.ndarray) else ()
    numbers = all(isinstance(value, int | float | np.number) for value in values)
    if len(values) != 3 or not numbers or not all(0 <= value <= 255 and int(value) == value for value in values):
        raise ValueError(f"background is a colour (R, G, B) of 0 to 255, or the name of one, not {background!r}")
    return tuple(map(int, values))


#: What files are read with unless somebody says otherwise.
STRICT = Reading()


@dataclass(frozen=True)
class Photo:
    """A picture that has been read: what codecs encode.

    Attributes:
        pixels: uint8 [H,W,3] or [H,W], upright.
        metadata: what a codec is to carry along; its profile is that of the pixels, which are sRGB without one.
    """

    pixels: np.ndarray
    metadata: Metadata = NOTHING
