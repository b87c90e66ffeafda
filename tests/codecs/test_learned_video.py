"""The learned video codecs, with small networks of random weights."""

import codeckit
import numpy as np
import pytest


@pytest.fixture(scope="module", params=["dvc", "dcvc"])
def codec(request, small_video_codec):
    return small_video_codec(request.param, quality=4, gop=3)


def test_frames_survive(codec, moving_clip):
    frames = moving_clip()
    stream = codec.encode_video(frames, fps=30)
    decoded = list(codeckit.decode_video(stream))
    assert len(decoded) == len(frames) and decoded[0].shape == frames[0].shape
    again = list(codec.decode_video(stream))
    assert all((a == b).all() for a, b in zip(decoded, again, strict=True))


def test_encoder_and_decoder_have_the_same_frames(codec, moving_clip):
    seen = []
    loop = codec.stages["entropy"].among(codec.stages)
    loop.see = seen.append
    chunks = list(loop.forward_frames(moving_clip(), (40, 56), 30))
    decoded = list(loop.inverse_frames(chunks, (40, 56)))
    assert [report.kind for report in seen] == ["I", "P", "P", "I", "P"]
    for chunk, report, frame in zip(chunks, seen, decoded, strict=True):
        assert (report.decoded[:40, :56] == frame).all()
        assert sum(report.bits.values()) == 8 * len(chunk)


def test_a_trace_tells_where_the_bits_went(codec, moving_clip):
    """What decoding measures is what the encoder measured, and no more than the chunks hold."""
    frames, seen = moving_clip(), []
    loop = codec.stages["entropy"].among(codec.stages)
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


def test_frames_by_their_number(codec, moving_clip):
    """Decoding begins at the I-frame before the wanted one, which `info` counts."""
    stream = codec.encode_video(moving_clip())
    video = codeckit.decode_video(stream)
    assert (video[4] == list(video)[4]).all()
    details = codeckit.info(stream).details
    assert details["I-frames"] == details["keys"] == 2
