"""Several jobs at a time, in threads: the work is torch's, which runs side by side."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from encodec_lab.cli.jobs import Job
from encodec_lab.cli.progress import ProgressBar

# Takes the share of a job that is done; raises if the job is to be given up.
ShowProgress = Callable[[float], None]


class GivenUp(BaseException):
    """Ends a job in the middle, cleaning up on the way, when the command has been interrupted."""


class _Board:
    """How far all jobs are, shown as one."""

    def __init__(self, jobs: Sequence[Job], progress: ProgressBar) -> None:
        self._shares = [0.0] * len(jobs)
        self._jobs = jobs
        self._progress = progress
        self._lock = threading.Lock()
        self.given_up = False

    def show(self, place: int, share: float) -> None:
        if self.given_up:
            raise GivenUp
        with self._lock:
            self._shares[place] = share
            self._progress.show(sum(self._shares), self._jobs[place].source.name)


def do_side_by_side(
    work: Callable[[Job, ShowProgress], int], jobs: Sequence[Job], num_at_a_time: int, progress: ProgressBar
) -> list[int]:
    """What `work` gives for each job, in their order; started in their order, so many at a time.

    When this thread is interrupted the jobs that have been started are given up at the next word of their progress.
    """
    board = _Board(jobs, progress)

    def one(place: int) -> int:
        def show(share: float) -> None:
            board.show(place, share)

        show(0.0)
        status = work(jobs[place], show)
        show(1.0)
        return status

    num_threads = min(num_at_a_time, len(jobs))
    if num_threads <= 1:
        return [one(place) for place in range(len(jobs))]
    with ThreadPoolExecutor(num_threads, initializer=_use_one_torch_thread) as threads:
        results = [threads.submit(one, place) for place in range(len(jobs))]
        try:
            for finished in wait(results, return_when=FIRST_EXCEPTION).done:
                finished.result()  # raises what has ended it
            return [result.result() for result in results]
        except BaseException:
            board.given_up = True
            threads.shutdown(wait=True, cancel_futures=True)
            raise


def _use_one_torch_thread() -> None:
    import torch  # loaded by now

    torch.set_num_threads(1)  # a thread starts with the library's own idea of it
