"""Many pictures: streamed from folders, shards and addresses, by any engine, with nothing lost and nothing doubled."""

import io
import os
import signal
import tarfile
from dataclasses import replace

import codeckit
import numpy as np
import pytest
from codeckit.bench import compare, dataset, evaluate
from codeckit.bench.datasets import stream_images
from codeckit.bench.executors import run
from codeckit.bench.large import read_records, summarize, sweep
from codeckit.bench.sources import Blob, expand
from codeckit.bench.sweep import SweepError
from codeckit.cli import main
from codeckit.metrics import Measure
from PIL import Image


def picture(seed):
    return np.random.default_rng(seed).integers(0, 256, (16, 24, 3), np.uint8)


def png(seed):
    out = io.BytesIO()
    Image.fromarray(picture(seed)).save(out, "png")
    return out.getvalue()


@pytest.fixture
def folder(tmp_path):
    for n in range(5):
        place = tmp_path / "pictures" / ("cat" if n < 2 else "dog")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{n}.png").write_bytes(png(n))
    (tmp_path / "pictures" / "notes.txt").write_text("none")
    return tmp_path / "pictures"


def shard(path, samples):
    with tarfile.open(path, "w") as archive:
        for name, data in samples:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def timeless(records):
    return [replace(record, encode_s=0, decode_s=0) for record in records]


def codecs():
    return [codeckit.codec("libjpeg", quality=q) for q in (20, 80)]


def test_folders_are_streamed_in_order_with_labels(folder):
    found = list(stream_images(folder))
    assert [(i.name, i.label) for i in found] == [
        ("cat/0.png", "cat"), ("cat/1.png", "cat"), ("dog/2.png", "dog"), ("dog/3.png", "dog"), ("dog/4.png", "dog")
    ]  # fmt: skip
    assert np.array_equal(found[3].load(), picture(3))


def test_shards_are_read_where_they_lie(tmp_path):
    shard(tmp_path / "s-00.tar", [("a/0.png", png(0)), ("a/0.cls", b"7\n"), ("a/1.cls", b"dog"), ("a/1.png", png(1))])
    shard(tmp_path / "s-01.tar", [("2.json", b"{}"), ("2.png", png(2)), (".hidden", b"x")])
    found = dataset(str(tmp_path / "s-{00..01}.tar"))
    assert [(i.name, i.label) for i in found] == [
        ("s-00.tar/a/0.png", 7), ("s-00.tar/a/1.png", "dog"), ("s-01.tar/2.png", None)
    ]  # fmt: skip
    assert all(np.array_equal(image.load(), picture(n)) for n, image in enumerate(found))
    assert found[0].fingerprint() != found[1].fingerprint()
    assert [i.name for i in stream_images(str(tmp_path / "s-*.tar"))] == [i.name for i in found]
    with pytest.raises(ValueError, match=r"use plain \.tar shards"):
        list(stream_images("s.tar.gz"))
    with pytest.raises(FileNotFoundError):
        list(stream_images(str(tmp_path / "nothing")))


def test_addresses_of_fsspec(folder):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe("/set/x/0.png", png(0))
    memory.pipe("/set/1.png", png(1))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.add(folder / "dog" / "3.png", "3.png")
    memory.pipe("/set/s.tar", out.getvalue())
    try:
        found = list(stream_images("memory://set"))
        assert sorted((i.name, i.label) for i in found) == [("1.png", None), ("x/0.png", "x")]
        assert np.array_equal(next(i for i in found if i.label == "x").load(), picture(0))
        (image,) = dataset("memory://set/s.tar")
        assert np.array_equal(image.load(), picture(3))
        with_local = [i.name for i in dataset(folder.as_uri())]
        assert with_local == [i.name for i in stream_images(folder)]
    finally:
        memory.rm("/set", recursive=True)


def test_braces():
    assert expand("a{1..3}{x,y}") == ["a1x", "a1y", "a2x", "a2y", "a3x", "a3y"]
    assert Blob("here") == Blob("here", 0, None)


def test_parts_are_written_and_skipped(folder, tmp_path, monkeypatch):
    out = tmp_path / "out"
    assert sweep(codecs(), stream_images(folder), out, part=2, progress=False) == 5
    whole = evaluate(codecs(), list(stream_images(folder)), ["psnr"])
    order = {(r.image, r.setting["quality"]): r for r in timeless(whole)}
    found = timeless(read_records(out))
    assert len(found) == 10 and all(order[r.image, r.setting["quality"]] == r for r in found)
    for mean, setting in zip(summarize(out), codecs(), strict=True):
        mine = [r for r in whole if r.setting == setting.setting]
        assert mean.setting == setting.setting and mean.image == "5 pictures"
        assert np.isclose(mean.values["psnr"], np.mean([r.values["psnr"] for r in mine]))
    assert compare(summarize(out), anchor="libjpeg").images == ("5 pictures",)

    (out / "records" / "part-000001.parquet").unlink()  # one part is missing: only that is measured again
    seen = []

    def watched(codecs, images, *rest, **options):
        seen.append(images)
        return evaluate(codecs, images, *rest, **options)

    monkeypatch.setattr("codeckit.bench.large.evaluate", watched)
    assert sweep(codecs(), stream_images(folder), out, part=2, progress=False) == 5
    assert [[i.name for i in part] for part in seen] == [["dog/2.png", "dog/3.png"]]
    assert timeless(read_records(out)) == found
    with pytest.raises(ValueError, match="other codecs"):
        sweep(codecs()[:1], stream_images(folder), out, part=2, progress=False)


