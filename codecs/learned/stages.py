"""The stages of learned codecs: transform, rounding, entropy coding; the same for all of them.

::

    image ── PadTo ── Learned ── Round ── LatentMixed ── bytes
             planes   y: g_a     symbols  or LatentCoded, in the order of ProbabilityModel.walk
                      x̂: g_s     of y, z

Latents travel as a `Picture` with these planes, which any generic entropy stage codes, too
(``codec.replace(entropy=HuffmanCoded())``):

- y, [h,w,M]: float32 between `Learned` and `Round`, int32 symbols behind `Round`;
- z, [h/4,w/4,N]: symbols, behind `Round`, where there is a hyperprior;
- the gain level, [1,1]: where a network has gain units, 8 times the quality less 1.

A stage names its weights by the path of their file; they are loaded when they are used. In a stream they are named by
their fingerprint, so the path is no part of it, nor is the device (`for_decoding`).

**Many pictures.** Networks take pictures of one size together, and all stages here are written for that
(`forward_many`, `inverse_many`); one picture is a list of one. **Large pictures** are transformed in tiles
(`primitives.learned.tiles`).
"""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from ...primitives.anatomy import Anatomy, Dissector
from ...primitives.bitstream import ByteReader, ByteWriter
from ...primitives.entropy.integer_gaussian import FRACTION_BITS, center
from ...primitives.entropy.latent_mixing import MixingDecoder
from ...primitives.entropy.latents import LatentDecoder
from ...primitives.errors import StreamError
from ...primitives.learned.tiles import tiled
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
    """What stages with weights share: the fields `weights`, a path, and `device`, where their networks run."""

    def loaded(self) -> Weights:
        """The weights themselves."""
        return load_weights(self.weights, self.device)

    @property
    def fingerprint(self) -> bytes:
        """What a stream calls the weights."""
        return self.loaded().header.fingerprint

    def for_decoding(self) -> Stage:
        """The stage without a path and a device: streams name weights by their fingerprint."""
        return type(self)()

    def forward(self, x):
        """`forward_many` of one."""
        return self.forward_many([x])[0]

    def inverse(self, y, *limits):
        """`inverse_many` of one."""
        return self.inverse_many([y], *limits)[0]


def _together(items: list, key: Callable, function: Callable[[list], list]) -> list:
    """The results of `function` on lists of items with equal keys, in the order of the items."""
    groups: dict = {}
    for n, item in enumerate(items):
        groups.setdefault(key(item), []).append(n)
    results = [None] * len(items)
    for numbers in groups.values():
        for n, result in zip(numbers, function([items[n] for n in numbers]), strict=True):
            results[n] = result
    return results


@dataclass(frozen=True)
class Learned(_Weighted):
    """Analysis transform g_a and synthesis transform g_s: padded planes [H,W] to latents y [H/16,W/16,M] and back.

    With d_a and d_s, where a network has details, which count among the latents.

    Attributes:
        weights: path of the weight file.
        quality: for networks with gain units; rounded to multiples of 1/8.
        device: where the network runs, "cpu" or "cuda".
    """

    weights: str = ""
    quality: float | None = None
    device: str = "cpu"

    def forward_many(self, xs: list[Picture]) -> list[Picture]:
        """Return the latents of each picture, float32 [h,w,M], and the gain level if there is one."""
        return _together(xs, lambda picture: picture.planes[0].shape, self._analysis)

    @torch.inference_mode()
    def _analysis(self, pictures):
        network = self.loaded().network
        pixels = np.stack([np.stack(picture.planes, axis=2) for picture in pictures])
        height, width = pixels.shape[1:3]
        if height % network.stride or width % network.stride:
            raise ValueError(f"the network takes sides that are multiples of {network.stride}, not {height}×{width}")
        analysis, level = network.g_a, ()
        if hasattr(network, "gain"):
            steps = round((self.quality - 1) * LEVEL_STEPS)
            analysis = functools.partial(network.latents, quality=1 + steps / LEVEL_STEPS)
            level = (np.full((1, 1), steps, np.int32),)
        y = tiled(
            analysis,
            torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2),
            down=_SCALE,
            before=lambda part: part.float() / 255,
        )
        factors = ((1, 1),) * (1 + len(level))
        latents = _planes_last(y)
        return [p.replace(planes=(y, *level), factors=factors) for p, y in zip(pictures, latents, strict=True)]

    def inverse_many(self, ys: list[Picture]) -> list[Picture]:
        """Return the reconstructions, three planes uint8 [H,W] each, of quantized latents."""
        network = self.loaded().network
        return _together(ys, lambda y: (y.planes[0].shape, _level(network, y.planes[1:])), self._synthesis)

    @torch.inference_mode()
    def _synthesis(self, pictures):
        network = self.loaded().network
        y = _batch([picture.planes[0] for picture in pictures], self.device)
        if hasattr(network, "gain"):
            steps = _level(network, pictures[0].planes[1:])
            y = network.inverse_gain(y, 1 + steps / LEVEL_STEPS)
        pixels = tiled(network.unclipped, y, up=_SCALE, after=_pixels).cpu().numpy()
        pairs = zip(pictures, pixels, strict=True)
        return [Picture(tuple(planes), p.size, ((1, 1),) * 3, p.color) for p, planes in pairs]


