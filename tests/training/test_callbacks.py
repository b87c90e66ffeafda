"""The loop and its callbacks, each on a task small enough to be followed by hand."""

import json
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
import torch
from codeckit.training import callbacks
from codeckit.training.callbacks import (
    CHECKPOINT,
    LOG,
    WEIGHTS,
    Average,
    Callback,
    Clip,
    Curve,
    LearningRate,
    Means,
    Progress,
    Seeding,
    TimeLimit,
)
from codeckit.training.loop import Loop, Task, run
from codeckit.training.processes import Processes
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn


@dataclass(frozen=True)
class Recipe:
    steps: int = 40
    report: int = 12
    seed: int = 0


class Terms(NamedTuple):
    loss: Tensor
    odd: Tensor | None


class Line(nn.Module):
    """y = a·x + b, of normalized x, with noise of torch's own."""

    def __init__(self):
        super().__init__()
        self.norm, self.linear = nn.BatchNorm1d(1), nn.Linear(1, 1)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, x, y, step):
        self.calls += 1
        loss = (self.linear(self.norm(x)) - y + 0.1 * torch.randn_like(y)).square().mean()
        return Terms(loss, torch.tensor(float(step)) if step % 2 else None)


class Fit(Task):
    def __init__(self, rate=0.05):
        torch.manual_seed(0)
        self.objective = Line()
        self.optimizer = torch.optim.AdamW([{"params": self.objective.parameters(), "peak": rate}], weight_decay=0.0)
        self.validated = []

    def batch(self, rng, step):
        x = torch.from_numpy(rng.normal(2, 3, (16, 1))).float()
        return x, 3 * x + 1, step

    def validate(self, network):
        self.validated.append(network)
        return {"slope": round(network.linear.weight.item(), 6)}

    def metadata(self):
        return {"kind": "line"}


def rules(task, recipe):
    return [
        Seeding(recipe.seed, noise=True),
        LearningRate(recipe.steps, warmup=4),
        Clip(1.0),
        Average(task.objective, 0.9),
    ]


def trained(folder, recipe=Recipe(), **settings):
    task = Fit()
    return task, run(task, recipe, rules(task, recipe), folder, **settings)


class Record(Callback):
    """What is seen at each moment."""

    def __init__(self, see=lambda loop: None):
        self.moments, self.see, self.seen = [], see, []

    def begin(self, loop):
        self.moments.append("begin")

    def before_step(self, loop):
        self.moments.append(("before_step", loop.step))

    def after_backward(self, loop):
        self.moments.append(("after_backward", loop.step))

    def after_step(self, loop):
        self.moments.append(("after_step", loop.step))
        self.seen.append(self.see(loop))

    def end(self, loop):
        self.moments.append("end")


# --- the loop


def test_moments_come_in_order():
    record = Record()
    Loop(Fit(), 2, [Seeding(0), record]).run()
    steps = [[("before_step", n), ("after_backward", n), ("after_step", n + 1)] for n in range(2)]
    assert record.moments == ["begin", *steps[0], *steps[1], "end"]


def test_a_stopped_loop_takes_no_step(stop_after):
    task = Fit()
    loop = Loop(task, 10, [Seeding(0), stop_after(3)])
    loop.run()
    assert loop.step == 3 and int(task.objective.calls) == 3


def test_bfloat16_is_autocast():
    kinds = []

    class Half(Fit):
        def __init__(self):
            super().__init__()
            line = self.objective
            line.linear.register_forward_hook(lambda module, inputs, output: kinds.append(output.dtype))

    for bfloat16 in (False, True):
        Loop(Half(), 1, [Seeding(0)], bfloat16=bfloat16).run()
    assert kinds == [torch.float32, torch.bfloat16]


# --- runs


