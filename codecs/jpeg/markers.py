"""The marker syntax of JPEG files (ITU-T T.81 Annex B): what stands around the coded scans.

A file is a sequence of *segments*: a marker (0xFF and a code), a length and a body. ``parse`` reads the segments up to
the next scan into a `Header`; functions named after the markers write them.

=====  ==========================================================
SOI    start of image
APP0   JFIF: the planes are grey or YCbCr (T.871)
APP1   Exif metadata, or an XMP packet
APP2   ICC profile, in chunks
APP14  Adobe: says which colour transform the planes had (T.872)
DQT    quantization tables, in zigzag order
SOF    frame: size, components, sampling factors; its code names the process
DHT    Huffman tables
DAC    conditioning of arithmetic coding
DRI    restart interval in MCUs
DNL    number of lines, behind the first scan, where SOF says 0
SOS    scan: components, band, bits; entropy-coded data follow
EOI    end of image
=====  ==========================================================
"""

import struct
from dataclasses import dataclass, field

import numpy as np

from ...primitives.entropy.layout import ZIGZAG
from ...primitives.errors import StreamError
from ..metadata import Metadata
from .typical import STANDARD

SOI, EOI, SOS, DQT, DHT, DAC, DRI, DNL, COM = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xCC, 0xDD, 0xDC, 0xFE
APP0, APP1, APP2, APP14 = 0xE0, 0xE1, 0xE2, 0xEE

#: Start-of-frame codes of what we decode, by the name of the process, and what we do not decode.
BASELINE, EXTENDED, PROGRESSIVE, LOSSLESS, ARITHMETIC, ARITHMETIC_PROGRESSIVE = 0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA
PROCESSES = {
    BASELINE: "baseline",
    EXTENDED: "extended",
    PROGRESSIVE: "progressive",
    LOSSLESS: "lossless",
    ARITHMETIC: "arithmetic-coded sequential",
    ARITHMETIC_PROGRESSIVE: "arithmetic-coded progressive",
}
UNSUPPORTED = {
    0xC5: "hierarchical (differential sequential)",
    0xC6: "hierarchical (differential progressive)",
    0xC7: "hierarchical (differential lossless)",
    0xCB: "arithmetic-coded lossless",
    0xCD: "hierarchical (arithmetic-coded differential sequential)",
    0xCE: "hierarchical (arithmetic-coded differential progressive)",
    0xCF: "hierarchical (arithmetic-coded differential lossless)",
    0xDE: "hierarchical",
    0xF7: "JPEG-LS",
}

_EXIF, _XMP, _ICC = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0"


@dataclass(frozen=True)
class Component:
    """One component of a frame: its identifier, sampling factors and quantization table."""

    identifier: int
    h: int
    v: int
    table: int


@dataclass(frozen=True)
class Scan:
    """One scan: which components (by position in the frame), band of coefficients, and bits.

    Attributes:
        components: positions in the frame.
        start, end: first and last coefficient in zigzag order.
        high, low: successive approximation; `low` is the lowest bit that the scan codes, `high` is `low` + 1 in a
            refining scan and 0 in a first one.
        tables: (DC, AC) table of each component: of Huffman codes, or of statistics of arithmetic coding.

    In a lossless file `start` is the predictor, and `low` the number of low bits that are left out.
    """

    components: tuple[int, ...]
    start: int = 0
    end: int = 63
    high: int = 0
    low: int = 0
    tables: tuple[tuple[int, int], ...] = ()

    @property
    def band(self) -> tuple[int, int, int, int]:
        """First and last coefficient, high and low bit."""
        return self.start, self.end, self.high, self.low


