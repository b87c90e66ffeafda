"""Scenes and questions: the truth is what is painted, and answers are not in the words."""

from collections import Counter, defaultdict

import codeckit
import numpy as np
import pytest
from codeckit.bench.scenes import write_scenes
from codeckit.metrics.tasks.scenes.questions import ANSWER, CATEGORIES, LONGEST, VOCABULARY, ask, easy
from codeckit.metrics.tasks.scenes.scene import (
    CELL_COLOURS,
    CELL_KINDS,
    CLASSES,
    COLOURS,
    COUNTS,
    NONE,
    SHAPES,
    SIDE,
    Photographs,
    Scene,
    cell_truth,
    draw_scene,
    presence,
    render,
)
from codeckit.metrics.tasks.scenes.task import Scenes, scores
from codeckit.metrics.tasks.scenes.words import numbers, spelled, taught
from PIL import Image

#: Photographs are asked about by name, so questions need no files; pictures do.
NAMED = Photographs(tuple((f"{name}.png",) for name in CLASSES))


def drawn(count, seed=0):
    rng = np.random.default_rng(seed)
    return [draw_scene(rng, NAMED) for _ in range(count)]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Ten classes with one plain picture each, and a background."""
    folder = tmp_path_factory.mktemp("classes")
    for n, name in enumerate(CLASSES):
        (folder / name).mkdir()
        Image.new("RGB", (40, 30), (20 * n, 120, 40)).save(folder / name / "a.png")
    (folder.parent / "backgrounds").mkdir()
    Image.new("RGB", (300, 200), (90, 100, 110)).save(folder.parent / "backgrounds" / "b.png")
    return Photographs.of(folder, [folder.parent / "backgrounds"])


def test_a_scene_is_told_by_its_label():
    for scene in drawn(20):
        assert Scene.of(scene.label) == scene
    for label in ("", "[]", "{}", '{"seed":1,"background":-1,"objects":[{"kind":"shape"}]}', "3"):
        with pytest.raises(ValueError, match="no scene is described"):
            Scene.of(label)


def test_scenes_keep_their_promises():
    for scene in drawn(200):
        boxes = [thing.box for thing in scene.objects]
        covered = np.zeros((SIDE, SIDE), int)
        for left, top, width, height in boxes:
            assert left >= 0 and top >= 0 and left + width <= SIDE and top + height <= SIDE
            covered[top : top + height, left : left + width] += 1
        assert covered.max() == 1
        named = [thing.words for thing in scene.objects if thing.kind != "word"]
        assert len(set(named)) == len(named)
        shapes = Counter(thing.name for thing in scene.all("shape"))
        assert 1 in shapes.values() and set(SHAPES) - set(shapes)
        for kind, counts in COUNTS.items():
            assert len(scene.all(kind)) in counts
    assert not draw_scene(np.random.default_rng(0), NONE).all("photo")


def test_what_is_painted_is_the_truth(photographs):
    rng = np.random.default_rng(5)
    for _ in range(5):
        scene = draw_scene(rng, photographs)
        picture = render(scene, photographs)
        assert (render(scene, photographs) == picture).all()
        truth = cell_truth(scene)
        for thing in scene.all("shape"):
            x, y = (int(each) for each in thing.centre)
            if thing.name != "triangle":
                assert np.abs(picture[y, x].astype(int) - COLOURS[thing.colour]).max() <= 1
            if thing.box[2] >= 30:
                cell = truth[:, y // 16, x // 16]
                assert (CELL_KINDS[cell[0]], CELL_COLOURS[cell[1]]) == (thing.name, thing.colour)
        shown = presence(scene)
        assert shown.sum() == sum(thing.kind != "word" for thing in scene.objects) + len(
            {thing.name for thing in scene.all("shape")}
        )


def test_questions_have_the_words_and_lengths_that_the_model_knows():
    rng = np.random.default_rng(0)
    assert len(set(VOCABULARY)) == len(VOCABULARY) and VOCABULARY[0] == ""
    for scene in drawn(100):
        asked = ask(scene)
        assert [question.words for question in asked] == [question.words for question in ask(scene)]
        assert len({question.words for question in asked}) == len(asked)
        for question in asked + easy(scene, rng):
            assert set(question.words + question.answer) <= set(VOCABULARY)
            assert len(question.words) <= LONGEST and len(question.answer) in (1, ANSWER)
            assert question.words[-1] == "?" and spelled(numbers(question.words)) == question.words
        pairs = defaultdict(list)
        for question in asked:
            if question.pair >= 0:
                pairs[question.pair].append(question.answer[0])
        assert all(sorted(answers) == ["no", "yes"] for answers in pairs.values())
        assert taught(asked)[0] == (numbers(asked[0].words), numbers(asked[0].answer[:-1]))


def test_answers_are_what_the_scene_shows():
    """Each category's answers, derived anew from the objects."""
    checked = Counter()
    for scene in drawn(300, seed=2):
        names = {thing.words for thing in scene.objects if thing.kind != "word"}
        kinds = {words[-1:] for words in names}
        for question in ask(scene):
            words, (answer, *_) = question.words, question.answer
            if question.category == "existence":
                assert (answer == "yes") == (words[3:-1] in names or words[3:-1] in kinds)
            elif words[:2] == ("how", "many"):
                kind = {"photos": "photo", "shapes": "shape", "words": "word"}[words[2]]
                assert ("zero", "one", "two", "three", "four", "five").index(answer) == len(scene.all(kind))
            elif question.category == "unanswerable":
                found = [thing.colour for thing in scene.all("shape") if thing.name == words[4]]
                assert [answer] == (found or ["none"])
            elif words[:3] == ("what", "is", "written"):
                assert "".join(question.answer) in {thing.name for thing in scene.all("word")}
            elif words[:2] == ("where", "is") and "from" not in words:
                (thing,) = (thing for thing in scene.objects if thing.words == words[3:-1])
                x, y = thing.centre
                assert answer == f"{'bottom' if y > SIDE / 2 else 'top'}-{'right' if x > SIDE / 2 else 'left'}"
            else:
                continue
            checked[question.category] += 1
    assert min(checked[name] for name in ("existence", "counting", "unanswerable", "reading", "place")) > 100


