"""PESQ against the package itself, and everything that can go wrong in it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from encodec_lab.metrics import NotScored, pesq
from encodec_lab.modules.signal import resample

pytest.importorskip("pesq", reason="the package pesq is not installed (it needs a C compiler)")

Array = NDArray[np.float64]


def _noisy(wav: Array, amount: float = 0.01) -> Array:
    return wav + amount * np.random.default_rng(0).standard_normal(wav.shape)


@pytest.fixture(scope="module")
def speech(carried_clip_16khz: Array) -> Array:
    """Three seconds at 16 kHz."""
    return carried_clip_16khz[:48_000]


def test_equals_the_package_at_16_khz(speech: Array) -> None:
    from pesq import pesq as package_pesq

    expected = package_pesq(16_000, speech, _noisy(speech), "wb")
    assert pesq(speech, _noisy(speech), 16_000) == pytest.approx(expected, abs=1e-6)
    assert 1.04 < expected < 3.5


def test_mono_mix_resampled_to_16_khz(speech: Array) -> None:
    """Stereo at 24 kHz scores as its mono mix resampled by the library's own resampler."""
    import torch
    from pesq import pesq as package_pesq

    at_24_khz = resample(torch.from_numpy(speech), 16_000, 24_000).numpy()
    stereo = np.stack([1.5 * at_24_khz, 0.5 * at_24_khz])
    mix = resample(torch.from_numpy(at_24_khz), 24_000, 16_000).numpy()
    expected = package_pesq(
        16_000, mix, resample(torch.from_numpy(_noisy(at_24_khz)), 24_000, 16_000).numpy(), "wb"
    )
    noise = _noisy(at_24_khz) - at_24_khz
    assert pesq(stereo, stereo + np.stack([noise, noise]), 24_000) == pytest.approx(expected, abs=1e-4)


def test_equal_signals_reach_the_top_of_the_scale(speech: Array) -> None:
    assert pesq(speech, speech, 16_000) == pytest.approx(4.644, abs=1e-3)


def test_long_audio_is_the_mean_of_its_chunks(speech: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["encodec_lab.metrics.pesq"], "LONGEST_CHUNK_S", 2)
    degraded = _noisy(speech)
    halves = [pesq(speech[part], degraded[part], 16_000) for part in (slice(24_000), slice(24_000, None))]
    assert pesq(speech, degraded, 16_000) == pytest.approx(np.mean(halves), abs=1e-9)
    assert abs(halves[0] - halves[1]) > 1e-3


def test_three_minutes_do_not_crash(carried_clip_16khz: Array) -> None:
    """The package itself corrupts its memory at 164 s."""
    long = np.tile(carried_clip_16khz, 25)[: 170 * 16_000]
    assert 1 < pesq(long, _noisy(long), 16_000) < 4.6


@pytest.mark.parametrize(
    ("reference_gain", "degraded_gain", "reason"),
    [(0, 1, "silence: the mono mix of the reference"), (1, 0, "silence: the mono mix of the degraded")],
)
def test_silence(speech: Array, reference_gain: float, degraded_gain: float, reason: str) -> None:
    with pytest.raises(NotScored, match=reason):
        pesq(reference_gain * speech, degraded_gain * speech, 16_000)


def test_too_short_and_unequal(speech: Array) -> None:
    with pytest.raises(NotScored, match=r"too short: 0\.249 s"):
        pesq(speech[:3_990], speech[:3_990], 16_000)
    with pytest.raises(NotScored, match="unequal lengths"):
        pesq(speech, speech[:-1], 16_000)
    with pytest.raises(NotScored, match="not finite"):
        pesq(np.full(16_000, np.nan), speech[:16_000], 16_000)


def test_silent_part_of_long_audio(speech: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["encodec_lab.metrics.pesq"], "LONGEST_CHUNK_S", 2)
    half_silent = np.concatenate([speech[:32_000], np.zeros(32_000)])
    with pytest.raises(NotScored, match="silence: part 2 of 2 of the reference"):
        pesq(half_silent, half_silent, 16_000)
    # The package's own reason, when it is the one that finds out.
    monkeypatch.setattr(sys.modules["encodec_lab.metrics.pesq"], "is_silent", lambda wav: False)
    with pytest.raises(NotScored, match="part 2 of 2: the package pesq returned: No utterances detected"):
        pesq(half_silent, half_silent, 16_000)


def test_crash_of_the_package_is_not_a_crash_of_ours(speech: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    real_run = subprocess.run

    def run_and_die(command: list[str], **kwargs: object) -> object:
        die = f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})"
        return real_run([command[0], "-c", die], **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", run_and_die)
    with pytest.raises(NotScored, match=f"crashed with exit status -{int(signal.SIGSEGV)}"):
        pesq(speech, speech, 16_000)


def test_missing_package(speech: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NotScored, match="pesq is not installed"):
        pesq(speech, speech, 16_000)


def test_works_from_any_working_folder(
    speech: Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pesq.py in the working folder, like the one beside the worker, does not shadow the package."""
    (tmp_path / "pesq.py").write_text("raise RuntimeError('shadowed')")
    soundfile.write(tmp_path / "unrelated.wav", speech, 16_000)
    monkeypatch.chdir(tmp_path)
    assert os.getcwd() == str(tmp_path)
    assert pesq(speech, speech, 16_000) > 4.6
