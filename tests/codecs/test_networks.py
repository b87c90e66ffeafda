"""Networks of learned codecs: shapes, names, gradients, and evaluation mode as what a coder does."""

import re

import pytest
import torch
from codeckit.codecs.learned.networks import (
    NETWORKS,
    AutoregressiveNetwork,
    Cheng2020,
    channels_of,
    load_network,
    network,
    packed_state,
    rename_keys,
)

#: Small numbers of channels.
SMALL = {name: kind.SMALL for name, kind in NETWORKS.items()}
VARIABLE = [name for name, kind in NETWORKS.items() if kind.variable_rate]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Networks as small as these are faster on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def small(name, seed=0):
    torch.manual_seed(seed)
    return NETWORKS[name](*SMALL[name]).eval()


def lively(name):
    """A network whose latents are not all 0, so that contexts and means differ from one position to the next."""
    net = small(name)
    with torch.no_grad():
        for key, parameter in net.named_parameters():
            if re.match(r"g_a\.4\." if name == "balle2017" else r"g_a\.[67]\.(weight|bias)", key):
                parameter.mul_(30)
            if key in ("entropy_parameters.4.bias", "h_s.4.bias", "h_a.4.bias", "h_a.8.bias"):
                parameter.add_(1)
    return net


def picture(height=64, width=64, n=1, seed=0):
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(seed))


def run(net, x, **arguments):
    return net(x, quality=5.5, **arguments) if net.variable_rate else net(x, **arguments)


