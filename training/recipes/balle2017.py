"""The weights of ``balle2017``: N = 192."""

from . import Recipe

RECIPE = Recipe(
    name="balle2017",
    network="balle2017",
    channels=(192,),
    steps=100_000,
    batch=16,
    patch=192,
    prior_steps=300,
    adaptive_steps=1600,
)
