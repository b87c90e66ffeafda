"""The symbols of predicted frames as bytes: context mixing that goes on from frame to frame.

The coder is that of `LatentMixed` (`primitives.entropy.latent_mixing`), with three temporal contexts more: what the
frame before had at the same position. A symbol's table is the opinion of `dvc`'s channel, or of `dcvc`'s prior. What
contexts and mixers have learned stays from one frame to the next within a group; a group begins with what the weight
file says.
"""

import numpy as np

from ...primitives.entropy.latent_mixing import Experience, MixingDecoder, MixingEncoder, Statistics, of_tables
from .exact import ExactDecoder


class SymbolCoder:
    """Encoder or decoder of the symbols of a group's predicted frames, one after the other.

    Args:
        decoder: has the tables.
        experience: what the group begins with, if any.

    Attributes:
        spent: the bits of each symbol of the last frame, float64 [R,C,M], if they were measured.
    """

    def __init__(self, decoder: ExactDecoder, experience: Experience | None):
        self.decoder, self.past, self.spent = decoder, None, None
        self.statistics = Statistics(decoder.base.shape[1], experience, temporal=True)

    def encode(self, symbols: np.ndarray, indices: np.ndarray, level: int, measured: bool = False) -> bytes:
        """The stream of a frame's symbols.

        Args:
            symbols: int32 [R,C,M].
            indices: the table of each, likewise.
            level: the gain level, which decides the order of channels.
            measured: whether to keep `spent`.
        """
        encoder = MixingEncoder([symbols.shape], measured, statistics=[self.statistics])
        where, distributions, order = self._ways(indices, level)
        encoder.put(0, where, symbols.reshape(-1, symbols.shape[2]), distributions, order, past=self.past)
        self.past, self.spent = symbols, encoder.spent[0] if measured else None
        return encoder.getvalue()

    def decode(self, data: bytes, indices: np.ndarray, level: int) -> np.ndarray:
        """The symbols of a stream: the inverse of `encode`.

        Raises:
            StreamError: it is cut or damaged.
        """
        decoder = MixingDecoder(data, [indices.shape], statistics=[self.statistics])
        where, distributions, order = self._ways(indices, level)
        self.past = decoder.get(0, where, distributions, order, past=self.past).reshape(indices.shape)
        decoder.finish()
        return self.past

    def _ways(self, indices, level):
        rows, columns, channels = indices.shape
        where = tuple(np.indices((rows, columns)).reshape(2, -1))
        order = np.argsort(-self.decoder.base[level], kind="stable")
        return where, of_tables(indices.reshape(-1, channels), self.decoder.tables), order
