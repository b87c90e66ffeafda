"""Dead-zone quantization of wavelet coefficients with steps that depend on the place in the picture.

A squared error that weighs 2^o is worth a step that is 2^(−o/2) times as wide. Here the weights of cells of 32×32
pixels are whole *levels* k, and a coefficient of a cell at level k has the step Δ · 2^(−k/2). JPEG 2000 calls the same
*general scaling* (ITU-T T.800 Annex H describes the variant of one region whose coefficients are shifted above all
others, MAXSHIFT): coefficients of regions that count are scaled up before their bit planes are coded, so they come
first in an embedded stream, and down again after.

A coefficient belongs to the cell that lies at its place in its subband: subbands are small pictures of the picture. The
map of levels is part of the stage, and so of the stream, as some twenty letters (`primitives.level_map`).
"""

import base64
import binascii
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..errors import StreamError
from ..level_map import LARGEST, decode_levels, encode_levels, pooled
from ..picture import Picture
from ..stage import Stage
from ..wavelet import MAX_LEVELS, subbands
from .uniform import check_reconstruction, check_step, to_symbols

#: Pixels along the side of a cell.
CELL = 32


@dataclass(frozen=True)
class RegionDeadZone(Stage):
    """`DeadZone` of wavelet planes in pyramid order, with the step Δ · 2^(−k/2) where the map has the level k.

    Attributes:
        step: Δ, where the level is 0.
        reconstruction: as in `DeadZone`.
        levels: number of wavelet decompositions, as in `Wavelet`.
        map: the levels of cells [⌈H/32⌉,⌈W/32⌉], as `written` writes them.

    >>> stage = RegionDeadZone(2.0, levels=1, map=written(np.array([[0, 2]])))
    >>> quantized = stage.forward(Picture((np.full((32, 64), 9.0),), (32, 64)))
    >>> quantized.planes[0][0, ::16].tolist(), stage.inverse(quantized).planes[0][0, ::16].tolist()
    ([4, 9, 4, 9], [9.0, 9.5, 9.0, 9.5])
    """

    step: float = 1.0
    reconstruction: float = 0.5
    levels: int = 5
    map: str = ""

    def __post_init__(self):
        check_step(self.step)
        check_reconstruction(self.reconstruction)
        if isinstance(self.levels, bool) or not isinstance(self.levels, int) or not 0 <= self.levels <= MAX_LEVELS:
            raise ValueError(f"the number of wavelet levels is an integer from 0 to {MAX_LEVELS}, not {self.levels!r}")
        if not isinstance(self.map, str):
            raise ValueError(f"a map is written as letters, not as {self.map!r}")

    def forward(self, picture: Picture) -> Picture:
        """Planes of real values to planes of int32 symbols; raises as `quantize_deadzone` does."""
        return picture.map(lambda plane: to_symbols(np.trunc(plane.astype(np.float64) / self._steps(picture, plane))))

    def inverse(self, picture: Picture) -> Picture:
        """Planes of symbols to planes of float32 values.

        Raises:
            StreamError: the map is damaged.
        """

        def restored(plane):
            inside = plane + np.sign(plane) * float(self.reconstruction)
            return (inside * self._steps(picture, plane)).astype(np.float32)

        return picture.map(restored)

    def maps(self, x: Picture, y: Picture) -> dict[str, np.ndarray]:
        """ "octaves of cells" [⌈H/32⌉,⌈W/32⌉]: the levels."""
        return {"octaves of cells": read(self.map, y.size).astype(np.float64)}

    def _steps(self, picture: Picture, plane: np.ndarray) -> np.ndarray:
        if plane.ndim != 2:
            raise StreamError(f"a plane of shape {plane.shape} holds no wavelet coefficients [h, w]")
        return self.step * _scales(self.map, self.levels, picture.size, plane.shape)


@lru_cache(maxsize=4)
def _scales(written: str, levels: int, size: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    """What each coefficient's step is relative to Δ, float64 of a plane's shape."""
    cells = read(written, size)
    # 2^(−k/2) of whole k, the same on every machine: a power of two, times the root of 2 for odd k.
    of_level = [math.ldexp(math.sqrt(2) if k % 2 else 1.0, -(k + 1) // 2 if k % 2 else -k // 2) for k in _KNOWN]
    scales = np.array(of_level)[cells + LARGEST]
    out = np.ones(shape)
    for rows, columns in subbands(shape, levels).values():
        places = [
            (2 * np.arange(part.stop - part.start) + 1) * extent // (2 * CELL * (part.stop - part.start))
            for part, extent in zip((rows, columns), size, strict=True)
            if part.stop > part.start
        ]
        if len(places) == 2:
            out[rows, columns] = scales[np.ix_(*places)]
    return out


_KNOWN = range(-LARGEST, LARGEST + 1)


def grid_of(size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of cells of a picture.

    >>> grid_of((512, 65))
    (16, 3)
    """
    return -(-size[0] // CELL), -(-size[1] // CELL)


def levels_of(octaves: np.ndarray) -> np.ndarray:
    """Levels of cells, int32, for errors that weigh 2^octaves [H,W].

    >>> levels_of(np.array([[2.0] * 32 + [-1.6] * 32])).tolist()
    [[2, -2]]
    """
    means = pooled(octaves, (CELL, CELL), grid_of(octaves.shape))
    return np.clip(np.rint(means), -LARGEST, LARGEST).astype(np.int32)


def written(levels: np.ndarray) -> str:
    """A map of levels as letters.

    >>> written(np.array([[1, 1], [0, 0]]))
    'ruQ'
    """
    return base64.urlsafe_b64encode(encode_levels(levels)).decode().rstrip("=")


def read(text: str, size: tuple[int, int]) -> np.ndarray:
    """The map of a picture of `size` (H, W): the inverse of `written`.

    Raises:
        StreamError: these are not the letters of such a map.
    """
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise StreamError(f"the letters of a map are damaged: {text[:40]!r}") from error
    return decode_levels(data, grid_of(size))
