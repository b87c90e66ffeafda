"""Train the small vision transformer: distilled from EfficientNet-Lite2 on a few thousand pictures, on one CPU core.

    python -m codeckit.training.vit teach --labelled IMAGENETTE/train --photographs FOLDER … --out lessons.safetensors
    python -m codeckit.training.vit train --lessons lessons.safetensors --out runs/vit
    python -m codeckit.training.vit export --run runs/vit --out FILE

3,500 labelled pictures are few for a transformer, and one core is little. What makes it possible:

**Lessons, once.** The teacher sees every picture a single time, as a whole. Kept is its last map, 8×8 positions, as
principal components (`COMPONENTS`) and as class scores (its last layer is linear, so the scores of a region are the
mean of the scores of its positions). Nothing of the teacher is needed after that.

**Views.** The stem is frozen, so its maps can be computed beforehand, too: of the whole picture and of a random
crop, half of these mirrored, with other contrast and light. The same affine sampling that cuts a crop out of the
picture cuts the lesson out of the teacher's map: for each token of the student what the teacher saw *there* (L. Beyer
et al., "Knowledge distillation: A good teacher is patient and consistent", CVPR 2022, ask for equal crops for both; S.
Yun et al., "Re-labeling ImageNet", CVPR 2021, cut the labels of crops out of a map as here).

**Many targets for each picture.** Every token of the tower has to predict the teacher's features at its place; both
class tokens those of the whole crop, which teaches the tower's attention where to look; and the logits have to agree
with the teacher's and with the label. Photographs without labels teach all of this but the last.

**Half of the tokens** in most steps, chosen at random, which costs less than half (Y. Liu et al., "PatchDropout", WACV
2023). As a by-product the network gets used to tokens that are missing; compare token reducers on it with that in mind.

A run's folder is that of `training.loop`, and resuming is exact. Some labelled pictures are held out for validation.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..codecs.image_io import picture_files, read_image, write_atomically
from ..metrics.tasks import IMAGENETTE
from ..primitives.tokens.backbones import load_backbone
from ..primitives.tokens.vit import VisionTransformer, VitSize, load_stem, write_vit
from .callbacks import WEIGHTS, Average, Callback, Clip, LearningRate, Seeding
from .loop import Task, run

#: Side of the pictures that are kept, and of those that the teacher sees.
SIDE, TEACHER_SIDE = 160, 256

#: Principal components of the teacher's features that are taught.
COMPONENTS = 128

#: Views of each picture; the first is the whole.
VIEWS = 2

TEACHER = "efficientnet-lite2"


@dataclass(frozen=True)
class VitRecipe:
    """What the network is made with.

    Attributes:
        steps, batch: length of the training and views a step.
        labelled: share of labelled pictures in a batch.
        tokens: how many a step sees, of the 100.
        sparse: share of the steps, from the first on, that see so few; the others see all.
        learning_rate, warmup: the highest, of AdamW, and the steps until then; it falls along half a cosine.
        weight_decay: of matrices.
        clip: largest norm of the gradients.
        ema: decay of the moving average.
        held_out: labelled pictures for validation, of each class.
        report: steps from one checkpoint to the next.
        seed: of all random numbers.
    """

    steps: int = 1600
    batch: int = 48
    labelled: float = 0.75
    tokens: int = 50
    sparse: float = 0.9
    learning_rate: float = 1e-3
    warmup: int = 100
    weight_decay: float = 0.05
    clip: float = 1.0
    ema: float = 0.996
    held_out: int = 25
    report: int = 250
    seed: int = 0


RECIPE = VitRecipe()


def teach(labelled, photographs, out, progress=print) -> None:
    """Have the teacher see all pictures once and write the lessons.

    Args:
        labelled: folder with a folder of pictures for each class, named by its WordNet number.
        photographs: folders of pictures without labels, searched recursively.
        out: the file.
    """
    classes = sorted(path.name for path in Path(labelled).iterdir() if path.is_dir())
    pictures, labels = [], []
    for index, name in enumerate(classes):
        for path in picture_files(Path(labelled) / name):
            pictures.append(_square(read_image(path)))
            labels.append(index)
    for folder in photographs:
        for path in picture_files(folder, recursive=True):
            pixels = read_image(path)
            if pixels.ndim == 3:
                pictures.append(_square(pixels))
                labels.append(-1)
    pictures, labels = torch.from_numpy(np.stack(pictures)), torch.tensor(labels)
    backbone = load_backbone(TEACHER)
    network = backbone._network
    indices = torch.tensor([IMAGENETTE[name] for name in classes])
    maps = []
    for start in range(0, len(pictures), 16):
        x = pictures[start : start + 16].permute(0, 3, 1, 2).float()
        x = F.interpolate(x, (TEACHER_SIDE, TEACHER_SIDE), mode="bicubic", align_corners=False).clamp(0, 255)
        x = ((x - 127) / 128).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            x = backbone._blocks(backbone._stem(x), 0, len(network._blocks))
            maps.append(network._swish(network._bn1(network._conv_head(x))).half())
        if start % 512 == 0:
            progress(f"{start} of {len(pictures)} pictures")
    maps = torch.cat(maps)  # [M,1280,8,8]
    weight, bias = network._fc.weight[indices, :, None, None], network._fc.bias[indices]
    scores = torch.cat([F.conv2d(part.float(), weight, bias) for part in maps.split(256)])
    right = (scores.mean((2, 3)).argmax(1) == labels)[labels >= 0].float().mean()
    progress(f"the teacher is right about {right:.2%} of the labelled pictures")
    # Principal components of single positions and of means together: both are taught.
    rows = maps[::2].float().permute(0, 2, 3, 1).reshape(-1, 1280)
    rows = torch.cat([rows[:: max(1, len(rows) // 40000)], maps.float().mean((2, 3))])
    mean = rows.mean(0)
    values, vectors = torch.linalg.eigh((rows - mean).T @ (rows - mean) / len(rows))
    values, basis = values.flip(0)[:COMPONENTS], vectors.flip(1)[:, :COMPONENTS]
    basis = basis / values**0.25  # half-way to equal variances
    basis = basis / values.sqrt().mean().sqrt()  # mean variance 1
    parts = [torch.einsum("bchw,cd->bdhw", m.float() - mean[:, None, None], basis).half() for m in maps.split(256)]
    taught = {"labels": labels, "features": torch.cat(parts).contiguous(), "scores": scores.half().contiguous()}
    tensors = taught | views(pictures, progress)
    write_atomically(out, save(tensors, {"classes": json.dumps(classes), "teacher": TEACHER}))


def views(pictures, progress=print, seed: int = 0) -> dict:
    """The stem's maps of `VIEWS` views of each picture, and where these were taken.

    Args:
        pictures: uint8 [M,S,S,3].
        progress: takes a line now and then.
        seed: of the crops.

    Returns:
        "maps" float16 [M,VIEWS,C,10,10] and "crops" float32 [M,VIEWS,2,3], for `affine_grid`.
    """
    stem = load_stem()
    rng = np.random.default_rng(seed)
    maps, crops = [], []
    for start in range(0, len(pictures), 16):
        x = pictures[start : start + 16].permute(0, 3, 1, 2).float().repeat_interleave(VIEWS, 0)
        theta = _random_crops(rng, len(x))
        theta[::VIEWS] = torch.tensor([[1.0, 0, 0], [0, 1, 0]])
        x = F.grid_sample(
            x,
            F.affine_grid(theta, (len(x), 3, stem.side, stem.side), align_corners=False),
            padding_mode="border",
            align_corners=False,
        )
        contrast = torch.from_numpy(rng.uniform(0.8, 1.25, (len(x), 1, 1, 1)).astype(np.float32))
        light = torch.from_numpy(rng.uniform(-20, 20, (len(x), 1, 1, 1)).astype(np.float32))
        tint = torch.from_numpy(rng.uniform(-6, 6, (len(x), 3, 1, 1)).astype(np.float32))
        changed = ((x - 127) * contrast + 127 + light + tint).clamp(0, 255)
        changed[::VIEWS] = x[::VIEWS]
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            maps.append(stem.maps(changed).half().unflatten(0, (-1, VIEWS)))
        crops.append(theta.unflatten(0, (-1, VIEWS)))
        if start % 512 == 0:
            progress(f"views of {start} of {len(pictures)} pictures")
    return {"maps": torch.cat(maps).contiguous(), "crops": torch.cat(crops).contiguous()}


def _random_crops(rng, count):
    """Crops of 0.3 … 1 of the area, half of them mirrored: float32 [count,2,3]."""
    area, ratio = rng.uniform(0.3, 1, count), np.exp(rng.uniform(-0.25, 0.25, count))
    width, height = np.minimum(np.sqrt(area * ratio), 1), np.minimum(np.sqrt(area / ratio), 1)
    theta = np.zeros((count, 2, 3), np.float32)
    theta[:, 0, 0], theta[:, 0, 2] = width * rng.choice([-1.0, 1.0], count), rng.uniform(width - 1, 1 - width)
    theta[:, 1, 1], theta[:, 1, 2] = height, rng.uniform(height - 1, 1 - height)
    return torch.from_numpy(theta)


def _square(pixels: np.ndarray) -> np.ndarray:
    """The middle of a picture, uint8 [SIDE,SIDE,3]."""
    from PIL import Image

    image = Image.fromarray(pixels).convert("RGB")
    scale = SIDE / min(image.size)
    width, height = (max(SIDE, round(extent * scale)) for extent in image.size)
    image = image.resize((width, height), Image.Resampling.LANCZOS) if scale != 1 else image
    left, top = (width - SIDE) // 2, (height - SIDE) // 2
    return np.asarray(image.crop((left, top, left + SIDE, top + SIDE)))


@dataclass(frozen=True, eq=False)
class Lessons:
    """What `teach` wrote: labels [M] (−1: none), the teacher's features and scores, the views' maps and crops."""

    labels: Tensor
    features: Tensor
    scores: Tensor
    maps: Tensor
    crops: Tensor
    classes: tuple[str, ...]


def load_lessons(path) -> Lessons:
    """Read what `teach` wrote."""
    with safe_open(path, "pt") as file:
        classes = tuple(json.loads(file.metadata()["classes"]))
        return Lessons(*(file.get_tensor(name) for name in ("labels", "features", "scores", "maps", "crops")), classes)


class Terms(NamedTuple):
    """What a step measures: the loss, and its parts, each a mean over the batch.

    Attributes:
        loss: the sum of the parts by `PARTS`.
        label: cross-entropy of the logits with the teacher's scores and the label.
        tokens, tower, reader: squared errors of the predictions of the teacher's features, by each token at its place
            and by both class tokens of the whole.
    """

    loss: Tensor
    label: Tensor
    tokens: Tensor
    tower: Tensor
    reader: Tensor


#: Weights of the parts of the loss. Means over a crop vary less than single positions.
PARTS = {"label": 1.0, "tokens": 1.0, "tower": 2.0, "reader": 3.0}


class Student(nn.Module):
    """The network and the layers that only training needs, which predict the teacher's features; and their loss."""

    def __init__(self, size: VitSize):
        super().__init__()
        self.network = VisionTransformer(size)
        norm, linear = nn.LayerNorm, nn.Linear
        self.of_tokens = nn.Sequential(norm(size.channels), linear(size.channels, COMPONENTS))
        self.of_tower = nn.Sequential(norm(size.channels), linear(size.channels, COMPONENTS))
        self.of_reader = linear(size.channels, COMPONENTS)

    def forward(self, maps: Tensor, labels: Tensor, features: Tensor, scores: Tensor, kept: Tensor | None) -> Terms:
        """Terms of a batch as `make_batch` makes it, seen through the tokens that are `kept` [B,K] (None: all)."""
        logits, tokens, tower, reader = self.predict(maps, kept)
        whole = features.mean(1)
        if kept is not None:
            features = features.gather(1, kept[..., None].expand(-1, -1, features.shape[2]))
        known = labels >= 0
        target = 0.5 * F.one_hot(labels[known], scores.shape[1]) + 0.5 * scores[known].softmax(1)
        parts = {
            "label": F.cross_entropy(logits.float()[known], target),
            "tokens": F.mse_loss(tokens.float(), features),
            "tower": F.mse_loss(tower.float(), whole),
            "reader": F.mse_loss(reader.float(), whole),
        }
        return Terms(sum(PARTS[name] * value for name, value in parts.items()), **parts)

    def predict(self, maps: Tensor, kept: Tensor | None):
        """Logits, and predictions of features: by the kept tokens, and by both class tokens."""
        network = self.network
        x = network.embed(maps)
        if kept is not None:
            x = x.gather(1, kept[..., None].expand(-1, -1, x.shape[2]))
        x = network.start(x, network.tower_class)
        for block in network.tower:
            x = block(x)
        embedding = network.embedding(x[:, 1:])
        return network.head(embedding), self.of_tokens(x[:, 1:]), self.of_tower(x[:, 0]), self.of_reader(embedding)


