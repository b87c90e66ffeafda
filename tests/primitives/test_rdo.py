"""The trellises against trying every way of rounding, on blocks small enough for that."""

import itertools

import numpy as np
import pytest
from codeckit.primitives.quantizers.rdo import quantize_ac, quantize_dc, refit_steps
from hypothesis import given, settings
from hypothesis import strategies as st

ORDER = np.arange(64)


def block_bits(symbols, bits):
    """Bits of a block's AC symbols by JPEG's rules, written down anew."""
    total, run = 0.0, 0
    for value in symbols[1:]:
        if value == 0:
            run += 1
            continue
        size = int(abs(value)).bit_length()
        total += (run // 16) * bits[0xF0] + bits[(run % 16) << 4 | size] + size
        run = 0
    return total + (bits[0] if run else 0)


def every_rounding(values, steps):
    options = [[0]]
    for value, step in zip(values[1:], steps[1:], strict=True):
        nearest = int(abs(value) / step + 0.5)
        sign = 1 if value > 0 else -1
        options.append(sorted({0, sign * nearest, sign * max(nearest - 1, 0)}))
    return itertools.product(*options)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 60), st.integers(1, 5))
def test_no_rounding_of_a_block_is_a_better_buy(seed, rate_weight, present):
    rng = np.random.default_rng(seed)
    values = np.zeros((1, 64))
    values[0, rng.choice(np.arange(1, 64), present, replace=False)] = rng.laplace(0, 20, present)
    steps, bits = rng.integers(5, 20, 64).astype(float), rng.uniform(1, 12, 256)
    importance, spectrum = rng.uniform(0.3, 3, (1, 2)), rng.uniform(0.3, 3, (2, 64))
    weights = (importance @ spectrum)[0]

    def cost(symbols):
        error = values[0] - symbols * steps
        return float((weights * error**2)[1:].sum()) + rate_weight * block_bits(symbols, bits)

    out = np.zeros((1, 64), np.int16)
    quantize_ac(values, steps, ORDER, importance, spectrum, rate_weight, bits, False, out)
    least = min(cost(np.array(symbols)) for symbols in every_rounding(values[0], steps))
    assert cost(out[0]) == pytest.approx(least, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("rate_weight", [0.0, 5.0, 40.0])
def test_no_rounding_of_dc_is_a_better_buy(rate_weight):
    rng = np.random.default_rng(3)
    values, weights, bits = rng.normal(0, 60, 6), rng.uniform(0.5, 2, 6), rng.uniform(1, 9, 16)

    def cost(symbols):
        differences = np.diff(symbols, prepend=0)
        rate = sum(bits[int(abs(d)).bit_length()] + int(abs(d)).bit_length() for d in differences)
        return float((weights * (values - 10.0 * np.array(symbols)) ** 2).sum()) + rate_weight * rate

    nearest = np.floor(values / 10 + 0.5).astype(int)
    least = min(cost(nearest + np.array(moved)) for moved in itertools.product((-1, 0, 1), repeat=6))
    assert cost(quantize_dc(values, 10.0, weights, rate_weight, bits)) == pytest.approx(least)


def test_shared_ends_of_blocks_empty_more_blocks():
    """Where blocks that end share a symbol, a lone small value costs a symbol more."""
    rng = np.random.default_rng(4)
    values = rng.laplace(0, 12, (200, 64)) * (rng.random((200, 64)) < 0.03)
    bits, counts = np.full(256, 5.0), []
    for runs in False, True:
        out = np.zeros((200, 64), np.int16)
        quantize_ac(values, np.full(64, 10.0), ORDER, np.ones((200, 1)), np.ones((1, 64)), 6.0, bits, runs, out)
        counts.append(int((out[:, 1:] != 0).any(1).sum()))
    assert 0 < counts[1] < counts[0]


def test_long_runs_and_empty_pictures():
    out = np.ones((70000, 64), np.int16)
    values = np.zeros((70000, 64))
    quantize_ac(values, np.ones(64), ORDER, np.ones((70000, 1)), np.ones((1, 64)), 1.0, np.full(256, 3.0), True, out)
    assert not out[:, 1:].any() and out[:, 0].all()


def test_refitted_steps_are_the_best_integers():
    rng = np.random.default_rng(5)
    values, symbols = rng.normal(0, 50, (40, 64)), rng.integers(-2, 3, (40, 64)).astype(np.int16)
    values += 13 * symbols
    symbols[:, 7] = 0
    weights = rng.uniform(0.5, 2, (40, 2)), rng.uniform(0.5, 2, (2, 64))
    steps = refit_steps([(values, symbols, *weights)], np.full(64, 9.0))

    def errors(steps):
        return ((weights[0] @ weights[1]) * (values - symbols * steps) ** 2).sum(0)

    assert steps[7] == 9
    for other in steps - 1, steps + 1:
        assert (errors(steps) <= errors(other) + 1e-9).all()
