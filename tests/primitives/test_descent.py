"""Descent in whole steps: the cost never rises, and never below what is possible."""

import itertools

import numpy as np
from codeckit.primitives.quantizers.descent import descend
from hypothesis import given, settings
from hypothesis import strategies as st


def bits(symbols):
    return 1.5 * np.abs(symbols) + 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 3))
def test_cost_falls_and_not_below_the_least(seed, rate_weight):
    rng = np.random.default_rng(seed)
    target, weights = rng.normal(0, 2, (2, 3, 2)), rng.uniform(0.5, 2, 2)

    def distortion(symbols):
        return (weights * (symbols - target) ** 2).sum((0, 2)), lambda: 2 * weights * (symbols - target)

    def cost(symbols):
        return distortion(symbols)[0].sum() + rate_weight * bits(symbols).sum()

    start = np.rint(target).astype(int)
    found = descend(start, distortion, bits, weights, rate_weight, 60, np.arange(3)[:, None])
    best = np.stack([weights * (s - target) ** 2 + rate_weight * bits(s) for s in range(-9, 10)]).min(0).sum()
    assert best - 1e-9 <= cost(found) <= cost(start) + 1e-9


def test_symbols_that_depend_on_each_other():
    rng = np.random.default_rng(1)
    mixing = rng.normal(0, 1, (12, 6))
    target = rng.normal(0, 4, 12)

    def distortion(symbols):
        error = mixing @ symbols - target
        return np.array([error @ error]), lambda: 2 * mixing.T @ error

    def cost(symbols):
        return distortion(symbols)[0].item() + 0.5 * bits(symbols).sum()

    start = np.rint(np.linalg.lstsq(mixing, target, rcond=None)[0]).astype(int)
    found = descend(start, distortion, bits, (mixing**2).sum(0), 0.5, 40)
    least = min(cost(start + np.array(move)) for move in itertools.product((-1, 0, 1), repeat=6))
    assert least - 1e-9 <= cost(found) <= cost(start)
    assert (descend(start, distortion, bits, (mixing**2).sum(0), 0.5, 0) == start).all()
