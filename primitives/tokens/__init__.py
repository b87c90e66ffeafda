"""Visual tokens: pictures as grids of feature vectors, and fewer of them.

A *token* is a feature vector that stands for a place of the picture: a patch of its pixels (`patchify`), or a position
of a network's feature map (`backbone`). `Tokens` holds them with their grid. Machines read tokens instead of pictures,
so a codec for machines may send tokens instead of pictures. `primitives.token_grid` holds the type.

============  ============================================================================
file          holds
============  ============================================================================
`backbone`    EfficientNet-Lite, split at a chosen stage: what makes tokens and what reads them
`vit`         a small vision transformer of our own, in two halves
`towers`      any vision transformer of timm or transformers as a source of tokens
`reducers`    fewer tokens: QPID-style, PruMerge, FastV, ToMe, VisionZip, DivPrune, EViT, baselines
`subset`      which tokens were kept, as bits
============  ============================================================================

Names are imported at first use.
"""

import lazy_loader

from ..token_grid import Tokens, patchify, unpatchify

__getattr__, __dir__, _lazy = lazy_loader.attach(
    __name__,
    submod_attrs={
        "reducers": ["REDUCERS", "Reduced", "information_density", "merge_similar", "quadtree", "unmerge"],
        "subset": ["decode_subset", "encode_subset", "subset_bits"],
        "towers": ["Tower"],
        "vit": ["VisionTransformer", "VitBackbone", "VitSize"],
        "backbone": ["BACKBONES", "Backbone", "load_backbone"],
    },
)
__all__ = ["Tokens", "patchify", "unpatchify", *_lazy]