@dataclass
class Header:
    """What the segments read so far have said; tables may change between scans.

    Huffman tables (counts, symbols) stand by class << 4 | number, quantization tables (uint16 [8,8]) by number. The
    conditioning of arithmetic coding stands in the order 0 … 3 (L | U << 4 of DC tables), 4 … 7 (K of AC tables).
    """

    process: int = 0
    size: tuple[int, int] = (0, 0)
    components: tuple[Component, ...] = ()
    quantization: dict[int, np.ndarray] = field(default_factory=dict)
    huffman: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    conditioning: tuple[int, ...] = (0x10,) * 4 + (5,) * 4
    restart: int = 0
    height_behind: bool = False  # in a DNL segment
    jfif: bool = False
    adobe: int | None = None
    exif: bytes = b""
    xmp: bytes = b""
    comment: bytes = b""
    icc: dict[int, bytes] = field(default_factory=dict)

    @property
    def is_progressive(self) -> bool:
        """Whether scans hold bands and bits of the coefficients."""
        return self.process in (PROGRESSIVE, ARITHMETIC_PROGRESSIVE)

    @property
    def is_arithmetic(self) -> bool:
        """Whether scans are coded arithmetically, not by Huffman codes."""
        return self.process in (ARITHMETIC, ARITHMETIC_PROGRESSIVE)

    @property
    def color(self) -> str:
        """What the planes mean: JFIF and Adobe markers say it, or component identifiers; read as libjpeg reads them."""
        n, identifiers = len(self.components), bytes(component.identifier for component in self.components)
        if n == 1:
            return "grey"
        if n == 4:
            return "cmyk" if self.adobe in (None, 0) else "ycck"
        if self.jfif:
            return "ycbcr"
        if self.adobe is not None:
            return "rgb" if self.adobe == 0 else "ycbcr"
        is_plain = self.process == LOSSLESS and identifiers == b"\1\2\3"
        return "rgb" if identifiers == b"RGB" or is_plain else "ycbcr"

    @property
    def metadata(self) -> Metadata:
        """The file's metadata."""
        icc = b"".join(self.icc[number] for number in sorted(self.icc))
        return Metadata(self.exif, icc, self.xmp, self.comment)


class Segments:
    """Walks through a file's segments.

    >>> segments = Segments(b"\\xff\\xd8\\xff\\xdd\\x00\\x04\\x00\\x07\\xff\\xd9")
    >>> header = Header()
    >>> segments.parse(header), header.restart
    (None, 7)
    """

    def __init__(self, data: bytes):
        if data[:2] != b"\xff\xd8":
            raise StreamError("not a JPEG file: it does not begin with the bytes FF D8")
        self.data = data
        self.position = 2

    def parse(self, header: Header) -> Scan | None:
        """Read segments into `header` up to the next scan, whose coded data begin at `position`; None at the end.

        Raises:
            StreamError: cut, malformed, or of an unsupported process, which the message names.
        """
        while True:
            if self.position >= len(self.data) and header.process in (BASELINE, EXTENDED) and self._ends_with_restart():
                return None  # a last scan that is whole, with a restart marker behind it: libjpeg needs no EOI
            code = self._marker()
            if code == EOI:
                return None
            if 0xD0 <= code <= 0xD8 or code == 0x01:
                continue  # stray restart markers and the like stand alone and say nothing here
            body = self._body(code)
            if code == SOS:
                if header.components and header.size[0] == 0:
                    header.size, header.height_behind = (self._lines(), header.size[1]), True
                if header.process in (BASELINE, EXTENDED):
                    # Frames of motion JPEG leave the typical tables out, and libjpeg-turbo supplies them.
                    header.huffman = STANDARD | header.huffman
                return _parse_scan(body, header)
            if code in PROCESSES:
                _parse_frame(code, body, header)
            elif code in UNSUPPORTED:
                raise StreamError(f"this JPEG file is {UNSUPPORTED[code]}, which is not supported")
            elif code == DQT:
                _parse_quantization(body, header)
            elif code == DHT:
                _parse_huffman(body, header)
            elif code == DAC:
                _parse_conditioning(body, header)
            elif code == DRI:
                header.restart = _unpack(">H", body, "DRI")[0]
            elif code != DNL:  # whose number of lines was looked up where it is needed, and is ignored elsewhere
                _parse_application(code, body, header)

    def _ends_with_restart(self) -> bool:
        return self.data[-2] == 0xFF and 0xD0 <= self.data[-1] <= 0xD7

    def _marker(self) -> int:
        data, position = self.data, self.position
        if position >= len(data):
            raise StreamError("the JPEG file is cut: it ends without an end-of-image marker")
        if data[position] != 0xFF:
            # Anything between segments is passed over, as other decoders do, but a marker must follow.
            position = data.find(b"\xff", position)
            if position < 0:
                raise StreamError("the JPEG file is cut or damaged: no marker follows")
        while position < len(data) and data[position] == 0xFF:
            position += 1
        if position >= len(data):
            raise StreamError("the JPEG file is cut: it ends inside a marker")
        self.position = position + 1
        if data[position] == 0:
            return self._marker_after_stuffing()
        return data[position]

    def _marker_after_stuffing(self) -> int:
        """Coded data where a segment should stand: look for the next real marker."""
        data, position = self.data, self.position
        while True:
            position = data.find(b"\xff", position)
            if position < 0 or position + 1 >= len(data):
                raise StreamError("the JPEG file is cut or damaged: no marker follows")
            if data[position + 1] not in (0x00, 0xFF):
                self.position = position + 2
                return data[position + 1]
            position += 1

    def _lines(self) -> int:
        """The number of lines that the DNL segment behind the coming scan gives (T.81 B.2.5)."""
        behind, code = Segments(self.data), 0
        behind.position = self.position
        try:
            while code < 0xC0 or 0xD0 <= code <= 0xD7:
                behind.position = max(self.data.find(b"\xff", behind.position), behind.position)
                code = behind._marker()
            body = behind._body(code)
        except StreamError:
            body = b""
        lines = int.from_bytes(body, "big")
        if code != DNL or len(body) != 2 or lines == 0:
            raise StreamError("the JPEG file is cut or damaged: its height is 0, and no DNL segment gives it")
        return lines

    def _body(self, code: int) -> bytes:
        start = self.position
        length = int.from_bytes(self.data[start : start + 2], "big")
        if length < 2 or start + length > len(self.data):
            raise StreamError(f"the JPEG file is cut or damaged: its segment FF {code:02X} has no {length} bytes")
        self.position = start + length
        return self.data[start + 2 : start + length]


