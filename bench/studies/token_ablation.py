"""What each part of the codec `tokens` is worth: the bits for tokens that the network takes for the original ones.

    python -m codeckit.bench.studies.token_ablation --train PHOTOS --test PHOTOS [--train-count 400] [--count 100]

Each line is a way of making numbers of EfficientNet-Lite0's 7 × 7 × 192 map before they are rounded; their bits are
ideal ones, of a static coder that knows each component's standard deviation and the frequencies that belong to it
(counted on the training pictures). Error is the Kullback-Leibler divergence of the classes' probabilities, decoded
against original. It is measured at several steps and interpolated, log against log, to a few values.
"""

import argparse
import sys

import numpy as np
from scipy.fft import dctn, idctn

from ...primitives.tokens import load_backbone
from ...training import token_model
from ..datasets import dataset
from ..tables import align

SOURCE, STAGE = "efficientnet-lite0/6", 6
STEPS = tuple(4 * 2 ** (n / 2) for n in range(8))
TARGETS = (0.1, 0.03, 0.01)


class Way:
    """A linear transform of maps [N,7,7,192], fitted to training maps; with `dct`, a basis of its own for the mean."""

    def __init__(self, maps, dct: bool, mean_metric, other_metric):
        self.dct = dct
        self.mean = self._spectrum(maps).mean(0)
        centred = (self._spectrum(maps) - self.mean).reshape(len(maps), 49, 192).astype(np.float64)
        if dct:
            self.first = token_model.basis(mean_metric, centred[:, 0])
            self.others = token_model.basis(other_metric, centred[:, 1:].reshape(-1, 192))
        else:
            both = (mean_metric + 48 * other_metric) / 49
            self.first = self.others = token_model.basis(both, centred.reshape(-1, 192))
        self.inverse_first, self.inverse_others = np.linalg.inv(self.first), np.linalg.inv(self.others)
        self.deviation = self.forward(maps).std(0)

    def _spectrum(self, maps):
        return dctn(maps, axes=(1, 2), norm="ortho") if self.dct else maps

    def forward(self, maps):
        centred = (self._spectrum(maps) - self.mean).astype(np.float64)
        y = centred @ self.others
        y[:, 0, 0] = centred[:, 0, 0] @ self.first
        return y

    def inverse(self, y):
        spectrum = y @ self.inverse_others
        spectrum[:, 0, 0] = y[:, 0, 0] @ self.inverse_first
        spectrum = (spectrum + self.mean).astype(np.float32)
        return idctn(spectrum, axes=(1, 2), norm="ortho") if self.dct else spectrum

    def bits(self, train, test, step) -> float:
        """Mean bits of a picture's symbols."""
        classes = np.clip(np.rint(4 * np.log2(np.maximum(self.deviation, 1e-9) / step)) + 20, 0, 47).astype(np.int64)
        reach = 60
        fold = 2 * reach + 1
        counts = np.zeros((48, fold)) + 0.01
        keys = classes * fold + np.clip(train, -reach, reach).astype(np.int64) + reach
        counts += np.bincount(keys.ravel(), minlength=48 * fold).reshape(48, fold)
        cost = -np.log2(counts / counts.sum(1, keepdims=True))
        symbols = np.clip(test, -reach, reach).astype(np.int64) + reach
        return float(cost[np.broadcast_to(classes, test.shape), symbols].sum())


