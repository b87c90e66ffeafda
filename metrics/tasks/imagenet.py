"""Classification of ImageNet's 1000 classes by EfficientNet-Lite, with the weights as published; and of ten of them.

The decoded picture is brought to the network's size by the network's own bicubic resize, as in practice; the decoded
tokens enter the network behind the stage that made them. Labels are ImageNet's class numbers, 0 … 999 (in order of the
WordNet numbers).

Imagenette is ten of these classes, easily told apart; its reader is our own small vision transformer
(`primitives.tokens.vit`). Labels are ImageNet's class numbers or the WordNet numbers that Imagenette's folders have.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...primitives.token_grid import Tokens
from ..measure import UndefinedError
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
    classification: ClassVar[bool] = True

    def predict(self, decoded) -> np.ndarray:
        """The 1000 logits.

        Raises:
            UndefinedError: tokens of another backbone.
            ImportError: the network's packages are not installed.
        """
        from ...primitives.tokens.backbones import load_backbone

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


#: Imagenette's classes: the WordNet numbers that its folders have as names, and ImageNet's class numbers.
IMAGENETTE = {
    "n01440764": 0,
    "n02102040": 217,
    "n02979186": 482,
    "n03000684": 491,
    "n03028079": 497,
    "n03394916": 566,
    "n03417042": 569,
    "n03425413": 571,
    "n03445777": 574,
    "n03888257": 701,
}


@dataclass(frozen=True)
class Imagenette:
    """Top-1, top-5 and information of ten classes with the vision transformer (extra ``tasks``, for its stem).

    Attributes:
        name: of the task.
    """

    name: str = "imagenette"
    measures: tuple[str, ...] = ("top1", "top5", "information")
    classification: ClassVar[bool] = True

    def predict(self, decoded) -> np.ndarray:
        """The 10 logits, of a picture or of any number of the transformer's tokens.

        Raises:
            UndefinedError: tokens of another backbone.
            ImportError: the stem's package is not installed.
        """
        from ...primitives.tokens.backbones import VIT, load_backbone

        if isinstance(decoded, Tokens) and decoded.source.partition("/")[0] != VIT:
            raise UndefinedError(f"{VIT} cannot read tokens of {decoded.source or 'unknown origin'}")
        return load_backbone(VIT).logits(decoded)

    def score(self, prediction, label) -> dict[str, float]:
        """The three measures; the label is a WordNet number or an ImageNet class number."""
        for index, known in enumerate(IMAGENETTE.items()):
            if not isinstance(label, bool) and label in known:
                return score_scores(prediction, index)
        raise ValueError(
            f"the task {self.name} needs pictures labelled with Imagenette's classes, {', '.join(IMAGENETTE)}, or "
            f"their numbers in ImageNet; not {label!r}: a folder for each class"
        )


IMAGENET_TASK = ImageNet()

IMAGENET_LITE1_TASK = ImageNet("imagenet-lite1", "efficientnet-lite1")

IMAGENET_LITE2_TASK = ImageNet("imagenet-lite2", "efficientnet-lite2")

IMAGENETTE_TASK = Imagenette()
