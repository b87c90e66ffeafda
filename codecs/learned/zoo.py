"""CompressAI's models: its checkpoints as weight files, and its package, where it is installed.

CompressAI (Bégaint et al., arXiv:2011.03029) has six of the networks here, with the same names and state-dict keys. Its
checkpoints are pickles: they are read by ``torch.load(weights_only=True)``, which executes nothing in them, and only to
convert them. Its own strings are not read.
"""

import contextlib
import importlib
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from .networks import CHANNELS, load_network
from .weights import Header, export, read_header

#: The networks that CompressAI has no checkpoints of.
_OURS = ("balle2017", "cheng2020", "cheng2020-checkerboard")


def import_compressai(module: str = "compressai"):
    """Import the package compressai, or a module of it; takes some ten seconds the first time.

    It imports torchvision, which fails where torch is a CPU build and torchvision is not: its operators `nms` and
    `qnms` must be known by name. Nothing here calls them, so declaring them is enough.

    Raises:
        ImportError: the package is not installed, or does not import.
    """
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        with contextlib.suppress(RuntimeError):  # torchvision has declared it
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)  # with it would go the operators
    try:
        return importlib.import_module(module)
    except (ImportError, RuntimeError) as error:
        raise ImportError(f"compressai cannot be imported ({error}); pip install 'codeckit[compressai]'") from error


_declared: list[torch.library.Library] = []


def convert_checkpoint(name: str, checkpoint, path, *, quality: int, images: Iterable = (), note: str = "") -> Header:
    """Make a weight file of a CompressAI checkpoint (`.pth`, present or past key names).

    Args:
        name: its architecture, one of CompressAI's six.
        checkpoint: path of the file, a state dict or a training checkpoint with one under "state_dict"; read without
            executing anything in it.
        path, quality, images, note: as for `export`; without images, a few synthetic ones stand in.

    Raises:
        ValueError: the checkpoint is of another architecture, or no file of tensors.
    """
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever its unpickler finds wrong
        raise ValueError(f"{checkpoint} is no file of tensors that torch.load(weights_only=True) reads") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else {}
    network = load_network(name, state)
    return export(network, list(images) or typical_pictures(), path, quality=quality, note=note)


def zoo_weights(name: str, quality: int) -> Header:
    """CompressAI's official checkpoint (trained for MSE) as a weight file, downloaded and converted at the first use.

    The file is kept in ``~/.cache/codeckit`` (or ``$XDG_CACHE_HOME/codeckit``). Whoever is to decode needs the same
    file: to be sure of it, hand it over instead of converting again on another machine.

    Raises:
        ValueError: CompressAI has no such model, or it is not installed.
        ConnectionError: the checkpoint cannot be downloaded.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "codeckit"
    path = cache / f"compressai-{name}-{quality}.safetensors"
    if path.exists():
        return read_header(path)
    if name in _OURS or quality not in range(1, len(CHANNELS[name]) + 1):
        raise ValueError(f"CompressAI has no checkpoint of {name} at quality {quality}")
    try:
        image_models = import_compressai("compressai.zoo").image_models
    except ImportError as error:
        raise ValueError(
            f"weights='compressai' needs the package: {error}; or pass weights=path, a file that export or "
            "convert_checkpoint wrote"
        ) from error
    try:
        state = image_models[name](quality=quality, metric="mse", pretrained=True).state_dict()
    except OSError as error:
        raise ConnectionError(
            f"CompressAI's checkpoint of {name} cannot be downloaded ({error}); with network access try again, or "
            "convert a .pth file that you have with convert_checkpoint and pass weights=path"
        ) from error
    network = load_network(name, state)
    return export(network, typical_pictures(), path, quality=quality, note="CompressAI's checkpoint, trained for MSE")


def typical_pictures(count: int = 4, size: int = 256) -> list[np.ndarray]:
    """Textures with the 1/f amplitude spectrum of photographs and some contrast, uint8 [size,size,3].

    >>> typical_pictures(1, 64)[0].shape
    (64, 64, 3)
    """
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None, None], np.fft.rfftfreq(size)[None, :, None])
    pictures = []
    for contrast in np.linspace(20, 80, count):
        spectrum = np.fft.rfft2(rng.standard_normal((size, size, 3)), axes=(0, 1)) / np.maximum(frequency, 1 / size)
        texture = np.fft.irfft2(spectrum, (size, size), axes=(0, 1))
        pictures.append(np.clip(128 + contrast * texture / texture.std(), 0, 255).astype(np.uint8))
    return pictures
