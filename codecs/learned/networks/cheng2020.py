"""Cheng et al. 2020: residual blocks, attention, a context model and a Gaussian mixture; and CompressAI's variants.

Sources: Z. Cheng, H. Sun, M. Takeuchi, J. Katto, "Learned Image Compression with Discretized Gaussian Mixture
Likelihoods and Attention Modules", CVPR 2020; the checkerboard context: D. He et al., "Checkerboard Context Model for
Efficient Learned Image Compression", CVPR 2021; gain units: Z. Cui et al., "Asymmetric Gained Deep Image Compression
With Continuous Rate Adaptation", CVPR 2021.
"""

import torch
from torch import Tensor, nn

from ....primitives.entropy.factorized import FactorizedPrior
from ....primitives.entropy.gaussian import GaussianConditional
from ....primitives.entropy.mixture import COMPONENTS, GaussianMixture, split_parameters
from ....primitives.learned.attention import AttentionBlock
from ....primitives.learned.gain import GainUnit
from ....primitives.learned.masked_conv import CheckerboardConv2d, MaskedConv2d
from ....primitives.learned.quantize import Proxy, in_float32, stand_in
from ....primitives.learned.residual import (
    ResidualBlock,
    ResidualBlockUpsample,
    ResidualBlockWithStride,
    conv3x3,
    subpixel_conv3x3,
)
from .layers import leaky
from .mbt2018 import parameter_network
from .network import AutoregressiveNetwork, ContextNetwork, NetworkOutput, VariableRate


def _residual_hyper_analysis(N: int, M: int, latents: int | None = None) -> nn.Sequential:
    return nn.Sequential(
        conv3x3(latents or M, N), leaky(),
        conv3x3(N, N), leaky(),
        conv3x3(N, N, stride=2), leaky(),
        conv3x3(N, N), leaky(),
        conv3x3(N, N, stride=2),
    )  # fmt: skip


