"""JPEG files that are not as they should be: tables, heights and restart markers left out, cut files, damaged files.

Wherever Pillow shows a picture, it is the reference (libjpeg-turbo).
"""

import hashlib

import codeckit
import numpy as np
import pytest
import skimage.data
from codeckit.bench.studies import jpeg_damage, jpeg_identity, pictures
from codeckit.bench.studies.jpeg_damage import restarts, scans
from codeckit.codecs.jpeg import JpegHuffman
from codeckit.codecs.jpeg.recovery import sources
from codeckit.codecs.jpeg.repack import is_modelled, repack, unpack
from codeckit.primitives import StreamError, container
from jpeg_reference import assert_like_pillow, pillow, save


def assert_kept_whole(data, size):
    """`info`, the anatomy and `repack` read the file, too."""
    assert codeckit.info(data).size == size
    anatomy = JpegHuffman().anatomy(JpegHuffman().inverse(data), data)
    assert anatomy.bits == sum(part.bits for part in anatomy.parts) == 8 * len(data)
    stream = repack(data)
    assert unpack(stream) == data
    np.testing.assert_array_equal(codeckit.decode(stream), codeckit.decode(data))
    return stream


#: A picture of each kind of file, 85×61.
FILES = {
    "4:2:0": {},
    "4:4:4": {"subsampling": "4:4:4", "quality": 92},
    "4:2:2": {"subsampling": "4:2:2", "optimize": True},
    "grey": {"channels": 1},
    "CMYK": {"channels": 4, "quality": 60},
    "progressive": {"progressive": True},
    "progressive grey": {"channels": 1, "progressive": True, "quality": 90},
    "progressive 4:4:4": {"subsampling": "4:4:4", "progressive": True, "quality": 50},
}


def file(kind, **more):
    options = {"quality": 80, **FILES[kind], **more}
    channels = options.pop("channels", 3)
    return save(pictures.photo(85, 61, channels, seed=11), "CMYK" if channels == 4 else None, **options)


def without(data, marker, keep=lambda body: False):
    """The file without its segments of a marker, but those to keep."""
    parts = jpeg_identity.segments(data)
    return b"".join(part for part in parts if part[1] != marker or keep(part[4:]))


# Tables ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["4:2:0", "4:4:4", "grey", "CMYK"])
@pytest.mark.parametrize("restart", [0, 4])
def test_typical_tables_are_supplied(kind, restart):
    data = file(kind, restart_marker_blocks=restart)
    bare = without(data, 0xC4)
    assert bare.count(b"\xff\xc4") == 0
    np.testing.assert_array_equal(codeckit.decode(bare), codeckit.decode(data))
    assert_like_pillow(bare)
    assert is_modelled(assert_kept_whole(bare, (85, 61)))


@pytest.mark.parametrize("number", [0x00, 0x10, 0x01, 0x11])
def test_a_table_alone_is_supplied(number):
    data = file("4:2:0")
    for bare in (
        without(data, 0xC4, lambda body: body[0] != number),
        without(data, 0xC4, lambda body: body[0] == number),
    ):
        assert_like_pillow(bare)


@pytest.mark.parametrize("kind", ["progressive", "arithmetic"])
def test_numbers_of_tables_that_a_scan_does_not_use(kind):
    if kind == "progressive":
        data = file("progressive")
    else:
        data = codeckit.codec("jpeg", arithmetic=True, progressive=True).encode(pictures.photo(40, 50, 3, seed=2))
    odd = bytearray(data)
    for at in (i for i in range(len(data)) if data[i : i + 2] == b"\xff\xda"):
        n = data[at + 4]
        start, _, bits = data[at + 5 + 2 * n : at + 8 + 2 * n]
        for table in range(at + 6, at + 6 + 2 * n, 2):
            odd[table] |= (0x0F if bits < 16 else 0xFF) if start == 0 else 0xF0
    assert odd != data
    assert_like_pillow(bytes(odd))
    assert_kept_whole(bytes(odd), codeckit.info(data).size)
    first = odd.index(b"\xff\xda") + 6
    odd[first] = 0x40
    with pytest.raises(StreamError, match=r"uses table 4; they are numbered from 0 to 3"):
        codeckit.decode(bytes(odd))


def test_other_tables_are_not_supplied():
    data = file("4:2:0")
    renumbered = bytearray(without(data, 0xC4))
    renumbered[renumbered.index(b"\xff\xda") + 6] = 0x22
    for bare in bytes(renumbered), without(file("progressive"), 0xC4):
        with pytest.raises(StreamError, match=r"Huffman table 0x\d\d is missing"):
            codeckit.decode(bare)
        with pytest.raises(OSError):
            pillow(bare)


