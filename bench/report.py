"""Reports: rate-distortion curves, Bjøntegaard deltas against an anchor codec, tables and plots.

A *curve* is a codec with all its options fixed but quality; each quality is a point: the means over the images of bpp
and of every measure. A point counts only if it was measured on all images of the table, so that all means are over the
same pictures. Only real rates (streams that were written and decoded again) enter.

Deltas of MS-SSIM are taken on its decibel scale, −10 · log10(1 − MS-SSIM), on which published curves are drawn too.

Task accuracies have a table of their own (`Report.tasks_table`): each with its difference from the uncompressed
pictures and a paired bootstrap interval of that; and with η, the bits of information about the label per coded bit.
Accuracy need not rise with the rate, so curves are drawn and compared by their monotone envelope.
"""

import io
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from ..codecs.image_io import write_atomically
from ..metrics import (
    BDResult,
    bd_psnr,
    bd_rate,
    monotone_envelope,
    paired_interval,
    rate_at,
    to_decibels,
    token_efficiency,
)
from .records import Measurements, Summary, setting_key

#: Measures with a decibel scale of their own for curves and deltas.
_SCALES = {"ms-ssim": to_decibels}

#: How measures are written in tables and plots: heading, digits, axis. Curves and deltas of these are in dB.
_NAMES = {
    "psnr": ("PSNR", 2, "PSNR (dB, RGB)"),
    "psnr-yuv": ("PSNR-YUV", 2, "PSNR (dB, Y Cb Cr 6:1:1)"),
    "ms-ssim": ("MS-SSIM", 4, "MS-SSIM (dB, −10·log₁₀(1 − MS-SSIM))"),
    "feature-snr": ("feature SNR", 2, "feature SNR (dB)"),
}

#: The codec whose accuracy is the ceiling. It is a line in plots, not a curve.
_CEILING = "uncompressed"

#: How much accuracy may be lost, where a table tells the rate that this takes.
_TOLERANCE = 0.01

_PLOT_POINTS_PER_INCH = 150

#: Colours that colour-blind readers can tell apart (Okabe and Ito 2008), and a marker with each.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
_MARKERS = "osD^vPX*"


@dataclass(frozen=True)
class Curve:
    """One codec's points, in order of rate.

    Attributes:
        label: codec and options besides quality.
        points: one `Summary` a setting.
    """

    label: str
    points: tuple[Summary, ...]

    def rate_and_quality(self, metric: str) -> tuple[list[float], list[float]]:
        """bpp and the measure (in decibels where it has such a scale), a value a point."""
        scale = _SCALES.get(metric, float)
        return [point.bpp for point in self.points], [scale(point.values[metric]) for point in self.points]


@dataclass(frozen=True)
class Delta:
    """How a curve lies to the anchor under one measure.

    Attributes:
        label: the curve.
        metric: the measure.
        rate: BD-rate in percent, negative is better.
        quality: BD-quality at equal rate (dB for PSNR and MS-SSIM), positive is better.
    """

    label: str
    metric: str
    rate: BDResult
    quality: BDResult


