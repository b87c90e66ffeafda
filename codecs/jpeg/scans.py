"""Scan scripts: in which order a JPEG file sends its coefficients.

A sequential file has one scan with everything. A progressive file (ITU-T T.81 Annex G) sends coarse information first,
in two ways: *spectral selection* sends a band of coefficients a scan, *successive approximation* sends the high bits
first and refines them bit by bit. Besides showing a picture early this saves bytes: every scan has its own Huffman
tables, and runs of blocks that hold nothing in a band cost one symbol.
"""

from collections.abc import Callable
from dataclasses import replace

from .markers import Scan


def sequential(planes: int) -> list[Scan]:
    """One scan with everything.

    >>> sequential(3)
    [Scan(components=(0, 1, 2), start=0, end=63, high=0, low=0, tables=())]
    """
    return [Scan(tuple(range(planes)))]


def progressive(planes: int) -> list[Scan]:
    """libjpeg's progression: ten scans for colour, six for grey."""
    every = tuple(range(planes))
    if planes == 1:
        first = [Scan((0,), 1, 5, 0, 2), Scan((0,), 6, 63, 0, 2)]
        return [
            Scan(every, 0, 0, 0, 1),
            *first,
            Scan((0,), 1, 63, 2, 1),
            Scan(every, 0, 0, 1, 0),
            Scan((0,), 1, 63, 1, 0),
        ]
    chroma = tuple(reversed(every[1:]))
    return [
        Scan(every, 0, 0, 0, 1),
        Scan((0,), 1, 5, 0, 2),
        *(Scan((c,), 1, 63, 0, 1) for c in chroma),
        Scan((0,), 6, 63, 0, 2),
        Scan((0,), 1, 63, 2, 1),
        Scan(every, 0, 0, 1, 0),
        *(Scan((c,), 1, 63, 1, 0) for c in chroma),
        Scan((0,), 1, 63, 1, 0),
    ]


#: Where bands may end in a thorough search.
_ENDS = (1, 2, 5, 9, 14, 20, 27, 35, 48, 63)


def optimized(planes: int, cost: Callable[[Scan], int], thorough: bool = False) -> list[Scan]:
    """The progression that costs least, found component by component.

    For every component: how many low bits of its AC coefficients to send in refining scans (0…3), then where to split
    the first scan's band in two, if at all. DC is sent whole or with one refined bit, together or apart. A thorough
    search goes through all ways to split both first and refining scans into bands that end at certain coefficients.

    Args:
        planes: number of components.
        cost: bits that a scan takes, with its headers and tables.
        thorough: search more; takes some ten times as long.
    """
    dc_scripts = []
    for groups in ([tuple(range(planes))], [(c,) for c in range(planes)]):
        dc_scripts.append([Scan(group, 0, 0) for group in groups])
        dc_scripts.append([Scan(group, 0, 0, 0, 1) for group in groups] + [Scan(group, 0, 0, 1, 0) for group in groups])

    def total(scans):
        return sum(map(cost, scans))

    script = list(min(dc_scripts, key=total))
    for c in range(planes):
        approximations = []
        for low in range(4):
            refining = [Scan((c,), 1, 63, bit + 1, bit) for bit in reversed(range(low))]
            approximations.append((low, [Scan((c,), 1, 63, 0, low)], refining))
        low, first, refining = min(approximations, key=lambda candidate: total(candidate[1] + candidate[2]))
        splits = [[Scan((c,), 1, k, 0, low), Scan((c,), k + 1, 63, 0, low)] for k in (2, 5, 8, 12, 18)]
        candidates = [first, *splits]
        if thorough:
            candidates.append(_best_bands(first[0], cost))
            refining = [scan for whole in refining for scan in _best_bands(whole, cost)]
        script += min(candidates, key=total) + refining
    return script


def _best_bands(whole: Scan, cost) -> list[Scan]:
    """The cheapest division of a scan of AC coefficients into bands, by dynamic programming over their ends."""
    best = {0: (0, [])}
    for end in _ENDS:
        candidates = []
        for start, (spent, scans) in best.items():
            scan = replace(whole, start=start + 1, end=end)
            candidates.append((spent + cost(scan), [*scans, scan]))
        best[end] = min(candidates, key=lambda candidate: candidate[0])
    return best[63][1]
