"""What a learned codec knows of its latents before it decodes them, in integers: prior, hyperprior, context.

Latents y [h,w,M] and hyper-latents z [h/4,w/4,N] are coded as integer *symbols*. Each symbol follows a distribution
that encoder and decoder must agree on to the last bit, so everything here is integers (`primitives.learned.integer`,
`primitives.entropy.tables`, `primitives.entropy.integer_gaussian`). `ProbabilityModel.of` makes them of the float
network, once; as far as machines might differ in that, they are stored with the weights.

**Coding order.** All of z is coded before y. Without a context model all of y has its distributions at once. With one,
y goes in steps: wavefronts where the context is what lies above and to the left, two steps where it is the anchors of a
checkerboard (`primitives.entropy.wavefronts`). Distributions may depend on all symbols of earlier steps.

Three methods give symbols with their distributions (`ModelledSymbols`), by the same code::

    quantized      symbols = round(latents - offset)              the encoder
    decoded        symbols = what a coder reads for these distributions
    modelled       symbols = those that are there already

A decoder takes the steps one after the other. An encoder need not, unless offsets are predicted: with offsets of 0 it
rounds everything first, and its networks see all positions together. Since they compute in integers, that gives the
same numbers. Pictures of one size go together, too.

**What is predicted**, by the number of parameters for each latent:

====  ===========================================  =====================================================
0     nothing: one table a channel                 Balle2017, bmshj2018-factorized (and z, everywhere)
1     the scale σ                                  bmshj2018-hyperprior
2     σ, then the mean μ, which is the offset      mbt2018-mean, mbt2018, cheng2020-anchor, cheng2020-attn
9     three logits, three μ, three σ               cheng2020, cheng2020-checkerboard
====  ===========================================  =====================================================

Reals are integers in units of 2^-8. What goes from the hyper-synthesis and the context model into the parameter
network has two bits more, so that rounding twice is not felt.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ...primitives.entropy.factorized import FactorizedPrior
from ...primitives.entropy.integer_gaussian import (
    FRACTION_BITS,
    Mixture,
    center,
    gaussian_tables,
    scale_index,
    uncenter,
)
from ...primitives.entropy.latent_mixing import (
    Distributions,
    Experience,
    MixingDecoder,
    MixingEncoder,
    of_mixture,
    of_tables,
)
from ...primitives.entropy.latents import LatentDecoder, LatentEncoder
from ...primitives.entropy.mixture import COMPONENTS
from ...primitives.entropy.tables import FrequencyTables
from ...primitives.entropy.wavefronts import checkerboard, wavefront
from ...primitives.learned.integer import IntegerNetwork, quantize_network
from ...primitives.learned.masked_conv import CheckerboardConv2d, MaskedConv2d
from .networks import LEVEL_STEPS, Network

#: Fraction bits of what the parameter network takes.
FEATURE_BITS = FRACTION_BITS + 2

#: Probability beyond the window of a prior's table, at most, and what each of its tails has at least.
TAIL_MASS, TAIL_FLOOR = 1e-5, 2.0**-16

#: A prior's table has a bin for so many symbols at most to either side of the median.
WIDEST = 2048

#: Number of parameters of a scale with a mean, which latents are rounded around; and of a mixture.
_WITH_MEANS, _MIXTURE = 2, 3 * COMPONENTS

#: Positions that go through the parameter network together, of all pictures, at most.
_TOGETHER = 1024


@dataclass(frozen=True, eq=False)
class TableDistributed:
    """Symbols [n,M] that follow tables: `indices` says which table each."""

    tables: FrequencyTables
    indices: np.ndarray

    @staticmethod
    def joined(parts: Sequence["TableDistributed"]) -> "TableDistributed":
        """The distributions of several runs of symbols, one after the other."""
        return TableDistributed(parts[0].tables, np.concatenate([part.indices for part in parts]))

    def put(self, encoder: LatentEncoder, symbols: np.ndarray) -> None:
        """Append symbols to a stream."""
        encoder.put(symbols, self.indices, self.tables)

    def get(self, decoder: LatentDecoder) -> np.ndarray:
        """The next symbols of a stream."""
        return decoder.get(self.indices, self.tables)

    def for_mixing(self) -> Distributions:
        """The distributions as the context-mixing coder takes them."""
        return of_tables(self.indices, self.tables)

    def bits(self, symbols: np.ndarray) -> np.ndarray:
        """What each symbol costs."""
        return self.tables.bits(symbols, self.indices)

    def deviations(self) -> np.ndarray:
        """The standard deviation of each symbol's distribution."""
        return self.tables.deviations()[self.indices]


