"""The distribution as somebody uses it who installed it and imports codeckit alone."""

import doctest
import importlib
import json
import subprocess
import sys

import codeckit
import numpy as np
import pytest
from codeckit.primitives import StreamError, container

#: Run in a process of its own, which imports codeckit alone.
BLOBS = "codeckit_example_plugin.blobs"


@pytest.fixture(scope="module")
def image():
    return codeckit.dataset("sample:coffee")[0].load()[100:228, 200:360].copy()


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    """A folder of labelled pictures."""
    folder = tmp_path_factory.mktemp("blobs")
    subprocess.run([sys.executable, "-m", BLOBS, str(folder)], check=True)
    return folder


def command(*arguments) -> str:
    """What `codeckit …` prints."""
    done = subprocess.run([sys.executable, "-m", "codeckit", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("module", ["rice", "codecs", "mae", "blobs"])
def test_docstring_examples(module):
    assert doctest.testmod(importlib.import_module(f"codeckit_example_plugin.{module}")).failed == 0


def test_listed():
    listed = {entry["name"]: entry for entry in json.loads(command("codecs", "--json"))}
    assert listed["jpeg-rice"]["extension"] == ".ckt" and listed["bmp"]["extension"] == ".bmp"


def test_the_coder_serves_codecs_of_others(image):
    codec = codeckit.codec("jpeg", quality=90, entropy="RiceCoded")
    stream = codec.encode(image)
    assert np.array_equal(codeckit.decode(stream), codeckit.decode(codeckit.codec("jpeg", quality=90).encode(image)))
    assert b"codeckit-example-plugin:RiceCoded@1" in stream  # what differs from JPEG's profile stands in the stream


def test_a_stream_names_the_profile(image):
    codec = codeckit.codec("jpeg-rice")
    held = container.unpack(codec.encode(image))
    assert (held.codec, held.revision, held.stages) == ("codeckit-example-plugin:jpeg-rice", 1, b"")
    held = container.unpack(codeckit.codec("jpeg-rice", entropy="RangeCoded").encode(image))
    assert held.stages == b'[["entropy","codeckit:RangeCoded@1",{}]]'


def test_a_revision_that_does_not_exist_yet(image):
    held = container.unpack(codeckit.codec("jpeg-rice").encode(image))
    later = container.pack(container.Container(held.codec, 2, held.payload, held.sections))
    with pytest.raises(StreamError, match="this version knows revisions up to 1"):
        codeckit.decode(later)


def test_command_line(tmp_path, image):
    from PIL import Image

    Image.fromarray(image).save(tmp_path / "in.png")
    for spec, name in (("codeckit-example-plugin:jpeg-rice:quality=30", "jpeg-rice"), ("bmp", "bmp")):
        stream, decoded = tmp_path / "stream", tmp_path / "out.png"
        command("encode", tmp_path / "in.png", stream, "--codec", spec)
        command("decode", stream, decoded)
        assert np.asarray(Image.open(decoded)).shape == image.shape
        assert name in command("info", stream)


def test_bitmaps(tmp_path, image):
    stream = codeckit.encode(image, "bmp", psnr=60)
    assert stream[:2] == b"BM" and np.array_equal(codeckit.decode(stream), image)
    found = codeckit.info(stream)
    assert (found.codec, found.size, found.channels) == ("bmp", image.shape[:2], 3)
    codeckit.evaluate(codeckit.codec("bmp"), image, ["psnr"], keep=tmp_path, progress=False)
    (kept,) = tmp_path.iterdir()
    assert kept.suffix == ".bmp" and np.array_equal(codeckit.decode(kept), image)


def test_compare(tmp_path, blobs):
    """Codec, metric and task of the plug-in in one comparison from the command line."""
    text = command(
        "compare", blobs, "--codecs", "jpeg-rice,libjpeg,bmp:quality=100", "--qualities", "5,20,60",
        "--metrics", "psnr,mae", "--tasks", "blobs", "--anchor", "libjpeg", "--out", tmp_path,
    )  # fmt: skip
    assert "MAE ↓" in text and "blobs mAP50" in text and "jpeg-rice" in text
    assert "top-1" not in text
    rows = [line for line in text.splitlines() if line.startswith("jpeg-rice")]
    assert rows


@pytest.mark.parametrize("executor", ["dask"])
def test_workers_of_a_cluster_find_it(blobs, executor):
    """Processes of a cluster get codec, metric and task by their names, and look them up themselves."""
    pytest.importorskip("distributed")
    codecs = [codeckit.codec("jpeg-rice", quality=quality) for quality in (10, 60)]
    images = codeckit.dataset(blobs)[:3]
    asked = {"metrics": ["mae"], "tasks": ["blobs"], "progress": False}
    far = codeckit.evaluate(codecs, images, executor=executor, jobs=2, **asked)
    near = codeckit.evaluate(codecs, images, **asked)
    assert [row.values for row in far] == [row.values for row in near]
    assert all(row.values["mae"] > 0 and "blobs/map50" in row.values for row in far)
