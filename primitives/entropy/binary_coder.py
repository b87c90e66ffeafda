"""A binary arithmetic coder: one decision at a time, each with its own probability.

Adaptive models code everything as yes/no decisions, as the probability of one bit is easy to learn and to mix. The
coder is a range coder with two symbols. `low` and `range` bound an interval; a decision with probability p of being 1
(in units of 2^-16) splits it::

    bound = (range >> 16) · p
    bit 1: keep the lower part        range = bound
    bit 0: keep the upper part        low = low + bound,  range = range - bound

As soon as range < 2^24, the top byte of `low` is written and both move up by a byte. If `low` passes 2^32 before, the
carry is added to the bytes already written. The decoder keeps ``code``, the stream's number less the encoder's `low`,
and compares it with `bound`.

The encoder ends with a single byte: the interval is wider than 2^24, so it holds a number whose lower three bytes are
zero, and the decoder reads zeros behind the end. A decoder of N bytes has therefore always read N + 3 when it is done
(`is_complete`); one that has read more is following damaged data and must stop.

Source: G. N. N. Martin, "Range encoding: an algorithm for removing redundancy from a digitised message", 1979; the
same split is used with other renormalisations in VP8 (RFC 6386, section 7) and LZMA.

The coder's registers are an int64 array, so that compiled functions can pass it on: `new_encoder` or `new_decoder`
makes it. Functions are compiled by numba; the caller keeps room for the encoder's bytes (`with_room`; 2 a decision are
enough).
"""

import numpy as np

from ..compiled import njit

#: Probabilities are 1 … 2^16 - 1 in units of 2^-16.
PROBABILITY_BITS = 16

#: Bytes that `with_room` keeps free unless it is told otherwise: enough for a block of DCT coefficients.
ROOM = 5000

# Registers.
LOW, RANGE, POSITION = 0, 1, 2
_CODE = LOW  # in a decoder


@njit(cache=True)
def new_encoder():
    """Registers of an encoder that has written nothing."""
    return np.array([0, 1 << 32, 0], np.int64)


@njit(cache=True)
def new_decoder(data):
    """Registers of a decoder at the start of `data` (uint8)."""
    coder = np.array([0, 1 << 32, 0], np.int64)
    for _ in range(4):
        coder[_CODE] = coder[_CODE] << 8 | _next_byte(coder, data)
    return coder


@njit(cache=True)
def with_room(coder, data, decoding, room=ROOM):
    """`data`, or for an encoder a longer copy if the bytes of `room` / 2 decisions might not fit any more."""
    if decoding or coder[POSITION] + room <= data.size:
        return data
    longer = np.zeros(2 * data.size + room, np.uint8)
    longer[: data.size] = data
    return longer


@njit(cache=True, forceinline=True)
def _next_byte(coder, data):
    position = coder[POSITION]
    coder[POSITION] = position + 1
    return np.int64(data[position]) if position < data.size else np.int64(0)


@njit(cache=True, forceinline=True)
def encode_bit(coder, data, probability, bit):
    """Write a decision that is 1 with `probability`."""
    bound = (coder[RANGE] >> PROBABILITY_BITS) * probability
    if bit:
        coder[RANGE] = bound
    else:
        coder[LOW] += bound
        coder[RANGE] -= bound
    while coder[RANGE] < 1 << 24:
        _write_byte(coder, data)
        coder[RANGE] <<= 8


@njit(cache=True, forceinline=True)
def _write_byte(coder, data):
    position = coder[POSITION]
    if coder[LOW] >> 32:  # a carry
        before = position - 1
        while data[before] == 255:
            data[before] = 0
            before -= 1
        data[before] += 1
    data[position] = coder[LOW] >> 24 & 255
    coder[LOW] = (coder[LOW] & 0xFFFFFF) << 8
    coder[POSITION] = position + 1


@njit(cache=True, forceinline=True)
def decode_bit(coder, data, probability):
    """Read a decision: the inverse of `encode_bit`."""
    bound = (coder[RANGE] >> PROBABILITY_BITS) * probability
    bit = coder[_CODE] < bound
    if bit:
        coder[RANGE] = bound
    else:
        coder[_CODE] -= bound
        coder[RANGE] -= bound
    while coder[RANGE] < 1 << 24:
        coder[_CODE] = coder[_CODE] << 8 | _next_byte(coder, data)
        coder[RANGE] <<= 8
    return np.int64(bit)


@njit(cache=True, forceinline=True)
def code_bit(coder, data, probability, bit, decoding):
    """`decode_bit` or `encode_bit`, so that one model serves both directions; returns the decision."""
    if decoding:
        return decode_bit(coder, data, probability)
    encode_bit(coder, data, probability, bit)
    return bit


@njit(cache=True, forceinline=True)
def bits_so_far(coder):
    """The information that an encoder has taken in, in bits, fractions included: log2 of all its intervals' product."""
    return 8 * coder[POSITION] + 32 - np.log2(coder[RANGE])


@njit(cache=True)
def finish(coder, data):
    """End the encoder's stream; its bytes are ``data[:coder[POSITION]]``."""
    coder[LOW] += 0xFFFFFF
    _write_byte(coder, data)


@njit(cache=True, forceinline=True)
def is_overrun(coder, data):
    """Whether a decoder has read more bytes than any encoder's stream makes it read."""
    return coder[POSITION] > data.size + 3


@njit(cache=True, forceinline=True)
def is_complete(coder, data):
    """Whether a decoder has read exactly what the encoder wrote."""
    return coder[POSITION] == data.size + 3
