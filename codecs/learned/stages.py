"""The stages of learned codecs: transform, rounding, entropy coding; the same for all of them.

::

    image ── PadTo ── Learned ── Round ── LatentCoded ── bytes
             planes   y: g_a     symbols  in the order of ProbabilityModel.walk
                      x̂: g_s     of y, z

Latents travel as a `Picture` with these planes, which any generic entropy stage codes, too
(``codec.replace(entropy=HuffmanCoded())``):

- y, [h,w,M]: float32 between `Learned` and `Round`, int32 symbols behind `Round`;
- z, [h/4,w/4,N]: symbols, behind `Round`, where there is a hyperprior;
- the gain level, [1,1]: where a network has gain units, 8 times the quality less 1.

A stage names its weights by the path of their file; they are loaded when they are used. In a stream they are named by
their fingerprint, so the path is no part of it (`for_decoding`).
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch

from ...primitives.bitstream import ByteReader, ByteWriter
from ...primitives.entropy.integer_gaussian import FRACTION_BITS, center
from ...primitives.entropy.latents import LatentDecoder
from ...primitives.errors import StreamError
from ...primitives.pad import PadTo
from ...primitives.picture import COLORS, MAX_PIXELS, Picture, check_size
from ...primitives.stage import Stage
from .networks import HyperpriorNetwork
from .probabilities import LEVEL_STEPS, Walk
from .weights import Weights, load_weights

#: Latents have a sixteenth of the picture's resolution, hyper-latents a quarter of that.
_SCALE, _HYPER_SCALE = 16, 4


@dataclass(frozen=True, eq=False)
class CodedPicture(Picture):
    """A picture of symbols that keeps how these were found, so that the next stage need not find out again.

    Attributes:
        walk: the `Walk` through them; None if another stage made the picture.
    """

    walk: Walk | None = None


class _Weighted(Stage):
    """What stages with weights share: the field `weights`, a path."""

    def loaded(self) -> Weights:
        """The weights themselves."""
        return load_weights(self.weights)

    @property
    def fingerprint(self) -> bytes:
        """What a stream calls the weights."""
        return self.loaded().header.fingerprint

    def for_decoding(self) -> Stage:
        """The stage without a path: streams name weights by their fingerprint."""
        return type(self)()


@dataclass(frozen=True)
class Learned(_Weighted):
    """Analysis transform g_a and synthesis transform g_s: padded planes [H,W] to latents y [H/16,W/16,M] and back.

    Attributes:
        weights: path of the weight file.
        quality: for networks with gain units; rounded to multiples of 1/8.
    """

    weights: str = ""
    quality: float | None = None

    @torch.inference_mode()
    def forward(self, picture: Picture) -> Picture:
        """Return the latents, float32 [h,w,M], and the gain level if there is one."""
        network = self.loaded().network
        pixels = torch.from_numpy(np.stack(picture.planes, axis=2)).permute(2, 0, 1)[None]
        y = network.analysis(pixels.float() / 255)
        level = ()
        if hasattr(network, "gain"):
            steps = round((self.quality - 1) * LEVEL_STEPS)
            y = network.gain(y, 1 + steps / LEVEL_STEPS)
            level = (np.full((1, 1), steps, np.int32),)
        planes = (_planes_last(y), *level)
        return picture.replace(planes=planes, factors=((1, 1),) * len(planes))

    @torch.inference_mode()
    def inverse(self, picture: Picture) -> Picture:
        """Return the reconstruction, three planes uint8 [H,W], for quantized latents."""
        network = self.loaded().network
        y = _batch(picture.planes[0])
        if hasattr(network, "gain"):
            steps = _level(network, picture.planes[1:])
            y = network.inverse_gain(y, 1 + steps / LEVEL_STEPS)
        # Damaged latents may be so large that the network's output is no number any more.
        pixels = (network.synthesis(y).nan_to_num(0) * 255).round().to(torch.uint8)[0].numpy()
        return Picture(tuple(pixels), picture.size, ((1, 1),) * 3, picture.color)


@dataclass(frozen=True)
class Round(_Weighted):
    """Rounding of latents to symbols, around what the probability model predicts; the inverse puts that back.

    Attributes:
        weights: path of the weight file.
    """

    weights: str = ""

    @torch.inference_mode()
    def forward(self, picture: Picture) -> CodedPicture:
        """Return the symbols, int32, of y and of the hyper-latents z that are computed from it."""
        weights = self.loaded()
        y, *level = picture.planes
        expected, *_ = _shapes(picture.size, weights)
        if y.shape != expected:
            raise ValueError(f"latents of such a picture have the shape {expected}, not {y.shape}; check its padding")
        latents = [y]
        if isinstance(weights.network, HyperpriorNetwork):
            latents.append(_planes_last(weights.network.hyper_analysis(_batch(y))))
        walk = weights.probabilities.walk(
            *y.shape[:2],
            lambda batch: center(latents[batch.plane][batch.where], batch.offset),
            _level(weights.network, level),
        )
        return _coded(picture, walk, level)

    def inverse(self, picture: Picture) -> Picture:
        """Return the quantized latents ŷ, float32 [h,w,M], and the gain level if there is one."""
        walk, level = _walk(picture, self.loaded())
        y_hat = (walk.latents / 2**FRACTION_BITS).astype(np.float32)
        return Picture((y_hat, *level), picture.size, ((1, 1),) * (1 + len(level)), picture.color)


@dataclass(frozen=True)
class LatentCoded(_Weighted):
    """Entropy coding of the symbols of z and y with the probability model's integer distributions.

    Payload: H and W as varints, one byte of colour (0 grey, 2 RGB), one byte of gain level for networks that have
    gain units, and one stream of all symbols (`primitives.entropy.latents`).

    Attributes:
        weights: path of the weight file.
    """

    weights: str = ""

    def forward(self, picture: Picture) -> bytes:
        """Return the payload."""
        walk, level = _walk(picture, self.loaded())
        out = ByteWriter()
        out.varint(picture.size[0])
        out.varint(picture.size[1])
        out.byte(COLORS.index(picture.color))
        for steps in level:
            out.byte(int(steps[0, 0]))
        out.raw(walk.encode())
        return out.getvalue()

    def inverse(self, payload: bytes, max_pixels: int = MAX_PIXELS) -> CodedPicture:
        """Return the symbols.

        Raises:
            StreamError: the payload is cut or damaged, was made with other weights, or holds more than `max_pixels`.
        """
        weights = self.loaded()
        reader = ByteReader(payload)
        size, color = _read_head(reader)
        check_size(size, max_pixels)
        level = [np.full((1, 1), reader.byte(), np.int32)] if hasattr(weights.network, "gain") else []
        height, width, _ = _shapes(size, weights)[0]
        decoder = LatentDecoder(reader.rest())
        walk = weights.probabilities.walk(
            height, width, lambda batch: batch.distribution.get(decoder), _level(weights.network, level)
        )
        decoder.finish()
        return _coded(Picture((), size, color=color), walk, level)

    def describe(self, payload: bytes) -> tuple[tuple[int, int], str]:
        """Size (H, W) and colour model of the picture in a payload."""
        return _read_head(ByteReader(payload))


def _read_head(reader):
    size, color = (reader.varint(), reader.varint()), reader.byte()
    if color not in (COLORS.index("grey"), COLORS.index("rgb")):
        raise StreamError(f"colour model {color}; learned codecs have grey (0) and RGB (2)")
    return size, COLORS[color]


def _coded(picture, walk, level) -> CodedPicture:
    planes = (*walk.symbols, *level)
    return CodedPicture(planes, picture.size, ((1, 1),) * len(planes), picture.color, walk=walk)


def _walk(picture: Picture, weights: Weights):
    """The walk through a picture's symbols, and the list of its other planes."""
    model = weights.probabilities
    count = 1 if model.h_s is None else 2
    symbols, level = picture.planes[:count], list(picture.planes[count:])
    if isinstance(picture, CodedPicture) and picture.walk:
        return picture.walk, level
    shapes = _shapes(picture.size, weights)
    gains = [(1, 1)] if hasattr(weights.network, "gain") else []
    if [plane.shape for plane in picture.planes] != shapes[:count] + gains:
        raise StreamError(f"the planes are no latents of a {weights.header.architecture} picture of that size")
    gain = _level(weights.network, level)
    return model.walk(*shapes[0][:2], lambda batch: symbols[batch.plane][batch.where], gain), level