def _residual_hyper_synthesis(N: int, M: int) -> nn.Sequential:
    return nn.Sequential(
        conv3x3(N, N), leaky(),
        subpixel_conv3x3(N, N), leaky(),
        conv3x3(N, N * 3 // 2), leaky(),
        subpixel_conv3x3(N * 3 // 2, N * 3 // 2), leaky(),
        conv3x3(N * 3 // 2, 2 * M),
    )  # fmt: skip


def _attention_analysis(N: int, M: int, deep: int) -> nn.Sequential:
    return nn.Sequential(
        ResidualBlockWithStride(3, N), ResidualBlock(N, N),
        ResidualBlockWithStride(N, N), AttentionBlock(N), ResidualBlock(N, N),
        ResidualBlockWithStride(N, deep), ResidualBlock(deep, deep),
        conv3x3(deep, M, stride=2), AttentionBlock(M),
    )  # fmt: skip


def _attention_synthesis(N: int, M: int, deep: int) -> nn.Sequential:
    return nn.Sequential(
        AttentionBlock(M), ResidualBlock(M, M),
        ResidualBlockUpsample(M, deep), ResidualBlock(deep, deep),
        ResidualBlockUpsample(deep, N), AttentionBlock(N), ResidualBlock(N, N),
        ResidualBlockUpsample(N, N), ResidualBlock(N, N),
        subpixel_conv3x3(N, 3),
    )  # fmt: skip


def _blocks(count: int, inverse: bool = False) -> nn.Sequential:
    """A linear transform of blocks of 32×32 pixels every 16, to so many coefficients; or from them, added up."""
    if inverse:
        return nn.Sequential(nn.ConvTranspose2d(count, 3 * 8 * 8, 4, stride=2, padding=1), nn.PixelShuffle(8))
    return nn.Sequential(nn.PixelUnshuffle(8), nn.Conv2d(3 * 8 * 8, count, 4, stride=2, padding=1))


class Cheng2020Anchor(AutoregressiveNetwork):
    """The transforms of Cheng et al. 2020 without attention, with a single Gaussian: CompressAI's fast variant.

    >>> Cheng2020Anchor(N=4).eval()(torch.rand(1, 3, 64, 64)).likelihoods["y"].shape
    torch.Size([1, 4, 4, 4])
    """

    summary = "Cheng 2020 without attention, single Gaussian"
    CHANNELS = 3 * ((128,),) + 3 * ((192,),)
    SMALL = (8,)
    SIZES = (("g_a.0.conv1.weight", 0),)

    def __init__(self, N: int = 192):
        super().__init__()
        self.g_a = nn.Sequential(
            ResidualBlockWithStride(3, N), ResidualBlock(N, N),
            ResidualBlockWithStride(N, N), ResidualBlock(N, N),
            ResidualBlockWithStride(N, N), ResidualBlock(N, N),
            conv3x3(N, N, stride=2),
        )  # fmt: skip
        self.g_s = nn.Sequential(
            ResidualBlock(N, N), ResidualBlockUpsample(N, N),
            ResidualBlock(N, N), ResidualBlockUpsample(N, N),
            ResidualBlock(N, N), ResidualBlockUpsample(N, N),
            ResidualBlock(N, N), subpixel_conv3x3(N, 3),
        )  # fmt: skip
        self.h_a, self.h_s = _residual_hyper_analysis(N, N), _residual_hyper_synthesis(N, N)
        self.entropy_bottleneck = FactorizedPrior(N)
        self.context_prediction = MaskedConv2d(N, 2 * N)
        self.entropy_parameters = parameter_network(N, 2 * N)
        self.gaussian_conditional = GaussianConditional()


class Cheng2020Attention(AutoregressiveNetwork):
    """The transforms of Cheng et al. 2020 with attention, with a single Gaussian.

    >>> Cheng2020Attention(N=4).eval()(torch.rand(1, 3, 64, 64)).likelihoods["y"].shape
    torch.Size([1, 4, 4, 4])
    """

    summary = "Cheng 2020 with attention, single Gaussian"
    CHANNELS = 3 * ((128,),) + 3 * ((192,),)
    SMALL = (8,)
    SIZES = (("g_a.0.conv1.weight", 0),)

    def __init__(self, N: int = 192):
        super().__init__()
        self.g_a, self.g_s = _attention_analysis(N, N, N), _attention_synthesis(N, N, N)
        self.h_a, self.h_s = _residual_hyper_analysis(N, N), _residual_hyper_synthesis(N, N)
        self.entropy_bottleneck = FactorizedPrior(N)
        self.context_prediction = MaskedConv2d(N, 2 * N)
        self.entropy_parameters = parameter_network(N, 2 * N)
        self.gaussian_conditional = GaussianConditional()


class Cheng2020(VariableRate, ContextNetwork):
    """Cheng et al. 2020 in full: attention and a mixture of three Gaussians; and gain units for every rate.

    The gain units (Cui et al. 2021) scale the latents between g_a and rounding, and back before g_s. Everything in
    between, the hyperprior included, sees scaled latents.

    The paper has as many latents a position as channels elsewhere. Here they may be more: M latents stand for 16·16·3
    samples, and however fine their steps are, what M numbers cannot hold is lost. So is what `deep` channels cannot
    hold of the 192 samples of an 8×8 block. Channels at higher resolutions cost time, these and latents little.

    **Details.** For high rates there may be a second layer. The encoder decodes its rounded latents at once; a block
    transform with overlap, linear as JPEG's, turns the difference to the picture into `detail` more latents a position
    (d_a), and the decoder adds what its inverse makes of them (d_s) to what g_s makes of the others. All of them are
    coded together, y being both, one after the other. At low rates details are all zero and cost next to nothing.

    Args:
        N: number of channels.
        M: number of latents of g_a at each position, and half of the features that the context model and the
            hyperprior have for a position; as many as channels if left out.
        deep: number of channels at an eighth of the resolution; N if left out.
        detail: number of latents of d_a at each position.

    Attributes:
        d_a, d_s: analysis and synthesis of details, 32×32 pixels every 16; None without them.
        gaussian_mixture: the `GaussianMixture` of y.

    >>> network = Cheng2020(N=4, detail=2).eval()
    >>> out = network(torch.rand(1, 3, 64, 64), quality=3.5)
    >>> out.latents["y"].shape, bool((out.latents["y"] == out.latents["y"].round()).all())
    (torch.Size([1, 6, 4, 4]), True)
    """

    summary = "Cheng 2020: attention, Gaussian mixture, continuous rate"
    CHANNELS = 8 * ((192, 192, 192, 0),)
    SIZES = (("g_a.0.conv1.weight", 0), ("g_a.7.weight", 0), ("g_a.5.conv1.weight", 0))
    start = "context"

    context_type: type[nn.Conv2d] = MaskedConv2d

    def __init__(self, N: int = 192, M: int | None = None, deep: int | None = None, detail: int = 0):
        super().__init__()
        M, deep = N if M is None else M, N if deep is None else deep
        self.M, y = M, M + detail
        self.g_a, self.g_s = _attention_analysis(N, M, deep), _attention_synthesis(N, M, deep)
        self.d_a, self.d_s = (_blocks(detail), _blocks(detail, inverse=True)) if detail else (None, None)
        self.gain, self.inverse_gain = GainUnit(y, self.LEVELS), GainUnit(y, self.LEVELS, inverse=True)
        self.h_a, self.h_s = _residual_hyper_analysis(N, M, y), _residual_hyper_synthesis(N, M)
        self.entropy_bottleneck = FactorizedPrior(N)
        self.context_prediction = self.context_type(y, 2 * M)
        self.entropy_parameters = parameter_network(M, 3 * COMPONENTS * y)
        self.gaussian_mixture = GaussianMixture()

    @classmethod
    def channels_of(cls, weights):
        """N, M, deep and detail; the last is 0 without d_a."""
        details = weights["d_a.1.weight"].shape[:1] if "d_a.1.weight" in weights else (0,)
        return (*super().channels_of(weights), *details)

    def forward(self, x: Tensor, quality: float | Tensor, *, proxy: Proxy = "noise") -> NetworkOutput:
        """As `Network.forward`, at a quality from 1 to `LEVELS`, or at one of each picture (a tensor [N]).

        In training with rounded latents, g_a, d_a and the gains get no gradients. Those that pass straight through
        rounding would be none at all where a latent is rounded to the most probable value, and weaken g_a in the long
        run.
        """
        self._check(x)
        y, y_hat, x_hat = self._quantized(x, quality, proxy)
        latents, likelihoods = self.model(y, proxy, y_hat)
        if self.d_s is not None:
            x_hat = x_hat + self.d_s(self.unscaled(y_hat, quality)[:, self.M :])
        return NetworkOutput(x_hat if self.training else x_hat.clamp(0, 1), latents, likelihoods)

    def latents(self, x: Tensor, quality: float | Tensor) -> Tensor:
        """Scaled latents y [N,M + detail,H/16,W/16] of pictures at a quality, before rounding."""
        if self.d_a is None:
            return self.gain(self.g_a(x), quality)
        return self._quantized(x, quality, "rounded")[0]

    def unclipped(self, y_hat):
        """As `Network.unclipped`, of all latents [N,M + detail,H/16,W/16]."""
        if self.d_s is None:
            return self.g_s(y_hat)
        return self.g_s(y_hat[:, : self.M]) + self.d_s(y_hat[:, self.M :])

    def _quantized(self, x, quality, proxy):
        """Scaled latents, the same quantized, and what g_s makes of the latter."""
        gain, inverse = (unit.scale(quality) for unit in (self.gain, self.inverse_gain))
        M = self.M
        y = self.g_a(x) * gain[..., :M, :, :]
        y = y.detach() if proxy == "rounded" and self.training else y
        y_hat = self._stand_in(y, proxy)
        base = self.g_s(y_hat * inverse[..., :M, :, :])
        if self.d_a is None:
            return y, y_hat, base
        more = self.d_a(x - base) * gain[..., M:, :, :]
        more = more.detach() if proxy == "rounded" and self.training else more
        return torch.cat((y, more), 1), torch.cat((y_hat, self._stand_in(more, proxy)), 1), base

    @in_float32
    def _stand_in(self, y, proxy):
        return stand_in(y, proxy) if self.training else self.gaussian_mixture.quantize(y)

    def conditional(self, y, features, proxy, y_hat=None):
        """Quantized latents and their likelihoods: of the same latents, be they noisy, relaxed or rounded.

        If noisy ones were counted and rounded ones synthesized, training would find latents near ½. With noise they are
        cheap, as a narrow Gaussian there fits them all; rounded they are 0 or 1, which tells g_s a bit that only a file
        would have to pay for.

        Args:
            y: scaled latents.
            features: what h_s made of ẑ.
            proxy: what stands in for rounding.
            y_hat: the latents quantized, if they are already.
        """
        y_hat = self._stand_in(y, proxy) if y_hat is None else y_hat
        both = torch.cat((features, self.context_prediction(y_hat)), dim=1)
        return y_hat, self.gaussian_mixture.likelihood(y_hat, split_parameters(self.entropy_parameters(both)))


class Cheng2020Checkerboard(Cheng2020):
    """`Cheng2020` with the checkerboard context of He et al. 2021, which is decoded in two steps.

    >>> Cheng2020Checkerboard(N=4).eval()(torch.rand(1, 3, 64, 64), quality=8).likelihoods["y"].shape
    torch.Size([1, 4, 4, 4])
    """

    summary = "the same with a checkerboard context: two decoding steps"
    context_type = CheckerboardConv2d
