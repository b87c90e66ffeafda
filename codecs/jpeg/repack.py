"""JPEG files made smaller without losing a bit: `repack`, and `unpack`, which restores the identical file.

A JPEG file's entropy coding is from 1992. `repack` reads its quantized coefficients, codes them by context mixing
(`codeckit.primitives.entropy.dct_context`), and keeps all else of the file, its *skeleton*: every marker segment, what
stands between and behind them, in short the file without the coded data of its scans. From the skeleton follow scan
script, Huffman tables and restart intervals, so `unpack` codes each scan as it was::

    file ─ scans ─→ coefficients ─ DctCoded ─┐
       └── without them: skeleton ─ deflate ─┴─→ .ckt

An encoder has freedom in how it codes given coefficients (which bits fill the last byte, whether runs of ended blocks
are joined …). The usual choices are modelled, libjpeg's and its descendants'. What stands behind a scan's data
(padding, restart markers that are left over) belongs to the skeleton. What else is odd about restart markers (another
numbering, fill bytes before them, one that is lost) is written down as *edits* of the data that the model gives.
Whether that is all is not guessed: the file is restored and compared, and if a byte differs, or the file is damaged or
no JPEG file at all, it is stored as it is. So every file comes back identical.

Blocks beyond the picture's edge, which pad it to whole MCUs, belong to the file: planes here are those of whole MCUs.

Source of the principle: M. Stirner and G. Seelmann, "Improved Redundancy Reduction for JPEG Files", PCS 2007 (packJPG).
"""

import re
import zlib
from dataclasses import dataclass

import numpy as np

from ...primitives import container
from ...primitives.bitstream import ByteReader, ByteWriter
from ...primitives.entropy.dct_context import decode_blocks, encode_blocks
from ...primitives.errors import StreamError
from ...primitives.picture import MAX_PIXELS, Picture, check_size
from ...primitives.stage import Stage
from .. import profiles
from . import kernels, markers, tables
from .huffman import JpegHuffman, PaddedReader, coded_bytes, describe, scan_tokens
from .markers import Header, Scan, Segments
from .recovery import mcu_layout, mcu_order, sources

#: The codec whose streams these are.
NAME = "jpeg-repack"

#: What the payload holds: the file; skeleton and coefficients; edits, skeleton and coefficients.
STORED, MODELLED, EDITED = 1, 2, 3

#: Files with more scans than any encoder makes are stored.
_MOST_SCANS = 128

#: Coefficients and the differences of DC ones keep to 15 bits.
_LARGEST = 16383

#: What nearly every file contains, so that deflate need not spell it out: JFIF's and the typical tables' segments.
_DICTIONARY = b"".join(
    [
        *(markers.huffman_segment({number: table}) for number, table in tables.STANDARD.items()),
        markers.huffman_segment(tables.STANDARD),
        bytes.fromhex("ffd8ffe000104a46494600010101004800480000ffe000104a46494600010100000100010000"),
        bytes.fromhex("ffc00011080000000003012200021101031101"),
        bytes.fromhex("ffda000c03010002110311003f00ffd9"),
    ]
)


@dataclass(frozen=True)
class Repacked(Stage):
    """A JPEG file, repacked, as an entropy stage: its inverse gives the quantized blocks that the file holds.

    >>> from codeckit.primitives import BlockDCT, QuantTable
    >>> picture = QuantTable(50).forward(BlockDCT().forward(Picture((np.zeros((8, 8), np.uint8),), (8, 8))))
    >>> int(Repacked().inverse(Repacked().forward(picture)).planes[0][0, 0, 0, 0])
    -64
    """

    def forward(self, picture: Picture) -> bytes:
        """The payload of the picture's baseline `.jpg` file."""
        return pack_file(JpegHuffman().forward(picture))

    def inverse(self, payload: bytes, max_pixels: int = MAX_PIXELS) -> Picture:
        """The picture in the file; raises `StreamError` where it is damaged or not JPEG."""
        return JpegHuffman().inverse(unpack_file(payload, max_pixels), max_pixels)

    def describe(self, payload: bytes) -> tuple[tuple[int, int], str]:
        """Size and colour model; raises `StreamError` where the file is not JPEG."""
        reader = ByteReader(payload)
        mode, _ = reader.byte(), reader.raw(4)
        if mode == EDITED:
            _inflated(reader)
        data = _inflated(reader) if mode in (MODELLED, EDITED) else reader.rest()
        size, _, details = describe(data)
        return size, details["colour"]


