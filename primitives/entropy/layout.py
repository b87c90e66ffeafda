"""The order in which entropy coders take a picture's coefficients.

A plane [rows, columns, …] holds at every grid position the coefficients of that position: 8 × 8 of a DCT block, the
channels of a latent, or a single one (a plane of samples or wavelet coefficients). `to_scan` and `from_scan` are an
inverse pair between it and [rows, columns, n], the n coefficients of a position *in order of frequency*: by the sum of
their indices, as JPEG's zigzag does with u + v (within a diagonal, indices simply go up). Coefficients that are likely
to be zero thus come last.
"""

import math

import numpy as np

#: Zigzag order (ITU-T T.81 Figure A.6), made from its rule: diagonals, walked in alternating directions.
ZIGZAG = np.array(
    sorted(range(64), key=lambda i: (i // 8 + i % 8, (i // 8 if (i // 8 + i % 8) % 2 else i % 8))), np.int64
)


def frequency_order(shape: tuple[int, ...]) -> np.ndarray:
    """Flat indices of the coefficients of one position, by the sum of their indices.

    >>> frequency_order((3, 3)).tolist()
    [0, 1, 3, 2, 4, 6, 5, 7, 8]
    """
    return np.argsort(_index_sums(shape), kind="stable")


def diagonals(shape: tuple[int, ...]) -> np.ndarray:
    """The sum of indices of every coefficient of a position, in order of frequency: int64 [n], ascending.

    >>> diagonals((3, 3)).tolist()
    [0, 1, 1, 2, 2, 2, 3, 3, 4]
    """
    return np.sort(_index_sums(shape))


def _index_sums(shape):
    sums = np.zeros((1,), np.int64)
    for extent in shape:
        sums = (sums[:, None] + np.arange(extent)).ravel()
    return sums


def to_scan(plane: np.ndarray) -> np.ndarray:
    """A plane [rows, columns, …] as int32 [rows, columns, n] in order of frequency.

    Raises:
        ValueError: the plane holds no integers, none at all, or integers beyond 32 bits.

    >>> to_scan(np.arange(9).reshape(1, 1, 3, 3))[0, 0].tolist()
    [0, 1, 3, 2, 4, 6, 5, 7, 8]
    """
    plane = np.asarray(plane)
    if plane.dtype.kind not in "iu":
        raise ValueError(f"entropy coders take integers, not {plane.dtype}; quantize first")
    if not plane.size or not 2 <= plane.ndim <= 8:
        raise ValueError(f"a plane has 2 … 8 axes, none of them empty; this one has the shape {plane.shape}")
    if not -(1 << 31) <= int(plane.min()) <= int(plane.max()) < 1 << 31:
        raise ValueError("entropy coders take integers of 32 bits; the plane holds larger ones")
    shape = plane.shape[2:]
    flat = plane.reshape(*plane.shape[:2], math.prod(shape))
    return np.ascontiguousarray(flat[:, :, frequency_order(shape)], np.int32)


def from_scan(scan: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of `to_scan`: an int32 plane of the given shape.

    >>> from_scan(np.array([[[0, 1, 3, 2, 4, 6, 5, 7, 8]]], np.int32), (1, 1, 3, 3))[0, 0].tolist()
    [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    """
    flat = np.empty_like(scan)
    flat[:, :, frequency_order(shape[2:])] = scan
    return flat.reshape(shape)
