"""A detection: bright discs on a cloudy ground, found by a threshold. A task without classes and without weights.

A label lists the true boxes, "top:left:bottom:right" each, with spaces between. A box that was found is right if it and
a true one that is still free share at least half of what they cover together (IoU ≥ 0.5). Boxes are taken in the order
of their confidence, and the *average precision* of a picture is the area under its curve of precision over recall.

``python -m codeckit_example_plugin.blobs FOLDER`` writes labelled pictures into a folder.
"""

import csv
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from codeckit.metrics import Measure, UndefinedError

#: A box: top, left, bottom, right, in pixels; the latter two are the first that are outside.
Box = tuple[int, int, int, int]


def recall(counts: np.ndarray) -> float:
    """The share of the true boxes that were found, of the counts (found, true)."""
    return float(counts[0] / counts[1])


@dataclass(frozen=True)
class Blobs:
    """Finding bright discs.

    Attributes:
        contrast: how much brighter than the picture's median a disc is, in grey levels.
        smallest: pixels that a disc has at least.

    >>> image, label = picture(seed=1)
    >>> BLOBS.score(BLOBS.predict(image), label)["map50"] > 0.8
    True
    """

    name: ClassVar[str] = "blobs"
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("map50", title="mAP50", unit="%", digits=1),
        Measure("recall", title="recall", unit="%", digits=1, from_counts=recall),
    )
    classification: ClassVar[bool] = False

    contrast: float = 45.0
    smallest: int = 12

    def predict(self, decoded) -> list[tuple[float, Box]]:
        """Confidence and box of each disc, the surest first."""
        from scipy import ndimage

        if not isinstance(decoded, np.ndarray):
            raise UndefinedError("discs are found in pictures, not in tokens")
        grey = decoded.astype(np.float64) if decoded.ndim == 2 else decoded.mean(axis=2)
        above = grey - np.median(grey) - self.contrast
        regions, _ = ndimage.label(above > 0)
        found = []
        for number, (rows, columns) in enumerate(ndimage.find_objects(regions), 1):
            inside = regions[rows, columns] == number
            if inside.sum() >= self.smallest:
                confidence = float(above[rows, columns][inside].mean())
                found.append((confidence, (rows.start, columns.start, rows.stop, columns.stop)))
        return sorted(found, reverse=True)

    def score(self, prediction, label) -> dict:
        """Average precision, and the counts of `recall`, for the boxes of a label."""
        true = parse(label)
        free, hits = list(true), []
        for _, box in prediction:
            best = max(free, key=lambda each: overlap(box, each), default=None)
            hits.append(best is not None and overlap(box, best) >= 0.5)
            if hits[-1]:
                free.remove(best)
        return {"map50": average_precision(hits, len(true)), "recall": (float(sum(hits)), float(len(true)))}


def parse(label: str) -> list[Box]:
    """The boxes of a label.

    Raises:
        ValueError: it is none.

    >>> parse("1:2:9:12 20:3:28:13")
    [(1, 2, 9, 12), (20, 3, 28, 13)]
    """
    try:
        boxes = [tuple(map(int, part.split(":"))) for part in label.split()]
    except (AttributeError, ValueError):
        boxes = []
    if not boxes or any(len(box) != 4 for box in boxes):
        raise ValueError(f"a label of the task blobs is TOP:LEFT:BOTTOM:RIGHT of each disc, not {label!r}")
    return boxes


def overlap(one: Box, other: Box) -> float:
    """Intersection over union.

    >>> overlap((0, 0, 2, 2), (0, 1, 2, 3))
    0.3333333333333333
    """
    height = min(one[2], other[2]) - max(one[0], other[0])
    width = min(one[3], other[3]) - max(one[1], other[1])
    common = max(height, 0) * max(width, 0)
    areas = [(bottom - top) * (right - left) for top, left, bottom, right in (one, other)]
    return common / (sum(areas) - common)


def average_precision(hits: list[bool], true: int) -> float:
    """Area under precision over recall, for hits in the order of confidence and the number of true boxes.

    >>> average_precision([True, False, True], 2)
    0.8333333333333333
    """
    right = np.cumsum(hits)
    precision = right / np.arange(1, len(hits) + 1)
    return float(sum(precision[np.array(hits, bool)]) / true) if hits else 0.0


def picture(seed: int, size: int = 160) -> tuple[np.ndarray, str]:
    """A picture uint8 [size,size,3] with three to six discs that do not touch, and its label."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    ground = 70 + 20 * np.sin(rows / rng.uniform(20, 50)) * np.cos(columns / rng.uniform(20, 50))
    grey = ground + rng.normal(0, 5, (size, size))
    boxes: list[Box] = []
    wanted = rng.integers(3, 7)
    while len(boxes) < wanted:
        radius = int(rng.integers(4, 10))
        row, column = rng.integers(radius, size - radius, 2).tolist()
        box = (row - radius, column - radius, row + radius + 1, column + radius + 1)
        if all(overlap(_grown(box), _grown(other)) == 0 for other in boxes):
            boxes.append(box)
            grey[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] += rng.uniform(75, 120)
    colour = grey[..., None] + np.array([4, 0, -4])
    return np.clip(colour, 0, 255).round().astype(np.uint8), " ".join(":".join(map(str, box)) for box in boxes)


def _grown(box):
    return box[0] - 4, box[1] - 4, box[2] + 4, box[3] + 4


def write_pictures(folder, count: int = 8) -> None:
    """Write labelled pictures into a folder: .png files, and labels.csv (file,label)."""
    from PIL import Image

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "labels.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "label"])
        for seed in range(count):
            image, label = picture(seed)
            Image.fromarray(image).save(folder / f"{seed:03}.png")
            table.writerow([f"{seed:03}.png", label])


#: What the distribution declares.
BLOBS = Blobs()

if __name__ == "__main__":
    write_pictures(sys.argv[1])
