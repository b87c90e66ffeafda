"""Integer networks: the same integers whatever computes them, close to the float network, and proven to be exact."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from codeckit.primitives.entropy import LatentEncoder, center, gaussian_tables, scale_index, wavefront
from codeckit.primitives.entropy.integer_gaussian import scales
from codeckit.primitives.learned.integer import IntegerLayer, IntegerNetwork, quantize_network
from codeckit.primitives.learned.masked_conv import MaskedConv2d
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from scipy import stats
from torch import nn
from torch.nn import functional as F


class Masked(nn.Conv2d):
    """A 5×5 convolution that sees what comes before in raster order."""

    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs, 5, padding=2)
        mask = torch.ones(5, 5)
        mask[2, 2:] = mask[3:] = 0
        self.register_buffer("mask", mask.expand_as(self.weight).clone())

    def forward(self, x):
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=2)


def hyper_synthesis(seed=0, latents=24):
    """Transposed and sub-pixel convolutions, as in the hyper decoders of mbt2018 and cheng2020."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.ConvTranspose2d(16, 16, 5, stride=2, padding=2, output_padding=1),
        nn.LeakyReLU(),
        nn.Sequential(nn.Conv2d(16, 64, 3, padding=1), nn.PixelShuffle(2)),
        nn.LeakyReLU(inplace=True),
        nn.Conv2d(16, 2 * latents, 3, padding=1),
    )


def hyper_latents(seed=1, batch=1, size=8):
    return torch.randn(batch, 16, size, size, generator=torch.Generator().manual_seed(seed)).mul(4).round()


def quantized(**options):
    return quantize_network(hyper_synthesis(), [hyper_latents()], input_bits=0, **options)


def integers(shape, magnitude, seed):
    """Numbers that depend on nothing but the arguments, unlike torch's and numpy's random ones."""
    n = (np.arange(np.prod(shape), dtype=np.uint64) + np.uint64(seed << 32)) * np.uint64(0x9E3779B97F4A7C15)
    n = (n ^ n >> np.uint64(29)) * np.uint64(0xBF58476D1CE4E5B9) >> np.uint64(33)
    return torch.from_numpy((n % np.uint64(2 * magnitude + 1)).astype(np.int64) - magnitude).view(shape)


def fixed_network(weight, limit):
    """Every kind of layer, with weights and activations up to these magnitudes."""
    shift = torch.full((32,), int(np.log2(8 * weight)))
    layers = [
        IntegerLayer(
            integers((5, 5, 32, 32), weight, 1), integers(32, 999, 2), shift, shift, limit, True, 2, 2, 1, slope=655
        ),
        IntegerLayer(
            integers((3, 3, 32, 32), weight, 3), integers(32, 999, 4), shift, shift, limit, padding=1, upscale=2
        ),
        IntegerLayer(integers((1, 1, 8, 32), weight, 5), integers(32, 999, 6), shift - 3, shift, limit, slope=0),
    ]
    return IntegerNetwork(layers, 0, 0, limit)


def digest():
    """A number of all outputs of two networks, one in either carrier; what another process compares."""
    hashed = hashlib.sha256()
    for weight, limit, carrier in ((30000, 30000, torch.float64), (30, 60, torch.float32)):
        network = fixed_network(weight, limit)
        assert {stage.dtype for stage in network._stages} == {carrier}
        y = network(integers((2, 32, 9, 11), limit, 7))
        assert 0.2 < (y.abs() / limit).mean() < 0.6  # neither vanishing nor all clamped
        hashed.update(y.contiguous().numpy().astype("<i4").tobytes())
    return hashed.hexdigest()


