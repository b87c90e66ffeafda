"""The commands that turn files into files: encode, decode, repack, unpack; and info, which tells what they hold."""

import contextlib
import io
import itertools
import json
import math
import os
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import console

if TYPE_CHECKING:
    from ..codecs.folders import Run
    from ..codecs.image_io import Reading

#: What can be asked of an encoding besides a quality; it is found by search.
_TARGETS = ("bpp", "psnr", "accuracy", "task")

#: Options that say how pictures are read.
_READING = ("background", "depth", "frame")


def given(options, *names: str) -> dict[str, Any]:
    """Those of some options that were given."""
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def reading(options) -> "Reading":
    """How the options of a command say that pictures are to be read."""
    from ..codecs.image_io import Reading

    return Reading(**given(options, *_READING))


def importance(options) -> dict[str, Any]:
    """Where the options of a command say that errors count more; the path of a picture stands for its map."""
    found = given(options, "importance", "strength")
    where = found.get("importance", "attention")
    if where != "attention" and not where.startswith("roi:"):
        from ..codecs.image_io import read_image

        if not Path(where).is_file():
            raise ValueError(f"--importance is roi:x,y,w,h, attention or a picture's file, not {where!r}")
        pixels = read_image(where)
        found["importance"] = pixels if pixels.ndim == 2 else pixels.mean(2)
    return found


def _piped(name: str) -> bytes | None:
    """What comes through a pipe, which can be read once; None for a file."""
    return console.read(name) if console.is_piped(name) else None


# --- encode ---


def encode(options) -> int:
    """``codeckit encode``: a picture, the pictures of a folder, or a video."""
    from ..api import encode
    from ..codecs.endings import check_ending, ending_of
    from ..codecs.image_io import naming
    from ..codecs.info import info
    from ..codecs.registry import codec, parse_spec

    name, settings = parse_spec(options.codec)
    settings |= given(options, "quality", *_TARGETS, *_READING, "metadata") | importance(options)
    data = _piped(options.input)
    if _is_video_source(options, data):
        return _encode_video(options, data, name, settings)
    if of_videos := given(options, "size", "fps", "frames"):
        raise ValueError(f"--{min(of_videos)} is for videos, and {console.shown(options.input)} is none")
    if "task" in settings and "accuracy" not in settings:
        raise ValueError("--task says who reads for an --accuracy; give one, too")
    ending = ending_of(codec(name, **_without_targets(settings)))
    if console.is_folder(options.input):
        return _encode_folder(options, name, settings)
    output = console.placed(options.output, Path(console.shown(options.input)).name + (ending or ".bin"))
    check_ending(output, ending, name)
    console.check_output(options.input, output)
    with naming(console.shown(options.input)):
        stream = encode(options.input if data is None else io.BytesIO(data), name, **settings)
    console.write(output, stream)
    found = info(stream)
    if options.json:
        told = {"output": output, "bytes": found.bytes, "bpp": _or_none(found.bpp), "codec": name}
        console.say(json.dumps(told), output)
    else:
        height, width = found.size
        console.told(output, f"{name}, {width}×{height}, {found.bytes} bytes, {found.bpp:.4f} bpp")
    return 0


def _or_none(number: float) -> float | None:
    """A number as JSON can hold it."""
    return None if math.isnan(number) else number


def _without_targets(settings: dict[str, Any]) -> dict[str, Any]:
    return {option: value for option, value in settings.items() if option not in _TARGETS}


