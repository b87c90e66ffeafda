"""Profiles, Exif, XMP and comments: kept to the byte where that is asked for; pixels in sRGB where no profile is."""

import io

import codeckit
import numpy as np
import pytest
from codeckit.codecs.image_io import Photo, Reading, open_image, read_image, read_metadata
from codeckit.codecs.metadata import Metadata, changes_colours, describe_profile, profile_space, set_upright, to_srgb
from codeckit.codecs.registry import entry
from codeckit.metrics import psnr
from codeckit.primitives import container
from PIL import Image, ImageCms, ImageOps

y, x = np.mgrid[:24, :40]
PICTURE = np.dstack([x * 6, y * 10, x ^ y]).astype(np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

#: Codecs whose files can hold a profile, and those whose grey files can.
WITH_PROFILE = ("jpeg", "libjpeg", "mozjpeg", "jpegli", "webp", "avif", "png", "jpeg2000", "balle2017", "hevc")
WITH_GREY_PROFILE = ("jpeg", "libjpeg", "mozjpeg", "png", "jpeg2000", "balle2017", "hevc")
#: Codecs whose files hold none.
WITHOUT_PROFILE = ("jpegxl", "tokens")


def available(*names):
    return [name for name in names if entry(name).available]


def wide(shift=8000, channel=b"rXYZ"):
    """A profile like sRGB's with one primary moved: further out for red, as in wider spaces."""
    profile = bytearray(SRGB)
    at = profile.index(channel, 128)
    place = int.from_bytes(profile[at + 4 : at + 8], "big") + 8
    profile[place : place + 4] = (int.from_bytes(profile[place : place + 4], "big") + shift).to_bytes(4, "big")
    return bytes(profile)


def grey_profile(gamma=1.0):
    """A profile of grey pictures: the header, white point and a tone curve (ICC.1, 8.3.4)."""
    curve = b"curv" + bytes(4) + (1).to_bytes(4, "big") + round(256 * gamma).to_bytes(2, "big") + bytes(2)
    white = b"XYZ " + bytes(4) + b"".join(round(65536 * v).to_bytes(4, "big") for v in (0.9642, 1.0, 0.8249))
    text = b"desc" + bytes(4) + (5).to_bytes(4, "big") + b"grey\0" + bytes(78 + 1)
    places, body, at = b"", b"", 128 + 4 + 3 * 12
    for tag, data in ((b"desc", text), (b"wtpt", white), (b"kTRC", curve)):
        places += tag + at.to_bytes(4, "big") + len(data).to_bytes(4, "big")
        body, at = body + data + bytes(-len(data) % 4), at + len(data) + -len(data) % 4
    head = bytearray(128)
    head[:4], head[8:12], head[12:24], head[36:40] = at.to_bytes(4, "big"), b"\x02\x10\0\0", b"mntrGRAYXYZ ", b"acsp"
    head[68:80] = white[8:20]
    return bytes(head) + (3).to_bytes(4, "big") + places + body


def exif(orientation=1):
    block = Image.Exif()
    block.update({0x0112: orientation, 0x010E: "a description"})
    return block.tobytes()


def photo_file(tmp_path, orientation=1, icc=None, **more):
    path = tmp_path / "photo.jpg"
    options = {"exif": exif(orientation), "xmp": b"<x tiff:Orientation='6'/>", "comment": b"hello", **more}
    Image.fromarray(PICTURE).save(path, quality=95, icc_profile=icc or wide(), **options)
    return path


def test_what_profiles_mean():
    assert not any(map(changes_colours, (SRGB, wide(30), b"", b"nothing", SRGB[:200], bytes(500))))
    assert all(map(changes_colours, (wide(), wide(-9000, b"gXYZ"), grey_profile(), grey_profile(1.8))))
    assert profile_space(SRGB) == "RGB" and profile_space(grey_profile()) == "GRAY" and profile_space(b"") == ""
    assert "sRGB" in describe_profile(SRGB) and describe_profile(b"junk") == "unreadable"
    assert to_srgb(Image.fromarray(PICTURE), grey_profile()) is None
    linear = np.asarray(to_srgb(Image.fromarray(PICTURE[..., 0]), grey_profile(1.0)))
    expected = np.interp(PICTURE[..., 0] / 255, (s := np.linspace(0, 1, 4096)) ** 2.2, s) * 255
    assert np.abs(linear - expected).max() < 12  # sRGB's curve is close to a power of 2.2


@pytest.mark.parametrize("name", available(*WITH_PROFILE))
@pytest.mark.parametrize("metadata", ["color", "keep", "drop"])
def test_profiles_are_kept_or_pixels_converted(tmp_path, name, metadata):
    path = photo_file(tmp_path)
    codec = codeckit.codec(name, metadata=metadata)
    photo = codec.read(path)
    stream = codec.encode(path)
    assert read_metadata(stream).icc == (b"" if metadata == "drop" else wide())
    stored = np.asarray(Image.open(path))
    converted = np.asarray(to_srgb(Image.open(path), wide()))
    assert np.array_equal(photo.pixels, converted if metadata == "drop" else stored)
    assert np.abs(converted.astype(int) - stored).max() > 20
    if stream[:3] != b"ckt":
        assert Image.open(io.BytesIO(stream)).info.get("icc_profile", b"") == read_metadata(stream).icc
    plain = codec.encode(photo.pixels)
    assert np.array_equal(codeckit.decode(stream), codeckit.decode(plain))  # nothing in the pixels depends on it


@pytest.mark.parametrize("name", available(*WITHOUT_PROFILE))
def test_pixels_are_converted_where_files_hold_no_profile(tmp_path, name):
    path = photo_file(tmp_path)
    assert np.array_equal(codeckit.codec(name).read(path).pixels, np.asarray(to_srgb(Image.open(path), wide())))
    assert not read_metadata(codeckit.codec(name).encode(path)).icc


@pytest.mark.parametrize("name", available(*WITH_PROFILE, "jpegxl"))
def test_profiles_of_grey_pictures(tmp_path, name):
    path = tmp_path / "grey.png"
    Image.fromarray(PICTURE[..., 0]).save(path, icc_profile=grey_profile())
    stream = codeckit.codec(name).encode(path)
    held = name in WITH_GREY_PROFILE
    assert read_metadata(stream).icc == (grey_profile() if held else b"")
    photo = codeckit.codec(name).read(path)
    assert photo.pixels.ndim == 2 and np.array_equal(photo.pixels, PICTURE[..., 0]) == held


def test_srgb_is_what_files_mean_without_a_profile(tmp_path):
    path = photo_file(tmp_path, icc=SRGB)
    assert not read_metadata(codeckit.codec("webp").encode(path)).icc
    assert read_metadata(codeckit.codec("webp", metadata="keep").encode(path)).icc == SRGB
    assert np.array_equal(read_image(path), np.asarray(Image.open(path)))


def test_profiles_of_other_pictures_and_damaged_ones(tmp_path):
    cmyk = bytearray(SRGB)
    cmyk[16:20] = b"CMYK"
    for icc in (bytes(cmyk), grey_profile(), SRGB[:100], bytes(200)):
        path = photo_file(tmp_path, icc=icc)
        for metadata in ("color", "keep", "drop"):
            photo = codeckit.codec("jpeg", metadata=metadata).read(path)
            assert np.array_equal(photo.pixels, np.asarray(Image.open(path)))
            assert photo.metadata.icc == (icc if metadata == "keep" and profile_space(icc) in ("RGB", "") else b"")


def test_cmyk_becomes_rgb_without_its_profile(tmp_path):
    cmyk = bytearray(SRGB)
    cmyk[16:20] = b"CMYK"
    path = tmp_path / "print.jpg"
    Image.fromarray(PICTURE).convert("CMYK").save(path, icc_profile=bytes(cmyk), quality=95)
    for name in available("jpeg", "webp", "png"):
        stream = codeckit.codec(name, metadata="keep").encode(path)
        assert not read_metadata(stream).icc and codeckit.decode(stream).shape == PICTURE.shape


@pytest.mark.parametrize("name", available(*WITH_PROFILE, "jpegxl"))
@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_everything_kept(tmp_path, name, orientation):
    path = photo_file(tmp_path, orientation)
    stream = codeckit.codec(name, metadata="keep").encode(path)
    kept = read_metadata(stream)
    expected = set_upright(Metadata(exif()[6:], wide() * (name != "jpegxl"), b"<x tiff:Orientation='1'/>", b"hello"))
    comments = name in ("jpeg", "libjpeg", "mozjpeg", "jpegli", "png")
    assert kept == expected.only({"exif", "icc", "xmp", *(["comment"] if comments else [])})
    decoded = codeckit.decode(stream)
    turned = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    assert decoded.shape == turned.shape  # upright, and nobody turns it again:
    if stream[:3] != b"ckt":
        assert ImageOps.exif_transpose(Image.open(io.BytesIO(stream))).size == turned.shape[1::-1]


@pytest.mark.parametrize("name", available("jpeg", "webp", "avif", "jpeg2000", "balle2017", "jpeg2000-teaching"))
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("metadata", ["keep", "drop"])
def test_rate_control_with_orientation(tmp_path, name, orientation, metadata):
    path = photo_file(tmp_path, orientation)
    for target in ({"psnr": 26}, {"bpp": 12}):
        stream = codeckit.encode(path, name, metadata=metadata, **target)
        reference = codeckit.codec(name, metadata=metadata).read(path).pixels
        decoded = codeckit.decode(stream)
        assert decoded.shape == reference.shape
        if "psnr" in target:
            assert psnr(reference, decoded) >= 26
        else:
            assert 8 * len(stream) <= 12 * PICTURE.shape[0] * PICTURE.shape[1]


def test_exif_of_tiff_files(tmp_path):
    """Tags that say how the TIFF file stores its pixels are left behind, and a file without others gives no Exif."""
    plain, told = tmp_path / "plain.tif", tmp_path / "told.tif"
    Image.fromarray(PICTURE).save(plain, compression="tiff_lzw")
    Image.fromarray(PICTURE).save(told, tiffinfo={270: "a description", 271: "a maker", 305: "a program", 317: 2})
    assert not open_image(plain, Reading(metadata="keep"), ("exif",)).metadata.exif
    stream = codeckit.codec("jpeg", metadata="keep").encode(told)
    kept = Image.open(io.BytesIO(stream)).getexif()
    assert kept[270] == "a description" and kept[271] == "a maker" and not {273, 279, 259, 317} & set(kept)


def test_exif_is_made_for_no_file_that_has_none(tmp_path):
    for form in ("PNG", "JPEG", "WEBP", "BMP", "GIF"):
        path = tmp_path / f"plain.{form.lower()}"
        Image.fromarray(PICTURE).save(path)
        assert read_metadata(codeckit.codec("jpeg", metadata="keep").encode(path)).exif == b""


def test_orientation_in_every_byte_order():
    for order, tag in (("little", b"II*\0"), ("big", b"MM\0*")):
        entry = (0x0112).to_bytes(2, order) + (3).to_bytes(2, order) + (1).to_bytes(4, order)
        block = tag + (8).to_bytes(4, order) + (1).to_bytes(2, order) + entry
        turned = block + (6).to_bytes(2, order) + bytes(6)
        assert set_upright(Metadata(exif=turned)).exif == block + (1).to_bytes(2, order) + bytes(6)
    for damaged in (b"", b"II", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", b"junk that is long enough"):
        assert set_upright(Metadata(exif=damaged)).exif == damaged


def test_sections_of_ckt_streams():
    metadata = Metadata(b"II*\0", wide(), b"<x/>", b"left out")
    stream = codeckit.codec("balle2017", metadata="keep").encode(Photo(PICTURE, metadata))
    held = container.unpack(stream)
    assert held.sections[container.EXIF] == b"II*\0" and held.sections[container.ICC] == wide()
    assert read_metadata(stream) == metadata.only({"exif", "icc", "xmp"})
    details = codeckit.info(stream).details
    assert details["icc_bytes"] == len(wide()) and details["profile"] and details["xmp_bytes"] == 4


def test_batches_keep_each_pictures_own(tmp_path):
    path = photo_file(tmp_path)
    many = list(codeckit.codec("balle2017", metadata="keep").encode_many([path, PICTURE, path]))
    assert [bool(read_metadata(stream).exif) for stream in many] == [True, False, True]
