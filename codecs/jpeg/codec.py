"""The JPEG codec on one screen."""

from dataclasses import dataclass
from dataclasses import replace as replace_fields

from ...primitives.color import YCbCr
from ...primitives.dct import BlockDCT
from ...primitives.quantizers.table import BASES, QuantTable
from ...primitives.subsample import Subsample
from ..base import Codec
from ..image_io import read_image_and_metadata
from .huffman import JpegHuffman


def jpeg(
    quality=75,
    subsampling="4:2:0",
    tables="annex-k",
    progressive=False,
    optimize=True,
    restart_interval=0,
    metadata="drop",
) -> Codec:
    """JPEG, as genuine `.jpg` files that every decoder opens.

    Args:
        quality: 1…100, as libjpeg defines it: scales the quantization tables.
        subsampling: chroma samples, ``"4:4:4"``, ``"4:2:2"``, ``"4:4:0"`` or ``"4:2:0"``. Grey images have none.
        tables: quantization tables, ``"annex-k"``, ``"flat"``, or custom steps: one 8×8 table, or a pair for luma and
            chroma, used as they are whatever the quality.
        progressive: False, True (libjpeg's progression), or ``"optimized"`` (the smallest progression found).
        optimize: best Huffman tables for each picture instead of the typical ones of Annex K.
        restart_interval: MCUs between restart markers, 0 for none.
        metadata: ``"drop"`` turns images read from files upright and forgets the rest; ``"keep"`` stores pixels as they
            are, with the file's Exif (orientation included), ICC profile, XMP and comment.

    >>> import numpy as np
    >>> codec = jpeg(quality=90, subsampling="4:4:4", progressive=True)
    >>> codec.decode(codec.encode(np.full((5, 7, 3), 128, np.uint8)))[0, 0].tolist()
    [128, 128, 128]
    """
    named = isinstance(tables, str)
    if named and tables not in BASES:
        raise ValueError(f"tables is {', '.join(BASES)}, or custom steps, not {tables!r}")
    stages = {
        "color": YCbCr(),
        "subsample": Subsample(subsampling),
        "transform": BlockDCT(),
        "quantize": QuantTable(quality, tables) if named else QuantTable(quality, tables=tables),
        "entropy": JpegHuffman(progressive, bool(optimize), restart_interval),
    }
    if metadata not in ("drop", "keep"):
        raise ValueError(f"metadata is 'drop' or 'keep', not {metadata!r}")
    return (JpegWithMetadata if metadata == "keep" else Codec)("jpeg", stages)


@dataclass(frozen=True)
class JpegWithMetadata(Codec):
    """JPEG that takes over the metadata of the files it encodes."""

    def encode(self, image) -> bytes:
        """Encode the pixels as they are stored, with the metadata; see `Codec.encode`."""
        if not self.native:
            raise ValueError("metadata='keep' works in .jpg files; a .ckt stream carries none")
        pixels, metadata = read_image_and_metadata(image)
        entropy = replace_fields(self.stages["entropy"], metadata=metadata)
        return Codec(self.name, {**self.stages, "entropy": entropy}).encode(pixels)
