"""Weight files: everything that a learned codec needs, in one safetensors file, and how a codec finds its file.

A file holds the float network (`network.*`, float32 or float16: the state dict under CompressAI's keys, without masks
and what is behind them, `networks.packed_state`) and what makes integers of its side of probabilities, the
`ProbabilityModel` that encoder and decoder share (`probabilities.*`). Tables, and the scales of weights and
activations, are computed *once*, by `export`, and stored: two machines that computed them from the same floats might
differ in a last bit, and one is enough to make a stream unreadable. Integer weights are not stored: floats times powers
of two, rounded, are the same everywhere (`primitives.learned.integer`). A file may also hold what the
context-mixing coder of `LatentMixed` begins with: an `Experience` of y (`experience.<gain level>`) for one gain level
or several, of which the nearest is taken; `practice` puts it there.
The safetensors header says what it is::

    format        "codeckit weights 1"
    architecture  name of the codec, such as "mbt2018"
    quality       the qualities it serves, "3" or "1-8"
    channels      as in `networks.CHANNELS`, such as "192 320"
    fingerprint   8 hexadecimal digits
    note          how it was trained, free text

The **fingerprint** is the first 4 bytes of SHA-256 over the architecture and all tensors (name, type, shape, bytes), so
files with the same numbers have the same one whatever their notes say. Every stream carries it. It is computed again
when a file is loaded, so that damaged weights are noticed before they decode anything.

Nothing in a file is executed: safetensors is a table of arrays. `zoo` makes such files of CompressAI's checkpoints.
"""

import functools
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ...primitives.entropy.latent_mixing import Experience
from ...primitives.errors import StreamError
from ...primitives.pad import PadTo
from ..image_io import read_image, write_atomically
from .networks import NETWORKS, Network, channels_of, load_network, packed_state
from .probabilities import ProbabilityModel

FORMAT = "codeckit weights 1"

#: Weight files that come with the package.
SHIPPED = Path(__file__).parent / "shipped"

_registered: dict[bytes, str] = {}


@dataclass(frozen=True)
class Header:
    """What a weight file says of itself.

    Attributes:
        path: the file, absolute.
        architecture: name of its codec.
        quality: lowest and highest quality it serves.
        fingerprint: 4 bytes.
        note: how it was trained.
    """

    path: str
    architecture: str
    quality: tuple[int, int]
    fingerprint: bytes
    note: str = ""


@dataclass(frozen=True, eq=False)
class Weights:
    """A loaded weight file.

    Attributes:
        header: what the file says of itself.
        network: the float network in evaluation mode, channels last.
        probabilities: the integer model.
        experiences: what the context-mixing coder begins y with, by gain level.
    """

    header: Header
    network: Network = field(repr=False)
    probabilities: ProbabilityModel = field(repr=False)
    experiences: dict[int, Experience] = field(default_factory=dict, repr=False)

    def experience(self, level: int) -> list[Experience]:
        """What the context-mixing coder begins y with at a gain level; nothing if the file does not say."""
        nearest = sorted(self.experiences, key=lambda known: (abs(known - level), known))[:1]
        return [self.experiences[known] for known in nearest]


