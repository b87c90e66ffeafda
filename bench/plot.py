"""The plot of a report: a panel a measure, rate on a logarithmic axis.

On that axis the horizontal distance of two curves is the factor between their rates, so BD-rate can be seen. All points
of a task are drawn, and the line is the envelope, because a task's value need not rise with the rate.
"""

import io
import math
from pathlib import Path

from ..codecs.image_io import write_atomically
from ..metrics import monotone_envelope
from . import analysis

_POINTS_PER_INCH = 150

#: Colours that colour-blind readers can tell apart (Okabe and Ito 2008), and a marker with each.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
_MARKERS = "osD^vPX*"


def figure(report):
    """The rate-distortion plot, a matplotlib Figure."""
    from matplotlib.figure import Figure

    panels = max(len(report.plotted), 1)
    tasks = {task.main: task for task in report.columns.tasks}
    curves = [curve for curve in report.curves if not analysis.is_ceiling(curve.label, tasks.values())]
    curves = curves or list(report.curves)
    height = 4.6 + 0.25 * -(-len(curves) // 3)
    drawn = Figure(figsize=(5.6 * panels, height), layout="constrained")
    for axes, column in zip(drawn.subplots(1, panels, squeeze=False)[0], report.plotted, strict=False):
        measure, task = report.columns[column], tasks.get(column)
        for n, curve in enumerate(curves):
            _draw(axes, n, curve.label, curve_points(curve, column, measure, task is not None))
        top = task and analysis.ceiling(report.curves, task)
        if top:
            axes.axhline(measure.shown(measure.scaled(top.values[column])), color="#555555", linestyle=":")
        _name_axes(axes, axis_label(measure, task))
    handles, labels = drawn.axes[0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return drawn


def curve_points(curve, column, measure, enveloped) -> tuple[list, list]:
    """Points (bpp, what is drawn) of a curve, and those of its line: the envelope's, or the same."""
    rates, quality = curve.rate_and_quality(column, measure)
    sign = 1 if measure.higher_is_better else -1

    def drawn(pairs):
        return [(rate, measure.shown(sign * value)) for rate, value in pairs if math.isfinite(value)]

    points = drawn(zip(rates, quality, strict=True))
    return points, drawn(monotone_envelope(rates, quality).tolist()) if enveloped else points


def axis_label(measure, task=None) -> str:
    """What stands at the axis of a measure, or of a task's main one."""
    return f"{measure.label}; dotted: {task.ceiling}" if task else measure.label


def save(report, path) -> None:
    """Write the plot; the ending of `path` chooses the format. The same report gives the same SVG, byte by byte."""
    import matplotlib

    kind = Path(path).suffix[1:]
    data = io.BytesIO()
    # A fixed salt for the ids of its elements and no date make an SVG reproducible.
    with matplotlib.rc_context({"svg.hashsalt": "codeckit", "font.size": 10}):
        metadata = {"Date": None} if kind == "svg" else None
        figure(report).savefig(data, format=kind, dpi=_POINTS_PER_INCH, metadata=metadata)
    write_atomically(path, data.getvalue())


def _draw(axes, n, label, points_and_line):
    points, line = points_and_line
    style = {"color": _COLORS[n % len(_COLORS)], "marker": _MARKERS[n % len(_MARKERS)], "markersize": 5}
    if line is not points:
        axes.plot(*_columns(points), linestyle="", alpha=0.4, **style)
    axes.plot(*_columns(line), linestyle="-" if n < len(_COLORS) else "--", linewidth=1.6, label=label, **style)


def _name_axes(axes, label):
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("rate (bpp)")
    axes.set_ylabel(label)
    axes.grid(True, color="#DDDDDD", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _columns(points):
    return list(zip(*points, strict=True)) if points else ([], [])