def _pixels(x_hat: torch.Tensor) -> torch.Tensor:
    """Reconstructions as uint8; damaged latents may be so large that the network's output is no number any more."""
    return x_hat.nan_to_num(0).clamp_(0, 1).mul_(255).round_().to(torch.uint8)


@dataclass(frozen=True)
class Round(_Weighted):
    """Rounding of latents to symbols, around what the probability model predicts; the inverse puts that back.

    Attributes:
        weights: path of the weight file.
        device: where the probability model's networks run.
    """

    weights: str = ""
    device: str = "cpu"

    def forward_many(self, xs: list[Picture]) -> list[CodedPicture]:
        """Return the symbols, int32, of y and of the hyper-latents z that are computed from it, for each picture."""
        weights = self.loaded()
        for picture in xs:
            expected, *_ = _shapes(picture.size, weights)
            if picture.planes[0].shape != expected:
                raise ValueError(
                    f"latents of such a picture have the shape {expected}, not {picture.planes[0].shape}; check its "
                    "padding"
                )
        return _together(xs, lambda x: (x.planes[0].shape, _level(weights.network, x.planes[1:])), self._round)

    @torch.inference_mode()
    def _round(self, pictures):
        weights = self.loaded()
        latents = [[picture.planes[0] for picture in pictures]]
        if isinstance(weights.network, HyperpriorNetwork):
            latents.append(_planes_last(weights.network.hyper_analysis(_batch(latents[0], self.device))))

        def rounding(*planes):
            return lambda batch: center(planes[batch.plane][batch.where], batch.offset)

        level = pictures[0].planes[1:]
        walks = weights.probabilities.walk_many(
            *latents[0][0].shape[:2],
            [rounding(*planes) for planes in zip(*latents, strict=True)],
            _level(weights.network, level),
        )
        return [_coded(picture, walk, level) for picture, walk in zip(pictures, walks, strict=True)]

    def inverse_many(self, ys: list[CodedPicture]) -> list[Picture]:
        """Return the quantized latents ŷ, float32 [h,w,M], and the gain level if there is one, for each picture."""
        dequantized = []
        for picture in ys:
            walk, level = _walk(picture, self.loaded())
            y_hat = (walk.latents / 2**FRACTION_BITS).astype(np.float32)
            factors = ((1, 1),) * (1 + len(level))
            dequantized.append(Picture((y_hat, *level), picture.size, factors, picture.color))
        return dequantized

    def maps(self, x: Picture, y: CodedPicture) -> dict[str, np.ndarray]:
        """The latents ŷ [h,w,M], and "scales": the standard deviation that the model predicts for each [h,w,M]."""
        walk, _ = _walk(y, self.loaded())
        return {"latents": walk.latents / 2**FRACTION_BITS, "scales": walk.deviations()[0]}


