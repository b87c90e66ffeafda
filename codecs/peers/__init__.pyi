import codeckit.codecs.entry as _entry

from .jpeg_encoders import jpegli as jpegli
from .jpeg_encoders import mozjpeg as mozjpeg
from .stills import (
    PillowCoded as PillowCoded,
)
from .stills import (
    avif as avif,
)
from .stills import (
    describe as describe,
)
from .stills import (
    jpeg2000 as jpeg2000,
)
from .stills import (
    jpegxl as jpegxl,
)
from .stills import (
    libjpeg as libjpeg,
)
from .stills import (
    png as png,
)
from .stills import (
    webp as webp,
)

LIBJPEG: _entry.Entry
WEBP: _entry.Entry
AVIF: _entry.Entry
PNG: _entry.Entry
JPEG2000: _entry.Entry
JPEGXL: _entry.Entry
MOZJPEG: _entry.Entry
JPEGLI: _entry.Entry
