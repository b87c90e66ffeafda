"""Sweeps measure truly, survive being killed, and go on past failures."""

import functools
import json
import math
import os
import pickle
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from codeckit.bench import SweepError, dataset, evaluate
from codeckit.bench.jobs import Asked
from codeckit.bench.journal import read_journal
from codeckit.bench.sweep import stream_name
from codeckit.codecs.base import Codec
from codeckit.codecs.baselines import RawCoded
from codeckit.codecs.jpeg import JpegHuffman
from codeckit.codecs.peers.stills import PillowCoded
from codeckit.codecs.registry import codec, register_codec
from codeckit.metrics import Metric, bpp, psnr, resolve, tasks
from codeckit.primitives import Stage, register_stage
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


@dataclass(frozen=True)
class Negative(Stage):
    """Every sample from white instead of from black."""

    def forward(self, x):
        return 255 - x

    def inverse(self, y):
        return 255 - y


@pytest.mark.parametrize("jobs", [1, 2])
def test_registered_stages_go_to_workers(folder, jobs):
    """A stream names the stage by the id that the calling process gave it."""
    register_stage(Negative, "tests:Negative@1")
    (row, *_) = evaluate(
        Codec("negative", {"negative": Negative(), "entropy": RawCoded()}), folder, ["psnr"], jobs=jobs
    )
    assert row.values["psnr"] == math.inf and row.real


def test_own_measures_and_undefined_values(folder):
    def worst(reference, image):
        return -int(np.abs(reference.astype(int) - image).max())

    record = evaluate(raw(), folder, ["ms-ssim", worst])[0]
    assert record.values["worst"] == 0
    assert math.isnan(record.values["ms-ssim"])  # 16 samples a side are too few


def test_grey_pictures(tmp_path):
    Image.fromarray(np.tile(np.arange(0, 256, 8, dtype=np.uint8), (16, 1))).save(tmp_path / "grey.png")
    for name in ("libjpeg", "webp"):  # WebP gives it back as RGB
        (record,) = evaluate(codec(name, quality=90), tmp_path, ["psnr"])
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


def test_errors_survive_pickling(folder, tmp_path):
    def broken(reference, image):
        return 1 / 0

    with pytest.raises(SweepError) as caught:
        evaluate(raw(), folder, [broken])
    error, copy = caught.value, pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.failures, copy.table) == (str(error), error.failures, error.table)


def test_a_function_needs_a_name(folder):
    with pytest.raises(ValueError, match=r'wrap it: Metric\("name", function\)'):
        evaluate(raw(), folder, [functools.partial(lambda reference, image: 0.0)])
    with pytest.raises(ValueError, match="two different metrics are called 'lambda'"):
        evaluate(raw(), folder, [lambda reference, image: 0.0, lambda reference, image: 1.0])
    (record, *_) = evaluate(raw(), folder, [lambda reference, image: 0.0])
    assert record.values == {"lambda": 0.0}
    (record, *_) = evaluate(raw(), folder, [Metric("nought", lambda reference, image: 0.0)])
    assert record.values == {"nought": 0.0}


def test_baselines_stand_apart(tmp_path):
    pictures = tmp_path / "pictures"
    for n, label in enumerate(("dark", "light")):
        (pictures / label).mkdir(parents=True)
        Image.fromarray(np.full((16, 24, 3), 60 + 120 * n, np.uint8)).save(pictures / label / f"{n}.png")
    images = dataset(pictures, recursive=True)
    task = tasks.Classifier("brightness", lambda picture: "light" if picture.mean() > 127 else "dark")
    table = evaluate(codec("libjpeg"), images, ["psnr"], [task])
    assert [record.codec for record in table] == ["libjpeg"] * 2
    assert {record.codec for record in table.baselines} == {"uncompressed", "downsample"}
    assert len(table.everything) == 2 * 8 and len(table.summary()) == 1
    asked_for = evaluate([codec("libjpeg"), codec("uncompressed")], images, ["psnr"], [task])
    assert [record.codec for record in asked_for] == ["libjpeg"] * 2 + ["uncompressed"] * 2
    assert {record.codec for record in asked_for.baselines} == {"downsample"}
    assert evaluate(codec("libjpeg"), images, ["psnr"]).baselines == ()


