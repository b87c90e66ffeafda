"""Does our JPEG decoder give the same pixels as libjpeg-turbo? Decode many variants with both and count differences.

    python -m codeckit.bench.studies.jpeg_identity                      # 1000 variants, under a minute
    python -m codeckit.bench.studies.jpeg_identity --variants 3000 --seed 7 --kodak ~/kodak

The JPEG standard leaves a decoder freedom (rounding in the inverse DCT, chroma interpolation), so "correct" means a
range. Nearly all software shows the pixels of libjpeg-turbo's default settings, and so does ours: the comparison is
with Pillow, sample by sample, and the goal is no difference at all.

A variant is one random draw of picture (generated, or from the astronaut photograph), size (1×1 to 768×512), quality,
sampling factors, baseline or progressive, Huffman tables, restart interval, colour model and encoder:

* ``pillow``: its encoder; grey, YCbCr, RGB and CMYK, own quantization tables up to 8000 (with larger steps
  libjpeg-turbo's encoder overflows, and then its decoder, on every processor in another way)
* ``ycck``: CMYK files of the same encoder with the Adobe marker's transform flag set, which makes them YCCK
* ``cjpeg``: libjpeg-turbo's command line encoder, for all other sampling factors
* ``jpegtran``: the same coefficients under other scan scripts, restarts and rotations
* ``edited``: files with fill bytes, comments, tables apart, no JFIF marker, trailing garbage, without their last scans
  (which libjpeg smooths)
* ``codeckit``: our own encoder

Cut and damaged files have a study of their own, `jpeg_damage`.

The two command line tools (Debian package libjpeg-turbo-progs) are skipped, and the output says so, where they are not
installed. The exit status is 1 if any variant differs or is refused.
"""

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image, ImageFile

from ... import codec, decode
from ...primitives import StreamError
from . import pictures

SIZES = [(1, 1), (1, 2), (2, 1), (3, 5), (7, 9), (8, 8), (9, 7), (15, 17), (16, 16), (17, 33), (31, 47), (64, 48)]
SIZES += [(99, 101), (1, 200), (150, 3), (227, 149), (256, 384), (512, 768)]
RESTARTS = (0, 0, 0, 1, 2, 3, 7, 50)

#: Sampling factors (horizontal × vertical, as cjpeg takes them) of the three components.
SAMPLINGS = {
    "4:4:4": "1x1,1x1,1x1",
    "4:2:2": "2x1,1x1,1x1",
    "4:2:0": "2x2,1x1,1x1",
    "4:4:0": "1x2,1x1,1x1",
    "4:1:1": "4x1,1x1,1x1",
    "4:1:0": "4x2,1x1,1x1",
    "1:4 vertical": "1x4,1x1,1x1",
    "2:4": "2x4,1x1,1x1",
    "3:1": "3x1,1x1,1x1",
    "1:3 vertical": "1x3,1x1,1x1",
    "all 2x1": "2x1,2x1,2x1",
    "Cb and Cr unlike": "2x2,2x1,1x2",
    "Cb full, Cr small": "2x2,2x2,1x1",
    "4:4:4 as 1x2": "1x2,1x2,1x2",
    "chroma above luma": "1x1,2x2,2x2",
    "Cb above luma": "1x1,2x1,1x1",
}

#: Progressive and sequential scan scripts, as `jpegtran -scans` reads them: components: Ss-Se, Ah, Al.
SCRIPTS = {
    "spectral selection": "0,1,2: 0-0, 0, 0; 0: 1-5, 0, 0; 2: 1-63, 0, 0; 1: 1-63, 0, 0; 0: 6-63, 0, 0;",
    "deep successive approximation": "0,1,2: 0-0, 0, 3; 0: 1-63, 0, 3; 1: 1-63, 0, 3; 2: 1-63, 0, 3;"
    + "".join(
        f"0,1,2: 0-0, {a}, {a - 1}; " + "".join(f"{c}: 1-63, {a}, {a - 1}; " for c in (2, 0, 1)) for a in (3, 2, 1)
    ),
    "components apart": "0: 0-0, 0, 1; 1: 0-0, 0, 0; 2: 0-0, 0, 0; 0: 0-0, 1, 0; "
    "0: 1-63, 0, 0; 1: 1-20, 0, 0; 1: 21-63, 0, 0; 2: 1-63, 0, 0;",
    "sequential, not interleaved": "0; 1; 2;",
    "sequential, half interleaved": "0; 1, 2;",
}


