"""Maps of levels: coding and decoding undo each other, and damage is noticed."""

import numpy as np
import pytest
from codeckit.primitives.errors import StreamError
from codeckit.primitives.level_map import LARGEST, decode_levels, encode_levels, pooled
from codeckit.primitives.picture import Picture
from codeckit.primitives.quantizers.regions import RegionDeadZone, grid_of, read, written
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

maps = arrays.arrays(
    np.int32,
    arrays.array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.integers(-LARGEST, LARGEST) | st.sampled_from([0, 1, 2]),
)


@settings(deadline=None, max_examples=150)
@given(maps)
def test_decoding_undoes_coding(levels):
    decoded = decode_levels(encode_levels(levels), levels.shape)
    assert decoded.dtype == np.int32
    assert (decoded == levels).all()


@settings(deadline=None, max_examples=50)
@given(maps)
def test_letters_undo_writing(levels):
    size = 32 * levels.shape[0] - 5, 32 * levels.shape[1]
    assert grid_of(size) == levels.shape
    assert (read(written(levels), size) == levels).all()


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=40), st.integers(1, 9), st.integers(1, 9))
def test_any_bytes_are_a_map_or_an_error(data, rows, columns):
    try:
        levels = decode_levels(data, (rows, columns))
    except StreamError:
        return
    assert np.abs(levels).max() <= LARGEST
    assert (decode_levels(encode_levels(levels), (rows, columns)) == levels).all()


def test_areas_cost_little():
    levels = np.zeros((32, 48), int)
    levels[8:20, 10:30] = 3
    assert len(encode_levels(levels)) <= 24
    assert len(encode_levels(np.zeros((32, 48), int))) <= 4


def test_damage_and_levels_out_of_range_are_refused():
    data = encode_levels(np.arange(16).reshape(4, 4) % 5)
    for damaged in data[:-2], data + b"\x07\x07":
        with pytest.raises(StreamError, match="map of levels is damaged"):
            decode_levels(damaged, (4, 4))
    with pytest.raises(ValueError, match="from -15 to 15"):
        encode_levels(np.full((2, 2), 16))
    with pytest.raises(StreamError, match="letters of a map"):
        read("%%", (32, 32))


def test_pooling_repeats_the_edge():
    assert pooled(np.arange(6.0).reshape(2, 3), (2, 2), (1, 2)).tolist() == [[2.0, 3.5]]


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 6), st.integers(0, 99))
def test_regions_quantize_twice_as_once(height, width, decompositions, seed):
    rng = np.random.default_rng(seed)
    levels = rng.integers(-6, 7, grid_of((height, width)))
    stage = RegionDeadZone(3.0, levels=decompositions, map=written(levels))
    picture = Picture((rng.normal(0, 60, (height, width)).astype(np.float32),), (height, width))
    once = stage.forward(picture)
    restored = stage.inverse(once)
    assert (stage.forward(restored).planes[0] == once.planes[0]).all()
    worst = 3.0 * 2.0 ** (-levels.min() / 2)
    assert np.abs(restored.planes[0] - picture.planes[0]).max() <= worst * 1.001
