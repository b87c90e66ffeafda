"""Videos: from every source, by every standard and frame by frame, into streams and files, and back."""

import os
from fractions import Fraction

import codeckit
import numpy as np
import pytest
from codeckit.bench.studies.pictures import photo
from codeckit.codecs import registry
from codeckit.codecs.frames import read_video
from codeckit.codecs.standards import STANDARDS
from codeckit.metrics import psnr
from codeckit.primitives import StreamError
from PIL import Image


def clip(count=6, height=64, width=96, channels=3):
    """A photo that moves two pixels a frame."""
    still = photo(height, width + 2 * count, channels, seed=3)
    return [np.ascontiguousarray(still[:, 2 * n : 2 * n + width]) for n in range(count)]


def fast(name, **options):
    if not registry.entry(name).available:
        pytest.skip(f"{name} is not installed: {registry.entry(name).install}")
    preset = {"h264": "veryfast", "hevc": "ultrafast", "av1": "10", "vp9": "5", "vvc": "faster"}[name]
    return codeckit.codec(name, preset=preset, **options)


def mean_psnr(frames, decoded):
    decoded = list(decoded)
    assert len(decoded) == len(frames)
    return np.mean([psnr(a, b) for a, b in zip(frames, decoded, strict=True)])


@pytest.mark.parametrize("name", STANDARDS)
def test_standards_in_ckt(name):
    frames = clip(10)
    codec = fast(name)
    stream = codec.encode_video(frames, fps=30)
    video = codeckit.decode_video(stream)
    assert (video.size, video.fps, video.count) == ((64, 96), 30, 10)
    assert mean_psnr(frames, video) > 26
    assert mean_psnr(frames, video) > 26  # again, from the start
    stills = sum(len(codec.encode(frame)) for frame in frames)
    assert len(stream) < 0.7 * stills
    assert codec.encode_video(iter(frames), fps=30) == stream


@pytest.mark.parametrize("name", STANDARDS)
def test_low_delay_and_gop(name):
    frames = clip(9)
    assert mean_psnr(frames, codeckit.decode_video(fast(name, low_delay=True).encode_video(frames))) > 26
    intra = fast(name, gop=1).encode_video(frames)
    assert len(intra) > 1.3 * len(fast(name).encode_video(frames))
    assert mean_psnr(frames, codeckit.decode_video(intra)) > 26


@pytest.mark.parametrize("name", ["h264", "hevc", "vp9"])
def test_low_delay_codes_each_frame_at_once(name):
    """A packet comes out before the next frame goes in."""
    stage = fast(name, low_delay=True).stages["library"]
    taken = 0

    def frames():
        nonlocal taken
        for frame in clip(5):
            taken += 1
            yield frame

    chunks = stage.forward_frames(frames(), (64, 96), Fraction(25))
    next(chunks)  # the colour
    for number in range(1, 5):
        next(chunks)
        assert taken <= number + (1 if name == "hevc" else 0)


@pytest.mark.parametrize(
    "name, ending", [("h264", "mp4"), ("hevc", "mkv"), ("av1", "mp4"), ("vp9", "mkv"), ("vvc", "mp4")]
)
@pytest.mark.parametrize("tags", [{}, {"matrix": "bt709", "value_range": "limited"}])
def test_containers_carry_the_colour_tags(name, ending, tags, tmp_path):
    import av

    frames = clip(4)
    codec = fast(name, **tags)
    path = codec.encode_video(frames, tmp_path / f"clip.{ending}", fps=Fraction(30000, 1001))
    with av.open(str(path)) as file:
        context = file.streams.video[0].codec_context
        assert int(context.colorspace) == (1 if tags else 6)
        assert int(context.color_range) == (1 if tags else 2)
        assert (int(context.color_primaries), int(context.color_trc)) == (1, 13)
    video = codeckit.decode_video(path)
    assert video.size == (64, 96) and abs(video.fps - Fraction(30000, 1001)) < 0.01
    stream = codeckit.decode_video(codec.encode_video(frames))
    assert all((a == b).all() for a, b in zip(video, stream, strict=True))  # the same pixels as in the .ckt


