"""The QM coder: the adaptive binary arithmetic coder of JPEG and JBIG (ITU-T T.81 Annex D).

Every decision belongs to a *bin*, which knows the more probable symbol (MPS, 0 or 1) and a state. A state is a row of a
fixed table: Qe, the probability of the less probable symbol (LPS), and the states that follow an LPS and an MPS. So a
bin learns by walking through the table, and nothing is counted. The table has a fast start (states 0 to 13 and 14 to
35: few decisions take a bin from one half to a small probability) and a slow part with finer steps; an LPS in a state
near one half also exchanges the MPS.

**Without multiplications.** The interval has a length A, kept between 0.75 and 1.5 (0x8000 and 0x10000 as integers), so
A · Qe is about Qe. The LPS takes the upper part of length Qe, the MPS the lower part of length A - Qe::

    C                    C + A - Qe          C + A
    ├──────── MPS ───────────┼────── LPS ──────┤

Where the approximation would give the LPS the longer part, the two change places ("conditional exchange"). When A falls
below 0x8000, it is doubled until it is not, and only then does the bin take its next state.

**Bytes.** The encoder's C holds the interval's lower end; a byte leaves at its top whenever eight bits were shifted. A
carry is added to the bytes already written, which are kept without stuffing for that reason (JPEG's zero bytes behind
0xFF are the caller's). The decoder's C is the stream's number less the encoder's C, with the following bits below.

**The end.** `finish` takes the number in the interval with the most trailing zeros, and zero bytes at the end are not
written at all: behind the end, a decoder reads zeros (D.1.8). So no decoder can tell by the data that they were cut.

Bins are bytes, MPS · 128 + state, in an array that begins with zeros. A bin that holds `FIXED` stays at one half.

A coder is a tuple of five integers, which compiled code keeps in registers; functions return the next one: C, A, the
position in the data, a count of bits, and the end of the data. The count is, in an encoder, that of shifts until a byte
leaves; in a decoder, that of the bits of C below those that A is compared with.

Source: ITU-T T.81 Annex D; Table D.3 is the same as Table 24 of ITU-T T.82 (JBIG). State 113 is the fixed estimate of
F.1.4.4.2. W. B. Pennebaker et al., "An overview of the basic principles of the Q-Coder adaptive binary arithmetic
coder", IBM Journal of Research and Development 32, 1988.

>>> decisions = [0, 0, 1, 0, 0, 0, 0, 0, 0, 0] * 100
>>> data = encode(decisions)
>>> len(data), decode(data, 1000) == decisions
(63, True)
"""

import numpy as np

from ..compiled import njit

#: Decorator of compiled functions that are handed arrays and make none (see `mixing.leaf`): counting references would
#: take longer than coding. They go into their callers whole.
leaf = njit(cache=True, forceinline=True, _nrt=False)

#: Where a coder's position in its data stands.
POSITION = 2

