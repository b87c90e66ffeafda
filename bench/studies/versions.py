"""Sizes and times of two versions of codeckit, each in processes of its own that take turns.

Each folder holds a checkout called `codeckit`. A process codes the sample photographs (or a folder) with one codec and
reports bytes, and seconds of encoding and decoding on one thread, the fastest of some runs after a warm-up; processes
of the two versions alternate, so that a busy machine disturbs both.

    git worktree add ../before/codeckit COMMIT
    python -m codeckit.bench.studies.versions ../before .. [--turns 5] [--codecs jpeg cheng2020]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

CODECS = ("jpeg", "jpeg-context", "repack", "balle2017", "cheng2020", "tokens")

#: What a process runs; it must work in both versions.
CODE = """import json, sys, time, codeckit
name, runs = sys.argv[1], int(sys.argv[2])
images = [image.load()[:256, :384] for image in codeckit.dataset("sample")]
if name == "repack":
    from codeckit.codecs.jpeg.repack import repack, unpack
    encode, decode = repack, unpack
    images = [codeckit.codec("jpeg", optimize=False).encode(image) for image in images]
else:
    codec = codeckit.codec(name)
    encode, decode = codec.encode, codeckit.decode
def clocked(function, values):
    best = [float("inf")] * len(values)
    results = [function(value) for value in values]
    for _ in range(runs):
        for n, value in enumerate(values):
            start = time.process_time()
            function(value)
            best[n] = min(best[n], time.process_time() - start)
    return results, sum(best)
streams, encoding = clocked(encode, images)
_, decoding = clocked(decode, streams)
print(json.dumps([sum(map(len, streams)), encoding, decoding]))
"""


def measure(folder: str, codec: str, runs: int) -> tuple[int, float, float]:
    """Bytes, and seconds of processor time of encoding and decoding, by the version in a folder."""
    environment = {**os.environ, "PYTHONPATH": folder, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CODE, codec, str(runs)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)
    if done.returncode:
        raise SystemExit(f"{folder}, {codec}: {done.stderr[-2000:]}")
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", help="folder that holds the earlier checkout")
    parser.add_argument("after", help="folder that holds the later one")
    parser.add_argument("--codecs", nargs="+", default=CODECS)
    parser.add_argument("--turns", type=int, default=5, help="processes of each version")
    parser.add_argument("--runs", type=int, default=5, help="runs of each process")
    options = parser.parse_args()
    print("codec          bytes before     after   ratio     encode   decode  (time after / before)")
    for codec in options.codecs:
        turns = [
            [measure(folder, codec, options.runs) for folder in (options.before, options.after)]
            for _ in range(options.turns)
        ]
        sizes = [turns[0][n][0] for n in (0, 1)]
        encode, decode = (statistics.median(after[n] / before[n] for before, after in turns) for n in (1, 2))
        row = f"{codec:14} {sizes[0]:12} {sizes[1]:9} {sizes[1] / sizes[0]:7.4f}   {encode:8.3f} {decode:8.3f}"
        print(row, flush=True)


if __name__ == "__main__":
    main()
