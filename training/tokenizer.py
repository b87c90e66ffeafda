"""Train the network of ``tokens-fsq``: photographs to a grid of small integers and back.

    python -m codeckit.training.tokenizer train --data pack.safetensors --out runs/tokenizer
    python -m codeckit.training.tokenizer export --run runs/tokenizer --data pack.safetensors --out FILE

The start is a block transform codec (`codecs.tokens.tokenizer.initialize`): principal components of 16×16 blocks, with
numbers of levels that make all steps equally large. From there the squared error of the pictures is minimized, with a
random number of dimensions (the qualities of the codec) for each batch, and all of them for every other batch. Rounding
passes gradients as if it were not there; tables follow them, too.

Then the causal network (`primitives.entropy.causal`), which predicts each symbol from those around it, is trained on
the symbols of the same photographs, and both go into one file.

A run's folder is that of `training.loop`, and resuming is exact.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

from ..codecs.tokens.fsq import TokenizerModel, write_model
from ..codecs.tokens.tokenizer import PATCH, Tokenizer, initialize, levels_of
from .callbacks import WEIGHTS, Average, Callback, Clip, LearningRate, Seeding
from .causal import fit
from .data import Pack, batch, load_pack
from .loop import Task, run


@dataclass(frozen=True)
class TokenizerRecipe:
    """What the tokenizer is made with.

    Attributes:
        dimensions: D, of a token.
        step: quantization step that the levels aim at, in deviations of a pixel's brightness times 16.
        counts: numbers of dimensions that are trained, one a quality.
        steps, batch, patch: length of the training, pictures a step, their side in pixels.
        learning_rate, warmup: the highest, of AdamW, and the steps until then; it falls along half a cosine.
        clip: largest norm of the gradients.
        ema: decay of the moving average.
        report: steps from one checkpoint to the next.
        seed: of all random numbers.
    """

    dimensions: int = 48
    step: float = 0.6
    counts: tuple[int, ...] = (3, 5, 8, 12, 18, 26, 36, 48)
    steps: int = 2400
    batch: int = 8
    patch: int = 128
    learning_rate: float = 1e-3
    warmup: int = 100
    clip: float = 1.0
    ema: float = 0.997
    report: int = 200
    seed: int = 0


RECIPE = TokenizerRecipe()

#: Learning rates of the parts, as multiples of the recipe's. A block has 768 pixels that are much alike, so what the
#: weights of a principal component move by adds up: a large step would undo the start. And tables have to follow the
#: encoder faster than it moves, or both run away together.
_RATES = {"project": 0.01, "unproject": 0.01, "encode": 0.5, "decode": 1.0, "table": 5.0}

#: Crops that the start is computed from.
_START_CROPS = 800


def start(recipe: TokenizerRecipe, pack: Pack) -> Tokenizer:
    """The network at step 0."""
    crops = pack.training[:_START_CROPS]
    side = crops.shape[1] // PATCH * PATCH
    blocks = crops[:, :side, :side].reshape(len(crops), side // PATCH, PATCH, side // PATCH, PATCH, 3)
    rows = blocks.permute(0, 1, 3, 2, 4, 5).reshape(-1, 3 * PATCH**2)[::5].double() / 255
    deviation = torch.linalg.eigvalsh(torch.cov(rows.T)).flip(0)[: recipe.dimensions].sqrt()
    torch.manual_seed(recipe.seed)
    network = Tokenizer(levels_of(deviation, recipe.step))
    initialize(network, crops)
    return network


@torch.no_grad()
def validate(network: Tokenizer, pack: Pack, counts) -> list[float]:
    """PSNR in dB on held-out crops for each number of dimensions: the mean over crops."""
    side = pack.validation.shape[1] // PATCH * PATCH
    values = {count: [] for count in counts}
    for part in pack.validation[:, :side, :side].split(12):
        x = part.permute(0, 3, 1, 2).float() / 255
        symbols = network.symbols(network.analysis(x))
        for count in counts:
            back = network.synthesis(network.values(symbols[:, :count])).clamp(0, 1)
            error = ((back - x) * 255).square().flatten(1).mean(1)
            values[count].append(10 * torch.log10(255**2 / error))
    return [round(float(torch.cat(found).mean()), 3) for found in values.values()]


class Terms(NamedTuple):
    """What a step measures.

    Attributes:
        loss: to be minimized: the squared error of pixels from 0 to 255, over 255.
        mse: that error if all dimensions were used, or None.
    """

    loss: Tensor
    mse: Tensor | None


class Objective(nn.Module):
    """The tokenizer with its loss."""

    def __init__(self, network: Tokenizer):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, count: int) -> Terms:
        """Terms of pictures [N,3,H,W] in 0 … 1 from the first `count` dimensions of their tokens."""
        y_hat = self.network.rounded(self.network.analysis(x))
        y_hat = torch.cat([y_hat[:, :count], torch.zeros_like(y_hat[:, count:])], 1)
        mse = ((self.network.synthesis(y_hat).float() - x) * 255).square().mean()
        return Terms(mse / 255, mse.detach() if count == y_hat.shape[1] else None)


class TokenizerTask(Task):
    """The tokenizer, trained on random patches."""

    def __init__(self, recipe: TokenizerRecipe, pack: Pack):
        self.recipe, self.pack = recipe, pack
        self.network = start(recipe, pack)
        self.objective = Objective(self.network)
        named = list(self.network.named_parameters())
        groups = [
            {"params": [p for name, p in named if name.startswith(part)], "peak": factor * recipe.learning_rate}
            for part, factor in _RATES.items()
        ]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99), weight_decay=0.0, fused=True)

    def batch(self, rng, step):
        """Patches, and how many dimensions they are coded in."""
        x = batch(self.pack.training, self.recipe.batch, self.recipe.patch, rng)
        return x, self.recipe.dimensions if step % 2 else int(rng.choice(self.recipe.counts))

    def validate(self, network):
        """PSNR for each of the recipe's numbers of dimensions."""
        return validate(network, self.pack, self.recipe.counts)

    def metadata(self):
        """The numbers of levels and the widths of the layers."""
        return {"levels": json.dumps(self.network.levels), "widths": json.dumps(self.network.widths)}


