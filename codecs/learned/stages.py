"""The stages of learned codecs: transform, rounding, entropy coding; the same for all of them.

::

    image ── PadTo ── Learned ── Round ── LatentMixed ── bytes
             planes   y: g_a     symbols  or LatentCoded
                      x̂: g_s     of y, z

Latents travel as a `Picture` with these planes, which any generic entropy stage codes, too
(``codec.replace(entropy=HuffmanCoded())``):

- y, [h,w,M]: float32 between `Learned` and `Round`, int32 symbols after `Round`;
- z, [h/4,w/4,N]: symbols, after `Round`, where there is a hyperprior;

and, where a network has gain units, with the side value ``"level"``: the gain level, 8 times the quality less 1.

**Importance.** Gain units may scale each position by a level of its own. A last plane then holds offsets [h,w] int32 to
the level, in units of half a quality, and the side value ``"mapped"`` says so. A weight of 2^o is met by a λ that is
higher by o octaves, so the offset follows from the λ that each quality was trained with. Densities that depend on the
level do so at each position; hyperprior and context see the scaled latents and need no map.

What the probability model says of symbols goes along with them, in a `CodedPicture`, so that it is computed once.

All stages have the same weights, those of the codec. In a stream these are named by their fingerprint.

**Many pictures.** Networks take pictures of one size together, and all stages here are written for that
(`forward_many`, `inverse_many`); one picture is a list of one. **Large pictures** are transformed in tiles
(`primitives.learned.tiles`).
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch

from ...primitives.anatomy import Anatomy, Dissector
from ...primitives.bitstream import ByteReader, ByteWriter
from ...primitives.entropy.integer_gaussian import FRACTION_BITS
from ...primitives.entropy.latent_mixing import MixingDecoder
from ...primitives.entropy.latents import LatentDecoder
from ...primitives.errors import StreamError
from ...primitives.learned.tiles import tiled
from ...primitives.level_map import LARGEST, decode_levels, encode_levels, pooled
from ...primitives.pad import PadTo
from ...primitives.picture import COLORS, MAX_PIXELS, Picture, check_size
from ...primitives.stage import Weighted
from .lambdas import LAMBDAS
from .networks import LEVEL_STEPS, HyperpriorNetwork, Network
from .probabilities import ModelledSymbols, Run
from .weights import WeightFile, Weights, find_weights

#: Latents have a sixteenth of the picture's resolution, hyper-latents a quarter of that.
_SCALE, _HYPER_SCALE = 16, 4

#: Set in the byte of the gain level where offsets follow.
MAPPED = 0x80

#: Gain levels that an offset of 1 stands for, half a quality.
_OFFSET = LEVEL_STEPS // 2

#: Octaves that λ grows by from one gain level to the next.
_OCTAVES_OF_LEVEL = math.log2(LAMBDAS["mse"][-1] / LAMBDAS["mse"][0]) / (7 * LEVEL_STEPS)


@dataclass(frozen=True, eq=False)
class CodedPicture(Picture):
    """A picture of symbols with what the probability model says of them: their distributions, and ŷ.

    Attributes:
        modelled: the symbols of the planes, modelled.
    """

    modelled: ModelledSymbols = field(kw_only=True)

    @classmethod
    def of(cls, picture: Picture, modelled: ModelledSymbols) -> "CodedPicture":
        """The picture with these symbols as planes, before its offsets if it has some."""
        planes = modelled.symbols + (picture.planes[-1:] if _is_mapped(picture) else ())
        return cls(planes, picture.size, ((1, 1),) * len(planes), picture.color, side=picture.side, modelled=modelled)

    @property
    def is_intact(self) -> bool:
        """Whether the planes are those that were modelled, not others that replaced them."""
        planes = _latents(self)
        same = zip(planes, self.modelled.symbols, strict=False)
        return len(planes) == len(self.modelled.symbols) and all(plane is symbols for plane, symbols in same)


@dataclass(frozen=True)
class _LearnedStage(Weighted):
    """What the stages share: the handle of the weights, and what is derived from them.

    Attributes:
        weights: handle of the weight file; the codec sets it.
    """

    weights: WeightFile | None = field(default=None, repr=False)

    def find_weights(self, fingerprint: bytes) -> WeightFile:
        """The handle of shipped or registered weights; see `codecs.learned.weights.find_weights`."""
        return find_weights(fingerprint)

    def forward(self, x):
        """`forward_many` of one."""
        return self.forward_many([x])[0]

    def inverse(self, y, *limits):
        """`inverse_many` of one."""
        return self.inverse_many([y], *limits)[0]

    def modelled(self, picture: Picture) -> ModelledSymbols:
        """What the probability model says of a picture's symbols; computed where the picture does not bring it along.

        Raises:
            StreamError: the planes are not those of the network's latents.
        """
        if isinstance(picture, CodedPicture) and picture.is_intact:
            return picture.modelled
        weights = self._loaded()
        levels, symbols = _levels(weights.network, picture), _latents(picture)
        if [plane.shape for plane in symbols] != _shapes(picture.size, weights) or (
            _is_mapped(picture) and levels.shape != symbols[0].shape[:2]
        ):
            architecture = weights.header.architecture
            raise StreamError(f"the planes are not the latents of a {architecture} picture of that size")
        return weights.probabilities.modelled(symbols, levels)

    def _loaded(self) -> Weights:
        if self.weights is None:
            raise ValueError("this codec has no weights yet: codec(name, weights=path) gives it some")
        return self.weights.load()


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
class Learned(_LearnedStage):
    """Analysis transform g_a and synthesis transform g_s: padded planes [H,W] to latents y [H/16,W/16,M] and back.

    With d_a and d_s, where a network has details, which count among the latents.

    Attributes:
        weights: handle of the weight file.
        quality: for networks with gain units; rounded to multiples of 1/8.
        octaves: squared errors weigh 2^octaves, float32 [H,W]; None if they weigh the same everywhere.
    """

    unwritten: ClassVar[tuple[str, ...]] = ("weights", "quality", "octaves")

    quality: float | None = None
    octaves: np.ndarray | None = field(default=None, repr=False, compare=False)

    def weighed(self, octaves: np.ndarray, stages) -> "Learned | None":
        """The transform with a level for each position, if its network has gain units; see `Stage.weighed`."""
        return dataclasses.replace(self, octaves=octaves) if self._loaded().network.variable_rate else None

    def forward_many(self, xs: list[Picture]) -> list[Picture]:
        """Return the latents of each picture, float32 [h,w,M], with the gain level if there is one."""
        return _together(xs, lambda picture: picture.planes[0].shape, self._analysis)

    @torch.inference_mode()
    def _analysis(self, pictures):
        network = self._loaded().network
        pixels = np.stack([np.stack(picture.planes, axis=2) for picture in pictures])
        height, width = pixels.shape[1:3]
        if height % network.stride or width % network.stride:
            raise ValueError(f"the network takes sides that are multiples of {network.stride}, not {height}×{width}")
        side = {"level": round((self.quality - 1) * LEVEL_STEPS)} if network.variable_rate else {}
        quality, offsets = qualities(network, Picture((), (0, 0), side=side), self.weights.device), None
        if self.octaves is not None:
            offsets = _offsets(self.octaves, (height // _SCALE, width // _SCALE))
            side["mapped"] = 1
            # Each pixel's level goes along with it as a fourth channel, so that tiles are cut of both.
            levels = np.kron(_clipped(network, side["level"], offsets), np.ones((_SCALE, _SCALE), np.uint8))
            pixels = np.concatenate([pixels, np.broadcast_to(levels[..., None], (*pixels.shape[:3], 1))], axis=3)

        def latents(part):
            x = part[:, :3].float() / 255
            if offsets is None:
                return network.latents(x, quality)
            return network.latents(x, 1 + part[:, 3, ::_SCALE, ::_SCALE].float() / LEVEL_STEPS)

        y = tiled(latents, torch.from_numpy(pixels).to(self.weights.device).permute(0, 3, 1, 2), down=_SCALE)
        made = zip(pictures, _planes_last(y), strict=True)
        more = () if offsets is None else (offsets,)
        factors = ((1, 1),) * (1 + len(more))
        return [picture.replace(planes=(y, *more), factors=factors, side=side) for picture, y in made]

    def inverse_many(self, ys: list[Picture]) -> list[Picture]:
        """Return the reconstructions, three planes uint8 [H,W] each, of quantized latents."""
        network = self._loaded().network
        return _together(ys, functools.partial(_kind, network), self._synthesis)

    @torch.inference_mode()
    def _synthesis(self, pictures):
        network = self._loaded().network
        y = _batch([picture.planes[0] for picture in pictures], self.weights.device)
        y = network.unscaled(y, qualities(network, pictures[0], self.weights.device))
        pixels = tiled(network.unclipped, y, up=_SCALE, after=_pixels).cpu().numpy()
        pairs = zip(pictures, pixels, strict=True)
        return [Picture(tuple(planes), p.size, ((1, 1),) * 3, p.color) for p, planes in pairs]


def _pixels(x_hat: torch.Tensor) -> torch.Tensor:
    """Reconstructions as uint8; damaged latents may be so large that the network's output is no number any more."""
    return x_hat.nan_to_num(0).clamp_(0, 1).mul_(255).round_().to(torch.uint8)


