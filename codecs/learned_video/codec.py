"""Learned video codecs as compositions: `dvc` (residual coding) and `dcvc` (conditional coding).

>>> import codeckit, numpy as np
>>> codec = codeckit.codec("dvc", quality=3, gop=10)
>>> list(codec.stages)
['motion', 'prediction', 'transform', 'quantize', 'entropy']
"""

import os

from ..base import Codec
from .header import Header, read_header, shipped
from .learned_motion import LearnedMotion
from .loop import PredictedMixed
from .motion import BlockMotion
from .networks import NETWORKS, Dcvc
from .stages import ContextPrediction, CostRound, PredictedTransform, ResidualPrediction
from .weights import VideoWeightFile


def dvc(
    quality: float = 4,
    gop: int = 32,
    better: float = 1.0,
    weight: float = 1.5,
    motion: str = "block",
    weights: str | os.PathLike | None = None,
    device: str = "cpu",
) -> Codec:
    """Residual coding of predicted frames, after DVC (Lu et al. 2019), with I-frames by `balle2017`.

    Args:
        quality: 1 … 8, in steps of 1/8.
        gop: frames from one I-frame to the next.
        better: by how much the quality of I-frames is higher than that of predicted ones.
        weight: what the error of a rounded latent weighs against its bits, 0 … 4 (`CostRound`).
        motion: "block" for block motion, "learned" for that of a network.
        weights: path of a weight file; None for the weights that come with the package.
        device: where the networks run, "cpu" or "cuda". Streams and frames are the same everywhere.

    Raises:
        ValueError: an option is illegal, or the weights are of another codec.
        FileNotFoundError: there is no such weight file.
    """
    return compose("dvc", quality, gop, better, weight, motion, weights, device)


def dcvc(
    quality: float = 4,
    gop: int = 32,
    better: float = 1.0,
    weight: float = 1.5,
    motion: str = "block",
    weights: str | os.PathLike | None = None,
    device: str = "cpu",
) -> Codec:
    """Conditional coding of predicted frames, after DCVC (Li et al. 2021), with I-frames by `balle2017`.

    Args:
        quality: 1 … 8, in steps of 1/8.
        gop: frames from one I-frame to the next.
        better: by how much the quality of I-frames is higher than that of predicted ones.
        weight: what the error of a rounded latent weighs against its bits, 0 … 4 (`CostRound`).
        motion: "block" for block motion, "learned" for that of a network.
        weights: path of a weight file; None for the weights that come with the package.
        device: where the networks run, "cpu" or "cuda". Streams and frames are the same everywhere.

    Raises:
        ValueError: an option is illegal, or the weights are of another codec.
        FileNotFoundError: there is no such weight file.
    """
    return compose("dcvc", quality, gop, better, weight, motion, weights, device)


def compose(
    name: str,
    quality: float,
    gop: int,
    better: float,
    weight: float,
    motion: str,
    weights,
    device: str,
) -> Codec:
    """The codec of a network, "dvc" or "dcvc"; options and errors as of these functions."""
    header = _choose(name, weights)
    low, high = header.quality
    if not isinstance(quality, int | float) or not low <= quality <= high:
        raise ValueError(f"quality is a number from {low} to {high}, not {quality!r}")
    if not isinstance(gop, int) or gop < 1:
        raise ValueError(f"gop is an integer of at least 1, not {gop!r}")
    if not 0 <= better <= 7:
        raise ValueError(f"better lies in 0 … 7, not {better!r}")
    if motion not in ("block", "learned"):
        raise ValueError(f"motion is 'block' or 'learned', not {motion!r}")
    prediction = ContextPrediction if NETWORKS[name] is Dcvc else ResidualPrediction
    stages = {
        "motion": BlockMotion() if motion == "block" else LearnedMotion(),
        "prediction": prediction(),
        "transform": PredictedTransform(),
        "quantize": CostRound(float(weight)),
        "entropy": PredictedMixed(quality=quality, gop=gop, better=better),
    }
    setting = {
        "quality": quality,
        "gop": gop,
        "motion": motion if motion != "block" else None,
        "weights": str(weights) if weights else None,
        "device": device if device != "cpu" else None,
    }
    return Codec(name, stages, setting, weights=VideoWeightFile(header.path, device))


def _choose(name: str, weights) -> Header:
    if weights is not None:
        header = read_header(weights)
    else:
        header = next((known for known in shipped() if known.architecture == name), None)
        if header is None:
            raise ValueError(f"no weights of {name} come with this version of codeckit; pass weights=path")
    if header.architecture != name:
        raise ValueError(f"{header.path} holds weights of {header.architecture}, not of {name}")
    return header
