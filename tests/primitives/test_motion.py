"""Motion compensation against HEVC's formula written out, estimation against motion that is known."""

import numpy as np
import pytest
from codeckit.bench.studies.pictures import photo
from codeckit.primitives.entropy.context import decode_planes, encode_planes
from codeckit.primitives.motion import (
    BLOCK,
    CHROMA_FILTERS,
    LUMA_FILTERS,
    MARGIN,
    REACH,
    clip_motion,
    compensate,
    estimate,
    pad,
)
from hypothesis import given
from hypothesis import strategies as st


def test_filters_are_those_of_h265():
    """Tables 8-11 and 8-12 of ITU-T H.265: each sums to 64, and the fraction 1 - f mirrors f."""
    assert (LUMA_FILTERS.sum(1) == 64).all() and (CHROMA_FILTERS.sum(1) == 64).all()
    assert (LUMA_FILTERS[3, 1:] == LUMA_FILTERS[1, :0:-1]).all() or (LUMA_FILTERS[3] == LUMA_FILTERS[1][::-1]).all()
    assert CHROMA_FILTERS.tolist()[5:] == [[-4, 28, 46, -6], [-2, 16, 54, -4], [-2, 10, 58, -2]]
    assert CHROMA_FILTERS.tolist()[1:4] == [[-2, 58, 10, -2], [-4, 54, 16, -2], [-6, 46, 28, -4]]


@given(st.integers(-60, 60), st.integers(-60, 60), st.booleans(), st.integers(0, 2**32 - 1))
def test_compensation_is_the_formula(dy, dx, chroma, seed):
    rng = np.random.default_rng(seed)
    side = BLOCK // 2 if chroma else BLOCK
    plane = rng.integers(0, 256, (2 * side, 2 * side), np.uint8)
    filters, bits = (CHROMA_FILTERS, 3) if chroma else (LUMA_FILTERS, 2)
    motion = np.zeros((2, 2, 2), np.int32)
    motion[1, 0] = dy, dx
    predicted = compensate(pad(plane), motion, chroma)
    taps, whole_y, whole_x = filters.shape[1], dy >> bits, dx >> bits
    edge = np.pad(plane.astype(int), 80, mode="edge")
    for y, x in ((0, 0), (side - 1, 3), (5, side - 1)):
        top, left = 80 + side + y + whole_y - (taps // 2 - 1), 80 + x + whole_x - (taps // 2 - 1)
        window = edge[top : top + taps, left : left + taps]
        exact = filters[dy & ((1 << bits) - 1)] @ window @ filters[dx & ((1 << bits) - 1)]
        assert predicted[side + y, x] == min(max((exact + 2048) >> 12, 0), 255)
    assert (predicted[:side, :side] == plane[:side, :side]).all()


@pytest.mark.parametrize("dy, dx", [(0, 0), (3, -5), (-11, 14), (20, 2)])
def test_estimation_finds_whole_displacements(dy, dx):
    big = photo(160, 176, 1, seed=5)
    before, now = big[32:128, 32:144], big[32 + dy : 128 + dy, 32 + dx : 144 + dx]
    motion = estimate(now.copy(), pad(before), np.zeros((6, 7, 2), np.int32), 2.0)
    inner = motion[2:-2, 2:-2] if max(abs(dy), abs(dx)) > 8 else motion[1:-1, 1:-1]
    assert (inner == (4 * dy, 4 * dx)).all(2).mean() > 0.8
    predicted = compensate(pad(before), motion, chroma=False)
    assert np.abs(predicted[32:-32, 32:-32].astype(int) - now[32:-32, 32:-32]).mean() < 1


def test_estimation_finds_quarter_pixels():
    y, x = np.mgrid[:64, :96]

    def frame(shift_y, shift_x):
        wave = 128 + 50 * np.sin((y + shift_y) / 4.1) + 50 * np.cos((x + shift_x) / 3.3) + 20 * np.sin((x + y) / 5)
        return np.rint(wave).astype(np.uint8)

    motion = estimate(frame(0.25, -0.5), pad(frame(0, 0)), np.zeros((4, 6, 2), np.int32), 0.5)
    away = np.abs(motion[1:-1, 1:-1] - (1, -2))
    assert np.median(away) == 0


def test_a_penalty_makes_the_field_smooth():
    rng = np.random.default_rng(1)
    before, now = rng.integers(90, 110, (2, 96, 96), np.uint8)
    nothing = np.zeros((6, 6, 2), np.int32)
    assert estimate(now, pad(before), nothing, 0.0).any()
    assert not estimate(now, pad(before), nothing, 1000.0).any()


def test_vectors_of_a_damaged_stream_stay_inside():
    wild = np.random.default_rng(1).integers(-(2**31), 2**31, (3, 4, 2)).astype(np.int32)
    limited = clip_motion(wild)
    assert np.abs(limited).max() <= 4 * (REACH + 3 * BLOCK) and MARGIN >= REACH + 5
    assert compensate(pad(photo(48, 64, 1)), wild, chroma=False).shape == (48, 64)
    assert (clip_motion(limited) == limited).all()


@given(st.integers(0, 2**32 - 1))
def test_statistics_that_are_handed_on(seed):
    """A video's frames, coded one after the other with one memory: the same back, and smaller than each on its own."""
    rng = np.random.default_rng(seed)
    frames = [[rng.poisson(0.3, (4, 5, 2, 2)), rng.poisson(0.1, (2, 3))] for _ in range(6)]
    writing, reading, alone, together = {}, {}, 0, 0
    for planes in frames:
        coded = encode_planes(planes, writing)
        back = decode_planes(coded, [plane.shape for plane in planes], reading)
        assert all((a == b).all() for a, b in zip(planes, back, strict=True))
        alone, together = alone + len(encode_planes(planes)), together + len(coded)
    assert together <= alone + 3