def tensor(maps):
    """Maps [N,7,7,C] as torch has them."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(maps.transpose(0, 3, 1, 2), np.float32))


def log_probabilities(maps) -> np.ndarray:
    """What the network says: [N,1000]."""
    import torch

    with torch.inference_mode():
        return load_backbone("efficientnet-lite0").read(tensor(maps), STAGE).double().log_softmax(1).numpy()


def refined(way: Way, y, symbols, maps, step, steps=12) -> np.ndarray:
    """The mean's components, moved as the codec's encoder does (`codecs.tokens.encoder`), all pictures at once."""
    import torch

    backbone = load_backbone("efficientnet-lite0")
    rest = symbols * step
    rest[:, 0, 0] = 0
    with torch.inference_mode():
        wanted = backbone.embed_maps(tensor(maps), STAGE)
    rest, wanted = tensor(way.inverse(rest)), wanted.clone()
    basis = torch.from_numpy((way.inverse_first * step / 7).astype(np.float32))
    mean = torch.from_numpy((y[:, 0, 0] / step).astype(np.float32)).requires_grad_(True)
    first, second = torch.zeros_like(mean), torch.zeros_like(mean)
    for t in range(1, steps + 1):
        seen = backbone.embed_maps(rest + (mean @ basis)[:, :, None, None], STAGE)
        (gradient,) = torch.autograd.grad((seen - wanted).square().sum(), mean)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient.square()
        move = (first / (1 - 0.9**t)) / ((second / (1 - 0.999**t)).sqrt() + 1e-8)
        mean = (mean.detach() - 0.15 * move).requires_grad_(True)
    return np.rint(mean.detach().numpy())


def curve(way: Way, train, test, reference, refine=False, dead_zone=0.5) -> tuple[list[float], list[float]]:
    """Bits and divergence at every step."""
    y_train, y = way.forward(train), way.forward(test)

    def rounded(values, step):
        symbols = np.sign(values) * np.floor(np.abs(values) / step + dead_zone)
        symbols[:, 0, 0] = np.rint(values[:, 0, 0] / step)
        return symbols

    bits, divergence = [], []
    for step in STEPS:
        symbols = rounded(y, step)
        if refine:
            symbols[:, 0, 0] = refined(way, y, symbols, test, step)
        said = log_probabilities(way.inverse(symbols * step))
        divergence.append(float((np.exp(reference) * (reference - said)).sum(1).mean()))
        bits.append(way.bits(rounded(y_train, step), symbols, step) / len(test))
    return bits, divergence


def main(arguments=None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", required=True, metavar="FOLDER")
    parser.add_argument("--test", required=True, metavar="FOLDER", help="other pictures; labels are not needed")
    parser.add_argument("--train-count", type=int, default=400, metavar="N")
    parser.add_argument("--count", type=int, default=100, metavar="N")
    options = parser.parse_args(arguments)

    train = token_model.features(SOURCE, dataset(options.train)[: options.train_count], print)
    test = token_model.features(SOURCE, dataset(options.test)[: options.count], print)
    of_mean, of_others = token_model.fisher(SOURCE, train, seed=0)
    plain = np.eye(192)
    reference = log_probabilities(test)
    ways = {
        "each token alone, principal components": (Way(train, False, plain, plain), {}),
        "each token alone, Fisher metric": (Way(train, False, of_mean, of_others), {}),
        "DCT over the grid, principal components": (Way(train, True, plain, plain), {}),
        "DCT over the grid, Fisher metric": (Way(train, True, of_mean, of_others), {}),
        "the same, dead zone of 2/3": (Way(train, True, of_mean, of_others), {"dead_zone": 1 / 3}),
        "with refinement (the codec)": (Way(train, True, of_mean, of_others), {"refine": True}),
        "the same, dead zone of 2/3 ": (Way(train, True, of_mean, of_others), {"refine": True, "dead_zone": 1 / 3}),
    }
    rows = [["bits a picture at a divergence of", *map(str, TARGETS)]]
    for name, (way, how) in ways.items():
        bits, divergence = curve(way, train, test, reference, **how)
        order = np.argsort(divergence)
        x, y = np.log(np.array(divergence)[order]), np.log(np.array(bits)[order])
        inside = [x[0] <= np.log(target) <= x[-1] for target in TARGETS]
        found = np.exp(np.interp(np.log(TARGETS), x, y))
        rows.append([name, *(f"{b:.0f}" if ok else "–" for b, ok in zip(found, inside, strict=True))])
        print(f"{name} done", file=sys.stderr)
    print(f"{len(train)} training and {len(test)} test pictures\n{align(rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
