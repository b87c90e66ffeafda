"""The hybrid loop: encoder and decoder agree to the last bit, motion pays, every size, damage."""

import hashlib
from dataclasses import replace

import codeckit
import numpy as np
import pytest
from codeckit.bench.studies.pictures import photo
from codeckit.codecs.video_teaching import Hybrid, _image, _Loop, _planes
from codeckit.metrics import psnr
from codeckit.primitives import StreamError
from codeckit.primitives.container import pack, unpack


def moving(count=8, height=80, width=112, channels=3, speed=(1, 3)):
    """A photo seen through a window that moves."""
    still = photo(height + speed[0] * count, width + speed[1] * count, channels, seed=4)
    return [
        np.ascontiguousarray(still[speed[0] * n : speed[0] * n + height, speed[1] * n : speed[1] * n + width])
        for n in range(count)
    ]


def codec(**options):
    return codeckit.codec("video-teaching", **options)


@pytest.mark.parametrize("quality", [5, 50, 95])
def test_the_encoder_knows_what_the_decoder_will_see(quality):
    frames = moving()
    encoder, decoder = _Loop((80, 112), 3, quality), _Loop((80, 112), 3, quality)
    for number, frame in enumerate(frames):
        decoded = decoder.decode(encoder.encode(_planes(frame), number % 5 == 0, 0.25))
        for ours, theirs in zip(encoder.reference, decoder.reference, strict=True):
            assert (ours == theirs).all()
        assert psnr(frame, _image(decoded, (80, 112))) > {5: 20, 50: 27, 95: 31}[quality]


def test_motion_pays():
    frames = moving(12)
    video = codec(quality=60).encode_video(frames)
    intra = codec(quality=60, gop=1).encode_video(frames)
    assert len(video) < 0.35 * len(intra)
    both = [
        np.mean([psnr(a, b) for a, b in zip(frames, codeckit.decode_video(s), strict=True)]) for s in (video, intra)
    ]
    assert abs(both[0] - both[1]) < 1.5


def test_a_change_of_scene_is_coded_afresh():
    frames = [*moving(3), *(255 - frame for frame in moving(3, speed=(2, 0)))]
    decoded = list(codeckit.decode_video(codec(quality=80).encode_video(frames)))
    assert min(psnr(a, b) for a, b in zip(frames, decoded, strict=True)) > 28


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (33, 35), (16, 64)])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_size_in_colour_and_grey(size, channels):
    frames = moving(3, *size, channels)
    decoded = list(codeckit.decode_video(codec(quality=90).encode_video(frames)))
    assert [frame.shape for frame in decoded] == [frame.shape for frame in frames]
    assert psnr(frames[-1], decoded[-1]) > 25
    still = codeckit.decode(codec(quality=90).encode(frames[0]))
    assert (still == decoded[0]).all()


def test_rate_control_of_stills():
    image = photo(96, 96, seed=1)
    assert 8 * len(codeckit.encode(image, "video-teaching", bpp=1.5)) / 96**2 <= 1.5


def test_the_format_has_not_changed():
    """A golden stream: frames by a formula, and what they were coded and decoded to."""
    y, x = np.mgrid[:32, :48]
    frames = [
        np.stack([(3 * (x + n) + y) % 256, 128 + 0 * x, (5 * y + 2 * n) % 256], 2).astype(np.uint8) for n in range(3)
    ]
    stream = codec(quality=70).encode_video(frames, fps=25)
    decoded = b"".join(frame.tobytes() for frame in codeckit.decode_video(stream))
    assert hashlib.sha256(unpack(stream).payload).hexdigest()[:16] == "2bbdab27b2c30327"
    assert hashlib.sha256(decoded).hexdigest()[:16] == "fca1ee164df4d914"


def test_damage_gives_frames_or_stream_errors():
    stage = Hybrid(quality=60)
    chunks = list(stage.forward_frames(moving(4, 48, 64), (48, 64), 25))
    rng = np.random.default_rng(1)
    for _ in range(40):
        bad = list(chunks)
        at = int(rng.integers(len(bad)))
        data = bytearray(bad[at])
        data[rng.integers(len(data))] = rng.integers(256)
        bad[at] = bytes(data)
        try:
            for frame in stage.inverse_frames(bad, (48, 64)):
                assert frame.shape == (48, 64, 3)
        except StreamError:
            pass
    with pytest.raises(StreamError, match="none to predict"):
        list(stage.inverse_frames([chunks[0], chunks[2]], (48, 64)))
    with pytest.raises(StreamError, match="number of planes"):
        list(stage.inverse_frames(chunks[1:], (48, 64)))
    held = unpack(codec().encode(photo(20, 20)))
    with pytest.raises(StreamError):
        codeckit.decode(pack(replace(held, payload=held.payload[:-3])))


@pytest.mark.parametrize(
    "options, message", [(dict(quality=0), "1 to 100"), (dict(gop=0), "at least 1"), (dict(dead_zone=0.6), "0.45")]
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        codec(**options)