@dataclass(frozen=True, eq=False)
class MixtureDistributed:
    """Symbols [n,M] that follow a Gaussian mixture each, numbered row by row."""

    mixture: Mixture
    channels: int

    @staticmethod
    def joined(parts: Sequence["MixtureDistributed"]) -> "MixtureDistributed":
        """The distributions of several runs of symbols, one after the other."""
        return MixtureDistributed(Mixture.joined([part.mixture for part in parts]), parts[0].channels)

    def put(self, encoder: LatentEncoder, symbols: np.ndarray) -> None:
        """Append symbols to a stream."""
        encoder.put_mixture(symbols.ravel(), self.mixture)

    def get(self, decoder: LatentDecoder) -> np.ndarray:
        """The next symbols of a stream."""
        return decoder.get_mixture(self.mixture).reshape(-1, self.channels)

    def for_mixing(self) -> Distributions:
        """The distributions as the context-mixing coder takes them."""
        return of_mixture(self.mixture)

    def bits(self, symbols: np.ndarray) -> np.ndarray:
        """What each symbol costs."""
        return self.mixture.bits(symbols.ravel()).reshape(-1, self.channels)

    def deviations(self) -> np.ndarray:
        """The standard deviation of each symbol's distribution."""
        return self.mixture.deviations().reshape(-1, self.channels)


@dataclass(frozen=True, eq=False)
class Run:
    """Positions of a plane in coding order, with the distributions of their symbols [n,M].

    Attributes:
        plane: 0 for y, 1 for z.
        where: rows [n] and columns [n].
        distribution: what the symbols follow.
        order: the channels in the order that suits adaptive coding, the least certain first; None for that of their
            numbers, where every position has distributions of its own.
    """

    plane: int
    where: tuple[np.ndarray, np.ndarray]
    distribution: TableDistributed | MixtureDistributed
    order: np.ndarray | None = None

    def put(self, encoder: MixingEncoder, symbols: np.ndarray) -> None:
        """Append the symbols to a context-mixing encoder."""
        encoder.put(self.plane, self.where, symbols, self.distribution.for_mixing(), self.order)

    def get(self, decoder: MixingDecoder) -> np.ndarray:
        """The next symbols of a context-mixing decoder."""
        return decoder.get(self.plane, self.where, self.distribution.for_mixing(), self.order)


@dataclass(frozen=True, eq=False)
class ModelledSymbols:
    """The symbols of a picture with all that the model says of them.

    Attributes:
        symbols: of y, int32 [h,w,M], and where there is a hyperprior of z, int32 [h/4,w/4,N].
        latents: ŷ in units of 2^-8, int64 [h,w,M].
        runs: one for each plane, in coding order.
    """

    symbols: tuple[np.ndarray, ...]
    latents: np.ndarray
    runs: tuple[Run, ...]

    def encode(self) -> bytes:
        """All symbols as one stream, coded with their distributions."""
        encoder = LatentEncoder()
        for run in self.runs:
            run.distribution.put(encoder, self.symbols[run.plane][run.where])
        return encoder.getvalue()

    def encode_mixed(self, measure: bool = False, experience: Sequence[Experience] = ()) -> MixingEncoder:
        """All symbols in a context-mixing encoder.

        Args:
            measure: whether it is to note what each of them takes.
            experience: what it begins the first planes with.
        """
        encoder = MixingEncoder([plane.shape for plane in self.symbols], measure, experience)
        for run in self.runs:
            run.put(encoder, self.symbols[run.plane][run.where])
        return encoder

    def bits(self) -> tuple[np.ndarray, ...]:
        """What each symbol costs in bits, float64, in the shapes of `symbols` (without escapes behind a tail)."""
        return self._gather(lambda run: run.distribution.bits(self.symbols[run.plane][run.where]))

    def deviations(self) -> tuple[np.ndarray, ...]:
        """The standard deviation that was predicted for each symbol, float64, in the shapes of `symbols`."""
        return self._gather(lambda run: run.distribution.deviations())

    def _gather(self, function):
        planes = tuple(np.empty(plane.shape) for plane in self.symbols)
        for run in self.runs:
            planes[run.plane][run.where] = function(run)
        return planes


