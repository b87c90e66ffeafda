"""The discrete wavelet transforms of JPEG 2000: CDF 5/3 (reversible) and CDF 9/7 (irreversible), by lifting.

A wavelet transform splits a signal into a *low-pass* half, a smoothed signal at half the rate, and a *high-pass* half,
the details that the smoothing lost. In a picture it is done along the columns and along the rows, which gives four
quarters, and again on the low-low quarter, `levels` times. Natural pictures are smooth, so nearly all of their energy
gathers in the small low-low corner and most other coefficients are close to zero.

*Lifting* computes it in place (Sweldens, "The lifting scheme", 1996). The samples are split into even ones s and odd
ones d, and the two sets correct one another in turn::

    predict   d[n] += f(s[n] + s[n+1])        an odd sample is replaced by its difference from a prediction
    update    s[n] += g(d[n-1] + d[n])        an even sample becomes a local mean

Each step adds to one set a function of the *other* set alone, so the same steps with the sign changed, in reverse
order, undo it: whatever f and g are, and however they round. That is why 5/3 with its floors is lossless on integers
(ITU-T T.800 Annex F)::

    d[n] -= ⌊(s[n] + s[n+1]) / 2⌋
    s[n] += ⌊(d[n-1] + d[n] + 2) / 4⌋

9/7 has four such steps with the real factors α, β, γ, δ, and a scaling at the end (T.800 Annex F). Past
its ends a signal is mirrored about its first and last sample (x[-1] = x[1]), which keeps every length n at n
coefficients: ⌈n/2⌉ low and ⌊n/2⌋ high ones. One sample alone is its own transform.

**Scaling.** The standard scales 9/7 to a low-pass gain of 1 and a high-pass gain of 2, and makes up for it with one
quantization step a subband. Here both gains are √2, which is as near to orthonormal as this biorthogonal pair comes:
the squared error of the picture is nearly that of the coefficients, so **one quantization step serves all subbands**,
and a flat picture of value v has low-low coefficients v·2^levels. 5/3 keeps the standard's scaling: integers need it.

Coefficients lie in *pyramid* (Mallat) order in an array of the picture's own shape; `subbands` names the parts::

    LL2 HL2 | HL1       HL: high-pass along the rows (horizontally), low-pass along the columns: vertical edges
    LH2 HH2 |           LH: the other way round: horizontal edges
    --------+----       HH: high-pass both ways: diagonals
    LH1     | HH1
"""

from dataclasses import dataclass

import numpy as np

from .anatomy import spread
from .errors import StreamError
from .picture import Picture
from .stage import Stage

# Lifting factors of CDF 9/7, ITU-T T.800 Annex F.
ALPHA = -1.586134342059924
BETA = -0.052980118572961
GAMMA = 0.882911075530934
DELTA = 0.443506852043971
K = 1.230174104914001

_LOW_GAIN = np.sqrt(2) / K  # the standard's 1/K, times √2
_HIGH_GAIN = K / np.sqrt(2)  # the standard's K (gain 2), divided by √2

#: T.800 A.6.1 allows 32 decomposition levels at most.
MAX_LEVELS = 32


def forward_53(plane: np.ndarray, levels: int) -> np.ndarray:
    """The reversible 5/3 transform of an integer plane.

    Args:
        plane: samples [h, w], of an integer type that int32 holds (uint8, int16, ...).
        levels: number of decompositions, 0 … 32; further ones than the size allows change nothing.

    Returns:
        int32 coefficients [h, w] in pyramid order. Sums too large for it wrap around, and unwrap in `inverse_53`.

    Raises:
        ValueError: wrong shape, type or number of levels.

    >>> forward_53(np.array([[1, 3, 6, 7]], np.uint8), levels=1)  # d = 3-⌊7/2⌋, 7-⌊12/2⌋; s = 1+⌊2/4⌋, 6+⌊3/4⌋
    array([[1, 6, 0, 1]], dtype=int32)
    """
    _check(plane, levels)
    if plane.dtype.kind not in "ui" or not np.can_cast(plane.dtype, np.int32):
        raise ValueError(f"the 5/3 transform takes integers of 32 bits at most, not {plane.dtype}; use 9/7 for floats")
    return _pyramid(plane.astype(np.int32), levels, _analyse_53)


def inverse_53(coefficients: np.ndarray, levels: int) -> np.ndarray:
    """The inverse of `forward_53`: int32 samples [h, w], exactly those it was given.

    Raises:
        ValueError: wrong shape, type or number of levels.

    >>> inverse_53(np.array([[1, 6, 0, 1]]), levels=1)
    array([[1, 3, 6, 7]], dtype=int32)
    """
    _check(coefficients, levels)
    if coefficients.dtype.kind not in "ui":
        raise ValueError(f"the inverse 5/3 transform takes integer coefficients, not {coefficients.dtype}")
    return _unpyramid(coefficients.astype(np.int32), levels, _synthesise_53)


