"""Rate-distortion optimised quantization for learned codecs: the encoder chooses each picture's symbols by their cost.

Rounding takes the symbol next to what g_a says, whatever it costs and whatever g_s makes of it. With `effort` the
encoder looks at both: J = SSE + λ·bits, SSE of the picture that g_s really makes, bits as the probability model really
counts them, and moves symbols in whole steps while J falls (`primitives.quantizers.descent`). One round takes a pass
or two through g_s and one back. The decoder knows nothing of it.

- *λ* comes from the one that networks are trained for at each quality: L = bits/pixels + λ'·255²·MSE gives 3/λ' of SSE
  a bit. Half as much again was best of 0.5, 1 and 1.5 for `cheng2020`, and none was better for `balle2017` by much.
- *Curvatures* are one a channel: the diagonal of JᵀJ (J the Jacobian of g_s), whose expectation is that of (Jᵀv)² for
  random signs v.
- *Contexts.* Where symbols condition each other's probabilities, the distributions stay those of the symbols rounded
  first while J is descended. Then the symbols found are walked through with their own, and taken if their true J is
  lower.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from ...primitives.picture import Picture
from ...primitives.quantizers.descent import descend
from ..base import Codec
from ..image_io import read_image
from .lambdas import LAMBDAS, PUBLISHED, lambda_at
from .probabilities import LEVEL_STEPS
from .stages import CodedPicture, _level, _walk

#: Pictures larger than this would take too much memory for a pass back through a network.
MAX_PIXELS = 1 << 22

#: Side of the regions of a picture that are descended each with its own caution, in latents.
_REGION = 4

#: SSE a bit, relative to what the networks were trained for.
RATE_WEIGHT = 1.5


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
            if role == "transform":
                latents = value
            elif role == "quantize":
                break
            else:
                padded = value
            yield role, stage, value
        value = self._optimized(padded, latents, value)
        yield "quantize", self.stages["quantize"], value
        yield "entropy", self.stages["entropy"], self.stages["entropy"].forward(value)

    def _optimized(self, padded: Picture, latents: Picture, coded: CodedPicture) -> CodedPicture:
        weights = self.stages["transform"].loaded()
        network, device = weights.network.requires_grad_(False), self.device
        target = torch.from_numpy(np.stack(padded.planes)).to(device).float()[None]
        walk, level = _walk(coded, weights)
        steps = _level(network, level)
        symbols = walk.symbols[0].astype(np.int64)
        offsets = np.zeros(symbols.shape)
        rows, columns = (-(-side // _REGION) for side in symbols.shape[:2])
        regions = np.kron(np.arange(rows * columns).reshape(rows, columns), np.ones((_REGION, _REGION), np.int64))
        regions = regions[: symbols.shape[0], : symbols.shape[1]]
        pixels = _REGION * (target.shape[2] // symbols.shape[0])
        batches = [batch for batch, _ in walk.batches if batch.plane == 0]
        for batch in batches:
            offsets[batch.where] = np.asarray(batch.offset) / 256

        def bits(symbols):
            out = np.empty(symbols.shape)
            for batch in batches:
                out[batch.where] = batch.distribution.bits(symbols[batch.where])
            return out

        def synthesis(symbols):
            y = torch.from_numpy((symbols + offsets).astype(np.float32)).to(device).permute(2, 0, 1)[None]
            y = y.contiguous().requires_grad_()
            scaled = network.inverse_gain(y, 1 + steps / LEVEL_STEPS) if hasattr(network, "gain") else y
            return y, 255 * network.unclipped(scaled)

        def gradient(of, y):
            return torch.autograd.grad(of, y)[0][0].permute(1, 2, 0).double().cpu().numpy()

        def distortion(symbols):
            y, picture = synthesis(symbols)
            errors = ((picture.clamp(0, 255) - target) ** 2).sum(1, keepdim=True)
            parts = functional.avg_pool2d(errors, pixels, ceil_mode=True, divisor_override=1).flatten()
            return parts.detach().double().cpu().numpy(), lambda: gradient(errors.sum(), y)

        with torch.enable_grad():
            y, picture = synthesis(symbols)
            signs = torch.randint(0, 2, picture.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
            curvature = (gradient((picture * signs.to(device)).sum(), y) ** 2).mean((0, 1))
            table = LAMBDAS["mse"] if hasattr(network, "gain") else PUBLISHED
            rate_weight = RATE_WEIGHT * 3 / float(lambda_at(torch.tensor(float(self.quality)), table))
            curvature = np.maximum(curvature, 1e-6)
            found = descend(symbols, distortion, bits, curvature, rate_weight, self.effort, regions[..., None])
        planes = (found.astype(np.int32), *coded.planes[1:])
        picture = CodedPicture(planes, coded.size, coded.factors, coded.color)
        if weights.probabilities.context is None:
            return picture  # distributions do not depend on the symbols of y, and J has fallen
        picture = replace(picture, walk=_walk(picture, weights)[0])

        def cost(walk):
            errors, _ = distortion(walk.symbols[0].astype(np.int64))
            return errors.sum() + rate_weight * sum(b.sum() for b in walk.bits())

        with torch.enable_grad():
            return min((coded, picture), key=lambda each: cost(_walk(each, weights)[0]))
