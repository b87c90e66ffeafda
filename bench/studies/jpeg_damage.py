"""Does ``decode(..., partial=True)`` show what libjpeg-turbo shows of cut and damaged JPEG files? Damage many, compare.

    python -m codeckit.bench.studies.jpeg_damage                  # 1000 files, a minute
    python -m codeckit.bench.studies.jpeg_damage --count 5000 --seed 7 --keep FOLDER

Files are those of `jpeg_identity` (Pillow's and our encoder, and where they are installed cjpeg's and jpegtran's:
baseline and progressive, scans of one component, all sampling factors, grey, RGB, YCbCr, CMYK, with and without restart
markers), each damaged in one way:

* ``cut``: at any byte behind the first scan header
* ``bits``: one to eight bits flipped in coded data
* ``bytes``: some bytes of coded data overwritten by random ones, removed, or doubled
* ``restart``: restart markers removed, doubled, renumbered, or another restart interval in DRI
* ``scans``: a scan of several removed or doubled

The reference is Pillow's decoder, libjpeg-turbo with its warnings unheeded, which is given the file and an end-of-image
marker behind it. Verdicts:

* ``identical``, ``different``: of pixels
* ``overflow``: different, and coefficients times steps are so large that libjpeg-turbo's 16-bit arithmetic overflows
* ``libjpeg stops``: an error of libjpeg's, behind which Pillow shows black; ours shows the scans before it
* ``refused by both``, ``refused by us``

The last column counts the files that `decode` takes without ``partial``, all with Pillow's pixels (or ``different``).
"""

import argparse
import io
import shutil
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from ... import decode
from ...codecs.jpeg import JpegHuffman
from ...primitives import StreamError
from . import jpeg_identity
from .jpeg_identity import Variant

#: What the magnitudes of coefficients of 8×8 samples of 8 bits add up to at most.
LARGEST = 8192


def scans(data: bytes) -> list[tuple[int, int]]:
    """Where the coded data of each scan begin and end."""
    found, at = [], 0
    for part in jpeg_identity.segments(data):
        if part[:2] == b"\xff\xda":
            found.append((at + 2 + int.from_bytes(part[2:4], "big"), at + len(part)))
        at += len(part)
    return found


def restarts(data: bytes) -> list[int]:
    """Where restart markers stand."""
    return [
        at
        for first, end in scans(data)
        for at in range(first, end - 1)
        if data[at] == 255 and 0xD0 <= data[at + 1] < 0xD8
    ]


def cut(rng, data: bytes) -> bytes:
    """The beginning of a file."""
    return data[: int(rng.integers(scans(data)[0][0], len(data)))]


