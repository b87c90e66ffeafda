"""The sequential loops of JPEG's entropy coding (ITU-T T.81 Annex F and G), compiled.

**Encoding in two steps.** A scan of blocks first becomes a list of *tokens*: a Huffman symbol and the extra bits that
follow it. Their counts give the optimal Huffman tables, and costs of scans that are never written. Then the tokens are
written with whatever tables were chosen. A token is an int64::

    bits 0–31 extra bits    32–37 their number    40–50 code: table · 256 + symbol, or NO_SYMBOL or RESTART

**Decoding from clean bits.** `unstuff` removes the zero bytes that follow each 0xFF in coded data and finds where
markers divide it; the decoding loops then read the bits at any position and look Huffman codes up by their next bits.
They have two tempers. Where `mcu` is 0 they stop at the first fault. Where it is the number of blocks an MCU, they do
what libjpeg does with a fault: a code that does not exist is a zero of 17 bits, a run that leaves the block ends at its
last coefficient, bits behind the end are zeros, and the MCU that needs them is the last one that is decoded.

Blocks are int16 [N,64] in natural order (row by row), all components behind one another; `layout` says where each
component of a scan lies: columns of `OFFSET` … `AC`. Loops report trouble by a status, and the caller raises.
"""

import numpy as np

from ...primitives.compiled import njit
from ...primitives.entropy.layout import ZIGZAG

# Columns of a layout: first block, blocks across and down, blocks an MCU across and down, DC and AC table.
OFFSET, WIDE, HIGH, H, V, DC, AC = range(7)

#: Codes of tokens that are no Huffman symbol: extra bits alone, and a restart marker.
NO_SYMBOL, RESTART = 4 * 256 * 2, 4 * 256 * 2 + 1
CODES = RESTART + 1

#: Status of the decoding loops.
OK, BAD_CODE, TOO_SHORT, BAD_RUN = range(4)

#: The length that decoding tables give to what no code begins with.
NO_CODE = 17

# Zigzag order for runs that leave the block: what lies behind it is its last coefficient.
_LONG_ZIGZAG = np.concatenate([ZIGZAG, np.full(16, 63, ZIGZAG.dtype)])

# All 64 windows of six bits of this number differ, so the window at the top tells by how much it was shifted.
_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
_POSITION = np.empty(64, np.int64)
for _shift in range(64):
    _POSITION[(int(_DE_BRUIJN) << _shift & (1 << 64) - 1) >> 58] = _shift

# Bits of |v|, for every v that fits 16 bits.
_SIZE = np.array([value.bit_length() for value in range(1 << 15)] + [16], np.uint8)


@njit(cache=True, inline="always")
def _token(code, extra, count):
    return np.int64(code) << 40 | np.int64(count) << 32 | np.int64(extra)


@njit(cache=True, inline="always")
def _value_token(table, run, value):
    """Run of zeros and a value: symbol (run, size), then the value's bits; negative values less one (T.81 F.1.2)."""
    size = np.int64(_SIZE[abs(value)])
    extra = (value if value > 0 else value - 1) & ((1 << size) - 1)
    return _token(table << 8 | run << 4 | size, extra, size)


@njit(cache=True, inline="always")
def _lowest_bit(bits):
    """Position of the lowest bit that is set; multiplying a lone bit by a de Bruijn number shifts its position up."""
    return _POSITION[((bits & (~bits + np.uint64(1))) * _DE_BRUIJN) >> np.uint64(58)]


