"""Mixing: one probability for a bit out of several models' opinions.

Every context (the neighbour above, the coefficient's index …) keeps a table of probabilities and predicts the next bit
on its own; which of them is right changes from place to place. *Logistic mixing* weighs them in the logistic domain,
where certainty adds up::

    stretch(p) = ln(p / (1 - p))            squash(x) = 1 / (1 + e^-x)        each other's inverse
    p = squash(Σ w[i] · stretch(p[i]))

and after the bit is known every weight moves down the gradient of its coding cost, which is a product of what stands
there anyway::

    w[i] += rate · stretch(p[i]) · (bit - p)

A *counter* holds the probability of one context: after each bit it moves towards that bit by 1/(n + 1.5) of the way,
where n counts the bits it has seen, up to a limit: an average at first, exponential forgetting later. It is a signed
number, probability - 1/2 (22 bits) beside n (10 bits), so that 0 is a counter that has seen nothing and a table of
zeros, which costs no memory until it is used, is ready to learn.

Everything is integers, tables included: they are computed with `decimal`, whose results are the same on every machine
(a C library's `exp` is not), so a decoder elsewhere finds the same probabilities to the last bit. Units: probabilities
2^-16; the logistic domain 1/256, from -11 to 11; weights 2^-16.

Source: M. Mahoney, "Adaptive Weighing of Context Models for Lossless Data Compression", Florida Tech TR CS-2005-16;
"Data Compression Explained", sections 4.1.1 and 4.3.2.
"""

from decimal import Decimal, localcontext

import numpy as np
from numba import njit

#: The logistic domain is -LIMIT … LIMIT, in units of 1/256.
LIMIT = 11 * 256

#: Step of the weights' descent, in units of 2^-18 · 2^16; measured on quantized DCT coefficients of photographs.
LEARNING_RATE = 12

_COUNT_BITS = 10

#: The part of a counter that says how many bits it has seen.
COUNT_MASK = (1 << _COUNT_BITS) - 1


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


@njit(cache=True)
def counter_probability(counter):
    """The probability of a 1, in units of 2^-12."""
    return (counter >> 20) + 2048


@njit(cache=True)
def counter_update(counter, bit, limit):
    """The counter after a bit; `limit` ≤ 1023 says how many bits it averages over."""
    count = counter & COUNT_MASK
    probability = counter >> _COUNT_BITS
    target = (1 << 21) - 1 if bit else -(1 << 21)
    probability += (target - probability) * _RATE[count] >> 16
    return probability << _COUNT_BITS | min(count + 1, limit)


@njit(cache=True)
def mix(inputs, weights):
    """Σ weight · input, both [M], within the logistic domain."""
    total = np.int64(0)
    for m in range(inputs.size):
        total += weights[m] * inputs[m]
    return min(max(total >> 16, -LIMIT), LIMIT)


@njit(cache=True)
def learn(weights, inputs, error):
    """Move the weights down the gradient; `error` is the bit less its probability, in units of 2^-16."""
    for m in range(inputs.size):
        weights[m] += (inputs[m] * error * LEARNING_RATE + (1 << 17)) >> 18
