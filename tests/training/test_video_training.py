"""Networks of video in the loop: small runs learn by the command, resume exactly, and become codecs."""

import json
from dataclasses import replace
from importlib import import_module

import codeckit
import numpy as np
import pytest
import torch
from codeckit.cli import main
from codeckit.codecs.learned_video.weights import register_weights
from codeckit.training import full_video, video_codec, video_export
from codeckit.training.callbacks import WEIGHTS, Callback
from codeckit.training.full_video import FullVideo
from codeckit.training.processes import Processes
from codeckit.training.recipes import recipe
from codeckit.training.sequences import Sequences, load_sequences, write_sequences
from safetensors.torch import load_file

CPU = Processes(torch.device("cpu"))


def write_clip(path, seed, frames=7, side=72):
    """A clip of a random texture that moves by whole pixels."""
    import av

    rng = np.random.default_rng(seed)
    texture = np.kron(rng.integers(40, 216, (16, 16, 3)), np.ones((8, 8, 1), int)).astype(np.uint8)
    down, right = rng.integers(1, 4, 2)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"crf": "10", "preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = side, side, "yuv444p"
        for t in range(frames):
            pixels = np.ascontiguousarray(texture[down * t :, right * t :][:side, :side])
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        file.mux(stream.encode())


@pytest.fixture(scope="module")
def sequences(tmp_path_factory):
    """A pack of two sequences of clips, and one that is held out."""
    folder = tmp_path_factory.mktemp("clips")
    for number, name in enumerate("abc"):
        write_clip(folder / f"{name}.mp4", number)
    path = folder / "sequences.safetensors"
    write_sequences([folder], path, crop=64, held_out=1)
    return path


@pytest.fixture(scope="module")
def runs(sequences, tmp_path_factory):
    """The folders of two steps of each network, trained by the command."""
    folder = tmp_path_factory.mktemp("runs")

    def trained(name):
        out = folder / name
        if not out.exists():
            assert main([*command(name, sequences, out)]) == 0
        return out

    return trained


def command(name, data, out):
    return ["train", name, "--data", str(data), "--out", str(out), "--small", "--steps", "2", "--device", "cpu"]


