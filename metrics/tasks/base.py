"""The one protocol of all tasks: labelled picture, decoded, in; prediction and score out.

A task has a ``name`` and one or more ``measures``, the main one first; a record holds their values under
``"name/measure"``. A measure is a `Measure`, which says unit, digits, direction and how a set's value is made of its
pictures' (a mean, or a function of summed counts); or plain text, the name of one that has no unit and is higher for
better. The three of classification are known by their names:

============  ==================================================================================================
measure       value for one picture
============  ==================================================================================================
top1          1 if the label is the class of the highest score, else 0; the mean over pictures is the accuracy
top5          1 if it is among the five highest
information   what the prediction tells of the label, log2 K + log2 p(label) bits of K classes
============  ==================================================================================================

`information` needs a model that gives probabilities. Its mean is H(Y) less the cross-entropy, for K classes that are
equally likely beforehand: a lower bound of the mutual information I(Z;Y) between the code and the label. Divided by the
bits that were spent it is the *token efficiency* (`codeckit.metrics.token_efficiency`). A model that is sure of
something wrong gets a negative value.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from ..measure import Measure, UndefinedError

TOP1 = Measure("top1", title="top-1", unit="%", digits=1, axis="top-1 accuracy (%)")
TOP5 = Measure("top5", title="top-5", unit="%", digits=1, axis="top-5 accuracy (%)")
INFORMATION = Measure("information", unit="bit", digits=2)

#: Measures that a task may give by their names alone.
_KNOWN = {measure.name: measure for measure in (TOP1, TOP5, INFORMATION)}

#: The baseline codec on whose pictures a task does as well as it can.
CEILING = "uncompressed"


@runtime_checkable
class Task(Protocol):
    """What `evaluate` needs of a task. A distribution declares an instance by an entry point `codeckit.tasks`.

    Three more attributes may say how it differs from what is usual: ``classification``, whether the answer is a class
    or scores of all classes (by default, whether the main measure is ``top1``); ``ceiling``, the baseline codec whose
    value no codec is expected to beat (by default ``"uncompressed"``); and ``against``: ``"label"``, or ``"original"``
    where the answer to the original picture stands in for a label, so that pictures need none (see `truth`).

    Attributes:
        name: such as ``"imagenet"``.
        measures: its values, each a `Measure` or a name; the main one, which is plotted and compared, first.
    """

    @property
    def name(self) -> str:
        """Names the task in records."""
        ...

    @property
    def measures(self) -> tuple[Measure | str, ...]:
        """What it measures."""
        ...

    def predict(self, decoded: Any, /) -> Any:
        """The answer to a picture, uint8 [H,W,3] or [H,W], or to `Tokens`.

        Raises:
            UndefinedError: the task cannot read these; its values are then NaN.
        """
        ...

    def score(self, prediction: Any, label: Any, /) -> dict[str, Any]:
        """Every measure's value by name, for the picture's true label; counts where a measure is made of these.

        Raises:
            ValueError: the task has no such label.
        """
        ...


@dataclass(frozen=True)
class TaskInfo:
    """What tables know of a task.

    Attributes:
        name: of the task.
        measures: its measures, the main one first.
        classification: whether it is one.
        ceiling: the baseline codec that gives its ceiling.
    """

    name: str
    measures: tuple[Measure, ...]
    classification: bool = False
    ceiling: str = CEILING

    @classmethod
    def of(cls, name, measures, classification=None, ceiling=CEILING) -> "TaskInfo":
        """From measures that are `Measure`s or names; see `describe`."""
        if not isinstance(name, str) or not name or "/" in name:
            raise ValueError(f"a task's name is some letters without '/', not {name!r}")
        if isinstance(measures, str):
            raise ValueError(f"the task {name} needs a tuple of measures, not {measures!r}")
        known = tuple(
            each.described() if isinstance(each, Measure) else _KNOWN.get(each) or Measure(each) for each in measures
        )
        names = [measure.name for measure in known]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"the task {name} needs measures, each of a name of its own, not {measures!r}")
        if classification is None:
            classification = names[0] == TOP1.name
        return cls(name, known, bool(classification), ceiling)

    @property
    def main(self) -> str:
        """The column of the main measure."""
        return f"{self.name}/{self.measures[0].name}"

    def columns(self) -> dict[str, Measure]:
        """The measures by the columns that hold them, with headings that name the task.

        >>> TaskInfo("faces", (Measure("map50", title="mAP50", unit="%"),)).columns()["faces/map50"].title
        'faces mAP50'
        """
        return {
            f"{self.name}/{measure.name}": replace(
                measure,
                title=f"{self.name} {measure.title or measure.name}",
                axis=f"{self.name} {measure.axis}" if measure.axis else "",
            )
            for measure in self.measures
        }


def describe(task: Task) -> TaskInfo:
    """What a task says of itself, with the defaults for what it leaves out.

    Raises:
        ValueError: no name, no measures, or two measures of one name.

    >>> info = describe(Classifier("brightness", lambda picture: "light"))
    >>> info.main, info.classification, info.measures[0].unit, info.ceiling
    ('brightness/top1', True, '%', 'uncompressed')
    """
    classification, ceiling = getattr(task, "classification", None), getattr(task, "ceiling", CEILING)
    return TaskInfo.of(task.name, task.measures, classification, ceiling)


def needs_label(task: Task) -> bool:
    """Whether pictures must have labels for a task.

    >>> needs_label(Classifier("brightness", lambda picture: "light"))
    True
    """
    return getattr(task, "against", "label") != "original"


def truth(task: Task, original: np.ndarray, label: Any) -> Any:
    """What a task's prediction is scored against: the label, or the task's answer to the original picture.

    The answer to the picture that was seen last is kept, since a sweep asks for it at every setting of every codec.

    >>> truth(Classifier("brightness", lambda picture: "light"), np.zeros((4, 4), np.uint8), "dark")
    'dark'
    """
    if needs_label(task):
        return label
    if _answers.get("of") is not original:
        _answers.clear()
        _answers["of"] = original
    if task.name not in _answers:
        _answers[task.name] = task, task.predict(original)
    kept, answer = _answers[task.name]
    return answer if kept is task else task.predict(original)


#: Answers to one original, which is under "of": by name, the task and what it said.
_answers: dict[str, Any] = {}


@dataclass(frozen=True)
class Classifier:
    """A task made of a function: which class is it?

    Attributes:
        name: of the task.
        function: takes a picture, uint8 [H,W,3] or [H,W], and returns its class, or the scores of all classes, an
            array [K]: log-probabilities up to a constant (logits), natural logarithm.
        classes: if the function returns scores, the label of each of the K classes, in order; None if it returns a
            class.
        takes_tokens: whether `function` also takes `Tokens`. If not, the task's values for these are NaN.

    >>> def brightness(picture):
    ...     return "light" if picture.mean() > 127 else "dark"
    >>> task = Classifier("brightness", brightness)
    >>> task.score(task.predict(np.full((4, 4), 200, np.uint8)), "light")
    {'top1': 1.0}
    """

    name: str
    function: Callable
    classes: Sequence | None = None
    takes_tokens: bool = False
    measures: tuple[str, ...] = field(init=False)
    classification: ClassVar[bool] = True

    def __post_init__(self):
        if not self.name or "/" in self.name:
            raise ValueError(f"a task's name is some letters without '/', not {self.name!r}")
        if self.classes is not None and len(set(self.classes)) != len(self.classes):
            raise ValueError("every class has a label of its own")
        object.__setattr__(self, "measures", ("top1",) if self.classes is None else ("top1", "top5", "information"))

    def predict(self, decoded):
        """The class, or the scores of all classes as an array [K]."""
        if not isinstance(decoded, np.ndarray) and not self.takes_tokens:
            raise UndefinedError(f"the task {self.name} reads pictures, not tokens")
        answer = self.function(decoded)
        if self.classes is None:
            return answer
        scores = np.asarray(answer, np.float64)
        if scores.shape != (len(self.classes),):
            raise ValueError(f"{self.name} has {len(self.classes)} classes; the function gave scores {scores.shape}")
        return scores

    def score(self, prediction, label) -> dict[str, float]:
        """``top1``; for scores of all classes also ``top5`` and ``information``."""
        if label is None:
            raise ValueError(f"the task {self.name} needs labelled pictures: a folder with labels.csv (file,label)")
        if self.classes is None:
            return {"top1": float(prediction == label)}
        if label not in self.classes:
            raise ValueError(f"the task {self.name} has no class {label!r}")
        return score_scores(prediction, list(self.classes).index(label))


def score_scores(scores: np.ndarray, index: int) -> dict[str, float]:
    """``top1``, ``top5`` and ``information`` of scores [K] (logits), for the true class `index`.

    Of equal scores the one that stands first counts as higher.

    >>> score_scores(np.log([0.5, 0.25, 0.25]), 1)
    {'top1': 0.0, 'top5': 1.0, 'information': -0.415}
    """
    scores = np.asarray(scores, np.float64)
    better = np.count_nonzero(scores > scores[index]) + np.count_nonzero(scores[:index] == scores[index])
    top = scores.max()
    log_sum = top + math.log(np.exp(scores - top).sum())
    information = math.log2(len(scores)) + (scores[index] - log_sum) / math.log(2)
    return {"top1": float(better < 1), "top5": float(better < 5), "information": round(float(information), 3)}


def agreement(first, second) -> float:
    """The probability that two answers agree.

    Scores of all classes (logits) are probabilities p and q of the classes; both draw their answer with the same luck,
    so that they agree as often as two such draws can: Σ min(p, q), which is one less the total variation distance.
    Plain answers agree or do not.

    >>> round(agreement(np.log([0.5, 0.25, 0.25]), np.log([0.75, 0.25, 1e-9])), 3), agreement("cat", "dog")
    (0.75, 0.0)
    """
    if not (isinstance(first, np.ndarray) and first.ndim == 1):
        return float(np.all(first == second))
    p, q = (np.exp(scores - scores.max()) for scores in (np.asarray(first, float), np.asarray(second, float)))
    return float(np.minimum(p / p.sum(), q / q.sum()).sum())
