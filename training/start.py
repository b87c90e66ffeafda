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

**The entropy model** of `Cheng2020` is random even then, and that of `Balle2017` has only the right width.
`fit_entropy_model` trains it alone: latents are computed once, and a step costs a small part of one of the whole
network.

**More latents.** A trained `Cheng2020` whose rate grows without the picture getting better has too few latents a
position, or too few channels at an eighth of the resolution, where it is narrowest. `widen` gives it more and keeps
what it has learned: every old feature is computed from old ones, as before. The new latents are principal components of
what the old ones lose, as far as the input of g_a's last convolution holds them, and new channels hold such components
of 8×8 blocks, in g_s as far as the latents tell them; what follows ignores them until training finds out what they are
good for.

**Details.** The block transform of a `Cheng2020` with details begins with the principal components of what its pictures
of the highest quality lack, in blocks of 16×16 pixels without overlap. Most of such coefficients are near 0, so their
steps are a quarter wider than Δ. `initialize` and `widen` both set it.

Sources: principal components as a transform: N. Ahmed, T. Natarajan, K. R. Rao, "Discrete Cosine Transform", IEEE
Trans. Computers 1974; step sizes at high rate: H. Gish, J. N. Pierce, "Asymptotically Efficient Quantizing", IEEE
Trans. Information Theory 1968; residual branches that begin with zero: P. Goyal et al., "Accurate, Large Minibatch
SGD", arXiv:1706.02677, section 5.1; networks that grow and keep their function: T. Chen, I. Goodfellow, J. Shlens,
"Net2Net", ICLR 2016.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..codecs.learned.lambdas import LAMBDAS, lambda_at
from ..codecs.learned.networks import Cheng2020, Network, bits_of
from ..codecs.learned_video.networks import PredictiveNetwork
from ..primitives.entropy.factorized import FactorizedPrior
from ..primitives.entropy.mixture import COMPONENTS
from ..primitives.learned.attention import AttentionBlock, ResidualUnit
from ..primitives.learned.gdn import GDN
from ..primitives.learned.quantize import Proxy, add_noise
from ..primitives.learned.residual import ResidualBlock, ResidualBlockUpsample, ResidualBlockWithStride
from .adaptive_rate import AdaptiveRate
from .callbacks import Curve, LearningRate, Seeding
from .loop import Loop, Loss, Task
from .losses import sample_qualities
from .processes import Processes

#: How names of parameters begin that are not of the entropy model.
TRANSFORMS = ("g_a.", "g_s.", "d_a.", "d_s.", "gain.", "inverse_gain.")

_GAMMA, _GAMMA_OTHERS = 1e-2, 1e-4  # of GDN: of the channel itself, of the others
_CLOSED = -5.0  # logit of a mask
_SLOPE = 0.01  # of a leaky rectifier, to the left
_COARSER = 0.8  # gains of details, relative to those of high rate
_SPREAD = torch.tensor([0.25, 0.5, 1.0])  # scales of a mixture, in deviations


@torch.no_grad()
def initialize(network: Network, crops: Tensor) -> None:
    """Make a network with random weights a transform codec.

    Args:
        network: one with gain units that says how it begins (`Network.start`): with a factorized prior, as `Balle2017`,
            or with a hyperprior and a context, as `Cheng2020`.
        crops: photographs, uint8 [K,S,S,3]; some dozens will do.

    Raises:
        ValueError: the network does not say how it begins.

    >>> from codeckit.codecs.learned.networks import Balle2017
    >>> network = Balle2017(N=48)
    >>> crops = (torch.arange(2 * 32 * 32 * 3) % 251).reshape(2, 32, 32, 3).to(torch.uint8)
    >>> initialize(network, crops)
    """
    if network.start not in ("factorized", "context"):
        raise ValueError(f"{type(network).__name__} does not say how its training begins")
    x = _pixels(crops, network.stride)
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
    gains = _gains(stages[-1].deviation)
    network.gain.log_gain[:, : gains.shape[1]] = gains.log()
    network.inverse_gain.log_gain[:, : gains.shape[1]] = -gains.log()
    if network.start == "factorized":
        _widen(network.entropy_bottleneck, torch.ones(len(stages[-1].deviation)))
        return
    middle = len(gains) // 2
    deviation = gains[middle]
    if network.d_a is not None:
        deviation = torch.cat((deviation, _details(network, x)[middle]))
    _prediction(network, network.latents(x, middle + 1), deviation)


