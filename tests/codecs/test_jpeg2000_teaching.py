"""Bit planes of wavelets: exact round trips, prefixes that decode, smaller pictures, the standard's transforms."""

import hashlib
import itertools
from dataclasses import replace

import codeckit
import numpy as np
import pytest
from codeckit.bench.studies.pictures import extremes, noise, photo
from codeckit.codecs.jpeg2000_teaching import decode_resolution, truncate
from codeckit.metrics import psnr
from codeckit.primitives import BitPlaneCoded, ComponentTransform, Picture, StreamError, YCbCr
from codeckit.primitives.container import pack, unpack
from hypothesis import given
from hypothesis import strategies as st


def codec(**options):
    return codeckit.codec("jpeg2000-teaching", **options)


@given(
    st.integers(1, 20), st.integers(1, 20), st.integers(1, 3), st.integers(0, 4), st.integers(0, 29),
    st.sampled_from(["quality", "resolution"]), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_symbols_come_back(height, width, planes, levels, bits, order, seed):
    rng = np.random.default_rng(seed)
    symbols = [
        (rng.laplace(0, 2.0**bits / 20, (height, width))).clip(1 - 2**29, 2**29 - 1).astype(np.int32)
        for _ in range(planes)
    ]
    picture = Picture(tuple(symbols), (height, width), ((1, 1),) * planes, "grey" if planes == 1 else "other")
    stage = BitPlaneCoded(levels, order)
    back = stage.inverse(stage.forward(picture))
    assert back.size == picture.size and back.color == picture.color
    for ours, plane in zip(back.planes, symbols, strict=True):
        assert ours.dtype == np.int32 and (ours == plane).all()


@given(st.integers(0, 2**32 - 1))
def test_any_prefix_brackets_the_symbols(seed):
    """A prefix's value lies in the interval that the known bits leave: nearer than the largest magnitude, same sign."""
    rng = np.random.default_rng(seed)
    symbols = rng.laplace(0, 30, (13, 17)).astype(np.int32)
    stage = BitPlaneCoded(2)
    payload = stage.forward(Picture((symbols,), symbols.shape))
    errors = []
    for size in range(20, len(payload), 7):
        plane = stage.inverse(payload[:size]).planes[0]
        assert ((np.sign(plane) == np.sign(symbols)) | (plane == 0)).all()
        errors.append(np.square(plane - symbols).sum())
    assert errors[-1] < errors[0] and np.diff(errors).max(initial=0) <= 0.1 * errors[0]


@pytest.mark.parametrize("order", ["quality", "resolution"])
def test_prefixes_of_a_stream_are_pictures_that_get_better(order):
    image = photo(96, 112, seed=2)
    stream = codec(quality=80, order=order).encode(image)
    qualities = []
    for part in (0.05, 0.1, 0.2, 0.4, 0.7, 1):
        cut = truncate(stream, int(part * len(stream)))
        assert len(cut) <= part * len(stream)
        qualities.append(psnr(image, codeckit.decode(cut)))
    assert all(a < b + 0.05 for a, b in itertools.pairwise(qualities)), qualities
    assert qualities[0] > 15 and qualities[-1] > 36
    assert truncate(stream, len(stream)) == stream
    with pytest.raises(ValueError, match="header"):
        truncate(stream, 40)


def test_a_cut_stream_is_nearly_as_good_as_one_made_for_that_size():
    image = photo(96, 112, seed=2)
    fine, coarse = codec(quality=85).encode(image), codec(quality=60).encode(image)
    cut = codeckit.decode(truncate(fine, len(coarse)))
    assert psnr(image, cut) > psnr(image, codeckit.decode(coarse)) - 1


@pytest.mark.parametrize("order", ["quality", "resolution"])
def test_smaller_pictures_from_the_coarse_subbands(order):
    image = photo(64, 80, seed=3)
    stream = codec(quality=90, order=order).encode(image)
    assert (decode_resolution(stream, 0) == codeckit.decode(stream)).all()
    half = decode_resolution(stream, 1)
    means = image.reshape(32, 2, 40, 2, 3).mean((1, 3))
    assert half.shape == (32, 40, 3) and psnr(np.rint(means).astype(np.uint8), half) > 25
    with pytest.raises(ValueError, match="octaves"):
        decode_resolution(stream, 6)


def test_a_resolution_prefix_holds_the_smaller_picture():
    image = photo(128, 128, seed=3)
    stream = codec(quality=90, order="resolution").encode(image)
    cut = truncate(stream, len(stream) // 3)
    assert psnr(decode_resolution(stream, 2), decode_resolution(cut, 2)) == np.inf


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (33, 64), (7, 130)])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless(size, channels):
    for kind in photo, noise, extremes:
        image = kind(*size, channels, seed=1)
        assert (codeckit.decode(codec(lossless=True).encode(image)) == image).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (33, 64), (7, 130)])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossy_in_every_size(size, channels):
    image = photo(*size, channels, seed=1)
    decoded = codeckit.decode(codec(quality=92).encode(image))
    assert decoded.shape == image.shape and psnr(image, decoded) > 40


