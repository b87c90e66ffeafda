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
  first while J is descended. Then the symbols found get their own, and are taken if their true J is lower.
"""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn import functional

from ...primitives.entropy.integer_gaussian import FRACTION_BITS
from ...primitives.level_map import pooled
from ...primitives.picture import Picture, pad_edge
from ...primitives.quantizers.descent import descend
from ...primitives.stage import Stage
from ..base import Encoder, See
from .lambdas import lambda_at, lambdas_of
from .stages import CodedPicture, Learned, Round, qualities

#: Pictures larger than this would take too much memory for a pass back through a network.
MAX_PIXELS = 1 << 22

#: Side of the regions of a picture that are descended each with its own caution, in latents.
_REGION = 4

#: SSE a bit, relative to what the networks were trained for.
RATE_WEIGHT = 1.5


@dataclass(frozen=True)
class SearchingEncoder(Encoder):
    """Chooses the symbols of a learned codec by rate and distortion.

    Attributes:
        effort: rounds of the search.
        quality: that of the network, for λ.
        octaves: squared errors weigh 2^octaves, float32 [H,W]; None if they weigh the same everywhere.
    """

    folds: ClassVar[bool] = False

    effort: int = 8
    quality: float = 1
    octaves: np.ndarray | None = field(default=None, repr=False, compare=False)

    def weighed(self, octaves: np.ndarray) -> "SearchingEncoder":
        """The encoder with other weights; see `Encoder.weighed`."""
        return replace(self, octaves=octaves)

    def encode(self, stages: dict[str, Stage], image, see: See | None = None) -> tuple[dict[str, Stage], bytes]:
        """The stages and the payload; see `Encoder.encode`. The quantizer's output are the symbols found.

        Raises:
            ValueError: the picture is larger than `MAX_PIXELS`, or stages of other kinds take the place of the
                transform and the rounding.
        """
        if not (isinstance(stages["transform"], Learned) and isinstance(stages["quantize"], Round)):
            raise ValueError("effort works with the stages Learned and Round; use effort=0 with others")
        height, width = image.shape[:2]
        if height * width > MAX_PIXELS:
            raise ValueError(
                f"effort takes pictures of {MAX_PIXELS} pixels at most, not {width}×{height}; use effort=0"
            )
        value: Any = image
        outputs = {}
        for role, stage in stages.items():
            value = stage.forward(value)
            if role == "quantize":
                value = self._optimized(stage, outputs["pad"], value)
            outputs[role] = value
            if see:
                see(role, stage, value)
        return stages, value

    def _optimized(self, stage: Round, padded: Picture, coded: CodedPicture) -> CodedPicture:
        weights, device = stage.weights.load(), stage.weights.device
        network = weights.network.requires_grad_(False)
        target = torch.from_numpy(np.stack(padded.planes)).to(device).float()[None]
        modelled = coded.modelled
        quality = qualities(network, coded, device)
        importance = np.ones(target.shape[2:])
        if self.octaves is not None:
            importance = pad_edge(2.0 ** self.octaves.astype(np.float64), *target.shape[2:])
        across = target.shape[2] // coded.planes[0].shape[0]  # pixels of a latent
        of_latents = pooled(importance, (across, across), coded.planes[0].shape[:2])
        importance = torch.from_numpy(importance.astype(np.float32)).to(device)
        symbols = modelled.symbols[0].astype(np.int64)
        offsets = modelled.latents / 2**FRACTION_BITS - symbols
        rows, columns = (-(-side // _REGION) for side in symbols.shape[:2])
        regions = np.kron(np.arange(rows * columns).reshape(rows, columns), np.ones((_REGION, _REGION), np.int64))
        regions = regions[: symbols.shape[0], : symbols.shape[1]]
        pixels = _REGION * (target.shape[2] // symbols.shape[0])
        run = modelled.runs[-1]  # that of y

        def bits(symbols):
            out = np.empty(symbols.shape)
            out[run.where] = run.distribution.bits(symbols[run.where])
            return out

        def synthesis(symbols):
            y = torch.from_numpy((symbols + offsets).astype(np.float32)).to(device).permute(2, 0, 1)[None]
            y = y.contiguous().requires_grad_()
            return y, 255 * network.unclipped(network.unscaled(y, quality))

        def gradient(of, y):
            return torch.autograd.grad(of, y)[0][0].permute(1, 2, 0).double().cpu().numpy()

        def distortion(symbols):
            y, picture = synthesis(symbols)
            errors = ((picture.clamp(0, 255) - target) ** 2).sum(1, keepdim=True) * importance
            parts = functional.avg_pool2d(errors, pixels, ceil_mode=True, divisor_override=1).flatten()
            return parts.detach().double().cpu().numpy(), lambda: gradient(errors.sum(), y)

        with torch.enable_grad():
            y, picture = synthesis(symbols)
            signs = torch.randint(0, 2, picture.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
            curvature = (gradient((picture * signs.to(device)).sum(), y) ** 2).mean((0, 1))
            table = lambdas_of(network.variable_rate)
            rate_weight = RATE_WEIGHT * 3 / float(lambda_at(torch.tensor(float(self.quality)), table))
            curvature = np.maximum(curvature * of_latents[..., None], 1e-6)
            found = descend(symbols, distortion, bits, curvature, rate_weight, self.effort, regions[..., None])
        picture = coded.replace(planes=(found.astype(np.int32), *coded.planes[1:]))
        picture = CodedPicture.of(coded, stage.modelled(picture))
        if weights.probabilities.context is None:
            return picture  # distributions do not depend on the symbols of y, and J has fallen

        def cost(coded):
            errors, _ = distortion(coded.planes[0].astype(np.int64))
            return errors.sum() + rate_weight * sum(bits.sum() for bits in coded.modelled.bits())

        with torch.enable_grad():
            return min((coded, picture), key=cost)
