"""Learned image codecs, with the names of the papers and of CompressAI, and one set of stages for all of them.

================  ==================================================================================
file              holds
================  ==================================================================================
`networks`        the float networks: transforms and likelihoods, for training and for evaluation; one file each
`probabilities`   their entropy models in integers, and the order in which latents are coded
`header`          what weight files say of themselves, and the files that ship
`weights`         weight files: export, loading, the handle that codecs hold
`zoo`             CompressAI's checkpoints as weight files
`stages`          transform, rounding and entropy coding as stages
`codec`           the composition, the same for every network
`search`          the encoder that chooses symbols by rate and distortion
`lambdas`         what networks are trained to pay in bits for distortion
`practice`        what the context-mixing coder learns before it codes
================  ==================================================================================

Names are imported at first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
