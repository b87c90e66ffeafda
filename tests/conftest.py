"""What all tests share."""

import os
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


@pytest.fixture
def studies_elsewhere(tmp_path, monkeypatch):
    """Processes that a test starts find the checkout, with its studies, before an installed wheel without them."""
    folder = tmp_path / "of-the-checkout"
    folder.mkdir()
    (folder / "codeckit").symlink_to(Path(__file__).parent.parent, target_is_directory=True)
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in paths if path))


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
def small_video_codec(tmp_path_factory):
    """Makes `dvc` or `dcvc`, with options, of small networks with random weights."""
    paths = {}

    def make(name, **options):
        if name not in paths:
            from codeckit.bench.studies.learned_models import random_video_weights
            from codeckit.codecs.learned.header import shipped
            from codeckit.codecs.learned_video.weights import register_weights

            still = next(header.path for header in shipped() if header.architecture == "balle2017")
            paths[name] = random_video_weights(name, tmp_path_factory.mktemp("weights"), still)
            register_weights(paths[name])
        return codeckit.codec(name, weights=paths[name], **options)

    return make
