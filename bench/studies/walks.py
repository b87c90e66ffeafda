"""How a reader walks through the code: the files and functions that one encoding enters, in order.

A profile hook notes every Python function of the package that is entered while a picture is encoded (compiled kernels
are one step each). A *stay* is a call in the file of the call before it, a *return* a call in a file that was left
before. Few returns mean that the code can be read from top to bottom.

    python -m codeckit.bench.studies.walks [--codecs jpeg cheng2020 tokens] [--decode] [--show]
"""

import argparse
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ... import codec as configured
from ... import decode

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Walk:
    """What one run entered.

    Attributes:
        calls: (file, function) in order.
    """

    calls: tuple[tuple[str, str], ...]

    @property
    def files(self) -> list[str]:
        """The files in order, each run of one file once."""
        names = [file for file, _ in self.calls]
        return [name for n, name in enumerate(names) if n == 0 or names[n - 1] != name]

    @property
    def returns(self) -> Counter:
        """How often a file is entered again after it was left, by file."""
        seen: set[str] = set()
        again: Counter = Counter()
        for file in self.files:
            again[file] += file in seen
            seen.add(file)
        return +again


def walk(function) -> Walk:
    """The walk of a call of `function`, after a first call that warms caches up."""
    function()
    calls = []

    def note(frame, event, argument):
        if event == "call":
            path = Path(frame.f_code.co_filename)
            if path.is_relative_to(ROOT):
                calls.append((str(path.relative_to(ROOT)), frame.f_code.co_name))

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return Walk(tuple(calls))


def main():
    from skimage.data import astronaut

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codecs", nargs="+", default=["jpeg", "jpeg-context", "balle2017", "cheng2020", "tokens"])
    parser.add_argument("--decode", action="store_true", help="decode instead")
    parser.add_argument("--show", action="store_true", help="the files that are entered again, and the functions")
    options = parser.parse_args()
    image = astronaut()[:128, :192].copy()
    print(f"{'codec':14} {'calls':>6} {'functions':>9} {'files':>5} {'stays':>6} {'returns':>7}")
    for name in options.codecs:
        codec = configured(name)
        stream = codec.encode(image)
        found = walk((lambda s=stream: decode(s)) if options.decode else (lambda c=codec: c.encode(image)))
        stays = len(found.calls) - len(found.files)
        files = len(set(found.files))
        total = sum(found.returns.values())
        print(f"{name:14} {len(found.calls):6} {len(set(found.calls)):9} {files:5} {stays:6} {total:7}")
        if options.show:
            for file, count in found.returns.most_common():
                print(f"    {count:4} {file}")
            for file, function in found.calls:
                print(f"        {file}: {function}")


if __name__ == "__main__":
    main()
