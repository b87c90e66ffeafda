"""Vector quantizers: a token becomes the index of the nearest of K code words.

=====================  ===================================================================================
class                  code
=====================  ===================================================================================
`VectorQuantizer`      one index: the nearest word of one code book
`ProductQuantizer`     G indices: the channels cut into G groups, each with a code book of its own
`ResidualQuantizer`    L indices: each quantizes what those before it left over, so any prefix is a coarser token
=====================  ===================================================================================

Code books are fitted by k-means (the Lloyd algorithm): assign every vector to its nearest word, move every word to the
mean of its vectors, repeat. Words are sorted by how often they are used, so that small indices are frequent.

**Entropy-constrained.** With an entropy coder behind it the nearest word is not the best one: a slightly worse word
that costs fewer bits may be. ECVQ assigns by the Lagrangian cost::

    argmin_k  ‖z − c_k‖² + λ · bits_k            bits_k = −log2 p_k

and when fitting updates p_k too; words that nobody can afford disappear.

Sources: S. P. Lloyd, "Least squares quantization in PCM", 1982; D. Arthur, S. Vassilvitskii, "k-means++", 2007 (the
start); P. A. Chou, T. Lookabaugh, R. M. Gray, "Entropy-Constrained Vector Quantization", IEEE Trans. ASSP 1989; H.
Jégou, M. Douze, C. Schmid, "Product Quantization for Nearest Neighbor Search", 2011; B.-H. Juang, A. H. Gray, "Multiple
stage vector quantization for speech coding", 1982 (residual quantization).
"""

from dataclasses import dataclass

import numpy as np

from ..errors import StreamError

#: Vectors whose distances to all words are computed at once.
_CHUNK = 4096


@dataclass(frozen=True, eq=False)
class VectorQuantizer:
    """One code book.

    Attributes:
        words: float32 [K,C].
        bits: cost of each index, float64 [K]: −log2 of its frequency in training.

    >>> quantizer = VectorQuantizer.fit(np.array([[0.0], [0.1], [5.0], [5.2], [5.1]]), size=2)
    >>> quantizer.words.round(2).ravel(), quantizer.quantize(np.array([[0.3], [4.0]])).tolist()
    (array([5.1 , 0.05], dtype=float32), [1, 0])
    """

    words: np.ndarray
    bits: np.ndarray

    @classmethod
    def fit(
        cls, vectors: np.ndarray, size: int, *, rate_weight: float = 0.0, iterations: int = 20, seed: int = 0
    ) -> "VectorQuantizer":
        """The code book of `size` words (or fewer) for training vectors [N,C].

        Args:
            rate_weight: λ of entropy-constrained fitting, in squared units of the vectors per bit; 0 for k-means.
            iterations: of Lloyd's algorithm, at most.
            seed: of the start.

        Raises:
            ValueError: fewer different vectors than words.
        """
        vectors = _vectors(vectors)
        words = _start(vectors, size, np.random.default_rng(seed))
        bits = np.full(size, np.log2(size))
        before = None
        for _ in range(iterations):
            indices = _nearest(vectors, words, rate_weight * bits)
            if before is not None and np.array_equal(indices, before):
                break
            before = indices
            counts = np.bincount(indices, minlength=len(words))
            sums = np.zeros_like(words, np.float64)
            np.add.at(sums, indices, vectors)
            if rate_weight:
                used = counts > 0
                words, counts, before = sums[used] / counts[used, None], counts[used], None
                bits = -np.log2(counts / counts.sum())
            else:
                words = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], words)
        indices = _nearest(vectors, words, rate_weight * bits)
        counts = np.bincount(indices, minlength=len(words))
        order = np.argsort(-counts, kind="stable")
        frequencies = np.maximum(counts[order], 0.5) / np.maximum(counts, 0.5).sum()
        return cls(words[order].astype(np.float32), -np.log2(frequencies))

    def quantize(self, vectors: np.ndarray, rate_weight: float = 0.0) -> np.ndarray:
        """Indices, int32 [N], of vectors [N,C]; with `rate_weight` λ > 0 entropy-constrained."""
        vectors = _vectors(vectors, self.words.shape[1])
        return _nearest(vectors, self.words, rate_weight * self.bits).astype(np.int32)

    def dequantize(self, indices: np.ndarray) -> np.ndarray:
        """The words of indices [N]: float32 [N,C].

        Raises:
            StreamError: an index beyond the code book.
        """
        return self.words[_indices(indices, len(self.words))]


