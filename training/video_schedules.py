"""How full-size DVC and DCVC are trained: which parts move, and which terms count, one phase after the other.

All at once does not work from random weights. While nothing is predicted well, any flow is as good as another, and
flows have grown to a million pixels that way. So both are trained in phases, and each finds ready what it needs::

    DVC      share    what moves                    loss
    flow      0.3 %   flow                          λ · error of the reference, warped by the flow that was found
    motion    3.3 %   + motion codec                λ · error of the reference, warped by the decoded flow, + its bits
    compens.  3.3 %   + compensation                λ · error of its output + bits of motion
    pairs     10 %    all                           λ · (error + 0.1 · both errors above) + all bits
    chains    83 %    all                           λ · error + all bits, in chains of 7 frames

    DCVC     share    what moves                    loss
    flow      3.3 %   flow                          λ · error of the reference, warped by the flow that was found
    motion    10 %    + motion codec                λ · error of the reference, warped by the decoded flow, + its bits
    recons.   10 %    context, contextual codec     λ · error
    coding    20 %    + entropy model of latents    λ · error + bits of latents
    all       20 %    all                           λ · error + all bits
    chains    37 %    all                           λ · error + all bits, in chains of 7 frames

An *error* is 255² times the mean squared error, bits are bits a pixel, and λ is one of `LAMBDAS`: one network for one
rate. In a *chain* each frame is a step of its own. The decoded frame is the reference of the next step, without
gradients through it: DVC's online buffer. Otherwise the reference is one frame before, coded in whatever way.

The authors start from a flow network trained by others, and published no schedules in steps. The shares are those of
re-implementations: facebookresearch/NeuralCompression for DVC (2,000, 20,000, 20,000, 60,000 and 500,000 steps), with
the 0.1 of ZhihaoHu/PyTorchVideoCompression; for DCVC the epochs 1, 3, 3, 6, 6 and 11 of Cicecoo/DCVC-Trainer, whose
first one trains the motion codec without its bits. All take Adam with a rate of 0.0001, which falls to a tenth or a
hundredth at the end, batches of 4 or 8 and patches of 256×256.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..codecs.learned_video.full_size import PUBLISHED_WEIGHTS, DcvcFull, DvcFull, FrameOutput, FullSize
from .losses import measure

#: λ of the published networks, by the quality of codeckit's scale whose λ is nearest.
LAMBDAS: dict[int, float] = {quality: weight / 255**2 for quality, weight in enumerate(PUBLISHED_WEIGHTS, 3)}


@dataclass(frozen=True)
class Phase:
    """A part of a training.

    Attributes:
        name: of the phase.
        share: its length, relative to the other phases.
        moves: names of the network's children that move; empty for all.
        rates: parts of `FrameOutput.bits` that count; empty for none.
        reconstruction: weight of the reconstruction's error.
        predictions: weights of the errors of `FrameOutput.predictions`.
        frames: of a chain, with the one that begins it.

    Raises:
        ValueError: nothing counts.
    """

    name: str
    share: float
    moves: tuple[str, ...] = ()
    rates: tuple[str, ...] = ()
    reconstruction: float = 0.0
    predictions: Mapping[str, float] = field(default_factory=dict)
    frames: int = 2

    def __post_init__(self):
        if not self.reconstruction and not self.predictions:
            raise ValueError(f"the phase {self.name} has no error to make smaller")


class VideoTerms(NamedTuple):
    """What a step measures: the loss, and means over the batch.

    Attributes:
        loss: to be minimized.
        bpp: estimated bits a pixel of all parts, those that do not count in the phase included.
        distortion: 255² · MSE of the reconstruction.
        warped: that of the reference warped by the decoded motion.
    """

    loss: Tensor
    bpp: Tensor
    distortion: Tensor
    warped: Tensor


def _dvc() -> tuple[Phase, ...]:
    motion = DvcFull.MOTION
    return (
        Phase("flow", 2, moves=("flow",), predictions={"flow": 1.0}),
        Phase("motion", 20, moves=motion, rates=("motion",), predictions={"motion": 1.0}),
        Phase("compensation", 20, moves=(*motion, "compensation"), rates=("motion",), predictions={"compensated": 1.0}),
        Phase("pairs", 60, rates=DvcFull.PARTS, reconstruction=1.0, predictions={"motion": 0.1, "compensated": 0.1}),
        Phase("chains", 500, rates=DvcFull.PARTS, reconstruction=1.0, frames=7),
    )


def _dcvc() -> tuple[Phase, ...]:
    contextual = ("features", "context", "encoder", "decoder", "reconstruction")
    coding = (*contextual, "temporal_prior", "entropy")
    return (
        Phase("flow", 1, moves=("flow",), predictions={"flow": 1.0}),
        Phase("motion", 3, moves=DcvcFull.MOTION, rates=("motion", "motion hyper"), predictions={"motion": 1.0}),
        Phase("reconstruction", 3, moves=contextual, reconstruction=1.0),
        Phase("coding", 6, moves=coding, rates=("latents", "hyper"), reconstruction=1.0),
        Phase("all", 6, rates=DcvcFull.PARTS, reconstruction=1.0),
        Phase("chains", 11, rates=DcvcFull.PARTS, reconstruction=1.0, frames=7),
    )


#: The phases of both networks, by class.
SCHEDULES: dict[type[FullSize], tuple[Phase, ...]] = {DvcFull: _dvc(), DcvcFull: _dcvc()}


def phase_at(phases: Sequence[Phase], step: int, steps: int) -> Phase:
    """The phase of a step of a training of `steps` steps; the last one from its end on.

    >>> phases = SCHEDULES[DcvcFull]
    >>> [phase_at(phases, step, 30).name for step in (0, 1, 3, 4, 29, 30)]
    ['flow', 'motion', 'motion', 'reconstruction', 'chains', 'chains']
    """
    unit, end = steps / sum(phase.share for phase in phases), 0.0
    for phase in phases:
        end += phase.share * unit
        if step < end - 1e-6:  # shares are floats
            return phase
    return phases[-1]


def set_moving(network: nn.Module, phase: Phase) -> None:
    """Let the parameters move that do in a phase, and no others (``requires_grad``).

    An optimizer leaves a parameter without a gradient as it is, so one optimizer serves all phases, if gradients are
    set to None between steps.

    Raises:
        ValueError: the network lacks a child that the phase names.

    >>> network = DvcFull(N=4, M=6, motion=8)
    >>> set_moving(network, SCHEDULES[DvcFull][0])
    >>> {name.split(".")[0] for name, each in network.named_parameters() if each.requires_grad}
    {'flow'}
    """
    children = dict(network.named_children())
    if missing := [name for name in phase.moves if name not in children]:
        raise ValueError(f"{type(network).__name__} has no {', '.join(missing)}, which move in the phase {phase.name}")
    for name, child in children.items():
        child.requires_grad_(not phase.moves or name in phase.moves)


def terms(phase: Phase, output: FrameOutput, x: Tensor, weight: float) -> VideoTerms:
    """The loss of a phase.

    Args:
        output: what the network made of `x` [N,3,H,W].
        weight: λ.

    >>> output = FrameOutput(torch.ones(1, 3, 4, 4), {"motion": torch.zeros(1, 3, 4, 4)}, {"latents": torch.ones(1)})
    >>> phase = Phase("p", 1, rates=("latents",), reconstruction=1.0)
    >>> terms(phase, output, torch.ones(1, 3, 4, 4), weight=0.01).loss      # one bit for 16 pixels
    tensor(0.0625)
    """
    pixels = x.shape[2] * x.shape[3]
    error = measure("mse", x, output.reconstruction)
    loss = weight * phase.reconstruction * error
    for name, share in phase.predictions.items():
        loss = loss + weight * share * measure("mse", x, output.predictions[name])
    for part in phase.rates:
        loss = loss + output.bits[part] / pixels
    with torch.no_grad():
        warped = measure("mse", x, output.warped).mean()
    return VideoTerms(loss.mean(), output.total().detach().mean() / pixels, error.detach().mean(), warped)
