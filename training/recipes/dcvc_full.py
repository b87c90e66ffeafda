"""The full-size network of DCVC, for a GPU."""

from . import FullVideoRecipe

RECIPE = FullVideoRecipe("dcvc-full", "dcvc-full", (64, 96, 128), steps=600_000, batch=4, patch=256)