@dataclass(frozen=True)
class Variant:
    """One JPEG file: where it comes from, how it was made, its bytes."""

    group: str
    name: str
    data: bytes


def draw_picture(rng: np.random.Generator, channels: int, photographs=()) -> np.ndarray:
    """A random picture, uint8 [H,W,channels] or [H,W]: generated, or a crop of a photograph."""
    height, width = SIZES[rng.integers(len(SIZES))]
    if channels == 4 or rng.random() < 0.4:
        kind = str(rng.choice(list(pictures.KINDS), p=[0.4, 0.2, 0.3, 0.1]))
        return pictures.KINDS[kind](height, width, channels, int(rng.integers(1 << 30)))
    photograph = photographs[rng.integers(len(photographs))]
    top, left = (int(rng.integers(max(1, n - m + 1))) for n, m in zip(photograph.shape, (height, width), strict=False))
    crop = photograph[top : top + height, left : left + width]
    return crop if channels == 3 else np.ascontiguousarray(crop[..., 1])


def draw_quality(rng) -> int:
    """1 … 100, the ends more often."""
    return int(rng.choice([1, 2, 5, 25, 50, 75, 90, 95, 99, 100, rng.integers(1, 101), rng.integers(1, 101)]))


def save(image: Image.Image, **options) -> bytes:
    """A JPEG file by Pillow."""
    ImageFile.MAXBLOCK = max(ImageFile.MAXBLOCK, 1 << 22)  # Pillow's buffer must hold an optimised file whole
    out = io.BytesIO()
    image.save(out, "jpeg", **options)
    return out.getvalue()


def pillow_variant(rng, photographs, channels=None) -> Variant:
    """One file by Pillow's encoder."""
    channels = channels or int(rng.choice([1, 3, 4], p=[0.2, 0.65, 0.15]))
    picture = draw_picture(rng, channels, photographs)
    options = {
        "quality": draw_quality(rng),
        "progressive": bool(rng.integers(2)),
        "optimize": bool(rng.integers(2)),
        "restart_marker_blocks": int(rng.choice(RESTARTS)),
    }
    if channels == 3:
        options["keep_rgb"] = bool(rng.random() < 0.15)
        options["subsampling"] = "4:4:4" if options["keep_rgb"] else str(rng.choice(["4:4:4", "4:2:2", "4:2:0"]))
    if rng.random() < 0.2:
        del options["quality"]
        largest = int(rng.choice([2, 255, 400, 8000]))
        options["qtables"] = [rng.integers(1, largest + 1, 64).tolist() for _ in range(int(rng.integers(1, 3)))]
    name = " ".join(f"{key}={value}" for key, value in options.items() if key != "qtables")
    name += f" tables up to {largest}" if "qtables" in options else ""
    image = Image.fromarray(picture, "CMYK" if channels == 4 else None)
    return Variant("pillow", f"{picture.shape} {name}", save(image, **options))


def ycck_variant(rng, photographs) -> Variant:
    """A CMYK file whose Adobe marker is made to say YCCK."""
    variant = pillow_variant(rng, photographs, channels=4)
    flag = variant.data.index(b"\xff\xee\x00\x0eAdobe") + 15  # the transform: 0 in CMYK files, 2 in YCCK files
    return Variant("ycck", variant.name, variant.data[:flag] + b"\x02" + variant.data[flag + 1 :])


def cjpeg_variant(rng, photographs) -> Variant:
    """One file by cjpeg."""
    channels = int(rng.choice([1, 3], p=[0.1, 0.9]))
    picture = draw_picture(rng, channels, photographs)
    options = ["-quality", str(draw_quality(rng))]
    name = "grey"
    if channels == 3:
        name = str(rng.choice(list(SAMPLINGS)))
        options += ["-sample", SAMPLINGS[name]]
        options += ["-rgb"] if rng.random() < 0.1 else []
    else:
        options += ["-sample", str(rng.choice(["1x1", "2x2", "1x2"]))]
    options += [str(rng.choice(["-baseline", "-optimize", "-progressive"]))]
    restart = int(rng.choice(RESTARTS))
    options += ["-restart", f"{restart}B" if rng.integers(2) else str(min(restart, 3))] if restart else []
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "ppm")
    return Variant("cjpeg", f"{picture.shape} {name} {' '.join(options)}", _tool(["cjpeg", *options], out.getvalue()))


