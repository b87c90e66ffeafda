"""Lossless JPEG files (ITU-T T.81 Annex H, SOF3): samples predicted from their neighbours, the errors Huffman-coded.

The lossless process has no transform and no quantizer. Each sample is predicted from three neighbours of its own
component, `a` to the left, `b` above and `c` above `a`::

    c b        1: a    2: b    3: c    4: a + b - c    5: a + (b - c) / 2    6: b + (a - c) / 2    7: (a + b) / 2
    a x        (divisions round down)

and the difference, modulo 2^16, is coded as DC differences are: a Huffman symbol says how many bits follow. One of the
seven predictors serves a whole scan (it stands where others name the first coefficient), except at the edges: the first
row is predicted by `a`, the first column by `b`, and the first sample of all by 2^(P - Pt - 1). A restart begins a row
and predicts as if the picture began there. With a *point transform* Pt, all samples have lost that many low bits.

Decoding has two steps: all differences of a scan, in order of its MCUs (here groups of H × V samples), then the samples
of each component. The result is a `Picture` whose planes are samples, which the stages before the entropy coder leave
as they are (`Picture.has_samples`). Files of 8-bit samples alone are decoded; libjpeg-turbo takes 2 to 16 bits.

As in libjpeg-turbo, planes are RGB unless a marker says otherwise (`Header.color`), and the samples of subsampled
planes are repeated.
"""

import numpy as np

from ...primitives.compiled import njit
from ...primitives.errors import StreamError
from ...primitives.picture import Picture, check_size
from . import kernels, recovery
from .kernels import BAD_CODE, DC, HIGH, NO_CODE, OFFSET, OK, TOO_SHORT, WIDE, H, V, _mcus, _next_entry, _open, _refill
from .kernels import _value_behind as _value
from .markers import Header, Scan, Segments


@njit(cache=True)
def _decode(words, starts, layout, interval, lookups, shorts, differences):
    """Differences (int32, a component behind the other) of a scan; `interval` is the MCUs between restarts, or 0."""
    wide, high = _mcus(layout)
    part = 0
    buffer, held, at = _open(words, starts[0])
    for mcu in range(wide * high):
        if interval and mcu and mcu % interval == 0:
            part += 1
            buffer, held, at = _open(words, starts[part])
        my, mx = mcu // wide, mcu % wide
        for c in range(layout.shape[0]):
            v, h = (layout[c, V], layout[c, H]) if layout.shape[0] > 1 else (1, 1)
            for y in range(my * v, (my + 1) * v):
                for x in range(mx * h, (mx + 1) * h):
                    buffer, held, at = _refill(words, buffer, held, at)
                    entry = _next_entry(lookups, shorts, layout[c, DC], buffer >> np.uint64(32))
                    length, size = entry >> 8, entry & 255
                    if length == NO_CODE or size > 16:
                        return BAD_CODE
                    difference = np.int64(0)
                    if size == 16:
                        difference, size = np.int64(32768), np.int64(0)
                    elif size:
                        difference = _value(buffer, length, size)
                    buffer, held = buffer << np.uint64(length + size), held - length - size
                    if y < layout[c, HIGH] and x < layout[c, WIDE]:  # else it pads the MCU
                        differences[layout[c, OFFSET] + y * layout[c, WIDE] + x] = difference
        if 32 * np.int64(at) - held > 8 * starts[part + 1]:
            return TOO_SHORT
    return OK


@njit(cache=True)
def _restore(differences, predictor, low, rows, out):
    """Samples (uint8 [h,w]) of the differences of one component; `rows` is the rows between restarts, or 0."""
    height, width = out.shape
    above = np.zeros(width, np.int64)
    for y in range(height):
        first = y == 0 or (rows > 0 and y % rows == 0)
        a, c = np.int64(0), np.int64(0)
        for x in range(width):
            b = above[x]
            if x == 0:
                predicted = np.int64(1 << (7 - low)) if first else b
            elif first or predictor == 1:
                predicted = a
            elif predictor == 2:
                predicted = b
            elif predictor == 3:
                predicted = c
            elif predictor == 4:
                predicted = a + b - c
            elif predictor == 5:
                predicted = a + ((b - c) >> 1)
            elif predictor == 6:
                predicted = b + ((a - c) >> 1)
            else:
                predicted = (a + b) >> 1
            c = b
            a = (predicted + differences[y, x]) & 0xFFFF
            above[x] = a
            out[y, x] = a << low & 255


