"""The six networks shared with CompressAI compute what CompressAI computes.

Both get the same weights, drawn here from a fixed generator. Where the `compressai` package is installed, every tensor
is compared with its own; everywhere, a few figures are compared with those that compressai 1.2.8 gave (`FIGURES`).

CompressAI's `forward` does not quantize autoregressive latents as its `compress` does; ours does, so for these networks
the reference is what its `compress` and `decompress` really coded.
"""

import importlib
import importlib.util
import math
import re

import numpy as np
import pytest
import torch
from codeckit.bench.studies.learned_parity import differences, relative, run_reference, train_reference
from codeckit.bench.studies.pictures import photo
from codeckit.codecs.learned import import_compressai
from codeckit.codecs.learned.networks import NETWORKS as OURS
from codeckit.codecs.learned.networks import load_network, rename_keys

#: Number of channels in the tests, and the class in compressai.models.
SHARED = {
    "bmshj2018-factorized": ((8, 12), "FactorizedPrior"),
    "bmshj2018-hyperprior": ((8, 12), "ScaleHyperprior"),
    "mbt2018-mean": ((8, 12), "MeanScaleHyperprior"),
    "mbt2018": ((12, 12), "JointAutoregressiveHierarchicalPriors"),
    "cheng2020-anchor": ((8,), "Cheng2020Anchor"),
    "cheng2020-attn": ((8,), "Cheng2020Attention"),
}

TABLES = {
    "entropy_bottleneck": ("_offset", "_quantized_cdf", "_cdf_length"),
    "gaussian_conditional": ("_offset", "_quantized_cdf", "_cdf_length", "scale_table"),
}


#: What brings latents to a few steps, scales to about 1 and reconstructions into 0 … 1.
FACTORS = {
    r"^g_a.6.(weight|bias)": 3,
    r"^g_a.7.": 0.5,
    r"conv_[ab]\.": 0.3,
    r"igdn|g_s.*gamma": 0.02,
    r"^h_s.2\.": 3,
    r"^g_s.(6|7.0).(weight|bias)": 0.15,
    r"^g_s.9.0.": 0.03,
}
SHIFTS = {r"^g_s.(6|7.0|9.0).bias": 0.5, r"^(h_s|entropy_parameters).4.bias": 2}


def fixed_network(name):
    """Our network in evaluation mode with weights from a generator that gives the same numbers everywhere."""
    ours = OURS[name](*SHARED[name][0]).eval()
    random = np.random.Generator(np.random.PCG64(1))
    weights = ours.state_dict()
    for key in sorted(weights):
        shape, last = tuple(weights[key].shape), key.rpartition(".")[2]
        uniform = torch.from_numpy(random.random(shape))
        if last == "weight":
            value = (2 * uniform - 1) * (3 / np.prod(shape[1:])) ** 0.5
        elif last == "beta":
            value = (0.5 + uniform).sqrt()
        elif last == "gamma":
            value = (0.2 * uniform / shape[0]).sqrt()
        elif last == "quantiles":
            value = weights[key] + uniform[..., :1] - 0.5
        elif last == "bias" or ".biases." in key or ".factors." in key:
            value = uniform - 0.5
        elif ".matrices." in key:
            value = weights[key] + uniform - 0.5
        else:
            continue
        factor = math.prod(factor for part, factor in FACTORS.items() if re.search(part, key))
        shift = sum(shift for part, shift in SHIFTS.items() if re.search(part, key))
        weights[key] = (value * factor + shift).float()
    ours.load_state_dict(weights)
    return ours


def picture():
    random = np.random.Generator(np.random.PCG64(2))
    return torch.from_numpy(random.random((1, 3, 64, 128))).float()


def figures(y, latents, likelihoods, reconstruction):
    """Latents before and after quantization, bits of y and z, and the reconstruction, in a few numbers."""
    bits = [float(-likelihoods[key].double().log2().sum()) for key in sorted(likelihoods)]
    means = [t.double().abs().mean() for t in (y, latents["y"], reconstruction)]
    return [*map(float, means), float(reconstruction.double().std()), *bits]


#: `figures` of compressai 1.2.8 (torch 2.13, x86-64).
FIGURES = {
    "bmshj2018-factorized": (2.2078498, 2.2217636, 0.52477314, 0.065457338, 2117.5777),
    "bmshj2018-hyperprior": (2.2836315, 2.2734375, 0.52748778, 0.051431289, 1568.0289, 87.611951),
    "mbt2018-mean": (2.2836315, 2.3017062, 0.52749567, 0.050528343, 2031.578, 87.807368),
    "mbt2018": (1.6047681, 1.6057788, 0.49471297, 0.073790036, 1456.4319, 124.56164),
    "cheng2020-anchor": (1.927113, 1.938844, 0.5018421, 0.30223058, 1190.9559, 79.996471),
    "cheng2020-attn": (1.5962606, 1.6055685, 0.50894913, 0.13363818, 833.71975, 80.156767),
}


