"""Rate-distortion losses, and the choice of a quality for every picture of a batch.

A lossy codec trades rate R against distortion D; the networks minimize a weighted sum of both, in bits per pixel:

    L = R + λ · 255² · MSE                for PSNR
    L = R + λ · (1 - MS-SSIM)             for MS-SSIM

A network with gain units learns all rates at once: every picture of a batch has a quality of its own and the λ that
belongs to it (`codecs.learned.lambdas`). A network of one rate has one quality and one λ.

**Weights.** At λ = 0.18 a loss is about ten times that at λ = 0.0018, and would leave the low rates with a tenth of the
attention. Near an optimum, a change by δ percent in rate at equal quality changes L by δ·R/100, and R grows about with
√λ. So the loss of a picture is divided by √λ (relative to the middle of the table): a percent of rate then counts
the same at every quality.

**Whose bits.** R is what the network's own probabilities say, or with an `AdaptiveRate` what an adaptive coder will
make of them; then the prior, which the coder asks as well, learns from the latents on the side: its bits are added to
the loss, but move nothing else.

Sources: J. Ballé, V. Laparra, E. P. Simoncelli, "End-to-end Optimized Image Compression", ICLR 2017, equation 10;
Z. Cui et al., "Asymmetric Gained Deep Image Compression With Continuous Rate Adaptation", CVPR 2021, section 3.3.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..codecs.learned.lambdas import lambda_at, lambdas_of
from ..codecs.learned.networks import Network, bits_of
from ..metrics.distortion import MS_SSIM_MIN_SIDE
from ..primitives.learned.quantize import Proxy, add_noise
from .adaptive_rate import AdaptiveRate


def sample_qualities(rng: np.random.Generator, size: int, low: float, high: float) -> Tensor:
    """A quality for each picture of a batch: float32 [size], in random order.

    They are spread evenly: one from each of `size` equal parts of low - ½ … high + ½, moved into low … high. So the
    lowest and the highest quality, which the others' gains are no help to, have the share of any other level.

    >>> sample_qualities(np.random.default_rng(0), 4, 1, 8).sort().values
    tensor([1.0000, 4.1265, 4.5819, 8.0000])
    >>> sample_qualities(np.random.default_rng(0), 3, 5, 5)
    tensor([5., 5., 5.])
    """
    position = (rng.permutation(size) + rng.random(size)) / size
    spread = low - 0.5 + position * (high - low + 1)
    return torch.from_numpy(spread.clip(low, high)).float()


class Terms(NamedTuple):
    """What a step of training measures: the loss, and the means of rate and distortion over the batch.

    Attributes:
        loss: to be minimized.
        bpp: estimated bits per pixel.
        distortion: 255² · MSE, or 1 - MS-SSIM.
    """

    loss: Tensor
    bpp: Tensor
    distortion: Tensor


class Objective(nn.Module):
    """A network together with its loss: what is compiled and distributed.

    Rate and distortion are computed in float32, also where the network runs in half precision.

    Args:
        network: called as ``network(x, quality, proxy=...)``.
        distortion: ``"mse"`` or ``"ms-ssim"``; MS-SSIM needs pictures of 161 pixels or more a side.
        rate: of a `Balle2017`, what counts its bits; None for its prior.

    Raises:
        ValueError: there is no such measure of distortion.
    """

    def __init__(self, network: Network, distortion: str = "mse", rate: AdaptiveRate | None = None):
        super().__init__()
        self.network, self.distortion, self.rate = network, distortion, rate
        self.lambdas = lambdas_of(network.variable_rate, distortion)
        self.reference = float(np.exp(np.log(self.lambdas).mean()))  # λ with weight 1

    def forward(self, x: Tensor, quality: Tensor, proxy: Proxy = "noise") -> Terms:
        """Terms of the pictures `x` [N,3,H,W] in 0 … 1, each at its quality [N].

        Args:
            proxy: what the synthesis transform sees instead of rounded latents.

        Raises:
            ValueError: the pictures are too small for MS-SSIM.
        """
        if self.rate is None:
            out = self.network(x, quality, proxy=proxy)
            bits, aside, reconstruction = out.bits(), 0, out.reconstruction
        else:
            bits, aside, reconstruction = self._adaptive(x, quality, proxy)
        pixels = x.shape[2] * x.shape[3]
        bpp = bits / pixels
        distortion = measure(self.distortion, x, reconstruction)
        weight = lambda_at(quality, self.lambdas)
        losses = (bpp + weight * distortion + aside / pixels) * (self.reference / weight).sqrt()
        return Terms(losses.mean(), bpp.detach().mean(), distortion.detach().mean())

    def _adaptive(self, x, quality, proxy):
        """Bits by the adaptive rate, bits by the prior that teach only the prior, and the reconstruction."""
        network, prior = self.network, self.network.entropy_bottleneck
        gain = network.gain.factors(quality)
        y = network.analysis(x) * gain[..., None, None]
        noisy = add_noise(y)
        bits = self.rate.bits(noisy - (prior.medians * gain)[..., None, None], quality)
        aside = bits_of({"y": prior.likelihood(noisy.detach(), gain.detach())})
        y_hat = prior.quantize(y, gain) if proxy == "rounded" else noisy
        return bits, aside, network.synthesis(network.inverse_gain(y_hat, quality))


def measure(distortion: str, x: Tensor, x_hat: Tensor) -> Tensor:
    """255² · MSE or 1 - MS-SSIM of each picture [N], in float32; raises as `Objective` does.

    >>> measure("mse", torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 2 / 255))
    tensor([4.0000, 4.0000])
    """
    with torch.autocast(x.device.type, enabled=False):
        x, x_hat = x.float(), x_hat.float()
        if distortion == "mse":
            return 255**2 * (x_hat - x).square().flatten(1).mean(1)
        if min(x.shape[2:]) < MS_SSIM_MIN_SIDE:
            raise ValueError(f"MS-SSIM needs patches of at least {MS_SSIM_MIN_SIDE} pixels, not {x.shape[2]}")
        from pytorch_msssim import ms_ssim

        return 1 - ms_ssim(x_hat, x, data_range=1, size_average=False)
