"""Rate-distortion optimised quantization for learned codecs: the encoder chooses each picture's symbols by their cost.

Rounding takes the symbol next to what g_a says, whatever it costs and whatever g_s makes of it. With `effort` the
encoder looks at both: J = SSE + λ·bits, SSE of the picture that g_s really makes, bits as the probability model really
counts them, and moves symbols in whole steps while J falls (`primitives.quantizers.descent`). One round takes a pass
or two through g_s and one back. The decoder knows nothing of it.

- *λ* comes from the one that networks are trained for at each quality: L = bits/pixels + λ'·255²·MSE gives 3/λ' of SSE
  a bit. Half as much again was best of 0.5, 1 and 1.5 for `cheng2020`, and none was better for `balle2017` by much.
- *Curvatures* are one a channel: the diagonal of JᵀJ (J the Jacobian of g_s), whose expectation is that of (Jᵀv)² for
  random signs v.
- *Contexts.* Where symbols condition each other's probabilities, a step changes what the symbols after it cost. For
  `cheng2020` and `cheng2020-checkerboard` the float network tells it: bits are its likelihoods, and the gradient
  of all others' goes through the context model. Where symbols are rounded around means that depend on each other, too,
  the distributions stay those of the symbols rounded first. In either case the symbols found are walked through by
  the integer networks then, and taken if their true J is lower.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from ...primitives.entropy.integer_gaussian import FRACTION_BITS, uncenter
from ...primitives.picture import Picture
from ...primitives.quantizers.descent import descend
from ..base import Codec
from ..image_io import read_image
from .probabilities import LEVEL_STEPS, Walk
from .stages import CodedPicture, _level, _walk
from .weights import Weights

#: Pictures larger than this would take too much memory for a pass back through a network.
MAX_PIXELS = 1 << 22

#: Side of the regions of a picture that are descended each with its own caution, in latents.
_REGION = 4

#: SSE a bit, relative to what the networks were trained for.
RATE_WEIGHT = 1.5


def lambda_at(quality: float, one_network: bool) -> float:
    """λ' that networks are trained for at a quality from 1 to 8.

    Args:
        quality: that of the codec.
        one_network: whether one network has all rates, as those trained here (`training.losses.LAMBDAS`), or each
            its own, as those with published weights (CompressAI, arXiv:2011.03029, table 1).

    >>> [round(lambda_at(quality, one_network), 4) for quality in (1, 4, 8) for one_network in (True, False)]
    [0.0007, 0.0018, 0.0076, 0.013, 0.18, 0.18]
    """
    lowest, highest = 0.0007 if one_network else 0.0018, 0.18
    return lowest * (highest / lowest) ** ((quality - 1) / 7)


@dataclass(frozen=True)
class OptimizedCodec(Codec):
    """A learned codec whose encoder chooses symbols by rate and distortion.

    Attributes:
        effort: rounds of the search.
        quality: that of the network, for λ.
    """

    effort: int = 8
    quality: float = 1

    @property
    def _batches(self) -> bool:
        return False  # each picture is a search of its own

    def fold(self, image):
        """The stages' outputs; see `Codec.fold`. Those of the quantizer are the symbols found.

        Raises:
            ValueError: the picture is larger than `MAX_PIXELS`.
        """
        image = read_image(image)
        height, width = image.shape[:2]
        if height * width > MAX_PIXELS:
            raise ValueError(
                f"effort takes pictures of {MAX_PIXELS} pixels at most, not {width}×{height}; use effort=0"
            )
        for role, stage, value in super().fold(image):
            if role == "quantize":
                break
            if role == "pad":
                padded = value
            yield role, stage, value
        value = self._optimized(padded, value)
        yield "quantize", self.stages["quantize"], value
        yield "entropy", self.stages["entropy"], self.stages["entropy"].forward(value)

    def _optimized(self, padded: Picture, coded: CodedPicture) -> CodedPicture:
        weights = self.stages["transform"].loaded()
        walk, level = _walk(coded, weights)
        picture = _Search(weights, self.device, padded, walk, _level(weights.network, level))
        rate_weight = RATE_WEIGHT * 3 / lambda_at(self.quality, one_network=hasattr(weights.network, "gain"))
        rate = picture.rate_in_context if hasattr(weights.network, "mixtures") else picture.rate
        with torch.enable_grad():
            found = descend(
                picture.symbols,
                picture.distortion,
                rate,
                picture.curvature(),
                rate_weight,
                self.effort,
                picture.regions[..., None],
            )
        planes = (found.astype(np.int32), *coded.planes[1:])
        optimized = CodedPicture(planes, coded.size, coded.factors, coded.color)
        if weights.probabilities.context is None:
            return optimized  # distributions do not depend on the symbols of y, and J has fallen
        optimized = replace(optimized, walk=_walk(optimized, weights)[0])

        def cost(walk):
            errors, _ = picture.distortion(walk.symbols[0].astype(np.int64))
            return errors.sum() + rate_weight * sum(b.sum() for b in walk.bits())

        with torch.enable_grad():
            return min((coded, optimized), key=lambda each: cost(each.walk))


class _Search:
    """What `descend` asks about a picture: distortion, curvatures and rate of its symbols [h,w,M], and where they are.

    Args:
        weights: those of the codec.
        device: where the network runs.
        padded: the picture as the network sees it.
        walk: through the symbols rounded first.
        steps: the gain level.
    """

    def __init__(self, weights: Weights, device: str, padded: Picture, walk: Walk, steps: int):
        self.network, self.device, self.steps = weights.network.requires_grad_(False), device, steps
        self.target = torch.from_numpy(np.stack(padded.planes)).to(device).float()[None]
        self.symbols = walk.symbols[0].astype(np.int64)
        self.batches = [batch for batch, _ in walk.batches if batch.plane == 0]
        self.offsets = np.zeros(self.symbols.shape)
        for batch in self.batches:
            self.offsets[batch.where] = np.asarray(batch.offset) / 2**FRACTION_BITS
        height, width, _ = self.symbols.shape
        rows, columns = -(-height // _REGION), -(-width // _REGION)
        regions = np.arange(rows * columns).reshape(rows, columns)
        self.regions = np.kron(regions, np.ones((_REGION, _REGION), np.int64))[:height, :width]
        if hasattr(self.network, "mixtures"):
            z_hat = uncenter(walk.symbols[1], weights.probabilities.medians[0]) / 2**FRACTION_BITS
            with torch.no_grad():
                self.features = self.network.h_s(self._tensor(z_hat))

    def distortion(self, symbols):
        """Squared errors of every region, and a function that gives their gradient."""
        y, picture = self._synthesis(symbols)
        errors = ((picture.clamp(0, 255) - self.target) ** 2).sum(1, keepdim=True)
        pixels = _REGION * (self.target.shape[2] // symbols.shape[0])
        parts = functional.avg_pool2d(errors, pixels, ceil_mode=True, divisor_override=1).flatten()
        return parts.detach().double().cpu().numpy(), lambda: self._gradient(errors.sum(), y)

    def curvature(self):
        """That of each channel [M]."""
        y, picture = self._synthesis(self.symbols)
        signs = torch.randint(0, 2, picture.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
        squares = self._gradient((picture * signs.to(self.device)).sum(), y) ** 2
        return np.maximum(squares.mean((0, 1)), 1e-6)

    def rate(self, symbols):
        """Bits by the distributions of the walk, and a function that gives their changes for a step up and down."""
        bits = np.empty((3, *symbols.shape))
        for step in (0, 1, -1):
            for batch in self.batches:
                bits[step][batch.where] = batch.distribution.bits(symbols[batch.where] + step)
        return bits[0], lambda: (bits[1] - bits[0], bits[-1] - bits[0])

    def rate_in_context(self, symbols):
        """As `rate`, but by the distributions that these symbols make for each other."""
        y = self._tensor(symbols).requires_grad_()
        mixtures, fixed = self.network.mixtures(y, self.features), y.detach()

        def bits(step):
            return -self.network.gaussian_mixture.likelihood(fixed + step, mixtures).log2()

        here = bits(0)

        def changes():
            others = self._gradient(here.sum(), y)
            with torch.no_grad():
                return tuple(_array(bits(step) - here) + step * others for step in (1, -1))

        return _array(here), changes

    def _synthesis(self, symbols):
        """Latents to ask for gradients, and the picture 0 … 255 that g_s makes of them."""
        y, network = self._tensor(symbols + self.offsets).requires_grad_(), self.network
        scaled = network.inverse_gain(y, 1 + self.steps / LEVEL_STEPS) if hasattr(network, "gain") else y
        return y, 255 * network.unclipped(scaled)

    def _tensor(self, latents):
        return torch.from_numpy(latents.astype(np.float32)).to(self.device).permute(2, 0, 1)[None].contiguous()

    def _gradient(self, of, y):
        return _array(torch.autograd.grad(of, y)[0])


def _array(tensor):
    return tensor.detach()[0].permute(1, 2, 0).double().cpu().numpy()
