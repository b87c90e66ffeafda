"""Whole arrays of bit strings packed at once: what the Huffman and fixed-length coders write.

`pack_bits` and `unpack_bits` are an inverse pair: the low ``widths[i]`` bits of ``values[i]``, one after the other,
most significant bit first, the last byte filled with zeros. `codeckit.primitives.BitWriter` writes the same bits, one
value at a time.
"""

import numpy as np

from ..compiled import njit
from ..errors import StreamError

#: The widest bit string, so that seven pending bits and a value fit a 64-bit register.
MAX_WIDTH = 56


def pack_bits(values: np.ndarray, widths: np.ndarray) -> bytes:
    """The low ``widths[i]`` bits of each ``values[i]``, in order.

    Args:
        values: integers [N] from 0 up.
        widths: their widths in bits [N], 0 … `MAX_WIDTH`.

    >>> pack_bits(np.array([0b101, 1]), np.array([3, 6])).hex()
    'a080'
    """
    widths = np.ascontiguousarray(widths, np.int64)
    out = np.zeros(-(-int(widths.sum()) // 8), np.uint8)
    _pack(np.ascontiguousarray(values, np.int64), widths, out)
    return out.tobytes()


def unpack_bits(data: bytes, widths: np.ndarray) -> np.ndarray:
    """The inverse of `pack_bits`: int64 values [N].

    Raises:
        StreamError: `data` holds fewer bits than `widths` ask for.

    >>> unpack_bits(bytes.fromhex("a080"), np.array([3, 6]))
    array([5, 1])
    """
    widths = np.ascontiguousarray(widths, np.int64)
    missing = int(widths.sum()) - 8 * len(data)
    if missing > 0:
        raise StreamError(f"the stream ends {missing} bits too early")
    return _unpack(np.frombuffer(data, np.uint8), widths)


@njit(cache=True)
def _pack(values, widths, out):
    pending, count, position = 0, 0, 0
    for i in range(values.size):
        pending = pending << widths[i] | values[i] & ((1 << widths[i]) - 1)
        count += widths[i]
        while count >= 8:
            count -= 8
            out[position] = pending >> count
            position += 1
            pending &= (1 << count) - 1
    if count:
        out[position] = pending << (8 - count)


@njit(cache=True)
def _unpack(data, widths):
    values = np.empty(widths.size, np.int64)
    pending, count, position = 0, 0, 0
    for i in range(widths.size):
        while count < widths[i]:
            pending = pending << 8 | data[position]
            position += 1
            count += 8
        count -= widths[i]
        values[i] = pending >> count
        pending &= (1 << count) - 1
    return values
