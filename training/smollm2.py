"""Train what SmolLM2 needs to read the tokens of ``mllm-scenes``: a projector and low-rank changes.

    python -m codeckit.training.smollm2 train --pool pool.safetensors --out runs/smollm2 [--minutes 100]
    python -m codeckit.training.smollm2 export --run runs/smollm2 --out smollm2.safetensors

The pool is that of `training.mllm`. Tower and language model are frozen (`primitives.tokens.smollm2`), and no token is
dropped. The loss is the cross-entropy of the answers' text tokens. A picture with eight questions takes some seconds
on one core, so this is for a machine with many, or for patience. The run's folder is that of `training.loop`.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

from ..metrics.tasks.scenes.questions import CATEGORIES, Question, ask, easy
from ..primitives.tokens.mllm import MllmBackbone, load_mllm
from ..primitives.tokens.smollm2 import FORMAT, SmolReader, load_smollm2
from ..primitives.weights import write_tensors
from .callbacks import WEIGHTS, Average, Callback, Clip, LearningRate, Seeding
from .loop import Loss, Task, run
from .mllm import Pool, load_pool


@dataclass(frozen=True)
class SmolRecipe:
    """What projector and changes are made with.

    Attributes:
        steps, batch, questions: length of the training, pictures a step, and questions about each.
        learning_rate, warmup: the highest, of AdamW, and the steps until then; it falls along half a cosine.
        clip: largest norm of the gradients.
        ema: decay of the moving average.
        validated: how many of the held-out scenes are validated on.
        report: steps from one checkpoint to the next.
        seed: of all random numbers.
    """

    steps: int = 4000
    batch: int = 4
    questions: int = 8
    learning_rate: float = 1e-3
    warmup: int = 50
    clip: float = 1.0
    ema: float = 0.99
    validated: int = 40
    report: int = 250
    seed: int = 0


RECIPE = SmolRecipe()


class _Trained(nn.Module):
    """The trained parameters alone, so that neither checkpoints nor averages hold the language model."""

    def __init__(self, changes: dict[str, Tensor]):
        super().__init__()
        self.values = nn.ParameterList(changes.values())


class Reading(_Trained):
    """The loss of a batch; see `SmolReader`."""

    def __init__(self, backbone: MllmBackbone, reader: SmolReader):
        super().__init__(reader.changes())
        self._frozen = (backbone.tower, reader)  # in a tuple, so that their parameters are not this module's

    def forward(self, maps: Tensor, asked) -> Loss:
        """Of maps of the stem [B,C,16,16] and `smollm2.Asked`."""
        tower, reader = self._frozen
        with torch.no_grad():
            tokens = tower.look(maps).tokens
        logits, targets = reader(tokens, asked)
        return Loss(F.cross_entropy(logits.float(), targets))


class SmolTask(Task):
    """Projector and changes, on a pool of scenes."""

    def __init__(self, pool: Pool, recipe: SmolRecipe, backbone: MllmBackbone, reader: SmolReader):
        self.pool, self.recipe, self.backbone, self.reader = pool, recipe, backbone, reader
        torch.manual_seed(recipe.seed)
        self.objective = Reading(backbone, reader)
        self.network = _Trained(reader.changes())
        group = {"params": list(self.objective.parameters()), "peak": recipe.learning_rate}
        self.optimizer = torch.optim.AdamW([group], betas=(0.9, 0.98), weight_decay=0.0)

    def batch(self, rng, step):
        """Scenes at random, and some questions about each."""
        chosen = rng.integers(len(self.pool.scenes) - self.pool.held_out, size=self.recipe.batch)
        asked = []
        for n in chosen:
            scene = self.pool.scenes[n]
            questions = ask(scene, int(rng.integers(1 << 31))) + easy(scene, rng)
            picked = rng.permutation(len(questions))[: self.recipe.questions]
            asked.append([(questions[k].words, questions[k].answer) for k in picked])
        return self.pool.maps[chosen].float(), self.reader.asked(asked)

    def validate(self, network):
        """Accuracy of each category on scenes held out, in percent."""
        own = [value.detach().clone() for value in self.reader.changes().values()]
        self._take(network.values)
        first = len(self.pool.scenes) - self.pool.held_out
        right: dict[str, list[bool]] = {name: [] for name in CATEGORIES}
        for n in range(first, first + min(self.recipe.validated, self.pool.held_out)):
            with torch.no_grad():
                tokens = self.backbone.tower.look(self.pool.maps[n : n + 1].float()).tokens.numpy()
            questions: list[Question] = ask(self.pool.scenes[n])
            with torch.autocast("cpu", torch.bfloat16):
                (found,) = self.reader.correct(tokens, [[q.words for q in questions]], [[q.answer for q in questions]])
            for question, hit in zip(questions, found, strict=True):
                right[question.category].append(bool(hit))
        self._take(own)
        return {name: round(100 * float(np.mean(each)), 2) for name, each in right.items()}

    def _take(self, values):
        with torch.no_grad():
            for value, new in zip(self.reader.changes().values(), values, strict=True):
                value.copy_(new)

    def metadata(self):
        """The tower's fingerprint, and the names of what is trained."""
        return {"tower": self.backbone.fingerprint.hex(), "names": json.dumps(list(self.reader.changes()))}


def train(
    pool: Pool,
    out,
    backbone: MllmBackbone,
    reader: SmolReader,
    recipe: SmolRecipe = RECIPE,
    minutes: float | None = None,
    *,
    progress: bool = False,
    callbacks: Iterable[Callback] = (),
) -> dict:
    """Train on a CPU, or go on training: arguments and result as of `training.loop.run`, whose folder `out` is."""
    task = SmolTask(pool, recipe, backbone, reader)
    rules = [
        Seeding(recipe.seed),
        LearningRate(recipe.steps, recipe.warmup),
        Clip(recipe.clip),
        Average(task.network, recipe.ema),
    ]
    return run(task, recipe, rules, out, bfloat16=True, minutes=minutes, progress=progress, callbacks=callbacks)


def export_run(folder, out) -> None:
    """Write what a run trained, in 16 bits, as `smollm2.read_smollm2` reads it."""
    with safe_open(Path(folder) / WEIGHTS, "pt") as file:
        said = file.metadata()
        tensors = {
            name: file.get_tensor(f"values.{n}").half().numpy() for n, name in enumerate(json.loads(said["names"]))
        }
    kept = {name: said[name] for name in ("tower", "recipe", "step", "validation")}
    write_tensors(out, FORMAT, kept, tensors)


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m codeckit.training.smollm2", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    part = commands.add_parser("train", help="train, or go on training")
    part.add_argument("--pool", required=True, metavar="FILE")
    part.add_argument("--out", required=True, metavar="FOLDER")
    part.add_argument("--minutes", type=float)
    part = commands.add_parser("export", help="write what was trained")
    part.add_argument("--run", required=True, metavar="FOLDER")
    part.add_argument("--out", required=True, metavar="FILE")
    options = parser.parse_args(arguments)
    if options.command == "export":
        export_run(options.run, options.out)
        return
    reader = SmolReader(*load_smollm2())
    found = train(load_pool(options.pool), options.out, load_mllm(), reader, minutes=options.minutes, progress=True)
    print(json.dumps(found), file=sys.stderr)


if __name__ == "__main__":
    main()
