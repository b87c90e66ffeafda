"""``tokens-fsq``: a picture as a grid of small integers, and a picture of these again.

::

    image ── PadTo(16) ── Tokenize ──────── NetworkIndices ── .ckt
                          [h·w, k] symbols  causal network

What discrete tokenizers are made for, a short description in symbols that a sequence model can read, and what picture
codecs are made for, from one network (`tokenizer`). The symbols are coded with a causal network that knows
them (`primitives.entropy.causal`). The quality is the number k of dimensions of each token that are sent; every one
refines those before, so with `progressive` any prefix of a stream decodes (`Codec.decode` with `partial`).

Both networks are in one weight file (`primitives.weights`), the transforms in 16 bits. `codeckit.training.tokenizer`
makes it.
"""

import functools
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...primitives.entropy.causal import CausalNetwork
from ...primitives.entropy.indices import DecisionCoded
from ...primitives.errors import StreamError
from ...primitives.learned.tiles import tiled
from ...primitives.level_map import pooled
from ...primitives.pad import PadTo
from ...primitives.picture import Picture
from ...primitives.stage import Weighted
from ...primitives.token_grid import Tokens
from ...primitives.weights import check_fingerprint, fingerprint, read_tensors, write_tensors
from ..base import Codec

#: The file that comes with the package.
SHIPPED = Path(__file__).parent / "shipped" / "tokenizer-fsq.safetensors"

#: Numbers of dimensions at the qualities 1 … 8.
DIMENSIONS = (3, 5, 8, 12, 18, 26, 36, 48)

#: Pixels along the side of a token.
PATCH = 16

#: How `Tokens` name what made them.
SOURCE = "tokens-fsq"

#: What the file says that it is.
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


def write_model(network, causal: CausalNetwork, out, note: str = "") -> TokenizerModel:
    """Write the file of a trained tokenizer (a `Tokenizer`, whose floats are rounded to 16 bits) and causal network."""
    tensors = {f"network.{key}": value.half().numpy() for key, value in network.state_dict().items()}
    tensors |= {f"causal.{key}": value for key, value in causal.tensors.items()}
    said = {"levels": json.dumps(network.levels), "widths": json.dumps(network.widths), "note": note}
    write_tensors(out, FORMAT, said | {"fingerprint": fingerprint(_architecture(said), tensors).hex()}, tensors)
    return read_model(out)


def read_model(path) -> TokenizerModel:
    """The model in a file that `write_model` wrote.

    Raises:
        ValueError: it is no such file, or damaged.
    """
    import torch

    from .tokenizer import Tokenizer

    said, tensors = read_tensors(path, FORMAT)
    own = check_fingerprint(path, said, _architecture(said), tensors)
    levels = tuple(json.loads(said["levels"]))
    network = Tokenizer(levels, tuple(json.loads(said["widths"]))).eval().requires_grad_(False)
    floats = {name: array for name, array in tensors.items() if name.startswith("network.")}
    network.load_state_dict({name[8:]: torch.from_numpy(array).float() for name, array in floats.items()})
    causal = {name[7:]: array for name, array in tensors.items() if name.startswith("causal.")}
    return TokenizerModel(network, CausalNetwork(levels, **causal), own)


def _architecture(said: dict[str, str]) -> str:
    """What the fingerprint is over besides the tensors: everything in the metadata that decoding depends on."""
    return f"{SOURCE} {said.get('levels')} {said.get('widths')}"


@functools.lru_cache(maxsize=1)
def load_tokenizer() -> TokenizerModel:
    """The model that comes with the package, kept in memory.

    >>> load_tokenizer().causal.levels[:3]
    (33, 11, 9)
    """
    return read_model(SHIPPED)


@dataclass(frozen=True)
class TokenizerWeights:
    """The handle of the model that comes with the package, which the codec hands to its stages. It runs on the CPU.

    >>> len(TokenizerWeights().fingerprint)
    4
    """

    device: ClassVar[str] = "cpu"

    @property
    def fingerprint(self) -> bytes:
        """What streams call the model."""
        return self.load().fingerprint

    def on(self, device: str) -> "TokenizerWeights":
        """The same handle, whatever the device."""
        return self

    def load(self) -> TokenizerModel:
        """The model."""
        return load_tokenizer()


class _Tokenizing(Weighted):
    """A stage that computes with the tokenizer's networks."""

    weights: TokenizerWeights | None

    def find_weights(self, fingerprint: bytes) -> TokenizerWeights:
        """The handle of the shipped model, if it has that fingerprint.

        Raises:
            StreamError: it has not.
        """
        weights = TokenizerWeights()
        if weights.fingerprint != fingerprint:
            raise StreamError(
                f"the stream was made with the weights {fingerprint.hex() or 'of no name'}, which are not known here; "
                f"the tokenizer is {weights.fingerprint.hex()}"
            )
        return weights

    @property
    def model(self) -> TokenizerModel:
        """The loaded model."""
        return (self.weights or TokenizerWeights()).load()


