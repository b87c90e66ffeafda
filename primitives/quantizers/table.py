"""Table quantization: one step size for every frequency, as in JPEG.

Eyes see coarse patterns better than fine ones, so high frequencies get larger steps. A coefficient becomes the nearest
integer number of steps, and dequantization multiplies (ITU-T T.81 A.3.4):

    symbol = round(coefficient / step)          halves round away from zero
    coefficient' = symbol · step

The tables of T.81 Annex K were measured in viewing experiments. ``quality`` scales them the way libjpeg does: 50 leaves
them as they are, 100 makes every step 1, and below 50 steps grow as 1/quality.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from ..compiled import njit
from ..errors import StreamError
from ..picture import Picture
from ..stage import Stage

#: ITU-T T.81 Table K.1: steps for luma, rows are vertical frequencies.
ANNEX_K_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)

#: ITU-T T.81 Table K.2: steps for chroma.
ANNEX_K_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
)

#: Base tables by name: (luma, chroma).
BASES = {"annex-k": (ANNEX_K_LUMA, ANNEX_K_CHROMA), "flat": (((16,) * 8,) * 8,) * 2}


@lru_cache(maxsize=64)
def scaled_tables(quality: int, base: str = "annex-k") -> tuple[np.ndarray, np.ndarray]:
    """Luma and chroma steps, each uint16 [8,8], at libjpeg's quality 1…100.

    >>> scaled_tables(50)[0][0].tolist(), int(scaled_tables(100)[1].max())
    ([16, 11, 10, 16, 24, 40, 51, 61], 1)
    """
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    tables = tuple(np.clip((np.array(t) * scale + 50) // 100, 1, 255).astype(np.uint16) for t in BASES[base])
    for table in tables:
        table.setflags(write=False)  # shared by every caller
    return tables


@njit(cache=True, error_model="numpy")  # steps are never 0: without a test for it the loop is vectorized
def _quantize(coefficients, steps, out):
    for i in range(out.shape[0]):
        values, into = coefficients[i], out[i]
        for k in range(out.shape[1]):
            ratio = np.float32(values[k] / steps[k])
            into[k] = np.int32(ratio + (np.float32(0.5) if ratio >= np.float32(0) else np.float32(-0.5)))


@njit(cache=True)
def _dequantize(symbols, steps, out):
    for i in range(out.shape[0]):
        values, into = symbols[i], out[i]
        for k in range(out.shape[1]):
            product = np.int32(values[k]) * steps[k]
            into[k] = min(max(product, np.int32(-32768)), np.int32(32767))


def quantize(coefficients: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Symbols int16 [rows, columns, n, n] of float32 coefficients of that shape, for steps [n,n].

    >>> quantize(np.array([[[[24.0, -24.0], [23.9, 0.0]]]], np.float32), np.full((2, 2), 16)).tolist()
    [[[[2, -2], [1, 0]]]]
    """
    out = np.empty((coefficients.shape[0] * coefficients.shape[1], table.size), np.int16)
    _quantize(np.ascontiguousarray(coefficients).reshape(out.shape), table.astype(np.float32).ravel(), out)
    return out.reshape(coefficients.shape)


