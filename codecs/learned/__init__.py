"""Learned image codecs, with the names of the papers and of CompressAI, and one set of stages for all of them.

================  ==================================================================================
file              holds
================  ==================================================================================
`networks`        the float networks: transforms and likelihoods, for training and for evaluation
`probabilities`   their entropy models in integers, and the order in which latents are coded
`weights`         weight files: export, loading, fingerprints
`zoo`             CompressAI's checkpoints as weight files
`stages`          transform, rounding and entropy coding as stages
`codec`           the compositions
================  ==================================================================================

Names are imported at first use.
"""

import importlib

_HOME = {
    **dict.fromkeys(("NETWORKS", "Network", "NetworkOutput", "load_network", "network"), "networks"),
    **dict.fromkeys(("export", "load_weights", "register_weights"), "weights"),
    **dict.fromkeys(("convert_checkpoint", "import_compressai"), "zoo"),
}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__():
    return __all__
