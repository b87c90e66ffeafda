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

import contextlib
import ctypes
import functools
import io
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..primitives import container
from ..primitives.errors import ReadingError, StreamError
from ..primitives.files import new_file, write_atomically  # noqa: F401 - for those who look for it here
from ..primitives.picture import MAX_PIXELS, check_size
from .file_formats import extract, format_of, jxl, webp
from .file_formats.depth import frame_count, has_frames, sample_bits
from .metadata import (
    NOTHING,
    Metadata,
    changes_colours,
    lab_to_srgb,
    metadata_of,
    orientation_of,
    profile_space,
    quiet,
    set_upright,
    to_srgb,
)

#: File name endings that count as pictures.
EXTENSIONS = (
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".avifs", ".jxl", ".jp2", ".j2k", ".j2c",
    ".jpc", ".jpf", ".jpx", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".ico",
    ".icns", ".psd", ".qoi", ".dds", ".sgi", ".pcx",
)  # fmt: skip

#: TIFF's tags of what numbers mean: photometric interpretation, planar configuration, sample format.
_PHOTOMETRIC, _PLANES, _SAMPLE_FORMAT = 262, 284, 339

#: Kinds of metadata that are kept, by what `Reading.metadata` says.
_KEPT = {"drop": (), "color": ("icc",), "keep": ("exif", "icc", "xmp", "comment")}


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
        if self.metadata not in tuple(_KEPT):
            raise ValueError(f"metadata is {', '.join(map(repr, _KEPT))}, not {self.metadata!r}")


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
        image, data = _loaded(source, reading, max_pixels)
        orientation, metadata = orientation_of(image), metadata_in(image, data)
        image = _of_eight_bits(image, data, reading)
        image, icc = _in_colour(_flat(image, reading), metadata.icc, reading, carries)
        metadata = metadata.only(set(_KEPT[reading.metadata]) & set(carries) - {"icc"})
        metadata = Metadata(metadata.exif, icc, metadata.xmp, metadata.comment)
        return Photo(turned(np.array(image), orientation), set_upright(metadata))


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
        image, data = _loaded(source, replace(reading, frame=0))
        count = frame_count(image) if has_frames(image, data) else 1
        # An APNG's first picture may be for those who know no animations, and none of its frames.
        for number in range(int(count > 1 and bool(image.info.get("default_image"))), count):
            with _damage():
                image.seek(number)
                image.load()
            flat = _flat(_of_eight_bits(image, data, reading), reading)
            pixels, _ = _in_colour(flat, metadata_in(image, data).icc, reading, ())
            yield turned(np.array(pixels), orientation_of(image)), float(image.info.get("duration") or 0)


def stored_pixels(data: bytes, reading: Reading = STRICT, max_pixels: int = MAX_PIXELS, formats=None) -> np.ndarray:
    """The pixels of an image file as it stores them: not turned, and in its own colours if they are RGB.

    Args:
        data: the file.
        reading: what to do with alpha, many bits and frames.
        max_pixels: the largest picture to accept.
        formats: Pillow's names of the formats to try; None for all.
    """
    image, _ = _loaded(io.BytesIO(data), reading, max_pixels, formats)
    image = _flat(_of_eight_bits(image, data, reading), reading)
    return np.array(image if image.mode in ("L", "RGB") else _as_rgb(image))


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


def read_stream(stream: Any) -> bytes:
    """The bytes of a bytes-like object, or of the file at a path.

    >>> read_stream(bytearray(b"ckt"))
    b'ckt'
    """
    if isinstance(stream, bytes | bytearray | memoryview):
        return bytes(stream)
    if isinstance(stream, str | os.PathLike):
        return Path(stream).read_bytes()
    if isinstance(stream, io.IOBase):
        return stream.read()
    raise ValueError(f"a stream is bytes or the path of a file, not {type(stream).__name__}")


@contextlib.contextmanager
def naming(source: Any) -> Iterator[None]:
    """Lets errors of data name the file that is being read, if `source` is one's path.

    >>> with naming("a.png"):
    ...     raise StreamError("the file is cut")
    Traceback (most recent call last):
    ...
    codeckit.primitives.errors.StreamError: a.png: the file is cut
    """
    try:
        yield
    except (StreamError, ReadingError) as error:
        name = os.fsdecode(source) if isinstance(source, str | os.PathLike) else ""
        if not name or str(error).startswith(name):
            raise
        kind = StreamError if isinstance(error, StreamError) else ReadingError
        raise kind(f"{name}: {error}") from error


