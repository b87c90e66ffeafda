"""Block motion of two sizes, overlapped: a prediction without seams, in integers.

`motion` gives each block of 16×16 samples a vector and copies the block from there. Two things are wrong with that. A
block that holds an edge of something that moves needs two vectors; and where neighbouring blocks move differently, the
prediction has a seam that no picture has. Here a block may be *split* into four of 8×8, and blocks *overlap*.

**Overlapped compensation.** A block's vector is only the likeliest guess for a sample near the block's border: the
neighbour's is nearly as likely. So a sample is the weighted mean of what the vectors of its own block and of two
neighbours say: the nearer of the blocks above and below, and the nearer of those to the left and right. A block of side
2e consists of four quarters of side e. In each, a sample that is d = 0 … e − 1 samples away from the border to the
vertical neighbour, and d' from that to the horizontal one, has::

    v = 3 · (8 / e) · (2·(e − d) − 1)            128ths that fall linearly from the border to the block's middle
    h = 3 · (8 / e) · (2·(e − d') − 1)

    own        (128 − v) · (128 − h) + v·h
    vertical   v · (128 − h)                      they sum to 2^14
    horizontal (128 − v) · h

    sample = (own · p + vertical · p_v + horizontal · p_h + 2^13) >> 14

p, p_v and p_h are the reference at the sample's place moved by each vector, interpolated and rounded to 8 bits as in
`motion` (ITU-T H.265 clause 8.5.3.3.3). e is 8 in a whole block of 16×16 and 4 in a block of 8×8; planes of half the
size have half of that. A neighbour is looked up among the blocks of 8×8: the one that touches the quarter, a quarter
of a split block having the other quarters' blocks for neighbours too. Outside the frame there is none: the block's own
vector stands in for it. All is integers, so that each decoder predicts the same samples.

The weights are bilinear interpolation between the vectors of four blocks, with two changes: the diagonal neighbour's
share v·h is given to the own vector, and v, h are three quarters of the triangle that would make both vectors equal at
the border. Each of them predicts better.

**The search** looks for the vector with the least sum of absolute differences + λ · bits. The bits are those of its
difference from the median of three vectors around it, as in ITU-T H.264 clause 8.4.1.3. It goes downhill from the
vectors around it and from those of the frame before, in steps of four pixels at first and of a quarter at the end. The
reference is interpolated at all quarters beforehand, once. A block is split where four vectors cost less than one.

**A field as bytes.** A block of 16×16 has nine numbers: its vector's difference from the median, whether it is split,
and the differences of the three other vectors, which are 0 in a whole block. `entropy.context` codes a block's numbers
up to the last one that is not 0. So a block that moves like those around it costs next to nothing.

Sources: M. T. Orchard and G. J. Sullivan, "Overlapped block motion compensation: an estimation-theoretic approach",
IEEE Trans. Image Processing 3(5), 1994; ITU-T H.263 Annex F (own, vertical and horizontal vectors, blocks of 8×8).
"""

from dataclasses import dataclass

import numpy as np

from .compiled import njit
from .entropy.context import decode_planes, encode_planes
from .errors import StreamError
from .motion import CHROMA_FILTERS, LUMA_FILTERS, REACH, _bits, _median, _predict_block

#: Luma samples a side of the smaller blocks; the others have twice as many.
SIDE = 8

# A vector of a neighbour reaches SIDE samples further beyond the frame than an own one, and filters some more.
_MARGIN = REACH + SIDE + 8

# Bits that four vectors are taken to need beyond those of their differences; 0 and 9 predict 0.08 and 0.02 dB
# worse at the same rate (measured at 0.019 bits a pixel).
_SPLIT_BITS = 4

_NUMBERS = 9  # a block of 16×16

# numba computes with 32-bit integers in 64 bits, which halves the lanes of its vectors.
_i32 = np.int32


