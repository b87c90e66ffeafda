"""Records: what was measured, one `Measurement` an image, codec and setting.

A table of records is a plain sequence, `Measurements`. It converts to pandas and Parquet, and to JSON Lines and back:
one JSON object a line, strict JSON, with the numbers that JSON lacks (infinite PSNR of a lossless codec, NaN of a
measure that is not defined for a picture) as the strings "inf" and "nan".
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..codecs.image_io import write_atomically


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
            return cls(**{**data, "values": values})
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not a measurement: {error}") from error


@dataclass(frozen=True)
class VideoMeasurement(Measurement):
    """One video, coded by one codec at one setting; bpp and `values` are means over its frames.

    Attributes:
        fps: frames a second that the video is shown with.
        frames: one record a frame in order: its measures by name.

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
    def from_json(cls, data: dict) -> "VideoMeasurement":
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
    """A codec at one setting over a set of images: the means of the per-image values.

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

    >>> table = Measurements([Measurement("a", "x", {"quality": 5}, 10, 1.0, True, 0.1, 0.1, {"psnr": 30.0}),
    ...                       Measurement("b", "x", {"quality": 5}, 30, 3.0, True, 0.3, 0.1, {"psnr": 34.0})])
    >>> summary, = table.summary()
    >>> summary.bpp, summary.values
    (2.0, {'psnr': 32.0})
    """

    def __init__(self, records: Iterable[Measurement] = ()):
        self._records = tuple(records)

    def __len__(self):
        return len(self._records)

    def __getitem__(self, index):
        found = self._records[index]
        return Measurements(found) if isinstance(index, slice) else found

    def __eq__(self, other):
        return self._records == other._records if isinstance(other, Measurements) else NotImplemented

    __hash__ = None

    def __add__(self, other: "Measurements") -> "Measurements":
        return Measurements(self._records + other._records) if isinstance(other, Measurements) else NotImplemented

    def __repr__(self):
        codecs = ", ".join(dict.fromkeys(record.codec for record in self))
        return f"<{len(self)} measurements of {codecs or 'nothing'}>"

    def summary(self) -> tuple[Summary, ...]:
        """Means over images for each codec and setting, in the order in which they first occur."""
        groups: dict[tuple[str, str], list[Measurement]] = {}
        for record in self:
            groups.setdefault((record.codec, setting_key(record.setting)), []).append(record)
        return tuple(_summarize(group) for group in groups.values())

    def to_pandas(self):
        """A pandas DataFrame: a row a measurement, options as columns ``setting.NAME``, measures under their names.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("tables need pandas and pyarrow: pip install 'codeckit[tables]'") from error
        rows = []
        for record in self:
            row = asdict(record)
            setting, values = row.pop("setting"), row.pop("values")
            rows.append({**row, **{f"setting.{name}": value for name, value in setting.items()}, **values})
        return pandas.DataFrame(rows)

    def to_parquet(self, path) -> None:
        """Write `to_pandas` as a Parquet file."""
        self.to_pandas().to_parquet(path)

    def to_jsonl(self, path) -> None:
        """Write one JSON object a line; the file appears whole or not at all."""
        write_atomically(path, "".join(json_line(record.to_json()) for record in self))

    @classmethod
    def from_jsonl(cls, path) -> "Measurements":
        """The inverse of `to_jsonl`.

        Raises:
            ValueError: a line is not a measurement; the message names it.
        """
        records = []
        for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
            try:
                records.append(Measurement.from_json(json.loads(line)))
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
        return cls(records)


def _summarize(group: list[Measurement]) -> Summary:
    def mean(numbers):
        return sum(numbers) / len(group)

    # Only what was measured on every image has a mean over all.
    names = [name for name in group[0].values if all(name in record.values for record in group)]
    return Summary(
        codec=group[0].codec,
        setting=group[0].setting,
        images=tuple(sorted(record.image for record in group)),
        bpp=mean([record.bpp for record in group]),
        encode_s=mean([record.encode_s for record in group]),
        decode_s=mean([record.decode_s for record in group]),
        values={name: mean([record.values[name] for record in group]) for name in names},
    )


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
