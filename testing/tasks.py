"""The contract of a task."""

import math
import pickle

import numpy as np

from ..metrics import UndefinedError, paired_interval
from ..metrics.tasks import Task, TaskInfo, agreement, describe
from ..metrics.tasks.base import TOP1
from ..primitives.token_grid import Tokens
from .support import check_name, check_travels, noisy, picture, require


def check_task(task: Task, label=None) -> None:
    """Check that a task is what sweeps, reports and rate control take it for.

    - It says what it is: name, measures, and a ceiling that is a baseline codec.
    - It answers to a colour and a grey picture, the same each time, and leaves them as they are; answers can be
      pickled. Small pictures and tokens of unknown origin are answered to or refused by `UndefinedError`.
    - Every answer is scored with every measure: a number (of fractions, "%", from 0 to 1), or counts of one length
      where a measure is made of these. A label that is none is refused by `ValueError`.
    - The unit of resampling, a picture's number or counts, gives a paired bootstrap interval.
    - A classification has `top1` first, and its answers agree with themselves.
    - Measured in a sweep, it has its columns, ceiling and tables.
    - It can be pickled.

    Args:
        task: an instance.
        label: a legal label. By default the first of ``task.classes``, if it has these, else the number 0.

    Raises:
        AssertionError: it does not; the message says how to mend it.

    >>> from codeckit.metrics.tasks import Classifier
    >>> check_task(Classifier("brightness", _brightness, classes=["dark", "light"]))
    >>> check_task("faces")
    Traceback (most recent call last):
    ...
    AssertionError: 'faces' is no task: an instance with name, measures, predict(decoded), score(prediction, label)
    """
    info = _check_description(task)
    classes = getattr(task, "classes", None)
    if label is None:
        label = classes[0] if classes else 0
    colour = picture(96, 120)
    answers = [_check_answer(task, info, image, label) for image in (colour, colour[..., 1].copy(), noisy(colour, 20))]
    _check_refusals(task, answers[0])
    _check_resampling(task, info, [task.score(answer, label) for answer in answers])
    if info.classification:
        _check_classification(task, info, answers[0], classes)
    check_travels(task, "the task")
    _check_in_a_sweep(task, info, label)


def _brightness(image):
    """The doctest's classifier: scores of "dark" and "light"."""
    light = image.mean() / 255
    return np.log(np.clip([1 - light, light], 1e-6, 1))


def _check_description(task) -> TaskInfo:
    from ..codecs.baselines import baselines

    legal = isinstance(task, Task) and not isinstance(task, type)
    require(legal, f"{task!r} is no task: an instance with name, measures, predict(decoded), score(prediction, label)")
    check_name(task.name, "task")
    try:
        info = describe(task)
    except (ValueError, TypeError) as error:
        raise AssertionError(str(error)) from error
    for measure in info.measures:
        check_name(measure.name, "measure")
    known = list(dict.fromkeys(codec.name for codec in baselines()))
    require(info.ceiling in known, f"{task.name}.ceiling is one of the baselines {known}, not {info.ceiling!r}")
    return info


def _check_answer(task, info, image, label):
    """What the task says to a picture, after checks."""
    before = image.copy()
    answer, again = (_predict(task, image) for _ in range(2))
    require(np.array_equal(image, before), f"{task.name}.predict changes the picture that it is given; work on a copy")
    try:
        pickle.loads(pickle.dumps(answer))
    except Exception as error:
        raise AssertionError(
            f"{task.name}.predict gives {type(answer).__name__}, which cannot be pickled ({error}); give plain data: "
            "arrays, numbers, text, lists"
        ) from error
    first, second = (_scores(task, info, each, label) for each in (answer, again))
    require(
        repr(first) == repr(second),
        f"{task.name} scores {second} for a picture for which it scored {first}; draw no random numbers, or seed them",
    )
    return answer


def _predict(task, image):
    try:
        return task.predict(image)
    except Exception as error:
        raise AssertionError(
            f"{task.name}.predict raises {type(error).__name__} for a picture of shape {list(image.shape)}: {error}. "
            "It answers to uint8 pictures [H,W,3] and [H,W]"
        ) from error


def _scores(task, info, answer, label) -> dict:
    try:
        scores = task.score(answer, label)
    except ValueError as error:
        raise AssertionError(
            f"{task.name}.score refuses the label {label!r} ({error}); hand check_task a legal one: "
            "check_task(task, label=...)"
        ) from error
    names = {measure.name for measure in info.measures}
    require(
        isinstance(scores, dict) and set(scores) == names,
        f"{task.name}.score gives {scores!r}; it gives a dictionary with a value for each of the measures {names}",
    )
    for measure in info.measures:
        _check_score(task, measure, scores[measure.name])
    return scores