@pytest.mark.parametrize(
    "name, ending", [("h264", "h264"), ("hevc", "hevc"), ("av1", "obu"), ("av1", "ivf"), ("vp9", "ivf"), ("vvc", "vvc")]
)
def test_raw_bitstreams(name, ending, tmp_path):
    frames = clip(4)
    path = fast(name).encode_video(frames, tmp_path / f"clip.{ending}")
    assert mean_psnr(frames, codeckit.decode_video(path)) > 26
    assert mean_psnr(frames, codeckit.decode_video(path.read_bytes())) > 26


@pytest.mark.parametrize("name", ["jpeg", "webp", "png"])
def test_codecs_of_stills_code_frame_by_frame(name):
    frames = clip(3)
    codec = codeckit.codec(name)
    stream = codec.encode_video(frames, fps=Fraction(24000, 1001))
    video = codeckit.decode_video(stream)
    assert video.fps == Fraction(24000, 1001)
    for frame, decoded in zip(frames, video, strict=True):
        assert (codeckit.decode(codec.encode(frame)) == decoded).all()


def test_compositions_of_ones_own_frame_by_frame():
    codec = codeckit.codec("jpeg", quality=60, entropy="RangeCoded")
    frames = clip(3, channels=1)
    decoded = list(codeckit.decode_video(codec.encode_video(frames)))
    assert decoded[0].shape == (64, 96) and (decoded[2] == codec.decode(codec.encode(frames[2]))).all()


@pytest.mark.parametrize("name", STANDARDS)
def test_odd_sizes_and_grey(name, tmp_path):
    for channels in 1, 3:
        frames = clip(3, 33, 35, channels)
        decoded = list(codeckit.decode_video(fast(name).encode_video(frames)))
        assert [frame.shape[:2] for frame in decoded] == [(33, 35)] * 3
        assert psnr(frames[0], decoded[0] if decoded[0].ndim == frames[0].ndim else decoded[0][..., 0]) > 25
    with pytest.raises(ValueError, match=r"write \.ckt"):
        fast(name).encode_video(clip(3, 33, 35), tmp_path / "odd.mp4")
    assert not list(tmp_path.iterdir())


def test_sources(tmp_path):
    frames = clip(5, 48, 64)
    for n, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{n:03}.png")
    folder = read_video(tmp_path)
    assert folder.count == 5 and all((a == b).all() for a, b in zip(folder, frames, strict=True))
    assert read_video(tmp_path, limit=2).count == len(list(read_video(tmp_path, limit=2))) == 2
    assert len(list(read_video(np.stack(frames)))) == 5
    once = read_video(iter(frames))
    assert len(list(once)) == 5
    with pytest.raises(ValueError, match="only once"):
        list(once)


def test_raw_video_files(tmp_path):
    """Planes written by hand, read back through our colour conversion; the same in a .y4m."""
    from codeckit.primitives.color import planes_to_rgb

    rng = np.random.default_rng(1)
    planes = [rng.integers(16, 236, (3, 48, 64), np.uint8)]
    planes += [rng.integers(100, 150, (3, 24, 32), np.uint8).repeat(1, 1) for _ in range(2)]
    raw = [b"".join(plane[n].tobytes() for plane in planes) for n in range(3)]
    (tmp_path / "clip.yuv").write_bytes(b"".join(raw))
    video = read_video(tmp_path / "clip.yuv", size=(48, 64), fps=50)
    (tmp_path / "clip.y4m").write_bytes(
        b"YUV4MPEG2 W64 H48 F50:1 Ip C420jpeg\n" + b"".join(b"FRAME\n" + r for r in raw)
    )
    other = read_video(tmp_path / "clip.y4m")
    assert video.fps == other.fps == 50 and video.size == other.size == (48, 64)
    frames, others = list(video), list(other)
    assert len(frames) == len(others) == 3 and all((a == b).all() for a, b in zip(frames, others, strict=True))
    flat = tuple(np.full((1, 1), int(plane[1, 10, 10]), np.uint8) for plane in planes)
    assert planes_to_rgb(flat, "bt601", "limited").shape == (1, 1, 3)
    luma = 0.299 * frames[1][..., 0] + 0.587 * frames[1][..., 1] + 0.114 * frames[1][..., 2]
    inside = (frames[1].min(2) > 0) & (frames[1].max(2) < 255)
    assert np.abs(luma - (planes[0][1].astype(float) - 16) * 255 / 219)[inside].max() < 1.5
    with pytest.raises(ValueError, match="size="):
        read_video(tmp_path / "clip.yuv")


