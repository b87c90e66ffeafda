"""A folder of good, bad, foreign and hidden files through ``codeckit encode``, ``decode``, ``repack`` and ``compare``.

Every good file must be done, every bad and foreign one named on stderr, hidden ones must not appear, and the exit
status is 1. Run with::

    python -m codeckit.bench.studies.mixed_folder --files 1000

Each command runs as a process of its own, as from a shell. Pictures are small and made by code, so the folder is the
same each time.
"""

import argparse
import io
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from ...codecs.jpeg.repack import unpack
from ...codecs.registry import codec

#: Endings of the formats that are made, with Pillow's names of the formats and options of `save`.
FORMATS = {
    ".png": ("PNG", {}), ".jpg": ("JPEG", {}), ".jpeg": ("JPEG", {"progressive": True}), ".jfif": ("JPEG", {}),
    ".webp": ("WEBP", {}), ".avif": ("AVIF", {}), ".jxl": ("JXL", {}), ".jp2": ("JPEG2000", {}), ".gif": ("GIF", {}),
    ".j2k": ("JPEG2000", {"no_jp2": True}), ".bmp": ("BMP", {}), ".tif": ("TIFF", {}), ".tiff": ("TIFF", {}),
    ".ppm": ("PPM", {}), ".tga": ("TGA", {}), ".ico": ("ICO", {}), ".pcx": ("PCX", {}), ".sgi": ("SGI", {}),
}  # fmt: skip

#: Those that `decode` reads: files of codecs.
STREAMS = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".avif", ".jxl", ".jp2", ".j2k", ".ckt")

JPEG = (".jpg", ".jpeg", ".jfif")

#: Names of files that are no pictures.
FOREIGN = ("notes{}.txt", "clip{}.mp4", "table{}.csv", "archive{}.zip", "page{}.html", "noending{}")


def picture(seed: int) -> np.ndarray:
    """A small picture with structure, another one for each seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: 32 + seed % 3 * 16, : 48 + seed % 5 * 8]
    waves = [np.sin(x / rng.uniform(2, 20) + y / rng.uniform(2, 20)) for _ in range(3)]
    return (128 + 100 * np.stack(waves, -1)).astype(np.uint8)


def encoded(ending: str, seed: int) -> bytes:
    """A file of the format that an ending names; every seventh is grey."""
    image = picture(seed)[..., 0] if seed % 7 == 0 else picture(seed)
    if ending == ".ckt":
        return codec("jpeg-context").encode(image)
    if ending == ".jxl":
        import pillow_jxl  # noqa: F401 - teaches Pillow to write them
    form, options = FORMATS[ending]
    out = io.BytesIO()
    Image.fromarray(image).save(out, form, **options)
    return out.getvalue()


def make(folder: Path, count: int, endings: tuple[str, ...]) -> dict[str, set[str]]:
    """Fill a folder: 70 % good files, 15 % bad, 10 % foreign, 5 % hidden; their names by kind.

    Bad files are cut within their first third, empty, text, or noise behind the right first bytes. A foreign file has
    the name and the content of something else; a hidden one may hold anything.
    """
    chance = random.Random(23)
    found: dict[str, set[str]] = {"good": set(), "bad": set(), "foreign": set(), "hidden": set()}
    kinds = ["good"] * (70 * count // 100) + ["bad"] * (15 * count // 100) + ["foreign"] * (10 * count // 100)
    kinds += ["hidden"] * (count - len(kinds))
    chance.shuffle(kinds)
    for seed, kind in enumerate(kinds):
        ending = endings[seed % len(endings)]
        name, data = f"{seed:04}{ending}", encoded(ending, seed)
        if kind == "bad":
            cut, noise = data[: len(data) // chance.choice([3, 5, 9])], data[:12] + chance.randbytes(300)
            data = chance.choice([cut, cut, noise, b"", b"no picture at all\n"])
        elif kind == "foreign":
            name, data = (
                FOREIGN[seed % len(FOREIGN)].format(seed),
                chance.choice([b"some text\n", chance.randbytes(200)]),
            )
        elif kind == "hidden":
            name, data = chance.choice([".", "._"]) + name, chance.choice([data, b"\0\5\x16\7"])
        (folder / name).write_bytes(data)
        found[kind].add(name)
    return found


def run(*arguments: str) -> tuple[int, str, list[str], float]:
    """Exit status, stdout, lines of stderr and seconds of a command."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "codeckit", *arguments], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr.splitlines(), time.perf_counter() - start


