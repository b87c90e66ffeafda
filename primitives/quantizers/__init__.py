"""Quantizers: the one lossy step of a codec. Real coefficients become integer symbols, and most of them zero.

============  ==============================================================  =====================
stage         rule                                                            used by
============  ==============================================================  =====================
`Uniform`     round to the nearest multiple of one step                       learned codecs
`DeadZone`    the same with a zero interval twice as wide                     JPEG 2000
`QuantTable`  one step a coefficient position                                 JPEG
`Embedded`    a dead-zone quantizer as bit planes, coarse to fine             progressive streams
============  ==============================================================  =====================

``forward`` quantizes, ``inverse`` dequantizes, and quantizing what was dequantized gives the same symbols again.
"""

import importlib

_MODULES = {
    "uniform": ("Uniform",),
    "deadzone": ("DeadZone",),
    "table": ("QuantTable",),
    "embedded": ("Embedded",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__():
    return __all__
