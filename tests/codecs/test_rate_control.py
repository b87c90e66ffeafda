"""Rate control of videos: the best quality that meets a target, in few passes."""

import math

import codeckit
import numpy as np
import pytest
from codeckit.bench.studies.pictures import photo
from codeckit.codecs.rate_control import crossing
from codeckit.metrics import psnr
from hypothesis import given, settings
from hypothesis import strategies as st


def clip(count, height=48, width=64):
    still = photo(height, width + 2 * count, 3, seed=3)
    return [np.ascontiguousarray(still[:, 2 * n : 2 * n + width]) for n in range(count)]


def mean_psnr(frames, stream):
    return np.mean([psnr(a, b) for a, b in zip(frames, codeckit.decode_video(stream), strict=True)])


def bpp(frames, stream):
    return 8 * len(stream) / (len(frames) * frames[0].shape[0] * frames[0].shape[1])


@pytest.mark.parametrize("slope", [0.01, 1.0, 30.0])
def test_the_crossing_is_found(slope):
    def value(level):
        return slope * level + math.sin(level) * slope / 3

    for like in (None, lambda level: 0.8 * value(level) + 5 * slope, lambda level: -level, lambda level: math.inf):
        for target in (-1000, 1.5, 17, 63.2, 99, 1000):
            asked = []

            def seen(level, asked=asked):
                asked.append(level)
                return value(level)

            found = crossing(seen, slope * target, 0, 99, like)
            assert found == next((level for level in range(100) if value(level) > slope * target), 100)
            assert len(asked) == len(set(asked)) <= 13


@settings(max_examples=200)
@given(st.lists(st.floats(-50, 50), min_size=1, max_size=300), st.floats(-60, 60))
def test_the_crossing_of_any_rising_curve(values, target):
    values, asked = sorted(values), []
    found = crossing(lambda level: asked.append(level) or values[level], target, 0, len(values) - 1)
    assert found == next((n for n, value in enumerate(values) if value > target), len(values))
    assert len(asked) == len(set(asked)) <= 2 * math.log2(len(values) + 1) + 1


def test_curves_that_are_nearly_straight_take_few_steps():
    """Log rates of a codec with 800 levels; bisection takes ten."""
    taken = []
    for target in np.linspace(-3.9, 1.4, 60):
        asked = []
        crossing(lambda n, asked=asked: asked.append(n) or -4 + n / 150 + 0.2 * math.sin(n / 90), target, 0, 799)
        taken.append(len(asked))
    assert np.mean(taken) <= 7.5


def test_jpeg2000_lands_on_its_target():
    image = photo(256, 256, 3, seed=8)
    for target in (0.5, 1.2, 2.397):
        assert 0.975 * target <= 8 * len(codeckit.encode(image, "jpeg2000", bpp=target)) / 65536 <= target


@pytest.mark.parametrize(
    "name, options", [("jpeg", {}), ("video-teaching", {"gop": 8}), ("h264", {"preset": "veryfast"})]
)
def test_targets_are_met_and_the_next_quality_misses(name, options, monkeypatch):
    frames, passes = clip(50), []
    encode = codeckit.Codec.encode_video

    def seen(self, source, *arguments, **more):
        passes.append((source.count, self.setting["quality"]))
        return encode(self, source, *arguments, **more)

    monkeypatch.setattr(codeckit.Codec, "encode_video", seen)
    targets = {"jpeg": (1.2, 31), "video-teaching": (0.3, 32), "h264": (0.2, 33)}[name]
    for target in ({"bpp": targets[0]}, {"psnr": targets[1]}):
        passes.clear()
        stream = codeckit.encode_video(frames, name, **target, **options)
        whole = [quality for count, quality in passes if count == 50]
        assert 2 <= len(whole) <= 5
        streams = {quality: codeckit.encode_video(frames, name, quality=quality, **options) for quality in whole}
        chosen = next(quality for quality in whole if streams[quality] == stream)
        if "bpp" in target:
            assert bpp(frames, stream) <= target["bpp"] < bpp(frames, streams[chosen + 1])
        else:
            assert mean_psnr(frames, streams[chosen - 1]) < target["psnr"] <= mean_psnr(frames, stream)


def test_short_videos_files_and_continuous_qualities(tmp_path):
    frames = clip(3)
    source = codeckit.codec("h264", qp=4, subsampling="4:4:4").encode_video(frames, tmp_path / "in.mkv", fps=30)
    path = codeckit.encode_video(source, "h264", tmp_path / "out.mp4", bpp=2, preset="veryfast")
    assert path == tmp_path / "out.mp4" and 8 * path.stat().st_size <= 2 * 3 * 48 * 64
    assert codeckit.decode_video(path).fps == 30
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in.mkv", "out.mp4"]
    stream = codeckit.encode_video(np.stack(frames), "balle2017", bpp=0.8)
    assert bpp(frames, stream) <= 0.8
    finer = [codeckit.encode_video(frames, "balle2017", quality=level / 8) for level in range(8, 65)]
    assert stream == max((each for each in finer if bpp(frames, each) <= 0.8), key=len)
    grey = [frame[..., 0] for frame in frames]
    assert mean_psnr(grey, codeckit.encode_video(grey, "video-teaching", psnr=33)) >= 33


def test_targets_that_are_refused(tmp_path):
    frames = clip(3)
    with pytest.raises(ValueError, match=r"needs 0\.\d+ bpp for this video at its lowest quality, 1; not 0.001"):
        codeckit.encode_video(frames, "jpeg", tmp_path / "out.ckt", bpp=0.001)
    with pytest.raises(ValueError, match=r"jpeg has \d\d\.\d\d dB on this video at its highest quality, 100; not 90"):
        codeckit.encode_video(frames, "jpeg", psnr=90)
    with pytest.raises(ValueError, match="iterator can be read only once"):
        codeckit.encode_video(iter(frames), "jpeg", bpp=1)
    with pytest.raises(ValueError, match="give one of quality, bpp and psnr"):
        codeckit.encode_video(frames, "jpeg", bpp=1, psnr=30)
    with pytest.raises(ValueError, match="bpp is a number"):
        codeckit.encode_video(frames, "jpeg", bpp="1")
    with pytest.raises(ValueError, match=r"writes videos as \.ckt"):
        codeckit.encode_video(frames, "jpeg", tmp_path / "out.mp4", bpp=1)
    assert not list(tmp_path.iterdir())
    assert codeckit.encode_video(iter(frames), "jpeg") == codeckit.codec("jpeg").encode_video(frames)
