"""Residual blocks of small convolutions, with and without a change of resolution.

A stack of 3×3 convolutions sees as much of the picture as one large kernel, with fewer weights and more nonlinearity:
two see 5×5, four see 9×9. Each block adds its result to its input (He et al. 2016), so that gradients reach the first
layers unweakened::

    ResidualBlock               x ─ 3×3 ─ leaky ─ 3×3 ─ leaky ─ + ─         skip: x, or 1×1 where channels change
    ResidualBlockWithStride     x ─ 3×3/2 ─ leaky ─ 3×3 ─ GDN ─ + ─         skip: 1×1/2
    ResidualBlockUpsample       x ─ subpixel×2 ─ leaky ─ 3×3 ─ IGDN ─ + ─   skip: subpixel×2

*Sub-pixel convolution* raises the resolution without a transposed convolution: a 3×3 convolution makes r² times the
channels, and each group of r² of them is laid out as an r×r square of pixels (here r = 2). All computing is done at the
low resolution.

Sources: Z. Cheng, H. Sun, M. Takeuchi, J. Katto, "Learned Image Compression with Discretized Gaussian Mixture
Likelihoods and Attention Modules", CVPR 2020, section 3; W. Shi et al., "Real-Time Single Image and Video
Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", CVPR 2016.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from .gdn import GDN


def conv3x3(channels_in: int, channels_out: int, stride: int = 1) -> nn.Conv2d:
    """A 3×3 convolution that keeps the size, or divides it by `stride` rounding up."""
    return nn.Conv2d(channels_in, channels_out, kernel_size=3, stride=stride, padding=1)


def conv1x1(channels_in: int, channels_out: int, stride: int = 1) -> nn.Conv2d:
    """A 1×1 convolution: a matrix at every position."""
    return nn.Conv2d(channels_in, channels_out, kernel_size=1, stride=stride)


def subpixel_conv3x3(channels_in: int, channels_out: int) -> nn.Sequential:
    """Sub-pixel convolution [N,channels_in,H,W] to [N,channels_out,2H,2W].

    >>> import torch
    >>> subpixel_conv3x3(4, 3)(torch.zeros(1, 4, 5, 6)).shape
    torch.Size([1, 3, 10, 12])
    """
    return nn.Sequential(conv3x3(channels_in, 4 * channels_out), nn.PixelShuffle(2))


def _leaky(x):
    return F.leaky_relu(x, inplace=True)


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions and the input itself: [N,channels_in,H,W] to [N,channels_out,H,W].

    >>> import torch
    >>> ResidualBlock(4, 6)(torch.zeros(1, 4, 5, 7)).shape
    torch.Size([1, 6, 5, 7])
    """

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        self.conv1 = conv3x3(channels_in, channels_out)
        self.conv2 = conv3x3(channels_out, channels_out)
        self.skip = conv1x1(channels_in, channels_out) if channels_in != channels_out else None

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        out = _leaky(self.conv2(_leaky(self.conv1(x))))
        return out + (x if self.skip is None else self.skip(x))


class ResidualBlockWithStride(nn.Module):
    """A residual block that halves the resolution, with GDN: [N,channels_in,H,W] to [N,channels_out,H/2,W/2].

    >>> import torch
    >>> ResidualBlockWithStride(3, 4)(torch.zeros(1, 3, 6, 8)).shape
    torch.Size([1, 4, 3, 4])
    """

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        self.conv1 = conv3x3(channels_in, channels_out, stride=2)
        self.conv2 = conv3x3(channels_out, channels_out)
        self.gdn = GDN(channels_out)
        self.skip = conv1x1(channels_in, channels_out, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        return self.gdn(self.conv2(_leaky(self.conv1(x)))) + self.skip(x)


class ResidualBlockUpsample(nn.Module):
    """A residual block that doubles the resolution, with IGDN: [N,channels_in,H,W] to [N,channels_out,2H,2W].

    >>> import torch
    >>> ResidualBlockUpsample(4, 4)(torch.zeros(1, 4, 3, 4)).shape
    torch.Size([1, 4, 6, 8])
    """

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        self.subpel_conv = subpixel_conv3x3(channels_in, channels_out)
        self.conv = conv3x3(channels_out, channels_out)
        self.igdn = GDN(channels_out, inverse=True)
        self.upsample = subpixel_conv3x3(channels_in, channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        return self.igdn(self.conv(_leaky(self.subpel_conv(x)))) + self.upsample(x)
