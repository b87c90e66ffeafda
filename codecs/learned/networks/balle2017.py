"""Ballé et al. 2017: three convolutions with GDN and a factorized prior; with gain units, one network for all rates.

Sources: J. Ballé, V. Laparra, E. P. Simoncelli, "End-to-end Optimized Image Compression", ICLR 2017; gain units: Z. Cui
et al., "Asymmetric Gained Deep Image Compression With Continuous Rate Adaptation", CVPR 2021.
"""

from torch import Tensor, nn

from ....primitives.entropy.factorized import FactorizedPrior
from ....primitives.learned.gain import GainUnit
from ....primitives.learned.gdn import GDN
from ....primitives.learned.quantize import Proxy
from .layers import down, up
from .network import FactorizedNetwork, NetworkOutput, VariableRate


class Balle2017(VariableRate, FactorizedNetwork):
    """The architecture of Ballé et al. 2017 (192 channels for colour pictures), with the factorized prior of 2018.

    Gain units (Cui et al. 2021) make the rate continuous: they scale the latents between g_a and rounding, and back
    before g_s. The prior models the latents before scaling, so its densities fit at every rate.

    Its density model and the gain units are the differences to the paper, which has piecewise linear densities and a
    network for each rate.

    >>> import torch
    >>> Balle2017(N=4).eval()(torch.rand(1, 3, 32, 16), quality=3.5).latents["y"].shape
    torch.Size([1, 4, 2, 1])
    """

    summary = "Ballé 2017: GDN transforms, factorized prior"
    CHANNELS = 8 * ((192,),)
    SMALL = (8,)
    SIZES = (("g_a.0.weight", 0),)
    start = "factorized"

    def __init__(self, N: int = 192):
        super().__init__()
        self.g_a = nn.Sequential(
            down(3, N, kernel_size=9, stride=4), GDN(N),
            down(N, N), GDN(N),
            down(N, N), GDN(N),
        )  # fmt: skip
        self.g_s = nn.Sequential(
            GDN(N, inverse=True), up(N, N),
            GDN(N, inverse=True), up(N, N),
            GDN(N, inverse=True), up(N, 3, kernel_size=9, stride=4),
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
        return NetworkOutput(self.synthesis(self.unscaled(y_hat, quality)), {"y": y_hat}, {"y": likelihoods})

    def latents(self, x: Tensor, quality: float | Tensor) -> Tensor:
        """Scaled latents y [N,N,H/16,W/16] of pictures at a quality, before rounding."""
        return self.gain(self.g_a(x), quality)
