"""`encodec --info`: what compressed files hold."""

import dataclasses
import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from encodec_lab.cli.arguments import STANDARD_STREAM, Arguments
from encodec_lab.cli.messages import printable, say
from encodec_lab.cli.standard_streams import StandardInput, standard_output

if TYPE_CHECKING:
    from encodec_lab.bitstream.stream_info import StreamInfo


def print_info(arguments: Arguments, stdin: StandardInput) -> int:
    """Print what each input holds; returns the exit status, 1 if one cannot be read or is damaged."""
    from encodec_lab.bitstream.stream_info import inspect_stream  # imports torch, which takes a while

    status = 0
    for path in arguments.inputs:
        label = "standard input" if path == STANDARD_STREAM else printable(str(path))
        try:
            with ExitStack() as stack:
                file = stdin if path == STANDARD_STREAM else stack.enter_context(_opened(path))
                info = inspect_stream(file)
        except (ValueError, OSError) as error:
            say(f"{label}: {error}")
            status = 1
            continue
        with standard_output():
            if arguments.json:
                print(json.dumps({"path": str(path), **dataclasses.asdict(info)}))
            else:
                print(_described(label, info))
        if info.damage is not None:
            say(f"{label}: damaged: {info.damage}")
            status = 1
    return status


def _opened(path: Path) -> BinaryIO:
    if not path.exists():
        raise ValueError("does not exist")
    if path.is_dir():
        raise ValueError("is a folder; name its files")
    return open(path, "rb")


def _described(label: str, info: "StreamInfo") -> str:
    duration = "unknown" if info.duration_s is None else f"{info.duration_s:.2f} s"
    rate = "" if info.kbps is None else f", {info.kbps:.2f} kbps"
    identity = "" if info.model_identity is None else f" ({info.model_identity})"
    lm = "none" if not info.uses_lm else info.lm_identity or "yes"
    lines = [
        f"{label}: .ecdc {info.format}",
        f"  model      {printable(info.model)}{identity}",
        f"  codebooks  {info.num_codebooks}, language model: {lm}",
        f"  duration   {duration}",
        f"  size       {info.num_bytes} bytes{rate}",
    ]
    if info.num_records is not None:
        checked = "all intact" if info.damage is None else "damaged after these"
        lines.append(f"  records    {info.num_records}, {checked}")
    if info.source_sample_rate_hz is not None:
        lines.append(
            f"  source     {info.source_sample_rate_hz} Hz, {info.source_channels} channels,"
            f" {info.source_samples or 'an unknown number of'} samples"
        )
    return "\n".join(lines)
