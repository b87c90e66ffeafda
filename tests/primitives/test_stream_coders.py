"""The readable range coder and rANS against constriction, word for word; the binary coder; the models."""

import contextlib

import constriction
import numpy as np
import pytest
from codeckit.primitives import StreamError
from codeckit.primitives.entropy import AdaptiveModel, AnsCoder, RangeDecoder, RangeEncoder, StaticModel, mixing
from codeckit.primitives.entropy import binary_coder as binary
from codeckit.primitives.entropy.models import PRECISION, quantize_counts
from hypothesis import given, settings
from hypothesis import strategies as st

queue, stack = constriction.stream.queue, constriction.stream.stack

counts_and_symbols = st.lists(st.integers(1, 10**9), min_size=2, max_size=40).flatmap(
    lambda counts: st.tuples(st.just(counts), st.lists(st.integers(0, len(counts) - 1), max_size=150))
)


def range_words(symbols, model):
    encoder = RangeEncoder()
    for symbol in symbols:
        encoder.encode(symbol, model)
    return encoder.words()


@settings(deadline=None)
@given(counts_and_symbols)
def test_range_coder_writes_constrictions_words(case):
    model, symbols = StaticModel.from_counts(case[0]), case[1]
    reference = queue.RangeEncoder()
    reference.encode(np.array(symbols, np.int32), model.for_constriction())
    words = range_words(symbols, model)
    assert words.tolist() == reference.get_compressed().tolist()
    decoder = RangeDecoder(words)
    assert [decoder.decode(model) for _ in symbols] == symbols


@settings(deadline=None)
@given(st.lists(st.integers(1, 1000), min_size=2, max_size=20), st.integers(1, 2**32 - 2), st.booleans())
def test_range_coder_carries_like_constriction(counts, word, ones):
    # Symbols whose interval holds the point word.0000… (or word.ffff…) straddle a multiple of 2^64 for long.
    model = StaticModel.from_counts(counts)
    decoder = RangeDecoder([word, *([2**32 - 1 if ones else 0] * 40)])
    symbols = []
    with contextlib.suppress(StreamError):  # the point may come to lie in what rounding leaves of an interval
        while len(symbols) < 120:
            symbols.append(decoder.decode(model))
    for end in (symbols, [*symbols[:-1], 0], [*symbols[:-1], len(counts) - 1], symbols[:7]):
        reference = queue.RangeEncoder()
        reference.encode(np.array(end, np.int32), model.for_constriction())
        words = range_words(end, model)
        assert words.tolist() == reference.get_compressed().tolist()
        decoder = RangeDecoder(words)
        assert [decoder.decode(model) for _ in end] == end


def test_damaged_range_words_are_refused():
    with pytest.raises(StreamError):
        RangeDecoder([2**32 - 1] * 3).decode(StaticModel.from_counts([1, 1]))


@settings(deadline=None)
@given(counts_and_symbols)
def test_ans_writes_constrictions_words(case):
    model, symbols = StaticModel.from_counts(case[0]), case[1]
    reference = stack.AnsCoder()
    reference.encode_reverse(np.array(symbols, np.int32), model.for_constriction())
    coder = AnsCoder()
    for symbol in reversed(symbols):
        coder.push(symbol, model)
    assert coder.words().tolist() == reference.get_compressed().tolist()
    coder = AnsCoder(coder.words())
    assert [coder.pop(model) for _ in symbols] == symbols
    assert coder.words().size == 0


def test_ans_refuses_a_zero_word_at_the_end():
    with pytest.raises(StreamError):
        AnsCoder([5, 0])


@settings(deadline=None)
@given(st.integers(1, 60), st.data())
def test_adaptive_model(alphabet, data):
    symbols = data.draw(st.lists(st.integers(0, alphabet - 1), max_size=200))
    encoder, model = RangeEncoder(), AdaptiveModel(alphabet)
    for symbol in symbols:
        encoder.encode(symbol, model)
        model.update(symbol)
    intervals = [model.interval(symbol) for symbol in range(alphabet)]
    assert all(frequency >= 1 for _, frequency in intervals)
    assert sum(frequency for _, frequency in intervals) == 1 << PRECISION
    decoder, model = RangeDecoder(encoder.words()), AdaptiveModel(alphabet)
    for symbol in symbols:
        assert decoder.decode(model) == symbol
        model.update(symbol)


def test_adaptive_model_comes_near_the_entropy():
    symbols = np.random.default_rng(0).geometric(0.3, 5000).clip(1, 30) - 1
    encoder, model = RangeEncoder(), AdaptiveModel(30)
    for symbol in symbols.tolist():
        encoder.encode(symbol, model)
        model.update(symbol)
    p = np.bincount(symbols) / symbols.size
    entropy = -(p[p > 0] * np.log2(p[p > 0])).sum() * symbols.size
    assert 32 * encoder.words().size < 1.05 * entropy


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=50).filter(any), st.integers(6, 24))
def test_quantized_counts(counts, precision):
    frequencies = quantize_counts(counts, precision)
    assert frequencies.sum() == 1 << precision
    assert np.array_equal(frequencies > 0, np.array(counts) > 0)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 65535), st.integers(0, 1)), max_size=400), st.integers(0, 255))
def test_binary_coder(decisions, noise):
    coder, data = binary.new_encoder(), np.full(1000, noise, np.uint8)
    for probability, bit in decisions:
        binary.encode_bit(coder, data, probability, bit)
    binary.finish(coder, data)
    data = data[: coder[binary.POSITION]]
    coder = binary.new_decoder(data)
    assert [binary.decode_bit(coder, data, probability) for probability, _ in decisions] == [b for _, b in decisions]
    assert binary.is_complete(coder, data) and not binary.is_overrun(coder, data)
    cost = sum(-np.log2((p if bit else 65536 - p) / 65536) for p, bit in decisions)
    assert 8 * data.size <= cost * 1.01 + 16


def test_squash_and_stretch_are_each_others_inverse():
    x = np.arange(-mixing.LIMIT, mixing.LIMIT + 1)
    assert np.abs(mixing.SQUASH - 65536 / (1 + np.exp(-x / 256))).max() <= 1
    p = (np.arange(4096) + 0.5) / 4096
    assert np.abs(mixing.STRETCH - 256 * np.log(p / (1 - p))).max() < 2
