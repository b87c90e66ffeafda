"""Tasks: what a machine still gets out of a coded picture. As PSNR measures for eyes, accuracy measures for machines.

A `Task` takes what a codec decoded, a picture or `Tokens`, and gives its answer; compared with the picture's label that
is a score. So pixel codecs and token codecs stand on one axis: bits per picture against accuracy.

``codeckit.evaluate(codecs, images, tasks=("imagenet",))`` measures every task on every decoded picture. Tasks with a
name of their own are declared by entry points (`list_tasks`); `Classifier` makes one of any function, `LinearProbe` of
labelled pictures.

Some tasks need no labels: what they answer to the original stands in for one (`truth`).

>>> list_tasks()[:3]
('detect', 'faces', 'imagenet')
"""

from collections.abc import Iterable

from ..declared import load, names
from .base import Classifier, Task, TaskInfo, agreement, describe, needs_label, truth
from .boxes import Detection
from .imagenet import IMAGENETTE, ImageNet, Imagenette
from .probe import LinearProbe

__all__ = [
    "IMAGENETTE",
    "Classifier",
    "Detection",
    "ImageNet",
    "Imagenette",
    "LinearProbe",
    "Task",
    "TaskInfo",
    "agreement",
    "describe",
    "list_tasks",
    "needs_label",
    "resolve",
    "truth",
]


def list_tasks() -> tuple[str, ...]:
    """Names of all declared tasks: codeckit's own, then ids of those of other distributions."""
    return names("codeckit.tasks")


def resolve(tasks) -> tuple[Task, ...]:
    """The tasks behind `tasks`.

    Args:
        tasks: one or several of: a declared task's short name or id, a `Task`.

    Raises:
        ValueError: an unknown name, something that is no task, or two tasks of one name.

    >>> [task.name for task in resolve(["imagenet", "codeckit:imagenette"])]
    ['imagenet', 'imagenette']
    >>> resolve(["segmentation"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: unknown task 'segmentation'; known: detect, faces, ...; or pass a Task, such as a Classifier
    """
    found = []
    for given in tasks if isinstance(tasks, Iterable) and not isinstance(tasks, str) else [tasks]:
        task = load("codeckit.tasks", Task, given) if isinstance(given, str) else given
        if not isinstance(task, Task) or isinstance(task, type):
            known = ", ".join(list_tasks())
            raise ValueError(f"unknown task {given!r}; known: {known}; or pass a Task, such as a Classifier")
        describe(task)
        found.append(task)
    called = [task.name for task in found]
    if len(set(called)) < len(called):
        raise ValueError(f"two tasks have one name: {', '.join(called)}")
    return tuple(found)
