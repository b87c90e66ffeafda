"""Errors go through process pools: every exception class of the package survives pickle and copy, with all it says."""

import copy
import importlib
import pickle
import pkgutil
import warnings

import codeckit
from codeckit.bench.jobs import Failure
from codeckit.bench.records import Measurements
from codeckit.bench.sweep import SweepError
from codeckit.primitives.errors import DamageWarning

#: How to make those that take more than a message.
MADE = {
    SweepError: lambda: SweepError(Measurements([]), (Failure("jpeg", {"quality": 50}, "a.png", "it broke"),)),
    DamageWarning: lambda: DamageWarning(3, 9, "the stream ends 20 bytes too early"),
}


def exception_classes():
    found = set()
    for module in pkgutil.walk_packages(codeckit.__path__, "codeckit."):
        parts = module.name.split(".")
        if {"tests", "docs", "examples", "__main__"} & set(parts) or parts[1:3] == ["pages", "lab"]:
            continue
        try:
            members = vars(importlib.import_module(module.name))
        except ImportError:  # needs a package that is not installed
            continue
        found |= {each for each in members.values() if isinstance(each, type) and issubclass(each, BaseException)}
    return {each for each in found if each.__module__.startswith("codeckit.")}


def test_every_exception_survives_pickle_and_copy():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classes = exception_classes()
    names = {each.__name__ for each in classes}
    assert {"StreamError", "SweepError", "TooSmallError", "UndefinedError"} <= names
    for cls in classes:
        error = MADE[cls]() if cls in MADE else cls("a message")
        for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
            assert type(again) is cls
            assert str(again) == str(error)
            assert vars(again).keys() == vars(error).keys()
            for name, value in vars(error).items():
                assert repr(getattr(again, name)) == repr(value), f"{cls.__name__}.{name}"
