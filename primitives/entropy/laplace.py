"""The Laplace distribution as an entropy model: latents with a predicted scale, and a mean perhaps.

Residuals are peaked at zero, and their tails are longer than those of a Gaussian. A Laplace distribution of scale b has
the density e^(-|y-μ|/b) / 2b. What a whole number takes is the mass of the unit interval around it:

    bits(ŷ) = -log2( F(ŷ - μ + ½) - F(ŷ - μ - ½) )

Away from the centre this is a straight line in |ŷ - μ|. Computed as such it stays exact where the mass itself is too
small for a float, and keeps its gradient there, so no bound on the probability is needed. Scales have one
(`SCALE_BOUND`).

Source: G. Lu et al., "DVC: An End-to-end Deep Video Compression Framework", CVPR 2019; J. Li, B. Li, Y. Lu, "Deep
Contextual Video Compression", NeurIPS 2021, use it for video.
"""

import math

import torch
from torch import Tensor, nn

from ..learned.lower_bound import LowerBound
from ..learned.quantize import in_float32

#: Smallest scale: with it the mass outside of the unit interval around the centre is 5·10⁻⁵.
SCALE_BOUND = 0.05


class LaplaceConditional(nn.Module):
    """Laplace distributions with the scales and means that are passed in.

    >>> laplace = LaplaceConditional()
    >>> laplace.bits(torch.tensor([0.0, 2.0]), torch.tensor([0.5, 0.5]))
    tensor([0.6617, 5.5379])
    """

    def __init__(self):
        super().__init__()
        self.lower_bound_scale = LowerBound(SCALE_BOUND)

    @in_float32
    def bits(self, y_hat: Tensor, scales: Tensor, means: Tensor | None = None) -> Tensor:
        """What each value takes in bits; all tensors have the same shape.

        Scales below `SCALE_BOUND`, and negative ones, are raised to it.
        """
        distance = y_hat if means is None else y_hat - means
        return laplace_bits(distance.abs(), self.lower_bound_scale(scales))


def laplace_bits(distance: Tensor, scale: Tensor) -> Tensor:
    """-log2 of a Laplace distribution's mass within ½ of a point at a distance ≥ 0 from its centre.

    >>> laplace_bits(torch.tensor([0.0, 2.0]), torch.tensor([0.5, 0.5]))      # 1 - 1/e; (e^-3 - e^-5) / 2
    tensor([0.6617, 5.5379])
    """
    tails = torch.exp(-(0.5 - distance).clamp(min=0) / scale) + torch.exp(-(0.5 + distance) / scale)
    around_centre = -torch.log1p(-tails / 2)
    beside = (distance - 0.5) / scale - torch.log(-torch.expm1(-1 / scale) / 2)
    return torch.where(distance < 0.5, around_centre, beside) / math.log(2)
