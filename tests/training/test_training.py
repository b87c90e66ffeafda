"""Training: packs, losses, qualities, and a loop that learns and resumes exactly."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import codeckit
import numpy as np
import pytest
import torch
from codeckit.bench.datasets import dataset
from codeckit.cli import main
from codeckit.codecs.learned import export, search
from codeckit.codecs.learned.networks import NETWORKS, load_network
from codeckit.training import data, loop, losses
from codeckit.training.average import average
from codeckit.training.average import main as average_main
from codeckit.training.export import export_run
from codeckit.training.export import main as export_main
from codeckit.training.recipes import NAMES, Recipe, recipe
from PIL import Image
from pytorch_msssim import ms_ssim
from safetensors import safe_open
from safetensors.torch import load_file

TINY = Recipe(
    name="tiny",
    network="balle2017",
    channels=(6,),
    steps=30,
    batch=4,
    patch=64,
    prior_steps=3,
    learning_rate=3e-4,
    entropy_rate=1e-2,
    warmup=5,
    report=12,
)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A folder of five photographs, among them a grey and a small one that cannot be used."""
    folder = tmp_path_factory.mktemp("photographs")
    for image in dataset("sample"):
        Image.fromarray(image.load()).save(folder / f"{image.name}.png")
    Image.fromarray(dataset("sample:coffee")[0].load()[:, :, 1]).save(folder / "grey.png")
    Image.fromarray(dataset("sample:coffee")[0].load()[:60, :60]).save(folder / "small.png")
    return folder


@pytest.fixture(scope="module")
def pack(photographs, tmp_path_factory):
    path = tmp_path_factory.mktemp("pack") / "pack.safetensors"
    data.write_pack([photographs], path, crop=96, megabytes=0.5, held_out=1, seed=1)
    return path


# --- data


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
    loop.write_atomically(torch_weights, loop.save({"a": torch.zeros(1)}))
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


# --- losses


@pytest.mark.parametrize("distortion", ["mse", "ms-ssim"])
def test_loss_is_its_formula(distortion):
    torch.manual_seed(0)
    network = NETWORKS["balle2017"](6)
    side = 176 if distortion == "ms-ssim" else 32
    x, quality = torch.rand(3, 3, side, side), torch.tensor([1.0, 8.0, 4.5])
    torch.manual_seed(1)
    terms = losses.Objective(network, distortion)(x, quality)
    torch.manual_seed(1)
    with torch.no_grad():
        out = network(x, quality)
    if distortion == "mse":
        weights = [0.0007, 0.18, math.sqrt(0.00755 * 0.0167)]
        d = [255**2 * float(((out.reconstruction[i] - x[i]) ** 2).mean()) for i in range(3)]
    else:
        weights = [0.95, 220.0, math.sqrt(9.8 * 21.33)]
        pairs = zip(out.reconstruction.split(1), x.split(1), strict=True)
        d = [1 - float(ms_ssim(a * 255, b * 255, data_range=255)) for a, b in pairs]
    rate = [-float(out.likelihoods["y"][i].log2().sum()) / side**2 for i in range(3)]
    middle = math.exp(np.log(losses.LAMBDAS[distortion]).mean())
    parts = [(r + w * e) * math.sqrt(middle / w) for r, w, e in zip(rate, weights, d, strict=True)]
    assert float(terms.loss.detach()) == pytest.approx(sum(parts) / 3, rel=1e-4)
    assert float(terms.bpp) == pytest.approx(sum(rate) / 3, rel=1e-4)
    assert float(terms.distortion) == pytest.approx(sum(d) / 3, rel=1e-4)
    assert not terms.bpp.requires_grad and terms.loss.requires_grad


def test_errors_of_losses():
    network = NETWORKS["balle2017"](6)
    with pytest.raises(ValueError, match="one of mse, ms-ssim, not 'l1'"):
        losses.Objective(network, "l1")
    with pytest.raises(ValueError, match="at least 161 pixels, not 160"):
        losses.Objective(network, "ms-ssim")(torch.rand(1, 3, 160, 160), torch.tensor([3.0]))


@pytest.mark.parametrize("name", ["balle2017", "cheng2020"])
def test_half_precision_keeps_the_rate(name):
    """Under autocast the transforms are less precise; rates and losses stay close, and are float32."""
    torch.manual_seed(0)
    objective = losses.Objective(NETWORKS[name](6))
    x, quality = torch.rand(2, 3, 64, 64), torch.tensor([2.0, 7.0])
    torch.manual_seed(1)
    single = objective(x, quality)
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        half = objective(x, quality)
    assert {term.dtype for term in half} == {torch.float32}
    assert float(half.bpp) == pytest.approx(float(single.bpp), rel=0.01)
    assert float(half.loss.detach()) == pytest.approx(float(single.loss.detach()), rel=0.01)


