"""Importance: where in a picture errors count more. One meaning for every codec.

A codec minimizes D + λ·R, and D is a sum of squared errors over the picture. With an *importance* they weigh

    2^o(x)   at the pixel x,    o(x) = strength · (w(x) / max w − mean of the same over the picture)

for a map w ≥ 0. The exponents o are *octaves*, with mean zero: weights whose logarithms have mean 0 leave the rate
about where it was and move bits from where w is low to where it is high. `strength` is the octaves between w = 0 and
the largest w: 4 makes an error there weigh 16 times one of the background. High-rate theory says what each codec has to
make of a weight of 2^o: a quantization step 2^(−o/2) times as large, a QP lower by 3·o, λ higher by o octaves. What
each codec does is said by its stages and its encoder (`Stage.weighed`, `Encoder.weighed`); one that can do nothing of
it gets a picture that is blurred where it is not important (`blurred`).

Where a map comes from:

- an array of numbers ≥ 0 [h,w] of any size, or a boolean mask, which is stretched over the picture;
- ``"roi:x,y,w,h"``: rectangles in pixels, several ones behind each other with ``;`` in between;
- ``"attention"``: what the class token of the vision tower ``vit-imagenette`` looks at in its first blocks, brought to
  8×8 cells and cut into three levels at mean ± 0.75 σ, as CoTAM does with CLIP.

Sources: J. Liu et al., "When MLLMs Meet Compression Distortion: A Coding Paradigm Tailored to MLLMs" (CoTAM),
arXiv:2509.24258; G. J. Sullivan, T. Wiegand, "Rate-distortion optimization for video compression", IEEE Signal
Processing Magazine 15(6), 1998 (λ and QP).
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from typing import Any, ClassVar

import numpy as np

from ..primitives.stage import Stage
from .encoder import Encoder, See

#: Octaves between what is not important and what is most.
STRENGTH = 4.0

#: The most that they may be.
MOST = 16.0

#: Cells of an attention map a side, and how far from the mean, in standard deviations, its middle level ends.
_CELLS, _MIDDLE = 8, 0.75

#: Blocks of the tower whose attention is taken. Later ones look at few tokens that stand for the whole picture.
_BLOCKS = 3

_FORMS = "a map, a mask, 'roi:x,y,w,h' or 'attention'"


@dataclass(frozen=True, eq=False)
class Importance:
    """Where errors count more.

    Attributes:
        source: an array [h,w] of numbers ≥ 0 or of booleans, ``"roi:x,y,w,h"`` with more rectangles behind ``;``, or
            ``"attention"``.
        strength: octaves of weight between 0 and the largest number of the map, 0 … 16.

    Raises:
        ValueError: a source or a strength that is none of these.

    >>> roi = Importance("roi:0,0,2,4", strength=2)
    >>> roi.octaves(np.zeros((4, 4, 3), np.uint8))[0].tolist()
    [1.0, 1.0, -1.0, -1.0]
    >>> print(roi)
    roi:0,0,2,4
    """

    source: Any
    strength: float = STRENGTH

    def __post_init__(self):
        number = isinstance(self.strength, int | float | np.number) and not isinstance(self.strength, bool)
        if not number or not 0 <= self.strength <= MOST:
            raise ValueError(f"strength is a number from 0 to {MOST:g}, not {self.strength!r}")
        if not isinstance(self.source, str):
            object.__setattr__(self, "source", _checked(self.source))
        elif self.source.startswith("roi:"):
            rectangles(self.source)
        elif self.source != "attention":
            raise ValueError(f"importance is {_FORMS}, not {self.source!r}")

    def map(self, image: np.ndarray) -> np.ndarray:
        """w on a picture uint8 [H,W,3] or [H,W], float32 [H,W].

        Raises:
            ValueError: a rectangle lies outside the picture.
        """
        size = image.shape[:2]
        if not isinstance(self.source, str):
            return stretched(self.source, size)
        if self.source == "attention":
            return stretched(attention_levels(image), size)
        w = np.zeros(size, np.float32)
        for left, top, width, height in rectangles(self.source):
            inside = w[top : top + height, left : left + width]
            if not inside.size:
                raise ValueError(
                    f"the region {left},{top},{width},{height} lies outside the picture of {size[1]}×{size[0]} pixels"
                )
            inside[:] = 1
        return w

    def octaves(self, image: np.ndarray) -> np.ndarray:
        """o on a picture uint8 [H,W,3] or [H,W]: float32 [H,W] with mean 0; 2^o is the weight of squared errors."""
        w = self.map(image)
        most = float(w.max())
        if most <= 0:
            return np.zeros_like(w)
        w = w / np.float32(most)
        return (self.strength * (w - w.mean(dtype=np.float64))).astype(np.float32)

    def __str__(self):
        """The source as command lines have it; of an array its size and a digest."""
        if isinstance(self.source, str):
            return self.source
        digest = hashlib.sha256(self.source.tobytes()).hexdigest()[:8]
        return f"map {self.source.shape[0]}×{self.source.shape[1]} {digest}"


def importance(given: Any, strength: float | None = None) -> Importance | None:
    """An `Importance` of what `codec` and `encode` take.

    Args:
        given: a source, an `Importance`, or None.
        strength: None for that of the `Importance`, or the usual one.

    Raises:
        ValueError: as `Importance`; or a strength of nothing.

    >>> importance("attention", 3).strength, importance(None)
    (3, None)
    """
    if given is None:
        if strength is not None:
            raise ValueError(f"strength says how much an importance counts; give importance={_FORMS}, too")
        return None
    if isinstance(given, Importance):
        return given if strength is None else replace_fields(given, strength=strength)
    return Importance(given) if strength is None else Importance(given, strength)


def _checked(source) -> np.ndarray:
    """A map as it is kept: float32, not writable."""
    w = np.array(source) if isinstance(source, np.ndarray | list | tuple) else None
    if w is None or w.ndim != 2 or not w.size or w.dtype.kind not in "buif":
        what = f"an array of {w.dtype} {list(w.shape)}" if w is not None else repr(source)[:80]
        raise ValueError(f"importance is {_FORMS}; a map is an array [h,w] of numbers, not {what}")
    w = w.astype(np.float32)
    if not np.isfinite(w).all() or w.min() < 0:
        raise ValueError("a map of importance has finite numbers from 0 up")
    w.flags.writeable = False
    return w


def rectangles(text: str) -> list[tuple[int, int, int, int]]:
    """The rectangles (x, y, width, height) of ``"roi:x,y,w,h;x,y,w,h"``.

    Raises:
        ValueError: it is written otherwise, or a rectangle is empty.

    >>> rectangles("roi:8,0,16,32;40,4,8,8")
    [(8, 0, 16, 32), (40, 4, 8, 8)]
    """
    found = []
    for part in text.removeprefix("roi:").split(";"):
        try:
            left, top, width, height = (int(number) for number in part.split(","))
        except ValueError:
            raise ValueError(
                f"a region is 'roi:x,y,w,h' in whole pixels, several are divided by ';', not {text!r}"
            ) from None
        if left < 0 or top < 0 or width < 1 or height < 1:
            raise ValueError(f"the region {part} has a corner below 0 or no pixels")
        found.append((left, top, width, height))
    return found


def stretched(w: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map [h,w] over a picture of `size` (H, W): cells become blocks, where there are too many their means; float32.

    >>> stretched(np.array([[0.0, 1.0]], np.float32), (2, 4)).tolist()
    [[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]
    """
    from PIL import Image

    resized = Image.fromarray(np.asarray(w, np.float32)).resize((size[1], size[0]), Image.Resampling.BOX)
    return np.maximum(np.asarray(resized, np.float32), 0)


