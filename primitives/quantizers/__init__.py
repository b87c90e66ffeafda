"""Quantizers: the one lossy step of a codec. Real coefficients become integer symbols, and most of them zero.

================  ==========================================================  =====================
stage             rule                                                        used by
================  ==========================================================  =====================
`Uniform`         round to the nearest multiple of one step                   learned codecs
`DeadZone`        the same with a zero interval twice as wide                 JPEG 2000
`RegionDeadZone`  the same with a step for each place in the picture          JPEG 2000, importance
`QuantTable`      one step a coefficient position                             JPEG
`FSQ`             a few levels a channel, bounded by tanh                     discrete tokenizers
================  ==========================================================  =====================

Not stages, because their code books are data: `VectorQuantizer`, `ProductQuantizer`, `ResidualQuantizer` (in `vector`).
`quantize_rate_distortion` chooses symbols for `Uniform` by what they cost, `rdo` those of run-length coders,
`descent` those of learned codecs.

``forward`` quantizes, ``inverse`` dequantizes, and quantizing what was dequantized gives the same symbols again.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
