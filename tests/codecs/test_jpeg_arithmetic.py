"""Arithmetic-coded JPEG files: libjpeg-turbo's pixels and libjpeg-turbo's bytes, both ways."""

import base64
import re
import shutil

import codeckit
import numpy as np
import pytest
import skimage.data
from codeckit.bench.studies import jpeg_arithmetic
from codeckit.bench.studies.jpeg_arithmetic import coded_data, reference
from codeckit.bench.studies.pictures import extremes, noise, photo
from codeckit.codecs.jpeg import JpegArithmetic, JpegHuffman, markers
from codeckit.codecs.jpeg.anatomy import anatomy
from codeckit.codecs.jpeg.repack import is_modelled, repack, unpack
from codeckit.primitives import StreamError
from PIL import Image

#: Files of `jpegtran -arithmetic`, by what they are: options of our encoder for the same coefficients, and the file.
FILES = {
    "sequential, restarts": (
        {"quality": 60, "restart_interval": 2},
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywtQFdBRkxO"
        "UlNSMj5aYVpQYEpRUk//2wBDAQ4ODhMREyYVFSZPNS01T09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09P"
        "T09PT09PT0//yQARCAATABUDASIAAhEBAxEB/8wACgAQEAUBEBEF/90ABAAC/9oADAMBAAIRAxEAPwD/AKG+FKH68e4FLVo3FM09"
        "ullybl0QQwmR2k1pZ9NsJC2NQP/Q/wBqmMmFnq0Q+c9AsB4ycUXPI8IImSAg/9k=",
    ),
    "progressive": (
        {"quality": 60, "progressive": True},
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywtQFdBRkxO"
        "UlNSMj5aYVpQYEpRUk//2wBDAQ4ODhMREyYVFSZPNS01T09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09P"
        "T09PT09PT0//ygARCAATABUDASIAAhEBAxEB/8wABgAQARD/2gAMAwEAAhADEAAAAf8ARhOQCwuRFkUOAFXWs7Wv63lc/8wABBAF"
        "/9oACAEBAAEFAhFv/Ii69Nv/zAAEEQX/2gAIAQMBAT8Bo+b/zAAEEQX/2gAIAQIBAT8BJsRA/8wABBAF/9oACAEBAAY/AsD/zAAE"
        "EAX/2gAIAQEAAT8hgOYDQP/aAAwDAQACAAMAAAAQfovE/8wABBEF/9oACAEDAQE/EClO/8wABBEF/9oACAECAQE/ENg7NP/MAAQQ"
        "Bf/aAAgBAQABPxBTm/hWlFbTDv/Z",
    ),
    "grey": (
        {"quality": 90},
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMU"
        "FRUVDA8XGBYUGBIUFRT/yQALCAATABUBAREA/8wABgAQEAX/2gAIAQEAAD8A/wDtLb5/iDf1GR5qtu3v4qWStASmhrhDi+mMQSoP"
        "gdw4eiVxXpDneTDAw0cYOgFRtub0tCwo7sP9OoD/2Q==",
    ),
}


