"""Work for processes to do in tests of the pool; a module of its own, since they import it by name."""

import os
import time
from collections.abc import Iterator
from pathlib import Path


def count(factor: int, job: int) -> Iterator[tuple[int, int, str | None]]:
    """`job` results: the job, a product, and how many threads libraries are to use."""
    for index in range(job):
        yield job, factor * index, os.environ.get("OMP_NUM_THREADS")


def die_of_two(factor: int, job: int) -> Iterator[int]:
    """A result, and then for job 2 the end of the process."""
    yield job
    if job == 2:
        os._exit(factor)


def fail(shared: None, job: int) -> Iterator[int]:
    """Raises what no one expects."""
    yield job
    raise KeyError(f"job {job}")


def note_and_wait(folder: Path, job: int) -> Iterator[int]:
    """Writes down the process, and then takes long to give anything."""
    (folder / f"{job}.pid").write_text(str(os.getpid()))
    while True:
        time.sleep(0.05)
        yield job


def end_of_file(shared: None, job: int) -> Iterator[int]:
    """Raises what the end of a pipe raises."""
    yield job
    raise EOFError("no more audio")
