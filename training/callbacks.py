"""Callbacks of the training loop: one small class for each concern.

The loop (`loop.Loop`) computes the loss, its gradients and the optimizer's step, nothing else. A `Callback` has a
method for each moment of a training and is given the loop; most callbacks need one or two of these::

    begin ── before_step ── (loss, gradients) ── after_backward ── (optimizer) ── after_step ── … ── end
                                                                                  │
                                                                  log, report: when another callback asks for them

=================  =================================================================================
callback           does
=================  =================================================================================
`Seeding`          random numbers of a step from its number
`LearningRate`     a linear rise, then half a cosine
`Clip`             limits the norm of the gradients
`Average`          the exponential moving average (EMA) of the weights
`Means`            means of what the objective measures, now and then, for the log
`LogFile`          the log, one JSON object a line
`Validation`       measures the average, and so decides when a checkpoint is due
`Checkpoint`       writes all that a resumed run needs, and the average's weights
`TimeLimit`        stops a run after some minutes
`Progress`         a progress bar
`Curve`            collects the loss of every step
=================  =================================================================================

A callback with a state of its own (`Average`) gives it to the checkpoint by `state` and takes it back by `restore`.
"""

import copy
import io
import json
import math
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm import tqdm

from ..codecs.image_io import write_atomically

#: The files of a run.
CHECKPOINT, WEIGHTS, LOG = "checkpoint.pt", "weights.safetensors", "log.jsonl"


class Callback:
    """Does nothing at any moment of a training; subclasses override the moments that they need."""

    def begin(self, loop) -> None:
        """Before the first step of this process; a resumed loop has been restored."""

    def before_step(self, loop) -> None:
        """Before the batch of step `loop.step` is made."""

    def after_backward(self, loop) -> None:
        """When the gradients are there and no parameter has moved."""

    def after_step(self, loop) -> None:
        """When the parameters have moved and `loop.step` counts the step."""

    def log(self, loop, entry: dict) -> None:
        """When `loop.log` is called: with the step and what there is to say, as JSON takes it."""

    def report(self, loop) -> None:
        """When `loop.result` is a new validation."""

    def end(self, loop) -> None:
        """After the last step of this process."""

    def state(self) -> dict:
        """What a checkpoint keeps of this callback."""
        return {}

    def restore(self, state: dict) -> None:
        """Take over what `state` gave."""


class Seeding(Callback):
    """All random numbers of a step come from a key and the step's number, so there is no generator to save.

    A run that is stopped and resumed makes the same weights as one that is not (bit for bit where the operators are
    deterministic, as on a CPU with a fixed number of threads).

    Args:
        key: whole numbers, such as a seed and a process's rank.
        noise: whether the objective draws numbers from torch's own generator.
    """

    def __init__(self, *key: int, noise: bool = False):
        self.key, self.noise = key, noise

    def before_step(self, loop):
        loop.rng = np.random.default_rng((*self.key, loop.step))
        if self.noise:
            torch.manual_seed(int(loop.rng.integers(2**32)))


def half_cosine(step: int, last: int, warmup: int, final: float = 0.01) -> float:
    """The learning rate of a step as a part of the highest: a linear rise, and half a cosine that falls to `final`.

    Args:
        step: from 0 on.
        last: the step at which the cosine is at its end.
        warmup: steps of the rise.
        final: what it falls to.

    >>> [round(half_cosine(step, last=100, warmup=10), 3) for step in (0, 4, 9, 50, 100)]
    [0.1, 0.498, 0.98, 0.505, 0.01]
    """
    rise = min(1.0, (step + 1) / max(warmup, 1))
    cosine = 0.5 + 0.5 * math.cos(math.pi * step / max(last, 1))
    return rise * (final + (1 - final) * cosine)


class LearningRate(Callback):
    """Gives every group of parameters its ``"peak"``, the highest learning rate, times `half_cosine`; see there."""

    def __init__(self, last: int, warmup: int, final: float = 0.01):
        self.last, self.warmup, self.final = last, warmup, final

    def before_step(self, loop):
        factor = half_cosine(loop.step, self.last, self.warmup, self.final)
        for group in loop.task.optimizer.param_groups:
            group["lr"] = factor * group["peak"]


class Clip(Callback):
    """Scales gradients down to a norm of `limit` over all parameters where it is larger."""

    def __init__(self, limit: float):
        self.limit = limit

    def after_backward(self, loop):
        nn.utils.clip_grad_norm_(loop.task.objective.parameters(), self.limit)


class Average(Callback):
    """The exponential moving average of a network's weights, which is what is validated and kept.

    Single steps are noisy, and the average is the better network. After n steps the decay is n/(9 + n) at most, which
    soon forgets the random start. Buffers, such as the statistics of a normalization, are averaged as well, and copied
    where they are whole numbers.

    Args:
        network: what is averaged.
        decay: the share of the average that stays in a step.
    """

    def __init__(self, network: nn.Module, decay: float):
        self.network, self.decay = network, decay
        self.average = copy.deepcopy(network).eval().requires_grad_(False)

    def begin(self, loop):
        loop.average = self.average

    def after_step(self, loop):
        decay = min(self.decay, loop.step / (9 + loop.step))
        pairs = list(zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True))
        means, values = zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True)
        get_ema_multi_avg_fn(decay)(list(means), list(values), None)
        for mean, value in pairs:
            if not mean.is_floating_point():
                mean.copy_(value)

    def state(self):
        return self.average.state_dict()

    def restore(self, state):
        self.average.load_state_dict(state)


