"""Networks by the names under which they are declared, and networks of given weights."""

from torch import Tensor

from ....primitives import plugins
from .checkpoints import rename_keys, unpacked_state
from .network import Network

#: The group of entry points that declare networks.
GROUP = "codeckit.networks"

#: Buffers that are no weights: 10⁻⁹ and 2⁻³⁶ are zero in the 16 bits of a weight file, so the code's own are taken.
_CONSTANTS = ("bound", "pedestal", "target")


def network_names() -> tuple[str, ...]:
    """The names of all declared networks: those of other distributions are their ids.

    >>> "cheng2020" in network_names()
    True
    """
    return tuple(map(_name, plugins.declared(GROUP)))


def _name(declaration):
    return declaration.name if declaration.namespace == plugins.OWN else declaration.id


def network_class(name: str) -> type[Network]:
    """The class of a declared network, by its name or id.

    Raises:
        ValueError: no network has that name, or several distributions' have.

    >>> network_class("mbt2018").__name__
    'Mbt2018'
    """
    declaration = plugins.find(GROUP, name)
    if declaration is None:
        raise ValueError(f"no network is called {name!r}; there are {', '.join(network_names())}")
    return declaration.load()


def network_name(kind: type) -> str:
    """The name under which a network's class is declared, which weight files hold: the inverse of `network_class`.

    Raises:
        ValueError: it is not declared.
    """
    path = f"{kind.__module__}:{kind.__qualname__}"
    for declaration in plugins.declared(GROUP):
        if declaration.path == path:
            return _name(declaration)
    raise ValueError(
        f"{path} is not declared as a network; those are {', '.join(network_names())}. A distribution declares "
        f"networks as entry points {GROUP!r}"
    )


def network(name: str, quality: int) -> Network:
    """The untrained network of a codec, with its number of channels at a quality, in training mode.

    Raises:
        ValueError: no network has that name, or it has no such quality.

    >>> network("cheng2020-anchor", quality=9)
    Traceback (most recent call last):
    ...
    ValueError: cheng2020-anchor has the qualities 1 … 6, not 9
    """
    kind = network_class(name)
    if quality not in range(1, len(kind.CHANNELS) + 1):
        raise ValueError(f"{name} has the qualities 1 … {len(kind.CHANNELS)}, not {quality!r}")
    return kind(*kind.CHANNELS[quality - 1])


def load_network(name: str, state_dict: dict[str, Tensor]) -> Network:
    """The network of a codec with given weights, whatever its number of channels, in evaluation mode.

    Raises:
        ValueError: no network has that name, or the weights are those of another.

    >>> from codeckit.codecs.learned.networks import Mbt2018Mean
    >>> weights = Mbt2018Mean(N=4, M=6).state_dict()
    >>> type(load_network("mbt2018-mean", weights)).__name__
    'Mbt2018Mean'
    >>> load_network("mbt2018", weights)
    Traceback (most recent call last):
    ...
    ValueError: these are no weights of mbt2018: 'context_prediction.bias' is missing
    """
    weights = rename_keys(state_dict)
    loaded = network_class(name)(*channels_of(name, weights))
    weights, wanted = unpacked_state(loaded, weights), loaded.state_dict()
    _refuse(name, [f"{key!r} is missing" for key in sorted(wanted.keys() - weights.keys())])
    _refuse(name, [f"{key!r} belongs to another network" for key in sorted(weights.keys() - wanted.keys())])
    shapes = [(key, list(weights[key].shape), list(wanted[key].shape)) for key in wanted]
    _refuse(name, [f"{key!r} has the shape {has}, not {should}" for key, has, should in shapes if has != should])
    constants = {key: value for key, value in wanted.items() if key.rpartition(".")[2] in _CONSTANTS}
    loaded.load_state_dict(weights | constants)
    return loaded.eval()


def channels_of(name: str, weights: dict[str, Tensor]) -> tuple[int, ...]:
    """The numbers of channels of a network with given weights under present names, as in `Network.CHANNELS`.

    Raises:
        ValueError: no network has that name, or the weights are those of another.

    >>> from codeckit.codecs.learned.networks import Cheng2020
    >>> channels_of("cheng2020", Cheng2020(N=4, M=6).state_dict())
    (4, 6, 4, 0)
    """
    try:
        return network_class(name).channels_of(weights)
    except KeyError as error:
        raise ValueError(f"these are no weights of {name}: {error} is missing") from error


def _refuse(name, problems):
    if problems:
        raise ValueError(f"these are no weights of {name}: {problems[0]}")
