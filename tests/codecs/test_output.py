"""Decoded pictures as files: upright, without loss, in the right colours, with the metadata that were asked for."""

import io

import codeckit
import numpy as np
import pytest
from codeckit.cli import main
from codeckit.codecs.image_io import read_image, read_metadata
from codeckit.codecs.metadata import to_srgb
from codeckit.codecs.output import LOSSLESS, decoded_file
from PIL import Image, ImageCms

y, x = np.mgrid[:24, :40]
PICTURE = np.dstack([x * 6, y * 10, x ^ y]).astype(np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def wide() -> bytes:
    """A profile like sRGB's with red further out."""
    profile = bytearray(SRGB)
    at = profile.index(b"rXYZ", 128)
    place = int.from_bytes(profile[at + 4 : at + 8], "big") + 8
    profile[place : place + 4] = (int.from_bytes(profile[place : place + 4], "big") + 8000).to_bytes(4, "big")
    return bytes(profile)


def photograph(orientation=6, image=PICTURE, icc=None) -> bytes:
    """A JPEG file as a phone makes it: turned, with a profile, Exif, and a comment."""
    out, exif = io.BytesIO(), Image.Exif()
    exif.update({0x0112: orientation, 0x010E: "a description"})
    Image.fromarray(image).save(out, "JPEG", quality=95, exif=exif, icc_profile=icc or wide(), comment=b"hello")
    return out.getvalue()


def lossless(*names):
    return [ending for ending, (form, _) in LOSSLESS.items() if form in names]


@pytest.mark.parametrize("ending", LOSSLESS)
@pytest.mark.parametrize("orientation", [1, 6, 7])
@pytest.mark.parametrize("metadata", ["color", "keep", "drop"])
def test_pixels_come_back(ending, orientation, metadata):
    """Whoever opens the file sees the photograph's colours, upright."""
    stream = photograph(orientation)
    data = decoded_file(codeckit.decode(stream), stream, f"a{ending}", metadata)
    expected = read_image(io.BytesIO(stream))
    found = read_image(io.BytesIO(data))
    assert found.shape == expected.shape and np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("ending", lossless("PNG", "TIFF", "WEBP", "JPEG2000"))
def test_what_is_kept(ending):
    stream = photograph()
    decoded = codeckit.decode(stream)
    found = {how: read_metadata(decoded_file(decoded, stream, f"a{ending}", how)) for how in ("color", "keep", "drop")}
    assert [found[how].icc for how in found] == [wide(), wide(), b""]
    assert not found["color"].exif and not found["drop"].exif
    exif = Image.Exif()
    exif.load(found["keep"].exif)
    assert exif.get(0x010E) == "a description" and exif.get(0x0112, 1) == 1


def test_the_profile_of_srgb_is_left_out_unless_all_is_kept():
    stream = photograph(icc=SRGB)
    decoded = codeckit.decode(stream)
    assert not read_metadata(decoded_file(decoded, stream, "a.png")).icc
    assert read_metadata(decoded_file(decoded, stream, "a.png", "keep")).icc == SRGB
    assert (np.asarray(Image.open(io.BytesIO(decoded_file(decoded, stream, "a.bmp")))) == np.rot90(decoded, -1)).all()


def test_metadata_of_ckt_streams(tmp_path, capsys):
    (tmp_path / "a.jpg").write_bytes(photograph())
    ckt, png = str(tmp_path / "a.ckt"), str(tmp_path / "a.png")
    assert main(["encode", str(tmp_path / "a.jpg"), ckt, "--codec", "jpeg-context", "--metadata", "keep"]) == 0
    for options, icc, kept in (
        ((), wide(), False),
        (["--metadata", "keep"], wide(), True),
        (["--metadata", "drop"], b"", 0),
    ):
        assert main(["decode", ckt, png, *options]) == 0
        found = read_metadata(png)
        assert (found.icc, bool(found.exif)) == (icc, bool(kept))
        assert Image.open(png).size == (24, 40)
    converted = np.asarray(to_srgb(Image.fromarray(codeckit.decode(ckt)), wide()))
    assert (np.asarray(Image.open(png)) == converted).all()


def test_cmyk_profiles_stay_out_of_rgb_files():
    out, cmyk = io.BytesIO(), bytearray(SRGB)
    cmyk[16:20] = b"CMYK"
    Image.fromarray(PICTURE).convert("CMYK").save(out, "JPEG", icc_profile=bytes(cmyk))
    data = decoded_file(codeckit.decode(out.getvalue()), out.getvalue(), "a.png", "keep")
    assert not read_metadata(data).icc


def test_reading_options_of_decode(tmp_path, capsys):
    Image.fromarray(np.dstack([PICTURE, PICTURE[..., 0]])).save(tmp_path / "alpha.png")
    Image.fromarray(PICTURE[..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    out = tmp_path / "out.png"
    for name, options, message in (
        ("alpha", ["--background", "white"], "background"),
        ("deep", ["--depth", "8"], "depth"),
    ):
        assert main(["decode", str(tmp_path / f"{name}.png"), str(out)]) == 2
        assert message in capsys.readouterr().err and not out.exists()
        assert main(["decode", str(tmp_path / f"{name}.png"), str(out), *options]) == 0
        assert np.asarray(Image.open(out)).dtype == np.uint8
        out.unlink()
    (tmp_path / "folder").mkdir()
    for name in ("alpha.png", "deep.png"):
        (tmp_path / name).rename(tmp_path / "folder" / name)
    assert (
        main(["decode", str(tmp_path / "folder"), str(tmp_path / "done"), "--background", "white", "--depth", "8"]) == 0
    )
