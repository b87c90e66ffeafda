"""The stages of learned video codecs: motion, prediction, transform, quantization, entropy coding, and their loop.

A frame that is predicted goes through all of them::

    frame ── − ── PredictedTransform ── CostRound ──┬── PredictedMixed ──> bytes
             │    g_a                   symbols         │          ↑
             │                                    g_s   │          │ motion, scales
             └── p̄ ─────────────────────── + ───────────┘          │
                 ↑                         └─> decoded frame       │
                 └── ResidualPrediction ── BlockMotion ────────────┘
                     or ContextPrediction

The loop is the last stage's (`loop`): it *absorbs* the others, as they need the frame decoded before. What decoders
compute here is integers (`exact`). The encoder's g_a runs in floats: it only chooses symbols.
"""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch

from ...primitives.level_map import pooled
from ...primitives.stage import Stage, Weighted
from ..learned.networks import LEVEL_STEPS
from .exact import FEATURE_BITS, PICTURE_BITS, Context
from .networks import Dcvc
from .weights import VideoWeightFile, VideoWeights, find_weights


class Prediction(NamedTuple):
    """What a frame is predicted by.

    Attributes:
        moved: p, the motion-compensated frame before, uint8 [H,W,3].
        context: p̄ and features of it, integers.
    """

    moved: np.ndarray
    context: Context

    @property
    def corrected(self) -> np.ndarray:
        """p̄ in grey levels, float32 [H,W,3]."""
        return self.context.corrected[0].permute(1, 2, 0).numpy().astype(np.float32) / 2 ** (PICTURE_BITS - 8)

    @property
    def features(self) -> np.ndarray:
        """c, float32 [H/4,W/4,C]."""
        return self.context.features[0].permute(1, 2, 0).cpu().numpy().astype(np.float32) / 2**FEATURE_BITS


@dataclass(frozen=True)
class WeightedStage(Weighted):
    """What the stages share: the handle of the weights.

    Attributes:
        weights: handle of the weight file; the codec sets it.
    """

    weights: VideoWeightFile | None = field(default=None, repr=False)

    def find_weights(self, fingerprint: bytes) -> VideoWeightFile:
        """The handle of shipped or registered weights; see `codecs.learned_video.weights.find_weights`."""
        return find_weights(fingerprint)

    def loaded(self) -> VideoWeights:
        """The weights.

        Raises:
            ValueError: the codec has none yet.
        """
        if self.weights is None:
            raise ValueError("this codec has no weights yet: codec(name, weights=path) gives it some")
        return self.weights.load()


@dataclass(frozen=True)
class ResidualPrediction(WeightedStage):
    """DVC's motion compensation network: corrects what motion predicts. The difference from it is coded on its own.

    Attributes:
        weights: handle of the weight file of a `Dvc`.
    """

    conditional: ClassVar[bool] = False

    def loaded(self):
        """The weights; see `WeightedStage.loaded`.

        Raises:
            ValueError: they are of the other kind of network.
        """
        weights = super().loaded()
        if isinstance(weights.network, Dcvc) != self.conditional:
            raise ValueError(f"{type(self).__name__} does not work with weights of {weights.header.architecture}")
        return weights

    @torch.inference_mode()
    def predict(self, moved: np.ndarray, before: np.ndarray, level: int) -> Prediction:
        """The corrected prediction.

        Args:
            moved: prediction by motion, uint8 [H,W,3].
            before: the frame that it was made of.
            level: the gain level.
        """
        return Prediction(moved, self.loaded().decoder.context(moved, before, level))


@dataclass(frozen=True)
class ContextPrediction(ResidualPrediction):
    """DCVC's context: features of what motion predicts take part in encoder, decoder and entropy model.

    Attributes:
        weights: handle of the weight file of a `Dcvc`.
    """

    conditional: ClassVar[bool] = True


@dataclass(frozen=True)
class PredictedTransform(WeightedStage):
    """g_a and g_s of a frame and its prediction.

    Attributes:
        weights: handle of the weight file.
    """

    @torch.inference_mode()
    def analysis(self, frame: np.ndarray, prediction: Prediction, level: int) -> np.ndarray:
        """Scaled latents, float32 [H/16,W/16,M], of a frame uint8 [H,W,3]."""
        network, device = self.loaded().network, self.weights.device
        x = torch.from_numpy(frame).to(device).permute(2, 0, 1)[None].float() / 256
        corrected = prediction.context.corrected.to(device).float() / 2**PICTURE_BITS
        features = prediction.context.features.to(device).float() / 2**FEATURE_BITS
        quality = torch.tensor([1 + level / LEVEL_STEPS], device=device)
        layout = torch.channels_last
        y = network.analysis((x - corrected).contiguous(memory_format=layout), features, quality)
        return np.ascontiguousarray(y[0].permute(1, 2, 0).float().cpu().numpy())

    @torch.inference_mode()
    def synthesis(self, symbols: np.ndarray, prediction: Prediction, level: int) -> np.ndarray:
        """The decoded frame, uint8 [H,W,3], of symbols int32 [H/16,W/16,M]."""
        return self.loaded().decoder.picture(symbols, prediction.context, level)


