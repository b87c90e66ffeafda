"""Where the networks of tasks come from: packages of others that ship their weights, imported when first used."""

import importlib.util
from pathlib import Path

import numpy as np

from ..measure import UndefinedError


def package_folder(module: str, task: str, install: str) -> Path:
    """The folder of an installed package.

    Args:
        module: name that it is imported by; it is not imported.
        task: that needs it.
        install: the command that installs it.

    Raises:
        ImportError: it is not installed; the message has the command.

    >>> package_folder("no_such_package", "detect", "pip install 'codeckit[detect]'")
    Traceback (most recent call last):
    ...
    ImportError: the task detect needs no_such_package: pip install 'codeckit[detect]'
    """
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ImportError(f"the task {task} needs {module}: {install}")
    return Path(spec.origin).parent


def colour(decoded, task: str, side: int = 1) -> np.ndarray:
    """A decoded picture as uint8 [H,W,3]; grey is three equal components.

    Args:
        decoded: what a codec gives.
        task: that asks.
        side: the least that height and width may be.

    Raises:
        UndefinedError: tokens, or a smaller picture.

    >>> colour(np.zeros((4, 6), np.uint8), "detect").shape
    (4, 6, 3)
    """
    if not isinstance(decoded, np.ndarray):
        raise UndefinedError(f"the task {task} reads pictures, not tokens")
    if min(decoded.shape[:2]) < side:
        raise UndefinedError(f"the task {task} needs sides of at least {side} pixels, not {decoded.shape[:2]}")
    return decoded if decoded.ndim == 3 else np.repeat(decoded[..., None], 3, 2)
