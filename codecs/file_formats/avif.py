"""Metadata of AVIF files (AVIF 1.1; MIAF, ISO/IEC 23000-22; HEIF, ISO/IEC 23008-12).

The box ``meta`` describes *items*. The picture is one, the primary item (``pitm``); Exif and XMP are two more, which
say by a reference ``cdsc`` (in ``iref``) whose metadata they are. ``iinf`` names the items' types, ``iloc`` says where
in the file their bytes lie. ``iprp`` gives them *properties*: ``ipco`` is a list of them, ``ipma`` says which item has
which. The colour profile is a property ``colr`` of type ``prof``.

Places in ``iloc`` count from the beginning of the file. So `insert` writes ``meta`` anew, moves all places behind it by
what it grew, and appends the new items' bytes at the end. The bytes of removed items are overwritten with zeros.
"""

import itertools
import struct
from dataclasses import dataclass

from ...primitives.errors import StreamError
from ..metadata import Metadata
from . import boxes
from .boxes import Box

_XMP_TYPE = b"application/rdf+xml"

#: How `iloc` counts places: in the file, or in the box ``idat``.
_FILE, _IDAT = 0, 1


@dataclass(frozen=True)
class _Place:
    """Where an item's bytes lie: (offset, length) pairs, counted by `method`, in this file if `reference` is 0."""

    extents: tuple[tuple[int, int], ...]
    method: int = _FILE
    reference: int = 0


def extract(data: bytes) -> Metadata:
    """The metadata of the picture; the first one of a kind counts. A file without ``meta`` has none."""
    _, _, meta = _meta(data)
    infos, places = _infos(meta), _places(meta)
    exif = next((_bytes(data, meta, places.get(item)) for item, info in infos.items() if _is_exif(info)), b"")
    xmp = next((_bytes(data, meta, places.get(item)) for item, info in infos.items() if _is_xmp(info)), b"")
    properties, owners = _properties(meta)
    icc = next((properties[index - 1].contents[4:] for index in _profiles(meta, properties, owners)), b"")
    return Metadata(exif[4 + int.from_bytes(exif[:4], "big") :].removeprefix(b"Exif\0\0"), icc, xmp)


def insert(data: bytes, metadata: Metadata) -> bytes:
    """The file with that metadata.

    Raises:
        StreamError: damaged, or without ``meta``.
        ValueError: a sequence, whose frames have tables of places of their own.
    """
    start, end, meta = _meta(data)
    if not meta:
        raise StreamError("the AVIF file is damaged: it has no box meta, so no picture")
    if b"moov" in [kind for kind, _, _ in boxes.places(data)]:
        raise ValueError("metadata cannot be put into an AVIF sequence: encode one of its frames, or drop the metadata")
    infos, places, references = _infos(meta), _places(meta), _references(meta)
    data, meta = _cleared(data, meta, [places[item] for item in infos if _is_metadata(infos[item]) and item in places])
    kept = {item: info for item, info in infos.items() if not _is_metadata(info)}
    places = {item: place for item, place in places.items() if item in kept}
    references = [each for each in references if each[1] in kept]

    new = [(b"Exif", bytes(4) + metadata.exif)] if metadata.exif else []
    new += [(b"mime", metadata.xmp)] if metadata.xmp else []
    appended: dict[int, bytes] = {}
    unused = (number for number in itertools.count(1) if number not in kept and number != _primary(meta))
    for item, (kind, contents) in zip(unused, new, strict=False):
        kept[item] = struct.pack(">IHH4s", 2 << 24, item, 0, kind) + b"\0" + (_XMP_TYPE + b"\0") * (kind == b"mime")
        references.append((b"cdsc", item, (_primary(meta),)))
        appended[item] = contents

    changed = {b"iinf": _write_infos(kept), b"iprp": _write_properties(meta, metadata.icc)}
    if references:
        changed[b"iref"] = _write_references(references)
    rest = boxes.write(boxes.read(data[end:]))  # whose last box may have gone on to the end of the file

    def moved(by: int) -> bytes:
        """The new ``meta``, if everything behind it moves by so many bytes."""
        found = {item: _moved(place, end, by) for item, place in places.items()}
        at = end + by + len(rest) + 8
        for item, contents in appended.items():
            found[item] = _Place(((at, len(contents)),))
            at += len(contents)
        return boxes.write([_with(data[start : start + 4], meta, {**changed, b"iloc": _write_places(found)})])

    head = boxes.write(boxes.read(data[:end])[:-1])
    grown = len(head) + len(moved(0)) - end  # numbers have a fixed width, so the length does not depend on them
    contents = b"".join(appended.values())
    return head + moved(grown) + rest + (boxes.write([Box(b"mdat", contents)]) if contents else b"")


