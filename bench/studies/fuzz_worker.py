"""The worker process of `fuzz`: a file that `runpy` runs, since a fresh process may see an installed package alone.

Globals: `connection`, `warm_up` and `weights`, the arguments of `fuzz.work`.
"""

from pathlib import Path

import codeckit.bench

if str(Path(__file__).parents[1]) not in codeckit.bench.__path__:
    codeckit.bench.__path__.append(str(Path(__file__).parents[1]))

from codeckit.bench.studies import fuzz

if "connection" in globals():
    fuzz.work(*(globals()[name] for name in ("connection", "warm_up", "weights")))