def flip_bits(rng, data: bytes) -> bytes:
    """A few bits of coded data flipped."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        out[_place(rng, data)] ^= 1 << int(rng.integers(8))
    return bytes(out)


def change_bytes(rng, data: bytes) -> bytes:
    """Bytes of coded data overwritten, removed or doubled."""
    at, n = _place(rng, data), int(rng.integers(1, 30))
    how = rng.integers(3)
    if how == 0:
        return data[:at] + rng.integers(0, 256, n, np.uint8).tobytes() + data[at + n :]
    return data[:at] + data[at + n :] if how == 1 else data[: at + n] + data[at:]


def change_restarts(rng, data: bytes) -> bytes:
    """Restart markers removed, doubled or renumbered, or another interval."""
    marks, out = restarts(data), bytearray(data)
    how = rng.integers(4)
    if not marks or how == 3:
        at = data.find(b"\xff\xdd\0\4")
        if at < 0:
            return data[: scans(data)[0][1]] + b"\xff\xd0" + data[scans(data)[0][1] :]
        return data[: at + 4] + int(rng.integers(0, 12)).to_bytes(2, "big") + data[at + 6 :]
    shift = int(rng.integers(1, 8))
    for at in sorted(rng.choice(marks, int(rng.integers(1, 4))).tolist(), reverse=True):
        if how == 0:
            del out[at : at + 2]
        elif how == 1:
            out[at:at] = out[at : at + 2]
    if how == 2:
        for at in marks if rng.integers(2) else rng.choice(marks, 2).tolist():
            out[at + 1] = 0xD0 + (out[at + 1] - 0xD0 + shift) % 8
    return bytes(out)


def change_scans(rng, data: bytes) -> bytes:
    """A scan removed or doubled."""
    parts = jpeg_identity.segments(data)
    at = int(rng.choice([i for i, part in enumerate(parts) if part[:2] == b"\xff\xda"]))
    parts[at : at + 1] = [] if rng.integers(2) and at + 3 < len(parts) else [parts[at]] * 2
    return b"".join(parts)


DAMAGE = {"cut": cut, "bits": flip_bits, "bytes": change_bytes, "restart": change_restarts, "scans": change_scans}


def _place(rng, data):
    first, end = scans(data)[int(rng.integers(len(scans(data))))]
    return int(rng.integers(first, max(end, first + 1)))


def draw(seed: int, number: int, photographs) -> Variant:
    """One damaged file."""
    rng = np.random.default_rng([seed, number])
    kind = list(DAMAGE)[number % len(DAMAGE)]
    makers = [jpeg_identity.pillow_variant, jpeg_identity.own_variant, jpeg_identity.ycck_variant]
    if shutil.which("cjpeg") and shutil.which("jpegtran"):
        makers += [jpeg_identity.cjpeg_variant, jpeg_identity.jpegtran_variant]
    while True:
        variant = makers[int(rng.integers(len(makers)))](rng, photographs)
        if len(variant.data) < 60_000:
            return Variant(kind, f"{variant.group}: {variant.name}", DAMAGE[kind](rng, variant.data))


def pillow(data: bytes) -> tuple[np.ndarray | None, int]:
    """Pixels of Pillow's decoder, None if there are none, and 0 or the number of its error."""
    try:
        image = Image.open(io.BytesIO(data))
        image.load_prepare()
        name, extents, _, arguments = image.tile[0]
        decoder = Image._getdecoder(image.mode, name, arguments, image.decoderconfig)
        decoder.setimage(image.im, extents)
        done, error = decoder.decode(data + b"\xff\xd9")
    except (OSError, SyntaxError, IndexError):
        return None, -1
    if done >= 0:
        return None, -1
    image.tile = []
    return np.asarray(image.convert("RGB") if image.mode == "CMYK" else image), error


def overflows(data: bytes) -> bool:
    """Whether the coefficients of some block are far beyond those of 8-bit samples."""
    picture = JpegHuffman().inverse_partial(data, 1 << 24)
    products = (
        np.abs(plane * table.astype(np.int64)) for plane, table in zip(picture.planes, picture.tables, strict=True)
    )
    return any(product.sum((2, 3)).max() > LARGEST for product in products)


def compare(data: bytes) -> tuple[str, int, bool]:
    """(verdict, largest difference, whether it is decoded without ``partial``) of a file."""
    theirs, error = pillow(data)
    try:
        ours = decode(data, partial=True)
    except StreamError:
        return ("refused by both" if theirs is None or error else "refused by us"), 0, False
    try:
        strict = decode(data)
    except StreamError:
        strict = None
    if theirs is None or error:
        return "libjpeg stops", 0, strict is not None
    if ours.shape != theirs.shape or (strict is not None and (strict != ours).any()):
        return "different", 255, strict is not None
    difference = int(np.abs(ours.astype(np.int16) - theirs).max())
    verdict = "identical" if not difference else "overflow" if overflows(data) else "different"
    return verdict, difference, strict is not None


def main(argv=None) -> int:
    """Run the comparison, print the table; 1 if pixels differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="number of files (default 1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder to write the files to that differ")
    args = parser.parse_args(argv)
    photographs, table, failures = [skimage.data.astronaut()], defaultdict(Counter), []
    for number in range(args.count):
        variant = draw(args.seed, number, photographs)
        verdict, difference, strict = compare(variant.data)
        table[variant.group][verdict] += 1
        table[variant.group]["by default"] += strict
        if verdict in ("different", "refused by us"):
            failures.append((number, variant, verdict, difference))
    columns = ["identical", "overflow", "different", "libjpeg stops", "refused by both", "refused by us"]
    columns += ["by default"]
    print(f"{'damage':10}{'files':>8}" + "".join(f"{column:>17}" for column in columns))
    for group, verdicts in [*table.items(), ("total", sum(table.values(), Counter()))]:
        files = verdicts.total() - verdicts["by default"]
        print(f"{group:10}{files:>8}" + "".join(f"{verdicts[column]:>17}" for column in columns))
    for number, variant, verdict, difference in failures[:20]:
        print(f"{number}: {verdict} (by up to {difference}): {variant.group} of {variant.name}")
    if args.keep:
        args.keep.mkdir(parents=True, exist_ok=True)
        for number, variant, *_ in failures:
            (args.keep / f"{number:05}-{variant.group}.jpg").write_bytes(variant.data)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
