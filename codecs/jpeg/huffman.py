"""JPEG's last stage: quantized blocks to a complete `.jpg` file, and any baseline or progressive file back to blocks.

Forward, scan by scan: blocks → tokens (Huffman symbols and extra bits) → Huffman tables, typical ones or the best for
these tokens → bits. Inverse: markers → clean bits → blocks, whatever encoder made the file. The loops over blocks are
in `kernels`, the markers in `markers`, the scan scripts in `scans`.

Source: ITU-T T.81 Annexes B (syntax), C and K (Huffman tables), F (sequential), G (progressive).
"""

from dataclasses import dataclass
from dataclasses import replace as replace_fields
from typing import ClassVar

import numpy as np

from ...primitives.anatomy import Anatomy
from ...primitives.errors import StreamError
from ...primitives.picture import MAX_PIXELS, Picture, check_size
from ...primitives.stage import Stage
from ..image_io import Metadata
from . import arithmetic_kernels, kernels, lossless, markers, scans, tables
from .markers import Component, Header, Scan

_PROGRESSIONS = (False, True, "optimized", "exhaustive")


@dataclass(frozen=True)
class JpegHuffman(Stage):
    """Quantized 8×8 blocks (integers [rows, columns, 8, 8], with their tables) to the bytes of a `.jpg`, and back.

    Attributes:
        progressive: False for a sequential file, True for libjpeg's progression, ``"optimized"`` for the best of
            some sixty progressions, ``"exhaustive"`` for the best of a great many.
        optimize: find the best Huffman tables for each picture; progressive files always do.
        restart_interval: MCUs between restart markers, which let a decoder go on behind damage; 0 for none.
        metadata: what to write beside the picture.

    >>> from codeckit.primitives import BlockDCT, QuantTable, Subsample, YCbCr
    >>> picture = YCbCr().forward(np.zeros((9, 9, 3), np.uint8))
    >>> for stage in Subsample("4:2:0"), BlockDCT(), QuantTable(50):
    ...     picture = stage.forward(picture)
    >>> data = JpegHuffman().forward(picture)
    >>> data[:2].hex(), data[-2:].hex(), JpegHuffman().inverse(data).size
    ('ffd8', 'ffd9', (9, 9))
    """

    native: ClassVar[bool] = True
    unwritten: ClassVar[tuple[str, ...]] = ("progressive", "optimize", "restart_interval", "metadata")

    progressive: bool | str = False
    optimize: bool = True
    restart_interval: int = 0
    metadata: Metadata | None = None

    def __post_init__(self):
        if self.progressive not in _PROGRESSIONS:
            raise ValueError(f"progressive is False, True, 'optimized' or 'exhaustive', not {self.progressive!r}")
        if not isinstance(self.restart_interval, int) or not 0 <= self.restart_interval <= 65535:
            raise ValueError(f"restart_interval is a number of MCUs from 0 to 65535, not {self.restart_interval!r}")

    def forward(self, picture: Picture) -> bytes:
        """Write a file.

        Raises:
            ValueError: the picture is not made of 8×8 blocks of JPEG's range, or larger than 65535 pixels a side.
        """
        return _Writer(self, picture).file()

    def inverse(self, data: bytes, max_pixels: int = MAX_PIXELS) -> Picture:
        """Read a file of any encoder.

        Returns:
            The picture's quantized blocks, int16 [rows, columns, 8, 8] for each component, with their tables. Of a
            lossless file, its samples, uint8 [h,w] (see `lossless`).

        Raises:
            StreamError: not JPEG, cut, damaged, larger than `max_pixels`, or of an unsupported process.
        """
        if markers.process(data) == markers.LOSSLESS:
            return lossless.read(data, max_pixels)
        return _Reader(data, max_pixels).picture()

    def anatomy(self, picture: Picture, data: bytes) -> Anatomy:
        """Every field of the file, its first Huffman codes, and what every coefficient took (`anatomy`)."""
        from .anatomy import anatomy

        return anatomy(picture, data)


