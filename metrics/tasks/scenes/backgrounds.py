"""Photographs that may be backgrounds: those on which a classifier sees nothing that questions could be about."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ....codecs.image_io import read_image
from ....primitives.tokens.backbones import load_backbone

#: ImageNet's classes that could be taken for one of ours: fish, dogs, radios, saws, churches, horns, trucks, pumps …
_SIMILAR = (
    *range(7), *range(151, 269), *range(389, 398), 430, 463, 482, 491, 497, 499, 513, 522, 555, 558, 566, 569, 571, 574,
    627, 632, 650, 663, 668, 683, 698, 701, 717, 722, 747, 754, 776, 805, 848, 851, 852, 864, 867, 890,
)  # fmt: skip


def without_our_classes(paths: Sequence[Path], limit: float = 0.1) -> tuple[Path, ...]:
    """The photographs on which EfficientNet-Lite2 sees nothing like one of the ten classes (probability of all)."""
    backbone = load_backbone("efficientnet-lite2")

    def likely(path):
        scores = np.exp(np.asarray(backbone.logits(read_image(path)), np.float64))
        return scores[list(_SIMILAR)].sum() / scores.sum()

    return tuple(path for path in paths if likely(path) < limit)
