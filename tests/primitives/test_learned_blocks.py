"""Building blocks of learned transforms against their formulas, computed in float64 by numpy."""

import numpy as np
import pytest
import torch
from codeckit.primitives.learned import (
    GDN,
    AttentionBlock,
    CheckerboardConv2d,
    GainUnit,
    LowerBound,
    MaskedConv2d,
    NonNegative,
    ResidualBlock,
    ResidualBlockUpsample,
    ResidualBlockWithStride,
    add_noise,
    anchors,
    gdn,
    relax,
    round_around,
    round_straight_through,
    subpixel_conv3x3,
)
from hypothesis import given
from hypothesis import strategies as st


def random_(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# --- GDN and its bounds


@pytest.mark.parametrize("inverse", [False, True])
def test_gdn_is_its_formula(inverse):
    layer, x = GDN(3, inverse=inverse), random_(2, 3, 4, 5)
    with torch.no_grad():
        layer.beta.copy_(layer.beta_reparam.inverse(torch.tensor([0.5, 1.0, 2.0])))
        layer.gamma.copy_(layer.gamma_reparam.inverse(torch.arange(9.0).reshape(3, 3) / 10))
        out = layer(x).double().numpy()
    gamma, beta, x = np.arange(9.0).reshape(3, 3) / 10, np.array([0.5, 1.0, 2.0]), x.double().numpy()
    norm = np.sqrt(beta[:, None, None] + np.einsum("ij,njhw->nihw", gamma, x**2))
    np.testing.assert_allclose(out, x * norm if inverse else x / norm, rtol=1e-5)


@given(st.floats(0, 1e4, width=32), st.sampled_from([0.0, 1e-6, 0.5]))
def test_nonnegative_pair(value, minimum):
    reparametrization = NonNegative(minimum)
    restored = reparametrization(reparametrization.inverse(torch.tensor([value])))
    assert float(restored) == pytest.approx(max(value, minimum), rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("inverse", [False, True])
def test_gdn_in_parts_is_gdn(inverse, monkeypatch):
    monkeypatch.setattr(gdn, "_CACHED", 64)
    layer, x = GDN(6, inverse=inverse), random_(2, 6, 5, 7)
    with torch.no_grad():
        parts = layer(x.to(memory_format=torch.channels_last))
    assert parts.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(parts, layer(x), rtol=1e-6)


def test_gdn_parameters_cannot_go_below_their_minimum():
    layer = GDN(2)
    optimizer = torch.optim.SGD(layer.parameters(), lr=10)
    for _ in range(5):
        optimizer.zero_grad()
        layer(random_(1, 2, 4, 4)).square().sum().neg().backward()  # larger outputs want smaller β and γ
        optimizer.step()
    assert (layer.beta_reparam(layer.beta) >= 0.99e-6).all()
    assert (layer.gamma_reparam(layer.gamma) >= 0).all()


def test_lower_bound_lets_values_rise_and_not_fall():
    for sign, expected in ((1, [0, 1]), (-1, [-1, -1])):  # descent lowers, raises
        x = torch.tensor([0.0, 2.0], requires_grad=True)
        (sign * LowerBound(1.0)(x)).sum().backward()
        assert x.grad.tolist() == expected


# --- causal convolutions


def influence(layer, height, width):
    """[(H,W) out, (H,W) in]: whether an output position depends on an input position."""
    inputs = torch.eye(height * width).reshape(-1, 1, height, width)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        changed = (layer(inputs) - layer(torch.zeros(1, 1, height, width))).abs().sum(1) > 0
    return changed.flatten(1).T.numpy()


@pytest.mark.parametrize("size", [3, 5, 7])
def test_raster_masks_are_causal(size):
    depends = influence(MaskedConv2d(1, 2, size), 6, 7)
    assert not np.triu(depends).any()
    assert depends[24, [16, 17, 18, 23]].all()  # three neighbours above and the one to the left


def test_checkerboard_sees_anchors_only():
    depends, first = influence(CheckerboardConv2d(1, 2), 6, 7), anchors(6, 7).flatten().numpy()
    assert not depends[first].any()
    assert not depends[:, ~first].any()
    assert depends[~first].sum(1).max() == 12  # of a 5×5 neighbourhood
    layer = CheckerboardConv2d(1, 2)
    assert (layer(random_(1, 1, 6, 7))[:, :, anchors(6, 7)] == 0).all()  # the bias, too


def test_masked_convolution_refuses_bad_arguments():
    for layer in (MaskedConv2d, CheckerboardConv2d):
        with pytest.raises(ValueError, match="odd"):
            layer(1, 1, kernel_size=4)


# --- residual and attention blocks


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 4), (5, 2), (8, 9)])
def test_shapes(height, width):
    x = random_(1, 4, height, width)
    assert ResidualBlock(4, 6)(x).shape == (1, 6, height, width)
    assert ResidualBlockWithStride(4, 6)(x).shape == (1, 6, -(-height // 2), -(-width // 2))
    assert ResidualBlockUpsample(4, 6)(x).shape == (1, 6, 2 * height, 2 * width)
    assert AttentionBlock(4)(x).shape == x.shape


def test_blocks_are_their_skip_where_weights_are_zero():
    x = random_(1, 4, 6, 8)
    for block, skip in (
        (ResidualBlock(4, 4), lambda b: x),
        (ResidualBlock(4, 6), lambda b: b.skip(x)),
        (ResidualBlockWithStride(4, 6), lambda b: b.skip(x)),
        (ResidualBlockUpsample(4, 6), lambda b: b.upsample(x)),
    ):
        last = block.conv if hasattr(block, "conv") else block.conv2
        torch.nn.init.zeros_(last.weight), torch.nn.init.zeros_(last.bias)
        assert torch.equal(block(x), skip(block))
    attention = AttentionBlock(4)
    torch.nn.init.constant_(attention.conv_b[-1].bias, -1e9)  # a mask of zeros
    assert torch.equal(attention(x), x)


def test_blocks_leave_their_input_alone():
    x = random_(1, 4, 6, 8)
    for block in (ResidualBlock(4, 4), ResidualBlockWithStride(4, 4), ResidualBlockUpsample(4, 4), AttentionBlock(4)):
        before = x.clone()
        block(x)
        assert torch.equal(x, before)


def test_subpixel_layout():
    """Channel 4c + 2i + j of the convolution becomes pixel (2h + i, 2w + j) of channel c."""
    layer, x = subpixel_conv3x3(2, 3), random_(1, 2, 4, 5)
    features = layer[0](x).detach().numpy().reshape(3, 2, 2, 4, 5)
    expected = features.transpose(0, 3, 1, 4, 2).reshape(1, 3, 8, 10)
    np.testing.assert_array_equal(layer(x).detach().numpy(), expected)


# --- gain units


def trained_gain(seed=0, **arguments):
    unit = GainUnit(3, levels=4, **arguments)
    with torch.no_grad():
        unit.log_gain.copy_(random_(4, 3, seed=seed).cumsum(0))
    return unit


@given(st.floats(1, 4))
def test_gain_pair(quality):
    gain, inverse = trained_gain(), trained_gain(inverse=True)
    with torch.no_grad():
        inverse.log_gain.copy_(0.5 - gain.log_gain)  # gain · inverse gain = √e at every level, so in between as well
        product = gain.factors(quality) * inverse.factors(quality)
    torch.testing.assert_close(product, torch.full((3,), 0.5).exp())


@given(st.floats(1, 8), st.floats(1, 8))
def test_gain_grows_with_quality(a, b):
    low, high = sorted((a, b))
    factors = GainUnit(2, levels=8).factors
    assert (factors(low) <= factors(high)).all()
    if high - low > 1e-3:
        assert (factors(low) < factors(high)).all()


def test_gain_starts_where_it_is_told():
    gain, inverse = GainUnit(2, levels=3, finest=8.0), GainUnit(2, levels=3, inverse=True, finest=8.0)
    torch.testing.assert_close(gain.factors(torch.tensor([3.0, 1.0]))[:, 0], torch.tensor([8.0, 4.0]))
    torch.testing.assert_close(inverse.factors(torch.tensor([3.0, 1.0]))[:, 0], torch.tensor([1 / 8, 1 / 4]))


def test_gain_interpolates_geometrically():
    unit = trained_gain()
    gains = unit.log_gain.exp()
    for level in range(1, 5):
        torch.testing.assert_close(unit.factors(level), gains[level - 1])
    torch.testing.assert_close(unit.factors(2.25), gains[1] ** 0.75 * gains[2] ** 0.25)


def test_gain_of_each_image():
    unit, y = trained_gain(), random_(3, 3, 2, 2)
    together = unit(y, torch.tensor([1.0, 2.5, 4.0]))
    for i, quality in enumerate((1.0, 2.5, 4.0)):
        torch.testing.assert_close(together[i : i + 1], unit(y[i : i + 1], quality))


@pytest.mark.parametrize("quality", [0.99, 4.01, -1, float("nan")])
def test_gain_refuses_other_qualities(quality):
    with pytest.raises(ValueError, match="from 1 to 4"):
        trained_gain().factors(quality)
    with pytest.raises(ValueError, match="at least 2 levels"):
        GainUnit(3, levels=1)


# --- quantization for training


@given(st.lists(st.floats(-(2.0**22), 2.0**22, width=32), min_size=1), st.floats(-8, 8, width=32))
def test_rounding_is_exact(values, offset):
    x = torch.tensor(values, requires_grad=True)
    rounded = round_straight_through(x)
    np.testing.assert_array_equal(rounded.detach().numpy(), np.rint(np.array(values, np.float32)))
    around = round_around(x, torch.tensor(offset))
    around.sum().backward()
    assert (x.grad == 1).all()
    # Two roundings to float32, of the difference and of the sum, may add to the half step.
    assert ((around - x).abs() <= 0.5 + 1e-6 * (x.abs() + abs(offset))).all()


def test_noise_is_uniform():
    torch.manual_seed(0)
    noise = add_noise(torch.zeros(100_000))
    assert noise.min() >= -0.5 and noise.max() <= 0.5
    assert float(noise.var()) == pytest.approx(1 / 12, rel=0.02)


@given(st.lists(st.floats(-1000, 1000, width=32), min_size=1), st.floats(0.05, 1))
def test_relaxed_values_lie_between_their_neighbours(values, temperature):
    x = torch.tensor(values, requires_grad=True)
    relaxed = relax(x, temperature)
    assert ((x.floor() <= relaxed) & (relaxed <= x.floor() + 1)).all()
    relaxed.sum().backward()
    assert (x.grad >= 0).all() and x.grad.isfinite().all()


@pytest.mark.parametrize("part", [0.1, 0.3, 0.5, 0.8])
def test_relaxed_values_go_where_the_concrete_distribution_says(part):
    """How often up, by the logits of the paper; and at a low temperature, as rounding does."""
    torch.manual_seed(0)
    up = (relax(torch.full((50_000,), 7 + part), 0.5) > 7.5).double().mean()
    weights = np.exp(-np.arctanh([part, 1 - part]) / 0.5)  # down, up
    assert float(up) == pytest.approx(weights[1] / weights.sum(), abs=0.01)
    cold = relax(torch.full((1000,), 7 + part), 0.01)
    if part != 0.5:
        assert (cold - round(7 + part)).abs().max() < 1e-3


def test_a_latent_follows_what_is_gained_beyond_its_bin():
    """Straight-through gradients of (ŷ - 1)² at ŷ = 0 push just as hard where y = 0.01; these where it may help."""
    torch.manual_seed(0)
    x = torch.tensor([0.01, 0.45]).repeat(2000, 1).requires_grad_()
    (relax(x) - 1).square().sum().backward()
    middle, edge = x.grad.mean(0)
    assert edge < -1 and abs(middle) < 1e-3
