from .ans import AnsCoder as AnsCoder
from .bitplanes import BitPlaneCoded as BitPlaneCoded
from .context import ContextCoded as ContextCoded
from .dct_context import DctCoded as DctCoded
from .factorized import FactorizedPrior as FactorizedPrior
from .gaussian import GaussianConditional as GaussianConditional
from .huffman import canonical_codes as canonical_codes
from .huffman import code_lengths as code_lengths
from .indices import (
    AdaptiveIndices as AdaptiveIndices,
)
from .indices import (
    FixedIndices as FixedIndices,
)
from .indices import (
    MixedIndices as MixedIndices,
)
from .indices import (
    StaticIndices as StaticIndices,
)
from .integer_gaussian import (
    Mixture as Mixture,
)
from .integer_gaussian import (
    center as center,
)
from .integer_gaussian import (
    gaussian_tables as gaussian_tables,
)
from .integer_gaussian import (
    scale_index as scale_index,
)
from .integer_gaussian import (
    uncenter as uncenter,
)
from .laplace import LaplaceConditional as LaplaceConditional
from .laplace import laplace_bits as laplace_bits
from .latent_mixing import MixingDecoder as MixingDecoder
from .latent_mixing import MixingEncoder as MixingEncoder
from .latents import LatentDecoder as LatentDecoder
from .latents import LatentEncoder as LatentEncoder
from .mixture import GaussianMixture as GaussianMixture
from .models import StaticModel as StaticModel
from .models import quantize_counts as quantize_counts
from .range_coder import RangeDecoder as RangeDecoder
from .range_coder import RangeEncoder as RangeEncoder
from .static import (
    AnsCoded as AnsCoded,
)
from .static import (
    HuffmanCoded as HuffmanCoded,
)
from .static import (
    RangeCoded as RangeCoded,
)
from .static import (
    UniformCoded as UniformCoded,
)
from .tables import FrequencyTables as FrequencyTables
from .tables import quantize_pmf as quantize_pmf
from .wavefronts import checkerboard as checkerboard
from .wavefronts import wavefront as wavefront
