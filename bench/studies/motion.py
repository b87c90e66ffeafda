"""What block motion is worth: PSNR of predictions, and bits of the vectors that they need.

::

    python -m codeckit.bench.studies.motion CLIPS                            # three penalties
    python -m codeckit.bench.studies.motion CLIPS --frames 9 --penalties 8
    python -m codeckit.bench.studies.motion CLIPS --learned                  # block motion against learned motion
    python -m codeckit.bench.studies.motion PACK --learned motion.safetensors

Each frame of each clip of a folder is predicted from the frame before, the *original* one, in RGB, without a residual.
Motion is estimated on luma. Vectors are coded with statistics that go on from frame to frame. PSNR and bits a pixel are
means over frames, then over clips; frames are cut to whole blocks of 16×16. Speeds are those of one core, in frames of
416×240 a second of processor time; the first frame, which compiles, does not count.

With ``--learned``, the stages `BlockMotion` and `LearnedMotion` of learned video codecs take the place of these
functions, at some of the codecs' qualities, in one table. Cost is what motion is chosen for: bits a pixel, and λ' times
the squared error of the prediction (`training.motion`), a mean over clips. A pack of sequences stands for its held-out
ones.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from ...codecs.frames import VIDEO_EXTENSIONS, read_video
from ...codecs.learned.lambdas import LAMBDAS
from ...codecs.learned_video.learned_motion import LearnedMotion, register_motion
from ...codecs.learned_video.motion import BlockMotion, Motion
from ...codecs.learned_video.motion_network import LEVELS, SHARE
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


def pairs(source: Path | np.ndarray, frames: int | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each frame of a clip, a file or an array, with the one before, in whole blocks."""
    before = None
    for frame in islice(read_video(source) if isinstance(source, Path) else source, frames):
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


def sources(path: Path) -> dict[str, Path | np.ndarray]:
    """The clips of a folder by their names, as paths; the held-out sequences of a pack as frames [N,S,S,3]."""
    if path.is_dir():
        return {clip.stem: clip for clip in sorted(path.iterdir()) if clip.suffix in VIDEO_EXTENSIONS}
    from ...training.sequences import load_sequences

    return {f"sequence {n}": frames for n, frames in enumerate(load_sequences(path).validation.frames.numpy())}


def measure_stage(source, stage: Motion, quality: float, frames: int | None, watch: Stopwatch) -> dict[str, float]:
    """Means over a clip with a motion stage: PSNR, bits a pixel, and the cost."""
    found = defaultdict(list)
    weight = SHARE * float(np.exp(np.interp(quality - 1, np.arange(LEVELS), np.log(LAMBDAS["mse"]))))
    before, memory, memory_again = None, {}, {}
    for reference, frame in pairs(source, frames):
        pixels = frame.shape[0] * frame.shape[1]
        before = watch.run(stage.estimate, pixels, frame, reference, before, quality)
        data = watch.run(stage.pack, pixels, before, memory)
        shape = frame.shape[0] // BLOCK, frame.shape[1] // BLOCK
        predicted = watch.run(
            stage.predict, pixels, reference, watch.run(stage.unpack, pixels, data, shape, memory_again)
        )
        error = np.square(frame.astype(np.float64) - predicted).mean()
        found["psnr"].append(psnr(frame, predicted))
        found["bpp"].append(8 * len(data) / pixels)
        found["cost"].append(found["bpp"][-1] + weight * error)
    return {name: float(np.mean(values)) for name, values in found.items()}


def compare(clips: dict, stages: dict[str, Motion], qualities, frames: int | None) -> None:
    """Print the table of motion stages, and what they take of a core."""
    print("| quality | clip |" + "".join(f" {name} | bpp | cost |" for name in stages))
    print("| ---: | --- |" + " ---: | ---: | ---: |" * len(stages))
    watches = {name: Stopwatch() for name in stages}
    for quality in qualities:
        rows = {
            clip: [measure_stage(source, stage, quality, frames, watches[name]) for name, stage in stages.items()]
            for clip, source in clips.items()
        }
        means = [{key: float(np.mean([row[n][key] for row in rows.values()])) for key in ("psnr", "bpp", "cost")}
                 for n in range(len(stages))]  # fmt: skip
        for clip, row in {**rows, "mean": means}.items():
            cells = "".join(f" {one['psnr']:.2f} | {one['bpp']:.4f} | {one['cost']:.4f} |" for one in row)
            print(f"| {quality:g} | {clip} |{cells}", flush=True)
    for name, stage in stages.items():
        speeds = {each: 1000 / watches[name].speed(getattr(stage, each)) for each in ("estimate", "predict", "unpack")}
        print(f"{name}: " + ", ".join(f"{each} {speed:.0f} ms" for each, speed in speeds.items()) + " a frame")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Measure predictions by block motion, and by learned motion.")
    parser.add_argument("clips", type=Path, help="folder of videos; with --learned also a pack of sequences")
    parser.add_argument("--learned", nargs="?", const="", metavar="FILE", help="learned motion; default: what ships")
    parser.add_argument("--qualities", type=float, nargs="+", default=[2, 4, 6], help="with --learned")
    parser.add_argument("--penalties", type=float, nargs="+", default=[4, 12, 36], help="grey levels a bit")
    parser.add_argument("--frames", type=int, help="of each clip; default: all")
    arguments = parser.parse_args()
    if arguments.learned is not None:
        weights = register_motion(arguments.learned) if arguments.learned else ""
        stages = {"block motion": BlockMotion(), "learned motion": LearnedMotion(weights)}
        compare(sources(arguments.clips), stages, arguments.qualities, arguments.frames)
        return 0
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
