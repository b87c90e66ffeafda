"""Make the model of a token codec: bases, scales and frequency tables, from photographs and a frozen network.

    python -m codeckit.training.token_model --images FOLDER … --out
    codecs/tokens/shipped/efficientnet-lite0-6.safetensors

No gradient descent: second moments of features and of gradients, and counts. The photographs need no labels. Steps:

1. features of every photograph behind the stage, and their two-dimensional DCT over the grid;
2. the Fisher metric: gradients g of log p(class | features) for classes drawn from the network's own prediction, a few
   draws a photograph; W of the mean of the grid from Σ g over the positions, W of the other frequencies from what
   remains (`codecs.tokens.model` says why), each scaled to the mean 1 over both, plus ε · identity;
3. bases: principal components in that metric;
4. standard deviations of the components, mean magnitudes and counts of the symbols at all eight qualities.

The shipped model saw 5,059 photographs, none of them Kodak's and none of the pictures that accuracy is reported on:
some ten minutes on one core.
"""

import argparse
import hashlib
import sys
from pathlib import Path

import numpy as np
from scipy.fft import dctn

from ..codecs.image_io import picture_files, read_image
from ..codecs.tokens.model import (
    CLASSES,
    LEVEL_STEPS,
    LEVELS,
    OCTAVE,
    UNIT,
    TokenModel,
    activity,
    step_of,
    write_model,
)
from ..primitives.entropy.tables import FrequencyTables, quantize_pmf
from ..primitives.tokens.backbones import load_backbone
from ..primitives.tokens.reducers import REDUCERS

#: Weight of the plain metric beside the Fisher metric, whose mean over all directions and frequencies is 1.
EPSILON = 0.3

#: Classes drawn from the prediction for each photograph.
DRAWS = 4

#: Photographs whose gradients are taken, at most.
FISHER_IMAGES = 1500

#: How many counts the shape of a class's neighbours in scale is worth.
_SMOOTHING = 20.0


def features(source: str, images, progress=print) -> np.ndarray:
    """The feature maps of all images, float32 [N,rows,columns,C]; arguments as in `make`."""
    name, _, stage = source.partition("/")
    backbone = load_backbone(name)
    maps = []
    for n, image in enumerate(images):
        maps.append(backbone.tokens(np.asarray(image), int(stage)).map.astype(np.float16))
        if n % 500 == 499:
            progress(f"features of {n + 1} photographs")
    return np.stack(maps).astype(np.float32)


def _reduced(maps: np.ndarray, budgets, reducer: str) -> np.ndarray:
    """The tokens that are left of each map at each budget, as maps of one position: [K,1,1,C]."""
    found = []
    for n, own in enumerate(maps):
        budget = budgets[n % len(budgets)]
        found.append(REDUCERS[reducer](own.reshape(-1, own.shape[2]), own.shape[:2], budget).tokens)
    return np.concatenate(found)[:, None, None]


