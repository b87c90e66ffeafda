"""Lossless recompression of JPEG files: how much smaller, how fast, and whether every file comes back.

::

    python -m codeckit.bench.studies.repack KODAK_FOLDER                 # qualities 50, 75, 90; both scan orders
    python -m codeckit.bench.studies.repack KODAK_FOLDER --large PHOTOS  # and 12-megapixel mosaics of PHOTOS
    python -m codeckit.bench.studies.repack KODAK_FOLDER --context       # `jpeg-context` against progressive files

Files are written by libjpeg-turbo through Pillow with its defaults (4:2:0). *saved* is the mean over files of
1 − packed / file; *of baseline* the same with the size of the baseline file of that picture and quality below, whatever
was packed. Speeds are megapixels a second by the clock, of a folder as the command line does it (as many files at a
time as there are cores, four at most), and a second of processor time: *repack* restores and compares each file too.
Run on an idle machine to time.
"""

import argparse
import io
import itertools
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from ...codecs import registry
from ...codecs.jpeg.repack import is_modelled, repack, unpack
from ...primitives import DctCoded
from ..datasets import dataset
from ..tables import align


def save(image: np.ndarray, **options) -> bytes:
    """A `.jpg` file by libjpeg-turbo."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", **options)
    return out.getvalue()


def mosaics(images, count: int = 2, size: tuple[int, int] = (3024, 4032)):
    """Pictures of the size that phones take, put together from those of a folder."""
    pictures = itertools.cycle(image.load() for image in images)
    for _ in range(count):
        canvas, y = np.zeros((*size, 3), np.uint8), 0
        while y < size[0]:
            x, row = 0, 0
            while x < size[1]:
                tile = next(pictures)
                if tile.ndim == 2:
                    continue
                part = canvas[y : y + tile.shape[0], x : x + tile.shape[1]]
                part[:] = tile[: part.shape[0], : part.shape[1]]
                x, row = x + tile.shape[1], max(row, tile.shape[0]) if row == 0 else min(row, tile.shape[0])
            y += row
        yield canvas


def measure(name: str, files: list[tuple[bytes, int, int]]) -> list[str]:
    """A row of the table for files, each with its pixels and the size of its baseline twin."""
    originals = [data for data, *_ in files]
    clocks, made = {}, {}
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 4)) as pool:
        for step, function in ("repack", repack), ("unpack", unpack):
            start = time.perf_counter(), time.process_time()
            made[step] = list(pool.map(function, made.get("repack", originals)))
            clocks[step] = time.perf_counter() - start[0]
            clocks[f"{step} cpu"] = time.process_time() - start[1]
    sizes = [len(stream) for stream in made["repack"]]
    saved = [1 - size / len(data) for size, data in zip(sizes, originals, strict=True)]
    of_baseline = [1 - size / baseline for size, (_, _, baseline) in zip(sizes, files, strict=True)]
    identical = sum(restored == data for restored, data in zip(made["unpack"], originals, strict=True))
    modelled = sum(is_modelled(stream) for stream in made["repack"])
    pixels = sum(count for _, count, _ in files) / 1e6
    cells = [
        name,
        str(len(files)),
        f"{np.mean(saved):.1%}",
        f"{np.mean(of_baseline):.1%}",
        str(identical),
        str(modelled),
    ]
    return cells + [f"{pixels / seconds:.2f}" for seconds in clocks.values()]


HEADING = ["files", "number", "saved", "of baseline", "identical", "modelled"]
HEADING += ["repack MP/s", "cpu", "unpack MP/s", "cpu"]


def recompression(images, large) -> list[list[str]]:
    """The table of `repack`."""
    repack(save(np.zeros((16, 16, 3), np.uint8)))  # compile
    rows = [HEADING]
    for quality in 50, 75, 90:
        for progressive in False, True:
            files = []
            for image in images:
                pixels = image.load()
                data = save(pixels, quality=quality, progressive=progressive)
                files.append((data, pixels.shape[0] * pixels.shape[1], len(save(pixels, quality=quality))))
            rows.append(measure(f"quality {quality}, {'progressive' if progressive else 'baseline'}", files))
            print(*rows[-1], file=sys.stderr, flush=True)
    for quality in (92,) if large else ():
        files = [save(picture, quality=quality) for picture in mosaics(large)]
        rows.append(measure(f"12 megapixels, quality {quality}", [(data, 3024 * 4032, len(data)) for data in files]))
    return rows


def context(images, qualities=(10, 30, 50, 75, 90), effort: int = 9) -> list[list[str]]:
    """The table of `DctCoded` against the progressive files with the same coefficients, at effort 0 and another."""
    rows = [["quality", "effort", "progressive, bytes", "DctCoded", "less"]]
    for level, quality in itertools.product((0, effort), qualities):
        ratios, file_bytes, mixed_bytes = [], 0, 0
        for image in images:
            codec = registry.codec("jpeg", quality=quality, effort=level, progressive="exhaustive")
            steps = {step.role: step.value for step in codec.trace(image.load()).steps}
            mixed = len(DctCoded().forward(steps["quantize"])) + 11
            ratios.append(mixed / len(steps["entropy"]) - 1)
            file_bytes, mixed_bytes = file_bytes + len(steps["entropy"]), mixed_bytes + mixed
        rows.append([str(quality), str(level), str(file_bytes), str(mixed_bytes), f"{np.mean(ratios):+.1%}"])
        print(*rows[-1], file=sys.stderr, flush=True)
    return rows


def main(argv=None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="folder of photographs")
    parser.add_argument("--large", metavar="PHOTOS", help="folder of pictures to make 12-megapixel mosaics of")
    parser.add_argument("--context", action="store_true", help="measure `jpeg-context` instead")
    parser.add_argument("--images", type=int, help="how many pictures; default: all")
    parser.add_argument("--effort", type=int, default=9, help="effort of the files that --context compares, beside 0")
    arguments = parser.parse_args(argv)
    images = list(dataset(arguments.folder))
    images = images[:: len(images) // (arguments.images or len(images))][: arguments.images]
    if arguments.context:
        print(align(context(images, effort=arguments.effort)))
    else:
        print(align(recompression(images, dataset(arguments.large) if arguments.large else None)))


if __name__ == "__main__":
    main()
