"""Practice: the context-mixing coder of a weight file learns from photographs what it begins every picture with.

`LatentMixed` learns as it codes, each picture anew: what its contexts mean, whom of them to believe. Much of that is
the same for all pictures. So it codes some photographs one after the other, at several qualities, and what its contexts
and mixers know in the end (`primitives.entropy.latent_mixing.Experience`) is stored in the weight file. A stream names
its weights, so its decoder begins with the same.
"""

from collections.abc import Iterable

import numpy as np

from ..image_io import read_image
from ..registry import codec
from .header import Header
from .networks import LEVEL_STEPS
from .stages import LatentMixed
from .weights import read_weights, write_weights

#: Where experience is made, as far as a weight file serves them. It helps most where streams are small.
QUALITIES = (1, 2, 3, 5, 7)

#: Pictures that go through the networks together.
_TOGETHER = 16


def practise(path, images: Iterable) -> Header:
    """Let the coder of a weight file practise, and store in the file what it has learned.

    The file has another fingerprint then: streams made before need the file from before.

    Args:
        path: the weight file of a codec with `LatentMixed`.
        images: uint8 [H,W,3] arrays or paths, some hundreds; not those to measure with.

    Raises:
        FileNotFoundError, ValueError: as `codecs.learned.weights.read_header`; the codec has another entropy coder, or
            there are no images.
    """
    header, tensors = read_weights(path)
    images = [read_image(image) for image in images]
    if not images:
        raise ValueError("practice needs photographs, some hundreds of crops; there are none")
    low, high = header.quality
    for quality in [quality for quality in QUALITIES if low <= quality <= high] or [low]:
        stages = codec(header.architecture, quality=quality, weights=header.path).stages
        entropy = stages["entropy"]
        if not isinstance(entropy, LatentMixed):
            raise ValueError(f"{header.architecture} codes with fixed distributions; practice is for LatentMixed")
        experience: list = []
        for first in range(0, len(images), _TOGETHER):
            values = images[first : first + _TOGETHER]
            for role, stage in stages.items():
                if role != "entropy":
                    values = stage.forward_many(values)
            for value in values:
                experience = entropy.modelled(value).encode_mixed(experience=experience).experience
        tensors[f"experience.{(quality - 1) * LEVEL_STEPS}"] = np.frombuffer(experience[0].packed(), np.uint8)
    return write_weights(header.path, header.architecture, header.quality, header.note, tensors)