def test_what_is_no_video(tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(StreamError, match="FFmpeg"):
        read_video(tmp_path / "text.mp4")
    with pytest.raises(FileNotFoundError):
        read_video(tmp_path / "missing.mp4")
    with pytest.raises(ValueError, match="no frames"):
        codeckit.codec("jpeg").encode_video([])
    with pytest.raises(ValueError, match="frame 1 has the shape"):
        codeckit.codec("jpeg").encode_video([np.zeros((8, 8), np.uint8), np.zeros((8, 9), np.uint8)])
    with pytest.raises(ValueError, match=r"writes videos as \.ckt, not"):
        codeckit.codec("jpeg").encode_video(clip(2), tmp_path / "clip.mp4")
    with pytest.raises(ValueError, match="fps"):
        codeckit.codec("jpeg").encode_video(clip(2), fps=0)
    with pytest.raises(ValueError, match="do not hold"):
        fast("hevc").encode_video(clip(2), tmp_path / "clip.webm")
    assert [path.name for path in tmp_path.iterdir()] == ["text.mp4"]


@pytest.mark.parametrize("name", ["jpeg", "hevc"])
def test_damaged_streams(name, tmp_path):
    codec = codeckit.codec(name)
    stream = codec.encode_video(clip(4))
    path = codec.encode_video(clip(4), tmp_path / "clip.ckt")
    assert path.read_bytes() == stream
    for bad in stream[:-1], stream[:40], stream[:60] + b"?" + stream[61:], b"ckt":
        with pytest.raises(StreamError):
            list(codeckit.decode_video(bad))
    with pytest.raises(StreamError, match="max_pixels"):
        codeckit.decode_video(stream, max_pixels=100)
    with pytest.raises(StreamError, match="video"):
        codeckit.decode(stream)
    with pytest.raises(StreamError, match="picture"):
        codeckit.decode_video(codeckit.codec("hevc").encode(clip(1)[0]))
    with pytest.raises(StreamError, match="made by"):
        codeckit.codec("webp").decode_video(stream)


def test_damage_behind_a_valid_checksum():
    import zlib

    for name in "jpeg", "hevc", "vp9":
        stream = fast(name).encode_video(clip(4)) if name != "jpeg" else codeckit.codec(name).encode_video(clip(4))
        rng = np.random.default_rng(2)
        for _ in range(15):
            data = bytearray(stream[:-4])
            for at in rng.integers(7, len(data), 3):
                data[at] = rng.integers(256)
            bad = bytes(data) + zlib.crc32(data).to_bytes(4, "big")
            try:
                frames = list(codeckit.decode_video(bad, max_pixels=1 << 20))
                assert all(frame.dtype == np.uint8 for frame in frames)
            except StreamError:
                pass


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="scheduling policies are Linux's")
def test_no_encoder_leaves_a_real_time_thread_behind():
    """SVT-AV1 makes one of the calling thread where root runs it."""
    before = os.sched_getscheduler(0)
    assert len(list(fast("av1", quality=40).decode_video(fast("av1", quality=40).encode_video(clip(2))))) == 2
    assert os.sched_getscheduler(0) == before
