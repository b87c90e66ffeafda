"""JPEG's other entropy stage: the same `.jpg` files with arithmetic coding in place of Huffman codes.

ITU-T T.81 of 1992 has two entropy coders. Patents on the second one, the QM coder, kept it out of nearly all software
until they expired. Files are 5 to 9 % smaller than with the best Huffman tables, and no table is sent. libjpeg-turbo
reads and writes them (`cjpeg -arithmetic`); browsers do not.

The stage takes and gives what `JpegHuffman` does, and both read the files of either. The decisions that blocks become
are in `arithmetic_kernels`, their coder in `primitives.entropy.qm`.

Source: ITU-T T.81 Annex D (the coder), F.1.4 (sequential, SOF9), G.1.3 (progressive, SOF10).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...primitives.anatomy import Anatomy
from ...primitives.picture import MAX_PIXELS, Picture
from ...primitives.stage import Stage
from . import arithmetic_kernels, kernels, markers
from .huffman import JpegHuffman, _Writer
from .markers import Scan

#: L, U and K where a file sets none.
DEFAULT_CONDITIONING = (0, 1, 5)


@dataclass(frozen=True)
class JpegArithmetic(Stage):
    """Quantized 8×8 blocks (integers [rows, columns, 8, 8], with their tables) to an arithmetic-coded `.jpg`, and back.

    Attributes:
        progressive: False for a sequential file, True for libjpeg's progression, ``"optimized"`` or ``"exhaustive"``
            for the smallest of some sixty, or of a great many.
        restart_interval: MCUs between restart markers, 0 for none. Statistics begin anew behind each.
        conditioning: (L, U, K): differences of DC values that have L to U bits are small ones, and long AC values at
            zigzag positions up to K share statistics. 0 ≤ L ≤ U ≤ 15, 1 ≤ K ≤ 63.

    >>> from codeckit.primitives import BlockDCT, QuantTable
    >>> picture = Picture((np.zeros((9, 9), np.uint8),), (9, 9))
    >>> for stage in BlockDCT(), QuantTable(50):
    ...     picture = stage.forward(picture)
    >>> data = JpegArithmetic().forward(picture)
    >>> data[:2].hex(), data[-2:].hex(), JpegArithmetic().inverse(data).size
    ('ffd8', 'ffd9', (9, 9))
    """

    native: ClassVar[bool] = True
    carries: ClassVar[frozenset[str]] = JpegHuffman.carries
    unwritten: ClassVar[tuple[str, ...]] = ("progressive", "restart_interval", "conditioning")

    progressive: bool | str = False
    restart_interval: int = 0
    conditioning: tuple[int, int, int] = DEFAULT_CONDITIONING

    def __post_init__(self):
        JpegHuffman(self.progressive, restart_interval=self.restart_interval)  # the same options, checked there
        if isinstance(self.conditioning, tuple) and [type(value) for value in self.conditioning] == [int] * 3:
            small, large, split = self.conditioning
        else:
            small, large, split = 0, -1, 0
        if not (0 <= small <= large <= 15 and 1 <= split <= 63):
            raise ValueError(f"conditioning is (L, U, K), 0 ≤ L ≤ U ≤ 15, 1 ≤ K ≤ 63, not {self.conditioning!r}")

    def forward(self, picture: Picture) -> bytes:
        """Write a file.

        Raises:
            ValueError: the picture is not made of 8×8 blocks of JPEG's range, or larger than 65535 pixels a side.
        """
        return _ArithmeticWriter(self, picture).file()

    def inverse(self, data: bytes, max_pixels: int = MAX_PIXELS) -> Picture:
        """Read a JPEG file of any encoder and entropy coder; see `JpegHuffman.inverse`."""
        return JpegHuffman().inverse(data, max_pixels)

    def inverse_partial(self, data: bytes, max_pixels: int = MAX_PIXELS) -> Picture:
        """Read a file that is cut or damaged; see `JpegHuffman.inverse_partial`."""
        return JpegHuffman().inverse_partial(data, max_pixels)

    def anatomy(self, picture: Picture, data: bytes) -> Anatomy:
        """Every field of the file, and what every coefficient took (`anatomy`)."""
        return JpegHuffman().anatomy(picture, data)


class _ArithmeticWriter(_Writer):
    """One picture on its way into an arithmetic-coded file."""

    processes = (markers.ARITHMETIC, markers.ARITHMETIC, markers.ARITHMETIC_PROGRESSIVE)

    def cost(self, scan: Scan) -> int:
        """Bits of a scan with its headers."""
        return 8 * len(self.scan(scan))

    def scan(self, scan: Scan) -> bytes:
        """Conditioning, if it is not the default, scan header and coded data."""
        small, large, split = self.stage.conditioning
        layout = self.layout[list(scan.components)]
        order, blocks_in_mcu = kernels.visit(layout)
        values = (small | large << 4,) * 4 + (split,) * 4
        data = coded_bytes(self.blocks, order, layout, self.stage.restart_interval * blocks_in_mcu, scan, values)
        segment = b""
        if self.stage.conditioning != DEFAULT_CONDITIONING:
            segment = markers.conditioning_segment(small, large, split, sorted(set(layout[:, kernels.DC].tolist())))
        return segment + self.scan_header(scan) + data


def coded_bytes(blocks, order, layout, interval: int, scan: Scan, conditioning: tuple[int, ...]) -> bytes:
    """The entropy-coded data of a scan of blocks (int16 [N,64]).

    Args:
        blocks, order, layout: as in `kernels`; the layout is that of the scan's components.
        interval: blocks between restarts, or 0.
        scan: what the scan holds.
        conditioning: as in `markers.Header`.
    """
    starts = np.zeros((-(-len(order) // interval) if interval else 1) + 1, np.int64)
    place = (starts, blocks, order, layout, interval)
    data = arithmetic_kernels.encode(*place, scan.band, np.array(conditioning))
    out = np.empty(2 * (int(starts[-1]) + len(starts)), np.uint8)
    return out[: arithmetic_kernels.stuff(data, starts, out)].tobytes()
