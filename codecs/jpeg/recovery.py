"""What libjpeg makes of JPEG files that are not as they should be, to the pixel.

**Restart markers** (`decode_intervals`). They divide coded data into *pieces*, one for each restart interval, and count
0 … 7 over and over, so that a decoder sees which one it has before it. libjpeg compares the marker behind a piece with
the one that is due (``jpeg_resync_to_restart``):

==========================  ===================================================================================
what stands there           what becomes of it
==========================  ===================================================================================
the one that is due         the next interval begins behind it
one of the next two         it waits: the marker that was due is lost, the next interval has no data
one of the two before       it is passed over with the piece behind it, and the next one is looked at
another restart marker      it is taken for the one that is due
no marker (below 0xC0)      it is passed over with the piece behind it
any other marker            the scan is over; all further intervals have no data
==========================  ===================================================================================

An interval without data leaves its blocks as they were: grey, or as earlier scans had them. Its first MCU is an
exception: libjpeg decodes it from zero bits, unless data were wanting before. Arithmetic-coded data never want: behind
their end all bits are zeros, and libjpeg decodes every block from them.

**Damage** (`huffman.PartialReader`). A piece that ends early goes on with zeros to the end of its MCU; codes that do
not exist count as zeros (`kernels`), and end an arithmetic-coded piece. Where libjpeg stops with an error, the reading
ends: the scans before it are the picture.

**Block smoothing** (`smooth`). Where a progressive file has not sent all bits of the first AC coefficients, libjpeg
guesses those that are still zero from the DC values of the 5×5 blocks around: T.81 K.8 with a wider window, and another
set of weights, which also smooths the DC, where no AC coefficient was sent at all. A guess stays below what the bits
that are known exclude.

Source: ITU-T T.81 F.2.2, K.8; libjpeg-turbo 3.2, whose choices these are.
"""

import numpy as np

from ...primitives.errors import StreamError
from ...primitives.picture import Picture
from . import kernels
from .kernels import ZIGZAG
from .markers import Header, Scan

#: No piece for an interval: its marker is lost and a later one waits, or the scan has ended.
WAITING, ENDED = -1, -2

#: Bytes that an MCU of 10 blocks takes at most.
_LARGEST_MCU = 10 * 64 * 32 // 8


def sources(codes, intervals: int) -> list[int]:
    """The piece that each restart interval is read from: its number, or `WAITING` or `ENDED` where there is none.

    Args:
        codes: of the marker that ends each piece; the last one is no restart marker.
        intervals: how many there should be.

    >>> sources([0xD0, 0xD1, 0xD2, 0xD9], 4), sources([0xD1, 0xD2, 0xD3, 0xD9], 4), sources([0xD7, 0xD0, 0xD9], 3)
    ([0, 1, 2, 3], [0, -1, 1, 2], [0, 2, -2])
    """
    found, piece = [0], 0
    for number in range(intervals - 1):
        while True:
            code = int(codes[piece])
            restart, ahead = 0xD0 <= code <= 0xD7, (code - 0xD0 - number) % 8
            if (ahead in (1, 2)) if restart else code == 0 or code >= 0xC0:
                found.append(WAITING if restart else ENDED)
                break
            piece += 1
            if restart and ahead not in (6, 7):
                found.append(piece)
                break
    return found


