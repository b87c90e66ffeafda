"""A new architecture touches one file: here this one, and what stands for a line of entry points."""

import codeckit
import numpy as np
import pytest
import torch
from codeckit.bench.studies.pictures import photo
from codeckit.codecs import registry
from codeckit.codecs.learned import export, network_class, register_weights, weights
from codeckit.codecs.learned.networks import HyperpriorNetwork, load_network, network_name, network_names
from codeckit.codecs.learned.networks.layers import down, up
from codeckit.primitives import StreamError, plugins
from codeckit.primitives.entropy.factorized import FactorizedPrior
from codeckit.primitives.entropy.gaussian import GaussianConditional
from torch import nn


class Tiny(HyperpriorNetwork):
    """A mean-scale hyperprior whose transforms have GELU where others have GDN."""

    summary = "mean-scale hyperprior with GELU"
    CHANNELS = ((8, 12), (16, 24))
    SMALL = (4, 6)

    def __init__(self, N: int, M: int):
        super().__init__()
        self.g_a = nn.Sequential(down(3, N), nn.GELU(), down(N, N), nn.GELU(), down(N, N), nn.GELU(), down(N, M))
        self.g_s = nn.Sequential(up(M, N), nn.GELU(), up(N, N), nn.GELU(), up(N, N), nn.GELU(), up(N, 3))
        self.h_a = nn.Sequential(down(M, N), nn.GELU(), down(N, N))
        self.h_s = nn.Sequential(up(N, N), nn.ReLU(), up(N, 2 * M))  # exact in integers
        self.entropy_bottleneck = FactorizedPrior(N)
        self.gaussian_conditional = GaussianConditional()

    def conditional(self, y, features, proxy):
        """Quantized latents and their likelihoods; the features are scales, then means."""
        scales, means = features.chunk(2, dim=1)
        y_hat, likelihoods = self.gaussian_conditional(y, scales, means)
        return self.gaussian_conditional.quantize(y, means) if proxy == "rounded" else y_hat, likelihoods


@pytest.fixture
def declared(monkeypatch):
    """What a distribution's line of entry points does: tiny = "…:Tiny" in the group codeckit.networks."""
    line = plugins.Declaration("my-lab", "tiny", f"{__name__}:Tiny")
    others = {**plugins._others(), "codeckit.networks": [line]}
    monkeypatch.setattr(plugins, "_others", lambda: others)
    monkeypatch.setattr(weights, "_registered", {})


@pytest.fixture
def file(declared, tmp_path):
    torch.manual_seed(0)
    network = Tiny(*Tiny.SMALL).eval()
    with torch.no_grad():
        network.g_a[-1].weight *= 30
        network.h_s[-1].bias[: Tiny.SMALL[1]] += 1
    return export(network, [photo(64, 64)], tmp_path / "tiny.safetensors", quality=2).path


def test_a_declared_network_is_a_codec(declared):
    assert "my-lab:tiny" in network_names() and network_class("tiny") is network_class("my-lab:tiny") is Tiny
    assert network_name(Tiny) == "my-lab:tiny"
    entry = registry.entry("tiny")
    assert (entry.name, entry.family, entry.quality, entry.summary) == ("tiny", "learned", (1, 2), Tiny.summary)
    assert not entry.available and "weights" in entry.install
    with pytest.raises(ValueError, match="weights=path"):
        codeckit.codec("tiny")


def test_it_codes_and_its_streams_decode_by_their_fingerprint(file):
    codec = codeckit.codec("tiny", weights=file)
    assert codec.setting == {"quality": 2, "weights": file}
    for image in (photo(70, 100, seed=1), photo(30, 20, 1, seed=2)):
        stream = codec.encode(image)
        *stages, _ = codec.stages.values()
        value = image
        for stage in stages:
            value = stage.forward(value)
        assert np.count_nonzero(value.planes[0]) > value.planes[0].size / 10
        for stage in reversed(stages):
            value = stage.inverse(value)
        assert np.array_equal(codec.decode(stream), value)
        weights._registered.clear()
        with pytest.raises(StreamError, match="weights"):
            codeckit.decode(stream)
        register_weights(file)
        assert np.array_equal(codeckit.decode(stream), value)
    searched = codeckit.codec("tiny", weights=file, effort=1)
    assert searched.decode(searched.encode(image)).shape == image.shape


def test_weights_know_the_architecture(file):
    with pytest.raises(ValueError, match="holds weights of my-lab:tiny, not of mbt2018-mean"):
        codeckit.codec("mbt2018-mean", weights=file)
    state = network_class("mbt2018")(N=4, M=6).state_dict()
    with pytest.raises(ValueError, match="these are no weights of tiny"):
        load_network("tiny", state)


def test_a_class_that_nobody_declares(tmp_path):
    with pytest.raises(ValueError, match=r"Tiny is not declared as a network.*entry points 'codeckit\.networks'"):
        export(Tiny(4, 6), [photo(64, 64)], tmp_path / "tiny.safetensors", quality=1)