def repack(data: bytes) -> bytes:
    """A `.ckt` file from which `unpack` restores `data`, a JPEG file, to the bit. That has been tried when it returns.

    >>> import codeckit
    >>> data = codeckit.codec("jpeg").encode(np.zeros((64, 64, 3), np.uint8)) + b"and what follows"
    >>> unpack(repack(data)) == data, len(repack(data)) < len(data)
    (True, True)
    """
    profile = profiles.own()[NAME]
    return container.pack(container.Container(profile.written, profile.revision, pack_file(data)))


def unpack(stream: bytes, max_pixels: int = MAX_PIXELS) -> bytes:
    """The file that `repack` was given.

    Raises:
        StreamError: the stream is cut, damaged or another codec's, or holds a picture larger than `max_pixels`.
    """
    held = container.unpack(stream)
    if held.codec != profiles.own()[NAME].written:
        raise StreamError("the stream is no repacked JPEG file; codeckit.decode decodes others")
    return unpack_file(held.payload, max_pixels)


def is_modelled(stream: bytes) -> bool:
    """Whether a stream of `repack` holds coefficients, not the file as it was."""
    return container.unpack(stream).payload[:1] in (bytes([MODELLED]), bytes([EDITED]))


def pack_file(data: bytes) -> bytes:
    """The payload of a file: `unpack_file`'s inverse."""
    check = zlib.crc32(data).to_bytes(4, "big")
    try:
        mode, modelled = _modelled(data)
        payload = bytes([mode]) + check + modelled
        if len(modelled) <= len(data) and unpack_file(payload) == data:
            return payload
    except StreamError:
        pass
    return bytes([STORED]) + check + data


def unpack_file(payload: bytes, max_pixels: int = MAX_PIXELS) -> bytes:
    """The file of a payload.

    Raises:
        StreamError: the payload is damaged, or holds a picture larger than `max_pixels`.
    """
    reader = ByteReader(payload)
    mode, check = reader.byte(), reader.raw(4)
    if mode == STORED:
        data = reader.rest()
    elif mode in (MODELLED, EDITED):
        edits = _read_edits(_inflated(reader)) if mode == EDITED else []
        skeleton, fill = _inflated(reader), reader.byte() & 1
        frame = _Frame(skeleton, max_pixels)
        data = frame.file(frame.blocks(decode_blocks(reader.rest(), frame.grids, frame.tables)), fill, edits)
    else:
        raise StreamError(f"a repacked JPEG file of an unknown kind, {mode}")
    if zlib.crc32(data) != int.from_bytes(check, "big"):
        raise StreamError("the repacked JPEG file is damaged: the restored file has another CRC-32 than it had")
    return data


