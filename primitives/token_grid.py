"""Tokens and their grid.

Tokens lie on a grid of rows × columns, row by row: token n stands at (n // columns, n % columns). A network's feature
map [rows, columns, C] is a grid of tokens of C channels.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Tokens:
    """Feature vectors on a grid.

    Attributes:
        features: float32 [N,C], row by row; or whole numbers [N] or [N,D], the indices of a tokenizer.
        grid: (rows, columns), with rows · columns = N.
        source: what made them, such as ``"efficientnet-lite0/6"`` (backbone and stage); a task that reads tokens asks
            for it. Empty if unknown.
        size: (H, W) of the picture in pixels; (0, 0) if unknown.

    Raises:
        ValueError: features and grid do not fit.

    >>> tokens = Tokens(np.zeros((6, 4), np.float32), grid=(2, 3))
    >>> tokens.map.shape
    (2, 3, 4)
    """

    features: np.ndarray
    grid: tuple[int, int]
    source: str = ""
    size: tuple[int, int] = (0, 0)

    def __post_init__(self):
        rows, columns = self.grid
        if self.features.ndim not in (1, 2) or len(self.features) != rows * columns or len(self.features) == 0:
            raise ValueError(f"a grid of {rows}×{columns} tokens does not fit features {list(self.features.shape)}")

    @property
    def map(self) -> np.ndarray:
        """The features as [rows, columns, …]."""
        return self.features.reshape(*self.grid, *self.features.shape[1:])

    @property
    def planes(self) -> tuple[np.ndarray]:
        """The features, as the only plane: what a `Trace` measures."""
        return (self.features,)
