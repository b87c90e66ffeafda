"""Train the causal network that predicts the symbols of a scalar tokenizer (`primitives.entropy.causal`).

Cross-entropy in bits, Adam, all dimensions' networks at once; then weights are rounded to integers. Some seconds to
minutes for some thousand grids.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..primitives.entropy.causal import ACTIVATION_BITS, WEIGHT_BITS, CausalNetwork, inputs, training_inputs

#: Inputs are divided by this for training, so that they are about 1.
_INPUT_SCALE = 2.0


def fit(
    grids: np.ndarray,
    levels: tuple[int, ...],
    *,
    hidden: tuple[int, int] = (32, 24),
    steps: int = 600,
    batch: int = 12,
    learning_rate: float = 4e-3,
    seed: int = 0,
    progress=lambda line: None,
) -> CausalNetwork:
    """A network for symbols such as these.

    Args:
        grids: int [K,rows,columns,D], the symbols of many pictures.
        levels: number of values of each dimension.
        hidden: units of the two layers.
        steps, batch: length of the training and grids a step.
        learning_rate: the highest; it falls along half a cosine.
        seed: of all random numbers.
        progress: takes a line now and then.
    """
    count, most = len(levels), max(levels)
    generator = torch.Generator().manual_seed(seed)
    sizes = (inputs(count), *hidden, most)
    weights = [
        (torch.randn(count, a, b, generator=generator) * scale / math.sqrt(a)).requires_grad_()
        for a, b, scale in zip(sizes[:-1], sizes[1:], (1.4, 1.4, 0.1), strict=True)
    ]
    frequencies = np.stack([np.bincount(grids[..., d].ravel(), minlength=most) for d in range(count)])
    start = np.log2((frequencies + 1) / (frequencies.sum(1, keepdims=True) + most))
    biases = [torch.zeros(count, size, requires_grad=True) for size in hidden]
    biases.append(torch.from_numpy(start.astype(np.float32)).requires_grad_())
    optimizer = torch.optim.Adam([*weights, *biases], betas=(0.9, 0.99))
    outside = torch.zeros(count, most)
    for d, level in enumerate(levels):
        outside[d, level:] = -100.0
    rows, columns = grids.shape[1:3]
    losses = []
    for step in range(steps):
        rng = np.random.default_rng((seed, step))
        chosen = grids[rng.choice(len(grids), min(batch, len(grids)), replace=False)]
        symbols = np.ascontiguousarray(chosen.reshape(len(chosen), -1, count), np.int32)
        x = np.concatenate([training_inputs(own, (rows, columns), levels) for own in symbols])  # [B·N,D,F]
        x = torch.from_numpy(x.transpose(1, 0, 2).astype(np.float32)) / _INPUT_SCALE
        goal = torch.from_numpy(symbols.reshape(-1, count).T.astype(np.int64))
        rate = learning_rate * min(1, (step + 1) / 20) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        optimizer.param_groups[0]["lr"] = rate
        logits = _forward(x, weights, biases) + outside[:, None]
        loss = F.cross_entropy((logits * math.log(2)).flatten(0, 1), goal.flatten()) / math.log(2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item() * count)
        if step % 50 == 49:
            progress(f"step {step + 1}: {np.mean(losses[-50:]):.3f} bits a token")
    return _rounded(levels, [w.detach() for w in weights], [b.detach() for b in biases])


def _forward(x: Tensor, weights, biases) -> Tensor:
    """Logits [D,N,L], as powers of two, of inputs [D,N,F]."""
    for n, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        x = torch.baddbmm(bias[:, None], x, weight)
        x = x.relu() if n + 1 < len(weights) else x
    return x


def _rounded(levels, weights, biases) -> CausalNetwork:
    """The network in integers. Inputs have no fraction bits, activations have some, so biases are in other units."""
    tensors = {}
    for n, (weight, bias) in enumerate(zip(weights, biases, strict=True), 1):
        scale = 1 / _INPUT_SCALE if n == 1 else 1.0
        tensors[f"w{n}"] = torch.round(weight * scale * 2**WEIGHT_BITS).to(torch.int32).numpy()
        bits = WEIGHT_BITS if n == 1 else WEIGHT_BITS + ACTIVATION_BITS
        tensors[f"b{n}"] = torch.round(bias * 2**bits).to(torch.int32).numpy()
    return CausalNetwork(tuple(levels), **tensors)
