"""Networks in tiles: the same as on the whole picture."""

import pytest
import torch
from codeckit.primitives.learned import AttentionBlock, ResidualBlock, ResidualBlockUpsample, ResidualBlockWithStride
from codeckit.primitives.learned.tiles import reach, tiled
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

torch.manual_seed(0)
DOWN = nn.Sequential(ResidualBlockWithStride(3, 4), ResidualBlock(4, 4), nn.Conv2d(4, 5, 5, 2, 2)).eval()
UP = nn.Sequential(AttentionBlock(4), ResidualBlockUpsample(4, 4), nn.ConvTranspose2d(4, 3, 5, 2, 2, 1)).eval()


def test_reach_of_known_networks():
    same = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 1, 7, padding=3))
    assert reach(same, 2) == 4
    assert reach(nn.Conv2d(2, 2, 1), 2) == 0
    assert (
        reach(nn.Sequential(*(nn.Conv2d(1, 1, 9, padding=4) for _ in range(9))), 1) == 36
    )  # wider than its first look
    # An output at step 2 reads inputs -2 … 2 around it: a block of two inputs changes its own and both neighbours.
    assert reach(nn.Conv2d(3, 1, 5, stride=2, padding=2), 3, down=2) == 1
    assert reach(nn.ConvTranspose2d(3, 1, 5, stride=2, padding=2, output_padding=1), 3, up=2) == 1


@settings(max_examples=25, deadline=None)
@given(height=st.integers(1, 14), width=st.integers(1, 14), side=st.integers(1, 9), seed=st.integers(0, 99))
def test_tiles_make_no_difference(height, width, side, seed):
    generator = torch.Generator().manual_seed(seed)
    picture = torch.rand(2, 3, 4 * height, 4 * width, generator=generator)
    latents = torch.rand(1, 4, height, width, generator=generator)
    with torch.no_grad():
        down = tiled(DOWN, picture, down=4, whole=0, side=side)
        up = tiled(UP, latents, up=4, whole=0, side=side, after=lambda x: x.double())
        assert torch.allclose(down, DOWN(picture), atol=1e-5)
        assert torch.allclose(up, UP(latents).double(), atol=1e-5)
    assert up.dtype == torch.float64


def test_small_pictures_are_not_cut():
    seen = []
    tiled(lambda x: seen.append(x.shape) or x, torch.zeros(1, 1, 8, 8))
    assert seen == [(1, 1, 8, 8)]


@pytest.mark.parametrize("side", [2, 3])
def test_before_and_after(side):
    picture = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8)
    same = tiled(
        nn.Identity(), picture, before=lambda x: x.float() / 2, after=lambda x: (2 * x).byte(), whole=0, side=side
    )
    assert torch.equal(same, picture)
