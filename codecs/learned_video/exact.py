"""The decoder of predicted frames, in integers: the same picture on every machine.

A decoded frame is what the next one is predicted from, and in `dcvc` it also decides the probabilities of symbols. In
floats two machines would drift apart, a little more with each frame. So everything between the symbols and the next
frame's prediction is a function from integers to integers (`primitives.learned.integer`, with the proof):

===========  ==========================================  ==========================================
what         from                                        to, with fraction bits
===========  ==========================================  ==========================================
context      pixels of p and x̂', 4·level; bits 8         c, bits 10
correction   c                                           δ, bits 12 (16 units are a grey level)
g_s          symbols · steps, bits 12                    features, bits 10
tail         features                                    bits 12
fusion       features, c          (`Dcvc`)               bits 12
prior        c                    (`Dcvc`)               logarithm of the scale, bits 8
===========  ==========================================  ==========================================

    x̂ = clamp((16·p + δ + tail + fusion + 8) >> 4, 0, 255)

The *steps* are the inverse gains of each level and channel as integers. The *scales* say which table a symbol follows:
``(base[level, channel] + prior + 16) >> 5``, one of `TABLES` Laplace distributions whose widths rise by e^(1/8). Both,
the tables, and the constants of calibration are stored with the weights.

**Large frames** are computed in tiles with margins as wide as the networks reach. All sums are exact, so the cut
changes nothing.

`ExactDecoder.of` makes it all from a float network and examples, once; `state` and `from_state` are the way to a weight
file and back.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...primitives.entropy.tables import FrequencyTables
from ...primitives.learned.integer import IntegerNetwork, quantize_network
from ...primitives.learned.tiles import tiled
from ..learned.networks import LEVEL_STEPS
from .networks import CELL, Dcvc, PredictiveNetwork

#: Fraction bits: of pixels, of features, of pictures and latents, of logarithms of scales.
PIXEL_BITS, FEATURE_BITS, PICTURE_BITS, SCALE_BITS = 8, 10, 12, 8

#: Laplace distributions: their number, the logarithm of the narrowest scale, and how many a factor of e.
TABLES, NARROWEST, DENSITY = 80, -3.25, 8

#: Symbols that a table has a bin for, at most, to either side.
_WIDEST = 512

#: Magnitude to which features and pictures are clamped.
_FEATURE_LIMIT, _PICTURE_LIMIT = 1 << 19, 1 << 17

#: Pixels of a latent and of a feature, a side.
_LATENT, _RATIO = 16, 16 // CELL

#: Latents that are computed together: tiles of about so many rows and columns, some 100 MB.
_SIDE = 48

#: How far the networks reach: context and correction, in features; prior, and g_s with tail and fusion, in latents.
_REACHES = {"context": 3, "correction": 1, "prior": 2, "picture": 3}

#: Latents are clamped to this magnitude, far beyond what the networks clamp them to.
_LATENT_LIMIT = 1 << 30


class Context(NamedTuple):
    """What a decoder knows of a frame before its symbols.

    Attributes:
        corrected: 16·p + δ, int32 [1,3,H,W].
        features: c, int32 [1,C,H/4,W/4].
    """

    corrected: Tensor
    features: Tensor


@dataclass(frozen=True, eq=False)
class ExactDecoder:
    """The integer networks and tables of a `Dvc` or `Dcvc`.

    Attributes:
        networks: by the names above.
        steps: int32 [levels,M], units of 2^-12.
        base: int32 [levels,M], logarithms of scales in units of 2^-8 above the narrowest.
        tables: the distributions.

    >>> from .networks import Dvc
    >>> _ = torch.manual_seed(0)
    >>> frame = np.full((32, 48, 3), 90, np.uint8)
    >>> decoder = ExactDecoder.of(Dvc(N=8, M=12, C=4).eval(), [(frame, frame, frame, 16)])
    >>> context = decoder.context(frame, frame, level=16)
    >>> picture = decoder.picture(np.zeros((2, 3, 12), np.int32), context, level=16)
    >>> picture.shape, picture.dtype
    ((32, 48, 3), dtype('uint8'))
    """

    networks: dict[str, IntegerNetwork]
    steps: np.ndarray
    base: np.ndarray
    tables: FrequencyTables

    @classmethod
    @torch.no_grad()
    def of(cls, network: PredictiveNetwork, examples: Iterable) -> "ExactDecoder":
        """The decoder of a trained network, in evaluation mode.

        Args:
            examples: frames, their predictions, the decoded frames before, uint8 [H,W,3], and a level, some dozens.
        """
        seen: dict[str, list[Tensor]] = {name: [] for name in parts(network)}
        latents = []
        for x, p, before, level in examples:
            quality = torch.tensor([1 + level / LEVEL_STEPS])
            x, p, before = (_tensor(frame).float() for frame in (x, p, before))
            seen["context"].append(seen_by_context(p, before, level) / 2**PIXEL_BITS)
            features = network.features(p, before, quality)
            seen["correction"].append(features)
            residual = x / 256 - (p / 256 + network.correction(features))
            y = network.analysis(residual, features, quality)
            seen["g_s"].append(network.inverse_gain(y.round(), quality))
            made = network.g_s(seen["g_s"][-1])
            seen["tail"].append(made)
            logs = torch.zeros_like(y)
            if isinstance(network, Dcvc):
                seen["fusion"].append(torch.cat((made, features), dim=1))
                seen["prior"].append(features)
                logs = network.prior(features)
            latents.append((level, y[0].round(), logs[0]))
        networks = {
            name: quantize_network(modules, seen[name], input_limit=_FEATURE_LIMIT, **_BITS[name])
            for name, modules in parts(network).items()
        }
        levels = torch.arange((network.LEVELS - 1) * LEVEL_STEPS + 1) / LEVEL_STEPS + 1
        steps = (network.inverse_gain.factors(levels) * 2**PICTURE_BITS).round().int().numpy()
        return cls(networks, steps, _base(latents, *steps.shape), laplace_tables())

    def state(self, network: PredictiveNetwork) -> dict[str, Tensor]:
        """All there is to know besides the float network that it was made of."""
        state = {"steps": torch.from_numpy(self.steps), "base": torch.from_numpy(self.base)}
        for name in ("frequencies", "sizes", "lowest"):
            state[f"tables.{name}"] = torch.from_numpy(getattr(self.tables, name).astype(np.int32))
        for name, modules in parts(network).items():
            state |= {f"{name}.{key}": value for key, value in self.networks[name].state(modules).items()}
        return state

    @classmethod
    def from_state(cls, state: dict[str, Tensor], network: PredictiveNetwork, device="cpu") -> "ExactDecoder":
        """The inverse of `state`, with the same network.

        Raises:
            ValueError: tensors are missing, or do not fit the network.
        """
        try:
            networks = {
                name: IntegerNetwork.from_state(_part(state, f"{name}."), modules, device)
                for name, modules in parts(network).items()
            }
            tables = (state[f"tables.{name}"].numpy() for name in ("frequencies", "sizes", "lowest"))
            return cls(networks, state["steps"].numpy(), state["base"].numpy(), FrequencyTables(*tables))
        except KeyError as error:
            raise ValueError(f"the state of an exact decoder lacks {error}") from error

    def context(self, p: np.ndarray, before: np.ndarray, level: int) -> Context:
        """The corrected prediction and its features.

        Args:
            p: prediction, uint8 [H,W,3], sides in multiples of 16.
            before: the frame that it was made of, likewise.
            level: 8 · (quality - 1).
        """
        predicted = _tensor(p)
        features = _in_tiles(
            lambda part: self.networks["context"](seen_by_context(part[:, :3].int(), part[:, 3:].int(), level)),
            torch.cat((predicted, _tensor(before)), dim=1),
            "context",
            down=CELL,
        )
        correction = _in_tiles(self.networks["correction"], features, "correction", up=CELL).cpu()
        return Context(predicted.int() * 2 ** (PICTURE_BITS - PIXEL_BITS) + correction, features)

    def picture(self, symbols: np.ndarray, context: Context, level: int) -> np.ndarray:
        """The decoded frame, uint8 [H,W,3], of symbols int32 [H/16,W/16,M]."""
        y = (symbols.astype(np.int64) * self.steps[level]).clip(-_LATENT_LIMIT, _LATENT_LIMIT)
        # All that a pixel depends on, by latents.
        features, corrected = F.pixel_unshuffle(context.features, _RATIO), F.pixel_unshuffle(context.corrected, _LATENT)
        known = torch.from_numpy(y.astype(np.int32)).permute(2, 0, 1)[None], features.cpu(), corrected
        pixels = _in_tiles(self._pixels, torch.cat(known, dim=1), "picture", up=_LATENT)
        return np.ascontiguousarray(pixels[0].permute(1, 2, 0).numpy())

    def _pixels(self, known):
        """The pixels [1,3,H,W], uint8, of latents, features and corrected prediction [1,·,H/16,W/16]."""
        channels = self.steps.shape[1], known.shape[1] - self.steps.shape[1] - 3 * _LATENT**2, 3 * _LATENT**2
        y, features, corrected = known.split(channels, dim=1)
        made = self.networks["g_s"](y)
        total = F.pixel_shuffle(corrected, _LATENT) + self.networks["tail"](made).cpu()
        if "fusion" in self.networks:
            features = F.pixel_shuffle(features, _RATIO).to(made.device)
            total += self.networks["fusion"](torch.cat((made, features), dim=1)).cpu()
        unit = PICTURE_BITS - PIXEL_BITS
        return ((total + (1 << unit - 1)) >> unit).clamp_(0, 255).to(torch.uint8)

    def indices(self, context: Context, level: int) -> np.ndarray:
        """The table of each symbol, int32 [H/16,W/16,M]."""
        scale = torch.from_numpy(self.base[level])
        if "prior" in self.networks:
            prior = _in_tiles(self.networks["prior"], context.features, "prior", down=_RATIO)
            scale = scale + prior.cpu()[0].permute(1, 2, 0)
        else:
            height, width = context.features.shape[2:]
            scale = scale.expand(height // _RATIO, width // _RATIO, -1)
        unit = SCALE_BITS - int(math.log2(DENSITY))
        return ((scale + (1 << unit - 1)) >> unit).clamp(0, len(self.tables) - 1).int().numpy()


def parts(network: PredictiveNetwork) -> dict[str, list[nn.Module]]:
    """The modules of a decoder, by the names above."""
    names = ["context", "correction", "g_s", "tail"] + (["fusion", "prior"] if isinstance(network, Dcvc) else [])
    return {name: [getattr(network, name)] for name in names}


#: Arguments of `quantize_network`.
_BITS = {
    "context": {"input_bits": PIXEL_BITS, "output_bits": FEATURE_BITS, "output_limit": _FEATURE_LIMIT},
    "correction": {"input_bits": FEATURE_BITS, "output_bits": PICTURE_BITS, "output_limit": _PICTURE_LIMIT},
    "g_s": {"input_bits": PICTURE_BITS, "output_bits": FEATURE_BITS, "output_limit": _FEATURE_LIMIT},
    "tail": {"input_bits": FEATURE_BITS, "output_bits": PICTURE_BITS, "output_limit": _PICTURE_LIMIT},
    "fusion": {"input_bits": FEATURE_BITS, "output_bits": PICTURE_BITS, "output_limit": _PICTURE_LIMIT},
    "prior": {"input_bits": FEATURE_BITS, "output_bits": SCALE_BITS, "output_limit": 1 << 12},
}


def seen_by_context(p: Tensor, before: Tensor, level: int) -> Tensor:
    """What the context network takes, integers [1,97,H/4,W/4]: pixels [1,3,H,W] of both frames, and the level."""
    frames = F.pixel_unshuffle(torch.cat((p, before), dim=1), CELL)
    plane = torch.full_like(frames[:, :1], 2**PIXEL_BITS // 64 * level)
    return torch.cat((frames, plane), dim=1)


def laplace_tables() -> FrequencyTables:
    """The distributions that symbols follow: Laplace's of rising widths, in bins around whole numbers."""
    pmfs, lowest = [], []
    for number in range(TABLES):
        scale = math.exp(NARROWEST + number / DENSITY)
        reach = min(_WIDEST, max(2, math.ceil(12 * scale)))
        edges = np.concatenate(([-np.inf], np.arange(-reach, reach + 2) - 0.5, [np.inf]))
        below = np.where(edges < 0, 0.5 * np.exp(np.minimum(edges, 0) / scale), 0)
        above = np.where(edges >= 0, 0.5 * np.exp(-np.maximum(edges, 0) / scale), 0)
        # The mass between two edges on one side of 0 is a difference of tails; the middle bin has both sides.
        mass = np.where(edges[:-1] < 0, below[1:] - below[:-1], above[:-1] - above[1:])
        middle = reach + 1
        mass[middle] = 1 - below[middle] - above[middle + 1]
        pmfs.append(np.maximum(mass, 2.0**-22))
        lowest.append(-reach)
    return FrequencyTables.from_pmfs(pmfs, lowest)


