"""`cheng2020-further` for a GPU: sixteen patches a step in place of one, so less noise and larger steps.

With little time on a GPU this is worth more than the larger network of `cheng2020` from its start: what ships has seen
some hundred thousand patches on CPUs, ten thousand of these steps are more than that.
"""

from . import Recipe

RECIPE = Recipe(
    name="cheng2020-further-gpu",
    network="cheng2020",
    channels=(64, 192, 128, 128),
    steps=12_000,
    batch=16,
    patch=256,
    prior_steps=0,
    learning_rate=1e-4,
    entropy_rate=2.5e-4,
    relaxed_after=0.0,
    rounded_after=1.0,
)