def process(data: bytes) -> int:
    """The start-of-frame code of a file.

    >>> import codeckit
    >>> PROCESSES[process(codeckit.codec("jpeg").encode(np.zeros((8, 8), np.uint8)))]
    'baseline'
    """
    header = Header()
    Segments(data).parse(header)
    return header.process


def _unpack(layout: str, body: bytes, name: str) -> tuple:
    if len(body) < struct.calcsize(layout):
        raise StreamError(f"the JPEG file is damaged: its {name} segment is too short")
    return struct.unpack_from(layout, body)


def _parse_frame(code: int, body: bytes, header: Header) -> None:
    if header.components:
        raise StreamError("the JPEG file holds more than one frame, which is not supported")
    precision, height, width, n = _unpack(">BHHB", body, "SOF")
    if precision != 8:
        raise StreamError(f"this JPEG file has {precision}-bit samples; only 8-bit ones are supported")
    if width == 0 or n not in (1, 3, 4) or len(body) != 6 + 3 * n:
        raise StreamError(f"this JPEG frame has {n} components and width {width}: pictures have 1, 3 or 4 components")
    components = []
    for i in range(n):
        identifier, sampling, table = body[6 + 3 * i : 9 + 3 * i]
        h, v = sampling >> 4, sampling & 15
        if not (1 <= h <= 4 and 1 <= v <= 4) or table > 3:
            raise StreamError(f"component {i} has sampling factors {h}×{v} and quantization table {table}")
        components.append(Component(identifier, h, v, table))
    header.process, header.size, header.components = code, (height, width), tuple(components)


def _parse_scan(body: bytes, header: Header) -> Scan:
    if not header.components:
        raise StreamError("the JPEG file is damaged: a scan stands before the frame header")
    n = body[0] if body else 0
    if not 1 <= n <= 4 or len(body) != 4 + 2 * n:
        raise StreamError(f"the JPEG file is damaged: a scan of {n} components")
    positions, tables = [], []
    for i in range(n):
        identifier, table = body[1 + 2 * i], body[2 + 2 * i]
        found = [p for p, c in enumerate(header.components) if c.identifier == identifier and p not in positions]
        if not found:
            raise StreamError(f"the JPEG file is damaged: a scan of component {identifier}, which its frame lacks")
        positions.append(found[0])
        tables.append((table >> 4, table & 15))
    start, end, approximation = body[1 + 2 * n : 4 + 2 * n]
    if header.process == LOSSLESS:
        return _lossless_scan(tuple(positions), start, approximation & 15, _used(tables, 0, 0, 0))
    if not header.is_progressive:
        start, end, approximation = 0, 63, 0  # sequential scans hold everything, whatever these bytes say
    high, low = approximation >> 4, approximation & 15
    tables = _used(tables, start, end, high)
    if not start <= end <= 63 or low > 13 or (high and high != low + 1):
        raise StreamError(f"the JPEG file is damaged: a scan of coefficients {start}…{end}, bits {high}, {low}")
    if header.is_progressive and (end != 0 if start == 0 else n > 1):
        raise StreamError("the JPEG file is damaged: a progressive scan mixes DC and AC, or AC of several components")
    if n > 1 and sum(header.components[p].h * header.components[p].v for p in positions) > 10:
        raise StreamError("the JPEG file is damaged: more than 10 blocks in an MCU")
    return Scan(tuple(positions), start, end, high, low, tuple(tables))