def _deflated(out: ByteWriter, data: bytes) -> None:
    """Write a length and deflated bytes."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=_DICTIONARY)
    out.varint(len(data))
    out.block(deflate.compress(data) + deflate.flush())


def _inflated(reader: ByteReader) -> bytes:
    """The inverse of `_deflated`."""
    length = reader.varint()
    inflate = zlib.decompressobj(-15, zdict=_DICTIONARY)
    try:
        data = inflate.decompress(reader.block(), max(length, 1))
    except zlib.error as error:
        raise StreamError(f"the repacked file's segments are damaged: {error}") from error
    if len(data) != length or not inflate.eof:
        raise StreamError("the repacked file's segments are damaged: their length does not match")
    return data


def _modelled(data: bytes) -> tuple[int, bytes]:
    """Kind and payload of a file that follows the model; `StreamError` for others."""
    reader = PaddedReader(data, MAX_PIXELS)
    heads, spans, last = [], [], 0
    while (scan := reader.segments.parse(reader.header)) is not None:
        first = reader.segments.position
        heads.append(data[last:first])
        reader.scan(scan)
        last = reader.segments.position
        spans.append(data[first:last])
        if len(spans) > _MOST_SCANS:
            raise StreamError(f"more than {_MOST_SCANS} scans")
    frame, blocks = _Frame(b"".join([*heads, data[last:]]), MAX_PIXELS), reader.blocks[:-1]
    found = []
    for fill in 1, 0:
        try:
            found.append((fill, *_differences(frame.scans_of(blocks, fill), spans)))
        except StreamError as error:
            refusal = error
        if found and not found[0][2]:
            break
    if not found:
        raise refusal
    fill, tails, edits = min(found, key=lambda each: sum(8 + len(edit.inserted) for edit in each[2]))
    out = ByteWriter()
    if edits:
        _deflated(out, _written_edits(edits))
    _deflated(out, b"".join(part for pair in zip(heads, tails, strict=True) for part in pair) + data[last:])
    out.byte(fill)
    out.raw(encode_blocks(frame.planes(blocks), frame.tables))
    return EDITED if edits else MODELLED, out.getvalue()


@dataclass(frozen=True)
class _Edit:
    """Bytes that take the place of others, which begin with a restart marker: the `marker`-th of all scans' data."""

    marker: int
    removed: int
    inserted: bytes


def _written_edits(edits: list[_Edit]) -> bytes:
    """Edits as bytes: their number, and for each the markers since the one before, bytes removed, bytes inserted."""
    out, last = ByteWriter(), 0
    out.varint(len(edits))
    for edit in edits:
        out.varint(edit.marker - last)
        out.varint(edit.removed)
        out.block(edit.inserted)
        last = edit.marker
    return out.getvalue()


def _read_edits(data: bytes) -> list[_Edit]:
    """The inverse of `_written_edits`."""
    reader, edits, last = ByteReader(data), [], 0
    for _ in range(reader.varint()):
        last += reader.varint()
        edits.append(_Edit(last, reader.varint(), reader.block()))
    return edits


def _edited(scan: bytes, marks: list[int], edits: list[_Edit], before: int) -> bytes:
    """The coded data of a scan with its edits; `marks` are its restart markers, `before` others there are before it."""
    pieces, last = [], 0
    for edit in edits:
        place = marks[edit.marker - before]
        if not last <= place <= place + edit.removed <= len(scan):
            raise StreamError("the repacked file's edits do not fit its scans")
        pieces += [scan[last:place], edit.inserted]
        last = place + edit.removed
    return b"".join([*pieces, scan[last:]])


def _marks(scan: bytes) -> list[int]:
    """Where restart markers stand in coded data without fill bytes."""
    found = np.frombuffer(scan, np.uint8)
    return np.flatnonzero((found[:-1] == 0xFF) & (found[1:] & 0xF8 == 0xD0)).tolist()


def _differences(regular: list[bytes], spans: list[bytes]) -> tuple[list[bytes], list[_Edit]]:
    """How a file's scans differ from what the model gives: what follows each scan's data, and edits.

    Raises:
        StreamError: they differ before the first restart marker.
    """
    tails, edits, markers_before = [], [], 0
    for model, span in zip(regular, spans, strict=True):
        marks: list[int] = []
        if span.startswith(model):
            tails.append(span[len(model) :])
        else:
            marks = _marks(model)
            tail, found = _aligned(model, marks, span)
            tails.append(tail)
            edits += [_Edit(markers_before + edit.marker, edit.removed, edit.inserted) for edit in found]
        markers_before += len(marks or _marks(model))
    return tails, edits


