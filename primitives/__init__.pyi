from . import plugins as plugins
from .bitstream import (
    BitReader as BitReader,
)
from .bitstream import (
    BitWriter as BitWriter,
)
from .bitstream import (
    ByteReader as ByteReader,
)
from .bitstream import (
    ByteWriter as ByteWriter,
)
from .color import ComponentTransform as ComponentTransform
from .color import YCbCr as YCbCr
from .container import Container as Container
from .dct import BlockDCT as BlockDCT
from .entropy import (
    AdaptiveIndices as AdaptiveIndices,
)
from .entropy import (
    AnsCoded as AnsCoded,
)
from .entropy import (
    BitPlaneCoded as BitPlaneCoded,
)
from .entropy import (
    ContextCoded as ContextCoded,
)
from .entropy import (
    DctCoded as DctCoded,
)
from .entropy import (
    FixedIndices as FixedIndices,
)
from .entropy import (
    HuffmanCoded as HuffmanCoded,
)
from .entropy import (
    MixedIndices as MixedIndices,
)
from .entropy import (
    RangeCoded as RangeCoded,
)
from .entropy import (
    StaticIndices as StaticIndices,
)
from .entropy import (
    UniformCoded as UniformCoded,
)
from .entropy.bits import pack_bits as pack_bits
from .entropy.bits import unpack_bits as unpack_bits
from .errors import ReadingError as ReadingError
from .errors import StreamError as StreamError
from .pad import PadTo as PadTo
from .picture import (
    MAX_PIXELS as MAX_PIXELS,
)
from .picture import (
    HeaderStage as HeaderStage,
)
from .picture import (
    Picture as Picture,
)
from .picture import (
    check_size as check_size,
)
from .picture import (
    pack_header as pack_header,
)
from .picture import (
    unpack_header as unpack_header,
)
from .quantizers import FSQ as FSQ
from .quantizers import DeadZone as DeadZone
from .quantizers import QuantTable as QuantTable
from .quantizers import RegionDeadZone as RegionDeadZone
from .quantizers import Uniform as Uniform
from .stage import (
    Stage as Stage,
)
from .stage import (
    Weighted as Weighted,
)
from .stage import (
    from_spec as from_spec,
)
from .stage import (
    register_stage as register_stage,
)
from .stage import (
    spec as spec,
)
from .subsample import Subsample as Subsample
from .token_grid import Tokens as Tokens
from .wavelet import Wavelet as Wavelet
