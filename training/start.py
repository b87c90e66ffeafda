"""The start of a training: a network that is a transform codec before its first step.

Random weights need thousands of steps to become what block transforms are from the outset: orthogonal, compacting the
energy of pictures into few coefficients, inverted by their transpose. `initialize` sets the weights so that the
network begins as one, and training bends it from there.

**Analysis.** Each strided convolution gets, in s×s of its taps for a stride s, the principal components of the s×s
blocks of what comes in (their eigenvectors of largest variance, from photographs), and zeros elsewhere. The
layers together form an orthonormal transform of 16×16 blocks: `Balle2017` has 4×4 blocks, then twice 2×2 of these. A
layer keeps as many components as it has channels; where it has more than there are, the rest begin as random filters
that nobody listens to yet.

**Synthesis** is the transpose: x̂ = Vᵀ V x, the best reconstruction of all linear ones from so many coefficients.

**Nonlinearities** begin near the identity. γ of GDN is small. A leaky rectifier f within a strided block gets every
component twice, with both signs, since f(v) - f(-v) = (1 + slope)·v; so a block of N channels passes N/2 components on.
Residual blocks begin with a last convolution of zeros, masks of attention nearly closed.

**Scales.** All features of all layers are scaled to variance 1. AdamW moves each weight by about the learning rate
a step; with features of equal size such a step disturbs none much more than the others, while at their own sizes (1 to
100 from the finest component to the mean) it would drown the fine ones. The quantization step of a component is in its
gain: its deviation over the step Δ at which R + λ·255²·MSE is least at high rate. There a coefficient costs Δ²/12 of
squared error and -log2 Δ bits, and with three samples a pixel

    Δ² = 18 / (ln 2 · λ · 255²).

Densities of the factorized prior begin as wide as their channels' values are. Where the distribution of latents is
predicted, inputs and outputs of the predicting networks are scaled by the deviation of each channel.

Sources: principal components as a transform: N. Ahmed, T. Natarajan, K. R. Rao, "Discrete Cosine Transform", IEEE
Trans. Computers 1974; step sizes at high rate: H. Gish, J. N. Pierce, "Asymptotically Efficient Quantizing", IEEE
Trans. Information Theory 1968; residual branches that begin with zero: P. Goyal et al., "Accurate, Large Minibatch
SGD", arXiv:1706.02677, section 5.1.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..codecs.learned.networks import Balle2017, Cheng2020, Network
from ..primitives.entropy.factorized import FactorizedPrior
from ..primitives.entropy.mixture import COMPONENTS
from ..primitives.learned.attention import AttentionBlock, ResidualUnit
from ..primitives.learned.gdn import GDN
from ..primitives.learned.residual import ResidualBlock, ResidualBlockUpsample, ResidualBlockWithStride
from .losses import LAMBDAS

_GAMMA, _GAMMA_OTHERS = 1e-2, 1e-4  # of GDN: of the channel itself, of the others
_CLOSED = -5.0  # logit of a mask
_SLOPE = 0.01  # of a leaky rectifier, to the left


@torch.no_grad()
def initialize(network: Network, crops: Tensor) -> None:
    """Make a network with random weights a transform codec.

    Args:
        network: a `Balle2017` or `Cheng2020`.
        crops: photographs, uint8 [K,S,S,3]; some dozens will do.

    >>> network = Balle2017(N=48)
    >>> crops = (torch.arange(2 * 32 * 32 * 3) % 251).reshape(2, 32, 32, 3).to(torch.uint8)
    >>> initialize(network, crops)
    """
    stride = network.stride
    side = crops.shape[1] // stride * stride
    x = crops[:, :side, :side].permute(0, 3, 1, 2).float() / 255
    for module in network.modules():
        if isinstance(module, GDN):
            channels = len(module.beta)
            gamma = torch.full((channels, channels), _GAMMA_OTHERS).fill_diagonal_(_GAMMA)
            module.gamma.copy_(module.gamma_reparam.inverse(gamma))
        elif isinstance(module, ResidualBlock):
            nn.init.zeros_(module.conv2.weight), nn.init.zeros_(module.conv2.bias)
        elif isinstance(module, ResidualUnit):
            nn.init.zeros_(module.conv[-1].weight), nn.init.zeros_(module.conv[-1].bias)
        elif isinstance(module, AttentionBlock):
            nn.init.zeros_(module.conv_b[-1].weight), nn.init.constant_(module.conv_b[-1].bias, _CLOSED)
    mean = x.mean((0, 2, 3))
    stages = _analysis(network.g_a, x, mean)
    _synthesis(network.g_s, stages, mean)
    steps = torch.tensor([math.sqrt(18 / (math.log(2) * weight)) / 255 for weight in LAMBDAS["mse"]])
    gains = stages[-1].deviation / steps[:, None]
    network.gain.log_gain.copy_(gains.log())
    network.inverse_gain.log_gain.copy_(-gains.log())
    if isinstance(network, Balle2017):
        _widen(network.entropy_bottleneck, torch.ones(len(stages[-1].deviation)))
    else:
        middle = gains[len(gains) // 2]
        _prediction(network, network.g_a(x) * middle[:, None, None], middle)


@dataclass(frozen=True)
class _Stage:
    """An orthonormal transform of blocks.

    Attributes:
        basis: [K,C,s,s], one vector of norm 1 a component.
        before: standard deviations of what goes in [C].
        deviation: of the components [K].
    """

    basis: Tensor
    before: Tensor
    deviation: Tensor

    def forward(self) -> Tensor:
        """The filters from features of variance 1 to features of variance 1."""
        return self.basis * self.before[:, None, None] / self.deviation[:, None, None, None]

    def inverse(self) -> Tensor:
        """The filters back, one for each of the K features."""
        return self.basis / self.before[:, None, None] * self.deviation[:, None, None, None]


def _analysis(g_a: nn.Sequential, x: Tensor, mean: Tensor) -> list[_Stage]:
    """Set the weights of g_a."""
    stages: list[_Stage] = []
    before = torch.ones(3)
    for layer in g_a:
        strided = layer.conv1 if isinstance(layer, ResidualBlockWithStride) else layer
        if isinstance(strided, nn.Conv2d):
            offset = torch.zeros(len(before)) if stages else mean
            used = (x[:, : len(before)] - offset[:, None, None]) * before[:, None, None]
            paired = strided is not layer
            basis, deviation = _components(used, strided.stride[0], strided.out_channels // (2 if paired else 1))
            stages.append(_Stage(basis, before, deviation))
            filters, count = stages[-1].forward(), len(basis)
            if paired:
                filters = torch.cat((filters, -filters))
            _place(strided.weight, filters, strided.padding[0])
            strided.weight[: len(filters), len(before) :] = 0
            nn.init.zeros_(strided.bias)
            strided.bias[: len(filters)] = -(filters.sum((2, 3)) @ offset)
            if paired:
                layer.conv2.weight[:count] = 0
                halves = torch.cat((torch.eye(count), -torch.eye(count)), dim=1) / (1 + _SLOPE)
                layer.conv2.weight[:count, : 2 * count, 1, 1] = halves
                nn.init.zeros_(layer.conv2.bias)
                nn.init.zeros_(layer.skip.weight), nn.init.zeros_(layer.skip.bias)
            before = deviation
        x = layer(x)
    return stages


def _synthesis(g_s: nn.Sequential, stages: list[_Stage], mean: Tensor) -> None:
    """Set the weights of g_s to the inverses of the stages."""
    stages = list(stages)
    for layer in g_s:
        if isinstance(layer, nn.ConvTranspose2d):
            filters = stages.pop().inverse()
            layer.weight[:, : filters.shape[1]] = 0
            _place(layer.weight, filters, layer.padding[0])
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, (ResidualBlockUpsample, nn.Sequential)):
            filters = stages.pop().inverse().flatten(1)
            up = layer.upsample[0] if isinstance(layer, ResidualBlockUpsample) else layer[0]
            up.weight[: filters.shape[1]] = 0
            up.weight[: filters.shape[1], : len(filters), 1, 1] = filters.T
            nn.init.zeros_(up.bias)
            if isinstance(layer, ResidualBlockUpsample):
                nn.init.zeros_(layer.conv.weight), nn.init.zeros_(layer.conv.bias)
    if isinstance(g_s[-1], nn.ConvTranspose2d):
        g_s[-1].bias.copy_(mean)
    else:
        g_s[-1][0].bias.copy_(mean.repeat_interleave(4))  # of the four pixels of each colour


def _components(x: Tensor, size: int, most: int) -> tuple[Tensor, Tensor]:
    """Principal components of the blocks of `x` [N,C,H,W], whose mean is zero, largest first.

    Returns:
        The components [K,C,size,size] of norm 1, and the standard deviation of each [K].
    """
    blocks = F.pixel_unshuffle(x, size).transpose(0, 1).flatten(1).double()
    variances, vectors = torch.linalg.eigh(blocks @ blocks.T / blocks.shape[1])
    vectors = vectors.T.flip(0)[:most].float()
    vectors *= torch.where(vectors.sum(1, keepdim=True) < 0, -1.0, 1.0)  # eigenvectors have no sign of their own
    deviations = variances.flip(0)[:most].clamp(min=1e-6).sqrt().float()
    return vectors.unflatten(1, (x.shape[1], size, size)), deviations


def _place(weight: Tensor, basis: Tensor, tap: int) -> None:
    """Set the first filters of a kernel: the basis from `tap` on, zeros around it."""
    count, channels, size, _ = basis.shape
    weight[:count] = 0
    weight[:count, :channels, tap : tap + size, tap : tap + size] = basis


def _widen(prior: FactorizedPrior, deviation: Tensor) -> None:
    """Give each density the width of its channel."""
    for matrix in prior.matrices:
        matrix.fill_(math.log(math.expm1(1 / matrix.shape[2])))
    slope = 2 / deviation
    prior.matrices[0].copy_((slope + torch.log(-torch.expm1(-slope)))[:, None, None].expand(-1, 3, 1))


def _prediction(network: Cheng2020, y: Tensor, deviation: Tensor) -> None:
    """Scale inputs and outputs of the networks that predict the distribution of y, whose deviation is given."""
    network.context_prediction.weight /= deviation[:, None, None]
    network.h_a[0].weight /= deviation[:, None, None]
    last = network.entropy_parameters[-1]
    last.weight.unflatten(0, (3, COMPONENTS, -1))[1:] *= deviation[:, None, None, None]
    bias = last.bias.unflatten(0, (3, COMPONENTS, -1))
    bias[:2] = 0
    bias[2] = deviation * torch.tensor([0.25, 0.5, 1.0])[:, None]
    z = network.h_a(y).std((0, 2, 3)).clamp(min=1e-3)
    network.h_a[-1].weight *= (3 / z)[:, None, None, None]
    network.h_a[-1].bias *= 3 / z
    _widen(network.entropy_bottleneck, torch.full_like(z, 3))