# Exactness


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_threads_batches_and_memory_formats_change_nothing(threads):
    z = torch.cat([hyper_latents(seed) for seed in range(4)])
    for network in (quantized(), quantized(weight_bits=6, activation_bits=8, input_limit=63)):
        expected = network(z)
        for count in (1, 2):
            torch.set_num_threads(count)
            assert torch.equal(network(z), expected)
            assert torch.equal(network(z.to(memory_format=torch.channels_last)), expected)
            assert torch.equal(torch.cat([network(one) for one in z.split(1)]), expected)
            assert torch.equal(network(z.to(torch.int32)), expected)
            assert torch.equal(network(z.double()[:, :, :, :5])[:, :, :, :12], expected[:, :, :, :12])


def test_settings_for_speed_change_nothing():
    network, z = quantized(weight_bits=6, activation_bits=8, input_limit=63), hyper_latents()
    expected = network(z)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(network(z), expected)
    finally:
        torch.set_float32_matmul_precision(before)


def test_other_instruction_sets_change_nothing():
    folder = os.path.dirname(__file__)
    line = f"import sys; sys.path.insert(0, {folder!r}); import test_integer_networks as t; print(t.digest())"
    settings = {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}
    run = subprocess.run(
        [sys.executable, "-c", line], env={**os.environ, **settings}, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == digest() == DIGEST


#: Another number here means that streams that were written before cannot be read.
DIGEST = "4e71db24410df46501ab5edb717b8a66d44274ad08ce0f58ef23301fcb046953"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpus_change_nothing():
    for network in (fixed_network(30000, 30000), fixed_network(30, 60)):
        z = integers((2, 32, 9, 11), network.input_limit, 7)
        assert torch.equal(network.to("cuda")(z).cpu(), network(z))


def reference(network, x, order):
    """The definition of the layers in int64, summing products in any order."""
    for layer in network.layers:
        weight = layer.weight.numpy()
        (kh, kw, _, outputs), (height, width, _) = weight.shape, x.shape
        s, p = layer.stride, layer.padding
        size = [(height - 1) * s + kh + layer.output_padding, (width - 1) * s + kw + layer.output_padding]
        if layer.transposed:
            acc = np.zeros((*size, outputs), np.int64)
            for i, j in order(np.ndindex(height, width)):
                acc[i * s : i * s + kh, j * s : j * s + kw] += np.einsum("c,yxco->yxo", x[i, j], weight)
            acc = acc[p : size[0] - p, p : size[1] - p]
        else:
            padded = np.pad(x, ((p, p), (p, p), (0, 0)))
            acc = np.zeros((height + 2 * p - kh + 1, width + 2 * p - kw + 1, outputs), np.int64)
            for tap in order(np.ndindex(kh, kw)):
                window = padded[tap[0] : tap[0] + acc.shape[0], tap[1] : tap[1] + acc.shape[1]]
                acc += np.einsum("yxc,co->yxo", window, weight[tuple(tap)])
        acc += layer.bias.numpy()
        shift = layer.shift.numpy()
        y = np.clip(acc >> np.maximum(shift, 0) << np.maximum(-shift, 0), -layer.limit, layer.limit)
        y = np.where(y < 0, y * layer.slope + (1 << 15) >> 16, y)
        r = layer.upscale
        height, width, _ = y.shape
        y = y.reshape(height, width, -1, r, r).transpose(0, 3, 1, 4, 2)
        x = y.reshape(height * r, width * r, -1)
    return x


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(2, 16), st.integers(4, 20))
def test_networks_compute_what_is_defined(seed, weight_bits, activation_bits):
    torch.manual_seed(seed)
    modules = [
        nn.Conv2d(2, 3, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(3, 8, 5, stride=2, padding=2, output_padding=1),
        nn.PixelShuffle(2),
        nn.ReLU(),
        nn.Conv2d(2, 2, (1, 3), bias=False),
    ]
    network = quantize_network(
        modules, [torch.randn(1, 2, 3, 4)], weight_bits=weight_bits, activation_bits=activation_bits
    )
    x = torch.randint(-2000, 2000, (1, 2, 3, 4))
    rng = np.random.default_rng(seed)
    expected = reference(network, x[0].permute(1, 2, 0).numpy(), lambda i: rng.permutation(list(i)))
    assert np.array_equal(network(x)[0].permute(1, 2, 0).numpy(), expected)


def test_largest_sums_are_exact():
    """Sums at the very limit of the carriers, of alternating signs."""
    for bits, weight, limit in ((24, 255, 255), (53, (1 << 23) - 1, (1 << 19) - 1)):
        channels = ((1 << bits) - 1) // (weight * limit)
        channels = min(channels, 512)
        w = torch.full((1, 1, channels, 2), weight)
        w[..., 1::2, 1] = -weight
        layer = IntegerLayer(w, torch.tensor([1, -1]), *2 * [torch.tensor([bits - 30, bits - 30])], 1 << 30)
        network = IntegerNetwork([layer], 0, 0, limit)
        x = torch.full((1, channels), limit)
        x[:, 1] -= 1
        sums = (x.view(-1, 1) * w[0, 0]).sum(0) + layer.bias
        expected = (sums >> (bits - 30) if bits > 30 else sums << (30 - bits)).clamp(-(1 << 30), 1 << 30)
        assert torch.equal(network.rows(x)[0].long(), expected)
        assert network._stages[0].dtype == (torch.float32 if bits == 24 else torch.float64)


def test_sums_that_might_not_be_exact_are_refused():
    layer = IntegerLayer(torch.full((1, 1, 2, 1), 1 << 25), *3 * [torch.zeros(1).long()], 9)
    IntegerNetwork([layer], 0, 0, (1 << 27) - 1)
    with pytest.raises(ValueError, match="2\\^53"):
        IntegerNetwork([layer], 0, 0, 1 << 27)
    with pytest.raises(ValueError, match="fewer bits"):
        quantize_network([nn.Conv2d(64, 4, 5)], [torch.ones(1, 64, 5, 5)], weight_bits=24, input_limit=1 << 30)


def test_damaged_inputs_stay_within_the_bound():
    network = quantized()
    extreme = torch.full((1, 16, 3, 3), 2**62)
    assert torch.equal(network(extreme), network(torch.full((1, 16, 3, 3), 1 << 20)))
    assert network(extreme).abs().max() <= 1 << 20


# Context models


@settings(max_examples=10)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 3))
def test_a_wavefront_computes_what_the_whole_computes(height, width, batch):
    torch.manual_seed(height + 10 * width)
    context = quantize_network([Masked(3, 8)], [torch.randn(1, 3, 8, 8)])
    parameters = quantize_network([nn.Conv2d(8, 6, 1), nn.LeakyReLU(), nn.Conv2d(6, 4, 1)], [torch.randn(1, 8, 8, 8)])
    y = torch.randint(-5000, 5000, (batch, 3, height, width))
    expected = parameters(context(y)).permute(0, 2, 3, 1)
    both = IntegerNetwork((*context.layers, *parameters.layers), 8, 8)
    assert len(context._stages[0].taps) == 12
    canvas = context.canvas(batch, height, width)
    for rows, columns in (map(torch.from_numpy, step) for step in wavefront(height, width)):
        seen = context.at(canvas, rows, columns)
        outputs = parameters.rows(seen.flatten(0, 1)).view(batch, len(rows), -1)
        assert torch.equal(outputs, expected[:, rows, columns])
        canvas[:, rows + 2, columns + 2] = y[:, :, rows, columns].permute(0, 2, 1).to(canvas.dtype)
    everywhere = torch.cartesian_prod(torch.arange(height), torch.arange(width)).unbind(1)
    assert torch.equal(both.at(canvas, *everywhere).view_as(expected), expected)


