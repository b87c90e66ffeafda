"""What integer probabilities cost: bits by the float networks' likelihoods against bytes of real streams.

::

    python -m codeckit.bench.studies.integer_cost                            # weights that ship, sample pictures
    python -m codeckit.bench.studies.integer_cost FOLDER --weights runs/new.safetensors --qualities 1 4 8

Encoder and decoder must agree on probabilities to the last bit, so everything that predicts them is computed in
integers, with tables of finite precision (`codecs.learned.probabilities`). That is not free. For every weight file and
quality, sums over all pictures:

* ``float``: bits per pixel by the float network in evaluation mode, which rounds latents as the coder does; the ideal
  code length of its own probabilities;
* ``stream``: bits per pixel of the entropy-coded part of the file, with `LatentCoded`, which codes with just these
  probabilities (`LatentMixed`, which adapts them, takes less than the float network says);
* ``cost``: how much more that is, in percent: integer networks, tables, escapes and the coder's end together;
* ``file``: the same for the whole file, container included.
"""

import argparse

import numpy as np
import torch

from ...codecs import registry
from ...codecs.learned.stages import LatentCoded
from ...codecs.learned.weights import load_weights, read_header, shipped
from ...primitives import container
from ...primitives.pad import PadTo
from ..datasets import dataset
from ..tables import align


@torch.no_grad()
def measure(header, pictures, quality: int) -> tuple[float, float, float]:
    """Bits of all pictures (uint8 [H,W,3]) by the float network, in the streams' payloads, and in the files."""
    codec = registry.codec(header.architecture, quality=quality, weights=header.path)
    codec = codec.replace(entropy=LatentCoded())
    network = load_weights(header.path).network
    pad = PadTo(network.stride)
    estimated = payload = file = 0.0
    for pixels in pictures:
        x = torch.from_numpy(np.stack(pad.forward(pixels).planes))[None].float() / 255
        estimated += float(network(x, float(quality)).bits())
        stream = codec.encode(pixels)
        payload += 8 * len(container.unpack(stream).payload)
        file += 8 * len(stream)
    return estimated, payload, file


def main(argv=None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="?", default="sample", help="folder of pictures; default: sample pictures")
    parser.add_argument("--weights", nargs="+", default=[], metavar="FILE", help="weight files; default: what ships")
    parser.add_argument("--qualities", nargs="+", type=int, default=[1, 3, 5, 8], metavar="Q")
    arguments = parser.parse_args(argv)
    pictures = [image.load() for image in dataset(arguments.images)]
    pictures = [pixels for pixels in pictures if pixels.ndim == 3]
    pixels = sum(picture.shape[0] * picture.shape[1] for picture in pictures)
    rows = [["codec", "quality", "float", "stream", "cost", "file"]]
    for header in [read_header(path) for path in arguments.weights] or shipped():
        for quality in arguments.qualities:
            estimated, payload, file = measure(header, pictures, quality)
            costs = [f"{100 * (bits / estimated - 1):+.2f} %" for bits in (payload, file)]
            rates = [f"{bits / pixels:.4f}" for bits in (estimated, payload)]
            rows.append([header.architecture, str(quality), *rates, *costs])
    print(f"{len(pictures)} pictures, {pixels / 1e6:.2f} Mpx", align(rows), sep="\n\n")


if __name__ == "__main__":
    main()