@pytest.mark.parametrize("name", ["dvc", "dcvc", "motion", "dvc-full", "dcvc-full"])
def test_the_command(name, runs, sequences, capsys):
    out = runs(name)
    capsys.readouterr()
    assert main([*command(name, sequences, out), "--resume", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["step"] == 2
    assert all(row["bpp"] > 0 and 5 < row["psnr"] < 50 for row in result["validation"])
    assert main(command(name, sequences, out)) == 2 and "holds a run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "steps", "stop"),
    [("dvc", 12, 6), ("dcvc", 12, 6), ("motion", 4, 3), ("dvc-full", 9, 8), ("dcvc-full", 9, 8)],
)
def test_a_resumed_run_is_the_same(name, steps, stop, sequences, tmp_path, stop_after):
    """Learned codecs stop between chains, the full-size ones within one."""
    small = replace(recipe(name, small=True), steps=steps, report=100)
    train = import_module(f"codeckit.training.{small.trainer}").train
    pack = load_sequences(sequences)
    whole = train(small, pack, tmp_path / "whole", device="cpu")
    halted = train(small, pack, tmp_path / "parts", device="cpu", callbacks=[stop_after(stop)])
    assert halted["step"] == stop
    assert train(small, pack, tmp_path / "parts", device="cpu", resume=True) == whole
    one, other = (load_file(tmp_path / folder / WEIGHTS) for folder in ("whole", "parts"))
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", ["dvc", "dcvc"])
def test_an_exported_run_is_a_codec(name, runs, sequences, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(video_export, "_PRACTISED", (24,))
    path = tmp_path / "weights.safetensors"
    video_export.main([str(runs(name)), "--data", str(sequences), "--out", str(path), "--note", "a test"])
    assert f"{path}: {name}, " in capsys.readouterr().out
    register_weights(path)
    frames = load_sequences(sequences).validation.frames[0, :3].numpy()
    stream = codeckit.codec(name, quality=4, weights=path).encode_video(frames, fps=25)
    decoded = np.stack(list(codeckit.decode_video(stream)))
    assert decoded.shape == frames.shape
    assert np.square(decoded.astype(float) - frames).mean((1, 2, 3)).max() < 800  # of random textures: 255²/12


def test_a_dvc_begins_a_dcvc(runs, sequences):
    small = recipe("dcvc", small=True)
    task = video_codec.VideoCodec(small, sequences, CPU, start=runs("dvc"))
    dvc = video_codec.NETWORKS["dvc"](*small.channels)
    dvc.load_state_dict(load_file(runs("dvc") / WEIGHTS))
    arguments = (*(255 * torch.rand(3, 1, 3, 64, 64)), torch.tensor([4.0]))
    with torch.no_grad():
        expected, found = (network.eval()(*arguments).reconstruction for network in (dvc, task.network))
    assert torch.allclose(expected, found, atol=1e-3)


class Watch(Callback):
    """Notes the phase of every step, and whether its reference is what the step before decoded."""

    def __init__(self):
        self.phases, self.follows, self.decoded = [], [], None

    def before_step(self, loop):
        task, take = loop.task, type(loop.task).batch

        def batch(rng, step):
            x, reference, phase = take(task, rng, step)
            self.phases.append(phase.name)
            self.follows.append(self.decoded is not None and torch.equal(reference, self.decoded))
            return x, reference, phase

        task.batch = batch

    def after_step(self, loop):
        self.decoded = loop.task.objective.decoded.clone()


def test_phases_and_chains(sequences, tmp_path):
    watch = Watch()
    small = replace(recipe("dcvc-full", small=True), steps=15, report=100)
    full_video.train(small, sequences, tmp_path, device="cpu", callbacks=[watch])
    counts = {name: watch.phases.count(name) for name in watch.phases}
    assert counts == {"flow": 1, "motion": 1, "reconstruction": 2, "coding": 3, "all": 3, "chains": 5}
    # The last phase begins in step 10, its first chain in step 12.
    assert [step for step, follows in enumerate(watch.follows) if follows] == [13, 14]


def test_a_trained_network_begins_with_chains(runs, sequences, tmp_path, stop_after):
    small = replace(recipe("dvc-full", quality=3, small=True), steps=5)
    watches = [Watch(), Watch()]
    start = {"start": runs("dvc-full"), "device": "cpu"}
    full_video.train(small, sequences, tmp_path, **start, callbacks=[watches[0], stop_after(3)])
    full_video.train(small, sequences, tmp_path, device="cpu", resume=True, callbacks=[watches[1]])
    assert {phase for watch in watches for phase in watch.phases} == {"chains"}
    assert watches[0].follows == [False, True, True]


def test_processes_that_resume_wait_for_new_chains(sequences):
    """A checkpoint has the decoded frames of the first process alone."""
    small = replace(recipe("dvc-full", small=True), steps=600, batch=2)
    task = FullVideo(small, sequences, Processes(torch.device("cpu"), rank=1, count=2))
    task.objective.decoded.fill_(7)
    rng = np.random.default_rng(0)
    follows = [bool((task.batch(rng, step)[1] == 7).all()) for step in range(303, 314)]
    assert follows == [False] * 4 + [True] * 5 + [False, True]


def test_frames_of_a_chain_are_those_of_a_sequence(sequences):
    """They come from clips and from photographs, and the still codec codes the first."""
    pack = load_sequences(sequences)
    grey = Sequences(torch.full((1, 7, 64, 64, 3), 128, dtype=torch.uint8))
    task = FullVideo(recipe("dvc-full", small=True), replace(pack, synthetic=grey), CPU)
    rng, origins = np.random.default_rng(0), set()
    for first in range(599_400, 599_460, 6):
        chain = task.cut(first, 7)
        origins.add(bool((chain == 128).all()))
        for place in range(6):
            x, reference, _ = task.batch(rng, first + place)
            assert torch.equal(x, chain[place + 1])
            if place == 0:
                error = (reference.float() - chain[0].float()).square().mean()
                assert error < 400 and not torch.equal(reference, chain[0])
    assert origins == {True, False}


def test_errors_of_full_size_runs(runs, sequences, tmp_path):
    small = recipe("dvc-full", small=True)
    with pytest.raises(ValueError, match="dvc-full has the qualities 3, 4, 5, 6, not 7"):
        FullVideo(recipe("dvc-full", quality=7, small=True), sequences, CPU)
    with pytest.raises(ValueError, match="chains have 7 frames of 128 pixels a side, the pack's sequences 7 of 64"):
        FullVideo(replace(small, patch=128), sequences, CPU)
    with pytest.raises(ValueError, match="a batch of 1 cannot be shared by 2 processes evenly"):
        FullVideo(small, sequences, Processes(torch.device("cpu"), count=2))
    with pytest.raises(ValueError, match="is a run of dvc, not of dvc-full"):
        FullVideo(small, sequences, CPU, start=runs("dvc"))
    with pytest.raises(ValueError, match="has other channels than the recipe"):
        FullVideo(replace(small, channels=(6, 6, 8)), sequences, CPU, start=runs("dvc-full"))
    with pytest.raises(ValueError, match="dvc is a recipe, with qualities of its own"):
        recipe("dvc", quality=3)
