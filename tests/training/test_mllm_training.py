"""Training of the multimodal model: a pool, steps that learn, exact resuming, a file that answers."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from codeckit.metrics.tasks.scenes.questions import ANSWER, CATEGORIES, LONGEST, VOCABULARY, Question
from codeckit.metrics.tasks.scenes.scene import CELL_KINDS, NONE, Scene, Thing, draw_scene
from codeckit.metrics.tasks.scenes.words import spelled
from codeckit.primitives.tokens.mllm import LanguageSize, read_mllm
from codeckit.primitives.tokens.vit import VisionTower, VitSize
from codeckit.training.callbacks import Curve
from codeckit.training.mllm import MllmRecipe, MllmTask, Pool, begin_tower, export_run, lesson, load_pool, make, train
from safetensors.torch import load_file

TOWER = VitSize(stem=8, grid=16, channels=24, heads=2, tower=1, reader=0, hidden=2)
LANGUAGE = LanguageSize(len(VOCABULARY), LONGEST, ANSWER, visual=24, channels=20, heads=2, layers=2, hidden=2)
RECIPE = MllmRecipe(
    steps=24, batch=3, questions=6, warmup=2, alone=4, looking=1, choosing=2, report=12, learning_rate=3e-3
)


@pytest.fixture(scope="module")
def pool():
    """Maps that tell what lies at each place, so that there is something to learn."""
    from codeckit.metrics.tasks.scenes.scene import cell_truth

    scenes = [draw_scene(np.random.default_rng(n), NONE) for n in range(20)]
    kinds = np.stack([cell_truth(scene)[0] for scene in scenes])
    signs = np.random.default_rng(0).normal(size=(len(CELL_KINDS), 8))
    return Pool(torch.from_numpy(signs[kinds].transpose(0, 3, 1, 2)).half(), scenes, 4)


def test_learns_and_resumes_exactly(pool, tmp_path):
    curve = Curve()
    whole = train(pool, tmp_path / "whole", RECIPE, TOWER, LANGUAGE, callbacks=[curve])
    assert np.mean(curve.losses[-4:]) < 0.85 * np.mean(curve.losses[4:6])  # from where the language model learns, too
    assert set(whole["validation"]) == {*CATEGORIES, "looked at", "random"}

    class Stop(Curve):
        def before_step(self, loop):
            loop.stopped = loop.stopped or loop.step == 12

    train(pool, tmp_path / "parts", RECIPE, TOWER, LANGUAGE, callbacks=[Stop()])
    assert train(pool, tmp_path / "parts", RECIPE, TOWER, LANGUAGE) == whole
    first, second = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_batch_asks_what_the_scenes_answer(pool):
    task = MllmTask(pool, RECIPE, TOWER, LANGUAGE)
    assert task.batch(np.random.default_rng(0), 3)[1] is None  # the tower learns alone
    maps, (asked, targets, where, _), cells, shown, looks = task.batch(np.random.default_rng(0), 4)
    assert looks.shape == (3, 256) and torch.allclose(looks.sum(1), torch.ones(3))
    assert maps.shape == (3, 8, 16, 16) and cells.shape == (3, 3, 256) and shown.shape == (3, 46)
    assert asked.which.amax().item() == RECIPE.questions - 1
    words = (targets >= 0) & (asked.which >= 0)
    assert (targets[asked.place < 0] == -1).all() and (targets[asked.which < 0] == -1).all()
    assert where.shape == (*targets.shape, 256) and not where[targets < 0].any()
    assert (targets[(asked.place == 0) & (asked.which >= 0)] > 0).all() and words.any(1).all()


def test_a_lesson_says_where_to_look():
    """The letter that an answer names, and all of the objects otherwise."""
    choices = ("A", "red", "B", "green", "C", "blue", "D", "white")
    word, circle = Thing("word", "ABC", "", (16, 16, 96, 32)), Thing("shape", "circle", "red", (160, 160, 32, 32))
    asked, targets, where, options = lesson(
        [
            [
                Question("reading", ("what", "is", "written", "only", "?"), ("A", "B", "C"), about=(word,)),
                Question("reading", ("which", "is", "the", "second", "letter", "only", "?"), ("B",), -1, (word,), 1),
                Question("existence", ("is", "there", "a", "circle", "?"), ("yes",), about=(circle,)),
                Question("existence", ("is", "there", "a", "square", "?"), ("no",)),
                Question("choice", ("which", "color", "is", "the", "cross", ":", *choices, "?"), ("C",)),
            ]
        ]
    )
    due = targets[0] >= 0
    assert spelled(targets[0][due].tolist()) == ("A", "B", "C", "B", "yes", "no", "C")
    assert (options[0] >= 0).sum() == 1 and options[0][due][-1] >= 0
    assert spelled(asked.words[0][options[0][options[0] >= 0]].tolist()) == ("blue",)
    found = [sorted({(n // 16, n % 16) for n in row.nonzero().flatten().tolist()}) for row in where[0][due]]
    assert found[0] == [(1, 1), (1, 2), (2, 1), (2, 2)] and found[1] == found[3] == [(1, 3), (1, 4), (2, 3), (2, 4)]
    assert found[2][0] == (1, 5) and found[4] == [(10, 10), (10, 11), (11, 10), (11, 11)] and not found[5]


def test_a_tower_begins_with_another_of_another_grid():
    small = VisionTower(replace(TOWER, grid=10))
    tower = VisionTower(TOWER)
    begin_tower(tower, {name: value.numpy() for name, value in small.state_dict().items()} | {"head.bias": np.ones(3)})
    assert torch.equal(tower.tower_class, small.tower_class) and tower.position.shape[2:] == (16, 16)
    assert torch.allclose(tower.position.mean(), small.position.mean(), atol=1e-3)


def test_pool_and_file(tmp_path):
    pytest.importorskip("efficientnet_lite_pytorch")
    make(tmp_path / "pool.safetensors", 3, 2, NONE, progress=lambda line: None)
    pool = load_pool(tmp_path / "pool.safetensors")
    assert pool.maps.shape == (5, 80, 16, 16) and pool.held_out == 2 and isinstance(pool.scenes[0], Scene)
    train(pool, tmp_path / "run", replace(RECIPE, steps=2, report=2), replace(TOWER, stem=80), LANGUAGE)
    export_run(tmp_path / "run", tmp_path / "a.safetensors")
    backbone = read_mllm(tmp_path / "a.safetensors")
    assert backbone.words == VOCABULARY and len(backbone.battery) == 2 * len(CATEGORIES)
    assert json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])["step"] == 2
    tokens = backbone.tokens(np.zeros((64, 64, 3), np.uint8), 1)
    (answers,) = backbone.answers(tokens.features[None], [backbone.battery], [[1] * len(backbone.battery)])
    assert len(answers) == 14
