"""Train an adapter between a learned codec's latents and a vision tower, as CoTAM has it, on one CPU core.

    python -m codeckit.training.cotam make PICTURES … --backbone vit-imagenette --codec balle2017 --out pool.safetensors
    python -m codeckit.training.cotam train --pool pool.safetensors --out runs/adapter
    python -m codeckit.training.cotam train --pool pool.safetensors --out runs/tuned --tune
    python -m codeckit.bench.studies.cotam PICTURES --adapter runs/adapter --tuned runs/tuned

**What is taught.** Tokens of the decoded picture shall be those of the original. Two distances count: a tenth of the
mean squared error after the tower's first block, where a token weighs as much as the quality of its place, and the
mean squared error after the last block. For the first fifth of the steps the first one counts alone. Codec, stem and
tower are frozen, so no labels and no language model are needed.

**The pool.** Each picture is coded once, by a codec with gain units. The quality is drawn, and so is the map of
importance (`random_octaves`): the same everywhere, blocks of 1, 2 or 4 positions of the latents, or a ramp. So the
adapter meets whatever maps users give. Kept are the tower's tokens of the original, the stem's map of the decoded
picture, the latents, and the quality of each position.

**Tuned towers.** `tune=True` trains the tower itself on decoded pictures, by the same loss and without latents. What
that gains is a *generalization gap*, the part of the loss that an encoder can learn to bear without more information.

Source: J. Liu et al., "When MLLMs Meet Compression Distortion: A Coding Paradigm Tailored to MLLMs",
arXiv:2509.24258. A run's folder is that of `training.loop`, and resuming is exact.
"""

import argparse
import copy
import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ..codecs import registry
from ..codecs.image_io import picture_files, read_image, write_atomically
from ..codecs.learned.stages import qualities
from ..primitives.tokens.adapter import LatentAdapter, hidden_states
from ..primitives.tokens.backbones import load_backbone
from ..primitives.tokens.vit import VisionTower
from .callbacks import WEIGHTS, Average, Callback, Clip, LearningRate, Seeding
from .loop import Task, run

#: Qualities that pools are coded at, and the most octaves of importance to either side.
QUALITIES, OCTAVES = (1.0, 5.0), 3.0

#: Side of a position of the latents in pixels.
_STRIDE = 16


@dataclass(frozen=True)
class CotamRecipe:
    """What an adapter is made with.

    Attributes:
        steps, batch: length of the training and pictures a step.
        learning_rate, warmup: the highest, of Adam, and the steps until then; it falls along half a cosine.
        low: weight of the error after the first block.
        low_alone: share of the steps in which it counts alone.
        clip: largest norm of the gradients.
        ema: decay of the moving average.
        report: steps from one checkpoint to the next.
        seed: of all random numbers.
    """

    steps: int = 1000
    batch: int = 32
    learning_rate: float = 1e-3
    warmup: int = 50
    low: float = 0.1
    low_alone: float = 0.2
    clip: float = 1.0
    ema: float = 0.99
    report: int = 100
    seed: int = 0


RECIPE = CotamRecipe()


class Decoded(NamedTuple):
    """Pictures as a decoder has them.

    Attributes:
        pictures: uint8 [B,H,W,3].
        latents: without the scales of gain units, float32 [B,M,h,w].
        qualities: of the positions, float32 [B,h,w].
        streams: bytes of each stream; none if nobody wanted to know.
    """

    pictures: np.ndarray
    latents: Tensor
    qualities: Tensor
    streams: list[int]


