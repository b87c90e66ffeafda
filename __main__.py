"""``python -m codeckit`` is the command ``codeckit``."""

from .cli import program

program()
