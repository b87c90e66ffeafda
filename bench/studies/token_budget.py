"""Accuracy that is left with a quarter, an eighth and a sixteenth of the tokens, and what these cost in bits.

    python -m codeckit.bench.studies.token_budget transformer --images IMAGENETTE/val [--count 500] [--plot FILE.svg]
    python -m codeckit.bench.studies.token_budget convolutional --images LABELLED_FOLDER [--count 200]

**transformer**: our small vision transformer on Imagenette, as in "Compression Tells Intelligence": its tower makes
10 × 10 tokens of 192 channels, a reducer keeps K of them, and its reader sees these alone. Attention is the tower's
class token's: in its second block for FastV (a proxy of its last query token), in its last block for the others, with
the keys of that block. `smaller picture` shows the tower a picture so small that it makes at most K tokens; `pooled`
averages tokens over the cells of a coarser grid; `tome` and the lines *merged* stand for several tokens each (`sizes`).

**convolutional**: EfficientNet-Lite0's features behind stage 5 (14 × 14 of 112 channels) on ImageNet. The rest of the
network needs a dense grid and sees at every position the token that stands for it (`unmerge`): the nearest kept one on
the grid, or in the lines *merged* the most similar one, as the mean of all that it stands for. There is no attention. A
dense map saves no computing by having fewer tokens.

Bits: *side* tells which tokens were kept (`encode_subset`). The transformer's tokens hold their positions, so its
reader does not need it, but it is counted, and so are 7 bits for the size of each merged token. For merged tokens of
the convolutional network the map of every position, ⌈log2 K⌉ bits each, is counted. *coded* is the whole stream of the
kept tokens (`token-arrays`, steps of a third of the channels' standard deviation) with the side information, *fp16*
what 16 bits a number would take. Accuracy is with the tokens unquantized.
"""

import argparse
import math
import sys

import numpy as np

from ... import codec
from ...metrics.tasks import ImageNet, Imagenette
from ...primitives.tokens import REDUCERS, Reduced, Tokens, encode_subset, load_backbone, merge_similar, unmerge
from ...primitives.tokens.reducers import ATTENDING, qpid
from ..datasets import dataset
from ..tables import align

STAGE = 5
SHARES = (0.25, 0.125, 0.0625)

#: Pictures whose tokens are coded; coding is slower than counting.
_CODED = 10


def pooled(features, grid, budget, cls_attention=None, keys=None) -> Reduced:
    """Means over the cells of a coarser grid of at most `budget` cells, as square as it can be."""
    side = math.isqrt(budget)
    rows, columns = np.divmod(np.arange(len(features)), grid[1])
    cells = rows * side // grid[0] * side + columns * side // grid[1]
    sizes = np.bincount(cells)
    sums = np.zeros((len(sizes), features.shape[1]))
    np.add.at(sums, cells, features)
    kept = np.array([np.flatnonzero(cells == cell)[0] for cell in range(len(sizes))])
    return Reduced((sums / sizes[:, None]).astype(np.float32), kept, cells, sizes)


CHOOSING = {
    "random": REDUCERS["random"],
    "grid": REDUCERS["grid"],
    "divprune": REDUCERS["divprune"],
    "qpid": qpid,
    "qpid, uniform score": lambda *a: qpid(*a, score="uniform"),
    "qpid, norm score": lambda *a: qpid(*a, score="norm"),
    "qpid, no quadtree": lambda *a: qpid(*a, quadtree=False),
    "qpid, choosing by score": lambda *a: qpid(*a, choose="informative"),
}


def merging(method):
    """The same choice, with what is dropped merged into what is most similar."""
    return lambda features, grid, budget, *looks: merge_similar(method(features, grid, budget, *looks), features)


MERGING = {"tome": REDUCERS["tome"], **{f"{name}, merged": merging(method) for name, method in CHOOSING.items()}}
METHODS = {"pooled": pooled, **CHOOSING, **MERGING}

#: What the transformer compares: also the reducers that need attention.
TRANSFORMER = {"pooled": pooled, **CHOOSING, **{name: REDUCERS[name] for name in ATTENDING}, **MERGING}

