"""Damage streams in every way and see that decoding ends in a picture or a `StreamError`, soon and in little memory.

    python -m codeckit.bench.studies.fuzz                               # 20,000 mutations and the bombs, a few minutes
    python -m codeckit.bench.studies.fuzz --count 200000 --seed 7 --jobs 8
    python -m codeckit.bench.studies.fuzz --learned --count 5000        # `.ckt` files of every learned codec instead
    python -m codeckit.bench.studies.fuzz --tokens --count 5000         # `.ckt` files of tokens instead
    python -m codeckit.bench.studies.fuzz --repack --count 20000        # JPEG files, repacked and unpacked, are damaged
    python -m codeckit.bench.studies.fuzz --pictures --count 20000      # picture files of every format, to be encoded
    python -m codeckit.bench.studies.fuzz --video --count 5000          # video files and `.ckt` videos instead

Streams are small JPEG files of all kinds (Huffman-coded, arithmetic-coded, lossless) and `.ckt` files of every entropy
stage. A mutation flips bits, changes, cuts, inserts or moves bytes, splices two streams, duplicates, removes or swaps
segments, or edits a header or length field. Three of four `.ckt` mutations get their CRC-32 repaired, so that the
damage reaches the decoder; where it is not, a picture is as wrong as a crash: the damage went unnoticed. *Bombs* are
small streams, made by hand, that promise huge pictures, thousands of scans, deeply nested parameters or stages in the
wrong places.

With `--repack`, damaged JPEG files go through `repack` and `unpack` and must come back as they were, and damaged
repacked files must give the original file or a `StreamError`, never another file.

With `--pictures`, damaged files of all formats that Pillow writes, with alpha, 16 bits, frames and metadata, are read
as `encode` reads them: they are encoded with all metadata kept, or refused with a `StreamError` or `ReadingError`.
With `--video`, damaged video containers and bitstreams go through `info`, and all their frames are decoded, from a file
or from memory. Other errors than `ValueError` are violations.

Each stream is decoded (with `max_pixels` = 2²²) in a worker process whose address space may grow by 512 MB and no
further, for 10 seconds at most. A *violation* is any other exception than `StreamError` (MemoryError among them), a
worker that dies, or one that takes longer. The exit status is 1 if there is any; `--keep` keeps the offending streams.
Mutation number n is a function of the seed and n alone. Needs Linux.
"""

import argparse
import io
import json
import multiprocessing
import re
import runpy
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from ... import codec, decode
from ...codecs.jpeg import JpegArithmetic, kernels
from ...codecs.jpeg.arithmetic import coded_bytes
from ...codecs.jpeg.markers import Header, Scan
from ...primitives import ReadingError, StreamError, Tokens, container, plugins
from ...primitives.stage import GROUP, spec
from . import pictures
from .jpeg_identity import save, segments
from .lossless_writer import write_lossless

MAX_PIXELS = 1 << 22
MEMORY = 512 << 20
SECONDS = 10
ENTROPY_STAGES = ("UniformCoded", "HuffmanCoded", "RangeCoded", "AnsCoded", "ContextCoded", "DctCoded")


