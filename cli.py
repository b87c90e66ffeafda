"""The command line, `codeckit`: encode, decode, repack, unpack, info, codecs, compare, sweep, explain, lab, train.

Results go to stdout or files, progress to stderr. Errors are one line; the exit status is 2 for bad use (an unknown
codec, a target that cannot be reached) and 1 for bad data (a damaged stream, a missing file).
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from . import __version__
from .primitives.errors import StreamError


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status.

    >>> main(["codecs", "--json"]) == 0  # doctest: +ELLIPSIS
    [{"name": "av1", ...
    True
    """
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        return 130
    except (StreamError, OSError, ValueError) as error:
        print(f"codeckit {options.command}: {error}", file=sys.stderr)
        return 1 if isinstance(error, StreamError | OSError) else 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="codeckit", description="Encode, decode and compare pictures and videos with classical and learned codecs."
    )
    parser.add_argument("--version", action="version", version=f"codeckit {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    codec_help = "codec, with options behind colons: jpeg, jpeg:subsampling=4:4:4:progressive=true"

    command = commands.add_parser("encode", help="encode an image file, all in a folder, or a video")
    command.add_argument("input", metavar="IN", help="image or video file, or a folder of images")
    command.add_argument(
        "output", metavar="OUT", help="stream to write, or a folder for them; videos: .ckt, or .mp4, .mkv, .hevc …"
    )
    command.add_argument("--codec", required=True, metavar="NAME", help=codec_help)
    target = command.add_mutually_exclusive_group()
    target.add_argument("--quality", type=_number, metavar="Q", help="on the codec's scale; higher is better")
    target.add_argument("--bpp", type=float, metavar="B", help="most bits a pixel that the stream may take")
    target.add_argument("--psnr", type=float, metavar="P", help="PSNR in dB to reach")
    target.add_argument("--accuracy", type=float, metavar="A", help="how often a task's answer stays the same, 0 … 1")
    command.add_argument("--task", metavar="T", help="the task for --accuracy; default: imagenet")
    command.add_argument("--background", metavar="COLOUR", help="blend transparent pixels onto it: white, '#8090a0'")
    command.add_argument("--video", action="store_true", help="the folder's images are the frames of a video")
    command.add_argument("--fps", type=float, metavar="F", help="frames a second of the video")
    command.add_argument("--size", metavar="WxH", help="size of the frames of a .yuv file")
    command.add_argument(
        "--pixel-format", default="yuv420p", metavar="P", help="samples of a .yuv file: yuv420p, rgb24"
    )
    command.add_argument("--frames", type=int, metavar="N", help="encode the first N frames only")
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    command.set_defaults(run=_encode)

    command = commands.add_parser("decode", help="decode any stream into an image file, or all in a folder, or a video")
    command.add_argument("input", metavar="IN", help="stream: .ckt, .jpg, .webp, .mp4; or a folder of them")
    command.add_argument(
        "output",
        metavar="OUT",
        help="image file to write; its ending says the format (.png; .npz for tokens). Or a folder, for .png files",
    )
    command.add_argument("--max-pixels", type=int, metavar="N", help="largest picture to accept")
    command.add_argument("--weights", metavar="FILE", help="weight file that a learned stream was made with")
    command.add_argument("--device", default="cpu", metavar="D", help="where networks run: cpu (default), cuda")
    command.set_defaults(run=_decode)

    for name, what, run in (
        ("repack", "make JPEG files smaller without loss; `unpack` restores them to the bit", _repack),
        ("unpack", "restore the files that `repack` was given", _unpack),
    ):
        command = commands.add_parser(name, help=what)
        source = ".jpg file" if name == "repack" else ".ckt file that `repack` wrote"
        command.add_argument("input", metavar="IN", help=f"{source}, or a folder: all in it and its folders")
        command.add_argument("output", metavar="OUT", help="file to write, or folder")
        command.add_argument("--json", action="store_true", help="print the result as JSON")
        command.set_defaults(run=run)

    command = commands.add_parser("info", help="tell what a stream holds")
    command.add_argument("input", metavar="FILE")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_info)

    command = commands.add_parser("codecs", help="list the codecs")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_codecs)

    command = commands.add_parser("compare", help="sweep codecs over images and write RD curves, tables and plots")
    command.add_argument(
        "images",
        nargs="+",
        metavar="IMAGES",
        help="files (videos too), folders, 'sample' for three photographs, 'clips'",
    )
    command.add_argument("--codecs", required=True, metavar="A,B,C", help=codec_help)
    command.add_argument(
        "--qualities", type=_numbers, metavar="Q,Q,…", help="default: a spread over each codec's scale"
    )
    command.add_argument("--metrics", default="psnr,ms-ssim", metavar="M,M", help="default: psnr,ms-ssim")
    command.add_argument(
        "--tasks",
        default="",
        metavar="T,T",
        help="accuracies to measure on labelled images: imagenet, …",
    )
    command.add_argument("--anchor", metavar="NAME", help="codec that BD-rates refer to")
    command.add_argument("--jobs", type=int, default=1, metavar="N", help="worker processes; -1 for one a core")
    command.add_argument(
        "--executor", default="local", metavar="E", help="local (default), dask, ray, or dask:ADDRESS, ray:ADDRESS"
    )
    command.add_argument("--out", required=True, metavar="DIR", help="folder for records, tables, plots and the report")
    command.add_argument("--keep", action="store_true", help="keep every stream in DIR/streams")
    command.add_argument("--json", action="store_true", help="print the results as JSON instead of tables")
    command.set_defaults(run=_compare)

    command = commands.add_parser("sweep", help="measure codecs on any number of pictures, records as Parquet")
    command.add_argument(
        "images", nargs="+", metavar="IMAGES", help="folders, webdataset shards ('train-{000..099}.tar'), s3:// …"
    )
    command.add_argument("--codecs", required=True, metavar="A,B,C", help=codec_help)
    command.add_argument("--qualities", type=_numbers, metavar="Q,Q,…", help="default: a spread over each scale")
    command.add_argument("--metrics", default="psnr", metavar="M,M", help="default: psnr")
    command.add_argument("--tasks", default="", metavar="T,T", help="accuracies to measure on labelled images")
    command.add_argument("--anchor", metavar="NAME", help="codec that BD-rates refer to")
    command.add_argument("--executor", default="local", metavar="E", help="local, dask, ray, dask:ADDRESS, ray:ADDRESS")
    command.add_argument("--jobs", type=int, default=1, metavar="N", help="worker processes; -1 for one a core")
    command.add_argument("--part", type=int, default=1000, metavar="N", help="pictures of a part (default 1000)")
    command.add_argument("--out", required=True, metavar="DIR", help="folder for records and the report of the means")
    command.set_defaults(run=_sweep)

    command = commands.add_parser("explain", help="show what codecs do to a picture, stage by stage, on a page")
    command.add_argument("image", metavar="IMAGE", help="image file, or 'sample:NAME'")
    command.add_argument("--codec", required=True, metavar="A[,B]", help=codec_help + "; two stand side by side")
    command.add_argument("--quality", type=_number, metavar="Q", help="of every codec that names none itself")
    command.add_argument("--out", required=True, metavar="PAGE", help="HTML file to write; it needs nothing else")
    command.set_defaults(run=_explain)

    command = commands.add_parser("lab", help="a web app on this machine: a picture, two codecs, and what they do")
    command.add_argument("--port", type=int, default=0, metavar="P", help="default: one that is free")
    command.set_defaults(run=_lab)

    command = commands.add_parser("train", help="train the weights of a learned codec (docs/training.md)")
    command.add_argument(
        "recipe", metavar="RECIPE", help="balle2017-small, cheng2020-small, … (docs/training.md), or a network's name"
    )
    command.add_argument("--data", required=True, metavar="PACK", help="photographs that codeckit.training.data packed")
    command.add_argument("--out", required=True, metavar="DIR", help="folder for checkpoint, weights and log")
    command.add_argument("--resume", action="store_true", help="go on from the checkpoint in DIR, if there is one")
    command.add_argument("--start", metavar="WEIGHTS", help="weights to begin with, of an earlier run")
    command.add_argument("--minutes", type=float, metavar="M", help="stop and save after this time")
    command.add_argument("--quality", type=int, metavar="Q", help="of a network without a recipe; default: the middle")
    command.add_argument("--small", action="store_true", help="of a network without a recipe, the size for tests")
    command.add_argument("--steps", type=int, metavar="N", help="length of the training; default: the recipe's")
    command.add_argument("--seed", type=int, metavar="K", help="of all random numbers; default: the recipe's")
    command.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1; default: a GPU if there is one")
    command.add_argument("--bfloat16", action="store_true", help="half precision on a CPU, too, if it is fast there")
    command.add_argument("--no-compile", action="store_true", help="run the network as it is, also on a GPU")
    command.add_argument("--json", action="store_true", help="print the last validation as JSON")
    command.set_defaults(run=_train)
    return parser