def picture():
    y, x = np.mgrid[:19, :21]
    planes = (3 * x + 5 * y) % 256, (x * x // 4 + 2 * y) % 256, (200 - 4 * y + x) % 256
    return np.stack(planes, axis=2).astype(np.uint8)


@pytest.mark.parametrize("name", FILES)
def test_files_of_jpegtran(name):
    """Decoded to the pixels of the Huffman-coded file; and our file holds the same coded bytes."""
    options, text = FILES[name]
    data, image = base64.b64decode(text), picture()
    image = image[..., 1] if name == "grey" else image
    np.testing.assert_array_equal(codeckit.decode(data), codeckit.decode(encoded(image, options)))
    ours = codeckit.codec("jpeg", **options, arithmetic=True).encode(image)
    assert coded_data(ours) == coded_data(data)
    assert len(ours) <= len(data)


def encoded(image, options, **more):
    return codeckit.codec("jpeg", **options, **more).encode(image)


@pytest.mark.parametrize("maker", jpeg_arithmetic.MAKERS)
def test_random_variants(maker):
    if not all(map(shutil.which, jpeg_arithmetic.MAKERS[maker][1])):
        pytest.skip("cjpeg and jpegtran (libjpeg-turbo-progs) are not installed")
    for variant in jpeg_arithmetic.variants(60, 5, [skimage.data.astronaut()[:200, 100:300]], [maker]):
        assert jpeg_arithmetic.compare(variant.data) == "identical", variant.name


@pytest.mark.skipif(shutil.which("jpegtran") is None, reason="jpegtran (libjpeg-turbo-progs) is not installed")
def test_coded_data_are_jpegtrans():
    rng = np.random.default_rng(8)
    for _ in range(15):
        same, ours, theirs = jpeg_arithmetic.against_jpegtran(rng, [skimage.data.astronaut()[:200, 100:300]])
        assert same and ours <= theirs


@pytest.mark.parametrize("make", [photo, noise, extremes])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"progressive": "optimized"}, {"restart_interval": 2}])
def test_both_entropy_stages_hold_the_same_picture(make, options):
    for size, quality in ((50, 70), 100), ((50, 70), 10), ((1, 1), 75):
        image = make(*size, 3, seed=9)
        data = encoded(image, options, quality=quality, arithmetic=True)
        expected = codeckit.decode(encoded(image, options, quality=quality))
        np.testing.assert_array_equal(codeckit.decode(data), expected)
        np.testing.assert_array_equal(reference(data), expected)


def test_files_are_smaller_than_with_the_best_huffman_codes():
    image = skimage.data.astronaut()[100:356, 100:356]
    for progressive in False, True:
        huffman, arithmetic = (len(encoded(image, {}, progressive=progressive, arithmetic=a)) for a in (False, True))
        assert arithmetic < 0.97 * huffman


@pytest.mark.parametrize("conditioning", [(0, 0, 1), (2, 4, 9), (15, 15, 63), (0, 15, 5)])
@pytest.mark.parametrize("progressive", [False, True])
def test_conditioning(conditioning, progressive):
    image = photo(61, 45, seed=4)
    codec = codeckit.codec("jpeg").replace(entropy=JpegArithmetic(progressive, conditioning=conditioning))
    data = codec.encode(image)
    header = markers.Header()
    markers.Segments(data).parse(header)
    assert header.conditioning[:2] == (conditioning[0] | conditioning[1] << 4,) * 2
    assert header.conditioning[4:6] == (conditioning[2],) * 2
    np.testing.assert_array_equal(codec.decode(data), reference(data))
    plain = encoded(image, {}, progressive=progressive, arithmetic=True)
    np.testing.assert_array_equal(codec.decode(data), codeckit.decode(plain))
    assert coded_data(data) != coded_data(plain)


@pytest.mark.parametrize("wrong", [(1, 0, 5), (0, 16, 5), (0, 1, 0), (0, 1, 64), (0, 1), [0, 1, 5], (0.0, 1, 5), None])
def test_bad_conditioning(wrong):
    with pytest.raises(ValueError, match="conditioning"):
        JpegArithmetic(conditioning=wrong)


def test_options_are_those_of_the_huffman_stage():
    with pytest.raises(ValueError, match="progressive"):
        JpegArithmetic(progressive="much")
    with pytest.raises(ValueError, match="restart_interval"):
        JpegArithmetic(restart_interval=-1)


def test_the_stage_by_name_and_its_metadata(tmp_path):
    image = photo(24, 32, seed=6)
    codec = codeckit.codec("jpeg", entropy="JpegArithmetic")
    assert codec.encode(image) == encoded(image, {}, arithmetic=True)
    path = tmp_path / "picture.jpg"
    Image.fromarray(image).save(path, comment=b"a comment")
    kept = codeckit.codec("jpeg", arithmetic=True, metadata="keep").encode(path)
    assert b"a comment" in kept
    np.testing.assert_array_equal(reference(kept), codeckit.decode(kept))


