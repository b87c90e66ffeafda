"""The start of a training: a working transform codec of principal components."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from codeckit.bench.datasets import dataset
from codeckit.codecs.learned.lambdas import LAMBDAS
from codeckit.codecs.learned.networks import NETWORKS
from codeckit.training.image_codec import validate
from codeckit.training.start import fit_entropy_model, initialize, widen


@pytest.fixture(scope="module")
def crops():
    """Three photographs cut into tiles, uint8 [K,64,64,3]."""
    pictures = [image.load()[: 64 * 4, : 64 * 4] for image in dataset("sample")]
    tiles = [picture.reshape(4, 64, 4, 64, 3).swapaxes(1, 2).reshape(16, 64, 64, 3) for picture in pictures]
    return torch.from_numpy(np.concatenate(tiles))


def start(name, N, crops):
    torch.manual_seed(0)
    network = NETWORKS[name](N)
    initialize(network, crops)
    return network.eval()


def principal_components_psnr(crops, count):
    """PSNR of 16×16 blocks from their `count` first principal components, computed by an SVD of all blocks at once."""
    x = crops.numpy().astype(np.float64) / 255
    blocks = (x - x.mean((0, 1, 2))).reshape(-1, 4, 16, 4, 16, 3).swapaxes(2, 3).reshape(-1, 768)
    energies = np.linalg.svd(blocks, compute_uv=False) ** 2
    return 10 * np.log10(blocks.size / energies[count:].sum())


def transform_psnr(network, crops):
    x = crops.permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        return float(-10 * torch.log10((network.g_s(network.g_a(x)) - x).square().mean()))


@pytest.mark.parametrize("name", ["balle2017", "cheng2020", "cheng2020-checkerboard"])
def test_transforms_begin_as_principal_components(name, crops):
    """As good as the best linear transform of 16×16 blocks, less what nonlinearities and stages of 2×2 cost."""
    best = principal_components_psnr(crops, 48)
    ours = transform_psnr(start(name, 48, crops), crops)
    assert best - 1.5 < ours < best + 0.1


def test_more_channels_keep_more(crops):
    decibels = [transform_psnr(start("balle2017", N, crops), crops) for N in (12, 24, 96)]
    assert np.diff(decibels).min() > 1


@pytest.mark.parametrize("name", ["balle2017", "cheng2020"])
def test_a_start_is_a_codec_at_every_rate(name, crops):
    """Rate rises with quality and so does PSNR; no rate is out of proportion, as with densities that do not fit."""
    rows = validate(start(name, 24, crops), crops, (1, 3, 5, 8))
    assert all(b["bpp"] > a["bpp"] and b["psnr"] > a["psnr"] for a, b in pairwise(rows))
    assert rows[0]["psnr"] > 20 and rows[-1]["bpp"] < 4


def test_steps_are_those_of_high_rate(crops):
    """A latent has its component's deviation over the step Δ as its own, with Δ² = 18 / (ln 2 · λ · 255²)."""
    network = start("balle2017", 48, crops)
    x = crops.permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        first = (network.g_a(x)[:, 0] * network.gain.factors(8.0)[0]).std()
    blocks = (x - x.mean((0, 2, 3), keepdim=True)).unfold(2, 16, 16).unfold(3, 16, 16)
    largest = np.linalg.svd(blocks.permute(0, 2, 3, 1, 4, 5).reshape(-1, 768).numpy(), compute_uv=False)[0]
    deviation = largest / np.sqrt(blocks.shape[0] * 16)
    step = np.sqrt(18 / (np.log(2) * LAMBDAS["mse"][-1])) / 255
    assert float(first) == pytest.approx(deviation / step, rel=0.05)


def test_latents_begin_with_variance_one(crops):
    network = start("balle2017", 48, crops)
    with torch.no_grad():
        deviations = network.g_a(crops.permute(0, 3, 1, 2).float() / 255).std((0, 2, 3))
    assert 0.8 < deviations.min() and deviations.max() < 1.2


def test_a_start_is_the_same_again(crops):
    once, again = (start("cheng2020", 8, crops).state_dict() for _ in range(2))
    assert all(torch.equal(once[key], again[key]) for key in once)


