"""The JPEG codec on one screen."""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np

from ...primitives.color import YCbCr
from ...primitives.dct import BlockDCT
from ...primitives.quantizers.table import BASES, QuantTable, scaled_tables
from ...primitives.stage import Stage
from ...primitives.subsample import SAMPLINGS, Subsample
from ..base import Codec, Encoder, See
from .arithmetic import JpegArithmetic
from .huffman import JpegHuffman

Subsampling = Literal["4:4:4", "4:2:2", "4:4:0", "4:2:0"]

#: Metrics that a search can be tuned for.
TUNES = ("psnr", "ms-ssim")


def jpeg(
    quality: float = 75,
    subsampling: Subsampling | None = None,
    tables: Any = None,
    progressive: bool | Literal["optimized", "exhaustive"] | None = None,
    optimize: bool = True,
    restart_interval: int = 0,
    arithmetic: bool = False,
    effort: int = 0,
    tune: Literal["psnr", "ms-ssim"] = "psnr",
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
        arithmetic: code arithmetically (T.81 Annex D) instead of with Huffman codes: smaller files, which libjpeg-turbo
            opens and browsers do not. `optimize` has no meaning then.
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
    if arithmetic:
        entropy = JpegArithmetic(progressive, restart_interval)
    else:
        entropy = JpegHuffman(progressive, bool(optimize), restart_interval)
    stages = {
        "color": YCbCr(),
        "subsample": Subsample(subsampling or "4:2:0"),
        "transform": BlockDCT(),
        "quantize": quantize,
        "entropy": entropy,
    }
    return Codec("jpeg", stages, encoder=JpegEncoder(search) if search else Encoder())


def jpeg_context(
    quality: float = 75,
    subsampling: Subsampling | None = None,
    tables: Any = None,
    effort: int = 0,
    tune: Literal["psnr", "ms-ssim"] = "psnr",
) -> Codec:
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
    return replace(built, name="jpeg-context", stages={**built.stages, "entropy": DctCoded()})


def jpeg_repack(
    quality: float = 75,
    subsampling: Subsampling | None = None,
    tables: Any = None,
    effort: int = 0,
    tune: Literal["psnr", "ms-ssim"] = "psnr",
) -> Codec:
    """A baseline `.jpg` file, repacked: `codeckit repack` makes such streams of files that exist.

    Args:
        quality, subsampling, tables, effort, tune: as in `jpeg`.

    >>> import codeckit, numpy as np
    >>> codeckit.decode(codeckit.codec("jpeg-repack").encode(np.zeros((8, 8), np.uint8))).shape
    (8, 8)
    """
    from .repack import Repacked

    built = jpeg(quality, subsampling, tables, effort=effort, tune=tune)
    return replace(built, name="jpeg-repack", stages={**built.stages, "entropy": Repacked()})


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
class JpegEncoder(Encoder):
    """How JPEG's symbols are found where folding the stages is not enough: by a search.

    Attributes:
        search: how symbols and tables are searched.
        octaves: squared errors weigh 2^octaves, float32 [H,W]; None if they weigh the same everywhere.
    """

    folds: ClassVar[bool] = False

    search: Search
    octaves: np.ndarray | None = field(default=None, repr=False, compare=False)

    def weighed(self, octaves: np.ndarray) -> "JpegEncoder":
        """The encoder with other weights; see `Encoder.weighed`."""
        return replace(self, octaves=octaves)

    def encode(self, stages: dict[str, Stage], image, see: See | None = None) -> tuple[dict[str, Stage], bytes]:
        """The stages that ran, and the file; see `Encoder.encode`.

        The sampling and the steps are those that the search chose, and the symbols are those of the file.
        """
        if stages["color"] != YCbCr() or stages["transform"] != BlockDCT():
            raise ValueError("effort works with JPEG's own colour and transform stages; use effort=0 with others")
        from .search import optimize

        quantized, data = optimize(image, self.search, stages["quantize"], stages["entropy"], self.octaves)
        sampling = next(name for name, factors in SAMPLINGS.items() if factors == quantized.factors[0])
        chosen = QuantTable(tables=tuple(table.tolist() for table in quantized.tables[:2]))
        stages = {**stages, "subsample": Subsample(sampling), "quantize": chosen}
        if see:
            value = image
            for role, stage in stages.items():
                value = {"quantize": quantized, "entropy": data}.get(role) or stage.forward(value)
                see(role, stage, value)
        return stages, data
