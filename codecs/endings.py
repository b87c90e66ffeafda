"""Endings of file names: what they say that a file holds, so that no file is written under another format's ending.

An ending that is not known here (``.bin``, ``.part``), or none, says nothing and suits everything.
"""

import os
from pathlib import Path

from .base import Codec
from .frames import RAW_EXTENSIONS, VIDEO_EXTENSIONS
from .image_io import EXTENSIONS
from .registry import entry, is_registered
from .video import FORMATS

#: Endings of JPEG files.
JPEG = (".jpg", ".jpeg", ".jpe", ".jfif", ".jif")

#: Endings that mean the same format.
_ALIKE = (JPEG, (".j2k", ".j2c", ".jpc"), (".tif", ".tiff"), (".avif", ".avifs"), (".png", ".apng"), (".htm", ".html"))

#: Endings that say what a file holds.
_KNOWN = {".ckt", ".gif", ".npz", ".pdf", ".svg", ".heic", ".heif", *(ending for group in _ALIKE for ending in group)}
_KNOWN |= {*EXTENSIONS, *VIDEO_EXTENSIONS, *RAW_EXTENSIONS, *FORMATS}


def ending_of(codec: Codec) -> str:
    """The ending of the files that a codec writes for a picture; empty for a format of its own that declares none.

    >>> import codeckit
    >>> ending_of(codeckit.codec("jpeg")), ending_of(codeckit.codec("jpeg", entropy="ContextCoded"))
    ('.jpg', '.ckt')
    """
    if not codec.native:
        return ".ckt"
    declared = entry(codec.name).extension if is_registered(codec.name) else ".ckt"
    return "" if declared == ".ckt" else declared


def check_ending(path, ending: str, writer: str) -> None:
    """Refuse a file name whose ending says another format than `writer` writes.

    Args:
        path: the file.
        ending: the usual ending of the format; empty to allow all.
        writer: the codec or command, for the message.

    Raises:
        ValueError: the name says another format.

    >>> check_ending("a.JPEG", ".jpg", "jpeg"), check_ending("a.bin", ".jpg", "jpeg")
    (None, None)
    >>> check_ending("a.webp", ".jpg", "jpeg")
    Traceback (most recent call last):
    ...
    ValueError: jpeg writes .jpg files, and 'a.webp' ends in .webp; name it 'a.jpg'
    """
    path = os.fspath(path)
    given = Path(path).suffix.lower()
    same = next((group for group in _ALIKE if ending in group), (ending,))
    if ending and given in _KNOWN and given not in same:
        name = path[: -len(given)] + ending
        raise ValueError(f"{writer} writes {ending} files, and {path!r} ends in {given}; name it {name!r}")
