"""Reports: rate-distortion curves, Bjøntegaard deltas against an anchor codec, tables and plots.

A *curve* is a codec with all its options fixed but quality; each quality is a point: the means over the images of bpp
and of every measure. A point counts only if it was measured on all images of the table, so that all means are over the
same pictures. Only real rates (streams that were written and decoded again) enter.

Deltas of MS-SSIM are taken on its decibel scale, −10 · log10(1 − MS-SSIM), on which published curves are drawn too.
"""

import io
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from ..codecs.image_io import write_atomically
from ..metrics import BDResult, bd_psnr, bd_rate, to_decibels
from .records import Measurements, Summary

#: Measures with a decibel scale of their own for curves and deltas.
_SCALES = {"ms-ssim": to_decibels}

#: How measures are written in tables and plots: heading, digits, axis. Curves and deltas of these are in dB.
_NAMES = {
    "psnr": ("PSNR", 2, "PSNR (dB, RGB)"),
    "psnr-yuv": ("PSNR-YUV", 2, "PSNR (dB, Y Cb Cr 6:1:1)"),
    "ms-ssim": ("MS-SSIM", 4, "MS-SSIM (dB, −10·log₁₀(1 − MS-SSIM))"),
}

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
        metrics: the measures.
        curves: one a codec and options.
        anchor: label of the curve that deltas refer to.
        deltas: one a curve (but the anchor) and measure.
        notes: what was left out, and why.
        failures: jobs of the sweep that failed.
    """

    table: Measurements
    images: tuple[str, ...]
    metrics: tuple[str, ...]
    curves: tuple[Curve, ...]
    anchor: str
    deltas: tuple[Delta, ...]
    notes: tuple[str, ...] = ()
    failures: tuple = ()

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
        for metric in self.metrics:
            name = _name(metric)[0]
            heading += [f"BD-rate {name}", "overlap", f"BD-{name}"]
        rows = [heading]
        for curve in self.curves:
            cells = []
            for delta in self.deltas:
                if delta.label == curve.label:
                    unit = " dB" if delta.metric in _NAMES else ""
                    cells += [_fixed(delta.rate.value, 1, "+", " %"), f"{delta.rate.overlap:.0%}"]
                    cells += [_fixed(delta.quality.value, 2, "+", unit)]
            if cells:
                rows.append([curve.label, *cells])
        return rows

    def __str__(self):
        parts = [self._headline(), align(self.points_table())]
        if self.deltas:
            parts.append(align(self.deltas_table()))
        return "\n\n".join([*parts, *self._remarks()])

    def to_markdown(self) -> str:
        """The tables, headline and notes in Markdown."""
        parts = ["# Comparison", self._headline(), markdown(self.points_table())]
        if self.deltas:
            parts.append(markdown(self.deltas_table()))
        return "\n\n".join([*parts, *self._remarks()]) + "\n"

    def _headline(self):
        count = f"{len(self.images)} images" if len(self.images) > 1 else "1 image"
        names = ", ".join(self.images) if len(self.images) <= 6 else f"{self.images[0]} … {self.images[-1]}"
        return f"{count} ({names}): means of the per-image values. Files written and decoded again, one thread."

    def _remarks(self):
        remarks = list(self.notes)
        if self.deltas:
            remarks.append(
                "BD-rate: mean difference in rate at equal quality, negative is better; overlap: the part of both "
                "curves' range of quality that they share."
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
                            "encode_s": point.encode_s,
                            "decode_s": point.decode_s,
                            "values": {name: _json_number(value) for name, value in point.values.items()},
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
            "notes": list(self.notes),
            "failures": [asdict(failure) for failure in self.failures],
        }

    def to_json(self) -> str:
        """`to_dict` as strict JSON."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False, default=repr)

    def figure(self):
        """The rate-distortion plot, a matplotlib Figure: a panel a measure, rate on a logarithmic axis.

        On that axis the horizontal distance of two curves is the factor between their rates, so BD-rate can be seen.
        """
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter, NullFormatter

        panels = max(len(self.metrics), 1)
        legend_rows = -(-len(self.curves) // 3)
        height = 4.6 + 0.25 * legend_rows
        figure = Figure(figsize=(5.6 * panels, height), layout="constrained")
        for axes, metric in zip(figure.subplots(1, panels, squeeze=False)[0], self.metrics, strict=True):
            for n, curve in enumerate(self.curves):
                rate, quality = curve.rate_and_quality(metric)
                finite = [(r, q) for r, q in zip(rate, quality, strict=True) if math.isfinite(q)]
                axes.plot(
                    *zip(*finite, strict=True) if finite else ([], []),
                    color=_COLORS[n % len(_COLORS)],
                    marker=_MARKERS[n % len(_MARKERS)],
                    linestyle="-" if n < len(_COLORS) else "--",
                    markersize=5,
                    linewidth=1.6,
                    label=curve.label,
                )
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

    def write(self, folder) -> None:
        """Write report.md, results.json, records.jsonl, rd.png and rd.svg into `folder`."""
        folder = Path(folder)
        self.table.to_jsonl(folder / "records.jsonl")
        write_atomically(folder / "results.json", self.to_json() + "\n")
        self.plot(folder / "rd.png")
        self.plot(folder / "rd.svg")
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
        for metric in everywhere
        if curve is not reference
    )
    order = dict.fromkeys(record.image for record in table if record.image in images)
    report = Report(table, tuple(order), everywhere, curves, anchor, deltas, tuple(notes), tuple(failures))
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


def _name(metric):
    return _NAMES.get(metric, (metric, 3, metric))


def _fixed(value, digits, sign="", unit=""):
    if math.isnan(value):
        return "–"
    return f"{value:{sign}.{digits}f}{unit}"


def _json_number(value):
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else "inf" if value > 0 else "-inf"
