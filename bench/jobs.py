"""One job of a sweep: a codec on a picture or video, measured in whatever process it is sent to.

A job carries its configured codec, the handle of its picture and what is asked of the decoded picture. What an entry
point declares (metrics, tasks) travels as its id, and the worker looks it up among what is installed there; what exists
in the calling process alone is pickled. Codecs and stages that the caller registered itself are sent with each job and
registered anew.
"""

import functools
import math
import statistics
import time
from dataclasses import dataclass, field, replace

import numpy as np
import threadpoolctl

from ..codecs import registry
from ..codecs.base import Codec
from ..codecs.entry import Entry
from ..codecs.frames import read_video
from ..codecs.image_io import write_atomically
from ..codecs.video import groups
from ..metrics import Metric, UndefinedError, bpp
from ..metrics.declared import load, reference
from ..metrics.tasks import Task, describe, truth
from ..primitives.stage import Stage, folded, register_stage, registered_stages
from .columns import Columns
from .datasets import DatasetImage, DatasetVideo
from .records import Measurement, VideoMeasurement, setting_key, value_of_counts


@dataclass(frozen=True)
class Failure:
    """A job that raised an error: which, and what it said."""

    image: str
    codec: str
    setting: dict
    error: str

    def __str__(self):
        return f"{self.codec} {setting_key(self.setting)} on {self.image}: {self.error}"


@dataclass(frozen=True)
class Asked:
    """What is computed of every decoded picture: metrics, and tasks."""

    metrics: tuple[Metric, ...]
    tasks: tuple[Task, ...] = ()

    def __reduce__(self):
        metrics = [reference("codeckit.metrics", metric) for metric in self.metrics]
        tasks = [reference("codeckit.tasks", task) for task in self.tasks]
        return _received, (metrics, tasks)

    @functools.cached_property
    def columns(self) -> Columns:
        """The columns that `of` fills."""
        return Columns(tuple(metric.described() for metric in self.metrics), tuple(map(describe, self.tasks)))

    def of(self, original, decoded, label) -> tuple[dict[str, float], dict[str, tuple[float, ...]]]:
        """All values by column, NaN where one is not defined; and the counts of those that are made of counts."""
        answers = {metric.name: metric(original, decoded) for metric in self.metrics}
        for task, info in zip(self.tasks, self.columns.tasks, strict=True):
            try:
                scores = task.score(task.predict(decoded), truth(task, original, label))
            except UndefinedError:
                scores = {measure.name: math.nan for measure in info.measures}
            answers.update({f"{task.name}/{measure.name}": scores[measure.name] for measure in info.measures})
        values, counts = {}, {}
        for name, answer in answers.items():
            if np.ndim(answer):
                counts[name] = tuple(float(count) for count in answer)
                answer = value_of_counts(self.columns, name, [counts[name]])
            values[name] = float(answer)
        return values, counts


def _received(metrics, tasks) -> Asked:
    """In a worker: ids become what they name."""

    def known(group, kind, given):
        found = load(group, kind, given) if isinstance(given, str) else given
        if found is None:
            raise ImportError(f"{given} is not installed where the sweep's workers run")
        return found

    return Asked(
        tuple(known("codeckit.metrics", Metric, each) for each in metrics),
        tuple(known("codeckit.tasks", Task, each) for each in tasks),
    )


@dataclass(frozen=True)
class Job:
    """A codec on a picture.

    Attributes:
        codec, image: which.
        fingerprint: digest of the picture's content.
        order: the picture's place in its data set.
        kept: file for the stream; None to keep none.
    """

    codec: Codec
    image: DatasetImage
    fingerprint: str
    order: int
    kept: str | None = None


@dataclass(frozen=True)
class Registered:
    """The codecs and stages that a process registered itself, for other processes: no declaration tells them.

    Attributes:
        codecs: entries of codecs.
        stages: classes of stages by their ids.
    """

    codecs: tuple[Entry, ...] = ()
    stages: dict[str, type[Stage]] = field(default_factory=dict)

    @classmethod
    def here(cls) -> "Registered":
        """Those of this process."""
        return cls(registry.registered(), registered_stages())

    def register(self) -> None:
        """Make them known in this process."""
        for entry in self.codecs:
            if not registry.is_registered(entry.name):
                registry.register_entry(entry)
        for id, stage in self.stages.items():
            if id not in registered_stages():
                register_stage(stage, id)


