"""What the command line takes: commands, their arguments, and the checks of their values."""

import argparse
import contextlib
import math
from collections.abc import Callable
from fractions import Fraction
from typing import NoReturn

from .. import __version__
from . import files, measuring
from .console import one_line


class _Parser(argparse.ArgumentParser):
    """Errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {one_line(message)} (see {self.prog} --help)\n")


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; `run` of what it returns is the function that does the command."""
    parser = _Parser(
        prog="codeckit", description="Encode, decode and compare pictures and videos with classical and learned codecs."
    )
    parser.add_argument("--version", action="version", version=f"codeckit {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    codec_help = "codec, with options behind colons: jpeg, jpeg:subsampling=4:4:4:progressive=true"

    command = commands.add_parser("encode", help="encode an image file, all in a folder, or a video")
    command.add_argument("input", metavar="IN", help="image or video file, or a folder of images; - for stdin")
    command.add_argument(
        "output",
        metavar="OUT",
        help="stream to write, or a folder for it; - for stdout; videos: .ckt, or .mp4, .mkv, .hevc …",
    )
    command.add_argument("--codec", required=True, metavar="NAME", help=codec_help)
    target = command.add_mutually_exclusive_group()
    target.add_argument("--quality", type=_number, metavar="Q", help="on the codec's scale; higher is better")
    target.add_argument(
        "--bpp", type=_positive, metavar="B", help="most bits a pixel that the stream may take; of a video, the mean"
    )
    target.add_argument("--psnr", type=_positive, metavar="P", help="PSNR in dB to reach; of a video, the mean")
    target.add_argument(
        "--accuracy", type=_positive, metavar="A", help="how often a task's answer stays the same, 0 … 1"
    )
    command.add_argument("--task", metavar="T", help="the task for --accuracy; default: imagenet")
    _add_reading(command)
    _add_metadata(command)
    _add_importance(command)
    command.add_argument("--video", action="store_true", help="the folder's images are the frames of a video")
    command.add_argument("--fps", type=_rate, metavar="F", help="frames a second of the video: 25, 29.97, 30000/1001")
    command.add_argument("--size", metavar="WxH", help="size of the frames of a .yuv file")
    command.add_argument(
        "--pixel-format", default="yuv420p", metavar="P", help="samples of a .yuv file: yuv420p, rgb24"
    )
    command.add_argument("--frames", type=_from(1), metavar="N", help="encode the first N frames only")
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    command.set_defaults(run=files.encode)

    command = commands.add_parser("decode", help="decode any stream into an image file, or all in a folder, or a video")
    command.add_argument(
        "input", metavar="IN", help="stream: .ckt, .jpg, .webp, .mp4; or a folder of them; - for stdin"
    )
    command.add_argument(
        "output",
        metavar="OUT",
        help="image file to write; its ending says the format, one without loss (.png, .tif, .webp …), or .npz for "
        "tokens; a folder, for .png files; - for stdout",
    )
    _add_reading(command)
    _add_metadata(command)
    command.add_argument(
        "--frames", type=_range, metavar="A:B", help="of a video, frames A up to but not B, from 0; or A alone"
    )
    command.add_argument(
        "--partial", action="store_true", help="decode what is there of a stream that is cut or damaged"
    )
    command.add_argument("--max-pixels", type=_from(1), metavar="N", help="largest picture to accept")
    command.add_argument("--weights", metavar="FILE", help="weight file that a learned stream was made with")
    command.add_argument("--device", default="cpu", metavar="D", help="where networks run: cpu (default), cuda")
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    command.set_defaults(run=files.decode)

    for name, what, run in (
        ("repack", "make JPEG files smaller without loss; `unpack` restores them to the bit", files.repack),
        ("unpack", "restore the files that `repack` was given", files.unpack),
    ):
        command = commands.add_parser(name, help=what)
        source = ".jpg file" if name == "repack" else ".ckt file that `repack` wrote"
        command.add_argument(
            "input", metavar="IN", help=f"{source}, or a folder: all in it and its folders; - for stdin"
        )
        command.add_argument("output", metavar="OUT", help="file to write, or folder; - for stdout")
        command.add_argument("--json", action="store_true", help="print the result as JSON")
        command.set_defaults(run=run)

    command = commands.add_parser("info", help="tell what a stream holds")
    command.add_argument("input", metavar="FILE", help="- for stdin")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=files.info)

    command = commands.add_parser("codecs", help="list the codecs")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=measuring.codecs)

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
    command.add_argument("--metrics", type=_names, default="psnr,ms-ssim", metavar="M,M", help="default: psnr,ms-ssim")
    command.add_argument(
        "--tasks",
        default="",
        metavar="T,T",
        help="what machines make of the pictures: detect, read, faces, match, retrieve; labelled: imagenet, …",
    )
    command.add_argument("--anchor", metavar="NAME", help="codec that BD-rates refer to")
    command.add_argument("--jobs", type=_workers, default=1, metavar="N", help="worker processes; -1 for one a core")
    command.add_argument(
        "--executor", default="local", metavar="E", help="local (default), dask, ray, or dask:ADDRESS, ray:ADDRESS"
    )
    _add_reading(command)
    _add_importance(command)
    command.add_argument(
        "--out", type=_path, required=True, metavar="DIR", help="folder for records, tables, plots and the report"
    )
    command.add_argument("--keep", action="store_true", help="keep every stream in DIR/streams")
    command.add_argument("--json", action="store_true", help="print the results as JSON instead of tables")
    command.set_defaults(run=measuring.compare)

    command = commands.add_parser("sweep", help="measure codecs on any number of pictures, records as Parquet")
    command.add_argument(
        "images", nargs="+", metavar="IMAGES", help="folders, webdataset shards ('train-{000..099}.tar'), s3:// …"
    )
    command.add_argument("--codecs", required=True, metavar="A,B,C", help=codec_help)
    command.add_argument("--qualities", type=_numbers, metavar="Q,Q,…", help="default: a spread over each scale")
    command.add_argument("--metrics", type=_names, default="psnr", metavar="M,M", help="default: psnr")
    command.add_argument("--tasks", default="", metavar="T,T", help="tasks to measure, as for compare")
    command.add_argument("--anchor", metavar="NAME", help="codec that BD-rates refer to")
    command.add_argument("--executor", default="local", metavar="E", help="local, dask, ray, dask:ADDRESS, ray:ADDRESS")
    command.add_argument("--jobs", type=_workers, default=1, metavar="N", help="worker processes; -1 for one a core")
    _add_reading(command)
    command.add_argument("--part", type=_from(1), default=1000, metavar="N", help="pictures of a part (default 1000)")
    command.add_argument(
        "--out", type=_path, required=True, metavar="DIR", help="folder for records and the report of the means"
    )
    command.set_defaults(run=measuring.sweep)

    command = commands.add_parser("explain", help="show on a page what codecs do to a picture or a video")
    command.add_argument("image", metavar="IMAGE", help="image or video file, 'sample:NAME', or 'clips:NAME'")
    command.add_argument("--codec", required=True, metavar="A[,B]", help=codec_help + "; two stand side by side")
    command.add_argument("--quality", type=_number, metavar="Q", help="of every codec that names none itself")
    command.add_argument("--frames", type=_from(1), metavar="N", help="take the first N frames of a video only")
    command.add_argument("--shown", type=_from(1), metavar="N", help="frames of a video to show in full (default 8)")
    _add_reading(command)
    _add_importance(command)
    command.add_argument(
        "--out", type=_path, required=True, metavar="PAGE", help="HTML file to write; it needs nothing else"
    )
    command.set_defaults(run=measuring.explain)

    command = commands.add_parser("lab", help="a web app on this machine: a picture, two codecs, and what they do")
    command.add_argument("--port", type=_port, default=0, metavar="P", help="default: one that is free")
    command.set_defaults(run=measuring.lab)

    command = commands.add_parser("train", help="train the weights of a learned codec (docs/training.md)")
    command.add_argument(
        "recipe", metavar="RECIPE", help="balle2017-small, cheng2020-small, … (docs/training.md), or a network's name"
    )
    command.add_argument(
        "--data", required=True, metavar="PACK", help="what training.data or training.sequences packed"
    )
    command.add_argument(
        "--out", type=_path, required=True, metavar="DIR", help="folder for checkpoint, weights and log"
    )
    command.add_argument("--resume", action="store_true", help="go on from the checkpoint in DIR, if there is one")
    command.add_argument("--start", metavar="WEIGHTS", help="weights to begin with, of an earlier run")
    command.add_argument("--minutes", type=_positive, metavar="M", help="stop and save after this time")
    command.add_argument("--quality", type=int, metavar="Q", help="of a network of one rate; default: the middle")
    command.add_argument("--small", action="store_true", help="the size for tests, if it has one")
    command.add_argument("--steps", type=_from(1), metavar="N", help="length of the training; default: the recipe's")
    command.add_argument("--seed", type=_from(0), metavar="K", help="of all random numbers; default: the recipe's")
    command.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1; default: a GPU if there is one")
    command.add_argument("--bfloat16", action="store_true", help="half precision on a CPU, too, if it is fast there")
    command.add_argument("--no-compile", action="store_true", help="run the network as it is, also on a GPU")
    command.add_argument("--json", action="store_true", help="print the last validation as JSON")
    command.set_defaults(run=measuring.train)
    return parser


