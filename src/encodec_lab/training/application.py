"""Runs a Hydra application such that a user's mistake gives one line on standard error instead of a traceback."""

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from encodec_lab.training.config import register_configs, register_resolvers
from encodec_lab.training.preemption import PreemptedError, leave

# What a user, or the user's machine, has caused: a value that is not possible, a file that cannot be read or written.
_MISTAKES = (ValueError, OSError)


def explains_mistakes(task: Callable[[DictConfig], None]) -> Callable[[DictConfig], None]:
    """Wrap the function below `@hydra.main`: a mistake in it ends the program with one line and exit code 1.

    A run that has to give way ends it with `PREEMPTED_STATUS`, or as its launcher ends such jobs.
    """

    @functools.wraps(task)
    def wrapped(config: DictConfig) -> None:
        register_resolvers()  # a launcher's job comes here without having been through `run_application`
        with _exit_on_mistake():
            try:
                task(config)
            except PreemptedError as preempted:
                sys.exit(leave(preempted))

    return wrapped


def run_application(main: Callable[[], None], registers: bool = True) -> None:
    """Run what `@hydra.main` made; a mistake in the configuration likewise ends with one line and exit code 1.

    `registers` makes the published architectures known to Hydra, whereby `model` becomes the name of a group.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints what it thinks of errors and exits by itself
    if registers:
        register_configs()
    with _exit_on_mistake():
        main()


@contextmanager
def _exit_on_mistake() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # The launcher's package, which need not be there, raises what sbatch said, and that a job has failed.
        of_launcher = type(error).__module__.partition(".")[0] == "submitit"
        if not (of_launcher or isinstance(error, (*_MISTAKES, HydraException, OmegaConfBaseException))):
            raise
        print(f"error: {_one_line(error)}", file=sys.stderr)
        sys.exit(1)


def _one_line(error: BaseException) -> str:
    """The message without line breaks; of an error that `instantiate` wrapped, the original's."""
    if isinstance(error, HydraException) and isinstance(error.__cause__, _MISTAKES):
        error = error.__cause__
    text = str(error)
    if isinstance(error, MissingConfigException) and "submitit" in str(error.missing_cfg_file):
        text = f"{error.missing_cfg_file} needs the submitit launcher: pip install '.[slurm]'"
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        text = f"{error.filename}: {error.strerror}"
    return " ".join(line.strip() for line in text.splitlines() if line.strip())
