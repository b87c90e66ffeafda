"""What the learned video codecs are worth: BD-rates against stills, the teaching codec, x264 and x265, and their speed.

::

    python -m codeckit.bench.studies.learned_video CLIPS --out results.json                          # everything
    python -m codeckit.bench.studies.learned_video CLIPS --out results.json --codecs dvc dcvc        # these alone
    python -m codeckit.bench.studies.learned_video CLIPS --out results.json --codecs dvc:weights=FILE --clips goat
    python -m codeckit.bench.studies.learned_video CLIPS --out results.json --codecs dvc dcvc --speed
    python -m codeckit.bench.studies.learned_video CLIPS --out results.json --codecs               # only the tables

Points are kept in the file as they are measured, each under its codec, clip, GOP, setting, number of frames and the
fingerprint of its weights. A point that is there is not measured again, unless ``--again`` says so. The tables show all
that the file holds, and of each codec the weights that were measured last. A codec that does not exist here or has no
points is "not measured" in the table.

How it is measured:

- Frames are 8-bit RGB. PSNR is that of RGB, a value a frame, mean over all frames, the first one included.
- GOP 32: of 33 frames, the first and the last are intra pictures. GOP 10 on BasketballPass, for DVC's published
  figure.
- Bytes of a codec of the toolkit are those of the whole `.ckt` file: its head, the lengths of its chunks and its
  checksums count. The file is decoded again.
- x264 and x265 run with ``-tune zerolatency``. Their bytes are those of the raw bitstream, without a container and
  without the encoder's notes of its settings. Colours become Y'CbCr 4:2:0 of limited range by BT.601 or BT.709, by
  libswscale with accurate_rnd and full_chroma_int, and come back by the same. Each clip has the conversion that loses
  least; the first table names it (`zerolatency` says why).
- `h264`, `hevc`, `av1` and `vvc` convert as the toolkit does by default: BT.601 of full range, chroma by the filters of
  our JPEG. Where a clip came from 4:2:0 by other filters, this limits their PSNR.
- `balle2017` codes every frame as a still. `cheng2020`, which is slow, codes every fourth, and its rate and PSNR are
  those of these frames.
- BD-rates are computed clip by clip over the range of PSNR that both curves reach (`metrics.bjontegaard`). The table
  has their mean, the number of clips that have a range in common, the mean ends of that range, and its mean share of
  the range that both curves span together.
- Rates at equal PSNR interpolate the logarithm of the rate between two points.
- Speed: frames a second of coding a clip on one thread, best of three runs after a first one, by the clock and by
  processor time; the latter stands where other work shares the machine.
"""

import argparse
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...codecs import registry
from ...codecs.frames import VIDEO_EXTENSIONS, read_video
from ...codecs.image_io import write_atomically
from ...metrics import bd_rate, psnr
from ..tables import markdown
from . import zerolatency
from .variable_rate import rate_at

NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Series:
    """One curve a clip.

    Attributes:
        codec: specification with ``{gop}`` where it has one; ``"x264:PRESET"`` and ``"x265:PRESET"`` for `zerolatency`.
        option: what is swept.
        values: its values.
        every: code one of so many frames.
        learned: whether ``--qualities`` is for it.
    """

    codec: str
    option: str
    values: tuple[int, ...]
    every: int = 1
    learned: bool = False


_QP = (22, 27, 32, 37, 42)
_QP_63 = (25, 32, 39, 46, 53)
_CRF = (14, 18, 22, 26, 30, 34, 38)
_LEARNED = (1, 3, 5, 8)

