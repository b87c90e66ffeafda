"""The token codecs as compositions.

>>> import numpy as np
>>> from codeckit.primitives.tokens import Tokens
>>> codec = tokens(quality=5, refine=0)
>>> features = np.random.default_rng(0).normal(0, 1, (49, 192)).astype(np.float32)
>>> decoded = codec.decode_tokens(codec.encode_tokens(features, (7, 7)))
>>> decoded.grid, decoded.features.shape, decoded.source
((7, 7), (49, 192), 'efficientnet-lite0/6')
"""

from dataclasses import dataclass

import numpy as np

from ...primitives.picture import MAX_PIXELS
from ...primitives.quantizers.uniform import Uniform
from ...primitives.tokens.grid import Tokens
from ..base import Codec
from .stages import Features, FeatureTransform, TokenCoded


@dataclass(frozen=True)
class TokenCodec(Codec):
    """A codec that decodes to `Tokens`, and also takes tokens that its user made."""

    def encode_tokens(self, tokens, grid: tuple[int, int] | None = None, *, size: tuple[int, int] = (0, 0)) -> bytes:
        """Encode tokens instead of a picture.

        Args:
            tokens: `Tokens`; or an array [N, …] that is taken for tokens such as this codec makes of pictures.
            grid: (rows, columns) of an array.
            size: (H, W) in pixels of the picture that an array was made of; (0, 0) if that does not matter.

        Raises:
            ValueError: the tokens are not of the kind that the codec codes.
        """
        stages = dict(self.stages)
        features = stages.pop("features", None)
        if not isinstance(tokens, Tokens):
            if grid is None:
                raise ValueError("an array of tokens needs its grid: encode_tokens(tokens, (rows, columns))")
            tokens = Tokens(np.asarray(tokens), tuple(grid), features.source if features else "", tuple(size))
        value = tokens
        for stage in stages.values():
            value = stage.forward(value)
        return self._wrap(value)

    def decode_tokens(self, stream, *, max_pixels: int = MAX_PIXELS) -> Tokens:
        """The inverse of `encode_tokens`: what `decode` returns."""
        return self.decode(stream, max_pixels=max_pixels)


def tokens(quality=4, refine=12) -> TokenCodec:
    """Features of EfficientNet-Lite0 behind stage 6 (7 × 7 tokens of 192 channels), for ImageNet's and other tasks.

    Args:
        quality: 1 … 8, in steps of 1/8.
        refine: descent steps of the encoder (`FeatureTransform`), 0 for none.
    """
    return TokenCodec(
        "tokens",
        {
            "features": Features(),
            "transform": FeatureTransform(quality=quality, refine=refine),
            "quantize": Uniform(),
            "entropy": TokenCoded(),
        },
    )
