"""Metadata of file formats, as bytes: what is put into a file comes out of it, for us and for other readers."""

import io
import struct
import sys
import zlib

import numpy as np
import pytest
from codeckit.codecs import file_formats
from codeckit.codecs.file_formats import avif, boxes, jp2, jpeg, jxl, png, webp
from codeckit.codecs.file_formats.boxes import Box
from codeckit.codecs.file_formats.depth import has_frames, sample_bits
from codeckit.codecs.image_io import Metadata
from codeckit.codecs.peers import jpeg2000_files
from codeckit.primitives.errors import StreamError
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = "<x:xmpmeta>Müller</x:xmpmeta>".encode()

#: A profile by tables, which JP2's restricted method does not take: only its list of tags counts here.
TABLES = bytes(36) + b"acsp" + bytes(88) + struct.pack(">I4sII", 1, b"A2B0", 144, 8) + bytes(8)


def exif_block(text="Anna"):
    exif = Image.Exif()
    exif[0x013B] = text
    return exif.tobytes()[6:]


EXIF = exif_block()


def picture(mode="RGB", size=(23, 17)):
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    return (
        Image.fromarray(rng.integers(0, 60000, (size[1], size[0]), dtype=np.uint16))
        if mode == "I;16"
        else rgb.convert(mode)
    )


def saved(image, form, **options):
    if form == "JXL":
        pytest.importorskip("pillow_jxl")
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def opened(data):
    return Image.open(io.BytesIO(data))


def pixels(data):
    return np.asarray(opened(data))


def full(form, **kinds):
    """Metadata of all kinds that a format holds."""
    everything = {"exif": EXIF, "icc": ICC, "xmp": XMP, "comment": b"hello", **kinds}
    return Metadata(**{kind: everything[kind] for kind in file_formats.HOLDS[form]})


#: Files of every format, in several variants each.
FILES = [
    ("JPEG", "RGB", {}),
    ("JPEG", "L", {"progressive": True}),
    ("JPEG", "CMYK", {}),
    ("JPEG", "RGB", {"exif": exif_block("Bert"), "comment": b"old", "icc_profile": ICC[:200], "xmp": b"<old/>"}),
    ("PNG", "RGB", {}),
    ("PNG", "P", {}),
    ("PNG", "LA", {"exif": exif_block("Bert"), "icc_profile": ICC}),
    ("PNG", "I;16", {}),
    ("WEBP", "RGB", {}),
    ("WEBP", "RGBA", {}),
    ("WEBP", "RGBA", {"lossless": True}),
    ("WEBP", "RGB", {"lossless": True, "exif": exif_block("Bert"), "xmp": b"<old/>", "icc_profile": ICC}),
    ("AVIF", "RGB", {}),
    ("AVIF", "L", {}),
    ("AVIF", "RGBA", {}),
    ("AVIF", "RGB", {"exif": exif_block("Bert"), "xmp": b"<old/>", "icc_profile": ICC}),
    ("JPEG2000", "RGB", {}),
    ("JPEG2000", "L", {}),
    ("JPEG2000", "RGBA", {"irreversible": True}),
    ("JPEG2000", "I;16", {}),
    ("JXL", "RGB", {}),
    ("JXL", "L", {"lossless": True}),
    ("JXL", "RGBA", {"use_container": True}),
    ("JXL", "RGB", {"exif": exif_block("Bert"), "xmp": b"<old/>"}),
    ("JXL", "RGB", {"exif": exif_block("Bert"), "xmp": b"<old/>", "compress_metadata": True}),
]


@pytest.mark.parametrize(("form", "mode", "options"), FILES)
def test_what_is_put_in_comes_out(form, mode, options):
    data = saved(picture(mode), form, **options)
    assert file_formats.format_of(data) == form
    for metadata in (full(form), Metadata(exif=EXIF), Metadata(xmp=XMP), Metadata(), full(form, exif=b"", xmp=b"<y/>")):
        changed = file_formats.insert(data, metadata)
        assert file_formats.extract(changed) == metadata
        assert np.array_equal(pixels(changed), pixels(data))
        again = file_formats.insert(changed, full(form))
        assert file_formats.extract(again) == full(form)
        assert np.array_equal(pixels(again), pixels(data))