def dequantize(symbols: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Coefficients int16 (saturated) of integer symbols of the same shape [rows, columns, n, n].

    >>> dequantize(np.array([[[[2, -2], [1, 0]]]], np.int16), np.full((2, 2), 16)).tolist()
    [[[[32, -32], [16, 0]]]]
    """
    symbols = np.ascontiguousarray(symbols)
    if symbols.dtype != np.int16:
        symbols = np.clip(symbols, -32768, 32767).astype(np.int16)
    out = np.empty((symbols.shape[0] * symbols.shape[1], table.size), np.int16)
    _dequantize(symbols.reshape(out.shape), table.astype(np.int32).ravel(), out)
    return out.reshape(symbols.shape)


@dataclass(frozen=True)
class QuantTable(Stage):
    """Quantize block coefficients with a table of steps; the tables then travel with the picture.

    Attributes:
        quality: 1…100, scales the base tables as libjpeg does.
        base: ``"annex-k"`` or ``"flat"``.
        tables: custom steps instead: one table for all planes or a pair (luma, chroma), each n rows of n integers from
            1 to 65535; `quality` and `base` are then without effect. Tables with steps above 255 are legal in
            progressive and extended sequential JPEG files.

    >>> from codeckit.primitives import BlockDCT
    >>> picture = BlockDCT().forward(Picture((np.full((8, 8), 138, np.uint8),), (8, 8)))
    >>> symbols = QuantTable(quality=50).forward(picture)
    >>> int(symbols.planes[0][0, 0, 0, 0])
    5
    >>> int(QuantTable().inverse(symbols).planes[0][0, 0, 0, 0])
    80
    """

    unwritten: ClassVar[tuple[str, ...]] = ("quality", "base", "tables")  # the tables travel with the picture

    quality: float = 75
    base: str = "annex-k"
    tables: tuple = ()

    def __post_init__(self):
        if isinstance(self.quality, bool) or not 1 <= self.quality <= 100 or int(self.quality) != self.quality:
            raise ValueError(f"quality is an integer from 1 to 100, not {self.quality!r}")
        if self.base not in BASES:
            raise ValueError(f"base is one of {', '.join(BASES)}, not {self.base!r}")
        if not hasattr(self.tables, "__len__"):
            raise ValueError(f"tables are one table of steps, or two for luma and chroma, not {self.tables!r}")
        if len(self.tables):
            object.__setattr__(self, "tables", _checked(self.tables))

    def steps(self, plane: int) -> np.ndarray:
        """The steps of a plane, uint16 [n,n]; plane 0 is luma."""
        if self.tables:
            return np.array(self.tables[min(plane, len(self.tables) - 1)], np.uint16)
        return scaled_tables(int(self.quality), self.base)[min(plane, 1)]

    def forward(self, picture: Picture) -> Picture:
        """Quantize; the picture's `tables` say with which steps.

        Raises:
            ValueError: the blocks have another size than the tables.
        """
        tables = tuple(self.steps(i) for i in range(len(picture.planes)))
        for plane, table in zip(picture.planes, tables, strict=True):
            if plane.shape[2:] != table.shape:
                raise ValueError(f"{table.shape} steps do not fit blocks of {plane.shape[2:]}; pass tables=")
        planes = tuple(quantize(plane, table) for plane, table in zip(picture.planes, tables, strict=True))
        return picture.replace(planes=planes, tables=tables)

    def inverse(self, picture: Picture) -> Picture:
        """Dequantize with the picture's own tables; planes that are samples already stay as they are.

        Raises:
            StreamError: the picture carries no tables.
        """
        if picture.has_samples:
            return picture
        if len(picture.tables) != len(picture.planes):
            raise StreamError("the stream carries no quantization tables")
        if any(table.shape != plane.shape[2:] for table, plane in zip(picture.tables, picture.planes, strict=True)):
            raise StreamError("the stream's quantization tables do not fit its blocks")
        planes = tuple(dequantize(plane, table) for plane, table in zip(picture.planes, picture.tables, strict=True))
        return picture.replace(planes=planes, tables=())


def _checked(tables) -> tuple:
    """Custom tables as nested tuples, one or two square tables."""
    array = np.asarray(tables)
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or len(array) not in (1, 2) or array.shape[1] != array.shape[2]:
        raise ValueError(f"tables are one or two square tables of steps, not an array of shape {array.shape}")
    if not np.issubdtype(array.dtype, np.integer) or array.min() < 1 or array.max() > 65535:
        raise ValueError("quantization steps are integers from 1 to 65535")
    return tuple(tuple(tuple(int(step) for step in row) for row in table) for table in array)