def test_weights_that_are_all_zero():
    with torch.no_grad():
        conv = nn.Conv2d(2, 3, 3, padding=1)
        conv.weight.zero_()
    network = quantize_network([conv], [torch.ones(1, 2, 4, 4)])
    expected = torch.round(conv.bias.detach() * 256).int()
    assert torch.equal(network(torch.ones(1, 2, 2, 2))[0, :, 1, 1], expected)
    assert torch.equal(network.at(network.canvas(1, 2, 2), torch.tensor([1]), torch.tensor([0]))[0, 0], expected)


def test_positions_need_networks_that_work_by_position():
    with pytest.raises(ValueError, match="1×1"):
        quantized().rows(torch.zeros(1, 16))
    with pytest.raises(ValueError, match="1×1"):
        quantized().at(torch.zeros(1, 8, 8, 16), torch.zeros(1).long(), torch.zeros(1).long())


# Quantization


def test_outputs_are_near_those_of_the_float_network():
    modules, z = hyper_synthesis(), hyper_latents(7, 2)
    y = modules(z).detach()
    error = (quantized()(z) / 256 - y).abs().max()
    assert error < 0.004  # rounding to 1/256 is half of that
    assert (quantized(output_bits=12)(z) / 4096 - y).abs().max() < 0.003


