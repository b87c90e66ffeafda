"""Bytes, containers, stage lists, picture headers and videos: docs/format.md."""

import itertools
import json
import math
import zlib
from typing import NamedTuple

#: The codec numbers of docs/format.md.
NUMBERS = {
    "1": "codeckit:jpeg", "2": "codeckit:balle2017", "3": "codeckit:bmshj2018-factorized",
    "4": "codeckit:bmshj2018-hyperprior", "5": "codeckit:mbt2018-mean", "6": "codeckit:mbt2018",
    "7": "codeckit:cheng2020-anchor", "8": "codeckit:cheng2020-attn", "9": "codeckit:cheng2020",
    "10": "codeckit:cheng2020-checkerboard", "11": "codeckit:libjpeg", "12": "codeckit:webp",
    "13": "codeckit:jpeg2000", "14": "codeckit:avif", "15": "codeckit:png", "16": "codeckit:jpegxl",
    "17": "codeckit:mozjpeg", "18": "codeckit:jpegli", "20": "codeckit:h264", "21": "codeckit:hevc",
    "22": "codeckit:av1", "23": "codeckit:vp9", "24": "codeckit:vvc", "25": "codeckit:video-teaching",
    "26": "codeckit:jpeg2000-teaching", "27": "codeckit:jpeg-context", "28": "codeckit:jpeg-repack",
    "30": "codeckit:downsample", "31": "codeckit:uncompressed", "32": "codeckit:tokens",
    "33": "codeckit:token-indices", "34": "codeckit:token-arrays", "35": "codeckit:tokens-fsq",
    "36": "codeckit:tokens-vit", "37": "codeckit:dvc", "38": "codeckit:dcvc",
    "39": "codeckit:tokens-scenes",
}  # fmt: skip

STAGES, WEIGHTS, VIDEO = 1, 2, 3
TIMES, ASPECT = 67, 68


class DamagedStream(ValueError):
    """The stream does not follow the specification."""


def check(holds: bool, complaint: str) -> None:
    if not holds:
        raise DamagedStream(complaint)


class Reader:
    """Bytes, varints and blocks."""

    def __init__(self, data: bytes):
        self.data, self.position = bytes(data), 0

    def raw(self, length: int) -> bytes:
        check(self.position + length <= len(self.data), "the stream is cut")
        self.position += length
        return self.data[self.position - length : self.position]

    def byte(self) -> int:
        return self.raw(1)[0]

    def varint(self) -> int:
        value = 0
        for shift in range(0, 63, 7):
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise DamagedStream("a varint has more than 9 bytes")

    def block(self) -> bytes:
        return self.raw(self.varint())

    def rest(self) -> bytes:
        return self.raw(len(self.data) - self.position)


class Bits:
    """Bits, most significant first."""

    def __init__(self, data: bytes):
        self.bits, self.left = int.from_bytes(data, "big"), 8 * len(data)

    def read(self, width: int) -> int:
        check(width <= self.left, "the bits are cut")
        self.left -= width
        return self.bits >> self.left & (1 << width) - 1

    def gamma(self) -> int:
        """An Elias-gamma code."""
        zeros = 0
        while not self.read(1):
            zeros += 1
        return 1 << zeros | self.read(zeros)


def unfold(folded: int) -> int:
    return -(folded >> 1) - 1 if folded & 1 else folded >> 1


class Container(NamedTuple):
    codec: str
    revision: int
    sections: dict[int, bytes]
    payload: bytes


def decode_container(data: bytes, numbers: dict[str, str] = NUMBERS) -> Container:
    """Codec id (or label), revision of its profile, sections by tag, and payload."""
    check(data[:3] == b"ckt", "no .ckt stream")
    check(data[3:4] == b"\2", "another version of .ckt")
    check(zlib.crc32(data[:-4]) == int.from_bytes(data[-4:], "big"), "the CRC-32 does not match")
    reader = Reader(data[4:-4])
    number = reader.varint()
    check(not number or str(number) in numbers, f"there is no codec {number}")
    codec = numbers[str(number)] if number else reader.block().decode()
    revision, more = divmod(reader.varint(), 2)
    sections, last = {}, 0
    while more:
        tag, more = divmod(reader.varint(), 2)
        check(tag > last, "the sections are not in order")
        check(tag <= VIDEO or tag >= 64, f"section {tag} is unknown")
        sections[tag], last = reader.block(), tag
    return Container(codec, revision, sections, reader.rest())


def stage_list(held: Container, profiles: dict) -> list[list]:
    """All stages, [role, stage id, fields] each: those of the profile, but for what the stream says."""
    own = json.loads(held.sections.get(STAGES, b"[]"))
    if held.revision == 0:
        return own
    name = f"{held.codec}/{held.revision}"
    check(name in profiles, f"there is no profile {name}")
    changed = {role: [role, *stage] for role, *stage in own}
    return [changed.get(stage[0], stage) for stage in profiles[name]]


class Header(NamedTuple):
    """A picture header; `tables` has the steps of each plane."""

    size: tuple[int, int]
    color: int
    factors: list[tuple[int, int]]
    shapes: list[tuple[int, ...]]
    tables: list[list[int]]
    side: dict[str, int]


def picture_header(reader: Reader) -> Header:
    size = reader.varint(), reader.varint()
    check(min(size) > 0, "a picture without pixels")
    flags = reader.byte()
    factors, shapes, tables, side = [], [], [], {}
    for _ in range(reader.byte()):
        sampling = reader.byte()
        factors.append((sampling >> 4, sampling & 15))
        shapes.append(tuple(reader.varint() for _ in range(reader.byte())))
    check(bool(shapes) and all(2 <= len(shape) <= 8 and min(shape) > 0 for shape in shapes), "there are no planes")
    values, most = [math.prod(shape) for shape in shapes], 16 * (size[0] + 256) * (size[1] + 256)
    check(max(values) <= most and sum(values) <= 4 * most, "the planes are too large")
    check(flags & 63 < 6 and all(v and h for v, h in factors), "unknown colour model or sampling")
    if flags & 128:
        several = [[reader.varint() for _ in range(math.prod(shapes[0][2:]))] for _ in range(reader.varint())]
        chosen = [reader.byte() for _ in shapes]
        check(all(index < len(several) for index in chosen), "there is no such table")
        tables = [several[index] for index in chosen]
        check(all(1 <= step <= 65535 for table in tables for step in table), "a step outside 1 … 65535")
    if flags & 64:
        side = {reader.block().decode(): unfold(reader.varint()) for _ in range(reader.varint())}
    return Header(size, flags & 63, factors, shapes, tables, side)


def video(held: Container) -> tuple[tuple[int, int], tuple[int, int], list[bytes]]:
    """Size, frames a second as a fraction, and chunks of a video."""
    head, reader, chunks = Reader(held.sections[VIDEO]), Reader(held.payload), []
    height, width, numerator, denominator = (head.varint() for _ in range(4))
    while chunk := reader.block():
        chunks.append(chunk)
    reader.raw(4)
    check(not reader.rest(), "there are bytes behind the video")
    return (height, width), (numerator, denominator), chunks


def times(held: Container) -> tuple[int, list[int]]:
    """Ticks a second, and the ticks at which a video's frames begin, and at which the last one ends."""
    reader, found = Reader(held.sections[TIMES]), [0]
    scale = reader.varint()
    while reader.position < len(reader.data):
        found.append(found[-1] + reader.varint())
    check(scale > 0 and all(late > early for early, late in itertools.pairwise(found)), "no time passes")
    return scale, found