def read(data: bytes, max_pixels: int) -> Picture:
    """The picture of a lossless file: planes of samples, uint8 [h,w].

    Raises:
        StreamError: cut, damaged, or larger than `max_pixels`.
    """
    segments, header, planes = Segments(data), Header(), {}
    while (scan := segments.parse(header)) is not None:
        if repeated := [c for c in scan.components if c in planes]:
            raise StreamError(f"the JPEG file is damaged: component {repeated[0]} comes in two scans")
        segments.position, found = _scan(data, segments.position, header, scan, max_pixels)
        planes |= found
    if len(planes) < len(header.components):
        raise StreamError("the JPEG file is cut: scans of some components are missing")
    v_max, h_max = (max(getattr(c, side) for c in header.components) for side in ("v", "h"))
    if any(v_max % c.v or h_max % c.h for c in header.components):
        raise StreamError("the sampling factors have fractional ratios, which are not supported")
    whole = [_repeated(planes[i], v_max // c.v, h_max // c.h, header.size) for i, c in enumerate(header.components)]
    return Picture(tuple(whole), header.size, ((1, 1),) * len(whole), header.color)


def _repeated(plane, v, h, size) -> np.ndarray:
    """The plane at full size; libjpeg-turbo repeats samples where there are no blocks."""
    return plane if (v, h) == (1, 1) else np.repeat(np.repeat(plane, v, axis=0), h, axis=1)[: size[0], : size[1]]


def _scan(data, position, header: Header, scan: Scan, max_pixels) -> tuple[int, dict[int, np.ndarray]]:
    """Decode the scan whose coded data begin at `position`: where they end, and the scan's planes by component."""
    check_size(header.size, max_pixels)
    sizes = Picture((), header.size, tuple((c.v, c.h) for c in header.components)).plane_sizes
    layout, offset = np.zeros((len(scan.components), 7), np.int64), 0
    for i, (c, (table, _)) in enumerate(zip(scan.components, scan.tables, strict=True)):
        height, width = sizes[c]
        layout[i] = offset, width, height, header.components[c].h, header.components[c].v, table, 0
        offset += height * width
    wide, high = _mcus(layout)
    if header.restart % wide:
        raise StreamError(f"the JPEG file is damaged: restarts every {header.restart} MCUs, which are no whole rows")
    if offset > 8 * (len(data) - position):  # every sample takes a bit at least
        raise StreamError(f"the JPEG file is cut: its scan of {offset} samples has {len(data) - position} bytes")
    intervals = -(-wide * high // header.restart) if header.restart else 1
    end, clean, starts, codes = kernels.pieces(data, position)
    # What is left over may be markers, but no data.
    if (
        not np.array_equal(codes[: intervals - 1], 0xD0 + np.arange(intervals - 1) % 8)
        or starts[intervals] < starts[-1]
    ):
        raise StreamError(
            f"the JPEG file is cut or damaged: it has not the {intervals} restart intervals that it needs"
        )
    lookups, shorts = np.empty((4, 65536), np.uint16), np.empty((4, 1024), np.uint16)
    for table in set(layout[:, DC].tolist()):
        if table not in header.huffman:
            raise StreamError(f"the JPEG file is damaged: Huffman table {table:#04x} is missing")
        kernels.fill_lookup(*header.huffman[table], lookups[table], shorts[table])
    differences = np.zeros(offset, np.int32)
    recovery.check(_decode(kernels.to_words(clean), starts, layout, header.restart, lookups, shorts, differences))
    planes = {}
    for i, c in enumerate(scan.components):
        first, width, height, _, v, _, _ = layout[i].tolist()
        planes[c] = np.empty((height, width), np.uint8)
        rows = header.restart // wide * (v if len(layout) > 1 else 1)
        part = differences[first : first + height * width].reshape(height, width)
        _restore(part, scan.start, scan.low, rows, planes[c])
    return end, planes