@pytest.mark.parametrize(("form", "mode", "options"), FILES)
def test_pillow_reads_what_we_write(form, mode, options):
    metadata = full(form)
    found = opened(file_formats.insert(saved(picture(mode), form, **options), metadata))
    found.load()
    assert found.getexif()[0x013B] == "Anna"
    if metadata.icc:
        assert found.info["icc_profile"] == ICC
    if form != "JXL":  # whose plug-in of Pillow reads no XMP
        assert found.info["xmp"] == XMP


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("kinds", [("exif", "icc", "xmp"), ("exif",), ("icc",), ("xmp",)])
def test_we_read_what_pillow_writes(form, mode, kinds):
    image = picture(mode)
    options = {"exif": b"Exif\0\0" + EXIF, "icc_profile": ICC, "xmp": XMP}
    options = {key: value for key, value in options.items() if key[:3] in [kind[:3] for kind in kinds]}
    if form == "PNG" and "xmp" in options:
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", options.pop("xmp").decode())
        options["pnginfo"] = info
    data = saved(image, form, **options)
    found = file_formats.extract(data)
    assert (found.exif, found.icc, found.xmp) == (
        EXIF if "exif" in kinds else b"",
        ICC if "icc" in kinds else b"",
        XMP if "xmp" in kinds else b"",
    )


def test_we_read_what_the_jpegxl_plugin_writes():
    found = file_formats.extract(saved(picture(), "JXL", exif=EXIF, xmp=XMP))
    assert found == Metadata(exif=EXIF, xmp=XMP)


blobs = st.binary(max_size=300)


@settings(deadline=None, max_examples=40)
@given(exif=blobs, icc=blobs, xmp=st.text(max_size=100).map(str.encode), comment=blobs)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF", "JPEG2000", "JXL"])
def test_any_metadata_come_out_as_they_went_in(form, exif, icc, xmp, comment):
    data = _plain(form)
    exif = exif.removeprefix(b"Exif\0\0")
    if form == "PNG":
        xmp, comment = xmp.replace(b"\0", b""), comment.replace(b"\0", b"")
    metadata = Metadata(
        **{
            kind: value
            for kind, value in {"exif": exif, "icc": icc, "xmp": xmp, "comment": comment}.items()
            if kind in file_formats.HOLDS[form]
        }
    )
    changed = file_formats.insert(data, metadata)
    assert file_formats.extract(changed) == metadata
    assert file_formats.extract(file_formats.insert(changed, Metadata())) == Metadata()


_PLAIN = {}


def _plain(form):
    if form not in _PLAIN:
        _PLAIN[form] = saved(picture(), form)
    return _PLAIN[form]