def _used(tables: list[tuple[int, int]], start: int, end: int, high: int) -> tuple[tuple[int, int], ...]:
    """The (DC, AC) tables of a scan's components, 0 in place of what the scan does not use, whatever is written there.

    Raises:
        StreamError: a table that it uses has no number from 0 to 3.
    """
    uses_dc, uses_ac = start == 0 and high == 0, end > 0  # a scan that refines DC values has plain bits
    found = []
    for dc, ac in tables:
        pair = dc * uses_dc, ac * uses_ac
        if max(pair) > 3:
            raise StreamError(f"the JPEG file is damaged: a scan uses table {max(pair)}; they are numbered from 0 to 3")
        found.append(pair)
    return tuple(found)


def _lossless_scan(positions, predictor, low, tables) -> Scan:
    if not 1 <= predictor <= 7 or low > 7:
        raise StreamError(f"the JPEG file is damaged: a lossless scan with predictor {predictor} and {low} bits less")
    return Scan(positions, predictor, 0, 0, low, tables)


def _parse_quantization(body: bytes, header: Header) -> None:
    while body:
        wide, table = body[0] >> 4, body[0] & 15
        length = 129 if wide else 65
        if wide > 1 or table > 3 or len(body) < length:
            raise StreamError("the JPEG file is damaged: a malformed quantization table")
        steps = np.frombuffer(body[1:length], ">u2" if wide else np.uint8)
        natural = np.empty(64, np.uint16)
        natural[ZIGZAG] = steps
        header.quantization[table] = natural.reshape(8, 8)
        body = body[length:]


def _parse_huffman(body: bytes, header: Header) -> None:
    while body:
        counts = np.frombuffer(body[1:17], np.uint8)
        n = int(counts.sum())
        if len(body) < 17 + n or n > 256 or body[0] >> 4 > 1 or body[0] & 15 > 3:
            raise StreamError("the JPEG file is damaged: a malformed Huffman table")
        if sum(int(count) << (16 - length) for length, count in enumerate(counts, 1)) > 1 << 16:
            raise StreamError("the JPEG file is damaged: a Huffman table that is no prefix code")
        header.huffman[body[0]] = counts, np.frombuffer(body[17 : 17 + n], np.uint8)
        body = body[17 + n :]


def _parse_conditioning(body: bytes, header: Header) -> None:
    values = list(header.conditioning)
    for table, value in zip(body[::2], body[1::2], strict=False):
        if len(body) % 2 or table > 0x1F or (table < 0x10 and value & 15 > value >> 4):
            raise StreamError("the JPEG file is damaged: a malformed conditioning of arithmetic coding")
        if table & 15 < 4:
            values[(table >> 4) * 4 + (table & 3)] = value
    header.conditioning = tuple(values)


def _parse_application(code: int, body: bytes, header: Header) -> None:
    if code == APP0 and body[:5] == b"JFIF\0":
        header.jfif = True
    elif code == APP14 and body[:5] == b"Adobe" and len(body) >= 12:
        header.adobe = body[11]
    elif code == APP1 and body.startswith(_EXIF):
        header.exif = header.exif or body[len(_EXIF) :]
    elif code == APP1 and body.startswith(_XMP):
        header.xmp = header.xmp or body[len(_XMP) :]
    elif code == APP2 and body.startswith(_ICC) and len(body) > 14:
        header.icc[body[12]] = body[14:]
    elif code == COM:
        header.comment = header.comment or body


def is_beyond_pillow(data: bytes) -> bool:
    """Whether a `.jpg` file is of a kind that Pillow does not read, or not whole, and is no CMYK picture.

    >>> import codeckit
    >>> codec = codeckit.codec("jpeg", arithmetic=True)
    >>> is_beyond_pillow(codec.encode(np.zeros((8, 8), np.uint8)))
    True
    """
    header = Header()
    try:
        Segments(data).parse(header)
    except StreamError:
        return False
    odd = header.is_arithmetic or header.process == LOSSLESS or header.height_behind
    return odd and len(header.components) != 4