@dataclass(frozen=True, eq=False)
class Field:
    """The motion of a frame's blocks.

    Attributes:
        vectors: int32 [2R, 2C, 2], for each 8×8 block the vertical and horizontal displacement in quarter luma pixels:
            where in the reference it lies, less where it is.
        split: bool [R, C]: whether the four blocks of a 16×16 block have vectors of their own. If not, they are equal.
    """

    vectors: np.ndarray
    split: np.ndarray

    def __post_init__(self):
        rows, columns = self.split.shape
        if self.vectors.shape != (2 * rows, 2 * columns, 2) or not self.split.size:
            raise ValueError(f"{list(self.split.shape)} blocks do not have vectors {list(self.vectors.shape)}")

    @classmethod
    def still(cls, rows: int, columns: int) -> "Field":
        """Nothing moves in R×C blocks of 16×16.

        >>> Field.still(1, 2).vectors.shape
        (2, 4, 2)
        """
        return cls(np.zeros((2 * rows, 2 * columns, 2), np.int32), np.zeros((rows, columns), np.bool_))


def estimate_field(current: np.ndarray, reference: np.ndarray, before: Field, penalty: float) -> Field:
    """The motion of every block of a luma plane.

    Args:
        current: uint8 [16 R, 16 C].
        reference: the frame before, as decoded; of the same shape.
        before: the frame before's own motion, to start from; `Field.still` if there is none.
        penalty: λ, in grey levels a bit. The larger, the fewer blocks are split.

    Raises:
        ValueError: the shapes do not match.

    >>> y, x = np.mgrid[:64, :64]
    >>> frame = (128 + 60 * np.sin(y / 5) + 60 * np.cos(x / 7)).astype(np.uint8)
    >>> field = estimate_field(frame[8:56, 8:56], frame[6:54, 11:59], Field.still(3, 3), 1)
    >>> field.vectors[2, 2].tolist(), bool(field.split[1, 1])
    ([8, -12], False)
    """
    rows, columns = before.split.shape
    if current.shape != (2 * SIDE * rows, 2 * SIDE * columns) or reference.shape != current.shape:
        raise ValueError(
            f"{rows} × {columns} blocks of 16×16 do not make planes {list(current.shape)} and {list(reference.shape)}"
        )
    field = Field.still(rows, columns)
    padded = np.pad(reference, _MARGIN + 4, mode="edge")
    quarters = np.empty((4, 4, *(side + 2 * _MARGIN for side in current.shape)), np.uint8)
    _interpolate(padded, LUMA_FILTERS, quarters)
    _estimate(np.ascontiguousarray(current), quarters, before.vectors, float(penalty), field.vectors, field.split)
    return field


def overlapped(reference: np.ndarray, field: Field, chroma: bool = False) -> np.ndarray:
    """The prediction of a frame by overlapped compensation.

    Args:
        reference: uint8 [16 R, 16 C], or with several planes of that size (RGB, or YCbCr 4:4:4) [16 R, 16 C, planes].
        field: any vectors; those that reach more than `motion.REACH` pixels beyond the frame are brought back to there.
        chroma: the reference has half the size of the luma plane (4:2:0): [8 R, 8 C].

    Returns:
        uint8 of the reference's shape.

    Raises:
        ValueError: the field has other blocks than the reference.

    >>> frame = np.arange(256, dtype=np.uint8).reshape(16, 16)
    >>> predicted = overlapped(frame, Field(np.full((2, 2, 2), (0, 4), np.int32), np.zeros((1, 1), bool)))
    >>> predicted[0, :3].tolist(), int(predicted[0, -1])
    ([1, 2, 3], 15)
    """
    rows, columns = field.vectors.shape[:2]
    side = SIDE // 2 if chroma else SIDE
    if reference.shape[:2] != (rows * side, columns * side):
        raise ValueError(f"{rows} × {columns} blocks of {side}×{side} do not make a plane {list(reference.shape)}")
    filters, bits = (CHROMA_FILTERS, 3) if chroma else (LUMA_FILTERS, 2)
    # A damaged stream may hold any vectors.
    vectors = np.clip(field.vectors, *_limits(rows, columns))
    planes = reference.reshape(*reference.shape[:2], -1)
    out = np.empty_like(planes)
    for index in range(planes.shape[2]):
        padded = np.pad(planes[..., index], _MARGIN, mode="edge")
        plane = np.empty(planes.shape[:2], np.uint8)
        _overlap(padded, vectors, field.split, filters, bits, side, plane)
        out[..., index] = plane
    return out.reshape(reference.shape)


