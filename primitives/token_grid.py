"""Tokens and their grid.

Tokens lie on a grid of rows × columns, row by row: token n stands at (n // columns, n % columns). Patches of a picture
are the simplest tokens; a network's feature map [rows, columns, C] is a grid of tokens of C channels.
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


def patchify(image: np.ndarray, size: int) -> Tokens:
    """A picture cut into patches of size × size pixels, one token each: [N, size·size·C], of the picture's dtype.

    Args:
        image: [H,W,C] or [H,W], sides multiples of `size`.

    Raises:
        ValueError: the sides are no multiples of `size`.

    >>> tokens = patchify(np.arange(24).reshape(4, 6), 2)
    >>> tokens.grid, tokens.features[1].tolist()
    ((2, 3), [2, 3, 8, 9])
    """
    height, width = image.shape[:2]
    if size < 1 or height % size or width % size:
        raise ValueError(f"a picture of {width}×{height} pixels is no grid of patches of {size}×{size}")
    rows, columns = height // size, width // size
    patches = image.reshape(rows, size, columns, size, -1).swapaxes(1, 2)
    return Tokens(patches.reshape(rows * columns, -1), (rows, columns), f"patches/{size}", (height, width))


def unpatchify(tokens: Tokens, size: int) -> np.ndarray:
    """The inverse of `patchify`: [H,W,C]; [H,W] for patches with a single component.

    >>> image = np.arange(24).reshape(4, 6)
    >>> bool((unpatchify(patchify(image, 2), 2) == image).all())
    True
    """
    rows, columns = tokens.grid
    components = tokens.features.shape[1] // (size * size)
    if tokens.features.shape[1] != components * size * size:
        raise ValueError(f"tokens of {tokens.features.shape[1]} values are no patches of {size}×{size} pixels")
    patches = tokens.features.reshape(rows, columns, size, size, components).swapaxes(1, 2)
    image = patches.reshape(rows * size, columns * size, components)
    return image[..., 0] if components == 1 else image
