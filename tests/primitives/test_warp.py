"""Dense motion compensation against its formula written out."""

import numpy as np
import pytest
from codeckit.primitives.warp import BLOCK, FLOW_BITS, TAPS, warp
from hypothesis import given, settings
from hypothesis import strategies as st


def vector(plane, y, x):
    """A component of a sample's vector in 16ths, by the position between the middles of blocks."""
    rows, columns = plane.shape
    total = 0
    at = [divmod(2 * place + 1 - BLOCK, 2 * BLOCK) for place in (y, x)]  # in 8ths of a block
    for row, down in ((at[0][0], 8 - at[0][1]), (at[0][0] + 1, at[0][1])):
        for column, right in ((at[1][0], 8 - at[1][1]), (at[1][0] + 1, at[1][1])):
            inside = int(plane[min(max(row, 0), rows - 1), min(max(column, 0), columns - 1)])
            total += down * right * inside
    return (total + 512) >> 10


def sample(plane, y, x, down, right):
    rows = np.clip(np.arange(-3, 5) + y + (down >> 4), 0, plane.shape[0] - 1)
    columns = np.clip(np.arange(-3, 5) + x + (right >> 4), 0, plane.shape[1] - 1)
    exact = int(TAPS[down & 15] @ plane[np.ix_(rows, columns)].astype(int) @ TAPS[right & 15])
    return min(max((exact + 2048) >> 12, 0), 255)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 40, 3000, 2**31 - 1]), st.integers(1, 4))
def test_a_warp_is_the_formula(seed, most, planes):
    rng = np.random.default_rng(seed)
    height, width = BLOCK * rng.integers(1, 6, 2)
    reference = rng.integers(0, 256, (height, width, planes), np.uint8)
    flow = rng.integers(-most, most + 1, (2, height // BLOCK, width // BLOCK)).astype(np.int32)
    predicted = warp(reference, flow)
    for y, x, plane in rng.integers(0, reference.shape, (12, 3)):
        down, right = (vector(component, y, x) for component in flow)
        assert predicted[y, x, plane] == sample(reference[..., plane], y, x, down, right)


def test_taps_keep_grey_and_mirror():
    assert (TAPS.sum(1) == 64).all()
    assert (TAPS[1:] == TAPS[:0:-1, ::-1]).all()


def test_whole_vectors_copy():
    reference = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    flow = np.zeros((2, 4, 6), np.int32)
    assert (warp(reference, flow) == reference).all()
    flow[0], flow[1] = 3 << FLOW_BITS, -5 << FLOW_BITS
    assert (warp(reference, flow)[:13, 5:] == reference[3:, :-5]).all()


@pytest.mark.parametrize("shape", [(2, 4, 5), (1, 4, 6), (2, 0, 0)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="does not fit"):
        warp(np.zeros((16, 24, 3), np.uint8), np.zeros(shape, np.int32))
