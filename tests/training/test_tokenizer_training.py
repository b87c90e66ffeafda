"""The training of the tokenizer: it learns, resumes exactly, and becomes the file of its codec."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from codeckit.bench.datasets import dataset
from codeckit.codecs.tokens import fsq
from codeckit.training import tokenizer
from codeckit.training.callbacks import LOG, WEIGHTS
from codeckit.training.data import Pack
from safetensors.torch import load_file

RECIPE = tokenizer.TokenizerRecipe(dimensions=6, counts=(2, 6), steps=6, batch=2, patch=64, report=3)


@pytest.fixture(scope="module")
def pack():
    x = torch.from_numpy(dataset("sample:coffee")[0].load().copy())
    crops = torch.stack([x[y : y + 96, left : left + 96] for y in range(0, 300, 20) for left in (40, 300)])
    return Pack(crops[4:], crops[:4])


def test_training_resumes_exactly(pack, tmp_path, killed_after):
    result = tokenizer.train(RECIPE, pack, tmp_path / "whole")
    assert result["step"] == 6 and len(result["validation"]) == 2
    with pytest.raises(KeyboardInterrupt):
        tokenizer.train(RECIPE, pack, tmp_path / "parts", callbacks=[killed_after(5)])
    assert tokenizer.train(RECIPE, pack, tmp_path / "parts") == result
    whole, parts = (load_file(tmp_path / name / WEIGHTS) for name in ("whole", "parts"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    with pytest.raises(ValueError, match="another recipe"):
        tokenizer.train(replace(RECIPE, seed=1), pack, tmp_path / "parts")
    quiet = dict(progress=lambda line: None)
    model = tokenizer.export_run(tmp_path / "whole", pack, tmp_path / "model.safetensors", steps=4, **quiet)
    assert fsq.read_model(tmp_path / "model.safetensors").fingerprint == model.fingerprint
    data = bytearray((tmp_path / "model.safetensors").read_bytes())
    data[-3] ^= 1
    (tmp_path / "damaged.safetensors").write_bytes(data)
    with pytest.raises(ValueError, match="damaged"):
        fsq.read_model(tmp_path / "damaged.safetensors")


def test_training_improves_pictures(pack, tmp_path):
    recipe = replace(RECIPE, steps=40, report=40, warmup=5, ema=0.9)
    before = tokenizer.validate(tokenizer.start(recipe, pack).eval(), pack, recipe.counts)
    after = tokenizer.train(recipe, pack, tmp_path)["validation"]
    assert np.subtract(after, before).min() > 0.1
    entries = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert {"loss", "mse", "rate", "steps_per_s"} <= entries[0].keys()


def test_every_other_step_has_all_dimensions(pack):
    task = tokenizer.TokenizerTask(RECIPE, pack)
    counts = [task.batch(np.random.default_rng(step), step)[1] for step in range(40)]
    assert set(counts[1::2]) == {6} and set(counts[::2]) == {2, 6}
    x = task.batch(np.random.default_rng(0), 0)[0]
    assert task.objective(x, 2).mse is None
    terms = task.objective(x, 6)
    assert float(terms.mse) == pytest.approx(255 * float(terms.loss.detach()))
