"""The factorized prior: a learned density for each channel, of any shape.

Latents without side information are modelled as independent, all values of a channel with the same density. Instead of
a parametric family, its cumulative distribution c(x) is a small network from one number to one number that can only
rise and runs from 0 to 1:

    c = sigmoid ∘ f_5 ∘ … ∘ f_1
    f_k(x) = g_k(H_k x + b_k),    g_k(x) = x + a_k ⊙ tanh(x),    f_5 without g

with H_k = softplus(Ĥ_k) > 0 and a_k = tanh(â_k) > -1, so every step is increasing; the widths are 1-3-3-3-3-1, or
others. The names here are CompressAI's: `matrices` Ĥ, `biases` b, `factors` â.

Trained with additive noise, the density is that of a latent convolved with a box of width 1, so the probability of a
whole number (plus any offset) is a difference of c half a step to both sides:

    p(ŷ) = c(ŷ + ½) - c(ŷ - ½)

**At every rate.** A codec of variable rate scales its latents by a gain g before they are rounded (`gain` in
`primitives.learned`), which is to quantize y itself with steps of 1/g. The density of y is the same at all rates, only
the intervals differ, so one c serves them all, exactly:

    p(ŷ) = c((ŷ + ½)/g) - c((ŷ - ½)/g)        for ŷ = round(g·y)

When coding, latents are rounded around the *median* of their channel, which meets the most probable value. Median and
tails of a density are where its logit f(x) crosses 0 and ±log(2/tail - 1): f rises, so bisection finds them to full
precision, without an auxiliary loss and its optimizer.

Source: J. Ballé, D. Minnen, S. Singh, S. J. Hwang, N. Johnston, "Variational image compression with a scale
hyperprior", ICLR 2018, appendix 6.1.
"""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..learned.lower_bound import LowerBound
from ..learned.quantize import add_noise, in_float32, round_around

#: Smallest probability that a likelihood reports: 30 bits for a value.
LIKELIHOOD_BOUND = 1e-9
#: Probability outside the outer quantiles, both sides together.
TAIL_MASS = 1e-9

#: Widths of small networks: four steps of one number each.
NARROW = (1, 1, 1, 1, 1)

_WIDTHS = (1, 3, 3, 3, 3, 1)
_INIT_SCALE = 10.0  # the densities start about this wide
_SEARCH_RADIUS = 2.0**20