def fisher(source: str, maps: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The metrics W of the mean of the grid and of its other frequencies, float64 [C,C] each."""
    import torch

    name, _, stage = source.partition("/")
    backbone = load_backbone(name)
    generator = torch.Generator().manual_seed(seed)
    positions, channels = maps.shape[1] * maps.shape[2], maps.shape[3]
    alone, together = np.zeros((channels, channels)), np.zeros((channels, channels))
    count = 0
    for start in range(0, len(maps), 16):
        batch = torch.from_numpy(np.ascontiguousarray(maps[start : start + 16].transpose(0, 3, 1, 2)))
        batch.requires_grad_(True)
        log_p = backbone.read(batch, int(stage)).log_softmax(1)
        for _ in range(DRAWS):
            drawn = torch.multinomial(log_p.detach().exp(), 1, generator=generator)
            (gradient,) = torch.autograd.grad(log_p.gather(1, drawn).sum(), batch, retain_graph=True)
            g = gradient.double().flatten(2).numpy()  # [B,C,positions]
            alone += np.einsum("bci,bdi->cd", g, g)
            together += g.sum(2).T @ g.sum(2)
            count += len(g)
    mean = together / count / positions  # the orthonormal DCT's frequency 0
    others = (alone / count - mean) / (positions - 1)
    scale = (np.trace(mean) + (positions - 1) * np.trace(others)) / positions / channels
    return mean / scale, others / scale


def basis(metric: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """A: principal components of `rows` [n,C] (of mean 0) in the metric W, to multiply rows with."""
    values, vectors = np.linalg.eigh(metric + EPSILON * np.eye(len(metric)))
    root = (vectors * np.sqrt(values)) @ vectors.T
    moved = rows @ root
    _, components = np.linalg.eigh(moved.T @ moved / len(moved))
    components = components[:, ::-1]
    signs = np.sign(components[np.abs(components).argmax(0), np.arange(len(metric))])
    return root @ (components * signs)


def count_symbols(model: TokenModel, components: np.ndarray) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Mean magnitudes [CLASSES] in units of 1/256, and each table's counts of symbols, at all qualities together."""
    flat = components.reshape(len(components), -1, components.shape[-1])
    levels = range(0, 7 * LEVEL_STEPS + 1, LEVEL_STEPS)
    sums, sizes = np.zeros(CLASSES), np.zeros(CLASSES)
    for level in levels:
        classes, magnitudes = model.scale_classes(level), np.abs(np.rint(flat / step_of(level))).mean(0)
        sums += np.bincount(classes.ravel(), magnitudes.ravel(), CLASSES)
        sizes += np.bincount(classes.ravel(), minlength=CLASSES)
    expected = np.rint(256 * sums / np.maximum(sizes, 1)).astype(np.int64)

    counts = {}
    for level in levels:
        classes = model.scale_classes(level)
        symbols = np.rint(flat / step_of(level)).astype(np.int64)
        before = np.cumsum(np.abs(symbols), -1) - np.abs(symbols)
        wanted = np.cumsum(expected[classes], -1) - expected[classes]
        tables = classes * LEVELS + activity(before, np.broadcast_to(wanted, before.shape))
        for table in np.unique(tables):
            reach = window(table // LEVELS)
            found = np.clip(symbols[tables == table], -reach - 1, reach + 1) + reach + 1
            counts[table] = counts.get(table, 0) + np.bincount(found, minlength=2 * reach + 3)
    return expected, counts


def window(scale_class: int) -> int:
    """Symbols of a scale class up to this magnitude have a frequency of their own: six standard deviations."""
    return int(np.ceil(6 * 2 ** ((scale_class - UNIT) / 4))) + 1


def tables(counts: dict[int, np.ndarray]) -> FrequencyTables:
    """Frequency tables of counts, smoothed by a Laplacian density of the class's scale, and symmetric."""
    pmfs, lowest = [], []
    for table in range(CLASSES * LEVELS):
        scale_class, level = divmod(table, LEVELS)
        reach = window(scale_class)
        edges = np.arange(-reach - 0.5, reach + 1) / 2 ** ((scale_class - UNIT) / 4 + (level - LEVELS // 2) / 4)
        cdf = np.where(edges < 0, 0.5 * np.exp(edges * np.sqrt(2)), 1 - 0.5 * np.exp(-edges * np.sqrt(2)))
        prior = np.diff([0.0, *cdf, 1.0]) + 1e-7
        found = counts.get(table, np.zeros(2 * reach + 3))
        pmf = found + found[::-1] + _SMOOTHING * prior / prior.sum()
        pmfs.append(pmf / pmf.sum())
        lowest.append(-reach)
    frequencies = [quantize_pmf(pmf) for pmf in pmfs]
    return FrequencyTables(np.concatenate(frequencies), np.array([len(f) for f in frequencies]), np.array(lowest))


def make(
    source: str, images, out, seed: int = 0, progress=print, *, budgets=(), reducer="qpid+", scale: float = 1.0
) -> TokenModel:
    """Make the model of a backbone's stage from photographs, and write it.

    Args:
        source: ``"efficientnet-lite0/6"``.
        images: the photographs one after the other, uint8 [H,W,3] or what `numpy.asarray` makes that of, such as the
            pictures of a data set.
        out: the file.
        seed: of the drawn classes.
        progress: takes a line now and then.
        budgets: for a model of single tokens, the numbers of tokens that each picture's are reduced to to learn from.
        reducer: how.
        scale: of the components; backbones have features of all sizes, and the codec's steps are the same for all.
    """
    maps = features(source, images, progress)
    chosen = np.random.default_rng(seed).permutation(len(maps))[:FISHER_IMAGES]
    progress("the Fisher metric")
    of_mean, of_others = fisher(source, maps[chosen], seed)
    if budgets:
        positions = maps.shape[1] * maps.shape[2]
        of_mean = (of_mean + (positions - 1) * of_others) / positions  # of a token alone
        maps = _reduced(maps, budgets, reducer)
    spectra = dctn(maps, axes=(1, 2), norm="ortho")
    mean = spectra.mean(0, dtype=np.float64).astype(np.float32)
    centred = spectra - mean
    channels = maps.shape[3]
    dc = scale * basis(of_mean, centred[:, 0, 0].astype(np.float64))
    others = centred.reshape(len(maps), -1, channels)[:, 1:].reshape(-1, channels)
    ac = dc if budgets else scale * basis(of_others, others.astype(np.float64))  # a single token has only its mean
    dc, ac = dc.astype(np.float32), ac.astype(np.float32)
    progress("scales and tables")
    blank = FrequencyTables.from_pmfs([[1, 2, 1]], [0])
    model = TokenModel(source, b"", mean, dc, ac, np.zeros(mean.shape, np.int16), np.zeros(CLASSES, np.int64), blank)
    components = model.components(maps)
    deviation = np.sqrt(np.square(components).mean(0))
    sigma = np.rint(OCTAVE * np.log2(np.maximum(deviation, 1e-3))).astype(np.int16)
    model = TokenModel(source, b"", mean, dc, ac, sigma, model.expected, blank)
    expected, counts = count_symbols(model, components)
    counted = tables(counts)
    tensors = {
        "mean": mean,
        "dc": dc,
        "ac": ac,
        "sigma": sigma,
        "expected": expected.astype(np.int32),
        "frequencies": counted.frequencies.astype(np.int32),
        "sizes": counted.sizes.astype(np.int32),
        "lowest": counted.lowest.astype(np.int32),
    }
    backbone = load_backbone(source.partition("/")[0]).fingerprint
    return write_model(out, source, backbone, tensors, f"{len(maps)} photographs, seed {seed}")


def main(arguments=None) -> int:
    """Make a model from folders of photographs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", nargs="+", required=True, metavar="FOLDER", help="folders, searched recursively")
    parser.add_argument("--source", default="efficientnet-lite0/6", metavar="BACKBONE/STAGE")
    parser.add_argument("--out", required=True, metavar="FILE")
    parser.add_argument("--count", type=int, metavar="N", help="so many of them, evenly spaced; default: all")
    parser.add_argument("--budgets", default="", metavar="K,K", help="a model of single tokens, of so many a picture")
    parser.add_argument("--scale", type=float, default=1.0, metavar="S", help="of the components")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    paths = [path for folder in options.images for path in picture_files(folder, recursive=True)]
    if options.count and options.count < len(paths):
        paths = [paths[int(n)] for n in np.linspace(0, len(paths) - 1, options.count)]
    model = make(
        options.source,
        map(read_image, paths),
        options.out,
        options.seed,
        lambda line: print(line, file=sys.stderr),
        budgets=tuple(int(budget) for budget in options.budgets.split(",") if budget),
        scale=options.scale,
    )
    digest = hashlib.sha256(Path(options.out).read_bytes()).hexdigest()[:12]
    print(f"{options.out}: {model.source}, {len(paths)} photographs, fingerprint {model.fingerprint.hex()}, {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