def _encode_folder(options, name: str, settings: dict[str, Any]) -> int:
    """Every picture of a folder; those of one size go through networks together."""
    from ..api import encode
    from ..codecs.batches import attempt, encode_each
    from ..codecs.endings import ending_of
    from ..codecs.info import info
    from ..codecs.registry import codec

    configured = codec(name, **_without_targets(settings))
    run = _run(options, "pictures").sift(_check_picture)
    if settings.keys() & set(_TARGETS):
        streams = (attempt(encode, path, name, **settings) for path in run.inputs)
    else:
        streams = encode_each(configured, run.inputs)

    def finish(path: Path, stream: bytes):
        # The whole name stays: a folder may hold two pictures that differ in their endings alone.
        run.write(Path(options.output) / (path.name + (ending_of(configured) or ".bin")), stream)
        return info(stream)

    found = list(run.done(console.progress(streams, len(run.inputs)), finish))
    size, pixels = sum(each.bytes for each in found), sum(each.size[0] * each.size[1] for each in found)
    bpp = 8 * size / pixels if pixels else None
    total = {"output": options.output, "files": len(found), "bytes": size, "bpp": bpp, "codec": name}
    shown = f"{name}, {len(found)} files, {size} bytes" + (f", {bpp:.4f} bpp" if bpp else "")
    return _sum_up(options, run, total, shown)


def _check_picture(path: Path) -> None:
    from ..codecs.folders import check_regular
    from ..codecs.frames import RAW_EXTENSIONS, VIDEO_EXTENSIONS

    check_regular(path)
    if path.suffix.lower() in VIDEO_EXTENSIONS + RAW_EXTENSIONS:
        raise ValueError("a video; it is encoded by itself, not among pictures")


def _run(options, wanted: str, **searched) -> "Run":
    """The run over the files of the folder that is the input; failures are told of as they happen."""
    from ..codecs.folders import Run, files

    console.check_folder(options.input, options.output)
    found = files(options.input, **searched)
    if not found:
        raise ValueError(f"no {wanted} in {options.input}")
    return Run(found, lambda failure: console.complain(f"codeckit {options.command}: {failure}"))


def _sum_up(options, run: "Run", total: dict[str, Any], shown: str) -> int:
    """Tell what a run did, with the number of files that failed; the exit status."""
    failures = [{"file": str(each.path), "error": each.error} for each in run.failures]
    if options.json:
        console.say(json.dumps({**total, "failed": len(failures), "failures": failures}))
    else:
        console.told(options.output, shown + (f"; {len(failures)} failed" if failures else ""))
    return 1 if failures else 0


# --- videos ---


def _is_video_source(options, data: bytes | None) -> bool:
    from ..codecs.frames import RAW_EXTENSIONS, VIDEO_EXTENSIONS
    from ..codecs.video import is_video

    if options.video or Path(options.input).suffix.lower() in VIDEO_EXTENSIONS + RAW_EXTENSIONS:
        return True
    if data is None and options.input.lower().endswith(".ckt"):
        return os.path.isfile(options.input) and is_video(options.input)
    return data is not None and (options.size is not None or is_video(data))


@contextlib.contextmanager
def _as_file(name: str, data: bytes | None, ending: str) -> Iterator[str]:
    """The path of a file, for what comes through a pipe and is to be read twice."""
    if data is None:
        yield name
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, Path(console.shown(name)).name)
        path = path if path.suffix else path.with_suffix(ending)
        path.write_bytes(data)
        yield str(path)


def _encode_video(options, data: bytes | None, name: str, settings: dict[str, Any]) -> int:
    from ..api import decode_video, encode_video
    from ..codecs.frames import RAW_EXTENSIONS, read_video
    from ..codecs.registry import codec

    if of_pictures := settings.keys() & {"accuracy", "task"}:
        raise ValueError(f"--{min(of_pictures)} is for pictures; a video is encoded at a --quality, --bpp or --psnr")
    if given := settings.keys() & {"depth", "frame", "metadata"}:
        raise ValueError(f"--{min(given)} is for pictures; of videos, every frame is coded in 8 bits, without metadata")
    output = console.placed(options.output, f"{Path(console.shown(options.input)).name}.ckt")
    console.check_output(options.input, output)
    asked = {
        "size": _size(options.size),
        "fps": options.fps,
        "pixel_format": options.pixel_format,
        "limit": options.frames,
        "background": settings.pop("background", None),
    }
    with _as_file(options.input, data, RAW_EXTENSIONS[0] if options.size else "") as path:
        if options.size and Path(path).suffix.lower() not in RAW_EXTENSIONS:
            raise ValueError(
                f"--size is for files without a header ({', '.join(RAW_EXTENSIONS)}), not {options.input!r}"
            )
        source = decode_video(path) if path.lower().endswith(".ckt") else path
        codec(name, **_without_targets(settings))  # refuses wrong options before anything is read
        frames, start = read_video(source, **asked), time.perf_counter()
        if not console.is_piped(output):
            encode_video(frames, name, output, progress=True, **settings)
            return _print_video(output, output, options.json, seconds=time.perf_counter() - start)
        stream: Any = encode_video(frames, name, progress=True, **settings)
        seconds = time.perf_counter() - start
    console.write(output, stream)
    return _print_video(stream, output, options.json, output, seconds)


