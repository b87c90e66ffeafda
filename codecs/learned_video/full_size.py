"""DVC and DCVC in the size of their papers, for training on a GPU: 4.75 and 7.94 million parameters.

Both predict a frame from the decoded frame before it and code three things: how it moved, what else is new, and side
information about the probabilities::

    DVC     v = flow(x, x̂')     v̂ = motion codec(v)     x̄ = compensation(x̂' warped by v̂, x̂')
            r = x - x̄           r̂ = residual codec(r)   x̂ = x̄ + r̂

    DCVC    v = flow(x, x̂')     v̂ = motion codec(v), refined with x̂'
            c = refined(features(x̂') warped by v̂)       x̂ = decoder(round(encoder(x, c)), c)

DVC subtracts its prediction. DCVC gives features of the prediction, the *context* c, to the encoder, the decoder and
the entropy model, and lets them find out what to do with it.

======  ==========================================  ==================================================================
        DVC                                         DCVC
======  ==========================================  ==================================================================
motion  a density a channel                         mean and scale, from a hyperprior and decoded neighbours
rest    scale, from a hyperprior                    mean and scale, from a hyperprior, decoded neighbours and c
======  ==========================================  ==================================================================

Distributions are Laplace's. The sides z have a density a channel.

The layers are those of the published code (for DVC that of PyTorchVideoCompression, with eight convolutions in each
half of the motion codec). Four things differ:

- What corrects something begins with no correction, its last convolution with zeros: each level of the flow, DVC's
  compensation network, DCVC's refinement of the motion. The originals have a trained flow network.
- Latents are rounded to whole numbers, and their distributions lie anywhere between these. DCVC's encoder rounds the
  difference to the mean instead, one position after the other. What is counted here is a code as well, for means and
  scales depend on nothing that is decoded later.
- Probabilities have other lower bounds (`LaplaceConditional`, `FactorizedPrior`).
- Frames of any size are padded to multiples of 64 inside. The bits of what is padded count.

**Training and evaluation.** In training mode latents carry noise. In evaluation mode they are rounded and the
reconstruction is clipped. Rates are estimates. These networks have no streams, as their decoders compute in floats, and
a frame that others are predicted from must be the same on every machine.

Sources: G. Lu, W. Ouyang, D. Xu, X. Zhang, C. Cai, Z. Gao, "DVC: An End-to-end Deep Video Compression Framework", CVPR
2019; J. Li, B. Li, Y. Lu, "Deep Contextual Video Compression", NeurIPS 2021. Layers: the repositories
ZhihaoHu/PyTorchVideoCompression (``DVC``) and microsoft/DCVC (``DCVC-family/DCVC``).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...primitives.entropy.factorized import NARROW, FactorizedPrior
from ...primitives.entropy.laplace import LaplaceConditional
from ...primitives.learned.flow import PyramidFlow, warp
from ...primitives.learned.gdn import GDN
from ...primitives.learned.masked_conv import MaskedConv2d
from ...primitives.learned.quantize import Proxy, add_noise, in_float32, stand_in
from ...primitives.learned.residual import conv1x1, conv3x3, subpixel_conv3x3
from ..learned.networks.layers import down, up

#: λ · 255² of the published networks, one each: the weight of the squared error of pixels in 0 … 1.
PUBLISHED_WEIGHTS = (256, 512, 1024, 2048)

#: Largest logarithm of a scale that DVC's hyperprior predicts.
_WIDEST = 10.0


@dataclass(frozen=True, eq=False)
class FrameOutput:
    """What a network makes of a frame and the decoded frame before it.

    Attributes:
        reconstruction: x̂ [N,3,H,W]; clipped to 0 … 1 in evaluation mode.
        predictions: pictures [N,3,H,W] on the way to it. Of both networks "flow", the reference warped by the flow that
            was found, and "motion", warped by the flow that was decoded; of DVC also "compensated", x̄.
        bits: estimated bits of each picture [N], by part: "motion" and "latents", "hyper" for the side information of
            the latents, and of DCVC "motion hyper" for that of the motion.

    >>> FrameOutput(torch.zeros(1, 3, 4, 4), {}, {"motion": torch.ones(1), "latents": torch.ones(1)}).total()
    tensor([2.])
    """

    reconstruction: Tensor
    predictions: dict[str, Tensor]
    bits: dict[str, Tensor]

    @property
    def warped(self) -> Tensor:
        """The reference warped by the decoded motion [N,3,H,W]."""
        return self.predictions["motion"]

    def total(self) -> Tensor:
        """Estimated bits of each picture [N], all parts together."""
        return torch.stack(tuple(self.bits.values())).sum(0)


class FullSize(nn.Module):
    """Base of both networks.

    Attributes:
        summary: one line about the architecture.
        PARTS: what `FrameOutput.bits` counts.
        MOTION: names of the children that code the motion.
    """

    summary: ClassVar[str] = ""
    stride: ClassVar[int] = 64
    PARTS: ClassVar[tuple[str, ...]] = ()
    MOTION: ClassVar[tuple[str, ...]] = ()

    def forward(self, x: Tensor, reference: Tensor, *, proxy: Proxy = "noise") -> FrameOutput:
        """Code a frame.

        Args:
            x: frames, float [N,3,H,W] in 0 … 1.
            reference: the decoded frames before them, likewise.
            proxy: in training mode, what stands in for rounding where decoders see latents. Bits are those of noisy
                latents in any case. No effect in evaluation mode.

        Raises:
            ValueError: the shapes are others.
        """
        if x.ndim != 4 or x.shape[1] != 3 or x.shape != reference.shape:
            raise ValueError(
                "a network takes a frame and the decoded frame before it, both [N,3,H,W], "
                f"not {list(x.shape)} and {list(reference.shape)}"
            )
        height, width = x.shape[2:]
        margin = (0, -width % self.stride, 0, -height % self.stride)
        padded = (F.pad(each, margin, mode="replicate") for each in (x, reference))
        reconstruction, predictions, bits = self._code(*padded, proxy)
        reconstruction = reconstruction if self.training else reconstruction.clamp(0, 1)

        def cut(picture):
            return picture[:, :, :height, :width]

        return FrameOutput(cut(reconstruction), {name: cut(each) for name, each in predictions.items()}, bits)

    def _code(self, x, reference, proxy):
        raise TypeError(f"{type(self).__name__} defines no _code(x, reference, proxy)")

    def _quantized(self, y: Tensor, proxy: Proxy) -> tuple[Tensor, Tensor]:
        """Latents as the entropy model counts them, and as decoders see them."""
        y = y.float()
        if not self.training:
            return (rounded := torch.round(y)), rounded
        noisy = add_noise(y)
        return noisy, noisy if proxy == "noise" else stand_in(y, proxy)


class DvcFull(FullSize):
    """DVC: flow, motion codec, compensation, residual codec with a hyperprior of scales.

    Args:
        N, M: channels inside the residual codec, and of its latents.
        motion: channels of the motion codec.

    >>> sum(each.numel() for each in DvcFull().parameters())
    4754064
    >>> out = DvcFull(N=4, M=6, motion=8).eval()(torch.rand(1, 3, 48, 80), torch.rand(1, 3, 48, 80))
    >>> out.reconstruction.shape, list(out.bits)
    (torch.Size([1, 3, 48, 80]), ['motion', 'latents', 'hyper'])
    """

    summary = "DVC: flow, motion codec, compensation network, residual codec"
    PARTS = ("motion", "latents", "hyper")
    MOTION = ("flow", "motion_encoder", "motion_decoder", "motion_prior")

    def __init__(self, N: int = 64, M: int = 96, motion: int = 128):
        super().__init__()
        self.flow = PyramidFlow()
        self.motion_encoder = nn.Sequential(*_motion_encoder_layers(motion))
        self.motion_decoder = nn.Sequential(*_motion_decoder_layers(motion))
        self.motion_prior = FactorizedPrior(motion, NARROW)
        self.compensation = Compensation()
        self.encoder = nn.Sequential(
            down(3, N), GDN(N),
            down(N, N), GDN(N),
            down(N, N), GDN(N),
            down(N, M),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            up(M, N), GDN(N, inverse=True),
            up(N, N), GDN(N, inverse=True),
            up(N, N), GDN(N, inverse=True),
            up(N, 3),
        )  # fmt: skip
        self.hyper_encoder = nn.Sequential(conv3x3(M, N), nn.ReLU(), down(N, N), nn.ReLU(), down(N, N))
        self.hyper_decoder = nn.Sequential(up(N, N), nn.ReLU(), up(N, N), nn.ReLU(), up(N, M, 3, 1))
        self.hyper_prior = FactorizedPrior(N, NARROW)
        self.laplace = LaplaceConditional()

    def _code(self, x, reference, proxy):
        flow = self.flow(x, reference)
        motion, motion_seen = self._quantized(self.motion_encoder(flow), proxy)
        warped = warp(reference, self.motion_decoder(motion_seen))
        compensated = warped + self.compensation(torch.cat((warped, reference), dim=1))
        y = self.encoder(x - compensated)
        y_hat, y_seen = self._quantized(y, proxy)
        reconstruction = compensated + self.decoder(y_seen)
        bits = {"motion": _factorized_bits(self.motion_prior, motion), **self._entropy(y, y_hat, proxy)}
        predictions = {"flow": warp(reference, flow), "motion": warped, "compensated": compensated}
        return reconstruction, predictions, bits

    @in_float32
    def _entropy(self, y, y_hat, proxy):
        """Bits of the residual's latents and of their side information."""
        z_hat, z_seen = self._quantized(self.hyper_encoder(y.abs()), proxy)
        scales = self.hyper_decoder(z_seen).clamp(max=_WIDEST).exp()
        return {
            "latents": self.laplace.bits(y_hat, scales).flatten(1).sum(1),
            "hyper": _factorized_bits(self.hyper_prior, z_hat),
        }


