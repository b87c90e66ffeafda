"""The network of learned motion, in floats: pyramid flow, motion autoencoder, prior.

DVC replaced the motion search of a video codec by three networks (Lu et al. 2019). Here they are smaller::

    frame, reference ── flow ── v: a vector for every second pixel                      encoder
    v, frame, warped ── l_a + g_a ── y [M,H/16,W/16] ── · gain ── round ── symbols      encoder
    symbols ── · inverse gain ── l_s + g_s ── v̂: a vector for every fourth pixel       both
    reference, v̂ ── upsampling, warp ── prediction                                     both

**Flow.** The frames are averaged down to 1/2, 1/4, 1/8 and 1/16. At the coarsest level a small network sees the frame
and the reference. The next level gets twice these vectors, warps its reference by them, and its network says what is
still missing. So each network has only small motion to find, and large motion is found where it is small (SpyNet,
Ranjan and Black 2017). Nobody knows the true vectors of a clip. The network learns from how well the warped reference
matches the frame.

**Autoencoder.** A flow field has some ten thousand vectors. What is worth its bits is decided by the trade of bits for
the error of the prediction, and not by how true the vectors are. So the analysis sees besides the flow where the warped
reference already matches. A quality from 1 to 8 chooses the trade, by gain units (`primitives.learned.gain`).

**The start** is a linear codec: l_a is the DCT of the 4×4 vectors in each block of 16×16 pixels, l_s its inverse. The
networks g_a and g_s, which add to them, begin at zero.

Units are those of `LearnedMotion`, which computes the decoder's side in integers: l_s and g_s give vectors (down,
right) in units of `FLOW_UNIT` pixels, at a quarter of the resolution.

Sources: G. Lu, W. Ouyang, D. Xu, X. Zhang, C. Cai, Z. Gao, "DVC: An End-to-end Deep Video Compression Framework", CVPR
2019, sections 3.2 and 3.3; A. Ranjan, M. J. Black, "Optical Flow Estimation using a Spatial Pyramid Network", CVPR
2017.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...primitives.entropy.factorized import FactorizedPrior
from ...primitives.learned.gain import GainUnit
from ...primitives.learned.quantize import round_straight_through

#: Pixels that a 1 in the output of g_s stands for.
FLOW_UNIT = 8

#: Whole qualities.
LEVELS = 8

#: An error of a prediction weighs so much of one in the decoded frame: the residual repairs most of it.
SHARE = 0.25

_SLOPE = 1 / 8


class Motion(NamedTuple):
    """What a network makes of a frame and its reference.

    Attributes:
        flows: the flow network's vectors at 1/2, 1/4, 1/8 and 1/16 of the resolution, in pixels there.
        y: latents, scaled by the gain and not rounded yet [N,M,H/16,W/16].
        flow: the decoded vectors, in pixels [N,2,H/4,W/4].
    """

    flows: list[Tensor]
    y: Tensor
    flow: Tensor


class MotionNetwork(nn.Module):
    """Flow network, motion autoencoder, gain units and prior.

    Args:
        latents: number M of channels of the latents, at most 32.
        width: channels of the transforms' layers.
        flow_width: channels of the flow network's layers.

    >>> network = MotionNetwork(8, 8, 8).eval()
    >>> frame, reference = torch.rand(2, 1, 3, 32, 48)
    >>> motion = network(frame, reference, 4)
    >>> motion.y.shape, motion.flow.shape, motion.flows[0].shape
    (torch.Size([1, 8, 2, 3]), torch.Size([1, 2, 8, 12]), torch.Size([1, 2, 16, 24]))
    >>> warp(reference, upsampled(motion.flow, 4)).shape
    torch.Size([1, 3, 32, 48])
    """

    def __init__(self, latents: int = 32, width: int = 64, flow_width: int = 32):
        super().__init__()
        n, m, last = width, latents, max(width // 2, 1)
        self.flow = nn.ModuleList(_flow_level(flow_width) for _ in range(4))
        self.l_a = nn.Conv2d(8, m, 12, stride=8, padding=2, bias=False)
        self.l_s = nn.ConvTranspose2d(m, 2, 8, stride=4, padding=2)
        _begin_linear(self.l_a, self.l_s)
        self.g_a = _sequence(
            nn.Conv2d(8, n, 5, stride=2, padding=2),
            nn.Conv2d(n, n, 3, padding=1),
            nn.Conv2d(n, n, 3, stride=2, padding=1),
            nn.Conv2d(n, n, 3, padding=1),
            nn.Conv2d(n, n, 3, stride=2, padding=1),
            nn.Conv2d(n, m, 3, padding=1),
        )
        self.g_s = _sequence(
            nn.Conv2d(m, n, 3, padding=1),
            nn.ConvTranspose2d(n, n, 4, stride=2, padding=1),
            nn.Conv2d(n, n, 3, padding=1),
            nn.ConvTranspose2d(n, last, 4, stride=2, padding=1),
            nn.Conv2d(last, last, 3, padding=1),
            nn.Conv2d(last, 2, 3, padding=1),
        )
        nn.init.zeros_(self.g_a[-1].weight), nn.init.zeros_(self.g_s[-1].weight)
        self.gain = GainUnit(m, LEVELS, finest=4.0 * FLOW_UNIT)
        self.inverse_gain = GainUnit(m, LEVELS, inverse=True, finest=4.0 * FLOW_UNIT)
        self.entropy_bottleneck = FactorizedPrior(m)

    def forward(self, frame: Tensor, reference: Tensor, quality) -> Motion:
        """The motion of frames [N,3,H,W] in 0 … 1, H and W multiples of 16, each from its reference.

        Rounding passes gradients as if it were not there.

        Args:
            frame, reference: the pictures.
            quality: 1 … 8, one number or one for each frame [N].
        """
        flows = self.flows(frame, reference)
        y = self.gain(self.analysis(frame, reference, flows[0]), quality)
        return Motion(flows, y, self.synthesis(round_straight_through(y), quality))

    def flows(self, frame: Tensor, reference: Tensor) -> list[Tensor]:
        """The vectors of all levels, the finest first: [N,2,H/2,W/2] … [N,2,H/16,W/16], in pixels there."""
        frames, references = _pyramid(frame), _pyramid(reference)
        flow = torch.zeros_like(frames[-1][:, :2])
        flows: list[Tensor] = []
        for level, current, before in zip(reversed(self.flow), reversed(frames), reversed(references), strict=True):
            if flows:
                flow = 2 * upsampled(flows[0], 2)
            seen = torch.cat((current - 0.5, warp(before, flow) - 0.5, flow / FLOW_UNIT), 1)
            flows.insert(0, flow + level(_dense(seen)).float())
        return flows

    def analysis(self, frame: Tensor, reference: Tensor, flow: Tensor) -> Tensor:
        """The latents before the gain [N,M,H/16,W/16], of the finest vectors [N,2,H/2,W/2]."""
        frame, reference = F.avg_pool2d(frame, 2), F.avg_pool2d(reference, 2)
        seen = torch.cat((2 * flow / FLOW_UNIT, frame - 0.5, 2 * (warp(reference, flow) - frame)), 1)
        seen = _dense(seen)
        return _in_float32(self.l_a, seen) + self.g_a(seen).float()

    def synthesis(self, y: Tensor, quality) -> Tensor:
        """The vectors (down, right) in pixels [N,2,H/4,W/4] of quantized latents."""
        y = _dense(self.inverse_gain(y, quality))
        return FLOW_UNIT * (_in_float32(self.l_s, y) + self.g_s(y).float())


def _dense(x: Tensor) -> Tensor:
    """Channels last, in which convolutions are fastest on a CPU."""
    return x.contiguous(memory_format=torch.channels_last)


def _in_float32(layer: nn.Module, x: Tensor) -> Tensor:
    """A layer that autocast leaves alone: in bfloat16 the vectors of the start have three times the squared error."""
    with torch.autocast(x.device.type, enabled=False):
        return layer(x.float())


def _sequence(*convolutions):
    modules: list[nn.Module] = []
    for convolution in convolutions:
        nn.init.zeros_(convolution.bias)
        modules += [convolution, nn.LeakyReLU(_SLOPE)]
    return nn.Sequential(*modules[:-1])


@torch.no_grad()
def _begin_linear(analysis, synthesis):
    """The DCT of 4×4 vectors and its inverse, low frequencies first; odd channels are those of the second component."""
    n = torch.arange(4.0)
    rows = torch.cos(torch.pi * n[:, None] * (2 * n + 1) / 8) / 2**0.5
    rows[0] /= 2**0.5
    order = sorted(((u, v) for u in range(4) for v in range(4)), key=lambda each: (sum(each), each))
    nn.init.zeros_(analysis.weight), nn.init.zeros_(synthesis.weight), nn.init.zeros_(synthesis.bias)
    for channel in range(len(analysis.weight)):
        u, v = order[channel // 2]
        basis = torch.outer(rows[u], rows[v])
        averaged = basis.repeat_interleave(2, 0).repeat_interleave(2, 1) / 4
        analysis.weight[channel, channel % 2, 2:10, 2:10] = averaged
        synthesis.weight[channel, channel % 2, 2:6, 2:6] = basis


def _flow_level(width):
    """From frame, warped reference and vectors to what the vectors lack."""
    level = _sequence(
        nn.Conv2d(8, width, 5, padding=2),
        nn.Conv2d(width, width, 5, padding=2),
        nn.Conv2d(width, width, 5, padding=2),
        nn.Conv2d(width, 2, 5, padding=2),
    )
    nn.init.zeros_(level[-1].weight)  # nothing moves at the start
    return level


def _pyramid(frame):
    """The frame averaged down to 1/2, 1/4, 1/8 and 1/16."""
    levels = [F.avg_pool2d(frame, 2)]
    while len(levels) < 4:
        levels.append(F.avg_pool2d(levels[-1], 2))
    return levels


def upsampled(flow: Tensor, factor: int) -> Tensor:
    """Vectors [N,2,h,w] interpolated linearly, values as they are: [N,2,factor·h,factor·w]."""
    return F.interpolate(flow, scale_factor=factor, mode="bilinear", align_corners=False)


def warp(reference: Tensor, flow: Tensor, mode: str = "bilinear") -> Tensor:
    """The reference [N,C,H,W] where the vectors (down, right) [N,2,H,W] point to, in pixels; edges go on outside.

    >>> row = torch.arange(4.0).view(1, 1, 1, 4)
    >>> warp(row, torch.tensor([0, 0.5]).view(1, 2, 1, 1).expand(1, 2, 1, 4))
    tensor([[[[0.5000, 1.5000, 2.5000, 3.0000]]]])
    """
    height, width = reference.shape[2:]
    y = torch.arange(height, dtype=flow.dtype, device=flow.device)[:, None] + flow[:, 0]
    x = torch.arange(width, dtype=flow.dtype, device=flow.device) + flow[:, 1]
    grid = torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1), 3)
    return F.grid_sample(reference, grid, mode, "border", align_corners=False)
