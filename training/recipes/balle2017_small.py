"""The weights of ``balle2017`` that ship: N = 192 on small patches, for CPUs."""

from . import Recipe

RECIPE = Recipe(
    name="balle2017-small",
    network="balle2017",
    channels=(192,),
    steps=40_000,
    batch=2,
    patch=144,
    prior_steps=300,
    adaptive_steps=1600,
    learning_rate=6e-4,
    entropy_rate=3e-3,
    report=1000,
)
