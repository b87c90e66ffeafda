"""Children that are forked after torch's threads ran answer, and answer the same."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import codeckit
import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

#: What parent and children do, one after the other: `work(shift)` gives what can be compared.
WORK = {
    "balle2017": """
        def work(shift):
            codec = codeckit.codec("balle2017")
            stream = codec.encode(np.roll(picture, shift, 1))
            return stream, codeckit.decode(stream).tobytes()
    """,
    "cheng2020": """
        def work(shift):
            return codeckit.codec("cheng2020").encode(np.roll(picture, shift, 1))
    """,
    "tokens-fsq": """
        def work(shift):
            return codeckit.codec("tokens-fsq").encode(np.roll(picture, shift, 1))
    """,
    "ms-ssim": """
        from codeckit.metrics import ms_ssim

        def work(shift):
            large = np.tile(picture, (3, 3, 1))
            return round(ms_ssim(large, np.roll(large, shift + 1, 1)), 6)
    """,
    "training": """
        import torch

        def work(shift):
            net = torch.nn.Conv2d(3, 8, 5)
            for weights in net.parameters():
                torch.nn.init.constant_(weights, 0.5)
            out = net(torch.tensor(np.roll(picture, shift, 1)).permute(2, 0, 1)[None] / 255)
            (out @ out.transpose(2, 3)).square().mean().backward()
            return [f"{float(weights.grad.mean()):.2g}" for weights in net.parameters()]
    """,
}

SCRIPT = """
import multiprocessing
import os

import codeckit
import numpy as np

y, x = np.mgrid[:64, :64]
picture = np.dstack([x * 4, y * 4, x + y]).astype(np.uint8)
{work}

import torch

torch.set_num_threads(2)  # a pool, whatever the machine
torch.ones(4, 400_000).exp().sum()
torch.ones(600, 600) @ torch.ones(600, 600)
alone = [work(0), work(5)]
assert torch.get_num_threads() == 2
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map_async(work, [0, 5]).get(timeout=100) == alone
    assert pool.apply(torch.get_num_threads) == 1
print("same")
"""


@pytest.mark.parametrize("kind", WORK)
def test_children_answer_like_their_parent(kind):
    script = SCRIPT.format(work=textwrap.dedent(WORK[kind]))
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(codeckit.__file__).parent.parent), *sys.path[1:]])
    environment["OMP_WAIT_POLICY"] = "PASSIVE"  # threads that wait must not keep those that work from a busy machine
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=150, env=environment)
    assert run.stdout == "same\n", run.stderr[-2000:]


def test_a_fork_loads_nothing():
    script = """
import os, sys
import codeckit

if (child := os.fork()) == 0:
    os._exit("torch" in sys.modules)
print(os.waitpid(child, 0)[1])
"""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(codeckit.__file__).parent.parent), *sys.path[1:]]),
    }
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, env=environment)
    assert (run.stdout, run.stderr) == ("0\n", "")
