"""Wavefronts: which positions a context model can go through at the same time.

A context model with a k×k kernel of type A (van den Oord et al., "Conditional image generation with PixelCNN
decoders", 2016) sees at row i, column j only what comes before in raster order: the rows i - r … i - 1, columns j - r …
j + r, and in row i the columns j - r … j - 1, where r = (k - 1)/2. Decoding one position after the other obeys that,
but so does anything that leaves no position behind those it sees. Give position (i, j) the step::

    t(i, j) = j + (r + 1) · i

What it sees has an earlier step: the farthest is (i - 1, j + r), at t - 1. So all positions with the same step are
independent of each other and go together, along a line of slope r + 1 that sweeps over the latent. For 5×5 kernels
(r = 2) that makes W + 3·(H - 1) steps instead of H·W: 141 instead of 1,536 for a latent of 32×48.

A checkerboard context (`CheckerboardConv2d` in `primitives.learned`) needs two steps whatever the size: the anchors,
which see nothing, and all others, which see anchors alone (`checkerboard`).

Sources: the wavefronts of parallel video decoding (HEVC's wavefront parallel processing, ITU-T H.265, 6.3.1, which
shifts rows in the same way, as there a block sees its neighbour above to the right); D. He et al., "Checkerboard
Context Model for Efficient Learned Image Compression", CVPR 2021.
"""

from collections.abc import Iterator

import numpy as np


def wavefront(height: int, width: int, kernel: int = 5) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the positions of each step: (rows, columns), int64 arrays, the upper rows first.

    Every position of the latent [H,W] is yielded once, and later than all that a type A mask lets it see.

    Args:
        kernel: the context model's kernel size, odd.

    Raises:
        ValueError: the kernel size is even or not positive, or the latent's size is negative.

    >>> for rows, columns in wavefront(2, 4):
    ...     print(rows, columns)
    [0] [0]
    [0] [1]
    [0] [2]
    [0 1] [3 0]
    [1] [1]
    [1] [2]
    [1] [3]
    """
    if kernel < 1 or kernel % 2 == 0 or height < 0 or width < 0:
        raise ValueError(f"a context model has an odd kernel and a latent of H×W, not {kernel} and {height}×{width}")
    return _steps(height, width, kernel // 2 + 1)


def _steps(height, width, slope):
    if height and width:
        for step in range(width + slope * (height - 1)):
            rows = np.arange(max(0, -((width - 1 - step) // slope)), min(height - 1, step // slope) + 1)
            if rows.size:  # a latent narrower than the slope has steps without positions
                yield rows, step - slope * rows


def checkerboard(height: int, width: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the positions of both steps: the anchors (an even sum of row and column), then the others.

    >>> [list(zip(rows.tolist(), columns.tolist())) for rows, columns in checkerboard(2, 3)]
    [[(0, 0), (0, 2), (1, 1)], [(0, 1), (1, 0), (1, 2)]]
    """
    rows, columns = np.indices((height, width))
    for colour in range(2):
        yield np.nonzero((rows + columns) % 2 == colour)
