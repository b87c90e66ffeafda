"""Motion stages: how a frame is predicted from the one decoded before it, and the bytes that tell the decoder.

A motion stage has two inverse pairs in one. `estimate` and `predict` go between frames and a description of motion;
`pack` and `unpack` go between that and bytes. Both codecs run with any of them: what follows only sees the prediction.

=================  =============================================================================================
stage              motion
=================  =============================================================================================
`BlockMotion`      vectors of blocks of 16×16 and 8×8, overlapped compensation (`primitives.block_motion`)
`LearnedMotion`    a flow from a network, coded by an autoencoder, as in DVC (`learned_motion`)
=================  =============================================================================================

What a decoder computes, `predict` and `unpack`, is integers in both.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...primitives.block_motion import SIDE, Field, decode_field, encode_field, estimate_field, overlapped
from ...primitives.compiled import njit
from ...primitives.stage import Stage
from ..learned.lambdas import LAMBDAS

#: Side of the blocks of pixels that frames are padded to.
BLOCK = 2 * SIDE


class Motion(Stage):
    """Base of motion stages. Frames are RGB, uint8 [16R,16C,3]."""

    def estimate(self, frame: np.ndarray, reference: np.ndarray, before: Any, quality: float) -> Any:
        """The motion by which `reference` predicts `frame`.

        Args:
            frame, reference: a frame, and the one decoded before it.
            before: the motion of the frame before; None for none.
            quality: 1 … 8; the higher, the more bits motion may take.
        """
        raise TypeError(f"{type(self).__name__} defines no estimate(frame, reference, before, quality)")

    def predict(self, reference: np.ndarray, motion: Any) -> np.ndarray:
        """The prediction, uint8 [16R,16C,3]; the same on every machine."""
        raise TypeError(f"{type(self).__name__} defines no predict(reference, motion)")

    def pack(self, motion: Any, memory: dict) -> bytes:
        """The motion as bytes.

        Args:
            memory: statistics that one frame hands on to the next: an empty dictionary at the start of a group.
        """
        raise TypeError(f"{type(self).__name__} defines no pack(motion, memory)")

    def unpack(self, data: bytes, shape: tuple[int, int], memory: dict) -> Any:
        """The inverse of `pack`, for a frame of (R, C) blocks.

        Raises:
            StreamError: the bytes are cut or damaged.
        """
        raise TypeError(f"{type(self).__name__} defines no unpack(data, shape, memory)")

    def vectors(self, motion: Any) -> np.ndarray:
        """The motion as vectors (down, right) in pixels, float [rows,columns,2], for display."""
        raise TypeError(f"{type(self).__name__} defines no vectors(motion)")


@dataclass(frozen=True)
class BlockMotion(Motion):
    """Block motion in quarters of a pixel, overlapped.

    >>> stage, frame = BlockMotion(), np.random.default_rng(0).integers(256, size=(32, 48, 3)).astype(np.uint8)
    >>> motion = stage.estimate(frame, frame, None, quality=4)
    >>> data = stage.pack(motion, {})
    >>> bool((stage.predict(frame, stage.unpack(data, (2, 3), {})) == frame).all()), len(data)
    (True, 3)
    """

    def estimate(self, frame, reference, before, quality):
        """As `Motion.estimate`, on luma."""
        rows, columns = frame.shape[0] // BLOCK, frame.shape[1] // BLOCK
        before = Field.still(rows, columns) if before is None else before
        return estimate_field(luma(frame), luma(reference), before, penalty_at(quality))

    def predict(self, reference, motion):
        """As `Motion.predict`."""
        return overlapped(reference, motion)

    def pack(self, motion, memory):
        """As `Motion.pack`."""
        return encode_field(motion, memory)

    def unpack(self, data, shape, memory):
        """As `Motion.unpack`."""
        return decode_field(data, shape, memory)

    def vectors(self, motion):
        """As `Motion.vectors`: one a block of 8×8."""
        return motion.vectors / 4


def penalty_at(quality: float) -> float:
    """What a bit of motion costs the encoder at a quality, in sums of absolute differences of luma.

    Three tenths of the quantization step that balances rate and distortion of a transform codec (`training.start`).
    """
    table = np.log(LAMBDAS["mse"])
    weight = math.exp(np.interp(quality - 1, np.arange(len(table)), table))
    return 0.3 * math.sqrt(18 / (math.log(2) * weight))


def luma(frame: np.ndarray) -> np.ndarray:
    """The luma [H,W] of RGB [H,W,3], uint8 both, for motion search."""
    return _luma(np.ascontiguousarray(frame))


@njit(cache=True)
def _luma(frame):
    out = np.empty(frame.shape[:2], np.uint8)
    for y in range(frame.shape[0]):
        for x in range(frame.shape[1]):
            out[y, x] = (77 * frame[y, x, 0] + 150 * frame[y, x, 1] + 29 * frame[y, x, 2] + 128) >> 8
    return out