@settings(deadline=None, max_examples=150)
@given(st.data())
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF", "JPEG2000", "JXL"])
def test_damaged_files_give_our_errors(form, data):
    """Any byte changed or the file cut anywhere: metadata, or the documented errors."""
    file = bytearray(_full(form))
    for _ in range(data.draw(st.integers(0, 3))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(file[: data.draw(st.integers(12, len(file)))])
    for function in (file_formats.extract, lambda each: file_formats.insert(each, full(form))):
        try:
            function(cut)
        except ValueError as error:
            assert type(error) in (StreamError, ValueError)
            assert str(error)


_FULL = {}


def _full(form):
    if form not in _FULL:
        _FULL[form] = file_formats.insert(_plain(form), full(form))
    return _FULL[form]


def test_other_files_have_no_metadata_and_take_none():
    data = saved(picture(), "BMP")
    assert file_formats.extract(data) == Metadata()
    with pytest.raises(StreamError, match="JPEG, PNG, WEBP"):
        file_formats.insert(data, Metadata(exif=EXIF))


@pytest.mark.parametrize(
    ("form", "metadata"),
    [
        ("WEBP", Metadata(comment=b"hello")),
        ("AVIF", Metadata(comment=b"hello")),
        ("JPEG2000", Metadata(comment=b"hello")),
        ("JXL", Metadata(icc=ICC)),
    ],
)
def test_kinds_that_a_format_does_not_hold_are_refused(form, metadata):
    with pytest.raises(ValueError, match="leave it out"):
        file_formats.insert(_plain(form), metadata)


# --- JPEG -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "limit"), [("exif", 65527), ("xmp", 65504), ("comment", 65533), ("icc", 255 * 65519)])
def test_jpeg_says_what_is_too_much(kind, limit):
    data = saved(picture(), "JPEG")
    assert len(getattr(jpeg.extract(jpeg.insert(data, Metadata(**{kind: bytes(limit)}))), kind)) == limit
    with pytest.raises(ValueError, match=f"{limit} bytes of .*not {limit + 1}: shorten it"):
        jpeg.insert(data, Metadata(**{kind: bytes(limit + 1)}))


def test_large_profiles_are_chunked_and_put_together():
    icc = np.random.default_rng(1).bytes(200_000)
    data = jpeg.insert(saved(picture(), "JPEG"), Metadata(icc=icc))
    assert jpeg.extract(data).icc == icc
    assert opened(data).info["icc_profile"] == icc


def test_jfif_stays_in_front_and_other_segments_stay():
    adobe = saved(picture("CMYK"), "JPEG")
    for data in (saved(picture(), "JPEG"), adobe):
        kept = [segment for segment in _segments(data)]
        changed = _segments(jpeg.insert(data, full("JPEG")))
        assert [segment for segment in changed if segment in kept] == kept
        assert [code for code, _ in changed if code == 0xE0] == [0xE0] * (data is not adobe)
        if data is not adobe:
            assert changed[0][0] == 0xE0


def _segments(data):
    return [(code, data[start:end]) for code, start, end in jpeg._segments(data)]


def test_padding_and_garbage_between_segments():
    data = saved(picture(), "JPEG", comment=b"old")
    padded = data[:2] + b"\xff\xff\xff" + data[2:20] + b"garbage" + data[20:]
    assert jpeg.extract(padded).comment == b"old"
    changed = jpeg.insert(padded, Metadata(comment=b"new"))
    assert jpeg.extract(changed).comment == b"new"
    assert np.array_equal(pixels(changed), pixels(data))


def test_extended_xmp_goes_with_the_packet_that_it_extends():
    more = b"http://ns.adobe.com/xmp/extension/\0" + bytes(40) + b"rest"
    data = jpeg.insert(saved(picture(), "JPEG"), Metadata(xmp=XMP))
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(more) + 2) + more + data[2:]
    assert b"xmp/extension" not in jpeg.insert(data, Metadata(xmp=XMP))


# --- PNG ------------------------------------------------------------------------------------------------------------


def chunk(kind, contents):
    return struct.pack(">I", len(contents)) + kind + contents + struct.pack(">I", zlib.crc32(kind + contents))


@pytest.mark.parametrize("text", [b"hello", "größer".encode(), b"gr\xf6\xdfer"])
def test_comments_of_png_in_either_encoding(text):
    data = png.insert(_plain("PNG"), Metadata(comment=text))
    assert png.extract(data).comment == text
    assert opened(data).info["Comment"] == (text.decode() if text != b"gr\xf6\xdfer" else "größer")


def test_texts_of_png_that_cannot_be_held():
    assert png.extract(png.insert(_plain("PNG"), Metadata(comment=b"hello\0"))).comment == b"hello"
    with pytest.raises(ValueError, match="NUL"):
        png.insert(_plain("PNG"), Metadata(comment=b"a\0b"))
    with pytest.raises(ValueError, match="UTF-8"):
        png.insert(_plain("PNG"), Metadata(xmp=b"\xff\xfe<\0x\0"))


