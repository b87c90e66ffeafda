"""Training data: photographs packed into one file, and random patches of them.

A *pack* is a safetensors file with square crops of photographs, compressed without loss (WebP), about 35 MB for 700
crops of 192×192. It travels to another machine as one file. In memory it is one uint8 tensor, which stays on the device
that trains; patches are cut there.

**Packing.** Photographs were compressed before, most of them as JPEG, and a network that learns from them learns to
keep the marks of that. So each crop is taken from a picture scaled down by a random factor (Lanczos filter), after
which 8×8 blocks no longer lie on a grid. The factor is drawn between 0.5, or what leaves room for one crop, and 1.
Pictures take turns to give a crop each until the file is full; large ones give more of them, up to their area.

**Held-out pictures.** Some pictures are set aside before that. They give one crop each, for validation, and none for
training. The choice depends on the seed and the pictures alone; the same pictures and seed give the same file.

**Patches.** `batch` cuts a patch from each of some random crops and flips every other one.

The Kodak photographs are refused: they are the test set.
"""

import argparse
import errno
import io
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from tqdm import tqdm

from ..codecs.image_io import picture_files, read_image, write_atomically
from ..primitives.errors import StreamError

#: Smallest scale of a packed picture.
MIN_SCALE = 0.5

_KODAK = re.compile(r"kodim\d\d", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Pack:
    """Crops of photographs.

    Attributes:
        training, validation: uint8 [K,S,S,3]; no photograph has crops in both.
    """

    training: Tensor
    validation: Tensor

    def to(self, device) -> "Pack":
        """The same crops on another device."""
        return Pack(self.training.to(device), self.validation.to(device))


def write_pack(
    sources, out, *, crop: int = 192, megabytes: float = 35, held_out: int = 32, seed: int = 0, progress: bool = False
) -> Pack:
    """Pack photographs into a file.

    Args:
        sources: paths of folders or of image files; folders in folders are not searched. Grey pictures and those with
            a side shorter than `crop` are passed over.
        out: the file to write.
        crop: side S of a crop in pixels.
        megabytes: most that the crops may take, in units of 10^6 bytes.
        held_out: number of pictures for validation.
        seed: of all choices.

    Returns:
        What `load_pack` reads from the file.

    Raises:
        ValueError: a Kodak photograph is among them, or fewer pictures are usable than needed.
        FileNotFoundError: a source does not exist.
    """
    pictures = photograph_files(sources)
    rng = np.random.default_rng(seed)
    rng.shuffle(pictures)
    streams: dict[bool, list[bytes]] = {True: [], False: []}  # for validation or not
    full, size, turn = False, 0, 0
    bar = tqdm(total=megabytes, unit="MB", disable=not progress, bar_format="{l_bar}{bar}| {n:.1f}/{total} MB")
    while pictures and not full:
        turn, left = turn + 1, []
        for picture in pictures:
            pixels = read_image(picture)
            if pixels.ndim == 2 or min(pixels.shape[:2]) < crop:
                continue
            validates = len(streams[True]) < held_out
            stream = _compress(_random_crop(pixels, crop, rng))
            if size + len(stream) > megabytes * 1e6:
                full = True
                break
            streams[validates].append(stream)
            size += len(stream)
            bar.update(len(stream) / 1e6)
            if not validates and pixels.size // 3 > (turn + 1) * crop**2:
                left.append(picture)
        pictures = left
    bar.close()
    if len(streams[True]) < held_out or not streams[False]:
        raise ValueError(
            f"a pack needs more than {held_out} colour photographs with sides of at least {crop} pixels, and "
            f"room for them in {megabytes} MB; there are {len(streams[True]) + len(streams[False])}"
        )
    ordered = streams[False] + streams[True]
    tensors = {
        "streams": torch.frombuffer(bytearray(b"".join(ordered)), dtype=torch.uint8),
        "sizes": torch.tensor([len(stream) for stream in ordered]),
    }
    about = {"crop": crop, "training": len(streams[False]), "validation": len(streams[True]), "seed": seed}
    write_atomically(out, save(tensors, {"pack": json.dumps(about)}))
    return load_pack(out)


def photograph_files(sources) -> list[Path]:
    """The image files of folders, and those named themselves.

    Raises:
        ValueError: a Kodak photograph is among them.
        FileNotFoundError: a source does not exist.
    """
    pictures = [path for source in sources for path in picture_files(source)]
    for picture in pictures:
        if _KODAK.search(picture.name):
            raise ValueError(f"{picture.name} is a Kodak photograph: these are the test set, nothing may train on them")
    return pictures


def load_pack(path) -> Pack:
    """Read a file of `write_pack`.

    Raises:
        StreamError: another kind of file.
        FileNotFoundError: there is no such file.
    """
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    try:
        with safe_open(path, "pt") as file:
            about = json.loads(file.metadata()["pack"])
            data, sizes = file.get_tensor("streams").numpy(), file.get_tensor("sizes").tolist()
    except (SafetensorError, KeyError, TypeError) as error:  # another file, other metadata, none
        raise StreamError(
            f"{path} is no pack of photographs; make one with: python -m codeckit.training.data"
        ) from error
    ends = np.cumsum(sizes)
    crops = [_decompress(data[end - size : end].tobytes()) for size, end in zip(sizes, ends, strict=True)]
    together = torch.from_numpy(np.stack(crops))
    return Pack(together[: about["training"]], together[about["training"] :])


def batch(crops: Tensor, size: int, patch: int, rng: np.random.Generator) -> Tensor:
    """Random patches, half of them mirrored, on the device of the crops.

    Args:
        crops: uint8 [K,S,S,3].
        size: number N of patches.
        patch: their side P, at most S.

    Returns:
        float32 [N,3,P,P] in 0 … 1, with channels last in memory.

    Raises:
        ValueError: patches larger than crops.

    >>> crops = torch.arange(2 * 8 * 8 * 3).reshape(2, 8, 8, 3).to(torch.uint8)
    >>> batch(crops, size=5, patch=4, rng=np.random.default_rng(0)).shape
    torch.Size([5, 3, 4, 4])
    """
    count, side = crops.shape[:2]
    if patch > side:
        raise ValueError(f"patches of {patch}×{patch} cannot be cut from crops of {side}×{side}; pack larger crops")
    along = np.arange(patch)
    rows = rng.integers(side - patch + 1, size=(size, 1)) + along
    columns = rng.integers(side - patch + 1, size=(size, 1)) + along
    mirrored = rng.random((size, 1)) < 0.5
    columns = np.where(mirrored, columns[:, ::-1], columns)
    which = rng.integers(count, size=size)
    which, rows, columns = (torch.from_numpy(a).to(crops.device, non_blocking=True) for a in (which, rows, columns))
    patches = crops[which[:, None, None], rows[:, :, None], columns[:, None, :]]
    return patches.permute(0, 3, 1, 2).float() / 255


def scaled_size(shape: tuple[int, ...], crop: int, rng: np.random.Generator) -> tuple[int, int]:
    """The size (H, W) of a picture of a shape [H,W,…], scaled down by a random factor that leaves room for a crop.

    >>> scaled_size((480, 640, 3), crop=480, rng=np.random.default_rng(0))
    (480, 640)
    """
    height, width = shape[:2]
    scale = rng.uniform(max(MIN_SCALE, crop / min(height, width)), 1)
    return max(crop, round(height * scale)), max(crop, round(width * scale))


def _random_crop(pixels, crop, rng):
    height, width = scaled_size(pixels.shape, crop, rng)
    top, left = rng.integers(height - crop + 1), rng.integers(width - crop + 1)
    scaled = Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS)
    return scaled.crop((left, top, left + crop, top + crop))


def _compress(image) -> bytes:
    out = io.BytesIO()
    image.save(out, "webp", lossless=True, method=4)
    return out.getvalue()


def _decompress(stream: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(stream)).convert("RGB"))


def main(arguments: list[str] | None = None) -> None:
    """The command ``python -m codeckit.training.data``."""
    parser = argparse.ArgumentParser(
        prog="python -m codeckit.training.data", description="Pack photographs into one file to train on."
    )
    parser.add_argument("sources", nargs="+", metavar="FOLDER", help="folders of photographs")
    parser.add_argument("--out", required=True, metavar="FILE", help="the pack, a .safetensors file")
    parser.add_argument("--crop", type=int, default=192, metavar="S", help="side of a crop in pixels (192)")
    parser.add_argument("--megabytes", type=float, default=35, metavar="M", help="size of the file (35)")
    parser.add_argument("--held-out", type=int, default=32, metavar="K", help="pictures for validation (32)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        pack = write_pack(
            options.sources,
            options.out,
            crop=options.crop,
            megabytes=options.megabytes,
            held_out=options.held_out,
            seed=options.seed,
            progress=True,
        )
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(f"{options.out}: {len(pack.training)} crops to train on, {len(pack.validation)} held out")


if __name__ == "__main__":
    main()
