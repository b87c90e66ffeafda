"""Our learned codecs against CompressAI: time and size with the same weights on the same picture, in one run.

    python -m codeckit.bench.studies.learned_speed                                # three codecs, 768×512, all cores
    python -m codeckit.bench.studies.learned_speed --codecs mbt2018 cheng2020-attn --threads 1 --repeats 5

Weights are random, of full size (`learned_models`). For every codec:

* ``encode``, ``decode``: seconds of ours and of CompressAI's (``compress`` and ``decompress``, the picture in memory as
  it wants it), and how many times faster ours is. Medians of the repeats after one warm-up, ours and theirs in turns.
* ``g_a``, ``g_s``: seconds of our analysis and synthesis transform alone.
* ``ratio``: decoding over g_s alone.
* ``rest``: seconds from our stream to quantized latents (entropy decoding and prediction), and how many times faster
  that is than what CompressAI takes beside its g_s.
* ``size``: bytes of our file, container included, over bytes of CompressAI's strings.

Needs ``compressai``.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from ... import codec
from ...codecs.learned import export, import_compressai, load_weights
from ...codecs.learned.networks import NETWORKS, load_network
from ...primitives import container
from .jpeg_speed import medians
from .learned_models import plausible
from .pictures import photo

#: CompressAI's classes.
MODELS = {
    "bmshj2018-factorized": "FactorizedPrior",
    "bmshj2018-hyperprior": "ScaleHyperprior",
    "mbt2018-mean": "MeanScaleHyperprior",
    "mbt2018": "JointAutoregressiveHierarchicalPriors",
    "cheng2020-anchor": "Cheng2020Anchor",
    "cheng2020-attn": "Cheng2020Attention",
}


@torch.no_grad()
def random_model(models, name: str, quality: int, x: torch.Tensor):
    """CompressAI's model with random weights."""
    torch.manual_seed(0)
    model = getattr(models, MODELS[name])(*NETWORKS[name].CHANNELS[quality - 1]).eval()
    plausible(model, x)
    model.entropy_bottleneck.quantiles[:, 0] = load_network(
        name, model.state_dict()
    ).entropy_bottleneck.solve_quantiles()
    model.update(force=True)
    return model


@torch.no_grad()
def measure(models, name: str, quality: int, image: np.ndarray, repeats: int) -> dict:
    """One row of the table."""
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    model = random_model(models, name, quality, x)
    with tempfile.TemporaryDirectory() as folder:
        network = load_network(name, model.state_dict())
        header = export(network, [image[:256, :256]], Path(folder) / "weights", quality=quality)
        ours = codec(name, quality=quality, weights=header.path)
        stream, strings = ours.encode(image), model.compress(x)
        network = load_weights(header.path).network
        pixels, y = x.to(memory_format=torch.channels_last), network.g_a(x).to(memory_format=torch.channels_last)
        theirs = y.contiguous()
        payload, rounding, entropy = container.unpack(stream).payload, ours.stages["quantize"], ours.stages["entropy"]
        calls = [
            lambda: ours.encode(image),
            lambda: model.compress(x),
            lambda: ours.decode(stream),
            lambda: model.decompress(**strings),
            lambda: network.g_a(pixels),
            lambda: network.g_s(y),
            lambda: rounding.inverse(entropy.inverse(payload)),
            lambda: model.g_s(theirs),
        ]
        encode, compress, decode, decompress, g_a, g_s, rest, their_g_s = medians(calls, repeats)
    size = sum(len(part) for parts in strings["strings"] for part in parts)
    return {
        "codec": name,
        "encode": encode,
        "theirs": compress,
        "faster": compress / encode,
        "decode": decode,
        " theirs": decompress,
        " faster": decompress / decode,
        "g_a": g_a,
        "g_s": g_s,
        "ratio": decode / g_s,
        "rest": rest,
        "  faster": (decompress - their_g_s) / rest,
        "bytes": len(stream),
        "size": len(stream) / size,
    }


def main(argv=None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codecs", nargs="+", choices=list(MODELS), metavar="NAME", help=", ".join(MODELS))
    parser.add_argument("--quality", type=int, default=3)
    parser.add_argument("--size", type=int, nargs=2, default=(512, 768), metavar=("H", "W"), help="multiples of 64")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args(argv)
    try:
        models = import_compressai("compressai.models")
    except ImportError as error:
        print(f"this bench compares with compressai: {error}", file=sys.stderr)
        return 1
    torch.set_num_threads(args.threads)
    image = photo(*args.size, seed=1)
    print(f"{args.size[1]}×{args.size[0]}, quality {args.quality}, {args.threads} threads, median of {args.repeats}")
    for index, name in enumerate(args.codecs or ("bmshj2018-factorized", "bmshj2018-hyperprior", "cheng2020-anchor")):
        row = measure(models, name, args.quality, image, args.repeats)
        widths = [22] + [8] * (len(row) - 1)
        if index == 0:
            print(" ".join(key.strip().rjust(width) for key, width in zip(row, widths, strict=True)))
        cells = (format(value, ".4f" if key == "size" else ".3f") if isinstance(value, float) else str(value)
                 for key, value in row.items())  # fmt: skip
        print(" ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
