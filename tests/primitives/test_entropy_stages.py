"""The generic entropy stages: inverse pairs on any integers, ladder of sizes, golden payloads, damage."""

import hashlib

import numpy as np
import pytest
from codeckit.primitives import (
    AnsCoded,
    ContextCoded,
    HuffmanCoded,
    Picture,
    RangeCoded,
    StreamError,
    UniformCoded,
    Wavelet,
    from_spec,
    spec,
)
from codeckit.primitives.entropy.static import tokenize, untokenize
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.fft import dctn
from skimage import data

STAGES = (UniformCoded(), HuffmanCoded(), RangeCoded(), AnsCoded(), ContextCoded())
each_stage = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: type(stage).__name__)

INT32 = st.integers(-(2**31), 2**31 - 1)
SMALL = st.integers(-3, 3)


def check_inverse(stage, picture):
    payload = stage.forward(picture)
    back = stage.inverse(payload)
    assert (back.size, back.factors, back.color) == (picture.size, picture.factors, picture.color)
    assert all(np.array_equal(a, b) for a, b in zip(back.tables, picture.tables, strict=True))
    for plane, original in zip(back.planes, picture.planes, strict=True):
        assert plane.dtype == np.int32
        assert np.array_equal(plane, original)
    return payload


def block_coefficients(step, crop=np.s_[:256, 128:384]):
    """Quantized 8×8 DCT coefficients of a photograph: three planes int16 [rows, columns, 8, 8]."""
    image = data.astronaut()[crop].astype(float) - 128
    red, green, blue = np.moveaxis(image, -1, 0)
    planes = []
    for plane in (0.299 * red + 0.587 * green + 0.114 * blue, 0.56 * (blue - green), 0.71 * (red - green)):
        rows, columns = plane.shape[0] // 8, plane.shape[1] // 8
        blocks = plane.reshape(rows, 8, columns, 8).swapaxes(1, 2)
        weights = 1 + np.add.outer(np.arange(8), np.arange(8)) / 4
        planes.append(np.rint(dctn(blocks, axes=(2, 3), norm="ortho") / (step * weights)).astype(np.int16))
    return Picture(tuple(planes), image.shape[:2], ((1, 1),) * 3, "ycbcr")


def order0_bits(picture):
    """Empirical entropy of every class (diagonal of a plane's coefficients), in bits."""
    bits = 0.0
    diagonal = np.add.outer(np.arange(8), np.arange(8))
    for plane in picture.planes:
        for index in range(15):
            _, counts = np.unique(plane[:, :, diagonal == index], return_counts=True)
            bits -= (counts * np.log2(counts / counts.sum())).sum()
    return bits


shapes = hnp.array_shapes(min_dims=2, max_dims=4, max_side=5)
elements = st.sampled_from([SMALL, st.integers(-300, 300), INT32])
planes = st.tuples(shapes, elements).flatmap(lambda c: hnp.arrays(np.int32, c[0], elements=c[1]))


@each_stage
@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(planes=st.lists(planes, min_size=1, max_size=3))
def test_inverse_restores_any_integers(stage, planes):
    # The header bounds a plane by the picture's size, padded; these are far below.
    check_inverse(stage, Picture(tuple(planes), (20, 30), ((1, 1),) * len(planes), "other"))


@each_stage
@settings(deadline=None, max_examples=15)
@given(plane=hnp.arrays(np.int16, (4, 5, 8, 8), elements=st.integers(-2, 2), fill=st.just(0)))
def test_planes_of_one_shape_follow_each_other(stage, plane):
    check_inverse(stage, Picture((plane, -plane, plane), (32, 40), ((1, 1),) * 3, "ycbcr"))


@each_stage
@pytest.mark.parametrize(
    "plane",
    [
        np.zeros((1, 1), np.int8),
        np.full((1, 1), -(2**31)),
        np.full((3, 4, 8, 8), 2**31 - 1),
        np.zeros((40, 50, 8, 8), np.int16),
        np.arange(-600, 600).reshape(2, 3, 200),
        np.where(np.indices((9, 7)).sum(0) % 2, 2**31 - 1, -(2**31)),
        np.eye(64, dtype=np.uint8),
        np.ones((1, 300), np.uint16),
        np.ones((300, 1), np.int64),
        np.tile(np.arange(600), (2, 2, 1)),
    ],
    ids=str,
)
def test_extreme_planes(stage, plane):
    check_inverse(stage, Picture((plane,), (64, 64)))


@each_stage
def test_header_facts_survive(stage):
    tables = (np.arange(1, 65, dtype=np.uint16).reshape(8, 8),) * 3
    picture = Picture(
        (np.zeros((3, 5, 8, 8), np.int16), np.ones((2, 3, 8, 8), np.int16), np.ones((2, 3, 8, 8), np.int16)),
        (23, 33), ((2, 2), (1, 1), (1, 1)), "ycbcr", tables,
    )  # fmt: skip
    check_inverse(stage, picture)


