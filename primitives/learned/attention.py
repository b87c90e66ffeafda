"""Attention: let the transform spend its bits where the picture is difficult.

The block computes features a and, in a second branch, a mask between 0 and 1, and adds their product to its input:

    y = x + a(x) · σ(b(x))

so flat regions pass nearly unchanged while edges and texture are emphasised. The original attention module begins its
mask branch with a non-local block, whose cost is quadratic in the number of positions; Cheng et al. leave that out and
find the same coding gain after longer training. Both branches are three residual units of bottleneck shape
(1×1 to half the channels, 3×3, 1×1 back); the mask branch ends in another 1×1 convolution.

Source: Z. Cheng et al., "Learned Image Compression with Discretized Gaussian Mixture Likelihoods and Attention
Modules", CVPR 2020, section 3.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .residual import conv1x1, conv3x3


class ResidualUnit(nn.Module):
    """A bottleneck residual unit on [N,channels,H,W]: 1×1, 3×3 with half the channels, 1×1."""

    def __init__(self, channels: int):
        super().__init__()
        half = channels // 2
        self.conv = nn.Sequential(
            conv1x1(channels, half), nn.ReLU(inplace=True),
            conv3x3(half, half), nn.ReLU(inplace=True),
            conv1x1(half, channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """The unit's output, the shape of `x`."""
        return F.relu(self.conv(x) + x)


class AttentionBlock(nn.Module):
    """Simplified attention on [N,channels,H,W]; the output has the input's shape.

    >>> AttentionBlock(4)(torch.zeros(1, 4, 5, 7)).shape
    torch.Size([1, 4, 5, 7])
    """

    def __init__(self, channels: int):
        super().__init__()
        self.conv_a = nn.Sequential(*(ResidualUnit(channels) for _ in range(3)))
        self.conv_b = nn.Sequential(*(ResidualUnit(channels) for _ in range(3)), conv1x1(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """The input with the masked features added."""
        return x + self.conv_a(x) * torch.sigmoid(self.conv_b(x))
