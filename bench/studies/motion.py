"""What block motion is worth: PSNR of predictions, and bits of the vectors that they need.

::

    python -m codeckit.bench.studies.motion CLIPS                            # three penalties
    python -m codeckit.bench.studies.motion CLIPS --frames 9 --penalties 8

Each frame of each clip of a folder is predicted from the frame before, the *original* one, in RGB, without a residual.
Motion is estimated on luma. Vectors are coded with statistics that go on from frame to frame. PSNR and bits a pixel are
means over frames, then over clips; frames are cut to whole blocks of 16×16. Speeds are those of one core, in frames of
416×240 a second of processor time; the first frame, which compiles, does not count.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from ...codecs.frames import VIDEO_EXTENSIONS, read_video
from ...metrics.distortion import psnr
from ...primitives.block_motion import Field, encode_field, estimate_field, overlapped
from ...primitives.color import YCbCr
from ...primitives.motion import BLOCK, compensate, estimate, pad

#: Of the frames whose speed is told.
PIXELS = 416 * 240


class Stopwatch:
    """Processor time of calls, all but the first one of each function, for a number of pixels."""

    def __init__(self):
        self.seconds, self.pixels = defaultdict(float), defaultdict(int)
        self._warm = set()

    def run(self, function, pixels: int, *arguments):
        """Call the function."""
        begun = time.process_time()
        result = function(*arguments)
        if function in self._warm:
            self.seconds[function] += time.process_time() - begun
            self.pixels[function] += pixels
        self._warm.add(function)
        return result

    def speed(self, function) -> float:
        """Frames of 416×240 a second."""
        return self.pixels[function] / PIXELS / max(self.seconds[function], 1e-9)


def pairs(path: Path, frames: int | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each frame of a clip with the one before, in whole blocks."""
    before = None
    for frame in islice(read_video(path), frames):
        height, width = (side // BLOCK * BLOCK for side in frame.shape[:2])
        frame = np.ascontiguousarray(frame[:height, :width])
        if before is not None:
            yield before, frame
        before = frame


def measure(path: Path, penalty: float, frames: int | None, watch: Stopwatch) -> dict[str, float]:
    """Means over a clip: PSNR of each prediction, bits a pixel of its vectors, share of split blocks."""
    found = defaultdict(list)
    blocks, split = None, None
    memories = {}, {}
    for reference, frame in pairs(path, frames):
        luma, luma_before = (YCbCr().forward(each).planes[0] for each in (frame, reference))
        rows, columns = (side // BLOCK for side in luma.shape)
        blocks = np.zeros((rows, columns, 2), np.int32) if blocks is None else blocks
        blocks = estimate(luma, pad(luma_before), blocks, penalty)
        whole = Field(blocks.repeat(2, 0).repeat(2, 1), np.zeros((rows, columns), bool))
        split = watch.run(estimate_field, luma.size, luma, luma_before, split or Field.still(rows, columns), penalty)
        copied = [compensate(pad(np.ascontiguousarray(reference[..., n])), blocks, chroma=False) for n in range(3)]
        found["frame before"].append(psnr(frame, reference))
        found["blocks"].append(psnr(frame, np.stack(copied, 2)))
        found["overlapped"].append(psnr(frame, overlapped(reference, whole)))
        found["split"].append(psnr(frame, watch.run(overlapped, luma.size, reference, split)))
        found["bpp"].append(8 * len(encode_field(whole, memories[0])) / luma.size)
        found["split bpp"].append(8 * len(encode_field(split, memories[1])) / luma.size)
        found["share"].append(split.split.mean())
    return {name: float(np.mean(values)) for name, values in found.items()}


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Measure predictions by block motion.")
    parser.add_argument("clips", type=Path, help="folder of videos")
    parser.add_argument("--penalties", type=float, nargs="+", default=[4, 12, 36], help="grey levels a bit")
    parser.add_argument("--frames", type=int, help="of each clip; default: all")
    arguments = parser.parse_args()
    paths = sorted(path for path in arguments.clips.iterdir() if path.suffix in VIDEO_EXTENSIONS)
    if not paths:
        parser.error(f"no videos in {arguments.clips}")
    watch = Stopwatch()
    print("| λ | clip | frame before | blocks | overlapped | bpp | split, overlapped | bpp | blocks split |")
    print("| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for penalty in arguments.penalties:
        clips = {path.stem: measure(path, penalty, arguments.frames, watch) for path in paths}
        clips["mean"] = {name: float(np.mean([clip[name] for clip in clips.values()])) for name in clips[paths[0].stem]}
        for name, means in clips.items():
            print(f"| {penalty:g} | {name} | {means['frame before']:.2f} | {means['blocks']:.2f} "
                  f"| {means['overlapped']:.2f} | {means['bpp']:.4f} | {means['split']:.2f} | {means['split bpp']:.4f} "
                  f"| {means['share']:.1%} |", flush=True)  # fmt: skip
    print(f"estimation {watch.speed(estimate_field):.1f}, compensation of RGB {watch.speed(overlapped):.1f} frames/s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
