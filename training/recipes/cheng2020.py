"""The weights of ``cheng2020``: N = 128 and M = 192 latents a position: 17 million numbers, a file of 45 MB."""

from . import Recipe

RECIPE = Recipe(
    name="cheng2020",
    network="cheng2020",
    channels=(128, 192, 128),
    steps=40_000,
    batch=8,
    patch=256,
    learning_rate=1e-4,
    relaxed_after=0.4,
    rounded_after=0.8,
    warmup=1000,
)