def decode_intervals(decode, clean, starts, codes, order, interval: int, mcu: int, strict: bool) -> int:
    """Decode a scan piece by piece, wherever its restart markers are.

    Args:
        decode: of `_Reader.decoder`.
        clean, starts, codes: of `kernels.unstuff`.
        order: the scan's blocks.
        interval, mcu: blocks a restart interval (0 for all) and an MCU.
        strict: accept no other fault than markers that are lost, left over or misnumbered.

    Returns:
        The last MCU that was begun before data were wanting.

    Raises:
        StreamError: the data are damaged or cut, if `strict`.
    """
    interval = interval or len(order)
    found = sources(codes, -(-len(order) // interval))
    used = np.zeros(len(codes), bool)
    used[[piece for piece in found if piece >= 0]] = True
    unread = bool((np.diff(starts)[~used] > 0).any())
    wanting, last_begun = False, 0
    padded = np.zeros((int(np.diff(starts).max()) + _LARGEST_MCU + 64) // 4 * 4, np.uint8)
    for number, piece in enumerate(found):
        if strict and piece == ENDED and not unread:
            raise StreamError(f"the JPEG file is cut or damaged: {number} restart intervals instead of {len(found)}")
        if piece < 0 and wanting:
            continue
        data = clean[starts[piece] : starts[piece + 1]] if piece >= 0 else clean[:0]
        n = len(data)
        padded[:n], padded[n : n + _LARGEST_MCU + 16] = data, 0
        first = number * interval
        readable = padded[: (n + _LARGEST_MCU + 64) // 4 * 4]
        status, done, begin, end = decode(readable, np.array([0, n]), order[first : first + interval], 0, mcu)
        wanting, last_begun = end > 8 * n, (first + done - 1) // mcu
        if not strict or piece < 0:
            continue
        unread |= end + 8 <= 8 * n
        # A marker between two MCUs is only out of place. One inside of an MCU says that bytes are missing, and so does
        # the end of the scan, unless the data are there and were passed over.
        out_of_place = begin + 8 > 8 * n and (unread or 0xD0 <= codes[piece] <= 0xD7)
        if status != kernels.TOO_SHORT or not out_of_place:
            check(status)
    return last_begun


def check(status: int) -> None:
    """Raise `StreamError` if a decoding loop met a fault."""
    if status == kernels.TOO_SHORT:
        raise StreamError("the JPEG file is cut or damaged: a scan ends too early")
    if status != kernels.OK:
        raise StreamError("the JPEG file is damaged: a scan holds what no encoder writes")


def mcu_layout(header: Header) -> np.ndarray:
    """Layout of the frame's components in blocks of whole MCUs."""
    layout = np.zeros((len(header.components), 7), np.int64)
    v_max, h_max = (max(getattr(c, side) for c in header.components) for side in ("v", "h"))
    high, wide = -(-header.size[0] // (8 * v_max)), -(-header.size[1] // (8 * h_max))
    offset = 0
    for i, c in enumerate(header.components):
        # A lone component is not interleaved: its MCU is a block.
        h, v = (1, 1) if len(header.components) == 1 else (c.h, c.v)
        if len(header.components) == 1:
            high, wide = -(-header.size[0] // 8), -(-header.size[1] // 8)
        layout[i] = offset, wide * h, high * v, h, v, 0, 0
        offset += wide * h * high * v
    return layout


def mcu_order(header: Header, scan: Scan, layout: np.ndarray) -> tuple[np.ndarray, int]:
    """As `kernels.visit`, for planes of whole MCUs: a scan of one component leaves the padding out."""
    if len(scan.components) > 1:
        return kernels.visit(layout)
    rows, columns = (np.arange(n) for n in size_in_blocks(header, scan.components[0]))
    order = np.zeros((len(rows) * len(columns), 2), np.int32)
    order[:, 0] = (layout[0, kernels.OFFSET] + rows[:, None] * layout[0, kernels.WIDE] + columns).ravel()
    return order, 1


def size_in_blocks(header: Header, component: int) -> tuple[int, int]:
    """Blocks down and across that hold a component's samples."""
    frame = Picture((), header.size, tuple((c.v, c.h) for c in header.components))
    height, width = frame.plane_sizes[component]
    return -(-height // 8), -(-width // 8)


def smooth(blocks, high: int, v: int, steps, bits, last_row: int) -> np.ndarray:
    """libjpeg's block smoothing of one component.

    Args:
        blocks: int16 [rows, columns, 64], in rows of whole MCUs, as they may be looked at below the last one.
        high: rows that are shown.
        v: rows an MCU.
        steps: the quantization table, [8,8].
        bits: the lowest bit received of each coefficient (-1 for none), and what it was before the last scan.
        last_row: the last row of MCUs that the last scan reached.

    Returns:
        int16 [high, columns, 64].
    """
    mcus = -(-high // v)
    dc = np.zeros((mcus * v, blocks.shape[1] + 4), np.int64)
    dc[: len(blocks)] = np.pad(blocks[: mcus * v, :, 0], ((0, 0), (2, 2)), "edge")
    steps = steps.ravel().astype(np.int64)
    out = blocks[:high].copy()
    for row in range(high):
        mcu = row // v
        rows = v if mcu < mcus - 1 else high - mcu * v
        # libjpeg counts the rows of all MCUs as if they had as many as this one.
        place, end = mcu * rows + row % v, mcus * rows - 1
        above, below = row - min(place, 1), row + int(place < end)
        window = dc[[above - int(place > 1), above, row, below, below + int(place < end - 1)]]
        window = np.lib.stride_tricks.sliding_window_view(window, (5, 5))[0].astype(np.int64)
        known = bits[1] if mcu > last_row else bits[0]
        alone = bool((known[1:10] == -1).all())
        block = out[row]
        for k, weights in (_ALONE if alone else _BESIDE).items():
            at = ZIGZAG[k]
            sums = steps[0] * (window * weights).sum((1, 2))
            guess = ((steps[at] << 7) + np.abs(sums)) // (steps[at] << 8)
            if k and known[k] > 0:
                guess = np.minimum(guess, (1 << known[k]) - 1)
            apply = (block[:, at] == 0) & (known[k] != 0) if k else slice(None)
            block[apply, at] = (np.sign(sums) * guess)[apply]
    return out


def _both_ways(weights: dict[tuple[int, int], str]) -> dict[int, np.ndarray]:
    """Weights by zigzag position; those of a pair are each other's transpose."""
    found = {}
    for (k, transposed), text in weights.items():
        matrix = np.array([row.split() for row in text.split("/")], np.int64)
        found[k], found[transposed] = matrix, matrix.T
    return dict(sorted(found.items(), key=lambda item: item[0] or 64))  # the DC last, though it makes no difference


#: Weights [5,5] of the DC values around, times 256, by the zigzag position of the coefficient that they guess: where no
#: AC coefficient is known, and where some are.
_ALONE = _both_ways({
    (1, 2): "-1 -1 0 1 1/-3 13 0 -13 3/-3 38 0 -38 3/-3 13 0 -13 3/-1 -1 0 1 1",
    (3, 5): "0 0 1 0 0/0 2 7 2 0/0 -5 -14 -5 0/0 2 7 2 0/0 0 1 0 0",
    (4, 4): "-1 0 0 0 1/0 9 0 -9 0/0 0 0 0 0/0 -9 0 9 0/1 0 0 0 -1",
    (6, 9): "0 0 0 0 0/0 1 0 -1 0/0 2 0 -2 0/0 1 0 -1 0/0 0 0 0 0",
    (7, 8): "0 0 0 0 0/0 1 -3 1 0/0 0 0 0 0/0 -1 3 -1 0/0 0 0 0 0",
    (0, 0): "-2 -6 -8 -6 -2/-6 6 42 6 -6/-8 42 152 42 -8/-6 6 42 6 -6/-2 -6 -8 -6 -2",
})  # fmt: skip
_BESIDE = _both_ways({
    (1, 2): "0 0 0 0 0/0 0 0 0 0/-7 50 0 -50 7/0 0 0 0 0/0 0 0 0 0",
    (3, 5): "0 0 -1 0 0/0 0 13 0 0/0 0 -24 0 0/0 0 13 0 0/0 0 -1 0 0",
    (4, 4): "0 -1 0 1 0/-1 10 0 -10 1/0 0 0 0 0/1 -10 0 10 -1/0 1 0 -1 0",
})  # fmt: skip
