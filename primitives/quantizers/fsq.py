"""Finite scalar quantization: a code book without a code book.

A token of D channels, D small, is bounded channel by channel and rounded to a few levels L_d; the code words are the
grid of all combinations, Π L_d of them, and none can die out, as learned code books' words do::

    bound(z) = half · tanh(z + shift) − offset        half = (L − 1)(1 + 10⁻³) / 2
    symbol   = round(bound(z)) + ⌊L/2⌋                in 0 … L − 1

For odd L, offset and shift are 0; for even L the offset is 1/2 and the shift makes bound(0) = 0. A network's decoder
reads the *codes*, (symbol − ⌊L/2⌋) / ⌊L/2⌋ in −1 … 1. While it is trained, the gradient passes the rounding as if it
were not there.

Source: F. Mentzer, D. Minnen, E. Agustsson, M. Tschannen, "Finite Scalar Quantization: VQ-VAE Made Simple", ICLR 2024,
section 3.1. Its levels for about 2^8, 2^10, 2^12, 2^14 and 2^16 words are `LEVELS`.
"""

from dataclasses import dataclass

import numpy as np

from ..errors import StreamError
from ..stage import Stage
from ..token_grid import Tokens

#: Levels for code books of 2^8 … 2^16 words.
LEVELS = {8: (8, 6, 5), 10: (8, 5, 5, 5), 12: (7, 5, 5, 5, 5), 14: (8, 8, 8, 6, 5), 16: (8, 8, 8, 5, 5, 5)}


@dataclass(frozen=True)
class FSQ(Stage):
    """Tokens [N,D] of real values to symbols [N,D], int32, and back.

    The inverse gives, of each interval, the value that is rounded to exactly its symbol.

    Attributes:
        levels: L_d, each from 2 to 256.

    >>> stage = FSQ((8, 5, 5, 5))
    >>> symbols = stage.forward(Tokens(np.array([[0.0, -9.0, 0.6, 9.0]]), (1, 1)))
    >>> symbols.features.tolist()
    [[4, 0, 3, 4]]
    >>> bool((stage.forward(stage.inverse(symbols)).features == symbols.features).all())
    True
    """

    levels: tuple[int, ...] = LEVELS[10]

    def __post_init__(self):
        whole = all(isinstance(level, int) and not isinstance(level, bool) for level in self.levels)
        if not self.levels or not whole or not all(2 <= level <= 256 for level in self.levels):
            raise ValueError(f"FSQ has one number of levels a channel, each from 2 to 256; not {self.levels!r}")

    def _constants(self):
        levels = np.array(self.levels, np.float64)
        half = (levels - 1) * (1 + 1e-3) / 2
        offset = np.where(levels % 2 == 0, 0.5, 0.0)
        return half, offset, np.arctanh(offset / half)

    def bound(self, z: np.ndarray) -> np.ndarray:
        """Values [...,D] squeezed to the range of the levels, not yet rounded."""
        half, offset, shift = self._constants()
        return half * np.tanh(np.asarray(z, np.float64) + shift) - offset

    def forward(self, tokens: Tokens) -> Tokens:
        """Return the symbols.

        Raises:
            ValueError: another number of channels, or values that are no numbers.
        """
        values = np.asarray(tokens.features)
        if values.ndim != 2 or values.shape[1] != len(self.levels) or np.isnan(values).any():
            raise ValueError(f"FSQ with {len(self.levels)} channels takes real tokens [N,{len(self.levels)}]")
        symbols = np.rint(self.bound(values)).astype(np.int32) + np.array(self.levels, np.int32) // 2
        return Tokens(symbols, tokens.grid, tokens.source, tokens.size)

    def inverse(self, tokens: Tokens) -> Tokens:
        """Return a value for each symbol, float32 [N,D].

        Raises:
            StreamError: symbols that are none.
        """
        symbols = self._checked(tokens.features)
        half, offset, shift = self._constants()
        values = np.arctanh((symbols - np.array(self.levels) // 2 + offset) / half) - shift
        return Tokens(values.astype(np.float32), tokens.grid, tokens.source, tokens.size)

    def codes(self, symbols: np.ndarray) -> np.ndarray:
        """What a network's decoder reads: float32 in −1 … 1.

        >>> FSQ((5, 5)).codes(np.array([[0, 2]])).tolist()
        [[-1.0, 0.0]]
        """
        half = np.array(self.levels) // 2
        return ((self._checked(symbols) - half) / half).astype(np.float32)

    def _checked(self, symbols):
        symbols = np.asarray(symbols)
        if symbols.shape[-1:] != (len(self.levels),) or symbols.dtype.kind not in "iu":
            raise StreamError(f"symbols of this FSQ are integers [N,{len(self.levels)}], not {list(symbols.shape)}")
        if np.any(symbols < 0) or np.any(symbols >= np.array(self.levels)):
            raise StreamError(f"symbols of this FSQ lie below the levels {self.levels}")
        return symbols