def test_a_resumed_run_is_an_uninterrupted_one(tmp_path, stop_after, killed_after):
    """Stopped where no checkpoint is due, then killed after one: parameters, average, log and result are the same."""
    whole, result = trained(tmp_path / "whole")
    assert result["step"] == 40
    _, stopped = trained(tmp_path / "parts", callbacks=[stop_after(7)])
    assert stopped["step"] == 7
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "parts", callbacks=[killed_after(30)])
    task, again = trained(tmp_path / "parts")
    assert again == result
    for name, value in whole.objective.state_dict().items():
        assert torch.equal(value, task.objective.state_dict()[name])
    ours, theirs = (load_file(tmp_path / name / WEIGHTS) for name in ("parts", "whole"))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in theirs)

    def lines(name):
        entries = [json.loads(line) for line in (tmp_path / name / LOG).read_text().splitlines()]
        return [(entry["step"], entry["loss"]) for entry in entries if "loss" in entry]

    # The stop after 7 steps came between two entries, so that the mean at 8 is of one step.
    assert [line for line in lines("parts") if line[0] != 8] == [line for line in lines("whole") if line[0] != 8]


def test_a_finished_run_is_left_alone(tmp_path):
    _, result = trained(tmp_path)
    before = {path: (tmp_path / path).read_bytes() for path in (CHECKPOINT, WEIGHTS, LOG)}
    task, again = trained(tmp_path)
    assert again == result and not task.validated
    assert all((tmp_path / path).read_bytes() == content for path, content in before.items())


def test_a_checkpoint_is_of_its_recipe_and_version(tmp_path):
    trained(tmp_path)
    with pytest.raises(ValueError, match="holds a run; resume it"):
        trained(tmp_path, resume=False)
    with pytest.raises(ValueError, match=r'another recipe: \{"steps": 40'):
        trained(tmp_path, Recipe(seed=1))
    state = torch.load(tmp_path / CHECKPOINT)
    state["network"] = state.pop("objective")
    torch.save(state, tmp_path / CHECKPOINT)
    with pytest.raises(ValueError, match="another version of codeckit"):
        trained(tmp_path)


def test_weights_are_the_average_and_say_where_they_come_from(tmp_path):
    task, result = trained(tmp_path)
    assert len(task.validated) == 4 and not task.validated[-1].training
    weights = load_file(tmp_path / WEIGHTS)
    assert all(torch.equal(weights[key], value) for key, value in task.validated[-1].state_dict().items())
    assert not torch.equal(weights["linear.weight"], task.objective.linear.weight)
    with safe_open(tmp_path / WEIGHTS, "pt") as file:
        about = file.metadata()
    assert about["kind"] == "line" and about["step"] == "40"
    assert json.loads(about["recipe"]) == {"steps": 40, "report": 12, "seed": 0}
    assert json.loads(about["validation"]) == result["validation"]


def test_validations_and_means_are_logged(tmp_path):
    (tmp_path / LOG).write_text("of another run, whose checkpoint was deleted\n")
    trained(tmp_path)
    entries = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [entry["step"] for entry in entries if "validation" in entry] == [12, 24, 36, 40]
    assert [entry["step"] for entry in entries if "loss" in entry] == list(range(2, 41, 2))


# --- callbacks


def test_seeding_makes_a_step_from_its_number():
    def drawn(loop):
        return loop.rng.random(), torch.rand(()).item()

    def runs(seed, noise, steps):
        record = Record(drawn)
        Loop(Fit(), steps, [Seeding(seed, noise=noise), record]).run()
        return record.seen

    torch.manual_seed(5)
    whole = runs(1, True, 4)
    torch.manual_seed(6)
    assert whole[:3] == runs(1, True, 3) and len(set(whole)) == 4
    assert whole[0] != runs(2, True, 1)[0]
    torch.manual_seed(7)
    assert whole[0][1] != runs(1, False, 1)[0][1]


def test_learning_rates_rise_and_fall():
    task = Fit()
    task.optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))], "peak": 0.5})
    record = Record(lambda loop: [group["lr"] for group in loop.task.optimizer.param_groups])
    Loop(task, 40, [Seeding(0), LearningRate(40, warmup=4), record]).run()
    first, second = np.array(record.seen).T
    assert second == pytest.approx(10 * first)
    assert second[0] == pytest.approx(0.125, rel=1e-2) and second.argmax() == 3
    assert second[20] == pytest.approx(0.5 * 0.505) and second[39] == pytest.approx(0.5 * 0.01, rel=0.2)
    assert np.all(np.diff(second[3:]) < 0)
    assert callbacks.half_cosine(40, 40, 4, final=0.0) == pytest.approx(0, abs=1e-12)
    assert callbacks.half_cosine(0, 0, 0) == 1  # a training of one step