@dataclass(frozen=True)
class Round(_LearnedStage):
    """Rounding of latents to symbols, around what the probability model predicts; the inverse puts that back.

    Attributes:
        weights: handle of the weight file.
    """

    def forward_many(self, xs: list[Picture]) -> list[CodedPicture]:
        """Return the symbols, int32, of y and of the hyper-latents z that are computed from it, for each picture."""
        weights = self._loaded()
        for picture in xs:
            expected, *_ = _shapes(picture.size, weights)
            if picture.planes[0].shape != expected:
                raise ValueError(
                    f"latents of such a picture have the shape {expected}, not {picture.planes[0].shape}; check its "
                    "padding"
                )
        return _together(xs, functools.partial(_kind, weights.network), self._round)

    @torch.inference_mode()
    def _round(self, pictures):
        weights = self._loaded()
        latents = [[picture.planes[0] for picture in pictures]]
        if isinstance(weights.network, HyperpriorNetwork):
            latents.append(_planes_last(weights.network.hyper_analysis(_batch(latents[0], self.weights.device))))
        levels = _levels(weights.network, pictures[0])
        modelled = weights.probabilities.quantized(list(zip(*latents, strict=True)), levels)
        return list(map(CodedPicture.of, pictures, modelled))

    def inverse_many(self, ys: list[Picture]) -> list[Picture]:
        """Return the quantized latents ŷ, float32 [h,w,M], with the gain level if there is one, for each picture."""
        dequantized = []
        for picture in ys:
            y_hat = (self.modelled(picture).latents / 2**FRACTION_BITS).astype(np.float32)
            planes = (y_hat, *picture.planes[-1:]) if _is_mapped(picture) else (y_hat,)
            factors = ((1, 1),) * len(planes)
            dequantized.append(Picture(planes, picture.size, factors, picture.color, side=picture.side))
        return dequantized

    def maps(self, x: Picture, y: Picture) -> dict[str, np.ndarray]:
        """The latents ŷ [h,w,M], and "scales": the standard deviation that the model predicts for each [h,w,M].

        With an importance also "quality of positions" [h,w].
        """
        modelled = self.modelled(y)
        maps = {"latents": modelled.latents / 2**FRACTION_BITS, "scales": modelled.deviations()[0]}
        if _is_mapped(y):
            maps["quality of positions"] = 1 + _levels(self._loaded().network, y) / LEVEL_STEPS
        return maps