def test_kept_streams_have_the_ending_of_their_format(folder, tmp_path):
    def bitmap(quality=1):
        return Codec("bitmap", {"library": PillowCoded("BMP")}, {"quality": quality})

    register_codec("bitmap", bitmap)
    evaluate([bitmap(), codec("libjpeg"), codec("jpeg-context")], folder, ["psnr"], keep=tmp_path / "kept")
    found = sorted(path.name for path in (tmp_path / "kept").iterdir() if path.name.startswith("a"))
    assert found == ["a.png-bitmap-quality=1.bmp", "a.png-jpeg-context-quality=75.ckt", "a.png-libjpeg-quality=75.jpg"]
    assert Image.open(tmp_path / "kept" / found[0]).format == "BMP"
    image = dataset(folder)[0]
    mine = Codec("mine", codec("jpeg").stages)
    assert isinstance(mine.stages["entropy"], JpegHuffman) and stream_name(mine, image) == "a.png-mine.jpg"
    assert stream_name(Codec("mine", {"library": PillowCoded("JPEG2000")}), image) == "a.png-mine.jp2"
    assert stream_name(raw(), image) == "a.png-raw.bin"


PLUG_IN = """
    import numpy as np
    from codeckit.metrics import Metric
    from codeckit.metrics.tasks import Classifier

    def make(name):
        def local(*pictures):  # nothing can pickle it: who has it looked it up
            return float(len(name))
        return local

    largest = Metric("largest", make("largest"), higher_is_better=False)
    shade = Classifier("shade", lambda picture: "light" if picture.mean() > 127 else "dark")
"""

PLUG_IN_SWEEP = """
    import pickle, sys
    import numpy as np
    import codeckit
    from codeckit.bench import dataset, evaluate
    from codeckit.bench.datasets import DatasetImage
    from codeckit.bench.jobs import Asked
    from codeckit.metrics import resolve
    from codeckit.metrics.tasks import resolve as resolve_tasks

    assert resolve("largest") == resolve("plug-in:largest")
    sent = pickle.dumps(Asked(resolve(["psnr", "largest"]), resolve_tasks("shade")))
    assert b"plug-in:largest" in sent and b"plug-in:shade" in sent and b"codeckit:psnr" in sent
    images = dataset([np.full((16, 16, 3), shade, np.uint8) for shade in (20, 200)])
    images = [DatasetImage(i.name, i.source, label) for i, label in zip(images, ("dark", "light"))]
    for executor in sys.argv[1:]:
        table = evaluate(codeckit.codec("libjpeg"), dataset(images), ["psnr", "plug-in:largest"], "shade",
                         jobs=2, executor=executor)
        assert [r.values["largest"] for r in table] == [7.0, 7.0]
        assert [r.values["shade/top1"] for r in table] == [1.0, 1.0]
        assert not table.columns["largest"].higher_is_better
    print("done")
"""


@pytest.mark.parametrize("executor", ["local", "dask"])
def test_workers_find_what_a_plug_in_declares(tmp_path, executor):
    if executor == "dask":
        pytest.importorskip("distributed")
    (tmp_path / "plug_in.py").write_text(textwrap.dedent(PLUG_IN))
    info = tmp_path / "plug_in-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plug_in\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[codeckit.metrics]\nlargest = plug_in:largest\n\n[codeckit.tasks]\nshade = plug_in:shade\n"
    )
    script = tmp_path / "sweep.py"
    body = textwrap.indent(textwrap.dedent(PLUG_IN_SWEEP), "    ")
    script.write_text(f"def main():\n{body}\n\nif __name__ == '__main__':\n    main()\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, str(script), executor], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "done", done.stderr[-3000:]


def test_what_is_declared_nowhere_is_pickled_itself():
    received = pickle.loads(pickle.dumps(Asked((*resolve("psnr"), Metric("psnr2", psnr)))))
    assert received.metrics[0] is resolve("psnr")[0] and received.metrics[1].function is psnr


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
