"""Gain units: one network for every rate.

A latent that is multiplied by g before it is rounded, and divided by g after, is quantized with step 1/g. A *gain
unit* has one such factor for each channel and each of a few *levels* (trained rates); its partner before the synthesis
transform, the *inverse gain unit*, has factors of its own. Channels differ: as the rate falls, most of them are
quantized to nothing while a few stay fine, which no common step size can imitate.

Between two levels the factors are interpolated exponentially, so the quality is a continuous number:

    g(l + t) = g(l)^(1-t) · g(l+1)^t,    0 ≤ t ≤ 1

If gain times inverse gain is the same constant at both levels, this keeps it in between, for every t. What is stored
are the logarithms, in which the interpolation is linear and the factors cannot become negative.

Source: Z. Cui, J. Wang, S. Gao, T. Guo, Y. Feng, B. Bai, "Asymmetric Gained Deep Image Compression With Continuous Rate
Adaptation", CVPR 2021 (arXiv:2003.02012).
"""

import math

import torch
from torch import Tensor, nn


class GainUnit(nn.Module):
    """Multiply the channels of [N,C,H,W] by the factors of a quality from 1 (coarse) to `levels` (fine).

    The factors start at `finest` for the finest level and fall by √2 a level, as the best step size grows when the
    weight λ of the distortion is halved; those of ``inverse=True`` start at the reciprocals.

    Attributes:
        log_gain: natural logarithms of the factors [levels,C].

    Raises:
        ValueError: fewer than two levels.

    >>> gain, inverse_gain = GainUnit(2, levels=3), GainUnit(2, levels=3, inverse=True)
    >>> y = torch.ones(1, 2, 1, 1)
    >>> [round(float(gain(y, quality)[0, 0].detach()), 4) for quality in (1, 2, 2.5, 3)]
    [0.5, 0.7071, 0.8409, 1.0]
    >>> bool(torch.allclose(inverse_gain(gain(y, 1.3), 1.3), y))
    True
    """

    def __init__(self, channels: int, levels: int, inverse: bool = False, finest: float = 1.0):
        super().__init__()
        if levels < 2:
            raise ValueError(f"gain units interpolate between at least 2 levels, not {levels}")
        log_gain = math.log(finest) + (torch.arange(levels) - (levels - 1)) * (math.log(2) / 2)
        self.log_gain = nn.Parameter((-log_gain if inverse else log_gain)[:, None].repeat(1, channels))

    @property
    def levels(self) -> int:
        """Number of levels: the highest quality."""
        return self.log_gain.shape[0]

    def forward(self, y: Tensor, quality: float | Tensor) -> Tensor:
        """`y` scaled for one quality, for one of each image (a tensor [N]), or for one of each position [N,H,W].

        Raises:
            ValueError: a quality outside 1 … `levels`.
        """
        return y * self.scale(quality)

    def scale(self, quality: float | Tensor) -> Tensor:
        """The factors in a shape that latents [N,C,H,W] can be multiplied with; raises as `forward` does.

        Args:
            quality: one, one of each image [N], or one of each position [N,H,W].
        """
        factors = self.factors(quality)
        return factors.permute(0, 3, 1, 2) if factors.ndim == 4 else factors[..., None, None]

    def factors(self, quality: float | Tensor) -> Tensor:
        """The factors at one quality [C], or at a tensor [N] or [N,H,W] of them [...,C]; raises as `forward` does."""
        position = torch.as_tensor(quality, dtype=self.log_gain.dtype, device=self.log_gain.device) - 1
        checked = not torch.compiler.is_compiling()  # a look at the values would cut a compiled graph in two
        if checked and not ((position >= 0) & (position <= self.levels - 1)).all():
            raise ValueError(f"quality is a number from 1 to {self.levels}, not {quality}")
        below = position.floor().clamp(max=self.levels - 2).long()
        return torch.exp(torch.lerp(self.log_gain[below], self.log_gain[below + 1], (position - below)[..., None]))
