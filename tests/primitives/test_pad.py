"""Padding and its inverse, against numpy's."""

import numpy as np
import pytest
from codeckit.primitives import PadTo, Picture
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3, 16, 64]), st.booleans(), st.integers(0, 99))
def test_inverse_undoes_forward(height, width, multiple, grey, seed):
    shape = (height, width) if grey else (height, width, 3)
    image = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    stage = PadTo(multiple)
    picture = stage.forward(image)
    down, right = -height % multiple, -width % multiple
    first = np.pad(image if grey else image[..., 0], ((0, down), (0, right)), mode="edge")
    assert (picture.planes[0] == first).all() and len(picture.planes) == 3
    assert (stage.inverse(picture) == image).all()


def test_grey_is_the_rounded_mean():
    planes = tuple(np.full((1, 1), value, np.uint8) for value in (254, 255, 255))
    assert PadTo(1).inverse(Picture(planes, (1, 1), color="grey")).tolist() == [[255]]
    assert PadTo(1).inverse(Picture(planes[:1] * 2 + planes[1:2], (1, 1), color="grey")).tolist() == [[254]]


def test_what_is_refused():
    for multiple in 0, 257, 1.5:
        with pytest.raises(ValueError, match="multiples"):
            PadTo(multiple)
    with pytest.raises(ValueError, match="padded size"):
        PadTo(16).inverse(Picture((np.zeros((8, 8), np.uint8),) * 3, (8, 8)))
