"""Ballé et al. 2018: four convolutions with GDN, with a factorized prior and with a scale hyperprior.

Source: J. Ballé, D. Minnen, S. Singh, S. J. Hwang, N. Johnston, "Variational image compression with a scale
hyperprior", ICLR 2018.
"""

import torch
from torch import nn

from ....primitives.entropy.factorized import FactorizedPrior
from ....primitives.entropy.gaussian import GaussianConditional
from ....primitives.learned.gdn import GDN
from ....primitives.learned.residual import conv3x3
from .layers import down, up
from .network import FactorizedNetwork, HyperpriorNetwork


def gdn_analysis(N: int, M: int) -> nn.Sequential:
    """The analysis transform."""
    return nn.Sequential(down(3, N), GDN(N), down(N, N), GDN(N), down(N, N), GDN(N), down(N, M))


def gdn_synthesis(N: int, M: int) -> nn.Sequential:
    """The synthesis transform."""
    return nn.Sequential(
        up(M, N), GDN(N, inverse=True), up(N, N), GDN(N, inverse=True), up(N, N), GDN(N, inverse=True), up(N, 3)
    )


class Bmshj2018Factorized(FactorizedNetwork):
    """Ballé et al. 2018 without the hyperprior.

    >>> Bmshj2018Factorized(N=4, M=6).eval()(torch.rand(1, 3, 32, 16)).latents["y"].shape
    torch.Size([1, 6, 2, 1])
    """

    summary = "Ballé 2018 without the hyperprior: factorized prior"
    CHANNELS = 5 * ((128, 192),) + 3 * ((192, 320),)

    def __init__(self, N: int = 128, M: int = 192):
        super().__init__()
        self.g_a, self.g_s = gdn_analysis(N, M), gdn_synthesis(N, M)
        self.entropy_bottleneck = FactorizedPrior(M)


class Bmshj2018Hyperprior(HyperpriorNetwork):
    """Ballé et al. 2018: the hyperprior tells where latents are large, by the scale of each."""

    summary = "Ballé 2018: scale hyperprior"
    CHANNELS = 5 * ((128, 192),) + 3 * ((192, 320),)

    def __init__(self, N: int = 128, M: int = 192):
        super().__init__()
        self.g_a, self.g_s = gdn_analysis(N, M), gdn_synthesis(N, M)
        self.h_a = nn.Sequential(
            conv3x3(M, N), nn.ReLU(inplace=True), down(N, N), nn.ReLU(inplace=True), down(N, N)
        )  # fmt: skip
        self.h_s = nn.Sequential(
            up(N, N), nn.ReLU(inplace=True), up(N, N), nn.ReLU(inplace=True), conv3x3(N, M), nn.ReLU(inplace=True)
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
