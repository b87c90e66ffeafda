"""Measuring codecs on sets of pictures: data sets, sweeps, records, reports.

::

    images = dataset("sample")                                          # datasets: handles of pictures
    table = evaluate([codec("jpeg", quality=q) for q in (30, 60, 90)], images)   # sweep: real bytes, decoded again
    report = compare(table)                                             # report: RD table, BD-rates, plots

Names are imported at first use: reading a table loads neither torch nor matplotlib.
"""

import importlib

_MODULES = {
    "datasets": ("Dataset", "DatasetImage", "dataset"),
    "records": ("Measurement", "Measurements", "Summary"),
    "report": ("Report", "compare"),
    "sweep": ("Failure", "SweepError", "evaluate"),
    "comparison": ("run_comparison",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__():
    return __all__
