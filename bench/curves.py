"""Rate-distortion curves: the points of a table, grouped by codec.

A *curve* is a codec with all its options fixed but quality; each quality is a point: the values of the whole set of
images (`Summary`). A point counts only if it was measured on all images of the table, so that all points are over the
same pictures.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..metrics import Measure
from .columns import Columns
from .records import Summary


@dataclass(frozen=True)
class Curve:
    """One codec's points, in order of rate.

    Attributes:
        label: codec and options besides quality.
        points: one `Summary` a setting.
    """

    label: str
    points: tuple[Summary, ...]

    def rate_and_quality(self, column: str, measure: Measure | None = None) -> tuple[list[float], list[float]]:
        """bpp and quality, a value a point: the measure on its scale (MS-SSIM in dB), higher for better.

        Args:
            column: the measure's column.
            measure: what the column holds; None for what is declared under its name.
        """
        measure = measure or Columns.named([column])[column]
        return [point.bpp for point in self.points], [measure.quality(point.values[column]) for point in self.points]


def curves_of(summaries: Sequence[Summary]) -> tuple[tuple[Curve, ...], tuple[str, ...], tuple[str, ...]]:
    """Curves, the names of the images that they are over, and notes of points that were left out.

    The images are those of the point that was measured on most.
    """
    images = max((summary.images for summary in summaries), key=len)
    groups: dict[str, list[Summary]] = {}
    notes = []
    for summary in summaries:
        label = curve_label(summary.codec, summary.setting)
        if summary.images == images:
            groups.setdefault(label, []).append(summary)
        else:
            quality = summary.setting.get("quality", "")
            notes.append(f"left out: {label} {quality}, measured on {len(summary.images)} of {len(images)} images")
    curves = (Curve(label, tuple(sorted(points, key=lambda point: point.bpp))) for label, points in groups.items())
    return tuple(curves), images, tuple(notes)


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