@dataclass(frozen=True)
class Case:
    """One stream to decode, and whether it must be refused: its checksum says that it is damaged.

    With `originals` it is a JPEG file to repack and unpack, or a repacked one to unpack: one of them must come back.
    With `is_input` it is a picture file to encode.
    With `ending` it is a video, in a file with that ending.
    With `check` that function says what comes of it; another study's, with other expectations.
    """

    name: str
    data: bytes
    must_fail: bool = False
    originals: tuple[bytes, ...] = ()
    is_input: bool = False
    ending: str = ""
    check: Callable[["Case"], "Outcome"] | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a case: "picture", "StreamError" or "violation", with the message, the time and the memory peak."""

    verdict: str
    message: str = ""
    seconds: float = 0.0
    peak_bytes: int = 0


# --- streams --------------------------------------------------------------------------------------------------------


def jpeg_streams() -> list[bytes]:
    """Small JPEG files that between them use every part of the decoder."""
    picture = pictures.photo(45, 61, seed=1)
    settings = [
        {"quality": 75},
        {"quality": 90, "subsampling": "4:2:2", "restart_marker_blocks": 3},
        {"quality": 40, "subsampling": "4:4:4", "optimize": True},
        {"quality": 80, "progressive": True},
        {"quality": 60, "progressive": True, "subsampling": "4:4:4", "restart_marker_blocks": 5},
        {"quality": 85, "keep_rgb": True},
        {"qtables": [list(range(200, 264))] * 2},
    ]
    images = [(Image.fromarray(picture), options) for options in settings]
    images.append((Image.fromarray(picture[..., 0]), {"quality": 70}))
    images.append((Image.fromarray(picture[..., 1]), {"quality": 70, "progressive": True}))
    images.append((Image.fromarray(pictures.photo(23, 30, channels=4), "CMYK"), {"quality": 80}))
    files = [save(image, **options) for image, options in images]
    for options in {}, {"progressive": True}, {"restart_interval": 3}, {"progressive": True, "restart_interval": 5}:
        files.append(codec("jpeg", arithmetic=True, **options).encode(picture))
    entropy = JpegArithmetic(conditioning=(2, 4, 9))
    files.append(codec("jpeg", quality=95, entropy=entropy).encode(picture[:20, :33, 0]))
    planes = [np.ascontiguousarray(picture[..., c]) for c in range(3)]
    files.append(write_lossless(planes, predictor=4, restart_rows=7))
    files.append(write_lossless(planes[:1], predictor=7, low=1))
    return files


def ckt_streams() -> list[bytes]:
    """Small `.ckt` files in colour and in grey of every entropy stage, a learned codec, video standards and tokens.

    The learned one also has workers load torch before their memory limit counts: a changed codec number reaches it.
    """
    from ... import primitives

    codecs = [codec("jpeg", quality=75).replace(entropy=getattr(primitives, name)()) for name in ENTROPY_STAGES]
    codecs += [codec("balle2017", quality=4), codec("jpeg2000-teaching", quality=60), codec("video-teaching")]
    codecs += [codec("hevc", preset="ultrafast"), codec("jpeg-repack")]
    codecs.append(codec("tokens-fsq", quality=3, progressive=True))
    picture = pictures.photo(29, 37, seed=2)
    streams = [stream for each in codecs for stream in (each.encode(picture), each.encode(picture[:17, :20, 0]))]
    return streams + token_streams()


def importance_streams() -> list[bytes]:
    """Small `.ckt` files with a map of importance, of every codec that sends one, in colour and in grey."""
    regions = {"importance": "roi:3,2,9,8;14,10,5,6", "strength": 5}
    codecs = [codec("balle2017", quality=3, **regions), codec("jpeg2000-teaching", quality=60, **regions)]
    codecs += [codec("jpeg2000-teaching", quality=40, order="resolution", **regions), codec("hevc", **regions)]
    codecs += [codec("balle2017", entropy="LatentCoded", **regions), codec("balle2017", entropy="AnsCoded", **regions)]
    picture = pictures.photo(61, 77, seed=2)
    return [stream for each in codecs for stream in (each.encode(picture), each.encode(picture[:17, :20, 0]))]


def token_streams() -> list[bytes]:
    """Small `.ckt` files of tokens: the codec's own, and bare ones with every coder of indices."""
    from ...primitives import AdaptiveIndices, FixedIndices, MixedIndices, StaticIndices

    rng = np.random.default_rng(3)
    features = rng.normal(0, 1, (49, 192)).astype(np.float32)
    streams = [codec("tokens", quality=4, refine=0).encode_tokens(features, (7, 7), size=(29, 37))]
    streams.append(codec("tokens-scenes", quality=2, budget=9).encode_tokens(features[:9], (9, 1), size=(29, 37)))
    streams.append(codec("token-arrays", step=0.5).encode_tokens(features[:30, :8], (5, 6)))
    indices = np.minimum(rng.geometric(0.3, (30, 3)) - 1, 15)
    for stage in (FixedIndices, StaticIndices, AdaptiveIndices, MixedIndices):
        coder = codec("token-indices").replace(entropy=stage(16, progressive=stage is MixedIndices))
        streams.append(coder.encode_tokens(indices, (5, 6)))
    return streams


def learned_streams(folder: Path) -> tuple[list[bytes], list[str]]:
    """Streams of every learned codec with small random weights, and the weight files, which go into a folder."""
    from ...codecs.learned.networks import NETWORKS
    from .learned_models import random_weights

    picture, streams, files = pictures.photo(29, 37, seed=2), [], []
    for name, network in NETWORKS.items():
        files.append(random_weights(name, folder, channels=network.SMALL))
        coder = codec(name, weights=files[-1])
        streams += [coder.encode(picture), coder.encode(picture[:17, :20, 0])]
    return streams, files


# --- mutations ------------------------------------------------------------------------------------------------------


def flip_bits(rng, data, other):
    """One to eight bits, or one in a hundred."""
    out = np.frombuffer(data, np.uint8).copy()
    count = int(rng.integers(1, 9)) if rng.random() < 0.8 else 1 + len(data) * 8 // 100
    np.bitwise_xor.at(out, rng.integers(0, len(out), count), (1 << rng.integers(0, 8, count)).astype(np.uint8))
    return out.tobytes()


