"""Arithmetic-coded and lossless JPEG files: our decoder and encoder against libjpeg-turbo's.

    python -m codeckit.bench.studies.jpeg_arithmetic                        # 300 files, a minute
    python -m codeckit.bench.studies.jpeg_arithmetic --variants 3000 --seed 7
    python -m codeckit.bench.studies.jpeg_arithmetic --sizes KODAK          # sizes of photographs instead

Four groups, each one random draw of picture, size (1×1 to 768×512), quality, sampling, restarts and scans:

* ``cjpeg``: files of `cjpeg -arithmetic`, sequential and progressive, all sampling factors
* ``jpegtran``: `jpegtran -arithmetic` of Pillow's grey, YCbCr, RGB, CMYK and YCCK files, some under other scan scripts
* ``codeckit``: our own files, a third with a conditioning of their own
* ``lossless``: files of `lossless_writer`, all predictors, point transforms, restarts, samplings, 1, 3 and 4 components

Our decoder must give the same pixels as Pillow's libjpeg-turbo (3 or later for lossless files). Our encoder's coded
data must be those of `jpegtran -arithmetic` for the same coefficients, byte by byte; sizes are those of whole files.
(libjpeg-turbo repeats the default conditioning before each scan, which ours leaves out.)

cjpeg and jpegtran (Debian package libjpeg-turbo-progs) are left out, and the output says so, where they are missing.
The exit status is 1 if any pixel or byte differs.

With `--sizes`, the PNG files of a folder are encoded at qualities 50, 75 and 90, and the sizes are compared with those
of the same coefficients under optimal Huffman codes, sequential and progressive.
"""

import argparse
import io
import shutil
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from ... import codec, decode
from ...codecs.jpeg import JpegArithmetic
from ...primitives import StreamError
from . import jpeg_identity
from .jpeg_identity import RESTARTS, SAMPLINGS, SCRIPTS, Variant, draw_picture, draw_quality, segments
from .lossless_writer import write_lossless

#: An Adobe segment that says RGB.
_ADOBE = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"


def cjpeg_variant(rng, photographs) -> Variant:
    """One file by cjpeg -arithmetic."""
    channels = int(rng.choice([1, 3], p=[0.15, 0.85]))
    picture = draw_picture(rng, channels, photographs)
    options = ["-quality", str(draw_quality(rng)), "-arithmetic"]
    name = str(rng.choice(list(SAMPLINGS))) if channels == 3 else "grey"
    options += ["-sample", SAMPLINGS.get(name, "1x1")]
    options += ["-progressive"] if rng.random() < 0.5 else []
    restart = int(rng.choice(RESTARTS))
    options += ["-restart", f"{restart}B" if rng.integers(2) else str(min(restart, 3))] if restart else []
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "ppm")
    data = jpeg_identity.run_tool(["cjpeg", *options], out.getvalue())
    return Variant("cjpeg", f"{picture.shape} {name} {' '.join(options)}", data)


def jpegtran_variant(rng, photographs) -> Variant:
    """A file by Pillow, its coefficients coded again by jpegtran -arithmetic."""
    maker = jpeg_identity.ycck_variant if rng.random() < 0.15 else jpeg_identity.pillow_variant
    base = maker(rng, photographs)
    options = ["-restart", f"{int(rng.integers(1, 9))}B"] if rng.random() < 0.4 else []
    with tempfile.NamedTemporaryFile("w", suffix=".scans") as file:
        if Image.open(io.BytesIO(base.data)).mode == "RGB" and rng.random() < 0.4:
            script = str(rng.choice(list(SCRIPTS)))
            file.write(SCRIPTS[script])
            file.flush()
            options += ["-scans", file.name]
        elif rng.integers(2):
            options.append("-progressive")
        data = jpeg_identity.run_tool(["jpegtran", "-arithmetic", "-copy", "all", *options], base.data)
    return Variant("jpegtran", f"{base.name} -> {' '.join(options)}", data)


