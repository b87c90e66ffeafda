"""JPEG (ITU-T T.81) as a composition of shared stages; writes and reads genuine `.jpg` files.

`search` makes them small, `repack` makes any of them smaller without loss.
"""

from .codec import jpeg, jpeg_context, jpeg_repack
from .huffman import JpegHuffman, describe

__all__ = ["JpegHuffman", "describe", "jpeg", "jpeg_context", "jpeg_repack"]
