"""PSNR with weighed errors."""

import pickle

import numpy as np
import pytest
from codeckit.metrics import psnr, resolve, weighted_metric, weighted_psnr

RNG = np.random.default_rng(0)
REFERENCE = RNG.integers(0, 256, (40, 56, 3), np.uint8)
NEAR = np.clip(REFERENCE.astype(int) + RNG.integers(-9, 10, REFERENCE.shape), 0, 255).astype(np.uint8)


def test_equal_weights_are_psnr():
    for flat in np.ones((3, 3)), None:
        assert weighted_psnr(REFERENCE, NEAR, flat) == pytest.approx(psnr(REFERENCE, NEAR))
    assert weighted_psnr(REFERENCE, NEAR, "roi:0,0,5,5", strength=0) == pytest.approx(psnr(REFERENCE, NEAR))
    assert weighted_psnr(REFERENCE, REFERENCE, "roi:0,0,5,5") == np.inf


def test_by_hand():
    reference, image = np.zeros((1, 2), np.uint8), np.array([[3, 4]], np.uint8)
    mean = (4 * 9 + 16) / 5  # a strength of 2: four times the weight
    assert weighted_psnr(reference, image, [[1, 0]], strength=2) == pytest.approx(10 * np.log10(255**2 / mean))


def test_the_metric_is_declared_and_can_be_sent_to_workers():
    (declared,) = resolve("weighted-psnr")
    assert declared.name == "weighted-psnr" and declared.heading == "weighted PSNR"
    metric = pickle.loads(pickle.dumps(weighted_metric("roi:0,0,5,5", 3)))
    assert metric(REFERENCE, NEAR) == weighted_psnr(REFERENCE, NEAR, "roi:0,0,5,5", 3)


def test_pairs_are_checked():
    with pytest.raises(ValueError, match="differ in shape"):
        weighted_psnr(REFERENCE, NEAR[:-1], "roi:0,0,5,5")
