"""A `.jpg` file field by field: markers, tables, the first Huffman codes, and what every coefficient took.

Works on files of any encoder. Sequential scans are metered exactly: a coefficient takes its Huffman code (the run of
zeros before it included) and its extra bits, the end of block is booked on the first coefficient that it leaves out.
The scans of progressive files are parts of their own, without costs. Where restart markers are lost, the costs are
those that the blocks would have in a file that had them.
"""

import re

import numpy as np

from ...primitives.anatomy import Anatomy, Dissector, Part
from ...primitives.errors import StreamError
from ...primitives.picture import Picture
from . import kernels, markers, tables

#: Codes of the first scan that are told one by one.
FIRST_CODES = 160

_NAMES = {
    markers.SOI: "SOI: start of image",
    markers.EOI: "EOI: end of image",
    markers.SOS: "SOS: scan",
    markers.DQT: "DQT: quantization tables",
    markers.DHT: "DHT: Huffman tables",
    markers.DRI: "DRI: restart interval",
    markers.DNL: "DNL: number of lines",
    **{0xD0 + number: "RST: restart marker without data" for number in range(8)},
    markers.COM: "COM: comment",
    markers.APP0: "APP0: JFIF",
    markers.APP1: "APP1: Exif or XMP",
    markers.APP2: "APP2: colour profile",
    markers.APP14: "APP14: Adobe",
    markers.BASELINE: "SOF0: baseline frame",
    markers.EXTENDED: "SOF1: extended frame",
    markers.PROGRESSIVE: "SOF2: progressive frame",
}


def anatomy(picture: Picture, data: bytes) -> Anatomy:
    """Every part of a JPEG file, and the costs of its coefficients [rows, columns, 8, 8] a component.

    Args:
        picture: the blocks that the file holds.
        data: the file.

    Raises:
        StreamError: the file is damaged.

    >>> import codeckit
    >>> trace = codeckit.codec("jpeg").trace(np.zeros((8, 8), np.uint8))
    >>> found = anatomy(trace.steps[-2].value, trace.stream)
    >>> [part.name for part in found.parts[:3]], found.bits, int(found.costs[0].sum())
    (['marker', 'marker', 'length'], 1248, 10)
    """
    found = Dissector(data)
    segments, header = markers.Segments(data), markers.Header()
    costs, first = (), True
    while (scan := segments.parse(header)) is not None:
        _segments(found, segments.position)
        end = _end_of_scan(data, segments.position)
        found.group = "coded data"
        if first:
            found.parts += _first_codes(data, found.position, end, header, scan)
            if header.process != markers.PROGRESSIVE and len(scan.components) == len(header.components):
                costs = _costs(picture, header, scan)
        else:
            band = (
                f"coefficients {scan.start}–{scan.end}, bits from {scan.low} up" if scan.end else f"DC, bit {scan.low}"
            )
            found.parts.append(Part("codes of the scan", 8 * (end - found.position), band, found.group, "quantize"))
        found.position = segments.position = end
        first = False
    _segments(found, len(data))
    return Anatomy(tuple(found.parts), costs)


#: Markers that end a scan or stand between segments, with their fill bytes; and restart markers.
_MARKER, _RESTART = re.compile(rb"\xff+[\xc0-\xfe]"), re.compile(rb"\xff+[\xd0-\xd7]")
_END = re.compile(rb"\xff+[\xc0-\xcf\xd8-\xfe]")


def _end_of_scan(data, position):
    """Where the next marker stands that is no restart."""
    found = _END.search(data, position)
    return found.start() if found else len(data)


