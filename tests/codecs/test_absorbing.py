"""A last stage that runs the others itself, from frame to frame: differences, coded by stages of the codec."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import codeckit
import numpy as np
import pytest
from codeckit.codecs.base import Codec
from codeckit.codecs.video import VideoStage
from codeckit.pages.explain import explain
from codeckit.primitives import StreamError, container, register_stage
from codeckit.primitives.anatomy import Anatomy, Part
from codeckit.primitives.stage import Stage, folded


@dataclass(frozen=True)
class Halved(Stage):
    """Quantization to whole steps."""

    step: int = 2

    def forward(self, x):
        return np.round(x / self.step).astype(np.int16)

    def inverse(self, y):
        return y * self.step


@dataclass(frozen=True)
class Differences(VideoStage):
    """Codes each frame's difference to the decoded one before, as samples of 16 bits."""

    absorbs: ClassVar[bool] = True
    unwritten: ClassVar[tuple[str, ...]] = ("quantize",)

    quantize: Stage | None = None

    def among(self, stages: Mapping[str, Stage]) -> "Differences":
        if "quantize" not in stages:
            raise ValueError("Differences needs a stage 'quantize'")
        return Differences(stages["quantize"])

    def forward_frames(self, frames: Iterable[np.ndarray], size, fps) -> Iterator[bytes]:
        before = 0
        for frame in frames:
            symbols = self.quantize.forward(frame.astype(np.int32) - before)
            before = np.clip(before + self.quantize.inverse(symbols), 0, 255)
            yield symbols.tobytes()

    def inverse_frames(self, chunks, size) -> Iterator[np.ndarray]:
        before = 0
        for chunk in chunks:
            symbols = np.frombuffer(chunk, np.int16).reshape(*size, -1)
            before = np.clip(before + self.quantize.inverse(symbols), 0, 255)
            yield before.astype(np.uint8)

    def forward(self, image) -> bytes:
        (chunk,) = self.forward_frames([image], image.shape[:2], 25)
        return bytes(image.shape[:2]) + chunk

    def inverse(self, data, max_pixels=1 << 20):
        (image,) = self.inverse_frames([data[2:]], tuple(data[:2]))
        return image

    def anatomy(self, x, payload) -> Anatomy:
        return Anatomy((Part("size", 16), Part("symbols", 8 * len(payload) - 16, role="quantize")))


@pytest.fixture
def codec():
    register_stage(Halved, "test-absorbing:Halved@1")
    register_stage(Differences, "test-absorbing:Differences@1")
    return Codec("differences", {"quantize": Halved(4), "entropy": Differences()})


@pytest.fixture
def frames():
    rng = np.random.default_rng(4)
    return [rng.integers(0, 256, (8, 12, 3), np.uint8) for _ in range(3)]


def close(a, b):
    return np.abs(a.astype(int) - b).max() <= 4


def test_the_last_stage_alone_is_folded(codec, frames):
    assert list(folded(codec.stages)) == ["entropy"] and folded(codec.stages)["entropy"].quantize == Halved(4)
    stream = codec.encode(frames[0])
    assert close(codeckit.decode(stream), frames[0])
    assert list(codec.encode_many(frames)) == [codec.encode(frame) for frame in frames]
    assert all(close(a, b) for a, b in zip(codec.decode_many(codec.encode_many(frames)), frames, strict=True))
    video = codec.encode_video(frames)
    assert b"Halved@1" in video and codeckit.info(video).details["stages"]["quantize"].endswith("(step=4)")
    decoded = list(codeckit.decode_video(video))
    assert all(close(a, b) for a, b in zip(decoded, frames, strict=True))
    finer = codec.replace(quantize=Halved(1))
    assert all((a == b).all() for a, b in zip(codeckit.decode_video(finer.encode_video(frames)), frames, strict=True))


def test_the_trace_names_absorbed_stages(codec, frames):
    trace = codec.trace(frames[0])
    assert (list(trace.stages), list(trace.absorbed)) == (["entropy"], ["quantize"])
    assert str(trace).splitlines()[2].split() == ["quantize", "Halved(step=4)", "in", "entropy"]
    bits = trace.bits_by_stage()
    assert sum(bits.values()) == 8 * len(trace.stream) and bits["quantize"] == 16 * frames[0].size
    assert "Differences" in explain(frames[0], codec)


def test_stages_that_are_missing(codec, frames):
    alone = Codec("differences", {"entropy": Differences()})
    for encode in alone.encode, alone.encode_video:
        with pytest.raises(ValueError, match="needs a stage 'quantize'"):
            encode(frames[0] if encode == alone.encode else frames)
    held = codec.contain(b"")
    assert codec.for_stream(held) == codec
    other = Codec("differences", {"quantiser": Halved(4), "entropy": Differences()})
    stream = container.pack(other.contain(codec.encode(frames[0])[20:]))
    with pytest.raises(StreamError, match="needs a stage 'quantize'"):
        codeckit.decode(stream)
