"""Sweeps over more pictures than fit into memory: pictures as a stream, records as Parquet, part by part.

::

    pictures ── taken `part` at a time ── evaluate (any executor, journal) ── records/part-000017.parquet
    (stream)                                                                   one file, written whole

A part is finished when its Parquet file is there: a sweep that is started again skips finished parts, continues the
one it was in from its journal, and goes on. Memory is that of one part, however many there are. The pictures of a
source come in a fixed order, so part 17 is always the same pictures; a manifest in the folder refuses to mix sweeps.

`summarize` reads the parts one after the other and keeps sums alone: the means over all pictures of every codec and
setting, as a table of one record each, which `report.compare` takes like any other.
"""

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from ..codecs.base import Codec
from ..codecs.image_io import write_atomically
from .columns import Columns
from .datasets import DatasetImage
from .jobs import Failure
from .records import Measurement, Measurements, setting_key, value_of_counts
from .sweep import SweepError, evaluate

#: Pictures of a part.
PART = 1000


def sweep(
    codecs: list[Codec],
    images: Iterable[DatasetImage],
    out,
    metrics=("psnr",),
    tasks=(),
    *,
    jobs: int = 1,
    executor: str = "local",
    part: int = PART,
    progress: bool = True,
    failed: Callable[[Failure], object] | None = None,
) -> int:
    """Measure every codec on a stream of pictures; records go to ``out/records``.

    Args:
        codecs: configured codecs.
        images: pictures in an order that is the same each time, such as `datasets.stream_images` gives.
        out: folder. The same call with the same folder continues.
        metrics, tasks, jobs, executor: as for `evaluate`.
        part: pictures of a part: what is held in memory, and measured with one set of workers.
        progress: show parts done on stderr.
        failed: called with each job that failed. A picture on which any job fails is then left out of the records, so
            that all means are of the same pictures, and the sweep goes on; its failures stand in a file beside the
            part's records (``part-000017.failed.json``), and are told again when the sweep is started again. Who wants
            such a part to be measured anew removes both files.

    Returns:
        The number of pictures, those that failed included.

    Raises:
        SweepError: jobs of a part failed, and there is no `failed`, or no picture of the part could be measured. The
            parts before it are written. The next call tries it again.
        ValueError: the folder holds a sweep of other codecs or parts.
        ImportError: pyarrow is not installed.

    >>> import codeckit, tempfile
    >>> from codeckit.bench.datasets import stream_images
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     count = sweep([codeckit.codec("libjpeg")], stream_images("sample"), folder, part=2, progress=False)
    ...     parts = sorted(path.name for path in Path(folder, "records").iterdir())
    ...     count, parts, summarize(folder)[0].setting
    (3, ['part-000000.parquet', 'part-000001.parquet'], {'quality': 75})
    """
    from tqdm import tqdm

    records, journal = Path(out) / "records", Path(out) / "journal.jsonl"
    records.mkdir(parents=True, exist_ok=True)
    columns = Columns.of(metrics, tasks)
    names = [each.name for each in (*columns.metrics, *columns.tasks)]
    _check_manifest(Path(out), codecs, names, part)
    count = 0
    bar = tqdm(unit="image", disable=None if progress else True)
    with bar:
        for number, images_of_part in enumerate(_parts(images, part)):
            path = records / f"part-{number:06}.parquet"
            beside = path.with_suffix(".failed.json")
            if not path.exists():
                options = dict(jobs=jobs, executor=executor, out=journal, progress=False)
                try:
                    table, failures = evaluate(codecs, images_of_part, metrics, tasks, **options), ()
                except SweepError as error:
                    table, failures = _whole(error), error.failures
                    if failed is None or not table.everything:
                        raise
                beside.unlink(missing_ok=True)
                if failures:
                    write_atomically(beside, json.dumps([asdict(failure) for failure in failures], default=repr))
                _write_parquet(table, path)
                journal.unlink()
            if failed is not None and beside.exists():
                for failure in json.loads(beside.read_text(encoding="utf-8")):
                    failed(Failure(**failure))
            count += len(images_of_part)
            bar.update(len(images_of_part))
    return count


def _whole(error: SweepError) -> Measurements:
    """The records of those pictures on which no job failed."""
    lost = {failure.image for failure in error.failures}
    rows, baselines = (
        [row for row in table if row.image not in lost] for table in (error.table, error.table.baselines)
    )
    return Measurements(rows, baselines, error.table.columns)


def _parts(images, size) -> Iterator[list[DatasetImage]]:
    iterator = iter(images)
    while part := list(itertools.islice(iterator, size)):
        yield part


