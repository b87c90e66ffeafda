"""Sweeps: every codec on every image or video; real bytes, decoded again, compared with the input.

Each (codec, image) pair is a job of its own, so jobs run in any order and in as many processes as there are cores, each
on one thread. A finished job is appended to a journal (`out`) as one line of JSON by one ``write``, so a sweep that is
killed has lost only what it was doing: the same call continues where it stopped. A job is known by a digest of the
codec's name, setting and stages and of the image's name and content; whatever of these changes is measured anew. (A
codec whose *code* has changed looks the same: start such a sweep with a new journal.)

Times belong to the run that measured them. To compare codecs' speeds, measure all in one run, with ``jobs=1``: several
workers share caches and memory.
"""

import contextlib
import hashlib
import json
import math
import os
import re
import statistics
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import threadpoolctl

from .. import metrics as measures
from ..codecs import registry
from ..codecs.base import Codec
from ..codecs.baselines import baselines
from ..codecs.frames import read_video
from ..codecs.image_io import write_atomically
from ..metrics.tasks import resolve as resolve_tasks
from .datasets import DatasetImage, DatasetVideo, dataset
from .executors import run
from .records import Measurement, Measurements, VideoMeasurement, json_line, setting_key


@dataclass(frozen=True)
class Failure:
    """A job that raised an error: which, and what it said."""

    image: str
    codec: str
    setting: dict
    error: str

    def __str__(self):
        return f"{self.codec} {setting_key(self.setting)} on {self.image}: {self.error}"


class SweepError(RuntimeError):
    """Some jobs of a sweep failed.

    Attributes:
        table: the `Measurements` of the jobs that did not.
        failures: one `Failure` a job that did.
    """

    def __init__(self, table: Measurements, failures: tuple[Failure, ...]):
        super().__init__(f"{len(failures)} of {len(table) + len(failures)} jobs failed; the first: {failures[0]}")
        self.table = table
        self.failures = failures


def evaluate(
    codecs: Codec | Iterable[Codec],
    images,
    metrics=("psnr", "ms-ssim"),
    tasks=(),
    *,
    jobs: int = 1,
    out=None,
    keep=None,
    repeats: int = 1,
    progress: bool = True,
    executor: str = "local",
) -> Measurements:
    """Measure every codec on every image.

    Args:
        codecs: configured codecs, one a setting.
        images: what `dataset` takes: a data set, a folder, ``"sample"``, arrays, video files, ``"clips"``, or a list of
            these.
        metrics: names in `codeckit.metrics.METRICS` or functions ``(reference, image) -> float`` on uint8 arrays.
        tasks: names in `codeckit.metrics.tasks.TASKS` (``"imagenet"``) or `Task` objects, whose values appear as
            ``"imagenet/top1"`` and so on. They need labelled images, and add the codecs ``uncompressed`` and
            ``downsample``, which their accuracy is held against.
        jobs: worker processes; −1 for one a core.
        out: file of JSON Lines that keeps finished jobs; the next call with the same file skips them.
        keep: folder for the streams themselves, one file a job; None to keep none.
        repeats: encode and decode so many times and record the median time. Before a codec is timed in a process it
            has coded one picture there.
        progress: show a progress bar on stderr, if that is a terminal.
        executor: what runs the jobs: ``"local"``, ``"dask"`` or ``"ray"``, or a cluster by its address
            (`codeckit.bench.executors`). Its workers must reach the pictures and weights by the same paths.

    Returns:
        One `Measurement` a codec and image, codec by codec; of a video a `VideoMeasurement`, which also holds every
        frame's. A measure that is not defined for a picture (MS-SSIM below 161 samples a side) is NaN.

    Raises:
        SweepError: jobs failed. All others were run; the error carries their measurements, and the next call with the
            same `out` tries only the failed ones.
        ValueError: no images or codecs, an unknown metric or task, images without labels for a task, or two different
            codecs of one name and setting.

    >>> import codeckit
    >>> table = evaluate(codeckit.codec("libjpeg", quality=75), "sample:coffee", ["psnr"])
    >>> table[0].image, table[0].codec, table[0].setting, round(table[0].values["psnr"], 1)
    ('coffee', 'libjpeg', {'quality': 75}, 32.4)
    """
    codecs = [codecs] if isinstance(codecs, Codec) else list(codecs)
    images = dataset(images)
    measured = _Measures(measures.resolve(metrics), resolve_tasks(tasks))
    if not codecs or not images:
        raise ValueError("evaluate needs at least one codec and one image")
    if measured.tasks:
        unlabelled = next((image.name for image in images if image.label is None), None)
        if unlabelled is not None:
            raise ValueError(
                f"tasks need labelled images, and {unlabelled} has no label; a folder's labels.csv (file,label) or, "
                "with dataset(folder, recursive=True), the names of its folders give them"
            )
        present = {codec.name for codec in codecs}
        codecs += [codec for codec in baselines() if codec.name not in present]
    if repeats < 1:
        raise ValueError(f"repeats is at least 1, not {repeats}")
    _check_names(codecs)

    fingerprints = [image.fingerprint() for image in images]
    wanted = {
        job_key(codec, image, fingerprint, bool(measured.tasks)): _Job(codec, image, fingerprint, order)
        for codec in codecs
        for order, (image, fingerprint) in enumerate(zip(images, fingerprints, strict=True))
    }
    done = {} if out is None else read_journal(out)
    done = {key: done[key] for key in wanted if key in done and measured.names <= done[key].values.keys()}
    if keep is not None:
        Path(keep).mkdir(parents=True, exist_ok=True)
        done = {
            key: done[key] for key in done if (Path(keep) / stream_name(wanted[key].codec, wanted[key].image)).exists()
        }
    missing = {key: job for key, job in wanted.items() if key not in done}

    from tqdm import tqdm

    failures = []
    bar = tqdm(total=len(wanted), initial=len(done), unit="image", disable=None if progress else True)
    with bar, _journal(out) as append:
        for key, result in _run(missing, measured, repeats, keep, jobs, executor):
            failed = isinstance(result, Failure)
            if failed:
                failures.append(result)
            else:
                done[key] = result
            append({"job": key, **({"failure": asdict(result)} if failed else {"measurement": result.to_json()})})
            bar.update()
    table = Measurements(_only(done[key], measured) for key in wanted if key in done)
    if failures:
        raise SweepError(table, tuple(failures))
    return table


