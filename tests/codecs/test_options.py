"""Values of the wrong kind give a `ValueError` that says what is legal, wherever users pass values."""

import inspect
from typing import Literal

import codeckit
import numpy as np
import pytest
from codeckit.bench.studies.pictures import photo
from codeckit.codecs import registry
from codeckit.codecs.options import check_options
from codeckit.primitives import plugins

IMAGE = photo(16, 16, 3)
ODD = [
    object(),
    "x",
    "50",
    [],
    {},
    None,
    True,
    1.5,
    -1,
    10**9,
    float("nan"),
    (1, 2),
    b"x",
    np.float64(3.5),
    np.int64(7),
]


@pytest.mark.parametrize("name", [*plugins.own(registry.CODECS), "balle2017", "mbt2018"])
def test_options_of_every_codec(name):
    """Any value is either taken or refused with a ValueError (a missing weight file is missing)."""
    for option in inspect.signature(registry.entry(name).load()).parameters:
        for value in ODD:
            try:
                assert codeckit.codec(name, **{option: value}).name == name
            except FileNotFoundError:
                assert option == "weights"
            except ValueError as error:
                assert str(error)


@pytest.mark.parametrize("name", ["jpeg", "webp", "hevc", "cheng2020", "tokens-fsq", "jpeg2000-teaching", "downsample"])
def test_quality_as_text(name):
    low, high = registry.entry(name).quality
    with pytest.raises(ValueError, match=rf"{name} takes quality as an? [\w ]+ from {low} to {high}.*, not '50'"):
        codeckit.codec(name, quality="50")
    with pytest.raises(ValueError, match=f"{name} takes quality as"):
        codeckit.encode(IMAGE, name, quality="50")


@pytest.mark.parametrize(
    "given", [dict(bpp="0.5"), dict(psnr=[30]), dict(accuracy="x"), dict(psnr=True), dict(bpp=float("nan"))]
)
def test_targets_of_encode(given):
    with pytest.raises(ValueError, match=f"{next(iter(given))} is a number, not"):
        codeckit.encode(IMAGE, "jpeg", **given)


@pytest.mark.parametrize(
    "call",
    [
        lambda: codeckit.codec(5),
        lambda: codeckit.codec("jpeg", entropy=5),
        lambda: codeckit.evaluate(5, [IMAGE]),
        lambda: codeckit.evaluate(["jpeg"], [IMAGE]),
        lambda: codeckit.evaluate([codeckit.codec("jpeg")], 5),
        lambda: codeckit.evaluate([codeckit.codec("jpeg")], [IMAGE], metrics=5),
        lambda: codeckit.evaluate([codeckit.codec("jpeg")], [IMAGE], tasks=5),
        lambda: codeckit.compare(5),
        lambda: codeckit.dataset(5),
        lambda: codeckit.decode(5),
        lambda: codeckit.decode(codeckit.codec("jpeg").encode(IMAGE), max_pixels="x"),
        lambda: codeckit.decode_video(5),
        lambda: codeckit.read_video(5),
        lambda: codeckit.info(5),
    ],
)
def test_arguments_of_the_api(call):
    with pytest.raises(ValueError):
        call()


def test_annotations_are_what_is_checked():
    def factory(
        quality: float = 5, mode: Literal["a", "b"] | None = None, pair: tuple[int, ...] = (), own=None
    ) -> None: ...

    for good in dict(quality=np.float32(3)), dict(mode="a", pair=(1,)), dict(mode=None, own=object()):
        check_options("mine", factory, good, (1, 9))
    for bad, legal in (
        (dict(quality=10), "a number from 1 to 9"),
        (dict(quality=float("nan")), "a number from 1 to 9"),
        (dict(mode="c"), "a, b or None"),
        (dict(pair=[1]), "tuple"),
    ):
        with pytest.raises(ValueError, match=f"as {legal}, not"):
            check_options("mine", factory, bad, (1, 9))
