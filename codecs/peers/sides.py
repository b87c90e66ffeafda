"""The longest sides that file formats hold, or that their libraries code."""

import numpy as np

#: Pixels a side, by Pillow's name of the format. Some libraries stop short of what their format could say: libjpeg's
#: family at 65,500 of 65,535 (JPEG_MAX_DIMENSION); libavif at 32,768 of 65,536, beyond which it reads no file.
LONGEST = {
    "JPEG": 65500,
    "WEBP": 16383,
    "AVIF": 32768,
    "PNG": 2**31 - 1,
    "JPEG2000": 2**32 - 1,
    "JXL": 2**30,
}


def check_sides(form: str, image: np.ndarray) -> None:
    """Refuse a picture [H,W] or [H,W,C] that is too large for a format.

    Raises:
        ValueError: a side is longer than the format, or its library, allows.

    >>> check_sides("WEBP", np.zeros((2, 20000), np.uint8))
    Traceback (most recent call last):
    ...
    ValueError: a WEBP file holds at most 16383 pixels a side here, not 20000×2: scale the picture down, or cut it
    """
    height, width = image.shape[:2]
    limit = LONGEST.get(form, max(height, width))
    if max(height, width) > limit:
        raise ValueError(
            f"a {form} file holds at most {limit} pixels a side here, not {width}×{height}: "
            "scale the picture down, or cut it"
        )