@dataclass(frozen=True)
class Tokenize(_Tokenizing):
    """Three planes uint8 [H,W], padded to multiples of 16, to symbols int32 [N,k]; and any number of these back.

    Attributes:
        quality: 1 … 8; k is `DIMENSIONS` of it.
        weights: the handle of the model; None for the one that ships.
        octaves: squared errors weigh 2^octaves, float32 [H,W]; None if they weigh the same everywhere. Each token then
            has as many dimensions as the quality that differs by so many octaves, and middle symbols, which stand for
            0, from there on. These cost next to nothing, and no map is sent.
    """

    unwritten: ClassVar[tuple[str, ...]] = (
        "quality",
        "weights",
        "octaves",
    )  # the number of dimensions travels with the symbols

    quality: int = 4
    weights: TokenizerWeights | None = field(default=None, repr=False)
    octaves: np.ndarray | None = field(default=None, repr=False, compare=False)

    def weighed(self, octaves: np.ndarray, stages) -> "Tokenize":
        """The tokenizer with a number of dimensions for each token; see `Stage.weighed`."""
        return replace(self, octaves=octaves)

    def __post_init__(self):
        if self.quality not in range(1, len(DIMENSIONS) + 1) or isinstance(self.quality, bool):
            raise ValueError(f"quality is a whole number from 1 to {len(DIMENSIONS)}, not {self.quality!r}")

    def forward(self, picture: Picture) -> Tokens:
        """Return the symbols."""
        import torch

        network = self.model.network
        pixels = torch.from_numpy(np.stack(picture.planes))[None]
        with torch.inference_mode():
            y = tiled(network.analysis, pixels, down=PATCH, before=lambda part: part.float() / 255)
            symbols = network.symbols(y)[0]
        grid = tuple(symbols.shape[1:])
        if self.octaves is None:
            symbols = symbols[: DIMENSIONS[self.quality - 1]]
        else:
            wanted = self.quality + pooled(self.octaves, (PATCH, PATCH), grid)
            counts = np.rint(np.interp(wanted, range(1, len(DIMENSIONS) + 1), DIMENSIONS)).astype(int)
            symbols = symbols[: counts.max()]
            middle = torch.tensor([level // 2 for level in network.levels[: counts.max()]])[:, None, None]
            beyond = np.arange(counts.max())[:, None, None] >= counts
            symbols = torch.where(torch.from_numpy(beyond), middle, symbols)
        return Tokens(symbols.flatten(1).T.numpy().astype(np.int32), grid, SOURCE, picture.size)

    def inverse(self, tokens: Tokens) -> Picture:
        """Return the planes.

        Raises:
            StreamError: symbols that the tokenizer does not have, or another grid than that of such a picture.
        """
        import torch

        network = self.model.network
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
class NetworkIndices(DecisionCoded, _Tokenizing):
    """The tokenizer's symbols, coded with its causal network: the top rung of the ladder of `indices`.

    Attributes:
        progressive: whether a prefix of the stream decodes to the first dimensions.
        weights: the handle of the model; None for the one that ships.
    """

    unwritten: ClassVar[tuple[str, ...]] = ("progressive", "weights")  # the first travels with the indices

    progressive: bool = False
    weights: TokenizerWeights | None = field(default=None, repr=False)

    def known_sizes(self, dimensions: int) -> tuple[int, ...]:
        """The tokenizer's levels."""
        levels = self.model.causal.levels
        if dimensions > len(levels):
            raise StreamError(f"the tokenizer has {len(levels)} dimensions, not {dimensions}")
        return levels[:dimensions]

    def describe(self, payload: bytes) -> tuple[tuple[int, int], str]:
        """Size (H, W) of the picture and its colour model, which is "rgb"."""
        return super().describe(payload)[0], "rgb"

    def _state(self, count, sizes):
        return self.model.causal.state(count, len(sizes))

    def _code(self, values, d, size, grid, state, coder, data, decoding):
        return self.model.causal.code(values, d, grid, state, coder, data, decoding)


@dataclass(frozen=True)
class TokenizerCodec(Codec):
    """A codec of pictures whose symbols between the stages are tokens, for whoever wants these."""

    def tokenize(self, image) -> Tokens:
        """The symbols of a picture, int32 [N,k]: what `encode` codes.

        >>> tokens_fsq(quality=1).tokenize(np.zeros((20, 40, 3), np.uint8)).map.shape
        (2, 3, 3)
        """
        *stages, _ = self.stages.values()
        value: Any = self.read(image).pixels
        for stage in stages:
            value = stage.forward(value)
        return value


def tokens_fsq(quality: int = 4, progressive: bool = False) -> TokenizerCodec:
    """A discrete tokenizer, 16×16 pixels a token, as a codec of pictures; grey ones decode to RGB.

    Args:
        quality: 1 … 8: 3, 5, 8, 12, 18, 26, 36, 48 small integers a token.
        progressive: whether a prefix of the stream decodes.
    """
    stages = {"pad": PadTo(PATCH), "tokenize": Tokenize(quality), "entropy": NetworkIndices(progressive)}
    return TokenizerCodec("tokens-fsq", stages, weights=TokenizerWeights())
