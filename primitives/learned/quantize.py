"""Quantization that gradients pass: what stands in for rounding while a network is trained.

Rounding has derivative zero almost everywhere, so a transform behind it would learn nothing. Three substitutes:

- **Additive noise**, uniform in ±½, the distribution that rounding errors have at high rate. The density of y + noise
  is that of y convolved with a box, and at whole numbers it equals the probability of the rounded value: the
  differential entropy of the noisy latents is a smooth estimate of the rate (Ballé et al. 2017, section 3). It is what
  entropy models are trained with.
- **Straight through**: round, and pretend that the derivative is 1. The synthesis transform then sees exactly the
  values that it will decode (Theis et al. 2017; Minnen & Singh 2020 use noise for the rate and this for the
  distortion).
- **Relaxed** rounding: a value moves to one of its two neighbours at random, the nearer one more likely, and stops just
  short of it. The lower the temperature, the surer the nearer one and the shorter the rest of the way. So what is seen
  are nearly whole numbers, zeros above all, and yet gradients are those of the function that was computed. They come
  from the values near ½, where a little more or less decides (Yang et al. 2020 optimise the latents of a picture so).

When coding, latents are rounded *around* an offset, the mean μ (or median) that their model predicts: round(y - μ) + μ.
Only the whole number is coded, and the most probable value is met exactly.

Sources: J. Ballé, V. Laparra, E. P. Simoncelli, "End-to-end Optimized Image Compression", ICLR 2017; L. Theis, W. Shi,
A. Cunningham, F. Huszár, "Lossy Image Compression with Compressive Autoencoders", ICLR 2017; D. Minnen, S. Singh,
"Channel-wise Autoregressive Entropy Models for Learned Image Compression", ICIP 2020; Y. Yang, R. Bamler, S. Mandt,
"Improving Inference for Neural Image Compression", NeurIPS 2020, section 3.2 (stochastic Gumbel annealing).
"""

import functools
from typing import Literal

import torch
from torch import Tensor

#: What stands in for rounding in training.
Proxy = Literal["noise", "relaxed", "rounded"]

#: Of relaxed rounding. Of values spread evenly one in twenty goes to the farther neighbour, and one in sixty stops more
#: than 0.1 short of it.
TEMPERATURE = 0.1


def stand_in(x: Tensor, proxy: Proxy) -> Tensor:
    """What stands in for `x` rounded to whole numbers, any shape.

    >>> stand_in(torch.tensor([0.4, 2.6]), "rounded")
    tensor([0., 3.])
    """
    return {"noise": add_noise, "relaxed": relax, "rounded": round_straight_through}[proxy](x)


def add_noise(x: Tensor) -> Tensor:
    """`x` with independent uniform noise in ±½ added to every value, any shape.

    >>> bool(((add_noise(torch.zeros(1000)).abs()) <= 0.5).all())
    True
    """
    return x + torch.empty_like(x).uniform_(-0.5, 0.5)


def relax(x: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """`x` rounded at random, and not quite, to one of the two whole numbers around every value, any shape.

    A sample of the concrete distribution over both, whose logits are -atanh(distance) / `temperature`.

    Args:
        temperature: above 0; towards 0 it is rounding.

    >>> x = torch.tensor([0.05, 2.9], requires_grad=True)
    >>> relaxed = relax(x)
    >>> relaxed.detach().round()
    tensor([0., 3.])
    >>> relaxed.sum().backward()
    >>> bool((x.grad >= 0).all())
    True
    """
    below = x.floor()
    part = (x - below).clamp(1e-4, 1 - 1e-4)  # atanh(1) is infinite
    uniform = torch.empty_like(x).uniform_(1e-6, 1 - 1e-6)
    logit = (torch.atanh(part) - torch.atanh(1 - part)) / temperature + uniform.logit()
    return below + torch.sigmoid(logit / temperature)


def round_straight_through(x: Tensor) -> Tensor:
    """`x` rounded to whole numbers (ties to even), any shape, with the gradient of the identity.

    >>> x = torch.tensor([0.4, 2.6], requires_grad=True)
    >>> round_straight_through(x).sum().backward()
    >>> round_straight_through(x).detach(), x.grad
    (tensor([0., 3.]), tensor([1., 1.]))
    """
    return x + (torch.round(x) - x).detach()  # exactly the whole number: the difference has no rounding error


def round_around(x: Tensor, offset: Tensor) -> Tensor:
    """`x` rounded to the nearest value that is a whole number away from `offset`, straight through.

    >>> round_around(torch.tensor([0.4, 2.6]), torch.tensor(0.25))
    tensor([0.2500, 2.2500])
    """
    return round_straight_through(x - offset) + offset


def in_float32(method):
    """Decorate a method of tensors, or tuples of them: under autocast it computes in float32, with float32 arguments.

    Probabilities are differences of numbers close to each other. Half precision, with which transforms may be trained,
    has too few digits for them.

    >>> class Sum(torch.nn.Module):
    ...     @in_float32
    ...     def forward(self, x):
    ...         return x @ x
    >>> with torch.autocast("cpu", torch.bfloat16):
    ...     Sum()(torch.ones(2, 2, dtype=torch.bfloat16)).dtype
    torch.float32
    """

    @functools.wraps(method)
    def wrapped(self, x, *arguments, **named):
        device = x.device.type
        if not torch.is_autocast_enabled(device):
            return method(self, x, *arguments, **named)
        with torch.autocast(device, enabled=False):
            named = {name: _to_float32(argument) for name, argument in named.items()}
            return method(self, _to_float32(x), *map(_to_float32, arguments), **named)

    return wrapped


def _to_float32(argument):
    if isinstance(argument, tuple):  # a named tuple of tensors
        return type(argument)(*map(_to_float32, argument))
    return argument.float() if isinstance(argument, Tensor) else argument