def _segments(found: Dissector, end: int) -> None:
    """Dissect marker segments up to `end`."""
    while found.position < end:
        follows = _MARKER.match(found.data, found.position)
        if not follows:
            follows = _MARKER.search(found.data, found.position, end)
            found.group = "between segments"
            found.take((follows.start() if follows else end) - found.position, "bytes that belong to no segment")
            continue
        code = found.data[found.position + 1]
        found.group = _NAMES.get(code, f"marker FF {code:02X}")
        if code in (markers.SOI, markers.EOI, 0xFF) or 0xD0 <= code <= 0xD7:
            found.take(1 if code == 0xFF else 2, "marker", f"FF {code:02X}")
            if code == markers.EOI and found.position < end:
                found.group = "behind the image"
                found.take(end - found.position, "bytes that belong to no segment")
            continue
        found.take(2, "marker", f"FF {code:02X}")
        body_end = found.position + found.number(2, "length", value=lambda n: f"{n} bytes")
        if code in (markers.BASELINE, markers.EXTENDED, markers.PROGRESSIVE):
            _frame(found)
        elif code == markers.DQT:
            _quantization(found, body_end)
        elif code == markers.DHT:
            _huffman(found, body_end)
        elif code == markers.SOS:
            for _ in range(found.number(1, "components in the scan")):
                found.take(1, "component")
                found.number(1, "its Huffman tables", value=lambda n: f"DC {n >> 4}, AC {n & 15}")
            found.number(1, "first coefficient")
            found.number(1, "last coefficient")
            found.number(1, "bits", value=lambda n: f"high {n >> 4}, low {n & 15}")
        elif code == markers.APP0 and found.data[found.position : found.position + 5] == b"JFIF\0":
            found.take(5, "identifier", "JFIF", "color")
            found.number(2, "version", "color", lambda n: f"{n >> 8}.{n & 255:02}")
            found.number(1, "unit of density", "color")
            found.number(2, "horizontal density", "color")
            found.number(2, "vertical density", "color")
        elif code == markers.DRI:
            found.number(2, "restart interval", value=lambda n: f"{n} MCUs")
        elif code == markers.DNL:
            found.number(2, "height", "image", lambda n: f"{n} rows")
        role = "color" if code in (markers.APP0, markers.APP2, markers.APP14) else "entropy"
        found.take(max(body_end - found.position, 0), "contents", role=role)


def _frame(found):
    found.number(1, "precision", "image", lambda n: f"{n} bits a sample")
    found.number(2, "height", "image", lambda n: f"{n} rows")
    found.number(2, "width", "image", lambda n: f"{n} columns")
    for _ in range(found.number(1, "components", "color")):
        found.number(1, "component", "color")
        found.number(1, "its sampling", "subsample", lambda n: f"{n >> 4}×{n & 15} (horizontal × vertical)")
        found.number(1, "its quantization table", "quantize")


