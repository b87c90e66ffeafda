"""What may be given as quality is the same for every codec: a number on its scale."""

import inspect
from fractions import Fraction

import codeckit
import numpy as np
import pytest
from codeckit.codecs import registry

ENTRIES = [each for each in registry.list_codecs() if each.available]
SCALED = [each for each in ENTRIES if "quality" in inspect.signature(each.load()).parameters]


def named(entries):
    return pytest.mark.parametrize("entry", entries, ids=[each.name for each in entries])


def quality_of(entry, value):
    return codeckit.codec(entry.name, quality=value).setting.get("quality")


@named(SCALED)
@pytest.mark.parametrize(
    "bad",
    ["50", "high", True, np.True_, float("nan"), float("inf"), 1j, [50], b"50", 10**400],
    ids=lambda bad: repr(bad)[:9],
)
def test_what_is_no_number_on_the_scale_is_refused(entry, bad):
    with pytest.raises(ValueError, match=f"{entry.name} takes quality as .*number from .*, not"):
        codeckit.codec(entry.name, quality=bad)


@named(SCALED)
def test_numbers_beyond_the_scale_are_refused(entry):
    low, high = entry.quality
    for bad in (low - 1, high + 1, low - 0.01, high + 0.01, -high - 1):
        with pytest.raises(ValueError, match=f"{entry.name} takes quality as .*from {low} to {high}"):
            codeckit.codec(entry.name, quality=bad)


@named(SCALED)
def test_numbers_of_any_type_mean_the_same(entry):
    for value in {entry.quality[0], entry.quality[1]}:
        for kind in (int, float, np.int32, np.uint8, np.int64, np.float32, np.float64, Fraction):
            found = quality_of(entry, kind(value))
            assert found == value
            assert type(found) in (int, float)


@named([each for each in SCALED if each.whole and each.quality[0] < each.quality[1]])
def test_scales_of_whole_numbers_take_no_others(entry):
    for bad in (entry.quality[1] - 0.1, entry.quality[0] + 0.5, np.float32(entry.quality[0] + 0.25), Fraction(3, 2)):
        with pytest.raises(ValueError, match=f"{entry.name} takes quality as a whole number"):
            codeckit.codec(entry.name, quality=bad)


@named([each for each in SCALED if not each.whole])
def test_other_scales_take_fractions_and_tell_them(entry):
    low, high = entry.quality
    assert quality_of(entry, low + 0.5) == low + 0.5
    assert quality_of(entry, Fraction(2 * low + 1, 2)) == low + 0.5
    assert quality_of(entry, high - 0.25) == high - 0.25


@named([each for each in ENTRIES if each not in SCALED])
def test_codecs_without_a_scale_take_no_quality(entry):
    with pytest.raises(ValueError, match=f"{entry.name} has no option 'quality'"):
        codeckit.codec(entry.name, quality=50)


def test_fractions_change_the_file():
    picture = np.arange(64 * 64 * 3, dtype=np.uint32).reshape(64, 64, 3).astype(np.uint8)
    assert codeckit.codec("jpeg2000", quality=50).encode(picture) != codeckit.codec("jpeg2000", quality=56.5).encode(
        picture
    )
