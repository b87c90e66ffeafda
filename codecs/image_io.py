"""Pictures in and out: whatever a user hands over becomes a uint8 array, or bytes. The one place that opens pictures.

Pixels are uint8 [H,W,3] RGB, or [H,W] grey. A picture file may hold more than that. Nothing of it is dropped unsaid: it
is carried along, converted by a rule, or refused with a sentence that names the option which settles it (`Reading`).

======================  ===============================================================================================
in the file             what becomes of it
======================  ===============================================================================================
1 bit, palette          grey (0 and 255), RGB
alpha                   opaque everywhere: left out. Else refused, or blended onto ``background``; premultiplied or not
9 … 16 bits             refused, or the upper 8 bits of each sample with ``depth=8``
32 bits, floats         refused: they have no scale of their own
CMYK, YCbCr, Lab        RGB; by the file's profile where it has one, else by Pillow's formulas
several frames, pages   refused, or one of them with ``frame``. (A second picture in a JPEG is no frame.)
orientation             turned upright (`decode` gives pixels as they are stored)
ICC profile             kept, or converted to sRGB: ``metadata``
Exif, XMP, comment      left out, or kept: ``metadata``
======================  ===============================================================================================
"""

import io
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..primitives import container
from ..primitives.errors import StreamError
from ..primitives.files import new_file, write_atomically  # noqa: F401 - for those who look for it here
from ..primitives.picture import MAX_PIXELS
from .conversion import as_rgb, flat, in_colour, of_eight_bits, without_alpha
from .file_formats import extract, format_of
from .file_formats.depth import frame_count, has_frames
from .metadata import Metadata, orientation_of, set_upright
from .opening import check_before_opening, damage, loaded, metadata_in, naming, opened, read_stream
from .reading import KEPT, STRICT, Photo, Reading

#: File name endings that count as pictures.
EXTENSIONS = (
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".avifs", ".jxl", ".jp2", ".j2k", ".j2c",
    ".jpc", ".jpf", ".jpx", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".ico",
    ".icns", ".psd", ".qoi", ".dds", ".sgi", ".pcx",
)  # fmt: skip


def open_image(
    source: Any, reading: Reading = STRICT, carries: Iterable[str] = (), max_pixels: int = MAX_PIXELS
) -> Photo:
    """Read a picture, with the metadata that are to be kept.

    Args:
        source: uint8 array [H,W,3], [H,W,4] or [H,W], PIL image, path, binary file, or a `Photo`, which stays as it is.
        reading: what to do with what a codec cannot take.
        carries: kinds of metadata that can be kept: "exif", "icc", "xmp", "comment"; and "grey icc" where grey pictures
            can have a profile.
        max_pixels: the largest picture to accept.

    Raises:
        StreamError: damaged, or too large. The message names the file.
        ReadingError: the picture holds more than `reading` allows.
        ValueError: not a picture: an array of another type or shape, or an object of another kind.
        FileNotFoundError: the path does not exist.
    """
    if isinstance(source, Photo):
        return source
    if isinstance(source, np.ndarray):
        return Photo(_of_array(source, reading))
    with naming(source):
        image, data = loaded(source, reading, max_pixels)
        with damage():
            orientation, metadata = orientation_of(image), metadata_in(image, data)
            image = of_eight_bits(image, data, reading)
            image, icc = in_colour(flat(image, reading), metadata.icc, reading, carries)
            pixels = turned(np.array(image), orientation)
        metadata = metadata.only(set(KEPT[reading.metadata]) & set(carries) - {"icc"})
        return Photo(pixels, set_upright(Metadata(metadata.exif, icc, metadata.xmp, metadata.comment)))


def read_image(source: Any, reading: Reading = STRICT) -> np.ndarray:
    """The pixels of an array, a PIL image, or an image file, upright and in sRGB.

    Args:
        source: as in `open_image`.
        reading: what to do with what a codec cannot take.

    Returns:
        uint8 [H,W,3] or [H,W].

    Raises:
        StreamError, ReadingError, ValueError, FileNotFoundError: as `open_image`.

    >>> read_image(np.zeros((2, 3, 1), np.uint8)).shape
    (2, 3)
    >>> read_image(np.array([[[255, 0, 0, 255], [255, 0, 0, 0]]], np.uint8), Reading(background="white")).tolist()
    [[[255, 0, 0], [255, 255, 255]]]
    """
    return open_image(source, reading).pixels


def read_frames(source: Any, reading: Reading = STRICT) -> Iterator[tuple[np.ndarray, float]]:
    """The frames of an animated picture, upright and in sRGB, and how long each is shown.

    Args:
        source: a path or a binary file; a picture that does not move is one frame.
        reading: what to do with what a codec cannot take.

    Yields:
        uint8 [H,W,3] or [H,W], and milliseconds, 0 where the file does not say.

    Raises:
        StreamError: damaged, also at the frame where the damage is.
        ReadingError: the picture holds more than `reading` allows.
    """
    with naming(source):
        image, data = loaded(source, replace(reading, frame=0))
        count = frame_count(image) if has_frames(image, data) else 1
        # An APNG's first picture may be for those who know no animations, and none of its frames.
        for number in range(int(count > 1 and bool(image.info.get("default_image"))), count):
            with damage():
                image.seek(number)
                image.load()
                opaque = flat(of_eight_bits(image, data, reading), reading)
                converted, _ = in_colour(opaque, metadata_in(image, data).icc, reading, ())
                pixels = turned(np.array(converted), orientation_of(image))
            yield pixels, float(image.info.get("duration") or 0)


