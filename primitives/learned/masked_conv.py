"""Convolutions that see only what the decoder already has: the context models of learned codecs.

A decoder knows some latents before others. What predicts a latent may look only at those decoded earlier, so that the
encoder can compute every prediction in one convolution and the decoder the same ones as it goes. Zeros in the kernel
do it; two orders of decoding are in use.

**Raster order** (`MaskedConv2d`): row by row, left to right. The kernel reaches up to the position before its centre
(type A in the paper)::

    1 1 1 1 1
    1 1 1 1 1
    1 1 . . .
    . . . . .
    . . . . .

A 5×5 kernel at row i reaches up to column j + 2 of row i - 1 and no further right, so position (i, j) may go
as soon as step j + 3i, together with all others of that step: H×W positions in W + 3(H - 1) steps. `wavefront` in
`codeckit.primitives.entropy` yields them.

**Checkerboard order** (`CheckerboardConv2d`): the *anchors*, one colour of a checkerboard, are decoded without
context, then all others at once, each seeing the anchors around it: two steps whatever the size, and neighbours on all
four sides, but half of the latents without any::

    . 1 . 1 .
    1 . 1 . 1
    . 1 . 1 .     (the anchors seen from a position that is none)
    1 . 1 . 1
    . 1 . 1 .

Sources: A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu, "Pixel Recurrent Neural Networks", ICML 2016, section 3.4;
D. Minnen, J. Ballé, G. Toderici, "Joint Autoregressive and Hierarchical Priors for Learned Image Compression", NeurIPS
2018; D. He et al., "Checkerboard Context Model for Efficient Learned Image Compression", CVPR 2021.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MaskedConv2d(nn.Conv2d):
    """A convolution [N,channels_in,H,W] to [N,channels_out,H,W] whose kernel sees earlier positions in raster order.

    Attributes:
        mask: 0 or 1 for every weight, a buffer [channels_out,channels_in,k,k].

    Raises:
        ValueError: the kernel size is even.

    >>> MaskedConv2d(1, 1, kernel_size=3).mask[0, 0].int().tolist()
    [[1, 1, 1], [1, 0, 0], [0, 0, 0]]
    """

    def __init__(self, channels_in: int, channels_out: int, kernel_size: int = 5):
        _check_odd(kernel_size)
        super().__init__(channels_in, channels_out, kernel_size, padding=kernel_size // 2)
        centre = kernel_size // 2
        mask = torch.ones_like(self.weight)
        mask[:, :, centre, centre:] = 0
        mask[:, :, centre + 1 :] = 0
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        """Context features of every position."""
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


class CheckerboardConv2d(nn.Conv2d):
    """A convolution [N,channels_in,H,W] to [N,channels_out,H,W] that sees anchors only, and is 0 at the anchors.

    Attributes:
        mask: 0 or 1 for every weight, a buffer [channels_out,channels_in,k,k].

    Raises:
        ValueError: the kernel size is even.

    >>> CheckerboardConv2d(1, 1, kernel_size=3).mask[0, 0].int().tolist()
    [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    """

    def __init__(self, channels_in: int, channels_out: int, kernel_size: int = 5):
        _check_odd(kernel_size)
        super().__init__(channels_in, channels_out, kernel_size, padding=kernel_size // 2)
        seen = ~anchors(kernel_size, kernel_size)  # an odd number of steps away from the centre
        self.register_buffer("mask", seen.to(self.weight).expand_as(self.weight).clone())

    def forward(self, x: Tensor) -> Tensor:
        """Context features of every position that is no anchor, and zeros at the anchors."""
        context = F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)
        return context.masked_fill(anchors(*x.shape[-2:], device=x.device), 0)


def anchors(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """Which positions of a checkerboard are decoded first: bool [height,width].

    >>> anchors(2, 3).int().tolist()
    [[1, 0, 1], [0, 1, 0]]
    """
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    return (rows[:, None] + columns) % 2 == 0


def _check_odd(kernel_size):
    if kernel_size % 2 == 0:
        raise ValueError(f"a masked kernel has a centre, so its size is odd, not {kernel_size}")
