"""DVC and DCVC in full size: parameters and multiplications of each part, shapes, rates."""

import pytest
import torch
from codeckit.bench.studies.full_size_table import counts
from codeckit.codecs.learned_video.full_size import DcvcFull, DvcFull, FrameOutput

KINDS = [DvcFull, DcvcFull]


def conv(channels_in, channels_out, size):
    return channels_in * channels_out * size**2 + channels_out


def gdn(channels):
    return channels + channels**2


LEVEL = conv(8, 32, 7) + conv(32, 64, 7) + conv(64, 32, 7) + conv(32, 16, 7) + conv(16, 2, 7)
BLOCK = 2 * conv(64, 64, 3)
HYPER = conv(64, 64, 5)
DENSITY = 11  # parameters of a channel's density

DVC = {
    "flow": 4 * LEVEL,
    "motion_encoder": conv(2, 128, 3) + 7 * conv(128, 128, 3),
    "motion_decoder": 7 * conv(128, 128, 3) + conv(128, 2, 3),
    "motion_prior": 128 * DENSITY,
    "compensation": conv(6, 64, 3) + 6 * BLOCK + conv(64, 3, 3),
    "encoder": conv(3, 64, 5) + 2 * HYPER + conv(64, 96, 5) + 3 * gdn(64),
    "decoder": conv(96, 64, 5) + 2 * HYPER + conv(64, 3, 5) + 3 * gdn(64),
    "hyper_encoder": conv(96, 64, 3) + 2 * HYPER,
    "hyper_decoder": 2 * HYPER + conv(64, 96, 3),
    "hyper_prior": 64 * DENSITY,
    "laplace": 0,
}

DCVC = {
    "flow": 4 * LEVEL,
    "motion_encoder": conv(2, 128, 3) + 3 * conv(128, 128, 3) + 3 * gdn(128),
    "motion_decoder": 3 * conv(128, 128, 3) + conv(128, 2, 3) + 3 * gdn(128),
    "motion_refinement": conv(5, 64, 3) + 5 * conv(64, 64, 3) + conv(64, 2, 3),
    "motion_entropy": (conv(128, 64, 3) + 2 * HYPER)
    + (HYPER + conv(64, 96, 5) + conv(96, 256, 3))
    + conv(128, 256, 5)
    + (conv(512, 426, 1) + conv(426, 341, 1) + conv(341, 256, 1))
    + 64 * DENSITY,
    "features": conv(3, 64, 3) + BLOCK,
    "context": BLOCK + conv(64, 64, 3),
    "encoder": conv(67, 64, 5) + 2 * HYPER + conv(64, 96, 5) + 3 * gdn(64) + 2 * BLOCK,
    "decoder": conv(96, 256, 3) + 3 * conv(64, 256, 3) + 3 * gdn(64) + 2 * BLOCK,
    "reconstruction": conv(128, 64, 3) + 2 * BLOCK + conv(64, 3, 3),
    "temporal_prior": 3 * HYPER + conv(64, 96, 5) + 3 * gdn(64),
    "entropy": (conv(96, 64, 3) + 2 * HYPER)
    + (conv(64, 96, 5) + conv(96, 96, 5) + conv(96, 96, 3))
    + conv(96, 192, 5)
    + (conv(384, 320, 1) + conv(320, 256, 1) + conv(256, 192, 1))
    + 64 * DENSITY,
}

#: kMAC a pixel of the published layers.
DVC_MACS = {"flow": 319, "motion_encoder": 62, "compensation": 199, "encoder": 10, "decoder": 10}
DCVC_MACS = {
    "flow": 319,
    "motion_encoder": 13,
    "motion_decoder": 13,
    "motion_refinement": 188,
    "features": 75,
    "context": 111,
    "encoder": 58,
    "decoder": 72,
    "reconstruction": 223,
    "temporal_prior": 34,
}


@pytest.mark.parametrize(
    ("kind", "parameters", "macs", "millions"), [(DvcFull, DVC, DVC_MACS, 4.75), (DcvcFull, DCVC, DCVC_MACS, 7.94)]
)
def test_size_of_each_part(kind, parameters, macs, millions):
    assert LEVEL == 240_050
    found = counts(kind)
    assert {name: count for name, (count, _) in found.items()} == parameters
    assert round(sum(parameters.values()) / 1e6, 2) == millions
    assert {name: round(found[name][1] / 1000) for name in macs} == macs


