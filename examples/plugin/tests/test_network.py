"""The learned architecture: contract, and a training of some seconds."""

import codeckit
import numpy as np
import torch
from codeckit.codecs.learned import export, register_weights
from codeckit.primitives import container
from codeckit.testing import check_network
from codeckit_example_plugin.network import GeluHyperprior


def test_contract():
    check_network(GeluHyperprior)


def test_training_and_a_file(tmp_path):
    """From random weights to a codec: the loss falls, and what is written decodes by the fingerprint in the stream."""
    image = codeckit.dataset("sample:coffee")[0].load()[:256, :256].copy()
    torch.manual_seed(0)
    network = GeluHyperprior(16, 24)
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    patches = pixels.unfold(2, 64, 64).unfold(3, 64, 64).permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, 64, 64)
    losses = []
    for _ in range(60):
        out = network(patches)
        error = (out.reconstruction - patches).square().mean()
        loss = out.bits().sum() / (len(patches) * 64 * 64) + 0.02 * 255**2 * error
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < 0.5 * losses[0]

    path = export(network, [image], tmp_path / "gelu.safetensors", quality=1, note="seconds").path
    codec = codeckit.codec("gelu-hyperprior", weights=path)
    stream = codec.encode(image[:100, :130])
    held = container.unpack(stream)
    assert (held.codec, held.revision, held.stages) == ("codeckit-example-plugin:gelu-hyperprior", 1, b"")
    register_weights(path)
    decoded = codeckit.decode(stream)
    assert np.array_equal(decoded, codec.decode(stream)) and decoded.shape == (100, 130, 3)
    assert np.square(decoded.astype(float) - image[:100, :130]).mean() < np.var(image[:100, :130])
