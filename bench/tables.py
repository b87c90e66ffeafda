"""The tables of a report as rows of text, heading first; and rows as aligned text or Markdown.

How a number is written, and which direction is better ("↓" for lower), its `Measure` says.
"""

import math

from ..metrics.tasks.base import INFORMATION
from . import analysis


def align(rows: list[list[str]]) -> str:
    """Rows as text in columns: the first to the left, numbers to the right.

    >>> print(align([["codec", "bpp"], ["x", "0.25"]]))
    codec   bpp
    x      0.25
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *rest in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(rest, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def markdown(rows: list[list[str]]) -> str:
    """Rows as a Markdown table.

    >>> print(markdown([["codec", "bpp"], ["x", "0.25"]]))
    | codec | bpp |
    | --- | ---: |
    | x | 0.25 |
    """
    rule = ["---", *["---:"] * (len(rows[0]) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], rule, *rows[1:]])


def points_table(report) -> list[list[str]]:
    """The rate-distortion table: a row a codec and setting, a column a metric."""
    measures = [report.columns[metric] for metric in report.metrics]
    rows = [["codec", "quality", "bpp", *(measure.heading for measure in measures), "encode ms", "decode ms"]]
    for curve in report.curves:
        for point in curve.points:
            values = [measure.written(point.values[measure.name]) for measure in measures]
            times = [_fixed(1000 * seconds, 1) for seconds in (point.encode_s, point.decode_s)]
            rows.append([curve.label, _quality(point), _fixed(point.bpp, 3), *values, *times])
    return rows


def deltas_table(report) -> list[list[str]]:
    """The table of Bjøntegaard deltas: a row a curve but the anchor."""
    heading = [f"against {report.anchor}"]
    for column in report.plotted:
        title = report.columns[column].heading
        heading += [f"BD-rate {title}", "overlap", f"BD-{title}"]
    rows = [heading]
    for curve in report.curves:
        cells = []
        for delta in report.deltas:
            if delta.label == curve.label:
                measure = report.columns[delta.metric]
                unit = f" {measure.delta_unit}" if measure.delta_unit else ""
                cells += [_fixed(delta.rate.value, 1, "+", " %"), f"{delta.rate.overlap:.0%}"]
                cells += [_fixed(measure.shown(delta.quality.value), 2, "+", unit)]
        if cells and not analysis.is_ceiling(curve.label, report.columns.tasks):
            rows.append([curve.label, *cells])
    return rows


def tasks_table(report) -> list[list[str]]:
    """The table of tasks: a row a codec and setting.

    Of each task: the main measure, its difference from the ceiling with a paired bootstrap interval, the other
    measures, and η where the task has `information`.
    """
    tasks = report.columns.tasks
    heading = ["codec", "quality", "bpp"]
    for task in tasks:
        main, *others = task.columns().values()
        heading += [main.heading, f"− {task.ceiling} [95 %]"]
        heading += [measure.heading.removeprefix(f"{task.name} ") for measure in others if not _is_information(measure)]
        heading += ["η"] if any(map(_is_information, others)) else []
    rows = [heading]
    for curve in report.curves:
        for point in curve.points:
            cells = [curve.label, _quality(point), _fixed(point.bpp, 4)]
            for task in tasks:
                cells += _task_cells(report, point, task)
            rows.append(cells)
    return rows


def _task_cells(report, point, task):
    columns = list(task.columns().items())
    (main, measure), *others = columns
    cells = [measure.written(point.values[main]), _difference(report, point, task)]
    for column, other in others:
        if not _is_information(other):
            cells.append(other.written(point.values.get(column, math.nan)))
    if any(_is_information(other) for _, other in others):
        efficiency = analysis.efficiency(report.table, point, task)
        cells.append("–" if math.isnan(efficiency) else f"{efficiency:.2g}")
    return cells


def _is_information(measure):
    return measure.name == INFORMATION.name


def _difference(report, point, task):
    """The value less the ceiling, with its interval."""
    top = analysis.ceiling(report.curves, task)
    if top is None or point is top:
        return "–"
    measure = task.measures[0]
    difference, low, high = map(measure.shown, analysis.difference(report.table, point, top, task))
    if math.isnan(difference):
        return "–"
    return f"{difference:+.{measure.digits}f} [{low:+.{measure.digits}f}, {high:+.{measure.digits}f}]"


def rates_table(report) -> list[list[str]]:
    """The table of rates at a task's ceiling less one point, or less 1 % of it; empty without a ceiling."""
    tasks = [task for task in report.columns.tasks if analysis.ceiling(report.curves, task) is not None]
    if not tasks:
        return []
    reached = {
        curve.label: [analysis.rate_for(report.curves, curve, task) for task in tasks]
        for curve in report.curves
        if not analysis.is_ceiling(curve.label, tasks)
    }
    ceilings = " or ".join(dict.fromkeys(task.ceiling for task in tasks))
    lost = dict.fromkeys("1 point" if task.measures[0].unit == "%" else "1 %" for task in tasks)
    rows = [[f"bpp for {ceilings} − {' or '.join(lost)}", *(x for t in tasks for x in (t.name, f"of {report.anchor}"))]]
    for label, rates in reached.items():
        cells = []
        least = next(min(point.bpp for point in curve.points) for curve in report.curves if curve.label == label)
        for rate, anchor in zip(rates, reached.get(report.anchor, rates), strict=True):
            cells += [("≤ " if rate == least else "") + _fixed(rate, 4), _fixed(rate / anchor, 3)]
        rows.append([label, *cells])
    return rows


def all_tables(report) -> list[list[list[str]]]:
    """All tables that have rows."""
    tables = [points_table(report)]
    if report.tasks:
        tables += [tasks_table(report), rates_table(report)]
    if report.deltas:
        tables.append(deltas_table(report))
    return [table for table in tables if len(table) > 1]


def remarks(report) -> list[str]:
    """What the tables mean, what was left out, and what failed."""
    found = list(report.notes)
    if any(not report.columns[column].higher_is_better for column in report.columns):
        found.append("↓: lower is better.")
    if report.deltas:
        found.append(
            "BD-rate: mean difference in rate at equal quality, negative is better; overlap: the part of both "
            "curves' range of quality that they share. Other BD: mean gain at equal rate, positive is better."
        )
    if report.tasks:
        found.append(
            "Tasks: the difference from the ceiling has a paired bootstrap interval over pictures; differences of "
            "percentages are points. BD and rates are those of monotone envelopes."
        )
        if any(_is_information(measure) for task in report.columns.tasks for measure in task.measures):
            found.append("η: bits of information about the label per coded bit.")
    return found + [f"failed: {failure}" for failure in report.failures]


def headline(report) -> str:
    """How many images, which, and what was done."""
    count = f"{len(report.images)} images" if len(report.images) > 1 else "1 image"
    names = ", ".join(report.images) if len(report.images) <= 6 else f"{report.images[0]} … {report.images[-1]}"
    return f"{count} ({names}): means of the per-image values. Files written and decoded again, one thread."


def _quality(point):
    return str(point.setting.get("quality", "–"))


def _fixed(value, digits, sign="", unit=""):
    if math.isnan(value):
        return "–"
    return f"{value:{sign}.{digits}f}{unit}"
