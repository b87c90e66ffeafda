"""The token codecs of our own networks: what a few tokens tell, and what `tokens-fsq` owes to its entropy coder.

    python -m codeckit.bench.studies.token_codecs vit --images IMAGENETTE/val [--step 5]
    python -m codeckit.bench.studies.token_codecs fsq --images PHOTOGRAPHS [--step 3]

**vit**: bytes and accuracy of `tokens-vit` with 100, 25, 12 and 6 tokens, beside JPEG. Features are computed once.
**fsq**: mean bytes of the payload of `tokens-fsq` with every coder of indices, and of the causal network alone (its
ideal length, without contexts). `--step` takes every so many pictures.
"""

import argparse
import sys

import numpy as np

from ... import codec
from ...codecs.tokens.fsq import DIMENSIONS, NetworkIndices, load_tokenizer
from ...metrics.tasks import Imagenette
from ...primitives.entropy import AdaptiveIndices, FixedIndices, MixedIndices
from ...primitives.tokens import Tokens, load_backbone
from ..datasets import dataset
from ..tables import align


def vit(images) -> list[list[str]]:
    """Rows: tokens, quality, bytes, bpp, top-1 in percent."""
    task, backbone = Imagenette(), load_backbone("vit-imagenette")
    pixels, labels = [image.load() for image in images], [image.label for image in images]
    tokens = [backbone.tokens(picture) for picture in pixels]
    area = np.mean([picture.shape[0] * picture.shape[1] for picture in pixels])

    def accuracy(decoded):
        pairs = zip(decoded, labels, strict=True)
        return f"{100 * np.mean([task.score(task.predict(one), label)['top1'] for one, label in pairs]):.1f}"

    def row(tokens, quality, coder, streams):
        size = np.mean([len(stream) for stream in streams])
        return [tokens, f"{quality}", f"{size:.0f}", f"{8 * size / area:.4f}", accuracy(map(coder.decode, streams))]

    rows = [["tokens", "quality", "bytes", "bpp", "top-1 %"], ["uncompressed", "", "", "24", accuracy(tokens)]]
    for budget in (100, 25, 12, 6):
        for quality in (1, 2, 3, 4):
            coder = codec("tokens-vit", quality=quality, budget=budget)
            rows.append(row(f"{budget}", quality, coder, [coder.encode_tokens(one) for one in tokens]))
    for quality in (5, 20, 60):
        coder = codec("libjpeg", quality=quality)
        rows.append(row("libjpeg", quality, coder, [coder.encode(picture) for picture in pixels]))
    return rows


def fsq(images) -> list[list[str]]:
    """Rows: coder, and mean bytes at the qualities 4 and 8."""
    model, coder = load_tokenizer(), codec("tokens-fsq", quality=8)
    tokens = [coder.tokenize(image.load()) for image in images]
    found: dict[str, list[str]] = {}
    for quality in (4, 8):
        count = DIMENSIONS[quality - 1]
        some = [Tokens(np.ascontiguousarray(t.features[:, :count]), t.grid, size=t.size) for t in tokens]
        levels = model.causal.levels[:count]
        stages = [kind(levels) for kind in (FixedIndices, AdaptiveIndices, MixedIndices)] + [NetworkIndices()]
        for stage in stages:
            size = np.mean([len(stage.forward(one)) for one in some])
            found.setdefault(type(stage).__name__, []).append(f"{size:.0f}")
        alone = np.mean([model.causal.bits(one.features, one.grid).sum() / 8 for one in some])
        found.setdefault("the network alone", []).append(f"{alone:.0f}")
    return [["bytes", "quality 4", "quality 8"], *([name, *sizes] for name, sizes in found.items())]


def main(arguments=None) -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("codec", choices=("vit", "fsq"))
    parser.add_argument("--images", required=True, metavar="FOLDER")
    parser.add_argument("--step", type=int, default=1, metavar="N")
    options = parser.parse_args(arguments)
    images = dataset(options.images, recursive=True)[:: options.step]
    print(f"{len(images)} pictures\n{align({'vit': vit, 'fsq': fsq}[options.codec](images))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
