"""Learned image codecs in the loop: they learn, resume exactly, and become weight files."""

import json
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
from codeckit.codecs.learned import export
from codeckit.codecs.learned.lambdas import LAMBDAS
from codeckit.codecs.learned.networks import NETWORKS, load_network
from codeckit.training import data, image_codec
from codeckit.training.average import average
from codeckit.training.average import main as average_main
from codeckit.training.callbacks import LOG, WEIGHTS, Callback
from codeckit.training.export import export_run
from codeckit.training.export import main as export_main
from codeckit.training.processes import Processes
from codeckit.training.recipes import NAMES, Recipe, recipe
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

#: A network of one rate, from random weights.
HYPERPRIOR = replace(TINY, network="bmshj2018-hyperprior", channels=(6, 8), qualities=(3, 3), learning_rate=2e-3)


def entries(folder, key):
    lines = [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
    return [line for line in lines if key in line]


def validation_loss(rows):
    """The loss that training minimizes, from the rows of a validation at the qualities 1 … 8."""
    weights = np.array(LAMBDAS["mse"])
    rates = np.array([row["bpp"] for row in rows])
    errors = 255**2 * 10 ** (-np.array([row["psnr"] for row in rows]) / 10)
    return float(((rates + weights * errors) / np.sqrt(weights)).mean())


@pytest.fixture(scope="module")
def whole_run(pack, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    image_codec.train(TINY, pack, folder)
    return folder


def test_training_lowers_the_loss(whole_run):
    validations = entries(whole_run, "validation")
    first, _, last = (validation_loss(entry["validation"]) for entry in validations)
    assert last < first
    assert [entry["step"] for entry in validations] == [12, 24, 30]
    assert [row["quality"] for row in validations[-1]["validation"]] == list(range(1, 9))
    assert all(b["psnr"] > a["psnr"] for a, b in zip(*(v["validation"] for v in validations[::2]), strict=True))


def test_a_resumed_run_is_the_same(pack, whole_run, tmp_path, stop_after, killed_after):
    """Stopped after 7 steps, where no report is due, and killed on its way after another report."""
    result = image_codec.train(TINY, pack, tmp_path, callbacks=[stop_after(7)])
    assert result["step"] == 7
    with pytest.raises(KeyboardInterrupt):
        image_codec.train(TINY, pack, tmp_path, resume=True, callbacks=[killed_after(20)])
    assert entries(tmp_path, "loss")[-1]["step"] == 20
    result = image_codec.train(TINY, pack, tmp_path, resume=True)
    assert result["step"] == 30
    ours, theirs = (load_file(folder / WEIGHTS) for folder in (tmp_path, whole_run))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert [e["loss"] for e in entries(tmp_path, "loss")] == [e["loss"] for e in entries(whole_run, "loss")]
    before = (tmp_path / WEIGHTS).read_bytes()
    assert image_codec.train(TINY, pack, tmp_path, resume=True) == result  # nothing is left to do
    assert (tmp_path / WEIGHTS).read_bytes() == before


def test_weights_load_and_are_what_was_validated(pack, whole_run):
    path = whole_run / WEIGHTS
    network = load_network("balle2017", load_file(path))
    with safe_open(path, "pt") as file:
        about = file.metadata()
    assert about["network"] == "balle2017" and about["step"] == "30"
    assert json.loads(about["recipe"])["channels"] == [6]
    again = image_codec.validate(network, data.load_pack(pack).validation, range(1, 9))
    assert again == json.loads(about["validation"]) == entries(whole_run, "validation")[-1]["validation"]
    medians = network.entropy_bottleneck.solve_quantiles()[:, 1]
    torch.testing.assert_close(network.entropy_bottleneck.medians.double(), medians, rtol=1e-5, atol=1e-5)


def test_validation_measures_as_tables_do(pack, whole_run):
    from codeckit.metrics.distortion import psnr

    network, crops = load_network("balle2017", load_file(whole_run / WEIGHTS)), data.load_pack(pack).training[:3]
    (row,) = image_codec.validate(network, crops, [5])
    with torch.no_grad():
        out = network(crops.permute(0, 3, 1, 2) / 255, 5.0)
    pictures = (out.reconstruction * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    assert row["psnr"] == pytest.approx(
        np.mean([psnr(a.numpy(), b) for a, b in zip(crops, pictures, strict=True)]), abs=1e-3
    )
    assert row["bpp"] == pytest.approx(float(out.bits().sum()) / (3 * 96 * 96), rel=1e-3)


def test_medians_are_kept_up_to_date_once_latents_are_rounded(pack, tmp_path):
    seen = []

    class Record(Callback):
        def after_step(self, loop):
            prior = loop.task.network.entropy_bottleneck
            seen.append(torch.equal(prior.quantiles, prior.solve_quantiles()[:, None].float()))

    image_codec.train(replace(TINY, steps=10, rounded_after=0.5), pack, tmp_path, callbacks=[Record()])
    assert seen == [False] * 4 + [True] * 6  # step 5 is the first with rounded latents


def test_a_recipe_for_ms_ssim(tmp_path):
    """Its validation says what the metric says of the pictures."""
    crops = torch.stack([torch.from_numpy(image.load()[:192, 60:252].copy()) for image in dataset("sample")])
    small = replace(recipe("balle2017-ms-ssim"), channels=(6,), steps=2, batch=2, patch=176, report=2)
    result = image_codec.train(replace(small, adaptive_steps=2), data.Pack(crops, crops[:1]), tmp_path)
    row = result["validation"][4]
    network = load_network("balle2017", load_file(tmp_path / WEIGHTS))
    with torch.no_grad():
        picture = (network(crops[:1].permute(0, 3, 1, 2) / 255, 5.0).reconstruction[0] * 255).round()
    picture = picture.to(torch.uint8).permute(1, 2, 0).numpy()
    assert row["ms-ssim"] == pytest.approx(codeckit.metrics.ms_ssim(crops[0].numpy(), picture), abs=1e-4)


def test_training_starts_from_weights(pack, whole_run, tmp_path):
    start = whole_run / WEIGHTS
    still = replace(TINY, steps=1, learning_rate=0.0, entropy_rate=0.0)
    image_codec.train(still, pack, tmp_path / "run", start=start)
    ours, theirs = load_file(tmp_path / "run" / WEIGHTS), load_file(start)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    exported = export(load_network("balle2017", theirs), [], tmp_path / "file.safetensors", quality=(1, 8), half=True)
    image_codec.train(still, pack, tmp_path / "other", start=exported.path)
    ours = load_file(tmp_path / "other" / WEIGHTS)
    learned = [name for name, _ in load_network("balle2017", theirs).named_parameters()]
    assert all(torch.equal(ours[key], theirs[key].half().float()) for key in learned)
    assert float(ours["entropy_bottleneck.likelihood_lower_bound.bound"]) == pytest.approx(1e-9)  # 0 in 16 bits


def test_a_recipe_for_two_hundred_steps(pack, tmp_path):
    """What `codeckit train` makes of a small version of a recipe: the loss falls, and its weights code a picture."""
    small = replace(recipe("balle2017-small"), channels=(16,), steps=200, patch=64, prior_steps=10, adaptive_steps=20)
    image_codec.train(replace(small, batch=4, report=40, warmup=10, learning_rate=1e-3), pack, tmp_path)
    curve = [validation_loss(entry["validation"]) for entry in entries(tmp_path, "validation")]
    assert curve[-1] < 0.97 * curve[0]
    network = load_network("balle2017", load_file(tmp_path / WEIGHTS))
    image = data.load_pack(pack).validation[0].numpy()
    header = export_run(tmp_path, pack, tmp_path / "file.safetensors")
    assert header.quality == (1, 8) and header.note == "recipe balle2017-small, 200 of 200 steps"
    codec = codeckit.codec("balle2017", quality=5, weights=header.path)
    stream = codec.encode(image)
    (row,) = image_codec.validate(network, data.load_pack(pack).validation, [5])
    assert codeckit.metrics.psnr(image, codec.decode(stream)) == pytest.approx(row["psnr"], abs=0.3)
    assert 8 * len(stream) / 96**2 == pytest.approx(row["bpp"], rel=0.2)


def test_cheng2020_trains_in_the_same_loop(pack, tmp_path):
    """With noise, relaxed and rounded latents; crops of 96 are validated as pictures of 64, its stride."""
    tiny = replace(TINY, network="cheng2020", steps=12, report=6, relaxed_after=0.25, rounded_after=0.75)
    result = image_codec.train(tiny, pack, tmp_path)
    assert len(result["validation"]) == 8
    curve = [entry["loss"] for entry in entries(tmp_path, "loss")]
    assert np.mean(curve[-4:]) < np.mean(curve[:4])
    assert load_network("cheng2020", load_file(tmp_path / WEIGHTS)).gain.levels == 8


def test_a_run_with_more_latents(pack, tmp_path):
    """It begins with the weights of a run with fewer of them, and not the other way round."""
    few = replace(TINY, network="cheng2020", channels=(6,), patch=64, steps=2, report=2)
    image_codec.train(few, pack, tmp_path / "few")
    more = replace(few, channels=(6, 9))
    image_codec.train(more, pack, tmp_path / "more", start=tmp_path / "few" / WEIGHTS)
    assert load_network("cheng2020", load_file(tmp_path / "more" / WEIGHTS)).gain.log_gain.shape == (8, 9)
    with pytest.raises(ValueError, match="has 9 latents a position, the recipe tiny 6"):
        image_codec.train(few, pack, tmp_path / "fewer", start=tmp_path / "more" / WEIGHTS)


def test_a_run_with_more_deep_channels(pack, tmp_path):
    """Likewise."""
    few = replace(TINY, network="cheng2020", channels=(6, 9), patch=64, steps=2, report=2, rounded_after=0)
    image_codec.train(few, pack, tmp_path / "few")
    more = replace(few, channels=(6, 9, 8))
    image_codec.train(more, pack, tmp_path / "more", start=tmp_path / "few" / WEIGHTS)
    wide = load_network("cheng2020", load_file(tmp_path / "more" / WEIGHTS))
    assert wide.g_a[5].conv1.out_channels == wide.g_s[2].conv.out_channels == 8
    with pytest.raises(ValueError, match="has 8 deep channels, the recipe tiny 6"):
        image_codec.train(few, pack, tmp_path / "fewer", start=tmp_path / "more" / WEIGHTS)


def test_a_run_with_details(pack, tmp_path):
    """Likewise; their number is then what it is."""
    few = replace(TINY, network="cheng2020", channels=(6, 9), patch=64, steps=2, report=2, rounded_after=0)
    image_codec.train(few, pack, tmp_path / "few")
    more = replace(few, channels=(6, 9, 6, 5), relaxed_after=0, rounded_after=1)
    image_codec.train(more, pack, tmp_path / "more", start=tmp_path / "few" / WEIGHTS)
    weights = tmp_path / "more" / WEIGHTS
    assert load_network("cheng2020", load_file(weights)).d_a[1].out_channels == 5
    image_codec.train(more, pack, tmp_path / "again", start=weights)
    for other in (few, replace(more, channels=(6, 9, 6, 7))):
        with pytest.raises(ValueError, match="has 5 details, the recipe tiny"):
            image_codec.train(other, pack, tmp_path / "other", start=weights)


def test_the_mean_of_runs(pack, tmp_path):
    """Of each weight by shares; quantiles anew, for theirs would not be those of the mean."""
    tiny = replace(TINY, network="cheng2020", steps=3, report=3)
    runs = [tmp_path / name for name in "ab"]
    for seed, run in enumerate(runs):
        image_codec.train(replace(tiny, seed=seed), pack, run, start=runs[0] / WEIGHTS if seed else None)
    first, second = (load_file(run / WEIGHTS) for run in runs)
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
    image_codec.train(replace(tiny, seed=2), pack, tmp_path / "c", start=out)


def test_a_mean_with_what_ships(pack, whole_run, tmp_path):
    exported, out = tmp_path / "exported.safetensors", tmp_path / "mean.safetensors"
    export_run(whole_run, pack, exported)
    weights = load_file(whole_run / WEIGHTS)
    for key, value in average([exported, whole_run], out).items():
        torch.testing.assert_close(value, weights[key], rtol=1e-3, atol=1e-3)
    with safe_open(out, "pt") as file, safe_open(whole_run / WEIGHTS, "pt") as run:
        assert file.metadata()["recipe"] == run.metadata()["recipe"]
    with pytest.raises(ValueError, match="a mean takes its recipe from a run"):
        average([exported, exported], out)


def test_errors_of_means(pack, whole_run, tmp_path):
    other, out = tmp_path / "other", tmp_path / "mean.safetensors"
    image_codec.train(replace(TINY, channels=(5,), steps=1), pack, other)
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
    result = image_codec.train(replace(TINY, steps=2, qualities=(3, 3)), pack, tmp_path)
    assert [row["quality"] for row in result["validation"]] == [3]


def test_errors_of_runs(pack, whole_run, tmp_path):
    with pytest.raises(ValueError, match="holds a run; resume it"):
        image_codec.train(TINY, pack, whole_run)
    with pytest.raises(ValueError, match="belongs to another recipe"):
        image_codec.train(replace(TINY, steps=31), pack, whole_run, resume=True)
    with pytest.raises(ValueError, match="mbt2018 has one rate, so a recipe has one whole quality, not 1 … 8"):
        image_codec.train(replace(TINY, network="mbt2018", channels=(6, 6)), pack, tmp_path)
    with pytest.raises(ValueError, match="balle2017 has the qualities 1 … 8, not 1 … 9"):
        image_codec.train(replace(TINY, qualities=(1, 9)), pack, tmp_path)
    with pytest.raises(ValueError, match="adaptive_steps are for balle2017"):
        image_codec.train(replace(HYPERPRIOR, adaptive_steps=1), pack, tmp_path)
    with pytest.raises(ValueError, match="relaxed_after is for cheng2020, not for balle2017"):
        image_codec.train(replace(TINY, relaxed_after=0.5), pack, tmp_path)
    with pytest.raises(ValueError, match="patches of balle2017 are multiples of 16, not 72"):
        image_codec.train(replace(TINY, patch=72), pack, tmp_path)
    with pytest.raises(ValueError, match="128 pixels a side, the pack's crops only 96"):
        image_codec.train(replace(TINY, patch=128), pack, tmp_path)
    with pytest.raises(ValueError, match="has 6 channels, the recipe tiny 8"):
        image_codec.train(replace(TINY, channels=(8,)), pack, tmp_path, start=whole_run / WEIGHTS)
    with pytest.raises(ValueError, match="no weights of cheng2020"):
        image_codec.train(replace(TINY, network="cheng2020"), pack, tmp_path, start=whole_run / WEIGHTS)
    with pytest.raises(ValueError, match="is no file of weights"):
        image_codec.train(TINY, pack, tmp_path, start=whole_run / LOG)
    with pytest.raises(ValueError, match="not 'tpu'"):
        image_codec.train(TINY, pack, tmp_path, device="tpu")


def test_a_network_of_one_rate(pack, tmp_path):
    """From random weights to streams: it learns with the λ of its quality, and its file makes a codec."""
    before = dict(image_codec.build(HYPERPRIOR).state_dict())
    task = image_codec.ImageCodec(HYPERPRIOR, pack, Processes(torch.device("cpu")))
    assert all(torch.equal(value, before[key]) for key, value in task.network.state_dict().items())
    assert task.objective.lambdas[2] == 0.0067
    result = image_codec.train(HYPERPRIOR, pack, tmp_path / "run")
    assert [row["quality"] for row in result["validation"]] == [3]
    curve = [entry["loss"] for entry in entries(tmp_path / "run", "loss")]
    assert np.mean(curve[-5:]) < 0.7 * np.mean(curve[:5])
    header = export_run(tmp_path / "run", pack, tmp_path / "file.safetensors")
    assert header.architecture == "bmshj2018-hyperprior" and header.quality == (3, 3)
    codec = codeckit.codec("bmshj2018-hyperprior", weights=header.path)
    assert codec.setting["quality"] == 3
    image = data.load_pack(pack).validation[0].numpy()
    stream = codec.encode(image)
    assert codeckit.metrics.psnr(image, codec.decode(stream)) == pytest.approx(result["validation"][0]["psnr"], abs=2)
    with pytest.raises(ValueError, match="has 6, 8 channels"):
        wider = replace(HYPERPRIOR, channels=(6, 9))
        image_codec.train(wider, pack, tmp_path / "other", start=tmp_path / "run" / WEIGHTS)


@pytest.mark.parametrize("name", sorted(set(NETWORKS) - set(NAMES)))
def test_networks_without_a_recipe(name, pack, tmp_path):
    """Their classes make one; all stand-ins for rounding that it may have are taken."""
    full, small = recipe(name), recipe(name, small=True)
    assert full.network == name and full.channels in NETWORKS[name].CHANNELS
    assert small.channels == NETWORKS[name].SMALL
    with torch.device("meta"):
        assert image_codec.build(full).training
    tiny = replace(small, steps=2, batch=1, patch=64, prior_steps=1, report=2, rounded_after=0.5)
    rows = image_codec.train(tiny, pack, tmp_path)["validation"]
    assert all(np.isfinite(row["bpp"]) for row in rows)


def test_errors_of_recipes():
    with pytest.raises(ValueError, match="balle2017-small is a recipe"):
        recipe("balle2017-small", small=True)
    with pytest.raises(ValueError, match="cheng2020-anchor has the qualities 1 … 6, not 7"):
        recipe("cheng2020-anchor", quality=7)
    with pytest.raises(ValueError, match="cheng2020-checkerboard has all rates in one network"):
        recipe("cheng2020-checkerboard", quality=7)
    with pytest.raises(ValueError, match="'balle'; there are balle2017"):
        recipe("balle")


@pytest.mark.parametrize("name", [name for name in NAMES if recipe(name).trainer == "image_codec"])
def test_recipes_fit_their_networks(name):
    found = recipe(name)
    assert found.name == name
    with torch.device("meta"):
        network = image_codec.build(found)
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
