"""What runs the tasks of a corpus: processes of this machine, or a Ray cluster."""

import functools

from encodec_lab.corpus.encode_corpus import RunTasks
from encodec_lab.corpus.ray_tasks import run_ray_jobs
from encodec_lab.evaluation.worker_pool import run_jobs

BACKENDS = ("local", "ray")


def task_runner(backend: str, workers: int, ray_address: str | None, device: str) -> RunTasks:
    """Runs tasks on the workers that are asked for.

    Args:
        backend: "local" or "ray".
        workers: processes of one thread each, of this machine or of a Ray cluster that is started here; 0 for none but
            this one, with "local".
        ray_address: of a Ray cluster that runs already, or None.
        device: cpu or cuda, of which a task on Ray takes a whole one.

    Raises:
        ValueError: there is no such backend, or the others do not fit it.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend={backend}: use one of {', '.join(BACKENDS)}")
    if ray_address is not None and backend != "ray":
        raise ValueError(f"ray_address={ray_address}: is for backend=ray")
    fewest = 1 if backend == "ray" else 0
    if workers < fewest:
        raise ValueError(f"workers={workers}: backend={backend} takes {fewest} or more")
    if backend == "ray":
        return functools.partial(
            run_ray_jobs, num_workers=workers, address=ray_address, gpus_per_job=1 if device == "cuda" else 0
        )
    return functools.partial(run_jobs, num_workers=workers)
