"""Token reducers: K tokens instead of N, chosen or merged so that a reader misses little.

All have one form::

    reduced = reducer(features [N,C], grid, budget, cls_attention=None, keys=None)
    reduced.tokens [K,C]     what is sent on
    reduced.kept [K]         positions they stand at, ascending
    reduced.merge_map [N]    which of the K stands for each position

`cls_attention` [N] is how much the class token attends to each token (mean over the heads), `keys` [N,D] are the
tokens' keys in that layer (without them, the features). Reducers that need what they were not given say so.

=================  =====================================================================================================
reducer            rule
=================  =====================================================================================================
`random`, `grid`   baselines: any K; K spread evenly over the grid
`qpid`             information density, shared out over an adaptive quadtree (below)
`qpid+`            the same choice; every dropped token joins the kept one most similar to it, which becomes their mean
`fastv`            the K that are attended to most (by the class token at layer 2: a proxy of FastV's last query token)
`prumerge`         the K that the class token attends to most, each with its nearest merged into it (32 of 576)
`prumerge_plus`    the same, where only attention's outliers are chosen so and the others are spread over the grid
`evit`             the K − 1 that the class token attends to most, and one token fused from the rest
`visionzip`        most by attention, and a few *contextual* ones that average the rest by similarity of keys
`tome`             merges the most similar pairs, again and again, weighted by how many tokens they are
`divprune`         greedily the K that are farthest from one another (cosine)
`coverage`, `scope`, `max_entropy`, `pivoted`, `holov`   built token by token: `greedy`
`pivoted+`         `pivoted`, merged as in `qpid+`
=================  =====================================================================================================

Where nothing is merged, `merge_map` sends a dropped position to the nearest kept one on the grid, which a receiver
knows from `kept` alone. For merged tokens the map has to be sent where it is needed (`unmerge`).

**QPID-style.** After the paper's description ("Compression Tells Intelligence", arXiv 2601.20742, section 4.6: a
density of information that knows no task, and a quadtree that refines where it is high), which has no formula; this is
our reconstruction. With z the tokens scaled to unit length, a token's information is its surprisal under the density of
the picture's own tokens::

    I_i = −log( (1/N) Σ_j exp((z_i · z_j − 1) / τ) )      τ = 0.1, less its minimum

The quadtree splits the part with the largest mass M_R = Σ I_i, best first, until no part has more than 4 M / K, or
there are K/2 parts. Each part has one token, and the others of the budget in proportion to its mass. The paper asks for
a non-redundant subset: so the token that differs most from those kept already is taken next. (Taking the most
informative instead keeps near copies and outliers; it was measured to be worse.)

Sources: FastV: Chen et al., ECCV 2024. PruMerge: Shang et al., 2024 (arXiv 2403.15388). EViT: Liang et al., ICLR 2022.
VisionZip: Yang et al., CVPR 2025. ToMe: Bolya et al., ICLR 2023. DivPrune: Alvar et al., CVPR 2025. All from the
papers.
"""

import heapq

import numpy as np

from .greedy import conditional_entropy, coverage, holov, max_entropy, pivoted, scope
from .reduced import (
    Reduced,
    averaged,
    by_attention,
    checked,
    merge_similar,
    select,
    similarities,
    unit,
    z_order,
)

#: What a stage calls its map of `Reduced.merge_map`, by which the explorer puts reduced tokens in place.
STANDS_FOR = "which token stands for each"

#: Temperature of QPID's density.
_TEMPERATURE = 0.1

#: Tokens that PruMerge merges into each kept one, of CLIP's 576.
_NEIGHBOURS = 32, 576

#: VisionZip's share of contextual tokens: 10 of 64.
_CONTEXTUAL = 10 / 64


def random(features, grid, budget, cls_attention=None, keys=None, *, seed: int = 0) -> Reduced:
    """Any K tokens.

    >>> random(np.zeros((9, 2)), (3, 3), 4).kept.tolist()
    [2, 4, 5, 6]
    """
    features = checked(features, grid, budget)
    return select(features, grid, np.random.default_rng(seed).permutation(len(features))[:budget])


def uniform_grid(features, grid, budget, cls_attention=None, keys=None) -> Reduced:
    """K tokens spread evenly: every (N/K)-th along a Z-shaped curve through the grid.

    >>> uniform_grid(np.zeros((16, 2)), (4, 4), 4).kept.tolist()
    [4, 6, 12, 14]
    """
    features = checked(features, grid, budget)
    order = z_order(grid)
    return select(features, grid, order[((np.arange(budget) + 0.5) * len(order) / budget).astype(np.int64)])


