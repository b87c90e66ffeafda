"""What a comparison computes of its curves: deltas, ceilings, paired intervals, rates at a value, token efficiency.

Bjøntegaard deltas are taken on each measure's own scale (MS-SSIM in decibels, −10 · log10(1 − MS-SSIM), on which
published curves are drawn), turned round where lower is better, so that a delta means the same for every measure.

A task's values have a *ceiling*, what the task gives for the ceiling's codec (uncompressed pictures). Each point's
difference from it comes with a paired bootstrap interval over pictures. A task's value need not rise with the rate, so
its curves are compared by their monotone envelope. η is the bits of information about the label per coded bit.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ..metrics import BDResult, bd_psnr, bd_rate, paired_interval, rate_at, token_efficiency
from ..metrics.tasks import TaskInfo
from ..metrics.tasks.base import CEILING, INFORMATION
from .columns import Columns
from .curves import Curve
from .records import Measurement, Measurements, Summary, setting_key

#: How much of a ceiling may be lost, where a table tells the rate that this takes: a point, or this part of it.
TOLERANCE = 0.01


@dataclass(frozen=True)
class Delta:
    """How a curve lies to the anchor under one measure.

    Attributes:
        label: the curve.
        metric: the measure's column.
        rate: BD-rate in percent, negative is better.
        quality: BD-quality at equal rate, on the measure's scale (dB for PSNR and MS-SSIM), positive is better whatever
            the measure's direction is.
    """

    label: str
    metric: str
    rate: BDResult
    quality: BDResult


def deltas_of(curves: Iterable[Curve], anchor: Curve, columns: Columns) -> tuple[Delta, ...]:
    """Deltas of all curves but the anchor, a measure each."""
    return tuple(
        Delta(
            curve.label,
            column,
            _delta(bd_rate, anchor, curve, column, columns[column]),
            _delta(bd_psnr, anchor, curve, column, columns[column]),
        )
        for curve in curves
        for column in columns.main
        if curve is not anchor
    )


def _delta(function, anchor, curve, column, measure):
    try:
        return function(*anchor.rate_and_quality(column, measure), *curve.rate_and_quality(column, measure))
    except ValueError:  # a curve of a single point has no delta
        return BDResult(math.nan, 0.0, (len(anchor.points), len(curve.points)))


def is_ceiling(label: str, tasks: Iterable[TaskInfo]) -> bool:
    """Whether a curve is a ceiling: a line in plots, not a curve."""
    return label == CEILING or any(label == task.ceiling for task in tasks)


def ceiling(curves: Iterable[Curve], task: TaskInfo) -> Summary | None:
    """The point that gives a task's ceiling, if it was measured."""
    return next((curve.points[0] for curve in curves if curve.label == task.ceiling), None)


def records_of(table: Measurements, point: Summary) -> list[Measurement]:
    """A point's measurements, by name of the image."""
    key = setting_key(point.setting)
    found = [r for r in table.everything if r.codec == point.codec and setting_key(r.setting) == key]
    return sorted(found, key=lambda record: record.image)


def difference(table: Measurements, point: Summary, top: Summary, task: TaskInfo) -> tuple[float, float, float]:
    """A point's value less the ceiling's, and its paired bootstrap interval over pictures; NaN if not defined.

    What is drawn is a picture, with its value or all of its counts.
    """
    column, measure = task.main, task.measures[0]
    pair = [records_of(table, each) for each in (point, top)]
    if measure.from_counts is None:
        drawn = [[record.values[column] for record in records] for records in pair]
        if not all(map(math.isfinite, (*drawn[0], *drawn[1]))):
            return math.nan, math.nan, math.nan
    else:
        if not all(column in record.counts for records in pair for record in records):
            return math.nan, math.nan, math.nan
        drawn = [[record.counts[column] for record in records] for records in pair]
    return paired_interval(*drawn, from_counts=measure.from_counts)


def rate_for(curves: Iterable[Curve], curve: Curve, task: TaskInfo, lost: float = TOLERANCE) -> float:
    """The bpp at which a curve's envelope has a task's ceiling less `lost`; NaN if it has not.

    `lost` is absolute for fractions (unit "%"; 0.01 is a point), else a part of the ceiling.
    """
    top = ceiling(curves, task)
    if top is None:
        return math.nan
    measure = task.measures[0]
    best = measure.quality(top.values[task.main])
    margin = lost if measure.unit == "%" else lost * abs(best)
    return rate_at(*curve.rate_and_quality(task.main, measure), best - margin)


def efficiency(table: Measurements, point: Summary, task: TaskInfo) -> float:
    """η of one point: bits of information about the label per coded bit; NaN for a task without this measure."""
    column = f"{task.name}/{INFORMATION.name}"
    records = records_of(table, point)
    if not all(column in record.values for record in records):
        return math.nan
    return token_efficiency([r.values[column] for r in records], [r.bytes for r in records])
