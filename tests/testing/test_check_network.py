"""The contract of networks: codeckit's own keep it, and each kind of breach is named."""

import pytest
import torch
from codeckit.codecs.learned import networks
from codeckit.codecs.learned.networks import Bmshj2018Factorized, Bmshj2018Hyperprior, Mbt2018Mean
from codeckit.primitives import plugins
from codeckit.testing import check_network


@pytest.mark.parametrize("name", ["balle2017", "bmshj2018-hyperprior", "mbt2018-mean", "mbt2018", "cheng2020"])
def test_own_networks(name):
    check_network(networks.network_class(name))


class Unsummarised(Bmshj2018Factorized):
    summary = ""


class Lopsided(Bmshj2018Factorized):
    SMALL = ()


class Picky(Bmshj2018Factorized):
    def __init__(self, N: int, M: int):
        raise ZeroDivisionError("no reason")


class Unused(Bmshj2018Factorized):
    def __init__(self, N: int = 8, M: int = 12):
        super().__init__(N, M)
        self.spare = torch.nn.Linear(3, 3)


class Noisy(Bmshj2018Factorized):
    def unclipped(self, y_hat):
        x = super().unclipped(y_hat)
        return x + 0.1 * torch.rand_like(x)


class Crooked(Bmshj2018Factorized):
    SIZES = (("g_a.0.weight", 0), ("g_a.0.weight", 0))


class Certain(Bmshj2018Factorized):
    def model(self, y, proxy):
        latents, likelihoods = super().model(y, proxy)
        return latents, {key: each + 1 for key, each in likelihoods.items()}


class Nameless(Bmshj2018Hyperprior):
    def model(self, y, proxy):
        latents, likelihoods = super().model(y, proxy)
        return latents, likelihoods if self.training else {"y": likelihoods["y"]}


class Anywhere(Bmshj2018Factorized):
    def _check(self, x):
        pass


class Elsewhere(Mbt2018Mean):
    """Evaluates with latents that no coder makes."""

    def synthesis(self, y_hat):
        return super().synthesis(y_hat if self.training else y_hat + 30)


class Cheap(Mbt2018Mean):
    """Estimates a quarter of the rate."""

    def conditional(self, y, features, proxy):
        y_hat, likelihoods = super().conditional(y, features, proxy)
        return y_hat, likelihoods**0.25


@pytest.mark.parametrize(
    "kind, message",
    [
        (dict, "no class that derives"),
        (Unsummarised, "has no summary"),
        (Lopsided, "has no SMALL"),
        (Picky, "is not made of the arguments"),
        (Unused, "neither rate nor distortion depends on: spare.weight, spare.bias"),
        (Noisy, "noise is for training"),
        (Crooked, "for each argument a key and the axis"),
        (Certain, "outside 0 … 1"),
        (Nameless, "a likelihood for each of its latents"),
        (Anywhere, "raise ValueError, as Network.analysis does"),
        (Elsewhere, "grey levels from the network's own"),
        (Cheap, "its likelihoods are not those"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_breaches_are_named(monkeypatch, kind, message):
    line = plugins.Declaration("my-lab", "broken", f"{__name__}:{kind.__name__}")
    others = {group: [line] if group == networks.GROUP else [] for group in plugins.GROUPS}
    monkeypatch.setattr(plugins, "_others", lambda: others)
    monkeypatch.setattr("codeckit.testing.codecs._check_fresh_process", lambda codec, streams, weights: None)
    with pytest.raises(AssertionError, match=message):
        check_network(kind)


def test_a_network_that_nobody_declares():
    with pytest.raises(AssertionError, match="is not declared as a network"):
        check_network(Noisy)