# Height ---------------------------------------------------------------------------------------------------------------


def with_lines(data, height, lines):
    """The file with a height in its frame, and a DNL segment behind its first scan."""
    end = scans(data)[0][1]
    frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc1"), data.find(b"\xff\xc2"))
    data = data[:end] + b"\xff\xdc\0\x04" + lines.to_bytes(2, "big") + data[end:]
    return data[: frame + 5] + height.to_bytes(2, "big") + data[frame + 7 :]


@pytest.mark.parametrize("restart", [0, 3])
@pytest.mark.parametrize("kind", FILES)
def test_the_height_may_stand_behind_the_scan(kind, restart):
    data = file(kind, restart_marker_blocks=restart)
    for edited in with_lines(data, 0, 85), with_lines(data, 85, 85):
        np.testing.assert_array_equal(codeckit.decode(edited), codeckit.decode(data))
        assert is_modelled(assert_kept_whole(edited, (85, 61)))


def test_a_height_that_is_known_is_not_redefined():
    data = with_lines(file("4:2:0"), 85, 40)
    assert_like_pillow(data)
    assert codeckit.info(data).size == (85, 61)


def test_a_height_that_nothing_gives_is_an_error():
    data = file("4:2:0")
    bare = with_lines(data, 0, 85)
    for broken in (bare[:-8], bare.replace(b"\xff\xdc\0\x04", b"\xff\xfe\0\x04"), with_lines(data, 0, 0)):
        for read in codeckit.decode, codeckit.info, lambda stream: codeckit.decode(stream, partial=True):
            with pytest.raises(StreamError, match="height is 0, and no DNL"):
                read(broken)
    with pytest.raises(StreamError, match="max_pixels"):
        codeckit.decode(with_lines(data, 0, 65535), max_pixels=10**6)


# Restart markers ------------------------------------------------------------------------------------------------------


def shifted(data, shift):
    out = bytearray(data)
    for at in restarts(data):
        out[at + 1] = 0xD0 + (out[at + 1] - 0xD0 + shift) % 8
    return bytes(out)


def interval(data, mcus):
    at = data.index(b"\xff\xdd") + 4
    return data[:at] + mcus.to_bytes(2, "big") + data[at + 2 :]


def askew(data):
    """Ways to misplace restart markers that lose no coded data, by name."""
    marks, end = restarts(data), scans(data)[0][1]
    first = [at for at in marks if at < end]
    filled = data
    for at in reversed(marks):
        filled = filled[:at] + b"\xff" * (1 + at % 3) + filled[at:]
    return {
        **{f"numbering starts at {shift}": shifted(data, shift) for shift in range(1, 8)},
        **{f"marker {at} lost": data[:at] + data[at + 2 :] for at in (*first[:3], first[-1])},
        "two in a row lost": data[: first[1]] + data[first[1] + 2 : first[2]] + data[first[2] + 2 :],
        **{f"marker {at} doubled": data[:at] + data[at : at + 2] + data[at:] for at in (*first[:3], first[-1])},
        "one at the end": data[:end] + b"\xff\xd5" + data[end:],
        "three at the end": data[:end] + b"\xff\xd0\xff\xd1\xff\xd2" + data[end:],
        "three before the end": data[:-2] + b"\xff\xd7\xff\xd7\xff\xd1" + data[-2:],
        "one renumbered": data[: first[1] + 1] + b"\xd4" + data[first[1] + 2 :],
        "one as the next": data[: first[1] + 1] + b"\xd2" + data[first[1] + 2 :],
        "one as the one before": data[: first[1] + 1] + b"\xd0" + data[first[1] + 2 :],
        "fill bytes": filled,
        "DRI says 0": interval(data, 0),
        "DRI says too much": interval(data, 11),
        "DRI says too little": interval(data, 3),
        "no marker, but DRI": b"".join(
            data[first : first + 1] for first in range(len(data)) if first not in marks and first - 1 not in marks
        ),
    }


@pytest.mark.parametrize("kind", FILES)
def test_restart_markers_askew(kind):
    data = file(kind, restart_marker_blocks=5)
    alike = 0
    for name, edited in askew(data).items():
        if FILES[kind].get("progressive") and name in ("no marker, but DRI", "DRI says too little"):
            continue  # whose scans of a few bytes look cut
        try:
            ours = codeckit.decode(edited)
        except StreamError as error:
            pytest.fail(f"{name}: {error}")
        if not jpeg_damage.overflows(edited):  # what libjpeg makes of missing bits can be beyond all samples
            np.testing.assert_array_equal(ours, pillow(edited), name)
            alike += 1
        if kind in ("4:2:0", "progressive"):
            assert unpack(repack(edited)) == edited, name
    assert alike > 15


