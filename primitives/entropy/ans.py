"""An rANS coder to read: near-optimal coding with a single number, last in, first out.

*Asymmetric numeral systems* store the message in one integer, the *state*. A model gives each symbol a share of 2^24:
``start … start + frequency``. Pushing a symbol is like appending a digit, only that a frequent symbol's digit takes
less room::

    push:  state' = (state // frequency) · 2^24 + start + state % frequency
    pop:   the low 24 bits of state' lie in exactly one symbol's share; with it
           state  = (state' // 2^24) · frequency + state' % 2^24 - start

The two undo each other exactly, and a push multiplies the state by about 2^24 / frequency, which adds
-log2(probability) bits: the entropy. As with digits, what was pushed last is popped first. An encoder therefore pushes
the message backwards, so that the decoder reads it forwards; a model that adapts must be run forwards first.

The state lives in 64 bits. Before a push would overflow it, its low 32 bits move to a stack of *words*
(`shrink_state`), and after a pop it takes back a word when it has become small (`expand_state`). Invariant:
2^32 ≤ state < 2^64, except while the stack is empty, so that encoder and decoder move their words at the same symbols.

Sources: J. Duda, "Asymmetric numeral systems: entropy coding combining speed of Huffman coding with compression rate
of arithmetic coding", arXiv:1311.2540, section 3. Word layout as in the `constriction` library's default `AnsCoder`
(R. Bamler, "Understanding Entropy Coding With Asymmetric Numeral Systems", 2022), so that the two read each other's
words; the codecs use `constriction`, which is faster by orders of magnitude.
"""

import numpy as np

from ..errors import StreamError
from .models import PRECISION

_WORD = 1 << 32


class AnsCoder:
    """A stack of symbols in 32-bit words: `push` encodes, `pop` decodes.

    >>> from codeckit.primitives.entropy.models import StaticModel
    >>> model = StaticModel.from_counts([2, 1, 1])
    >>> coder = AnsCoder()
    >>> for symbol in reversed([0, 2, 1, 0]):
    ...     coder.push(symbol, model)
    >>> coder.words()
    array([88080384], dtype=uint32)
    >>> coder = AnsCoder([88080384])
    >>> [coder.pop(model) for _ in range(4)]
    [0, 2, 1, 0]

    Raises:
        StreamError: the last word is 0, which no coder writes.
    """

    def __init__(self, words=()):
        self._words = [int(word) for word in words]
        self._state = 0
        if self._words and self._words[-1] == 0:
            raise StreamError("the ANS data are damaged: they end in a zero word")
        self._expand_state()

    def push(self, symbol: int, model) -> None:
        """Encode one symbol, with ``start, frequency = model.interval(symbol)``."""
        start, frequency = model.interval(symbol)
        self._shrink_state(frequency)
        self._state = (self._state // frequency << PRECISION) + start + self._state % frequency

    def pop(self, model) -> int:
        """Decode the symbol that was pushed last; the model is the one that encoded it.

        An empty coder goes on returning symbols, as every state is a legal one.
        """
        quantile = self._state % (1 << PRECISION)
        symbol = model.symbol_at(quantile)
        start, frequency = model.interval(symbol)
        self._state = (self._state >> PRECISION) * frequency + quantile - start
        self._expand_state()
        return symbol

    def words(self) -> np.ndarray:
        """The message as uint32 words, the top of the stack last."""
        state, words = self._state, list(self._words)
        while state:
            words.append(state % _WORD)
            state //= _WORD
        return np.array(words, np.uint32)

    def _shrink_state(self, frequency):
        """Make room for a symbol: its push must not bring the state to 2^64."""
        if self._state >= frequency << (64 - PRECISION):
            self._words.append(self._state % _WORD)
            self._state //= _WORD

    def _expand_state(self):
        """Take words back until the state is as large as the invariant asks."""
        while self._state < _WORD and self._words:
            self._state = self._state << 32 | self._words.pop()
