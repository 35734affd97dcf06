"""Jobs as tasks of a Ray cluster, which decides where each runs and runs it again when its worker dies."""

import itertools
import logging
import os
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, TypeVar

from encodec_lab.evaluation.worker_pool import LostJob

Shared = TypeVar("Shared")
Job = TypeVar("Job")
Result = TypeVar("Result")

# Tasks that Ray has to keep at a time, which is more than a cluster has cores.
_MOST_SUBMITTED = 1000


def run_ray_jobs(
    work: Callable[[Shared, Job], Iterable[Result]],
    shared: Shared,
    jobs: Sequence[Job],
    num_workers: int,
    address: str | None,
    gpus_per_job: float = 0,
) -> Generator[Result | LostJob, None, None]:
    """Give what `work(shared, job)` gives, for all jobs, each job's results together when it ends.

    Args:
        work: a function of a module that the cluster's workers can import; one that stands a job being begun twice.
        shared: what all jobs need.
        jobs: what to do.
        num_workers: processes, of one core each, for a cluster that is started here.
        address: of a cluster that runs already, as `ray.init` takes it ("auto", "HOST:6379"), whose size then
            decides; None starts one on this machine and stops it in the end.
        gpus_per_job: what a job takes of a GPU.

    Raises:
        ValueError: Ray is not installed, or the cluster cannot be reached.
        RuntimeError: `work` raised, with its traceback.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it reports to its makers otherwise
    try:
        import ray
        from ray.exceptions import (
            NodeDiedError,
            ObjectLostError,
            OutOfMemoryError,
            RayTaskError,
            WorkerCrashedError,
        )
    except ImportError as error:
        raise ValueError("workers on Ray need ray; pip install 'encodec-lab[ray]'") from error
    _connect(ray, address, num_workers)
    try:
        task: Any = ray.remote(num_cpus=1, num_gpus=gpus_per_job, max_retries=2)(_results)
        shared_once = ray.put(shared)
        waiting = iter(jobs)
        running: dict[Any, Job] = {}
        while True:
            for job in itertools.islice(waiting, _MOST_SUBMITTED - len(running)):
                running[task.remote(work, shared_once, job)] = job
            if not running:
                break
            (ended,), _ = ray.wait(list(running), num_returns=1)
            job = running.pop(ended)
            try:
                yield from ray.get(ended)
            except (WorkerCrashedError, NodeDiedError, ObjectLostError, OutOfMemoryError) as error:
                yield LostJob(job, " ".join(str(error).split()))
            except RayTaskError as error:
                raise RuntimeError(f"a Ray worker failed:\n{error}") from error
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str | None, num_workers: int) -> None:
    if address is None:
        # "local", or a cluster that runs here, or the variable RAY_ADDRESS, would be taken.
        ray.init(
            "local",
            num_cpus=num_workers,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    else:
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except ConnectionError as error:
            raise ValueError(f"no Ray cluster at {address}: {error}") from error


def _results(work: Callable[[Shared, Job], Iterable[Result]], shared: Shared, job: Job) -> list[Result]:
    return list(work(shared, job))
