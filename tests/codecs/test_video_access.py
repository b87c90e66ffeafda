"""Videos that are cut, damaged, or wanted in part: what decodes, what is told, and where decoding begins."""

import warnings
import zlib
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import codeckit
import numpy as np
import pytest
from codeckit.bench.studies.pictures import photo
from codeckit.codecs import registry, video
from codeckit.codecs.base import Codec
from codeckit.codecs.frames import Frames, read_video
from codeckit.codecs.video import VideoStage
from codeckit.primitives import StreamError, register_stage
from codeckit.primitives.errors import DamageWarning

COUNT = 14


def clip(count=COUNT, height=48, width=64):
    """A photo that moves two pixels a frame."""
    still = photo(height, width + 2 * count, 3, seed=3)
    return [np.ascontiguousarray(still[:, 2 * n : 2 * n + width]) for n in range(count)]


@dataclass(frozen=True)
class Grouped(VideoStage):
    """Samples as they are, in groups of four: behind a key, each frame's difference from the one before. Each chunk
    ends in a checksum, and the first one says nothing."""

    heads: ClassVar[int] = 1
    in_order: ClassVar[bool] = True

    def forward_frames(self, frames, size, fps):
        yield b"head"
        before = None
        for number, frame in enumerate(frames):
            key = number % 4 == 0
            body = bytes([key]) + (frame if key else frame - before).tobytes()
            yield body + zlib.crc32(body).to_bytes(4, "big")
            before = frame

    def inverse_frames(self, chunks, size):
        for frame, _ in self.observe(chunks, size):
            yield frame

    def observe(self, chunks, size):
        chunks, before = iter(chunks), None
        assert next(chunks) == b"head"
        for chunk in chunks:
            body = chunk[:-4]
            if zlib.crc32(body).to_bytes(4, "big") != chunk[-4:]:
                raise StreamError("a frame is damaged")
            if before is None and not self.is_key(chunk):
                raise StreamError("decoding begins in the middle of a group")
            values = np.frombuffer(body[1:], np.uint8).reshape(*size, 3)
            frame = values if self.is_key(chunk) else before + values
            yield frame, {"prediction": np.zeros_like(frame) if self.is_key(chunk) else before}
            before = frame

    def is_key(self, start):
        return start[0] == 1

    def kind(self, start):
        return "I" if self.is_key(start) else "P"


@pytest.fixture
def grouped():
    register_stage(Grouped, "test-access:Grouped@1")
    return Codec("grouped", {"frames": Grouped()})


def sized(stream: bytes) -> list[int]:
    """Where the chunks of a stream begin."""
    import io

    from codeckit.codecs import chunks

    with io.BytesIO(stream) as file:
        _, start, end, _ = video._read_head(file)
        return list(chunks.index(file, start, end).starts)


def given(frames) -> tuple[list[np.ndarray], DamageWarning | None]:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = list(frames)
    return found, told[0].message if told else None