def export(
    network: Network,
    images: Iterable,
    path,
    *,
    quality: int | tuple[int, int],
    note: str = "",
    half: bool = False,
) -> Header:
    """Write the weight file of a trained network.

    Args:
        network: one of `NETWORKS`.
        images: a few typical ones, uint8 [H,W,3] arrays or paths, from which the integer networks learn how large
            their activations become.
        path: the file to write.
        quality: the quality it serves, or the lowest and the highest (networks with gain units).
        note: how it was trained.
        half: whether to store floats in 16 bits; the integer networks are then made from these.

    Raises:
        ValueError: the network is of another kind, or there are no images.

    >>> import tempfile
    >>> from .networks import Bmshj2018Factorized
    >>> folder = tempfile.TemporaryDirectory()
    >>> header = export(Bmshj2018Factorized(N=4, M=4), [], folder.name + "/tiny.safetensors", quality=1)
    >>> header.architecture, header.quality, len(header.fingerprint)
    ('bmshj2018-factorized', (1, 1), 4)
    >>> load_weights(header.path).network.g_a[0].weight.shape
    torch.Size([4, 3, 5, 5])
    >>> folder.cleanup()
    """
    name = next((name for name, kind in NETWORKS.items() if type(network) is kind), None)
    if name is None:
        raise ValueError(f"a {type(network).__name__} is no network of a codec; those are {', '.join(NETWORKS)}")
    floats = {key: value.detach().cpu() for key, value in packed_state(network).items()}
    if half:
        floats = {key: value.half() for key, value in floats.items()}
    network = load_network(name, {key: value.float() for key, value in floats.items()})
    pad = PadTo(network.stride)
    planes = (pad.forward(read_image(image)).planes for image in images)
    pictures = [torch.from_numpy(np.stack(three))[None].float() / 255 for three in planes]
    integers = ProbabilityModel.of(network, pictures).state(network)
    tensors = {f"network.{key}": value.contiguous().clone() for key, value in floats.items()}
    tensors |= {f"probabilities.{key}": value.contiguous().clone() for key, value in integers.items()}
    return write_weights(path, name, (quality, quality) if isinstance(quality, int) else quality, note, tensors)


def write_weights(path, name: str, quality: tuple[int, int], note: str, tensors: dict[str, torch.Tensor]) -> Header:
    """Write the tensors of a weight file and what it says of itself."""
    low, high = quality
    metadata = {
        "format": FORMAT,
        "architecture": name,
        "quality": str(low) if low == high else f"{low}-{high}",
        "channels": " ".join(map(str, channels_of(name, _part(tensors, "network.")))),
        "fingerprint": fingerprint(name, tensors).hex(),
        "note": note,
    }
    write_atomically(path, save(tensors, metadata))
    return read_header(path)


def fingerprint(name: str, tensors: dict[str, torch.Tensor]) -> bytes:
    """The 4 bytes that tell an architecture with these tensors from all others."""
    digest = hashlib.sha256(name.encode())
    for key in sorted(tensors):
        array = np.ascontiguousarray(tensors[key].numpy())
        digest.update(f"\n{key} {array.dtype.newbyteorder('<').str} {list(array.shape)}\n".encode())
        digest.update(array.tobytes())
    return digest.digest()[:4]


def read_header(path) -> Header:
    """What a weight file says of itself, without reading its tensors.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no weight file of this format.
    """
    path = os.path.abspath(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"weights are the path of a file that codeckit's export wrote; there is no {path}")
    try:
        with safe_open(path, "pt") as file:
            said = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is no safetensors file; convert_checkpoint makes one of a .pth file") from error
    if said.get("format") != FORMAT:
        raise ValueError(f"{path} holds no weights in the format {FORMAT!r}; codeckit's export writes them")
    try:
        low, _, high = said["quality"].partition("-")
        quality = int(low), int(high or low)
        return Header(path, said["architecture"], quality, bytes.fromhex(said["fingerprint"]), said.get("note", ""))
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} has a damaged header: {error}") from error


def load_weights(path, device: str = "cpu") -> Weights:
    """The weights in a file, on a device; the four used last are kept in memory.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no weight file, or damaged; no path is given; or there is no such device.
    """
    if not path:
        raise ValueError("this codec has no weights yet: codec(name, weights=path) gives it some")
    path = os.path.abspath(path)
    status = os.stat(path) if os.path.isfile(path) else None
    return _load(path, status and (status.st_mtime_ns, status.st_size), check_device(device))


def check_device(device: str) -> str:
    """The device as it is, if networks can run there.

    Raises:
        ValueError: they cannot.

    >>> check_device("tpu")
    Traceback (most recent call last):
    ...
    ValueError: networks run on 'cpu', or on 'cuda' (or 'cuda:1', …) where torch finds a GPU, not on 'tpu'
    """
    kind, _, number = str(device).partition(":")
    found = torch.cuda.device_count() if kind == "cuda" else 0
    if kind == "cuda" and not found:
        raise ValueError(f"torch finds no CUDA device here for device={device!r}; leave it out to use the CPU")
    if device != "cpu" and not (found and (not number or (number.isdigit() and int(number) < found))):
        raise ValueError(
            f"networks run on 'cpu', or on 'cuda' (or 'cuda:1', …) where torch finds a GPU, not on {device!r}"
        )
    return device


