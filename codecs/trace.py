"""What stands between the stages of a codec, and what each costs: the record of one encoding.

A `Trace` shows what ran: the stages that an encoder's search chose, the symbols that the file holds, and the file.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..primitives import container, information
from ..primitives.anatomy import Anatomy, Dissector, spread
from ..primitives.stage import Stage


class Record:
    """Takes down the steps of an encoding as they happen."""

    def __init__(self, image: np.ndarray, maps: dict[str, np.ndarray] | None = None):
        self._stages: dict[str, Stage] = {}
        self._steps = [Step.of("image", "", image, maps)]

    def see(self, role: str, stage: Stage, value: Any) -> None:
        """Measure the output of the next step."""
        maps = stage.maps(self._steps[-1].value, value)
        self._steps.append(Step.of(role, type(stage).__name__, value, maps))
        self._stages[role] = stage

    def trace(self, stages: dict[str, Stage], stream: bytes) -> "Trace":
        """The record as a whole, with the stream at the end, of an encoding by these stages."""
        *_, last = stages.values()
        absorbed = {role: stage for role, stage in stages.items() if last.absorbs and role not in self._stages}
        return Trace(self._stages, tuple(self._steps), stream, absorbed)


def _arrays(value) -> tuple[np.ndarray, ...]:
    return value.planes if hasattr(value, "planes") else (value,)


@dataclass(frozen=True)
class Step:
    """What one stage made.

    Attributes:
        role: the stage's role in the codec, or ``"image"`` for the input.
        stage: the stage's class name.
        value: the stage's output: array, `Picture` or bytes.
        bits: size of `value` as it stands: array elements times their width, or 8 bits a byte.
        entropy: order-0 entropy of integer arrays, in bits, plane by plane, coefficient by coefficient (what an ideal
            static coder with one table for each would need); None for others.
        maps: what the stage shows beside that, arrays by name: for the rounding of a learned codec "latents", "scales",
            "bits" (where the bits go), "bits by channel" and "side bits", see `codecs.learned.stages.LatentCoded.maps`.
    """

    role: str
    stage: str
    value: Any
    bits: int
    entropy: float | None
    maps: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, role: str, stage: str, value, maps: dict[str, np.ndarray] | None = None) -> "Step":
        """Measure `value`."""
        if isinstance(value, bytes):
            return cls(role, stage, value, 8 * len(value), None, maps or {})
        arrays = _arrays(value)
        entropy = None
        if all(np.issubdtype(array.dtype, np.integer) for array in arrays):
            entropy = sum(information.class_entropy_bits(array) for array in arrays)
        return cls(role, stage, value, sum(8 * array.nbytes for array in arrays), entropy, maps or {})

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of each plane; empty for bytes."""
        return () if isinstance(self.value, bytes) else tuple(array.shape for array in _arrays(self.value))


