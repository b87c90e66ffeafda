"""Scenes as a task: how many questions does the multimodal model answer right, of what a codec left of the picture?

The label of a picture is its scene (`Scene.label`), from which the 24 questions follow. Decoded pictures go through the
model's tower; decoded tokens of its tower enter the language model as they are, any number of them. So pixel codecs and
token codecs are asked the same.

==============  ==================================================================================
measure         value for one picture
==============  ==================================================================================
accuracy        mean over the seven categories of the share that is answered right
the categories  that share
pairs           of perception: the share of pairs whose questions are both answered right
==============  ==================================================================================
"""

import functools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ....primitives.token_grid import Tokens
from ...measure import Measure, UndefinedError
from .questions import CATEGORIES, Question, ask
from .scene import Scene

_PERCENT = {"unit": "%", "digits": 1}

#: The main measure, those of the categories, and that of pairs.
MEASURES = (
    Measure("accuracy", axis="accuracy on scenes (%)", **_PERCENT),
    *(Measure(name, **_PERCENT) for name in (*CATEGORIES, "pairs")),
)


@dataclass(frozen=True)
class Scenes:
    """The task ``scenes``; needs pictures whose labels are scenes (`bench.scenes` makes a folder of them).

    Attributes:
        name: of the task.
        weights: path of the model's weight file; None for the one that comes with the package.
    """

    name: str = "scenes"
    weights: str | None = None
    measures: ClassVar[tuple[Measure, ...]] = MEASURES
    classification: ClassVar[bool] = False

    def predict(self, decoded) -> Tokens:
        """What the model sees: the tower's tokens, of which `score` asks.

        Raises:
            UndefinedError: tokens of another backbone.
            FileNotFoundError: there is no such weight file.
            ImportError: the stem's package is not installed.
        """
        backbone = _backbone(self.weights)
        if isinstance(decoded, Tokens) and decoded.source != backbone.source(*backbone.stages):
            raise UndefinedError(f"{backbone.name} cannot read tokens of {decoded.source or 'unknown origin'}")
        return backbone.tokens(decoded)

    def score(self, prediction: Tokens, label) -> dict[str, float]:
        """All measures of a scene.

        Raises:
            ValueError: the label is no scene.
        """
        if not isinstance(label, str):
            raise ValueError(f"the task {self.name} needs pictures labelled with their scenes, not with {label!r}")
        questions = ask(Scene.of(label))
        return scores(questions, right(_backbone(self.weights), prediction.features[None], [questions])[0])


SCENES = Scenes()


@functools.lru_cache(maxsize=2)
def _backbone(weights):
    from ....primitives.tokens.mllm import load_mllm, read_mllm  # torch takes long to load

    return read_mllm(weights) if weights else load_mllm()


def right(backbone, features: np.ndarray, questions: list[list[Question]], rule=None) -> list[np.ndarray]:
    """Which questions are answered right: bool, one array a picture.

    Args:
        backbone: an `MllmBackbone`, or what has its `correct`.
        features: tokens [B,K,C].
        questions: of each picture.
        rule: drops tokens inside of the language model; one question a picture then, all of one length.
    """
    asked = [[question.words for question in each] for each in questions]
    answers = [[question.answer for question in each] for each in questions]
    return backbone.correct(features, asked, answers, rule) if rule else backbone.correct(features, asked, answers)


def scores(questions: list[Question], correct: np.ndarray) -> dict[str, float]:
    """The measures of one picture, from which of its questions were answered right.

    >>> asked = [Question("counting", (), ()), Question("perception", (), (), 1), Question("perception", (), (), 1)]
    >>> found = scores(asked, np.array([True, True, False]))
    >>> found["accuracy"], found["perception"], found["pairs"]
    (0.75, 0.5, 0.0)
    """
    found = {}
    for name in CATEGORIES:
        own = [bool(correct[n]) for n, question in enumerate(questions) if question.category == name]
        found[name] = float(np.mean(own)) if own else float("nan")
    pairs: dict[int, list[bool]] = {}
    for question, answer in zip(questions, correct, strict=True):
        if question.pair >= 0:
            pairs.setdefault(question.pair, []).append(bool(answer))
    found["pairs"] = float(np.mean([all(pair) for pair in pairs.values()])) if pairs else float("nan")
    return {"accuracy": float(np.nanmean([found[name] for name in CATEGORIES])), **found}
