"""Token codecs: a picture becomes a grid of features in a few hundred bytes, and decodes to these, for machines.

================  ==================================================================================================
file              holds
================  ==================================================================================================
`model`           what a codec knows beforehand of its backbone's features: basis, scales, frequencies; the shipped file
`stages`          features, transform, entropy coding as stages
`codec`           the compositions, with `encode_tokens` and `decode_tokens`
`tokenizer`       the network of ``tokens-fsq``
`fsq`             ``tokens-fsq``, the tokenizer as a codec of pictures: its stages and its shipped file
================  ==================================================================================================

Names are imported at first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "codec": ["TokenCodec", "token_arrays", "token_indices", "tokens", "tokens_vit"],
        "fsq": ["NetworkIndices", "Tokenize", "TokenizerCodec", "tokens_fsq"],
        "model": ["TokenModel", "load_model"],
        "stages": ["FeatureTransform", "Features", "Reduce", "TokenCoded", "TokenSteps"],
    },
)
