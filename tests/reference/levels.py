"""Maps of levels: docs/format/levels.md."""

import numpy as np

from .arithmetic import Decoder, Made
from .container import check


def level_map(data: bytes, grid: tuple[int, int]) -> np.ndarray:
    """The map, int64 [rows,columns]."""
    decoder, counts, found = Decoder(data), Made([0, 0]), np.zeros(grid, np.int64)

    def decide(context):
        no, yes = counts[context]
        p = (4 * yes + 1) * 65536 // (4 * (no + yes) + 2)
        bit = decoder.decide(min(max(p, 536), 65000))
        counts[context][bit] += 1
        return bit

    for i, j in np.ndindex(*grid):
        above = found[i - 1, j] if i else found[i, j - 1] if j else 0
        left = found[i, j - 1] if j else above
        corner = found[i - 1, j - 1] if i and j else above
        if decide(4 if i == j == 0 else int(left == above) + 2 * int(corner == above)):
            found[i, j] = left
        elif left != above and decide(5 + int(corner == left)):
            found[i, j] = above
        else:
            sign, distance = 1 if decide(7 + int(left > 0)) else -1, 1
            while decide(8 + distance):
                distance += 1
                check(distance <= 30, "two levels of a map are too far apart")
            found[i, j] = left + sign * distance
            check(abs(found[i, j]) <= 15, "a map has a level beyond ±15")
    decoder.finish()
    return found