def qpid(
    features,
    grid,
    budget,
    cls_attention=None,
    keys=None,
    *,
    score: str = "density",
    quadtree: bool = True,
    choose: str = "diverse",
) -> Reduced:
    """QPID-style: a quadtree shares the budget out by information, and each part keeps tokens that differ.

    Args:
        score: ``"density"``, or as ablations ``"norm"`` (the length of a token) and ``"uniform"``.
        quadtree: False keeps the K best of the whole grid, an ablation, too.
        choose: within a part, ``"diverse"`` takes the token that differs most from all that are kept already,
            ``"entropy"`` the one that can be foretold least from them (`greedy.max_entropy`), ``"informative"`` that of
            the highest score, and ``"random"`` any.
    """
    features = checked(features, grid, budget)
    information = _SCORES[score](features)
    if not quadtree:
        return select(features, grid, np.argsort(-information, kind="stable")[:budget])
    plane = information.reshape(grid)
    parts = _quadtree(plane, budget)
    masses = np.array([plane[part].sum() for part in parts])
    sizes = np.array([plane[part].size for part in parts])
    counts = _share_out(budget, masses, sizes)
    positions = np.arange(len(features)).reshape(grid)
    inside = [positions[part].ravel() for part in parts]
    if choose in _WAYS:
        return select(features, grid, _WAYS[choose](features, [(inside[n], counts[n]) for n in _by_mass(masses)]))
    best = [own[np.argsort(-information[own], kind="stable")[:k]] for own, k in zip(inside, counts, strict=True)]
    return select(features, grid, np.concatenate(best))


def qpid_plus(features, grid, budget, cls_attention=None, keys=None) -> Reduced:
    """QPID-style with merging: `qpid`, then `merge_similar`.

    >>> features = np.array([[1.0, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]])
    >>> qpid_plus(features, (2, 2), 2).sizes.tolist()
    [2, 2]
    """
    return merge_similar(qpid(features, grid, budget), features)


def pivoted_plus(features, grid, budget, cls_attention=None, keys=None) -> Reduced:
    """`greedy.pivoted` with merging: `merge_similar`."""
    return merge_similar(pivoted(features, grid, budget), features)


def _by_mass(masses) -> np.ndarray:
    """The parts, the heaviest first."""
    return np.argsort(-masses, kind="stable")


def _diverse(features, parts) -> np.ndarray:
    """Of each part [positions], in turn, so many positions: each the farthest (cosine) from all taken before.

    The very first is the most typical of its part.
    """
    distance = 1 - similarities(features)
    nearest, kept = None, []
    for inside, count in parts:
        free = inside.tolist()
        for _ in range(count):
            far = -distance[np.ix_(free, inside)].sum(1) if nearest is None else nearest[free]
            kept.append(free.pop(int(far.argmax())))
            nearest = distance[kept[-1]] if nearest is None else np.minimum(nearest, distance[kept[-1]])
    return np.array(kept)


