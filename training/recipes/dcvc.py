"""The recipe of `dcvc`."""

from . import VideoRecipe

RECIPE = VideoRecipe("dcvc", "dcvc", (96, 192, 48), steps=10_002, batch=4, patch=192, report=1500)
