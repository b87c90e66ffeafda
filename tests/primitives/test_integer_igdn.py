"""IGDN, unshuffled and strided convolutions in integers: against Python's own integers, and at the limits."""

import math

import numpy as np
import pytest
import torch
from codeckit.primitives.learned.gdn import GDN
from codeckit.primitives.learned.integer import IntegerLayer, IntegerNetwork, quantize_network
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import nn


def plain(network, x):
    """The definition of all layers in Python's integers, of x [h][w][c]."""
    x = [[[max(-network.input_limit, min(v, network.input_limit)) for v in at] for at in row] for row in x]
    for layer in network.layers:
        r = layer.downscale
        x = [
            [
                [x[r * i + a][r * j + b][c] for c in range(layer.input_channels) for a in range(r) for b in range(r)]
                for j in range(len(x[0]) // r)
            ]
            for i in range(len(x) // r)
        ]
        x = igdn(layer, x) if layer.igdn else convolution(layer, x)
    return x


def igdn(layer, x):
    weight, bias, shift = layer.weight[0, 0].tolist(), layer.bias.tolist(), layer.shift.tolist()

    def one(at, o):
        n = bias[o] + sum(weight[c][o] * v * v for c, v in enumerate(at))
        assert n < 1 << 50
        y = at[o] * math.isqrt(n)
        y = (y + (1 << shift[o] - 1)) >> shift[o] if shift[o] > 0 else y << -shift[o]
        return max(-layer.limit, min(y, layer.limit))

    return [[[one(at, o) for o in range(len(at))] for at in row] for row in x]


def convolution(layer, x):
    (kh, kw, _, outputs), p, s = layer.weight.shape, layer.padding, layer.stride
    weight, bias, shift = layer.weight.tolist(), layer.bias.tolist(), layer.shift.tolist()
    rows, columns = (
        (n - 1) * s + k + layer.output_padding - 2 * p if layer.transposed else n + 2 * p - k + 1
        for n, k in ((len(x), kh), (len(x[0]), kw))
    )
    acc = [[list(bias) for _ in range(columns)] for _ in range(rows)]
    for i in range(len(x)):
        for j in range(len(x[0])):
            for a in range(kh):
                for b in range(kw):
                    y, z = (i * s + a - p, j * s + b - p) if layer.transposed else (i - a + p, j - b + p)
                    if 0 <= y < rows and 0 <= z < columns:
                        for o in range(outputs):
                            acc[y][z][o] += sum(w[o] * v for w, v in zip(weight[a][b], x[i][j], strict=True))

    def one(v, o):
        v = v >> shift[o] if shift[o] > 0 else v << -shift[o]
        v = max(-layer.limit, min(v, layer.limit))
        return v * layer.slope + (1 << 15) >> 16 if v < 0 else v

    r = layer.upscale
    return [
        [[one(acc[i // r][j // r][o], o) for o in range(i % r * r + j % r, outputs, r * r)] for j in range(r * columns)]
        for i in range(r * rows)
    ]


def trained(channels, seed):
    """IGDN with parameters of every size, 0 among them."""
    g = torch.Generator().manual_seed(seed)
    module = GDN(channels, inverse=True)
    with torch.no_grad():
        module.beta.copy_(torch.rand(channels, generator=g) * 2 - 0.2)
        module.gamma.copy_(torch.rand(channels, channels, generator=g) - 0.3)
    return module


def up(inputs, outputs, kernel, stride):
    return nn.ConvTranspose2d(inputs, outputs, kernel, stride, kernel // 2, output_padding=stride - 1)


FIRST = {
    "5×5/2": nn.Conv2d(2, 3, 5, 2, padding=2),
    "9×9/4": nn.Conv2d(2, 3, 9, 4, padding=4),
    "3×3/3": nn.Conv2d(2, 3, 3, 3, padding=1),
    "unshuffled": nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(8, 3, (3, 5), padding=1)),
    "unshuffled, up": nn.Sequential(nn.PixelUnshuffle(4), up(32, 3, 3, 2)),
}


@settings(max_examples=12, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    st.integers(0, 1000),
    st.integers(6, 16),
    st.integers(6, 22),
    st.sampled_from([(3, 2), (5, 2), (5, 3), (9, 4), (1, 1), (1, 2), (2, 2), (4, 3)]),
    st.sampled_from(sorted(FIRST)),
)
def test_networks_compute_what_is_defined(seed, weight_bits, activation_bits, geometry, first):
    torch.manual_seed(seed)
    modules = [
        FIRST[first],
        nn.LeakyReLU(0.3),
        trained(3, seed),
        up(3, 4, *geometry),
        nn.PixelShuffle(2),
        trained(1, seed),
    ]
    size = (12, 24)
    network = quantize_network(
        modules,
        [torch.randn(1, 2, *size)],
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        input_limit=1 << 12,
    )
    x = torch.randint(-5000, 5000, (1, 2, *size))
    expected = plain(network, x[0].permute(1, 2, 0).tolist())
    found = network(x)
    assert found[0].permute(1, 2, 0).tolist() == expected
    shape = nn.Sequential(*modules)(x.float()).shape
    assert found.shape == shape
    restored = IntegerNetwork.from_state(load(save(network.state(modules))), modules)
    assert torch.equal(restored(x), found)


@given(st.integers(0, (1 << 25) - 1), st.integers(-1, 1), st.integers(0, 1))
def test_roots_are_those_of_integers(root, offset, factor):
    """Next to every square, where a root that is rounded the wrong way would show."""
    n = max(0, min(root * root + offset, (1 << 50) - 2))
    layer = IntegerLayer(
        torch.full((1, 1, 1, 1), factor), torch.tensor([n - factor]).clamp(min=0), *2 * [torch.tensor([0])], 1 << 30,
        igdn=True,
    )  # fmt: skip
    n = max(n - factor, 0) + factor
    network = IntegerNetwork([layer], 0, 0, 1)
    assert network.rows(torch.tensor([[1], [-1], [0]]))[:, 0].tolist() == [math.isqrt(n), -math.isqrt(n), 0]


def test_a_root_may_be_wrong_in_its_last_place():
    """The proof in the module's docstring, at the largest radicands and at small ones."""
    roots = np.array([0, 1, 2, 3, 1000, (1 << 24) - 1, 1 << 24, (1 << 25) - 2, (1 << 25) - 1], np.int64)
    for n in np.concatenate((roots**2, (roots + 1) ** 2 - 1)):
        exact = np.sqrt(n + 0.5)
        for units in range(-1, 2):
            assert int(np.floor(exact + units * np.spacing(exact))) == math.isqrt(n)


def test_largest_radicands_and_products():
    limit, channels = (1 << 17) - 1, 3
    gamma = ((1 << 50) - 1) // (channels * limit**2)
    beta = (1 << 50) - 1 - channels * gamma * limit**2
    layer = IntegerLayer(
        torch.full((1, 1, channels, channels), gamma),
        torch.full((channels,), beta),
        torch.full((channels,), 12),
        torch.zeros(channels).long(),
        1 << 30,
        igdn=True,
    )
    network = IntegerNetwork([layer], 0, 0, limit)
    x = [[[limit, -limit, limit], [limit - 1, 1, 0], [0, 0, -(1 << 60)]]]
    assert network(torch.tensor(x).permute(2, 0, 1)[None])[0].permute(1, 2, 0).tolist() == plain(network, x)
    with pytest.raises(ValueError, match="2\\^50"):
        IntegerNetwork([layer], 0, 0, limit + 1)
    empty = IntegerLayer(torch.zeros(1, 1, 1, 1).long(), *3 * [torch.zeros(1).long()], 9, igdn=True)
    IntegerNetwork([empty], 0, 0, (1 << 25) - 1)
    with pytest.raises(ValueError, match="2\\^50"):
        IntegerNetwork([empty], 0, 0, 1 << 25)


def test_damaged_inputs_stay_within_the_bound():
    modules = [trained(4, 1), up(4, 3, 5, 2)]
    network = quantize_network(modules, [torch.randn(1, 4, 4, 4)], input_limit=(1 << 17) - 1, output_limit=1 << 17)
    y = network(torch.full((1, 4, 3, 3), -(2**62)))
    assert torch.equal(y, network(torch.full((1, 4, 3, 3), -(1 << 17) + 1))) and y.abs().max() <= 1 << 17


def test_threads_batches_and_chunks_change_nothing(monkeypatch):
    modules = [nn.PixelUnshuffle(4), nn.Conv2d(48, 32, 3, padding=1), trained(32, 3), up(32, 3, 9, 4)]
    network = quantize_network(modules, [torch.rand(1, 3, 32, 32)])
    x = torch.randint(0, 256, (2, 3, 24, 16))
    expected, before = network(x), torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for cached in (1000, 1 << 16):
                monkeypatch.setattr("codeckit.primitives.learned.integer._CACHED", cached)
                assert torch.equal(network(x), expected)
                assert torch.equal(torch.cat([network(one) for one in x.split(1)]), expected)
    finally:
        torch.set_num_threads(before)


def test_outputs_are_near_those_of_the_float_network():
    torch.manual_seed(0)
    modules = [nn.Conv2d(3, 24, 5, 2, padding=2), trained(24, 2), up(24, 24, 5, 2), trained(24, 5), up(24, 3, 9, 4)]
    x = torch.randint(0, 256, (1, 3, 32, 48))
    network = quantize_network(modules, [x / 256.0], output_bits=16)
    with torch.no_grad():
        expected = nn.Sequential(*modules).double()(x.double() / 256)
    error = (network(x) / 65536 - expected).abs().max()
    assert error < 1e-3 * expected.abs().max()


def test_factors_are_those_of_the_float_layer():
    module = trained(5, 4)
    network = quantize_network([module], [torch.randn(1, 5, 4, 4)], input_limit=1 << 15)
    layer = network.layers[0]
    gamma = module.gamma_reparam(module.gamma).detach().double().t()
    assert (layer.weight[0, 0] / 2.0**layer.fraction - gamma).abs().max() < 4e-6
    assert (layer.fraction % 2 == 0).all()
    beta = module.beta_reparam(module.beta).detach().double()
    assert (layer.bias / 2.0 ** (layer.fraction + 16) - beta).abs().max() < 1e-6


def test_states_have_the_first_format_where_that_is_enough():
    convolution = [nn.Conv2d(1, 1, 1)]
    network = quantize_network(convolution, [torch.ones(1, 1, 1, 1)])
    state = network.state(convolution)
    assert int(state["network"][0]) == 1 and len(state["0.geometry"]) == 7
    state["network"][0] = 3
    with pytest.raises(ValueError, match="format 3"):
        IntegerNetwork.from_state(state, convolution)
    igdn_first = [trained(1, 0), *convolution]
    state = quantize_network(igdn_first, [torch.ones(1, 1, 1, 1)], input_limit=1 << 15).state(igdn_first)
    assert int(state["network"][0]) == 2 and [len(state[f"{n}.geometry"]) for n in range(2)] == [9, 9]


def test_positions():
    modules = [nn.Conv2d(2, 3, 3, padding=1), trained(3, 6), nn.Conv2d(3, 2, 1)]
    network = quantize_network(modules, [torch.randn(1, 2, 4, 4)])
    x = torch.randint(-999, 999, (1, 2, 4, 5))
    canvas = network.canvas(1, 4, 5)
    canvas[:, 1:-1, 1:-1] = x.permute(0, 2, 3, 1)
    everywhere = torch.cartesian_prod(torch.arange(4), torch.arange(5)).unbind(1)
    assert torch.equal(network.at(canvas, *everywhere).view(1, 4, 5, 2), network(x).permute(0, 2, 3, 1))
    unshuffled = [nn.PixelUnshuffle(2), nn.Conv2d(8, 2, 1)]
    network = quantize_network(unshuffled, [torch.randn(1, 2, 4, 4)])
    with pytest.raises(ValueError, match="1×1"):
        network.rows(torch.zeros(1, 2))
    with pytest.raises(ValueError, match="begins"):
        network.at(torch.zeros(1, 4, 4, 8), torch.zeros(1).long(), torch.zeros(1).long())
    with pytest.raises(ValueError, match="multiples"):
        network(torch.zeros(1, 2, 4, 5))


@pytest.mark.parametrize(
    "modules",
    [
        [GDN(2)],
        [nn.PixelUnshuffle(2)],
        [nn.PixelUnshuffle(2), GDN(8, inverse=True)],
        [nn.PixelUnshuffle(2), nn.PixelUnshuffle(2), nn.Conv2d(32, 1, 1)],
        [nn.PixelUnshuffle(2), nn.Conv2d(8, 1, 3, 2, padding=1)],
        [GDN(2, inverse=True), nn.ReLU()],
        [GDN(2, inverse=True), nn.PixelShuffle(1)],
        [nn.Conv2d(2, 2, 4, 2, padding=1)],
    ],
)
def test_modules_that_are_refused(modules):
    with pytest.raises(ValueError, match="integer network"):
        quantize_network(modules, [torch.ones(1, 2, 8, 8)])


def test_layers_that_are_refused():
    one, square = torch.ones(2).long(), torch.ones(1, 1, 2, 2).long()
    IntegerLayer(square, one, one, one, 9, igdn=True)
    for weight, bias, shift, options in (
        (torch.ones(1, 1, 1, 2).long(), one, one, {}),
        (torch.ones(3, 3, 2, 2).long(), one, one, {}),
        (-square, one, one, {}),
        (square, -one, one, {}),
        (square, one, 51 * one, {}),
        (square, one, one, {"slope": 0}),
    ):
        with pytest.raises(ValueError, match="IGDN"):
            IntegerLayer(weight, bias, shift, one, 9, igdn=True, **options)
    with pytest.raises(ValueError, match="does not make"):
        IntegerLayer(square, one, one, one, 9, downscale=2)
    with pytest.raises(ValueError, match="finite"):
        module = GDN(1, inverse=True)
        module.beta.data[:] = torch.inf
        quantize_network([nn.Conv2d(1, 1, 1), module], [torch.zeros(1, 1, 2, 2)])
    with pytest.raises(ValueError, match="fewer bits"):
        quantize_network([trained(1, 0)], [torch.ones(1, 1, 1, 1)], input_limit=1 << 25)