# --- opening --------------------------------------------------------------------------------------------------------


@quiet
def opened(data: bytes, formats: Iterable[str] | None = None):
    """A PIL image of a file whose pixels have not been read.

    Pillow's own `open` refuses pictures above a limit of its own; here `max_pixels` is the limit, for every format.
    """
    from PIL import Image

    if not data:
        raise StreamError("the file is empty")
    load_plugins(data)
    known = format_of(data)  # of AVIF, Pillow looks at the major brand alone
    reason = None
    for prepare in (Image.preinit, Image.init):  # the usual formats first: loading all takes long
        prepare()
        signed, others = [], []
        for form in formats or Image.ID:
            factory, accept = Image.OPEN.get(form, (None, None))
            if form != "EPS" and factory is not None:  # (EPS is a program, which Pillow has Ghostscript run)
                (signed if accept else others).append((form, factory, accept))
        for form, factory, accept in signed:
            if form == known or _accepted(accept, data):
                try:
                    with _without_pillows_limit():
                        return _corrected(factory(io.BytesIO(data), b""))
                except Exception as error:  # whatever a parser raises
                    reason = reason or StreamError(
                        f"the {form} file is damaged, or of a kind that is not read: {_one_line(error)}"
                    )
        if reason and known:
            raise reason
        for _, factory, _ in others:  # formats without a signature; TGA can begin like cursors of Windows
            with contextlib.suppress(Exception):
                return factory(io.BytesIO(data), b"")
    if reason:
        raise reason
    raise StreamError("not an image file that Pillow can read")


def _accepted(accept, data: bytes) -> bool:
    """Whether a format takes a file by its first bytes; some parsers fail at very few."""
    with contextlib.suppress(Exception):
        return accept(data[:16]) is True
    return False


def _corrected(image):
    """An opened image whose file Pillow reads right: of TIFF files with planes of 16 bits, it would read 8 of each."""
    if image.format != "TIFF" or image.tag_v2.get(_PLANES) != 2:
        return image
    order = "L" if image.tag_v2.prefix == b"II" else "B"
    if sample_bits(image, b"") == 8 and max(image.tag_v2.get(258, (1,))) == 16:
        image.tile = [
            tile._replace(args=(f"{tile.args[0]};16{order}", *tile.args[1:])) if tile.codec_name == "raw" else tile
            for tile in image.tile
        ]
    return image


def check_before_opening(data: bytes, max_pixels: int) -> None:
    """Refuse a JPEG XL or WebP picture that is too large: opening it decodes it, or takes the memory of its pixels.

    Raises:
        StreamError: too large, or damaged.
    """
    form = format_of(data)
    if form == "JXL":
        check_size(jxl.header(data).size, max_pixels)
    elif form == "WEBP":
        check_size(webp.size(data), max_pixels)


_unlimited = threading.Lock()
_readers: list[None] = []
_limits: list[int | None] = []


@contextlib.contextmanager
def _without_pillows_limit() -> Iterator[None]:
    """Pillow refuses some large pictures by a limit of the whole process, which is lifted while anybody reads here."""
    from PIL import Image

    with _unlimited:
        if not _readers:
            _limits[:] = [Image.MAX_IMAGE_PIXELS]
            Image.MAX_IMAGE_PIXELS = None
        _readers.append(None)
    try:
        yield
    finally:
        with _unlimited:
            _readers.pop()
            if not _readers:
                Image.MAX_IMAGE_PIXELS = _limits.pop()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def load_plugins(data: bytes) -> None:
    """Teach Pillow the formats that it has not from itself, where a file is of one of them."""
    form = format_of(data)
    if form == "JPEG2000":
        from .peers import jpeg2000_files  # noqa: F401
    if form == "JXL":
        with contextlib.suppress(ImportError):
            from .peers import jpegxl_files  # noqa: F401
    if data[:2] in (b"II", b"MM"):
        _silence_libtiff()


@functools.cache
def _silence_libtiff() -> None:
    """Errors in TIFF files are raised, so libtiff need not print them on stderr, too.

    Pillow silences the warnings of its libtiff, but not its errors. Where Pillow's library does not show libtiff's
    functions, all stays as it is.
    """
    from PIL import _imaging

    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


