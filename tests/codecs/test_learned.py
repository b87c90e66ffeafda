"""Learned codecs with small random networks: every architecture and size, exact decoding, weights, damaged streams."""

import functools
import hashlib
import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace

import codeckit
import numpy as np
import pytest
import torch
from codeckit.bench.studies import fuzz
from codeckit.bench.studies.pictures import photo
from codeckit.cli import main
from codeckit.codecs import batches
from codeckit.codecs.learned import export, header, load_weights, register_weights, weights
from codeckit.codecs.learned import stages as learned_stages
from codeckit.codecs.learned.networks import NETWORKS, load_network
from codeckit.codecs.learned.probabilities import ProbabilityModel, prior_tables
from codeckit.codecs.learned.stages import LatentCoded, LatentMixed
from codeckit.primitives import ContextCoded, HuffmanCoded, PadTo, StreamError, container
from codeckit.primitives.entropy.factorized import FactorizedPrior
from codeckit.primitives.entropy.latents import LatentDecoder
from codeckit.primitives.entropy.tables import FrequencyTables
from codeckit.primitives.learned.integer import IntegerLayer, IntegerNetwork
from codeckit.primitives.learned.tiles import tiled
from PIL import Image
from safetensors.torch import load_file

NAMES = list(NETWORKS)

#: Networks with gain units, and with mixtures.
VARIABLE = {name for name in NAMES if NETWORKS[name].variable_rate}
MIXED = VARIABLE - {"balle2017"}
WITH_HYPERPRIOR = NAMES[2:]


def small(name, seed=1, spread=3.0):
    """A network whose latents are a few units large and whose scales are `spread`, which is about right for them."""
    torch.manual_seed(seed)
    network = NETWORKS[name](*NETWORKS[name].SMALL).eval()
    with torch.no_grad():
        last = [module for module in network.g_a if isinstance(module, torch.nn.Conv2d)][-1]
        y = network.g_a(torch.from_numpy(photo(128, 128)).permute(2, 0, 1)[None] / 255)
        last.weight *= (8 if name in MIXED else 2) / y.std()  # before gain units, which divide by up to 11
        last.bias.zero_()
        if hasattr(network, "entropy_parameters"):
            bias = network.entropy_parameters[-1].bias
            bias[slice(-len(bias) // 3, None) if name in MIXED else slice(len(bias) // 2)] += spread
        elif hasattr(network, "h_s"):
            convolution = [module for module in network.h_s if hasattr(module, "bias")][-1]
            convolution.bias[: network.g_s[0].in_channels] += spread
    return network


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Small networks gain nothing from more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    for name in NAMES:
        quality = (1, 8) if name in VARIABLE else 2
        export(small(name), [photo(128, 128)], folder / f"{name}.safetensors", quality=quality, note="random")
    return {name: str(folder / f"{name}.safetensors") for name in NAMES}


def build(files, name, **options):
    return codeckit.codec(name, weights=files[name], **options)


def symbols(codec, image):
    """What the encoder rounds to, and the reconstruction that it makes of that."""
    *stages, entropy = codec.stages.values()
    value = image
    for stage in stages:
        value = stage.forward(value)
    found = value
    for stage in reversed(stages):
        value = stage.inverse(value)
    return found, value, entropy


# --- round trips ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_decoding_gives_the_encoders_own_reconstruction(files, name):
    codec = build(files, name)
    image = photo(70, 130, seed=3)
    stream = codec.encode(image)
    coded, reconstruction, entropy = symbols(codec, image)
    decoded = entropy.inverse(container.unpack(stream).payload)
    assert len(decoded.planes) == len(coded.planes)
    assert all((a == b).all() and a.dtype == b.dtype for a, b in zip(decoded.planes, coded.planes, strict=True))
    assert entropy.forward(decoded) == container.unpack(stream).payload
    assert (codec.decode(stream) == reconstruction).all()
    assert np.count_nonzero(coded.planes[0]) > coded.planes[0].size / 10  # the test tests something


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (3, 65), (64, 64)])
def test_every_size_in_grey_and_colour(files, name, size):
    codec = build(files, name)
    for channels in 1, 3:
        image = photo(*size, channels, seed=4)
        stream = codec.encode(image)
        decoded = codec.decode(stream)
        assert decoded.shape == image.shape and decoded.dtype == np.uint8
        found = codeckit.info(stream)
        assert (found.size, found.channels) == (size, channels)
        assert found.details["weights"] == load_weights(files[name]).header.fingerprint.hex()
    with pytest.raises(ValueError, match="alpha"):
        codec.encode(np.zeros((*size, 4), np.uint8))