@each_stage
@pytest.mark.parametrize("plane", [np.zeros((2, 2)), np.zeros((0, 2), int), np.zeros(4, int), np.full((1, 1), 2**31)])
def test_what_cannot_be_coded_is_refused(stage, plane):
    with pytest.raises(ValueError):
        stage.forward(Picture((plane,), (2, 2)))


@each_stage
def test_stages_are_named_in_streams(stage):
    assert from_spec(spec(stage)) == stage


@settings(deadline=None)
@given(hnp.arrays(np.int64, st.integers(0, 50), elements=INT32))
def test_tokens_restore_values(values):
    tokens, extra, _ = tokenize(values)
    assert np.array_equal(untokenize(tokens, extra), values)


def test_the_ladder():
    picture = block_coefficients(16)
    uniform, huffman, ranged, ans, context = (len(check_inverse(stage, picture)) for stage in STAGES)
    assert context < 0.85 * ranged and ranged < huffman < uniform
    assert abs(ans - ranged) <= 8
    entropy = order0_bits(picture) / 8
    assert entropy < ranged < 1.08 * entropy  # what is left are the tables


def test_context_coding_uses_the_previous_plane():
    picture = block_coefficients(8)
    luma = picture.planes[0]
    alone = len(ContextCoded().forward(picture.replace(planes=(luma,), factors=((1, 1),), color="grey")))
    twice = len(ContextCoded().forward(picture.replace(planes=(luma, luma), factors=((1, 1),) * 2, color="other")))
    assert twice < 1.75 * alone


def test_context_coding_of_a_wavelet_pyramid():
    grey = data.astronaut()[:256, 128:384, 1]
    pyramid = Wavelet("9/7", 4).forward(Picture((grey,), (256, 256)))
    quantized = pyramid.map(lambda plane: np.trunc(plane / 12).astype(np.int32))
    assert len(check_inverse(ContextCoded(), quantized)) < 0.75 * len(RangeCoded().forward(quantized))


def golden_picture():
    """A seeded picture: integers only, so that it is the same everywhere."""
    rng = np.random.default_rng(20)
    spread = 1 + 200 // (1 + np.add.outer(np.arange(8), np.arange(8)) ** 2)
    planes = tuple(
        (rng.integers(-spread, spread + 1, shape) // (1 + rng.integers(0, 9, shape))).astype(np.int32)
        for shape in ((6, 7, 8, 8), (3, 4, 8, 8), (3, 4, 8, 8))
    )
    planes[0][2, 3, 0, 1] = -70000
    return Picture(planes, (48, 56), ((2, 2), (1, 1), (1, 1)), "ycbcr")


GOLDEN = {
    "UniformCoded": (2392, "5626b7c6f09bd2ca"),
    "HuffmanCoded": (1897, "d597ad15cf9f3b8c"),
    "RangeCoded": (1823, "635680de035c96af"),
    "AnsCoded": (1827, "36d6710226a0c68b"),
    "ContextCoded": (1698, "a69c8f54defeadfd"),
}


@each_stage
def test_golden_payloads(stage):
    payload = stage.forward(golden_picture())
    assert (len(payload), hashlib.sha256(payload).hexdigest()[:16]) == GOLDEN[type(stage).__name__]


@each_stage
def test_every_cut_is_noticed(stage):
    plane = block_coefficients(40, np.s_[:32, 200:232]).planes[0]
    payload = stage.forward(Picture((plane,), (32, 32)))
    for length in range(len(payload) - 1):  # the last byte may be a zero, which is read behind the end as well
        with pytest.raises(StreamError):
            stage.inverse(payload[:length])


@each_stage
def test_a_picture_beyond_the_limit_is_refused(stage):
    payload = stage.forward(Picture((np.zeros((40, 40), int),), (40, 40)))
    stage.inverse(payload, max_pixels=1600)
    with pytest.raises(StreamError, match="limit"):
        stage.inverse(payload, max_pixels=1599)


@each_stage
def test_damaged_payloads_end_in_an_error_or_a_picture(stage):
    rng = np.random.default_rng(3)
    picture = block_coefficients(30, np.s_[:64, 192:256])
    payload = stage.forward(picture)
    for _ in range(300):
        damaged = bytearray(payload)
        for _ in range(rng.integers(1, 4)):
            begin = 20 if rng.random() < 0.5 else 0
            damaged[rng.integers(begin, len(damaged))] = rng.integers(256)
        if rng.random() < 0.3:
            damaged += rng.bytes(rng.integers(1, 9))
        try:
            back = stage.inverse(bytes(damaged), max_pixels=1 << 16)
        except StreamError:
            continue
        assert all(plane.dtype == np.int32 and plane.ndim >= 2 for plane in back.planes)


@each_stage
@settings(deadline=None, max_examples=100)
@given(noise=st.binary(max_size=300), rows=st.integers(1, 9), depth=st.integers(1, 70))
def test_noise_behind_a_header(stage, noise, rows, depth):
    picture = Picture((np.zeros((rows, 4, depth), int),), (64, 64))
    header = stage.forward(picture)[:9]
    try:
        back = stage.inverse(header + noise)
    except StreamError:
        return
    assert back.planes[0].shape == (rows, 4, depth)
