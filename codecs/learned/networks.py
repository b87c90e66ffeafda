"""The networks of learned image codecs, from Ballé 2017 to Cheng 2020.

All follow one plan. An *analysis transform* g_a turns a picture into latents y at a sixteenth of its resolution, these
are rounded, and a *synthesis transform* g_s makes a picture of them. What differs is the transforms and how well the
latents' probabilities are predicted, for those decide the rate::

    x ── g_a ── y ── round ── ŷ ── g_s ── x̂
                │             │
               h_a         p(ŷ | everything decoded so far)
                │             │
                z ── round ── ẑ ── h_s

========================  ==============================================  ==========================================
network                   transforms                                      p(ŷ)
========================  ==============================================  ==========================================
`Balle2017`               9×9/4, 5×5/2, 5×5/2 with GDN, gain units        one density a channel (factorized prior)
`Bmshj2018Factorized`     four 5×5/2 with GDN                             the same
`Bmshj2018Hyperprior`     the same                                        Gaussian; scale from the hyperprior ẑ
`Mbt2018Mean`             the same                                        Gaussian; mean and scale from ẑ
`Mbt2018`                 the same                                        the same, from ẑ and decoded neighbours
`Cheng2020Anchor`         residual blocks of 3×3, sub-pixel upsampling    the same
`Cheng2020Attention`      the same with attention                         the same
`Cheng2020`               the same with gain units (a continuous rate)    mixture of three Gaussians, from both
`Cheng2020Checkerboard`   the same                                        the same, two decoding steps
========================  ==============================================  ==========================================

Side information z is modelled by a factorized prior and costs bits, too.

**Training and coding.** In training mode noise stands in for rounding (see `primitives.learned.quantize`). In
evaluation mode `forward` rounds exactly as a coder does, so its likelihoods are the rate of a real stream and its
reconstruction is the decoded picture. For networks that predict the mean of a latent from its neighbours this takes
care: rounding around a mean changes the latent, which changes the means that follow, so latents are rounded in decoding
order, all those of a wavefront at once (`AutoregressiveNetwork.quantize_in_order`). A mixture rounds to whole numbers
and needs no such order.

**Names.** Attributes and state-dict keys are those of CompressAI, and `load_state_dict` takes its checkpoints, old key
names included. N is the number of channels inside the transforms, M that of the latents.

Sources: J. Ballé, V. Laparra, E. P. Simoncelli, "End-to-end Optimized Image Compression", ICLR 2017; J. Ballé, D.
Minnen, S. Singh, S. J. Hwang, N. Johnston, "Variational image compression with a scale hyperprior", ICLR 2018;
D. Minnen, J. Ballé, G. Toderici, "Joint Autoregressive and Hierarchical Priors for Learned Image Compression", NeurIPS
2018; Z. Cheng, H. Sun, M. Takeuchi, J. Katto, "Learned Image Compression with Discretized Gaussian Mixture
Likelihoods and Attention Modules", CVPR 2020.
"""

import re
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...primitives.entropy.factorized import FactorizedPrior
from ...primitives.entropy.gaussian import GaussianConditional
from ...primitives.entropy.mixture import COMPONENTS, GaussianMixture, split_parameters
from ...primitives.entropy.wavefronts import wavefront
from ...primitives.learned.attention import AttentionBlock
from ...primitives.learned.gain import GainUnit
from ...primitives.learned.gdn import GDN
from ...primitives.learned.masked_conv import CheckerboardConv2d, MaskedConv2d
from ...primitives.learned.quantize import Proxy, add_noise, in_float32, stand_in
from ...primitives.learned.residual import (
    ResidualBlock,
    ResidualBlockUpsample,
    ResidualBlockWithStride,
    conv1x1,
    conv3x3,
    subpixel_conv3x3,
)