def through(coder, pictures: Sequence[np.ndarray], octaves: np.ndarray | None = None, count: bool = False) -> Decoded:
    """Pictures of one size coded and decoded again, with the latents that the decoder has.

    Args:
        coder: a learned codec with gain units.
        pictures: uint8 [H,W,3] each.
        octaves: importance of all of them [H,W], as of `codecs.importance`.
        count: whether to make the streams, too.

    Raises:
        ValueError: a codec without gain units.
    """
    stages = coder.stages
    transform, quantize, entropy = (stages[role] for role in ("transform", "quantize", "entropy"))
    network = transform.weights.load().network if hasattr(transform, "octaves") else None
    if network is None or not network.variable_rate:
        raise ValueError(f"the codec {coder.name} has no gain units; balle2017 and cheng2020 do")
    if octaves is not None:
        transform = transform.weighed(octaves, stages)
    symbols = quantize.forward_many(transform.forward_many([stages["pad"].forward(each) for each in pictures]))
    coded = quantize.inverse_many(symbols)
    images = [stages["pad"].inverse(each) for each in transform.inverse_many(coded)]
    height, width = (-(-extent // _STRIDE) for extent in pictures[0].shape[:2])
    latents, steps = [], []
    for each in coded:
        y_hat = torch.from_numpy(each.planes[0]).permute(2, 0, 1)[None]
        quality = torch.as_tensor(qualities(network, each, "cpu")).float()
        with torch.inference_mode():
            unscaled = network.unscaled(y_hat, quality)
        latents.append(unscaled[0, :, :height, :width])
        steps.append(quality.expand(1, *y_hat.shape[2:])[0, :height, :width])
    sizes = []
    if count:
        used = {**stages, "transform": transform}
        sizes = [len(coder.wrap(used, payload)) for payload in entropy.forward_many(symbols)]
    return Decoded(np.stack(images), torch.stack(latents), torch.stack(steps), sizes)


def square(image: np.ndarray, side: int) -> np.ndarray:
    """The middle of a picture as the tower takes it, uint8 [side,side,3]."""
    picture = Image.fromarray(image).convert("RGB")
    least = min(picture.size)
    left, top = ((extent - least) // 2 for extent in picture.size)
    middle = (left, top, left + least, top + least)
    return np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC, middle))


def random_octaves(rng: np.random.Generator, grid: tuple[int, int]) -> np.ndarray | None:
    """A map of importance at random, float32 [16h,16w] for positions (h, w); None for the same everywhere.

    A quarter is uniform, a quarter are ramps in one of four directions, half are blocks of 1, 2 or 4 positions.
    """
    kind = int(rng.integers(4))
    if kind == 0:
        return None
    if kind == 1:
        down, across = np.mgrid[-1 : 1 : 1j * grid[0], -1 : 1 : 1j * grid[1]]
        cells = (down, -down, across, -across)[rng.integers(4)]
    else:
        block = int(rng.choice([1, 2, 4]))
        drawn = rng.uniform(-1, 1, (-(-grid[0] // block), -(-grid[1] // block)))
        cells = np.kron(drawn, np.ones((block, block)))[: grid[0], : grid[1]]
    strength = OCTAVES * rng.random()
    return np.kron(strength * (cells - cells.mean()), np.ones((_STRIDE, _STRIDE))).astype(np.float32)


def make(out, backbone, coder: str, files: Sequence, seed: int = 0, progress=print) -> None:
    """Code pictures and write the pool.

    Args:
        out: the file.
        backbone: name of a backbone with a tower.
        coder: name of a learned codec with gain units.
        files: pictures; grey ones are left out.
        seed: of qualities and maps.
        progress: takes a line now and then.
    """
    source = load_backbone(backbone)
    rng = np.random.default_rng(seed)
    files = [files[n] for n in rng.permutation(len(files))]
    made: dict[str, list] = {name: [] for name in ("low", "high", "maps", "latents", "qualities")}
    for start in range(0, len(files), 8):
        pictures = [image for path in files[start : start + 8] if (image := read_image(path)).ndim == 3]
        if not pictures:
            continue
        pictures = [square(image, source.side) for image in pictures]
        quality = round(8 * rng.uniform(*QUALITIES)) / 8
        octaves = random_octaves(rng, (source.side // _STRIDE,) * 2)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            decoded = through(registry.codec(coder, quality=quality), pictures, octaves)
            states = hidden_states(source.tower, _maps(source, np.stack(pictures)))
            made["maps"].append(_maps(source, decoded.pictures).half())
        made["low"].append(states[0].half())
        made["high"].append(states[-1].half())
        made["latents"].append(decoded.latents.half())
        made["qualities"].append(decoded.qualities.half())
        if start % 128 == 0:
            progress(f"{start} of {len(files)} pictures")
    tensors = {name: torch.cat(parts).contiguous() for name, parts in made.items()}
    write_atomically(out, save(tensors, {"backbone": backbone, "codec": coder}))


def _maps(backbone, pictures: np.ndarray) -> Tensor:
    return backbone.stem.maps(torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float())


@dataclass(frozen=True, eq=False)
class Pool:
    """What `make` wrote, M pictures; one of sixteen is for validation.

    Attributes:
        backbone, codec: names.
        low, high: the tower's states of the originals after its first and its last block, float16 [M,1+N,C].
        maps: of the stem, of the decoded pictures, float16 [M,S,h,w].
        latents: float16 [M,L,h,w].
        qualities: of the positions, float16 [M,h,w].
    """

    backbone: str
    codec: str
    low: Tensor
    high: Tensor
    maps: Tensor
    latents: Tensor
    qualities: Tensor

    @property
    def held_out(self) -> int:
        """Pictures at the end that are for validation."""
        return max(1, len(self.maps) // 16)

    def batch(self, which) -> tuple[Tensor, ...]:
        """Maps, latents, targets and qualities of some pictures, float32."""
        parts = self.maps, self.latents, self.low, self.high, self.qualities
        return tuple(part[which].float() for part in parts)


def load_pool(path) -> Pool:
    """Read what `make` wrote."""
    with safe_open(path, "pt") as file:
        said = file.metadata()
    return Pool(said["backbone"], said["codec"], **load_file(path))


class Terms(NamedTuple):
    """What a step measures.

    Attributes:
        loss: what is minimized.
        low, high: the errors after the first and the last block.
    """

    loss: Tensor
    low: Tensor
    high: Tensor


class Matching(nn.Module):
    """The distance of a decoded picture's states to those of the original.

    Args:
        tower: it; a copy of it is trained if there are no latents, else it is frozen.
        latents: channels of the latents that an adapter reads; 0 for a tower that is tuned.
        low: weight of the error after the first block.
    """

    def __init__(self, tower: VisionTower, latents: int, low: float):
        super().__init__()
        self.low = low
        tuned = copy.deepcopy(tower).eval()
        self.network = LatentAdapter(latents, tower.size) if latents else tuned.requires_grad_(True)
        self._frozen = (tuned.requires_grad_(False),) if latents else ()  # in a tuple: no part of the state

    def train(self, mode: bool = True):
        """As of modules; normalizations of a tower keep their statistics."""
        super().train(mode and bool(self._frozen))
        return self

    def states(self, network: nn.Module, maps: Tensor, latents: Tensor) -> list[Tensor]:
        """The states of decoded pictures after each block, by an adapter or by a tuned tower."""
        if isinstance(network, LatentAdapter):
            return hidden_states(self._frozen[0], maps, network(latents))
        return hidden_states(network, maps)

    def forward(self, maps, latents, low, high, weights, high_counts: bool = True) -> Terms:
        """Terms of a batch (`Pool.batch`).

        Args:
            maps, latents, low, high: as of `Pool`.
            weights: of the tokens in the error after the first block; only their ratios count.
            high_counts: whether the error after the last block does.
        """
        return self.measured(self.network, maps, latents, low, high, weights, high_counts)

    def measured(self, network, maps, latents, low, high, weights, high_counts=True) -> Terms:
        """The same of another network of the same kind."""
        states = self.states(network, maps, latents)
        weights = F.adaptive_avg_pool2d(weights, maps.shape[2:]).flatten(1)
        weights = F.pad(weights / weights.mean(1, keepdim=True), (1, 0), value=1.0)
        first = (weights * (states[0].float() - low).square().mean(2)).mean()
        last = F.mse_loss(states[-1].float(), high)
        return Terms(self.low * first + last if high_counts else self.low * first, first, last)


class CotamTask(Task):
    """An adapter, or a tower that is tuned, on a pool.

    Args:
        pool: it.
        recipe: how it is trained.
        tower: the tower whose tokens count.
        tune: whether the tower is tuned, without latents.
    """

    def __init__(self, pool: Pool, recipe: CotamRecipe, tower: VisionTower, tune: bool = False):
        self.pool, self.recipe = pool, recipe
        torch.manual_seed(recipe.seed)
        self.objective = Matching(tower, 0 if tune else pool.latents.shape[1], recipe.low)
        self.network = self.objective.network
        group = {"params": list(self.network.parameters()), "peak": recipe.learning_rate / (5 if tune else 1)}
        self.optimizer = torch.optim.Adam([group])

    def batch(self, rng, step):
        """Pictures at random, and whether the error after the last block counts already."""
        which = rng.integers(len(self.pool.maps) - self.pool.held_out, size=self.recipe.batch)
        return *self.pool.batch(which), step >= self.recipe.low_alone * self.recipe.steps

    def validate(self, network):
        """Errors of the pictures held out, after the first and the last block."""
        with torch.no_grad():
            parts = self.pool.batch(slice(len(self.pool.maps) - self.pool.held_out, None))
            terms = self.objective.measured(network, *parts)
        return {"low": round(float(terms.low), 5), "high": round(float(terms.high), 5)}

    def metadata(self):
        """What the weights go with."""
        kind = "adapter" if isinstance(self.network, LatentAdapter) else "tower"
        return {"backbone": self.pool.backbone, "codec": self.pool.codec, "kind": kind}


def train(
    pool: Pool,
    out,
    recipe: CotamRecipe = RECIPE,
    minutes: float | None = None,
    *,
    tower: VisionTower | None = None,
    tune: bool = False,
    progress: bool = False,
    callbacks: Iterable[Callback] = (),
) -> dict:
    """Train on a CPU, or go on training: arguments and result as of `training.loop.run`, whose folder `out` is.

    Args:
        tower: by default that of the pool's backbone.
        tune: whether to tune a copy of the tower instead of an adapter.
    """
    task = CotamTask(pool, recipe, tower or load_backbone(pool.backbone).tower, tune)
    rules = [
        Seeding(recipe.seed),
        LearningRate(recipe.steps, recipe.warmup),
        Clip(recipe.clip),
        Average(task.network, recipe.ema),
    ]
    return run(task, recipe, rules, out, bfloat16=True, minutes=minutes, progress=progress, callbacks=callbacks)


def load_run(folder, tower: VisionTower | None = None) -> tuple[nn.Module, str, str]:
    """The adapter or the tuned tower of a run, and the names of the backbone and the codec that it goes with.

    Args:
        folder: of the run.
        tower: by default that of the backbone.
    """
    path = Path(folder) / WEIGHTS
    with safe_open(path, "pt") as file:
        said = file.metadata()
    tower, tensors = tower or load_backbone(said["backbone"]).tower, load_file(path)
    adapts = said["kind"] == "adapter"
    network = LatentAdapter(tensors["enter.weight"].shape[1], tower.size) if adapts else copy.deepcopy(tower)
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False), said["backbone"], said["codec"]


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m codeckit.training.cotam", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    part = commands.add_parser("make", help="code the pictures to learn from")
    part.add_argument("pictures", nargs="+", metavar="FOLDER", help="searched recursively")
    part.add_argument("--backbone", default="vit-imagenette", metavar="NAME", help="default vit-imagenette")
    part.add_argument("--codec", default="balle2017", metavar="NAME", help="default balle2017")
    part.add_argument("--count", type=int, metavar="N", help="pictures at most, evenly of all")
    part.add_argument("--out", required=True, metavar="FILE")
    part = commands.add_parser("train", help="train, or go on training")
    part.add_argument("--pool", required=True, metavar="FILE")
    part.add_argument("--out", required=True, metavar="FOLDER")
    part.add_argument("--steps", type=int, default=RECIPE.steps, metavar="N")
    part.add_argument("--tune", action="store_true", help="tune the tower, without latents")
    part.add_argument("--minutes", type=float)
    options = parser.parse_args(arguments)

    def progress(line):
        print(line, file=sys.stderr, flush=True)

    if options.command == "make":
        files = [path for folder in options.pictures for path in picture_files(folder, recursive=True)]
        if options.count and options.count < len(files):
            files = [files[int(n)] for n in np.linspace(0, len(files) - 1, options.count)]
        make(options.out, options.backbone, options.codec, files, progress=progress)
    else:
        recipe = dataclasses.replace(RECIPE, steps=options.steps)
        pool = load_pool(options.pool)
        print(json.dumps(train(pool, options.out, recipe, options.minutes, tune=options.tune, progress=True)))


if __name__ == "__main__":
    main()