@dataclass(frozen=True)
class _LatentStage(_LearnedStage):
    """Entropy coding of the symbols of z and y; subclasses have the coder.

    Payload: H and W as varints, one byte of colour (0 grey, 2 RGB), one byte of gain level for networks that have
    gain units, and the coder's stream of all symbols. A level with its highest bit set (`MAPPED`) is followed by the
    offsets of positions: their length as a varint, and `primitives.level_map`. (No network has so many levels, so
    decoders that know nothing of offsets refuse such a stream.)
    """

    #: What the coder's stream holds, for `anatomy`.
    _coder: ClassVar[str]

    def _encode(self, modelled: ModelledSymbols, level: int) -> bytes:
        """The stream of all symbols."""
        raise TypeError(f"{type(self).__name__} defines no coder")

    def _reader(self, data: bytes, shapes: list[tuple[int, ...]], level: int) -> tuple[Callable[[Run], Any], Callable]:
        """What reads the symbols of a run from a stream, and what checks that these were all."""
        raise TypeError(f"{type(self).__name__} defines no coder")

    def _costs(self, modelled: ModelledSymbols, level: int) -> tuple[np.ndarray, ...]:
        """The bits of each symbol."""
        raise TypeError(f"{type(self).__name__} defines no coder")

    def forward_many(self, xs: list[Picture]) -> list[bytes]:
        """Return the payload of each picture."""
        network = self._loaded().network
        payloads = []
        for picture in xs:
            modelled, level = self.modelled(picture), _level(network, picture.side)
            out = ByteWriter()
            out.varint(picture.size[0])
            out.varint(picture.size[1])
            out.byte(COLORS.index(picture.color))
            if network.variable_rate:
                out.byte(level | MAPPED if _is_mapped(picture) else level)
            if _is_mapped(picture):
                out.block(encode_levels(picture.planes[-1]))
            out.raw(self._encode(modelled, level))
            payloads.append(out.getvalue())
        return payloads

    def inverse_many(self, ys: list[bytes], max_pixels: int = MAX_PIXELS) -> list[CodedPicture]:
        """Return the symbols of each payload.

        Raises:
            StreamError: a payload is cut or damaged, was made with other weights, or holds more than `max_pixels`.
        """
        weights = self._loaded()
        heads = []
        for payload in ys:
            reader = ByteReader(payload)
            size, color = _read_head(reader)
            check_size(size, max_pixels)
            side, planes = _read_level(reader, weights.network), ()
            level, shapes = _level(weights.network, side), _shapes(size, weights)
            if "mapped" in side:
                planes = (decode_levels(reader.block(), shapes[0][:2]),)
            read, finish = self._reader(reader.rest(), shapes, level)
            heads.append((Picture(planes, size, color=color, side=side), shapes[0][:2], read, finish))

        def decode(heads):
            pictures, sizes, reads, finishes = zip(*heads, strict=True)
            modelled = weights.probabilities.decoded(*sizes[0], reads, _levels(weights.network, pictures[0]))
            for finish in finishes:
                finish()
            return list(map(CodedPicture.of, pictures, modelled))

        def kind(head):
            picture, size, *_ = head
            return size, picture.side.get("level"), _map_of(picture)

        return _together(heads, kind, decode)

    def maps(self, x: Picture, y: bytes) -> dict[str, np.ndarray]:
        """Where the bits go: arrays by name.

        - "bits": what each position of y costs [h,w], and "bits by channel" [M];
        - "side bits": what each position of z costs [h/4,w/4], where there is a hyperprior.
        """
        bits, *side = self._costs_of(x)
        maps = {"bits": bits.sum(2), "bits by channel": bits.sum((0, 1))}
        return {**maps, "side bits": side[0].sum(2)} if side else maps

    def anatomy(self, picture: Picture, payload: bytes) -> Anatomy:
        """Header and symbols; what every symbol of y and z took."""
        found = Dissector(payload, "picture header")
        found.varint("height", "image", lambda n: f"{n} rows")
        found.varint("width", "image", lambda n: f"{n} columns")
        found.number(1, "colour model", "color", lambda n: COLORS[n])
        if self._loaded().network.variable_rate:
            level = found.number(
                1, "gain level", "transform", lambda n: f"{n & ~MAPPED}: quality {1 + (n & ~MAPPED) / LEVEL_STEPS:g}"
            )
            if level & MAPPED:
                found.group = "importance"
                length = found.varint("length of the map in bytes", "transform")
                found.take(length, "offsets of positions to the gain level", "", "transform")
        found.group = "symbols"
        found.rest(self._coder, "z, then y in the order of the wavefronts", "quantize")
        return Anatomy(tuple(found.parts), self._costs_of(picture))

    def _costs_of(self, picture):
        return self._costs(self.modelled(picture), _level(self._loaded().network, picture.side))

    def describe(self, payload: bytes) -> tuple[tuple[int, int], str]:
        """Size (H, W) and colour model of the picture in a payload."""
        return _read_head(ByteReader(payload))

    def facts(self, payload: bytes) -> dict[str, Any]:
        """The gain level, where there is one."""
        reader = ByteReader(payload)
        _read_head(reader)
        return _read_level(reader, self._loaded().network)


