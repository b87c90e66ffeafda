"""The causal network: integers in both directions, inputs that only look back, and a code as short as it says."""

import numpy as np
import pytest
from codeckit.primitives.entropy import binary_coder
from codeckit.primitives.entropy.causal import CausalNetwork, inputs, training_inputs
from codeckit.training.causal import _forward, fit
from hypothesis import given, settings
from hypothesis import strategies as st

LEVELS = (9, 5, 3, 3)


def random_network(seed=0, scale=2000, levels=LEVELS):
    rng = np.random.default_rng(seed)
    sizes = (inputs(len(levels)), 6, 5, max(levels))
    tensors = {}
    for n in range(3):
        tensors[f"w{n + 1}"] = rng.integers(-scale, scale, (len(levels), *sizes[n : n + 2])).astype(np.int32)
        tensors[f"b{n + 1}"] = rng.integers(-(scale << 6), scale << 6, (len(levels), sizes[n + 1])).astype(np.int32)
    return CausalNetwork(levels, **tensors)


def random_symbols(seed, count, levels=LEVELS):
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(level, size=count) for level in levels], 1).astype(np.int32)


def code(network, symbols, grid):
    coder, data, state = binary_coder.new_encoder(), np.zeros(64, np.uint8), network.state(*symbols.shape)
    for d in range(symbols.shape[1]):
        data, _ = network.code(symbols, d, grid, state, coder, data, False)
    binary_coder.finish(coder, data)
    return data[: coder[binary_coder.POSITION]]


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 99), st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), st.sampled_from([10, 2000, 1 << 20])
)
def test_symbols_come_back(seed, rows, columns, count, scale):
    network, symbols = random_network(seed, scale), random_symbols(seed, rows * columns)[:, :count].copy()
    data = code(network, symbols, (rows, columns))
    coder, back = binary_coder.new_decoder(data), np.zeros_like(symbols)
    state = network.state(*symbols.shape)
    for d in range(count):
        _, intact = network.code(back, d, (rows, columns), state, coder, data, True)
        assert intact
    assert (back == symbols).all() and binary_coder.is_complete(coder, data)
    assert 8 * len(data) <= network.bits(symbols, (rows, columns)).sum() * 1.01 + 16


def test_inputs_look_back_only():
    grid, symbols = (3, 4), random_symbols(1, 12)
    before = training_inputs(symbols, grid, LEVELS)
    for n, d in ((5, 2), (0, 0), (11, 1)):
        changed = symbols.copy()
        changed[n, d] = (changed[n, d] + 1) % LEVELS[d]
        different = (training_inputs(changed, grid, LEVELS) != before).any(2)
        after = np.zeros_like(different)
        after[:, d + 1 :] = True
        after[n + 1 :, d] = True
        assert different.any() and not different[~after].any()


def test_one_input_by_hand():
    symbols = np.array([[4, 0, 1, 1], [8, 2, 2, 0], [0, 4, 1, 1], [5, 1, 0, 2]], np.int32)  # of a grid of 2 × 2
    x = training_inputs(symbols, (2, 2), LEVELS)[3, 2]  # the last position, third dimension
    own = [0 - 0, 1, 0, 0, 0, 0]  # left 1 − 1, above 2 − 1, diagonal 1 − 1; the others lie outside
    activity = [2, 0, 0, 2, 1, 0, 0, 0, 0]  # of dimension 1 alone: |0−2|, |2−2|; |4−2|, |1−2|
    first = [-4, 4, 0, 0, 2, 0, 0, 0] + [0] * 8  # dimension 0 left and above, dimension 1 left and above
    assert x.tolist() == own + activity + first + [1, -1, 0, 0]


def test_a_fitted_network_predicts_and_rounding_costs_little():
    rng = np.random.default_rng(0)
    base = np.cumsum(rng.integers(-1, 2, (24, 6, 6)), 2) % 9
    grids = np.stack([base, base % 5, rng.integers(0, 3, base.shape)], 3)
    network = fit(grids, (9, 5, 3), hidden=(12, 8), steps=120, batch=8)
    bits = np.mean([network.bits(grid.reshape(36, 3).astype(np.int32), (6, 6)).mean(0) for grid in grids], 0)
    assert bits[0] < 2.6 and bits[1] < 0.8 * np.log2(5) and 1.5 < bits[2] < 1.75  # a walk, a function of it, noise
    again = fit(grids, (9, 5, 3), hidden=(12, 8), steps=120, batch=8)
    assert all((a == b).all() for a, b in zip(network.tensors.values(), again.tensors.values(), strict=True))


def test_the_integer_network_is_the_float_network():
    torch = pytest.importorskip("torch")
    network, symbols = random_network(3, 1500), random_symbols(3, 30)
    x = torch.from_numpy(training_inputs(symbols, (5, 6), LEVELS).transpose(1, 0, 2).astype(np.float64))
    weights = [torch.from_numpy(network.tensors[f"w{n}"] / 2.0**12) for n in (1, 2, 3)]
    biases = [torch.from_numpy(network.tensors[f"b{n}"] / 2.0 ** (12 if n == 1 else 20)) for n in (1, 2, 3)]
    logits = _forward(x, weights, biases).numpy()
    bits = network.bits(symbols, (5, 6))
    for d, level in enumerate(LEVELS):
        own = logits[d, :, :level]
        p = 2 ** (own - own.max(1, keepdims=True))
        p = 1 + p / p.sum(1, keepdims=True) * (2**16 - level)  # every symbol has at least one unit of 2^-16
        expected = 16 - np.log2(p[np.arange(30), symbols[:, d]])
        assert np.abs(bits[:, d] - expected).max() < 0.1


def test_bad_networks_are_refused():
    network = random_network()
    with pytest.raises(ValueError, match="w2 of a causal network"):
        CausalNetwork(LEVELS, **{**network.tensors, "w2": network.w2[:, :3]})
    with pytest.raises(ValueError, match="b1 of a causal network"):
        CausalNetwork(LEVELS, **{**network.tensors, "b1": np.full_like(network.b1, 1 << 30)})
