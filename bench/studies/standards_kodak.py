"""Do the standards behave as published? Library codecs and our JPEG 2000 on the Kodak set, against known figures.

::

    python -m codeckit.bench.studies.standards_kodak KODAK_FOLDER --out journal.jsonl

prints four comparisons, each with the figure that it should come to:

- OpenJPEG at 2.40 bpp: 42.27 dB (measured with Pillow 13 by another script: 42.2678 at 2.39817).
- HEVC 4:4:4 intra (x265) against BPG's published curve, BD-rate. BPG is x265 in another file format.
- VVC intra (VVenC) against HEVC 4:2:0 intra (x265), both here.
- `jpeg2000-teaching` against OpenJPEG.

A BD-rate is given twice: of the curves of means, as everybody does, and the mean of the pictures' own BD-rates. The two
differ where codecs spread their bits over the pictures in different ways: OpenJPEG is told a *size* for each picture, a
quantizer's step a *quality*. Means of decibels favour the former, so only the second compares the coding itself.

Source of BPG's curve: CompressAI, ``results/image/kodak/bpg_444_x265_ycbcr.json`` (BPG 0.9.8, x265, 8 bits, 4:4:4).
"""

import argparse
import statistics

from ...codecs import registry
from ...metrics import bd_rate
from ..curves import curve_label
from ..datasets import dataset
from ..sweep import evaluate
from ..tables import align

#: (bpp, PSNR) of BPG 4:4:4.
BPG = (
    (0.067768, 26.19513), (0.161023, 28.68155), (0.351554, 31.59466), (0.684697, 34.85747),
    (1.199665, 38.25989), (1.929712, 41.47888), (3.057876, 44.70311), (4.703143, 47.63252),
)  # fmt: skip

#: Curves by name: codec specification, its option that is swept, and the values.
CURVES = {
    "openjpeg": ("jpeg2000", "ratio", [24 / bpp for bpp in (2.4, 1.5, 1.0, 0.6, 0.3, 0.15)]),
    "teaching": ("jpeg2000-teaching", "quality", [64, 56, 48, 40, 32, 24]),
    "hevc444": ("hevc:subsampling=4:4:4", "qp", [17, 22, 27, 32, 37, 42]),
    "hevc420": ("hevc", "qp", [22, 27, 32, 37]),
    "vvc": ("vvc", "qp", [22, 27, 32, 37]),
}

#: What is compared: test curve, anchor curve, the goal in percent.
COMPARISONS = (
    ("hevc444", "BPG", "within ±8"),
    ("vvc", "hevc420", "at most −15"),
    ("teaching", "openjpeg", "at most +10"),
)


def measure(images, names, out=None, jobs=1) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """(bpp, PSNR) points of the named curves, for each picture and, under the empty name, for the means."""
    curves = {}
    for name in names:
        specification, option, values = CURVES[name]
        codec, options = registry.parse_spec(specification)
        settings = [registry.codec(codec, **{**options, option: value}) for value in values]
        table = evaluate(settings, images, ["psnr"], out=out, jobs=jobs)
        points = {"": [(mean.bpp, mean.values["psnr"]) for mean in table.summary()]}
        for record in table:
            points.setdefault(record.image, []).append((record.bpp, record.values["psnr"]))
        curves[name] = points
        rows = [[curve_label(codec, options), option, "bpp", "PSNR"]]
        rows += [
            ["", f"{value:g}", f"{bpp:.4f}", f"{psnr:.3f}"]
            for value, (bpp, psnr) in zip(values, points[""], strict=True)
        ]
        print(align(rows), flush=True)
    return curves


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Measure the standards' codecs on Kodak against known figures.")
    parser.add_argument("folder", help="folder of the Kodak photographs")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    parser.add_argument("--out", help="journal that keeps finished jobs")
    parser.add_argument("--curves", default=",".join(CURVES), help=f"only these of {','.join(CURVES)}")
    arguments = parser.parse_args()
    curves = measure(dataset(arguments.folder), arguments.curves.split(","), arguments.out, arguments.jobs)
    curves["BPG"] = {"": list(BPG)}
    rows = [["BD-rate PSNR, percent", "of means", "mean of pictures'", "goal"]]
    for test, anchor, goal in COMPARISONS:
        if test not in curves or anchor not in curves:
            continue
        of_means = bd_rate(*zip(*curves[anchor][""], strict=True), *zip(*curves[test][""], strict=True))
        own = [
            bd_rate(*zip(*curves[anchor][image], strict=True), *zip(*points, strict=True)).value
            for image, points in curves[test].items()
            if image and image in curves[anchor]
        ]
        mean = f"{statistics.mean(own):+.1f}" if own else "–"
        rows.append([f"{test} against {anchor}", f"{of_means.value:+.1f}", mean, goal])
    print("\n" + align(rows))


if __name__ == "__main__":
    main()
