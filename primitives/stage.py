"""Stages: the one protocol that every codec is made of.

Every codec is the same three verbs: transform, quantize, entropy-code. A *stage* is one step of it, with two methods
that undo each other and nothing else that matters::

    y = stage.forward(x)        # towards the bytes
    x = stage.inverse(y)        # towards the picture

A transform's ``inverse`` restores its input (exactly, or to float rounding). A quantizer's ``inverse`` is
dequantization, so ``forward(inverse(forward(x))) == forward(x)``: quantizing twice changes nothing more. An entropy
stage's ``forward`` returns ``bytes`` and its ``inverse`` restores its input exactly.

Encoding folds ``forward`` over the stages from left to right, decoding folds ``inverse`` from right to left.

A stage is a frozen dataclass of plain values (numbers, strings, tuples). Its fields are all that there is to know of
it: two equal stages do the same, and a stream can name its stages by class and fields (`spec` and `from_spec`) without
anything being executed that the package does not contain.
"""

import dataclasses
from typing import ClassVar

import numpy as np

from .anatomy import Anatomy, Part
from .errors import StreamError


class Stage:
    """Base of all stages: subclasses are frozen dataclasses with ``forward`` and ``inverse``.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Negate(Stage):
    ...     def forward(self, x):
    ...         return -x
    ...     def inverse(self, y):
    ...         return -y
    >>> Negate().inverse(Negate().forward(3))
    3
    """

    #: Every stage class by its name, for streams that name their stages. Filled as subclasses are defined.
    classes: ClassVar[dict[str, type]] = {}

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        Stage.classes[cls.__name__] = cls

    #: Whether `forward` of this (last) stage writes a complete file of a standard format, which no `.ckt` wraps.
    native: ClassVar[bool] = False

    #: What a stream calls the network weights that the stage computes with: 4 bytes, or nothing.
    fingerprint: ClassVar[bytes] = b""

    def forward(self, x):
        """Return `x` one step closer to the bytes."""
        raise TypeError(f"{type(self).__name__} defines no forward(x)")

    def inverse(self, y):
        """Return `y` one step closer to the picture."""
        raise TypeError(f"{type(self).__name__} defines no inverse(y)")

    def forward_many(self, xs: list) -> list:
        """`forward` of each; stages that compute with networks take those of one size together."""
        return [self.forward(x) for x in xs]

    def inverse_many(self, ys: list, *limits) -> list:
        """`inverse` of each, with the same further arguments for all."""
        return [self.inverse(y, *limits) for y in ys]

    def maps(self, x, y) -> dict:
        """What `forward`, which made `y` of `x`, has to show beside the values: arrays by name (`Trace`).

        Planes [h,w] of unsigned integers are labels: positions with the same number belong together.
        """
        return {}

    def in_place(self, values: np.ndarray) -> np.ndarray | None:
        """Numbers [h,w] that belong to the positions of an output plane, as numbers that lie as the picture lies.

        Most stages keep positions where they are; one that sorts them (a wavelet pyramid) puts them back, sums
        unchanged. None if positions of the output are no places (frequencies of the whole picture).
        """
        return values

    def anatomy(self, x, payload: bytes) -> Anatomy:
        """What the bits of a payload are, and what each symbol of `x` took of them; for the last stage of a codec.

        Args:
            x: the stage's input.
            payload: ``forward(x)``.
        """
        return Anatomy((Part("coded data", 8 * len(payload), role="quantize"),))

    def describe(self, payload: bytes) -> tuple[tuple[int, int], str]:
        """Size (H, W) and colour model of the picture in an entropy stage's payload, without decoding it."""
        from .bitstream import ByteReader
        from .picture import unpack_header

        header, _ = unpack_header(ByteReader(payload), 1 << 62)
        return header.size, header.color

    def for_decoding(self) -> "Stage":
        """The stage reduced to the parameters that `inverse` needs and that its input does not carry.

        A stream records this one. By default it is the stage itself; a stage whose `inverse` reads everything from
        its input (a quantizer whose step sizes travel with the coefficients) returns its class's default instance.
        """
        return self


def spec(stage: Stage):
    """A stage as JSON-able data: its class name, with the fields that differ from the class's defaults.

    >>> from codeckit.primitives import Subsample
    >>> spec(Subsample()), spec(Subsample("4:4:4"))
    ('Subsample', {'Subsample': {'sampling': '4:4:4'}})
    """
    fields = {
        f.name: getattr(stage, f.name)
        for f in dataclasses.fields(stage)
        if f.default is dataclasses.MISSING or getattr(stage, f.name) != f.default
    }
    name = type(stage).__name__
    return {name: fields} if fields else name


def from_spec(data) -> Stage:
    """The stage that `spec` described.

    Raises:
        StreamError: the data names a stage that does not exist here, or gives it parameters that it refuses.

    >>> from_spec({"Subsample": {"sampling": "4:4:4"}})
    Subsample(sampling='4:4:4', align=8)
    """
    if isinstance(data, str):
        data = {data: {}}
    if not isinstance(data, dict) or len(data) != 1:
        raise StreamError(f"a stage is described by its name or {{name: fields}}, not by {str(data)[:80]!r}")
    ((name, fields),) = data.items()
    from . import load_stage_class

    stage_class = load_stage_class(name)
    try:
        return stage_class(**_hashable(fields))
    except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
        raise StreamError(f"the stage {name} cannot have the fields {str(fields)[:80]}: {error}") from error


def _hashable(value):
    """JSON gives lists where dataclasses hold tuples."""
    if isinstance(value, dict):
        return {str(key): _hashable(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_hashable(item) for item in value)
    return value
