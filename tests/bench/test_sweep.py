"""Sweeps measure truly, survive being killed, and go on past failures."""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from codeckit.bench import SweepError, dataset, evaluate
from codeckit.bench.journal import read_journal
from codeckit.codecs.base import Codec
from codeckit.codecs.registry import codec, register_codec
from codeckit.metrics import bpp, psnr
from codeckit.primitives import Stage
from PIL import Image

KODAK = Path(os.environ.get("CODECKIT_KODAK", Path(__file__).parents[3] / "shared" / "data" / "kodak"))


@dataclass(frozen=True)
class Raw(Stage):
    """Samples as they are behind two bytes of size; refuses pictures of odd height."""

    native = True
    log: str = ""

    def forward(self, x):
        if self.log:
            with open(self.log, "a") as file:
                file.write("x")
        if x.shape[0] % 2:
            raise RuntimeError("odd height")
        return bytes(x.shape[:2]) + x.tobytes()

    def inverse(self, y, max_pixels=0):
        return np.frombuffer(y[2:], np.uint8).reshape(y[0], y[1], -1)


def raw(log="", **setting):
    return Codec("raw", {"entropy": Raw(str(log))}, setting)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in "abc":
        Image.fromarray(rng.integers(0, 256, (16, 24, 3), np.uint8)).save(pictures / f"{name}.png")
    return pictures


def test_records_say_what_was_measured(folder):
    settings = [codec("libjpeg", quality=q) for q in (40, 80)]
    table = evaluate(settings, folder, metrics=["psnr"], repeats=3)
    assert [(r.setting["quality"], r.image) for r in table] == [(q, f"{n}.png") for q in (40, 80) for n in "abc"]
    for record, setting in zip(table, [c for c in settings for _ in "abc"], strict=True):
        pixels = np.asarray(Image.open(folder / record.image))
        stream = setting.encode(pixels)
        assert record.bytes == len(stream) and record.bpp == bpp(len(stream), pixels.shape) and record.real
        assert record.values == {"psnr": psnr(pixels, setting.decode(stream))}
        assert record.encode_s > 0 and record.decode_s > 0


def test_processes_give_the_same_table(folder):
    register_codec("raw-of-test", lambda quality=1: Codec("raw-of-test", {"entropy": Raw()}))
    settings = [codec("libjpeg", quality=40), codec("webp", quality=40), codec("raw-of-test")]

    def without_times(table):
        return [{**vars(r), "encode_s": 0, "decode_s": 0} for r in table]

    one, two = (evaluate(settings, folder, ["psnr"], jobs=jobs) for jobs in (1, 2))
    assert without_times(one) == without_times(two)
    assert one[-1].values["psnr"] == math.inf


def test_own_measures_and_undefined_values(folder):
    def worst(reference, image):
        return -int(np.abs(reference.astype(int) - image).max())

    record = evaluate(raw(), folder, ["ms-ssim", worst])[0]
    assert record.values["worst"] == 0
    assert math.isnan(record.values["ms-ssim"])  # 16 samples a side are too few


def test_grey_pictures(tmp_path):
    Image.fromarray(np.tile(np.arange(0, 256, 8, dtype=np.uint8), (16, 1))).save(tmp_path / "grey.png")
    (record,) = evaluate(codec("libjpeg", quality=90), tmp_path, ["psnr"])
    assert 35 < record.values["psnr"] < math.inf


def test_a_second_run_does_nothing(folder, tmp_path):
    log, journal = tmp_path / "log", tmp_path / "out" / "journal.jsonl"
    first = evaluate(raw(log), folder, ["psnr"], out=journal)
    calls = log.read_text()
    assert evaluate(raw(log), folder, ["psnr"], out=journal) == first
    assert log.read_text() == calls


def test_a_killed_run_continues(folder, tmp_path):
    log, journal = tmp_path / "log", tmp_path / "journal.jsonl"
    first = evaluate(raw(log), folder, ["psnr"], out=journal)
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(lines[0] + lines[1][:-9])  # torn within its last line
    log.unlink()
    second = evaluate(raw(log), folder, ["psnr"], out=journal)
    assert len(log.read_text()) == 2  # the torn and the missing one
    assert second[0] == first[0] and [r.values for r in second] == [r.values for r in first]
    assert len(read_journal(journal)) == 3 and all(json.loads(line) for line in journal.read_text().splitlines())


@pytest.mark.parametrize("change", ["picture", "setting", "stages", "measure"])
def test_what_changed_is_measured_anew(folder, tmp_path, change):
    log, other, journal = tmp_path / "log", tmp_path / "other", tmp_path / "journal.jsonl"
    evaluate(raw(log, quality=1), folder, ["psnr"], out=journal)
    log.unlink()
    changed, metrics = raw(log, quality=1), ["psnr"]
    if change == "picture":
        Image.fromarray(np.zeros((16, 24, 3), np.uint8)).save(folder / "b.png")
    elif change == "setting":
        changed = raw(log, quality=2)
    elif change == "stages":
        changed = raw(other, quality=1)
    else:
        metrics = ["psnr", "ms-ssim"]
    table = evaluate(changed, folder, metrics, out=journal)
    calls = (other if change == "stages" else log).read_text()
    assert len(calls.replace("\n", "")) in ((1, 2) if change == "picture" else (3, 4))  # and perhaps one to warm up
    assert len(table) == 3 and all(set(r.values) == set(metrics) for r in table)


def test_failures_do_not_stop_the_others(folder, tmp_path):
    Image.fromarray(np.zeros((15, 24, 3), np.uint8)).save(folder / "b.png")
    (folder / "d.png").write_bytes(b"damaged")
    journal = tmp_path / "journal.jsonl"
    with pytest.raises(SweepError, match="2 of 4 jobs failed") as caught:
        evaluate(raw(), folder, ["psnr"], out=journal)
    assert [r.image for r in caught.value.table] == ["a.png", "c.png"]
    assert [f.image for f in caught.value.failures] == ["b.png", "d.png"]
    assert caught.value.failures[0].error == "RuntimeError: odd height"
    Image.fromarray(np.zeros((16, 24, 3), np.uint8)).save(folder / "b.png")
    (folder / "d.png").unlink()
    assert len(evaluate(raw(), folder, ["psnr"], out=journal)) == 3


def test_a_file_that_is_no_journal_is_left_alone(folder, tmp_path):
    other = tmp_path / "notes.txt"
    other.write_text("something else\n")
    with pytest.raises(ValueError, match="line 1 is not a sweep's journal"):
        evaluate(raw(), folder, ["psnr"], out=other)
    assert other.read_text() == "something else\n"


def test_bad_requests(folder):
    with pytest.raises(ValueError, match="unknown metric"):
        evaluate(raw(), folder, ["vmaf"])
    with pytest.raises(ValueError, match="at least one codec"):
        evaluate([], folder)
    with pytest.raises(ValueError, match="repeats"):
        evaluate(raw(), folder, repeats=0)
    with pytest.raises(ValueError, match="two different codecs"):
        evaluate([raw(), raw("elsewhere")], folder)


@pytest.mark.skipif(not KODAK.exists(), reason="the Kodak set (CODECKIT_KODAK) is not here")
def test_kodak_at_quality_75_equals_the_published_means():
    (summary,) = evaluate(codec("libjpeg", quality=75), dataset(KODAK)).summary()
    assert len(summary.images) == 24
    assert summary.bpp == pytest.approx(1.3676, abs=2e-5)
    assert summary.values["psnr"] == pytest.approx(34.52213, abs=2e-5)
    assert summary.values["ms-ssim"] == pytest.approx(0.98664, abs=2e-5)
