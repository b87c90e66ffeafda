"""The recipe of `dvc`."""

from . import VideoRecipe

RECIPE = VideoRecipe("dvc", "dvc", (96, 192, 48), steps=10_002, batch=4, patch=192, report=1500)
