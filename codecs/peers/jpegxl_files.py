"""JPEG XL files as pillow-jxl-plugin reads them, turned once.

A codestream's header can say how the picture is turned, and libjxl turns it as it decodes. Exif beside the codestream
then repeats an orientation that is done (ISO/IEC 18181-2: the codestream's counts, and Exif's does not). Only where the
header says nothing, or where a JPEG file is restored from the codestream, are pixels left as they are stored.

Importing this module teaches Pillow (as importing other plug-ins of Pillow does) to read JPEG XL.
"""

from typing import Any

from PIL import Image
from pillow_jxl import JpegXLImagePlugin  # type: ignore[attr-defined]

from ..file_formats import jxl
from ..metadata import Metadata, set_upright


class JpegXlFile(JpegXLImagePlugin.JXLImageFile):
    """The plug-in's reader, whose Exif orientation is 1 where libjxl has turned the picture."""

    def _open(self) -> None:
        super()._open()
        exif: Any = self.info.get("exif")
        if exif and not self.jpeg and jxl.header(self.fc).orientation != 1:
            self.info["exif"] = set_upright(Metadata(exif=exif.removeprefix(b"Exif\0\0"))).exif


Image.register_open("JXL", JpegXlFile, JpegXLImagePlugin._accept)