def _number(text: str) -> int | float:
    value = float(text)
    return int(value) if value.is_integer() else value


def _numbers(text: str) -> list[int | float]:
    return [_number(part) for part in text.split(",")]


def _encode(options) -> int:
    from .api import encode
    from .codecs.image_io import write_atomically
    from .codecs.info import info
    from .codecs.registry import parse_spec

    name, settings = parse_spec(options.codec)
    given = {
        target: getattr(options, target) for target in ("quality", "bpp", "psnr", "accuracy", "task", "background")
    }
    settings.update({target: value for target, value in given.items() if value is not None})
    if _is_video_source(options):
        return _encode_video(options, name, settings)
    if Path(options.input).is_dir():
        return _encode_folder(options, name, settings)
    stream = encode(options.input, name, **settings)
    write_atomically(options.output, stream)
    found = info(stream)
    if options.json:
        print(json.dumps({"output": options.output, "bytes": found.bytes, "bpp": found.bpp, "codec": name}))
    else:
        height, width = found.size
        print(f"{options.output}: {name}, {width}×{height}, {found.bytes} bytes, {found.bpp:.4f} bpp")
    return 0


def _is_video_source(options) -> bool:
    from .codecs.frames import RAW_EXTENSIONS, VIDEO_EXTENSIONS

    return options.video or Path(options.input).suffix.lower() in VIDEO_EXTENSIONS + RAW_EXTENSIONS


