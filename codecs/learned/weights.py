"""Weight files: everything that a learned codec needs, in one file, and the handle that codecs hold of it.

A file (`primitives.weights`, with the metadata of `header`) holds the float network (``network.*``, float32 or float16:
the state dict under CompressAI's keys, without masks and the weights under them, `networks.checkpoints`) and what makes
integers of its side of probabilities, the `ProbabilityModel` that encoder and decoder share (``probabilities.*``).
Tables, and the scales of weights and activations, are computed *once*, by `export`, and stored: two machines that
computed them from the same floats might differ in a last bit, and one is enough to make a stream unreadable. Integer
weights are not stored: floats times powers of two, rounded, are the same everywhere (`primitives.learned.integer`). A
file may also hold what the context-mixing coder of `LatentMixed` begins with: an `Experience` of y (``experience.<gain
level>``) for one gain level or several, of which the nearest is taken; `practice` puts it there.

Every stream carries the fingerprint of its weights. It is computed again when a file is loaded, so that damaged weights
are noticed before they decode anything.

A codec holds its weights as a `WeightFile`: a path and a device, from which the weights are loaded when they are used.
`find_weights` gives the handle for a fingerprint. `zoo` makes weight files of CompressAI's checkpoints.
"""

import functools
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from ...primitives.entropy.latent_mixing import Experience
from ...primitives.errors import StreamError
from ...primitives.pad import PadTo
from ...primitives.weights import check_fingerprint, fingerprint, read_tensors, write_tensors
from ..image_io import read_image
from .header import FORMAT, Header, read_header, shipped
from .networks import Network, channels_of, load_network, network_name, packed_state
from .probabilities import ProbabilityModel

_registered: dict[bytes, str] = {}


@dataclass(frozen=True)
class WeightFile:
    """What a codec and its stages hold of a weight file: where it is, and where its networks are to run.

    Attributes:
        path: the file; made absolute.
        device: "cpu", "cuda", "cuda:1" …

    Raises:
        ValueError: there is no such device.

    >>> from .header import shipped
    >>> weights = WeightFile(shipped()[0].path)
    >>> weights.fingerprint == weights.load().header.fingerprint
    True
    """

    path: str
    device: str = "cpu"

    def __post_init__(self):
        object.__setattr__(self, "path", os.path.abspath(self.path))
        check_device(self.device)

    @property
    def fingerprint(self) -> bytes:
        """What streams call the weights, 4 bytes."""
        return read_header(self.path).fingerprint

    def on(self, device: str) -> "WeightFile":
        """The handle of the same weights on another device."""
        return replace(self, device=device)

    def load(self) -> "Weights":
        """The weights themselves; see `load_weights`."""
        return load_weights(self.path, self.device)


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
        network: of a class that is declared as a network (`networks.network_names`).
        images: a few typical ones, uint8 [H,W,3] arrays or paths, from which the integer networks learn how large
            their activations become.
        path: the file to write.
        quality: the quality it serves, or the lowest and the highest (networks with gain units).
        note: how it was trained.
        half: whether to store floats in 16 bits; the integer networks are then made from these.

    Raises:
        ValueError: the network is of another class, or there are no images.

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
    name = network_name(type(network))
    floats = {key: value.detach().cpu() for key, value in packed_state(network).items()}
    if half:
        floats = {key: value.half() for key, value in floats.items()}
    network = load_network(name, {key: value.float() for key, value in floats.items()})
    pad = PadTo(network.stride)
    planes = (pad.forward(read_image(image)).planes for image in images)
    pictures = [torch.from_numpy(np.stack(three))[None].float() / 255 for three in planes]
    integers = ProbabilityModel.of(network, pictures).state(network)
    tensors = {f"network.{key}": value.numpy() for key, value in floats.items()}
    tensors |= {f"probabilities.{key}": value.numpy() for key, value in integers.items()}
    return write_weights(path, name, (quality, quality) if isinstance(quality, int) else quality, note, tensors)


def write_weights(path, name: str, quality: tuple[int, int], note: str, tensors: dict[str, np.ndarray]) -> Header:
    """Write the tensors of a weight file and what it says of itself: the inverse of `read_weights`."""
    low, high = quality
    metadata = {
        "architecture": name,
        "quality": str(low) if low == high else f"{low}-{high}",
        "channels": " ".join(map(str, channels_of(name, _part(tensors, "network.")))),
        "fingerprint": fingerprint(name, tensors).hex(),
        "note": note,
    }
    write_tensors(path, FORMAT, metadata, tensors)
    return read_header(path)


def read_weights(path) -> tuple[Header, dict[str, np.ndarray]]:
    """The header and all tensors of a weight file.

    Raises:
        FileNotFoundError, ValueError: as `read_header`, and where the tensors are not those that were exported.
    """
    path = os.path.abspath(path)
    metadata, tensors = read_tensors(path, FORMAT)
    header = Header.of(path, metadata)
    check_fingerprint(path, metadata, header.architecture, tensors)
    return header, tensors


def load_weights(path, device: str = "cpu") -> Weights:
    """The weights in a file, on a device; the four used last are kept in memory.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no weight file, or damaged; or there is no such device.
    """
    path = os.path.abspath(path)
    status = os.stat(path) if os.path.isfile(path) else None
    return _load(path, status and (status.st_mtime_ns, status.st_size), check_device(device))


@functools.lru_cache(maxsize=4)
@torch.inference_mode(False)
def _load(path, version, device):
    """`version` makes a file that was written anew another one to the cache."""
    header, tensors = read_weights(path)
    floats = {key: value.float() for key, value in _part(tensors, "network.").items()}
    network = load_network(header.architecture, floats)
    probabilities = ProbabilityModel.from_state(_part(tensors, "probabilities."), network).to(device)
    network = network.requires_grad_(False).to(device, memory_format=torch.channels_last)
    packed = _part(tensors, "experience.")
    experiences = {int(level): Experience.from_packed(data.numpy().tobytes()) for level, data in packed.items()}
    return Weights(header, network, probabilities, experiences)


def _part(tensors, prefix):
    """The tensors whose names begin so, by the rest of their names, as torch's."""
    return {key[len(prefix) :]: torch.from_numpy(value) for key, value in tensors.items() if key.startswith(prefix)}


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


def register_weights(path) -> Header:
    """Let `codeckit.decode` find a weight file by the fingerprint in streams, for the rest of this process.

    Raises:
        FileNotFoundError, ValueError: as `read_header`.
    """
    header = read_header(path)
    _registered[header.fingerprint] = header.path
    return header


def find_weights(wanted: bytes) -> WeightFile:
    """The handle of the weights that a stream was made with.

    Args:
        wanted: the fingerprint in the stream.

    Raises:
        StreamError: they are neither shipped nor registered.
    """
    known = {header.fingerprint: header.path for header in shipped()} | _registered
    if wanted not in known:
        raise StreamError(
            f"the stream was made with the weights {wanted.hex() or '(none)'}, which are not known here; with their "
            "file: codec(name, weights=path).decode(stream)"
        )
    return WeightFile(known[wanted])
