"""A lower bound that gradients can leave again.

``max(x, bound)`` has no gradient where x < bound: a parameter that once fell below its bound would never come back.
Here the gradient also passes there whenever a descent step would move x *up*, towards the bound; only the steps that
would push x further down are stopped.

Source: the ``lower_bound`` operation of TensorFlow Compression, made for the parameters of GDN and for likelihoods.
"""

import torch
from torch import Tensor, nn


class _LowerBound(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, bound):
        ctx.save_for_backward(x, bound)
        return torch.maximum(x, bound)

    @staticmethod
    def backward(ctx, gradient):
        x, bound = ctx.saved_tensors
        return gradient * ((x >= bound) | (gradient < 0)), None


class LowerBound(nn.Module):
    """``max(x, bound)`` of a tensor of any shape, with gradients that can raise what lies below.

    Attributes:
        bound: the bound, a buffer [1].

    >>> x = torch.tensor([0.5, 2.0], requires_grad=True)
    >>> y = LowerBound(1.0)(x)
    >>> y.detach()
    tensor([1., 2.])
    >>> (-y).sum().backward()       # descent raises both
    >>> x.grad
    tensor([-1., -1.])
    """

    def __init__(self, bound: float):
        super().__init__()
        self.register_buffer("bound", torch.tensor([float(bound)]))

    def forward(self, x: Tensor) -> Tensor:
        """The larger of `x` and the bound."""
        return _LowerBound.apply(x, self.bound)