def _encode_video(options, name, settings) -> int:
    from .codecs.frames import read_video
    from .codecs.registry import codec

    if settings.keys() & {"bpp", "psnr", "accuracy", "task", "background"}:
        raise ValueError("a video is encoded at a --quality (or qp=, crf= of its codec), not at a target")
    size = None
    if options.size:
        width, times, height = options.size.partition("x")
        if not (times and width.isdigit() and height.isdigit()):
            raise ValueError(f"--size is WIDTHxHEIGHT, such as 416x240, not {options.size!r}")
        size = int(height), int(width)
    frames = read_video(
        options.input, size=size, fps=options.fps, pixel_format=options.pixel_format, limit=options.frames
    )
    codec(name, **settings).encode_video(frames, options.output, progress=True)
    return _print_video(options.output, options.json)


def _print_video(path, as_json) -> int:
    from .codecs.info import info

    found = info(path)
    (height, width), details = found.size, found.details
    keys = ("frames", "fps", "seconds", "kbps", "variable frame rate", "rotation", "mirrored", "turned upright")
    keys += ("pixel aspect ratio", "left out")
    facts = {"output": str(path), "codec": found.codec, "size": [height, width], "bytes": found.bytes}
    facts |= {key: details[key] for key in keys if key in details}
    if as_json:
        print(json.dumps(facts))
        return 0
    shown = f"{width}×{height}, {facts['frames']} frames"
    if "seconds" in facts:
        shown += f" in {facts['seconds']:g} s"
    shown += f" at {facts['fps']:.6g} fps" + (" (variable)" if facts["variable frame rate"] else "")
    shown += f", {found.bytes} bytes" + (f", {facts['kbps']:.1f} kbit/s" if "kbps" in facts else "")
    if "rotation" in facts:
        mirrored = "mirrored and " if facts["mirrored"] else ""
        applied = "" if facts["turned upright"] else " (not turned: no multiple of 90°)"
        shown += f", {mirrored}to be turned by {facts['rotation']:g}°{applied}"
    if "pixel aspect ratio" in facts:
        shown += f", pixels {facts['pixel aspect ratio']}"
    if "left out" in facts:
        shown += f", not read: {facts['left out']}"
    print(f"{path}: {found.codec}, {shown}")
    return 0


