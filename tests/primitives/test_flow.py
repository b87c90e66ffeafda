"""Warping by a flow, and the pyramid network that finds one."""

import pytest
import torch
from codeckit.primitives.learned import PyramidFlow, warp


def random_(*shape, seed=0, dtype=torch.float32):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize(("right", "down"), [(0, 0), (3, 0), (0, 2), (-2, 1), (4, -5), (100, -100)])
def test_whole_pixels_shift(right, down):
    x = random_(2, 3, 9, 11)
    flow = torch.tensor([float(right), float(down)]).view(1, 2, 1, 1).expand(2, 2, 9, 11)
    rows = (torch.arange(9) + down).clamp(0, 8)
    columns = (torch.arange(11) + right).clamp(0, 10)
    assert torch.allclose(warp(x, flow), x[:, :, rows][:, :, :, columns], atol=1e-5)


def test_between_pixels_it_is_bilinear():
    x = random_(1, 1, 6, 6)
    flow = torch.tensor([0.25, 0.5]).view(1, 2, 1, 1).expand(1, 2, 6, 6)
    across = 0.75 * x[..., :-1] + 0.25 * x[..., 1:]
    expected = 0.5 * (across[:, :, :-1] + across[:, :, 1:])
    assert torch.allclose(warp(x, flow)[:, :, :-1, :-1], expected, atol=1e-5)


def test_every_pixel_has_its_own_vector():
    x, flow = random_(1, 2, 5, 7), torch.zeros(1, 2, 5, 7)
    flow[0, :, 3, 2] = torch.tensor([4.0, -3.0])
    warped = warp(x, flow)
    assert torch.allclose(warped[0, :, 3, 2], x[0, :, 0, 6], atol=1e-5)
    warped[0, :, 3, 2] = x[0, :, 3, 2]
    assert torch.allclose(warped, x, atol=1e-5)


def test_one_pixel_and_one_row():
    assert torch.allclose(warp(torch.ones(1, 1, 1, 1), torch.full((1, 2, 1, 1), 3.0)), torch.ones(1, 1, 1, 1))
    x = random_(1, 1, 1, 5)
    assert torch.allclose(warp(x, torch.zeros(1, 2, 1, 5)), x, atol=1e-6)


def test_gradients_are_slopes():
    """Against differences; `warp` computes in float32, so these are of linear pictures, where they are exact."""
    ramp = (2.0 * torch.arange(8.0) + 5.0 * torch.arange(6.0)[:, None]).view(1, 1, 6, 8).requires_grad_()
    flow = torch.full((1, 2, 6, 8), 0.3).requires_grad_()
    warped = warp(ramp, flow)
    warped[:, :, 1:-1, 1:-1].sum().backward()
    assert torch.allclose(flow.grad[0, 0, 1:-1, 1:-1], torch.tensor(2.0), atol=1e-4)
    assert torch.allclose(flow.grad[0, 1, 1:-1, 1:-1], torch.tensor(5.0), atol=1e-4)
    assert float(ramp.grad.sum()) == pytest.approx(4 * 6, rel=1e-5)  # each output spreads a weight of 1


def test_half_precision_keeps_its_positions():
    x, flow = random_(1, 3, 4, 600).bfloat16(), torch.full((1, 2, 4, 600), 1.0).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        warped = warp(x, flow)
    assert warped.dtype == torch.float32
    assert torch.allclose(warped[..., :-1, :-1], x[..., 1:, 1:].float(), atol=1e-3)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"has the shape \[1, 2, 4, 6\]"):
        warp(torch.zeros(1, 3, 4, 6), torch.zeros(1, 2, 6, 4))
    with pytest.raises(ValueError, match="multiples of 8"):
        PyramidFlow()(torch.zeros(1, 3, 16, 20), torch.zeros(1, 3, 16, 20))


def test_the_pyramid_begins_with_no_motion():
    network = PyramidFlow()
    assert sum(each.numel() for each in network.networks[0].parameters()) == 240_050
    flow = network(random_(2, 3, 16, 24), random_(2, 3, 16, 24, seed=1))
    assert flow.shape == (2, 2, 16, 24)
    assert not flow.any()


def test_the_coarsest_level_doubles_its_way_down():
    network = PyramidFlow(levels=3)
    with torch.no_grad():
        network.networks[0][-1].bias.copy_(torch.tensor([1.0, -2.0]))
        flow = network(random_(1, 3, 16, 16), random_(1, 3, 16, 16))
    assert torch.allclose(flow[0, 0], torch.tensor(4.0))
    assert torch.allclose(flow[0, 1], torch.tensor(-8.0))


def test_the_pyramid_learns_a_shift():
    torch.manual_seed(0)
    picture = torch.nn.functional.interpolate(random_(1, 3, 12, 12), size=(40, 40), mode="bicubic")
    x, reference = picture[:, :, 4:36, 4:36], picture[:, :, 4:36, 2:34]
    network = PyramidFlow(levels=2)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-4)
    errors = []
    for _ in range(40):
        optimizer.zero_grad()
        error = (warp(reference, network(x, reference)) - x).square().mean()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.3 * errors[0]
