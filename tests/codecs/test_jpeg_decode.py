import shutil

import codeckit
import numpy as np
import pytest
import skimage.data
from codeckit.bench.studies import jpeg_identity, pictures
from codeckit.primitives import StreamError
from jpeg_reference import assert_like_pillow, save


@pytest.mark.parametrize("restart", [0, 1, 7])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_sampling_and_scans(subsampling, progressive, restart):
    for quality, (height, width) in [(1, (1, 1)), (30, (8, 16)), (75, (33, 47)), (100, (15, 130)), (92, (17, 1))]:
        picture = pictures.photo(height, width, seed=quality)
        options = {"subsampling": subsampling, "progressive": progressive, "restart_marker_blocks": restart}
        assert_like_pillow(save(picture, quality=quality, **options))


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (2, 2), (3, 3), (7, 8), (8, 9), (16, 17), (31, 32), (40, 5)])
def test_sizes_at_extreme_samples(size):
    for subsampling in ("4:2:2", "4:2:0"):
        assert_like_pillow(save(pictures.extremes(*size), quality=95, subsampling=subsampling))


@pytest.mark.parametrize("progressive", [False, True])
def test_color_models(progressive):
    assert_like_pillow(save(pictures.photo(37, 50, channels=1), quality=60, progressive=progressive))
    assert_like_pillow(save(pictures.photo(37, 50), quality=85, keep_rgb=True, progressive=progressive))
    cmyk = save(pictures.photo(37, 50, channels=4), "CMYK", quality=85, progressive=progressive)
    assert_like_pillow(cmyk)
    flag = cmyk.index(b"Adobe") + 11
    assert_like_pillow(cmyk[:flag] + b"\x02" + cmyk[flag + 1 :])  # YCCK


@pytest.mark.parametrize("largest", [255, 300, 8000])
def test_tables_of_16_bits(largest):
    tables = np.random.default_rng(0).integers(1, largest + 1, (2, 64)).tolist()
    assert_like_pillow(save(pictures.noise(40, 50), qtables=tables))


def patch_factors(data, factors):
    """The same coded data under other sampling factors of as many blocks an MCU."""
    frame = data.index(b"\xff\xc0")
    data = bytearray(data)
    for i, (h, v) in enumerate(factors):
        data[frame + 11 + 3 * i] = h << 4 | v
    return bytes(data)


# A 32×32 picture has four MCUs under each of these, so that no data are missing and none left over.
SIX_BLOCKS = ["4x1 1x1 1x1", "1x4 1x1 1x1", "2x1 2x1 2x1", "1x2 1x2 1x2", "1x1 2x2 1x1", "1x1 1x1 4x1", "1x1 1x1 2x2"]


@pytest.mark.parametrize("factors", SIX_BLOCKS)
def test_odd_sampling_factors(factors):
    factors = [tuple(map(int, text.split("x"))) for text in factors.split()]
    h, v = (max(f[i] for f in factors) for i in (0, 1))
    for width, height in ((4 * h * 8, 8 * v), (4 * h * 8 - 5, 8 * v - 3)):
        picture = pictures.photo(2 * 16, 2 * 16, seed=3)  # four MCUs of six blocks
        data = bytearray(patch_factors(save(picture, quality=80, subsampling="4:2:0"), factors))
        frame = data.index(b"\xff\xc0")
        data[frame + 5 : frame + 9] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
        assert_like_pillow(bytes(data))


def test_440_from_422():
    data = bytearray(patch_factors(save(pictures.photo(16, 64), quality=80, subsampling="4:2:2"), [(1, 2)]))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = (61).to_bytes(2, "big") + (15).to_bytes(2, "big")  # 8 MCUs of 8×16
    assert_like_pillow(bytes(data))


@pytest.mark.parametrize("maker", jpeg_identity.MAKERS)
def test_random_variants(maker):
    if maker in (jpeg_identity.cjpeg_variant, jpeg_identity.jpegtran_variant):
        if not (shutil.which("cjpeg") and shutil.which("jpegtran")):
            pytest.skip("cjpeg and jpegtran are not installed")
    for variant in jpeg_identity.variants(20, 5, [skimage.data.astronaut()[:200, 100:300]], {maker: 1}):
        verdict, difference = jpeg_identity.compare(variant.data)
        assert verdict == "identical", (variant.group, variant.name, verdict, difference)


@pytest.mark.parametrize("progressive", [False, True, "optimized"])
def test_our_files_of_nothing_but_restarts(progressive):
    """A flat picture has hardly any coded data between its restart markers."""
    codec = codeckit.codec("jpeg", progressive=progressive, restart_interval=1)
    assert_like_pillow(codec.encode(np.full((200, 300, 3), 77, np.uint8)))


@pytest.fixture(scope="module")
def stream():
    return save(pictures.photo(40, 60), quality=75)


UNSUPPORTED = {
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "hierarchical"),
    0xCB: "arithmetic-coded lossless",
}


@pytest.mark.parametrize("code", UNSUPPORTED)
def test_unsupported_processes_are_named(stream, code):
    frame = stream.index(b"\xff\xc0")
    with pytest.raises(StreamError, match=UNSUPPORTED[code]):
        codeckit.decode(stream[: frame + 1] + bytes([code]) + stream[frame + 2 :])


def test_12_bit_samples_are_named(stream):
    frame = stream.index(b"\xff\xc0")
    with pytest.raises(StreamError, match="12-bit"):
        codeckit.decode(stream[: frame + 4] + bytes([12]) + stream[frame + 5 :])


def test_a_cut_file_is_refused_wherever_it_is_cut(stream):
    for end in range(0, len(stream), 7):
        with pytest.raises(StreamError):
            codeckit.decode(stream[:end])


def test_bad_markers_are_refused(stream):
    frame, scan = stream.index(b"\xff\xc0"), stream.index(b"\xff\xda")
    broken = {
        "no SOI": b"\xff\xd9" + stream[2:],
        "a scan before the frame": stream[:2] + stream[scan:],
        "two frames": stream[:scan] + stream[frame : frame + 19] + stream[scan:],
        "no scan": stream[:scan] + b"\xff\xd9",
        "no tables": stream[: stream.index(b"\xff\xdb")] + stream[frame:],
        "a length past the end": stream[: frame + 2] + b"\xff\xff" + stream[frame + 4 :],
        "a length below 2": stream[: frame + 2] + b"\0\1" + stream[frame + 4 :],
        "no width": stream[: frame + 7] + b"\0\0" + stream[frame + 9 :],
        "a sampling factor of 0": stream[: frame + 11] + b"\x01" + stream[frame + 12 :],
        "a component that is not there": stream[: scan + 5] + b"\x09" + stream[scan + 6 :],
    }
    for name, data in broken.items():
        with pytest.raises(StreamError):
            codeckit.decode(data)
            pytest.fail(name)


def test_a_picture_above_the_size_limit_is_refused(stream):
    assert codeckit.decode(stream, max_pixels=2400).shape == (40, 60, 3)
    with pytest.raises(StreamError, match="max_pixels"):
        codeckit.decode(stream, max_pixels=2399)
    frame = stream.index(b"\xff\xc0")
    with pytest.raises(StreamError, match="65535×65535"):
        codeckit.decode(stream[: frame + 5] + b"\xff" * 4 + stream[frame + 9 :])
