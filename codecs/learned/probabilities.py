"""What a learned codec knows of its latents before it decodes them, in integers: prior, hyperprior, context.

Latents y [h,w,M] and hyper-latents z [h/4,w/4,N] are coded as integer *symbols*. Each symbol follows a distribution
that encoder and decoder must agree on to the last bit, so everything here is integers (`primitives.learned.integer`,
`primitives.entropy.tables`, `primitives.entropy.integer_gaussian`). `ProbabilityModel.of` makes them of the float
network, once; as far as machines might differ in that, they are stored with the weights.

**One walk.** A model asks for symbols batch by batch, in coding order: all of z, then y, either all at once or one
wavefront after the other. Every batch comes with its distributions, which may depend on all symbols before it. Who
answers decides what the walk does; the model is the same code each time::

    quantizing     symbols = round(latents - offset)              the encoder
    decoding       symbols = what the coder reads for these distributions
    dequantizing   symbols = those that are there already

Pictures of one size walk together where there are several: each answers for itself, and the networks, which see
all of them at once, take the time of fewer steps.

**Orders.** A context model that sees what is above and to the left goes in wavefronts, one that sees a checkerboard's
anchors in two steps (`primitives.entropy.wavefronts`).

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
from .networks import FactorizedNetwork, Network

#: Fraction bits of what the parameter network takes.
FEATURE_BITS = FRACTION_BITS + 2

#: Probability beyond the window of a prior's table, at most, and what each of its tails has at least.
TAIL_MASS, TAIL_FLOOR = 1e-5, 2.0**-16

#: A prior's table has a bin for so many symbols at most to either side of the median.
WIDEST = 2048

#: Qualities of networks with gain units are multiples of 1/LEVEL_STEPS.
LEVEL_STEPS = 8

#: Number of parameters of a mixture.
_MIXTURE = 3 * COMPONENTS


@dataclass(frozen=True, eq=False)
class Tabled:
    """Symbols that follow tables: `indices` (any shape) says which table each."""

    tables: FrequencyTables
    indices: np.ndarray

    def put(self, encoder: LatentEncoder, symbols: np.ndarray) -> None:
        """Append symbols of the indices' shape to a stream."""
        encoder.put(symbols, self.indices, self.tables)

    def get(self, decoder: LatentDecoder) -> np.ndarray:
        """The next symbols of a stream."""
        return decoder.get(self.indices, self.tables)

    def for_mixing(self) -> Distributions:
        """The distributions as the context-mixing coder takes them."""
        return of_tables(self.indices.reshape(-1, self.indices.shape[-1]), self.tables)

    def bits(self, symbols: np.ndarray) -> np.ndarray:
        """What each symbol costs."""
        return self.tables.bits(symbols, self.indices)

    def deviations(self) -> np.ndarray:
        """The standard deviation of each symbol's distribution."""
        return self.tables.deviations()[self.indices]


@dataclass(frozen=True, eq=False)
class Mixed:
    """Symbols [n,M] that follow a mixture each, numbered row by row."""

    mixture: Mixture
    shape: tuple[int, ...]

    def put(self, encoder: LatentEncoder, symbols: np.ndarray) -> None:
        """Append symbols of that shape to a stream."""
        encoder.put_mixture(symbols.ravel(), self.mixture)

    def get(self, decoder: LatentDecoder) -> np.ndarray:
        """The next symbols of a stream."""
        return decoder.get_mixture(self.mixture).reshape(self.shape)

    def for_mixing(self) -> Distributions:
        """The distributions as the context-mixing coder takes them."""
        return of_mixture(self.mixture)

    def bits(self, symbols: np.ndarray) -> np.ndarray:
        """What each symbol costs."""
        return self.mixture.bits(symbols.ravel()).reshape(self.shape)

    def deviations(self) -> np.ndarray:
        """The standard deviation of each symbol's distribution."""
        return self.mixture.deviations().reshape(self.shape)


@dataclass(frozen=True, eq=False)
class Batch:
    """Symbols that are coded together.

    Attributes:
        plane: 0 for y, 1 for z.
        where: index of the positions in the plane.
        distribution: what the symbols follow.
        offset: what latents are rounded around, in units of 2^-8; it broadcasts to the symbols' shape.
        order: the channels in the order that suits adaptive coding, the least certain first; None for that of their
            numbers, where every position has distributions of its own.
    """

    plane: int
    where: tuple
    distribution: Tabled | Mixed
    offset: np.ndarray | int
    order: np.ndarray | None = None

    def mix(self, coder: MixingEncoder | MixingDecoder, shape: tuple[int, ...], *symbols: np.ndarray):
        """Put the symbols with context mixing, or get them.

        Args:
            coder: an encoder, which is given the symbols, or a decoder.
            shape: of the plane.
        """
        everywhere = self.where is _EVERYWHERE
        where = np.indices(shape[:2]).reshape(2, -1) if everywhere else self.where
        distributions = self.distribution.for_mixing()
        if symbols:
            return coder.put(self.plane, where, symbols[0].reshape(-1, shape[2]), distributions, self.order)
        found = coder.get(self.plane, where, distributions, self.order)
        return found.reshape(shape) if everywhere else found


