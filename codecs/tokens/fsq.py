"""``tokens-fsq``: a picture as a grid of small integers, and a picture of these again.

::

    image ── PadTo(16) ── Tokenize ──────── NetworkIndices ── .ckt
                          [h·w, k] symbols  causal network

What discrete tokenizers are made for, a short description in symbols that a sequence model can read, and what picture
codecs are made for, from one network of ours (`tokenizer`). The symbols are coded with a causal network that knows
them (`primitives.entropy.causal`). The quality is the number k of dimensions of each token that are sent; every one
refines those before, so with `progressive` any prefix of a stream decodes (`TokenizerCodec.decode` with `partial`).

Both networks are in one safetensors file, the transforms in 16 bits; `fingerprint` is the first 4 bytes of SHA-256 over
all tensors. `codeckit.training.tokenizer` makes it.
"""

import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...primitives import container
from ...primitives.entropy.causal import CausalNetwork
from ...primitives.entropy.indices import DecisionCoded, IndexCoded
from ...primitives.errors import StreamError
from ...primitives.learned.tiles import tiled
from ...primitives.pad import PadTo
from ...primitives.picture import MAX_PIXELS, Picture
from ...primitives.stage import Stage
from ...primitives.token_grid import Tokens
from ..base import Codec, composition
from ..image_io import read_image, read_stream

#: The file that comes with the package.
SHIPPED = Path(__file__).parent / "shipped" / "tokenizer-fsq.safetensors"

#: Numbers of dimensions at the qualities 1 … 8.
DIMENSIONS = (3, 5, 8, 12, 18, 26, 36, 48)

#: Pixels along the side of a token.
PATCH = 16

#: How `Tokens` name what made them.
SOURCE = "tokens-fsq"

FORMAT = "codeckit tokenizer 1"


@dataclass(frozen=True, eq=False)
class TokenizerModel:
    """A loaded file.

    Attributes:
        network: the `Tokenizer`, in evaluation mode.
        causal: what predicts its symbols.
        fingerprint: 4 bytes.
    """

    network: object
    causal: CausalNetwork
    fingerprint: bytes


def fingerprint(tensors: dict[str, np.ndarray]) -> bytes:
    """The 4 bytes that tell a model from others."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {array.dtype.newbyteorder('<').str} {list(array.shape)}\n".encode())
        digest.update(array.tobytes())
    return digest.digest()[:4]


def write_model(network, causal: CausalNetwork, out, note: str = "") -> TokenizerModel:
    """Write the file of a trained tokenizer (a `Tokenizer`, whose floats are rounded to 16 bits) and causal network."""
    from safetensors.numpy import save

    from ..image_io import write_atomically

    tensors = {f"network.{key}": value.half().numpy() for key, value in network.state_dict().items()}
    tensors |= {f"causal.{key}": value for key, value in causal.tensors.items()}
    said = {"format": FORMAT, "fingerprint": fingerprint(tensors).hex(), "note": note}
    said |= {"levels": json.dumps(network.levels), "widths": json.dumps(network.widths)}
    write_atomically(out, save(tensors, said))
    return read_model(out)


@functools.lru_cache(maxsize=2)
def read_model(path) -> TokenizerModel:
    """The model in a file that `write_model` wrote.

    Raises:
        ValueError: it is no such file, or damaged.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    from .tokenizer import Tokenizer

    try:
        with safe_open(path, "np") as file:
            said = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is no model of a tokenizer: {error}") from error
    if said.get("format") != FORMAT:
        raise ValueError(f"{path} is no model of a tokenizer")
    own = fingerprint(tensors)
    if own.hex() != said["fingerprint"]:
        raise ValueError(f"{path} is damaged: its tensors are not those that were written")
    levels = tuple(json.loads(said["levels"]))
    network = Tokenizer(levels, tuple(json.loads(said["widths"]))).eval().requires_grad_(False)
    floats = {name: array for name, array in tensors.items() if name.startswith("network.")}
    network.load_state_dict({name[8:]: torch.from_numpy(array).float() for name, array in floats.items()})
    causal = {name[7:]: array for name, array in tensors.items() if name.startswith("causal.")}
    return TokenizerModel(network, CausalNetwork(levels, **causal), own)


def load_tokenizer() -> TokenizerModel:
    """The model that comes with the package.

    >>> load_tokenizer().causal.levels[:3]
    (33, 11, 9)
    """
    return read_model(SHIPPED)


