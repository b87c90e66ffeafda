"""Do coded videos decode to the same frames everywhere, and what do damaged ones decode to?

::

    python -m codeckit.bench.studies.learned_video_exact CLIPS --codecs dvc dcvc             # every way that works here
    python -m codeckit.bench.studies.learned_video_exact CLIPS --codecs dvc:quality=2 dvc:quality=6 --frames 33
    python -m codeckit.bench.studies.learned_video_exact CLIPS --codecs dvc dcvc --python ../other/bin/python
    python -m codeckit.bench.studies.learned_video_exact CLIPS --codecs dvc:gop=3 dcvc:gop=3 --damage 3000

*Exactness.* A *way* is a process of its own (as in `learned_exact`): one thread or two, other instruction sets for
torch and for numba's compiled loops, a GPU, another version of torch. Each codes the first frames of each clip with
each codec, and each decodes the streams of all. The CRC-32s of the frames must be those that the encoder's own way
decodes.
A P-frame is predicted from a decoded one, so a grey level that differs somewhere would grow from frame to frame; this
is what the codecs exclude by integers. Encoders may choose differently from each other, since their analysis transforms
are floats.

*Damage*, with ``--damage N``. Streams of six small frames are damaged N times: bits flipped, bytes set, cut, inserted,
deleted, two streams spliced, as `fuzz` does. Three of four get the CRC-32 of the whole file made right again, so that
the damage reaches what checks the chunks. One of four is *forged* besides: bytes within a chunk change, and the check
at the chunk's end is made right, too, where it has one (the lower 16 bits of the CRC-32 of what comes before). Each is
decoded in a worker process with little memory and time (`fuzz`), once as it is and once with ``partial=True``:

- whole: a `StreamError`, after none but right frames, or all frames as they were;
- partial: right frames, at least those whose chunks end before the damage, or a `StreamError` where there are none;
- forged: a `StreamError`, or frames: nothing can tell. The same holds for damage in the head of the file, which only
  the file's own CRC-32 protects. Where this was left wrong, decoding as a whole must fail.

Anything else is a *violation*: other frames, other errors, a process that dies, takes too long or too much memory. A
codec whose chunks have no check (`video-teaching`, `jpeg`) shows what checks are for.
"""

import argparse
import json
import sys
import tempfile
import time
import warnings
import zlib
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ...api import decode_video
from ...codecs import registry
from ...codecs.frames import VIDEO_EXTENSIONS, read_video
from ...primitives import StreamError, container
from ...primitives.bitstream import ByteReader, ByteWriter
from ...primitives.errors import DamageWarning
from . import fuzz
from .learned_exact import Way

#: Size of the frames whose streams are damaged, and their number.
SMALL, COUNT = (72, 104), 6


def configured(specification: str):
    """A codec by its specification."""
    name, options = registry.parse_spec(specification)
    return registry.codec(name, **options)


def checksums(frames) -> list[int]:
    """CRC-32 of each frame."""
    return [zlib.crc32(np.ascontiguousarray(frame)) for frame in frames]


# --- the same everywhere ---


def ways(pythons: list[str]) -> list[Way]:
    """The ways that there are on this machine."""
    import torch

    plain = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"}
    avx2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "AVX2"}
    found = [
        Way("1 thread"),
        Way("2 threads", arguments=("--threads", "2")),
        Way("no AVX", {**plain, "NUMBA_CPU_NAME": "generic"}),
        Way("AVX2", {**avx2, "NUMBA_CPU_NAME": "haswell"}, ("--threads", "2")),
    ]
    if torch.cuda.is_available():
        found.append(Way("GPU", arguments=("--device", "cuda")))
    return found + [Way(f"python {n}", python=python) for n, python in enumerate(pythons, 1)]


def work(options) -> None:
    """What a worker does: encode all clips with all codecs, or decode what all have encoded."""
    import torch

    torch.set_num_threads(options.threads)
    root = Path(options.folder)
    codecs = [configured(specification).on(options.device) for specification in options.codecs]
    found = {}
    for number, codec in enumerate(codecs):
        if options.way:
            for clip in sorted(root.glob("*.npy")):
                codec.encode_video(np.load(clip), root / options.way / f"{number}-{clip.stem}.ckt")
        else:
            for path in sorted(root.glob(f"*/{number}-*.ckt")):
                found[str(path.relative_to(root))] = checksums(codec.decode_video(path))
    if options.report:
        Path(options.report).write_text(json.dumps(found))


