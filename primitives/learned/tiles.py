"""Tiles: a convolutional network on a picture of any size, in bounded memory.

The feature maps of a learned transform at half the picture's resolution hold a hundred times the picture's bytes. But a
convolutional network looks only so far: an output depends on inputs within its *reach*, the rest may be anything. So
the picture is cut into tiles, each is computed with a margin of that reach around it, and what the margin spoiled is
cut off::

    ┌──────┬──────┐        ┌╌╌╌╌╌╌╌╌┐
    │ tile │      │        ╎ ┌────┐ ╎  the network sees the dashed square,
    ├──────┼──────┤        ╎ │tile│ ╎  its output on the tile is kept
    │      │      │        ╎ └────┘ ╎
    └──────┴──────┘        └╌╌╌╌╌╌╌╌┘

At the picture's border there is no margin, and every layer pads with zeros there as it does on the whole picture. The
result is that of the whole picture; if a library adds up in another order on another size, to float rounding.

**Reach.** Nothing has to be known of the layers: one position of the input is *poisoned* with not-a-number, which
spreads through every sum that it enters, whatever the weights, and how far it spreads is the reach (`reach`).

A *position* is a latent: `down` × `down` input samples for an analysis transform, `up` × `up` output samples for a
synthesis transform.
"""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

#: Pictures of at most so many positions are computed whole; larger ones in tiles of about SIDE × SIDE.
WHOLE, SIDE = 96 * 96, 64


def reach(network: Callable[[Tensor], Tensor], channels: int, *, down: int = 1, up: int = 1, device="cpu") -> int:
    """How many positions away an input can change an output.

    Args:
        network: convolutional, [N,C,H,W] to [N,C',H·up/down,W·up/down], with square kernels.
        channels: C.
        down, up: input and output samples of a position, in each direction.
        device: where the network is.

    >>> reach(torch.nn.Conv2d(1, 1, 5, padding=2), 1)
    2
    """
    positions = 8
    while True:
        positions *= 2
        middle = positions // 2
        x = torch.zeros(1, channels, down, down * positions, device=device)
        x[..., down * middle : down * (middle + 1)] = torch.nan
        spoiled = network(x).isnan()[0].any(0).any(0).view(positions, up).any(1).nonzero()
        first, last = int(spoiled[0]), int(spoiled[-1])
        if first > 0 and last < positions - 1:
            return max(middle - first, last - middle)


def _same(x):
    return x


def tiled(
    network: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    down: int = 1,
    up: int = 1,
    before: Callable[[Tensor], Tensor] = _same,
    after: Callable[[Tensor], Tensor] = _same,
    whole: int = WHOLE,
    side: int = SIDE,
    margin: int | None = None,
) -> Tensor:
    """``after(network(before(x)))``, in tiles if `x` has more than `whole` positions.

    Args:
        network: as for `reach`.
        x: [N,C,H,W], H and W multiples of `down`.
        down, up: input and output samples of a position, in each direction.
        before, after: done to the samples of each tile, such as a change of type that saves memory.
        whole: most positions of a picture that is not cut.
        side: of a tile, in positions, about.
        margin: the network's reach, where it is known; networks of integers have no not-a-number to find it with.

    Returns:
        [N,C',H·up/down,W·up/down].

    >>> blur, x = torch.nn.Conv2d(3, 3, 5, padding=2), torch.rand(1, 3, 20, 30)
    >>> bool(torch.allclose(tiled(blur, x, whole=16, side=7), blur(x), atol=1e-6))
    True
    """
    height, width = x.shape[2] // down, x.shape[3] // down
    if height * width <= whole:
        return after(network(before(x)))
    if margin is None:
        margin = reach(network, x.shape[1], down=down, up=up, device=x.device)
    out = None
    for top, bottom in _cut(height, side):
        for left, right in _cut(width, side):
            # The tile with its margin, as far as the picture goes.
            first_row, first_column = max(0, top - margin), max(0, left - margin)
            rows = slice(down * first_row, down * min(height, bottom + margin))
            columns = slice(down * first_column, down * min(width, right + margin))
            part = after(network(before(x[:, :, rows, columns])))
            if out is None:
                out = part.new_empty(x.shape[0], part.shape[1], up * height, up * width)
            rows = slice(up * (top - first_row), up * (bottom - first_row))
            columns = slice(up * (left - first_column), up * (right - first_column))
            out[:, :, up * top : up * bottom, up * left : up * right] = part[:, :, rows, columns]
    return out


def _cut(extent, side):
    """0 … extent in parts of about `side`, as even as can be."""
    count = -(-extent // side)
    return list(itertools.pairwise(extent * n // count for n in range(count + 1)))
