"""Coding the indices of tokens: a ladder of entropy coders, each of which knows more than the one before.

A tokenizer gives every position of a grid one index (a code word of a vector quantizer) or a few (the *dimensions* of a
scalar, product or residual quantizer). Papers count log2 K bits for an index out of K. That is the lowest rung:

====================  ==============================================================================================
stage                 knows of an index
====================  ==============================================================================================
`FixedIndices`        K: ⌈log2 K⌉ bits each
`StaticIndices`       how often each value occurs (order 0); the table is sent first
`AdaptiveIndices`     the same, learned on the way: no table
`MixedIndices`        what stands to the left, above and diagonally, and the dimensions of the token coded before
`NetworkIndices`      the same, and what a causal network learned from many pictures (`causal`; for one tokenizer)
====================  ==============================================================================================

All are exact in both directions on every machine (integers throughout).

**Order.** Dimension by dimension (a *layer* each), each row by row. So all dimensions before it are known of every
position when a layer is coded. With `progressive`, each layer is ended on its own and its length stands in the header:
then a prefix of the data holds the first layers whole (`inverse` with ``partial=True``), which for residual quantizers
are the coarse approximation.

**Decisions.** The adaptive coders turn an index into bits, top bit first, each with the bits before it as part of its
context: a walk down a binary tree with K leaves. A branch that has no leaf below K costs nothing.

**Contexts** of `MixedIndices`, each with the dimension and the node of the tree: alone, left, above, left_above,
before, two_before, before_left, diagonals (`Contexts` says what they are). Each has a table of counters that is
addressed by a hash. Three mixers, with weights chosen by the node's depth and the dimension, by the node's depth and
which neighbours agree, and by how often three of the contexts have been seen (the third counts twice: a context that is
new knows nothing), give the probability (`mixing`), which drives the binary coder (`binary_coder`).

Payload: H and W of the picture, rows, columns and number of dimensions D (varints); a byte of flags (1: progressive, 2:
one vocabulary size for all dimensions); the vocabulary sizes (varints); if progressive the lengths of all layers but
the last (varints); the layers.

Sources: M. Mahoney, "Data Compression Explained", section 4.3; F. Mentzer et al., "Finite Scalar Quantization", 2023,
for products of small alphabets; N. Zeghidour et al., "SoundStream", 2021, for residual layers as a progressive code.
"""

import itertools
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import constriction
import numpy as np

from ..anatomy import Anatomy, Dissector
from ..bitstream import BitReader, BitWriter, ByteReader, ByteWriter
from ..compiled import njit
from ..errors import StreamError
from ..picture import MAX_PIXELS, check_size
from ..stage import Stage
from ..token_grid import Tokens
from .binary_coder import POSITION, code_bit, finish, is_complete, is_overrun, new_decoder, new_encoder, with_room
from .bits import pack_bits, unpack_bits
from .mixing import COUNT_MASK, COUNTER_LIMIT, counter_update, leaf, new_model, predictor
from .models import StaticModel, quantize_counts
from .tables import read_frequencies, write_frequencies

#: The largest vocabulary.
MAX_SIZE = 1 << 20

#: Contexts that `MixedIndices` mixes.
INPUTS = 8

#: A decoder accepts one index for so many pixels that it would accept: an adaptive code can promise millions in a byte.
_PIXELS = 16

_PROGRESSIVE, _ONE_SIZE = 1, 2
_FIRST_WEIGHT = 7000
_DEPTHS = 21
_DIMENSIONS = 16  # dimensions from here on share mixing weights

# Sets of weights: the first mixer's by dimension and depth, the second one's by agreement and depth, the third one's by
# trust.
_AGREEMENT = _DIMENSIONS * _DEPTHS
_TRUST = _AGREEMENT + 8 * _DEPTHS

#: Contexts whose counts choose mixing weights: left, the dimension before, both. Counts are 0, 1 … 2, 3 … 9, and more.
TRUSTED = (1, 4, 6)
_SEEN = np.searchsorted([1, 3, 10], np.arange(COUNTER_LIMIT + 1), side="right")