def test_who_sees_nothing_guesses():
    """The best answer to each question's words, learned from many scenes, is right about as often as chance."""
    learned, right, asked = defaultdict(Counter), Counter(), Counter()
    for n, scene in enumerate(drawn(2500, seed=3)):
        for question in ask(scene):
            known = learned[question.words]
            if n < 2000:
                known[question.answer] += 1
            else:
                asked[question.category] += 1
                right[question.category] += bool(known) and known.most_common(1)[0][0] == question.answer
    chance = {
        "existence": 50, "perception": 50, "reading": 2, "place": 25, "choice": 25, "unanswerable": 33, "counting": 31,
    }  # fmt: skip
    assert set(chance) == set(CATEGORIES)
    for name, percent in chance.items():
        assert 100 * right[name] / asked[name] < percent + 4, name


def test_scores_count_categories_and_pairs():
    asked = ask(drawn(1)[0])
    assert set(scores(asked, np.ones(len(asked), bool)).values()) == {1.0}
    found = scores(asked, np.array([question.category == "choice" for question in asked]))
    assert found["choice"] == 1 and found["pairs"] == 0 and found["accuracy"] == pytest.approx(1 / 7)


def test_a_folder_of_scenes_is_a_labelled_data_set(tmp_path, photographs):
    write_scenes(tmp_path / "scenes", 3, photographs, seed=1)
    images = list(codeckit.dataset(tmp_path / "scenes"))
    assert [image.name for image in images] == ["scene-0000.png", "scene-0001.png", "scene-0002.png"]
    for image in images:
        assert (image.load() == render(Scene.of(image.label), photographs)).all()


def test_the_task_says_what_it_needs():
    task = Scenes()
    assert [measure.name for measure in task.measures] == ["accuracy", *CATEGORIES, "pairs"]
    for label in (None, 3):
        with pytest.raises(ValueError, match="labelled with their scenes"):
            task.score(None, label)
    with pytest.raises(ValueError, match="no scene is described"):
        task.score(None, "dog")


def test_the_task_with_weights_of_ones_own(tmp_path, photographs):
    pytest.importorskip("efficientnet_lite_pytorch")
    import json
    from dataclasses import asdict

    from codeckit.primitives.tokens.mllm import LanguageSize, Mllm, write_mllm
    from codeckit.primitives.tokens.vit import VitSize

    tower, language = (
        VitSize(grid=16, channels=24, heads=2, tower=1, reader=0),
        LanguageSize(len(VOCABULARY), LONGEST, ANSWER, visual=24, channels=20, heads=2, layers=2),
    )
    tensors = {name: value.numpy() for name, value in Mllm(tower, language).state_dict().items()}
    said = {"tower": asdict(tower), "language": asdict(language), "words": VOCABULARY, "battery": []}
    said = {name: json.dumps(value) for name, value in said.items()}
    write_mllm(tmp_path / "a.safetensors", said, tensors)
    write_scenes(tmp_path / "scenes", 2, photographs, seed=1)
    task = Scenes(weights=str(tmp_path / "a.safetensors"))
    table = codeckit.evaluate([codeckit.codec("jpeg", quality=20)], tmp_path / "scenes", [], [task])
    assert len(table) == 2 and all(0 <= record.values["scenes/accuracy"] <= 1 for record in table)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Scenes(weights="nowhere.safetensors").predict(np.zeros((8, 8, 3), np.uint8))
