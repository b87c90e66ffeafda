"""Opening pictures: what files hold besides 8-bit samples is carried, converted by a rule, or asked about."""

import io
import os
import struct
import threading
import zlib

import codeckit
import numpy as np
import pytest
from codeckit.codecs.file_formats import boxes
from codeckit.codecs.image_io import Reading, open_image, picture_files, read_image, read_metadata, stored_pixels
from codeckit.primitives import ReadingError, StreamError
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

y, x = np.mgrid[:24, :40]
PICTURE = np.dstack([x * 6, y * 10, x ^ y]).astype(np.uint8)
RAMP = np.linspace(0, 65535, 96).astype(np.uint16)[None].repeat(8, 0)

STILLS = [
    entry.name
    for entry in codeckit.list_codecs()
    if entry.family == "library" and entry.media == "image" and entry.available
]


def file_of(image, form, **options):
    out = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(out, form, **options)
    return out.getvalue()


def on_disk(folder, name, data):
    path = folder / name
    path.write_bytes(data)
    return path


# --- finding --------------------------------------------------------------------------------------------------------


def test_picture_files(tmp_path):
    for name in ("b.PNG", "a.jpg", "notes.txt", "deep/c.webp", "._a.jpg", ".cache/d.png", "e.jfif", "f.gif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    seen = ["a.jpg", "b.PNG", "e.jfif", "f.gif"]
    assert picture_files(tmp_path) == [tmp_path / name for name in seen]
    assert picture_files(tmp_path, recursive=True) == [tmp_path / name for name in sorted([*seen, "deep/c.webp"])]
    assert picture_files(str(tmp_path / "a.jpg")) == [tmp_path / "a.jpg"]
    with pytest.raises(FileNotFoundError, match="no picture or folder at"):
        picture_files(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no pictures in .* \(folders in it are not searched\)"):
        picture_files(tmp_path / "empty")


# --- alpha ----------------------------------------------------------------------------------------------------------


def with_alpha(opaque):
    alpha = np.full(PICTURE.shape[:2], 255, np.uint8)
    if not opaque:
        alpha[4:9, 3:30] = 17
    return np.dstack([PICTURE, alpha])


@pytest.mark.parametrize("form", ["PNG", "WEBP", "AVIF", "JPEG2000", "TIFF"])
def test_alpha_is_asked_about(tmp_path, form):
    options = {"WEBP": {"lossless": True, "exact": True}, "JPEG2000": {"irreversible": False}}.get(form, {})
    transparent = on_disk(tmp_path, f"see-through.{form.lower()}", file_of(with_alpha(False), form, **options))
    with pytest.raises(ReadingError, match=rf"see-through.{form.lower()}: .*alpha.*background="):
        codeckit.codec("jpeg").encode(transparent)
    data = transparent.read_bytes()
    if form != "TIFF":  # which is read, and not decoded
        with pytest.raises(ReadingError, match="alpha"):
            codeckit.decode(data)
        assert codeckit.info(data).details["alpha"] is True
        shown = codeckit.decode(data, background="white")
        assert shown.shape == PICTURE.shape
        assert np.array_equal(shown, read_image(transparent, Reading(background=(255, 255, 255))))
    shown = read_image(transparent, Reading(background="#000000"))
    expected = np.where(with_alpha(False)[..., 3:] == 255, PICTURE, np.rint(PICTURE / 15))
    assert np.abs(shown - expected)[9:, 30:].max() <= (0 if form != "AVIF" else 40)
    assert np.abs(shown - expected).max() <= (1 if form != "AVIF" else 60)


@pytest.mark.parametrize("form", ["PNG", "WEBP", "JPEG2000", "TIFF"])
def test_opaque_alpha_is_none(tmp_path, form):
    options = {"WEBP": {"lossless": True}, "JPEG2000": {"irreversible": False}}.get(form, {})
    path = on_disk(tmp_path, "opaque", file_of(with_alpha(True), form, **options))
    assert np.array_equal(read_image(path), PICTURE)
    assert np.array_equal(stored_pixels(path.read_bytes()), PICTURE)
    assert np.array_equal(read_image(with_alpha(True)), PICTURE)


@pytest.mark.parametrize("mode", ["LA", "La", "RGBa", "PA"])
def test_rare_modes_with_alpha(mode):
    source = Image.fromarray(with_alpha(False))
    image = source.convert("LA") if mode in ("LA", "La") else source
    if mode == "PA":
        image = Image.new("PA", source.size)
        image.putalpha(source.getchannel("A"))
    image = image if image.mode == mode else image.convert(mode)
    with pytest.raises(ReadingError, match="alpha"):
        read_image(image)
    blended = read_image(image, Reading(background="white"))
    assert blended.ndim == (2 if mode in ("LA", "La") else 3)


def test_transparent_colours_of_palettes_and_rgb(tmp_path):
    palette = Image.fromarray(PICTURE).quantize(16)
    for form, image, key in (("PNG", palette, 3), ("GIF", palette, 3), ("PNG", Image.fromarray(PICTURE), (0, 0, 0))):
        data = file_of(image, form, transparency=key)
        with pytest.raises(ReadingError, match="alpha"):
            read_image(io.BytesIO(data))
        rgba = Image.open(io.BytesIO(data)).convert("RGBA")
        expected = Image.alpha_composite(Image.new("RGBA", rgba.size, "red"), rgba).convert("RGB")
        assert np.array_equal(read_image(io.BytesIO(data), Reading(background="red")), np.asarray(expected))
    unused = file_of(palette, "PNG", transparency=200)  # no pixel has this colour
    assert np.array_equal(read_image(io.BytesIO(unused)), np.asarray(palette.convert("RGB")))


def test_arrays_and_colours():
    pixels = np.array([[[255, 0, 0, 255], [255, 0, 0, 0]]], np.uint8)
    for white in ("white", "#fff", (255, 255, 255), [255, 255, 255], np.array([255, 255, 255])):
        assert read_image(pixels, Reading(background=white)).tolist() == [[[255, 0, 0], [255, 255, 255]]]
    for bad in ("no-colour", (1, 2), (0, 0, 256), (0.5, 0, 0), 7):
        with pytest.raises(ValueError, match="background is a colour"):
            Reading(background=bad)
    stream = codeckit.codec("png", background="white").encode(pixels)
    assert codeckit.decode(stream).tolist() == [[[255, 0, 0], [255, 255, 255]]]


# --- depth ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_16_bits_are_asked_about(tmp_path, form):
    path = on_disk(tmp_path, "deep.file", file_of(RAMP, form, **({"irreversible": False} if form[0] == "J" else {})))
    with pytest.raises(ReadingError, match=r"deep.file: .*16 bits a sample.*depth=8"):
        codeckit.codec("webp").encode(path)
    assert np.array_equal(read_image(path, Reading(depth=8)), RAMP >> 8)
    if form in ("PNG", "JPEG2000"):
        with pytest.raises(ReadingError, match="16 bits"):
            codeckit.decode(path)
        assert np.array_equal(codeckit.decode(path, depth=8), RAMP >> 8)
        assert codeckit.info(path).details["bits"] == 16


def png_of_16_bits(samples):
    """Pillow writes no colour PNG of 16 bits; [H,W,C] of uint16."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width, channels = samples.shape
    head = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bit_png_of_every_kind(channels):
    deep = np.random.default_rng(channels).integers(0, 65536, (6, 7, channels), dtype=np.uint16)
    if channels in (2, 4):
        deep[..., -1] = 65535
    data = png_of_16_bits(deep)
    with pytest.raises(ReadingError, match="16 bits"):
        codeckit.decode(data)
    colours = deep[..., :-1] if channels in (2, 4) else deep
    seen = codeckit.decode(data, depth=8)  # grey with alpha and 16 bits comes from Pillow as RGB of equal channels
    assert (seen.reshape(6, 7, -1) == colours >> 8).all()


def test_numbers_without_a_scale():
    for image in (Image.fromarray(np.zeros((4, 4), np.float32)), Image.fromarray(np.zeros((4, 4), np.int32))):
        with pytest.raises(ReadingError, match="scale"):
            read_image(io.BytesIO(file_of(image, "TIFF")), Reading(depth=8))
    with pytest.raises(ValueError, match="float32"):
        read_image(np.zeros((4, 4), np.float32))
    with pytest.raises(ValueError, match="uint16"):
        read_image(RAMP)
    assert np.array_equal(read_image(RAMP, Reading(depth=8)), RAMP >> 8)


def tiff(pixels, photometric, planes=1, signed=False):
    """Uncompressed little-endian TIFF of one strip a plane, of kinds that Pillow does not write."""
    planar = pixels.transpose(2, 0, 1) if planes == 2 else pixels
    body, (height, width) = planar.tobytes(), pixels.shape[:2]
    channels, bits = pixels.size // (height * width), 8 * pixels.itemsize
    strips = channels if planes == 2 else 1
    at, extra = 8 + len(body), []

    def entry(tag, kind, values):
        nonlocal at
        packed = struct.pack(f"<{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(packed) > 4:
            extra.append(packed)
            packed, at = struct.pack("<I", at), at + len(packed)
        return struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")

    each = len(body) // strips
    entries = [
        entry(256, 4, [width]),
        entry(257, 4, [height]),
        entry(258, 3, [bits] * channels),
        entry(259, 3, [1]),
        entry(262, 3, [photometric]),
        entry(273, 4, [8 + each * k for k in range(strips)]),
        entry(277, 3, [channels]),
        entry(278, 4, [height]),
        entry(279, 4, [each] * strips),
        entry(284, 3, [planes]),
        entry(339, 3, [2 if signed else 1] * channels),
    ]
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", at) + body + b"".join(extra) + directory


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_of_rare_kinds(dtype):
    """White as 0, and planes of their own: what Pillow minds in 8 bits, it minds here in 16, too."""
    scale, reading = np.iinfo(dtype).max // 255, Reading(depth=8)
    pixels = PICTURE.astype(dtype) * dtype(scale)
    negative = tiff(np.iinfo(dtype).max - pixels[..., 0], photometric=0)
    assert np.array_equal(read_image(io.BytesIO(negative), reading), PICTURE[..., 0])
    assert np.array_equal(read_image(io.BytesIO(tiff(pixels, 2, planes=2)), reading), PICTURE)
    assert np.array_equal(read_image(io.BytesIO(tiff(pixels, 2)), reading), PICTURE)


def test_tiff_of_kinds_that_are_not_read(tmp_path):
    for dtype in (np.int8, np.int16):
        path = on_disk(tmp_path, "signed.tif", tiff(PICTURE[..., 0].astype(dtype), 1, signed=True))
        with pytest.raises(ReadingError, match=r"signed.tif: .*signed samples of"):
            read_image(path, Reading(depth=8))
    path = on_disk(tmp_path, "rare.tif", tiff(PICTURE.astype(np.int16), 2, signed=True))
    with pytest.raises(StreamError, match=r"rare.tif: the TIFF file is damaged, or of a kind that is not read"):
        read_image(path)


def png(width, height, bits, kind, rows, transparent):
    """A PNG file with a transparent colour."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    key = chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent))
    return b"\x89PNG\r\n\x1a\n" + head + key + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("bits", "row"), [(1, b"\x50"), (2, b"\x1b"), (4, b"\x01\x23")])
def test_transparent_levels_of_few_bits(bits, row):
    data = png(4, 1, bits, 0, b"\0" + row, [1])
    levels = {1: [0, 1, 0, 1], 2: [0, 1, 2, 3], 4: [0, 1, 2, 3]}[bits]
    with pytest.raises(ReadingError, match="alpha"):
        read_image(io.BytesIO(data))
    seen = read_image(io.BytesIO(data), Reading("red"))[0].tolist()
    assert seen == [[255, 0, 0] if level == 1 else [level * 255 // ((1 << bits) - 1)] * 3 for level in levels]


def test_transparent_colours_of_16_bits():
    """Pillow compares the lower 8 bits of such a colour with the upper 8 of the pixels."""
    rows = b"\0" + np.array([[0x1451] * 3, [0x5100] * 3], ">u2").tobytes()
    absent = png(2, 1, 16, 2, rows, [0x3351] * 3)
    assert read_image(io.BytesIO(absent), Reading(depth=8))[0, :, 0].tolist() == [0x14, 0x51]
    with pytest.raises(ReadingError, match="one transparent colour of 16 bits"):
        read_image(io.BytesIO(png(2, 1, 16, 2, rows, [0x1451] * 3)), Reading("white", 8))
    grey = png(2, 1, 16, 0, b"\0" + np.array([0x1451, 0x1452], ">u2").tobytes(), [0x1451])
    assert read_image(io.BytesIO(grey), Reading("white", 8)).tolist() == [[255, 0x14]]


# --- colour modes, frames, orientation ------------------------------------------------------------------------------


def test_modes_without_loss():
    bits = Image.fromarray(PICTURE[..., 0] > 99)
    assert np.array_equal(read_image(io.BytesIO(file_of(bits, "PNG"))), np.where(PICTURE[..., 0] > 99, 255, 0))
    palette = Image.fromarray(PICTURE).quantize(16)
    assert np.array_equal(read_image(io.BytesIO(file_of(palette, "BMP"))), np.asarray(palette.convert("RGB")))
    for mode in ("CMYK", "YCbCr", "HSV"):
        converted = Image.fromarray(PICTURE).convert(mode)
        assert np.array_equal(read_image(converted), np.asarray(converted.convert("RGB")))
    lab = Image.merge("LAB", [Image.new("L", (4, 4), level) for level in (255, 128, 128)])
    assert (read_image(io.BytesIO(file_of(lab, "TIFF"))) >= 254).all()  # L* = 100 is white


@pytest.mark.parametrize("form", ["GIF", "WEBP", "TIFF", "PNG", "AVIF"])
def test_frames_are_asked_about(tmp_path, form):
    frames = [Image.fromarray(np.roll(PICTURE, 5 * k, 1)) for k in range(3)]
    path = tmp_path / "moving.file"
    frames[0].save(
        path, form, save_all=True, append_images=frames[1:], **({"lossless": True} if form[0] == "W" else {})
    )
    with pytest.raises(ReadingError, match=r"moving.file: .*3 frames.*frame=0"):
        read_image(path)
    seen = [read_image(path, Reading(frame=k)) for k in range(3)]
    assert len({frame.tobytes() for frame in seen}) == 3
    with pytest.raises(ReadingError, match="no frame 3"):
        read_image(path, Reading(frame=3))
    if form in ("WEBP", "PNG", "AVIF"):
        with pytest.raises(ReadingError, match="3 frames"):
            codeckit.decode(path)
        assert np.array_equal(codeckit.decode(path, frame=1), seen[1])
        assert codeckit.info(path).details["frames"] == 3


def test_a_jpeg_with_a_second_picture_is_one_picture(tmp_path):
    path = tmp_path / "phone.mpo"
    first, second = Image.fromarray(PICTURE), Image.fromarray(PICTURE[::-1].copy())
    first.save(path, "MPO", save_all=True, append_images=[second])
    assert np.array_equal(read_image(path), np.asarray(Image.open(path)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_orientation(tmp_path, form, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = on_disk(tmp_path, "turned", file_of(PICTURE, form, exif=exif))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    assert np.array_equal(read_image(path), expected)
    for metadata in ("drop", "color", "keep"):
        kept = codeckit.codec("png", metadata=metadata).encode(path)
        with Image.open(io.BytesIO(kept)) as file:
            assert np.array_equal(np.asarray(ImageOps.exif_transpose(file)), expected)


# --- damage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "JPEG2000", "AVIF", "PPM", "TGA"])
def test_cut_files_are_named(tmp_path, form):
    data = file_of(PICTURE, form)
    for share in (0.3, 0.6, 0.9):
        path = on_disk(tmp_path, f"cut-{share}.{form}", data[: int(len(data) * share)])
        try:
            read_image(path)
        except StreamError as error:
            assert f"cut-{share}.{form}" in str(error)


@given(st.sampled_from(["PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF"]), st.data())
def test_damage_is_a_stream_error(form, data):
    damaged = bytearray(file_of(PICTURE, form))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_image(io.BytesIO(bytes(damaged)), Reading("white", 8, 0))
    except (StreamError, ReadingError):
        pass


def test_text_chunks_that_are_damaged(tmp_path):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    png = file_of(PICTURE, "PNG")
    for kind, body in (
        (b"zTXt", b"Comment\0\x78junk"),
        (b"iCCP", b"name\0\7junk"),
        (b"eXIf", b"II*\0\xff\xff\xff\xff"),
    ):
        path = on_disk(tmp_path, "chunk.png", png[:-12] + chunk(kind, body) + png[-12:])
        try:
            assert np.array_equal(read_image(path), PICTURE)
        except StreamError as error:
            assert "chunk.png" in str(error)


def test_what_is_no_picture(tmp_path):
    for content in (b"", b"hello", b"%PDF-1.4 ", b"%!PS-Adobe-3.0 EPSF-3.0\n"):
        with pytest.raises(StreamError, match=r"what.png: (not an image file|the file is empty)"):
            read_image(on_disk(tmp_path, "what.png", content))
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "none.png")
    with pytest.raises(IsADirectoryError):
        read_image(tmp_path)


def test_what_is_too_short_for_its_parser(tmp_path):
    """Every function that reads gives a typed error, and none but the file's name in front of it."""
    for content in (b"x", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\x0a", b"BM", b"P6", b"GIF89a", b"II*\0", b"qoif"):
        path = on_disk(tmp_path, "short.file", content)
        for call in (read_image, codeckit.decode, codeckit.info, codeckit.codec("webp").encode):
            with pytest.raises(StreamError, match=r"short\.file: "):
                call(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without FIFOs")
@pytest.mark.parametrize("call", [read_image, codeckit.decode, codeckit.info])
def test_pipes_are_read_once(tmp_path, call):
    path, data = tmp_path / "pipe.png", file_of(PICTURE, "PNG")
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(data,), daemon=True)
    writer.start()
    found = call(path)
    writer.join(20)
    assert found.size == (24, 40) if call is codeckit.info else np.array_equal(found, PICTURE)


def huge_png(width, height):
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = b"IDAT" + zlib.compress(b"\0")
    chunks = (struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) for body in (head, rows))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_max_pixels_is_the_limit(tmp_path):
    head = huge_png(16000, 12000)  # more than Pillow's own limit
    for call in (codeckit.info, codeckit.decode):
        with pytest.raises(StreamError, match="more than the limit of 1000000"):
            call(head, max_pixels=10**6)
    with pytest.raises(StreamError, match="more than the limit of 268435456"):
        codeckit.info(huge_png(40000, 40000))
    with pytest.raises(StreamError, match="damaged"):  # its rows are missing: it is not refused for its size
        codeckit.decode(head)
    assert codeckit.info(head).size == (12000, 16000)


@pytest.mark.parametrize("name", STILLS)
def test_max_pixels_of_every_codec(name):
    stream = codeckit.codec(name).encode(PICTURE)
    with pytest.raises(StreamError, match="max_pixels"):
        codeckit.decode(stream, max_pixels=PICTURE.shape[0] * PICTURE.shape[1] - 1)
    assert codeckit.decode(stream, max_pixels=PICTURE.shape[0] * PICTURE.shape[1]).shape == PICTURE.shape


# --- sources and options --------------------------------------------------------------------------------------------


def test_sources(tmp_path):
    path = on_disk(tmp_path, "a.png", file_of(PICTURE, "PNG"))
    for source in (path, str(path), Image.open(path), io.BytesIO(path.read_bytes()), open(path, "rb"), PICTURE):
        assert np.array_equal(read_image(source), PICTURE)
    with pytest.raises(ValueError, match="not list"):
        read_image([1, 2])
    assert os.path.exists(path)


def test_options_of_every_codec(tmp_path):
    path = on_disk(tmp_path, "deep.png", png_of_16_bits(np.full((8, 8, 4), 40000, np.uint16)))
    for name in ("jpeg", "webp", "balle2017", "jpeg2000-teaching"):
        codec = codeckit.codec(name, background="white", depth=8, frame=0)
        assert "background" not in codec.setting and codec.decode(codec.encode(path)).shape == (8, 8, 3)
    for bad in ({"depth": 10}, {"frame": -1}, {"frame": True}, {"metadata": "some"}, {"background": "greenish"}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            codeckit.codec("webp", **bad)


# --- JPEG XL --------------------------------------------------------------------------------------------------------


def test_jpegxl_is_refused_before_it_is_decoded(monkeypatch):
    """Its plug-in decodes as it opens, so sizes are checked before."""
    plugin = pytest.importorskip("pillow_jxl").JpegXLImagePlugin
    stream = codeckit.codec("jpegxl").encode(PICTURE)

    def decodes(*_, **__):
        raise AssertionError("decoded")

    monkeypatch.setattr(plugin, "Decoder", decodes)
    for call in (codeckit.info, codeckit.decode):
        with pytest.raises(StreamError, match="max_pixels"):
            call(stream, max_pixels=100)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_jpegxl_is_turned_once(tmp_path, orientation):
    """libjxl turns what the codestream says; Exif with the same orientation does not turn it again."""
    pytest.importorskip("pillow_jxl")
    exif = Image.Exif()
    exif[0x0112] = orientation
    jpeg, path = on_disk(tmp_path, "a.jpg", file_of(PICTURE, "JPEG", quality=95, exif=exif)), tmp_path / "a.jxl"
    with Image.open(jpeg) as image:
        image.save(path, lossless_jpeg=True)  # whose codestream says the orientation
    upright = read_image(jpeg).astype(int)
    assert np.abs(read_image(path) - upright).mean() < 3
    kept = [each for each in boxes.read(path.read_bytes()) if each.kind not in (b"jbrd", b"brob")]
    path.write_bytes(boxes.write([*kept, boxes.Box(b"Exif", bytes(4) + exif.tobytes()[6:])]))
    assert np.abs(read_image(path) - upright).mean() < 3


def test_profiles_of_jpegxl(tmp_path):
    """The decoder tells the profile, and none where the file says sRGB."""
    pytest.importorskip("pillow_jxl")
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    at = profile.index(b"rXYZ", 128)
    place = int.from_bytes(profile[at + 4 : at + 8], "big") + 8
    profile[place : place + 4] = (int.from_bytes(profile[place : place + 4], "big") + 8000).to_bytes(4, "big")
    jpeg, path = tmp_path / "a.jpg", tmp_path / "a.jxl"
    for icc in (b"", bytes(profile)):
        jpeg.write_bytes(file_of(PICTURE, "JPEG", quality=95, icc_profile=icc))
        with Image.open(jpeg) as image:
            image.save(path, lossless_jpeg=True)
        assert np.abs(read_image(path).astype(int) - read_image(jpeg)).mean() < 3
        assert read_metadata(codeckit.codec("webp").encode(path)).icc == icc
        assert codeckit.info(path).details.get("icc_bytes", 0) == len(icc)


def test_pillows_limit_does_not_count():
    """Of TIFF strips and WebP pictures, Pillow checks the size apart from opening them."""
    before = Image.MAX_IMAGE_PIXELS
    strip = tiff(np.zeros((16000, 1), np.uint8), 1).replace(
        struct.pack("<HHII", 256, 4, 1, 1), struct.pack("<HHII", 256, 4, 1, 12000)
    )
    with pytest.raises(StreamError, match="more than the limit of 1000"):
        open_image(io.BytesIO(strip), max_pixels=1000)
    with pytest.raises(StreamError, match=r"damaged: (?!.*bomb)"):
        read_image(io.BytesIO(strip))
    chunk = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (2**24 - 1).to_bytes(3, "little") * 2
    huge = b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk
    for call in (codeckit.info, codeckit.decode, lambda data: read_image(io.BytesIO(data))):
        with pytest.raises(StreamError, match="16777216×16777216 pixels, more than the limit"):
            call(huge)
    assert Image.MAX_IMAGE_PIXELS == before


def test_options_are_checked():
    assert Reading(frame=np.int64(1)).frame == 1
    for options in ({"background": ("1", "2", "3")}, {"background": (1, 2, None)}, {"metadata": ["keep"]}):
        with pytest.raises(ValueError, match=f"{next(iter(options))} is"):
            Reading(**options)


def test_metadata_that_do_not_fit_are_told_by_name(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "d" * 70000
    path = on_disk(tmp_path, "wordy.png", file_of(PICTURE, "PNG", exif=exif))
    with pytest.raises(ReadingError, match=r"wordy\.png: a JPEG file holds 65527 bytes of Exif"):
        codeckit.codec("jpeg", metadata="keep").encode(path)


@pytest.mark.parametrize("name", ["jpeg", "webp", "balle2017"])
def test_damaged_streams_among_many_are_named(tmp_path, name):
    codec = codeckit.codec(name)
    path = on_disk(tmp_path, "cut.file", codec.encode(PICTURE)[:-20])
    with pytest.raises(StreamError, match=r"cut\.file: "):
        list(codec.decode_many([codec.encode(PICTURE), path]))