def make_batch(lessons: Lessons, groups, recipe: VitRecipe, rng: np.random.Generator):
    """Maps [B,C,10,10], labels [B] (−1: none), the teacher's features [B,100,D] and scores [B,classes] of views."""
    count, mine = recipe.batch, round(recipe.batch * recipe.labelled)
    which = torch.from_numpy(np.concatenate([rng.choice(groups[0], mine), rng.choice(groups[1], count - mine)]))
    view = torch.from_numpy(rng.integers(VIEWS, size=count))
    maps, theta = lessons.maps[which, view].float(), lessons.crops[which, view]
    where = F.affine_grid(theta, (count, 1, *maps.shape[2:]), align_corners=False)
    taught = torch.cat([lessons.features[which], lessons.scores[which]], 1).float()
    taught = F.grid_sample(taught, where, padding_mode="border", align_corners=False)
    features, scores = taught.flatten(2).transpose(1, 2).split([COMPONENTS, len(lessons.classes)], 2)
    return maps, lessons.labels[which], features, scores.mean(1)


def split(lessons: Lessons, recipe: VitRecipe):
    """Positions of labelled pictures to train on, of those without labels, and of those that are held out."""
    rng = np.random.default_rng(recipe.seed)
    labels = lessons.labels.numpy()
    held = np.concatenate(
        [rng.permutation(np.flatnonzero(labels == c))[: recipe.held_out] for c in range(len(lessons.classes))]
    )
    return (np.setdiff1d(np.flatnonzero(labels >= 0), held), np.flatnonzero(labels < 0)), held


