"""Tables of integer frequencies: what a coder of latents needs to know of a symbol's distribution.

A learned codec has a few fixed distributions and says for each symbol which one it follows: the channel's, in a
factorized prior; one of 64 widths, in a Gaussian prior. `FrequencyTables` holds them, all with the total 2^24.

A table covers a *window* of consecutive integers, lowest, lowest + 1, …, and has two more bins: its first bin stands
for everything below the window and its last bin for everything above. A symbol out there is coded as that bin and the
distance from the window (`latents` says how), so every int32 can be coded with every table.

The frequencies are integers, made *once*, when a model is exported, and stored with its weights: `quantize_pmf` turns
probabilities into them. Nobody must compute them again from floating-point weights to decode, as the last bits of
``exp`` or ``tanh`` differ between machines, and one frequency that differs by 1 makes the rest of a stream unreadable.
"""

from dataclasses import dataclass

import numpy as np

from ..bitstream import BitReader, BitWriter
from ..errors import StreamError
from .models import PRECISION, quantize_counts

#: Buckets of the decoder's first look-up: the top bits of a quantile.
LOOKUP_BITS = 8


def quantize_pmf(pmf, precision: int = PRECISION) -> np.ndarray:
    """Integer frequencies in proportion to probabilities: at least 1 each, with the sum 2^precision.

    Args:
        pmf: probabilities [K], from 0 up and finite, not all 0; they are scaled to the sum 1.

    Returns:
        int64 frequencies [K].

    Raises:
        ValueError: the probabilities are negative, not finite or all 0, or too many for the precision.

    >>> quantize_pmf([0.0, 0.5, 0.25, 0.25], precision=4).tolist()
    [1, 7, 4, 4]
    """
    pmf = np.asarray(pmf, np.float64)
    total = pmf.sum()
    if pmf.ndim != 1 or not np.isfinite(total) or not total > 0 or pmf.min() < 0:
        raise ValueError("a pmf is a list of finite probabilities from 0 up that are not all 0")
    return quantize_counts(np.maximum(np.rint(pmf / total * 2.0**48), 1).astype(np.int64), precision)


def write_frequencies(out: BitWriter, frequencies: np.ndarray) -> None:
    """Write frequencies [K] up to the last that is not 0: their number, then each + 1 in Elias-gamma code.

    >>> out = BitWriter()
    >>> write_frequencies(out, np.array([0, 3, 1, 0]))
    >>> read_frequencies(BitReader(out.getvalue()), precision=2, size=4).tolist()
    [0, 3, 1, 0]
    """
    used = int(np.flatnonzero(frequencies)[-1]) + 1
    out.write(used, len(frequencies).bit_length())
    for frequency in frequencies[:used].tolist():
        width = (frequency + 1).bit_length()
        out.write(0, width - 1)
        out.write(frequency + 1, width)


def read_frequencies(bits: BitReader, precision: int, size: int) -> np.ndarray:
    """The inverse of `write_frequencies`: int64 [size], with the sum 2^precision.

    Raises:
        StreamError: the frequencies are more than `size`, or have another sum.
    """
    frequencies = np.zeros(size, np.int64)
    used = bits.read(size.bit_length())
    if used > size:
        raise StreamError(f"a table names {used} values; there are {size}")
    for value in range(used):
        width = 1
        while not bits.read(1):
            width += 1
            if width > precision + 1:
                raise StreamError("a frequency in a table is too large")
        frequencies[value] = (1 << (width - 1) | bits.read(width - 1)) - 1
    if frequencies.sum() != 1 << precision:
        raise StreamError(f"the frequencies in a table do not add up to 2^{precision}")
    return frequencies


