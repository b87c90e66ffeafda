"""Distortion of features: how far a network's view of the decoded picture is from its view of the original.

The network is EfficientNet-Lite0 up to a stage (`primitives.tokens.efficientnet`). A decoded picture goes through it;
decoded tokens are its view already. So one number compares codecs of pictures with codecs of tokens, whatever the
task::

    feature SNR = 10 · log10( mean of (f − μ)² / mean of (f − f̂)² )   dB

f are the features of the original, f̂ those of what was decoded, μ each channel's mean over the original's positions.
0 dB is no better than sending that mean.
"""

import math

import numpy as np

from .distortion import check_pair
from .measure import Metric, UndefinedError

_BACKBONE, _STAGE = "efficientnet-lite0", 6


def feature_snr(reference: np.ndarray, decoded) -> float:
    """SNR in dB of EfficientNet-Lite0's features behind stage 6 (7 × 7 tokens of 192 channels), infinite if equal.

    Args:
        reference: uint8 [H,W,3] or [H,W].
        decoded: such a picture, or `Tokens` that a stage of EfficientNet-Lite0 made: those of stage 6 are compared as
            they are, the tokens of an earlier stage go on through the network.

    Raises:
        UndefinedError: other tokens.
        ValueError: pictures of another dtype, or of shapes that differ.
        ImportError: the network's packages are not installed (extra ``tasks``).
    """
    from ..primitives.tokens.backbones import load_backbone

    backbone = load_backbone(_BACKBONE)
    if isinstance(decoded, np.ndarray):
        check_pair(reference, decoded)
    original = backbone.tokens(reference, _STAGE).features
    try:
        seen = backbone.tokens(decoded, _STAGE).features
    except ValueError as error:
        raise UndefinedError(str(error)) from error
    squares = float(np.mean((original - seen) ** 2, dtype=np.float64))
    if squares == 0:
        return math.inf
    return 10 * math.log10(float(np.mean((original - original.mean(0)) ** 2, dtype=np.float64)) / squares)


FEATURE_SNR = Metric("feature-snr", feature_snr, title="feature SNR", unit="dB", digits=2, takes_tokens=True)
