"""Optical flow: a vector for every pixel, a network that finds it, and the picture that it moves.

A flow v tells where each pixel of a frame was in the frame before. The prediction of the frame is the frame before,
*warped*: its value at each pixel is read at the place to which the pixel's vector points,

    p(x, y) = r(x + v_x, y + v_y)

between pixels by bilinear interpolation, outside of the picture from its edge. The gradient of p with respect to v is
the slope of r there, so a flow can be learned from nothing but the wish that the prediction be good.

That slope says something only about the nearest pixels. A movement by 20 pixels is found from coarse to fine: both
pictures are averaged down to a *pyramid*, whose coarsest level shows the movement as 2 or 3 pixels. There a small
network finds the flow. Each finer level doubles it, warps by it, and a network of its own adds what is missing::

    level 3 (1/8)   0 ────────── warp ── network ── + ── flow
                                                          │ ×2, twice the size
    level 2 (1/4)                └─────── warp ── network ── + ── flow     …

A level has five convolutions of 7×7, 240,050 parameters.

A decoder that must agree with its encoder to the bit needs a prediction in integers, which this is not
(`primitives.block_motion` is).

Source: A. Ranjan, M. J. Black, "Optical Flow Estimation Using a Spatial Pyramid Network", CVPR 2017 (SpyNet).
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Channels of a level's convolutions: two pictures and a flow at first, the flow's correction in the end.
_WIDTHS = (8, 32, 64, 32, 16, 2)


def warp(x: Tensor, flow: Tensor) -> Tensor:
    """A picture or feature map read at the places to which a flow points.

    Args:
        x: [N,C,H,W].
        flow: [N,2,H,W], pixels to the right and pixels down.

    Returns:
        float32 [N,C,H,W], computed in float32 under autocast as well, for positions need more digits than half
        precision has.

    Raises:
        ValueError: the shapes do not go together.

    >>> x = torch.tensor([[[[0.0, 10, 20, 30]]]])
    >>> to_the_right = torch.tensor([1.5, 0.0]).view(1, 2, 1, 1).expand(1, 2, 1, 4)
    >>> warp(x, to_the_right)
    tensor([[[[15., 25., 30., 30.]]]])
    """
    height, width = x.shape[-2:]
    if flow.shape != (x.shape[0], 2, height, width):
        wanted = [x.shape[0], 2, height, width]
        raise ValueError(f"the flow of {list(x.shape)} has the shape {wanted}, not {list(flow.shape)}")
    flow = flow.float()
    columns = torch.arange(width, device=x.device) + flow[:, 0]
    rows = torch.arange(height, device=x.device)[:, None] + flow[:, 1]
    # grid_sample counts places from -1 to 1, from the centre of the first pixel to that of the last one.
    grid = torch.stack((columns * (2 / max(1, width - 1)) - 1, rows * (2 / max(1, height - 1)) - 1), dim=-1)
    return F.grid_sample(x.float(), grid, mode="bilinear", padding_mode="border", align_corners=True)


class PyramidFlow(nn.Module):
    """The flow from a frame to another one, coarse to fine (SpyNet).

    Begins with no motion: the last convolution of each level is zero at first.

    Args:
        levels: of the pyramid; the coarsest has 1/2^(levels-1) of the frames' height and width.

    Attributes:
        networks: those of the levels, the coarsest first.

    >>> flow = PyramidFlow(levels=3)
    >>> flow(torch.rand(1, 3, 16, 24), torch.rand(1, 3, 16, 24)).shape
    torch.Size([1, 2, 16, 24])
    """

    def __init__(self, levels: int = 4):
        super().__init__()
        self.networks = nn.ModuleList(_level() for _ in range(levels))

    def forward(self, x: Tensor, reference: Tensor) -> Tensor:
        """The flow with which `warp` makes the frame `x` of the `reference`: [N,2,H,W], to the right and down.

        Args:
            x, reference: float [N,3,H,W].

        Raises:
            ValueError: H or W is no multiple of 2^(levels-1).
        """
        stride = 2 ** (len(self.networks) - 1)
        if x.shape[2] % stride or x.shape[3] % stride:
            raise ValueError(f"this pyramid takes heights and widths in multiples of {stride}, not {list(x.shape)}")
        pyramid = [(x, reference)]
        for _ in range(len(self.networks) - 1):
            pyramid.append(tuple(F.avg_pool2d(each, 2) for each in pyramid[-1]))
        coarsest = pyramid[-1][0]
        flow = coarsest.new_zeros(coarsest.shape[0], 2, *coarsest.shape[2:])
        for network, (now, before) in zip(self.networks, reversed(pyramid), strict=True):
            if flow.shape[2:] != now.shape[2:]:
                flow = 2 * F.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=False)
            flow = flow + network(torch.cat((now, warp(before, flow), flow), dim=1))
        return flow


def _level() -> nn.Sequential:
    layers = []
    for channels_in, channels_out in itertools.pairwise(_WIDTHS):
        layers += [nn.Conv2d(channels_in, channels_out, kernel_size=7, padding=3), nn.ReLU()]
    last = layers[-2]
    nn.init.zeros_(last.weight), nn.init.zeros_(last.bias)
    return nn.Sequential(*layers[:-1])
