"""When frames are shown: the time stamps of videos whose frames do not all last equally long.

A video of constant rate needs its frames a second and no more. Screen recordings, phones and animated pictures show
their frames when there is something new: each has a time of its own, and the last one an end. Times are exact
fractions of a second from the first frame's on, as containers hold them: integers (*ticks*) of a time base.

A `Clock` is such a list in ticks. In a `.ckt` video it is a section (`pack`, `unpack`)::

    ticks a second                                varint
    ticks that a frame lasts                      a varint a frame, none of them 0
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from ..primitives.bitstream import ByteReader, ByteWriter
from ..primitives.errors import StreamError

#: The finest time base: microseconds. What is finer or has no common one is rounded to it.
FINEST = 1_000_000


@dataclass(frozen=True)
class Clock:
    """When frames begin, in ticks.

    Attributes:
        ticks: ascending, from 0 on: when each frame begins, then when the last one ends.
        scale: ticks a second.
    """

    ticks: tuple[int, ...]
    scale: int

    @classmethod
    def of(cls, times: Sequence[Fraction], duration: Fraction) -> "Clock":
        """The clock of frames that begin at `times` (seconds, the first at 0), and of a video that long.

        >>> Clock.of((Fraction(0), Fraction(1, 25)), Fraction(1, 2))
        Clock(ticks=(0, 2, 25), scale=50)
        """
        scale = 1
        for time in (*times, duration):
            scale = math.lcm(scale, time.denominator)
            if scale > FINEST:
                scale = FINEST
                break
        ticks: list[int] = []
        for time in (*times, duration):
            ticks.append(max(round(time * scale), ticks[-1] + 1) if ticks else 0)
        return cls(tuple(ticks), scale)

    @property
    def times(self) -> tuple[Fraction, ...]:
        """When each frame begins, in seconds."""
        return tuple(Fraction(tick, self.scale) for tick in self.ticks[:-1])

    @property
    def duration(self) -> Fraction:
        """When the last frame ends, in seconds."""
        return Fraction(self.ticks[-1], self.scale)

    def at(self, number: int) -> int:
        """When a frame begins.

        Numbers below 0, at which decoders start that put frames in order, count back by the longest frame: so the time
        that decoding takes is never shorter than the video, as MP4 expects.

        >>> [Clock((0, 2, 50), 50).at(number) for number in (-1, 0, 1)]
        [-96, 0, 2]
        """
        if number >= 0:
            return self.ticks[number]
        return (number - 1) * max(end - begin for begin, end in pairwise(self.ticks))


def pack(clock: Clock) -> bytes:
    """The section of a `.ckt` video.

    >>> pack(Clock((0, 2, 25), 50)).hex(" ")
    '32 02 17'
    """
    out = ByteWriter()
    out.varint(clock.scale)
    for begin, end in pairwise(clock.ticks):
        out.varint(end - begin)
    return out.getvalue()


def unpack(block: bytes, count: int | None) -> Clock:
    """The inverse of `pack`, for a video of `count` frames, or of as many as it says.

    Raises:
        StreamError: other than `count` frames, or frames that last no time.

    >>> unpack(bytes.fromhex("320217"), 2)
    Clock(ticks=(0, 2, 25), scale=50)
    """
    reader, ticks = ByteReader(block), [0]
    scale = reader.varint()
    while reader.position < len(block):
        lasts = reader.varint()
        if not lasts:
            raise StreamError(f"frame {len(ticks) - 1} of the video lasts no time")
        ticks.append(ticks[-1] + lasts)
    if not scale or len(ticks) != (len(ticks) if count is None else count + 1):
        raise StreamError(f"the video has {count} frames, but {len(ticks) - 1} time stamps at {scale} ticks a second")
    return Clock(tuple(ticks), scale)


def given_times(times: Iterable) -> tuple[Fraction, ...]:
    """Time stamps that a user hands over as fractions of a second, counted from the first one.

    Raises:
        ValueError: not numbers, or not ascending.

    >>> given_times([1, 1.04, 1.5])
    (Fraction(0, 1), Fraction(1, 25), Fraction(1, 2))
    """
    try:
        exact = [Fraction(float(time) if not isinstance(time, Fraction | int) else time) for time in times]
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"times are numbers of seconds, one a frame: {error}") from error
    found = [(time - exact[0]).limit_denominator(FINEST) for time in exact]
    if not found or any(late <= early for early, late in pairwise(found)):
        raise ValueError("times are numbers of seconds that ascend, one a frame, and one more for the video's end")
    return tuple(found)


def is_regular(stamps: Sequence[int], last: int) -> bool:
    """Whether frames come at a constant rate, as far as a time base's rounding lets one tell.

    Args:
        stamps: when frames begin, in ticks, ascending.
        last: ticks that the last frame lasts, 0 if that is not known.

    >>> is_regular([0, 33, 67, 100], 33), is_regular([0, 33, 67, 500], 33), is_regular([0, 33], 900)
    (True, False, False)
    """
    gaps = len(stamps) - 1
    if gaps < 1:
        return True
    span = stamps[-1] - stamps[0]
    even = all(abs((stamp - stamps[0]) * gaps - n * span) <= gaps for n, stamp in enumerate(stamps))
    return even and last * gaps < 2 * span


def average_rate(count: int, duration: Fraction) -> Fraction:
    """Frames a second of a video that long, in the range that files can state.

    >>> average_rate(6, Fraction(204, 100)), average_rate(2, Fraction(7200))
    (Fraction(50, 17), Fraction(1, 1001))
    """
    return min(max((count / duration).limit_denominator(1001), Fraction(1, 1001)), Fraction(1000))
