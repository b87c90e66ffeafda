"""The model of JPEG's arithmetic coding (ITU-T T.81 F.1.4 and G.1.3), compiled: blocks to decisions and back.

Everything is a yes/no decision of the QM coder (`primitives.entropy.qm`), each in a bin of its own that adapts: no
tables are sent, and no pass over the picture counts anything first.

*A value* v ≠ 0 is a sign and |v| - 1, whose number of bits (its *size*) is climbed step by step, "more than 0 bits?",
"more than 1?" …; then come the bits below the top one, all in the bin that lies 14 behind that of the last step.

*DC* codes the difference to the DC before: zero or not, sign, size. The bins of its first three decisions are chosen by
how the difference before it was: zero, small or large, and of which sign. "Small" is what has `L` to `U` bits.

*AC* asks, at first and after each nonzero coefficient, "is the block over?", then "is this nonzero?" until one is. Each
position in zigzag order has its bins; the long sizes of positions up to `K` share theirs, as do those beyond.

*Progressive scans* do the same with the values' high bits. Refining scans send the next bit of DC values at probability
one half; of AC values, corrections of the old ones in their positions' third bins, and new ones as above.

Bins of a table::

    DC  context + 0 nonzero?  + 1 negative?  + 2, + 3 size > 0? of positive, negative ones    context 0, 4, 8, 12, 16
        20 … 33 size > 1, 2 …?   34 … 47 bits
    AC  3 (k - 1) over?   + 1 nonzero?   + 2 size > 0? and > 1?; correction
        189 … 202 size > 2, 3 …? (k ≤ K)   203 … 216 bits     217 … 230, 231 … 244 the same for k > K

`L`, `U` and `K` are the *conditioning*, which a DAC segment may set for each table. One function codes in both
directions and meters; its three callers fix what it does, so that the compiler makes three loops of it.
"""

import numpy as np

from ...primitives.compiled import njit
from ...primitives.entropy import qm
from ...primitives.entropy.binary_coder import ROOM, with_room
from ...primitives.entropy.layout import ZIGZAG
from ...primitives.entropy.qm import code_bit, leaf
from .kernels import _SIZE, AC, BAD_CODE, BAD_RUN, DC, OK

# Where AC's bins begin, behind those of four DC tables, and the bin that stays at one half, behind four AC tables.
_AC_BINS, _HALF = 4 * 64, 4 * 64 + 4 * 256

# What the loop over blocks does.
_DECODE, _ENCODE, _METER = range(3)

_LADDER, _BITS = 20, 14
_LOW_LADDER, _HIGH_LADDER = 189, 217

#: The size that no value has.
_TOO_LARGE = 16


@leaf
def _code_rest(coder, data, bins, bin, reached, size, rest, decoding):
    """Climb from size `reached` on, then the bits below the top one: size, rest = |v| - 1, and the coder."""
    while reached < _TOO_LARGE:
        more, coder = code_bit(coder, data, bins, bin, reached < size, decoding)
        if not more:
            break
        reached += 1
        bin += 1
    if reached == _TOO_LARGE:
        return reached, rest, coder
    if decoding:
        rest = np.int64(1) << (reached - 1)
    for at in range(reached - 2, -1, -1):
        bit, coder = code_bit(coder, data, bins, bin + _BITS, rest >> at & 1, decoding)
        if decoding:
            rest |= bit << at
    return reached, rest, coder


@leaf
def _code_difference(coder, data, bins, first, context, small, large, difference, decoding):
    """A difference of DC values (F.1.4.1): itself, the next one's context (-1 in damaged data), and the coder."""
    zero = np.int64(0)
    bin = first + context
    nonzero, coder = code_bit(coder, data, bins, bin, difference != 0, decoding)
    if not nonzero:
        return zero, zero, coder
    negative, coder = code_bit(coder, data, bins, bin + 1, difference < 0, decoding)
    rest = zero if decoding else abs(difference) - 1
    size = zero if decoding else np.int64(_SIZE[rest])
    reached, coder = code_bit(coder, data, bins, bin + 2 + negative, size > 0, decoding)
    if reached:
        reached, rest, coder = _code_rest(coder, data, bins, first + _LADDER, reached, size, rest, decoding)
        if reached == _TOO_LARGE:
            return zero, np.int64(-1), coder
    if reached >= small:
        context = (4 if reached <= large else 12) + 4 * negative
    else:
        context = zero
    return (-rest - 1 if negative else rest + 1), context, coder


