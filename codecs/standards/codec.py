"""H.264, HEVC, AV1, VP9 and VVC: pictures and videos coded by the libraries that everybody uses.

Colour is ours: RGB to Y, Cb, Cr by `primitives.color`, rounded, chroma subsampled as in our JPEG; the library sees
planes alone. A picture whose size the standard cannot hold (odd sides with halved chroma, very small ones) is
padded by repeating its edges, and the stream says its true size. So what stands in tables is the standard's own
prediction, transform and entropy coding, not a converter's rounding.

A still picture is coded intra, in one packet, in a `.ckt` stream::

    H  W  colour  packet            colour: chroma 0 grey, 1 4:2:0, 2 4:2:2, 3 4:4:4 | matrix << 2 | range << 3

`quality` counts down from the coarsest quantization parameter, so that higher is better as everywhere: 51 − QP for
H.264 and HEVC, 63 − QP for AV1, VP9 and VVC.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from typing import ClassVar, Literal

import numpy as np

from ...primitives.bitstream import ByteReader, ByteWriter
from ...primitives.color import MATRICES, RANGES, planes_to_rgb, rgb_to_planes
from ...primitives.errors import StreamError
from ...primitives.level_map import pooled
from ...primitives.picture import MAX_PIXELS, check_size, pad_edge
from ...primitives.subsample import downsample, upsample
from ..base import Codec
from ..frames import Frames
from ..video import VideoStage
from . import keys
from .encoders import REGION_CELL, REGIONAL, STANDARDS, Decoder, File, Settings, open_encoder, regions

_CHROMA = ("grey", "4:2:0", "4:2:2", "4:4:4")
_FACTORS = {"grey": (1, 1), "4:2:0": (2, 2), "4:2:2": (1, 2), "4:4:4": (1, 1)}


@dataclass(frozen=True)
class StandardCoded(VideoStage):
    """A video standard as one stage: image in, intra picture out; frames in, packets out.

    Attributes:
        standard: ``"h264"``, ``"hevc"``, ``"av1"``, ``"vp9"`` or ``"vvc"``.
        level, rate, preset, subsampling, matrix, value_range, bits, gop, low_delay, tune, threads, regions: see
            `Settings`.
        pinned: the quantization parameter was asked for by its name, so that nothing may change it.

    >>> stage = StandardCoded("hevc", level=20, preset="ultrafast")
    >>> stage.inverse(stage.forward(np.full((5, 7, 3), 90, np.uint8)))[0, 0].tolist()
    [90, 90, 90]
    """

    heads: ClassVar[int] = 1

    #: The bitstream says everything but its own name.
    unwritten: ClassVar[tuple[str, ...]] = tuple(
        "level rate preset subsampling matrix value_range bits gop low_delay tune threads regions pinned".split()
    )

    standard: str = "hevc"
    level: int = 26
    rate: str = "qp"
    preset: str = "medium"
    subsampling: str = "4:2:0"
    matrix: str = "bt601"
    value_range: str = "full"
    bits: int = 8
    gop: int = 250
    low_delay: bool = False
    tune: str = "psnr"
    threads: int = 1
    regions: tuple[tuple[int, int, int, int, int], ...] = ()
    pinned: bool = field(default=False, compare=False)

    def weighed(self, octaves: np.ndarray, stages) -> "StandardCoded | None":
        """The encoder with regions of other QPs, where it has them; see `Stage.weighed`.

        A weight of 2^o lowers QP by 3·o. Encoders take offsets from a constant rate factor only: one of the same number
        takes the place of the QP that a quality stands for.

        Raises:
            ValueError: the QP itself was asked for, which the encoder would keep everywhere.
        """
        if self.standard not in REGIONAL:
            return None
        if self.pinned:
            raise ValueError(f"with qp= {self.standard} has one QP everywhere; with importance= give quality= or crf=")
        grid = tuple(-(-side // REGION_CELL) for side in octaves.shape)
        offsets = np.rint(-3 * pooled(octaves, (REGION_CELL, REGION_CELL), grid)).astype(int)
        return replace(self, rate="crf", regions=regions(offsets, REGION_CELL))

    def forward(self, image: np.ndarray) -> bytes:
        """Encode uint8 [H,W,3] or [H,W] as one intra picture."""
        settings = self._settings(grey=image.ndim == 2, still=True)
        try:
            packets = self._still(image, settings)
        except ValueError:
            if self.standard != "vvc":
                raise
            height, width = image.shape[:2]
            rows = max(height, _with_room((height, max(width, STANDARDS["vvc"].smallest)))[0] - height)
            below = ((0, rows), (0, 0), (0, 0))
            packets = self._still(np.pad(image, below[: image.ndim], mode="edge"), settings)
        out = ByteWriter()
        out.varint(image.shape[0])
        out.varint(image.shape[1])
        out.byte(_color_byte(settings, image.ndim == 2))
        out.raw(b"".join(packets))
        return out.getvalue()

    def inverse(self, data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
        """Decode what `forward` wrote.

        Raises:
            StreamError: cut, damaged, or larger than `max_pixels`.
        """
        reader = ByteReader(data)
        size = reader.varint(), reader.varint()
        check_size(size, max_pixels)
        color = reader.byte()
        decoder = Decoder(self.standard, self._limit(size))
        pictures = [*decoder.decode(reader.rest()), *decoder.flush()]
        if len(pictures) != 1:
            raise StreamError(f"the {self.standard} bitstream of a still holds {len(pictures)} pictures")
        return from_planes(*pictures[0], size, color)

    def describe(self, payload: bytes) -> tuple[tuple[int, int], str]:
        """Size and colour model from the stream's first bytes."""
        reader = ByteReader(payload)
        return (reader.varint(), reader.varint()), "ycbcr" if _is_color(reader.byte()) else "grey"

    def forward_frames(self, frames: Iterable[np.ndarray], size: tuple[int, int], fps: Fraction) -> Iterator[bytes]:
        """Encode a video: first a chunk of one byte that says the colour, then the packets."""
        encoder = None
        try:
            for frame in frames:
                grey = frame.ndim == 2
                if encoder is None:
                    settings = self._settings(grey)
                    yield bytes([_color_byte(settings, grey)])
                    coded = padded(size, settings)
                    if self.standard == "vvc":
                        coded = _with_room(coded)
                    encoder = open_encoder(settings, coded, fps)
                yield from encoder.encode(to_planes(frame, settings, coded))
            if encoder is not None:
                yield from encoder.flush()
        finally:
            if encoder is not None:
                encoder.close()

    def inverse_frames(self, chunks: Iterable[bytes], size: tuple[int, int]) -> Iterator[np.ndarray]:
        """Decode what `forward_frames` wrote, picture by picture."""
        chunks = iter(chunks)
        color = next(chunks, b"")
        if len(color) != 1:
            raise StreamError("the video does not begin with its colour")
        decoder = Decoder(self.standard, self._limit(size))
        for packet in chunks:
            for picture in decoder.decode(packet):
                yield from_planes(*picture, size, color[0])
        for picture in decoder.flush():
            yield from_planes(*picture, size, color[0])

    def is_key(self, start: bytes) -> bool:
        """Whether a packet holds a picture that a decoder can begin with: see `keys`."""
        return keys.is_key(self.standard, start)

    def write_file(self, frames: Iterable[np.ndarray], video: Frames, path: str, form: str) -> None:
        """Encode frames into a file of FFmpeg's format `form`, with colour tags.

        Args:
            frames: the frames of `video`.
            video: their size, time stamps and the shape of their pixels.
            path: the file to write.
            form: ``"mp4"``, or what else `codecs.video.FORMATS` has.

        Raises:
            ValueError: the format cannot hold it, or the size needs padding, which only a `.ckt` can note.
        """
        encoder = None
        try:
            for frame in frames:
                if encoder is None:
                    settings = self._settings(frame.ndim == 2)
                    check_unpadded(video.size, settings)
                    encoder = open_encoder(settings, video.size, video.fps, File(path, form, video.clock, video.aspect))
                encoder.encode(to_planes(frame, settings))
            if encoder is not None:
                encoder.flush()
                encoder = None
        finally:
            if encoder is not None:
                encoder.close()

    def _still(self, image: np.ndarray, settings: Settings) -> list[bytes]:
        planes = to_planes(image, settings)
        encoder = open_encoder(settings, planes[0].shape)
        try:
            return [*encoder.encode(planes), *encoder.flush()]
        finally:
            encoder.close()

    def _settings(self, grey: bool, still: bool = False) -> Settings:
        chroma = self.subsampling
        if grey:
            chroma = "grey" if "grey" in STANDARDS[self.standard].chroma else "4:2:0"
        return Settings(
            self.standard, self.level, self.rate, self.preset, chroma, self.matrix, self.value_range, self.bits,
            still, 1 if still else self.gop, self.low_delay, self.tune, self.threads, self.regions,
        )  # fmt: skip

    def _limit(self, size):
        """Samples that a decoder may hold for a picture of this size: FFmpeg counts rows with their padding."""
        smallest, heights = STANDARDS[self.standard].smallest, 2 if self.standard == "vvc" else 1
        return (heights * max(size[0], smallest) + 256) * (max(size[1], smallest) + 256)


