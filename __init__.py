"""codeckit: classical and neural visual codecs built from the same parts: transform, quantize, entropy-code.

The public names are imported at first use; importing codeckit itself imports next to nothing. `__init__.pyi` tells
editors and type checkers what they are, the options of every codec included.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["bench", "codecs", "metrics", "pages", "primitives", "testing", "training"],
    submod_attrs={
        "api": ["decode", "decode_video", "encode"],
        "bench.datasets": ["dataset"],
        "bench.records": ["Measurement"],
        "bench.report": ["compare"],
        "bench.sweep": ["evaluate"],
        "codecs.base": ["Codec"],
        "codecs.frames": ["read_video"],
        "codecs.image_io": ["read_image", "read_metadata"],
        "codecs.info": ["info"],
        "codecs.registry": ["codec", "list_codecs", "register_codec"],
        "primitives.errors": ["ReadingError", "StreamError"],
    },
)
