"""The contract of a network of a learned codec."""

import tempfile
from pathlib import Path

import numpy as np

from ..codecs import registry
from ..primitives import container
from ..primitives.errors import StreamError
from .codecs import check_streams
from .support import attempt, picture, require

#: How much more than the network estimates a stream may take, as a factor and in bytes.
_MORE, _BYTES = 1.1, 100


def check_network(network) -> None:
    """Check that a network's class is what the registry, training, weight files and coders take it for.

    - It is declared, and says what a codec of it has: summary, channels of each quality, a small size for tests.
    - Pictures whose sides are multiples of `stride` give a reconstruction of their shape, and for every latent its
      likelihood, in 0 … 1; in evaluation mode the same each time. Other sides are refused by `ValueError`.
    - In training mode every parameter gets a gradient from rate and distortion.
    - A state dict shows the arguments of the constructor (`channels_of`).
    - A weight file of it makes a codec that keeps the contract of `check_codec`. Its streams are as large as the
      network estimates, and decode to the network's own reconstruction, to a grey level.

    Args:
        network: the class. A network of the size `SMALL` with random weights is made of it.

    Raises:
        AssertionError: it does not; the message says how to mend it.

    >>> from codeckit.codecs.learned.networks import Bmshj2018Factorized
    >>> check_network(Bmshj2018Factorized)
    >>> check_network(dict)
    Traceback (most recent call last):
    ...
    AssertionError: <class 'dict'> is no class that derives from codeckit.codecs.learned.networks.Network
    """
    import torch

    from ..codecs.learned.networks import Network, network_name

    legal = isinstance(network, type) and issubclass(network, Network)
    require(legal, f"{network!r} is no class that derives from codeckit.codecs.learned.networks.Network")
    try:
        name = network_name(network)
    except ValueError as error:
        raise AssertionError(str(error)) from error
    _check_description(network, name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = attempt(
            lambda: network(*network.SMALL), f"{name} is not made of the arguments in {network.__name__}.SMALL"
        )
        _check_training(made, name)
        _enliven(made.eval())
        _check_evaluation(made, name)
        _check_state(made, name)
        _check_codec(made, name)


def _check_description(kind, name):
    require(kind.summary, f"{name} has no summary; say in one line what it is: summary = '…'")
    for attribute in ("CHANNELS", "SMALL"):
        require(
            getattr(kind, attribute),
            f"{name} has no {attribute}; CHANNELS are the constructor's arguments at the qualities 1, 2, …, and SMALL "
            "those of a small network for tests",
        )
    entry = registry.entry(name)
    require(entry.family == "learned", f"the entry of {name} is of the family {entry.family!r}; networks are 'learned'")


def _batch(*pictures):
    import torch

    return torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2).copy()).float() / 255


def _enliven(network):
    """Give latents values other than 0, which they are with random weights."""
    import torch

    *_, last = (each for each in network.g_a.parameters() if each.ndim == 4)
    with torch.no_grad():
        y = network.g_a(_batch(picture(network.stride, network.stride)))
        last *= 4 / y.std().clamp(1e-3, 4)


def _options(network):
    """Arguments of `forward` besides the pictures, as training gives them."""
    return {"quality": 2.0 if network.variable_rate else 1.0}


def _check_training(network, name):
    network.train()
    x = _batch(picture(2 * network.stride, network.stride), picture(2 * network.stride, network.stride, seed=1))
    out = attempt(
        lambda: network(x, **_options(network)), f"{name} does not take pictures {list(x.shape)} in training mode"
    )
    loss = out.bits().sum() / x[:, 0].numel() + (out.reconstruction - x).square().mean() * 255
    attempt(loss.backward, f"{name} cannot be trained")
    without = [key for key, each in network.named_parameters() if each.requires_grad and each.grad is None]
    require(
        not without,
        f"{name} has parameters that neither rate nor distortion depends on: {', '.join(without)}; use or remove them",
    )
    lost = [key for key, each in network.named_parameters() if each.grad is not None and not each.grad.isfinite().all()]
    require(not lost, f"{name} has gradients that are no numbers, at {', '.join(lost)}")
    network.zero_grad()


