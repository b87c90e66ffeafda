"""A folder of scenes with their truth, for the task `metrics.tasks.scenes`.

    python -m codeckit.bench.scenes SCENES --objects IMAGENETTE/val --backgrounds FOLDER … [--count 1000]

Pictures are lossless PNG, and labels.csv has each picture's scene. The same folders, count and seed make the same
pictures. Without ``--objects`` there are shapes and words alone, without ``--backgrounds`` gradients.
"""

import argparse
import csv
import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from ..codecs.image_io import write_atomically
from ..metrics.tasks.scenes.backgrounds import without_our_classes
from ..metrics.tasks.scenes.scene import Photographs, draw_scene, render

#: Of the test set. Training draws with others.
SEED = 20260120


def write_scenes(folder, count: int, photographs: Photographs, seed: int = SEED) -> None:
    """Draw scenes and write them with their labels.

    Args:
        folder: for the pictures and labels.csv; made if it is missing.
        count: number of scenes.
        photographs: what they are made of.
        seed: of all choices.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    table = io.StringIO(newline="")
    rows = csv.writer(table)
    rows.writerow(["file", "label"])
    for n in range(count):
        scene = draw_scene(np.random.default_rng((seed, n)), photographs)
        name = f"scene-{n:04}.png"
        Image.fromarray(render(scene, photographs)).save(folder / name)
        rows.writerow([name, scene.label])
    write_atomically(folder / "labels.csv", table.getvalue().encode())


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m codeckit.bench.scenes", description=__doc__.splitlines()[0])
    parser.add_argument("folder", metavar="SCENES", help="to write")
    parser.add_argument("--objects", metavar="FOLDER", help="a folder for each of ten classes, as Imagenette's")
    parser.add_argument("--backgrounds", nargs="*", default=[], metavar="FOLDER", help="of photographs")
    parser.add_argument("--count", type=int, default=1000, metavar="N")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args(arguments)
    photographs = Photographs.of(options.objects, options.backgrounds)
    photographs = replace(photographs, backgrounds=without_our_classes(photographs.backgrounds))
    write_scenes(options.folder, options.count, photographs, options.seed)
    print(f"{options.folder}: {options.count} scenes", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
