"""The learned architecture: contract, and a training of some seconds."""

import json
from dataclasses import replace

import codeckit
import numpy as np
import pytest
from codeckit.cli import main
from codeckit.codecs.learned import register_weights
from codeckit.primitives import container
from codeckit.testing import check_network
from codeckit.training import recipe, train, write_pack
from codeckit.training.export import export_run
from codeckit_example_plugin.network import GeluHyperprior
from PIL import Image


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    """Crops of the sample photographs."""
    folder = tmp_path_factory.mktemp("photographs")
    for image in codeckit.dataset("sample"):
        Image.fromarray(image.load()).save(folder / f"{image.name}.png")
    write_pack([folder], folder / "pack.safetensors", crop=192, megabytes=1, held_out=1)
    return folder / "pack.safetensors"


def test_contract():
    check_network(GeluHyperprior)


def test_training_and_a_file(pack, tmp_path):
    """From random weights to a codec: the loss falls, and what is written decodes by the fingerprint in the stream."""
    short = replace(recipe("gelu-hyperprior"), steps=80, batch=12, patch=64, learning_rate=2e-3, warmup=5, ema=0.9)
    train(short, pack, tmp_path)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    losses = [entry["loss"] for entry in log if "loss" in entry]
    assert np.mean(losses[-3:]) < 0.5 * losses[0]

    path = export_run(tmp_path, pack, tmp_path / "gelu.safetensors", note="seconds").path
    codec = codeckit.codec("gelu-hyperprior", weights=path)
    image = codeckit.dataset("sample:coffee")[0].load()[:100, :130]
    stream = codec.encode(image)
    held = container.unpack(stream)
    assert (held.codec, held.revision, held.stages) == ("codeckit-example-plugin:gelu-hyperprior", 1, b"")
    register_weights(path)
    decoded = codeckit.decode(stream)
    assert np.array_equal(decoded, codec.decode(stream)) and decoded.shape == (100, 130, 3)
    assert np.square(decoded.astype(float) - image).mean() < np.var(image)


def test_the_command_knows_the_network(pack, tmp_path, capsys):
    arguments = ["train", "gelu-hyperprior", "--quality", "2", "--small", "--steps", "1", "--device", "cpu", "--json"]
    assert main([*arguments, "--data", str(pack), "--out", str(tmp_path)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["step"] == 1 and [row["quality"] for row in result["validation"]] == [2]
