"""From a run to a weight file: ``python -m codeckit.training.export RUN --data PACK --out FILE``.

A run keeps float32 weights of the network alone. A codec takes a weight file (`codecs.learned.weights`), which also
holds the integer networks and tables that make decoding exact. Floats are stored in 16 bits; the integers are made from
these. The held-out photographs of the pack tell how large activations become. A context-mixing coder then practises on
the others (`codecs.learned.practice`).
"""

import argparse
import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from ..codecs.learned.networks import load_network
from ..codecs.learned.practice import practise
from ..codecs.learned.stages import LatentMixed
from ..codecs.learned.weights import Header, export
from ..primitives.stage import stage_class
from .callbacks import WEIGHTS
from .data import load_pack

#: Held-out photographs that are enough to see the activations' range.
_PICTURES = 16

#: Pixels that the entropy coder practises on, at each of its qualities: some hundred crops.
_PRACTICE = 15_000_000


def read_run(run) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and weights that a run left: of its folder, or of the ``weights.safetensors`` in it.

    Raises:
        ValueError: the weights are not those of a run.
        FileNotFoundError: there are none.
    """
    path = Path(run) / WEIGHTS if Path(run).is_dir() else Path(run)
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
    except SafetensorError:
        about = {}
    if "recipe" not in about:
        raise ValueError(f"{path} holds no weights of a run; training writes {WEIGHTS} into its folder")
    return about, load_file(path)


def export_run(run, data, out, note: str = "") -> Header:
    """Write the weight file of a run's moving average, floats in 16 bits.

    Args:
        run: its folder, or the ``weights.safetensors`` in it.
        data: the pack it was trained on.
        out: the file to write.
        note: how it was trained; recipe and step by default.

    Raises:
        ValueError: the weights are not those of a run.
        FileNotFoundError: there are none.
    """
    about, weights = read_run(run)
    recipe = json.loads(about["recipe"])
    network = load_network(about["network"], weights)
    low, high = (int(quality) for quality in recipe["qualities"])
    pack = load_pack(data)
    images = [crop.numpy() for crop in pack.validation[:_PICTURES]]
    note = note or f"recipe {recipe['name']}, {about['step']} of {recipe['steps']} steps"
    header = export(network, images, out, quality=(low, high), note=note, half=True)
    if not issubclass(stage_class(network.coder), LatentMixed):
        return header
    crops = pack.training[: max(1, _PRACTICE // pack.training[0, ..., 0].numel())]
    return practise(out, [crop.numpy() for crop in crops])


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m codeckit.training.export", description="Write the weight file of a training run."
    )
    parser.add_argument("run", metavar="RUN", help="folder of the run")
    parser.add_argument("--data", required=True, metavar="PACK", help="the pack it was trained on")
    parser.add_argument("--out", required=True, metavar="FILE", help="the weight file, .safetensors")
    parser.add_argument("--note", default="", help="how it was trained; default: recipe and step")
    options = parser.parse_args(arguments)
    try:
        header = export_run(options.run, options.data, options.out, options.note)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    low, high = header.quality
    served = f"qualities {low} … {high}" if low < high else f"quality {low}"
    print(f"{header.path}: {header.architecture}, {served}, {header.fingerprint.hex()}")


if __name__ == "__main__":
    main()
