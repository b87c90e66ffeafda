"""What all tests share."""

from pathlib import Path

import codeckit.bench
import numpy as np
import pytest
from hypothesis import settings

# The first example of a test may compile a kernel.
settings.register_profile("codeckit", deadline=None)
settings.load_profile("codeckit")

# An installed wheel holds no studies: those of the checkout are tested, on the package that is installed.
_BENCH = str(Path(__file__).parent.parent / "bench")
if _BENCH not in codeckit.bench.__path__:
    codeckit.bench.__path__.append(_BENCH)


@pytest.fixture(autouse=True)
def registered_as_before(monkeypatch):
    """Codecs and stages that a test or a docstring registers do not reach the next one."""
    from codeckit.codecs import registry
    from codeckit.primitives import stage

    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(stage, "_registered", {})


@pytest.fixture(scope="session")
def moving_clip():
    """Makes a clip of `count` frames: a picture that moves, with noise."""

    def make(count=5, height=40, width=56):
        rng = np.random.default_rng(0)
        side = 8 * -(-max(height + 2 * count, width + count) // 64)
        texture = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8).repeat(side, 0).repeat(side, 1)
        frames = [texture[2 * n : 2 * n + height, n : n + width] for n in range(count)]
        return np.stack([np.clip(frame + rng.normal(0, 2, frame.shape), 0, 255).astype(np.uint8) for frame in frames])

    return make


@pytest.fixture(scope="session")
def small_video_codec(tmp_path_factory, moving_clip):
    """Makes `dvc` or `dcvc`, with options, of small networks with random weights."""
    paths = {}

    def make(name, **options):
        if name not in paths:
            paths[name] = tmp_path_factory.mktemp("weights") / f"{name}.safetensors"
            _write_small(name, moving_clip(3, 32, 48), paths[name])
        return codeckit.codec(name, weights=paths[name], **options)

    return make


def _write_small(name, frames, path):
    import torch
    from codeckit.codecs.learned.header import shipped
    from codeckit.codecs.learned.weights import load_weights
    from codeckit.codecs.learned_video.exact import ExactDecoder
    from codeckit.codecs.learned_video.exact_still import ExactStill
    from codeckit.codecs.learned_video.networks import NETWORKS
    from codeckit.codecs.learned_video.weights import register_weights, write_weights

    torch.manual_seed(0)
    network = NETWORKS[name](N=8, M=12, C=4).eval()
    network.gain.log_gain.data += 3
    network.inverse_gain.log_gain.data -= 3
    decoder = ExactDecoder.of(network, [(frames[2], frames[1], frames[0], level) for level in (0, 24, 56)])
    header = next(each for each in shipped() if each.architecture == "balle2017")
    balle = load_weights(header.path)
    still = ExactStill.of(balle, list(frames))
    tensors = {f"network.{key}": value.half().numpy() for key, value in network.state_dict().items()}
    tensors |= {f"exact.{key}": value.numpy() for key, value in decoder.state(network).items()}
    tensors |= {f"still.{key}": value.numpy() for key, value in still.state(balle).items()}
    write_weights(path, name, header.fingerprint, "random", tensors)
    register_weights(path)
