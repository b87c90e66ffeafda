"""The stages of learned video codecs: motion, prediction, transform, quantization, entropy coding, and their loop.

A frame that is predicted goes through all of them::

    frame ── − ── PredictedTransform ── DeadZoneRound ──┬── PredictedMixed ──> bytes
             │    g_a                   symbols         │          ↑
             │                                    g_s   │          │ motion, scales
             └── p̄ ─────────────────────── + ───────────┘          │
                 ↑                         └─> decoded frame       │
                 └── ResidualPrediction ── BlockMotion ────────────┘
                     or ContextPrediction

The loop is the last stage's (`loop`): it *absorbs* the others, as they need the frame decoded before. What decoders
compute here is integers (`exact`). The encoder's g_a runs in floats: it only chooses symbols.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np
import torch

from ...primitives.stage import Stage, Weighted
from ..learned.networks import LEVEL_STEPS
from ..video import VideoStage
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


@dataclass(frozen=True)
class _VideoStage(Weighted):
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
class ResidualPrediction(_VideoStage):
    """DVC's motion compensation network: corrects what motion predicts. The difference from it is coded on its own.

    Attributes:
        weights: handle of the weight file of a `Dvc`.
    """

    conditional: ClassVar[bool] = False

    def loaded(self):
        """The weights; see `_VideoStage.loaded`.

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
class PredictedTransform(_VideoStage):
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
class DeadZoneRound(Stage):
    """Latents to symbols: rounded after they are brought nearer to zero, as zeros are cheap where motion predicts well.

    Attributes:
        dead_zone: by how much, in steps; 0 … 0.45. The decoder need not know.

    >>> DeadZoneRound(0.2).forward(np.array([0.65, 0.75, -1.6, 2.0]))
    array([ 0,  1, -1,  2], dtype=int32)
    """

    unwritten: ClassVar[tuple[str, ...]] = ("dead_zone",)

    dead_zone: float = 0.15

    def __post_init__(self):
        if not 0 <= self.dead_zone <= 0.45:
            raise ValueError(f"dead_zone lies in 0 … 0.45, not {self.dead_zone!r}")

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Symbols, int32."""
        sizes = np.floor(np.maximum(np.abs(x) + 0.5 - self.dead_zone, 0)).clip(max=1 << 20)
        return np.copysign(sizes, x).astype(np.int32)

    def inverse(self, y: np.ndarray) -> np.ndarray:
        """The symbols as they are: the transform scales them."""
        return y


@dataclass(frozen=True)
class PredictedMixed(VideoStage, _VideoStage):
    """The loop over frames, and the context-mixing coder of their symbols.

    Attributes:
        weights: handle of the weight file.
        quality: 1 … 8, of predicted frames, in steps of 1/8.
        gop: frames from one I-frame to the next.
        better: by how much the quality of I-frames is higher: the frames that follow are predicted from them.
    """

    unwritten: ClassVar[tuple[str, ...]] = ("weights", "quality", "gop", "better")  # chunks say what decoding needs
    absorbs: ClassVar[bool] = True

    quality: float = 4
    gop: int = 32
    better: float = 1.0

    def among(self, stages: Mapping[str, Stage]) -> "Stage":
        """The loop with all stages of the codec (`loop.Loop`)."""
        from .loop import Loop

        return Loop(self, stages)
