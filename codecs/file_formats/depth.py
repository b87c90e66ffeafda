"""How much a picture file holds that Pillow's 8-bit modes do not show: bits per sample, and further frames.

Pillow reads 16-bit colour PNG, TIFF, PNM and JPEG 2000, and 10- and 12-bit AVIF, as mode RGB with the upper 8 bits; of
an animated JPEG XL file its plug-in reads the first frame. What was really in the file stands in its header.
"""

from typing import Any

from ...primitives.errors import StreamError
from . import avif, jp2, jpeg, jxl

#: Formats whose further frames are no part of the picture: previews, layers, other sizes.
ONE_PICTURE = ("MPO", "PSD", "ICO", "ICNS")

#: Bits that a sample of Pillow's modes takes.
_MODES = {"1": 1, "I": 32, "F": 32}


def sample_bits(image: Any, data: bytes) -> int:
    """The bits per sample of a picture file: the most that any component has. A palette's colours count as 8 bits.

    Args:
        image: the file, opened by Pillow; its pixels are not loaded.
        data: the file's bytes; empty for an image in memory, whose mode tells.

    Raises:
        StreamError: the file is cut inside its header.

    >>> import io
    >>> from PIL import Image
    >>> out = io.BytesIO()
    >>> Image.new("I;16", (4, 3)).save(out, "PNG")
    >>> sample_bits(Image.open(out), out.getvalue())
    16
    """
    form = image.format if data else ""
    if image.mode in ("P", "PA"):
        return 8
    if form == "PNG":
        return data[24]
    if form == "TIFF":
        return max(image.tag_v2.get(258, (1,)))
    if form == "PPM":
        return _pnm_bits(data)
    if form == "JPEG2000":
        return max(jp2.depths(data))
    if form == "AVIF":
        return max(avif.depths(data), default=8)
    if form == "JXL":
        return jxl.header(data).bits
    if form in ("JPEG", "MPO"):
        return jpeg.precision(data)
    if form == "SGI":
        return 8 * data[3]
    return 16 if image.mode.startswith("I;16") else _MODES.get(image.mode, 8)


def has_frames(image: Any, data: bytes) -> bool:
    """Whether a file has further frames or pages that belong to what it shows.

    >>> import io
    >>> from PIL import Image
    >>> out, frames = io.BytesIO(), [Image.new("L", (4, 3), level) for level in (0, 99)]
    >>> frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    >>> has_frames(Image.open(out), out.getvalue())
    True
    """
    if image.format == "JXL":
        return jxl.header(data).animated
    return image.format not in ONE_PICTURE and frame_count(image) > 1


def frame_count(image: Any) -> int:
    """The frames that Pillow finds in a file; 1 where it cannot find its way to the second."""
    try:
        return max(getattr(image, "n_frames", 1), 1)
    except Exception:  # whatever a parser raises at damage after the first frame
        return 1


def _pnm_bits(data: bytes) -> int:
    """Bits of the largest value that a Netpbm header names; 32 for its floating-point relative, PFM."""
    if data[:2] in (b"P1", b"P4"):
        return 1
    if data[:2] == b"Pf":
        return 32
    head = b"\n".join(line.partition(b"#")[0] for line in data[:4096].splitlines())
    try:
        return int(head.split()[3]).bit_length()
    except (IndexError, ValueError) as error:
        raise StreamError("the Netpbm file is cut or damaged: its header has no largest value") from error