@pytest.mark.parametrize("limit", [0.5, 1e9])
def test_clipping(limit):
    norms = []

    class Norms(Callback):
        def after_backward(self, loop):
            gradients = [parameter.grad for parameter in loop.task.objective.parameters()]
            norms.append(math.sqrt(sum(float(gradient.square().sum()) for gradient in gradients)))

    Loop(Fit(), 1, [Seeding(0), Norms(), Clip(limit), Norms()]).run()
    before, after = norms
    assert before > 1 and after == pytest.approx(min(before, limit), rel=1e-4)


def test_the_average_follows_weights_and_statistics():
    """After n steps the decay is n/(9 + n), at most the one given; whole numbers are copied."""
    task = Fit()
    average = Average(task.objective, 0.2)
    start = {key: value.clone() for key, value in task.objective.state_dict().items()}
    record = Record(lambda loop: {key: value.clone() for key, value in loop.task.objective.state_dict().items()})
    loop = Loop(task, 3, [Seeding(0), average, record])
    loop.run()
    expected = start
    for decay, values in zip((0.1, 2 / 11, 0.2), record.seen, strict=True):
        for key, value in values.items():
            floats = value.is_floating_point()
            expected[key] = decay * expected[key] + (1 - decay) * value if floats else value
    torch.testing.assert_close(dict(loop.average.state_dict()), expected)
    assert int(loop.average.calls) == 3 and float(loop.average.norm.running_mean) != 0
    assert not any(parameter.requires_grad for parameter in loop.average.parameters())


def test_means_are_of_the_steps_that_have_the_term():
    entries = []

    class Take(Callback):
        def log(self, loop, entry):
            entries.append(entry)

    curve = Curve()
    Loop(Fit(rate=0.25), 8, [Seeding(0), LearningRate(8, 1), Means(4), Take(), curve]).run()
    assert [entry["step"] for entry in entries] == [4, 8] and [entry["odd"] for entry in entries] == [2.0, 6.0]
    expected = [np.mean(curve.losses[:4]), np.mean(curve.losses[4:])]
    assert [entry["loss"] for entry in entries] == pytest.approx(expected, abs=1e-5)
    assert entries[0]["rate"] == pytest.approx(0.25 * callbacks.half_cosine(3, 8, 1), rel=1e-3)


def test_the_time_limit_stops_and_the_run_goes_on(tmp_path, monkeypatch):
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: next(clock))
    _, result = trained(tmp_path, minutes=1)
    assert 0 < result["step"] < 40
    monkeypatch.undo()
    assert trained(tmp_path)[1]["step"] == 40


def test_several_processes_ask_the_first_one_now_and_then():
    asked = []

    class Two(Processes):
        def agree(self, decision):
            asked.append(decision)
            return decision

        def shared(self, objective, idle):
            return objective

    loop = Loop(Fit(), 25, [TimeLimit(60), Seeding(0)], processes=Two(torch.device("cpu"), 0, 2))
    loop.run()
    assert asked == [False] * 3 and loop.step == 25


def test_other_processes_write_nothing(tmp_path):
    class Second(Processes):
        def shared(self, objective, idle):
            return objective

        def wait(self):
            pass

    task, result = trained(tmp_path, processes=Second(torch.device("cpu"), 1, 2))
    assert result == {"step": 40, "validation": []} and not task.validated and not list(tmp_path.iterdir())


def test_the_progress_bar_shows_steps_and_the_loss(capsys):
    Loop(Fit(), 4, [Seeding(0), Progress(), Means(2)]).run()
    shown = capsys.readouterr().err
    assert "4/4" in shown and "loss=" in shown
