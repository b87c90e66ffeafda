"""What the values of records are: a `Measure` for each column, and the tasks that columns ``"task/measure"`` belong to.

`evaluate` puts the columns of what it measured into its table. A table that was read from a file has names alone; they
are looked up among the declared metrics and tasks, and what is not declared there is a plain number, higher for better.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..metrics import Measure, Metric, resolve
from ..metrics.declared import load
from ..metrics.tasks import Task, TaskInfo, describe
from ..metrics.tasks import resolve as resolve_tasks


@dataclass(frozen=True)
class Columns:
    """The columns of a table.

    Attributes:
        metrics: measures of decoded pictures.
        tasks: tasks, each with its measures.

    >>> columns = Columns.named(["psnr", "imagenet/top1", "sharpness"])
    >>> [columns[name].heading for name in columns]
    ['PSNR', 'sharpness', 'imagenet top-1']
    >>> columns.main
    ('psnr', 'sharpness', 'imagenet/top1')
    """

    metrics: tuple[Measure, ...] = ()
    tasks: tuple[TaskInfo, ...] = ()

    @classmethod
    def of(cls, metrics=(), tasks=()) -> "Columns":
        """The columns of metrics and tasks, given as `evaluate` takes them."""
        return cls(tuple(each.described() for each in resolve(metrics)), tuple(map(describe, resolve_tasks(tasks))))

    @classmethod
    def named(cls, names: Iterable[str]) -> "Columns":
        """The columns of these names, from what is declared."""
        tasks: dict[str, list[str]] = {}
        metrics = []
        for name in dict.fromkeys(names):
            task, slash, measure = name.rpartition("/")
            if slash:
                tasks.setdefault(task, []).append(measure)
            else:
                metrics.append(_declared("codeckit.metrics", Metric, name) or Measure(name))
        return cls(tuple(metrics), tuple(_task(name, measures) for name, measures in tasks.items()))

    def __iter__(self):
        """All names: those of metrics, then those of tasks."""
        yield from self._by_name

    def __getitem__(self, name: str) -> Measure:
        return self._by_name[name]

    def __add__(self, other: "Columns") -> "Columns":
        """The columns of both; of equal names the first ones."""

        def joined(ours, theirs):
            known = {each.name for each in ours}
            return (*ours, *(each for each in theirs if each.name not in known))

        return Columns(joined(self.metrics, other.metrics), joined(self.tasks, other.tasks))

    def only(self, names: Iterable[str]) -> "Columns":
        """Those of the columns that are among `names`; a task without its main measure is left out."""
        names = set(names)
        tasks = []
        for task in self.tasks:
            kept = tuple(measure for measure in task.measures if f"{task.name}/{measure.name}" in names)
            if task.main in names:
                tasks.append(replace(task, measures=kept))
        return Columns(tuple(measure for measure in self.metrics if measure.name in names), tuple(tasks))

    @property
    def main(self) -> tuple[str, ...]:
        """What is plotted and compared: every metric, and each task's main measure."""
        return (*(measure.name for measure in self.metrics), *(task.main for task in self.tasks))

    @property
    def _by_name(self) -> dict[str, Measure]:
        found = {measure.name: measure for measure in self.metrics}
        for task in self.tasks:
            found |= task.columns()
        return found


def _declared(group, kind, name):
    """What is declared under a short name; None for none, or for several distributions' own."""
    try:
        found = load(group, kind, name)
    except ValueError:
        return None
    return found.described() if isinstance(found, Metric) else found


def _task(name: str, measures: list[str]) -> TaskInfo:
    found = _declared("codeckit.tasks", Task, name)
    if found is not None:
        known = describe(found)
        if {measure.name for measure in known.measures} >= set(measures):
            return replace(known, measures=tuple(each for each in known.measures if each.name in measures))
    return TaskInfo.of(name, measures)