@leaf
def _last(block, start, end, low):
    """The last coefficient of a band that is not zero without its `low` lowest bits; start - 1 for none."""
    last = end
    while last >= start and abs(np.int64(block[ZIGZAG[last]])) >> low == 0:
        last -= 1
    return last


@leaf
def _code_ac(coder, data, bins, first, split, block, start, end, low, mode, costs, index):
    """A band of AC coefficients without its `low` lowest bits (F.1.4.2, G.1.3.2): a status, and the coder."""
    decoding = mode == _DECODE
    last = np.int64(0) if decoding else _last(block, start, end, low)
    k = np.int64(start)
    while k <= end:
        bin = first + 3 * (k - 1)
        before = qm.bits_so_far(coder) if mode == _METER else 0.0
        over, coder = code_bit(coder, data, bins, bin, k > last, decoding)
        if over:
            if mode == _METER:
                costs[index, ZIGZAG[k]] = qm.bits_so_far(coder) - before
            break
        while True:
            value = np.int64(0) if decoding else np.int64(block[ZIGZAG[k]])
            rest = (abs(value) >> low) - 1
            nonzero, coder = code_bit(coder, data, bins, bin + 1, rest >= 0, decoding)
            if nonzero:
                break
            bin += 3
            k += 1
            if k > end:
                return BAD_RUN, coder
        negative, coder = code_bit(coder, data, bins, _HALF, value < 0, decoding)
        rest = np.int64(0) if decoding else rest
        size = np.int64(0) if decoding else np.int64(_SIZE[rest])
        reached, coder = code_bit(coder, data, bins, bin + 2, size > 0, decoding)
        if reached:
            more, coder = code_bit(coder, data, bins, bin + 2, size > 1, decoding)
            if more:
                ladder = first + (_LOW_LADDER if k <= split else _HIGH_LADDER)
                reached, rest, coder = _code_rest(coder, data, bins, ladder, reached + 1, size, rest, decoding)
                if reached == _TOO_LARGE:
                    return BAD_CODE, coder
            elif decoding:
                rest = np.int64(1)
        if decoding:
            block[ZIGZAG[k]] = (-rest - 1 if negative else rest + 1) << low
        if mode == _METER:
            costs[index, ZIGZAG[k]] = qm.bits_so_far(coder) - before
        k += 1
    return OK, coder


@leaf
def _refine_ac(coder, data, bins, first, block, start, end, low, decoding):
    """Bit `low` of a band of AC coefficients (G.1.3.3): a status, and the coder.

    No block is over before the last coefficient that was nonzero in the scans before.
    """
    one = np.int64(1) << low
    # A decoder may have coefficients before it that miss bits between: all that are not zero are known ones.
    known = _last(block, start, end, np.int64(0) if decoding else low + 1)
    last = np.int64(0) if decoding else _last(block, start, end, low)
    k = np.int64(start)
    while k <= end:
        bin = first + 3 * (k - 1)
        if k > known:
            over, coder = code_bit(coder, data, bins, bin, k > last, decoding)
            if over:
                break
        while True:
            value = np.int64(block[ZIGZAG[k]])
            magnitude = abs(value) >> low
            if value != 0 if decoding else magnitude > 1:
                bit, coder = code_bit(coder, data, bins, bin + 2, magnitude & 1, decoding)
                if decoding and bit:
                    block[ZIGZAG[k]] = value + (one if value > 0 else -one)
                break
            nonzero, coder = code_bit(coder, data, bins, bin + 1, magnitude, decoding)
            if nonzero:
                negative, coder = code_bit(coder, data, bins, _HALF, value < 0, decoding)
                if decoding:
                    block[ZIGZAG[k]] = -one if negative else one
                break
            bin += 3
            k += 1
            if k > end:
                return BAD_RUN, coder
        k += 1
    return OK, coder


