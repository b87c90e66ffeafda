"""Shared parts of all codecs: transforms, quantizers, entropy models and coders, streams. Knows nothing of codecs.

Names are imported at first use, so that a codec that needs no torch never imports it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["plugins"],
    submod_attrs={
        "errors": ["StreamError"],
        "stage": ["Stage", "Weighted", "from_spec", "register_stage", "spec"],
        "picture": ["Picture"],
        "bitstream": ["BitReader", "BitWriter", "ByteReader", "ByteWriter"],
        "container": ["Container"],
        "color": ["ComponentTransform", "YCbCr"],
        "pad": ["PadTo"],
        "subsample": ["Subsample"],
        "dct": ["BlockDCT"],
        "wavelet": ["Wavelet"],
        "quantizers": ["Uniform", "DeadZone", "QuantTable", "FSQ"],
        "token_grid": ["Tokens"],
        "entropy": [
            "UniformCoded",
            "HuffmanCoded",
            "RangeCoded",
            "AnsCoded",
            "ContextCoded",
            "DctCoded",
            "BitPlaneCoded",
            "FixedIndices",
            "StaticIndices",
            "AdaptiveIndices",
            "MixedIndices",
        ],
    },
)