@dataclass(frozen=True)
class Tokenize(Stage):
    """Three planes uint8 [H,W], padded to multiples of 16, to symbols int32 [N,k]; and any number of these back.

    Attributes:
        quality: 1 … 8; k is `DIMENSIONS` of it.
    """

    quality: int = 4

    def __post_init__(self):
        if self.quality not in range(1, len(DIMENSIONS) + 1) or isinstance(self.quality, bool):
            raise ValueError(f"quality is a whole number from 1 to {len(DIMENSIONS)}, not {self.quality!r}")

    def for_decoding(self) -> Stage:
        """The number of dimensions travels with the symbols."""
        return Tokenize()

    @property
    def fingerprint(self) -> bytes:
        """What a stream calls the model."""
        return load_tokenizer().fingerprint

    def forward(self, picture: Picture) -> Tokens:
        """Return the symbols."""
        import torch

        network = load_tokenizer().network
        pixels = torch.from_numpy(np.stack(picture.planes))[None]
        with torch.inference_mode():
            y = tiled(network.analysis, pixels, down=PATCH, before=lambda part: part.float() / 255)
            symbols = network.symbols(y)[0, : DIMENSIONS[self.quality - 1]]
        grid = tuple(symbols.shape[1:])
        return Tokens(symbols.flatten(1).T.numpy().astype(np.int32), grid, SOURCE, picture.size)

    def inverse(self, tokens: Tokens) -> Picture:
        """Return the planes.

        Raises:
            StreamError: symbols that the tokenizer does not have, or another grid than that of such a picture.
        """
        import torch

        network = load_tokenizer().network
        symbols = np.atleast_2d(tokens.features)
        count = symbols.shape[1]
        size = tokens.size if tokens.size != (0, 0) else tuple(PATCH * extent for extent in tokens.grid)
        if tuple(PATCH * extent for extent in tokens.grid) != PadTo(PATCH).padded(size):
            raise StreamError(f"a grid of {tokens.grid} tokens is not that of a picture of {size[1]}×{size[0]} pixels")
        if symbols.dtype.kind not in "iu" or not 1 <= count <= len(network.levels):
            raise StreamError(f"the tokenizer's symbols are integers [N,k], k up to {len(network.levels)}")
        if symbols.min() < 0 or np.any(symbols.max(0) >= network.levels[:count]):
            raise StreamError(f"symbols of the tokenizer lie below its levels {network.levels[:count]}")
        maps = torch.from_numpy(symbols.reshape(*tokens.grid, count).transpose(2, 0, 1).astype(np.int64))[None]
        with torch.inference_mode():
            pixels = tiled(network.synthesis, network.values(maps), up=PATCH, after=_pixels)[0].numpy()
        return Picture(tuple(pixels), size, ((1, 1),) * 3, "rgb")


def _pixels(pictures):
    import torch

    return pictures.clamp(0, 1).mul(255).round().to(torch.uint8)


@dataclass(frozen=True)
class NetworkIndices(DecisionCoded):
    """The tokenizer's symbols, coded with its causal network: the top rung of the ladder of `indices`.

    Attributes:
        progressive: whether a prefix of the stream decodes to the first dimensions.
    """

    progressive: bool = False

    @property
    def fingerprint(self) -> bytes:
        """What a stream calls the model."""
        return load_tokenizer().fingerprint

    def known_sizes(self, dimensions: int) -> tuple[int, ...]:
        """The tokenizer's levels."""
        levels = load_tokenizer().causal.levels
        if dimensions > len(levels):
            raise StreamError(f"the tokenizer has {len(levels)} dimensions, not {dimensions}")
        return levels[:dimensions]

    def describe(self, payload: bytes) -> tuple[tuple[int, int], str]:
        """Size (H, W) of the picture and its colour model, which is "rgb"."""
        return super().describe(payload)[0], "rgb"

    def _state(self, count, sizes):
        return load_tokenizer().causal.state(count, len(sizes))

    def _code(self, values, d, size, grid, state, coder, data, decoding):
        return load_tokenizer().causal.code(values, d, grid, state, coder, data, decoding)


@dataclass(frozen=True)
class TokenizerCodec(Codec):
    """A codec of pictures whose symbols between the stages are tokens, for whoever wants these."""

    def tokenize(self, image) -> Tokens:
        """The symbols of a picture, int32 [N,k]: what `encode` codes.

        >>> tokens_fsq(quality=1).tokenize(np.zeros((20, 40, 3), np.uint8)).map.shape
        (2, 3, 3)
        """
        *stages, _ = self.stages.values()
        value = read_image(image)
        for stage in stages:
            value = stage.forward(value)
        return value

    def decode(self, stream, *, max_pixels: int = MAX_PIXELS, partial: bool = False) -> np.ndarray:
        """Decode a stream, as `Codec.decode` does.

        Args:
            stream: bytes, or the path of a file.
            max_pixels: the largest picture to accept.
            partial: the stream may be cut at its end. Of one that was coded with `progressive=True` the dimensions
                that are there whole are shown. Nothing can be checked then: damage may go unnoticed.

        Raises:
            StreamError: as `Codec.decode`; or a cut stream that is not progressive, or has not even one dimension.
        """
        data = read_stream(stream)
        if not partial or container.is_whole(data):
            return super().decode(data, max_pixels=max_pixels)
        held = container.unpack(data, partial=True)
        if held.weights != load_tokenizer().fingerprint:
            raise StreamError("the stream was made with weights that are not known here")
        *stages, entropy = composition(self.name, held.parameters).stages.values()
        if not isinstance(entropy, IndexCoded):
            raise StreamError(f"a part of a stream of {self.name} cannot be decoded")
        value = entropy.inverse(held.payload, max_pixels, partial=True)
        for stage in reversed(stages):
            value = stage.inverse(value)
        return value


def tokens_fsq(quality=4, progressive=False) -> TokenizerCodec:
    """Our discrete tokenizer, 16×16 pixels a token, as a codec of pictures; grey ones decode to RGB.

    Args:
        quality: 1 … 8: 3, 5, 8, 12, 18, 26, 36, 48 small integers a token.
        progressive: whether a prefix of the stream decodes.
    """
    return TokenizerCodec(
        "tokens-fsq",
        {"pad": PadTo(PATCH), "tokenize": Tokenize(quality), "entropy": NetworkIndices(bool(progressive))},
    )
