"""The weights that come with the package: real pictures from learned codecs, out of the box."""

import codeckit
import numpy as np
import pytest
from codeckit.metrics import bpp, psnr

SHIPPED = [entry.name for entry in codeckit.list_codecs() if entry.family == "learned" and entry.available]


def test_some_weights_ship():
    assert "balle2017" in SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_photograph(name):
    image = codeckit.dataset("sample:astronaut")[0].load()
    points = []
    for quality in 1, 4.5, 8:
        stream = codeckit.codec(name, quality=quality).encode(image)
        decoded = codeckit.decode(stream)  # the weights are found by the fingerprint in the stream
        points.append((bpp(len(stream), image.shape), psnr(image, decoded)))
    assert points == sorted(points)
    assert points[0][0] < 0.6 and points[0][1] > 23  # a photograph, not noise
    assert points[-1][1] > 26


@pytest.mark.parametrize("name", SHIPPED)
def test_rate_control_and_small_sizes(name):
    image = codeckit.dataset("sample:coffee")[0].load()[:90, :131]
    stream = codeckit.encode(image, name, bpp=1.0)
    assert bpp(len(stream), image.shape) <= 1.0
    grey = np.ascontiguousarray(image[:1, :1, 0])
    assert codeckit.decode(codeckit.encode(grey, name)).shape == (1, 1)