@dataclass(frozen=True)
class LatentCoded(_LatentStage):
    """Entropy coding of the symbols of z and y with the probability model's integer distributions.

    The stream of symbols is that of `primitives.entropy.latents`. `_LatentStage` describes the payload.

    Attributes:
        weights: handle of the weight file.
    """

    _coder: ClassVar[str] = "rANS state and words"

    def _encode(self, modelled, level):
        return modelled.encode()

    def _reader(self, data, shapes, level):
        decoder = LatentDecoder(data)
        return lambda run: run.distribution.get(decoder), decoder.finish

    def _costs(self, modelled, level):
        """The information of each symbol under the predicted distribution."""
        return modelled.bits()


@dataclass(frozen=True)
class LatentMixed(_LatentStage):
    """Entropy coding of the symbols of z and y by context mixing.

    The probability model's distribution of a symbol is one opinion among those of adaptive contexts
    (`primitives.entropy.latent_mixing`), which begin with what they learned in `practice`, if the weight file says so.
    `_LatentStage` describes the payload.

    Attributes:
        weights: handle of the weight file.
    """

    _coder: ClassVar[str] = "decisions of the range coder"

    def _encode(self, modelled, level):
        return modelled.encode_mixed(experience=self._loaded().experience(level)).getvalue()

    def _reader(self, data, shapes, level):
        decoder = MixingDecoder(data, shapes, self._loaded().experience(level))
        return lambda run: run.get(decoder), decoder.finish

    def _costs(self, modelled, level):
        """The bits that the coder spent on each symbol."""
        return modelled.encode_mixed(measure=True, experience=self._loaded().experience(level)).spent


