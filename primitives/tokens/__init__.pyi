import codeckit.primitives.token_grid as _grid

from .backbones import load_backbone as load_backbone
from .efficientnet import BACKBONES as BACKBONES
from .efficientnet import Backbone as Backbone
from .llava import LlavaReader as LlavaReader
from .reduced import (
    Reduced as Reduced,
)
from .reduced import (
    merge_similar as merge_similar,
)
from .reduced import (
    unmerge as unmerge,
)
from .reducers import (
    REDUCERS as REDUCERS,
)
from .reducers import (
    information_density as information_density,
)
from .reducers import (
    quadtree as quadtree,
)
from .subset import decode_subset as decode_subset
from .subset import encode_subset as encode_subset
from .subset import subset_bits as subset_bits
from .towers import Tower as Tower
from .vit import VisionTransformer as VisionTransformer
from .vit import VitBackbone as VitBackbone
from .vit import VitSize as VitSize

Tokens = _grid.Tokens
