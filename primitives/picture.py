"""What travels between the stages of an image codec: component planes, and what a decoder must know of them.

An image enters a codec as a uint8 array [H, W, 3] or [H, W]. From the first stage on it is a `Picture`: a tuple of
planes, one a colour component (or one a latent, for learned codecs), with the facts that its inverse needs. The arrays
change from stage to stage:

==================  ==========================================================================
after               each plane holds
==================  ==========================================================================
colour, subsampling  uint8 samples [h, w]
block transform      coefficients [rows, columns, n, n], one block a grid position
wavelet transform    coefficients [h, w] in pyramid (Mallat) order
quantizer            integer symbols of the same shape
==================  ==========================================================================

so an entropy coder sees the same thing from every codec: a tuple of integer arrays whose first two axes are the
picture's rows and columns and whose other axes (if any) are the coefficients of one position.

A picture's header (size, sampling, colour model, quantization tables) is a few bytes, and every entropy stage that
writes a `.ckt` payload begins with it: `pack_header` and `unpack_header`, described in docs/format.md.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from .bitstream import ByteReader, ByteWriter
from .errors import StreamError

#: Colour models of the planes, in the order of their number in a stream.
COLORS = ("grey", "ycbcr", "rgb", "cmyk", "ycck", "other")

#: The largest picture that decoders accept unless told otherwise, in pixels (16384 × 16384).
MAX_PIXELS = 1 << 28


@dataclass(frozen=True, eq=False)
class Picture:
    """Component planes of one picture on its way through a codec.

    Attributes:
        planes: one array a component.
        size: (H, W) of the picture, in pixels.
        factors: one (vertical, horizontal) sampling factor a plane, as in ITU-T T.81 A.1.1: a plane has
            ceil(H · v / v_max) × ceil(W · h / h_max) samples.
        color: colour model, one of `COLORS`.
        tables: after a table quantizer, one table of steps a plane (uint16, the shape of one position's
            coefficients); otherwise empty.

    >>> picture = Picture((np.zeros((3, 5), np.uint8),), size=(3, 5))
    >>> picture.plane_size(0)
    (3, 5)
    """

    planes: tuple[np.ndarray, ...]
    size: tuple[int, int]
    factors: tuple[tuple[int, int], ...] = ((1, 1),)
    color: str = "grey"
    tables: tuple[np.ndarray, ...] = field(default=())

    def replace(self, **changes) -> "Picture":
        """A copy with some attributes changed."""
        return replace(self, **changes)

    def map(self, function) -> "Picture":
        """A copy with `function` applied to every plane."""
        return replace(self, planes=tuple(function(plane) for plane in self.planes))

    def plane_size(self, index: int) -> tuple[int, int]:
        """(h, w) in samples of plane `index` under its sampling factors."""
        v_max = max(v for v, _ in self.factors)
        h_max = max(h for _, h in self.factors)
        v, h = self.factors[index]
        return -(-self.size[0] * v // v_max), -(-self.size[1] * h // h_max)


def pack_header(picture: Picture) -> bytes:
    """Everything of `picture` but its planes' values, as bytes.

    >>> picture = Picture((np.zeros((3, 5), np.int16),), size=(3, 5))
    >>> len(pack_header(picture))
    8
    """
    out = ByteWriter()
    out.varint(picture.size[0])
    out.varint(picture.size[1])
    out.byte(COLORS.index(picture.color) | (0x80 if picture.tables else 0))
    out.byte(len(picture.planes))
    for plane, (v, h) in zip(picture.planes, picture.factors, strict=True):
        out.byte(v << 4 | h)
        out.byte(plane.ndim)
        for extent in plane.shape:
            out.varint(extent)
    if picture.tables:
        unique = [table for i, table in enumerate(picture.tables) if _first_equal(picture.tables, i) == i]
        index = {id(table): n for n, table in enumerate(unique)}
        out.varint(len(unique))
        for table in unique:
            for step in np.asarray(table).ravel():
                out.varint(int(step))
        for i in range(len(picture.tables)):
            out.byte(index[id(picture.tables[_first_equal(picture.tables, i)])])
    return out.getvalue()


def _first_equal(tables, i):
    return next(j for j in range(len(tables)) if np.array_equal(tables[j], tables[i]))


def unpack_header(reader: ByteReader, max_pixels: int = MAX_PIXELS) -> tuple[Picture, tuple[tuple[int, ...], ...]]:
    """The picture that `pack_header` described, without planes, and the planes' shapes.

    Raises:
        StreamError: the header is cut or contradicts itself, or the picture is larger than `max_pixels`.

    >>> picture = Picture((np.zeros((3, 5), np.int16),), size=(3, 5))
    >>> header, shapes = unpack_header(ByteReader(pack_header(picture)))
    >>> header.size, shapes
    ((3, 5), ((3, 5),))
    """
    size = reader.varint(), reader.varint()
    check_size(size, max_pixels)
    flags = reader.byte()
    if flags & 0x7F >= len(COLORS):
        raise StreamError(f"unknown colour model {flags & 0x7F}")
    factors, shapes = [], []
    for _ in range(reader.byte()):
        sampling = reader.byte()
        factors.append((sampling >> 4, sampling & 15))
        shapes.append(tuple(reader.varint() for _ in range(reader.byte())))
    if not factors or any(v == 0 or h == 0 for v, h in factors):
        raise StreamError("the picture header describes no planes or planes without samples")
    if any(not 2 <= len(shape) <= 8 or min(shape) < 1 for shape in shapes):
        raise StreamError(f"planes of shape {shapes} are no planes: they have 2 … 8 axes, none of them empty")
    # A plane never holds more than the picture, padded to whole blocks (256 is the largest block that is padded to),
    # in up to 16 bit planes; and a picture has 4 such planes at most.
    most = 16 * (size[0] + 256) * (size[1] + 256)
    if max(map(math.prod, shapes)) > most or sum(map(math.prod, shapes)) > 4 * most:
        raise StreamError(f"planes of shape {shapes} are too large for a picture of {size[1]}×{size[0]} pixels")
    tables = ()
    if flags & 0x80:
        unique = [_unpack_table(reader, shapes[0][2:]) for _ in range(reader.varint())]
        chosen = [reader.byte() for _ in shapes]
        if any(index >= len(unique) for index in chosen):
            raise StreamError("the picture header names a quantization table that it does not hold")
        tables = tuple(unique[index] for index in chosen)
    picture = Picture((), size, tuple(factors), COLORS[flags & 0x7F], tables)
    return picture, tuple(shapes)


def _unpack_table(reader, shape):
    steps = [reader.varint() for _ in range(math.prod(shape))]
    if any(not 1 <= step <= 65535 for step in steps):
        raise StreamError("a quantization step lies outside 1 … 65535")
    return np.array(steps, np.uint16).reshape(shape)


def check_size(size: tuple[int, int], max_pixels: int) -> None:
    """Refuse a picture without pixels or with more than `max_pixels`.

    >>> check_size((70000, 70000), MAX_PIXELS)
    Traceback (most recent call last):
    ...
    codeckit.primitives.errors.StreamError: the stream declares 70000×70000 pixels, more than the limit of 268435456; pass a larger max_pixels if you trust it
    """  # noqa: E501
    height, width = size
    if height < 1 or width < 1:
        raise StreamError(f"the stream declares a picture of {width}×{height} pixels")
    if height * width > max_pixels:
        raise StreamError(
            f"the stream declares {width}×{height} pixels, more than the limit of {max_pixels}; "
            "pass a larger max_pixels if you trust it"
        )


def pad_edge(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """The plane extended to [height, width] by repeating its last row and column; itself if it has that size.

    >>> pad_edge(np.array([[1, 2]]), 2, 3).tolist()
    [[1, 2, 2], [1, 2, 2]]
    """
    h, w = plane.shape
    if (h, w) == (height, width):
        return plane
    return np.pad(plane, ((0, height - h), (0, width - w)), mode="edge")
