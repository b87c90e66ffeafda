"""Quantizers of tokens: FSQ by its paper's definition, k-means against scikit-image's peers by cost, residuals,
ECVQ."""

import numpy as np
import pytest
from codeckit.primitives import FSQ, StreamError
from codeckit.primitives.quantizers import (
    ProductQuantizer,
    ResidualQuantizer,
    VectorQuantizer,
    quantize_rate_distortion,
)
from codeckit.primitives.quantizers.uniform import quantize_uniform
from codeckit.primitives.tokens import Tokens
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.vq import kmeans2, vq

LEVELS = st.lists(st.integers(2, 16), min_size=1, max_size=6).map(tuple)


@given(LEVELS, st.integers(0, 99))
def test_fsq_is_idempotent(levels, seed):
    stage = FSQ(levels)
    values = np.random.default_rng(seed).normal(0, 2, (50, len(levels)))
    symbols = stage.forward(Tokens(values, (5, 10)))
    assert (symbols.features >= 0).all() and (symbols.features < levels).all()
    assert (stage.forward(stage.inverse(symbols)).features == symbols.features).all()


def test_fsq_as_the_paper_writes_it():
    """Appendix A.1, read line by line: bound, round, normalize."""
    levels = np.array([8, 5, 4])
    z = np.random.default_rng(0).normal(0, 1.5, (200, 3))
    half = (levels - 1) * (1 - 1e-3) / 2  # the paper's ε shrinks; ours widens, so that the ends can be inverted
    offset = np.where(levels % 2 == 1, 0.0, 0.5)
    bounded = np.tanh(z + np.tan(offset / half)) * half - offset
    ours = FSQ((8, 5, 4))
    symbols = ours.forward(Tokens(z, (10, 20))).features
    theirs = np.round(bounded) + levels // 2
    assert (symbols == theirs).mean() > 0.95 and np.abs(symbols - theirs).max() <= 1
    assert np.allclose(ours.codes(symbols), (symbols - levels // 2) / (levels // 2))
    assert ours.forward(Tokens(np.zeros((1, 3)), (1, 1))).features.tolist() == [[4, 2, 2]]


def test_bad_fsq():
    for levels in ((), (1,), (300,), (2.0,), (True, 2)):
        with pytest.raises(ValueError, match="levels"):
            FSQ(levels)
    with pytest.raises(StreamError):
        FSQ((4, 4)).inverse(Tokens(np.array([[4, 0]]), (1, 1)))
    with pytest.raises(ValueError, match="channels"):
        FSQ((4, 4)).forward(Tokens(np.zeros((1, 3)), (1, 1)))


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(5)
    return np.concatenate(
        [rng.normal(m, 0.5, (n, 3)) for m, n in (((0, 0, 0), 500), ((4, 0, 1), 200), ((-3, 3, 0), 60))]
    )


def error(quantizer, vectors, **options):
    return float(((quantizer.dequantize(quantizer.quantize(vectors, **options)) - vectors) ** 2).sum(1).mean())


def test_kmeans_is_as_good_as_scipy(vectors):
    ours = VectorQuantizer.fit(vectors, 16, iterations=50)
    words, _ = kmeans2(vectors, 16, iter=50, minit="++", seed=1)
    assert error(ours, vectors) < 1.05 * float((vq(vectors, words)[1] ** 2).mean())
    assert (ours.quantize(vectors) == vq(vectors, ours.words)[0]).all()
    assert (np.diff(np.bincount(ours.quantize(vectors), minlength=16)) <= 0).all()  # frequent words first
    assert (VectorQuantizer.fit(vectors, 16, iterations=50).words == ours.words).all()


def test_entropy_constraint_buys_bits_with_error(vectors):
    plain = VectorQuantizer.fit(vectors, 32)
    constrained = VectorQuantizer.fit(vectors, 32, rate_weight=0.1)

    def rate(quantizer, **options):
        counts = np.bincount(quantizer.quantize(vectors, **options))
        counts = counts[counts > 0]
        return float(-(counts * np.log2(counts / len(vectors))).sum() / len(vectors))

    smaller = VectorQuantizer.fit(vectors, 16)
    assert rate(constrained, rate_weight=0.1) < rate(plain)
    cost = [
        error(q, vectors, rate_weight=w) + 0.1 * rate(q, rate_weight=w) for q, w in ((constrained, 0.1), (plain, 0.0))
    ]
    assert cost[0] < cost[1] and cost[0] < error(smaller, vectors) + 0.1 * rate(smaller)


def test_product_and_residual(vectors):
    six = np.concatenate([vectors, vectors[::-1]], 1)
    product = ProductQuantizer.fit(six, 16, groups=2)
    halves = [VectorQuantizer.fit(part, 16) for part in (six[:, :3], six[:, 3:])]
    assert error(product, six) == pytest.approx(
        sum(error(h, p) for h, p in zip(halves, (six[:, :3], six[:, 3:]), strict=True))
    )
    residual = ResidualQuantizer.fit(six, 16, layers=4)
    indices = residual.quantize(six)
    errors = [float(((residual.dequantize(indices[:, :k]) - six) ** 2).mean()) for k in range(1, 5)]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.3 * errors[0]
    assert (residual.quantize(six)[:, :2] == indices[:, :2]).all()
    for quantizer in (product, residual):
        with pytest.raises(StreamError):
            quantizer.dequantize(np.full((1, 5), 0))
        with pytest.raises(StreamError):
            quantizer.dequantize(np.full((1, 2), 16))
    with pytest.raises(ValueError, match="groups"):
        ProductQuantizer.fit(six, 4, groups=4)
    with pytest.raises(ValueError, match="different vectors"):
        VectorQuantizer.fit(np.zeros((10, 2)), 2)
    with pytest.raises(ValueError, match="too few"):
        VectorQuantizer.fit(six[:3], 4)


@given(st.integers(0, 50), st.floats(0.01, 0.5))
def test_the_choice_never_costs_more_than_rounding(seed, weight):
    rng = np.random.default_rng(seed)
    x = rng.laplace(0, rng.uniform(0.3, 2, 4), (300, 4))
    plain, chosen = quantize_uniform(x, 1.0), quantize_rate_distortion(x, 1.0, weight)
    assert (quantize_rate_distortion(x, 1.0, 0.0) == plain).all()

    def cost(symbols):
        bits = 0.0
        for column in symbols.T:
            counts = np.unique(column, return_counts=True)[1]
            bits -= (counts * np.log2(counts / len(column))).sum()
        return ((x - symbols) ** 2).sum() + weight * bits

    assert cost(chosen) <= cost(plain) + 1e-6
    assert (np.abs(chosen) <= np.abs(plain) + 1).all()
