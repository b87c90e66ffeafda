"""Codecs: short compositions of the shared primitives, and library codecs under the same protocol.

Names are imported at first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "base": ["Codec", "Encoder"],
        "entry": ["Entry"],
        "image_io": ["Metadata"],
        "info": ["Info", "info"],
        "registry": ["codec", "list_codecs", "register_codec"],
        "trace": ["Step", "Trace"],
    },
)
