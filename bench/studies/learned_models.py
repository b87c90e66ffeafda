"""Learned codecs with random weights that code as trained ones do, for benches of speed, memory and exactness.

What a codec takes to compute does not depend on what its weights were trained for, only on how large latents and
predicted scales are: that decides how many bits there are to code. Here latents have a standard deviation of 2 steps
and scales are about right for them.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from ...codecs.learned import WeightFile, export
from ...codecs.learned.networks import NETWORKS
from ...primitives.entropy.mixture import COMPONENTS
from .pictures import photo


@torch.no_grad()
def plausible(network: nn.Module, x: torch.Tensor, deviation: float = 2.0) -> nn.Module:
    """A network (ours or CompressAI's) with random weights made to code as if it were trained; changed in place.

    Args:
        network: in evaluation mode.
        x: a picture [1,3,H,W] in 0 … 1.
        deviation: of the latents, about, in steps.

    >>> x = torch.rand(1, 3, 64, 64)
    >>> round(float(plausible(NETWORKS["mbt2018"](N=4, M=4).eval(), x).g_a(x).detach().std()), 3)
    2.0
    """
    last = [module for module in network.g_a if isinstance(module, nn.Conv2d)][-1]
    y = network.g_a(x)
    factor = deviation / y.std()
    last.weight *= factor
    last.bias *= factor
    if hasattr(network, "entropy_parameters"):
        bias = network.entropy_parameters[-1].bias
        mixture = len(bias) == 3 * COMPONENTS * y.shape[1]
        bias[slice(-len(bias) // 3, None) if mixture else slice(len(bias) // 2)] += deviation
    elif hasattr(network, "h_s"):
        convolution = [module for module in network.h_s if hasattr(module, "bias")][-1]
        convolution.bias[: y.shape[1]] += deviation
    return network


def random_weights(
    name: str, folder, quality: int = 3, channels: tuple[int, ...] | None = None, half: bool = False, narrow: float = 1
) -> str:
    """The path of a weight file of a random network of a codec.

    Args:
        name: the codec's.
        folder: where to write the file.
        quality: the quality that the file claims to serve, for codecs with one network a quality.
        channels: by default those of the published network at that quality.
        half: whether to store floats in 16 bits.
        narrow: by what to divide the width of the priors, and so the size of their tables.
    """
    torch.manual_seed(0)
    network = NETWORKS[name](*(channels or NETWORKS[name].CHANNELS[quality - 1])).eval()
    matrix = network.entropy_bottleneck.matrices[0]  # of positive numbers: softplus of these
    matrix.data = torch.log(torch.expm1(torch.nn.functional.softplus(matrix.data) * narrow))
    picture = photo(256, 256, seed=1)
    variable = network.variable_rate
    if name != "balle2017":  # whose gain units have the range of GDN's outputs from the start
        x = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
        plausible(network, x, deviation=8 if variable else 2)  # gains divide by up to 11
    served = (1, network.LEVELS) if variable else quality
    return export(network, [picture], Path(folder) / f"{name}.safetensors", quality=served, half=half).path


def random_video_weights(
    name: str, folder, still, channels: tuple[int, int, int] = (8, 12, 4), tables: int = 40
) -> str:
    """The path of a weight file of a random network of predicted frames.

    No part of it is zero, as some are at the start of training: all that a decoder has takes part in its frames.

    Args:
        name: "dvc" or "dcvc".
        folder: where to write the file.
        still: path of the weights of `balle2017` that code I-frames.
        channels: N, M and C.
        tables: how many of the distributions to keep, the narrow ones.
    """
    from ...codecs.learned_video.exact import ExactDecoder
    from ...codecs.learned_video.exact_still import ExactStill
    from ...codecs.learned_video.networks import NETWORKS as VIDEO_NETWORKS
    from ...codecs.learned_video.weights import network_of, write_weights
    from ...primitives.entropy.tables import FrequencyTables

    torch.manual_seed(0)
    network = VIDEO_NETWORKS[name](*channels).eval()
    network.gain.log_gain.data += 3
    network.inverse_gain.log_gain.data -= 3
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and not module.weight.any():
            nn.init.normal_(module.weight, std=0.1)
    halves = {key: value.half() for key, value in network.state_dict().items()}
    network = network_of(name, halves)
    frame = photo(32, 48, seed=1)
    before = np.roll(frame, 1, 1)
    decoder = ExactDecoder.of(network, [(frame, before, before, level) for level in (0, 24, 56)])
    sizes = decoder.tables.sizes[:tables]
    kept = FrequencyTables(decoder.tables.frequencies[: sizes.sum()], sizes, decoder.tables.lowest[:tables])
    decoder = ExactDecoder(decoder.networks, decoder.steps, decoder.base, kept)
    balle = WeightFile(str(still)).load()
    tensors = {f"network.{key}": value.numpy() for key, value in halves.items()}
    tensors |= {f"exact.{key}": value.numpy() for key, value in decoder.state(network).items()}
    tensors |= {f"still.{key}": value.numpy() for key, value in ExactStill.of(balle, [frame]).state(balle).items()}
    path = Path(folder) / f"{name}.safetensors"
    write_weights(path, name, balle.header.fingerprint, "random", tensors)
    return str(path)
