"""Metrics and tasks that are declared by entry points, found by name (`codeckit.primitives.plugins`)."""

from typing import TypeVar

from ..primitives import plugins

T = TypeVar("T")


def names(group: str) -> tuple[str, ...]:
    """What may be typed: short names of codeckit's own, then ids of those of other distributions, each in order.

    >>> names("codeckit.tasks")[0]
    'detect'
    """
    own = sorted(plugins.own(group))
    return (*own, *(each.id for each in plugins.declared(group) if each.namespace != plugins.OWN))


def load(group: str, kind: type[T], name: str) -> T | None:
    """The declared object with a short name or an id; None if there is none.

    Raises:
        ValueError: several distributions declare the name, or what is declared is no `kind`.
        ImportError: it cannot be imported.
    """
    declaration = plugins.find(group, name)
    if declaration is None:
        return None
    found = declaration.load()
    if not isinstance(found, kind) or isinstance(found, type):
        raise ValueError(f"{declaration.id} declares {declaration.path}, which is no {kind.__name__}: {found!r}")
    return found


def reference(group: str, thing):
    """How another process is told of `thing`: its id if it is declared, which is looked up there; else itself.

    >>> from codeckit.metrics.distortion import PSNR
    >>> reference("codeckit.metrics", PSNR)
    'codeckit:psnr'
    """
    for declaration in plugins.declared(group):
        if declaration.name == thing.name and declaration.load() is thing:
            return declaration.id
    return thing
