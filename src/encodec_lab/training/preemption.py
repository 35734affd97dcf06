"""Giving way to other work on a cluster: the signals that ask for it, and the way out of a run that goes on later.

SLURM sends a signal some time before it ends a job, at its time limit or for another job (`sbatch --signal=USR1@90`,
submitit's jobs USR2). The run then saves the step that it is at and asks for its job to be run again; started by the
same command, it goes on from there until it has finished. `PreemptionCheckpoint` is the part within the training loop.

SIGTERM is saved for, too, but asks for nothing: it is what `scancel` sends. Where SLURM preempts by it, SLURM itself
puts the job back (PreemptMode=REQUEUE).
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from types import FrameType

from encodec_lab.data.atomic_file import atomic_file
from encodec_lab.training.slurm_job import RequeueError, is_run_again, requeue_job, task_of_srun

# In the folder of a run that has given way and has not ended since.
PREEMPTED_FILE = "preempted.txt"
LAST_CHECKPOINT = Path("checkpoints/last.ckpt")
# The exit status of a run that has given way: "try again later" (EX_TEMPFAIL of sysexits.h).
PREEMPTED_STATUS = 75


class Request(IntEnum):
    """What a signal has asked for; of several the greatest holds."""

    NOTHING = 0
    SAVE = 1
    SAVE_AND_REQUEUE = 2


_REQUESTS = {
    signal.SIGTERM: Request.SAVE,
    signal.SIGUSR1: Request.SAVE_AND_REQUEUE,
    signal.SIGUSR2: Request.SAVE_AND_REQUEUE,
}


class PreemptedError(Exception):
    """A run has given way. Not a mistake, and not to be reported as one.

    Attributes:
        folder: of the run.
        request: what any rank has been asked for: the greatest that the ranks have told each other, or this one's.
        is_first_rank: whether this process speaks for the run.
    """

    def __init__(self, folder: Path, step: int, request: Request, is_first_rank: bool) -> None:
        super().__init__(f"preempted: {folder} holds the run as of step {step}")
        self.folder = folder
        self.request = request
        self.is_first_rank = is_first_rank


class PreemptionSignals:
    """Takes note of the signals of this process.

    Attributes:
        request: what they have asked for so far.
    """

    def __init__(self) -> None:
        self.request = Request.NOTHING
        self._process = os.getpid()

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Take the signals in this block, and give them back to whoever had them."""
        if threading.current_thread() is not threading.main_thread():  # Python allows no other to have them
            yield
            return
        before = {number: signal.getsignal(number) for number in _REQUESTS}
        for number in before:
            signal.signal(number, self._note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if os.getpid() == self._process:
            self.request = max(self.request, _REQUESTS[signal.Signals(number)])
        elif (
            number == signal.SIGTERM
        ):  # a process forked off: it is to end, as it would have without this handler
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def mark_preempted(output_dir: Path) -> None:
    """Note in the folder of a run that it goes on from its last checkpoint, whatever the command says."""
    with atomic_file(output_dir / PREEMPTED_FILE) as staged:
        staged.write_text(
            f"This run was interrupted. The command that started it, with hydra.run.dir={output_dir.absolute()},\n"
            f"goes on from {LAST_CHECKPOINT}. Remove that and this file to have it start anew.\n"
        )


def unmark_preempted(output_dir: Path) -> None:
    """Take the note away: the run has ended, whether by finishing or by failing."""
    (output_dir / PREEMPTED_FILE).unlink(missing_ok=True)


def goes_on(output_dir: Path) -> bool:
    """Whether a run in this folder is to go on from its last checkpoint without having been told so.

    It is if it has given way, or if SLURM has started its job again, after a node has failed, say.
    """
    return (output_dir / PREEMPTED_FILE).is_file() or (
        is_run_again() and (output_dir / LAST_CHECKPOINT).is_file()
    )


def leave(preempted: PreemptedError) -> int:
    """Have the job run again if that was asked for, and say what becomes of it; gives the exit status.

    A job of submitit is left to submitit, whose signal handler is back in place here: it counts how often a job has
    reached its time limit, requeues it, and ends the process.
    """
    if not preempted.is_first_rank:
        return 0  # the first rank's status is the run's, and Lightning kills everything when another one's is not 0
    outcome = f"the same command with hydra.run.dir={preempted.folder} goes on from there"
    if preempted.request == Request.SAVE_AND_REQUEUE:
        handlers = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGUSR2)}
        for number, handler in handlers.items():
            if callable(handler):
                _say(f"{preempted}; the job is left to its launcher")
                handler(number, None)
                return PREEMPTED_STATUS
        if task_of_srun() is not None:
            try:
                outcome = f"job {requeue_job()} is requeued, and goes on from there"
            except RequeueError as error:
                outcome += f", but the job could not be requeued: {error}"
    _say(f"{preempted}; {outcome}")
    return PREEMPTED_STATUS


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
