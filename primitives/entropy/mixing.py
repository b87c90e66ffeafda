"""Context mixing: one probability for a bit out of several models' opinions. The engine that six coders share.

Every *context* (the neighbour above, the coefficient's index …) keeps a table of probabilities and predicts the next
bit on its own; which of them is right changes from place to place. *Logistic mixing* weighs them in the logistic
domain, where certainty adds up::

    stretch(p) = ln(p / (1 - p))            squash(x) = 1 / (1 + e^-x)        each other's inverse
    p = squash(Σ w[i] · stretch(p[i]))

and after the bit is known every weight moves down the gradient of its coding cost, which is a product of numbers that
are already there::

    w[i] += rate · stretch(p[i]) · (bit - p)

A *counter* holds the probability of one context: after each bit it moves towards that bit by 1/(n + 1.5) of the way,
where n counts the bits it has seen, up to a limit: an average at first, exponential forgetting later. It is a signed
number, probability - 1/2 (22 bits) with n (10 bits) below it. So 0 is a counter that has seen nothing, and a table of
zeros, which costs no memory until it is used, is ready to learn.

**A coder configures the engine** in three steps.

1. `predictor` compiles `decide`: contexts in, bit out. Its arguments say how many contexts there are, how many
   mixers share in each decision, and whether an adaptive map refines the result.
2. `new_model` makes the tables: counters, weights, maps.
3. For each value, the coder gives each context a number (a named tuple, whose fields say what each context looks at),
   and `look` turns them into addresses. Then it codes the value's decisions, which are told apart by their *node*: a
   small number that is added to all addresses and to all sets of weights.

The same functions encode and decode, so both sides cannot disagree about a context. `binary_coder.bits_so_far` meters
what a value took.

**One decision** (`decide`), with contexts c, mixers s and the node k::

    input[c]  = stretch(counter[c, at[c] + k])          or an opinion that the coder has put there (`told`)
    dot[s]    = clip(Σ_c weight[set[s] + k, c] · input[c] >> 16)
    p         = squash(⌊Σ_s share[s] · dot[s] / Σ share⌋)
    refined:  p = (p + 3 · map[set[0] + k](the same sum)) / 4
    code the bit with p; each mixer learns from its own error, each counter from the bit

An *adaptive probability map* keeps, for 24 points along the logistic domain, what came of such sums, and interpolates.

**Values to decisions** (*binarization*). `unary_coder` counts up, a node for each step. `tree_coder` codes the bits of
a number from the top, a node for each prefix. `gamma_coder` codes what may be large in Elias-gamma: the number of bits
counted up, then the bits with probability 1/2.

Everything is integers, tables included: they are computed with `decimal`, whose results are the same on every machine
(a C library's `exp` is not), so a decoder elsewhere finds the same probabilities to the last bit. Units: probabilities
2^-16; the logistic domain 1/256, from -11 to 11; weights 2^-16.

Sources: M. Mahoney, "Adaptive Weighing of Context Models for Lossless Data Compression", Florida Tech TR CS-2005-16;
"Data Compression Explained", sections 4.1.1, 4.3.2 and 4.3.3 (adaptive probability maps).
"""

from decimal import Decimal, localcontext
from typing import NamedTuple

import numpy as np

from ..compiled import njit
from .binary_coder import code_bit

#: Decorator of compiled functions that are handed arrays and make none: nothing counts references to arrays inside,
#: which would take longer than mixing. A function that makes or returns an array with it does not compile.
leaf = njit(_nrt=False)

#: The logistic domain is -LIMIT … LIMIT, in units of 1/256.
LIMIT = 11 * 256

#: Step of the weights' descent, in units of 2^-18 · 2^16; measured on quantized DCT coefficients of photographs.
LEARNING_RATE = 12

_COUNT_BITS = 10

#: The part of a counter that says how many bits it has seen.
COUNT_MASK = (1 << _COUNT_BITS) - 1

#: Bits that a counter averages over, unless a coder says otherwise.
COUNTER_LIMIT = 255

#: The probability 1/2.
HALF = 1 << 15

_MAP_POINTS = 24


def _squash_table(bits):
    """squash(x) in units of 2^-bits for x = -LIMIT … LIMIT."""
    with localcontext() as context:
        context.prec = 40
        step = (Decimal(1) / 256).exp()
        odds = (Decimal(-LIMIT) / 256).exp()
        table = []
        for _ in range(2 * LIMIT + 1):
            table.append(int((2**bits * odds / (1 + odds)).to_integral_value()))
            odds *= step
    return np.array(table, np.int64)


