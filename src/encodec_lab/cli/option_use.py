"""Options that do nothing for what was asked: told of, or refused where somebody must have meant something else."""

from collections.abc import Sequence

from encodec_lab.cli.arguments import DEFAULT_SUFFIX, STANDARD_STREAM, Arguments
from encodec_lab.cli.jobs import Action, Job
from encodec_lab.cli.messages import say

_COMPRESSED = "nothing is compressed"
_DECOMPRESSED = "nothing is decompressed"
_READ = "no compressed file is read"
_NAMED = "no output is named after its input"


class UsageError(ValueError):
    """Bad usage that shows only when the inputs have been looked at."""


def check_options(arguments: Arguments, jobs: Sequence[Job]) -> None:
    """Say in one line which options do nothing; the reference's command takes its own in silence.

    Raises:
        UsageError: what was asked for on decompression cannot be, because nothing is decompressed.
    """
    happens = {
        _COMPRESSED: any(job.action is not Action.DECOMPRESS for job in jobs),
        _DECOMPRESSED: any(job.action is not Action.COMPRESS for job in jobs),
        _READ: any(job.action is Action.DECOMPRESS for job in jobs),
        _NAMED: arguments.output is None
        and any(job.action is Action.DECOMPRESS and job.target != STANDARD_STREAM for job in jobs),
    }
    for option, is_given, missing in (
        ("--restore", arguments.restore, _DECOMPRESSED),
        ("--salvage", arguments.salvage, _READ),
    ):
        if is_given and not happens[missing]:
            raise UsageError(f"{option} does nothing here, because {missing}; leave it out")
    idle = [
        f"{option} ({missing})"
        for option, is_given, missing in (
            ("-b", arguments.bandwidth_kbps is not None, _COMPRESSED),
            ("-q", arguments.hq, _COMPRESSED),
            ("-l", arguments.lm, _COMPRESSED),
            ("--format", arguments.format is not None, _COMPRESSED),
            ("-r", arguments.rescale, _DECOMPRESSED),
            ("-s", arguments.decompress_suffix != DEFAULT_SUFFIX, _NAMED),
        )
        if is_given and not happens[missing]
    ]
    if idle:
        say(f"without effect: {', '.join(idle)}")
