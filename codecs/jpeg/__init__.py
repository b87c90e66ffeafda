"""JPEG (ITU-T T.81) as a composition of shared stages; writes and reads genuine `.jpg` files."""

from .codec import jpeg
from .huffman import JpegHuffman, describe

__all__ = ["JpegHuffman", "describe", "jpeg"]
