"""Sweeps: every codec on every image or video; real bytes, decoded again, compared with the input.

Each (codec, image) pair is a job of its own (`codeckit.bench.jobs`), so jobs run in any order and in as many processes
as there are cores, each on one thread. A finished job is appended to a journal (`out`), so a sweep that is killed has
lost only what it was doing: the same call continues where it stopped. A job is known by a digest of the codec's name,
setting and stages and of the image's name and content; whatever of these changes is measured anew. (A codec whose
*code* has changed looks the same: start such a sweep with a new journal.)

Times belong to the run that measured them. To compare codecs' speeds, measure all in one run, with ``jobs=1``: several
workers share caches and memory.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..codecs import registry
from ..codecs.base import Codec
from ..codecs.baselines import baselines
from ..codecs.image_io import STRICT
from ..metrics import resolve
from ..metrics.tasks import needs_label
from ..metrics.tasks import resolve as resolve_tasks
from .datasets import DatasetImage, DatasetVideo, dataset
from .executors import run
from .jobs import Asked, Failure, Job, Registered, work
from .journal import open_journal, read_journal
from .records import Measurement, Measurements, setting_key


class SweepError(RuntimeError):
    """Some jobs of a sweep failed.

    Attributes:
        table: the `Measurements` of the jobs that did not.
        failures: one `Failure` a job that did.
    """

    def __init__(self, table: Measurements, failures: tuple[Failure, ...]):
        count = len(table.everything) + len(failures)
        super().__init__(f"{len(failures)} of {count} jobs failed; the first: {failures[0]}")
        self.table = table
        self.failures = failures

    def __reduce__(self):
        return SweepError, (self.table, self.failures)


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
        metrics: names of declared metrics (`codeckit.metrics.list_metrics`), `Metric` objects, or functions
            ``(reference, image) -> float`` on uint8 arrays, higher for better, whose names head their columns.
        tasks: names of declared tasks (`codeckit.metrics.tasks.list_tasks`; ``"imagenet"``) or `Task` objects, whose
            values appear as ``"imagenet/top1"`` and so on. Most need labelled images. The codecs ``uncompressed`` and
            ``downsample``, which a task's values are held against, are measured too.
        jobs: worker processes; −1 for one a core.
        out: file of JSON Lines that keeps finished jobs; the next call with the same file skips them.
        keep: folder for the streams themselves, one file a job; None to keep none.
        repeats: encode and decode so many times and record the median time. Before a codec is timed in a process it
            has coded one picture there.
        progress: show a progress bar on stderr, if that is a terminal.
        executor: what runs the jobs: ``"local"``, ``"dask"`` or ``"ray"``, or a cluster by its address
            (`codeckit.bench.executors`). Its workers must reach the pictures and weights by the same paths, and have
            the distributions installed whose codecs, metrics and tasks are used.

    Returns:
        One `Measurement` a codec and image, codec by codec, of the codecs that were asked for and of no others; of a
        video a `VideoMeasurement`, which also holds every frame's. A measure that is not defined for a picture
        (MS-SSIM below 161 samples a side) is NaN. What tasks are held against stands in the table's ``baselines``.

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
    codecs = [codecs] if isinstance(codecs, Codec) else list(codecs) if isinstance(codecs, Iterable) else [codecs]
    images = dataset(images)
    asked = Asked(resolve(metrics), resolve_tasks(tasks))
    _check(codecs, images, asked, repeats)
    held_against = _baselines(codecs) if asked.tasks else []

    planned = _plan([*codecs, *held_against], images, bool(asked.tasks), keep)
    done = _finished(planned, asked, out)
    failures = _do(planned, done, asked, out, jobs=jobs, repeats=repeats, progress=progress, executor=executor)

    wanted = set(map(_identity, codecs))
    rows = {key: _only(done[key], asked) for key in planned if key in done}
    table = Measurements(
        (row for key, row in rows.items() if _identity(planned[key].codec) in wanted),
        (row for key, row in rows.items() if _identity(planned[key].codec) not in wanted),
        asked.columns,
    )
    if failures:
        raise SweepError(table, tuple(failures))
    return table


# --- what is to be done ---


def _identity(codec: Codec) -> tuple[str, str]:
    return codec.name, setting_key(codec.setting)


def _composition(codec: Codec) -> str:
    """The stages, and which weights they compute with."""
    return repr(codec.stages) + (codec.weights.fingerprint.hex() if codec.weights else "")


def _check(codecs, images, asked, repeats):
    """Refuse what cannot be measured, before any work."""
    for codec in codecs:
        if not isinstance(codec, Codec):
            raise ValueError(f"evaluate takes configured codecs, such as codeckit.codec('jpeg'), not {codec!r}")
    if not codecs or not images:
        raise ValueError("evaluate needs at least one codec and one image")
    if repeats < 1:
        raise ValueError(f"repeats is at least 1, not {repeats}")
    unlabelled = next((image.name for image in images if image.label is None), None)
    scored = [task.name for task in asked.tasks if needs_label(task)]
    if scored and unlabelled is not None:
        raise ValueError(
            f"{', '.join(scored)}: such tasks need labelled images, and {unlabelled} has no label; a folder's "
            "labels.csv (file,label) or, with dataset(folder, recursive=True), the names of its folders give them"
        )
    stages = {}
    for codec in codecs:
        own = _composition(codec)
        if stages.setdefault(_identity(codec), own) != own:
            raise ValueError(f"two different codecs are called {codec.name} {codec.setting}; give one another name")


def _baselines(codecs):
    """The baselines that were not asked for themselves."""
    present = {codec.name for codec in codecs}
    return [codec for codec in baselines() if codec.name not in present]


def _plan(codecs, images, labelled, keep) -> dict[str, Job]:
    """All jobs by their keys, codec by codec."""
    if keep is not None:
        Path(keep).mkdir(parents=True, exist_ok=True)
    fingerprints = [image.fingerprint() for image in images]
    planned = {}
    for codec in codecs:
        for order, (image, fingerprint) in enumerate(zip(images, fingerprints, strict=True)):
            kept = None if keep is None else str(Path(keep) / stream_name(codec, image))
            planned[job_key(codec, image, fingerprint, labelled)] = Job(codec, image, fingerprint, order, kept)
    return planned


def job_key(codec: Codec, image: DatasetImage, fingerprint: str, labelled: bool = False) -> str:
    """Digest of everything that a job's result depends on, save the code; with `labelled`, of the label, too."""
    parts = [codec.name, setting_key(codec.setting), _composition(codec), image.name, fingerprint]
    if isinstance(image, DatasetVideo):
        parts.append(str(image.limit))
    if image.reading != STRICT:
        parts.append(repr(image.reading))
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
    ending = extension(codec) if codec.native and not isinstance(image, DatasetVideo) else ".ckt"
    return re.sub(r"[^\w.=+-]+", "_", "-".join(parts)) + ending


