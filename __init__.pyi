"""Types of the public API. Written by `python -m codeckit.bench.studies.stubs`; do not edit."""

from os import PathLike
from typing import Any, Literal, overload

from . import bench as bench
from . import codecs as codecs
from . import metrics as metrics
from . import pages as pages
from . import primitives as primitives
from . import testing as testing
from . import training as training
from .api import decode as decode
from .api import decode_video as decode_video
from .api import encode as encode
from .api import encode_video as encode_video
from .api import trace_video as trace_video
from .bench.datasets import dataset as dataset
from .bench.records import Measurement as Measurement
from .bench.report import compare as compare
from .bench.sweep import evaluate as evaluate
from .codecs.base import Codec as Codec
from .codecs.frames import read_video as read_video
from .codecs.image_io import Reading as Reading
from .codecs.image_io import read_image as read_image
from .codecs.image_io import read_metadata as read_metadata
from .codecs.info import info as info
from .codecs.registry import list_codecs as list_codecs
from .codecs.registry import register_codec as register_codec
from .codecs.tokens.codec import TokenCodec
from .codecs.tokens.fsq import TokenizerCodec
from .primitives.errors import DamageWarning as DamageWarning
from .primitives.errors import ReadingError as ReadingError
from .primitives.errors import StreamError as StreamError
from .primitives.stage import Stage

__version__: str

