"""The report page of a comparison: curves to hover over and hide, tables, speeds, and crops at the same rate.

The curves are drawn by plotly.js, which comes with the package plotly and stands in the page itself, compressed: the
page opens without a network. Numbers and axes follow `bench.tables` and `bench.plot`; this module only lays them out.
"""

import base64
import functools
import gzip
import html
import json
import math
from dataclasses import dataclass

import numpy as np

from ..metrics import monotone_envelope
from . import charts
from .markup import page
from .pictures import data_uri


@dataclass(frozen=True, eq=False)
class Crop:
    """A region of a decoded picture.

    Attributes:
        image: the picture's name.
        label: the curve that it belongs to; "original" for the picture itself.
        detail: quality, rate and PSNR as text.
        pixels: uint8 [h,w,3] or [h,w].
    """

    image: str
    label: str
    detail: str
    pixels: np.ndarray


def report_page(report, crops=()) -> str:
    """The page of a `bench.report.Report`.

    Args:
        report: curves, deltas and tables.
        crops: `Crop`s; those of one picture stand together, the original first.

    >>> from codeckit.bench import Measurement, compare
    >>> from codeckit.bench.records import Measurements
    >>> row = Measurement("a.png", "jpeg", {"quality": 1}, 1, 1.0, True, 0.01, 0.01, {"psnr": 30.0})
    >>> report_page(compare(Measurements([row])))[:15]
    '<!doctype html>'
    """
    count, many = len(report.images), len(report.curves) > 1
    names = ", ".join(report.images[:6]) + (" …" if count > 6 else "")
    tasks = {task.main: task for task in report.columns.tasks}
    ceilings = {"uncompressed", *(task.ceiling for task in tasks.values())}
    curves = [_curve(report, curve) for curve in report.curves if curve.label not in ceilings or not many]
    heading = f"{len(curves)} codec{'s' * (len(curves) > 1)}, {count} picture{'s' * (count > 1)}"
    lines = {column: _shown(report.columns[column], value) for column, value in report.ceilings().items()}
    metrics = [_metric(report.columns[column], column, tasks.get(column)) for column in report.plotted]
    data = {"metrics": metrics, "curves": curves, "ceilings": lines}
    body = [
        '<header class="top"><div><p class="kicker">codeckit compare</p>'
        f"<h1>{heading}</h1>"
        f'<p class="sub">{html.escape(names)}. Means of the per-picture values; files written and decoded again, one '
        "thread.</p></div>"
        '<button id="theme" type="button" aria-label="light or dark">◐</button></header>',
        _CURVES,
        _SPEED,
        _crops(crops),
        _tables(report),
        f'<script type="application/json" id="data">{_json(data)}</script>'
        f'<script type="text/plain" id="plotly">{_plotly()}</script>',
    ]
    return page("codeckit compare", "\n".join(part for part in body if part), scripts=["report.js"])


_CURVES = """<section id="curves"><h2>Quality against rate</h2>
<p class="lead">Point at a curve for its numbers. A click in the legend hides a curve, a double click leaves it alone;
drag to zoom, double-click to go back. On the logarithmic axis the horizontal distance of two curves is the factor
between their rates.</p>
<div class="bar"><span class="zooms" role="group" aria-label="measure" id="metrics"></span>
<span class="zooms" role="group" aria-label="axis of the rate"><button type="button" data-axis="log"
aria-pressed="true">log rate</button><button type="button" data-axis="linear">linear</button></span></div>
<div class="plot" id="rd"></div></section>"""

_SPEED = """<section id="speed"><h2>Speed against rate</h2>
<p class="lead">Milliseconds for a picture, both axes logarithmic: further down is faster, further to the left is
smaller.</p>
<div class="bar"><span class="zooms" role="group" aria-label="direction"><button type="button" data-time="encode"
aria-pressed="true">encode</button><button type="button" data-time="decode">decode</button></span></div>
<div class="plot" id="times"></div></section>"""


def _metric(measure, column, task):
    axis = f"{measure.label}; dotted: {task.ceiling}" if task else measure.label
    percent = measure.unit == "%"
    about = {"name": measure.heading, "digits": measure.digits, "axis": axis, "task": bool(task), "percent": percent}
    return {"key": column, **about}


def _shown(measure, value):
    """Where a value lies on the axis."""
    return measure.shown(measure.scaled(value))


def _curve(report, curve):
    points = []
    tasks = [task.main for task in report.columns.tasks]
    for point in curve.points:
        values = {name: _number(point.values[name]) for name in report.plotted}
        shown = {name: _number(_shown(report.columns[name], point.values[name])) for name in report.plotted}
        points.append(
            {
                "bpp": point.bpp,
                "quality": str(point.setting.get("quality", "")),
                "encode": _number(1000 * point.encode_s),
                "decode": _number(1000 * point.decode_s),
                "values": values,
                "shown": shown,
            }
        )
    envelopes = {}
    for name in tasks:  # a task's value need not rise with the rate: the line is the envelope
        sign = 1 if report.columns[name].higher_is_better else -1
        finite = [(p["bpp"], sign * p["shown"][name]) for p in points if p["shown"][name] is not None]
        if finite:
            envelope = monotone_envelope(*zip(*finite, strict=True)).tolist()
            envelopes[name] = [[rate, sign * quality] for rate, quality in envelope]
    return {"label": curve.label, "points": points, "envelopes": envelopes}


def _number(value):
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _json(data):
    return json.dumps(data, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")


@functools.cache
def _plotly() -> str:
    """plotly.js, compressed, as text: a third of its size."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()


def _tables(report):
    found = []
    titles = {
        "codec": "Every point",
        "against": "Bjøntegaard deltas",
        "bpp for": "Rates near the ceiling",
    }
    for rows in report.tables():
        title = next((text for start, text in titles.items() if rows[0][0].startswith(start)), "")
        if any("[95 %]" in cell for cell in rows[0]):
            title = "Tasks"
        cells = [[html.escape(cell) for cell in row] for row in rows]
        found.append(f'<div class="card"><h4>{title}</h4>{charts.table(cells[0], cells[1:])}</div>')
    remarks = "".join(f"<p class='lead'>{html.escape(remark)}</p>" for remark in report.remarks())
    return f'<section id="tables"><h2>Tables</h2>{"".join(found)}{remarks}</section>'


def _crops(crops):
    if not crops:
        return ""
    groups: dict[str, list[Crop]] = {}
    for crop in crops:
        groups.setdefault(crop.image, []).append(crop)
    found = []
    for image, group in groups.items():
        figures = []
        for crop in group:
            height, width = crop.pixels.shape[:2]
            figures.append(
                f'<figure class="crop"><button type="button" aria-label="hold to see the original" '
                f'data-original="{crop.label == "original"}"><img class="pixelated" width="{2 * width}" '
                f'height="{2 * height}" src="{data_uri(crop.pixels, None)}" alt="{html.escape(crop.label)}"></button>'
                f"<figcaption><b>{html.escape(crop.label)}</b> {html.escape(crop.detail)}</figcaption></figure>"
            )
        found.append(f'<h3>{html.escape(image)}</h3><div class="crops">{"".join(figures)}</div>')
    return (
        '<section id="crops"><h2>The same region at the same rate</h2><p class="lead">Where the codecs differ most, at '
        "the setting whose mean rate is nearest to one and the same. Press and hold a crop (or the space bar on it) to "
        f"see the original in its place.</p>{''.join(found)}</section>"
    )