@njit(cache=True, forceinline=True)
def _code_scan(data, starts, blocks, order, layout, interval, band, conditioning, mode, costs):
    start, end, high, low = band
    decoding = mode == _DECODE
    previous, contexts = np.zeros(layout.shape[0], np.int64), np.zeros(layout.shape[0], np.int64)
    part, status = 0, OK
    bins = np.zeros(_HALF + 1, np.uint8)
    bins[_HALF] = qm.FIXED
    coder = qm.new_decoder(data, starts[0], starts[1]) if decoding else qm.new_encoder(0)
    for i in range(order.shape[0]):
        if interval and i and i % interval == 0:
            part += 1
            if decoding:
                coder = qm.new_decoder(data, starts[part], starts[part + 1])
            else:
                starts[part] = qm.finish(coder, data, starts[part - 1])
                coder = qm.new_encoder(starts[part])
            bins[:_HALF] = 0
            previous[:] = 0
            contexts[:] = 0
        if not decoding and coder[qm.POSITION] + ROOM > data.size:
            data = with_room(coder, data, decoding)
        index, c = order[i, 0], order[i, 1]
        block = blocks[index]
        if start == 0:
            # Padding blocks repeat the DC before them.
            dc = previous[c] if index < 0 else np.int64(block[0]) >> low
            if high:
                bit, coder = code_bit(coder, data, bins, _HALF, dc & 1, decoding)
                if decoding:
                    block[0] |= bit << low
                previous[c] = dc
            else:
                table = layout[c, DC]
                first, small, large = 64 * table, conditioning[table] & 15, conditioning[table] >> 4
                before = qm.bits_so_far(coder) if mode == _METER else 0.0
                difference, context, coder = _code_difference(
                    coder, data, bins, first, contexts[c], small, large, dc - previous[c], decoding
                )
                if context < 0:
                    status = BAD_CODE
                    break
                if mode == _METER and index >= 0:
                    costs[index, 0] = qm.bits_so_far(coder) - before
                contexts[c] = context
                previous[c] += difference
                if decoding:
                    block[0] = previous[c] << low
        if end > 0:
            first = _AC_BINS + 256 * layout[c, AC]
            if high:
                status, coder = _refine_ac(coder, data, bins, first, block, start, end, low, decoding)
            elif index < 0 and not decoding:
                _, coder = code_bit(coder, data, bins, first, 1, decoding)
            else:
                split = conditioning[4 + layout[c, AC]]
                begin = max(start, 1)
                status, coder = _code_ac(coder, data, bins, first, split, block, begin, end, low, mode, costs, index)
            if status != OK:
                break
    if not decoding:
        starts[part + 1] = qm.finish(coder, data, starts[part])
    bits = min(8 * coder[qm.POSITION] - coder[3], 8 * starts[part + 1])
    return data, status, bits


@njit(cache=True)
def decode(data, starts, blocks, order, layout, interval, band, conditioning):
    """Blocks of a scan; the block behind the last one receives the padding.

    Data that end are no fault, as an encoder leaves zero bytes at the end out; a code that no encoder writes ends the
    decoding, as it does with libjpeg.

    Args:
        data: the coded bytes without stuffing and markers, uint8.
        starts: where each restart interval begins in `data`, and where the last one ends.
        blocks, order, layout, interval: as in `kernels`.
        band: first and last coefficient, `high` and `low` bit, as in `markers.Scan`.
        conditioning: int64 [8]: L | U << 4 of DC tables 0 … 3, K of AC tables 0 … 3.

    Returns:
        What `kernels.decode_sequential` does, with all blocks taken for decoded, and no other bits than those that the
        decoder has come to.
    """
    place = (data, starts, blocks, order, layout, interval)
    _, status, bits = _code_scan(*place, band, conditioning, _DECODE, np.zeros((0, 64)))
    return status, order.shape[0], bits, bits


@njit(cache=True)
def encode(starts, blocks, order, layout, interval, band, conditioning):
    """The inverse of `decode`: the bytes of a scan of blocks, and fills `starts`."""
    data, nowhere = np.zeros(0, np.uint8), np.zeros((0, 64))
    return _code_scan(data, starts, blocks, order, layout, interval, band, conditioning, _ENCODE, nowhere)[0]


@njit(cache=True)
def meter(starts, blocks, order, layout, interval, band, conditioning, costs):
    """Fill `costs` [N,64], in natural order, with the bits that each coefficient of a sequential scan takes.

    A coefficient takes its decisions and those of the zeros before it; the end of block is booked on the first
    coefficient that it leaves out. Padding blocks, which are in no picture, are booked nowhere.
    """
    data = np.zeros(0, np.uint8)
    _code_scan(data, starts, blocks, order, layout, interval, band, conditioning, _METER, costs)


@njit(cache=True)
def stuff(data, starts, out):
    """The bytes as they stand in a file, which `kernels.unstuff` undoes: stuffing, and restart markers between.

    Returns the length; `out` has room for twice the data and two bytes an interval.
    """
    n = 0
    for part in range(starts.size - 1):
        if part:
            out[n], out[n + 1] = 0xFF, 0xD0 + (part - 1) % 8
            n += 2
        for i in range(starts[part], starts[part + 1]):
            out[n] = data[i]
            n += 1
            if data[i] == 0xFF:
                out[n] = 0
                n += 1
    return n