def train(
    recipe: TokenizerRecipe,
    pack: Pack,
    out,
    minutes: float | None = None,
    *,
    progress: bool = False,
    callbacks: Iterable[Callback] = (),
) -> dict:
    """Train on a CPU, or go on training: arguments and result as of `training.loop.run`, whose folder `out` is."""
    task = TokenizerTask(recipe, pack)
    rules = [
        Seeding(recipe.seed),
        LearningRate(recipe.steps, recipe.warmup),
        Clip(recipe.clip),
        Average(task.network, recipe.ema),
    ]
    around = {"minutes": minutes, "progress": progress, "callbacks": callbacks}
    return run(task, recipe, rules, out, bfloat16=True, **around)


def grids_of(network: Tokenizer, pack: Pack) -> np.ndarray:
    """The symbols of all training crops, and of their mirror images shifted by half a token: int8 [K,h,w,D]."""
    side, found = pack.training.shape[1] // PATCH * PATCH, []
    half = PATCH // 2
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for part in pack.training.split(64):
            x = part[:, :side, :side].permute(0, 3, 1, 2).float() / 255
            shifted = F.pad(x[:, :, half:, half:].flip(3), (0, half, 0, half), mode="replicate")
            for pictures in (x, shifted):
                found.append(network.symbols(network.analysis(pictures)).permute(0, 2, 3, 1).to(torch.int8))
    return torch.cat(found).numpy()


def export_run(folder, pack: Pack, out, progress=print, steps: int = 500) -> TokenizerModel:
    """Write the file that the codec takes: the moving average in 16 bits, and a causal network of so many steps."""
    path = Path(folder) / WEIGHTS
    with safe_open(path, "pt") as file:
        said = file.metadata()
        state = {key: file.get_tensor(key).half().float() for key in file.keys()}
    network = Tokenizer(tuple(json.loads(said["levels"])), tuple(json.loads(said["widths"]))).eval()
    network.load_state_dict(state)
    causal = fit(grids_of(network, pack), network.levels, steps=steps, progress=progress)
    return write_model(network, causal, out, f"{said['step']} steps of the recipe {said['recipe']}")


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m codeckit.training.tokenizer", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    part = commands.add_parser("train", help="train, or go on training")
    part.add_argument("--data", required=True, metavar="PACK")
    part.add_argument("--out", required=True, metavar="FOLDER")
    part.add_argument("--minutes", type=float)
    part = commands.add_parser("export", help="train the causal network and write the file that the codec takes")
    part.add_argument("--run", required=True, metavar="FOLDER")
    part.add_argument("--data", required=True, metavar="PACK")
    part.add_argument("--out", required=True, metavar="FILE")
    options = parser.parse_args(arguments)

    if options.command == "train":
        print(json.dumps(train(RECIPE, load_pack(options.data), options.out, options.minutes, progress=True)))
    else:

        def progress(line):
            print(line, file=sys.stderr, flush=True)

        model = export_run(options.run, load_pack(options.data), options.out, progress)
        print(f"{options.out}: fingerprint {model.fingerprint.hex()}")


if __name__ == "__main__":
    main()
