"""I-frames that are the same on every machine: the synthesis transform of `balle2017` in integers.

The next frames of a video are predicted from its I-frame, so encoder and decoder must hold the same picture of it, to
the last grey level. The float synthesis g_s promises no such thing: with another number of threads or another library
a sample may come out on the other side of a half. Therefore an I-frame is coded as `balle2017` codes any picture, but
its picture is computed by an integer network (`primitives.learned.integer`) made of the same weights::

    symbols ── · 256 + median ── · inverse gain ── IGDN ── up ── IGDN ── up ── IGDN ── up ── · 255 ── uint8
               ŷ in units of 2^-8   (integers of 2^-24)                          units of 2^-16

Its samples differ from those of the float picture by at most 1, and only where these were nearly a half. The inverse
gains of all levels and the units of activations are computed once, from typical pictures, and stored (`state`); integer
weights are made of the floats in the weight file of `balle2017` each time.

**Large pictures** are computed in tiles with a margin as wide as the network reaches. As all sums are exact, the cut
changes nothing.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np
import torch

from ...primitives.entropy.integer_gaussian import FRACTION_BITS
from ...primitives.learned.integer import HEADROOM, IntegerNetwork, quantize_network
from ...primitives.learned.tiles import tiled
from ...primitives.pad import PadTo
from ..image_io import read_image
from ..learned.networks import LEVEL_STEPS
from ..learned.networks.balle2017 import Balle2017
from ..learned.weights import Weights

#: Inverse gains are integers in units of 2^-GAIN_BITS, samples (black 0, white 1) in units of 2^-SAMPLE_BITS.
GAIN_BITS, SAMPLE_BITS = 24, 16

#: Magnitude of symbols that no useful picture exceeds; damaged ones are clamped.
_SYMBOLS = 1 << 20

#: Magnitude of the network's inputs, which its first IGDN squares.
_INPUTS = (1 << 17) - 1

#: The network's output at a latent depends on latents so far away: 1 + 1/2 + 1/4 positions, by its three kernels.
_REACH = 2

#: Latents that are computed together: tiles of so many rows and columns, some 40 MB.
_SIDE = 32


@dataclasses.dataclass(frozen=True, eq=False)
class ExactStill:
    """What makes pictures of the symbols of `balle2017`, the same ones everywhere.

    Attributes:
        network: g_s in integers.
        gains: inverse gains of every level, int64 [levels,M], in units of 2^-24.
        medians: what latents are rounded around, int64 [levels,M], in units of 2^-8.

    >>> from ..learned.header import shipped
    >>> from ..learned.weights import load_weights
    >>> weights = load_weights(next(header.path for header in shipped() if header.architecture == "balle2017"))
    >>> still = ExactStill.of(weights, [np.zeros((64, 64, 3), np.uint8)])
    >>> symbols = np.zeros((2, 3, 192), np.int32)
    >>> picture = still.picture(symbols, level=28)
    >>> picture.shape, picture.dtype
    ((32, 48, 3), dtype('uint8'))
    >>> restored = ExactStill.from_state(still.state(weights), weights)
    >>> bool((restored.picture(symbols, level=28) == picture).all())
    True
    """

    network: IntegerNetwork
    gains: np.ndarray
    medians: np.ndarray

    @classmethod
    @torch.no_grad()
    def of(cls, weights: Weights, pictures: Iterable) -> "ExactStill":
        """Make the integers, once; what they depend on must be stored (`state`).

        Args:
            weights: of `balle2017`.
            pictures: a few typical ones, uint8 [H,W,3] arrays or paths, which show how large activations become.

        Raises:
            ValueError: the weights are of another network, or there are no pictures.
        """
        network, pad = _network(weights), PadTo(Balle2017.stride)
        qualities = 1 + np.arange(len(weights.probabilities.medians)) / LEVEL_STEPS
        factors = np.stack([network.inverse_gain.factors(quality).double().cpu().numpy() for quality in qualities])
        latents = []
        for picture in pictures:
            planes = np.stack(pad.forward(read_image(picture)).planes)[None]
            x = torch.from_numpy(planes).to(network.inverse_gain.log_gain.device).float() / 255
            for quality in (1, network.LEVELS):
                y = network.latents(x, quality)
                y_hat = network.entropy_bottleneck.quantize(y, network.gain.factors(quality))
                latents.append(network.unscaled(y_hat, quality))
        if not latents:
            raise ValueError("exact pictures need a few typical ones to see how large activations become")
        largest = max(float(y.abs().max()) for y in latents)
        synthesis = quantize_network(
            network.g_s,
            latents,
            input_bits=int(np.floor(np.log2(_INPUTS / (HEADROOM * largest)))),
            output_bits=SAMPLE_BITS,
            input_limit=_INPUTS,
            output_limit=1 << SAMPLE_BITS + 1,
        )
        gains = np.rint(factors * 2.0**GAIN_BITS).astype(np.int64)
        return cls(synthesis, gains, weights.probabilities.medians)

    def state(self, weights: Weights) -> dict[str, torch.Tensor]:
        """All there is to know beside the weights of `balle2017`, as integer tensors by name.

        Raises:
            ValueError: it was made of other weights.
        """
        synthesis = self.network.state(_network(weights).g_s)
        gains = torch.from_numpy(self.gains.astype(np.int32))
        return {"gains": gains, **{f"g_s.{name}": tensor for name, tensor in synthesis.items()}}

    @classmethod
    def from_state(cls, state: dict[str, torch.Tensor], weights: Weights, device: str = "cpu") -> "ExactStill":
        """The inverse of `state`, with the same weights.

        Raises:
            ValueError: tensors are missing or do not fit the weights.
        """
        part = {name.removeprefix("g_s."): tensor for name, tensor in state.items() if name.startswith("g_s.")}
        network = IntegerNetwork.from_state(part, _network(weights).g_s, device)
        medians = weights.probabilities.medians
        if "gains" not in state or state["gains"].shape != medians.shape:
            raise ValueError(f"the state of exact pictures has inverse gains {list(medians.shape)}")
        return cls(network, state["gains"].numpy().astype(np.int64), medians)

    def picture(self, symbols: np.ndarray, level: int) -> np.ndarray:
        """The picture of some symbols, uint8 [16·h,16·w,3].

        Args:
            symbols: of y, int32 [h,w,M]; any numbers, as a damaged stream may have them.
            level: the gain level, 8 · (quality - 1).

        Raises:
            ValueError: there is no such level, or the symbols have another shape.
        """
        levels, channels = self.gains.shape
        if symbols.ndim != 3 or symbols.shape[2] != channels or not 0 <= level < levels:
            raise ValueError(
                f"a picture has symbols [h,w,{channels}] and a gain level of 0 … {levels - 1}, not "
                f"{list(symbols.shape)} and {level}"
            )
        y_hat = symbols.astype(np.int64).clip(-_SYMBOLS, _SYMBOLS) * (1 << FRACTION_BITS) + self.medians[level]
        shift = FRACTION_BITS + GAIN_BITS - self.network.input_bits
        x = y_hat * self.gains[level] + (1 << shift - 1) >> shift
        planes = tiled(
            self.network,
            torch.from_numpy(x.clip(-_INPUTS, _INPUTS).astype(np.int32)).permute(2, 0, 1)[None],
            up=16,
            after=_samples,
            whole=_SIDE * _SIDE,
            side=_SIDE,
            margin=_REACH,
        )
        return planes[0].permute(1, 2, 0).contiguous().cpu().numpy()


def _network(weights):
    if not isinstance(weights.network, Balle2017):
        raise ValueError(f"exact pictures are made of the weights of balle2017, not of {weights.header.architecture}")
    return weights.network


def _samples(x):
    """Integers in units of 2^-16 as grey levels."""
    x = x.clamp(0, 1 << SAMPLE_BITS)
    return (x * 255 + (1 << SAMPLE_BITS - 1) >> SAMPLE_BITS).to(torch.uint8)