def _quantization(found, end):
    while found.position < end:
        wide = found.number(
            1, "precision and number", "quantize", lambda n: f"{'16' if n >> 4 else '8'} bits, table {n & 15}"
        ) >> 4  # fmt: skip
        steps = found.data[found.position : found.position + (128 if wide else 64)]
        shown = np.frombuffer(steps[: len(steps) // 2 * 2], ">u2") if wide else np.frombuffer(steps, np.uint8)
        found.take(len(steps), "64 steps in zigzag order", " ".join(map(str, shown[:16])) + " …", "quantize")


def _huffman(found, end):
    while found.position < end:
        found.number(1, "class and number", value=lambda n: f"{'AC' if n >> 4 else 'DC'} {n & 15}")
        counts = list(found.data[found.position : found.position + 16])
        found.take(16, "codes of 1 … 16 bits", " ".join(map(str, counts)))
        symbols = found.data[found.position : found.position + sum(counts)]
        found.take(
            len(symbols), "symbols in order of code", symbols[:16].hex(" ") + (" …" if len(symbols) > 16 else "")
        )


class _Bits:
    """The bits of coded data one by one, stuffed zeros stepped over."""

    def __init__(self, data, position, end):
        self.data, self.byte, self.end, self.bit = data, position, end, 0
        self.stuffed = 0  # bits of stuffing that were stepped over since `take` was last called

    def next(self):
        if self.bit == 8:
            self.byte, self.bit = self.byte + 1, 0
            if self.data[self.byte] == 0 and self.data[self.byte - 1] == 0xFF:
                self.byte += 1
                self.stuffed += 8
        if self.byte >= self.end or (self.bit == 0 and _MARKER.match(self.data, self.byte)):
            raise StreamError("the scan ends")
        self.bit += 1
        return str(self.data[self.byte] >> 8 - self.bit & 1)

    def restart(self, number):
        """Step over the padding and the restart marker that is due; the number of bits that this takes."""
        before = 8 * self.byte + self.bit
        found = _RESTART.search(self.data, self.byte, self.end)
        if not found or self.data[found.end() - 1] != 0xD0 + number % 8:
            raise StreamError("another restart marker was due")
        self.byte, self.bit = found.end(), 0
        return 8 * self.byte - before

    def read(self, count):
        return "".join(self.next() for _ in range(count))


def _first_codes(data, position, end, header, scan) -> list[Part]:
    """The first Huffman codes of the first scan, decoded for a reader, and the rest of the scan as one part."""
    words = {}
    for number, table in header.huffman.items():
        codes, lengths = tables.code_words({number: table})
        first = 256 * ((number >> 4) * 4 + (number & 3))
        words[number] = {
            format(int(codes[first + s]), f"0{int(lengths[first + s])}b"): s for s in range(256) if lengths[first + s]
        }
    layout, names = _layout(header, scan), _component_names(header)
    order, blocks_in_mcu = kernels.visit(layout)
    interval = header.restart * blocks_in_mcu
    bits, parts = _Bits(data, position, end), []
    group = "coded data: the first Huffman codes"
    only_dc = header.process == markers.PROGRESSIVE

    def code(table, name, explain):
        text = ""
        while text not in words[table]:
            if len(text) == 16:
                raise StreamError("no code begins like that")
            text += bits.next()
        symbol = words[table][text]
        size = symbol & 15
        extra = bits.read(size)
        value = int(extra or "0", 2)
        if size and extra[0] == "0":
            value -= (1 << size) - 1
        shown = f"{text} → {explain(symbol, value)}" if not extra else f"{text} {extra} → {explain(symbol, value)}"
        parts.append(Part(name, len(text) + len(extra) + bits.stuffed, shown, group, "quantize"))
        bits.stuffed = 0
        return symbol

    seen: dict[int, int] = {}
    try:
        for i, (_, c) in enumerate(order.tolist()):
            if interval and i and i % interval == 0:
                parts.append(Part("padding and restart marker", bits.restart(i // interval - 1), "", group))
            dc, ac = scan.tables[c]
            block = seen[c] = seen.get(c, -1) + 1
            where = f"{names[scan.components[c]]} block {block}"
            code(dc, f"{where}, DC", lambda symbol, value: f"size {symbol}: difference {value:+d}")
            k = 1
            while k < 64 and not only_dc:
                at = k

                def told(symbol, value, at=at):
                    if symbol == 0:
                        return "end of block"
                    if symbol == 0xF0:
                        return "16 zeros"
                    return f"{symbol >> 4} zeros, size {symbol & 15}: {value:+d} at zigzag {at + (symbol >> 4)}"

                symbol = code(0x10 | ac, f"{where}, AC", told)
                k = 64 if symbol == 0 else k + (symbol >> 4) + 1
            if len(parts) >= FIRST_CODES:
                break
    except (StreamError, IndexError, KeyError):
        pass  # the scan is over; what was read is told
    taken = sum(part.bits for part in parts)
    rest = 8 * (end - position) - taken
    if rest < 0:
        return [Part("codes of the scan", 8 * (end - position), "", "coded data", "quantize")]
    return [*parts, *([Part("the other codes", rest, "", "coded data", "quantize")] if rest else [])]


def _component_names(header):
    names = {1: ("Y",), 3: ("Y", "Cb", "Cr"), 4: ("C", "M", "Y", "K")}
    return names.get(len(header.components), tuple(map(str, range(len(header.components)))))


def _layout(header, scan):
    """The kernels' layout of a scan's components."""
    frame = Picture((), header.size, tuple((c.v, c.h) for c in header.components))
    layout, offset = np.zeros((len(header.components), 7), np.int64), 0
    for i, component in enumerate(header.components):
        height, width = frame.plane_sizes[i]
        rows, columns = -(-height // 8), -(-width // 8)
        layout[i] = offset, columns, rows, component.h, component.v, 0, 0
        offset += rows * columns
    layout = layout[list(scan.components)]
    layout[:, kernels.DC :] = scan.tables
    return layout


def _costs(picture, header, scan):
    """What every coefficient of a sequential scan took."""
    layout = _layout(header, scan)
    order, blocks_in_mcu = kernels.visit(layout)
    _, lengths = tables.code_words(header.huffman)
    blocks = np.concatenate([plane.reshape(-1, 64) for plane in picture.planes])
    costs = np.zeros(blocks.shape, np.float64)
    kernels.costs_sequential(blocks, order, layout, header.restart * blocks_in_mcu, lengths, costs)
    planes, at = [], 0
    for plane in picture.planes:
        count = plane.shape[0] * plane.shape[1]
        planes.append(costs[at : at + count].reshape(plane.shape))
        at += count
    return tuple(planes)
