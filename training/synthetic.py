"""Synthetic motion: sequences of frames made from two photographs.

There are far more photographs than clips that may be trained on. Two of them make a sequence: one is the background,
and the other covers parts of it, as blobs with soft edges. Both move, each on its own:

=============  ========================================================================================
what           is
=============  ========================================================================================
*path*         shift, zoom and rotation around a random point, with a constant small acceleration
*warp*         a path of its own for each point of a coarse grid, interpolated between: things that bend
*blur*         along the shift, as long as a shutter that is open for a part of the frame's time makes it
*flicker*      another brightness for each frame
*noise*        of a sensor, independent from frame to frame
=============  ========================================================================================

Speeds have heavy tails, as those of real clips have: they are drawn from Student's t distribution with two degrees of
freedom, so most are small and some are large. Time 0 is the middle of the sequence, so a sequence is as likely as the
same backwards.

A frame is rendered by looking up, for each of its pixels, where in the photograph it comes from (*backward warping*,
bicubic). The blob is a fourth channel of the foreground, so it moves, bends and blurs with it.

Blur along a line of length b is a product with sinc(f·b) in the frequency domain, exact for any direction.

The idea is that of FlyingChairs (A. Dosovitskiy et al., "FlowNet", ICCV 2015).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from .data import scaled_size

#: Pixels of a photograph beyond each side of the frame, for what moves into view.
MARGIN = 64

#: Points a side of the grid that warps.
WARP_POINTS = 9

#: Points a side of the grid that shapes the blob.
BLOB_POINTS = 7


@dataclass(frozen=True)
class Strengths:
    """How strongly things move. A speed is such a number times a draw from the t distribution, cut off at 8. Half of
    all draws are below 0.82.

    Attributes:
        shift: pixels a frame.
        zoom: part of the size, a frame.
        rotation: radians a frame.
        warp: pixels a frame, of each point of the grid.
        acceleration: the same of a speed's strength, a frame.
        shutter: longest part of a frame's time that the shutter is open.
        flicker: standard deviation of a frame's brightness, as a part of it.
        noise: standard deviations of the smallest and the largest noise in grey levels; logarithms are uniform.
    """

    shift: float = 1.0
    zoom: float = 0.003
    rotation: float = 0.003
    warp: float = 0.2
    acceleration: float = 0.1
    shutter: float = 0.8
    flicker: float = 0.01
    noise: tuple[float, float] = (0.3, 2.0)


def synthetic_sequence(
    background: np.ndarray,
    foreground: np.ndarray,
    rng: np.random.Generator,
    *,
    frames: int = 7,
    side: int = 256,
    strengths: Strengths = Strengths(),
) -> np.ndarray:
    """A sequence of square frames from two photographs. The same photographs and `rng` give the same frames.

    Each photograph is scaled down by a random factor first (`data.scaled_size`).

    Args:
        background, foreground: uint8 [H,W,3], sides of at least `side`.
        frames: number N of frames.
        side: S, more than `MARGIN`.

    Returns:
        uint8 [N,S,S,3].

    Raises:
        ValueError: a photograph is grey or too small.

    >>> photograph = np.random.default_rng(0).integers(0, 256, (100, 120, 3), np.uint8)
    >>> synthetic_sequence(photograph, photograph, np.random.default_rng(1), frames=3, side=96).shape
    (3, 96, 96, 3)
    """
    for photograph in (background, foreground):
        if photograph.ndim != 3 or min(photograph.shape[:2]) < side or side <= MARGIN:
            raise ValueError(
                f"frames of {side}×{side}, more than {MARGIN}, are made of colour photographs that are as large; "
                f"this one is {list(photograph.shape)}"
            )
    layers = []
    for photograph, cover in (background, None), (foreground, rng.uniform(0.05, 0.5)):
        canvas = _canvas(photograph, side, rng)
        blob = np.ones_like(canvas[:1]) if cover is None else _blob(side, cover, rng)
        layers.append(_moved(np.concatenate((canvas, blob)), frames, side, strengths, rng))
    behind, (front, alpha) = layers[0][:, :3], (layers[1][:, :3], layers[1][:, 3:].clip(0, 1))
    light = 1 + strengths.flicker * rng.standard_normal((frames, 1, 1, 1), np.float32)
    sigma = np.exp(rng.uniform(*np.log(strengths.noise)))
    mixed = (behind + alpha * (front - behind)) * light
    mixed += np.float32(sigma) * rng.standard_normal(mixed.shape, np.float32)
    return np.ascontiguousarray(mixed.clip(0, 255).round().astype(np.uint8).transpose(0, 2, 3, 1))


def synthetic_sequences(
    photographs,
    rng: np.random.Generator,
    *,
    frames: int = 7,
    side: int = 256,
    strengths: Strengths = Strengths(),
) -> Iterator[np.ndarray]:
    """Sequences without end. Photographs take turns to be the background; the foreground is any other.

    Args:
        photographs: at least two arrays, as `synthetic_sequence` takes them, or a list that reads them when asked.

    Raises:
        ValueError: fewer than two photographs.
    """
    count = len(photographs)
    if count < 2:
        raise ValueError(f"synthetic motion needs two photographs at least, there are {count}")
    while True:
        for first in rng.permutation(count):
            second = (first + rng.integers(1, count)) % count
            yield synthetic_sequence(
                photographs[first], photographs[second], rng, frames=frames, side=side, strengths=strengths
            )


def _canvas(photograph, side, rng):
    """A part of the photograph scaled down, float32 [3,S',S'] with S' = S + 2·MARGIN; mirrored beyond its edges."""
    height, width = scaled_size(photograph.shape, side, rng)
    scaled = np.asarray(Image.fromarray(photograph).resize((width, height), Image.Resampling.LANCZOS))
    whole = side + 2 * MARGIN
    lacking = [max(0, whole - length) for length in (height, width)]
    scaled = np.pad(scaled, [*((n // 2, n - n // 2) for n in lacking), (0, 0)], mode="reflect")
    top, left = (rng.integers(length - whole + 1) for length in scaled.shape[:2])
    return scaled[top : top + whole, left : left + whole].transpose(2, 0, 1).astype(np.float32)


def _blob(side, cover, rng):
    """A soft mask that covers a part of the frame, float32 [1,S',S'] in 0 … 1: where a random surface is high."""
    whole = side + 2 * MARGIN
    surface = _enlarged(rng.standard_normal((1, BLOB_POINTS, BLOB_POINTS), np.float32), whole)
    surface -= np.quantile(surface[:, MARGIN:-MARGIN, MARGIN:-MARGIN], 1 - cover)
    # The surface rises by about 1 from point to point; so the edge is this many pixels wide.
    width = np.exp(rng.uniform(np.log(0.5), np.log(6)))
    steepness = np.float32(4 * whole / BLOB_POINTS / width)
    return 1 / (1 + np.exp(-(steepness * surface).clip(-30, 30)))


def _moved(canvas, frames, side, strengths, rng):
    """The frames of one layer, float32 [N,C,S,S]."""
    time = (np.arange(frames) - (frames - 1) / 2).astype(np.float32)

    def path(strength, *shape):
        """Displacement from time 0, [N, *shape], and speed there."""
        speed = strength * rng.standard_t(2, shape).clip(-8, 8)
        change = strength * strengths.acceleration * rng.standard_t(2, shape).clip(-8, 8)
        t = time.reshape(-1, *[1] * len(shape))
        return (speed * t + change * t**2 / 2).astype(np.float32), speed

    shift, speed = path(strengths.shift, 2, 1, 1)
    zoom, _ = path(strengths.zoom)
    angle, _ = path(strengths.rotation)
    warp, _ = path(strengths.warp, 2, WARP_POINTS, WARP_POINTS)
    centre = rng.uniform(0, side, (2, 1, 1)).astype(np.float32)
    shutter = strengths.shutter * max(0, rng.uniform(-1, 1))  # half of them do not blur
    canvas = _blurred(canvas, shutter * speed.ravel())

    from_centre = np.mgrid[:side, :side].astype(np.float32) - centre
    cos, sin = np.cos(angle) * np.exp(zoom), np.sin(angle) * np.exp(zoom)
    turn = np.stack((cos, -sin, sin, cos), 1).reshape(frames, 2, 2)
    place = np.einsum("nij,jyx->niyx", turn, from_centre) + centre + shift + _enlarged(warp, side) + MARGIN
    grid = torch.from_numpy(place * np.float32(2 / (canvas.shape[1] - 1)) - 1).flip(1).permute(0, 2, 3, 1)
    source = torch.from_numpy(canvas).expand(frames, -1, -1, -1)
    return F.grid_sample(source, grid, "bicubic", "reflection", align_corners=True).numpy()


def _blurred(canvas, along):
    """Each pixel the mean over a line `along` = (y, x) pixels, centred on it."""
    if not np.abs(along).max() > 0:
        return canvas
    down, across = np.fft.fftfreq(canvas.shape[1])[:, None], np.fft.rfftfreq(canvas.shape[2])
    response = np.sinc(down * along[0] + across * along[1])
    return np.fft.irfft2(np.fft.rfft2(canvas) * response, canvas.shape[1:]).astype(np.float32)


def _enlarged(points, side):
    """A coarse grid [..., G,G] interpolated to [..., S,S]."""
    flat = torch.from_numpy(np.ascontiguousarray(points)).reshape(1, -1, *points.shape[-2:])
    smooth = F.interpolate(flat, (side, side), mode="bicubic", align_corners=True)
    return smooth.numpy().reshape(*points.shape[:-2], side, side)
