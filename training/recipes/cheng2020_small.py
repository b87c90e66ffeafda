"""The weights of the small, fast ``cheng2020``: N = 64 channels and M = 192 latents a position, for CPUs."""

from . import Recipe

RECIPE = Recipe(
    name="cheng2020-small",
    network="cheng2020",
    channels=(64, 192),
    steps=7_000,
    batch=2,
    patch=128,
    warmup=300,
    report=2000,
)