@overload
def codec(
    name: Literal["av1"],
    *,
    quality: float | None = None,
    qp: float | None = None,
    crf: float | None = None,
    preset: str | int = "",
    subsampling: Literal["4:2:0", "4:2:2", "4:4:4"] = "4:2:0",
    matrix: Literal["bt601", "bt709"] = "bt601",
    value_range: Literal["full", "limited"] = "full",
    bits: Literal[0, 8, 10, 12] = 0,
    gop: int = 250,
    low_delay: bool = False,
    tune: Literal["psnr", "ssim", "none"] = "psnr",
    threads: int = 1,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """AV1 (SVT-AV1, dav1d); stills intra."""

@overload
def codec(
    name: Literal["avif"],
    *,
    quality: float = 75,
    subsampling: Literal["4:4:4", "4:2:2", "4:2:0"] = "4:2:0",
    speed: int = 6,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """AVIF (libaom), through Pillow."""

@overload
def codec(
    name: Literal["dcvc"],
    *,
    quality: float = 4,
    gop: int = 32,
    better: float = 1.0,
    weight: float = 1.5,
    motion: str = "block",
    weights: str | PathLike | None = None,
    device: str = "cpu",
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """learned video: block motion, and a network that codes frames given their prediction."""

@overload
def codec(
    name: Literal["downsample"],
    *,
    quality: int = 4,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """the picture made smaller and saved as JPEG: the baseline of task accuracy."""

@overload
def codec(
    name: Literal["dvc"],
    *,
    quality: float = 4,
    gop: int = 32,
    better: float = 1.0,
    weight: float = 1.5,
    motion: str = "block",
    weights: str | PathLike | None = None,
    device: str = "cpu",
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """learned video: block motion, and a network that codes residuals."""

@overload
def codec(
    name: Literal["h264"],
    *,
    quality: float | None = None,
    qp: float | None = None,
    crf: float | None = None,
    preset: str | int = "",
    subsampling: Literal["4:2:0", "4:2:2", "4:4:4"] = "4:2:0",
    matrix: Literal["bt601", "bt709"] = "bt601",
    value_range: Literal["full", "limited"] = "full",
    bits: Literal[0, 8, 10, 12] = 0,
    gop: int = 250,
    low_delay: bool = False,
    tune: Literal["psnr", "ssim", "none"] = "psnr",
    threads: int = 1,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """H.264 (x264); stills intra."""

@overload
def codec(
    name: Literal["hevc"],
    *,
    quality: float | None = None,
    qp: float | None = None,
    crf: float | None = None,
    preset: str | int = "",
    subsampling: Literal["4:2:0", "4:2:2", "4:4:4"] = "4:2:0",
    matrix: Literal["bt601", "bt709"] = "bt601",
    value_range: Literal["full", "limited"] = "full",
    bits: Literal[0, 8, 10, 12] = 0,
    gop: int = 250,
    low_delay: bool = False,
    tune: Literal["psnr", "ssim", "none"] = "psnr",
    threads: int = 1,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """HEVC (x265); stills intra."""

@overload
def codec(
    name: Literal["jpeg"],
    *,
    quality: float = 75,
    subsampling: Literal["4:4:4", "4:2:2", "4:4:0", "4:2:0"] | None = None,
    tables: Any = None,
    progressive: bool | Literal["optimized", "exhaustive"] | None = None,
    optimize: bool = True,
    restart_interval: int = 0,
    arithmetic: bool = False,
    effort: int = 0,
    tune: Literal["psnr", "ms-ssim"] = "psnr",
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """JPEG (ITU-T T.81) from shared stages; genuine .jpg files."""

@overload
def codec(
    name: Literal["jpeg-context"],
    *,
    quality: float = 75,
    subsampling: Literal["4:4:4", "4:2:2", "4:4:0", "4:2:0"] | None = None,
    tables: Any = None,
    effort: int = 0,
    tune: Literal["psnr", "ms-ssim"] = "psnr",
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """JPEG's DCT and quantization, entropy-coded by context mixing."""

@overload
def codec(
    name: Literal["jpeg-repack"],
    *,
    quality: float = 75,
    subsampling: Literal["4:4:4", "4:2:2", "4:4:0", "4:2:0"] | None = None,
    tables: Any = None,
    effort: int = 0,
    tune: Literal["psnr", "ms-ssim"] = "psnr",
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """JPEG files a fifth smaller, restored to the bit (codeckit repack)."""

@overload
def codec(
    name: Literal["jpeg2000"],
    *,
    quality: float = 50,
    ratio: float | None = None,
    decibels: float | None = None,
    lossless: bool = False,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """JPEG 2000 (OpenJPEG), through Pillow."""

@overload
def codec(
    name: Literal["jpeg2000-teaching"],
    *,
    quality: float = 50,
    lossless: bool = False,
    order: Literal["quality", "resolution"] = "quality",
    levels: int = 5,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """JPEG 2000's wavelet and bit planes from shared stages; any prefix decodes."""

@overload
def codec(
    name: Literal["jpegli"],
    *,
    quality: float = 75,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """jpegli: JPEG with adaptive quantization."""

@overload
def codec(
    name: Literal["jpegxl"],
    *,
    quality: float = 75,
    lossless: bool = False,
    effort: int = 7,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """JPEG XL (libjxl)."""

@overload
def codec(
    name: Literal["libjpeg"],
    *,
    quality: float = 75,
    subsampling: Literal["4:4:4", "4:2:2", "4:2:0"] = "4:2:0",
    progressive: bool = False,
    optimize: bool = False,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """libjpeg-turbo, through Pillow."""

@overload
def codec(
    name: Literal["mozjpeg"],
    *,
    quality: float = 75,
    subsampling: Literal["4:4:4", "4:2:0"] = "4:2:0",
    tables: int = 3,
    trellis: bool = True,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """MozJPEG: JPEG with trellis quantization."""

@overload
def codec(
    name: Literal["png"],
    *,
    quality: float = 100,
    effort: int = 6,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """PNG: lossless."""

@overload
def codec(
    name: Literal["token-arrays"],
    *,
    step: float = 0.25,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> TokenCodec:
    """real tokens of your own network, in steps (encode_tokens)."""

@overload
def codec(
    name: Literal["token-indices"],
    *,
    vocabulary: int | tuple[int, ...] | list[int] | None = None,
    progressive: bool = False,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> TokenCodec:
    """indices of your own tokenizer, without loss (encode_tokens)."""

@overload
def codec(
    name: Literal["tokens"],
    *,
    quality: float = 4,
    refine: int = 12,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> TokenCodec:
    """features of EfficientNet-Lite0 for machines: 7×7 tokens in a few hundred bytes."""

@overload
def codec(
    name: Literal["tokens-fsq"],
    *,
    quality: int = 4,
    progressive: bool = False,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> TokenizerCodec:
    """discrete tokenizer: 16×16 pixels a token of 3 to 48 small integers; decodes to pictures."""

@overload
def codec(
    name: Literal["tokens-scenes"],
    *,
    quality: float = 4,
    budget: int = 64,
    reducer: Literal[
        "random", "grid", "qpid", "qpid+", "tome", "divprune", "coverage", "max-entropy", "pivoted", "pivoted+"
    ] = "pivoted+",
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> TokenCodec:
    """visual tokens of a small multimodal model that answers questions about scenes."""

@overload
def codec(
    name: Literal["tokens-vit"],
    *,
    quality: float = 4,
    budget: int = 25,
    reducer: Literal[
        "random", "grid", "qpid", "qpid+", "tome", "divprune", "coverage", "max-entropy", "pivoted", "pivoted+"
    ] = "qpid+",
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> TokenCodec:
    """a few tokens of a small vision transformer for machines: Imagenette's ten classes."""

@overload
def codec(
    name: Literal["uncompressed"],
    *,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """the samples as they are: the ceiling of task accuracy."""

@overload
def codec(
    name: Literal["video-teaching"],
    *,
    quality: float = 50,
    gop: int = 250,
    dead_zone: float = 0.25,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """hybrid video codec from shared stages: motion compensation and JPEG's stages."""

@overload
def codec(
    name: Literal["vp9"],
    *,
    quality: float | None = None,
    qp: float | None = None,
    crf: float | None = None,
    preset: str | int = "",
    subsampling: Literal["4:2:0", "4:2:2", "4:4:4"] = "4:2:0",
    matrix: Literal["bt601", "bt709"] = "bt601",
    value_range: Literal["full", "limited"] = "full",
    bits: Literal[0, 8, 10, 12] = 0,
    gop: int = 250,
    low_delay: bool = False,
    tune: Literal["psnr", "ssim", "none"] = "psnr",
    threads: int = 1,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """VP9 (libvpx); stills intra."""

@overload
def codec(
    name: Literal["vvc"],
    *,
    quality: float | None = None,
    qp: float | None = None,
    crf: float | None = None,
    preset: str | int = "",
    subsampling: Literal["4:2:0", "4:2:2", "4:4:4"] = "4:2:0",
    matrix: Literal["bt601", "bt709"] = "bt601",
    value_range: Literal["full", "limited"] = "full",
    bits: Literal[0, 8, 10, 12] = 0,
    gop: int = 250,
    low_delay: bool = False,
    tune: Literal["psnr", "ssim", "none"] = "psnr",
    threads: int = 1,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """VVC (VVenC); stills intra; decoding needs no package."""

@overload
def codec(
    name: Literal["webp"],
    *,
    quality: float = 75,
    lossless: bool = False,
    method: int = 4,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """WebP (libwebp), through Pillow."""

@overload
def codec(
    name: Literal["balle2017"],
    *,
    quality: float | None = None,
    weights: str | PathLike | None = None,
    device: str = "cpu",
    effort: int = 0,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """Ballé 2017: GDN transforms, factorized prior."""

@overload
def codec(
    name: Literal["bmshj2018-factorized"],
    *,
    quality: float | None = None,
    weights: str | PathLike | None = None,
    device: str = "cpu",
    effort: int = 0,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """Ballé 2018 without the hyperprior: factorized prior."""

@overload
def codec(
    name: Literal["bmshj2018-hyperprior"],
    *,
    quality: float | None = None,
    weights: str | PathLike | None = None,
    device: str = "cpu",
    effort: int = 0,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """Ballé 2018: scale hyperprior."""

@overload
def codec(
    name: Literal["cheng2020"],
    *,
    quality: float | None = None,
    weights: str | PathLike | None = None,
    device: str = "cpu",
    effort: int = 0,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """Cheng 2020: attention, Gaussian mixture, continuous rate."""

@overload
def codec(
    name: Literal["cheng2020-anchor"],
    *,
    quality: float | None = None,
    weights: str | PathLike | None = None,
    device: str = "cpu",
    effort: int = 0,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """Cheng 2020 without attention, single Gaussian."""

@overload
def codec(
    name: Literal["cheng2020-attn"],
    *,
    quality: float | None = None,
    weights: str | PathLike | None = None,
    device: str = "cpu",
    effort: int = 0,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """Cheng 2020 with attention, single Gaussian."""

@overload
def codec(
    name: Literal["cheng2020-checkerboard"],
    *,
    quality: float | None = None,
    weights: str | PathLike | None = None,
    device: str = "cpu",
    effort: int = 0,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """the same with a checkerboard context: two decoding steps."""

@overload
def codec(
    name: Literal["mbt2018"],
    *,
    quality: float | None = None,
    weights: str | PathLike | None = None,
    device: str = "cpu",
    effort: int = 0,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """Minnen 2018: hyperprior and autoregressive context."""

@overload
def codec(
    name: Literal["mbt2018-mean"],
    *,
    quality: float | None = None,
    weights: str | PathLike | None = None,
    device: str = "cpu",
    effort: int = 0,
    background: Any = None,
    depth: int | None = None,
    frame: int | None = None,
    metadata: Literal["color", "keep", "drop"] = "color",
    **stages: Stage | str,
) -> Codec:
    """Minnen 2018 without context: mean and scale hyperprior."""

@overload
def codec(name: str, **options: Any) -> Codec:
    """Any other codec, such as a plug-in's or one that `register_codec` added."""