def _encode_folder(options, name, settings) -> int:
    """Every picture of a folder; those of one size go through networks together."""
    from .api import encode
    from .bench import dataset
    from .codecs.image_io import write_atomically
    from .codecs.info import info
    from .codecs.registry import codec, entry

    pictures = [image.source for image in dataset(options.input)]
    if settings.keys() & {"bpp", "psnr", "accuracy", "task", "background"}:
        streams = (encode(picture, name, **settings) for picture in pictures)
    else:
        streams = codec(name, **settings).encode_many(pictures)
    size = pixels = 0
    for picture, stream in zip(_progress(pictures), streams, strict=True):
        found = info(stream)
        # The whole name stays: a folder may hold two pictures that differ in their endings alone.
        write_atomically(Path(options.output) / (picture.name + _ending(stream, entry(name))), stream)
        size, pixels = size + found.bytes, pixels + found.size[0] * found.size[1]
    total = {"output": options.output, "files": len(pictures), "bytes": size, "bpp": 8 * size / pixels, "codec": name}
    if options.json:
        print(json.dumps(total))
    else:
        print(f"{options.output}: {name}, {len(pictures)} files, {size} bytes, {total['bpp']:.4f} bpp")
    return 0


def _ending(stream, entry):
    from .primitives import container

    return ".ckt" if stream[:3] == container.MAGIC else entry.extension


def _progress(items):
    from tqdm import tqdm

    return tqdm(items, unit="file", disable=len(items) < 2)


def _decode(options) -> int:
    from PIL import Image

    from .api import decode

    if options.weights:
        from .codecs.learned import register_weights

        register_weights(options.weights)
    Image.preinit()
    limit = {} if options.max_pixels is None else {"max_pixels": options.max_pixels}
    if Path(options.input).is_dir():
        return _decode_folder(options, limit)
    if _is_video(options.input):
        return _decode_video(options, limit)
    ending = Path(options.output).suffix.lower()
    if ending not in (".npz", *Image.EXTENSION):
        Image.init()  # the rarer formats too; this takes a while
    if ending not in (".npz", *Image.EXTENSION):
        raise ValueError(f"{options.output!r}: no image format has the ending {ending!r}; use .png")
    stream = Path(options.input).read_bytes()
    print(_write_decoded(decode(stream, device=options.device, **limit), stream, Path(options.output)))
    return 0


def _is_video(path) -> bool:
    from .codecs.video import is_video

    return is_video(path)


def _decode_video(options, limit) -> int:
    """Every frame of a video into a .png file of a folder."""
    import io

    from PIL import Image
    from tqdm import tqdm

    from .api import decode_video
    from .codecs.image_io import write_atomically

    if Path(options.output).suffix:
        raise ValueError(
            f"{options.input} is a video: its frames go into a folder as .png files, not {options.output!r}"
        )
    video = decode_video(options.input, **limit)
    number = 0
    on_a_terminal: Any = None  # whether the bar is shown
    for number, frame in enumerate(tqdm(video, total=video.count, unit="frame", disable=on_a_terminal), 1):
        out = io.BytesIO()
        Image.fromarray(frame).save(out, "png")
        write_atomically(Path(options.output) / f"{number:06}.png", out.getvalue())
    print(f"{options.output}: {number} frames of {video.size[1]}×{video.size[0]}")
    return 0


def _decode_folder(options, limit) -> int:
    """Every stream of a folder into a .png file (.npz for tokens); networks take those of one size together."""
    import itertools

    from .api import find_codec
    from .primitives.token_grid import Tokens

    paths = sorted(path for path in Path(options.input).iterdir() if path.is_file() and path.name[0] != ".")
    if not paths:
        raise ValueError(f"no streams in {options.input}")
    bar = iter(_progress(paths))
    for codec, group in itertools.groupby(paths, lambda path: find_codec(path.read_bytes(), options.device)):
        group = list(group)
        for path, decoded in zip(group, codec.decode_many(group, **limit), strict=True):
            ending = "npz" if isinstance(decoded, Tokens) else "png"
            _write_decoded(decoded, path.read_bytes(), Path(options.output) / f"{path.stem}.{ending}")
            next(bar)
    next(bar, None)  # lets the bar reach its end
    print(f"{options.output}: {len(paths)} files")
    return 0