def _check_manifest(folder, codecs, names, part):
    described = [[codec.name, setting_key(codec.setting), repr(codec.stages)] for codec in codecs]
    digest = hashlib.sha256(json.dumps([described, names, part]).encode()).hexdigest()[:32]
    path = folder / "manifest.json"
    if path.exists():
        if json.loads(path.read_text())["digest"] != digest:
            raise ValueError(f"{folder} holds a sweep of other codecs, measures or parts; take another folder")
        return
    codecs = [{"codec": name, "setting": json.loads(setting)} for name, setting, _ in described]
    write_atomically(path, json.dumps({"digest": digest, "part": part, "measures": names, "codecs": codecs}, indent=1))


def _write_parquet(table: Measurements, path: Path) -> None:
    """Records as rows: settings as JSON, values and counts as columns; the file appears whole or not at all."""
    import io

    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError("Parquet needs pyarrow: pip install 'codeckit[tables]'") from error
    rows = []
    for number, record in enumerate(table.everything):
        row = {**asdict(record), "setting": setting_key(record.setting), "baseline": number >= len(table)}
        row.pop("frames", None)
        for column, part in _PARTS.items():
            row |= {f"{column}{name}": value for name, value in row.pop(part).items()}
        rows.append(row)
    data = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), data, compression="zstd")
    write_atomically(path, data.getvalue())


#: Beginnings of columns that hold a record's dictionaries, and the dictionaries' names.
_PARTS = {"value.": "values", "counts.": "counts"}


def read_records(out) -> Iterator[Measurement]:
    """All records of a sweep, part by part, those of baselines included."""
    return (record for record, _ in _read(out))


def _read(out) -> Iterator[tuple[Measurement, bool]]:
    """All records, and whether each is a baseline's."""
    import pyarrow.parquet

    for path in sorted((Path(out) / "records").glob("part-*.parquet")):
        for row in pyarrow.parquet.read_table(path).to_pylist():
            baseline = row.pop("baseline", False)
            parts = {part: {} for part in _PARTS.values()}
            for column, part in _PARTS.items():
                for name in [name for name in row if name.startswith(column)]:
                    value = row.pop(name)
                    if value is not None:
                        parts[part][name.removeprefix(column)] = tuple(value) if part == "counts" else value
            row.pop("fps", None)
            yield Measurement(**{**row, "setting": json.loads(row["setting"])}, **parts), baseline


@dataclass
class _Sums:
    """Running sums over the pictures of a codec and setting."""

    setting: dict
    baseline: bool
    count: int = 0
    numbers: dict[str, float] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    counts: dict[str, np.ndarray] = field(default_factory=dict)
    counted: dict[str, int] = field(default_factory=dict)

    def add(self, record: Measurement) -> None:
        self.count += 1
        for name in ("bytes", "bpp", "encode_s", "decode_s"):
            self.numbers[name] = self.numbers.get(name, 0) + getattr(record, name)
        for name, value in record.values.items():
            self.values[name] = self.values.get(name, 0.0) + value
        for name, counts in record.counts.items():
            self.counts[name] = self.counts.get(name, 0.0) + np.asarray(counts)
            self.counted[name] = self.counted.get(name, 0) + 1

    def mean(self, codec: str, columns: Columns) -> Measurement:
        """One record for all pictures."""
        mean = {name: total / self.count for name, total in self.numbers.items()}
        values = {name: total / self.count for name, total in self.values.items()}
        whole = [name for name, counted in self.counted.items() if counted == self.count]
        counts = {name: tuple(self.counts[name].tolist()) for name in whole}
        values |= {name: value_of_counts(columns, name, [held]) for name, held in counts.items()}
        values |= {name: math.nan for name in self.counts.keys() - counts.keys()}  # not defined for some picture
        times = mean["encode_s"], mean["decode_s"]
        return Measurement(
            f"{self.count} pictures", codec, self.setting, round(mean["bytes"]), mean["bpp"], True, *times, values,
            counts=counts,
        )  # fmt: skip


def summarize(out, metrics=(), tasks=()) -> Measurements:
    """The means over all pictures: one record a codec and setting, whose image is called "N pictures".

    Only codecs and settings that were measured on all pictures are comparable; a sweep measures all on all. A measure
    that is not defined for some picture is NaN in the mean; one that is made of counts is that of the summed counts.

    Args:
        out: folder of the sweep.
        metrics, tasks: as for `evaluate`, those that no entry point declares: the files hold only their names.
    """
    sums: dict[tuple[str, str], _Sums] = {}
    for record, baseline in _read(out):
        key = record.codec, setting_key(record.setting)
        sums.setdefault(key, _Sums(record.setting, baseline)).add(record)
    names = dict.fromkeys(name for total in sums.values() for name in total.values)
    columns = Columns.of(metrics, tasks) + Columns.named(names)
    rows = [(total.mean(codec, columns), total.baseline) for (codec, _), total in sums.items()]
    return Measurements(
        (row for row, baseline in rows if not baseline), (row for row, baseline in rows if baseline), columns
    )
