"""Shared parts of all codecs: transforms, quantizers, entropy models and coders, streams. Knows nothing of codecs.

Names are imported at first use, so that a codec that needs no torch never imports it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "errors": ["StreamError"],
        "stage": ["Stage", "spec", "from_spec"],
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


def load_stage_class(name: str) -> type:
    """The stage class called `name`, its module imported if need be.

    Raises:
        StreamError: no stage has that name.

    >>> load_stage_class("Subsample").__module__
    'codeckit.primitives.subsample'
    """
    import dataclasses

    from .errors import StreamError
    from .stage import Stage

    if name not in Stage.classes and name in __all__:
        __getattr__(name)  # a module may itself be a package that imports its names at first use
    # What is no dataclass is a base of stages, not a stage.
    if name not in Stage.classes or not dataclasses.is_dataclass(Stage.classes[name]):
        raise StreamError(f"no stage is called {name!r}")
    return Stage.classes[name]