@pytest.mark.parametrize("restart", [0, 5])
@pytest.mark.parametrize("kind", ["4:2:0", "4:2:2", "grey", "CMYK"])
def test_a_restart_marker_in_place_of_the_end(kind, restart):
    data = file(kind, restart_marker_blocks=restart)
    for tail in b"\xff\xd0", b"\xff\xd3\xff\xd4", b"\xff\xff\xd1":
        assert_like_pillow(data[:-2] + tail)
        assert is_modelled(assert_kept_whole(data[:-2] + tail, (85, 61)))
    for at in restarts(data)[:-1]:
        with pytest.raises(StreamError):
            codeckit.decode(data[: at + 2])
    with pytest.raises(StreamError, match="end-of-image"):
        codeckit.decode(file("progressive")[:-2] + b"\xff\xd0")


def test_markers_of_another_kind_in_the_data():
    """Codes that no marker has are passed over between intervals, as libjpeg does."""
    data = file("4:2:0", restart_marker_blocks=5)
    at = restarts(data)[1]
    assert_like_pillow(data[:at] + b"\xff\x31" + data[at:])


def test_pieces():
    rst = [0xD0, 0xD1, 0xD2, 0xD3, 0xD4]
    assert sources([*rst[:3], 0xD9], 4) == [0, 1, 2, 3]
    assert sources([0xD4, 0xD4, 0xD9], 3) == [0, 1, 2]  # too far away: taken for those that are due
    assert sources([0xD1, 0xD9], 3) == [0, -1, 1]  # the first one waits
    assert sources([0xD0, 0xD2, 0xD3, 0xD9], 4) == [0, 1, -1, 2]
    assert sources([0xD0, 0xD0, 0xD1, 0xD9], 3) == [0, 1, 3]  # one of the past is passed over
    assert sources([0xD0, 0xD9], 4) == [0, 1, -2, -2]
    assert sources([0x02, 0xD0, 0], 3) == [0, 2, -2]


@pytest.mark.parametrize("kind", ["4:2:0", "grey", "progressive"])
def test_missing_data_stay_an_error(kind):
    data = file(kind, restart_marker_blocks=5)
    begin, end = scans(data)[0]
    marks = [at for at in restarts(data) if at < end]
    missing = {
        "bytes of an interval": data[: marks[1] + 4] + data[marks[2] - 3 :],
        "the last interval": data[: marks[-1]] + data[end:],
        "the end of the last interval": data[: end - 8] + data[end:],
        "the scan": data[:begin] + data[end:],
        "everything behind": data[: marks[2]] + b"\xff\xd9",
        "the end of the file": data[:-2],
    }
    for name, broken in missing.items():
        with pytest.raises(StreamError):
            codeckit.decode(broken)
            pytest.fail(name)
        if name != "the end of the file":
            np.testing.assert_array_equal(codeckit.decode(broken, partial=True), pillow(broken), name)


