"""What token reducers return, and what their rules share."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Reduced:
    """What a reducer returns.

    Attributes:
        tokens: [K,C].
        kept: int64 [K], ascending positions.
        merge_map: int64 [N], 0 … K − 1: which token stands for each position. A kept position is its own.
        sizes: int64 [K], how many tokens each is the mean of.
    """

    tokens: np.ndarray
    kept: np.ndarray
    merge_map: np.ndarray
    sizes: np.ndarray


def unmerge(reduced: Reduced) -> np.ndarray:
    """A token for every position again, [N,C]: the one that stands for it.

    >>> features = np.arange(8.0).reshape(4, 2)
    >>> unmerge(select(features, (2, 2), range(4))).tolist() == features.tolist()
    True
    """
    return reduced.tokens[reduced.merge_map]


def merge_similar(reduced: Reduced, features, keys=None) -> Reduced:
    """The same positions, where every dropped token joins the kept one most similar to it, which becomes their mean.

    Whatever a reducer's rule of choosing is, less is lost so; but the map cannot be derived from `kept` any more.

    >>> features = np.array([[1.0, 0], [0.1, 0.9], [0, 1]])
    >>> merge_similar(select(features, (1, 3), [0, 2]), features).merge_map.tolist()
    [0, 1, 1]
    """
    features = np.asarray(features)
    similarity = similarities(features if keys is None else keys)[:, reduced.kept]
    merge_map = similarity.argmax(1)
    merge_map[reduced.kept] = np.arange(len(reduced.kept))
    return averaged(features, reduced.kept, merge_map)


def checked(features, grid, budget) -> np.ndarray:
    """Tokens as floats [N,C].

    Raises:
        ValueError: they do not fill the grid, or there are fewer than the budget.
    """
    features = np.asarray(features)
    if features.ndim != 2 or len(features) != grid[0] * grid[1]:
        raise ValueError(f"tokens [N,C] of a grid {grid[0]}×{grid[1]} have not the shape {list(features.shape)}")
    if isinstance(budget, bool) or int(budget) != budget or not 1 <= budget <= len(features):
        raise ValueError(f"a budget is a number of tokens from 1 to {len(features)}, not {budget!r}")
    return features if features.dtype.kind == "f" else features.astype(np.float64)


def by_attention(features, cls_attention, name) -> np.ndarray:
    """All positions, those that are attended to most first."""
    if cls_attention is None or np.shape(cls_attention) != (len(features),):
        raise ValueError(
            f"{name} chooses by attention: pass cls_attention, one number for each of {len(features)} tokens"
        )
    return np.argsort(-np.asarray(cls_attention, np.float64), kind="stable")


def select(features, grid, kept) -> Reduced:
    """Tokens as they are; a dropped position is represented by the nearest kept one on the grid."""
    kept = np.sort(np.asarray(kept, np.int64))
    at = np.stack(np.divmod(np.arange(len(features)), grid[1]), 1)
    merge_map = ((at[:, None] - at[kept][None]) ** 2).sum(2).argmin(1)
    return Reduced(features[kept], kept, merge_map, np.ones(len(kept), np.int64))


def averaged(features, kept, merge_map) -> Reduced:
    """Means of the tokens that the map brings together."""
    sizes = np.bincount(merge_map, minlength=len(kept))
    sums = np.zeros((len(kept), features.shape[1]))
    np.add.at(sums, merge_map, features)
    return Reduced((sums / sizes[:, None]).astype(features.dtype), kept, merge_map, sizes)


def unit(vectors) -> np.ndarray:
    """Vectors [N,C] of length 1."""
    vectors = np.asarray(vectors, np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def similarities(vectors) -> np.ndarray:
    """Cosine of every pair."""
    own = unit(vectors)
    return own @ own.T


def z_order(grid) -> np.ndarray:
    """All positions along a Z-shaped (Morton) curve, which keeps neighbours together."""
    rows, columns = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    code = np.zeros(len(rows), np.int64)
    for bit in range(int(max(grid)).bit_length()):
        code |= (rows >> bit & 1) << 2 * bit + 1 | (columns >> bit & 1) << 2 * bit
    return np.argsort(code, kind="stable")