def _check_names(codecs):
    stages = {}
    for codec in codecs:
        own = repr(codec.stages)
        if stages.setdefault((codec.name, setting_key(codec.setting)), own) != own:
            raise ValueError(f"two different codecs are called {codec.name} {codec.setting}; give one another name")


@dataclass(frozen=True)
class _Job:
    """A codec on a picture; `order` is the picture's place in its data set."""

    codec: Codec
    image: DatasetImage
    fingerprint: str
    order: int


@dataclass(frozen=True)
class _Measures:
    """What is computed of every decoded picture: functions by name, and tasks."""

    functions: dict
    tasks: tuple

    @property
    def names(self):
        """The names of all values, as the keys of a dictionary: in order, without repetition."""
        values = (f"{task.name}/{measure}" for task in self.tasks for measure in task.measures)
        return dict.fromkeys([*self.functions, *values]).keys()

    def of(self, reference, decoded, label) -> dict[str, float]:
        """All values; NaN where one is not defined."""
        values = {name: _value(function, reference, decoded) for name, function in self.functions.items()}
        for task in self.tasks:
            try:
                scores = task.score(task.predict(decoded), label)
            except measures.UndefinedError:
                scores = dict.fromkeys(task.measures, math.nan)
            values.update({f"{task.name}/{measure}": float(scores[measure]) for measure in task.measures})
        return values


def _only(record: Measurement, measured) -> Measurement:
    """A journal may hold more measures than were asked for."""
    return replace(record, values={name: record.values[name] for name in measured.names})


def job_key(codec: Codec, image: DatasetImage, fingerprint: str, labelled: bool = False) -> str:
    """Digest of everything that a job's result depends on, save the code; with `labelled`, of the label, too."""
    parts = [codec.name, setting_key(codec.setting), repr(codec.stages), image.name, fingerprint]
    if isinstance(image, DatasetVideo):
        parts.append(str(image.limit))
    if labelled:
        parts.append(repr(image.label))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def stream_name(codec: Codec, image: DatasetImage) -> str:
    """File name of a kept stream: image, codec, setting, and the ending of the codec's format.

    >>> import codeckit
    >>> stream_name(codeckit.codec("jpeg", subsampling="4:4:4"), dataset("sample:coffee")[0])
    'coffee-jpeg-quality=75-subsampling=4_4_4.jpg'
    """
    parts = [image.name, codec.name, *(f"{option}={value}" for option, value in codec.setting.items())]
    native = codec.native and registry.is_registered(codec.name) and not isinstance(image, DatasetVideo)
    ending = registry.entry(codec.name).extension if native else ".ckt"
    return re.sub(r"[^\w.=+-]+", "_", "-".join(parts)) + ending


