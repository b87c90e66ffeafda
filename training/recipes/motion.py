"""The network of learned motion, for the codecs that predict P-frames."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MotionRecipe:
    """What a network of learned motion is made with.

    Attributes:
        name: of the recipe.
        channels: the arguments of `MotionNetwork`.
        steps: length of the training.
        flow_steps: steps at its beginning in which only the flow network learns.
        autoencoder_steps: steps after that in which only the rest learns.
        batch: pairs of frames a step.
        patch: side of the frames in pixels, a multiple of 16.
        synthetic: part of the steps that see sequences made of photographs.
        learning_rate: the highest of the transforms; it rises for `warmup` steps and falls along a half cosine.
        entropy_rate: the highest of what predicts probabilities, likewise.
        clip: largest norm of the gradients.
        ema: the decay of the moving average of the weights.
        rounded_after: share of the steps after which g_s sees rounded latents and the warp is bicubic.
        report: steps from one validation and checkpoint to the next.
        seed: of all random numbers.
    """

    name: str = "motion"
    channels: tuple[int, ...] = (48, 64, 32)
    steps: int = 7800
    flow_steps: int = 3500
    autoencoder_steps: int = 2000
    batch: int = 4
    patch: int = 192
    synthetic: float = 0.4
    learning_rate: float = 4e-4
    entropy_rate: float = 1e-3
    warmup: int = 300
    clip: float = 5.0
    ema: float = 0.998
    rounded_after: float = 0.75
    report: int = 500
    seed: int = 0


RECIPE = MotionRecipe()
