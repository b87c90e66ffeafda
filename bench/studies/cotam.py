"""CoTAM on our scale: what an importance map and an adapter in the decoder save at equal score of a task.

    python -m codeckit.training.cotam make IMAGENETTE/train --out pool.safetensors
    python -m codeckit.training.cotam train --pool pool.safetensors --out runs/adapter
    python -m codeckit.training.cotam train --pool pool.safetensors --out runs/tuned --tune
    python -m codeckit.bench.studies.cotam IMAGENETTE/val --adapter runs/adapter --tuned runs/tuned --task imagenette
    python -m codeckit.bench.studies.cotam SCENES --adapter runs/… --tuned runs/… --task scenes

Six decoders read streams of one codec with gain units:

==============  ==========================================================================================
row             what
==============  ==========================================================================================
base            the same quality everywhere; the tower sees the decoded picture
map             the quality follows the class token's attention in the tower's first three blocks, in three
                levels on 8×8 cells, taken from the original
adapter         the same quality everywhere; latents go into the tower, too
map, adapter    both: CoTAM
tuned           the tower was tuned on decoded pictures; no latents
map, tuned      with the map
==============  ==========================================================================================

Backbone and codec are those that the adapter was trained with. Pictures are cut to squares of the tower's size before
they are coded. Rates are those of complete streams, maps included. Scores are the task's measures of the tower's
tokens, and their signal-to-noise ratio: the variance of the original's tokens over the mean squared error, in decibels,
mean over the pictures. Bits at equal score are compared as in `bench.studies.importance`; the interval of scores is
that which both curves reach.

Source: J. Liu et al., "When MLLMs Meet Compression Distortion: A Coding Paradigm Tailored to MLLMs", arXiv:2509.24258.
"""

import argparse
import sys
from collections.abc import Callable

import numpy as np
import torch

from ... import codec
from ...codecs.importance import Importance, attention_levels
from ...metrics.tasks import describe, resolve
from ...primitives.token_grid import Tokens
from ...primitives.tokens.adapter import hidden_states
from ...primitives.tokens.backbones import load_backbone
from ...training.cotam import load_run, square, through
from ..datasets import dataset
from ..tables import align
from .importance import Point, gain

#: The score that is no task's: of the tokens themselves.
SNR = "token SNR dB"


def signal_to_noise(original: np.ndarray, other: np.ndarray) -> float:
    """Variance of tokens [N,C] over their mean squared error, in decibels.

    >>> round(signal_to_noise(np.array([[1.0], [-1.0]]), np.array([[1.1], [-1.1]])), 2)
    20.0
    """
    return float(10 * np.log10(original.var() / np.square(original - other).mean()))


class Study:
    """Pictures and what reads them.

    Args:
        images: labelled pictures.
        backbone: with a tower.
        coder: name of the codec.
        task: of the tower's tokens.
        strength: of the map, in octaves.
    """

    def __init__(self, images, backbone, coder: str, task, strength: float):
        self.backbone, self.coder, self.task = backbone, coder, task
        self.measures = tuple(measure.name for measure in describe(task).measures)
        self.labels = [image.label for image in images]
        self.pictures = [square(image.load(), backbone.side) for image in images]
        self.maps = [Importance(attention_levels(each, backbone), strength).octaves(each) for each in self.pictures]
        self.originals = [backbone.tokens(each, *backbone.stages).features for each in self.pictures]

    def scores(self, n: int, features: np.ndarray) -> dict[str, float]:
        """All scores of picture n by tokens [N,C]."""
        backbone = self.backbone
        side = backbone.tower.size.grid
        tokens = Tokens(features, (side, side), backbone.source(*backbone.stages), self.pictures[n].shape[:2])
        return self.task.score(self.task.predict(tokens), self.labels[n])

    def raw(self) -> dict[str, float]:
        """The task's measures of the originals, means."""
        found = [self.scores(n, features) for n, features in enumerate(self.originals)]
        return {name: float(np.nanmean([each[name] for each in found])) for name in self.measures}

    @torch.inference_mode()
    def points(self, quality: float, mapped: bool, readers: dict[str, Callable]) -> dict[str, Point]:
        """A point of the curve of each reader, which makes tokens [1,1+N,C] of a stem's maps and latents."""
        coder, pixels = codec(self.coder, quality=quality), self.backbone.side**2
        sizes, found = [], {name: [] for name in readers}
        for n, picture in enumerate(self.pictures):
            decoded = through(coder, [picture], self.maps[n] if mapped else None, count=True)
            sizes.append(8 * decoded.streams[0] / pixels)
            x = torch.from_numpy(decoded.pictures).permute(0, 3, 1, 2).float()
            maps = self.backbone.stem.maps(x)
            for name, reader in readers.items():
                features = reader(maps, decoded.latents)[0, 1:].numpy()
                found[name].append({SNR: signal_to_noise(self.originals[n], features), **self.scores(n, features)})
        names = (SNR, *self.measures)
        return {
            reader: Point(float(np.mean(sizes)), {name: float(np.nanmean([e[name] for e in each])) for name in names})
            for reader, each in found.items()
        }