def attention_levels(image: np.ndarray, backbone=None) -> np.ndarray:
    """Importance by the tower's attention: 0, ½ or 1, float32 [8,8].

    The class token's attention is averaged over the first three blocks and over 8×8 cells. Cells more than 0.75 σ above
    the mean get 1, those as far below get 0.

    Args:
        image: uint8 [H,W,3] or [H,W].
        backbone: the tower, with the methods of `TowerBackbone`; by default ``vit-imagenette``.

    Raises:
        ImportError: the package with the tower's stem is not installed.
    """
    from ..primitives.tokens.vit import load_vit

    backbone = backbone or load_vit()
    tokens, looks, _ = backbone.looks(image, *backbone.stages)
    seen = np.mean(looks[:_BLOCKS], axis=0).reshape(tokens.grid)
    cells = stretched(seen.astype(np.float32), (_CELLS, _CELLS)).astype(np.float64)
    far = _MIDDLE * cells.std()
    return (0.5 * (1.0 + (cells > cells.mean() + far) - (cells < cells.mean() - far))).astype(np.float32)


def blurred(image: np.ndarray, octaves: np.ndarray) -> np.ndarray:
    """The picture without detail where errors count little, for codecs that cannot be told where they do.

    A pixel of o octaves below 0 is smoothed by a Gaussian of σ = 2^(−o/2) − 1 pixels, 3 at most; others stay. A codec
    whose step is 2^(−o/2) times as large loses details of about that size.

    Args:
        image: uint8 [H,W,3] or [H,W].
        octaves: [H,W].

    >>> image = np.zeros((1, 8), np.uint8); image[0, ::2] = 200
    >>> blurred(image, np.array([[0.0] * 4 + [-4] * 4]))[0].tolist()
    [200, 0, 200, 0, 93, 80, 65, 51]
    """
    from scipy.ndimage import gaussian_filter

    wanted = np.clip(2 ** (-np.asarray(octaves, np.float64) / 2) - 1, 0, 3)
    if not wanted.any():
        return image
    # Between pictures smoothed by fixed σ every pixel is interpolated.
    sigmas = (0.0, 0.5, 1.0, 2.0, 3.0)
    spread = (0.0,) * (image.ndim - 2)
    stack = [image.astype(np.float32)]
    stack += [gaussian_filter(stack[0], (sigma, sigma, *spread), mode="nearest") for sigma in sigmas[1:]]
    position = np.interp(wanted, sigmas, range(len(sigmas)))
    out = np.zeros(image.shape, np.float32)
    for n, layer in enumerate(stack):
        share = np.clip(1 - np.abs(position - n), 0, 1).astype(np.float32)
        out += layer * share.reshape(share.shape + (1,) * (image.ndim - 2))
    return np.rint(out).astype(np.uint8)


