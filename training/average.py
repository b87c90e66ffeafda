"""The mean of several runs' weights: ``python -m codeckit.training.average RUN RUN... --out FILE``.

Runs that begin with the same weights and differ in their random numbers (`Recipe.seed`) end near each other, each with
noise of its own from the few pictures of its steps. Between such ends the loss is nearly flat in the mean and lower
than at any of them, so the mean of the weights is the better network, as the moving average within one run is
(M. Wortsman et al., "Model soups", ICML 2022). The start may be among them, a weight file too, such as those that ship;
a share of it goes back some of the way.

It is no use for runs that began apart: their channels mean different things.
"""

import argparse
import json

from safetensors.torch import save
from torch import Tensor

from ..codecs.image_io import write_atomically
from ..codecs.learned.networks import load_network
from ..codecs.learned.weights import load_weights
from .export import read_run


def average(runs, out, shares=None) -> dict[str, Tensor]:
    """Write the mean of the moving averages of several runs, which a further run can start from and `export` takes.

    Args:
        runs: folders of runs, or the ``weights.safetensors`` in them, or weight files that were exported; two or more,
            and a run among them.
        out: the file to write: as those of runs, with recipe and step of the first run.
        shares: of each run, any positive numbers; the same by default.

    Returns:
        The tensors, by name.

    Raises:
        ValueError: fewer than two, no run among them, shares of another number or sign, or weights that are not of one
            network.
        FileNotFoundError: a run has no weights.
    """
    shares = [1.0] * len(runs) if shares is None else list(shares)
    if len(runs) < 2 or len(shares) != len(runs) or min(shares) <= 0:
        raise ValueError(f"a mean takes two runs or more and a positive share for each, not {len(runs)} and {shares}")
    abouts, states = zip(*map(_read, runs), strict=True)
    about = next((about for about in abouts if "recipe" in about), None)
    if about is None:
        raise ValueError("all of these are exported weight files; a mean takes its recipe from a run")
    names = [about["network"] for about in abouts]
    shapes = [{key: tensor.shape for key, tensor in state.items()} for state in states]
    for run, name, shape in zip(runs, names, shapes, strict=True):
        if name != names[0] or shape != shapes[0]:
            raise ValueError(f"{run} is of another network than {runs[0]}; take runs of the same recipe")
    mean = {}
    for key, tensor in states[0].items():
        total = sum(share * state[key].double() for share, state in zip(shares, states, strict=True)) / sum(shares)
        mean[key] = total.to(tensor.dtype) if tensor.is_floating_point() else tensor
    network = load_network(names[0], mean).eval()
    network.entropy_bottleneck.update_quantiles()  # the median of a mean is not the mean of the medians
    mean = {key: value.contiguous() for key, value in network.state_dict().items()}
    averaged = json.dumps([[str(run), share] for run, share in zip(runs, shares, strict=True)])
    write_atomically(out, save(mean, {**about, "averaged": averaged}))
    return mean


def _read(run):
    """Metadata and weights of a run, or of an exported file, which knows no recipe."""
    try:
        return read_run(run)
    except ValueError as error:
        try:
            weights = load_weights(run)
        except ValueError:
            raise error from None
    return {"network": weights.header.architecture}, weights.network.state_dict()


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m codeckit.training.average", description="Write the mean of several runs' weights."
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders of runs, or weight files that they began with")
    parser.add_argument("--shares", nargs="+", type=float, metavar="S", help="of each run; default: the same")
    parser.add_argument("--out", required=True, metavar="FILE", help="the file to write, .safetensors")
    options = parser.parse_args(arguments)
    try:
        average(options.runs, options.out, options.shares)
    except (ValueError, FileNotFoundError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
