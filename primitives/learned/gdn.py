"""Generalized divisive normalization (GDN): the nonlinearity of learned transforms for images.

Filter responses of natural images are not independent even where they are uncorrelated: where one is large, its
neighbours tend to be large as well. GDN divides every channel by a pooled measure of the activity of all channels at
the same position, which takes most of that dependence away (neurons in the visual cortex do much the same):

    GDN     y_i = x_i / √(β_i + Σ_j γ_ij x_j²)
    IGDN    x̂_i = ŷ_i · √(β_i + Σ_j γ_ij ŷ_j²)

The second is one step of the fixed-point iteration that inverts the first; it has parameters of its own. Both work at
each position separately, and the sum is a 1×1 convolution of the squares.

**Keeping β and γ non-negative.** What is trained and stored are the square roots: a parameter p stands for

    max(p, √(minimum + ε))² - ε,    ε = 2⁻³⁶

so steps shrink as the value nears zero and none can cross it. `NonNegative` is this map.

Sources: J. Ballé, V. Laparra, E. P. Simoncelli, "Density Modeling of Images using a Generalized Normalization
Transformation", ICLR 2016, section 2; "End-to-end Optimized Image Compression", ICLR 2017, section 2 and appendix.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .lower_bound import LowerBound

_PEDESTAL = 2.0**-36

#: Numbers that stay in a processor's cache from one operation to the next.
_CACHED = 1 << 18


class NonNegative(nn.Module):
    """The map from a stored parameter to a value of at least `minimum`; `inverse` is the way back.

    >>> nonnegative = NonNegative()
    >>> nonnegative(nonnegative.inverse(torch.tensor([0.0, 0.25, 4.0])))
    tensor([0.0000, 0.2500, 4.0000])
    """

    def __init__(self, minimum: float = 0.0):
        super().__init__()
        self.minimum = minimum
        self.register_buffer("pedestal", torch.tensor([_PEDESTAL]))
        self.lower_bound = LowerBound((minimum + _PEDESTAL) ** 0.5)

    def forward(self, stored: Tensor) -> Tensor:
        """The value that `stored` stands for."""
        return self.lower_bound(stored).square() - self.pedestal

    def inverse(self, value: Tensor) -> Tensor:
        """The parameter to store for a `value`."""
        return torch.sqrt(torch.clamp(value, min=0) + self.pedestal)


class GDN(nn.Module):
    """GDN, or with ``inverse=True`` IGDN, of feature maps [N,C,H,W].

    Attributes:
        beta: stored form of β [C]; starts at β = 1.
        gamma: stored form of γ [C,C]; starts at γ = 0.1 · 1.
        inverse: whether to multiply instead of dividing.

    >>> float(GDN(1)(torch.full((1, 1, 1, 1), 3.0)).detach())     # 3 / √(1 + 0.1 · 9)
    2.17...
    """

    def __init__(self, channels: int, inverse: bool = False):
        super().__init__()
        self.inverse = inverse
        self.beta_reparam = NonNegative(minimum=1e-6)
        self.beta = nn.Parameter(self.beta_reparam.inverse(torch.ones(channels)))
        self.gamma_reparam = NonNegative()
        self.gamma = nn.Parameter(self.gamma_reparam.inverse(0.1 * torch.eye(channels)))

    def forward(self, x: Tensor) -> Tensor:
        """The normalized feature maps [N,C,H,W]."""
        gamma, beta = self.gamma_reparam(self.gamma), self.beta_reparam(self.beta)
        if x.is_cpu and not torch.is_grad_enabled() and x.is_contiguous(memory_format=torch.channels_last):
            return self._in_cache(x, gamma.t().contiguous(), beta)
        activity = F.conv2d(x.square(), gamma[:, :, None, None], beta)
        return x * (torch.sqrt(activity) if self.inverse else torch.rsqrt(activity))

    def _in_cache(self, x, gamma, beta):
        """The same, some positions at a time: a large map as a whole goes through memory for each of the operations."""
        rows = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])
        out = torch.empty_like(rows)
        positions = max(1, _CACHED // x.shape[1])
        for part, result in zip(rows.split(positions), out.split(positions), strict=True):
            activity = torch.addmm(beta, part.square(), gamma)
            torch.mul(part, activity.sqrt_() if self.inverse else activity.rsqrt_(), out=result)
        return out.view(x.shape[0], *x.shape[2:], x.shape[1]).permute(0, 3, 1, 2)
