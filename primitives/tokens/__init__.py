"""Visual tokens: pictures as grids of feature vectors, and fewer of them.

A *token* is a feature vector that stands for a place of the picture, such as a position of a network's feature map.
`Tokens` holds them with their grid (`primitives.token_grid`). Machines read tokens instead of pictures, so a codec for
machines may send tokens instead of pictures.

==============  ============================================================================
file            holds
==============  ============================================================================
`backbones`     the networks that make and read tokens, by name
`efficientnet`  EfficientNet-Lite, split at a chosen stage
`vit`           a small vision transformer, in two halves
`towers`        any vision transformer of timm or transformers as a source of tokens
`adapter`       latents of a learned codec as a correction of what enters a tower
`reducers`      fewer tokens: QPID-style, PruMerge, FastV, ToMe, VisionZip, DivPrune, EViT, baselines
`subset`        which tokens were kept, as bits
==============  ============================================================================

Names are imported at first use.
"""

import lazy_loader

from ..token_grid import Tokens

__getattr__, __dir__, _lazy = lazy_loader.attach_stub(__name__, __file__)
__all__ = ["Tokens", *_lazy]
