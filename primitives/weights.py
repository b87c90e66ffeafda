"""Weight files, read and written: named arrays in a safetensors file, with what is said of them.

A weight file has metadata, strings by name, of which ``format`` says what the tensors are for, such as ``"codeckit
weights 1"``. Reading a file asks for one format and refuses every other. Nothing in a file is executed: safetensors is
a table of arrays.

The **fingerprint** of weights is the first 4 bytes of SHA-256 over a name (that of the architecture, say) and all
tensors in the order of their names::

    name, then for each tensor:  "\\n" key " " type " " shape "\\n" values

where the type is numpy's (``<f4``), the shape is written as ``[3, 5]``, and values are little-endian bytes in C order.
So it depends on what the weights are and on nothing else that a file says. Streams name weights by it. `fingerprint`
computes it, and `check_fingerprint` holds it against the one in the metadata, so that damage is noticed before anything
is decoded with the weights.

Arrays are numpy's, and torch is not imported. numpy has no bfloat16; such files are refused.
"""

import hashlib
import os
from collections.abc import Mapping

import numpy as np

from .errors import StreamError
from .files import write_atomically


def write_tensors(path, format: str, metadata: Mapping[str, str], tensors: Mapping[str, np.ndarray]) -> None:
    """Write a weight file, so that a reader sees the old file or the new, never a part of it.

    Args:
        path: the file; missing folders are made.
        format: what the tensors are for.
        metadata: further strings by name.
        tensors: arrays by name, of numpy's numbers (no complex ones).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_tensors(folder + "/a.safetensors", "example 1", {"note": "two"}, {"x": np.ones(2, np.float16)})
    ...     read_tensors(folder + "/a.safetensors", "example 1")
    ({'format': 'example 1', 'note': 'two'}, {'x': array([1., 1.], dtype=float16)})
    """
    from safetensors.numpy import save

    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}  # keeps arrays without axes
    write_atomically(path, save(arrays, {"format": format, **metadata}))


def read_tensors(path, format: str) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """The metadata and the tensors of a weight file: the inverse of `write_tensors`, whose docstring shows both.

    Raises:
        FileNotFoundError: there is no such file.
        StreamError: it is no safetensors file, is of another format, or is damaged; the message names the file.
    """
    return _read(path, format, tensors=True)


def read_metadata(path, format: str) -> dict[str, str]:
    """The metadata of a weight file, whose tensors are left unread.

    Raises:
        FileNotFoundError, StreamError: as `read_tensors`.
    """
    return _read(path, format, tensors=False)[0]


def _read(path, format, tensors):
    from safetensors import SafetensorError, safe_open

    if not os.path.isfile(path):
        raise FileNotFoundError(f"there is no weight file {path}")
    try:
        with safe_open(path, "np") as file:
            metadata = dict(sorted((file.metadata() or {}).items()))
            if metadata.get("format") != format:
                raise StreamError(f"{path} is no weight file of the format {format!r}")
            arrays = {name: file.get_tensor(name) for name in file.keys()} if tensors else {}
    except (SafetensorError, OSError) as error:
        raise StreamError(f"{path} is no safetensors file, or a damaged one: {error}") from error
    except TypeError as error:  # numpy's word for a type that it does not have
        raise StreamError(f"{path} holds numbers of a type that weight files do not have: {error}") from error
    return metadata, arrays


def fingerprint(name: str | bytes, tensors: Mapping[str, np.ndarray]) -> bytes:
    """The 4 bytes that tell weights from all others.

    Args:
        name: what the tensors belong to: an architecture's name, or the fingerprint of other weights below them.
        tensors: arrays by name. An array without axes counts as one of shape [1].

    >>> fingerprint("example", {"x": np.zeros(2, np.float32)}).hex()
    'c0b1a01e'
    """
    digest = hashlib.sha256(name.encode() if isinstance(name, str) else name)
    for key in sorted(tensors):
        array = np.ascontiguousarray(tensors[key])
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"\n{key} {array.dtype.str} {list(array.shape)}\n".encode())
        digest.update(array.tobytes())
    return digest.digest()[:4]


def check_fingerprint(path, metadata: Mapping[str, str], name: str | bytes, tensors: Mapping[str, np.ndarray]) -> bytes:
    """The fingerprint of the tensors, if the metadata of the file that they come from name the same.

    Raises:
        ValueError: they name another, or none, so that the file is damaged.
    """
    found = fingerprint(name, tensors)
    if metadata.get("fingerprint") != found.hex():
        raise ValueError(f"{path} is damaged: its tensors are not those that were written")
    return found
