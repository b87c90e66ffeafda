"""Packs of photographs, and the patches that are cut from them."""

import numpy as np
import pytest
import torch
from codeckit.training import data
from PIL import Image
from safetensors.torch import save_file


def test_a_pack_is_the_same_again(photographs, pack, tmp_path):
    settings = {"crop": 96, "megabytes": 0.5, "held_out": 1}
    data.write_pack([photographs], tmp_path / "again", seed=1, **settings)
    assert (tmp_path / "again").read_bytes() == pack.read_bytes()
    data.write_pack([photographs], tmp_path / "other", seed=2, **settings)
    assert (tmp_path / "other").read_bytes() != pack.read_bytes()


def test_a_pack_keeps_to_its_size(pack):
    crops = data.load_pack(pack)
    assert pack.stat().st_size <= 0.5e6 + 1000
    assert crops.training.dtype == torch.uint8 and crops.training.shape[1:] == (96, 96, 3)
    assert crops.validation.shape == (1, 96, 96, 3) and len(crops.training) > 10


def test_held_out_pictures_give_no_training_crops(tmp_path):
    """Every picture has one colour, so that a crop tells where it comes from."""
    colours = [(20 * i, 255 - 20 * i, 100) for i in range(10)]
    for i, colour in enumerate(colours):
        Image.new("RGB", (150, 130), colour).save(tmp_path / f"{i}.png")
    crops = data.write_pack([tmp_path], tmp_path / "pack", crop=64, megabytes=1, held_out=3)
    training, validation = (
        {tuple(crop[0, 0].tolist()) for crop in part} for part in (crops.training, crops.validation)
    )
    assert len(validation) == 3 and len(training) == 7 and not training & validation
    assert training | validation == set(colours)
    assert all((crop == crop[0, 0]).all() for crop in crops.training)


def test_crops_are_pictures_scaled_down(tmp_path):
    """A ramp of one grey level a pixel is steeper after scaling down, between one and two levels."""
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None], (256, 256, 3)[:2])
    Image.fromarray(np.stack([ramp] * 3, axis=2)).save(tmp_path / "0.png")
    Image.fromarray(np.stack([ramp] * 3, axis=2)).save(tmp_path / "1.png")
    crops = data.write_pack([tmp_path], tmp_path / "pack", crop=64, megabytes=1, held_out=1).training
    slopes = (crops[:, 60, 30, 0].float() - crops[:, 4, 30, 0].float()) / 56
    assert slopes.min() >= 0.98 and slopes.max() <= 2.05 and slopes.max() - slopes.min() > 0.2


def test_the_test_set_is_refused(tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "kodim07.png")
    with pytest.raises(ValueError, match=r"kodim07\.png is a Kodak photograph"):
        data.write_pack([tmp_path], tmp_path / "pack", crop=32)


def test_errors_of_packs(photographs, tmp_path):
    with pytest.raises(ValueError, match="more than 5 colour photographs"):
        data.write_pack([photographs], tmp_path / "pack", crop=96, megabytes=1, held_out=5)
    torch_weights = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(1)}, torch_weights)
    (tmp_path / "text").write_text("no safetensors file at all")
    for path in (torch_weights, tmp_path / "text"):
        with pytest.raises(ValueError, match="is no pack of photographs"):
            data.load_pack(path)


def test_patches_are_cut_from_crops_and_mirrored():
    """Each pixel holds its position, so that a patch tells where it was cut."""
    crops = torch.zeros(3, 40, 40, 3, dtype=torch.uint8)
    crops[..., 0] = torch.arange(3)[:, None, None]
    crops[..., 1], crops[..., 2] = torch.arange(40)[:, None], torch.arange(40)
    patches = (data.batch(crops, 500, 16, np.random.default_rng(0)) * 255).round().long()
    assert patches.shape == (500, 3, 16, 16)
    assert patches.is_contiguous(memory_format=torch.channels_last)
    which, rows, columns = patches.unbind(1)
    assert set(which[:, 0, 0].tolist()) == {0, 1, 2} and (which == which[:, :1, :1]).all()
    assert (rows.diff(dim=1) == 1).all() and (rows.diff(dim=2) == 0).all()
    steps = columns.diff(dim=2)
    assert (steps == steps[:, :1, :1]).all() and set(steps[:, 0, 0].tolist()) == {1, -1}
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 39, 0, 39)
    with pytest.raises(ValueError, match="patches of 41×41 cannot be cut from crops of 40×40"):
        data.batch(crops, 1, 41, np.random.default_rng(0))
