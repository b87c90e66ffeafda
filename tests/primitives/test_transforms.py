"""Colour, subsampling and DCT: against Pillow (libjpeg), scipy and scikit-image, and as inverse pairs."""

import io

import numpy as np
import pytest
import scipy.fft
import skimage.color
from codeckit.bench.studies.pictures import photo
from codeckit.primitives import BlockDCT, Picture, StreamError, Subsample, YCbCr
from codeckit.primitives.color import cmyk_to_rgb, rgb_to_ycbcr, ycbcr_to_rgb
from codeckit.primitives.dct import dct2, dct_matrix, from_blocks, idct2, to_blocks
from codeckit.primitives.subsample import downsample, upsample
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

images = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=24).map(lambda shape: (*shape, 3)))
planes = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=40))


def every_colour():
    steps = np.arange(0, 256, 5, dtype=np.uint8)
    return np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(len(steps), -1, 3)


def test_luma_is_libjpegs():
    image = every_colour()
    assert (rgb_to_ycbcr(image)[0] == np.asarray(Image.fromarray(image).convert("L"))).mean() > 0.99  # Pillow truncates
    exact = skimage.color.rgb2ycbcr(image)[..., 0]  # video range: 16 … 235
    full = (exact - 16) * 255 / 219
    assert np.abs(rgb_to_ycbcr(image)[0] - full).max() <= 0.51


@pytest.mark.parametrize("matrix, kr, kb", [("bt601", 0.299, 0.114), ("bt709", 0.2126, 0.0722)])
def test_colour_is_the_rounded_formula(matrix, kr, kb):
    image = every_colour()
    r, g, b = np.moveaxis(image.astype(np.float64), -1, 0)
    y = kr * r + (1 - kr - kb) * g + kb * b
    wanted = y, (b - y) / (2 - 2 * kb) + 128, (r - y) / (2 - 2 * kr) + 128
    for plane, exact in zip(rgb_to_ycbcr(image, matrix), wanted, strict=True):
        assert np.abs(plane - np.clip(exact, 0, 255)).max() <= 0.51


@given(images, st.sampled_from(["bt601", "bt709"]))
def test_colour_inverse(image, matrix):
    back = ycbcr_to_rgb(*rgb_to_ycbcr(image, matrix), matrix)
    assert np.abs(back.astype(int) - image).max() <= 2
    stage = YCbCr(matrix)
    assert (stage.inverse(stage.forward(image)) == back).all()


def test_colour_rounding_costs_little():
    """Flooring would cap a lossless codec at 43.7 dB."""
    image = photo(256, 256, 3, seed=1)
    error = ycbcr_to_rgb(*rgb_to_ycbcr(image)).astype(float) - image
    assert 10 * np.log10(255**2 / (error**2).mean()) > 51


@given(arrays(np.uint8, (6, 5, 4)))
def test_cmyk_is_pillows(inks):
    inverted = Image.frombytes("CMYK", (5, 6), (255 - inks).tobytes())
    assert (cmyk_to_rgb(inks) == np.asarray(inverted.convert("RGB"))).all()


@given(planes)
def test_factors_of_one_change_nothing(plane):
    assert (downsample(plane, 1, 1) == plane).all()
    assert (upsample(plane, 1, 1, plane.shape) == plane).all()


@given(planes, st.sampled_from([(1, 2), (2, 1), (2, 2)]))
def test_subsampling_keeps_flat_pictures_and_the_mean(plane, ratio):
    v, h = ratio
    small = downsample(plane, v, h)
    assert small.shape == (-(-plane.shape[0] // v), -(-plane.shape[1] // h))
    back = upsample(small, v, h, plane.shape)
    assert back.shape == plane.shape
    assert back.min() >= plane.min() and back.max() <= plane.max()


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:4:0", "4:2:0"])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (17, 3), (16, 16), (31, 33)])
def test_subsample_stage_restores_shapes(sampling, size):
    image = photo(*size, 3, seed=2)
    stage = Subsample(sampling)
    picture = YCbCr().forward(image)
    small = stage.forward(picture)
    assert all(extent % 8 == 0 for plane in small.planes for extent in plane.shape)
    back = stage.inverse(small)
    assert [plane.shape for plane in back.planes] == [size] * 3
    assert (back.planes[0] == picture.planes[0]).all()


def test_odd_ratios_are_refused():
    picture = Picture((np.zeros((8, 8), np.uint8),) * 2, (8, 8), ((1, 3), (1, 2)), "other")
    with pytest.raises(StreamError, match="fractional"):
        Subsample().inverse(picture)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 8, 16, 32])
def test_dct_is_scipys(n):
    blocks = np.random.default_rng(n).normal(size=(3, 4, n, n))
    assert np.allclose(dct2(blocks), scipy.fft.dctn(blocks, axes=(2, 3), norm="ortho"))
    assert np.allclose(idct2(dct2(blocks)), blocks)
    assert np.allclose(dct_matrix(n) @ dct_matrix(n).T, np.eye(n))


@given(arrays(np.uint8, (16, 24)))
def test_blocks_inverse(plane):
    assert (from_blocks(to_blocks(plane, 8)) == plane).all()


@settings(max_examples=50)
@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_islow_is_close_to_the_exact_dct(plane):
    picture = Picture((plane,), plane.shape)
    exact = BlockDCT(method="float").forward(picture).planes[0]
    integer = BlockDCT().forward(picture).planes[0]
    assert integer.dtype == np.float32 and (integer * 8 == np.rint(integer * 8)).all()
    assert np.abs(exact - integer).max() < 0.3
    for method, most in ("islow", 4), ("float", 0):  # islow's inverse takes whole coefficients, 64 halves in all off
        stage = BlockDCT(method=method)
        back = stage.inverse(stage.forward(picture)).planes[0]
        assert np.abs(back[: plane.shape[0], : plane.shape[1]].astype(int) - plane).max() <= most


@pytest.mark.parametrize("n", [4, 16])
def test_other_block_sizes(n):
    plane = photo(37, 41, 1, seed=3)
    stage = BlockDCT(n, "float")
    back = stage.inverse(stage.forward(Picture((plane,), plane.shape))).planes[0]
    assert (back[:37, :41] == plane).all()


def test_islow_inverse_is_libjpegs():
    """One grey block of each kind through a real file: libjpeg's own inverse DCT gives the same samples."""
    import codeckit

    rng = np.random.default_rng(4)
    image = rng.integers(0, 256, (64, 64), np.uint8)
    for quality in 5, 50, 100:
        data = codeckit.codec("jpeg", quality=quality).encode(image)
        assert (codeckit.decode(data) == np.asarray(Image.open(io.BytesIO(data)))).all()


@pytest.mark.parametrize("bad", [dict(size=0), dict(size=16), dict(method="fast"), dict(size=2.5)])
def test_bad_dct(bad):
    with pytest.raises(ValueError):
        BlockDCT(**bad)


@pytest.mark.parametrize("stage, bad", [(Subsample, "4:3:2"), (YCbCr, "bt2020")])
def test_bad_names_list_the_good_ones(stage, bad):
    with pytest.raises(ValueError, match="one of"):
        stage(bad)
