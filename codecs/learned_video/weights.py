"""Weight files of learned video codecs, and the handle that codecs hold of them.

A file (`primitives.weights`, format `FORMAT`) has the metadata that those of still codecs have
(`codecs.learned.header`), and ``still``, the fingerprint of the weights that code I-frames. It holds

- ``network.*``: the float network, float16;
- ``exact.*``: what makes its decoder integers (`exact.ExactDecoder.state`);
- ``still.*``: the same for the synthesis transform of I-frames (`exact_still`);
- ``experience.<level>``: what the entropy coder begins a group of frames with, for some gain levels.
"""

import functools
import os
from dataclasses import dataclass, field

import numpy as np
import torch

from ...primitives.entropy.latent_mixing import Experience
from ...primitives.errors import StreamError
from ...primitives.weights import check_fingerprint, fingerprint, read_tensors, write_tensors
from ..learned.weights import WeightFile, check_device
from ..learned.weights import find_weights as find_still
from .exact import ExactDecoder
from .exact_still import ExactStill
from .header import FORMAT, Header, read_header, shipped
from .networks import NETWORKS, PredictiveNetwork

_registered: dict[bytes, str] = {}


@dataclass(frozen=True)
class VideoWeightFile(WeightFile):
    """What a video codec and its stages hold of a weight file; see `codecs.learned.weights.WeightFile`."""

    @property
    def fingerprint(self) -> bytes:
        """What streams call the weights, 4 bytes."""
        return read_header(self.path).fingerprint

    def load(self) -> "VideoWeights":
        """The weights themselves; see `load_weights`."""
        return load_weights(self.path, self.device)


@dataclass(frozen=True, eq=False)
class VideoWeights:
    """A loaded weight file.

    Attributes:
        header: what the file says of itself.
        network: the float network, in evaluation mode.
        decoder: its decoder in integers.
        still: the synthesis of I-frames in integers.
        still_file: the weights of the codec of I-frames.
        experiences: what the entropy coder begins with, by gain level.
    """

    header: Header
    network: PredictiveNetwork = field(repr=False)
    decoder: ExactDecoder = field(repr=False)
    still: ExactStill = field(repr=False)
    still_file: WeightFile
    experiences: dict[int, Experience] = field(default_factory=dict, repr=False)

    def experience(self, level: int) -> Experience | None:
        """What the entropy coder begins a group with at a gain level; None if the file does not say."""
        nearest = min(self.experiences, key=lambda known: (abs(known - level), known), default=None)
        return None if nearest is None else self.experiences[nearest]


def write_weights(path, name: str, still: bytes, note: str, tensors: dict[str, np.ndarray]) -> Header:
    """Write a weight file; the inverse of `read_weights`.

    Args:
        path: the file to write.
        name: of the network, a key of `NETWORKS`.
        still: fingerprint of the weights of I-frames.
        note: how it was trained.
        tensors: by the names above.
    """
    metadata = {
        "architecture": name,
        "quality": f"1-{NETWORKS[name].LEVELS}",
        "still": still.hex(),
        "fingerprint": fingerprint(name, tensors).hex(),
        "note": note,
    }
    write_tensors(path, FORMAT, metadata, tensors)
    return read_header(path)


def read_weights(path) -> tuple[Header, bytes, dict[str, np.ndarray]]:
    """The header, the fingerprint of the weights of I-frames, and all tensors of a weight file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no weight file of a video codec, or damaged.
    """
    path = os.path.abspath(path)
    metadata, tensors = read_tensors(path, FORMAT)
    header = Header.of(path, metadata)
    check_fingerprint(path, metadata, header.architecture, tensors)
    if header.architecture not in NETWORKS or "still" not in metadata:
        raise ValueError(f"{path} holds weights of {header.architecture!r}; there are {', '.join(NETWORKS)}")
    return header, bytes.fromhex(metadata["still"]), tensors


def load_weights(path, device: str = "cpu") -> VideoWeights:
    """The weights in a file, on a device; the two used last are kept in memory.

    Raises:
        FileNotFoundError, ValueError: as `read_weights`; or there is no such device.
    """
    path = os.path.abspath(path)
    status = os.stat(path) if os.path.isfile(path) else None
    return _load(path, status and (status.st_mtime_ns, status.st_size), check_device(device))


@functools.lru_cache(maxsize=2)
@torch.inference_mode(False)
def _load(path, version, device):
    """`version` makes a file that was written anew another one to the cache."""
    header, still, tensors = read_weights(path)
    network = network_of(header.architecture, _part(tensors, "network."))
    decoder = ExactDecoder.from_state(_part(tensors, "exact."), network, device)
    still_file = find_still(still).on(device)
    exact_still = ExactStill.from_state(_part(tensors, "still."), still_file.load(), device)
    packed = _part(tensors, "experience.")
    experiences = {int(level): Experience.from_packed(data.numpy().tobytes()) for level, data in packed.items()}
    network = network.requires_grad_(False).to(device, memory_format=torch.channels_last)
    return VideoWeights(header, network, decoder, exact_still, still_file, experiences)


def network_of(name: str, state: dict[str, torch.Tensor]) -> PredictiveNetwork:
    """The network with given weights, in evaluation mode.

    Raises:
        ValueError: the weights are another network's.
    """
    try:
        channels = len(state["g_s.2.weight"]), len(state["g_s.0.weight"]), len(state["context.0.weight"])
        network = NETWORKS[name](*channels)
        constants = {key: value for key, value in network.state_dict().items() if key.endswith(_CONSTANTS)}
        network.load_state_dict({key: value.float() for key, value in state.items()} | constants)
    except (KeyError, RuntimeError) as error:
        raise ValueError(f"these are no weights of {name}: {error}") from error
    return network.eval()


#: Buffers that are no weights: 16 bits would round them to 0.
_CONSTANTS = ("bound", "pedestal", "target")


def register_weights(path) -> Header:
    """Let `codeckit.decode` find a weight file by the fingerprint in streams, for the rest of this process.

    Raises:
        FileNotFoundError, ValueError: as `read_weights`.
    """
    header = read_header(path)
    _registered[header.fingerprint] = header.path
    return header


def find_weights(wanted: bytes) -> VideoWeightFile:
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
            "file: codec(name, weights=path).decode_video(stream)"
        )
    return VideoWeightFile(known[wanted])


def _part(tensors, prefix):
    """The tensors whose names begin so, by the rest of their names, as torch's."""
    return {key[len(prefix) :]: torch.from_numpy(value) for key, value in tensors.items() if key.startswith(prefix)}