def recall(counts):
    return counts[0] / counts.sum()


class Rows:
    """A task whose measure is made of counts: which of the first rows are bright, the label tells how many to try."""

    name = "rows"
    measures = (Measure("recall", unit="%", from_counts=recall),)

    def predict(self, decoded):
        return decoded.reshape(len(decoded), -1).mean(1) > 127

    def score(self, prediction, label):
        tried = prediction[: len(label) * 2]
        return {"recall": (int(tried.sum()), int((~tried).sum()))}


def test_tasks_of_counts_and_their_baselines(folder, tmp_path):
    images = list(stream_images(folder))
    sweep(codecs(), images, tmp_path / "out", ["psnr"], [Rows()], part=2, progress=False)
    whole, parts = evaluate(codecs(), images, ["psnr"], [Rows()]), summarize(tmp_path / "out", tasks=[Rows()])
    assert len(parts) == 2 and len(parts.baselines) == 7 == len(whole.baselines) / 5
    for mean, summary in zip(parts, whole.summary(), strict=True):
        assert mean.values["rows/recall"] == pytest.approx(summary.values["rows/recall"])
    ceilings = [compare(table).ceilings()["rows/recall"] for table in (whole, parts)]
    assert ceilings[0] == pytest.approx(ceilings[1])


def test_a_part_that_fails_is_tried_again(folder, tmp_path):
    broken = folder / "dog" / "3.png"
    broken.write_bytes(b"none")
    with pytest.raises(SweepError):
        sweep(codecs(), stream_images(folder), tmp_path / "out", part=2, progress=False)
    assert len(list(read_records(tmp_path / "out"))) == 4
    broken.write_bytes(png(3))
    assert sweep(codecs(), stream_images(folder), tmp_path / "out", part=2, progress=False) == 5
    assert len(list(read_records(tmp_path / "out"))) == 10


def test_a_picture_that_fails_is_left_out(folder, tmp_path, capsys):
    (folder / "dog" / "3.png").write_bytes(b"none")
    (folder / "cat" / ".0.png").write_bytes(b"none")
    arguments = ["sweep", str(folder), "--codecs", "libjpeg", "--qualities", "20,80", "--part", "2"]
    for _ in range(2):  # a finished sweep tells it again
        assert main([*arguments, "--out", str(tmp_path / "out")]) == 1
        told = capsys.readouterr().err
        assert told.count("\n") == 1 and "dog/3.png" in told
        assert {record.image for record in read_records(tmp_path / "out")} == {
            "cat/0.png", "cat/1.png", "dog/2.png", "dog/4.png"
        }  # fmt: skip


def test_command_line(folder, tmp_path, capsys):
    arguments = ["sweep", str(folder), "--codecs", "libjpeg", "--qualities", "20,80", "--out", str(tmp_path / "out")]
    assert main([*arguments, "--part", "3"]) == 0
    assert "libjpeg" in capsys.readouterr().out
    assert (tmp_path / "out" / "report.html").exists()


def die_once(mark, number):
    """A job that kills its worker the first time it is tried."""
    if number == 3 and not os.path.exists(mark):
        open(mark, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_unknown_engines():
    with pytest.raises(ValueError, match="no executor is called 'slurm'"):
        list(run(pow, [(1, 1)], "slurm"))


def test_dask_gives_the_records_of_a_local_run_though_a_worker_dies(folder, tmp_path):
    pytest.importorskip("distributed", reason="dask is not installed: pip install 'codeckit[cluster]'")
    from distributed import LocalCluster

    with LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster:
        executor = f"dask:{cluster.scheduler_address}"
        mark = str(tmp_path / "mark")
        assert sorted(run(die_once, [(mark, n) for n in range(12)], executor)) == list(range(12))
        assert os.path.exists(mark)  # a worker did die
        images = list(stream_images(folder))
        here, there = (evaluate(codecs(), images, ["psnr"], executor=where) for where in ("local", executor))
        assert timeless(there) == timeless(here)


def test_ray_gives_the_records_of_a_local_run(folder):
    pytest.importorskip("ray", reason="ray is not installed: pip install 'codeckit[ray]'")
    images = list(stream_images(folder))
    here, there = (evaluate(codecs(), images, ["psnr"], executor=where) for where in ("local", "ray"))
    assert timeless(there) == timeless(here)
