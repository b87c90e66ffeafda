"""Train full-size DVC and DCVC: ``codeckit train dvc-full --data PACK --out RUN``.

A training has phases (`video_schedules`): at first some parts of the network move alone. A step takes a batch of
frames, each with the decoded frame before it.

**Pairs and chains.** In most phases a step has pairs of frames, the first of which is coded by the still codec of
I-frames. In the last phase patches are coded in chains, a frame a step. Only the first frame of a chain is coded by the
still codec. Each of the others is predicted from the frame before it as the network decoded it in the step before. No
gradient goes back through time. All patches of a batch begin their chains together, in steps that are multiples of a
chain's length. Until the first such step, the last phase has pairs as well.

**Resuming.** The patches of a chain are drawn with the number of its first step. The frame before, as the network
decoded it, is a buffer of the objective, which a checkpoint holds. So a run that resumes within a chain goes on as if
it had not stopped. Where several processes share a batch, a checkpoint has the buffer of the first one alone. They go
on with pairs until new chains begin.

**Weights to begin with.** A network that has been trained, for another rate perhaps, needs no phases. All steps of a
run with `start` belong to the last phase. A checkpoint keeps this, too.

**Precision.** Gradients are clamped to `FullVideoRecipe.clamp`, each by itself, as PyTorchVideoCompression does. The
vectors need more digits than bfloat16 has, so that is off by default.

Nothing is exported, for these networks have no streams (`codecs.learned_video.full_size`).

Sources: as of `video_schedules`.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..codecs.learned_video.full_size import DcvcFull, DvcFull, FullSize
from .callbacks import CHECKPOINT, Average, Callback, LearningRate, Seeding
from .export import read_run
from .loop import Task, run
from .processes import Processes, processes
from .recipes import FullVideoRecipe
from .sequences import SequencePack, batch, load_sequences
from .video_codec import coded_still, decoded, still
from .video_schedules import LAMBDAS, SCHEDULES, Phase, VideoTerms, phase_at, set_moving, terms

#: The networks by the names in recipes.
NETWORKS: dict[str, type[FullSize]] = {"dvc-full": DvcFull, "dcvc-full": DcvcFull}

#: By how much the quality of I-frames is higher than the network's.
_BETTER = 1

#: Share of chains that come from clips; the others come from photographs.
_CLIPS = 0.7


def train(
    recipe: FullVideoRecipe,
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
    """Train a network, or go on training it; arguments and result as of `image_codec.train`.

    Args:
        data: a pack of sequences, or the path of one.
        start: a run of the same network to begin with, its folder or its file of weights.
        compile: whether to compile the objective; by default not.
        bfloat16: whether transforms compute in bfloat16; by default not.

    Raises:
        ValueError: the recipe does not fit the pack or the processes, the folder holds another run, or one that is not
            to be resumed, or `start` is of another network.
        StreamError: the data are no pack of sequences.
        FileNotFoundError: there is no pack, or no run to begin with.
    """
    with processes(device) as found:
        task = FullVideo(recipe, data, found, start, new=not (Path(out) / CHECKPOINT).exists())
        rules = [
            Seeding(recipe.seed, found.rank, noise=True),
            LearningRate(recipe.steps - 1, recipe.warmup),
            Clamp(recipe.clamp),
            Average(task.network, recipe.ema),
        ]
        return run(
            task,
            recipe,
            rules,
            out,
            processes=found,
            minutes=minutes,
            resume=resume,
            progress=progress,
            bfloat16=bool(bfloat16),
            compile=bool(compile),
            callbacks=callbacks,
        )


class Clamp(Callback):
    """Clamps every number of the gradients to ±`limit`."""

    def __init__(self, limit: float):
        self.limit = limit

    def after_backward(self, loop):
        nn.utils.clip_grad_value_(loop.task.objective.parameters(), self.limit)


class FullObjective(nn.Module):
    """A network with the loss of a phase.

    Args:
        network: what is trained.
        weight: λ.
        shape: of a batch of frames.
        trained: whether the network begins as a trained one.

    Attributes:
        decoded: the frames that the last call decoded, a buffer, uint8 [N,3,H,W].
        trained: as above, a buffer.
    """

    decoded: Tensor
    trained: Tensor

    def __init__(self, network: FullSize, weight: float, shape: tuple[int, ...], trained: bool = False):
        super().__init__()
        self.network, self.weight = network, weight
        self.register_buffer("decoded", torch.zeros(shape, dtype=torch.uint8))
        self.register_buffer("trained", torch.tensor(trained))

    def forward(self, x: Tensor, reference: Tensor, phase: Phase) -> VideoTerms:
        """Terms of frames and the decoded ones before them, both uint8 [N,3,H,W]."""
        x, reference = x.float() / 255, reference.float() / 255
        output = self.network(x, reference)
        self.decoded.copy_(decoded(255 * output.reconstruction))
        return terms(phase, output, x, self.weight)


class FullVideo(Task):
    """A full-size network with its phases.

    Args:
        recipe: what to train, and how.
        data: a pack of sequences, or the path of one.
        processes: those that share a batch.
        start: a run of the same network to begin with, or None for random weights.
        new: whether the run begins; parameters of a resumed one come from its checkpoint.

    Raises:
        ValueError, FileNotFoundError, StreamError: as of `train`.
    """

    def __init__(self, recipe: FullVideoRecipe, data, processes: Processes, start=None, *, new: bool = True):
        self.recipe, self.processes, self.device = recipe, processes, processes.device
        if recipe.quality not in LAMBDAS:
            raise ValueError(f"{recipe.network} has the qualities {', '.join(map(str, LAMBDAS))}, not {recipe.quality}")
        if recipe.batch % processes.count:
            raise ValueError(f"a batch of {recipe.batch} cannot be shared by {processes.count} processes evenly")
        self.count = recipe.batch // processes.count
        torch.manual_seed(recipe.seed)
        network = NETWORKS[recipe.network](*recipe.channels)
        self.phases = SCHEDULES[type(network)]
        self.pack = data if isinstance(data, SequencePack) else load_sequences(data)
        stored, side = self.pack.training.frames.shape[1:3]
        frames = max(phase.frames for phase in self.phases)
        if recipe.patch > side or frames > stored:
            raise ValueError(
                f"the recipe's chains have {frames} frames of {recipe.patch} pixels a side, the pack's sequences "
                f"{stored} of {side}"
            )
        if new and start is not None:
            _load(network, recipe.network, start)
        self.still = still(self.device)
        self.network = network.to(self.device)
        shape = (self.count, 3, recipe.patch, recipe.patch)
        self.objective = FullObjective(self.network, LAMBDAS[recipe.quality], shape, start is not None).to(self.device)
        group = {"params": list(self.network.parameters()), "peak": recipe.learning_rate}
        self.optimizer = torch.optim.AdamW([group], weight_decay=0.0, fused=True)
        self.idle = True  # what does not move in a phase
        self.phase: Phase | None = None
        self.follows = processes.count == 1

    def batch(self, rng, step):
        """Frames, the decoded ones before them, and the phase, whose parameters are let move."""
        phase = self.phase_at(step)
        if phase is not self.phase:
            set_moving(self.network, phase)
            self.phase = phase
        place = step % (phase.frames - 1)
        if self.phase_at(step - place) is not phase or not self.follows:
            place = 0
        frames = self.cut(step - place, phase.frames)
        if place == 0:
            self.follows = self.follows or step % (phase.frames - 1) == 0
            return frames[1], self.first(frames[0]), phase
        return frames[place + 1], self.objective.decoded, phase

    def phase_at(self, step: int) -> Phase:
        """The phase of a step."""
        return self.phases[-1] if self.objective.trained else phase_at(self.phases, step, self.recipe.steps)

    def cut(self, first: int, length: int) -> Tensor:
        """The frames of the chains that begin in the step `first`: uint8 [length,B,3,P,P]."""
        rng = np.random.default_rng((self.recipe.seed, self.processes.rank, first, 1))
        is_real = rng.random() < _CLIPS or not len(self.pack.synthetic)
        part = self.pack.training if is_real else self.pack.synthetic
        frames = batch(part, self.count, self.recipe.patch, rng, length=length).frames
        return (255 * frames).round().to(torch.uint8).to(self.device)

    def first(self, frames: Tensor) -> Tensor:
        """Frames uint8 [N,3,H,W] as the still codec decodes them."""
        quality = torch.full((len(frames),), float(self.recipe.quality + _BETTER))
        return coded_still(self.still, frames, quality, self.device)

    @torch.no_grad()
    def validate(self, network):
        """Estimated bits a pixel, those of motion among them, and PSNR of the held-out sequences' predicted frames."""
        bits, motion, decibels = [], [], []
        for sequence in self.pack.validation.frames:
            frames = sequence.permute(0, 3, 1, 2).to(self.device)
            before = self.first(frames[:1])
            for x in frames[1:].split(1):
                output = network(x.float() / 255, before.float() / 255)
                before = decoded(255 * output.reconstruction)
                error = (before.float() - x).square().mean()
                pixels = x.shape[2] * x.shape[3]
                bits.append(output.total().sum() / pixels)
                motion.append(sum(each.sum() for part, each in output.bits.items() if "motion" in part) / pixels)
                decibels.append(10 * torch.log10(255**2 / error.clamp(min=1e-3)))
        bpp, vectors, psnr = (float(torch.stack(each).mean()) for each in (bits, motion, decibels))
        quality = self.recipe.quality
        return [{"quality": quality, "bpp": round(bpp, 5), "psnr": round(psnr, 3), "motion": round(vectors, 5)}]

    def metadata(self):
        """The name of the network."""
        return {"network": self.recipe.network}


def _load(network: FullSize, name: str, start) -> None:
    about, weights = read_run(start)
    if about["network"] != name:
        raise ValueError(f"{start} is a run of {about['network']}, not of {name}")
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{start} has other channels than the recipe: {error}") from error
