"""Codecs as compositions: exchange of stages, streams that describe themselves, traces, the registry."""

import json
import pickle

import codeckit
import numpy as np
import pytest
from codeckit.bench.studies.pictures import photo
from codeckit.metrics import psnr
from codeckit.primitives import (
    AnsCoded,
    BlockDCT,
    ContextCoded,
    DeadZone,
    HuffmanCoded,
    QuantTable,
    RangeCoded,
    StreamError,
    Subsample,
    UniformCoded,
    Wavelet,
    YCbCr,
)
from codeckit.primitives.container import STAGES, Container, pack, unpack

ENTROPY = [UniformCoded(), HuffmanCoded(), RangeCoded(), AnsCoded(), ContextCoded()]


@pytest.mark.parametrize("entropy", ENTROPY, ids=lambda stage: type(stage).__name__)
@pytest.mark.parametrize("channels", [1, 3])
def test_any_entropy_stage_gives_the_same_picture(entropy, channels):
    image = photo(45, 70, channels, seed=1)
    codec = codeckit.codec("jpeg", quality=60)
    swapped = codec.replace(entropy=entropy)
    stream = swapped.encode(image)
    reference = codec.decode(codec.encode(image))
    assert stream[:3] == b"ckt"
    assert (codeckit.decode(stream) == reference).all()
    assert (codec.decode(stream) == reference).all()  # any jpeg codec reads it: the stream names its stages
    assert swapped.setting["entropy"] == type(entropy).__name__


def test_other_stages_can_be_exchanged_too():
    image = photo(50, 61, 3, seed=2)
    codec = codeckit.codec("jpeg", quality=90).replace(
        color=YCbCr("bt709"),
        subsample=Subsample("4:4:4", align=16),
        transform=BlockDCT(16, "float"),
        quantize=QuantTable(50, "flat", tables=np.full((16, 16), 5)),
        entropy=ContextCoded(),
    )
    stream = codec.encode(image)
    decoded = codeckit.decode(stream)
    assert psnr(image, decoded) > 38
    assert (decoded == codec.decode(stream)).all()


def wavelet(quality=50):
    stages = dict(
        color=YCbCr(),
        subsample=Subsample("4:4:4", align=1),
        transform=Wavelet(levels=3),
        quantize=DeadZone(2 ** ((100 - quality) / 12)),
        entropy=ContextCoded(),
    )
    return codeckit.Codec("wavelet", stages)


def test_a_codec_of_ones_own_needs_no_registration_to_be_decoded():
    image = photo(50, 61, 3, seed=3)
    stream = wavelet(80).encode(image)
    decoded = codeckit.decode(stream)
    assert decoded.shape == image.shape and np.abs(decoded.astype(int) - image).mean() < 4
    assert len(wavelet(90).encode(image)) > len(stream)


def test_registered_codec():
    image = photo(20, 20, 3, seed=4)
    unregistered = wavelet(50).encode(image)
    codeckit.register_codec("wavelet", wavelet, summary="nine-seven")
    assert codeckit.codec("wavelet").encode(image) == unregistered  # all its stages are written, registered or not
    stream = codeckit.codec("wavelet", quality=70).encode(image)
    assert codeckit.decode(stream).shape == image.shape
    assert codeckit.list_codecs()[-1].name == "wavelet"
    with pytest.raises(ValueError, match="already"):
        codeckit.register_codec("wavelet", lambda quality=1: None)


def test_stages_can_be_options():
    assert codeckit.codec("jpeg", entropy="RangeCoded") == codeckit.codec("jpeg").replace(entropy=RangeCoded())
    with pytest.raises(ValueError, match="no stage is called 'Nothing'"):
        codeckit.codec("jpeg", entropy="Nothing")


def test_codecs_are_immutable_and_picklable():
    codec = codeckit.codec("jpeg", quality=33)
    other = codec.replace(entropy=RangeCoded())
    assert type(codec.stages["entropy"]).__name__ == "JpegHuffman"
    assert pickle.loads(pickle.dumps(other)) == other
    with pytest.raises(AttributeError):
        codec.name = "x"


def test_trace_tells_what_stands_between_the_stages():
    image = photo(64, 64, 3, seed=5)
    codec = codeckit.codec("jpeg").replace(entropy=ContextCoded())
    trace = codec.trace(image)
    assert [step.role for step in trace.steps] == ["image", *codec.stages]
    assert trace.stream == codec.encode(image)
    symbols = trace.steps[-2]
    assert symbols.shapes == ((8, 8, 8, 8), (4, 4, 8, 8), (4, 4, 8, 8))
    assert 0 < symbols.entropy < symbols.bits
    assert "ContextCoded" in str(trace)