@dataclass(frozen=True)
class WeighedEncoder(Encoder):
    """Encodes by another encoder, with errors that weigh what an importance says.

    Attributes:
        importance: it.
        inner: the encoder.
    """

    folds: ClassVar[bool] = False

    importance: Importance
    inner: Encoder

    def encode(self, stages: dict[str, Stage], image, see: See | None = None) -> tuple[dict[str, Stage], bytes]:
        """The stages that ran and the payload; see `Encoder.encode`.

        Raises:
            ValueError: a region lies outside the picture, or a stage cannot weigh with the options that it has.
        """
        octaves = self.importance.octaves(image)
        weighed = {role: stage.weighed(octaves, stages) for role, stage in stages.items()}
        encoder = self.inner.weighed(octaves)
        if encoder is None and not any(weighed.values()):
            return self.inner.encode(stages, blurred(image, octaves), see)
        stages = {role: weighed[role] or stage for role, stage in stages.items()}
        return (encoder or self.inner).encode(stages, image, see)

    def for_video(self, stages: dict[str, Stage], first: np.ndarray) -> tuple[dict[str, Stage], Callable]:
        """The stages for the importance of the first frame, which all frames have, and what is done to each frame."""
        octaves = self.importance.octaves(first)
        weighed = {role: stage.weighed(octaves, stages) for role, stage in stages.items()}
        if not any(weighed.values()):
            return stages, lambda frame: blurred(frame, octaves)
        return {role: weighed[role] or stage for role, stage in stages.items()}, lambda frame: frame

    def maps(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """The octaves of every pixel: ``"importance"``."""
        return {"importance": self.importance.octaves(image)}
