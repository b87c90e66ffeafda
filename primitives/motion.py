"""Block motion: where each block of a picture was in the picture before, and the prediction that this gives.

Frames of a video differ mostly by things having moved. So a frame is predicted block by block: for every 16×16 block of
the *current* frame a *motion vector* says where in the *reference* frame, decoded already, it looks the same, and only
the vectors and the difference, the *residual*, need be coded.

Things do not move by whole pixels. Vectors are in quarter pixels, and samples between pixels are interpolated by HEVC's
filters, first along rows, then along columns (ITU-T H.265 clause 8.5.3.3.3)::

    half a pixel away:       (−1  4  −11  40  40  −11  4  −1) / 64
    a quarter away:          (−1  4  −10  58  17  −5  1  0) / 64

Chroma planes of half the size take the same vectors as eighths of their pixels, with four taps. Outside the frame its
edge samples repeat. All is integers: an encoder and a decoder elsewhere predict the same samples.

*Estimation* is the encoder's own affair; here: start from the best of the neighbours' vectors, walk downhill in whole
pixels, refine by halves and quarters, and try the neighbours' very vectors. A vector's cost is the sum of absolute
differences plus λ times the bits that it takes, as far as it differs from its neighbours' median: among equal matches
the smoothest field wins.

Source of the search: the diamond and predictor ideas of S. Zhu and K.-K. Ma, IEEE Trans. Image Processing 9(2), 2000.
"""

import numpy as np

from .compiled import njit

BLOCK = 16  # luma samples a side

#: Vectors reach so many whole pixels beyond a frame's edge at most.
REACH = 24
MARGIN = REACH + 8  # and filters some more

LUMA_FILTERS = np.array(
    [
        [0, 0, 0, 64, 0, 0, 0, 0],
        [-1, 4, -10, 58, 17, -5, 1, 0],
        [-1, 4, -11, 40, 40, -11, 4, -1],
        [0, 1, -5, 17, 58, -10, 4, -1],
    ],
    np.int32,
)
_HALF = np.array([[0, 64, 0, 0], [-2, 58, 10, -2], [-4, 54, 16, -2], [-6, 46, 28, -4], [-4, 36, 36, -4]], np.int32)
CHROMA_FILTERS = np.concatenate((_HALF, _HALF[3:0:-1, ::-1]))


def pad(plane: np.ndarray) -> np.ndarray:
    """The plane with its edges repeated `MARGIN` samples outwards: a reference for `compensate` and `estimate`."""
    return np.pad(plane, MARGIN, mode="edge")


def estimate(current: np.ndarray, reference: np.ndarray, before: np.ndarray, penalty: float) -> np.ndarray:
    """The motion of every block of a luma plane.

    Args:
        current: uint8 [h, w], whole blocks.
        reference: the padded plane of the frame before (`pad`).
        before: the frame before's own motion, int32 [rows, columns, 2], to start from.
        penalty: λ, in grey levels a bit.

    Returns:
        int32 [rows, columns, 2]: vertical and horizontal displacement in quarter pixels.

    >>> y, x = np.mgrid[:64, :64]
    >>> frame = (128 + 60 * np.sin(y / 5) + 60 * np.cos(x / 7)).astype(np.uint8)
    >>> motion = estimate(frame[8:56, 8:56].copy(), pad(frame[6:54, 11:59]), np.zeros((3, 3, 2), np.int32), 1)
    >>> motion[1, 1].tolist()
    [8, -12]
    """
    rows, columns = current.shape[0] // BLOCK, current.shape[1] // BLOCK
    motion = np.zeros((rows, columns, 2), np.int32)
    _estimate(np.ascontiguousarray(current), reference, before, float(penalty), LUMA_FILTERS, motion)
    return motion


