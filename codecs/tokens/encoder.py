"""The encoder of token codecs: it takes pictures or tokens, and corrects the mean of the grid before it is quantized.

What is lost at the higher frequencies shifts what the network sees in the mean, since it is not linear. A descent on
the components of the grid's mean puts that right (analysis by synthesis): the network's embedding, from which its last
layer and other tasks start, of the tokens as they will be decoded comes close to that of the original tokens. The
stages only transform, and the decoder knows nothing of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np

from ...primitives.picture import Picture
from ...primitives.stage import Stage
from ...primitives.token_grid import Tokens
from ...primitives.tokens.backbones import load_backbone
from ..base import Encoder, See
from ..image_io import Photo, Reading, open_image
from .model import TokenModel, step_of
from .stages import FeatureTransform

#: Step size of the descent, in quantization steps.
_RATE = 0.15


@dataclass(frozen=True)
class TokenEncoder(Encoder):
    """Encodes pictures or `Tokens`, and refines what `FeatureTransform` returns.

    Attributes:
        refine: number of descent steps, 0 for none; they need the backbone's packages. Single tokens have no grid whose
            mean could be moved.
    """

    folds: ClassVar[bool] = False

    refine: int = 0

    def __post_init__(self):
        if isinstance(self.refine, bool) or not isinstance(self.refine, int) or not 0 <= self.refine <= 1000:
            raise ValueError(f"refine is a number of steps from 0 to 1000, not {self.refine!r}")

    def read(self, image: Any, reading: Reading, carries: Iterable[str]) -> Photo:
        """A picture in sRGB, which is what models know; or `Tokens` as they are. Tokens carry no metadata."""
        return Photo(cast(Any, image)) if isinstance(image, Tokens) else open_image(image, reading)

    def encode(self, stages: dict[str, Stage], image, see: See | None = None) -> tuple[dict[str, Stage], bytes]:
        """The stages and the payload; see `Encoder.encode`.

        Args:
            stages: the codec's, by role.
            image: the pixels; or `Tokens`, which do without the stage ``"features"``.
            see: called with role, stage and output of each step.

        Raises:
            ValueError: a picture for stages that make no tokens of pictures, or tokens that they do not take.
        """
        if not isinstance(image, Tokens) and "features" not in stages:
            raise ValueError("this codec codes tokens that you have, not pictures: use encode_tokens(tokens, grid)")
        value: Any = image
        for role, stage in stages.items():
            if role == "features" and isinstance(image, Tokens):
                continue
            before, value = value, stage.forward(value)
            if self.refine and isinstance(stage, FeatureTransform) and not stage.model.single:
                value = refined(value, before, stage.model, self.refine)
            if see:
                see(role, stage, value)
        return stages, value


def refined(picture: Picture, tokens: Tokens, model: TokenModel, steps: int) -> Picture:
    """Components whose mean makes the embedding of the decoded tokens most like that of the original ones.

    Args:
        picture: what `FeatureTransform` made of the tokens: components in steps, not rounded.
        tokens: the original ones.
        model: that of the transform, of tokens on a grid.
        steps: number of descent steps (Adam).
    """
    import torch

    name, _, stage = model.source.partition("/")
    backbone = load_backbone(name)
    (y,), step_size = picture.planes, step_of(picture.side["level"])
    decoded = np.rint(y)
    decoded[0, 0] = 0
    rest = model.features(decoded * step_size)
    basis = model.inverse_dc * (step_size / np.sqrt(model.shape[0] * model.shape[1]))

    def batch(features):
        return torch.from_numpy(np.ascontiguousarray(features.transpose(2, 0, 1), np.float32))[None]

    with torch.inference_mode():
        wanted = backbone.embed_maps(batch(tokens.map), int(stage))
    with torch.inference_mode(False), torch.enable_grad():
        rest, basis, wanted = batch(rest), torch.from_numpy(basis.astype(np.float32)), wanted.clone()
        mean = torch.from_numpy(y[0, 0].copy()).requires_grad_(True)
        first, second = torch.zeros_like(mean), torch.zeros_like(mean)  # Adam's moments; torch.optim takes long to load
        for t in range(1, steps + 1):
            seen = backbone.embed_maps(rest + (mean @ basis)[None, :, None, None], int(stage))
            (gradient,) = torch.autograd.grad((seen - wanted).square().sum(), mean)
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient.square()
            step = (first / (1 - 0.9**t)) / ((second / (1 - 0.999**t)).sqrt() + 1e-8)
            mean = (mean.detach() - _RATE * step).requires_grad_(True)
    moved = y.copy()
    moved[0, 0] = mean.detach().numpy()
    return picture.replace(planes=(moved,))