@njit(cache=True)
def _mcus(layout):
    """MCUs across and down: of one component, its own blocks; of several, groups of H × V blocks of each."""
    if layout.shape[0] == 1:
        return layout[0, WIDE], layout[0, HIGH]
    wide, high = 0, 0
    for c in range(layout.shape[0]):
        wide = max(wide, -(-layout[c, WIDE] // layout[c, H]))
        high = max(high, -(-layout[c, HIGH] // layout[c, V]))
    return wide, high


@njit(cache=True)
def _visit(layout, order):
    """Indices of a scan's blocks in coding order, and the component of each; -1 for padding. Returns blocks an MCU."""
    wide, high = _mcus(layout)
    n = 0
    if layout.shape[0] == 1:
        for i in range(wide * high):
            order[i, 0] = layout[0, OFFSET] + i
            order[i, 1] = 0
        return 1
    for my in range(high):
        for mx in range(wide):
            for c in range(layout.shape[0]):
                for y in range(my * layout[c, V], (my + 1) * layout[c, V]):
                    for x in range(mx * layout[c, H], (mx + 1) * layout[c, H]):
                        inside = y < layout[c, HIGH] and x < layout[c, WIDE]
                        order[n, 0] = layout[c, OFFSET] + y * layout[c, WIDE] + x if inside else -1
                        order[n, 1] = c
                        n += 1
    blocks = 0
    for c in range(layout.shape[0]):
        blocks += layout[c, H] * layout[c, V]
    return blocks


def visit(layout: np.ndarray) -> tuple[np.ndarray, int]:
    """Blocks of a scan in coding order (int32 [n,2]: block or -1 for padding, component), and blocks an MCU."""
    if len(layout) == 1:
        n = layout[0, WIDE] * layout[0, HIGH]
    else:
        wide, high = _mcus(layout)
        n = wide * high * int((layout[:, H] * layout[:, V]).sum())
    order = np.empty((n, 2), np.int32)
    return order, _visit(layout, order)


# ---------------------------------------------------------------------------------------------------------------------
# Encoding: blocks to tokens


@njit(cache=True)
def tokens_sequential(blocks, order, layout, interval, tokens, counts):
    """Tokens of a sequential scan (T.81 F.1.2); `interval` is the number of blocks between restarts, or 0."""
    n = 0
    previous = np.zeros(layout.shape[0], np.int64)
    for i in range(order.shape[0]):
        if interval and i and i % interval == 0:
            tokens[n] = _token(RESTART, 0, 0)
            n += 1
            previous[:] = 0
        index, c = order[i]
        dc_table, ac_table = layout[c, DC], 4 + layout[c, AC]
        if index < 0:  # padding costs least if it repeats the DC and has no AC
            tokens[n] = _token(dc_table << 8, 0, 0)
            tokens[n + 1] = _token(ac_table << 8, 0, 0)
            counts[dc_table << 8] += 1
            counts[ac_table << 8] += 1
            n += 2
            continue
        block = blocks[index]
        dc = np.int64(block[0])
        token = _value_token(dc_table, 0, dc - previous[c])
        previous[c] = dc
        tokens[n] = token
        counts[token >> 40] += 1
        n += 1
        # Where the values are, as a set of bits: going through the set mispredicts less than asking each coefficient.
        present = np.uint64(0)
        for k in range(1, 64):
            present |= np.uint64(block[ZIGZAG[k]] != 0) << np.uint64(k)
        last = 0
        while present:
            k = _lowest_bit(present)
            present &= present - np.uint64(1)
            run, last = k - last - 1, k
            while run > 15:
                tokens[n] = _token(ac_table << 8 | 0xF0, 0, 0)
                counts[ac_table << 8 | 0xF0] += 1
                n += 1
                run -= 16
            token = _value_token(ac_table, run, np.int64(block[ZIGZAG[k]]))
            tokens[n] = token
            counts[token >> 40] += 1
            n += 1
        if last < 63:
            tokens[n] = _token(ac_table << 8, 0, 0)
            counts[ac_table << 8] += 1
            n += 1
    return n


@njit(cache=True)
def costs_sequential(blocks, order, layout, interval, lengths, costs):
    """Fill `costs` [N,64], in natural order, with the bits that each coefficient of a sequential scan takes.

    A coefficient takes its code, with the run before it, and its extra bits; the end of block is booked on the first
    coefficient that it leaves out. Padding blocks, which are in no picture, are booked nowhere.
    """
    previous = np.zeros(layout.shape[0], np.int64)
    for i in range(order.shape[0]):
        if interval and i % interval == 0:
            previous[:] = 0
        index, c = order[i]
        if index < 0:
            continue
        dc_table, ac_table = layout[c, DC], 4 + layout[c, AC]
        block = blocks[index]
        size = np.int64(_SIZE[abs(np.int64(block[0]) - previous[c])])
        previous[c] = block[0]
        costs[index, 0] = lengths[dc_table << 8 | size] + size
        last = 0
        for k in range(1, 64):
            value = np.int64(block[ZIGZAG[k]])
            if value:
                run, size = k - last - 1, np.int64(_SIZE[abs(value)])
                bits = (run >> 4) * np.int64(lengths[ac_table << 8 | 0xF0])
                costs[index, ZIGZAG[k]] = bits + lengths[ac_table << 8 | (run & 15) << 4 | size] + size
                last = k
        if last < 63:
            costs[index, ZIGZAG[last + 1]] = lengths[ac_table << 8]


@njit(cache=True)
def tokens_dc(blocks, order, layout, interval, high, low, tokens, counts):
    """Tokens of a progressive DC scan (T.81 G.1.2.1); `high` is 0 in the first one, else bit `low` is refined."""
    n = 0
    previous = np.zeros(layout.shape[0], np.int64)
    for i in range(order.shape[0]):
        if interval and i and i % interval == 0:
            tokens[n] = _token(RESTART, 0, 0)
            n += 1
            previous[:] = 0
        index, c = order[i]
        if high:
            bit = (np.int64(blocks[index, 0]) >> low) & 1 if index >= 0 else 0
            token = _token(NO_SYMBOL, bit, 1)
        else:
            dc = np.int64(blocks[index, 0]) >> low if index >= 0 else previous[c]
            token = _value_token(layout[c, DC], 0, dc - previous[c])
            previous[c] = dc
            counts[token >> 40] += 1
        tokens[n] = token
        n += 1
    return n


@njit(cache=True)
def _end_of_band(ac_table, run, counts):
    """An EOBn symbol for `run` blocks that hold nothing more (T.81 G.1.2.2)."""
    size = np.int64(_SIZE[run]) - 1
    code = (4 + ac_table) << 8 | size << 4
    counts[code] += 1
    return _token(code, run - (1 << size), size)


@njit(cache=True)
def tokens_ac_first(blocks, order, layout, interval, start, end, low, tokens, counts):
    """Tokens of the first scan of a band of AC coefficients, without their `low` lowest bits (T.81 G.1.2.2)."""
    n, ended = 0, 0
    table = layout[0, AC]
    for i in range(order.shape[0]):
        if interval and i and i % interval == 0:
            if ended:
                tokens[n] = _end_of_band(table, ended, counts)
                n, ended = n + 1, 0
            tokens[n] = _token(RESTART, 0, 0)
            n += 1
        block = blocks[order[i, 0]]
        run = 0
        for k in range(start, end + 1):
            value = np.int64(block[ZIGZAG[k]])
            value = value >> low if value >= 0 else -(-value >> low)
            if value == 0:
                run += 1
                continue
            if ended:
                tokens[n] = _end_of_band(table, ended, counts)
                n, ended = n + 1, 0
            while run > 15:
                tokens[n] = _token((4 + table) << 8 | 0xF0, 0, 0)
                counts[(4 + table) << 8 | 0xF0] += 1
                n += 1
                run -= 16
            token = _value_token(4 + table, run, value)
            tokens[n] = token
            counts[token >> 40] += 1
            n += 1
            run = 0
        if run:
            ended += 1
            if ended == 0x7FFF:
                tokens[n] = _end_of_band(table, ended, counts)
                n, ended = n + 1, 0
    if ended:
        tokens[n] = _end_of_band(table, ended, counts)
        n += 1
    return n


@njit(cache=True)
def _correction_tokens(bits, first, last, tokens, n):
    """Correction bits as tokens of up to 32."""
    while first < last:
        count = min(last - first, 32)
        extra = np.int64(0)
        for i in range(first, first + count):
            extra = extra << 1 | bits[i]
        tokens[n] = _token(NO_SYMBOL, extra, count)
        n += 1
        first += count
    return n


@njit(cache=True)
def tokens_ac_refine(blocks, order, layout, interval, start, end, low, tokens, counts):
    """Tokens of a scan that adds bit `low` to a band of AC coefficients (T.81 G.1.2.3).

    Coefficients that were not zero before get a correction bit each, behind the symbol whose run passes them; runs
    count only those that were zero.
    """
    n, ended = 0, 0
    table = layout[0, AC]
    # Correction bits that wait: of the blocks of the current end-of-band run, then of the current block.
    waiting = np.empty(1024 + 64, np.uint8)
    pending = 0
    for i in range(order.shape[0]):
        if interval and i and i % interval == 0:
            if ended:
                tokens[n] = _end_of_band(table, ended, counts)
                n = _correction_tokens(waiting, 0, pending, tokens, n + 1)
                ended, pending = 0, 0
            tokens[n] = _token(RESTART, 0, 0)
            n += 1
        block = blocks[order[i, 0]]
        last_new = start - 1  # the last coefficient that becomes ±1 now
        for k in range(start, end + 1):
            if abs(np.int64(block[ZIGZAG[k]])) >> low == 1:
                last_new = k
        run, passed = 0, pending
        for k in range(start, end + 1):
            value = np.int64(block[ZIGZAG[k]])
            size = abs(value) >> low
            if size == 0:
                run += 1
                continue
            while run > 15 and k <= last_new:
                if ended:
                    tokens[n] = _end_of_band(table, ended, counts)
                    n = _correction_tokens(waiting, 0, pending, tokens, n + 1)
                    ended = 0
                tokens[n] = _token((4 + table) << 8 | 0xF0, 0, 0)
                counts[(4 + table) << 8 | 0xF0] += 1
                n = _correction_tokens(waiting, pending, passed, tokens, n + 1)
                pending, passed = 0, 0
                run -= 16
            if size > 1:
                waiting[passed] = size & 1
                passed += 1
                continue
            if ended:
                tokens[n] = _end_of_band(table, ended, counts)
                n = _correction_tokens(waiting, 0, pending, tokens, n + 1)
                ended = 0
            code = (4 + table) << 8 | run << 4 | 1
            tokens[n] = _token(code, 1 if value > 0 else 0, 1)
            counts[code] += 1
            n = _correction_tokens(waiting, pending, passed, tokens, n + 1)
            pending, passed, run = 0, 0, 0
        if run or passed > pending:
            ended += 1
            pending = passed
            if ended == 0x7FFF or pending > 1024 - 64:
                tokens[n] = _end_of_band(table, ended, counts)
                n = _correction_tokens(waiting, 0, pending, tokens, n + 1)
                ended, pending = 0, 0
    if ended:
        tokens[n] = _end_of_band(table, ended, counts)
        n = _correction_tokens(waiting, 0, pending, tokens, n + 1)
    return n


@njit(cache=True)
def extra_bits(tokens):
    """Bits that follow the symbols, in all."""
    total = np.int64(0)
    for token in tokens:
        total += (token >> 32) & 63
    return total


# ---------------------------------------------------------------------------------------------------------------------
# Encoding: tokens to bytes


@njit(cache=True, inline="always")
def _put_byte(out, n, byte):
    out[n] = byte
    if byte == 0xFF:  # stuffing: 0xFF in coded data is followed by a zero, else it is a marker (T.81 B.1.1.5)
        out[n + 1] = 0
        return n + 2
    return n + 1


@njit(cache=True, inline="always")
def _put_word(out, n, word):
    """Four bytes; nearly always none of them is 0xFF, which one comparison shows."""
    inverted = ~word & np.uint64(0xFFFFFFFF)
    if (inverted - np.uint64(0x01010101)) & ~inverted & np.uint64(0x80808080) == 0:
        for i in range(4):
            out[n + i] = np.uint8(word >> np.uint64(24 - 8 * i))
        return n + 4
    for i in range(4):
        n = _put_byte(out, n, np.uint8(word >> np.uint64(24 - 8 * i)))
    return n


@njit(cache=True, inline="always")
def _filled(buffer, held, fill):
    return np.uint8(buffer << np.uint64(8 - held) | np.uint64(fill * ((1 << (8 - held)) - 1)))


@njit(cache=True)
def write_tokens(tokens, codes, lengths, out, fill):
    """Tokens as entropy-coded data with stuffing; last bytes are filled with the bit `fill`. Returns their number."""
    n, restarts = 0, 0
    buffer, held = np.uint64(0), 0
    for token in tokens:
        code = token >> 40
        if code == RESTART:
            while held >= 8:
                held -= 8
                n = _put_byte(out, n, np.uint8(buffer >> np.uint64(held)))
            if held:
                n = _put_byte(out, n, _filled(buffer, held, fill))
            buffer, held = np.uint64(0), 0
            out[n], out[n + 1] = 0xFF, 0xD0 + restarts % 8
            n += 2
            restarts += 1
            continue
        length = np.int64(lengths[code])
        buffer = buffer << np.uint64(length) | np.uint64(codes[code])
        held += length
        if held >= 32:
            held -= 32
            n = _put_word(out, n, buffer >> np.uint64(held) & np.uint64(0xFFFFFFFF))
        count = (token >> 32) & 63
        buffer = buffer << np.uint64(count) | np.uint64(token & 0xFFFFFFFF)
        held += count
        if held >= 32:
            held -= 32
            n = _put_word(out, n, buffer >> np.uint64(held) & np.uint64(0xFFFFFFFF))
    while held >= 8:
        held -= 8
        n = _put_byte(out, n, np.uint8(buffer >> np.uint64(held)))
    if held:
        n = _put_byte(out, n, _filled(buffer, held, fill))
    return n


# ---------------------------------------------------------------------------------------------------------------------
# Decoding: bytes to clean bits


@njit(cache=True)
def unstuff(data, position, clean, starts, codes):
    """Copy the entropy-coded data at `position` without stuffing, up to the marker that ends the scan.

    Restart markers divide the data into *pieces*; so do codes below 0xC0, which no marker has. The scan ends before any
    other marker.

    Args:
        data: the file, uint8.
        position: where the coded data begin.
        clean: receives the data; as long as what is left of the file.
        starts: receives the index in `clean` where each piece begins, and where the last one ends.
        codes: receives the code of the marker that ends each piece; 0 at the file's end. At least as long as the number
            of bytes 0xFF that are left, plus one; `starts` has one element more.

    Returns:
        (position of the marker or the file's end, number of pieces).
    """
    n, pieces = 0, 0
    starts[0] = 0
    size = data.size
    code = 0
    while position < size:
        byte = data[position]
        if byte != 0xFF:
            clean[n] = byte
            n += 1
            position += 1
            continue
        follower = position + 1
        while follower < size and data[follower] == 0xFF:  # fill bytes
            follower += 1
        code = 0
        if follower == size:
            break
        code = data[follower]
        if code == 0:
            clean[n] = 0xFF
            n += 1
        elif code < 0xC0 or 0xD0 <= code <= 0xD7:
            codes[pieces] = code
            pieces += 1
            starts[pieces] = n
            code = 0
        else:
            break
        position = follower + 1
    codes[pieces] = code
    starts[pieces + 1] = n
    return position, pieces + 1


def pieces(data: bytes, position: int) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """The coded data at `position` as `unstuff` gives them: where they end, clean bytes, starts and codes of pieces."""
    most = data.count(b"\xff", position) + 1
    # Padded, as `_peek` and `_refill` read ahead.
    clean = np.zeros((len(data) - position + 512) // 4 * 4, np.uint8)
    starts, codes = np.empty(most + 1, np.int64), np.empty(most, np.uint8)
    end, n = unstuff(np.frombuffer(data, np.uint8), position, clean, starts, codes)
    return end, clean, starts[: n + 1], codes[:n]


# ---------------------------------------------------------------------------------------------------------------------
# Decoding: clean bits to blocks


@njit(cache=True)
def fill_lookup(counts, symbols, lookup, short):
    """Decoding tables of a Huffman code: code length << 8 | symbol for the next bits, NO_CODE << 8 where no code is.

    `lookup` is indexed by the next 16 bits. `short` by the next 10, for the frequent codes that are no longer, with 0
    for all others: it stays in the processor's first cache. `counts` are the numbers of codes of 1…16 bits and
    `symbols` the symbols in order of code (T.81 B.2.4.2); they must be a prefix code.
    """
    position, k = 0, 0
    for length in range(1, 17):
        span = 1 << (16 - length)
        for _ in range(counts[length - 1]):
            lookup[position : position + span] = length << 8 | symbols[k]
            position += span
            k += 1
    lookup[position:] = NO_CODE << 8
    for i in range(short.size):
        entry = lookup[i << 6]
        short[i] = entry if entry >> 8 <= 10 else 0


def to_words(clean: np.ndarray) -> np.ndarray:
    """Clean bytes as big-endian words of 32 bits, so that `_peek` needs two loads for the bits at any position."""
    return clean.view(">u4").astype(np.uint32)


@njit(cache=True, inline="always")
def _peek(words, bit):
    """The 32 bits from position `bit` on. Indices are unsigned, else every access would first ask for its sign."""
    at = np.uint64(bit) >> np.uint64(5)
    pair = np.uint64(words[at]) << np.uint64(32) | np.uint64(words[at + np.uint64(1)])
    return np.int64((pair << np.uint64(bit & 31)) >> np.uint64(32))


@njit(cache=True, inline="always")
def _next_entry(lookups, shorts, table, window):
    """Length << 8 | symbol of the code that the 32 bits of `window` begin with; NO_CODE << 8 for none."""
    entry = np.int64(shorts[table, np.uint64(window) >> np.uint64(22)])
    if entry == 0:
        entry = np.int64(lookups[table, np.uint64(window) >> np.uint64(16)])
    return entry


@njit(cache=True, inline="always")
def _extend(bits, size):
    """The value that `size` extra bits stand for (T.81 F.2.2.1): with the top bit 0 it is negative, 2^size - 1 less.

    Signs are random, so a branch would be mispredicted half the time.
    """
    return bits - (((1 << size) - 1) & ((bits >> (size - 1)) - 1))


@njit(cache=True, inline="always")
def _fault(status, found, bit, last):
    """The status after a fault `found` in what ends at `bit`; behind the `last` bit there is nothing to be damaged."""
    return found if bit <= last else status


# Most files have nothing but a sequential scan, so its loop keeps the next bits in a register: `buffer` has them at its
# top, `held` counts them, and `at` is the word that comes next. Progressive scans simply `_peek`.


@njit(cache=True, inline="always")
def _open(words, byte):
    """A buffer filled from position `byte`, which need not begin a word: (buffer, held, at)."""
    at, skip = np.uint64(byte >> 2), np.uint64(8 * (byte & 3))
    pair = np.uint64(words[at]) << np.uint64(32) | np.uint64(words[at + np.uint64(1)])
    return pair << skip, 64 - np.int64(skip), at + np.uint64(2)


@njit(cache=True, inline="always")
def _refill(words, buffer, held, at):
    """At least 33 bits, enough for a code of 16 and as many extra bits."""
    if held <= 32:
        return buffer | np.uint64(words[at]) << np.uint64(32 - held), held + 32, at + np.uint64(1)
    return buffer, held, at


@njit(cache=True, inline="always")
def _value_behind(buffer, length, size):
    """The value of `size` ≥ 1 extra bits behind a code of `length` bits."""
    return _extend(np.int64((buffer << np.uint64(length)) >> np.uint64(64 - size)), size)


@njit(cache=True)
def decode_sequential(words, starts, order, layout, interval, mcu, lookups, shorts, blocks):
    """Blocks of a sequential scan (T.81 F.2.2). The block behind the last one receives the padding.

    Args:
        words, starts: of `to_words` and `unstuff`.
        order, layout: as above.
        interval: blocks between restarts, or 0.
        mcu: 0 to stop at the first fault; else the number of blocks an MCU, and there is one interval.
        lookups, shorts: of `fill_lookup`, by table.
        blocks: receives the coefficients.

    Returns:
        (status, number of blocks decoded, bits before the last MCU that was begun, bits after it); the bits are only
        counted where `mcu` is given.
    """
    previous = np.zeros(layout.shape[0], np.int64)
    part, status, begin = 0, OK, np.int64(0)
    buffer, held, at = _open(words, starts[0])
    for i in range(order.shape[0]):
        if interval and i and i % interval == 0:
            part += 1
            buffer, held, at = _open(words, starts[part])
            previous[:] = 0
        if mcu and i % mcu == 0:
            begin = 32 * np.int64(at) - held
        index, c = order[i]
        block = blocks[index]
        buffer, held, at = _refill(words, buffer, held, at)
        entry = _next_entry(lookups, shorts, layout[c, DC], buffer >> np.uint64(32))
        length, size = entry >> 8, entry & 255
        if length == NO_CODE or size > 15:
            if not mcu:
                return BAD_CODE, i, begin, begin
            status = _fault(status, BAD_CODE, 32 * np.int64(at) - held + length, 8 * starts[part + 1])
        if size:
            previous[c] += _value_behind(buffer, length, size)
        buffer, held = buffer << np.uint64(length + size), held - length - size
        block[0] = previous[c]
        table = 4 + layout[c, AC]
        k = 1
        while k < 64:
            buffer, held, at = _refill(words, buffer, held, at)
            entry = _next_entry(lookups, shorts, table, buffer >> np.uint64(32))
            length, run, size = entry >> 8, (entry >> 4) & 15, entry & 15
            if size == 0:
                if length == NO_CODE:
                    if not mcu:
                        return BAD_CODE, i, begin, begin
                    status = _fault(status, BAD_CODE, 32 * np.int64(at) - held + length, 8 * starts[part + 1])
                buffer, held = buffer << np.uint64(length), held - length
                if run < 15:
                    break
                k += 16
                continue
            k += run
            if k > 63:
                if not mcu:
                    return BAD_RUN, i, begin, begin
                status = _fault(status, BAD_RUN, 32 * np.int64(at) - held + length + size, 8 * starts[part + 1])
            block[_LONG_ZIGZAG[np.uint64(k)]] = _value_behind(buffer, length, size)
            buffer, held = buffer << np.uint64(length + size), held - length - size
            k += 1
        if 32 * np.int64(at) - held > 8 * starts[part + 1]:
            if not mcu:
                return TOO_SHORT, i, begin, begin
            if (i + 1) % mcu == 0:
                return status or TOO_SHORT, i + 1, begin, 32 * np.int64(at) - held
    return status, order.shape[0], begin, 32 * np.int64(at) - held


@njit(cache=True)
def decode_dc(words, starts, order, layout, interval, mcu, high, low, lookups, shorts, blocks):
    """A progressive DC scan (T.81 G.1.2.1), first (`high` = 0) or refining; as `decode_sequential`."""
    previous = np.zeros(layout.shape[0], np.int64)
    part, status, begin = 0, OK, np.int64(0)
    bit, last = np.int64(0), 8 * np.int64(starts[1])
    for i in range(order.shape[0]):
        if interval and i and i % interval == 0:
            part += 1
            bit, last = 8 * np.int64(starts[part]), 8 * np.int64(starts[part + 1])
            previous[:] = 0
        if mcu and i % mcu == 0:
            begin = bit
        index, c = order[i]
        window = _peek(words, bit)
        if high:
            blocks[index, 0] |= (window >> 31) << low
            bit += 1
        else:
            entry = _next_entry(lookups, shorts, layout[c, DC], window)
            length, size = entry >> 8, entry & 255
            if length == NO_CODE or size > 15:
                if not mcu:
                    return BAD_CODE, i, begin, bit
                status = _fault(status, BAD_CODE, bit + length, last)
            if size:
                previous[c] += _extend((window >> (32 - length - size)) & ((1 << size) - 1), size)
            bit += length + size
            blocks[index, 0] = previous[c] << low
        if bit > last:
            if not mcu:
                return TOO_SHORT, i, begin, bit
            if (i + 1) % mcu == 0:
                return status or TOO_SHORT, i + 1, begin, bit
    return status, order.shape[0], begin, bit


@njit(cache=True)
def decode_ac_first(words, starts, order, layout, interval, mcu, start, end, low, lookups, shorts, blocks):
    """The first scan of a band of AC coefficients (T.81 G.1.2.2); as `decode_sequential`."""
    table = 4 + layout[0, AC]
    part, ended, status, begin = 0, 0, OK, np.int64(0)
    bit, last = np.int64(0), 8 * np.int64(starts[1])
    for i in range(order.shape[0]):
        if interval and i and i % interval == 0:
            part += 1
            bit, last = 8 * np.int64(starts[part]), 8 * np.int64(starts[part + 1])
            ended = 0
        if ended:
            ended -= 1
            continue
        begin = bit
        block = blocks[order[i, 0]]
        k = start
        while k <= end:
            window = _peek(words, bit)
            entry = _next_entry(lookups, shorts, table, window)
            length, run, size = entry >> 8, (entry >> 4) & 15, entry & 15
            if length == NO_CODE:
                if not mcu:
                    return BAD_CODE, i, begin, bit
                status = _fault(status, BAD_CODE, bit + length, last)
            if size == 0 and run < 15:
                ended = (1 << run) - 1 + ((window >> (32 - length - run)) & ((1 << run) - 1))
                bit += length + run
                break
            bit += length + size
            k += run
            if size:
                if k > end:
                    if not mcu:
                        return BAD_RUN, i, begin, bit
                    status = _fault(status, BAD_RUN, bit, last)
                block[_LONG_ZIGZAG[k]] = _extend((window >> (32 - length - size)) & ((1 << size) - 1), size) << low
            k += 1
        if bit > last:
            if not mcu:
                return TOO_SHORT, i, begin, bit
            if (i + 1) % mcu == 0:
                return status or TOO_SHORT, i + 1, begin, bit
    return status, order.shape[0], begin, bit


@njit(cache=True)
def decode_ac_refine(words, starts, order, layout, interval, mcu, start, end, low, lookups, shorts, blocks):
    """A scan that adds bit `low` to a band of AC coefficients (T.81 G.1.2.3); as `decode_sequential`."""
    table = 4 + layout[0, AC]
    one = 1 << low
    part, ended, status, begin = 0, 0, OK, np.int64(0)
    bit, last = np.int64(0), 8 * np.int64(starts[1])
    for i in range(order.shape[0]):
        if interval and i and i % interval == 0:
            part += 1
            bit, last = 8 * np.int64(starts[part]), 8 * np.int64(starts[part + 1])
            ended = 0
        begin = bit
        block = blocks[order[i, 0]]
        k = start
        while ended == 0 and k <= end:
            window = _peek(words, bit)
            entry = _next_entry(lookups, shorts, table, window)
            length, run, size = entry >> 8, (entry >> 4) & 15, entry & 15
            if length == NO_CODE or size > 1:
                if not mcu:
                    return BAD_CODE, i, begin, bit
                status = _fault(status, BAD_CODE, bit + length, last)
            bit += length
            value = 0
            if size:
                value = one if (window >> (31 - length)) & 1 else -one
                bit += 1
            elif run < 15:
                ended = (1 << run) + ((window >> (32 - length - run)) & ((1 << run) - 1))
                bit += run
                break
            # Pass `run` coefficients that stay zero, correcting all others on the way.
            while k <= end:
                position = ZIGZAG[k]
                if block[position]:
                    if _peek(words, bit) >> 31 and not block[position] & one:
                        block[position] += one if block[position] > 0 else -one
                    bit += 1
                elif run == 0:
                    break
                else:
                    run -= 1
                k += 1
            if value:
                if k > end:
                    if not mcu:
                        return BAD_RUN, i, begin, bit
                    status = _fault(status, BAD_RUN, bit, last)
                block[_LONG_ZIGZAG[k]] = value
            k += 1
        if ended:
            while k <= end:
                position = ZIGZAG[k]
                if block[position]:
                    if _peek(words, bit) >> 31 and not block[position] & one:
                        block[position] += one if block[position] > 0 else -one
                    bit += 1
                k += 1
            ended -= 1
        if bit > last:
            if not mcu:
                return TOO_SHORT, i, begin, bit
            if (i + 1) % mcu == 0:
                return status or TOO_SHORT, i + 1, begin, bit
    return status, order.shape[0], begin, bit