def readers_of(backbone, adapter, tuned) -> dict[str, Callable]:
    """What makes a tower's states of a stem's maps and latents, by name; `tuned` may be None."""
    readers = {
        "": lambda maps, latents: hidden_states(backbone.tower, maps)[-1],
        "adapter": lambda maps, latents: hidden_states(backbone.tower, maps, adapter(latents))[-1],
    }
    if tuned is not None:
        readers["tuned"] = lambda maps, latents: hidden_states(tuned, maps)[-1]
    return readers


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", metavar="PICTURES", help="folder of labelled pictures")
    parser.add_argument("--adapter", required=True, metavar="RUN", help="folder of the adapter's run")
    parser.add_argument("--tuned", metavar="RUN", help="folder of the tuned tower's run")
    parser.add_argument("--task", default="imagenette", help="default imagenette")
    parser.add_argument("--qualities", type=float, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--strength", type=float, default=3.0, help="octaves of the map (default 3)")
    parser.add_argument("--count", type=int, default=100, metavar="N", help="pictures (default 100)")
    options = parser.parse_args(arguments)
    (task,) = resolve(options.task)
    images = list(dataset(options.images, recursive=True))
    images = [images[int(n)] for n in np.linspace(0, len(images) - 1, min(options.count, len(images)))]
    adapter, name, coder = load_run(options.adapter)
    backbone = load_backbone(name)
    tuned = load_run(options.tuned)[0] if options.tuned else None
    study = Study(images, backbone, coder, task, options.strength)
    scores = [name for name in (study.measures[0], "information", SNR) if name in (SNR, *study.measures)]
    raw = study.raw()
    said_raw = ", ".join(f"{name} {raw[name]:.3f}" for name in study.measures if name in scores)
    print(f"{len(images)} pictures, {coder} → {backbone.name}; originals: {said_raw}", flush=True)
    curves: dict[str, list[Point]] = {}
    for quality in options.qualities:
        for mapped in (False, True):
            for reader, point in study.points(quality, mapped, readers_of(backbone, adapter, tuned)).items():
                name = ", ".join(part for part in ("map" if mapped else "", reader) if part) or "base"
                curves.setdefault(name, []).append(point)
                print(f"quality {quality:g}, {name}: {point}", file=sys.stderr, flush=True)
    rows = [["row", "bpp", *scores, *(f"bits at equal {score}" for score in scores)]]
    for name, points in curves.items():
        cells = [name, " ".join(f"{p.bpp:.3f}" for p in points)]
        cells += [" ".join(f"{p.scores[score]:.3f}" for p in points) for score in scores]
        for score in scores:
            change, low, high = gain(curves["base"], points, score)
            cells.append("" if name == "base" else f"{100 * change:+.1f} % ({low:.2f} … {high:.2f})")
        rows.append(cells)
    print(align(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
