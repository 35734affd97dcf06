"""What is to be done to which file, decided and checked before any model is loaded."""

from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from encodec_lab.cli.arguments import COMPRESSED_SUFFIX, DECOMPRESSED_SUFFIX, STANDARD_STREAM, Arguments
from encodec_lab.cli.standard_streams import StandardInput
from encodec_lab.data.audio_folder import AUDIO_SUFFIXES, find_below


class Action(Enum):
    """What turns the input into the output."""

    COMPRESS = auto()
    DECOMPRESS = auto()
    ROUND_TRIP = auto()


@dataclass(frozen=True)
class Job:
    """One input, its output, and what lies between; either may be `STANDARD_STREAM`."""

    source: Path
    target: Path
    action: Action


def plan_jobs(arguments: Arguments, stdin: StandardInput) -> list[Job]:
    """The jobs, in order of the inputs. What standard input holds is told from its first bytes.

    Raises:
        ValueError: an input does not exist, an output does and must not be overwritten, has no folder or a wrong
            suffix, or is the output of two inputs.
    """
    if arguments.output_dir is None:
        jobs = [_plan_single(arguments, stdin)]
    else:
        jobs = _plan_many(arguments, arguments.output_dir)
    for job in jobs:
        if job.target != STANDARD_STREAM and job.target.exists() and not arguments.force:
            raise ValueError(f"output file {job.target} exists; use -f / --force to overwrite it")
    return jobs


def _plan_single(arguments: Arguments, stdin: StandardInput) -> Job:
    source = arguments.inputs[0]
    if source == STANDARD_STREAM:
        is_compressed = stdin.is_compressed()
    elif source.exists():
        is_compressed = _is_compressed(source)
    else:
        raise ValueError(f"input file {source} does not exist")
    target = arguments.output
    if target is None and source != STANDARD_STREAM:
        job = _infer_job(source, source.parent, arguments)
    elif target is None or target == STANDARD_STREAM:
        return Job(source, STANDARD_STREAM, Action.DECOMPRESS if is_compressed else Action.COMPRESS)
    elif is_compressed:
        if target.suffix.lower() != DECOMPRESSED_SUFFIX:
            raise ValueError(
                f"output file {target} must end in {DECOMPRESSED_SUFFIX}, because the input is compressed"
            )
        job = Job(source, target, Action.DECOMPRESS)
    elif _is_compressed(target):
        job = Job(source, target, Action.COMPRESS)
    elif target.suffix.lower() == DECOMPRESSED_SUFFIX:
        job = Job(source, target, Action.ROUND_TRIP)
    else:
        raise ValueError(f"output file {target} must end in {COMPRESSED_SUFFIX} or {DECOMPRESSED_SUFFIX}")
    if not job.target.parent.is_dir():
        raise ValueError(f"the folder of output file {job.target} does not exist; make it first")
    return job


def _plan_many(arguments: Arguments, output_dir: Path) -> list[Job]:
    jobs: dict[Path, Job] = {}
    for given in arguments.inputs:
        if not given.exists():
            raise ValueError(f"input {given} does not exist")
        root = given if given.is_dir() else given.parent
        for source in _find_sources(given, output_dir) if given.is_dir() else [given]:
            job = _infer_job(source, output_dir / source.parent.relative_to(root), arguments)
            if job.target in jobs:
                raise ValueError(
                    f"{jobs[job.target].source} and {source} would both be written to {job.target}"
                )
            jobs[job.target] = job
    return list(jobs.values())


def _find_sources(folder: Path, output_dir: Path) -> list[Path]:
    """Audio and compressed files below `folder`, but for those in an output folder that lies in it."""
    suffixes = (*AUDIO_SUFFIXES, COMPRESSED_SUFFIX)
    sources = find_below(folder, suffixes, left_out=output_dir)
    if not sources:
        raise ValueError(f"folder {folder} holds no file that ends in {', '.join(suffixes)}")
    return sources


def _infer_job(source: Path, folder: Path, arguments: Arguments) -> Job:
    """A file's job when no output is named; only the last suffix of its name is replaced."""
    if _is_compressed(source):
        target = folder / (source.stem + arguments.decompress_suffix + DECOMPRESSED_SUFFIX)
        return Job(source, target, Action.DECOMPRESS)
    return Job(source, folder / (source.stem + COMPRESSED_SUFFIX), Action.COMPRESS)


def _is_compressed(path: Path) -> bool:
    return path.suffix.lower() == COMPRESSED_SUFFIX