def _base(latents, levels: int, channels: int) -> np.ndarray:
    """The base of scales with which the examples' symbols cost least, between their levels interpolated."""
    tables = laplace_tables()
    offsets = np.arange(-2 * DENSITY, TABLES)
    known = sorted({level for level, *_ in latents})
    best = np.empty((len(known), channels))
    for row, level in enumerate(known):
        costs = np.zeros((len(offsets), channels))
        for at, symbols, logs in latents:
            if at != level:
                continue
            symbols = symbols.numpy().astype(np.int64).reshape(channels, -1)
            logs = np.rint(logs.numpy().reshape(channels, -1) * DENSITY).astype(np.int64)
            for n, offset in enumerate(offsets):
                indices = np.clip(offset + logs, 0, TABLES - 1)
                costs[n] += tables.bits(symbols, indices).sum(1)
        best[row] = offsets[costs.argmin(0)]
    every = np.arange(levels)
    columns = [np.interp(every, known, best[:, channel]) for channel in range(channels)]
    return np.rint(np.stack(columns, axis=1) * 2**SCALE_BITS / DENSITY).astype(np.int32)


def _tensor(frame: np.ndarray) -> Tensor:
    """A frame [H,W,3] as [1,3,H,W], uint8."""
    return torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None]


def _in_tiles(network, x, name, down=1, up=1):
    """The outputs of a network, in tiles where a frame is large."""
    side = _SIDE if max(down, up) == _LATENT or name == "prior" else _SIDE * _RATIO
    return tiled(network, x, down=down, up=up, whole=side * side, side=side, margin=_REACHES[name])


def _part(state, prefix):
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
