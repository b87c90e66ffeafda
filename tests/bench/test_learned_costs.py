"""Benches of what integers and one network for all rates cost."""

import json
from dataclasses import replace

import pytest
import torch
from codeckit.bench.datasets import dataset
from codeckit.bench.studies import integer_cost, variable_rate
from codeckit.codecs.learned.weights import shipped
from codeckit.training import data
from codeckit.training import recipes as recipes_


@pytest.mark.parametrize("header", shipped(), ids=lambda header: header.architecture)
def test_streams_are_as_long_as_float_likelihoods_say(header):
    picture = dataset("sample")[0].load()[100:228, 100:292]
    estimated, payload, file = integer_cost.measure(header, [picture], quality=4)
    assert 0.99 * estimated - 64 < payload < 1.02 * estimated + 64
    assert payload < file <= payload + 8 * 70  # the file names another coder than its profile


def test_integer_cost_prints_a_table(capsys):
    integer_cost.main(["sample:coffee", "--qualities", "2"])
    heading, *rows = capsys.readouterr().out.strip().splitlines()[2:]
    assert heading.split() == ["codec", "quality", "float", "stream", "cost", "file"]
    assert len(rows) == len(shipped()) and all(" 2 " in row for row in rows)


def test_rate_at_a_quality():
    rows = [{"bpp": 0.25, "psnr": 30.0}, {"bpp": 0.5, "psnr": 33.0}, {"bpp": 1.0, "psnr": 34.0}]
    assert variable_rate.rate_at(33.5, rows) == pytest.approx(0.5 * 2**0.5)
    assert variable_rate.rate_at(30.0, rows) == pytest.approx(0.25)
    assert variable_rate.rate_at(29.0, rows) != variable_rate.rate_at(29.0, rows)


def test_variable_rate_trains_and_compares(tmp_path, monkeypatch, capsys):
    """A network of two steps: one run for all rates, one for each of two."""
    torch.manual_seed(0)
    tiny = replace(recipes_.recipe("balle2017-small"), channels=(8,), batch=2, patch=32, learning_rate=3e-4)
    monkeypatch.setattr(variable_rate, "recipe", lambda name: tiny)
    pack = tmp_path / "pack.safetensors"
    data.write_pack([image.source for image in dataset("sample")], pack, crop=64, megabytes=0.2, held_out=1)
    run = ["balle2017-small", "--data", str(pack), "--steps", "2"]
    variable_rate.train(replace(tiny, steps=1), pack, tmp_path / "start")
    start = str(tmp_path / "start" / "weights.safetensors")
    variable_rate.main([*run, "--out", str(tmp_path / "runs"), "--start", start, "--qualities", "3", "5"])
    lines = capsys.readouterr().out.strip().splitlines()
    assert [line.split()[0] for line in lines[-2:]] == ["3", "5"] and lines[-1].endswith("%")
    expected = {"before": list(range(1, 9)), "all": list(range(1, 9)), "quality-3": [3], "quality-5": [5]}
    for name, qualities in expected.items():
        log = (tmp_path / "runs" / name / "log.jsonl").read_text().splitlines()
        (validation,) = (json.loads(line)["validation"] for line in log if "validation" in line)
        assert [row["quality"] for row in validation] == qualities
