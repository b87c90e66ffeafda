"""What has been decoded, as a file: pictures in formats that lose nothing of them, tokens as arrays.

A picture is written upright, in its own colours with the profile that says which, or in sRGB where the profile is to be
dropped or the format has no place for it.
"""

import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..primitives.errors import StreamError
from ..primitives.token_grid import Tokens
from .file_formats import HOLDS, insert
from .image_io import image_file, read_metadata, upright
from .metadata import NOTHING, changes_colours, profile_space, set_upright, to_srgb

#: Picture formats that lose nothing, by ending: Pillow's name, options of its `save`.
LOSSLESS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".tif": ("TIFF", {}),
    ".tiff": ("TIFF", {}),
    ".webp": ("WEBP", {"lossless": True, "exact": True}),
    ".jp2": ("JPEG2000", {}),
    ".bmp": ("BMP", {}),
    ".ppm": ("PPM", {}),
    ".pnm": ("PPM", {}),
    ".tga": ("TGA", {}),
}

#: Those of them that hold profiles of RGB pictures, and of grey ones.
_PROFILES = {"RGB": ("PNG", "TIFF", "WEBP", "JPEG2000"), "GRAY": ("PNG", "TIFF", "JPEG2000")}

#: The ending of the files of tokens.
TOKENS = ".npz"


def check_lossless(path) -> None:
    """Refuse the name of a file that `decoded_file` does not write.

    Raises:
        ValueError: its ending is none of `LOSSLESS` and `TOKENS`.

    >>> check_lossless("a.png")
    >>> check_lossless("a.jpg")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: 'a.jpg': decode loses nothing of a picture, and .jpg files can; write .png ...
    """
    path = os.fspath(path)
    ending = Path(path).suffix.lower()
    if ending in (TOKENS, *LOSSLESS):
        return
    from PIL import Image

    if Image.registered_extensions().get(ending) in Image.SAVE:
        raise ValueError(
            f"{path!r}: decode loses nothing of a picture, and {ending} files can; write .png (or "
            f"{', '.join(each for each in LOSSLESS if each != '.png')}), and give that to `codeckit encode`"
        )
    raise ValueError(f"{path!r}: no image format has the ending {ending!r}; use .png")


def ending_for(decoded) -> str:
    """The ending of the file of what has been decoded, where nobody chooses one."""
    return TOKENS if isinstance(decoded, Tokens) else ".png"


def decoded_file(
    decoded: np.ndarray | Tokens, stream: bytes, path, metadata: Literal["color", "keep", "drop"] = "color"
) -> bytes:
    """The file of what a stream was decoded to.

    Args:
        decoded: uint8 [H,W,3] or [H,W], or tokens (arrays: features, grid, size, source).
        stream: what it was decoded from; its metadata are handed on.
        path: its ending says the format; without one it is PNG, or ``.npz`` for tokens.
        metadata: ``"color"`` keeps the ICC profile, unless it says sRGB, ``"keep"`` Exif, XMP and comment, too, as far
            as the format holds them, ``"drop"`` nothing.

    Raises:
        ValueError: the ending is one for tokens, and this is a picture, or the other way round.

    >>> decoded_file(np.zeros((2, 3), np.uint8), b"", "a.png")[:4]
    b'\\x89PNG'
    """
    ending = Path(path).suffix.lower() or ending_for(decoded)
    if isinstance(decoded, Tokens) != (ending == TOKENS):
        held = "tokens" if isinstance(decoded, Tokens) else "a picture"
        raise ValueError(f"the stream holds {held}; write it as {Path(path).with_suffix(ending_for(decoded)).name}")
    if isinstance(decoded, Tokens):
        out = io.BytesIO()
        np.savez(out, features=decoded.features, grid=decoded.grid, size=decoded.size, source=decoded.source)
        return out.getvalue()
    form, options = LOSSLESS[ending]
    try:
        said = set_upright(read_metadata(stream))
    except StreamError:
        said = NOTHING
    pixels, icc = _in_colour(upright(decoded, stream), said.icc, form, metadata)
    said = replace(said if metadata == "keep" else NOTHING, icc=icc)
    if form == "TIFF":
        return image_file(pixels, form, **options, icc_profile=said.icc or None, exif=said.exif)
    kept = said.only(HOLDS.get(form, ()))
    data = image_file(pixels, form, **options)
    return data if kept == NOTHING else insert(data, kept)


def _in_colour(pixels: np.ndarray, icc: bytes, form: str, metadata: str) -> tuple[np.ndarray, bytes]:
    """Pixels and the profile that belongs to them: their own, or none and sRGB."""
    from PIL import Image

    space = "GRAY" if pixels.ndim == 2 else "RGB"
    if profile_space(icc) != space:
        return pixels, b""  # of the CMYK picture that the stream held, or damaged
    holds = form in _PROFILES[space]
    if not changes_colours(icc):
        return pixels, icc if metadata == "keep" and holds else b""
    if metadata != "drop" and holds:
        return pixels, icc
    return np.asarray(to_srgb(Image.fromarray(pixels), icc)), b""
