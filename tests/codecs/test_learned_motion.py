"""Learned motion: symbols through bytes, predictions in integers, weight files, and its training."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch
from codeckit.codecs.learned_video import learned_motion
from codeckit.codecs.learned_video.learned_motion import (
    LearnedField,
    LearnedMotion,
    export_motion,
    load_motion,
    register_motion,
)
from codeckit.codecs.learned_video.motion_network import MotionNetwork, upsampled, warp
from codeckit.primitives import StreamError
from codeckit.primitives.stage import from_spec, spec
from codeckit.training import motion as training
from codeckit.training.adaptive_rate import AdaptiveRate
from codeckit.training.processes import Processes
from codeckit.training.recipes import recipe
from codeckit.training.sequences import SequencePack, Sequences
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

CHANNELS = 6


def frames(count=2, height=32, width=48, seed=0):
    """A texture that moves two pixels to the left a frame."""
    rng = np.random.default_rng(seed)
    texture = rng.integers(0, 256, (height // 4, (width + 2 * count) // 4 + 1, 3), np.uint8)
    texture = texture.repeat(4, 0).repeat(4, 1)
    return np.stack([texture[:, 2 * n : 2 * n + width] for n in range(count)])


def network():
    """A network whose latents are not all zero, with weights that 16 bits hold."""
    torch.manual_seed(1)
    made = MotionNetwork(CHANNELS, 8, 8)
    with torch.no_grad():
        for level in made.flow:
            level[-1].weight.normal_(0, 0.05)
        made.g_a[-1].weight.normal_(0, 0.1)
        made.g_s[-1].weight.normal_(0, 0.1)
    return made


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "motion.safetensors"
    export_motion(network(), [frames(3), frames(3, seed=1)], path, note="random")
    return path


@pytest.fixture(scope="module")
def stage(path):
    return LearnedMotion(register_motion(path))


def fields(seed, rows, columns, count, most):
    rng = np.random.default_rng(seed)
    scale = np.exp(rng.normal(0, 1, CHANNELS)) * most
    return [
        LearnedField(
            int(rng.integers(57)),
            np.rint(rng.laplace(0, scale, (rows, columns, CHANNELS))).clip(-(2**31), 2**31 - 1).astype(np.int32),
        )
        for _ in range(count)
    ]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 5), st.sampled_from([0.1, 2, 1000, 1e8]))
def test_fields_through_bytes(stage, seed, rows, columns, most):
    memory, again = {}, {}
    for motion in fields(seed, rows, columns, 3, most):
        restored = stage.unpack(stage.pack(motion, memory), (rows, columns), again)
        assert restored.level == motion.level
        assert (restored.symbols == motion.symbols).all()


def test_statistics_go_on(stage):
    motion, memory = fields(0, 8, 8, 1, 3)[0], {}
    first, second = (len(stage.pack(motion, memory)) for _ in range(2))
    assert second < first


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_damage_is_told_or_gives_a_prediction(stage, seed):
    """The coder has no check of its own: damage is told, or other motion is decoded, of which a prediction is made."""
    rng = np.random.default_rng(seed)
    data = bytearray(stage.pack(fields(seed, 2, 3, 1, 3)[0], {}))
    data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    try:
        motion = stage.unpack(bytes(data[: rng.integers(len(data) + 1)]), (2, 3), {})
    except StreamError:
        return
    assert stage.predict(frames()[0], motion).shape == (32, 48, 3)


@pytest.mark.parametrize("data", [b"", b"\x39", b"\xff" + bytes(20)])
def test_no_level_is_told(stage, data):
    with pytest.raises(StreamError, match="gain level"):
        stage.unpack(data, (2, 3), {})


def test_cut_symbols_are_told(stage):
    data = stage.pack(fields(3, 6, 6, 1, 5)[0], {})
    with pytest.raises(StreamError, match="cut"):
        stage.unpack(data[: len(data) // 2], (6, 6), {})


def test_the_largest_symbols_have_a_prediction(stage):
    symbols = np.full((2, 3, CHANNELS), 2**31 - 1, np.int32)
    flow = load_motion(learned_motion._registered[stage.weights]).flow(LearnedField(56, symbols))
    assert np.abs(flow).max() <= 2 * learned_motion.REACH << 8
    assert stage.predict(frames()[0], LearnedField(0, -symbols)).dtype == np.uint8


@pytest.mark.parametrize("quality", [1, 4.5, 8])
def test_integers_are_the_network(stage, path, quality):
    """Vectors within a hundredth of a pixel of the floats', predictions near theirs."""
    reference, frame = frames()
    motion = stage.estimate(frame, reference, None, quality)
    floats = load_motion(path).network
    y = torch.from_numpy(motion.symbols).permute(2, 0, 1)[None].float()
    flow = floats.synthesis(y, 1 + motion.level / 8)
    assert np.abs(stage.vectors(motion) - flow[0].permute(1, 2, 0).numpy()).max() < 0.01
    wanted = warp(torch.from_numpy(reference).permute(2, 0, 1)[None].float(), upsampled(flow, 4), "bicubic")
    assert np.abs(stage.predict(reference, motion) - wanted[0].permute(1, 2, 0).numpy()).mean() < 3