# Table D.3 row by row: Qe, the next state after an LPS (with a minus where it exchanges the MPS) and after an MPS.
_TABLE = """
5a1d  -1   1   2586  14   2   1114  16   3   080b  18   4   03d8  20   5   01da  23   6   00e5  25   7   006f  28   8
0036  30   9   001a  33  10   000d  35  11   0006   9  12   0003  10  13   0001  12  13   5a7f -15  15   3f25  36  16
2cf2  38  17   207c  39  18   17b9  40  19   1182  42  20   0cef  43  21   09a1  45  22   072f  46  23   055c  48  24
0406  49  25   0303  51  26   0240  52  27   01b1  54  28   0144  56  29   00f5  57  30   00b7  59  31   008a  60  32
0068  62  33   004e  63  34   003b  32  35   002c  33   9   5ae1 -37  37   484c  64  38   3a0d  65  39   2ef1  67  40
261f  68  41   1f33  69  42   19a8  70  43   1518  72  44   1177  73  45   0e74  74  46   0bfb  75  47   09f8  77  48
0861  78  49   0706  79  50   05cd  48  51   04de  50  52   040f  50  53   0363  51  54   02d4  52  55   025c  53  56
01f8  54  57   01a4  55  58   0160  56  59   0125  57  60   00f6  58  61   00cb  59  62   00ab  61  63   008f  61  32
5b12 -65  65   4d04  80  66   412c  81  67   37d8  82  68   2fe8  83  69   293c  84  70   2379  86  71   1edf  87  72
1aa9  87  73   174e  72  74   1424  72  75   119c  74  76   0f6b  74  77   0d51  75  78   0bb6  77  79   0a40  77  48
5832 -80  81   4d1c  88  82   438e  89  83   3bdd  90  84   34ee  91  85   2eae  92  86   299a  93  87   2516  86  71
5570 -88  89   4ca9  95  90   44d9  96  91   3e22  97  92   3824  99  93   32b4  99  94   2e17  93  86   56a8 -95  96
4f46 101  97   47e5 102  98   41cf 103  99   3c3d 104 100   375e  99  93   5231 105 102   4c0f 106 103   4639 107 104
415e 103  99   5627 -105 106  50e7 108 107   4b85 109 103   5597 110 109   504f 111 107   5a10 -110 111  5522 112 109
59eb -112 111  5a1d 113 113
"""

#: What a bin holds that is always at one half.
FIXED = 113

# By what a bin holds: Qe, and what it holds after an MPS and after an LPS.
_QE, _AFTER_MPS, _AFTER_LPS = np.zeros(256, np.int64), np.zeros(256, np.uint8), np.zeros(256, np.uint8)
_words = _TABLE.split()
for _state in range(FIXED + 1):
    _qe, _lps, _mps = _words[3 * _state : 3 * _state + 3]
    for _symbol in 0, 128:
        _QE[_symbol + _state] = int(_qe, 16)
        _AFTER_MPS[_symbol + _state] = _symbol + int(_mps)
        _AFTER_LPS[_symbol + _state] = (_symbol ^ (128 if _lps.startswith("-") else 0)) + abs(int(_lps))

# How far A is shifted after it became Qe.
_SHIFT = np.array([16 - int(_qe).bit_length() for _qe in _QE], np.int64)


@leaf
def new_encoder(position):
    """An encoder that writes from a position on."""
    return np.int64(0), np.int64(1 << 16), np.int64(position), np.int64(11), np.int64(0)


@leaf
def new_decoder(data, position, end):
    """A decoder of ``data[position:end]`` (uint8)."""
    code, position, held = _refilled(data, np.int64(0), np.int64(position), np.int64(-16), end)
    code, position, held = _refilled(data, code, position, held, end)
    return code, np.int64(1 << 16), position, held, np.int64(end)


@leaf
def _refilled(data, code, position, held, end):
    """24 bits more; zeros behind the end."""
    for i in range(position, position + 3):
        code = code << 8 | (np.int64(data[i]) if i < end else np.int64(0))
    return code, position + 3, held + 24


@njit(cache=True, _nrt=False)
def _put_byte(data, low, position):
    """Write the byte at the top of C, with its carry."""
    if low >> 27:  # the first byte of a stream never sees a carry, as the whole interval is below 1
        before = position - 1
        while data[before] == 255:
            data[before] = 0
            before -= 1
        data[before] += 1
    data[position] = low >> 19 & 255


@leaf
def encode_bit(coder, data, bins, bin, bit):
    """Write a decision; returns the coder. `data` has room for two bytes more."""
    low, a, position, count, end = coder
    held = bins[np.uint64(bin)]
    qe = _QE[held]
    a -= qe
    if bit == held >> 7:
        if a >= 0x8000:
            return low, a, position, count, end
        is_upper = a < qe
        bins[np.uint64(bin)] = _AFTER_MPS[held]
    else:
        is_upper = a >= qe
        bins[np.uint64(bin)] = _AFTER_LPS[held]
    shift = np.int64(1 if a >= 0x4000 else 2)
    if is_upper:
        low += a
        a = qe
        shift = _SHIFT[held]
    a <<= shift
    while shift >= count:
        low <<= count
        _put_byte(data, low, position)
        low &= 0x7FFFF
        position += 1
        shift -= count
        count = np.int64(8)
    return low << shift, a, position, count - shift, end


