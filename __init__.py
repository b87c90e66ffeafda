"""codeckit: classical and neural visual codecs built from the same parts: transform, quantize, entropy-code.

The public names are imported at first use; importing codeckit itself imports next to nothing.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "codecs.base": ["Codec"],
        "bench.records": ["Measurement"],
        "primitives.errors": ["StreamError"],
        "codecs.registry": ["codec", "list_codecs", "register_codec"],
        "bench": ["compare", "dataset", "evaluate"],
        "codecs.frames": ["read_video"],
        "codecs.info": ["info"],
        "api": ["decode", "decode_video", "encode"],
    },
)
