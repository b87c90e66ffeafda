"""The weights of ``cheng2020``: N = 128, M = 192 and 64 details: 18 million numbers, a file of 37 MB."""

from . import Recipe

RECIPE = Recipe(
    name="cheng2020",
    network="cheng2020",
    channels=(128, 192, 128, 64),
    steps=40_000,
    batch=8,
    patch=256,
    learning_rate=1e-4,
    relaxed_after=0.4,
    rounded_after=0.8,
    warmup=1000,
)
