"""The `encodec` command: parse, plan, carry out, and say in one line what went wrong."""

import math
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from encodec_lab.cli.arguments import Arguments, parse_arguments
from encodec_lab.cli.info import print_info
from encodec_lab.cli.jobs import Action, Job, plan_jobs
from encodec_lab.cli.messages import say
from encodec_lab.cli.option_use import UsageError, check_options
from encodec_lab.cli.progress import ProgressBar
from encodec_lab.cli.side_by_side import ShowProgress, do_side_by_side
from encodec_lab.cli.standard_streams import StandardInput

# RuntimeError and MemoryError: torch's way to say that memory is short or a device failed.
_FAILURES = (ValueError, OSError, RuntimeError, MemoryError)
_INTERRUPTED = 130  # what a shell reports for a process that Ctrl-C ended
_PROGRAMS = ("encodec", "encodec-lab", "encodec_lab.__main__")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command on `argv` (None: the process's arguments) and return its exit status: 0, 1, 2 or 130.

    A process that was started for the command alone ends here.
    """
    ends = argv is None and _is_program()
    try:
        status = _carry_out(argv)
    except KeyboardInterrupt:
        say("interrupted")
        status = _INTERRUPTED
        if ends:  # while nothing has been given up that would wait for threads
            _end(status)
    if ends:
        _end(status)
    return status


def _is_program() -> bool:
    """Whether this process runs `encodec`, `encodec-lab` or `python -m encodec_lab`, and nothing else."""
    program = sys.modules["__main__"]
    spec = getattr(program, "__spec__", None)
    return (Path(getattr(program, "__file__", "")).name if spec is None else spec.name) in _PROGRAMS


def _end(status: int) -> None:
    """End the process at once if torch has been loaded, whose libraries take 0.3 s and 120 MB to go in order.

    All files are closed by now, and only standard output and error may hold something.
    """
    if "torch" not in sys.modules:
        return
    with suppress(OSError, ValueError):  # else Python ends the process, and knows what to say
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _carry_out(argv: Sequence[str] | None) -> int:
    """As `main`; raises KeyboardInterrupt."""
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
        return _run_all(arguments, stdin, jobs)
    except UsageError as error:
        _report(error)
        return 2
    except _FAILURES as error:
        _report(error)
        return 1


def _run_all(arguments: Arguments, stdin: StandardInput, jobs: list[Job]) -> int:
    """Do all jobs; one that fails is reported and does not keep the others from being done."""
    import torch  # takes a while

    from encodec_lab.cli.transcode import Transcoder
    from encodec_lab.modules.process_memory import keep_freed_memory

    if any(job.action is not Action.DECOMPRESS for job in jobs):
        keep_freed_memory()  # half a minute is encoded in one go for version 0
    torch.set_num_threads(1)  # what is done side by side is files, and pieces of one
    on_cpu = arguments.device == "cpu"
    threads_per_file = math.ceil(arguments.jobs / len(jobs)) if on_cpu else 1
    transcoder = Transcoder(arguments, stdin, threads_per_file)
    with ProgressBar(len(jobs)) as progress:

        def work(job: Job, show: ShowProgress) -> int:
            try:
                transcoder.run(job, show)
            except _FAILURES as error:
                _report(error, job.source.name if len(jobs) > 1 else "")
                return 1
            return 0

        return max(do_side_by_side(work, jobs, arguments.jobs if on_cpu else 1, progress))


def _report(error: BaseException, label: str = "") -> None:
    message = str(error).strip() or type(error).__name__
    say(message if label in message else f"{label}: {message}")
