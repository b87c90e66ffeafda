"""Reducers that build their subset token by token, each the one that adds most to those kept already.

=============  =====================================================================================================
reducer        adds the token v
=============  =====================================================================================================
`coverage`     by which all tokens come nearest to one that is kept: max Σ_u max(C_u, s_uv) − C_u
`scope`        the same times v's attention (SCOPE)
`max_entropy`  whose variance is largest given those kept, under the kernel exp((cos − 1) / τ): a subset of high entropy
`pivoted`      whose variance is largest given those kept, if tokens covary by their product, and the less the farther
`cdpruner`     the same under the kernel r_u s_uv r_v, r the relevance to a question (CDPruner)
`holov`        best of its crop; crops have quotas by attention and variety (HoloV-style)
=============  =====================================================================================================

s is the cosine, C_u the best similarity of u to what is kept. Coverage is submodular, so the greedy choice has at least
1 − 1/e of the best coverage. A normal vector with covariance L has the entropy ½ log det L + const, and the variance of
v given the kept ones is what v adds to the determinant: the greedy choice for `max_entropy` and `cdpruner` is that of a
determinantal point process (L. Chen et al., "Fast Greedy MAP Inference for Determinantal Point Process", NeurIPS 2018),
and the pivots of a Cholesky factorization. `pivoted` is ours: under the cosine alone two objects of one kind are one,
and so are a faint token and a strong one.

Sources: SCOPE: NeurIPS 2025 (arXiv 2510.24214). CDPruner: NeurIPS 2025 (arXiv 2506.10967). HoloV: NeurIPS 2025 (arXiv
2510.02912); of this the quotas are rebuilt from the description.
"""

import numpy as np

from .reduced import Reduced, by_attention, checked, select, similarities

#: Temperature of the kernel of `max_entropy`.
TEMPERATURE = 0.1

#: Of `pivoted`: the variance of the noise over that of a token, and σ in distances of K tokens that lie evenly.
_NOISE, _REACH = 0.03, 2.5

#: Crops of `holov` a side.
_CROPS = 4


def coverage(features, grid, budget, cls_attention=None, keys=None) -> Reduced:
    """Tokens that all others are similar to.

    >>> coverage(np.array([[1.0, 0], [1, 0.1], [1, 0.2], [0, 1]]), (2, 2), 2).kept.tolist()
    [2, 3]
    """
    features = checked(features, grid, budget)
    return select(features, grid, _covering(similarities(features), np.ones(len(features)), budget))


def scope(features, grid, budget, cls_attention=None, keys=None) -> Reduced:
    """SCOPE: coverage times attention.

    >>> tokens = np.array([[1.0, 0], [1, 0.1], [1, 0.2], [0, 1]])
    >>> scope(tokens, (2, 2), 1, np.array([0.1, 0.1, 0.7, 0.1])).kept.tolist()
    [2]
    """
    features = checked(features, grid, budget)
    by_attention(features, cls_attention, "scope")  # refuses what is no attention
    return select(features, grid, _covering(similarities(features), np.asarray(cls_attention, np.float64), budget))


def _covering(similarity, weight, budget) -> np.ndarray:
    similarity = np.maximum(similarity, 0)
    covered, kept = np.zeros(len(similarity)), []
    for _ in range(budget):
        gain = weight * (np.maximum(similarity, covered[:, None]).sum(0) - covered.sum())
        gain[kept] = -np.inf
        kept.append(int(gain.argmax()))
        covered = np.maximum(covered, similarity[:, kept[-1]])
    return np.array(kept)


def max_entropy(features, grid, budget, cls_attention=None, keys=None) -> Reduced:
    """The tokens that can be foretold least from one another.

    >>> max_entropy(np.array([[1.0, 0], [1, 0.01], [0, 1], [-1, 0]]), (2, 2), 3).kept.tolist()
    [0, 2, 3]
    """
    features = checked(features, grid, budget)
    return select(features, grid, conditional_entropy(features, [(np.arange(len(features)), budget)]))