@dataclass(frozen=True, eq=False)
class NetworkOutput:
    """What `forward` returns.

    Attributes:
        reconstruction: x̂ [N,3,H,W], for pictures in 0 … 1; clipped to that range in evaluation mode.
        latents: the quantized (in training: noisy or rounded) latents, "y" [N,M,H/16,W/16] and, with a hyperprior,
            "z" [N,N,H/64,W/64].
        likelihoods: the probability of each latent, same keys and shapes.
    """

    reconstruction: Tensor
    latents: dict[str, Tensor]
    likelihoods: dict[str, Tensor]

    def bits(self) -> Tensor:
        """Estimated size of each picture in bits [N].

        >>> p = torch.full((1, 2, 4, 4), 0.5)
        >>> NetworkOutput(torch.zeros(1, 3, 64, 64), {"y": p}, {"y": p}).bits()
        tensor([32.])
        """
        return bits_of(self.likelihoods)


def bits_of(likelihoods: dict[str, Tensor]) -> Tensor:
    """What latents of these likelihoods [N,…] take, all names together: bits of each picture [N].

    >>> bits_of({"y": torch.full((1, 2, 4, 4), 0.5), "z": torch.full((1, 1), 0.25)})
    tensor([34.])
    """
    return sum(-likelihood.log2().flatten(1).sum(1) for likelihood in likelihoods.values())


