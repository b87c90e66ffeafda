"""Two codecs: what each declares of itself, and the function that builds it.

A declaration is read whenever codecs are listed, so this module imports nothing heavy at its top.
"""

from typing import Literal

from codeckit.codecs import Codec, Entry

JPEG_RICE = Entry(
    name="jpeg-rice",
    family="classical",
    media="image",
    quality=(1, 100),
    summary="JPEG's DCT and quantization with Golomb-Rice codes",
    factory="codeckit_example_plugin.codecs:jpeg_rice",
    profiles="codeckit_example_plugin:profiles.json",
)

BMP = Entry(
    name="bmp",
    family="library",
    media="image",
    quality=(100, 100),  # without loss
    summary="Windows bitmaps, through Pillow",
    factory="codeckit_example_plugin.codecs:bmp",
    extension=".bmp",
    magic=(((0, b"BM"),),),
    describer="codeckit.codecs.peers:describe",
)


def jpeg_rice(quality: float = 75, subsampling: Literal["4:4:4", "4:2:0"] = "4:2:0") -> Codec:
    """The stages of JPEG with `RiceCoded` as the last one. Its streams are `.ckt` files.

    Args:
        quality: 1 … 100, as libjpeg defines it.
        subsampling: of the chroma.
    """
    from codeckit.primitives import BlockDCT, QuantTable, Subsample, YCbCr

    from .rice import RiceCoded

    stages = {
        "color": YCbCr(),
        "subsample": Subsample(subsampling),
        "transform": BlockDCT(8),
        "quantize": QuantTable(quality),
        "entropy": RiceCoded(),
    }
    return Codec("jpeg-rice", stages)


def bmp(quality: float = 100) -> Codec:
    """BMP: one opaque stage that writes complete `.bmp` files."""
    from codeckit.codecs.peers import PillowCoded

    return Codec("bmp", {"library": PillowCoded("BMP")})