def pivoted(features, grid, budget, cls_attention=None, keys=None) -> Reduced:
    """Pivots of the Cholesky factorization of the tokens' covariance, which falls with their distance on the grid.

    The covariance of two tokens is their product over the mean square, times exp(−d² / 2σ²), and there is a little
    noise. d is their distance in sides of the grid, and σ = 2.5 / √K: K tokens that lie evenly are 1/√K apart. What is
    far away or unlike those kept, and large, comes first.

    >>> pivoted(np.array([[1.0, 0], [2, 0.01], [0, 1], [0.1, 0]]), (2, 2), 2).kept.tolist()
    [1, 2]
    """
    features = checked(features, grid, budget)
    x = np.asarray(features, np.float64)
    at = np.stack(np.divmod(np.arange(len(x)), grid[1]), 1) / np.array(grid)
    near = np.exp(-budget / (2 * _REACH**2) * ((at[:, None] - at[None]) ** 2).sum(2))
    kernel = x @ x.T / max((x * x).sum(1).mean(), 1e-12) * near + _NOISE * np.eye(len(x))
    return select(features, grid, _determinant(kernel, [(np.arange(len(x)), budget)]))


def conditional_entropy(features, parts) -> np.ndarray:
    """Of each part [positions], in turn, so many positions: each of the largest variance given all taken before."""
    kernel = np.exp((similarities(features) - 1) / TEMPERATURE)
    np.fill_diagonal(kernel, 1)  # not a rounding error more for one than for another
    return _determinant(kernel, parts)


def cdpruner(features, grid, budget, relevance, keys=None) -> Reduced:
    """CDPruner: tokens that differ, and matter for a question.

    Args:
        features, grid, budget, keys: as for all reducers.
        relevance: of each token to the question, [N]; brought to 0 … 1.

    >>> tokens = np.array([[1.0, 0], [1, 0.01], [0, 1], [-1, 0]])
    >>> cdpruner(tokens, (2, 2), 2, np.array([0.1, 0.9, 1.0, 0.1])).kept.tolist()
    [1, 2]
    """
    features = checked(features, grid, budget)
    r = np.asarray(relevance, np.float64)
    r = (r - r.min()) / max(r.max() - r.min(), 1e-12)
    kernel = r[:, None] * similarities(features) * r
    return select(features, grid, _determinant(kernel, [(np.arange(len(features)), budget)]))


def _determinant(kernel, parts) -> np.ndarray:
    """Greedy positions, by a Cholesky factor that grows by a row for each of them."""
    variance = np.diag(kernel).copy()
    rows: list[np.ndarray] = []
    kept: list[int] = []
    for inside, count in parts:
        for _ in range(count):
            left = variance[inside]
            left[np.isin(inside, kept)] = -np.inf
            best = int(inside[left.argmax()])
            factor = np.array(rows).T @ np.array([row[best] for row in rows]) if rows else 0.0
            row = (kernel[best] - factor) / np.sqrt(max(variance[best], 1e-12))
            variance = variance - row * row
            rows.append(row)
            kept.append(best)
    return np.array(kept)


def holov(features, grid, budget, cls_attention=None, keys=None) -> Reduced:
    """HoloV-style: each of 4×4 crops has a share of the budget, and spends it on its best tokens.

    A token's score is its attention plus how much its similarity to the others of its crop varies, both brought to a
    mean of 1 over the picture. A crop's share follows the softmax of its mean score.
    """
    features = checked(features, grid, budget)
    by_attention(features, cls_attention, "holov")
    rows, columns = np.divmod(np.arange(len(features)), grid[1])
    crop = rows * _CROPS // grid[0] * _CROPS + columns * _CROPS // grid[1]
    similarity, variety = similarities(features), np.zeros(len(features))
    numbers = np.unique(crop)
    for number in numbers:
        own = np.flatnonzero(crop == number)
        variety[own] = similarity[np.ix_(own, own)].var(1)
    score = sum(part / max(part.mean(), 1e-12) for part in (np.asarray(cls_attention, np.float64), variety))
    means = np.array([score[crop == number].mean() for number in numbers])
    share = np.exp(means - means.max())
    kept: list[int] = []
    room = {number: np.flatnonzero(crop == number) for number in numbers}
    quota = budget * share / share.sum()
    taken = np.minimum(np.floor(quota).astype(int), [len(room[number]) for number in numbers])
    for number, count in zip(numbers, taken, strict=True):
        kept += room[number][np.argsort(-score[room[number]], kind="stable")[:count]].tolist()
    rest = np.setdiff1d(np.arange(len(features)), kept)
    owed = (quota - taken)[np.searchsorted(numbers, crop[rest])]  # what crops lost by rounding goes first
    kept += rest[np.lexsort((-score[rest], -owed))][: budget - len(kept)].tolist()
    return select(features, grid, kept)
