"""Train the network of learned motion, without labels: ``codeckit train motion --data PACK --out RUN``.

There is no true motion to learn from. What is minimized is what motion is for: bits of the vectors and error of the
prediction, of pairs of frames from a pack of sequences (`sequences`)::

    L = R + λ' · 255² · MSE(frame, warp(reference, v̂))

**λ'.** A codec codes the residual, too. Where it does, an error of the prediction costs bits, fewer the larger it is;
where it does not, the error stays. So an error of the prediction weighs less than one in the decoded frame. λ' is
`SHARE` of the λ that the codec pays at the same quality (`codecs.learned.lambdas`).

**Three phases.** First only the flow network learns, from the error of its warped frames at all levels of the pyramid
and from a small penalty of vectors that differ from their neighbours. With distances of up to three frames and
sequences made of photographs, motion is large. Then the flow network rests and the autoencoder learns, also to imitate
the vectors: from vectors that are far off, the error of a warped frame does not say where to go. Finally all learns
together, and the flow keeps its own loss.

**The reference** has the noise of coding: the DCT of its 8×8 blocks is quantized, at random steps that fit the quality.
The network would otherwise learn to follow grain that no decoded frame has.

**The rate** is that of a stand-in for the context-mixing coder (`MotionRate`), which knows neighbouring latents. The
factorized prior, which the coder asks, too, learns alongside.

**Rounding.** l_s and g_s see rounded latents, as in decoding; the rate sees noisy ones. With noise the many latents
that a low rate rounds to zero would shake the vectors. The warp is bicubic, near to the eight taps of `LearnedMotion`.

Sources: `codecs/learned_video/motion_network.py`; J. J. Yu, A. W. Harley, K. G. Derpanis, "Back to Basics: Unsupervised
Learning of Optical Flow via Brightness Constancy and Motion Smoothness", 2016.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from ..codecs.learned.lambdas import LAMBDAS, lambda_at
from ..codecs.learned.networks import bits_of
from ..codecs.learned_video.motion_network import LEVELS, SHARE, MotionNetwork, upsampled, warp
from ..primitives.learned.quantize import add_noise, round_straight_through
from .adaptive_rate import AdaptiveRate
from .callbacks import Average, Callback, Clip, LearningRate, Seeding
from .loop import Task, run
from .losses import sample_qualities
from .processes import Processes, processes
from .recipes import MotionRecipe
from .sequences import SequencePack, batch, load_sequences

#: Weights of differences between neighbouring vectors, of the flow network's own loss in the last phase, and of what
#: decoded vectors lack of its vectors in the second.
_SMOOTHNESS, _AUXILIARY, _IMITATION = 0.01, 0.5, 0.3

#: Learning rate of the linear transforms, as a part of that of the others: they begin near to what they should be, and
#: where latents are large, a small change of them is pixels.
_LINEAR_RATE = 0.25

#: Step of the quantizer of references at the highest quality, in grey levels, and its growth a level down.
_NOISE_STEP, _NOISE_GROWTH = 10.0, 1.3


#: What learns in a step.
Phase = Literal["flow", "autoencoder", "joint"]


class MotionTerms(NamedTuple):
    """What a step measures: means over the batch.

    Attributes:
        loss: to be minimized.
        bpp: estimated bits a pixel of the vectors; None while only the flow network learns.
        error: 255² · MSE of the prediction by the decoded vectors; None likewise.
        flow_error: the same by the flow network's own vectors.
    """

    loss: Tensor
    bpp: Tensor | None
    error: Tensor | None
    flow_error: Tensor


class MotionRate(AdaptiveRate):
    """Bits of motion latents by a coder that also predicts values, as the context-mixing coder's centres.

    A latent's distance counts from its prediction: the median of left, above and left + above - diagonal, times a
    factor 0 … 1 of its channel.

    >>> rate = MotionRate(4, levels=8)
    >>> rate.bits(torch.zeros(2, 4, 4, 4), torch.tensor([1.0, 7.5])).shape
    torch.Size([2])
    """

    def __init__(self, channels: int, levels: int):
        super().__init__(channels, levels)
        self.trust = nn.Parameter(torch.zeros(channels))
        # The latents of the start: means of vectors in 4ths of a pixel, then what frequencies add.
        sizes = 4 / (1 + torch.arange(channels) // 2)
        steps = 2 ** ((torch.arange(levels) - levels + 1) / 2) * 4
        with torch.no_grad():
            self.base.copy_((sizes * steps[:, None]).clamp(min=0.1).log())

    def bits(self, y_hat: Tensor, quality: Tensor, foreseen: Tensor | float = 0.0) -> Tensor:
        """What each picture takes [N]; arguments as in `AdaptiveRate.bits`."""
        y_hat = y_hat.float()
        around = F.pad(y_hat, (1, 0, 1, 0))
        left, above, corner = around[:, :, 1:, :-1], around[:, :, :-1, 1:], around[:, :, :-1, :-1]
        likely = torch.stack((left, above, left + above - corner)).median(0).values
        return super().bits(y_hat - torch.sigmoid(self.trust)[:, None, None] * likely, quality, foreseen)


class MotionObjective(nn.Module):
    """The network with its loss.

    Args:
        network: what is trained.
    """

    def __init__(self, network: MotionNetwork):
        super().__init__()
        self.network = network
        self.rate = MotionRate(network.entropy_bottleneck.channels, LEVELS)
        self.reference = SHARE * float(np.exp(np.log(LAMBDAS["mse"]).mean()))  # λ' with weight 1

    def forward(self, frame: Tensor, reference: Tensor, quality: Tensor, phase: Phase) -> MotionTerms:
        """The terms of frames [N,3,H,W] in 0 … 1 with their references and qualities [N]."""
        weight = SHARE * lambda_at(quality, LAMBDAS["mse"])
        network, prior = self.network, self.network.entropy_bottleneck
        with torch.set_grad_enabled(phase != "autoencoder" and torch.is_grad_enabled()):
            flows = network.flows(frame, reference)
            unsupervised, flow_error = _flow_loss(frame, reference, flows)
        if phase == "flow":
            return MotionTerms(unsupervised.mean(), None, None, flow_error.detach().mean())
        y = network.gain(network.analysis(frame, reference, flows[0]), quality)
        flow = network.synthesis(round_straight_through(y), quality)
        y = add_noise(y)
        pixels, gain = frame.shape[2] * frame.shape[3], network.gain.factors(quality)
        bpp = self.rate.bits(y, quality) / pixels
        aside = bits_of({"y": prior.likelihood(y.detach(), gain.detach())}) / pixels
        predicted = warp(reference, upsampled(flow, 4), "bicubic")
        error = 255**2 * (predicted - frame).square().flatten(1).mean(1)
        loss = (bpp + aside + weight * error) * (self.reference / weight).sqrt()
        if phase == "joint":
            loss = loss + _AUXILIARY * unsupervised
        else:
            loss = loss + _IMITATION * (flow - 2 * F.avg_pool2d(flows[0], 2)).abs().flatten(1).mean(1)
        return MotionTerms(loss.mean(), bpp.detach().mean(), error.detach().mean(), flow_error.detach().mean())


class MotionTask(Task):
    """The network of learned motion with pairs of frames.

    Args:
        recipe: what to train, and how.
        data: a pack of sequences, or the path of one.
        processes: those that share a batch.
        start: weights of a run to begin with, or None.
    """

    def __init__(self, recipe: MotionRecipe, data, processes: Processes, start=None):
        self.recipe, self.device = recipe, processes.device
        self.pack = (data if isinstance(data, SequencePack) else load_sequences(data)).to(self.device)
        torch.manual_seed(recipe.seed)
        network = MotionNetwork(*recipe.channels)
        if start is not None:
            network.load_state_dict(load_file(start))
        self.network = network.to(self.device, memory_format=torch.channels_last)
        self.objective = MotionObjective(self.network).to(self.device)
        probabilities = (*self.network.entropy_bottleneck.parameters(), *self.objective.rate.parameters())
        linear = (*self.network.l_a.parameters(), *self.network.l_s.parameters())
        known = {id(parameter) for parameter in (*probabilities, *linear)}
        others = [parameter for parameter in self.network.parameters() if id(parameter) not in known]
        groups = [
            {"params": others, "peak": recipe.learning_rate},
            {"params": linear, "peak": _LINEAR_RATE * recipe.learning_rate},
            {"params": probabilities, "peak": recipe.entropy_rate},
        ]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=0.0, fused=True)
        self.idle = True

    def batch(self, rng, step):
        """Frames, references with the noise of coding, qualities, and the phase."""
        made = rng.random() < self.recipe.synthetic and len(self.pack.synthetic)
        part = self.pack.synthetic if made else self.pack.training
        chains = batch(part, self.recipe.batch, self.recipe.patch, rng)
        quality = sample_qualities(rng, self.recipe.batch, 1, LEVELS).to(self.device)
        return chains.frames[1], coarser(chains.frames[0], quality, rng), quality, phase_at(self.recipe, step)

    @torch.no_grad()
    def validate(self, network):
        """Estimated bits a pixel of vectors and PSNR of predictions of held-out frames, at some qualities."""
        network.entropy_bottleneck.update_quantiles()
        rows, rate = [], self.objective.rate
        frames = self.pack.validation.frames.permute(0, 1, 4, 2, 3)
        for quality in (2, 4, 6):
            bits, errors, flow_errors = [], [], []
            for sequence in frames:
                reference, frame = (sequence[n : n + 3].float() / 255 for n in (0, 1))
                levels = torch.full((3,), float(quality), device=frame.device)
                noisy = coarser(reference, levels, np.random.default_rng(0))
                motion = network(frame, noisy, levels)
                predicted = warp(noisy, upsampled(motion.flow, 4), "bicubic").clamp(0, 1)
                bits.append(rate.bits(motion.y.round(), levels) / frame[0, 0].numel())
                errors.append((predicted - frame).square().flatten(1).mean(1))
                flow = 2 * upsampled(motion.flows[0], 2)
                flow_errors.append((warp(noisy, flow, "bicubic") - frame).square().flatten(1).mean(1))
            row = {"quality": quality, "bpp": round(float(torch.cat(bits).mean()), 5)}
            for name, values in {"psnr": errors, "flow_psnr": flow_errors}.items():
                decibels = -10 * torch.log10(torch.cat(values).clamp(min=1e-9))
                row[name] = round(float(decibels.mean()), 3)
            rows.append(row)
        return rows


def train(
    recipe: MotionRecipe,
    data,
    out,
    *,
    device: str | None = None,
    minutes: float | None = None,
    resume: bool = False,
    start=None,
    compile: bool | None = None,
    bfloat16: bool | None = None,
    progress: bool = False,
    callbacks: Iterable[Callback] = (),
) -> dict:
    """Train a network of learned motion, or go on training it; arguments and result as of `image_codec.train`.

    Args:
        data: a pack of sequences (`sequences.write_sequences`), or the path of one.
        start: weights of a run to begin with.

    Raises:
        ValueError: the pack does not fit the recipe, or the folder holds another run, or one that is not to be resumed.
        StreamError: the data are no pack of sequences.
        FileNotFoundError: there is no pack at the path.
    """
    with processes(device) as found:
        on_gpu = found.device.type == "cuda"
        task = MotionTask(recipe, data, found, start)
        rules = [
            Seeding(recipe.seed, found.rank, noise=True),
            LearningRate(recipe.steps - 1, recipe.warmup),
            Clip(recipe.clip),
            Average(task.network, recipe.ema),
        ]
        return run(
            task,
            recipe,
            rules,
            Path(out),
            processes=found,
            minutes=minutes,
            resume=resume,
            progress=progress,
            bfloat16=on_gpu if bfloat16 is None else bfloat16,
            compile=on_gpu if compile is None else compile,
            callbacks=callbacks,
        )


def phase_at(recipe: MotionRecipe, step: int) -> Phase:
    """The phase of a step.

    >>> from .recipes.motion import RECIPE
    >>> [phase_at(RECIPE, step) for step in (0, RECIPE.flow_steps, RECIPE.steps - 1)]
    ['flow', 'autoencoder', 'joint']
    """
    if step < recipe.flow_steps:
        return "flow"
    return "autoencoder" if step < recipe.flow_steps + recipe.autoencoder_steps else "joint"


def _flow_loss(frame, reference, flows) -> tuple[Tensor, Tensor]:
    """What the flow network alone minimizes, for each frame, and the error at the finest level, in grey levels²."""
    total, errors = torch.zeros(len(frame), device=frame.device), []
    for flow in flows:
        frame, reference = F.avg_pool2d(frame, 2), F.avg_pool2d(reference, 2)
        difference = warp(reference, flow) - frame
        errors.append(255**2 * difference.square().flatten(1).mean(1))
        total = total + (difference.square() + 1e-4).sqrt().flatten(1).mean(1)  # outliers count less than in squares
        for axis in (2, 3):
            steps = flow.diff(dim=axis)
            edges = 20 * frame.diff(dim=axis).abs().mean(1, keepdim=True)
            total = total + _SMOOTHNESS * (steps.abs() * torch.exp(-edges)).flatten(1).mean(1)
    return 10 * total, errors[0]


def coarser(frames: Tensor, quality: Tensor, rng: np.random.Generator) -> Tensor:
    """Frames [N,3,H,W] in 0 … 1 as a codec of some quality [N] would hand them on, but for a factor around 1.

    >>> coarser(torch.rand(1, 3, 16, 16), torch.tensor([4.0]), np.random.default_rng(0)).shape
    torch.Size([1, 3, 16, 16])
    """
    random = torch.from_numpy(rng.uniform(0.5, 1.4, len(frames))).to(frames)
    steps = random * _NOISE_STEP / 255 * _NOISE_GROWTH ** (LEVELS - quality)
    basis = _dct().to(frames)
    blocks = F.unfold(frames.reshape(-1, 1, *frames.shape[2:]), 8, stride=8)
    steps = steps.repeat_interleave(3)[:, None, None]
    coded = torch.einsum("kp,npb->nkb", basis, blocks)
    coded = (coded / steps).round() * steps
    blocks = torch.einsum("kp,nkb->npb", basis, coded)
    return F.fold(blocks, frames.shape[2:], 8, stride=8).view_as(frames).clamp(0, 1)


@cache
def _dct() -> Tensor:
    """The orthonormal basis of 8×8 blocks [64,64]."""
    n = torch.arange(8.0)
    rows = torch.cos(torch.pi * n[:, None] * (2 * n + 1) / 16) / 2
    rows[0] /= 2**0.5
    return torch.kron(rows, rows)
