"""The weights of ``cheng2020``: N = 128, 13 million numbers (N = 192 has 30 million, 60 MB in 16 bits)."""

from . import Recipe

RECIPE = Recipe(
    name="cheng2020",
    network="cheng2020",
    channels=(128,),
    steps=70_000,
    batch=8,
    patch=192,
    learning_rate=1e-4,
    warmup=1000,
)
