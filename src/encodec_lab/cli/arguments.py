"""The command line's arguments; nothing here imports torch, so that `--help` and usage errors come at once."""

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

COMPRESSED_SUFFIX = ".ecdc"
STANDARD_STREAM = Path("-")
DECOMPRESSED_SUFFIX = ".wav"
DEFAULT_SUFFIX = "_decompressed"  # between the stem and that

_DESCRIPTION = """\
High-fidelity neural audio codec.
  encodec INPUT [OUTPUT.ecdc]        compress any audio file
  encodec INPUT.ecdc [OUTPUT.wav]    decompress
  encodec INPUT OUTPUT.wav           compress and decompress, without a file between
  encodec --output-dir DIR INPUT...  compress or decompress many files, or all of a folder
  encodec --info INPUT.ecdc...       say what compressed files hold
INPUT and OUTPUT may be - for standard input and output.
Exit status: 0 on success, 1 on bad input or a failed operation, 2 on bad usage."""


@dataclass(frozen=True)
class Arguments:
    """What was asked for; `output` and `output_dir` exclude each other. The path `-` is a standard stream."""

    inputs: tuple[Path, ...]
    output: Path | None
    output_dir: Path | None
    decompress_suffix: str
    force: bool
    rescale: bool
    bandwidth_kbps: float | None
    hq: bool
    lm: bool
    model: str | None
    device: str
    format: str | None
    info: bool
    json: bool
    salvage: bool
    restore: bool
    jobs: int


def parse_arguments(argv: Sequence[str] | None) -> Arguments:
    """Parse the command line (None: the process's own); bad usage, `--help` and `--version` end in SystemExit."""
    parser = _build_parser()
    given = parser.parse_intermixed_args(argv)
    paths: list[Path] = given.paths
    output = None
    if given.json and not given.info:
        parser.error("--json says how --info prints; it needs --info")
    if given.info:
        if given.output_dir is not None:
            parser.error("--info writes no files; leave --output-dir out")
    elif given.output_dir is not None:
        if STANDARD_STREAM in paths:
            parser.error("standard input has no name to be given in --output-dir; name OUTPUT instead")
    else:
        if len(paths) > 2:
            parser.error(f"{len(paths)} paths given: several inputs need --output-dir DIR")
        if paths[0].is_dir():
            parser.error(f"{paths[0]} is a folder: it needs --output-dir DIR")
        if len(paths) == 2:
            output = paths.pop()
    if given.hq and given.model is not None:
        parser.error("--hq and --model exclude each other: --hq stands for --model encodec_48khz")
    return Arguments(
        inputs=tuple(paths),
        output=output,
        output_dir=given.output_dir,
        decompress_suffix=given.decompress_suffix,
        force=given.force,
        rescale=given.rescale,
        bandwidth_kbps=given.bandwidth,
        hq=given.hq,
        lm=given.lm,
        model=given.model,
        device=given.device,
        format=given.format,
        info=given.info,
        json=given.json,
        salvage=given.salvage,
        restore=given.restore,
        jobs=given.jobs,
    )


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "encodec",
        usage="encodec [options] INPUT [OUTPUT]",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "paths", metavar="PATH", type=Path, nargs="+", help="input, and output if not inferred from the input"
    )
    _add_reference_options(parser.add_argument)
    _add_further_options(parser.add_argument)
    parser.add_argument("--version", action="version", version=f"encodec-lab {_version()}")
    return parser


def _add_reference_options(add: Callable[..., argparse.Action]) -> None:
    """Those of the reference's command."""
    add(
        "-b",
        "--bandwidth",
        metavar="KBPS",
        type=float,
        help="target bandwidth, out of what the model offers: 1.5, 3, 6, 12 or 24, with --hq not 1.5"
        " (default: 6 if offered, else the highest)",
    )
    add("-q", "--hq", action="store_true", help="use the 48 kHz stereo model")
    add(
        "-l",
        "--lm",
        action="store_true",
        help="entropy code with the model's language model: smaller files, more work",
    )
    add("-f", "--force", action="store_true", help="overwrite the output if it exists")
    add("-r", "--rescale", action="store_true", help="scale the decompressed audio so that it does not clip")
    add(
        "-s",
        "--decompress_suffix",
        metavar="SUFFIX",
        default=DEFAULT_SUFFIX,
        help="what a decompressed file's name gets after the stem, unless OUTPUT is given (default: %(default)s)",
    )


def _add_further_options(add: Callable[..., argparse.Action]) -> None:
    """Those that are ours."""
    add(
        "--output-dir",
        metavar="DIR",
        type=Path,
        help="take all paths, files or folders, as inputs and write here",
    )
    add(
        "--model",
        metavar="NAME_OR_PATH",
        help="encodec_24khz, encodec_48khz, an exported folder or a .th file",
    )
    add(
        "--device",
        choices=("cpu", "cuda", "auto"),
        default="cpu",
        help="where to compute (default: %(default)s)",
    )
    add(
        "--format",
        choices=("v0", "v1"),
        help="layout of the compressed file: v0 is the reference's, v1 has checks and can be streamed (default: v0 for"
        " encodec_24khz and encodec_48khz, else v1; for standard output v1)",
    )
    add(
        "-j",
        "--jobs",
        metavar="N",
        type=_count,
        default=_num_cores(),
        help="how many files, or pieces of one, to work on side by side; the results are the same for any"
        " (default: the processor's cores, here %(default)s)",
    )
    add("--salvage", action="store_true", help="decode a damaged v1 file, with silence for what is lost")
    add(
        "--restore",
        action="store_true",
        help="decompress to the sample rate, channels and length of what was compressed (v1)",
    )
    add("--info", action="store_true", help="print what compressed files hold and whether they are intact")
    add("--json", action="store_true", help="with --info: one JSON object a line")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, got {text!r}")
    return int(text)


def _num_cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version() -> str:
    try:
        return version("encodec-lab")
    except PackageNotFoundError:  # run from a clone that is not installed
        return "unknown"