#: What is measured, fast ones first.
SERIES = {
    "x265-medium": Series("x265:medium", "crf", _CRF),
    "x265-veryfast": Series("x265:veryfast", "crf", _CRF),
    "x264-veryfast": Series("x264:veryfast", "crf", _CRF),
    "balle2017": Series("balle2017", "quality", _LEARNED),
    "video-teaching": Series("video-teaching:gop={gop}", "quality", (5, 15, 35, 60, 80, 90)),
    "h264": Series("h264:gop={gop}", "qp", _QP),
    "hevc": Series("hevc:gop={gop}", "qp", _QP),
    "hevc-low-delay": Series("hevc:gop={gop}:low_delay=true", "qp", _QP),
    "av1": Series("av1:gop={gop}:preset=8", "qp", _QP_63),
    "vvc": Series("vvc:gop={gop}:preset=faster", "qp", _QP),
    "cheng2020": Series("cheng2020", "quality", _LEARNED, every=4),
    "dvc": Series("dvc:gop={gop}", "quality", _LEARNED, learned=True),
    "dcvc": Series("dcvc:gop={gop}", "quality", _LEARNED, learned=True),
    "dvc-learned-motion": Series("dvc:gop={gop}:motion=learned", "quality", _LEARNED, learned=True),
    "dcvc-learned-motion": Series("dcvc:gop={gop}:motion=learned", "quality", _LEARNED, learned=True),
}

#: The clip with a published figure, its GOP there, and the series that are measured with it.
PUBLISHED_CLIP, PUBLISHED_GOP = "basketballpass", 10
PUBLISHED_SERIES = ("x264-veryfast", "x265-veryfast", "x265-medium", "dvc", "dcvc")

#: The other GOP.
GOP = 32


@dataclass(frozen=True)
class Row:
    """What is compared with what."""

    test: str
    anchor: str
    goal: str
    gop: int = GOP


ROWS = (
    Row("dvc", "balle2017", "≤ −50 %"),
    Row("dvc", "cheng2020", "≤ −50 %"),
    Row("dcvc", "balle2017", "≤ −50 %"),
    Row("dcvc", "cheng2020", "≤ −50 %"),
    Row("dvc", "video-teaching", "≤ −40 %"),
    Row("dcvc", "video-teaching", "≤ −40 %"),
    Row("dvc", "x265-medium", "≤ +50 %"),
    Row("dcvc", "x265-medium", ""),
    Row("dvc", "x264-veryfast", "≤ 0 %", PUBLISHED_GOP),
    Row("dcvc", "x264-veryfast", "", PUBLISHED_GOP),
    Row("x265-veryfast", "x264-veryfast", "", PUBLISHED_GOP),
    Row("dcvc", "dvc", "≤ −10 %"),
    Row("dvc-learned-motion", "dvc", "either"),
    Row("dcvc-learned-motion", "dcvc", "either"),
    *(
        Row(test, "x265-medium", "")
        for test in ("x265-veryfast", "x264-veryfast", "hevc-low-delay", "h264", "hevc", "av1", "vvc", "video-teaching")
    ),
)

#: PSNR in dB at which rates are compared with x265's, and what a linear codec needs more than x265 there.
LINEAR = {28.5: "+110 %", 32.0: "+76 %", 36.0: "+28 %"}

PUBLISHED = """\
Published figures of BasketballPass, for orientation alone; not measured here.

- DVC, GOP 10, 100 frames, RGB: BD-rate −0.4 % against x264 veryfast; x265 veryfast there −19.3 % (Lu et al., CVPR 2019,
  supplement, table 1). Mean of class D, the clip among them: 0.142 bpp 28.41 dB, 0.206 29.73, 0.289 31.17, 0.437 32.53.
- VTM 17, low-delay B, one intra picture, all frames, **luma** PSNR: 0.013 bpp 27.6 dB, 0.030 30.7, 0.045 32.3, 0.067
  34.1, 0.107 36.3, 0.271 41.1 (microsoft/DCVC, `anchors/vtm_17.0_yuv420_LB_allf_ip0.json`)."""


@dataclass(frozen=True)
class Point:
    """One measurement: a codec at one setting on a clip."""

    series: str
    weights: str
    clip: str
    gop: int
    value: float
    frames: int
    bytes: int
    bpp: float
    psnr: float

    @property
    def key(self) -> tuple:
        """What a measurement is known by."""
        return self.series, self.weights, self.clip, self.gop, self.value, self.frames