def forward_97(plane: np.ndarray, levels: int) -> np.ndarray:
    """The irreversible 9/7 transform of a plane, scaled near-orthonormally (see the module's text).

    Args:
        plane: samples [h, w] of any real type.
        levels: number of decompositions, 0 … 32; further ones than the size allows change nothing.

    Returns:
        float32 coefficients [h, w] in pyramid order.

    Raises:
        ValueError: wrong shape, type or number of levels.

    >>> print(forward_97(np.full((8, 8), 10), levels=2)[0, 0].round(3))  # 10 · 2²
    40.0
    """
    _check(plane, levels)
    return _pyramid(plane.astype(np.float32), levels, _analyse_97)


def inverse_97(coefficients: np.ndarray, levels: int) -> np.ndarray:
    """The inverse of `forward_97`: float32 samples [h, w], equal to float rounding.

    Raises:
        ValueError: wrong shape, type or number of levels.

    >>> plane = np.arange(15.0).reshape(3, 5)
    >>> np.allclose(inverse_97(forward_97(plane, levels=3), levels=3), plane, atol=1e-4)
    True
    """
    _check(coefficients, levels)
    return _unpyramid(coefficients.astype(np.float32), levels, _synthesise_97)


def subbands(shape: tuple[int, int], levels: int) -> dict[str, tuple[slice, slice]]:
    """Where each subband lies in a pyramid of `shape` [h, w]: from the coarsest, LL, to the finest, HH1.

    A subband is empty where the size allows no further decomposition.

    >>> bands = subbands((5, 8), levels=2)
    >>> list(bands)
    ['LL2', 'HL2', 'LH2', 'HH2', 'HL1', 'LH1', 'HH1']
    >>> np.zeros((5, 8))[bands["HL1"]].shape
    (3, 4)
    """
    _check_levels(levels)
    sizes = _level_sizes(shape, levels)
    height, width = sizes[-1]
    bands = {f"LL{levels}": (slice(0, height), slice(0, width))}
    for level in range(levels, 0, -1):
        (height, width), (bottom, right) = sizes[level], sizes[level - 1]
        bands[f"HL{level}"] = (slice(0, height), slice(width, right))
        bands[f"LH{level}"] = (slice(height, bottom), slice(0, width))
        bands[f"HH{level}"] = (slice(height, bottom), slice(width, right))
    return bands


@dataclass(frozen=True)
class Wavelet(Stage):
    """Wavelet transform of every plane: uint8 samples [h, w] to coefficients [h, w] in pyramid order.

    Samples are first shifted by -128, so that they lie around zero (T.800 G.1). With "5/3" the coefficients are int32
    and `inverse` restores the samples exactly; with "9/7" they are float32 and near-orthonormal, one quantization step
    fits all subbands. `inverse` rounds and clips to uint8 samples whatever the quantizer has left of the coefficients.

    Attributes:
        kernel: "9/7" (lossy, better energy compaction) or "5/3" (lossless).
        levels: number of decompositions, 0 … 32.
        centred: planes lie around zero already and hold integers or floats, as `ComponentTransform` gives them;
            `inverse` then returns int32 samples ("5/3") or float32 samples ("9/7") as they come.

    >>> picture = Picture((np.arange(35, dtype=np.uint8).reshape(5, 7),), size=(5, 7))
    >>> stage = Wavelet("5/3", levels=2)
    >>> np.array_equal(stage.inverse(stage.forward(picture)).planes[0], picture.planes[0])
    True
    """

    kernel: str = "9/7"
    levels: int = 5
    centred: bool = False

    def __post_init__(self):
        if self.kernel not in ("9/7", "5/3"):
            raise ValueError(f"unknown wavelet kernel {self.kernel!r}; use '9/7' or '5/3'")
        _check_levels(self.levels)

    def forward(self, picture: Picture) -> Picture:
        """Planes of uint8 samples to planes of coefficients.

        Raises:
            ValueError: a plane does not hold uint8 samples [h, w].
        """
        transform = forward_53 if self.kernel == "5/3" else forward_97
        if self.centred:
            return picture.map(lambda plane: transform(plane, self.levels))
        for plane in picture.planes:
            if plane.dtype != np.uint8:
                raise ValueError(f"the wavelet stage takes uint8 samples, not {plane.dtype}")
        return picture.map(lambda plane: transform(plane.astype(np.int16) - 128, self.levels))

    def inverse(self, picture: Picture) -> Picture:
        """Planes of coefficients (integer or float) to planes of uint8 samples.

        Raises:
            StreamError: a plane does not hold coefficients [h, w].
        """
        for index, plane in enumerate(picture.planes):
            if plane.ndim != 2 or not plane.size:
                raise StreamError(f"plane {index} of shape {plane.shape} holds no wavelet coefficients [h, w]")
        return picture.map(self._samples)

    def in_place(self, values: np.ndarray) -> np.ndarray:
        """What belongs to a coefficient goes to the samples that it stands for: 4ˡ of them at level l."""
        bands = subbands(values.shape, self.levels).values()
        return sum(spread(values[place], values.shape) for place in bands if values[place].size)

    def _samples(self, coefficients):
        if self.kernel == "9/7":
            samples = inverse_97(coefficients, self.levels)
            if self.centred:
                return samples
            samples = np.rint(samples)
        else:
            if coefficients.dtype.kind == "f":
                coefficients = np.clip(np.rint(coefficients), -(2.0**30), 2.0**30).astype(np.int32)
            samples = inverse_53(coefficients, self.levels)
            if self.centred:
                return samples
        return (np.clip(samples, -128, 127) + 128).astype(np.uint8)


