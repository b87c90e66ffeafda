"""Reading: how many characters does a reader get wrong in the decoded picture?

The reader is PP-OCRv4 mobile (Apache-2.0), which finds lines of text and reads Chinese and English. The package
``rapidocr-onnxruntime`` carries the three networks and runs them.

The *character error rate* is the edit distance between what is read and the truth, over the truth's characters. White
space does not count, as the reader drops it at will. Distances and lengths are summed over a set. A distance counts up
to the length, so that the rate stays between 0 and 1. The truth is what is read in the original (``read``), or the
label (``read-label``). A picture in which there is nothing to read does not change the rate.

Sources: V. Levenshtein, "Binary codes capable of correcting deletions, insertions, and reversals", 1966; Y. Du et al.,
"PP-OCR: A Practical Ultra Lightweight OCR System", 2020, arXiv 2009.09941.
"""

import functools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..measure import Measure
from .packages import colour, package_folder

_INSTALL = "pip install 'codeckit[read]'"


def edit_distance(first: str, second: str) -> int:
    """The least number of characters to insert, delete or replace that turns one text into the other.

    >>> edit_distance("kitten", "sitting"), edit_distance("", "abc")
    (3, 3)
    """
    row = list(range(len(second) + 1))
    for n, character in enumerate(first, 1):
        diagonal, row[0] = row[0], n
        for m, other in enumerate(second, 1):
            diagonal, row[m] = row[m], min(row[m] + 1, row[m - 1] + 1, diagonal + (character != other))
    return row[-1]


def error_rate(counts: np.ndarray) -> float:
    """The rate of (wrong characters, characters); NaN where there are none.

    >>> error_rate(np.array([3.0, 12.0]))
    0.25
    """
    wrong, characters = counts
    return float(wrong / characters) if characters else float("nan")


@dataclass(frozen=True)
class Reading:
    """A task: what is written there?

    Attributes:
        name: of the task.
        against: ``"original"`` or ``"label"``: what is compared with.

    >>> READ.score("Stop sing", "STOP sign")
    {'cer': (5.0, 8.0)}
    """

    name: str = "read"
    against: str = "original"
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure(
            "cer",
            title="character error",
            unit="%",
            digits=1,
            axis="character error (%)",
            higher_is_better=False,
            from_counts=error_rate,
        ),
    )
    classification: ClassVar[bool] = False

    def predict(self, decoded) -> str:
        """The lines that are read, from the top down.

        Raises:
            UndefinedError: tokens.
            ImportError: the extra ``read`` is not installed.
        """
        picture = colour(decoded, self.name)
        found, _ = _reader()(np.ascontiguousarray(picture[..., ::-1]))  # it takes blue, green, red
        return "\n".join(text for _, text, _ in found or ())

    def score(self, prediction, label) -> dict[str, tuple[float, float]]:
        """The counts of the error rate; the label is the true text."""
        if not isinstance(label, str):
            raise ValueError(f"the task {self.name} compares with a text, not with {label!r}")
        read, true = ("".join(text.split()) for text in (prediction, label))
        return {"cer": (float(min(edit_distance(read, true), len(true))), float(len(true)))}


@functools.lru_cache(maxsize=1)
def _reader():
    """The networks; kept in memory."""
    package_folder("rapidocr_onnxruntime", "read", _INSTALL)
    from rapidocr_onnxruntime import RapidOCR

    return RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1)


#: The declared tasks.
READ, READ_LABEL = Reading(), Reading("read-label", "label")
