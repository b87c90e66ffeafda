"""Importance: what a source means, and that every codec makes errors smaller where they count more."""

import io
from dataclasses import replace

import codeckit
import numpy as np
import pytest
from codeckit.bench.studies.pictures import photo
from codeckit.codecs.importance import Importance, WeighedEncoder, blurred, importance
from codeckit.metrics import psnr, weighted_psnr
from codeckit.primitives import container
from PIL import Image

ROI = "roi:32,32,64,64"
IMAGE = photo(128, 192, seed=5)
INSIDE = np.zeros(IMAGE.shape[:2], bool)
INSIDE[32:96, 32:96] = True


def errors(codec, image=IMAGE):
    """Bytes, and mean squared errors inside and outside of the region."""
    stream = codec.encode(image)
    squares = ((codeckit.decode(stream).astype(float) - image) ** 2).mean(2)
    return len(stream), squares[INSIDE].mean(), squares[~INSIDE].mean()


# --- the meaning ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        ROI,
        "roi:0,0,5,5;180,100,99,99",
        np.eye(8),
        np.eye(300, dtype=bool),
        [[0, 1], [2, 7]],
        np.arange(12).reshape(3, 4),
    ],
    ids=str,
)
@pytest.mark.parametrize("strength", [0, 1.5, 16])
def test_octaves_have_mean_zero_and_the_range_of_the_strength(source, strength):
    octaves = Importance(source, strength).octaves(IMAGE)
    assert octaves.dtype == np.float32 and octaves.shape == IMAGE.shape[:2]
    assert abs(octaves.mean(dtype=float)) < 1e-4
    assert np.ptp(octaves) <= strength * (1 + 1e-6)


def test_a_mask_a_map_and_a_region_mean_the_same():
    expected = Importance(ROI).octaves(IMAGE)
    assert (expected > 0).sum() == 64 * 64
    for same in INSIDE, INSIDE * 0.2, INSIDE[::2, ::2], INSIDE.astype(np.uint8).tolist():
        assert (Importance(same).octaves(IMAGE) == expected).all()


def test_maps_without_differences_change_nothing():
    plain = codeckit.codec("jpeg", effort=2).encode(IMAGE)
    for flat in np.zeros((4, 4)), np.ones((7, 2), bool):
        assert not Importance(flat).octaves(IMAGE).any()
        assert codeckit.codec("libjpeg", importance=flat).encode(IMAGE) == codeckit.codec("libjpeg").encode(IMAGE)
    assert plain == codeckit.codec("jpeg", effort=2, importance=None).encode(IMAGE)


@pytest.mark.parametrize(
    "source, message",
    [
        ("roi:1,2,3", "'roi:x,y,w,h' in whole pixels"),
        ("roi:1,2,3,0", "no pixels"),
        ("roi:-1,2,3,4", "corner below 0"),
        ("everything", "a map, a mask, 'roi:x,y,w,h' or 'attention'"),
        (np.array([[-1.0]]), "finite numbers from 0 up"),
        (np.array([[np.nan]]), "finite numbers from 0 up"),
        (np.zeros((2, 2, 3)), r"not an array of float64 \[2, 2, 3\]"),
        (np.zeros((0, 2)), "a map is an array"),
        (7, "a map is an array .* not 7"),
    ],
)
def test_what_is_no_importance_is_refused(source, message):
    with pytest.raises(ValueError, match=message):
        codeckit.codec("jpeg", importance=source)


def test_strength_is_checked():
    for strength in -1, 17, "4", True, float("nan"):
        with pytest.raises(ValueError, match="strength is a number from 0 to 16"):
            codeckit.codec("jpeg", importance=ROI, strength=strength)
    with pytest.raises(ValueError, match="give importance="):
        codeckit.codec("jpeg", strength=3)
    assert importance(Importance(ROI, 2), 5).strength == 5


def test_regions_outside_are_refused_when_encoding():
    with pytest.raises(ValueError, match="lies outside the picture of 192×128 pixels"):
        codeckit.encode(IMAGE, "jpeg", importance="roi:500,0,8,8")


def test_settings_say_what_was_asked_for():
    assert codeckit.codec("jpeg", importance=ROI).setting == {"quality": 75, "importance": ROI, "strength": 4.0}
    told = codeckit.codec("jpeg", importance=np.eye(3)).setting["importance"]
    assert told.startswith("map 3×3 ")
    assert told != codeckit.codec("jpeg", importance=1 - np.eye(3)).setting["importance"]


def test_attention_has_three_levels():
    pytest.importorskip("efficientnet_lite_pytorch")
    levels = Importance("attention").map(IMAGE)
    assert levels.shape == (128, 192)
    assert set(np.unique(levels)) <= {0.0, 0.5, 1.0} and len(np.unique(levels)) > 1
    assert (levels[:16, :24] == levels[0, 0]).all()