@dataclass(frozen=True, eq=False)
class ProbabilityModel:
    """Priors, hyper-synthesis, context model and parameter network of one codec, all integers.

    Attributes:
        channels: M, the number of channels of y.
        parameters: predicted numbers for each latent (the table above).
        prior: one table for each gain level and channel of what is coded first.
        medians: what that is rounded around [levels, channels], units of 2^-8. Only balle2017 has more than one level:
            its prior is that of y, which the gain units scale.
        h_s: hyper-synthesis; None without a hyperprior.
        context, combine: context model and parameter network; None without them.
        two_steps: whether the context is a checkerboard's.

    >>> from .networks import Mbt2018
    >>> _ = torch.manual_seed(0)
    >>> model = ProbabilityModel.of(Mbt2018(N=4, M=4).eval(), [torch.rand(1, 3, 64, 64)])
    >>> (coded,) = model.quantized([(np.ones((4, 8, 4)), np.ones((1, 2, 4)))])
    >>> decoder = LatentDecoder(coded.encode())
    >>> (decoded,) = model.decoded(4, 8, [lambda run: run.distribution.get(decoder)])
    >>> bool((decoded.latents == coded.latents).all())
    True
    """

    channels: int
    parameters: int
    prior: FrequencyTables
    medians: np.ndarray
    h_s: IntegerNetwork | None = None
    context: IntegerNetwork | None = None
    combine: IntegerNetwork | None = None
    two_steps: bool = False

    def quantized(
        self, latents: Sequence[tuple[np.ndarray, ...]], level: int | np.ndarray = 0
    ) -> list[ModelledSymbols]:
        """Round the latents of several pictures of one size and gain level to symbols.

        Args:
            latents: y, float [h,w,M], of each picture, and z where there is a hyperprior; h and w are multiples of 4
                then.
            level: the gain level, or one for each position of y [h,w], for priors that depend on it.
        """

        def take(n, plane, where, offset, _):
            return center(latents[n][plane][where], offset)

        return self._through(latents[0][0].shape[:2], len(latents), take, level, ahead=True)

    def modelled(self, symbols: tuple[np.ndarray, ...], level: int | np.ndarray = 0) -> ModelledSymbols:
        """The model of symbols that are there already: those of y, int32 [h,w,M], and of z.

        Args:
            symbols: as `ModelledSymbols.symbols`.
            level: as in `quantized`.
        """

        def take(_, plane, where, *__):
            return symbols[plane][where]

        return self._through(symbols[0].shape[:2], 1, take, level, ahead=True)[0]

    def decoded(
        self, height: int, width: int, read: Sequence[Callable[[Run], np.ndarray]], level: int | np.ndarray = 0
    ) -> list[ModelledSymbols]:
        """The symbols of several streams of one size and gain level.

        Args:
            height, width: of y.
            read: for each stream what reads the symbols [n,M] of a run.
            level: as in `quantized`.
        """

        def take(n, plane, where, _, run):
            return read[n](run)

        return self._through((height, width), len(read), take, level, ahead=False)

    def _through(self, size, count, take, level, ahead) -> list[ModelledSymbols]:
        """Go through all latents of `count` pictures, in coding order.

        Args:
            size: of y.
            take: gives the symbols [n,M] of (number of the picture, plane, where, offset, run).
            level: the gain level.
            ahead: whether `take` can do without a run, so that symbols may be had before their distributions.
        """
        planes, latents = [{} for _ in range(count)], []
        runs: list[list[Run]] = [[] for _ in range(count)]

        def plane_at_once(plane, height, width, distributions, order=None):
            """Symbols whose distributions do not depend on each other; returns their latents [N,height,width,M]."""
            where, latents = tuple(np.indices((height, width)).reshape(2, -1)), []
            for n, (distribution, offset) in enumerate(distributions):
                runs[n].append(Run(plane, where, distribution, order))
                symbols = take(n, plane, where, offset, runs[n][-1])
                planes[n][plane] = symbols.reshape(height, width, -1)
                latents.append(uncenter(symbols, offset).reshape(height, width, -1))
            return np.stack(latents)

        def prior_of(positions):
            """Distributions of so many positions, and the channels' order."""
            levels, channels = self.medians.shape
            rows = np.ravel(level) if levels > 1 else np.zeros(1, np.int64)
            tables = rows[:, None] * channels + np.arange(channels)  # [1,M] or [positions,M]
            middle = tables[np.argsort(rows, kind="stable")[len(rows) // 2]]  # the median level stands for all
            order = np.argsort(self.prior.frequency(np.zeros_like(middle), middle), kind="stable")
            indices = np.broadcast_to(tables, (positions, channels))
            return [(TableDistributed(self.prior, indices), self.medians[rows])] * count, order

        height, width = size
        if self.h_s is None:
            latents = plane_at_once(0, height, width, *prior_of(height * width))
        else:
            z_hat = plane_at_once(1, height // 4, width // 4, *prior_of(height // 4 * (width // 4)))
            features = self.h_s(torch.from_numpy(z_hat).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
            if self.context is None:
                rows = features.reshape(count, height * width, -1).cpu().numpy()
                latents = plane_at_once(0, height, width, map(self._distribution, rows))
            else:
                y, latents, y_runs = self._with_context(features, take, ahead)
                for n in range(count):
                    planes[n][0] = y[n]
                    runs[n].append(y_runs[n])
        return [
            ModelledSymbols(tuple(planes[n][plane] for plane in sorted(planes[n])), latents[n], tuple(runs[n]))
            for n in range(count)
        ]

    def _with_context(self, features, take, ahead):
        """Symbols of y [N,h,w,M], ŷ, and a run of each picture, where distributions depend on symbols before.

        Positions go in steps, all those of a step at once. A decoder must take the steps of the context's order, and so
        must an encoder that rounds around predicted means. Where nothing is predicted that symbols depend on, they are
        all known before, and steps are only as small as memory wants them.
        """
        count, height, width, _ = features.shape
        canvas, margin = self.context.canvas(count, height, width), self.context.layers[0].padding
        kernel = 2 * margin + 1
        steps = list(checkerboard(height, width) if self.two_steps else wavefront(height, width, kernel))
        everywhere = tuple(map(np.concatenate, zip(*steps, strict=True)))
        y = np.empty((count, height, width, self.channels), np.int32)
        latents = np.empty(y.shape, np.int64)

        def found(n, where, symbols, offset):
            y[n][where], latents[n][where] = symbols, uncenter(symbols, offset)

        def show(rows, columns):
            known = torch.from_numpy(latents[:, rows, columns]).to(canvas)
            canvas[:, torch.from_numpy(rows + margin), torch.from_numpy(columns + margin)] = known

        at_once = ahead and self.parameters != _WITH_MEANS
        if at_once:
            for n in range(count):
                found(n, everywhere, take(n, 0, everywhere, 0, None), 0)
            show(*everywhere)
            pieces = range(_TOGETHER // count or 1, height * width, _TOGETHER // count or 1)
            steps = list(zip(*(np.split(axis, pieces) for axis in everywhere), strict=True))
        parts: list[list] = [[] for _ in range(count)]
        for where in steps:
            for n, parameters in enumerate(self._predicted(canvas, features, *where)):
                distribution, offset = self._distribution(parameters)
                parts[n].append(distribution)
                if not at_once:
                    found(n, where, take(n, 0, where, offset, Run(0, where, distribution)), offset)
            if not at_once:
                show(*where)
        return y, latents, [Run(0, everywhere, type(each[0]).joined(each)) for each in parts]

    def _predicted(self, canvas, features, rows, columns) -> np.ndarray:
        """The parameter network's output at some positions of all pictures [N,n,parameters·M]."""
        rows, columns = (torch.from_numpy(axis).to(canvas.device) for axis in (rows, columns))
        context = self.context.at(canvas, rows, columns)
        if self.two_steps:  # anchors see nothing, not even the convolution's bias
            context = context * ((rows + columns) % 2)[:, None].to(context)
        both = torch.cat((features[:, rows, columns], context), dim=2)
        return self.combine.rows(both.flatten(0, 1)).view(*both.shape[:2], -1).cpu().numpy()

    def to(self, device) -> "ProbabilityModel":
        """The same model with its networks on another device."""
        networks = {name: getattr(self, name) for name in ("h_s", "context", "combine")}
        return dataclasses.replace(self, **{name: net and net.to(device) for name, net in networks.items()})

    def _distribution(self, parameters):
        """Distributions of y, and offsets, from a network's output [n,parameters·M]."""
        if self.parameters < _MIXTURE:
            scales, *means = np.split(parameters, self.parameters, axis=-1)
            return TableDistributed(gaussian_tables(), scale_index(scales)), means[0] if means else 0
        kinds = parameters.reshape(-1, 3, COMPONENTS, self.channels).transpose(1, 0, 3, 2).reshape(3, -1, COMPONENTS)
        return MixtureDistributed(Mixture.from_logits(*kinds), self.channels), 0

    @classmethod
    @torch.no_grad()
    def of(cls, network: Network, pictures: Iterable[torch.Tensor]) -> "ProbabilityModel":
        """Turn the float network's side of probabilities into integers: for export, never for decoding.

        Args:
            network: in evaluation mode.
            pictures: some typical ones, float [N,3,H,W] in 0 … 1, H and W multiples of the network's stride; they show
                how large hidden activations become.

        Raises:
            ValueError: the network is of a kind that has no coder, or there are no pictures.
        """
        predictors = network.predictors()
        if not predictors:
            prior, medians = prior_tables(network.entropy_bottleneck, gain_levels(network))
            return cls(medians.shape[1], 0, prior, medians)
        prior, medians = prior_tables(network.entropy_bottleneck)
        ys = [y for picture in pictures for y in _latents(network, picture)]
        z_hats = [network.entropy_bottleneck.quantize(network.hyper_analysis(y)) for y in ys]
        if not ys:
            raise ValueError("export needs a few typical pictures to see how large activations become")
        channels = ys[0].shape[1]
        h_s, convolution = predictors["h_s"], predictors.get("context")
        if convolution is None:
            synthesis = quantize_network(h_s, z_hats)
            return cls(channels, synthesis.layers[-1].output_channels // channels, prior, medians, synthesis)
        if not isinstance(convolution, MaskedConv2d | CheckerboardConv2d):
            raise ValueError(f"{type(network).__name__} has no coder: its context model is no masked convolution")
        both = [torch.cat((h_s(z), convolution(y.round())), 1) for z, y in zip(z_hats, ys, strict=True)]
        combine = quantize_network(predictors["combine"], both, input_bits=FEATURE_BITS)
        return cls(
            channels,
            combine.layers[-1].output_channels // channels,
            prior,
            medians,
            quantize_network(h_s, z_hats, output_bits=FEATURE_BITS),
            quantize_network([convolution], [y.round() for y in ys], output_bits=FEATURE_BITS),
            combine,
            isinstance(convolution, CheckerboardConv2d),
        )

    def state(self, network: Network) -> dict[str, torch.Tensor]:
        """All there is to know of the model beside the network that it is of, as integer tensors, by name."""
        state = {
            "kind": torch.tensor([self.channels, self.parameters, *([1] if self.two_steps else [])]),
            "medians": torch.from_numpy(self.medians),
            "prior.frequencies": torch.from_numpy(self.prior.frequencies).to(torch.int32),
            "prior.sizes": torch.from_numpy(self.prior.sizes),
            "prior.lowest": torch.from_numpy(self.prior.lowest),
        }
        for name, modules in network.predictors().items():
            part = getattr(self, name).state(modules)
            state |= {f"{name}.{key}": value for key, value in part.items()}
        return state

    @classmethod
    def from_state(cls, state: dict[str, torch.Tensor], network: Network) -> "ProbabilityModel":
        """The inverse of `state`, with the same network.

        Raises:
            ValueError: tensors are missing or do not fit.
        """
        try:
            channels, parameters, *two_steps = state["kind"].tolist()
            prior = FrequencyTables(*(state[f"prior.{name}"].numpy() for name in ("frequencies", "sizes", "lowest")))
            medians = state["medians"].numpy()
        except KeyError as error:
            raise ValueError(f"the state of a probability model lacks {error}") from error
        networks = {}
        for name, modules in network.predictors().items():
            part = {key[len(name) + 1 :]: value for key, value in state.items() if key.startswith(f"{name}.")}
            networks[name] = IntegerNetwork.from_state(part, modules)
        return cls(channels, parameters, prior, medians, **networks, two_steps=bool(two_steps))


def _latents(network, picture):
    """The latents of a picture, at the lowest and the highest quality where the network has several."""
    qualities = (1, network.LEVELS) if network.variable_rate else (None,)
    return [network.latents(picture, quality) for quality in qualities]


def gain_levels(network: Network) -> np.ndarray | None:
    """The gains of every level that a stream can name, float64 [levels, channels]; None without gain units.

    Level l is the quality 1 + l / LEVEL_STEPS.
    """
    if not network.variable_rate:
        return None
    qualities = 1 + torch.arange((network.LEVELS - 1) * LEVEL_STEPS + 1) / LEVEL_STEPS
    return network.gain.factors(qualities).double().cpu().numpy()


@torch.no_grad()
def prior_tables(prior: FactorizedPrior, gains: np.ndarray | None = None) -> tuple[FrequencyTables, np.ndarray]:
    """A factorized prior as integers: tables of symbols around the medians, and the medians.

    Args:
        prior: the density of each channel.
        gains: what latents are multiplied with before they are rounded [levels, channels]; None for 1.

    Returns:
        A table for each level and channel, and int64 medians [levels, channels], scaled by the gains, in units of
        2^-8: those that the network rounds around.

    >>> _ = torch.manual_seed(0)
    >>> tables, medians = prior_tables(FactorizedPrior(3), np.array([[1.0, 1, 1], [2, 2, 2]]))
    >>> len(tables), medians.shape
    (6, (2, 3))
    """
    gains = np.ones((1, prior.channels)) if gains is None else gains
    low, _, high = prior.solve_quantiles(TAIL_MASS).cpu().numpy().T
    medians = np.rint(prior.medians.double().cpu().numpy() * gains * 2**FRACTION_BITS).astype(np.int64)
    exact = FactorizedPrior(prior.channels).double()
    exact.load_state_dict(prior.state_dict())
    pmfs, lowest = [], []
    for gain, around in zip(gains, medians / 2**FRACTION_BITS, strict=True):
        first = np.clip(np.floor(low * gain - around), -WIDEST, 0).astype(np.int64)
        last = np.clip(np.ceil(high * gain - around), 0, WIDEST).astype(np.int64)
        symbols = np.arange(first.min(), last.max() + 2)
        edges = (around[:, None, None] + symbols - 0.5) / gain[:, None, None]
        logits = exact.logits(torch.from_numpy(edges))[:, 0]
        below, above = torch.sigmoid(logits).numpy(), torch.sigmoid(-logits).numpy()
        for c, (start, end) in enumerate(zip(first - symbols[0], last - symbols[0] + 1, strict=True)):
            # Differences of the smaller of c and 1 - c keep their precision in the tails.
            p, q = below[c, start : end + 1], above[c, start : end + 1]
            inside = np.where(p[1:] < 0.5, np.diff(p), -np.diff(q))
            pmfs.append(np.concatenate([[max(p[0], TAIL_FLOOR)], np.maximum(inside, 0), [max(q[-1], TAIL_FLOOR)]]))
        lowest.append(first)
    return FrequencyTables.from_pmfs(pmfs, np.concatenate(lowest)), medians
