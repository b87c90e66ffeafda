"""Learned image codecs: the networks, with the names of the papers and of CompressAI. See `networks`.

Names are imported at first use.
"""

import importlib

_HOME = dict.fromkeys(("NETWORKS", "Network", "NetworkOutput", "load_network", "network"), "networks")

__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__():
    return __all__
