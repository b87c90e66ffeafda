"""Context mixing of latents: inverse of itself for all symbols, in any order, no worse than what it is told."""

import hashlib

import numpy as np
import pytest
from codeckit.primitives import StreamError
from codeckit.primitives.entropy import (
    FrequencyTables,
    LatentEncoder,
    MixingDecoder,
    MixingEncoder,
    Mixture,
    checkerboard,
    gaussian_tables,
    wavefront,
)
from codeckit.primitives.entropy.latent_mixing import Experience, Statistics, of_mixture, of_tables
from hypothesis import given, settings
from hypothesis import strategies as st

SYMBOL = st.one_of(st.integers(-2, 2), st.integers(-300, 300), st.integers(-(2**31), 2**31 - 1))


def everywhere(height, width):
    return np.indices((height, width)).reshape(2, -1)


def mixtures(rng, count):
    weights = rng.integers(0, 1 << 15, (count, 3))
    weights[:, 2] = (1 << 16) - weights[:, :2].sum(1)
    return Mixture(weights, rng.integers(-2000, 2000, (count, 3)), rng.integers(0, 64, (count, 3)))


def coded(symbols, distributions, order=None):
    encoder = MixingEncoder([symbols.shape])
    encoder.put(0, everywhere(*symbols.shape[:2]), symbols.reshape(-1, symbols.shape[2]), distributions, order)
    return encoder.getvalue()


def decoded(data, shape, distributions, order=None):
    decoder = MixingDecoder(data, [shape])
    symbols = decoder.get(0, everywhere(*shape[:2]), distributions, order).reshape(shape)
    decoder.finish()
    return symbols


def static_bytes(symbols, indices, tables):
    encoder = LatentEncoder()
    encoder.put(symbols, indices, tables)
    return len(encoder.getvalue())


