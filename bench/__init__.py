"""Measuring codecs on sets of pictures: data sets, sweeps, records, reports.

::

    images = dataset("sample")                                          # datasets: handles of pictures
    table = evaluate([codec("jpeg", quality=q) for q in (30, 60, 90)], images)   # sweep: real bytes, decoded again
    report = compare(table)                                             # report: RD table, BD-rates, plots

Names are imported at first use: reading a table loads neither torch nor matplotlib.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
