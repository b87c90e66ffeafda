"""What a picture file says besides its pixels: ICC profile, Exif, XMP and comment.

A codec stores pixels; a photograph is more than that. Its *profile* says what its numbers mean as colours, so pixels
and profile belong together: either a file keeps both, or the pixels are converted to sRGB, which is what a file without
a profile means. *Exif* and *XMP* describe the picture. One field of them is about the pixels, too, the orientation:
whoever turns the pixels upright sets it to 1 (`set_upright`), or the picture is turned twice.

Colours are converted by LittleCMS (`PIL.ImageCms`), relative colorimetric with black-point compensation.
"""

import functools
import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import numpy as np

#: Kinds of metadata, by the names of `Metadata`'s fields.
KINDS = ("exif", "icc", "xmp", "comment")

P = ParamSpec("P")
R = TypeVar("R")

_ORIENTATION = 0x0112

#: TIFF tags of the first directory that describe a picture, not how its file stores it: titles, camera, author, dates,
#: resolution, and the directories of Exif and GPS.
_DESCRIPTIVE = (
    0x010D, 0x010E, 0x010F, 0x0110, 0x0112, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x013C, 0x8298, 0x8769,
    0x8825, 0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F,
)  # fmt: skip


@dataclass(frozen=True)
class Metadata:
    """What an image file says besides its pixels; empty bytes where it says nothing.

    Attributes:
        exif: the Exif block (TIFF structure without the ``Exif\\0\\0`` in front).
        icc: the ICC colour profile.
        xmp: the XMP packet.
        comment: free text, as bytes.
    """

    exif: bytes = b""
    icc: bytes = b""
    xmp: bytes = b""
    comment: bytes = b""

    def only(self, kinds) -> "Metadata":
        """The metadata without those kinds that are not among `kinds`.

        >>> Metadata(exif=b"MM", comment=b"hello").only({"comment"})
        Metadata(exif=b'', icc=b'', xmp=b'', comment=b'hello')
        """
        return Metadata(**{kind: getattr(self, kind) for kind in KINDS if kind in kinds})


#: Those of a file that says nothing.
NOTHING = Metadata()


def quiet(function: Callable[P, R]) -> Callable[P, R]:
    """A function whose warnings are not shown: Pillow warns of much that does no harm to the pixels."""

    @functools.wraps(function)
    def silenced(*arguments: P.args, **options: P.kwargs) -> R:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*arguments, **options)

    return silenced


@quiet
def metadata_of(image: Any) -> Metadata:
    """The metadata of an opened PIL image; what its file holds in a damaged form is left out."""
    info = image.info
    exif, icc = info.get("exif") or b"", info.get("icc_profile") or b""
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp") or b""
    comment = info.get("comment") or info.get("Comment") or b""
    if not exif and image.format == "TIFF":
        exif = _exif_of_tiff(image)
    return Metadata(
        exif=exif[6:] if exif.startswith(b"Exif\0\0") else bytes(exif),
        icc=icc if isinstance(icc, bytes) else b"",
        xmp=xmp.encode() if isinstance(xmp, str) else bytes(xmp),
        comment=comment.encode() if isinstance(comment, str) else bytes(comment),
    )


def _exif_of_tiff(image) -> bytes:
    """An Exif block of the tags of a TIFF file that describe the picture; those that cannot be written are left out."""
    from PIL import Image

    found = Image.Exif()
    for tag in _DESCRIPTIVE:
        try:
            value = image.getexif().get_ifd(tag) if tag in (0x8769, 0x8825) else image.getexif().get(tag)
            if value in (None, {}, ""):
                continue
            alone = Image.Exif()
            alone[tag] = value
            alone.tobytes()  # raises where the tag's value is none that can be written
            found[tag] = value
        except Exception:  # whatever a damaged directory raises in Pillow's parser
            continue
    return found.tobytes() if len(found) else b""


