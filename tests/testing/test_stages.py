"""The contract of stages: codeckit's own keep it, and each kind of breach is named."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pytest
from codeckit.codecs.baselines import DownsampledCoded, RawCoded
from codeckit.codecs.jpeg import JpegArithmetic, JpegHuffman
from codeckit.codecs.peers.stills import PillowCoded
from codeckit.primitives import (
    AdaptiveIndices,
    AnsCoded,
    BitPlaneCoded,
    BlockDCT,
    ByteReader,
    ByteWriter,
    ContextCoded,
    DctCoded,
    DeadZone,
    FixedIndices,
    HeaderStage,
    HuffmanCoded,
    MixedIndices,
    PadTo,
    Picture,
    QuantTable,
    RangeCoded,
    Stage,
    StaticIndices,
    Subsample,
    Tokens,
    Uniform,
    UniformCoded,
    Wavelet,
    YCbCr,
    pack_header,
    register_stage,
    unpack_header,
)
from codeckit.testing import check_stage

OWN = (
    YCbCr(), PadTo(16), Subsample("4:2:0"), Subsample("4:4:4"), BlockDCT(), Wavelet("9/7", 3), Wavelet("5/3", 2),
    Uniform(4.0), DeadZone(8.0), QuantTable(30),
    UniformCoded(), HuffmanCoded(), RangeCoded(), AnsCoded(), ContextCoded(), DctCoded(), BitPlaneCoded(),
    JpegHuffman(), JpegArithmetic(), JpegArithmetic(True, 3, conditioning=(1, 2, 3)),
    RawCoded(), DownsampledCoded(4), PillowCoded("PNG"), PillowCoded("WEBP", (("quality", 90),)),
)  # fmt: skip


@pytest.mark.parametrize("stage", OWN, ids=str)
def test_own_stages(stage):
    check_stage(stage)


@pytest.mark.parametrize("stage", [FixedIndices(), StaticIndices(), AdaptiveIndices(), MixedIndices()], ids=str)
def test_stages_of_tokens(stage):
    rng = np.random.default_rng(1)
    indices = (rng.integers(0, 9, (24, 2)) ** 2).astype(np.int32)
    stage = replace(stage, sizes=(100,)) if hasattr(stage, "sizes") else stage
    check_stage(stage, [Tokens(indices, (4, 6), size=(64, 96))])


# --- stages that are not as they should be ---


@dataclass(frozen=True)
class Shift(Stage):
    """A transform that is right: an image, some grey levels up."""

    by: int = 3
    cut: int = 0
    unwritten: ClassVar[tuple[str, ...]] = ()

    def forward(self, x):
        return x + np.uint8(self.by)

    def inverse(self, y):
        return y - np.uint8(self.by)


class Unfrozen(Shift):
    pass


@dataclass(frozen=True)
class Unhashable(Shift):
    values: list = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Unequal(Stage):
    __eq__ = object.__eq__
    __hash__ = object.__hash__


@dataclass(frozen=True)
class Needed(Shift):
    unwritten: ClassVar[tuple[str, ...]] = ("by",)


@dataclass(frozen=True)
class Unknown(Shift):
    unwritten: ClassVar[tuple[str, ...]] = ("to",)


@dataclass(frozen=True)
class Changing(Shift):
    def forward(self, x):
        x += np.uint8(self.by)
        return x


@dataclass(frozen=True)
class Random(Shift):
    def forward(self, x):
        return x + np.random.default_rng().integers(0, 9, x.shape, np.uint8)


@dataclass(frozen=True)
class Smaller(Shift):
    def forward(self, x):
        return x[::2, ::2]

    def inverse(self, y):
        return y


@dataclass(frozen=True)
class Wrong(Shift):
    def inverse(self, y):
        return 255 - y


@dataclass(frozen=True)
class Nothing(Stage):
    def forward(self, x):
        raise TypeError("nothing")


@dataclass(frozen=True)
class Drifting(Stage):
    """A quantizer whose inverse does not meet its forward."""

    def forward(self, picture):
        return picture.map(lambda plane: self.only_reals(plane))

    def only_reals(self, plane):
        if plane.dtype.kind != "f":
            raise ValueError("reals only")
        return np.floor(plane / 8).astype(np.int32)

    def inverse(self, picture):
        return picture.map(lambda plane: plane.astype(np.float32) * 8 - 1)


@dataclass(frozen=True)
class Plain(HeaderStage):
    """An entropy coder that is right, of the simplest kind; a point of departure for wrong ones."""

    def forward(self, picture):
        if any(plane.dtype.kind not in "iu" for plane in picture.planes):
            raise ValueError("integers only")
        out = ByteWriter()
        out.raw(pack_header(picture))
        for plane in picture.planes:
            out.raw(plane.astype("<i4").tobytes())
        return out.getvalue()

    def inverse(self, payload, max_pixels=1 << 28):
        reader = ByteReader(payload)
        header, shapes = unpack_header(reader, max_pixels)
        return header.replace(planes=tuple(self.plane(reader, shape) for shape in shapes))

    def plane(self, reader, shape):
        return np.frombuffer(reader.raw(4 * int(np.prod(shape))), "<i4").reshape(shape)


@dataclass(frozen=True)
class Inexact(Plain):
    def plane(self, reader, shape):
        return np.maximum(super().plane(reader, shape), -1000)


@dataclass(frozen=True)
class Forgetful(Plain):
    def inverse(self, payload, max_pixels=1 << 28):
        return super().inverse(payload, max_pixels).replace(side={})


@dataclass(frozen=True)
class Mute(Plain):
    describe = Stage.describe


@dataclass(frozen=True)
class Liar(Plain):
    def describe(self, payload):
        return (1, 1), "grey"


@dataclass(frozen=True)
class Limitless(Plain):
    def inverse(self, payload, max_pixels=1 << 28):
        return super().inverse(payload)


@dataclass(frozen=True)
class Brittle(Plain):
    def plane(self, reader, shape):
        return np.frombuffer(reader.rest(), "<i4")[: int(np.prod(shape))].reshape(shape)

    def inverse(self, payload, max_pixels=1 << 28):
        reader = ByteReader(payload)
        header, shapes = unpack_header(reader, max_pixels)
        values, planes = np.frombuffer(reader.rest(), "<i4"), []
        for shape in shapes:
            size = int(np.prod(shape))
            planes.append(values[:size].reshape(shape))
            values = values[size:]
        return header.replace(planes=tuple(planes))


@dataclass(frozen=True)
class Greedy(Plain):
    def inverse(self, payload, max_pixels=1 << 28):
        np.zeros(1 << 30, np.uint8)
        return super().inverse(payload, max_pixels)


@dataclass(frozen=True)
class Elsewhere(Plain):
    def inverse(self, payload, max_pixels=1 << 28):
        found = super().inverse(payload, max_pixels)
        return found.replace(size=(found.size[0], min(found.size[1], 56)))


@pytest.mark.parametrize("stage", [Shift(5), Plain()])
def test_points_of_departure_are_right(stage):
    register_stage(type(stage), f"test:{type(stage).__name__}@1")
    check_stage(stage)


@pytest.mark.parametrize(
    "stage, message",
    [
        (Picture, "is no stage"),
        (Unfrozen(), "no frozen dataclass"),
        (Unhashable(), "cannot be hashed"),
        (Unequal(), "not equal to a copy"),
        (Needed(7), "inverse needs one of the unwritten fields by"),
        (Unknown(), "which are no fields of it"),
        (Shift(cut=b"x"), "hold numbers, strings"),
        (Changing(), "changes its input"),
        (Random(), "seed them"),
        (Smaller(), "it restores its form"),
        (Wrong(), "does not undo forward"),
        (Nothing(), "takes none of the inputs"),
        (Drifting(), "quantizes what it restored to other symbols"),
        (Inexact(), "does not restore .* exactly"),
        (Forgetful(), "loses side of a picture"),
        (Mute(), "derive from codeckit.primitives.HeaderStage"),
        (Liar(), r"tells the size \(1, 1\)"),
        (Limitless(), "beyond max_pixels"),
        (Brittle(), "raise StreamError for all that forward cannot have written"),
        (Greedy(), "MiB for a payload"),
        (Elsewhere(), "and declares"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_breaches_are_named(stage, message):
    if isinstance(stage, Stage):
        register_stage(type(stage), f"test:{type(stage).__name__}@1")
    with pytest.raises(AssertionError, match=message):
        check_stage(stage)


def test_a_stage_without_an_id():
    with pytest.raises(AssertionError, match="register_stage"):
        check_stage(Shift())


def test_a_stage_in_a_function_cannot_be_pickled():
    @dataclass(frozen=True)
    class Local(Shift):
        pass

    register_stage(Local, "test:Local@1")
    with pytest.raises(AssertionError, match="cannot be pickled"):
        check_stage(Local())
