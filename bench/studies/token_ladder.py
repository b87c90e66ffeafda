"""The ladder of entropy coders on real tokens: bits for each token, real bytes, and speed.

    python -m codeckit.bench.studies.token_ladder --train FOLDER --test FOLDER [--count 64] [--train-count 200]

Tokens are EfficientNet-Lite0's features behind stage 5 (14 × 14 of 112 channels) of photographs. Tokenizers are fitted
on the training pictures: principal components and FSQ (8·5·5·5), vector quantization (1024 words), residual
quantization (4 layers of 64 words), product quantization (4 groups of 64 words), and the 16 largest components rounded
to whole standard deviations. Each test picture is a stream of its own ("one picture"), or all are one tall grid
("together"), on which the adaptive coders have time to learn. Headers are counted. Every stream is decoded again and
compared. The causal network (for symbols that are numbers: FSQ and components) is trained on the symbols of the
training pictures.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from functools import partial

import numpy as np

from ... import codec
from ...primitives import ContextCoded, HuffmanCoded, RangeCoded, UniformCoded
from ...primitives.entropy import AdaptiveIndices, FixedIndices, MixedIndices, StaticIndices
from ...primitives.entropy.causal import CausalNetwork
from ...primitives.entropy.indices import DecisionCoded
from ...primitives.quantizers import FSQ, ProductQuantizer, ResidualQuantizer, VectorQuantizer
from ...primitives.tokens import Tokens, load_backbone
from ...training.causal import fit
from ..datasets import dataset
from ..tables import align


@dataclass(frozen=True)
class OwnNetwork(DecisionCoded):
    """The top rung with a network made here."""

    vocabulary: tuple[int, ...] | None = None
    progressive: bool = False
    network: CausalNetwork | None = None

    def known_sizes(self, dimensions):
        return self.network.levels

    def _state(self, count, sizes):
        return self.network.state(count, len(sizes))

    def _code(self, values, d, size, grid, state, coder, data, decoding):
        return self.network.code(values, d, grid, state, coder, data, decoding)


#: Tokenizers whose symbols are numbers.
SCALAR = ("FSQ 8·5·5·5", "16 components")

RUNGS = {"fixed": FixedIndices, "static": StaticIndices, "adaptive": AdaptiveIndices, "mixed": MixedIndices}


def feature_maps(images) -> list[Tokens]:
    """The tokens of all pictures."""
    backbone = load_backbone("efficientnet-lite0")
    return [backbone.tokens(image.load(), 5) for image in images]


def tokenizers(vectors: np.ndarray) -> dict:
    """(function from features [N,C] to indices [N,D], vocabulary) by name, fitted to training vectors."""
    mean = vectors.mean(0)
    values, basis = np.linalg.eigh(np.cov((vectors - mean).T))
    basis = basis[:, ::-1] / np.sqrt(values[::-1])
    fsq, vq = FSQ(), VectorQuantizer.fit(vectors, 1024, iterations=8)
    residual = ResidualQuantizer.fit(vectors, 64, layers=4, iterations=8)
    product = ProductQuantizer.fit(vectors, 64, groups=4, iterations=8)

    def rounded(features):
        return np.clip(np.rint((features - mean) @ basis[:, :16]), -4, 4).astype(np.int64) + 4

    def finite(features):
        return fsq.forward(Tokens((features - mean) @ basis[:, :4], (len(features), 1))).features

    return {
        "FSQ 8·5·5·5": (finite, fsq.levels),
        "VQ 1024": (lambda features: vq.quantize(features)[:, None], 1024),
        "residual 4 × 64": (residual.quantize, 64),
        "product 4 × 64": (product.quantize, 64),
        "16 components": (rounded, 9),
    }


def cost(rung, streams: list[Tokens], vocabulary) -> tuple[float, float, float]:
    """Bits for each token, and millions of indices a second of processor time in both directions."""
    stage, bits, tokens, indices, seconds = rung(vocabulary=vocabulary), 0, 0, 0, [0.0, 0.0]
    stage.inverse(stage.forward(streams[0]))
    for stream in streams:
        start = time.process_time()
        payload = stage.forward(stream)
        middle = time.process_time()
        back = stage.inverse(payload)
        seconds[0] += middle - start
        seconds[1] += time.process_time() - middle
        if not np.array_equal(back.features, stream.features):
            raise RuntimeError(f"{rung.__name__} is not lossless")
        bits += 8 * len(payload)
        tokens += len(stream.features)
        indices += stream.features.size
    return bits / tokens, indices / seconds[0] / 1e6, indices / seconds[1] / 1e6


def codec_sizes(images) -> list[list[str]]:
    """Mean bytes of whole streams of the codec `tokens` with other entropy stages."""
    plain = codec("tokens", quality=4)
    stages = {
        "UniformCoded, ⌈log2⌉ of each component's range": UniformCoded(),
        "HuffmanCoded, tables sent": HuffmanCoded(),
        "RangeCoded, tables sent": RangeCoded(),
        "ContextCoded, learned on the way": ContextCoded(),
        "TokenCoded, tables of the shipped model": None,
    }
    rows = [["tokens at quality 4, one picture a stream", "bytes"]]
    for name, stage in stages.items():
        coder = plain if stage is None else plain.replace(entropy=stage)
        rows.append([name, f"{np.mean([len(coder.encode(image.load())) for image in images]):.0f}"])
    return rows


def main(arguments=None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", required=True, metavar="FOLDER")
    parser.add_argument("--test", required=True, metavar="FOLDER")
    parser.add_argument("--train-count", type=int, default=200, metavar="N")
    parser.add_argument("--count", type=int, default=64, metavar="N")
    options = parser.parse_args(arguments)

    train = feature_maps(dataset(options.train)[: options.train_count])
    test = feature_maps(dataset(options.test)[: options.count])
    print(f"{len(train)} training and {len(test)} test pictures", file=sys.stderr)
    heading = ["bits a token", "log2 K", *RUNGS, "network", "best / fixed"]
    tables = {"one picture a stream": [heading], f"{len(test)} pictures in one stream": [heading]}
    speeds = [["Mindices/s", *(f"{name} {way}" for name in (*RUNGS, "network") for way in ("enc", "dec"))]]
    for name, (tokenize, vocabulary) in tokenizers(np.concatenate([t.features for t in train])).items():
        alone = [Tokens(np.asarray(tokenize(t.features), np.int32), t.grid) for t in test]
        together = Tokens(np.concatenate([t.features for t in alone]), (14 * len(alone), 14))
        dimensions = alone[0].features.shape[1]
        ideal = np.log2(np.broadcast_to(vocabulary, dimensions)).sum()
        rungs = dict(RUNGS)
        if name in SCALAR:
            levels = tuple(int(size) for size in np.broadcast_to(vocabulary, dimensions))
            grids = np.stack([np.asarray(tokenize(t.features), np.int32).reshape(14, 14, -1) for t in train])
            rungs["network"] = partial(OwnNetwork, network=fit(grids, levels, steps=400, batch=8))
        for title, streams in zip(tables, (alone, [together]), strict=True):
            costs = {rung: cost(stage, streams, vocabulary) for rung, stage in rungs.items()}
            cells = [f"{costs[rung][0]:.2f}" if rung in costs else "" for rung in (*RUNGS, "network")]
            ratio = min(value[0] for value in costs.values()) / costs["fixed"][0]
            tables[title].append([name, f"{ideal:.2f}", *cells, f"{ratio:.3f}"])
        found = [f"{value:.2f}" for own in costs.values() for value in own[1:]]
        speeds.append([name, *found, *[""] * (len(speeds[0]) - 1 - len(found))])
    for title, rows in tables.items():
        print(f"{title}\n{align(rows)}\n")
    print(f"{align(codec_sizes(dataset(options.test)[: min(options.count, 32)]))}\n")
    print(f"speed, all pictures in one stream, processor time of one thread\n{align(speeds)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