_EVERYWHERE = (slice(None), slice(None))


@dataclass(frozen=True, eq=False)
class Walk:
    """What a walk found.

    Attributes:
        symbols: of y, int32 [h,w,M], and where there is a hyperprior of z, int32 [h/4,w/4,N].
        latents: ŷ in units of 2^-8, int64 [h,w,M].
        batches: (batch, its symbols) in coding order.
    """

    symbols: tuple[np.ndarray, ...]
    latents: np.ndarray
    batches: tuple[tuple[Batch, np.ndarray], ...]

    def encode(self) -> bytes:
        """All symbols as one stream."""
        encoder = LatentEncoder()
        for batch, symbols in self.batches:
            batch.distribution.put(encoder, symbols)
        return encoder.getvalue()

    def encode_mixed(self, measure: bool = False, experience: Sequence[Experience] = ()) -> MixingEncoder:
        """All symbols in a context-mixing encoder.

        Args:
            measure: whether it is to note what each of them takes.
            experience: what it begins the first planes with.
        """
        encoder = MixingEncoder([plane.shape for plane in self.symbols], measure, experience)
        for batch, symbols in self.batches:
            batch.mix(encoder, self.symbols[batch.plane].shape, symbols)
        return encoder

    def bits(self) -> tuple[np.ndarray, ...]:
        """What each symbol costs in bits, float64, in the shapes of `symbols` (without escapes behind a tail)."""
        return self._gather(lambda batch, symbols: batch.distribution.bits(symbols))

    def deviations(self) -> tuple[np.ndarray, ...]:
        """The standard deviation that was predicted for each symbol, float64, in the shapes of `symbols`."""
        return self._gather(lambda batch, _: batch.distribution.deviations())

    def _gather(self, function):
        planes = tuple(np.empty(plane.shape) for plane in self.symbols)
        for batch, symbols in self.batches:
            planes[batch.plane][batch.where] = function(batch, symbols)
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
    >>> walk = model.walk(4, 8, lambda batch: np.ones_like(batch.distribution.indices, np.int32))
    >>> [plane.shape for plane in walk.symbols]
    [(4, 8, 4), (1, 2, 4)]
    >>> decoder = LatentDecoder(walk.encode())
    >>> decoded = model.walk(4, 8, lambda batch: batch.distribution.get(decoder))
    >>> bool((decoded.latents == walk.latents).all())
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

    def walk(self, height: int, width: int, symbols_of: Callable[[Batch], np.ndarray], level: int = 0) -> Walk:
        """Go through all latents of a picture in coding order.

        Args:
            height, width: of y; multiples of 4 where there is a hyperprior.
            symbols_of: gives the symbols of each batch.
            level: the gain level, for priors that depend on it.
        """
        return self.walk_many(height, width, [symbols_of], level)[0]

    def walk_many(
        self, height: int, width: int, answers: Sequence[Callable[[Batch], np.ndarray]], level: int = 0
    ) -> list[Walk]:
        """The walks through several pictures of one size and gain level, each with its `symbols_of`, in step."""
        levels, width_of_prior = self.medians.shape
        level = level if levels > 1 else 0
        medians = self.medians[level]
        prior_tables = np.arange(level * width_of_prior, (level + 1) * width_of_prior)
        batches: list[list] = [[] for _ in answers]

        def ask(plane, where, distributions, order=None):
            """The symbols of every picture, for its (distribution, offset), and the latents that they stand for."""
            symbols, latents = [], []
            for answer, kept, (distribution, offset) in zip(answers, batches, distributions, strict=True):
                batch = Batch(plane, where, distribution, offset, order)
                symbols.append(answer(batch))
                latents.append(uncenter(symbols[-1], offset))
                kept.append((batch, symbols[-1]))
            return np.stack(symbols), np.stack(latents)

        def ask_prior(plane, rows, columns):
            indices = np.broadcast_to(prior_tables, (rows, columns, width_of_prior))
            order = np.argsort(self.prior.frequency(np.zeros_like(prior_tables), prior_tables), kind="stable")
            return ask(plane, _EVERYWHERE, [(Tabled(self.prior, indices), medians)] * len(answers), order)

        def walks(latents, *planes):
            found = zip(zip(*planes, strict=True), latents, batches, strict=True)
            return [Walk(symbols, y_hat, tuple(kept)) for symbols, y_hat, kept in found]

        if self.h_s is None:
            y, latents = ask_prior(0, height, width)
            return walks(latents, y)

        z, z_hat = ask_prior(1, height // 4, width // 4)
        features = self.h_s(torch.from_numpy(z_hat).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        if self.context is None:
            y, latents = ask(0, _EVERYWHERE, map(self._distribution, features.cpu().numpy()))
            return walks(latents, y, z)

        y = np.empty((len(answers), height, width, self.channels), np.int32)
        latents = np.empty(y.shape, np.int64)
        canvas, margin = self.context.canvas(len(answers), height, width), self.context.layers[0].padding
        order = checkerboard(height, width) if self.two_steps else wavefront(height, width, kernel=2 * margin + 1)
        for step, where in enumerate(order):
            rows, columns = (torch.from_numpy(axis).to(canvas.device) for axis in where)
            context = self.context.at(canvas, rows, columns)
            if self.two_steps and step == 0:
                context = torch.zeros_like(context)  # anchors see nothing, not even the convolution's bias
            both = torch.cat((features[:, rows, columns], context), dim=2)
            parameters = self.combine.rows(both.flatten(0, 1)).view(*both.shape[:2], -1)
            here = (slice(None), *where)
            y[here], latents[here] = ask(0, where, map(self._distribution, parameters.cpu().numpy()))
            canvas[:, rows + margin, columns + margin] = torch.from_numpy(latents[here]).to(canvas)
        return walks(latents, y, z)

    def to(self, device) -> "ProbabilityModel":
        """The same model with its networks on another device."""
        networks = {name: getattr(self, name) for name in ("h_s", "context", "combine")}
        return dataclasses.replace(self, **{name: net and net.to(device) for name, net in networks.items()})

    def _distribution(self, parameters):
        """Distributions of y, and offsets, from a network's output [..., parameters·M]."""
        if self.parameters < _MIXTURE:
            scales, *means = np.split(parameters, self.parameters, axis=-1)
            return Tabled(gaussian_tables(), scale_index(scales)), means[0] if means else 0
        *positions, _ = parameters.shape
        kinds = parameters.reshape(-1, 3, COMPONENTS, self.channels).transpose(1, 0, 3, 2).reshape(3, -1, COMPONENTS)
        return Mixed(Mixture.from_logits(*kinds), (*positions, self.channels)), 0

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
        if isinstance(network, FactorizedNetwork):
            prior, medians = prior_tables(network.entropy_bottleneck, gain_levels(network))
            return cls(medians.shape[1], 0, prior, medians)
        prior, medians = prior_tables(network.entropy_bottleneck)
        ys = [y for picture in pictures for y in _latents(network, picture)]
        z_hats = [network.entropy_bottleneck.quantize(network.hyper_analysis(y)) for y in ys]
        if not ys:
            raise ValueError("export needs a few typical pictures to see how large activations become")
        channels = ys[0].shape[1]
        if not hasattr(network, "context_prediction"):
            h_s = quantize_network(network.h_s, z_hats)
            return cls(channels, h_s.layers[-1].output_channels // channels, prior, medians, h_s)
        if not isinstance(network.context_prediction, MaskedConv2d | CheckerboardConv2d):
            raise ValueError(f"{type(network).__name__} has no coder: its context model is no masked convolution")
        contexts = [network.context_prediction(y.round()) for y in ys]
        both = [torch.cat((network.h_s(z), context), 1) for z, context in zip(z_hats, contexts, strict=True)]
        combine = quantize_network(network.entropy_parameters, both, input_bits=FEATURE_BITS)
        return cls(
            channels,
            combine.layers[-1].output_channels // channels,
            prior,
            medians,
            quantize_network(network.h_s, z_hats, output_bits=FEATURE_BITS),
            quantize_network([network.context_prediction], [y.round() for y in ys], output_bits=FEATURE_BITS),
            combine,
            isinstance(network.context_prediction, CheckerboardConv2d),
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
        for name, modules in _modules(network).items():
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
        for name, modules in _modules(network).items():
            part = {key[len(name) + 1 :]: value for key, value in state.items() if key.startswith(f"{name}.")}
            networks[name] = IntegerNetwork.from_state(part, modules)
        return cls(channels, parameters, prior, medians, **networks, two_steps=bool(two_steps))


def _modules(network):
    """The float layers behind each integer network that a model has."""
    names = {"h_s": "h_s", "context": "context_prediction", "combine": "entropy_parameters"}
    found = {name: getattr(network, attribute, None) for name, attribute in names.items()}
    return {name: modules for name, modules in found.items() if modules is not None}


def _latents(network, picture):
    """The latents of a picture, at the lowest and the highest quality where the network has several."""
    if not hasattr(network, "gain"):
        return [network.analysis(picture)]
    return [network.latents(picture, quality) for quality in (1, network.LEVELS)]


def gain_levels(network: Network) -> np.ndarray | None:
    """The gains of every level that a stream can name, float64 [levels, channels]; None without gain units.

    Level l is the quality 1 + l / LEVEL_STEPS.
    """
    if not hasattr(network, "gain"):
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
