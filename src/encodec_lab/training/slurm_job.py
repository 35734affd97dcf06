"""What SLURM tells a process about its job, and asking SLURM to run the job again."""

import hashlib
import os
import subprocess
import sys

# Names that salloc and `srun --pty bash` give to their jobs; those of other shells are told by their terminal.
_INTERACTIVE = ("interactive", "bash")


class RequeueError(OSError):
    """SLURM would not run the job again; the message says why."""


def task_of_srun() -> str | None:
    """JOB_STEP, the same on all tasks of one `srun` of a batch job, and when the job is run again; None elsewhere.

    None, too, where somebody sits at a terminal: there a requeue would be of no use.
    """
    job, step = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_STEP_ID")
    is_interactive = os.environ.get("SLURM_JOB_NAME") in _INTERACTIVE or (
        sys.stdin is not None and sys.stdin.isatty()
    )
    if job is None or step is None or is_interactive:
        return None
    return f"{job}_{step}"


def is_run_again() -> bool:
    """Whether this is a job that SLURM has had to start more than once."""
    return int(os.environ.get("SLURM_RESTART_COUNT", 0)) > 0


def run_name(otherwise: str) -> str:
    """What a run's folder is called: after job step and command, so that all tasks and restarts agree, or `otherwise`.

    It is `otherwise` in a job of submitit, too, whose folder has been settled when it was submitted.
    """
    task = task_of_srun()
    if task is None or "SUBMITIT_EXECUTOR" in os.environ:
        return otherwise
    command = hashlib.sha256("\0".join(sys.argv[1:]).encode()).hexdigest()
    return f"slurm_{task}_{command[:8]}"


def requeue_job() -> str:
    """Have SLURM put this process's job back into its queue; returns the job's name for messages.

    Raises:
        RequeueError: it did not.
    """
    environment = os.environ
    # A job of an array can have the number of the array, which would mean all of its jobs.
    job = (
        f"{environment['SLURM_ARRAY_JOB_ID']}_{environment['SLURM_ARRAY_TASK_ID']}"
        if "SLURM_ARRAY_JOB_ID" in environment
        else environment["SLURM_JOB_ID"]
    )
    command = ["scontrol", "requeue", job]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RequeueError(f"{' '.join(command)}: {error}") from error
    if result.returncode:
        raise RequeueError(f"{' '.join(command)}: {result.stderr.strip() or result.returncode}")
    return job
