"""Context mixing of DCT blocks: whatever integers go in come out, damage is noticed, and pictures get smaller."""

import hashlib

import numpy as np
import pytest
from codeckit.bench.studies.pictures import photo
from codeckit.primitives import BlockDCT, ContextCoded, DctCoded, Picture, QuantTable, StreamError, Subsample, YCbCr
from codeckit.primitives.entropy import dct_context
from codeckit.primitives.entropy.dct_context import decode_blocks, encode_blocks
from codeckit.primitives.entropy.layout import ZIGZAG
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.data import astronaut


def quantized(image, quality=75, sampling="4:2:0"):
    picture = image
    for stage in YCbCr(), Subsample(sampling), BlockDCT(), QuantTable(quality):
        picture = stage.forward(picture)
    return picture


def grids(planes):
    return [plane.shape[:2] for plane in planes]


def test_zigzag_is_jpegs():
    """ITU-T T.81 Figure A.6, row by row: where each coefficient comes in the order."""
    figure = [
        *(0, 1, 5, 6, 14, 15, 27, 28),
        *(2, 4, 7, 13, 16, 26, 29, 42),
        *(3, 8, 12, 17, 25, 30, 41, 43),
        *(9, 11, 18, 24, 31, 40, 44, 53),
        *(10, 19, 23, 32, 39, 45, 52, 54),
        *(20, 22, 33, 38, 46, 51, 55, 60),
        *(21, 34, 37, 47, 50, 56, 59, 61),
        *(35, 36, 48, 49, 57, 58, 62, 63),
    ]
    assert np.argsort(ZIGZAG).tolist() == figure


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([(1, 1), (1, 5), (4, 1), (3, 4)]),
    st.sampled_from([0.2, 3.0, 300.0, 30000.0]),
    st.sampled_from([1, 16, 65535]),
    st.integers(1, 3),
)
def test_any_blocks_come_back(seed, grid, scale, step, count):
    rng = np.random.default_rng(seed)
    planes = [np.clip(rng.laplace(0, scale, (*grid, 8, 8)), -32768, 32767).astype(np.int16) for _ in range(count)]
    tables = [rng.integers(1, step + 1, (8, 8)) for _ in planes]
    restored = decode_blocks(encode_blocks(planes, tables), grids(planes), tables)
    assert all((a == b).all() and b.dtype == np.int16 for a, b in zip(planes, restored, strict=True))


@pytest.mark.parametrize("value", [-32768, 32767, 0])
def test_extremes_come_back(value):
    plane, table = np.full((3, 3, 8, 8), value, np.int16), np.full((8, 8), 65535)
    plane[1, 1] = -1 - plane[1, 1]
    assert (decode_blocks(encode_blocks([plane], [table]), [(3, 3)], [table])[0] == plane).all()


def test_segments_are_coded_alone(monkeypatch):
    picture = quantized(photo(120, 90, 3, seed=1))
    whole = encode_blocks(picture.planes, picture.tables)
    monkeypatch.setattr(dct_context, "_SEGMENT", 60)
    code = encode_blocks(picture.planes, picture.tables)
    assert len(whole) < len(code) < 1.3 * len(whole)
    restored = decode_blocks(code, grids(picture.planes), picture.tables)
    assert all((a == b).all() for a, b in zip(picture.planes, restored, strict=True))
    with pytest.raises(StreamError):
        decode_blocks(code[:-30], grids(picture.planes), picture.tables)


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:0"])
def test_stage_beats_mixing_that_knows_no_pixels(sampling):
    picture = quantized(astronaut()[:256, 100:356], 80, sampling)
    payload = DctCoded().forward(picture)
    restored = DctCoded().inverse(payload)
    assert all((a == b).all() for a, b in zip(picture.planes, restored.planes, strict=True))
    assert all((a == b).all() for a, b in zip(picture.tables, restored.tables, strict=True))
    assert (restored.size, restored.factors, restored.color) == (picture.size, picture.factors, picture.color)
    assert len(payload) < 0.97 * len(ContextCoded().forward(picture))


def test_smooth_pictures_cost_next_to_nothing():
    ramp = np.add.outer(np.arange(128), np.arange(192)).astype(np.uint8) // 2 + 20
    assert len(DctCoded().forward(quantized(ramp, 50))) < 230  # 74 of them steps


def test_golden_stream():
    payload = DctCoded().forward(quantized(photo(48, 56, 3, seed=3)))
    assert (len(payload), hashlib.sha256(payload).hexdigest()[:16]) == GOLDEN


GOLDEN = (751, "0535c85d3c0d0508")


def test_damage_is_noticed_or_harmless():
    payload = DctCoded().forward(quantized(photo(40, 40, 3, seed=4)))
    rng = np.random.default_rng(5)
    for _ in range(60):
        damaged = bytearray(payload)
        damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
        try:
            picture = DctCoded().inverse(bytes(damaged[: rng.integers(1, len(damaged) + 1)]))
        except StreamError:
            continue
        assert all(plane.dtype == np.int16 for plane in picture.planes)


def test_what_it_does_not_take():
    with pytest.raises(ValueError, match="QuantTable"):
        DctCoded().forward(Picture((np.zeros((1, 1, 8, 8), np.int16),), (8, 8)))
    with pytest.raises(ValueError, match="blocks"):
        encode_blocks([np.zeros((2, 2), np.int16)], [np.ones((8, 8))])
    with pytest.raises(ValueError, match="16 bits"):
        encode_blocks([np.full((1, 1, 8, 8), 40000)], [np.ones((8, 8))])
    with pytest.raises(StreamError, match="cut"):
        decode_blocks(b"ab", [(4000, 4000)], [np.ones((8, 8))])
