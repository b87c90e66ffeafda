"""The comparison behind ``codeckit compare``: codecs and qualities as words in, a written report out.

A codec is specified as ``NAME:OPTION=VALUE:OPTION=VALUE``, such as ``libjpeg:progressive=true`` or
``jpeg:subsampling=4:4:4``. Each codec is swept over the qualities that were asked for; without any, over a spread of
its own scale: 10, 30, 50, 70 and 90 % of a long scale, every step of a short one. A ``quality`` in the specification
itself stands alone.
"""

from pathlib import Path

from ..codecs import registry
from ..codecs.base import Codec
from ..codecs.image_io import STRICT
from ..codecs.importance import importance as importance_of
from ..metrics import Metric, weighted_metric
from .crops import crops
from .curves import curve_label, find_anchor
from .datasets import dataset
from .report import Report, compare
from .sweep import SweepError, evaluate


def run_comparison(
    images,
    codecs,
    qualities=None,
    metrics=("psnr", "ms-ssim"),
    anchor=None,
    out="results",
    jobs=1,
    keep=False,
    progress=True,
    tasks=(),
    executor="local",
    reading=STRICT,
    importance=None,
    strength=None,
) -> Report:
    """Sweep codecs over images and write a report.

    Args:
        images: what `codeckit.bench.dataset` takes.
        codecs: specifications, as a list or separated by commas, or configured `Codec`s.
        qualities: numbers on every codec's own scale, or None for a spread over each.
        metrics: as for `evaluate`.
        anchor: the codec that BD-rates refer to, a specification or a curve's label; None for libjpeg if it is among
            the codecs, else the first.
        out: folder of the report; running again with the same folder continues a sweep that was stopped.
        jobs: worker processes.
        keep: also keep every stream, in the folder's ``streams``.
        progress: show a progress bar on stderr.
        tasks, executor: as for `evaluate`.
        reading: how pictures are read that have transparent pixels, more than 8 bits or several frames (`Reading`).
        importance, strength: where errors count more, for every codec that is specified (`codecs.importance`); weighted
            PSNR is then measured, too.

    Returns:
        The `Report`. Its `failures` tell of jobs that failed; only if all did, `SweepError` is raised.

    Raises:
        ValueError: an unknown codec, option or anchor, or a quality outside a codec's scale.
    """
    if (known := importance_of(importance, strength)) is not None:
        metrics = (*([metrics] if isinstance(metrics, str | Metric) else metrics), weighted_metric(known))
    weighing = {} if known is None else {"importance": known}
    settings = expand(codecs, qualities, **weighing)
    if anchor is not None and ":" in anchor:
        name, options = registry.parse_spec(anchor)
        anchor = curve_label(name, {**options, **(weighing and registry.codec(name, **weighing).setting)})
    find_anchor([curve_label(codec.name, codec.setting) for codec in settings], anchor)  # not only after the sweep
    failures = ()
    images = dataset(images, reading=reading)
    try:
        table = evaluate(
            settings,
            images,
            metrics,
            tasks,
            jobs=jobs,
            out=Path(out) / "journal.jsonl",
            keep=Path(out) / "streams" if keep else None,
            progress=progress,
            executor=executor,
        )
    except SweepError as error:
        if not error.table:
            raise
        table, failures = error.table, error.failures
    report = compare(table, anchor=anchor, failures=failures)
    report.write(out, crops(report, settings, images))
    return report


def expand(codecs, qualities=None, **others) -> list[Codec]:
    """One configured codec for each specification and quality, all with `others` as further options.

    >>> [codec.setting for codec in expand("libjpeg:optimize=true", [30, 60])]
    [{'quality': 30, 'optimize': True}, {'quality': 60, 'optimize': True}]
    >>> [codec.setting["quality"] for codec in expand("libjpeg")]
    [10, 30, 50, 70, 90]
    """
    if isinstance(codecs, str):
        codecs = codecs.split(",")
    if isinstance(codecs, Codec):
        codecs = [codecs]
    settings = []
    for codec in codecs:
        if isinstance(codec, Codec):
            settings.append(codec)
            continue
        name, options = registry.parse_spec(codec)
        if "quality" in options:
            settings.append(registry.codec(name, **others, **options))
            continue
        low, high = registry.entry(name).quality
        for quality in spread(low, high) if qualities is None else qualities:
            if not low <= quality <= high:
                raise ValueError(
                    f"{name}'s quality goes from {low} to {high}, not to {quality}; leave the qualities out to give "
                    f"every codec its own, or write one into the codec: {name}:quality={high}"
                )
            settings.append(registry.codec(name, quality=quality, **others, **options))
    return settings


def spread(low: float, high: float) -> list[float]:
    """Qualities that show a codec's range.

    >>> spread(1, 100), spread(1, 4)
    ([10, 30, 50, 70, 90], [1, 2, 3, 4])
    """
    if high - low < 10:
        return list(range(int(low), int(high) + 1))
    return [int(low + (high - low) * percent / 100) for percent in (10, 30, 50, 70, 90)]