PLAIN = ["entropy", "codeckit:UniformCoded@1", {}]
DCT = ["color", "codeckit:BlockDCT@1", {"size": 8, "method": "islow"}]


@pytest.mark.parametrize(
    "stages, message",
    [
        (b"{", "not JSON"),
        (b"[1]", "not an array of"),
        (b'{"entropy":"UniformCoded"}', "not an array of"),
        ([["entropy", "codeckit:Nothing@1", {}]], "Nothing"),
        ([["entropy", "UniformCoded", {}]], "NAMESPACE:NAME@NUMBER"),
        ([["entropy", "codeckit:UniformCoded@2", {}]], "UniformCoded@2"),
        ([["entropy", "elsewhere:UniformCoded@1", {}]], "distribution 'elsewhere'"),
        ([["entropy", "codeckit:UniformCoded@1", {"evil": 1}]], "evil"),
        ([["transform", "codeckit:BlockDCT@1", {"size": 8}], PLAIN], "size, method, not size"),
        ([["entropy", "codeckit:UniformCoded@1", []]], "no JSON object"),
        ([PLAIN, PLAIN], "a stage twice"),
        ([["nothing", "codeckit:UniformCoded@1", {}]], "does not have"),
        ([["entropy", "codeckit:JpegHuffman@1", {}]], "file format of its own"),
        ([DCT, PLAIN], "do not end in an image"),
        ([["subsample", "codeckit:YCbCr@1", {"matrix": "bt601"}], PLAIN], "no ycbcr image"),
    ],
)
def test_nonsense_stages(stages, message):
    codec = codeckit.codec("jpeg").replace(entropy=UniformCoded())
    payload = unpack(codec.encode(photo(16, 16, 3))).payload
    stages = stages if isinstance(stages, bytes) else json.dumps(stages).encode()
    with pytest.raises(StreamError, match=message):
        codeckit.decode(pack(Container(1, 1, payload, {STAGES: stages})))


def test_foreign_streams():
    image = photo(16, 16, 3)
    with pytest.raises(StreamError, match="codec number 4711"):
        codeckit.decode(pack(Container(4711, 1, b"")))
    with pytest.raises(StreamError, match="lists no stages"):
        codeckit.decode(pack(Container("unheard", 0, b"")))
    with pytest.raises(StreamError, match="not known here"):
        codeckit.decode(pack(Container("elsewhere:unheard", 1, b"")))
    with pytest.raises(StreamError, match="revision 9"):
        codeckit.decode(pack(Container(27, 9, b"")))
    with pytest.raises(StreamError, match="not a JPEG"):
        codeckit.codec("jpeg").decode(codeckit.codec("webp").encode(image))
    with pytest.raises(StreamError, match="made by 'wavelet'"):
        codeckit.codec("jpeg").decode(wavelet().encode(image))
    with pytest.raises(StreamError, match="neither"):
        codeckit.decode(b"GIF89a")


def test_size_limit():
    codec = codeckit.codec("jpeg")
    for stream in codec.encode(photo(32, 32)), codec.replace(entropy=ContextCoded()).encode(photo(32, 32)):
        with pytest.raises(StreamError, match="max_pixels"):
            codeckit.decode(stream, max_pixels=1000)
        assert codeckit.decode(stream, max_pixels=1024).shape == (32, 32, 3)


def test_wrong_names_list_the_right_ones():
    with pytest.raises(ValueError, match=r"jpeg, .*libjpeg, .*webp"):
        codeckit.codec("jpg")
    with pytest.raises(ValueError, match="quality, subsampling"):
        codeckit.codec("jpeg", subsample="4:4:4")
    with pytest.raises(ValueError, match=r"options quality, .*and the stages color"):
        codeckit.codec("jpeg", qualty=3)
    with pytest.raises(ValueError, match="color, subsample"):
        codeckit.codec("jpeg").replace(colour=YCbCr())
    with pytest.raises(ValueError, match="Stage"):
        codeckit.codec("jpeg").replace(color="ycbcr")


@pytest.mark.parametrize("name", ["jpeg", "libjpeg", "webp"])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (64, 33)])
def test_every_codec_takes_every_size(name, size):
    for channels in 1, 3:
        image = photo(*size, channels, seed=6)
        decoded = codeckit.decode(codeckit.codec(name, quality=95).encode(image))
        assert decoded.shape[:2] == size and decoded.dtype == np.uint8


@pytest.mark.parametrize(
    "bad, message",
    [
        (np.zeros((4, 4, 3), np.float32), "uint8"),
        (np.zeros((4, 4, 4), np.uint8), "alpha"),
        (np.zeros((4, 4, 2), np.uint8), r"\[H,W,3\]"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (7, "path"),
    ],
)
def test_bad_images(bad, message):
    with pytest.raises(ValueError, match=message):
        codeckit.codec("jpeg").encode(bad)