def check(command: str, found: dict[str, set[str]], made: set[str], result: tuple, stored=frozenset()) -> bool:
    """Print what a command did, and whether it did what it should: all good files, no other, and told of these.

    Args:
        command: its name.
        found: names of the files by kind.
        made: names of the files that have a result.
        result: of `run`.
        stored: bad files that have results, too.
    """
    status, _, lines, seconds = result
    wanted = found["good"] | stored
    untold = (found["foreign"] | found["bad"]) - wanted
    named = {name for name in set.union(*found.values()) if any(f"{name}: " in line for line in lines)}
    right = (made, named, len(lines), status) == (wanted, untold, len(untold), 1)
    print(
        f"{command}: {len(made & wanted)} of {len(wanted)} files done, {len(made - wanted)} others; "
        f"{len(named & untold)} of {len(untold)} named, {len(lines)} lines on stderr; exit {status}; {seconds:.0f} s"
        f"{'' if right else '  WRONG'}",
        flush=True,
    )
    if not right:
        print("  missing", sorted(wanted - made)[:5], "surplus", sorted(made - wanted)[:5])
        print("  unnamed", sorted(untold - named)[:5], "wrongly named", sorted(named - untold)[:5])
    return right


def without_ending(folder: Path, drop: int) -> set[str]:
    return {path.name[:-drop] for path in folder.iterdir()} if folder.exists() else set()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=1000, help="in each folder")
    options = parser.parse_args(arguments)
    right = []
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        pictures, streams, photos = root / "pictures", root / "streams", root / "photos"
        for folder in (pictures, streams, photos):
            folder.mkdir()
        found = make(pictures, options.files, tuple(FORMATS))
        print(f"{options.files} files: " + ", ".join(f"{len(names)} {kind}" for kind, names in found.items()))
        for codec, ending in (("jpeg", ".jpg"), ("balle2017", ".ckt")):
            result = run("encode", str(pictures), str(root / codec), "--codec", codec)
            right.append(check(f"encode --codec {codec}", found, without_ending(root / codec, len(ending)), result))

        report = root / "report"
        command = ["compare", str(pictures), "--codecs", "jpeg,webp", "--qualities", "50", "--metrics", "psnr"]
        result = run(*command, "--out", str(report))
        records = (json.loads(line) for line in (report / "records.jsonl").read_text().splitlines())
        right.append(check("compare", found, {record["image"] for record in records}, result))

        found = make(streams, options.files, STREAMS)
        result = run("decode", str(streams), str(root / "decoded"))
        made = {path.name for path in (root / "decoded").iterdir()}
        done = {name for name in found["good"] if Path(name).stem + ".png" in made}
        right.append(len(made) == len(done) and check("decode", found, done, result))

        found = make(photos, options.files, JPEG)
        result = run("repack", str(photos), str(root / "packed"))
        stored = {name for name in found["bad"] if (photos / name).stat().st_size}  # as they are
        made = without_ending(root / "packed", 4)
        right.append(check("repack", found, made, result, stored))
        same = [unpack((root / "packed" / f"{name}.ckt").read_bytes()) == (photos / name).read_bytes() for name in made]
        print(f"unpack: {sum(same)} of {len(same)} restored to the bit")
    return 0 if all(right) and all(same) else 1


if __name__ == "__main__":
    raise SystemExit(main())
