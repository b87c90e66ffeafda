"""What all networks of learned image codecs share: the plan, the bases of their classes, and what they declare.

All follow one plan. An *analysis transform* g_a turns a picture into latents y at a sixteenth of its resolution, these
are rounded, and a *synthesis transform* g_s makes a picture of them. Networks differ in their transforms and in how
well they predict the latents' probabilities, which decide the rate::

    x ── g_a ── y ── round ── ŷ ── g_s ── x̂
                │             │
               h_a         p(ŷ | everything decoded so far)
                │             │
                z ── round ── ẑ ── h_s

Side information z is modelled by a factorized prior and costs bits, too.

**A new architecture** is one class in one file: it derives from one of the bases here, defines its layers, and declares
the rest as class attributes (`Network`). One line of entry points in its distribution's ``pyproject.toml`` makes it a
codec::

    [project.entry-points."codeckit.networks"]
    "my-network" = "my_package.my_network:MyNetwork"

**Training and coding.** In training mode noise stands in for rounding (see `primitives.learned.quantize`). In
evaluation mode `forward` rounds exactly as a coder does, so its likelihoods are the rate of a real stream and its
reconstruction is the decoded picture. For networks that predict the mean of a latent from its neighbours this takes
care: rounding around a mean changes the latent, which changes the means that follow, so latents are rounded in decoding
order, all those of a wavefront at once (`AutoregressiveNetwork.quantize_in_order`). A mixture rounds to whole numbers
and needs no such order.

**Names.** Attributes and state-dict keys are those of CompressAI, and `load_state_dict` takes its checkpoints, old key
names included. N is the number of channels inside the transforms, M that of the latents.
"""

import functools
import os
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....primitives.entropy.wavefronts import wavefront
from ....primitives.learned.quantize import Proxy, add_noise, in_float32
from ...entry import Entry, imported
from ..header import has_shipped
from .checkpoints import rename_keys

#: Qualities of networks with gain units are multiples of 1/LEVEL_STEPS.
LEVEL_STEPS = 8


def compose(
    network: "type[Network]",
    quality: float | None = None,
    weights: str | os.PathLike | None = None,
    device: str = "cpu",
    effort: int = 0,
):
    """The codec of a network; see `codecs.learned.codec.compose`, which is imported here and not before."""
    return imported("codeckit.codecs.learned.codec:compose")(network, quality, weights, device, effort)


@dataclass(frozen=True, eq=False)
class NetworkOutput:
    """What `forward` returns.

    Attributes:
        reconstruction: x̂ [N,3,H,W], for pictures in 0 … 1; clipped to that range in evaluation mode.
        latents: the quantized (in training: noisy or rounded) latents, "y" [N,M,H/16,W/16] and, with a hyperprior,
            "z" [N,N,H/64,W/64].
        likelihoods: the probability of each latent, same keys and shapes.
    """

    reconstruction: Tensor
    latents: dict[str, Tensor]
    likelihoods: dict[str, Tensor]

    def bits(self) -> Tensor:
        """Estimated size of each picture in bits [N].

        >>> p = torch.full((1, 2, 4, 4), 0.5)
        >>> NetworkOutput(torch.zeros(1, 3, 64, 64), {"y": p}, {"y": p}).bits()
        tensor([32.])
        """
        return bits_of(self.likelihoods)


def bits_of(likelihoods: dict[str, Tensor]) -> Tensor:
    """What latents of these likelihoods [N,…] take, all names together: bits of each picture [N].

    >>> bits_of({"y": torch.full((1, 2, 4, 4), 0.5), "z": torch.full((1, 1), 0.25)})
    tensor([34.])
    """
    return sum(-likelihood.log2().flatten(1).sum(1) for likelihood in likelihoods.values())


