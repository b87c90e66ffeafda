from .attention import AttentionBlock as AttentionBlock
from .attention import ResidualUnit as ResidualUnit
from .flow import PyramidFlow as PyramidFlow
from .flow import warp as warp
from .gain import GainUnit as GainUnit
from .gdn import GDN as GDN
from .gdn import NonNegative as NonNegative
from .integer import IntegerNetwork as IntegerNetwork
from .integer import quantize_network as quantize_network
from .lower_bound import LowerBound as LowerBound
from .masked_conv import CheckerboardConv2d as CheckerboardConv2d
from .masked_conv import MaskedConv2d as MaskedConv2d
from .masked_conv import anchors as anchors
from .quantize import (
    add_noise as add_noise,
)
from .quantize import (
    in_float32 as in_float32,
)
from .quantize import (
    relax as relax,
)
from .quantize import (
    round_around as round_around,
)
from .quantize import (
    round_straight_through as round_straight_through,
)
from .quantize import (
    stand_in as stand_in,
)
from .residual import (
    ResidualBlock as ResidualBlock,
)
from .residual import (
    ResidualBlockUpsample as ResidualBlockUpsample,
)
from .residual import (
    ResidualBlockWithStride as ResidualBlockWithStride,
)
from .residual import (
    conv1x1 as conv1x1,
)
from .residual import (
    conv3x3 as conv3x3,
)
from .residual import (
    subpixel_conv3x3 as subpixel_conv3x3,
)
