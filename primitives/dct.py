"""The discrete cosine transform of blocks, any size, and JPEG's exact integer version of the 8×8 one.

The DCT-II writes n samples as a sum of n cosines:

    X[k] = c_k Σ_i x[i] cos(π (2i + 1) k / 2n),    c_0 = √(1/n),  c_k = √(2/n)

With these factors it is *orthonormal*: X = D x with D Dᵀ = 1, so the inverse is the transpose, energy is preserved, and
an error of size e in a coefficient is an error of size e in the picture. In two dimensions rows and columns are
transformed one after the other, X = D x Dᵀ. Neighbouring samples of a picture are alike, so nearly all energy lands in
a few low frequencies: for a Markov source with high correlation the DCT comes close to the Karhunen–Loève transform
(Ahmed, Natarajan & Rao 1974).

Two ways to compute it:

- ``"float"``: two matrix products in float32, for any n.
- ``"islow"``: n = 8 in 32-bit integers, by the factorization of Loeffler, Ligtenberg & Moschytz (1989), 12
  multiplications for 8 samples, constants with 13 fractional bits. Where bits are rounded away is libjpeg's choice
  ("islow"; ITU-T T.81 leaves it open), and following it makes our JPEG's pixels identical to libjpeg's.

Both give coefficients in the same orthonormal scale, in float32; islow's are multiples of 1/8.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .compiled import njit
from .errors import StreamError
from .picture import Picture, pad_edge
from .stage import Stage

# Constants of the Loeffler factorization with 13 fractional bits.
_BITS = 13
_C = {value: np.int32(round(value * (1 << _BITS))) for value in (
    0.298631336, 0.390180644, 0.541196100, 0.765366865, 0.899976223, 1.175875602,
    1.501321110, 1.847759065, 1.961570560, 2.053119869, 2.562915447, 3.072711026,
)}  # fmt: skip
_0_298, _0_390, _0_541, _0_765, _0_899, _1_175, _1_501, _1_847, _1_961, _2_053, _2_562, _3_072 = _C.values()


@lru_cache(maxsize=16)
def dct_matrix(n: int) -> np.ndarray:
    """The orthonormal DCT-II matrix D, float64 [n,n]: ``D @ x`` transforms, ``D.T @ X`` restores.

    >>> D = dct_matrix(4)
    >>> bool(np.allclose(D @ D.T, np.eye(4)))
    True
    """
    k, i = np.mgrid[:n, :n]
    matrix = np.sqrt(2 / n) * np.cos(np.pi * (2 * i + 1) * k / (2 * n))
    matrix[0] = np.sqrt(1 / n)
    matrix.setflags(write=False)
    return matrix


def dct2(blocks: np.ndarray) -> np.ndarray:
    """Two-dimensional orthonormal DCT of blocks [..., n, n] of floats.

    >>> round(float(dct2(np.ones((1, 8, 8)))[0, 0, 0]), 6)
    8.0
    """
    d = dct_matrix(blocks.shape[-1]).astype(blocks.dtype, copy=False)
    return d @ blocks @ d.T


def idct2(coefficients: np.ndarray) -> np.ndarray:
    """The inverse of `dct2`."""
    d = dct_matrix(coefficients.shape[-1]).astype(coefficients.dtype, copy=False)
    return d.T @ coefficients @ d


def to_blocks(plane: np.ndarray, n: int) -> np.ndarray:
    """View a plane [rows·n, columns·n] as blocks [rows, columns, n, n].

    >>> to_blocks(np.arange(16).reshape(4, 4), 2)[0, 1].tolist()
    [[2, 3], [6, 7]]
    """
    height, width = plane.shape
    return plane.reshape(height // n, n, width // n, n).swapaxes(1, 2)


def from_blocks(blocks: np.ndarray) -> np.ndarray:
    """The inverse of `to_blocks`."""
    rows, columns, n, _ = blocks.shape
    return blocks.swapaxes(1, 2).reshape(rows * n, columns * n)


# numba computes sums and products of 32-bit integers in 64 bits. `i32` brings each back at once, so that vectors hold
# twice as many lanes and multiply in one instruction.
i32 = np.int32


@njit(cache=True, inline="always")
def _forward_8(x0, x1, x2, x3, x4, x5, x6, x7):
    """Eight-point DCT, scaled by √8: even outputs 0 and 4 in units, all others with 13 fractional bits."""
    s0, d0, s1, d1 = i32(x0 + x7), i32(x0 - x7), i32(x1 + x6), i32(x1 - x6)
    s2, d2, s3, d3 = i32(x2 + x5), i32(x2 - x5), i32(x3 + x4), i32(x3 - x4)
    # Even half: a four-point DCT of the sums.
    e0, e1, e2, e3 = i32(s0 + s3), i32(s1 + s2), i32(s1 - s2), i32(s0 - s3)
    rotation = i32(i32(e2 + e3) * _0_541)
    # Odd half: three rotations of the differences.
    z1, z2, z3, z4 = _rotations(i32(d3 + d0), i32(d2 + d1), i32(d3 + d1), i32(d2 + d0))
    y1 = i32(i32(i32(d0 * _1_501) + z1) + z4)
    y3 = i32(i32(i32(d1 * _3_072) + z2) + z3)
    y5 = i32(i32(i32(d2 * _2_053) + z2) + z4)
    y7 = i32(i32(i32(d3 * _0_298) + z1) + z3)
    y2, y6 = i32(rotation + i32(e3 * _0_765)), i32(rotation - i32(e2 * _1_847))
    return i32(e0 + e1), y1, y2, y3, i32(e0 - e1), y5, y6, y7


@njit(cache=True, inline="always")
def _inverse_8(y0, y1, y2, y3, y4, y5, y6, y7):
    """The inverse of `_forward_8` for coefficients in units; samples with 13 fractional bits, scaled by √8."""
    rotation = i32(i32(y2 + y6) * _0_541)
    e2, e3 = i32(rotation - i32(y6 * _1_847)), i32(rotation + i32(y2 * _0_765))
    e0, e1 = i32(i32(y0 + y4) << i32(_BITS)), i32(i32(y0 - y4) << i32(_BITS))
    s0, s1, s2, s3 = i32(e0 + e3), i32(e1 + e2), i32(e1 - e2), i32(e0 - e3)
    z1, z2, z3, z4 = _rotations(i32(y7 + y1), i32(y5 + y3), i32(y7 + y3), i32(y5 + y1))
    d0 = i32(i32(i32(y1 * _1_501) + z1) + z4)
    d1 = i32(i32(i32(y3 * _3_072) + z2) + z3)
    d2 = i32(i32(i32(y5 * _2_053) + z2) + z4)
    d3 = i32(i32(i32(y7 * _0_298) + z1) + z3)
    low = i32(s0 + d0), i32(s1 + d1), i32(s2 + d2), i32(s3 + d3)
    return (*low, i32(s3 - d3), i32(s2 - d2), i32(s1 - d1), i32(s0 - d0))


@njit(cache=True, inline="always")
def _rotations(z1, z2, z3, z4):
    """What the three rotations of the odd half share, in both directions."""
    z5 = i32(i32(z3 + z4) * _1_175)
    return (
        i32(-i32(z1 * _0_899)),
        i32(-i32(z2 * _2_562)),
        i32(z5 - i32(z3 * _1_961)),
        i32(z5 - i32(z4 * _0_390)),
    )


@njit(cache=True, inline="always")
def _round_shift(value, bits):
    return i32(i32(value + i32(1 << (bits - 1))) >> i32(bits))


@njit(cache=True, inline="always")
def _eighths(value, bits):
    """A coefficient from the second forward pass, in units."""
    return np.float32(_round_shift(value, bits)) * np.float32(0.125)


@njit(cache=True, inline="always")
def _sample(value):
    """A sample from the second inverse pass: rounded, shifted back and clipped."""
    return min(max(i32(_round_shift(value, _BITS + 5) + i32(128)), i32(0)), i32(255))


# Both directions take a whole row of blocks at a time, so that every inner loop does the same to many columns or blocks
# and compilers vectorize it.


@njit(cache=True)
def _islow_forward(plane, out):
    rows, columns = out.shape[:2]
    samples, half = np.empty(8 * columns, np.int32), np.empty((8, 8 * columns), np.int32)
    for row in range(rows):
        for i in range(8):  # the rows of the blocks; two extra fractional bits stay
            line, into = plane[8 * row + i], half[i]
            for x in range(8 * columns):
                samples[x] = i32(line[x]) - i32(128)
            for column in range(columns):
                x = 8 * column
                y0, y1, y2, y3, y4, y5, y6, y7 = _forward_8(
                    samples[x], samples[x + 1], samples[x + 2], samples[x + 3],
                    samples[x + 4], samples[x + 5], samples[x + 6], samples[x + 7],
                )  # fmt: skip
                into[x], into[x + 4] = i32(y0 << i32(2)), i32(y4 << i32(2))
                into[x + 1], into[x + 2] = _round_shift(y1, _BITS - 2), _round_shift(y2, _BITS - 2)
                into[x + 3], into[x + 5] = _round_shift(y3, _BITS - 2), _round_shift(y5, _BITS - 2)
                into[x + 6], into[x + 7] = _round_shift(y6, _BITS - 2), _round_shift(y7, _BITS - 2)
        for column in range(columns):
            block = out[row, column]
            for k in range(8):  # their columns
                x = 8 * column + k
                y0, y1, y2, y3, y4, y5, y6, y7 = _forward_8(
                    half[0, x], half[1, x], half[2, x], half[3, x], half[4, x], half[5, x], half[6, x], half[7, x]
                )
                block[k], block[32 + k] = _eighths(y0, 2), _eighths(y4, 2)
                block[8 + k] = _eighths(y1, _BITS + 2)
                block[16 + k] = _eighths(y2, _BITS + 2)
                block[24 + k] = _eighths(y3, _BITS + 2)
                block[40 + k] = _eighths(y5, _BITS + 2)
                block[48 + k] = _eighths(y6, _BITS + 2)
                block[56 + k] = _eighths(y7, _BITS + 2)


@njit(cache=True)
def _islow_inverse(coefficients, plane):
    rows, columns = coefficients.shape[:2]
    half = np.empty((8, 8 * columns), np.int32)
    for row in range(rows):
        for column in range(columns):
            block = coefficients[row, column]
            for k in range(8):  # the columns of the blocks; two extra fractional bits stay
                x0, x1, x2, x3, x4, x5, x6, x7 = _inverse_8(
                    i32(block[k]), i32(block[8 + k]), i32(block[16 + k]), i32(block[24 + k]),
                    i32(block[32 + k]), i32(block[40 + k]), i32(block[48 + k]), i32(block[56 + k]),
                )  # fmt: skip
                x = 8 * column + k
                half[0, x], half[1, x] = _round_shift(x0, _BITS - 2), _round_shift(x1, _BITS - 2)
                half[2, x], half[3, x] = _round_shift(x2, _BITS - 2), _round_shift(x3, _BITS - 2)
                half[4, x], half[5, x] = _round_shift(x4, _BITS - 2), _round_shift(x5, _BITS - 2)
                half[6, x], half[7, x] = _round_shift(x6, _BITS - 2), _round_shift(x7, _BITS - 2)
        for i in range(8):  # their rows
            samples, into = half[i], plane[8 * row + i]
            for column in range(columns):
                x = 8 * column
                x0, x1, x2, x3, x4, x5, x6, x7 = _inverse_8(
                    samples[x], samples[x + 1], samples[x + 2], samples[x + 3],
                    samples[x + 4], samples[x + 5], samples[x + 6], samples[x + 7],
                )  # fmt: skip
                into[x], into[x + 1], into[x + 2], into[x + 3] = _sample(x0), _sample(x1), _sample(x2), _sample(x3)
                into[x + 4], into[x + 5], into[x + 6], into[x + 7] = _sample(x4), _sample(x5), _sample(x6), _sample(x7)


@dataclass(frozen=True)
class BlockDCT(Stage):
    """DCT of n × n blocks: planes of uint8 samples [h,w] to float32 coefficients [rows, columns, n, n], and back.

    Samples are level-shifted by 128 first (ITU-T T.81 A.3.1). A plane that is no multiple of n is padded by repeating
    its edge. `inverse` takes integer or float coefficients (what a dequantizer gives), rounds and clips to uint8, and
    returns whole blocks; `Subsample.inverse` cuts the padding off.

    Attributes:
        size: n.
        method: ``"islow"`` (exact integers, n = 8 only) or ``"float"``.

    >>> picture = Picture((np.full((8, 8), 138, np.uint8),), (8, 8))
    >>> float(BlockDCT().forward(picture).planes[0][0, 0, 0, 0])
    80.0
    """

    size: int = 8
    method: str = "islow"

    def __post_init__(self):
        if self.method not in ("islow", "float"):
            raise ValueError(f"method is 'islow' or 'float', not {self.method!r}")
        if not isinstance(self.size, int) or not 1 <= self.size <= 256:
            raise ValueError(f"size is a block size from 1 to 256, not {self.size!r}")
        if self.method == "islow" and self.size != 8:
            raise ValueError(f"islow is the integer 8×8 transform; use method='float' for blocks of {self.size}")

    def forward(self, picture: Picture) -> Picture:
        """Transform every plane."""
        return picture.replace(planes=tuple(self._forward(plane) for plane in picture.planes))

    def inverse(self, picture: Picture) -> Picture:
        """Restore every plane; planes that are samples already stay as they are.

        Raises:
            StreamError: the coefficients are not blocks of this size.
        """
        if picture.has_samples:
            return picture
        return picture.replace(planes=tuple(self._inverse(plane) for plane in picture.planes))

    def _forward(self, plane: np.ndarray) -> np.ndarray:
        height, width = plane.shape
        if height % self.size or width % self.size:
            plane = pad_edge(plane, height + -height % self.size, width + -width % self.size)
        if self.method == "float":
            return dct2(to_blocks(plane, self.size).astype(np.float32) - 128)
        out = np.empty((plane.shape[0] // 8, plane.shape[1] // 8, 64), np.float32)
        _islow_forward(plane, out)
        return out.reshape(*out.shape[:2], 8, 8)

    def _inverse(self, coefficients: np.ndarray) -> np.ndarray:
        if coefficients.ndim != 4 or coefficients.shape[2:] != (self.size, self.size):
            raise StreamError(f"coefficients of shape {coefficients.shape} are not blocks of {self.size}×{self.size}")
        if self.method == "float":
            samples = idct2(coefficients.astype(np.float32))
            return np.clip(np.rint(from_blocks(samples) + 128), 0, 255).astype(np.uint8)
        rows, columns = coefficients.shape[:2]
        plane = np.empty((8 * rows, 8 * columns), np.uint8)
        if coefficients.dtype != np.int16:
            coefficients = np.clip(np.rint(coefficients), -32768, 32767).astype(np.int16)
        _islow_inverse(np.ascontiguousarray(coefficients).reshape(rows, columns, 64), plane)
        return plane
