"""An example of everything that can be added to codeckit. Its `pyproject.toml` declares what is here.

============  ======================================================================
file          adds
============  ======================================================================
`rice`        a stage: an entropy coder of integer planes, Golomb-Rice codes
`codecs`      two codecs: stages of codeckit's with that coder; BMP, by Pillow
`network`     a learned architecture: a mean-scale hyperprior with GELU
`mae`         a metric where lower is better
`blobs`       a task that is no classification: finding bright discs
============  ======================================================================

codeckit finds the declarations by itself. Nobody imports this package by hand.
"""
