"""Dense motion compensation in integers: every sample has a vector of its own.

A learned decoder says where each sample of a frame comes from in the reference by a *flow*: a vector for every fourth
sample in both directions, in 256ths of a sample. `warp` makes the prediction of it, the same on every machine.

1. Vectors are interpolated linearly to all samples. The vector of a block of 4×4 stands in its middle, so the weights
   are 8ths: 5, 7, 7, 5 of the own vector along each axis, the rest of the neighbour on that side. At the border the
   own vector stands in for a neighbour that does not exist. The result is rounded to 16ths::

       v = (Σ weight · weight · flow + 2^9) >> 10

2. The reference is interpolated at 16ths, first down the columns, then along the rows, by the eight taps for luma of
   ITU-T H.266 clause 8.5.6.3.2, table 27. Sums are kept, and rounded to 8 bits at the end::

       sample = clip((Σ taps · (Σ taps · reference) + 2^11) >> 12)

Beyond its borders the reference goes on with the samples of its edges. Vectors may point anywhere.
"""

import numpy as np

from .compiled import njit

#: Rows and columns of samples a vector stands for.
BLOCK = 4

#: A vector's unit is 2^-FLOW_BITS samples.
FLOW_BITS = 8

_HALF_TABLE = [
    [0, 0, 0, 64, 0, 0, 0, 0],
    [0, 1, -3, 63, 4, -2, 1, 0],
    [-1, 2, -5, 62, 8, -3, 1, 0],
    [-1, 3, -8, 60, 13, -4, 1, 0],
    [-1, 4, -10, 58, 17, -5, 1, 0],
    [-1, 4, -11, 52, 26, -8, 3, -1],
    [-1, 3, -9, 47, 31, -10, 4, -1],
    [-1, 4, -11, 45, 34, -10, 4, -1],
    [-1, 4, -11, 40, 40, -11, 4, -1],
]

#: Taps at each 16th; the first one is three samples before.
TAPS = np.array(_HALF_TABLE + [taps[::-1] for taps in _HALF_TABLE[7:0:-1]], np.int32)

#: Rows and columns around the reference: from 5 beyond its edge on, all taps see the edge's sample.
_MARGIN = 9

#: The neighbour and its weight in 8ths, by a sample's place in its block.
_NEIGHBOURS = np.array([-1, -1, 1, 1], np.int64)
_WEIGHTS = np.array([3, 1, 1, 3], np.int64)


def warp(reference: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """The reference as moved by a flow.

    Args:
        reference: uint8 [H,W,planes]; H and W are multiples of 4.
        flow: int32 [2,H/4,W/4], down and right, in 256ths of a sample: where in the reference a sample lies, less where
            it is.

    Returns:
        uint8 [H,W,planes].

    Raises:
        ValueError: the shapes do not fit.

    >>> frame = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    >>> right = np.zeros((2, 2, 2), np.int32)
    >>> right[1] = 2 * 256
    >>> warp(frame, right)[0, :, 0].tolist()
    [2, 3, 4, 5, 6, 7, 7, 7]
    """
    height, width, _ = reference.shape
    if flow.shape != (2, height // BLOCK, width // BLOCK) or height % BLOCK or width % BLOCK or not flow.size:
        raise ValueError(f"a flow {list(flow.shape)} does not fit a reference {list(reference.shape)}")
    padded = np.pad(reference, ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0)), mode="edge")
    out = np.empty(reference.shape, np.uint8)
    _warp(padded.reshape(len(padded), -1), np.ascontiguousarray(flow, np.int32), TAPS, out)
    return out


@njit(cache=True)
def _warp(reference, flow, taps, out):
    height, width, planes = out.shape
    rows, columns = flow.shape[1:]
    sums = np.empty(8 * planes, np.int32)
    for y in range(height):
        row, k = y // BLOCK, y % BLOCK
        other = min(max(row + _NEIGHBOURS[k], 0), rows - 1)
        far = _WEIGHTS[k]
        for x in range(width):
            column, j = x // BLOCK, x % BLOCK
            beside = min(max(column + _NEIGHBOURS[j], 0), columns - 1)
            away = _WEIGHTS[j]
            down = _between(flow[0], row, other, far, column, beside, away)
            right = _between(flow[1], row, other, far, column, beside, away)
            top = min(max(y + (down >> 4), -5), height + 4) + _MARGIN - 3
            left = (min(max(x + (right >> 4), -5), width + 4) + _MARGIN - 3) * planes
            vertical, horizontal = taps[down & 15], taps[right & 15]
            sums[:] = 0
            for i in range(8):
                weight = vertical[i]
                for n in range(8 * planes):
                    sums[n] += weight * np.int32(reference[top + i, left + n])
            for plane in range(planes):
                total = 1 << 11
                for i in range(8):
                    total += horizontal[i] * sums[i * planes + plane]
                out[y, x, plane] = min(max(total >> 12, 0), 255)


@njit(cache=True, inline="always")
def _between(flow, row, other, far, column, beside, away):
    """A component of the vector of a sample, in 16ths."""
    near = (8 - away) * np.int64(flow[row, column]) + away * np.int64(flow[row, beside])
    further = (8 - away) * np.int64(flow[other, column]) + away * np.int64(flow[other, beside])
    return ((8 - far) * near + far * further + (1 << 9)) >> 10
