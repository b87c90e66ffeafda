"""What a codec declares of itself, beside its code: everything that a user needs to choose it, and a path to the code.

A declaration is an `Entry` in a module that imports nothing heavy, named in the entry points of its distribution::

    [project.entry-points."codeckit.codecs"]
    bmp = "my_package.bmp:BMP"

It is read to list codecs and to recognise files; the codec itself is imported when it is built.
"""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: What files begin with: one of several patterns, each a tuple of (position, bytes) pairs.
Magic = tuple[tuple[tuple[int, bytes], ...], ...]


@dataclass(frozen=True)
class Entry:
    """One declared codec.

    Attributes:
        name: what `codec(name)` takes.
        family: ``"classical"``, ``"learned"`` and ``"tokens"`` are compositions of stages, ``"library"`` is a library's
            codec, ``"baseline"`` what all are held against, ``"own"`` what a process registered.
        media: what it codes: ``"image"``, ``"image, video"`` or ``"tokens"``.
        quality: lowest and highest value of its quality scale; higher is better.
        summary: one line.
        factory: ``"module:function"`` or the function itself; its keyword arguments are the codec's options.
        extension: file name ending of its streams.
        whole: whether the quality scale has whole numbers only.
        quality_steps: steps that a whole number of its quality scale is divided into where a target is searched for.
        magic: what its files begin with; empty for `.ckt`.
        brands: of ISO base media files (``ftyp``), instead: a file that names one of them is the codec's.
        describer: ``"module:function"`` that tells size (H, W), channels and details of such a file.
        requires: packages that must be installed besides the core.
        install: what to do where it is not available.
        profiles: ``"package:file.json"`` with the codec's profile (`codecs.profiles`); empty for codecs whose streams
            list all their stages.
        ready: whether what else it needs is there, such as trained weights; None for nothing else.
    """

    name: str
    family: str
    media: str
    quality: tuple[float, float]
    summary: str
    factory: str | Callable[..., Any]
    extension: str = ".ckt"
    whole: bool = False
    quality_steps: int = 1
    magic: Magic = ()
    brands: tuple[bytes, ...] = ()
    describer: str = ""
    requires: tuple[str, ...] = ()
    install: str = ""
    profiles: str = "codeckit.codecs:profiles.json"
    ready: Callable[[], bool] | None = None

    @property
    def available(self) -> bool:
        """Whether everything that the codec needs is installed, trained weights included."""
        packages = all(importlib.util.find_spec(package) for package in self.requires)
        return packages and (self.ready is None or self.ready())

    def load(self) -> Callable[..., Any]:
        """The function that builds the codec."""
        return self.factory if callable(self.factory) else imported(self.factory)

    def describe(self, data: bytes) -> tuple[tuple[int, int], int, dict]:
        """Size (H, W), channels and other facts of a file in the codec's own format."""
        return imported(self.describer)(data)


def imported(path: str) -> Callable[..., Any]:
    """What ``"module:attribute"`` names."""
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)