class Network(nn.Module):
    """Base of all networks: ``forward(x)`` of pictures [N,3,H,W] in 0 … 1 gives a `NetworkOutput`.

    Attributes:
        summary: one line about the architecture.
        CHANNELS: arguments of the constructor, numbers of channels, at the qualities 1, 2, …
        SMALL: arguments of a small network, for tests.
        SIZES: where a state dict shows each of these arguments, as a key and the axis of that tensor.
        stride: H and W must be multiples of it.
        variable_rate: whether one network has all rates (`VariableRate`).
        coder: id of the stage that codes the latents of new streams.
        start: the transform codec that training begins with (`training.start`): "factorized", with a factorized prior
            alone, or "context", with a mixture predicted from hyperprior and context; empty for random weights.
        g_a, g_s: analysis and synthesis transform.
        entropy_bottleneck: the `FactorizedPrior` of what is coded first (z, or y without a hyperprior).

    >>> from codeckit.codecs.learned.networks import Bmshj2018Hyperprior
    >>> network = Bmshj2018Hyperprior(N=4, M=6).eval()
    >>> out = network(torch.rand(1, 3, 64, 128))
    >>> out.reconstruction.shape, out.latents["y"].shape, out.latents["z"].shape
    (torch.Size([1, 3, 64, 128]), torch.Size([1, 6, 4, 8]), torch.Size([1, 4, 1, 2]))
    """

    summary: ClassVar[str] = ""
    CHANNELS: ClassVar[tuple[tuple[int, ...], ...]] = ((128, 192),)
    SMALL: ClassVar[tuple[int, ...]] = (8, 12)
    SIZES: ClassVar[tuple[tuple[str, int], ...]] = (("g_a.0.weight", 0), ("g_s.0.weight", 0))
    stride: ClassVar[int] = 16
    variable_rate: ClassVar[bool] = False
    coder: ClassVar[str] = "codeckit:LatentCoded@1"
    start: ClassVar[str] = ""

    @classmethod
    def entry(cls, name: str) -> Entry:
        """What the registry says of the network's codec.

        Args:
            name: what the network is declared as.

        >>> Network.entry("mine").quality
        (1, 1)
        """
        return Entry(
            name=name,
            family="learned",
            media="image",
            quality=(1, len(cls.CHANNELS)),
            summary=cls.summary,
            factory=functools.partial(compose, cls),
            whole=not cls.variable_rate,
            quality_steps=LEVEL_STEPS if cls.variable_rate else 1,
            requires=("torch",),
            install="pass weights=PATH",
            ready=functools.partial(has_shipped, name),
        )

    @classmethod
    def channels_of(cls, weights: dict[str, Tensor]) -> tuple[int, ...]:
        """The arguments of the constructor that a state dict shows.

        Raises:
            KeyError: it lacks a tensor; the dict is another network's.
        """
        return tuple(weights[key].shape[axis] for key, axis in cls.SIZES)

    def forward(self, x: Tensor, quality: float | Tensor | None = None, *, proxy: Proxy = "noise") -> NetworkOutput:
        """Analysis, quantization and synthesis, with the likelihoods of what would be coded.

        Args:
            x: pictures, float [N,3,H,W] in 0 … 1.
            quality: for networks with gain units, one quality or one of each picture; no effect here.
            proxy: in training mode, what stands in for rounding where the transforms see latents
                (`primitives.learned.quantize`); likelihoods are of noisy ones in any case, but for y of `Cheng2020`,
                the only one that may be ``"relaxed"``. No effect in evaluation mode.

        Raises:
            ValueError: `x` has another shape, or H or W is no multiple of `stride`.
        """
        latents, likelihoods = self.model(self.analysis(x), proxy)
        return NetworkOutput(self.synthesis(latents["y"]), latents, likelihoods)

    def analysis(self, x: Tensor) -> Tensor:
        """Latents y [N,M,H/16,W/16] of pictures [N,3,H,W]; raises as `forward` does."""
        self._check(x)
        return self.g_a(x)

    def latents(self, x: Tensor, quality: float | Tensor | None = None) -> Tensor:
        """Latents y as they are rounded, of pictures or of parts of them; `quality` is for networks with gain units."""
        return self.g_a(x)

    def unscaled(self, y_hat: Tensor, quality: float | Tensor | None = None) -> Tensor:
        """Quantized latents as `synthesis` takes them: without the scales of gain units, where there are any."""
        return y_hat

    def predictors(self) -> dict[str, nn.Module]:
        """The layers that a decoder computes distributions with: "h_s", and "context" and "combine" with a context."""
        return {}

    def _check(self, x):
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] % self.stride or x.shape[3] % self.stride:
            raise ValueError(
                f"a network takes pictures [N,3,H,W] with H and W multiples of {self.stride}, not {list(x.shape)}; "
                "pad them first"
            )

    def synthesis(self, y_hat: Tensor) -> Tensor:
        """Pictures [N,3,H,W] of quantized latents, clipped to 0 … 1 in evaluation mode."""
        x_hat = self.unclipped(y_hat)
        return x_hat if self.training else x_hat.clamp(0, 1)

    def unclipped(self, y_hat: Tensor) -> Tensor:
        """Pictures as they come out of the synthesis transform."""
        return self.g_s(y_hat)

    def model(self, y: Tensor, proxy: Proxy) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Quantized latents and their likelihoods, by name."""
        raise TypeError(f"{type(self).__name__} defines no model(y, proxy)")

    def load_state_dict(self, state_dict, strict: bool = True, assign: bool = False):
        """Load weights under present or past names of CompressAI (`rename_keys`)."""
        return super().load_state_dict(rename_keys(state_dict), strict, assign)


class FactorizedNetwork(Network):
    """Networks whose latents are coded by a factorized prior alone."""

    def model(self, y, proxy):
        """Quantized latents and their likelihoods: {"y": …}."""
        y_hat, likelihoods = self.entropy_bottleneck(y)
        return {"y": self.entropy_bottleneck.quantize(y) if proxy == "rounded" else y_hat}, {"y": likelihoods}


class HyperpriorNetwork(Network):
    """Networks with a hyperprior: z is coded first, and the features h_s(ẑ) predict y.

    Attributes:
        h_a, h_s: hyper-analysis and hyper-synthesis transform.
    """

    stride = 64

    @in_float32
    def model(self, y, proxy, *known):
        """Quantized latents and their likelihoods: {"y": …, "z": …}; float32 throughout, under autocast, too.

        What else is known goes to `conditional`.
        """
        z = self.hyper_analysis(y)
        z_hat, z_likelihoods = self.entropy_bottleneck(z)
        if proxy == "rounded":
            z_hat = self.entropy_bottleneck.quantize(z)
        y_hat, y_likelihoods = self.conditional(y, self.h_s(z_hat), proxy, *known)
        return {"y": y_hat, "z": z_hat}, {"y": y_likelihoods, "z": z_likelihoods}

    def hyper_analysis(self, y: Tensor) -> Tensor:
        """Hyper-latents z of the latents y."""
        return self.h_a(y)

    def predictors(self):
        """The hyper-synthesis; see `Network.predictors`."""
        return {"h_s": self.h_s}

    def conditional(self, y: Tensor, features: Tensor, proxy: Proxy) -> tuple[Tensor, Tensor]:
        """Quantized latents ŷ and their likelihoods, given the features that h_s made of ẑ."""
        raise TypeError(f"{type(self).__name__} defines no conditional(y, features, proxy)")


class ContextNetwork(HyperpriorNetwork):
    """Networks that predict latents from the hyperprior and from neighbours decoded before.

    Attributes:
        context_prediction: masked convolution of ŷ.
        entropy_parameters: 1×1 convolutions from the features of both to the parameters of distributions.
    """

    def predictors(self):
        """The hyper-synthesis, the context model and the parameter network; see `Network.predictors`."""
        return {"h_s": self.h_s, "context": self.context_prediction, "combine": self.entropy_parameters}


class AutoregressiveNetwork(ContextNetwork):
    """Networks with a context that predict a Gaussian for each latent, by its scale and its mean."""

    def parameters_from(self, y_hat: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Scales and means of all latents, each [N,M,H/16,W/16]."""
        context = self.context_prediction(y_hat)
        return self.entropy_parameters(torch.cat((features, context), dim=1)).chunk(2, dim=1)

    def conditional(self, y, features, proxy):
        """Quantized latents and their likelihoods; in training the context is noisy, whatever `proxy` says."""
        gaussian = self.gaussian_conditional
        modelled = add_noise(y) if self.training else self.quantize_in_order(y, features)
        scales, means = self.parameters_from(modelled, features)
        likelihoods = gaussian.likelihood(modelled, scales, means)
        return gaussian.quantize(y, means) if self.training and proxy == "rounded" else modelled, likelihoods

    @torch.no_grad()
    def quantize_in_order(self, y: Tensor, features: Tensor) -> Tensor:
        """Latents [N,M,H,W] rounded around their means, each mean predicted from latents already rounded.

        The context convolution is evaluated at the positions of one wavefront after the other, as a product of its
        weights that are not masked with what these see.
        """
        convolution = self.context_prediction
        size, margin = convolution.kernel_size[0], convolution.kernel_size[0] // 2
        down, right = convolution.mask[0, 0].nonzero(as_tuple=True)
        weight = convolution.weight[:, :, down, right].flatten(1)[:, :, None, None]
        y_hat = F.pad(torch.zeros_like(y), [margin] * 4)
        for positions in wavefront(*y.shape[-2:], kernel=size):
            rows, columns = (torch.as_tensor(axis, device=y.device) for axis in positions)
            seen = y_hat[:, :, rows + down[:, None], columns + right[:, None]]  # [N,M,taps,positions]
            context = F.conv2d(seen.flatten(1, 2)[..., None], weight, convolution.bias)
            both = torch.cat((features[:, :, rows, columns, None], context), dim=1)
            _, means = self.entropy_parameters(both)[..., 0].chunk(2, dim=1)
            y_hat[:, :, rows + margin, columns + margin] = self.gaussian_conditional.quantize(
                y[:, :, rows, columns], means
            )
        return y_hat[:, :, margin:-margin, margin:-margin]


class VariableRate:
    """What networks with gain units share (Cui et al. 2021): one network has all rates.

    The gain units scale the latents between the analysis transform and rounding, and back before the synthesis.

    Attributes:
        LEVELS: number of trained rates; qualities run from 1 to this.
        gain, inverse_gain: the gain units, `primitives.learned.gain.GainUnit`, with `LEVELS` levels each.
    """

    LEVELS: ClassVar[int] = 8
    variable_rate: ClassVar[bool] = True
    coder: ClassVar[str] = "codeckit:LatentMixed@1"

    def unscaled(self, y_hat: Tensor, quality: float | Tensor) -> Tensor:
        """Quantized latents as the synthesis transform takes them; see `Network.unscaled`."""
        return self.inverse_gain(y_hat, quality)