@dataclass(frozen=True)
class CostRound(Stage):
    """Latents to symbols, each rounded to where error and bits cost least. The decoder need not know.

    A symbol q in the place of a latent y has an error of (y - q)², and costs bits. Where the network's steps are right,
    8.7 such errors weigh as much as a bit: with the step Δ² = 18 / (ln 2 · λ) of `training.start` and a loss of
    bits + λ/3 · error, a squared step is worth λ/3 · Δ² = 8.66 bits. What a symbol costs depends on the symbols around,
    as the coder adapts: in quiet places a one takes five bits more than a zero, and mends too little. So the scale b of
    a Laplace distribution is estimated for each symbol from those around it, of its channel and of all channels, once
    they have been rounded at first. Then each takes the cheapest of its two neighbours and zero.

    Attributes:
        weight: what an error weighs, relative to 8.66 bits. 0 … 4; the higher, the nearer to plain rounding.
        octaves: where errors weigh 2^octaves times as much, float32 [H,W]; None if they weigh the same everywhere.

    >>> y = np.zeros((4, 4, 2)); y[1, 1] = 0.7, 3.7
    >>> CostRound(1.0).choose(y, np.full((4, 4, 2), 0.1))[1, 1]
    array([0, 3], dtype=int32)
    """

    unwritten: ClassVar[tuple[str, ...]] = ("weight", "octaves")

    weight: float = 1.5
    octaves: np.ndarray | None = field(default=None, repr=False, compare=False)

    def __post_init__(self):
        if not 0 <= self.weight <= 4:
            raise ValueError(f"weight lies in 0 … 4, not {self.weight!r}")

    def weighed(self, octaves: np.ndarray, stages) -> "CostRound":
        """The rounding with other weights; see `Stage.weighed`. Predicted frames alone are rounded here."""
        return replace(self, octaves=octaves)

    def choose(self, y: np.ndarray, scales: np.ndarray) -> np.ndarray:
        """Symbols, int32 [R,C,M].

        Args:
            y: scaled latents.
            scales: b of each symbol's distribution as the prior has it, before anything is known of its neighbours.
        """
        weight: Any = self.weight
        if self.octaves is not None:
            weight = weight * 2 ** pooled(self.octaves, (_LATENT, _LATENT), y.shape[:2])[..., None]
        size = np.abs(y).astype(np.float32)
        usual = 1 / (2 * np.sinh(1 / (2 * scales)))  # the mean magnitude of a rounded Laplace variable
        symbols = np.floor(size + 0.3)
        for _ in range(_ROUNDS):
            scale = _scale_around(symbols, usual)
            near = np.floor(size)
            candidates = np.stack((np.zeros_like(near), near, near + 1))
            costs = _ERROR * weight * (size - candidates) ** 2 + _laplace_bits(candidates, scale)
            symbols = np.take_along_axis(candidates, costs.argmin(0)[None], 0)[0]
        return np.copysign(symbols, y).clip(-(1 << 20), 1 << 20).astype(np.int32)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Symbols without knowledge of their distributions: those of a flat prior."""
        return self.choose(x, np.full(x.shape, 0.3))

    def inverse(self, y: np.ndarray) -> np.ndarray:
        """The symbols as they are: the transform scales them."""
        return y


#: Pixels along the side of a latent's place.
_LATENT = 16

#: Bits that a squared error of one step is worth, and rounds of estimating and choosing.
_ERROR, _ROUNDS = 8.66, 2


def _scale_around(symbols: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """The scale b of each symbol, from the magnitudes around it and those that are usual, [R,C,M] all."""
    activity = _around(symbols.sum(2)) + symbols.sum(2)
    expected = _around(usual.sum(2)) + usual.sum(2)
    own = usual * ((activity + 0.5) / (expected + 0.5))[..., None]  # as busy as the place is
    counts = _around(np.ones(symbols.shape[:2]))[..., None]
    mean = (_around(symbols) + _TRUST * own) / (counts + _TRUST)
    return 1 / (2 * np.arcsinh(1 / (2 * np.maximum(mean, 1e-4))))


#: How many neighbours the prior counts for.
_TRUST = 8.0


def _around(values: np.ndarray) -> np.ndarray:
    """The sum over the eight neighbours of each position [R,C,...]."""
    padded = np.pad(values, [(1, 1), (1, 1)] + [(0, 0)] * (values.ndim - 2))
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:] - values


def _laplace_bits(size: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Bits of whole numbers of such magnitudes, a sign included."""
    decay = 1 / (scale * np.log(2))
    zero = -np.log2(-np.expm1(-0.5 / scale))
    return np.where(size == 0, zero, 1 + (size - 0.5) * decay - np.log2(-np.expm1(-1 / scale)))
