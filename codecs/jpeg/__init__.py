"""JPEG (ITU-T T.81) as a composition of shared stages; writes and reads genuine `.jpg` files."""

from .codec import jpeg
from .huffman import JpegHuffman

__all__ = ["JpegHuffman", "jpeg"]