# --- the journal ---


def read_journal(path) -> dict[str, Measurement]:
    """The finished jobs of a journal, by key; none if there is no such file.

    A last line without its newline is what a killed run left: it is cut off.

    Raises:
        ValueError: the file holds something else.
    """
    path = Path(path)
    if not path.exists():
        return {}
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    found = {}
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            entry = json.loads(line)
            if "measurement" in entry:
                found[entry["job"]] = Measurement.from_json(entry["measurement"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}, line {number} is not a sweep's journal: {error}") from error
    return found


@contextlib.contextmanager
def _journal(path):
    """A function that appends an entry: one line by one write, so that no line is ever half there behind another."""
    if path is None:
        yield lambda entry: None
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def append(entry):
        line = json_line(entry).encode()
        if os.write(file, line) != len(line):
            raise OSError(f"{path}: the disk is full")

    try:
        yield append
    finally:
        os.close(file)


# --- the jobs ---


def _run(jobs_by_key, measured, repeats, keep, jobs, executor):
    """(key, `Measurement` or `Failure`) of every job, as they finish."""
    own = [entry for entry in registry.list_codecs() if entry.family == "own"]
    # All codecs on one picture, then on the next: a worker that has read a picture keeps it for the next job.
    order = sorted(jobs_by_key.items(), key=lambda item: item[1].order)
    work = [(key, own, job.codec, job.image, job.fingerprint, measured, repeats, keep) for key, job in order]
    yield from run(_work, work, executor, jobs if len(work) > 1 or executor != "local" else 1)


def _work(key, own, codec, image, fingerprint, measured, repeats, keep):
    """One job in a worker process, to which the codecs that the user registered are new."""
    for entry in own:
        if not registry.is_registered(entry.name):
            registry.register_codec(entry.name, entry.factory, quality=entry.quality, summary=entry.summary)
    return key, _measure(codec, image, fingerprint, measured, repeats, keep)


_warm = set()  # codecs that have coded something in this process


_loaded = {}  # the picture that was read last in this process, by its fingerprint


def _load(image, fingerprint):
    if fingerprint not in _loaded:
        _loaded.clear()
        _loaded[fingerprint] = image.load()
    return _loaded[fingerprint]


def _measure(codec, image, fingerprint, measured, repeats, keep):
    try:
        if isinstance(image, DatasetVideo):
            return _measure_video(codec, image, measured, repeats, keep)
        reference = _load(image, fingerprint)
        key = codec.name, setting_key(codec.setting)
        if key not in _warm:  # the first time, modules are imported, code is compiled and weights are read
            codec.decode(codec.encode(reference))
            _warm.add(key)
        with threadpoolctl.threadpool_limits(1):
            encode_s, stream = _timed(codec.encode, reference, repeats)
            decode_s, decoded = _timed(codec.decode, stream, repeats)
            values = measured.of(reference, decoded, image.label)
        if keep is not None:
            write_atomically(Path(keep) / stream_name(codec, image), stream)
        size = len(stream)
        rate = measures.bpp(size, reference.shape)
        return Measurement(image.name, codec.name, codec.setting, size, rate, True, encode_s, decode_s, values)
    except Exception as error:  # whatever a codec raises, the other jobs go on
        return Failure(image.name, codec.name, codec.setting, f"{type(error).__name__}: {error}")


def _measure_video(codec, image, measured, repeats, keep):
    """A video as a whole: its frames are read three times, never held. Reading them is not timed."""
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
        frames = tuple(
            measured.of(frame, _like(other, frame), None) for frame, other in zip(source, decoded, strict=True)
        )
    if keep is not None:
        write_atomically(Path(keep) / stream_name(codec, image), stream)
    values = {name: sum(frame[name] for frame in frames) / len(frames) for name in measured.names}
    rate = 8 * len(stream) / (len(frames) * source.size[0] * source.size[1])
    return VideoMeasurement(
        image.name, codec.name, codec.setting, len(stream), rate, True, statistics.median(encode_s), decoding[0],
        values, float(source.fps), frames,
    )  # fmt: skip


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


def _like(decoded, frame):
    """Codecs without grey give grey frames back as RGB."""
    return decoded[..., 0] if decoded.ndim > frame.ndim else decoded


def _timed(function, argument, repeats):
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = function(argument)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), result


def _value(function, reference, decoded):
    if not isinstance(decoded, np.ndarray) and not getattr(function, "takes_tokens", False):
        return math.nan  # measures of pictures are not defined for tokens
    try:
        return float(function(reference, decoded))
    except measures.UndefinedError:
        return math.nan
