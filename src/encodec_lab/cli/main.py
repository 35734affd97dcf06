"""The `encodec` command: parse, plan, carry out, and say in one line what went wrong."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from encodec_lab.cli.arguments import parse_arguments
from encodec_lab.cli.info import print_info
from encodec_lab.cli.jobs import Job, plan_jobs
from encodec_lab.cli.messages import say
from encodec_lab.cli.option_use import UsageError, check_options
from encodec_lab.cli.progress import ProgressBar
from encodec_lab.cli.standard_streams import StandardInput

if TYPE_CHECKING:
    from encodec_lab.cli.transcode import Transcoder

# RuntimeError and MemoryError: torch's way to say that memory is short or a device failed.
_FAILURES = (ValueError, OSError, RuntimeError, MemoryError)
_INTERRUPTED = 130  # what a shell reports for a process that Ctrl-C ended


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command on `argv` (None: the process's arguments) and return its exit status: 0, 1 or 2."""
    try:
        arguments = parse_arguments(argv)
    except SystemExit as request:  # argparse: 0 after --help and --version, 2 after bad usage
        return int(request.code or 0)
    try:
        stdin = StandardInput()
        if arguments.info:
            return print_info(arguments, stdin)
        jobs = plan_jobs(arguments, stdin)
        check_options(arguments, jobs)
        from encodec_lab.cli import transcode  # imports torch, which takes a while

        return _run_all(transcode.Transcoder(arguments, stdin), jobs)
    except UsageError as error:
        _report(error)
        return 2
    except _FAILURES as error:
        _report(error)
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return _INTERRUPTED


def _run_all(transcoder: "Transcoder", jobs: list[Job]) -> int:
    """Do all jobs; one that fails is reported and does not keep the others from being done."""
    status = 0
    with ProgressBar(len(jobs)) as progress:
        for num_done, job in enumerate(jobs):
            show = functools.partial(_show, progress, num_done, job.source.name)
            show(0.0)
            try:
                transcoder.run(job, show)
            except _FAILURES as error:
                _report(error, job.source.name if len(jobs) > 1 else "")
                status = 1
    return status


def _show(progress: ProgressBar, num_done: int, label: str, share: float) -> None:
    progress.show(num_done + share, label)


def _report(error: BaseException, label: str = "") -> None:
    message = str(error).strip() or type(error).__name__
    say(message if label in message else f"{label}: {message}")
