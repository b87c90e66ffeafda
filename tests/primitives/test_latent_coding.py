"""Latents: tables against scipy, the coder against constriction and the entropy, wavefronts against the mask."""

import contextlib
import hashlib

import codeckit.primitives.entropy.integer_gaussian as gaussian
import constriction
import numpy as np
import pytest
from codeckit.primitives import StreamError
from codeckit.primitives.entropy import (
    FrequencyTables,
    LatentDecoder,
    LatentEncoder,
    Mixture,
    StaticModel,
    center,
    gaussian_tables,
    quantize_pmf,
    scale_index,
    uncenter,
    wavefront,
)
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

INT32 = st.integers(-(2**31), 2**31 - 1)
SYMBOL = st.one_of(st.integers(-3, 3), st.integers(-2000, 2000), INT32)
SIGMA = np.array([float(sigma) for sigma in gaussian.scales()])


def coded(symbols, indices, tables):
    encoder = LatentEncoder()
    encoder.put(symbols, indices, tables)
    return encoder.getvalue()


# Tables


def test_scales_are_those_of_compressai():
    assert np.allclose(SIGMA, np.exp(np.linspace(np.log(0.11), np.log(256), 64)), rtol=1e-12)


def test_normal_cdf_is_correctly_rounded():
    u = np.arange(-2048, 2049) / 256
    assert np.abs(gaussian.normal_cdf() - stats.norm.cdf(u) * 2**30).max() <= 0.5001


def test_scale_index_takes_the_nearest_in_the_logarithm():
    scale = np.arange(1, 80000)
    nearest = np.abs(np.log(scale / 256)[:, None] - np.log(SIGMA)).argmin(1)
    assert np.array_equal(scale_index(scale), nearest)
    assert np.array_equal(scale_index(np.array([-(2**31), 0, 2**31])), [0, 0, 63])


def test_gaussian_tables_are_gaussian():
    tables = gaussian_tables()
    for i, sigma in enumerate(SIGMA):
        low, high = tables.window(i)
        edges = np.array([-np.inf, *np.arange(low, high + 2) - 0.5, np.inf])
        p = np.diff(stats.norm.cdf(edges / sigma))
        bits = tables.bits(np.arange(low - 1, high + 2), np.full(p.size, i))
        entropy = -(p[p > 0] * np.log2(p[p > 0])).sum()
        assert entropy <= p @ bits < entropy * 1.0005 + 1e-4


def test_tables_are_golden():
    """Other numbers here make all streams unreadable that were written before."""
    tables = gaussian_tables()
    everything = [tables.frequencies, tables.sizes, tables.lowest, gaussian.normal_cdf()]
    everything += [
        gaussian._scale_constants()[2],
        gaussian._exponential(),
        *Mixture([[65536]], [[0]], [[0]]).constants(),
    ]
    digest = hashlib.sha256(b"".join(np.asarray(a).astype("<i8").tobytes() for a in everything)).hexdigest()
    assert digest == "44a108147a288ff95636f2c920d8b4802c72d05dd2069c28f64e9ea2eb9d201c"


@given(st.lists(st.floats(0, 1e300), min_size=1, max_size=60).filter(lambda p: 0 < sum(p) < 1e300))
def test_quantized_pmf(pmf):
    frequencies = quantize_pmf(pmf)
    assert frequencies.sum() == 1 << 24 and frequencies.min() >= 1
    assert np.abs(frequencies / 2**24 - np.array(pmf) / sum(pmf)).max() <= (len(pmf) + 1) / 2**24


@pytest.mark.parametrize("pmf", [[], [0.0, 0.0], [0.5, -0.5, 1], [np.nan, 1], [np.inf, 1], np.ones((2, 2))])
def test_pmfs_that_are_none(pmf):
    with pytest.raises(ValueError):
        quantize_pmf(pmf)


def test_tables_that_do_not_add_up():
    good = gaussian_tables()
    for arrays in [
        (good.frequencies[:-1], good.sizes, good.lowest),
        (good.frequencies + 1, good.sizes, good.lowest),
        (good.frequencies, good.sizes[:-1], good.lowest),
        (np.array([1 << 23, 1 << 23]), np.array([2]), np.array([0])),
        (np.array([1 << 24, 0, 0]), np.array([3]), np.array([0])),
    ]:
        with pytest.raises(ValueError):
            FrequencyTables(*arrays)


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(-(2**20), 2**20)), min_size=1))
def test_center_and_uncenter(pairs):
    y, means = (np.array(values) for values in zip(*pairs, strict=True))
    symbols = center(y, means)
    assert np.abs(uncenter(symbols, means) / 256 - y).max() <= 0.5
    assert np.array_equal(center(uncenter(symbols, means) / 256, means), symbols)


