"""Studies: a script for every figure that README and docs show, and the fixtures that these and the tests share.

They run from a checkout, not from an installed wheel, which does not hold them::

    python -m codeckit.bench.studies.jpeg_identity
    python -m codeckit.bench.studies.results KODAK_FOLDER

A study uses the public API and the measuring library (`codeckit.bench`). Nothing outside this folder and the tests
imports a study.
"""