@leaf
def decode_bit(coder, data, bins, bin):
    """Read a decision, the inverse of `encode_bit`: the decision and the coder."""
    code, a, position, below, end = coder
    held = bins[np.uint64(bin)]
    qe = _QE[held]
    a -= qe
    bound = a << below
    if code < bound:
        if a >= 0x8000:
            return np.int64(held >> 7), (code, a, position, below, end)
        is_probable = a >= qe
        shift = np.int64(1 if a >= 0x4000 else 2)
    else:
        code -= bound
        is_probable = a < qe
        a = qe
        shift = _SHIFT[held]
    a <<= shift
    below -= shift
    if below < 16:  # a decision shifts by 15 at most
        code, position, below = _refilled(data, code, position, below, end)
    symbol = np.int64(held >> 7)
    if is_probable:
        bins[np.uint64(bin)] = _AFTER_MPS[held]
    else:
        bins[np.uint64(bin)] = _AFTER_LPS[held]
        symbol ^= 1
    return symbol, (code, a, position, below, end)


@leaf
def code_bit(coder, data, bins, bin, bit, decoding):
    """`decode_bit` or `encode_bit`, so that one model serves both directions: the decision and the coder."""
    if decoding:
        return decode_bit(coder, data, bins, bin)
    return np.int64(bit), encode_bit(coder, data, bins, bin, bit)


@leaf
def bits_so_far(coder):
    """The information that an encoder has taken in, in bits, fractions included: all shifts, less the interval's."""
    return 8 * coder[POSITION] + 27 - coder[3] - np.log2(coder[1])


@njit(cache=True)
def finish(coder, data, start):
    """End the encoder's stream that began at `start`; returns where its bytes end in `data`."""
    low, a, position, count, _ = coder
    top = (low + a - 1) & ~np.int64(0xFFFF)
    low = (top if top >= low else top + 0x8000) << count
    for _ in range(2):
        _put_byte(data, low, position)
        low = (low & 0x7FFFF) << 8
        position += 1
    while position > start and data[position - 1] == 0:
        position -= 1
    return position


@njit(cache=True)
def _code(data, bins, decisions, contexts, decoding):
    coder = new_decoder(data, 0, data.size) if decoding else new_encoder(0)
    for i in range(decisions.size):
        decisions[i], coder = code_bit(coder, data, bins, contexts[i], decisions[i], decoding)
    return 0 if decoding else finish(coder, data, 0)


def encode(decisions, bins=None) -> bytes:
    """The bytes of some decisions (0 or 1), each in its bin (0 … 255), or all in one.

    >>> encode([1, 0, 1], bins=[0, 7, 0]).hex()
    'c0'
    """
    decisions = np.array(decisions, np.int64)
    contexts = np.zeros(len(decisions), np.int64) if bins is None else np.asarray(bins, np.int64)
    data = np.empty(2 * len(decisions) + 2, np.uint8)
    return data[: _code(data, np.zeros(256, np.uint8), decisions, contexts, False)].tobytes()


def decode(data: bytes, count: int, bins=None) -> list[int]:
    """`count` decisions from the bytes that `encode` made of them.

    >>> decode(encode([1, 0, 1], bins=[0, 7, 0]), 3, bins=[0, 7, 0])
    [1, 0, 1]
    """
    decisions = np.zeros(count, np.int64)
    contexts = np.zeros(count, np.int64) if bins is None else np.asarray(bins, np.int64)
    _code(np.frombuffer(data, np.uint8).copy(), np.zeros(256, np.uint8), decisions, contexts, True)
    return decisions.tolist()