class Network(nn.Module):
    """Base of all networks: ``forward(x)`` of pictures [N,3,H,W] in 0 … 1 gives a `NetworkOutput`.

    Attributes:
        stride: H and W must be multiples of it.
        g_a, g_s: analysis and synthesis transform.
        entropy_bottleneck: the `FactorizedPrior` of what is coded first (z, or y without a hyperprior).

    >>> network = Bmshj2018Hyperprior(N=4, M=6).eval()
    >>> out = network(torch.rand(1, 3, 64, 128))
    >>> out.reconstruction.shape, out.latents["y"].shape, out.latents["z"].shape
    (torch.Size([1, 3, 64, 128]), torch.Size([1, 6, 4, 8]), torch.Size([1, 4, 1, 2]))
    """

    stride = 16

    def forward(self, x: Tensor, *, proxy: Proxy = "noise") -> NetworkOutput:
        """Analysis, quantization and synthesis, with the likelihoods of what would be coded.

        Args:
            x: pictures, float [N,3,H,W] in 0 … 1.
            proxy: in training mode, what stands in for rounding where the transforms see latents
                (`primitives.learned.quantize`); likelihoods are of noisy ones in any case, but for y of `Cheng2020`,
                the only one that may be ``"relaxed"``. No effect in evaluation mode.

        Raises:
            ValueError: `x` has another shape, or H or W is no multiple of `stride`.
        """
        latents, likelihoods = self.model(self.analysis(x), proxy)
        return NetworkOutput(self.synthesis(latents["y"]), latents, likelihoods)

    def analysis(self, x: Tensor) -> Tensor:
        """Latents y [N,M,H/16,W/16] of pictures [N,3,H,W]; raises as `forward` does."""
        self._check(x)
        return self.g_a(x)

    def _check(self, x):
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] % self.stride or x.shape[3] % self.stride:
            raise ValueError(
                f"a network takes pictures [N,3,H,W] with H and W multiples of {self.stride}, not {list(x.shape)}; "
                "pad them first"
            )

    def synthesis(self, y_hat: Tensor) -> Tensor:
        """Pictures [N,3,H,W] of quantized latents, clipped to 0 … 1 in evaluation mode."""
        x_hat = self.unclipped(y_hat)
        return x_hat if self.training else x_hat.clamp(0, 1)

    def unclipped(self, y_hat: Tensor) -> Tensor:
        """Pictures as they come out of the synthesis transform."""
        return self.g_s(y_hat)

    def model(self, y: Tensor, proxy: Proxy) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Quantized latents and their likelihoods, by name."""
        raise TypeError(f"{type(self).__name__} defines no model(y, proxy)")

    def load_state_dict(self, state_dict, strict: bool = True, assign: bool = False):
        """Load weights under present or past names of CompressAI (`rename_keys`)."""
        return super().load_state_dict(rename_keys(state_dict), strict, assign)


class FactorizedNetwork(Network):
    """Networks whose latents are coded by a factorized prior alone."""

    def model(self, y, proxy):
        """Quantized latents and their likelihoods: {"y": …}."""
        y_hat, likelihoods = self.entropy_bottleneck(y)
        return {"y": self.entropy_bottleneck.quantize(y) if proxy == "rounded" else y_hat}, {"y": likelihoods}


class HyperpriorNetwork(Network):
    """Networks with a hyperprior: z is coded first, and the features h_s(ẑ) predict y.

    Attributes:
        h_a, h_s: hyper-analysis and hyper-synthesis transform.
    """

    stride = 64

    @in_float32
    def model(self, y, proxy, *known):
        """Quantized latents and their likelihoods: {"y": …, "z": …}; float32 throughout, under autocast, too.

        What else is known goes to `conditional`.
        """
        z = self.hyper_analysis(y)
        z_hat, z_likelihoods = self.entropy_bottleneck(z)
        if proxy == "rounded":
            z_hat = self.entropy_bottleneck.quantize(z)
        y_hat, y_likelihoods = self.conditional(y, self.h_s(z_hat), proxy, *known)
        return {"y": y_hat, "z": z_hat}, {"y": y_likelihoods, "z": z_likelihoods}

    def hyper_analysis(self, y: Tensor) -> Tensor:
        """Hyper-latents z of the latents y."""
        return self.h_a(y)

    def conditional(self, y: Tensor, features: Tensor, proxy: Proxy) -> tuple[Tensor, Tensor]:
        """Quantized latents ŷ and their likelihoods, given the features that h_s made of ẑ."""
        raise TypeError(f"{type(self).__name__} defines no conditional(y, features, proxy)")


class AutoregressiveNetwork(HyperpriorNetwork):
    """Networks that predict a Gaussian for each latent from the hyperprior and from the neighbours decoded before it.

    Attributes:
        context_prediction: masked convolution of ŷ.
        entropy_parameters: 1×1 convolutions from the features of both to scales and means.
    """

    def parameters_from(self, y_hat: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Scales and means of all latents, each [N,M,H/16,W/16]."""
        context = self.context_prediction(y_hat)
        return self.entropy_parameters(torch.cat((features, context), dim=1)).chunk(2, dim=1)

    def conditional(self, y, features, proxy):
        """Quantized latents and their likelihoods; in training the context is noisy, whatever `proxy` says."""
        gaussian = self.gaussian_conditional
        modelled = add_noise(y) if self.training else self.quantize_in_order(y, features)
        scales, means = self.parameters_from(modelled, features)
        likelihoods = gaussian.likelihood(modelled, scales, means)
        return gaussian.quantize(y, means) if self.training and proxy == "rounded" else modelled, likelihoods

    @torch.no_grad()
    def quantize_in_order(self, y: Tensor, features: Tensor) -> Tensor:
        """Latents [N,M,H,W] rounded around their means, each mean predicted from latents already rounded.

        The context convolution is evaluated at the positions of one wavefront after the other, as a product of its
        weights that are not masked with what these see.
        """
        convolution = self.context_prediction
        size, margin = convolution.kernel_size[0], convolution.kernel_size[0] // 2
        down, right = convolution.mask[0, 0].nonzero(as_tuple=True)
        weight = convolution.weight[:, :, down, right].flatten(1)[:, :, None, None]
        y_hat = F.pad(torch.zeros_like(y), [margin] * 4)
        for positions in wavefront(*y.shape[-2:], kernel=size):
            rows, columns = (torch.as_tensor(axis, device=y.device) for axis in positions)
            seen = y_hat[:, :, rows + down[:, None], columns + right[:, None]]  # [N,M,taps,positions]
            context = F.conv2d(seen.flatten(1, 2)[..., None], weight, convolution.bias)
            both = torch.cat((features[:, :, rows, columns, None], context), dim=1)
            _, means = self.entropy_parameters(both)[..., 0].chunk(2, dim=1)
            y_hat[:, :, rows + margin, columns + margin] = self.gaussian_conditional.quantize(
                y[:, :, rows, columns], means
            )
        return y_hat[:, :, margin:-margin, margin:-margin]


