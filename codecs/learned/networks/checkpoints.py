"""State dicts as files hold them: names of CompressAI's earlier versions, and masked weights without what is masked."""

import re

import torch
from torch import Tensor, nn

from ....primitives.learned.masked_conv import CheckerboardConv2d, MaskedConv2d

_TABLES = re.compile(r"\.(_offset|_quantized_cdf|_cdf_length|scale_table|scale_bound)$")
_RENAMED = (
    (re.compile(r"^module\."), ""),
    (re.compile(r"\.downsample\."), ".skip."),
    (re.compile(r"^(entropy_bottleneck)\._(matrices|biases|factors)\.?(\d)$"), r"\1.\2.\3"),
    (re.compile(r"^(entropy_bottleneck)\._matrix(\d)$"), r"\1.matrices.\2"),
    (re.compile(r"^(entropy_bottleneck)\._bias(\d)$"), r"\1.biases.\2"),
    (re.compile(r"^(entropy_bottleneck)\._factor(\d)$"), r"\1.factors.\2"),
)


def rename_keys(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """A CompressAI state dict under the names used here, which are those of its version 1.2.8.

    Earlier names are changed: ``module.`` (data-parallel training), ``downsample``, and those of the density model.
    Coding tables are left out; a coder computes its own from the weights.

    >>> list(rename_keys({"module.g_a.0.downsample.bias": 0, "entropy_bottleneck._matrix3": 1}))
    ['g_a.0.skip.bias', 'entropy_bottleneck.matrices.3']
    >>> list(rename_keys({"entropy_bottleneck._biases.0": 0, "gaussian_conditional.scale_table": 1}))
    ['entropy_bottleneck.biases.0']
    """
    renamed = {}
    for key, value in state_dict.items():
        if _TABLES.search(key):
            continue
        for pattern, replacement in _RENAMED:
            key = pattern.sub(replacement, key)
        renamed[key] = value
    return renamed


def packed_state(network: nn.Module) -> dict[str, Tensor]:
    """The state dict of a network without masks and the weights behind them, which `load_network` takes, too.

    >>> from codeckit.codecs.learned.networks import Mbt2018
    >>> network = Mbt2018(N=4, M=6)
    >>> packed_state(network)["context_prediction.weight"].shape, network.context_prediction.weight.shape
    (torch.Size([12, 6, 12]), torch.Size([12, 6, 5, 5]))
    """
    state = dict(network.state_dict())
    for name, module in _masked(network):
        del state[f"{name}.mask"]
        state[f"{name}.weight"] = module.weight.detach()[:, :, module.mask[0, 0].bool()]
    return state


def unpacked_state(network: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `packed_state`, and no change of what was not packed."""
    state = dict(state)
    for name, module in _masked(network):
        weight = state.get(f"{name}.weight")
        if weight is not None and weight.shape == module.weight[:, :, module.mask[0, 0].bool()].shape:
            state[f"{name}.weight"] = torch.zeros_like(module.weight, dtype=weight.dtype)
            state[f"{name}.weight"][:, :, module.mask[0, 0].bool()] = weight
            state[f"{name}.mask"] = module.mask
    return state


def _masked(network):
    return [item for item in network.named_modules() if isinstance(item[1], MaskedConv2d | CheckerboardConv2d)]
