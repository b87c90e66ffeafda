"""A map of small whole numbers over a picture: how important its places are, in the steps that a codec tells apart.

`pooled` brings a map of pixels to a codec's cells, `encode_levels` and `decode_levels` are the inverse pair of its few
bytes. Cells go row by row. What a cell is predicted by stands to its left and above; maps are made of areas, so the
decisions are::

    as the cell to the left?    if not, and they differ: as the cell above?    if not: up or down, and by how much

each with the odds that it has had so far in the same situation. A frame around one object in 32×48 cells takes some 20
bytes, a map of 8×8 cells with three levels 13.
"""

import numpy as np

from .compiled import njit
from .entropy.binary_coder import POSITION, code_bit, finish, is_complete, is_overrun, new_decoder, new_encoder
from .errors import StreamError
from .picture import pad_edge

#: Levels are from -LARGEST to LARGEST.
LARGEST = 15

#: Situations of the decisions: 5 of the left cell, 2 of the one above, 2 of the direction, the rest of the distance.
_ABOVE, _SIGN, _MORE = 5, 7, 9
_CONTEXTS = _MORE + 2 * LARGEST

#: Bytes that a cell takes at most: two for each of its decisions.
_MOST_BYTES = 2 * (3 + 2 * LARGEST)


def pooled(values: np.ndarray, cell: tuple[int, int], grid: tuple[int, int]) -> np.ndarray:
    """Means of a map over cells, float64 [rows,columns]; behind its edges the map goes on as it ends.

    Args:
        values: a number a pixel [H,W].
        cell: pixels of a cell, down and across.
        grid: rows and columns of cells.

    >>> pooled(np.array([[1.0, 3, 5]]), cell=(2, 2), grid=(1, 2)).tolist()
    [[2.0, 5.0]]
    """
    height, width = cell[0] * grid[0], cell[1] * grid[1]
    inside = values[:height, :width]
    padded = pad_edge(inside, height, width).astype(np.float64)
    return padded.reshape(grid[0], cell[0], grid[1], cell[1]).mean((1, 3))


@njit(cache=True)
def _decide(coder, data, counts, context, bit, decoding):
    """Code one decision with the odds of its context, and count it."""
    no, yes = counts[context]
    probability = max(min((2 * yes + 1) * 65536 // (2 * (no + yes + 1)), 65000), 536)
    bit = code_bit(coder, data, probability, bit, decoding)
    counts[context, bit] += 2
    return bit


@njit(cache=True)
def _code(levels, coder, data, decoding):
    """All cells in either direction; False where a decoder finds what no encoder writes."""
    rows, columns = levels.shape
    counts = np.zeros((_CONTEXTS, 2), np.int64)
    for i in range(rows):
        for j in range(columns):
            above = levels[i - 1, j] if i else (levels[i, j - 1] if j else 0)
            left = levels[i, j - 1] if j else above
            corner = levels[i - 1, j - 1] if i and j else above
            # Where do edges run? The left cell continues the cell above it, the one above continues the corner, …
            context = 4 if not (i or j) else (left == above) + 2 * (corner == above)
            level = levels[i, j]
            if _decide(coder, data, counts, context, int(level == left), decoding):
                levels[i, j] = left
                continue
            if left != above and _decide(coder, data, counts, _ABOVE + (corner == left), int(level == above), decoding):
                levels[i, j] = above
                continue
            up = _decide(coder, data, counts, _SIGN + (left > 0), int(level > left), decoding)
            distance = 1
            while _decide(coder, data, counts, _MORE + distance - 1, int(abs(level - left) > distance), decoding):
                distance += 1
                if distance > 2 * LARGEST:
                    return False
            levels[i, j] = left + distance if up else left - distance
            if abs(levels[i, j]) > LARGEST or (decoding and is_overrun(coder, data)):
                return False
    return True


def encode_levels(levels: np.ndarray) -> bytes:
    """The bytes of a map.

    Args:
        levels: integers [rows,columns] from -LARGEST to LARGEST.

    Raises:
        ValueError: levels beyond these.

    >>> levels = np.zeros((8, 8), np.int32)
    >>> levels[2:5, 3:7] = 1
    >>> len(encode_levels(levels)), bool((decode_levels(encode_levels(levels), (8, 8)) == levels).all())
    (4, True)
    """
    levels = np.array(levels, np.int64)
    if levels.ndim != 2 or np.abs(levels).max(initial=0) > LARGEST:
        raise ValueError(f"a map has levels [rows,columns] from -{LARGEST} to {LARGEST}")
    coder, data = new_encoder(), np.zeros(_MOST_BYTES * levels.size + 8, np.uint8)
    _code(levels, coder, data, False)
    finish(coder, data)
    return data[: coder[POSITION]].tobytes()


def decode_levels(data: bytes, grid: tuple[int, int]) -> np.ndarray:
    """The map, int32 [rows,columns], of its bytes: the inverse of `encode_levels`.

    Raises:
        StreamError: cut or damaged.
    """
    levels, stream = np.zeros(grid, np.int64), np.frombuffer(data, np.uint8).copy()
    coder = new_decoder(stream)
    if not _code(levels, coder, stream, True) or not is_complete(coder, stream):
        raise StreamError("the map of levels is damaged")
    return levels.astype(np.int32)