def _add_reading(command: argparse.ArgumentParser) -> None:
    """The options that say how pictures are read."""
    command.add_argument("--background", metavar="COLOUR", help="blend transparent pixels onto it: white, '#8090a0'")
    command.add_argument("--depth", type=_from(1), metavar="8", help="take the upper 8 bits of deeper samples")
    command.add_argument("--frame", type=_from(0), metavar="N", help="the one to take of several frames, from 0")


def _add_importance(command: argparse.ArgumentParser) -> None:
    """The options that say where errors count more."""
    what = "where errors count more: 'roi:x,y,w,h' in pixels, several behind ';', attention, or a grey picture as a map"
    command.add_argument("--importance", metavar="WHERE", help=what)
    strength = "how much: octaves of weight between nothing and the most, 0 … 16 (default 4)"
    command.add_argument("--strength", type=_number, metavar="S", help=strength)


def _add_metadata(command: argparse.ArgumentParser) -> None:
    what = "keep the colour profile (default), or Exif, XMP and comment too, or drop all and convert to sRGB"
    command.add_argument("--metadata", choices=["color", "keep", "drop"], help=what)


def _number(text: str) -> int | float:
    """A number, an int where it is a whole one of few digits."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    return int(value) if value.is_integer() and abs(value) < 1e15 else value


def _numbers(text: str) -> list[int | float]:
    return [_number(part) for part in text.split(",")]


def _path(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("a path is empty")
    return text


def _names(text: str) -> str:
    if not text.strip(", "):
        raise argparse.ArgumentTypeError(f"{text!r} names none")
    return text


def _positive(text: str) -> float:
    value = _number(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _rate(text: str) -> Fraction:
    """Frames a second, as a decimal or a fraction."""
    with contextlib.suppress(ValueError, ZeroDivisionError):
        if 0 < (value := Fraction(text)) <= 1000:
            return value
    raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 and up to 1000")


def _range(text: str) -> slice | int:
    """Numbers of frames: ``"100:120"``, ``"100:"``, ``":20"``, ``"-1"`` for the last one.

    >>> _range("100:120"), _range("7")
    (slice(100, 120, None), 7)
    """
    first, colon, last = text.partition(":")
    with contextlib.suppress(ValueError):
        if not colon:
            return int(first)
        return slice(int(first) if first else None, int(last) if last else None)
    raise argparse.ArgumentTypeError(f"{text!r} is not the number of a frame, or a range of them such as 100:120")


def _from(least: int) -> Callable[[str], int]:
    """Reads whole numbers from `least` on."""

    def whole(text: str) -> int:
        value = _number(text)
        if not isinstance(value, int) or value < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
        return value

    return whole


def _workers(text: str) -> int:
    return -1 if text == "-1" else _from(1)(text)


def _port(text: str) -> int:
    value = _from(0)(text)
    if value > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, 0 to 65535")
    return value
