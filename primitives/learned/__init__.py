"""Building blocks of learned transforms, as torch modules: one small file a block.

================  =====================================================  ====================================
file              holds                                                  source
================  =====================================================  ====================================
`gdn`             generalized divisive normalization and its inverse     Ballé et al. 2016, 2017
`residual`        residual blocks, with stride and with upsampling       Cheng et al. 2020
`attention`       attention without non-local blocks                     Cheng et al. 2020
`masked_conv`     convolutions that look at decoded positions only       van den Oord 2016, He et al. 2021
`gain`            one scale a channel and quality: a continuous rate     Cui et al. 2021
`quantize`        noise and straight-through rounding for training       Ballé et al. 2017, Theis et al. 2017
`lower_bound`     a maximum that lets gradients come back                TensorFlow Compression
================  =====================================================  ====================================

Feature maps are float tensors [N,C,H,W]. Parameters and buffers carry the names that CompressAI gives them, so that
its checkpoints fit. Names are imported at first use.
"""

import importlib

_MODULES = {
    "attention": ("AttentionBlock", "ResidualUnit"),
    "gain": ("GainUnit",),
    "gdn": ("GDN", "NonNegative"),
    "lower_bound": ("LowerBound",),
    "masked_conv": ("CheckerboardConv2d", "MaskedConv2d", "anchors", "wavefronts"),
    "quantize": ("add_noise", "round_around", "round_straight_through"),
    "residual": (
        "ResidualBlock",
        "ResidualBlockUpsample",
        "ResidualBlockWithStride",
        "conv1x1",
        "conv3x3",
        "subpixel_conv3x3",
    ),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__():
    return __all__
