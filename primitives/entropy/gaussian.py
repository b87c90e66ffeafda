"""The Gaussian conditional: latents with a predicted mean and scale each.

Side information (a hyperprior, a context model) predicts a mean μ and a scale σ for every latent. A network is trained
on y + noise, whose density is the Gaussian convolved with a box of width 1, so a value's probability is the Gaussian's
mass in the unit interval around it:

    p(ŷ) = Φ((ŷ - μ + ½)/σ) - Φ((ŷ - μ - ½)/σ)

Written with |ŷ - μ| both terms lie in the lower tail of Φ, where ``erfc`` is precise however small they are; in the
upper tail p would be lost in the rounding of 1 - p. Scales below `SCALE_BOUND` put nearly the whole mass on one symbol,
and are raised to it.

When coding, ŷ - μ is a whole number (`round_around`), and tables exist for a few scales only.

Sources: J. Ballé et al., "Variational image compression with a scale hyperprior", ICLR 2018, section 3; D. Minnen,
J. Ballé, G. Toderici, "Joint Autoregressive and Hierarchical Priors for Learned Image Compression", NeurIPS 2018,
section 2 (means).
"""

import math

import torch
from torch import Tensor, nn

from ..learned.lower_bound import LowerBound
from ..learned.quantize import add_noise, in_float32, round_around, round_straight_through
from .factorized import LIKELIHOOD_BOUND

#: Smallest scale: with it the mass outside a unit interval is 5·10⁻⁶.
SCALE_BOUND = 0.11


class GaussianConditional(nn.Module):
    """Gaussians with the means and scales that are passed in.

    >>> gaussian = GaussianConditional().eval()
    >>> y, scales, means = torch.tensor([0.3, 2.6]), torch.tensor([1.0, 1.0]), torch.tensor([0.5, 0.5])
    >>> y_hat, likelihoods = gaussian(y, scales, means)
    >>> y_hat, likelihoods
    (tensor([0.5000, 2.5000]), tensor([0.3829, 0.0606]))
    """

    def __init__(self):
        super().__init__()
        self.likelihood_lower_bound = LowerBound(LIKELIHOOD_BOUND)
        self.lower_bound_scale = LowerBound(SCALE_BOUND)

    def forward(self, y: Tensor, scales: Tensor, means: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Quantized values and their likelihoods; all tensors have the same shape.

        In training the values carry uniform noise, otherwise they are rounded around the means (around 0 without) as
        in coding.
        """
        y_hat = add_noise(y) if self.training else self.quantize(y, means)
        return y_hat, self.likelihood(y_hat, scales, means)

    def quantize(self, y: Tensor, means: Tensor | None = None) -> Tensor:
        """`y` rounded around `means`, straight through."""
        return round_straight_through(y) if means is None else round_around(y, means)

    @in_float32
    def likelihood(self, y_hat: Tensor, scales: Tensor, means: Tensor | None = None) -> Tensor:
        """Probability of the unit interval around each value, at least `LIKELIHOOD_BOUND`."""
        distance = y_hat if means is None else y_hat - means
        return self.likelihood_lower_bound(interval_mass(distance, self.lower_bound_scale(scales)))


def interval_mass(distance: Tensor, scales: Tensor) -> Tensor:
    """Mass of a centred Gaussian with standard deviation `scales` in the unit interval around `distance`, elementwise.

    >>> float(interval_mass(torch.tensor(0.0), torch.tensor(1.0)))
    0.3829...
    """
    distance = torch.abs(distance)
    return _normal_cdf((0.5 - distance) / scales) - _normal_cdf((-0.5 - distance) / scales)


def _normal_cdf(x):
    return 0.5 * torch.erfc(x * -math.sqrt(0.5))
