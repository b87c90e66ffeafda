"""The loop of a learned video codec: groups of frames, each of one I-frame and those predicted from it.

**Chunks**, one a frame::

    I    00  level  payload of balle2017                             check
    P    01  level  varint length  motion  symbols                   check

`level` is 8 · (quality - 1) of a predicted frame's latents; an I-frame tells that of the frames that follow. `motion`
is what the motion stage packs, `symbols` the stream of the context-mixing coder. The check is the lower half of the
CRC-32 of all before it in the chunk, so that damage is noticed before other frames are predicted from it.

**State.** Encoder and decoder keep the decoded frame, its motion, its symbols and the coder's statistics. An I-frame
sets all of that back, so decoding can begin at any I-frame.

**Exactness.** The state is integers, made by integer arithmetic from the chunks alone. An I-frame's payload is one of
`balle2017`; its picture is made by an integer network (`exact_still`).
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from ...primitives.bitstream import ByteReader, ByteWriter
from ...primitives.entropy.latent_mixing import Experience
from ...primitives.errors import StreamError
from ...primitives.pad import PadTo
from ...primitives.picture import MAX_PIXELS, Picture, check_size
from ...primitives.stage import Stage
from ..learned.networks import LEVEL_STEPS
from ..learned.stages import LatentMixed
from ..video import VideoStage
from .exact import DENSITY, NARROWEST
from .motion import BLOCK, Motion
from .stages import CostRound, PredictedTransform, Prediction, ResidualPrediction, WeightedStage
from .symbols import SymbolCoder

_INTRA, _PREDICTED = 0, 1
_PAD = PadTo(BLOCK)


@dataclass
class FrameReport:
    """What a frame was made of, for whoever watches the loop.

    Attributes:
        kind: "I" or "P".
        decoded: the frame, uint8 [16R,16C,3].
        level: the gain level.
        bits: of the chunk, by what they are for; their sum is that of the chunk.
        motion: what the motion stage made; None for I-frames.
        prediction: None for I-frames.
        symbols: int32 [R,C,M].
        spent: the bits of each symbol, float64 [R,C,M], where an encoder measures them.
    """

    kind: str
    decoded: np.ndarray
    level: int
    bits: dict[str, int]
    motion: Any = None
    prediction: Prediction | None = None
    symbols: np.ndarray | None = None
    spent: np.ndarray | None = None


@dataclass(frozen=True)
class PredictedMixed(VideoStage, WeightedStage):
    """The loop over frames, and the context-mixing coder of their symbols.

    Attributes:
        weights: handle of the weight file.
        quality: 1 … 8, of predicted frames, in steps of 1/8.
        gop: frames from one I-frame to the next.
        better: by how much the quality of I-frames is higher: the frames that follow are predicted from them.
    """

    #: Chunks say what decoding needs.
    unwritten: ClassVar[tuple[str, ...]] = ("weights", "quality", "gop", "better")
    absorbs: ClassVar[bool] = True

    quality: float = 4
    gop: int = 32
    better: float = 1.0

    @property
    def level(self) -> int:
        """The gain level of predicted frames."""
        return round((self.quality - 1) * LEVEL_STEPS)

    def among(self, stages: Mapping[str, Stage]) -> "Stage":
        """The loop with all stages of the codec (`loop.Loop`)."""
        return Loop(self, stages)

    def describe(self, payload: bytes) -> tuple[tuple[int, int], str]:
        """Size (H, W) and colour model of the picture in a payload, whether the weights are known or not."""
        reader = ByteReader(payload)
        size = reader.varint(), reader.varint()
        reader.raw(2)
        return size, LatentMixed().describe(reader.rest())[1]

    def facts(self, payload: bytes) -> dict[str, Any]:
        """The gain level that predicted frames would have."""
        reader = ByteReader(payload)
        reader.varint(), reader.varint(), reader.byte()
        return {"level": reader.byte()}


class Loop(VideoStage):
    """`PredictedMixed` among the stages of its codec: frames to chunks and back.

    Args:
        last: the stage.
        stages: all of the codec.

    Attributes:
        see: called with a report of each frame that is encoded, if set.
        experience: what the entropy coder begins groups with, if set, instead of what the weight file says.
        coder: that of the last group.

    Raises:
        ValueError: a stage is missing, or of another kind.
    """

    absorbs: ClassVar[bool] = True
    in_order: ClassVar[bool] = True

    def __init__(self, last: PredictedMixed, stages: Mapping[str, Stage]):
        self.last = last
        self.motion: Motion = _of_kind(stages, Motion)
        self.prediction: ResidualPrediction = _of_kind(stages, ResidualPrediction)
        self.transform: PredictedTransform = _of_kind(stages, PredictedTransform)
        self.rounding: CostRound = _of_kind(stages, CostRound)
        self.see: Callable[[FrameReport], None] | None = None
        self.experience: Experience | None = None
        self.coder: SymbolCoder | None = None

    def forward_frames(self, frames: Iterable[np.ndarray], size: tuple[int, int], fps: Fraction) -> Iterator[bytes]:
        """A chunk for each frame."""
        group: Any = None
        for number, frame in enumerate(frames):
            if number % self.last.gop == 0:
                group = _Group(self, size, bool(self.see))
                yield group.encode_still(frame)
            else:
                yield group.encode(frame)

    def inverse_frames(self, chunks: Iterable[bytes], size: tuple[int, int]) -> Iterator[np.ndarray]:
        """The frames of chunks, the first of which is an I-frame's."""
        for frame, _ in self._decoded(chunks, size):
            yield frame

    def observe(self, chunks: Iterable[bytes], size: tuple[int, int]) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
        """Frames with what they were made of: see `VideoStage.observe`.

        All have "latents" (symbols, int32 [R,C,M]) and "symbol bits". Predicted frames also have "motion",
        "motion bits", "prediction" (by motion alone), "context" (features of it, float32 [4R,4C,C]), "corrected" (by
        the network, float32) and "residual" (what the decoded frame adds to that).
        """
        for frame, group in self._decoded(chunks, size, measured=True):
            yield frame, group.maps()

    def _decoded(self, chunks, size, measured=False):
        group = None
        for chunk in chunks:
            reader = ByteReader(_checked(chunk))
            kind, level = reader.byte(), reader.byte()
            if kind == _INTRA:
                group = _Group(self, size, measured)
                yield group.decode_still(level, reader.rest()), group
            elif kind == _PREDICTED and group:
                yield group.decode(level, reader), group
            else:
                raise StreamError("a frame is predicted, but there is none to predict it from")

    def is_key(self, start: bytes) -> bool:
        """Whether a chunk is an I-frame's."""
        return start[:1] == bytes([_INTRA])

    def kind(self, start: bytes) -> str:
        """I or P, from the first byte of a chunk."""
        return {_INTRA: "I", _PREDICTED: "P"}.get(start[0] if start else -1, "")

    def forward(self, image: np.ndarray) -> bytes:
        """A picture is a video of one frame: H and W as varints, and its chunk."""
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
        (image,) = self.inverse_frames([reader.rest()], size)
        return image

    @property
    def still(self):
        """The entropy stage of I-frames."""
        return _still_stages(self.last.loaded().still_file)["entropy"]