def test_compressed_texts_and_imagemagicks_exif_are_read():
    digits = (b"Exif\0\0" + EXIF).hex().encode()
    old = b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n%8d\n" % (len(EXIF) + 6) + digits + b"\n")
    xmp = b"XML:com.adobe.xmp\0\1\0de\0XMP\0" + zlib.compress(XMP)
    comment = b"Comment\0\0" + zlib.compress(b"hello")
    data = _plain("PNG")
    data = data[:33] + chunk(b"zTXt", old) + chunk(b"iTXt", xmp) + chunk(b"zTXt", comment) + data[33:]
    assert png.extract(data) == Metadata(exif=EXIF, xmp=XMP, comment=b"hello")
    assert png.extract(png.insert(data, Metadata())) == Metadata()


def test_a_profile_replaces_all_that_contradicts_it():
    data = _plain("PNG")
    colours = chunk(b"cICP", bytes([12, 16, 0, 1])) + chunk(b"sRGB", b"\0") + chunk(b"gAMA", struct.pack(">I", 45455))
    data = data[:33] + colours + data[33:]
    kinds = [kind for kind, _ in png._chunks(png.insert(data, Metadata(icc=ICC)))]
    assert kinds[:2] == [b"IHDR", b"iCCP"]
    assert not {b"cICP", b"sRGB", b"gAMA"} & set(kinds)
    assert b"cICP" in png.insert(data, Metadata(exif=EXIF))


def test_texts_that_unpack_to_gigabytes_are_refused():
    bomb = chunk(b"iCCP", b"ICC\0\0" + zlib.compress(bytes(1 << 27)))
    data = _plain("PNG")
    with pytest.raises(StreamError, match="more than"):
        png.extract(data[:33] + bomb + data[33:])


# --- WebP -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (300, 2), (16383, 1), (5, 4097)])
@pytest.mark.parametrize("lossless", [True, False])
def test_extended_webp_repeats_the_size(size, lossless):
    data = saved(Image.new("RGB", size, "red"), "WEBP", lossless=lossless)
    changed = webp.insert(data, Metadata(exif=EXIF))
    assert int.from_bytes(changed[24:27], "little") + 1 == size[0]
    assert int.from_bytes(changed[27:30], "little") + 1 == size[1]
    assert opened(changed).size == size


def test_webp_keeps_alpha_and_animation():
    frames = [Image.new("RGBA", (20, 10), (200, 100, 0, 128)), Image.new("RGBA", (20, 10), (0, 100, 0, 255))]
    data = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    assert opened(webp.insert(data, full("WEBP"))).n_frames == 2
    lossless = saved(frames[0], "WEBP", lossless=True)
    assert opened(webp.insert(lossless, full("WEBP"))).mode == "RGBA"


# --- boxes: AVIF, JPEG 2000, JPEG XL --------------------------------------------------------------------------------


@given(st.lists(st.builds(Box, st.binary(min_size=4, max_size=4), st.binary(max_size=40))))
def test_boxes_come_out_as_they_went_in(found):
    assert boxes.read(boxes.write(found)) == found


def test_boxes_of_other_lengths():
    wide = struct.pack(">I4sQ", 1, b"wide", 19) + b"abc"
    assert boxes.read(wide) == [Box(b"wide", b"abc")]
    assert boxes.read(b"\0\0\0\0last" + b"abc") == [Box(b"last", b"abc")]
    with pytest.raises(StreamError, match="outside"):
        boxes.read(wide[:-1])
    assert boxes.read(wide + b"\0\0", cut=True) == [Box(b"wide", b"abc")]
    assert boxes.read(wide[:-1], cut=True) == [Box(b"wide", b"ab")]


def test_removed_metadata_of_avif_are_gone_from_the_file():
    data = avif.insert(_plain("AVIF"), full("AVIF"))
    changed = avif.insert(data, Metadata())
    assert b"Anna" in data and b"xmpmeta" in data
    assert b"Anna" not in changed and b"xmpmeta" not in changed


def test_avif_whose_last_box_goes_on_to_the_end():
    data = _plain("AVIF")
    at = data.index(b"mdat") - 4
    open_ended = data[:at] + bytes(4) + data[at + 4 :]
    assert np.array_equal(pixels(avif.insert(open_ended, full("AVIF"))), pixels(data))
    assert avif.extract(avif.insert(open_ended, full("AVIF"))) == full("AVIF")


