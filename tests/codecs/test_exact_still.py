"""I-frames in integers: near the float picture, and the same whatever computes them."""

import functools
import hashlib
import os
import subprocess
import sys

import codeckit
import numpy as np
import pytest
import torch
from codeckit.bench.studies.pictures import photo
from codeckit.codecs.learned.header import shipped
from codeckit.codecs.learned.weights import load_weights
from codeckit.codecs.learned_video import exact_still
from codeckit.codecs.learned_video.exact_still import ExactStill
from codeckit.primitives.learned.tiles import reach
from safetensors.torch import load, save


@functools.cache
def balle():
    return load_weights(next(header.path for header in shipped() if header.architecture == "balle2017"))


@functools.cache
def still():
    return ExactStill.of(balle(), [photo(96, 96), photo(96, 96, seed=1)])


def digest(made):
    """A number of pictures of calm, lively and damaged symbols."""
    hashed = hashlib.sha256()
    for magnitude, level in ((2, 0), (40, 28), (1 << 31, 56)):
        n = np.arange(3 * 5 * 192, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(20)
        symbols = (n % np.uint64(2 * magnitude)).astype(np.int64) - magnitude
        hashed.update(made.picture(symbols.astype(np.int32).reshape(3, 5, 192), level).tobytes())
    return hashed.hexdigest()


@pytest.mark.parametrize("quality", [1, 4.5, 8])
def test_pictures_are_within_one_of_the_float_ones(quality):
    image = photo(80, 112, seed=5)
    *stages, _ = codeckit.codec("balle2017", quality=quality).stages.values()
    value = image
    for stage in stages:
        value = stage.forward(value)
    exact = still().picture(value.planes[0], round(8 * (quality - 1)))
    for stage in stages[:0:-1]:
        value = stage.inverse(value)
    difference = np.abs(np.stack(value.planes, 2).astype(int) - exact)
    assert difference.max() <= 1 and (difference > 0).mean() < 0.02


def test_tiles_threads_and_instruction_sets_change_nothing(studies_elsewhere, monkeypatch, tmp_path):
    expected, before = digest(still()), torch.get_num_threads()
    try:
        for threads, side in ((1, 2), (2, 32)):
            torch.set_num_threads(threads)
            monkeypatch.setattr(exact_still, "_SIDE", side)
            assert digest(still()) == expected
    finally:
        torch.set_num_threads(before)
    path = tmp_path / "state"
    path.write_bytes(save(still().state(balle())))
    line = (
        f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r}); import test_exact_still as t; "
        f"data = open({str(path)!r}, 'rb').read(); print(t.digest(t.ExactStill.from_state(t.load(data), t.balle())))"
    )
    settings = {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}
    run = subprocess.run(
        [sys.executable, "-c", line], env={**os.environ, **settings}, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == expected


def test_the_margin_of_tiles_is_the_reach():
    assert reach(balle().network.g_s.float(), 192, up=16) == exact_still._REACH


def test_state_goes_through_safetensors():
    state = load(save(still().state(balle())))
    assert not any(tensor.is_floating_point() for tensor in state.values())
    assert sum(tensor.nbytes for tensor in state.values()) < 60_000
    assert digest(ExactStill.from_state(state, balle())) == digest(still())
    for missing in ("gains", "g_s.network", "g_s.3.bias"):
        with pytest.raises(ValueError):
            ExactStill.from_state({name: tensor for name, tensor in state.items() if name != missing}, balle())


def test_bad_arguments_are_refused():
    for symbols, level in ((np.zeros((1, 1, 191), np.int32), 0), (np.zeros((1, 1, 192), np.int32), 57)):
        with pytest.raises(ValueError, match="gain level of 0 … 56"):
            still().picture(symbols, level)
    with pytest.raises(ValueError, match="typical"):
        ExactStill.of(balle(), [])
    cheng = load_weights(next(header.path for header in shipped() if header.architecture == "cheng2020"))
    with pytest.raises(ValueError, match="not of cheng2020"):
        ExactStill.of(cheng, [photo(16, 16)])
