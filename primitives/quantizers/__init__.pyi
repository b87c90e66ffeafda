from .deadzone import DeadZone as DeadZone
from .fsq import FSQ as FSQ
from .rate_distortion import quantize_rate_distortion as quantize_rate_distortion
from .regions import RegionDeadZone as RegionDeadZone
from .table import QuantTable as QuantTable
from .uniform import Uniform as Uniform
from .vector import (
    ProductQuantizer as ProductQuantizer,
)
from .vector import (
    ResidualQuantizer as ResidualQuantizer,
)
from .vector import (
    VectorQuantizer as VectorQuantizer,
)
