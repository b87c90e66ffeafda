"""Train the network of ``tokens-fsq``: photographs to a grid of small integers and back.

    python -m codeckit.training.tokenizer train --data pack.safetensors --out runs/tokenizer
    python -m codeckit.training.tokenizer export --run runs/tokenizer --data pack.safetensors --out FILE

The start is a block transform codec (`codecs.tokens.tokenizer.initialize`): principal components of 16×16 blocks, with
numbers of levels that make all steps equally large. From there the squared error of the pictures is minimized, with a
random number of dimensions (the qualities of the codec) for each batch, and all of them for every other batch. Rounding
passes gradients as if it were not there; tables follow them, too.

Then the causal network (`primitives.entropy.causal`), which predicts each symbol from those around it, is trained on
the symbols of the same photographs, and both go into one file.

Resuming is exact, as in `training.loop`: the randomness of a step comes from its number.
"""

import argparse
import copy
import io
import json
import math
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save
from torch import nn

from ..codecs.image_io import write_atomically
from ..codecs.tokens.fsq import TokenizerModel, write_model
from ..codecs.tokens.tokenizer import PATCH, Tokenizer, initialize, levels_of
from .causal import fit
from .data import Pack, batch, load_pack


@dataclass(frozen=True)
class TokenizerRecipe:
    """What the tokenizer is made with.

    Attributes:
        dimensions: D, of a token.
        step: quantization step that the levels aim at, in deviations of a pixel's brightness times 16.
        counts: numbers of dimensions that are trained, one a quality.
        steps, batch, patch: length of the training, pictures a step, their side in pixels.
        learning_rate, warmup: the highest, of AdamW, and the steps until then; it falls along half a cosine.
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


def train(recipe: TokenizerRecipe, pack: Pack, out, minutes=None, progress=print) -> Tokenizer:
    """Train, or go on training; the folder holds ``checkpoint.pt``, ``weights.safetensors`` and ``log.jsonl``."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    network = start(recipe, pack)
    average = copy.deepcopy(network).eval().requires_grad_(False)
    groups = [[p for name, p in network.named_parameters() if name.startswith(part)] for part in _RATES]
    optimizer = torch.optim.AdamW(
        [{"params": group} for group in groups], betas=(0.9, 0.99), weight_decay=0.0, fused=True
    )
    step = 0
    if (out / "checkpoint.pt").exists():
        state = torch.load(out / "checkpoint.pt", weights_only=True)
        if state["recipe"] != json.dumps(asdict(recipe)):
            raise ValueError(f"{out} holds a run of another recipe")
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
    else:
        _log(out, {"step": 0, "levels": network.levels, "psnr": validate(average, pack, recipe.counts)}, progress)
    began, since, losses = time.monotonic(), time.monotonic(), []
    while step < recipe.steps and (minutes is None or time.monotonic() - began < 60 * minutes):
        rng = np.random.default_rng((recipe.seed, step))
        x = batch(pack.training, recipe.batch, recipe.patch, rng)
        count = recipe.dimensions if step % 2 else int(rng.choice(recipe.counts))
        rise = min(1.0, (step + 1) / recipe.warmup)
        rate = recipe.learning_rate * rise * (0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * step / recipe.steps)))
        for group, factor in zip(optimizer.param_groups, _RATES.values(), strict=True):
            group["lr"] = factor * rate
        with torch.autocast("cpu", torch.bfloat16):
            y_hat = network.rounded(network.analysis(x))
            y_hat = torch.cat([y_hat[:, :count], torch.zeros_like(y_hat[:, count:])], 1)
            back = network.synthesis(y_hat)
        loss = ((back.float() - x) * 255).square().mean()
        optimizer.zero_grad(set_to_none=True)
        (loss / 255).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        step += 1
        decay = min(recipe.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, value in zip(average.parameters(), network.parameters(), strict=True):
                mean.lerp_(value, 1 - decay)
        if count == recipe.dimensions:
            losses.append(loss.item())
        if step % 50 == 0:
            now = time.monotonic()
            line = {"step": step, "mse, all dimensions": round(float(np.mean(losses)), 2)}
            _log(out, line | {"steps_per_s": round(50 / (now - since), 3)}, progress)
            since, losses = now, []
        if step % recipe.report == 0 or step == recipe.steps:
            psnr = validate(average, pack, recipe.counts)
            _log(out, {"step": step, "psnr": psnr}, progress)
            _save(out, step, recipe, network, average, optimizer, psnr)
            since = time.monotonic()
    return average


def _log(out, line, progress):
    with open(out / "log.jsonl", "a") as file:
        file.write(json.dumps(line) + "\n")
    progress(json.dumps(line))


def _save(out, step, recipe, network, average, optimizer, psnr):
    buffer = io.BytesIO()
    state = {"step": step, "recipe": json.dumps(asdict(recipe)), "network": network.state_dict()}
    torch.save(state | {"average": average.state_dict(), "optimizer": optimizer.state_dict()}, buffer)
    write_atomically(out / "checkpoint.pt", buffer.getvalue())
    said = {"recipe": json.dumps(asdict(recipe)), "step": str(step), "psnr": json.dumps(psnr)}
    said |= {"levels": json.dumps(network.levels), "widths": json.dumps(network.widths)}
    write_atomically(out / "weights.safetensors", save(average.state_dict(), said))


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


def export_run(run, pack: Pack, out, progress=print, steps: int = 500) -> TokenizerModel:
    """Write the file that the codec takes: the moving average in 16 bits, and a causal network of so many steps."""
    path = Path(run) / "weights.safetensors"
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

    def progress(line):
        print(line, file=sys.stderr, flush=True)

    if options.command == "train":
        train(RECIPE, load_pack(options.data), options.out, options.minutes, progress)
    else:
        model = export_run(options.run, load_pack(options.data), options.out, progress)
        print(f"{options.out}: fingerprint {model.fingerprint.hex()}")


if __name__ == "__main__":
    main()
