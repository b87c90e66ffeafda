"""Accuracy that is left with a quarter, an eighth and a sixteenth of the tokens, and what these cost in bits.

    python -m codeckit.bench.token_budget --images LABELLED_FOLDER [--count 200]

Tokens are EfficientNet-Lite0's features behind stage 5 (14 × 14 of 112 channels). A reducer keeps K of the 196; the
rest of the network, which needs a dense grid, sees at every position the token that stands for it (`unmerge`). Only
reducers that need no attention are compared: a convolutional network has none. Beside them, `pooled` averages the map
over a coarser grid, and `qpid` has its two ablations.

Bits: *side* tells which tokens were kept (`encode_subset`; for merged tokens the map of every position, ⌈log2 K⌉ bits
each, is counted, since the network needs it), *coded* is the whole stream of the kept tokens (`token-arrays`, steps of
a third of the channels' standard deviation) with the side information, `fp16` what 16 bits a number would take.
Accuracy is with the tokens unquantized. A dense convolutional map saves no computing by having fewer tokens.
"""

import argparse
import math
import sys

import numpy as np

from .. import codec
from ..metrics.tasks import ImageNet
from ..primitives.tokens import REDUCERS, Reduced, Tokens, encode_subset, load_backbone, unmerge
from ..primitives.tokens.reducers import qpid
from .datasets import dataset
from .report import align

STAGE = 5
SHARES = (0.25, 0.125, 0.0625)


def pooled(features, grid, budget) -> Reduced:
    """Means over the cells of a coarser grid of at most `budget` cells, as square as it can be."""
    side = math.isqrt(budget)
    rows, columns = np.divmod(np.arange(len(features)), grid[1])
    cells = rows * side // grid[0] * side + columns * side // grid[1]
    sizes = np.bincount(cells)
    sums = np.zeros((len(sizes), features.shape[1]))
    np.add.at(sums, cells, features)
    kept = np.array([np.flatnonzero(cells == cell)[0] for cell in range(len(sizes))])
    return Reduced((sums / sizes[:, None]).astype(np.float32), kept, cells, sizes)


METHODS = {
    "pooled": pooled,
    "random": REDUCERS["random"],
    "grid": REDUCERS["grid"],
    "divprune": REDUCERS["divprune"],
    "tome": REDUCERS["tome"],
    "qpid": qpid,
    "qpid, uniform score": lambda *a: qpid(*a, score="uniform"),
    "qpid, norm score": lambda *a: qpid(*a, score="norm"),
    "qpid, no quadtree": lambda *a: qpid(*a, quadtree=False),
}


def main(arguments=None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", required=True, metavar="FOLDER", help="pictures with ImageNet labels (labels.csv)")
    parser.add_argument("--count", type=int, default=200, metavar="N")
    options = parser.parse_args(arguments)

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
                elif name == "tome":
                    side.append(len(tokens.features) * math.ceil(math.log2(budget)))
                else:
                    mask = np.zeros(len(tokens.features), bool)
                    mask[reduced.kept] = True
                    side.append(8 * len(encode_subset(mask.reshape(tokens.grid))))
                if n < 20:  # coding is slower than counting
                    stream = coder.encode_tokens(reduced.tokens, (len(reduced.kept), 1))
                    coded.append(8 * len(stream) + side[-1])
            accuracy = np.mean(right)
            retained[name].append(accuracy / full)
            cells = [f"{100 * accuracy:.1f}", f"{100 * accuracy / full:.1f}", f"{np.mean(side):.0f}"]
            cells += [f"{np.mean(coded):.0f}", f"{16 * 112 * np.mean(kept):.0f}"]
            rows.append([f"{np.mean(kept):.0f}", name, *cells])
        print(f"{share:.2%} done", file=sys.stderr)
    print(f"{len(images)} pictures, all 196 tokens: {100 * full:.1f} %\n{align(rows)}")
    means = sorted(((np.mean(values), name) for name, values in retained.items()), reverse=True)
    print("\nretained on average: " + ", ".join(f"{name} {100 * value:.1f} %" for value, name in means))
    return 0


if __name__ == "__main__":
    sys.exit(main())