def stored_pixels(data: bytes, reading: Reading = STRICT, max_pixels: int = MAX_PIXELS, formats=None) -> np.ndarray:
    """The pixels of an image file as it stores them: not turned, and in its own colours if they are RGB.

    Args:
        data: the file.
        reading: what to do with alpha, many bits and frames.
        max_pixels: the largest picture to accept.
        formats: Pillow's names of the formats to try; None for all.
    """
    image, _ = loaded(io.BytesIO(data), reading, max_pixels, formats)
    with damage():
        image = flat(of_eight_bits(image, data, reading), reading)
        return np.array(image if image.mode in ("L", "RGB") else as_rgb(image))


def read_metadata(stream: Any, max_pixels: int = MAX_PIXELS) -> Metadata:
    """What an image file or a `.ckt` stream says besides its pixels: ICC profile, Exif, XMP, comment.

    Args:
        stream: bytes, or the path of a file.
        max_pixels: the largest JPEG XL picture to accept: the decoder alone knows its profile.

    Raises:
        StreamError: not a picture.

    >>> import codeckit
    >>> read_metadata(codeckit.codec("png").encode(np.zeros((8, 8), np.uint8)))
    Metadata(exif=b'', icc=b'', xmp=b'', comment=b'')
    """
    with naming(stream):
        data = read_stream(stream)
        if data[:3] == container.MAGIC:
            return Metadata(**{kind: container.unpack(data).sections.get(tag, b"") for kind, tag in TAGS.items()})
        if format_of(data) in ("", "JXL"):
            check_before_opening(data, max_pixels)
            return metadata_in(opened(data), data)
        return extract(data)


#: The sections of `.ckt` streams that hold metadata.
TAGS = {"exif": container.EXIF, "icc": container.ICC, "xmp": container.XMP}


def image_file(pixels: np.ndarray, form: str, **options: Any) -> bytes:
    """The file that Pillow writes of uint8 pixels [H,W,3] or [H,W].

    Args:
        pixels: the picture.
        form: Pillow's name of the format.
        options: keyword arguments of Pillow's ``save``.
    """
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, form, **options)
    return out.getvalue()


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels that are stored with an Exif orientation (1 … 8), turned upright.

    >>> turned(np.array([[1, 2, 3]]), 6).ravel().tolist()
    [1, 2, 3]
    """
    if orientation >= 5:  # rows and columns are exchanged
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def upright(pixels: np.ndarray, stream: bytes) -> np.ndarray:
    """Decoded pixels turned as the Exif orientation of their file says; other streams' pixels as they are."""
    try:
        return turned(pixels, orientation_of(opened(stream)))
    except StreamError:
        return pixels


def picture_files(source, recursive: bool = False) -> list[Path]:
    """The image files of a folder, sorted by their paths, or the one file that `source` is. Hidden ones are left out.

    Args:
        source: the path of a folder or of an image file.
        recursive: whether to look into the folders in it, too.

    Raises:
        FileNotFoundError: the path does not exist.
        ValueError: a folder holds no picture.
    """
    path = Path(source)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(f"no picture or folder at {path}")
    files = (file for file in (path.rglob("*") if recursive else path.iterdir()) if not is_hidden(file, path))
    found = sorted(file for file in files if file.suffix.lower() in EXTENSIONS and file.is_file())
    if not found:
        raise ValueError(f"no pictures in {path}" + ("" if recursive else " (folders in it are not searched)"))
    return found


def is_hidden(file: Path, folder: Path) -> bool:
    """Whether the name of a file, or of a folder on the way to it, begins with a dot.

    >>> is_hidden(Path("in/._photo.jpg"), Path("in")), is_hidden(Path("../in/photo.jpg"), Path("../in"))
    (True, False)
    """
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _of_array(image: np.ndarray, reading: Reading) -> np.ndarray:
    if image.dtype == np.uint16 and reading.depth == 8:
        image = (image >> 8).astype(np.uint8)
    if image.dtype != np.uint8:
        raise ValueError(f"images are uint8 arrays, not {image.dtype}; scale to 0…255, round, and use astype(np.uint8)")
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (3, 4)):
        raise ValueError(f"images have shape [H,W,3] or [H,W], not {list(image.shape)}")
    if image.size == 0:
        raise ValueError(f"the image has no pixels: shape {list(image.shape)}")
    if image.ndim == 3 and image.shape[2] == 4:
        from PIL import Image

        return np.array(without_alpha(Image.fromarray(np.ascontiguousarray(image)), reading))
    return np.ascontiguousarray(image)
