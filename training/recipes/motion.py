"""The network of learned motion, for codecs that predict frames."""

from . import MotionRecipe

RECIPE = MotionRecipe("motion", (48, 64, 32), steps=9000, batch=4, patch=128)
