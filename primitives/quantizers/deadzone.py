"""Dead-zone quantization, the scalar quantizer of JPEG 2000 (ITU-T T.800 Annex E).

Magnitudes are cut off instead of rounded, so the interval of zero, the *dead zone*, is (-Δ, Δ): twice as wide as all
others::

    q = sign(x) · ⌊|x| / Δ⌋                                  (encoders)
    x̂ = sign(q) · (|q| + r) · Δ,  x̂ = 0 where q = 0          (decoders choose r, 0 ≤ r < 1)

Transform coefficients pile up around zero (they are close to Laplacian), so the wide zero interval saves many symbols
that would cost bits and mend little. The reconstruction point r lies where the mean of the interval's values does: 0.5
where they are spread evenly, less where they fall off steeply. The error is at most max(r, 1-r)·Δ, and Δ in the dead
zone.

Cutting off is what makes the quantizer *embedded*: ⌊⌊|x|/Δ⌋ / 2⌋ = ⌊|x| / 2Δ⌋, so dropping the lowest bit of all
magnitudes gives exactly the quantizer of twice the step.
"""

from dataclasses import dataclass

import numpy as np

from ..picture import Picture
from ..stage import Stage
from ..wavelet import Wavelet
from .regions import RegionDeadZone, levels_of, written
from .uniform import check_reconstruction, check_step, to_symbols


def quantize_deadzone(x: np.ndarray, step: float) -> np.ndarray:
    """int32 symbols of the real values `x`, any shape.

    Raises:
        ValueError: `step` is not a positive number, or a symbol lies outside ±2²² (or is not a number).

    >>> quantize_deadzone(np.array([-2.6, -0.9, 0.9, 2.6]), step=1)
    array([-2,  0,  0,  2], dtype=int32)
    """
    check_step(step)
    return to_symbols(np.trunc(np.asarray(x, np.float64) / step))


def dequantize_deadzone(symbols: np.ndarray, step: float, reconstruction: float = 0.5) -> np.ndarray:
    """float32 values inside the symbols' intervals, any shape.

    Raises:
        ValueError: `step` is not a positive number, or `reconstruction` lies outside 0.05 … 0.95.

    >>> dequantize_deadzone(np.array([-2, 0, 2]), step=1)
    array([-2.5,  0. ,  2.5], dtype=float32)
    """
    check_step(step)
    check_reconstruction(reconstruction)
    symbols = np.asarray(symbols)
    return ((symbols + np.sign(symbols) * float(reconstruction)) * step).astype(np.float32)


@dataclass(frozen=True)
class DeadZone(Stage):
    """Dead-zone quantization of every plane: real values to int32 symbols of the same shape, and back to float32.

    Attributes:
        step: width Δ of an interval, in the unit of the values; the zero interval is twice as wide.
        reconstruction: r, where in its interval a value is restored, 0.05 … 0.95 of the way from zero's side.
            (On the very edge of an interval rounding would decide to which of two a value belongs.)

    >>> picture = Picture((np.array([[1.9, -7.0]]),), size=(1, 2))
    >>> stage = DeadZone(step=2)
    >>> stage.inverse(stage.forward(picture)).planes[0]
    array([[ 0., -7.]], dtype=float32)
    """

    step: float = 1.0
    reconstruction: float = 0.5

    def __post_init__(self):
        check_step(self.step)
        check_reconstruction(self.reconstruction)

    def weighed(self, octaves: np.ndarray, stages) -> "Stage | None":
        """Behind a wavelet, the quantizer with a step for each place; see `Stage.weighed`."""
        wavelet = next((stage for stage in stages.values() if isinstance(stage, Wavelet)), None)
        if wavelet is None:
            return None
        return RegionDeadZone(self.step, self.reconstruction, wavelet.levels, written(levels_of(octaves)))

    def forward(self, picture: Picture) -> Picture:
        """Planes of real values to planes of symbols; raises as `quantize_deadzone` does."""
        return picture.map(lambda plane: quantize_deadzone(plane, self.step))

    def inverse(self, picture: Picture) -> Picture:
        """Planes of symbols to planes of float32 values."""
        return picture.map(lambda plane: dequantize_deadzone(plane, self.step, self.reconstruction))
