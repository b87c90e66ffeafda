"""Read every file of a folder of real pictures, as `encode`, `decode`, `info` and `read_metadata` do, and judge it.

    python -m codeckit.bench.studies.real_files FOLDER            # and all folders in it

Meant for test images of other projects, damaged ones included. Each file is read strictly, and again with every option
(blended onto white, 8 bits, the first frame, all metadata kept). Where it needs no option and has no profile, its
pixels are compared with those that Pillow gives, turned upright. The exit status is 1 if pixels differ, or if anything
else than `StreamError` or `ReadingError` is raised; the files are named.
"""

import argparse
import re
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from ... import codec, decode, info, read_image, read_metadata
from ...codecs.image_io import Reading, open_image
from ...primitives import ReadingError, StreamError

LOOSE = Reading(background="white", depth=8, frame=0, metadata="keep")


def reason_of(error: Exception) -> str:
    """A message without the file's name and numbers."""
    return re.sub(r"\d+", "N", str(error).partition(": ")[2])[:60]


def by_pillow(path: Path) -> np.ndarray | None:
    """The pixels that Pillow gives, upright; None where files with profile or alpha are no comparison, or it fails."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            if image.has_transparency_data or read_metadata(path).icc:
                return None
            return np.asarray(ImageOps.exif_transpose(image).convert("L" if image.mode in ("1", "L") else "RGB"))
    except Exception:  # whatever Pillow raises: there is nothing to compare with
        return None


def verdict_of(path: Path) -> tuple[str, str]:
    """What came of a file, in a word, and why."""
    try:
        strict, reason = read_image(path), ""
    except (StreamError, ReadingError) as error:
        strict, reason = None, reason_of(error)
    try:
        codec("jpeg", metadata="keep").encode(open_image(path, LOOSE, ("exif", "icc", "xmp", "comment", "grey icc")))
    except (StreamError, ReadingError) as error:
        return "refused", reason_of(error)
    for call in (info, read_metadata, lambda path: decode(path, background="white", depth=8, frame=0)):
        try:
            call(path)
        except (StreamError, ReadingError):
            continue  # formats that are read and not decoded, among others
    if strict is None:
        return "read with an option", reason
    expected = by_pillow(path)
    if expected is not None and not np.array_equal(strict, expected):
        return "WRONG", "other pixels than Pillow's"
    return "read", ""


def main(argv=None) -> int:
    """Go through a folder; 1 if something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    verdicts, reasons, slowest = Counter(), Counter(), (0.0, "")
    for path in sorted(path for path in args.folder.rglob("*") if path.is_file()):
        start = time.perf_counter()
        try:
            verdict, reason = verdict_of(path)
        except Exception as error:  # whatever it is, it is a finding
            verdict, reason = "WRONG", f"{type(error).__name__}: {error}"
        if verdict == "WRONG":
            print(f"{path}: {reason}")
        verdicts[verdict] += 1
        reasons[verdict, reason] += bool(reason)
        slowest = max(slowest, (time.perf_counter() - start, str(path)))
    for verdict, count in verdicts.most_common():
        print(f"{count:>6}  {verdict}")
        for (kind, reason), times in reasons.most_common(40):
            if kind == verdict and reason:
                print(f"        {times:>6}  {reason}")
    print(f"slowest: {slowest[0]:.1f} s, {slowest[1]}")
    return 1 if verdicts["WRONG"] else 0


if __name__ == "__main__":
    sys.exit(main())
