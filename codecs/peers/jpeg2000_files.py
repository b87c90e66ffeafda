"""JPEG 2000 files as Pillow reads them, with what it leaves out: profile, Exif, XMP, and the true depth of samples.

Importing this module teaches Pillow (as importing other plug-ins of Pillow does): from then on, ``Image.open`` gives
`Jpeg2000File` for JPEG 2000. Its `info` has "icc_profile", "exif" and "xmp", as other formats' have.
"""

import contextlib
from typing import Any

from PIL import Image, Jpeg2KImagePlugin

from ...primitives.errors import StreamError
from ..file_formats import jp2
from ..metadata import Metadata


class Jpeg2000File(Jpeg2KImagePlugin.Jpeg2KImageFile):
    """Pillow's reader of JPEG 2000, and what stands in the boxes.

    Attributes:
        bits: of the deepest component's samples; Pillow shows those of colour pictures in 8 bits.

    >>> import io
    >>> out = io.BytesIO()
    >>> Image.new("RGB", (4, 3)).save(out, "JPEG2000")
    >>> Image.open(out).bits
    8
    """

    bits = 8

    def _open(self) -> None:
        super()._open()
        file: Any = self.fp
        file.seek(0)
        data = file.read()
        with contextlib.suppress(StreamError):  # the pixels may be whole where the description is not
            self.bits = max(jp2.depths(data))
            self.info |= _info(jp2.extract(data))


def _info(metadata: Metadata) -> dict[str, bytes]:
    """Metadata under the names that Pillow uses."""
    named = {"icc_profile": metadata.icc, "exif": metadata.exif and b"Exif\0\0" + metadata.exif, "xmp": metadata.xmp}
    return {name: contents for name, contents in named.items() if contents}


Image.register_open("JPEG2000", Jpeg2000File, Jpeg2KImagePlugin._accept)
