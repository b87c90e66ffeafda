"""Recipes: all settings behind a weight file, one small file each.

>>> recipe("balle2017-small").channels
(192,)
"""

import importlib
from dataclasses import dataclass

#: The recipes there are; each has the file of its name.
NAMES = (
    "balle2017",
    "balle2017-small",
    "balle2017-ms-ssim",
    "cheng2020",
    "cheng2020-small",
    "cheng2020-further",
    "cheng2020-further-gpu",
)


@dataclass(frozen=True)
class Recipe:
    """What a weight file is made with.

    Attributes:
        name: of the recipe.
        network: name of the network in `codecs.learned.networks`, one with gain units.
        channels: its numbers of channels (`codecs.learned.networks.CHANNELS`).
        steps: length of the training.
        batch: pictures a step, over all devices.
        patch: side of the pictures in pixels.
        distortion: ``"mse"`` or ``"ms-ssim"``.
        qualities: lowest and highest quality to train; twice the same for a network of one rate.
        prior_steps: steps that the entropy model learns alone before the others, `steps` at most.
        adaptive_steps: steps that a model of the adaptive coder learns alone (`AdaptiveRate`); after that its rate is
            what counts. 0 for the rate of the network's own entropy model.
        learning_rate: the highest of the transforms' convolutions; it rises for `warmup` steps and falls along a half
            cosine to a hundredth.
        entropy_rate: the highest of the entropy model, likewise.
        clip: largest norm of the gradients, for the odd step. Where it holds for most of them, pictures and rates with
            large gradients, the difficult and the high ones, count less than the loss says.
        ema: the decay of the moving average of the weights.
        relaxed_after: share of the steps after which a `cheng2020` sees relaxed latents, not noisy ones; 1 for never.
        rounded_after: share of the steps after which the synthesis transform sees rounded latents, and the entropy
            model of `cheng2020` likewise, whose analysis transform learns no more then; 1 for never.
        report: steps from one validation and checkpoint to the next.
        seed: of all random numbers.
    """

    name: str
    network: str
    channels: tuple[int, ...]
    steps: int
    batch: int
    patch: int
    distortion: str = "mse"
    qualities: tuple[float, float] = (1, 8)
    prior_steps: int = 2000
    adaptive_steps: int = 0
    learning_rate: float = 2e-4
    entropy_rate: float = 1e-3
    warmup: int = 500
    clip: float = 30.0
    ema: float = 0.999
    relaxed_after: float = 1.0
    rounded_after: float = 0.5
    report: int = 5000
    seed: int = 0


def recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ValueError: there is none.

    >>> recipe("balle")
    Traceback (most recent call last):
    ...
    ValueError: no recipe is called 'balle'; there are balle2017, ...
    """
    if name not in NAMES:
        raise ValueError(f"no recipe is called {name!r}; there are {', '.join(NAMES)}")
    return importlib.import_module(f".{name.replace('-', '_')}", __name__).RECIPE
