"""Do streams of learned codecs decode to the same symbols everywhere? Every way to encode against every way to decode.

    python -m codeckit.bench.studies.learned_exact                               # all codecs, every way that works here
    python -m codeckit.bench.studies.learned_exact --python ../other/bin/python  # and another torch (and codeckit)
    python -m codeckit.bench.studies.learned_exact --codecs balle2017 --shipped  # shipped weights, not random ones

A *way* is a process of its own: one thread or two, with other instruction sets, other memory formats (and so another
order of additions in float32 convolutions), four pictures at once, a GPU, another version of torch. Each encodes four
pictures with each codec and notes a digest of the symbols that it rounded to. Then each decodes the streams of all, and
a digest that differs from the encoder's is counted. Encoders may round a few latents differently from each other, since
their transforms are floats; what one has written, all must read.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ... import codec
from ...codecs.learned import NETWORKS, load_weights
from ...primitives import container
from .learned_models import random_weights
from .pictures import photo

#: Pictures of one size, so that they can be coded together.
PICTURES = [photo(120, 190, seed=n) for n in range(4)]


@dataclass(frozen=True)
class Way:
    """How a process computes."""

    name: str
    environment: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    python: str = sys.executable

    def run(self, *arguments: str, study: str = "learned_exact") -> None:
        """Run a study's worker in a process of that kind."""
        command = [self.python, "-m", f"codeckit.bench.studies.{study}", *arguments, *self.arguments, "--worker"]
        subprocess.run(command, check=True, env={**os.environ, **self.environment})


def ways(pythons: list[str]) -> list[Way]:
    """The ways that there are on this machine."""
    plain = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"}
    avx2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "AVX2"}
    found = [
        Way("1 thread"),
        Way("2 threads", arguments=("--threads", "2")),
        Way("no AVX", plain),
        Way("AVX2", avx2, ("--threads", "2")),
        Way("NCHW memory", arguments=("--contiguous",)),
        Way("four at once", arguments=("--together",)),
    ]
    if torch.cuda.is_available():
        found += [Way("GPU", arguments=("--device", "cuda"))]
    return found + [Way(f"python {n}", python=python) for n, python in enumerate(pythons, 1)]


def digest(picture) -> str:
    """Of all symbols."""
    return hashlib.sha256(b"".join(plane.tobytes() for plane in picture.planes)).hexdigest()


def encode(folder: Path, weights: Path, device: str, together: bool, contiguous: bool) -> None:
    """Write streams and the digests of their symbols into a folder."""
    digests = {}
    for path in sorted(weights.glob("*.safetensors")):
        coder = codec(path.stem, weights=path, device=device)
        if contiguous:
            load_weights(path, device).network.to(memory_format=torch.contiguous_format)
        *stages, entropy = coder.stages.values()
        for batch in [PICTURES] if together else [[picture] for picture in PICTURES]:
            values = batch
            for stage in stages:
                values = stage.forward_many(values)
            streams = list(coder.encode_many(batch))
            for symbols, payload, stream in zip(values, entropy.forward_many(values), streams, strict=True):
                assert container.unpack(stream).payload == payload
                name = f"{path.stem}-{len(digests)}.ckt"
                (folder / name).write_bytes(stream)
                digests[name] = digest(symbols)
    (folder / "digests.json").write_text(json.dumps(digests))


def decode(folder: Path, weights: Path, device: str, together: bool) -> dict[str, str]:
    """The digests of what a folder's streams decode to."""
    names = sorted(json.loads((folder / "digests.json").read_text()))
    found = {}
    for path in sorted(weights.glob("*.safetensors")):
        entropy = codec(path.stem, weights=path, device=device).stages["entropy"]
        mine = [name for name in names if name.rpartition("-")[0] == path.stem]
        payloads = [container.unpack((folder / name).read_bytes()).payload for name in mine]
        symbols = entropy.inverse_many(payloads) if together else [entropy.inverse(payload) for payload in payloads]
        found |= {name: digest(picture) for name, picture in zip(mine, symbols, strict=True)}
    return found


def work(options) -> None:
    """What a worker does."""
    torch.set_num_threads(options.threads)
    root = Path(options.root)
    if options.way:
        encode(root / options.way, root / "weights", options.device, options.together, options.contiguous)
        return
    found = {
        path.parent.name: decode(path.parent, root / "weights", options.device, options.together)
        for path in sorted(root.glob("*/digests.json"))
    }
    Path(options.report).write_text(json.dumps(found))


def main(argv=None) -> int:
    """Run all ways against all; returns 1 if a stream was read differently."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codecs", nargs="+", default=list(NETWORKS), choices=list(NETWORKS), metavar="NAME")
    parser.add_argument("--shipped", action="store_true", help="the weights that come with the package")
    parser.add_argument("--python", nargs="+", default=[], metavar="PATH", help="other interpreters")
    for name in ("root", "way", "report"):
        parser.add_argument(f"--{name}", default="", help=argparse.SUPPRESS)
    for name in ("worker", "together", "contiguous"):
        parser.add_argument(f"--{name}", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--device", default="cpu", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.worker:
        work(options)
        return 0
    all_ways = ways(options.python)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights"
        weights.mkdir()
        for name in options.codecs:
            if options.shipped:
                path = codec(name).weights.path
                (weights / f"{name}.safetensors").write_bytes(Path(path).read_bytes())
            else:
                random_weights(name, weights)
        expected = {}
        for way in all_ways:
            (Path(folder) / way.name).mkdir()
            way.run("--root", folder, "--way", way.name)
            expected[way.name] = json.loads((Path(folder) / way.name / "digests.json").read_text())
        width = max(len(way.name) for way in all_ways) + 2
        print("streams read to the same symbols; columns encode, rows decode")
        print(" " * width + "".join(way.name.rjust(width) for way in all_ways))
        wrong = 0
        for way in all_ways:
            report = Path(folder) / "report.json"
            way.run("--root", folder, "--report", str(report))
            found = json.loads(report.read_text())
            cells = []
            for encoder in all_ways:
                same = sum(found[encoder.name][name] == value for name, value in expected[encoder.name].items())
                total = len(expected[encoder.name])
                wrong += total - same
                cells.append(f"{same}/{total}".rjust(width))
            print(way.name.ljust(width) + "".join(cells), flush=True)
        first, *others = expected.values()
        alike = sum(one[name] == value for one in others for name, value in first.items())
        print(f"{wrong} of {len(all_ways) ** 2 * len(first)} differ; encoders rounded alike in {alike} of "
              f"{len(others) * len(first)} cases")  # fmt: skip
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
