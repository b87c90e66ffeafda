"""Training of the learned codecs: what made each weight file can be run again from here.

===============  ====================================================================
file             holds
===============  ====================================================================
`data`           photographs packed into one file, and random patches of them
`losses`         rate-distortion losses, and the choice of a quality for each picture
`adaptive_rate`  the rate of a coder that adapts, for losses
`start`          weights to begin with: a transform codec instead of random numbers
`loop`           the training loop: resumable, on a CPU, a GPU, or several
`average`        the mean of several runs' weights
`export`         from a run to a weight file that codecs take
`recipes`        the settings behind each weight file, one small file each
===============  ====================================================================

From a shell::

    python -m codeckit.training.data PHOTOGRAPHS... --out pack.safetensors
    codeckit train balle2017 --data pack.safetensors --out runs/balle2017

Names are imported at first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "data": ["Pack", "batch", "load_pack", "write_pack"],
        "losses": ["Objective", "sample_qualities"],
        "loop": ["train"],
        "recipes": ["Recipe", "recipe"],
    },
)
