"""Overlapped compensation against its formula written out, fields through bytes, estimation against known motion."""

import numpy as np
import pytest
from codeckit.bench.studies.pictures import photo
from codeckit.primitives.block_motion import SIDE, Field, decode_field, encode_field, estimate_field, overlapped
from codeckit.primitives.errors import StreamError
from codeckit.primitives.motion import CHROMA_FILTERS, LUMA_FILTERS, REACH, compensate, pad
from hypothesis import given, settings
from hypothesis import strategies as st


def field_of(rng, rows, columns, most=40, share=0.5):
    """A field that an encoder may write, with vectors of at most `most` quarters."""
    vectors = rng.integers(-most, most + 1, (2 * rows, 2 * columns, 2)).astype(np.int32)
    split = rng.random((rows, columns)) < share
    whole = vectors[::2, ::2].repeat(2, 0).repeat(2, 1)
    return Field(np.where(split.repeat(2, 0).repeat(2, 1)[..., None], vectors, whole), split)


def moved(plane, y, x, vector, chroma):
    """One sample of the reference, interpolated by the formula."""
    filters, bits = (CHROMA_FILTERS, 3) if chroma else (LUMA_FILTERS, 2)
    before = filters.shape[1] // 2 - 1
    rows = np.clip(np.arange(filters.shape[1]) + y + (vector[0] >> bits) - before, 0, plane.shape[0] - 1)
    columns = np.clip(np.arange(filters.shape[1]) + x + (vector[1] >> bits) - before, 0, plane.shape[1] - 1)
    mask = (1 << bits) - 1
    exact = filters[vector[0] & mask] @ plane[np.ix_(rows, columns)].astype(int) @ filters[vector[1] & mask]
    return min(max((exact + 2048) >> 12, 0), 255)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_compensation_is_the_formula(seed, chroma):
    rng = np.random.default_rng(seed)
    side = SIDE // 2 if chroma else SIDE
    field = field_of(rng, 2, 3)
    plane = rng.integers(0, 256, (4 * side, 6 * side), np.uint8)
    predicted = overlapped(plane, field, chroma)
    for y, x in rng.integers(0, plane.shape, (12, 2)):
        row, column = y // side, x // side
        block = side if field.split[row // 2, column // 2] else 2 * side
        e = block // 2
        weights, places = [], []
        for at, own, count in ((y, row, 4), (x, column, 6)):
            inside, first = at % block, at // block * block
            d = min(inside, block - 1 - inside)
            weights.append(24 // e * (2 * (e - d) - 1))
            other = (first - 1) // side if inside < e else (first + block) // side
            places.append(other if 0 <= other < count else own)
        (v, h), (vertical, horizontal) = weights, places
        p, p_v, p_h = (
            moved(plane, y, x, field.vectors[place], chroma)
            for place in ((row, column), (vertical, column), (row, horizontal))
        )
        total = ((128 - v) * (128 - h) + v * h) * p + v * (128 - h) * p_v + (128 - v) * h * p_h
        assert predicted[y, x] == (total + 2**13) >> 14


def test_colour_is_plane_by_plane():
    rng = np.random.default_rng(3)
    frame, field = photo(32, 48, 3, seed=2), field_of(rng, 2, 3)
    planes = [overlapped(np.ascontiguousarray(frame[..., n]), field) for n in range(3)]
    assert (overlapped(frame, field) == np.stack(planes, 2)).all()


@pytest.mark.parametrize("chroma", [False, True])
def test_equal_vectors_are_plain_compensation(chroma):
    """With one vector for all there is nothing to overlap, split or not."""
    plane = photo(24, 32, 1, seed=4) if chroma else photo(48, 64, 1, seed=4)
    vectors = np.full((6, 8, 2), (13, -22), np.int32)
    plain = compensate(pad(plane), vectors[::2, ::2], chroma)
    for split in (np.zeros((3, 4), bool), np.ones((3, 4), bool)):
        assert (overlapped(plane, Field(vectors, split), chroma) == plain).all()


def test_vectors_of_any_size_are_safe():
    rng = np.random.default_rng(1)
    wild = rng.integers(-(2**31), 2**31, (6, 8, 2)).astype(np.int32)
    plane = photo(48, 64, 1)
    for split in (np.zeros((3, 4), bool), np.ones((3, 4), bool)):
        assert overlapped(plane, Field(wild, split)).shape == (48, 64)
        assert overlapped(plane[:24, :32], Field(wild, split), chroma=True).shape == (24, 32)
    far = Field(np.full((6, 8, 2), -(2**31), np.int32), split)
    assert (overlapped(plane, far) == plane[0, 0]).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 4), st.sampled_from([0, 1, 90]))
