"""Our JPEG codec against libjpeg-turbo: speed, file size and PSNR at equal settings, in one run on one thread.

    python -m codeckit.bench.studies.jpeg_speed                         # on the photographs that scikit-image ships
    python -m codeckit.bench.studies.jpeg_speed --images ~/kodak --qualities 50 75 90 --repeats 7

For every quality, 4:2:0 and optimised Huffman tables, over all images:

* ``encode``, ``decode``: megapixels a second of ours and of Pillow's (``optimize=True``), and our share of its speed.
  Pixels are in memory as arrays before and after. Each image counts with the median of its repeats, after one warm-up
  of everything; ours and Pillow's take turns, so that a busy machine slows both. Both decode the same file, Pillow's.
* ``size``: bytes of all our files over bytes of Pillow's; below 1 is smaller.
* ``PSNR``: ours minus Pillow's in dB, the mean over images, both decoded by Pillow; over all RGB samples.
"""

import argparse
import io
import os
import sys
import time

import numpy as np
from PIL import Image

from ... import codec, decode
from ...metrics import psnr
from ..datasets import dataset

#: What numpy's linear algebra reads when it is loaded.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


def pillow_encode(image: np.ndarray, quality: int) -> bytes:
    """The same settings by libjpeg-turbo."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, "jpeg", quality=quality, subsampling="4:2:0", optimize=True)
    return out.getvalue()


def pillow_decode(data: bytes) -> np.ndarray:
    """uint8 [H,W,3] by libjpeg-turbo."""
    return np.asarray(Image.open(io.BytesIO(data)))


def medians(functions, repeats: int) -> list[float]:
    """Median time in seconds of each function, called in turns `repeats` times after one warm-up."""
    times = [[] for _ in functions]
    for repeat in range(repeats + 1):
        for function, taken in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            if repeat:
                taken.append(time.perf_counter() - start)
    return [float(np.median(taken)) for taken in times]


def measure(images, quality: int, repeats: int) -> dict[str, float]:
    """One row of the table: speeds in MP/s of ours and Pillow's, size ratio, PSNR difference in dB."""
    ours = codec("jpeg", quality=quality, subsampling="4:2:0", optimize=True)
    seconds, sizes, differences = np.zeros(4), np.zeros(2), []
    for image in images:
        own, reference = ours.encode(image), pillow_encode(image, quality)
        calls = [
            lambda image=image: ours.encode(image),
            lambda image=image: pillow_encode(image, quality),
            lambda data=reference: decode(data),
            lambda data=reference: pillow_decode(data),
        ]
        seconds += medians(calls, repeats)
        sizes += len(own), len(reference)
        differences.append(psnr(image, pillow_decode(own)) - psnr(image, pillow_decode(reference)))
    encode, pillow_encodes, decodes, pillow_decodes = sum(i.shape[0] * i.shape[1] for i in images) / 1e6 / seconds
    return {
        "quality": quality,
        "encode MP/s": encode,
        "Pillow's": pillow_encodes,
        "encode ratio": encode / pillow_encodes,
        "decode MP/s": decodes,
        " Pillow's": pillow_decodes,
        "decode ratio": decodes / pillow_decodes,
        "size ratio": sizes[0] / sizes[1],
        "PSNR dB": float(np.mean(differences)),
    }


def main(argv=None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default="sample", help="folder of photographs (default: the samples)")
    parser.add_argument("--qualities", type=int, nargs="+", default=[25, 50, 75, 90, 95])
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args(argv)
    images = [image.load() for image in dataset(args.images)]
    megapixels = sum(image.shape[0] * image.shape[1] for image in images) / 1e6
    print(f"{len(images)} images, {megapixels:.1f} MP, one thread, median of {args.repeats} repeats, 4:2:0, optimised")
    for index, quality in enumerate(args.qualities):
        row = measure(images, quality, args.repeats)
        if index == 0:
            print("  ".join(f"{name.strip():>12}" for name in row))
        formats = {"quality": "d", "size ratio": ".4f", "PSNR dB": "+.3f"}
        print("  ".join(format(value, formats.get(name, ".2f")).rjust(12) for name, value in row.items()), flush=True)
    return 0


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):  # too late now: numpy is loaded
        os.execve(sys.executable, sys.orig_argv, os.environ | ONE_THREAD)
    sys.exit(main())
