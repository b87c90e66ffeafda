"""Rate-distortion optimised JPEG encoding: the smallest file for a distortion, in the format that every browser opens.

A JPEG decoder computes what it is told; an encoder is free in what it tells. `optimize` looks for the symbols and
tables that minimize J = D + λ·R: D is the distortion of the tuned metric in the *decoded RGB picture* (`distortion`), R
the bits.

1. *Steps.* Quality sets Δ, and λ = 0.12 Δ²: the slope at which a uniform quantizer of that step trades bits for error.
   For PSNR all steps start at Δ, divided by the root of what an error in the coefficient weighs: flat luma, and chroma
   that grows with frequency. For MS-SSIM the weights are those of a typical block.
2. *Chroma first.* Chroma planes are brought to half size by the least-squares inverse of the decoder's own triangle
   filter. Symbols come from the trellis (`codeckit.primitives.quantizers.rdo`), in rounds: count symbols, price them,
   choose again, refit the steps to what was chosen.
3. *Luma closes the loop.* The chroma planes are decoded, and luma's target is what brings RGB nearest to the original
   behind this chroma, not the luma of the original: it takes back much of what subsampling and quantization did.
4. *Sampling.* The same for 4:2:0 and 4:4:4 (or more); the least J of really decoded pictures and really written files
   wins.
5. *Importance.* Where errors do not weigh the same in all blocks, finer steps are tried as well; the least J wins.
6. *Scans* are searched by `scans.optimized`.

Nothing of it is rounded before the quantizer: colour conversion, filters and DCT run in floats.

Sources: see `codeckit.primitives.quantizers.rdo`; λ = c·Δ² is the rule of H.264's reference encoder (Wiegand and Girod,
ICIP 2001); c was measured on photographs of CID22.
"""

import itertools
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import solveh_banded

from ...primitives.color import YCbCr
from ...primitives.dct import BlockDCT, dct2, to_blocks
from ...primitives.picture import Picture, pad_edge
from ...primitives.quantizers.rdo import quantize_ac, quantize_dc, refit_steps
from ...primitives.quantizers.table import QuantTable
from ...primitives.stage import Stage
from ...primitives.subsample import SAMPLINGS, Subsample
from . import kernels
from .distortion import RGB_OF_PLANE, Distortion, Weights

#: λ in units of Δ² / bit.
RATE_WEIGHT = 0.12

#: How wide steps begin, relative to those of blocks that all weigh the same, where they do not: one table serves all
#: blocks, and what is fine enough for those that count is thinned by λ elsewhere.
_FINENESS = (1.0, 0.75, 0.5)

#: Steps are 8 bits wide, which every decoder reads.
_LARGEST_STEP = 255


@dataclass(frozen=True)
class _Plane:
    """One component: coefficients float64 [N,64] of a grid of blocks in raster order, and what their errors weigh."""

    values: np.ndarray
    grid: tuple[int, int]
    weights: Weights


def optimize(
    image: np.ndarray, search, quantizer: QuantTable, entropy: Stage, octaves: np.ndarray | None = None
) -> tuple[Picture, bytes]:
    """Quantized blocks of `image` (uint8 [H,W,3] or [H,W]) with the least J, and what `entropy` makes of them.

    Args:
        image: the picture.
        search: how hard: a `codec.Search`.
        quantizer: its quality sets Δ; if it holds tables of its own, these steps are kept.
        entropy: the last stage; prices of symbols are those of a progressive or a sequential JPEG file.
        octaves: squared errors weigh 2^octaves [H,W].
    """
    measure = Distortion(image, search.tune, octaves)
    samplings = search.samplings if image.ndim == 3 else ("4:4:4",)
    choices = list(itertools.product(samplings, _FINENESS if octaves is not None else (1.0,)))
    progressive = getattr(entropy, "progressive", True)
    draft = replace(entropy, progressive=True) if progressive == "exhaustive" else entropy

    def candidate(choice):
        sampling, fineness = choice
        picture, rate_weight = _quantized(image, sampling, search, quantizer, measure, bool(progressive), fineness)
        if len(choices) == 1:
            return 0.0, picture
        return measure.between(image, _decoded(picture)) + rate_weight * 8 * len(draft.forward(picture)), picture

    _, picture = min(map(candidate, choices), key=lambda found: found[0])
    return picture, entropy.forward(picture)


