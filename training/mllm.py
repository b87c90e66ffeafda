"""Train the multimodal language model on scenes: tower, projector and language model together, on one CPU core.

    python -m codeckit.training.mllm make --objects IMAGENETTE/train --backgrounds FOLDER … --out pool.safetensors
    python -m codeckit.training.mllm train --pool pool.safetensors --out runs/mllm
    python -m codeckit.training.mllm export --run runs/mllm --out mllm-scenes.safetensors

**The pool.** Scenes are drawn once, with the stem's maps of them, which is frozen. Their questions are drawn anew each
time a scene is seen. Backgrounds on which a classifier sees one of the ten classes are left out.

**Four losses.** The answers' words teach everything. Alone they teach it slowly: a question tells a model that sees
nothing yet hardly more than its bits. Three other losses tell it more, and the layers for them are thrown away:

- *cells*: each token of the tower tells what lies at its place (kind, colour, letter), and which place that is: no
  linear map found that in its tokens before, and questions on places stayed at chance;
- *shown*: the class token tells what the scene shows, and in the last block it looks at the objects. Without this loss
  the tokens that it looked at most told less than as many at random. These two stand for what LLaVA's tower knows from
  CLIP;
- *looks*: where an answer is due, a head of the fifth layer looks at the objects in question, and one of the eighth at
  the right option. Without it 700 steps of 24 scenes taught counting alone; with it existence, reading, place and
  counting stood at 87 to 92 % after 600 steps of 8, and choice, which was not told the option, still at chance.

**Two optimizers.** Muon moves the matrices inside of the transformers, AdamW everything else. In the same number of
steps (300 of 8 scenes, the tower trained before) 91 % of the questions about colours are answered right, with AdamW
alone 41 %.

**No token is dropped.** Those who reduce tokens shall meet a model that has always seen all of them, as in the papers.

A run's folder is that of `training.loop`, and resuming is exact.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ..codecs.image_io import write_atomically
from ..metrics.tasks.scenes.backgrounds import without_our_classes
from ..metrics.tasks.scenes.questions import ANSWER, CATEGORIES, LONGEST, VOCABULARY, Question, ask, easy
from ..metrics.tasks.scenes.scene import (
    CELL_COLOURS,
    CELL_KINDS,
    CELL_LETTERS,
    CLASSES,
    COLOURS,
    SHAPES,
    SIDE,
    Photographs,
    Scene,
    cell_truth,
    cells_of,
    draw_scene,
    presence,
    render,
)
from ..metrics.tasks.scenes.words import numbers, taught
from ..primitives.tokens.mllm import Inside, LanguageSize, Mllm, Texts, texts, write_mllm
from ..primitives.tokens.vit import FORMAT, SHIPPED, VitSize, load_stem
from ..primitives.weights import read_tensors
from .callbacks import WEIGHTS, Average, Callback, Clip, LearningRate, Seeding
from .loop import Task, run
from .together import Together

#: One of so many photographs of a class is kept for the scenes of the validation.
_HELD_OUT = 12


@dataclass(frozen=True)
class MllmRecipe:
    """What the model is made with.

    Attributes:
        steps, batch: length of the training and scenes a step.
        questions: of each scene in a step.
        learning_rate: the highest, of AdamW, which moves what is no matrix of a transformer; it falls along half a
            cosine.
        matrices: the highest, of Muon, which moves these matrices; likewise.
        warmup: steps until the highest.
        weight_decay: of matrices.
        clip: largest norm of the gradients.
        ema: decay of the moving average.
        cells, shown, looks: weights of the losses of what lies at each place, of what the scene shows, and of where
            the language model looks.
        looking, choosing: layers of the language model, counted from 1, whose first head is told where to look: at the
            objects in question, and of four options at the right one.
        alone: steps at the beginning in which the tower learns alone.
        report: steps from one checkpoint to the next.
        seed: of all random numbers.
    """

    steps: int = 3100
    batch: int = 8
    questions: int = 20
    learning_rate: float = 1e-3
    matrices: float = 0.01
    warmup: int = 150
    weight_decay: float = 0.02
    clip: float = 1.0
    ema: float = 0.998
    cells: float = 1.0
    shown: float = 0.5
    looks: float = 0.5
    looking: int = 5
    choosing: int = 8
    alone: int = 1000
    report: int = 775
    seed: int = 0


RECIPE = MllmRecipe()

TOWER = VitSize(grid=SIDE // 16, reader=0)
LANGUAGE = LanguageSize(len(VOCABULARY), LONGEST, ANSWER)


class Pool(NamedTuple):
    """Scenes to learn from, those for validation at the end.

    Attributes:
        maps: of the stem, float16 [N,C,16,16].
        scenes: their truth.
        held_out: how many are for validation.
    """

    maps: Tensor
    scenes: list[Scene]
    held_out: int


def make(out, count: int, held_out: int, photographs: Photographs, seed: int = 0, progress=print) -> None:
    """Draw scenes and write the pool.

    Args:
        out: the file.
        count, held_out: numbers of scenes to train on and to validate on.
        photographs: what they are made of; one of 12 objects of each class is for validation alone.
        seed: of all choices.
        progress: takes a line now and then.
    """
    stem = load_stem()
    held = tuple(files[::_HELD_OUT] for files in photographs.classes)
    rest = tuple(tuple(f for n, f in enumerate(files) if n % _HELD_OUT) for files in photographs.classes)
    maps, labels = [], []
    for start in range(0, count + held_out, 16):
        pictures = []
        for n in range(start, min(start + 16, count + held_out)):
            chosen = replace(photographs, classes=rest if n < count else held)
            scene = draw_scene(np.random.default_rng((seed, n)), chosen)
            pictures.append(render(scene, chosen))
            labels.append(scene.label)
        x = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float()
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            maps.append(stem.maps(x).half())
        if start % 1024 == 0:
            progress(f"{start} of {count + held_out} scenes")
    said = {"labels": json.dumps(labels), "held_out": str(held_out)}
    write_atomically(out, save({"maps": torch.cat(maps).contiguous()}, said))


def load_pool(path) -> Pool:
    """Read what `make` wrote."""
    with safe_open(path, "pt") as file:
        said = file.metadata()
    scenes = [Scene.of(label) for label in json.loads(said["labels"])]
    return Pool(load_file(path)["maps"], scenes, int(said["held_out"]))


class Terms(NamedTuple):
    """What a step measures: the loss, and its parts.

    Attributes:
        loss: their weighted sum.
        answers: cross-entropy of the answers' words, mean over the questions; None while the tower learns alone.
        looks: −ln of the attention that goes to the objects in question, likewise.
        cells: of what lies at each place: kind, colour and letter together; and of which place it is.
        shown: of what the scene shows, and of where the class token looks.
    """

    loss: Tensor
    answers: Tensor | None
    looks: Tensor | None
    cells: Tensor
    shown: Tensor


#: Weight of the squared error of a token's place, whose coordinates go from −1 to 1, beside the other losses of cells.
_PLACES = 4.0


class Teaching(nn.Module):
    """The model, the layers that only training needs, and their loss."""

    def __init__(self, tower: VitSize, language: LanguageSize, recipe: MllmRecipe):
        super().__init__()
        self.recipe = recipe
        self.network = Mllm(tower, language)
        kinds = len(CELL_KINDS), len(CELL_COLOURS), len(CELL_LETTERS)
        self.of_cells = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(tower.channels), nn.Linear(tower.channels, count)) for count in kinds
        )
        self.of_place = nn.Sequential(nn.LayerNorm(tower.channels), nn.Linear(tower.channels, 2))
        at = torch.linspace(-1, 1, tower.grid)
        self.register_buffer("place", torch.cartesian_prod(at, at), persistent=False)  # row and column of each token
        shown = len(CLASSES) + len(SHAPES) * (1 + len(COLOURS))
        self.of_scene = nn.Sequential(nn.LayerNorm(tower.channels), nn.Linear(tower.channels, shown))

    def forward(self, maps: Tensor, lesson: "Lesson | None", cells: Tensor, shown: Tensor, salience: Tensor) -> Terms:
        """Terms of a batch.

        Args:
            maps: of the stem, [B,C,16,16].
            lesson: questions; None while the tower learns alone.
            cells: `cell_truth`, int64 [B,3,256].
            shown: `presence`, float32 [B,46].
            salience: `salience`, float32 [B,256].
        """
        seen, looks = self.network.tower.looks(maps)
        dense = torch.zeros(())
        for n, layer in enumerate(self.of_cells):
            weight = torch.ones(layer[1].out_features)
            weight[0] = 0.2  # most cells show nothing
            dense = dense + F.cross_entropy(layer(seen.tokens).float().flatten(0, 1), cells[:, n].flatten(), weight)
        found = self.of_place(seen.tokens).float()
        dense = dense + _PLACES * F.mse_loss(found, self.place.expand_as(found))
        presence = 10 * F.binary_cross_entropy_with_logits(self.of_scene(seen.class_state).float(), shown)
        attention = looks[-1].attention.float().clamp_min(1e-6).log()
        presence = presence - (salience * attention).sum(1).mean()
        loss = self.recipe.cells * dense + self.recipe.shown * presence
        if lesson is None:
            return Terms(loss, None, None, dense, presence)
        watched: dict[int, Tensor] = {}

        def watch(inside: Inside):
            if inside.layer in (self.recipe.looking, self.recipe.choosing):
                watched[inside.layer] = inside.looks(head=0)

        logits = self.network.language(seen.tokens, lesson.asked, watch)
        answers = F.cross_entropy(logits.float().flatten(0, 1), lesson.targets.flatten(), ignore_index=-1)
        visual = watched[self.recipe.looking][:, :, : seen.tokens.shape[1]]
        there = (visual * lesson.where).sum(2)[lesson.where.any(2)].clamp_min(1e-6).log().mean().neg()
        words = watched[self.recipe.choosing][:, :, seen.tokens.shape[1] :].clamp_min(1e-6).log()
        choices = (lesson.options >= 0).sum().clamp_min(1)  # a small batch may have none
        missed = F.nll_loss(words.flatten(0, 1), lesson.options.flatten(), ignore_index=-1, reduction="sum")
        there = there + missed / choices
        return Terms(loss + answers + self.recipe.looks * there, answers, there, dense, presence)


class Lesson(NamedTuple):
    """Questions about pictures, as a batch of `Teaching`.

    Attributes:
        asked: the questions with their answers but for the last words.
        targets: the word that follows each word, int64 [B,L]; −1 where that is no word of an answer.
        where: the cells that the answer rests on, bool [B,L,256]; none where nobody says.
        options: where in the row the right option stands, int64 [B,L]; −1 where there is no choice to make.
    """

    asked: Texts
    targets: Tensor
    where: Tensor
    options: Tensor


def lesson(asked: Sequence[Sequence[Question]]) -> Lesson:
    """The lesson of questions, those of a picture side by side."""
    words = texts([taught(questions) for questions in asked])
    targets, options = (torch.full(words.words.shape, -1) for _ in range(2))
    where = torch.zeros(*words.words.shape, (SIDE // 16) ** 2, dtype=torch.bool)
    for row, questions in enumerate(asked):
        at = 0
        for question in questions:
            due = at + len(question.words) - 1
            if question.category == "choice":
                options[row, due] = at + question.words.index(question.answer[0]) + 1
            for n, number in enumerate(numbers(question.answer)):
                targets[row, due + n] = number
                letter = n if len(question.answer) > 1 else question.letter
                for thing in question.about:
                    where[row, due + n] |= torch.from_numpy(cells_of(thing, letter).reshape(-1))
            at = due + len(question.answer)
    return Lesson(words, targets, where, options)


def salience(scene: Scene) -> np.ndarray:
    """Where a look should go: each object has the same share, its cells too; float32 [256], sum 1."""
    found = np.zeros((SIDE // 16) ** 2, np.float32)
    for thing in scene.objects:
        inside = cells_of(thing).ravel()
        found += inside / max(inside.sum(), 1)
    return found / found.sum()


class MllmTask(Task):
    """The model, on a pool of scenes."""

    def __init__(self, pool: Pool, recipe: MllmRecipe, tower: VitSize, language: LanguageSize, start=None):
        self.pool, self.recipe, self.tower, self.language = pool, recipe, tower, language
        torch.manual_seed(recipe.seed)
        self.objective = Teaching(tower, language, recipe)
        self.network = self.objective.network
        if start is not None:
            begin_tower(self.network.tower, start)
        matrices, others = [], []
        for name, parameter in self.objective.named_parameters():
            inside = parameter.ndim == 2 and (".layers." in name or ".tower.tower." in name)
            (matrices if inside else others).append(parameter)
        decay = recipe.weight_decay
        self.optimizer = Together(
            torch.optim.AdamW([{"params": others, "peak": recipe.learning_rate}], betas=(0.9, 0.98), weight_decay=0.0),
            torch.optim.Muon(
                [{"params": matrices, "peak": recipe.matrices}], weight_decay=decay, adjust_lr_fn="original"
            ),
        )

    def batch(self, rng, step):
        """Scenes at random, and questions about them that nobody has asked."""
        chosen = rng.integers(len(self.pool.scenes) - self.pool.held_out, size=self.recipe.batch)
        scenes = [self.pool.scenes[n] for n in chosen]
        asked = lesson([self._questions(scene, rng) for scene in scenes]) if step >= self.recipe.alone else None
        cells = torch.from_numpy(np.stack([cell_truth(scene).reshape(3, -1) for scene in scenes]).astype(np.int64))
        shown = torch.from_numpy(np.stack([presence(scene) for scene in scenes]))
        looks = torch.from_numpy(np.stack([salience(scene) for scene in scenes]))
        return self.pool.maps[chosen].float(), asked, cells, shown, looks

    def _questions(self, scene, rng) -> list[Question]:
        questions = ask(scene, int(rng.integers(1 << 31))) + easy(scene, rng)
        return [questions[n] for n in rng.permutation(len(questions))[: self.recipe.questions]]

    def validate(self, network):
        """Accuracy of each category on the scenes held out, in percent; and with a quarter of the tokens left: those
        that the class token looks at most, and as many at random."""
        maps = self.pool.maps[len(self.pool.scenes) - self.pool.held_out :]
        scenes = self.pool.scenes[len(self.pool.scenes) - self.pool.held_out :]
        rng = np.random.default_rng(self.recipe.seed)
        right: dict[str, list[bool]] = {name: [] for name in (*CATEGORIES, "looked at", "random")}
        for start in range(0, len(scenes), 32):
            part = scenes[start : start + 32]
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                seen, looks = network.tower.looks(maps[start : start + 32].float())
            questions = [ask(scene) for scene in part]
            quarter = seen.tokens.shape[1] // 4
            ways = {
                "": seen.tokens,
                "looked at": _only(seen.tokens, looks[-1].attention.float().topk(quarter).indices.sort().values),
                "random": _only(
                    seen.tokens, torch.from_numpy(rng.random(seen.tokens.shape[:2])).topk(quarter).indices.sort().values
                ),
            }
            for way, tokens in ways.items():
                with torch.autocast("cpu", torch.bfloat16):
                    answers = network.language.answer(
                        tokens,
                        [[numbers(q.words) for q in each] for each in questions],
                        [[len(q.answer) for q in each] for each in questions],
                    )
                for picture, given in zip(questions, answers, strict=True):
                    for question, answer in zip(picture, given, strict=True):
                        right[way or question.category].append(answer == numbers(question.answer))
        return {name: round(100 * float(np.mean(each)), 2) for name, each in right.items()}

    def metadata(self):
        """The dimensions, and the vocabulary."""
        return {
            "tower": json.dumps(asdict(self.tower)),
            "language": json.dumps(asdict(self.language)),
            "words": json.dumps(VOCABULARY),
        }


class Rates(LearningRate):
    """`LearningRate`, which rises once more when the language model begins to learn.

    Args:
        last, warmup: as of `LearningRate`.
        alone: steps in which the tower learns alone.
    """

    def __init__(self, last: int, warmup: int, alone: int):
        super().__init__(last, warmup)
        self.alone = alone

    def before_step(self, loop):
        super().before_step(loop)
        if loop.step >= self.alone > 0:
            for group in loop.task.optimizer.param_groups:
                group["lr"] *= min(1.0, (loop.step - self.alone + 1) / self.warmup)


def _only(tokens: Tensor, kept: Tensor) -> Tensor:
    return tokens.gather(1, kept[..., None].expand(-1, -1, tokens.shape[2]))


def begin_tower(tower: nn.Module, weights: dict[str, np.ndarray]) -> None:
    """Give a tower the weights of another, its position embedding brought to the size of its grid."""
    own = tower.state_dict()
    for name, value in own.items():
        given = torch.from_numpy(np.asarray(weights[name])).to(value.dtype)
        if given.shape != value.shape:
            given = F.interpolate(given, value.shape[2:], mode="bicubic", align_corners=False)
        own[name] = given
    tower.load_state_dict(own)


def train(
    pool: Pool,
    out,
    recipe: MllmRecipe = RECIPE,
    tower: VitSize = TOWER,
    language: LanguageSize = LANGUAGE,
    minutes: float | None = None,
    *,
    start: dict[str, np.ndarray] | None = None,
    progress: bool = False,
    callbacks: Iterable[Callback] = (),
) -> dict:
    """Train on a CPU, or go on training: arguments and result as of `training.loop.run`, whose folder `out` is.

    Args:
        start: weights of a trained tower to begin with.
    """
    task = MllmTask(pool, recipe, tower, language, start)
    rules = [
        Seeding(recipe.seed),
        Rates(recipe.steps, recipe.warmup, recipe.alone),
        Clip(recipe.clip),
        Average(task.network, recipe.ema),
    ]
    return run(task, recipe, rules, out, bfloat16=True, minutes=minutes, progress=progress, callbacks=callbacks)


def battery() -> list[tuple[str, ...]]:
    """Questions that can be asked of every scene: two of each category, whatever their answers are."""
    rng = np.random.default_rng(0)
    asked = [question for _ in range(3) for question in ask(draw_scene(rng))]
    return [question.words for name in CATEGORIES for question in [q for q in asked if q.category == name][:2]]


def export_run(folder, out) -> None:
    """Write the weights of a run in 16 bits, as they ship."""
    with safe_open(Path(folder) / WEIGHTS, "pt") as file:
        said = {**file.metadata(), "battery": json.dumps(battery())}
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    write_mllm(out, said, {name: (t.half() if t.is_floating_point() else t).numpy() for name, t in tensors.items()})


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m codeckit.training.mllm", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    part = commands.add_parser("make", help="draw the scenes to learn from")
    part.add_argument("--objects", required=True, metavar="FOLDER", help="a folder for each class, as Imagenette's")
    part.add_argument("--backgrounds", nargs="*", default=[], metavar="FOLDER", help="of photographs")
    part.add_argument("--count", type=int, default=12_000, metavar="N")
    part.add_argument("--held-out", type=int, default=400, metavar="N")
    part.add_argument("--out", required=True, metavar="FILE")
    part = commands.add_parser("train", help="train, or go on training")
    part.add_argument("--pool", required=True, metavar="FILE")
    part.add_argument("--out", required=True, metavar="FOLDER")
    part.add_argument("--minutes", type=float)
    part = commands.add_parser("export", help="write the weights as they ship")
    part.add_argument("--run", required=True, metavar="FOLDER")
    part.add_argument("--out", required=True, metavar="FILE")
    options = parser.parse_args(arguments)

    def progress(line):
        print(line, file=sys.stderr, flush=True)

    if options.command == "make":
        photographs = Photographs.of(options.objects, options.backgrounds)
        photographs = replace(photographs, backgrounds=without_our_classes(photographs.backgrounds))
        make(options.out, options.count, options.held_out, photographs, progress=progress)
    elif options.command == "export":
        export_run(options.run, options.out)
    else:
        start = read_tensors(SHIPPED, FORMAT)[1]  # the tower of vit-imagenette
        pool = load_pool(options.pool)
        print(json.dumps(train(pool, options.out, minutes=options.minutes, start=start, progress=True)))


if __name__ == "__main__":
    main()
