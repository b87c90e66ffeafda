"""``--importance`` and ``--strength``."""

import json

import codeckit
import numpy as np
import pytest
from codeckit import cli
from codeckit.bench.studies.pictures import photo
from PIL import Image

ROI = "roi:16,16,32,32;80,10,20,20"


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(photo(72, 120, seed=4)).save(path)
    return path


def test_encode(picture, tmp_path, capsys):
    out = tmp_path / "a.ckt"
    argv = ["encode", str(picture), str(out), "--codec", "balle2017:quality=3", "--importance", ROI, "--strength", "3"]
    assert cli.main(argv) == 0
    assert out.read_bytes() == codeckit.codec("balle2017", quality=3, importance=ROI, strength=3).encode(picture)


def test_a_picture_is_a_map(picture, tmp_path):
    mask = np.zeros((9, 15), np.uint8)
    mask[3:6, 4:8] = 200
    Image.fromarray(mask).save(tmp_path / "map.png")
    argv = ["encode", str(picture), str(tmp_path / "a.jpg"), "--codec", "jpeg:effort=1"]
    assert cli.main([*argv, "--importance", str(tmp_path / "map.png")]) == 0
    expected = codeckit.codec("jpeg", effort=1, importance=mask).encode(picture)
    assert (tmp_path / "a.jpg").read_bytes() == expected


@pytest.mark.parametrize(
    "more, message",
    [
        (["--importance", "nowhere.png"], "--importance is roi:x,y,w,h, attention or a picture's file"),
        (["--importance", "roi:1,2"], "a region is 'roi:x,y,w,h'"),
        (["--importance", "roi:900,0,9,9"], "lies outside the picture of 120×72 pixels"),
        (["--strength", "3"], "strength says how much an importance counts"),
        (["--importance", ROI, "--strength", "99"], "strength is a number from 0 to 16"),
    ],
)
def test_bad_use(picture, tmp_path, capsys, more, message):
    assert cli.main(["encode", str(picture), str(tmp_path / "a.jpg"), "--codec", "jpeg", *more]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "a.jpg").exists()


def test_compare_measures_weighted_psnr(picture, tmp_path, capsys):
    argv = ["compare", str(picture), "--codecs", "jpeg:effort=1,webp", "--qualities", "30,60", "--metrics", "psnr"]
    argv += ["--importance", ROI, "--out", str(tmp_path / "out"), "--anchor", "webp"]
    assert cli.main(argv) == 0
    printed = capsys.readouterr().out
    assert "weighted PSNR" in printed and f"importance {ROI}, strength 4" in printed
    rows = [json.loads(line) for line in (tmp_path / "out" / "journal.jsonl").read_text().splitlines()]
    assert all(row["values"]["weighted-psnr"] > 20 for row in rows if "values" in row)


def test_explain_shows_what_importance_did(picture, tmp_path):
    page = tmp_path / "a.html"
    assert (
        cli.main(["explain", str(picture), "--codec", "jpeg2000-teaching", "--importance", ROI, "--out", str(page)])
        == 0
    )
    text = page.read_text()
    assert "What importance did" in text and "without importance" in text and "weighted PSNR" in text
