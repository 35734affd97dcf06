"""Jobs in processes of their own: results come as they are made, and a process that dies costs the job that it had."""

import contextlib
import os
import pickle
import signal
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

Shared = TypeVar("Shared")
Job = TypeVar("Job")
Result = TypeVar("Result")

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class LostJob:
    """A job whose process died of it, say for want of memory."""

    job: Any
    reason: str


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    job: Any = None


def run_jobs(
    work: Callable[[Shared, Job], Iterable[Result]], shared: Shared, jobs: Sequence[Job], num_workers: int
) -> Generator[Result | LostJob, None, None]:
    """Give what `work(shared, job)` gives, for all jobs, in whatever order it comes.

    The processes compute on one thread each. They end when this generator is closed, and by themselves when this
    process is killed.

    Args:
        work: a function of a module, since it is pickled.
        shared: what all jobs need; pickled once.
        jobs: what to do.
        num_workers: processes; 0 does the jobs here, one after the other.

    Raises:
        RuntimeError: `work` raised, with its traceback; with 0 workers, what it raised.
    """
    if num_workers == 0:
        for job in jobs:
            yield from work(shared, job)
        return
    payload = pickle.dumps((work, shared))
    waiting = deque(jobs)
    workers: list[_Worker] = []
    try:
        while waiting or workers:
            # All of them before the first is given anything, which waits until it has loaded its libraries.
            num_before = len(workers)
            while waiting and len(workers) < num_workers:
                workers.append(_start(waiting.popleft()))
            for worker in workers[num_before:]:
                _give(worker, payload, worker.job)
            ready = connection.wait([worker.pipe for worker in workers])
            for worker in [one for one in workers if one.pipe in ready]:
                try:
                    kind, value = worker.pipe.recv()
                except (EOFError, OSError):
                    workers.remove(worker)
                    worker.process.join()
                    yield LostJob(worker.job, f"its process ended with exit status {worker.process.exitcode}")
                    continue
                if kind == "error":
                    raise RuntimeError(f"a worker process failed:\n{value}")
                if kind == "result":
                    yield value
                elif waiting:
                    worker.job = waiting.popleft()
                    _give(worker, worker.job)
                else:
                    workers.remove(worker)
                    worker.pipe.close()
                    worker.process.join()
    finally:
        for worker in workers:
            worker.pipe.close()
            worker.process.terminate()
            worker.process.join()


def _start(job: Any) -> _Worker:
    # Not forked: torch's threads do not survive that.
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    with _one_thread_each():
        process.start()
    theirs.close()
    return _Worker(process, ours, job)


def _give(worker: _Worker, *messages: Any) -> None:
    with contextlib.suppress(OSError):  # a process that is dead already is found out by reading from it
        for message in messages:
            worker.pipe.send(message)


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Libraries read how many threads to use when they are loaded, so a process must find it when it starts."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(pipe: Connection) -> None:
    """Do jobs until the other end of the pipe is closed, be it by the death of the process that holds it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the one that started these ends them
    with contextlib.suppress(OSError):
        try:
            messages = _received(pipe)
            for payload in messages:
                work, shared = pickle.loads(payload)
                for job in messages:
                    for result in work(shared, job):
                        pipe.send(("result", result))
                    pipe.send(("done", None))
        except Exception:
            pipe.send(("error", traceback.format_exc()))


def _received(pipe: Connection) -> Iterator[Any]:
    while True:
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            return
        yield message