@torch.no_grad()
def begin_residuals(network: PredictiveNetwork, residuals: Tensor) -> None:
    """Make the network of a video codec a transform codec of residuals.

    Args:
        network: with random weights.
        residuals: frames less their predictions [K,3,S,S], in the units that g_a takes.
    """
    for module in network.modules():
        if isinstance(module, GDN):
            channels = len(module.beta)
            gamma = torch.full((channels, channels), _GAMMA_OTHERS).fill_diagonal_(_GAMMA)
            module.gamma.copy_(module.gamma_reparam.inverse(gamma))
    g_a = nn.Sequential(*network.head, *network.g_a)
    first, N = network.g_a[0], network.N
    narrow = nn.Conv2d(N, N, 5, 2, padding=2)  # without a context, which has no weight yet
    g_a[len(network.head)] = narrow
    stages = _analysis(g_a, residuals, torch.zeros(3))
    first.weight.zero_()
    first.weight[:, :N], first.bias[:] = narrow.weight, narrow.bias
    _synthesis(nn.Sequential(*network.g_s, network.tail), stages, torch.zeros(3))
    gains = _gains(stages[-1].deviation * 256 / 255)
    network.gain.log_gain.copy_(gains.log())
    network.inverse_gain.log_gain.copy_(-gains.log())


