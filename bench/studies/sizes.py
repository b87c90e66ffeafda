"""Every codec on every size: 1×1, 3×5, odd, a column, 16 megapixels, in colour and in grey.

::

    python -m codeckit.bench.studies.sizes                            # all installed codecs, small sizes
    python -m codeckit.bench.studies.sizes --large --codecs hevc,vvc:preset=faster  # and 16 megapixels

A row a codec: "ok" where the decoded picture has the size and a PSNR that its quality lets expect, else what happened.
Exit status 1 if anything did.
"""

import argparse
import sys
import time

from ...api import decode
from ...codecs import registry
from ...codecs.info import info
from ...metrics import psnr
from ..tables import align
from .pictures import photo

SIZES = ((1, 1), (3, 5), (33, 47), (257, 1), (100, 163))
LARGE = (4096, 4096)

#: PSNR in dB that nine tenths of the quality scale must reach.
LEAST_PSNR = 24


def check(name: str, image) -> str:
    """What came of a picture: "ok", with seconds and bits a pixel if it is large, or what is wrong."""
    name, options = registry.parse_spec(name)
    low, high = registry.entry(name).quality
    try:
        codec = registry.codec(name, quality=low + 9 * (high - low) // 10, **options)
        start = time.perf_counter()
        stream = codec.encode(image)
        middle = time.perf_counter()
        decoded = decode(stream)
        end = time.perf_counter()
        if info(stream).size != image.shape[:2] or decoded.shape[:2] != image.shape[:2]:
            return f"size {decoded.shape}"
        decoded = decoded[..., 0] if decoded.ndim > image.ndim else decoded
        found = psnr(image, decoded)
        if found < LEAST_PSNR:
            return f"{found:.1f} dB"
    except Exception as error:  # whatever it is, the other codecs go on
        return f"{type(error).__name__}: {error}"[:60]
    if image.size < 1 << 20:
        return "ok"
    rate = 8 * len(stream) / (image.shape[0] * image.shape[1])
    return f"ok {middle - start:.1f}/{end - middle:.1f} s, {rate:.2f} bpp"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Try every codec on pictures of every size.")
    parser.add_argument("--codecs", help="with options behind colons; default: all that are installed")
    parser.add_argument("--large", action="store_true", help="16 megapixels too")
    arguments = parser.parse_args()
    names = [entry.name for entry in registry.list_codecs() if entry.available]
    if arguments.codecs:
        names = arguments.codecs.split(",")
    sizes = [(*size, channels) for size in SIZES for channels in (3, 1)]
    if arguments.large:
        sizes += [(*LARGE, 3), (*LARGE, 1)]
    images = {size: photo(*size, seed=6) for size in sizes}
    rows = [["codec", *(f"{w}×{h}{'' if c == 3 else ' grey'}" for h, w, c in sizes)]]
    for name in names:
        rows.append([name, *(check(name, images[size]) for size in sizes)])
        print(align([rows[0], rows[-1]]), flush=True)
    print("\n" + align(rows))
    return 0 if all(cell.startswith("ok") for row in rows[1:] for cell in row[1:]) else 1


if __name__ == "__main__":
    sys.exit(main())
