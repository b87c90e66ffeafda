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
it: two equal stages do the same.

**Ids.** Streams name stages by ids such as ``codeckit:Wavelet@1``: the distribution that declares the stage, the
stage's name, and a number that grows when its meaning changes. The table of ids is that of the declarations
(`primitives.plugins`), with what `register_stage` added in this process. The name of a class, the order of imports and
the defaults of its fields play no part: `spec` writes every field that decoding needs, and `from_spec` refuses a stage
with fields missing. Nothing in a stream is executed.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

import numpy as np

from . import plugins
from .anatomy import Anatomy, Part
from .errors import StreamError

#: The group of entry points that declare stages.
GROUP = "codeckit.stages"

#: Stages that this process added, by id.
_registered: dict[str, type["Stage"]] = {}


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

    #: Whether `forward` of this (last) stage writes a complete file of a standard format, which no `.ckt` wraps.
    native: ClassVar[bool] = False

    #: What files of a native last stage can hold besides the picture: some of "exif", "icc", "xmp", "comment"; and
    #: "grey icc" if files of grey pictures can have a profile.
    carries: ClassVar[frozenset[str]] = frozenset()

    #: Fields that streams leave out: those that only `forward` needs, those that `inverse` finds in its input, and
    #: weights, which a stream names by their fingerprint.
    unwritten: ClassVar[tuple[str, ...]] = ()

    #: Whether this, as a codec's last stage, runs the codec's other stages itself: in a loop from frame to frame, say.
    #: Encoding and decoding then call nothing but what `among` returns.
    absorbs: ClassVar[bool] = False

    def among(self, stages: Mapping[str, "Stage"], /) -> "Stage":
        """The stage as it works among a codec's others, for a last stage that `absorbs` them.

        Args:
            stages: all stages of the codec by role, this one the last.

        Returns:
            A stage that takes the codec's input and writes its payload.

        Raises:
            ValueError: a stage that is needed is missing, or is of a kind that does not fit.
        """
        return self

    def forward(self, x: Any, /) -> Any:
        """Return `x` one step closer to the bytes."""
        raise TypeError(f"{type(self).__name__} defines no forward(x)")

    def inverse(self, y: Any, /) -> Any:
        """Return `y` one step closer to the picture.

        The last stage of a codec takes a second argument, `max_pixels`: the largest picture to accept.
        """
        raise TypeError(f"{type(self).__name__} defines no inverse(y)")

    def forward_many(self, xs: list, /) -> list:
        """`forward` of each; stages that compute with networks take those of one size together."""
        return [self.forward(x) for x in xs]

    def inverse_many(self, ys: list, /, *limits: int) -> list:
        """`inverse` of each. The last stage of a codec gets a second argument: the largest picture to accept.

        Args:
            ys: outputs of `forward`.
            limits: for the last stage of a codec, whose `inverse` reads bytes: `max_pixels`.
        """
        inverse: Callable[..., Any] = self.inverse
        return [inverse(y, *limits) for y in ys]

    def inverse_file(self, data: bytes, max_pixels: int, reading: Any) -> Any:
        """`inverse` of a native last stage, for files that may hold more than `forward` writes.

        Args:
            data: a file of the stage's format, of any encoder.
            max_pixels: the largest picture to accept.
            reading: what to do with transparent pixels, many bits and frames (`codecs.reading.Reading`).
        """
        inverse: Callable[..., Any] = self.inverse
        return inverse(data, max_pixels)

    def inverse_partial(self, payload: bytes, max_pixels: int):
        """`inverse` of a last stage's payload that may be cut at its end: what is there, for embedded payloads.

        Raises:
            StreamError: the stage's payloads cannot be decoded in part.
        """
        raise StreamError(f"a part of what {type(self).__name__} writes cannot be decoded")

    def weighed(self, octaves: np.ndarray, stages: Mapping[str, "Stage"], /) -> "Stage | None":
        """The stage as it encodes a picture whose errors do not weigh the same everywhere; None if it cannot.

        Args:
            octaves: float32 [H,W] with mean 0: a squared error at a pixel weighs 2^octaves (`codecs.importance`).
            stages: all stages of the codec by role.

        Raises:
            ValueError: it could, but for the options that it has.
        """
        return None

    def maps(self, x: Any, y: Any, /) -> dict[str, np.ndarray]:
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

    def anatomy(self, x: Any, payload: bytes, /) -> Anatomy:
        """What the bits of a payload are, and what each symbol of `x` took of them; for the last stage of a codec.

        Args:
            x: the stage's input.
            payload: ``forward(x)``.
        """
        return Anatomy((Part("coded data", 8 * len(payload), role="quantize"),))

    def describe(self, payload: bytes) -> tuple[tuple[int, int], str]:
        """Size (H, W) and colour model of the picture in an entropy stage's payload, without decoding it."""
        raise StreamError(f"what {type(self).__name__} writes does not say what it holds")

    def facts(self, payload: bytes) -> dict[str, Any]:
        """What else an entropy stage's payload says before its symbols, by name: tables, side values."""
        return {}

    def __str__(self):
        """The class's name, with the fields that differ from their defaults."""
        shown = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in dataclasses.fields(cast(Any, self))
            if field.repr and getattr(self, field.name) != field.default
        ]
        return type(self).__name__ + (f"({', '.join(shown)})" if shown else "")


