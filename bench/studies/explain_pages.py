"""The explorer's pages of many codecs, opened in Chromium: errors, sizes, and whether the stages' bits are the file's.

::

    python -m codeckit.bench.studies.explain_pages [IMAGE] [--codecs a,b] [--out FOLDER]

Prints a row a page: its size, how long it took to make, console errors, whether the divider moved and whether the page
is as wide as a phone. With ``--out`` the pages and screenshots of them stay there.
"""

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path

from ...codecs.registry import codec, parse_spec
from ...pages import explain
from ..datasets import dataset
from ..tables import align
from .chromium import browser, console, resize

CODECS = "jpeg,balle2017,cheng2020,tokens,tokens-vit,jpeg2000-teaching"


def check(page: Path, driver) -> dict:
    """What a browser says of a page."""
    resize(driver, 1280, 900)
    driver.get(page.resolve().as_uri())
    time.sleep(0.5)
    divider = driver.find_element("id", "divider")
    split = "return getComputedStyle(document.querySelector('.split')).getPropertyValue('--split')"
    before = driver.execute_script(split)
    divider.send_keys("\ue014")  # arrow right
    moved = driver.execute_script(split) != before
    driver.save_screenshot(str(page.with_suffix(".png")))
    resize(driver, 360, 740)
    wide = driver.execute_script("return document.documentElement.scrollWidth")
    return {"moved": moved, "wide": wide, "errors": console(driver)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("image", nargs="?", default="sample:astronaut")
    parser.add_argument("--codecs", default=CODECS, help="one page each; names joined by + stand side by side")
    parser.add_argument("--out", help="keep pages and screenshots here")
    options = parser.parse_args()
    (image,) = dataset(options.image)
    rows, good = [["page", "MB", "made in s", "stages' bits", "file's bits", "divider", "phone px", "console"]], True
    with tempfile.TemporaryDirectory() as scratch, browser() as driver:
        folder = Path(options.out or scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for names in [*options.codecs.split(","), "jpeg+cheng2020"]:
            codecs = [codec(name, **settings) for name, settings in map(parse_spec, names.split("+"))]
            start = time.perf_counter()
            text = explain(image.load(), codecs, name=image.name)
            seconds = time.perf_counter() - start
            page = folder / f"{re.sub('[^a-z0-9+-]', '_', names)}.html"
            page.write_text(text, encoding="utf-8")
            found = check(page, driver)
            told = re.findall(r"<dt>in the file</dt><dd><i [^>]*></i><span>([\d ]+) bits", text)
            told = sum(int(number.replace(" ", "")) for number in told)
            size = sum(8 * len(one.encode(image.load())) for one in codecs)
            good &= told == size and found["moved"] and found["wide"] <= 360 and not found["errors"]
            moved, errors = "moves" if found["moved"] else "stuck", str(len(found["errors"]))
            megabytes = f"{len(text.encode()) / 1e6:.2f}"
            rows.append([names, megabytes, f"{seconds:.1f}", str(told), str(size), moved, str(found["wide"]), errors])
    print(align(rows))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
