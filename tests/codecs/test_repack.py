"""Repacked JPEG files: the identical file comes back, whatever it is."""

import hashlib
import io
from dataclasses import replace

import codeckit
import numpy as np
import pytest
from codeckit.bench.studies import fuzz
from codeckit.bench.studies.pictures import photo
from codeckit.cli import main
from codeckit.codecs.jpeg import JpegHuffman
from codeckit.codecs.jpeg.repack import is_modelled, repack, unpack
from codeckit.primitives import StreamError, container
from PIL import Image
from skimage.data import astronaut


def pillow(image, mode="RGB", **options):
    out = io.BytesIO()
    Image.fromarray(image, mode).save(out, "JPEG", **options)
    return out.getvalue()


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (45, 61)])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"progressive": True, "quality": 92},
        {"optimize": True, "quality": 30},
        {"restart_marker_blocks": 3},
        {"subsampling": "4:4:4", "quality": 100},
        {"subsampling": "4:2:2", "progressive": True, "restart_marker_rows": 1},
    ],
)
def test_files_of_libjpeg(size, channels, options):
    data = pillow(photo(*size, channels, seed=31), {1: "L", 3: "RGB", 4: "CMYK"}[channels], **options)
    stream = repack(data)
    assert unpack(stream) == data and is_modelled(stream)


@pytest.mark.parametrize(
    "options",
    [
        {"progressive": "exhaustive", "quality": 85},
        {"progressive": "optimized", "restart_interval": 2},
        {"effort": 8, "quality": 30},
        {"optimize": False},
        {"tables": np.full((8, 8), 300)},
    ],
)
def test_files_of_ours(options):
    data = codeckit.codec("jpeg", **options).encode(photo(70, 85, 3, seed=32))
    stream = repack(data)
    assert unpack(stream) == data and is_modelled(stream)
    assert (codeckit.decode(stream) == codeckit.decode(data)).all()


def test_what_stands_around_the_picture_comes_back():
    exif = Image.Exif()
    exif[0x010E] = "a description"
    data = pillow(photo(40, 40, 3, seed=33), exif=exif, icc_profile=bytes(range(256)) * 300, comment=b"hello")
    filled = data.replace(b"\xff\xda", b"\xff" * 7 + b"\xda", 1)  # fill bytes before a marker
    for file in (data + b"trailing", data + data, filled, data[:2] + b"\xff\xfe\x00\x02" * 9 + data[2:]):
        stream = repack(file)
        assert unpack(stream) == file and is_modelled(stream)


def test_encoders_that_fill_with_zeros():
    data = pillow(np.full((8, 8, 3), 90, np.uint8), quality=40)
    at = data.rindex(b"\xff\xd9") - 1
    for mask in range(1, 8):
        file = data[:at] + bytes([data[at] & ~((1 << mask) - 1) & 0xFF]) + data[at + 1 :]
        assert unpack(repack(file)) == file


@pytest.mark.parametrize("data", [b"", b"hello", b"\xff\xd8", b"\xff\xd8\xff\xd9"])
def test_what_is_no_picture_is_stored(data):
    stream = repack(data)
    assert unpack(stream) == data and not is_modelled(stream)
    assert len(stream) <= len(data) + 16


