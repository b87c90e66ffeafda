"""The reference decoder on what codeckit writes, which it decodes as docs/format.md says."""

import ast
import itertools
import json
import math
import re
import zlib
from pathlib import Path

import codeckit
import numpy as np
import pytest
import torch
from codeckit.bench.studies.pictures import photo
from codeckit.bench.studies.reference import CODERS, agrees
from codeckit.codecs import profiles, registry
from codeckit.codecs.jpeg import repack
from codeckit.codecs.learned import WeightFile, export
from codeckit.codecs.learned.networks import NETWORKS, network_class
from codeckit.codecs.learned.stages import LatentCoded, LatentMixed
from codeckit.codecs.learned.weights import load_weights
from codeckit.codecs.learned_video.exact_still import ExactStill
from codeckit.codecs.video_teaching import Hybrid
from codeckit.primitives import Picture, UniformCoded
from codeckit.primitives.bitstream import ByteWriter
from codeckit.primitives.entropy import (
    BitPlaneCoded,
    ContextCoded,
    DctCoded,
    gaussian_tables,
    integer_gaussian,
    mixing,
)
from codeckit.primitives.learned.gdn import GDN
from codeckit.primitives.learned.integer import quantize_network
from codeckit.primitives.tokens.subset import encode_subset
from torch import nn

import reference
from reference import arithmetic, bitplanes, context, dct_context, latents, networks, tables
from reference.arithmetic import NEW_COUNTER, Decoder, Made, adaptive_decision
from reference.container import Bits, Reader

PAGES = Path(__file__).parents[2] / "docs" / "format"


# --- the generic coders ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coder", CODERS)
def test_random_streams_decode_to_what_was_coded(coder):
    assert [n for n in range(8) if not agrees(reference, coder, 1, n)] == []


def test_plain_python_it_is():
    imported = set()
    for path in Path(reference.__file__).parent.glob("*.py"):
        if path.name != Path(__file__).name:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    imported |= {name.name.partition(".")[0] for name in node.names}
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    imported.add(node.module.partition(".")[0])
    assert imported <= {
        "bisect", "decimal", "functools", "hashlib", "itertools", "json", "math", "numpy", "pathlib", "re", "typing",
        "zlib",
    }  # fmt: skip


def test_tables_are_the_same_integers():
    squash = [arithmetic.SQUASH[x] for x in range(-arithmetic.LIMIT, arithmetic.LIMIT + 1)]
    assert squash == mixing.SQUASH.tolist() and mixing.STRETCH.tolist() == arithmetic.STRETCH
    assert [arithmetic.level(v) for v in range(300)] == [*mixing.LEVEL, *[15] * 44]
    found = [array.tolist() for array in integer_gaussian._scale_constants()]
    assert list(tables.scales()) == found
    assert tables.phi() == integer_gaussian.normal_cdf().tolist()
    assert tables.expo() == integer_gaussian._exponential().tolist()
    frequencies = np.concatenate([np.diff(tables.gaussian(i).sums) for i in range(64)])
    assert (frequencies == gaussian_tables().frequencies).all()


def test_check_values_on_the_pages():
    squash = sum(arithmetic.SQUASH.values())
    stretch = sum(map(abs, arithmetic.STRETCH))
    sums = [squash, stretch, *map(sum, tables.scales()), sum(tables.phi()), sum(tables.expo())]
    pages = (PAGES / "arithmetic.md").read_text(encoding="utf-8") + (PAGES / "tables.md").read_text(encoding="utf-8")
    assert [number for number in sums if str(number) not in pages] == []
    page = (PAGES / "dct.md").read_text(encoding="utf-8")
    basis = [[int(number) for number in line.split()] for line in re.findall(r"^ +((?:-?\d+ +){7}-?\d+)$", page, re.M)]
    assert basis == dct_context._BASIS
    # The dictionary ends in the bytes on the page; the tables of T.81 come first.
    dictionary = repack._DICTIONARY
    assert dictionary.endswith(bytes.fromhex("".join(re.findall(r"^ +(FF .*)$", page, re.M))))
    assert f"{len(dictionary)} bytes (CRC-32 `{zlib.crc32(dictionary):08x}`)" in page


