"""The network of ``tokens-fsq``: pictures to a grid of small integers and back.

::

    picture ─┬─ principal components of 16×16 blocks ─(+)─ y ─ round ─ symbols [h,w,D]
             └─ convolutions ─────────────────────────┘
    symbols ── table ─ ŷ ─┬─ transposed components ─────(+)─ picture
                          └─ convolutions ──────────────┘

One token stands for 16×16 pixels and has D channels, the *dimensions*, in order of importance. Each is squeezed by
tanh and rounded to a few levels (finite scalar quantization, `primitives.quantizers.fsq`); the first, which is about
the mean brightness, has many, the last have three. The decoder looks up what a symbol means in a table, the mean of all
values that are rounded to it.

Both directions begin as principal components and their transpose, which is a block transform codec. The convolutional
branches, which end in zeros before they are trained, bend that: they see neighbouring blocks, hide their borders, and
guess what was rounded away.

**Any number of dimensions.** In training a random number of the last dimensions is left out (their ŷ is 0, the mean),
as O. Rippel et al., "Learning Ordered Representations with Nested Dropout", ICML 2014, do. So one network serves all
rates, and what has arrived of a stream can be shown.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Pixels along the side of a token.
PATCH = 16

#: Slope of the squeeze: a value of one standard deviation comes to tanh(0.6) = 0.54 of the range.
SLOPE = 0.6

#: Factor behind the branches: a step of AdamW moves all weights by as much, and so pixels by many grey levels without.
_GENTLY = 0.1


class Residual(nn.Module):
    """x + two 3×3 convolutions of x; the second begins with zeros."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1), nn.Conv2d(channels, channels, 3, 1, 1)
        nn.init.zeros_(self.conv2.weight), nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class Tokenizer(nn.Module):
    """The two transforms and the tables.

    Args:
        levels: number of levels of each dimension, odd.
        widths: channels at a quarter, an eighth and a sixteenth of the resolution.

    >>> network = Tokenizer((9, 5, 3), widths=(4, 8, 8))
    >>> symbols = network.symbols(network.analysis(torch.rand(1, 3, 32, 48)))
    >>> symbols.shape, network.synthesis(network.values(symbols)).shape
    (torch.Size([1, 3, 2, 3]), torch.Size([1, 3, 32, 48]))
    """

    def __init__(self, levels: tuple[int, ...], widths: tuple[int, int, int] = (48, 96, 128)):
        super().__init__()
        self.levels, self.widths = tuple(levels), tuple(widths)
        count, (quarter, eighth, sixteenth) = len(levels), widths
        self.project = nn.Conv2d(3, count, PATCH, PATCH)
        self.encode = nn.Sequential(
            nn.Conv2d(3, quarter, 4, 4),
            Residual(quarter),
            nn.Conv2d(quarter, eighth, 3, 2, 1),
            Residual(eighth),
            nn.Conv2d(eighth, sixteenth, 3, 2, 1),
            Residual(sixteenth),
            nn.Conv2d(sixteenth, count, 1),
        )
        self.unproject = nn.ConvTranspose2d(count, 3, PATCH, PATCH)
        self.decode = nn.ModuleList(
            (
                nn.Sequential(nn.Conv2d(count, sixteenth, 3, 1, 1), *(Residual(sixteenth) for _ in range(3))),
                nn.Sequential(nn.Conv2d(sixteenth, 4 * eighth, 1), nn.PixelShuffle(2)),
                nn.Sequential(*(Residual(eighth) for _ in range(2))),
                nn.Sequential(nn.Conv2d(eighth, 4 * quarter, 1), nn.PixelShuffle(2)),
                nn.Conv2d(48, quarter, 3, 1, 1),  # of the linear picture, 4×4 pixels a position
                nn.Sequential(*(Residual(quarter) for _ in range(2))),
                nn.Conv2d(quarter, 48, 3, 1, 1),
            )
        )
        self.table = nn.Parameter(torch.zeros(count, max(levels)))
        self.register_buffer(
            "reach", torch.tensor([(level - 1) / 2 for level in levels])[:, None, None], persistent=False
        )
        for last in (self.encode[-1], self.decode[-1]):
            nn.init.zeros_(last.weight), nn.init.zeros_(last.bias)

    def analysis(self, pictures: Tensor) -> Tensor:
        """Pictures [B,3,H,W] in 0 … 1, sides multiples of 16, to y [B,D,H/16,W/16], about of deviation 1."""
        centred = pictures - 0.5
        return self.project(centred) + _GENTLY * self.encode(centred)

    def symbols(self, y: Tensor) -> Tensor:
        """Symbols 0 … L − 1, int64 [B,D,h,w]."""
        return ((self.reach + 0.498) * torch.tanh(SLOPE * y.float()) + self.reach).round().long().clamp(min=0)

    def values(self, symbols: Tensor) -> Tensor:
        """What the decoder takes symbols [B,d,h,w] for: ŷ [B,D,h,w]; dimensions from d on are 0."""
        count = symbols.shape[1]
        rows = torch.arange(count, device=symbols.device)[:, None, None]
        return F.pad(self.table[rows, symbols], (0, 0, 0, 0, 0, len(self.levels) - count))

    def synthesis(self, y_hat: Tensor) -> Tensor:
        """ŷ to pictures [B,3,H,W], not clipped."""
        linear = self.unproject(y_hat)
        deep, up1, eighth, up2, see, quarter, out = self.decode
        x = up2(eighth(up1(deep(y_hat))))
        x = quarter(x + see(F.pixel_unshuffle(linear - 0.5, 4)))
        return linear + _GENTLY * F.pixel_shuffle(out(x), 4)

    def rounded(self, y: Tensor) -> Tensor:
        """ŷ of y, with the gradient of y as if it were squeezed but not rounded, and that of the table.

        The squeeze takes part, as in FSQ: values that lie beyond the last level already are not driven further out.
        """
        squeezed = torch.tanh(SLOPE * y.float()) / SLOPE
        return self.values(self.symbols(y)) + squeezed - squeezed.detach()


