"""The ladder of index coders: exact, progressive, each rung smaller on what it knows of, and sound when damaged."""

import hashlib

import numpy as np
import pytest
from codeckit.primitives import StreamError
from codeckit.primitives.entropy import AdaptiveIndices, FixedIndices, MixedIndices, StaticIndices
from codeckit.primitives.tokens import Tokens
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.stats import norm

RUNGS = (FixedIndices, StaticIndices, AdaptiveIndices, MixedIndices)
each_rung = pytest.mark.parametrize("rung", RUNGS)


def smooth(rows, columns, dimensions, size, seed=0):
    """Indices that resemble their neighbours and the dimension before, each value equally frequent: int [N,D]."""
    noise = np.random.default_rng(seed).normal(size=(dimensions, rows, columns))
    fields = gaussian_filter(noise, (0, 1.5, 1.5))
    fields = np.cumsum(fields / fields.std((1, 2), keepdims=True), 0)
    fields /= np.sqrt(np.arange(1, dimensions + 1))[:, None, None]
    return np.minimum((norm.cdf(fields) * size).astype(int), size - 1).reshape(dimensions, -1).T


@st.composite
def streams(draw):
    grid = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    sizes = tuple(draw(st.lists(st.sampled_from([1, 2, 3, 5, 8, 3000]), min_size=1, max_size=4)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    skew = draw(st.sampled_from([0.5, 1, 6]))
    values = np.stack([(size * rng.random(grid[0] * grid[1]) ** skew).astype(np.int64) for size in sizes], 1)
    return Tokens(values, grid, size=draw(st.sampled_from([(0, 0), (30, 50)]))), sizes


@each_rung
@settings(max_examples=25)
@given(streams(), st.booleans())
def test_indices_come_back(rung, stream, progressive):
    tokens, sizes = stream
    stage = rung(sizes, progressive)
    payload = stage.forward(tokens)
    back = rung().inverse(payload)
    assert (back.features == tokens.features).all() and (back.grid, back.size) == (tokens.grid, tokens.size)
    assert stage.describe(payload) == (tokens.size, "tokens")
    assert rung(None, progressive).inverse(rung(None, progressive).forward(tokens)).features.tolist() == (
        tokens.features.tolist()
    )


@each_rung
def test_a_prefix_decodes_to_the_first_dimensions(rung):
    tokens = Tokens(smooth(8, 9, 5, 16), (8, 9))
    payload = rung(16, progressive=True).forward(tokens)
    whole = [0]
    for cut in range(len(payload) + 1):
        try:
            part = rung().inverse_partial(payload[:cut]).features
        except StreamError:
            assert whole[-1] == 0  # only before the first dimension is there
            continue
        assert (part == tokens.features[:, : part.shape[1]]).all()
        whole.append(part.shape[1])
    assert whole == sorted(whole) and whole[-1] >= 4
    with pytest.raises(StreamError, match="not coded as layers"):
        rung().inverse_partial(rung(16).forward(tokens))


def test_each_rung_uses_what_it_knows():
    flat = Tokens(smooth(40, 40, 4, 8), (40, 40))  # equal frequencies: only neighbours tell
    fixed, static, adaptive, mixed = (len(rung(8).forward(flat)) for rung in RUNGS)
    assert fixed == 40 * 40 * 4 * 3 // 8 + 7
    assert 0.95 < static / fixed < 1.05 and 0.95 < adaptive / fixed < 1.05 and mixed < 0.6 * fixed
    rng = np.random.default_rng(1)
    skewed = Tokens(rng.binomial(7, 0.1, (1600, 1)), (40, 40))  # independent: only frequencies tell
    fixed, static, adaptive, mixed = (len(rung(8).forward(skewed)) for rung in RUNGS)
    counts = np.bincount(skewed.features[:, 0])
    entropy = -(counts[counts > 0] * np.log2(counts[counts > 0] / 1600)).sum() / 8
    assert max(static, adaptive) < 1.06 * entropy + 20 and mixed < 1.08 * entropy + 20 < 0.7 * fixed


@pytest.mark.parametrize(
    "rung, digest",
    [
        (FixedIndices, "c7812a56cc58e2b8"),
        (StaticIndices, "a1aff8b1563087e9"),
        (AdaptiveIndices, "163ae7673fca9682"),
        (MixedIndices, "afc820736606d4d5"),
    ],
)
def test_golden_payloads(rung, digest):
    """The formats: a change here makes streams unreadable."""
    values = (np.arange(60)[:, None] * np.array([7, 3]) % np.array([10, 6])) ** 2 % np.array([10, 6])
    payload = rung((10, 6), progressive=True).forward(Tokens(values, (6, 10), size=(96, 160)))
    assert hashlib.sha256(payload).hexdigest()[:16] == digest


@each_rung
def test_damage_gives_indices_or_a_stream_error(rung):
    tokens = Tokens(smooth(6, 7, 3, 12), (6, 7))
    rng = np.random.default_rng(0)
    for progressive in (False, True):
        payload = bytearray(rung(12, progressive).forward(tokens))
        for _ in range(300):
            damaged = bytearray(payload[: rng.integers(len(payload) + 1)] if rng.random() < 0.3 else payload)
            for _ in range(rng.integers(1, 4)):
                if damaged:
                    damaged[rng.integers(len(damaged))] = rng.integers(256)
            try:
                read = rung().inverse_partial if progressive and rng.random() < 0.3 else rung().inverse
                back = read(bytes(damaged), 1 << 16)
            except StreamError:
                continue
            assert back.features.dtype == np.int32 and back.features.min() >= 0


@each_rung
def test_bad_requests(rung):
    with pytest.raises(ValueError, match="integers"):
        rung().forward(Tokens(np.zeros((4, 1), np.float32), (2, 2)))
    with pytest.raises(ValueError, match="lie in 0 … 3"):
        rung(4).forward(Tokens(np.array([0, 4]), (1, 2)))
    with pytest.raises(ValueError, match="lie in 0"):
        rung(4).forward(Tokens(np.array([0, -1]), (1, 2)))
    with pytest.raises(ValueError, match="vocabulary sizes"):
        rung((4, 4)).forward(Tokens(np.array([0, 1]), (1, 2)))
    payload = rung().forward(Tokens(np.zeros((10000, 1), int), (100, 100)))
    with pytest.raises(StreamError, match="limit"):
        rung().inverse(payload, max_pixels=9999)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16])
def test_the_largest_value_of_a_narrow_type(kind):
    """A codebook of 256 entries in bytes, say."""
    most = np.iinfo(kind).max
    indices = np.array([0, 7, most], kind)
    found = MixedIndices().inverse(MixedIndices().forward(Tokens(indices, (1, 3))))
    assert found.features[:, 0].tolist() == [0, 7, most]