#: Sets of weights by the counts of these contexts.
TRUST_SETS = 4 ** len(TRUSTED)


class IndexCoded(Stage):
    """What the rungs share: `Tokens` of integers [N] or [N,D] to a payload and back.

    Fields of all: `vocabulary`, the number of values of an index, an int, or a tuple with one for each dimension; None
    for one more than the largest that occurs. `progressive`, whether a prefix of the data decodes.
    """

    unwritten: ClassVar[tuple[str, ...]] = ("vocabulary", "progressive")  # both travel with the indices

    def known_sizes(self, dimensions: int) -> tuple[int, ...]:
        """The vocabulary sizes of so many dimensions, for stages that have a fixed vocabulary; they do not travel.

        Raises:
            StreamError: there are fewer dimensions.
        """
        return ()

    def forward(self, tokens: Tokens) -> bytes:
        """Return the payload.

        Raises:
            ValueError: the tokens are no integers from 0 up below the size of the vocabulary.
        """
        values = np.asarray(tokens.features)
        if values.dtype.kind not in "iu":
            raise ValueError(f"indices are integers, not {values.dtype}; quantize first")
        values = values.reshape(len(values), -1)
        known = self.known_sizes(values.shape[1])
        sizes = known or _sizes(self.vocabulary, values)
        if values.min() < 0 or np.any(values.max(0) >= sizes):
            raise ValueError(f"indices lie in 0 … {max(sizes) - 1}; found {int(values.min())} … {int(values.max())}")
        layers = self._encode(np.ascontiguousarray(values, np.int32), sizes, tokens.grid)
        out = ByteWriter()
        one = len(set(sizes)) == 1 and not known
        for number in (*tokens.size, *tokens.grid, len(sizes)):
            out.varint(int(number))
        out.byte((_PROGRESSIVE if self.progressive else 0) | (_ONE_SIZE if one else 0))
        for size in () if known else sizes[:1] if one else sizes:
            out.varint(size)
        for layer in layers[:-1]:  # one, if the layers are not to be told apart
            out.varint(len(layer))
        out.raw(b"".join(layers))
        return out.getvalue()

    def anatomy(self, tokens: Tokens, payload: bytes) -> Anatomy:
        """Header, and the indices' code."""
        found = Dissector(payload, "token header")
        found.varint("height", "image", lambda n: f"{n} rows")
        found.varint("width", "image", lambda n: f"{n} columns")
        found.varint("rows of the grid", "transform")
        found.varint("columns of the grid", "transform")
        dimensions = found.varint("indices a token", "quantize")
        flags = found.number(1, "flags", value=lambda n: f"progressive {n & 1}, one vocabulary {n >> 1 & 1}")
        for _ in range(1 if flags & _ONE_SIZE else dimensions):
            found.varint("vocabulary", "quantize")
        for _ in range(dimensions - 1 if flags & _PROGRESSIVE else 0):
            found.varint("length of a layer")
        found.group = "symbols"
        found.rest("indices", role="quantize")
        return Anatomy(tuple(found.parts))

    def inverse(self, payload: bytes, max_pixels: int = MAX_PIXELS) -> Tokens:
        """Return the indices, int32 [N,D].

        Args:
            payload: what `forward` returned.
            max_pixels: the largest picture to accept; and a sixteenth of it is the largest number of indices.

        Raises:
            StreamError: the payload is cut or damaged, or too large.
        """
        return self._read(payload, max_pixels, partial=False)

    def inverse_partial(self, payload: bytes, max_pixels: int = MAX_PIXELS) -> Tokens:
        """Return the dimensions [N,k] that a progressive payload holds whole, where its end may be missing.

        Raises:
            StreamError: as `inverse`; or the payload is not progressive, or not even one dimension is whole.
        """
        return self._read(payload, max_pixels, partial=True)

    def _read(self, payload, max_pixels, partial):
        reader = ByteReader(payload)
        size, grid, dimensions, flags, sizes = _read_head(reader, max_pixels, self.known_sizes)
        progressive = bool(flags & _PROGRESSIVE)
        if partial and not progressive:
            raise StreamError("these indices were not coded as layers; a part of them cannot be decoded")
        lengths = [reader.varint() for _ in range(dimensions - 1)] if progressive else []
        data = reader.rest()
        layers = []
        if progressive:
            ends = list(itertools.accumulate(lengths, initial=0))
            for start, end in zip(ends, [*ends[1:], None], strict=True):
                # Where the last layer ends only the whole payload knows.
                if len(data) < end if end is not None else partial or len(data) < start:
                    break
                layers.append(data[start:end])
            if len(layers) < (1 if partial else dimensions):
                raise StreamError("the stream of indices ends too early")
        else:
            layers = [data]
        count = len(layers) if progressive else dimensions
        values = np.zeros((grid[0] * grid[1], count), np.int32)
        self._decode(layers, values, sizes, grid)
        return Tokens(values, grid, size=size)

    def describe(self, payload: bytes) -> tuple[tuple[int, int], str]:
        """Size (H, W) of the picture that the tokens were made of, and "tokens"."""
        return _read_head(ByteReader(payload), 1 << 62, self.known_sizes)[0], "tokens"


