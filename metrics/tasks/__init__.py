"""Tasks: what a machine still gets out of a coded picture. As PSNR measures for eyes, accuracy measures for machines.

A `Task` takes what a codec decoded, a picture or `Tokens`, and gives its answer; compared with the picture's label that
is a score. So pixel codecs and token codecs stand on one axis: bits per picture against accuracy.

``codeckit.evaluate(codecs, images, tasks=("imagenet",))`` measures every task on every decoded picture. `TASKS` holds
the tasks with a name of their own; `Classifier` makes one of any function, `LinearProbe` of labelled pictures.

>>> sorted(TASKS)
['imagenet', 'imagenet-lite1', 'imagenet-lite2', 'imagenette']
"""

from .base import Classifier, Task, agreement, resolve
from .imagenet import IMAGENETTE, TASKS, ImageNet, Imagenette
from .probe import LinearProbe

__all__ = ["IMAGENETTE", "TASKS", "Classifier", "ImageNet", "Imagenette", "LinearProbe", "Task", "agreement", "resolve"]
