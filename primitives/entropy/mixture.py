"""The Gaussian mixture conditional: K = 3 predicted Gaussians for every latent.

One Gaussian cannot say "either near 0 or near 4", which is what an edge that may or may not go on asks for. A mixture
can, with weights w that sum to 1:

    p(ŷ) = Σ_k w_k · [Φ((ŷ - μ_k + ½)/σ_k) - Φ((ŷ - μ_k - ½)/σ_k)]

A mixture has no one centre to round around, so latents are rounded to whole numbers. That has two pleasant
consequences: what a context model sees are integers, and an encoder knows them all at once, before any prediction.

A parameter network's output [N,3·K·C,H,W] holds, for all K components in turn, C logits of the weights, then the same
for the means, then for the scales (`split_parameters`).

Source: Z. Cheng, H. Sun, M. Takeuchi, J. Katto, "Learned Image Compression with Discretized Gaussian Mixture
Likelihoods and Attention Modules", CVPR 2020, section 3.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..learned.lower_bound import LowerBound
from ..learned.quantize import add_noise, in_float32, round_straight_through
from .factorized import LIKELIHOOD_BOUND
from .gaussian import SCALE_BOUND, interval_mass

#: Number of Gaussians.
COMPONENTS = 3


class MixtureParameters(NamedTuple):
    """Weights (summing to 1 over K), means and scales of the components, each [N,K,C,…]."""

    weights: Tensor
    means: Tensor
    scales: Tensor


def split_parameters(features: Tensor) -> MixtureParameters:
    """The parameters in a network's output [N,3·K·C,H,W], the weights after a softmax over K.

    Raises:
        ValueError: the number of channels is no multiple of 3·K = 9.

    >>> weights, means, scales = split_parameters(torch.zeros(1, 18, 1, 1))
    >>> weights.shape, weights[0, :, 0, 0, 0]
    (torch.Size([1, 3, 2, 1, 1]), tensor([0.3333, 0.3333, 0.3333]))
    """
    if features.shape[1] % (3 * COMPONENTS):
        raise ValueError(
            f"a mixture of {COMPONENTS} Gaussians takes {3 * COMPONENTS} channels a latent channel, "
            f"so {features.shape[1]} channels cannot be split"
        )
    weights, means, scales = features.unflatten(1, (3, COMPONENTS, -1)).unbind(1)
    return MixtureParameters(torch.softmax(weights, dim=1), means, scales)


class GaussianMixture(nn.Module):
    """Mixtures with the parameters that are passed in.

    >>> mixture = GaussianMixture().eval()
    >>> features = torch.zeros(1, 9, 1, 1)
    >>> features[0, 3:6] = torch.tensor([0.0, 4.0, 4.0])[:, None, None]      # means
    >>> features[0, 6:9] = 0.5                                               # scales
    >>> for y in (0.3, 2.0, 4.4):
    ...     y_hat, likelihood = mixture(torch.full((1, 1, 1, 1), y), split_parameters(features))
    ...     print(int(y_hat), round(float(likelihood), 3))
    0 0.228
    2 0.001
    4 0.455
    """

    def __init__(self):
        super().__init__()
        self.likelihood_lower_bound = LowerBound(LIKELIHOOD_BOUND)
        self.lower_bound_scale = LowerBound(SCALE_BOUND)

    def forward(self, y: Tensor, parameters: MixtureParameters) -> tuple[Tensor, Tensor]:
        """Quantized values and their likelihoods, both of the shape [N,C,…] of `y`.

        In training the values carry uniform noise, otherwise they are rounded to whole numbers as in coding.
        """
        y_hat = add_noise(y) if self.training else self.quantize(y)
        return y_hat, self.likelihood(y_hat, parameters)

    def quantize(self, y: Tensor) -> Tensor:
        """`y` rounded to whole numbers, straight through."""
        return round_straight_through(y)

    @in_float32
    def likelihood(self, y_hat: Tensor, parameters: MixtureParameters) -> Tensor:
        """Probability of the unit interval around each value, at least `LIKELIHOOD_BOUND`."""
        weights, means, scales = parameters
        mass = interval_mass(y_hat[:, None] - means, self.lower_bound_scale(scales))
        return self.likelihood_lower_bound((weights * mass).sum(1))
