"""The JPEG codec on one screen."""

from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace as replace_fields

from ...primitives.color import YCbCr
from ...primitives.dct import BlockDCT
from ...primitives.quantizers.table import BASES, QuantTable, scaled_tables
from ...primitives.stage import Stage
from ...primitives.subsample import SAMPLINGS, Subsample
from ..base import Codec
from ..image_io import read_image, read_image_and_metadata
from .huffman import JpegHuffman

#: Metrics that a search can be tuned for.
TUNES = ("psnr", "ms-ssim")


def jpeg(
    quality=75,
    subsampling=None,
    tables=None,
    progressive=None,
    optimize=True,
    restart_interval=0,
    metadata="drop",
    effort=0,
    tune="psnr",
) -> Codec:
    """JPEG, as genuine `.jpg` files that every decoder opens.

    Args:
        quality: 1…100, as libjpeg defines it: scales the quantization tables.
        subsampling: chroma samples, ``"4:4:4"``, ``"4:2:2"``, ``"4:4:0"`` or ``"4:2:0"``. Grey images have none.
            Default: 4:2:0; from effort 5 on the better one for each picture.
        tables: quantization tables, ``"annex-k"``, ``"flat"``, or custom steps: one 8×8 table, or a pair for luma and
            chroma, used as they are whatever the quality. Default: Annex K; with effort, tables made for each picture.
        progressive: False, True (libjpeg's progression), ``"optimized"`` or ``"exhaustive"`` (the smallest of some
            sixty, or of a great many). Default: False; with effort ``"optimized"``, from 7 on ``"exhaustive"``.
        optimize: best Huffman tables for each picture instead of the typical ones of Annex K.
        restart_interval: MCUs between restart markers, 0 for none.
        metadata: ``"drop"`` turns images read from files upright and forgets the rest; ``"keep"`` stores pixels as they
            are, with the file's Exif (orientation included), ICC profile, XMP and comment.
        effort: 0 quantizes as libjpeg does; 1 … 9 choose symbols, tables and sampling by what they cost and what they
            mend in the decoded picture (`codecs.jpeg.search`): a third fewer bits, in files that any decoder opens.
        tune: the metric that effort is spent on, ``"psnr"`` (of RGB) or ``"ms-ssim"``.

    >>> import numpy as np
    >>> codec = jpeg(quality=90, subsampling="4:4:4", progressive=True)
    >>> codec.decode(codec.encode(np.full((5, 7, 3), 128, np.uint8)))[0, 0].tolist()
    [128, 128, 128]
    """
    if tune not in TUNES:
        raise ValueError(f"tune is {' or '.join(TUNES)}, not {tune!r}")
    if metadata not in ("drop", "keep"):
        raise ValueError(f"metadata is 'drop' or 'keep', not {metadata!r}")
    search = Search(effort, tune, subsampling) if effort else None
    if tables is None:
        quantize = QuantTable(quality)
    elif isinstance(tables, str):
        if tables not in BASES:
            raise ValueError(f"tables is {', '.join(BASES)}, or custom steps, not {tables!r}")
        quantize = QuantTable(quality, tables)
        if search:  # named tables are kept as they are, too
            quantize = QuantTable(quality, tables=scaled_tables(quantize.quality, tables))
    else:
        quantize = QuantTable(quality, tables=tables)
    if progressive is None:
        progressive = ("optimized" if effort < 7 else "exhaustive") if search else False
    stages = {
        "color": YCbCr(),
        "subsample": Subsample(subsampling or "4:2:0"),
        "transform": BlockDCT(),
        "quantize": quantize,
        "entropy": JpegHuffman(progressive, bool(optimize), restart_interval),
    }
    return JpegCodec("jpeg", stages, search=search, keep_metadata=metadata == "keep")


def jpeg_context(quality=75, subsampling=None, tables=None, effort=0, tune="psnr") -> Codec:
    """JPEG's stages with context mixing instead of Huffman codes: the same pixels in a `.ckt`, a fifth smaller.

    Args:
        quality, subsampling, tables, effort, tune: as in `jpeg`.

    >>> import numpy as np
    >>> image = np.full((16, 24, 3), 200, np.uint8)
    >>> bool((jpeg_context().decode(jpeg_context().encode(image)) == jpeg().decode(jpeg().encode(image))).all())
    True
    """
    from ...primitives.entropy.dct_context import DctCoded

    built = jpeg(quality, subsampling, tables, effort=effort, tune=tune)
    return replace_fields(built, name="jpeg-context", stages={**built.stages, "entropy": DctCoded()})


