"""CompressAI's models: its checkpoints as weight files, and its package, where it is installed.

CompressAI (Bégaint et al., arXiv:2011.03029) has six of the networks here, with the same names and state-dict keys. Its
checkpoints are pickles: ``torch.load(path, weights_only=True)`` reads them and executes nothing in them, `load_network`
makes a network of the state dict, and `export` a weight file of that. Its own strings are not read.
"""

import contextlib
import importlib
import os
from pathlib import Path

import numpy as np
import torch

from .header import Header, read_header
from .networks import load_network, network_class
from .weights import export

#: The networks that CompressAI has checkpoints of.
MODELS = (
    "bmshj2018-factorized",
    "bmshj2018-hyperprior",
    "mbt2018-mean",
    "mbt2018",
    "cheng2020-anchor",
    "cheng2020-attn",
)


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
    if name not in MODELS or quality not in range(1, len(network_class(name).CHANNELS) + 1):
        raise ValueError(f"CompressAI has no checkpoint of {name} at quality {quality}")
    try:
        image_models = import_compressai("compressai.zoo").image_models
    except ImportError as error:
        raise ValueError(
            f"weights='compressai' needs the package: {error}; or pass weights=path, a file that export wrote"
        ) from error
    try:
        state = image_models[name](quality=quality, metric="mse", pretrained=True).state_dict()
    except OSError as error:
        raise ConnectionError(
            f"CompressAI's checkpoint of {name} cannot be downloaded ({error}); with network access try again, or pass "
            "weights=path, a file that export wrote of load_network(name, torch.load(checkpoint, weights_only=True))"
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
