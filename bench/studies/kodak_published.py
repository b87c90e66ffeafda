"""Do we measure what others measure? Library codecs on the Kodak set, against means measured elsewhere.

::

    python -m codeckit.bench.studies.kodak_published KODAK_FOLDER

codes the 24 Kodak photographs (768×512, PNG) at eight qualities and prints our means beside the published ones. They
must agree in all printed digits: the encoders are the same (libjpeg-turbo and libwebp through Pillow), so a difference
means that rate or distortion is computed in another way. (Where a library has changed since, its row shows it.)

The rows of `jpeg2000` are compression ratios (24 / bpp), at which OpenJPEG is told to cut.

Sources of the means: WebP from CompressAI (``results/image/kodak/webp.json``, Pillow 7.1.2). JPEG and JPEG 2000 from a
measurement with Pillow 13 by another script; CompressAI's ``jpeg.json`` (Pillow 7.1.2) lies within 0.01 bpp and 0.14 dB
of it.
"""

import argparse
from dataclasses import dataclass

from ...codecs import registry
from ..curves import curve_label
from ..datasets import dataset
from ..sweep import evaluate
from ..tables import align


@dataclass(frozen=True)
class Published:
    """One published curve.

    Attributes:
        codec, options: the codec here that should equal it.
        points: (quality, bpp, PSNR, MS-SSIM) rows.
        swept: the option whose values stand first in the rows.
    """

    codec: str
    options: tuple[tuple[str, object], ...]
    points: tuple[tuple[int, float, float, float], ...]
    swept: str = "quality"


CURVES = (
    Published(
        "libjpeg",
        (),
        (
            (5, 0.22115, 23.85222, 0.80708),
            (15, 0.42310, 28.14478, 0.92756),
            (30, 0.65979, 30.49147, 0.96315),
            (50, 0.90552, 32.17382, 0.97688),
            (75, 1.36760, 34.52213, 0.98664),
            (85, 1.85652, 36.46154, 0.99104),
            (90, 2.34632, 38.03397, 0.99329),
            (95, 3.39192, 40.56041, 0.99567),
        ),
    ),
    Published(
        "libjpeg",
        (("optimize", True), ("progressive", True)),
        (
            (5, 0.15427, 23.85222, 0.80708),
            (15, 0.36949, 28.14478, 0.92756),
            (30, 0.61500, 30.49147, 0.96315),
            (50, 0.86484, 32.17382, 0.97688),
            (75, 1.31531, 34.52213, 0.98664),
            (85, 1.76776, 36.46154, 0.99104),
            (90, 2.20697, 38.03397, 0.99329),
            (95, 3.11699, 40.56041, 0.99567),
        ),
    ),
    Published(
        "libjpeg",
        (("subsampling", "4:4:4"), ("optimize", True), ("progressive", True)),
        (
            (5, 0.20401, 23.99943, 0.80755),
            (15, 0.43426, 28.46432, 0.93135),
            (30, 0.70902, 30.90951, 0.96789),
            (50, 0.99894, 32.68374, 0.98131),
            (75, 1.54013, 35.19967, 0.99020),
            (85, 2.11132, 37.35338, 0.99411),
            (90, 2.65484, 39.15735, 0.99594),
            (95, 3.81058, 42.30123, 0.99774),
        ),
    ),
    Published(
        "webp",
        (),
        (
            (5, 0.23442, 28.32842, 0.92574),
            (15, 0.35286, 29.82085, 0.94850),
            (30, 0.51271, 31.44262, 0.96417),
            (50, 0.72182, 33.23755, 0.97506),
            (75, 0.99839, 35.10417, 0.98321),
            (85, 1.52008, 37.77826, 0.99017),
            (90, 2.01035, 39.55695, 0.99327),
            (95, 2.92848, 41.75925, 0.99598),
        ),
    ),
    Published(
        "jpeg2000",
        (),
        (
            (160, 0.14931, 27.52084, 0.89988),
            (80, 0.29930, 29.93765, 0.93956),
            (40, 0.59909, 33.06299, 0.96831),
            (24, 0.99820, 35.97839, 0.98259),
            (16, 1.49807, 38.65435, 0.99013),
            (10, 2.39817, 42.26782, 0.99558),
        ),
        "ratio",
    ),
)


def compare_to_published(images, curves=CURVES, jobs: int = 1, out=None) -> tuple[list[list[str]], tuple[float, ...]]:
    """Measure the published points again.

    Returns:
        Rows of a table, heading first, and the largest absolute differences in bpp, PSNR and MS-SSIM.
    """
    points = [
        (registry.codec(curve.codec, **{curve.swept: value}, **dict(curve.options)), value, published)
        for curve in curves
        for value, *published in curve.points
    ]
    means = evaluate([codec for codec, _, _ in points], images, jobs=jobs, out=out).summary()
    rows = [["codec", "quality", "bpp", "published", "PSNR", "published", "MS-SSIM", "published"]]
    largest = [0.0, 0.0, 0.0]
    for (codec, value, published), mean in zip(points, means, strict=True):
        ours = mean.bpp, mean.values["psnr"], mean.values["ms-ssim"]
        cells = [f"{value:.5f}" for pair in zip(ours, published, strict=True) for value in pair]
        rows.append([curve_label(codec.name, codec.setting), str(value), *cells])
        largest = [max(most, abs(a - b)) for most, a, b in zip(largest, ours, published, strict=True)]
    return rows, tuple(largest)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Measure library codecs on Kodak against published means.")
    parser.add_argument("folder", help="folder of the 24 Kodak photographs")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    parser.add_argument("--out", help="journal that keeps finished jobs")
    arguments = parser.parse_args()
    images = dataset(arguments.folder)
    if len(images) != 24:
        parser.error(f"the Kodak set has 24 pictures; {arguments.folder} holds {len(images)}")
    rows, (bpp, psnr, similarity) = compare_to_published(images, jobs=arguments.jobs, out=arguments.out)
    print(align(rows))
    print(f"\nlargest difference: {bpp:.5f} bpp, {psnr:.5f} dB, MS-SSIM {similarity:.5f}")


if __name__ == "__main__":
    main()
