"""Opening picture files with Pillow: every format that it reads, every size that is allowed, one kind of error.

Pillow's parsers raise what comes to them at damaged bytes, stop at a size of their own, and read some kinds of files
wrong or not at all. All of that ends here: a file gives an image, or a `StreamError` that says what is wrong.
"""

import contextlib
import ctypes
import functools
import io
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..primitives.errors import ReadingError, StreamError
from ..primitives.picture import MAX_PIXELS, check_size
from .file_formats import extract, format_of, jxl, webp
from .file_formats.depth import frame_count, has_frames, sample_bits
from .metadata import Metadata, changes_colours, metadata_of, quiet
from .reading import Reading

#: TIFF's tag of how samples are laid out: 2 for planes.
_PLANES = 284


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
def loaded(source, reading: Reading, max_pixels: int = MAX_PIXELS, formats=None):
    """A PIL image with the pixels of the frame that is asked for, and the file's bytes; none of an image in memory."""
    from PIL import Image

    if not isinstance(source, Image.Image | str | os.PathLike | io.IOBase):
        raise ValueError(f"an image is a uint8 array, a PIL image or a path, not {type(source).__name__}")
    data = b"" if isinstance(source, Image.Image) else read_stream(source)
    with damage():
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

    picture: Any = JpegHuffman().inverse(data, max_pixels)
    for stage in QuantTable(50), BlockDCT(), Subsample("4:2:0"), YCbCr():
        picture = stage.inverse(picture)
    image = Image.fromarray(picture)
    image.format = "JPEG"
    if exif := extract(data).exif:
        image.info["exif"] = b"Exif\0\0" + exif
    return image


@contextlib.contextmanager
def damage() -> Iterator[None]:
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
