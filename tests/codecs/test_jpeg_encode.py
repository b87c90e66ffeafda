"""The JPEG encoder against libjpeg through Pillow: the same pixels, and files that are no larger."""

import io

import codeckit
import numpy as np
import pytest
from codeckit.bench.studies.pictures import extremes, noise, photo
from codeckit.codecs.jpeg import JpegHuffman
from codeckit.primitives import Picture
from PIL import Image

SIZES = [(1, 1), (2, 3), (8, 8), (9, 17), (64, 48), (37, 101)]


def pillow(image, **options):
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", **options)
    return out.getvalue()


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0", "grey"])
@pytest.mark.parametrize("progressive", [False, True])
def test_same_pixels_as_libjpeg_and_no_more_bytes(size, sampling, progressive):
    image = photo(*size, 1 if sampling == "grey" else 3, seed=7)
    ours = {} if sampling == "grey" else {"subsampling": sampling}
    for quality in 5, 50, 75, 92, 100:
        theirs = pillow(image, quality=quality, progressive=progressive, optimize=True, **ours)
        data = codeckit.codec("jpeg", quality=quality, progressive=progressive, **ours).encode(image)
        assert (pixels(data) == pixels(theirs)).all()
        # Both have optimal tables. Where several are, ours may happen to make one more 0xFF, which needs stuffing.
        assert len(data) <= len(theirs) + 2 * progressive


def test_typical_tables_give_libjpegs_size():
    image = photo(80, 90, 3, seed=8)
    for sampling in "4:4:4", "4:2:0":
        theirs = pillow(image, quality=70, subsampling=sampling)
        data = codeckit.codec("jpeg", quality=70, subsampling=sampling, optimize=False).encode(image)
        assert (pixels(data) == pixels(theirs)).all()
        assert len(theirs) - 20 <= len(data) <= len(theirs)  # fewer segment headers, the same scan


@pytest.mark.parametrize("make", [noise, extremes])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"progressive": "optimized"}, {"restart_interval": 2}])
def test_hard_pictures(make, options):
    image = make(50, 70, 3, seed=9)
    for quality in 1, 100:
        data = codeckit.codec("jpeg", quality=quality, subsampling="4:4:4", **options).encode(image)
        reference = codeckit.codec("jpeg", quality=quality, subsampling="4:4:4").encode(image)
        assert (pixels(data) == pixels(reference)).all()
        assert (codeckit.decode(data) == pixels(data)).all()


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:4:0", "4:2:0"])
def test_every_option_gives_the_same_picture(sampling):
    image = photo(75, 133, 3, seed=10)
    reference = pixels(codeckit.codec("jpeg", subsampling=sampling).encode(image))
    sizes = {}
    for name, options in {
        "plain": {"optimize": False},
        "restarts": {"restart_interval": 3},
        "progressive": {"progressive": True},
        "progressive, restarts": {"progressive": True, "restart_interval": 5},
        "optimized": {"progressive": "optimized"},
    }.items():
        data = codeckit.codec("jpeg", subsampling=sampling, **options).encode(image)
        assert (pixels(data) == reference).all(), name
        assert (codeckit.decode(data) == reference).all(), name
        sizes[name] = len(data)
    assert sizes["optimized"] <= sizes["progressive"]


def test_wide_steps_need_an_extended_file():
    image = photo(40, 40, 3, seed=11)
    for progressive in False, True:
        codec = codeckit.codec("jpeg", tables=np.full((8, 8), 400), progressive=progressive)
        data = codec.encode(image)
        assert (codeckit.decode(data) == pixels(data)).all()
        assert codeckit.info(data).details["process"] == ("progressive" if progressive else "extended")


def test_tables_by_name_and_by_hand():
    image = photo(40, 40, 3, seed=12)
    flat = codeckit.codec("jpeg", quality=50, tables="flat").encode(image)
    by_hand = codeckit.codec("jpeg", tables=np.full((8, 8), 16)).encode(image)
    assert flat == by_hand
    assert set(Image.open(io.BytesIO(flat)).quantization) == {0}  # one table, written once


def test_metadata_kept_or_dropped(tmp_path):
    image = photo(24, 40, 3, seed=13)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    icc = bytes(range(256)) * 300  # two chunks
    source = tmp_path / "photo.jpg"
    Image.fromarray(image).save(source, exif=exif, icc_profile=icc, comment=b"hello", quality=95)

    kept = codeckit.codec("jpeg", metadata="keep").encode(source)
    with Image.open(io.BytesIO(kept)) as file:
        assert file.size == (24, 40)  # turned upright, and said to be so
        assert file.getexif()[0x0112] == 1 and file.getexif()[0x010E] == "a description"
        assert file.info["icc_profile"] == icc and file.info["comment"] == b"hello"
    details = codeckit.info(kept).details
    assert details["icc_bytes"] == len(icc) and details["comment_bytes"] == 5

    dropped = codeckit.codec("jpeg").encode(source)
    with Image.open(io.BytesIO(dropped)) as file:
        assert file.size == (24, 40)  # turned upright
        assert not dict(file.getexif()) and "icc_profile" not in file.info


def test_rgb_files():
    """Planes that are RGB, not YCbCr, are marked so."""
    image = photo(16, 16, 3, seed=14)
    codec = codeckit.codec("jpeg", subsampling="4:4:4", quality=95)
    picture = Picture(tuple(np.ascontiguousarray(image[..., c]) for c in range(3)), (16, 16), ((1, 1),) * 3, "rgb")
    for role in "transform", "quantize", "entropy":
        picture = codec.stages[role].forward(picture)
    assert (codeckit.decode(picture) == pixels(picture)).all()
    assert np.abs(pixels(picture).astype(int) - image).max() < 40


@pytest.mark.parametrize(
    "bad",
    [
        {"quality": 0},
        {"quality": 30.5},
        {"subsampling": "4:1:1"},
        {"tables": "mine"},
        {"tables": np.zeros((8, 8), int)},
        {"progressive": "fast"},
        {"restart_interval": -1},
        {"metadata": "some"},
    ],
)
def test_bad_options(bad):
    with pytest.raises(ValueError):
        codeckit.codec("jpeg", **bad)


def test_what_jpeg_cannot_hold():
    blocks = np.zeros((1, 1, 8, 8), np.int16)
    table = (np.ones((8, 8), np.uint16),)
    with pytest.raises(ValueError, match="QuantTable"):
        JpegHuffman().forward(Picture((blocks,), (8, 8)))
    with pytest.raises(ValueError, match="1023"):
        JpegHuffman().forward(Picture((blocks + 2000,), (8, 8), tables=table))
    with pytest.raises(ValueError, match="65535"):
        JpegHuffman().forward(Picture((np.zeros((1, 8193, 8, 8), np.int16),), (8, 65540), tables=table))


def test_golden_file():
    """Any change of the bytes we write is noticed."""
    import hashlib

    image = photo(33, 50, 3, seed=15)
    digests = {
        progressive: hashlib.sha256(codeckit.codec("jpeg", progressive=progressive).encode(image)).hexdigest()[:16]
        for progressive in (False, True, "optimized")
    }
    assert digests == GOLDEN


GOLDEN = {False: "c5a946c713216b88", True: "f60d23c689b0d47f", "optimized": "34ef691f50e09774"}
