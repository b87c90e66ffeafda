"""codeckit: classical and neural visual codecs built from the same parts: transform, quantize, entropy-code.

The public names are imported at first use; importing codeckit itself imports next to nothing. `__init__.pyi` tells
editors and type checkers what they are, the options of every codec included.

A child that is forked after a network ran computes with one thread. The threads of torch's pool do not live on in it,
and the first operation that waited for one would wait for ever.
"""

import os
import sys

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["bench", "codecs", "metrics", "pages", "primitives", "testing", "training"],
    submod_attrs={
        "api": ["decode", "decode_video", "encode", "encode_video", "trace_video"],
        "bench.datasets": ["dataset"],
        "bench.records": ["Measurement"],
        "bench.report": ["compare"],
        "bench.sweep": ["evaluate"],
        "codecs.base": ["Codec"],
        "codecs.frames": ["read_video"],
        "codecs.image_io": ["Reading", "read_image", "read_metadata"],
        "codecs.info": ["info"],
        "codecs.registry": ["codec", "list_codecs", "register_codec"],
        "primitives.errors": ["DamageWarning", "ReadingError", "StreamError"],
    },
)


def _compute_alone() -> None:
    """In a forked child: keep torch, if the parent had loaded it, from waiting for the pool of the parent's threads."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # where there is fork
    os.register_at_fork(after_in_child=_compute_alone)
