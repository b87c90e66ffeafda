"""Train the causal network that predicts the symbols of a scalar tokenizer (`primitives.entropy.causal`).

Cross-entropy in bits, Adam, all dimensions' networks at once; then weights are rounded to integers. Some seconds to
minutes for some thousand grids.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..primitives.entropy.causal import ACTIVATION_BITS, WEIGHT_BITS, CausalNetwork, inputs, training_inputs
from .callbacks import Callback, LearningRate, Means, Seeding
from .loop import Loop, Task

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
    task = _Causal(grids, levels, hidden, batch, learning_rate, seed)
    rules = [Seeding(seed), LearningRate(steps, warmup=20, final=0.0), Means(50), _Lines(progress)]
    Loop(task, steps, rules).run()
    return _rounded(levels, [w.detach() for w in task.weights], [b.detach() for b in task.biases])


class _Terms(NamedTuple):
    """Means over the positions, of a dimension and of all dimensions together."""

    loss: Tensor
    bits: Tensor


class _Causal(Task):
    """All dimensions' networks; arguments as in `fit`."""

    def __init__(self, grids, levels, hidden, batch, learning_rate, seed):
        self.grids, self.levels, self.size = grids, levels, min(batch, len(grids))
        count, most = len(levels), max(levels)
        generator = torch.Generator().manual_seed(seed)
        sizes = (inputs(count), *hidden, most)
        self.weights = [
            (torch.randn(count, a, b, generator=generator) * scale / math.sqrt(a)).requires_grad_()
            for a, b, scale in zip(sizes[:-1], sizes[1:], (1.4, 1.4, 0.1), strict=True)
        ]
        frequencies = np.stack([np.bincount(grids[..., d].ravel(), minlength=most) for d in range(count)])
        start = np.log2((frequencies + 1) / (frequencies.sum(1, keepdims=True) + most))
        self.biases = [torch.zeros(count, size, requires_grad=True) for size in hidden]
        self.biases.append(torch.from_numpy(start.astype(np.float32)).requires_grad_())
        group = {"params": [*self.weights, *self.biases], "peak": learning_rate}
        self.optimizer = torch.optim.Adam([group], betas=(0.9, 0.99))
        self.outside = torch.zeros(count, most)
        for d, level in enumerate(levels):
            self.outside[d, level:] = -100.0

    def batch(self, rng, step):
        """Inputs [D,N,F] at all positions of some grids, and the symbols there [D,N]."""
        count, (rows, columns) = len(self.levels), self.grids.shape[1:3]
        chosen = self.grids[rng.choice(len(self.grids), self.size, replace=False)]
        symbols = np.ascontiguousarray(chosen.reshape(len(chosen), -1, count), np.int32)
        x = np.concatenate([training_inputs(own, (rows, columns), self.levels) for own in symbols])  # [B·N,D,F]
        x = torch.from_numpy(x.transpose(1, 0, 2).astype(np.float32)) / _INPUT_SCALE
        return x, torch.from_numpy(symbols.reshape(-1, count).T.astype(np.int64))

    def objective(self, x, goal):
        """Cross-entropy in bits."""
        logits = _forward(x, self.weights, self.biases) + self.outside[:, None]
        loss = F.cross_entropy((logits * math.log(2)).flatten(0, 1), goal.flatten()) / math.log(2)
        return _Terms(loss, loss.detach() * len(self.levels))


class _Lines(Callback):
    """Gives a line for each entry of the log."""

    def __init__(self, progress):
        self.progress = progress

    def log(self, loop, entry):
        self.progress(f"step {entry['step']}: {entry['bits']:.3f} bits a token")


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