def _sizes(vocabulary, values) -> tuple[int, ...]:
    """The size of each dimension's vocabulary."""
    if vocabulary is None:
        sizes = tuple(int(most) + 1 for most in values.max(0))  # not in the array's own, perhaps narrow type
    elif isinstance(vocabulary, int | np.integer):
        sizes = (int(vocabulary),) * values.shape[1]
    else:
        sizes = tuple(int(size) for size in vocabulary)
    if len(sizes) != values.shape[1] or not 1 <= min(sizes) <= max(sizes) <= MAX_SIZE:
        raise ValueError(f"{values.shape[1]} dimensions need as many vocabulary sizes, 1 … {MAX_SIZE}; not {sizes}")
    return sizes


def _read_head(reader, max_pixels, known_sizes):
    """(size, grid, dimensions, flags, vocabulary sizes) of a payload."""
    size, grid, dimensions = (reader.varint(), reader.varint()), (reader.varint(), reader.varint()), reader.varint()
    if size != (0, 0):
        check_size(size, max_pixels)
    check_size(grid, max_pixels)
    count, most = grid[0] * grid[1] * dimensions, max(max_pixels // _PIXELS, 1 << 12)
    if not 1 <= dimensions <= 1 << 16 or count > most:
        raise StreamError(
            f"the stream declares {count} indices, more than the limit of {most}; pass a larger max_pixels"
        )
    flags = reader.byte()
    known = known_sizes(dimensions)
    sizes = known or [reader.varint() for _ in range(1 if flags & _ONE_SIZE else dimensions)]
    if flags > (1 if known else 3) or not 1 <= min(sizes) <= max(sizes) <= MAX_SIZE:
        raise StreamError("the stream declares no legal vocabularies")
    return size, grid, dimensions, flags, tuple(sizes * dimensions if flags & _ONE_SIZE else sizes)


@dataclass(frozen=True)
class FixedIndices(IndexCoded):
    """⌈log2 K⌉ bits for each index.

    >>> tokens = Tokens(np.array([5, 0, 5, 9]), (2, 2))
    >>> stage = FixedIndices(vocabulary=1024)
    >>> len(stage.forward(tokens)), stage.inverse(stage.forward(tokens)).features.ravel().tolist()
    (13, [5, 0, 5, 9])
    """

    vocabulary: int | tuple[int, ...] | None = None
    progressive: bool = False

    def _encode(self, values, sizes, grid):
        widths = [(size - 1).bit_length() for size in sizes]
        if self.progressive:
            return [pack_bits(column, np.full(len(column), w)) for column, w in zip(values.T, widths, strict=True)]
        return [pack_bits(values.T.ravel(), np.repeat(widths, len(values)))]

    def _decode(self, layers, values, sizes, grid):
        widths = [(size - 1).bit_length() for size in sizes[: values.shape[1]]]
        widths = [widths] if len(layers) == 1 else [[width] for width in widths]
        start = 0
        for layer, own in zip(layers, widths, strict=True):
            if len(layer) != -(-sum(own) * len(values) // 8):
                raise StreamError("the indices have another length than their number asks for")
            found = unpack_bits(layer, np.repeat(own, len(values))).reshape(len(own), len(values))
            values[:, start : start + len(own)] = found.T
            start += len(own)
        if np.any(values.max(0) >= sizes[: values.shape[1]]):
            raise StreamError("an index lies outside its vocabulary")


@dataclass(frozen=True)
class StaticIndices(IndexCoded):
    """A table of frequencies for each dimension, and a range coder.

    The table tells every value up to the largest that occurs, in Elias-gamma codes: with a large vocabulary and few
    tokens it costs more than it saves.

    >>> tokens = Tokens(np.array([1, 0, 1, 1] * 100), (20, 20))
    >>> stage = StaticIndices(vocabulary=16)
    >>> len(stage.forward(tokens)), stage.inverse(stage.forward(tokens)).features[:4].ravel().tolist()
    (58, [1, 0, 1, 1])
    """

    vocabulary: int | tuple[int, ...] | None = None
    progressive: bool = False

    def _encode(self, values, sizes, grid):
        layers = []
        for column, size in zip(values.T, sizes, strict=True):
            bits = _table_bits(len(column), size)
            frequencies = quantize_counts(np.bincount(column, minlength=size), bits)
            table = BitWriter()
            write_frequencies(table, frequencies)
            used = np.flatnonzero(frequencies)
            words = b""
            if used.size > 1:
                encoder = constriction.stream.queue.RangeEncoder()
                model = StaticModel.expanded(frequencies[used])
                encoder.encode(np.searchsorted(used, column).astype(np.int32), model.for_constriction())
                words = encoder.get_compressed().astype("<u4").tobytes()
            out = ByteWriter()
            out.block(table.getvalue())
            out.block(words)
            layers.append(out.getvalue())
        return layers if self.progressive else [b"".join(layers)]

    def _decode(self, layers, values, sizes, grid):
        reader = ByteReader(b"".join(layers))
        for d, size in enumerate(sizes[: values.shape[1]]):
            bits = _table_bits(len(values), size)
            frequencies = read_frequencies(BitReader(reader.block()), bits, size)
            words, used = reader.block(), np.flatnonzero(frequencies)
            if len(words) % 4:
                raise StreamError("the coded indices are no whole number of 32-bit words")
            if used.size == 1:
                values[:, d] = used[0]
                continue
            try:
                decoder = constriction.stream.queue.RangeDecoder(np.frombuffer(words, "<u4").astype(np.uint32))
                model = StaticModel.expanded(frequencies[used]).for_constriction()
                values[:, d] = used[decoder.decode(model, len(values))]
            except (AssertionError, ValueError) as error:  # constriction's ways to say that words are impossible
                raise StreamError(f"the coded indices are damaged: {error}") from error
            if not decoder.maybe_exhausted():
                raise StreamError("the coded indices are damaged: there is more than the grid needs")
        if reader.rest():
            raise StreamError("there is more behind the coded indices")


def _table_bits(count, size):
    """Precision of a table: enough for every value, no more than the number of indices is worth."""
    return min(max(7, (count - 1).bit_length(), size.bit_length() if size <= count else 0), 20)


class DecisionCoded(IndexCoded):
    """What coders of decisions share: one binary arithmetic code, or one a layer; the statistics go on through all.

    A subclass says what it keeps (`_state`) and how it codes a dimension in either direction (`_code`).
    """

    def _encode(self, values, sizes, grid):
        state = self._state(len(values), sizes)
        groups = [[d] for d in range(len(sizes))] if self.progressive else [range(len(sizes))]
        layers = []
        for dimensions in groups:
            coder, data = new_encoder(), np.zeros(1 << 12, np.uint8)
            for d in dimensions:
                data, _ = self._code(values, d, sizes[d], grid, state, coder, data, False)
            finish(coder, data)
            layers.append(data[: coder[POSITION]].tobytes())
        return layers

    def _decode(self, layers, values, sizes, grid):
        state = self._state(len(values), sizes)
        count = values.shape[1]
        groups = [range(count)] if len(layers) == 1 else [[d] for d in range(count)]
        for layer, dimensions in zip(layers, groups, strict=True):
            data = np.frombuffer(layer, np.uint8).copy()
            coder = new_decoder(data)
            for d in dimensions:
                if not self._code(values, d, sizes[d], grid, state, coder, data, True)[1]:
                    raise StreamError("the coded indices are cut or damaged")
            if not is_complete(coder, data):
                raise StreamError("the coded indices are damaged: their length does not match their contents")


@dataclass(frozen=True)
class AdaptiveIndices(DecisionCoded):
    """Adaptive binary trees, one for each dimension.

    >>> tokens = Tokens(np.array([1, 0, 1, 1] * 100), (20, 20))
    >>> stage = AdaptiveIndices(vocabulary=16)
    >>> len(stage.forward(tokens)), stage.inverse(stage.forward(tokens)).features[:4].ravel().tolist()
    (50, [1, 0, 1, 1])
    """

    vocabulary: int | tuple[int, ...] | None = None
    progressive: bool = False

    def _state(self, count, sizes):
        return None

    def _code(self, values, d, size, grid, state, coder, data, decoding):
        bits = (size - 1).bit_length()
        return _code_alone(values, d, size, bits, np.zeros(1 << bits, np.int32), coder, data, decoding)


@dataclass(frozen=True)
class MixedIndices(DecisionCoded):
    """Context mixing over neighbours and the dimensions coded before.

    >>> tokens = Tokens(np.repeat(np.arange(20), 20) % 7, (20, 20))
    >>> stage = MixedIndices(vocabulary=16)
    >>> len(stage.forward(tokens)), bool((stage.inverse(stage.forward(tokens)).features[:, 0] == tokens.features).all())
    (18, True)
    """

    vocabulary: int | tuple[int, ...] | None = None
    progressive: bool = False

    def _state(self, count, sizes):
        decisions = sum(count * max((size - 1).bit_length(), 1) for size in sizes)
        weights = np.full((_TRUST + TRUST_SETS, INPUTS), _FIRST_WEIGHT, np.int32)
        return new_model(new_counters(decisions), weights, mixers=3)

    def _code(self, values, d, size, grid, state, coder, data, decoding):
        bits = (size - 1).bit_length()
        return _code_mixed(values, d, size, bits, *grid, state, coder, data, decoding)


def new_counters(decisions: int) -> np.ndarray:
    """Tables of counters for so many decisions, one for each context: int32 [INPUTS,slots]."""
    return np.zeros((INPUTS, 1 << min(max((2 * decisions - 1).bit_length(), 12), 22)), np.int32)


@njit(cache=True)
def _code_alone(values, d, size, bits, counters, coder, data, decoding):
    """Code column `d` of `values` in either direction: (bytes, whether the decoder's were intact)."""
    for n in range(values.shape[0]):
        data = with_room(coder, data, decoding)
        node, value = np.int64(1), np.int64(values[n, d])
        for shift in range(bits - 1, -1, -1):
            prefix = node - (np.int64(1) << (bits - 1 - shift))
            bit = np.int64(0)
            if (2 * prefix + 1) << shift < size:
                counter = counters[node]
                probability = min(max((counter >> 16) + 32768, 32), 65535 - 32)
                bit = code_bit(coder, data, probability, value >> shift & 1, decoding)
                counters[node] = counter_update(counter, bit, COUNTER_LIMIT)
            node = 2 * node + bit
        if decoding:
            values[n, d] = node - (np.int64(1) << bits)
            if is_overrun(coder, data):
                return data, False
    return data, True


class Contexts(NamedTuple):
    """Contexts of an index, as hashes: each of the dimension and of values at these places, told apart from "outside".

    Attributes:
        alone: nothing else.
        left, above: the same dimension there.
        left_above: both.
        before: the dimension before, at the same position.
        two_before: the two before.
        before_left: the one before, with left.
        diagonals: the same dimension above left and above right.
    """

    alone: int
    left: int
    above: int
    left_above: int
    before: int
    two_before: int
    before_left: int
    diagonals: int


@leaf
def _hash(a, b, c, e):
    """Four integers as one of 64 bits, well spread."""
    h = np.uint64(a) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(b)
    h = (h ^ (h >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) + np.uint64(c)
    h = (h ^ (h >> np.uint64(32))) * np.uint64(0x94D049BB133111EB) + np.uint64(e)
    return (h ^ (h >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)


@leaf
def _slot(context, node, mask):
    """Where the counter of a context and a node of the tree stands in a table of mask + 1 counters."""
    spread = (context + np.uint64(node)) * np.uint64(0xD6E8FEB86659FD93)
    return np.int64((spread >> np.uint64(32)) & mask)


@leaf
def find_contexts(values, d, n, rows, columns):
    """The contexts of dimension `d` at position `n`, and which neighbours agree: 0 … 7."""
    row, column = n // columns, n % columns
    # Values are told apart from "outside" by adding 1.
    left = np.int64(values[n - 1, d]) + 1 if column else np.int64(0)
    above = np.int64(values[n - columns, d]) + 1 if row else np.int64(0)
    diagonal = np.int64(values[n - columns - 1, d]) + 1 if row and column else np.int64(0)
    other = np.int64(values[n - columns + 1, d]) + 1 if row and column + 1 < columns else np.int64(0)
    before = np.int64(values[n, d - 1]) + 1 if d else np.int64(0)
    earlier = np.int64(values[n, d - 2]) + 1 if d > 1 else np.int64(0)
    contexts = Contexts(
        alone=_hash(0, d, 0, 0),
        left=_hash(1, d, left, 0),
        above=_hash(2, d, above, 0),
        left_above=_hash(3, d, left, above),
        before=_hash(4, d, before, 0),
        two_before=_hash(5, d, before, earlier),
        before_left=_hash(6, d, before, left),
        diagonals=_hash(7, d, diagonal, other),
    )
    return contexts, 4 * (left == above) + 2 * (left == diagonal) + (above == diagonal)


@leaf
def look_hashed(model, contexts, node):
    """Turn contexts and a node into addresses; returns how much the trusted ones have seen: 0 … TRUST_SETS - 1."""
    counters, at, mask, c = model.counters, model.at, np.uint64(model.counters.shape[1] - 1), 0
    for context in contexts:
        at[c] = _slot(context, node, mask)
        c += 1
    trust = np.int64(0)
    for c in TRUSTED:
        trust = 4 * trust + _SEEN[counters[c, at[c]] & COUNT_MASK]
    return trust


_decide = predictor(contexts=INPUTS, shares=(1, 1, 2))


@njit(cache=True)
def _code_mixed(values, d, size, bits, rows, columns, model, coder, data, decoding):
    """Code column `d` of `values`, of a grid, in either direction: (bytes, whether the decoder's were intact)."""
    for n in range(values.shape[0]):
        data = with_room(coder, data, decoding)
        values[n, d] = _code_index(values, d, n, size, bits, rows, columns, model, (coder, data, decoding))
        if decoding and is_overrun(coder, data):
            return data, False
    return data, True


@leaf
def _code_index(values, d, n, size, bits, rows, columns, model, stream):
    contexts, agreement = find_contexts(values, d, n, rows, columns)
    dimension = min(d, _DIMENSIONS - 1)
    node, value = np.int64(1), np.int64(values[n, d])
    for shift in range(bits - 1, -1, -1):
        depth = bits - 1 - shift
        bit, prefix = np.int64(0), node - (np.int64(1) << depth)
        if (2 * prefix + 1) << shift < size:
            trust = look_hashed(model, contexts, node)
            model.sets[0] = dimension * _DEPTHS + depth
            model.sets[1] = _AGREEMENT + agreement * _DEPTHS + depth
            model.sets[2] = _TRUST + trust
            bit = _decide(value >> shift & 1, np.int64(0), model, stream)
        node = 2 * node + bit
    return node - (np.int64(1) << bits)
