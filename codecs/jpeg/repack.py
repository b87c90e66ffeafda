"""JPEG files made smaller without losing a bit: `repack`, and `unpack`, which restores the identical file.

A JPEG file's entropy coding is from 1992. `repack` reads its quantized coefficients, codes them by context mixing
(`codeckit.primitives.entropy.dct_context`), and keeps all else of the file, its *skeleton*: every marker segment, what
stands between and behind them, in short the file without the coded data of its scans. From the skeleton follow scan
script, Huffman tables and restart intervals, so `unpack` codes each scan as it was::

    file ─ scans ─→ coefficients ─ DctCoded ─┐
       └── without them: skeleton ─ deflate ─┴─→ .ckt

An encoder has freedom in how it codes given coefficients (which bits fill the last byte, whether runs of ended blocks
are joined …). The usual choices are modelled, libjpeg's and its descendants'. Whether a file follows them is not
guessed: it is restored and compared, and if a byte differs, or the file is damaged or no JPEG file at all, it is stored
as it is. So every file comes back identical. Arithmetic coding leaves an encoder no choice but how it ends; files are
modelled that end without zero bytes, as libjpeg ends them.

Blocks beyond the picture's edge, which pad it to whole MCUs, belong to the file: planes here are those of whole MCUs.

Source of the principle: M. Stirner and G. Seelmann, "Improved Redundancy Reduction for JPEG Files", PCS 2007 (packJPG).
"""

import zlib
from dataclasses import dataclass, replace

import numpy as np

from ...primitives import container
from ...primitives.bitstream import ByteReader, ByteWriter
from ...primitives.entropy.dct_context import decode_blocks, encode_blocks
from ...primitives.errors import StreamError
from ...primitives.picture import MAX_PIXELS, Picture, check_size
from ...primitives.stage import Stage
from .. import profiles
from . import arithmetic, kernels, markers, tables
from .huffman import JpegHuffman, _Reader, coded_bytes, describe, scan_tokens
from .markers import Header, Scan, Segments

#: The codec whose streams these are.
NAME = "jpeg-repack"

#: What the payload holds.
STORED, MODELLED = 1, 2

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
        data = _skeleton(reader) if mode == MODELLED else reader.rest()
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
    return container.unpack(stream).payload[:1] == bytes([MODELLED])


def pack_file(data: bytes) -> bytes:
    """The payload of a file: `unpack_file`'s inverse."""
    check = zlib.crc32(data).to_bytes(4, "big")
    try:
        modelled = _modelled(data)
        payload = bytes([MODELLED]) + check + modelled
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
    elif mode == MODELLED:
        skeleton, fill = _skeleton(reader), reader.byte() & 1
        frame = _Frame(skeleton, max_pixels)
        data = frame.file(frame.blocks(decode_blocks(reader.rest(), frame.grids, frame.tables)), fill)
    else:
        raise StreamError(f"a repacked JPEG file of an unknown kind, {mode}")
    if zlib.crc32(data) != int.from_bytes(check, "big"):
        raise StreamError("the repacked JPEG file is damaged: the restored file has another CRC-32 than it had")
    return data


def _skeleton(reader) -> bytes:
    """Inflate the skeleton, whose length stands before it."""
    length = reader.varint()
    inflate = zlib.decompressobj(-15, zdict=_DICTIONARY)
    try:
        skeleton = inflate.decompress(reader.block(), max(length, 1))
    except zlib.error as error:
        raise StreamError(f"the repacked file's segments are damaged: {error}") from error
    if len(skeleton) != length or not inflate.eof:
        raise StreamError("the repacked file's segments are damaged: their length does not match")
    return skeleton


def _modelled(data: bytes) -> bytes:
    """Skeleton and coefficients of a file that follows the model; `StreamError` for others."""
    reader = _PaddedReader(data, MAX_PIXELS)
    pieces, last, scans = [], 0, 0
    while (scan := reader.segments.parse(reader.header)) is not None:
        if reader.header.process == markers.LOSSLESS:
            raise StreamError("a lossless file")
        pieces.append(data[last : reader.segments.position])
        reader.scan(scan)
        last, scans = reader.segments.position, scans + 1
        if scans > _MOST_SCANS:
            raise StreamError(f"more than {_MOST_SCANS} scans")
    skeleton = b"".join([*pieces, data[last:]])
    frame = _Frame(skeleton, MAX_PIXELS)
    blocks = reader.blocks[:-1]
    fill = 1 if frame.file(blocks, 1) == data else 0  # if neither restores the file, its CRC-32 will say so
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=_DICTIONARY)
    out = ByteWriter()
    out.varint(len(skeleton))
    out.block(deflate.compress(skeleton) + deflate.flush())
    out.byte(fill)
    out.raw(encode_blocks(frame.planes(blocks), frame.tables))
    return out.getvalue()