def test_avif_sequences_are_read_and_not_written():
    frames = [picture(), picture().rotate(180)]
    data = saved(frames[0], "AVIF", save_all=True, append_images=frames[1:], exif=EXIF, xmp=XMP, icc_profile=ICC)
    assert file_formats.format_of(data) == "AVIF"
    assert file_formats.extract(data) == full("AVIF")
    with pytest.raises(ValueError, match="sequence"):
        file_formats.insert(data, full("AVIF"))


@pytest.mark.parametrize(("icc", "method"), [(ICC, 2), (TABLES, 3)])
def test_methods_of_profiles_in_jp2(icc, method):
    data = jp2.insert(_plain("JPEG2000"), Metadata(icc=icc))
    header = next(box.contents for box in boxes.read(data) if box.kind == b"jp2h")
    assert [box.contents[0] for box in boxes.read(header) if box.kind == b"colr"] == [method]
    assert jp2.extract(data).icc == icc
    assert np.array_equal(pixels(data), pixels(_plain("JPEG2000")))


@pytest.mark.parametrize(("mode", "number"), [("RGB", 16), ("L", 17), ("RGBA", 16)])
def test_jp2_without_its_profile_counts_as_srgb_or_grey(mode, number):
    data = saved(picture(mode), "JPEG2000")
    changed = jp2.insert(jp2.insert(data, Metadata(icc=ICC)), Metadata())
    assert b"colr" + struct.pack(">BBBI", 1, 0, 0, number) in changed
    assert changed == data


def test_bare_codestreams_hold_no_metadata():
    data = saved(picture(), "JPEG2000", no_jp2=True)
    assert jp2.extract(data) == Metadata()
    assert jp2.insert(data, Metadata()) == data
    with pytest.raises(ValueError, match=r"write a \.jp2"):
        jp2.insert(data, Metadata(icc=ICC))


@pytest.mark.parametrize("label", [b"JpgTiffExif->JP2", bytes.fromhex("0537CDAB9D0C4431A72AFA561F2A113E")])
def test_exif_of_jp2_by_either_label(label):
    data = _plain("JPEG2000") + boxes.write([Box(b"uuid", label + b"Exif\0\0" + EXIF)])
    assert jp2.extract(data).exif == EXIF
    assert opened(data).getexif()[0x013B] == "Anna"


@pytest.mark.parametrize(("mode", "bits"), [("RGB", 8), ("L", 8), ("I;16", 16)])
def test_pillow_learns_what_jp2_holds(mode, bits):
    data = saved(picture(mode), "JPEG2000")
    plain = opened(data)
    assert isinstance(plain, jpeg2000_files.Jpeg2000File)
    assert not {"icc_profile", "exif", "xmp"} & set(plain.info)
    found = opened(jp2.insert(data, full("JPEG2000")))
    assert (found.bits, found.info["icc_profile"], found.info["exif"], found.info["xmp"]) == (
        bits,
        ICC,
        b"Exif\0\0" + EXIF,
        XMP,
    )
    found.load()
    assert "comment" in found.info  # Pillow's own reading goes on


def test_damaged_boxes_leave_a_jp2_readable():
    data = _plain("JPEG2000")
    for damaged in (data + b"\0\0\0\x07", data + b"\0\0\1\0uuid" + b"JpgTiffExif->JP2"):
        assert np.array_equal(pixels(damaged), pixels(data))


def test_a_bare_jpegxl_gets_a_container_only_for_metadata():
    data = saved(picture(), "JXL")
    assert jxl.is_codestream(data)
    assert jxl.insert(data, Metadata()) == data
    kinds = [box.kind for box in boxes.read(jxl.insert(data, full("JXL")))]
    assert kinds == [b"JXL ", b"ftyp", b"Exif", b"xml ", b"jxlc"]


def test_exif_of_jpegxl_behind_an_offset():
    box = Box(b"Exif", (6).to_bytes(4, "big") + b"Exif\0\0" + EXIF)
    data = jxl.insert(saved(picture(), "JXL", use_container=True), Metadata()) + boxes.write([box])
    assert jxl.extract(data).exif == EXIF


