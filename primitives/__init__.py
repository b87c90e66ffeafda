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
        "picture": ["MAX_PIXELS", "HeaderStage", "Picture", "check_size", "pack_header", "unpack_header"],
        "bitstream": ["BitReader", "BitWriter", "ByteReader", "ByteWriter"],
        "container": ["Container"],
        "color": ["ComponentTransform", "YCbCr"],
        "pad": ["PadTo"],
        "subsample": ["Subsample"],
        "dct": ["BlockDCT"],
        "wavelet": ["Wavelet"],
        "quantizers": ["Uniform", "DeadZone", "QuantTable", "Embedded", "FSQ"],
        "token_grid": ["Tokens"],
        "entropy.bits": ["pack_bits", "unpack_bits"],
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