def jpeg_repack(quality=75, subsampling=None, tables=None, effort=0, tune="psnr") -> Codec:
    """A baseline `.jpg` file, repacked: `codeckit repack` makes such streams of files that exist.

    Args:
        quality, subsampling, tables, effort, tune: as in `jpeg`.

    >>> import codeckit, numpy as np
    >>> codeckit.decode(codeckit.codec("jpeg-repack").encode(np.zeros((8, 8), np.uint8))).shape
    (8, 8)
    """
    from .repack import Repacked

    built = jpeg(quality, subsampling, tables, effort=effort, tune=tune)
    return replace_fields(built, name="jpeg-repack", stages={**built.stages, "entropy": Repacked()})


@dataclass(frozen=True)
class Search:
    """How hard to look for the smallest file, and in what measure.

    Attributes:
        effort: 1 … 9. Rounds of pricing and choosing are 1 + effort // 2; from 5 on 4:4:4 is tried beside 4:2:0, from 8
            on also 4:2:2 and 4:4:0; from 7 on more progressions.
        tune: ``"psnr"`` or ``"ms-ssim"``.
        subsampling: one to take, or None to choose.
    """

    effort: int = 5
    tune: str = "psnr"
    subsampling: str | None = None

    def __post_init__(self):
        if isinstance(self.effort, bool) or not isinstance(self.effort, int) or not 1 <= self.effort <= 9:
            raise ValueError(f"effort is an integer from 0 to 9, not {self.effort!r}")
        if self.tune not in TUNES:
            raise ValueError(f"tune is {' or '.join(TUNES)}, not {self.tune!r}")

    @property
    def rounds(self) -> int:
        """How often symbols are priced and chosen."""
        return 1 + self.effort // 2

    @property
    def samplings(self) -> tuple[str, ...]:
        """The samplings to try."""
        if self.subsampling:
            return (self.subsampling,)
        return ("4:2:0", "4:4:4", "4:2:2", "4:4:0")[: 1 if self.effort < 5 else 2 if self.effort < 8 else 4]


@dataclass(frozen=True)
class JpegCodec(Codec):
    """JPEG with what its stages alone cannot do: a search over all of them together, and metadata of files.

    Attributes:
        search: how symbols and tables are searched; None to take each stage's own.
        keep_metadata: take over the metadata of the files that are encoded.
    """

    search: Search | None = None
    keep_metadata: bool = False

    def encode(self, image) -> bytes:
        """Encode the pixels upright, or as they are stored with their metadata; see `Codec.encode`."""
        if not self.keep_metadata:
            return super().encode(image)
        if not self.native:
            raise ValueError("metadata='keep' works in .jpg files; a .ckt stream carries none")
        pixels, metadata = read_image_and_metadata(image)
        entropy = replace_fields(self.stages["entropy"], metadata=metadata)
        stages = {**self.stages, "entropy": entropy}
        return replace_fields(self, stages=stages, keep_metadata=False).encode(pixels)

    def fold(self, image) -> Iterator[tuple[str, Stage, object]]:
        """The stages' outputs; see `Codec.fold`. Searched symbols replace those of the quantizer."""
        if self.search is None:
            yield from super().fold(image)
            return
        fixed = {"color": YCbCr(), "transform": BlockDCT()}
        if any(self.stages[role] != stage for role, stage in fixed.items()):
            raise ValueError("effort works with JPEG's own colour and transform stages; use effort=0 with others")
        from .search import optimize

        image = read_image(image)
        quantized, data = optimize(image, self.search, self.stages["quantize"], self.stages["entropy"])
        v, h = quantized.factors[0]
        sampling = next(name for name, factors in SAMPLINGS.items() if factors == (v, h))
        value = image
        for role, stage in self.stages.items():
            stage = Subsample(sampling) if role == "subsample" else stage
            value = {"quantize": quantized, "entropy": data}.get(role)
            if value is None:
                value = image = stage.forward(image)
            yield role, stage, value