@dataclass(frozen=True)
class Speed:
    """Frames a second of a codec on one thread, by the clock and by processor time."""

    series: str
    weights: str
    clip: str
    size: tuple[int, int]
    value: float
    encode: float
    decode: float
    encode_processor: float
    decode_processor: float


class Results:
    """The file of points: read once, written anew after each."""

    def __init__(self, path: Path):
        self._path = path
        held = json.loads(path.read_text()) if path.exists() else {"conversions": {}, "points": [], "speeds": []}
        self.conversions: dict[str, list] = held["conversions"]
        self.points = {point.key: point for point in (Point(**each) for each in held["points"])}
        self.speeds = {(each["series"], each["weights"]): Speed(**each) for each in held["speeds"]}

    def forget(self, names) -> None:
        """Leave out all points of some series."""
        names = set(names)
        self.points = {key: point for key, point in self.points.items() if point.series not in names}

    def write(self) -> None:
        """Replace the file."""
        held = {
            "conversions": self.conversions,
            "points": [asdict(point) for point in self.points.values()],
            "speeds": [asdict(speed) for speed in self.speeds.values()],
        }
        write_atomically(self._path, json.dumps(held, indent=1).encode())

    def curve(self, series: str, clip: str, gop: int) -> tuple[list[float], list[float]]:
        """bpp and PSNR of a clip's points, of the weights measured last."""
        weights = self.latest.get(series)
        found = [
            p for p in self.points.values() if (p.series, p.weights, p.clip, p.gop) == (series, weights, clip, gop)
        ]
        found.sort(key=lambda point: point.bpp)
        return [point.bpp for point in found], [point.psnr for point in found]

    @property
    def latest(self) -> dict[str, str]:
        """The weights of each series that were measured last."""
        return {point.series: point.weights for point in self.points.values()}

    @property
    def clips(self) -> list[str]:
        """All clips, by name."""
        return sorted({point.clip for point in self.points.values()})


# --- measuring ---


class Clip:
    """A clip, read when it is needed."""

    def __init__(self, path: Path, limit: int | None):
        self.name, self._path, self._limit = path.stem, path, limit

    @cached_property
    def frames(self) -> list[np.ndarray]:
        """uint8 [H,W,3] each."""
        return list(read_video(self._path, limit=self._limit))

    @cached_property
    def fps(self):
        """Frames a second."""
        return read_video(self._path).fps

    @cached_property
    def conversion(self) -> tuple[zerolatency.Conversion, float]:
        """The one for x264 and x265, and the PSNR that it keeps."""
        return zerolatency.best_conversion(self.frames)


def is_zerolatency(series: Series) -> bool:
    """Whether a series is x264's or x265's own."""
    return series.codec.partition(":")[0] in zerolatency.LIBRARIES


def configured(series: Series, options: str, gop: int, value: float):
    """The series' codec; `options` are more of the specification.

    Raises:
        ValueError: it does not exist here, lacks its library, or has no such option.
    """
    name, given = registry.parse_spec(series.codec.format(gop=gop) + options)
    if not series.learned and not registry.entry(name).available:  # learned ones say themselves what they need
        raise ValueError(f"what {name} needs is not installed")
    return registry.codec(name, **given, **{series.option: value})


def fingerprint(codec) -> str:
    """The first digits of a codec's weights' fingerprint; nothing where it has none."""
    return codec.weights.fingerprint.hex()[:16] if codec.weights else ""


def code(codec, frames, fps) -> tuple[int, list[np.ndarray]]:
    """Bytes of the coded frames, and the decoded ones."""
    stream = codec.encode_video(frames, fps=fps)
    return len(stream), list(codec.decode_video(stream))