def test_state_goes_through_safetensors():
    network, modules = quantized(), hyper_synthesis()
    state = network.state(modules)
    assert not any(tensor.is_floating_point() for tensor in state.values())
    restored = IntegerNetwork.from_state(load(save(state)), modules)
    assert all(torch.equal(*pair) for pair in weights_of(restored, network))
    assert torch.equal(restored(hyper_latents()), network(hyper_latents()))
    assert (restored.input_bits, restored.output_bits, restored.input_limit) == (0, 8, 1 << 20)
    for missing in state:
        with pytest.raises(ValueError, match="lacks"):
            IntegerNetwork.from_state({k: v for k, v in state.items() if k != missing}, modules)
    state["0.fraction"] = state["0.fraction"] + 30
    with pytest.raises(ValueError):
        IntegerNetwork.from_state(state, modules)


def weights_of(*networks):
    return zip(*([layer.weight for layer in network.layers] for network in networks), strict=True)


def test_state_belongs_to_its_modules():
    network, modules = quantized(), hyper_synthesis()
    with torch.no_grad():
        modules[0].weight[0, 0, 0, 0] += 1
    with pytest.raises(ValueError, match="other modules"):
        network.state(modules)
    with pytest.raises(ValueError, match="layers is given 1 modules"):
        IntegerNetwork.from_state(network.state(hyper_synthesis()), [modules[0]])


def test_state_of_a_masked_convolution():
    torch.manual_seed(0)
    convolution = MaskedConv2d(3, 4)
    x = torch.randint(-9, 10, (1, 3, 6, 7))
    network = quantize_network([convolution], [x.float()])
    restored = IntegerNetwork.from_state(load(save(network.state([convolution]))), [convolution])
    assert torch.equal(restored.layers[0].weight, network.layers[0].weight)
    assert not restored.layers[0].weight[3:].any()
    assert torch.equal(restored(x), network(x))


@given(st.lists(st.floats(-100, 100, width=16), min_size=4, max_size=4), st.integers(2, 24))
def test_weights_come_back_from_half_floats(values, bits):
    convolution = nn.Conv2d(2, 2, 1)
    convolution.load_state_dict({"weight": torch.tensor(values).view(2, 2, 1, 1), "bias": torch.zeros(2)})
    network = quantize_network([convolution], [torch.ones(1, 2, 1, 1)], weight_bits=bits)
    restored = IntegerNetwork.from_state(network.state([convolution]), [convolution])
    assert torch.equal(restored.layers[0].weight, network.layers[0].weight)