@dataclass(frozen=True)
class Report:
    """What `compare` found. ``print`` it, or `write` it into a folder.

    Attributes:
        table: the measurements it rests on.
        images: names of the images.
        metrics: the measures, without those of tasks.
        curves: one a codec and options.
        anchor: label of the curve that deltas refer to.
        deltas: one a curve (but the anchor) and measure, or task.
        notes: what was left out, and why.
        failures: jobs of the sweep that failed.
        tasks: names of the tasks.
    """

    table: Measurements
    images: tuple[str, ...]
    metrics: tuple[str, ...]
    curves: tuple[Curve, ...]
    anchor: str
    deltas: tuple[Delta, ...]
    notes: tuple[str, ...] = ()
    failures: tuple = ()
    tasks: tuple[str, ...] = ()

    @property
    def plotted(self) -> tuple[str, ...]:
        """What has a panel in the plot and a delta: the measures, and each task's accuracy."""
        return (*self.metrics, *(f"{task}/top1" for task in self.tasks))

    def naming(self, metric: str) -> tuple[str, int, str]:
        """How a measure is written: heading, digits, axis."""
        return _name(metric)

    def ceilings(self) -> dict[str, float]:
        """The uncompressed pictures' accuracy in each task, by measure (``"imagenet/top1"``)."""
        return {f"{task}/top1": accuracy for task, accuracy in self._ceilings().items()}

    def points_table(self) -> list[list[str]]:
        """Rows of the rate-distortion table, heading first."""
        rows = [["codec", "quality", "bpp", *(_name(m)[0] for m in self.metrics), "encode ms", "decode ms"]]
        for curve in self.curves:
            for point in curve.points:
                values = [_fixed(point.values[metric], _name(metric)[1]) for metric in self.metrics]
                times = [_fixed(1000 * seconds, 1) for seconds in (point.encode_s, point.decode_s)]
                quality = str(point.setting.get("quality", "–"))
                rows.append([curve.label, quality, _fixed(point.bpp, 3), *values, *times])
        return rows

    def deltas_table(self) -> list[list[str]]:
        """Rows of the table of Bjøntegaard deltas, heading first."""
        heading = [f"against {self.anchor}"]
        for metric in self.plotted:
            name = _name(metric)[0]
            heading += [f"BD-rate {name}", "overlap", f"BD-{name}"]
        rows = [heading]
        for curve in self.curves:
            cells = []
            for delta in self.deltas:
                if delta.label == curve.label:
                    is_task = delta.metric not in self.metrics
                    unit = " points" if is_task else " dB" if delta.metric in _NAMES else ""
                    cells += [_fixed(delta.rate.value, 1, "+", " %"), f"{delta.rate.overlap:.0%}"]
                    cells += [_fixed(delta.quality.value * (100 if is_task else 1), 2, "+", unit)]
            if cells and curve.label != _CEILING:
                rows.append([curve.label, *cells])
        return rows

    def tasks_table(self) -> list[list[str]]:
        """Rows of the table of task accuracies, heading first: one a codec and setting."""
        heading = ["codec", "quality", "bpp"]
        for task in self.tasks:
            heading += [f"{task} top-1", "− uncompressed [95 %]", "top-5", "η"]
        rows = [heading]
        for curve in self.curves:
            for point in curve.points:
                row = [curve.label, str(point.setting.get("quality", "–")), _fixed(point.bpp, 4)]
                for task in self.tasks:
                    top5 = point.values.get(f"{task}/top5", math.nan)
                    row += [_percent(point.values[f"{task}/top1"]), self._difference(point, task), _percent(top5)]
                    efficiency = self.efficiency(point, task)
                    row.append("–" if math.isnan(efficiency) else f"{efficiency:.2g}")
                rows.append(row)
        return rows

    def rates_table(self) -> list[list[str]]:
        """Rows of the table of rates at a task's uncompressed accuracy less one point, heading first."""
        reached = {curve.label: [self.rate_for(curve, task) for task in self.tasks] for curve in self.curves}
        reached.pop(_CEILING, None)
        if not self._ceilings():
            return []
        rows = [["bpp for uncompressed − 1 point", *(x for task in self.tasks for x in (task, f"of {self.anchor}"))]]
        for label, rates in reached.items():
            cells = []
            least = next(min(point.bpp for point in curve.points) for curve in self.curves if curve.label == label)
            for rate, anchor in zip(rates, reached.get(self.anchor, rates), strict=True):
                cells += [("≤ " if rate == least else "") + _fixed(rate, 4), _fixed(rate / anchor, 3)]
            rows.append([label, *cells])
        return rows

    def rate_for(self, curve: Curve, task: str, lost: float = _TOLERANCE) -> float:
        """The bpp at which a curve's envelope has the uncompressed accuracy less `lost`; NaN if it does not."""
        if task not in self._ceilings():
            return math.nan
        return rate_at(*curve.rate_and_quality(f"{task}/top1"), self._ceilings()[task] - lost)

    def efficiency(self, point: Summary, task: str) -> float:
        """η of one codec and setting: bits of information about the label per coded bit; NaN without probabilities."""
        records = self._records(point)
        name = f"{task}/information"
        if not all(name in record.values for record in records):
            return math.nan
        return token_efficiency([r.values[name] for r in records], [r.bytes for r in records])

    def _ceilings(self):
        """Each task's accuracy on the uncompressed pictures."""
        ceiling = next((curve.points[0] for curve in self.curves if curve.label == _CEILING), None)
        return {task: ceiling.values[f"{task}/top1"] for task in self.tasks} if ceiling else {}

    def _records(self, point):
        """The point's measurements, by name of the image."""
        key = setting_key(point.setting)
        records = [r for r in self.table if r.codec == point.codec and setting_key(r.setting) == key]
        return sorted(records, key=lambda record: record.image)

    def _difference(self, point, task):
        """Accuracy less that of the uncompressed pictures, in points, with its interval."""
        ceiling = next((curve.points[0] for curve in self.curves if curve.label == _CEILING), None)
        if ceiling is None or point is ceiling:
            return "–"
        pair = [[r.values[f"{task}/top1"] for r in self._records(p)] for p in (point, ceiling)]
        if not all(map(math.isfinite, pair[0])):
            return "–"
        difference, low, high = (100 * value for value in paired_interval(*pair))
        return f"{difference:+.1f} [{low:+.1f}, {high:+.1f}]"

    def __str__(self):
        return "\n\n".join([self._headline(), *map(align, self.tables()), *self.remarks()])

    def to_markdown(self) -> str:
        """The tables, headline and notes in Markdown."""
        return "\n\n".join(["# Comparison", self._headline(), *map(markdown, self.tables()), *self.remarks()]) + "\n"

    def tables(self) -> list[list[list[str]]]:
        """All tables that have rows, heading first."""
        tables = [self.points_table()]
        if self.tasks:
            tables += [self.tasks_table(), self.rates_table()]
        if self.deltas:
            tables.append(self.deltas_table())
        return [table for table in tables if len(table) > 1]

    def _headline(self):
        count = f"{len(self.images)} images" if len(self.images) > 1 else "1 image"
        names = ", ".join(self.images) if len(self.images) <= 6 else f"{self.images[0]} … {self.images[-1]}"
        return f"{count} ({names}): means of the per-image values. Files written and decoded again, one thread."

    def remarks(self) -> list[str]:
        """What the tables mean, what was left out, and what failed."""
        remarks = list(self.notes)
        if self.deltas:
            remarks.append(
                "BD-rate: mean difference in rate at equal quality, negative is better; overlap: the part of both "
                "curves' range of quality that they share."
            )
        if self.tasks:
            remarks.append(
                "Accuracies in percent; − uncompressed: difference in points with its paired bootstrap interval; η: "
                "bits of information about the label per coded bit. BD and rates from monotone envelopes."
            )
        remarks += [f"failed: {failure}" for failure in self.failures]
        return remarks

    def to_dict(self) -> dict:
        """Curves and deltas as data for JSON. No number (NaN) is None, infinity the string "inf"."""
        return {
            "images": list(self.images),
            "anchor": self.anchor,
            "curves": [
                {
                    "label": curve.label,
                    "codec": curve.points[0].codec,
                    "points": [
                        {
                            "setting": point.setting,
                            "bpp": point.bpp,
                            "encode_s": _json_number(point.encode_s),
                            "decode_s": _json_number(point.decode_s),
                            "values": {name: _json_number(value) for name, value in point.values.items()},
                            **self._task_values(point),
                        }
                        for point in curve.points
                    ],
                }
                for curve in self.curves
            ],
            "deltas": [
                {
                    "label": delta.label,
                    "metric": delta.metric,
                    "bd_rate_percent": _json_number(delta.rate.value),
                    "bd_rate_overlap": delta.rate.overlap,
                    "bd_quality": _json_number(delta.quality.value),
                    "bd_quality_overlap": delta.quality.overlap,
                    "points": list(delta.rate.points),
                }
                for delta in self.deltas
            ],
            **({"rates_within_a_point": self._rates()} if self.tasks else {}),
            "notes": list(self.notes),
            "failures": [asdict(failure) for failure in self.failures],
        }

    def _rates(self):
        """bpp at each task's uncompressed accuracy less one point, by curve."""
        return {
            curve.label: {task: _json_number(self.rate_for(curve, task)) for task in self.tasks}
            for curve in self.curves
            if curve.label != _CEILING
        }

    def _task_values(self, point):
        """η of each task, for `to_dict`."""
        if not self.tasks:
            return {}
        return {"efficiency": {task: _json_number(self.efficiency(point, task)) for task in self.tasks}}

    def to_json(self) -> str:
        """`to_dict` as strict JSON."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False, default=repr)

    def figure(self):
        """The rate-distortion plot, a matplotlib Figure: a panel a measure, rate on a logarithmic axis.

        On that axis the horizontal distance of two curves is the factor between their rates, so BD-rate can be seen.
        """
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter, NullFormatter

        panels = max(len(self.plotted), 1)
        curves = [curve for curve in self.curves if curve.label != _CEILING] or list(self.curves)
        legend_rows = -(-len(curves) // 3)
        height = 4.6 + 0.25 * legend_rows
        figure = Figure(figsize=(5.6 * panels, height), layout="constrained")
        for axes, metric in zip(figure.subplots(1, panels, squeeze=False)[0], self.plotted, strict=False):
            is_task = metric not in self.metrics
            for n, curve in enumerate(curves):
                rate, quality = curve.rate_and_quality(metric)
                finite = [(r, q * (100 if is_task else 1)) for r, q in zip(rate, quality, strict=True)]
                finite = [(r, q) for r, q in finite if math.isfinite(q)]
                style = {"color": _COLORS[n % len(_COLORS)], "marker": _MARKERS[n % len(_MARKERS)], "markersize": 5}
                if is_task:  # every point is shown, and the line is the envelope
                    axes.plot(*_columns(finite), linestyle="", alpha=0.4, **style)
                    finite = monotone_envelope(*_columns(finite)).tolist()
                axes.plot(
                    *_columns(finite),
                    linestyle="-" if n < len(_COLORS) else "--",
                    linewidth=1.6,
                    label=curve.label,
                    **style,
                )
            if is_task and self._ceilings():
                axes.axhline(100 * self._ceilings()[metric.rpartition("/")[0]], color="#555555", linestyle=":")
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set_xlabel("rate (bpp)")
            axes.set_ylabel(_name(metric)[2])
            axes.grid(True, color="#DDDDDD", linewidth=0.6)
            axes.spines[["top", "right"]].set_visible(False)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
        return figure

    def plot(self, path) -> None:
        """Write the plot; the ending of `path` chooses the format. The same report gives the same SVG, byte by byte."""
        import matplotlib

        kind = Path(path).suffix[1:]
        data = io.BytesIO()
        # A fixed salt for the ids of its elements and no date make an SVG reproducible.
        with matplotlib.rc_context({"svg.hashsalt": "codeckit", "font.size": 10}):
            metadata = {"Date": None} if kind == "svg" else None
            self.figure().savefig(data, format=kind, dpi=_PLOT_POINTS_PER_INCH, metadata=metadata)
        write_atomically(path, data.getvalue())

    def write(self, folder, crops=()) -> None:
        """Write report.html, report.md, results.json, records.jsonl, rd.png and rd.svg into `folder`.

        Args:
            folder: made if it does not exist.
            crops: regions of decoded pictures for the page (`codeckit.pages.report.Crop`).
        """
        from ..pages import report_page

        folder = Path(folder)
        self.table.to_jsonl(folder / "records.jsonl")
        write_atomically(folder / "results.json", self.to_json() + "\n")
        self.plot(folder / "rd.png")
        self.plot(folder / "rd.svg")
        write_atomically(folder / "report.html", report_page(self, crops))
        write_atomically(folder / "report.md", self.to_markdown() + "\n![Rate-distortion curves](rd.png)\n")


def compare(table: Measurements, anchor: str | None = None, out=None, failures=()) -> Report:
    """Curves of all codecs in a table, and their Bjøntegaard deltas against an anchor.

    Args:
        table: what `evaluate` returned.
        anchor: a curve's label, or a codec's name if it has one curve; None for libjpeg if it is there, else the first.
        out: folder to write the report into.
        failures: failed jobs of the sweep, to be told in the report.

    Raises:
        ValueError: the table holds no real measurements, or no curve is called `anchor`.

    >>> from codeckit.bench import Measurement
    >>> def row(codec, quality, bpp, psnr):
    ...     return Measurement("a.png", codec, {"quality": quality}, 1, bpp, True, 0.01, 0.01, {"psnr": psnr})
    >>> table = Measurements([row("old", 1, 1.0, 30.0), row("old", 2, 2.0, 36.0),
    ...                       row("new", 1, 0.8, 30.0), row("new", 2, 1.6, 36.0)])
    >>> print(align(compare(table, anchor="old").deltas_table()))
    against old  BD-rate PSNR  overlap   BD-PSNR
    new               -20.0 %     100%  +1.93 dB
    """
    table = Measurements(record for record in table if record.real)
    if not table:
        raise ValueError("there are no real measurements to compare")
    summaries = table.summary()
    images = max((summary.images for summary in summaries), key=len)
    everywhere = tuple(name for name in summaries[0].values if all(name in summary.values for summary in summaries))
    tasks = tuple(name.removesuffix("/top1") for name in everywhere if name.endswith("/top1"))
    metrics = tuple(name for name in everywhere if name.rpartition("/")[0] not in tasks)
    measured = (*metrics, *(f"{task}/top1" for task in tasks))

    groups: dict[str, list[Summary]] = {}
    notes = []
    for summary in summaries:
        label = curve_label(summary.codec, summary.setting)
        if summary.images == images:
            groups.setdefault(label, []).append(summary)
        else:
            quality = summary.setting.get("quality", "")
            notes.append(f"left out: {label} {quality}, measured on {len(summary.images)} of {len(images)} images")
    curves = tuple(Curve(label, tuple(sorted(points, key=lambda point: point.bpp))) for label, points in groups.items())
    anchor = find_anchor([curve.label for curve in curves], anchor)
    reference = next(curve for curve in curves if curve.label == anchor)
    deltas = tuple(
        Delta(curve.label, metric, _delta(bd_rate, reference, curve, metric), _delta(bd_psnr, reference, curve, metric))
        for curve in curves
        for metric in measured
        if curve is not reference
    )
    order = dict.fromkeys(record.image for record in table if record.image in images)
    report = Report(table, tuple(order), metrics, curves, anchor, deltas, tuple(notes), tuple(failures), tasks)
    if out is not None:
        report.write(out)
    return report


def _delta(measure, anchor, curve, metric):
    try:
        return measure(*anchor.rate_and_quality(metric), *curve.rate_and_quality(metric))
    except ValueError:  # a curve of a single point has no delta
        return BDResult(math.nan, 0.0, (len(anchor.points), len(curve.points)))


def curve_label(codec: str, setting: dict) -> str:
    """A codec's name, with its options besides quality in brackets.

    >>> curve_label("libjpeg", {"quality": 75, "progressive": True, "subsampling": "4:4:4", "optimize": False})
    'libjpeg (no optimize, progressive, subsampling 4:4:4)'
    """
    options = []
    for name, value in sorted(setting.items()):
        if name != "quality":
            options.append(name if value is True else f"no {name}" if value is False else f"{name} {value}")
    return f"{codec} ({', '.join(options)})" if options else codec


def find_anchor(labels: list[str], anchor: str | None) -> str:
    """The label that `anchor` means: a label, or the name of a codec that has one curve.

    >>> find_anchor(["jpeg (optimize)", "webp"], "jpeg")
    'jpeg (optimize)'
    """
    labels = list(dict.fromkeys(labels))
    if anchor is None:
        return "libjpeg" if "libjpeg" in labels else labels[0]
    if anchor in labels:
        return anchor
    of_codec = [label for label in labels if label.split(" (")[0] == anchor]
    if len(of_codec) != 1:
        which = "several curves" if of_codec else "no curve"
        raise ValueError(f"{which} called {anchor!r}; the anchor is one of: {'; '.join(labels)}")
    return of_codec[0]


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


def _columns(points):
    return list(zip(*points, strict=True)) if points else ([], [])


def _name(metric):
    task, _, measure = metric.rpartition("/")
    if task and measure == "top1":
        return f"{task} top-1", 1, f"{task} top-1 accuracy (%); dotted: uncompressed"
    return _NAMES.get(metric, (metric, 3, metric))


def _percent(value):
    return _fixed(100 * value, 1)


def _fixed(value, digits, sign="", unit=""):
    if math.isnan(value):
        return "–"
    return f"{value:{sign}.{digits}f}{unit}"


def _json_number(value):
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else "inf" if value > 0 else "-inf"
