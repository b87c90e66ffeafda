"""Classification of ImageNet's 1000 classes by EfficientNet-Lite, with the weights as published.

The decoded picture is brought to the network's size by the network's own bicubic resize, as in practice; the decoded
tokens enter the network behind the stage that made them. Labels are ImageNet's class numbers, 0 … 999 (in order of the
WordNet numbers).
"""

from dataclasses import dataclass

import numpy as np

from ...primitives.tokens.grid import Tokens
from ..distortion import UndefinedError
from .base import score_scores


@dataclass(frozen=True)
class ImageNet:
    """Top-1, top-5 and information with one of the backbones (extra ``tasks``).

    Attributes:
        name: of the task.
        backbone: ``"efficientnet-lite0"``, ``-lite1`` or ``-lite2``.
    """

    name: str = "imagenet"
    backbone: str = "efficientnet-lite0"
    measures: tuple[str, ...] = ("top1", "top5", "information")

    def predict(self, decoded) -> np.ndarray:
        """The 1000 logits.

        Raises:
            UndefinedError: tokens of another backbone.
            ImportError: the network's packages are not installed.
        """
        from ...primitives.tokens.backbone import load_backbone

        if isinstance(decoded, Tokens) and decoded.source.partition("/")[0] != self.backbone:
            raise UndefinedError(f"{self.backbone} cannot read tokens of {decoded.source or 'unknown origin'}")
        return load_backbone(self.backbone).logits(decoded)

    def score(self, prediction, label) -> dict[str, float]:
        """The three measures; the label is an ImageNet class number."""
        if isinstance(label, bool) or not isinstance(label, int | np.integer) or not 0 <= label < 1000:
            raise ValueError(
                f"the task {self.name} needs pictures labelled with ImageNet's classes, 0 … 999, not {label!r}: "
                "a folder with labels.csv (file,label)"
            )
        return score_scores(prediction, int(label))


#: Tasks by the names that tables use.
TASKS = {
    task.name: task
    for task in (
        ImageNet(),
        ImageNet("imagenet-lite1", "efficientnet-lite1"),
        ImageNet("imagenet-lite2", "efficientnet-lite2"),
    )
}
