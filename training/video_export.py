"""From a run of a learned video codec to a weight file: ``python -m codeckit.training.video_export``.

A run keeps float32 weights. A codec takes a weight file (`codecs.learned_video.weights`), which also holds what makes
the decoder integers. Floats are stored in 16 bits; the integers are made from these. Held-out sequences, coded at all
qualities, tell how large activations become and which distributions the symbols follow. The entropy coder then
practises: it codes groups of frames of the training sequences one after the other, and begins every group with what it
has learned there.
"""

import argparse
import json
from collections.abc import Iterator

import numpy as np
import torch

from ..codecs.learned.header import shipped
from ..codecs.learned.networks import LEVEL_STEPS
from ..codecs.learned.weights import WeightFile
from ..codecs.learned_video.exact import ExactDecoder
from ..codecs.learned_video.exact_still import ExactStill
from ..codecs.learned_video.weights import Header, network_of, read_weights, write_weights
from ..codecs.registry import codec
from .export import read_run
from .sequences import SequencePack, Sequences, load_sequences
from .video_codec import Chain, coded_still, decoded

#: Gain levels at which examples are made and the coder practises.
_LEVELS = tuple(range(0, 57, 8))
_PRACTISED = (0, 8, 16, 24, 32, 48)

#: Sequences that are enough to see the activations' range, and those that the coder practises on.
_EXAMPLES, _PRACTICE = 8, 16


def export_run(run, data, out, note: str = "") -> Header:
    """Write the weight file of a run's moving average.

    Args:
        run: its folder, or the ``weights.safetensors`` in it.
        data: the pack of sequences it was trained on, or its path.
        out: the file to write.
        note: how it was trained; recipe and step by default.

    Raises:
        ValueError: the weights are not those of a run of a video codec.
        FileNotFoundError: there are none.
    """
    about, floats = read_run(run)
    recipe, name = json.loads(about["recipe"]), about["network"]
    halves = {key: value.half() for key, value in floats.items()}
    network = network_of(name, halves)
    pack = data if isinstance(data, SequencePack) else load_sequences(data)
    still_header = next(header for header in shipped() if header.architecture == "balle2017")
    still = WeightFile(still_header.path).load()
    decoder = ExactDecoder.of(network, examples(network, still.network, pack.validation))
    pictures = [frames[0].numpy() for frames in pack.validation.frames]
    exact_still = ExactStill.of(still, pictures)
    tensors = {f"network.{key}": value.numpy() for key, value in halves.items()}
    tensors |= {f"exact.{key}": value.numpy() for key, value in decoder.state(network).items()}
    tensors |= {f"still.{key}": value.numpy() for key, value in exact_still.state(still).items()}
    note = note or f"recipe {recipe['name']}, {about['step']} of {recipe['steps']} steps"
    write_weights(out, name, still_header.fingerprint, note, tensors)
    return practise(out, pack.training)


@torch.no_grad()
def examples(network, still, sequences: Sequences) -> Iterator[tuple]:
    """Frames, their predictions, the decoded frames before, and a level: sequences coded at all whole qualities."""
    frames = sequences.frames[:_EXAMPLES].permute(1, 0, 4, 2, 3)
    for level in _LEVELS:
        quality = torch.full((frames.shape[1],), 1 + level / LEVEL_STEPS)
        chain = Chain(frames[:4], coded_still(still, frames[0], (quality + 1).clamp(max=8), "cpu"), quality, "cpu")
        while chain.position < len(chain.frames):
            x, p, before, q = chain.next()
            for each in zip(x, p, before, strict=True):
                yield *(tensor.permute(1, 2, 0).to(torch.uint8).numpy() for tensor in each), level
            chain.append(decoded(network(x, p, before, q).reconstruction))


def practise(path, sequences: Sequences) -> Header:
    """Let the entropy coder of a weight file practise, and store in the file what it has learned.

    Args:
        path: the weight file.
        sequences: frames to code, some dozens of sequences.
    """
    header, still, tensors = read_weights(path)
    chosen = np.random.default_rng(0).permutation(len(sequences))[:_PRACTICE]
    for level in _PRACTISED:
        stages = codec(header.architecture, quality=1 + level / LEVEL_STEPS, weights=path).stages
        loop = stages["entropy"].among(stages)
        for number in chosen.tolist():
            for _ in loop.forward_frames(sequences.frames[number].numpy(), tuple(sequences.frames.shape[2:4]), 25):
                pass
            loop.experience = loop.coder.statistics.experience
        tensors[f"experience.{level}"] = np.frombuffer(loop.experience.packed(), np.uint8)
    return write_weights(path, header.architecture, still, header.note, tensors)


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m codeckit.training.video_export", description="Write the weight file of a video codec's run."
    )
    parser.add_argument("run", metavar="RUN", help="folder of the run")
    parser.add_argument("--data", required=True, metavar="PACK", help="the pack of sequences it was trained on")
    parser.add_argument("--out", required=True, metavar="FILE", help="the weight file, .safetensors")
    parser.add_argument("--note", default="", help="how it was trained; default: recipe and step")
    options = parser.parse_args(arguments)
    try:
        header = export_run(options.run, options.data, options.out, options.note)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(f"{header.path}: {header.architecture}, {header.fingerprint.hex()}")


if __name__ == "__main__":
    main()