def test_effort_works():
    image = photo(48, 40, seed=6)
    data = codeckit.codec("jpeg", effort=2, arithmetic=True, quality=60).encode(image)
    assert codeckit.info(data).details["process"] == "arithmetic-coded progressive"
    np.testing.assert_array_equal(reference(data), codeckit.decode(data))


def test_info_and_trace():
    image = photo(24, 32, seed=6)
    for progressive, process in (False, "sequential"), (True, "progressive"):
        details = codeckit.info(encoded(image, {"progressive": progressive}, arithmetic=True)).details
        assert details["process"] == f"arithmetic-coded {process}"
    trace = codeckit.codec("jpeg", arithmetic=True).trace(image)
    assert "JpegArithmetic" in str(trace)


@pytest.mark.parametrize("options", [{}, {"restart_interval": 2}, {"progressive": True}])
def test_every_bit_is_told(options):
    """Parts cover the file; costs of a sequential file add up to its coded data, up to the ends of intervals."""
    entropy = JpegArithmetic(conditioning=(1, 2, 3), **options)
    trace = codeckit.codec("jpeg", quality=90).replace(entropy=entropy).trace(photo(64, 80, seed=3))
    found = anatomy(trace.steps[-2].value, trace.stream)
    assert found.bits == 8 * len(trace.stream)
    assert ("table", "DC 0") in [(part.name, part.value) for part in found.parts]
    assert len(found.costs) == (0 if "progressive" in options else 3)
    if found.costs:
        coded = sum(part.bits for part in found.parts if part.name == "codes of the scan")
        spent = sum(cost.sum() for cost in found.costs)
        assert 0.95 * coded < spent < coded
        assert all((cost >= 0).all() for cost in found.costs)


def test_repacked_files_are_modelled():
    image = photo(90, 70, seed=12)
    files = [base64.b64decode(text) for _, text in FILES.values()]
    for options in {}, {"progressive": True}, {"restart_interval": 3, "subsampling": "4:2:2"}:
        files.append(encoded(image, options, arithmetic=True))
    entropy = JpegArithmetic(conditioning=(2, 4, 9))
    files.append(codeckit.codec("jpeg").replace(entropy=entropy).encode(image) + b"trailing bytes")
    for data in files:
        packed = repack(data)
        assert is_modelled(packed) and unpack(packed) == data
    assert len(repack(files[-1])) < len(files[-1])


def test_damage_is_refused():
    data = encoded(photo(40, 60), {"restart_interval": 3}, arithmetic=True)
    for end in range(0, len(data), 7):
        with pytest.raises(StreamError):
            codeckit.decode(data[:end])
    frame = data.index(b"\xff\xc9")
    broken = {
        "conditioning": data[:frame] + bytes.fromhex("ffcc00040001") + data[frame:],  # L 1, U 0
        "quantization": data[: data.index(b"\xff\xdb")] + data[frame:],
    }
    for name, damaged in broken.items():
        with pytest.raises(StreamError, match=name):
            codeckit.decode(damaged)
    data, rng, verdicts = encoded(photo(40, 60), {"quality": 95}, arithmetic=True), np.random.default_rng(0), set()
    for _ in range(200):
        damaged = bytearray(data)
        damaged[rng.integers(data.index(b"\xff\xda") + 14, len(data) - 2)] ^= 1 << rng.integers(8)
        try:
            verdicts.add(codeckit.decode(bytes(damaged)).shape)
        except StreamError as error:
            verdicts.add(str(error))
    assert len(verdicts) > 1


