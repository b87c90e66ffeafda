"""Fields of block motion and overlapped compensation: docs/format/motion.md."""

import numpy as np

from .container import check
from .context import decode_planes

_FILTERS = np.array(
    [
        [0, 0, 0, 64, 0, 0, 0, 0],
        [-1, 4, -10, 58, 17, -5, 1, 0],
        [-1, 4, -11, 40, 40, -11, 4, -1],
        [0, 1, -5, 17, 58, -10, 4, -1],
    ]
)


def decode_field(data: bytes, shape: tuple[int, int], memory: dict):
    """Vectors [2R,2C,2] of the blocks of 8×8, and which blocks of 16×16 are split [R,C]."""
    (numbers,) = decode_planes(data, [(*shape, 9)], memory)
    rows, columns = 2 * shape[0], 2 * shape[1]
    vectors, split = np.zeros((rows, columns, 2), np.int64), numbers[..., 2]
    check(bool(((split == 0) | (split == 1)).all()), "a block is neither whole nor split")
    check(not numbers[split == 0, 3:].any(), "a whole block has four vectors")
    for row, column in np.ndindex(*shape):
        n = numbers[row, column].tolist()
        pairs = [n[:2], n[3:5], n[5:7], n[7:9]] if n[2] else [n[:2]]
        size = 1 if n[2] else 2
        for part, difference in enumerate(pairs):
            y, x = 2 * row + part // 2, 2 * column + part % 2
            vector = np.median(_around(vectors, y, x, size), axis=0).astype(np.int64) + difference
            for extent, at, component in ((rows, y, vector[0]), (columns, x, vector[1])):
                low, high = -4 * (8 * at + 24), 4 * (8 * (extent - at - size) + 24)
                check(low <= component <= high, "a vector leaves the frame")
            vectors[y : y + size, x : x + size] = vector
    return vectors, split


def _around(vectors, row, column, size):
    nothing = np.zeros(2, np.int64)
    left = vectors[row, column - 1] if column else nothing
    if row == 0:
        return left, left, left
    above = vectors[row - 1, column]
    if column + size < vectors.shape[1] and (row % 2 == 0 or column % 2 == 0):
        return left, above, vectors[row - 1, column + size]
    return left, above, vectors[row - 1, column - 1] if column else above


def overlapped(reference, vectors, split):
    """The prediction [16R,16C] of a plane."""
    rows, columns = vectors.shape[:2]
    out = np.zeros_like(reference)
    for row, column in np.ndindex(rows, columns):
        e = 4 if split[row // 2, column // 2] else 8
        for y in range(8 * row, 8 * row + 8, e):
            for x in range(8 * column, 8 * column + 8, e):
                down, right = y // e % 2, x // e % 2
                vertical, horizontal = row + 2 * down - 1, column + 2 * right - 1
                vertical = vertical if 0 <= vertical < rows else row
                horizontal = horizontal if 0 <= horizontal < columns else column
                own, above, beside = (
                    _moved(reference, y, x, e, vectors[at])
                    for at in ((row, column), (vertical, column), (row, horizontal))
                )
                near = 24 // e * (2 * (e - np.arange(e)) - 1)
                v = (near[::-1] if down else near)[:, None]
                h = (near[::-1] if right else near)[None]
                total = ((128 - v) * (128 - h) + v * h) * own + v * (128 - h) * above + (128 - v) * h * beside
                out[y : y + e, x : x + e] = (total + (1 << 13)) >> 14
    return out


def _moved(reference, y, x, e, vector):
    """A square of e × e samples from (y, x) on, moved by a vector."""
    (down, right), phases = vector >> 2, vector & 3
    rows = np.clip(np.arange(y + down - 3, y + down + e + 4), 0, len(reference) - 1)
    columns = np.clip(np.arange(x + right - 3, x + right + e + 4), 0, reference.shape[1] - 1)
    seen = reference[np.ix_(rows, columns)]
    across = sum(_FILTERS[phases[1]][t] * seen[:, t : t + e] for t in range(8))
    total = sum(_FILTERS[phases[0]][t] * across[t : t + e] for t in range(8))
    return np.clip((total + 2048) >> 12, 0, 255)
