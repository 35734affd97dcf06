"""Opus and MP3 by their own programs, opusenc, opusdec and lame, to compare codecs with."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile
from torch import Tensor
from torch.nn import functional

from encodec_lab.data.converted_audio import read_converted
from encodec_lab.evaluation.transmission import System, Transmitted, file_kbps

# Of each baseline, what to evaluate by default, in kbps.
DEFAULT_BANDWIDTHS: Mapping[str, tuple[float, ...]] = {"opus": (6.0, 12.0, 24.0), "mp3": (64.0,)}
_PROGRAMS = {"opus": ("opusenc", "opusdec"), "mp3": ("lame",)}
_DEBIAN_PACKAGES = {"opus": "opus-tools", "mp3": "lame"}


@dataclass(frozen=True)
class MissingSystem:
    """A system that was asked for and cannot be had here, and why."""

    name: str
    reason: str


class OpusSystem:
    """Opus by opusenc in its default mode (variable bitrate) in an Ogg file, and opusdec.

    The rate counts the file as it is, pages and headers included, but for the 512 bytes that opusenc would keep free
    for tags.
    """

    def __init__(self, bandwidths: Sequence[float] = DEFAULT_BANDWIDTHS["opus"]) -> None:
        self.name = "opus"
        self.bandwidths = tuple(bandwidths)
        self.identity = _version("opusenc")

    def transmit(self, wav: Tensor, sample_rate_hz: int, bandwidth_kbps: float | None) -> Transmitted:
        """As `System.transmit`."""
        with tempfile.TemporaryDirectory() as name:
            source, coded, decoded = (Path(name, file) for file in ("in.wav", "coded.opus", "decoded.wav"))
            _write_float(source, wav, sample_rate_hz)
            rate = ("--bitrate", f"{bandwidth_kbps:g}", "--vbr")
            _run("opusenc", "--quiet", *rate, "--padding", "0", source, coded)
            # The decoder's own rate, so that resampling is the same for all.
            _run("opusdec", "--quiet", "--float", "--rate", "48000", coded, decoded)
            return _received(self.name, bandwidth_kbps, coded, decoded, wav, sample_rate_hz)


class Mp3System:
    """MP3 by lame at a constant bitrate, and its decoder, which leaves out delay and padding as lame's tag tells them.

    At low bitrates lame lowers the sample rate of its own accord.
    """

    def __init__(self, bandwidths: Sequence[float] = DEFAULT_BANDWIDTHS["mp3"]) -> None:
        self.name = "mp3"
        self.bandwidths = tuple(bandwidths)
        self.identity = _version("lame")

    def transmit(self, wav: Tensor, sample_rate_hz: int, bandwidth_kbps: float | None) -> Transmitted:
        """As `System.transmit`."""
        with tempfile.TemporaryDirectory() as name:
            source, coded, decoded = (Path(name, file) for file in ("in.wav", "coded.mp3", "decoded.wav"))
            _write_float(source, wav, sample_rate_hz)
            _run("lame", "--quiet", "--cbr", "-b", f"{bandwidth_kbps:g}", source, coded)
            _run("lame", "--quiet", "--decode", coded, decoded)
            return _received(self.name, bandwidth_kbps, coded, decoded, wav, sample_rate_hz)


_SYSTEMS: Mapping[str, Callable[[Sequence[float]], System]] = {"opus": OpusSystem, "mp3": Mp3System}


def find_baselines(wanted: Mapping[str, Sequence[float]]) -> tuple[list[System], list[MissingSystem]]:
    """The baselines of these names at these bandwidths in kbps, and those whose programs are not installed.

    Raises:
        ValueError: a name other than "opus" and "mp3", a bandwidth that is not above 0, or none at all.
    """
    found: list[System] = []
    missing = []
    for name, bandwidths in wanted.items():
        if name not in _SYSTEMS:
            raise ValueError(f"baseline {name!r}: there are {', '.join(_SYSTEMS)}")
        if not bandwidths or not all(kbps > 0 for kbps in bandwidths):
            raise ValueError(f"baseline {name}: needs bandwidths in kbps above 0, got {list(bandwidths)}")
        absent = [program for program in _PROGRAMS[name] if shutil.which(program) is None]
        if absent:
            package = _DEBIAN_PACKAGES[name]
            reason = f"{' and '.join(absent)} not installed (Debian: apt install {package})"
            missing.append(MissingSystem(name, reason))
        else:
            found.append(_SYSTEMS[name]([float(kbps) for kbps in bandwidths]))
    return found, missing


def _received(
    system: str, bandwidth_kbps: float | None, coded: Path, decoded: Path, wav: Tensor, sample_rate_hz: int
) -> Transmitted:
    """What was decoded, at the rate and of the length of what was sent."""
    received = read_converted(decoded, sample_rate_hz, wav.shape[0])
    received = functional.pad(received, (0, max(0, wav.shape[-1] - received.shape[-1])))[:, : wav.shape[-1]]
    return Transmitted(
        system, bandwidth_kbps, file_kbps(coded.stat().st_size, wav, sample_rate_hz), received.contiguous()
    )


def _write_float(path: Path, wav: Tensor, sample_rate_hz: int) -> None:
    soundfile.write(path, wav.T.numpy(), sample_rate_hz, format="WAV", subtype="FLOAT")


def _version(program: str) -> str:
    """The first line of what a program says of its version."""
    return _run(program, "--version").partition("\n")[0].strip()


def _run(*command: str | Path) -> str:
    """What a program writes to its standard output.

    Raises:
        OSError: it cannot be run, or fails.
    """
    finished = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    if finished.returncode:
        said = finished.stderr.decode(errors="replace").strip().splitlines()
        raise OSError(
            f"{command[0]} failed with exit status {finished.returncode}" + (f": {said[-1]}" if said else "")
        )
    return finished.stdout.decode(errors="replace")
