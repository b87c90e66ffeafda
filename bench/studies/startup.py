"""How long codeckit takes to start: the import, and whole commands with compiled code cached.

    python -m codeckit.bench.studies.startup

Goals: the import under 0.2 s, ``codeckit encode a.png a.jpg --codec jpeg`` as a whole process under 1 s. Each line is
the median of so many fresh processes, less nothing: the interpreter's own start is in it.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from ..datasets import dataset


def seconds(command: list[str], repeats: int) -> float:
    """Median time of a process, after one run that fills the caches."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main(arguments=None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        png, jpg = Path(folder, "photo.png"), Path(folder, "photo.jpg")
        Image.fromarray(dataset("sample:astronaut")[0].load()).save(png)
        python, codeckit = [sys.executable, "-c"], [sys.executable, "-m", "codeckit"]
        for name, command in {
            "python, nothing imported": [*python, "pass"],
            "import codeckit": [*python, "import codeckit"],
            "codeckit codecs": [*codeckit, "codecs"],
            "codeckit encode photo.png photo.jpg --codec jpeg": [*codeckit, "encode", png, jpg, "--codec", "jpeg"],
            "codeckit decode photo.jpg photo.png": [*codeckit, "decode", jpg, png],
        }.items():
            print(f"{seconds(list(map(str, command)), options.repeats):6.3f} s  {name}")


if __name__ == "__main__":
    main()