def depths(data: bytes) -> tuple[int, ...]:
    """Bits per sample, of each configuration ``av1C`` of AV1 in the file (AV1-ISOBMFF 2.3.3): 8, 10 or 12.

    The boxes are looked for wherever they stand, because sequences describe their pictures in other places.
    """
    found, at = [], data.find(b"av1C")
    while at >= 0 and at + 7 <= len(data):
        high, twelve = data[at + 6] & 0x40, data[at + 6] & 0x20
        if data[at + 4] == 0x81:  # marker and version
            found.append(12 if high and twelve else 10 if high else 8)
        at = data.find(b"av1C", at + 4)
    return tuple(found)


# --- reading `meta` -------------------------------------------------------------------------------------------------


class _Fields:
    """Reads numbers of a box one after the other."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0
        self.version, self.flags = self.number(1), self.number(3)

    def number(self, size: int) -> int:
        self.at += size
        if self.at > len(self.data):
            raise StreamError("the AVIF file is damaged: a box of its description is too short")
        return int.from_bytes(self.data[self.at - size : self.at], "big")


def _meta(data: bytes) -> tuple[int, int, list[Box]]:
    """Where the contents of ``meta`` begin and end, and the boxes in it."""
    for kind, start, end in boxes.places(data, cut=True):
        if kind == b"meta":
            return start, end, boxes.read(data[start + 4 : end])
    return 0, 0, []


def _child(meta: list[Box], kind: bytes) -> bytes:
    return next((box.contents for box in meta if box.kind == kind), b"")


def _primary(meta: list[Box]) -> int:
    fields = _Fields(_child(meta, b"pitm"))
    return fields.number(4 if fields.version else 2)


def _infos(meta: list[Box]) -> dict[int, bytes]:
    """The contents of ``infe`` by the items' numbers."""
    contents = _child(meta, b"iinf")
    if not contents:
        return {}
    fields = _Fields(contents)
    fields.number(4 if fields.version else 2)  # how many
    found = {}
    for box in boxes.read(contents[fields.at :]):
        each = _Fields(box.contents)
        found[each.number(4 if each.version == 3 else 2)] = box.contents
    return found


def _kind_and_rest(info: bytes) -> tuple[bytes, bytes]:
    at = 10 if info[:1] == b"\3" else 8
    return info[at : at + 4], info[at + 4 :]


def _is_exif(info: bytes) -> bool:
    return _kind_and_rest(info)[0] == b"Exif"


def _is_xmp(info: bytes) -> bool:
    kind, rest = _kind_and_rest(info)
    return kind == b"mime" and _XMP_TYPE in rest.split(b"\0")


def _is_metadata(info: bytes) -> bool:
    return _is_exif(info) or _is_xmp(info)


def _places(meta: list[Box]) -> dict[int, _Place]:
    """What ``iloc`` says, by the items' numbers."""
    contents = _child(meta, b"iloc")
    if not contents:
        return {}
    fields = _Fields(contents)
    sizes = [size for byte in (fields.number(1), fields.number(1)) for size in (byte >> 4, byte & 15)]
    offset_size, length_size, base_size, index_size = sizes
    found = {}
    for _ in range(fields.number(4 if fields.version == 2 else 2)):
        item = fields.number(4 if fields.version == 2 else 2)
        method = fields.number(2) & 15 if fields.version else _FILE
        reference, base = fields.number(2), fields.number(base_size)
        extents = []
        for _ in range(fields.number(2)):
            fields.number(index_size if fields.version else 0)
            extents.append((base + fields.number(offset_size), fields.number(length_size)))
        found[item] = _Place(tuple(extents), method, reference)
    return found


def _bytes(data: bytes, meta: list[Box], place: _Place | None) -> bytes:
    """An item's bytes."""
    if place is None or place.method not in (_FILE, _IDAT) or place.reference:
        return b""
    source = _child(meta, b"idat") if place.method == _IDAT else data
    if any(offset + length > len(source) for offset, length in place.extents):
        raise StreamError("the AVIF file is cut or damaged: its metadata lie outside of it")
    return b"".join(source[offset : offset + length] for offset, length in place.extents)


def _references(meta: list[Box]) -> list[tuple[bytes, int, tuple[int, ...]]]:
    """What ``iref`` says: (type, from, to)."""
    contents = _child(meta, b"iref")
    if not contents:
        return []
    size, found = 4 if _Fields(contents).version else 2, []
    for box in boxes.read(contents[4:]):
        fields = _Fields(bytes(4) + box.contents)
        found.append((box.kind, fields.number(size), tuple(fields.number(size) for _ in range(fields.number(2)))))
    return found