@torch.no_grad()
def validate(network: VisionTransformer, lessons: Lessons, held) -> float:
    """Accuracy on whole held-out pictures."""
    right = 0
    for part in torch.from_numpy(held).split(50):
        right += int((network(lessons.maps[part, 0].float()).argmax(1) == lessons.labels[part]).sum())
    return right / len(held)


class VitTask(Task):
    """The transformer, distilled from lessons."""

    def __init__(self, lessons: Lessons, recipe: VitRecipe, size: VitSize):
        self.lessons, self.recipe, self.size = lessons, recipe, size
        self.groups, self.held = split(lessons, recipe)
        torch.manual_seed(recipe.seed)
        self.objective = Student(size)
        self.network = self.objective.network
        groups = {True: [], False: []}  # matrices, which decay, and the others
        for name, parameter in self.objective.named_parameters():
            groups[parameter.ndim > 1 and not name.endswith(("position", "_class"))].append(parameter)
        self.optimizer = torch.optim.AdamW(
            [
                {"params": groups[True], "peak": recipe.learning_rate, "weight_decay": recipe.weight_decay},
                {"params": groups[False], "peak": recipe.learning_rate, "weight_decay": 0.0},
            ],
            betas=(0.9, 0.98),
            fused=True,
        )

    def batch(self, rng, step):
        """A batch of `make_batch`, and the tokens that the step sees."""
        recipe, kept = self.recipe, None
        if step < recipe.sparse * recipe.steps:
            cells = self.lessons.maps.shape[3] * self.lessons.maps.shape[4]
            order = rng.random((recipe.batch, cells)).argsort(1)[:, : recipe.tokens]
            kept = torch.from_numpy(np.sort(order, 1))
        return *make_batch(self.lessons, self.groups, recipe, rng), kept

    def validate(self, network):
        """Accuracy on the held-out pictures."""
        return {"accuracy": validate(network, self.lessons, self.held)}

    def metadata(self):
        """The network's size, and its classes."""
        return {"size": json.dumps(asdict(self.size)), "classes": json.dumps(self.lessons.classes)}