def _any(features, parts) -> np.ndarray:
    """Of each part so many positions at random."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.permutation(inside)[:count] for inside, count in parts])


#: How `qpid` chooses within its parts, all parts together.
_WAYS = {"diverse": _diverse, "entropy": conditional_entropy, "random": _any}


def information_density(features: np.ndarray) -> np.ndarray:
    """QPID's I_i of tokens [N,C]: float64 [N], the least is 0.

    >>> information_density(np.array([[1.0, 0], [1, 0], [0, 1]])).round(2).tolist()
    [0.0, 0.0, 0.69]
    """
    z = unit(features)
    similarity = np.exp((np.clip(z @ z.T, -1, 1) - 1) / _TEMPERATURE)
    information = -np.log(similarity.mean(1))
    return information - information.min()


_SCORES = {
    "density": information_density,
    "norm": lambda features: np.linalg.norm(np.asarray(features, np.float64), axis=1),
    "uniform": lambda features: np.ones(len(features)),
}


def quadtree(features, grid, budget) -> np.ndarray:
    """The parts into which `qpid` cuts a grid of tokens [N,C] for a budget: uint32 [N], numbers of parts.

    >>> features = np.vstack([np.ones((8, 8)), np.eye(8)])
    >>> quadtree(features, (4, 4), 8).reshape(4, 4).tolist()
    [[2, 2, 3, 3], [2, 2, 3, 3], [0, 0, 1, 1], [0, 0, 1, 1]]
    """
    labels = np.zeros(grid, np.uint32)
    information = information_density(checked(features, grid, budget)).reshape(grid)
    for number, part in enumerate(_quadtree(information, budget)):
        labels[part] = number
    return labels.ravel()


def _quadtree(plane: np.ndarray, budget: int) -> list[tuple[slice, slice]]:
    """The parts of the grid, best first: the heaviest is split until none weighs more than 4 M / K."""
    limit, most = 4 * plane.sum() / budget, max(budget // 2, 1)
    whole = (slice(0, plane.shape[0]), slice(0, plane.shape[1]))
    waiting, parts, number = [(-plane.sum(), 0, whole)], [], 0
    while waiting:
        mass, _, (rows, columns) = heapq.heappop(waiting)
        halves = []
        for extent in (rows, columns):
            middle = extent.start - (extent.start - extent.stop) // 2  # the first half is the larger
            halves.append([slice(extent.start, middle), slice(middle, extent.stop)])
        children = [(r, c) for r in halves[0] for c in halves[1] if r.stop > r.start and c.stop > c.start]
        if -mass <= limit or len(children) == 1 or len(parts) + len(waiting) + len(children) > most:
            parts.append((rows, columns))
            continue
        for child in children:
            number += 1
            heapq.heappush(waiting, (-plane[child].sum(), number, child))
    return parts


def _share_out(budget: int, masses: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """One token for each part and the others by largest remainder of their mass; none has more than its size."""
    counts = np.ones(len(masses), np.int64)
    while (left := budget - counts.sum()) > 0:
        weight = np.where(counts < sizes, masses, 0.0)
        if weight.sum() <= 0:
            weight = np.where(counts < sizes, sizes - counts, 0).astype(np.float64)
        share = left * weight / weight.sum()
        whole = np.minimum(np.floor(share).astype(np.int64), sizes - counts)
        counts += whole
        order = np.argsort(-(share - np.floor(share)), kind="stable")
        order = order[(weight > 0)[order] & (counts < sizes)[order]]
        counts[order[: budget - counts.sum()]] += 1
    return counts


def fastv(features, grid, budget, cls_attention=None, keys=None) -> Reduced:
    """The K tokens that are attended to most."""
    features = checked(features, grid, budget)
    return select(features, grid, by_attention(features, cls_attention, "fastv")[:budget])


def prumerge(features, grid, budget, cls_attention=None, keys=None) -> Reduced:
    """PruMerge with a given budget: by attention, and each kept token with its 32 nearest tokens merged into it."""
    features = checked(features, grid, budget)
    kept = np.sort(by_attention(features, cls_attention, "prumerge")[:budget])
    return _merge_neighbours(features, kept, cls_attention, keys)


def prumerge_plus(features, grid, budget, cls_attention=None, keys=None) -> Reduced:
    """PruMerge+: attention's outliers first, then tokens spread over the grid; each with its 32 nearest merged."""
    features = checked(features, grid, budget)
    order = by_attention(features, cls_attention, "prumerge_plus")
    chosen = order[: min(attention_outliers(cls_attention), budget)]
    spread = z_order(grid)
    spread = spread[~np.isin(spread, chosen)]
    others = budget - len(chosen)
    if others:
        spread = spread[((np.arange(others) + 0.5) * len(spread) / others).astype(np.int64)]
        chosen = np.concatenate([chosen, spread])
    return _merge_neighbours(features, np.sort(chosen), cls_attention, keys)


def attention_outliers(cls_attention: np.ndarray) -> int:
    """How many tokens PruMerge would keep of itself: those above Q3 + 1.5 · IQR of the attention.

    >>> attention_outliers(np.array([1, 1, 1, 2, 1, 1, 9, 1.5]))
    1
    """
    q1, q3 = np.quantile(cls_attention, [0.25, 0.75])
    return int(np.count_nonzero(cls_attention > q3 + 1.5 * (q3 - q1)))


def _merge_neighbours(features, kept, attention, keys) -> Reduced:
    """Each kept token plus the attention-weighted sum of its nearest tokens by keys; the map goes by keys, too.

    PruMerge takes 32 neighbours of 576 tokens, here as large a part of the tokens that there are.
    """
    attention = np.asarray(attention, np.float64) / np.sum(attention)
    similarity = similarities(features if keys is None else keys)
    nearest = similarity[kept].copy()
    nearest[np.arange(len(kept)), kept] = -np.inf
    of, whole = _NEIGHBOURS
    count = min(max(round(of * len(features) / whole), 1), len(features) - 1)
    tokens = features[kept].astype(np.float64)
    if count:
        chosen = np.argsort(-nearest, axis=1, kind="stable")[:, :count]
        tokens += np.einsum("kj,kjc->kc", attention[chosen], features[chosen].astype(np.float64))
    merge_map = similarity[:, kept].argmax(1)
    merge_map[kept] = np.arange(len(kept))
    return Reduced(tokens.astype(features.dtype), kept, merge_map, np.full(len(kept), count + 1))


