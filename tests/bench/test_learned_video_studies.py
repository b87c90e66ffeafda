"""The studies of learned video on tiny clips with cheap codecs."""

import json
from fractions import Fraction

import codeckit
import numpy as np
import pytest
from codeckit.bench.studies import fuzz, learned_video, learned_video_exact, zerolatency
from codeckit.bench.studies.learned_video import Results, Row, Series
from codeckit.bench.studies.pictures import photo


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A folder of two clips of six frames; one has the name of the published clip."""
    folder = tmp_path_factory.mktemp("clips")
    for seed, name in enumerate(("basketballpass", "other")):
        still = photo(64, 128, 3, seed=seed)
        frames = [np.ascontiguousarray(still[:, 2 * n : 2 * n + 96]) for n in range(6)]
        codeckit.codec("h264", qp=4, subsampling="4:4:4", preset="ultrafast").encode_video(
            frames, folder / f"{name}.mkv", fps=25
        )
    return folder


def test_points_are_measured_once_and_tables_have_the_goals(clips, tmp_path, monkeypatch, capsys):
    cheap = {
        "x264-veryfast": Series("x264:veryfast", "crf", (20, 28, 36)),
        "video-teaching": Series("video-teaching:gop={gop}", "quality", (10, 40, 80)),
        "jpeg": Series("jpeg", "quality", (10, 50), every=4),
        "dvc": Series("nobody:gop={gop}", "quality", (1, 3), learned=True),
        "dcvc": learned_video.SERIES["dcvc"],
    }
    monkeypatch.setattr(learned_video, "SERIES", cheap)
    monkeypatch.setattr(
        learned_video, "ROWS", (Row("video-teaching", "x264-veryfast", "≤ 0 %"), *learned_video.ROWS[:1])
    )
    out = tmp_path / "points.json"
    names = ["x264-veryfast", "video-teaching", "jpeg", "dvc"]
    assert learned_video.main([str(clips), "--out", str(out), "--codecs", *names, "--speed"]) == 0
    said = capsys.readouterr().out
    assert "dvc is left out: " in said
    assert "| video-teaching | x264-veryfast | 32 | ≤ 0 % | " in said and " % | 2 | " in said
    assert "| dvc | balle2017 | 32 | ≤ −50 % | not measured | – | – | – |" in said
    results = Results(out)
    counts = {name: sum(point.series == name for point in results.points.values()) for name in cheap}
    assert counts == {"x264-veryfast": 9, "video-teaching": 6, "jpeg": 4, "dvc": 0, "dcvc": 0}  # x264 at GOP 10, too
    assert {point.frames for point in results.points.values() if point.series == "jpeg"} == {2}
    assert set(results.conversions) == {"basketballpass", "other"} and len(results.speeds) == 2
    before = out.read_bytes()
    learned_video.main([str(clips), "--out", str(out), "--codecs", *names])
    assert out.read_bytes() == before and "crf=" not in capsys.readouterr().out.partition("|")[0]
    learned_video.main([str(clips), "--out", str(out), "--codecs", "jpeg", "--again", "--clips", "other"])
    assert sum(point.series == "jpeg" for point in Results(out).points.values()) == 2


def test_a_point_is_what_the_codec_gives(clips, tmp_path):
    clip = learned_video.Clip(clips / "other.mkv", None)
    codec = codeckit.codec("video-teaching", quality=50, gop=32)
    results = Results(tmp_path / "none.json")
    point = learned_video.measure("video-teaching", codec, clip, 32, 50, results)
    stream = codec.encode_video(clips / "other.mkv")
    assert point is not None and point.bytes == len(stream) and point.bpp == 8 * len(stream) / (6 * 64 * 96)
    pairs = zip(clip.frames, codeckit.decode_video(stream), strict=True)
    assert point.psnr == pytest.approx(np.mean([codeckit.metrics.psnr(*pair) for pair in pairs]))


def test_tables_show_the_weights_measured_last(tmp_path):
    points = [
        {"series": "dvc", "weights": weights, "clip": "a", "gop": 32, "value": value, "frames": 33, "bytes": 1,
         "bpp": bpp, "psnr": 30.0 + value}
        for weights, scale in (("old", 2.0), ("new", 1.0))
        for value, bpp in ((1, 0.1 * scale), (3, 0.2 * scale))
    ]  # fmt: skip
    anchor = [{**point, "series": "balle2017", "weights": "", "bpp": 2 * point["bpp"]} for point in points[2:]]
    path = tmp_path / "points.json"
    path.write_text(json.dumps({"conversions": {}, "points": [*points, *anchor], "speeds": []}))
    results = Results(path)
    assert results.curve("dvc", "a", 32) == ([0.1, 0.2], [31.0, 33.0])
    assert learned_video.compare(learned_video.ROWS[0], results).mean == pytest.approx(-50)
    assert "| dvc | balle2017 | 32 | ≤ −50 % | −50.0 % | 1 | 31.0 … 33.0 | 100% |" in learned_video.report(results)


@pytest.mark.parametrize("library", ["x264", "x265"])
def test_zerolatency_has_intra_pictures_at_the_gop_alone(library):
    still = photo(64, 128, 3, seed=3)
    frames = [np.ascontiguousarray(still[:, 2 * n : 2 * n + 96]) for n in range(9)]
    conversion, kept = zerolatency.best_conversion(frames)
    pictures = [conversion.to_planes(frame) for frame in frames]
    units = zerolatency.encode(library, "ultrafast", 20, 4, pictures, Fraction(25))
    decoded = list(zerolatency.decode(library, units))
    assert [number for number, picture in enumerate(decoded) if picture.key_frame] == [0, 4, 8]
    assert len(units) == 9 and units[0][:3] in (b"\0\0\1", b"\0\0\0")
    quality = codeckit.metrics.psnr(frames[5], conversion.to_rgb(decoded[5]))
    assert 25 < quality < kept + 3


def test_repeated_chroma_is_found():
    planes = zerolatency.Conversion("bt601", "area", "neighbor")
    made = planes.to_rgb(planes.to_planes(photo(64, 96, 3, seed=2)))
    conversion, kept = zerolatency.best_conversion([made])
    assert (conversion.down, conversion.up) == ("area", "neighbor") and kept > 45


@pytest.fixture(scope="module")
def videos():
    still = photo(48, 96, 3, seed=1)
    frames = [np.ascontiguousarray(still[:, 2 * n : 2 * n + 64]) for n in range(4)]
    streams = {name: codeckit.codec(name).encode_video(frames) for name in ("jpeg", "video-teaching")}
    return [learned_video_exact.Video.of(name, data) for name, data in streams.items()]


def test_chunks_and_frames_of_a_video(videos):
    jpeg, teaching = videos
    assert (len(jpeg.chunks), len(teaching.chunks)) == (4, 5)
    for video in videos:
        assert len(video.right) == 4 and video.frames_before(len(video.data)) == 4
        assert [video.frames_before(end) for _, end in video.chunks[-4:]] == [1, 2, 3, 4]
        assert video.frames_before(video.head) == 0


def test_damage_is_repeatable_and_never_does_harm(videos):
    for number in range(60):
        case = learned_video_exact.damage(5, number, videos)
        assert case.data == learned_video_exact.damage(5, number, videos).data
        outcome = fuzz.attempt(case)  # chunks of these codecs have no check, so other frames may come
        assert outcome.verdict != "violation" or outcome.message.endswith("other frames"), (case.name, outcome.message)


def test_other_frames_and_missing_ones_are_violations(videos):
    video, other = videos
    case = fuzz.Case("", video.data)
    assert learned_video_exact.check(case, video).verdict == "all frames, all frames"
    swapped = learned_video_exact.Video("", video.data, other.right, video.head, video.chunks)
    assert learned_video_exact.check(case, swapped).message == "as a whole: other frames"
    cut = fuzz.Case("", video.data[: video.chunks[1][1]])
    assert learned_video_exact.check(cut, video).verdict == "StreamError, some frames"
    more = learned_video_exact.Video("", video.data, video.right, video.head, ((0, 1),) * 4)
    assert "of the 4 frames before the damage" in learned_video_exact.check(cut, more).message


def test_checks_of_chunks_are_forged():
    chunk = learned_video_exact.with_check(b"a frame..")
    assert learned_video_exact.with_check(chunk) == chunk and chunk[:-2] == b"a frame"


def test_ways_agree(studies_elsewhere, clips, monkeypatch, capsys):
    """In processes of their own; two ways of one codec."""
    all_ways = learned_video_exact.ways
    monkeypatch.setattr(learned_video_exact, "ways", lambda pythons: all_ways(pythons)[:2])
    run = [str(clips), "--codecs", "video-teaching", "--clips", "other", "--frames", "3"]
    assert learned_video_exact.main(run) == 0
    assert "0 of 4 differ; encoders wrote the same bytes in 1 of 1 cases" in capsys.readouterr().out