def _quantized(image, sampling, search, quantizer, measure, runs, fineness) -> tuple[Picture, float]:
    """The picture's symbols and steps with this sampling, and λ; steps begin `fineness` times as wide as usual."""
    v, h = SAMPLINGS[sampling]
    size = image.shape[:2]
    if image.ndim == 2:
        luma = _plane(image.astype(np.float64) - 128, measure, 0, 1, 1)
        steps, rate_weight = _first_steps(quantizer, 0, [luma], None, fineness)
        symbols, steps = _choose([luma], steps, rate_weight, search.rounds, runs, not quantizer.tables)
        return Picture(_shaped(symbols, [luma]), size, ((1, 1),), "grey", (_table(steps),)), rate_weight
    rgb = image.astype(np.float64)
    difference = rgb - rgb @ _LUMA[:, None]
    chroma = [
        _plane(_shrunk(difference[..., channel] / RGB_OF_PLANE[plane, channel], v, h), measure, plane, v, h)
        for plane, channel in ((1, 2), (2, 0))
    ]
    luma = _plane(rgb @ _LUMA - 128, measure, 0, 1, 1)
    luma_steps, rate_weight = _first_steps(quantizer, 0, [luma], None, fineness)
    steps, _ = _first_steps(quantizer, 1, chroma, rate_weight, fineness)
    refit = not quantizer.tables
    symbols, steps = _choose(chroma, steps, rate_weight, search.rounds, runs, refit)
    # What luma has to be behind this chroma: the mean of the channels less what chroma adds to them.
    table = _table(steps)
    factors = ((v, h), (1, 1), (1, 1))
    grey = np.zeros((*luma.grid, 8, 8), np.int16)
    planes = (grey, *_shaped(symbols, chroma))
    picture = Picture(planes, size, factors, "ycbcr", (table, table, table))
    for stage in QuantTable(), BlockDCT(), Subsample():
        picture = stage.inverse(picture)
    offset = sum((picture.planes[p] - 128.0) * RGB_OF_PLANE[p].mean() for p in (1, 2))
    luma = _Plane(_blocks(rgb.mean(2) - offset - 128)[0], luma.grid, luma.weights)
    luma_symbols, luma_steps = _choose([luma], luma_steps, rate_weight, search.rounds, runs, refit)
    planes = (*_shaped(luma_symbols, [luma]), *planes[1:])
    return Picture(planes, size, factors, "ycbcr", (_table(luma_steps), table, table)), rate_weight


#: Weights of R, G and B in luma.
_LUMA = np.linalg.inv(RGB_OF_PLANE)[:, 0]


def _decoded(picture: Picture) -> np.ndarray:
    for stage in QuantTable(), BlockDCT(), Subsample(), YCbCr():
        picture = stage.inverse(picture)
    return picture


def _plane(samples, measure, plane, v, h) -> _Plane:
    values, grid = _blocks(samples)
    return _Plane(values, grid, measure.weights(plane, v, h, grid))


def _blocks(samples) -> tuple[np.ndarray, tuple[int, int]]:
    height, width = samples.shape
    blocks = dct2(to_blocks(pad_edge(samples, height + -height % 8, width + -width % 8), 8))
    return np.ascontiguousarray(blocks.reshape(-1, 64)), blocks.shape[:2]


def _shaped(symbols, planes) -> tuple[np.ndarray, ...]:
    return tuple(s.reshape(*plane.grid, 8, 8) for s, plane in zip(symbols, planes, strict=True))


def _table(steps) -> np.ndarray:
    return steps.astype(np.uint16).reshape(8, 8)


def base_step(quality: int) -> float:
    """Δ: libjpeg's scale for a step of 16, not rounded.

    >>> base_step(25), base_step(50), base_step(75)
    (32.0, 16.0, 8.0)
    """
    return 800 / quality if quality < 50 else max(16 * (200 - 2 * quality) / 100, 0.25)


def _first_steps(quantizer, plane, planes, rate_weight, fineness) -> tuple[np.ndarray, float]:
    """Steps [64] to begin with, and λ (if it is not given)."""
    # What an error weighs in a typical block: the geometric mean, since a few flat blocks would govern another one.
    weights = np.concatenate([p.weights.importance @ p.weights.spectrum for p in planes])
    typical = np.exp(np.log(np.maximum(weights, 1e-9)).mean(0))
    if quantizer.tables:
        steps = quantizer.steps(plane).ravel().astype(np.float64)
        low = kernels.ZIGZAG[:10]
        delta = np.exp(np.log(steps[low] ** 2 * typical[low]).mean() / 2)
    else:
        delta = base_step(quantizer.quality)
        steps = np.clip(np.rint(fineness * delta / np.sqrt(typical)), 1, _LARGEST_STEP)
    return steps, RATE_WEIGHT * delta * delta if rate_weight is None else rate_weight