def compensate(reference: np.ndarray, motion: np.ndarray, chroma: bool) -> np.ndarray:
    """The prediction of a plane: every block from its place in the reference.

    Args:
        reference: a padded plane (`pad`).
        motion: int32 [rows, columns, 2] in quarter luma pixels, as `estimate` gives it.
        chroma: the plane has half the luma plane's size, in blocks of 8×8.

    Returns:
        uint8 [h, w].

    >>> frame = np.arange(256, dtype=np.uint8).reshape(16, 16)
    >>> predicted = compensate(pad(frame), np.array([[[0, 4]]], np.int32), chroma=False)
    >>> predicted[0, :3].tolist(), int(predicted[0, -1])
    ([1, 2, 3], 15)
    """
    side = BLOCK // 2 if chroma else BLOCK
    out = np.empty((motion.shape[0] * side, motion.shape[1] * side), np.uint8)
    filters, bits = (CHROMA_FILTERS, 3) if chroma else (LUMA_FILTERS, 2)
    # A damaged stream may hold any vectors.
    limited = clip_motion(motion)
    _compensate(reference, limited, filters, bits, side, out)
    return out


def clip_motion(motion: np.ndarray) -> np.ndarray:
    """Vectors that stay within `REACH` of the frame; others, which no encoder writes, at its border."""
    rows, columns = motion.shape[:2]
    y = BLOCK * np.arange(rows)[:, None]
    x = BLOCK * np.arange(columns)[None, :]
    low = np.stack(np.broadcast_arrays(-y - REACH, -x - REACH), 2) * 4
    high = np.stack(np.broadcast_arrays(BLOCK * (rows - 1) - y + REACH, BLOCK * (columns - 1) - x + REACH), 2) * 4
    return np.clip(motion, low, high).astype(np.int32)


@njit(cache=True)
def _predict_block(reference, top, left, vertical, horizontal, filters, scratch, out):
    """Interpolate a block whose first sample lies at (top, left) and a fraction; `vertical`, `horizontal` filters."""
    side, taps = out.shape[0], filters.shape[1]
    before = taps // 2 - 1
    if vertical == 0 and horizontal == 0:
        for y in range(side):
            for x in range(side):
                out[y, x] = reference[top + y, left + x]
        return
    across, down = filters[horizontal], filters[vertical]
    for y in range(side + taps - 1):
        row = reference[top + y - before]
        for x in range(side):
            total = np.int32(0)
            for t in range(taps):
                total += across[t] * np.int32(row[left + x + t - before])
            scratch[y, x] = total
    for y in range(side):
        for x in range(side):
            total = np.int32(2048)
            for t in range(taps):
                total += down[t] * scratch[y + t, x]
            out[y, x] = min(max(total >> 12, 0), 255)


@njit(cache=True)
def _compensate(reference, motion, filters, bits, side, out):
    scratch = np.empty((side + filters.shape[1], side), np.int32)
    mask = (1 << bits) - 1
    for row in range(motion.shape[0]):
        for column in range(motion.shape[1]):
            dy, dx = motion[row, column]
            y, x = row * side, column * side
            top, left = y + MARGIN + (dy >> bits), x + MARGIN + (dx >> bits)
            block = out[y : y + side, x : x + side]
            _predict_block(reference, top, left, dy & mask, dx & mask, filters, scratch, block)


@njit(cache=True)
def _difference(current, y, x, reference, top, left, most):
    """Sum of absolute differences of a block, or something larger than `most`."""
    total = np.int64(0)
    for i in range(BLOCK):
        part = np.int32(0)
        for j in range(BLOCK):
            part += abs(np.int32(current[y + i, x + j]) - np.int32(reference[top + i, left + j]))
        total += part
        if total > most:
            return total
    return total


@njit(cache=True)
def _bits(dy, dx):
    """About what a vector's difference from its prediction costs: Exp-Golomb codes."""
    if dy == 0 and dx == 0:
        return 0  # so usual that it takes next to nothing
    bits = 4
    for value in (abs(dy), abs(dx)):
        while value:
            bits += 2
            value >>= 1
    return bits


@njit(cache=True)
def _median(a, b, c):
    return max(min(a, b), min(max(a, b), c))