def run_everywhere(codecs: list[str], videos: dict[str, np.ndarray], pythons: list[str]) -> int:
    """Encode and decode in all ways, print a table; the number of streams that a way decoded to other frames."""
    all_ways = ways(pythons)
    width = max(len(way.name) for way in all_ways) + 2
    with tempfile.TemporaryDirectory() as folder:
        for name, frames in videos.items():
            np.save(Path(folder) / f"{name}.npy", frames)
        for way in all_ways:
            (Path(folder) / way.name).mkdir()
            way.run(folder, "--codecs", *codecs, "--way", way.name, study="learned_video_exact")
        streams = {path.relative_to(folder): path.read_bytes() for path in Path(folder).glob("*/*.ckt")}
        found = {}
        for way in all_ways:
            report = Path(folder) / "report.json"
            way.run(folder, "--codecs", *codecs, "--report", str(report), study="learned_video_exact")
            found[way.name] = json.loads(report.read_text())
    print("streams decoded to the same frames; columns encode, rows decode")
    print(" " * width + "".join(way.name.rjust(width) for way in all_ways))
    wrong = 0
    for decoder in all_ways:
        cells = []
        for encoder in all_ways:
            names = [str(path) for path in streams if path.parent.name == encoder.name]
            same = sum(found[decoder.name][name] == found[encoder.name][name] for name in names)
            wrong += len(names) - same
            cells.append(f"{same}/{len(names)}".rjust(width))
        print(decoder.name.ljust(width) + "".join(cells))
    first = all_ways[0].name
    alike = sum(data == streams[Path(first) / path.name] for path, data in streams.items() if path.parent.name != first)
    others = len(streams) * (len(all_ways) - 1) // len(all_ways)
    print(
        f"{wrong} of {len(streams) * len(all_ways)} differ; encoders wrote the same bytes in {alike} of {others} cases"
    )
    return wrong


# --- damage ---


@dataclass(frozen=True)
class Video:
    """A stream to damage.

    Attributes:
        name: its codec.
        data: the stream.
        right: CRC-32s of its frames.
        head: bytes before the first chunk's length.
        chunks: where each chunk begins and ends.
    """

    name: str
    data: bytes
    right: tuple[int, ...]
    head: int
    chunks: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, name: str, data: bytes) -> "Video":
        """Of a `.ckt` video."""
        reader = ByteReader(data)
        container.check_version(reader.raw(4))
        container.read_head(reader)
        head, chunks = reader.position, []
        while length := reader.varint():
            reader.raw(length)
            chunks.append((reader.position - length, reader.position))
        return cls(name, data, tuple(checksums(decode_video(data))), head, tuple(chunks))

    def frames_before(self, at: int) -> int:
        """Number of frames that can be decoded from what comes before a position.

        The last chunks are one a frame; those before them say what the codec needs to know first.
        """
        whole = sum(end <= at for _, end in self.chunks)
        return max(0, whole - (len(self.chunks) - len(self.right)))


def first_difference(data: bytes, other: bytes) -> int:
    """Position of the first byte that differs, or of the end of the shorter one.

    >>> first_difference(b"abcd", b"abxd"), first_difference(b"ab", b"abc")
    (2, 2)
    """
    return next((n for n, (a, b) in enumerate(zip(data, other, strict=False)) if a != b), min(len(data), len(other)))


def with_check(chunk: bytes) -> bytes:
    """A chunk whose last two bytes are made its check: the lower 16 bits of the CRC-32 of the others, big-endian."""
    return chunk[:-2] + (zlib.crc32(chunk[:-2]) & 0xFFFF).to_bytes(2, "big")


def forge(video: Video, rng) -> bytes:
    """A chunk damaged with its length, its check, and the file's CRC-32 made right again."""
    begin, end = video.chunks[rng.integers(len(video.chunks))]
    chunk = video.data[begin:end]
    checked = with_check(chunk) == chunk
    for _ in range(int(rng.integers(1, 4))):
        change = fuzz.ANY_STREAM[rng.integers(len(fuzz.ANY_STREAM))]
        chunk = change(rng, chunk, video.data) or b"\0"
    chunk = with_check(chunk) if checked else chunk
    before = video.data[: begin - len(length_of(end - begin))]
    return fuzz.repair_crc(before + length_of(len(chunk)) + chunk + video.data[end:])


def length_of(count: int) -> bytes:
    """A chunk's length as it stands before it."""
    out = ByteWriter()
    out.varint(count)
    return out.getvalue()


def damage(seed: int, number: int, videos: list[Video]) -> fuzz.Case:
    """Damage `number` of `seed`, a function of these and the videos alone."""
    rng = np.random.default_rng([seed, number, 24])
    video, other = (videos[rng.integers(len(videos))] for _ in range(2))
    if number % 4 == 3:
        data = forge(video, rng)
        return fuzz.Case(f"{number} {video.name}: forged", data, check=partial(check, video=video, forged=True))
    data, names = video.data, []
    for _ in range(int(rng.integers(1, 4))):
        change = fuzz.ANY_STREAM[rng.integers(len(fuzz.ANY_STREAM))]
        data = change(rng, data, other.data) or b"\0"
        names.append(change.__name__)
    repaired = bool(rng.random() < 0.75)
    data = fuzz.repair_crc(data) if repaired else data
    # Without its first bytes it is no `.ckt` file, but whatever FFmpeg may find in it.
    must_fail = not repaired and data[:3] == container.MAGIC and not container.is_whole(data)
    name = f"{number} {video.name}: {', '.join(names)}{' repaired' if repaired else ''}"
    return fuzz.Case(name, data, must_fail, check=partial(check, video=video))


