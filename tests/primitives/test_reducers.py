"""Reducers: properties that all have, each one's own rule by hand, and subsets' codes."""

import math

import numpy as np
import pytest
from codeckit.primitives import StreamError
from codeckit.primitives.tokens import REDUCERS, decode_subset, encode_subset, merge_similar, subset_bits, unmerge
from codeckit.primitives.tokens.reducers import attention_outliers, information_density, qpid
from hypothesis import given, settings
from hypothesis import strategies as st

each_reducer = pytest.mark.parametrize("name", REDUCERS)
CHOOSING = ("random", "grid", "qpid", "fastv", "divprune")  # tokens stay as they are


@st.composite
def scenes(draw):
    grid = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    n = grid[0] * grid[1]
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    features = rng.normal(size=(n, 5)).astype(np.float32)
    if draw(st.booleans()):
        features[: n // 2] = features[0]  # a plain area
    attention = rng.dirichlet(np.full(n, 0.4)) if n > 1 else np.ones(1)
    return features, grid, draw(st.integers(1, n)), attention, rng.normal(size=(n, 3))


@each_reducer
@settings(max_examples=60)
@given(scene=scenes())
def test_what_all_have_in_common(name, scene):
    features, grid, budget, attention, keys = scene
    reduced = REDUCERS[name](features, grid, budget, attention, keys)
    assert reduced.tokens.shape == (budget, 5) and reduced.tokens.dtype == np.float32
    assert len(set(reduced.kept.tolist())) == budget and (np.diff(reduced.kept) > 0).all()
    assert 0 <= reduced.kept[0] and reduced.kept[-1] < len(features)
    assert reduced.merge_map.shape == (len(features),) and (reduced.merge_map[reduced.kept] == np.arange(budget)).all()
    assert unmerge(reduced).shape == features.shape
    again = REDUCERS[name](features, grid, budget, attention, keys)
    assert (again.tokens == reduced.tokens).all() and (again.merge_map == reduced.merge_map).all()
    if name in CHOOSING:
        assert (reduced.tokens == features[reduced.kept]).all()
    if budget == len(features) and not name.startswith("prumerge"):
        assert np.allclose(unmerge(reduced), features, atol=1e-6)


@pytest.mark.parametrize("score", ["density", "norm", "uniform"])
@pytest.mark.parametrize("quadtree", [True, False])
@settings(max_examples=30)
@given(scene=scenes())
def test_qpid_and_its_ablations_keep_the_budget(score, quadtree, scene):
    features, grid, budget, *_ = scene
    reduced = qpid(features, grid, budget, score=score, quadtree=quadtree)
    assert len(reduced.kept) == budget
    if not quadtree and score == "norm":
        lengths = np.linalg.norm(features, axis=1)
        assert sorted(lengths[reduced.kept]) == pytest.approx(sorted(lengths)[-budget:])


def test_qpid_spends_where_something_is():
    rng = np.random.default_rng(0)
    features = np.tile(np.array([1.0, 0, 0, 0, 0, 0]), (256, 1)) + rng.normal(0, 0.01, (256, 6))
    features = features.reshape(16, 16, 6)
    features[4:8, 8:12] = rng.normal(0, 1, (4, 4, 6))  # a small object on a plain ground
    inside = np.zeros((16, 16), bool)
    inside[4:8, 8:12] = True
    kept = np.zeros(256, bool)
    kept[qpid(features.reshape(256, 6), (16, 16), 24).kept] = True
    assert (qpid(features.reshape(256, 6), (16, 16), 24, choose="informative").kept != np.flatnonzero(kept)).any()
    assert kept.reshape(16, 16)[inside].sum() >= 12
    assert kept.reshape(16, 16)[~inside].sum() >= 3  # and the ground has some, too
    information = information_density(features.reshape(256, 6))
    assert information[inside.ravel()].min() > np.median(information[~inside.ravel()]) and information.min() == 0


def test_rules_by_hand():
    features = np.array([[1.0, 0], [0.9, 0.1], [0, 1], [0.1, 1], [-1, 0.2], [0.5, 0.5]])
    attention = np.array([0.05, 0.3, 0.1, 0.4, 0.1, 0.05])
    grid = (2, 3)
    assert REDUCERS["fastv"](features, grid, 2, attention).kept.tolist() == [1, 3]
    fused = REDUCERS["evit"](features, grid, 3, attention)
    assert fused.kept.tolist() == [1, 2, 3]  # position 2 is the first of the rest
    rest, weight = [0, 2, 4, 5], attention[[0, 2, 4, 5]]
    assert np.allclose(fused.tokens[1], weight @ features[rest] / weight.sum())
    merged = REDUCERS["prumerge"](features, grid, 1, attention)
    assert np.allclose(merged.tokens[0], features[3] + attention[2] * features[2])  # one neighbour of so few
    pairs = REDUCERS["tome"](features, grid, 3)  # A: 0, 2, 4; B: 1, 3, 5; 0 joins 1, 2 joins 3, 4 joins its best
    assert pairs.kept.tolist() == [0, 2, 5] and pairs.sizes.sum() == 6
    assert np.allclose(pairs.tokens[0], features[:2].mean(0))
    assert attention_outliers(attention) == 0 and attention_outliers(np.array([1, 1, 1, 1, 1, 1, 1, 9.0])) == 1


def test_visionzip_averages_what_attention_leaves():
    rng = np.random.default_rng(0)
    features, attention = rng.normal(size=(36, 4)), rng.random(36)
    reduced = REDUCERS["visionzip"](features, (6, 6), 13, attention)
    dominant = np.argsort(-attention)[:11]
    for position in dominant:
        k = int(np.searchsorted(reduced.kept, position))
        assert (reduced.merge_map == k).sum() == 1 and np.allclose(reduced.tokens[k], features[position])
    assert reduced.sizes.sum() == 36 and (reduced.sizes > 1).sum() == 2


@given(scene=scenes(), name=st.sampled_from(CHOOSING))
def test_merging_the_dropped_loses_less(scene, name):
    features, grid, budget, attention, keys = scene
    chosen = REDUCERS[name](features, grid, budget, attention, keys)
    merged = merge_similar(chosen, features)
    assert (merged.kept == chosen.kept).all() and merged.sizes.sum() == len(features)
    for k in range(budget):
        assert np.allclose(merged.tokens[k], features[merged.merge_map == k].mean(0), atol=1e-5)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    nearest = (unit @ unit[merged.kept].T).max(1)
    reached = (unit * unit[merged.kept[merged.merge_map]]).sum(1)
    assert np.allclose(reached, nearest, atol=1e-5)


def test_bad_reductions():
    features = np.zeros((6, 2))
    for budget in (0, 7, 1.5, True):
        with pytest.raises(ValueError, match="budget"):
            REDUCERS["random"](features, (2, 3), budget)
    with pytest.raises(ValueError, match="grid"):
        REDUCERS["random"](features, (2, 2), 1)
    for name in ("fastv", "evit", "prumerge", "prumerge+", "visionzip"):
        with pytest.raises(ValueError, match="attention"):
            REDUCERS[name](features, (2, 3), 2)


# --- subsets ---


@settings(max_examples=150)
@given(st.tuples(st.integers(1, 12), st.integers(1, 12)), st.floats(0, 1), st.integers(0, 99), st.booleans())
def test_subsets_come_back(grid, share, seed, together):
    rng = np.random.default_rng(seed)
    mask = rng.random(grid) < share
    if together:
        mask[:] = False
        mask[: round(share * grid[0]), : round(share * grid[1])] = True
    data = encode_subset(mask)
    assert (decode_subset(data, grid) == mask).all()
    n, k = mask.size, int(mask.sum())
    assert subset_bits(mask) <= math.ceil(math.log2(math.comb(n, k))) + 1


@pytest.mark.parametrize("k", [144, 72, 36])
def test_side_information_is_within_two_percent_of_the_bound(k):
    mask = np.zeros(576, bool)
    mask[np.random.default_rng(k).permutation(576)[:k]] = True
    assert subset_bits(mask.reshape(24, 24)) <= 1.02 * math.log2(math.comb(576, k))


def test_what_lies_together_costs_less():
    mask = np.zeros((24, 24), bool)
    mask[:12, 12:] = True
    assert subset_bits(mask) < 0.1 * math.log2(math.comb(576, 144))


def test_large_grids():
    mask = np.random.default_rng(0).random((150, 150)) < 0.3
    assert (decode_subset(encode_subset(mask), (150, 150)) == mask).all()


def test_damaged_subsets():
    rng = np.random.default_rng(0)
    for mask in (rng.random((9, 9)) < 0.3, np.arange(81).reshape(9, 9) < 40):
        data = encode_subset(mask)
        for cut in range(len(data)):
            with pytest.raises(StreamError):
                decode_subset(data[:cut], (9, 9))
        for _ in range(200):
            damaged = bytearray(data)
            damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
            try:
                assert decode_subset(bytes(damaged), (9, 9)).shape == (9, 9)
            except StreamError:
                pass
    with pytest.raises(StreamError, match="more after"):
        decode_subset(data + b"x", (9, 9))