class Weighted(Stage):
    """A stage that computes with trained weights: its field `weights` is the handle that its codec holds.

    A handle has a ``fingerprint`` (bytes), a ``device`` and ``on(device)``, which gives the handle for another device.
    """

    unwritten: ClassVar[tuple[str, ...]] = ("weights",)

    def with_weights(self, weights: Any) -> "Weighted":
        """The same stage with another handle."""
        return dataclasses.replace(cast(Any, self), weights=weights)

    def find_weights(self, fingerprint: bytes) -> Any:
        """The handle of the weights that a stream was made with.

        Raises:
            StreamError: they are not known here.
        """
        raise TypeError(f"{type(self).__name__} defines no find_weights(fingerprint)")


def folded(stages: dict[str, Stage]) -> dict[str, Stage]:
    """The stages that encoding and decoding fold: all; or the last one alone, as it works among those that it absorbs.

    Raises:
        ValueError: the last stage absorbs others that it cannot work with.

    >>> from codeckit.primitives import PadTo, YCbCr
    >>> list(folded({"color": YCbCr(), "pad": PadTo(16)}))
    ['color', 'pad']
    """
    role, last = list(stages.items())[-1]
    return {role: last.among(stages)} if last.absorbs else stages


def register_stage(stage: type[Stage], id: str) -> type[Stage]:
    """Give a stage class an id in this process, so that streams can name it. A distribution declares it instead.

    Args:
        stage: a frozen dataclass that derives from `Stage`.
        id: ``"NAMESPACE:NAME@NUMBER"``; the namespace is yours, not codeckit's.

    Raises:
        ValueError: the id is malformed, or stands for another class.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Negate(Stage):
    ...     def forward(self, x):
    ...         return -x
    ...     def inverse(self, y):
    ...         return -y
    >>> spec(register_stage(Negate, "my-lab:Negate@1")())
    ['my-lab:Negate@1', {}]
    """
    namespace, colon, name = id.partition(":")
    if not (namespace and colon and name.partition("@")[2].isdigit()) or namespace == plugins.OWN:
        raise ValueError(f"a stage's id is 'NAMESPACE:NAME@NUMBER' with a namespace of your own, not {id!r}")
    declaration = plugins.find(GROUP, id)
    known = _registered.get(id) or (declaration and declaration.load())
    if known not in (None, stage):
        raise ValueError(f"{id} is {known.__module__}.{known.__qualname__} already; a changed stage takes a new number")
    _registered[id] = stage
    return stage


def registered_stages() -> dict[str, type[Stage]]:
    """What this process registered, by id: no other process finds it through a declaration."""
    return dict(_registered)


def stage_id(stage: Stage | type[Stage]) -> str:
    """What streams call a stage.

    Raises:
        ValueError: its class is neither declared nor registered.

    >>> from codeckit.primitives import YCbCr
    >>> stage_id(YCbCr())
    'codeckit:YCbCr@1'
    """
    kind = stage if isinstance(stage, type) else type(stage)
    path = f"{kind.__module__}:{kind.__qualname__}"
    own = _own_by_path().get(path)
    if own and own.load() is kind:
        return own.id
    for id, known in _registered.items():
        if known is kind:
            return id
    package = kind.__module__.partition(".")[0]
    for declaration in plugins.declared(GROUP):  # a path may name the class where a package hands it on
        if re.split("[.:]", declaration.path)[0] == package and declaration.load() is kind:
            return declaration.id
    name = f"NAMESPACE:{kind.__name__}@1"
    raise ValueError(
        f"the stage {kind.__module__}.{kind.__qualname__} has no id, so streams cannot name it: "
        f"register_stage({kind.__name__}, {name!r}) for this process, or declare it in a distribution (docs/extend.md)"
    )


