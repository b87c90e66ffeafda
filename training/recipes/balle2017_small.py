"""The weights of the small, fast ``balle2017``: N = 128, for CPUs."""

from . import Recipe

RECIPE = Recipe(
    name="balle2017-small",
    network="balle2017",
    channels=(128,),
    steps=18_000,
    batch=4,
    patch=96,
    learning_rate=1.5e-4,
    entropy_rate=3e-3,
    report=1000,
)
