"""The learned video codecs, with small networks of random weights."""

import hashlib
import os
import subprocess
import sys
import zlib
from pathlib import Path

import codeckit
import numpy as np
import pytest
from codeckit.bench.studies.learned_models import random_video_weights
from codeckit.cli import main
from codeckit.codecs.learned import weights as still_weights
from codeckit.codecs.learned_video import exact, weights
from codeckit.codecs.learned_video.loop import _with_check
from codeckit.codecs.learned_video.symbols import SymbolCoder
from codeckit.primitives.bitstream import ByteReader, ByteWriter
from codeckit.primitives.block_motion import Field, encode_field
from codeckit.primitives.entropy.context import encode_planes
from codeckit.primitives.errors import StreamError

STILL = Path(__file__).parents[1] / "golden" / "weights" / "balle2017.safetensors"


def clip(count=5, height=40, width=56, channels=3):
    """A picture that moves, with noise."""
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 256, (8 + height // 12, 8 + width // 12, channels)).repeat(12, 0).repeat(12, 1)
    frames = np.stack([texture[2 * n : 2 * n + height, n : n + width] for n in range(count)])
    frames = np.clip(frames + rng.normal(0, 2, frames.shape), 0, 255).astype(np.uint8)
    return frames if channels == 3 else frames[..., 0]


@pytest.fixture(scope="module", autouse=True)
def known():
    """The weights of stills are registered, and nothing else is afterwards."""
    before = [(module, dict(module._registered)) for module in (still_weights, weights)]
    still_weights.register_weights(STILL)
    yield
    for module, registered in before:
        module._registered.clear()
        module._registered.update(registered)


@pytest.fixture(scope="module", params=["dvc", "dcvc"])
def path(request, tmp_path_factory, known):
    path = random_video_weights(request.param, tmp_path_factory.mktemp("weights"), STILL)
    weights.register_weights(path)
    return path


@pytest.fixture(scope="module")
def codec(path):
    return made(path)


def made(path, **options):
    usual = {"weights": path, "quality": 8, "gop": 3, "weight": 4}
    return codeckit.codec(Path(path).stem, **usual | options)


def loop_of(codec):
    return codec.stages["entropy"].among(codec.stages)


def same(found, expected):
    return all((a == b).all() for a, b in zip(found, expected, strict=True))


def test_frames_survive(codec):
    frames = clip()
    stream = codec.encode_video(frames, fps=30)
    decoded = list(codeckit.decode_video(stream))
    assert len(decoded) == len(frames) and decoded[0].shape == frames[0].shape
    assert same(codec.decode_video(stream), decoded)


def test_encoder_and_decoder_have_the_same_frames(codec):
    seen = []
    loop = loop_of(codec)
    loop.see = seen.append
    chunks = list(loop.forward_frames(clip(), (40, 56), 30))
    decoded = list(loop.inverse_frames(chunks, (40, 56)))
    assert [report.kind for report in seen] == ["I", "P", "P", "I", "P"]
    assert seen[2].motion.vectors.any() and seen[2].symbols.any()
    for chunk, report, frame in zip(chunks, seen, decoded, strict=True):
        assert (report.decoded[:40, :56] == frame).all()
        assert sum(report.bits.values()) == 8 * len(chunk)


@pytest.mark.parametrize("size", [(1, 1), (1, 33), (17, 1), (16, 16), (15, 31), (33, 50)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size(codec, size, channels):
    frames, seen = clip(4, *size, channels), []
    loop = loop_of(codec)
    loop.see = seen.append
    chunks = list(loop.forward_frames(frames, size, 30))
    decoded = list(codeckit.decode_video(codec.encode_video(frames, fps=30)))
    assert decoded[0].shape == frames[0].shape
    for report, frame in zip(seen, decoded, strict=True):
        planes = report.decoded[: size[0], : size[1]].astype(int)
        assert (frame == (planes if channels == 3 else (planes.sum(2) + 1) // 3)).all()
    assert same(loop.inverse_frames(chunks, size), decoded)


@pytest.mark.parametrize("gop", [1, 2, 100])
def test_decoding_begins_at_any_i_frame(path, gop):
    codec, frames = made(path, gop=gop), clip()
    loop = loop_of(codec)
    chunks = list(loop.forward_frames(frames, (40, 56), 30))
    decoded = list(loop.inverse_frames(chunks, (40, 56)))
    keys = [number for number, chunk in enumerate(chunks) if loop.is_key(chunk)]
    assert keys == list(range(0, 5, gop))
    for key in keys:
        assert same(loop.inverse_frames(chunks[key:], (40, 56)), decoded[key:])
    video = codeckit.decode_video(codec.encode_video(frames, fps=30))
    assert all((video[number] == decoded[number]).all() for number in (4, 0, 3))
    if gop > 1:
        with pytest.raises(StreamError, match="none to predict it from"):
            list(loop.inverse_frames(chunks[1:], (40, 56)))


def test_qualities_in_steps_of_an_eighth(path):
    frames, lengths = clip(2, 16, 32), []
    for level in range(0, 57, 3):
        codec = made(path, quality=1 + level / 8, better=0.125)
        loop = loop_of(codec)
        chunks = list(loop.forward_frames(frames, (16, 32), 30))
        assert [chunk[1] for chunk in chunks] == [level, level]
        stream = codec.encode_video(frames, fps=30)
        assert same(codeckit.decode_video(stream), loop.inverse_frames(chunks, (16, 32)))
        lengths.append(len(stream))
    assert lengths[-1] > lengths[0]


def test_qualities_may_change_within_a_group(path):
    """The level is that of a frame; only the experience is that of the group."""
    coarse, fine = (loop_of(made(path, quality=quality)) for quality in (2, 8))
    frames = clip(3, 32, 32)
    group = None
    chunks = []

    def switched():
        for loop, frame in zip((fine, coarse, fine), frames, strict=True):
            group.loop = loop
            yield group.encode(frame) if chunks else group.encode_still(frame)

    from codeckit.codecs.learned_video.loop import _Group

    group = _Group(fine, (32, 32), measured=False)
    for chunk in switched():
        chunks.append(chunk)
    assert [chunk[1] for chunk in chunks] == [56, 8, 56]
    decoded = list(coarse.inverse_frames(chunks, (32, 32)))
    assert (decoded[-1] == group.frame).all()


def test_a_picture_is_a_video_of_one_frame(codec, tmp_path, capsys):
    for channels in (1, 3):
        image = clip(1, 19, 34, channels)[0]
        stream = codec.encode(image)
        (frame,) = codeckit.decode_video(codec.encode_video([image], fps=25))
        assert (codeckit.decode(stream) == frame).all() and (codec.decode(stream) == frame).all()
        info = codeckit.info(stream)
        assert (info.codec, info.size, info.channels) == (codec.name, (19, 34), channels)
        assert info.details["level"] == 56
    still, video = tmp_path / "still.ckt", tmp_path / "video.ckt"
    still.write_bytes(stream), video.write_bytes(codec.encode_video(clip(4), fps=25))
    assert main(["info", str(still)]) == 0 and main(["info", str(video)]) == 0
    said = capsys.readouterr().out
    assert codec.name in said and "34×19" in said and f"{codec.name}, 56×40, 4 frames at 25 fps" in said


def test_sizes_are_limited(codec):
    image = clip(1)[0]
    for decode, stream in (
        (codeckit.decode, codec.encode(image)),
        (codeckit.decode_video, codec.encode_video([image], fps=25)),
    ):
        with pytest.raises(StreamError, match="56×40 pixels, more than the limit of 2239"):
            decode(stream, max_pixels=2239)
        decode(stream, max_pixels=2240)


def test_options(path):
    for options, said in (
        ({"quality": 0.9}, "quality"),
        ({"quality": 8.125}, "quality"),
        ({"gop": 0}, "gop is an integer of at least 1"),
        ({"better": -1}, "better lies in 0 … 7"),
        ({"better": float("nan")}, "better lies in 0 … 7"),
        ({"weight": 5}, "weight lies in 0 … 4"),
        ({"motion": "optical"}, "motion is 'block' or 'learned'"),
        ({"device": "tpu"}, "'cpu', or on 'cuda'"),
        ({"weights": STILL}, "no weight file of the format"),
    ):
        with pytest.raises(ValueError, match=said):
            made(path, **options)
    with pytest.raises(FileNotFoundError, match="no weight file"):
        made(path, weights=str(Path(path).with_suffix(".gone")))
    other = {"dvc": "dcvc", "dcvc": "dvc"}[Path(path).stem]
    with pytest.raises(ValueError, match=f"holds weights of {Path(path).stem}, not of {other}"):
        codeckit.codec(other, weights=path)


def test_weights_that_are_not_known(codec, monkeypatch):
    video, still = codec.encode_video(clip(2), fps=25), codec.encode(clip(1)[0])
    expected = list(codeckit.decode_video(video))
    monkeypatch.setattr(weights, "_registered", {})
    wanted = codec.weights.fingerprint.hex()
    with pytest.raises(StreamError, match=f"weights {wanted}, which are not known here"):
        codeckit.decode_video(video)
    with pytest.raises(StreamError, match=f"weights {wanted}, which are not known here"):
        codeckit.decode(still)
    assert codeckit.info(still).size == (40, 56)
    assert same(codec.decode_video(video), expected)


def test_tiles_change_nothing(codec, monkeypatch):
    frames = clip(3, 90, 131)
    stream = codec.encode_video(frames, fps=25)
    expected = list(codeckit.decode_video(stream))
    for side in (1, 3):
        monkeypatch.setattr(exact, "_SIDE", side)
        assert same(codeckit.decode_video(stream), expected)
        assert codec.encode_video(frames, fps=25) == stream


_DECODE = """
import sys, hashlib, numpy as np, torch, codeckit
from codeckit.codecs.learned import register_weights
still, threads, *paths = sys.argv[1:]
torch.set_num_threads(int(threads))
register_weights(still)
print(torch.backends.cpu.get_cpu_capability())
for weights, stream in zip(paths[::2], paths[1::2]):
    codec = codeckit.codec(weights.split("/")[-1].partition(".")[0], weights=weights)
    frames = np.stack(list(codec.decode_video(stream)))
    print(hashlib.sha256(frames.tobytes()).hexdigest())
"""


def test_frames_are_the_same_with_other_threads_and_instructions(tmp_path):
    paths, expected = [], []
    for name in ("dvc", "dcvc"):
        codec = made(random_video_weights(name, tmp_path, STILL))
        stream = codec.encode_video(clip(4, 100, 180), out=tmp_path / f"{name}.ckt", fps=25)
        paths += [codec.weights.path, str(stream)]
        expected.append(hashlib.sha256(np.stack(list(codec.decode_video(stream))).tobytes()).hexdigest())
    for threads, more in (("1", {}), ("2", {"ATEN_CPU_CAPABILITY": "default", "DNNL_MAX_CPU_ISA": "SSE41"})):
        found = subprocess.run(
            [sys.executable, "-c", _DECODE, STILL, threads, *paths],
            env={**os.environ, "OMP_NUM_THREADS": threads, **more}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        capability, *digests = found.stdout.split()
        assert digests == expected
        assert not more or capability == "DEFAULT"


# --- damage ---------------------------------------------------------------------------------------------------------


def taken_apart(stream):
    """Head and chunks of a video."""
    held = codeckit.primitives.container.unpack(stream)
    head, reader, chunks = stream[: -4 - len(held.payload)], ByteReader(held.payload), []
    while length := reader.varint():
        chunks.append(reader.raw(length))
    return head, chunks


def assembled(head, chunks):
    """A video of chunks, with a CRC-32 that is right."""
    out = ByteWriter()
    out.raw(head)
    for chunk in chunks:
        out.block(chunk)
    out.raw(b"\0" + len(chunks).to_bytes(4, "big"))
    return out.getvalue() + zlib.crc32(out.getvalue()).to_bytes(4, "big")


def damaged(rng, data):
    """Bytes with a flip, a cut, an insertion, or another end."""
    at = int(rng.integers(len(data) + 1))
    more = rng.integers(0, 256, rng.integers(1, 9), np.uint8).tobytes()
    kind = rng.integers(4)
    if kind == 0:
        changed = bytearray(data)
        for place in rng.integers(len(data), size=rng.integers(1, 4)).tolist():
            changed[place] ^= 1 << int(rng.integers(8))
        return bytes(changed)
    if kind == 1:
        return data[:at] + data[at + len(more) :]
    return data[:at] + more + (data[at:] if kind == 2 else b"")


def test_damage_is_a_stream_error(codec):
    frames = clip(5, 32, 48)
    head, chunks = taken_apart(codec.encode_video(frames, fps=25))
    assert same(codeckit.decode_video(assembled(head, chunks)), codeckit.decode_video(codec.encode_video(frames)))
    rng, refused = np.random.default_rng(0), 0
    for case in range(200):
        changed, number = list(chunks), int(rng.integers(len(chunks)))
        if case % 4:
            changed[number] = _with_check(damaged(rng, chunks[number][:-2])) or b"?"
        elif case % 8:
            changed[number] = damaged(rng, chunks[number]) or b"?"
        else:
            changed.insert(number, changed.pop(int(rng.integers(len(chunks)))))
        found = []
        try:
            for frame in codeckit.decode_video(assembled(head, changed), max_pixels=1 << 16):
                found.append(frame)
        except StreamError:
            refused += 1
        assert all(frame.shape == (32, 48, 3) for frame in found)
    assert refused > 120


def test_damaged_heads_and_pictures(codec):
    video, still = codec.encode_video(clip(3, 32, 48), fps=25), codec.encode(clip(1, 32, 48)[0])
    rng, refused = np.random.default_rng(1), 0
    for case in range(100):
        stream, decode = ((video, codeckit.decode_video), (still, codeckit.decode))[case % 2]
        body = damaged(rng, stream[:-4])
        try:
            list(decode(body + zlib.crc32(body).to_bytes(4, "big"), max_pixels=1 << 16))
        except StreamError:
            refused += 1
    assert refused > 60


def replaced(codec, number, change):
    """What decoding says of a stream in which a chunk's body is another."""
    head, chunks = taken_apart(codec.encode_video(clip(3, 32, 48), fps=25))
    chunks[number] = _with_check(change(chunks[number][:-2]))
    return list(codeckit.decode_video(assembled(head, chunks)))


def chunk_of(motion, symbols=b""):
    out = ByteWriter()
    out.raw(b"\1\x38")
    out.block(motion)
    out.raw(symbols)
    return out.getvalue()


@pytest.mark.parametrize(
    ("number", "change", "said"),
    [
        (1, lambda body: body[:2] + b"\xff\xff\xff\xff\x7f", "bytes too early"),
        (1, lambda body: body[:1] + b"\x39" + body[2:], "gain level 57"),
        (0, lambda body: body[:1] + b"\xff" + body[2:], "gain level 255"),
        (0, lambda body: b"\1" + body[1:], "none to predict it from"),
        (1, lambda body: b"\2" + body[1:], "none to predict it from"),
        (1, lambda body: body[:2], "too early"),
        (0, lambda body: body[:2] + b"\xff\xff\x7f\xff\xff\x7f" + body[4:], "and the video"),
        (0, lambda body: body[:2] + b"\x01\x80\x0c" + body[4:], "and the video"),
        (0, lambda body: body[:5] + b"\x39" + body[6:], "level"),
        (1, lambda body: chunk_of(b""), "damaged"),
        (1, lambda body: chunk_of(encode_planes([np.full((2, 3, 9), 2**31 - 1)])), "neither whole nor split"),
        (1, lambda body: chunk_of(encode_planes([np.full((2, 3, 9), 1)])), "damaged"),
        (1, lambda body: chunk_of(encode_planes([_far()])), "a vector leaves the frame"),
    ],
)
def test_what_is_wrong_with_a_chunk(codec, number, change, said):
    with pytest.raises(StreamError, match=said):
        replaced(codec, number, change)


def _far():
    numbers = np.zeros((2, 3, 9), np.int64)
    numbers[1, 2, :2] = -(2**31), 2**31 - 1
    return numbers


def test_symbols_of_32_bits_have_a_picture(codec):
    """A decoder computes with whatever a stream holds, within the bounds of its integers."""
    loop = loop_of(codec)
    head, chunks = taken_apart(codec.encode_video(clip(3, 32, 48), fps=25))
    decoder = codec.weights.load().decoder
    first = next(iter(codeckit.decode_video(assembled(head, chunks))))
    context = decoder.context(first, first, 56)
    symbols = np.random.default_rng(0).choice([-(2**31), 2**31 - 1, 0], (2, 3, decoder.base.shape[1])).astype(np.int32)
    stream = SymbolCoder(decoder, None).encode(symbols, decoder.indices(context, 56), 56)
    chunks[1:] = [_with_check(chunk_of(encode_field(Field.still(2, 3)), stream))]
    seen = list(loop.observe(chunks, (32, 48)))
    assert (seen[1][1]["latents"] == symbols).all()
    assert (seen[1][0] == decoder.picture(symbols, context, 56)).all()


def test_a_trace_tells_where_the_bits_went(codec):
    """What decoding measures is what the encoder measured, and no more than the chunks hold."""
    frames, seen = clip(), []
    loop = loop_of(codec)
    loop.see = seen.append
    list(loop.forward_frames(frames, (40, 56), 30))
    for trace, report in zip(codeckit.trace_video(codec.encode_video(frames), frames), seen, strict=True):
        bits = {name: values.sum() for name, values in trace.maps.items() if name.endswith(" bits")}
        assert trace.maps["symbol bits"].shape == (3, 4)
        assert 8 * trace.bytes - 150 < sum(bits.values()) <= 8 * trace.bytes
        if trace.kind == "P":
            assert bits["motion bits"] == report.bits["motion"]
            assert np.allclose(trace.maps["symbol bits"], report.spent.sum(2))
            assert trace.maps["context"].shape == (12, 16, 4)


def test_info_counts_i_frames(codec):
    details = codeckit.info(codec.encode_video(clip())).details
    assert details["I-frames"] == details["keys"] == 2
