"""Library codecs of stills, video standards included: every size and format, rate control, damage, what is missing."""

import importlib.util
import io
import sys
from dataclasses import replace

import codeckit
import numpy as np
import pytest
from codeckit.bench.studies.pictures import photo
from codeckit.codecs import registry
from codeckit.codecs.standards import STANDARDS
from codeckit.codecs.standards.codec import from_planes, padded, to_planes
from codeckit.codecs.standards.encoders import Settings
from codeckit.metrics import psnr
from codeckit.primitives import StreamError
from codeckit.primitives.color import MATRICES, RANGES, planes_to_rgb, rgb_to_planes
from codeckit.primitives.container import pack, unpack
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

STILLS = ("jpeg2000", "avif", "png", "jpegxl", "mozjpeg", "jpegli")
LIBRARY = ("libjpeg", "webp", *STILLS, *STANDARDS)


def of(name, **options):
    """The codec, or a skipped test where its library is missing."""
    entry = registry.entry(name)
    if not entry.available:
        pytest.skip(f"{name} is not installed: {entry.install}")
    return codeckit.codec(name, **options)


def grey_like(decoded, image):
    return decoded[..., 0] if decoded.ndim > image.ndim else decoded


@pytest.mark.parametrize("name", LIBRARY)
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (65, 34)])
def test_every_size_in_colour_and_grey(name, size):
    quality = registry.entry(name).quality
    codec = of(name, quality=quality[0] + 3 * (quality[1] - quality[0]) // 4)
    for channels in 1, 3:
        image = photo(*size, channels, seed=6)
        stream = codec.encode(image)
        decoded = codeckit.decode(stream)
        assert decoded.shape[:2] == size and decoded.dtype == np.uint8
        assert psnr(image, grey_like(decoded, image)) > 22, (name, size, channels)
        assert codeckit.info(stream).size == size
        assert (codec.decode(stream) == decoded).all() or codec.name in ("libjpeg", "mozjpeg", "jpegli")


@pytest.mark.parametrize("name, form", [("jpeg2000", "JPEG2000"), ("avif", "AVIF"), ("webp", "WEBP"), ("png", "PNG")])
def test_files_are_genuine(name, form):
    stream = of(name).encode(photo(40, 50, seed=1))
    with Image.open(io.BytesIO(stream)) as file:
        assert (file.format, file.size) == (form, (50, 40))
    found = codeckit.info(stream)
    assert (found.codec, found.channels) == (name, 3)


def test_jpeg_xl_files_are_found_from_their_bytes():
    stream = of("jpegxl").encode(photo(40, 50, seed=1))
    assert codeckit.info(stream).codec == "jpegxl" and codeckit.decode(stream).shape == (40, 50, 3)


@pytest.mark.parametrize("name", ["png", "jpeg2000", "webp", "jpegxl"])
def test_lossless(name):
    codec = of(name, **({} if name == "png" else {"lossless": True}))
    for channels in 1, 3:
        image = photo(31, 45, channels, seed=2)
        assert (grey_like(codeckit.decode(codec.encode(image)), image) == image).all()


@pytest.mark.parametrize("name", [name for name in LIBRARY if name not in ("libjpeg", "webp")])
def test_rate_control(name):
    of(name)
    image = photo(80, 96, 3, seed=1)
    if name == "png":
        assert codeckit.encode(image, name, psnr=50) == codeckit.encode(image, name)
        with pytest.raises(ValueError, match="lowest quality"):
            codeckit.encode(image, name, bpp=1)
        return
    stream = codeckit.encode(image, name, bpp=2)
    assert 1.3 < 8 * len(stream) / (80 * 96) <= 2
    reached = psnr(image, codeckit.decode(codeckit.encode(image, name, psnr=29)))
    assert 29 <= reached < 31


def test_higher_quality_is_better_everywhere():
    image = photo(64, 64, 3, seed=4)
    for name in LIBRARY:
        if not registry.entry(name).available or name == "png":
            continue
        low, high = registry.entry(name).quality
        streams = [codeckit.codec(name, quality=low + (high - low) * part // 5).encode(image) for part in (1, 2, 4)]
        assert len(streams[0]) < len(streams[1]) < len(streams[2]), name
        qualities = [psnr(image, codeckit.decode(stream)) for stream in streams]
        assert qualities == sorted(qualities), name


def test_openjpeg_reaches_its_ratio_and_mozjpeg_beats_libjpeg():
    image = photo(128, 128, 3, seed=1)
    assert len(codeckit.codec("jpeg2000", ratio=20).encode(image)) <= 1.02 * image.size / 20
    if registry.entry("mozjpeg").available:
        flat = codeckit.codec("mozjpeg", quality=75, tables=1).encode(image)
        plain = codeckit.codec("mozjpeg", quality=75, tables=1, trellis=False).encode(image)
        assert len(flat) < len(plain)


# --- video standards ---


@pytest.mark.parametrize("standard", STANDARDS)
def test_quality_is_the_coarsest_parameter_less_the_parameter(standard):
    highest = STANDARDS[standard].highest
    codec = codeckit.codec(standard, qp=30)
    assert codec.setting == {"quality": highest - 30}
    assert codec == codeckit.codec(standard, quality=highest - 30)
    assert registry.entry(standard).quality == (0, highest)
    assert codeckit.codec(standard, crf=20).setting == {"quality": highest - 20, "rate": "crf"}


@given(
    st.sampled_from(sorted(MATRICES)),
    st.sampled_from(RANGES),
    st.sampled_from([8, 10, 12]),
    st.integers(0, 2**32 - 1),
)
def test_colour_in_any_range_and_depth(matrix, value_range, bits, seed):
    """Against the formulas of H.273 in floats; and back, within what the rounding of 8 bits costs."""
    rgb = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    y, cb, cr = rgb_to_planes(rgb, matrix, value_range, bits)
    kr, kb = MATRICES[matrix]
    r, g, b = np.moveaxis(rgb / 255, 2, 0)
    luma = kr * r + (1 - kr - kb) * g + kb * b
    blue, red = (b - luma) / (2 - 2 * kb), (r - luma) / (2 - 2 * kr)
    top, unit = (1 << bits) - 1, 1 << (bits - 8)
    full = value_range == "full"
    wanted = [luma * top if full else (219 * luma + 16) * unit]
    wanted += [c * top + (1 << (bits - 1)) if full else (224 * c + 128) * unit for c in (blue, red)]
    for plane, exact in zip((y, cb, cr), wanted, strict=True):
        assert np.abs(plane - exact).max() <= 0.505
        assert plane.dtype == (np.uint8 if bits == 8 else np.uint16)
    back = planes_to_rgb((y, cb, cr), matrix, value_range, bits)
    assert np.abs(back.astype(int) - rgb).max() <= (3 if bits == 8 else 1 if bits == 10 else 0)
    grey = rgb[..., 0]
    assert (planes_to_rgb(rgb_to_planes(grey, matrix, value_range, bits), matrix, value_range, bits) == grey).sum() >= (
        0 if bits == 8 else grey.size
    )


@given(
    st.sampled_from([("hevc", "4:2:0", 8), ("hevc", "4:4:4", 10), ("hevc", "grey", 8), ("av1", "4:2:0", 10)]),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([1, 3]),
)
def test_planes_keep_flat_pictures_of_every_size(kind, height, width, channels):
    standard, chroma, bits = kind
    settings = Settings(standard, 30, chroma=chroma if channels == 3 or chroma == "grey" else "4:2:0", bits=bits)
    if channels == 3 and chroma == "grey":
        return
    image = np.full((height, width, channels), (200, 90, 30)[:channels], np.uint8).reshape(
        (height, width, 3) if channels == 3 else (height, width)
    )
    planes = to_planes(image, settings)
    assert planes[0].shape == padded((height, width), settings)
    color = {"grey": 0, "4:2:0": 1, "4:4:4": 3}[settings.chroma] if channels == 3 else 0
    back = from_planes(planes, bits, (height, width), color)
    assert back.shape == image.shape and np.abs(back.astype(int) - image).max() <= 1


def test_matrix_and_range_are_written_into_the_stream():
    image = photo(48, 64, 3, seed=3)
    for matrix in MATRICES:
        for value_range in RANGES:
            for bits in 8, 10:
                codec = codeckit.codec(
                    "hevc",
                    qp=4,
                    preset="ultrafast",
                    subsampling="4:4:4",
                    matrix=matrix,
                    value_range=value_range,
                    bits=bits,
                )
                stream = codec.encode(image)
                assert psnr(image, codeckit.decode(stream)) > 40, (matrix, value_range, bits)
                assert not unpack(stream).sections


def test_a_still_costs_15_bytes_besides_its_bitstream():
    stream = codeckit.codec("hevc", preset="ultrafast").encode(photo(512, 200, seed=1))
    held = unpack(stream)
    assert held.payload[:5].hex() == "8004" + "c801" + "01" and held.payload[5:9] == b"\0\0\0\1"
    assert len(stream) - len(held.payload[5:]) == 15


def test_supplemental_information_is_left_out():
    for name, word in ("h264", b"x264"), ("hevc", b"x265"), ("vvc", b"VVenC"):
        if registry.entry(name).available:
            assert word not in codeckit.codec(name).encode(photo(64, 64)), name


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(qp=60), "0 to 51"),
        (dict(qp=20, crf=20), "one of qp, crf"),
        (dict(quality=-1), "0 to 51"),
        (dict(preset="9"), "preset of hevc is placebo"),
        (dict(subsampling="4:1:1"), "4:2:0, 4:2:2 or 4:4:4"),
        (dict(matrix="bt2020"), "bt601 or bt709"),
        (dict(value_range="tv"), "full or limited"),
        (dict(bits=9), "8, 10 or 12"),
        (dict(gop=0), "at least 1"),
        (dict(tune="film"), "psnr, ssim or none"),
    ],
)
def test_bad_options_name_the_legal_ones(options, message):
    with pytest.raises(ValueError, match=message):
        codeckit.codec("hevc", **options)


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("jpeg2000", dict(ratio=0.5), "from 1 up"),
        ("avif", dict(speed=11), "0 to 10"),
        ("avif", dict(subsampling="4:1:1"), "4:4:4"),
        ("png", dict(quality=50), "100 to 100"),
        ("jpegxl", dict(effort=0), "1 to 10"),
        ("mozjpeg", dict(tables=9), "0 to 8"),
        ("mozjpeg", dict(subsampling="4:2:2"), "4:2:0"),
        ("av1", dict(subsampling="4:4:4"), "subsampling of av1 is 4:2:0"),
        ("vvc", dict(bits=8), "bits of vvc is 10"),
    ],
)
def test_bad_options_of_the_others(name, options, message):
    with pytest.raises(ValueError, match=message):
        codeckit.codec(name, **options)