#: squash(x) in units of 2^-16 at index x + LIMIT, between 1 and 2^16 - 1.
SQUASH = np.clip(_squash_table(16), 1, 65535).astype(np.int32)

#: stretch(p) for probabilities p in units of 2^-12, at the middle of each unit.
STRETCH = (np.searchsorted(_squash_table(40), (2 * np.arange(4096) + 1) << 27) - LIMIT).astype(np.int32)

#: 1/(n + 1.5) in units of 2^-16.
_RATE = np.array([(2 << 16) // (2 * n + 3) for n in range(COUNT_MASK + 1)], np.int64)

#: Level 0 … 15 of a magnitude: exact to 3, then two levels an octave.
LEVEL = np.array([v if v < 4 else min(15, (v * v).bit_length() - 1) for v in range(256)], np.int64)


@njit(cache=True, forceinline=True)
def counter_probability(counter):
    """The probability of a 1, in units of 2^-12."""
    return (counter >> 20) + 2048


@njit(cache=True, forceinline=True)
def counter_update(counter, bit, limit):
    """The counter after a bit; `limit` ≤ 1023 says how many bits it averages over."""
    count = counter & COUNT_MASK
    probability = counter >> _COUNT_BITS
    target = (1 << 21) - 1 if bit else -(1 << 21)
    probability += (target - probability) * _RATE[count] >> 16
    return probability << _COUNT_BITS | min(count + 1, limit)


class Model(NamedTuple):
    """What a predictor has learned, and where it looks at the moment.

    Attributes:
        counters: int32 [contexts, addresses], a table for each context.
        weights: int32 [sets, inputs], those of all mixers.
        maps: int32 [sets, 24], probabilities of the adaptive maps in units of 2^-16; empty without.
        at: int64 [contexts], addresses of the counters, to which a decision's node is added.
        sets: int64 [mixers], the sets of weights, likewise.
        inputs: int64 [inputs]: first the opinions that the coder tells, then one for each context.
        dots: int64 [mixers], what each mixer says.
    """

    counters: np.ndarray
    weights: np.ndarray
    maps: np.ndarray
    at: np.ndarray
    sets: np.ndarray
    inputs: np.ndarray
    dots: np.ndarray


def new_model(counters: np.ndarray, weights: np.ndarray, mixers: int, refined: int = 0) -> Model:
    """A model of given counters [contexts, …] and weights [sets, inputs].

    Args:
        counters, weights: int32; what they have learned stays in these arrays.
        mixers: how many sets of weights share in a decision.
        refined: number of adaptive maps, which begin as the identity.

    >>> new_model(np.zeros((2, 8), np.int32), np.full((4, 2), 1 << 15, np.int32), mixers=1).inputs
    array([0, 0])
    """
    points = SQUASH[np.minimum(np.arange(_MAP_POINTS) * 256, 2 * LIMIT)]
    contexts, inputs = len(counters), weights.shape[-1]
    return Model(
        counters.reshape(contexts, -1),
        weights.reshape(-1, inputs),
        np.tile(points.astype(np.int32), (refined, 1)),
        *(np.zeros(n, np.int64) for n in (contexts, mixers, inputs, mixers)),
    )


def predictor(
    contexts: int, told: int = 0, shares: tuple[int, ...] = (1, 1), limit: int = COUNTER_LIMIT, refined=False
):
    """Compile ``decide(bit, node, model, stream)``, which codes one decision, learns from it and returns it.

    Args:
        contexts: number of contexts.
        told: number of inputs that the coder sets itself, in the logistic domain, before it asks (see `tell`).
        shares: the weight of each mixer in the decision.
        limit: bits that a counter averages over.
        refined: whether adaptive maps, chosen as the first mixer's set is, refine the probability.

    ``stream`` is (the binary coder's registers, its bytes, whether it decodes); the bit is ignored when it does.
    """
    mixers, whole, inputs_in_all = len(shares), sum(shares), told + contexts
    shift = whole.bit_length() - 1

    @leaf
    def decide(bit, node, model, stream):
        counters, weights, maps, at, sets, inputs, dots = model
        coder, data, decoding = stream
        for c in range(contexts):
            inputs[told + c] = STRETCH[counter_probability(counters[c, at[c] + node])]
        total = np.int64(0)
        for s in range(mixers):
            row, dot = sets[s] + node, np.int64(0)
            for i in range(inputs_in_all):
                dot += weights[row, i] * inputs[i]
            dots[s] = min(max(dot >> 16, -LIMIT), LIMIT)
            total += shares[s] * dots[s]
        mixed = total >> shift if whole == 1 << shift else total // whole
        probability = np.int64(SQUASH[mixed + LIMIT])
        if refined:
            probability = _refine(probability, mixed, maps, sets[0] + node)
        bit = code_bit(coder, data, probability, bit, decoding)
        target = 65535 * bit
        if refined:
            _learn_map(target, mixed, maps, sets[0] + node)
        for s in range(mixers):
            row, step = sets[s] + node, (target - SQUASH[dots[s] + LIMIT]) * LEARNING_RATE
            for i in range(inputs_in_all):
                weights[row, i] += (inputs[i] * step + (1 << 17)) >> 18
        for c in range(contexts):
            counters[c, at[c] + node] = counter_update(counters[c, at[c] + node], bit, limit)
        return bit

    return decide


@leaf
def _refine(probability, mixed, maps, row):
    """A probability and what came of such mixes, between two points of the map, as one to three."""
    point, part = (mixed + LIMIT) >> 8, (mixed + LIMIT) & 255
    seen = (maps[row, point] * (256 - part) + maps[row, point + 1] * part) >> 8
    return min(max((probability + 3 * seen) >> 2, 1), 65535)


@leaf
def _learn_map(target, mixed, maps, row):
    """Move the nearer point of the map."""
    nearer = (mixed + LIMIT + 128) >> 8
    maps[row, nearer] += (target - maps[row, nearer]) >> 6


@leaf
def look(model, first, stride, contexts):
    """Turn contexts, a named tuple of numbers, into addresses: ``first + stride · number``.

    Where there are fewer numbers than the model has contexts, the others stay.
    """
    c = 0
    for number in contexts:
        model.at[c] = first + stride * number
        c += 1


@leaf
def tell(model, probability):
    """Set the first input to an opinion of the coder's own, a probability in units of 2^-16."""
    model.inputs[0] = STRETCH[probability >> 4]


def unary_coder(decide):
    """Compile a coder of small numbers for a predictor."""

    @leaf
    def code_unary(number, least, most, last, model, stream):
        """Code a number that is `least` … `most` by counting up; nodes `least`, `least` + 1 … `last`, `last` …"""
        counted = least
        while counted < most and decide(np.int64(number > counted), min(counted, last), model, stream):
            counted += 1
        return counted

    return code_unary


def tree_coder(decide, last: int = 1 << 62):
    """Compile a coder of numbers with a fixed number of bits for a predictor; nodes from `last` on are one."""

    @leaf
    def code_tree(number, bits, model, stream):
        """Code a number from the top bit; the node is a 1 and the bits so far."""
        node = np.int64(1)
        for shift in range(bits - 1, -1, -1):
            node = 2 * node + decide(number >> shift & 1, min(node, last), model, stream)
        return node - (np.int64(1) << bits)

    return code_tree


def gamma_coder(decide):
    """Compile a coder of large numbers for a predictor."""

    @leaf
    def code_gamma(number, first, last, model, stream):
        """Code a number from 1 up to 2^34 in Elias-gamma, with nodes `first` … `last`; -1 if a decoder finds more."""
        coder, data, decoding = stream
        bits = np.int64(0)
        while decide(np.int64(number >> bits > 1), min(first + bits, last), model, stream):
            bits += 1
            if bits > 33:
                return np.int64(-1)
        found = np.int64(1)
        for shift in range(bits - 1, -1, -1):
            found = 2 * found + code_bit(coder, data, HALF, number >> shift & 1, decoding)
        return found

    return code_gamma


@leaf
def level(magnitude):
    """Level 0 … 15 of a magnitude (`LEVEL`)."""
    return LEVEL[magnitude] if magnitude < LEVEL.size else np.int64(15)


@leaf
def size(value):
    """The magnitude of a value."""
    return abs(np.int64(value))


@leaf
def signed(value, most):
    """0 … 2·most for -most … most."""
    return min(max(np.int64(value), -most), most) + most


@leaf
def sign(value):
    """0, 1, 2 for a value that is negative, zero, positive."""
    return np.int64(1) + (value > 0) - (value < 0)


@leaf
def foresee(left, above, corner):
    """A value's prediction by LOCO-I: the median of left, above and left + above - corner."""
    left, above = np.int64(left), np.int64(above)
    return max(min(left, above), min(max(left, above), left + above - corner))
