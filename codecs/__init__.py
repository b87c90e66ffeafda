"""Codecs: short compositions of the shared primitives, and library codecs under the same protocol.

Names are imported at first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
