"""Learned image codecs as compositions: the whole codec is `compose`, and the network makes the difference.

Options of all:

- `quality`: higher is better. CompressAI's architectures have one network a quality, networks with gain units one for
  all of them, with any quality in between (in steps of 1/8).
- `weights`: the path of a weight file (`weights.export`), "compressai" for the official checkpoint of CompressAI, or
  None for weights that come with the package.
- `device`: where the networks run, "cpu" or "cuda". Streams are the same wherever they are decoded.
- `effort`: rounds of the search for symbols that cost less or mend more (`search`), 0 for plain rounding. A round takes
  two to three times as long as decoding; 8 are worth some 3 % of the bits and more. The decoder is the same.

>>> import codeckit, tempfile
>>> import numpy as np
>>> from .networks import NETWORKS
>>> from .weights import export
>>> network = NETWORKS["bmshj2018-hyperprior"](N=4, M=4)
>>> image = np.zeros((30, 50, 3), np.uint8)
>>> with tempfile.TemporaryDirectory() as folder:
...     path = export(network, [image], f"{folder}/tiny.safetensors", quality=1).path
...     codec = codeckit.codec("bmshj2018-hyperprior", weights=path)
...     decoded = codec.decode(codec.encode(image))
>>> list(codec.stages), decoded.shape
(['pad', 'transform', 'quantize', 'entropy'], (30, 50, 3))
"""

from ...primitives.pad import PadTo
from ...primitives.stage import stage_class
from ..base import Codec, Encoder
from .header import Header, read_header, shipped
from .networks import Network, network_name
from .stages import Learned, Round
from .weights import WeightFile
from .zoo import zoo_weights


def compose(kind: type[Network], quality, weights, device: str, effort: int) -> Codec:
    """The codec of a network.

    Args:
        kind: the class of the network.
        quality, weights, device, effort: the options above.

    Raises:
        ValueError: there are no such weights, or they are of another network or quality; or an option is illegal.
        FileNotFoundError: there is no such file.
    """
    if not 0 <= effort <= 100:
        raise ValueError(f"effort is a number of rounds from 0 to 100, not {effort!r}")
    name = network_name(kind)
    header, quality = _choose(name, quality, weights)
    stages = {
        "pad": PadTo(kind.stride),
        "transform": Learned(quality=quality if kind.variable_rate else None),
        "quantize": Round(),
        "entropy": stage_class(kind.coder)(),
    }
    encoder = Encoder()
    if effort:
        from .search import SearchingEncoder

        encoder = SearchingEncoder(effort, quality)
    setting = {
        "quality": quality,
        "weights": str(weights) if weights else None,  # weights that ship need no mention
        "device": device if device != "cpu" else None,
        "effort": effort or None,
    }
    return Codec(name, stages, setting, encoder, WeightFile(header.path, device))


def _choose(name: str, quality: float | None, weights) -> tuple[Header, float]:
    """Weights and quality for what a user asked for; None is the middle of what the weights serve."""
    if weights is None:
        known = [header for header in shipped() if header.architecture == name]
        if not known:
            raise ValueError(
                f"no weights of {name} come with this version of codeckit; pass weights=path (a file that export "
                "wrote) or, for CompressAI's models, weights='compressai'"
            )
        middle = known[(len(known) - 1) // 2]
        header = next((h for h in known if quality is not None and h.serves(quality)), middle)
    elif weights == "compressai":
        header = zoo_weights(name, 3 if quality is None else quality)
    else:
        header = read_header(weights)
    if header.architecture != name:
        raise ValueError(f"{header.path} holds weights of {header.architecture}, not of {name}")
    low, high = header.quality
    if quality is None:
        quality = (low + high) // 2
    if not header.serves(quality):
        serves = f"the quality {low}" if low == high else f"the qualities {low} … {high}"
        raise ValueError(f"these weights of {name} serve {serves}, not {quality!r}")
    return header, quality