@quiet
def orientation_of(image: Any) -> int:
    """The Exif orientation of an opened PIL image, 1 … 8; 1 where it says none, or none that can be read."""
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # whatever damaged metadata raise in Pillow's parsers: the pixels are whole all the same
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def set_upright(metadata: Metadata) -> Metadata:
    """The metadata of pixels that have been turned upright: an orientation in Exif and XMP becomes 1.

    >>> exif = b"II*\\0\\x08\\0\\0\\0\\x01\\0\\x12\\x01\\x03\\0\\x01\\0\\0\\0\\x06\\0\\0\\0\\0\\0\\0\\0"
    >>> set_upright(Metadata(exif=exif)).exif[18]
    1
    """
    xmp = re.sub(rb"""(tiff:Orientation(?:\s*=\s*["']|>\s*))[1-8]""", rb"\g<1>1", metadata.xmp)
    return Metadata(_exif_upright(metadata.exif), metadata.icc, xmp, metadata.comment)


def _exif_upright(exif: bytes) -> bytes:
    """An Exif block whose orientation is 1; nothing else in it moves."""
    order: Any = {b"II": "little", b"MM": "big"}.get(exif[:2])
    if order is None:
        return exif

    def number(at, size):
        return int.from_bytes(exif[at : at + size], order)

    directory = number(4, 4)
    for entry in range(directory + 2, min(directory + 2 + 12 * number(directory, 2), len(exif) - 11), 12):
        if number(entry, 2) == _ORIENTATION:
            short = number(entry + 2, 2) == 3
            value = (1).to_bytes(2, order) + bytes(2) if short else (1).to_bytes(4, order)
            return exif[: entry + 8] + value + exif[entry + 12 :]
    return exif


# --- colour ---------------------------------------------------------------------------------------------------------


def profile_space(icc: bytes) -> str:
    """The colour space that a profile describes: ``"RGB"``, ``"GRAY"``, ``"CMYK"`` …; empty if it is no profile.

    >>> profile_space(b"not a profile")
    ''
    """
    return icc[16:20].decode("latin-1").strip() if icc[36:40] == b"acsp" else ""


def describe_profile(icc: bytes) -> str:
    """A profile's own name, such as "Display P3"; its colour space where it has no name."""
    from PIL import ImageCms

    profile = _profile(icc)
    return (ImageCms.getProfileDescription(profile).strip() if profile else "") or profile_space(icc) or "unreadable"


def changes_colours(icc: bytes) -> bool:
    """Whether a profile of RGB or grey pictures means other colours than a file without one, which means sRGB.

    It does if the conversion moves some colour of a lattice by more than 2 of 255 levels: profiles that say sRGB differ
    from one another in their rounding. A profile that cannot be read changes nothing.
    """
    moved = _moved(icc)
    return moved is not None and moved > 2


@functools.lru_cache(maxsize=64)
def _moved(icc: bytes) -> int | None:
    """By how many levels the conversion to sRGB moves a colour at most; None if there is no such conversion."""
    from PIL import Image

    if profile_space(icc) == "GRAY":
        lattice = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    else:
        levels = np.arange(0, 256, 15, dtype=np.uint8)
        lattice = Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), -1).reshape(18, -1, 3))
    converted = to_srgb(lattice, icc)
    if converted is None:
        return None
    return int(np.abs(np.asarray(converted, int) - np.asarray(lattice, int)).max())


def to_srgb(image: Any, icc: bytes) -> Any:
    """A PIL image of mode L, RGB or CMYK, converted from its profile to sRGB (grey stays grey).

    Returns:
        A PIL image of mode L or RGB; None if the profile is damaged, or is not of such pictures.
    """
    from PIL import ImageCms

    space = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}[image.mode]
    profile = _profile(icc)
    if profile is None or profile_space(icc) != space:
        return None
    try:
        intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
        converted = ImageCms.profileToProfile(image, profile, _srgb(), intent, "RGB", flags=flags)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    return converted.getchannel(0) if image.mode == "L" and converted else converted


def lab_to_srgb(image: Any) -> Any:
    """A PIL image of mode LAB (CIE L*a*b*, D50) in sRGB."""
    from PIL import ImageCms

    return ImageCms.profileToProfile(image, ImageCms.createProfile("LAB"), _srgb(), outputMode="RGB")


def _profile(icc: bytes):
    from PIL import ImageCms

    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(icc)) if profile_space(icc) else None
    except (ImageCms.PyCMSError, OSError):
        return None


@functools.cache
def _srgb():
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