def jpegtran_variant(rng, photographs) -> Variant:
    """One file by Pillow or cjpeg, its coefficients coded again by jpegtran."""
    while True:
        base = cjpeg_variant(rng, photographs)
        picture = Image.open(io.BytesIO(base.data))
        if picture.mode == "RGB":
            break
    script = str(rng.choice(list(SCRIPTS)))
    options = [["-rotate", "90"], ["-transpose"], ["-flip", "vertical"], []][int(rng.choice(4, p=[0.1, 0.1, 0.1, 0.7]))]
    options += ["-restart", f"{int(rng.integers(1, 9))}B"] if rng.random() < 0.4 else []
    with tempfile.NamedTemporaryFile("w", suffix=".scans") as file:
        file.write(SCRIPTS[script])
        file.flush()
        data = _tool(["jpegtran", *options, "-scans", file.name], base.data)
    return Variant("jpegtran", f"{base.name} -> {' '.join(options)} {script}", data)


def edited_variant(rng, photographs) -> Variant:
    """A file by Pillow with something unusual, but legal, about its segments."""
    base = pillow_variant(rng, photographs)
    parts = segments(base.data)
    edits = ["fill bytes", "comments", "tables apart", "no JFIF", "trailing garbage", "no Adobe marker", "fewer scans"]
    how = str(rng.choice(edits))
    if how == "fill bytes":
        parts = [b"\xff" * int(rng.integers(0, 4)) + part if i else part for i, part in enumerate(parts)]
    elif how == "comments":
        parts[1:1] = [b"\xff\xfe\x00\x0cnot\xff\xd8\xff\xd9zz.", b"\xff\xe7\x00\x02", b"\xff\xe0\x00\x02"]
    elif how == "tables apart":
        parts = [piece for part in parts for piece in _split_tables(part)]
    elif how == "no JFIF":
        parts = [part for part in parts if part[:2] != b"\xff\xe0"]
    elif how == "fewer scans":
        scans = [i for i, part in enumerate(parts) if part[:2] == b"\xff\xda"]
        left_out = scans[int(rng.integers(1, len(scans) + 1)) :]
        parts = [part for i, part in enumerate(parts) if i not in left_out]
    elif how == "no Adobe marker":
        parts = [part for part in parts if part[:2] != b"\xff\xee"]
    else:
        parts.append(rng.integers(0, 256, 40, np.uint8).tobytes() + b"\xff\xd8\xff\xc0")
    return Variant("edited", f"{base.name} {how}", b"".join(parts))


def own_variant(rng, photographs) -> Variant:
    """One file by our encoder."""
    channels = int(rng.choice([1, 3], p=[0.2, 0.8]))
    picture = draw_picture(rng, channels, photographs)
    options = {
        "quality": draw_quality(rng),
        "subsampling": str(rng.choice(["4:4:4", "4:2:2", "4:2:0", "4:4:0"])),
        "progressive": bool(rng.integers(2)),
        "optimize": bool(rng.integers(2)),
        "restart_interval": int(rng.choice(RESTARTS)),
    }
    name = " ".join(f"{key}={value}" for key, value in options.items())
    return Variant("codeckit", f"{picture.shape} {name}", codec("jpeg", **options).encode(picture))


#: Makers of variants, and the share of all variants that each gets.
MAKERS = {
    pillow_variant: 0.3,
    ycck_variant: 0.08,
    cjpeg_variant: 0.22,
    jpegtran_variant: 0.15,
    edited_variant: 0.1,
    own_variant: 0.15,
}


def segments(data: bytes) -> list[bytes]:
    """A JPEG file, damaged or not, cut before every marker segment; coded data stays with its SOS segment.

    >>> for segment in segments(bytes.fromhex("ffd8 ffe00004abcd ffda0003aa 1234ff00ffd056 ffd9")):
    ...     print(segment.hex())
    ffd8
    ffe00004abcd
    ffda0003aa1234ff00ffd056
    ffd9
    """
    parts, start, at = [], 0, 2
    while at + 1 < len(data):
        parts.append(data[start:at])
        start = at
        marker = data[at + 1]
        at += 2 if marker == 0xD9 else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDA:
            while at + 1 < len(data) and not (data[at] == 0xFF and data[at + 1] not in (0, *range(0xD0, 0xD8))):
                at += 1
    return [*parts, data[start:]]