def work(key: str, own: Registered, job: Job, asked: Asked, repeats: int):
    """Do a job, in any process: (key, `Measurement` or `Failure`)."""
    own.register()
    try:
        measure = _measure_video if isinstance(job.image, DatasetVideo) else _measure_image
        return key, measure(job, asked, repeats)
    except Exception as error:  # whatever a codec raises, the other jobs go on
        said = f"{type(error).__name__}: {error}"
        return key, Failure(job.image.name, job.codec.name, job.codec.setting, said)


_warm = set()  # codecs that have coded something in this process


_loaded = {}  # the picture that was read last in this process, by its fingerprint and how it was read


def _load(image, fingerprint):
    key = fingerprint, image.reading
    if key not in _loaded:
        _loaded.clear()
        _loaded[key] = image.load()
    return _loaded[key]


def _measure_image(job, asked, repeats):
    codec, image = job.codec, job.image
    original = _load(image, job.fingerprint)
    key = codec.name, setting_key(codec.setting)
    if key not in _warm:  # the first time, modules are imported, code is compiled and weights are read
        codec.decode(codec.encode(original))
        _warm.add(key)
    with threadpoolctl.threadpool_limits(1):
        encode_s, stream = _timed(codec.encode, original, repeats)
        decode_s, decoded = _timed(codec.decode, stream, repeats)
        values, counts = asked.of(original, _like(decoded, original), image.label)
    _keep(job, stream)
    rate = bpp(len(stream), original.shape)
    return Measurement(
        image.name, codec.name, codec.setting, len(stream), rate, True, encode_s, decode_s, values, counts=counts
    )


def _measure_video(job, asked, repeats):
    """A video as a whole: its frames are read three times, never held. Reading them is not timed."""
    codec, image = job.codec, job.image
    source = image.load()
    key = codec.name, setting_key(codec.setting), "video"
    if key not in _warm:
        list(codec.decode_video(codec.encode_video(read_video(source, limit=3))))
        _warm.add(key)
    with threadpoolctl.threadpool_limits(1):
        encode_s = []
        for _ in range(repeats):
            start, reading = time.perf_counter(), [0.0]
            stream = codec.encode_video(replace(source, start=lambda reading=reading: _clocked(source, reading)))
            encode_s.append(time.perf_counter() - start - reading[0])
        decoding = [0.0]
        decoded = _clocked(codec.decode_video(stream), decoding)
        measured = [asked.of(frame, _like(other, frame), None) for frame, other in zip(source, decoded, strict=True)]
    _keep(job, stream)
    sizes = groups(stream, list(folded(codec.stages).values())[-1]).bytes
    frames = tuple(frame if sizes is None else {**frame, "bytes": sizes[n]} for n, (frame, _) in enumerate(measured))
    values, counts = _of_frames(asked, measured)
    rate = 8 * len(stream) / (len(frames) * source.size[0] * source.size[1])
    return VideoMeasurement(
        image.name, codec.name, codec.setting, len(stream), rate, True, statistics.median(encode_s), decoding[0],
        values, float(source.fps), frames, counts=counts,
    )  # fmt: skip


def _of_frames(asked, measured):
    """A video's values and counts: means and sums over its frames."""
    values, counts = {}, {}
    for name in asked.columns:
        held = [frame_counts[name] for _, frame_counts in measured if name in frame_counts]
        if held and len(held) == len(measured):
            counts[name] = tuple(float(count) for count in np.sum(held, axis=0))
            values[name] = value_of_counts(asked.columns, name, held)
        else:
            values[name] = sum(frame_values[name] for frame_values, _ in measured) / len(measured)
    return values, counts


def _keep(job, stream):
    if job.kept is not None:
        write_atomically(job.kept, stream)


def _clocked(frames, seconds):
    """The same frames; `seconds[0]` grows by the time that they take to come."""
    iterator = iter(frames)
    while True:
        start = time.perf_counter()
        frame = next(iterator, None)
        seconds[0] += time.perf_counter() - start
        if frame is None:
            return
        yield frame


def _like(decoded, original):
    """Codecs without grey give grey pictures back as RGB."""
    return decoded[..., 0] if isinstance(decoded, np.ndarray) and decoded.ndim > original.ndim else decoded


def _timed(function, argument, repeats):
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = function(argument)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), result
