"""The networks of predicted frames: DVC's residual coding, DCVC's conditional coding, from the same parts.

A frame x is predicted from the frame before, x̂', as it was decoded: motion compensation makes p of it, without a
network. What is left to a network is shown here for `Dvc`, the residual codec (Lu et al. 2019)::

    p, x̂', quality ── context ── c ── correction ── δ        a better prediction p̄ = p + δ
    x - p̄ ── g_a ── gain ── y ── round ── q                   residual to symbols
    q ── inverse gain ── g_s ── r̂                             x̂ = p̄ + r̂

`context` and `correction` are DVC's motion compensation network. They work at a quarter of the resolution, on
`PixelUnshuffle`\\ d frames, where a convolution costs a sixteenth.

`Dcvc` codes x *given* the prediction, not its difference alone (Li et al. 2021). The features c of the prediction take
part in all three verbs::

    x - p̄, c ── g_a ── y                encoder
    q, c ── g_s, fusion ── r̂            decoder: a nonlinear function of both
    c ── prior ── log-scale of y        entropy model

Features of a warped frame stand for DCVC's warped features of a frame: within a block that moves as a whole, a
convolution and a shift may change places.

**The start.** δ, the fusion and the prior end in convolutions of zeros, and c has no weight in g_a. With g_a and g_s of
principal components (`training.start`), both networks begin as the same linear codec, and a trained `Dvc` is a `Dcvc`.

**Pixels** are in units of 1/256 inside: 0 … 255 becomes 0 … 255/256, so that integer networks take them as they are.
All that a decoder computes (`context`, `correction`, `g_s`, `fusion`, `prior`) is made of layers that
`primitives.learned.integer` makes exact.

Sources: G. Lu et al., "DVC: An End-to-end Deep Video Compression Framework", CVPR 2019; J. Li, B. Li, Y. Lu, "Deep
Contextual Video Compression", NeurIPS 2021; residuals under a condition: F. Brand, J. Seiler, A. Kaup, "Conditional
Residual Coding", arXiv:2307.12864.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...primitives.learned.gain import GainUnit
from ...primitives.learned.gdn import GDN
from ...primitives.learned.quantize import round_straight_through
from ..learned.networks import LEVEL_STEPS
from ..learned.networks.layers import down, up

#: Side of the squares of pixels that are channels of the context network.
CELL = 4

#: Channels of the context network's input: two frames, and a plane that says the quality.
_SEEN = 2 * 3 * CELL**2 + 1

#: Pixels are multiplied by this.
_UNIT = 1 / 256


@dataclass(frozen=True, eq=False)
class Predicted:
    """What a network makes of a frame.

    Attributes:
        reconstruction: x̂ [N,3,H,W], 0 … 255, neither rounded nor clipped.
        corrected: p̄ likewise.
        y: scaled latents before rounding [N,M,H/16,W/16].
        features: c [N,C,H/4,W/4].
    """

    reconstruction: Tensor
    corrected: Tensor
    y: Tensor
    features: Tensor


class PredictiveNetwork(nn.Module):
    """Base of both: what the residual codec has.

    Attributes:
        LEVELS: number of qualities.
        N, M, C: channels of the transforms, of the latents, of the context.
        context, correction, g_a, g_s, gain, inverse_gain: as above. `head` is the part of g_a at a quarter of the
            resolution, `tail` that of g_s.

    >>> network = Dvc(N=8, M=12, C=4)
    >>> x = torch.full((1, 3, 32, 48), 100.0)
    >>> out = network(x, x + 1, x + 2, torch.tensor([3.5]))
    >>> out.reconstruction.shape, out.y.shape
    (torch.Size([1, 3, 32, 48]), torch.Size([1, 12, 2, 3]))
    """

    LEVELS: ClassVar[int] = 8

    def __init__(self, N: int = 96, M: int = 192, C: int = 48):
        super().__init__()
        self.N, self.M, self.C = N, M, C
        self.context = nn.Sequential(conv(_SEEN, C), leaky(), conv(C, C), leaky(), conv(C, C), leaky())
        self.correction = nn.Sequential(zero(conv(C, 3 * CELL**2)), nn.PixelShuffle(CELL))
        self.head = nn.Sequential(down(3, N, kernel_size=9, stride=4), GDN(N))
        self.g_a = nn.Sequential(down(N, N), GDN(N), down(N, M))
        self.g_s = nn.Sequential(up(M, N), GDN(N, inverse=True), up(N, N), GDN(N, inverse=True))
        self.tail = up(N, 3, kernel_size=9, stride=4)
        self.gain = GainUnit(M, self.LEVELS)
        self.inverse_gain = GainUnit(M, self.LEVELS, inverse=True)

    def forward(self, x: Tensor, p: Tensor, before: Tensor, quality: Tensor) -> Predicted:
        """Code frames, with rounded latents that gradients pass.

        Args:
            x: frames [N,3,H,W], 0 … 255; sides are multiples of 16.
            p: their predictions.
            before: the decoded frames that these were made of.
            quality: of each frame [N].
        """
        features = self.features(p, before, quality)
        corrected = p * _UNIT + self.correction(features).float()
        y = self.analysis(x * _UNIT - corrected, features, quality)
        made = self.synthesis(round_straight_through(y), features, quality)
        return Predicted((corrected + made) * 256, corrected * 256, y, features)

    def features(self, p: Tensor, before: Tensor, quality: Tensor) -> Tensor:
        """c of predictions and the frames before, 0 … 255 [N,3,H,W]."""
        frames = F.pixel_unshuffle(torch.cat((p, before), dim=1) * _UNIT, CELL)
        level = ((quality - 1) * LEVEL_STEPS / 64).view(-1, 1, 1, 1).expand(-1, 1, *frames.shape[2:])
        return self.context(torch.cat((frames, level), dim=1))

    def analysis(self, residual: Tensor, features: Tensor, quality: Tensor) -> Tensor:
        """Scaled latents of residuals in pixels/256."""
        return self.gain(self.g_a(self.head(residual)).float(), quality)

    def synthesis(self, y_hat: Tensor, features: Tensor, quality: Tensor) -> Tensor:
        """r̂ in pixels/256, of rounded latents."""
        return self.tail(self.g_s(self.inverse_gain(y_hat, quality))).float()


class Dvc(PredictiveNetwork):
    """Residual coding: what is predicted is subtracted, and the difference coded on its own."""


class Dcvc(PredictiveNetwork):
    """Conditional coding: features of the prediction take part in the encoder, the decoder and the entropy model.

    Attributes:
        fusion: of g_s's features and c, a part of r̂.
        prior: of c, the logarithm of each latent's scale relative to the usual one of its channel.

    >>> network = Dcvc(N=8, M=12, C=4)
    >>> network.prior(torch.zeros(1, 4, 8, 12)).shape
    torch.Size([1, 12, 2, 3])
    """

    def __init__(self, N: int = 96, M: int = 192, C: int = 48):
        super().__init__(N, M, C)
        self.g_a = nn.Sequential(down(N + C, N), GDN(N), down(N, M))
        nn.init.zeros_(self.g_a[0].weight[:, N:].data)
        self.fusion = nn.Sequential(
            conv(N + C, C), leaky(), conv(C, C), leaky(), zero(conv(C, 3 * CELL**2)), nn.PixelShuffle(CELL)
        )
        self.prior = nn.Sequential(down(C, C), leaky(), zero(down(C, M)))

    def analysis(self, residual, features, quality):
        """As `PredictiveNetwork.analysis`, given the features."""
        return self.gain(self.g_a(torch.cat((self.head(residual), features), dim=1)).float(), quality)

    def synthesis(self, y_hat, features, quality):
        """As `PredictiveNetwork.synthesis`, given the features."""
        made = self.g_s(self.inverse_gain(y_hat, quality))
        return self.tail(made).float() + self.fusion(torch.cat((made, features), dim=1)).float()


def conv(channels_in: int, channels_out: int) -> nn.Conv2d:
    """A convolution of 3×3 that keeps the size."""
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


def leaky() -> nn.LeakyReLU:
    """The nonlinearity of the context."""
    return nn.LeakyReLU(0.1)


def zero(layer):
    """The layer, with weights of zero."""
    nn.init.zeros_(layer.weight), nn.init.zeros_(layer.bias)
    return layer


#: The networks by the names of their codecs.
NETWORKS: dict[str, type[PredictiveNetwork]] = {"dvc": Dvc, "dcvc": Dcvc}
