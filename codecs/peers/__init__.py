"""Still-picture codecs that a library does whole, as one opaque stage under the same protocol.

They stand in the same tables and plots as the codecs made of our own stages: real bytes out, decoded again.
"""

from .jpeg_encoders import jpegli, mozjpeg
from .stills import PillowCoded, avif, describe, jpeg2000, jpegxl, libjpeg, png, webp

__all__ = [
    "PillowCoded",
    "avif",
    "describe",
    "jpeg2000",
    "jpegli",
    "jpegxl",
    "libjpeg",
    "mozjpeg",
    "png",
    "webp",
]
