"""The bench of learned codecs on Kodak: published curves, tables; the measuring itself on stand-in pictures."""

import json
import math

import numpy as np
import pytest
from codeckit.bench.datasets import dataset
from codeckit.bench.studies import learned_kodak
from PIL import Image

QUALITY = {"psnr-rgb": [28.0, 31.0, 34.0, 37.0], "ms-ssim-rgb": [0.9, 0.95, 0.98, 0.99]}


def write_results(path, rates):
    path.write_text(json.dumps({"name": "x", "results": {"bpp": rates, **QUALITY}}))
    return path


def test_bd_rates_against_rivals(tmp_path):
    rates = np.array([0.25, 0.5, 1.0, 2.0])
    curves = [
        learned_kodak.published_curve(label, write_results(tmp_path / "x.json", list(factor * rates)), ("a",))
        for label, factor in (("cheng2020", 1.0), ("cheng2020-anchor (CompressAI)", 0.8), ("libjpeg", 2.0))
    ]
    assert learned_kodak.bd_table(curves)[1:] == [
        ["cheng2020", "cheng2020-anchor (CompressAI)", "+25.0 %", "100%", "+25.0 %", "100%"],
        ["cheng2020", "libjpeg", "-50.0 %", "100%", "-50.0 %", "100%"],
    ]


def test_no_figure_without_overlap(tmp_path):
    low = learned_kodak.published_curve("libjpeg", write_results(tmp_path / "x.json", [0.1, 0.2, 0.3, 0.4]), ("a",))
    better = {"psnr-rgb": [40.0, 41.0], "ms-ssim-rgb": [0.999, 0.9999]}
    (tmp_path / "y.json").write_text(json.dumps({"results": {"bpp": [0.1, 0.2], **better}}))
    high = learned_kodak.published_curve("balle2017", tmp_path / "y.json", ("a",))
    assert learned_kodak.bd_table([low, high])[1] == ["balle2017", "libjpeg", "–", "0%", "–", "0%"]


def test_errors_of_published_curves(tmp_path):
    (tmp_path / "x.json").write_text('{"results": {"bpp": [1]}}')
    with pytest.raises(ValueError, match="no file of CompressAI's results"):
        learned_kodak.published_curve("x", tmp_path / "x.json", ("a",))
    with pytest.raises(FileNotFoundError):
        learned_kodak.published_curve("x", tmp_path / "y.json", ("a",))


def test_measuring(tmp_path, monkeypatch, capsys):
    """Two small pictures and one codec of each kind stand in for the set; every curve has its points and a plot."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for image in dataset("sample")[:2]:
        Image.fromarray(image.load()[:176, :176]).save(folder / f"{image.name}.png")
    for file in learned_kodak.PUBLISHED.values():
        write_results(tmp_path / file, [0.25, 0.5, 1.0, 2.0])
    monkeypatch.setattr(learned_kodak, "PICTURES", 2)
    monkeypatch.setattr(learned_kodak, "LIBRARIES", ("libjpeg",))
    monkeypatch.setattr(learned_kodak, "LIBRARY_QUALITIES", (30, 60))
    weights = [header.path for header in learned_kodak.shipped() if header.architecture == "balle2017"]
    learned_kodak.main([str(folder), "--anchors", str(tmp_path), "--out", str(tmp_path / "out"), "--weights", *weights])
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    counts = {curve["label"]: len(curve["points"]) for curve in results["curves"]}
    assert counts == {"balle2017": 8, "libjpeg": 2, **dict.fromkeys(learned_kodak.PUBLISHED, 4)}
    (first, *_) = (curve["points"] for curve in results["curves"] if curve["label"] == "balle2017")
    assert all(math.isfinite(point["values"]["psnr"]) for point in first)
    assert "against" in capsys.readouterr().out and (tmp_path / "out" / "rd.svg").exists()
