"""How a codec finds what its stages put out: by folding, or by a search that subclasses of `Encoder` describe."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import numpy as np

from ..primitives.stage import Stage, folded
from .image_io import Photo, Reading, open_image

#: Sees role, stage and output of each step of an encoding.
See = Callable[[str, Stage, Any], None]


class Encoder:
    """How a codec finds the outputs of its stages: by folding `forward`. Subclasses search."""

    #: Whether this is the plain folding, so that several images may go through the stages together.
    folds: ClassVar[bool] = True

    def read(self, image: Any, reading: Reading, carries: Iterable[str]) -> Photo:
        """A picture as it is encoded, and the metadata that streams are to carry; see `image_io.open_image`."""
        return open_image(image, reading, carries)

    def weighed(self, octaves: np.ndarray) -> "Encoder | None":
        """The encoder for a picture whose errors weigh 2^octaves [H,W] (`codecs.importance`).

        None if it is up to the stages.
        """
        return None

    def maps(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """What the encoder has to show of a picture before its first stage: arrays by name (`Trace`)."""
        return {}

    def encode(self, stages: dict[str, Stage], image, see: See | None = None) -> tuple[dict[str, Stage], bytes]:
        """The stages that really ran, by role, and the payload that they made.

        Args:
            stages: the codec's, by role.
            image: the pixels that `read` made of it.
            see: called with role, stage and output of each step, if anybody wants to see them.
        """
        value: Any = image
        for role, stage in folded(stages).items():
            value = stage.forward(value)
            if see:
                see(role, stage, value)
        return stages, value