def _mcu_layout(header: Header) -> np.ndarray:
    """Layout of the frame's components in blocks of whole MCUs."""
    layout = np.zeros((len(header.components), 7), np.int64)
    v_max, h_max = (max(getattr(c, side) for c in header.components) for side in ("v", "h"))
    high, wide = -(-header.size[0] // (8 * v_max)), -(-header.size[1] // (8 * h_max))
    offset = 0
    for i, c in enumerate(header.components):
        # A lone component is not interleaved: its MCU is a block.
        h, v = (1, 1) if len(header.components) == 1 else (c.h, c.v)
        if len(header.components) == 1:
            high, wide = -(-header.size[0] // 8), -(-header.size[1] // 8)
        layout[i] = offset, wide * h, high * v, h, v, 0, 0
        offset += wide * h * high * v
    return layout


def _order(header: Header, scan: Scan, layout: np.ndarray) -> tuple[np.ndarray, int]:
    """As `kernels.visit`, for planes of whole MCUs: a scan of one component leaves the padding out."""
    if len(scan.components) > 1:
        return kernels.visit(layout)
    frame = Picture((), header.size, tuple((c.v, c.h) for c in header.components))
    height, width = frame.plane_sizes[scan.components[0]]
    rows, columns = np.arange(-(-height // 8)), np.arange(-(-width // 8))
    order = np.zeros((len(rows) * len(columns), 2), np.int32)
    order[:, 0] = (layout[0, kernels.OFFSET] + rows[:, None] * layout[0, kernels.WIDE] + columns).ravel()
    return order, 1


class _PaddedReader(_Reader):
    """A reader that keeps the blocks of whole MCUs."""

    def start_frame(self) -> None:
        super().start_frame()
        self.layout = _mcu_layout(self.header)

    def order(self, scan: Scan, layout: np.ndarray) -> tuple[np.ndarray, int]:
        return _order(self.header, scan, layout)


class _Frame:
    """What a skeleton says of the file: where its scans were, with which tables, and how many blocks there are."""

    def __init__(self, skeleton: bytes, max_pixels: int):
        self.skeleton, self.header = skeleton, Header()
        segments = Segments(skeleton)
        self.scans: list[tuple[int, Scan, Header]] = []
        steps: dict[int, np.ndarray] = {}
        while (scan := segments.parse(self.header)) is not None:
            header = self.header
            self.scans.append((segments.position, scan, replace(header, huffman=dict(header.huffman))))
            for c in scan.components:
                # Steps only serve predictions, so any will do where a table is missing.
                table = header.quantization.get(header.components[c].table, np.full((8, 8), 16))
                steps.setdefault(c, np.maximum(table, 1))
            if len(self.scans) > _MOST_SCANS:
                raise StreamError(f"the repacked file has more than {_MOST_SCANS} scans")
        if not self.scans:
            raise StreamError("the repacked file has no scans")
        if self.header.process == markers.LOSSLESS:
            raise StreamError("the repacked file is lossless: it has samples where others have coefficients")
        check_size(self.header.size, max_pixels)
        self.layout = _mcu_layout(self.header)
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

    def file(self, blocks: np.ndarray, fill: int) -> bytes:
        """The skeleton with its scans coded again.

        Raises:
            StreamError: the blocks cannot be coded so.
        """
        if blocks.min() < -_LARGEST or blocks.max() > _LARGEST:
            raise StreamError("the repacked file holds coefficients that no JPEG file has")
        pieces, last = [], 0
        for position, scan, header in self.scans:
            layout = self.layout[list(scan.components)]
            layout[:, kernels.DC :] = scan.tables
            order, blocks_in_mcu = _order(self.header, scan, layout)
            place = (blocks, order, layout, header.restart * blocks_in_mcu)
            if header.is_arithmetic:
                coded = arithmetic.coded_bytes(*place, scan, header.conditioning)
            else:
                coded = coded_bytes(*scan_tokens(*place, scan, header.is_progressive), header.huffman, fill)
            pieces += [self.skeleton[last:position], coded]
            last = position
        return b"".join([*pieces, self.skeleton[last:]])