def same(found, wanted):
    found = list(found)
    return len(found) == len(wanted) and all((a == b).all() for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("name", ["jpeg", "video-teaching", "h264", "hevc", "av1", "vp9", "vvc"])
@pytest.mark.parametrize("low_delay", [False, True])
def test_frames_by_their_numbers(name, low_delay):
    """The same pixels as in turn, wherever decoding begins."""
    if not registry.entry(name).available:
        pytest.skip(f"{name} is not installed")
    presets = {"h264": "veryfast", "hevc": "ultrafast", "av1": "10", "vp9": "5", "vvc": "faster"}
    options = {"jpeg": {}, "video-teaching": {"gop": 4}}.get(name)
    if options is not None and low_delay:
        pytest.skip(f"{name} has no such option")
    if options is None:
        options = {"gop": 4, "low_delay": low_delay, "preset": presets[name]}
    codec = codeckit.codec(name, **options)
    stream = codec.encode_video(clip())
    decoded = codeckit.decode_video(stream)
    whole = list(decoded)
    for number in (0, 3, 4, 7, 12, 13, -1, -14):
        assert (decoded[number] == whole[number]).all()
    assert same(decoded[5:9], whole[5:9]) and same(decoded[9:], whole[9:]) and same(decoded[:-12], whole[:2])
    with pytest.raises(IndexError, match="no frame 14; it has 14"):
        decoded[14]
    keys = video.groups(stream, list(codec.stages.values())[-1]).keys
    known = {"jpeg": tuple(range(14)), "h264": (0, 4, 8, 12), "av1": (0, 4, 8, 12), "vp9": (0, 4, 8, 12)}
    assert keys == known.get(name, None if name == "video-teaching" else (0,))


def test_decoding_begins_at_keys(grouped, tmp_path):
    frames = clip()
    path = grouped.encode_video(frames, tmp_path / "clip.ckt")
    decoded = grouped.decode_video(path)
    assert same(decoded, frames) and all((decoded[n] == frames[n]).all() for n in range(COUNT))
    data = bytearray(path.read_bytes())
    data[sized(data)[3] + 100] ^= 1  # in frame 2, which no later group needs
    path.write_bytes(data)
    decoded = grouped.decode_video(path, partial=True)
    found, told = given(decoded)
    assert same(found, frames[:2])
    assert (told.given, told.promised) == (2, COUNT) and str(path) in str(told) and "damaged" in told.reason
    assert same(decoded[4:], frames[4:]) and (decoded[1] == frames[1]).all()
    found, told = given(decoded[1:6])
    assert same(found, frames[1:2]) and (told.given, told.promised) == (1, 5)
    groups = video.groups(path, Grouped())
    assert (groups.keys, groups.kinds[:6]) == ((0, 4, 8, 12), ("I", "P", "P", "P", "I", "P"))
    assert groups.bytes == (len(frames[0].tobytes()) + 5,) * COUNT


@pytest.mark.parametrize("name", ["jpeg", "video-teaching"])
@pytest.mark.parametrize("times", [False, True])
def test_cut_streams(name, times, tmp_path):
    frames = clip(6)
    source = read_video(frames, times=[0, 1, 2, 3, 5, 8]) if times else frames
    stream = codeckit.codec(name).encode_video(source)
    whole, starts = list(codeckit.decode_video(stream)), sized(stream)
    heads = 0 if name == "jpeg" else 1
    for frame in range(6):
        for inside in (0, 1, 10):
            cut = stream[: starts[heads + frame] + inside]
            with pytest.raises(StreamError, match="cut or damaged"):
                codeckit.decode_video(cut)
            decoded = codeckit.decode_video(cut, partial=True)
            assert decoded.count == (6 if times else None)
            found, told = given(decoded)
            assert same(found, whole[:frame])
            assert (told.given, told.promised) == (frame, 6 if times else None)
            assert frame == 0 or (decoded[frame - 1] == whole[frame - 1]).all()
            with pytest.raises(IndexError), warnings.catch_warnings(action="ignore"):
                decoded[frame]
    for left_out in range(1, 9):  # in what stands behind the chunks
        found, told = given(codeckit.decode_video(stream[:-left_out], partial=True))
        assert same(found, whole) and told.given == 6
    path = tmp_path / "whole.ckt"
    path.write_bytes(stream)
    found, told = given(codeckit.decode_video(path, partial=True))
    assert same(found, whole) and told is None
    for length in range(starts[0]):
        with pytest.raises(StreamError):
            codeckit.decode_video(stream[:length], partial=True)


@pytest.mark.parametrize("name", ["jpeg", "video-teaching", "h264"])
def test_damaged_streams_give_frames_up_to_the_damage(name):
    stream = codeckit.codec(name).encode_video(clip(4))
    whole, rng = list(codeckit.decode_video(stream)), np.random.default_rng(5)
    start = sized(stream)[0]
    for _ in range(60):
        data = bytearray(stream)
        at = int(rng.integers(start, len(data)))
        data[at] ^= 1 << int(rng.integers(8))
        found, told = given(codeckit.decode_video(bytes(data), partial=True))
        assert all(frame.shape[:2] == (48, 64) for frame in found)
        assert told is None or told.given == len(found)
        if name == "jpeg":
            before = sum(begin <= at for begin in sized(stream)[:-1]) - 1
            assert same(found[:before], whole[:before])


def test_files_of_ffmpeg_in_part(tmp_path):
    path = codeckit.codec("h264", preset="veryfast", gop=4).encode_video(clip(), tmp_path / "clip.mkv")
    decoded = codeckit.decode_video(path)
    whole = list(decoded)
    assert (decoded[6] == whole[6]).all() and same(decoded[3:5], whole[3:5])
    path.write_bytes(path.read_bytes()[:3000])
    found, _ = given(codeckit.decode_video(path, partial=True))
    assert 0 < len(found) < COUNT


def test_parts_of_other_sources(tmp_path):
    frames = clip(5)
    for source in (frames, np.stack(frames), tuple(frames)):
        part = read_video(source)[1:4]
        assert part.count == 3 and same(part, frames[1:4]) and (part[-1] == frames[3]).all() and same(part, frames[1:4])
        assert same(part[1:], frames[2:4]) and part[7:].count == 0 and list(part[2:1]) == []
    timed = read_video(frames, times=[0, 1, 3, 4, 8, 10])
    part = timed[1:3]
    assert (part.times, part.duration, part.fps) == ((0, 2), 3, Fraction(2, 3)) and same(part, frames[1:3])
    assert timed[2:].times == (0, 1, 5) and timed[2:].duration == 7 and timed[5:].count == 0
    once = Frames((48, 64), Fraction(25), None, lambda: iter(frames))
    assert (once[3] == frames[3]).all() and same(once[3:], frames[3:]) and once[1:3].count is None
    with pytest.raises(IndexError):
        once[5]
    with pytest.raises(ValueError, match="not known"):
        once[-1]
    with pytest.raises(ValueError, match="every 2"):
        timed[::2]


def test_a_part_that_ends_early_is_not_encoded_with_all_times():
    stream = codeckit.codec("jpeg").encode_video(read_video(clip(5), times=[0, 1, 2, 3, 9]))
    cut = codeckit.decode_video(stream[:-2000], partial=True)
    with pytest.raises(ValueError, match="but 5 time stamps"), pytest.warns(DamageWarning):
        codeckit.codec("jpeg").encode_video(cut)


def test_info_tells_keys_and_groups(grouped):
    frames = clip()
    for codec, wanted in (
        (codeckit.codec("video-teaching", gop=6), {"I-frames": 3, "longest group": 6}),
        (codeckit.codec("jpeg"), {"I-frames": 14, "keys": 14, "longest group": 1}),
        (grouped, {"I-frames": 4, "keys": 4, "longest group": 4}),
        (codeckit.codec("h264", preset="veryfast", gop=5), {"keys": 3, "longest group": 5}),
    ):
        details = codeckit.info(codec.encode_video(frames)).details
        assert {name: details[name] for name in ("I-frames", "keys", "longest group") if name in details} == wanted


def test_traces_of_frames(grouped, tmp_path):
    frames = clip()
    stream = codeckit.codec("video-teaching", quality=60, gop=5).encode_video(frames)
    traces, decoded = list(codeckit.trace_video(stream, frames)), list(codeckit.decode_video(stream))
    assert [trace.number for trace in traces] == list(range(COUNT))
    assert "".join(trace.kind for trace in traces) == "IPPPPIPPPPIPPP"
    for trace, frame, source in zip(traces, decoded, frames, strict=True):
        assert (trace.frame == frame).all() and trace.psnr == codeckit.metrics.psnr(source, frame)
        assert (trace.maps["prediction"] + trace.maps["residual"] == frame).all()
        assert ("motion" in trace.maps) == (trace.kind == "P")
    assert np.median(traces[3].maps["motion"][..., 1]) == 2  # the photo goes two pixels to the left
    assert 0 < len(stream) - sum(trace.bytes for trace in traces) < 80
    assert [sorted(trace.maps) for trace in codeckit.trace_video(grouped.encode_video(frames))] == [["prediction"]] * 14
    first = next(iter(codeckit.trace_video(codeckit.codec("h264", preset="veryfast").encode_video(frames))))
    assert np.isnan(first.bytes) and np.isnan(first.psnr) and first.maps == {} and first.kind == ""
    with pytest.raises(ValueError, match="another number of frames"):
        list(codeckit.trace_video(stream, frames[:3]))
    path = codeckit.codec("h264", preset="veryfast").encode_video(frames, tmp_path / "clip.mkv")
    with pytest.raises(ValueError, match=r"\.ckt videos alone"):
        list(codeckit.trace_video(path))
