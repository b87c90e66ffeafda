"""The symbols of predicted frames, coded by context mixing with what was learned from the frames before."""

import numpy as np

from ...primitives.entropy.latent_mixing import Experience, MixingDecoder, MixingEncoder, of_tables


class _Coder:
    """What encoder and decoder share: the statistics to begin with, and the order of channels."""

    def __init__(self, before, weights, level, past, shape, measured=False):
        self.weights, self.level, self.shape, self.past = weights, level, shape, past
        self.experience = before.learned if before else weights.experience(level)
        self.order = np.argsort(-weights.decoder.base[level], kind="stable")
        self.where = tuple(np.indices(shape[:2]).reshape(2, -1))
        self.measured = measured
        self.spent = None


class SymbolEncoder(_Coder):
    def encode(self, symbols, indices) -> bytes:
        encoder = MixingEncoder([self.shape], self.measured, self.experience)
        distributions = of_tables(indices.reshape(-1, self.shape[2]), self.weights.decoder.tables)
        encoder.put(0, self.where, symbols.reshape(-1, self.shape[2]), distributions, self.order)
        data = encoder.getvalue()
        self.learned = encoder.experience
        if self.measured:
            self.spent = encoder.spent[0]
        return data


class SymbolDecoder(_Coder):
    def decode(self, data, indices):
        decoder = MixingDecoder(data, [self.shape], self.experience)
        distributions = of_tables(indices.reshape(-1, self.shape[2]), self.weights.decoder.tables)
        symbols = decoder.get(0, self.where, distributions, self.order)
        decoder.finish()
        self.learned = [Experience(p.counters, p.weights) for p in decoder._planes]
        return symbols.reshape(self.shape)