@pytest.mark.parametrize(
    "modules",
    [
        [],
        [nn.ReLU()],
        [nn.Conv2d(1, 1, 3, stride=2)],
        [nn.Conv2d(2, 2, 3, groups=2)],
        [nn.Conv2d(1, 1, 3, dilation=2)],
        [nn.Conv2d(1, 1, 3, padding="same")],
        [nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect")],
        [nn.ConvTranspose2d(1, 1, 3, stride=(1, 2))],
        [nn.Conv2d(1, 1, 1), nn.ReLU(), nn.ReLU()],
        [nn.Conv2d(1, 1, 1), nn.Sigmoid()],
        [nn.Linear(1, 1)],
    ],
)
def test_modules_that_are_refused(modules):
    with pytest.raises(ValueError):
        quantize_network(modules, [torch.ones(1, 1, 4, 4)])


def test_bad_arguments_are_refused():
    conv = nn.Conv2d(1, 1, 1)
    for samples in ([], [torch.full((1, 1, 1, 1), torch.nan)]):
        with pytest.raises(ValueError, match="samples"):
            quantize_network([conv], samples)
    for options in ({"weight_bits": 1}, {"activation_bits": 40}, {"input_limit": 0}):
        with pytest.raises(ValueError):
            quantize_network([conv], [torch.ones(1, 1, 1, 1)], **options)
    network = quantize_network([conv], [torch.ones(1, 1, 1, 1)])
    for x in (
        torch.ones(1, 2, 3, 3),
        torch.ones(1, 3),
        torch.full((1, 1, 1, 1), 0.5),
        torch.full((1, 1, 1, 1), torch.nan),
    ):
        with pytest.raises(ValueError):
            network(x)
    with pytest.raises(ValueError, match="channels"):
        IntegerNetwork([network.layers[0], quantized().layers[0]], 8, 8)
    with pytest.raises(ValueError, match="integers"):
        IntegerLayer(torch.ones(1, 1, 1, 1), *3 * [torch.ones(1).long()], 1)
    with pytest.raises(ValueError, match="stride"):
        IntegerLayer(torch.ones(1, 1, 1, 1).long(), *3 * [torch.ones(1).long()], 1, stride=2)


def rate_increase(**options):
    """Coded size with integer parameters over the entropy with float parameters, on latents that follow these."""
    modules, z = hyper_synthesis(), hyper_latents(5, size=16)
    with torch.no_grad():  # scales of 0 … 5 and means of ±4, as in a hyperprior
        raw = modules(z)
        gain = torch.cat([4 / raw[:, :24].std((0, 2, 3)), 1.2 / raw[:, 24:].std((0, 2, 3))])
        modules[-1].weight *= gain[:, None, None, None]
        modules[-1].bias *= gain
        modules[-1].bias[24:] += 1.0
        means, sigma = modules(z).double().numpy()[0].reshape(2, -1)
    sigma = np.maximum(sigma, 0.11)
    y = means + sigma * np.random.default_rng(0).normal(size=sigma.size)
    rounded = np.abs(np.rint(y - means))
    p = stats.norm.sf((rounded - 0.5) / sigma) - stats.norm.sf((rounded + 0.5) / sigma)
    ideal = -np.log2(p).sum() / 8
    nearest = np.argmin(np.abs(np.log(sigma)[:, None] - np.log(np.array(scales(), float))), 1)
    encoder = LatentEncoder()
    encoder.put(np.rint(y - means).astype(int), nearest, gaussian_tables())
    of_scales = len(encoder.getvalue()) / ideal - 1
    network = quantize_network(modules, [hyper_latents()], input_bits=0, **options)
    means, sigma = network(z).numpy()[0].reshape(2, -1)
    encoder = LatentEncoder()
    encoder.put(center(y, means), scale_index(sigma), gaussian_tables())
    return of_scales, len(encoder.getvalue()) / ideal - 1


def test_rate_of_integers():
    of_scales, of_all = rate_increase()
    assert of_scales < 0.003
    assert of_all < 0.003
    assert rate_increase(weight_bits=12, activation_bits=13)[1] < 0.01