#: Methods whose tokens stand for several each, which the reader's attention counts.
_SIZED = set(MERGING)

#: Bits for the size of a merged token.
_SIZE_BITS = 7


def subset_size(reduced: Reduced, grid) -> int:
    """Bits that tell which tokens were kept."""
    mask = np.zeros(grid[0] * grid[1], bool)
    mask[reduced.kept] = True
    return 8 * len(encode_subset(mask.reshape(grid)))


def flops(size, count: int) -> float:
    """Floating-point operations of one block of the transformer for so many tokens and a class token."""
    n, c = count + 1, size.channels
    return 2 * n * c * c * (4 + 2 * size.hidden) + 4 * n * n * c


def transformer(options) -> tuple[str, list[list[str]], dict]:
    """Head line, rows of the table, and retained accuracies by method."""
    backbone, task = load_backbone("vit-imagenette"), Imagenette()
    images = list(dataset(options.images, recursive=True))
    images = [images[int(n)] for n in np.linspace(0, len(images) - 1, min(options.count, len(images)))]
    seen = []
    for image in images:
        tokens, attention, keys = backbone.looks(image.load())
        seen.append((tokens, attention[1], attention[-1], keys[-1]))
    labels = [image.label for image in images]

    def accuracy(features, sizes=None):
        right = []
        for n in range(0, len(labels), 50):
            own = None if sizes is None else np.stack(sizes[n : n + 50])
            answers = backbone.logits_many(np.stack(features[n : n + 50]), own)
            pairs = zip(answers, labels[n : n + 50], strict=True)
            right += [task.score(answer, label)["top1"] for answer, label in pairs]
        return np.mean(right)

    full = accuracy([tokens.features for tokens, *_ in seen])
    size = backbone.network.size
    total = size.tower * flops(size, 100) + size.reader * flops(size, 100)
    coder = codec("token-arrays", step=float(np.mean([tokens.features.std(0).mean() for tokens, *_ in seen])) / 3)
    rows = [["tokens", "method", "top-1 %", "retained %", "reader MFLOPs", "side bits", "coded bits", "fp16 bits"]]
    retained, bits = {}, {}
    for share in SHARES:
        budget = round(share * 100)
        side = math.isqrt(budget)
        small = [backbone.smaller(image.load(), side) for image in images]
        reductions = {"smaller picture": [(tokens.features, None) for tokens in small]}
        for name, method in TRANSFORMER.items():
            made = []
            for tokens, second, last, keys in seen:
                look = second if name == "fastv" else last
                reduced = method(tokens.features, tokens.grid, budget, look, keys)
                made.append((reduced.tokens, reduced))
            reductions[name] = made
        for name, made in reductions.items():
            sizes = [reduced.sizes for _, reduced in made] if name in _SIZED else None
            value, kept = accuracy([features for features, _ in made], sizes), len(made[0][0])
            told = [0 if r is None or name == "pooled" else subset_size(r, (10, 10)) for _, r in made[:_CODED]]
            told = np.mean(told) + (_SIZE_BITS * kept if name in _SIZED else 0)
            coded = [8 * len(coder.encode_tokens(features, (len(features), 1))) for features, _ in made[:_CODED]]
            cost = np.mean(coded) + told
            retained.setdefault(name, []).append(value / full)
            bits.setdefault(name, []).append(cost)
            cells = [f"{100 * value:.1f}", f"{100 * value / full:.1f}", f"{size.reader * flops(size, kept) / 1e6:.1f}"]
            rows.append([f"{kept}", name, *cells, f"{told:.0f}", f"{cost:.0f}", f"{16 * 192 * kept}"])
        print(f"{share:.2%} done", file=sys.stderr)
    reading = size.reader * flops(size, 100) / 1e6
    head = (
        f"{len(images)} pictures, all 100 tokens: {100 * full:.1f} %, reader {reading:.1f} of {total / 1e6:.1f} MFLOPs"
    )
    if options.plot:
        plot(retained, bits, options.plot)
    return head, rows, retained


