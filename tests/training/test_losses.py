"""Rate-distortion losses, and the qualities of a batch."""

import math

import numpy as np
import pytest
import torch
from codeckit.codecs.learned.lambdas import LAMBDAS
from codeckit.codecs.learned.networks import NETWORKS
from codeckit.training import losses
from pytorch_msssim import ms_ssim


@pytest.mark.parametrize("distortion", ["mse", "ms-ssim"])
def test_loss_is_its_formula(distortion):
    torch.manual_seed(0)
    network = NETWORKS["balle2017"](6)
    side = 176 if distortion == "ms-ssim" else 32
    x, quality = torch.rand(3, 3, side, side), torch.tensor([1.0, 8.0, 4.5])
    torch.manual_seed(1)
    terms = losses.Objective(network, distortion)(x, quality)
    torch.manual_seed(1)
    with torch.no_grad():
        out = network(x, quality)
    if distortion == "mse":
        weights = [0.0007, 0.18, math.sqrt(0.00755 * 0.0167)]
        d = [255**2 * float(((out.reconstruction[i] - x[i]) ** 2).mean()) for i in range(3)]
    else:
        weights = [0.95, 220.0, math.sqrt(9.8 * 21.33)]
        pairs = zip(out.reconstruction.split(1), x.split(1), strict=True)
        d = [1 - float(ms_ssim(a * 255, b * 255, data_range=255)) for a, b in pairs]
    rate = [-float(out.likelihoods["y"][i].log2().sum()) / side**2 for i in range(3)]
    middle = math.exp(np.log(LAMBDAS[distortion]).mean())
    parts = [(r + w * e) * math.sqrt(middle / w) for r, w, e in zip(rate, weights, d, strict=True)]
    assert float(terms.loss.detach()) == pytest.approx(sum(parts) / 3, rel=1e-4)
    assert float(terms.bpp) == pytest.approx(sum(rate) / 3, rel=1e-4)
    assert float(terms.distortion) == pytest.approx(sum(d) / 3, rel=1e-4)
    assert not terms.bpp.requires_grad and terms.loss.requires_grad


def test_errors_of_losses():
    network = NETWORKS["balle2017"](6)
    with pytest.raises(ValueError, match="one of mse, ms-ssim, not 'l1'"):
        losses.Objective(network, "l1")
    with pytest.raises(ValueError, match="at least 161 pixels, not 160"):
        losses.Objective(network, "ms-ssim")(torch.rand(1, 3, 160, 160), torch.tensor([3.0]))


@pytest.mark.parametrize("name", ["balle2017", "cheng2020"])
def test_half_precision_keeps_the_rate(name):
    """Under autocast the transforms are less precise; rates and losses stay close, and are float32."""
    torch.manual_seed(0)
    objective = losses.Objective(NETWORKS[name](6))
    x, quality = torch.rand(2, 3, 64, 64), torch.tensor([2.0, 7.0])
    torch.manual_seed(1)
    single = objective(x, quality)
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        half = objective(x, quality)
    assert {term.dtype for term in half} == {torch.float32}
    assert float(half.bpp) == pytest.approx(float(single.bpp), rel=0.01)
    assert float(half.loss.detach()) == pytest.approx(float(single.loss.detach()), rel=0.01)


def test_qualities_are_spread_evenly():
    rng = np.random.default_rng(0)
    drawn = torch.stack([losses.sample_qualities(rng, 8, 1, 8) for _ in range(400)])
    assert drawn.dtype == torch.float32 and drawn.min() == 1 and drawn.max() == 8
    assert ((drawn.sort().values.round() - torch.arange(1, 9)).abs() < 1e-6).all()  # each level once
    assert float((drawn == 1).float().mean()) == pytest.approx(1 / 16, abs=0.01)
    assert float(drawn[:, 0].mean()) == pytest.approx(4.5, abs=0.4)  # in random order