def _check_evaluation(network, name):
    import torch

    side = network.stride
    x = _batch(picture(side, 2 * side))
    with torch.inference_mode():
        out, again = (network(x, **_options(network)) for _ in range(2))
        require(
            out.reconstruction.shape == x.shape,
            f"{name} makes a reconstruction {list(out.reconstruction.shape)} of pictures {list(x.shape)}",
        )
        same = torch.equal(out.reconstruction, again.reconstruction)
        require(same, f"{name} gives two reconstructions of one picture in evaluation mode; noise is for training")
        require(
            out.latents.keys() == out.likelihoods.keys()
            and all(out.latents[key].shape == out.likelihoods[key].shape for key in out.latents),
            f"{name} does not give a likelihood for each of its latents, under the same name",
        )
        for key, likelihood in out.likelihoods.items():
            legal = bool(((likelihood > 0) & (likelihood <= 1)).all())
            require(legal, f"{name} gives likelihoods of {key} outside 0 … 1")
        for shape in ((1, 3, side + 1, side), (1, 1, side, side)):
            try:
                network(torch.zeros(shape), **_options(network))
            except ValueError:
                continue
            except Exception as error:
                raise AssertionError(
                    f"{name} raises {error!r} for pictures {list(shape)}; raise ValueError, as Network.analysis does"
                ) from error
            raise AssertionError(f"{name} takes pictures {list(shape)}; raise ValueError, as Network.analysis does")


def _check_state(network, name):
    kind = type(network)
    shown = attempt(
        lambda: kind.channels_of(network.state_dict()),
        f"the state dict of {name} does not show the constructor's arguments where {kind.__name__}.SIZES says",
    )
    again = attempt(lambda: kind(*shown), f"{name} is not made of the arguments {shown}, which its state dict shows")
    shapes, wanted = ({key: each.shape for key, each in made.state_dict().items()} for made in (again, network))
    require(
        shapes == wanted,
        f"the state dict of {name} shows the arguments {shown}, which make another network than {kind.SMALL}: let "
        f"{kind.__name__}.SIZES name for each argument a key and the axis of that tensor",
    )


def _check_codec(network, name):
    """Weight file, codec and streams."""
    from ..codecs.learned import export, weights

    kind = type(network)
    quality = (1, len(kind.CHANNELS)) if kind.variable_rate else 1
    known = dict(weights._registered)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.safetensors"
        header = attempt(
            lambda: export(network, [picture(128, 128)], path, quality=quality), f"{name} cannot be exported"
        )
        codec = attempt(
            lambda: registry.codec(name, weights=header.path, quality=2 if kind.variable_rate else 1),
            f"a weight file of {name} makes no codec",
        )
        try:
            weights.register_weights(header.path)
            check_streams(codec, weights=(header.path,))
            _check_against_the_network(codec, name, picture(2 * kind.stride, 3 * kind.stride, seed=2))
        finally:
            weights._registered.clear()
            weights._registered.update(known)
            weights._load.cache_clear()


def _check_against_the_network(codec, name, image):
    import torch

    network = codec.weights.load().network
    stream = codec.encode(image)
    with torch.inference_mode():
        out = network(_batch(image), **_options(network))
    expected = (out.reconstruction[0].permute(1, 2, 0).numpy() * 255).round()
    try:
        deviation = np.sqrt(np.square(codec.decode(stream) - expected).mean())
    except StreamError as error:
        raise AssertionError(f"a stream of {name} does not decode: {error}") from error
    require(
        deviation <= 1,
        f"a stream of {name} decodes to a picture that differs by {deviation:.1f} grey levels from the network's own: "
        "let its forward round in evaluation mode as the coder does, and declare in predictors() what predicts latents",
    )
    estimated, taken = float(out.bits()) / 8, len(container.unpack(stream).payload)
    require(
        taken <= _MORE * estimated + _BYTES,
        f"the payload of {name} takes {taken} bytes, and the network estimates {estimated:.0f}: its likelihoods are "
        "not those that the coder computes from predictors()",
    )