@torch.no_grad()
def widen(network: Cheng2020, weights: dict[str, Tensor], crops: Tensor) -> None:
    """Take over a trained network that has as many channels N, but fewer latents a position or deep channels, or no
    details.

    Old latents that are 0 all over `crops` at the highest quality begin anew with the others.

    Args:
        network: with random weights.
        weights: the state dict of the other.
        crops: photographs, uint8 [K,S,S,3]; some hundreds.

    >>> small, crops = Cheng2020(N=4, M=6), torch.randint(256, (8, 64, 64, 3), dtype=torch.uint8)
    >>> widen(Cheng2020(N=4, M=8, deep=6), small.state_dict(), crops)
    """
    old, deep = len(weights["g_a.7.weight"]), len(weights["g_a.5.conv1.weight"])
    _take_over(network, weights)
    pixels = _pixels(crops, network.stride)
    parts = pixels.split(16)
    gain, inverse_gain = _finest(network)
    latents = [(network.g_a(x) * gain).round() for x in parts]
    busy = torch.cat(latents).abs().amax((0, 2, 3)) > 0
    busy[old:] = False
    fresh = (~busy).nonzero().flatten()
    _silence(network, fresh, old)
    lost = [x - network.g_s(y * busy[:, None, None] * inverse_gain) for x, y in zip(parts, latents, strict=True)]
    lost = torch.cat(lost)

    def outputs(layers):
        return torch.cat([network.g_a[:layers](x) for x in parts])

    down, up = network.g_a[5], network.g_s[2]
    pairs = (down.conv1.out_channels - deep) // 2
    if pairs:
        filters, bias, _ = _predictor(outputs(5), down.conv1, _coefficients(lost, 8, pairs))
        both, sums = slice(deep, deep + 2 * pairs), slice(deep, deep + pairs)
        down.conv1.weight[both], down.conv1.bias[both] = torch.cat((filters, -filters)), torch.cat((bias, -bias))
        down.conv2.weight[sums], down.conv2.bias[sums] = 0, 0
        down.conv2.weight[sums, both, 1, 1] = torch.cat((torch.eye(pairs), -torch.eye(pairs)), 1) / (1 + _SLOPE)
        down.skip.weight[sums], down.skip.bias[sums] = 0, 0
    if len(fresh):
        last = network.g_a[7]
        wanted = _coefficients(lost, 16, len(fresh))
        last.weight[fresh], last.bias[fresh], deviation = _predictor(outputs(7), last, wanted)
        gains = _gains(deviation)
        network.gain.log_gain[:, fresh] = gains.log()
        network.inverse_gain.log_gain[:, fresh] = -gains.log()
        middle = gains[len(gains) // 2]
        network.context_prediction.weight[2 * old :, fresh] /= middle[:, None, None]
        _predict(network, fresh, middle)
    if pairs:  # what the latents tell of the components, at 2×2 positions each
        y_hat = network.g_s[:2](outputs(len(network.g_a)))
        wanted = F.pixel_unshuffle(_coefficients(lost, 8, down.conv1.out_channels - deep), 2)
        linear = up.upsample[0]
        linear.weight[4 * deep :], linear.bias[4 * deep :], _ = _predictor(y_hat, linear, wanted)
    if network.d_a is not None and weights["gain.log_gain"].shape[1] == old:
        more = torch.arange(network.M, network.gain.log_gain.shape[1])
        gains = _details(network, pixels)
        for weight in (network.h_a[0].weight, network.context_prediction.weight):
            weight[:, more] = 0
        _predict(network, more, gains[len(gains) // 2])


def _finest(network: Cheng2020) -> tuple[Tensor, Tensor]:
    """Gains and inverse gains of the latents of g_a at the highest quality, each [M,1,1]."""
    gain, inverse_gain = (unit.factors(network.LEVELS) for unit in (network.gain, network.inverse_gain))
    return gain[: network.M, None, None], inverse_gain[: network.M, None, None]


def _details(network: Cheng2020, x: Tensor) -> Tensor:
    """Set the transforms and the gains of details; returns their deviations at each quality, scaled [8,K]."""
    gain, inverse_gain = _finest(network)
    lost = torch.cat([part - network.g_s((network.g_a(part) * gain).round() * inverse_gain) for part in x.split(16)])
    convolution, transposed = network.d_a[1], network.d_s[0]
    basis, deviation = _components(lost, 16, convolution.out_channels)
    # Channels are 8×8 pixels each of 3 colours, and taps 1 and 2 of 4 the halves of a block.
    taps = basis.unflatten(3, (2, 8)).unflatten(2, (2, 8)).permute(0, 1, 3, 5, 2, 4).flatten(1, 3)
    for layer in (convolution, transposed):
        layer.weight.zero_(), layer.bias.zero_()
        layer.weight[: len(taps), :, 1:3, 1:3] = taps
    gains = _gains(deviation) * _COARSER
    network.gain.log_gain[:, network.M :] = (gains / deviation).log()
    network.inverse_gain.log_gain[:, network.M :] = -(gains / deviation).log()
    return gains


def _predict(network: Cheng2020, fresh: Tensor, deviation: Tensor) -> None:
    """Let the probabilities of these latents begin as those of values of such deviations, whatever is known."""
    output = network.entropy_parameters[-1]
    output.weight.unflatten(0, (3, COMPONENTS, -1))[:, :, fresh] = 0
    bias = output.bias.unflatten(0, (3, COMPONENTS, -1))
    bias[:2, :, fresh] = 0
    bias[2, :, fresh] = deviation * _SPREAD[:, None]


def _take_over(network: Cheng2020, weights: dict[str, Tensor]) -> None:
    """Copy the weights of a narrower network, so that old features stay as they are and listen to no new ones."""
    M, deep = len(weights["g_a.7.weight"]), len(weights["g_a.5.conv1.weight"])
    details = weights["gain.log_gain"].shape[1] - M
    latents = torch.cat((torch.arange(M), network.M + torch.arange(details)))
    for key, tensor in network.named_parameters():
        learned = weights.get(key, tensor)  # of details, there may be none
        if learned.shape == tensor.shape:
            tensor.copy_(learned)
            continue
        rows, columns = (torch.arange(count) for count in (*learned.shape, 1)[:2])
        if key.startswith(f"entropy_parameters.{len(network.entropy_parameters) - 1}."):  # so many parameters a latent
            rows = torch.arange(len(tensor)).unflatten(0, (3 * COMPONENTS, -1))[:, latents].flatten()
        if key.endswith("log_gain") or key in ("h_a.0.weight", "context_prediction.weight"):
            columns = latents
        if key == "entropy_parameters.0.weight":  # features of the hyperprior, then of the context
            columns = torch.arange(tensor.shape[1]).unflatten(0, (2, -1))[:, : 2 * M].flatten()
        if tensor.ndim == 1:
            tensor[rows] = learned
        else:
            tensor[rows] = 0
            tensor[rows[:, None], columns] = learned
    for convolution in (network.g_a[6].conv2, network.g_s[2].conv, network.g_s[3].conv2):
        nn.init.zeros_(convolution.weight[deep:]), nn.init.zeros_(convolution.bias[deep:])
    for gdn in (network.g_a[5].gdn, network.g_s[2].igdn):
        gamma = torch.full_like(gdn.gamma, _GAMMA_OTHERS).fill_diagonal_(_GAMMA)
        gdn.gamma[deep:] = gdn.gamma_reparam.inverse(gamma)[deep:]


def _silence(network: Cheng2020, fresh: Tensor, old: int) -> None:
    """Let nothing of `old` latents listen to these; attention and residual blocks let them pass as they are."""
    for attention in (network.g_a[-1], network.g_s[0]):
        units = [layer for layer in (*attention.conv_a, *attention.conv_b) if isinstance(layer, ResidualUnit)]
        for layer in (*(unit.conv[0] for unit in units), attention.conv_b[-1]):
            layer.weight[:, fresh] = 0
        attention.conv_b[-1].weight[fresh], attention.conv_b[-1].bias[fresh] = 0, _CLOSED
    block, up = network.g_s[1], network.g_s[2]
    block.conv2.weight[fresh], block.conv2.bias[fresh] = 0, 0
    context = network.context_prediction.weight[: 2 * old]
    for weight in (block.conv1.weight, up.subpel_conv[0].weight, up.upsample[0].weight, network.h_a[0].weight, context):
        weight[:, fresh] = 0


def _coefficients(lost: Tensor, size: int, count: int) -> Tensor:
    """What is lost [N,3,H,W], as its first principal components in blocks of `size` [N,count,H/size,W/size]."""
    basis, _ = _components(lost, size, count)
    return torch.einsum("kc,nchw->nkhw", basis.flatten(1), F.pixel_unshuffle(lost, size))


def _predictor(x: Tensor, convolution: nn.Conv2d, wanted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Filters and biases with which a convolution of `x` predicts features best, to a factor that makes the variance 1.

    Returns:
        Filters [K,C,k,k] and biases [K] for `wanted` [N,K,H,W], and what the predictions were divided by [K].
    """
    seen = F.unfold(x, convolution.kernel_size, padding=convolution.padding, stride=convolution.stride)
    seen = seen.transpose(0, 1).flatten(1).T.double()
    seen = torch.cat((seen, torch.ones(len(seen), 1)), dim=1)
    ridge = 1e-2 * seen.square().mean() * len(seen) * torch.eye(seen.shape[1])
    filters = torch.linalg.solve(seen.T @ seen + ridge, seen.T @ wanted.transpose(0, 1).flatten(1).T.double())
    deviation = (seen @ filters).std(0).clamp(min=1e-6)
    filters = (filters / deviation).float()
    return filters[:-1].T.unflatten(1, (x.shape[1], *convolution.kernel_size)), filters[-1], deviation.float()


def fit_entropy_model(
    network: Network,
    crops: Tensor,
    steps: int,
    *,
    rate: AdaptiveRate | None = None,
    proxy: Proxy = "noise",
    batch: int = 8,
    learning_rate: float = 2e-3,
    seed: int = 0,
) -> list[float]:
    """Train the entropy model alone, transforms as they are, or the one of an adaptive coder.

    The latents of all crops are computed once, so a step costs a small part of one of the whole network.

    Args:
        network: a `Balle2017` or `Cheng2020`.
        crops: photographs, uint8 [K,S,S,3].
        steps: length of the training.
        rate: new, to be trained instead of the network's own entropy model (that of a `Balle2017`).
        proxy: what stands in for rounded latents of a `Cheng2020`.
        batch: crops a step, each at a quality of its own.
        learning_rate: the highest, of AdamW; it rises for a tenth of the steps and falls along half a cosine.
        seed: of all random numbers.

    Returns:
        The loss of every step: bits per pixel, weighted as `Objective` does.
    """
    task, curve = _EntropyModel(network, crops, rate, proxy, batch, learning_rate), Curve()
    network.train()
    rules = [Seeding(seed, noise=True), LearningRate(steps, steps // 10), curve]
    Loop(task, steps, rules, processes=Processes(crops.device)).run()
    network.zero_grad(set_to_none=True)
    return curve.losses


class _EntropyModel(Task):
    """The entropy model of a network whose transforms stay; arguments as in `fit_entropy_model`."""

    def __init__(self, network, crops, rate, proxy, batch, learning_rate):
        self.network, self.rate, self.proxy, self.size = network, rate, proxy, batch
        pixels = _pixels(crops, network.stride)
        self.pixels = pixels[0, 0].numel()
        # Details depend on the quality, so there all its whole numbers are computed.
        self.qualities = range(1, network.LEVELS + 1) if getattr(network, "d_a", None) is not None else ()
        parts = pixels.split(16)
        with torch.no_grad():
            if self.qualities:
                each = [torch.cat([network.latents(x, quality) for x in parts]) for quality in self.qualities]
                self.latents = torch.stack(each)
            else:
                self.latents = torch.cat([network.g_a(x) for x in parts])
        if rate is None:
            parameters = [p for name, p in network.named_parameters() if not name.startswith(TRANSFORMS)]
        else:
            parameters = list(rate.parameters())
            with torch.no_grad():
                levels = network.gain.factors(torch.arange(1.0, network.LEVELS + 1, device=crops.device))
                centred = self.latents - network.entropy_bottleneck.medians[:, None, None]
                rate.start(torch.stack([add_noise(centred * gain[:, None, None]) for gain in levels]))
        group = {"params": parameters, "peak": learning_rate}
        self.optimizer = torch.optim.AdamW([group], weight_decay=0.0, fused=True)
        self.reference = math.exp(sum(map(math.log, LAMBDAS["mse"])) / len(LAMBDAS["mse"]))  # λ with weight 1

    def batch(self, rng, step):
        """Scaled latents of some crops, their gains and qualities."""
        device = self.latents.device
        quality = sample_qualities(rng, self.size, 1, self.network.LEVELS).to(device)
        chosen = torch.from_numpy(rng.integers(self.latents.shape[-4], size=self.size)).to(device)
        quality = quality.round() if self.qualities else quality
        with torch.no_grad():
            gain = self.network.gain.factors(quality)
        if self.qualities:
            return self.latents[quality.long() - 1, chosen], gain, quality
        return self.latents[chosen] * gain[..., None, None], gain, quality

    def objective(self, y, gain, quality):
        """Their bits per pixel, each picture's weighted as in `Objective`."""
        bpp = _bits(self.network, self.rate, y, gain, quality, self.proxy) / self.pixels
        return Loss((bpp * (self.reference / lambda_at(quality)).sqrt()).mean())


def _bits(
    network: Network, rate: AdaptiveRate | None, y: Tensor, gain: Tensor, quality: Tensor, proxy: Proxy
) -> Tensor:
    """Bits [N] of scaled latents, by a rate or by the network's own entropy model."""
    if rate is not None:
        return rate.bits(add_noise(y - (network.entropy_bottleneck.medians * gain)[..., None, None]), quality)
    if network.start == "factorized":
        return bits_of({"y": network.entropy_bottleneck(y, gain)[1]})
    return bits_of(network.model(y, proxy)[1])


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


def _pixels(crops: Tensor, stride: int) -> Tensor:
    """Crops as [K,3,S,S] between 0 and 1, cut to a multiple of the stride."""
    side = crops.shape[1] // stride * stride
    return crops[:, :side, :side].permute(0, 3, 1, 2).float() / 255


def _gains(deviation: Tensor) -> Tensor:
    """Gains at each quality [8,K] of orthonormal components that were scaled to variance 1: deviation [K] over step."""
    steps = torch.tensor([math.sqrt(18 / (math.log(2) * weight)) / 255 for weight in LAMBDAS["mse"]])
    return deviation / steps[:, None]


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
    bias[2] = deviation * _SPREAD[:, None]
    z = network.h_a(y).std((0, 2, 3)).clamp(min=1e-3)
    network.h_a[-1].weight *= (3 / z)[:, None, None, None]
    network.h_a[-1].bias *= 3 / z
    _widen(network.entropy_bottleneck, torch.full_like(z, 3))
