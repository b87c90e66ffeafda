"""Engines that run independent jobs: this machine's processes, a dask cluster, a ray cluster.

All three have one form: a generator that takes jobs as they are needed and yields results as they come, in any order,
and never holds more than a few jobs a worker at once, so a sweep may have millions.

=============  ======================================================================================================
``"local"``    joblib's processes (loky); with one of them, this process itself
``"dask"``     a `dask.distributed` cluster: ``dask`` starts one here, ``dask:tcp://host:8786`` joins one that runs
``"ray"``      a ray cluster: ``ray`` starts one here, ``ray:auto`` or ``ray:ray://host:10001`` joins one
=============  ======================================================================================================

A job whose worker dies is done again by another one, up to `RETRIES` times (dask and ray; a process of ours that dies
ends the sweep, and the next call continues it). A job may thus run twice, but only one result of it ever arrives, and
results are written by the calling process alone: nothing is lost and nothing stands twice in the records.
"""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator

#: How often a job is tried again whose worker died.
RETRIES = 5

#: Jobs that are handed out beyond one a worker, so that workers never wait.
_AHEAD = 3


def run(function: Callable, jobs: Iterable[tuple], executor: str = "local", workers: int = 1) -> Iterator:
    """Results of ``function(*job)``, as they come.

    Args:
        function: a function of a module, with arguments and a result that can be pickled.
        jobs: tuples of arguments, taken as they are needed.
        executor: ``"local"``, ``"dask"``, ``"dask:ADDRESS"``, ``"ray"`` or ``"ray:ADDRESS"``.
        workers: processes that a local engine has; −1 for one a core. A cluster that is joined has its own.

    Raises:
        ValueError: no such engine.
        ImportError: its package is not installed.

    >>> list(run(pow, [(2, 3), (3, 2)]))
    [8, 9]
    """
    kind, _, address = executor.partition(":")
    engines = {"local": _local, "dask": _dask, "ray": _ray}
    if kind not in engines or (kind == "local" and address):
        raise ValueError(f"no executor is called {executor!r}; there are local, dask, dask:ADDRESS, ray, ray:ADDRESS")
    workers = os.cpu_count() if workers == -1 else workers
    yield from engines[kind](function, jobs, address, workers)


def _local(function, jobs, _, workers):
    if workers == 1:
        yield from itertools.starmap(function, jobs)
        return
    import joblib

    parallel = joblib.Parallel(n_jobs=workers, backend="loky", return_as="generator_unordered")
    yield from parallel(joblib.delayed(function)(*job) for job in jobs)


def _dask(function, jobs, address, workers):
    try:
        from distributed import Client, LocalCluster, as_completed
    except ImportError as error:
        raise ImportError("the dask executor needs dask: pip install 'codeckit[cluster]'") from error
    jobs = iter(jobs)
    with Client(address) if address else LocalCluster(workers, threads_per_worker=1, dashboard_address=None) as held:
        client = held if address else held.get_client()

        def submit(count):
            return [client.submit(function, *job, pure=False, retries=RETRIES) for job in itertools.islice(jobs, count)]

        first = submit((1 + _AHEAD) * max(len(client.scheduler_info()["workers"]), 1))
        running = as_completed(first, with_results=True)
        for future, result in running:
            running.update(submit(1))
            future.release()
            yield result


def _ray(function, jobs, address, workers):
    try:
        import ray
    except ImportError as error:
        raise ImportError("the ray executor needs ray: pip install 'codeckit[ray]'") from error
    jobs = iter(jobs)
    ray.init(
        address=address or None, num_cpus=None if address else workers, include_dashboard=False, log_to_driver=False
    )
    try:
        remote = ray.remote(max_retries=RETRIES)(_call)
        shared = ray.put(function)
        count = int(ray.cluster_resources().get("CPU", workers))
        running = [remote.remote(shared, *job) for job in itertools.islice(jobs, (1 + _AHEAD) * count)]
        while running:
            (done,), running = ray.wait(running, num_returns=1)
            running += [remote.remote(shared, *job) for job in itertools.islice(jobs, 1)]
            yield ray.get(done)
    finally:
        ray.shutdown()


def _call(function, *job):
    """ray makes tasks of plain functions alone, not of everything that can be called."""
    return function(*job)
