"""JPEG (ITU-T T.81) as a composition of shared stages; writes and reads genuine `.jpg` files.

`search` makes them small, `repack` makes any of them smaller without loss. Names are imported at first use.
"""

import lazy_loader

from ..entry import Entry

JPEG = Entry(
    name="jpeg",
    family="classical",
    media="image",
    quality=(1, 100),
    whole=True,
    summary="JPEG (ITU-T T.81) from shared stages; genuine .jpg files",
    factory="codeckit.codecs.jpeg.codec:jpeg",
    extension=".jpg",
    magic=(((0, b"\xff\xd8"),),),
    describer="codeckit.codecs.jpeg.huffman:describe",
)

JPEG_CONTEXT = Entry(
    name="jpeg-context",
    family="classical",
    media="image",
    quality=(1, 100),
    whole=True,
    summary="JPEG's DCT and quantization, entropy-coded by context mixing",
    factory="codeckit.codecs.jpeg.codec:jpeg_context",
)

JPEG_REPACK = Entry(
    name="jpeg-repack",
    family="classical",
    media="image",
    quality=(1, 100),
    whole=True,
    summary="JPEG files a fifth smaller, restored to the bit (codeckit repack)",
    factory="codeckit.codecs.jpeg.codec:jpeg_repack",
)

__getattr__, __dir__, _lazy = lazy_loader.attach_stub(__name__, __file__)
__all__ = ["JPEG", "JPEG_CONTEXT", "JPEG_REPACK", *_lazy]