@dataclass(frozen=True)
class LatentCoded(_Weighted):
    """Entropy coding of the symbols of z and y with the probability model's integer distributions.

    Payload: H and W as varints, one byte of colour (0 grey, 2 RGB), one byte of gain level for networks that have
    gain units, and one stream of all symbols (`primitives.entropy.latents`).

    Attributes:
        weights: path of the weight file.
        device: where the probability model's networks run.
    """

    weights: str = ""
    device: str = "cpu"

    _coder: ClassVar[str] = "rANS state and words"

    def forward_many(self, xs: list[CodedPicture]) -> list[bytes]:
        """Return the payload of each picture."""
        payloads = []
        for picture in xs:
            walk, level = _walk(picture, self.loaded())
            out = ByteWriter()
            out.varint(picture.size[0])
            out.varint(picture.size[1])
            out.byte(COLORS.index(picture.color))
            for steps in level:
                out.byte(int(steps[0, 0]))
            out.raw(self._encode(walk, level))
            payloads.append(out.getvalue())
        return payloads

    def _encode(self, walk: Walk, level: list[np.ndarray]) -> bytes:
        return walk.encode()

    def _decoder(self, data: bytes, shapes: list[tuple[int, ...]], level: list[np.ndarray]):
        """What answers a walk with the symbols of a stream, and what checks that these were all."""
        decoder = LatentDecoder(data)
        return lambda batch: batch.distribution.get(decoder), decoder.finish

    def _costs(self, walk: Walk, level: list[np.ndarray]) -> tuple[np.ndarray, ...]:
        """The bits of each symbol: its information under the predicted distribution."""
        return walk.bits()

    def inverse_many(self, ys: list[bytes], max_pixels: int = MAX_PIXELS) -> list[CodedPicture]:
        """Return the symbols of each payload.

        Raises:
            StreamError: a payload is cut or damaged, was made with other weights, or holds more than `max_pixels`.
        """
        weights = self.loaded()
        heads = []
        for payload in ys:
            reader = ByteReader(payload)
            size, color = _read_head(reader)
            check_size(size, max_pixels)
            level = [np.full((1, 1), reader.byte(), np.int32)] if hasattr(weights.network, "gain") else []
            decoder = self._decoder(reader.rest(), _shapes(size, weights), level)
            heads.append((Picture((), size, color=color), level, decoder))

        def alike(head):
            picture, level, _ = head
            return _shapes(picture.size, weights)[0][:2], _level(weights.network, level)

        def decode(heads):
            (height, width), steps = alike(heads[0])
            walks = weights.probabilities.walk_many(height, width, [answer for *_, (answer, _) in heads], steps)
            for *_, (_, finish) in heads:
                finish()
            return [_coded(picture, walk, level) for (picture, level, _), walk in zip(heads, walks, strict=True)]

        return _together(heads, alike, decode)

    def maps(self, x: CodedPicture, y: bytes) -> dict[str, np.ndarray]:
        """Where the bits go: arrays by name.

        - "bits": what each position of y costs [h,w], and "bits by channel" [M];
        - "side bits": what each position of z costs [h/4,w/4], where there is a hyperprior.
        """
        walk, level = _walk(x, self.loaded())
        bits, *side = self._costs(walk, level)
        maps = {"bits": bits.sum(2), "bits by channel": bits.sum((0, 1))}
        return {**maps, "side bits": side[0].sum(2)} if side else maps

    def anatomy(self, picture: CodedPicture, payload: bytes) -> Anatomy:
        """Header and symbols; what every symbol of y and z took."""
        walk, level = _walk(picture, self.loaded())
        found = Dissector(payload, "picture header")
        found.varint("height", "image", lambda n: f"{n} rows")
        found.varint("width", "image", lambda n: f"{n} columns")
        found.number(1, "colour model", "color", lambda n: COLORS[n])
        for _ in level:
            found.number(1, "gain level", "transform", lambda n: f"{n}: quality {1 + n / LEVEL_STEPS:g}")
        found.group = "symbols"
        found.rest(self._coder, "z, then y in the order of the wavefronts", "quantize")
        return Anatomy(tuple(found.parts), (*self._costs(walk, level), *(np.zeros(steps.shape) for steps in level)))

    def describe(self, payload: bytes) -> tuple[tuple[int, int], str]:
        """Size (H, W) and colour model of the picture in a payload."""
        return _read_head(ByteReader(payload))


@dataclass(frozen=True)
class LatentMixed(LatentCoded):
    """Entropy coding of the symbols of z and y by context mixing.

    The probability model's distribution of a symbol is one opinion among those of adaptive contexts
    (`primitives.entropy.latent_mixing`), which begin with what they learned in `practice`, if the weight file says so.
    The payload is that of `LatentCoded`, with another coder's stream of symbols.

    Attributes:
        weights: path of the weight file.
        device: where the probability model's networks run.
    """

    _coder: ClassVar[str] = "decisions of the range coder"

    def _encode(self, walk, level):
        return walk.encode_mixed(experience=self._experience(level)).getvalue()

    def _decoder(self, data, shapes, level):
        decoder = MixingDecoder(data, shapes, self._experience(level))
        return lambda batch: batch.mix(decoder, shapes[batch.plane]), decoder.finish

    def _costs(self, walk, level):
        return walk.encode_mixed(measure=True, experience=self._experience(level)).spent

    def _experience(self, level):
        weights = self.loaded()
        return weights.experience(_level(weights.network, level))


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


def _planes_last(tensor: torch.Tensor) -> list[np.ndarray]:
    """[N,C,h,w] as N arrays float32 [h,w,C]."""
    return list(np.ascontiguousarray(tensor.permute(0, 2, 3, 1).float().cpu().numpy()))


def _batch(planes: list[np.ndarray], device: str) -> torch.Tensor:
    """N arrays [h,w,C] as [N,C,h,w] in channels-last memory, as they lie."""
    return torch.from_numpy(np.stack(planes)).to(device).permute(0, 3, 1, 2)


def with_weights(stages: dict[str, Stage], path: str, device: str) -> dict[str, Stage]:
    """The same stages with other weights, on a device."""
    return {
        role: dataclasses.replace(stage, weights=path, device=device) if isinstance(stage, _Weighted) else stage
        for role, stage in stages.items()
    }