@torch.no_grad()
def initialize(network: Tokenizer, crops: Tensor) -> None:
    """Make a new network a block transform codec.

    Args:
        crops: photographs uint8 [K,S,S,3], some hundreds.
    """
    count, side = len(network.levels), crops.shape[1] // PATCH * PATCH
    sums, outer, total = torch.zeros(3 * PATCH**2, dtype=torch.float64), 0.0, 0
    for part in crops.split(64):
        x = part[:, :side, :side].permute(0, 3, 1, 2).double() / 255
        rows = F.unfold(x, PATCH, stride=PATCH).transpose(1, 2).flatten(0, 1)
        sums, outer, total = sums + rows.sum(0), outer + rows.T @ rows, total + len(rows)
    mean = sums / total
    values, vectors = torch.linalg.eigh(outer / total - mean[:, None] * mean)
    basis = vectors.flip(1)[:, :count]
    deviation = values.flip(0)[:count].sqrt()
    forward = (basis / deviation).T
    network.project.weight.copy_(forward.reshape(count, 3, PATCH, PATCH))
    network.project.bias.copy_(forward @ (0.5 - mean))
    network.unproject.weight.copy_((basis * deviation).T.reshape(count, 3, PATCH, PATCH))
    # A transposed convolution's bias is the same at all pixels; the mean of blocks is nearly so.
    network.unproject.bias.copy_(mean.reshape(3, -1).mean(1))
    x = crops[:, :side, :side].permute(0, 3, 1, 2).float() / 255
    fit_table(network, torch.cat([network.analysis(part) for part in x.split(64)]))


@torch.no_grad()
def fit_table(network: Tokenizer, y: Tensor) -> None:
    """Set the table to the mean of the values y [K,D,h,w] of each symbol, or to its middle where there are few."""
    symbols = network.symbols(y)
    for d, level in enumerate(network.levels):
        half = (level - 1) / 2
        middle = torch.atanh(((torch.arange(level) - half) / (half + 0.498)).clamp(-0.98, 0.98)) / SLOPE
        flat, values = symbols[:, d].flatten(), y[:, d].flatten().double()
        counts = torch.bincount(flat, minlength=level)
        sums = torch.bincount(flat, values, minlength=level)
        network.table[d, :level] = ((sums + 4 * middle) / (counts + 4)).float()
        network.table[d, level:] = 0


def levels_of(deviation: Tensor, step: float, most: int = 33) -> tuple[int, ...]:
    """Odd numbers of levels that make the steps of all dimensions about equally large.

    Near 0 a step is 1 / (SLOPE · L/2) deviations, so L = 2 σ / (SLOPE · step), from 3 up.
    """
    return tuple(int(min(max(2 * math.floor(d / (SLOPE * step)) + 1, 3), most)) for d in deviation.tolist())
