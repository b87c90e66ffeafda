"""The commands that measure and show: codecs, compare, sweep, explain, lab, train."""

import json
from collections.abc import Iterable
from pathlib import Path

from .console import check_output, complain, flush, print_table, say
from .files import given, importance, reading


def codecs(options) -> int:
    """``codeckit codecs``: a table of all codecs."""
    from ..codecs.registry import list_codecs

    entries = list_codecs()
    if options.json:
        names = ("name", "family", "media", "quality", "extension", "summary", "available", "install")
        say(json.dumps([{name: getattr(entry, name) for name in names} for entry in entries]))
        return 0
    rows = [("name", "family", "media", "quality", "file", "available", "what")]
    for entry in entries:
        low, high = entry.quality
        available = "yes" if entry.available else f"no: {entry.install}"
        rows.append((entry.name, entry.family, entry.media, f"{low}–{high}", entry.extension, available, entry.summary))
    print_table(rows)
    return 0


def compare(options) -> int:
    """``codeckit compare``: a report on the pictures that can be measured; the others are told of."""
    from ..bench import SweepError, run_comparison

    foreign = _tell_of_foreign(options)
    try:
        report = run_comparison(
            options.images,
            options.codecs,
            qualities=options.qualities,
            metrics=_words(options.metrics),
            tasks=_words(options.tasks),
            anchor=options.anchor,
            out=options.out,
            jobs=options.jobs,
            executor=options.executor,
            keep=options.keep,
            reading=reading(options),
            **importance(options),
        )
    except SweepError as error:
        _tell_of_failures(options, error.failures)
        return 1
    _tell_of_failures(options, report.failures)
    say(report.to_json() if options.json else report)
    return 1 if report.failures or foreign else 0


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _tell_of_foreign(options) -> int:
    """Names the files in folders whose endings are no picture's; how many there are."""
    from ..codecs.folders import files
    from ..codecs.image_io import EXTENSIONS

    count = 0
    for folder in options.images:
        for path in files(folder) if Path(folder).is_dir() else []:
            if path.suffix.lower() not in EXTENSIONS and path.name != "labels.csv":
                complain(f"codeckit {options.command}: {path}: not a picture")
                count += 1
    return count


def _tell_of_failures(options, failures: Iterable) -> None:
    """Names each picture that could not be measured, once."""
    first: dict[str, tuple] = {}
    for failure in failures:
        known, count = first.get(failure.image, (failure, 0))
        first[failure.image] = known, count + 1
    for image, (failure, count) in first.items():
        error = failure.error.removeprefix("StreamError: ")
        error = error if image in error else f"{image}: {error}"
        complain(f"codeckit {options.command}: {error} (of its measurements, {count} failed)")


def sweep(options) -> int:
    """``codeckit sweep``: records of any number of pictures, and a report of their means."""
    from ..bench import compare
    from ..bench.comparison import expand
    from ..bench.datasets import stream_images
    from ..bench.large import summarize, sweep
    from ..bench.sweep import SweepError

    failures: list = []
    try:
        count = sweep(
            expand(options.codecs, options.qualities),
            stream_images(options.images, reading(options)),
            options.out,
            _words(options.metrics),
            _words(options.tasks),
            jobs=options.jobs,
            executor=options.executor,
            part=options.part,
            failed=failures.append,
        )
    except SweepError as error:
        _tell_of_failures(options, [*failures, *error.failures])
        return 1
    if not count:
        raise ValueError(f"no pictures in {' '.join(options.images)}")
    _tell_of_failures(options, failures)
    say(compare(summarize(options.out), anchor=options.anchor, out=options.out))
    return 1 if failures else 0


def explain(options) -> int:
    """``codeckit explain``: a page that shows a picture's or a video's way through codecs."""
    from ..bench import dataset
    from ..codecs.endings import check_ending
    from ..codecs.frames import Frames
    from ..codecs.image_io import write_atomically
    from ..codecs.registry import codec, parse_spec
    from ..pages import explain, explain_video

    check_ending(options.out, ".html", "explain")
    check_output(options.image, options.out)
    (picture, *others) = dataset(options.image, reading=reading(options))
    if others:
        raise ValueError(f"explain takes one picture or video; {options.image!r} are {1 + len(others)}")
    pixels = picture.load()
    is_video = isinstance(pixels, Frames)
    if not is_video and (of_videos := given(options, "frames", "shown")):
        raise ValueError(f"--{min(of_videos)} is for videos, and {options.image} is none")
    default = given(options, "quality") | importance(options)
    codecs = []
    for text in options.codec.split(","):
        name, settings = parse_spec(text)
        codecs.append(codec(name, **{**default, **settings}))
    if is_video:
        shown = 8 if options.shown is None else options.shown
        page = explain_video(pixels, codecs, name=picture.name, shown=shown, limit=options.frames).encode()
    else:
        page = explain(pixels, codecs, name=picture.name).encode()
    write_atomically(options.out, page)
    say(f"{options.out}: {picture.name} through {options.codec}, {len(page) / 1e6:.1f} MB")
    return 0


def lab(options) -> int:
    """``codeckit lab``: serves the app until Ctrl-C."""
    from ..pages.lab_server import serve

    def ready(address: str) -> None:
        say(f"codeckit lab: {address}  (Ctrl-C ends it)")
        flush()

    serve(options.port, ready)
    return 0


def train(options) -> int:
    """``codeckit train``: trains a network, and shows what it does to held-out data."""
    from dataclasses import replace
    from importlib import import_module

    from ..training import recipe

    chosen = recipe(options.recipe, options.quality, options.small)
    if options.steps is not None:
        chosen = replace(chosen, steps=options.steps)
    if options.seed is not None:
        chosen = replace(chosen, seed=options.seed)
    result = import_module(f"codeckit.training.{chosen.trainer}").train(
        chosen,
        options.data,
        options.out,
        device=options.device,
        minutes=options.minutes,
        resume=options.resume,
        start=options.start,
        compile=False if options.no_compile else None,
        bfloat16=True if options.bfloat16 else None,
        progress=True,
    )
    if options.json:
        say(json.dumps(result))
        return 0
    say(f"{options.out}: step {result['step']} of {chosen.steps}; held-out data, estimated rate:")
    rows = [(f"{row['quality']:g}", f"{row['bpp']:.4f}", f"{row['psnr']:.2f}") for row in result["validation"]]
    print_table([("quality", "bpp", "PSNR"), *rows])
    return 0