class DcvcFull(FullSize):
    """DCVC: flow, motion codec with refinement, context, contextual codec, entropy models with neighbours.

    Args:
        N, M: channels of context and contextual codec, and of its latents.
        motion: channels of the motion codec.

    >>> sum(each.numel() for each in DcvcFull().parameters())
    7944448
    >>> out = DcvcFull(N=4, M=6, motion=8).eval()(torch.rand(1, 3, 48, 80), torch.rand(1, 3, 48, 80))
    >>> out.reconstruction.shape, list(out.bits)
    (torch.Size([1, 3, 48, 80]), ['motion', 'motion hyper', 'latents', 'hyper'])
    """

    summary = "DCVC: flow, motion codec, features of the prediction as context"
    PARTS = ("motion", "motion hyper", "latents", "hyper")
    MOTION = ("flow", "motion_encoder", "motion_decoder", "motion_refinement", "motion_entropy")

    def __init__(self, N: int = 64, M: int = 96, motion: int = 128):
        super().__init__()
        self.flow = PyramidFlow()
        self.motion_encoder = nn.Sequential(
            down(2, motion, 3), GDN(motion),
            down(motion, motion, 3), GDN(motion),
            down(motion, motion, 3), GDN(motion),
            down(motion, motion, 3),
        )  # fmt: skip
        self.motion_decoder = nn.Sequential(
            up(motion, motion, 3), GDN(motion, inverse=True),
            up(motion, motion, 3), GDN(motion, inverse=True),
            up(motion, motion, 3), GDN(motion, inverse=True),
            up(motion, 2, 3),
        )  # fmt: skip
        self.motion_refinement = nn.Sequential(
            conv3x3(5, 64), _leaky(),
            *(layer for _ in range(5) for layer in (conv3x3(64, 64), _leaky())),
            _zero(conv3x3(64, 2)),
        )  # fmt: skip
        from_motion_z = nn.Sequential(
            up(N, N), nn.LeakyReLU(), up(N, N * 3 // 2), nn.LeakyReLU(), up(N * 3 // 2, 2 * motion, 3, 1)
        )
        self.motion_entropy = ContextEntropy(motion, N, from_motion_z, known=2 * motion)
        self.features = nn.Sequential(conv3x3(3, N), PreactivatedBlock(N))
        self.context = nn.Sequential(PreactivatedBlock(N), conv3x3(N, N))
        self.encoder = nn.Sequential(
            down(N + 3, N), GDN(N), LeakyBlock(N),
            down(N, N), GDN(N), LeakyBlock(N),
            down(N, N), GDN(N),
            down(N, M),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            subpixel_conv3x3(M, N), GDN(N, inverse=True),
            subpixel_conv3x3(N, N), GDN(N, inverse=True), LeakyBlock(N),
            subpixel_conv3x3(N, N), GDN(N, inverse=True), LeakyBlock(N),
            subpixel_conv3x3(N, N),
        )  # fmt: skip
        self.reconstruction = nn.Sequential(
            conv3x3(2 * N, N), PreactivatedBlock(N), PreactivatedBlock(N), conv3x3(N, 3)
        )  # fmt: skip
        self.temporal_prior = nn.Sequential(
            down(N, N), GDN(N),
            down(N, N), GDN(N),
            down(N, N), GDN(N),
            down(N, M),
        )  # fmt: skip
        from_z = nn.Sequential(up(N, M), nn.LeakyReLU(), up(M, M), nn.LeakyReLU(), up(M, M, 3, 1))
        self.entropy = ContextEntropy(M, N, from_z, known=2 * M)

    def _code(self, x, reference, proxy):
        flow = self.flow(x, reference)
        motion = self.motion_encoder(flow)
        motion_hat, motion_seen = self._quantized(motion, proxy)
        decoded = self.motion_decoder(motion_seen)
        decoded = decoded + self.motion_refinement(torch.cat((decoded, reference), dim=1))
        context = self.context(warp(self.features(reference), decoded))
        y = self.encoder(torch.cat((x, context), dim=1))
        y_hat, y_seen = self._quantized(y, proxy)
        reconstruction = self.reconstruction(torch.cat((self.decoder(y_seen), context), dim=1))
        bits = self._entropy(motion, motion_hat, y, y_hat, self.temporal_prior(context), proxy)
        return reconstruction, {"flow": warp(reference, flow), "motion": warp(reference, decoded)}, bits

    @in_float32
    def _entropy(self, motion, motion_hat, y, y_hat, temporal, proxy):
        """Bits of all parts."""
        motion_z, motion_z_seen = self._quantized(self.motion_entropy.encoder(motion), proxy)
        z, z_seen = self._quantized(self.entropy.encoder(y), proxy)
        return {
            "motion": self.motion_entropy.bits(motion_hat, motion_z_seen),
            "motion hyper": _factorized_bits(self.motion_entropy.prior, motion_z),
            "latents": self.entropy.bits(y_hat, z_seen, temporal),
            "hyper": _factorized_bits(self.entropy.prior, z),
        }


class Compensation(nn.Module):
    """DVC's compensation network: from the warped and the reference frame to a correction of the warped one.

    Pre-activated residual blocks at full, half and quarter resolution, with paths across at the first two.

    >>> Compensation()(torch.zeros(1, 6, 8, 12)).shape
    torch.Size([1, 3, 8, 12])
    """

    def __init__(self, channels: int = 64):
        super().__init__()
        self.whole = nn.Sequential(conv3x3(6, channels), nn.ReLU(), PreactivatedBlock(channels))
        self.halved = PreactivatedBlock(channels)
        self.quartered = nn.Sequential(PreactivatedBlock(channels), PreactivatedBlock(channels))
        self.halved_again = PreactivatedBlock(channels)
        self.last = nn.Sequential(PreactivatedBlock(channels), _zero(conv3x3(channels, 3)))

    def forward(self, x: Tensor) -> Tensor:
        """The correction [N,3,H,W] for two frames [N,6,H,W], H and W multiples of 4."""
        whole = self.whole(x)
        half = self.halved(F.avg_pool2d(whole, 2))
        quarter = self.quartered(F.avg_pool2d(half, 2))
        return self.last(whole + _enlarged(self.halved_again(half + _enlarged(quarter))))


class ContextEntropy(nn.Module):
    """DCVC's entropy model: Laplace distributions from a hyperprior, decoded neighbours, and more that is known.

    Args:
        channels: of the latents.
        hyper: channels of the side information z.
        decoder: from z to features.
        known: number of channels of these features and of what else is known.

    Attributes:
        encoder: from latents to z.
        prior: the density of z.
    """

    def __init__(self, channels: int, hyper: int, decoder: nn.Module, known: int):
        super().__init__()
        self.encoder = nn.Sequential(
            conv3x3(channels, hyper), nn.LeakyReLU(),
            down(hyper, hyper), nn.LeakyReLU(),
            down(hyper, hyper),
        )  # fmt: skip
        self.decoder, self.prior = decoder, FactorizedPrior(hyper, NARROW)
        self.neighbours = MaskedConv2d(channels, 2 * channels, 5)
        inner, outer = channels * 10 // 3, channels * 8 // 3
        self.parameters_network = nn.Sequential(
            conv1x1(known + 2 * channels, inner), nn.LeakyReLU(),
            conv1x1(inner, outer), nn.LeakyReLU(),
            conv1x1(outer, 2 * channels),
        )  # fmt: skip
        self.laplace = LaplaceConditional()

    def bits(self, y_hat: Tensor, z_hat: Tensor, *known: Tensor) -> Tensor:
        """What the latents ŷ [N,C,H,W] of each picture take, given ẑ and further features: [N]."""
        features = torch.cat((*known, self.decoder(z_hat), self.neighbours(y_hat)), dim=1)
        means, scales = self.parameters_network(features).chunk(2, dim=1)
        return self.laplace.bits(y_hat, scales, means).flatten(1).sum(1)


class PreactivatedBlock(nn.Module):
    """A residual block that begins with its nonlinearity: x + 3×3(ReLU(3×3(ReLU(x)))).

    >>> PreactivatedBlock(4)(torch.zeros(1, 4, 5, 7)).shape
    torch.Size([1, 4, 5, 7])
    """

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Sequential(nn.ReLU(), conv3x3(channels, channels), nn.ReLU(), conv3x3(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, the shape of `x`."""
        return x + self.conv(x)


class LeakyBlock(nn.Module):
    """A residual block with a nonlinearity after both convolutions, LeakyReLU with a slope of 0.1.

    >>> LeakyBlock(4)(torch.zeros(1, 4, 5, 7)).shape
    torch.Size([1, 4, 5, 7])
    """

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Sequential(conv3x3(channels, channels), _leaky(), conv3x3(channels, channels), _leaky())

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, the shape of `x`."""
        return x + self.conv(x)


def _motion_encoder_layers(channels):
    """Four times down and four times not, in turns, with a nonlinearity between."""
    yield down(2, channels, 3)
    for n in range(1, 8):
        yield _leaky()
        yield down(channels, channels, 3) if n % 2 == 0 else conv3x3(channels, channels)


def _motion_decoder_layers(channels):
    for n in range(7):
        yield up(channels, channels, 3) if n % 2 == 0 else conv3x3(channels, channels)
        yield _leaky()
    yield conv3x3(channels, 2)


def _factorized_bits(prior, z_hat):
    return -prior.likelihood(z_hat).log2().flatten(1).sum(1)


def _zero(convolution):
    nn.init.zeros_(convolution.weight), nn.init.zeros_(convolution.bias)
    return convolution


def _enlarged(x):
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def _leaky():
    return nn.LeakyReLU(0.1)
