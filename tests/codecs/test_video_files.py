"""Videos as people have them: turned, of variable rate, with other pixels than square, animated, damaged, tiny."""

import struct
import subprocess
from fractions import Fraction

import codeckit
import numpy as np
import pytest
from codeckit.bench.studies.pictures import photo
from codeckit.codecs import registry, timing
from codeckit.codecs.frames import Turn, read_video
from codeckit.codecs.standards import STANDARDS
from codeckit.primitives import StreamError, container
from PIL import Image
from reference import container as reference

FAST = {"h264": "veryfast", "hevc": "ultrafast", "av1": "12", "vp9": "8", "vvc": "faster"}
TIMES = [Fraction(n, 1000) for n in (0, 40, 80, 500, 1000, 2000, 2300)]


def fast(name, **options):
    if not registry.entry(name).available:
        pytest.skip(f"{name} is not installed: {registry.entry(name).install}")
    return codeckit.codec(name, preset=FAST[name], **options)


def clip(count=6, height=64, width=96):
    still = photo(height, width + 2 * count, 3, seed=3)
    return [np.ascontiguousarray(still[:, 2 * n : 2 * n + width]) for n in range(count)]


def flat(height=48, width=80):
    """A picture whose way up can be told after coding."""
    y, x = np.mgrid[:height, :width]
    return np.dstack([x * 255 // width, y * 255 // height, 128 + 0 * x]).astype(np.uint8)


# --- the way up -----------------------------------------------------------------------------------------------------

ONE = 1 << 16
MATRICES = {
    "none": ((ONE, 0, 0, ONE), lambda frame: frame),
    "clockwise": ((0, ONE, -ONE, 0), lambda frame: np.rot90(frame, -1)),
    "upside down": ((-ONE, 0, 0, -ONE), lambda frame: np.rot90(frame, 2)),
    "counterclockwise": ((0, -ONE, ONE, 0), lambda frame: np.rot90(frame, 1)),
    "mirrored": ((-ONE, 0, 0, ONE), lambda frame: frame[:, ::-1]),
    "flipped": ((ONE, 0, 0, -ONE), lambda frame: frame[::-1]),
    "transposed": ((0, ONE, ONE, 0), lambda frame: frame.swapaxes(0, 1)),
    "transversed": ((0, -ONE, -ONE, 0), lambda frame: np.rot90(frame.swapaxes(0, 1), 2)),
}


def with_matrix(path, matrix):
    """An MP4's track header with another matrix."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4
    at += 40 if data[at] == 0 else 52
    a, b, c, d = matrix
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("ending", ["mp4", "mov"])
def test_a_display_matrix_is_applied(name, ending, tmp_path):
    matrix, turned = MATRICES[name]
    path = fast("h264").encode_video([flat()] * 3, tmp_path / f"clip.{ending}")
    plain = next(iter(read_video(path)))
    with_matrix(path, matrix)
    video = read_video(path)
    expected = turned(plain)
    assert video.size == expected.shape[:2]
    assert all((frame == expected).all() for frame in video)
    again = codeckit.decode_video(fast("hevc").encode_video(path, tmp_path / "out.mkv"))
    assert again.size == expected.shape[:2] and again.about.turn == Turn()
    found = codeckit.info(path)
    assert found.size == video.size
    assert found.details.get("turned upright", True) and ("rotation" in found.details) == (name != "none")


def test_other_angles_are_told_and_left(tmp_path):
    path = fast("h264").encode_video([flat()] * 2, tmp_path / "clip.mp4")
    with_matrix(path, (46341, 46341, -46341, 46341))
    found = codeckit.info(path)
    assert found.size == read_video(path).size == (48, 80)
    assert (found.details["rotation"], found.details["turned upright"]) == (45, False)


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
def test_rotation_and_pixel_shape_of_other_muxers(ending, tmp_path):
    """Matroska has a projection instead of a matrix. Wide pixels are high ones when they are turned."""
    import av

    path = tmp_path / f"clip.{ending}"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 80, 48, "yuv420p"
        stream.set_display_rotation(90)
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        for _ in range(3):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(flat(), "rgb24")))
        file.mux(stream.encode())
    video = read_video(path)
    assert (video.size, video.aspect) == ((80, 48), Fraction(3, 4))
    first = next(iter(video)).astype(int)
    assert first[0, :, 0].mean() > 200 > 50 > first[-1, :, 0].mean()  # what was right is up
    for name, out in ("h264", "a.mp4"), ("vp9", "b.mp4"), ("jpeg", "a.ckt"), ("vvc", "c.mp4"):
        codec = codeckit.codec(name) if name == "jpeg" else fast(name)
        again = codeckit.decode_video(codec.encode_video(video, tmp_path / out))
        assert (again.size, again.aspect) == ((80, 48), Fraction(3, 4))
    assert codeckit.info(tmp_path / "a.ckt").details["pixel aspect ratio"] == "3:4"


# --- variable frame rate --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STANDARDS)
@pytest.mark.parametrize("low_delay", [False, True])
def test_time_stamps_survive(name, low_delay, tmp_path):
    video = read_video(clip(), times=TIMES)
    endings = ["mp4", "mkv", *(["mov"] if name in ("h264", "hevc") else [])]
    endings += ["webm"] if name in ("av1", "vp9") else []
    codec = fast(name, low_delay=low_delay)
    plain = list(codeckit.decode_video(codec.encode_video(clip(), fps=video.fps)))
    for ending in (*endings, "ckt"):
        again = codeckit.decode_video(codec.encode_video(video, tmp_path / f"clip.{ending}"))
        assert (again.times, again.duration) == (tuple(TIMES[:-1]), TIMES[-1])
        assert len(list(again)) == 6
        if ending == "ckt":
            assert all((a == b).all() for a, b in zip(again, plain, strict=True))
    through = codeckit.decode_video(codec.encode_video(again, tmp_path / "again.mp4"))
    assert (through.times, through.duration) == (again.times, again.duration)
    assert codeckit.info(tmp_path / "again.mp4").details["variable frame rate"]


def test_constant_rates_have_no_time_stamps(tmp_path):
    for fps in 25, Fraction(30000, 1001), Fraction(24000, 1001), 1:
        for ending in "mp4", "mkv", "ckt":
            video = codeckit.decode_video(fast("h264").encode_video(clip(40), tmp_path / f"clip.{ending}", fps=fps))
            assert video.times is None and abs(video.fps - Fraction(fps)) < 0.01 and video.count == 40
    stream = fast("h264").encode_video(clip())
    assert set(container.unpack(stream).sections) == {container.VIDEO}


def test_raw_bitstreams_refuse_time_stamps(tmp_path):
    video = read_video(clip(), times=TIMES)
    for name, ending in ("h264", "h264"), ("hevc", "hevc"), ("av1", "obu"):
        with pytest.raises(ValueError, match=r"holds no time stamps.*fps="):
            fast(name).encode_video(video, tmp_path / f"clip.{ending}")
    assert fast("h264").encode_video(video, tmp_path / "clip.h264", fps=25).exists()


def test_time_stamps_by_hand_and_in_part():
    frames = clip(4)
    video = read_video(frames, times=[1, 1.5, 1.75, 4])
    assert video.times == (0, Fraction(1, 2), Fraction(3, 4), 3) and video.duration == Fraction(21, 4)
    part = read_video(video, limit=2)
    assert (part.times, part.duration, part.count) == ((0, Fraction(1, 2)), Fraction(3, 4), 2)
    steady = read_video(video, fps=10)
    assert steady.times is None and steady.duration == Fraction(2, 5)
    once = codeckit.codec("jpeg").encode_video(read_video(iter(frames), times=[0, 1, 5, 6]))
    assert codeckit.decode_video(once).times == (0, 1, 5, 6)
    for times in [0, 1], [0, 1, 1, 2], [0, 2, 1, 3], ["a"] * 4, [0, 1, 2, float("nan")], [0, 1, 2, float("inf")]:
        with pytest.raises(ValueError, match="times"):
            read_video(frames, times=times)
    with pytest.raises(ValueError, match="not both"):
        read_video(frames, times=[0, 1, 2, 3], fps=3)
    with pytest.raises(ValueError, match="time stamps"):
        codeckit.codec("jpeg").encode_video(read_video(iter(frames), times=[0, 1, 5]))


def test_the_section_of_time_stamps():
    stream = codeckit.codec("jpeg").encode_video(read_video(clip(), times=TIMES))
    held = reference.decode_container(stream)
    assert reference.times(held) == (50, [0, 2, 4, 25, 50, 100, 115])
    assert timing.unpack(held.sections[67], 6).times == tuple(TIMES[:-1])
    for block in b"\x32\x02", b"\x32\x02\x00\x01\x01\x01\x01", b"\x00\x01\x01\x01\x01\x01\x01", b"":
        with pytest.raises(StreamError):
            timing.unpack(block, 6)


def test_clocks_of_any_numbers():
    third = timing.Clock.of((Fraction(0), Fraction(1, 3), Fraction(1, 3) + Fraction(1, 10**9)), Fraction(1))
    assert third.scale == timing.FINEST and third.ticks == (0, 333333, 333334, 10**6)
    assert timing.is_regular([round(n * 1000 / 23.976) for n in range(500)], 42)
    assert not timing.is_regular([*range(0, 4000, 40), 4080], 40)


# --- animated pictures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["gif", "png", "webp"])
def test_animated_pictures_keep_their_times(ending, tmp_path):
    images = [Image.fromarray(frame) for frame in clip(4)]
    path = tmp_path / f"moves.{ending}"
    images[0].save(path, save_all=True, append_images=images[1:], duration=[100, 50, 400, 1000], loop=0)
    video = read_video(path)
    assert (video.size, video.count, video.duration) == ((64, 96), 4, Fraction(155, 100))
    assert video.times == (0, Fraction(1, 10), Fraction(15, 100), Fraction(55, 100))
    out = codeckit.decode_video(fast("h264").encode_video(path, tmp_path / "out.mp4"))
    assert (out.times, out.duration) == (video.times, video.duration)


def test_transparent_animations_are_asked_about(tmp_path):
    clear = np.dstack([flat(), np.zeros((48, 80), np.uint8)])
    images = [Image.fromarray(clear, "RGBA"), Image.fromarray(np.dstack([flat(), np.full((48, 80), 255, np.uint8)]))]
    images[0].save(tmp_path / "clear.png", save_all=True, append_images=images[1:], duration=100)
    with pytest.raises(ValueError, match=r"clear\.png.*background"):
        read_video(tmp_path / "clear.png")
    assert (next(iter(read_video(tmp_path / "clear.png", background="white"))) == 255).all()
    images[1].save(tmp_path / "opaque.png")
    assert read_video(tmp_path / "opaque.png").count == 1


# --- sizes, rates, damage -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STANDARDS)
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 17), (16, 16), (24, 24)])
def test_any_size_goes_into_a_ckt(name, size):
    rng = np.random.default_rng(1)
    frames = [rng.integers(0, 256, (*size, 3), np.uint8) for _ in range(3)]
    for quality in 10, 50:
        codec = fast(name, quality=quality)
        decoded = list(codeckit.decode_video(codec.encode_video(frames)))
        assert [frame.shape for frame in decoded] == [(*size, 3)] * 3
        assert codeckit.decode(codec.encode(frames[0])).shape == (*size, 3)


@pytest.mark.parametrize(
    "name, size, reason",
    [("av1", (32, 48), "no sides below 64"), ("hevc", (8, 8), "below 16"), ("h264", (33, 48), "even sides")],
)
def test_files_refuse_sizes_with_the_true_reason(name, size, reason, tmp_path):
    with pytest.raises(ValueError, match=reason) as error:
        fast(name).encode_video(clip(2, *size), tmp_path / "clip.mkv")
    assert "Settings" not in str(error.value)


@pytest.mark.parametrize("name, size", [("h264", (16386, 2)), ("av1", (8706, 64)), ("vp9", (2, 65538))])
def test_sides_beyond_a_standard(name, size):
    image = np.zeros((*size, 3), np.uint8)
    for action in (lambda: fast(name).encode(image), lambda: fast(name).encode_video([image])):
        with pytest.raises(ValueError, match="at most") as error:
            action()
        assert "Settings" not in str(error.value)


@pytest.mark.parametrize("fps", [float("inf"), float("nan"), -1, 0, 1e-4, 1e300, "often", None.__class__, "1/0"])
def test_impossible_rates(fps):
    with pytest.raises(ValueError, match="fps is a number"):
        read_video(clip(2), fps=fps)


def test_what_is_wrong_with_a_file_is_said_with_its_name(tmp_path):
    import av

    with av.open(str(tmp_path / "sound.mp4"), "w") as file:
        stream = file.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
        frame.sample_rate = 48000
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    (tmp_path / "header.y4m").write_bytes(b"YUV4MPEG2 W80 H64 F25:1 C420jpeg\n")
    whole = fast("h264").encode_video(clip(), tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.mkv").write_bytes(b"")
    stream = codeckit.codec("jpeg").encode_video(clip(2))
    (tmp_path / "cut.ckt").write_bytes(stream[:-9])
    (tmp_path / "text.gif").write_text("not a picture")
    for path in sorted(tmp_path.glob("*")):
        if path.name != "whole.mp4":
            for action in codeckit.info, codeckit.decode_video, read_video:
                with pytest.raises(ValueError) as error:
                    list(action(path))
                if path.suffix != ".gif" or action is read_video:
                    assert path.name in str(error.value)
    with pytest.raises(StreamError, match="holds no video"):
        read_video(tmp_path / "sound.mp4")
    with pytest.raises(StreamError, match="no frames"):
        read_video(tmp_path / "header.y4m")


def test_names_with_signs(tmp_path):
    path = fast("h264").encode_video(clip(2), tmp_path / "a:b %03d 画.mp4")
    assert read_video(path).count == 2 and codeckit.info(path).details["frames"] == 2


def test_videos_of_few_slow_frames(tmp_path):
    # x265 leaves times of decoding unset; IVF states no rate but ticks, which may be longer than FFmpeg's guess.
    cases = [("hevc", ".mp4"), ("hevc", ".mkv"), ("h264", ".mp4"), ("vp9", ".ivf"), ("av1", ".mkv")]
    for name, ending in cases:
        for count, rate in (2, Fraction(1, 2)), (2, Fraction(2)), (2, Fraction(3, 5)), (1, Fraction(2)):
            video = codeckit.decode_video(fast(name).encode_video(clip(count), tmp_path / f"a{ending}", fps=rate))
            assert len(list(video)) == count and video.times is None
            assert count == 1 or abs(video.fps - rate) < 0.01
        if ending != ".ivf":
            source = read_video(clip(2), times=[0, 1, 5])
            again = codeckit.decode_video(fast(name).encode_video(source, tmp_path / f"b{ending}"))
            assert (again.times, again.duration) == ((0, 1), 5)


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_the_display_orientation_of_h264(angle, tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    fast("h264", gop=1).encode_video([flat()] * 2, tmp_path / "plain.h264")
    insert = f"h264_metadata=display_orientation=insert:rotate={angle}"  # counterclockwise, as H.264 D.2.31 has it
    for ending in "h264", "mp4", "mkv":
        out = tmp_path / f"turned.{ending}"
        made = [ffmpeg, "-v", "quiet", "-i", tmp_path / "plain.h264", "-c", "copy", "-bsf:v", insert, out]
        subprocess.run(made, check=True)
        first = next(iter(read_video(out)))
        expected = np.rot90(next(iter(read_video(tmp_path / "plain.h264"))), angle // 90)
        assert np.array_equal(first, expected)
        assert codeckit.info(out).details["rotation"] == 360 - angle


@pytest.mark.parametrize("name", ["jpeg", "h264", "video-teaching"])
def test_info_tells_grey_videos_and_keeps_the_limit(name, tmp_path):
    codec = fast(name) if name == "h264" else codeckit.codec(name)
    for channels, frames in (3, clip(2)), (1, [frame[..., 0] for frame in clip(2)]):
        stream = codec.encode_video(frames)
        assert codeckit.info(stream).channels == channels
        with pytest.raises(StreamError, match="max_pixels"):
            codeckit.info(stream, max_pixels=100)


def test_errors_give_the_whole_path_and_what_ffmpeg_says(tmp_path):
    path = tmp_path / "cut.mp4"
    fast("h264").encode_video(clip(2), path)
    path.write_bytes(path.read_bytes()[:-2000])
    for read in codeckit.info, read_video, codeckit.decode_video:
        with pytest.raises(StreamError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path} is not a video that FFmpeg can read: ")
        assert "Errno" not in str(caught.value) and str(caught.value).count("cut.mp4") == 1


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
def test_a_late_start_changes_no_times(ending, tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    times = [Fraction(n, 25) for n in (0, 1, 2, 5, 6, 25, 26, 50, 51, 75, 100)]
    codec = codeckit.codec("h264", preset="medium", gop=5)  # with pictures that are coded in another order
    codec.encode_video(read_video(clip(10), times=times), tmp_path / "a.mp4")
    late = tmp_path / f"late.{ending}"
    made = [ffmpeg, "-v", "quiet", "-itsoffset", "5", "-i", tmp_path / "a.mp4", "-c", "copy", late]
    subprocess.run(made, check=True)
    for path in tmp_path / "a.mp4", late:
        video = read_video(path)
        assert (video.times, video.duration) == (tuple(times[:-1]), times[-1])
