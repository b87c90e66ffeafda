"""Practice of a weight file's entropy coder: smaller streams, the same pictures, another fingerprint."""

import shutil

import codeckit
import numpy as np
import pytest
from codeckit.bench.studies.learned_models import random_weights
from codeckit.codecs.learned.header import shipped
from codeckit.codecs.learned.practice import practise
from codeckit.codecs.learned.weights import load_weights
from skimage.data import astronaut, coffee


def tiles(image, count):
    return [image[y : y + 96, x : x + 96] for y in range(0, 288, 96) for x in range(0, 384, 96)][:count]


def test_practice_makes_streams_smaller(tmp_path):
    """With photographs of one kind, on one of another; what is decoded stays the same."""
    plain = random_weights("balle2017", tmp_path, channels=(16,))
    path = tmp_path / "practised.safetensors"
    shutil.copy(plain, path)
    header = practise(path, tiles(coffee(), 12))
    assert header.fingerprint != load_weights(plain).header.fingerprint
    assert (header.quality, header.note) == (load_weights(plain).header.quality, load_weights(plain).header.note)
    image = astronaut()[100:260, 150:310]
    for quality in (1, 4.5, 8):
        before, after = (codeckit.codec("balle2017", quality=quality, weights=str(file)) for file in (plain, path))
        stream = after.encode(image)
        assert len(stream) < len(before.encode(image))
        assert np.array_equal(after.decode(stream), before.decode(before.encode(image)))
        assert after.trace(image).stream == stream
        with pytest.raises(codeckit.StreamError, match="was made with the weights"):
            before.decode(stream)


def test_practice_of_a_mixture(tmp_path):
    path = random_weights("cheng2020", tmp_path, channels=(8, 12))
    before = load_weights(path)
    assert before.experience(0) == []
    practise(path, [astronaut()[:64, :64]] * 2)
    after = load_weights(path)
    assert sorted(after.experiences) == [0, 8, 16, 32, 48]
    assert after.experience(41)[0] is after.experiences[48] and after.experience(3)[0] is after.experiences[0]
    mixed = codeckit.codec("cheng2020", quality=3, weights=str(path))
    static = codeckit.codec("cheng2020", quality=3, weights=str(path), entropy="LatentCoded")
    image = astronaut()[:70, 200:290]
    assert np.array_equal(mixed.decode(mixed.encode(image)), static.decode(static.encode(image)))
    assert mixed.encode(image) != static.encode(image)


def test_practice_is_for_context_mixing(tmp_path):
    path = random_weights("bmshj2018-factorized", tmp_path, channels=(8, 12))
    with pytest.raises(ValueError, match="codes with fixed distributions"):
        practise(path, [astronaut()[:64, :64]])
    with pytest.raises(ValueError, match="needs photographs"):
        practise(path, [])


def test_shipped_weights_have_practised():
    assert shipped() and all(load_weights(header.path).experience(20) for header in shipped())