def test_cut_bit_planes_decode_to_what_they_say():
    rng = np.random.default_rng(4)
    planes = tuple(np.rint(rng.laplace(size=(9, 10)) * 40).astype(np.int32) for _ in range(2))
    for order in ("quality", "resolution"):
        stage = BitPlaneCoded(2, order)
        payload = stage.forward(Picture(planes, (9, 10), ((1, 1),) * 2, "other"))
        for cut in range(40, len(payload), 61):
            expected = stage.inverse(payload[:cut]).planes
            _, found = bitplanes.bit_plane_coded(payload[:cut], 2, order)
            assert all((a.astype(np.float32) == b).all() for a, b in zip(found, expected, strict=True))


def test_blocks_in_segments(monkeypatch):
    from codeckit.primitives.entropy import dct_context as ours

    # Real segments have 40,000 blocks, which take plain Python a minute.
    monkeypatch.setattr(ours, "_SEGMENT", 6)
    monkeypatch.setattr(dct_context, "SEGMENT", 6)
    rng = np.random.default_rng(5)
    planes = tuple(np.rint(rng.laplace(size=(7, n, 8, 8)) * 2).astype(np.int16) for n in (3, 2, 2))
    picture = Picture(planes, (56, 24), ((1, 1),) * 3, "ycbcr", (np.full((8, 8), 9, np.uint16),) * 3)
    _, found = dct_context.dct_coded(DctCoded().forward(picture))
    assert all((a == b).all() for a, b in zip(found, planes, strict=True))


def test_photographs_as_dct_blocks():
    for quality, sampling, channels in ((50, "4:2:0", 3), (90, "4:4:4", 3), (30, "4:2:0", 1)):
        codec = codeckit.codec("jpeg-context", quality=quality, subsampling=sampling)
        *stages, entropy = codec.stages.values()
        value = photo(40, 48, channels)
        for stage in stages:
            value = stage.forward(value)
        for coder, decode in ((entropy, dct_context.dct_coded), (ContextCoded(), context.context_coded)):
            header, found = decode(coder.forward(value))
            assert header.size == (40, 48) and all((a == b).all() for a, b in zip(found, value.planes, strict=True))


def test_frames_of_video_teaching():
    frames = [np.roll(photo(40, 50, seed=2), shift, 1) for shift in (0, 3, 5, 4)]
    chunks = list(Hybrid(30, gop=2).forward_frames(frames, (40, 50), 25))
    seen = []

    import codeckit.codecs.video_teaching as module

    decode_planes = module.decode_planes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "decode_planes", lambda *a: seen.append(decode_planes(*a)) or seen[-1])
        list(Hybrid().inverse_frames(chunks, (40, 50)))
    found = context.video_teaching(chunks, (40, 50))
    assert [intra for intra, _ in found] == [True, False, True, False]
    for (_, planes), expected in zip(found, seen, strict=True):
        assert all((a == b).all() for a, b in zip(planes, expected, strict=True))


def subset(data, grid):
    """The subset of a grid in a stream, decoded as docs/format/indices.md says: bool [rows, columns]."""
    rows, columns = grid
    reader, total = Reader(data), rows * columns
    kept = reader.varint()
    if kept in (0, total):
        return np.full(grid, kept > 0)
    bits = Bits(reader.rest())
    mask = np.zeros(grid, bool)
    if not bits.read(1):
        number = bits.read((math.comb(total, kept) - 1).bit_length())
        position = total - 1
        for i in range(kept, 0, -1):
            while math.comb(position, i) > number:
                position -= 1
            mask.flat[position] = True
            number -= math.comb(position, i)
    elif bits.read(1):
        mask.flat[:] = [bits.read(1) for _ in range(total)]
    else:
        length = bits.read(16)
        _quadtree(mask, 0, Decoder(bits.read(8 * length).to_bytes(length, "big")), Made(NEW_COUNTER))
    assert mask.sum() == kept
    return mask