def _split_tables(part):
    """A DQT segment with several tables as several segments."""
    if part[:2] != b"\xff\xdb":
        return [part]
    pieces, at = [], 4
    while at < len(part):
        size = 129 if part[at] >> 4 else 65
        pieces.append(b"\xff\xdb" + (size + 2).to_bytes(2, "big") + part[at : at + size])
        at += size
    return pieces


def _tool(command, data):
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    if done.returncode not in (0, 2):  # 2: done, with warnings
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode()}")
    return done.stdout


def compare(data: bytes) -> tuple[str, int]:
    """(verdict, largest difference of a sample) of our decoder against Pillow's.

    Verdicts: "identical", "different", "refused by both", "refused by us", "refused by Pillow".
    """
    try:
        theirs = Image.open(io.BytesIO(data))
        theirs = np.asarray(theirs.convert("RGB") if theirs.mode == "CMYK" else theirs)
    except OSError:
        theirs = None
    try:
        ours = decode(data)
    except StreamError:
        return ("refused by both" if theirs is None else "refused by us"), 0
    if theirs is None:
        return "refused by Pillow", 0
    if ours.shape != theirs.shape:
        return "different", 255
    difference = int(np.abs(ours.astype(np.int16) - theirs).max())
    return ("different" if difference else "identical"), difference


def variants(count: int, seed: int = 0, photographs=(), makers=MAKERS):
    """Yield `count` variants, or a few less, drawn with `seed`."""
    for index, (maker, share) in enumerate(makers.items()):
        rng = np.random.default_rng([seed, index])
        for _ in range(round(count * share)):
            yield maker(rng, photographs)


def main(argv=None) -> int:
    """Run the comparison, print the table; 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", type=int, default=1000, help="number of files (default 1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kodak", type=Path, help="folder of further photographs to take crops from")
    parser.add_argument("--keep", type=Path, help="folder to write the files to that differ")
    args = parser.parse_args(argv)

    photographs = [skimage.data.astronaut()]
    if args.kodak:
        photographs += [np.asarray(Image.open(path).convert("RGB")) for path in sorted(args.kodak.glob("*.png"))]
    makers = dict(MAKERS)
    for tool, maker in (("cjpeg", cjpeg_variant), ("jpegtran", jpegtran_variant)):
        if not all(map(shutil.which, ("cjpeg", tool))):
            print(f"skipped: {tool} variants, because cjpeg or jpegtran (libjpeg-turbo-progs) is not installed")
            del makers[maker]

    counts, largest, failures = defaultdict(lambda: defaultdict(int)), defaultdict(int), []
    for variant in variants(args.variants, args.seed, photographs, makers):
        verdict, difference = compare(variant.data)
        counts[variant.group][verdict] += 1
        largest[variant.group] = max(largest[variant.group], difference)
        if verdict != "identical":
            failures.append((variant, verdict, difference))

    columns = ["identical", "different", "refused by both", "refused by us", "refused by Pillow"]
    print(f"{'group':10}{'files':>8}" + "".join(f"{column:>19}" for column in columns) + f"{'max difference':>16}")
    for group, verdicts in [*counts.items(), ("total", _sum(counts.values()))]:
        cells = "".join(f"{verdicts[column]:>19}" for column in columns)
        print(f"{group:10}{sum(verdicts.values()):>8}{cells}{largest.get(group, max(largest.values())):>16}")
    for variant, verdict, difference in failures[:20]:
        print(f"{verdict} (by up to {difference}): {variant.group}: {variant.name}")
    if args.keep:
        args.keep.mkdir(parents=True, exist_ok=True)
        for number, (variant, *_) in enumerate(failures):
            (args.keep / f"{number:04}-{variant.group}.jpg").write_bytes(variant.data)
    return 1 if failures else 0


def _sum(tables):
    total = defaultdict(int)
    for table in tables:
        for verdict, count in table.items():
            total[verdict] += count
    return total


if __name__ == "__main__":
    sys.exit(main())
