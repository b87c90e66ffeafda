"""The weights of the small, fast ``cheng2020``: N = 64."""

from . import Recipe

RECIPE = Recipe(
    name="cheng2020-small",
    network="cheng2020",
    channels=(64,),
    steps=100_000,
    batch=8,
    patch=128,
    warmup=1000,
    report=1000,
)