def test_rate_control():
    image = photo(96, 96, seed=1)
    assert 0.8 < 8 * len(codeckit.encode(image, "jpeg2000-teaching", bpp=1)) / 96**2 <= 1
    assert 33 <= psnr(image, codeckit.decode(codeckit.encode(image, "jpeg2000-teaching", psnr=33))) < 34


@given(st.integers(0, 2**32 - 1))
def test_the_reversible_transform_is_t800s(seed):
    """T.800 equations G-6 to G-11, in Python's integers."""
    image = np.random.default_rng(seed).integers(0, 256, (2, 3, 3), np.uint8)
    stage = ComponentTransform(reversible=True)
    y, u, v = (plane.tolist() for plane in stage.forward(image).planes)
    for row in range(2):
        for column in range(3):
            r, g, b = (int(sample) - 128 for sample in image[row, column])
            assert (y[row][column], u[row][column], v[row][column]) == ((r + 2 * g + b) // 4, b - g, r - g)
    assert (stage.inverse(stage.forward(image)) == image).all()


def test_the_irreversible_transform_is_ycbcr_unrounded():
    image = noise(16, 16, seed=1)
    for plane, rounded in zip(ComponentTransform().forward(image).planes, YCbCr().forward(image).planes, strict=True):
        assert np.abs(plane + 128 - rounded).max() < 0.52
    assert (ComponentTransform().inverse(ComponentTransform().forward(image)) == image).all()


def test_the_format_has_not_changed():
    """A golden stream; the numbers are this format's definition."""
    y, x = np.mgrid[:24, :32]
    image = np.stack([(3 * x + y) % 256, (x * y) % 256, (255 - 5 * y) % 256], 2).astype(np.uint8)
    stream = codec(quality=70, levels=3, order="quality").encode(image)
    assert hashlib.sha256(unpack(codec(lossless=True).encode(image)).payload).hexdigest()[:16] == "5908fb9e02d276dc"
    assert unpack(stream).codec == 26
    assert psnr(image, codeckit.decode(stream)) > 33


def test_damage():
    stream = codec(quality=60).encode(photo(40, 50, seed=1))
    with pytest.raises(StreamError):
        codeckit.decode(stream[:-1])
    with pytest.raises(StreamError, match="max_pixels"):
        codeckit.decode(stream, max_pixels=100)
    held = unpack(stream)
    rng = np.random.default_rng(1)
    outcomes = set()
    for _ in range(60):
        payload = bytearray(held.payload)
        payload[rng.integers(len(payload))] = rng.integers(256)
        try:
            codeckit.decode(pack(replace(held, payload=bytes(payload))), max_pixels=1 << 20)
            outcomes.add("picture")
        except StreamError:
            outcomes.add("refused")
    assert "refused" in outcomes


@pytest.mark.parametrize(
    "options, message", [(dict(order="size"), "quality or resolution"), (dict(quality=0), "1 to 100")]
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        codec(**options)


def test_bit_planes_take_integers_alone():
    with pytest.raises(ValueError, match="integers"):
        BitPlaneCoded().forward(Picture((np.zeros((4, 4), np.float32),), (4, 4)))
    with pytest.raises(ValueError, match="do not fit"):
        BitPlaneCoded().forward(Picture((np.full((4, 4), 1 << 30, np.int64),), (4, 4)))