@pytest.mark.parametrize("name", NAMES)
def test_estimated_bits_are_real_bytes(files, name):
    codec = build(files, name)
    image = photo(256, 256, seed=5)
    coded, _, _ = symbols(codec, image)
    estimate = sum(float(bits.sum()) for bits in coded.modelled.bits()) / 8
    size = len(codec.replace(entropy=LatentCoded()).encode(image))
    named = len('__[["entropy","codeckit:LatentCoded@1",{}]]')  # where that is not the codec's own stage
    assert estimate <= size <= 1.005 * estimate + 24 + named
    mixed = codec.replace(entropy=LatentMixed())
    spent = sum(float(bits.sum()) for bits in coded.modelled.encode_mixed(measure=True).spent) / 8
    assert spent <= len(mixed.encode(image)) <= spent + 24 + named
    assert all(bits.shape == plane.shape for bits, plane in zip(coded.modelled.bits(), coded.planes, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_both_entropy_stages_hold_the_same_symbols(files, name):
    image = photo(130, 190, seed=5)
    plain, mixed = (build(files, name).replace(entropy=stage()) for stage in (LatentCoded, LatentMixed))
    assert len(mixed.encode(image)) < len(plain.encode(image))
    assert (mixed.decode(mixed.encode(image)) == plain.decode(plain.encode(image))).all()
    several = [image, image[::-1], image[:100]]
    together = mixed.decode_many(mixed.encode_many(several))
    alone = [mixed.decode(mixed.encode(each)) for each in several]
    assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(together, alone, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_the_float_networks_likelihoods_tell_the_same(files, name):
    """`forward`, which training and evaluation use, and the integers: the same latents, but for ties, and rate."""
    codec = build(files, name)
    image = photo(128, 192, seed=6)
    coded, _, _ = symbols(codec, image)
    network = load_weights(files[name]).network
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        out = network(x, quality=4) if name in VARIABLE else network(x)
    latents = torch.from_numpy(coded.modelled.latents / 256).permute(2, 0, 1)
    away = (latents - out.latents["y"][0]).abs()
    assert (away > 0.05).float().mean() < 0.01
    bits = sum(float(bits.sum()) for bits in coded.modelled.bits())
    assert bits == pytest.approx(float(out.bits()), rel=0.01)


def test_overhead_of_the_smallest_streams(files):
    for name in NAMES:
        image = photo(64, 300, seed=7)
        stream = build(files, name).encode(image)
        coded, _, _ = symbols(build(files, name), image)
        latents = coded.modelled.encode_mixed().getvalue() if name in VARIABLE else coded.modelled.encode()
        assert len(stream) - len(latents) == 20 + (name in VARIABLE)
        assert b"safetensors" not in stream


@pytest.mark.parametrize("name", sorted(VARIABLE))
def test_continuous_quality(files, name):
    image = photo(128, 128, seed=8)
    coded = [symbols(build(files, name, quality=quality), image)[0] for quality in (1, 2.5, 4, 8)]
    magnitudes = [int(np.abs(picture.planes[0]).sum()) for picture in coded]
    assert magnitudes == sorted(set(magnitudes))
    assert build(files, name, quality=2.5).setting["quality"] == 2.5
    stream = build(files, name, quality=7.3).encode(image)
    assert (build(files, name, quality=1).decode(stream) == build(files, name).decode(stream)).all()
    with pytest.raises(ValueError, match="a number from 1 to 8"):
        build(files, name, quality=9)


# --- exactness ------------------------------------------------------------------------------------------------------

DIGEST = """
import hashlib, sys, torch
torch.set_num_threads(int(sys.argv[1]))
from codeckit.codecs.learned import WeightFile, stages
from codeckit.primitives import container
for pair in sys.argv[2:]:
    path, stream, stage = pair.split("|")
    payload = container.unpack(open(stream, "rb").read()).payload
    planes = getattr(stages, stage)(WeightFile(path)).inverse(payload).planes
    print(hashlib.sha256(b"".join(plane.tobytes() for plane in planes)).hexdigest())
"""


def test_symbols_are_the_same_whatever_decodes_them(files, tmp_path):
    """Encoded with one thread, decoded with two, without AVX and in another process: the same z and y."""
    expected, pairs = [], []
    for name in NAMES:
        codec = build(files, name)
        image = photo(120, 180, seed=9)
        coded, _, _ = symbols(codec, image)
        expected.append(hashlib.sha256(b"".join(plane.tobytes() for plane in coded.planes)).hexdigest())
        (tmp_path / name).write_bytes(codec.encode(image))
        pairs.append(f"{files[name]}|{tmp_path / name}|{type(codec.stages['entropy']).__name__}")
    plain = {**os.environ, "ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE", "ONEDNN_MAX_CPU_ISA": "SSE41"}
    command = [sys.executable, "-c", DIGEST, "2", *pairs]
    done = subprocess.run(command, env=plain, capture_output=True, text=True, check=True)
    assert done.stdout.split() == expected


@pytest.mark.parametrize("name", WITH_HYPERPRIOR)
def test_encoders_may_differ_in_floats(files, name, monkeypatch):
    """A network in another memory format rounds other floats; its stream is decoded to what it rounded to."""
    codec = build(files, name)
    image = photo(120, 180, seed=10)
    network = load_weights(files[name]).network
    network.to(memory_format=torch.contiguous_format)
    try:
        coded, _, entropy = symbols(codec, image)
        payload = entropy.forward(coded)
    finally:
        network.to(memory_format=torch.channels_last)
    assert all((a == b).all() for a, b in zip(entropy.inverse(payload).planes, coded.planes, strict=True))


@pytest.mark.parametrize("name", WITH_HYPERPRIOR)
def test_a_picture_in_a_batch_has_the_same_features(files, name):
    model = load_weights(files[name]).probabilities
    z = torch.from_numpy(np.random.default_rng(0).integers(-2000, 2000, (4, len(model.prior), 3, 5)))
    together = model.h_s(z.to(memory_format=torch.channels_last))
    assert all(torch.equal(together[n], model.h_s(z[n : n + 1])[0]) for n in range(4))


@pytest.mark.parametrize("channels", [1, 5])
def test_prior_tables(channels):
    torch.manual_seed(channels)
    prior = FactorizedPrior(channels)
    with torch.no_grad():
        for bias in prior.biases:
            bias += torch.randn_like(bias)
    prior.update_quantiles()
    gains = np.stack([np.ones(channels), np.linspace(0.5, 8, channels)])
    tables, medians = prior_tables(prior, gains)
    assert np.abs(medians / 256 - prior.solve_quantiles()[:, 1].numpy() * gains).max() <= 1 / 512
    for level, c in np.ndindex(medians.shape):
        table = level * channels + c
        low, high = tables.window(table)
        values = np.arange(low, high + 1)
        shifted = torch.zeros(channels, values.size)
        shifted[c] = torch.from_numpy(values + medians[level, c] / 256)
        gain = torch.from_numpy(gains[level]).float()
        expected = -prior.likelihood(shifted[None], gain).log2()[0, c].detach().numpy()
        likely = expected < 12
        assert np.abs(tables.bits(values, np.full(values.size, table)) - expected)[likely].max() < 0.01


# --- many pictures, large pictures, devices -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["balle2017", "bmshj2018-hyperprior", "mbt2018", "cheng2020", "cheng2020-checkerboard"]
)
def test_many_pictures_at_once(files, name):
    """A batch has the streams of its pictures, whatever their sizes; and so has what is decoded from them."""
    codec = build(files, name)
    images = [photo(*size, seed=n) for n, size in enumerate([(70, 50), (64, 64), (70, 50), (10, 200), (70, 50)])]
    images.append(images[0][..., 0])
    streams = list(codec.encode_many(images))
    assert streams == [codec.encode(image) for image in images]
    decoded = list(codec.decode_many(streams))
    for image, stream in zip(decoded, streams, strict=True):
        alone = codec.decode(stream)
        assert image.shape == alone.shape
        assert np.abs(image.astype(int) - alone).max() <= 1
    assert decoded[-1].ndim == 2


def test_a_damaged_stream_among_many(files):
    codec = build(files, "mbt2018")
    streams = [codec.encode(photo(40, 40, seed=n)) for n in range(3)]
    streams[1] = streams[1][:-9]
    decoding = codec.decode_many(streams)
    assert (next(decoding) == codec.decode(streams[0])).all()
    with pytest.raises(StreamError):
        next(decoding)


def test_batches_are_read_as_they_are_needed(files, monkeypatch):
    monkeypatch.setattr(batches, "BATCH_PIXELS", 3000)
    read = []

    def images():
        for n in range(9):
            read.append(n)
            yield photo(32, 32, seed=n)

    assert next(build(files, "balle2017").encode_many(images()))
    assert len(read) == 3


@pytest.fixture(scope="module")
def detailed(tmp_path_factory):
    """The network of a `cheng2020` whose details are a few units large, and its file."""
    torch.manual_seed(1)
    network = NETWORKS["cheng2020"](8, 12, 8, 6).eval()
    with torch.no_grad():
        network.g_a[7].weight *= 8
        network.d_a[1].weight *= 60
    path = tmp_path_factory.mktemp("details") / "detailed.safetensors"
    export(network, [photo(128, 128)], path, quality=(1, 8))
    return network, str(path)


def test_details_are_coded_after_what_they_are_details_of(detailed):
    """Codec and network agree on all latents; details are what the decoded base lacks, as d_a sees it."""
    network, path = detailed
    codec, image = codeckit.codec("cheng2020", quality=6, weights=path), photo(128, 192, seed=8)
    assert load_weights(path).header.path == path and codec.decode(codec.encode(image)).shape == image.shape
    y = symbols(codec, image)[0].planes[0]
    x = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        out = network(x, quality=6.0)
        base = network.g_s(network.inverse_gain(out.latents["y"], 6.0)[:, :12])
        details = network.gain.factors(6.0)[12:, None, None] * network.d_a(x - base)
    assert y.shape == (8, 12, 18) and (y[..., 12:] != 0).mean() > 0.1
    assert np.mean(y != out.latents["y"][0].permute(1, 2, 0).numpy()) < 0.01  # channels last adds up in another order
    assert torch.equal(out.latents["y"][:, 12:], details.round())
    decoded = codec.decode(codec.encode(image)).astype(float)
    assert np.abs(decoded - 255 * out.reconstruction[0].permute(1, 2, 0).numpy()).mean() < 1


def test_details_with_effort_and_in_batches(detailed):
    _, path = detailed
    image = photo(70, 90, seed=9)
    codec = codeckit.codec("cheng2020", quality=7, weights=path)
    assert list(codec.encode_many([image, image])) == 2 * [codec.encode(image)]
    searched = codeckit.codec("cheng2020", quality=7, weights=path, effort=2)
    assert (codec.decode(searched.encode(image)) == searched.decode(searched.encode(image))).all()


def test_masks_are_not_stored(files):
    tensors = load_file(files["cheng2020"])
    assert "network.context_prediction.mask" not in tensors
    assert tensors["network.context_prediction.weight"].shape == (24, 12, 12)
    loaded = load_weights(files["cheng2020"]).network.context_prediction
    assert torch.equal(loaded.weight.bool().any(0).any(0), loaded.mask[0, 0].bool())


@pytest.mark.parametrize("name", ["balle2017", "bmshj2018-factorized", "cheng2020-anchor", "cheng2020-attn", "details"])
def test_tiles_make_no_difference(files, detailed, name, monkeypatch):
    """To the bit in what is coded, to float rounding in the picture."""
    codec = codeckit.codec("cheng2020", weights=detailed[1]) if name == "details" else build(files, name)
    image = photo(500, 420, seed=21)
    stream, decoded = codec.encode(image), codec.decode(codec.encode(image))
    monkeypatch.setattr(learned_stages, "tiled", functools.partial(tiled, whole=20, side=5))
    assert codec.encode(image) == stream
    assert np.abs(codec.decode(stream).astype(int) - decoded).max() <= 1


def test_devices(files, monkeypatch):
    monkeypatch.setattr(weights, "_registered", {})
    register_weights(files["mbt2018"])
    with pytest.raises(ValueError, match="not on 'tpu'"):
        build(files, "mbt2018", device="tpu")
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    with pytest.raises(ValueError, match="no CUDA device"):
        build(files, "mbt2018", device="cuda")
    stream = build(files, "mbt2018").encode(photo(20, 20))
    with pytest.raises(ValueError, match="no CUDA device"):
        codeckit.decode(stream, device="cuda")
    assert codeckit.decode(codeckit.codec("jpeg").encode(photo(20, 20)), device="cuda").shape == (20, 20, 3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", NAMES)
def test_streams_from_a_gpu(files, name):
    """What a GPU writes a CPU reads, to the same symbols, and the other way round."""
    on = {device: build(files, name, device=device) for device in ("cpu", "cuda")}
    image = photo(120, 180, seed=22)
    for writer, reader in (("cpu", "cuda"), ("cuda", "cpu")):
        stream = on[writer].encode(image)
        coded, _, _ = symbols(on[writer], image)
        decoded = on[reader].stages["entropy"].inverse(container.unpack(stream).payload)
        assert all((a == b).all() for a, b in zip(decoded.planes, coded.planes, strict=True))
        assert np.abs(on[reader].decode(stream).astype(int) - on[writer].decode(stream)).max() <= 1


# --- compositions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bmshj2018-factorized", "mbt2018", "cheng2020"])
@pytest.mark.parametrize("entropy", [HuffmanCoded(), ContextCoded()], ids=lambda stage: type(stage).__name__)
def test_other_entropy_stages_code_the_same_symbols(files, name, entropy):
    codec = build(files, name)
    image = photo(64, 100, seed=11)
    swapped = codec.replace(entropy=entropy)
    assert (swapped.decode(swapped.encode(image)) == codec.decode(codec.encode(image))).all()
    assert codeckit.info(swapped.encode(image)).channels == 3


def test_padding_that_a_decoder_would_not_expect(files):
    with pytest.raises(ValueError, match="padding"):
        build(files, "mbt2018").replace(pad=PadTo(128)).encode(photo(30, 30))


def test_codecs_are_values(files):
    codec = build(files, "mbt2018")
    assert pickle.loads(pickle.dumps(codec)) == codec == build(files, "mbt2018", quality=2)
    assert list(codec.stages) == ["pad", "transform", "quantize", "entropy"]
    assert codec.setting == {"quality": 2, "weights": files["mbt2018"]}
    json.dumps(codec.setting)


def test_trace(files):
    codec = build(files, "mbt2018-mean")
    image = photo(100, 70, seed=12)
    trace = codec.trace(image)
    assert trace.stream == codec.encode(image)
    assert [step.shapes[0] for step in trace.steps[1:4]] == [(128, 128), (8, 8, 12), (8, 8, 12)]
    assert trace.steps[3].shapes[1] == (2, 2, 8)
    assert trace.steps[3].entropy > 0
    assert "LatentCoded" in str(trace)


@pytest.mark.parametrize("name", ["balle2017", "mbt2018", "cheng2020"])
def test_trace_shows_where_the_bits_go(files, name):
    trace = build(files, name).trace(photo(100, 70, seed=12))
    maps = {**trace.steps[3].maps, **trace.steps[4].maps}
    height, width, channels = maps["latents"].shape
    assert maps["scales"].shape == (height, width, channels) and (maps["scales"] > 0).all()
    assert maps["bits"].shape == (height, width) and maps["bits by channel"].shape == (channels,)
    assert maps["bits"].sum() == pytest.approx(maps["bits by channel"].sum())
    total = maps["bits"].sum() + (maps["side bits"].sum() if name != "balle2017" else 0)
    assert total == pytest.approx(8 * len(trace.stream), rel=0.005, abs=8 * 24)
    assert ("side bits" in maps) == (name != "balle2017")


# --- weights --------------------------------------------------------------------------------------------------------


def test_foreign_weights(files, tmp_path):
    image = photo(40, 40, seed=13)
    stream = build(files, "mbt2018").encode(image)
    other = export(small("mbt2018", seed=2), [image], tmp_path / "other.safetensors", quality=2)
    mine = load_weights(files["mbt2018"]).header.fingerprint.hex()
    with pytest.raises(StreamError, match=f"weights {mine}, .*this codec has {other.fingerprint.hex()}"):
        codeckit.codec("mbt2018", weights=other.path).decode(stream)
    with pytest.raises(StreamError, match=r"codec\(name, weights=path\)\.decode\(stream\)"):
        codeckit.decode(stream)
    with pytest.raises(StreamError, match="made by codec number 6"):
        build(files, "cheng2020-anchor").decode(stream)
    held = container.unpack(stream)
    transform = b'[["transform","codeckit:Learned@1",{"weights":"x"}]]'
    for fields in (
        {"sections": {}},
        {"codec": 5},
        {"sections": {container.STAGES: transform, **held.sections}},
    ):
        with pytest.raises(StreamError):
            codeckit.decode(container.pack(replace(held, **fields)))
    with pytest.raises(StreamError, match="weights"):
        codeckit.decode(container.pack(container.Container(27, 1, b"", {container.WEIGHTS: b"1234"})))


def test_registered_weights_are_found_by_their_fingerprint(files, monkeypatch):
    monkeypatch.setattr(weights, "_registered", {})
    image = photo(40, 40, seed=14)
    stream = build(files, "bmshj2018-hyperprior").encode(image)
    register_weights(files["bmshj2018-hyperprior"])
    assert (codeckit.decode(stream) == build(files, "bmshj2018-hyperprior").decode(stream)).all()


def test_command_line(files, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(weights, "_registered", {})
    Image.fromarray(photo(40, 30, seed=20)).save(tmp_path / "in.png")
    picture, stream, decoded = (str(tmp_path / name) for name in ("in.png", "out.ckt", "out.png"))
    assert main(["encode", picture, stream, "--codec", f"mbt2018:weights={files['mbt2018']}"]) == 0
    assert main(["decode", stream, decoded]) == 1
    assert "weights" in capsys.readouterr().err
    assert main(["decode", stream, decoded, "--weights", files["mbt2018"]]) == 0
    assert Image.open(decoded).size == (30, 40)


def test_shipped_weights_are_the_default(files, monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="weights=path"):
        codeckit.codec("mbt2018-mean")
    (tmp_path / "any.safetensors").write_bytes(open(files["mbt2018-mean"], "rb").read())
    monkeypatch.setattr(header, "SHIPPED", tmp_path)
    codec = codeckit.codec("mbt2018-mean", quality=2)
    image = photo(40, 40, seed=15)
    stream = codec.encode(image)
    assert (codeckit.decode(stream) == codec.decode(stream)).all()
    with pytest.raises(ValueError, match="serve the quality 2, not 3"):
        codeckit.codec("mbt2018-mean", quality=3)


def test_wrong_weights(files, tmp_path):
    with pytest.raises(ValueError, match="of mbt2018, not of balle2017"):
        codeckit.codec("balle2017", weights=files["mbt2018"])
    with pytest.raises(ValueError, match="serve the quality 2, not 5"):
        build(files, "mbt2018", quality=5)
    with pytest.raises(ValueError, match="mbt2018 takes quality as a whole number from 1 to 8"):
        build(files, "mbt2018", quality=9)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        codeckit.codec("mbt2018", weights="nowhere.safetensors")
    data = bytearray(open(files["mbt2018"], "rb").read())
    data[-1] ^= 1
    (tmp_path / "flipped").write_bytes(data)
    with pytest.raises(ValueError, match="damaged"):
        codeckit.codec("mbt2018", weights=tmp_path / "flipped").encode(photo(8, 8))
    (tmp_path / "cut").write_bytes(data[:-100])
    with pytest.raises(ValueError, match="no safetensors file"):
        codeckit.codec("mbt2018", weights=tmp_path / "cut")
    with pytest.raises(ValueError, match="not declared as a network"):
        export(torch.nn.Identity(), [], tmp_path / "none", quality=1)
    with pytest.raises(ValueError, match="typical pictures"):
        export(small("mbt2018"), [], tmp_path / "none", quality=1)


def test_compressai_when_it_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for module in "compressai", "compressai.zoo":
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match="pip install"):
        codeckit.codec("mbt2018", quality=3, weights="compressai")
    with pytest.raises(ValueError, match="no checkpoint of cheng2020"):
        codeckit.codec("cheng2020", weights="compressai")


def test_weight_files_of_a_checkpoint(tmp_path):
    network = small("mbt2018-mean")
    torch.save({f"module.{k}": v for k, v in network.state_dict().items()}, tmp_path / "a.pth")
    loaded = load_network("mbt2018-mean", torch.load(tmp_path / "a.pth", weights_only=True))
    image = photo(64, 64)
    converted = export(loaded, [image], tmp_path / "a.safetensors", quality=1)
    assert converted.fingerprint == export(network, [image], tmp_path / "b.safetensors", quality=1).fingerprint


def test_half_precision_files(tmp_path):
    header = export(small("mbt2018"), [photo(64, 64)], tmp_path / "half.safetensors", quality=1, half=True)
    codec = codeckit.codec("mbt2018", weights=header.path)
    image = photo(50, 50, seed=16)
    assert codec.decode(codec.encode(image)).shape == image.shape
    assert load_weights(header.path).network.g_a[0].weight.dtype == torch.float32


# --- damage ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def streams(files):
    return [build(files, name).encode(photo(20, 37, seed=17)) for name in NAMES]


def test_damaged_streams_give_pictures_or_stream_errors(files, streams, monkeypatch):
    monkeypatch.setattr(weights, "_registered", {})
    monkeypatch.setattr(fuzz, "MAX_PIXELS", 1 << 16)
    for name in NAMES:
        register_weights(files[name])
    verdicts = []
    for number in range(1, 1200, 2):  # odd numbers are mutations of .ckt files
        case = fuzz.mutate(2027, number, [b"?"], streams)
        outcome = fuzz.attempt(case)
        assert outcome.verdict != "violation", (case.name, outcome.message)
        verdicts.append(outcome.verdict)
    assert {"picture", "StreamError"} == set(verdicts), "the mutations reach neither the networks nor the checks"


def test_large_symbols_behind_a_valid_checksum(files):
    """Streams that ask for absurd latents: still a picture of the declared size."""
    rng = np.random.default_rng(18)
    for name in NAMES:
        codec = build(files, name)
        image = photo(20, 20, seed=19)
        coded, _, entropy = symbols(codec, image)
        planes = tuple(rng.integers(-(1 << 31), 1 << 31, plane.shape).astype(np.int32) for plane in coded.planes)
        payload = entropy.forward(coded.replace(planes=planes))
        stream = container.pack(replace(container.unpack(codec.encode(image)), payload=payload))
        decoded = entropy.inverse(payload)
        assert all((a == b).all() for a, b in zip(decoded.planes, planes, strict=True))
        assert codec.decode(stream).shape == image.shape


# --- a stream that may never change -----------------------------------------------------------------------------------


def integer_model(parameters):
    """A model with a context whose numbers come from a generator that gives the same integers everywhere."""
    random = np.random.Generator(np.random.PCG64(4))

    def layer(kernel, channels_in, channels_out, masked=False, **options):
        weight = random.integers(-3000, 3000, (kernel, kernel, channels_in, channels_out))
        if masked:
            weight.reshape(kernel**2, -1)[kernel**2 // 2 :] = 0
        bias = random.integers(0, 1 << 20, channels_out)
        shift = torch.full((channels_out,), 12)
        return IntegerLayer(torch.from_numpy(weight), torch.from_numpy(bias), shift, shift, 1 << 20, **options)

    prior = FrequencyTables.from_pmfs(random.integers(1, 1000, (2, 7)).tolist(), lowest=[-2, -3])
    shuffled = layer(3, 2, 64, padding=1, upscale=4, slope=1000)
    return ProbabilityModel(
        3,
        parameters,
        prior,
        np.array([[100, -300]]),
        IntegerNetwork([shuffled], 8, 10),
        IntegerNetwork([layer(5, 3, 4, masked=True, padding=2)], 8, 10),
        IntegerNetwork([layer(1, 8, 6, slope=655), layer(1, 6, 3 * parameters)], 10, 8),
    )


@pytest.mark.parametrize("parameters, size, digest", [(2, 400, "8888704d31f0096d"), (9, 412, "28e45a2ef84602d8")])
def test_golden_stream(parameters, size, digest):
    random = np.random.Generator(np.random.PCG64(5))
    planes = random.integers(-9, 9, (8, 12, 3)), random.integers(-5, 5, (2, 3, 2))
    model = integer_model(parameters)
    coded = model.modelled(tuple(plane.astype(np.int32) for plane in planes))
    data = coded.encode()
    assert (len(data), hashlib.sha256(data).hexdigest()[:16]) == (size, digest)
    decoder = LatentDecoder(data)
    (decoded,) = model.decoded(8, 12, [lambda run: run.distribution.get(decoder)])
    decoder.finish()
    assert (decoded.symbols[0] == planes[0]).all() and (decoded.latents == coded.latents).all()
