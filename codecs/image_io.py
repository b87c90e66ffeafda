"""Images in, streams in: whatever a user hands over becomes a uint8 array, or bytes.

Pixels are uint8 [H,W,3] RGB, or [H,W] grey. What cannot be represented so (alpha, 16 bits, floats) is refused with the
line that converts it, never silently changed.
"""

import contextlib
import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..primitives.errors import StreamError
from ..primitives.files import new_file, write_atomically  # noqa: F401 - for those who look for it here

#: File name endings that count as pictures.
EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2", ".avif", ".jxl")


@dataclass(frozen=True)
class Metadata:
    """What an image file says beside its pixels; empty bytes where it says nothing.

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


def read_image(image) -> np.ndarray:
    """The pixels of an array, a PIL image, or an image file, upright.

    Returns:
        uint8 [H,W,3] or [H,W].

    Raises:
        ValueError: not an 8-bit grey or RGB image; the message says how to convert it.
        FileNotFoundError: the path does not exist.

    >>> read_image(np.zeros((2, 3, 1), np.uint8)).shape
    (2, 3)
    """
    if not isinstance(image, np.ndarray):
        from PIL import ImageOps

        with _open(image) as opened:
            return _pixels(ImageOps.exif_transpose(opened))
    if image.dtype != np.uint8:
        raise ValueError(f"images are uint8 arrays, not {image.dtype}; scale to 0…255, round, and use astype(np.uint8)")
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.ndim == 3 and image.shape[2] == 4:
        raise ValueError("codecs take no alpha channel; drop it with image[..., :3], or blend it: background='white'")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise ValueError(f"images have shape [H,W,3] or [H,W], not {list(image.shape)}")
    if image.size == 0:
        raise ValueError(f"the image has no pixels: shape {list(image.shape)}")
    return np.ascontiguousarray(image)


def flatten(image, background) -> np.ndarray:
    """The pixels of an image, upright, with its alpha channel (if it has one) blended onto one colour.

    Args:
        image: uint8 [H,W,4] or what `read_image` takes.
        background: (R, G, B), or a name or "#rrggbb" that Pillow knows.

    Returns:
        uint8 [H,W,3]; [H,W] for grey pictures without alpha.

    Raises:
        ValueError: as `read_image`, or no such colour.

    >>> flatten(np.array([[[255, 0, 0, 255], [255, 0, 0, 0]]], np.uint8), "white").tolist()
    [[[255, 0, 0], [255, 255, 255]]]
    """
    from PIL import Image, ImageOps

    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 4:
            return read_image(image)
        opened = Image.fromarray(image)
    else:
        with _open(image) as file:
            opened = ImageOps.exif_transpose(file)
    if not opened.has_transparency_data:
        return read_image(opened)
    colour = tuple(background) if isinstance(background, list | tuple | np.ndarray) else background
    backdrop = Image.new("RGBA", opened.size, colour)
    return np.asarray(Image.alpha_composite(backdrop, opened.convert("RGBA")).convert("RGB"))


def picture_files(source, recursive: bool = False) -> list[Path]:
    """The image files of a folder, sorted by their paths, or the one file that `source` is.

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
    files = path.rglob("*") if recursive else path.iterdir()
    found = sorted(file for file in files if file.suffix.lower() in EXTENSIONS and file.is_file())
    if not found:
        raise ValueError(f"no pictures in {path}" + ("" if recursive else " (folders in it are not searched)"))
    return found


def read_image_and_metadata(image) -> tuple[np.ndarray, Metadata]:
    """The pixels as stored (not turned upright) and the metadata, in which the orientation stays."""
    if isinstance(image, np.ndarray):
        return read_image(image), Metadata()
    with _open(image) as opened:
        pixels = _pixels(opened)
        info = opened.info
        exif = info.get("exif", b"") or opened.getexif().tobytes()
        xmp, comment = info.get("xmp", b""), info.get("comment", b"")
    return pixels, Metadata(
        exif=exif[6:] if exif.startswith(b"Exif\0\0") else exif,
        icc=info.get("icc_profile") or b"",
        xmp=xmp.encode() if isinstance(xmp, str) else xmp,
        comment=comment.encode() if isinstance(comment, str) else comment,
    )


def upright(pixels: np.ndarray, stream: bytes) -> np.ndarray:
    """Decoded pixels turned as the Exif orientation of their file says; other streams' pixels as they are."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(stream)) as file:
            orientation = file.getexif().get(0x0112, 1)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        return pixels
    turned = Image.fromarray(pixels)
    turned.getexif()[0x0112] = orientation
    return np.array(ImageOps.exif_transpose(turned))


def _open(image):
    from PIL import Image, UnidentifiedImageError

    if isinstance(image, Image.Image):
        return image.copy()
    if not isinstance(image, str | os.PathLike | io.BytesIO):
        raise ValueError(f"an image is a uint8 array, a PIL image or a path, not {type(image).__name__}")
    if str(image).lower().endswith(".jxl"):
        with contextlib.suppress(ImportError):
            import pillow_jxl  # noqa: F401 - teaches Pillow to read them
    try:
        return Image.open(image)
    except UnidentifiedImageError as error:
        raise StreamError(f"{image} is not an image file that Pillow can read") from error
    except Image.DecompressionBombError as error:
        raise StreamError(f"{image}: {error}; raise PIL.Image.MAX_IMAGE_PIXELS if you trust it") from error


def _pixels(image) -> np.ndarray:
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        raise ValueError("codecs take no alpha channel; use image.convert('RGB'), or blend it: background='white'")
    if image.mode in ("I;16", "I;16B", "I;16L", "I", "F"):
        raise ValueError(f"the image has mode {image.mode}; codecs take 8-bit pictures: scale it to 0…255 first")
    try:
        return np.asarray(image if image.mode in ("L", "RGB") else image.convert("L" if image.mode == "1" else "RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise StreamError(f"the image file is damaged: {error}") from error


def read_stream(stream) -> bytes:
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
