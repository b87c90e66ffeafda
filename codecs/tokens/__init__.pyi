import codeckit.codecs.entry as _entry

from .codec import (
    TokenCodec as TokenCodec,
)
from .codec import (
    token_arrays as token_arrays,
)
from .codec import (
    token_indices as token_indices,
)
from .codec import (
    tokens as tokens,
)
from .codec import (
    tokens_scenes as tokens_scenes,
)
from .codec import (
    tokens_vit as tokens_vit,
)
from .encoder import TokenEncoder as TokenEncoder
from .fsq import (
    NetworkIndices as NetworkIndices,
)
from .fsq import (
    Tokenize as Tokenize,
)
from .fsq import (
    TokenizerCodec as TokenizerCodec,
)
from .fsq import (
    TokenizerWeights as TokenizerWeights,
)
from .fsq import (
    tokens_fsq as tokens_fsq,
)
from .model import TokenModel as TokenModel
from .model import TokenWeights as TokenWeights
from .model import load_model as load_model
from .stages import (
    Features as Features,
)
from .stages import (
    FeatureTransform as FeatureTransform,
)
from .stages import (
    Reduce as Reduce,
)
from .stages import (
    TokenCoded as TokenCoded,
)
from .stages import (
    TokenSteps as TokenSteps,
)

TOKENS: _entry.Entry
TOKENS_VIT: _entry.Entry
TOKENS_FSQ: _entry.Entry
TOKEN_INDICES: _entry.Entry
TOKEN_ARRAYS: _entry.Entry
