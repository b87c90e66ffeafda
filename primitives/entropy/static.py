"""Entropy coding with static tables: the lower rungs of the ladder.

Four stages code the same thing, a tuple of integer planes, ever closer to its order-0 entropy:

===============  ====================================  =====================================================
stage            a symbol costs                        loses
===============  ====================================  =====================================================
`UniformCoded`   the bits of its class's whole range   everything that is known of the symbols' frequencies
`HuffmanCoded`   a whole number of bits, at least 1    up to one bit a symbol, most where one is nearly certain
`RangeCoded`     -log2 of its frequency                almost nothing; first in, first out
`AnsCoded`       -log2 of its frequency                almost nothing; last in, first out
===============  ====================================  =====================================================

**Classes.** Coefficients with the same sum of indices (the same diagonal of a DCT block, the same channel of a latent)
in one plane form a class: they share a table. Class by class, the symbols are coded in order of position.

**Tokens.** Tables for values up to 2^31 would be larger than pictures. The sign is folded into the lowest bit (0, -1,
1, -2 … become 0, 1, 2, 3 …), numbers below 32 are their own token, and larger ones share a token with all numbers of
the same two leading bits; what is below these bits follows as it is, since it is nearly uniform. There are 86 tokens.

**Tables** travel in the payload: code lengths, or frequencies of 7 to 12 bits, by the size of the class
(`table_bits`). The frequencies are expanded to the 24 bits of the coders and handed to `constriction` as exact integers
(`StaticModel.for_constriction`), so that every machine decodes with the same intervals. `range_coder` and `ans` show
how the coders work, and read the same words.

None of this looks at neighbours: `ContextCoded` (in `context`) does.

Payload: the picture's header, then tables, tokens (each behind its length), and the tokens' extra bits.
"""

from dataclasses import dataclass

import constriction
import numpy as np

from ..anatomy import Anatomy, Dissector
from ..bitstream import BitReader, BitWriter, ByteReader, ByteWriter
from ..errors import StreamError
from ..picture import MAX_PIXELS, HeaderStage, Picture, dissect_header, pack_header, unpack_header
from . import huffman
from .bits import pack_bits, unpack_bits
from .layout import diagonals, frequency_order, from_scan, to_scan
from .models import StaticModel, quantize_counts
from .tables import read_frequencies, write_frequencies

#: Folded values below are tokens of their own.
DIRECT = 32

#: Number of tokens.
TOKENS = DIRECT + 2 * 27