def _level(network, planes) -> int:
    """The gain level in a picture's further planes; 0 for networks without gain units."""
    if not hasattr(network, "gain"):
        return 0
    level = int(planes[0][0, 0])
    if not 0 <= level <= (network.LEVELS - 1) * LEVEL_STEPS:
        raise StreamError(f"the stream names the gain level {level}, which the network does not have")
    return level


def _shapes(size: tuple[int, int], weights: Weights) -> list[tuple[int, int, int]]:
    """Shapes of y and z (if there is one) of a picture of so many pixels."""
    model = weights.probabilities
    height, width = (extent // _SCALE for extent in PadTo(weights.network.stride).padded(size))
    return [(height, width, model.channels), (height // _HYPER_SCALE, width // _HYPER_SCALE, model.medians.shape[1])]


def _planes_last(tensor: torch.Tensor) -> np.ndarray:
    """[1,C,h,w] as float32 [h,w,C]."""
    return np.ascontiguousarray(tensor[0].permute(1, 2, 0).float().numpy())


def _batch(plane: np.ndarray) -> torch.Tensor:
    """[h,w,C] as [1,C,h,w] in channels-last memory, as it lies."""
    return torch.from_numpy(plane).permute(2, 0, 1)[None]


def with_weights(stages: dict[str, Stage], path: str) -> dict[str, Stage]:
    """The same stages with other weights."""
    return {
        role: dataclasses.replace(stage, weights=path) if isinstance(stage, _Weighted) else stage
        for role, stage in stages.items()
    }
