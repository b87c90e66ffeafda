"""Learned codecs with effort: the same decoder, a lower cost."""

import codeckit
import numpy as np
import pytest
import torch
from codeckit.bench.studies.learned_models import random_weights
from codeckit.bench.studies.pictures import photo
from codeckit.codecs.learned.lambdas import lambda_at
from codeckit.codecs.learned.search import RATE_WEIGHT
from skimage.data import astronaut


def cost(codec, image, quality):
    """SSE + λ bits, as the encoder counts them."""
    stream = codec.encode(image)
    error = ((image.astype(float) - codeckit.decode(stream)) ** 2).sum()
    return error + RATE_WEIGHT * 3 / float(lambda_at(torch.tensor(float(quality)))) * 8 * len(stream)


@pytest.mark.parametrize(("name", "quality"), [("balle2017", 2), ("balle2017", 7.5), ("cheng2020", 5)])
def test_cost_falls(name, quality):
    image = astronaut()[:128, 160:288]
    plain, searched = (codeckit.codec(name, quality=quality, effort=effort) for effort in (0, 4))
    assert cost(searched, image, quality) < 0.998 * cost(plain, image, quality)


def test_a_codec_like_any_other():
    image = astronaut()[:48, 200:260]
    codec = codeckit.codec("balle2017", quality=6, effort=2)
    assert codec.setting == {"quality": 6, "effort": 2}
    stream = codec.encode(image)
    trace = codec.trace(image)
    assert trace.stream == stream and [step.role for step in trace.steps[1:]] == list(codec.stages)
    assert list(codec.encode_many([image, image])) == [stream, stream]
    assert (codec.decode(stream) == codeckit.decode(stream)).all()
    grey = codec.encode(image[..., 0])
    assert codeckit.decode(grey).shape == image.shape[:2]


@pytest.mark.parametrize("name", ["bmshj2018-factorized", "bmshj2018-hyperprior", "mbt2018", "cheng2020-checkerboard"])
def test_every_architecture_takes_effort(name, tmp_path):
    weights = random_weights(name, tmp_path, channels=(8, 12)[: 1 if name.startswith("cheng") else 2])
    image = photo(40, 70, 3, seed=1)
    codec = codeckit.codec(name, weights=weights, effort=2)
    assert codec.decode(codec.encode(image)).shape == image.shape


def test_what_is_refused():
    for effort in (-1, 101, 1.5, True):
        with pytest.raises(ValueError, match="effort"):
            codeckit.codec("balle2017", effort=effort)
    with pytest.raises(ValueError, match="effort=0"):
        codeckit.codec("balle2017", effort=1).encode(np.zeros((2048, 2064), np.uint8))