def encode_field(field: Field, memory: dict | None = None) -> bytes:
    """A field as bytes.

    Args:
        field: vectors of the 8×8 blocks of a whole block are equal, and none reaches further than `motion.REACH` pixels
            beyond the frame, as `estimate_field` has them.
        memory: statistics that one frame hands on to the next: an empty dictionary at first.

    Raises:
        ValueError: the vectors are other ones.

    >>> field = Field.still(3, 4)
    >>> data = encode_field(field)
    >>> len(data), bool((decode_field(data, (3, 4)).vectors == field.vectors).all())
    (3, True)
    """
    vectors, split = field.vectors, field.split
    if (np.clip(vectors, *_limits(*vectors.shape[:2])) != vectors).any():
        raise ValueError(f"vectors reach more than {REACH} pixels beyond the frame")
    firsts = vectors[::2, ::2].repeat(2, 0).repeat(2, 1)
    if ((vectors != firsts).any(2) & ~split.repeat(2, 0).repeat(2, 1)).any():
        raise ValueError("the vectors of a block that is not split differ")
    numbers = np.zeros((*split.shape, _NUMBERS), np.int32)
    _difference(vectors, split, numbers)
    return encode_planes([numbers], memory)


def decode_field(data: bytes, shape: tuple[int, int], memory: dict | None = None) -> Field:
    """The inverse of `encode_field`.

    Args:
        data: what it returned.
        shape: (R, C).
        memory: as it was handed to `encode_field`.

    Raises:
        StreamError: the bytes are cut or damaged.
    """
    (numbers,) = decode_planes(data, [(*shape, _NUMBERS)], memory)
    split = numbers[..., 2]
    if ((split != 0) & (split != 1)).any() or numbers[split == 0, 3:].any():
        raise StreamError("the motion field is damaged: a block is neither whole nor split")
    field = Field(np.zeros((2 * shape[0], 2 * shape[1], 2), np.int32), split != 0)
    if not _restore(numbers, field.split, *_limits(*field.vectors.shape[:2]), field.vectors):
        raise StreamError("the motion field is damaged: a vector leaves the frame")
    return field