def _check_score(task, measure, score):
    name = f"{task.name}/{measure.name}"
    if measure.from_counts is not None:
        legal = np.ndim(score) == 1 and len(score) > 0 and all(map(math.isfinite, score))
        require(legal, f"{name} is made of counts, so a picture's score is a list of finite numbers, not {score!r}")
        value = measure.from_counts(np.asarray(score, np.float64))
        require(np.ndim(value) == 0, f"{name}.from_counts gives {value!r}; it makes one number of an array [n]")
    else:
        require(
            np.ndim(score) == 0 and isinstance(score, int | float | np.number),
            f"{name} is {score!r}; a picture's score is a number. Give the measure from_counts if it is made of counts",
        )
        value = float(score)
    if measure.unit == "%":
        require(
            math.isnan(value) or 0 <= value <= 1,
            f"{name} is {value}, but its unit is %: values are fractions from 0 to 1, which tables show times 100",
        )


def _check_refusals(task, answer):
    for image in (picture(1, 1), picture(3, 40)):
        try:
            task.predict(image)
        except UndefinedError:
            pass
        except Exception as error:
            raise AssertionError(
                f"{task.name}.predict raises {type(error).__name__} for a picture of shape {list(image.shape)}: "
                f"{error}. Where the task does not apply, raise codeckit.metrics.UndefinedError"
            ) from error
    try:
        task.predict(Tokens(np.zeros((4, 3), np.float32), (2, 2), "nothing/1"))
    except UndefinedError:
        pass
    except Exception as error:
        raise AssertionError(
            f"{task.name}.predict raises {type(error).__name__} for tokens that it cannot know; raise "
            "codeckit.metrics.UndefinedError for all that is no array"
        ) from error
    try:
        scored = task.score(answer, None)
    except ValueError:
        return
    except Exception as error:
        raise AssertionError(
            f"{task.name}.score raises {type(error).__name__} for the label None; raise ValueError for what is no label"
        ) from error
    raise AssertionError(f"{task.name}.score gives {scored} for the label None; raise ValueError for what is no label")


def _check_resampling(task, info, scores):
    for measure in info.measures:
        units = [np.asarray(score[measure.name], np.float64) for score in scores]
        lengths = {unit.size for unit in units}
        require(
            len(lengths) == 1,
            f"{task.name}/{measure.name} gives {sorted(lengths)} counts for different pictures; what a bootstrap draws "
            "and sums is a list of one length",
        )
        if not np.isfinite(units).all():
            continue
        _, low, high = paired_interval(units, units[::-1], from_counts=measure.from_counts)
        require(
            not low > high, f"{task.name}/{measure.name} has the interval {low} … {high}; let from_counts be a function"
        )


def _check_classification(task, info, answer, classes):
    require(
        info.measures[0].name == TOP1.name,
        f"{task.name} is a classification, but its main measure is {info.measures[0].name!r}; put 'top1' first, or say "
        "classification = False",
    )
    agreed = agreement(answer, answer)
    require(
        abs(agreed - 1) < 1e-6,
        f"an answer of {task.name} agrees with itself with a probability of {agreed}, not 1; give a class, or finite "
        "scores [K] of all classes (logits)",
    )
    if classes and isinstance(answer, np.ndarray):
        best = classes[int(np.argmax(answer))]
        hit = task.score(answer, best)["top1"]
        require(hit == 1, f"{task.name} scores {hit} for {best!r}, the class of its own highest score; it should be 1")


def _check_in_a_sweep(task, info, label):
    from ..bench import compare, evaluate
    from ..bench.datasets import DatasetImage, dataset
    from ..codecs.registry import codec

    images = dataset([picture(64, 80, seed) for seed in range(2)])
    labelled = [DatasetImage(image.name, image.source, label) for image in images]
    codecs = [codec("libjpeg", quality=quality) for quality in (10, 90)]
    table = evaluate(codecs, dataset(labelled), (), [task], progress=False)
    wanted = set(info.columns())
    require(
        all(set(record.values) == wanted for record in table.everything),
        f"a sweep of {task.name} has the columns {set(table.everything[0].values)} instead of {wanted}",
    )
    report = compare(table)
    require(info.main in report.ceilings(), f"a report on {task.name} has no ceiling from {info.ceiling}")
    heading = report.columns[info.main].heading
    require(heading in str(report), f"a report on {task.name} does not show {heading}")
