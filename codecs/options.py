"""Options of codecs: the annotations of a factory's arguments say what is legal, for type checkers and at run time."""

import functools
import inspect
import types
import typing
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Literal, Union, get_args, get_origin


def check_options(
    codec: str,
    factory: Callable[..., Any],
    options: dict[str, Any],
    quality: tuple[float, float],
    whole: bool = False,
) -> None:
    """Refuse options of the wrong type, and values that are no choice, before a codec is built.

    Args:
        codec: its name, for the message.
        factory: the function that takes the options; an argument without an annotation takes anything.
        options: what it is to be given.
        quality: lowest and highest value of the option ``quality``.
        whole: whether that takes whole numbers only; 50.0 is one.

    Raises:
        ValueError: an option is of another type than its annotation, or ``quality`` is not on its scale.

    >>> def factory(quality: float = 75, mode: Literal["fast", "small"] = "fast"): ...
    >>> check_options("mine", factory, {"quality": "50"}, (1, 100))
    Traceback (most recent call last):
    ...
    ValueError: mine takes quality as a number from 1 to 100, not '50'
    >>> check_options("mine", factory, {"quality": 50.9}, (1, 100), whole=True)
    Traceback (most recent call last):
    ...
    ValueError: mine takes quality as a whole number from 1 to 100, not 50.9
    >>> check_options("mine", factory, {"mode": "best"}, (1, 100))
    Traceback (most recent call last):
    ...
    ValueError: mine takes mode as fast or small, not 'best'
    """
    function = factory.func if isinstance(factory, functools.partial) else factory
    annotations = typing.get_type_hints(function) if inspect.isfunction(function) else {}
    for option, value in options.items():
        annotation = annotations.get(option, Any)
        legal = _described(annotation)
        fits = _fits(value, annotation)
        if option == "quality":
            if isinstance(value, Real):
                fits = (fits or (whole and _fits(value, float))) and _on_scale(value, quality, whole)
            number = "a whole number" if whole else "a number"
            for name in ("a number", "an integer"):
                legal = legal.replace(name, f"{number} from {quality[0]} to {quality[1]}")
        if not fits:
            raise ValueError(f"{codec} takes {option} as {legal}, not {value!r}")


def _on_scale(value: Any, quality: tuple[float, float], whole: bool) -> bool:
    return bool(quality[0] <= value <= quality[1]) and (int(value) == value or not whole)


def plain_quality(value: Any, whole: bool) -> Any:
    """A legal quality as Python's own number, whatever it was given as; None stays.

    >>> plain_quality(50.0, whole=True), plain_quality(2.5, whole=False)
    (50, 2.5)
    """
    if value is None:
        return None
    return int(value) if whole or isinstance(value, Integral) else float(value)


def _fits(value: Any, annotation: Any) -> bool:
    """Whether a value is of an annotation's type; an integer is a number, True is not."""
    origin = get_origin(annotation)
    if annotation is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, each) for each in get_args(annotation))
    if origin is Literal:
        return any(value == each and type(value) is type(each) for each in get_args(annotation))
    if annotation in (None, type(None)):
        return value is None
    if annotation is float:
        return isinstance(value, Real) and not isinstance(value, bool)
    if annotation is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    return isinstance(value, origin or annotation)


def _described(annotation: Any) -> str:
    """An annotation in words."""
    words = list(dict.fromkeys(_words(annotation)))
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _words(annotation: Any) -> list[str]:
    """What is legal, one by one."""
    if get_origin(annotation) in (Union, types.UnionType):
        return [word for each in get_args(annotation) for word in _words(each)]
    if get_origin(annotation) is Literal:
        return [str(each) for each in get_args(annotation)]
    known = {float: "a number", int: "an integer", bool: "True or False", str: "a string", type(None): "None"}
    return [known.get(annotation, getattr(get_origin(annotation) or annotation, "__name__", str(annotation)))]