def _down(channels_in: int, channels_out: int, kernel_size: int = 5, stride: int = 2) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel_size, stride, padding=kernel_size // 2)


def _up(channels_in: int, channels_out: int, kernel_size: int = 5, stride: int = 2) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(
        channels_in, channels_out, kernel_size, stride, padding=kernel_size // 2, output_padding=stride - 1
    )


def _leaky() -> nn.LeakyReLU:
    return nn.LeakyReLU(inplace=True)


class Balle2017(FactorizedNetwork):
    """The architecture of Ballé et al. 2017 (192 channels for colour pictures), with the factorized prior of 2018.

    Gain units (Cui et al. 2021) make the rate continuous: they scale the latents between g_a and rounding, and back
    before g_s. The prior models the latents before scaling, so its densities fit at every rate.

    Its density model and the gain units are the differences to the paper, which has piecewise linear densities and a
    network for each rate.

    Attributes:
        gain, inverse_gain: the gain units, with `LEVELS` levels each.

    >>> Balle2017(N=4).eval()(torch.rand(1, 3, 32, 16), quality=3.5).latents["y"].shape
    torch.Size([1, 4, 2, 1])
    """

    #: Number of trained rates: qualities run from 1 to this.
    LEVELS = 8

    def __init__(self, N: int = 192):
        super().__init__()
        self.g_a = nn.Sequential(
            _down(3, N, kernel_size=9, stride=4), GDN(N),
            _down(N, N), GDN(N),
            _down(N, N), GDN(N),
        )  # fmt: skip
        self.g_s = nn.Sequential(
            GDN(N, inverse=True), _up(N, N),
            GDN(N, inverse=True), _up(N, N),
            GDN(N, inverse=True), _up(N, 3, kernel_size=9, stride=4),
        )  # fmt: skip
        finest = 16.0  # GDN keeps the latents near 1, and the finest step is a small part of that
        self.gain = GainUnit(N, self.LEVELS, finest=finest)
        self.inverse_gain = GainUnit(N, self.LEVELS, inverse=True, finest=finest)
        self.entropy_bottleneck = FactorizedPrior(N)

    def forward(self, x: Tensor, quality: float | Tensor, *, proxy: Proxy = "noise") -> NetworkOutput:
        """As `Network.forward`, at a quality from 1 to `LEVELS`, or at one of each picture (a tensor [N])."""
        self._check(x)
        prior, gain = self.entropy_bottleneck, self.gain.factors(quality)
        y = self.latents(x, quality)
        y_hat, likelihoods = prior(y, gain)
        if proxy == "rounded":
            y_hat = prior.quantize(y, gain)
        return NetworkOutput(self.synthesis(self.inverse_gain(y_hat, quality)), {"y": y_hat}, {"y": likelihoods})

    def latents(self, x: Tensor, quality: float | Tensor) -> Tensor:
        """Scaled latents y [N,N,H/16,W/16] of pictures at a quality, before rounding."""
        return self.gain(self.g_a(x), quality)


def _gdn_analysis(N: int, M: int) -> nn.Sequential:
    return nn.Sequential(_down(3, N), GDN(N), _down(N, N), GDN(N), _down(N, N), GDN(N), _down(N, M))


def _gdn_synthesis(N: int, M: int) -> nn.Sequential:
    return nn.Sequential(
        _up(M, N), GDN(N, inverse=True), _up(N, N), GDN(N, inverse=True), _up(N, N), GDN(N, inverse=True), _up(N, 3)
    )