class FactorizedPrior(nn.Module):
    """A density for each channel of [N,C,…].

    Args:
        channels: C.
        widths: of a channel's network, from 1 to 1. Published video codecs have `NARROW` ones, 11 parameters a channel
            instead of 58.

    Attributes:
        matrices, biases, factors: the parameters of every channel's network, [C,out,in], [C,out,1] and [C,out,1].
        quantiles: lower tail, median and upper tail of every channel, a buffer [C,1,3]. `update_quantiles` computes
            them; rounding uses the medians as they are (any offset is a legal one, so stale ones only cost rate).

    >>> _ = torch.manual_seed(0)
    >>> prior = FactorizedPrior(2).eval()
    >>> y_hat, likelihoods = prior(torch.tensor([[[0.2, 7.6], [-3.4, 0.0]]]))
    >>> y_hat
    tensor([[[ 0.,  8.],
             [-3.,  0.]]])
    >>> bits = -likelihoods.log2().sum()
    """

    def __init__(self, channels: int, widths: tuple[int, ...] = _WIDTHS):
        super().__init__()
        self.matrices, self.biases, self.factors = nn.ParameterList(), nn.ParameterList(), nn.ParameterList()
        scale = _INIT_SCALE ** (1 / (len(widths) - 1))
        for width_in, width_out in itertools.pairwise(widths):
            softplus_inverse = math.log(math.expm1(1 / (scale * width_out)))
            self.matrices.append(nn.Parameter(torch.full((channels, width_out, width_in), softplus_inverse)))
            self.biases.append(nn.Parameter(torch.empty(channels, width_out, 1).uniform_(-0.5, 0.5)))
        for width in widths[1:-1]:
            self.factors.append(nn.Parameter(torch.zeros(channels, width, 1)))
        self.register_buffer("quantiles", torch.tensor([-_INIT_SCALE, 0, _INIT_SCALE]).repeat(channels, 1, 1))
        tail = math.log(2 / TAIL_MASS - 1)
        self.register_buffer("target", torch.tensor([-tail, 0, tail]))
        self.likelihood_lower_bound = LowerBound(LIKELIHOOD_BOUND)

    @property
    def channels(self) -> int:
        """Number of channels C."""
        return self.quantiles.shape[0]

    @property
    def medians(self) -> Tensor:
        """The offsets that rounding uses [C]."""
        return self.quantiles[:, 0, 1]

    def forward(self, y: Tensor, gain: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Quantized values and their likelihoods, both of the shape [N,C,…] of `y`.

        In training the values carry uniform noise, otherwise they are rounded around the medians as in coding.

        Args:
            y: latents, already multiplied by `gain`.
            gain: what they were multiplied by, [C] or for each picture [N,C]; None for 1.
        """
        y_hat = add_noise(y) if self.training else self.quantize(y, gain)
        return y_hat, self.likelihood(y_hat, gain)

    def quantize(self, y: Tensor, gain: Tensor | None = None) -> Tensor:
        """`y` [N,C,…], scaled by `gain`, rounded around the medians scaled as much, straight through."""
        medians = self.medians if gain is None else self.medians * gain
        return round_around(y, medians.reshape(*medians.shape, *[1] * (y.ndim - 2)))

    @in_float32
    def likelihood(self, y_hat: Tensor, gain: Tensor | None = None) -> Tensor:
        """Probability of the unit interval around each value of [N,C,…], at least `LIKELIHOOD_BOUND`.

        >>> prior = FactorizedPrior(1)
        >>> halves = prior.likelihood(torch.tensor([[[-0.5, 0.5]]]), gain=torch.tensor([2.0]))   # of -½ … 0 and 0 … ½
        >>> bool(torch.isclose(halves.sum(), prior.likelihood(torch.zeros(1, 1, 1))))
        True
        """
        channels_first = y_hat.transpose(0, 1)
        values, half = channels_first.reshape(self.channels, 1, -1), 0.5
        if gain is not None:
            steps = gain.reciprocal().reshape(*gain.shape, *[1] * (y_hat.ndim - 2)).expand_as(y_hat)
            steps = steps.transpose(0, 1).reshape(values.shape)
            values, half = values * steps, half * steps
        lower, upper = self.logits(values - half), self.logits(values + half)
        # sigmoid(upper) - sigmoid(lower), on the side of zero where sigmoids are small and keep their precision
        side = torch.where(lower + upper > 0, -1.0, 1.0)
        probability = torch.abs(torch.sigmoid(side * upper) - torch.sigmoid(side * lower))
        return self.likelihood_lower_bound(probability).reshape(channels_first.shape).transpose(0, 1)

    def cdf(self, values: Tensor) -> Tensor:
        """Cumulative distribution c of each channel at `values` [C,L] (or [1,L] for all channels), as [C,L]."""
        return torch.sigmoid(self.logits(values[:, None]))[:, 0]

    def logits(self, values: Tensor) -> Tensor:
        """f(values) = log(c / (1 - c)) for [C,1,L]: what bisection and table builders work with."""
        return _logits(values, self.matrices, self.biases, self.factors)

    @torch.no_grad()
    def solve_quantiles(self, tail_mass: float = TAIL_MASS) -> Tensor:
        """Lower tail, median and upper tail of each channel by bisection, float64 [C,3].

        Tails leave half of `tail_mass` outside on each side. Values are sought within ±2²⁰.

        >>> prior = FactorizedPrior(4)
        >>> prior.cdf(prior.solve_quantiles(tail_mass=0.5).float()).detach()[0]
        tensor([0.2500, 0.5000, 0.7500])
        """
        network = [[p.double() for p in group] for group in (self.matrices, self.biases, self.factors)]
        tail = math.log(2 / tail_mass - 1)
        target = torch.tensor([-tail, 0.0, tail], dtype=torch.float64, device=self.quantiles.device)
        low = torch.full((self.channels, 1, 3), -_SEARCH_RADIUS, dtype=torch.float64, device=target.device)
        high = -low
        for _ in range(70):  # 2⁻⁴⁹ wide at the end, below the precision of float64 around 1
            middle = (low + high) / 2
            above = _logits(middle, *network) > target
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        return ((low + high) / 2)[:, 0]

    def update_quantiles(self) -> None:
        """Set `quantiles` to what the present density has; call it after training."""
        self.quantiles.copy_(self.solve_quantiles()[:, None])


def _logits(values, matrices, biases, factors):
    for k, (matrix, bias) in enumerate(zip(matrices, biases, strict=True)):
        values = F.softplus(matrix) @ values + bias
        if k < len(factors):
            values = values + torch.tanh(factors[k]) * torch.tanh(values)
    return values
