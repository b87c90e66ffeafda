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
from . import arithmetic_kernels, kernels, lossless, markers, recovery, scans, tables
from .markers import Component, Header, Scan

_PROGRESSIONS = (False, True, "optimized", "exhaustive")

#: More scans than any encoder makes; further ones of damaged files are not read.
_MOST_SCANS = 256


@dataclass(frozen=True)
class JpegHuffman(Stage):
    """Quantized 8×8 blocks (integers [rows, columns, 8, 8], with their tables) to the bytes of a `.jpg`, and back.

    Attributes:
        progressive: False for a sequential file, True for libjpeg's progression, ``"optimized"`` for the best of
            some sixty progressions, ``"exhaustive"`` for the best of a great many.
        optimize: find the best Huffman tables for each picture; progressive files always do.
        restart_interval: MCUs between restart markers, which let a decoder go on behind damage; 0 for none.

    >>> from codeckit.primitives import BlockDCT, QuantTable, Subsample, YCbCr
    >>> picture = YCbCr().forward(np.zeros((9, 9, 3), np.uint8))
    >>> for stage in Subsample("4:2:0"), BlockDCT(), QuantTable(50):
    ...     picture = stage.forward(picture)
    >>> data = JpegHuffman().forward(picture)
    >>> data[:2].hex(), data[-2:].hex(), JpegHuffman().inverse(data).size
    ('ffd8', 'ffd9', (9, 9))
    """

    native: ClassVar[bool] = True
    carries: ClassVar[frozenset[str]] = frozenset({"exif", "icc", "xmp", "comment", "grey icc"})
    unwritten: ClassVar[tuple[str, ...]] = ("progressive", "optimize", "restart_interval")

    progressive: bool | str = False
    optimize: bool = True
    restart_interval: int = 0

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
        reader = _Reader(data, max_pixels)
        picture = reader.picture()
        if reader.unfinished():
            return PaddedReader(data, max_pixels).picture()
        return picture

    def inverse_partial(self, data: bytes, max_pixels: int = MAX_PIXELS) -> Picture:
        """What libjpeg makes of a file that is cut or damaged (`recovery`); of a good one, the same as `inverse`.

        Blocks whose data are missing are grey, or lack what later scans would have added. Damage ends with the restart
        interval that it stands in. A lossless file must be whole.

        Raises:
            StreamError: there is no picture: not JPEG, larger than `max_pixels`, of an unsupported process, or without
                the beginning of a scan.

        >>> import codeckit
        >>> data = codeckit.codec("jpeg").encode(np.full((64, 64), 50, np.uint8))
        >>> codeckit.decode(data[:-8], partial=True)[::63, 0].tolist()
        [50, 128]
        """
        if markers.process(data) == markers.LOSSLESS:
            return self.inverse(data, max_pixels)
        return PartialReader(data, max_pixels).picture()

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
            markers.application_segment(self.picture.color),
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

    strict: ClassVar[bool] = True

    def __init__(self, data: bytes, max_pixels: int):
        self.data, self.max_pixels = data, max_pixels
        self.segments, self.header = markers.Segments(data), Header()
        self.blocks: np.ndarray | None = None
        self.gaps: set[int] = set()  # components with scans whose restart markers were out of place
        self.tables: dict[int, np.ndarray] = {}
        self.known: dict[int, np.ndarray] = {}  # by component: lowest bit received of each coefficient, 99 for none

    def picture(self) -> Picture:
        self.read()
        every = range(len(self.header.components))
        tables = tuple(self.tables.get(c, np.ones((8, 8), np.uint16)) for c in every)
        return Picture(tuple(self.planes()), self.header.size, self.frame.factors, self.header.color, tables)

    def read(self) -> None:
        """Read all scans."""
        while (scan := self.segments.parse(self.header)) is not None:
            self.scan(scan)
        components = range(len(self.header.components))
        if not components:
            raise StreamError("the JPEG file holds no picture")
        if any(c not in self.known or self.known[c][0] == 99 for c in components):
            raise StreamError("the JPEG file is cut: scans of some components are missing")

    def planes(self) -> list[np.ndarray]:
        """The blocks of each component, int16 [rows, columns, 8, 8]."""
        found = []
        for offset, columns, rows in self.layout[:, :3].tolist():
            found.append(self.blocks[offset : offset + rows * columns].reshape(rows, columns, 8, 8))
        return found

    def unfinished(self) -> bool:
        """Whether the file is progressive and leaves bits of AC coefficients out."""
        return self.header.is_progressive and any(known.any() for known in self.known.values())

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
        self.segments.position, clean, starts, codes = kernels.pieces(self.data, self.segments.position)
        # With Huffman codes every block takes a bit at least, except in end-of-band runs: a header that promises more
        # is not honest.
        takes_bits = scan.start == 0 and not header.is_arithmetic
        if self.strict and takes_bits and n_blocks > 8 * int(starts[-1]):
            raise StreamError(f"the JPEG file is cut: its scan of {n_blocks} blocks has {starts[-1]} bytes")
        if self.blocks is None:
            self.blocks = np.zeros((int((self.layout[:, 1] * self.layout[:, 2]).sum()) + 1, 64), np.int16)
        decode = self.decoder(scan, layout)
        self.check_order(scan)
        order, blocks_in_mcu = self.order(scan, layout)
        interval = header.restart * blocks_in_mcu
        intervals = -(-len(order) // interval) if interval else 1
        due = 0xD0 + np.arange(intervals - 1) % 8
        # Where a lost marker left coefficients out, the scans that refine them read other bits than were written.
        strict = self.strict and not (scan.high and scan.start and self.gaps.intersection(scan.components))
        # What is left over may be markers, but no data.
        if strict and np.array_equal(codes[: intervals - 1], due) and starts[intervals] == starts[-1]:
            recovery.check(decode(clean, starts, order, interval, 0)[0])
            last_mcu = len(order) // blocks_in_mcu - 1
        else:
            place = (clean, starts, codes, order, interval, blocks_in_mcu)
            last_mcu = recovery.decode_intervals(decode, *place, strict)
            self.gaps.update(scan.components)
        self.decoded(scan, last_mcu)

    def decoder(self, scan: Scan, layout: np.ndarray):
        """The decoding loop of a scan's blocks, a function of clean bytes, starts, order, interval, mcu (`kernels`)."""
        if self.header.is_arithmetic:
            conditioning = np.array(self.header.conditioning)

            def decode_arithmetic(clean, starts, order, interval, _):
                place = (clean, starts, self.blocks, order, layout, interval)
                return arithmetic_kernels.decode(*place, scan.band, conditioning)

            return decode_arithmetic
        lookups, shorts = self.lookups(scan)
        bits: tuple[int, ...]
        if not self.header.is_progressive:
            loop, bits = kernels.decode_sequential, ()
        elif scan.start == 0:
            loop, bits = kernels.decode_dc, (scan.high, scan.low)
        else:
            loop = kernels.decode_ac_refine if scan.high else kernels.decode_ac_first
            bits = scan.start, scan.end, scan.low

        def decode(clean, starts, order, interval, mcu):
            place = (kernels.to_words(clean), starts, order, layout, interval, mcu)
            return loop(*place, *bits, lookups, shorts, self.blocks)

        return decode

    def decoded(self, scan: Scan, last_mcu: int) -> None:
        """Told of each scan that was decoded, and of the last MCU that had data."""

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
                if self.strict and table.min() == 0:
                    raise StreamError(f"the JPEG file is damaged: quantization table {number} holds a step of 0")
                self.tables[c] = table
                self.known[c] = np.full(64, 99)
            band = self.known[c][scan.start : scan.end + 1]
            if not self.strict:
                continue
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
            if not self.strict and number < 0x10 and (header.huffman[number][1] > 15).any():
                raise StreamError(f"the JPEG file is damaged: Huffman table {number:#04x} has DC symbols above 15")
            row = (number >> 4) * 4 + (number & 15)
            kernels.fill_lookup(*header.huffman[number], lookups[row], shorts[row])
        return lookups, shorts


class PaddedReader(_Reader):
    """A reader that keeps the blocks of whole MCUs, and smooths what a progressive file does not send."""

    def __init__(self, data: bytes, max_pixels: int):
        super().__init__(data, max_pixels)
        self.scans = 0
        # As libjpeg keeps them, by component: the lowest bit received of each coefficient, -1 for none; and what that
        # was before the component's last scan.
        self.bits: dict[int, np.ndarray] = {}
        self.bits_before: dict[int, np.ndarray] = {}
        self.last_row = 0  # of MCUs, in which data of the last scan were found

    def start_frame(self) -> None:
        super().start_frame()
        self.layout = recovery.mcu_layout(self.header)

    def order(self, scan: Scan, layout: np.ndarray) -> tuple[np.ndarray, int]:
        return recovery.mcu_order(self.header, scan, layout)

    def check_order(self, scan: Scan) -> None:
        super().check_order(scan)
        self.scans += 1
        for c in scan.components:
            bits = self.bits.setdefault(c, np.full(64, -1))
            before = self.bits_before.setdefault(c, np.full(64, -1))
            band = slice(min(scan.start, 1), max(scan.end, 9) + 1)
            before[band] = bits[band] if self.scans > 1 else 0
            bits[scan.start : scan.end + 1] = scan.low

    def decoded(self, scan: Scan, last_mcu: int) -> None:
        if len(scan.components) > 1:
            self.last_row = last_mcu // -(-self.header.size[1] // (8 * max(c.h for c in self.header.components)))
        else:
            (c,) = scan.components
            self.last_row = last_mcu // recovery.size_in_blocks(self.header, c)[1] // self.header.components[c].v

    def planes(self) -> list[np.ndarray]:
        planes, smooths = [], self.smooths()
        for c, (offset, columns, rows) in enumerate(self.layout[:, :3].tolist()):
            plane = self.blocks[offset : offset + rows * columns].reshape(rows, columns, 64)
            high, wide = recovery.size_in_blocks(self.header, c)
            if smooths:
                bits = self.bits[c], self.bits_before[c] if self.scans > 1 else np.full(64, -1)
                plane = recovery.smooth(
                    plane[:, :wide], high, self.header.components[c].v, self.tables[c], bits, self.last_row
                )
            planes.append(np.ascontiguousarray(plane[:high, :wide]).reshape(high, wide, 8, 8))
        return planes

    def smooths(self) -> bool:
        """Whether libjpeg smooths this file: a progressive one with the DC, but without all bits of the first AC."""
        every = range(len(self.header.components))
        if not self.header.is_progressive or any(c not in self.bits for c in every):
            return False
        if any(self.tables[c].ravel()[kernels.ZIGZAG[:10]].min() == 0 or self.bits[c][0] < 0 for c in every):
            return False
        return any(self.bits[c][1:10].any() for c in every)


class PartialReader(PaddedReader):
    """A reader that goes on where files are cut or damaged."""

    strict = False

    def read(self) -> None:
        """Read scans until the file ends, or until there is something that cannot be read."""
        try:
            while self.scans < _MOST_SCANS and (scan := self.segments.parse(self.header)) is not None:
                whole = len(scan.components) == len(self.header.components) and not self.scans
                self.scan(scan)
                if whole and not self.header.is_progressive:
                    return  # there is no other scan: libjpeg does not look at what follows
        except StreamError:
            if not self.scans:
                raise
        if not self.scans:
            raise StreamError("the JPEG file holds no picture")


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
