"""The binary arithmetic coder, logistic mixing and counters: docs/format/arithmetic.md."""

from bisect import bisect_left
from decimal import Decimal, localcontext

from .container import DamagedStream, check

LIMIT = 2816
HALF = 32768


def _sigmoid(bits):
    with localcontext() as context:
        context.prec = 40
        powers = [(Decimal(-x) / 256).exp() for x in range(-LIMIT, LIMIT + 1)]
        return [round(2**bits / (1 + power)) for power in powers]


def _tables():
    squash = [min(max(value, 1), 65535) for value in _sigmoid(16)]
    fine = _sigmoid(40)
    stretch = [bisect_left(fine, (2 * p + 1) << 27) - LIMIT for p in range(4096)]
    return {x: squash[x + LIMIT] for x in range(-LIMIT, LIMIT + 1)}, stretch


SQUASH, STRETCH = _tables()


class Decoder:
    """Decisions of a binary arithmetic code."""

    def __init__(self, data: bytes):
        self.data, self.position, self.range = data, 4, 1 << 32
        self.code = int.from_bytes(data[:4].ljust(4, b"\0"), "big")

    def decide(self, probability: int) -> int:
        bound = (self.range >> 16) * probability
        bit = int(self.code < bound)
        if bit:
            self.range = bound
        else:
            self.code -= bound
            self.range -= bound
        while self.range < 1 << 24:
            byte = self.data[self.position] if self.position < len(self.data) else 0
            self.code, self.range = self.code << 8 | byte, self.range << 8
            self.position += 1
            if self.position > len(self.data) + 3:
                raise DamagedStream("the arithmetic code is cut or damaged")
        return bit

    def plain(self, bits: int) -> int:
        """A number of plain bits."""
        number = 0
        for _ in range(bits):
            number = 2 * number + self.decide(HALF)
        return number

    def finish(self) -> None:
        check(self.position == len(self.data) + 3, "the arithmetic code is longer than its contents")


class Made(dict):
    """Counters or weight sets by key, made as they are needed."""

    def __init__(self, first):
        super().__init__()
        self.first = first  # a list, or a function of the key that gives one

    def __missing__(self, key):
        self[key] = list(self.first(key) if callable(self.first) else self.first)
        return self[key]


#: A counter is a list [value, count].
NEW_COUNTER = [0, 0]


def update(counter, bit: int, limit: int) -> None:
    value, count = counter
    target = (1 << 21) - 1 if bit else -(1 << 21)
    counter[0] = value + ((target - value) * (131072 // (2 * count + 3)) >> 16)
    counter[1] = min(count + 1, limit)


def p12(counter) -> int:
    return (counter[0] >> 10) + 2048


def p16(counter) -> int:
    return (counter[0] >> 6) + 32768


def dot(weights, inputs) -> int:
    return min(max(sum(w * x for w, x in zip(weights, inputs, strict=True)) >> 16, -LIMIT), LIMIT)


def learn(weights, inputs, error: int) -> None:
    for m, x in enumerate(inputs):
        weights[m] += (x * error * 12 + (1 << 17)) >> 18


def mixed_decision(decoder, contexts, weight_sets, combine, limit: int = 255, opinion=()) -> int:
    """One decision from the counters of its contexts and its weight sets.

    `combine` makes a probability of the mixers' results; `opinion` holds inputs besides those of the counters.
    """
    inputs = [*opinion, *(STRETCH[p12(counter)] for counter in contexts)]
    results = [dot(weights, inputs) for weights in weight_sets]
    bit = decoder.decide(combine(results))
    for weights, result in zip(weight_sets, results, strict=True):
        learn(weights, inputs, 65535 * bit - SQUASH[result])
    for counter in contexts:
        update(counter, bit, limit)
    return bit


def half_sum(results) -> int:
    """What two mixers say together."""
    return SQUASH[sum(results) >> 1]


def adaptive_decision(decoder, counter, limit: int) -> int:
    """One decision from one counter alone."""
    bit = decoder.decide(min(max(p16(counter), 32), 65503))
    update(counter, bit, limit)
    return bit


def level(v: int) -> int:
    return v if v < 4 else min(15, (v * v).bit_length() - 1) if v < 256 else 15


def sign(x: int) -> int:
    """0, 1, 2 for zero, positive, negative."""
    return 1 if x > 0 else 2 if x < 0 else 0
