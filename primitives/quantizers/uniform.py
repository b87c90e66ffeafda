"""Uniform quantization: round to the nearest multiple of one step.

The number line is cut into intervals of equal width Δ, the *step*, and a value becomes the number of its interval::

    q = round((x - offset) / Δ)         x̂ = q·Δ + offset         |x - x̂| ≤ Δ/2

The quantizer is *mid-tread*: zero (or `offset`) is itself a reconstruction value, in the middle of interval 0, so that
small noise around it vanishes. At high rate the error is nearly uniform in its interval and its mean square Δ²/12
(Gray and Neuhoff, "Quantization", IEEE Trans. Information Theory 44(6), 1998, section II). Learned codecs are trained
for Δ = 1: they round their latents, and `offset` is where a latent's distribution has its centre.
"""

from dataclasses import dataclass

import numpy as np

from ..picture import Picture
from ..stage import Stage

#: Symbols reach from -2²² to 2²²: up to there float32 holds reconstruction values to an eighth of a step or better.
MAX_SYMBOL = 1 << 22


def quantize_uniform(x: np.ndarray, step: float, offset: float = 0) -> np.ndarray:
    """int32 symbols of the real values `x`, any shape.

    Raises:
        ValueError: `step` is not a positive number, or a symbol lies outside ±2²² (or is not a number).

    >>> quantize_uniform(np.array([-2.6, -0.4, 0.4, 2.6]), step=1)
    array([-3,  0,  0,  3], dtype=int32)
    """
    check_step(step)
    return to_symbols(np.rint((np.asarray(x, np.float64) - offset) / step))


def dequantize_uniform(symbols: np.ndarray, step: float, offset: float = 0) -> np.ndarray:
    """float32 values in the middle of the symbols' intervals, any shape.

    Raises:
        ValueError: `step` is not a positive number.

    >>> dequantize_uniform(np.array([-3, 0, 3]), step=0.5)
    array([-1.5,  0. ,  1.5], dtype=float32)
    """
    check_step(step)
    return (np.asarray(symbols, np.float64) * step + offset).astype(np.float32)


@dataclass(frozen=True)
class Uniform(Stage):
    """Uniform quantization of every plane: real values to int32 symbols of the same shape, and back to float32.

    Attributes:
        step: width Δ of an interval, in the unit of the values.
        offset: the value that symbol 0 stands for.

    >>> picture = Picture((np.array([[0.2, 7.9]]),), size=(1, 2))
    >>> stage = Uniform(step=2)
    >>> stage.inverse(stage.forward(picture)).planes[0]
    array([[0., 8.]], dtype=float32)
    """

    step: float = 1.0
    offset: float = 0.0

    def __post_init__(self):
        check_step(self.step)
        if not np.isfinite(self.offset):
            raise ValueError(f"the offset must be a finite number, not {self.offset!r}")

    def forward(self, picture: Picture) -> Picture:
        """Planes of real values to planes of symbols; raises as `quantize_uniform` does."""
        return picture.map(lambda plane: quantize_uniform(plane, self.step, self.offset))

    def inverse(self, picture: Picture) -> Picture:
        """Planes of symbols to planes of float32 values."""
        return picture.map(lambda plane: dequantize_uniform(plane, self.step, self.offset))


def check_step(step: float) -> None:
    """Refuse a step that is no positive number within float32.

    >>> check_step(0)
    Traceback (most recent call last):
    ...
    ValueError: a quantization step must be a number from 1e-30 to 1e30, not 0
    """
    if isinstance(step, (bool, str)) or not np.isscalar(step) or not 1e-30 <= step <= 1e30:
        raise ValueError(f"a quantization step must be a number from 1e-30 to 1e30, not {step!r}")


def to_symbols(values: np.ndarray) -> np.ndarray:
    """Whole numbers in a float array as int32.

    Raises:
        ValueError: a number outside ±2²², or none at all.

    >>> to_symbols(np.array([1e9]))
    Traceback (most recent call last):
    ...
    ValueError: values up to 1e+09 steps; symbols must be finite and within ±4194304, so use a larger step
    """
    if values.size and not np.abs(values).max() <= MAX_SYMBOL:
        largest = np.abs(values).max()
        raise ValueError(
            f"values up to {largest:.4g} steps; symbols must be finite and within ±{MAX_SYMBOL}, so use a larger step"
        )
    return values.astype(np.int32)


def check_reconstruction(reconstruction: float) -> None:
    """Refuse a reconstruction point that is not well inside its interval.

    >>> check_reconstruction(1)
    Traceback (most recent call last):
    ...
    ValueError: the reconstruction point must lie in 0.05 … 0.95, not 1
    """
    if isinstance(reconstruction, str) or not np.isscalar(reconstruction) or not 0.05 <= reconstruction <= 0.95:
        raise ValueError(f"the reconstruction point must lie in 0.05 … 0.95, not {reconstruction!r}")