def _write_decoded(decoded, stream, path) -> str:
    """Write a picture, turned upright, or tokens (arrays: features, grid, size, source); returns a line about it."""
    import io

    import numpy as np
    from PIL import Image

    from .codecs.image_io import upright, write_atomically
    from .primitives.token_grid import Tokens

    tokens, wanted = isinstance(decoded, Tokens), path.suffix.lower() == ".npz"
    if tokens != wanted:
        held, name = ("tokens", path.with_suffix(".npz")) if tokens else ("a picture", path.with_suffix(".png"))
        raise ValueError(f"the stream holds {held}; write it as {name.name}")
    out = io.BytesIO()
    if tokens:
        np.savez(out, features=decoded.features, grid=decoded.grid, size=decoded.size, source=decoded.source)
        line = "×".join(map(str, decoded.grid)) + f" tokens, {decoded.features.dtype} {list(decoded.features.shape)}"
    else:
        image = upright(decoded, stream)
        Image.fromarray(image).save(out, Image.EXTENSION[path.suffix.lower()])
        line = f"{image.shape[1]}×{image.shape[0]}, {'grey' if image.ndim == 2 else 'colour'}"
    write_atomically(path, out.getvalue())
    return f"{path}: {line}"


_JPEG_ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif")


def _repack(options) -> int:
    """Each file is written only when its restored twin has been compared with it."""
    from .codecs.jpeg.repack import is_modelled, repack

    before, after, files = _convert(options, repack, _JPEG_ENDINGS, lambda path: f"{path}.ckt", is_modelled)
    stored = sum(not modelled for *_, modelled in files)
    total = {"output": options.output, "files": len(files), "bytes": before, "packed": after, "stored": stored}
    if options.json:
        print(json.dumps(total))
        return 0
    for path, old, new, modelled in files:
        print(f"{path}: {old} → {new} bytes, {_change(old, new)}{'' if modelled else ', stored as it is'}")
    if len(files) != 1:
        print(f"{len(files)} files, {before} → {after} bytes, {_change(before, after)}; {stored} stored as they are")
    return 0


def _unpack(options) -> int:
    from .codecs.jpeg.repack import unpack

    before, after, files = _convert(options, unpack, (".ckt",), lambda path: str(path)[: -len(".ckt")])
    if options.json:
        print(json.dumps({"output": options.output, "files": len(files), "bytes": after, "packed": before}))
    else:
        print(f"{options.output}: {len(files)} {'file' if len(files) == 1 else 'files'} restored, {after} bytes")
    return 0


def _change(old, new) -> str:
    return f"{100 * (new / old - 1):+.1f} %" if old else "empty"


def _convert(options, function, endings, name, judge=lambda data: True) -> tuple[int, int, list]:
    """`function` of a file, or of all in a folder: sizes before and after, and (path, old, new, judged) of each."""
    import os
    from concurrent.futures import ThreadPoolExecutor

    from .codecs.image_io import write_atomically

    source, target = Path(options.input), Path(options.output)
    pairs = [(source, target)]
    if source.is_dir():
        found = sorted(path for path in source.rglob("*") if path.is_file() and path.suffix.lower() in endings)
        if not found:
            raise ValueError(f"no files that end in {', '.join(endings)} in {source}")
        pairs = [(path, target / name(path.relative_to(source))) for path in found]

    def convert(pair):
        data = pair[0].read_bytes()
        try:
            made = function(data)
        except StreamError as error:
            raise StreamError(f"{pair[0]}: {error}") from error
        write_atomically(pair[1], made)
        return str(pair[1]), len(data), len(made), judge(made)

    with ThreadPoolExecutor(min(os.cpu_count() or 1, 4)) as pool:
        done = [line for line, _ in zip(pool.map(convert, pairs), _progress(pairs), strict=True)]
    return sum(line[1] for line in done), sum(line[2] for line in done), done