def test_metadata_that_brotli_compressed():
    brotli = pytest.importorskip("brotli")
    data = saved(picture(), "JXL", exif=EXIF, xmp=XMP, compress_metadata=True)
    assert jxl.extract(data) == Metadata(exif=EXIF, xmp=XMP)
    with pytest.raises(StreamError, match="unpacked"):
        jxl.extract(boxes.write([Box(b"JXL ", b"\r\n\x87\n"), Box(b"brob", b"Exif" + bytes(20))]))
    for packed in (brotli.compress(bytes(1 << 27)), brotli.compress(EXIF)[:-2]):
        with pytest.raises(StreamError, match="cut, or of more than"):
            jxl.extract(boxes.write([Box(b"JXL ", b"\r\n\x87\n"), Box(b"brob", b"Exif" + packed)]))


def test_compressed_metadata_without_brotli(monkeypatch):
    monkeypatch.setitem(sys.modules, "brotli", None)
    data = saved(picture(), "JXL", exif=EXIF, xmp=XMP, compress_metadata=True)
    with pytest.warns(UserWarning, match="pip install 'brotli"):
        assert jxl.extract(data) == Metadata()
    assert jxl.extract(jxl.insert(data, full("JXL"))) == full("JXL")


# --- headers --------------------------------------------------------------------------------------------------------


class Bits:
    """Writes bits, each byte from its lowest on."""

    def __init__(self):
        self.value = self.length = 0

    def put(self, value, n):
        self.value |= value << self.length
        self.length += n
        return self

    def bytes(self):
        return self.value.to_bytes(-(-self.length // 8), "little")


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (8, 256), (23, 17), (700, 3), (40, 40), (64, 48), (1600, 900)])
def test_jpegxl_headers_of_libjxl(mode, size):
    header = jxl.header(saved(picture(mode, size), "JXL", effort=1, lossless=True))
    assert header.size == (size[1], size[0])
    assert (header.bits, header.floating, header.animated) == (16 if mode == "I;16" else 8, False, False)


def test_jpegxl_headers_that_the_plugin_does_not_write():
    size = Bits().put(1, 1).put(3, 5).put(1, 3)  # 32x32
    animated = Bits().put(1, 1).put(3, 5).put(1, 3)
    animated.put(0, 1).put(1, 1).put(5, 3).put(0, 1).put(0, 1).put(1, 1)  # orientation 6, an animation
    animated.put(0, 2).put(0, 2).put(0, 2).put(0, 1)  # 100 ticks a second, endless, no time codes
    animated.put(0, 1).put(1, 2)  # 10-bit integers
    assert jxl.header(b"\xff\x0a" + animated.bytes()) == jxl.Header((32, 32), 6, True, 10)
    floats = size.put(0, 1).put(0, 1).put(1, 1).put(1, 2).put(4, 4)
    assert jxl.header(b"\xff\x0a" + floats.bytes()) == jxl.Header((32, 32), 1, False, 16, True)
    preview = Bits().put(1, 1).put(3, 5).put(1, 3).put(0, 1).put(1, 1).put(0, 3)
    preview.put(1, 1).put(1, 1).put(0, 5).put(7, 3)  # shown in 8x16
    preview.put(1, 1).put(0, 1).put(0, 2).put(9, 6).put(0, 3).put(1, 2).put(2, 8)  # preview of 67x10
    preview.put(0, 1).put(0, 1).put(3, 2).put(13, 6)  # no animation, 14 bits
    assert jxl.header(b"\xff\x0a" + preview.bytes()) == jxl.Header((32, 32), 1, False, 14)
    with pytest.raises(StreamError, match="cut"):
        jxl.header(b"\xff\x0a\x00")


