"""Records: what was measured, one `Measurement` an image, codec and setting.

A table of records is a plain sequence, `Measurements`: the rows of the codecs that were asked for. Where tasks are
measured, what these are held against (uncompressed and plainly downsampled pictures) stands in its `baselines`.

A table converts to pandas and Parquet, and to JSON Lines and back: one JSON object a line, strict JSON, with the
numbers that JSON lacks (infinite PSNR of a lossless codec, NaN of a measure that is not defined for a picture) as the
strings "inf" and "nan".
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..codecs.image_io import write_atomically
from .columns import Columns


@dataclass(frozen=True)
class Measurement:
    """One image, coded by one codec at one setting.

    Attributes:
        image: the image's name in its data set.
        codec: the codec's name.
        setting: the codec's options that were chosen, such as ``{"quality": 75}``.
        bytes: size of the whole stream.
        bpp: 8 · bytes / pixels.
        real: True where the stream was written and decoded again, False for a rate estimated from likelihoods.
        encode_s, decode_s: seconds on one thread, median of the repeats.
        values: the measures' results by name, such as ``{"psnr": 34.5, "ms-ssim": 0.987}``; NaN where a measure is
            not defined for the picture.
        counts: of measures that are made of counts (`codeckit.metrics.Measure.from_counts`), the picture's counts.
    """

    image: str
    codec: str
    setting: dict
    bytes: int
    bpp: float
    real: bool
    encode_s: float
    decode_s: float
    values: dict[str, float]
    counts: dict[str, tuple[float, ...]] = field(default_factory=dict, kw_only=True)

    def to_json(self) -> dict:
        """As data that strict JSON can hold.

        >>> record = Measurement("a.png", "x", {"quality": 5}, 10, 1.0, True, 0.0, 0.0, {"psnr": math.inf})
        >>> record.to_json()["values"]
        {'psnr': 'inf'}
        >>> Measurement.from_json(record.to_json()) == record
        True
        """
        data = asdict(self)
        data["values"] = {name: jsonable(value) for name, value in self.values.items()}
        if not data["counts"]:
            del data["counts"]
        return data

    @classmethod
    def from_json(cls, data: dict) -> "Measurement":
        """The inverse of `to_json`.

        Raises:
            ValueError: a field is missing or unknown.
        """
        if cls is Measurement and "frames" in data:
            return VideoMeasurement.from_json(data)
        try:
            values = {name: float(value) for name, value in data["values"].items()}
            counts = {name: tuple(map(float, held)) for name, held in data.get("counts", {}).items()}
            return cls(**{**data, "values": values, "counts": counts})
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not a measurement: {error}") from error


@dataclass(frozen=True)
class VideoMeasurement(Measurement):
    """One video, coded by one codec at one setting; bpp and `values` are means over its frames.

    Attributes:
        fps: frames a second that the video is shown with.
        frames: one record a frame in order: its measures by name, and its ``"bytes"`` where the codec's chunks are one
            a frame.

    >>> record = VideoMeasurement("a.mp4", "x", {}, 3000, 1.0, True, 0.5, 0.1, {"psnr": 30.0}, 25.0,
    ...                           ({"psnr": 31.0}, {"psnr": 29.0}))
    >>> record.kbps, record.encode_fps, Measurement.from_json(record.to_json()) == record
    (300.0, 4.0, True)
    """

    fps: float
    frames: tuple[dict[str, float], ...]

    @property
    def kbps(self) -> float:
        """Bitrate in kbit a second."""
        return 8 * self.bytes * self.fps / len(self.frames) / 1000

    @property
    def frame_bytes(self) -> tuple[float, ...]:
        """The bytes of each frame's chunk; NaN where the codec's chunks are not frames in their order.

        Their sum is the file without its container and what the codec writes once for the whole video.
        """
        return tuple(frame.get("bytes", math.nan) for frame in self.frames)

    @property
    def encode_fps(self) -> float:
        """Frames encoded a second, reading the source not counted."""
        return len(self.frames) / self.encode_s

    @property
    def decode_fps(self) -> float:
        """Frames decoded a second."""
        return len(self.frames) / self.decode_s

    def to_json(self) -> dict:
        """As data that strict JSON can hold."""
        frames = [{name: jsonable(value) for name, value in frame.items()} for frame in self.frames]
        return {**super().to_json(), "frames": frames}

    @classmethod
    def from_json(cls, data: dict) -> Any:
        """The inverse of `to_json`.

        Raises:
            ValueError: a field is missing or unknown.
        """
        try:
            frames = tuple({name: float(value) for name, value in frame.items()} for frame in data["frames"])
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not a measurement: {error}") from error
        return super().from_json({**data, "frames": frames})


@dataclass(frozen=True)
class Summary:
    """A codec at one setting over a set of images: the means of the per-image values, or what summed counts give.

    Attributes:
        codec, setting: as in `Measurement`.
        images: the names of the images, sorted.
        bpp, encode_s, decode_s, values: means over the images. A mean over NaN is NaN: a measure that is not defined
            for one image of a set is not defined for the set.
    """

    codec: str
    setting: dict
    images: tuple[str, ...]
    bpp: float
    encode_s: float
    decode_s: float
    values: dict[str, float]


class Measurements(Sequence):
    """An immutable sequence of `Measurement`.

    Attributes:
        baselines: the rows of ceilings and baselines, which the sequence does not hold.

    >>> table = Measurements([Measurement("a", "x", {"quality": 5}, 10, 1.0, True, 0.1, 0.1, {"psnr": 30.0}),
    ...                       Measurement("b", "x", {"quality": 5}, 30, 3.0, True, 0.3, 0.1, {"psnr": 34.0})])
    >>> summary, = table.summary()
    >>> summary.bpp, summary.values
    (2.0, {'psnr': 32.0})
    """

    def __init__(self, records: Iterable[Measurement] = (), baselines=(), columns: Columns | None = None):
        self._records = tuple(records)
        self.baselines = tuple(baselines)
        self._columns = columns

    @property
    def columns(self) -> Columns:
        """What the values are; looked up by their names if the table was not told."""
        if self._columns is None:
            self._columns = Columns.named(name for record in self.everything for name in record.values)
        return self._columns

    @property
    def everything(self) -> tuple[Measurement, ...]:
        """All rows: those of the sequence, then the baselines'."""
        return self._records + self.baselines

    def __len__(self):
        return len(self._records)

    def __getitem__(self, index):
        found = self._records[index]
        return Measurements(found, self.baselines, self._columns) if isinstance(index, slice) else found

    def __eq__(self, other):
        if not isinstance(other, Measurements):
            return NotImplemented
        return (self._records, self.baselines) == (other._records, other.baselines)

    __hash__ = None  # pyright: ignore[reportAssignmentType]: tables are compared, not hashed

    def __add__(self, other: "Measurements") -> "Measurements":
        if not isinstance(other, Measurements):
            return NotImplemented
        new = tuple(record for record in other.baselines if record not in self.baselines)
        columns = None if self._columns is other._columns is None else self.columns + other.columns
        return Measurements(self._records + other._records, self.baselines + new, columns)

    def __repr__(self):
        codecs = ", ".join(dict.fromkeys(record.codec for record in self))
        return f"<{len(self)} measurements of {codecs or 'nothing'}>"

    def summary(self) -> tuple[Summary, ...]:
        """Means over images for each codec and setting, in the order in which they first occur, without baselines.

        Raises:
            ValueError: a measure is made of counts, and nothing tells how; see `from_jsonl`.
        """
        groups: dict[tuple[str, str], list[Measurement]] = {}
        for record in self:
            groups.setdefault((record.codec, setting_key(record.setting)), []).append(record)
        return tuple(_summarize(group, self.columns) for group in groups.values())

    def to_pandas(self):
        """A pandas DataFrame: a row a measurement, options as columns ``setting.NAME``, measures under their names.

        Counts are lists in columns ``counts.NAME``; the rows of baselines stand last, and are True in ``baseline``.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("tables need pandas and pyarrow: pip install 'codeckit[tables]'") from error
        rows = []
        for number, record in enumerate(self.everything):
            row = {**asdict(record), "baseline": number >= len(self)}
            for part in ("setting", "counts"):
                row |= {f"{part}.{name}": value for name, value in row.pop(part).items()}
            rows.append({**row, **row.pop("values")})
        return pandas.DataFrame(rows)

    def to_parquet(self, path) -> None:
        """Write `to_pandas` as a Parquet file."""
        write_atomically(path, self.to_pandas().to_parquet())

    def to_jsonl(self, path) -> None:
        """Write one JSON object a line, baselines last and marked; the file appears whole or not at all."""
        lines = [json_line(record.to_json()) for record in self]
        lines += [json_line({**record.to_json(), "baseline": True}) for record in self.baselines]
        write_atomically(path, "".join(lines))

    @classmethod
    def from_jsonl(cls, path, metrics=(), tasks=()) -> "Measurements":
        """The inverse of `to_jsonl`.

        Args:
            path: the file.
            metrics, tasks: as for `evaluate`, those that are not declared by an entry point: a file holds only their
                names.

        Raises:
            ValueError: a line is not a measurement; the message names it.
        """
        records, baselines = [], []
        for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
            try:
                data = json.loads(line)
                baseline = data.pop("baseline", False)
                (baselines if baseline else records).append(Measurement.from_json(data))
            except (ValueError, AttributeError, TypeError) as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
        if not metrics and not tasks:
            return cls(records, baselines)
        return cls(records, baselines, Columns.of(metrics, tasks) + cls(records, baselines).columns)


def _summarize(group: list[Measurement], columns: Columns) -> Summary:
    def mean(numbers):
        return sum(numbers) / len(group)

    def of_set(name):
        if not any(name in record.counts for record in group):
            return mean([record.values[name] for record in group])
        if not all(name in record.counts for record in group):
            return math.nan  # not defined for some image
        return value_of_counts(columns, name, [record.counts[name] for record in group])

    # Only what was measured on every image has a mean over all.
    names = [name for name in group[0].values if all(name in record.values for record in group)]
    return Summary(
        codec=group[0].codec,
        setting=group[0].setting,
        images=tuple(sorted(record.image for record in group)),
        bpp=mean([record.bpp for record in group]),
        encode_s=mean([record.encode_s for record in group]),
        decode_s=mean([record.decode_s for record in group]),
        values={name: of_set(name) for name in names},
    )


def value_of_counts(columns: Columns, name: str, counts) -> float:
    """A set's value of a measure that is made of counts.

    Args:
        columns: what the table's values are.
        name: of the column.
        counts: one list of counts an image, [N,n].

    Raises:
        ValueError: the column is not known to be made of counts.
    """
    from_counts = columns[name].from_counts if name in tuple(columns) else None
    if from_counts is None:
        raise ValueError(f"{name} is made of counts, and no declared metric or task tells how; pass it to from_jsonl")
    return float(from_counts(np.sum(np.asarray(counts, np.float64), axis=0)))


def setting_key(setting: dict) -> str:
    """A setting as text that is equal for equal settings.

    >>> setting_key({"b": 1, "a": "x"})
    '{"a": "x", "b": 1}'
    """
    return json.dumps(setting, sort_keys=True, default=repr)


def jsonable(number: float) -> float | str:
    """A float as strict JSON: the three that it lacks become strings, which ``float`` reads again.

    >>> jsonable(math.inf), jsonable(math.nan), jsonable(1.5)
    ('inf', 'nan', 1.5)
    """
    return number if math.isfinite(number) else str(float(number))


def json_line(data) -> str:
    """`data` as one line of strict JSON."""
    return json.dumps(data, allow_nan=False, default=repr) + "\n"
