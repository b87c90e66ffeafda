"""The weights of ``cheng2020`` that ship, trained on from themselves or from a run of `cheng2020-small`, for CPUs.

Small steps with relaxed latents from the first one on; runs with different seeds, a core each, and their mean.
"""

from . import Recipe

RECIPE = Recipe(
    name="cheng2020-further",
    network="cheng2020",
    channels=(64, 192, 128, 128),
    steps=12_000,
    batch=1,
    patch=256,
    prior_steps=0,
    learning_rate=4e-5,
    entropy_rate=1e-4,
    warmup=200,
    relaxed_after=0.0,
    rounded_after=1.0,
    report=2000,
)
