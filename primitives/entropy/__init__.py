"""Entropy coding: turning integers into as few bits as their probabilities allow, and back.

Stages (a `Picture` of integer planes to bytes and back), each with more knowledge of the symbols than the one before:
`UniformCoded`, `HuffmanCoded`, `RangeCoded`, `AnsCoded` (all in `static`), `ContextCoded` (in `context`).

Learned codecs code their latents with `LatentEncoder` and `LatentDecoder` (in `latents`), by integer `tables`, among
them those of `gaussian` and its mixtures, in the order of `wavefronts` where a context model asks for it.

Below them, one file each: `huffman` (optimal prefix codes), `range_coder` and `ans` (to read; `constriction` does the
work), `binary_coder` and `mixing` (adaptive arithmetic coding of bits), `models`, `layout`, `bits`.

Names are imported at first use, so that a codec that needs only Huffman tables compiles nothing else.
"""

import importlib

_MODULES = {
    "static": ("UniformCoded", "HuffmanCoded", "RangeCoded", "AnsCoded"),
    "context": ("ContextCoded",),
    "huffman": ("code_lengths", "canonical_codes"),
    "models": ("StaticModel", "AdaptiveModel", "quantize_counts"),
    "range_coder": ("RangeEncoder", "RangeDecoder"),
    "ans": ("AnsCoder",),
    "tables": ("FrequencyTables", "quantize_pmf"),
    "gaussian": ("Mixture", "center", "gaussian_tables", "scale_index", "uncenter"),
    "latents": ("LatentEncoder", "LatentDecoder"),
    "wavefronts": ("wavefront",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__():
    return __all__
