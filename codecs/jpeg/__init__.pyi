import codeckit.codecs.entry as _entry

from .arithmetic import JpegArithmetic as JpegArithmetic
from .codec import jpeg as jpeg
from .codec import jpeg_context as jpeg_context
from .codec import jpeg_repack as jpeg_repack
from .huffman import JpegHuffman as JpegHuffman
from .huffman import describe as describe

JPEG: _entry.Entry
JPEG_CONTEXT: _entry.Entry
JPEG_REPACK: _entry.Entry
