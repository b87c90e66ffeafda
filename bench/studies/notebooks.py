"""Run every notebook from top to bottom, each in a process of its own, and write its page.

::

    python -m codeckit.bench.studies.notebooks FOLDER [--out PAGES] [--threads 1]

FOLDER is ``docs/notebooks`` of a checkout. Their cells check what they claim, so one that runs is right. Prints a row a
notebook: seconds, memory, and the size of its page.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ..tables import align

#: In the order in which they teach.
ORDER = ("transform", "quantization", "entropy", "learned", "tokens", "build_your_own", "video")

_CODE = "import sys\nfrom codeckit.codecs.image_io import write_atomically\nfrom codeckit.pages import notebook_page\n"
_CODE += "write_atomically(sys.argv[2], notebook_page(sys.argv[1]))"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", help="keep the pages here")
    parser.add_argument("--threads", type=int, default=1, help="threads of a notebook")
    options = parser.parse_args()
    rows, failed = [["notebook", "s", "MiB", "page MB"]], []
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads), "MPLBACKEND": "agg"}
    with tempfile.TemporaryDirectory() as scratch:
        for name in ORDER:
            page = Path(options.out or scratch) / f"{name}.html"
            start = time.perf_counter()
            command = [sys.executable, "-c", _CODE, str(options.folder / f"{name}.py"), str(page)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            seconds = time.perf_counter() - start
            if done.returncode:
                failed.append(name)
                print(f"{name} failed:\n{done.stderr[-2000:]}", file=sys.stderr)
                continue
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # the largest so far
            rows.append([name, f"{seconds:.1f}", f"≤ {peak:.0f}", f"{page.stat().st_size / 1e6:.2f}"])
    print(align(rows))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