@pytest.mark.parametrize("name", ["balle2017", "cheng2020"])
def test_the_entropy_model_learns_alone(name, crops):
    """Transforms stay, rates fall at every quality."""
    network = start(name, 12, crops)
    before, kept = validate(network, crops, (1, 8)), {k: v.clone() for k, v in network.state_dict().items()}
    fit_entropy_model(network, crops, 60, batch=4, learning_rate=1e-2)
    network.eval().entropy_bottleneck.update_quantiles()
    after = validate(network, crops, (1, 8))
    assert all(b["bpp"] < a["bpp"] for a, b in zip(before, after, strict=True))
    transforms = [key for key in kept if key.startswith(("g_a.", "g_s.", "gain.", "inverse_gain."))]
    assert transforms and all(torch.equal(network.state_dict()[key], kept[key]) for key in transforms)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_more_latents_keep_what_was_learned(crops):
    """Old latents, their probabilities and the picture stay; new ones hold something, in sensible steps."""
    small = start("cheng2020", 12, crops)
    torch.manual_seed(1)
    wide = NETWORKS["cheng2020"](12, 20)
    widen(wide, small.state_dict(), crops)
    x = crops[:8].permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        before, after = small(x, 8.0), wide.eval()(x, 8.0)
        new = wide.g_a(x)[:, 12:].std((0, 2, 3))
    assert torch.allclose(after.reconstruction, before.reconstruction, atol=1e-6)
    assert torch.equal(after.latents["y"][:, :12], before.latents["y"])
    assert torch.allclose(after.likelihoods["y"][:, :12], before.likelihoods["y"], atol=1e-6)
    assert 0.5 < new.min() and new.max() < 2
    assert after.latents["y"][:, 12:].std() > 0.2
    assert wide.gain.log_gain.argmax(0).eq(7).all()


def test_a_start_with_details(crops):
    """They take over what is lost, little of it at the lowest rate; the entropy model learns them."""
    torch.manual_seed(0)
    network = NETWORKS["cheng2020"](12, 12, 12, 24)
    initialize(network, crops)
    with_details, without = (validate(each.eval(), crops, (1, 8)) for each in (network, start("cheng2020", 12, crops)))
    gained = [a["psnr"] - b["psnr"] for a, b in zip(with_details, without, strict=True)]
    assert gained[1] > 1.5 and gained[0] < gained[1] / 2
    fit_entropy_model(network, crops, 60, batch=4, learning_rate=1e-2, proxy="relaxed")
    network.eval().entropy_bottleneck.update_quantiles()
    after = validate(network, crops, (1, 8))
    assert all(b["bpp"] < a["bpp"] and a["psnr"] == b["psnr"] for a, b in zip(with_details, after, strict=True))


def test_details_come_on_top_of_what_was_learned(crops):
    """Old latents and their probabilities stay, also beside new latents of g_a; the picture gets better."""
    small = start("cheng2020", 12, crops)
    x = crops[:8].permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        small.context_prediction.weight.normal_(std=0.1)
        before = small(x, 8.0)
    lossy = (before.reconstruction - x).square().mean()
    for channels in ((12, 12, 12, 16), (12, 20, 12, 16)):
        torch.manual_seed(1)
        wide = NETWORKS["cheng2020"](*channels)
        widen(wide, small.state_dict(), crops)
        with torch.no_grad():
            after = wide.eval()(x, 8.0)
        assert torch.equal(after.latents["y"][:, :12], before.latents["y"])
        assert torch.allclose(after.likelihoods["y"][:, :12], before.likelihoods["y"], atol=1e-6)
        assert after.latents["y"][:, channels[1] :].std() > 0.5
        assert (after.reconstruction - x).square().mean() < 0.8 * lossy
    wider = NETWORKS["cheng2020"](12, 24, 14, 16)
    widen(wider, wide.state_dict(), crops)
    with torch.no_grad():
        again = wider.eval()(x, 8.0)
    assert torch.equal(again.latents["y"][:, :20], after.latents["y"][:, :20])
    assert torch.allclose(again.likelihoods["y"][:, 24:], after.likelihoods["y"][:, 20:], atol=1e-6)
    torch.testing.assert_close(again.reconstruction, after.reconstruction, atol=1e-5, rtol=0)


def test_more_deep_channels_keep_what_was_learned(crops):
    """The picture stays; latents that were 0 throughout begin anew, and new channels say what is lost."""
    small = start("cheng2020", 12, crops)
    idle = torch.tensor([3, 10])
    with torch.no_grad():
        small.gain.log_gain[:, idle] = -20
        small.context_prediction.weight.normal_(std=0.1)
    torch.manual_seed(1)
    wide = NETWORKS["cheng2020"](12, 12, 20)
    widen(wide, small.state_dict(), crops)
    wide.eval()
    x = crops[:8].permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        before, after = small(x, 8.0), wide(x, 8.0)
        channels = wide.g_a[:6](x)[:, 12:16].std(
            (0, 2, 3)
        )  # what is lost of a block: pairs of both signs make one each
        decoded = wide.g_s[2].upsample(wide.g_s[:2](wide.g_a(x)))[:, 12:].std((0, 2, 3))
    busy = torch.ones(12, dtype=torch.bool)
    busy[idle] = False
    assert torch.allclose(after.reconstruction, before.reconstruction, atol=1e-6)
    assert torch.equal(after.latents["y"][:, busy], before.latents["y"][:, busy])
    assert torch.allclose(after.likelihoods["y"][:, busy], before.likelihoods["y"][:, busy], atol=1e-6)
    assert before.latents["y"][:, idle].eq(0).all() and after.latents["y"][:, idle].std() > 0.2
    assert 0.3 < channels.min() and channels.max() < 3
    assert 0.3 < decoded.min() and decoded.max() < 3
