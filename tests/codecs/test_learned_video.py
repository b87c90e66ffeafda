"""The learned video codecs, with small networks of random weights."""

import codeckit
import numpy as np
import pytest
import torch
from codeckit.codecs.learned.header import shipped
from codeckit.codecs.learned.weights import load_weights
from codeckit.codecs.learned_video.exact import ExactDecoder
from codeckit.codecs.learned_video.exact_still import ExactStill
from codeckit.codecs.learned_video.networks import NETWORKS
from codeckit.codecs.learned_video.weights import register_weights, write_weights


def clip(count=5, height=40, width=56):
    """A picture that moves, with noise."""
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8).repeat(12, 0).repeat(12, 1)
    frames = [texture[2 * n : 2 * n + height, n : n + width] for n in range(count)]
    return np.stack([np.clip(frame + rng.normal(0, 2, frame.shape), 0, 255).astype(np.uint8) for frame in frames])


@pytest.fixture(scope="module", params=["dvc", "dcvc"])
def codec(request, tmp_path_factory):
    torch.manual_seed(0)
    network = NETWORKS[request.param](N=8, M=12, C=4).eval()
    network.gain.log_gain.data += 3
    network.inverse_gain.log_gain.data -= 3
    frames = clip(3, 32, 48)
    decoder = ExactDecoder.of(network, [(frames[2], frames[1], frames[0], level) for level in (0, 24, 56)])
    header = next(each for each in shipped() if each.architecture == "balle2017")
    balle = load_weights(header.path)
    still = ExactStill.of(balle, list(frames))
    tensors = {f"network.{key}": value.half().numpy() for key, value in network.state_dict().items()}
    tensors |= {f"exact.{key}": value.numpy() for key, value in decoder.state(network).items()}
    tensors |= {f"still.{key}": value.numpy() for key, value in still.state(balle).items()}
    path = tmp_path_factory.mktemp("weights") / f"{request.param}.safetensors"
    write_weights(path, request.param, header.fingerprint, "random", tensors)
    register_weights(path)
    return codeckit.codec(request.param, quality=4, gop=3, weights=path)


def test_frames_survive(codec):
    frames = clip()
    stream = codec.encode_video(frames, fps=30)
    decoded = list(codeckit.decode_video(stream))
    assert len(decoded) == len(frames) and decoded[0].shape == frames[0].shape
    again = list(codec.decode_video(stream))
    assert all((a == b).all() for a, b in zip(decoded, again, strict=True))


def test_encoder_and_decoder_have_the_same_frames(codec):
    seen = []
    loop = codec.stages["entropy"].among(codec.stages)
    loop.see = seen.append
    chunks = list(loop.forward_frames(clip(), (40, 56), 30))
    decoded = list(loop.inverse_frames(chunks, (40, 56)))
    assert [report.kind for report in seen] == ["I", "P", "P", "I", "P"]
    for chunk, report, frame in zip(chunks, seen, decoded, strict=True):
        assert (report.decoded[:40, :56] == frame).all()
        assert sum(report.bits.values()) == 8 * len(chunk)
