"""The contract of codecs: codeckit's own keep it, and each kind of breach is named."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from codeckit.codecs import Codec, registry
from codeckit.codecs.baselines import RawCoded
from codeckit.codecs.peers.stills import PillowCoded
from codeckit.primitives import Stage, StreamError, register_stage
from codeckit.testing import check_codec

OWN = ("jpeg", "jpeg-context", "libjpeg", "webp", "jpeg2000", "png", "jpeg2000-teaching", "downsample", "uncompressed")


@pytest.mark.parametrize("name", OWN)
def test_own_codecs(name):
    check_codec(name)


@pytest.mark.parametrize("name, needs", [("jpegxl", "pillow_jxl"), ("avif", "PIL"), ("mozjpeg", "pyvips")])
def test_codecs_of_libraries(name, needs):
    pytest.importorskip(needs)
    check_codec(name)


def test_a_configured_codec_and_pictures_of_ones_own():
    codec = registry.codec("jpeg", quality=40, subsampling="4:4:4", entropy="RangeCoded")
    check_codec(codec, [np.zeros((5, 9, 3), np.uint8)])


# --- codecs that are not as they should be: raw samples, and something wrong ---


@dataclass(frozen=True)
class Coarse(RawCoded):
    """Samples that are rounded to multiples of a step."""

    unwritten = ("step",)

    step: int = 1

    def forward(self, image):
        return super().forward(image // np.uint8(self.step) * np.uint8(self.step))


class Random(Coarse):
    def forward(self, image):
        return super().forward(image ^ np.random.default_rng().integers(0, 64, image.shape, np.uint8))


class Flat(Coarse):
    def inverse(self, payload, max_pixels=1 << 28):
        image = super().inverse(payload, max_pixels)
        return image.reshape(-1, *image.shape[2:])


class Floating(Coarse):
    def inverse(self, payload, max_pixels=1 << 28):
        return super().inverse(payload, max_pixels) / 2


class Limitless(Coarse):
    def inverse(self, payload, max_pixels=1 << 28):
        return super().inverse(payload)


class Colourless(Coarse):
    def forward(self, image):
        if image.ndim == 2:
            raise IndexError("no third axis")
        return super().forward(image)


class Inverted(Coarse):
    def forward(self, image):
        return super().forward(255 - image)


class Mute(Coarse):
    describe = Stage.describe


@dataclass(frozen=True)
class Careless(RawCoded):
    """A file format of its own, whose damage ends in what numpy says."""

    native = True

    def forward(self, image):
        return b"CARE" + super().forward(image)

    def inverse(self, data, max_pixels=1 << 28):
        try:
            return super().inverse(data[4:], max_pixels)
        except StreamError as error:
            raise IndexError(str(error)) from error


def build(kind, step):
    register_stage(kind, f"test:{kind.__name__}@1")
    return Codec("test", {"raw": kind(step)})


def registered(kind, factory=None, **declared):
    """The name of a codec of a stage."""

    def usual(quality: float = 50):
        return build(kind, 1 + (100 - int(quality)) // 10)

    registry.register_codec("test", factory or usual, summary="for tests", **declared)
    return "test"


@pytest.mark.parametrize(
    "kind, message",
    [
        (Coarse, "a fresh process does not decode .* declare the codec and its stages"),
        (Random, "draw no random numbers"),
        (Flat, "decodes a picture uint8"),
        (Floating, "does not decode its stream|inverse round"),
        (Colourless, r"does not encode a picture of shape \[48, 64\]"),
        (Mute, "codeckit.info does not describe"),
    ],
)
def test_breaches_of_streams_are_named(kind, message):
    with pytest.raises(AssertionError, match=message):
        check_codec(registered(kind))


def without_processes(monkeypatch):
    """The stages of this file are known in this process alone."""
    monkeypatch.setattr("codeckit.testing.codecs._check_fresh_process", lambda codec, streams, weights: None)


@pytest.mark.parametrize(
    "kind, message",
    [(Limitless, "beyond max_pixels; check the size before"), (Inverted, "inverse of some stage does not undo")],
)
def test_breaches_of_limits_and_quality(monkeypatch, kind, message):
    without_processes(monkeypatch)
    with pytest.raises(AssertionError, match=message):
        check_codec(registered(kind))


def test_the_point_of_departure_is_right(monkeypatch):
    without_processes(monkeypatch)
    check_codec(registered(Coarse))


def untyped(quality=50):
    return build(Coarse, 1 + (100 - int(quality)) // 10)


def without_default(quality: float, level: int):
    return build(Coarse, 1)


def without_quality():
    return build(Coarse, 1)


def turned(quality: float = 50):
    return build(Coarse, 1 + int(quality) // 10)


@pytest.mark.parametrize(
    "factory, message",
    [
        (untyped, "annotate the argument of the factory"),
        (without_default, "no default for quality, level|cannot be built"),
        (without_quality, "has no option 'quality', but the scale"),
        (turned, "worse at the higher quality"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_breaches_of_options(monkeypatch, factory, message):
    without_processes(monkeypatch)
    with pytest.raises(AssertionError, match=message):
        check_codec(registered(Coarse, factory))


def lossless(quality: float = 100):
    return Codec("test", {"raw": Careless()})


MAGIC = (((0, b"CARE"),),)


@pytest.mark.parametrize(
    "declared, message",
    [
        ({}, "declare the bytes that they begin with"),
        ({"magic": MAGIC}, "no ending for them"),
        ({"magic": (((0, b"CA"),),), "extension": "care"}, "give it a dot"),
        ({"magic": MAGIC, "extension": ".care"}, "Entry\\(describer=...\\)"),
        (
            {"magic": MAGIC, "extension": ".care", "describer": f"{__name__}:describe"},
            "makes the codec raise IndexError.*raise StreamError",
        ),
        (
            {"magic": MAGIC, "extension": ".care", "describer": f"{__name__}:describe_wrongly"},
            "codeckit.info tells 3 channels of 7×7",
        ),
    ],
)
def test_breaches_of_file_formats(monkeypatch, declared, message):
    without_processes(monkeypatch)
    with pytest.raises(AssertionError, match=message):
        check_codec(registered(Careless, lossless, quality=(100, 100), **declared))


def describe(data):
    size, color = RawCoded().describe(data[4:])
    return size, 1 if color == "grey" else 3, {}


def describe_wrongly(data):
    return (7, 7), 3, {}


def test_a_format_that_somebody_else_claims(monkeypatch):
    """The magic of BMP, declared too short, takes other files."""
    without_processes(monkeypatch)

    def png(quality: float = 100):
        return Codec("test", {"library": PillowCoded("PNG")})

    name = registered(
        None, png, quality=(100, 100), magic=(((0, b"\x89PNG"),),), extension=".png", describer=f"{__name__}:describe"
    )
    with pytest.raises(AssertionError, match="are taken for png's"):
        check_codec(name)


def test_a_profile_that_says_something_else(monkeypatch):
    found = registry.profile("jpeg")
    other = {"transform": {"size": 16, "method": "islow"}}
    stages = tuple((role, id, other.get(role, fields)) for role, id, fields in found.stages)
    monkeypatch.setattr(registry, "profile", lambda name: replace(found, stages=stages))
    with pytest.raises(AssertionError, match="A released revision is never edited"):
        check_codec("jpeg")


@pytest.mark.parametrize("codec, message", [("gif", "no codec is called 'gif'"), (7, "7 is no codec")])
def test_what_is_no_codec(codec, message):
    with pytest.raises(AssertionError, match=message):
        check_codec(codec)
