"""The weights of the small, fast ``balle2017``: N = 64. A CPU core makes eight to nine steps a second."""

from . import Recipe

RECIPE = Recipe(
    name="balle2017-small",
    network="balle2017",
    channels=(64,),
    steps=100_000,
    batch=8,
    patch=128,
    learning_rate=1e-3,
    report=1000,
)
