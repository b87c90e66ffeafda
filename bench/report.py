"""Reports: what `compare` found in a table of measurements, to be printed, plotted, written and read by programs.

Points are grouped into curves (`curves`), compared (`analysis`), and shown as tables (`tables`), a plot (`plot`), JSON
(`export`) and a page (`codeckit.pages.report`). Only real rates (streams that were written and decoded again) enter.
How a measure is written, on which scale its curves are compared and which direction is better, its declaration says
(`codeckit.metrics.Measure`); tasks have a table of their own.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from ..codecs.image_io import write_atomically
from . import analysis, export, plot, tables
from .analysis import Delta, deltas_of
from .columns import Columns
from .curves import Curve, curves_of, find_anchor
from .records import Measurements, Summary


@dataclass(frozen=True)
class Report:
    """What `compare` found. ``print`` it, or `write` it into a folder.

    Attributes:
        table: the measurements it rests on, baselines included.
        images: names of the images.
        columns: the measures that every point has, and the tasks.
        curves: one a codec and options; those of baselines last.
        anchor: label of the curve that deltas refer to.
        deltas: one a curve (but the anchor) and metric, or task's main measure.
        notes: what was left out, and why.
        failures: jobs of the sweep that failed.
    """

    table: Measurements
    images: tuple[str, ...]
    columns: Columns
    curves: tuple[Curve, ...]
    anchor: str
    deltas: tuple[Delta, ...]
    notes: tuple[str, ...] = ()
    failures: tuple = ()

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the measures, without those of tasks."""
        return tuple(measure.name for measure in self.columns.metrics)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks."""
        return tuple(task.name for task in self.columns.tasks)

    @property
    def plotted(self) -> tuple[str, ...]:
        """What has a panel in the plot and a delta: the metrics, and each task's main measure."""
        return self.columns.main

    def ceilings(self) -> dict[str, float]:
        """What each task's main measure (``"imagenet/top1"``) gives for the ceiling, where that was measured."""
        tops = {task.main: analysis.ceiling(self.curves, task) for task in self.columns.tasks}
        return {column: top.values[column] for column, top in tops.items() if top is not None}

    def efficiency(self, point: Summary, task: str) -> float:
        """η of one codec and setting: bits of information about the label per coded bit; NaN without probabilities."""
        (info,) = (each for each in self.columns.tasks if each.name == task)
        return analysis.efficiency(self.table, point, info)

    def points_table(self) -> list[list[str]]:
        """Rows of the rate-distortion table, heading first."""
        return tables.points_table(self)

    def deltas_table(self) -> list[list[str]]:
        """Rows of the table of Bjøntegaard deltas, heading first."""
        return tables.deltas_table(self)

    def tables(self) -> list[list[list[str]]]:
        """All tables that have rows, heading first."""
        return tables.all_tables(self)

    def remarks(self) -> list[str]:
        """What the tables mean, what was left out, and what failed."""
        return tables.remarks(self)

    def __str__(self):
        return "\n\n".join([tables.headline(self), *map(tables.align, self.tables()), *self.remarks()])

    def to_markdown(self) -> str:
        """The tables, headline and notes in Markdown."""
        shown = map(tables.markdown, self.tables())
        return "\n\n".join(["# Comparison", tables.headline(self), *shown, *self.remarks()]) + "\n"

    def to_dict(self) -> dict:
        """Curves and deltas as data for JSON (`codeckit.bench.export`)."""
        return export.to_dict(self)

    def to_json(self) -> str:
        """`to_dict` as strict JSON."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False, default=repr)

    def figure(self):
        """The rate-distortion plot, a matplotlib Figure: a panel a measure, rate on a logarithmic axis."""
        return plot.figure(self)

    def plot(self, path) -> None:
        """Write the plot; the ending of `path` chooses the format. The same report gives the same SVG, byte by byte."""
        plot.save(self, path)

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
    """Curves of all codecs in a table and of its baselines, and their Bjøntegaard deltas against an anchor.

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
    >>> print(tables.align(compare(table, anchor="old").deltas_table()))
    against old  BD-rate PSNR  overlap   BD-PSNR
    new               -20.0 %     100%  +1.93 dB
    """
    if not isinstance(table, Measurements):
        raise ValueError(f"compare takes the table that evaluate returned, not {type(table).__name__}")
    table = Measurements(_real(table), _real(table.baselines), table.columns)
    if not table.everything:
        raise ValueError("there are no real measurements to compare")
    summaries = Measurements(table.everything, columns=table.columns).summary()
    everywhere = [name for name in summaries[0].values if all(name in summary.values for summary in summaries)]
    columns = table.columns.only(everywhere)
    curves, images, notes = curves_of(summaries)
    anchor = find_anchor([curve.label for curve in curves], anchor)
    reference = next(curve for curve in curves if curve.label == anchor)
    deltas = deltas_of(curves, reference, columns)
    order = dict.fromkeys(record.image for record in table.everything if record.image in images)
    report = Report(table, tuple(order), columns, curves, anchor, deltas, notes, tuple(failures))
    if out is not None:
        report.write(out)
    return report


def _real(records):
    return [record for record in records if record.real]