@dataclass(frozen=True, eq=False)
class FrequencyTables:
    """K tables, one after the other, as three integer arrays (which is also how a model file stores them).

    Args:
        frequencies: of all bins of all tables, int64 [sum of sizes]: at least 1, each table's with the sum 2^24.
        sizes: number of bins of each table [K], at least 3.
        lowest: the lowest symbol of each table's window [K]: that of its second bin, as the first is for all below.

    Raises:
        ValueError: the arrays do not fit each other, or the frequencies do not add up.

    >>> tables = FrequencyTables.from_pmfs([[0.01, 0.5, 0.48, 0.01], [0.1, 0.8, 0.1]], lowest=[-1, 0])
    >>> len(tables), tables.window(0), tables.window(1)
    (2, (-1, 0), (0, 0))
    """

    frequencies: np.ndarray
    sizes: np.ndarray
    lowest: np.ndarray

    def __post_init__(self):
        frequencies, sizes, lowest = (np.asarray(a, np.int64) for a in (self.frequencies, self.sizes, self.lowest))
        if not frequencies.ndim == sizes.ndim == lowest.ndim == 1 or sizes.size == 0 or sizes.size != lowest.size:
            raise ValueError("tables are three arrays [sum of sizes], [K] and [K]")
        if sizes.min() < 3 or sizes.sum() != frequencies.size:
            raise ValueError("every table has 3 bins or more, and the sizes add up to the number of frequencies")
        if np.abs(lowest).max() > 1 << 24 or sizes.max() > 1 << 22:
            raise ValueError("a table's window begins within ±2^24 and has fewer than 2^22 symbols")
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        if frequencies.min() < 1 or np.any(np.add.reduceat(frequencies, starts) != 1 << PRECISION):
            raise ValueError(f"frequencies must be at least 1, and those of a table add up to 2^{PRECISION}")
        # Each table's cumulative frequencies begin with 0 and end with 2^24, so a bin's interval is two neighbours.
        parts = [np.concatenate([[0], np.cumsum(part)]) for part in np.split(frequencies, starts[1:])]
        buckets = np.arange(1 << LOOKUP_BITS) << PRECISION - LOOKUP_BITS
        lookup = [np.searchsorted(part, [*buckets, (1 << PRECISION) - 1], side="right") - 1 for part in parts]
        for name, value in {
            "frequencies": frequencies,
            "sizes": sizes,
            "lowest": lowest,
            "cumulative": np.concatenate(parts).astype(np.uint32),  # of all tables
            "first": starts + np.arange(sizes.size),  # where each table's cumulative frequencies begin
            "lookup": np.array(
                lookup, np.int32
            ),  # [K, 2^LOOKUP_BITS + 1]: the bin that holds a bucket's first quantile
        }.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_pmfs(cls, pmfs, lowest) -> "FrequencyTables":
        """Quantize probabilities (floats, or frequencies of another total): for export, never for decoding.

        Args:
            pmfs: K lists of probabilities; the first and the last of each are those of the tails.
            lowest: the symbol of the second probability of each list [K].
        """
        frequencies = [quantize_pmf(pmf) for pmf in pmfs]
        return cls(np.concatenate(frequencies), np.array([len(f) for f in frequencies]), np.asarray(lowest))

    def __len__(self):
        return self.sizes.size

    def window(self, table: int) -> tuple[int, int]:
        """The lowest and the highest symbol that have a bin of their own."""
        lowest = int(self.lowest[table])
        return lowest, lowest + int(self.sizes[table]) - 3

    def frequency(self, symbols, indices) -> np.ndarray:
        """The frequency of each symbol, or of the tail that it lies in: int64, 1 … 2^24.

        Args:
            symbols: integers, any shape.
            indices: the table of each, the same shape.
        """
        indices = np.asarray(indices, np.int64)
        bins = np.clip(np.asarray(symbols, np.int64) - self.lowest[indices] + 1, 0, self.sizes[indices] - 1)
        at = self.first[indices] + bins
        return self.cumulative[at + 1].astype(np.int64) - self.cumulative[at]

    def bits(self, symbols, indices) -> np.ndarray:
        """What each symbol costs: -log2 of its `frequency` / 2^24, float64; without a tail's distance."""
        return PRECISION - np.log2(self.frequency(symbols, indices))

    def deviations(self) -> np.ndarray:
        """The standard deviation of each table's symbols, float64 [K], a tail counted as the first symbol in it.

        >>> FrequencyTables.from_pmfs([[0.25, 0.5, 0.25]], lowest=[0]).deviations().round(3)
        array([0.707])
        """
        starts = np.cumsum(self.sizes) - self.sizes
        symbols = np.arange(self.frequencies.size) - np.repeat(starts + 1 - self.lowest, self.sizes)
        shares = self.frequencies / 2.0**PRECISION
        mean = np.add.reduceat(shares * symbols, starts)
        return np.sqrt(np.add.reduceat(shares * symbols**2.0, starts) - mean**2)