def changed_restarts(data):
    """The file with its restart markers renumbered, one lost, one doubled, and with zeros or fill bytes before them."""
    first = data.index(b"\xff\xda")
    head, scan = data[:first], data[first:]
    lost = scan.index(b"\xff\xd2")
    return {
        "renumbered": head + re.sub(rb"\xff([\xd0-\xd7])", lambda m: bytes([255, 0xD0 + (m[1][0] + 3) % 8]), scan),
        "lost": head + scan[:lost] + scan[lost + 2 :],
        "doubled": head + scan[:lost] + scan[lost : lost + 2] + scan[lost:],
        "surplus": data[:-2] + b"\xff\xd0\xff\xd1" + data[-2:],
        "zeros": head + re.sub(rb"(\xff[\xd0-\xd7])", lambda m: b"\0\0" + m[1], scan),
        "fill": head + re.sub(rb"(\xff[\xd0-\xd7])", lambda m: b"\xff\xff" + m[1], scan),
    }


@pytest.mark.parametrize("subsampling", ["4:2:2", "4:2:0"])
def test_restart_markers_out_of_place_are_taken_as_libjpeg_takes_them(subsampling):
    # Small steps keep what zero bits mean within the range of libjpeg's inverse DCT, whose overflows are its own.
    options = {"restart_interval": 3, "quality": 98, "subsampling": subsampling}
    data = encoded(photo(90, 70, seed=12), options, arithmetic=True)
    for name, changed in changed_restarts(data).items():
        np.testing.assert_array_equal(codeckit.decode(changed), reference(changed), err_msg=name)
        packed = repack(changed)
        assert is_modelled(packed) and unpack(packed) == changed, name
        if name not in ("lost", "doubled"):
            np.testing.assert_array_equal(codeckit.decode(changed), codeckit.decode(data), err_msg=name)


@pytest.mark.parametrize("options", [{}, {"restart_interval": 4}, {"progressive": True}])
def test_cut_files_in_part(options):
    """libjpeg supplies the end-of-image marker, and reads zero bits where data are missing."""
    data = encoded(photo(60, 50, seed=2), options, arithmetic=True)
    marks = [i for i in range(len(data) - 1) if data[i] == 0xFF and data[i + 1] in (0xC9, 0xCA, 0xCC, 0xDA)]
    inside = [i for i in range(data.index(b"\xff\xda") + 20, len(data) - 2) if all(not 0 <= i - m < 20 for m in marks)]
    for end in inside[:: len(inside) // 40]:
        with pytest.raises(StreamError):
            codeckit.decode(data[:end])
        expected = reference(data[:end] + b"\xff\xd9")
        np.testing.assert_array_equal(codeckit.decode(data[:end], partial=True), expected, err_msg=str(end))
    np.testing.assert_array_equal(codeckit.decode(data, partial=True), reference(data))


def test_number_of_lines_behind_the_scan():
    data = encoded(photo(37, 50, seed=2), {}, arithmetic=True)
    lines = data.index(b"\xff\xc9") + 5
    later = data[:lines] + b"\0\0" + data[lines + 2 : -2] + b"\xff\xdc\0\x04" + data[lines : lines + 2] + data[-2:]
    np.testing.assert_array_equal(codeckit.decode(later), codeckit.decode(data))
    assert is_modelled(repack(later)) and unpack(repack(later)) == later


def test_the_size_limit_holds():
    data = encoded(np.zeros((800, 800), np.uint8), {}, arithmetic=True)
    assert len(data) < 300  # a flat picture takes next to nothing, so only the limit guards
    with pytest.raises(StreamError, match="max_pixels"):
        codeckit.decode(data, max_pixels=800 * 800 - 1)


def test_both_stages_read_both_files():
    image = photo(30, 20, seed=1)
    for arithmetic in False, True:
        data = encoded(image, {}, arithmetic=arithmetic)
        planes = [stage.inverse(data).planes for stage in (JpegHuffman(), JpegArithmetic())]
        for ours, theirs in zip(*planes, strict=True):
            np.testing.assert_array_equal(ours, theirs)