@functools.lru_cache(maxsize=4)
@torch.inference_mode(False)
def _load(path, version, device):
    """`version` makes a file that was written anew another one to the cache."""
    header, tensors = read_tensors(path)
    network = load_network(header.architecture, _part(tensors, "network.", torch.float32))
    probabilities = ProbabilityModel.from_state(_part(tensors, "probabilities."), network).to(device)
    network = network.requires_grad_(False).to(device, memory_format=torch.channels_last)
    packed = _part(tensors, "experience.")
    experiences = {int(level): Experience.from_packed(data.numpy().tobytes()) for level, data in packed.items()}
    return Weights(header, network, probabilities, experiences)


def read_tensors(path) -> tuple[Header, dict[str, torch.Tensor]]:
    """The header and all tensors of a weight file.

    Raises:
        FileNotFoundError, ValueError: as `read_header`, and where the tensors are not those that were exported.
    """
    header = read_header(path)
    try:
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if fingerprint(header.architecture, tensors) != header.fingerprint:
        raise ValueError(f"{path} is damaged: its tensors are not those that were exported")
    return header, tensors


def _part(tensors, prefix, dtype=None):
    return {key[len(prefix) :]: value.to(dtype) for key, value in tensors.items() if key.startswith(prefix)}


def register_weights(path) -> Header:
    """Let `codeckit.decode` find a weight file by the fingerprint in streams, for the rest of this process.

    Raises:
        FileNotFoundError, ValueError: as `read_header`.
    """
    header = read_header(path)
    _registered[header.fingerprint] = header.path
    return header


def shipped() -> list[Header]:
    """The weight files that come with the package."""
    return [read_header(path) for path in sorted(SHIPPED.glob("*.safetensors"))]


def find_weights(name: str, wanted: bytes, own: str = "") -> str:
    """The path of the weights that a stream was made with.

    Args:
        name: the stream's codec.
        wanted: the fingerprint in the stream.
        own: the path of the weights that the decoding codec has, if any.

    Raises:
        StreamError: they are neither these, nor shipped, nor registered.
    """
    has = read_header(own).fingerprint if own else b""
    if has == wanted != b"":
        return own
    for header in shipped():
        if header.fingerprint == wanted:
            return header.path
    if wanted in _registered:
        return _registered[wanted]
    raise StreamError(
        f"the stream was made with the weights {wanted.hex() or '(none)'}, "
        + (f"not with {has.hex()}, which this codec has; " if has else "which are not known here; ")
        + f"with their file: codec({name!r}, weights=path).decode(stream)"
    )


def choose_weights(name: str, quality: float | None, weights) -> tuple[str, float | None]:
    """Path and quality for what a user asked for.

    Args:
        name: the codec.
        quality: None for the middle of what the weights serve (the highest of the lower half).
        weights: a path, "compressai" for the official checkpoint, None for shipped weights, or "" for none yet: a
            stream will name them.

    Raises:
        ValueError: there are no such weights, or they are of another codec or quality.
        FileNotFoundError: there is no such file.
    """
    if weights == "":
        return "", quality
    if weights is None:
        known = [header for header in shipped() if header.architecture == name]
        if not known:
            raise ValueError(
                f"no weights of {name} come with this version of codeckit; pass weights=path (a file that export "
                "wrote) or, for CompressAI's models, weights='compressai'"
            )
        middle = known[(len(known) - 1) // 2]
        header = next((h for h in known if quality is not None and _serves(h, quality)), middle)
    elif weights == "compressai":
        from .zoo import zoo_weights

        header = zoo_weights(name, 3 if quality is None else quality)
    else:
        header = read_header(weights)
    if header.architecture != name:
        raise ValueError(f"{header.path} holds weights of {header.architecture}, not of {name}")
    low, high = header.quality
    if quality is None:
        quality = (low + high) // 2
    if not _serves(header, quality):
        serves = f"the quality {low}" if low == high else f"the qualities {low} … {high}"
        raise ValueError(f"these weights of {name} serve {serves}, not {quality!r}")
    return header.path, quality


def _serves(header, quality):
    low, high = header.quality
    return low <= quality <= high if low < high else quality == low
