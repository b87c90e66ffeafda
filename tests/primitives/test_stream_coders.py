"""The readable range coder and rANS against constriction, word for word; the binary coder; the models."""

import contextlib

import constriction
import numpy as np
import pytest
from codeckit.primitives import StreamError
from codeckit.primitives.entropy import AnsCoder, RangeDecoder, RangeEncoder, StaticModel, mixing
from codeckit.primitives.entropy import binary_coder as binary
from codeckit.primitives.entropy.models import quantize_counts
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


def engine(told, mixers, refined):
    """A coder of numbers in any configuration: two contexts, the number before and nothing."""
    decide = mixing.predictor(2, told, (1,) * mixers, refined=refined)
    unary, tree, gamma = mixing.unary_coder(decide), mixing.tree_coder(decide, last=40), mixing.gamma_coder(decide)

    def run(numbers, coder, data, decoding):
        weights = np.full((128, 2 + told), 1 << 14, np.int32)
        model = mixing.new_model(np.zeros((2, 1 << 10), np.int32), weights, mixers, 128 if refined else 0)
        stream, before, found = (coder, data, decoding), 0, []
        for number in numbers:
            mixing.look(model, 0, 64, (min(before, 15), 0))
            if told:
                mixing.tell(model, 20000)
            small = unary(min(number, 9), 0, 9, 5, model, stream)
            low = tree(number % 64, 6, model, stream)
            whole = gamma(number + 1, 41, 60, model, stream) - 1
            assert decoding or (small, low, whole) == (min(number, 9), number % 64, number)
            assert (small, low) == (min(whole, 9), whole % 64)
            before = whole
            found.append(whole)
        return found

    return run


@pytest.mark.parametrize("configuration", [(0, 1, False), (1, 3, False), (0, 2, True)])
def test_the_mixing_engine_decodes_what_it_encodes(configuration):
    run, rng = engine(*configuration), np.random.default_rng(3)
    numbers = [*(rng.geometric(0.2, 60) - 1).tolist(), 0, 1 << 33, 63, 64]
    coder, data = binary.new_encoder(), np.zeros(5000, np.uint8)
    run(numbers, coder, data, False)
    binary.finish(coder, data)
    data = data[: coder[binary.POSITION]].copy()
    coder = binary.new_decoder(data)
    assert run([0] * len(numbers), coder, data, True) == numbers
    assert binary.is_complete(coder, data)