class Bmshj2018Factorized(FactorizedNetwork):
    """Ballé et al. 2018 without the hyperprior.

    >>> Bmshj2018Factorized(N=4, M=6).eval()(torch.rand(1, 3, 32, 16)).latents["y"].shape
    torch.Size([1, 6, 2, 1])
    """

    def __init__(self, N: int = 128, M: int = 192):
        super().__init__()
        self.g_a, self.g_s = _gdn_analysis(N, M), _gdn_synthesis(N, M)
        self.entropy_bottleneck = FactorizedPrior(M)


class Bmshj2018Hyperprior(HyperpriorNetwork):
    """Ballé et al. 2018: the hyperprior tells where latents are large, by the scale of each."""

    def __init__(self, N: int = 128, M: int = 192):
        super().__init__()
        self.g_a, self.g_s = _gdn_analysis(N, M), _gdn_synthesis(N, M)
        self.h_a = nn.Sequential(
            conv3x3(M, N), nn.ReLU(inplace=True), _down(N, N), nn.ReLU(inplace=True), _down(N, N)
        )  # fmt: skip
        self.h_s = nn.Sequential(
            _up(N, N), nn.ReLU(inplace=True), _up(N, N), nn.ReLU(inplace=True), conv3x3(N, M), nn.ReLU(inplace=True)
        )
        self.entropy_bottleneck = FactorizedPrior(N)
        self.gaussian_conditional = GaussianConditional()

    def hyper_analysis(self, y):
        """Hyper-latents z of the magnitudes of y: signs tell nothing of scales."""
        return self.h_a(torch.abs(y))

    def conditional(self, y, features, proxy):
        """Quantized latents and their likelihoods; the features are the scales."""
        y_hat, likelihoods = self.gaussian_conditional(y, features)
        return self.gaussian_conditional.quantize(y) if proxy == "rounded" else y_hat, likelihoods


def _hyper_analysis(N: int, M: int) -> nn.Sequential:
    return nn.Sequential(conv3x3(M, N), _leaky(), _down(N, N), _leaky(), _down(N, N))


