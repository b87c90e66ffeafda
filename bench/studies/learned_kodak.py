"""The learned codecs whose weights ship, on the Kodak photographs: BD-rates and the plot of the README.

::

    python -m codeckit.bench.studies.learned_kodak KODAK_FOLDER --anchors ANCHORS --out results
    python -m codeckit.bench.studies.learned_kodak KODAK_FOLDER --anchors ANCHORS --out new --weights new.safetensors
    python -m codeckit.bench.studies.learned_kodak KODAK_FOLDER --anchors ANCHORS --out plain --entropy LatentCoded
    python -m codeckit.bench.studies.learned_kodak KODAK_FOLDER --anchors ANCHORS --out rdo --effort 8 --qualities 1 5

codes the 24 photographs at the qualities 1 … 8 with `balle2017` and `cheng2020`, and beside them with the library
codecs that are there, writes every file, decodes it again, and prints BD-rates for PSNR and MS-SSIM (the latter on its
decibel scale), each with the overlap of the two curves. Where the curves share no range of quality there is no figure.

ANCHORS is a folder of CompressAI's published results, the JSON files of ``results/image/kodak`` in its repository.
They are means over the same 24 photographs; their rates leave out the file headers. JPEG is measured, with libjpeg's
defaults (4:2:0).

In ``results``: ``rd.png`` and ``rd.svg``, ``report.md``, ``results.json``, ``bd-rates.txt``, and journals with which a
run that was stopped goes on. `--weights` measures other weight files than those that ship, `--entropy LatentCoded` the
same symbols coded with the networks' own probabilities and nothing else, `--effort` symbols that the encoder searches.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from ...codecs import registry
from ...codecs.learned.weights import read_header, shipped
from ...metrics import bd_rate
from ...primitives.stage import stage_class
from ..curves import Curve
from ..datasets import dataset
from ..records import Measurements, Summary
from ..report import Report, compare
from ..sweep import evaluate
from ..tables import align

#: Pictures in the Kodak set.
PICTURES = 24

#: Qualities of the library codecs, those of CompressAI's JPEG results.
LIBRARY_QUALITIES = (5, 15, 30, 50, 75, 85, 90, 95)
LIBRARIES = ("libjpeg", "webp", "jpeg2000", "avif")

#: Published curves: label and file.
PUBLISHED = {
    "bmshj2018-factorized (CompressAI)": "compressai-bmshj2018-factorized_mse_cuda.json",
    "cheng2020-anchor (CompressAI)": "compressai-cheng2020-anchor_mse_cuda.json",
    "BPG 4:4:4 (published)": "bpg_444_x265_ycbcr.json",
}

#: The curve that each of ours is to be compared with first, and those with which all are.
RIVALS = {
    "balle2017": "bmshj2018-factorized (CompressAI)",
    "cheng2020": "cheng2020-anchor (CompressAI)",
}
EVERYWHERE = ("libjpeg", "BPG 4:4:4 (published)")


def published_curve(label: str, path, images: tuple[str, ...]) -> Curve:
    """A published curve over these images.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no file of CompressAI's results.
    """
    try:
        results = json.loads(Path(path).read_text(encoding="utf-8"))["results"]
        columns = zip(*(results[name] for name in ("bpp", "psnr-rgb", "ms-ssim-rgb")), strict=True)
        points = [
            Summary(label, {}, images, bpp, float("nan"), float("nan"), {"psnr": psnr, "ms-ssim": similarity})
            for bpp, psnr, similarity in columns
        ]
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no file of CompressAI's results: {error!r}") from error
    return Curve(label, tuple(sorted(points, key=lambda point: point.bpp)))


def measure_learned(images, header, arguments) -> Measurements:
    """A weight file at some qualities; the journal bears its fingerprint, so that other weights start anew."""
    low, high = header.quality
    entropy, effort = arguments.entropy, arguments.effort
    codecs = []
    for quality in arguments.qualities or range(low, high + 1):
        codec = registry.codec(header.architecture, quality=quality, weights=header.path, effort=effort)
        codec = codec.replace(entropy=stage_class(entropy)())
        codecs.append(replace(codec, setting={"quality": quality}))
    journal = Path(arguments.out) / f"{header.fingerprint.hex()}-{entropy}-{effort}.jsonl"
    return evaluate(codecs, images, jobs=arguments.jobs, out=journal, progress=True)


def bd_table(curves: list[Curve]) -> list[list[str]]:
    """Rows of the table of BD-rates, heading first: ours against their rivals."""
    known = {curve.label: curve for curve in curves}
    rows = [["codec", "against", "BD-rate PSNR", "overlap", "BD-rate MS-SSIM", "overlap"]]
    for name in RIVALS.keys() & known.keys():
        for rival in (RIVALS[name], *EVERYWHERE):
            if rival not in known:
                continue
            cells = [name, rival]
            for metric in ("psnr", "ms-ssim"):
                result = bd_rate(*known[rival].rate_and_quality(metric), *known[name].rate_and_quality(metric))
                cells += [f"{result.value:+.1f} %" if result.overlap else "–", f"{result.overlap:.0%}"]
            rows.append(cells)
    return [rows[0], *sorted(rows[1:])]


def main(argv=None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kodak", help="folder of the 24 Kodak photographs")
    parser.add_argument("--anchors", required=True, metavar="DIR", help="folder of CompressAI's Kodak results")
    parser.add_argument("--out", default="results", metavar="DIR", help="folder for report, plots and journal")
    parser.add_argument("--weights", nargs="+", default=[], metavar="FILE", help="weight files; default: what ships")
    parser.add_argument(
        "--entropy", choices=("LatentMixed", "LatentCoded"), default="LatentMixed", help="entropy stage"
    )
    parser.add_argument("--qualities", nargs="+", type=int, default=[], metavar="Q", help="default: all whole ones")
    parser.add_argument("--effort", type=int, default=0, help="rounds of the encoder's search")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    arguments = parser.parse_args(argv)
    images = dataset(arguments.kodak)
    if len(images) != PICTURES:
        parser.error(f"the Kodak set has {PICTURES} pictures; {arguments.kodak} holds {len(images)}")
    registered = {entry.name for entry in registry.list_codecs()}
    libraries = [
        registry.codec(name, quality=quality)
        for name in LIBRARIES
        if name in registered
        for quality in LIBRARY_QUALITIES
    ]
    table = Measurements()
    for header in [read_header(path) for path in arguments.weights] or shipped():
        if header.architecture in RIVALS:
            table += measure_learned(images, header, arguments)
    table += evaluate(libraries, images, jobs=arguments.jobs, out=Path(arguments.out) / "journal.jsonl", progress=True)
    measured = compare(table, anchor="libjpeg")
    published = [
        published_curve(label, Path(arguments.anchors) / file, measured.curves[0].points[0].images)
        for label, file in PUBLISHED.items()
    ]
    curves = [*measured.curves, *published]
    notes = ("Published curves are means over the same photographs; their rates leave out file headers.",)
    report: Report = replace(measured, curves=tuple(curves), deltas=(), notes=notes)
    report.write(arguments.out)
    rows = bd_table(curves)
    path = Path(arguments.out) / "bd-rates.txt"
    path.write_text(align(rows) + "\n", encoding="utf-8")
    print(align(report.points_table()), align(rows), *notes, sep="\n\n")


if __name__ == "__main__":
    main()
