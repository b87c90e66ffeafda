"""Sweeps under stress: what they cost beside codecs and metrics, being killed, a cluster that loses a worker, memory.

::

    python -m codeckit.bench.studies.sweep_scale overhead [IMAGES]     time beside codecs and metrics
    python -m codeckit.bench.studies.sweep_scale resume                kill `codeckit compare`, start it again
    python -m codeckit.bench.studies.sweep_scale dask                  two workers, one killed in the middle
    python -m codeckit.bench.studies.sweep_scale memory [--count N]    memory over N simulated pictures
    python -m codeckit.bench.studies.sweep_scale plan                  core-hours of 12 codecs on ImageNet

Each prints what it found and exits with 1 where that is not what it should be.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...codecs.base import Codec
from ...codecs.registry import codec
from ...metrics import resolve
from ..comparison import expand
from ..datasets import DatasetImage, dataset
from ..large import read_records, summarize, sweep
from ..sweep import evaluate
from .pictures import photo


@dataclass(frozen=True)
class _Clocked(Codec):
    """A codec that adds the time it takes to `spent[0]`."""

    spent = [0.0]  # noqa: RUF012 - shared by all on purpose

    def encode(self, image):
        return _clock(self.spent, super().encode, image)

    def decode(self, stream, **options):
        return _clock(self.spent, super().decode, stream, **options)


def _clock(spent, function: Callable, *arguments, **options):
    start = time.perf_counter()
    result = function(*arguments, **options)
    spent[0] += time.perf_counter() - start
    return result


def overhead(images: str) -> int:
    """The share of a sweep's time that is neither codecs nor metrics: finding, reading, hashing, journal, bar."""
    settings = expand("jpeg,libjpeg,webp,avif,jpeg2000-teaching")
    for one in settings[::5]:
        one.decode(one.encode(dataset("sample:chelsea")[0].load()))  # compile, import
    clocked = [_Clocked(one.name, one.stages, one.setting) for one in settings]
    spent = _Clocked.spent

    def clocked_metric(metric):
        return replace(metric, function=lambda reference, image: _clock(spent, metric.function, reference, image))

    metrics = [clocked_metric(metric) for metric in resolve(("psnr", "ms-ssim"))]

    with tempfile.TemporaryDirectory() as folder:
        spent[0] = 0.0
        start = time.perf_counter()
        table = evaluate(clocked, images, metrics, out=Path(folder) / "journal.jsonl")
        whole = time.perf_counter() - start
    rest = 1 - spent[0] / whole
    jobs = f"{len(table)} jobs in {whole:.1f} s: codecs and metrics {spent[0]:.1f} s"
    print(f"{jobs}, beside them {1000 * (whole - spent[0]) / len(table):.2f} ms a job, {100 * rest:.1f} % (goal 5 %)")
    return int(rest > 0.05)