# --- every codec ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, options, step",
    [
        ("jpeg", {"quality": 40, "effort": 3}, 2),
        ("jpeg", {"quality": 40, "effort": 3, "tune": "ms-ssim"}, 2),
        ("jpeg-context", {"quality": 40, "effort": 3}, 2),
        ("jpeg2000-teaching", {"quality": 40}, 2),
        ("balle2017", {"quality": 3}, 0.25),
        ("balle2017", {"quality": 3, "effort": 2}, 0.25),
        ("cheng2020", {"quality": 3}, 0.25),
        ("tokens-fsq", {"quality": 4}, 1),
        ("h264", {"quality": 20, "preset": "fast"}, 1),
        ("hevc", {"quality": 20, "preset": "fast"}, 1),
        ("hevc", {"quality": 20, "preset": "fast", "subsampling": "4:4:4"}, 1),
    ],
    ids=str,
)
def test_the_region_is_better_at_no_more_bits(name, options, step):
    """Against the same codec at the lowest quality that takes as many bits for everything."""
    size, inside, _ = errors(codeckit.codec(name, importance=ROI, strength=3, **options))
    plain_size, quality = 0, options["quality"]
    while plain_size < size:
        plain_size, plain_inside, _ = errors(codeckit.codec(name, **{**options, "quality": quality}))
        quality += step
    assert inside < (0.97 if name == "tokens-fsq" else 0.9) * plain_inside


@pytest.mark.parametrize("name", ["libjpeg", "webp", "jpeg2000", "av1", "vp9", "downsample", "bmshj2018-factorized"])
def test_other_codecs_get_a_picture_with_less_detail_around(name):
    if not codeckit.codecs.registry.entry(name).available:
        pytest.skip("not installed")
    codec = codeckit.codec(name, importance=ROI)
    plain = replace(codec, encoder=codec.encoder.inner)
    filtered = blurred(IMAGE, Importance(ROI).octaves(IMAGE))
    assert codec.encode(IMAGE) == plain.encode(filtered)
    assert (filtered[40:90, 40:90] == IMAGE[40:90, 40:90]).all()
    assert len(codec.encode(IMAGE)) <= 1.01 * len(plain.encode(IMAGE))


@pytest.mark.parametrize("name, options", [("png", {}), ("webp", {"lossless": True}), ("uncompressed", {})])
def test_what_loses_nothing_refuses(name, options):
    with pytest.raises(ValueError, match="loses nothing here"):
        codeckit.codec(name, importance=ROI, **options)


def test_codecs_of_all_features_refuse():
    pytest.importorskip("efficientnet_lite_pytorch")
    with pytest.raises(ValueError, match="know no places"):
        codeckit.codec("tokens", importance=ROI).encode(IMAGE)


def test_tokens_are_chosen_where_it_is_important():
    pytest.importorskip("efficientnet_lite_pytorch")
    shares = []
    for options in {}, {"importance": ROI, "strength": 6}:
        trace = codeckit.codec("tokens-vit", quality=6, budget=12, **options).trace(IMAGE)
        kept = next(step.maps["kept"] for step in trace.steps if "kept" in step.maps)
        assert kept.sum() == 12 and codeckit.decode(trace.stream).grid == (12, 1)
        height, width = IMAGE.shape[:2]
        rows, columns = (np.arange(10) + 0.5) * height / 10, (np.arange(10) + 0.5) * width / 10
        inside = np.outer((rows >= 40) & (rows < 90), (columns >= 40) & (columns < 90))
        shares.append(kept[inside].sum() / 12)
    assert shares[1] > shares[0] + 0.2
    tokens = codeckit.decode(codeckit.codec("tokens-vit", budget=100).encode(IMAGE))
    with pytest.raises(ValueError, match="not Tokens"):
        codeckit.codec("tokens-vit", importance=ROI).encode_tokens(tokens)


def test_a_pinned_qp_is_refused_and_not_ignored():
    for name in "h264", "hevc":
        with pytest.raises(ValueError, match=f"with qp= {name} has one QP everywhere; .* quality= or crf="):
            codeckit.codec(name, qp=30, importance=ROI).encode(IMAGE)


def test_files_are_genuine():
    stream = codeckit.codec("jpeg", effort=2, importance=ROI).encode(IMAGE)
    with Image.open(io.BytesIO(stream)) as opened:
        assert opened.format == "JPEG"
        assert np.abs(np.asarray(opened).astype(int) - codeckit.decode(stream)).max() <= 4


def test_grey_pictures():
    for name in "jpeg", "jpeg2000-teaching", "balle2017", "hevc":
        options = {"effort": 1} if name == "jpeg" else {}
        stream = codeckit.codec(name, importance=ROI, **options).encode(IMAGE[..., 0])
        assert codeckit.decode(stream).shape[:2] == (128, 192)


def test_streams_with_maps_say_so_and_decode_together():
    codec = codeckit.codec("balle2017", quality=3, importance=ROI)
    other = codeckit.codec("balle2017", quality=3, importance="roi:0,0,16,16")
    streams = [each.encode(IMAGE) for each in (codec, other, codeckit.codec("balle2017", quality=3))]
    facts = [codec.stages["entropy"].facts(container.unpack(stream).payload) for stream in streams]
    assert [fact.get("mapped", 0) for fact in facts] == [1, 1, 0]
    for alone, together in zip(streams, codeckit.codec("balle2017").decode_many(streams), strict=True):
        assert np.abs(codeckit.decode(alone).astype(int) - together).max() <= 1