def set_bytes(rng, data, other):
    """One to four bytes, to the values at which programs break or to any."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        out[rng.integers(len(out))] = _odd_byte(rng)
    return bytes(out)


def set_header_bytes(rng, data, other):
    """The same among the first 64 bytes, where the fields lie."""
    return set_bytes(rng, data[:64], other) + data[64:]


def cut(rng, data, other):
    """The end is missing."""
    return data[: rng.integers(len(data))]


def delete(rng, data, other):
    """A piece in the middle is missing."""
    start, length = int(rng.integers(len(data))), int(rng.integers(1, 40))
    return data[:start] + data[start + length :]


def insert(rng, data, other):
    """Random bytes in the middle."""
    start, length = int(rng.integers(len(data))), int(rng.integers(1, 40))
    return data[:start] + rng.integers(0, 256, length, np.uint8).tobytes() + data[start:]


def splice(rng, data, other):
    """The beginning of one stream, the end of another."""
    return data[: rng.integers(len(data))] + other[rng.integers(len(other)) :]


def duplicate_segment(rng, data, other):
    """A segment twice, at its place or at another."""
    parts = segments(data)
    parts.insert(int(rng.integers(1, len(parts) + 1)), parts[rng.integers(len(parts))])
    return b"".join(parts)


def remove_segment(rng, data, other):
    """A segment is missing."""
    parts = segments(data)
    del parts[rng.integers(len(parts))]
    return b"".join(parts)


def swap_segments(rng, data, other):
    """Two segments change places."""
    parts = segments(data)
    i, j = rng.integers(0, len(parts), 2)
    parts[i], parts[j] = parts[j], parts[i]
    return b"".join(parts)


def foreign_segment(rng, data, other):
    """A segment of another file in place of one's own."""
    parts, others = segments(data), segments(other)
    parts[rng.integers(len(parts))] = others[rng.integers(len(others))]
    return b"".join(parts)


def edit_field(rng, data, other):
    """A byte of a segment's marker or fields: sizes, sampling, table numbers, spectral selection, code counts …"""
    parts = segments(data)
    index = int(rng.integers(len(parts)))
    part = bytearray(parts[index])
    fields = min(len(part), 2 + int.from_bytes(part[2:4], "big")) if len(part) > 3 else len(part)
    for _ in range(int(rng.integers(1, 3))):
        part[rng.integers(1, max(2, min(fields, 24)))] = _odd_byte(rng)
    parts[index] = bytes(part)
    return b"".join(parts)


def edit_length(rng, data, other):
    """A segment's length field."""
    parts = segments(data)
    index = int(rng.integers(len(parts)))
    right = len(parts[index]) - 2
    length = int(rng.choice([0, 1, 2, 3, 65535, rng.integers(65536), right - 1, right + 1]))
    parts[index] = parts[index][:2] + (length & 0xFFFF).to_bytes(2, "big") + parts[index][4:]
    return b"".join(parts)


def _odd_byte(rng):
    return int(rng.choice([0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF, rng.integers(256), rng.integers(256)]))


ANY_STREAM = (flip_bits, set_bytes, set_header_bytes, cut, delete, insert, splice)
JPEG_ALONE = (duplicate_segment, remove_segment, swap_segments, foreign_segment, edit_field, edit_field, edit_length)


def repair_crc(data: bytes) -> bytes:
    """A `.ckt` file with its last four bytes made right."""
    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "big")


def mutate(seed: int, number: int, jpegs: list[bytes], ckts: list[bytes]) -> Case:
    """Mutation `number` of `seed`: even numbers of JPEG files (if there are any), odd ones of `.ckt` files."""
    rng = np.random.default_rng([seed, number])
    is_jpeg = number % 2 == 0 and bool(jpegs)
    sources = jpegs if is_jpeg else ckts
    data, other = (sources[rng.integers(len(sources))] for _ in range(2))
    original, functions = data, []
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        choices = ANY_STREAM + JPEG_ALONE if is_jpeg and data[:2] == b"\xff\xd8" else ANY_STREAM
        function = choices[rng.integers(len(choices))]
        data = function(rng, data, other) or b"\0"
        functions.append(function.__name__)
    name = f"{number}: {'jpeg' if is_jpeg else 'ckt'} {' '.join(functions)}"
    if is_jpeg:
        return Case(name, data)
    if rng.random() < 0.75:
        return Case(f"{name} repaired", repair_crc(data))
    return Case(name, data, must_fail=data not in (original, other))


def repack_streams() -> tuple[list[bytes], list[bytes]]:
    """JPEG files with what cameras put around them, and the same repacked."""
    from ...codecs.jpeg.repack import repack

    more = [b"", b"", b"trailing bytes", b"\xff\xd8\xff\xe0 and a second picture"]
    files = [data + more[n % len(more)] for n, data in enumerate(jpeg_streams())]
    files += [codec("jpeg", quality=60, effort=effort).encode(pictures.photo(33, 50, seed=4)) for effort in (1, 7)]
    return files, [repack(data) for data in files]


def mutate_repacked(seed: int, number: int, jpegs: list[bytes], ckts: list[bytes]) -> Case:
    """Mutation `number` of `seed` of files to repack (even numbers) and of repacked files."""
    case = mutate(seed, number, jpegs, ckts)
    return replace(case, originals=tuple(jpegs) if number % 2 else (case.data,))


