"""Likelihoods of learned entropy models against scipy's distributions in float64, and as probabilities."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from codeckit.primitives.entropy import FactorizedPrior, GaussianConditional, GaussianMixture, LaplaceConditional
from codeckit.primitives.entropy.factorized import NARROW
from codeckit.primitives.entropy.mixture import MixtureParameters, split_parameters
from hypothesis import given, settings
from hypothesis import strategies as st

BOUND = 1e-9


def trained_prior(seed, channels=3):
    """A prior whose parameters are some steps away from where they start."""
    torch.manual_seed(seed)
    prior = FactorizedPrior(channels).eval()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.7)
    return prior


def cumulative(prior, values):
    """c(values) of each channel, [C,L] in float64, written out in numpy."""
    matrices, biases, factors = (
        [p.detach().double().numpy() for p in group] for group in (prior.matrices, prior.biases, prior.factors)
    )
    x = np.broadcast_to(values, (prior.channels, 1, np.size(values)))
    for k in range(5):
        x = np.logaddexp(0, matrices[k]) @ x + biases[k]
        x = x + np.tanh(factors[k]) * np.tanh(x) if k < 4 else x
    return scipy.special.expit(x[:, 0]), scipy.special.expit(-x[:, 0])


seeds = st.integers(0, 2**31)


@given(seeds)
@settings(max_examples=30)
def test_density_rises_from_0_to_1(seed):
    prior, values = trained_prior(seed), np.linspace(-1000, 1000, 401)
    c = prior.cdf(torch.tensor(values)[None].float()).detach().double().numpy()
    assert (np.diff(c) >= -1e-6).all()
    np.testing.assert_allclose(c, cumulative(prior, values)[0], atol=2e-4)  # float32 values, steep densities


@given(seeds, st.floats(-0.5, 0.5))
@settings(max_examples=30)
def test_factorized_likelihoods_sum_to_1(seed, offset):
    prior = trained_prior(seed)
    lower, _, upper = prior.solve_quantiles(1e-6).T
    first, last = int(lower.min()) - 2, int(upper.max()) + 2
    grid = torch.arange(max(first, -20_000), min(last, 20_000) + 1) + offset
    total = prior.likelihood(grid.float().expand(1, 3, -1)).double().sum(-1)
    assert ((total - 1).abs() < 1e-3).all()


@given(seeds)
@settings(max_examples=30)
def test_factorized_likelihood_is_precise_in_both_tails(seed):
    prior = trained_prior(seed)
    values = torch.cat([prior.solve_quantiles(tail) for tail in (1e-3, 1e-5, 1e-7)], dim=1).round().float()
    mine = prior.likelihood(values[None])[0].detach().double().numpy()
    for channel, row in enumerate(values.double().numpy()):
        low, up = cumulative(prior, row - 0.5), cumulative(prior, row + 0.5)
        expected = np.where(up[0] < 0.5, up[0] - low[0], low[1] - up[1])[channel]
        # What float32 does to a logit of size 20 is relative to the probabilities on both sides of the interval.
        near = np.minimum(up[0], low[1])[channel]
        assert (np.abs(mine[channel] - np.maximum(expected, BOUND)) <= 1e-4 * near + BOUND).all()


@given(seeds, st.sampled_from([0.5, 1e-3, 1e-9]))
@settings(max_examples=30)
def test_quantiles_hold_their_share(seed, tail_mass):
    prior = trained_prior(seed)
    quantiles = prior.solve_quantiles(tail_mass).numpy()
    for channel, (lower, median, upper) in enumerate(quantiles):
        below, above = cumulative(prior, np.array([lower, median, upper]))
        np.testing.assert_allclose(below[channel, :2], [tail_mass / 2, 0.5], rtol=1e-6)
        np.testing.assert_allclose(above[channel, 1:], [0.5, tail_mass / 2], rtol=1e-6)


def test_update_quantiles():
    prior = trained_prior(1)
    prior.update_quantiles()
    np.testing.assert_allclose(prior.medians, prior.solve_quantiles()[:, 1], rtol=1e-6)
    y_hat, _ = prior(torch.randn(2, 3, 4, 5) * 5)
    steps = (y_hat - prior.medians[:, None, None]).detach()
    torch.testing.assert_close(steps, steps.round(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 4, 5), (2, 3, 2, 2, 2)])
def test_factorized_channels_are_independent(shape):
    prior, values = trained_prior(2), torch.randn(*shape) * 4
    together = prior.likelihood(values)
    assert together.shape == shape
    expected = cumulative(prior, values.double().numpy().ravel() + 0.5)[0]
    expected = (expected - cumulative(prior, values.double().numpy().ravel() - 0.5)[0]).reshape(3, *shape)
    for channel in range(3):
        np.testing.assert_allclose(together[:, channel].detach(), expected[channel][:, channel], atol=1e-5)


def test_factorized_noise_in_training_only():
    prior, y = trained_prior(3), torch.zeros(1, 3, 50)
    assert prior(y)[0].unique().numel() <= 3
    assert prior.train()(y)[0].unique().numel() > 100


# --- Gaussians


distances = st.floats(-6, 6, width=32)
scales = st.floats(1 / 64, 50, width=32)


@given(distances, st.floats(-3, 3, width=32), scales)
def test_gaussian_is_the_mass_of_an_interval(value, mean, scale):
    mine = GaussianConditional().likelihood(*map(torch.tensor, (value, scale, mean)))
    sigma, distance = max(scale, 0.11), abs(value - mean)
    expected = scipy.stats.norm.sf(distance - 0.5, scale=sigma) - scipy.stats.norm.sf(distance + 0.5, scale=sigma)
    assert float(mine) == pytest.approx(max(expected, BOUND), rel=2e-4, abs=1e-12)


@given(st.floats(-3, 3, width=32), st.floats(1 / 64, 16, width=32))
def test_gaussian_sums_to_1(mean, scale):
    grid = torch.arange(-200.0, 201.0)
    total = GaussianConditional().likelihood(grid, torch.tensor(scale), torch.tensor(mean)).double().sum()
    assert float(total) == pytest.approx(1, abs=1e-5)


def test_scale_below_the_bound_can_rise():
    scale = torch.tensor([0.01], requires_grad=True)
    (-GaussianConditional().likelihood(torch.tensor([1.0]), scale).log()).sum().backward()
    assert scale.grad.isfinite().all()
    scale = torch.tensor([0.5], requires_grad=True)
    (-GaussianConditional().likelihood(torch.tensor([3.0]), scale).log()).sum().backward()
    assert float(scale.grad) < 0  # a value far away asks for a larger scale


# --- mixtures


def mixture_of(seed, extent=6):
    features = torch.randn(1, 9 * 2, 3, extent, generator=torch.Generator().manual_seed(seed)) * 2
    return features, split_parameters(features)


@given(seeds)
@settings(max_examples=30)
def test_mixture_sums_to_1(seed):
    _, (weights, means, scales_) = mixture_of(seed, extent=1)
    grid = torch.arange(-60.0, 61.0).expand(1, 2, 3, -1)
    total = GaussianMixture().likelihood(grid, MixtureParameters(weights, means, scales_)).double().sum(-1)
    assert ((total - 1).abs() < 1e-5).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(1, 2, 3, 1))


@given(seeds)
@settings(max_examples=30)
def test_mixture_is_the_weighted_sum(seed):
    features, parameters = mixture_of(seed)
    y = torch.randn(1, 2, 3, 6, generator=torch.Generator().manual_seed(seed)) * 3
    mine = GaussianMixture().likelihood(y, parameters)
    raw = features.double().numpy().reshape(3, 3, 2, 3, 6)  # what, component, channel, row, column
    weights, means, sigma = scipy.special.softmax(raw[0], axis=0), raw[1], np.maximum(raw[2], 0.11)
    edges = y.double().numpy() + np.array([0.5, -0.5])[:, None, None, None, None]
    upper, lower = (scipy.stats.norm.cdf(edge, means, sigma) for edge in edges)
    expected = np.maximum((weights * (upper - lower)).sum(0), BOUND)
    np.testing.assert_allclose(mine[0], expected, rtol=2e-4, atol=1e-7)


def test_mixture_of_equals_is_a_gaussian():
    y, mean, scale = torch.randn(3, 1, 2, 4, 5).unbind(0)
    repeat = [t[:, None].expand(-1, 3, -1, -1, -1) for t in (torch.zeros_like(y) + 1 / 3, mean, scale)]
    mixture = GaussianMixture().likelihood(y, MixtureParameters(*repeat))
    torch.testing.assert_close(mixture, GaussianConditional().likelihood(y, scale, mean))


def test_mixture_refuses_channels_that_do_not_split():
    with pytest.raises(ValueError, match="10 channels"):
        split_parameters(torch.zeros(1, 10, 2, 2))


def test_gradients_reach_every_parameter():
    features = torch.cat((torch.randn(1, 12, 4, 4), torch.rand(1, 6, 4, 4) + 0.5), dim=1).requires_grad_()
    y = torch.randn(1, 2, 4, 4, requires_grad=True)
    _, likelihood = GaussianMixture()(y, split_parameters(features))
    likelihood.log().sum().backward()
    assert (features.grad != 0).all() and (y.grad != 0).all()
    prior = FactorizedPrior(2)
    prior(torch.randn(4, 2, 8, 8))[1].log().sum().backward()
    assert all((parameter.grad != 0).all() for parameter in prior.parameters())


def test_a_gain_is_a_step_size():
    """Probabilities of scaled and rounded latents are those of intervals of the density before scaling."""
    prior = trained_prior(5)
    gain = torch.tensor([[0.1, 0.7, 1.0], [2.0, 0.3, 1.5]])
    symbols = torch.arange(-40, 41).float().repeat(2, 3, 1)
    offset = prior.medians * gain
    y_hat = symbols + offset[..., None]
    assert torch.allclose(prior.quantize(y_hat + 0.4, gain), y_hat, atol=1e-4)
    likelihood = prior.likelihood(y_hat, gain).detach().double().numpy()
    for i in range(2):
        for c in range(3):
            edges = (np.arange(-40, 42) - 0.5 + float(offset[i, c])) / float(gain[i, c])
            expected = np.diff(cumulative(prior, edges)[0][c])
            np.testing.assert_allclose(likelihood[i, c], np.maximum(expected, BOUND), rtol=2e-3, atol=1e-7)
    assert torch.equal(prior.likelihood(y_hat, torch.ones(3)), prior.likelihood(y_hat))


def test_likelihoods_have_single_precision_under_autocast():
    prior, y = trained_prior(6), torch.randn(2, 3, 20) * 5
    mixture = MixtureParameters(*torch.rand(3, 2, 3, 3, 20).unbind())
    models = {
        "factorized": lambda: prior.likelihood(y, gain=torch.full((3,), 0.5)),
        "gaussian": lambda: GaussianConditional().likelihood(y, y.abs() + 0.3, y.neg()),
        "mixture": lambda: GaussianMixture().likelihood(y, mixture),
    }
    for name, likelihood in models.items():
        with torch.autocast("cpu", torch.bfloat16):
            half = likelihood()
        assert half.dtype == torch.float32 and torch.equal(half, likelihood()), name


# --- Laplace


@given(st.floats(0.06, 30), st.floats(-3, 3), st.integers(-12, 12))
def test_laplace_is_scipys(scale, mean, value):
    y_hat, scales, means = (torch.tensor([float(number)]) for number in (value, scale, mean))
    bits = float(LaplaceConditional().bits(y_hat, scales, means))
    law = scipy.stats.laplace(mean, scale)
    distance = abs(value - mean)  # on the lower side of the mean the distribution function is precise
    mass = law.cdf(mean - distance + 0.5) - law.cdf(mean - distance - 0.5)
    assert bits == pytest.approx(-np.log2(mass), rel=1e-3, abs=1e-4)


def test_laplace_far_from_its_mean_is_finite_and_pulls():
    laplace, scales = LaplaceConditional(), torch.tensor([-3.0, 0.0, 0.2], requires_grad=True)
    y_hat = torch.full((3,), 1e4, requires_grad=True)
    bits = laplace.bits(y_hat, scales)
    bits.sum().backward()
    assert bits.isfinite().all()
    assert (y_hat.grad > 0).all()
    assert (scales.grad < 0).all()  # a wider distribution costs less, below the bound as well


def test_laplace_of_whole_numbers_is_a_distribution():
    numbers = torch.arange(-300.0, 301)
    for scale, mean in ((0.01, 0.3), (1.0, 0.0), (10.0, -0.4)):
        bits = LaplaceConditional().bits(numbers, torch.full_like(numbers, scale), torch.full_like(numbers, mean))
        assert float((-bits).exp2().sum()) == pytest.approx(1, abs=1e-4)


def test_narrow_densities():
    torch.manual_seed(0)
    prior = FactorizedPrior(3, NARROW)
    assert sum(each.numel() for each in prior.parameters()) == 3 * 11
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.5)
        numbers = torch.arange(-5000.0, 5001).expand(1, 3, -1)
        assert torch.allclose(prior.likelihood(numbers).sum(-1), torch.ones(1, 3), atol=1e-3)
    assert prior.cdf(prior.solve_quantiles(0.5).float())[:, 1].tolist() == pytest.approx([0.5] * 3, abs=1e-4)
