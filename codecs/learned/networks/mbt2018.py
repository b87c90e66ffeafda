"""Minnen et al. 2018: means from the hyperprior as well, and from a context of decoded latents.

Source: D. Minnen, J. Ballé, G. Toderici, "Joint Autoregressive and Hierarchical Priors for Learned Image Compression",
NeurIPS 2018.
"""

from torch import nn

from ....primitives.entropy.factorized import FactorizedPrior
from ....primitives.entropy.gaussian import GaussianConditional
from ....primitives.learned.masked_conv import MaskedConv2d
from ....primitives.learned.residual import conv1x1, conv3x3
from .bmshj2018 import gdn_analysis, gdn_synthesis
from .layers import down, leaky, up
from .network import AutoregressiveNetwork, HyperpriorNetwork


def _hyper_analysis(N: int, M: int) -> nn.Sequential:
    return nn.Sequential(conv3x3(M, N), leaky(), down(N, N), leaky(), down(N, N))


def _hyper_synthesis(N: int, M: int) -> nn.Sequential:
    return nn.Sequential(up(N, M), leaky(), up(M, M * 3 // 2), leaky(), conv3x3(M * 3 // 2, 2 * M))


def parameter_network(M: int, parameters: int) -> nn.Sequential:
    """From hyperprior and context features (2·M channels each) to the parameters of all latents at a position."""
    return nn.Sequential(
        conv1x1(4 * M, M * 10 // 3), leaky(), conv1x1(M * 10 // 3, M * 8 // 3), leaky(),
        conv1x1(M * 8 // 3, parameters),
    )  # fmt: skip


class Mbt2018Mean(HyperpriorNetwork):
    """Minnen et al. 2018 without the context model: the hyperprior predicts means as well.

    >>> import torch
    >>> Mbt2018Mean(N=4, M=6).eval()(torch.rand(1, 3, 64, 64)).likelihoods["y"].shape
    torch.Size([1, 6, 4, 4])
    """

    summary = "Minnen 2018 without context: mean and scale hyperprior"
    CHANNELS = 4 * ((128, 192),) + 4 * ((192, 320),)

    def __init__(self, N: int = 128, M: int = 192):
        super().__init__()
        self.g_a, self.g_s = gdn_analysis(N, M), gdn_synthesis(N, M)
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

    >>> import torch
    >>> Mbt2018(N=6, M=6).eval()(torch.rand(1, 3, 64, 64)).likelihoods["y"].shape
    torch.Size([1, 6, 4, 4])
    """

    summary = "Minnen 2018: hyperprior and autoregressive context"
    CHANNELS = 4 * ((192, 192),) + 4 * ((192, 320),)

    def __init__(self, N: int = 192, M: int = 192):
        super().__init__()
        self.g_a, self.g_s = gdn_analysis(N, M), gdn_synthesis(N, M)
        self.h_a, self.h_s = _hyper_analysis(N, M), _hyper_synthesis(N, M)
        self.entropy_bottleneck = FactorizedPrior(N)
        self.context_prediction = MaskedConv2d(M, 2 * M)
        self.entropy_parameters = parameter_network(M, 2 * M)
        self.gaussian_conditional = GaussianConditional()
