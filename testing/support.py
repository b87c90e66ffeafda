"""What the checks share: a requirement, and pictures made by code."""

import pickle

import numpy as np


def require(condition, complaint: str) -> None:
    """Raise `AssertionError` with the complaint unless the condition holds.

    >>> require(1 + 1 == 2, "arithmetic is broken")
    """
    if not condition:
        raise AssertionError(complaint)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A colour picture of smooth shapes, edges and texture, uint8 [H,W,3].

    >>> picture(4, 6).shape
    (4, 6, 3)
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    planes = []
    for _ in range(3):
        slow = np.sin(rows / rng.uniform(15, 40)) + np.cos(columns / rng.uniform(15, 40))
        edge = np.where(rows + columns > (height + width) / 2, 25, -25)
        planes.append(128 + 40 * slow + edge + rng.normal(0, 6, (height, width)))
    return np.clip(np.stack(planes, 2), 0, 255).round().astype(np.uint8)


def noisy(image: np.ndarray, deviation: float, seed: int = 1) -> np.ndarray:
    """The picture with normal noise of a standard deviation."""
    noise = np.random.default_rng(seed).normal(0, deviation, image.shape)
    return np.clip(image + noise, 0, 255).round().astype(np.uint8)


def check_name(name, what: str) -> None:
    """A name must be one that command lines and records can hold."""
    legal = isinstance(name, str) and name and not set(name) & set("/, \t\n")
    require(legal, f"{what} is called {name!r}; give it a name without spaces, commas and slashes, such as 'my-{what}'")


def check_travels(thing, what: str) -> None:
    """Workers of a sweep must be able to receive it."""
    try:
        pickle.loads(pickle.dumps(thing))
    except Exception as error:
        raise AssertionError(
            f"{what} {thing.name!r} cannot be pickled ({error}), so no worker of a sweep can have it: make functions "
            "and classes at the top of a module, not inside a function and not as lambda"
        ) from error


def attempt(action, complaint: str):
    """What the action gives; an `AssertionError` with the complaint and the error if it raises one.

    >>> attempt(lambda: 1 // 0, "division does not work")
    Traceback (most recent call last):
    ...
    AssertionError: division does not work (ZeroDivisionError: integer division or modulo by zero)
    """
    try:
        return action()
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{complaint} ({type(error).__name__}: {error})") from error