def code_zerolatency(series: Series, gop: int, crf: float, clip: Clip) -> tuple[int, list[np.ndarray]]:
    """The same by x264 or x265."""
    library, _, preset = series.codec.partition(":")
    conversion, _ = clip.conversion
    pictures = [conversion.to_planes(frame) for frame in clip.frames]
    units = zerolatency.encode(library, preset, crf, gop, pictures, clip.fps)
    return sum(map(len, units)), [conversion.to_rgb(picture) for picture in zerolatency.decode(library, units)]


def measure(name: str, codec, clip: Clip, gop: int, value: float, results: Results) -> Point | None:
    """A point that the results do not hold yet; None if they do. The codec is None for x264 and x265."""
    series = SERIES[name]
    frames = clip.frames[:: series.every]
    key = name, fingerprint(codec) if codec else "", clip.name, gop, value, len(frames)
    if key in results.points:
        return None
    if codec is None:
        conversion, kept = clip.conversion
        results.conversions[clip.name] = [str(conversion), round(kept, 2)]
        size, decoded = code_zerolatency(series, gop, value, clip)
    else:
        size, decoded = code(codec, frames, clip.fps)
    quality = float(np.mean([psnr(frame, image) for frame, image in zip(frames, decoded, strict=True)]))
    pixels = sum(frame.shape[0] * frame.shape[1] for frame in frames)
    return Point(*key, size, 8 * size / pixels, quality)


def plan(names: list[str], clips: list[Clip], qualities: list[int] | None) -> list[tuple]:
    """Every (series, further options, GOP, clip, value) to measure."""
    found = []
    for given in names:
        name, colon, options = given.partition(":")
        series = SERIES[name]
        values = qualities if qualities and series.learned else series.values
        for gop in (GOP, PUBLISHED_GOP):
            for clip in clips:
                if gop == GOP or (clip.name == PUBLISHED_CLIP and name in PUBLISHED_SERIES):
                    found += [(name, colon + options, gop, clip, value) for value in values]
    return found


def measure_all(names, clips, qualities, results: Results, say: Callable[[str], None]) -> None:
    """Measure what is missing; a codec that does not exist here is told of and left out."""
    missing = set()
    for name, options, gop, clip, value in plan(names, clips, qualities):
        series = SERIES[name]
        if name in missing:
            continue
        try:
            codec = None if is_zerolatency(series) else configured(series, options, gop, value)
        except ValueError as error:
            say(f"{name} is left out: {error}")
            missing.add(name)
            continue
        point = measure(name, codec, clip, gop, value, results)
        if point is not None:
            results.points[point.key] = point
            results.write()
            say(f"{name} {series.option}={value:g} GOP {gop}, {clip.name}: {point.bpp:.4f} bpp {point.psnr:.2f} dB")


