"""Shared parts of all codecs: transforms, quantizers, entropy models and coders, streams. Knows nothing of codecs.

Names are imported at first use, so that a codec that needs no torch never imports it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
