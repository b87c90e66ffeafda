"""What a number in a table says of itself, and the metric that computes one of two pictures.

A `Measure` names a number and says how to write it (heading, unit, digits), which direction is better, on which scale
curves of it are drawn and compared, and how the value of a set follows from those of its pictures. A `Metric` is a
measure with the function that computes it; a task has measures, too (`codeckit.metrics.tasks`). Tables, plots,
Bjøntegaard deltas and pages ask the measure and know no metric by its name.

A set's value is the mean of its pictures' values, unless the measure is made of *counts*. F1, for example, is not the
mean of the pictures' F1: each picture gives its hits, false alarms and misses, these are summed over the set, and
`Measure.from_counts` makes the number of the sums. Counts are also what a bootstrap draws: a picture enters with all of
its counts or not at all.
"""

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, fields

import numpy as np


class UndefinedError(ValueError):
    """The measure does not apply to what it was given. Records hold NaN for it, and tables show "–"."""


class TooSmallError(UndefinedError):
    """The picture is too small for the measure."""


@dataclass(frozen=True)
class Measure:
    """A number: its name, how it is written, and how two of them compare.

    Attributes:
        name: as records and command lines write it; without "/".
        title: heading in tables; the name if empty.
        unit: such as ``"dB"``; ``"%"`` for fractions, which tables show times 100.
        digits: decimals that tables show.
        higher_is_better: False for distances and errors.
        axis: label of a plot's axis; title and unit if empty.
        scale: where curves are drawn and compared on another scale than the value's, the rising function to it.
        scale_unit: unit on that scale.
        from_counts: None where a picture's value is a number and a set's value their mean. Otherwise a picture gives
            its counts [n], and this function makes the value of the counts of a picture or of their sum over a set.

    >>> error = Measure("error", unit="m", higher_is_better=False)
    >>> error.heading, error.label, error.quality(2.0) < error.quality(1.0)
    ('error ↓', 'error (m), lower is better', True)
    >>> f1 = Measure("f1", unit="%", digits=1, from_counts=lambda c: 2 * c[0] / (2 * c[0] + c[1] + c[2]))
    >>> f1.written(f1.from_counts(np.array([3, 1, 1])))
    '75.0'
    """

    name: str
    _: KW_ONLY
    title: str = ""
    unit: str = ""
    digits: int = 3
    higher_is_better: bool = True
    axis: str = ""
    scale: Callable[[float], float] | None = None
    scale_unit: str = ""
    from_counts: Callable[[np.ndarray], float] | None = None

    def __post_init__(self):
        if not isinstance(self.name, str) or not self.name or "/" in self.name:
            raise ValueError(f"a measure's name is some letters without '/', not {self.name!r}")

    @property
    def heading(self) -> str:
        """The title; an arrow downwards says that lower is better."""
        return (self.title or self.name) + ("" if self.higher_is_better else " ↓")

    @property
    def label(self) -> str:
        """What stands at an axis; it says where lower is better."""
        title = self.title or self.name
        axis = self.axis or (f"{title} ({self.unit})" if self.unit else title)
        return axis if self.higher_is_better else f"{axis}, lower is better"

    @property
    def delta_unit(self) -> str:
        """Unit of differences on the scale of curves."""
        return "points" if self.unit == "%" else self.scale_unit if self.scale else self.unit

    def scaled(self, value: float) -> float:
        """The value on the scale of curves; NaN for NaN."""
        return self.scale(value) if self.scale else float(value)

    def quality(self, value: float) -> float:
        """A number that is higher for better: on the scale of curves, turned round where lower is better.

        Bjøntegaard deltas and envelopes are made of these, whatever the measure's direction is.
        """
        return self.scaled(value) if self.higher_is_better else -self.scaled(value)

    def shown(self, value: float) -> float:
        """The value in the unit that is written: fractions times 100 for "%"."""
        return 100 * value if self.unit == "%" else value

    def written(self, value: float) -> str:
        """The value as tables have it, "–" for NaN."""
        return "–" if math.isnan(value) else f"{self.shown(value):.{self.digits}f}"

    def described(self) -> "Measure":
        """The measure alone, without what computes it."""
        return Measure(**{field.name: getattr(self, field.name) for field in fields(Measure)})


@dataclass(frozen=True)
class Metric(Measure):
    """A measure of how a decoded picture compares with its reference.

    A distribution declares one, beside the function that it describes, by an entry point::

        vif = Metric("vif", vif_index, title="VIF", digits=4)

        [project.entry-points."codeckit.metrics"]
        vif = "my_package.vif:vif"

    Attributes:
        function: takes reference and decoded picture, uint8 [H,W,3] or [H,W] of one shape, and returns the value (or
            counts, see `from_counts`). It raises `UndefinedError` where the measure does not apply (`TooSmallError`
            for small pictures): the value is then NaN.
        takes_tokens: whether `function` also takes decoded `Tokens`; if not, the value for these is NaN.

    >>> metric = Metric("worst", lambda a, b: np.abs(a.astype(int) - b).max(), title="largest error",
    ...                 digits=0, higher_is_better=False)
    >>> metric(np.zeros((2, 2), np.uint8), np.full((2, 2), 7, np.uint8))
    7.0
    """

    function: Callable
    takes_tokens: bool = False

    def __call__(self, reference, decoded):
        """The function's answer: a float, or a tuple of counts; NaN where the measure is not defined."""
        if not isinstance(decoded, np.ndarray) and not self.takes_tokens:
            return math.nan
        try:
            answer = self.function(reference, decoded)
        except UndefinedError:
            return math.nan
        return float(answer) if self.from_counts is None else tuple(float(count) for count in answer)