def measure_speed(names, clip: Clip, results: Results, say: Callable[[str], None]) -> None:
    """The speed of each series at its middle rate, on a clip."""
    for given in names:
        name, colon, options = given.partition(":")
        series = SERIES[name]
        if is_zerolatency(series):
            continue
        value = series.values[len(series.values) // 2]
        try:
            codec = configured(series, colon + options, GOP, value)
        except ValueError as error:
            say(f"{name} is left out: {error}")
            continue
        figures = frames_per_second(codec, clip)
        speed = Speed(name, fingerprint(codec), clip.name, clip.frames[0].shape[:2], value, *figures)
        results.speeds[name, speed.weights] = speed
        results.write()


def frames_per_second(codec, clip: Clip, runs: int = 3) -> tuple[float, ...]:
    """Of encoding and decoding by the clock, and of both by processor time: the best of some runs after a first one."""
    best = np.full((2, 2), math.inf)
    for run in range(runs + 1):
        stream, encoding = _timed(lambda: codec.encode_video(clip.frames, fps=clip.fps))
        _, decoding = _timed(lambda data=stream: list(codec.decode_video(data)))
        if run:
            best = np.minimum(best, (encoding, decoding))
    best = np.maximum(best, 0.01)  # what processor time is counted in
    return tuple((len(clip.frames) / best.T).ravel().tolist())


def _timed(function) -> tuple[Any, tuple[float, float]]:
    """A function's result, and its seconds by the clock and of processor time, with that of child processes."""
    clock, processor = time.perf_counter(), sum(os.times()[:4])
    result = function()
    return result, (time.perf_counter() - clock, sum(os.times()[:4]) - processor)


# --- tables ---


@dataclass(frozen=True)
class Comparison:
    """BD-rates of a row, by clip, each with the shared range of PSNR and its share."""

    row: Row
    clips: dict[str, tuple[float, float, float, float]]

    @property
    def mean(self) -> float:
        """Mean BD-rate in percent."""
        return float(np.mean([value for value, *_ in self.clips.values()]))


def compare(row: Row, results: Results) -> Comparison:
    """BD-rates of the clips where both curves have points and a range of PSNR in common."""
    found = {}
    for clip in results.clips:
        test, anchor = (results.curve(series, clip, row.gop) for series in (row.test, row.anchor))
        if min(len(test[0]), len(anchor[0])) < 2:
            continue
        delta = bd_rate(*anchor, *test)
        if not math.isnan(delta.value):
            low, high = max(min(test[1]), min(anchor[1])), min(max(test[1]), max(anchor[1]))
            found[clip] = delta.value, low, high, delta.overlap
    return Comparison(row, found)


def _signed(value: float) -> str:
    return f"{value:+.1f} %".replace("-", "−")


def main_table(comparisons: list[Comparison]) -> list[list[str]]:
    """The goals with what was measured."""
    rows = [["codec", "against", "GOP", "goal", "BD-rate", "clips", "PSNR, dB", "overlap"]]
    for each in comparisons:
        row = each.row
        cells = [row.test, row.anchor, str(row.gop), row.goal or "–"]
        if each.clips:
            _, low, high, overlap = np.mean(list(each.clips.values()), axis=0)
            cells += [_signed(each.mean), str(len(each.clips)), f"{low:.1f} … {high:.1f}", f"{overlap:.0%}"]
        else:
            cells += [NOT_MEASURED, "–", "–", "–"]
        rows.append(cells)
    return rows


def clips_table(comparisons: list[Comparison], clips: list[str]) -> list[list[str]]:
    """BD-rates clip by clip: a row a comparison."""
    rows = [["codec, against", *clips]]
    for each in comparisons:
        if each.clips:
            cells = [_signed(each.clips[clip][0]) if clip in each.clips else "–" for clip in clips]
            rows.append([f"{each.row.test}, {each.row.anchor}, GOP {each.row.gop}", *cells])
    return rows


def rates_table(results: Results, tests=("dvc", "dcvc"), anchor="x265-medium") -> list[list[str]]:
    """How many more bits than x265 at the same PSNR; means over the clips whose curves both reach it."""
    rows = [[f"rate against {anchor} at", *(f"{decibels:g} dB" for decibels in LINEAR)]]
    rows.append(["a linear codec", *LINEAR.values()])
    for test in tests:
        cells = []
        for decibels in LINEAR:
            ratios = []
            for clip in results.clips:
                curves = [results.curve(series, clip, GOP) for series in (test, anchor)]
                if all(len(rates) > 1 for rates, _ in curves):
                    mine, theirs = (
                        rate_at(decibels, [{"bpp": r, "psnr": q} for r, q in zip(*curve, strict=True)])
                        for curve in curves
                    )
                    ratios += [] if math.isnan(mine / theirs) else [mine / theirs]
            cells.append(f"{_signed(100 * (np.mean(ratios) - 1))} ({len(ratios)} clips)" if ratios else NOT_MEASURED)
        rows.append([test, *cells])
    return rows


def points_table(results: Results) -> list[list[str]]:
    """All points, means over the clips."""
    rows = [["codec", "GOP", "setting", "clips", "bpp", "PSNR, dB"]]
    groups: dict[tuple, list[Point]] = {}
    for point in results.points.values():
        if point.weights == results.latest[point.series]:
            groups.setdefault((point.series, point.gop, point.value), []).append(point)
    order = list(SERIES)
    for (name, gop, value), points in sorted(groups.items(), key=lambda item: (order.index(item[0][0]), *item[0][1:])):
        bpp, quality = (np.mean([getattr(point, field) for point in points]) for field in ("bpp", "psnr"))
        setting = f"{SERIES[name].option}={value:g}"
        rows.append([name, str(gop), setting, str(len(points)), f"{bpp:.4f}", f"{quality:.2f}"])
    return rows


def speeds_table(results: Results) -> list[list[str]]:
    """Frames a second."""
    rows = [["frames/s on one thread", "clip", "size", "setting", "encode", "decode", "encode, processor time",
             "decode, processor time"]]  # fmt: skip
    for speed in results.speeds.values():
        if speed.weights == results.latest.get(speed.series, speed.weights):
            figures = (speed.encode, speed.decode, speed.encode_processor, speed.decode_processor)
            setting, (height, width) = f"{SERIES[speed.series].option}={speed.value:g}", speed.size
            rows.append([speed.series, speed.clip, f"{width}×{height}", setting, *(f"{fps:.1f}" for fps in figures)])
    measured = {row[0] for row in rows[1:]}
    return rows + [[name, "–", "–", "–", *[NOT_MEASURED] * 4] for name in ("dvc", "dcvc") if name not in measured]


def report(results: Results) -> str:
    """All tables as Markdown."""
    comparisons = [compare(row, results) for row in ROWS]
    conversions = [["clip", "colours for x264 and x265", "PSNR kept, dB"]]
    conversions += [[clip, *map(str, found)] for clip, found in sorted(results.conversions.items())]
    tables = [
        conversions,
        main_table(comparisons),
        rates_table(results),
        speeds_table(results),
        clips_table(comparisons, results.clips),
        points_table(results),
    ]
    return "\n\n".join([*(markdown(table) for table in tables), PUBLISHED])


def main(argv=None) -> int:
    """The command."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of clips")
    parser.add_argument("--out", type=Path, required=True, metavar="JSON", help="file of points, made or gone on with")
    parser.add_argument("--codecs", nargs="*", default=list(SERIES), metavar="NAME[:OPTION=VALUE]",
                        help=f"what to measure: {', '.join(SERIES)}")  # fmt: skip
    parser.add_argument("--clips", nargs="+", metavar="NAME", help="of the folder's clips; default: all")
    parser.add_argument("--qualities", nargs="+", type=int, metavar="Q", help="of dvc and dcvc; default: 1 3 5 8")
    parser.add_argument("--frames", type=int, metavar="N", help="of each clip; default: all")
    parser.add_argument("--again", action="store_true", help="measure points of these codecs that the file holds again")
    parser.add_argument("--speed", action="store_true", help="measure the codecs' speed on the first clip as well")
    arguments = parser.parse_args(argv)
    if unknown := [name for name in arguments.codecs if name.partition(":")[0] not in SERIES]:
        parser.error(f"no {', '.join(unknown)}; there are {', '.join(SERIES)}")
    paths = sorted(path for path in arguments.folder.iterdir() if path.suffix in VIDEO_EXTENSIONS)
    clips = [Clip(path, arguments.frames) for path in paths if path.stem in (arguments.clips or [path.stem])]
    if not clips or len(clips) < len(arguments.clips or []):
        parser.error(f"the clips of {arguments.folder} are {', '.join(path.stem for path in paths) or 'none'}")
    torch.set_num_threads(1)
    results = Results(arguments.out)
    if arguments.again:
        results.forget(name.partition(":")[0] for name in arguments.codecs)

    def say(text):
        print(text, flush=True)

    measure_all(arguments.codecs, clips, arguments.qualities, results, say)
    if arguments.speed:
        measure_speed(arguments.codecs, clips[0], results, say)
    print(report(results))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
