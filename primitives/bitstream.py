"""Bits and bytes: the readers and writers under every stream.

`BitWriter` and `BitReader` are an inverse pair on single bits, most significant bit first, as in JPEG (ITU-T T.81)
and most standards. They are plain Python: what teaching code and headers use. Bulk entropy coding has its own loops.

`ByteWriter` and `ByteReader` are an inverse pair on headers: bytes, and *varints*, integers in groups of 7 bits, least
significant group first, the top bit of a byte saying that another follows (LEB128, as in protocol buffers): values
below 128 take one byte.
"""

from .errors import StreamError


class BitWriter:
    """Collect bits, most significant first.

    >>> out = BitWriter()
    >>> out.write(0b101, 3)
    >>> out.write(1, 6)
    >>> out.getvalue().hex(), out.bits
    ('a080', 9)
    """

    def __init__(self):
        self._bytes = bytearray()
        self._pending = 0  # bits that do not fill a byte yet
        self._count = 0

    @property
    def bits(self) -> int:
        """Number of bits written."""
        return 8 * len(self._bytes) + self._count

    def write(self, value: int, width: int) -> None:
        """Append the `width` low bits of `value`.

        Raises:
            ValueError: `value` does not fit in `width` bits.
        """
        if width < 0 or value < 0 or value >> width:
            raise ValueError(f"{value} does not fit in {width} bits")
        self._pending = self._pending << width | value
        self._count += width
        while self._count >= 8:
            self._count -= 8
            self._bytes.append(self._pending >> self._count)
            self._pending &= (1 << self._count) - 1

    def getvalue(self) -> bytes:
        """All bits, the last byte filled with zeros."""
        if not self._count:
            return bytes(self._bytes)
        return bytes(self._bytes) + bytes([self._pending << (8 - self._count)])


class BitReader:
    """Read bits, most significant first.

    >>> reader = BitReader(bytes.fromhex("a080"))
    >>> reader.read(3), reader.read(6), reader.position
    (5, 1, 9)
    """

    def __init__(self, data: bytes):
        self._data = bytes(data)
        self.position = 0  # in bits

    def read(self, width: int) -> int:
        """The next `width` bits as an integer.

        Raises:
            StreamError: fewer than `width` bits are left.
        """
        end = self.position + width
        if end > 8 * len(self._data):
            raise StreamError(f"the stream ends {end - 8 * len(self._data)} bits too early")
        first, last = self.position // 8, -(-end // 8)
        self.position = end
        return int.from_bytes(self._data[first:last], "big") >> (8 * last - end) & ((1 << width) - 1)


class ByteWriter:
    """Collect header fields.

    >>> out = ByteWriter()
    >>> out.byte(7)
    >>> out.varint(300)
    >>> out.block(b"abc")
    >>> out.getvalue().hex()
    '07ac0203616263'
    """

    def __init__(self):
        self._bytes = bytearray()

    def byte(self, value: int) -> None:
        """Append one byte, 0 … 255."""
        self._bytes.append(value)

    def varint(self, value: int) -> None:
        """Append an integer ≥ 0."""
        if value < 0:
            raise ValueError(f"varints hold integers from 0 up, not {value}")
        while value >= 0x80:
            self._bytes.append(value & 0x7F | 0x80)
            value >>= 7
        self._bytes.append(value)

    def raw(self, data: bytes) -> None:
        """Append bytes as they are."""
        self._bytes += data

    def block(self, data: bytes) -> None:
        """Append bytes behind their length (a varint)."""
        self.varint(len(data))
        self._bytes += data

    def getvalue(self) -> bytes:
        """All bytes so far."""
        return bytes(self._bytes)


class ByteReader:
    """Read header fields; every read past the end raises `StreamError`.

    >>> reader = ByteReader(bytes.fromhex("07ac0203616263"))
    >>> reader.byte(), reader.varint(), reader.block(), reader.rest()
    (7, 300, b'abc', b'')
    """

    def __init__(self, data: bytes):
        self._data = bytes(data)
        self.position = 0

    def byte(self) -> int:
        """The next byte."""
        return self.raw(1)[0]

    def varint(self) -> int:
        """The next integer, of 63 bits at most."""
        value = 0
        for shift in range(0, 63, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise StreamError("a number in the header has more than 63 bits")

    def raw(self, length: int) -> bytes:
        """The next `length` bytes."""
        end = self.position + length
        if end > len(self._data):
            raise StreamError(f"the stream ends {end - len(self._data)} bytes too early")
        data = self._data[self.position : end]
        self.position = end
        return data

    def block(self) -> bytes:
        """The bytes behind the next length."""
        return self.raw(self.varint())

    def rest(self) -> bytes:
        """All bytes that are left."""
        return self.raw(len(self._data) - self.position)