def _quadtree(part, depth, decoder, counters):
    for question, value in (("empty", False), ("full", True)):
        if question == "full" and part.size == 1:
            bit = 1
        else:
            bit = adaptive_decision(decoder, counters[depth, question], 30)
        if bit:
            part[...] = value
            return
    y, x = (-(-extent // 2) for extent in part.shape)
    for down, across in itertools.product((slice(0, y), slice(y, None)), (slice(0, x), slice(x, None))):
        if part[down, across].size:
            _quadtree(part[down, across], depth + 1, decoder, counters)


def test_subsets_of_grids():
    rng = np.random.default_rng(6)
    for part in (0.05, 0.3, 0.9, 1):
        for grid in ((1, 1), (5, 7), (24, 24), (150, 120)):
            scattered = rng.random(grid) < part
            together = np.zeros(grid, bool)
            together[: 1 + int(grid[0] * part), : 1 + grid[1] // 2] = True
            for mask in (scattered, together):
                assert (subset(encode_subset(mask), grid) == mask).all()


# --- learned codecs -------------------------------------------------------------------------------------------------


def small(name):
    """A network whose latents are a few units large."""
    torch.manual_seed(1)
    network = network_class(name)(*(6, 10)[: len(network_class(name).SMALL)]).eval()
    with torch.no_grad():
        last = [module for module in network.g_a if isinstance(module, torch.nn.Conv2d)][-1]
        y = network.g_a(torch.from_numpy(photo(64, 64)).permute(2, 0, 1)[None] / 255)
        last.weight *= 8 / y.std()
    return network


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def through_stages(codec, image):
    """Symbols and latents of a picture."""
    *stages, _ = codec.stages.values()
    value = image
    for stage in stages:
        value = stage.forward(value)
    return value, stages[-1].inverse(value).planes[0]


def agree(path, picture, y_hat=None, coders=(LatentCoded, LatentMixed)):
    """Whether payloads of symbols decode to these symbols and latents."""
    _, weights = reference.read_weights(path)
    model = latents.Model(*weights)
    for coder in coders:
        stage = coder(weights=WeightFile(str(path)))
        found = reference.decode_payload(f"codeckit:{coder.__name__}@1", {}, stage.forward(picture), weights)
        count = 2 if model.h_s else 1
        assert found.size == picture.size and len(found.planes) == count
        assert all((a == b).all() for a, b in zip(found.planes, picture.planes, strict=False))
        assert found.side == picture.side
        if y_hat is not None:
            assert (found.latents / 256 == y_hat).all()


@pytest.mark.parametrize("quality", [2.25, 7])
def test_balle2017_with_the_weights_that_ship(quality):
    codec = codeckit.codec("balle2017", quality=quality)
    symbols, y_hat = through_stages(codec, photo(64, 64))
    agree(codec.weights.path, symbols, y_hat)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_architecture(name, tmp_path):
    path = tmp_path / "weights.safetensors"
    quality = (1, 8) if network_class(name).variable_rate else 2
    export(small(name), [photo(64, 64)], path, quality=quality, half=name == "mbt2018")
    symbols, y_hat = through_stages(codeckit.codec(name, weights=str(path)), photo(70, 130, seed=3))
    agree(path, symbols, y_hat)
    # And symbols that no network has in mind, far from every window.
    rng = np.random.default_rng(7)
    planes = [
        (rng.standard_t(1, plane.shape) * 10).clip(-(2**31), 2**31 - 1).astype(np.int32) for plane in symbols.planes
    ]
    planes[0].flat[:2] = -(2**31), 2**31 - 1
    agree(path, Picture(tuple(planes), symbols.size, symbols.factors, symbols.color, side=symbols.side))


def test_networks_of_every_kind_of_layer():
    torch.manual_seed(4)
    modules = nn.Sequential(
        nn.PixelUnshuffle(2), nn.Conv2d(4, 3, 3, padding=1), nn.LeakyReLU(), nn.Conv2d(3, 4, 5, 2, padding=2),
        GDN(4, inverse=True), nn.ConvTranspose2d(4, 8, 5, 2, padding=2, output_padding=1), nn.PixelShuffle(2),
        GDN(2, inverse=True), nn.Conv2d(2, 3, 9, 4, padding=4),
    )  # fmt: skip
    made = quantize_network(modules, [torch.rand(1, 1, 16, 24)])
    parts = {f"made.{name}": tensor for name, tensor in made.state(modules).items()}
    parts |= {f"floats.{name}": tensor.detach() for name, tensor in modules.state_dict().items()}
    arrays = {name: tensor.numpy() for name, tensor in parts.items()}
    x = torch.randint(-999, 999, (1, 1, 32, 48))
    found = networks.Network(arrays, "made", "floats", strided=(1, 5))(x[0].permute(1, 2, 0).numpy())
    assert (found == made(x)[0].permute(1, 2, 0).numpy()).all()


def test_pictures_of_i_frames():
    path = codeckit.codec("balle2017").weights.path
    still = ExactStill.of(load_weights(path), [photo(32, 32)])
    integers = {name: tensor.numpy() for name, tensor in still.state(load_weights(path)).items()}
    _, tensors = reference.read_weights(path)
    for magnitude, level in ((6, 17), (1 << 31, 56)):
        symbols = np.random.default_rng(0).integers(-magnitude, magnitude, (1, 2, 192)).astype(np.int32)
        found = networks.exact_picture(symbols, level, integers, tensors)
        assert (found == still.picture(symbols, level)).all()


# --- the golden corpus ----------------------------------------------------------------------------------------------

GOLDEN = PAGES.parents[1] / "tests" / "golden"
ROWS = json.loads((GOLDEN / "manifest.json").read_text())
#: What the reference decoder leaves to a JPEG decoder and to libraries.
LEFT_OUT = "Repacked Downsampled Standard JpegHuffman Pillow Jpeg2000 Mozjpeg Jpegli Hybrid".split()


def is_read(row: str) -> bool:
    """Whether a stream of the corpus is a picture or tokens whose last stage the reference decoder reads."""
    data = (GOLDEN / ROWS[row]["file"]).read_bytes()
    if data[:3] != b"ckt" or "symbols" not in ROWS[row]:
        return False
    last = list(registry.codec_for(codeckit.primitives.container.unpack(data)).stages.values())[-1]
    return type(last).__name__.removesuffix("Coded") not in LEFT_OUT


@pytest.fixture(scope="module")
def known():
    """Profiles and weight files of the corpus."""
    every = {
        f"{profile.codec}/{profile.revision}": [list(each) for each in profile.stages]
        for newest in profiles.own().values()
        for profile in (*newest.earlier, newest)
    }
    shipped = [*Path(codeckit.__file__).parent.glob("codecs/*/shipped/*.safetensors")]
    return every, [*(GOLDEN / "weights").glob("*.safetensors"), *shipped]


def test_golden_streams(known):
    """Symbols, and side values in the order of their names, hash to what the manifest says."""
    from codeckit.bench.studies.golden import FOLDER, digest
    from codeckit.codecs.learned import register_weights

    for path in (FOLDER / "weights").glob("*.safetensors"):
        register_weights(path)
    read = [row for row in ROWS if is_read(row)]
    assert len(read) >= 50
    for row in read:
        found = reference.decode((GOLDEN / ROWS[row]["file"]).read_bytes(), *known)
        side = [np.array([number]) for _, number in sorted(found.side.items())]
        own = [np.stack(found.planes, 2).squeeze()] if row.startswith("uncompressed") else found.planes
        planes = [np.asarray(plane).astype(np.int64).ravel() for plane in (*own, *side)]
        assert digest(*planes) == ROWS[row]["symbols"], row


# --- containers -----------------------------------------------------------------------------------------------------

PROFILES = {
    "codeckit:jpeg/1": [["color", "codeckit:YCbCr@1", {}], ["entropy", "codeckit:JpegHuffman@1", {}]],
    "codeckit:jpeg2000-teaching/2": [["entropy", "codeckit:BitPlaneCoded@1", {"levels": 1, "order": "quality"}]],
    "codeckit:balle2017/1": [["entropy", "codeckit:LatentMixed@1", {}]],
}


def container(payload, number=1, revision=1, sections=(), name=b"", version=2):
    out = ByteWriter()
    out.raw(b"ckt" + bytes([version]))
    out.varint(number)
    if not number:
        out.block(name)
    out.varint(2 * revision + bool(sections))
    for n, (tag, block) in enumerate(sections, 1):
        out.varint(2 * tag + (n < len(sections)))
        out.block(block)
    out.raw(payload)
    return out.getvalue() + zlib.crc32(out.getvalue()).to_bytes(4, "big")


def stages(*entries):
    return 1, json.dumps(entries).encode()


PLANE = np.arange(12).reshape(3, 4)
PAYLOAD = UniformCoded().forward(Picture((PLANE,), (3, 4)))


def test_a_stream_names_its_profile_and_what_differs():
    uniform = stages(["entropy", "codeckit:UniformCoded@1", {}])
    for stream in (
        container(PAYLOAD, sections=[uniform]),
        container(PAYLOAD, 0, 0, [uniform], b"one of mine"),
        container(PAYLOAD, 0, 1, [uniform, (64, b"Exif"), (999, b"")], b"codeckit:jpeg"),
    ):
        assert (reference.decode(stream, PROFILES).planes[0] == PLANE).all()
    held = reference.decode_container(container(PAYLOAD, 0, 0, [uniform], b"one of mine"))
    assert (held.codec, held.revision, held.sections[1], held.payload) == ("one of mine", 0, uniform[1], PAYLOAD)
    assert reference.decode_container(container(b"", 27)).codec == "codeckit:jpeg-context"


def test_fields_come_from_the_profile():
    picture = Picture((np.arange(64, dtype=np.int32).reshape(8, 8),), (8, 8))
    for levels, sections in (
        (1, []),
        (2, [stages(["entropy", "codeckit:BitPlaneCoded@1", {"levels": 2, "order": "quality"}])]),
    ):
        stream = container(BitPlaneCoded(levels).forward(picture), 26, 2, sections)
        assert (reference.decode(stream, PROFILES).planes[0] == picture.planes[0]).all()


def test_weights_are_found_by_their_fingerprint():
    codec = codeckit.codec("balle2017", quality=1)
    entropy = codec.stages["entropy"]
    symbols, y_hat = through_stages(codec, photo(16, 16))
    stream = container(entropy.forward(symbols), 2, 1, [(2, codec.weights.fingerprint)])
    files = [codeckit.codecs.tokens.fsq.SHIPPED, codec.weights.path]
    assert (reference.decode(stream, PROFILES, files).latents / 256 == y_hat).all()
    with pytest.raises(reference.DamagedStream, match="are not there"):
        reference.decode(stream, PROFILES, files[:1])


def test_videos_are_chunks():
    out = ByteWriter()
    for n in range(3):
        out.block(UniformCoded().forward(Picture((PLANE + n,), (3, 4))))
    sections = [stages(["entropy", "codeckit:UniformCoded@1", {}]), (3, bytes([3, 4, 25, 1]))]
    frames = reference.decode(container(out.getvalue() + b"\0\0\0\0\3", sections=sections), PROFILES)
    assert [(frame.planes[0] == PLANE + n).all() for n, frame in enumerate(frames)] == [True] * 3


def test_side_values_follow_the_header():
    # The colour byte is the third; then one plane of two axes.
    payload = PAYLOAD[:2] + bytes([PAYLOAD[2] | 64]) + PAYLOAD[3:8] + b"\2\5level\x07\1x\x00" + PAYLOAD[8:]
    found = reference.decode_payload("codeckit:UniformCoded@1", {}, payload)
    assert found.side == {"level": -4, "x": 0} and (found.planes[0] == PLANE).all()


@pytest.mark.parametrize(
    "stream",
    [
        b"ckT" + container(PAYLOAD)[3:],
        container(PAYLOAD, version=1),
        container(PAYLOAD)[:-1],
        container(PAYLOAD, number=11),
        container(PAYLOAD, revision=9),
        container(PAYLOAD, sections=[(4, b"")]),
        container(PAYLOAD, sections=[(64, b""), (3, b"")]),
        container(PAYLOAD, sections=[(2, b""), (2, b"")]),
        container(PAYLOAD),
    ],
)
def test_what_the_page_does_not_allow_is_refused(stream):
    with pytest.raises(reference.DamagedStream):
        reference.decode(stream, PROFILES)
