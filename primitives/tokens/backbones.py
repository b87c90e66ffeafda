"""The networks that make and read tokens, by name."""

from typing import Any

from .efficientnet import BACKBONES, load_efficientnet

#: The vision transformer (`vit`).
VIT = "vit-imagenette"

#: The multimodal model (`mllm`).
MLLM = "mllm-scenes"


def load_backbone(name: str) -> Any:
    """The backbone called `name`, kept in memory.

    Returns:
        An `efficientnet.Backbone`; for `VIT` a `vit.VitBackbone`, for `MLLM` a `mllm.MllmBackbone`.

    Raises:
        ValueError: no backbone has that name.
        ImportError: its packages are not installed.

    >>> load_backbone("resnet-50")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: no backbone is called 'resnet-50'; there are efficientnet-lite0, ..., mllm-scenes
    """
    if name in BACKBONES:
        return load_efficientnet(name)
    if name == VIT:
        from .vit import load_vit  # torch takes long to load

        return load_vit()
    if name == MLLM:
        from .mllm import load_mllm

        return load_mllm()
    raise ValueError(f"no backbone is called {name!r}; there are {', '.join((*BACKBONES, VIT, MLLM))}")
