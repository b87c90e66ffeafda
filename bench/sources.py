"""Where pictures lie: files, members of tar shards, and whatever fsspec reaches (s3://, gs://, https://, zip:// …).

`stream` finds the pictures of a source one after the other and reads none of them; it holds no more than one folder's
names, so a million pictures take no more memory than a thousand. A `Blob` says where a picture's bytes are, in a few
words that a worker process can be handed.

**Shards.** A data set for training in webdataset's form is a list of tar files in which the files of one picture stand
together and share a name up to the first dot: ``0001.jpg``, ``0001.cls``. The label is what ``.cls`` says. Uncompressed
members are read where they lie, by offset; nothing is unpacked. ``train-{000..099}.tar`` means a hundred of them.
"""

import hashlib
import io
import itertools
import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from ..codecs.image_io import EXTENSIONS, STRICT, Reading, naming, read_image


@dataclass(frozen=True)
class Blob:
    """Some bytes: a whole file, or a stretch of one.

    Attributes:
        url: a path, or an address that fsspec knows.
        offset: where the bytes begin.
        length: how many they are; None for all.
    """

    url: str
    offset: int = 0
    length: int | None = None

    def read(self) -> bytes:
        """The bytes.

        Raises:
            FileNotFoundError: there is nothing.
        """
        with open_url(self.url) as file:
            file.seek(self.offset)
            return file.read(-1 if self.length is None else self.length)

    def load(self, reading: Reading = STRICT) -> np.ndarray:
        """The picture in them: uint8 [H,W,3] or [H,W].

        Raises:
            StreamError: it is damaged.
            ReadingError: it holds more than `reading` allows.
        """
        with naming(self.url):
            return read_image(io.BytesIO(self.read()), reading)

    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with the bytes."""
        return hashlib.sha256(self.read()).hexdigest()[:16]


def is_url(source) -> bool:
    """Whether a source is an address for fsspec, not a path.

    >>> is_url("s3://bucket/folder"), is_url("folder/a.png"), is_url("sample:coffee")
    (True, False, False)
    """
    return isinstance(source, str) and "://" in source


def open_url(url: str):
    """A binary file, local or by fsspec."""
    if not is_url(url):
        return open(url, "rb")
    import fsspec

    return fsspec.open(url, "rb").open()


def expand(pattern: str) -> list[str]:
    """The names that braces stand for.

    >>> expand("train-{008..010}.tar"), expand("{a,b}.tar")
    (['train-008.tar', 'train-009.tar', 'train-010.tar'], ['a.tar', 'b.tar'])
    """
    pieces = []
    for text in re.split(r"(\{[^{}]*\})", pattern):
        numbers = re.fullmatch(r"\{(\d+)\.\.(\d+)\}", text)
        if numbers:
            first, last = numbers.groups()
            pieces.append([str(n).zfill(len(first)) for n in range(int(first), int(last) + 1)])
        else:
            pieces.append(text[1:-1].split(",") if text.startswith("{") and text.endswith("}") else [text])
    return ["".join(choice) for choice in itertools.product(*pieces)]


def stream(source) -> Iterator[tuple[str, Blob, int | str | None]]:
    """Name, place and label of every picture of a source, in a fixed order.

    Args:
        source: a folder (with all folders in it; the label is the name of the folder that a picture lies in, if that is
            not the first), a file, a ``.tar`` shard, names of these with ``{…}`` or ``*``; paths or addresses.

    Raises:
        FileNotFoundError: a named file does not exist.
        ValueError: a compressed shard.
    """
    for place in _places(str(source)):
        if place.endswith((".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tar.xz")):
            raise ValueError(f"{place} is compressed; members are read where they lie: use plain .tar shards")
        if place.endswith(".tar"):
            yield from _shard(place)
        else:
            yield from _folder(place)


def _places(source):
    for place in expand(source):
        if "*" not in place:
            yield place
        elif is_url(place):
            import fsspec

            system, path = fsspec.core.url_to_fs(place)
            yield from (system.unstrip_protocol(found) for found in sorted(system.glob(path)))
        else:
            yield from map(str, sorted(Path().glob(place) if not Path(place).is_absolute() else _absolute(place)))


def _absolute(place):
    root = Path(place).anchor
    return Path(root).glob(place[len(root) :])


def _folder(place):
    """A file, or all pictures of a folder and those in it, folder by folder."""
    if is_url(place):
        import fsspec

        system, root = fsspec.core.url_to_fs(place)
        if system.isfile(root):
            yield PurePosixPath(root).name, Blob(place), None
            return
        prefix = root.rstrip("/") + "/"
        for folder, _, files in sorted(system.walk(root)):
            for file in sorted(files):
                path = f"{folder.rstrip('/')}/{file}"
                name = path[len(prefix) :] if path.startswith(prefix) else file
                if _is_picture(file) and not any(part.startswith(".") for part in name.split("/")):
                    yield name, Blob(system.unstrip_protocol(path)), _folder_label(name)
        return
    root = Path(place)
    if root.is_file():
        yield root.name, Blob(str(root)), None
        return
    if not root.is_dir():
        raise FileNotFoundError(f"no picture, folder or shard at {place}")
    for folder, inner, files in os.walk(root):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for file in sorted(files):
            if _is_picture(file):
                path = Path(folder, file)
                name = path.relative_to(root).as_posix()
                yield name, Blob(str(path)), _folder_label(name)


def _is_picture(file: str) -> bool:
    """Whether the name of a file is a picture's, and not hidden."""
    return PurePosixPath(file).suffix.lower() in EXTENSIONS and not file.startswith(".")


def _folder_label(name):
    return name.split("/")[-2] if "/" in name else None


def _shard(place):
    """The pictures of a tar file, read from its front once: headers only, contents are skipped."""
    shard = PurePosixPath(place).name
    held, key = {}, None
    with open_url(place) as file, tarfile.open(fileobj=file, mode="r:") as archive:
        for member in archive:
            if not member.isfile() or PurePosixPath(member.name).name.startswith("."):
                continue
            folder, _, base = member.name.rpartition("/")
            stem, _, ending = base.partition(".")
            if (folder, stem) != key:
                yield from _sample(shard, key, held)
                held, key = {}, (folder, stem)
            label = archive.extractfile(member).read().decode().strip() if ending == "cls" else None
            held["." + ending.lower()] = (Blob(place, member.offset_data, member.size), label)
            archive.members = []  # or tarfile keeps every header
    yield from _sample(shard, key, held)


def _sample(shard, key, held):
    """The picture of one group of files, if there is one."""
    _, label = held.get(".cls", (None, None))
    if label is not None and label.isdigit():
        label = int(label)
    for ending, (blob, _) in held.items():
        if ending in EXTENSIONS:
            folder, stem = key
            yield f"{shard}/{folder + '/' if folder else ''}{stem}{ending}", blob, label
