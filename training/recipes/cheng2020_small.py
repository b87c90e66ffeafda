"""The weights of ``cheng2020`` that ship: N = 64, M = 192, 128 deep channels and 128 details, for CPUs."""

from . import Recipe

RECIPE = Recipe(
    name="cheng2020-small",
    network="cheng2020",
    channels=(64, 192, 128, 128),
    steps=14_000,
    batch=1,
    patch=256,
    learning_rate=2.5e-4,
    relaxed_after=0.4,
    rounded_after=0.8,
    warmup=300,
    report=1000,
)
