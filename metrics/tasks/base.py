"""The one protocol of all tasks: labelled picture, decoded, in; prediction and score out.

A task has a ``name`` and one or more ``measures``, all higher for better; a record holds their values under
``"name/measure"``. Classification has up to three:

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
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from ..distortion import UndefinedError


@runtime_checkable
class Task(Protocol):
    """What `evaluate` needs of a task.

    Attributes:
        name: such as ``"imagenet"``.
        measures: names of its values.
    """

    name: str
    measures: tuple[str, ...]

    def predict(self, decoded):
        """The answer to a picture, uint8 [H,W,3] or [H,W], or to `Tokens`.

        Raises:
            UndefinedError: the task cannot read these; its values are then NaN.
        """

    def score(self, prediction, label) -> dict[str, float]:
        """The value of every measure, for the picture's true label.

        Raises:
            ValueError: the task has no such label.
        """


@dataclass(frozen=True)
class Classifier:
    """A task made of a function: which class is it?

    Attributes:
        name: of the task.
        function: takes a picture, uint8 [H,W,3] or [H,W], and returns its class, or the scores of all classes, an
            array [K]: log-probabilities up to a constant (logits), natural logarithm.
        classes: if the function returns scores, the label of each of the K classes, in order; None if it returns a
        class. takes_tokens: whether `function` also takes `Tokens`. If not, the task's values for these are NaN.

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


def resolve(tasks) -> tuple[Task, ...]:
    """The tasks behind `tasks`: each entry is a name in `TASKS` or a `Task`.

    Raises:
        ValueError: an unknown name, or two tasks of one name.

    >>> [task.name for task in resolve(["imagenet"])]
    ['imagenet']
    >>> resolve(["detection"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: unknown task 'detection'; known: imagenet, imagenet-lite1, ...; or pass a Classifier
    """
    from .imagenet import TASKS

    found = []
    for task in [tasks] if isinstance(tasks, str) or isinstance(tasks, Task) else tasks:
        if isinstance(task, str) and task in TASKS:
            task = TASKS[task]
        if not isinstance(task, Task):
            raise ValueError(f"unknown task {task!r}; known: {', '.join(TASKS)}; or pass a Classifier")
        found.append(task)
    names = [task.name for task in found]
    if len(set(names)) < len(names):
        raise ValueError(f"two tasks have one name: {', '.join(names)}")
    return tuple(found)
