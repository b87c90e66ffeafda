"""The token codecs as compositions.

>>> import numpy as np
>>> from codeckit.primitives.tokens import Tokens
>>> codec = tokens(quality=5, refine=0)
>>> features = np.random.default_rng(0).normal(0, 1, (49, 192)).astype(np.float32)
>>> decoded = codec.decode_tokens(codec.encode_tokens(features, (7, 7)))
>>> decoded.grid, decoded.features.shape, decoded.source
((7, 7), (49, 192), 'efficientnet-lite0/6')
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ...primitives.entropy.indices import IndexCoded, MixedIndices
from ...primitives.picture import MAX_PIXELS
from ...primitives.quantizers.uniform import Uniform
from ...primitives.token_grid import Tokens
from ..base import Codec, Encoder
from .encoder import TokenEncoder
from .model import TokenWeights
from .stages import Features, FeatureTransform, Reduce, TokenCoded, TokenSteps

#: Reducers that need no attention, which does not travel with tokens.
Reducer = Literal[
    "random", "grid", "qpid", "qpid+", "tome", "divprune", "coverage", "max-entropy", "pivoted", "pivoted+"
]


@dataclass(frozen=True)
class TokenCodec(Codec):
    """A codec that decodes to `Tokens`, and also takes tokens that its user made."""

    encoder: Encoder = field(default_factory=TokenEncoder, compare=False)

    def encode_tokens(self, tokens, grid: tuple[int, int] | None = None, *, size: tuple[int, int] = (0, 0)) -> bytes:
        """Encode tokens instead of a picture.

        Args:
            tokens: `Tokens`; or an array [N, …] that is taken for tokens such as this codec makes of pictures.
            grid: (rows, columns) of an array.
            size: (H, W) in pixels of the picture that an array was made of; (0, 0) if that does not matter.

        Raises:
            ValueError: the tokens are not of the kind that the codec codes.
        """
        if not isinstance(tokens, Tokens):
            if grid is None:
                raise ValueError("an array of tokens needs its grid: encode_tokens(tokens, (rows, columns))")
            source = getattr(self.stages.get("features"), "source", "")
            (rows, columns), (height, width) = grid, size
            tokens = Tokens(np.asarray(tokens), (rows, columns), source, (height, width))
        *_, entropy = self.stages.values()
        if tokens.size == (0, 0) and not isinstance(entropy, TokenCoded | IndexCoded):
            raise ValueError(f"{type(entropy).__name__} needs the picture's size: encode_tokens(…, size=(H, W))")
        return self.encode(tokens)

    def decode_tokens(self, stream, *, max_pixels: int = MAX_PIXELS, partial: bool = False) -> Tokens:
        """The inverse of `encode_tokens`: what `decode` returns.

        Args:
            stream: bytes, or the path of a file.
            max_pixels: the largest grid or picture to accept.
            partial: the stream may be cut at its end. Of one that was coded with `progressive=True` the dimensions that
                are there whole are decoded: indices [N,k]. Nothing can be checked then: damage may go unnoticed.

        Raises:
            StreamError: as `decode`; or a cut stream that is not progressive, or has not even one dimension.
        """
        return self.decode(stream, max_pixels=max_pixels, partial=partial)


def tokens(quality: float = 4, refine: int = 12) -> TokenCodec:
    """Features of EfficientNet-Lite0 behind stage 6 (7 × 7 tokens of 192 channels), for ImageNet's and other tasks.

    Args:
        quality: 1 … 8, in steps of 1/8.
        refine: descent steps of the encoder (`TokenEncoder`), 0 for none.
    """
    source = "efficientnet-lite0/6"
    stages = {
        "features": Features(source),
        "transform": FeatureTransform(source, quality),
        "quantize": Uniform(),
        "entropy": TokenCoded(source),
    }
    return TokenCodec("tokens", stages, encoder=TokenEncoder(refine), weights=TokenWeights(source))


def tokens_vit(quality: float = 4, budget: int = 25, reducer: Reducer = "qpid+") -> TokenCodec:
    """Features of the vision transformer's tower, reduced to a few tokens, for Imagenette's and other tasks.

    Args:
        quality: 1 … 8, in steps of 1/8.
        budget: number of tokens that are sent, 1 … 100.
        reducer: how they are chosen: `Reduce`.
    """
    return _of_a_tower("tokens-vit", "vit-imagenette/4", quality, budget, reducer)


def tokens_scenes(quality: float = 4, budget: int = 64, reducer: Reducer = "pivoted+") -> TokenCodec:
    """Visual tokens of the multimodal model ``mllm-scenes``, which answers questions about scenes from them.

    Args:
        quality: 1 … 8, in steps of 1/8.
        budget: number of tokens that are sent, 1 … 256.
        reducer: how they are chosen: `Reduce`.
    """
    return _of_a_tower("tokens-scenes", "mllm-scenes/4", quality, budget, reducer)


def _of_a_tower(name: str, source: str, quality: float, budget: int, reducer: Reducer) -> TokenCodec:
    """Tokens of a vision tower, some of them or all."""
    stages = {
        "features": Features(source),
        "reduce": Reduce(reducer, budget),
        "transform": FeatureTransform(source, quality),
        "quantize": Uniform(),
        "entropy": TokenCoded(source),
    }
    return TokenCodec(name, stages, weights=TokenWeights(source))


def token_indices(vocabulary: int | tuple[int, ...] | list[int] | None = None, progressive: bool = False) -> TokenCodec:
    """Indices of a tokenizer of one's own (VQGAN, TiTok, Cosmos …), without loss.

    Args:
        vocabulary: number of values of an index, or one for each dimension; None for one more than the largest that
            occurs.
        progressive: whether a prefix of the stream decodes to the first dimensions.

    >>> codec = token_indices(vocabulary=1024)
    >>> stream = codec.encode_tokens(np.arange(16) * 64, (4, 4))
    >>> codec.decode_tokens(stream).features[:, 0].tolist() == (np.arange(16) * 64).tolist()
    True
    """
    if isinstance(vocabulary, list):
        vocabulary = tuple(vocabulary)
    return TokenCodec("token-indices", {"entropy": MixedIndices(vocabulary, progressive)})


def token_arrays(step: float = 0.25) -> TokenCodec:
    """Real tokens of any vision tower, [N,C], rounded to multiples of a step.

    Args:
        step: in the unit of the tokens.

    >>> codec = token_arrays(step=0.5)
    >>> tokens = np.array([[0.2, -1.1], [0.3, 4.0]], np.float32)
    >>> codec.decode_tokens(codec.encode_tokens(tokens, (1, 2))).features.tolist()
    [[0.0, -1.0], [0.5, 4.0]]
    """
    return TokenCodec("token-arrays", {"quantize": TokenSteps(float(step)), "entropy": MixedIndices()})