def extension(codec: Codec) -> str:
    """File name ending of the files that a codec writes: ``.ckt``, or that of a native format.

    The registry knows it of the codecs that ship; of a codec of one's own, what Pillow calls its format, or the codec
    that ships and ends in the same stage. ``.bin`` where nothing tells.

    >>> from codeckit.codecs.peers.stills import PillowCoded
    >>> extension(Codec("mine", {"library": PillowCoded("BMP")}))
    '.bmp'
    """
    if not codec.native:
        return ".ckt"
    own = registry.entry(codec.name).extension if registry.is_registered(codec.name) else ".ckt"
    return own if own != ".ckt" else _extension_of_stage(list(codec.stages.values())[-1])


def _extension_of_stage(stage) -> str:
    from PIL import Image

    from ..codecs.peers.stills import PillowCoded

    known = [entry for entry in registry.list_codecs() if entry.extension != ".ckt" and entry.available]
    if isinstance(stage, PillowCoded):
        endings = [ending for ending, name in Image.registered_extensions().items() if name == stage.format]
        usual = [entry.extension for entry in known if entry.extension in endings]
        return next(iter([*usual, *endings]), ".bin")
    same = (entry.extension for entry in known if type(list(entry.load()().stages.values())[-1]) is type(stage))
    return next(same, ".bin")


# --- doing it ---


def _finished(planned, asked, out) -> dict[str, Measurement]:
    """The planned jobs that the journal holds with all values that are asked for, their streams kept where wanted."""
    journal = {} if out is None else read_journal(out)
    names = set(asked.columns)
    return {
        key: journal[key]
        for key, job in planned.items()
        if key in journal and names <= journal[key].values.keys() and (job.kept is None or Path(job.kept).exists())
    }


def _do(planned, done, asked, out, *, jobs, repeats, progress, executor) -> list[Failure]:
    """Run the jobs that are not in `done`; what they give goes there and into the journal. Returns the failures."""
    from tqdm import tqdm

    # All codecs on one picture, then on the next: a worker that has read a picture keeps it for the next job.
    missing = sorted(((key, planned[key]) for key in planned if key not in done), key=lambda item: item[1].order)
    own = Registered.here()
    sent = [(key, own, job, asked, repeats) for key, job in missing]
    workers = jobs if len(sent) > 1 or executor != "local" else 1
    failures = []
    hidden: Any = None if progress else True  # None: shown on a terminal alone
    bar = tqdm(total=len(planned), initial=len(done), unit="image", disable=hidden)
    with bar, open_journal(out) as append:
        for key, result in run(work, sent, executor, workers):
            if isinstance(result, Failure):
                failures.append(result)
                append({"job": key, "failure": asdict(result)})
            else:
                done[key] = result
                append({"job": key, "measurement": result.to_json()})
            bar.update()
    return failures


def _only(record: Measurement, asked: Asked) -> Measurement:
    """The values that were asked for: a journal may hold more."""
    counts = {name: record.counts[name] for name in asked.columns if name in record.counts}
    return replace(record, values={name: record.values[name] for name in asked.columns}, counts=counts)
