"""The training loop, one for everything that is trained here.

A `Task` says what is trained: what a batch is, what the loss is, how the result is validated, and what the file of
weights says of it. There are ten: an image codec (`image_codec`) and its entropy model alone (`start`), predicted
frames of video (`video_codec`, `full_video`) and their motion (`motion`), the visual tokenizer (`tokenizer`) and the
network that predicts its symbols (`causal`), the vision transformer (`vit`), the multimodal model (`mllm`), and the
adapter from latents to a tower (`cotam`). The `Loop` takes the steps. Callbacks (`callbacks`) do everything around
them: seeding, learning rates, clipping, the moving average, logging, validation, checkpoints.

>>> from codeckit.training.callbacks import Seeding
>>> class Line(Task):
...     def __init__(self):
...         self.slope = torch.zeros((), requires_grad=True)
...         self.optimizer = torch.optim.SGD([self.slope], lr=0.1)
...
...     def batch(self, rng, step):
...         x = torch.from_numpy(rng.normal(size=8))
...         return x, 3 * x
...
...     def objective(self, x, y):
...         return Loss((self.slope * x - y).square().mean())
>>> line = Line()
>>> Loop(line, 50, [Seeding(0)]).run()
>>> round(line.slope.item(), 2)
3.0

**A run** (`run`) is a loop with a folder, which holds

- ``checkpoint.pt``: all that a resumed run needs (parameters, average, optimizer, step, recipe);
- ``weights.safetensors``: the moving average; its metadata say recipe, step, validation, and what the task adds;
- ``log.jsonl``: one JSON object a line, with means since the last such line, or with a validation.

**Precision.** With `bfloat16` the objective runs under autocast: what has to stay in float32 says so itself. bfloat16
has the range of float32, so no loss needs scaling; on a GPU, steps whose gradients are not finite are skipped.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .callbacks import (
    LOG,
    Callback,
    Checkpoint,
    LogFile,
    Means,
    Progress,
    TimeLimit,
    Validation,
)
from .processes import Processes


class Loss(NamedTuple):
    """The terms of an objective that measures nothing but the loss."""

    loss: Tensor


class Task:
    """What is trained.

    Attributes:
        objective: takes what `batch` gives and returns a named tuple of scalars (or None), with one called ``loss``. A
            module, if a callback or several processes need its parameters.
        optimizer: of its parameters; each group has a ``"peak"`` if there is a `callbacks.LearningRate`.
        idle: whether a step may leave parameters without gradients.
    """

    objective: Callable[..., Any]
    optimizer: torch.optim.Optimizer
    idle: bool = False

    def batch(self, rng: np.random.Generator, step: int) -> tuple:
        """What the objective takes in a step; all random choices are drawn from `rng`."""
        raise TypeError(f"{type(self).__name__} defines no batch(rng, step)")

    def validate(self, network: nn.Module) -> Any:
        """Measures on held-out data, as JSON takes them, of the moving average in evaluation mode."""
        raise TypeError(f"{type(self).__name__} defines no validate(network)")

    def metadata(self) -> dict[str, str]:
        """What the file of weights says besides recipe, step and validation."""
        return {}


class Loop:
    """Takes the steps of a task.

    Args:
        task: what is trained.
        steps: length of the training.
        callbacks: called in this order at each moment. One of them sets `rng`.
        processes: this one and those that share its batches.
        bfloat16: whether the objective runs in bfloat16 where it may.
        compile: whether to compile it.

    Attributes:
        step: number of steps taken.
        rng: the random numbers of the step.
        terms: what the objective measured in it.
        average: the network that is validated and kept, if there is one.
        result: the last validation: ``step`` and ``validation``; None before the first.
        stopped: set by a callback before a step, ends the loop without it.
    """

    def __init__(
        self,
        task: Task,
        steps: int,
        callbacks: Iterable[Callback],
        *,
        processes: Processes | None = None,
        bfloat16: bool = False,
        compile: bool = False,
    ):
        self.task, self.steps, self.callbacks = task, steps, tuple(callbacks)
        self.processes = processes or Processes(torch.device("cpu"))
        self.bfloat16 = bfloat16
        shared = self.processes.shared(task.objective, task.idle)
        self._objective = torch.compile(shared) if compile else shared
        kind = self.processes.device.type
        self._scaler = torch.amp.GradScaler(kind, init_scale=1.0, growth_interval=2**31 - 1, enabled=kind == "cuda")
        self.step, self.stopped = 0, False
        self.rng = self.terms = self.average = self.result = None

    def run(self) -> None:
        """Steps until the last one, or until a callback stops them."""
        self._all("begin")
        while self.step < self.steps:
            self._all("before_step")
            if self.stopped:
                break
            self._one_step()
            self._all("after_step")
        self._all("end")

    def _one_step(self):
        optimizer = self.task.optimizer
        batch = self.task.batch(self.rng, self.step)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.processes.device.type, torch.bfloat16, enabled=self.bfloat16):
            self.terms = self._objective(*batch)
        self._scaler.scale(self.terms.loss).backward()
        self._scaler.unscale_(optimizer)
        self._all("after_backward")
        self._scaler.step(optimizer)
        self._scaler.update()
        self.step += 1

    def log(self, entry: dict) -> None:
        """Hand an entry of the log, with the step, to all callbacks."""
        self._all("log", {"step": self.step, **entry})

    def report(self) -> None:
        """Tell all callbacks that there is a new `result`."""
        self._all("report")

    def state(self) -> dict:
        """All that a resumed loop needs."""
        return {
            "result": self.result,
            "objective": self.task.objective.state_dict(),
            "optimizer": self.task.optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "callbacks": {type(callback).__name__: state for callback in self.callbacks if (state := callback.state())},
        }

    def restore(self, state: dict) -> None:
        """Take over what `state` gave."""
        self.result = state["result"]
        self.step = self.result["step"]
        self.task.objective.load_state_dict(state["objective"])
        self.task.optimizer.load_state_dict(state["optimizer"])
        if state["scaler"]:
            self._scaler.load_state_dict(state["scaler"])
        for callback in self.callbacks:
            if type(callback).__name__ in state["callbacks"]:
                callback.restore(state["callbacks"][type(callback).__name__])

    def _all(self, moment: str, *arguments):
        for callback in self.callbacks:
            getattr(callback, moment)(self, *arguments)


def run(
    task: Task,
    recipe,
    rules: Iterable[Callback],
    out,
    *,
    processes: Processes | None = None,
    minutes: float | None = None,
    resume: bool = True,
    progress: bool = False,
    bfloat16: bool = False,
    compile: bool = False,
    callbacks: Iterable[Callback] = (),
) -> dict:
    """Train in a folder, or go on training there.

    Args:
        task: what is trained.
        recipe: a dataclass with at least the length `steps` and `report`, the steps from one validation to the next.
        rules: how it is trained: the callbacks `Seeding`, `LearningRate`, `Clip`, `Average`, or others.
        out: the folder.
        processes: this one and those that share its batches.
        minutes: stop after this time (validation and saving come on top).
        resume: go on from the folder's checkpoint if it has one.
        progress: whether to show a progress bar on stderr.
        bfloat16, compile: as `Loop` takes them.
        callbacks: further ones, which come last at each moment.

    Returns:
        The last validation: ``step``, and ``validation`` as the task makes it.

    Raises:
        ValueError: the folder holds a run and `resume` is not set, or a run of another recipe.
    """
    processes = processes or Processes(torch.device("cpu"))
    checkpoint = Checkpoint(out, recipe)
    every = max(1, min(50, recipe.steps // 20))
    around = [Means(every), LogFile(Path(out) / LOG), checkpoint, Validation(recipe.report), *callbacks]
    if progress and processes.first:
        around.insert(0, Progress())
    if minutes is not None:
        around.insert(0, TimeLimit(minutes))
    loop = Loop(task, recipe.steps, [*rules, *around], processes=processes, bfloat16=bfloat16, compile=compile)
    checkpoint.resume(loop, resume)
    loop.run()
    return loop.result
