"""Golomb-Rice codes: the smallest entropy coder that is worth its name.

A coefficient becomes a number from 0 up, small ones first: 0, −1, 1, −2, 2 … are 0, 1, 2, 3, 4 …. With a parameter k,
the number n is written as its quotient and its remainder by 2^k:

    quotient   n >> k          in unary: so many ones, then a zero
    remainder  n & (2^k − 1)   in k bits

That is a Huffman code for numbers whose probability falls geometrically, without a table: k says it all. Coefficients
of one frequency share a k, the one that takes the fewest bits, which is written in a byte.

A quotient of `ESCAPE` says that the whole number follows in 32 bits instead of the remainder, so that no number takes
more than 65 bits.

Payload: the picture's header; a byte k for every frequency of every plane; the quotients of all coefficients, plane by
plane and position by position, behind their length in bytes; their remainders.

Source: R. F. Rice, "Some Practical Universal Noiseless Coding Techniques", JPL 79-22, 1979.
"""

import math
from dataclasses import dataclass

import numpy as np
from codeckit.primitives import (
    MAX_PIXELS,
    ByteReader,
    ByteWriter,
    HeaderStage,
    Picture,
    StreamError,
    pack_bits,
    pack_header,
    unpack_bits,
    unpack_header,
)

#: The quotient of numbers that are written whole, and the bits of these.
ESCAPE, WHOLE = 32, 32


@dataclass(frozen=True)
class RiceCoded(HeaderStage):
    """Golomb-Rice codes, one parameter for each frequency of each plane.

    >>> plane = np.array([[0, 0, 1], [0, -70000, 0]])
    >>> payload = RiceCoded().forward(Picture((plane,), size=(2, 3)))
    >>> len(payload), RiceCoded().inverse(payload).planes[0].tolist()
    (19, [[0, 0, 1], [0, -70000, 0]])
    """

    def forward(self, picture: Picture) -> bytes:
        """Return the payload, which begins with the picture's header."""
        numbers, parameters = [], []
        for plane in picture.planes:
            folded = fold(plane).reshape(plane.shape[0] * plane.shape[1], -1)  # [positions, frequencies]
            numbers.append(folded)
            parameters.append(best_parameters(folded))
        n = np.concatenate([folded.ravel() for folded in numbers])
        k = np.concatenate([np.tile(each, len(folded)) for each, folded in zip(parameters, numbers, strict=True)])
        quotients = np.minimum(n >> k, ESCAPE)
        out = ByteWriter()
        out.raw(pack_header(picture))
        out.raw(np.concatenate(parameters).astype(np.uint8).tobytes())
        out.block(pack_bits(((1 << quotients) - 1) << 1, quotients + 1))
        out.raw(pack_bits(n, np.where(quotients == ESCAPE, WHOLE, k)))
        return out.getvalue()

    def inverse(self, payload: bytes, max_pixels: int = MAX_PIXELS) -> Picture:
        """Return the picture that `payload` holds.

        Raises:
            StreamError: the payload is cut or damaged, or holds more than `max_pixels`.
        """
        reader = ByteReader(payload)
        header, shapes = unpack_header(reader, max_pixels)
        parameters = [np.frombuffer(reader.raw(math.prod(shape[2:])), np.uint8).astype(np.int64) for shape in shapes]
        if max(int(each.max()) for each in parameters) > WHOLE:
            raise StreamError(f"a Rice parameter is larger than {WHOLE}")
        sizes = [math.prod(shape) for shape in shapes]
        quotients = _unary(reader.block(), sum(sizes))
        k = np.concatenate([np.tile(each, shape[0] * shape[1]) for each, shape in zip(parameters, shapes, strict=True)])
        whole = quotients == ESCAPE
        remainders = unpack_bits(reader.rest(), np.where(whole, WHOLE, k))
        n = np.where(whole, remainders, quotients << k | remainders)
        if quotients.max() > ESCAPE or n.max() >= 1 << 32:
            raise StreamError("a coefficient has more than 32 bits")
        planes = np.split(unfold(n), np.cumsum(sizes)[:-1])
        return header.replace(planes=tuple(p.reshape(shape) for p, shape in zip(planes, shapes, strict=True)))


def _unary(data: bytes, count: int) -> np.ndarray:
    """The quotients: lengths of the runs of ones, each of which a zero ends."""
    ends = np.flatnonzero(np.unpackbits(np.frombuffer(data, np.uint8)) == 0)[:count]
    if ends.size < count or 8 * len(data) - ends[-1] > 8:
        raise StreamError("the quotients are not as many as the picture has coefficients")
    return np.diff(ends, prepend=-1) - 1


def fold(plane: np.ndarray) -> np.ndarray:
    """Integers as numbers from 0 up, small ones first: int64.

    Raises:
        ValueError: the plane holds no integers of 32 bits.

    >>> fold(np.array([0, -1, 1, -2])).tolist()
    [0, 1, 2, 3]
    """
    if plane.dtype.kind not in "iu" or not plane.size:
        raise ValueError(f"Rice codes are for integers, not for a plane {plane.dtype} {list(plane.shape)}")
    if not -(1 << 31) <= int(plane.min()) <= int(plane.max()) < 1 << 31:
        raise ValueError("Rice codes are for integers of 32 bits; the plane holds larger ones")
    values = plane.astype(np.int64)
    return np.where(values < 0, -2 * values - 1, 2 * values)


def unfold(numbers: np.ndarray) -> np.ndarray:
    """The inverse of `fold`: int32.

    >>> unfold(np.array([0, 1, 2, 3])).tolist()
    [0, -1, 1, -2]
    """
    return np.where(numbers & 1, -(numbers >> 1) - 1, numbers >> 1).astype(np.int32)


def best_parameters(numbers: np.ndarray) -> np.ndarray:
    """The k of each frequency that takes the fewest bits: int64 [frequencies] for numbers [positions, frequencies].

    >>> best_parameters(np.array([[0, 100], [0, 90], [1, 130]])).tolist()
    [0, 6]
    """
    costs = []
    for k in range(WHOLE + 1):
        quotients = np.minimum(numbers >> k, ESCAPE)
        costs.append((quotients + 1 + np.where(quotients == ESCAPE, WHOLE, k)).sum(0))
    return np.argmin(costs, axis=0)
