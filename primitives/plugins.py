"""One door for everything that can be added: declarations that are found through entry points.

Codecs, stages, networks, metrics and tasks are *declared*: a name, and the ``module:attribute`` that holds the thing. A
distribution lists its declarations in its ``pyproject.toml``, codeckit's own included::

    [project.entry-points."codeckit.stages"]
    "Rice@1" = "my_package.rice:Rice"

A declaration's **id** is its distribution's name, a colon and its name: ``my-package:Rice@1``. Ids are what files name.
They cannot collide between distributions, and nothing that a program imports or defines changes what they mean. The
short name works wherever a person types one, as long as one distribution alone claims it; codeckit's own come first.

Listing declarations imports nothing of what they name; `Declaration.load` does.
"""

import functools
import importlib
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

#: What can be declared.
GROUPS = ("codeckit.codecs", "codeckit.stages", "codeckit.networks", "codeckit.metrics", "codeckit.tasks")

#: The namespace of what comes with codeckit.
OWN = "codeckit"


@dataclass(frozen=True)
class Declaration:
    """One declared name.

    Attributes:
        namespace: name of the distribution that declares it.
        name: its name there.
        path: ``"module:attribute"``.
    """

    namespace: str
    name: str
    path: str

    @property
    def id(self) -> str:
        """Namespace and name, as files write it."""
        return f"{self.namespace}:{self.name}"

    def load(self):
        """The declared object, its module imported.

        Raises:
            ImportError: the module or the attribute is missing, or the module raises whatever error at its import; the
                message names the distribution.
        """
        module, _, attribute = self.path.partition(":")
        try:
            return functools.reduce(getattr, attribute.split("."), importlib.import_module(module))
        except Exception as error:  # a plug-in's mistake is not to keep anybody from decoding something else
            raise ImportError(f"{self.namespace} declares {self.name!r} as {self.path}: {error}") from error


def own(group: str) -> dict[str, Declaration]:
    """What codeckit itself declares in a group, by name. Other distributions are not looked at.

    >>> own("codeckit.stages")["Subsample@1"].load().__name__
    'Subsample'
    """
    return _own()[group]


def declared(group: str) -> tuple[Declaration, ...]:
    """All declarations of a group: codeckit's own, then those of other distributions by id.

    >>> [declaration.id for declaration in declared("codeckit.stages")][:2]
    ['codeckit:AdaptiveIndices@1', 'codeckit:AnsCoded@1']
    """
    return (*own(group).values(), *_others()[group])


def find(group: str, name: str) -> Declaration | None:
    """The declaration with an id or a short name; None if there is none.

    Raises:
        ValueError: several distributions declare the short name.

    >>> find("codeckit.stages", "codeckit:YCbCr@1") == find("codeckit.stages", "YCbCr@1")
    True
    """
    namespace, colon, rest = name.rpartition(":")
    if namespace in ("", OWN) and rest in own(group):
        return own(group)[rest]
    if namespace == OWN:
        return None
    found = [each for each in _others()[group] if name == (each.id if colon else each.name)]
    if len(found) > 1:
        raise ValueError(f"{name!r} is declared by several distributions; choose {' or '.join(d.id for d in found)}")
    return found[0] if found else None


@functools.cache
def _own() -> dict[str, dict[str, Declaration]]:
    """By group and name. A checkout's `pyproject.toml` tells what is in the checkout, whatever is installed."""
    groups = _checkout(Path(__file__).parent.parent / "pyproject.toml")
    if groups is None:
        points = metadata.distribution(OWN).entry_points
        groups = {group: {point.name: point.value for point in points if point.group == group} for group in GROUPS}
    return {
        group: {name: Declaration(OWN, name, path) for name, path in sorted(groups.get(group, {}).items())}
        for group in GROUPS
    }


def _checkout(path: Path) -> dict[str, dict[str, str]] | None:
    """The entry points in the `pyproject.toml` beside a package that is used from its checkout; None without one."""
    if not path.exists():
        return None
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(path.read_text(encoding="utf-8"))["project"]["entry-points"]


@functools.cache
def _others() -> dict[str, list[Declaration]]:
    """What other installed distributions declare, by group, in the order of ids.

    Raises:
        ValueError: an id is declared twice, as different things.
    """
    found: dict[str, dict[str, Declaration]] = {group: {} for group in GROUPS}
    seen = {OWN}  # a distribution that is installed twice counts where Python finds it first
    for distribution in metadata.distributions():
        written = distribution.read_text("entry_points.txt") or ""
        if not any(group in written for group in GROUPS):  # names cost most: they stand in files of their own
            continue
        namespace = re.sub("[-_.]+", "-", distribution.name or "").lower()
        if namespace in seen or metadata.distribution(namespace).read_text("entry_points.txt") != written:
            continue
        seen.add(namespace)
        for point in distribution.entry_points:
            if point.group not in found:
                continue
            new = Declaration(namespace, point.name, point.value)
            known = found[point.group].setdefault(new.id, new)
            if known != new:
                raise ValueError(f"{new.id} is declared twice in {point.group}: as {known.path} and as {new.path}")
    return {group: [by_id[each] for each in sorted(by_id)] for group, by_id in found.items()}