# Mixtures


@st.composite
def mixtures(draw):
    size, k = draw(st.integers(0, 20)), draw(st.integers(1, 4))
    means = st.one_of(st.integers(-1000, 1000), INT32)
    three = [
        draw(st.lists(st.lists(values, min_size=k, max_size=k), min_size=size, max_size=size))
        for values in (st.integers(-(2**20), 2**20), means, st.integers(-10, 2**17))
    ]
    return Mixture.from_logits(*(np.array(values, np.int64).reshape(size, k) for values in three))


def test_mixtures_follow_their_densities():
    rng = np.random.default_rng(1)
    for _ in range(20):
        logits, means = rng.integers(-600, 600, (1, 3)), rng.integers(-2000, 2000, (1, 3))
        scales = np.rint(256 * SIGMA[rng.integers(0, 40, (1, 3))]).astype(int)
        mixture = Mixture.from_logits(logits, means, scales)
        s = np.arange(-400, 400)
        repeated = Mixture(*(np.repeat(a, s.size, 0) for a in (mixture.weights, mixture.means, mixture.scales)))
        w = np.exp(logits[0] / 256) / np.exp(logits[0] / 256).sum()
        sigma = SIGMA[mixture.scales[0]]
        edges = stats.norm.cdf((np.arange(-400, 401)[:, None] - 0.5 - means[0] / 256) / sigma) @ w
        p = np.diff(edges)
        entropy = -(p[p > 0] * np.log2(p[p > 0])).sum()
        assert entropy <= p @ repeated.bits(s) < entropy * 1.0005 + 1e-3


@given(mixtures(), st.data())
def test_mixtures_decode_what_they_encode(mixture, data):
    symbols = np.array(data.draw(st.lists(SYMBOL, min_size=len(mixture), max_size=len(mixture))), np.int32)
    encoder = LatentEncoder()
    encoder.put_mixture(symbols, mixture)
    decoder = LatentDecoder(encoder.getvalue())
    assert np.array_equal(decoder.get_mixture(mixture), symbols)
    decoder.finish()


def test_a_mixture_of_one_is_a_table():
    symbols = np.random.default_rng(0).integers(-100, 100, 500)
    indices = np.arange(500) % 64
    encoder = LatentEncoder()
    encoder.put_mixture(symbols, Mixture(np.full((500, 1), 65536), np.zeros((500, 1), int), indices[:, None]))
    assert encoder.getvalue() == coded(symbols, indices, gaussian_tables())


@pytest.mark.parametrize(
    "arrays",
    [
        ([[1]], [[0]], [[0]]),
        ([[65536]], [[0]], [[64]]),
        ([[65536]], [[0, 0]], [[0]]),
        ([65536], [0], [0]),
        ([[65536]], [[0.5]], [[0]]),
    ],
)
def test_mixtures_that_are_none(arrays):
    with pytest.raises(ValueError):
        Mixture(*arrays)


# Coder


@given(st.lists(st.lists(st.tuples(SYMBOL, st.integers(0, 63)), max_size=30), max_size=5))
def test_batches_decode_to_what_was_encoded(batches):
    encoder = LatentEncoder()
    for batch in batches:
        encoder.put([s for s, _ in batch], np.array([i for _, i in batch], np.int64), gaussian_tables())
    data = encoder.getvalue()
    symbols = [s for batch in batches for s, _ in batch]
    indices = np.array([i for batch in batches for _, i in batch], np.uint8)
    assert data == coded(np.array(symbols, np.int32), indices, gaussian_tables())  # batches leave no trace
    decoder = LatentDecoder(data)
    for batch in batches:
        decoded = decoder.get(np.array([i for _, i in batch], np.int64), gaussian_tables())
        assert decoded.tolist() == [s for s, _ in batch]
    decoder.finish()


@given(st.lists(st.tuples(st.integers(-1, 1), st.integers(0, 63)), max_size=100))
def test_constriction_writes_the_same_words(pairs):
    tables = gaussian_tables()
    reference = constriction.stream.stack.AnsCoder()
    for symbol, index in reversed(pairs):
        frequencies = np.split(tables.frequencies, np.cumsum(tables.sizes)[:-1])[index]
        model = StaticModel(frequencies).for_constriction()
        reference.encode_reverse(np.array([symbol - tables.window(index)[0] + 1], np.int32), model)
    words = reference.get_compressed()[::-1].astype(">u4").tobytes().lstrip(b"\0")
    assert coded([symbol for symbol, _ in pairs], np.array([i for _, i in pairs], int), tables) == words


