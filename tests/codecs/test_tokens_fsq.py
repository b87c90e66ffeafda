"""``tokens-fsq``: pictures as small integers and back, at any number of dimensions; formats and damage."""

import dataclasses
import hashlib

import codeckit
import numpy as np
import pytest
import torch
from codeckit import metrics
from codeckit.bench.studies import fuzz
from codeckit.bench.studies.pictures import photo
from codeckit.codecs.registry import codec
from codeckit.codecs.tokens import fsq
from codeckit.codecs.tokens.tokenizer import Tokenizer, fit_table, initialize, levels_of
from codeckit.primitives import StreamError, container
from codeckit.primitives.entropy.causal import CausalNetwork, inputs
from codeckit.primitives.tokens import Tokens
from codeckit.primitives.weights import read_tensors, write_tensors
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def picture():
    return photo(96, 80, seed=4)


def symbols(seed, count, dimensions):
    """Small integers such as the tokenizer has, mostly near the middle: int32 [count,dimensions]."""
    rng, levels = np.random.default_rng(seed), np.array(fsq.load_tokenizer().causal.levels[:dimensions])
    drawn = np.rint(rng.laplace(0, levels / 8, (count, dimensions))) + levels // 2
    return np.clip(drawn, 0, levels - 1).astype(np.int32)


def test_pictures_come_back_better_with_more_dimensions(picture):
    sizes, quality = [], []
    for q in (1, 3, 5, 8):
        coder = codec("tokens-fsq", quality=q)
        stream = coder.encode(picture)
        back = codeckit.decode(stream)
        assert back.shape == picture.shape and back.dtype == np.uint8
        sizes.append(len(stream))
        quality.append(metrics.psnr(picture, back))
    assert sizes == sorted(sizes) and quality == sorted(quality) and quality[-1] > quality[0] + 1
    assert codeckit.info(stream).size == picture.shape[:2] and codeckit.info(stream).channels == 3


def test_any_size_and_grey(picture):
    for image in (picture[:1, :1], picture[:17, :33], picture[..., 0]):
        back = codeckit.decode(codec("tokens-fsq", quality=2).encode(image))
        assert back.shape == (*image.shape[:2], 3)


def test_tokens_between_the_stages(picture):
    coder = codec("tokens-fsq", quality=4)
    tokens = coder.tokenize(picture)
    levels = fsq.load_tokenizer().causal.levels
    assert tokens.grid == (6, 5) and tokens.features.shape == (30, 12) and tokens.source == "tokens-fsq"
    assert (tokens.features >= 0).all() and (tokens.features < levels[:12]).all()
    assert (coder.stages["tokenize"].inverse(tokens).planes[0] == coder.decode(coder.encode(picture))[..., 0]).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99), st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 3, 12, 48]), st.booleans())
def test_symbols_come_back(seed, rows, columns, dimensions, progressive):
    stage = fsq.NetworkIndices(progressive)
    tokens = Tokens(symbols(seed, rows * columns, dimensions), (rows, columns), size=(16 * rows, 16 * columns))
    payload = stage.forward(tokens)
    back = fsq.NetworkIndices().inverse(payload)
    assert (back.features == tokens.features).all() and (back.grid, back.size) == (tokens.grid, tokens.size)
    assert stage.describe(payload) == (tokens.size, "rgb")


def test_a_golden_stream():
    """The format, and the shipped network's integers: a change here makes streams unreadable."""
    tokens = Tokens(symbols(7, 20, 48), (4, 5), size=(60, 77))
    payload = fsq.NetworkIndices().forward(tokens)
    assert hashlib.sha256(payload).hexdigest()[:16] == "cea3b493d841c8cc"


def test_a_prefix_decodes(picture):
    coder = codec("tokens-fsq", quality=6, progressive=True)
    stream = coder.encode(picture)
    assert (coder.decode(stream, partial=True) == coder.decode(stream)).all()
    shown = []
    for cut in range(40, len(stream), 7):
        try:
            shown.append(metrics.psnr(picture, coder.decode(stream[:cut], partial=True)))
        except StreamError:
            assert not shown  # once the first dimension is there, every longer prefix decodes
    assert len(shown) > 5 and shown[-1] > shown[0] and np.diff(shown).min() > -0.3
    with pytest.raises(StreamError):
        coder.decode(stream[:-5])
    with pytest.raises(StreamError, match="layers"):
        coder.decode(codec("tokens-fsq").encode(picture)[:-5], partial=True)


