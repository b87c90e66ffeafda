"""Recipes: all settings behind a weight file, one small file each; and one for every other network, from its class.

>>> recipe("balle2017-small").channels
(192,)
>>> recipe("mbt2018-mean", quality=5).channels
(192, 320)
"""

import importlib
from dataclasses import dataclass
from typing import ClassVar

from ...primitives.plugins import find

#: Side in pixels of the patches of networks without a recipe of their own, to a multiple of their stride.
_PATCH = 192

#: The recipes there are; each has the file of its name.
NAMES = (
    "balle2017",
    "balle2017-small",
    "balle2017-ms-ssim",
    "cheng2020",
    "cheng2020-small",
    "cheng2020-further",
    "cheng2020-further-gpu",
    "motion",
    "dvc",
    "dcvc",
)


@dataclass(frozen=True)
class Recipe:
    """What a weight file is made with.

    Attributes:
        trainer: the file in `training` whose `train` takes recipes of this class.
        name: of the recipe.
        network: name or id of a declared network (`codecs.learned.networks`).
        channels: the arguments of its constructor, as in `Network.CHANNELS`.
        steps: length of the training.
        batch: pictures a step, over all devices.
        patch: side of the pictures in pixels.
        distortion: ``"mse"`` or ``"ms-ssim"``.
        qualities: lowest and highest quality to train; twice the same for a network of one rate.
        prior_steps: steps that the entropy model learns alone before the others, `steps` at most; none where training
            begins with random weights (`Network.start`).
        adaptive_steps: of `balle2017`, steps that a model of the adaptive coder learns alone (`AdaptiveRate`); after
            that its rate is what counts. 0 for the rate of the network's own entropy model.
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

    trainer: ClassVar[str] = "image_codec"

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


@dataclass(frozen=True)
class VideoRecipe:
    """What the weights of a learned video codec's predicted frames are made with.

    Attributes:
        name: of the recipe.
        network: "dvc" or "dcvc".
        channels: the arguments of its constructor.
        steps: length of the training.
        batch: frames a step, over all devices.
        patch: side of the frames in pixels, a multiple of 16.
        chain: predicted frames of a chain, an even number; `report` is a multiple of it.
        qualities, learning_rate, entropy_rate, warmup, clip, ema, report, seed: as of `Recipe`.
    """

    trainer: ClassVar[str] = "video_codec"

    name: str
    network: str
    channels: tuple[int, ...]
    steps: int
    batch: int
    patch: int
    chain: int = 6
    qualities: tuple[float, float] = (1, 8)
    learning_rate: float = 3e-4
    entropy_rate: float = 2e-3
    warmup: int = 300
    clip: float = 30.0
    ema: float = 0.998
    report: int = 3000
    seed: int = 0


@dataclass(frozen=True)
class MotionRecipe:
    """What the network of learned motion is made with.

    Attributes:
        name: of the recipe.
        channels: the arguments of `MotionNetwork`.
        steps: length of the training.
        batch: pairs of frames a step.
        patch: side of the frames in pixels, a multiple of 16.
        flow_steps: steps at its beginning in which only the flow network learns.
        autoencoder_steps: steps after that in which only the rest learns.
        synthetic: part of the steps that see sequences made of photographs.
        rounded_after: share of the steps after which g_s sees rounded latents and the warp is bicubic.
        learning_rate, entropy_rate, warmup, clip, ema, report, seed: as of `Recipe`.
    """

    trainer: ClassVar[str] = "motion"

    name: str
    channels: tuple[int, ...]
    steps: int
    batch: int
    patch: int
    flow_steps: int = 3500
    autoencoder_steps: int = 3000
    synthetic: float = 0.4
    rounded_after: float = 0.75
    learning_rate: float = 4e-4
    entropy_rate: float = 1e-3
    warmup: int = 300
    clip: float = 5.0
    ema: float = 0.998
    report: int = 500
    seed: int = 0


def recipe(name: str, quality: int | None = None, small: bool = False) -> Recipe | VideoRecipe | MotionRecipe:
    """The recipe of that name, or of the network of that name that has no recipe.

    Args:
        name: of a recipe, or name or id of a declared network.
        quality: of a network of one rate without a recipe, the quality to train; by default the middle one.
        small: whether a network without a recipe has the size for tests (`Network.SMALL`).

    Raises:
        ValueError: there is neither, the network has no such quality, or a recipe or a network of all rates is asked
            for one quality or another size.

    >>> recipe("bmshj2018-hyperprior").qualities, recipe("bmshj2018-hyperprior", small=True).channels
    ((4, 4), (8, 12))
    >>> recipe("balle")
    Traceback (most recent call last):
    ...
    ValueError: no recipe is called 'balle'; there are balle2017, ...
    """
    if name not in NAMES:
        return _of_network(name, quality, small)
    if quality is not None or small:
        raise ValueError(f"{name} is a recipe, with a size and qualities of its own")
    return importlib.import_module(f".{name.replace('-', '_')}", __name__).RECIPE


def _of_network(name: str, quality: int | None, small: bool) -> Recipe:
    """A recipe made from a network's class, for a CPU: as long as those of the weights that ship."""
    from ...codecs.learned.networks import GROUP, network_class, network_name, network_names

    if find(GROUP, name) is None:
        known = ", ".join(dict.fromkeys((*NAMES, *network_names())))
        raise ValueError(f"no recipe is called {name!r}; there are {known}, of recipes and networks")
    kind = network_class(name)
    if quality is not None and kind.variable_rate:
        raise ValueError(f"{name} has all rates in one network; leave out the quality")
    highest = len(kind.CHANNELS)
    quality = (1 + highest) // 2 if quality is None else quality
    if quality not in range(1, highest + 1):
        raise ValueError(f"{name} has the qualities 1 … {highest}, not {quality!r}")
    return Recipe(
        name=network_name(kind),
        network=network_name(kind),
        channels=kind.SMALL if small else kind.CHANNELS[quality - 1],
        steps=40_000,
        batch=2,
        patch=max(1, _PATCH // kind.stride) * kind.stride,
        qualities=(1, highest) if kind.variable_rate else (quality, quality),
        report=1000,
    )
