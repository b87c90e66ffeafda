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
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from ..codecs.base import Codec
from ..codecs.image_io import write_atomically
from .datasets import DatasetImage
from .records import Measurement, Measurements, setting_key
from .sweep import evaluate

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
) -> int:
    """Measure every codec on a stream of pictures; records go to ``out/records``.

    Args:
        codecs: configured codecs.
        images: pictures in an order that is the same each time, such as `datasets.stream_images` gives.
        out: folder. The same call with the same folder continues.
        metrics, tasks, jobs, executor: as for `evaluate`.
        part: pictures of a part: what is held in memory, and measured with one set of workers.
        progress: show parts done on stderr.

    Returns:
        The number of pictures.

    Raises:
        SweepError: jobs of a part failed; the parts before it are written. The next call tries it again.
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
    names = list(metrics) + [str(getattr(task, "name", task)) for task in tasks]
    _check_manifest(Path(out), codecs, names, part)
    count = 0
    bar = tqdm(unit="image", disable=None if progress else True)
    with bar:
        for number, images_of_part in enumerate(_parts(images, part)):
            path = records / f"part-{number:06}.parquet"
            if not path.exists():
                options = dict(jobs=jobs, executor=executor, out=journal, progress=False)
                _write_parquet(evaluate(codecs, images_of_part, metrics, tasks, **options), path)
                journal.unlink()
            count += len(images_of_part)
            bar.update(len(images_of_part))
    return count


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
    """Records as rows: settings and values as JSON and columns; the file appears whole or not at all."""
    import io

    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError("Parquet needs pyarrow: pip install 'codeckit[tables]'") from error
    rows = []
    for record in table:
        row = asdict(record)
        row.pop("frames", None)
        values = row.pop("values")
        rows.append({**row, "setting": setting_key(record.setting), **{f"value.{k}": v for k, v in values.items()}})
    data = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), data, compression="zstd")
    write_atomically(path, data.getvalue())


def read_records(out) -> Iterator[Measurement]:
    """All records of a sweep, part by part."""
    import pyarrow.parquet

    for path in sorted((Path(out) / "records").glob("part-*.parquet")):
        for row in pyarrow.parquet.read_table(path).to_pylist():
            values = {name[6:]: row.pop(name) for name in list(row) if name.startswith("value.")}
            row.pop("fps", None)
            yield Measurement(**{**row, "setting": json.loads(row["setting"])}, values=values)


def summarize(out) -> Measurements:
    """The means over all pictures: one record a codec and setting, whose image is called "N pictures".

    Only codecs and settings that were measured on all pictures are comparable; a sweep measures all on all. A measure
    that is not defined for some picture is NaN in the mean.
    """
    sums: dict[tuple[str, str], dict[str, float]] = {}
    settings = {}
    for record in read_records(out):
        key = record.codec, setting_key(record.setting)
        settings[key] = record.setting
        total = sums.setdefault(key, {"count": 0})
        numbers = {"bytes": record.bytes, "bpp": record.bpp, "encode_s": record.encode_s, "decode_s": record.decode_s}
        numbers |= {f"value.{name}": value for name, value in record.values.items()}
        total["count"] += 1
        for name, value in numbers.items():
            total[name] = total.get(name, 0.0) + value
    rows = []
    for (codec, _), total in sums.items():
        count = total.pop("count")
        mean = {name: value / count for name, value in total.items()}
        values = {name[6:]: value for name, value in mean.items() if name.startswith("value.")}
        size = round(mean["bytes"])
        times = mean["encode_s"], mean["decode_s"]
        setting = settings[codec, _]
        rows.append(Measurement(f"{count} pictures", codec, setting, size, mean["bpp"], True, *times, values))
    return Measurements(rows)