def _read_head(reader):
    size, color = (reader.varint(), reader.varint()), reader.byte()
    if color not in (COLORS.index("grey"), COLORS.index("rgb")):
        raise StreamError(f"colour model {color}; learned codecs have grey (0) and RGB (2)")
    return size, COLORS[color]


def _level(network: Network, side: Mapping[str, int]) -> int:
    """The gain level among a picture's side values; 0 for networks without gain units."""
    if not network.variable_rate:
        return 0
    level = side.get("level", -1)
    if not 0 <= level <= (network.LEVELS - 1) * LEVEL_STEPS:
        raise StreamError(f"the stream names the gain level {level}, which the network does not have")
    return level


def qualities(network: Network, picture: Picture, device: str) -> float | torch.Tensor | None:
    """The quality of a picture of latents, or of all positions [1,h,w]; None for networks without gain units."""
    if not network.variable_rate:
        return None
    levels = _levels(network, picture)
    if isinstance(levels, int):
        return 1 + levels / LEVEL_STEPS
    return 1 + torch.from_numpy(levels.astype(np.float32)).to(device)[None] / LEVEL_STEPS


def _read_level(reader, network: Network) -> dict[str, int]:
    """The side values of a payload."""
    if not network.variable_rate:
        return {}
    level = reader.byte()
    return {"level": level & ~MAPPED, "mapped": 1} if level & MAPPED else {"level": level}


def _is_mapped(picture: Picture) -> bool:
    """Whether the last plane holds offsets to the gain level."""
    return "mapped" in picture.side


def _latents(picture: Picture) -> tuple[np.ndarray, ...]:
    """The planes without offsets."""
    return picture.planes[:-1] if _is_mapped(picture) else picture.planes


def _map_of(picture: Picture) -> bytes:
    """What tells pictures with other offsets apart."""
    return picture.planes[-1].tobytes() if _is_mapped(picture) else b""


def _kind(network: Network, picture: Picture) -> tuple:
    """What pictures that go through networks together have in common."""
    return picture.planes[0].shape, _level(network, picture.side), _map_of(picture)


def _levels(network: Network, picture: Picture) -> int | np.ndarray:
    """The gain level, or those of all positions, int64 [h,w]."""
    level = _level(network, picture.side)
    return _clipped(network, level, picture.planes[-1]) if _is_mapped(picture) else level


def _clipped(network: Network, level: int, offsets: np.ndarray) -> np.ndarray:
    """The levels of positions; at the ends of the scale offsets have no effect."""
    wanted = level + _OFFSET * np.clip(offsets.astype(np.int64), -LARGEST, LARGEST)
    return np.clip(wanted, 0, (network.LEVELS - 1) * LEVEL_STEPS)


def _offsets(octaves: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Offsets int32 [h,w] that meet weights of 2^octaves: λ grows by so many octaves."""
    wanted = pooled(octaves, (_SCALE, _SCALE), grid) / _OCTAVES_OF_LEVEL
    return np.clip(np.rint(wanted / _OFFSET), -LARGEST, LARGEST).astype(np.int32)


def _shapes(size: tuple[int, int], weights: Weights) -> list[tuple[int, int, int]]:
    """Shapes of y, and of z if there is one, of a picture of so many pixels."""
    model = weights.probabilities
    height, width = (extent // _SCALE for extent in PadTo(weights.network.stride).padded(size))
    shapes = [(height, width, model.channels)]
    if model.h_s is not None:
        shapes.append((height // _HYPER_SCALE, width // _HYPER_SCALE, model.medians.shape[1]))
    return shapes


def _planes_last(tensor: torch.Tensor) -> list[np.ndarray]:
    """[N,C,h,w] as N arrays float32 [h,w,C]."""
    return list(np.ascontiguousarray(tensor.permute(0, 2, 3, 1).float().cpu().numpy()))


def _batch(planes: list[np.ndarray], device: str) -> torch.Tensor:
    """N arrays [h,w,C] as [N,C,h,w] in channels-last memory, as they lie."""
    return torch.from_numpy(np.stack(planes)).to(device).permute(0, 3, 1, 2)