@pytest.mark.parametrize(
    "name, module", [("jpegxl", "pillow_jxl"), ("mozjpeg", "pyvips"), ("jpegli", "pyjpegli"), ("vvc", "imageio_ffmpeg")]
)
def test_a_missing_library_says_how_to_install_it(name, module, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda wanted: None if wanted == module else found(wanted))
    entry = registry.entry(name)
    assert not entry.available and entry.install == f"pip install 'codeckit[{name}]'"
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=rf"pip install 'codeckit\[{name}\]'"):
        codeckit.codec(name).encode(photo(16, 16))


@pytest.mark.parametrize("name", ["h264", "hevc", "av1", "vp9", "vvc"])
def test_damaged_bitstreams_behind_a_valid_checksum(name):
    stream = of(name).encode(photo(64, 64, seed=1))
    held = unpack(stream)
    rng = np.random.default_rng(1)
    for round in range(12):
        payload = bytearray(held.payload)
        if round < 8:
            for at in rng.integers(0, len(payload), 4):
                payload[at] = rng.integers(256)
        else:
            payload = payload[: len(payload) * (round - 7) // 6]
        try:
            decoded = codeckit.decode(pack(replace(held, payload=bytes(payload))), max_pixels=1 << 22)
        except StreamError:
            continue
        assert decoded.dtype == np.uint8


def test_a_bitstream_larger_than_its_header_says_is_refused():
    big = unpack(codeckit.codec("hevc", preset="ultrafast").encode(photo(700, 900, seed=1)))
    small = unpack(codeckit.codec("hevc", preset="ultrafast").encode(photo(32, 32, seed=1)))
    forged = small.payload[:3] + big.payload[5:]
    with pytest.raises(StreamError):
        codeckit.decode(pack(replace(small, payload=forged)))


@pytest.mark.parametrize("name", ["jpeg2000", "avif", "png", "jpegxl"])
def test_damaged_files(name):
    stream = of(name).encode(photo(64, 80, seed=1))
    with pytest.raises(StreamError):
        codeckit.decode(stream[: len(stream) // 3])
    with pytest.raises(StreamError, match="max_pixels"):
        codeckit.decode(stream, max_pixels=100)


@pytest.mark.parametrize("size", [(33, 47), (16, 16), (80, 64)])
def test_vvc_at_its_finest(size):
    """More than a byte a pixel, which is all the room that FFmpeg gives VVenC."""
    image = photo(*size, seed=6)
    stream = of("vvc", quality=63).encode(image)
    assert 8 * len(stream) / image[..., 0].size > 8
    assert psnr(codeckit.decode(stream), image) > 28  # halved chroma
