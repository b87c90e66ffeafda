"""What rate-distortion optimised quantization gains in the learned codecs whose weights ship.

::

    python -m codeckit.bench.studies.learned_rdo KODAK_FOLDER --codecs balle2017 --out results
    python -m codeckit.bench.studies.learned_rdo KODAK_FOLDER --codecs cheng2020 --effort 4 --qualities 1,4,8 --images 4

codes the photographs at some qualities with effort 0 and with `--effort`, decodes the files, and prints BD-rates of the
second curve against the first, with the overlap of their ranges of quality. `--images N` takes every so many of them
until there are N.
"""

import argparse
from pathlib import Path

from ...codecs import registry
from ...metrics import bd_rate
from ..datasets import dataset
from ..report import compare
from ..sweep import evaluate
from ..tables import align


def measure(specification: str, images, qualities, effort: int, out) -> tuple[list[list[str]], list[list[str]]]:
    """The points, and a row of BD-rates for PSNR and MS-SSIM; headings first."""
    name, options = registry.parse_spec(specification)
    codecs = [registry.codec(name, quality=q, effort=level, **options) for level in (0, effort) for q in qualities]
    report = compare(evaluate(codecs, images, out=Path(out) / f"rdo-{name}.jsonl", progress=True))
    plain, searched = sorted(report.curves, key=lambda curve: f"effort {effort}" in curve.label)
    row = [name, str(effort)]
    for metric in ("psnr", "ms-ssim"):
        result = bd_rate(*plain.rate_and_quality(metric), *searched.rate_and_quality(metric))
        row += [f"{result.value:+.1f} %", f"{result.overlap:.0%}"]
    return report.points_table(), [["codec", "effort", "BD-rate PSNR", "overlap", "BD-rate MS-SSIM", "overlap"], row]


def main(argv=None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="folder of photographs")
    parser.add_argument(
        "--codecs",
        default="balle2017,cheng2020",
        help="names, such as balle2017 or balle2017:weights=FILE, with commas between",
    )
    parser.add_argument("--qualities", default="1,3,5,8", help="qualities, with commas between")
    parser.add_argument("--effort", type=int, default=8, help="rounds of the search")
    parser.add_argument("--images", type=int, help="how many pictures; default: all")
    parser.add_argument("--out", default="results", metavar="DIR", help="folder for the journals")
    arguments = parser.parse_args(argv)
    images = list(dataset(arguments.folder))
    images = images[:: len(images) // (arguments.images or len(images))][: arguments.images]
    qualities = [int(quality) for quality in arguments.qualities.split(",")]
    for name in arguments.codecs.split(","):
        for rows in measure(name, images, qualities, arguments.effort, arguments.out):
            print(align(rows), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
