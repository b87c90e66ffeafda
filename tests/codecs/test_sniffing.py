"""Streams are found from their bytes, whatever their names and brands are."""

import io

import codeckit
import numpy as np
import pytest
from codeckit.codecs import registry
from codeckit.codecs.file_formats import brands
from codeckit.primitives import StreamError
from PIL import Image


def picture(turn=0):
    y, x = np.mgrid[:24, :32]
    return np.rot90(np.dstack([x * 8, y * 8, x ^ y]).astype(np.uint8), 2 * turn)


def sequence():
    out = io.BytesIO()
    frames = [Image.fromarray(picture(turn)) for turn in (0, 1)]
    frames[0].save(out, "AVIF", save_all=True, append_images=frames[1:])
    return out.getvalue()


def branded(data, major, *compatible):
    """An ISO base media file with other brands, in a box of the same size (so that no place in the file moves)."""
    size = int.from_bytes(data[:4], "big")
    names = [*compatible, *[compatible[-1]] * ((size - 16) // 4 - len(compatible))]
    return data[:8] + major + data[12:16] + b"".join(names) + data[size:]


def test_brands():
    data = codeckit.codec("avif").encode(picture())
    assert {b"avif", b"mif1"} <= set(brands(data))
    assert brands(branded(data, b"mif1", b"mif1", b"miaf", b"avif"))[:4] == (b"mif1", b"mif1", b"miaf", b"avif")
    assert brands(b"\x89PNG\r\n\x1a\n") == brands(b"") == ()
    assert brands(b"\xff\xff\xff\xffftypavif") == (b"avif",)  # a damaged length


@pytest.mark.parametrize(
    ("major", "compatible"),
    [
        (b"avif", (b"mif1", b"miaf", b"MA1B")),
        (b"avif", (b"avif",)),
        (b"mif1", (b"mif1", b"miaf", b"avif")),
        (b"mif1", (b"avif", b"mif1", b"MA1A")),
        (b"miaf", (b"mif1", b"avif")),
    ],
)
def test_pictures_of_any_major_brand(major, compatible):
    plain = codeckit.codec("avif").encode(picture())
    data = branded(plain, major, *compatible)
    assert registry.sniff(data).name == codeckit.info(data).codec == "avif"
    assert np.array_equal(codeckit.decode(data), codeckit.decode(plain))
    assert np.array_equal(codeckit.decode(codeckit.codec("png").encode(io.BytesIO(data))), codeckit.decode(plain))


@pytest.mark.parametrize(("major", "compatible"), [
    (b"avis", (b"msf1", b"avif")), (b"msf1", (b"avis", b"avif")), (b"avif", (b"avis", b"miaf")), (b"miaf", (b"avif",)),
])  # fmt: skip
def test_sequences_of_any_major_brand(major, compatible):
    assert registry.sniff(branded(sequence(), major, *compatible)).name == "avif"


def test_avif_sequences():
    data = sequence()
    assert brands(data)[0] == b"avis"
    assert registry.sniff(data).name == "avif"
    assert codeckit.info(data).codec == "avif"


@pytest.mark.parametrize(("major", "compatible"), [
    (b"heic", (b"mif1", b"heic")), (b"mif1", (b"mif1", b"heix")), (b"msf1", (b"hevc",)), (b"heim", (b"mif1",)),
])  # fmt: skip
def test_heic_is_refused_by_its_name(major, compatible):
    data = branded(codeckit.codec("avif").encode(picture()), major, *compatible)
    for function in (codeckit.decode, codeckit.info, registry.sniff):
        with pytest.raises(StreamError, match=r"not a stream that codeckit decodes: this is HEIC.*convert it"):
            function(data)


@pytest.mark.parametrize("data", [b"", b"abc", b"GIF89a", b"\0\0\0\x18ftypisom\0\0\0\0isomav01", b"\0\0\0\x0cjP  "])
def test_others_are_refused_with_a_list(data):
    with pytest.raises(StreamError, match=r"neither \.ckt nor \.avif, "):
        registry.sniff(data)


@pytest.mark.parametrize(("options", "ending"), [({}, ".bin"), ({"no_jp2": True}, ".jp2"), ({"no_jp2": True}, ".j2k")])
def test_jpeg2000_under_any_name(options, ending, tmp_path):
    path = tmp_path / f"picture{ending}"
    with open(path, "wb") as out:
        Image.fromarray(picture()).save(out, "JPEG2000", **options)
    assert registry.sniff(path.read_bytes()).name == "jpeg2000"
    decoded = codeckit.decode(path)
    assert np.array_equal(decoded, np.asarray(Image.open(path)))
    assert np.array_equal(codeckit.decode(codeckit.codec("png").encode(path)), decoded)


@pytest.mark.parametrize("container", [False, True])
def test_jpegxl_as_codestream_and_as_container(container, tmp_path):
    pytest.importorskip("pillow_jxl")
    path = tmp_path / "picture.png"
    Image.fromarray(picture()).save(tmp_path / "picture.jxl", lossless=True, use_container=container)
    (tmp_path / "picture.jxl").rename(path)
    assert registry.sniff(path.read_bytes()).name == "jpegxl"
    assert np.array_equal(codeckit.decode(path), picture())
    assert np.array_equal(codeckit.decode(codeckit.codec("png").encode(path)), picture())