def own_variant(rng, photographs) -> Variant:
    """One file by our encoder."""
    picture = draw_picture(rng, int(rng.choice([1, 3], p=[0.2, 0.8])), photographs)
    options = {
        "quality": draw_quality(rng),
        "subsampling": str(rng.choice(["4:4:4", "4:2:2", "4:2:0", "4:4:0"])),
        "progressive": bool(rng.integers(2)),
        "restart_interval": int(rng.choice(RESTARTS)),
    }
    made = codec("jpeg", **options, arithmetic=True)
    conditioning = (0, 1, 5)
    if rng.random() < 0.33:
        small = int(rng.integers(16))
        conditioning = (small, int(rng.integers(small, 16)), int(rng.integers(1, 64)))
        entropy = JpegArithmetic(options["progressive"], options["restart_interval"], conditioning=conditioning)
        made = made.replace(entropy=entropy)
    name = " ".join(f"{key}={value}" for key, value in options.items()) + f" {conditioning}"
    return Variant("codeckit", f"{picture.shape} {name}", made.encode(picture))


def lossless_variant(rng, photographs) -> Variant:
    """One lossless file by `lossless_writer`."""
    channels = int(rng.choice([1, 3, 4], p=[0.3, 0.6, 0.1]))
    picture = draw_picture(rng, channels, photographs)
    height, width = size = picture.shape[:2]
    planes = [np.ascontiguousarray(plane) for plane in np.atleast_3d(picture).transpose(2, 0, 1)]
    factors, interleaved = [(1, 1)] * channels, bool(rng.integers(2))
    if channels == 3 and rng.random() < 0.3:
        v, h = [(1, 2), (2, 1), (2, 2)][rng.integers(3)]
        factors, interleaved = [(v, h), (1, 1), (1, 1)], True
        full = np.pad(picture, ((0, -height % v), (0, -width % h), (0, 0)), mode="edge")
        planes = [np.ascontiguousarray(full[..., c][:: v if c else 1, :: h if c else 1]) for c in range(3)]
    options = {"predictor": int(rng.integers(1, 8)), "low": int(rng.choice([0, 0, 0, 1, 2, 7]))}
    options |= {"restart_rows": int(rng.choice([0, 0, 1, 2, 5])), "interleaved": interleaved}
    if size[1] * options["restart_rows"] > 65535:
        options["restart_rows"] = 0
    head = _ADOBE if channels == 3 and rng.integers(2) else b""
    name = " ".join(f"{key}={value}" for key, value in options.items())
    data = write_lossless(planes, factors, head=head, size=size, **options)
    return Variant("lossless", f"{picture.shape} {factors[0]} {name}", data)


#: Makers of variants, the share of all variants that each gets, and the tools that it needs.
MAKERS = {
    cjpeg_variant: (0.3, ("cjpeg",)),
    jpegtran_variant: (0.25, ("jpegtran",)),
    own_variant: (0.2, ()),
    lossless_variant: (0.25, ()),
}


def variants(count: int, seed: int = 0, photographs=(), makers=tuple(MAKERS)):
    """Yield `count` variants, or a few less, drawn with `seed`; those whose tools are missing are left out."""
    for index, (maker, (share, tools)) in enumerate(MAKERS.items()):
        if maker in makers and all(map(shutil.which, tools)):
            rng = np.random.default_rng([seed, index])
            for _ in range(round(count * share)):
                yield maker(rng, photographs)


def reference(data: bytes) -> np.ndarray:
    """Pillow's pixels, grey or RGB.

    libjpeg's arithmetic decoder cannot wait for more data, so it is given all at once.
    """
    image = Image.open(io.BytesIO(data))
    image.decodermaxblock = len(data) + 16
    return np.asarray(image.convert("RGB") if image.mode == "CMYK" else image)


def compare(data: bytes) -> str:
    """ "identical", "different", "refused by us" or "refused by Pillow"."""
    try:
        theirs = reference(data)
    except OSError:
        return "refused by Pillow"
    try:
        ours = decode(data)
    except StreamError:
        return "refused by us"
    return "identical" if ours.shape == theirs.shape and (ours == theirs).all() else "different"


