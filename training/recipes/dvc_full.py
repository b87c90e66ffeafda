"""The full-size network of DVC, for a GPU."""

from . import FullVideoRecipe

RECIPE = FullVideoRecipe("dvc-full", "dvc-full", (64, 96, 128), steps=600_000, batch=4, patch=256)
