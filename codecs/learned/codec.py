"""Learned image codecs as compositions: the whole codec is `_codec`, and the network makes the difference.

Options of all:

- `quality`: higher is better. CompressAI's architectures have one network a quality, `balle2017` and `cheng2020` one
  for all of them, with any quality in between (in steps of 1/8).
- `weights`: the path of a weight file (`weights.export`), "compressai" for the official checkpoint of CompressAI, or
  None for weights that come with the package.
- `device`: where the networks run, "cpu" or "cuda". Streams are the same wherever they are decoded.
- `effort`: rounds of the search for symbols that cost less or mend more (`search`), 0 for plain rounding. A round takes
  two to three times as long as decoding; 8 are worth some 3 % of the bits and more. The decoder is the same.

>>> import tempfile
>>> import numpy as np
>>> from .weights import export
>>> network = NETWORKS["bmshj2018-hyperprior"](N=4, M=4)
>>> image = np.zeros((30, 50, 3), np.uint8)
>>> with tempfile.TemporaryDirectory() as folder:
...     path = export(network, [image], f"{folder}/tiny.safetensors", quality=1).path
...     codec = bmshj2018_hyperprior(quality=1, weights=path)
...     decoded = codec.decode(codec.encode(image))
>>> list(codec.stages), decoded.shape
(['pad', 'transform', 'quantize', 'entropy'], (30, 50, 3))
"""

from ...primitives.pad import PadTo
from ..base import Codec
from .networks import NETWORKS
from .stages import LatentCoded, LatentMixed, Learned, Round
from .weights import check_device, choose_weights


def _codec(name: str, quality, weights, device, effort) -> Codec:
    if isinstance(effort, bool) or not isinstance(effort, int) or not 0 <= effort <= 100:
        raise ValueError(f"effort is a number of rounds from 0 to 100, not {effort!r}")
    path, quality = choose_weights(name, quality, weights)
    variable = hasattr(NETWORKS[name], "LEVELS")
    stages = {
        "pad": PadTo(NETWORKS[name].stride),
        "transform": Learned(path, quality if variable else None, check_device(device)),
        "quantize": Round(path, device),
        # CompressAI's architectures code what their networks predict; those that are trained here do better.
        "entropy": (LatentMixed if variable else LatentCoded)(path, device),
    }
    chosen = {"weights": str(weights)} if weights else {}  # weights that ship need no mention
    if device != "cpu":
        chosen["device"] = device
    if effort:
        from .search import OptimizedCodec

        setting = {"quality": quality, **chosen, "effort": effort}
        return OptimizedCodec(name, stages, setting, effort=effort, quality=quality)
    return Codec(name, stages, {"quality": quality, **chosen})


def balle2017(quality=None, weights=None, device="cpu", effort=0) -> Codec:
    """Ballé et al. 2017: three convolutions with GDN, factorized prior."""
    return _codec("balle2017", quality, weights, device, effort)


def bmshj2018_factorized(quality=None, weights=None, device="cpu", effort=0) -> Codec:
    """Ballé et al. 2018 without the hyperprior."""
    return _codec("bmshj2018-factorized", quality, weights, device, effort)


def bmshj2018_hyperprior(quality=None, weights=None, device="cpu", effort=0) -> Codec:
    """Ballé et al. 2018: scale hyperprior."""
    return _codec("bmshj2018-hyperprior", quality, weights, device, effort)


def mbt2018_mean(quality=None, weights=None, device="cpu", effort=0) -> Codec:
    """Minnen et al. 2018 without the context model: mean and scale hyperprior."""
    return _codec("mbt2018-mean", quality, weights, device, effort)


def mbt2018(quality=None, weights=None, device="cpu", effort=0) -> Codec:
    """Minnen et al. 2018: hyperprior and autoregressive context."""
    return _codec("mbt2018", quality, weights, device, effort)


def cheng2020_anchor(quality=None, weights=None, device="cpu", effort=0) -> Codec:
    """Cheng et al. 2020 without attention, single Gaussian."""
    return _codec("cheng2020-anchor", quality, weights, device, effort)


def cheng2020_attn(quality=None, weights=None, device="cpu", effort=0) -> Codec:
    """Cheng et al. 2020 with attention, single Gaussian."""
    return _codec("cheng2020-attn", quality, weights, device, effort)


def cheng2020(quality=None, weights=None, device="cpu", effort=0) -> Codec:
    """Cheng et al. 2020 in full: attention, Gaussian mixture; gain units for a continuous rate."""
    return _codec("cheng2020", quality, weights, device, effort)


def cheng2020_checkerboard(quality=None, weights=None, device="cpu", effort=0) -> Codec:
    """`cheng2020` with the checkerboard context of He et al. 2021: two decoding steps whatever the size."""
    return _codec("cheng2020-checkerboard", quality, weights, device, effort)
