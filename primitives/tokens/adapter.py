"""An adapter that lets a vision tower read a picture and the latents that it was decoded from.

::

    latents ŷ ─ linear, class token, positions ─ norm ─ block ─┐
                                                               +─ tower: blocks ─ tokens
    decoded picture ─ stem ─ linear, positions, class token ───┘

A decoder of a learned codec has more than the decoded picture: the latents are what really came over the line, and a
synthesis network that was trained for pixels has thrown some of it away. Latents and tokens share a grid here, for both
have a stride of 16 pixels. So one block of a transformer turns latents into a correction of what enters the tower. The
decoded picture stays the prior; codec and tower stay as they are.

The correction begins at zero: `gate` multiplies it, channel by channel. Before training the tower is what it was.

Source: J. Liu et al., "When MLLMs Meet Compression Distortion: A Coding Paradigm Tailored to MLLMs" (CoTAM),
arXiv:2509.24258. The gate is ours, and so is the normalization of the latents' channels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .vit import Block, VisionTower, VitSize, small_weights


class LatentAdapter(nn.Module):
    """Latents [B,M,h,w] to what is added to a tower's class token and tokens, [B,1+N,C].

    Args:
        latents: M, channels of the latents.
        size: of the tower. Latents of another grid are interpolated to its grid.

    >>> adapter = LatentAdapter(6, VitSize(grid=4, channels=16, heads=2)).eval()
    >>> adapter(torch.randn(2, 6, 4, 4)).shape, bool(adapter(torch.randn(1, 6, 8, 8)).any())
    (torch.Size([2, 17, 16]), False)
    """

    def __init__(self, latents: int, size: VitSize):
        super().__init__()
        self.grid = size.grid
        self.scale = nn.BatchNorm2d(latents, affine=False)  # latents of different channels have different sizes
        self.enter = nn.Conv2d(latents, size.channels, 1)
        self.position = nn.Parameter(0.02 * torch.randn(1, size.channels, size.grid, size.grid))
        self.adapter_class = nn.Parameter(0.02 * torch.randn(1, 1, size.channels))
        self.norm = nn.LayerNorm(size.channels)
        self.block = Block(size.channels, size.heads, size.hidden)
        self.gate = nn.Parameter(torch.zeros(size.channels))
        small_weights(self)

    def forward(self, latents: Tensor) -> Tensor:
        if latents.shape[2:] != (self.grid, self.grid):
            latents = F.interpolate(latents, (self.grid, self.grid), mode="bilinear", align_corners=False)
        x = (self.enter(self.scale(latents)) + self.position).flatten(2).transpose(1, 2)
        x = torch.cat([self.adapter_class.expand(len(x), -1, -1).to(x.dtype), x], 1)
        return self.gate * self.block(self.norm(x))


def hidden_states(tower: VisionTower, maps: Tensor, added: Tensor | None = None) -> list[Tensor]:
    """What a tower makes of the stem's maps, after each of its blocks: [B,1+N,C] each, the class token first.

    Args:
        tower: it.
        maps: of the stem, [B,C,rows,columns].
        added: what a `LatentAdapter` adds to the input of the first block.
    """
    x = tower.start(tower.embed(maps), tower.tower_class)
    x = x if added is None else x + added
    states = []
    for block in tower.tower:
        x = block(x)
        states.append(x)
    return states