def coded_data(data: bytes) -> list[bytes]:
    """The coded data of each scan of a file."""
    scans = [part for part in segments(data) if part[1] == 0xDA]
    return [part[2 + int.from_bytes(part[2:4], "big") :] for part in scans]


def against_jpegtran(rng, photographs) -> tuple[bool, int, int]:
    """Whether our coded data are jpegtran's for the same coefficients, and the sizes of both files."""
    picture = draw_picture(rng, int(rng.choice([1, 3], p=[0.2, 0.8])), photographs)
    progressive, restart = bool(rng.integers(2)), int(rng.choice(RESTARTS))
    options = {"quality": draw_quality(rng), "subsampling": str(rng.choice(["4:4:4", "4:2:2", "4:2:0", "4:4:0"]))}
    options |= {"progressive": progressive, "restart_interval": restart}
    command = ["jpegtran", "-arithmetic", *["-progressive"] * progressive]
    command += ["-restart", f"{restart}B"] if restart else []
    theirs = jpeg_identity.run_tool(command, codec("jpeg", **options).encode(picture))
    ours = codec("jpeg", **options, arithmetic=True).encode(picture)
    return coded_data(ours) == coded_data(theirs), len(ours), len(theirs)


def print_sizes(folder: Path) -> None:
    """What arithmetic coding saves on photographs."""
    photographs = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.glob("*.png"))]
    print(f"{len(photographs)} pictures\nquality  scans        Huffman bytes  arithmetic bytes")
    for quality in 50, 75, 90:
        for progressive in False, True:
            made = [codec("jpeg", quality=quality, progressive=progressive, arithmetic=a) for a in (False, True)]
            huffman, arithmetic = (sum(len(each.encode(photograph)) for photograph in photographs) for each in made)
            name = "progressive" if progressive else "sequential"
            print(f"{quality:7}  {name:11}{huffman:15}{arithmetic:18}  {arithmetic / huffman - 1:+.1%}")


def main(argv=None) -> int:
    """Run the comparison, print the tables; 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", type=int, default=300, help="number of files (default 300)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sizes", type=Path, metavar="FOLDER", help="compare sizes on the PNG files of a folder")
    args = parser.parse_args(argv)

    if args.sizes:
        print_sizes(args.sizes)
        return 0
    photographs = [skimage.data.astronaut()]
    for maker, (_, tools) in MAKERS.items():
        if not all(map(shutil.which, tools)):
            print(f"skipped: {maker.__name__}, because {tools[0]} (libjpeg-turbo-progs) is not installed")
    verdicts, failures = defaultdict(Counter), []
    for variant in variants(args.variants, args.seed, photographs):
        verdict = compare(variant.data)
        verdicts[variant.group][verdict] += 1
        if verdict != "identical":
            failures.append(f"{verdict}: {variant.group}: {variant.name}")
    columns = ["identical", "different", "refused by us", "refused by Pillow"]
    print(f"{'group':10}{'files':>8}" + "".join(f"{column:>19}" for column in columns))
    for group, found in [*verdicts.items(), ("total", sum(verdicts.values(), Counter()))]:
        print(f"{group:10}{found.total():>8}" + "".join(f"{found[column]:>19}" for column in columns))
    for failure in failures[:20]:
        print(failure)
    if shutil.which("jpegtran") is None:
        return 1 if failures else 0

    rng = np.random.default_rng([args.seed, len(MAKERS)])
    rows = [against_jpegtran(rng, photographs) for _ in range(args.variants // 3)]
    same, ours, theirs = (sum(column) for column in zip(*rows, strict=True))
    print(f"coded data as jpegtran's: {same} of {len(rows)} files; {ours} bytes, {theirs} of jpegtran's")
    print(f"largest file against jpegtran's: {max(o / t for _, o, t in rows) - 1:+.3%}")
    return 1 if failures or same < len(rows) else 0


if __name__ == "__main__":
    sys.exit(main())
