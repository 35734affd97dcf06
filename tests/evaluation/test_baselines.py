"""Opus and MP3 by their own programs: in time with the original, of its length, and named where they are missing."""

import dataclasses
import shutil
import subprocess
from pathlib import Path

import pytest
import soundfile
import torch
from torch import Tensor

from encodec_lab.data.converted_audio import read_converted
from encodec_lab.evaluation.baselines import DEFAULT_BANDWIDTHS, find_baselines
from encodec_lab.evaluation.transmission import System
from encodec_lab.metrics import si_snr


def _system(name: str) -> System:
    found, missing = find_baselines({name: DEFAULT_BANDWIDTHS[name]})
    if missing:
        pytest.skip(missing[0].reason)
    return found[0]


def _delay_samples(reference: Tensor, degraded: Tensor) -> int:
    """Where the cross-correlation of two mono mixes is highest."""
    size = 2 * reference.shape[-1]
    spectra = [torch.fft.rfft(wav.mean(0).double(), size) for wav in (reference, degraded)]
    lag = int(torch.fft.irfft(spectra[0].conj() * spectra[1], size).argmax())
    return lag if lag < size // 2 else lag - size


@pytest.mark.parametrize("name", ["opus", "mp3"])
@pytest.mark.parametrize(("sample_rate_hz", "channels"), [(24_000, 1), (48_000, 2)])
@pytest.mark.parametrize("clip", ["speech/en_ljspeech_f_02.flac", "music/sonicpi_loopcompus_00.flac"])
def test_in_time_with_the_original(
    carried_audio: Path, name: str, sample_rate_hz: int, channels: int, clip: str
) -> None:
    system = _system(name)
    wav = read_converted(carried_audio / "test" / clip, sample_rate_hz, channels)[:, : 3 * sample_rate_hz]
    kbps = system.bandwidths[-1]
    sent = system.transmit(wav, sample_rate_hz, kbps)
    assert sent.wav.shape == wav.shape
    # Opus may run ahead by 40 microseconds on speech; an uncorrected delay of either is above 6 ms.
    assert abs(_delay_samples(wav, sent.wav)) / sample_rate_hz < 5e-5
    assert si_snr(wav, sent.wav, sample_rate_hz) > 1
    assert sent.system == name
    assert sent.bandwidth_kbps == kbps
    assert sent.true_kbps is not None
    assert kbps is not None
    assert 0.4 * kbps < sent.true_kbps < 1.5 * kbps


def test_rate_is_that_of_the_file(tmp_path: Path) -> None:
    system = _system("mp3")
    wav = 0.1 * torch.randn(1, 24_000, generator=torch.Generator().manual_seed(0))
    soundfile.write(tmp_path / "in.wav", wav.T.numpy(), 24_000, subtype="FLOAT")
    lame = shutil.which("lame")
    assert lame is not None
    subprocess.run([lame, "--quiet", "-b", "64", tmp_path / "in.wav", tmp_path / "out.mp3"], check=True)
    num_bytes = (tmp_path / "out.mp3").stat().st_size
    assert system.transmit(wav, 24_000, 64.0).true_kbps == pytest.approx(num_bytes * 8 / 1000)


@pytest.mark.parametrize("name", ["opus", "mp3"])
@pytest.mark.parametrize("num_samples", [1, 1_001])
def test_short_audio_keeps_its_length(name: str, num_samples: int) -> None:
    wav = 0.1 * torch.ones(1, num_samples)
    assert _system(name).transmit(wav, 24_000, 32.0).wav.shape == wav.shape


def test_programs_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found, missing = find_baselines(DEFAULT_BANDWIDTHS)
    assert found == []
    assert [dataclasses.astuple(one) for one in missing] == [
        ("opus", "opusenc and opusdec not installed (Debian: apt install opus-tools)"),
        ("mp3", "lame not installed (Debian: apt install lame)"),
    ]


def test_a_program_that_fails_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "lame"
    program.write_text('#!/bin/sh\n[ "$1" = --version ] && echo LAME 9 && exit\necho no luck >&2\nexit 3\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (system,), _ = find_baselines({"mp3": (64.0,)})
    assert system.identity.startswith("LAME 9")
    with pytest.raises(OSError, match="lame failed with exit status 3: no luck"):
        system.transmit(torch.zeros(1, 1_000), 24_000, 64.0)


def test_impossible_requests() -> None:
    with pytest.raises(ValueError, match="'aac': there are opus, mp3"):
        find_baselines({"aac": (64.0,)})
    for wrong in ((), (0.0,), (-1.0,)):
        with pytest.raises(ValueError, match="opus: needs bandwidths"):
            find_baselines({"opus": wrong})