class Means(Callback):
    """Logs the means of the objective's terms over the steps since the last time, the first group's learning rate and
    the steps a second. A step whose term is None has no part in the mean.

    Args:
        every: steps from one entry to the next.
    """

    def __init__(self, every: int):
        self.every = every

    def begin(self, loop):
        self._reset()

    def report(self, loop):
        self._since = time.monotonic()  # a validation is no step

    def after_step(self, loop):
        self._steps += 1
        for name, term in loop.terms._asdict().items():
            if term is not None:
                self._seen.setdefault(name, []).append(term.detach())
        if loop.step % self.every == 0:
            means = {name: round(torch.stack(terms).mean().item(), 6) for name, terms in self._seen.items()}
            speed = self._steps / (time.monotonic() - self._since)
            rates = {"rate": loop.task.optimizer.param_groups[0]["lr"], "steps_per_s": speed}
            self._reset()
            loop.log(means | {name: float(f"{value:.4g}") for name, value in rates.items()})

    def _reset(self):
        self._seen: dict[str, list[Tensor]] = {}
        self._steps, self._since = 0, time.monotonic()


class LogFile(Callback):
    """Appends entries to a file, one JSON object a line. What a killed run wrote after its checkpoint is dropped."""

    def __init__(self, path):
        self.path = Path(path)

    def begin(self, loop):
        if loop.processes.first:
            lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True) if loop.result else []
            kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= loop.step]
            write_atomically(self.path, "".join(kept))

    def log(self, loop, entry):
        if loop.processes.first:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")


class Validation(Callback):
    """Measures the average now and then and at the end, in the first process: the loop's `result`, logged and reported.

    Args:
        every: steps from one validation to the next.
    """

    def __init__(self, every: int):
        self.every = every

    def after_step(self, loop):
        if loop.step % self.every == 0 and loop.step < loop.steps:
            self._validate(loop)

    def end(self, loop):
        if loop.result is None or loop.result["step"] != loop.step:
            self._validate(loop)

    def _validate(self, loop):
        loop.result = {"step": loop.step, "validation": []}
        if loop.processes.first:
            loop.result["validation"] = loop.task.validate(loop.average)
            loop.log({"validation": loop.result["validation"]})
        loop.report()
        loop.processes.wait()


class Checkpoint(Callback):
    """Keeps a run in a folder: ``checkpoint.pt``, from which it resumes, and ``weights.safetensors``, the average.

    Files are replaced as a whole, so a run may be killed at any time.

    Args:
        folder: of the run.
        recipe: a dataclass; a run resumes with the same one only.
    """

    def __init__(self, folder, recipe):
        self.folder, self.recipe = Path(folder), json.dumps(asdict(recipe))

    def report(self, loop):
        if not loop.processes.first:
            return
        about = {
            "recipe": self.recipe,
            "step": str(loop.step),
            "validation": json.dumps(loop.result["validation"]),
            **loop.task.metadata(),
        }
        weights = {key: value.cpu().contiguous() for key, value in loop.average.state_dict().items()}
        write_atomically(self.folder / WEIGHTS, save(weights, about))
        file = io.BytesIO()
        torch.save({"recipe": self.recipe, **loop.state()}, file)
        write_atomically(self.folder / CHECKPOINT, file.getbuffer())

    def resume(self, loop, allowed: bool) -> None:
        """Restore a loop from the folder's checkpoint if it has one.

        Raises:
            ValueError: it has one and that is not `allowed`, or the checkpoint is of another recipe or version.
        """
        path = self.folder / CHECKPOINT
        if not path.exists():
            return
        if not allowed:
            raise ValueError(f"{self.folder} holds a run; resume it, or train in another folder")
        state = torch.load(path, map_location=loop.processes.device, weights_only=True)
        if (theirs := state.pop("recipe")) != self.recipe:
            raise ValueError(f"{path} belongs to another recipe: {theirs}")
        if state.keys() != loop.state().keys():
            raise ValueError(f"{path} is of another version of codeckit; start a new run from {self.folder / WEIGHTS}")
        loop.restore(state)


class TimeLimit(Callback):
    """Stops the loop cleanly after some minutes; the first process's clock decides for all."""

    def __init__(self, minutes: float):
        self.minutes = minutes

    def begin(self, loop):
        self._began = time.monotonic()

    def before_step(self, loop):
        if loop.processes.count == 1 or loop.step % 10 == 0:  # several wait for each other in `agree`
            loop.stopped = loop.processes.agree(time.monotonic() - self._began >= 60 * self.minutes)


class Progress(Callback):
    """A progress bar on stderr, with the loss that was logged last."""

    def begin(self, loop):
        self._bar = tqdm(total=loop.steps, initial=loop.step, unit="step")

    def after_step(self, loop):
        self._bar.update()

    def log(self, loop, entry):
        if "loss" in entry:
            self._bar.set_postfix(loss=f"{entry['loss']:.4f}")

    def end(self, loop):
        self._bar.close()


class Curve(Callback):
    """Collects the loss of every step in `losses`."""

    def __init__(self):
        self.losses: list[float] = []

    def after_step(self, loop):
        self.losses.append(loop.terms.loss.item())
