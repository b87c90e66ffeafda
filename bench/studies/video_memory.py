"""Does memory depend on a video's length? 1000 frames of 1280×720 through an encoder and its decoder.

::

    python -m codeckit.bench.studies.video_memory                       # hevc, 1000 frames
    python -m codeckit.bench.studies.video_memory --codec video-teaching --frames 200

Frames are made one at a time by a generator; the stream goes into a file and is decoded from it. Resident memory of
this process is read after each frame; what counts is how much its highest value grows from the moment at which every
buffer has filled (frame 100: encoders look ahead some 60 frames) to the end. Exit status 1 above the limit. Needs
Linux.
"""

import argparse
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np

from ...api import decode_video
from ...codecs import registry
from ...codecs.frames import Frames
from .pictures import photo

LIMIT_MIB = 50


def resident_mib() -> float:
    """Resident memory of this process in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise OSError("no VmRSS in /proc/self/status")


def moving(count: int, height: int, width: int):
    """A photo seen through a window that wanders, with a little noise that differs from frame to frame."""
    still = photo(height + 200, width + 200, seed=1)
    noise = np.random.default_rng(1).integers(-2, 3, (height + 64, width, 3), np.int16)
    for n in range(count):
        y, x = round(100 + 90 * np.sin(n / 40)), round(100 + 90 * np.cos(n / 55))
        window = still[y : y + height, x : x + width].astype(np.int16)
        yield np.clip(window + noise[n % 64 : n % 64 + height], 0, 255).astype(np.uint8)


class Watch:
    """The highest resident memory while the first frames come, and while the others do."""

    def __init__(self, settled: int):
        self.settled, self.before, self.after, self.count = settled, 0.0, 0.0, 0

    def pass_on(self, frames):
        """The same frames, watched."""
        for frame in frames:
            now = resident_mib()
            if self.count < self.settled:
                self.before = max(self.before, now)
            else:
                self.after = max(self.after, now)
            self.count += 1
            yield frame

    @property
    def growth(self) -> float:
        """MiB."""
        return max(self.after - self.before, 0.0)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Measure how memory grows with a video's length.")
    parser.add_argument("--codec", default="hevc:preset=veryfast", help="codec and options")
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--size", default="1280x720", help="width x height")
    parser.add_argument("--settled", type=int, default=100, help="frames after which buffers are full")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    name, options = registry.parse_spec(arguments.codec)
    codec = registry.codec(name, **options)
    encoding, decoding = Watch(arguments.settled), Watch(arguments.settled)

    def start():
        return encoding.pass_on(moving(arguments.frames, height, width))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.ckt"
        begun = time.perf_counter()
        codec.encode_video(Frames((height, width), Fraction(25), arguments.frames, start), path, progress=True)
        encoded = time.perf_counter()
        count = sum(1 for _ in decoding.pass_on(decode_video(path)))
        decoded = time.perf_counter()
        size = path.stat().st_size
    print(f"{arguments.codec}: {count} frames of {width}×{height}, {size / 2**20:.1f} MiB of stream")
    for what, watch, seconds in (("encoding", encoding, encoded - begun), ("decoding", decoding, decoded - encoded)):
        print(f"{what}: {watch.growth:.1f} MiB more after frame {arguments.settled} (at {watch.before:.0f} MiB), "
              f"{count / seconds:.1f} frames/s")  # fmt: skip
    return 0 if count == arguments.frames and max(encoding.growth, decoding.growth) <= LIMIT_MIB else 1


if __name__ == "__main__":
    sys.exit(main())
