"""x264 and x265 as papers on learned video run them: ``-tune zerolatency``, a constant rate factor, 4:2:0, 8 bits.

The codecs `h264` and `hevc` of the toolkit come close with ``low_delay=true``, but x265 then still looks for scene
changes, and their colour conversion is one for all sources. A clip in RGB that was made from 4:2:0 loses a lot when its
chroma is halved by another filter than the one that doubled it: of BasketballPass, a round trip through the toolkit's
4:2:0 keeps 40.3 dB, one through the right filters 52.7 dB. Papers give the encoder the original planes, so here each
clip is converted by that one of a few `Conversion`s that keeps most of it.

What is counted is the raw bitstream (Annex B): start codes, parameter sets and slices, without the encoder's notes of
its own settings (supplemental information) and without a container. One thread: no slices or rows cut for threads.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise

import numpy as np

from ...codecs.standards.encoders import STANDARDS, without_sei
from ...metrics.distortion import psnr

#: Standards by the names of their encoders.
LIBRARIES = {"x264": "h264", "x265": "hevc"}

#: libswscale's flags: round exactly, and compute chroma at every pixel.
FLAGS = "accurate_rnd+full_chroma_int+full_chroma_inp"


@dataclass(frozen=True)
class Conversion:
    """RGB to Y'CbCr 4:2:0 of limited range and back, by libswscale with `FLAGS`.

    Attributes:
        matrix: ``"bt601"`` or ``"bt709"``.
        down, up: libswscale's filters that halve and double chroma.

    >>> conversion = Conversion("bt601", "area", "neighbor")
    >>> grey = np.full((16, 32, 3), 90, np.uint8)
    >>> np.array_equal(conversion.to_rgb(conversion.to_planes(grey)), grey)
    True
    """

    matrix: str
    down: str
    up: str

    def __str__(self):
        return f"{self.matrix} limited, chroma down {self.down}, up {self.up}"

    def to_planes(self, frame: np.ndarray):
        """An FFmpeg frame in yuv420p of uint8 [H,W,3] with even sides."""
        import av

        return self._forward(av.VideoFrame.from_ndarray(frame, "rgb24"))

    def to_rgb(self, planes) -> np.ndarray:
        """The inverse: uint8 [H,W,3] of an FFmpeg frame in yuv420p."""
        return self._inverse(planes).to_ndarray()

    @cached_property
    def _forward(self):
        scale = f"flags={self.down}+{FLAGS}:out_color_matrix={self.matrix}:out_range=limited"
        return _Graph("rgb24", scale, "yuv420p")

    @cached_property
    def _inverse(self):
        scale = f"flags={self.up}+{FLAGS}:in_color_matrix={self.matrix}:in_range=limited"
        return _Graph("yuv420p", scale, "rgb24")

    def kept(self, frames) -> float:
        """Mean PSNR in dB of frames after a round trip, without any coding."""
        return float(np.mean([psnr(frame, self.to_rgb(self.to_planes(frame))) for frame in frames]))


class _Graph:
    """A graph of FFmpeg's filters with a scaler between two pixel formats, made anew for each size."""

    def __init__(self, source: str, scale: str, target: str):
        self._source, self._scale, self._target = source, scale, target
        self._size, self._graph = None, None

    def __call__(self, frame):
        from av.filter import Graph

        if self._graph is None or self._size != (frame.width, frame.height):
            self._size, self._graph = (frame.width, frame.height), Graph()
            size = f"width={frame.width}:height={frame.height}"
            nodes = [
                self._graph.add("buffer", f"{size}:pix_fmt={self._source}:time_base=1/25"),
                self._graph.add("scale", self._scale),
                self._graph.add("format", self._target),
                self._graph.add("buffersink"),
            ]
            for node, following in pairwise(nodes):
                node.link_to(following)
            self._graph.configure()
        frame.pts = None
        self._graph.push(frame)
        return self._graph.pull()


#: Conversions to choose from: the usual one, and the one that undoes chroma doubled by repetition.
CONVERSIONS = tuple(
    Conversion(matrix, down, up)
    for matrix in ("bt601", "bt709")
    for down, up in (("bicubic", "bicubic"), ("area", "neighbor"))
)


def best_conversion(frames) -> tuple[Conversion, float]:
    """The conversion that keeps most of a clip, and what it keeps: PSNR in dB."""
    kept = {conversion: conversion.kept(frames) for conversion in CONVERSIONS}
    return max(kept.items(), key=lambda item: item[1])


def encode(library: str, preset: str, crf: float, gop: int, pictures: list, fps: Fraction) -> list[bytes]:
    """Encode FFmpeg frames in yuv420p: an access unit each.

    Args:
        library: a key of `LIBRARIES`.
        preset: its preset.
        crf: its constant rate factor.
        gop: frames from one intra picture to the next, at most.
        pictures: the frames.
        fps: frames a second, which the rate factor heeds a little.
    """
    import av

    context = av.CodecContext.create(STANDARDS[LIBRARIES[library]].encoder, "w")
    context.width, context.height, context.pix_fmt = pictures[0].width, pictures[0].height, "yuv420p"
    context.time_base, context.framerate = 1 / fps, fps
    context.gop_size, context.thread_count = gop, 1
    context.options = {"preset": preset, "tune": "zerolatency"}
    if library == "x264":
        context.options |= {"crf": f"{crf:g}", "x264-params": f"keyint={gop}"}
    else:
        private = f"crf={crf:g}:keyint={gop}:info=0:log-level=error:pools=none:frame-threads=1:wpp=0"
        context.options |= {"x265-params": private}
    units = []
    for number, picture in enumerate(pictures):
        picture.pts, picture.time_base, picture.pict_type = number, 1 / fps, 0
        units += context.encode(picture)
    units = [bytes(unit) for unit in [*units, *context.encode(None)]]
    return [without_sei(unit, "h264") for unit in units] if library == "x264" else units


def decode(library: str, units: list[bytes]) -> Iterator:
    """The inverse of `encode`."""
    import av

    context = av.CodecContext.create(STANDARDS[LIBRARIES[library]].decoder, "r")
    for unit in units:
        yield from context.decode(av.Packet(unit))
    yield from context.decode(None)
