"""Rate control: which quality meets a target, found by coding few times.

Rate and PSNR grow with quality. So there is one place on the quality scale where a target is crossed, and bisection
finds it; but each step of it codes the picture or the video once, and a scale of 800 levels takes ten. Logarithms of
rates, and dB, are nearly straight over quality. So the next level to try lies where a line through the nearest levels
on both sides crosses the target; bisection comes in where that does not halve what is left.

**Videos.** A short excerpt is cheap to code, and its curve of rate over quality has the shape of the whole video's: the
two are about a constant apart in logarithms of rates, and in dB. So the excerpt's curve gives the first guess; the
video is coded there; and what comes of it says how far the curves are apart for the next guess. Two passes are the
least, since the level next to the answer must be seen to miss. Every answer was really coded.
"""

import math
from collections.abc import Callable

#: Frames of the excerpt. Videos of less than four times as many are coded as a whole at every step.
EXCERPT = 12

#: Passes that follow the excerpt's curve before bisection takes over, should the curves have little in common.
_TRUSTED = 5


def crossing(
    value_at: Callable[[int], float],
    target: float,
    low: int,
    high: int,
    like: Callable[[int], float] | None = None,
) -> int:
    """The first level whose value exceeds a target; ``high + 1`` if none does.

    Args:
        value_at: the value at a level, which grows with it; called once a level, and of neighbours at the end.
        target: what is to be exceeded.
        low, high: the levels.
        like: a cheap function that differs from `value_at` by about a constant.

    >>> asked = []
    >>> crossing(lambda level: asked.append(level) or 3 * level, 100, 0, 1000, lambda level: 3 * level - 5)
    34
    >>> asked
    [36, 34, 33]
    """
    known: dict[int, float] = {}

    def guess(level: int) -> float:
        if level not in known:
            known[level] = like(level) if like else 0.0
        return known[level] + shift

    below, above, shift, passes = low - 1, high + 1, 0.0, 0
    under_value = over_value = math.nan
    slow = False
    while above - below > 1:
        level, left = (below + above) // 2, above - below
        rise = over_value - under_value
        if not slow and math.isfinite(rise) and rise > 0:
            level = min(max(below + math.ceil((target - under_value) / rise * left), below + 1), above - 1)
        if like and passes < _TRUSTED:
            under, over = below, above
            while over - under > 1:
                middle = (under + over) // 2
                under, over = (under, middle) if guess(middle) > target else (middle, over)
            level = min(max(over, below + 1), above - 1)
        value, passes = value_at(level), passes + 1
        if value > target:
            above, over_value = level, value
        else:
            below, under_value = level, value
        slow = not slow and 2 * (above - below) > left
        if like and math.isfinite(value - guess(level)):
            shift += value - guess(level)
    return above