def test_multiplications_of_all():
    assert sum(macs for _, macs in counts(DcvcFull).values()) / 1000 == pytest.approx(1093.75, rel=0.03)
    assert counts(DvcFull)["motion_decoder"][1] == 128**2 * 9 * (1 / 256 + 2 / 64 + 2 / 16 + 2 / 4) + 128 * 2 * 9


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def network(request):
    torch.manual_seed(0)
    return request.param(N=8, M=12, motion=16)


def frames(*shape):
    return torch.rand(2, *shape, generator=torch.Generator().manual_seed(1)).unbind()


def test_output(network):
    x, reference = frames(2, 3, 64, 128)
    for training in (True, False):
        out = network.train(training)(x, reference)
        assert set(out.bits) == set(network.PARTS)
        assert all(bits.shape == (2,) and (bits >= 0).all() for bits in out.bits.values())
        assert torch.allclose(out.total(), sum(out.bits.values()))
        for picture in (out.reconstruction, *out.predictions.values()):
            assert picture.shape == x.shape
        assert out.warped is out.predictions["motion"]


def test_begins_without_motion(network):
    x, reference = frames(1, 3, 64, 64)
    with torch.no_grad():
        out = network(x, reference)
    assert torch.allclose(out.predictions["flow"], reference, atol=1e-5)


def test_evaluation_repeats_itself_and_clips(network):
    x, reference = frames(1, 3, 64, 64)
    with torch.no_grad():
        noisy = [network(x, reference).reconstruction for _ in range(2)]
        assert not torch.equal(*noisy)
        network.eval()
        first, second = (network(x, reference) for _ in range(2))
    assert torch.equal(first.reconstruction, second.reconstruction)
    assert torch.equal(first.total(), second.total())
    assert first.reconstruction.min() >= 0 and first.reconstruction.max() <= 1


@pytest.mark.parametrize("proxy", ["rounded", "relaxed"])
def test_proxies(network, proxy):
    x, reference = frames(1, 3, 64, 64)
    out = network(x, reference, proxy=proxy)
    (out.reconstruction.square().mean() + out.total().mean()).backward()
    assert all(each.grad is None or each.grad.isfinite().all() for each in network.parameters())


def test_any_size(network):
    x, reference = frames(1, 3, 50, 70)
    with torch.no_grad():
        out = network.eval()(x, reference)
        padded = torch.nn.functional.pad(torch.cat((x, reference)), (0, 58, 0, 14), mode="replicate")
        whole = network(padded[:1], padded[1:])
    assert torch.equal(out.reconstruction, whole.reconstruction[:, :, :50, :70])
    assert torch.equal(out.total(), whole.total())


def test_pictures_of_a_batch_are_apart(network):
    x, reference = frames(2, 3, 64, 64)
    with torch.no_grad():
        both = network.eval()(x, reference)
        one = network(x[1:], reference[1:])
    assert torch.allclose(both.reconstruction[1:], one.reconstruction, atol=1e-4)
    assert torch.allclose(both.total()[1:], one.total(), rtol=1e-4)


def test_shapes_are_checked(network):
    for x, reference in (((1, 3, 64, 64), (1, 3, 64, 128)), ((1, 1, 64, 64),) * 2, ((3, 64, 64),) * 2):
        with pytest.raises(ValueError, match=r"both \[N,3,H,W\]"):
            network(torch.zeros(x), torch.zeros(reference))


def test_distributions_see_only_what_was_decoded():
    """Bits of latents before a changed one, in raster order, stay as they are."""
    torch.manual_seed(0)
    network = DcvcFull(N=8, M=12, motion=16).entropy
    y = torch.randn(1, 12, 4, 4)
    changed = y.clone()
    changed[0, :, 2, 1] += 5
    known = torch.randn(1, 12, 4, 4), torch.randn(1, 8, 1, 1)

    def means(y_hat):
        features = torch.cat((known[0], network.decoder(known[1]), network.neighbours(y_hat)), dim=1)
        return network.parameters_network(features)

    with torch.no_grad():
        same = (means(y) == means(changed)).all(1)[0]
    assert same.flatten()[: 2 * 4 + 2].all()
    assert not same.all()


def test_total_of_one_part():
    assert FrameOutput(torch.zeros(1), {}, {"latents": torch.ones(3)}).total().tolist() == [1, 1, 1]
