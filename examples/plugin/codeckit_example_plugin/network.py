"""A learned architecture: a mean-scale hyperprior whose transforms have GELU where others have GDN.

One class in one file, and a line of entry points: a codec comes of it, with encoding, decoding, training, weight
files, traces and tables. What predicts latents (`h_s`) has rectifiers: the decoder computes it in integers, exactly on
every machine, and these know no GELU.

Sources: D. Minnen, J. Ballé, G. Toderici, "Joint Autoregressive and Hierarchical Priors for Learned Image Compression",
NeurIPS 2018, without the context model; D. Hendrycks, K. Gimpel, "Gaussian Error Linear Units", 2016.
"""

from dataclasses import replace

from codeckit.codecs import Entry
from codeckit.codecs.learned.networks import HyperpriorNetwork
from codeckit.codecs.learned.networks.layers import down, up
from codeckit.primitives.entropy.factorized import FactorizedPrior
from codeckit.primitives.entropy.gaussian import GaussianConditional
from torch import nn


class GeluHyperprior(HyperpriorNetwork):
    """Strided convolutions with GELU; means and scales of the latents from the hyperprior."""

    summary = "mean-scale hyperprior with GELU (an example)"
    CHANNELS = ((32, 48), (64, 96))
    SMALL = (8, 12)

    def __init__(self, N: int = 32, M: int = 48):
        super().__init__()
        self.g_a = nn.Sequential(down(3, N), nn.GELU(), down(N, N), nn.GELU(), down(N, N), nn.GELU(), down(N, M))
        self.g_s = nn.Sequential(up(M, N), nn.GELU(), up(N, N), nn.GELU(), up(N, N), nn.GELU(), up(N, 3))
        self.h_a = nn.Sequential(down(M, N), nn.GELU(), down(N, N))
        self.h_s = nn.Sequential(up(N, N), nn.ReLU(), up(N, 2 * M))
        self.entropy_bottleneck = FactorizedPrior(N)
        self.gaussian_conditional = GaussianConditional()

    @classmethod
    def entry(cls, name: str) -> Entry:
        """With a profile, streams need not list the stages: that is 190 bytes less."""
        return replace(super().entry(name), profiles="codeckit_example_plugin:profiles.json")

    def conditional(self, y, features, proxy):
        """Quantized latents and their likelihoods; the features are scales, then means."""
        scales, means = features.chunk(2, dim=1)
        y_hat, likelihoods = self.gaussian_conditional(y, scales, means)
        return self.gaussian_conditional.quantize(y, means) if proxy == "rounded" else y_hat, likelihoods
