"""Random streams of every entropy coder, decoded by the reference decoder that was written from docs/format.md.

    python -m codeckit.bench.studies.reference                          # 200 of each coder, a few minutes
    python -m codeckit.bench.studies.reference --count 20 --coder ContextCoded --seed 7

The reference decoder (`tests/reference/`) is plain Python, so planes are small. They vary in number, shape, spread and
structure: noise, smooth fields, constants, values at the limits of what a coder takes. Stream n of a coder is a
function of the seed and n alone. The exit status is 1 if any stream decodes to something else than was coded.

Needs a checkout: tests are not installed.
"""

import argparse
import importlib
import sys
import time
from pathlib import Path

import numpy as np

from ...codecs.tokens.fsq import NetworkIndices, load_tokenizer
from ...codecs.tokens.model import load_model
from ...codecs.tokens.stages import TokenCoded
from ...primitives.entropy import (
    AdaptiveIndices,
    AnsCoded,
    BitPlaneCoded,
    ContextCoded,
    DctCoded,
    FixedIndices,
    HuffmanCoded,
    MixedIndices,
    RangeCoded,
    StaticIndices,
    UniformCoded,
)
from ...primitives.picture import COLORS, Picture
from ...primitives.stage import Stage
from ...primitives.token_grid import Tokens


def load_reference():
    """The reference decoder of this checkout.

    Raises:
        ImportError: codeckit is not used from a checkout.
    """
    for parent in Path(__file__).resolve().parents:
        if (parent / "tests" / "reference" / "__init__.py").exists():
            sys.path.insert(0, str(parent / "tests"))
            try:
                return importlib.import_module("reference")
            finally:
                sys.path.pop(0)
    raise ImportError("the reference decoder is in tests/reference of a checkout; this codeckit is not used from one")


def random_values(rng, shape, largest: int) -> np.ndarray:
    """Integers of a random spread and structure, magnitudes up to `largest`: int64."""
    spread = rng.choice([0, 0.1, 0.7, 3, 30, 1000, largest / 5])
    values = rng.laplace(size=shape) * spread
    if rng.random() < 0.4:  # neighbours resemble each other
        values = np.cumsum(values, axis=int(rng.integers(2)))
    if rng.random() < 0.3:
        values[rng.random(shape) < 0.7] = 0
    if rng.random() < 0.2:
        values.flat[rng.integers(values.size)] = rng.choice([-largest - 1, largest])
    return np.clip(np.rint(values), -largest - 1, largest).astype(np.int64)


def random_planes(rng, shapes, largest: int) -> Picture:
    """A picture of one to four planes, often of one shape; `shapes` makes the shape of a plane."""
    planes, shape = [], shapes()
    for _ in range(rng.integers(1, 5)):
        shape = shapes() if rng.random() < 0.3 else shape
        planes.append(random_values(rng, shape, largest))
    factors = tuple((int(v), int(h)) for v, h in rng.integers(1, 5, (len(planes), 2)))
    size = tuple(int(side) for side in rng.integers(1, 300, 2))
    return Picture(tuple(planes), size, factors, COLORS[rng.integers(len(COLORS))])


def of_any_axes(rng) -> Picture:
    """Planes of two to five axes."""
    blocks = ((), (), (3,), (4, 4), (2, 3, 2), (1, 1), (8, 8), (40,), (1100,))

    def shape():
        block = blocks[rng.integers(len(blocks))]
        most = 13 if not block else 2 if block[0] > 1000 else 4
        return (*rng.integers(1, most, 2).tolist(), *block)

    return random_planes(rng, shape, (1 << 31) - 1)


def of_blocks(rng) -> Picture:
    """8×8 blocks with quantization tables."""
    picture = random_planes(rng, lambda: (*rng.integers(1, 4, 2).tolist(), 8, 8), 32767)
    falling = 40.0 / (1 + np.add.outer(np.arange(8), np.arange(8))) ** rng.choice([0, 1, 2])
    planes = tuple(np.rint(np.clip(plane * falling / 40, -32768, 32767)).astype(np.int16) for plane in picture.planes)
    most = rng.choice([2, 20, 300, 65536])
    tables = [rng.integers(1, most, (8, 8)).astype(np.uint16) for _ in range(2)]
    return picture.replace(planes=planes, tables=tuple(tables[int(n > 0)] for n in range(len(planes))))


def of_wavelets(rng) -> Picture:
    """Planes of two axes, magnitudes below 2^30."""
    picture = random_planes(rng, lambda: tuple(rng.integers(1, 16, 2).tolist()), (1 << 30) - 2)
    return picture.map(lambda plane: plane.astype(np.int32))