@settings(max_examples=60)
@given(
    st.lists(SYMBOL, min_size=1, max_size=40), st.integers(1, 3), st.integers(1, 4), st.integers(0, 2**32 - 1),
    st.booleans(),
)  # fmt: skip
def test_decoding_is_the_inverse(values, channels, width, seed, mixed):
    rng = np.random.default_rng(seed)
    symbols = np.resize(np.array(values, np.int64), (-(-len(values) // (channels * width)), width, channels))
    count = symbols[..., 0].size
    if mixed:
        distributions, order = of_mixture(mixtures(rng, symbols.size)), None
    else:
        indices, order = rng.integers(0, 64, (count, channels)), rng.permutation(channels)
        distributions = of_tables(indices, gaussian_tables())
    data = coded(symbols, distributions, order)
    assert np.array_equal(decoded(data, symbols.shape, distributions, order), symbols)


@pytest.mark.parametrize("order", [wavefront, checkerboard])
def test_positions_in_any_order_and_two_planes(order):
    rng = np.random.default_rng(3)
    shapes = [(7, 9, 4), (2, 3, 2)]
    planes = [rng.geometric(0.3, shape) - rng.geometric(0.3, shape) for shape in shapes]
    indices = np.full((7 * 9, 4), 20)
    encoder = MixingEncoder(shapes)
    encoder.put(1, everywhere(2, 3), planes[1].reshape(-1, 2), of_tables(indices[:6, :2], gaussian_tables()))
    for rows, columns in order(7, 9):
        distributions = of_tables(indices[: rows.size], gaussian_tables())
        encoder.put(0, (rows, columns), planes[0][rows, columns], distributions)
    decoder = MixingDecoder(encoder.getvalue(), shapes)
    found = [np.zeros(shape, int) for shape in shapes]
    found[1][:] = decoder.get(1, everywhere(2, 3), of_tables(indices[:6, :2], gaussian_tables())).reshape(shapes[1])
    for rows, columns in order(7, 9):
        found[0][rows, columns] = decoder.get(0, (rows, columns), of_tables(indices[: rows.size], gaussian_tables()))
    decoder.finish()
    assert all(np.array_equal(a, b) for a, b in zip(planes, found, strict=True))


def test_symbols_that_follow_their_tables_cost_little_more_than_that():
    """What adapts also learns noise: that must stay small where there is nothing to learn."""
    rng = np.random.default_rng(0)
    indices = np.broadcast_to(rng.integers(5, 40, 32), (900, 32))
    sigma = 0.11 * (256 / 0.11) ** (indices / 63)
    symbols = np.rint(rng.normal(0, sigma)).astype(int).reshape(30, 30, 32)
    size = len(coded(symbols, of_tables(indices, gaussian_tables())))
    assert size < 1.02 * static_bytes(symbols.reshape(900, 32), indices, gaussian_tables())


def test_activity_of_neighbours_is_learned():
    """Scales that vary over the picture, which a table a channel cannot know: a hyperprior's work."""
    rng = np.random.default_rng(0)
    indices = np.broadcast_to(rng.integers(15, 30, 32), (1600, 32))
    y, x = np.indices((40, 40)) / 40
    scale = np.exp(1.5 * np.sin(5 * y) * np.cos(7 * x)).reshape(-1, 1)
    sigma = 0.11 * (256 / 0.11) ** (indices / 63) * scale
    symbols = np.rint(rng.normal(0, sigma)).astype(int).reshape(40, 40, 32)
    static = static_bytes(symbols.reshape(-1, 32), indices, gaussian_tables())
    ideal = 0.11 * (256 / 0.11) ** (np.arange(64) / 63)
    nearest = np.abs(np.log(sigma[..., None] / ideal)).argmin(-1)
    best = static_bytes(symbols.reshape(-1, 32), nearest, gaussian_tables())
    size = len(coded(symbols, of_tables(indices, gaussian_tables())))
    assert best < size < best + 0.35 * (static - best)


def test_values_are_predicted_where_they_resemble_their_neighbours():
    y, x = np.indices((40, 40))
    smooth = (60 * np.sin(y / 9) + 50 * np.cos(x / 8)).astype(int)[..., None]
    indices = np.full((1600, 1), 50)
    size = len(coded(smooth, of_tables(indices, gaussian_tables())))
    assert size < 0.5 * static_bytes(smooth.reshape(-1, 1), indices, gaussian_tables())


def test_measured_bits_are_the_stream():
    rng = np.random.default_rng(1)
    symbols = np.rint(rng.normal(0, 3, (12, 12, 8))).astype(int)
    encoder = MixingEncoder([symbols.shape], measure=True)
    indices = np.full((144, 8), 30)
    encoder.put(0, everywhere(12, 12), symbols.reshape(144, 8), of_tables(indices, gaussian_tables()))
    size = 8 * len(encoder.getvalue())
    assert encoder.spent[0].shape == symbols.shape and encoder.spent[0].min() > 0
    assert size - 16 <= encoder.spent[0].sum() <= size


def test_damage_is_noticed_or_gives_other_symbols():
    rng = np.random.default_rng(2)
    symbols = np.rint(rng.normal(0, 2, (6, 6, 4))).astype(int)
    distributions = of_tables(np.full((36, 4), 25), gaussian_tables())
    data = coded(symbols, distributions)
    for length in range(len(data)):
        with pytest.raises(StreamError):
            decoded(data[:length], symbols.shape, distributions)
    noticed = 0
    for n in range(200):
        damaged = bytearray(data)
        damaged[n % (len(data) - 2)] ^= 1 << n % 8  # the end's last bits may stand for the same symbols
        try:
            assert not np.array_equal(decoded(bytes(damaged), symbols.shape, distributions), symbols)
        except StreamError:
            noticed += 1
    assert noticed > 100


def test_a_golden_stream():
    """The numbers are this format's definition."""
    n = np.arange(5 * 6 * 3).reshape(5, 6, 3)
    symbols = (n * n * 7 % 11 - 5) * (n % 3)
    symbols[4, 5, 2] = -70000
    tables = FrequencyTables.from_pmfs([[1, 4, 8, 4, 1], [1, 1, 2, 4, 8, 4, 2, 1, 1], [1, 6, 1]], lowest=[-1, -3, 0])
    tabled = coded(symbols, of_tables(np.broadcast_to([0, 1, 2], (30, 3)), tables), [2, 0, 1])
    mixed = coded(symbols, of_mixture(mixtures(np.random.default_rng(0), symbols.size)))
    assert (len(tabled), hashlib.sha256(tabled).hexdigest()[:16]) == (43, "c0415f9f3a300520")
    assert (len(mixed), hashlib.sha256(mixed).hexdigest()[:16]) == (47, "c0cfc185539c7507")


def picture(seed):
    """Latents of two channels that are large in the left half: symbols [16,16,2] and what a prior makes of them."""
    rng = np.random.default_rng(seed)
    scale = np.where(np.arange(16) < 8, 4.0, 0.3)[:, None]
    symbols = np.rint(rng.laplace(size=(16, 16, 2)) * scale).astype(int)
    return symbols, of_tables(np.full((256, 2), 30), gaussian_tables())


def practised(seeds):
    experience = []
    for seed in seeds:
        encoder = MixingEncoder([(16, 16, 2)], experience=experience)
        symbols, distributions = picture(seed)
        encoder.put(0, everywhere(16, 16), symbols.reshape(-1, 2), distributions)
        experience = encoder.experience
    return experience


def test_experience_saves_bits_and_both_sides_have_it():
    kept = [Experience.from_packed(practised(range(10))[0].packed())]
    symbols, distributions = picture(99)
    sizes = []
    for experience in ([], kept):
        encoder = MixingEncoder([symbols.shape], experience=experience)
        encoder.put(0, everywhere(16, 16), symbols.reshape(-1, 2), distributions)
        data = encoder.getvalue()
        sizes.append(len(data))
        decoder = MixingDecoder(data, [symbols.shape], experience)
        assert np.array_equal(decoder.get(0, everywhere(16, 16), distributions).reshape(symbols.shape), symbols)
        decoder.finish()
    assert sizes[1] < 0.97 * sizes[0]


def test_experience_keeps_its_arrays():
    experience = practised([1])[0]
    again = Experience.from_packed(experience.packed())
    assert again.counters.shape == experience.counters.shape and again.weights.dtype == np.int32
    assert np.array_equal(again.counters[..., :8] >> 16, experience.counters[..., :8] >> 16)
    assert np.array_equal(again.weights[:, :8], experience.weights[:, :8])
    assert (again.counters & 1023).max() == 30 and (experience.counters & 1023).max() > 30
    assert again.packed() == experience.packed()


def test_experience_that_does_not_fit():
    experience = practised([1])
    with pytest.raises(ValueError, match="another number of channels than 3"):
        MixingEncoder([(4, 4, 3)], experience=experience)
    packed = experience[0].packed()
    for damaged in (b"", packed[:8], packed[:-100], b"\1" + packed[1:], packed[:4] + b"\xff\xff\xff\xff" + packed[8:]):
        with pytest.raises(ValueError, match="of another context-mixing coder"):
            Experience.from_packed(damaged)
    with pytest.raises(ValueError, match="is damaged"):
        Experience.from_packed(packed[:8] + b"no zlib")


# --- temporal contexts and statistics that go on --------------------------------------------------------------------


def clip(frames, distributions, statistics, pasts=True, levels=None):
    """Streams of frames [h,w,M], each coded with the statistics that those before it leave."""
    past, streams = None, []
    for n, frame in enumerate(frames):
        encoder = MixingEncoder([frame.shape], statistics=[statistics])
        known = {"past": past, "foreseen": levels[n] if levels is not None else None} if statistics.temporal else {}
        symbols = frame.reshape(-1, frame.shape[2])
        encoder.put(0, everywhere(*frame.shape[:2]), symbols, distributions, **known)
        streams.append(encoder.getvalue())
        past = frame if pasts else None
    return streams


def clip_back(streams, shape, distributions, statistics, pasts=True, levels=None):
    past, frames = None, []
    for n, stream in enumerate(streams):
        decoder = MixingDecoder(stream, [shape], statistics=[statistics])
        known = {"past": past, "foreseen": levels[n] if levels is not None else None} if statistics.temporal else {}
        frames.append(decoder.get(0, everywhere(*shape[:2]), distributions, **known).reshape(shape))
        decoder.finish()
        past = frames[-1] if pasts else None
    return frames


@settings(max_examples=40)
@given(
    st.lists(SYMBOL, min_size=1, max_size=60), st.integers(1, 3), st.integers(1, 4), st.integers(0, 2**32 - 1),
    st.booleans(), st.booleans(), st.booleans(),
)  # fmt: skip
def test_decoding_frames_is_the_inverse(values, channels, width, seed, temporal, pasts, foreseen):
    rng = np.random.default_rng(seed)
    shape = (-(-len(values) // (3 * channels * width)), width, channels)
    frames = np.resize(np.array(values, np.int64), (3, *shape))
    distributions = of_tables(rng.integers(0, 64, (shape[0] * width, channels)), gaussian_tables())
    levels = rng.integers(0, 16, frames.shape) if foreseen else None
    sender, receiver = Statistics(channels, temporal=temporal), Statistics(channels, temporal=temporal)
    streams = clip(frames, distributions, sender, pasts, levels)
    assert np.array_equal(clip_back(streams, shape, distributions, receiver, pasts, levels), frames)
    for kept in ("counters", "weights", "errors"):
        assert np.array_equal(getattr(sender, kept), getattr(receiver, kept))


def moving(count, seed=5):
    """Frames [24,24,8] that are busy at places which nothing but the frame before tells, and the levels there."""
    rng = np.random.default_rng(seed)
    busy = rng.random((24, 24, 8)) < 0.1
    scale = np.where(busy, 4.0, 0.15)
    frames = [np.rint(rng.laplace(size=scale.shape) * scale).astype(int) for _ in range(count)]
    return frames, of_tables(np.full((576, 8), 20), gaussian_tables()), np.where(busy, 9, 2)


def test_what_the_past_and_foresight_tell_is_learned():
    frames, distributions, busy = moving(8)
    still = sum(map(len, clip(frames, distributions, Statistics(8))))
    past = sum(map(len, clip(frames, distributions, Statistics(8, temporal=True))))
    levels = [busy] * len(frames)
    both = sum(map(len, clip(frames, distributions, Statistics(8, temporal=True), levels=levels)))
    assert past < 0.92 * still
    assert both < 0.92 * past


def test_statistics_go_on_and_copies_do_not_change():
    frames, distributions, _ = moving(6)
    statistics = Statistics(8, temporal=True)
    begun = statistics.copy()
    together = sum(map(len, clip(frames, distributions, statistics)))
    assert not begun.counters.any() and not begun.errors.any() and statistics.errors.any()
    alone = sum(len(clip([frame], distributions, begun.copy())[0]) for frame in frames)
    assert together < 0.97 * alone
    again = [len(stream) for stream in clip(frames, distributions, begun)]
    assert sum(again) == together


def test_experience_with_temporal_contexts():
    frames, distributions, _ = moving(4)
    practised = Statistics(8, temporal=True)
    clip(frames, distributions, practised)
    again = Experience.from_packed(practised.experience.packed())
    assert again.counters.shape == practised.counters.shape and again.weights.shape == practised.weights.shape
    others = moving(2, seed=5)[0]
    sizes = [sum(map(len, clip(others, distributions, Statistics(8, known, temporal=True)))) for known in (None, again)]
    assert sizes[1] < 0.97 * sizes[0]
    with pytest.raises(ValueError, match="the experience has some temporal contexts, the statistics need none"):
        Statistics(8, again)
    with pytest.raises(ValueError, match="the experience has no temporal contexts, the statistics need some"):
        Statistics(8, Statistics(8).experience, temporal=True)
    with pytest.raises(ValueError, match="another number of channels than 9"):
        Statistics(9, again, temporal=True)


def test_bad_use_of_temporal_contexts():
    tables = of_tables(np.full((4, 2), 20), gaussian_tables())
    still, temporal = (MixingEncoder([(2, 2, 2)], statistics=[Statistics(2, temporal=t)]) for t in (False, True))
    symbols = np.zeros((4, 2), int)
    with pytest.raises(ValueError, match="no temporal contexts"):
        still.put(0, everywhere(2, 2), symbols, tables, past=np.zeros((2, 2, 2), int))
    with pytest.raises(ValueError, match="past has the shape"):
        temporal.put(0, everywhere(2, 2), symbols, tables, past=np.zeros((2, 3, 2), int))
    with pytest.raises(ValueError, match="foreseen has the shape"):
        temporal.put(0, everywhere(2, 2), symbols, tables, foreseen=np.zeros((4, 2), int))
    with pytest.raises(ValueError, match="of 2 channels, the plane has 3"):
        MixingEncoder([(2, 2, 3)], statistics=[Statistics(2)])
    with pytest.raises(ValueError, match="one for each plane"):
        MixingDecoder(b"", [(2, 2, 2), (2, 2, 2)], statistics=[Statistics(2)])


def test_damage_of_frames_is_noticed_or_gives_other_symbols():
    frames, distributions, _ = moving(2)
    streams = clip(frames, distributions, Statistics(8, temporal=True))
    sender = Statistics(8, temporal=True)
    clip(frames[:1], distributions, sender)

    def second(data):
        decoder = MixingDecoder(data, [(24, 24, 8)], statistics=[sender.copy()])
        found = decoder.get(0, everywhere(24, 24), distributions, past=frames[0]).reshape(24, 24, 8)
        decoder.finish()
        return found

    assert np.array_equal(second(streams[1]), frames[1])
    for length in range(0, len(streams[1]), 17):
        with pytest.raises(StreamError):
            second(streams[1][:length])
    for n in range(100):
        damaged = bytearray(streams[1])
        damaged[n * 7 % (len(damaged) - 2)] ^= 1 << n % 8
        try:
            assert not np.array_equal(second(bytes(damaged)), frames[1])
        except StreamError:
            pass


def test_golden_frames():
    """The numbers are this format's definition."""
    n = np.arange(2 * 5 * 6 * 3).reshape(2, 5, 6, 3)
    frames = (n * n * 7 % 11 - 5) * (n % 3)
    frames[0, 4, 5, 2] = -70000
    tables = FrequencyTables.from_pmfs([[1, 4, 8, 4, 1], [1, 1, 2, 4, 8, 4, 2, 1, 1], [1, 6, 1]], lowest=[-1, -3, 0])
    distributions = of_tables(np.broadcast_to([0, 1, 2], (30, 3)), tables)
    streams = clip(frames, distributions, Statistics(3, temporal=True), levels=n % 16)
    found = [(len(stream), hashlib.sha256(stream).hexdigest()[:16]) for stream in streams]
    assert found == [(43, "2c3c9d5af5b81f29"), (21, "7a9203f14ad92c6b")]