def test_maps_survive_generic_entropy_coding():
    codec = codeckit.codec("balle2017", quality=3, importance=ROI)
    generic = codeckit.codec("balle2017", quality=3, importance=ROI, entropy="AnsCoded")
    assert (codeckit.decode(codec.encode(IMAGE)) == codeckit.decode(generic.encode(IMAGE))).all()


def test_maps_at_the_ends_of_the_scale():
    for quality in 1, 8:
        stream = codeckit.codec("balle2017", quality=quality, importance=ROI, strength=16).encode(IMAGE)
        assert codeckit.decode(stream).shape == IMAGE.shape


def test_prefixes_decode_with_regions():
    from codeckit.codecs.jpeg2000_teaching import decode_resolution, truncate

    stream = codeckit.codec("jpeg2000-teaching", importance=ROI).encode(IMAGE)
    assert codeckit.decode(truncate(stream, len(stream) // 2)).shape == IMAGE.shape
    assert decode_resolution(stream, 2).shape == (32, 48, 3)


# --- traces, targets, videos ----------------------------------------------------------------------------------------


def test_traces_show_the_map_and_what_it_did():
    codec = codeckit.codec("balle2017", quality=3, importance=ROI)
    trace, plain = codec.trace(IMAGE), codeckit.codec("balle2017", quality=3).trace(IMAGE)
    assert trace.stream == codec.encode(IMAGE)
    assert (trace.steps[0].maps["importance"] == codec.encoder.importance.octaves(IMAGE)).all()
    area, bits = trace.importance()
    where = plain.bits_in_place()
    assert area == INSIDE.mean() and bits > where[INSIDE].sum() / where.sum()
    assert "importance: above the mean are 17 % of the picture" in str(trace)
    assert plain.importance() is None and "importance" not in str(plain)
    assert trace.anatomy().bits == 8 * len(trace.stream)
    assert any("offsets of positions" in part.name for part in trace.anatomy().parts)
    assert np.ptp(next(step for step in trace.steps if step.role == "quantize").maps["quality of positions"]) > 1


def test_rate_control_knows_importance():
    stream = codeckit.encode(IMAGE, "balle2017", bpp=0.6, importance=ROI)
    plain = codeckit.encode(IMAGE, "balle2017", bpp=0.6)
    assert 8 * len(stream) / INSIDE.size <= 0.6
    region = [psnr(IMAGE[32:96, 32:96], codeckit.decode(each)[32:96, 32:96].copy()) for each in (stream, plain)]
    assert region[0] > region[1] + 0.5
    weighed = [weighted_psnr(IMAGE, codeckit.decode(each), ROI) for each in (stream, plain)]
    assert weighed[0] > weighed[1]


@pytest.mark.parametrize("name", ["hevc", "h264", "balle2017", "jpeg2000-teaching", "libjpeg", "vp9"])
def test_videos(name):
    frames = [np.roll(IMAGE, shift, 1) for shift in (0, 1, 2)]
    codec = codeckit.codec(name, importance=ROI)
    assert isinstance(codec.encoder, WeighedEncoder)
    stream = codec.encode_video(frames)
    decoded = list(codeckit.decode_video(stream))
    plain = list(codeckit.decode_video(codeckit.codec(name).encode_video(frames)))
    assert [frame.shape for frame in decoded] == [IMAGE.shape] * 3
    inside, outside = (
        [((frame.astype(float) - other)[area] ** 2).mean() for frame, other in zip(each, frames, strict=True)]
        for each, area in ((decoded, INSIDE), (decoded, ~INSIDE))
    )
    before = [((frame.astype(float) - other)[~INSIDE] ** 2).mean() for frame, other in zip(plain, frames, strict=True)]
    assert np.mean(outside) > np.mean(before) and np.mean(inside) < np.mean(outside)


def test_video_files(tmp_path):
    path = codeckit.encode_video([IMAGE] * 3, "hevc", tmp_path / "a.mp4", importance=ROI)
    assert len(list(codeckit.decode_video(path))) == 3


def test_empty_videos_are_refused():
    with pytest.raises(ValueError, match="no frames"):
        codeckit.encode_video([], "hevc", importance=ROI)


def test_rounding_of_learned_video_weighs_places():
    from codeckit.codecs.learned_video.stages import CostRound

    octaves = np.zeros((64, 64), np.float32)
    octaves[:32], octaves[32:] = 3, -3
    y = np.random.default_rng(0).laplace(0, 0.6, (4, 4, 32))
    scales = np.full(y.shape, 0.3)
    plain = CostRound().choose(y, scales)
    weighed = CostRound().weighed(octaves, {}).choose(y, scales)
    assert np.abs(weighed[:2]).sum() > np.abs(plain[:2]).sum()
    assert np.abs(weighed[2:]).sum() < np.abs(plain[2:]).sum()