class _Group:
    """The state of a group of frames, equal in encoder and decoder.

    Args:
        measured: whether the bits of symbols are measured: `spent` [R,C,M] of the last frame, and of its motion.
    """

    def __init__(self, loop: Loop, size: tuple[int, int], measured: bool):
        self.loop, self.size, self.measured = loop, size, measured
        self.spent: Any = None
        self.motion_bits = 0
        self.weights = loop.last.loaded()
        self.shape = -(-size[0] // BLOCK), -(-size[1] // BLOCK)
        self.color = "rgb"
        self.frame: Any = None
        self.motion: Any = None
        self.prediction: Prediction | None = None
        self.symbols: Any = None
        self.coder: Any = None
        self.memory: dict = {}

    def encode_still(self, frame: np.ndarray) -> bytes:
        """The chunk of an I-frame, uint8 [H,W,3] or [H,W]."""
        level, better = self.loop.last.level, self.loop.last.better
        stages = _still_stages(self.weights.still_file, min(self.loop.last.quality + better, 8))
        value: Any = frame
        for stage in stages.values():
            value = stage.forward(value)
        self.decode_still(level, value)
        chunk = _with_check(bytes([_INTRA, level]) + value)
        self._report("I", level, {"header": 32, "picture": 8 * len(value)})
        return chunk

    def decode_still(self, level: int, payload: bytes) -> np.ndarray:
        """The frame of an I-frame's payload."""
        self._check(level)
        entropy: Any = self.loop.still
        size, _ = entropy.describe(payload)
        if size != self.size:  # before anything of that size is made
            raise StreamError(f"an I-frame has the size {size}, and the video {self.size} (H, W)")
        coded = entropy.inverse(payload, MAX_PIXELS)
        self.color = coded.color
        self.symbols = coded.planes[0]
        self.spent = entropy.anatomy(coded, payload).costs[0] if self.measured else None
        self.frame = self.weights.still.picture(self.symbols, coded.side["level"])
        return self._image()

    def encode(self, frame: np.ndarray) -> bytes:
        """The chunk of a predicted frame."""
        loop, level = self.loop, self.loop.last.level
        wanted = np.stack(_PAD.forward(frame).planes, axis=2)
        motion = loop.motion.estimate(wanted, self.frame, self.motion, 1 + level / LEVEL_STEPS)
        packed = loop.motion.pack(motion, self.memory)
        prediction = loop.prediction.predict(loop.motion.predict(self.frame, motion), self.frame, level)
        indices = self.weights.decoder.indices(prediction.context, level)
        scales = np.exp(NARROWEST + indices / DENSITY)
        symbols = loop.rounding.choose(loop.transform.analysis(wanted, prediction, level), scales)
        stream = self._coder(level).encode(symbols, indices, level, self.measured)
        out = ByteWriter()
        out.raw(bytes([_PREDICTED, level]))
        out.varint(len(packed))
        head = len(out.getvalue())
        out.raw(packed)
        out.raw(stream)
        self._become(motion, prediction, symbols, level)
        bits = {"header": 8 * (head + 2), "motion": 8 * len(packed), "symbols": 8 * len(stream)}
        self._report("P", level, bits, motion, prediction, symbols, self.coder.spent)
        return _with_check(out.getvalue())

    def decode(self, level: int, reader: ByteReader) -> np.ndarray:
        """The frame of a predicted frame's chunk, behind its kind and level."""
        self._check(level)
        loop = self.loop
        packed = reader.raw(reader.varint())
        motion = loop.motion.unpack(packed, self.shape, self.memory)
        prediction = loop.prediction.predict(loop.motion.predict(self.frame, motion), self.frame, level)
        indices = self.weights.decoder.indices(prediction.context, level)
        symbols = self._coder(level).decode(reader.rest(), indices, level, self.measured)
        self._become(motion, prediction, symbols, level)
        self.spent, self.motion_bits = self.coder.spent, 8 * len(packed)
        return self._image()

    def maps(self) -> dict[str, np.ndarray]:
        """What the last frame was made of."""
        coded = {"latents": self.symbols, "symbol bits": self.spent.sum(2)}
        if self.prediction is None:
            return coded
        height, width = self.size
        corrected = self.prediction.corrected[:height, :width]
        return {
            "motion": self.loop.motion.vectors(self.motion),
            "prediction": self.prediction.moved[:height, :width],
            "context": self.prediction.features,
            "corrected": corrected,
            "residual": self.frame[:height, :width] - corrected,
            **coded,
            "motion bits": np.array([[float(self.motion_bits)]]),
        }

    def _become(self, motion, prediction, symbols, level):
        self.motion, self.prediction, self.symbols = motion, prediction, symbols
        self.frame = self.loop.transform.synthesis(symbols, prediction, level)

    def _coder(self, level):
        """The coder of symbols, new for a group's first predicted frame."""
        if self.coder is None:
            self.coder = SymbolCoder(self.weights.decoder, self.loop.experience or self.weights.experience(level))
            self.loop.coder = self.coder
        return self.coder

    def _check(self, level):
        if level >= len(self.weights.decoder.steps):
            raise StreamError(f"the stream names the gain level {level}, which the network does not have")

    def _image(self):
        planes = tuple(np.moveaxis(self.frame, 2, 0))
        return _PAD.inverse(Picture(planes, self.size, ((1, 1),) * 3, self.color))

    def _report(self, kind, level, bits, *rest):
        if self.loop.see:
            self.loop.see(FrameReport(kind, self.frame, level, bits, *rest))


def _with_check(chunk: bytes) -> bytes:
    return chunk + (zlib.crc32(chunk) & 0xFFFF).to_bytes(2, "big")


def _checked(chunk: bytes) -> bytes:
    """A chunk without its check: the inverse of `_with_check`."""
    if len(chunk) < 4 or _with_check(chunk[:-2]) != chunk:
        raise StreamError("a frame is cut or damaged: its check does not match")
    return chunk[:-2]


def _still_stages(weights, quality: float | None = None) -> dict[str, Stage]:
    """The stages of the codec of I-frames."""
    from ..learned.codec import compose
    from ..learned.networks import network_class

    return compose(network_class("balle2017"), quality, weights.path, weights.device, 0).stages


def _of_kind(stages: Mapping[str, Stage], kind: type) -> Any:
    """The stage of a kind among those of a codec."""
    for stage in stages.values():
        if isinstance(stage, kind):
            return stage
    raise ValueError(f"a learned video codec needs a {kind.__name__} among its stages; there are {', '.join(stages)}")
