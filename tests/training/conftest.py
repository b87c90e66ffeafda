"""What the tests of training share: photographs, a pack of them, and one thread."""

import pytest
import torch
from codeckit.bench.datasets import dataset
from codeckit.training import data
from codeckit.training.callbacks import Callback
from PIL import Image


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """A folder of five photographs, among them a grey and a small one that cannot be used."""
    folder = tmp_path_factory.mktemp("photographs")
    for image in dataset("sample"):
        Image.fromarray(image.load()).save(folder / f"{image.name}.png")
    Image.fromarray(dataset("sample:coffee")[0].load()[:, :, 1]).save(folder / "grey.png")
    Image.fromarray(dataset("sample:coffee")[0].load()[:60, :60]).save(folder / "small.png")
    return folder


@pytest.fixture(scope="session")
def pack(photographs, tmp_path_factory):
    path = tmp_path_factory.mktemp("pack") / "pack.safetensors"
    data.write_pack([photographs], path, crop=96, megabytes=0.5, held_out=1, seed=1)
    return path


class _StopAfter(Callback):
    """Stops a loop cleanly after some steps, as a time limit does."""

    def __init__(self, steps):
        self.steps = steps

    def before_step(self, loop):
        loop.stopped = loop.step >= self.steps


class _KilledAfter(_StopAfter):
    """Ends it there by an exception."""

    def after_step(self, loop):
        if loop.step == self.steps:
            raise KeyboardInterrupt

    def before_step(self, loop):
        pass


@pytest.fixture
def stop_after():
    """Makes a callback that stops a loop cleanly after so many steps."""
    return _StopAfter


@pytest.fixture
def killed_after():
    """Makes a callback that kills a loop after so many steps."""
    return _KilledAfter
