"""`njit`, as all compiled loops here import it: numba's, without what it loads at its start and hardly ever uses.

numba asks at its start whether scipy has BLAS, and so imports all of `scipy.linalg`, a quarter of the time that a
command takes to begin. Here an empty module stands in for it while numba asks. Whoever multiplies matrices in compiled
code gets the real one, as numba imports it again then.
"""

import importlib
import importlib.util
import sys
import types

_BLAS = "scipy.linalg.cython_blas"

_stands_in = _BLAS not in sys.modules and importlib.util.find_spec("scipy") is not None
if _stands_in:
    sys.modules[_BLAS] = types.ModuleType(_BLAS)
try:
    from numba import njit

    importlib.import_module("numba.np.arraymath")  # which asks
finally:
    if _stands_in:
        del sys.modules[_BLAS]

__all__ = ["njit"]
