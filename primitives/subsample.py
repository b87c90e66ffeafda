"""Chroma subsampling: fewer samples for colour than for brightness.

Sampling factors (v, h) say how many samples a plane has, relative to the largest factors among the planes
(ITU-T T.81 A.1.1). The usual names:

======  ==========================================  =================
name    chroma samples                              factors of luma
======  ==========================================  =================
4:4:4   at every pixel                              v = 1, h = 1
4:2:2   at every second column                      v = 1, h = 2
4:4:0   at every second row                         v = 2, h = 1
4:2:0   at every second column of every second row  v = 2, h = 2
======  ==========================================  =================

*Down*: the mean of the pixels that a sample stands for. Rounding alternates between up and down along a row (the
"bias" below), so that it does not shift the mean.

*Up*: libjpeg's "fancy" upsampling, a triangle filter. Chroma samples sit in the middle between luma pixels, so a pixel
is 3/4 of its nearer sample and 1/4 of the farther one, in each subsampled direction; edges repeat. Rounding alternates
here too, and is part of what makes pixels identical to libjpeg's. Ratios other than 2 (and planes at most two samples
wide, where libjpeg has no filter) repeat samples.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .compiled import njit
from .errors import StreamError
from .picture import Picture, pad_edge
from .stage import Stage

#: Luma's (v, h) factors for each name; chroma has (1, 1).
SAMPLINGS = {"4:4:4": (1, 1), "4:2:2": (1, 2), "4:4:0": (2, 1), "4:2:0": (2, 2)}


# numba computes sums and products of 32-bit integers in 64 bits. `i32` brings each back at once, so that vectors hold
# twice as many lanes.
i32 = np.int32


@njit(cache=True)
def _mean_2x1(plane, out):
    for y in range(out.shape[0]):
        row, into = plane[y], out[y]
        for x in range(out.shape[1]):
            into[x] = i32(i32(i32(row[2 * x]) + i32(row[2 * x + 1])) + i32(x & 1)) >> i32(1)


@njit(cache=True)
def _mean_1x2(plane, out):
    for y in range(out.shape[0]):
        upper, lower, into = plane[2 * y], plane[2 * y + 1], out[y]
        for x in range(out.shape[1]):
            into[x] = i32(i32(i32(upper[x]) + i32(lower[x])) + i32(x & 1)) >> i32(1)


@njit(cache=True)
def _mean_2x2(plane, out):
    for y in range(out.shape[0]):
        upper, lower, into = plane[2 * y], plane[2 * y + 1], out[y]
        for x in range(out.shape[1]):
            left = i32(i32(upper[2 * x]) + i32(lower[2 * x]))
            right = i32(i32(upper[2 * x + 1]) + i32(lower[2 * x + 1]))
            into[x] = i32(i32(left + right) + i32(1 + (x & 1))) >> i32(2)


@njit(cache=True, inline="always")
def _mix(near, far, bias, shift):
    """3/4 of the nearer sample and 1/4 of the farther one, rounded as `bias` says."""
    return i32(i32(i32(i32(3) * near) + far) + bias) >> shift


@njit(cache=True, inline="always")
def _triangle_row(samples, out, bias_even, bias_odd, shift):
    """Two pixels from each sample, mixed with its neighbours; `samples` has its ends repeated once."""
    for x in range(out.size // 2):
        out[2 * x] = _mix(samples[x + 1], samples[x], bias_even, shift)
        out[2 * x + 1] = _mix(samples[x + 1], samples[x + 2], bias_odd, shift)
    if out.size % 2:
        x = out.size // 2
        out[2 * x] = _mix(samples[x + 1], samples[x], bias_even, shift)


@njit(cache=True)
def _double_width(plane, out):
    width = plane.shape[1]
    samples = np.empty(width + 2, np.int32)
    for y in range(out.shape[0]):
        samples[1:-1] = plane[y]
        samples[0], samples[width + 1] = samples[1], samples[width]
        _triangle_row(samples, out[y], i32(1), i32(2), i32(2))


@njit(cache=True, inline="always")
def _nearest_rows(plane, y):
    """The row that row `y` of the doubled plane lies in, and the neighbour that it lies nearer to."""
    sample = y // 2
    neighbour = min(max(sample + (1 if y % 2 else -1), 0), plane.shape[0] - 1)
    return plane[sample], plane[neighbour]


@njit(cache=True)
def _double_height(plane, out):
    for y in range(out.shape[0]):
        near, far = _nearest_rows(plane, y)
        into, bias = out[y], i32(1 + y % 2)
        for x in range(into.size):
            into[x] = _mix(i32(near[x]), i32(far[x]), bias, i32(2))


@njit(cache=True)
def _double_both(plane, out):
    width = plane.shape[1]
    samples = np.empty(width + 2, np.int32)  # two rows mixed, with two fractional bits
    for y in range(out.shape[0]):
        near, far = _nearest_rows(plane, y)
        for x in range(width):
            samples[x + 1] = _mix(i32(near[x]), i32(far[x]), i32(0), i32(0))
        samples[0], samples[width + 1] = samples[1], samples[width]
        _triangle_row(samples, out[y], i32(8), i32(7), i32(4))


def downsample(plane: np.ndarray, v: int, h: int) -> np.ndarray:
    """The means of v × h pixels each, [ceil(H/v), ceil(W/h)] of the plane's own type, for v and h of 1 or 2.

    >>> downsample(np.array([[1, 2, 9]], np.uint8), 1, 2).tolist()
    [[1, 9]]
    """
    height, width = plane.shape
    padded = _wide(plane, height + -height % v, width + -width % h)
    if (v, h) == (1, 1):
        return padded
    out = np.empty((padded.shape[0] // v, padded.shape[1] // h), plane.dtype)
    {(1, 2): _mean_2x1, (2, 1): _mean_1x2, (2, 2): _mean_2x2}[v, h](padded, out)
    return out


def _wide(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """The plane as it is if it has the size, else extended to it."""
    return plane if plane.shape == (height, width) else pad_edge(plane, height, width)


def upsample(plane: np.ndarray, v: int, h: int, size: tuple[int, int]) -> np.ndarray:
    """The plane stretched v-fold in height and h-fold in width, as libjpeg does it, cut to `size`.

    Args:
        plane: uint8 or uint16 [h', w'].
        v, h: integer ratios.
        size: (H, W) of the result, within v·h' and h·w'.

    >>> upsample(np.array([[0, 100, 100]], np.uint8), 1, 2, (1, 6)).tolist()
    [[0, 25, 75, 100, 100, 100]]
    """
    if (v, h) == (1, 1):
        return plane[: size[0], : size[1]]
    triangle = {(1, 2): _double_width, (2, 1): _double_height, (2, 2): _double_both}.get((v, h))
    if triangle is None or (h == 2 and plane.shape[1] <= 2):
        return np.repeat(np.repeat(plane, v, axis=0), h, axis=1)[: size[0], : size[1]]
    out = np.empty(size, plane.dtype)
    triangle(np.ascontiguousarray(plane), out)
    return out


@dataclass(frozen=True)
class Subsample(Stage):
    """Subsample the chroma planes of a `Picture`, and bring every plane back to full size.

    `forward` leaves each plane padded to whole blocks of `align` samples, so that a block transform follows without
    another copy. Columns repeat *before* averaging, rows after it: where libjpeg pads, to the bit. `inverse` reads the
    factors from the picture and cuts the padding off.

    Attributes:
        sampling: ``"4:4:4"``, ``"4:2:2"``, ``"4:4:0"`` or ``"4:2:0"``.
        align: block size to pad to; 1 for no padding.

    >>> from codeckit.primitives import YCbCr
    >>> picture = YCbCr().forward(np.zeros((20, 30, 3), np.uint8))
    >>> [plane.shape for plane in Subsample("4:2:0").forward(picture).planes]
    [(24, 32), (16, 16), (16, 16)]
    """

    unwritten: ClassVar[tuple[str, ...]] = ("sampling", "align")  # the factors travel with the picture

    sampling: str = "4:2:0"
    align: int = 8

    def __post_init__(self):
        if self.sampling not in SAMPLINGS:
            raise ValueError(f"sampling is one of {', '.join(SAMPLINGS)}, not {self.sampling!r}")
        if not isinstance(self.align, int) or self.align < 1:
            raise ValueError(f"align is a block size of at least 1, not {self.align!r}")

    def forward(self, picture: Picture) -> Picture:
        """Subsample all planes but the first; a grey picture is only padded."""
        factors = (SAMPLINGS[self.sampling],) + ((1, 1),) * (len(picture.planes) - 1)
        if len(picture.planes) == 1:
            factors = ((1, 1),)
        picture = picture.replace(factors=factors)
        v_max, h_max = factors[0]
        planes = []
        for plane, (v, h), size in zip(picture.planes, factors, picture.plane_sizes, strict=True):
            height, width = (-(-extent // self.align) * self.align for extent in size)
            plane = _wide(plane, plane.shape[0], width * (h_max // h))
            planes.append(_wide(downsample(plane, v_max // v, h_max // h), height, width))
        return picture.replace(planes=tuple(planes))

    def inverse(self, picture: Picture) -> Picture:
        """Upsample all planes to the picture's size.

        Raises:
            StreamError: a plane's sampling is no integer fraction of the largest one.
        """
        v_max = max(v for v, _ in picture.factors)
        h_max = max(h for _, h in picture.factors)
        planes, sizes = [], picture.plane_sizes
        for i, (plane, (v, h)) in enumerate(zip(picture.planes, picture.factors, strict=True)):
            if v_max % v or h_max % h:
                raise StreamError(f"sampling factors {picture.factors} have fractional ratios, which are not supported")
            height, width = sizes[i]
            if plane.shape[0] < height or plane.shape[1] < width:
                raise StreamError(f"plane {i} of {plane.shape} samples is smaller than {height}×{width}")
            planes.append(upsample(plane[:height, :width], v_max // v, h_max // h, picture.size))
        return picture.replace(planes=tuple(planes), factors=((1, 1),) * len(planes))