def plot(retained, bits, out) -> None:
    """Retained accuracy over tokens and over bits, the best methods in colour."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "codeckit"
    import matplotlib.pyplot as plt

    shown = ["qpid", "qpid, merged", "divprune", "tome", "prumerge+", "visionzip", "evit", "fastv", "grid", "random"]
    shown += ["smaller picture"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), sharey=True)
    for n, name in enumerate(shown):
        style = {"color": f"C{n % 10}", "linewidth": 2.5 if name.startswith("qpid") else 1.2}
        style["linestyle"] = "--" if name in ("grid", "random", "smaller picture") else "-"
        values = [100 * value for value in retained[name]]
        left.plot([100 * share for share in SHARES], values, marker="o", label=name, **style)
        right.plot(bits[name], values, marker="o", **style)
    for axes, label in ((left, "tokens kept (%)"), (right, "bits a picture, coded, with side information")):
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)
    left.set_ylim(80, 102)  # "smaller picture" soon leaves it
    right.set_xticks([5000, 10000, 20000], ["5,000", "10,000", "20,000"])
    left.set_xticks([100 * share for share in SHARES], [f"{100 * share:g}" for share in SHARES])
    left.set_ylabel("accuracy retained (%)")
    left.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(out, metadata={"Date": None})


def convolutional(options) -> tuple[str, list[list[str]], dict]:
    """Head line, rows of the table, and retained accuracies by method."""
    backbone, task = load_backbone("efficientnet-lite0"), ImageNet()
    images = list(dataset(options.images))[: options.count]
    maps = [backbone.tokens(image.load(), STAGE) for image in images]
    labels = [image.label for image in images]
    full = np.mean([task.score(task.predict(t), label)["top1"] for t, label in zip(maps, labels, strict=True)])
    coder = codec("token-arrays", step=float(np.mean([t.features.std(0).mean() for t in maps])) / 3)
    rows = [["tokens", "method", "top-1 %", "retained %", "side bits", "coded bits", "fp16 bits"]]
    retained = {name: [] for name in METHODS}
    for share in SHARES:
        for name, method in METHODS.items():
            right, side, coded, kept = [], [], [], []
            for n, (tokens, label) in enumerate(zip(maps, labels, strict=True)):
                budget = round(share * len(tokens.features))
                reduced = method(tokens.features, tokens.grid, budget)
                dense = Tokens(unmerge(reduced), tokens.grid, tokens.source, tokens.size)
                right.append(task.score(task.predict(dense), label)["top1"])
                kept.append(len(reduced.kept))
                if name == "pooled":
                    side.append(0)
                elif name in MERGING:
                    side.append(len(tokens.features) * math.ceil(math.log2(budget)))
                else:
                    side.append(subset_size(reduced, tokens.grid))
                if n < _CODED:
                    stream = coder.encode_tokens(reduced.tokens, (len(reduced.kept), 1))
                    coded.append(8 * len(stream) + side[-1])
            accuracy = np.mean(right)
            retained[name].append(accuracy / full)
            cells = [f"{100 * accuracy:.1f}", f"{100 * accuracy / full:.1f}", f"{np.mean(side):.0f}"]
            cells += [f"{np.mean(coded):.0f}", f"{16 * 112 * np.mean(kept):.0f}"]
            rows.append([f"{np.mean(kept):.0f}", name, *cells])
        print(f"{share:.2%} done", file=sys.stderr)
    return f"{len(images)} pictures, all 196 tokens: {100 * full:.1f} %", rows, retained


def main(arguments=None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", choices=("transformer", "convolutional"))
    parser.add_argument("--images", required=True, metavar="FOLDER", help="labelled pictures of the network's classes")
    parser.add_argument("--count", type=int, default=200, metavar="N")
    parser.add_argument("--plot", metavar="FILE", help="plot of the transformer's results, .svg")
    options = parser.parse_args(arguments)
    head, rows, retained = {"transformer": transformer, "convolutional": convolutional}[options.network](options)
    print(f"{head}\n{align(rows)}")
    means = sorted(((np.mean(values), name) for name, values in retained.items()), reverse=True)
    print("\nretained on average: " + ", ".join(f"{name} {100 * value:.1f} %" for value, name in means))
    return 0


if __name__ == "__main__":
    sys.exit(main())
