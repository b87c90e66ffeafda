"""Entropy coding: turning integers into as few bits as their probabilities allow, and back.

Stages (a `Picture` of integer planes to bytes and back), each with more knowledge of the symbols than the one before:
`UniformCoded`, `HuffmanCoded`, `RangeCoded`, `AnsCoded` (all in `static`), `ContextCoded` (in `context`); for DCT
blocks `DctCoded` (in `dct_context`); for wavelet planes `BitPlaneCoded` (in `bitplanes`), any prefix of whose bytes
decodes. The same ladder for the indices of tokens: `FixedIndices`, `StaticIndices`, `AdaptiveIndices`, `MixedIndices`
(in `indices`).

Below them, one file each: `huffman` (optimal prefix codes), `range_coder` and `ans` (to read; `constriction` does the
work), `binary_coder` and `mixing` (adaptive arithmetic coding of bits), `qm` (that of JPEG and JBIG), `models`,
`layout`, `bits`.

Learned probabilities, as torch modules that say how likely each quantized latent is: `factorized` (a density a
channel), `gaussian`, `laplace` and `mixture` (means and scales predicted by a network). Their integer counterparts,
which `LatentEncoder` and `LatentDecoder` (in `latents`) code with: frequency `tables`, Gaussians and mixtures of them
(`integer_gaussian`), in the order of `wavefronts` where a context model asks for it. `MixingEncoder` and
`MixingDecoder` (in `latent_mixing`) take the same distributions as one opinion among those of adaptive contexts.

Names are imported at first use, so that a codec that needs only Huffman tables compiles nothing else.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