@functools.cache
def _own_by_path() -> dict[str, plugins.Declaration]:
    return {declaration.path: declaration for declaration in plugins.own(GROUP).values()}


def stage_class(name: str) -> type[Stage]:
    """The stage class with an id, or with a short name: ``"YCbCr@1"``, or ``"YCbCr"`` for the highest number.

    Raises:
        StreamError: there is none.

    >>> stage_class("codeckit:YCbCr@1") is stage_class("YCbCr")
    True
    """
    if "@" not in name:
        numbers = [*(each.name for each in plugins.declared(GROUP)), *(id.partition(":")[2] for id in _registered)]
        same = [each for each in numbers if each.partition("@")[0] == name]
        name = max(same, key=lambda each: int(each.partition("@")[2]), default=name)
    if name in _registered:
        return _registered[name]
    try:
        declaration = plugins.find(GROUP, name)
        found: Any = declaration.load() if declaration else None
    except (ValueError, ImportError) as error:
        raise StreamError(str(error)) from error
    if declaration is None:
        by_name = [kind for id, kind in _registered.items() if id.partition(":")[2] == name]
        if len(by_name) == 1:
            return by_name[0]
        namespace, colon, _ = name.partition(":")
        hint = f"; it may come with the distribution {namespace!r}" if colon and namespace != plugins.OWN else ""
        raise StreamError(f"no stage is called {name!r}{hint}")
    if isinstance(found, type) and issubclass(found, Stage) and dataclasses.is_dataclass(found):
        return cast(type[Stage], found)
    raise StreamError(f"{name!r} is declared as {declaration.path}, which is no stage")


def spec(stage: Stage) -> list:
    """A stage as JSON-able data: its id, and all fields that decoding needs.

    >>> from codeckit.primitives import PadTo, Wavelet
    >>> spec(Wavelet("5/3", levels=3)), spec(PadTo(16))
    (['codeckit:Wavelet@1', {'kernel': '5/3', 'levels': 3, 'centred': False}], ['codeckit:PadTo@1', {'multiple': 16}])
    """
    return [stage_id(stage), {name: _plain(getattr(stage, name)) for name in written_fields(type(stage))}]


def written_fields(kind: type[Stage]) -> tuple[str, ...]:
    """The fields of a stage class that streams hold."""
    return tuple(field.name for field in dataclasses.fields(cast(Any, kind)) if field.name not in kind.unwritten)


def from_spec(data) -> Stage:
    """The stage that `spec` described.

    Raises:
        StreamError: the data names a stage that does not exist here, has other fields than the stage, or values that
            the stage refuses.

    >>> from_spec(["codeckit:PadTo@1", {"multiple": 16}])
    PadTo(multiple=16)
    """
    if not (isinstance(data, list | tuple) and len(data) == 2 and isinstance(data[0], str)):
        raise StreamError(f"a stage is described by its id and its fields, not by {str(data)[:80]!r}")
    id, fields = data
    if not isinstance(fields, dict):
        raise StreamError(f"the fields of {id[:80]} are {str(fields)[:80]!r}, no JSON object")
    if ":" not in id:
        raise StreamError(f"a stage's id is 'NAMESPACE:NAME@NUMBER', not {id[:80]!r}")
    kind = stage_class(id)
    wanted = written_fields(kind)
    if set(fields) != set(wanted):
        raise StreamError(f"{id} has the fields {', '.join(wanted) or '–'}, not {', '.join(fields)[:80] or '–'}")
    try:
        return kind(**{name: _hashable(value) for name, value in fields.items()})
    except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
        raise StreamError(f"the stage {id} cannot have the fields {str(fields)[:80]}: {error}") from error


def _plain(value):
    """Tuples as the lists that JSON has, numpy's numbers as Python's."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _hashable(value):
    """The inverse: lists as the tuples that stages have."""
    return tuple(_hashable(item) for item in value) if isinstance(value, list) else value