def train(
    lessons: Lessons,
    out,
    recipe: VitRecipe = RECIPE,
    size: VitSize | None = None,
    minutes: float | None = None,
    *,
    progress: bool = False,
    callbacks: Iterable[Callback] = (),
) -> dict:
    """Train on a CPU, or go on training: arguments and result as of `training.loop.run`, whose folder `out` is."""
    task = VitTask(lessons, recipe, size or VitSize())
    rules = [
        Seeding(recipe.seed),
        LearningRate(recipe.steps, recipe.warmup),
        Clip(recipe.clip),
        Average(task.network, recipe.ema),
    ]
    around = {"minutes": minutes, "progress": progress, "callbacks": callbacks}
    return run(task, recipe, rules, out, bfloat16=True, **around)


def export_run(folder, out) -> None:
    """Write the weights of a run in 16 bits, as they ship."""
    with safe_open(Path(folder) / WEIGHTS, "pt") as file:
        said = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    write_vit(out, said, {name: (t.half() if t.is_floating_point() else t).numpy() for name, t in tensors.items()})


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m codeckit.training.vit", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    part = commands.add_parser("teach", help="have the teacher see all pictures")
    part.add_argument("--labelled", required=True, metavar="FOLDER", help="a folder for each class")
    part.add_argument("--photographs", nargs="*", default=[], metavar="FOLDER", help="without labels")
    part.add_argument("--out", required=True, metavar="FILE")
    part = commands.add_parser("train", help="train, or go on training")
    part.add_argument("--lessons", required=True, metavar="FILE")
    part.add_argument("--out", required=True, metavar="FOLDER")
    part.add_argument("--minutes", type=float)
    part = commands.add_parser("export", help="write the weights as they ship")
    part.add_argument("--run", required=True, metavar="FOLDER")
    part.add_argument("--out", required=True, metavar="FILE")
    options = parser.parse_args(arguments)

    def progress(line):
        print(line, file=sys.stderr, flush=True)

    if options.command == "teach":
        teach(options.labelled, options.photographs, options.out, progress)
    elif options.command == "export":
        export_run(options.run, options.out)
    else:
        lessons = load_lessons(options.lessons)
        print(json.dumps(train(lessons, options.out, minutes=options.minutes, progress=True)))


if __name__ == "__main__":
    main()
