"""Building blocks of learned transforms, as torch modules: one small file a block.

================  =====================================================  ====================================
file              holds                                                  source
================  =====================================================  ====================================
`gdn`             generalized divisive normalization and its inverse     Ballé et al. 2016, 2017
`residual`        residual blocks, with stride and with upsampling       Cheng et al. 2020
`attention`       attention without non-local blocks                     Cheng et al. 2020
`masked_conv`     convolutions that look at decoded positions only       van den Oord 2016, He et al. 2021
`gain`            one scale a channel and quality: a continuous rate     Cui et al. 2021
`flow`            a vector a pixel: warping, and a network that finds it  Ranjan & Black 2017
`quantize`        what stands in for rounding in training                Ballé et al. 2017, Theis et al. 2017
`lower_bound`     a maximum that lets gradients come back                TensorFlow Compression
`integer`         exact integer networks after training                  Ballé, Johnston & Minnen 2019
================  =====================================================  ====================================

Feature maps are float tensors [N,C,H,W]. Parameters and buffers carry the names that CompressAI gives them, so that
its checkpoints fit. Names are imported at first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