def of_indices(rng, sizes=None) -> tuple[Tokens, tuple[int, ...]]:
    """Indices on a grid, and the sizes of their vocabularies."""
    grid = tuple(rng.integers(1, 9, 2).tolist())
    sizes = tuple(rng.choice([1, 2, 3, 5, 8, 100, 3000], rng.integers(1, 5)).tolist()) if sizes is None else sizes
    count, skew = grid[0] * grid[1], rng.choice([0.5, 1, 6])
    share = rng.random((count, len(sizes))) ** skew
    if rng.random() < 0.5:  # runs along the rows, which agree between dimensions
        share[:] = np.repeat(share[:: rng.integers(2, 6), :1], 8, axis=0)[:count]
    values = np.minimum((share * sizes).astype(np.int64), np.array(sizes) - 1)
    size = tuple(rng.integers(1, 300, 2).tolist()) if rng.random() < 0.7 else (0, 0)
    return Tokens(values, grid, size=size), sizes


def _indices(kind):
    def stream(rng):
        tokens, sizes = of_indices(rng)
        return kind(sizes if rng.random() < 0.8 else None, bool(rng.integers(2))), tokens

    return stream


def _network(rng):
    levels = load_tokenizer().causal.levels[: rng.choice([1, 3, 5, 12])]
    return NetworkIndices(bool(rng.integers(2))), of_indices(rng, levels)[0]


def _tokens(rng):
    source = rng.choice(["efficientnet-lite0/6", "vit-imagenette/4", "mllm-scenes/4"])
    model = load_model(str(source))
    shape = (int(rng.integers(1, 20)), 1, model.shape[2]) if model.single else model.shape
    symbols = random_values(rng, shape, (1 << 31) - 1)
    symbols[..., rng.integers(1, shape[2] + 1) :] = 0
    level = int(rng.integers(57))
    size = tuple(rng.integers(1, 300, 2).tolist()) if rng.random() < 0.7 else (0, 0)
    return TokenCoded(str(source)), Picture((symbols.astype(np.int32),), size, color="other", side={"level": level})


#: For each coder a function of a generator to a stage and what it codes.
CODERS = {
    **{kind.__name__: lambda rng, kind=kind: (kind(), of_any_axes(rng)) for kind in (UniformCoded, HuffmanCoded)},
    **{kind.__name__: lambda rng, kind=kind: (kind(), of_any_axes(rng)) for kind in (RangeCoded, AnsCoded)},
    "ContextCoded": lambda rng: (ContextCoded(), of_any_axes(rng)),
    "DctCoded": lambda rng: (DctCoded(), of_blocks(rng)),
    "BitPlaneCoded": lambda rng: (
        BitPlaneCoded(int(rng.integers(7)), str(rng.choice(["quality", "resolution"]))),
        of_wavelets(rng),
    ),
    **{kind.__name__: _indices(kind) for kind in (FixedIndices, StaticIndices, AdaptiveIndices, MixedIndices)},
    "NetworkIndices": _network,
    "TokenCoded": _tokens,
}


def agrees(reference, coder: str, seed: int, number: int) -> bool:
    """Whether the reference decoder returns what stream `number` of a coder was made of."""
    rng = np.random.default_rng([seed, *coder.encode(), number])
    stage, value = CODERS[coder](rng)
    return same(reference, stage, value, stage.forward(value))


def same(reference, stage: Stage, value, payload: bytes) -> bool:
    """Whether the reference decoder finds `value` (a `Picture` or `Tokens`) in a payload of the stage."""
    fields = {name: getattr(stage, name) for name in ("levels", "order") if isinstance(stage, BitPlaneCoded)}
    weights = model_file(stage)
    found = reference.decode_payload(
        f"codeckit:{type(stage).__name__}@1", fields, payload, weights and reference.read_weights(weights)[1]
    )
    planes, side = (value.planes, value.side) if isinstance(value, Picture) else ([np.atleast_2d(value.features)], {})
    if isinstance(stage, TokenCoded):
        planes = [planes[0].reshape(-1, planes[0].shape[2])]
    alike = len(found.planes) == len(planes) and all(map(np.array_equal, found.planes, planes))
    return alike and found.size == value.size and found.side == side


def model_file(stage):
    """The file of the model that ships with codeckit for a stage, or None."""
    from ...codecs.tokens import fsq, model

    if isinstance(stage, NetworkIndices):
        return fsq.SHIPPED
    if isinstance(stage, TokenCoded):
        return model.SHIPPED / (stage.source.replace("/", "-") + ".safetensors")
    return None


def main(arguments=None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--count", type=int, default=200, help="streams of each coder")
    parser.add_argument("--coder", choices=CODERS, action="append", help="only this coder (can be repeated)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    reference, wrong = load_reference(), 0
    for coder in options.coder or CODERS:
        start = time.monotonic()
        failed = [n for n in range(options.count) if not agrees(reference, coder, options.seed, n)]
        wrong += len(failed)
        verdict = f"{len(failed)} differ: {failed[:10]}" if failed else "all identical"
        print(f"{coder:16} {options.count:5} streams  {verdict}  {time.monotonic() - start:6.1f} s", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