def test_damage_gives_a_picture_or_a_stream_error(picture):
    streams = [codec("tokens-fsq", quality=3, progressive=own).encode(picture) for own in (False, True)]
    outcomes = set()
    for number in range(200):
        rng = np.random.default_rng(number)
        damage = fuzz.ANY_STREAM[rng.integers(len(fuzz.ANY_STREAM))]
        mutated = damage(rng, streams[number % 2], streams[rng.integers(2)]) or b"\0"
        try:
            back = codeckit.decode(fuzz.repair_crc(mutated), max_pixels=1 << 16)
        except StreamError:
            outcomes.add("refused")
            continue
        outcomes.add("picture")
        assert back.dtype == np.uint8 and back.ndim == 3
    assert outcomes == {"refused", "picture"}
    held = container.unpack(streams[0])
    foreign = container.pack(dataclasses.replace(held, sections={**held.sections, container.WEIGHTS: b"abcd"}))
    with pytest.raises(StreamError, match="weights"):
        codeckit.decode(foreign)
    with pytest.raises(StreamError, match="weights"):
        codec("tokens-fsq").decode(foreign[:-5], partial=True)


def test_bad_options_and_tokens():
    for quality in (0, 9, 2.5, True):
        with pytest.raises(ValueError, match="a whole number from 1 to 8"):
            codec("tokens-fsq", quality=quality)
        with pytest.raises(ValueError, match="whole number from 1 to 8"):
            fsq.Tokenize(quality)
    stage = fsq.Tokenize()
    with pytest.raises(StreamError, match="grid"):
        stage.inverse(Tokens(symbols(0, 4, 3), (2, 2), size=(100, 100)))
    with pytest.raises(StreamError, match="levels"):
        stage.inverse(Tokens(np.full((4, 3), 200, np.int32), (2, 2)))
    with pytest.raises(StreamError, match="48 dimensions"):
        fsq.NetworkIndices().forward(Tokens(np.zeros((4, 49), np.int32), (2, 2)))


def test_other_rungs_code_the_same_symbols(picture):
    coder = codec("tokens-fsq", quality=5)
    own = coder.encode(picture)
    for rung in ("FixedIndices", "AdaptiveIndices", "MixedIndices"):
        stream = codec("tokens-fsq", quality=5, entropy=rung).encode(picture)
        assert (codeckit.decode(stream) == codeckit.decode(own)).all() and len(stream) > len(own)


# --- the network ---


def crops(count=24, side=64):
    return torch.from_numpy(np.stack([photo(side, side, seed=n) for n in range(count)]))


def test_the_start_is_a_block_transform_codec():
    torch.manual_seed(0)
    network = Tokenizer((65,) * 24, widths=(8, 8, 8))
    initialize(network, crops())
    x = crops(4).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        y = network.analysis(x)
        back = network.synthesis(network.rounded(y))
        plain = network.unproject(y)
    assert float(y.std()) == pytest.approx(1, abs=0.4)
    assert float((back - plain).abs().mean()) < 0.02  # so many levels cost little
    blocks = x.unfold(2, 16, 16).unfold(3, 16, 16)
    mean = blocks.mean((4, 5), keepdim=True)
    assert float((back - x).square().mean()) < 0.7 * float((blocks - mean).square().mean())


def test_tables_are_means():
    network = Tokenizer((5, 3), widths=(4, 4, 4))
    y = torch.randn(4, 2, 20, 20, generator=torch.Generator().manual_seed(0))
    fit_table(network, y)
    drawn = network.symbols(y)[:, 1]
    for v in range(3):
        assert network.table[1, v].item() == pytest.approx(float(y[:, 1][drawn == v].mean()), abs=0.05)
    assert levels_of(torch.tensor([6.0, 1.0, 0.1]), 0.6) == (33, 5, 3)


def test_the_file_of_a_tokenizer(tmp_path):
    network, path = Tokenizer((5, 3), widths=(4, 4, 4)), tmp_path / "model.safetensors"
    shapes = zip(("w1", "b1", "w2", "b2", "w3", "b3"), _shapes((5, 3)), strict=True)
    model = fsq.write_model(network, CausalNetwork((5, 3), **{name: np.ones(s, np.int32) for name, s in shapes}), path)
    assert fsq.read_model(path).fingerprint == model.fingerprint
    damaged = bytearray(path.read_bytes())
    damaged[-3] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match="damaged"):
        fsq.read_model(path)
    damaged[-3] ^= 1
    path.write_bytes(damaged)
    said, tensors = read_tensors(path, fsq.FORMAT)
    write_tensors(path, fsq.FORMAT, {**said, "levels": "[3, 3]"}, tensors)
    with pytest.raises(ValueError, match="damaged"):  # metadata that decoding depends on is covered, too
        fsq.read_model(path)


def _shapes(levels, hidden=2):
    """Shapes of a causal network's tensors: w1, b1, w2, b2, w3, b3."""
    sizes = (inputs(len(levels)), hidden, hidden, max(levels))
    for n in range(3):
        yield len(levels), *sizes[n : n + 2]
        yield len(levels), sizes[n + 1]