def input_files() -> list[bytes]:
    """Small picture files of every format that is read, with what they may hold besides 8-bit RGB."""
    from PIL import ImageCms

    rgb = Image.fromarray(pictures.photo(21, 30, seed=5))
    grey, alpha = rgb.convert("L"), rgb.copy()
    alpha.putalpha(rgb.getchannel(1))
    deep = Image.fromarray(pictures.photo(21, 30, seed=6)[..., 0].astype(np.uint16) * 257)
    exif = Image.Exif()
    exif.update({0x0112: 6, 0x010E: "a picture", 0x0131: "codeckit"})
    said = {"exif": exif.tobytes(), "icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()}
    xmp = {"xmp": b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"}
    frames = {"save_all": True, "append_images": [rgb.rotate(90), rgb.rotate(180)]}
    kinds = [(rgb, form, {}) for form in ("BMP", "GIF", "PPM", "TGA", "PCX", "SGI", "ICO", "DDS", "JPEG2000", "QOI")]
    kinds += [(rgb, form, {**said, **xmp}) for form in ("JPEG", "WEBP", "AVIF")] + [(rgb, "PNG", said)]
    kinds += [(grey, form, {}) for form in ("PNG", "WEBP", "TIFF", "JPEG2000", "PPM", "TGA")]
    kinds += [(alpha, form, {}) for form in ("PNG", "WEBP", "AVIF", "TIFF", "JPEG2000", "ICO", "DDS", "TGA")]
    kinds += [(deep, form, {}) for form in ("PNG", "TIFF", "PPM", "JPEG2000")]
    kinds += [(rgb, form, frames) for form in ("GIF", "WEBP", "TIFF", "PNG", "AVIF", "MPO")]
    kinds += [(rgb, "TIFF", {**said, "compression": packing}) for packing in ("tiff_lzw", "tiff_deflate", "packbits")]
    kinds += [(rgb.quantize(16), form, {"transparency": 3}) for form in ("PNG", "GIF")]
    kinds += [(rgb.convert("1"), form, {}) for form in ("PNG", "TIFF", "BMP", "PPM")]
    kinds += [(rgb.convert("CMYK"), form, {}) for form in ("TIFF", "JPEG")]
    if codec_available("jpegxl"):
        import pillow_jxl  # noqa: F401

        kinds += [(rgb, "JXL", {}), (alpha, "JXL", {}), (grey, "JXL", {"lossless": True})]
    return [_file(image, form, **options) for image, form, options in kinds]


def _file(image: Image.Image, form: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def codec_available(name: str) -> bool:
    """Whether what a codec needs is installed."""
    from ...codecs.registry import entry

    return entry(name).available


def mutate_input(seed: int, number: int, files: list[bytes], _) -> Case:
    """Mutation `number` of `seed` of picture files; three of four PNG files get their chunks' checksums repaired."""
    rng = np.random.default_rng([seed, number])
    data, other = (files[rng.integers(len(files))] for _ in range(2))
    functions = []
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        function = ANY_STREAM[rng.integers(len(ANY_STREAM))]
        data = function(rng, data, other) or b"\0"
        functions.append(function.__name__)
    if data.startswith(b"\x89PNG\r\n\x1a\n") and rng.random() < 0.75:
        data = repair_png(data)
    return Case(f"{number}: input {' '.join(functions)}", data, is_input=True)


def repair_png(data: bytes) -> bytes:
    """A PNG file with the CRC of every chunk made right."""
    out, at = bytearray(data), 8
    while at + 12 <= len(out):
        end = at + 8 + int.from_bytes(out[at : at + 4], "big")
        if end + 4 > len(out):
            break
        out[end : end + 4] = zlib.crc32(out[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(out)


# --- bombs ----------------------------------------------------------------------------------------------------------


def bombs() -> list[Case]:
    """Small streams that promise much, or name what does not fit together."""
    return [*_jpeg_bombs(), *_ckt_bombs()]


def _segment(marker, body):
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def _jpeg(height, width, components, marker=0xC0, scans=(), more=b""):
    """A JPEG file of flat steps, with the codes 0, 10, 110 for the symbols 0x00, 0x01, 0xE0.

    Components are (h, v) factors, scans (Ss, Se, AhAl, data); `more` is put before the scans.
    """
    table = b"".join(_segment(0xC4, bytes([kind, 1, 1, 1]) + bytes(13) + b"\x00\x01\xe0") for kind in (0x00, 0x10))
    frame = bytes([8]) + height.to_bytes(2, "big") + width.to_bytes(2, "big") + bytes([len(components) & 0xFF])
    frame += b"".join(bytes([i & 0xFF, h << 4 | v, 0]) for i, (h, v) in enumerate(components))
    out = b"\xff\xd8" + _segment(0xDB, b"\0" + b"\1" * 64) + table + _segment(marker, frame) + more
    for ss, se, approximation, data in scans:
        chosen = range(min(len(components), 4) if se == 0 or marker != 0xC2 else 1)
        header = bytes([len(chosen)]) + b"".join(bytes([i, 0]) for i in chosen) + bytes([ss, se, approximation])
        out += _segment(0xDA, header) + data
    return out + b"\xff\xd9"


def _thin_scans(side):
    """Arithmetic-coded scans of a grey picture of zeros: as many as there can be, of a bit of a coefficient each."""
    blocks = np.zeros(((side // 8) ** 2, 64), np.int16)
    layout = np.array([[0, side // 8, side // 8, 1, 1, 0, 0]])
    order, _ = kernels.visit(layout)
    for k in range(64):
        first, refining = (
            coded_bytes(blocks, order, layout, 0, Scan((0,), k, k, high, 12), Header().conditioning) for high in (0, 13)
        )
        yield k, k, 13, first
        for low in range(12, -1, -1):
            yield k, k, low + 1 << 4 | low, refining


def _jpeg_bombs():
    grey, colour = [(1, 1)], [(2, 2), (1, 1), (1, 1)]
    one = [(0, 63, 0, b"\x12\x34\x56")]
    yield Case("bomb: 65535×65535 grey", _jpeg(65535, 65535, grey, scans=one))
    yield Case("bomb: 65535×65535 colour", _jpeg(65535, 65535, colour, scans=one))
    yield Case("bomb: 2048×2048 of 3 bytes", _jpeg(2048, 2048, colour, scans=one))
    yield Case("bomb: 2048×2048 without scans", _jpeg(2048, 2048, colour))
    yield Case("bomb: 64×65535", _jpeg(65535, 64, colour, scans=one))
    yield Case("bomb: 65535×64", _jpeg(64, 65535, colour, scans=one))
    yield Case("bomb: no height", _jpeg(0, 2048, grey, scans=one))
    yield Case("bomb: no width", _jpeg(2048, 0, grey, scans=one))
    yield Case("bomb: 255 components", _jpeg(2000, 2000, [(1, 1)] * 255, scans=one))
    yield Case("bomb: factors 15×15", _jpeg(2000, 2000, [(15, 15), (1, 1), (1, 1)], scans=one))
    yield Case("bomb: factors 0×0", _jpeg(2000, 2000, [(0, 0), (1, 1), (1, 1)], scans=one))
    yield Case("bomb: factors 4×4 and 3×3", _jpeg(2000, 2000, [(4, 4), (3, 3), (1, 1)], scans=one))
    dc, ac = (0, 0, 0, b"\x00" * 8), (1, 63, 0, b"\x00" * 8)
    for marker, name in ((0xC0, "baseline"), (0xC2, "progressive")):
        scans = [(0, 63, 0, b"\x00")] * 3000 if marker == 0xC0 else [dc, *[ac] * 3000]
        yield Case(f"bomb: 3000 {name} scans of 4 MP", _jpeg(2048, 2048, colour, marker, scans))
    yield Case("bomb: arithmetic-coded 4 MP of nothing", _jpeg(2048, 2048, colour, 0xC9, [(0, 63, 0, b"")]))
    yield Case("bomb: 896 arithmetic-coded scans of 1 MP", _jpeg(1024, 1024, grey, 0xCA, _thin_scans(1024)))
    yield Case("bomb: lossless 4 MP of 3 bytes", _jpeg(2048, 2048, colour, 0xC3, [(1, 0, 0, b"\x12\x34\x56")]))
    refinements = [dc, (1, 63, 0x01, b"\x00" * 8), *[(1, 63, 0x10, b"\x00" * 8)] * 3000]
    yield Case("bomb: 3000 refinement scans of 4 MP", _jpeg(2048, 2048, grey, 0xC2, refinements))
    yield Case("bomb: 20,000 restart intervals", _jpeg(2000, 2000, grey, scans=one, more=_segment(0xDD, b"\0\1")))
    table = _segment(0xC4, b"\x00" + bytes([0] * 15 + [255]) + bytes(range(255)))
    yield Case("bomb: 5000 Huffman tables", _jpeg(16, 16, grey, scans=one, more=table * 5000))
    yield Case(
        "bomb: overfull Huffman table", _jpeg(16, 16, grey, scans=one, more=_segment(0xC4, b"\0" + b"\xff" * 16))
    )
    yield Case("bomb: 100,000 empty comments", _jpeg(16, 16, grey, scans=one, more=_segment(0xFE, b"") * 100_000))
    yield Case("bomb: a million fill bytes", _jpeg(16, 16, grey, scans=one, more=b"\xff" * 1_000_000))
    frame = _segment(0xC0, b"\x08\x40\x00\x40\x00\x01\x01\x11\x00")
    yield Case("bomb: 1000 frame headers", _jpeg(16, 16, grey, scans=one, more=frame * 1000))
    yield Case("bomb: nothing but markers", b"\xff\xd8" * 100_000)
    for code in (b"", b"\xff", b"\xff\xd8", b"\xff\xd8\xff", b"c", b"ckt", b"ckt\x02", b"\0" * 100):
        yield Case(f"bomb: the stream {code[:4]!r}", code)


def _ckt_bombs():
    from ... import primitives

    jpeg = codec("jpeg", quality=75)
    huge = (b"\xff" * 8 + b"\x7f", b"\xff\xff\xff\x7f", b"\x80\x80\x08")  # varints: 2⁶³-1, 2²⁸-1, 2¹⁷
    for name in ENTROPY_STAGES:
        coded = jpeg.replace(entropy=getattr(primitives, name)())
        held = container.unpack(coded.encode(pictures.photo(16, 16)))
        coder = ["entropy", *spec(coded.stages["entropy"])]

        def pack(payload, stages=held.stages, revision=1):
            return container.pack(container.Container(1, revision, payload, {container.STAGES: stages}))

        for at in range(40):
            for number in huge:
                yield Case(
                    f"bomb: {name} with a huge number at {at}", pack(held.payload[:at] + number + held.payload[at:])
                )
                yield Case(f"bomb: {name} huge at {at}", pack(held.payload[:at] + number + held.payload[at + 1 :]))
        for role in ("color", "subsample", "transform", "quantize", "entropy", "more"):
            for declaration in plugins.own(GROUP).values():
                try:
                    id, fields = spec(declaration.load()())
                except TypeError:
                    continue  # a stage without defaults for all fields
                swapped = json.dumps([[role, id, fields], *([] if role == "entropy" else [coder])]).encode()
                yield Case(f"bomb: {name} and {id} as {role}", pack(held.payload, swapped))
                yield Case(f"bomb: {name} and {id} as the only {role}", pack(held.payload, swapped, revision=0))
        for value in (
            "-1",
            "0",
            "1e999",
            "NaN",
            "1" * 5000,
            "null",
            "[]",
            "{}",
            '"' + "A" * 10000 + '"',
            "[" * 100_000,
        ):
            for stage, fields in (
                ("BlockDCT", '"size":{},"method":"float"'),
                ("Wavelet", '"kernel":"9/7","levels":{},"centred":true'),
                ("DeadZone", '"step":{},"reconstruction":0.5'),
                ("PadTo", '"multiple":{}'),
            ):
                edited = f'["transform","codeckit:{stage}@1",{{{fields.format(value)}}}]'
                stages = f"[{edited},{json.dumps(coder)}]".encode()
                yield Case(f"bomb: {stage} with {value[:8]}", pack(held.payload, stages))


def video_files() -> list[Case]:
    """Small videos in every container and bitstream, and as `.ckt` of every kind of codec."""
    from ... import read_video

    still = pictures.photo(64, 104, seed=4)
    frames = [np.ascontiguousarray(still[:, 3 * n : 3 * n + 80]) for n in range(6)]
    varying = read_video(frames, times=[0, 0.04, 0.08, 0.5, 1, 2])
    fast = {"h264": "ultrafast", "hevc": "ultrafast", "av1": "12", "vp9": "8"}
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name, endings in {
            "h264": (".mp4", ".mkv", ".mov", ".h264"),
            "hevc": (".mp4", ".mkv", ".hevc"),
            "av1": (".mp4", ".webm", ".obu", ".ivf"),
            "vp9": (".webm", ".mkv", ".ivf"),
        }.items():
            for video, raw in ((frames, True), (varying, False)):
                for ending in endings if raw else endings[:2]:
                    path = codec(name, preset=fast[name]).encode_video(video, Path(folder) / f"video{ending}")
                    found.append(Case(f"{name}{ending}", path.read_bytes(), ending=ending))
                stream = codec(name, preset=fast[name]).encode_video(video)
                found.append(Case(f"{name}.ckt", stream, ending=".ckt"))
    for name in "jpeg", "video-teaching", "webp":
        found.append(Case(f"{name}.ckt", codec(name).encode_video(varying), ending=".ckt"))
    planes = [frame[..., 0].tobytes() + bytes([128]) * (frame[..., 0].size // 2) for frame in frames]
    y4m = b"YUV4MPEG2 W80 H64 F25:1 C420jpeg\n" + b"".join(b"FRAME\n" + plane for plane in planes)
    return [*found, Case(".y4m", y4m, ending=".y4m"), Case(".avi", _avi(frames), ending=".avi")]


def _avi(frames) -> bytes:
    """Motion JPEG in an AVI file."""
    import av

    out = io.BytesIO()
    with av.open(out, "w", format="avi") as file:
        stream = file.add_stream("mjpeg", rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuvj420p"
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24").reformat(format="yuvj420p")))
        file.mux(stream.encode())
    return out.getvalue()


def mutate_video(seed: int, number: int, videos: Sequence[Case]) -> Case:
    """Damage a video in one to three ways; three of four `.ckt` files get their CRC-32 repaired."""
    rng = np.random.default_rng([seed, number, 23])
    case, other = (videos[rng.integers(len(videos))] for _ in range(2))
    ways = (flip_bits, set_bytes, set_header_bytes, cut, delete, insert, splice)
    chosen = [ways[rng.integers(len(ways))] for _ in range(int(rng.integers(1, 4)))]
    data = case.data
    for way in chosen:
        data = way(rng, data, other.data) if data else data
    must_fail = False
    if data[:3] == container.MAGIC and len(data) > 20:
        if rng.random() < 0.75:
            data = data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "big")
        else:
            must_fail = not container.is_whole(data)
    name = f"{number} {case.name}: {', '.join(way.__name__ for way in chosen)}"
    return Case(name, data, must_fail, ending=case.ending)


# --- running --------------------------------------------------------------------------------------------------------


def attempt(case: Case) -> Outcome:
    """Decode one case in this process."""
    start = time.perf_counter()
    if case.check is not None:
        return case.check(case)
    if case.originals:
        return _attempt_repacked(case, start)
    if case.is_input:
        return _attempt_input(case, start)
    if case.ending:
        return _attempt_video(case, start)
    try:
        picture = decode(case.data, max_pixels=MAX_PIXELS)
    except StreamError as error:
        return Outcome("StreamError", str(error), time.perf_counter() - start)
    except Exception as error:  # whatever it is, it is a finding
        return Outcome("violation", f"{type(error).__name__}: {error}", time.perf_counter() - start)
    seconds = time.perf_counter() - start
    tokens = isinstance(picture, Tokens)
    if not tokens and (
        not isinstance(picture, np.ndarray)
        or picture.dtype != np.uint8
        or picture.ndim not in (2, 3)
        or not picture.size
    ):
        return Outcome("violation", f"decoding gave {type(picture).__name__}, no picture", seconds)
    if case.must_fail:
        return Outcome("violation", "damage went unnoticed: the checksum is wrong, and a picture came", seconds)
    return Outcome("picture", "", seconds)


def _attempt_repacked(case, start):
    from ...codecs.jpeg.repack import repack, unpack

    try:
        restored = unpack(case.data if case.originals != (case.data,) else repack(case.data), MAX_PIXELS)
    except StreamError as error:
        refused = "violation" if case.originals == (case.data,) and "pixels" not in str(error) else "StreamError"
        return Outcome(refused, str(error), time.perf_counter() - start)
    except Exception as error:  # whatever it is, it is a finding
        return Outcome("violation", f"{type(error).__name__}: {error}", time.perf_counter() - start)
    seconds = time.perf_counter() - start
    if restored not in case.originals or case.must_fail:
        return Outcome("violation", "another file came back, or damage went unnoticed", seconds)
    return Outcome("picture", "", seconds)


def _attempt_input(case, start):
    """Read a picture strictly, which may ask for an option, and then with every option: pixels and metadata."""
    from ...codecs.image_io import Reading, open_image

    for reading in (Reading(), Reading("white", 8, 0, metadata="keep")):
        try:
            photo = open_image(io.BytesIO(case.data), reading, ("exif", "icc", "xmp"), MAX_PIXELS)
            codec("png").encode(photo)
            verdict = Outcome("picture")
        except (StreamError, ReadingError) as error:
            verdict = Outcome("StreamError", str(error))
        except Exception as error:  # whatever it is, it is a finding
            return Outcome("violation", f"{type(error).__name__}: {error}", time.perf_counter() - start)
    return replace(verdict, seconds=time.perf_counter() - start)


def _attempt_video(case, start):
    """What a video's facts and frames come to; every second one is read from memory."""
    from ... import decode_video, info

    with tempfile.TemporaryDirectory() as folder:
        source: Path | bytes = case.data
        if len(case.data) % 2 or case.ending in (".h264", ".hevc", ".obu"):  # these are known by their ending alone
            source = Path(folder) / f"video{case.ending}"
            source.write_bytes(case.data)
        try:
            info(source)
            count = sum(frame.size > 0 for frame in decode_video(source, max_pixels=MAX_PIXELS))
        except ValueError as error:
            return Outcome("StreamError", str(error), time.perf_counter() - start)
        except Exception as error:  # whatever it is, it is a finding
            return Outcome("violation", f"{type(error).__name__}: {error}", time.perf_counter() - start)
    seconds = time.perf_counter() - start
    if not count:
        return Outcome("violation", "a video without frames went unnoticed", seconds)
    if case.must_fail:
        return Outcome("violation", "damage went unnoticed: the checksum is wrong, and frames came", seconds)
    return Outcome("picture", "", seconds)


def register(path: str) -> None:
    """Let `decode` and `decode_video` find a weight file, of stills or of videos."""
    from ...codecs.learned.weights import register_weights
    from ...codecs.learned_video.weights import register_weights as register_video_weights

    try:
        register_weights(path)
    except ValueError:  # it has the other format
        register_video_weights(path)


def work(connection, warm_up, weights):
    """Worker process: limit the memory, then decode what comes."""
    import resource

    for path in weights:
        register(path)

    # Compiled code and libraries are loaded before the limit counts, and undamaged streams must be pictures.
    outcomes = [attempt(Case(*each)) for each in warm_up]
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, mapped + MEMORY))
    resting = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    connection.send([outcome.message for outcome in outcomes if outcome.verdict != "picture"])
    while True:
        outcome = attempt(connection.recv())
        peak = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resting)
        connection.send(Outcome(outcome.verdict, outcome.message[:300], outcome.seconds, peak))


class Worker:
    """A worker process that is started again when it dies or hangs."""

    def __init__(self, warm_up: list[Case], weights: Sequence[str]):
        self.warm_up, self.weights = warm_up, weights
        self.start()

    def start(self):
        """Start the process and wait until it is warm."""
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        # As tuples: what unpickles them does not know yet where studies are.
        given = {"connection": theirs, "warm_up": list(map(astuple, self.warm_up)), "weights": self.weights}
        worker = str(Path(__file__).with_name("fuzz_worker.py"))
        self.process = context.Process(target=runpy.run_path, args=(worker, given), daemon=True)
        self.process.start()
        theirs.close()
        if refused := self.connection.recv():
            raise RuntimeError(f"{len(refused)} of {len(self.warm_up)} streams do not decode undamaged: {refused[0]}")

    def stop(self):
        """End the process."""
        self.process.kill()
        self.process.join()

    def run(self, case: Case) -> Outcome:
        """Decode one case."""
        try:
            self.connection.send(case)
            if self.connection.poll(SECONDS):
                return self.connection.recv()
            message = f"took longer than {SECONDS} s"
        except (EOFError, OSError):
            self.process.join()
            message = f"the process died with status {self.process.exitcode}"
        self.stop()
        self.start()
        return Outcome("violation", message, SECONDS)


def run(cases, warm_up: list[Case], jobs: int, weights: Sequence[str] = ()) -> list[tuple[Case, Outcome]]:
    """Decode all cases in `jobs` worker processes that know these weight files."""
    cases = list(cases)

    def drive(share):
        worker = Worker(warm_up, weights)
        try:
            return [(case, worker.run(case)) for case in share]
        finally:
            worker.stop()

    with ThreadPoolExecutor(jobs) as pool:
        return [result for results in pool.map(drive, [cases[i::jobs] for i in range(jobs)]) for result in results]


def main(argv=None) -> int:
    """Run mutations and bombs, print what came of them; 1 if there are violations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000, help="number of mutations (default 20,000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="worker processes (default 2)")
    parser.add_argument("--learned", action="store_true", help="learned codecs with random weights; no bombs, no JPEG")
    parser.add_argument("--tokens", action="store_true", help="streams of tokens; no bombs, no JPEG")
    parser.add_argument("--importance", action="store_true", help="streams with maps of importance; no bombs, no JPEG")
    parser.add_argument("--repack", action="store_true", help="JPEG files repacked and unpacked; no bombs")
    parser.add_argument("--pictures", action="store_true", help="picture files of every format, as input; no bombs")
    parser.add_argument("--video", action="store_true", help="video files and `.ckt` videos; no bombs, no JPEG")
    parser.add_argument("--keep", type=Path, help="folder to write the offending streams to")
    args = parser.parse_args(argv)

    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        videos = video_files() if args.video else []
        if args.video:
            jpegs, ckts, weights, cases = [], [], [], []
        elif args.tokens:
            jpegs, ckts, weights, cases = [], token_streams(), [], []
        elif args.importance:
            jpegs, ckts, weights, cases = [], importance_streams(), [], []
        elif args.learned:
            jpegs, (ckts, weights), cases = [], learned_streams(Path(folder)), []
        elif args.repack:
            (jpegs, ckts), weights, cases = repack_streams(), [], []
        elif args.pictures:
            jpegs, ckts, weights, cases = input_files(), [], [], []
        else:
            jpegs, ckts, weights, cases = jpeg_streams(), ckt_streams(), [], list(bombs())
        change = mutate_repacked if args.repack else mutate_input if args.pictures else mutate
        if args.video:
            cases = [mutate_video(args.seed, number, videos) for number in range(args.count)]
        else:
            cases += [change(args.seed, number, jpegs, ckts) for number in range(args.count)]
        # Workers load torch before their memory limit counts: a changed codec number may reach a learned codec.
        learned = [codec("balle2017", quality=4).encode(pictures.photo(16, 16))] if args.tokens or args.video else []
        warm_up = [Case("warm-up", data, is_input=args.pictures) for data in jpegs + ckts + learned]
        results = run(cases, warm_up + videos, args.jobs, weights)

    verdicts = Counter(outcome.verdict for _, outcome in results)
    slowest, hungriest = (max(getattr(o, key) for _, o in results) for key in ("seconds", "peak_bytes"))
    print(f"{len(results)} streams ({args.count} mutations, {len(results) - args.count} bombs), seed {args.seed}")
    print(f"in {time.perf_counter() - start:.0f} s; slowest {slowest:.2f} s, memory peak +{hungriest / 2**20:.0f} MB")
    for verdict in ("picture", "StreamError", "violation"):
        print(f"{verdict:12}{verdicts[verdict]:>8}")
    classes = Counter(_message_class(outcome.message) for _, outcome in results if outcome.verdict == "StreamError")
    print("StreamErrors:")
    for message, count in classes.most_common(40):
        print(f"{count:>8}  {message}")
    print(f"{len(classes)} kinds of message")
    violations = [(case, outcome) for case, outcome in results if outcome.verdict == "violation"]
    for message, count in Counter(_message_class(outcome.message) for _, outcome in violations).most_common():
        print(f"violation, {count} times: {message}")
    for case, outcome in violations[:20]:
        print(f"violation: {case.name}: {outcome.message}")
    if args.keep:
        args.keep.mkdir(parents=True, exist_ok=True)
        for number, (case, _) in enumerate(violations):
            (args.keep / f"{number:04}").write_bytes(case.data)
    return 1 if violations else 0


def _message_class(message):
    """A message without its numbers, marker codes and quotations."""
    message = re.sub(r"'[^']*'|\"[^\"]*\"|[{[(].*", "…", message)
    return re.sub(r"FF [0-9A-F]{2}|0x[0-9a-f]+|\d+", "N", message)[:80]


if __name__ == "__main__":
    sys.exit(main())