def resume() -> int:
    """Kill `codeckit compare` in the middle with SIGKILL, start it again, and count what it measured."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "journal.jsonl"
        command = [sys.executable, "-m", "codeckit", "compare", "sample", "--codecs", "libjpeg,webp,avif"]
        command += ["--metrics", "psnr", "--out", folder]

        def lines():
            return journal.read_text().count("\n") if journal.exists() else 0

        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        first = subprocess.Popen(command, **quiet)
        while lines() < 20 and first.poll() is None:
            time.sleep(0.005)
        first.send_signal(signal.SIGKILL)
        first.wait()
        kept = journal.read_bytes()
        done = kept.count(b"\n")
        subprocess.run(command, check=True, **quiet)
        whole = journal.read_bytes()
        second = whole.count(b"\n") - done
        keys = [json.loads(line)["job"] for line in whole.splitlines()]
        start = time.perf_counter()
        subprocess.run(command, check=True, **quiet)
        again = time.perf_counter() - start
        third = lines() - done - second
    untouched = whole.startswith(kept[: kept.rfind(b"\n") + 1])
    good = done + second == 45 == len(set(keys)) and third == 0 and untouched
    told = f"{done} before the kill, {second} after it, {third} in a third run ({again:.1f} s)"
    print(f"45 jobs: {told}; what the first wrote is untouched and none is twice: {good}")
    return int(not good)


def with_dask() -> int:
    """The same sweep here and on a cluster of two workers, of which one is killed in the middle."""
    from distributed import LocalCluster

    settings = expand("libjpeg,webp,jpeg")
    here = evaluate(settings, "sample", ["psnr"])
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster,
    ):
        journal = Path(folder) / "journal.jsonl"
        victim = next(iter(cluster.workers.values())).pid

        def kill():
            while not journal.exists() or journal.read_text().count("\n") < 5:
                time.sleep(0.002)
            os.kill(victim, signal.SIGKILL)

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        there = evaluate(settings, "sample", ["psnr"], out=journal, executor=f"dask:{cluster.scheduler_address}")
        killer.join(5)
        lines = [json.loads(line)["job"] for line in journal.read_text().splitlines()]
        dead = not Path(f"/proc/{victim}").exists()

    def timeless(table):
        return [replace(record, encode_s=0, decode_s=0) for record in table]

    same = timeless(here) == timeless(there)
    once = len(lines) == len(set(lines)) == len(here)
    print(
        f"{len(here)} jobs, worker {victim} killed: {dead}; records identical but for times: {same}; each once: {once}"
    )
    return int(not (dead and same and once))


def _simulated(count: int):
    """A stream of small pictures, each of its own seed, made as it is asked for."""
    base = photo(32, 32, seed=0)
    for n in range(count):
        yield DatasetImage(f"{n:07}", np.roll(base, (n % 32, n // 32 % 32), (0, 1)) ^ np.uint8(n // 1024 % 256))


def memory(count: int) -> int:
    """Resident memory while a sweep goes over `count` simulated pictures."""
    samples, part = [], 2000
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()

        def watched():
            for n, image in enumerate(_simulated(count)):
                if n % part == 0:
                    samples.append((n, _resident()))
                yield image

        done = sweep([codec("libjpeg", quality=50)], watched(), folder, part=part, progress=False)
        samples.append((done, _resident()))
        seconds = time.perf_counter() - start
        records = sum(1 for _ in read_records(folder))
        mean = summarize(folder)[0]
        samples.append((done, _resident()))
        size = sum(path.stat().st_size for path in Path(folder, "records").iterdir())
    early = max(size for n, size in samples if n <= count // 5)
    late = max(size for _, size in samples)
    for n, resident in samples[:: max(len(samples) // 10, 1)]:
        print(f"{n:9} pictures  {resident:7.1f} MiB")
    each = f"{1000 * seconds / done:.2f} ms each, {size / records:.1f} bytes a record in Parquet"
    print(f"{records} records of {done} pictures in {seconds:.0f} s ({each}), mean {mean.bpp:.3f} bpp")
    print(f"memory grew by {late - early:.1f} MiB after the first fifth")
    return int(records != count or late - early > 30)


def _resident() -> float:
    """MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return float("nan")


#: The sweep that `plan` is for: pictures, their mean size (469×387, as published for ImageNet), qualities a codec.
_PICTURES, _PIXELS, _RATES = 1_281_167, 469 * 387, 8
_PLANNED = (
    "jpeg,jpeg:entropy=ContextCoded,libjpeg,webp,jpeg2000,avif,h264,hevc,av1,jpeg2000-teaching,balle2017,cheng2020"
)


def plan() -> int:
    """Processor seconds of each codec on the sample pictures, scaled to ImageNet's training set."""
    from ..curves import curve_label
    from ..tables import align

    images = [image.load() for image in dataset("sample")]
    pixels = sum(image.shape[0] * image.shape[1] for image in images)
    rows, total = [["codec", "ms a megapixel", "core-hours"]], 0.0
    settings: dict[str, list[Codec]] = {}
    for one in expand(_PLANNED):
        settings.setdefault(curve_label(one.name, one.setting), []).append(one)
    for label, codecs in settings.items():
        chosen = codecs[:: max(len(codecs) // 3, 1)]
        chosen[0].decode(chosen[0].encode(images[2]))
        start = time.process_time()
        for one in chosen:
            for image in images:
                one.decode(one.encode(image))
        rate = (time.process_time() - start) / (len(chosen) * pixels)
        hours = rate * _PIXELS * _PICTURES * _RATES / 3600
        total += hours
        rows.append([label, f"{1e9 * rate:.0f}", f"{hours:,.0f}"])
    metrics = resolve(("psnr", "ms-ssim"))
    start = time.process_time()
    for image in images:
        for metric in metrics:
            metric(image, image[::-1].copy())
    rate = (time.process_time() - start) / pixels
    hours = rate * _PIXELS * _PICTURES * _RATES * len(settings) / 3600
    rows.append(["PSNR and MS-SSIM, all", f"{1e9 * rate:.0f}", f"{hours:,.0f}"])
    rows.append(["sum", "", f"{total + hours:,.0f}"])
    print(align(rows))
    print(f"{_PICTURES * _RATES * len(settings):,} records")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["overhead", "resume", "dask", "memory", "plan"])
    parser.add_argument("images", nargs="?", default="sample")
    parser.add_argument("--count", type=int, default=100_000)
    options = parser.parse_args()
    if options.what == "overhead":
        return overhead(options.images)
    if options.what == "memory":
        return memory(options.count)
    return {"resume": resume, "dask": with_dask, "plan": plan}[options.what]()


if __name__ == "__main__":
    sys.exit(main())