def _limits(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """The least and the greatest vectors of 8×8 blocks, int32 [rows, columns, 2]: `REACH` pixels beyond the frame."""
    places = np.moveaxis(SIDE * np.indices((rows, columns), np.int32), 0, 2)
    return -4 * (places + REACH), 4 * (places[::-1, ::-1] + REACH)


@njit(cache=True)
def _overlap(reference, vectors, split, filters, bits, side, out):
    rows, columns = vectors.shape[:2]
    scratch = np.empty((side + 8, side), np.int32)
    predictions = np.empty((3, side, side), np.uint8)
    mask = (1 << bits) - 1
    for row in range(rows):
        for column in range(columns):
            divided = split[row // 2, column // 2]
            e = side // 2 if divided else side
            for y in range(row * side, (row + 1) * side, e):
                for x in range(column * side, (column + 1) * side, e):
                    # Quarters alternate between those that face up and down, and between left and right.
                    down, right = y // e % 2, x // e % 2
                    vertical, horizontal = row + 2 * down - 1, column + 2 * right - 1
                    if not 0 <= vertical < rows:
                        vertical = row
                    if not 0 <= horizontal < columns:
                        horizontal = column
                    for n in range(3):
                        dy, dx = vectors[vertical if n == 1 else row, horizontal if n == 2 else column]
                        block = predictions[n, :e, :e]
                        if n and dy == vectors[row, column, 0] and dx == vectors[row, column, 1]:
                            block[:] = predictions[0, :e, :e]  # most neighbours move alike
                            continue
                        top, left = y + _MARGIN + (dy >> bits), x + _MARGIN + (dx >> bits)
                        _predict_block(reference, top, left, dy & mask, dx & mask, filters, scratch, block)
                    _blend(predictions, e, down, right, out[y : y + e, x : x + e])


@njit(cache=True)
def _blend(predictions, e, down, right, out):
    """The weighted mean of a quarter's three predictions; the borders are below and to the right, or opposite."""
    for i in range(e):
        d = e - 1 - i if down else i
        v = 24 // e * (2 * (e - d) - 1)
        for j in range(e):
            d = e - 1 - j if right else j
            h = 24 // e * (2 * (e - d) - 1)
            total = ((128 - v) * (128 - h) + v * h) * predictions[0, i, j]
            total += v * (128 - h) * predictions[1, i, j] + (128 - v) * h * predictions[2, i, j]
            out[i, j] = (total + (1 << 13)) >> 14


@njit(cache=True)
def _around(vectors, row, column, size):
    """The vectors to the left, above and at a corner of a block of `size` × `size` blocks of 8×8, all coded before it.

    The corner is above right, or above left where that comes later or does not exist.
    """
    none = np.zeros(2, np.int32)
    left = vectors[row, column - 1] if column else none
    if row == 0:
        return left, left, left
    above = vectors[row - 1, column]
    beyond = column + size
    if beyond < vectors.shape[1] and (row % 2 == 0 or column % 2 == 0):
        return left, above, vectors[row - 1, beyond]
    return left, above, vectors[row - 1, column - 1] if column else above


@njit(cache=True)
def _predict(vectors, row, column, size):
    """The median of the vectors around a block."""
    left, above, corner = _around(vectors, row, column, size)
    return _median(left[0], above[0], corner[0]), _median(left[1], above[1], corner[1])


@njit(cache=True)
def _difference(vectors, split, numbers):
    """Fill the numbers of each block: the inverse of `_restore`."""
    for row in range(split.shape[0]):
        for column in range(split.shape[1]):
            divided = split[row, column]
            numbers[row, column, 2] = divided
            for part in range(4 if divided else 1):
                y, x = 2 * row + part // 2, 2 * column + part % 2
                dy, dx = _predict(vectors, y, x, 1 if divided else 2)
                at = 2 * part + (part > 0)
                numbers[row, column, at] = vectors[y, x, 0] - dy
                numbers[row, column, at + 1] = vectors[y, x, 1] - dx


@njit(cache=True)
def _restore(numbers, split, low, high, vectors):
    """Fill the vectors from the numbers of each block; says whether all lie within their limits."""
    for row in range(split.shape[0]):
        for column in range(split.shape[1]):
            divided = split[row, column]
            for part in range(4 if divided else 1):
                y, x = 2 * row + part // 2, 2 * column + part % 2
                dy, dx = _predict(vectors, y, x, 1 if divided else 2)
                at = 2 * part + (part > 0)
                dy += np.int64(numbers[row, column, at])
                dx += np.int64(numbers[row, column, at + 1])
                farther = y if divided else y + 1, x if divided else x + 1
                if not (low[y, x, 0] <= dy <= high[farther][0] and low[y, x, 1] <= dx <= high[farther][1]):
                    return False
                vectors[y, x, 0], vectors[y, x, 1] = dy, dx
            if not divided:
                vectors[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = vectors[2 * row, 2 * column]
    return True


@njit(cache=True)
def _interpolate(padded, filters, quarters):
    """The reference at all quarters of a pixel: uint8 [4, 4, h, w] (vertical, horizontal) of a plane [h + 8, w + 8]."""
    height, width = quarters.shape[2:]
    across = np.empty((height + 7, width), np.int32)
    total = np.empty(width, np.int32)
    for horizontal in range(4):
        for y in range(height + 7):
            source, row = padded[y + 1], across[y]
            row[:] = 0
            for t in range(8):
                factor = filters[horizontal, t]
                for x in range(width):
                    row[x] += _i32(factor * _i32(source[x + t + 1]))
        for vertical in range(4):
            for y in range(height):
                total[:] = 2048
                for t in range(8):
                    factor = filters[vertical, t]
                    row = across[y + t]
                    for x in range(width):
                        total[x] += _i32(factor * row[x])
                out = quarters[vertical, horizontal, y]
                for x in range(width):
                    out[x] = min(max(total[x] >> _i32(12), _i32(0)), _i32(255))


@njit(cache=True)
def _mismatch(current, y, x, side, quarters, dy, dx, most):
    """Sum of absolute differences of a block and the reference moved by a vector, or something larger than `most`."""
    fraction = quarters[dy & 3, dx & 3]
    top, left = y + _MARGIN + (dy >> 2), x + _MARGIN + (dx >> 2)
    total = np.int64(0)
    for i in range(side):
        here, there = current[y + i], fraction[top + i]
        part = _i32(0)
        for j in range(side):
            part += abs(_i32(_i32(here[x + j]) - _i32(there[left + j])))
        total += part
        if total > most:
            return total
    return total


@njit(cache=True)
def _search(current, row, column, size, quarters, candidates, guess, penalty):
    """The vector of a block that costs least, and its cost: the best candidate, then downhill with shorter steps."""
    rows, columns = current.shape[0] // SIDE, current.shape[1] // SIDE
    y, x, side = row * SIDE, column * SIDE, size * SIDE
    low_y, high_y = -4 * (y + REACH), 4 * ((rows - size) * SIDE - y + REACH)
    low_x, high_x = -4 * (x + REACH), 4 * ((columns - size) * SIDE - x + REACH)
    best, best_y, best_x = np.float64(1e18), 0, 0
    for n in range(len(candidates)):
        dy = min(max(candidates[n, 0], low_y), high_y)
        dx = min(max(candidates[n, 1], low_x), high_x)
        cost = penalty * _bits(dy - guess[0], dx - guess[1])
        cost += _mismatch(current, y, x, side, quarters, dy, dx, best - cost)
        if cost < best:
            best, best_y, best_x = cost, dy, dx
    step = 8 * size
    while step:
        moved = False
        centre_y, centre_x = best_y, best_x
        for i in range(-1, 2):
            for j in range(-1, 2):
                dy, dx = centre_y + step * i, centre_x + step * j
                if (i == 0 and j == 0) or not (low_y <= dy <= high_y and low_x <= dx <= high_x):
                    continue
                cost = penalty * _bits(dy - guess[0], dx - guess[1])
                cost += _mismatch(current, y, x, side, quarters, dy, dx, best - cost)
                if cost < best:
                    best, best_y, best_x, moved = cost, dy, dx, True
        if not moved:
            step >>= 1
    return best, best_y, best_x


@njit(cache=True)
def _estimate(current, quarters, before, penalty, vectors, split):
    rows, columns = split.shape
    candidates = np.zeros((9, 2), np.int32)
    whole = np.zeros(2, np.int32)
    for row in range(rows):
        for column in range(columns):
            y, x = 2 * row, 2 * column
            guess = _predict(vectors, y, x, 2)
            candidates[0] = guess
            candidates[1], candidates[2], candidates[3] = _around(vectors, y, x, 2)
            candidates[4] = 0
            candidates[5], candidates[6] = before[y, x], before[y + 1, x + 1]
            candidates[7] = before[min(y + 2, 2 * rows - 1), x]
            candidates[8] = before[y, min(x + 2, 2 * columns - 1)]
            cost, whole[0], whole[1] = _search(current, y, x, 2, quarters, candidates, guess, penalty)
            together = _SPLIT_BITS * penalty
            for part in range(4):
                if together >= cost:
                    break
                py, px = y + part // 2, x + part % 2
                guess = _predict(vectors, py, px, 1)
                candidates[0] = guess
                candidates[1], candidates[2], candidates[3] = _around(vectors, py, px, 1)
                candidates[5], candidates[6] = before[py, px], whole
                more, dy, dx = _search(current, py, px, 1, quarters, candidates, guess, penalty)
                vectors[py, px, 0], vectors[py, px, 1] = dy, dx
                together += more
            split[row, column] = together < cost
            if not split[row, column]:
                vectors[y : y + 2, x : x + 2] = whole