@njit(cache=True)
def _estimate(current, reference, before, penalty, filters, motion):
    rows, columns = motion.shape[:2]
    scratch = np.empty((BLOCK + 8, BLOCK), np.int32)
    block = np.empty((BLOCK, BLOCK), np.uint8)
    candidates = np.zeros((8, 2), np.int32)
    none = np.zeros(2, np.int32)
    for row in range(rows):
        for column in range(columns):
            y, x = row * BLOCK, column * BLOCK
            low_y, high_y = -y - REACH, (rows - 1) * BLOCK - y + REACH
            low_x, high_x = -x - REACH, (columns - 1) * BLOCK - x + REACH
            left = motion[row, column - 1] if column else none
            above = motion[row - 1, column] if row else left
            right = motion[row - 1, column + 1] if row and column + 1 < columns else above
            guess_y, guess_x = _median(left[0], above[0], right[0]), _median(left[1], above[1], right[1])
            candidates[0, 0], candidates[0, 1] = guess_y, guess_x
            candidates[1], candidates[2], candidates[3], candidates[4] = left, above, right, none
            candidates[5] = before[row, column]
            candidates[6] = before[min(row + 1, rows - 1), column]
            candidates[7] = before[row, min(column + 1, columns - 1)]

            best, best_y, best_x = np.float64(1e18), 0, 0
            for n in range(8):
                dy = min(max((candidates[n, 0] + 2) >> 2, low_y), high_y)
                dx = min(max((candidates[n, 1] + 2) >> 2, low_x), high_x)
                cost = penalty * _bits(4 * dy - guess_y, 4 * dx - guess_x)
                cost += _difference(current, y, x, reference, y + MARGIN + dy, x + MARGIN + dx, best - cost)
                if cost < best:
                    best, best_y, best_x = cost, dy, dx

            step = 4
            while step:  # downhill in whole pixels, with ever shorter steps
                moved = False
                centre_y, centre_x = best_y, best_x
                for i in range(-1, 2):
                    for j in range(-1, 2):
                        dy, dx = centre_y + step * i, centre_x + step * j
                        if (i == 0 and j == 0) or not (low_y <= dy <= high_y and low_x <= dx <= high_x):
                            continue
                        cost = penalty * _bits(4 * dy - guess_y, 4 * dx - guess_x)
                        cost += _difference(current, y, x, reference, y + MARGIN + dy, x + MARGIN + dx, best - cost)
                        if cost < best:
                            best, best_y, best_x, moved = cost, dy, dx, True
                if not moved:
                    step >>= 1

            best_y, best_x = 4 * best_y, 4 * best_x
            for step in (2, 1):  # halves, then quarters
                centre_y, centre_x = best_y, best_x
                for i in range(-1, 2):
                    for j in range(-1, 2):
                        dy, dx = centre_y + step * i, centre_x + step * j
                        inside = 4 * low_y <= dy <= 4 * high_y and 4 * low_x <= dx <= 4 * high_x
                        if (i == 0 and j == 0) or not inside:
                            continue
                        cost = penalty * _bits(dy - guess_y, dx - guess_x)
                        top, start = y + MARGIN + (dy >> 2), x + MARGIN + (dx >> 2)
                        _predict_block(reference, top, start, dy & 3, dx & 3, filters, scratch, block)
                        cost += _difference(current, y, x, block, 0, 0, best - cost)
                        if cost < best:
                            best, best_y, best_x = cost, dy, dx

            for n in range(5):  # a neighbour's very vector
                dy = min(max(candidates[n, 0], 4 * low_y), 4 * high_y)
                dx = min(max(candidates[n, 1], 4 * low_x), 4 * high_x)
                cost = penalty * _bits(dy - guess_y, dx - guess_x)
                top, start = y + MARGIN + (dy >> 2), x + MARGIN + (dx >> 2)
                _predict_block(reference, top, start, dy & 3, dx & 3, filters, scratch, block)
                cost += _difference(current, y, x, block, 0, 0, best - cost)
                if cost < best:
                    best, best_y, best_x = cost, dy, dx
            motion[row, column, 0], motion[row, column, 1] = best_y, best_x