@pytest.mark.parametrize("distortion", losses.LAMBDAS)
def test_lambda_interpolates_its_table(distortion):
    table = losses.LAMBDAS[distortion]
    whole = losses.lambda_at(torch.arange(1, 9).float(), distortion)
    np.testing.assert_allclose(whole, table, rtol=1e-5)
    between = losses.lambda_at(torch.tensor([1.25, 7.75]), distortion)
    expected = [table[0] ** 0.75 * table[1] ** 0.25, table[6] ** 0.25 * table[7] ** 0.75]
    np.testing.assert_allclose(between, expected, rtol=1e-5)


def test_the_search_has_the_lambdas_of_training():
    searched = [search.lambda_at(quality, one_network=True) for quality in range(1, 9)]
    np.testing.assert_allclose(searched, losses.LAMBDAS["mse"], rtol=0.003)


def test_qualities_are_spread_evenly():
    rng = np.random.default_rng(0)
    drawn = torch.stack([losses.sample_qualities(rng, 8, 1, 8) for _ in range(400)])
    assert drawn.dtype == torch.float32 and drawn.min() == 1 and drawn.max() == 8
    assert ((drawn.sort().values.round() - torch.arange(1, 9)).abs() < 1e-6).all()  # each level once
    assert float((drawn == 1).float().mean()) == pytest.approx(1 / 16, abs=0.01)
    assert float(drawn[:, 0].mean()) == pytest.approx(4.5, abs=0.4)  # in random order


# --- the loop


def entries(folder, key):
    lines = [json.loads(line) for line in (folder / loop.LOG).read_text().splitlines()]
    return [line for line in lines if key in line]


def validation_loss(rows):
    """The loss that training minimizes, from the rows of a validation at the qualities 1 … 8."""
    weights = np.array(losses.LAMBDAS["mse"])
    rates = np.array([row["bpp"] for row in rows])
    errors = 255**2 * 10 ** (-np.array([row["psnr"] for row in rows]) / 10)
    return float(((rates + weights * errors) / np.sqrt(weights)).mean())