@dataclass(frozen=True, eq=False)
class ProductQuantizer:
    """A code book for each group of channels.

    Attributes:
        parts: one `VectorQuantizer` a group, in order of the channels.

    >>> vectors = np.random.default_rng(0).normal(size=(500, 4))
    >>> quantizer = ProductQuantizer.fit(vectors, size=16, groups=2)
    >>> indices = quantizer.quantize(vectors)
    >>> indices.shape, bool(((quantizer.dequantize(indices) - vectors) ** 2).mean() < 0.3)
    ((500, 2), True)
    """

    parts: tuple[VectorQuantizer, ...]

    @classmethod
    def fit(cls, vectors: np.ndarray, size: int, groups: int, **options) -> "ProductQuantizer":
        """`groups` code books of `size` words (options of `VectorQuantizer`); the channels are a multiple of it."""
        vectors = _vectors(vectors)
        if groups < 1 or vectors.shape[1] % groups:
            raise ValueError(f"{vectors.shape[1]} channels cannot be cut into {groups} equal groups")
        return cls(tuple(VectorQuantizer.fit(part, size, **options) for part in np.split(vectors, groups, axis=1)))

    def quantize(self, vectors: np.ndarray, rate_weight: float = 0.0) -> np.ndarray:
        """Indices, int32 [N,G]."""
        vectors = _vectors(vectors, sum(part.words.shape[1] for part in self.parts))
        pieces = np.split(vectors, len(self.parts), axis=1)
        found = [part.quantize(piece, rate_weight) for part, piece in zip(self.parts, pieces, strict=True)]
        return np.stack(found, 1)

    def dequantize(self, indices: np.ndarray) -> np.ndarray:
        """Vectors, float32 [N,C]."""
        columns = _columns(indices, len(self.parts), len(self.parts))
        return np.concatenate([p.dequantize(column) for p, column in zip(self.parts, columns, strict=True)], axis=1)


@dataclass(frozen=True, eq=False)
class ResidualQuantizer:
    """Code books one after the other, each for what is left over.

    Attributes:
        layers: one `VectorQuantizer` a layer, coarse to fine.

    >>> vectors = np.random.default_rng(0).normal(size=(500, 2))
    >>> quantizer = ResidualQuantizer.fit(vectors, size=8, layers=3)
    >>> indices = quantizer.quantize(vectors)
    >>> errors = [float(((quantizer.dequantize(indices[:, :k]) - vectors) ** 2).mean()) for k in (1, 2, 3)]
    >>> errors == sorted(errors, reverse=True)
    True
    """

    layers: tuple[VectorQuantizer, ...]

    @classmethod
    def fit(cls, vectors: np.ndarray, size: int, layers: int, **options) -> "ResidualQuantizer":
        """`layers` code books of `size` words. Options of `VectorQuantizer`."""
        rest, fitted = _vectors(vectors).astype(np.float64), []
        for _ in range(layers):
            layer = VectorQuantizer.fit(rest, size, **options)
            rest = rest - layer.dequantize(layer.quantize(rest))
            fitted.append(layer)
        return cls(tuple(fitted))

    def quantize(self, vectors: np.ndarray, rate_weight: float = 0.0) -> np.ndarray:
        """Indices, int32 [N,L]."""
        rest, found = _vectors(vectors, self.layers[0].words.shape[1]).astype(np.float64), []
        for layer in self.layers:
            found.append(layer.quantize(rest, rate_weight))
            rest = rest - layer.dequantize(found[-1])
        return np.stack(found, 1)

    def dequantize(self, indices: np.ndarray) -> np.ndarray:
        """Vectors, float32 [N,C], of the indices of all layers or of the first few, [N,k]."""
        columns = _columns(indices, 1, len(self.layers))
        return sum(layer.dequantize(column) for layer, column in zip(self.layers, columns, strict=False))


def _vectors(vectors, channels=None):
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or not vectors.size or (channels is not None and vectors.shape[1] != channels):
        wanted = "C" if channels is None else channels
        raise ValueError(f"vectors are an array [N,{wanted}], not {list(vectors.shape)}")
    if not np.isfinite(vectors).all():
        raise ValueError("vectors are finite numbers")
    return vectors


def _indices(indices, size):
    indices = np.asarray(indices)
    if indices.dtype.kind not in "iu" or (indices.size and not 0 <= indices.min() <= indices.max() < size):
        raise StreamError(f"indices of this code book are integers in 0 … {size - 1}")
    return indices


def _columns(indices, least, most):
    indices = np.asarray(indices)
    if indices.ndim != 2 or not least <= indices.shape[1] <= most:
        raise StreamError(f"this quantizer has {most} indices a token, not {list(indices.shape)}")
    return indices.T


def _nearest(vectors, words, cost):
    """The index of the least squared distance plus cost; of equal ones the first."""
    words = np.asarray(words, np.float64)
    offsets = (words**2).sum(1) + cost
    found = np.empty(len(vectors), np.int64)
    for start in range(0, len(vectors), _CHUNK):
        chunk = np.asarray(vectors[start : start + _CHUNK], np.float64)
        found[start : start + _CHUNK] = (offsets - 2 * chunk @ words.T).argmin(1)
    return found


def _start(vectors, size, rng):
    """k-means++: words drawn from the vectors with probability in proportion to the squared distance to those drawn."""
    vectors = np.asarray(vectors, np.float64)
    if size < 1 or len(vectors) < size:
        raise ValueError(f"{len(vectors)} vectors are too few for a code book of {size}")
    words = np.empty((size, vectors.shape[1]))
    words[0] = vectors[rng.integers(len(vectors))]
    distance = ((vectors - words[0]) ** 2).sum(1)
    for k in range(1, size):
        total = distance.sum()
        if not total > 0:
            raise ValueError(f"there are only {k} different vectors for a code book of {size}")
        words[k] = vectors[min(np.searchsorted(np.cumsum(distance), rng.random() * total), len(vectors) - 1)]
        distance = np.minimum(distance, ((vectors - words[k]) ** 2).sum(1))
    return words