@quiet
def _loaded(source, reading: Reading, max_pixels: int = MAX_PIXELS, formats=None):
    """A PIL image with the pixels of the frame that is asked for, and the file's bytes; none of an image in memory."""
    from PIL import Image

    if not isinstance(source, Image.Image | str | os.PathLike | io.IOBase):
        raise ValueError(f"an image is a uint8 array, a PIL image or a path, not {type(source).__name__}")
    data = b"" if isinstance(source, Image.Image) else read_stream(source)
    with _damage():
        if (image := _beyond_pillow(data, max_pixels)) is not None:
            return image, data
        if isinstance(source, Image.Image):
            image = source.copy()
            image.format = source.format
        else:
            check_before_opening(data, max_pixels)
            image = opened(data, formats)
            check_size((image.height, image.width), max_pixels)
            _seek(image, data, reading.frame)
        image.load()
    return image, data


def _beyond_pillow(data: bytes, max_pixels: int):
    """A PIL image of a JPEG file of the kinds that Pillow does not read, or not whole; None of any other file.

    They are arithmetic-coded or lossless, or have their height in a DNL segment. CMYK is left to Pillow.
    """
    if format_of(data) != "JPEG":
        return None
    from .jpeg.markers import is_beyond_pillow

    if not is_beyond_pillow(data):
        return None
    from PIL import Image

    from ..primitives.color import YCbCr
    from ..primitives.dct import BlockDCT
    from ..primitives.quantizers.table import QuantTable
    from ..primitives.subsample import Subsample
    from .jpeg.huffman import JpegHuffman

    picture = JpegHuffman().inverse(data, max_pixels)
    for stage in QuantTable(50), BlockDCT(), Subsample("4:2:0"), YCbCr():
        picture = stage.inverse(picture)
    image = Image.fromarray(picture)
    image.format = "JPEG"
    if exif := extract(data).exif:
        image.info["exif"] = b"Exif\0\0" + exif
    return image


@contextlib.contextmanager
def _damage() -> Iterator[None]:
    """What parsers raise at damaged bytes, as a `StreamError`; no limit but ours counts meanwhile."""
    try:
        with _without_pillows_limit():
            yield
    except (StreamError, ReadingError):
        raise
    except Exception as error:  # whatever it is
        raise StreamError(f"the image file is damaged: {_one_line(error)}") from error


def _seek(image, data: bytes, number: int | None) -> None:
    readable = frame_count(image)
    if number is None and has_frames(image, data):
        several = readable if readable > 1 else "several"  # of JPEG XL, the first one is read
        raise ReadingError(
            f"the picture has {several} frames or pages, and codecs of stills take one: frame=0 takes the first"
        )
    if number is not None and number >= readable:
        raise ReadingError(f"{readable} frames of the picture can be read, numbered from 0; there is no frame {number}")
    if number:
        image.seek(number)


def metadata_in(image, data: bytes) -> Metadata:
    """What a file holds besides its pixels; where its parts are damaged, what Pillow makes of them.

    Args:
        image: the file, opened by Pillow.
        data: the file's bytes; empty for an image in memory.
    """
    with contextlib.suppress(StreamError):
        if format_of(data) == "JXL":
            icc = metadata_of(image).icc  # which libjxl makes up where the file names its colours by a number
            return replace(extract(data), icc=icc if changes_colours(icc) else b"")
        if format_of(data):
            return extract(data)
    return metadata_of(image)


# --- converting -----------------------------------------------------------------------------------------------------


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

        return np.array(_without_alpha(Image.fromarray(np.ascontiguousarray(image)), reading))
    return np.ascontiguousarray(image)


def _flat(image, reading: Reading):
    """An image without alpha: of mode L, RGB, CMYK, LAB, YCbCr or HSV."""
    image = _without_alpha(image, reading)
    if image.mode in ("L", "RGB", "CMYK", "LAB", "YCbCr", "HSV"):
        return image
    try:
        return image.convert("L" if image.mode == "1" else "RGB")
    except (OSError, ValueError) as error:
        raise StreamError(f"pictures of mode {image.mode} are not read: {error}") from error


def _of_eight_bits(image, data: bytes, reading: Reading):
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


def _without_alpha(image, reading: Reading):
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


def _as_rgb(image):
    return lab_to_srgb(image) if image.mode == "LAB" else image.convert("RGB")


def _in_colour(image, icc: bytes, reading: Reading, carries: Iterable[str]):
    """The image as L or RGB, and the profile that belongs to its numbers: none where they are sRGB."""
    if image.mode not in ("L", "RGB"):
        return (to_srgb(image, icc) if image.mode == "CMYK" else None) or _as_rgb(image), b""
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
