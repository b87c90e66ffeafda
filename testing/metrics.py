"""The contract of a metric."""

import math

import numpy as np

from ..metrics import Metric, UndefinedError
from .support import check_name, check_travels, noisy, picture, require

#: Sides of the picture that every metric should be defined for, and of those for which it may be undefined.
_SIZE, _SMALL = (192, 224), ((1, 1), (8, 8), (1, 40), (33, 47))


def check_metric(metric: Metric) -> None:
    """Check that a metric is what tables, sweeps and Bjøntegaard deltas take it for.

    - It says what it is: name, texts, digits, direction.
    - Of a colour and a grey picture of 192 × 224 pixels it gives a number, the same each time, and leaves both as they
      are.
    - Identical pictures have its best value; more noise is worse, in the direction that it says.
    - On its scale (`Measure.scale`) better stays better, and NaN stays NaN.
    - Small pictures have a value or are refused by `UndefinedError`; pictures of two shapes by `ValueError`.
    - What it is made of, counts, always has one length and makes a value when summed (`Measure.from_counts`).
    - It can be pickled.

    Raises:
        AssertionError: it does not; the message says how to mend it.

    >>> from codeckit.metrics.distortion import PSNR
    >>> check_metric(PSNR)
    >>> from dataclasses import replace
    >>> check_metric(replace(PSNR, higher_is_better=False))
    Traceback (most recent call last):
    ...
    AssertionError: psnr says that lower is better, but a noisy picture is better than the original itself ...
    """
    require(isinstance(metric, Metric), f"{metric!r} is no Metric; wrap the function: Metric('name', function)")
    _check_description(metric)
    colour = picture(*_SIZE)
    for reference in (colour, colour[..., 1].copy()):
        _check_values(metric, reference)
    _check_bounds(metric)
    check_travels(metric, "the metric")


def _check_description(metric):
    check_name(metric.name, "metric")
    name = metric.name
    for field in ("title", "unit", "axis", "scale_unit"):
        value = getattr(metric, field)
        require(isinstance(value, str), f"{name}.{field} is text, not {value!r}")
    digits = isinstance(metric.digits, int) and not isinstance(metric.digits, bool) and 0 <= metric.digits <= 12
    require(digits, f"{name}.digits is a number of decimals, 0 … 12, not {metric.digits!r}")
    direction = metric.higher_is_better
    require(isinstance(direction, bool), f"{name}.higher_is_better is True or False, not {direction!r}")
    require(callable(metric.function), f"{name}.function is a function (reference, decoded), not {metric.function!r}")
    if metric.scale is not None:
        kept = math.isnan(metric.scaled(math.nan))
        require(kept, f"{name}.scale makes a number of NaN; let NaN, the value of pictures without one, stay NaN")


def _check_values(metric, reference):
    pictures = [reference, noisy(reference, 4), noisy(reference, 12), noisy(reference, 36)]
    before = [each.copy() for each in pictures]
    values = [_value(metric, reference, each) for each in pictures]
    again = [_value(metric, reference, each) for each in pictures]
    require(
        all(map(np.array_equal, pictures, before)),
        f"{metric.name} changes the pictures that it is given; work on a copy, such as picture.astype(float)",
    )
    require(
        values == again,
        f"{metric.name} gives {again} for pictures for which it gave {values}; draw no random numbers, or seed them",
    )
    word = "higher" if metric.higher_is_better else "lower"
    best, *worse = (metric.quality(value) for value in values)
    require(
        all(best >= each for each in worse),
        f"{metric.name} says that {word} is better, but a noisy picture is better than the original itself "
        f"({values[1:]} against {values[0]}): set higher_is_better to {not metric.higher_is_better}, or let identical "
        "pictures have the best value",
    )
    require(
        best >= worse[0] > worse[1] > worse[2],
        f"{metric.name} says that {word} is better, but noise of deviations 0, 4, 12 and 36 gives {values}, which does "
        "not get worse step by step",
    )


def _value(metric, reference, decoded) -> float:
    """The value of a pair that every metric must be defined for."""
    answer = _answer(metric, reference, decoded)
    shape = list(reference.shape)
    if metric.from_counts is not None:
        require(
            isinstance(answer, tuple),
            f"{metric.name} is not defined for a picture of shape {shape}; it should be for pictures of this size",
        )
        _check_counts(metric, answer)
        answer = metric.from_counts(np.array(answer))
    require(
        not math.isnan(answer),
        f"{metric.name} is NaN for a picture of shape {shape}; it should be defined for colour and grey pictures of "
        "this size, and be infinite rather than NaN where it divides by an error of 0",
    )
    return float(answer)


def _answer(metric, reference, decoded):
    try:
        return metric(reference, decoded)
    except Exception as error:
        raise AssertionError(
            f"{metric.name} raises {type(error).__name__} for pictures of shape {list(reference.shape)}: {error}. "
            "Where the measure does not apply, raise codeckit.metrics.UndefinedError (TooSmallError for small pictures)"
        ) from error


def _check_counts(metric, counts):
    finite = all(map(math.isfinite, counts)) and len(counts) > 0
    require(finite, f"{metric.name} gives the counts {counts}; all of them are finite numbers")
    twice = metric.from_counts(2 * np.array(counts))
    require(
        np.ndim(twice) == 0,
        f"{metric.name}.from_counts gives {twice!r} for summed counts; it makes one number of an array [n]",
    )


def _check_bounds(metric):
    for height, width in _SMALL:
        small = picture(height, width)
        _answer(metric, small, noisy(small, 10))
    one, other = picture(*_SIZE), picture(_SIZE[0], _SIZE[1] - 1)
    try:
        answer = metric.function(one, other)
    except UndefinedError as error:
        raise AssertionError(
            f"{metric.name} calls itself undefined ({error}) for pictures of two shapes; that is a mistake of whoever "
            "calls, so raise a plain ValueError"
        ) from error
    except ValueError:
        return
    except Exception as error:
        raise AssertionError(
            f"{metric.name} raises {type(error).__name__} for pictures of two shapes; raise ValueError "
            "(codeckit.metrics.distortion.check_pair does)"
        ) from error
    raise AssertionError(
        f"{metric.name} gives {answer} for pictures of two shapes; raise ValueError "
        "(codeckit.metrics.distortion.check_pair does)"
    )