def _aligned(model: bytes, marks: list[int], span: bytes) -> tuple[bytes, list[_Edit]]:
    """What follows a scan's data, and its edits: intervals that are the same in both are found by their pieces."""
    found = list(re.finditer(rb"\xff+([\x01-\xbf\xd0-\xd7])", span))
    begins = [0, *(match.end() for match in found)]
    ends = [*(match.start() for match in found), len(span)]
    pieces = sources([*(match[1][0] for match in found), 0], len(marks) + 1)
    bounds = [*marks, len(model)]
    edits: list[_Edit] = []
    at = same = 0  # up to where the file and the model are told
    first = None  # the marker with which what is not told yet begins
    for number, piece in enumerate(pieces):
        interval = model[marks[number - 1] + 2 if number else 0 : bounds[number]]
        if piece >= 0 and span[begins[piece] : ends[piece]].startswith(interval):
            start = bounds[number] - len(interval)
            if number and model[same:start] != span[at : begins[piece]]:
                edits.append(_Edit(number - 1 if first is None else first, start - same, span[at : begins[piece]]))
            at, same, first = begins[piece] + len(interval), bounds[number], None
        elif number == 0:
            raise StreamError("the file's first restart interval is not coded as the model has it")
        elif first is None:
            first = number - 1
    if first is None:
        return span[at:], edits
    return b"", [*edits, _Edit(first, len(model) - same, span[at:])]


class _Frame:
    """What a skeleton says of the file: where its scans were, with which tables, and how many blocks there are."""

    def __init__(self, skeleton: bytes, max_pixels: int):
        self.skeleton, self.header = skeleton, Header()
        segments = Segments(skeleton)
        self.scans: list[tuple[int, Scan, dict, int]] = []
        steps: dict[int, np.ndarray] = {}
        while (scan := segments.parse(self.header)) is not None:
            header = self.header
            self.scans.append((segments.position, scan, dict(header.huffman), header.restart))
            for c in scan.components:
                # Steps only serve predictions, so any will do where a table is missing.
                table = header.quantization.get(header.components[c].table, np.full((8, 8), 16))
                steps.setdefault(c, np.maximum(table, 1))
            if len(self.scans) > _MOST_SCANS:
                raise StreamError(f"the repacked file has more than {_MOST_SCANS} scans")
        if not self.scans:
            raise StreamError("the repacked file has no scans")
        check_size(self.header.size, max_pixels)
        self.layout = mcu_layout(self.header)
        self.grids = [(int(high), int(wide)) for _, wide, high, *_ in self.layout]
        self.tables = [steps.get(c, np.full((8, 8), 16)) for c in range(len(self.grids))]

    def planes(self, blocks: np.ndarray) -> list[np.ndarray]:
        """Blocks int16 [N,64] as planes [rows, columns, 8, 8]."""
        ends = np.cumsum([rows * columns for rows, columns in self.grids])[:-1]
        parts = np.split(blocks, ends)
        return [part.reshape(*grid, 8, 8) for part, grid in zip(parts, self.grids, strict=True)]

    def blocks(self, planes) -> np.ndarray:
        """The inverse of `planes`."""
        return np.concatenate([plane.reshape(-1, 64) for plane in planes])

    def file(self, blocks: np.ndarray, fill: int, edits: list[_Edit]) -> bytes:
        """The skeleton with its scans coded again, and edited.

        Raises:
            StreamError: the blocks cannot be coded so.
        """
        pieces, last, before = [], 0, 0
        for (position, *_), scan in zip(self.scans, self.scans_of(blocks, fill), strict=True):
            if edits:
                marks = _marks(scan)
                these = [edit for edit in edits if before <= edit.marker < before + len(marks)]
                scan, before = _edited(scan, marks, these, before), before + len(marks)
            pieces += [self.skeleton[last:position], scan]
            last = position
        if edits and edits[-1].marker >= before:
            raise StreamError("the repacked file's edits do not fit its scans")
        return b"".join([*pieces, self.skeleton[last:]])

    def scans_of(self, blocks: np.ndarray, fill: int) -> list[bytes]:
        """The coded data of each scan.

        Raises:
            StreamError: the blocks cannot be coded so.
        """
        if blocks.min() < -_LARGEST or blocks.max() > _LARGEST:
            raise StreamError("the repacked file holds coefficients that no JPEG file has")
        coded = []
        progressive = self.header.process == markers.PROGRESSIVE
        for _, scan, huffman, restart in self.scans:
            layout = self.layout[list(scan.components)]
            layout[:, kernels.DC :] = scan.tables
            order, blocks_in_mcu = mcu_order(self.header, scan, layout)
            found, counts = scan_tokens(blocks, order, layout, restart * blocks_in_mcu, scan, progressive)
            coded.append(coded_bytes(found, counts, huffman, fill))
        return coded