# In part --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restart", [0, 7])
@pytest.mark.parametrize("kind", FILES)
def test_cut_files(kind, restart):
    data = file(kind, restart_marker_blocks=restart)
    shown = 0
    for end in range(scans(data)[0][0], len(data), max(1, len(data) // 40)):
        verdict, difference, whole = jpeg_damage.compare(data[:end])
        assert verdict in ("identical", "libjpeg stops") and not whole, (end, verdict, difference)
        shown += verdict == "identical"
    assert shown > 15
    np.testing.assert_array_equal(codeckit.decode(data, partial=True), codeckit.decode(data))


@pytest.mark.parametrize("kind", ["progressive", "progressive grey", "progressive 4:4:4"])
def test_progressive_files_without_their_last_scans(kind):
    """They are smoothed as libjpeg smooths them; also where the file ends properly."""
    data = file(kind)
    for begin, _ in scans(data)[1:]:
        head = data[: data.rindex(b"\xff\xda", 0, begin)]
        for marker in b"\xff\xc4", b"\xff\xda":
            head = head[: head.rindex(marker)] if marker == b"\xff\xc4" and head.rindex(marker) > 200 else head
        assert_like_pillow(head + b"\xff\xd9")
        np.testing.assert_array_equal(codeckit.decode(head, partial=True), pillow(head + b"\xff\xd9"))


@pytest.mark.parametrize("kind", jpeg_damage.DAMAGE)
def test_damaged_files(kind):
    photographs, identical = [skimage.data.astronaut()[:200, 100:300]], 0
    for number in range(list(jpeg_damage.DAMAGE).index(kind), 200, len(jpeg_damage.DAMAGE)):
        variant = jpeg_damage.draw(99, number, photographs)
        verdict, difference, _ = jpeg_damage.compare(variant.data)
        assert verdict not in ("different", "refused by us"), (number, variant.name, verdict, difference)
        identical += verdict == "identical"
    assert identical > 10


def test_what_is_no_picture_is_refused_in_part_too():
    data = file("4:2:0")
    for broken in (b"", b"\xff\xd8", data[: data.index(b"\xff\xda") + 5], b"\xff\xd8\xff\xd9", data[2:]):
        with pytest.raises(StreamError):
            codeckit.decode(broken, partial=True)
    with pytest.raises(StreamError, match="max_pixels"):
        codeckit.decode(data[:-9], partial=True, max_pixels=1000)


def test_scans_without_end_are_not_read():
    data = file("progressive grey")
    begin, end = scans(data)[-1]
    scan = data[data.rindex(b"\xff\xda", 0, begin) : end]
    assert codeckit.decode(data[:end] + 100_000 * scan, partial=True).shape == (85, 61)


def test_whole_files_of_other_formats_are_whole():
    picture = pictures.photo(20, 30)
    stream = codeckit.codec("webp").encode(picture)
    np.testing.assert_array_equal(codeckit.decode(stream, partial=True), codeckit.decode(stream))
    with pytest.raises(StreamError):
        codeckit.decode(stream[:60], partial=True)


# Repacked -------------------------------------------------------------------------------------------------------------

ODD = [
    "one at the end",
    "three at the end",
    "three before the end",
    "one renumbered",
    "fill bytes",
    "numbering starts at 3",
    "numbering starts at 4",
]


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("kind", ["4:2:0", "grey", "progressive"])
def test_odd_restart_markers_are_modelled(kind, name):
    data = file(kind, restart_marker_blocks=5)
    edited = askew(data)[name]
    assert edited != data
    stream = assert_kept_whole(edited, (85, 61))
    assert is_modelled(stream) and len(stream) < 0.95 * len(edited)


@pytest.mark.parametrize(
    "padding", [b"\0", b"\0\0\0abc", b"\xff\xff", b"\xff\xff\xd0\xff", b"\xff\0\xff\0", b"\n" * 50]
)
@pytest.mark.parametrize("kind", ["4:2:0", "progressive"])
def test_padding_behind_a_scan_is_modelled(kind, padding):
    data = file(kind)
    for at in scans(data)[0][1], len(data) - 2:
        assert is_modelled(assert_kept_whole(data[:at] + padding + data[at:], (85, 61)))


def test_a_lost_marker_is_modelled():
    data = file("4:2:0", restart_marker_blocks=2)
    for at in restarts(data)[3:6]:
        assert is_modelled(assert_kept_whole(data[:at] + data[at + 2 :], (85, 61)))


def test_golden_edited_stream_unpacks():
    """The meaning of payloads of kind 3: a grey picture whose restart markers are numbered from 4."""
    assert container.unpack(bytes.fromhex(GOLDEN)).payload[0] == 3
    assert hashlib.sha256(unpack(bytes.fromhex(GOLDEN))).hexdigest()[:16] == "f235174e44975932"


GOLDEN = (
    "636b74021c0203c8603f93090b63646065fd7fa5f5ff5500a10173433108a6ed3683338300370f1f0f97001f2f9f90a080b08486948498"
    "9884a1b2aaac8695b1ad8da5b185b983478c9f834bb8abb945406e60787c527a46ba9d6f6165414a454c6a7a32d06e6e0e060e06094646"
    "4186ff771980010bcc0fea0c881405016c2c0268224007dc62e000a90339100000fff075b9b2b27ba8cfdb9d"
)


def test_inputs_that_pillow_does_not_read(tmp_path):
    noise = np.random.default_rng(1).integers(0, 256, (240, 360, 3), np.uint8)
    large = codeckit.codec("jpeg", arithmetic=True, quality=95).encode(noise)
    assert len(large) > 1 << 16
    grey = codeckit.codec("jpeg", arithmetic=True).encode(noise[..., 0])
    for name, data in ("large", large), ("grey", grey), ("lines", with_lines(file("4:2:0"), 0, 85)):
        path = tmp_path / f"{name}.jpg"
        path.write_bytes(data)
        again = codeckit.decode(codeckit.encode(path, "png"))
        np.testing.assert_array_equal(again, codeckit.decode(data))
