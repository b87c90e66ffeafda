"""What temporal contexts save in the latents of P-frames: bits of real residuals, by context and by step.

::

    python -m codeckit.bench.studies.temporal_contexts CLIPS
    python -m codeckit.bench.studies.temporal_contexts CLIPS --frames 5 --steps 25 80

A linear codec stands for a learned one. Each frame is predicted by overlapped block motion from the frame decoded
before; the residual goes through the 192 principal components of blocks of 16×16×3 samples, which are those of the
clips' own residuals, and is rounded at one step. The first frame is coded in the same way without a prediction, and
does not count. Frames are scaled and cut to 416×240. Tables are those of Laplace densities with each channel's mean
magnitude over all clips.

"alone" begins each frame with new statistics, all others go on from frame to frame. `foreseen` is the level of the
same transform of the prediction, in steps. "oracle" has that of the mean magnitude of the unrounded coefficients
around, including those that come later, which no decoder knows: a bound for what a network could foresee. Bits are
those of all clips together; times are those of one core, without the first frame's.
"""

import argparse
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from ...codecs.frames import VIDEO_EXTENSIONS, read_video
from ...primitives.block_motion import Field, encode_field, estimate_field, overlapped
from ...primitives.color import YCbCr
from ...primitives.entropy import FrequencyTables, MixingDecoder, MixingEncoder
from ...primitives.entropy.latent_mixing import Statistics, of_tables

#: Frames are of this size.
HEIGHT, WIDTH = 240, 416

#: Components, as the latents of `dvc` have channels.
CHANNELS = 192
_SIDE = 16