def _choose(planes, steps, rate_weight, rounds, runs, refit) -> tuple[list[np.ndarray], np.ndarray]:
    """Symbols (int16 [N,64] a plane) and steps of planes that share a table, after some rounds of choosing."""
    symbols = [_rounded(plane.values, steps) for plane in planes]
    for turn in range(rounds):
        counted = [_count(s, plane.grid, runs) for s, plane in zip(symbols, planes, strict=True)]
        if not runs:  # planes of a sequential file share their Huffman tables
            counted = [tuple(map(sum, zip(*counted, strict=True)))] * len(planes)
        for plane, chosen, (dc, ac) in zip(planes, symbols, counted, strict=True):
            importance, spectrum = plane.weights.importance, plane.weights.spectrum
            quantize_ac(
                plane.values, steps, kernels.ZIGZAG, importance, spectrum, rate_weight, _prices(ac), runs, chosen
            )
            chosen[:, 0] = quantize_dc(
                plane.values[:, 0], steps[0], importance @ spectrum[:, 0], rate_weight, _prices(dc)
            )
        if refit and turn < rounds - 1:
            steps = refit_steps(
                [(p.values, s, p.weights.importance, p.weights.spectrum) for p, s in zip(planes, symbols, strict=True)],
                steps,
                _LARGEST_STEP,
            )
    return symbols, steps


def _rounded(values, steps) -> np.ndarray:
    """A first guess with a wider zero."""
    scaled = values / steps
    return (np.sign(scaled) * np.floor(np.minimum(np.abs(scaled) + 0.4, 1023))).astype(np.int16)


def _count(symbols, grid, runs) -> tuple[np.ndarray, np.ndarray]:
    """How often each DC and each AC symbol occurs if the plane is coded alone."""
    layout = np.array([[0, grid[1], grid[0], 1, 1, 0, 0]], np.int64)
    order, _ = kernels.visit(layout)
    tokens, counts = np.empty(len(symbols) * 67 + 64, np.int64), np.zeros(kernels.CODES, np.int64)
    place = (symbols, order, layout, 0)
    if runs:
        kernels.tokens_dc(*place, 0, 0, tokens, counts)
        kernels.tokens_ac_first(*place, 1, 63, 0, tokens, counts)
    else:
        kernels.tokens_sequential(*place, tokens, counts)
    return counts[:256], counts[1024:1280]


def _prices(counts) -> np.ndarray:
    """Bits of each symbol: what its frequency says, and for those that do not occur those of one that did once."""
    total = counts.sum() + 1
    return np.minimum(np.log2(total / np.maximum(counts, 0.5)), 16.0)


def _shrunk(samples, v, h) -> np.ndarray:
    """Samples [H,W] brought to [⌈H/v⌉,⌈W/h⌉] so that the decoder's upsampling of them has the least squared error."""
    if h == 2 and samples.shape[1] <= 4:  # where the decoder repeats samples
        padded = pad_edge(samples, samples.shape[0] + -samples.shape[0] % v, samples.shape[1] + samples.shape[1] % 2)
        return padded.reshape(padded.shape[0] // v, v, -1, 2).mean((1, 3))
    for axis, factor in enumerate((v, h)):
        if factor == 2:
            samples = np.moveaxis(_halved(np.moveaxis(samples, axis, 0)), 0, axis)
    return samples


def _halved(samples) -> np.ndarray:
    """Least-squares inverse, along the first axis, of the triangle filter: x with (UᵀU) x = Uᵀ samples."""
    samples = np.concatenate([samples, samples[-1:]]) if len(samples) % 2 else samples
    even, odd = samples[::2], samples[1::2]
    if len(even) == 1:
        return (even + odd) / 2
    # Row 2i of U is 3/4 of x[i] and 1/4 of x[i-1], row 2i+1 3/4 of x[i] and 1/4 of x[i+1]; ends repeat.
    right = 0.75 * (even + odd)
    right[:-1] += 0.25 * even[1:]
    right[1:] += 0.25 * odd[:-1]
    right[0] += 0.25 * even[0]
    right[-1] += 0.25 * odd[-1]
    n = len(even)
    bands = np.tile([[1.25], [0.375]], (1, n))
    bands[0, 0] += 0.375
    bands[0, -1] += 0.375
    return solveh_banded(bands, right.reshape(n, -1), lower=True).reshape(right.shape)