@pytest.mark.parametrize("name", SHARED)
def test_figures_of_compressai(name):
    ours, x = fixed_network(name), picture()
    with torch.no_grad():
        out = ours(x)
        mine = figures(ours.g_a(x), out.latents, out.likelihoods, out.reconstruction)
    assert mine == pytest.approx(FIGURES[name], rel=1e-4)


@pytest.fixture(scope="module")
def compressai():
    if importlib.util.find_spec("compressai") is None:
        pytest.skip("compressai is not installed (pip install compressai)")
    return import_compressai("compressai.models")


def reference(compressai, name, ours):
    weights = dict(ours.state_dict())
    theirs = getattr(compressai, SHARED[name][1])(*SHARED[name][0])
    for module, tables in TABLES.items():
        for table in tables if hasattr(theirs, module) else ():
            weights[f"{module}.{table}"] = getattr(getattr(theirs, module), table)
    if hasattr(theirs, "gaussian_conditional"):
        weights["gaussian_conditional.scale_bound"] = theirs.gaussian_conditional.scale_bound
    theirs.load_state_dict(weights)
    return theirs.eval()


@pytest.mark.parametrize("name", SHARED)
@torch.no_grad()
def test_same_tensors_as_compressai(compressai, name):
    ours, x = fixed_network(name), picture()
    theirs = reference(compressai, name, ours)
    latents, likelihoods, reconstruction = run_reference(theirs, x)
    out = ours(x)

    assert relative(ours.g_a(x), theirs.g_a(x)) < 1e-5
    assert out.latents.keys() == latents.keys()
    for key in latents:
        assert relative(out.latents[key], latents[key]) < 1e-5
        mine, expected = out.likelihoods[key], likelihoods[key]
        # Where the factorized prior of CompressAI computes 1 - 10⁻⁶ less 1 - 2·10⁻⁶, float32 leaves it 6·10⁻⁸.
        assert torch.allclose(mine, expected, rtol=1e-4, atol=3e-7)
        assert float(mine.log2().sum()) == pytest.approx(float(expected.log2().sum()), rel=1e-4)
    assert relative(out.reconstruction, reconstruction) < 1e-5
    assert figures(theirs.g_a(x), latents, likelihoods, reconstruction) == pytest.approx(FIGURES[name], rel=1e-4)


@pytest.mark.parametrize("name", SHARED)
def test_same_tensors_after_training(compressai, name):
    """A few steps of CompressAI's own training move every weight; the study `learned_parity` takes more."""
    crops = torch.from_numpy(np.stack([photo(64, 64, seed=seed) for seed in range(16)]))
    theirs = train_reference(compressai, name, SHARED[name][0], crops, steps=20)
    apart = differences(name, theirs, picture())
    assert apart.pop("ties") <= 1
    assert max(apart.values()) < 1e-4, apart


@pytest.mark.parametrize("name", SHARED)
def test_compressai_weights_load(compressai, name):
    theirs = getattr(compressai, SHARED[name][1])(*SHARED[name][0])
    theirs.update()
    ours = load_network(name, theirs.state_dict())
    assert set(ours.state_dict()) == set(rename_keys(theirs.state_dict()))
    for key, value in theirs.state_dict().items():
        if key in ours.state_dict():
            assert torch.equal(ours.state_dict()[key], value)


@pytest.mark.parametrize("name", SHARED)
@torch.no_grad()
def test_estimate_is_what_compressai_codes(compressai, name):
    """Our `bits` and the strings' length agree, up to 1 % and what strings cost in any case."""
    ours, x = fixed_network(name), picture()
    theirs = reference(compressai, name, ours)
    theirs.update()
    size = sum(8 * len(string) for (string,) in theirs.compress(x)["strings"])
    assert -0.01 < float(size - ours(x).bits()) / size < 0.01 + 128 / size


@pytest.mark.parametrize("name", SHARED)
def test_channels_as_compressai(compressai, name):
    configurations = importlib.import_module("compressai.zoo.image").cfgs[name]
    assert OURS[name].CHANNELS == tuple(configurations[quality] for quality in range(1, len(configurations) + 1))
