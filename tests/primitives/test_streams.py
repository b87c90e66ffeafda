"""Bit and byte I/O, picture headers and the container: inverse pairs, damage, golden bytes."""

import zlib

import numpy as np
import pytest
from codeckit.primitives import BitReader, BitWriter, ByteReader, ByteWriter, Picture, StreamError
from codeckit.primitives.container import STAGES, VIDEO, WEIGHTS, Container, pack, unpack
from codeckit.primitives.picture import COLORS, pack_header, unpack_header
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.integers(0, 40).flatmap(lambda width: st.tuples(st.integers(0, (1 << width) - 1), st.just(width)))))
def test_bits_inverse(fields):
    out = BitWriter()
    for value, width in fields:
        out.write(value, width)
    total = sum(width for _, width in fields)
    assert out.bits == total and len(out.getvalue()) == -(-total // 8)
    reader = BitReader(out.getvalue())
    assert [reader.read(width) for _, width in fields] == [value for value, _ in fields]
    assert reader.position == total
    with pytest.raises(StreamError, match="too early"):
        reader.read(8)


@given(st.lists(st.integers(0, (1 << 63) - 1)), st.binary(max_size=20))
def test_bytes_inverse(values, tail):
    out = ByteWriter()
    for value in values:
        out.varint(value)
    out.block(tail)
    reader = ByteReader(out.getvalue())
    assert [reader.varint() for _ in values] == values and reader.block() == tail and reader.rest() == b""
    with pytest.raises(StreamError):
        reader.byte()


def test_bad_values():
    with pytest.raises(ValueError, match="does not fit"):
        BitWriter().write(4, 2)
    with pytest.raises(ValueError):
        ByteWriter().varint(-1)
    with pytest.raises(StreamError, match="63 bits"):
        ByteReader(b"\xff" * 10).varint()


containers = st.builds(
    Container,
    st.integers(1, 1 << 20) | st.text(min_size=1, max_size=20),
    st.integers(0, 1000),
    st.binary(max_size=60),
    st.dictionaries(st.sampled_from((STAGES, WEIGHTS, VIDEO)), st.binary(max_size=20)),
)


@given(containers)
def test_container_inverse(held):
    assert unpack(pack(held)) == held


@given(containers, st.data())
def test_damaged_containers_are_noticed(held, data):
    packed = bytearray(pack(held))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(StreamError):
        unpack(bytes(packed))
    with pytest.raises(StreamError):
        unpack(pack(held)[: data.draw(st.integers(0, len(packed) - 1))])


def test_container_golden():
    held = Container(7, 1, b"xyz", {WEIGHTS: b"abcd", STAGES: b"[]"})
    assert pack(held).hex() == "636b7402070303025b5d040461626364" + "78797a" + "f6749559"
    assert pack(Container("mine", 0, b"")).hex() == "636b740200046d696e6500" + "82021b5d"
    for version in 1, 3:
        with pytest.raises(StreamError, match=f"version {version}"):
            unpack(b"ckt" + bytes([version]) + bytes(12))


def _packed(head: bytes) -> bytes:
    return head + zlib.crc32(head).to_bytes(4, "big")


def test_sections_that_a_reader_does_not_know():
    """Tags from 64 up are skipped, others refused: what is added later is one or the other."""
    skipped = _packed(b"ckt\2\7\3" + bytes([2 * WEIGHTS + 1, 1]) + b"w" + bytes([200, 1, 3]) + b"any" + b"payload")
    assert unpack(skipped) == Container(7, 1, b"payload", {WEIGHTS: b"w"})
    for sections, message in (
        (bytes([2 * 63, 1]) + b"x", "section 63"),
        (bytes([2 * WEIGHTS + 1, 1]) + b"w" + bytes([2 * STAGES, 1]) + b"s", "after section 2"),
        (bytes([2 * WEIGHTS + 1, 1]) + b"w" + bytes([2 * WEIGHTS, 1]) + b"w", "after section 2"),
    ):
        with pytest.raises(StreamError, match=message):
            unpack(_packed(b"ckt\2\7\3" + sections + b"payload"))
    with pytest.raises(StreamError, match="UTF-8"):
        unpack(_packed(b"ckt\2\0\1\xff\2payload"))


@st.composite
def pictures(draw):
    size = draw(st.tuples(st.integers(1, 300), st.integers(1, 300)))
    n = draw(st.integers(1, 4))
    factors = tuple(draw(st.tuples(st.integers(1, 4), st.integers(1, 4))) for _ in range(n))
    shapes = [(draw(st.integers(1, 30)), draw(st.integers(1, 30)), 8, 8) for _ in range(n)]
    tables = ()
    if draw(st.booleans()):
        drawn = [np.full((8, 8), draw(st.integers(1, 65535)), np.uint16) for _ in range(2)]
        tables = tuple(drawn[draw(st.integers(0, 1))] for _ in range(n))
    planes = tuple(np.zeros(shape, np.int16) for shape in shapes)
    side = draw(st.dictionaries(st.text(max_size=9), st.integers(-(1 << 62), (1 << 62) - 1), max_size=3))
    return Picture(planes, size, factors, draw(st.sampled_from(COLORS)), tables, side)


@given(pictures())
def test_picture_header_inverse(picture):
    header, shapes = unpack_header(ByteReader(pack_header(picture)))
    assert (header.size, header.factors, header.color) == (picture.size, picture.factors, picture.color)
    assert shapes == tuple(plane.shape for plane in picture.planes)
    assert len(header.tables) == len(picture.tables)
    assert all((a == b).all() for a, b in zip(header.tables, picture.tables, strict=True))
    assert header.side == picture.side


@given(st.binary(max_size=40))
def test_any_picture_header_is_read_or_refused(data):
    try:
        header, shapes = unpack_header(ByteReader(data), max_pixels=1 << 20)
    except StreamError:
        return
    assert header.size[0] * header.size[1] <= 1 << 20 and shapes