def _hyper_synthesis(N: int, M: int) -> nn.Sequential:
    return nn.Sequential(_up(N, M), _leaky(), _up(M, M * 3 // 2), _leaky(), conv3x3(M * 3 // 2, 2 * M))


def _parameter_network(M: int, parameters: int) -> nn.Sequential:
    """From hyperprior and context features (2·M channels each) to the parameters of all latents at a position."""
    return nn.Sequential(
        conv1x1(4 * M, M * 10 // 3), _leaky(), conv1x1(M * 10 // 3, M * 8 // 3), _leaky(),
        conv1x1(M * 8 // 3, parameters),
    )  # fmt: skip


class Mbt2018Mean(HyperpriorNetwork):
    """Minnen et al. 2018 without the context model: the hyperprior predicts means as well.

    >>> Mbt2018Mean(N=4, M=6).eval()(torch.rand(1, 3, 64, 64)).likelihoods["y"].shape
    torch.Size([1, 6, 4, 4])
    """

    def __init__(self, N: int = 128, M: int = 192):
        super().__init__()
        self.g_a, self.g_s = _gdn_analysis(N, M), _gdn_synthesis(N, M)
        self.h_a, self.h_s = _hyper_analysis(N, M), _hyper_synthesis(N, M)
        self.entropy_bottleneck = FactorizedPrior(N)
        self.gaussian_conditional = GaussianConditional()

    def conditional(self, y, features, proxy):
        """Quantized latents and their likelihoods; the features are scales, then means."""
        scales, means = features.chunk(2, dim=1)
        y_hat, likelihoods = self.gaussian_conditional(y, scales, means)
        return self.gaussian_conditional.quantize(y, means) if proxy == "rounded" else y_hat, likelihoods


class Mbt2018(AutoregressiveNetwork):
    """Minnen et al. 2018: means and scales from the hyperprior and a 5×5 context of decoded latents.

    >>> Mbt2018(N=6, M=6).eval()(torch.rand(1, 3, 64, 64)).likelihoods["y"].shape
    torch.Size([1, 6, 4, 4])
    """

    def __init__(self, N: int = 192, M: int = 192):
        super().__init__()
        self.g_a, self.g_s = _gdn_analysis(N, M), _gdn_synthesis(N, M)
        self.h_a, self.h_s = _hyper_analysis(N, M), _hyper_synthesis(N, M)
        self.entropy_bottleneck = FactorizedPrior(N)
        self.context_prediction = MaskedConv2d(M, 2 * M)
        self.entropy_parameters = _parameter_network(M, 2 * M)
        self.gaussian_conditional = GaussianConditional()


def _residual_hyper_analysis(N: int, M: int, latents: int | None = None) -> nn.Sequential:
    return nn.Sequential(
        conv3x3(latents or M, N), _leaky(),
        conv3x3(N, N), _leaky(),
        conv3x3(N, N, stride=2), _leaky(),
        conv3x3(N, N), _leaky(),
        conv3x3(N, N, stride=2),
    )  # fmt: skip


def _residual_hyper_synthesis(N: int, M: int) -> nn.Sequential:
    return nn.Sequential(
        conv3x3(N, N), _leaky(),
        subpixel_conv3x3(N, N), _leaky(),
        conv3x3(N, N * 3 // 2), _leaky(),
        subpixel_conv3x3(N * 3 // 2, N * 3 // 2), _leaky(),
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
        self.entropy_parameters = _parameter_network(N, 2 * N)
        self.gaussian_conditional = GaussianConditional()


class Cheng2020Attention(AutoregressiveNetwork):
    """The transforms of Cheng et al. 2020 with attention, with a single Gaussian.

    >>> Cheng2020Attention(N=4).eval()(torch.rand(1, 3, 64, 64)).likelihoods["y"].shape
    torch.Size([1, 4, 4, 4])
    """

    def __init__(self, N: int = 192):
        super().__init__()
        self.g_a, self.g_s = _attention_analysis(N, N, N), _attention_synthesis(N, N, N)
        self.h_a, self.h_s = _residual_hyper_analysis(N, N), _residual_hyper_synthesis(N, N)
        self.entropy_bottleneck = FactorizedPrior(N)
        self.context_prediction = MaskedConv2d(N, 2 * N)
        self.entropy_parameters = _parameter_network(N, 2 * N)
        self.gaussian_conditional = GaussianConditional()


class Cheng2020(HyperpriorNetwork):
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
        gain, inverse_gain: the gain units, with `LEVELS` levels each.
        d_a, d_s: analysis and synthesis of details, 32×32 pixels every 16; None without them.
        gaussian_mixture: the `GaussianMixture` of y.

    >>> network = Cheng2020(N=4, detail=2).eval()
    >>> out = network(torch.rand(1, 3, 64, 64), quality=3.5)
    >>> out.latents["y"].shape, bool((out.latents["y"] == out.latents["y"].round()).all())
    (torch.Size([1, 6, 4, 4]), True)
    """

    #: Number of trained rates: qualities run from 1 to this.
    LEVELS = 8

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
        self.entropy_parameters = _parameter_network(M, 3 * COMPONENTS * y)
        self.gaussian_mixture = GaussianMixture()

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
            x_hat = x_hat + self.d_s(self.inverse_gain(y_hat, quality)[:, self.M :])
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
        gain, inverse = (unit.factors(quality)[..., None, None] for unit in (self.gain, self.inverse_gain))
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

    context_type = CheckerboardConv2d


#: Every network by the name of its codec.
NETWORKS: dict[str, type[Network]] = {
    "balle2017": Balle2017,
    "bmshj2018-factorized": Bmshj2018Factorized,
    "bmshj2018-hyperprior": Bmshj2018Hyperprior,
    "mbt2018-mean": Mbt2018Mean,
    "mbt2018": Mbt2018,
    "cheng2020-anchor": Cheng2020Anchor,
    "cheng2020-attn": Cheng2020Attention,
    "cheng2020": Cheng2020,
    "cheng2020-checkerboard": Cheng2020Checkerboard,
}

#: Numbers of channels, (N,), (N, M) or (N, M, deep, detail), of each network at the qualities 1, 2, …; those of
#: CompressAI as there.
CHANNELS: dict[str, tuple[tuple[int, ...], ...]] = {
    "balle2017": 8 * ((192,),),
    "bmshj2018-factorized": 5 * ((128, 192),) + 3 * ((192, 320),),
    "bmshj2018-hyperprior": 5 * ((128, 192),) + 3 * ((192, 320),),
    "mbt2018-mean": 4 * ((128, 192),) + 4 * ((192, 320),),
    "mbt2018": 4 * ((192, 192),) + 4 * ((192, 320),),
    "cheng2020-anchor": 3 * ((128,),) + 3 * ((192,),),
    "cheng2020-attn": 3 * ((128,),) + 3 * ((192,),),
    "cheng2020": 8 * ((192, 192, 192, 0),),
    "cheng2020-checkerboard": 8 * ((192, 192, 192, 0),),
}


def network(name: str, quality: int) -> Network:
    """The untrained network of a codec, with its number of channels at a quality, in training mode.

    Raises:
        ValueError: no network has that name, or it has no such quality.

    >>> network("cheng2020-anchor", quality=9)
    Traceback (most recent call last):
    ...
    ValueError: cheng2020-anchor has the qualities 1 … 6, not 9
    """
    channels = CHANNELS[_known(name)]
    if quality not in range(1, len(channels) + 1):
        raise ValueError(f"{name} has the qualities 1 … {len(channels)}, not {quality!r}")
    return NETWORKS[name](*channels[quality - 1])


def packed_state(network: Network) -> dict[str, Tensor]:
    """The state dict of a network without masks and the weights behind them, which `load_network` takes, too.

    >>> network = Mbt2018(N=4, M=6)
    >>> packed_state(network)["context_prediction.weight"].shape, network.context_prediction.weight.shape
    (torch.Size([12, 6, 12]), torch.Size([12, 6, 5, 5]))
    """
    state = dict(network.state_dict())
    for name, module in _masked(network):
        del state[f"{name}.mask"]
        state[f"{name}.weight"] = module.weight.detach()[:, :, module.mask[0, 0].bool()]
    return state


def _unpacked(network: Network, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `packed_state`, and no change of what was not packed."""
    state = dict(state)
    for name, module in _masked(network):
        weight = state.get(f"{name}.weight")
        if weight is not None and weight.shape == module.weight[:, :, module.mask[0, 0].bool()].shape:
            state[f"{name}.weight"] = torch.zeros_like(module.weight, dtype=weight.dtype)
            state[f"{name}.weight"][:, :, module.mask[0, 0].bool()] = weight
            state[f"{name}.mask"] = module.mask
    return state


def _masked(network):
    return [item for item in network.named_modules() if isinstance(item[1], MaskedConv2d | CheckerboardConv2d)]


def load_network(name: str, state_dict: dict[str, Tensor]) -> Network:
    """The network of a codec with given weights, whatever its number of channels, in evaluation mode.

    Raises:
        ValueError: no network has that name, or the weights are those of another.

    >>> weights = Mbt2018Mean(N=4, M=6).state_dict()
    >>> type(load_network("mbt2018-mean", weights)).__name__
    'Mbt2018Mean'
    >>> load_network("mbt2018", weights)
    Traceback (most recent call last):
    ...
    ValueError: these are no weights of mbt2018: 'context_prediction.bias' is missing
    """
    weights = rename_keys(state_dict)
    loaded = NETWORKS[name](*channels_of(name, weights))
    weights, wanted = _unpacked(loaded, weights), loaded.state_dict()
    _refuse(name, [f"{key!r} is missing" for key in sorted(wanted.keys() - weights.keys())])
    _refuse(name, [f"{key!r} belongs to another network" for key in sorted(weights.keys() - wanted.keys())])
    shapes = [(key, list(weights[key].shape), list(wanted[key].shape)) for key in wanted]
    _refuse(name, [f"{key!r} has the shape {has}, not {should}" for key, has, should in shapes if has != should])
    constants = {key: value for key, value in wanted.items() if key.rpartition(".")[2] in _CONSTANTS}
    loaded.load_state_dict(weights | constants)
    return loaded.eval()


def channels_of(name: str, weights: dict[str, Tensor]) -> tuple[int, ...]:
    """The numbers of channels of a network with given weights under present names, as in `CHANNELS`.

    Raises:
        ValueError: no network has that name, or the weights are those of another.

    >>> channels_of("cheng2020", Cheng2020(N=4, M=6).state_dict())
    (4, 6, 4, 0)
    """
    arguments = len(CHANNELS[_known(name)][0])
    sizes = (_SIZES_OF_BLOCKS if name.startswith("cheng2020") else _SIZES)[:arguments]
    _refuse(name, [f"{key!r} is missing" for key, _ in sizes if key not in weights and key != _DETAILS])
    return tuple(weights[key].shape[axis] if key in weights else 0 for key, axis in sizes)


def _refuse(name, problems):
    if problems:
        raise ValueError(f"these are no weights of {name}: {problems[0]}")


def _known(name):
    if name not in NETWORKS:
        raise ValueError(f"no network is called {name!r}; there are {', '.join(NETWORKS)}")
    return name


#: Where the numbers of channels N, M, deep and detail are seen, as the axis of a tensor; the last need not be there.
_SIZES = (("g_a.0.weight", 0), ("g_s.0.weight", 0))
_DETAILS = "d_a.1.weight"
_SIZES_OF_BLOCKS = (("g_a.0.conv1.weight", 0), ("g_a.7.weight", 0), ("g_a.5.conv1.weight", 0), (_DETAILS, 0))

#: Buffers that are no weights: 10⁻⁹ and 2⁻³⁶ are zero in the 16 bits of a weight file, so the code's own are taken.
_CONSTANTS = ("bound", "pedestal", "target")

_TABLES = re.compile(r"\.(_offset|_quantized_cdf|_cdf_length|scale_table|scale_bound)$")
_RENAMED = (
    (re.compile(r"^module\."), ""),
    (re.compile(r"\.downsample\."), ".skip."),
    (re.compile(r"^(entropy_bottleneck)\._(matrices|biases|factors)\.?(\d)$"), r"\1.\2.\3"),
    (re.compile(r"^(entropy_bottleneck)\._matrix(\d)$"), r"\1.matrices.\2"),
    (re.compile(r"^(entropy_bottleneck)\._bias(\d)$"), r"\1.biases.\2"),
    (re.compile(r"^(entropy_bottleneck)\._factor(\d)$"), r"\1.factors.\2"),
)


def rename_keys(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """A CompressAI state dict under the names used here, which are those of its version 1.2.8.

    Earlier names are changed: ``module.`` (data-parallel training), ``downsample``, and those of the density model.
    Coding tables are left out; a coder computes its own from the weights.

    >>> list(rename_keys({"module.g_a.0.downsample.bias": 0, "entropy_bottleneck._matrix3": 1}))
    ['g_a.0.skip.bias', 'entropy_bottleneck.matrices.3']
    >>> list(rename_keys({"entropy_bottleneck._biases.0": 0, "gaussian_conditional.scale_table": 1}))
    ['entropy_bottleneck.biases.0']
    """
    renamed = {}
    for key, value in state_dict.items():
        if _TABLES.search(key):
            continue
        for pattern, replacement in _RENAMED:
            key = pattern.sub(replacement, key)
        renamed[key] = value
    return renamed