def segment(code: int, body: bytes) -> bytes:
    """A marker segment.

    >>> segment(DRI, b"\\x00\\x07").hex()
    'ffdd00040007'
    """
    if len(body) > 65533:
        raise ValueError(f"a JPEG segment holds at most 65533 bytes, not {len(body)}; drop or shorten the metadata")
    return struct.pack(">BBH", 0xFF, code, len(body) + 2) + body


def application_segment(color: str) -> bytes:
    """JFIF (for grey and YCbCr planes) or Adobe (for RGB ones)."""
    if color == "rgb":
        return segment(APP14, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, 0))
    return segment(APP0, b"JFIF\0" + struct.pack(">HBHHBB", 0x0101, 0, 1, 1, 0, 0))


def metadata_segments(metadata: Metadata) -> bytes:
    """The segments of Exif, XMP, ICC profile and comment.

    Raises:
        ValueError: more of a kind than the format holds: 64 kB, or 255 times as much for a profile.

    >>> metadata_segments(Metadata(exif=bytes(65536)))
    Traceback (most recent call last):
    ...
    ValueError: a JPEG file holds 65527 bytes of Exif, not 65536: shorten it (often a preview is in it) or drop it
    """
    chunks = [metadata.icc[i : i + 65519] for i in range(0, len(metadata.icc), 65519)]
    limits = (
        ("Exif", metadata.exif, 65533 - len(_EXIF), " (often a preview is in it)"),
        ("XMP", metadata.xmp, 65533 - len(_XMP), ""),
        ("a comment", metadata.comment, 65533, ""),
        ("an ICC profile", metadata.icc, 255 * 65519, ""),
    )
    for name, contents, limit, hint in limits:
        if len(contents) > limit:
            raise ValueError(
                f"a JPEG file holds {limit} bytes of {name}, not {len(contents)}: shorten it{hint} or drop it"
            )
    out = b""
    if metadata.exif:
        out += segment(APP1, _EXIF + metadata.exif)
    if metadata.xmp:
        out += segment(APP1, _XMP + metadata.xmp)
    for number, chunk in enumerate(chunks, 1):
        out += segment(APP2, _ICC + bytes([number, len(chunks)]) + chunk)
    if metadata.comment:
        out += segment(COM, metadata.comment)
    return out


def quantization_segment(tables: list[np.ndarray]) -> bytes:
    """DQT with all tables (uint16 [8,8]), numbered in order."""
    body = b""
    for number, table in enumerate(tables):
        steps = np.asarray(table).ravel()[ZIGZAG]
        wide = int(steps.max() > 255)
        body += bytes([wide << 4 | number]) + steps.astype(">u2" if wide else np.uint8).tobytes()
    return segment(DQT, body)


def frame_segment(process: int, size: tuple[int, int], components: list[Component]) -> bytes:
    """SOF."""
    body = struct.pack(">BHHB", 8, *size, len(components))
    for component in components:
        body += bytes([component.identifier, component.h << 4 | component.v, component.table])
    return segment(process, body)


def huffman_segment(tables: dict[int, tuple[np.ndarray, np.ndarray]]) -> bytes:
    """DHT with all tables, by class << 4 | number: counts of codes of 1…16 bits, symbols in order of code."""
    body = b""
    for number, (counts, symbols) in sorted(tables.items()):
        body += bytes([number]) + counts.astype(np.uint8).tobytes() + symbols.astype(np.uint8).tobytes()
    return segment(DHT, body)


def conditioning_segment(small: int, large: int, split: int, tables: list[int]) -> bytes:
    """DAC: the same L, U and K for some tables' DC and AC statistics."""
    pairs = [(number, small | large << 4) for number in tables] + [(0x10 | number, split) for number in tables]
    return segment(DAC, bytes(value for pair in pairs for value in pair))


def scan_segment(scan: Scan, identifiers: list[int]) -> bytes:
    """SOS."""
    body = bytes([len(scan.components)])
    for position, (dc, ac) in zip(scan.components, scan.tables, strict=True):
        body += bytes([identifiers[position], dc << 4 | ac])
    return segment(SOS, body + bytes([scan.start, scan.end, scan.high << 4 | scan.low]))
