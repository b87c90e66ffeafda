"""The network of learned motion, for codecs that predict frames."""

from . import MotionRecipe

RECIPE = MotionRecipe("motion", (32, 64, 32), steps=7000, batch=4, patch=128)
