"""Embedded quantization: symbols as bit planes, so that every prefix of a stream is a coarser picture.

A dead-zone quantizer (`codeckit.primitives.quantizers.deadzone`) cuts magnitudes off, and cutting off nests: written in
binary, the magnitude ⌊|x|/Δ⌋ without its lowest k bits *is* the magnitude ⌊|x|/(2^k·Δ)⌋. So the bits can be sent
plane after plane, the most significant one of all coefficients first, and a receiver that stops after any plane holds
exactly the dead-zone quantizer of the coarser step. This is *successive approximation*, the idea of EZW (Shapiro, IEEE
Trans. Signal Processing 41(12), 1993) and SPIHT (Said and Pearlman, IEEE Trans. CSVT 6(3), 1996), and of the bit-plane
coder of JPEG 2000 (ITU-T T.800 Annex D).

A coefficient's sign is worth nothing until its first 1 bit, its *significance*, has come. So here a plane is made of
*digits*: 0 or ±1 where a coefficient is not yet significant (the 1 that makes it so carries the sign), 0 or 1
afterwards (*refinement*). Symbol -5 in four planes is ``0 -1 0 1``. Nothing is said twice, and every prefix is
readable.
"""

from dataclasses import dataclass

import numpy as np

from ..errors import StreamError
from ..picture import Picture
from ..stage import Stage
from .deadzone import check_reconstruction, dequantize_deadzone, quantize_deadzone
from .uniform import check_step


def split_planes(symbols: np.ndarray, bits: int) -> np.ndarray:
    """Bit planes of integer `symbols` [...]: int8 digits [..., bits], the most significant plane first.

    Raises:
        ValueError: a magnitude does not fit in `bits` bits.

    >>> split_planes(np.array([-5, 0, 3]), bits=4)
    array([[ 0, -1,  0,  1],
           [ 0,  0,  0,  0],
           [ 0,  0,  1,  1]], dtype=int8)
    """
    symbols = np.asarray(symbols)
    magnitudes = np.abs(symbols.astype(np.int64))
    if magnitudes.size and magnitudes.max() >> bits:
        raise ValueError(
            f"symbols up to ±{magnitudes.max()} do not fit in {bits} bit planes; use more or a larger step"
        )
    shifts = np.arange(bits - 1, -1, -1)
    prefixes = magnitudes[..., None] >> shifts  # the magnitude as known after each plane
    digits = (prefixes & 1).astype(np.int8)
    digits[(prefixes == 1) & (symbols < 0)[..., None]] = -1  # prefix 1: this plane's digit is the first 1
    return digits


def join_planes(digits: np.ndarray) -> np.ndarray:
    """The inverse of `split_planes`: int32 symbols [...] of digits [..., bits].

    Of a prefix of the planes, ``join_planes(digits[..., :k])``, it gives the symbols of the coarser quantizer.

    Raises:
        StreamError: a digit that no symbol has: other than -1, 0 or 1, or -1 after the sign is known.

    >>> join_planes(np.array([[0, -1, 0, 1], [0, 0, 1, 1]]))
    array([-5,  3], dtype=int32)
    """
    digits = np.asarray(digits)
    symbols = np.zeros(digits.shape[:-1], np.int32)
    for plane in np.moveaxis(digits, -1, 0):
        if np.any((plane < -1) | (plane > 1) | ((plane < 0) & (symbols != 0))):
            raise StreamError("the bit planes hold a digit that is none, or a second sign of the same coefficient")
        symbols = 2 * symbols + np.where(symbols < 0, -plane, plane).astype(np.int32)
    return symbols


@dataclass(frozen=True)
class Embedded(Stage):
    """Dead-zone quantization of every plane into bit planes: real values [...] to int8 digits [..., bits], and back.

    ``inverse`` takes any number of leading planes, ``digits[..., :k]``: with fewer it is the dead-zone quantizer of the
    step 2^(bits-k)·Δ, and the whole range of qualities is in one array.

    Attributes:
        step: the finest step Δ, in the unit of the values.
        bits: number of bit planes, 1 … 16; magnitudes up to (2^bits - 1)·Δ fit.
        reconstruction: where in its interval a value is restored, as in `DeadZone`.

    >>> picture = Picture((np.array([[10.7, -3.2]]),), size=(1, 2))
    >>> stage = Embedded(step=1, bits=4)
    >>> coded = stage.forward(picture)
    >>> for k in 4, 3, 2, 1:
    ...     print(stage.inverse(coded.map(lambda digits: digits[..., :k])).planes[0])
    [[10.5 -3.5]]
    [[11. -3.]]
    [[10.  0.]]
    [[12.  0.]]
    """

    step: float = 1.0
    bits: int = 13
    reconstruction: float = 0.5

    def __post_init__(self):
        check_step(self.step)
        check_reconstruction(self.reconstruction)
        if isinstance(self.bits, bool) or not isinstance(self.bits, (int, np.integer)) or not 1 <= self.bits <= 16:
            raise ValueError(f"the number of bit planes must be an integer from 1 to 16, not {self.bits!r}")

    def forward(self, picture: Picture) -> Picture:
        """Planes of real values to planes of digits.

        Raises:
            ValueError: a value is too large for `bits` planes of this step.
        """
        return picture.map(lambda plane: split_planes(quantize_deadzone(plane, self.step), self.bits))

    def inverse(self, picture: Picture) -> Picture:
        """Planes of digits [..., k], k ≤ bits, to planes of float32 values.

        Raises:
            StreamError: digits that `forward` cannot have written.
        """
        return picture.map(self._values)

    def _values(self, digits):
        k = digits.shape[-1]
        if not 1 <= k <= self.bits:
            raise StreamError(f"{k} bit planes where there are 1 to {self.bits}")
        return dequantize_deadzone(join_planes(digits), self.step * 2.0 ** (self.bits - k), self.reconstruction)