class _Writer:
    """One picture on its way into a file: what files of all processes have, and the scans of Huffman-coded ones."""

    #: Start-of-frame codes: baseline, extended and progressive.
    processes = (markers.BASELINE, markers.EXTENDED, markers.PROGRESSIVE)

    def __init__(self, stage, picture: Picture):
        _check_writable(picture)
        self.stage, self.picture = stage, picture
        self.blocks = np.concatenate([plane.reshape(-1, 64) for plane in picture.planes])
        if self.blocks.dtype != np.int16:
            self.blocks = self.blocks.astype(np.int16)
        self.quantization: list[np.ndarray] = []
        self.components: list[Component] = []
        self.layout = np.zeros((len(picture.planes), 7), np.int64)
        offset = 0
        for i, (plane, (v, h)) in enumerate(zip(picture.planes, picture.factors, strict=True)):
            number = next((n for n, t in enumerate(self.quantization) if np.array_equal(t, picture.tables[i])), None)
            if number is None:
                number = len(self.quantization)
                self.quantization.append(picture.tables[i])
            identifier = ord("RGB"[i]) if picture.color == "rgb" else i + 1
            self.components.append(Component(identifier, h, v, number))
            huffman = int(i > 0 and picture.color != "rgb")
            rows, columns = plane.shape[:2]
            self.layout[i] = offset, columns, rows, h, v, huffman, huffman
            offset += rows * columns

    def file(self) -> bytes:
        stage, planes = self.stage, len(self.picture.planes)
        if stage.progressive in ("optimized", "exhaustive"):
            script = scans.optimized(planes, self.cost, thorough=stage.progressive == "exhaustive")
        else:
            script = scans.progressive(planes) if stage.progressive else scans.sequential(planes)
        wide_steps = any(table.max() > 255 for table in self.quantization)
        process = self.processes[2 if stage.progressive else 1 if wide_steps else 0]
        out = [
            bytes([0xFF, markers.SOI]),
            markers.application_segments(stage.metadata, self.picture.color),
            markers.quantization_segment(self.quantization),
            markers.frame_segment(process, self.picture.size, self.components),
        ]
        if stage.restart_interval:
            out.append(markers.segment(markers.DRI, stage.restart_interval.to_bytes(2, "big")))
        out += [self.scan(scan) for scan in script]
        return b"".join(out) + bytes([0xFF, markers.EOI])

    def tokens(self, scan: Scan) -> tuple[np.ndarray, np.ndarray]:
        """A scan's tokens, and how often each code occurs."""
        layout = self.layout[list(scan.components)]
        order, blocks_in_mcu = kernels.visit(layout)
        place = (self.blocks, order, layout, self.stage.restart_interval * blocks_in_mcu)
        return scan_tokens(*place, scan, bool(self.stage.progressive))

    def cost(self, scan: Scan) -> int:
        """Bits of a scan with its headers, without writing it."""
        found, counts = self.tokens(scan)
        return tables.coded_bits(counts) + int(kernels.extra_bits(found)) + 8 * (14 + 2 * len(scan.components))

    def scan(self, scan: Scan) -> bytes:
        """Tables, scan header and coded data."""
        found, counts = self.tokens(scan)
        if self.stage.optimize or self.stage.progressive:
            huffman = tables.optimal(counts)
        else:
            used = {int(self.layout[c, kernels.DC]) for c in scan.components}
            huffman = {number: table for number, table in tables.STANDARD.items() if number & 15 in used}
        data = coded_bytes(found, counts, huffman)
        return (markers.huffman_segment(huffman) if huffman else b"") + self.scan_header(scan) + data

    def scan_header(self, scan: Scan) -> bytes:
        """SOS, which names each component's tables."""
        numbers = tuple((int(self.layout[c, kernels.DC]), int(self.layout[c, kernels.AC])) for c in scan.components)
        return markers.scan_segment(
            replace_fields(scan, tables=numbers), [component.identifier for component in self.components]
        )


