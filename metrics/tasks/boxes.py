"""Boxes that a detector finds, and how well those of a decoded picture agree with those of the original.

Boxes are an array, float64 [N,6], one row a box, the surest first::

    class, confidence, left, top, right, bottom      (pixels)

The boxes on the original of which the detector is sure (confidence ≥ 0.5) count as the truth; no labels are needed.
MPEG's Video Coding for Machines calls that *pseudo ground truth* (ISO/IEC JTC1/SC29/WG4, common test conditions). A box
on the decoded picture is a hit if it has the class of a true box, covers it with an IoU ≥ 0.5, and no surer box has
taken that one before.

==========  ========================================================================================================
measure     meaning
==========  ========================================================================================================
ap50        average precision: the area under precision over recall, of all boxes of the set in one order, that of their
            confidence in `BINS` steps
map50       the same for each picture and each class that it holds, with exact confidences; mean over all such pairs
f1          2·hits / (2·hits + false alarms + misses) of the set, of boxes with a confidence of at least 0.5
==========  ========================================================================================================

COCO's tool ranks the boxes of a set class by class and takes the mean over classes. In sets of some dozens of pictures
most classes have one or two objects, so that this mean hangs on single boxes. `ap50` has one list for all classes (for
faces, which are one class, it is COCO's); `map50` has a list for each picture. All three follow from sums over
pictures, from which a bootstrap can draw.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..measure import Measure
from .packages import colour

#: The confidence from which a box counts as found, and the overlap from which it is the same.
SURE, SAME = 0.5, 0.5

#: Steps of confidence that `ap50` tells apart.
BINS = 40


def overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of all pairs: boxes [N,6] and [M,6] to [N,M].

    >>> box = np.array([[1, 0.9, 0, 0, 2, 2]])
    >>> overlaps(box, np.array([[1, 0.9, 0, 1, 2, 3], [1, 0.9, 5, 5, 6, 6]])).round(3).tolist()
    [[0.333, 0.0]]
    """
    low = np.maximum(first[:, None, 2:4], second[None, :, 2:4])
    high = np.minimum(first[:, None, 4:6], second[None, :, 4:6])
    common = np.clip(high - low, 0, None).prod(2)
    areas = [np.clip(boxes[:, 4:6] - boxes[:, 2:4], 0, None).prod(1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None] - common
    return np.divide(common, union, out=np.zeros_like(common, np.float64), where=union > 0)


def hits(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Which boxes hit a true one that is still free: bool [N] for `found`, the surest first.

    >>> truth = np.array([[1, 1.0, 0, 0, 4, 4]])
    >>> hits(np.array([[1, 0.9, 0, 0, 4, 3], [1, 0.8, 0, 0, 4, 4], [2, 0.7, 0, 0, 4, 4]]), truth).tolist()
    [True, False, False]
    """
    shared = overlaps(found, truth)
    shared[found[:, None, 0] != truth[None, :, 0]] = 0
    free, right = np.ones(len(truth), bool), np.zeros(len(found), bool)
    for n in range(len(found)):
        candidates = np.where(free, shared[n], 0)
        if len(truth) and candidates.max() >= SAME:
            right[n], free[candidates.argmax()] = True, False
    return right


def average_precision(right: np.ndarray, true: int) -> float:
    """Area under precision over recall; the precision at a recall is the best at this recall or a higher one.

    Args:
        right: which boxes are hits, the surest first [N].
        true: number of true boxes.

    >>> average_precision(np.array([True, False, True]), 2)  # precision 1 up to recall 1/2, then 2/3
    0.8333333333333333
    """
    right = np.asarray(right, bool)
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best[right].sum() / true)


def compare_boxes(found: np.ndarray, original: np.ndarray) -> dict[str, tuple[float, ...]]:
    """The counts of all measures, for the boxes on a decoded picture and those on its original.

    Returns:
        ``ap50``: number of true boxes, hits by confidence [BINS], false alarms by confidence [BINS]; ``map50``: sum of
        the classes' average precisions, and number of classes; ``f1``: hits, false alarms, misses.

    >>> original = np.array([[1, 0.9, 0, 0, 4, 4], [2, 0.8, 0, 0, 9, 9], [3, 0.2, 0, 0, 9, 9]])
    >>> counts = compare_boxes(original[:1], original)
    >>> counts["map50"], counts["f1"], pooled_precision(np.array(counts["ap50"]))
    ((1.0, 2.0), (1.0, 0.0, 1.0), 0.5)
    """
    truth = original[original[:, 1] >= SURE]
    precisions = []
    for kind in np.unique(truth[:, 0]):
        own, true = found[found[:, 0] == kind], truth[truth[:, 0] == kind]
        precisions.append(average_precision(hits(own, true), len(true)))
    right = hits(found, truth)
    steps = np.clip((found[:, 1] * BINS).astype(int), 0, BINS - 1)
    by_confidence = [np.bincount(steps[which], minlength=BINS).tolist() for which in (right, ~right)]
    sure = found[:, 1] >= SURE
    n_right, n_sure = int((right & sure).sum()), int(sure.sum())
    return {
        "ap50": tuple(map(float, (len(truth), *by_confidence[0], *by_confidence[1]))),
        "map50": (float(sum(precisions)), float(len(precisions))),
        "f1": (float(n_right), float(n_sure - n_right), float(len(truth) - n_right)),
    }


def pooled_precision(counts: np.ndarray) -> float:
    """AP of (true boxes, hits by confidence, false alarms by confidence); NaN where there is nothing to find.

    Boxes of one step of confidence come together.
    """
    true, right, wrong = counts[0], counts[1 : 1 + BINS][::-1], counts[1 + BINS :][::-1]
    if not true:
        return float("nan")
    all_right, everything = np.cumsum(right), np.cumsum(right + wrong)
    precision = np.divide(all_right, everything, out=np.zeros(BINS), where=everything > 0)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((right * best).sum() / true)


def mean_precision(counts: np.ndarray) -> float:
    """mAP of (sum of average precisions, their number); NaN where there is nothing to find."""
    total, number = counts
    return float(total / number) if number else float("nan")


def f1(counts: np.ndarray) -> float:
    """F1 of (hits, false alarms, misses); NaN where there is nothing to find and nothing was found.

    >>> f1(np.array([3.0, 1.0, 1.0]))
    0.75
    """
    right, false_alarms, misses = counts
    whole = 2 * right + false_alarms + misses
    return float(2 * right / whole) if whole else float("nan")


MEASURES = (
    Measure("ap50", title="AP50", unit="%", digits=1, axis="AP50 (%)", from_counts=pooled_precision),
    Measure("map50", title="mAP50", unit="%", digits=1, axis="mAP50 (%)", from_counts=mean_precision),
    Measure("f1", title="F1", unit="%", digits=1, axis="F1 (%)", from_counts=f1),
)


@dataclass(frozen=True)
class Detection:
    """A task made of a detector: does it find in the decoded picture what it finds in the original?

    Attributes:
        name: of the task.
        find: takes a picture, uint8 [H,W,3], and returns its boxes, float64 [N,6].
        against: ``"original"``; or ``"label"`` where pictures are labelled with their boxes, which a data set in memory
            can be (`codeckit.bench.DatasetImage`).

    >>> def bright(picture):
    ...     rows, columns = np.nonzero(picture.max(2) > 200)
    ...     return np.array([[0, 1.0, columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], float)
    >>> task = Detection("bright", bright)
    >>> picture = np.zeros((8, 8), np.uint8)
    >>> picture[2:6, 1:5] = 255
    >>> task.score(task.predict(picture), task.predict(picture))  # doctest: +ELLIPSIS
    {'ap50': (1.0, 0.0, ...), 'map50': (1.0, 1.0), 'f1': (1.0, 0.0, 0.0)}
    """

    name: str
    find: Callable[[np.ndarray], np.ndarray]
    against: str = "original"
    measures: ClassVar[tuple[Measure, ...]] = MEASURES
    classification: ClassVar[bool] = False

    def predict(self, decoded) -> np.ndarray:
        """The boxes.

        Raises:
            UndefinedError: tokens.
            ImportError: the detector's packages are not installed.
        """
        return self.find(colour(decoded, self.name))

    def score(self, prediction, label) -> dict[str, tuple[float, ...]]:
        """The counts of `compare_boxes`; the label is the boxes on the original."""
        if not isinstance(label, np.ndarray) or label.ndim != 2 or label.shape[1] != 6:
            raise ValueError(f"the task {self.name} compares with boxes, an array [N,6], not with {label!r}")
        return compare_boxes(prediction, label)
