"""A report as data for JSON. No number (NaN) is None, infinity the string "inf"."""

import math
from dataclasses import asdict

from . import analysis


def to_dict(report) -> dict:
    """Curves and deltas, and how each measure is to be read."""
    return {
        "images": list(report.images),
        "anchor": report.anchor,
        "measures": {name: _measure(report.columns[name]) for name in report.columns},
        "curves": [
            {
                "label": curve.label,
                "codec": curve.points[0].codec,
                "points": [_point(report, point) for point in curve.points],
            }
            for curve in report.curves
        ],
        "deltas": [
            {
                "label": delta.label,
                "metric": delta.metric,
                "bd_rate_percent": number(delta.rate.value),
                "bd_rate_overlap": delta.rate.overlap,
                "bd_quality": number(delta.quality.value),
                "bd_quality_overlap": delta.quality.overlap,
                "points": list(delta.rate.points),
            }
            for delta in report.deltas
        ],
        **({"rates_within_a_point": _rates(report)} if report.tasks else {}),
        "notes": list(report.notes),
        "failures": [asdict(failure) for failure in report.failures],
    }


def number(value: float) -> float | str | None:
    """A float as strict JSON has it.

    >>> number(1.5), number(math.nan), number(-math.inf)
    (1.5, None, '-inf')
    """
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else "inf" if value > 0 else "-inf"


def _measure(measure):
    return {"title": measure.title or measure.name, "unit": measure.unit, "higher_is_better": measure.higher_is_better}


def _point(report, point):
    tasks = report.columns.tasks
    efficiency = {task.name: number(analysis.efficiency(report.table, point, task)) for task in tasks}
    return {
        "setting": point.setting,
        "bpp": point.bpp,
        "encode_s": number(point.encode_s),
        "decode_s": number(point.decode_s),
        "values": {name: number(value) for name, value in point.values.items()},
        **({"efficiency": efficiency} if tasks else {}),
    }


def _rates(report):
    """bpp at each task's ceiling less one point, by curve."""
    tasks = report.columns.tasks
    return {
        curve.label: {task.name: number(analysis.rate_for(report.curves, curve, task)) for task in tasks}
        for curve in report.curves
        if not analysis.is_ceiling(curve.label, tasks)
    }
