"""Lossless JPEG files decode to their exact samples, as libjpeg-turbo 3 decodes them."""

import itertools

import codeckit
import numpy as np
import pytest
from codeckit.bench.studies.jpeg_arithmetic import reference
from codeckit.bench.studies.lossless_writer import write_lossless
from codeckit.bench.studies.pictures import extremes, noise, photo
from codeckit.codecs.jpeg.repack import is_modelled, repack, unpack
from codeckit.primitives import StreamError

JFIF = bytes.fromhex("ffe000104a46494600010100000100010000")


def adobe(transform):
    return b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform])


def planes(image):
    return [np.ascontiguousarray(plane) for plane in np.atleast_3d(image).transpose(2, 0, 1)]


def assert_like_pillow(data, expected=None):
    decoded = codeckit.decode(data)
    np.testing.assert_array_equal(decoded, reference(data))
    if expected is not None:
        np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize("make", [photo, noise, extremes])
def test_predictors(predictor, make):
    for size, low, restart_rows in itertools.product([(7, 9), (1, 1), (16, 5), (1, 30)], (0, 1, 7), (0, 1, 3)):
        for channels, interleaved in (1, True), (3, True), (3, False):
            image = make(*size, channels, seed=predictor)
            options = {"predictor": predictor, "low": low, "restart_rows": restart_rows, "interleaved": interleaved}
            assert_like_pillow(write_lossless(planes(image), **options), image >> low << low)


def test_colour_models():
    image = noise(9, 14, 3)
    for head in b"", adobe(0):
        assert_like_pillow(write_lossless(planes(image), head=head), image)  # RGB
    for head in JFIF, adobe(1):  # which libjpeg-turbo does not convert
        data = write_lossless(planes(image), head=head)
        assert codeckit.info(data).details["colour"] == "ycbcr"
        assert (codeckit.decode(data) != image).any()
    gray = np.full((4, 5), 90, np.uint8)
    neutral = np.full((4, 5), 128, np.uint8)
    assert (codeckit.decode(write_lossless([gray, neutral, neutral], head=JFIF)) == 90).all()
    assert_like_pillow(write_lossless(planes(photo(9, 14, 4)), predictor=5))


@pytest.mark.parametrize("v, h", [(1, 2), (2, 1), (2, 2)])
def test_samplings(v, h):
    for height, width in (9, 14), (8, 16), (1, 1):
        luma = noise(height + -height % v, width + -width % h, 1, seed=1)
        chroma = [noise(-(-height // v), -(-width // h), 1, seed=seed) for seed in (2, 3)]
        options = {"factors": [(v, h), (1, 1), (1, 1)], "size": (height, width), "predictor": 6, "restart_rows": 1}
        assert_like_pillow(write_lossless([luma, *chroma], **options))


def test_info_and_repacking():
    data = write_lossless(planes(photo(20, 30)), restart_rows=5)
    found = codeckit.info(data)
    assert (found.size, found.channels, found.details["process"]) == ((20, 30), 3, "lossless")
    packed = repack(data)
    assert unpack(packed) == data and not is_modelled(packed)


def test_damage_is_refused():
    data = write_lossless(planes(photo(20, 30)), restart_rows=5)
    for end in range(0, len(data), 7):
        with pytest.raises(StreamError):
            codeckit.decode(data[:end])
    frame, scan, tables = data.index(b"\xff\xc3"), data.index(b"\xff\xda"), data.index(b"\xff\xc4")
    broken = {
        "12-bit": data[: frame + 4] + b"\x0c" + data[frame + 5 :],
        "4-bit": data[: frame + 4] + b"\x04" + data[frame + 5 :],
        "predictor 0": data[: scan + 11] + b"\0" + data[scan + 12 :],
        "predictor 8": data[: scan + 11] + b"\x08" + data[scan + 12 :],
        "8 bits less": data[: scan + 13] + b"\x08" + data[scan + 14 :],
        "no whole rows": data.replace(bytes.fromhex("ffdd00040096"), bytes.fromhex("ffdd00040095")),
        "table 0x00 is missing": data[:tables] + data[scan:],
        "more than the limit": data[: frame + 5] + b"\xff" * 4 + data[frame + 9 :],
        "cut: its scan of": data[: frame + 5] + b"\x0f\xff" + data[frame + 7 :],
        "two scans": data[:-2] + data[scan:],
    }
    for message, damaged in broken.items():
        with pytest.raises(StreamError, match=message):
            codeckit.decode(damaged)
    lone = write_lossless(planes(photo(20, 30)), interleaved=False)
    with pytest.raises(StreamError, match="missing"):
        codeckit.decode(lone[: lone.rindex(b"\xff\xc4")] + b"\xff\xd9")


def test_arithmetic_lossless_is_named():
    data = write_lossless(planes(photo(20, 30)))
    frame = data.index(b"\xff\xc3")
    with pytest.raises(StreamError, match="arithmetic-coded lossless, which is not supported"):
        codeckit.decode(data[: frame + 1] + b"\xcb" + data[frame + 2 :])