def test_fields_come_back(seed, rows, columns, most):
    """Field by field with one memory."""
    rng = np.random.default_rng(seed)
    writing, reading = {}, {}
    for share in (0, 0.3, 1):
        field = field_of(rng, rows, columns, most, share)
        back = decode_field(encode_field(field, writing), (rows, columns), reading)
        assert back.vectors.dtype == np.int32 and back.split.dtype == bool
        assert (back.vectors == field.vectors).all() and (back.split == field.split).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.binary(max_size=60))
def test_damage_is_an_error_or_a_field(seed, garbage):
    """Whatever is decoded can be compensated with, and written again."""
    rng = np.random.default_rng(seed)
    data = bytearray(encode_field(field_of(rng, 3, 4)))
    data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    for damaged in (bytes(data), bytes(data[: rng.integers(len(data))]), garbage):
        try:
            field = decode_field(damaged, (3, 4))
        except StreamError:
            continue
        encode_field(field)


def test_a_still_field_costs_next_to_nothing():
    assert len(encode_field(Field.still(15, 26))) <= 4
    panned = Field(np.full((30, 52, 2), (5, -9), np.int32), np.zeros((15, 26), bool))
    assert len(encode_field(panned)) <= 12


def test_fields_that_no_encoder_writes_are_refused():
    field = Field.still(2, 2)
    field.vectors[0, 0] = 1
    with pytest.raises(ValueError, match="not split"):
        encode_field(field)
    field.vectors[:2, :2] = -4 * REACH - 1
    with pytest.raises(ValueError, match="beyond the frame"):
        encode_field(field)
    with pytest.raises(ValueError, match="do not have vectors"):
        Field(np.zeros((3, 4, 2), np.int32), np.zeros((2, 2), bool))
    with pytest.raises(ValueError, match="do not make a plane"):
        overlapped(np.zeros((32, 30), np.uint8), Field.still(2, 2))
    with pytest.raises(ValueError, match="do not make planes"):
        estimate_field(*np.zeros((2, 32, 30), np.uint8), Field.still(2, 2), 1.0)


@pytest.mark.parametrize("dy, dx", [(0, 0), (3, -5), (-11, 14)])
def test_estimation_finds_whole_displacements(dy, dx):
    big = photo(160, 176, 1, seed=5)
    before, now = big[32:128, 32:144], big[32 + dy : 128 + dy, 32 + dx : 144 + dx]
    field = estimate_field(now, before, Field.still(6, 7), 2.0)
    assert (field.vectors[4:-4, 4:-4] == (4 * dy, 4 * dx)).all(2).mean() > 0.8
    assert np.abs(overlapped(before, field)[32:-32, 32:-32].astype(int) - now[32:-32, 32:-32]).mean() < 1


def test_estimation_finds_quarter_pixels():
    y, x = np.mgrid[:64, :96]

    def frame(shift_y, shift_x):
        wave = 128 + 50 * np.sin((y + shift_y) / 4.1) + 50 * np.cos((x + shift_x) / 3.3) + 20 * np.sin((x + y) / 5)
        return np.rint(wave).astype(np.uint8)

    field = estimate_field(frame(0.25, -0.5), frame(0, 0), Field.still(4, 6), 0.5)
    assert np.median(np.abs(field.vectors[2:-2, 2:-2] - (1, -2))) == 0


def test_a_block_splits_where_two_things_move():
    """The upper eight rows of the middle blocks stay, the lower ones move: split, unless bits are dear."""
    picture = photo(96, 112, 1, seed=6)
    now = picture[16:64, 16:96].copy()
    now[24:] = picture[16 + 24 : 64, 16 + 7 : 96 + 7]
    field = estimate_field(now, picture[16:64, 16:96], Field.still(3, 5), 1.0)
    assert field.split[1].mean() >= 0.6
    assert (field.vectors[2, 2:-2] == 0).all() and (field.vectors[3, 2:-2] == (0, 28)).all(1).mean() > 0.8
    assert not estimate_field(now, picture[16:64, 16:96], Field.still(3, 5), 1000.0).split.any()


def test_estimates_can_be_written():
    """Vectors stay within the reach that is coded, also where nothing matches."""
    rng = np.random.default_rng(2)
    now, before = rng.integers(0, 256, (2, 48, 64), np.uint8)
    field = estimate_field(now, before, Field.still(3, 4), 0.0)
    assert field.split.any()
    back = decode_field(encode_field(field), (3, 4))
    assert (back.vectors == field.vectors).all() and (back.split == field.split).all()