# --- two dimensions -------------------------------------------------------------------------------------------------


def _pyramid(x, levels, analyse):
    for height, width in _level_sizes(x.shape, levels)[:-1]:
        corner = x[:height, :width]  # the low-low quarter of the level before
        corner[:] = analyse(corner)
        corner[:] = analyse(corner.T).T
    return x


def _unpyramid(y, levels, synthesise):
    for height, width in reversed(_level_sizes(y.shape, levels)[:-1]):
        corner = y[:height, :width]
        corner[:] = synthesise(corner.T).T
        corner[:] = synthesise(corner)
    return y


def _level_sizes(shape, levels):
    """(h, w) of the low-low quarter after 0, 1, … levels."""
    height, width = shape
    return [(-(-height >> level), -(-width >> level)) for level in range(levels + 1)]


def _check(plane, levels):
    if plane.ndim != 2 or 0 in plane.shape:
        raise ValueError(f"the wavelet transform takes a plane [h, w] with samples, not shape {plane.shape}")
    if plane.dtype.kind not in "uif":
        raise ValueError(f"the wavelet transform takes real numbers, not {plane.dtype}")
    _check_levels(levels)


def _check_levels(levels):
    if isinstance(levels, bool) or not isinstance(levels, (int, np.integer)) or not 0 <= levels <= MAX_LEVELS:
        raise ValueError(f"the number of wavelet levels must be an integer from 0 to {MAX_LEVELS}, not {levels!r}")


# --- one dimension: along the first axis, all columns at once --------------------------------------------------------


def _analyse_53(x):
    if len(x) == 1:
        return x
    s, d = x[0::2].copy(), x[1::2].copy()
    d -= _sum_around_odd(s, len(d)) >> 1
    s += (_sum_around_even(d, len(s)) + 2) >> 2
    return np.concatenate((s, d))


def _synthesise_53(y):
    if len(y) == 1:
        return y
    s, d = _halves(y)
    s -= (_sum_around_even(d, len(s)) + 2) >> 2
    d += _sum_around_odd(s, len(d)) >> 1
    return _interleave(s, d)


def _analyse_97(x):
    if len(x) == 1:
        return x
    s, d = x[0::2].copy(), x[1::2].copy()
    d += np.float32(ALPHA) * _sum_around_odd(s, len(d))
    s += np.float32(BETA) * _sum_around_even(d, len(s))
    d += np.float32(GAMMA) * _sum_around_odd(s, len(d))
    s += np.float32(DELTA) * _sum_around_even(d, len(s))
    return np.concatenate((s * np.float32(_LOW_GAIN), d * np.float32(_HIGH_GAIN)))


def _synthesise_97(y):
    if len(y) == 1:
        return y
    s, d = _halves(y)
    s *= np.float32(1 / _LOW_GAIN)
    d *= np.float32(1 / _HIGH_GAIN)
    s -= np.float32(DELTA) * _sum_around_even(d, len(s))
    d -= np.float32(GAMMA) * _sum_around_odd(s, len(d))
    s -= np.float32(BETA) * _sum_around_even(d, len(s))
    d -= np.float32(ALPHA) * _sum_around_odd(s, len(d))
    return _interleave(s, d)


def _sum_around_odd(s, count):
    """s[n] + s[n+1] for each odd sample; past an odd sample at the end the mirror holds the even one before it."""
    return s[:count] + np.concatenate((s[1:], s[-1:]))[:count]


def _sum_around_even(d, count):
    """d[n-1] + d[n] for each even sample; the mirror holds d[0] before the first, d[-1] after the last."""
    return np.concatenate((d[:1], d))[:count] + np.concatenate((d, d[-1:]))[:count]


def _halves(y):
    middle = (len(y) + 1) // 2
    return y[:middle].copy(), y[middle:].copy()


def _interleave(s, d):
    x = np.empty((len(s) + len(d), *s.shape[1:]), s.dtype)
    x[0::2], x[1::2] = s, d
    return x
