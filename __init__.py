"""codeckit: classical and neural visual codecs built from the same parts: transform, quantize, entropy-code.

The public names are imported at first use; importing codeckit itself imports next to nothing.
"""

import importlib

__version__ = "0.1.0"

_HOME = {
    "Codec": "codecs.base",
    "Measurement": "bench.records",
    "StreamError": "primitives.errors",
    "codec": "codecs.registry",
    "compare": "bench",
    "dataset": "bench",
    "decode": "api",
    "encode": "api",
    "evaluate": "bench",
    "info": "api",
    "list_codecs": "codecs.registry",
    "register_codec": "codecs.registry",
}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module 'codeckit' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__():
    return [*__all__, "__version__"]