def _color_byte(s: Settings, grey: bool) -> int:
    chroma = 0 if grey else _CHROMA.index(s.chroma)
    return chroma | tuple(MATRICES).index(s.matrix) << 2 | RANGES.index(s.value_range) << 3


def _is_color(byte: int) -> bool:
    return byte & 3 != 0


def padded(size: tuple[int, int], s: Settings) -> tuple[int, int]:
    """The size (H, W) that the encoder codes for a picture of `size`: even where chroma is halved, and not too small.

    >>> padded((3, 5), Settings("hevc", 30)), padded((33, 35), Settings("hevc", 30, chroma="4:4:4"))
    ((16, 16), (33, 35))
    """
    smallest = STANDARDS[s.standard].smallest
    return tuple(
        -(-max(side, smallest) // factor) * factor for side, factor in zip(size, _FACTORS[s.chroma], strict=True)
    )


def check_unpadded(size: tuple[int, int], s: Settings) -> None:
    """Refuse a size (H, W) that needs padding.

    >>> check_unpadded((32, 48), Settings("av1", 30))
    Traceback (most recent call last):
    ...
    ValueError: av1 codes no sides below 64 pixels unpadded, and files other than .ckt cannot note the true size of 48×32; write .ckt
    """  # noqa: E501
    if padded(size, s) == size:
        return
    smallest, true = STANDARDS[s.standard].smallest, f"the true size of {size[1]}×{size[0]}"
    if min(size) < smallest:
        raise ValueError(
            f"{s.standard} codes no sides below {smallest} pixels unpadded, and files other than .ckt cannot note "
            f"{true}; write .ckt"
        )
    sides = "an even width" if s.chroma == "4:2:2" else "even sides"
    raise ValueError(
        f"{s.standard} with {s.chroma} codes {sides}, and files other than .ckt cannot note {true}; write .ckt, or "
        f"crop to {sides}"
    )


def _with_room(size: tuple[int, int]) -> tuple[int, int]:
    """A size (H, W) for VVenC with rows added to small pictures.

    FFmpeg gives VVenC a byte a pixel for a packet, which headers exceed in small pictures, and noise at the finest
    steps in any. Rows that repeat the last one cost next to nothing, and the decoder cuts them off.
    """
    height, width = size
    return max(height, -(-4096 // width) + 1 & ~1), width


def to_planes(image: np.ndarray, s: Settings, coded: tuple[int, int] | None = None) -> tuple[np.ndarray, ...]:
    """The planes that the encoder codes: converted, padded, chroma subsampled. `from_planes` is the inverse.

    Args:
        image: uint8 [H,W,3] or [H,W].
        s: how to code.
        coded: (H, W) to pad to, by default what `padded` says.
    """
    height, width = coded or padded(image.shape[:2], s)
    v, h = _FACTORS[s.chroma]
    first, *chroma = (pad_edge(plane, height, width) for plane in rgb_to_planes(image, s.matrix, s.value_range, s.bits))
    if image.ndim == 2 and s.chroma != "grey":  # the encoder has no grey format
        chroma = [np.full((height, width), 1 << (s.bits - 1), first.dtype)] * 2
    return (first, *(downsample(plane, v, h) for plane in chroma))


def from_planes(planes: tuple[np.ndarray, ...], bits: int, size: tuple[int, int], color: int) -> np.ndarray:
    """The picture of decoded planes: chroma upsampled, padding cut off, converted to uint8 [H,W,3], or [H,W] if grey.

    Args:
        planes: as the decoder gives them.
        bits: their depth.
        size: (H, W) of the picture.
        color: the stream's colour byte.

    Raises:
        StreamError: the planes do not fit the size or the colour.
    """
    matrices = tuple(MATRICES)
    if color >> 4 or color >> 2 & 1 >= len(matrices):
        raise StreamError(f"unknown colour {color}")
    height, width = planes[0].shape
    if height < size[0] or width < size[1] or (_is_color(color) and len(planes) != 3):
        raise StreamError(f"the bitstream's pictures of {width}×{height} do not fit the stream's {size[1]}×{size[0]}")
    if not _is_color(color):
        planes = planes[:1]
    v, h = _FACTORS[_CHROMA[color & 3]]
    if any(plane.shape != (-(-height // v), -(-width // h)) for plane in planes[1:]):
        raise StreamError("the bitstream's chroma has another sampling than the stream says")
    full = [planes[0], *(upsample(plane, v, h, (height, width)) for plane in planes[1:])]
    full = tuple(plane[: size[0], : size[1]] for plane in full)
    return planes_to_rgb(full, matrices[color >> 2 & 1], RANGES[color >> 3 & 1], bits)


def standard_codec(
    standard: str,
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
) -> Codec:
    """A video standard, for stills (intra) and for video.

    Args:
        standard: a key of `STANDARDS`.
        quality: 0 … 51 (H.264, HEVC) or 63 (AV1, VP9, VVC): the coarsest QP less the QP.
        qp: the quantization parameter itself, instead of `quality`; lower is better.
        crf: constant rate factor instead; lower is better.
        preset: the encoder's speed preset by its own name (x264, x265, VVenC: ``"slow"`` …; SVT-AV1 0 … 13 and libvpx
            0 … 8: lower is slower and better).
        subsampling: ``"4:2:0"``, ``"4:2:2"`` or ``"4:4:4"``, as the encoder has them.
        matrix: ``"bt601"`` or ``"bt709"``.
        value_range: ``"full"`` or ``"limited"``.
        bits: 8, 10 or 12, as the encoder has them; 0 for its usual depth.
        gop: video: frames from one intra picture to the next, at most.
        low_delay: video: each picture is predicted from earlier ones alone and coded at once.
        tune: ``"psnr"``, ``"ssim"``, or ``"none"`` for the encoder's own taste.
        threads: threads of the encoder.

    >>> standard_codec("hevc", qp=30).setting["quality"]
    21
    """
    facts = STANDARDS[standard]
    given = {name: value for name, value in (("quality", quality), ("qp", qp), ("crf", crf)) if value is not None}
    if len(given) > 1:
        raise ValueError(f"give one of {', '.join(given)}")
    kind, value = next(iter(given.items()), ("quality", facts.highest // 2))
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 <= value <= facts.highest:
        raise ValueError(f"{kind} of {standard} is a number from 0 to {facts.highest}, not {value!r}")
    level = facts.highest - int(value) if kind == "quality" else int(value)
    preset, bits = str(preset if preset != "" else facts.preset), bits or facts.bits[0]
    for name, chosen, legal in (
        ("preset", preset, facts.presets),
        ("subsampling", subsampling, [chroma for chroma in facts.chroma if chroma != "grey"]),
        ("matrix", matrix, MATRICES),
        ("value_range", value_range, RANGES),
        ("bits", bits, facts.bits),
        ("tune", tune, ("psnr", "ssim", "none")),
    ):
        if chosen not in legal:
            raise ValueError(f"{name} of {standard} is {', '.join(map(str, legal))}, not {chosen!r}")
    if not isinstance(gop, int) or gop < 1 or not isinstance(threads, int) or threads < 1:
        raise ValueError(f"gop and threads are integers of at least 1, not {gop!r} and {threads!r}")
    rate = "crf" if kind == "crf" else "qp"
    stage = StandardCoded(
        standard, level, rate, preset, subsampling, matrix, value_range, bits, gop, bool(low_delay), tune, threads,
        pinned=kind == "qp",
    )  # fmt: skip
    setting = {"quality": facts.highest - level, "qp": None, "crf": None, "rate": "crf" if rate == "crf" else None}
    return Codec(standard, {"library": stage}, setting)


h264 = partial(standard_codec, "h264")
hevc = partial(standard_codec, "hevc")
av1 = partial(standard_codec, "av1")
vp9 = partial(standard_codec, "vp9")
vvc = partial(standard_codec, "vvc")