@pytest.fixture(scope="module")
def whole_run(pack, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    loop.train(TINY, pack, folder)
    return folder


def test_training_lowers_the_loss(whole_run):
    validations = entries(whole_run, "validation")
    first, _, last = (validation_loss(entry["validation"]) for entry in validations)
    assert last < first
    assert [entry["step"] for entry in validations] == [12, 24, 30]
    assert [row["quality"] for row in validations[-1]["validation"]] == list(range(1, 9))
    assert all(b["psnr"] > a["psnr"] for a, b in zip(*(v["validation"] for v in validations[::2]), strict=True))


def test_a_resumed_run_is_the_same(pack, whole_run, tmp_path, monkeypatch):
    """Stopped after 7 steps, where no report is due, and killed on its way after another report."""
    steps = iter([False] * 7 + [True])
    monkeypatch.setattr(loop._Run, "_time_is_up", lambda *_: next(steps))
    result = loop.train(TINY, pack, tmp_path, minutes=1)
    assert result["step"] == 7

    def killed(run, *_):
        if run.step == 20:
            raise KeyboardInterrupt
        return False

    monkeypatch.setattr(loop._Run, "_time_is_up", killed)
    with pytest.raises(KeyboardInterrupt):
        loop.train(TINY, pack, tmp_path, resume=True)
    assert entries(tmp_path, "loss")[-1]["step"] == 20
    monkeypatch.undo()
    result = loop.train(TINY, pack, tmp_path, resume=True)
    assert result["step"] == 30
    ours, theirs = (load_file(folder / loop.WEIGHTS) for folder in (tmp_path, whole_run))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert [e["loss"] for e in entries(tmp_path, "loss")] == [e["loss"] for e in entries(whole_run, "loss")]
    before = (tmp_path / loop.WEIGHTS).read_bytes()
    assert loop.train(TINY, pack, tmp_path, resume=True) == result  # nothing is left to do
    assert (tmp_path / loop.WEIGHTS).read_bytes() == before


def test_weights_load_and_are_what_was_validated(pack, whole_run):
    path = whole_run / loop.WEIGHTS
    network = load_network("balle2017", load_file(path))
    with safe_open(path, "pt") as file:
        about = file.metadata()
    assert about["network"] == "balle2017" and about["step"] == "30"
    assert json.loads(about["recipe"])["channels"] == [6]
    again = loop.validate(network, data.load_pack(pack).validation, range(1, 9))
    assert again == json.loads(about["validation"]) == entries(whole_run, "validation")[-1]["validation"]
    medians = network.entropy_bottleneck.solve_quantiles()[:, 1]
    torch.testing.assert_close(network.entropy_bottleneck.medians.double(), medians, rtol=1e-5, atol=1e-5)


def test_validation_measures_as_tables_do(pack, whole_run):
    from codeckit.metrics.distortion import psnr

    network, crops = load_network("balle2017", load_file(whole_run / loop.WEIGHTS)), data.load_pack(pack).training[:3]
    (row,) = loop.validate(network, crops, [5])
    with torch.no_grad():
        out = network(crops.permute(0, 3, 1, 2) / 255, 5.0)
    pictures = (out.reconstruction * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    assert row["psnr"] == pytest.approx(
        np.mean([psnr(a.numpy(), b) for a, b in zip(crops, pictures, strict=True)]), abs=1e-3
    )
    assert row["bpp"] == pytest.approx(float(out.bits().sum()) / (3 * 96 * 96), rel=1e-3)


def test_training_starts_from_weights(pack, whole_run, tmp_path):
    start = whole_run / loop.WEIGHTS
    still = replace(TINY, steps=1, learning_rate=0.0, entropy_rate=0.0)
    loop.train(still, pack, tmp_path / "run", start=start)
    ours, theirs = load_file(tmp_path / "run" / loop.WEIGHTS), load_file(start)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    exported = export(load_network("balle2017", theirs), [], tmp_path / "file.safetensors", quality=(1, 8), half=True)
    loop.train(still, pack, tmp_path / "other", start=exported.path)
    ours = load_file(tmp_path / "other" / loop.WEIGHTS)
    learned = [name for name, _ in load_network("balle2017", theirs).named_parameters()]
    assert all(torch.equal(ours[key], theirs[key].half().float()) for key in learned)
    assert float(ours["entropy_bottleneck.likelihood_lower_bound.bound"]) == pytest.approx(1e-9)  # 0 in 16 bits


def test_a_recipe_for_two_hundred_steps(pack, tmp_path):
    """What `codeckit train` makes of a small version of a recipe: the loss falls, and its weights code a picture."""
    small = replace(recipe("balle2017-small"), channels=(16,), steps=200, patch=64, prior_steps=10, adaptive_steps=20)
    loop.train(replace(small, batch=4, report=40, warmup=10, learning_rate=1e-3), pack, tmp_path)
    curve = [validation_loss(entry["validation"]) for entry in entries(tmp_path, "validation")]
    assert curve[-1] < 0.97 * curve[0]
    network = load_network("balle2017", load_file(tmp_path / loop.WEIGHTS))
    image = data.load_pack(pack).validation[0].numpy()
    header = export_run(tmp_path, pack, tmp_path / "file.safetensors")
    assert header.quality == (1, 8) and header.note == "recipe balle2017-small, 200 of 200 steps"
    codec = codeckit.codec("balle2017", quality=5, weights=header.path)
    stream = codec.encode(image)
    (row,) = loop.validate(network, data.load_pack(pack).validation, [5])
    assert codeckit.metrics.psnr(image, codec.decode(stream)) == pytest.approx(row["psnr"], abs=0.3)
    assert 8 * len(stream) / 96**2 == pytest.approx(row["bpp"], rel=0.2)


def test_cheng2020_trains_in_the_same_loop(pack, tmp_path):
    """With noise, relaxed and rounded latents; crops of 96 are validated as pictures of 64, its stride."""
    tiny = replace(TINY, network="cheng2020", steps=12, report=6, relaxed_after=0.25, rounded_after=0.75)
    result = loop.train(tiny, pack, tmp_path)
    assert len(result["validation"]) == 8
    curve = [entry["loss"] for entry in entries(tmp_path, "loss")]
    assert np.mean(curve[-4:]) < np.mean(curve[:4])
    assert load_network("cheng2020", load_file(tmp_path / loop.WEIGHTS)).gain.levels == 8


def test_a_run_with_more_latents(pack, tmp_path):
    """It begins with the weights of a run with fewer of them, and not the other way round."""
    few = replace(TINY, network="cheng2020", channels=(6,), patch=64, steps=2, report=2)
    loop.train(few, pack, tmp_path / "few")
    more = replace(few, channels=(6, 9))
    loop.train(more, pack, tmp_path / "more", start=tmp_path / "few" / loop.WEIGHTS)
    assert load_network("cheng2020", load_file(tmp_path / "more" / loop.WEIGHTS)).gain.log_gain.shape == (8, 9)
    with pytest.raises(ValueError, match="has 9 latents a position, the recipe tiny 6"):
        loop.train(few, pack, tmp_path / "fewer", start=tmp_path / "more" / loop.WEIGHTS)


def test_a_run_with_more_deep_channels(pack, tmp_path):
    """Likewise."""
    few = replace(TINY, network="cheng2020", channels=(6, 9), patch=64, steps=2, report=2, rounded_after=0)
    loop.train(few, pack, tmp_path / "few")
    more = replace(few, channels=(6, 9, 8))
    loop.train(more, pack, tmp_path / "more", start=tmp_path / "few" / loop.WEIGHTS)
    wide = load_network("cheng2020", load_file(tmp_path / "more" / loop.WEIGHTS))
    assert wide.g_a[5].conv1.out_channels == wide.g_s[2].conv.out_channels == 8
    with pytest.raises(ValueError, match="has 8 deep channels, the recipe tiny 6"):
        loop.train(few, pack, tmp_path / "fewer", start=tmp_path / "more" / loop.WEIGHTS)


def test_a_run_with_details(pack, tmp_path):
    """Likewise; their number is then what it is."""
    few = replace(TINY, network="cheng2020", channels=(6, 9), patch=64, steps=2, report=2, rounded_after=0)
    loop.train(few, pack, tmp_path / "few")
    more = replace(few, channels=(6, 9, 6, 5), relaxed_after=0, rounded_after=1)
    loop.train(more, pack, tmp_path / "more", start=tmp_path / "few" / loop.WEIGHTS)
    weights = tmp_path / "more" / loop.WEIGHTS
    assert load_network("cheng2020", load_file(weights)).d_a[1].out_channels == 5
    loop.train(more, pack, tmp_path / "again", start=weights)
    for other in (few, replace(more, channels=(6, 9, 6, 7))):
        with pytest.raises(ValueError, match="has 5 details, the recipe tiny"):
            loop.train(other, pack, tmp_path / "other", start=weights)


def test_the_mean_of_runs(pack, tmp_path):
    """Of each weight by shares; quantiles anew, for theirs would not be those of the mean."""
    tiny = replace(TINY, network="cheng2020", steps=3, report=3)
    runs = [tmp_path / name for name in "ab"]
    for seed, run in enumerate(runs):
        loop.train(replace(tiny, seed=seed), pack, run, start=runs[0] / loop.WEIGHTS if seed else None)
    first, second = (load_file(run / loop.WEIGHTS) for run in runs)
    out = tmp_path / "mean.safetensors"
    mean = average(runs, out, [3, 1])
    for key, value in load_file(out).items():
        assert torch.equal(value, mean[key])
        if not key.endswith("quantiles"):
            torch.testing.assert_close(value, 0.75 * first[key] + 0.25 * second[key], check_dtype=False)
    network = load_network("cheng2020", mean)
    network.entropy_bottleneck.update_quantiles()
    assert torch.equal(network.state_dict()["entropy_bottleneck.quantiles"], mean["entropy_bottleneck.quantiles"])
    assert average(runs, out).keys() == mean.keys()
    assert not torch.equal(first["g_s.0.conv_a.0.conv.0.weight"], second["g_s.0.conv_a.0.conv.0.weight"])
    loop.train(replace(tiny, seed=2), pack, tmp_path / "c", start=out)


def test_a_mean_with_what_ships(pack, whole_run, tmp_path):
    exported, out = tmp_path / "exported.safetensors", tmp_path / "mean.safetensors"
    export_run(whole_run, pack, exported)
    weights = load_file(whole_run / loop.WEIGHTS)
    for key, value in average([exported, whole_run], out).items():
        torch.testing.assert_close(value, weights[key], rtol=1e-3, atol=1e-3)
    with safe_open(out, "pt") as file, safe_open(whole_run / loop.WEIGHTS, "pt") as run:
        assert file.metadata()["recipe"] == run.metadata()["recipe"]
    with pytest.raises(ValueError, match="a mean takes its recipe from a run"):
        average([exported, exported], out)


def test_errors_of_means(pack, whole_run, tmp_path):
    other, out = tmp_path / "other", tmp_path / "mean.safetensors"
    loop.train(replace(TINY, channels=(5,), steps=1), pack, other)
    for runs, shares in (([other], None), ([other, other], [1]), ([other, other], [1, 0])):
        with pytest.raises(ValueError, match="two runs or more and a positive share for each"):
            average(runs, out, shares)
    with pytest.raises(ValueError, match="of another network than"):
        average([whole_run, other], out)
    with pytest.raises(ValueError, match="no weights of a run"):
        average([whole_run, pack], out)
    with pytest.raises(FileNotFoundError):
        average([whole_run, tmp_path / "none"], out)
    assert not out.exists()


def test_one_rate_alone(pack, tmp_path):
    result = loop.train(replace(TINY, steps=2, qualities=(3, 3)), pack, tmp_path)
    assert [row["quality"] for row in result["validation"]] == [3]


def test_errors_of_runs(pack, whole_run, tmp_path):
    with pytest.raises(ValueError, match="holds a run; resume it"):
        loop.train(TINY, pack, whole_run)
    with pytest.raises(ValueError, match="belongs to another recipe"):
        loop.train(replace(TINY, steps=31), pack, whole_run, resume=True)
    with pytest.raises(ValueError, match="mbt2018 has no gain units; networks that can be trained here: balle2017, "):
        loop.train(replace(TINY, network="mbt2018", channels=(6, 6)), pack, tmp_path)
    with pytest.raises(ValueError, match="relaxed_after is for cheng2020, not for balle2017"):
        loop.train(replace(TINY, relaxed_after=0.5), pack, tmp_path)
    with pytest.raises(ValueError, match="patches of balle2017 are multiples of 16, not 72"):
        loop.train(replace(TINY, patch=72), pack, tmp_path)
    with pytest.raises(ValueError, match="128 pixels a side, the pack's crops only 96"):
        loop.train(replace(TINY, patch=128), pack, tmp_path)
    with pytest.raises(ValueError, match="has 6 channels, the recipe tiny 8"):
        loop.train(replace(TINY, channels=(8,)), pack, tmp_path, start=whole_run / loop.WEIGHTS)
    with pytest.raises(ValueError, match="no weights of cheng2020"):
        loop.train(replace(TINY, network="cheng2020"), pack, tmp_path, start=whole_run / loop.WEIGHTS)
    with pytest.raises(ValueError, match="is no file of weights"):
        loop.train(TINY, pack, tmp_path, start=whole_run / loop.LOG)
    with pytest.raises(ValueError, match="not 'tpu'"):
        loop.train(TINY, pack, tmp_path, device="tpu")


@pytest.mark.parametrize("name", NAMES)
def test_recipes_fit_their_networks(name):
    found = recipe(name)
    assert found.name == name
    with torch.device("meta"):
        network = loop._build(found)
    assert network.training


@pytest.mark.parametrize(("network", "patch"), [("balle2017", 32), ("cheng2020", 64)])
def test_two_processes_share_a_batch(pack, tmp_path, network, patch):
    """Under torchrun gradients are averaged: both processes' patches count, and one folder is written."""
    code = (
        "import sys; from codeckit.training import train; from codeckit.training.recipes import Recipe\n"
        f"train(Recipe('tiny', '{network}', (4,), 6, 4, {patch}, report=3), *sys.argv[1:], device='cpu')"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command += [sys.executable, "-c", code, str(pack), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [entry["step"] for entry in entries(tmp_path, "validation")] == [3, 6]
    assert [entry["step"] for entry in entries(tmp_path, "loss")] == [1, 2, 3, 4, 5, 6]


# --- commands


def test_commands(photographs, tmp_path, capsys):
    packed, out = str(tmp_path / "pack.safetensors"), str(tmp_path / "run")
    data.main([str(photographs), "--out", packed, "--crop", "144", "--megabytes", "0.4", "--held-out", "1"])
    assert "crops to train on, 1 held out" in capsys.readouterr().out
    arguments = ["train", "balle2017-small", "--data", packed, "--out", out, "--steps", "2", "--device", "cpu"]
    arguments += ["--seed", "7"]
    assert main(arguments) == 0
    assert "step 2 of 2" in capsys.readouterr().out
    assert main([*arguments, "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["step"] == 2
    export_main([out, "--data", packed, "--out", str(tmp_path / "file.safetensors"), "--note", "a test"])
    assert "balle2017, qualities 1 … 8" in capsys.readouterr().out
    mean = str(tmp_path / "mean.safetensors")
    average_main([out, out, "--out", mean])
    export_main([mean, "--data", packed, "--out", str(tmp_path / "file.safetensors")])
    assert "balle2017, qualities 1 … 8" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        average_main([out, "--out", mean])
    assert "two runs or more" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        export_main([packed, "--data", packed, "--out", str(tmp_path / "file.safetensors")])
    assert "holds no weights of a run" in capsys.readouterr().err
    assert main(arguments) == 2 and "holds a run" in capsys.readouterr().err
    assert main(["train", "balle", "--data", packed, "--out", out]) == 2
    assert "no recipe is called 'balle'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        data.main([str(Path(out) / "nothing"), "--out", packed])