def test_threads_change_nothing(stage, path):
    """Other processes with one and with two threads decode the same prediction."""
    reference, frame = frames(height=64, width=96)
    motion = stage.estimate(frame, reference, None, 6)
    data = stage.pack(motion, {})
    code = (
        "import sys, zlib, numpy as np, torch\n"
        "from codeckit.codecs.learned_video.learned_motion import LearnedMotion, register_motion\n"
        "torch.set_num_threads(int(sys.argv[2]))\n"
        "stage = LearnedMotion(register_motion(sys.argv[1]))\n"
        "reference = np.frombuffer(sys.stdin.buffer.read(64 * 96 * 3), np.uint8).reshape(64, 96, 3)\n"
        "motion = stage.unpack(sys.stdin.buffer.read(), (4, 6), {})\n"
        "sys.stdout.buffer.write(stage.predict(reference, motion).tobytes())\n"
    )
    wanted = stage.predict(reference, motion).tobytes()
    for threads in "12":
        command = [sys.executable, "-c", code, str(path), threads]
        assert subprocess.run(command, input=reference.tobytes() + data, capture_output=True).stdout == wanted


def test_streams_name_the_weights(stage):
    assert spec(stage) == ["codeckit:LearnedMotion@1", {"weights": stage.weights}]
    assert from_spec(spec(stage)) == stage
    unknown = LearnedMotion("00000000")
    with pytest.raises(StreamError, match="not known here"):
        unknown.predict(frames()[0], fields(0, 2, 3, 1, 1)[0])


def test_misuse_is_told(stage):
    reference, frame = frames()
    with pytest.raises(ValueError, match="multiples of 16"):
        stage.estimate(frame[:30], reference[:30], None, 4)
    with pytest.raises(ValueError, match="from 1 to 8"):
        stage.estimate(frame, reference, None, 9)
    with pytest.raises(ValueError, match="not of a model"):
        stage.pack(LearnedField(57, np.zeros((2, 3, CHANNELS), np.int32)), {})
    with pytest.raises(ValueError, match="typical inputs"):
        export_motion(network(), [], "nowhere.safetensors")


def test_damaged_files_are_told(path, tmp_path):
    tensors = load_file(path)
    tensors["steps"][0, 0] += 1
    save_file(tensors, tmp_path / "other.safetensors", {"format": learned_motion.FORMAT, "fingerprint": "00000000"})
    with pytest.raises(ValueError, match="damaged"):
        load_motion(tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"lack|damaged"):
        learned_motion.MotionModel.from_tensors({})


@pytest.fixture(scope="module")
def pack():
    moving = torch.from_numpy(np.stack([frames(7, 64, 64, seed) for seed in range(6)]))
    return SequencePack(Sequences(moving[:4]), Sequences(moving[4:5]), Sequences(moving[5:]))


def short(**changes):
    """A recipe for tests."""
    settings = {"channels": (8, 8, 8), "batch": 2, "patch": 48, "warmup": 1, "report": 100, "learning_rate": 3e-3}
    return dataclasses.replace(recipe("motion"), **{**settings, **changes})


def test_the_flow_learns_without_labels(pack, tmp_path):
    chosen = short(steps=60, flow_steps=60)
    still = training.MotionTask(chosen, pack, Processes(torch.device("cpu")))
    before = still.validate(still.network.eval())
    after = training.train(chosen, pack, tmp_path)["validation"]
    assert [row["quality"] for row in after] == [2, 4, 6]
    assert after[2]["flow_psnr"] > before[2]["flow_psnr"] + 1


def test_an_interrupted_run_ends_alike(pack, tmp_path):
    """All phases run."""
    chosen = short(steps=6, flow_steps=2, autoencoder_steps=2, report=3)
    result = training.train(chosen, pack, tmp_path / "whole")
    training.train(chosen, pack, tmp_path / "parts", minutes=1e-9)
    assert training.train(chosen, pack, tmp_path / "parts", resume=True) == result
    with pytest.raises(ValueError, match="holds a run"):
        training.train(chosen, pack, tmp_path / "whole")
    begun = training.train(chosen, pack, tmp_path / "begun", minutes=1e-9, start=tmp_path / "whole/weights.safetensors")
    assert begun["step"] == 0
    assert begun["validation"][0]["psnr"] == result["validation"][0]["psnr"]


def test_the_rate_counts_what_neighbours_foretell():
    torch.manual_seed(0)
    rate = training.MotionRate(2, levels=8)
    plain = AdaptiveRate(2, levels=8)
    y, quality = torch.full((1, 2, 6, 6), 5.0), torch.tensor([3.0])
    with torch.no_grad():
        plain.base.copy_(rate.base)
        rate.trust.fill_(10)
        assert rate.bits(y, quality) < 0.7 * plain.bits(y, quality)


def test_references_are_coarser_at_low_qualities():
    picture = torch.from_numpy(frames()[:1]).permute(0, 3, 1, 2).float() / 255
    errors = [
        float((training.coarser(picture, torch.tensor([quality]), np.random.default_rng(0)) - picture).abs().mean())
        for quality in (2.0, 5.0, 8.0)
    ]
    assert errors[0] > errors[1] > errors[2] > 0
