"""What an adaptive coder will spend: the rate that `balle2017` is trained for.

Its prior has one density a channel, yet its latents are coded with contexts (`primitives.entropy.latent_mixing`), which
take a quarter fewer bits than these densities say, most where latents are small and alike over space and channels. A
transform that is trained for the prior's rate serves another coder than the one it gets: it avoids bits that would have
been cheap. But the coder has no gradient; it is tables of counters, filled while a picture is coded.

So a small network stands in for it, in training alone. A latent ŷ, less its median, follows a Laplace distribution

    P(ŷ) = ∫ 1/(2b)·exp(-|t|/b) dt    over ŷ - ½ … ŷ + ½

whose scale b comes from the channel, the rate, and the magnitudes m = log(1 + max(|ŷ| - ½, 0)) of what a decoder has
already: those around, in a 5×5 neighbourhood of all channels, and those of the same position, the channels with
larger latents first::

    log b = base[quality, channel]  +  Σ around · (m - m̄)  +  Σ here · (m - m̄)

m̄ are usual magnitudes of each channel and quality. So the sums are zero in the mean, and only the base knows the rate.

The prior keeps its place in the codec, where the coder asks for its opinion, and goes on learning from the latents as
they are (`losses.Objective`).

**Invariant.** The scale of a latent depends on no latent that is decoded later, so the probabilities are those of a
code.

Sources: D. Minnen, J. Ballé, G. Toderici, "Joint Autoregressive and Hierarchical Priors for Learned Image Compression",
NeurIPS 2018 (scales from a masked convolution of decoded latents); M. Germain et al., "MADE: Masked Autoencoder for
Distribution Estimation", ICML 2015 (an order of variables in the mask of a matrix).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..primitives.entropy.laplace import laplace_bits
from ..primitives.learned.masked_conv import MaskedConv2d
from ..primitives.learned.quantize import in_float32

#: Logarithms of the smallest and the largest scale.
_NARROWEST, _WIDEST = math.log(0.04), 6.0

#: Magnitudes are fed in this size: it makes a step of AdamW small beside what the weights add up to.
_INPUT_SIZE = 0.1


class AdaptiveRate(nn.Module):
    """Bits of latents [N,C,h,w] by a coder that sees what was decoded before.

    Args:
        channels: C.
        levels: qualities run from 1 to this.

    Attributes:
        base: logarithms of scales where all magnitudes are usual [levels,C].
        usual: those magnitudes [levels,C], a buffer.
        order: 1 where a channel (row) sees another (column) of its position, a buffer [C,C].

    >>> rate = AdaptiveRate(4, levels=8)
    >>> rate.start(torch.randn(8, 16, 4, 4, 4) * torch.arange(1.0, 9).view(8, 1, 1, 1, 1))
    >>> rate.bits(torch.zeros(2, 4, 4, 4), torch.tensor([1.0, 7.5])).shape
    torch.Size([2])
    """

    def __init__(self, channels: int, levels: int):
        super().__init__()
        self.base = nn.Parameter(torch.zeros(levels, channels))
        self.around = MaskedConv2d(channels + 1, channels, 5)  # the last channel says where the picture is
        self.here = nn.Parameter(torch.zeros(channels, channels))
        nn.init.zeros_(self.around.weight), nn.init.zeros_(self.around.bias)
        self.register_buffer("usual", torch.zeros(levels, channels))
        self.register_buffer("order", torch.ones(channels, channels).tril(-1))

    @torch.no_grad()
    def start(self, latents: Tensor) -> None:
        """Take scales, usual magnitudes and the order of channels from latents of every level [levels,N,C,h,w]."""
        sizes = latents.abs().mean((1, 3, 4))
        self.base.copy_(sizes.clamp(min=0.05).log())
        self.usual.copy_(_magnitudes(latents).mean((1, 3, 4)))
        rank = sizes.mean(0).argsort(descending=True).argsort()
        self.order.copy_(rank[None, :] < rank[:, None])

    @in_float32
    def scales(self, y_hat: Tensor, quality: Tensor, foreseen: Tensor | float = 0.0) -> Tensor:
        """The scale b of every latent; arguments as in `bits`."""
        base, usual = self._at(self.base, quality), self._at(self.usual, quality)
        inputs = _INPUT_SIZE * (_magnitudes(y_hat) - usual)
        inside = torch.full_like(inputs[:, :1], _INPUT_SIZE)
        seen = self.around(torch.cat((inputs, inside), dim=1))
        seen = seen + F.conv2d(inputs, (self.here * self.order)[..., None, None])
        return (base + seen + foreseen).clamp(_NARROWEST, _WIDEST).exp()

    def usual_scales(self, quality: Tensor) -> Tensor:
        """Logarithms of the scales where nothing is known but channel and rate [N,C,1,1]."""
        return self._at(self.base, quality)

    @staticmethod
    def _at(table, quality):
        """The values of a table [levels,C] at qualities [N], as [N,C,1,1]."""
        position = quality - 1
        below = position.floor().clamp(max=len(table) - 2).long()
        return torch.lerp(table[below], table[below + 1], (position - below)[:, None])[..., None, None]

    @in_float32
    def bits(self, y_hat: Tensor, quality: Tensor, foreseen: Tensor | float = 0.0) -> Tensor:
        """What each picture takes [N].

        Args:
            y_hat: latents less their medians, noisy or rounded [N,C,h,w].
            quality: of each picture [N].
            foreseen: what else is known of the logarithms of scales [N,C,h,w].
        """
        return laplace_bits(y_hat.abs(), self.scales(y_hat, quality, foreseen)).flatten(1).sum(1)


def _magnitudes(y_hat):
    return torch.log1p(F.relu(y_hat.abs() - 0.5))