def check(case: fuzz.Case, video: Video, forged: bool = False) -> fuzz.Outcome:
    """What a damaged video decodes to, as a whole and in part."""
    start = time.perf_counter()
    at = first_difference(case.data, video.data)
    free = forged or at < video.head  # nothing else can notice
    verdicts, messages = [], []
    for in_part in (False, True):
        found, message = [], ""
        try:
            with warnings.catch_warnings(action="ignore", category=DamageWarning):
                for frame in decode_video(case.data, max_pixels=fuzz.MAX_PIXELS, partial=in_part):
                    found += checksums([frame])
        except StreamError as error:
            message = str(error)
        except Exception as error:  # whatever it is, it is a finding
            return fuzz.Outcome("violation", f"{type(error).__name__}: {error}", time.perf_counter() - start)
        messages.append(message)
        complaint = ""
        if not free and tuple(found) != video.right[: len(found)]:
            complaint = "other frames"
        elif not in_part and not message and case.must_fail:
            complaint = "the file's CRC-32 is wrong, and its frames were decoded as if it were right"
        elif not in_part and not free and not message and tuple(found) != video.right:
            complaint = "frames are missing, and nothing was said"
        elif in_part and not free and len(found) < video.frames_before(at):
            complaint = f"{len(found)} of the {video.frames_before(at)} frames before the damage: {message}"
        if complaint:
            how = "in part" if in_part else "as a whole"
            return fuzz.Outcome("violation", f"{how}: {complaint}", time.perf_counter() - start)
        same = tuple(found) == video.right and not message
        verdicts.append("all frames" if same else "some frames" if found else "StreamError" if message else "no frames")
    return fuzz.Outcome(", ".join(verdicts), next(filter(None, messages), ""), time.perf_counter() - start)


def run_damage(codecs: list[str], frames: np.ndarray, count: int, seed: int, jobs: int) -> int:
    """Damage streams, decode them, print what came of it; the number of violations."""
    height, width = SMALL
    top, left = ((have - want) // 2 for have, want in zip(frames.shape[1:3], SMALL, strict=True))
    small = frames[:COUNT, top : top + height, left : left + width]
    coders = {specification: configured(specification) for specification in codecs}
    files = [str(codec.weights.path) for codec in coders.values() if codec.weights]
    for path in files:
        fuzz.register(path)
    videos = [Video.of(name, codec.encode_video(small)) for name, codec in coders.items()]
    cases = [damage(seed, number, videos) for number in range(count)]
    warm_up = [fuzz.Case("warm-up", video.data, ending=".ckt") for video in videos]
    results = fuzz.run(cases, warm_up, jobs, files)
    print(f"{count} damaged streams of {', '.join(codecs)}, seed {seed}; as a whole, then in part:")
    for kind in ("damaged", "forged"):
        verdicts = Counter(
            outcome.verdict for case, outcome in results if ("forged" in case.name) == (kind == "forged")
        )
        for verdict, number in verdicts.most_common():
            print(f"{number:>8}  {kind}: {verdict}")
    slowest, hungriest = (max(getattr(outcome, key) for _, outcome in results) for key in ("seconds", "peak_bytes"))
    print(f"slowest {slowest:.2f} s, memory peak +{hungriest / 2**20:.0f} MB")
    violations = [(case, outcome) for case, outcome in results if outcome.verdict == "violation"]
    for case, outcome in violations[:20]:
        print(f"violation: {case.name}: {outcome.message}")
    return len(violations)


def main(argv=None) -> int:
    """The command; returns 1 if frames differ or damage does harm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="folder of clips")
    parser.add_argument("--codecs", nargs="+", required=True, metavar="NAME[:OPTION=VALUE]")
    parser.add_argument("--clips", nargs="+", metavar="NAME", help="of the folder's clips; default: all")
    parser.add_argument("--frames", type=int, default=9, metavar="N", help="of each clip; default: 9")
    parser.add_argument("--python", nargs="+", default=[], metavar="PATH", help="other interpreters")
    parser.add_argument("--damage", type=int, metavar="N", help="damage N streams, instead of the ways")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="processes that decode damaged streams; default: 2")
    for name in ("way", "report"):
        parser.add_argument(f"--{name}", default="", help=argparse.SUPPRESS)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--device", default="cpu", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.worker:
        work(options)
        return 0
    paths = sorted(path for path in Path(options.folder).iterdir() if path.suffix in VIDEO_EXTENSIONS)
    paths = [path for path in paths if path.stem in (options.clips or [path.stem])]
    if not paths:
        parser.error(f"no such clips in {options.folder}")
    if options.damage:
        frames = np.stack(list(read_video(paths[0], limit=COUNT)))
        return 1 if run_damage(options.codecs, frames, options.damage, options.seed, options.jobs) else 0
    videos = {path.stem: np.stack(list(read_video(path, limit=options.frames))) for path in paths}
    return 1 if run_everywhere(options.codecs, videos, options.python) else 0


if __name__ == "__main__":
    sys.exit(main())
