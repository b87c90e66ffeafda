"""`cheng2020-further` for a GPU: sixteen patches a step in place of one, so less noise and larger steps.

With little time on a GPU this is worth more than the larger network of `cheng2020` from its start: what ships has seen
some hundred thousand patches on CPUs, ten thousand of these steps are more than that.
"""

from dataclasses import replace

from .cheng2020_further import RECIPE as ON_A_CPU

RECIPE = replace(
    ON_A_CPU, name="cheng2020-further-gpu", batch=16, learning_rate=1e-4, entropy_rate=2.5e-4, warmup=500, report=5000
)
