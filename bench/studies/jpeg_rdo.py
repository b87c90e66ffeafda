"""The JPEG encoder's rate-distortion search against other JPEG encoders, on the Kodak photographs.

::

    python -m codeckit.bench.studies.jpeg_rdo KODAK_FOLDER --out results

encodes the pictures with `jpeg` at effort 9, tuned for PSNR and for MS-SSIM, with Pillow's default JPEG, with MozJPEG
(trellis, optimised scans; flat tables, its best for PSNR; tables 2 and 3 for MS-SSIM; 4:2:0 and 4:4:4) and with jpegli,
decodes every file with libjpeg-turbo or our decoder (which agree), and prints BD-rates of ours against each. A rival's
best setting for a metric is the one against which our gain is smallest.

`--efforts` measures others too; the journal in `--out` keeps what is done. Needs `codeckit[mozjpeg,jpegli]`.
"""

import argparse
from pathlib import Path

from ...codecs import registry
from ...metrics import bd_rate
from ..datasets import dataset
from ..report import compare
from ..sweep import evaluate
from ..tables import align

#: Qualities of ours; rivals' reach as far, on their own scales.
QUALITIES = (5, 10, 20, 35, 55, 75, 88)
RIVAL_QUALITIES = (5, 15, 30, 50, 75, 85, 90, 95)

RIVALS = (
    ("libjpeg", {}),
    *(
        ("mozjpeg", {"tables": tables, "subsampling": sampling})
        for tables in (1, 2, 3)
        for sampling in ("4:2:0", "4:4:4")
    ),
    ("jpegli", {}),
)


def measure(images, efforts, out, jobs: int = 1):
    """Curves of ours and of the rivals: a `Report`."""
    codecs = [registry.codec(name, quality=q, **options) for name, options in RIVALS for q in RIVAL_QUALITIES]
    for effort in efforts:
        for tune in ("psnr", "ms-ssim"):
            codecs += [registry.codec("jpeg", quality=q, effort=effort, tune=tune) for q in QUALITIES]
    return compare(evaluate(codecs, images, jobs=jobs, out=Path(out) / "journal.jsonl", progress=True))


def table(curves) -> list[list[str]]:
    """Rows, heading first: BD-rates of our curves against every other."""
    ours = [curve for curve in curves if curve.label.startswith("jpeg (")]
    rows = [["codec", "against", "BD-rate PSNR", "overlap", "BD-rate MS-SSIM", "overlap"]]
    for curve in ours:
        for rival in curves:
            if rival in ours:
                continue
            cells = [curve.label, rival.label]
            for metric in ("psnr", "ms-ssim"):
                result = bd_rate(*rival.rate_and_quality(metric), *curve.rate_and_quality(metric))
                cells += [f"{result.value:+.1f} %" if result.overlap else "–", f"{result.overlap:.0%}"]
            rows.append(cells)
    return rows


def main(argv=None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="folder of photographs")
    parser.add_argument("--efforts", type=int, nargs="+", default=[9], help="efforts of ours")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    parser.add_argument("--out", default="results", metavar="DIR", help="folder for the journal")
    arguments = parser.parse_args(argv)
    report = measure(dataset(arguments.folder), arguments.efforts, arguments.out, arguments.jobs)
    print(align(report.points_table()), align(table(report.curves)), sep="\n\n")


if __name__ == "__main__":
    main()