def _info(options) -> int:
    from dataclasses import asdict

    from .codecs.info import info

    if _is_video(options.input):
        return _print_video(options.input, options.json)
    found = asdict(info(options.input))
    if options.json:
        print(json.dumps(found))
        return 0
    height, width = found.pop("size")
    rows = {**found, "size": f"{width}×{height}", "bpp": f"{found['bpp']:.4f}", **found["details"]}
    del rows["details"]
    stages = rows.pop("stages", {})
    rows.update({f"stage {role}": stage for role, stage in stages.items()})
    _print_table([(name, str(value)) for name, value in rows.items()])
    return 0


def _codecs(options) -> int:
    from .codecs.registry import list_codecs

    entries = list_codecs()
    if options.json:
        names = ("name", "family", "media", "quality", "extension", "summary", "available", "install")
        print(json.dumps([{name: getattr(entry, name) for name in names} for entry in entries]))
        return 0
    rows = [("name", "family", "media", "quality", "file", "available", "what")]
    for entry in entries:
        low, high = entry.quality
        available = "yes" if entry.available else f"no: {entry.install}"
        rows.append((entry.name, entry.family, entry.media, f"{low}–{high}", entry.extension, available, entry.summary))
    _print_table(rows)
    return 0


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _compare(options) -> int:
    from .bench import SweepError, run_comparison

    try:
        report = run_comparison(
            options.images,
            options.codecs,
            qualities=options.qualities,
            metrics=[name for name in options.metrics.split(",") if name],
            tasks=[name for name in options.tasks.split(",") if name],
            anchor=options.anchor,
            out=options.out,
            jobs=options.jobs,
            executor=options.executor,
            keep=options.keep,
        )
    except SweepError as error:
        raise StreamError(str(error)) from error
    print(report.to_json() if options.json else report)
    return 1 if report.failures else 0


def _sweep(options) -> int:
    from .bench import compare
    from .bench.comparison import expand
    from .bench.datasets import stream_images
    from .bench.large import summarize, sweep
    from .bench.sweep import SweepError

    try:
        count = sweep(
            expand(options.codecs, options.qualities),
            stream_images(options.images),
            options.out,
            [name for name in options.metrics.split(",") if name],
            [name for name in options.tasks.split(",") if name],
            jobs=options.jobs,
            executor=options.executor,
            part=options.part,
        )
    except SweepError as error:
        raise StreamError(str(error)) from error
    if not count:
        raise ValueError(f"no pictures in {' '.join(options.images)}")
    print(compare(summarize(options.out), anchor=options.anchor, out=options.out))
    return 0


def _explain(options) -> int:
    from .bench import dataset
    from .codecs.image_io import write_atomically
    from .codecs.registry import codec, parse_spec
    from .pages import explain

    (picture, *others) = dataset(options.image)
    if others:
        raise ValueError(f"explain takes one picture; {options.image!r} are {1 + len(others)}")
    default = {} if options.quality is None else {"quality": options.quality}
    codecs = []
    for text in options.codec.split(","):
        name, settings = parse_spec(text)
        codecs.append(codec(name, **{**default, **settings}))
    page = explain(picture.load(), codecs, name=picture.name).encode()
    write_atomically(options.out, page)
    print(f"{options.out}: {picture.name} through {options.codec}, {len(page) / 1e6:.1f} MB")
    return 0


def _lab(options) -> int:
    from .pages.lab_server import serve

    try:
        serve(options.port, lambda address: print(f"codeckit lab: {address}  (Ctrl-C ends it)", flush=True))
    except ImportError as error:
        raise ValueError(str(error)) from error
    return 0


def _train(options) -> int:
    from dataclasses import replace

    from .training import recipe, train

    chosen = recipe(options.recipe, options.quality, options.small)
    if options.steps is not None:
        chosen = replace(chosen, steps=options.steps)
    if options.seed is not None:
        chosen = replace(chosen, seed=options.seed)
    result = train(
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
        print(json.dumps(result))
        return 0
    print(f"{options.out}: step {result['step']} of {chosen.steps}; held-out photographs, estimated rate:")
    rows = [(f"{row['quality']:g}", f"{row['bpp']:.4f}", f"{row['psnr']:.2f}") for row in result["validation"]]
    _print_table([("quality", "bpp", "PSNR"), *rows])
    return 0
