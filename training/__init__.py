"""Training of all that is learned: what made each weight file can be run again from here.

===============  ====================================================================
file             holds
===============  ====================================================================
`loop`           the loop: a task's batches and loss, and the optimizer's steps
`callbacks`      around the steps: seeding, learning rates, averages, checkpoints
`processes`      one process, or several that share each batch
`data`           photographs packed into one file, and random patches of them
`sequences`      short sequences of clips likewise, for video
`synthetic`      sequences made from photographs
`recipes`        the settings behind each weight file, one small file each
===============  ====================================================================

What is trained:

=================  ==================================================================
file               holds
=================  ==================================================================
`image_codec`      learned image codecs, from a recipe
`start`            weights to begin with: a transform codec instead of random numbers
`losses`           rate-distortion losses, and the choice of a quality for each picture
`adaptive_rate`    the rate of a coder that adapts, for losses
`average`          the mean of several runs' weights
`export`           from a run to a weight file that codecs take
`video_codec`      predicted frames of `dvc` and `dcvc`, in chains
`motion`           learned motion, without labels
`video_export`     from a run of `dvc` or `dcvc` to a weight file
`full_video`       full-size DVC and DCVC, for a GPU
`video_schedules`  their phases: what moves, and what counts
`tokenizer`        the network of ``tokens-fsq``
`causal`           the network that predicts its symbols
`vit`              the small vision transformer
`mllm`             the multimodal model
`cotam`            an adapter between the latents of a codec and a tower
`token_model`      bases and tables of token codecs, which are computed, not trained
=================  ==================================================================

From a shell::

    python -m codeckit.training.data PHOTOGRAPHS... --out pack.safetensors
    codeckit train balle2017 --data pack.safetensors --out runs/balle2017
    python -m codeckit.training.sequences CLIPS... --out sequences.safetensors
    codeckit train dvc --data sequences.safetensors --out runs/dvc

Names are imported at first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