def test_every_symbol_of_32_bits_with_every_table():
    tables = gaussian_tables()
    symbols = np.array([-(2**31), 2**31 - 1, -1153, 1153, -1152, 1152, 0] * 64, np.int64)
    indices = np.repeat(np.arange(64), 7).reshape(64, 7)
    data = coded(symbols.reshape(64, 7), indices, tables)
    decoder = LatentDecoder(data)
    assert np.array_equal(decoder.get(indices, tables), symbols.reshape(64, 7))
    decoder.finish()


def test_stream_is_golden():
    """Other bytes here mean that streams that were written before cannot be read."""
    encoder = LatentEncoder()
    encoder.put([0, 1, -1, 5, 300, -70000], [0, 10, 20, 30, 63, 5], gaussian_tables())
    encoder.put_mixture([2, -40], Mixture.from_logits([[0, 256]] * 2, [[512, -512]] * 2, [[200, 400]] * 2))
    encoder.put([3], [0], FrequencyTables.from_pmfs([[0.1, 0.5, 0.3, 0.1]], [2]))
    assert encoder.getvalue().hex() == "01a24677f3265c630033900fb46953b7"


def test_size_is_the_entropy():
    rng = np.random.default_rng(0)
    indices = rng.integers(0, 40, 100000)
    symbols = np.rint(rng.normal(size=indices.size) * SIGMA[indices]).astype(np.int32)
    upper = stats.norm.sf((np.abs(symbols) - 0.5) / SIGMA[indices])
    ideal = -np.log2(upper - stats.norm.sf((np.abs(symbols) + 0.5) / SIGMA[indices])).sum() / 8
    assert len(coded(symbols, indices, gaussian_tables())) < 1.001 * ideal + 4
    for n in (0, 1, 2, 5, 20, 100):
        size = len(coded(symbols[:n], indices[:n], gaussian_tables()))
        assert size <= gaussian_tables().bits(symbols[:n], indices[:n]).sum() / 8 + 4


def decoded(stream, indices):
    decoder = LatentDecoder(stream)
    symbols = decoder.get(indices, gaussian_tables())
    decoder.finish()
    return symbols


@given(st.binary(max_size=200), st.integers(0, 300))
def test_noise_decodes_to_symbols_or_an_error(noise, count):
    with contextlib.suppress(StreamError):
        symbols = decoded(noise, np.arange(count) % 64)
        assert coded(symbols, np.arange(count) % 64, gaussian_tables()) == noise  # then it was a stream


def test_damage_is_noticed():
    rng = np.random.default_rng(0)
    noticed = 0
    for n in range(400):
        indices = rng.integers(0, 64, 300)
        symbols = np.rint(rng.standard_t(2, size=300) * SIGMA[indices]).astype(np.int32)
        stream = bytearray(coded(symbols, indices, gaussian_tables()))
        if n % 2:
            stream[rng.integers(len(stream))] ^= 1 << rng.integers(8)
        else:
            del stream[rng.integers(len(stream)) :]
        try:
            decoded(bytes(stream), indices)
        except StreamError:
            noticed += 1
    assert noticed >= 390


def test_other_parameters_are_noticed():
    indices = np.arange(300) % 64
    data = coded(np.arange(300) % 7 - 3, indices, gaussian_tables())
    decoder = LatentDecoder(data)
    with pytest.raises(StreamError, match="other weights"):
        decoder.get(np.roll(indices, 1), gaussian_tables())
        decoder.finish()


@pytest.mark.parametrize(
    "symbols, indices", [([1], [64]), ([1], [-1]), ([1, 2], [0]), ([2**31], [0]), ([0.5], [0]), ([1], [0.5])]
)
def test_encoder_refuses(symbols, indices):
    with pytest.raises(ValueError):
        LatentEncoder().put(symbols, indices, gaussian_tables())


def test_decoder_refuses_tables_that_are_not_there():
    with pytest.raises(ValueError, match="0 … 63"):
        LatentDecoder(b"").get([64], gaussian_tables())


# Wavefronts


@given(st.integers(0, 12), st.integers(0, 12), st.sampled_from([1, 3, 5, 7]))
def test_wavefront_is_causal(height, width, kernel):
    step = np.full((height, width), -1)
    steps = list(wavefront(height, width, kernel))
    for number, (rows, columns) in enumerate(steps):
        assert rows.size and np.all(step[rows, columns] == -1)
        step[rows, columns] = number
    assert step.size == 0 or step.min() >= 0
    r = kernel // 2
    for i in range(height):
        for j in range(width):
            seen = [(a, b) for a in range(i - r, i + 1) for b in range(j - r, j + r + 1) if (a, b) < (i, j)]
            assert all(step[a, b] < step[i, j] for a, b in seen if a >= 0 and 0 <= b < width)


def test_wavefront_is_short():
    assert len(list(wavefront(32, 48))) == 141
    with pytest.raises(ValueError):
        wavefront(3, 3, kernel=4)