def table_bits(size: int) -> int:
    """Frequencies in the table of a class of `size` symbols add up to 2 to this power.

    A table that is finer than the counts are certain costs more than it saves: half the bits of the count are enough.

    >>> table_bits(10), table_bits(6144), table_bits(10**6)
    (7, 10, 12)
    """
    return min(max(size.bit_length() // 2 + 4, 7), 12)  # 2^7 for 86 tokens at least


def tokenize(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split values of 32 bits into tokens and extra bits: (tokens, extra, widths), int64 arrays [N].

    >>> tokenize(np.array([0, -1, 16, 1000]))
    (array([ 0,  1, 32, 43]), array([  0,   0,   0, 464]), array([0, 0, 4, 9]))
    """
    values = np.asarray(values, np.int64)
    folded = np.where(values < 0, -2 * values - 1, 2 * values)
    exponent = np.frexp(folded.astype(np.float64))[1] - 1  # of the leading bit; float64 holds 32 bits exactly
    large = folded >= DIRECT
    widths = np.where(large, exponent - 1, 0).astype(np.int64)
    leading = folded >> widths  # 2 or 3 where large
    tokens = np.where(large, DIRECT + 2 * (widths - 4) + (leading - 2), folded)
    return tokens, np.where(large, folded - (leading << widths), 0), widths


def extra_widths(tokens: np.ndarray) -> np.ndarray:
    """The number of extra bits behind each token: int64 [N].

    >>> extra_widths(np.array([0, 1, 32, 43]))
    array([0, 0, 4, 9])
    """
    tokens = np.asarray(tokens, np.int64)
    return np.where(tokens < DIRECT, 0, (tokens - DIRECT >> 1) + 4)


def untokenize(tokens: np.ndarray, extra: np.ndarray) -> np.ndarray:
    """The inverse of `tokenize`: int32 values [N].

    >>> untokenize(np.array([0, 1, 32, 43]), np.array([0, 0, 0, 464])).tolist()
    [0, -1, 16, 1000]
    """
    tokens = np.asarray(tokens, np.int64)
    leading = 2 + (tokens & 1)
    folded = np.where(tokens < DIRECT, tokens, (leading << extra_widths(tokens)) + extra)
    return np.where(folded & 1, -(folded >> 1) - 1, folded >> 1).astype(np.int32)


class _StaticCoded:
    """What the static coders share: planes to classes of values, values to tokens, and the payload's sections.

    Subclasses define ``_encode(classes, tables)``, which writes a table a class to a `BitWriter` and returns the tokens
    of all classes as bytes, and its inverse ``_decode(data, tables, sizes)``.
    """

    def forward(self, picture: Picture) -> bytes:
        """Return the payload, which begins with the picture's header."""
        classes = [values for plane in picture.planes for values in _split(to_scan(plane), plane.shape)]
        sections = [tokenize(values) for values in classes]
        tables = BitWriter()
        tokens = self._encode([section[0] for section in sections], tables)
        out = ByteWriter()
        out.raw(pack_header(picture))
        out.block(tables.getvalue())
        out.block(tokens)
        out.raw(pack_bits(*(np.concatenate([section[i] for section in sections]) for i in (1, 2))))
        return out.getvalue()

    def inverse(self, payload: bytes, max_pixels: int = MAX_PIXELS) -> Picture:
        """Return the picture that `payload` holds.

        Raises:
            StreamError: the payload is cut or damaged, or holds more than `max_pixels`.
        """
        reader = ByteReader(payload)
        header, shapes = unpack_header(reader, max_pixels)
        sizes = [size for shape in shapes for size in _class_sizes(shape)]
        tables, tokens = BitReader(reader.block()), reader.block()
        tokens = np.concatenate(self._decode(tokens, tables, sizes))
        values = untokenize(tokens, unpack_bits(reader.rest(), extra_widths(tokens)))
        classes = iter(np.split(values, np.cumsum(sizes)[:-1]))
        planes = tuple(_join([next(classes) for _ in _class_sizes(shape)], shape) for shape in shapes)
        return header.replace(planes=planes)

    def anatomy(self, picture: Picture, payload: bytes) -> Anatomy:
        """Header, tables, tokens and extra bits; what every symbol took."""
        found = Dissector(payload)
        dissect_header(found)
        found.group = "tables"
        found.take(found.varint("length in bytes"), f"the {_THEIR_TABLES[type(self).__name__]} of all classes")
        found.group = "symbols"
        found.take(found.varint("length in bytes"), "tokens of all classes", role="quantize")
        found.rest("extra bits of large symbols", role="quantize")
        return Anatomy(tuple(found.parts), _class_costs(picture.planes, self._costs))

    def _costs(self, values):
        """The bits of each value of a class."""
        tokens, _, widths = tokenize(values)
        return self._token_bits(np.bincount(tokens, minlength=TOKENS), tokens.size)[tokens] + widths


_THEIR_TABLES = {"HuffmanCoded": "code lengths", "RangeCoded": "frequencies", "AnsCoded": "frequencies"}


def _class_costs(planes, costs_of):
    """Costs of all symbols, float64 in the shapes of the planes; `costs_of` takes the values of one class."""
    found = []
    for plane in planes:
        scan = to_scan(plane)
        shape = (*scan.shape[:2], scan.shape[2])
        positions = shape[0] * shape[1]
        classes = [costs_of(values).reshape(positions, -1) for values in _split(scan, plane.shape)]
        costs = np.empty(shape)
        costs[:, :, frequency_order(plane.shape[2:])] = np.concatenate(classes, axis=1).reshape(shape)
        found.append(costs.reshape(plane.shape))
    return tuple(found)


def _split(scan, shape):
    """The values of each class of a plane in scan order."""
    rows, columns, n = scan.shape
    by_coefficient = scan.reshape(rows * columns, n)
    starts = np.flatnonzero(np.diff(diagonals(shape[2:]), prepend=-1))
    return [part.ravel() for part in np.split(by_coefficient, starts[1:], axis=1)]


def _class_sizes(shape):
    return (shape[0] * shape[1] * np.bincount(diagonals(shape[2:]))).tolist()


def _join(classes, shape):
    """The inverse of `_split`: a plane."""
    positions = shape[0] * shape[1]
    scan = np.concatenate([values.reshape(positions, -1) for values in classes], axis=1)
    return from_scan(scan.reshape(*shape[:2], -1), shape)


@dataclass(frozen=True)
class HuffmanCoded(_StaticCoded, HeaderStage):
    """Canonical Huffman codes of at most 16 bits, one a class (see `huffman`).

    A zero takes a bit, however likely it is. JPEG avoids that by coding runs of zeros and ends of blocks as symbols.

    >>> plane = np.array([[0, 0, 1], [0, -70000, 0]])
    >>> payload = HuffmanCoded().forward(Picture((plane,), size=(2, 3)))
    >>> HuffmanCoded().inverse(payload).planes[0].tolist()
    [[0, 0, 1], [0, -70000, 0]]
    """

    def _encode(self, classes, tables):
        codes, widths = [], []
        for tokens in classes:
            lengths = huffman.code_lengths(np.bincount(tokens, minlength=TOKENS))
            huffman.pack_lengths(tables, lengths)
            codes.append(huffman.canonical_codes(lengths)[tokens])
            widths.append(lengths[tokens])
        return pack_bits(np.concatenate(codes), np.concatenate(widths))

    def _token_bits(self, counts, size):
        return huffman.code_lengths(counts).astype(np.float64)

    def _decode(self, data, tables, sizes):
        classes, position = [], 0
        for size in sizes:
            tokens, position = huffman.decode(data, huffman.unpack_lengths(tables, TOKENS), size, position)
            classes.append(tokens)
        return classes


class _ModelCoded(_StaticCoded):
    """What range coding and ANS share: the frequencies, and words of 32 bits.

    A class in which only one token occurs takes no words.
    """

    def _encode(self, classes, tables):
        parts = []
        for tokens in classes:
            frequencies = quantize_counts(np.bincount(tokens, minlength=TOKENS), table_bits(tokens.size))
            write_frequencies(tables, frequencies)
            used = np.flatnonzero(frequencies)
            if used.size > 1:
                ranks = np.searchsorted(used, tokens).astype(np.int32)
                parts.append((ranks, StaticModel.expanded(frequencies[used]).for_constriction()))
        return self._encode_words(parts).astype("<u4").tobytes()

    def _token_bits(self, counts, size):
        frequencies = quantize_counts(counts, table_bits(size))
        return table_bits(size) - np.log2(np.maximum(frequencies, 1))

    def _decode(self, data, tables, sizes):
        if len(data) % 4:
            raise StreamError("the coded tokens are no whole number of 32-bit words")
        try:
            decoder = self._decoder(np.frombuffer(data, "<u4").astype(np.uint32))
            classes = []
            for size in sizes:
                frequencies = read_frequencies(tables, table_bits(size), TOKENS)
                used = np.flatnonzero(frequencies)
                if used.size > 1:
                    model = StaticModel.expanded(frequencies[used]).for_constriction()
                    classes.append(used[decoder.decode(model, size)])
                else:
                    classes.append(np.repeat(used, size))
        except (AssertionError, ValueError) as error:  # constriction's ways to say that words are impossible
            raise StreamError(f"the coded tokens are damaged: {error}") from error
        if not self._is_exhausted(decoder):
            raise StreamError("the coded tokens are damaged: there is more than the picture needs")
        return classes


@dataclass(frozen=True)
class RangeCoded(_ModelCoded, HeaderStage):
    """Static frequencies, one table a class, and a range coder.

    >>> plane = np.array([[0, 0, 1], [0, -70000, 0]])
    >>> payload = RangeCoded().forward(Picture((plane,), size=(2, 3)))
    >>> RangeCoded().inverse(payload).planes[0].tolist()
    [[0, 0, 1], [0, -70000, 0]]
    """

    def _encode_words(self, parts):
        encoder = constriction.stream.queue.RangeEncoder()
        for symbols, model in parts:
            encoder.encode(symbols, model)
        return encoder.get_compressed()

    def _decoder(self, words):
        return constriction.stream.queue.RangeDecoder(words)

    def _is_exhausted(self, decoder):
        return decoder.maybe_exhausted()


@dataclass(frozen=True)
class AnsCoded(_ModelCoded, HeaderStage):
    """Static frequencies, one table a class, and an rANS coder.

    What an ANS coder decodes first was encoded last, so the classes and their symbols are encoded backwards.

    >>> plane = np.array([[0, 0, 1], [0, -70000, 0]])
    >>> payload = AnsCoded().forward(Picture((plane,), size=(2, 3)))
    >>> AnsCoded().inverse(payload).planes[0].tolist()
    [[0, 0, 1], [0, -70000, 0]]
    """

    def _encode_words(self, parts):
        coder = constriction.stream.stack.AnsCoder()
        for symbols, model in reversed(parts):
            coder.encode_reverse(symbols, model)
        return coder.get_compressed()

    def _decoder(self, words):
        return constriction.stream.stack.AnsCoder(words)

    def _is_exhausted(self, decoder):
        return decoder.is_empty()


@dataclass(frozen=True)
class UniformCoded(HeaderStage):
    """Fixed-length codes: every value of a class takes the bits that tell the class's smallest value from its largest.

    With K different values between them that is log2 K bits, rounded up. Payload: the picture's header, the smallest
    value and the width of every class, and the values less the smallest.

    >>> plane = np.array([[0, 0, 1], [0, 5, 0]])
    >>> payload = UniformCoded().forward(Picture((plane,), size=(2, 3)))
    >>> UniformCoded().inverse(payload).planes[0].tolist()
    [[0, 0, 1], [0, 5, 0]]
    """

    def forward(self, picture: Picture) -> bytes:
        """Return the payload, which begins with the picture's header."""
        classes = [values for plane in picture.planes for values in _split(to_scan(plane), plane.shape)]
        classes = [values.astype(np.int64) for values in classes]
        out = ByteWriter()
        out.raw(pack_header(picture))
        widths = []
        for values in classes:
            smallest = int(values.min())
            widths.append((int(values.max()) - smallest).bit_length())
            out.varint(-2 * smallest - 1 if smallest < 0 else 2 * smallest)
            out.byte(widths[-1])
        distances = np.concatenate([values - values.min() for values in classes])
        out.raw(pack_bits(distances, np.repeat(widths, [values.size for values in classes])))
        return out.getvalue()

    def anatomy(self, picture: Picture, payload: bytes) -> Anatomy:
        """Header, ranges and distances; what every symbol took."""
        found = Dissector(payload)
        shapes = dissect_header(found)
        found.group = "ranges of the classes"
        for index, shape in enumerate(shapes):
            for number in range(len(_class_sizes(shape))):
                name = f"plane {index}, class {number}"
                found.varint(f"{name}: smallest", value=lambda n: str(-(n >> 1) - 1 if n & 1 else n >> 1))
                found.number(1, f"{name}: width", value=lambda n: f"{n} bits a symbol")
        found.group = "symbols"
        found.rest("distances from the smallest", role="quantize")

        def costs(values):
            return np.full(values.size, float((int(values.max()) - int(values.min())).bit_length()))

        return Anatomy(tuple(found.parts), _class_costs(picture.planes, costs))

    def inverse(self, payload: bytes, max_pixels: int = MAX_PIXELS) -> Picture:
        """Return the picture that `payload` holds.

        Raises:
            StreamError: the payload is cut or damaged, or holds more than `max_pixels`.
        """
        reader = ByteReader(payload)
        header, shapes = unpack_header(reader, max_pixels)
        sizes = [size for shape in shapes for size in _class_sizes(shape)]
        smallest, widths = [], []
        for _ in sizes:
            folded = reader.varint()
            smallest.append(-(folded >> 1) - 1 if folded & 1 else folded >> 1)
            widths.append(reader.byte())
        if max(widths) > 32 or not -(1 << 31) <= min(smallest) <= max(smallest) < 1 << 31:
            raise StreamError("a class of coefficients has values of more than 32 bits")
        values = unpack_bits(reader.rest(), np.repeat(widths, sizes)) + np.repeat(smallest, sizes)
        if values.max() >= 1 << 31:
            raise StreamError("a coefficient has more than 32 bits")
        classes = iter(np.split(values.astype(np.int32), np.cumsum(sizes)[:-1]))
        planes = tuple(_join([next(classes) for _ in _class_sizes(shape)], shape) for shape in shapes)
        return header.replace(planes=planes)