@dataclass(frozen=True)
class Trace:
    """One image's way through a codec. ``print`` it for a table.

    Attributes:
        stages: those that ran one after the other, by role.
        steps: the image, then each stage's output.
        stream: the file.
        absorbed: those that the last stage ran itself, by role.
    """

    stages: dict[str, Stage]
    steps: tuple[Step, ...]
    stream: bytes
    absorbed: dict[str, Stage] = field(default_factory=dict)

    @property
    def native(self) -> bool:
        """Whether the stream is a file of a standard format, without a `.ckt` container around the payload."""
        return list(self.stages.values())[-1].native

    def anatomy(self) -> Anatomy:
        """What every bit of the stream is, and what every symbol took; computed anew at each call.

        >>> import codeckit
        >>> trace = codeckit.codec("jpeg").trace(np.zeros((64, 64), np.uint8))
        >>> trace.anatomy().bits == 8 * len(trace.stream)
        True
        """
        (*_, last), payload = self.stages.values(), self.steps[-1].value
        found = last.anatomy(self.steps[-2].value, payload)
        if self.native:
            return found
        around = Dissector(self.stream)
        container.dissect(around, len(payload))
        (*head, tail) = around.parts
        return Anatomy((*head, *found.parts, tail), found.costs)

    def bits_in_place(self, anatomy: Anatomy | None = None) -> np.ndarray | None:
        """What the file's symbols took at each pixel, in bits, float64 [H,W]; None if the codec cannot tell.

        The `anatomy` may be given where it is known already.

        >>> import codeckit
        >>> trace = codeckit.codec("jpeg").trace(np.tile(np.arange(64, dtype=np.uint8) % 9, (64, 1)))
        >>> trace.bits_in_place().shape
        (64, 64)
        """
        size = self.steps[0].value.shape[:2]
        total = np.zeros(size)
        for plane in (anatomy or self.anatomy()).costs:
            values: Any = plane.reshape(*plane.shape[:2], -1).sum(2)
            for stage in list(self.stages.values())[-2::-1]:
                values = stage.in_place(values)
                if values is None:
                    return None
            # Positions stand for a power of two of pixels a side, of which the last may lie outside the picture.
            height, width = (
                n << max(math.ceil(math.log2(side / n)), 0) for n, side in zip(values.shape, size, strict=True)
            )
            total += spread(values, (height, width))[: size[0], : size[1]]
        return total if total.any() else None

    def importance(self, anatomy: Anatomy | None = None) -> tuple[float, float] | None:
        """The shares of the picture, and of its symbols' bits, that count more than the mean; None without importance.

        The second is NaN for codecs that cannot tell where bits go. The `anatomy` may be given where it is known.

        >>> import codeckit
        >>> image = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
        >>> area, bits = codeckit.codec("jpeg2000-teaching", importance="roi:0,0,32,32").trace(image).importance()
        >>> area, bits > 0.3
        (0.25, True)
        """
        octaves = self.steps[0].maps.get("importance")
        if octaves is None:
            return None
        where, most = self.bits_in_place(anatomy), octaves > 0
        return float(most.mean()), math.nan if where is None else float(where[most].sum() / where.sum())

    def bits_by_stage(self, anatomy: Anatomy | None = None) -> dict[str, int]:
        """The bits of the file that serve each step, by role, ``"image"`` first; and ``"file"``, the container.

        Every bit is counted once: the sum is the file. What serves a role that the codec lacks counts for its last
        stage. The `anatomy` may be given where it is known already.

        >>> import codeckit
        >>> trace = codeckit.codec("jpeg").trace(np.zeros((64, 64), np.uint8))
        >>> trace.bits_by_stage()
        {'image': 40, 'color': 128, 'subsample': 8, 'transform': 0, 'quantize': 672, 'entropy': 536, 'file': 0}
        """
        image, *others = (step.role for step in self.steps)
        bits = dict.fromkeys([image, *self.absorbed, *others, "file"], 0)
        for part in (anatomy or self.anatomy()).parts:
            bits[part.role if part.role in bits else self.steps[-1].role] += part.bits
        return bits

    def __str__(self):
        rows = [("stage", "by", "shape", "dtype", "entropy (bits)", "bits")]
        for number, step in enumerate(self.steps):
            if number == 1:  # the one stage that ran, with all others in it
                rows += [(role, str(stage), f"in {step.role}", "", "", "") for role, stage in self.absorbed.items()]
            shape = " ".join("×".join(map(str, shape)) for shape in step.shapes) or "bytes"
            dtype = "" if isinstance(step.value, bytes) else str(_arrays(step.value)[0].dtype)
            entropy = "" if step.entropy is None else f"{step.entropy:.0f}"
            rows.append((step.role, step.stage, shape, dtype, entropy, str(step.bits)))
        if not self.native:
            rows.append(("file", ".ckt", "bytes", "", "", str(8 * len(self.stream))))
        widths = [max(len(row[i]) for row in rows) for i in range(6)]
        lines = []
        for row in rows:
            left = [cell.ljust(width) for cell, width in zip(row[:4], widths[:4], strict=True)]
            right = [cell.rjust(width) for cell, width in zip(row[4:], widths[4:], strict=True)]
            lines.append("  ".join(left + right).rstrip())
        if (shares := self.importance()) is not None:
            area, bits = shares
            share = "" if math.isnan(bits) else f" and {100 * bits:.0f} % of its symbols' bits"
            lines.append(f"importance: above the mean are {100 * area:.0f} % of the picture{share}")
        return "\n".join(lines)
