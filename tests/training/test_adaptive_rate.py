"""The rate of an adaptive coder: a code that sees no future, learns what contexts tell, and trains a network."""

import json

import pytest
import torch
from codeckit.bench.datasets import dataset
from codeckit.codecs.learned.networks import Balle2017, load_network
from codeckit.training import losses
from codeckit.training.adaptive_rate import AdaptiveRate, laplace_bits
from codeckit.training.callbacks import LOG, WEIGHTS
from codeckit.training.data import Pack
from codeckit.training.image_codec import train
from codeckit.training.recipes import Recipe
from codeckit.training.start import fit_entropy_model, initialize
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

CHANNELS, SIDE = 5, 6

TINY = Recipe("tiny", "balle2017", (8,), 12, 4, 64, prior_steps=3, adaptive_steps=6, warmup=3, report=6)


@pytest.fixture(scope="module")
def crops():
    x = torch.from_numpy(dataset("sample:coffee")[0].load().copy())
    return torch.stack([x[y : y + 96, 40 : 40 + 96] for y in range(0, 280, 20)])


def random_rate(seed):
    torch.manual_seed(seed)
    rate = AdaptiveRate(CHANNELS, levels=8)
    rate.start(torch.randn(8, 4, CHANNELS, SIDE, SIDE) * torch.rand(CHANNELS)[:, None, None] * 4)
    for parameter in (rate.around.weight, rate.around.bias, rate.here):
        torch.nn.init.normal_(parameter, std=0.5)
    return rate


@given(scale=st.floats(0.04, 400))
def test_probabilities_of_whole_numbers_add_up(scale):
    symbols = torch.arange(-10_000.0, 10_001.0, dtype=torch.float64)
    bits = laplace_bits(symbols.abs(), torch.tensor(scale, dtype=torch.float64))
    assert float(torch.exp2(-bits).sum()) == pytest.approx(1, abs=1e-9)


@given(
    seed=st.integers(0, 1000),
    quality=st.floats(1, 8),
    at=st.tuples(*(st.integers(0, limit - 1) for limit in (CHANNELS, SIDE, SIDE))),
)
@settings(max_examples=30, deadline=None)
def test_scales_do_not_look_ahead(seed, quality, at):
    """A latent reaches scales at later positions, and at its own those of channels that see it; never its own."""
    rate, quality = random_rate(seed), torch.tensor([quality])
    y_hat = torch.randint(-4, 5, (1, CHANNELS, SIDE, SIDE)).float()
    changed = y_hat.clone()
    changed[0][at] += 9
    with torch.no_grad():
        moved = (rate.scales(y_hat, quality) != rate.scales(changed, quality))[0]
    channel, row, column = at
    raster = torch.arange(SIDE * SIDE).view(SIDE, SIDE)
    assert not moved[:, raster < raster[row, column]].any()
    assert not moved[:, row, column][rate.order[:, channel] == 0].any()
    assert moved[:, row, column].sum() <= rate.order[:, channel].sum()
    if row < SIDE - 1:
        assert moved[:, row + 1].any()


def test_the_order_is_that_of_sizes():
    rate = AdaptiveRate(3, levels=8)
    rate.start(torch.ones(8, 1, 3, 2, 2) * torch.tensor([1.0, 9.0, 4.0])[:, None, None])
    assert rate.order.tolist() == [[0, 1, 1], [0, 0, 0], [0, 1, 0]]
    assert rate.base.detach().exp()[0].tolist() == pytest.approx([1, 9, 4])


def test_it_learns_what_contexts_tell(crops):
    """Beside the network, which stays as it is: on photographs it soon takes fewer bits than one density a channel."""
    torch.manual_seed(0)
    network = Balle2017(24)
    initialize(network, crops)
    fit_entropy_model(network, crops, 100, learning_rate=1e-2)
    kept = {key: value.clone() for key, value in network.state_dict().items()}
    rate = AdaptiveRate(24, levels=8)
    curve = fit_entropy_model(network, crops, 200, rate=rate, learning_rate=1e-2)
    assert curve[-1] < curve[0]
    assert all(torch.equal(network.state_dict()[key], kept[key]) for key in kept)
    network.eval()
    with torch.no_grad():
        x, quality = crops.permute(0, 3, 1, 2) / 255, torch.full((len(crops),), 4.0)
        out = network(x, quality)
        medians = network.entropy_bottleneck.medians * network.gain.factors(4.0)
        bits = rate.bits(out.latents["y"] - medians[:, None, None], quality)
    assert float(bits.sum()) < 0.97 * float(out.bits().sum())


def test_the_prior_learns_on_the_side(crops):
    """Its bits move no transform: those gradients are the same whatever the prior says."""
    torch.manual_seed(0)
    network = Balle2017(6)
    objective = losses.Objective(network, rate=AdaptiveRate(6, levels=8))
    x, quality = crops[:2].permute(0, 3, 1, 2) / 255, torch.tensor([2.0, 7.0])

    def gradients():
        network.zero_grad()
        torch.manual_seed(1)
        terms = objective(x, quality)
        terms.loss.backward()
        return terms, network.g_a[0].weight.grad.clone(), network.gain.log_gain.grad.clone()

    terms, *first = gradients()
    assert network.entropy_bottleneck.matrices[0].grad.abs().sum() > 0
    with torch.no_grad():
        network.entropy_bottleneck.matrices[0] += 1
    others, *second = gradients()
    assert others.loss != terms.loss and others.bpp == terms.bpp
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_run_resumes_exactly(crops, tmp_path, stop_after):
    pack = Pack(crops, crops[:2])
    whole = train(TINY, pack, tmp_path / "whole")
    train(TINY, pack, tmp_path / "parts", callbacks=[stop_after(4)])
    assert train(TINY, pack, tmp_path / "parts", resume=True) == whole
    ours, theirs = (load_file(tmp_path / name / WEIGHTS) for name in ("parts", "whole"))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    load_network("balle2017", ours)  # nothing of the rate is in the weights
    log = [json.loads(line) for line in (tmp_path / "whole" / LOG).read_text().splitlines()]
    assert {"loss", "bpp", "distortion"} <= set(log[0])


def test_only_a_factorized_prior_needs_it(crops, tmp_path):
    with pytest.raises(ValueError, match="adaptive_steps are for balle2017"):
        train(Recipe("t", "cheng2020", (6,), 2, 2, 64, adaptive_steps=2), Pack(crops, crops[:1]), tmp_path)
