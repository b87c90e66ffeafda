"""A hybrid video codec on one screen: prediction, transform, quantization, entropy coding.

Every video standard since H.261 is this loop. A frame is predicted from the one before, as it was *decoded*; the
difference goes through the stages of JPEG; and the encoder does at once what the decoder will do, to have the same
frame to predict the next one from::

    frame ── − ── BlockDCT ── QuantTable ──┬── ContextCoded ──> bytes
             │                             │        ↑
             │              QuantTable⁻¹, BlockDCT⁻¹│motion vectors
             │                             │        │
             └── prediction ── + ──────────┘        │
                     ↑         └─> decoded frame    │
                     └── motion compensation <── motion estimation

The first frame of a group (*I-frame*) has nothing to be predicted from: grey. The others (*P-frames*) have a motion
vector a block. A block that motion predicts worse than grey does (what was not to be seen before) says so instead:
*intra*.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from ..primitives.bitstream import ByteReader, ByteWriter
from ..primitives.color import YCbCr
from ..primitives.dct import BlockDCT
from ..primitives.entropy.context import decode_planes, encode_planes
from ..primitives.errors import StreamError
from ..primitives.motion import BLOCK, clip_motion, compensate, estimate, pad
from ..primitives.picture import MAX_PIXELS, Picture, check_size
from ..primitives.quantizers.table import QuantTable, dequantize, scaled_tables
from ..primitives.subsample import Subsample
from .base import Codec
from .peers.stills import check_quality
from .video import VideoStage

_GREY = 128


@dataclass(frozen=True)
class Hybrid(VideoStage):
    """The loop above as a stage: frames in, a chunk of bytes for each out.

    Attributes:
        quality: 1 … 100: scales a flat quantization table as JPEG's quality does.
        gop: frames from one I-frame to the next.
        dead_zone: by how much of a step residuals are brought nearer to zero before they are rounded.

    >>> frames = [np.full((20, 30, 3), 100 + n, np.uint8) for n in range(3)]
    >>> stage = Hybrid(quality=90)
    >>> chunks = list(stage.forward_frames(frames, (20, 30), 25))
    >>> [frame[0, 0].tolist() for frame in stage.inverse_frames(chunks, (20, 30))]
    [[100, 100, 100], [101, 101, 101], [102, 102, 102]]
    """

    unwritten: ClassVar[tuple[str, ...]] = ("quality", "gop", "dead_zone")  # the first chunk says what is needed
    heads: ClassVar[int] = 1
    in_order: ClassVar[bool] = True

    quality: int = 50
    gop: int = 250
    dead_zone: float = 0.25

    def forward_frames(self, frames: Iterable[np.ndarray], size: tuple[int, int], fps: Fraction) -> Iterator[bytes]:
        """Encode frames: a chunk that says the number of planes and the quality, then one a frame."""
        loop = None
        for number, frame in enumerate(frames):
            if loop is None:
                loop = _Loop(size, 1 if frame.ndim == 2 else 3, self.quality)
                yield bytes([loop.count, self.quality])
            yield loop.encode(_planes(frame), number % self.gop == 0, self.dead_zone)

    def inverse_frames(self, chunks: Iterable[bytes], size: tuple[int, int]) -> Iterator[np.ndarray]:
        """Decode what `forward_frames` wrote."""
        for planes, _ in self._decoded(chunks, size):
            yield _image(planes, size)

    def observe(self, chunks: Iterable[bytes], size: tuple[int, int]) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
        """Frames with their prediction, the residual that is added to it, and of P-frames the motion in pixels."""
        for planes, loop in self._decoded(chunks, size):
            frame, prediction = _image(planes, size), _image(tuple(loop.prediction), size)
            maps = {"prediction": prediction, "residual": frame.astype(np.int16) - prediction}
            if not loop.intra_frame:
                maps["motion"] = loop.motion / 4
            yield frame, maps

    def _decoded(self, chunks: Iterable[bytes], size: tuple[int, int]) -> Iterator[tuple[tuple[np.ndarray, ...], Any]]:
        """The planes of each frame, and the loop as it stands then."""
        chunks = iter(chunks)
        head = next(chunks, b"")
        if len(head) != 2 or head[0] not in (1, 3) or not 1 <= head[1] <= 100:
            raise StreamError("the video does not begin with its number of planes and quality")
        loop = _Loop(size, *head)
        for chunk in chunks:
            yield loop.decode(chunk), loop

    def kind(self, start: bytes) -> str:
        """From the first byte. No I-frame is a key: the coder's statistics go on from one to the next."""
        return "I" if start[0] else "P"

    def forward(self, image: np.ndarray) -> bytes:
        """A picture is a video of one frame."""
        out = ByteWriter()
        out.varint(image.shape[0])
        out.varint(image.shape[1])
        for chunk in self.forward_frames([image], image.shape[:2], Fraction(25)):
            out.raw(chunk)
        return out.getvalue()

    def inverse(self, data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
        """The inverse of `forward`."""
        reader = ByteReader(data)
        size = reader.varint(), reader.varint()
        check_size(size, max_pixels)
        (image,) = self.inverse_frames((reader.raw(2), reader.rest()), size)
        return image

    def describe(self, payload: bytes) -> tuple[tuple[int, int], str]:
        """Size and colour model from the first bytes."""
        reader = ByteReader(payload)
        return (reader.varint(), reader.varint()), "grey" if reader.byte() == 1 else "ycbcr"


def _planes(frame) -> tuple[np.ndarray, ...]:
    """Y, Cb, Cr with halved chroma, in whole blocks."""
    return Subsample("4:2:0", align=BLOCK // 2).forward(_in_blocks(frame)).planes


def _in_blocks(frame):
    height, width = (-(-side // BLOCK) * BLOCK for side in frame.shape[:2])
    edges = [(0, height - frame.shape[0]), (0, width - frame.shape[1]), (0, 0)][: frame.ndim]
    return YCbCr().forward(np.pad(frame, edges, mode="edge"))


def _image(planes, size) -> np.ndarray:
    """The inverse of `_planes`."""
    factors = ((2, 2), (1, 1), (1, 1)) if len(planes) == 3 else ((1, 1),)
    picture = Picture(planes, planes[0].shape, factors, "ycbcr" if len(planes) == 3 else "grey")
    return YCbCr().inverse(Subsample().inverse(picture))[: size[0], : size[1]]


class _Loop:
    """The state that encoder and decoder keep equal: the frame before, its motion, and the coder's statistics."""

    def __init__(self, size, count, quality):
        self.count = count
        self.rows, self.columns = (-(-side // BLOCK) for side in size)
        self.table = scaled_tables(quality, "flat")[0]
        self.step = float(self.table[0, 0])
        self.reference = None  # padded planes
        self.prediction, self.intra_frame = [], True  # of the frame before
        self.motion = None
        self.memories = {}, {}  # of I-frames and of P-frames

    def encode(self, planes, intra_frame: bool, dead_zone: float) -> bytes:
        motion, fresh = None, np.ones((self.rows, self.columns), bool)
        if not intra_frame:
            motion = estimate(planes[0], self.reference[0], self.motion, 0.4 * self.step)
            fresh = _is_worse_than_grey(planes[0], compensate(self.reference[0], motion, chroma=False), self.step)
        prediction = self._predict(motion, fresh)
        symbols = []
        for plane, predicted in zip(planes, prediction, strict=True):
            coefficients = BlockDCT().forward(Picture((_residual(plane, predicted),), plane.shape)).planes[0]
            symbols.append(_quantize(coefficients, self.table, 0 if intra_frame else dead_zone))
        self._reconstruct(prediction, symbols, motion)
        return bytes([intra_frame]) + encode_planes(
            [*([] if intra_frame else [_vectors(motion, fresh)]), *symbols], self.memories[not intra_frame]
        )

    def decode(self, chunk: bytes) -> tuple[np.ndarray, ...]:
        intra_frame = chunk[0]
        if intra_frame > 1 or (not intra_frame and self.reference is None):
            raise StreamError("a frame is predicted, but there is none to predict it from")
        shapes = [(2 * self.rows, 2 * self.columns, 8, 8)] + [(self.rows, self.columns, 8, 8)] * (self.count - 1)
        vectors = [] if intra_frame else [(self.rows, self.columns, 3)]
        values = decode_planes(chunk[1:], vectors + shapes, self.memories[not intra_frame])
        motion, fresh = None, np.ones((self.rows, self.columns), bool)
        if not intra_frame:
            motion, fresh = clip_motion(values[0][..., 1:]), values[0][..., 0] != 0
        return self._reconstruct(self._predict(motion, fresh), values[len(vectors) :], motion)

    def _predict(self, motion, fresh):
        """The planes' prediction: the frame before, moved; grey in fresh blocks."""
        out = []
        for index in range(self.count):
            side = BLOCK // 2 if index else BLOCK
            if motion is None:
                out.append(np.full((self.rows * side, self.columns * side), _GREY, np.uint8))
                continue
            plane = compensate(self.reference[index], motion, chroma=index > 0)
            plane[fresh.repeat(side, 0).repeat(side, 1)] = _GREY
            out.append(plane)
        return out

    def _reconstruct(self, prediction, symbols, motion):
        """Decode the residuals, add them, and keep the frame for the next one."""
        planes = []
        for predicted, plane in zip(prediction, symbols, strict=True):
            coefficients = dequantize(plane, self.table)
            residual = BlockDCT().inverse(Picture((coefficients,), predicted.shape)).planes[0]
            planes.append(np.clip(predicted.astype(np.int16) + residual - _GREY, 0, 255).astype(np.uint8))
        self.reference = [pad(plane) for plane in planes]
        self.prediction, self.intra_frame = prediction, motion is None
        self.motion = np.zeros((self.rows, self.columns, 2), np.int32) if motion is None else motion
        return tuple(planes)


def _residual(plane, predicted):
    """Plane less prediction, around grey, as JPEG's stages take samples."""
    return np.clip(plane.astype(np.int16) - predicted + _GREY, 0, 255).astype(np.uint8)


def _quantize(coefficients, table, dead_zone):
    """Rounded to steps, after they are brought nearer to zero by `dead_zone` steps."""
    nearer = np.maximum(np.abs(coefficients) - dead_zone * table.astype(np.float32), 0)
    return QuantTable(tables=table.tolist()).forward(Picture((np.copysign(nearer, coefficients),), (1, 1))).planes[0]


def _is_worse_than_grey(plane, predicted, step):
    """Blocks whose prediction is farther off than their own mean, which costs some bits too: bool [rows, columns]."""
    blocks, guesses = (
        array.astype(np.int32).reshape(plane.shape[0] // BLOCK, BLOCK, plane.shape[1] // BLOCK, BLOCK)
        for array in (plane, predicted)
    )
    mean = blocks.mean((1, 3), keepdims=True)
    return np.abs(blocks - guesses).sum((1, 3)) > np.abs(blocks - mean).sum((1, 3)) + 20 * step


def _vectors(motion, fresh):
    """What is coded a block: whether it is fresh, and its vector (that of a fresh block is not used: zero)."""
    return np.concatenate((fresh[..., None].astype(np.int32), np.where(fresh[..., None], 0, motion)), axis=2)


def video_teaching(quality: float = 50, gop: int = 250, dead_zone: float = 0.25) -> Codec:
    """The hybrid teaching codec.

    Args:
        quality: 1 … 100.
        gop: frames from one I-frame to the next.
        dead_zone: of P-frames' residuals, in steps, 0 … 0.45.

    >>> list(video_teaching(quality=70).stages)
    ['hybrid']
    """
    check_quality(quality)
    if not isinstance(gop, int) or gop < 1:
        raise ValueError(f"gop is an integer of at least 1, not {gop!r}")
    if not 0 <= dead_zone <= 0.45:
        raise ValueError(f"dead_zone lies in 0 … 0.45, not {dead_zone!r}")
    return Codec("video-teaching", {"hybrid": Hybrid(int(quality), gop, float(dead_zone))})