@pytest.mark.parametrize(("form", "mode", "bits"), [
    ("PNG", "RGB", 8),
    ("PNG", "1", 1),
    ("PNG", "P", 8),
    ("PNG", "I;16", 16),
    ("TIFF", "RGB", 8),
    ("TIFF", "1", 1),
    ("TIFF", "I;16", 16),
    ("TIFF", "F", 32),
    ("TIFF", "CMYK", 8),
    ("PPM", "RGB", 8),
    ("PPM", "L", 8),
    ("PPM", "1", 1),
    ("PPM", "I;16", 16),
    ("JPEG", "RGB", 8),
    ("JPEG", "L", 8),
    ("JPEG", "CMYK", 8),
    ("JPEG2000", "RGB", 8),
    ("JPEG2000", "LA", 8),
    ("JPEG2000", "I;16", 16),
    ("WEBP", "RGB", 8),
    ("AVIF", "RGB", 8),
    ("AVIF", "RGBA", 8),
    ("JXL", "RGB", 8),
    ("JXL", "I;16", 16),
    ("BMP", "RGB", 8),
    ("GIF", "P", 8),
    ("SGI", "RGB", 8),
    ("TGA", "RGBA", 8),
])  # fmt: skip
def test_bits_of_samples(form, mode, bits):
    data = saved(picture(mode), form)
    assert sample_bits(opened(data), data) == bits


def test_bits_that_pillow_does_not_show():
    """Colour of more than 8 bits, which Pillow opens as RGB."""
    rows = b"".join(b"\0" + bytes(18) for _ in range(3))
    header = struct.pack(">IIBBBBB", 3, 3, 16, 2, 0, 0, 0)
    deep = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    for data, bits in (
        (deep, 16),
        (b"P6\n# a comment 255\n3 3\n65535\n" + bytes(54), 16),
        (b"P6 3 3 1023\n" + bytes(54), 10),
        (b"P3 1 1 4095 1 2 3", 12),
        (b"P2\n1 1\n200\n7\n", 8),
        (b"P5 3 3 31\n" + bytes(9), 5),
        (b"Pf\n1 1\n-1.0\n" + bytes(4), 32),
    ):
        assert sample_bits(opened(data), data) == bits
    assert opened(deep).mode == "RGB"


@pytest.mark.parametrize("bits", [10, 12])
def test_bits_of_deep_avif(bits):
    pyvips = pytest.importorskip("pyvips")
    samples = np.full((16, 16, 3), (1 << bits) - 1, np.uint16)
    image = pyvips.Image.new_from_array(samples).copy(interpretation="rgb16")
    data = image.heifsave_buffer(compression="av1", bitdepth=bits)
    assert (opened(data).mode, sample_bits(opened(data), data)) == ("RGB", bits)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_bits_of_deep_colour(suffix, tmp_path):
    pyvips = pytest.importorskip("pyvips")
    image = pyvips.Image.new_from_array(np.full((16, 16, 3), 65535, np.uint16)).copy(interpretation="rgb16")
    path = tmp_path / f"deep{suffix}"
    image.write_to_file(str(path))
    assert (Image.open(path).mode, sample_bits(Image.open(path), path.read_bytes())) == ("RGB", 16)


def test_bits_of_deep_jpeg2000():
    data = bytearray(_plain("JPEG2000"))
    at = data.index(b"\xff\x4f\xff\x51") + 42
    data[at : at + 9 : 3] = bytes([11, 9, 0x80 | 7])  # 12, 10 and 8 bits, the last with a sign
    assert jp2.depths(bytes(data)) == (12, 10, 8)
    assert opened(bytes(data)).bits == 12


def test_bits_of_a_12_bit_jpeg():
    data = saved(picture(), "JPEG")
    at = data.index(b"\xff\xc0") + 4
    assert jpeg.precision(data[:at] + b"\x0c" + data[at + 1 :]) == 12


@pytest.mark.parametrize(("form", "several"), [
    ("GIF", True), ("PNG", True), ("WEBP", True), ("AVIF", True), ("TIFF", True), ("MPO", False),
])  # fmt: skip
def test_frames(form, several):
    first, second = picture(), picture().rotate(180)
    data = saved(first, form, save_all=True, append_images=[second])
    assert opened(data).n_frames == 2
    assert has_frames(opened(data), data) is several


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "AVIF", "TIFF", "JPEG", "JPEG2000", "JXL", "BMP"])
def test_single_pictures_have_no_further_frames(form):
    data = saved(picture(), form)
    assert not has_frames(opened(data), data)