def _check_writable(picture: Picture) -> None:
    if picture.color not in ("grey", "ycbcr", "rgb"):
        raise ValueError(f"JPEG files are written from grey, YCbCr or RGB planes, not from {picture.color!r}")
    if max(picture.size) > 65535:
        raise ValueError(f"a JPEG file holds at most 65535 pixels a side, not {picture.size[1]}×{picture.size[0]}")
    if len(picture.tables) != len(picture.planes):
        raise ValueError("JPEG needs a table quantizer: put QuantTable before JpegHuffman")
    for plane, (height, width) in zip(picture.planes, picture.plane_sizes, strict=True):
        if plane.shape != (-(-height // 8), -(-width // 8), 8, 8):
            raise ValueError(f"JPEG codes 8×8 blocks of a {height}×{width} plane, not an array of shape {plane.shape}")
        if plane.size and not -1024 <= plane.min() <= plane.max() <= 1023:
            raise ValueError("JPEG holds quantized coefficients from -1024 to 1023; use larger steps")


def scan_tokens(blocks, order, layout, interval, scan: Scan, progressive: bool) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of a scan of blocks (int16 [N,64]) in the given order, and how often each code occurs.

    Args:
        blocks, order, layout: as in `kernels`; the layout is that of the scan's components.
        interval: blocks between restarts, or 0.
        scan: what the scan holds.
        progressive: whether the file is.
    """
    # A coefficient takes one token, in refining scans two (its symbol, corrections behind it); a block three more.
    most = len(order) * ((2 if scan.high else 1) * (scan.end - scan.start + 1) + 3) + 64
    found, counts = np.empty(most, np.int64), np.zeros(kernels.CODES, np.int64)
    place = (blocks, order, layout, interval)
    if not progressive:
        n = kernels.tokens_sequential(*place, found, counts)
    elif scan.start == 0:
        n = kernels.tokens_dc(*place, scan.high, scan.low, found, counts)
    elif scan.high == 0:
        n = kernels.tokens_ac_first(*place, scan.start, scan.end, scan.low, found, counts)
    else:
        n = kernels.tokens_ac_refine(*place, scan.start, scan.end, scan.low, found, counts)
    return found[:n], counts


def coded_bytes(found, counts, huffman: dict[int, tables.Table], fill: int = 1) -> bytes:
    """The entropy-coded data of a scan's tokens under these Huffman tables.

    Raises:
        StreamError: a symbol has no code.
    """
    words, lengths = tables.code_words(huffman)
    if (lengths[: kernels.NO_SYMBOL][counts[: kernels.NO_SYMBOL] > 0] == 0).any():
        raise StreamError("the JPEG file's Huffman tables lack a code that its scans need")
    bits = int(counts @ lengths[: len(counts)].astype(np.int64)) + int(kernels.extra_bits(found))
    restarts = np.count_nonzero(found >> 40 == kernels.RESTART)
    # At worst every byte is stuffed, and each restart is a marker behind one more byte of padding.
    out = np.empty(bits // 4 + 4 * restarts + 64, np.uint8)
    return out[: kernels.write_tokens(found, words, lengths, out, fill)].tobytes()


class _Reader:
    """One file on its way to a picture."""

    def __init__(self, data: bytes, max_pixels: int):
        self.data, self.max_pixels = data, max_pixels
        self.bytes = np.frombuffer(data, np.uint8)
        self.segments, self.header = markers.Segments(data), Header()
        self.blocks: np.ndarray | None = None
        self.tables: dict[int, np.ndarray] = {}
        self.known: dict[int, np.ndarray] = {}  # by component: lowest bit received of each coefficient, 99 for none

    def picture(self) -> Picture:
        while (scan := self.segments.parse(self.header)) is not None:
            self.scan(scan)
        header = self.header
        if not header.components:
            raise StreamError("the JPEG file holds no picture")
        if any(c not in self.known or self.known[c][0] == 99 for c in range(len(header.components))):
            raise StreamError("the JPEG file is cut: scans of some components are missing")
        planes = []
        for offset, columns, rows in self.layout[:, :3].tolist():
            planes.append(self.blocks[offset : offset + rows * columns].reshape(rows, columns, 8, 8))
        quantization = tuple(self.tables[c] for c in range(len(planes)))
        return Picture(tuple(planes), header.size, self.frame.factors, header.color, quantization)

    def start_frame(self) -> None:
        header = self.header
        check_size(header.size, self.max_pixels)
        self.frame = Picture((), header.size, tuple((c.v, c.h) for c in header.components))
        self.layout = np.zeros((len(header.components), 7), np.int64)
        offset = 0
        for i, component in enumerate(header.components):
            height, width = self.frame.plane_sizes[i]
            columns, rows = -(-width // 8), -(-height // 8)
            self.layout[i] = offset, columns, rows, component.h, component.v, 0, 0
            offset += rows * columns

    def scan(self, scan: Scan) -> None:
        header = self.header
        if self.blocks is None:
            self.start_frame()
        layout = self.layout[list(scan.components)]
        layout[:, kernels.DC :] = scan.tables
        n_blocks = int((layout[:, kernels.WIDE] * layout[:, kernels.HIGH]).sum())
        intervals = -(-n_blocks // header.restart) if header.restart else 1  # an upper bound, exact for one component
        clean = np.zeros((len(self.data) - self.segments.position + 512) // 4 * 4, np.uint8)
        starts = np.zeros(min(intervals, len(self.data) // 2) + 3, np.int64)
        position, found = kernels.unstuff(self.bytes, self.segments.position, clean, starts)
        if found < 0:
            raise StreamError("the JPEG file is damaged: its restart markers are out of order")
        self.segments.position = position
        # With Huffman codes every block takes a bit at least, except in end-of-band runs: a header that promises more
        # is not honest.
        if scan.start == 0 and not header.is_arithmetic and n_blocks > 8 * int(starts[found]):
            raise StreamError(f"the JPEG file is cut: its scan of {n_blocks} blocks has {starts[found]} bytes")
        if self.blocks is None:
            self.blocks = np.zeros((int((self.layout[:, 1] * self.layout[:, 2]).sum()) + 1, 64), np.int16)
        self.check_order(scan)
        order, blocks_in_mcu = self.order(scan, layout)
        interval = header.restart * blocks_in_mcu
        expected = -(-len(order) // interval) if interval else 1
        if found < expected or found > expected + 1:
            raise StreamError(f"the JPEG file is cut or damaged: {found} restart intervals instead of {expected}")
        if header.is_arithmetic:
            place = (clean, starts, self.blocks, order, layout, interval)
            status = arithmetic_kernels.decode(*place, scan.band, np.array(header.conditioning))
        else:
            status = self.decode_huffman(scan, (kernels.to_words(clean), starts, order, layout, interval))
        if status == kernels.TOO_SHORT:
            raise StreamError("the JPEG file is cut or damaged: a scan ends too early")
        if status != kernels.OK:
            raise StreamError("the JPEG file is damaged: a scan holds what no encoder writes")

    def decode_huffman(self, scan: Scan, place) -> int:
        """Decode a scan of Huffman codes into the blocks; a status of `kernels`."""
        lookups, shorts = self.lookups(scan)
        if not self.header.is_progressive:
            status = kernels.decode_sequential(*place, lookups, shorts, self.blocks)
        elif scan.start == 0:
            status = kernels.decode_dc(*place, scan.high, scan.low, lookups, shorts, self.blocks)
        elif scan.high == 0:
            status = kernels.decode_ac_first(*place, scan.start, scan.end, scan.low, lookups, shorts, self.blocks)
        else:
            status = kernels.decode_ac_refine(*place, scan.start, scan.end, scan.low, lookups, shorts, self.blocks)
        return status

    def order(self, scan: Scan, layout: np.ndarray) -> tuple[np.ndarray, int]:
        """The scan's blocks in coding order, and blocks an MCU; see `kernels.visit`."""
        return kernels.visit(layout)

    def check_order(self, scan: Scan) -> None:
        """Latch the quantization tables, and see that each bit of each coefficient comes once and in order."""
        for c in scan.components:
            if c not in self.known:
                number = self.header.components[c].table
                if number not in self.header.quantization:
                    raise StreamError(f"the JPEG file is damaged: quantization table {number} is missing")
                table = self.header.quantization[number]
                if table.min() == 0:
                    raise StreamError(f"the JPEG file is damaged: quantization table {number} holds a step of 0")
                self.tables[c] = table
                self.known[c] = np.full(64, 99)
            band = self.known[c][scan.start : scan.end + 1]
            if scan.start and self.known[c][0] == 99:
                raise StreamError("the JPEG file is damaged: AC coefficients come before DC")
            if (band != (scan.high or 99)).any():
                raise StreamError("the JPEG file is damaged: its scans repeat or skip bits of coefficients")
            band[:] = scan.low

    def lookups(self, scan: Scan) -> tuple[np.ndarray, np.ndarray]:
        """Decoding tables of the scan's Huffman codes, uint16 [8, 65536] and [8, 1024]: DC 0…3, AC 0…3."""
        header, needed = self.header, set()
        for dc, ac in scan.tables:
            if scan.start == 0 and scan.high == 0:
                needed.add(dc)
            if scan.end > 0:
                needed.add(0x10 | ac)
        lookups, shorts = np.empty((8, 65536), np.uint16), np.empty((8, 1024), np.uint16)
        for number in needed:
            if number not in header.huffman:
                raise StreamError(f"the JPEG file is damaged: Huffman table {number:#04x} is missing")
            row = (number >> 4) * 4 + (number & 15)
            kernels.fill_lookup(*header.huffman[number], lookups[row], shorts[row])
        return lookups, shorts


def describe(data: bytes) -> tuple[tuple[int, int], int, dict]:
    """Size (H, W), channels, and what the markers of a `.jpg` file up to its first scan tell."""
    header = Header()
    if markers.Segments(data).parse(header) is None:
        raise StreamError("the JPEG file holds no picture")
    details = {
        "format": "JPEG",
        "process": markers.PROCESSES[header.process],
        "colour": header.color,
        "sampling": ",".join(f"{component.h}x{component.v}" for component in header.components),
        "restart_interval": header.restart,
    }
    details |= {f"{name}_bytes": len(data) for name, data in vars(header.metadata).items() if data}
    return header.size, 1 if len(header.components) == 1 else 3, details
