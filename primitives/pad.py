"""Padding: a picture of any size as one whose height and width are multiples of what a transform needs.

A network that halves the resolution six times takes multiples of 64. A picture is extended at the right and at the
bottom by repeating its last column and row: the padding then has no edges of its own that would cost bits. Decoding
cuts it off again.

A grey picture becomes three equal planes, as networks are trained on colour; the mean of the three, rounded, is the
grey picture again (of the estimates that a decoder has, their mean has the smallest squared error).
"""

from dataclasses import dataclass

import numpy as np

from .picture import Picture, pad_edge
from .stage import Stage


@dataclass(frozen=True)
class PadTo(Stage):
    """An image, uint8 [H,W,3] or [H,W], as a `Picture` of three uint8 planes whose sizes are multiples of `multiple`.

    >>> picture = PadTo(64).forward(np.zeros((65, 3), np.uint8))
    >>> picture.size, picture.color, picture.planes[0].shape
    ((65, 3), 'grey', (128, 64))
    >>> PadTo(64).inverse(picture).shape
    (65, 3)
    """

    multiple: int = 64

    def __post_init__(self):
        if not isinstance(self.multiple, int) or not 1 <= self.multiple <= 256:
            raise ValueError(f"pictures are padded to multiples of 1 … 256, not of {self.multiple!r}")

    def padded(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size (H, W) after padding.

        >>> PadTo(16).padded((1, 17))
        (16, 32)
        """
        height, width = (-(-extent // self.multiple) * self.multiple for extent in size)
        return height, width

    def forward(self, image: np.ndarray) -> Picture:
        """Return the padded planes."""
        planes = (image,) * 3 if image.ndim == 2 else tuple(np.moveaxis(image, 2, 0))
        size = image.shape[:2]
        padded = self.padded(size)
        planes = tuple(np.ascontiguousarray(pad_edge(plane, *padded)) for plane in planes)
        return Picture(planes, size, ((1, 1),) * 3, "grey" if image.ndim == 2 else "rgb")

    def inverse(self, picture: Picture) -> np.ndarray:
        """Return the picture without its padding: uint8 [H,W,3], or [H,W] if it was grey."""
        if len(picture.planes) != 3 or any(plane.shape != self.padded(picture.size) for plane in picture.planes):
            raise ValueError("padding is removed from three planes of the padded size")
        height, width = picture.size
        planes = [plane[:height, :width] for plane in picture.planes]
        if picture.color != "grey":
            return np.stack(planes, axis=2)
        return ((planes[0].astype(np.uint16) + planes[1] + planes[2] + 1) // 3).astype(np.uint8)
