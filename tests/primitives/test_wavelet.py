import numpy as np
import pytest
import pywt
from codeckit.primitives import Picture, StreamError, Wavelet
from codeckit.primitives.wavelet import forward_53, forward_97, inverse_53, inverse_97, subbands
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

sizes = st.tuples(st.integers(1, 23), st.integers(1, 23))
levels = st.integers(0, 7)


@given(sizes.flatmap(lambda size: arrays(np.uint8, size)), levels)
def test_53_restores_samples_exactly(plane, levels):
    coefficients = forward_53(plane, levels)
    assert coefficients.dtype == np.int32 and coefficients.shape == plane.shape
    np.testing.assert_array_equal(inverse_53(coefficients, levels), plane)


@given(sizes.flatmap(lambda size: arrays(np.int32, size)), levels)
def test_53_restores_any_int32_even_where_sums_wrap(plane, levels):
    np.testing.assert_array_equal(inverse_53(forward_53(plane, levels), levels), plane)


@given(sizes.flatmap(lambda size: arrays(np.uint8, size)), levels)
def test_97_restores_samples_to_float_rounding(plane, levels):
    coefficients = forward_97(plane, levels)
    assert coefficients.dtype == np.float32 and coefficients.shape == plane.shape
    np.testing.assert_allclose(inverse_97(coefficients, levels), plane, atol=2e-3)


def test_53_by_hand():
    # x = 10 20 40 10 0:  d = 20-⌊50/2⌋, 10-⌊40/2⌋ = -5 -10;  s = 10+⌊-8/4⌋, 40+⌊-13/4⌋, 0+⌊-18/4⌋ = 8 36 -5
    np.testing.assert_array_equal(
        forward_53(np.array([[10], [20], [40], [10], [0]], np.int16), 1)[:, 0], [8, 36, -5, -5, -10]
    )


def _pywt_level(plane, wavelet):
    """One level by PyWavelets, cut to the size of our subbands: its signals begin earlier, outside the plane."""
    low, (lh, hl, hh) = pywt.dwt2(plane, wavelet, mode="reflect")
    h, w = plane.shape[0] // 2, plane.shape[1] // 2
    start = (low.shape[0] - h) // 2
    return {
        name: band[start : start + h, start : start + w]
        for name, band in {"LL1": low, "HL1": hl, "LH1": lh, "HH1": hh}.items()
    }


# PyWavelets filters whole signals with the same two filter pairs, its high-pass with the opposite sign.
SIGNS = {"LL1": 1, "HL1": -1, "LH1": -1, "HH1": 1}


def test_97_against_pywavelets():
    plane = np.random.default_rng(0).uniform(0, 255, (40, 56))
    ours = forward_97(plane, 1)
    theirs = _pywt_level(plane, "bior4.4")
    for name, band in subbands(plane.shape, 1).items():
        interior = np.s_[3:-3, 3:-3]  # the two extend the edges alike but place them differently
        np.testing.assert_allclose(ours[band][interior], SIGNS[name] * theirs[name][interior], atol=1e-3)


def test_53_against_pywavelets_up_to_its_rounding():
    plane = np.random.default_rng(1).integers(0, 256, (40, 56))
    ours = forward_53(plane.astype(np.int16), 1)
    theirs = _pywt_level(plane.astype(float), "bior2.2")
    gains = {"LL1": 0.5, "HL1": 1, "LH1": 1, "HH1": 2}  # to the standard's gains, 1 and 2, from √2 and √2
    for name, band in subbands(plane.shape, 1).items():
        interior = np.s_[3:-3, 3:-3]
        error = ours[band][interior] - gains[name] * SIGNS[name] * theirs[name][interior]
        assert np.abs(error).max() < 2


@pytest.mark.parametrize("band", subbands((96, 96), 3))
def test_97_is_near_orthonormal(band):
    """Noise of unit variance in any one subband gives the picture nearly as much squared error."""
    coefficients = np.zeros((96, 96), np.float32)
    area = subbands((96, 96), 3)[band]
    coefficients[area] = np.random.default_rng(2).standard_normal(coefficients[area].shape)
    assert 0.7 < np.sum(inverse_97(coefficients, 3) ** 2) / np.sum(coefficients**2) < 1.5


@given(sizes, levels)
def test_subbands_tile_the_plane(shape, levels):
    covered = np.zeros(shape, int)
    for rows, columns in subbands(shape, levels).values():
        covered[rows, columns] += 1
    assert np.all(covered == 1) and len(subbands(shape, levels)) == 1 + 3 * levels


@settings(max_examples=30)
@given(sizes.flatmap(lambda size: arrays(np.uint8, size)), st.sampled_from(["9/7", "5/3"]), levels)
def test_stage_restores_samples(plane, kernel, levels):
    picture = Picture((plane,), size=plane.shape)
    stage = Wavelet(kernel, levels)
    restored = stage.inverse(stage.forward(picture)).planes[0]
    assert restored.dtype == np.uint8
    np.testing.assert_array_equal(restored, plane)


def test_stage_clips_and_rounds():
    picture = Picture((np.array([[1000.0, -3e38], [0.4, np.float32(3e38)]]),), size=(2, 2))
    for kernel in ("9/7", "5/3"):
        np.testing.assert_array_equal(Wavelet(kernel, 0).inverse(picture).planes[0], [[255, 0], [128, 255]])


def test_errors_name_the_problem():
    with pytest.raises(ValueError, match="kernel '7/9'; use '9/7' or '5/3'"):
        Wavelet("7/9")
    for bad in (-1, 33, 2.0, True):
        with pytest.raises(ValueError, match="levels must be an integer from 0 to 32"):
            Wavelet(levels=bad)
    with pytest.raises(ValueError, match="use 9/7 for floats"):
        forward_53(np.zeros((2, 2)), 1)
    with pytest.raises(ValueError, match="not shape"):
        forward_97(np.zeros((2, 0)), 1)
    with pytest.raises(ValueError, match="uint8 samples, not int16"):
        Wavelet().forward(Picture((np.zeros((2, 2), np.int16),), size=(2, 2)))
    with pytest.raises(StreamError, match="plane 0 of shape"):
        Wavelet().inverse(Picture((np.zeros((2, 2, 8, 8), np.int32),), size=(2, 2)))
