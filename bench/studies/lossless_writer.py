"""A writer of lossless JPEG files (ITU-T T.81 Annex H), so that tests and studies have some: no tool here writes them.

It predicts with whole arrays where the decoder (`codecs.jpeg.lossless`) goes sample by sample, and any decoder can
check its files; codeckit writes no such files otherwise, since PNG and others are smaller.
"""

import numpy as np

from ...codecs.jpeg import kernels, markers, tables
from ...codecs.jpeg.huffman import coded_bytes
from ...codecs.jpeg.markers import Component, Scan


def write_lossless(
    planes,
    factors=None,
    predictor: int = 1,
    low: int = 0,
    restart_rows: int = 0,
    interleaved: bool = True,
    head: bytes = b"",
    size: tuple[int, int] | None = None,
) -> bytes:
    """A lossless JPEG file of some planes.

    Args:
        planes: uint8 [h,w] each. With `interleaved`, whole MCUs of several planes.
        factors: (v, h) of each plane; (1, 1) by default.
        predictor: 1 … 7.
        low: the point transform: low bits that are left out.
        restart_rows: rows of MCUs between restarts, or 0.
        interleaved: one scan of all planes instead of one of each.
        head: segments before the frame header, such as a JFIF marker.
        size: (H, W) of the picture; by default that of the first plane.

    >>> from codeckit import decode
    >>> plane = np.arange(12, dtype=np.uint8).reshape(3, 4)
    >>> bool((decode(write_lossless([plane], predictor=7)) == plane).all())
    True
    """
    factors = factors or [(1, 1)] * len(planes)
    components = [Component(i + 1, h, v, 0) for i, (v, h) in enumerate(factors)]
    out = [b"\xff\xd8", head, markers.frame_segment(markers.LOSSLESS, size or planes[0].shape, components)]
    groups = [range(len(planes))] if interleaved else [[c] for c in range(len(planes))]
    for group in groups:
        out.append(_scan([(c, planes[c], *factors[c]) for c in group], predictor, low, restart_rows))
    return b"".join(out) + b"\xff\xd9"


def _scan(members, predictor, low, restart_rows) -> bytes:
    if len(members) == 1:
        members = [(c, plane, 1, 1) for c, plane, _, _ in members]
    grids = []
    for _, plane, v, h in members:
        wrong = _differences(plane >> low, predictor, low, restart_rows * v)
        rows, columns = wrong.shape[0] // v, wrong.shape[1] // h
        grids.append(wrong.reshape(rows, v, columns, h).swapaxes(1, 2).reshape(rows, columns, v * h))
    tokens = _tokens(np.concatenate(grids, axis=2))
    if restart_rows:
        restart = np.full(1, kernels.RESTART << 40)
        tokens = [tokens[y : y + restart_rows].ravel() for y in range(0, len(tokens), restart_rows)]
        tokens = np.concatenate([part for each in tokens for part in (restart, each)][1:])
        interval = markers.segment(markers.DRI, (restart_rows * grids[0].shape[1]).to_bytes(2, "big"))
    else:
        tokens, interval = tokens.ravel(), b""
    counts = np.bincount(tokens >> 40, minlength=kernels.CODES)
    huffman = tables.optimal(counts)
    numbers = tuple(c for c, *_ in members)
    header = markers.scan_segment(Scan(numbers, predictor, 0, 0, low, ((0, 0),) * len(members)), [1, 2, 3, 4])
    return interval + markers.huffman_segment(huffman) + header + coded_bytes(tokens, counts, huffman)


def _differences(samples, predictor, low, restart_rows):
    """What the prediction of each sample leaves, −32767 … 32768."""
    samples = samples.astype(np.int64)
    a, b, c = (np.roll(samples, shift, (0, 1)) for shift in ((0, 1), (1, 0), (1, 1)))
    guesses = a, b, c, a + b - c, a + ((b - c) >> 1), b + ((a - c) >> 1), (a + b) >> 1
    guess = guesses[predictor - 1].copy()
    guess[:, 0] = b[:, 0]
    first = np.arange(len(samples)) % restart_rows == 0 if restart_rows else np.arange(len(samples)) == 0
    guess[first] = a[first]
    guess[first, 0] = 1 << (7 - low)
    return (samples - guess + 32767) % 65536 - 32767


def _tokens(differences):
    """Tokens of `kernels` with table 0: a symbol for the number of bits, and the bits."""
    size = np.ceil(np.log2(np.abs(differences) + 1)).astype(np.int64)
    size[differences == 32768] = 16  # which has no bits of its own
    count = np.where(size == 16, 0, size)
    extra = np.where(differences > 0, differences, differences - 1) & ((1 << count) - 1)
    return size << 40 | count << 32 | np.where(count > 0, extra, 0)