# --- shapes


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 3), (2, 1)])
def test_any_multiple_of_the_stride(name, height, width):
    net = small(name)
    x = picture(height * net.stride, width * net.stride, n=2)
    with torch.no_grad():
        out = run(net, x)
    assert out.reconstruction.shape == x.shape
    assert out.latents["y"].shape == (2, SMALL[name][-1], x.shape[2] // 16, x.shape[3] // 16)
    if net.stride == 64:
        assert out.latents["z"].shape == (2, SMALL[name][0], height, width)
    assert {key: t.shape for key, t in out.latents.items()} == {key: t.shape for key, t in out.likelihoods.items()}
    assert all(((0 < t) & (t <= 1)).all() for t in out.likelihoods.values())
    assert 0 <= out.reconstruction.min() and out.reconstruction.max() <= 1
    assert out.bits().shape == (2,) and (out.bits() > 0).all()


@pytest.mark.parametrize("name", ["balle2017", "mbt2018"])
@pytest.mark.parametrize("shape", [(1, 3, 64, 72), (1, 3, 65, 64), (1, 1, 64, 64), (3, 64, 64)])
def test_other_shapes_are_refused(name, shape):
    with pytest.raises(ValueError, match="multiples of"):
        run(small(name), torch.rand(shape))


# --- names

CONV = ("weight", "bias")
GDN = tuple(f"{p}{key}" for p in ("beta", "gamma") for key in ("", "_reparam.pedestal", "_reparam.lower_bound.bound"))
DENSITY = ("quantiles", "target", "likelihood_lower_bound.bound")
DENSITY += tuple(f"{group}.{k}" for group, n in (("matrices", 5), ("biases", 5), ("factors", 4)) for k in range(n))
GAUSSIAN = ("likelihood_lower_bound.bound", "lower_bound_scale.bound")


def keys(layers):
    """State-dict keys of "name name … : kind" lines, where {a,b} stands for each of a and b."""
    kinds = {"conv": CONV, "gdn": GDN, "density": DENSITY, "gaussian": GAUSSIAN, "masked": (*CONV, "mask")}
    kinds["gain"] = ("log_gain",)
    kinds["residual"] = tuple(f"{layer}.{key}" for layer in ("conv1", "conv2") for key in CONV)
    kinds["strided"] = (*kinds["residual"], "skip.weight", "skip.bias", *(f"gdn.{key}" for key in GDN))
    kinds["upsample"] = (*(f"{layer}.{key}" for layer in ("subpel_conv.0", "conv", "upsample.0") for key in CONV),)
    kinds["upsample"] += tuple(f"igdn.{key}" for key in GDN)
    units = [f"conv_{branch}.{unit}.conv.{k}" for branch in "ab" for unit in range(3) for k in (0, 2, 4)]
    kinds["attention"] = tuple(f"{layer}.{key}" for layer in (*units, "conv_b.3") for key in CONV)
    found = set()
    for line in layers.strip().splitlines():
        names, kind = line.split(":")
        for name in names.split():
            choices = re.search(r"\{(.*)\}", name)
            for choice in choices[1].split(",") if choices else [""]:
                found |= {re.sub(r"\{.*\}", choice, name) + "." + key for key in kinds[kind.strip()]}
    return found


FACTORIZED = """
    g_a.{0,2,4,6} g_s.{0,2,4,6}: conv
    g_a.{1,3,5} g_s.{1,3,5}: gdn
    entropy_bottleneck: density
"""
HYPERPRIOR = FACTORIZED + "h_a.{0,2,4} h_s.{0,2,4}: conv \n gaussian_conditional: gaussian"
CONTEXT = "\n entropy_parameters.{0,2,4}: conv \n context_prediction: masked"
RESIDUAL_HYPERPRIOR = "h_a.{0,2,4,6,8} h_s.{0,2.0,4,6.0,8}: conv \n entropy_bottleneck: density" + CONTEXT
ATTENTION = """
    g_a.{0,2,5}: strided
    g_a.{1,4,6} g_s.{1,3,6,8}: residual
    g_s.{2,4,7}: upsample
    g_a.{3,8} g_s.{0,5}: attention
    g_a.7 g_s.9.0: conv
"""
VARIABLE_ATTENTION = ATTENTION + RESIDUAL_HYPERPRIOR + "\n gaussian_mixture: gaussian \n gain inverse_gain: gain"
#: The names in weight files. They must not change; the six of CompressAI are those of its version 1.2.8.
LAYERS = {
    "balle2017": "g_a.{0,2,4} g_s.{1,3,5}: conv \n g_a.{1,3,5} g_s.{0,2,4}: gdn \n entropy_bottleneck: density"
    "\n gain inverse_gain: gain",
    "bmshj2018-factorized": FACTORIZED,
    "bmshj2018-hyperprior": HYPERPRIOR,
    "mbt2018-mean": HYPERPRIOR,
    "mbt2018": HYPERPRIOR + CONTEXT,
    "cheng2020-anchor": """
        g_a.{0,2,4}: strided
        g_a.{1,3,5} g_s.{0,2,4,6}: residual
        g_s.{1,3,5}: upsample
        g_a.6 g_s.7.0: conv
        gaussian_conditional: gaussian
    """
    + RESIDUAL_HYPERPRIOR,
    "cheng2020-attn": ATTENTION + RESIDUAL_HYPERPRIOR + "\n gaussian_conditional: gaussian",
    "cheng2020": VARIABLE_ATTENTION,
    "cheng2020-checkerboard": VARIABLE_ATTENTION,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_names_in_weight_files(name):
    assert set(small(name).state_dict()) == keys(LAYERS[name])


def old_names(weights, generation):
    """A state dict as it was saved by earlier versions of CompressAI, with the tables of its coder."""
    changes = {
        "oldest": ("matrices.", "biases.", "factors.", "_matrices.", "_biases.", "_factors."),
        "older": ("matrices.", "biases.", "factors.", "_matrix", "_bias", "_factor"),
    }[generation]
    old = {}
    for key, value in weights.items():
        if key.startswith("entropy_bottleneck."):
            for now, then in zip(changes[:3], changes[3:], strict=True):
                key = key.replace(now, then)
        old["module." + key.replace(".skip.", ".downsample.")] = value
    tables = {f"entropy_bottleneck.{table}": torch.zeros(3) for table in ("_offset", "_quantized_cdf", "_cdf_length")}
    return {**old, **{f"module.{key}": value for key, value in tables.items()}}


@pytest.mark.parametrize("generation", ["oldest", "older"])
@pytest.mark.parametrize("name", ["bmshj2018-factorized", "cheng2020-attn"])
def test_old_names_are_mapped(name, generation):
    weights = small(name, seed=3).state_dict()
    old = old_names(weights, generation)
    assert not set(old) & set(weights)
    assert set(rename_keys(old)) == set(weights)
    loaded = load_network(name, old).state_dict()
    assert all(torch.equal(loaded[key], weights[key]) for key in weights)


@pytest.mark.parametrize("name", NETWORKS)
def test_load_network_finds_the_channels(name):
    net, x = small(name, seed=4), picture()
    loaded = load_network(name, net.state_dict())
    assert not loaded.training
    with torch.no_grad():
        assert torch.equal(run(loaded, x).reconstruction, run(net, x).reconstruction)


def test_errors_explain():
    with pytest.raises(ValueError, match="no network is called 'cheng'; there are balle2017, "):
        network("cheng", 1)
    with pytest.raises(ValueError, match="qualities 1 … 8, not 0"):
        network("mbt2018", 0)
    weights = small("mbt2018-mean").state_dict()
    with pytest.raises(ValueError, match=r"no weights of cheng2020: 'g_a.0.conv1.weight' is missing"):
        load_network("cheng2020", weights)
    with pytest.raises(ValueError, match=r"no weights of bmshj2018-factorized: 'gaussian_.*' belongs to"):
        load_network("bmshj2018-factorized", weights)
    with pytest.raises(ValueError, match=r"'h_s.0.weight' has the shape \[8, 12, 5, 5\], not \[8, 8, 5, 5\]"):
        load_network("bmshj2018-hyperprior", weights)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_quality_has_its_network(name):
    with torch.device("meta"):  # no memory
        for quality, channels in enumerate(NETWORKS[name].CHANNELS, start=1):
            net = network(name, quality)
            assert net.training and net.entropy_bottleneck.channels in channels


# --- training


@pytest.mark.parametrize("proxy", ["noise", "relaxed", "rounded"])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_reach_every_parameter(name, proxy):
    net, x = lively(name).train(), picture(64, 128)
    out = run(net, x, proxy=proxy)
    loss = out.bits().sum() / x.numel() + (out.reconstruction - x).square().mean()
    loss.backward()
    frozen = ("g_a.", "gain.") if proxy == "rounded" and isinstance(net, Cheng2020) else ()
    for key, parameter in net.named_parameters():
        if key.startswith(frozen):
            continue
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
        assert (parameter.grad != 0).any(), key


@pytest.mark.parametrize("name", NETWORKS)
def test_a_few_steps_of_training_lower_the_loss(name):
    net, x = small(name).train(), picture(64, 64, n=2) * 0.3 + 0.5
    optimizer, losses = torch.optim.Adam(net.parameters(), lr=3e-3), []
    for _ in range(15):
        out = run(net, x)
        loss = out.bits().mean() / 64**2 + 100 * (out.reconstruction - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("name", NETWORKS)
def test_what_the_synthesis_sees_in_training(name):
    net, x = small(name).train(), picture()
    noisy, rounded = run(net, x).latents["y"], run(net, x, proxy="rounded").latents["y"]
    if (not hasattr(net, "entropy_parameters") and name != "mbt2018-mean") or name in VARIABLE:
        offset = net.entropy_bottleneck.medians[:, None, None] if net.stride == 16 else 0
        offset = offset * net.gain.factors(5.5)[:, None, None] if name == "balle2017" else offset
        torch.testing.assert_close(rounded - offset, (rounded - offset).round(), atol=1e-5, rtol=0)
    assert (noisy - noisy.round()).abs().mean() > 0.1
    net.eval()
    with torch.no_grad():
        assert torch.equal(run(net, x).latents["y"], run(net, x, proxy="rounded").latents["y"])


@pytest.mark.parametrize("name", [name for name in NETWORKS if issubclass(NETWORKS[name], Cheng2020)])
def test_rounded_latents_are_counted_as_such(name):
    """In training as in coding; z is counted with noise."""
    net, x = lively(name), picture(64, 128)
    counted = run(net.train(), x, proxy="rounded").likelihoods["y"]
    torch.testing.assert_close(counted, run(net.eval(), x).likelihoods["y"])
    assert not torch.allclose(counted, run(net.train(), x).likelihoods["y"])


@pytest.mark.parametrize("name", [name for name in NETWORKS if issubclass(NETWORKS[name], Cheng2020)])
def test_rounded_latents_leave_the_analysis_as_it_is(name):
    net, x = lively(name).train(), picture(64, 128)

    def learning(proxy):
        net.zero_grad(set_to_none=True)
        out = run(net, x, proxy=proxy)
        (out.bits().sum() + (out.reconstruction - x).square().sum()).backward()
        return {key.partition(".")[0] for key, p in net.named_parameters() if p.grad is not None and p.grad.any()}

    assert learning("noise") == learning("relaxed")
    assert learning("noise") - learning("rounded") == {"g_a", "gain"}
    assert {"g_s", "inverse_gain", "context_prediction", "entropy_parameters"} <= learning("rounded")


@pytest.mark.parametrize("name", [name for name in NETWORKS if issubclass(NETWORKS[name], Cheng2020)])
def test_relaxed_latents_are_nearly_those_that_are_coded(name):
    net, x = lively(name), picture(64, 128)
    with torch.no_grad():
        coded, relaxed, noisy = run(net.eval(), x), run(net.train(), x, proxy="relaxed"), run(net, x)

    def errors(of):
        return (of.latents["y"] - coded.latents["y"]).abs().mean()

    assert errors(relaxed) < 0.5 * errors(noisy)
    assert errors(relaxed) > 0


@pytest.mark.parametrize("proxy", ["noise", "relaxed", "rounded"])
def test_gradients_reach_details(proxy):
    torch.manual_seed(0)
    net, x = Cheng2020(N=6, M=9, deep=8, detail=4).train(), picture(64, 128)
    with torch.no_grad():
        net.g_a[7].weight.mul_(30), net.d_a[1].weight.mul_(30)
    out = net(x, 5.5, proxy=proxy)
    assert out.latents["y"].shape == (1, 13, 4, 8)
    (out.bits().sum() / x.numel() + (out.reconstruction - x).square().mean()).backward()
    learning = {key.partition(".")[0] for key, p in net.named_parameters() if p.grad is not None and p.grad.any()}
    idle = {key.partition(".")[0] for key in net.state_dict()} - learning - {"gaussian_mixture"}
    assert idle == ({"g_a", "d_a", "gain"} if proxy == "rounded" else set())


def test_details_do_not_change_what_comes_before_them():
    torch.manual_seed(0)
    net, x = Cheng2020(N=6, M=9, deep=8, detail=4).eval(), picture(64, 128)
    with torch.no_grad():
        y = net.latents(x, 5.5)
        assert torch.equal(y[:, :9], net.analysis(x) * net.gain.factors(5.5)[:9, None, None])
        y_hat = net.inverse_gain(y.round(), 5.5)
        torch.testing.assert_close(net.synthesis(y_hat), net(x, 5.5).reconstruction)
        torch.testing.assert_close(net.unclipped(y_hat) - net.g_s(y_hat[:, :9]), net.d_s(y_hat[:, 9:]))


@pytest.mark.parametrize("name", ["mbt2018", "cheng2020", "cheng2020-checkerboard"])
def test_packed_weights_are_the_same(name):
    net = lively(name)
    packed = packed_state(net)
    assert sum(t.numel() for t in packed.values()) < sum(t.numel() for t in net.state_dict().values())
    x = picture()
    with torch.no_grad():
        assert torch.equal(run(load_network(name, packed), x).reconstruction, run(net, x).reconstruction)
        assert torch.equal(run(load_network(name, packed), x).bits(), run(net, x).bits())


def test_channels_are_seen_in_weights():
    for channels in ((4, 6, 8, 3), (4, 6, 8, 0)):
        weights = Cheng2020(*channels).state_dict()
        assert channels_of("cheng2020", weights) == channels
        assert load_network("cheng2020", weights).M == 6


# --- evaluation as coding


@pytest.mark.parametrize("name", [name for name in NETWORKS if issubclass(NETWORKS[name], AutoregressiveNetwork)])
@torch.no_grad()
def test_latents_are_rounded_around_means_a_decoder_can_compute(name):
    """Position by position in raster order, with the whole context convolution run again at every one."""
    net, x = lively(name), picture(64, 128)
    out = net(x)
    y, features = net.analysis(x), net.h_s(out.latents["z"])
    y_hat = torch.zeros_like(y)
    for i in range(y.shape[2]):
        for j in range(y.shape[3]):
            _, means = net.parameters_from(y_hat, features)
            y_hat[:, :, i, j] = (y - means)[:, :, i, j].round() + means[:, :, i, j]
    assert (y.round() != 0).float().mean() > 0.3
    torch.testing.assert_close(out.latents["y"], y_hat, atol=1e-5, rtol=1e-5)
    scales, means = net.parameters_from(y_hat, features)
    expected = net.gaussian_conditional.likelihood(y_hat, scales, means)
    torch.testing.assert_close(out.likelihoods["y"], expected, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_a_batch_is_its_pictures(name):
    net, x = lively(name), picture(64, 64, n=3)
    together = run(net, x)
    for i in range(3):
        alone = run(net, x[i : i + 1])
        torch.testing.assert_close(alone.latents["y"], together.latents["y"][i : i + 1], atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(alone.bits(), together.bits()[i : i + 1], rtol=1e-3, atol=0)


@pytest.mark.parametrize("name", VARIABLE)
@torch.no_grad()
def test_quality_scales_the_latents(name):
    net, x = lively(name), picture(64, 128)
    bits = []
    for quality in (1, 2.5, 4, 8):
        out = net(x, quality)
        y, offset = net.gain(net.analysis(x), quality), 0
        if name == "balle2017":  # not whole numbers, but as many steps from the medians
            offset = (net.entropy_bottleneck.medians * net.gain.factors(quality))[:, None, None]
        torch.testing.assert_close(out.latents["y"], (y - offset).round() + offset, atol=1e-5, rtol=0)
        bits.append(float(out.bits()))
    each = net(x.repeat(4, 1, 1, 1), torch.tensor([1, 2.5, 4, 8]))
    assert each.bits().tolist() == pytest.approx(bits, rel=1e-3)
    with pytest.raises(ValueError, match="quality is a number from 1 to 8, not 9"):
        net(x, 9)