def _size(text: str | None) -> tuple[int, int] | None:
    """(H, W) of WIDTHxHEIGHT."""
    if text is None:
        return None
    width, times, height = text.partition("x")
    if not (times and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise ValueError(f"--size is WIDTHxHEIGHT, such as 416x240, not {text!r}")
    return int(height), int(width)


def _counted(frames: int) -> str:
    return f"{frames} frame" + ("s" if frames != 1 else "")


#: What `info` tells of a video, beside its size.
_TOLD = (
    "frames", "fps", "seconds", "kbps", "variable frame rate", "rotation", "mirrored", "turned upright",
    "pixel aspect ratio", "left out", "I-frames", "keys", "longest group",
)  # fmt: skip


def _speed(frames: int, seconds: float) -> str:
    """How long something took, in words.

    >>> _speed(50, 2)
    '2.0 s, 25.0 fps'
    """
    return f"{seconds:.1f} s, {frames / max(seconds, 1e-9):.1f} fps"


def _print_video(stream: str | bytes, name: str, as_json: bool, output: str = "", seconds: float | None = None) -> int:
    """Tell what a video holds, and how long its encoding took."""
    from ..codecs.image_io import naming
    from ..codecs.info import info

    with naming(name):
        found = info(stream)
    (height, width), details = found.size, found.details
    facts = {"output": name, "codec": found.codec, "size": [height, width], "bytes": found.bytes}
    facts |= {key: details[key] for key in _TOLD if key in details}
    if seconds is not None:
        facts |= {"encode_s": round(seconds, 3), "encode_fps": round(facts["frames"] / seconds, 3)}
    if as_json:
        console.say(json.dumps(facts), output)
        return 0
    shown = f"{width}×{height}, {_counted(facts['frames'])} at {facts['fps']:.6g} fps"
    shown += " (variable)" if facts["variable frame rate"] else ""
    shown += f", {facts['seconds']:g} s" if "seconds" in facts else ""
    shown += f", {found.bytes} bytes" + (f", {facts['kbps']:.1f} kbit/s" if "kbps" in facts else "")
    if "rotation" in facts:
        mirrored = "mirrored and " if facts["mirrored"] else ""
        applied = "" if facts["turned upright"] else " (not turned: no multiple of 90°)"
        shown += f", {mirrored}to be turned by {facts['rotation']:g}°{applied}"
    if "pixel aspect ratio" in facts:
        shown += f", pixels {facts['pixel aspect ratio']}"
    if "left out" in facts:
        shown += f", not read: {facts['left out']}"
    if "I-frames" in facts:
        shown += f", {facts['I-frames']} I-frames"
    if "keys" in facts:
        shown += f", decoding begins at {_counted(facts['keys'])}"
    if "longest group" in facts:
        shown += f", longest group {facts['longest group']}"
    if seconds is not None:
        shown += f"; encoded in {_speed(facts['frames'], seconds)}"
    console.say(console.one_line(f"{name}: {found.codec}, {shown}"), output)
    return 0


# --- decode ---


def decode(options) -> int:
    """``codeckit decode``: a picture, the streams of a folder, or the frames of a video."""
    from ..api import decode
    from ..codecs.image_io import naming, upright
    from ..codecs.output import check_lossless, decoded_file, ending_for
    from ..codecs.video import is_video
    from ..primitives.token_grid import Tokens

    asked = _asked_of_decode(options)
    if console.is_folder(options.input):
        if options.partial or options.frames is not None:
            raise ValueError(f"--{'partial' if options.partial else 'frames'} is for one stream, not for a folder")
        return _decode_folder(options, asked)
    data = _piped(options.input)
    if is_video(options.input if data is None else data):
        return _decode_video(options, data)
    if options.frames is not None:
        raise ValueError(f"--frames is for videos, and {console.shown(options.input)} is none")
    source = Path(console.shown(options.input))
    if not (console.is_folder(options.output) or _is_nameless(options.output)):
        check_lossless(options.output)
    console.check_output(options.input, options.output)
    data = console.read(options.input) if data is None else data
    with naming(str(source)):
        decoded = decode(data, **asked, device=options.device, partial=options.partial)
    output = console.placed(options.output, source.stem + ending_for(decoded))
    console.check_output(options.input, output)
    console.write(output, decoded_file(decoded, data, output, options.metadata or "color"))
    facts, words = _told(decoded if isinstance(decoded, Tokens) else upright(decoded, data))
    if options.json:
        console.say(json.dumps({"output": output, **facts}), output)
    else:
        console.told(output, words)
    return 0


def _is_nameless(output: str) -> bool:
    """Whether an output is a pipe or a device without an ending, which takes any format."""
    return console.is_piped(output) and not Path(output).suffix


def _asked_of_decode(options) -> dict[str, Any]:
    """Options of `codeckit.decode`; weights are registered, and wrong options refused before any file is read."""
    if options.weights:
        from ..codecs.learned import register_weights

        register_weights(options.weights)
    if options.device != "cpu":
        from ..codecs.registry import codec

        codec("balle2017").on(options.device)  # refuses a device that is not there
    reading(options)
    limit = {} if options.max_pixels is None else {"max_pixels": options.max_pixels}
    return {**limit, **given(options, *_READING)}


def _told(decoded) -> tuple[dict[str, Any], str]:
    """What has been decoded, as facts and as words."""
    from ..primitives.token_grid import Tokens

    if isinstance(decoded, Tokens):
        kind, shape = str(decoded.features.dtype), list(decoded.features.shape)
        words = "×".join(map(str, decoded.grid)) + f" tokens, {kind} {shape}"
        return {"tokens": list(decoded.grid), "dtype": kind, "shape": shape}, words
    height, width = decoded.shape[:2]
    grey = decoded.ndim == 2
    return {"size": [height, width], "channels": 1 if grey else 3}, f"{width}×{height}, {'grey' if grey else 'colour'}"


def _decode_folder(options, asked: dict[str, Any]) -> int:
    """Every stream of a folder into a .png file (.npz for tokens); networks take those of one size together."""
    from ..codecs.folders import check_regular, stems
    from ..codecs.output import decoded_file, ending_for

    run = _run(options, "streams")
    names = stems(run.inputs)
    run.sift(check_regular)

    def finish(path: Path, decoded) -> None:
        output = Path(options.output) / (names[path] + ending_for(decoded))
        run.write(output, decoded_file(decoded, path.read_bytes(), output, options.metadata or "color"))

    decoded = console.progress(_decoded(run.inputs, options.device, asked), len(run.inputs))
    count = sum(1 for _ in run.done(decoded, finish))
    return _sum_up(options, run, {"output": options.output, "files": count}, f"{count} files")


def _decoded(paths: list[Path], device: str, asked: dict[str, Any]) -> Iterator[Any]:
    """What files decode to, or the errors that they raise."""
    from ..api import decode, find_codec
    from ..codecs.batches import attempt, decode_each

    limit = {name: value for name, value in asked.items() if name == "max_pixels"}
    for codec, group in itertools.groupby(paths, lambda path: attempt(lambda: find_codec(path.read_bytes(), device))):
        if isinstance(codec, Exception):
            yield from (codec for _ in group)
        elif codec.native:
            yield from (attempt(decode, path, **asked, device=device) for path in group)
        else:
            yield from decode_each(codec, group, **limit)


def _decode_video(options, data: bytes | None) -> int:
    """Every frame of a video, or some, into a .png file of a folder; or one frame into a picture file."""
    from ..api import decode_video
    from ..codecs.image_io import naming
    from ..codecs.output import decoded_file
    from ..codecs.video import progress_bar
    from ..primitives.errors import DamageWarning, StreamError

    shown, wanted = console.shown(options.input), options.frames
    one = isinstance(wanted, int)
    if one:
        console.check_output(options.input, options.output)
    else:
        if Path(options.output).suffix and not console.is_folder(options.output):
            raise ValueError(
                f"{shown} is a video: its frames go into a folder as .png files, not {options.output!r}; --frames N "
                "picks one for a file"
            )
        console.check_folder(options.input, options.output)
    limit = {} if options.max_pixels is None else {"max_pixels": options.max_pixels}
    number, start = 0, time.perf_counter()
    with naming(shown), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", DamageWarning)
        source = options.input if data is None else data
        video = decode_video(source, device=options.device, partial=options.partial, **limit)
        if one:
            return _decode_frame(options, video, wanted)
        part = video if wanted is None else video[wanted]
        # Files are numbered from 1 on, as the frames of the whole video are.
        first = 1 if wanted is None else range(video.count or sys.maxsize)[wanted].start + 1
        for number, frame in enumerate(progress_bar(part, part.count, True), 1):
            path = os.path.join(options.output, f"{first + number - 1:06}.png")
            console.write(path, decoded_file(frame, b"", path))
        damage = next((each.message for each in told if isinstance(each.message, DamageWarning)), None)
        if not number:
            raise StreamError(damage.reason) if damage else ValueError("there are no frames in this range")
    seconds = time.perf_counter() - start
    facts = {"output": options.output, "frames": number, "size": list(video.size)}
    facts |= {"decode_s": round(seconds, 3), "decode_fps": round(number / seconds, 3)}
    if damage:
        facts |= {"promised": damage.promised, "damage": damage.reason}
        console.complain(f"codeckit decode: {damage}")
    if options.json:
        console.say(json.dumps(facts))
    else:
        console.told(
            options.output, f"{_counted(number)} of {video.size[1]}×{video.size[0]} in {_speed(number, seconds)}"
        )
    return 0


def _decode_frame(options, video: Any, number: int) -> int:
    """One frame of a video into a picture file."""
    from ..codecs.output import check_lossless, decoded_file

    place = number + (video.count or 0) if number < 0 else number
    output = console.placed(options.output, f"{place + 1:06}.png")
    if not _is_nameless(output):
        check_lossless(output)
    try:
        frame = video[number]
    except IndexError as error:
        raise ValueError(str(error)) from error
    console.write(output, decoded_file(frame, b"", output))
    facts, words = _told(frame)
    if options.json:
        console.say(json.dumps({"output": output, **facts}), output)
    else:
        console.told(output, words)
    return 0


# --- repack, unpack, info ---

#: How JPEG files begin.
_JPEG = b"\xff\xd8\xff"


def repack(options) -> int:
    """``codeckit repack``: each file is written only when its restored twin has been compared with it."""
    from ..codecs.endings import JPEG
    from ..codecs.jpeg.repack import is_modelled, repack

    def check(path: Path) -> None:
        with open(path, "rb") as file:
            if path.suffix.lower() not in JPEG and file.read(3) != _JPEG:
                raise ValueError("not a JPEG file")

    def made(data: bytes) -> tuple[bytes, bool]:
        stream = repack(data)
        return stream, is_modelled(stream)

    files, run = _convert(options, made, check, lambda name: f"{name}.ckt", ".ckt")
    before, after = sum(old for _, old, _, _ in files), sum(new for _, _, new, _ in files)
    stored = sum(not modelled for *_, modelled in files)
    total = {"output": options.output, "files": len(files), "bytes": before, "packed": after, "stored": stored}
    if not options.json:
        for path, old, new, modelled in files:
            note = "" if modelled else ", stored as it is"
            console.told(path, f"{old} → {new} bytes, {_change(old, new)}{note}")
    if run:
        shown = f"{len(files)} files, {before} → {after} bytes, {_change(before, after)}; {stored} stored as they are"
        return _sum_up(options, run, total, shown)
    if options.json:
        console.say(json.dumps({**total, "output": files[0][0]}), files[0][0])
    return 0


def unpack(options) -> int:
    """``codeckit unpack``: the files that ``codeckit repack`` was given."""
    from ..codecs.jpeg.repack import unpack

    def check(path: Path) -> None:
        if path.suffix.lower() != ".ckt":
            raise ValueError("not a .ckt file")

    def made(data: bytes) -> tuple[bytes, bool]:
        return unpack(data), True

    files, run = _convert(options, made, check, lambda name: re.sub(r"\.ckt$", "", name, flags=re.IGNORECASE))
    before, after = sum(old for _, old, _, _ in files), sum(new for _, _, new, _ in files)
    total = {"output": options.output, "files": len(files), "bytes": after, "packed": before}
    if run:
        return _sum_up(options, run, total, f"{len(files)} files restored, {after} bytes")
    output = files[0][0]
    if options.json:
        console.say(json.dumps({**total, "output": output}), output)
    else:
        console.told(output, f"1 file restored, {after} bytes")
    return 0


def _change(old: int, new: int) -> str:
    return f"{100 * (new / old - 1):+.1f} %" if old else "empty"


def _convert(
    options,
    function: Callable[[bytes], tuple[bytes, bool]],
    check: Callable[[Path], None],
    renamed: Callable[[str], str],
    ending: str = "",
) -> "tuple[list[tuple[str, int, int, bool]], Run | None]":
    """`function` of a file, or of all in a folder and its folders: (output, old size, new size, judgement) of each.

    Args:
        options: of the command.
        function: gives the new content, and a judgement.
        check: raises an error for those files of a folder that are not to be taken.
        renamed: the name in the output folder.
        ending: of the files that are written, where it is always the same.
    """
    from ..codecs.batches import attempt
    from ..codecs.endings import check_ending
    from ..codecs.folders import check_regular, in_threads
    from ..codecs.image_io import naming

    def convert(name: str) -> tuple[int, bytes, bool]:
        data = console.read(name)
        with naming(console.shown(name)):
            return len(data), *function(data)

    if not console.is_folder(options.input):
        output = console.placed(options.output, renamed(Path(console.shown(options.input)).name))
        check_ending(output, ending, options.command)
        console.check_output(options.input, output)
        old, made, judged = convert(options.input)
        check_ending(output, ".jpg" if made.startswith(_JPEG) else ending, options.command)
        console.write(output, made)
        return [(output, old, len(made), judged)], None

    run = _run(options, "files", recursive=True, without=options.output).sift(check_regular).sift(check)

    def finish(path: Path, result: tuple[int, bytes, bool]) -> tuple[str, int, int, bool]:
        old, made, judged = result
        output = str(Path(options.output) / renamed(str(path.relative_to(options.input))))
        run.write(output, made)
        return output, old, len(made), judged

    results = in_threads(lambda path: attempt(convert, str(path)), run.inputs, min(os.cpu_count() or 1, 4))
    return list(run.done(console.progress(results, len(run.inputs)), finish)), run


def info(options) -> int:
    """``codeckit info``: what a stream holds."""
    from dataclasses import asdict

    from ..codecs.image_io import naming
    from ..codecs.info import info
    from ..codecs.video import is_video

    data, name = _piped(options.input), console.shown(options.input)
    if is_video(options.input if data is None else data):
        return _print_video(options.input if data is None else data, name, options.json)
    with naming(name):
        found = asdict(info(console.read(options.input) if data is None else data))
    if options.json:
        console.say(json.dumps({**found, "bpp": _or_none(found["bpp"])}))
        return 0
    height, width = found.pop("size")
    rows = {**found, "size": f"{width}×{height}", "bpp": f"{found['bpp']:.4f}", **found["details"]}
    del rows["details"]
    stages = rows.pop("stages", {})
    rows.update({f"stage {role}": stage for role, stage in stages.items()})
    console.print_table([(name, str(value)) for name, value in rows.items()])
    return 0