def evit(features, grid, budget, cls_attention=None, keys=None) -> Reduced:
    """EViT: K − 1 tokens by attention, and the attention-weighted mean of the rest, where their first stands."""
    features = checked(features, grid, budget)
    order = by_attention(features, cls_attention, "evit")
    if budget == len(features):
        return select(features, grid, order)
    alone, rest = order[: budget - 1], order[budget - 1 :]
    weight = np.asarray(cls_attention, np.float64)[rest]
    weight = weight / weight.sum() if weight.sum() > 0 else np.full(len(rest), 1 / len(rest))
    kept = np.sort([*alone, rest[0]])
    at = int(np.searchsorted(kept, rest[0]))
    tokens = features[kept].copy()
    tokens[at] = weight @ features[rest]
    merge_map = np.full(len(features), at)
    merge_map[kept] = np.arange(budget)
    sizes = np.ones(budget, np.int64)
    sizes[at] = len(rest)
    return Reduced(tokens, kept, merge_map, sizes)


def visionzip(features, grid, budget, cls_attention=None, keys=None) -> Reduced:
    """VisionZip: dominant tokens by attention, and contextual targets, strided, that average the rest by keys."""
    features = checked(features, grid, budget)
    order = by_attention(features, cls_attention, "visionzip")
    contextual = min(max(round(budget * _CONTEXTUAL), 1), budget, len(features) - budget + 1)
    dominant, rest = order[: budget - contextual], np.sort(order[budget - contextual :])
    targets = rest[(np.arange(contextual) * len(rest)) // contextual]
    kept = np.sort(np.concatenate([dominant, targets]))
    similarity = similarities(features if keys is None else keys)
    merge_map = np.searchsorted(kept, targets)[similarity[:, targets].argmax(1)]
    merge_map[kept] = np.arange(budget)
    return averaged(features, kept, merge_map)


def tome(features, grid, budget, cls_attention=None, keys=None) -> Reduced:
    """ToMe: rounds of bipartite merging of the most similar tokens, at most half of them a round, until K are left.

    In a network it is done a few a layer; this is the same rule at one place. A merged token stands at the first
    position of those that it is made of.
    """
    features = checked(features, grid, budget)
    groups = [[n] for n in range(len(features))]
    values, metric = features.astype(np.float64), np.array(features if keys is None else keys, np.float64)
    sizes = np.ones(len(features))
    while len(groups) > budget:
        a, b = np.arange(0, len(groups), 2), np.arange(1, len(groups), 2)
        similarity = unit(metric[a]) @ unit(metric[b]).T
        best = similarity.argmax(1)
        merged = np.argsort(-similarity.max(1), kind="stable")[: len(groups) - budget]
        gone = a[merged]
        for source, target in zip(gone, b[best[merged]], strict=True):
            total = sizes[source] + sizes[target]
            values[target] = (sizes[source] * values[source] + sizes[target] * values[target]) / total
            metric[target] = (sizes[source] * metric[source] + sizes[target] * metric[target]) / total
            sizes[target] = total
            groups[target] = groups[target] + groups[source]
        stays = np.setdiff1d(np.arange(len(groups)), gone)
        groups, values, metric, sizes = [groups[n] for n in stays], values[stays], metric[stays], sizes[stays]
    order = np.argsort([min(group) for group in groups])
    groups = [groups[n] for n in order]
    merge_map = np.empty(len(features), np.int64)
    for k, group in enumerate(groups):
        merge_map[group] = k
    kept = np.array([min(group) for group in groups])
    return Reduced(values[order].astype(features.dtype), kept, merge_map, sizes[order].astype(np.int64))


def divprune(features, grid, budget, cls_attention=None, keys=None) -> Reduced:
    """DivPrune: greedy max-min diversity; first the token that is farthest from its nearest, then what is farthest.

    >>> divprune(np.array([[1.0, 0], [1, 0.01], [0, 1], [-1, 0]]), (2, 2), 3).kept.tolist()
    [0, 2, 3]
    """
    features = checked(features, grid, budget)
    distance = 1 - similarities(features)
    np.fill_diagonal(distance, np.inf)
    chosen = [int(distance.min(1).argmax())]
    nearest = distance[chosen[0]].copy()
    nearest[chosen[0]] = -np.inf
    while len(chosen) < budget:
        n = int(nearest.argmax())
        chosen.append(n)
        nearest = np.minimum(nearest, distance[n])
        nearest[chosen] = -np.inf
    return select(features, grid, np.array(chosen))


#: All reducers by name.
REDUCERS = {
    "random": random,
    "grid": uniform_grid,
    "qpid": qpid,
    "qpid+": qpid_plus,
    "fastv": fastv,
    "prumerge": prumerge,
    "prumerge+": prumerge_plus,
    "evit": evit,
    "visionzip": visionzip,
    "tome": tome,
    "divprune": divprune,
    "coverage": coverage,
    "scope": scope,
    "max-entropy": max_entropy,
    "pivoted": pivoted,
    "pivoted+": pivoted_plus,
    "holov": holov,
}

#: Those that need attention.
ATTENDING = ("fastv", "prumerge", "prumerge+", "evit", "visionzip", "scope", "holov")
