"""Rules that drop visual tokens inside of a language model, which knows the question by then.

All are given to `mllm.LanguageModel.forward` and asked before each of its layers but the first (`mllm.Inside`). Layers
before a rule drops something see all tokens, which is what such methods pay.

==========  =========================================================================================================
rule        keeps
==========  =========================================================================================================
`FastV`     after layer 2 the K tokens to which the last word's attention is highest, mean over the heads
`PDrop`     the same at a quarter, a half and three quarters of the layers, each time as large a part
`Dart`      after layer 2 the K tokens least like 8 pivots: the 4 visual tokens and 4 words with the longest keys
==========  =========================================================================================================

Sources: L. Chen et al., "An Image is Worth 1/2 Tokens After Layer 2", ECCV 2024: the text means the attention that all
tokens give, the published code takes that of the last token, as here. L. Xing et al., "PyramidDrop", CVPR 2025, there
with halves. Z. Wen et al., "Stop Looking for Important Tokens in Multimodal Language Models: Duplication Matters More"
(DART), EMNLP 2025.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .mllm import Inside


@dataclass(frozen=True)
class FastV:
    """FastV.

    Attributes:
        keep: K.
        layer: after which tokens are dropped.

    >>> FastV(64).left(256, 12)
    [256, 256, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64]
    """

    keep: int
    layer: int = 2

    def __call__(self, inside: Inside) -> Tensor | None:
        if inside.layer != self.layer:
            return None
        return _best(inside.attention, self.keep)

    def left(self, count: int, layers: int) -> list[int]:
        """How many of `count` visual tokens there are in each layer."""
        return [count] * self.layer + [self.keep] * (layers - self.layer)


@dataclass(frozen=True)
class PDrop:
    """PyramidDrop.

    Attributes:
        keep: tokens that are left in the end.
        count: tokens at the beginning.
        layers: of the language model.

    >>> PDrop(32, 256, 12).left(256, 12)
    [256, 256, 256, 128, 128, 128, 64, 64, 64, 32, 32, 32]
    """

    keep: int
    count: int
    layers: int

    def __call__(self, inside: Inside) -> Tensor | None:
        quarter, rest = divmod(4 * inside.layer, self.layers)
        return None if rest or quarter > 3 else _best(inside.attention, self._after(quarter))

    def left(self, count: int, layers: int) -> list[int]:
        """As of `FastV`."""
        return [self._after(4 * layer // layers) for layer in range(layers)]

    def _after(self, quarter: int) -> int:
        return round(self.count * (self.keep / self.count) ** (quarter / 3))


@dataclass(frozen=True)
class Dart:
    """DART.

    Attributes:
        keep: K.
        layer: after which tokens are dropped.
        pivots: of each kind.
    """

    keep: int
    layer: int = 2
    pivots: int = 4

    def __call__(self, inside: Inside) -> Tensor | None:
        if inside.layer != self.layer:
            return None
        count = inside.kept.shape[1]
        length = inside.keys.norm(dim=2)
        visual = length[:, :count].topk(self.pivots).indices
        words = count + length[:, count:].topk(min(self.pivots, length.shape[1] - count)).indices
        states = F.normalize(inside.x, dim=2)
        index = torch.cat([visual, words], 1)
        chosen = states.gather(1, index[..., None].expand(-1, -1, states.shape[2]))
        likeness = (states[:, :count] @ chosen.transpose(1, 2)).amax(2)
        return _best(-likeness.scatter(1, visual, -torch.inf), self.keep)

    def left(self, count: int, layers: int) -> list[int]:
        """As of `FastV`."""
        return FastV(self.keep, self.layer).left(count, layers)


def _best(score: Tensor, count: int) -> Tensor:
    """Positions of the highest scores [B,K], ascending."""
    return score.topk(count).indices.sort().values
