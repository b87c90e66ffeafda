"""Large pictures through learned codecs: peak memory, time, and whether tiles change anything.

    python -m codeckit.bench.studies.learned_large                                  # 24 megapixels, three codecs
    python -m codeckit.bench.studies.learned_large --codecs mbt2018 --size 2000 3000

Every codec encodes and decodes a picture made by code in a process of its own, with random weights of full size
(`learned_models`), and the process's peak resident memory is read at the end (``ru_maxrss``: everything, Python, torch
and the picture included). On a smaller picture, streams and pictures with and without tiles are compared.
"""

import argparse
import functools
import multiprocessing
import resource
import sys
import tempfile
import time

import numpy as np
import torch

from ... import codec
from ...codecs.learned import stages
from ...primitives.learned.tiles import tiled
from .learned_models import random_weights
from .pictures import photo


def measure(name: str, path: str, size: tuple[int, int], threads: int) -> dict:
    """One row of the table; to be called in a fresh process."""
    torch.set_num_threads(threads)
    tile = photo(512, 768, seed=1)
    image = np.tile(tile, (-(-size[0] // 512), -(-size[1] // 768), 1))[: size[0], : size[1]]
    coder = codec(name, weights=path)
    began = time.perf_counter()
    stream = coder.encode(image)
    middle = time.perf_counter()
    decoded = coder.decode(stream)
    end = time.perf_counter()
    assert decoded.shape == image.shape
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 2**30
    return {"codec": name, "bpp": 8 * len(stream) / (size[0] * size[1]), "encode s": middle - began,
            "decode s": end - middle, "peak GiB": peak}  # fmt: skip


def compare_tiles(name: str, path: str) -> tuple[bool, int]:
    """Whether the stream is the same with and without tiles, and the largest difference between decoded samples."""
    image = photo(800, 1120, seed=2)
    coder = codec(name, weights=path)
    found = []
    for positions in (1 << 30, 0):
        stages.tiled = functools.partial(tiled, whole=positions, side=24)
        stream = coder.encode(image)
        found.append((stream, coder.decode(found[0][0] if found else stream).astype(int)))
    stages.tiled = tiled
    return found[0][0] == found[1][0], int(np.abs(found[0][1] - found[1][1]).max())


def main(argv=None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ("bmshj2018-hyperprior", "cheng2020-anchor", "cheng2020")
    parser.add_argument("--codecs", nargs="+", default=names, metavar="NAME")
    parser.add_argument("--size", type=int, nargs=2, default=(4000, 6000), metavar=("H", "W"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args(argv)
    print(f"{options.size[1]}×{options.size[0]}, {options.threads} threads")
    print(
        f"{'codec':>24} {'bpp':>8} {'encode s':>9} {'decode s':>9} {'peak GiB':>9} {'same stream':>12} {'largest':>8}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name in options.codecs:
            path = random_weights(name, folder)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                row = pool.apply(measure, (name, path, tuple(options.size), options.threads))
            same, largest = compare_tiles(name, path)
            print(
                f"{name:>24} {row['bpp']:8.3f} {row['encode s']:9.1f} {row['decode s']:9.1f} {row['peak GiB']:9.2f} "
                f"{same!s:>12} {largest:8}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
