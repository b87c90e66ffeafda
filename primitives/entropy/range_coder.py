"""A range coder to read: near-optimal coding of symbols with known probabilities, first in, first out.

The whole message is one number: a point in an interval that every symbol narrows. A model gives each symbol a share of
2^24: it occupies ``start … start + frequency`` and has the probability frequency / 2^24. Coding a symbol keeps that
part of the current interval [lower, lower + range)::

    scale = range >> 24
    lower = lower + scale · start
    range = scale · frequency

so after the message the interval is as wide as the product of all probabilities, and a number inside it takes
-log2 of that product in bits: the entropy, up to rounding.

The interval lives in 64-bit integers. As soon as range < 2^32, its top 32 bits hardly change any more: they are written
as a *word*, and both numbers move up by 32 bits. "Hardly", because the interval may straddle a multiple of 2^64: then a
later symbol can still add a *carry* to the words already out. Python's integers make the carry easy to see: here it is
added to the words that are written (a coder in hardware holds them back instead). The decoder follows the same
intervals and asks in which symbol's part the point lies.

Invariants: range ≥ 2^32 between symbols; the decoder's point - lower < range.

Source: G. N. N. Martin, "Range encoding: an algorithm for removing redundancy from a digitised message", 1979. The
layout of words, the 24 bits and the way of ending are those of the `constriction` library's default `RangeEncoder`
(R. Bamler, "Understanding Entropy Coding With Asymmetric Numeral Systems", 2022), so that the two read each other's
words; the codecs use `constriction`, which is faster by orders of magnitude.
"""

import numpy as np

from ..errors import StreamError
from .models import PRECISION

_WORD = 1 << 32
_STATE = 1 << 64


class RangeEncoder:
    """Collect symbols into 32-bit words.

    >>> from codeckit.primitives.entropy.models import StaticModel
    >>> model = StaticModel.from_counts([2, 1, 1])
    >>> encoder = RangeEncoder()
    >>> for symbol in [0, 2, 1, 0]:
    ...     encoder.encode(symbol, model)
    >>> encoder.words()
    array([1879048192], dtype=uint32)
    """

    def __init__(self):
        self._lower = 0
        self._range = _STATE - 1
        self._words = []

    def encode(self, symbol: int, model) -> None:
        """Append one symbol, with ``start, frequency = model.interval(symbol)``."""
        start, frequency = model.interval(symbol)
        scale = self._range >> PRECISION
        self._lower += scale * start
        self._range = scale * frequency
        if self._lower >= _STATE:
            self._lower -= _STATE
            _carry(self._words)
        if self._range < _WORD:
            self._words.append(self._lower >> 32)
            self._lower = (self._lower << 32) % _STATE
            self._range <<= 32

    def words(self) -> np.ndarray:
        """The message as uint32 words; the encoder can go on after it.

        The last word or two name a point that stays inside the interval whatever words may follow.
        """
        if self._range == _STATE - 1:  # nothing was encoded
            return np.zeros(0, np.uint32)
        words = list(self._words)
        point = self._lower + _WORD - 1
        if point >= _STATE:
            _carry(words)
        last = (point >> 32) % _WORD
        words.append(last)
        if ((self._lower + self._range) >> 32) % _WORD == last:
            words.append(0)
        return np.array(words, np.uint32)


def _carry(words):
    """Add 1 to the number that the words form."""
    at = len(words) - 1
    while words[at] == _WORD - 1:
        words[at] = 0
        at -= 1
    words[at] += 1


class RangeDecoder:
    """The inverse of `RangeEncoder`: symbols come out in the order in which they went in.

    Behind the last word it reads zeros, as an encoder ends its message in a way that makes any continuation right.

    >>> from codeckit.primitives.entropy.models import StaticModel
    >>> model = StaticModel.from_counts([2, 1, 1])
    >>> decoder = RangeDecoder([1879048192])
    >>> [decoder.decode(model) for _ in range(4)]
    [0, 2, 1, 0]
    """

    def __init__(self, words):
        self._words = iter([int(word) for word in words])
        self._lower = 0
        self._range = _STATE - 1
        self._point = next(self._words, 0) << 32 | next(self._words, 0)

    def decode(self, model) -> int:
        """The next symbol; the model is the one that encoded it.

        Raises:
            StreamError: the words cannot come from an encoder.
        """
        scale = self._range >> PRECISION
        quantile = (self._point - self._lower) % _STATE // scale
        if quantile >> PRECISION:
            raise StreamError("the range coder's data are damaged: they point outside of every symbol's interval")
        symbol = model.symbol_at(quantile)
        start, frequency = model.interval(symbol)
        self._lower = (self._lower + scale * start) % _STATE
        self._range = scale * frequency
        if self._range < _WORD:
            self._lower = (self._lower << 32) % _STATE
            self._range <<= 32
            self._point = (self._point << 32) % _STATE | next(self._words, 0)
        return symbol