def test_what_cannot_be_modelled_is_stored():
    data = pillow(photo(64, 64, 3, seed=34))
    for file in (data[:-2], data[: len(data) // 2], data.replace(b"\xff\xc0", b"\xff\xc9", 1)):
        stream = repack(file)
        assert unpack(stream) == file and not is_modelled(stream)


def test_photographs_shrink_by_a_fifth():
    for most, options in (0.8, {"quality": 75}), (0.85, {"quality": 90, "progressive": True}):
        file = pillow(astronaut()[:384, 100:484], **options)
        assert len(repack(file)) < most * len(file)


def test_a_repacked_file_is_a_stream_like_any_other():
    image = photo(33, 47, 3, seed=36)
    data = pillow(image)
    stream = repack(data)
    assert (codeckit.decode(stream) == codeckit.decode(data)).all()
    found = codeckit.info(stream)
    assert (found.codec, found.size, found.channels) == ("jpeg-repack", (33, 47), 3)
    again = codeckit.codec("jpeg-repack", quality=75).encode(image)
    assert unpack(again) == JpegHuffman().forward(JpegHuffman().inverse(codeckit.codec("jpeg").encode(image)))
    with pytest.raises(StreamError, match="pixels"):
        unpack(stream, max_pixels=100)
    with pytest.raises(StreamError, match="no repacked"):
        unpack(codeckit.codec("jpeg-context").encode(image))


def test_context_coded_pixels_are_jpegs_and_smaller():
    image = astronaut()[:200, 150:350]
    for options in {"quality": 80}, {"quality": 40, "effort": 3}:
        stream = codeckit.codec("jpeg-context", **options).encode(image)
        file = codeckit.codec("jpeg", **{"progressive": "optimized", **options}).encode(image)
        assert (codeckit.decode(stream) == codeckit.decode(file)).all()
        assert len(stream) < 0.9 * len(file)


def test_golden_stream_unpacks():
    """Streams stay readable: a 16×16 picture, repacked."""
    assert hashlib.sha256(unpack(bytes.fromhex(GOLDEN))).hexdigest()[:16] == "63f8efdde3dcc8ea"


GOLDEN = (
    "636b74021c02021b8f9f699a029301433108a6ed36430b83b49088b888a0b4b898b89c8cb4828693b686aaaa46a095ad815342686a4a7c"
    "686c7456c5ccc6acc209c5d1b1ad5bdb26cc5bbc7aedeaf4863d27772d3b3e73c5ea258c3272721aca1a7edada7e4bf262f396900c208e"
    "1760104072fc11866806449284005616467421466601a0479859989184981880512a246ca8985828084ac028ea81e62ba2870c0001e9c2"
    "eb3148cbe774961c73847ff3b64f5a1acd8bc8abdaed7d2a2c3038e0b8c24d0ade58eacfa0dd50ef050bc463a5c2"
)


@pytest.fixture(scope="module")
def streams():
    return fuzz.repack_streams()


@pytest.mark.parametrize("share", range(3))
def test_mutations_come_back_or_are_refused(streams, share):
    for number in range(80 * share, 80 * share + 80):
        case = fuzz.mutate_repacked(2027, number, *streams)
        outcome = fuzz.attempt(case)
        assert outcome.verdict != "violation", (case.name, outcome.message)


def test_another_file_is_never_given():
    """Even behind a right CRC of the stream."""
    data = pillow(photo(40, 40, 3, seed=39))
    for file in data, b"no JPEG":
        held = container.unpack(repack(file))
        for at in range(0, len(held.payload), 37):
            payload = bytearray(held.payload)
            payload[at] ^= 4
            with pytest.raises(StreamError):
                unpack(container.pack(replace(held, payload=bytes(payload))))


def test_command_line(tmp_path, capsys):
    files = {"a.jpg": pillow(photo(40, 50, 3, seed=40)), "deep/b.JPEG": pillow(photo(20, 30, 1, seed=41), "L")}
    files["deep/broken.jpg"] = b"\xff\xd8 nothing"
    for name, data in files.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(data)
    assert main(["repack", str(tmp_path / "in"), str(tmp_path / "packed")]) == 0
    printed = capsys.readouterr().out
    assert "3 files" in printed and "1 stored as they are" in printed and "broken.jpg.ckt" in printed
    assert main(["unpack", str(tmp_path / "packed"), str(tmp_path / "out"), "--json"]) == 0
    for name, data in files.items():
        assert (tmp_path / "out" / name).read_bytes() == data
    assert main(["repack", str(tmp_path / "in" / "a.jpg"), str(tmp_path / "one.ckt")]) == 0
    assert main(["decode", str(tmp_path / "one.ckt"), str(tmp_path / "one.png")]) == 0
    assert main(["unpack", str(tmp_path / "in" / "a.jpg"), str(tmp_path / "x")]) == 1
    assert not (tmp_path / "x").exists()
    (tmp_path / "none").mkdir()
    assert main(["repack", str(tmp_path / "none"), str(tmp_path / "y")]) == 2