def frames_of(path: Path, count: int) -> list[np.ndarray]:
    """The first frames of a clip, each scaled by a whole number and cut to the middle: uint8 [240,416,3]."""
    found = []
    for frame in islice(read_video(path), count):
        scale = min(frame.shape[0] // HEIGHT, frame.shape[1] // WIDTH)
        if not scale:
            return []
        height, width = HEIGHT * scale, WIDTH * scale
        top, left = (frame.shape[0] - height) // 2, (frame.shape[1] - width) // 2
        cut = frame[top : top + height, left : left + width].astype(np.float32)
        cut = cut.reshape(HEIGHT, scale, WIDTH, scale, 3).mean((1, 3))
        found.append(np.rint(cut).astype(np.uint8))
    return found if len(found) == count else []


def blocks(picture: np.ndarray) -> np.ndarray:
    """[240,416,3] as blocks, float64 [15,26,768]."""
    rows, columns = HEIGHT // _SIDE, WIDTH // _SIDE
    parts = picture.reshape(rows, _SIDE, columns, _SIDE, 3).transpose(0, 2, 1, 3, 4)
    return parts.reshape(rows, columns, -1).astype(np.float64)


def picture(parts: np.ndarray) -> np.ndarray:
    """The inverse of `blocks`."""
    rows, columns = parts.shape[:2]
    parts = parts.reshape(rows, columns, _SIDE, _SIDE, 3).transpose(0, 2, 1, 3, 4)
    return parts.reshape(rows * _SIDE, columns * _SIDE, 3)


def motion(frame: np.ndarray, reference: np.ndarray, before: Field, penalty: float) -> Field:
    """The motion of a frame, by its luma."""
    luma, luma_before = (YCbCr().forward(each).planes[0] for each in (frame, reference))
    return estimate_field(luma, luma_before, before, penalty)


def components(clips: list[list[np.ndarray]]) -> np.ndarray:
    """The principal components of residuals of original frames, [192,768]."""
    total = np.zeros((768, 768))
    for frames in clips:
        still = Field.still(HEIGHT // _SIDE, WIDTH // _SIDE)
        for reference, frame in zip(frames[:-1:2], frames[1::2], strict=False):
            residual = frame - overlapped(reference, motion(frame, reference, still, 12)).astype(np.float64)
            parts = blocks(residual).reshape(-1, 768)
            total += parts.T @ parts / max(1.0, float((parts**2).mean()))  # a clip counts as much as another
    return np.linalg.eigh(total)[1][:, ::-1][:, :CHANNELS].T


@dataclass(frozen=True, eq=False)
class Coded:
    """The P-frames of a clip.

    Attributes:
        symbols: int32 [frames,15,26,192].
        foreseen: levels by the prediction's transform, likewise.
        oracle: levels by the coefficients around.
        motion_bits: of all vectors.
        squared_error: mean over the frames.
    """

    symbols: np.ndarray
    foreseen: np.ndarray
    oracle: np.ndarray
    motion_bits: int
    squared_error: float


def levels(magnitudes: np.ndarray) -> np.ndarray:
    """Level 0 … 15 of magnitudes in steps, two an octave."""
    return np.clip(np.floor(2 * np.log2(np.maximum(magnitudes, 1e-9)) + 8), 0, 15).astype(np.int32)


def simulate(frames: list[np.ndarray], basis: np.ndarray, step: float) -> Coded:
    """Code a clip in a closed loop."""
    field, memory, bits, errors = Field.still(HEIGHT // _SIDE, WIDTH // _SIDE), {}, 0, []
    kept, reference = [], None
    for frame in frames:
        predicted = np.full(frame.shape, 128, np.uint8)
        if reference is not None:
            field = motion(frame, reference, field, step / 2)
            bits += 8 * len(encode_field(field, memory))
            predicted = overlapped(reference, field)
        y = blocks(frame - predicted.astype(np.float64)) @ basis.T / step
        symbols = np.rint(y).astype(np.int32)
        decoded = predicted + picture(symbols @ basis * step)
        if reference is not None:
            padded = np.pad(np.abs(y), ((1, 1), (1, 1), (0, 0)), mode="edge")
            around = sum(
                padded[i : i + y.shape[0], j : j + y.shape[1]] for i in range(3) for j in range(3) if (i, j) != (1, 1)
            )
            kept.append((symbols, levels(np.abs(blocks(predicted) @ basis.T) / step), levels(around / 8)))
        reference = np.clip(np.rint(decoded), 0, 255).astype(np.uint8)
        errors.append(np.mean((frame - reference.astype(np.float64)) ** 2))
    return Coded(*(np.stack(each) for each in zip(*kept, strict=True)), bits, float(np.mean(errors[1:])))


def laplace_tables(magnitudes: np.ndarray) -> FrequencyTables:
    """A table for each channel: Laplace densities of a mean magnitude [M], rounded to integers."""
    pmfs, lowest = [], []
    for mean in magnitudes:
        # P(0) = 1 - p, P(±k) = p (1 - r) r^(k-1) / 2 with the mean magnitude p / (1 - r) and r as in a rounded density
        scale = max(float(mean), 1e-4)
        r = np.clip((np.sqrt(1 + scale**2) - 1) / scale, 1e-6, 0.999)
        p = min(scale * (1 - r), 0.999)
        reach = int(np.clip(np.ceil(np.log(1e-6) / np.log(r)), 1, 2000))
        side = p * (1 - r) * r ** np.arange(reach) / 2
        tail = p * r**reach / 2
        pmfs.append([tail, *side[::-1], 1 - p, *side, tail])
        lowest.append(-reach)
    return FrequencyTables.from_pmfs(pmfs, lowest)


#: What each way of coding knows: whether statistics go on, whether there is a past, which levels are foreseen.
WAYS = {
    "alone": (False, False, None),
    "going on": (True, False, None),
    "past": (True, True, None),
    "foreseen": (True, False, "foreseen"),
    "both": (True, True, "foreseen"),
    "oracle": (True, True, "oracle"),
}


def code(clips: list[Coded], way: str) -> tuple[int, float, float]:
    """Bytes of all P-frames coded one way, and seconds of encoding and decoding a frame.

    Raises:
        AssertionError: a frame decodes to something else.
    """
    goes_on, with_past, levels = WAYS[way]
    temporal = with_past or levels is not None
    magnitudes = np.mean([np.abs(clip.symbols).mean((0, 1, 2)) for clip in clips], 0)
    shape = clips[0].symbols.shape[1:]
    where = np.indices(shape[:2]).reshape(2, -1)
    channels = np.broadcast_to(np.arange(shape[2]), (where.shape[1], shape[2]))
    distributions, order = of_tables(channels, laplace_tables(magnitudes)), np.argsort(-magnitudes, kind="stable")
    size, seconds = 0, []
    for clip in clips:
        sender, receiver = (Statistics(shape[2], temporal=temporal) for _ in range(2))
        for n, frame in enumerate(clip.symbols):
            if not goes_on:
                sender, receiver = (Statistics(shape[2], temporal=temporal) for _ in range(2))
            known = {"past": clip.symbols[n - 1] if n else None} if with_past else {}
            if levels:
                known["foreseen"] = getattr(clip, levels)[n]
            times = [time.process_time()]
            encoder = MixingEncoder([shape], statistics=[sender])
            encoder.put(0, where, frame.reshape(-1, shape[2]), distributions, order, **known)
            stream = encoder.getvalue()
            times.append(time.process_time())
            decoder = MixingDecoder(stream, [shape], statistics=[receiver])
            found = decoder.get(0, where, distributions, order, **known)
            decoder.finish()
            times.append(time.process_time())
            assert np.array_equal(found.reshape(shape), frame)
            size += len(stream)
            seconds.append(np.diff(times))
    return size, *np.mean(seconds[1:], 0).tolist()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Measure what temporal contexts save in the latents of P-frames.")
    parser.add_argument("clips", type=Path, help="folder of videos, each of 416×240 or more")
    parser.add_argument("--steps", type=float, nargs="+", default=[12, 25, 40, 80], help="quantization steps")
    parser.add_argument("--frames", type=int, default=9, help="of each clip, the first one included")
    parser.add_argument("--most", type=int, default=12, help="clips at most, spread over the folder")
    arguments = parser.parse_args()
    if arguments.frames < 2 or arguments.most < 1:
        parser.error("a clip needs 2 frames or more, and there must be one clip")
    paths = sorted(path for path in arguments.clips.iterdir() if path.suffix in VIDEO_EXTENSIONS)
    paths = paths[:: -(-len(paths) // arguments.most) or 1]
    clips = [frames for frames in (frames_of(path, arguments.frames) for path in paths) if frames]
    if not clips:
        parser.error(f"no videos of 416×240 and {arguments.frames} frames in {arguments.clips}")
    basis = components(clips)
    print("| step | PSNR | bpp of vectors | way | bpp | change | encoding, ms | decoding, ms |")
    print("| ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: |")
    for step in arguments.steps:
        coded = [simulate(frames, basis, step) for frames in clips]
        pixels = len(coded) * (arguments.frames - 1) * HEIGHT * WIDTH
        psnr = np.mean([10 * np.log10(255**2 / clip.squared_error) for clip in coded])
        vectors = sum(clip.motion_bits for clip in coded) / pixels
        sizes = {way: code(coded, way) for way in WAYS}
        for way, (size, encoding, decoding) in sizes.items():
            change = size / sizes["going on"][0] - 1
            print(f"| {step:g} | {psnr:.2f} | {vectors:.4f} | {way} | {8 * size / pixels:.4f} | {change:+.2%} "
                  f"| {1000 * encoding:.0f} | {1000 * decoding:.0f} |", flush=True)  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
