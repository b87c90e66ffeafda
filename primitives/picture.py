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

Numbers that belong to the picture as a whole, such as the gain level of a learned codec, are named *side values*.

A picture's header (size, sampling, colour model, quantization tables, side values) is a few bytes. The payload of a
`HeaderStage` begins with it: `pack_header` and `unpack_header`, described in docs/format.md.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

import numpy as np

from .anatomy import Dissector
from .bitstream import ByteReader, ByteWriter
from .errors import StreamError
from .stage import Stage

#: Colour models of the planes, in the order of their number in a stream.
COLORS = ("grey", "ycbcr", "rgb", "cmyk", "ycck", "other")

#: Flags of the header's colour byte: quantization tables follow, side values follow.
_TABLES, _SIDE = 0x80, 0x40

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
        side: integers that decoding needs beside the planes, by name, such as ``{"level": 24}``.

    >>> picture = Picture((np.zeros((3, 5), np.uint8),), size=(3, 5))
    >>> picture.plane_sizes
    [(3, 5)]
    """

    planes: tuple[np.ndarray, ...]
    size: tuple[int, int]
    factors: tuple[tuple[int, int], ...] = ((1, 1),)
    color: str = "grey"
    tables: tuple[np.ndarray, ...] = field(default=())
    side: Mapping[str, int] = field(default_factory=dict)

    def replace(self, **changes) -> "Picture":
        """A copy with some attributes changed."""
        return replace(self, **changes)

    def map(self, function) -> "Picture":
        """A copy with `function` applied to every plane."""
        return replace(self, planes=tuple(function(plane) for plane in self.planes))

    @property
    def has_samples(self) -> bool:
        """Whether planes hold samples, uint8 [h,w], as before any transform.

        A decoder of a file without transform and quantizer (lossless JPEG) gives such planes; the inverse stages of
        those two leave them as they are.
        """
        return all(plane.ndim == 2 and plane.dtype == np.uint8 for plane in self.planes)

    @property
    def plane_sizes(self) -> list[tuple[int, int]]:
        """(h, w) in samples of each plane under its sampling factors."""
        (height, width), v_max, h_max = self.size, *(max(each) for each in zip(*self.factors, strict=True))
        return [(-(-height * v // v_max), -(-width * h // h_max)) for v, h in self.factors]


def pack_header(picture: Picture) -> bytes:
    """Everything of `picture` but its planes' values, as bytes.

    >>> picture = Picture((np.zeros((3, 5), np.int16),), size=(3, 5))
    >>> len(pack_header(picture))
    8
    """
    out = ByteWriter()
    out.varint(picture.size[0])
    out.varint(picture.size[1])
    flags = (_TABLES if picture.tables else 0) | (_SIDE if picture.side else 0)
    out.byte(COLORS.index(picture.color) | flags)
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
    if picture.side:
        out.varint(len(picture.side))
        for name, value in picture.side.items():
            out.block(name.encode())
            out.varint(-2 * value - 1 if value < 0 else 2 * value)
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
    color = flags & ~(_TABLES | _SIDE)
    if color >= len(COLORS):
        raise StreamError(f"unknown colour model {color}")
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
    if flags & _TABLES:
        unique = [_unpack_table(reader, shapes[0][2:]) for _ in range(reader.varint())]
        chosen = [reader.byte() for _ in shapes]
        if any(index >= len(unique) for index in chosen):
            raise StreamError("the picture header names a quantization table that it does not hold")
        tables = tuple(unique[index] for index in chosen)
    side = _unpack_side(reader) if flags & _SIDE else {}
    picture = Picture((), size, tuple(factors), COLORS[color], tables, side)
    return picture, tuple(shapes)


def _unpack_side(reader):
    side = {}
    for _ in range(reader.varint()):
        name, folded = reader.block(), reader.varint()
        try:
            side[name.decode()] = folded >> 1 ^ -(folded & 1)
        except UnicodeDecodeError as error:
            raise StreamError("the name of a side value is not UTF-8") from error
    if not side:
        raise StreamError("the picture header announces side values and has none")
    return side


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
    if isinstance(max_pixels, bool) or not isinstance(max_pixels, Real):
        raise ValueError(f"max_pixels is a number of pixels, not {max_pixels!r}")
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


def dissect_header(found: Dissector) -> list[tuple[int, ...]]:
    """The fields of a `pack_header`; returns the planes' shapes."""
    found.group = "picture header"
    found.varint("height", "image", lambda n: f"{n} rows")
    found.varint("width", "image", lambda n: f"{n} columns")
    flags = found.number(
        1,
        "colour model",
        "color",
        lambda n: (
            COLORS[n & ~(_TABLES | _SIDE)]
            + (", quantization tables follow" if n & _TABLES else "")
            + (", side values follow" if n & _SIDE else "")
        ),
    )
    planes = found.number(1, "planes", "color")
    shapes = []
    for index in range(planes):
        found.number(
            1, f"sampling of plane {index}", "subsample", lambda n: f"{n >> 4}×{n & 15} (vertical × horizontal)"
        )
        axes = found.number(1, f"axes of plane {index}", "transform")
        shapes.append(tuple(found.varint(f"extent {axis} of plane {index}", "transform") for axis in range(axes)))
    if flags & _TABLES:
        found.group = "quantization tables"
        count = found.varint("number of tables", "quantize")
        size = int(np.prod(shapes[0][2:]))
        for table in range(count):
            start = found.position
            steps = []
            probe = Dissector(found.data)
            probe.position = start
            steps = [probe.varint("step") for _ in range(size)]
            shown = " ".join(map(str, steps[:16])) + (" …" if size > 16 else "")
            found.take(probe.position - start, f"steps of table {table}", shown, "quantize")
        for index in range(planes):
            found.number(1, f"table of plane {index}", "quantize")
    if flags & _SIDE:
        found.group = "side values"
        for index in range(found.varint("number of side values", "transform")):
            length = found.varint(f"length of name {index}", "transform")
            name = found.data[found.position : found.position + length].decode("utf-8", "replace")
            found.take(length, "name", name, "transform")
            found.varint(name, "transform", lambda n: str(n >> 1 ^ -(n & 1)))
    return shapes


class HeaderStage(Stage):
    """A last stage whose payload begins with a picture's header."""

    def describe(self, payload: bytes) -> tuple[tuple[int, int], str]:
        """Size (H, W) and colour model of the picture in a payload, without decoding it."""
        header, _ = unpack_header(ByteReader(payload), 1 << 62)
        return header.size, header.color

    def facts(self, payload: bytes) -> dict[str, Any]:
        """Sampling, the quantization tables that decoding uses, and side values."""
        header, _ = unpack_header(ByteReader(payload), 1 << 62)
        facts: dict[str, Any] = {"sampling": ",".join(f"{v}x{h}" for v, h in header.factors)}
        if header.tables:
            facts["quantization"] = [table.tolist() for table in header.tables]
        return {**facts, **header.side}