def _properties(meta: list[Box]) -> tuple[list[Box], dict[int, list[tuple[bool, int]]]]:
    """The list of properties, and which ones each item has: (essential, number from 1)."""
    inner = boxes.read(_child(meta, b"iprp"))
    owners: dict[int, list[tuple[bool, int]]] = {}
    for box in inner:
        if box.kind != b"ipma":
            continue
        fields = _Fields(box.contents)
        bits = 15 if fields.flags & 1 else 7
        for _ in range(fields.number(4)):
            item = fields.number(4 if fields.version else 2)
            numbers = [fields.number((bits + 1) // 8) for _ in range(fields.number(1))]
            owners.setdefault(item, []).extend((bool(n >> bits), n & (1 << bits) - 1) for n in numbers)
    return boxes.read(_child(inner, b"ipco")), owners


def _profiles(meta: list[Box], properties: list[Box], owners) -> list[int]:
    """The numbers of the primary item's properties that are profiles."""
    if not properties:
        return []
    numbers = [number for _, number in owners.get(_primary(meta), []) if 0 < number <= len(properties)]
    return [number for number in numbers if _is_profile(properties[number - 1])]


def _is_profile(box: Box) -> bool:
    return box.kind == b"colr" and box.contents[:4] in (b"prof", b"rICC")


# --- writing `meta` -------------------------------------------------------------------------------------------------


def _with(version: bytes, meta: list[Box], changed: dict[bytes, bytes]) -> Box:
    """The box ``meta`` with some of the boxes in it exchanged or added."""
    kinds = [box.kind for box in meta]
    kept = [Box(box.kind, changed.get(box.kind, box.contents)) for box in meta if box.kind in changed or box.contents]
    added = [Box(kind, contents) for kind, contents in changed.items() if kind not in kinds]
    return Box(b"meta", version + boxes.write(kept + added))


def _cleared(data: bytes, meta: list[Box], places: list[_Place]) -> tuple[bytes, list[Box]]:
    """File and boxes with zeros in those places."""
    whole, idat = bytearray(data), bytearray(_child(meta, b"idat"))
    for place in places:
        if place.reference or place.method not in (_FILE, _IDAT):
            continue
        target = idat if place.method == _IDAT else whole
        for offset, length in place.extents:
            if offset + length > len(target):
                raise StreamError("the AVIF file is cut or damaged: its metadata lie outside of it")
            target[offset : offset + length] = bytes(length)
    return bytes(whole), [Box(box.kind, bytes(idat)) if box.kind == b"idat" else box for box in meta]


def _moved(place: _Place, end: int, by: int) -> _Place:
    if place.method != _FILE or place.reference:
        return place
    extents = tuple((offset + by if offset >= end else offset, length) for offset, length in place.extents)
    return _Place(extents, place.method, place.reference)


def _write_infos(infos: dict[int, bytes]) -> bytes:
    return struct.pack(">IH", 0, len(infos)) + boxes.write(Box(b"infe", info) for info in infos.values())


def _write_places(places: dict[int, _Place]) -> bytes:
    """``iloc``, version 2: items of 32 bits, places of 64."""
    out = struct.pack(">IBBI", 2 << 24, 0x88, 0, len(places))
    for item, place in places.items():
        out += struct.pack(">IHHH", item, place.method, place.reference, len(place.extents))
        for extent in place.extents:
            out += struct.pack(">QQ", *extent)
    return out


def _write_references(references) -> bytes:
    """``iref``, version 1: numbers of 32 bits."""
    found = [Box(kind, struct.pack(f">IH{len(to)}I", source, len(to), *to)) for kind, source, to in references]
    return struct.pack(">I", 1 << 24) + boxes.write(found)


def _write_properties(meta: list[Box], icc: bytes) -> bytes:
    """``iprp`` with that profile for the primary item and those that had the same before.

    A profile that is no longer used leaves a box ``free`` in the list, so that all other numbers stay.
    """
    properties, owners = _properties(meta)
    old = _profiles(meta, properties, owners)
    described = {_primary(meta)} | {item for item, owned in owners.items() if any(n in old for _, n in owned)}
    for number in old:
        properties[number - 1] = Box(b"free", b"")
    owners = {item: [each for each in owned if each[1] not in old] for item, owned in owners.items()}
    if icc:
        properties.append(Box(b"colr", b"prof" + icc))
        for item in described:
            owners.setdefault(item, []).append((False, len(properties)))
    if len(properties) >= 1 << 15 or any(len(owned) > 255 for owned in owners.values()):
        raise StreamError("the AVIF file is damaged: it has more properties than can be numbered")
    out = struct.pack(">II", 1 << 24 | 1, len(owners))  # version 1: items of 32 bits; flag 1: properties of 15 bits
    for item, owned in sorted(owners.items()):
        out += struct.pack(f">IB{len(owned)}H", item, len(owned), *(essential << 15 | n for essential, n in owned))
    return boxes.write([Box(b"ipco", boxes.write(properties)), Box(b"ipma", out)])
