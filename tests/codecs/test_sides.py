"""The smallest and the largest sides: coded, or refused by the format's name and its limit."""

import codeckit
import numpy as np
import pytest
from codeckit.codecs import registry
from codeckit.codecs.peers.sides import LONGEST, check_sides

#: Codecs of stills that return the picture's own size.
STILLS = [each.name for each in registry.list_codecs() if "image" in each.media and each.available]

LIMITS = {
    "libjpeg": 65500,
    "mozjpeg": 65500,
    "jpegli": 65500,
    "jpeg": 65535,
    "webp": 16383,
    "avif": 32768,
}


def codec(name):
    if not registry.entry(name).available:
        pytest.skip(f"{name} needs {registry.entry(name).install}")
    return codeckit.codec(name)


@pytest.mark.parametrize("name", STILLS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (9, 1)])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_the_smallest_sides(name, shape, channels):
    picture = np.full((*shape, *channels), 100, np.uint8)
    decoded = codeckit.decode(codec(name).encode(picture))
    assert decoded.shape[:2] == shape
    assert np.abs(decoded.astype(int) - 100).max() < 60  # of one pixel, learned codecs know little


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("tall", [False, True])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_sides_beyond_the_limit_are_refused_by_name(name, tall, channels):
    limit = LIMITS[name]
    shape = (limit + 1, 2) if tall else (2, limit + 1)
    message = rf"holds at most {limit} pixels a side.*not {shape[1]}×{shape[0]}"
    with pytest.raises(ValueError, match=message):
        codec(name).encode(np.zeros((*shape, *channels), np.uint8))


@pytest.mark.parametrize("name", ["libjpeg", "mozjpeg", "jpegli", "jpeg", "webp", "avif"])
def test_the_longest_sides_are_coded(name):
    shape = (1, LIMITS[name])
    assert codeckit.decode(codec(name).encode(np.full(shape, 100, np.uint8))).shape[:2] == shape


@pytest.mark.parametrize("name", ["png", "jpeg2000"])
def test_formats_of_longer_sides(name):
    shape = (70_000, 1)
    assert codeckit.decode(codec(name).encode(np.full(shape, 100, np.uint8))).shape == shape


@pytest.mark.parametrize("form", LONGEST)
def test_limits_of_formats(form):
    """Pictures that take no memory: views of one sample."""
    limit = LONGEST[form]
    sample = np.zeros(1, np.uint8)
    check_sides(form, np.lib.stride_tricks.as_strided(sample, (limit, 1), (0, 0)))
    with pytest.raises(ValueError, match=f"a {form} file holds at most {limit} pixels"):
        check_sides(form, np.lib.stride_tricks.as_strided(sample, (1, limit + 1), (0, 0)))
