"""The anatomy of a stream: what each of its bits says, and what each symbol cost.

A stream is cut into *parts*, one behind the other, so that every bit belongs to exactly one: header fields, tables,
code words, padding. A part knows the *role* that its information serves in the codec (``"color"``, ``"quantize"`` …),
so the file's bits can be told stage by stage, and the sum is the file. Fields that are worth reading have a part each;
what is too long to read (the rest of the code words) is one part.

Beside the parts, an entropy stage may tell the *costs*: the bits that each symbol of its input took. Codes with whole
bits give whole numbers; range coders and ANS the information −log2 p; adaptive coders are metered while they code.

Stages describe themselves (`Stage.anatomy`); `Trace.anatomy` in `codecs.base` puts container and payload together.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Part:
    """Consecutive bits of a stream.

    Attributes:
        name: what they are, such as ``"height"``.
        bits: how many.
        value: what they say, as text.
        group: what they belong to, such as ``"SOF0: frame"``.
        role: the codec's stage that the information serves: ``"image"`` (the picture's size), ``"color"``,
            ``"subsample"``, ``"transform"``, ``"quantize"`` (steps and symbols), ``"entropy"`` (tables, markers,
            padding) or ``"file"`` (the container).
    """

    name: str
    bits: int
    value: str = ""
    group: str = ""
    role: str = "entropy"


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What `Stage.anatomy` tells of a payload.

    Attributes:
        parts: all bits of the payload, in order.
        costs: one array a plane of the stage's input, [rows, columns] or with the coefficients' axes behind: the bits
            that a position, or a symbol, took. Empty where the stage cannot tell.
    """

    parts: tuple[Part, ...]
    costs: tuple[np.ndarray, ...] = field(default=())

    @property
    def bits(self) -> int:
        """The sum over all parts."""
        return sum(part.bits for part in self.parts)


class Dissector:
    """Reads fields from the front of some bytes and notes what they are.

    >>> found = Dissector(bytes([0x90, 3, 7, 7, 7]), group="header")
    >>> found.varint("height", role="image"), found.rest("symbols", role="quantize")
    (400, 24)
    >>> [(part.name, part.bits, part.value) for part in found.parts]
    [('height', 16, '400'), ('symbols', 24, '')]
    """

    def __init__(self, data: bytes, group: str = ""):
        self.data, self.group = data, group
        self.position = 0
        self.parts: list[Part] = []

    def take(self, count: int, name: str, value: str = "", role: str = "entropy") -> bytes:
        """The next `count` bytes, as a part."""
        taken = self.data[self.position : self.position + count]
        self.position += len(taken)
        if taken:
            self.parts.append(Part(name, 8 * len(taken), value, self.group, role))
        return taken

    def number(
        self,
        count: int,
        name: str,
        role: str = "entropy",
        value: Callable[[int], str] = str,
        order: Literal["little", "big"] = "big",
    ) -> int:
        """The next `count` bytes as a number; `value` makes a text of it."""
        number = int.from_bytes(self.data[self.position : self.position + count], order)
        self.take(count, name, value(number), role)
        return number

    def varint(self, name: str, role: str = "entropy", value: Callable[[int], str] = str) -> int:
        """The next varint (`bitstream`)."""
        number, count = 0, 0
        while self.position + count < len(self.data):
            byte = self.data[self.position + count]
            number |= (byte & 127) << 7 * count
            count += 1
            if byte < 128:
                break
        self.take(count, name, value(number), role)
        return number

    def rest(self, name: str, value: str = "", role: str = "entropy") -> int:
        """All that is left, as one part; returns its bits."""
        return 8 * len(self.take(len(self.data) - self.position, name, value, role))


def spread(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Numbers on a grid [h,w] spread over a picture of [H,W] pixels, H ≥ h and W ≥ w: float64, with the same sum.

    >>> spread(np.array([[8, 0]]), (2, 4)).tolist()
    [[2.0, 2.0, 0.0, 0.0], [2.0, 2.0, 0.0, 0.0]]
    """
    rows, columns = (np.arange(side) * count // side for side, count in zip(size, values.shape, strict=True))
    pixels = np.outer(np.bincount(rows, minlength=values.shape[0]), np.bincount(columns, minlength=values.shape[1]))
    return (values / np.maximum(pixels, 1))[np.ix_(rows, columns)]
