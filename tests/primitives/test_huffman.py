import heapq
import itertools

import numpy as np
import pytest
from codeckit.primitives import BitReader, BitWriter, StreamError
from codeckit.primitives.entropy import huffman
from codeckit.primitives.entropy.bits import pack_bits, unpack_bits
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp


def cost(counts, lengths):
    return int((np.asarray(counts, np.int64) * np.asarray(lengths, np.int64)).sum())


def heap_cost(counts):
    """Cost of the optimal code without a limit: Huffman's own algorithm, the sum of all merged weights."""
    heap, total = sorted(counts), 0
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        total += merged
        heapq.heappush(heap, merged)
    return total


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 100), min_size=2, max_size=5), st.integers(3, 4))
def test_no_code_within_the_limit_is_cheaper(counts, limit):
    lengths = huffman.code_lengths(np.array(counts), limit)
    codes = itertools.product(range(1, limit + 1), repeat=len(counts))
    best = min(cost(counts, code) for code in codes if sum(2.0**-length for length in code) <= 1)
    assert cost(counts, lengths) == best


@settings(deadline=None)
@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=300))
def test_a_generous_limit_gives_huffmans_cost(counts):
    lengths = huffman.code_lengths(np.array(counts), 32)
    assert cost(counts, lengths) == heap_cost(counts)
    assert (0.5 ** lengths.astype(float)).sum() == 1  # Kraft's equality: nothing is wasted


@settings(deadline=None)
@given(hnp.arrays(np.int64, st.integers(2, 400), elements=st.integers(0, 10**9)))
def test_limited_lengths_form_a_complete_code(counts):
    lengths = huffman.code_lengths(counts, 9)
    present = counts > 0
    assert np.array_equal(lengths > 0, present)
    if present.sum() > 1:
        assert lengths.max() <= 9
        assert (0.5 ** lengths[present].astype(float)).sum() == 1
    if present.sum() == 1:
        assert lengths.max() == 1


def test_fibonacci_counts_reach_the_limit():
    counts = [1, 1]
    while len(counts) < 40:
        counts.append(counts[-1] + counts[-2])
    assert huffman.code_lengths(np.array(counts[:30]), 32).max() == 29
    assert huffman.code_lengths(np.array(counts), 16).max() == 16


def test_a_thousand_equal_symbols():
    lengths = huffman.code_lengths(np.ones(3000, np.int64))
    assert sorted(set(lengths.tolist())) == [11, 12]


def test_of_equal_counts_the_later_has_the_longer_code():
    lengths = huffman.code_lengths(np.array([1, 1, 1, 1, 1, 9]))
    assert (np.diff(lengths[:5].astype(int)) >= 0).all()


@pytest.mark.parametrize(
    "counts, limit",
    [([1, -1], 16), ([[[1, 2]]], 16), ([0.5, 0.5], 16), ([1] * 5, 2), ([1, 1], 0), ([1, 1], 33), ([2**60, 2**60], 16)],
)
def test_bad_counts_are_refused(counts, limit):
    with pytest.raises(ValueError):
        huffman.code_lengths(np.array(counts), limit)


def test_nothing_to_code():
    assert huffman.code_lengths(np.zeros(4, np.int64)).tolist() == [0, 0, 0, 0]
    assert huffman.encode(np.zeros(0, np.int64), np.zeros(4)) == b""
    assert huffman.decode(b"", np.zeros(4), 0)[0].size == 0


def test_canonical_codes_of_the_deflate_specification():
    # RFC 1951, 3.2.2: the worked example.
    codes = huffman.canonical_codes(np.array([3, 3, 3, 3, 3, 2, 4, 4]))
    assert codes.tolist() == [0b010, 0b011, 0b100, 0b101, 0b110, 0b00, 0b1110, 0b1111]


def test_lengths_that_break_krafts_inequality_are_refused():
    with pytest.raises(ValueError, match="Kraft"):
        huffman.canonical_codes(np.array([1, 1, 1]))


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), max_size=300))
def test_static_coding_is_exact_and_near_the_entropy(symbols):
    symbols = np.array(symbols, np.int64)
    counts = np.bincount(symbols, minlength=41)
    lengths = huffman.code_lengths(counts)
    data = huffman.encode(symbols, lengths)
    decoded, position = huffman.decode(data, lengths, symbols.size)
    assert np.array_equal(decoded, symbols) and -(-position // 8) == len(data)
    p = counts[counts > 0] / max(symbols.size, 1)
    entropy = -(p * np.log2(p)).sum() * symbols.size
    assert entropy - 1e-6 <= position <= entropy + symbols.size


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=60))
def test_code_tables_survive(counts):
    lengths = huffman.code_lengths(np.array(counts))
    out = BitWriter()
    huffman.pack_lengths(out, lengths)
    assert np.array_equal(huffman.unpack_lengths(BitReader(out.getvalue()), len(counts)), lengths)


def test_damage_is_noticed():
    lengths = np.array([1, 2, 3, 0])  # 111 is no code
    with pytest.raises(StreamError, match="no code"):
        huffman.decode(b"\xff\xff\xff\xff\xff", lengths, 2)
    with pytest.raises(StreamError, match="too early"):
        huffman.decode(b"\x00", lengths, 9)
    with pytest.raises(StreamError, match="too early"):
        huffman.decode(b"\xdb", lengths, 4)
    with pytest.raises(StreamError, match="Kraft"):
        out = BitWriter()
        out.write(3, 2)
        out.write(0b00001_00001_00001, 15)
        huffman.unpack_lengths(BitReader(out.getvalue()), 3)


@settings(deadline=None)
@given(st.lists(st.integers(0, 56).flatmap(lambda w: st.tuples(st.just(w), st.integers(0, 2**w - 1))), max_size=50))
def test_packed_bits_are_the_bit_writers(pairs):
    widths, values = np.array([w for w, _ in pairs], np.int64), np.array([v for _, v in pairs], np.int64)
    out = BitWriter()
    for width, value in pairs:
        out.write(value, width)
    data = pack_bits(values, widths)
    assert data == out.getvalue()
    assert np.array_equal(unpack_bits(data, widths), values)
    if widths.sum():
        with pytest.raises(StreamError):
            unpack_bits(data[:-1], widths)
